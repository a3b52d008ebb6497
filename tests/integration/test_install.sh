#!/usr/bin/env bash
# test_install.sh - what `cmake --install` installs is enough to build a program with: found by
# find_package (shared and static) and by pkg-config (shared and static), from a directory that it
# was moved to, and the installed command runs.
set -euo pipefail

# Like grep -q, but reads to the end: a command before it that gets SIGPIPE would count as failed.
has() {
    grep "$@" >/dev/null
}

: "${SHS_BUILD_DIR:?the build to install; ctest sets it}"
: "${SHS_SOURCE_DIR:?the sources; ctest sets it}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cc=${CC:-cc}
flags=
[ -z "${SHS_SANITIZE:-}" ] || flags=-fsanitize=$SHS_SANITIZE
[ "${SHS_COVERAGE:-}" != ON ] || flags=--coverage

fail() {
    echo "FAILED: $*"
    exit 1
}

cmake --install "$SHS_BUILD_DIR" --prefix "$work/first" >install.log || { cat install.log; fail "cmake --install"; }
mv first moved
prefix=$work/moved

for header in "$SHS_SOURCE_DIR"/include/shs/*.h; do
    cmp "$header" "$prefix/include/shs/$(basename "$header")" || fail "$(basename "$header") was not installed"
done
! grep -rIlE "$work/first|$SHS_BUILD_DIR|$SHS_SOURCE_DIR" "$prefix/include" "$(find "$prefix" -name pkgconfig)" \
    "$(find "$prefix" -path '*/cmake/shs')" || fail "an installed file names the place it was built at"

mkdir consumer
cat >consumer/consumer.c <<'SOURCE'
#include <shs/shs.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    struct shs_options opt;

    shs_options_init(&opt);
    if (opt.size != sizeof opt || strcmp(shs_version(), SHS_VERSION_STRING) != 0)
        return 1;
    puts(shs_version());
    return 0;
}
SOURCE
version=$(sed -nE 's/.*SHS_VERSION_STRING "(.*)".*/\1/p' "$prefix/include/shs/version.h")
cat >consumer/CMakeLists.txt <<SOURCE
cmake_minimum_required(VERSION 3.25)
project(consumer C)
find_package(shs ${version%.*} REQUIRED)
add_executable(with_shared consumer.c)
target_link_libraries(with_shared PRIVATE shs::shs)
add_executable(with_static consumer.c)
target_link_libraries(with_static PRIVATE shs::shs_static)
SOURCE

expect_version() {
    local said
    said=$("$@") || fail "$1 does not run"
    [ "$said" = "$version" ] || fail "$1 says $said instead of $version"
}

echo "-- find_package"
cmake -S consumer -B by_cmake -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" -DCMAKE_C_FLAGS="$flags" >cmake.log 2>&1 &&
    cmake --build by_cmake >>cmake.log 2>&1 || { cat cmake.log; fail "find_package(shs)"; }
expect_version by_cmake/with_shared
expect_version by_cmake/with_static
ldd by_cmake/with_shared | has "libshs\.so.*$prefix" || fail "with_shared does not use the installed libshs.so"
! ldd by_cmake/with_static | has libshs || fail "with_static is not static"

echo "-- pkg-config"
pc_dir=$(dirname "$(find "$prefix" -name shs.pc)")
export PKG_CONFIG_PATH=$pc_dir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
[ "$(pkg-config --modversion shs)" = "$version" ] || fail "shs.pc has another version"
# shellcheck disable=SC2046,SC2086
"$cc" $flags -o by_pkgconfig consumer/consumer.c $(pkg-config --cflags --libs shs) || fail "pkg-config --libs shs"
LD_LIBRARY_PATH=$(pkg-config --variable=libdir shs)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} expect_version ./by_pkgconfig
libdir=$(pkg-config --variable=libdir shs)
mkdir static_only
cp "$libdir/libshs.a" static_only/
# shellcheck disable=SC2046,SC2086
"$cc" $flags -o by_pkgconfig_static consumer/consumer.c -Lstatic_only $(pkg-config --static --cflags shs) \
    -Wl,-Bstatic -lshs -Wl,-Bdynamic $(pkg-config --static --libs shs | sed 's/-lshs//') || fail "pkg-config --static --libs shs"
expect_version ./by_pkgconfig_static

# A program with an llhttp of its own, here one that does nothing: libshs.a must not use it.
cat >consumer/own_llhttp.c <<'SOURCE'
int llhttp_execute(void), llhttp_init(void), llhttp__internal_execute(void), llhttp__debug(void);
int llhttp_execute(void) { return 1; }
int llhttp_init(void) { return 1; }
int llhttp__internal_execute(void) { return 1; }
int llhttp__debug(void) { return 1; }
SOURCE
if nm "$libdir/libshs.a" 2>/dev/null | has ' T .*llhttp'; then
    # All of the archive, as if everything in it were used.
    # shellcheck disable=SC2046,SC2086
    "$cc" $flags -o own_llhttp consumer/consumer.c consumer/own_llhttp.c -I"$prefix/include" \
        -Wl,--whole-archive static_only/libshs.a -Wl,--no-whole-archive \
        $(pkg-config --static --libs shs | sed 's/-lshs//') || fail "libshs.a clashes with a program's own llhttp"
    expect_version ./own_llhttp
fi

echo "-- the library"
soname=$(objdump -p "$libdir/libshs.so" | awk '/SONAME/ { print $2 }')
[ -e "$libdir/$soname" ] || fail "$soname, the soname, is not installed"
[ "$soname" = "libshs.so.${version%.*}" ] || [ "$soname" = "libshs.so.${version%%.*}" ] || fail "unexpected soname $soname"
if [ -z "${SHS_SANITIZE:-}" ]; then
    readelf -d "$libdir/libshs.so" | has BIND_NOW || fail "libshs.so is not linked with -z now"
    readelf -lW "$libdir/libshs.so" | has GNU_RELRO || fail "libshs.so has no relro"
    ! readelf -lW "$libdir/libshs.so" | grep GNU_STACK | has E || fail "libshs.so has an executable stack"
fi

if [ -x "$SHS_BUILD_DIR/shs" ]; then
    echo "-- the command"
    [ -x "$prefix/bin/shs" ] || fail "bin/shs was not installed"
    "$prefix/bin/shs" --version </dev/null | has -F "$version" || fail "shs --version does not say $version"
    readelf -h "$prefix/bin/shs" | has 'Type:.*DYN' || fail "shs is not a position-independent executable"
fi
echo "all of it works"
