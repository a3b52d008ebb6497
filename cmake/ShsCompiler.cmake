# Compiler and linker flags. What every object gets is set for the directory; the strict warnings are
# a function, because llhttp's generated code is not ours to warn about.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
include(CheckCCompilerFlag)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()
# -O2 is the optimisation that is measured and tested here; CMake's own default is -O3.
if(CMAKE_C_FLAGS_RELEASE STREQUAL "-O3 -DNDEBUG")
  set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")
endif()

function(shs_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wwrite-strings -Wundef $<$<BOOL:${SHS_WERROR}>:-Werror>)
endfunction()

# -- sanitizers and coverage --------------------------------------------------------------------

if(SHS_SANITIZE)
  # -g1 has what a report shows, functions and lines; variables would take a quarter of the build's time.
  add_compile_options(-fsanitize=${SHS_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer -g1 -O1)
  add_link_options(-fsanitize=${SHS_SANITIZE})
  # A hundred and fifty programs, each with all of the library: lld takes half of ld's time.
  find_program(SHS_LLD NAMES ld.lld)
  check_c_compiler_flag(-fuse-ld=lld SHS_HAVE_USE_LLD)
  if(SHS_LLD AND SHS_HAVE_USE_LLD)
    add_link_options(-fuse-ld=lld)
  endif()
endif()
if(SHS_SANITIZE OR CMAKE_C_FLAGS MATCHES "-fsanitize")
  set(SHS_SANITIZED ON)
else()
  set(SHS_SANITIZED OFF)
endif()
if(SHS_COVERAGE)
  # Atomic counters: the tests run threads.
  add_compile_options(--coverage -fprofile-update=atomic -O0)
  add_link_options(--coverage)
endif()

# The packages have it apart from the programs: cmake/ShsPackage.cmake.
if(SHS_SPLIT_DEBUG)
  add_compile_options(-g)
endif()

# -- hardening ----------------------------------------------------------------------------------

# The same bytes from every folder: no absolute path of a source gets into an object.
add_compile_options("$<$<CONFIG:Release,MinSizeRel>:-ffile-prefix-map=${CMAKE_CURRENT_SOURCE_DIR}=.>")
add_compile_options(-fstack-protector-strong)
check_c_compiler_flag(-fcf-protection SHS_HAVE_CF_PROTECTION)
if(SHS_HAVE_CF_PROTECTION)
  add_compile_options(-fcf-protection)
endif()
if(NOT SHS_SANITIZED AND NOT SHS_COVERAGE)
  # Fortified functions need an optimised build; some distributions predefine a lower level.
  add_compile_options("$<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:SHELL:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3>")
endif()
add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
