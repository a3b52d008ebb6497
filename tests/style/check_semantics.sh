#!/usr/bin/env bash
# check_semantics.sh - each line of the list of semantics (what a faithful rebuild of socketserver
# and http.server does) has a test whose name has its number.
#
# C:       static void test_S14_verify_request_false(void **state), and it is in the list of its main
# Python:  def test_H14_version_digits(), or any other name with _H14_, and it is called
# shell:   a function whose name has _H14_, and it is called
#
# A name may have several numbers: test_S37_S38_...
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

# LETTER FIRST LAST, a line each.
ranges='
S 1 71
H 1 82
'

# numbered LETTER: the numbers of that letter for which there is a test that runs, one per line.
# A test that is defined and never mentioned again does not run.
numbered() {
    local letter=$1
    {
        find "$tree/tests/unit" -name 'test_*.c' -exec grep -ohE '\<test(_[A-Z][0-9]+)+_[A-Za-z0-9_]+' {} + 2>/dev/null || true
        find "$tree/tests/integration" \( -name '*.py' -o -name '*.sh' \) \
            -exec grep -ohE '\<[A-Za-z0-9]*(_[A-Z][0-9]+)+_[A-Za-z0-9_]+' {} + 2>/dev/null || true
        # A program that runs all of its test_ functions mentions none of them: so they are here twice.
        find "$tree/tests/integration" -name '*.py' -exec grep -lE 'globals\(\)\.items\(\)' {} + 2>/dev/null |
            xargs -r grep -ohE '^def test(_[A-Z][0-9]+)+_[A-Za-z0-9_]+' | sed 's/^def //' || true
    } | sort | uniq -c | awk '$1 > 1 { print $2 }' |
        { grep -oE "_${letter}[0-9]+" || true; } | sed "s/^_${letter}//" | sort -un
}

check() {
    local letter first last number have
    while read -r letter first last; do
        [ -n "$letter" ] || continue
        have=" $(numbered "$letter" | tr '\n' ' ') "
        for number in $(seq "$first" "$last"); do
            case "$have" in
            *" $number "*) ;;
            *) fault "$letter$number has no test: name one test_$letter${number}_..." ;;
            esac
        done
        for number in $have; do
            [ "$number" -le "$last" ] && [ "$number" -ge "$first" ] ||
                fault "a test is named for $letter$number, and the list ends at $letter$last"
        done
    done <<<"$ranges"
}

# tests_for NUMBERS...: a C file with a test for each, defined and listed.
tests_for() {
    local number
    for number in "$@"; do
        printf 'static void test_S%s_x(void **state) {}\n' "$number"
    done
    for number in "$@"; do
        printf 'cmocka_unit_test(test_S%s_x),\n' "$number"
    done
}

# all_h: a Python file that runs a test for each line of the other list.
all_h() {
    local number
    {
        for number in $(seq 1 82); do
            printf 'def test_H%s_x():\n    pass\n' "$number"
        done
        printf 'shslib.main(*[f for n, f in globals().items() if n.startswith("test_")])\n'
    } | put tests/integration/test_h.py
}

self_test() {
    local all

    all=$(seq 1 71)
    # shellcheck disable=SC2086
    tests_for $all | put tests/unit/test_a.c
    all_h
    expect good "a test for each line"
    # shellcheck disable=SC2086
    tests_for ${all/71/} | put tests/unit/test_a.c
    all_h
    expect bad "no test for the last line"
    # shellcheck disable=SC2086
    tests_for $all | grep -v '^cmocka_unit_test(test_S14_x' | put tests/unit/test_a.c
    all_h
    expect bad "a test that is not in the list of its program"
    # shellcheck disable=SC2086
    tests_for $all 72 | put tests/unit/test_a.c
    all_h
    expect bad "a test for a line that is not there"
    # shellcheck disable=SC2086
    tests_for ${all/71/} | put tests/unit/test_a.c
    put tests/integration/test_b.py <<<$'def forking_S71_unix():\n    pass\nshslib.main(forking_S71_unix)'
    all_h
    expect good "a test of a line in Python"
    # shellcheck disable=SC2086
    tests_for $all | put tests/unit/test_a.c
    all_h
    sed -i '/H57_x/d' "$tree/tests/integration/test_h.py"
    expect bad "a line of the second list without a test"
    put README.md <<<'# nothing'
    expect bad "no tests at all"
}

style_main "$@"
