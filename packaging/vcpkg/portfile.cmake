# An overlay port of the tree that it lies in:
#
#   vcpkg install shs --overlay-ports=packaging/vcpkg
#
# Passwords of --auth-file want libcrypt, which vcpkg does not have.
get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../.." ABSOLUTE)

vcpkg_check_features(OUT_FEATURE_OPTIONS FEATURE_OPTIONS
  FEATURES
    brotli SHS_WITH_BROTLI
    json SHS_WITH_JANSSON
    zlib SHS_WITH_ZLIB
    zstd SHS_WITH_ZSTD
)
# "dynamic" is "shared" here.
string(REPLACE "dynamic" "shared" libraries "${VCPKG_LIBRARY_LINKAGE}")
vcpkg_find_acquire_program(PKGCONFIG)
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    ${FEATURE_OPTIONS}
    -DSHS_BUILD_COMMAND=OFF
    -DSHS_LLHTTP=system
    "-DSHS_LIBRARIES=${libraries}"
    -DSHS_WITH_CRYPT=OFF
    "-DPKG_CONFIG_EXECUTABLE=${PKGCONFIG}"
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/shs)
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share"
     "${CURRENT_PACKAGES_DIR}/share/man" "${CURRENT_PACKAGES_DIR}/share/doc")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
