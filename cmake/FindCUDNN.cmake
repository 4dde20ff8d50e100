# cuDNN's headers; the library itself is opened at run time. Looks in CUDNN_ROOT, CUDNN_PATH, .cuda-toolchain, the
# toolkit of CUDNN_TOOLKIT_ROOT, the system, conda, and pip wheels. Sets CUDNN_FOUND, CUDNN_VERSION and
# CUDNN_INCLUDE_DIR, and makes the target CUDNN::headers.
include("${CMAKE_CURRENT_LIST_DIR}/CudaSearch.cmake")

set(hints "${CUDNN_ROOT}" "$ENV{CUDNN_ROOT}" "$ENV{CUDNN_PATH}")
foreach(site ${GROUPCONV_TOOLCHAIN_SITES})
  list(APPEND hints "${site}/nvidia/cudnn")
endforeach()
if(CUDNN_TOOLKIT_ROOT)
  list(APPEND hints "${CUDNN_TOOLKIT_ROOT}" "${CUDNN_TOOLKIT_ROOT}/../cudnn") # the latter where both are pip wheels
endif()
list(APPEND hints "$ENV{CONDA_PREFIX}" /usr/local/cuda /usr)
set(suffixes include include/${CMAKE_LIBRARY_ARCHITECTURE})
find_path(CUDNN_INCLUDE_DIR cudnn_version.h PATHS ${hints} PATH_SUFFIXES ${suffixes} NO_DEFAULT_PATH)
if(NOT CUDNN_INCLUDE_DIR)
  groupconv_python_sites(sites)
  list(TRANSFORM sites APPEND "/nvidia/cudnn")
  find_path(CUDNN_INCLUDE_DIR cudnn_version.h PATHS ${sites} PATH_SUFFIXES include)
endif()
mark_as_advanced(CUDNN_INCLUDE_DIR)

set(CUDNN_VERSION)
if(CUDNN_INCLUDE_DIR)
  file(READ "${CUDNN_INCLUDE_DIR}/cudnn_version.h" header)
  foreach(part MAJOR MINOR PATCHLEVEL)
    string(REGEX MATCH "#define CUDNN_${part} +([0-9]+)" _ "${header}")
    list(APPEND CUDNN_VERSION "${CMAKE_MATCH_1}")
  endforeach()
  list(JOIN CUDNN_VERSION "." CUDNN_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_INCLUDE_DIR VERSION_VAR CUDNN_VERSION)
if(CUDNN_FOUND AND NOT TARGET CUDNN::headers AND NOT CMAKE_SCRIPT_MODE_FILE)
  add_library(CUDNN::headers INTERFACE IMPORTED)
  target_include_directories(CUDNN::headers SYSTEM INTERFACE "${CUDNN_INCLUDE_DIR}")
endif()
