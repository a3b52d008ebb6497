"""examples/upper_tcp_server.c: the upper-case server and its clients, in turn and three at once."""

import os

import shslib


def expected(name):
    with open(os.path.dirname(os.path.abspath(__file__)) + "/expected/" + name) as file:
        return file.read()


def one_client_after_the_other():
    code, out, said = shslib.run(os.environ["EXAMPLE_BIN"], seconds=20)
    shslib.equal(code, 0, "exit code; stderr: " + said)
    shslib.equal(out, expected("upper_tcp_server.txt"), "stdout")


def three_clients_at_once():
    code, out, said = shslib.run(os.environ["EXAMPLE_BIN"], "--threading", seconds=20)
    shslib.equal(code, 0, "exit code; stderr: " + said)
    shslib.equal(out, expected("upper_tcp_server_threading.txt"), "stdout")


shslib.main(one_client_after_the_other, three_clients_at_once)
