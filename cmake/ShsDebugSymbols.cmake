# Debug information apart from the programs: /usr/lib/debug/.build-id/XX/YYYY.debug, where gdb looks for the build id
# XXYYYY. cpack strips the programs themselves when it installs them.

find_program(SHS_READELF NAMES ${CMAKE_READELF} readelf REQUIRED)
mark_as_advanced(SHS_READELF)

# shs_debug_symbols(TARGET component PACKAGE): the folder of its documents is the one of PACKAGE.
function(shs_debug_symbols target component package)
  set(dir ${CMAKE_CURRENT_BINARY_DIR}/debug_symbols/${component})
  file(CONFIGURE OUTPUT ${dir}.cmake @ONLY CONTENT [[
execute_process(COMMAND "@SHS_READELF@" -n "$<TARGET_FILE:@target@>" OUTPUT_VARIABLE notes COMMAND_ERROR_IS_FATAL ANY)
if(NOT notes MATCHES "Build ID: ([0-9a-f][0-9a-f])([0-9a-f]+)")
  message(FATAL_ERROR "$<TARGET_FILE:@target@> has no build id, by which gdb would find its debug information")
endif()
set(dir "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/lib/debug/.build-id/${CMAKE_MATCH_1}")
set(file "${dir}/${CMAKE_MATCH_2}.debug")
file(MAKE_DIRECTORY "${dir}" "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/@CMAKE_INSTALL_DATADIR@/doc")
execute_process(COMMAND "@CMAKE_OBJCOPY@" --only-keep-debug "$<TARGET_FILE:@target@>" "${file}"
                COMMAND_ERROR_IS_FATAL ANY)
file(CHMOD "${file}" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
file(CREATE_LINK @package@ "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/@CMAKE_INSTALL_DATADIR@/doc/@package@-dbgsym" SYMBOLIC)
]])
  file(GENERATE OUTPUT ${dir}.install.cmake INPUT ${dir}.cmake)
  install(SCRIPT ${dir}.install.cmake COMPONENT ${component}_debug EXCLUDE_FROM_ALL)
endfunction()

if(TARGET shs)
  shs_debug_symbols(shs cmd shs)
endif()
shs_debug_symbols(shs_shared lib libshs0)

# Nobody looks for debug information of a static library apart from it: it goes.
install(CODE "execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-debug --enable-deterministic-archives
  \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/libshs.a\" COMMAND_ERROR_IS_FATAL ANY)"
        COMPONENT dev)
