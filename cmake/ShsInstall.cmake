# cmake --install: headers, both libraries, the command, the CMake package and shs.pc.
# Everything is relative, so the tree can be installed with any --prefix and moved.

include(CMakePackageConfigHelpers)
set(SHS_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/shs)

install(FILES ${SHS_HEADERS} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/shs COMPONENT dev)
set(SHS_INSTALLED shs_shared shs_static)
if(SHS_LIBRARIES STREQUAL "shared")
  set(SHS_INSTALLED shs_shared)
elseif(SHS_LIBRARIES STREQUAL "static")
  set(SHS_INSTALLED shs_static)
elseif(NOT SHS_LIBRARIES STREQUAL "both")
  message(FATAL_ERROR "SHS_LIBRARIES is '${SHS_LIBRARIES}': give both, shared or static")
endif()
install(TARGETS ${SHS_INSTALLED} EXPORT shsTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT lib NAMELINK_COMPONENT dev
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
if(TARGET shs)
  install(TARGETS shs RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT cmd)
  # systemd looks below lib/, whatever the libraries' own folder is called.
  configure_file(packaging/systemd/shs.service.in ${CMAKE_CURRENT_BINARY_DIR}/shs.service @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/shs.service packaging/systemd/shs.socket
          DESTINATION lib/systemd/system COMPONENT cmd)
endif()

# What a package of it is made of, for whoever looks for faults of others in it.
if(SHS_SBOM)
  install(FILES ${SHS_SBOM} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/shs COMPONENT cmd)
endif()

install(EXPORT shsTargets NAMESPACE shs:: DESTINATION ${SHS_CMAKE_DIR} COMPONENT dev)
configure_package_config_file(packaging/shsConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/shsConfig.cmake
                              INSTALL_DESTINATION ${SHS_CMAKE_DIR})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/shsConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/shsConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/shsConfigVersion.cmake DESTINATION ${SHS_CMAKE_DIR}
        COMPONENT dev)

file(RELATIVE_PATH SHS_PC_PREFIX /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
string(REGEX REPLACE "/$" "" SHS_PC_PREFIX "${SHS_PC_PREFIX}")
if(SHS_LLHTTP_FROM STREQUAL "sources")
  set(SHS_PC_LLHTTP "")
else()
  set(SHS_PC_LLHTTP ", libllhttp")
endif()
# Where there is no shared library, whoever links with this one needs its libraries as well.
set(SHS_PC_PRIVATE .private)
if(SHS_LIBRARIES STREQUAL "static")
  set(SHS_PC_PRIVATE "")
  set(SHS_PC_PTHREAD " -pthread")
endif()
configure_file(packaging/shs.pc.in ${CMAKE_CURRENT_BINARY_DIR}/shs.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/shs.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT dev)

# Programs find a new shared library only after ldconfig. Run it where it looks at all; a staged
# install (DESTDIR, a package) leaves that to whoever unpacks it.
find_program(SHS_LDCONFIG ldconfig PATHS /sbin /usr/sbin)
mark_as_advanced(SHS_LDCONFIG)
if(SHS_LDCONFIG)
  configure_file(cmake/ldconfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/ldconfig.cmake @ONLY)
  install(SCRIPT ${CMAKE_CURRENT_BINARY_DIR}/ldconfig.cmake COMPONENT ldconfig)
endif()
