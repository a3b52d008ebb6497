#!/usr/bin/env bash
# What this project needs of Debian, and how to get it. The list is debian-packages.txt.
#
#   packaging/debian.sh list SET...      the packages of the sets (build, test, package)
#   packaging/debian.sh missing SET...   those that are not installed
#   packaging/debian.sh line SET...      the apt line that installs them; nothing if none is missing
#   packaging/debian.sh install SET...   installs them as root; otherwise says the line and fails
#   packaging/debian.sh own DIR          fails with the line that helps when DIR is somebody else's
#
# Nothing is ever asked. Messages go to stderr.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# One "a|b" entry per line.
entries() {
    local set_name
    for set_name in "$@"; do
        sed -e 's/#.*//' "$here/debian-packages.txt" |
            awk -v set_name="$set_name" '$1 == set_name { print $2 }'
    done
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

known() {
    [ -n "$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \(.*\)/\1/p' | grep -v '(none)')" ]
}

# Of "a|b": the installed one, else the first that apt knows, else the last.
choose() {
    local choices choice
    IFS='|' read -ra choices <<<"$1"
    for choice in "${choices[@]}"; do
        installed "$choice" && { echo "$choice"; return; }
    done
    if [ "${#choices[@]}" -gt 1 ]; then
        for choice in "${choices[@]}"; do
            known "$choice" && { echo "$choice"; return; }
        done
    fi
    echo "${choices[-1]}"
}

list() {
    local entry
    for entry in $(entries "$@"); do
        choose "$entry"
    done
}

missing() {
    local package
    for package in $(list "$@"); do
        installed "$package" || echo "$package"
    done
}

line() {
    local packages
    packages=$(missing "$@" | paste -sd ' ')
    [ -z "$packages" ] ||
        echo "sudo apt-get update && sudo apt-get install -y --no-install-recommends $packages"
}

not_debian() {
    cat >&2 <<SAY
This is not a Debian system (there is no apt-get), so nothing can be installed for you. Needed are:
a C compiler, CMake >= 3.25, Ninja, pkg-config, OpenSSL >= 3.0 with its headers, llhttp >= 9.2.1 with
its headers; for the tests also cmocka, Python >= 3.9, curl, openssl, clang and valgrind.
SAY
}

have_tools() {
    local tool
    for tool in cc cmake ninja pkg-config; do
        command -v "$tool" >/dev/null || return 1
    done
}

install() {
    local packages
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        have_tools && return 0 # CMake says what else is missing
        not_debian
        return 1
    fi
    packages=$(missing "$@")
    [ -n "$packages" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        echo "Some packages are missing, and only root can install them. Run this line, then try again:" >&2
        echo "    $(line "$@")" >&2
        return 1
    fi
    echo "installing: $(paste -sd ' ' <<<"$packages")" >&2
    apt_log=$(mktemp)
    trap 'rm -f "$apt_log"' EXIT
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q </dev/null >"$apt_log" 2>&1 ||
        echo "apt-get update failed; trying with the package lists that are there" >&2
    # A fresh system knows no package names before the update: choose again.
    packages=$(missing "$@")
    # shellcheck disable=SC2086 # a list of words
    if ! apt-get install -q -y --no-install-recommends $packages </dev/null >>"$apt_log" 2>&1; then
        tail -n 30 "$apt_log" >&2
        echo "The packages could not be installed (above: apt-get's last words). The line was:" >&2
        echo "    $(line "$@")" >&2
        return 1
    fi
}

# A build directory that root, or another user, has made: a build in it fails at its first file.
own() {
    [ ! -d "$1" ] || [ -w "$1" ] ||
        { echo "$1 belongs to $(stat -c %U "$1"): sudo chown -R $(id -un) $1, or remove it" >&2; return 1; }
}

case ${1:-} in
own)
    own "${2:?a directory}"
    ;;
list | missing | line | install)
    "$@"
    ;;
*)
    sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
