#!/usr/bin/env bash
# check_packages.sh - README's build line and the Debian packages, tried inside a fresh Debian.
#
#   packaging/check_packages.sh build DEBS   installs what README names and nothing else, runs its three
#                                            commands, compiles a program against the result; then makes
#                                            the packages twice (two folders, two times), compares them
#                                            byte for byte, asks lintian, and puts them into DEBS
#   packaging/check_packages.sh try DEBS     in another fresh system: installs the packages, compiles
#                                            programs against them (C and C++; pkg-config and CMake), runs
#                                            them, the command, and `shs serve` as the unit says it, removes
#                                            all, and looks for what is left
#
# It installs and removes packages, as root: do not run it on a machine that you use.
# tests/fresh_debian.sh --install makes the two systems and runs both.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
umask 022
export DEBIAN_FRONTEND=noninteractive
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin # as a login has it
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "check_packages: $*" >&2
    exit 1
}

quietly() {
    "$@" >"$work/log" 2>&1 </dev/null || { tail -n 40 "$work/log" >&2; fail "failed: $*"; }
}

# Like grep -q, but reads to the end: a command before it that gets SIGPIPE would count as failed.
has() {
    grep "$@" >/dev/null
}

say() {
    echo "== $*"
}

programs() {
    cat >"$1/hello.c" <<'SOURCE'
#include <shs/shs.h>
#include <stdio.h>
#include <string.h>

static int hello_get(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_write(res, "Hello\n", 6);
}

int main(void)
{
    static struct shs_http_handler hello;
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;

    hello.name = "hello";
    hello.do_GET = hello_get;
    shs_options_init(&opt);
    if (shs_http_server_new(&server, &opt, &hello, &err) != SHS_OK || shs_server_port(server) == 0)
        return 1;
    shs_server_free(server);
    puts(shs_version());
    return strcmp(shs_version(), SHS_VERSION_STRING) != 0;
}
SOURCE
    cp "$1/hello.c" "$1/hello.cpp"
    cat >"$1/CMakeLists.txt" <<SOURCE
cmake_minimum_required(VERSION 3.25)
project(hello C CXX)
find_package(shs ${version%.*} REQUIRED)
foreach(kind shs shs_static)
  add_executable(c_\${kind} hello.c)
  add_executable(cpp_\${kind} hello.cpp)
  target_link_libraries(c_\${kind} PRIVATE shs::\${kind})
  target_link_libraries(cpp_\${kind} PRIVATE shs::\${kind})
endforeach()
SOURCE
}

# Programs against what is installed, with no path given anywhere.
compile_and_run() {
    local dir=$work/programs program
    mkdir -p "$dir"
    programs "$dir"
    # shellcheck disable=SC2046
    quietly cc -Wall -Werror -o "$dir/pc_c" "$dir/hello.c" $(pkg-config --cflags --libs shs)
    # shellcheck disable=SC2046
    quietly c++ -Wall -Werror -o "$dir/pc_cpp" "$dir/hello.cpp" $(pkg-config --cflags --libs shs)
    quietly cmake -S "$dir" -B "$dir/build"
    quietly cmake --build "$dir/build"
    for program in "$dir"/pc_c "$dir"/pc_cpp "$dir"/build/{c,cpp}_{shs,shs_static}; do
        [ "$("$program")" = "$version" ] || fail "$(basename "$program") does not run, or not with $version"
        echo "   runs: $(basename "$program")"
    done
    ldd "$dir/pc_c" | has 'libshs\.so' || fail "pc_c does not use the shared library"
    shs --version | has -F "$version" || fail "shs --version does not say $version"
}

# The apt line that README has for this release, without sudo.
readme_packages() {
    local release
    release=$(. /etc/os-release && echo "$VERSION_ID")
    sed -nE "s/^sudo apt-get install -y --no-install-recommends (.*[^ ]) +# Debian $release\$/\\1/p" "$root/README.md"
}

# make_debs SOURCES
make_debs() {
    (
        cd "$1"
        quietly env SOURCE_DATE_EPOCH=1700000000 cmake --preset deb
        quietly env SOURCE_DATE_EPOCH=1700000000 cmake --build --preset deb
        quietly env SOURCE_DATE_EPOCH=1700000000 cpack --preset deb
        ls build/deb/*.deb >/dev/null
    )
}

build() {
    local debs=$1 packages deb
    packages=$(readme_packages)
    [ -n "$packages" ] || fail "README.md has no apt-get line for this release of Debian"
    say "apt-get install $packages"
    quietly apt-get update
    # shellcheck disable=SC2086 # a list of words
    quietly apt-get install -y --no-install-recommends $packages
    [ -z "$(bash "$root/packaging/debian.sh" missing build)" ] ||
        fail "README.md names other packages than packaging/debian-packages.txt"

    say "README's three commands"
    cd "$root"
    quietly cmake --preset release
    ! grep 'Left out' "$work/log" || fail "something was left out for want of a package"
    quietly cmake --build --preset release
    ! grep 'warning:' "$work/log" || fail "the build has warnings"
    quietly cmake --install build/release
    compile_and_run
    xargs rm -f <build/release/install_manifest.txt
    ldconfig

    say "the packages, twice"
    # shellcheck disable=SC2046 # a list of words
    quietly apt-get install -y --no-install-recommends $(bash "$root/packaging/debian.sh" list package)
    mkdir -p "$work/one" "$work/two/elsewhere" "$debs"
    cp -a "$root" "$work/one/shs"
    cp -a "$root" "$work/two/elsewhere/tree"
    rm -rf "$work/one/shs/build" "$work/two/elsewhere/tree/build"
    make_debs "$work/one/shs"
    # As another day would have it. The umask is 022 both times: cpack writes it into its packages.
    find "$work/two/elsewhere/tree" -exec touch -h -d '2020-02-02 02:02:02' {} +
    make_debs "$work/two/elsewhere/tree"
    for deb in "$work"/one/shs/build/deb/*.deb; do
        cmp "$deb" "$work/two/elsewhere/tree/build/deb/$(basename "$deb")" || fail "$(basename "$deb") is not reproducible"
        echo "   $(sha256sum "$deb" | cut -c 1-16)  $(basename "$deb"), the same bytes twice"
        cp "$deb" "$debs/"
    done
    for deb in "${packages_made[@]}"; do
        [ -f "$(echo "$debs/${deb}_"*.deb)" ] || fail "there is no package $deb: $(ls "$debs")"
    done

    say "lintian"
    quietly apt-get install -y --no-install-recommends lintian
    lintian --allow-root --fail-on error --tag-display-limit 0 "$debs"/*.deb || fail "lintian found errors"
}

# Every file but those that apt, dpkg and ldconfig keep for themselves.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /root -o -path /var/cache \
        -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/log \) -prune -o -print | sort
}

# What the SPDX document says of a library is what dpkg says of it here.
check_sbom() {
    local name said
    [ -s /usr/share/doc/shs/shs.spdx.json ] || fail "the package shs has no shs.spdx.json"
    # Debian 13 has libssl3t64, and knows libssl3 by name: that one is not installed.
    name=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 'libssl3*' | sed -n 's/^installed //p' | head -n 1)
    said=$(dpkg-query -W -f '${Version}' "$name")
    grep -A 1 "\"name\": \"$name\"" /usr/share/doc/shs/shs.spdx.json | has -F "\"versionInfo\": \"$said\"" ||
        fail "shs.spdx.json does not say $name $said"
    has -F '"libseccomp2"' /usr/share/doc/shs/shs.spdx.json || fail "shs.spdx.json does not name libseccomp2"
}

# gdb finds what it shows of a program by the build id of that.
check_debug_symbols() {
    local file id
    for file in /usr/bin/shs "$(echo /usr/lib/*/libshs.so."$version")"; do
        id=$(readelf -n "$file" | sed -nE 's/.*Build ID: ([0-9a-f]+)$/\1/p')
        readelf -S "/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug" 2>/dev/null | has debug_info || fail "there are no debug symbols for $file"
        ! readelf -S "$file" | has debug_info || fail "$file has debug symbols of its own"
    done
    gdb -nx -batch -ex 'info line main' /usr/bin/shs 2>&1 | has 'src/cmd/main\.c' || fail "gdb does not find the line of main"
}

# systemd itself does not run in a chroot: run_unit.py does what it does.
run_unit() {
    local units=/lib/systemd/system
    [ -f "$units/shs.service" ] && [ -f "$units/shs.socket" ] || fail "the units are not installed"
    # What an older systemd does not know it ignores, with a warning.
    systemd-analyze verify "$units/shs.service" "$units/shs.socket" >"$work/said" 2>&1 || { cat "$work/said"; fail "systemd-analyze verify"; }
    ! grep -F shs. "$work/said" || fail "systemd-analyze verify has something to say"
    systemd-analyze security --offline=true --no-pager --threshold=20 "$units/shs.service" >"$work/security" ||
        { cat "$work/security"; fail "systemd-analyze security: more than 2.0"; }
    echo "   $(tail -n 1 "$work/security")"
    python3 "$root/packaging/run_unit.py" "$units/shs.service" "$units/shs.socket" || fail "the unit's command line (above)"
}

# Each page is found by its name, and groff has nothing to say about it.
read_pages() {
    local package page name count=0
    for package in "${packages_made[@]}"; do
        while read -r page; do
            name=$(basename "$page" .gz)
            [ "$(man -w "${name##*.}" "${name%.*}")" = "$page" ] || fail "man does not find $page by its name"
            zcat "$page" | groff -mandoc -ww -Tutf8 -Z >/dev/null 2>"$work/said"
            [ ! -s "$work/said" ] || { cat "$work/said"; fail "groff complains about $page"; }
            count=$((count + 1))
        done < <(dpkg -L "$package" | grep '^/usr/share/man/man./')
    done
    [ "$count" -ge 20 ] || fail "there are only $count man pages"
    man --warnings -E UTF-8 1 shs-serve >"$work/page" 2>"$work/said"
    has -- '--stop-timeout' <"$work/page" || fail "man 1 shs-serve does not show the page"
    [ ! -s "$work/said" ] || { cat "$work/said"; fail "man complains about shs-serve(1)"; }
    echo "   $count man pages, found by name and read without a warning"
}

# Each shell finds the file by itself and offers `serve` for `shs se`.
complete_words() {
    bash --norc -c '. /usr/share/bash-completion/bash_completion; _completion_loader shs
        COMP_WORDS=(shs se) COMP_CWORD=1 COMP_LINE="shs se" COMP_POINT=6
        "$(complete -p shs | sed -nE "s/.*-F ([^ ]+).*/\\1/p")" shs se shs; printf "%s\n" "${COMPREPLY[@]}"' | has -E '^serve ?$' ||
        fail "bash does not complete shs"
    HOME=$work fish -c 'complete -C "shs se"' | has -E '^serve\b' || fail "fish does not complete shs"
    [ "$(HOME=$work zsh -fc 'autoload -Uz compinit && compinit -u -D && print $_comps[shs]')" = _shs ] ||
        fail "zsh knows no completion of shs"
    echo "   bash, fish and zsh complete shs"
}

# README's blocks as they stand, against what is installed, as somebody who is not root.
run_documents() {
    mkdir -p "$work/documents/tests"
    cp -a "$root/README.md" "$work/documents/"
    cp -a "$root/tests/integration" "$work/documents/tests/"
    chmod 755 "$work"
    python3 "$work/documents/tests/integration/test_documents.py" --installed /usr --user 65534 README.md || fail "README.md (above)"
}

try() {
    local debs=$1 deb
    quietly apt-get update
    # shellcheck disable=SC2046 # a list of words
    quietly apt-get install -y --no-install-recommends $(bash "$root/packaging/debian.sh" list try)
    files >"$work/before"
    say "apt-get install the packages"
    quietly apt-get install -y --no-install-recommends "$debs"/*.deb
    for deb in "${packages_made[@]}"; do
        echo "   $deb needs: $(dpkg-query -W -f '${Depends}' "$deb")"
        [ -z "$(dpkg --verify "$deb")" ] || fail "dpkg --verify $deb: $(dpkg --verify "$deb")"
    done
    check_sbom
    check_debug_symbols
    compile_and_run
    say "man pages and completion"
    read_pages
    complete_words
    say "the unit"
    run_unit
    say "README's commands"
    run_documents
    say "a program's package depends on libshs0"
    mkdir -p "$work/p/debian"
    printf 'Source: p\n\nPackage: p\nArchitecture: any\n' >"$work/p/debian/control"
    (cd "$work/p" && dpkg-shlibdeps -O "$work/programs/pc_c" 2>/dev/null) | grep 'libshs0 (' || fail "dpkg-shlibdeps does not name libshs0"
    say "removed again"
    quietly apt-get purge -y "${packages_made[@]}"
    quietly apt-get autoremove --purge -y
    # Python writes what it compiled beside its own files; what autoremove leaves of other packages is not ours to judge.
    files | comm -13 "$work/before" - | grep -vE '/__pycache__(/|$)' >"$work/left" || true
    ! grep -iE 'shs' "$work/left" || fail "files are left"
    echo "   new files in the system, of whatever package: $(wc -l <"$work/left")"
    head -n 20 "$work/left"
    ! dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' 2>/dev/null | grep -E '^(lib)?shs' || fail "dpkg still knows a package"
    ! ldconfig -p | grep libshs || fail "ldconfig still knows libshs"
}

packages_made=(shs shs-dbgsym libshs0 libshs0-dbgsym libshs-dev)
version=$(sed -nE 's/.*SHS_VERSION_STRING "(.*)".*/\1/p' "$root/include/shs/version.h")
case ${1:-}:$# in
build:2 | try:2)
    "$1" "$2"
    say "all of it works: $1"
    ;;
*)
    sed -n '2,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
