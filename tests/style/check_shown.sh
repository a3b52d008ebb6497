#!/usr/bin/env bash
# check_shown.sh - a test that a document names as `file.function` is there, and runs.
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

# named FILE: each `test_x.y` of a document that is not a file name, one per line.
named() {
    grep -oE '`test_[A-Za-z0-9_]+\.[A-Za-z0-9_]+`' "$1" | tr -d '`' | grep -vE '\.(c|h|py|sh|inc)$' || true
}

# runs FILE FUNCTION: it is defined there, and mentioned again: in a list of tests, or by its beginning.
runs() {
    case $1 in
    *.c)
        grep -qE "^static void $2\(void \*\*" "$1" && [ "$(grep -cE "\<$2\>" "$1")" -gt 1 ]
        ;;
    *)
        grep -qE "^def $2\(" "$1" || return 1
        [ "$(grep -cE "\<$2\>" "$1")" -gt 1 ] ||
            { [[ $2 == test_* ]] && grep -qF 'startswith("test_")' "$1"; }
        ;;
    esac
}

check() {
    local document name file found
    while IFS= read -r document; do
        while IFS= read -r name; do
            found=
            for file in "$tree/tests/unit/${name%%.*}.c" "$tree/tests/integration/${name%%.*}.py"; do
                if [ -f "$file" ] && runs "$file" "${name#*.}"; then
                    found=yes
                fi
            done
            [ -n "$found" ] || fault "$document: $name is not a test that runs"
        done < <(named "$tree/$document")
    done < <(tree_files | grep '\.md$' || true)
}

self_test() {
    local c=$'static void it_holds(void **state)\n{\n}\ncmocka_unit_test(it_holds),\n'
    local python=$'def it_too(pki):\n    pass\n\ntls_pki.each(pki, it_too)\n'

    put tests/unit/test_a.c <<<"$c"
    put tests/integration/test_b.py <<<"$python"
    put tests/x.md <<<'| it | `test_a.it_holds`, `test_b.it_too`; `test_a.c`, `test_b.py` |'
    expect good "tests that are there"
    put tests/unit/test_a.c <<<"$c"
    put tests/x.md <<<'`test_a.it_held`'
    expect bad "a function that is not there"
    put tests/x.md <<<'`test_a.it_holds`'
    expect bad "a file that is not there"
    grep -v cmocka <<<"$c" | put tests/unit/test_a.c
    put README.md <<<'`test_a.it_holds`'
    expect bad "a test that is not in the list of its program"
    grep -v each <<<"$python" | put tests/integration/test_b.py
    put tests/x.md <<<'`test_b.it_too`'
    expect bad "a function that nobody calls"
    put tests/integration/test_b.py <<<$'def test_it():\n    pass\nmain(*[f for n, f in all() if n.startswith("test_")])'
    put tests/x.md <<<'`test_b.test_it`'
    expect good "a program that runs all of its test_ functions"
    put tests/integration/test_b.py <<<$'def test_other():\n    pass\nmain(*[f for n, f in all() if n.startswith("test_")])'
    put tests/x.md <<<'`test_b.test_it`'
    expect bad "another function of such a program"
}

style_main "$@"
