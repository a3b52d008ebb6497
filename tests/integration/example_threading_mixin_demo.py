"""examples/threading_mixin_demo.c: what it prints, byte for byte, each time."""

import os

import shslib


def prints_what_is_expected():
    with open(os.path.dirname(os.path.abspath(__file__)) + "/expected/threading_mixin_demo.txt") as file:
        expected = file.read()
    for _ in range(3):
        code, out, said = shslib.run(os.environ["EXAMPLE_BIN"], seconds=20)
        shslib.equal(code, 0, "exit code; stderr: " + said)
        shslib.equal(out, expected, "stdout")


shslib.main(prints_what_is_expected)
