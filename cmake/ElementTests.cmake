# The element type is a parameter of the kernels as the instruction set is. No solver list has another one than float32
# yet, so a test compiles the same units once more.
set(GROUPCONV_BFLOAT16_UNITS native/ops/conv2d/pointwise.simd.cpp native/ops/conv2d/grouped.simd.cpp
                             native/ops/conv2d/groupedFive.simd.cpp)
if(DEFINED GROUPCONV_AVX2)
  groupconv_kernels(bfloat16 "${GROUPCONV_BFLOAT16_UNITS}" ${GROUPCONV_AVX2})
else()
  groupconv_kernels(bfloat16 "${GROUPCONV_BFLOAT16_UNITS}" 4)
endif()
target_compile_definitions(groupconv_bfloat16 PRIVATE GROUPCONV_ELEMENT=BFloat16)
target_link_libraries(bfloat16_test PRIVATE $<TARGET_OBJECTS:groupconv_bfloat16>)
