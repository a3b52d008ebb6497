#!/usr/bin/env bash
# check_exports.sh - libshs.so exports what the public headers declare, and nothing else.
#
#   tests/style/check_exports.sh             against packaging/exports.txt
#   tests/style/check_exports.sh --update    writes packaging/exports.txt from the built library
#
# The library is $SHS_BUILD_DIR/libshs.so, or the newest of build/release and build/debug.
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

# What ends a program's link, when it changes without notice: one name per line, sorted.
exported() {
    nm -D --defined-only "$1" | awk '{ print $NF }' | sed 's/@.*//' | sort -u
}

# The functions that the headers mark SHS_API, comments taken away.
declared() {
    cat "$tree"/include/shs/*.h | awk '/^[[:space:]]*#/ { next } { print }' |
        gcc -fpreprocessed -E -P -x c - 2>/dev/null | tr '\n' ' ' | tr ';{}' '\n\n\n' |
        sed -nE 's/.*SHS_API[^(]*[^A-Za-z0-9_](shs_[A-Za-z0-9_]+)[[:space:]]*\(.*/\1/p' | sort -u
}

# The one of this build; by hand, the newest that is there.
find_library() {
    local dirs=("$tree/build/release" "$tree/build/debug") dir newest=
    [ -z "${SHS_BUILD_DIR:-}" ] || dirs=("$SHS_BUILD_DIR")
    for dir in "${dirs[@]}"; do
        if [ -f "$dir/libshs.so" ] && { [ -z "$newest" ] || [ "$dir/libshs.so" -nt "$newest" ]; }; then
            newest=$dir/libshs.so
        fi
    done
    [ -n "$newest" ] && echo "$newest"
}

check() {
    local list=$tree/packaging/exports.txt now
    now=$(exported "$library")
    grep -v '^shs_' <<<"$now" | fault_lines "exported without the prefix shs_" || true
    grep '^shs__' <<<"$now" | fault_lines "internal, and exported" || true
    comm -23 <(declared) <(sort -u <<<"$now") | fault_lines "declared in a public header, and not in libshs.so"
    comm -13 <(declared) <(sort -u <<<"$now") | fault_lines "exported, and in no public header"
    if [ ! -f "$list" ]; then
        fault "packaging/exports.txt is missing: tests/style/check_exports.sh --update"
    else
        comm -23 "$list" <(sort -u <<<"$now") | fault_lines "gone from libshs.so (meant? --update)"
        comm -13 "$list" <(sort -u <<<"$now") | fault_lines "new in libshs.so (meant? --update)"
    fi
}

# A library of its own: SOURCE on stdin, its export list made from it.
make_library() {
    local flags=${1:-}
    put include/shs/a.h <<<$'#define SHS_API __attribute__((visibility("default")))\n/* SHS_API int shs_no(void); */\nSHS_API int shs_a(\n    int x);'
    put a.c
    # shellcheck disable=SC2086
    gcc -shared -fPIC -fvisibility=hidden $flags -I"$tree/include" -o "$tree/libshs.so" "$tree/a.c"
    library=$tree/libshs.so
    put packaging/exports.txt <<<'shs_a'
}

self_test() {
    local ok=$'#include <shs/a.h>\nint shs_a(int x) { return x; }\n'

    make_library <<<"$ok int shs__b(void) { return 1; }"
    expect good "a library with what it declares"
    make_library <<<"$ok SHS_API int helper(void) { return 1; }"
    expect bad "a name without the prefix"
    make_library <<<"$ok SHS_API int shs_b(void) { return 1; }"
    expect bad "a name that no header declares"
    make_library -fvisibility=default <<<"$ok int shs__b(void) { return 1; }"
    expect bad "an internal name that is visible"
    make_library <<<"int nothing(void) { return 1; }"
    expect bad "a declared function that is not there"
    make_library <<<"$ok"
    put packaging/exports.txt <<<$'shs_a\nshs_old'
    expect bad "a name that the list still has"
    make_library <<<"$ok"
    put packaging/exports.txt </dev/null
    expect bad "a name that the list does not have"
}

LC_ALL=C
if [ "${1:-}" != --self-test ]; then
    library=$(find_library) || skip "there is no libshs.so: build first, or set SHS_BUILD_DIR"
    [ -z "${SHS_SANITIZE:-}" ] || skip "a sanitizer adds names of its own"
fi
if [ "${1:-}" = --update ]; then
    exported "$library" >"$tree/packaging/exports.txt"
    echo "$(wc -l <"$tree/packaging/exports.txt") names in packaging/exports.txt, from $library"
    exit
fi
style_main "$@"
