#!/usr/bin/env bash
# check_examples.sh - every program in examples/ is run by a test, or it rots.
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

check() {
    local file name
    for file in "$tree"/examples/*.c "$tree"/examples/*.cpp; do
        [ -e "$file" ] || continue
        name=$(basename "$file" | sed 's/\.[a-z]*$//')
        [ -e "$tree/tests/integration/example_$name.py" ] || [ -e "$tree/tests/integration/example_$name.sh" ] ||
            fault "examples/$(basename "$file")    <- no test runs it: tests/integration/example_$name.py is missing"
    done
    for file in "$tree"/tests/integration/example_*; do
        [ -e "$file" ] || continue
        name=$(basename "$file" | sed 's/^example_//; s/\.[a-z]*$//')
        [ -e "$tree/examples/$name.c" ] || [ -e "$tree/examples/$name.cpp" ] || fault "${file#"$tree"/}    <- there is no examples/$name.c"
    done
}

self_test() {
    put examples/a.c <<<'int x;'
    put tests/integration/example_a.py <<<'x'
    expect good "an example with its test"
    put examples/a.c <<<'int x;'
    expect bad "an example without a test"
    put examples/a.cpp <<<'int x;'
    expect bad "an example in C++ without a test"
    put tests/integration/example_a.sh <<<'x'
    expect bad "a test without an example"
}

style_main "$@"
