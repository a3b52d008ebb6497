"""examples/testing_cpp: it says itself whether it passes."""

import os

import shslib


def passes():
    code, out, err = shslib.run(os.environ["EXAMPLE_BIN"])
    shslib.equal(code, 0, out + err)


shslib.main(passes)
