# Fuzz targets: fuzz/fuzz_NAME.c, each with a corpus in fuzz/corpus/NAME.
#
# With the tests, any compiler builds fuzz_NAME with a small main of its own and runs it over its
# corpus (ctest -L fuzz). With SHS_BUILD_FUZZ, clang builds NAME.fuzz with libFuzzer as well:
# cmake --preset fuzz (see fuzz/README.md).

file(GLOB SHS_FUZZ_TARGETS CONFIGURE_DEPENDS fuzz/fuzz_*.c)

function(shs_fuzz_program target)
  add_executable(${target} ${ARGN} fuzz/reference.c tests/unit/h1_lab.c)
  target_include_directories(${target} PRIVATE src tests/unit fuzz)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_link_libraries(${target} PRIVATE shs_static shs_llhttp OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
  shs_warnings(${target})
endfunction()

if(SHS_BUILD_FUZZ AND NOT SHS_SANITIZE MATCHES "fuzzer-no-link")
  message(FATAL_ERROR "SHS_BUILD_FUZZ needs clang and "
                      "-DSHS_SANITIZE=fuzzer-no-link,address,undefined (see fuzz/README.md)")
endif()

foreach(src ${SHS_FUZZ_TARGETS})
  get_filename_component(name ${src} NAME_WE)
  string(REPLACE "fuzz_" "" corpus ${name})
  if(SHS_BUILD_TESTS)
    shs_fuzz_program(${name} ${src} fuzz/standalone_main.c)
    if(name STREQUAL "fuzz_records") # two handshakes for each input
      target_compile_definitions(${name} PRIVATE VARIANTS=8u)
    endif()
    shs_test(${name} fuzz 120 ${name} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${corpus})
  endif()
  if(SHS_BUILD_FUZZ)
    shs_fuzz_program(${corpus}.fuzz ${src})
    target_link_options(${corpus}.fuzz PRIVATE -fsanitize=fuzzer)
  endif()
endforeach()
