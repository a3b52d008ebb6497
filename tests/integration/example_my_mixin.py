"""examples/my_mixin.c: it runs by itself; what it prints is what its first comment promises."""

import os

import shslib


def two_are_served_and_the_third_is_refused():
    code, out, said = shslib.run(os.environ["EXAMPLE_BIN"], seconds=20)
    shslib.equal(code, 0, "exit code; stderr: " + said)
    shslib.equal([line for line in out.splitlines() if line], [
        "MyMixIn > ThreadingMixIn > TCPServer > BaseServer",
        "client got: hello", "client got: hello", "client got: (nothing)",
        "closed after 3 connections"], "stdout")


shslib.main(two_are_served_and_the_third_is_refused)
