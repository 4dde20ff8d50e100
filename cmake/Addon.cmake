# cmake-js passes the Node-API headers in CMAKE_JS_INC; plain cmake finds them beside us.
set(headers ${CMAKE_JS_INC})
if(NOT headers)
  foreach(package node-api-headers node-addon-api)
    set(folder "${CMAKE_SOURCE_DIR}/node_modules/${package}")
    if(NOT EXISTS "${folder}")
      find_program(NODE_EXECUTABLE NAMES node nodejs REQUIRED)
      execute_process(
        COMMAND "${NODE_EXECUTABLE}" -p "require('path').dirname(require.resolve('${package}/package.json'))"
        WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE
        RESULT_VARIABLE failed)
      if(failed)
        message(FATAL_ERROR "${package} not found: run npm install first")
      endif()
    endif()
    list(APPEND headers "${folder}" "${folder}/include")
  endforeach()
endif()

add_library(groupconv_addon MODULE ${GROUPCONV_ADDON_UNITS} ${CMAKE_JS_SRC})
set_target_properties(groupconv_addon PROPERTIES PREFIX "" SUFFIX ".node" OUTPUT_NAME groupconv)
target_include_directories(groupconv_addon SYSTEM PRIVATE ${headers})
target_include_directories(groupconv_addon PRIVATE bindings)
target_compile_options(groupconv_addon PRIVATE -Wall -Wextra)
target_link_libraries(groupconv_addon PRIVATE groupconv_core ${CMAKE_JS_LIB})
if(APPLE)
  target_link_options(groupconv_addon PRIVATE -undefined dynamic_lookup)
elseif(UNIX)
  # nodelete: Node unloads an addon that only workers loaded, under running threads.
  target_link_options(groupconv_addon PRIVATE -Wl,--exclude-libs,ALL -Wl,-z,now -Wl,-z,nodelete)
endif()
