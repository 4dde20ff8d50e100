# The CUDA library on the host: the same sources as C++, on native/cuda/emulator's headers instead of NVIDIA's.
add_library(groupconv_cuda_emulated_units OBJECT ${GROUPCONV_CUDA_UNITS} ${GROUPCONV_EMULATOR_UNITS})
set_source_files_properties(${GROUPCONV_CUDA_UNITS} ${GROUPCONV_CUDA_TEST_UNITS} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
target_include_directories(groupconv_cuda_emulated_units PUBLIC native native/cuda/emulator)
target_compile_definitions(groupconv_cuda_emulated_units PUBLIC GROUPCONV_EMULATED)
target_compile_options(groupconv_cuda_emulated_units PRIVATE -O2 -Wall -Wextra -Wno-unknown-pragmas)

add_library(groupconv_cuda_emulated SHARED)
target_link_libraries(groupconv_cuda_emulated PRIVATE groupconv_cuda_emulated_units)

# A test stands beside its kernels; it calls them through the operator's door, on an emulated stream.
foreach(unit ${GROUPCONV_CUDA_TEST_UNITS})
  get_filename_component(name ${unit} NAME)
  string(REPLACE ".test.cu" "_test" name ${name})
  string(REPLACE "." "_" name ${name})
  add_executable(${name} ${unit})
  target_link_libraries(${name} PRIVATE groupconv_core groupconv_cuda_emulated_units)
  target_compile_options(${name} PRIVATE -Wall -Wextra -Wno-unknown-pragmas)
  add_test(NAME ${name} COMMAND ${name})
endforeach()
