# Every examples/NAME.c is a whole program, compiled as a user of the library would: only the public
# headers, only the shared library, and every warning an error. The binaries are in
# BUILD/examples/NAME.

file(GLOB SHS_EXAMPLES CONFIGURE_DEPENDS examples/*.c)
set(SHS_EXAMPLE_NAMES "")
foreach(src ${SHS_EXAMPLES})
  get_filename_component(name ${src} NAME_WE)
  list(APPEND SHS_EXAMPLE_NAMES ${name})
  add_executable(example_${name} ${src})
  set_target_properties(example_${name} PROPERTIES
                        OUTPUT_NAME ${name}
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/examples)
  # POSIX and a little more (getopt_long, strsignal), as any Linux program has it.
  target_compile_definitions(example_${name} PRIVATE _DEFAULT_SOURCE)
  target_link_libraries(example_${name} PRIVATE shs::shs Threads::Threads)
  shs_warnings(example_${name})
endforeach()
