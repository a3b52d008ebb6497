#!/usr/bin/env bash
# From a fresh clone to a running HTTPS server: installs what is missing, builds, serves examples/site.
#
#   bash examples/quickstart.sh [options of `shs serve`]        for example: --port 8443
#
# Nothing is asked. What happens on the way is said on stderr; the first line of stdout is the
# server's own. As root on Debian, missing packages are installed; otherwise the apt line is said.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release
log=$build.log
site=$root/examples/site

say() {
    echo "quickstart: $*" >&2
}

configured_here() {
    [ -f "$build/build.ninja" ] &&
        grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$build/CMakeCache.txt" 2>/dev/null
}

build_command() {
    if ! configured_here; then
        rm -rf "$build"
        (cd "$root" && cmake --preset release -DSHS_BUILD_TESTS=OFF -DSHS_BUILD_EXAMPLES=OFF) || return 1
    fi
    cmake --build "$build" --target shs
}

# 64 MiB in which every eight bytes say where they are: 0000000, 0000001 ... and a newline each.
make_large_file() {
    local large=$site/files/large.bin size=67108864
    [ "$(stat -c %s "$large" 2>/dev/null || echo 0)" -ne "$size" ] || return 0
    mkdir -p "$site/files"
    seq -w 0 8388607 >"$large.$$" && mv "$large.$$" "$large"
}

prepare() {
    exec </dev/null
    mkdir -p "$root/build"
    bash "$root/packaging/debian.sh" own "$root/build" || exit 1
    # Two at once would build into the same directory.
    exec 9>"$root/build/.quickstart.lock"
    flock 9
    bash "$root/packaging/debian.sh" install build || exit 1
    [ -x "$build/shs" ] || say "building into build/release; the first time takes a minute"
    if ! build_command >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        say "the build failed; all of it is in $log"
        exit 1
    fi
    make_large_file
}

(prepare) >&2
exec "$build/shs" serve "$@" "$site"
