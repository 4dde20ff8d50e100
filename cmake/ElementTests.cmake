# The element type is a parameter of the kernels as the instruction set is. No solver list has another one than float32
# yet, so a test compiles the same units once more.
file(GLOB GROUPCONV_ELEMENT_UNITS CONFIGURE_DEPENDS native/ops/conv2d/*.simd.cpp)
if(DEFINED GROUPCONV_AVX2)
  groupconv_kernels(bfloat16 "${GROUPCONV_ELEMENT_UNITS}" ${GROUPCONV_AVX2})
else()
  groupconv_kernels(bfloat16 "${GROUPCONV_ELEMENT_UNITS}" 4)
endif()
target_compile_definitions(groupconv_bfloat16 PRIVATE GROUPCONV_ELEMENT=BFloat16)
target_link_libraries(bfloat16_test PRIVATE $<TARGET_OBJECTS:groupconv_bfloat16>)
