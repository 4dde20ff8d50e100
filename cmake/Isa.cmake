# One object library per instruction set, made of the same units.
# Never -ffast-math: it would change NaN handling here and, at link time, flush denormals for all of JavaScript.
# GROUPCONV_ONLY_ISA builds one of them: for sanitizers, which compile slowly.
set(GROUPCONV_ONLY_ISA "" CACHE STRING "baseline, avx2 or avx512; empty: all that the processor family has")
# Sanitizers look at memory, not at speed: -O1 builds in a third of the time.
set(GROUPCONV_KERNEL_OPTIMISATION -O3)
if(GROUPCONV_SANITIZE)
  set(GROUPCONV_KERNEL_OPTIMISATION -O1)
endif()
set(GROUPCONV_KERNEL_FLAGS ${GROUPCONV_KERNEL_OPTIMISATION} -ffp-contract=fast -fno-math-errno -fno-trapping-math -fno-signed-zeros
                           -fno-predictive-commoning)

# The objects of some units, whose tables are in the namespace `name`.
function(groupconv_kernels name units width)
  add_library(groupconv_${name} OBJECT ${units})
  target_include_directories(groupconv_${name} PRIVATE native)
  target_compile_options(groupconv_${name} PRIVATE ${GROUPCONV_KERNEL_FLAGS} ${ARGN} -Wall -Wextra -Wno-psabi -Wno-unused-function)
  target_compile_definitions(groupconv_${name} PRIVATE GROUPCONV_ISA=${name} GROUPCONV_SIMD_WIDTH=${width})
endfunction()

function(groupconv_isa name)
  if(GROUPCONV_ONLY_ISA AND NOT GROUPCONV_ONLY_ISA STREQUAL name)
    return()
  endif()
  groupconv_kernels(${name} "${GROUPCONV_ISA_UNITS}" ${ARGN})
  target_link_libraries(groupconv_core PUBLIC $<TARGET_OBJECTS:groupconv_${name}>)
  add_dependencies(groupconv_core groupconv_${name})
endfunction()

if(GROUPCONV_ONLY_ISA)
  target_compile_definitions(groupconv_core PUBLIC GROUPCONV_ONLY_ISA=${GROUPCONV_ONLY_ISA})
endif()
string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
if(processor MATCHES "^(x86_64|amd64)$" AND NOT CMAKE_OSX_ARCHITECTURES MATCHES "arm64")
  groupconv_isa(baseline 4)
  set(GROUPCONV_AVX2 8 -mavx2 -mfma -mf16c)
  groupconv_isa(avx2 ${GROUPCONV_AVX2})
  groupconv_isa(avx512 16 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mprefer-vector-width=512)
elseif(processor MATCHES "^(aarch64|arm64)$")
  groupconv_isa(neon 4)
else()
  groupconv_isa(baseline 4)
endif()
