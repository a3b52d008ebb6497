"""SIGTERM with a grace: probes fail at once, clients are served on, and the last line says what came of it all."""

import http.client
import json
import re
import signal
import socket
import time

import shslib
from shslib import check, equal

GRACE_MS = 2000
LARGE = 24 * 1024 * 1024
SITE = None

RECEIPT = re.compile(r"^shs: stopped in (\d+\.\d) s: (\d+) served, (\d+) closed, (\d+) cut$")


class Drained(shslib.Server):
    """With probes, and a grace; `receipt` is what its last line says."""

    def __init__(self, *arguments, grace=GRACE_MS, **keywords):
        super().__init__(SITE, "--health", "0", "--drain-grace", str(grace), *arguments, **keywords)
        line = self.wait_stdout(r"(?s)\nServing HTTP on 127\.0\.0\.1 port (\d+)")
        self.inside = int(line.group(1))

    def probe(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.inside, timeout=10 * shslib.SLOWNESS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def receipt(self):
        last = self.stderr.rstrip("\n").rpartition("\n")[2]
        found = RECEIPT.match(last)
        check(found, "the last line is %r" % last)
        return tuple(int(found.group(i)) for i in (2, 3, 4))


def ask(sock):
    sock.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
    _, headers, body, _ = shslib.read_response(sock)
    equal(body, b"hello\n")
    return headers.get("connection")


def standing_download(server):
    """A client in the middle of a large file, who does not read on."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.settimeout(20 * shslib.SLOWNESS)
    sock.connect((server.address, server.port))
    sock.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
    shslib.read_exactly(sock, 100000)
    return sock


@shslib.not_under("fork", "none")
def test_served_on_in_the_grace():
    """One that was idle and one that is new; nobody is refused before the grace is over."""
    with Drained("--stop-timeout", "20000") as server:
        idle, silent = server.connect(), server.connect()
        with idle, silent:
            equal(ask(idle), None)
            equal(server.probe("/readyz?verbose")[0], 200)
            began = time.monotonic()
            server.signal_taken(signal.SIGTERM)
            equal(server.probe("/readyz?verbose"),
                  (503, "[+]ready ok\n[-]serving failed: draining\n[+]certificates ok\nnot ready\n"))
            equal(server.probe("/livez"), (200, "ok\n"))
            equal(ask(idle), "close")
            with server.connect() as fresh:
                equal(ask(fresh), "close")
            equal(server.wait(20), 0, "exit code")
            check(time.monotonic() - began >= GRACE_MS / 1000, "the grace was cut short")
        equal(server.receipt(), (2, 3, 0))
        check("shs: draining: connections are taken, " in server.stderr, server.stderr)


@shslib.not_under("fork", "none")
def test_a_download_goes_on_and_probes_answer_meanwhile():
    with Drained("--plain", "--stop-timeout", "60000", grace=0) as server:
        sock = standing_download(server)
        with sock:
            server.signal_taken(signal.SIGTERM)
            shslib.wait_until(lambda: shslib.refuses(server), 10, "an end of new connections")
            equal(server.probe("/readyz")[0], 503)
            line = server.wait_stderr(r"stopping: requests may end, .* 1 with a request under way: (\S+) port (\d+)")
            equal((line.group(1), int(line.group(2))), sock.getsockname())
            shslib.read_all(sock, 20)
        equal(server.wait(20), 0, "exit code")
        equal(server.receipt(), (1, 1, 0))


@shslib.not_under("fork", "none")
def test_who_stands_still_is_cut_and_named():
    with Drained("--plain", "--stop-timeout", "300", grace=0, expect_exit=1) as server:
        sock = standing_download(server)
        with sock:
            server.signal(signal.SIGTERM)
            equal(server.wait(20), 1, "exit code")
            address = "%s port %d" % sock.getsockname()
        equal(server.receipt(), (0, 0, 1))
        check("1 request was cut off" in server.stderr and address in server.stderr, server.stderr)


@shslib.not_under("fork", "none")
def test_each_further_signal_hurries():
    """The grace, the requests under way, the process: each has minutes, and none of them is waited for."""
    with Drained("--plain", "--stop-timeout", "600000", grace=600000, expect_exit=1) as server:
        sock = standing_download(server)
        with sock:
            server.signal_taken(signal.SIGINT)
            equal(server.probe("/readyz")[0], 503)
            check(not shslib.refuses(server), "no grace")
            server.signal_taken(signal.SIGTERM)
            shslib.wait_until(lambda: shslib.refuses(server), 10, "an end of new connections")
            server.signal(signal.SIGTERM)
            equal(server.wait(20), 1, "exit code")
        equal(server.receipt()[2], 1)


@shslib.not_under("fork")
def test_no_grace_without_probes():
    with shslib.Server(SITE) as server:
        watch = shslib.Stopwatch(server)
        server.signal(signal.SIGTERM)
        equal(server.wait(20), 0, "exit code")
        watch.within(2, "to stop")
        check(RECEIPT.match(server.stderr.rstrip("\n").rpartition("\n")[2]), server.stderr)


@shslib.not_under("fork", "none")
def test_the_last_line_for_programs():
    with Drained("--log", "json", "--plain", grace=100) as server:
        equal(server.get("/a.txt")[0], 200)
        server.wait_stderr('"target":"/a.txt"')  # it is counted when it is in the log
        server.signal(signal.SIGTERM)
        equal(server.wait(20), 0, "exit code")
        last = json.loads(server.stderr.rstrip("\n").rpartition("\n")[2])
        equal({key: last[key] for key in ("event", "served", "cut", "level")},
              {"event": "stopped", "served": 0, "cut": 0, "level": "info"})
        check(last["took_ms"] >= 100 and "0 served" in last["message"] and last["closed"] in (0, 1), str(last))


def drain():
    global SITE
    with shslib.temp_dir() as SITE:
        shslib.write_file(SITE + "/a.txt", "hello\n")
        with open(SITE + "/large.bin", "wb") as file:
            file.truncate(LARGE)
        shslib.each(*[value for name, value in list(globals().items()) if name.startswith("test_")])


if __name__ == "__main__":
    shslib.main(drain)
