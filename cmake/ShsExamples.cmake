# Every examples/NAME.c is a whole program, compiled as a user of the library would: only the public
# headers, only the shared library, and every warning an error. The binaries are in
# BUILD/examples/NAME.

file(GLOB SHS_EXAMPLES CONFIGURE_DEPENDS examples/*.c)
set(SHS_EXAMPLE_NAMES "")
set(SHS_EXAMPLES_LEFT_OUT "")

# What some of them need beside libshs: each is built where that is installed.
set(SHS_EXAMPLE_LINK_testing_cmocka ${SHS_CMOCKA})
if(PKG_CONFIG_FOUND)
  pkg_check_modules(SHS_LIBCURL QUIET IMPORTED_TARGET libcurl)
  pkg_check_modules(SHS_SQLITE QUIET IMPORTED_TARGET sqlite3)
endif()
if(SHS_LIBCURL_FOUND)
  set(SHS_EXAMPLE_LINK_testing_libcurl PkgConfig::SHS_LIBCURL)
endif()
if(SHS_SQLITE_FOUND)
  set(SHS_EXAMPLE_LINK_admin_api PkgConfig::SHS_SQLITE)
endif()
foreach(pair testing_cmocka:libcmocka-dev testing_libcurl:libcurl4-openssl-dev
             admin_api:libsqlite3-dev)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 name)
  list(GET pair 1 package)
  if(NOT SHS_EXAMPLE_LINK_${name})
    list(REMOVE_ITEM SHS_EXAMPLES ${CMAKE_CURRENT_SOURCE_DIR}/examples/${name}.c)
    list(APPEND SHS_EXAMPLES_LEFT_OUT "${name} (${package})")
  endif()
endforeach()
foreach(src ${SHS_EXAMPLES})
  get_filename_component(name ${src} NAME_WE)
  file(STRINGS ${src} wants_jansson REGEX "include <jansson.h>")
  if(wants_jansson AND NOT "SHS_HAVE_JANSSON" IN_LIST SHS_OPTIONAL_DEFINITIONS)
    list(APPEND SHS_EXAMPLES_LEFT_OUT "${name} (libjansson-dev)")
    continue()
  endif()
  list(APPEND SHS_EXAMPLE_NAMES ${name})
  add_executable(example_${name} ${src})
  set_target_properties(example_${name} PROPERTIES
                        OUTPUT_NAME ${name}
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/examples)
  # POSIX and a little more (getopt_long, strsignal), as any Linux program has it.
  target_compile_definitions(example_${name} PRIVATE _DEFAULT_SOURCE)
  target_link_libraries(example_${name} PRIVATE shs::shs Threads::Threads
                                                ${SHS_EXAMPLE_LINK_${name}})
  if(wants_jansson)
    target_link_libraries(example_${name} PRIVATE PkgConfig::SHS_JANSSON)
  endif()
  shs_warnings(example_${name})
endforeach()

# Those in C++, where there is a compiler for it.
include(CheckLanguage)
check_language(CXX)
file(GLOB SHS_EXAMPLES_CXX CONFIGURE_DEPENDS examples/*.cpp)
if(CMAKE_CXX_COMPILER)
  enable_language(CXX)
  foreach(src ${SHS_EXAMPLES_CXX})
    get_filename_component(name ${src} NAME_WE)
    list(APPEND SHS_EXAMPLE_NAMES ${name})
    add_executable(example_${name} ${src})
    set_target_properties(example_${name} PROPERTIES
                          OUTPUT_NAME ${name} CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON
                          CXX_EXTENSIONS OFF
                          RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/examples)
    target_compile_options(example_${name} PRIVATE -Wall -Wextra -Wpedantic -Wshadow
                                                   $<$<BOOL:${SHS_WERROR}>:-Werror>)
    target_link_libraries(example_${name} PRIVATE shs::shs Threads::Threads)
  endforeach()
else()
  list(APPEND SHS_EXAMPLES_LEFT_OUT "those in C++ (g++)")
endif()
if(SHS_EXAMPLES_LEFT_OUT)
  list(JOIN SHS_EXAMPLES_LEFT_OUT ", " left_out)
  message(STATUS "Examples left out, for want of a library: ${left_out}")
endif()
