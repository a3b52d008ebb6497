"""The access log: a request whose head was read has its line, also where it came to nothing.

But for a child of ForkingMixIn that outlives the grace: it is killed, and says nothing more.
"""

import json
import signal
import socket
import struct

import shslib
from shslib import check, equal

LARGE = 24 * 1024 * 1024
SHORT, LONG = 1000, 100_000_000  # a body that is read before its handler is called, and one that it reads
STOPS = "the server is shutting down"


def lines_of(server):
    return [json.loads(line) for line in server.stderr_lines() if line.startswith("{")]


def begun(server, request, answer):
    """A connection with a request whose head was read: the beginning of an answer says so."""
    sock = server.connect(context=server.tls_context() if server.scheme == "https" else None)
    sock.sendall(request.encode() + b"\r\nHost: localhost\r\n\r\n")
    shslib.read_until(sock, answer)
    return sock


def upload(server, path, length):
    sock = begun(server, "POST %s HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d" % (path, length),
                 b"100 Continue\r\n\r\n")
    sock.sendall(b"0123456789")
    return sock


def download(server, path, _):
    """Its client does not read on."""
    return begun(server, "GET %s HTTP/1.1" % path, b"200 OK\r\n")


def server_of(arguments, *more, **keywords):
    return shslib.Server(*arguments, "--log", "json", "--log-level", "error", *more, **keywords)


def whose_client_goes(arguments):
    """By an end of its own, or a reset."""
    with server_of(arguments, "--handler", "echo") as server:
        for path, length, reset in (("/a", SHORT, False), ("/b", SHORT, True), ("/c", LONG, False), ("/d", LONG, True)):
            with upload(server, path, length) as sock:
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            shslib.wait_until(lambda: path in {line["target"] for line in lines_of(server)}, 20, "a line of " + path)
        for line in lines_of(server):
            equal((line["method"], line["status"], line["bytes"], line["client"]), ("POST", 0, 0, "127.0.0.1"), line)
            check(line["error"] and line["error"] != STOPS, line)
        server.stop()
        equal(len(lines_of(server)), 4, "one line each: " + server.stderr)


def when_the_server_stops(arguments):
    with shslib.temp_dir() as site:
        with open(site + "/large", "wb") as file:
            file.truncate(LARGE)
        # A handler that reads is told of it, and its client is.
        for begin, length, statuses, more in ((upload, SHORT, (0,), ("--handler", "echo")),
                                              (upload, LONG, (0, 503), ("--handler", "echo")),
                                              (download, 0, (200,), (site,))):
            with server_of(arguments, "--stop-timeout", "300", "--drain-grace", "0", *more, expect_exit=1) as server:
                with begin(server, "/large", length):
                    server.signal(signal.SIGTERM)
                    equal(server.wait(20), 1, "exit code")
                lines = lines_of(server)
                equal([(line["target"], line["error"]) for line in lines], [("/large", STOPS)], server.stderr)
                check(lines[0]["status"] in statuses, lines)


def tests():
    for test, compositions in (
            (whose_client_goes, ("--plain --threading pool", "--threading pool", "--plain --threading thread",
                                 "--plain --threading none", "--plain --threading fork", "--threading fork")),
            (when_the_server_stops, ("--plain --threading pool", "--threading pool", "--plain --threading thread",
                                     "--plain --threading none", "--threading none"))):
        for words in compositions:
            def run(test=test, words=words):
                test(words.split())

            run.__name__ = "%s, %s" % (test.__name__, words)
            yield run


if __name__ == "__main__":
    shslib.each(*tests())
