# native/sources.json is the one list of sources; binding.gyp reads it, too. A file's ending says what it is:
# *.simd.cpp is compiled once per instruction set, *.test.cpp belongs to the native tests.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS native/sources.json)
file(READ native/sources.json GROUPCONV_SOURCES_JSON)

function(groupconv_sources group out)
  string(JSON count LENGTH "${GROUPCONV_SOURCES_JSON}" ${group})
  math(EXPR last "${count} - 1")
  set(patterns)
  foreach(i RANGE ${last})
    string(JSON pattern GET "${GROUPCONV_SOURCES_JSON}" ${group} ${i})
    list(APPEND patterns ${pattern})
  endforeach()
  file(GLOB files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ${patterns})
  if(group STREQUAL "core")
    list(FILTER files EXCLUDE REGEX "\\.(simd|test)\\.cpp$")
  endif()
  set(${out} ${files} PARENT_SCOPE)
endfunction()

groupconv_sources(core GROUPCONV_CORE)
groupconv_sources(isa GROUPCONV_ISA_UNITS)
groupconv_sources(tests GROUPCONV_TEST_UNITS)
groupconv_sources(addon GROUPCONV_ADDON_UNITS)
