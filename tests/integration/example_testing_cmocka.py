"""examples/testing_cmocka: it says itself whether it passes."""

import os

import shslib


def passes():
    code, out, err = shslib.run(os.environ["EXAMPLE_BIN"])
    shslib.equal(code, 0, out + err)


def is_short():
    """The whole test, from its first line to its last, is at most forty lines."""
    with open(shslib.SOURCE_DIR + "/examples/testing_cmocka.c") as source:
        test = source.read().partition("/* -- the test ")[2]
    lines = [line for line in test.splitlines()[1:] if line.strip()]
    print("       %d lines" % len(lines))
    shslib.check(len(lines) <= 40, "%d lines" % len(lines))


shslib.main(passes, is_short)
