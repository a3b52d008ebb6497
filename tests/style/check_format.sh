#!/usr/bin/env bash
# check_format.sh - the sources look as .clang-format says. Versions of clang-format differ in
# details, so only Debian 12's, 14, decides; with another the check is skipped.
#
#   tests/style/check_format.sh --fix      formats the tree: tidy.awk, then clang-format
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

find_clang_format() {
    local tool
    for tool in clang-format-14 clang-format; do
        if command -v "$tool" >/dev/null && "$tool" --version | grep -E >/dev/null 'version 14\.'; then
            echo "$tool"
            return
        fi
    done
    return 1
}

c_files() {
    sources src include tests/unit tests/soak tests/faults fuzz examples bench cmake
}

check() {
    local file
    local -a all wrong

    mapfile -t all < <(c_files)
    ((${#all[@]} > 0)) || return 0
    # One process reads them all; only what it finds is looked at file by file.
    (cd "$tree" && "$clang_format" --style=file --dry-run -Werror "${all[@]}") >/dev/null 2>&1 && return
    mapfile -t wrong < <(
        cd "$tree" && for file in "${all[@]}"; do
            "$clang_format" --style=file "$file" | cmp -s - "$file" || echo "$file"
        done
    )
    for file in "${wrong[@]}"; do
        fault "$file is not formatted: tests/style/check_format.sh --fix"
        "$clang_format" --style=file "$tree/$file" |
            diff -u --label "$file" --label "$file (formatted)" "$tree/$file" - | head -n 40 || :
    done
}

self_test() {
    cp "$style_dir/../../.clang-format" "$self_dir/"
    put src/a.c <<<$'int f(int x)\n{\n    return x + 1;\n}'
    expect good "a formatted file"
    put src/a.c <<<$'int f(int x) {\n  return x+1;\n}'
    expect bad "a file in another style"
}

fix() {
    local file tidy
    tidy=$(mktemp)
    c_files | while IFS= read -r file; do
        awk -f "$style_dir/tidy.awk" "$tree/$file" |
            "$clang_format" --style=file --assume-filename="$tree/$file" >"$tidy"
        cmp -s "$tidy" "$tree/$file" || { cat "$tidy" >"$tree/$file" && echo "formatted $file"; }
    done
    rm -f "$tidy"
}

clang_format=$(find_clang_format) || skip "there is no clang-format 14 here"
if [ "${1:-}" = --fix ]; then
    fix
    exit
fi
style_main "$@"
