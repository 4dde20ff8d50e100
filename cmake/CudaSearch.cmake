# Where a CUDA toolkit and cuDNN may be. Nothing here fails, compiles or downloads anything.

# Site directories of the project's own .cuda-toolchain (npm run cuda:toolchain), and those of the Pythons on PATH, the
# active virtual environment's first. Asking Python costs more than all else here, so it comes last and once.
file(GLOB GROUPCONV_TOOLCHAIN_SITES "${CMAKE_SOURCE_DIR}/.cuda-toolchain/lib/python3*/site-packages")

function(groupconv_python_sites out)
  get_property(sites GLOBAL PROPERTY GROUPCONV_PYTHON_SITES)
  get_property(asked GLOBAL PROPERTY GROUPCONV_PYTHON_SITES SET)
  if(NOT asked)
    set(sites)
    set(active)
    if(DEFINED ENV{VIRTUAL_ENV}) # else /bin would come before PATH
      set(active HINTS "$ENV{VIRTUAL_ENV}/bin")
    endif()
    foreach(name python3 python)
      find_program(GROUPCONV_${name} ${name} ${active})
      mark_as_advanced(GROUPCONV_${name})
      if(GROUPCONV_${name})
        execute_process(COMMAND "${GROUPCONV_${name}}" -c "import sys; print(';'.join(filter(None, sys.path)))"
                        OUTPUT_VARIABLE path OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
        list(APPEND sites ${path})
      endif()
    endforeach()
    list(REMOVE_DUPLICATES sites)
    set_property(GLOBAL PROPERTY GROUPCONV_PYTHON_SITES "${sites}")
  endif()
  set(${out} "${sites}" PARENT_SCOPE)
endfunction()

# The first of the given nvccs that is new enough (C++20 came with 12.0): sets nvcc and nvcc_version. Those that are
# not are told in nvcc_refused.
macro(groupconv_try_nvcc)
  foreach(candidate ${ARGN})
    if(NOT nvcc AND EXISTS "${candidate}" AND NOT IS_DIRECTORY "${candidate}")
      execute_process(COMMAND "${candidate}" --version OUTPUT_VARIABLE nvcc_version ERROR_QUIET)
      string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" _ "${nvcc_version}")
      set(nvcc_version "${CMAKE_MATCH_1}")
      if(nvcc_version VERSION_GREATER_EQUAL 12.0)
        file(REAL_PATH "${candidate}" nvcc)
      else()
        string(APPEND nvcc_refused " ${candidate} is version ${nvcc_version}, 12.0 is needed.")
      endif()
    endif()
  endforeach()
endmacro()

# What an earlier run found, CUDACXX, .cuda-toolchain, CUDA_HOME, CUDA_PATH, /usr/local/cuda, PATH, conda, pip wheels.
function(groupconv_find_nvcc)
  set(nvcc)
  set(nvcc_refused)
  groupconv_try_nvcc("${CMAKE_CUDA_COMPILER}" "$ENV{CUDACXX}")
  foreach(site ${GROUPCONV_TOOLCHAIN_SITES})
    groupconv_try_nvcc("${site}/nvidia/cu13/bin/nvcc")
  endforeach()
  find_program(GROUPCONV_NVCC_ON_PATH nvcc NO_CMAKE_PATH NO_CMAKE_SYSTEM_PATH)
  mark_as_advanced(GROUPCONV_NVCC_ON_PATH)
  groupconv_try_nvcc("$ENV{CUDA_HOME}/bin/nvcc" "$ENV{CUDA_PATH}/bin/nvcc" /usr/local/cuda/bin/nvcc
                     "${GROUPCONV_NVCC_ON_PATH}" "$ENV{CONDA_PREFIX}/bin/nvcc")
  if(NOT nvcc)
    groupconv_python_sites(sites)
    foreach(site ${sites})
      groupconv_try_nvcc("${site}/nvidia/cu13/bin/nvcc" "${site}/nvidia/cuda_nvcc/bin/nvcc")
    endforeach()
  endif()
  foreach(result nvcc nvcc_version nvcc_refused)
    set(${result} "${${result}}" PARENT_SCOPE)
  endforeach()
endfunction()

# groupconv_find_toolkit(NVCC): where that nvcc's toolkit has the runtime's headers and its static library, which nvcc
# itself does not always know. Sets cuda_include and cuda_lib; NOTFOUND where none is.
#   toolkit        include, lib64
#   conda, Debian  targets/x86_64-linux/{include,lib}
#   pip, CUDA 13   nvidia/cu13/{include,lib}
#   pip, CUDA 12   another wheel: nvidia/cuda_nvcc/bin/nvcc, nvidia/cuda_runtime/{include,lib}
function(groupconv_find_toolkit nvcc)
  get_filename_component(toolkit "${nvcc}" DIRECTORY)
  get_filename_component(toolkit "${toolkit}" DIRECTORY)
  set(processor "${CMAKE_HOST_SYSTEM_PROCESSOR}")
  set(targets "${toolkit}/targets/${processor}-linux")
  if(processor STREQUAL "aarch64")
    list(APPEND targets "${toolkit}/targets/sbsa-linux")
  endif()
  set(places "${toolkit}" ${targets} "${toolkit}/../cuda_runtime")
  set(include NOTFOUND)
  set(lib NOTFOUND)
  foreach(place ${places})
    if(NOT include AND EXISTS "${place}/include/cuda_runtime.h")
      file(REAL_PATH "${place}/include" include)
    endif()
    foreach(folder lib64 lib)
      if(NOT lib AND EXISTS "${place}/${folder}/libcudart_static.a")
        file(REAL_PATH "${place}/${folder}" lib)
      endif()
    endforeach()
  endforeach()
  set(cuda_include "${include}" PARENT_SCOPE)
  set(cuda_lib "${lib}" PARENT_SCOPE)
endfunction()
