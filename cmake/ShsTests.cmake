# The tests, all under ctest. Labels: unit, integration, example, style, valgrind.
#
# What a test may count on in its environment:
#   SHS_SOURCE_DIR  SHS_BUILD_DIR  PYTHON
#   SHS_BIN         the command shs, of this build
#   SHS_SANITIZE    the sanitizers of this build, or empty: a test may allow itself more time
#   EXAMPLE_BIN     the program (label example only)

set(SHS_TEST_ENV
    SHS_SOURCE_DIR=${CMAKE_CURRENT_SOURCE_DIR}
    SHS_BUILD_DIR=${CMAKE_CURRENT_BINARY_DIR}
    SHS_BIN=${CMAKE_CURRENT_BINARY_DIR}/shs
    PYTHON=${Python3_EXECUTABLE}
    PYTHONDONTWRITEBYTECODE=1
    CC=${CMAKE_C_COMPILER}
    SHS_SANITIZE=${SHS_SANITIZE}
    SHS_COVERAGE=${SHS_COVERAGE}
    ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1)
if(SHS_SANITIZED OR SHS_COVERAGE)
  set(SHS_TIME_FACTOR 3)
else()
  set(SHS_TIME_FACTOR 1)
endif()

# shs_test(NAME label seconds command...): a test, its label, its time limit and its environment.
# 77 is "skipped, and said why", as in automake.
function(shs_test name label seconds)
  add_test(NAME ${name} COMMAND ${ARGN})
  math(EXPR limit "${seconds} * ${SHS_TIME_FACTOR}")
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${limit} SKIP_RETURN_CODE 77
                                          ENVIRONMENT "${SHS_TEST_ENV}")
endfunction()

# A script is run by its interpreter, so it need not be executable.
function(shs_script_test name label seconds script)
  if(script MATCHES "\\.py$")
    shs_test(${name} ${label} ${seconds} ${Python3_EXECUTABLE} ${script} ${ARGN})
  else()
    shs_test(${name} ${label} ${seconds} bash ${script} ${ARGN})
  endif()
endfunction()

# -- unit: one program per tests/unit/test_*.c; any other .c there is linked into all of them ----

file(GLOB SHS_UNIT_TESTS CONFIGURE_DEPENDS tests/unit/test_*.c)
file(GLOB SHS_UNIT_SUPPORT CONFIGURE_DEPENDS tests/unit/*.c)
list(REMOVE_ITEM SHS_UNIT_SUPPORT ${SHS_UNIT_TESTS})

function(shs_unit_target target)
  target_include_directories(${target} PRIVATE src tests/unit)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE ${SHS_OPTIONAL_DEFINITIONS})
  target_link_libraries(${target} PRIVATE shs_static shs_llhttp OpenSSL::SSL OpenSSL::Crypto
                                          Threads::Threads ${SHS_OPTIONAL_LINK} ${SHS_CMOCKA})
  shs_warnings(${target})
endfunction()

if(SHS_UNIT_SUPPORT)
  add_library(shs_unit_support OBJECT ${SHS_UNIT_SUPPORT})
  shs_unit_target(shs_unit_support)
endif()
foreach(src ${SHS_UNIT_TESTS})
  get_filename_component(name ${src} NAME_WE)
  add_executable(${name} ${src})
  shs_unit_target(${name})
  if(TARGET shs_unit_support)
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:shs_unit_support>)
  endif()
  shs_test(${name} unit 120 ${name})
endforeach()
# The tables of the command, and what is made of them.
if(TARGET test_pages AND TARGET shs_cmd)
  target_sources(test_pages PRIVATE src/cmd/man/mdoc.c src/cmd/man/options.c)
  target_link_libraries(test_pages PRIVATE shs_cmd)
endif()

# The proof that llhttp was built strict, or is a version that always is: a lost -D fails here.
add_executable(llhttp_is_strict cmake/llhttp_is_strict.c)
target_link_libraries(llhttp_is_strict PRIVATE shs_static shs_llhttp)
shs_warnings(llhttp_is_strict)
shs_test(llhttp_is_strict unit 60 llhttp_is_strict)

# -- integration: tests/integration/test_*.sh and .py -------------------------------------------

file(GLOB SHS_INTEGRATION CONFIGURE_DEPENDS tests/integration/test_*.sh tests/integration/test_*.py)
foreach(script ${SHS_INTEGRATION})
  get_filename_component(name ${script} NAME_WE)
  if(TEST ${name})
    message(FATAL_ERROR "Two tests are called ${name}: a .sh and a .py, or a unit and an integration "
                        "test. Rename one of them.")
  endif()
  shs_script_test(${name} integration 300 ${script})
endforeach()
# The limits say that something hangs: five times what the slowest of our machines needs, and more.
if(TEST test_quickstart)
  # Where there is no release yet it builds that, with every processor: those that measure time are
  # not beside it.
  set_tests_properties(test_quickstart PROPERTIES TIMEOUT 900 RUN_SERIAL TRUE)
endif()
foreach(name test_tls_reload test_tls_tshark) # a hundred swaps under load; a browser
  math(EXPR limit "600 * ${SHS_TIME_FACTOR}")
  set_tests_properties(${name} PROPERTIES TIMEOUT ${limit})
endforeach()

# -- every composition: the tests of Python's semantics (S and H) and of bad input, once for each --
#
# Without SHS_TEST_THREADING they run as above: none for the C programs, pool for the scripts. What is
# not about a composition is skipped there by the test itself, or left out here; tests/README.md has
# the table. Sanitizers see the pool and threads above and in their own tests already.

function(shs_composed_test name compositions)
  foreach(composition ${compositions})
    if(TEST ${name})
      get_test_property(${name} TIMEOUT limit)
      add_test(NAME ${name}_${composition} COMMAND ${ARGN})
      get_test_property(${name} LABELS label)
      set_tests_properties(${name}_${composition} PROPERTIES LABELS ${label} TIMEOUT ${limit}
                           SKIP_RETURN_CODE 77
                           ENVIRONMENT "${SHS_TEST_ENV};SHS_TEST_THREADING=${composition}")
    endif()
  endforeach()
endfunction()

if(NOT SHS_SANITIZED AND NOT SHS_COVERAGE AND CMAKE_BUILD_TYPE STREQUAL "Release")
  foreach(name test_socketserver_base test_socketserver_tcp test_socketserver_rounds)
    shs_composed_test(${name} "thread;pool;fork" ${name})
  endforeach()
  foreach(name test_socketserver_handlers test_socketserver_udp test_server)
    shs_composed_test(${name} "thread;pool" ${name})
  endforeach()
  foreach(name test_http_server_lines test_serve_cli test_static_files test_echo test_bad_requests
               test_files_over_https)
    shs_composed_test(${name} "none;thread;fork" ${Python3_EXECUTABLE}
                      ${CMAKE_CURRENT_SOURCE_DIR}/tests/integration/${name}.py)
  endforeach()
  shs_composed_test(test_bad_input_tls "none;thread" ${Python3_EXECUTABLE}
                    ${CMAKE_CURRENT_SOURCE_DIR}/tests/integration/test_bad_input_tls.py)
  # Trust: by itself under the pool with TLS 1.3, or with all four of them; here under threads with TLS 1.2.
  foreach(name test_serve_reload test_tls_by_name test_tls_clients test_tls_failures
               test_tls_open_clients test_tls_resumption)
    shs_composed_test(${name} thread ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/tests/integration/${name}.py)
    set_property(TEST ${name}_thread APPEND PROPERTY ENVIRONMENT SHS_TEST_TLS=1.2)
  endforeach()
endif()

# -- TLS once more, with records of our own: SHS_TEST_RECORDS (tests/README.md) --------------------

function(shs_direct_test name)
  if(TEST ${name})
    get_test_property(${name} TIMEOUT limit)
    get_test_property(${name} LABELS label)
    add_test(NAME ${name}_direct COMMAND ${ARGN})
    set_tests_properties(${name}_direct PROPERTIES LABELS ${label} TIMEOUT ${limit} SKIP_RETURN_CODE 77
                                                   ENVIRONMENT "${SHS_TEST_ENV};SHS_TEST_RECORDS=direct")
  endif()
endfunction()

foreach(name test_stream test_tls_stream test_tls_handshake)
  shs_direct_test(${name} ${name})
endforeach()
if(NOT SHS_SANITIZED AND NOT SHS_COVERAGE AND CMAKE_BUILD_TYPE STREQUAL "Release")
  foreach(name test_bad_input_tls test_files_over_https test_http_cases test_tls_by_name test_tls_clients
               test_tls_crls test_tls_failures test_tls_open_clients test_tls_resumption)
    shs_direct_test(${name} ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/tests/integration/${name}.py)
  endforeach()
endif()

# It binds the default ports.
get_property(all_tests DIRECTORY PROPERTY TESTS)
foreach(name ${all_tests})
  if(name MATCHES "^test_serve_cli")
    set_tests_properties(${name} PROPERTIES RESOURCE_LOCK default_ports)
  endif()
endforeach()

# -- soak: a short run of what is left alone for an hour by hand ---------------------------------

add_executable(soak_storm tests/soak/storm.c)
shs_unit_target(soak_storm)
if(SHS_SANITIZED)
  set(SHS_STORM_SECONDS 20)
else()
  set(SHS_STORM_SECONDS 5)
endif()
shs_test(soak_storm integration 120 soak_storm ${SHS_STORM_SECONDS})

# -- example: examples/NAME.c, driven by tests/integration/example_NAME.{py,sh} -----------------

foreach(name ${SHS_EXAMPLE_NAMES})
  file(GLOB script CONFIGURE_DEPENDS tests/integration/example_${name}.py
                                     tests/integration/example_${name}.sh)
  if(script)
    list(GET script 0 script)
    shs_script_test(example_${name} example 120 ${script})
    set_property(TEST example_${name} APPEND PROPERTY ENVIRONMENT
                 EXAMPLE_BIN=${CMAKE_CURRENT_BINARY_DIR}/examples/${name})
  endif()
endforeach()

# -- faults: everything that can fail does; tests/faults/README.md -------------------------------
#
# ld puts ours in the place of each system call that calls.inc names.

if(TARGET shs_cmd)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS tests/faults/calls.inc)
  file(STRINGS tests/faults/calls.inc lines REGEX "^(CALL|ALIAS)[(]")
  set(wraps "")
  foreach(line ${lines})
    string(REGEX REPLACE "^(CALL|ALIAS)[(]([a-z0-9_]+).*" "-Wl,--wrap=\\2" wrap "${line}")
    list(APPEND wraps ${wrap})
  endforeach()
  foreach(name sweep deaths)
    add_executable(fault_${name} tests/faults/${name}.c tests/faults/world.c tests/faults/client.c
                                 tests/faults/inject.c tests/faults/wraps.c)
    target_include_directories(fault_${name} PRIVATE src tests/faults)
    target_compile_definitions(fault_${name} PRIVATE ${SHS_OPTIONAL_DEFINITIONS})
    target_link_libraries(fault_${name} PRIVATE shs_cmd shs_static OpenSSL::SSL OpenSSL::Crypto
                                                Threads::Threads ${SHS_OPTIONAL_LINK})
    target_link_options(fault_${name} PRIVATE ${wraps})
    shs_warnings(fault_${name})
  endforeach()
  target_sources(fault_sweep PRIVATE tests/faults/scenarios.c)
  # A slice of it, where the library is what is shipped; all of it by hand.
  if(NOT SHS_SANITIZED AND NOT SHS_COVERAGE AND CMAKE_BUILD_TYPE STREQUAL "Release")
    shs_test(faults_slice integration 300 bash ${CMAKE_CURRENT_SOURCE_DIR}/tests/faults/run.sh --slice)
  endif()
endif()

# -- style: every check, and the proof that it can fail -----------------------------------------

file(GLOB SHS_STYLE CONFIGURE_DEPENDS tests/style/check_*.sh)
foreach(script ${SHS_STYLE})
  get_filename_component(name ${script} NAME_WE)
  string(REPLACE "check_" "style_" name ${name})
  shs_script_test(${name} style 600 ${script})
  shs_script_test(${name}_can_fail style 600 ${script} --self-test)
endforeach()

# -- mutation: a rule is taken out, and a test must fail; a few of them, all by hand --------------

shs_script_test(mutation_guard integration 300 ${CMAKE_CURRENT_SOURCE_DIR}/tests/mutation/guard.sh
                --sample 9)
shs_script_test(mutation_rooms integration 600 ${CMAKE_CURRENT_SOURCE_DIR}/tests/mutation/rooms.py
                --sample 60)

# -- valgrind: what the sanitizers cannot see, in a few programs --------------------------------
#
# Of a debug build only: a child that leaves in the middle of its work still has pointers to what it
# holds there, and with an optimising compiler it may have none.

find_program(SHS_VALGRIND valgrind)
if(SHS_VALGRIND AND CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT SHS_SANITIZED AND NOT SHS_COVERAGE)
  set(valgrind_command ${SHS_VALGRIND} -q --error-exitcode=99 --leak-check=full
                       --errors-for-leak-kinds=definite,indirect --trace-children=no)
  # Those that are quick under it, and need no system call that valgrind does not know (openat2).
  foreach(name test_h1 test_path test_etag test_mime test_access_format)
    if(TARGET ${name})
      shs_test(valgrind_${name} valgrind 120 ${valgrind_command} $<TARGET_FILE:${name}>)
    endif()
  endforeach()
  find_path(SHS_MEMCHECK_INCLUDE valgrind/memcheck.h)
  if(SHS_MEMCHECK_INCLUDE)
    add_executable(tag_branches tests/soak/tag_branches.c)
    shs_unit_target(tag_branches)
  endif()
  file(GLOB SHS_VALGRIND_SCRIPTS CONFIGURE_DEPENDS tests/integration/valgrind_*.py)
  foreach(script ${SHS_VALGRIND_SCRIPTS})
    get_filename_component(name ${script} NAME_WE)
    shs_script_test(${name} valgrind 300 ${script})
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT "VALGRIND=${SHS_VALGRIND}")
  endforeach()
endif()

# -- the longest first: a fresh build does not know them yet, and at the end each would run alone ------

set(cost 100)
foreach(name faults_slice test_lab_run test_admin_plane test_tls_memory style_format test_silent_clients
             test_lab_check_server test_access_rules test_cert_cli test_exec test_site_pages soak_storm
             test_site_root test_bad_files test_lab_serve test_contract test_tls_client_cas
             test_site_uploads test_tls_failures test_tls_crls test_exhaustion mutation_guard mutation_rooms
             test_http_server_lines test_serve_cli test_serve_cli_fork test_http_server_lines_fork
             test_stopped_process test_trust test_stop example_sse_clock test_http_cases valgrind_fork)
  if(TEST ${name})
    set_tests_properties(${name} PROPERTIES COST ${cost})
  endif()
  math(EXPR cost "${cost} - 1")
endforeach()

# -- the coverage report ------------------------------------------------------------------------

if(SHS_COVERAGE)
  add_custom_target(coverage
    COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/cmake/coverage.sh ${CMAKE_CURRENT_SOURCE_DIR}
            ${CMAKE_CURRENT_BINARY_DIR}
    USES_TERMINAL VERBATIM)
endif()
