# What the build needs from the system. The list of Debian packages is packaging/debian-packages.txt.

set(SHS_INSTALL_HINT
    "On Debian and Ubuntu, `bash packaging/debian.sh line build test` prints the line that installs \
what is missing; `bash tests/run.sh` runs it for you.")

function(shs_missing what packages)
  message(FATAL_ERROR "${what} was not found. Install it:\n"
                      "    sudo apt-get install ${packages}\n${SHS_INSTALL_HINT}")
endfunction()

find_package(PkgConfig QUIET)

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads)
if(NOT Threads_FOUND)
  shs_missing("A C compiler with POSIX threads" "build-essential")
endif()

find_package(OpenSSL 3.0 QUIET)
if(NOT OPENSSL_FOUND)
  shs_missing("OpenSSL 3.0 or later (headers and libraries)" "libssl-dev")
endif()

# -- llhttp -------------------------------------------------------------------------------------
#
# The system's library from 9.2.1 on; else the sources of Debian 12's node-llhttp (8.1.0), compiled
# strict. Strictness must come from the compiler's command line: llhttp.c tests it before its first
# #include. Both must refuse what a server must refuse; the test llhttp_is_strict proves it.
#
#   shs_llhttp           include directories, for whoever includes <llhttp.h>
#   SHS_LLHTTP_OBJECTS   objects that become part of libshs     (compiled here)
#   SHS_LLHTTP_LINK      what libshs links against              (the system's)

set(SHS_LLHTTP "auto" CACHE STRING "auto, system (libllhttp >= 9.2.1) or sources (SHS_LLHTTP_DIR)")
set(SHS_LLHTTP_DIR /usr/share CACHE PATH "where llhttp/{api,http,llhttp}.c are")
set(SHS_LLHTTP_OBJECTS "")
set(SHS_LLHTTP_LINK "")
set(SHS_LLHTTP_FROM "")

if(NOT SHS_LLHTTP STREQUAL "sources")
  find_package(llhttp 9.2.1 CONFIG QUIET)
  foreach(target llhttp::llhttp llhttp::llhttp_shared llhttp::llhttp_static)
    if(TARGET ${target} AND NOT SHS_LLHTTP_LINK)
      set(SHS_LLHTTP_LINK ${target})
      set(SHS_LLHTTP_FROM "package")
    endif()
  endforeach()
  if(NOT SHS_LLHTTP_LINK AND PKG_CONFIG_FOUND)
    pkg_check_modules(LLHTTP QUIET IMPORTED_TARGET libllhttp>=9.2.1)
    if(LLHTTP_FOUND)
      set(SHS_LLHTTP_LINK PkgConfig::LLHTTP)
      set(SHS_LLHTTP_FROM "pkgconfig")
    endif()
  endif()
endif()

add_library(shs_llhttp INTERFACE)
if(SHS_LLHTTP_LINK)
  target_link_libraries(shs_llhttp INTERFACE ${SHS_LLHTTP_LINK})
  message(STATUS "llhttp: the system's library, ${SHS_LLHTTP_LINK}")
elseif(NOT SHS_LLHTTP STREQUAL "system" AND EXISTS ${SHS_LLHTTP_DIR}/llhttp/llhttp.c)
  add_library(shs_llhttp_objects OBJECT
              ${SHS_LLHTTP_DIR}/llhttp/api.c ${SHS_LLHTTP_DIR}/llhttp/http.c
              ${SHS_LLHTTP_DIR}/llhttp/llhttp.c)
  target_compile_definitions(shs_llhttp_objects PRIVATE LLHTTP_STRICT_MODE=1)
  # An application may have an llhttp of its own, of another version: ours gets other names, so that
  # libshs.a never mixes with it. (libshs.so hides them anyway.)
  set(names "")
  foreach(file api http llhttp)
    file(STRINGS ${SHS_LLHTTP_DIR}/llhttp/${file}.c lines REGEX "^[a-z].*llhttp_[a-z0-9_]+ ?\\(")
    string(REGEX MATCHALL "llhttp_[A-Za-z0-9_]+ ?\\(" found "${lines}")
    list(APPEND names ${found})
  endforeach()
  string(REGEX REPLACE " ?\\(" "" names "${names}")
  list(REMOVE_DUPLICATES names)
  list(SORT names)
  list(TRANSFORM names REPLACE "(.+)" "#define \\1 shs__\\1\n")
  list(JOIN names "" names)
  set(renames ${CMAKE_CURRENT_BINARY_DIR}/llhttp_names.h)
  file(CONFIGURE OUTPUT ${renames} CONTENT "${names}" @ONLY)
  target_compile_options(shs_llhttp_objects PRIVATE -include ${renames})
  target_compile_options(shs_llhttp INTERFACE -include ${renames})
  # A generated state machine: at -O0 it is several times slower and no easier to debug.
  target_compile_options(shs_llhttp_objects PRIVATE -w -O2)
  set_target_properties(shs_llhttp_objects PROPERTIES C_VISIBILITY_PRESET hidden)
  target_include_directories(shs_llhttp_objects SYSTEM PUBLIC ${SHS_LLHTTP_DIR}/include/llhttp)
  target_include_directories(shs_llhttp SYSTEM INTERFACE ${SHS_LLHTTP_DIR}/include/llhttp)
  set(SHS_LLHTTP_OBJECTS $<TARGET_OBJECTS:shs_llhttp_objects>)
  set(SHS_LLHTTP_FROM "sources")
  message(STATUS "llhttp: compiled strict from ${SHS_LLHTTP_DIR}/llhttp")
else()
  shs_missing("llhttp (the system's libllhttp 9.2.1 or later, or the sources of node-llhttp)"
              "libllhttp-dev     # Debian 13 and later; on Debian 12: node-llhttp")
endif()

# -- content codings: each is optional, and the build says what it left out ----------------------
#
#   SHS_OPTIONAL_DEFINITIONS  SHS_HAVE_ZLIB, ... for the sources
#   SHS_OPTIONAL_LINK         what libshs links against
#   SHS_OPTIONAL_PC           the same for shs.pc, "Requires.private"
#   SHS_OPTIONAL_MODULES      the same for shsConfig.cmake, "NAME:module"
#   SHS_OPTIONAL_DEBS         the Debian packages with their headers, for libshs-dev

set(SHS_OPTIONAL_DEFINITIONS "")
set(SHS_OPTIONAL_LINK "")
set(SHS_OPTIONAL_PC "")
set(SHS_OPTIONAL_MODULES "")
set(SHS_OPTIONAL_DEBS "")
set(SHS_OPTIONAL_LEFT_OUT "")

# shs_optional(ZLIB zlib zlib1g-dev "gzip"): looks for it with pkg-config, unless SHS_WITH_ZLIB=OFF.
function(shs_optional name module package what)
  option(SHS_WITH_${name} "use ${module}, where it is installed" ON)
  if(SHS_WITH_${name} AND PKG_CONFIG_FOUND)
    pkg_check_modules(SHS_${name} QUIET IMPORTED_TARGET ${module})
  endif()
  if(SHS_WITH_${name} AND SHS_${name}_FOUND)
    set(SHS_OPTIONAL_DEFINITIONS ${SHS_OPTIONAL_DEFINITIONS} SHS_HAVE_${name} PARENT_SCOPE)
    set(SHS_OPTIONAL_LINK ${SHS_OPTIONAL_LINK} PkgConfig::SHS_${name} PARENT_SCOPE)
    set(SHS_OPTIONAL_MODULES "${SHS_OPTIONAL_MODULES} ${name}:${module}" PARENT_SCOPE)
    set(SHS_OPTIONAL_PC "${SHS_OPTIONAL_PC}, ${module}" PARENT_SCOPE)
    set(SHS_OPTIONAL_DEBS ${SHS_OPTIONAL_DEBS} ${package} PARENT_SCOPE)
  else()
    set(SHS_OPTIONAL_LEFT_OUT ${SHS_OPTIONAL_LEFT_OUT} "${what} (${package})" PARENT_SCOPE)
  endif()
endfunction()

shs_optional(ZLIB zlib zlib1g-dev "compression with gzip")
shs_optional(BROTLI libbrotlienc libbrotli-dev "compression with brotli")
shs_optional(ZSTD libzstd libzstd-dev "compression with zstd")
shs_optional(JANSSON jansson libjansson-dev "JSON (shs/json.h)")
shs_optional(CRYPT libcrypt libcrypt-dev "passwords (--auth-file)")

# For the command alone: its own variables, nothing of libshs and its shs.pc.
option(SHS_WITH_YAML "use yaml-0.1 (libyaml), where it is installed" ON)
if(SHS_WITH_YAML AND PKG_CONFIG_FOUND)
  pkg_check_modules(SHS_YAML QUIET IMPORTED_TARGET yaml-0.1)
endif()
if(NOT SHS_YAML_FOUND)
  list(APPEND SHS_OPTIONAL_LEFT_OUT "configuration files (libyaml-dev)")
endif()
option(SHS_WITH_SECCOMP "use libseccomp, where it is installed" ON)
if(SHS_WITH_SECCOMP AND PKG_CONFIG_FOUND)
  pkg_check_modules(SHS_SECCOMP QUIET IMPORTED_TARGET libseccomp)
endif()
if(NOT SHS_SECCOMP_FOUND)
  list(APPEND SHS_OPTIONAL_LEFT_OUT "the filter of system calls (libseccomp-dev)")
endif()
option(SHS_WITH_QRENCODE "use libqrencode, where it is installed" ON)
if(SHS_WITH_QRENCODE AND PKG_CONFIG_FOUND)
  pkg_check_modules(SHS_QRENCODE QUIET IMPORTED_TARGET libqrencode)
endif()
if(NOT SHS_QRENCODE_FOUND)
  list(APPEND SHS_OPTIONAL_LEFT_OUT "QR codes on a terminal (libqrencode-dev)")
endif()
if(SHS_OPTIONAL_LEFT_OUT)
  list(JOIN SHS_OPTIONAL_LEFT_OUT ", " left_out)
  message(STATUS "Left out, for want of a library: ${left_out}")
endif()

# -- for the tests ------------------------------------------------------------------------------

if(SHS_BUILD_TESTS)
  find_package(cmocka QUIET)
  if(TARGET cmocka::cmocka)
    set(SHS_CMOCKA cmocka::cmocka)
  elseif(CMOCKA_LIBRARIES)
    set(SHS_CMOCKA ${CMOCKA_LIBRARIES})
  elseif(PKG_CONFIG_FOUND)
    pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET cmocka)
    if(CMOCKA_FOUND)
      set(SHS_CMOCKA PkgConfig::CMOCKA)
    endif()
  endif()
  find_package(Python3 3.9 QUIET COMPONENTS Interpreter)
  if(NOT SHS_CMOCKA)
    shs_missing("cmocka, the library of the unit tests (or configure with -DSHS_BUILD_TESTS=OFF),"
                "libcmocka-dev")
  endif()
  if(NOT Python3_FOUND)
    shs_missing("Python 3.9 or later, for the integration tests (or -DSHS_BUILD_TESTS=OFF),"
                "python3")
  endif()
endif()
