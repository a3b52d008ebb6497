# Runs portfile.cmake without vcpkg: what it calls of vcpkg's is imitated, and the libraries are those of this machine.
#
#   cmake -DWORK=/tmp/port [-DLINKAGE=static] [-DSOURCES=ON] -P packaging/vcpkg/try.cmake
#
# It configures, builds (Release) and installs into WORK/packages, and fails where the port does, or leaves files
# where vcpkg's own checks of a port do not want them.

cmake_minimum_required(VERSION 3.25)
if(NOT WORK)
  message(FATAL_ERROR "give -DWORK=DIR, where to build")
endif()
if(NOT LINKAGE)
  set(LINKAGE dynamic)
endif()
set(PORT shs)
set(CURRENT_PORT_DIR ${CMAKE_CURRENT_LIST_DIR})
set(CURRENT_PACKAGES_DIR ${WORK}/packages)
set(VCPKG_LIBRARY_LINKAGE ${LINKAGE})
set(FEATURES core brotli json zlib zstd)

function(run)
  execute_process(COMMAND ${ARGN} OUTPUT_FILE ${WORK}/log ERROR_FILE ${WORK}/log RESULT_VARIABLE result)
  if(result)
    file(READ ${WORK}/log text)
    message(FATAL_ERROR "${ARGN}\n${text}")
  endif()
endfunction()

function(vcpkg_check_features)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "OUT_FEATURE_OPTIONS" "FEATURES")
  set(options "")
  while(arg_FEATURES)
    list(POP_FRONT arg_FEATURES feature option)
    set(value OFF)
    if(feature IN_LIST FEATURES)
      set(value ON)
    endif()
    list(APPEND options -D${option}=${value})
  endwhile()
  set(${arg_OUT_FEATURE_OPTIONS} ${options} PARENT_SCOPE)
endfunction()

function(vcpkg_find_acquire_program name)
  find_program(${name} pkg-config REQUIRED)
endfunction()

function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "SOURCE_PATH" "OPTIONS")
  # A machine without libllhttp takes the sources.
  if(SOURCES)
    list(APPEND arg_OPTIONS -DSHS_LLHTTP=sources)
  endif()
  run(${CMAKE_COMMAND} -S ${arg_SOURCE_PATH} -B ${WORK}/build -G Ninja -DCMAKE_BUILD_TYPE=Release
      -DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR} -DCMAKE_INSTALL_LIBDIR=lib ${arg_OPTIONS})
endfunction()

function(vcpkg_cmake_install)
  run(${CMAKE_COMMAND} --build ${WORK}/build)
  run(${CMAKE_COMMAND} --install ${WORK}/build)
endfunction()

function(vcpkg_cmake_config_fixup)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "CONFIG_PATH" "")
  file(MAKE_DIRECTORY ${CURRENT_PACKAGES_DIR}/share)
  file(RENAME ${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH} ${CURRENT_PACKAGES_DIR}/share/${PORT})
  file(REMOVE_RECURSE ${CURRENT_PACKAGES_DIR}/lib/cmake)
  # One folder less: the prefix is found from where the file lies.
  file(GLOB files ${CURRENT_PACKAGES_DIR}/share/${PORT}/*.cmake)
  foreach(file ${files})
    file(READ ${file} text)
    string(REPLACE "\${CMAKE_CURRENT_LIST_DIR}/../../../" "\${CMAKE_CURRENT_LIST_DIR}/../../" text "${text}")
    string(REPLACE "get_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)\nget_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)\nget_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)"
           "get_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)\nget_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)" text "${text}")
    file(WRITE ${file} "${text}")
  endforeach()
endfunction()

function(vcpkg_fixup_pkgconfig)
  run(${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${CURRENT_PACKAGES_DIR}/lib/pkgconfig pkg-config --exists --print-errors shs)
endfunction()

function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FILE_LIST")
  file(INSTALL ${arg_FILE_LIST} DESTINATION ${CURRENT_PACKAGES_DIR}/share/${PORT} RENAME copyright)
endfunction()

file(MAKE_DIRECTORY ${WORK})
include(${CMAKE_CURRENT_LIST_DIR}/portfile.cmake)

foreach(file share/shs/copyright share/shs/usage share/shs/shsConfig.cmake include/shs/shs.h lib/pkgconfig/shs.pc)
  if(NOT EXISTS ${CURRENT_PACKAGES_DIR}/${file})
    message(FATAL_ERROR "the port has no ${file}")
  endif()
endforeach()
file(GLOB libraries RELATIVE ${CURRENT_PACKAGES_DIR}/lib ${CURRENT_PACKAGES_DIR}/lib/libshs.*)
if((LINKAGE STREQUAL "static") STREQUAL ("libshs.so" IN_LIST libraries))
  message(FATAL_ERROR "linkage ${LINKAGE}, and the port has ${libraries}")
endif()

# A program that finds it as vcpkg's toolchain would let it.
file(WRITE ${WORK}/program/main.c
     "#include <shs/shs.h>\n#include <stdio.h>\nint main(void) { struct shs_server *s = NULL; struct shs_options o; struct shs_error e;
static const struct shs_http_handler h = {.name = \"h\"};
shs_options_init(&o); if (shs_http_server_new(&s, &o, &h, &e) != SHS_OK) return 1; shs_server_free(s); puts(shs_version()); return 0; }\n")
file(WRITE ${WORK}/program/CMakeLists.txt
     "cmake_minimum_required(VERSION 3.25)\nproject(program C)\nfind_package(shs CONFIG REQUIRED)\nadd_executable(main main.c)\ntarget_link_libraries(main PRIVATE shs::shs)\n")
run(${CMAKE_COMMAND} -S ${WORK}/program -B ${WORK}/program/build -G Ninja -Dshs_DIR=${CURRENT_PACKAGES_DIR}/share/shs)
run(${CMAKE_COMMAND} --build ${WORK}/program/build)
run(${WORK}/program/build/main)
message(STATUS "the port of linkage ${LINKAGE} builds: ${libraries}; a program finds it and runs")
