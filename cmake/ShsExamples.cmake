# Every examples/NAME.c is a whole program, compiled as a user of the library would: only the public
# headers, only the shared library, and every warning an error. The binaries are in
# BUILD/examples/NAME.

file(GLOB SHS_EXAMPLES CONFIGURE_DEPENDS examples/*.c)
set(SHS_EXAMPLE_NAMES "")
foreach(src ${SHS_EXAMPLES})
  get_filename_component(name ${src} NAME_WE)
  file(STRINGS ${src} wants_jansson REGEX "include <jansson.h>")
  if(wants_jansson AND NOT "SHS_HAVE_JANSSON" IN_LIST SHS_OPTIONAL_DEFINITIONS)
    message(STATUS "The example ${name} needs jansson: left out")
    continue()
  endif()
  list(APPEND SHS_EXAMPLE_NAMES ${name})
  add_executable(example_${name} ${src})
  set_target_properties(example_${name} PROPERTIES
                        OUTPUT_NAME ${name}
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/examples)
  # POSIX and a little more (getopt_long, strsignal), as any Linux program has it.
  target_compile_definitions(example_${name} PRIVATE _DEFAULT_SOURCE)
  target_link_libraries(example_${name} PRIVATE shs::shs Threads::Threads)
  if(wants_jansson)
    target_link_libraries(example_${name} PRIVATE PkgConfig::SHS_JANSSON)
  endif()
  shs_warnings(example_${name})
endforeach()
