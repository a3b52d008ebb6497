"""examples/sse_clock.c: events arrive as they happen, and the handler sees that a client goes."""

import os
import ssl
import time

import shslib

BIN = os.environ["EXAMPLE_BIN"]


def request(path, fields=""):
    return ("GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (path, fields)).encode()


def events_arrive_one_by_one():
    with shslib.Server(argv=[BIN, "0"]) as server:
        with server.connect() as sock:
            began = time.monotonic()
            sock.sendall(request("/clock?ms=300"))
            data = shslib.read_until(sock, b"id: 1\n")
            soon = time.monotonic() - began < 0.3  # else this client was late, or the event was
            shslib.check(b"\r\nContent-Type: text/event-stream\r\n" in data, "type in %r" % data)
            shslib.check(b"\r\nTransfer-Encoding: chunked\r\n" in data, "framing in %r" % data)
            shslib.check(b"retry: 1000\n" in data, "retry in %r" % data)
            shslib.check(not soon or b"id: 2\n" not in data, "two events at once: %r" % data)
            if b"id: 4\n" not in data:
                data += shslib.read_until(sock, b"id: 4\n")
            took = time.monotonic() - began
            shslib.check(took > 0.85, "three events of 300 ms took %.2f s" % took)
            shslib.check(b"event: tick\nid: 2\ndata: 2" in data, "event in %r" % data)
            shslib.check(b" UTC\n\n" in data, "the second line of data is not in %r" % data)
        # The client has gone, in the middle of a wait: the handler says so at once.
        server.wait_stderr(r"^a client has gone after event \d+: SHS_CLOSED$")
        with server.connect() as sock:
            sock.sendall(request("/clock?ms=60000", "Last-Event-ID: 41\r\n"))
            shslib.read_until(sock, b"id: 42\n")  # long before the next one
        server.wait_stderr(r"^a client has gone after event 42: SHS_CLOSED$")


def others_are_served_meanwhile():
    with shslib.Server(argv=[BIN, "0"]) as server:
        socks = [server.connect() for _ in range(5)]
        for sock in socks:
            sock.sendall(request("/clock?ms=100"))
            shslib.read_until(sock, b"id: 2\n")
        status, _, body = server.get("/")
        shslib.equal(status, 200, "the page")
        shslib.check(b"EventSource" in body, "the page has no script")
        shslib.equal(server.get("/nothing")[0], 404, "another path")
        code, out, _ = shslib.run("curl", "-sN", "--max-time", str(3 * shslib.SLOWNESS), server.url + "/clock?ms=100")
        shslib.equal(code, 28, "curl's exit code: it is cut off, the answer has no end")
        shslib.check(out.count("event: tick\n") >= 3, "curl got %r" % out)
        for sock in socks:
            sock.close()


def head_and_http_1_0():
    with shslib.Server(argv=[BIN, "0"]) as server:
        status, headers, body = server.request("HEAD", "/clock")
        shslib.equal((status, headers["Content-Type"], body), (200, "text/event-stream", b""), "HEAD")
        with server.connect() as sock:
            sock.sendall(b"GET /clock?ms=50 HTTP/1.0\r\n\r\n")
            data = shslib.read_until(sock, b"id: 3\n")
            shslib.check(b"Connection: close\r\n" in data, "framing in %r" % data)
            shslib.check(b"\n\nevent: tick\nid: 2\n" in data, "chunks for HTTP/1.0: %r" % data)


def over_tls_and_to_the_end_of_the_server():
    with shslib.temp_dir() as here:
        cert, key = here + "/cert.pem", here + "/key.pem"
        code, _, said = shslib.run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2",
            "-keyout", key, "-out", cert)
        shslib.equal(code, 0, "openssl req: " + said)
        context = ssl.create_default_context(cafile=cert)
        with shslib.Server(argv=[BIN, "0", cert, key]) as server:
            sock = server.connect(context=context, server_hostname="localhost")
            sock.sendall(request("/clock?ms=60000"))
            shslib.read_until(sock, b"id: 1\n")
            sock.close()
            server.wait_stderr(r"event 1: SHS_CLOSED$")
            sock = server.connect(context=context, server_hostname="localhost")
            sock.sendall(request("/clock?ms=60000"))
            shslib.read_until(sock, b"id: 1\n")
            # SIGTERM: the handler is told while it waits, and the answer ends in good order.
            server.stop()
            shslib.check(shslib.read_all(sock).endswith(b"0\r\n\r\n"), "the answer has no end")
            sock.close()
            server.wait_stderr(r"event 1: SHS_STOPPED$")


shslib.main(events_arrive_one_by_one, others_are_served_meanwhile, head_and_http_1_0,
            over_tls_and_to_the_end_of_the_server)
