#!/bin/sh
# A launcher for nvcc: what ptxas says of each kernel's registers, memory and spills is kept beside the object, as
# OBJECT.usage, for scripts/checkSpills.mjs; everything else is shown. Usage: keepUsage.sh nvcc ARGUMENT... -o OBJECT
previous=
object=
for argument; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
[ -n "$object" ] || exec "$@"
"$@" 2> "$object.messages"
status=$?
usage='^ptxas info|^ +[0-9]+ bytes stack frame'
grep -E "$usage" "$object.messages" > "$object.usage"
grep -vE "$usage" "$object.messages" >&2
rm -f "$object.messages"
exit $status
