#!/bin/sh
# Fails when an object made for one instruction set defines a weak symbol: the linker may keep that copy for the
# whole program, which then dies on a machine without the instructions. Usage: checkIsaSymbols.sh OBJECT...
status=0
for object in "$@"; do
  weak=$(nm -C "$object" | awk '$(NF-1) ~ /^[WVu]$/ || $2 ~ /^[WVu]$/ { $1 = ""; print }')
  if [ -n "$weak" ]; then
    echo "$object defines weak symbols:"
    echo "$weak" | sed 's/^/  /'
    status=1
  fi
done
exit $status
