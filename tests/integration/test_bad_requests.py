"""Requests that attack: each is answered once, with an error, and the connection ends.

What comes behind a bad request is never taken for a request of its own. tests/unit/http_cases.inc has
the whole grammar; here it goes over real connections, in one piece and byte by byte, with TLS and
without.
"""

import os
import re

import shslib

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
# What an attacker wants to have answered.
SMUGGLED = b"GET /secret.txt HTTP/1.1\r\nHost: a\r\n\r\n"
SECRET = b"the-secret-of-the-test"
# What nobody may have.
OUTSIDE = b"what-is-not-served"

BAD = [
    # Two lengths
    (400, "CL and TE", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, "TE and CL", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    (400, "two CL", POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n"),
    (400, "two CL, equal", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    (400, "CL list", POST + b"Content-Length: 5, 5\r\n\r\nhello"),
    (400, "CL plus", POST + b"Content-Length: +5\r\n\r\nhello"),
    (400, "CL minus", POST + b"Content-Length: -5\r\n\r\nhello"),
    (400, "CL hex", POST + b"Content-Length: 0x5\r\n\r\nhello"),
    (400, "CL space", POST + b"Content-Length: 5 5\r\n\r\nhello"),
    (400, "CL empty", POST + b"Content-Length:\r\n\r\n"),
    (400, "CL underscore", POST + b"Content-Length: 1_0\r\n\r\n"),
    (413, "CL 2^64", POST + b"Content-Length: 18446744073709551616\r\n\r\n"),
    (413, "CL 2^63", POST + b"Content-Length: 9223372036854775808\r\n\r\n"),
    (413, "CL 1 TiB", POST + b"Content-Length: 1099511627776\r\n\r\n"),
    (413, "CL of 100 digits", POST + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n"),
    # Hidden codings
    (400, "TE, space before the colon", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    (400, "TE folded", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    (400, "TE behind a bare LF", POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, "TE behind a bare CR", POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, "TE with VT", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    (400, "TE with NUL", POST + b"Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n"),
    (400, "TE xchunked", POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    (400, "TE gzip", POST + b"Transfer-Encoding: gzip\r\n\r\n"),
    (400, "TE chunked, identity", POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    (400, "two TE", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    (501, "TE gzip, chunked", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    (400, "TE in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    # Chunks
    (400, "chunk size of no digits", CHUNKED + b"\r\n\r\n"),
    (400, "chunk size minus", CHUNKED + b"-1\r\n\r\n"),
    (400, "chunk size 0x5", CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
    (400, "chunk size of 16 digits", CHUNKED + b"0000000000000005\r\nhello\r\n0\r\n\r\n"),
    (413, "chunk size of 15 digits", CHUNKED + b"fffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    (400, "chunk size and space", CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    (400, "chunk, bare LF", CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    (400, "chunk data, bare LF", CHUNKED + b"5\r\nhello\n0\r\n\r\n"),
    (400, "chunk that is longer", CHUNKED + b"5\r\nhelloXX\r\n0\r\n\r\n"),
    (400, "chunk extension with CR", CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    (400, "chunk extension, endless", CHUNKED + b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n"),
    (400, "trailer with a length", CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n"),
    (400, "trailer, bare LF", CHUNKED + b"0\r\nX: y\n\r\n"),
    (400, "trailer, folded", CHUNKED + b"0\r\nX: y\r\n z\r\n\r\n"),
    (431, "trailers of 1 MB", CHUNKED + b"0\r\n" + b"X: " + b"y" * 1000000 + b"\r\n\r\n"),
    (431, "a thousand trailers", CHUNKED + b"0\r\n" + b"X: y\r\n" * 1000 + b"\r\n"),
    # Lines
    (400, "bare LF", b"GET / HTTP/1.1\nHost: a\n\n"),
    (400, "bare LF at the end", HEAD + b"\n"),
    (400, "bare CR", HEAD + b"X: a\rb\r\n\r\n"),
    (400, "CR at the end", HEAD + b"\r\r\n\r\n"),
    (400, "a CR of its own, then X", HEAD + b"\rX"),
    (400, "NUL in a value", HEAD + b"X: a\0b\r\n\r\n"),
    (400, "NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "folding", HEAD + b"X: a\r\n b\r\n\r\n"),
    (400, "folding with TAB", HEAD + b"X: a\r\n\tb\r\n\r\n"),
    (400, "a folded first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    (400, "no colon", HEAD + b"nonsense\r\n\r\n"),
    (400, "no name", HEAD + b": x\r\n\r\n"),
    (400, "space in a name", HEAD + b"A B: x\r\n\r\n"),
    (400, "non-ASCII name", HEAD + b"X\xc3\xa9: x\r\n\r\n"),
    (400, "two empty lines first", b"\r\n\r\n" + HEAD + b"\r\n"),
    # The request line
    (400, "two spaces", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "a tab", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "leading space", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "no version", b"GET /\r\n\r\n"),
    (400, "a space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    (505, "HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    (505, "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (505, "HTTP/0.9", b"GET / HTTP/0.9\r\n\r\n"),
    (505, "HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    (400, "http/1.1", b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    (400, "RTSP", b"OPTIONS * RTSP/1.0\r\n\r\n"),
    (400, "fragment", b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "userinfo", b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "ftp://", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "bad escape", b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "asterisk", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    (501, "CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    # Host
    (400, "no Host", b"GET / HTTP/1.1\r\n\r\n"),
    (400, "two Host", HEAD + b"Host: b\r\n\r\n"),
    (400, "Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    (400, "Host with a user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    (400, "Host list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    (400, "Host with a bad port", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    # Limits
    (414, "a target of 9,000 bytes", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    (414, "a request line without an end", b"GET /" + b"a" * 200000),
    (431, "a field of 40,000 bytes", HEAD + b"X: " + b"a" * 40000 + b"\r\n\r\n"),
    (431, "a field without an end", HEAD + b"X: " + b"a" * 200000),
    (431, "101 fields", HEAD + b"X: y\r\n" * 100 + b"\r\n"),
    (431, "many small fields", HEAD + b"X:\r\n" * 20000 + b"\r\n"),
    (413, "a body of 8 MiB that is too long by a lot", POST + b"Content-Length: 99999999999\r\n\r\n" +
     bytes(8 << 20)),
    (501, "a method of 40 bytes", b"A" * 40 + b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (417, "Expect of no sense", HEAD + b"Expect: 200-ok\r\nContent-Length: 5\r\n\r\n"),
]
# Bad for the one who speaks HTTP where TLS is expected, or the reverse.
BAD_PLAIN = [
    (400, "TLS to a plain port", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500)),
    (400, "a letter in lower case and garbage", b"xyz\xff\xfe\0"),
]

SERVERS = {}


def answers_in(data):
    """How many responses begin in these bytes."""
    return len(re.findall(rb"HTTP/1\.[01] \d\d\d ", data))


def check_answer(what, answer, status):
    shslib.check(SECRET not in answer, "%s: what was smuggled was answered: %r" % (what, answer))
    shslib.equal(answers_in(answer), 1, "%s: answers in %r" % (what, answer[:300]))
    shslib.check(answer.startswith(b"HTTP/1.1 %d " % status),
                 "%s: wanted %d, got %r" % (what, status, answer[:60]))
    head, end, body = answer.partition(b"\r\n\r\n")
    shslib.equal(end, b"\r\n\r\n", what + ": the end of the head")
    lines = head.lower().split(b"\r\n")
    shslib.check(b"connection: close" in lines, "%s: no Connection: close in %r" % (what, head))
    shslib.check(b"content-length: %d" % len(body) in lines, "%s: wrong length in %r" % (what, head))
    shslib.check(len(body) > 20, "%s: nothing that a person can read: %r" % (what, body))


def attack_is_possible():
    """A request behind a good one is answered: the same behind a bad one was kept from it."""
    for server in SERVERS.values():
        answer = server.raw(HEAD + b"\r\n" + SMUGGLED[:-2] + b"Connection: close\r\n\r\n")
        shslib.check(SECRET in answer and answers_in(answer) == 2, "not answered: %r" % answer)


def in_one_piece():
    for name, server in SERVERS.items():
        for status, what, data in BAD + (BAD_PLAIN if name == "plain" else []):
            what = "%s, %s" % (what, name)
            check_answer(what, server.raw(data + SMUGGLED), status)
            # The same as the second request of a connection.
            answer = server.raw(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n" + data + SMUGGLED)
            check_answer(what + ", second", answer.partition(b"hello\n")[2], status)


def byte_by_byte():
    """The verdict does not depend on how the bytes are cut up on their way."""
    server = SERVERS["plain"]
    for status, what, data in BAD + BAD_PLAIN:
        if len(data) > 400:
            continue
        with server.connect() as sock:
            sock.setsockopt(shslib.socket.IPPROTO_TCP, shslib.socket.TCP_NODELAY, 1)
            for at in range(len(data)):
                shslib.send_all(sock, data[at:at + 1])
            shslib.send_all(sock, SMUGGLED)
            check_answer(what + ", byte by byte", shslib.read_all(sock), status)


def methods_that_files_lack():
    """No error of framing: the connection goes on, and the body is not a request."""
    for name, server in SERVERS.items():
        for method in (b"POST", b"PUT", b"DELETE", b"BREW", b"get", b"!"):
            body = SMUGGLED
            with server.connect() as sock:
                sock.sendall(b"%s / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (method, len(body)) +
                             body + b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                answer = shslib.read_all(sock)
            shslib.check(answer.startswith((b"HTTP/1.1 501 ", b"HTTP/1.1 405 ")),
                         "%r: %r" % (method, answer[:60]))
            shslib.check(SECRET not in answer, "%r: its body was taken for a request" % method)
            shslib.check(answer.endswith(b"\r\n\r\nhello\n") or answers_in(answer) == 1,
                         "%r: neither went on nor closed: %r" % (method, answer))


def paths_that_climb():
    for name, server in SERVERS.items():
        for path in (b"/../outer.txt", b"/..%2fouter.txt", b"/%2e%2e/outer.txt", b"/sub/../../outer.txt",
                     b"/link/outer.txt", b"/link", b"/link.txt", b"/..\\outer.txt",
                     b"/%2e%2e%2f%2e%2e%2fetc/passwd", b"/.hidden", b"/sub/.hidden", b"/fifo",
                     b"/a.txt%00.html", b"/a.txt/", b"/" + b"../" * 100 + b"etc/passwd", b"/proc",
                     b"/" + b"a/" * 3000):
            answer = server.raw(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            shslib.check(OUTSIDE not in answer and b"root:" not in answer, "%r leads out: %r" % (path, answer))
            shslib.check(answer.split(b" ")[1] in (b"404", b"400"), "%r: %r" % (path, answer[:60]))


def still_in_order():
    for name, server in SERVERS.items():
        shslib.equal(server.get("/a.txt")[2], b"hello\n", "a good request, " + name)
        shslib.wait_until(lambda: server.threads() <= shslib.IDLE_THREADS, 30, "the threads of bad requests to end")


def bad_requests():
    with shslib.temp_dir() as top:
        site = top + "/site"
        shslib.write_file(top + "/outer.txt", OUTSIDE)
        shslib.write_file(site + "/secret.txt", SECRET)
        shslib.write_file(site + "/a.txt", "hello\n")
        shslib.write_file(site + "/.hidden", OUTSIDE)
        shslib.write_file(site + "/sub/.hidden", OUTSIDE)
        shslib.write_file(top + "/outside/outer.txt", OUTSIDE)
        os.symlink(top + "/outside", site + "/link")
        os.symlink("../outer.txt", site + "/link.txt")
        os.mkfifo(site + "/fifo")
        with shslib.Server(site, "--log", "json") as SERVERS["tls"], \
                shslib.Server(site, "--plain") as SERVERS["plain"]:
            shslib.each(attack_is_possible, in_one_piece, byte_by_byte, methods_that_files_lack, paths_that_climb,
                        still_in_order)


shslib.main(bad_requests)
