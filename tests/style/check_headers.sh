#!/usr/bin/env bash
# check_headers.sh - each public header compiles alone, as C11 and as C++17, with gcc and clang,
# without a warning, and without help of any other header or macro.
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

common=(-fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Werror)
c_only=(-std=c11 -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings)
cxx_only=(-std=c++17 -Wold-style-cast -Wno-pragma-once-outside-header)

# compile COMPILER FLAGS... FILE: the file twice in one unit, so that its guard is tested as well.
compile() {
    local compiler=$1 file=$2 unit
    shift 2
    unit=$(printf '#include <shs/%s>\n#include <shs/%s>\n' "$file" "$file")
    if ! "$compiler" "$@" -I"$tree/include" - <<<"$unit" >"$log" 2>&1; then
        fault "include/shs/$file does not compile alone with $compiler $1 $2:"
        cat "$log"
    fi
}

check() {
    local file compiler
    log=$(mktemp)
    [ -d "$tree/include/shs" ] || fault "there is no include/shs"
    for file in $(cd "$tree/include/shs" && echo *.h); do
        grep -q "^#ifndef SHS_" "$tree/include/shs/$file" ||
            fault "include/shs/$file has no include guard SHS_..._H"
        for compiler in gcc clang; do
            ! command -v "$compiler" >/dev/null || compile "$compiler" "$file" -x c "${c_only[@]}" "${common[@]}"
        done
        for compiler in g++ clang++; do
            ! command -v "$compiler" >/dev/null ||
                compile "$compiler" "$file" -x c++ "${cxx_only[@]}" "${common[@]}" -Wno-unknown-warning-option
        done
        # Unprefixed macros would end up in the programs of others.
        grep -nE '^[[:space:]]*#[[:space:]]*define[[:space:]]' "$tree/include/shs/$file" |
            grep -vE 'define[[:space:]]+(SHS_|shs_)' | fault_lines "macros begin with SHS_ (include/shs/$file)" || true
    done
    # The umbrella names them all.
    if [ -f "$tree/include/shs/shs.h" ]; then
        included=$(gcc -E -M -I"$tree/include" "$tree/include/shs/shs.h" 2>/dev/null)
        for file in $(cd "$tree/include/shs" && echo *.h); do
            [ "$file" = shs.h ] || grep -q "shs/$file" <<<"$included" ||
                fault "shs.h does not include $file"
        done
    fi
    rm -f "$log"
}

self_test() {
    local guard=$'#ifndef SHS_A_H\n#define SHS_A_H\n' end=$'\n#endif'

    put include/shs/a.h <<<"${guard}int shs_a(void);${end}"
    put include/shs/shs.h <<<$'#ifndef SHS_SHS_H\n#define SHS_SHS_H\n#include <shs/a.h>\n#endif'
    expect good "a plain header"
    put include/shs/a.h <<<"${guard}size_t shs_a(void);${end}"
    expect bad "a header that needs another one first"
    put include/shs/a.h <<<"${guard}int shs_a(int class);${end}"
    expect bad "a header with a C++ keyword"
    put include/shs/a.h <<<"${guard}int shs_a();${end}"
    expect bad "a header without prototypes"
    put include/shs/a.h <<<"${guard}static inline char shs_a(int x) { return x; }${end}"
    expect bad "a header that narrows"
    put include/shs/a.h <<<'struct shs_a { int x; };'
    expect bad "a header without a guard"
    put include/shs/a.h <<<"${guard}#define LIKELY(x) x${end}"
    expect bad "a macro without the prefix"
    put include/shs/a.h <<<"${guard}int shs_a(void);${end}"
    put include/shs/shs.h <<<$'#ifndef SHS_SHS_H\n#define SHS_SHS_H\n#endif'
    expect bad "a header that the umbrella forgets"
}

style_main "$@"
