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

include(cmake/CudaCode.cmake)
execute_process(COMMAND "${nvcc}" --list-gpu-code OUTPUT_VARIABLE known)
groupconv_gpu_code("${known}" "${GROUPCONV_CUDA_ARCHITECTURES}")
if(NOT gpu_code)
  groupconv_without_cuda("${nvcc} compiles for none of ${GROUPCONV_CUDA_ARCHITECTURES}")
  return()
endif()
groupconv_find_toolkit("${nvcc}")
set(flags)
if(cuda_include)
  list(APPEND flags "-I${cuda_include}")
endif()
if(cuda_lib)
  list(APPEND flags "-L${cuda_lib}")
endif()
# CMake takes flags apart at spaces when it identifies the compiler.
if("${flags}" MATCHES " ")
  groupconv_without_cuda("${nvcc}: CMake can't use a toolkit whose path has spaces")
  return()
endif()
# What enabling the language would stop at, the CPU's part included: an nvcc that the host's compiler is too new for, or
# whose toolkit lacks something.
if(NOT GROUPCONV_NVCC_THAT_WORKS STREQUAL "${nvcc}")
  file(WRITE "${CMAKE_BINARY_DIR}/nvcc/works.cu" "__global__ void f() {}\nint main() { f<<<1, 1>>>(); }\n")
  execute_process(COMMAND "${nvcc}" "-ccbin=${CMAKE_CXX_COMPILER}" -std=c++20 ${flags} works.cu -o works
    WORKING_DIRECTORY "${CMAKE_BINARY_DIR}/nvcc" RESULT_VARIABLE failed OUTPUT_VARIABLE words ERROR_VARIABLE words)
  if(failed)
    groupconv_without_cuda("${nvcc} builds no program: ${words}")
    return()
  endif()
  set(GROUPCONV_NVCC_THAT_WORKS "${nvcc}" CACHE INTERNAL "")
endif()

set(CMAKE_CUDA_COMPILER "${nvcc}" CACHE FILEPATH "nvcc" FORCE)
set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
set(CMAKE_CUDA_ARCHITECTURES OFF) # spelled out below: CMake's own list depends on its version
list(JOIN flags " " CMAKE_CUDA_FLAGS_INIT)
enable_language(CUDA)
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20) # CMake 3.25 does not know that nvcc 13 has it

# Objects, because solvers make themselves known, which an archive would drop.
add_library(groupconv_cuda_units OBJECT ${GROUPCONV_CUDA_UNITS})
# nvcc takes ten times as long as the host's compiler: units without device code are left to that. A unit taken for one
# of them by mistake does not compile, because launch() is nvcc's alone.
function(groupconv_leave_to_the_host)
  foreach(unit ${ARGN})
    file(STRINGS ${unit} kernels REGEX "__global__|__device__|launch\\((context|engine)|\\.cuda\\.h\"" LIMIT_COUNT 1)
    if(NOT kernels)
      set_source_files_properties(${unit} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
    endif()
  endforeach()
endfunction()
groupconv_leave_to_the_host(${GROUPCONV_CUDA_UNITS})
set_target_properties(groupconv_cuda_units PROPERTIES
  CUDA_VISIBILITY_PRESET hidden CUDA_COMPILER_LAUNCHER "${CMAKE_SOURCE_DIR}/cmake/keepUsage.sh")
target_include_directories(groupconv_cuda_units PUBLIC native)
target_include_directories(groupconv_cuda_units SYSTEM PUBLIC
  $<$<BOOL:${cuda_include}>:${cuda_include}> ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
target_compile_definitions(groupconv_cuda_units PRIVATE "GROUPCONV_GPU_CODE=\"${gpu_code_names}\"")
target_compile_options(groupconv_cuda_units
  PUBLIC "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;--extended-lambda>"
  PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${gpu_code};-Xptxas=-v>"
  PRIVATE "$<IF:$<COMPILE_LANGUAGE:CUDA>,-Xcompiler=-Wall$<COMMA>-Wextra,-Wall;-Wextra>")
target_link_directories(groupconv_cuda_units PUBLIC
  $<$<BOOL:${cuda_lib}>:${cuda_lib}> ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES})
target_link_libraries(groupconv_cuda_units PUBLIC CUDNN::headers cudart_static Threads::Threads rt ${CMAKE_DL_LIBS})

add_library(groupconv_cuda SHARED)
set_target_properties(groupconv_cuda PROPERTIES LINKER_LANGUAGE CXX SKIP_BUILD_RPATH ON
  LINK_DEPENDS "${CMAKE_SOURCE_DIR}/native/cuda/library.exports")
target_link_libraries(groupconv_cuda PRIVATE groupconv_cuda_units)
# defs: what is missing shows here and not on a user's machine; nodelete: solvers and queued work point into it.
target_link_options(groupconv_cuda PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/native/cuda/library.exports
  -Wl,-z,now -Wl,-z,defs -Wl,-z,nodelete)

message(STATUS "groupconv: CUDA library with nvcc ${nvcc_version} and cuDNN ${CUDNN_VERSION}, ${gpu_code_names}")
