# shs.spdx.json: what the command and the library are linked with, by name, version and package (SPDX 2.3). It
# looks at what has been built, so it cannot say what is not so. SOURCE_DATE_EPOCH is its time, as of the packages.
# Not for builds that are not shipped (with a sanitizer, for debugging), and not for another machine, whose
# libraries are not here.

set(SHS_SBOM "")
find_program(SHS_BASH bash)
find_program(SHS_READELF NAMES ${CMAKE_READELF} readelf)
mark_as_advanced(SHS_BASH SHS_READELF)
if(SHS_SANITIZED OR SHS_COVERAGE OR CMAKE_BUILD_TYPE STREQUAL "Debug" OR CMAKE_CROSSCOMPILING
   OR NOT SHS_BASH OR NOT SHS_READELF OR NOT TARGET shs)
  return()
endif()
set(SHS_SBOM ${CMAKE_CURRENT_BINARY_DIR}/shs.spdx.json)
set(llhttp "")
if(SHS_LLHTTP_FROM STREQUAL "sources")
  set(llhttp --llhttp ${SHS_LLHTTP_DIR})
endif()
string(TIMESTAMP SHS_SBOM_TIME "%Y-%m-%dT%H:%M:%SZ" UTC)
add_custom_command(
  OUTPUT ${SHS_SBOM}
  COMMAND ${SHS_BASH} ${CMAKE_CURRENT_SOURCE_DIR}/packaging/sbom.sh --version ${PROJECT_VERSION}
          --created ${SHS_SBOM_TIME} ${llhttp} $<TARGET_FILE:shs> $<TARGET_FILE:shs_shared> > ${SHS_SBOM}.new
  COMMAND ${CMAKE_COMMAND} -E rename ${SHS_SBOM}.new ${SHS_SBOM}
  DEPENDS shs shs_shared packaging/sbom.sh
  VERBATIM)
add_custom_target(shs_sbom ALL DEPENDS ${SHS_SBOM})
