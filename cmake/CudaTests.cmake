# Tests of the CUDA kernels, beside them: each calls its operator's door. On a GPU with GROUPCONV_CUDA=on; else on the
# host: the library's sources as C++, with native/cuda/emulator's headers instead of NVIDIA's.
# Sanitizers don't follow fibers well, and another processor would only run the same threads slowly.
if(GROUPCONV_SANITIZE OR CMAKE_CROSSCOMPILING)
  return()
endif()
if(TARGET groupconv_cuda_units)
  set(units groupconv_cuda_units)
  list(FILTER GROUPCONV_CUDA_TEST_UNITS EXCLUDE REGEX "emulator")
  groupconv_leave_to_the_host(${GROUPCONV_CUDA_TEST_UNITS})
  set(GROUPCONV_CUDA_TEST_ARCHITECTURES "${GROUPCONV_CUDA_ARCHITECTURES}" CACHE STRING
      "Compute capabilities of which the tests' own kernels are compiled for those that nvcc knows")
  groupconv_gpu_code("${known}" "${GROUPCONV_CUDA_TEST_ARCHITECTURES}")
else()
  set(units groupconv_cuda_emulated_units)
  add_library(${units} OBJECT ${GROUPCONV_CUDA_UNITS} ${GROUPCONV_EMULATOR_UNITS})
  set_source_files_properties(${GROUPCONV_CUDA_UNITS} ${GROUPCONV_CUDA_TEST_UNITS} PROPERTIES
    LANGUAGE CXX COMPILE_OPTIONS "-xc++")
  target_include_directories(${units} PUBLIC native native/cuda/emulator)
  target_compile_definitions(${units} PUBLIC GROUPCONV_EMULATED)
  # GCC takes members that a kernel sets in its first round for maybe uninitialised; setting them earlier costs a register
  # on the GPU, and spills.
  target_compile_options(${units} PRIVATE -O2 -Wall -Wextra -Wno-unknown-pragmas -Wno-maybe-uninitialized)

  add_library(groupconv_cuda_emulated SHARED)
  target_link_libraries(groupconv_cuda_emulated PRIVATE ${units})

  # What the emulated library opens instead of libcudnn.so.9.
  add_library(groupconv_cudnn_standin SHARED ${GROUPCONV_CUDNN_STANDIN_UNITS})
  target_include_directories(groupconv_cudnn_standin PRIVATE native)
  target_compile_options(groupconv_cudnn_standin PRIVATE -O2 -Wall -Wextra)

  # npm run cuda:plans: NVIDIA's cuDNN itself, without a GPU and with a driver that is none.
  add_library(groupconv_deviceless_driver SHARED EXCLUDE_FROM_ALL native/cuda/deviceless/driver.cpp)
  set_target_properties(groupconv_deviceless_driver PROPERTIES PREFIX "" OUTPUT_NAME libcuda SUFFIX ".so.1" NO_SONAME ON
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/deviceless)
  target_link_options(groupconv_deviceless_driver PRIVATE -Wl,-soname,libcuda.so.1)
  add_library(groupconv_cudnn_deviceless SHARED EXCLUDE_FROM_ALL native/cuda/deviceless/cudnn.cpp)
  target_link_libraries(groupconv_cudnn_deviceless PRIVATE -Wl,--no-as-needed groupconv_deviceless_driver ${CMAKE_DL_LIBS})
  add_executable(cudnn_plans EXCLUDE_FROM_ALL native/cuda/deviceless/plans.cpp)
  target_link_libraries(cudnn_plans PRIVATE groupconv_core ${units})
  add_dependencies(cudnn_plans groupconv_cudnn_deviceless)
  foreach(target groupconv_deviceless_driver groupconv_cudnn_deviceless cudnn_plans)
    target_include_directories(${target} PRIVATE native)
    target_compile_options(${target} PRIVATE -O2 -Wall -Wextra)
    set_target_properties(${target} PROPERTIES CXX_VISIBILITY_PRESET default)
  endforeach()
endif()

add_custom_target(groupconv_cuda_tests) # all of them
foreach(unit ${GROUPCONV_CUDA_TEST_UNITS})
  get_filename_component(name ${unit} NAME)
  string(REPLACE ".test.cu" "_test" name ${name})
  string(REPLACE "." "_" name ${name})
  add_executable(${name} ${unit})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(${name} PRIVATE groupconv_core ${units})
  target_compile_options(${name} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:${gpu_code}>"
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-unknown-pragmas -Wno-maybe-uninitialized>)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77) # kSkipped: there is no device
  add_dependencies(groupconv_cuda_tests ${name})
  if(TARGET groupconv_cudnn_standin)
    add_dependencies(${name} groupconv_cudnn_standin)
    target_compile_definitions(${name} PRIVATE GROUPCONV_CUDNN_STANDIN="$<TARGET_FILE:groupconv_cudnn_standin>")
  endif()
endforeach()
