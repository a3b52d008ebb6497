# bench/*.c: the programs of the benchmarks, a target each, not part of `all`. bench/run.sh builds
# them with -DSHS_BUILD_BENCH=ON.

file(GLOB SHS_BENCH_SOURCES CONFIGURE_DEPENDS bench/*.c)
foreach(src ${SHS_BENCH_SOURCES})
  get_filename_component(name ${src} NAME_WE)
  add_executable(${name} ${src})
  target_include_directories(${name} PRIVATE src)
  target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
  target_link_libraries(${name} PRIVATE shs_static shs_llhttp OpenSSL::SSL OpenSSL::Crypto
                                        Threads::Threads)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/bench)
endforeach()

# Puts bench/accounting.c around what the library allocates, to count it by part.
if(TARGET accounting)
  target_link_options(accounting PRIVATE
                      -Wl,--wrap=shs__conn_new,--wrap=shs__arena_alloc,--wrap=shs__buf_reserve_slow
                      -Wl,--wrap=shs__buf_append_slow,--wrap=shs__tls_stream_new
                      -Wl,--wrap=shs__tls_stream_handshake,--wrap=shs__tls_records_new)
endif()
