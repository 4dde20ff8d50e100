# The CUDA library, libgroupconv_cuda.so: a second shared library that the addon opens on demand. GROUPCONV_CUDA=auto
# builds it where nvcc and cuDNN's headers are, and is silent about machines without; on insists; off doesn't look.
set(choice auto)
if(NOT GROUPCONV_ADDON)
  set(choice off) # the native tests have the emulator; on runs them on a GPU
endif()
set(GROUPCONV_CUDA ${choice} CACHE STRING "Build the CUDA library: auto, on or off")
set_property(CACHE GROUPCONV_CUDA PROPERTY STRINGS auto on off)
# Turing (75) has no bfloat16 and no asynchronous copies. The newest also as PTX, for later GPUs.
set(GROUPCONV_CUDA_ARCHITECTURES "80;86;89;90;100;120" CACHE STRING
    "Compute capabilities that kernels are compiled for, those that nvcc knows of them; a shorter list builds faster")

string(TOLOWER "${GROUPCONV_CUDA}" choice)
if(NOT choice MATCHES "^(auto|on|off|true|false|1|0)$")
  message(FATAL_ERROR "GROUPCONV_CUDA is auto, on or off, found ${GROUPCONV_CUDA}")
endif()
# Says why there will be no CUDA library: an error where it was asked for.
function(groupconv_without_cuda reason)
  if(choice STREQUAL "auto")
    message(STATUS "groupconv: no CUDA library (${reason})")
  else()
    message(FATAL_ERROR "GROUPCONV_CUDA=${GROUPCONV_CUDA}: ${reason}")
  endif()
endfunction()
if(choice MATCHES "^(off|false|0)$")
  return()
endif()
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux" OR CMAKE_CROSSCOMPILING)
  groupconv_without_cuda("it is built on Linux, for the machine's own processor")
  return()
endif()

# Cheap questions first: enabling the language compiles programs.
include(cmake/CudaSearch.cmake)
groupconv_find_nvcc()
if(NOT nvcc)
  groupconv_without_cuda("no nvcc.${nvcc_refused} Install a CUDA toolkit of version 12 or newer, name its nvcc in \
CUDACXX, or run npm run cuda:toolchain")
  return()
endif()
get_filename_component(toolkit "${nvcc}" DIRECTORY)
get_filename_component(toolkit "${toolkit}" DIRECTORY)
list(PREPEND CMAKE_MODULE_PATH "${CMAKE_SOURCE_DIR}/cmake")
set(CUDNN_TOOLKIT_ROOT "${toolkit}")
find_package(CUDNN 9 QUIET)
if(NOT CUDNN_FOUND)
  groupconv_without_cuda("${nvcc}, but no headers of cuDNN 9 or newer${CUDNN_VERSION}. Install cuDNN, name its folder in \
CUDNN_ROOT, or run npm run cuda:toolchain")
  return()
endif()

set(CMAKE_CUDA_COMPILER "${nvcc}" CACHE FILEPATH "nvcc" FORCE)
set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
set(CMAKE_CUDA_ARCHITECTURES OFF) # spelled out below: CMake's own list depends on its version
# pip's toolkit has lib, where nvcc's profile names lib64.
set(CMAKE_CUDA_FLAGS_INIT "-L${toolkit}/lib")
enable_language(CUDA)
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20) # CMake 3.25 does not know that nvcc 13 has it

# Machine code for each architecture, from the intermediate code of the oldest of its generation: that is where nvcc's
# time goes. The newest one's intermediate code (PTX) comes along.
execute_process(COMMAND "${nvcc}" --list-gpu-code OUTPUT_VARIABLE known)
list(SORT GROUPCONV_CUDA_ARCHITECTURES COMPARE NATURAL)
set(architectures)
set(generations)
foreach(architecture ${GROUPCONV_CUDA_ARCHITECTURES})
  if(known MATCHES "sm_${architecture}[^0-9a-z]")
    list(APPEND architectures ${architecture})
    math(EXPR generation "${architecture} / 10")
    list(APPEND generations ${generation})
    if(NOT oldest_${generation})
      set(oldest_${generation} ${architecture})
    endif()
    set(code_${generation} "${code_${generation}},sm_${architecture}")
  endif()
endforeach()
if(NOT architectures)
  message(FATAL_ERROR "${nvcc} compiles for none of ${GROUPCONV_CUDA_ARCHITECTURES}")
endif()
set(code_${generation} "${code_${generation}},compute_${oldest_${generation}}")
list(GET architectures 0 oldest)
list(REMOVE_DUPLICATES generations)
set(gpu_code)
foreach(generation ${generations})
  string(SUBSTRING "${code_${generation}}" 1 -1 code)
  list(APPEND gpu_code "--generate-code=arch=compute_${oldest_${generation}},code=[${code}]")
endforeach()

# Objects, because solvers make themselves known, which an archive would drop.
add_library(groupconv_cuda_units OBJECT ${GROUPCONV_CUDA_UNITS})
# nvcc takes ten times as long as the host's compiler: units without device code are left to that. A unit taken for one
# of them by mistake does not compile, because launch() is nvcc's alone.
foreach(unit ${GROUPCONV_CUDA_UNITS})
  file(STRINGS ${unit} kernels REGEX "__global__|__device__|launch\\(context|\\.cuda\\.h\"" LIMIT_COUNT 1)
  if(NOT kernels)
    set_source_files_properties(${unit} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
  endif()
endforeach()
set_target_properties(groupconv_cuda_units PROPERTIES
  CUDA_VISIBILITY_PRESET hidden CUDA_COMPILER_LAUNCHER "${CMAKE_SOURCE_DIR}/cmake/keepUsage.sh")
target_include_directories(groupconv_cuda_units PUBLIC native)
target_include_directories(groupconv_cuda_units SYSTEM PUBLIC "${toolkit}/include")
target_compile_definitions(groupconv_cuda_units PRIVATE GROUPCONV_OLDEST_CAPABILITY=${oldest})
target_compile_options(groupconv_cuda_units
  PUBLIC "$<$<COMPILE_LANGUAGE:CUDA>:${gpu_code};--expt-relaxed-constexpr;--extended-lambda;-Xptxas=-v>"
  PRIVATE "$<IF:$<COMPILE_LANGUAGE:CUDA>,-Xcompiler=-Wall$<COMMA>-Wextra,-Wall;-Wextra>")
target_link_directories(groupconv_cuda_units PUBLIC "${toolkit}/lib" "${toolkit}/lib64")
target_link_libraries(groupconv_cuda_units PUBLIC CUDNN::headers cudart_static Threads::Threads rt ${CMAKE_DL_LIBS})

add_library(groupconv_cuda SHARED)
set_target_properties(groupconv_cuda PROPERTIES LINKER_LANGUAGE CXX SKIP_BUILD_RPATH ON
  LINK_DEPENDS "${CMAKE_SOURCE_DIR}/native/cuda/library.exports")
target_link_libraries(groupconv_cuda PRIVATE groupconv_cuda_units)
# defs: what is missing shows here and not on a user's machine; nodelete: solvers and queued work point into it.
target_link_options(groupconv_cuda PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/native/cuda/library.exports
  -Wl,-z,now -Wl,-z,defs -Wl,-z,nodelete)

list(JOIN architectures " " architectures)
message(STATUS "groupconv: CUDA library with nvcc ${nvcc_version} and cuDNN ${CUDNN_VERSION}, for ${architectures}")
