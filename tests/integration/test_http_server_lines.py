"""http.server line by line, over sockets: request lines, fields, deadlines, logs, the command.

The numbers are those of the list of semantics (H1 to H82); the lines that are about a handler's calls
are in tests/unit/test_http_lines.c, those about files in test_static_files.py. Where this server is
stricter than Python's, the test says what it does instead.
"""

import contextlib
import re
import select
import socket
import time

import shslib
from shslib import check, equal

HOST = b"\r\nHost: a\r\n\r\n"


@contextlib.contextmanager
def echo(*arguments):
    with shslib.Server("--plain", "--handler", "echo", *arguments) as server:
        yield server


def refused(server, data, status, words=b""):
    """One answer with that status and full headers, then the end."""
    got = server.raw(data)
    check(got.startswith(b"HTTP/1.1 %d " % status), "%r: %r" % (data[:80], got[:200]))
    equal(len(re.findall(rb"HTTP/1\.1 \d{3} ", got)), 1, "answers to %r" % data[:80])
    for field in (b"\r\nServer: ", b"\r\nDate: ", b"\r\nConnection: close\r\n", b"\r\nContent-Length: "):
        check(field in got, "%r is not in %r" % (field, got))
    check(words in got, "%r is not in %r" % (words, got))


def test_H6_https_and_alpn():
    with shslib.temp_dir() as site:
        shslib.write_file(site + "/a", "hello")
        with shslib.Server("--log", "none", site) as server:
            equal(server.get("/a")[2], b"hello")
            for offered, agreed in ((["http/1.1"], "http/1.1"), (["spdy/3", "http/1.1"], "http/1.1"),
                                    (None, None)):
                context = server.tls_context()
                if offered:
                    context.set_alpn_protocols(offered)
                with server.connect(context=context) as sock:
                    equal(sock.selected_alpn_protocol(), agreed, str(offered))


@shslib.not_under("none")
def test_H7_a_silent_client_delays_nobody():
    with shslib.temp_dir() as site:
        shslib.write_file(site + "/a", "hello")
        with shslib.Server("--log", "none", site) as server, contextlib.ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(server.connect_plain())  # never says a word of TLS
            watch = shslib.Stopwatch(server)
            equal(server.get("/a")[2], b"hello")
            watch.within(3, "an answer beside silent clients")


def test_H8_request_line_too_long():
    with echo("--log", "none") as server:
        refused(server, b"GET /" + b"x" * 9000 + b" HTTP/1.1" + HOST, 414)
        equal(server.get("/" + "x" * 8000)[0], 200)


def test_H9_H11_nothing_is_no_error():
    with echo("--log", "none") as server:
        for data in (b"", b"\r\n"):
            with server.connect() as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                equal(shslib.read_all(sock), b"", "answer to %r" % data)


def test_H10_lines_end_in_crlf():
    """Python trims what is at the end of a line; here it must be CR LF (RFC 9112 section 2.2)."""
    with echo("--log", "none") as server:
        refused(server, b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400)
        refused(server, b"GET / HTTP/1.1 " + HOST, 400)


def test_H12_one_word():
    with echo("--log", "none") as server:
        refused(server, b" / " + HOST, 400)
        refused(server, b"/" + HOST, 400)


def test_H13_H14_H15_H16_H22_versions():
    with echo("--log", "none") as server:
        for version in (b"FUBAR/1.1", b"HTTP/9.9.9", b"HTTP/-9_9_9.+9_9_9", b"HTTP/1.1x", b"http/1.1",
                        b"HTTP/" + b"9" * 12 + b".1", b"HTTP/1." + b"9" * 12, b"HTTP/", b"HTTP/11"):
            refused(server, b"GET / " + version + HOST, 400)


def test_H17_versions_of_the_future():
    with echo("--log", "none") as server:
        for version in (b"HTTP/2.0", b"HTTP/9.9"):
            refused(server, b"GET / " + version + HOST, 505)


def test_H18_a_fourth_word():
    with echo("--log", "none") as server:
        refused(server, b"GET /spaced out HTTP/1.1" + HOST, 400, b"%20")


def test_H19_H20_http_09_is_refused():
    """HTTP/0.9 is not spoken here: nobody does, and an answer without a head is easily misread."""
    with echo("--log", "none") as server:
        for data in (b"GET /\r\n\r\n", b"PUT /\r\n\r\n"):
            refused(server, data, 400, b"HTTP/0.9 is not supported")


def test_H23_a_field_too_long():
    with echo("--log", "none") as server:
        refused(server, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 65537 + b"\r\n\r\n", 431)


def test_H24_too_many_fields():
    with echo("--log", "none") as server:
        fields = b"".join(b"X-%d: y\r\n" % i for i in range(99))
        check(server.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + fields[:-9] +
                         b"\r\n").startswith(b"HTTP/1.1 "), "fewer than a hundred")
        refused(server, b"GET / HTTP/1.1\r\nHost: a\r\nY: z\r\n" + fields + b"\r\n", 431)


def gone_within(server, sock, seconds, what):
    """The server ends the connection in this time, and one second more."""
    watch = shslib.Stopwatch(server)
    shslib.read_all(sock, seconds + 20)
    watch.within(seconds + 1, what)


def test_H32_deadlines_end_a_connection_and_name_the_cause():
    flags = ("--head-timeout", "400", "--body-timeout", "500", "--idle-timeout", "600",
             "--log-level", "debug", "--log", "none")
    with echo(*flags) as server:
        with server.connect() as sock:
            gone_within(server, sock, 0.4, "silent")
        server.wait_stderr("ended: no request within head_ms")
        with server.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHo")
            gone_within(server, sock, 0.4, "half a head")
        server.wait_stderr(r"head did not arrive in time\. \[head-timeout\]")
        for head, part in ((b"Content-Length: 100", b"x"), (b"Content-Length: 1000000", b"x" * 10),
                           (b"Transfer-Encoding: chunked", b"64\r\nx")):
            with server.connect() as sock:
                sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n" + part)
                gone_within(server, sock, 0.5, "half a body, " + head.decode())
        server.wait_stderr(r"body did not arrive in time\. \[body-timeout\]")
        with server.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1" + HOST)
            shslib.read_response(sock)
            gone_within(server, sock, 0.6, "idle")
        server.wait_stderr("ended: no further request within idle_ms")


def test_H32_a_byte_now_and_then_does_not_help():
    with echo("--head-timeout", "700", "--body-timeout", "700", "--log", "none") as server:
        for begin in (b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n"):
            with server.connect() as sock:
                watch, ended = shslib.Stopwatch(server), False
                sock.sendall(begin)
                while not ended and watch.took() < 15 * shslib.SLOWNESS:
                    time.sleep(0.1)
                    try:
                        sock.sendall(b"x")
                        ended = bool(select.select([sock], [], [], 0)[0])
                    except OSError:
                        ended = True
                check(ended, "dripping %r: not ended" % begin)
                watch.within(0.7 + 1, "dripping %r" % begin)


def test_H32_a_client_that_does_not_read():
    with shslib.temp_dir() as site:
        shslib.write_file(site + "/large", b"x" * 30000000)
        for plain in (("--plain",), ()):
            with shslib.Server("--write-timeout", "600", "--log", "none", "--log-level", "info", *plain, site) as server:
                with server.connect() as sock:
                    sock.sendall(b"GET /large HTTP/1.1" + HOST)
                    server.wait_stderr("the client did not read its answer in time", 10)
                equal(server.get("/none")[0], 404, "and others are served")


def test_H32_handshake_deadline():
    with shslib.temp_dir() as site, \
            shslib.Server("--handshake-timeout", "400", "--log", "none", "--log-level", "info", site) as server:
        for data in (b"", b"\x16\x03\x01\x02\x00\x01"):
            with server.connect_plain() as sock:
                sock.sendall(data)
                gone_within(server, sock, 0.4, "handshake of %r" % data)
        server.wait_stderr("handshake", 5)


def test_limits_are_flags():
    with echo("--max-body", "1k", "--max-request-line", "100", "--max-head", "300", "--max-headers", "3",
              "--max-requests", "2", "--log", "none") as server:
        post = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        check(b" 200 OK" in server.raw(post + b"Content-Length: 1024\r\n\r\n" + b"x" * 1024), "1 KiB")
        refused(server, post + b"Content-Length: 1025\r\n\r\n", 413)
        refused(server, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n", 413)
        refused(server, b"GET /" + b"x" * 100 + b" HTTP/1.1" + HOST, 414)
        refused(server, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 300 + b"\r\n\r\n", 431)
        refused(server, b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\n\r\n", 431)
        equal(server.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 5).count(b"HTTP/1.1 200"), 2,
              "requests of a connection")


def test_stop_timeout():
    with shslib.temp_dir() as site:
        shslib.write_file(site + "/large", b"x" * 30000000)
        with shslib.Server("--plain", "--stop-timeout", "500", "--log", "none", site,
                           expect_exit=None) as server:
            with server.connect() as sock:
                sock.sendall(b"GET /large HTTP/1.1" + HOST)
                shslib.read_until(sock, b"\r\n\r\n")
                watch = shslib.Stopwatch(server)
                server.stop()
                watch.within(0.5 + 2 + 1, "--stop-timeout")


def test_H51_H53_log_lines():
    with echo("--log", "common") as server:
        server.get("/a")
        server.wait_stderr(r'^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] '
                           r'"GET /a HTTP/1\.1" 200 \d+$')


def test_H52_an_error_has_two_lines():
    with echo("--log", "common") as server:
        server.raw(b"ERROR  / HTTP/1.1" + HOST)
        server.wait_stderr(r'"ERROR  / HTTP/1\.1" 400 \d+$')
        server.wait_stderr(r"request from 127\.0\.0\.1 .* failed: .* \[two-spaces\] \(SHS_PROTO\)$")


def test_H54_H55_nothing_unprintable_is_logged():
    """Control characters become \\xNN. There are no colours: a log that is read by programs has none."""
    with echo("--log", "combined") as server:
        server.raw(b"GET /\x1b[31m HTTP/1.1" + HOST)
        server.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: \xff\\\"\x85\r\n\r\n")
        server.wait_stderr(r'\\\\\\x22\\x85"$')
        server.wait_stderr(r"\[control-char\] \(SHS_PROTO\)$")
        check(not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", server.stderr), repr(server.stderr))


def test_H60_targets_without_a_slash():
    """Python takes "types" for "/types"; RFC 9112 section 3.2 has no such target."""
    with echo("--log", "none") as server:
        refused(server, b"GET types HTTP/1.1" + HOST, 400)


shslib.main(test_H6_https_and_alpn, test_H7_a_silent_client_delays_nobody,
            test_H8_request_line_too_long, test_H9_H11_nothing_is_no_error, test_H10_lines_end_in_crlf,
            test_H12_one_word, test_H13_H14_H15_H16_H22_versions, test_H17_versions_of_the_future,
            test_H18_a_fourth_word, test_H19_H20_http_09_is_refused, test_H23_a_field_too_long,
            test_H24_too_many_fields, test_H32_deadlines_end_a_connection_and_name_the_cause,
            test_H32_a_byte_now_and_then_does_not_help, test_H32_a_client_that_does_not_read,
            test_H32_handshake_deadline, test_limits_are_flags, test_stop_timeout, test_H51_H53_log_lines,
            test_H52_an_error_has_two_lines, test_H54_H55_nothing_unprintable_is_logged,
            test_H60_targets_without_a_slash)
