# Debian packages: cmake --preset deb && cmake --build --preset deb && cpack --preset deb
#
#   shs         the command            component cmd
#   libshs0     the shared library     component lib
#   libshs-dev  to build against it    component dev
#
# and, with SHS_SPLIT_DEBUG, as the preset has it, what gdb shows of the first two, found by their build ids:
#
#   shs-dbgsym      component cmd_debug
#   libshs0-dbgsym  component lib_debug
#
# SOURCE_DATE_EPOCH sets the times in them. packaging/check_packages.sh compares two builds.

set(SHS_PACKAGE_CONTACT "SecureHTTPServer authors <authors@securehttpserver.invalid>"
    CACHE STRING "Name <address> of who makes the packages")
if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()

set(CPACK_PACKAGE_NAME shs)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "${SHS_PACKAGE_CONTACT}")
# Each package has a first line of its own, in its description.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_CURRENT_SOURCE_DIR}/LICENSE)
set(CPACK_COMPONENTS_ALL cmd lib dev)
if(SHS_SPLIT_DEBUG)
  list(APPEND CPACK_COMPONENTS_ALL cmd_debug lib_debug)
endif()
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
# lintian refuses directories that only their owner may enter, whatever the builder's umask is.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_CMD_PACKAGE_NAME shs)
set(CPACK_DEBIAN_CMD_PACKAGE_SECTION web)
set(CPACK_DEBIAN_CMD_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_CMD_DESCRIPTION "HTTPS server for files, test certificates and TLS trials
Serves a folder over HTTPS with one command, makes the certificates for it,
and tests servers and clients with certificates that are wrong in one way.")

set(CPACK_DEBIAN_LIB_PACKAGE_NAME libshs0)
set(CPACK_DEBIAN_LIB_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIB_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LIB_DESCRIPTION "HTTPS server library in the manner of Python's socketserver
Servers are put together from classes and mixins as in Python's socketserver
and http.server, with deadlines and limits for everything.

This package has the shared library.")

# Not cpack's own CPACK_DEBIAN_DEBUGINFO_PACKAGE: it writes the path of the build into md5sums, so that two builds
# differ and `dpkg --verify` finds no file.
foreach(pair cmd:shs lib:libshs0)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 component)
  list(GET pair 1 package)
  string(TOUPPER ${component}_DEBUG name)
  set(CPACK_DEBIAN_${name}_PACKAGE_NAME ${package}-dbgsym)
  set(CPACK_DEBIAN_${name}_PACKAGE_SECTION debug)
  set(CPACK_DEBIAN_${name}_PACKAGE_DEPENDS "${package} (= ${PROJECT_VERSION})")
  set(CPACK_DEBIAN_${name}_DESCRIPTION "debug symbols for ${package}
What gdb shows of a program comes from here: it finds them by the build id.")
endforeach()

# The static library and the pkg-config file need the headers of what libshs is linked with.
list(JOIN SHS_OPTIONAL_DEBS ", " optional)
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libshs-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libshs0 (= ${PROJECT_VERSION}), libc6-dev, libssl-dev (>= 3.0)")
if(optional)
  string(APPEND CPACK_DEBIAN_DEV_PACKAGE_DEPENDS ", ${optional}")
endif()
# With ~: the version of Debian 13 is 9.2.1~7.3.0+dfsg1+~cs24.12.11-1, which is before 9.2.1.
if(NOT SHS_LLHTTP_FROM STREQUAL "sources")
  string(APPEND CPACK_DEBIAN_DEV_PACKAGE_DEPENDS ", libllhttp-dev (>= 9.2.1~)")
endif()
set(CPACK_DEBIAN_DEV_DESCRIPTION "HTTPS server library, files to develop with
Servers are put together from classes and mixins as in Python's socketserver
and http.server, with deadlines and limits for everything.

This package has the headers, the static library, and the files for pkg-config
and CMake.")

# Until 1.0 each minor release has an ABI of its own: who is linked with this one needs exactly it.
set(dir ${CMAKE_CURRENT_BINARY_DIR}/debian)
math(EXPR next "${PROJECT_VERSION_MINOR} + 1")
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(below "0.${next}~")
else()
  math(EXPR below "${PROJECT_VERSION_MAJOR} + 1")
  string(APPEND below "~")
endif()
file(WRITE ${dir}/shlibs
     "libshs ${SHS_SOVERSION} libshs0 (>= ${PROJECT_VERSION}), libshs0 (<< ${below})\n")
file(WRITE ${dir}/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_LIB_PACKAGE_CONTROL_EXTRA ${dir}/shlibs ${dir}/triggers)
set(CPACK_DEBIAN_LIB_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# /usr/share/doc/PACKAGE: the licence, and a changelog in Debian's form that leads to ours. string(TIMESTAMP)
# takes SOURCE_DATE_EPOCH as the time.
string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC)
set(SHS_LLHTTP_COPYRIGHT "")
if(SHS_LLHTTP_FROM STREQUAL "sources")
  # Its code is part of the binaries, under the same licence.
  set(SHS_LLHTTP_COPYRIGHT "
Files: llhttp/*
Copyright: 2018-2020 Fedor Indutny
License: Expat
Comment: compiled into the binaries from ${SHS_LLHTTP_DIR}/llhttp
")
endif()
configure_file(packaging/copyright.in ${dir}/copyright @ONLY)
configure_file(packaging/changelog.in ${dir}/changelog @ONLY)
find_program(SHS_GZIP gzip)
mark_as_advanced(SHS_GZIP)
if(SHS_GZIP)
  execute_process(COMMAND ${SHS_GZIP} -9nf ${dir}/changelog COMMAND_ERROR_IS_FATAL ANY)
  foreach(pair cmd:shs lib:libshs0 dev:libshs-dev)
    string(REPLACE ":" ";" pair ${pair})
    list(GET pair 0 component)
    list(GET pair 1 package)
    install(FILES ${dir}/copyright ${dir}/changelog.gz DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package}
            COMPONENT ${component} EXCLUDE_FROM_ALL)
  endforeach()
endif()

if(SHS_SPLIT_DEBUG)
  include(ShsDebugSymbols)
endif()

include(CPack)
