"""shs serve --handler echo: what the server understood of a request, as JSON."""

import contextlib
import hashlib
import json
import shutil

import shslib

MIB = 1024 * 1024
SERVERS = {}


def understood(answer):
    """The JSON of an answer (status, headers, body)."""
    status, headers, body = answer
    shslib.equal(status, 200, "status")
    shslib.equal(headers["Content-Type"], "application/json", "Content-Type")
    shslib.check(body.endswith(b"}\n"), "no line: %r" % body[-20:])
    return json.loads(body)


def check_body(what, echo, body):
    shslib.equal(echo["body_length"], len(body), what + ": body_length")
    shslib.equal(echo["body_sha256"], hashlib.sha256(body).hexdigest(), what + ": body_sha256")


def raw_echo(server, request):
    """Sends bytes, with Connection: close in them, and returns the JSON of the one answer."""
    data = server.raw(request)
    head, _, body = data.partition(b"\r\n\r\n")
    shslib.check(head.startswith(b"HTTP/1.1 200 "), "%r got %r" % (request[:60], data[:200]))
    shslib.equal(data.count(b"HTTP/1.1 200 "), 1, "answers")
    return json.loads(body)


def methods():
    for name, server in SERVERS.items():
        with contextlib.closing(server.connection()) as connection:
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "QUERY",
                           "PROPFIND", "get", "M-SEARCH", "!#$%&'*+-.^_`|~", "A" * 32):
                connection.request(method, "/pot-1?x=%20&y", headers={"X-Method": method})
                answer = connection.getresponse()
                echo = understood((answer.status, answer.headers, answer.read()))
                shslib.equal((echo["method"], echo["target"], echo["version"]),
                             (method, "/pot-1?x=%20&y", "HTTP/1.1"), name)
                check_body(method, echo, b"")
            connection.request("HEAD", "/")
            answer = connection.getresponse()
            shslib.equal((answer.status, answer.read()), (200, b""), "HEAD")


def fields_are_in_order():
    for server in SERVERS.values():
        echo = raw_echo(server, b"GET /a?b HTTP/1.1\r\nX-One: 1\r\nhost:  a.example:80 \r\nx-one: 2\r\n"
                        b"X-Empty:\r\nX-Tab:\ta\tb\t\r\nX-One:3\r\nX-Quote: \"\\\"\r\n"
                        b"X-Latin: caf\xe9 \xc3\xa9\r\nConnection: close\r\n\r\n")
        got = echo["headers"]
        shslib.equal([name for name, _ in got],
                     ["X-One", "host", "x-one", "X-Empty", "X-Tab", "X-One", "X-Quote", "X-Latin",
                      "Connection"], "names")
        shslib.equal([value for _, value in got[:7]],
                     ["1", "a.example:80", "2", "", "a\tb", "3", "\"\\\""], "values")
        shslib.check(got[7][1].startswith("caf"), "latin-1 in a value: %r" % got[7][1])
        shslib.equal(echo["target"], "/a?b", "target")


def forms_of_target():
    server = SERVERS["plain"]
    for target, version in ((b"/", b"1.1"), (b"/", b"1.0"), (b"http://a/x?y", b"1.1"), (b"/a//b/../c", b"1.1"),
                            (b"/%00%0d%0a%ff", b"1.1"), (b"/" + b"a" * 8000, b"1.1")):
        echo = raw_echo(server, b"GET %s HTTP/%s\r\nHost: a\r\nConnection: close\r\n\r\n" % (target, version))
        shslib.equal((echo["target"], echo["version"]),
                     (target.decode(), "HTTP/" + version.decode()), "request line")
    echo = raw_echo(server, b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    shslib.equal((echo["method"], echo["target"]), ("OPTIONS", "*"), "OPTIONS *")


def bodies_with_a_length():
    for name, server in SERVERS.items():
        with contextlib.closing(server.connection(20)) as connection:
            for size in (0, 1, 4095, 4096, 16384, 16385, 65535, 65536, 65537, MIB, 3 * MIB):
                body = shslib.pattern(size)
                connection.request("POST", "/", body=body)
                answer = connection.getresponse()
                check_body("%s, %d bytes" % (name, size),
                           understood((answer.status, answer.headers, answer.read())), body)


def chunks(body, *sizes):
    """The body as chunks of these sizes, again and again."""
    out, at, turn = [], 0, 0
    while at < len(body):
        piece = body[at:at + sizes[turn % len(sizes)]]
        out.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        at += len(piece)
        turn += 1
    return b"".join(out)


def chunked_bodies():
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    for name, server in SERVERS.items():
        for size, sizes in ((0, (1,)), (1, (1,)), (5000, (1, 2, 3)), (65536, (65536,)), (65537, (16384, 1)),
                            (MIB, (7, 70000)), (3 * MIB, (1000003,)), (3 * MIB, (9999,))):
            body = shslib.pattern(size)
            echo = raw_echo(server, head + b"Connection: close\r\n\r\n" + chunks(body, *sizes) + b"0\r\n\r\n")
            check_body("%s, %d bytes in chunks of %r" % (name, size, sizes), echo, body)
        # Capitals, leading zeros, extensions; then the next request on the same connection.
        with server.connect() as sock:
            sock.sendall(head + b"\r\n000A;x=\"y;z\";q\r\n0123456789\r\n1;a=b\r\n!\r\n00;last\r\n\r\n"
                         b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            _, _, body, rest = shslib.read_response(sock)
            check_body(name + ", extensions", json.loads(body), b"0123456789!")
            shslib.equal(json.loads(shslib.read_response(sock, start=rest)[2])["target"], "/next", "next")


def trailers_are_ignored():
    """Of whatever length a line may have, and however it is cut up."""
    for name, server in SERVERS.items():
        for trailer in (b"X-Sum: 1\r\n", b"X-A: 1\r\nX-B: 2\r\n", b"X: " + b"y" * 2000 + b"\r\n",
                        b"X: " + b"y" * 8000 + b"\r\n", (b"X: " + b"y" * 70 + b"\r\n") * 90):
            for cut in (1 << 20, 1000):
                with server.connect() as sock:
                    data = (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                            b"Trailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\n" + trailer + b"\r\n")
                    for at in range(0, len(data), cut):
                        sock.sendall(data[at:at + cut])
                    _, _, body, rest = shslib.read_response(sock)
                    echo = json.loads(body)
                    check_body(name + ", trailers", echo, b"hello")
                    shslib.equal([n for n, _ in echo["headers"]], ["Host", "Transfer-Encoding", "Trailer"],
                                 "fields")
                    shslib.send_all(sock, b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
                    body = shslib.read_response(sock, start=rest)[2]
                    shslib.equal(json.loads(body)["target"], "/next", "the request after trailers")


def expect_100_continue():
    for name, server in SERVERS.items():
        for size in (5, 100000):
            with server.connect() as sock:
                body = shslib.pattern(size)
                sock.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
                             % size)
                shslib.equal(shslib.read_until(sock, b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n",
                             "the answer to Expect, " + name)
                sock.sendall(body)
                check_body(name, json.loads(shslib.read_response(sock)[2]), body)
                # Who does not wait for it is not told.
                sock.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
                             b"hello")
                line, _, text, _ = shslib.read_response(sock)
                shslib.equal(line, "HTTP/1.1 200 OK", "the first line of the answer")
                check_body(name, json.loads(text), b"hello")


def with_curl():
    if not shutil.which("curl"):
        raise shslib.Failure("curl is not there: it is one of the test packages")
    body = shslib.pattern(3 * MIB)
    with shslib.temp_dir() as top:
        path = shslib.write_file(top + "/body.bin", body)
        for name, server in SERVERS.items():
            base = ["curl", "-sS", "-v", "--noproxy", "*"] + (["--cacert", server.ca] if server.ca else [])
            for what, options in (("a length", ["--data-binary", "@" + path]),
                                  ("PUT", ["-T", path]),
                                  ("chunks", ["-T", path, "-H", "Transfer-Encoding: chunked"]),
                                  ("Expect", ["-T", path, "-H", "Expect: 100-continue"]),
                                  ("BREW", ["-X", "BREW", "--data-binary", "@" + path])):
                code, text, err = shslib.run(*base, *options, server.url + "/upload")
                shslib.equal(code, 0, "curl, %s: %s" % (what, err))
                check_body("curl, %s, %s" % (what, name), json.loads(text), body)
                if what == "Expect":
                    shslib.check("< HTTP/1.1 100 Continue" in err, "curl saw no 100 Continue: " + err)


def too_long():
    """More than a server accepts: said before it is sent, when the client asks first."""
    for server in SERVERS.values():
        with server.connect() as sock:
            sock.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                         b"Content-Length: 99999999999\r\n\r\n")
            line, headers, _, _ = shslib.read_response(sock)
            shslib.equal((line.split()[1], headers["connection"]), ("413", "close"), "too long")
            shslib.check(shslib.is_closed(sock), "it stays open")


def pipelined():
    for server in SERVERS.values():
        with server.connect() as sock:
            bodies = [shslib.pattern(n) for n in (0, 1, 70000, 3, 200000, 0, 17)]
            data = b""
            for i, body in enumerate(bodies):
                if i % 2:
                    data += (b"POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % i +
                             chunks(body, 999) + b"0\r\n\r\n")
                else:
                    data += b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (i, len(body)) + body
            sock.sendall(data)
            rest = b""
            for i, body in enumerate(bodies):
                _, _, text, rest = shslib.read_response(sock, start=rest)
                shslib.equal(json.loads(text)["target"], "/%d" % i, "order")
                check_body("pipelined %d" % i, json.loads(text), body)


def echo():
    with shslib.Server("--handler", "echo", "--log", "none") as SERVERS["tls"], \
            shslib.Server("--handler", "echo", "--plain", "--log", "none") as SERVERS["plain"]:
        shslib.each(methods, fields_are_in_order, forms_of_target, bodies_with_a_length, chunked_bodies,
                    trailers_are_ignored, expect_100_continue, with_curl, too_long, pipelined)


shslib.main(echo)
