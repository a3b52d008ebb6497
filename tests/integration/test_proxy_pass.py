"""`shs serve --proxy`: another server answers a part of the paths. What it is asked, and what it may answer."""

import contextlib
import http.client
import os
import re
import signal
import socket
import threading
import time

import shslib
from shslib import check, equal


class Upstream:
    """A server of one connection after the other: `play` is given each, and the head that came on it."""

    def __init__(self, play, path=None):
        self.play, self.heads, self.faults = play, [], []
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.socket.bind(path or ("127.0.0.1", 0))
        self.socket.listen(16)
        self.port = None if path else self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            with conn:
                conn.settimeout(20 * shslib.SLOWNESS)
                data = b""
                try:
                    while b"\r\n\r\n" not in data:
                        part = conn.recv(65536)
                        if not part:
                            break
                        data += part
                    head, _, rest = data.partition(b"\r\n\r\n")
                    self.heads.append(head.decode("latin-1"))
                    self.play(conn, rest)
                except OSError as error:
                    self.faults.append(error)

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # An accept that is begun again (this process was stopped) would take the next one's connections: its socket
        # may have the same number. So the thread ends first.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(20 * shslib.SLOWNESS)
        self.socket.close()


def says(answer):
    return lambda conn, rest: conn.sendall(answer)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def fields(head):
    return [(name.lower(), value.strip()) for name, _, value in
            (line.partition(":") for line in head.split("\r\n")[1:])]


def what_is_asked():
    with Upstream(says(OK)) as up, shslib.temp_dir() as site:
        shslib.write_file(site + "/a.txt", "file")
        with shslib.Server(site, "--proxy", "/api=" + up.url, "--proxy", "/v=%s/v1/" % up.url) as server:
            equal(server.get("/a.txt")[2], b"file", "what is not the proxy's")
            equal(server.get("/apix")[0], 404, "another path that begins so")
            for path, asked in (("/api", "/api"), ("/api/", "/api/"), ("/api/x%20y?q=1&r", "/api/x%20y?q=1&r"),
                                ("/v", "/v1"), ("/v/", "/v1/"), ("/v/a/b?c", "/v1/a/b?c"), ("/api/?", "/api/?"), ("/v/...;x/a;..;b", "/v1/...;x/a;..;b")):
                equal(server.get(path)[::2], (200, b"ok"), path)
                equal(up.heads[-1].split("\r\n")[0], "GET %s HTTP/1.1" % asked, path)
            before = len(up.heads)
            for path in ("/api/../a.txt", "/v/..%2fadmin", "/v/%2e%2e/admin", "/api//x",
                         "/v/..;/admin", "/v/..;a=b/admin", "/v/%2e.%3b/admin", "/v/.;/x", "/v/a%5c..%5cadmin", "/api/..;/x"):
                equal(server.get(path)[0], 404, path)
            equal(server.request("TRACE", "/api/x")[0], 501, "TRACE")
            equal(len(up.heads), before, "it was asked for a path that others read differently")
            for method in ("OPTIONS", "DELETE", "PATCH", "PROPFIND"):
                equal(server.request(method, "/api/m")[0], 200, method)
                equal(up.heads[-1].split()[0], method)
            # Fields of the connection, what a client claims, and what is true.
            server.request("GET", "/api/f", headers={
                "Connection": "close, X-Drop", "X-Drop": "1", "X-Keep": "2", "TE": "trailers", "Keep-Alive": "5",
                "Proxy-Connection": "x", "Upgrade": "h2c", "X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6",
                "X-Real-IP": "6.6.6.6", "X-Forwarded-Port": "1", "Host": "app.test:99"})
            got = fields(up.heads[-1])
            names = [name for name, _ in got]
            for name in ("x-drop", "te", "keep-alive", "proxy-connection", "upgrade", "x-real-ip", "x-forwarded-port",
                         "transfer-encoding", "content-length"):
                check(name not in names, "%s in %r" % (name, got))
            for pair in (("x-keep", "2"), ("connection", "close"), ("host", "app.test:99"), ("x-forwarded-for", "127.0.0.1"),
                         ("x-forwarded-proto", "https"), ("x-forwarded-host", "app.test:99"),
                         ("forwarded", 'for="127.0.0.1";proto=https;host="app.test:99"')):
                equal([p for p in got if p[0] == pair[0]], [pair])
            # What CGI and WSGI cannot tell from the fields above; what Connection names of ours stays.
            server.request("POST", "/api/f", body=b"abc", headers={
                "X_Forwarded_For": "6.6.6.6", "X_Real-IP": "6.6.6.6", "Transfer_Encoding": "chunked", "Content_Length": "9",
                "Via": "1.0 fred", "Connection": "Content-Length, Host, X-Forwarded-For, Via", "Proxy_Connection": "x"})
            got = fields(up.heads[-1])
            equal([name for name, _ in got if "_" in name or name == "x-real-ip"], [])
            equal([value for name, value in got if name in ("content-length", "x-forwarded-for", "via", "host")],
                  ["localhost:%d" % server.port, "127.0.0.1", "3", "1.1 shs"])
            check(up.heads[-1].count("\r\n") == len(got), up.heads[-1])
            server.request("GET", "/api/f", headers={"Via": "1.0 fred"})
            equal([value for name, value in fields(up.heads[-1]) if name == "via"], ["1.0 fred", "1.1 shs"])
            status, _, body = server.request("GET", "/api/ws", headers={"Upgrade": "websocket", "Connection": "Upgrade"})
            check(status == 501 and b"WebSocket" in body, body)


def read_framed(conn, data, chunked, length):
    """The body as it was framed."""
    if not chunked:
        while len(data) < length:
            data += conn.recv(65536)
        return data
    while not data.endswith(b"0\r\n\r\n"):
        part = conn.recv(65536)
        check(part, "the request was broken off")
        data += part
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if int(size, 16) == 0:
            return body
        body, data = body + data[:int(size, 16)], data[int(size, 16) + 2:]


def bodies_both_ways():
    got = {}

    def play(conn, rest):
        head = dict(fields(up.heads[-1]))
        chunked = head.get("transfer-encoding") == "chunked"
        equal("content-length" in head, not chunked)
        got["body"] = read_framed(conn, rest, chunked, int(head.get("content-length", 0)))
        answer = got["body"]
        if "/chunked" in up.heads[-1]:
            conn.sendall(b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nConnection: X-B\r\nX-B: 2\r\n\r\n")
            for at in range(0, len(answer), 70000):
                part = answer[at:at + 70000]
                conn.sendall(b"%x;a=b;c=\"d;e\" ; f\r\n%s\r\n" % (len(part), part))
            conn.sendall(b"0;a;b=c\r\nX-T: 1\r\n\r\n")
        elif "/until-close" in up.heads[-1]:
            conn.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + answer)
        else:
            conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)

    large = os.urandom(1000) * 700
    with Upstream(play) as up, shslib.Server("--handler", "echo", "--proxy", "/=" + up.url) as server:
        for path in ("/length", "/chunked", "/until-close"):
            for body in (b"", b"x", large):
                status, headers, answer = server.request("POST", path, body=body)
                equal((got["body"] == body, answer == body), (True, True), "%s with %d bytes" % (path, len(body)))
                equal(status, 201 if path == "/chunked" else 200)
                equal((headers["X-B"], headers["X-A"]), (None, "1" if path == "/chunked" else None))
            with contextlib.closing(server.connection()) as connection:
                connection.request("POST", path, body=(large[i:i + 50000] for i in range(0, len(large), 50000)),
                                   headers={"Expect": "100-continue"}, encode_chunked=True)
                answer = connection.getresponse()
                equal((got["body"] == large, answer.read() == large), (True, True), "chunked to " + path)
                check("expect" not in dict(fields(up.heads[-1])), up.heads[-1])
        equal(up.faults, [])


def both_at_once():
    """The answer begins while the body is still on its way, and is longer than any buffer."""
    size, told, over = 3000000, threading.Event(), threading.Event()

    def play(conn, rest):
        conn.sendall(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        conn.sendall(rest)
        left = size - len(rest)
        while left:
            part = conn.recv(65536)
            check(part, "the body was broken off, %d bytes are missing" % left)
            conn.sendall(part)
            left -= len(part)
        over.set()

    with Upstream(play) as up, shslib.Server("--plain", "--handler", "echo", "--proxy", "/=" + up.url) as server:
        body = shslib.pattern(size)

        def send(sock):
            shslib.send_all(sock, b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                  b"Content-Length: %d\r\n\r\n%s" % (size, body[:size // 2]))
            at = size // 2
            while at < size - 1000 and not told.wait(0.02):
                shslib.send_all(sock, body[at:at + 1000])
                at += 1000
            shslib.send_all(sock, body[at:])

        with server.connect() as sock:
            sender = threading.Thread(target=send, args=(sock,))
            sender.start()
            data = shslib.read_until(sock, b"\r\n\r\n")
            check(data.startswith(b"HTTP/1.1 200 "), data[:100])
            check(sender.is_alive() and not over.is_set(), "the answer came behind the body")
            told.set()
            while len(data.partition(b"\r\n\r\n")[2]) < size:
                part = sock.recv(1 << 20)
                check(part, "the answer ends early")
                data += part
            sender.join(20 * shslib.SLOWNESS)
            check(data.partition(b"\r\n\r\n")[2] == body, "another body")
        equal(up.faults, [])


def a_client_takes_its_time_for_the_answer():
    """It is not the time of the server behind: that one said much, and then reads on."""
    size, timeout, over = 16 << 20, 0.5, threading.Event()

    def play(conn, rest):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size + 2))
        conn.sendall(bytes(size))  # while it reads nothing
        time.sleep(timeout / 5)
        left = size - len(rest)
        while left:
            part = conn.recv(1 << 20)
            check(part, "the body was broken off, %d bytes are missing" % left)
            left -= len(part)
        conn.sendall(b"ok")
        over.set()

    with Upstream(play) as up, shslib.Server("--plain", "--handler", "echo", "--proxy", "/=" + up.url,
                                             "--proxy-timeout", str(int(timeout * 1000))) as server:
        def send(sock):
            with contextlib.suppress(OSError):
                shslib.send_all(sock, b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                      b"Content-Length: %d\r\n\r\n%s" % (size, bytes(size)))

        with server.connect() as sock:
            sender = threading.Thread(target=send, args=(sock,))
            sender.start()
            data = shslib.read_until(sock, b"\r\n\r\n")
            check(data.startswith(b"HTTP/1.1 200 "), data[:100])
            time.sleep(4 * timeout)
            got = len(data.partition(b"\r\n\r\n")[2])
            while got < size + 2:
                part = sock.recv(1 << 20)
                check(part, "the answer ends early, after %d bytes" % got)
                got += len(part)
            sender.join(20 * shslib.SLOWNESS)
        check(over.wait(20 * shslib.SLOWNESS), "the server behind has not had the body")
        equal(up.faults, [])


def one_of_two_addresses_says_nothing():
    """A connection to it begins, and nobody answers: there is time left for the other."""
    with Upstream(says(OK)) as up, contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.socket(socket.AF_INET6))
        try:
            silent.bind(("::1", up.port))
            names = [at[4][0] for at in socket.getaddrinfo("localhost", up.port, type=socket.SOCK_STREAM)]
        except OSError:
            names = []
        if names[:2] != ["::1", "127.0.0.1"]:
            return  # this machine has no such name
        silent.listen(0)
        for _ in range(4):  # its queue is full, and it takes nobody
            sock = stack.enter_context(socket.socket(socket.AF_INET6))
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(("::1", up.port))
        with shslib.Server("--handler", "echo", "--proxy", "/=http://localhost:%d" % up.port) as server:
            took = []
            while len(took) < 5 and (not took or took[-1] >= 5):  # which is all the time that there is
                began = time.monotonic()
                equal(server.get("/x")[::2], (200, b"ok"))
                took.append(time.monotonic() - began)
            check(took[-1] < 5, "the first address had the time of both: %s" % took)


def a_client_that_breaks_off_its_body():
    got = {}

    def play(conn, rest):
        data = rest
        while True:
            part = conn.recv(65536)
            if not part:
                break
            data += part
        got["body"] = data

    half = b"h" * 200000
    for framing, begin in ((b"Content-Length: 200001", half), (b"Transfer-Encoding: chunked", b"30d40\r\n%s\r\n" % half)):
        got.clear()
        with Upstream(play) as up, shslib.Server("--handler", "echo", "--proxy", "/=" + up.url) as server:
            with server.connect() as sock:
                sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n" + begin)
                shslib.wait_until(lambda: up.heads, 20, "the other server to be asked")
            shslib.wait_until(lambda: got, 20, "the other server to be left")
            body = got["body"]
            check(body.replace(b"\r\n", b"").count(b"h") <= 200000 and not body.endswith(b"0\r\n\r\n"),
                  "half of a body must not look whole")


def a_request_under_way_when_it_stops():
    go = threading.Event()

    def play(conn, rest):
        check(go.wait(20 * shslib.SLOWNESS), "never told")
        conn.sendall(OK)

    for composition in ("pool", "thread", "fork", "none"):
        go.clear()
        with Upstream(play) as up, shslib.Server("--handler", "echo", "--proxy", "/=" + up.url, "--threading", composition) as server:
            with server.connect() as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                shslib.wait_until(lambda: up.heads, 20, "the other server to be asked")
                server.signal(signal.SIGTERM)
                if composition in ("pool", "thread"):  # the loop of none is with this request, and a child says nothing
                    server.wait_stderr("stopping")
                time.sleep(0.3)  # it looks at the client every 100 ms
                go.set()
                data = shslib.read_until(sock, b"\r\n\r\nok")
            equal(server.wait(20), 0, "exit code")
            check(data.startswith(b"HTTP/1.1 200 "), data)


def a_circle():
    with shslib.temp_dir() as top:
        # One that asks itself, by a second listener.
        path = top + "/self.sock"
        with shslib.Server("--plain", "--handler", "echo", "--bind", "127.0.0.1", "--bind", "unix:" + path, "--proxy", "/=unix:" + path) as server:
            status, _, body = server.get("/x")
            check(status == 508 and b"circle" in body, "%d %r" % (status, body))


def answers_without_a_body():
    head = b"HTTP/1.1 %d X\r\nContent-Length: 5\r\nETag: \"a\"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"

    def play(conn, rest):
        status = int(re.search(r"/(\d+) ", up.heads[-1]).group(1))
        conn.sendall(b"HTTP/1.1 204 X\r\n\r\n" if status == 204 else head % status)
        conn.recv(1)  # it keeps the connection: the head alone says where the answer ends

    with Upstream(play) as up, shslib.Server("--handler", "echo", "--proxy", "/=" + up.url) as server:
        status, headers, body = server.request("HEAD", "/200")
        equal((status, headers["Content-Length"], body), (200, "5", b""))
        equal(headers.get_all("Date"), ["Sun, 06 Nov 1994 08:49:37 GMT"], "the other server's date stays")
        equal((server.get("/304")[0], server.get("/204")[0]), (304, 204))


def what_streams_arrives_at_once():
    go, ended = threading.Event(), threading.Event()

    def play(conn, rest):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        if go.wait(20 * shslib.SLOWNESS):
            conn.sendall(b"data: 2\n\n")
        while conn.recv(100):  # until we are left
            pass
        ended.set()

    with Upstream(play) as up, shslib.Server("--handler", "echo", "--proxy", "/=" + up.url) as server:
        with server.connect() as sock:
            sock.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            shslib.read_until(sock, b"data: 1\n\n")
            go.set()
            shslib.read_until(sock, b"data: 2\n\n")
            equal(ended.is_set(), False)
        check(ended.wait(20 * shslib.SLOWNESS), "the client has gone, and the other server was not told")


def events_end_when_it_stops():
    """As those of a handler do: it is no failure; also where they come too often for a wait, in which it would be seen."""
    stop = threading.Event()

    def play(conn, rest):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        wait = 60 * shslib.SLOWNESS if "seldom" in up.heads[-1] else 0.01
        with contextlib.suppress(OSError):  # when we are left
            conn.sendall(b"9\r\ndata: 1\n\n\r\n")
            while not stop.wait(wait):
                conn.sendall(b"9\r\ndata: 1\n\n\r\n")

    for path, composition in (("/seldom", "pool"), ("/often", "pool"), ("/often", "thread"), ("/seldom", "none"), ("/often", "none")):
        stop.clear()
        with Upstream(play) as up, shslib.Server("--handler", "echo", "--proxy", "/=" + up.url, "--threading", composition,
                                                 "--stop-timeout", str(int(60000 * shslib.SLOWNESS))) as server:
            try:
                with server.connect() as sock:
                    sock.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
                    shslib.read_until(sock, b"data: 1\n\n")
                    server.signal(signal.SIGTERM)
                    data = shslib.read_all(sock)
                equal(server.wait(20), 0, "exit code")
            finally:
                stop.set()
            check(data.endswith(b"0\r\n\r\n"), "%s: %r" % (path, data[-100:]))
            check(" failed" not in server.stderr and " 0 cut" in server.stderr, server.stderr)


def a_client_that_goes_while_it_waits():
    ended = threading.Event()

    def play(conn, rest):
        while conn.recv(100):
            pass
        ended.set()

    with Upstream(play) as up, shslib.Server("--handler", "echo", "--proxy", "/=" + up.url) as server:
        with server.connect() as sock:
            sock.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            shslib.wait_until(lambda: up.heads, 20, "the other server to be asked")
        check(ended.wait(20 * shslib.SLOWNESS), "nobody waits for the answer, and it was not told")


BAD = {
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "a-list-of-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "a-sign": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "both": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "both-turned": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "gzip-chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "identity": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
    "chunked-twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "a-lf-inside": b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
    "a-cr-inside": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "a-folded-line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "a-nul": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "a-blank-before-the-colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "no-colon": b"HTTP/1.1 200 OK\r\nnothing\r\nContent-Length: 2\r\n\r\nok",
    "another-protocol": b"SSH-2.0-OpenSSH\r\n\r\n",
    "http-0.9": b"<h1>ok</h1>\r\n\r\n",
    "http-2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "switching": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "status-99": b"HTTP/1.1 99 X\r\nContent-Length: 2\r\n\r\nok",
    "status-600": b"HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nok",
    "begins-empty": b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "nine-interim": b"HTTP/1.1 103 X\r\n\r\n" * 9 + OK,
    "too-many-fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
    "too-long": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
    "more-than-fits": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X%d: %s\r\n" % (i, b"y" * 1000) for i in range(20)) + b"\r\n",
    "nothing": b"",
    "half-a-head": b"HTTP/1.1 200 OK\r\nContent-",
}
CUT = {
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 150000,
    "no-last-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n24ea0\r\n%s\r\n" % (b"x" * 0x24ea0),
    "a-bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n24ea0\r\n%s\r\nzz\r\n" % (b"x" * 0x24ea0),
    "a-bad-extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n24ea0\r\n%s\r\n0;=\r\n\r\n" % (b"x" * 0x24ea0),
    "a-length-as-a-trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n24ea0\r\n%s\r\n0\r\nContent-Length: 2\r\n\r\n"
    % (b"x" * 0x24ea0),
}


def bad_answers_are_not_passed_on():
    which = {}

    def play(conn, rest):
        conn.sendall(which["answer"])

    with Upstream(play) as up, shslib.Server("--handler", "echo", "--proxy", "/=" + up.url) as server:
        for name, which["answer"] in BAD.items():
            status, _, body = server.get("/" + name)
            check(status == 502 and b"server behind" in body, "%s: %d %r" % (name, status, body[:200]))
        for name, which["answer"] in CUT.items():
            try:
                server.get("/" + name)
                raise shslib.Failure("%s looks whole" % name)
            except (http.client.IncompleteRead, http.client.HTTPException, ConnectionError, OSError):
                pass
        which["answer"] = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        with contextlib.closing(server.connection()) as connection:
            for _ in range(2):  # what comes behind an answer is nobody's
                connection.request("GET", "/behind")
                equal(connection.getresponse().read(), b"ok")
        which["answer"] = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 8 + OK
        equal(server.get("/eight-interim")[::2], (200, b"ok"))


def no_server_and_a_slow_one():
    free = socket.socket()
    free.bind(("127.0.0.1", 0))  # and does not listen
    stop = threading.Event()

    def play(conn, rest):
        stop.wait(20 * shslib.SLOWNESS)

    with Upstream(play) as up, contextlib.closing(free):
        with shslib.Server("--handler", "echo", "--proxy", "/down=http://127.0.0.1:%d" % free.getsockname()[1], "--proxy",
                           "/slow=" + up.url, "--proxy", "/gone=unix:/nonexistent", "--proxy-timeout", "200") as server:
            for path, expected in (("/down", 502), ("/gone", 502), ("/slow", 504)):
                status, _, body = server.get(path)
                check(status == expected and b"server behind" in body, "%s: %d %r" % (path, status, body))
            equal(server.request("POST", "/down", body=b"x" * 100000)[0], 502, "with a body")
            stop.set()


def an_early_answer_ends_the_body():
    # One thread sends and reads: Python's ssl module does not allow two of them on one connection.
    with Upstream(says(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")) as up:
        for scheme in ((), ("--plain",)):
            with shslib.Server(*scheme, "--handler", "echo", "--proxy", "/=" + up.url) as server:
                data = server.raw(b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                  b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000000)
                check(data.startswith(b"HTTP/1.1 413 ") and data.endswith(b"\r\n\r\nno"), "%r: %r" % (scheme, data[:200]))


def a_unix_socket():
    with shslib.temp_dir() as top:
        path = top + "/app.sock"
        with Upstream(says(OK), path=path), shslib.Server("--handler", "echo", "--proxy", "/=unix:" + path) as server:
            equal(server.get("/x")[::2], (200, b"ok"))


def what_cannot_be():
    for value, words in (("api=http://a:1", "not of the form"), ("/api", "not of the form"), ("/a=https://a:1", "https"),
                         ("/a=ftp://a", "not of the form"), ("/a=http://", "no host"), ("/a=http://a:b", "no host"),
                         ("/a=http://u:p@a:1", "no host"), ("/a=http://a:1/x?y", "no host"), ("/a=unix:", "Unix socket"),
                         ("/a{x}=http://a:1", "not of the form"), ("/a=http://a:123456", "no host"),
                         ("/a=http://127.0.0.1:65536", "no host"),
                         ("/a=http://127.0.0.1:99999", "no host"), ("/a=http://127.0.0.1:0", "no host"), ("/a=http://a b:1", "no host"), ("/a=unix:" + "x" * 200, "too long")):
        code, _, err = shslib.run(shslib.BIN, "serve", "--plain", "--check", "--proxy", value)
        check(code == 2 and words in err and err.count("\n") == 1, "%s: %d %s" % (value, code, err))
    for arguments, words in ((("--proxy", "/a=http://127.0.0.1:1", "--proxy", "/a=http://127.0.0.1:2"), "/a"),
                             (("--proxy-timeout", "5"), "--proxy"),
                             (("--proxy", "/a=http://no.such.host.invalid:1"), "no host no.such.host.invalid")):
        code, _, err = shslib.run(shslib.BIN, "serve", "--plain", "--check", *arguments)
        check(code in (1, 2) and words in err, "%r: %d %s" % (arguments, code, err))


def cache_control():
    with shslib.temp_dir() as site:
        shslib.write_file(site + "/a.txt", "a")
        with shslib.Server(site, "--cache-control", "no-store, max-age=0", "--route", "/r=" + site,
                           "--route-cache-control", "max-age=9") as server:
            equal(server.get("/a.txt")[1].get_all("Cache-Control"), ["no-store, max-age=0"])
            equal(server.get("/r/a.txt")[1].get_all("Cache-Control"), ["max-age=9"])
    for value in ("", "a\nb"):
        code, _, err = shslib.run(shslib.BIN, "serve", "--check", "--cache-control=" + value)
        check(code == 2 and "control character" in err, err)


def fake_browser(directory, record):
    shslib.write_file(directory + "/xdg-open", "#!/bin/sh\nPATH=/usr/bin:/bin\nprintf '%%s\\n' \"$#\" \"$@\" > '%s.new'\n"
                      "mv '%s.new' '%s'\n" % (record, record, record))
    os.chmod(directory + "/xdg-open", 0o755)


def opens_a_browser():
    with shslib.temp_dir() as top:
        record = top + "/opened"
        fake_browser(top, record)
        here = {**os.environ, "DISPLAY": ":0", "PATH": top + ":" + os.environ["PATH"]}
        here.pop("WAYLAND_DISPLAY", None)
        with shslib.Server("--handler", "echo", "--open", env=here) as server:
            shslib.wait_until(lambda: os.path.exists(record), 20, "the browser")
            with open(record) as file:
                equal(file.read(), "1\n%s/\n" % server.url)
        os.unlink(record)
        # Nothing where there is no display or no program, but a hint.
        for env, words in (({**here, "DISPLAY": ""}, "there is no display here"),
                           ({**here, "PATH": "/nonexistent:"}, "no xdg-open in PATH")):
            with shslib.Server("--handler", "echo", "--open", env=env) as server:
                server.wait_stderr(words + ".*open %s/ yourself" % re.escape(server.url))
        with shslib.Server("--handler", "echo", env=here):
            pass
        with shslib.Server("--plain", "--handler", "echo") as other:  # one that does not come to serve
            code, _, err = shslib.run(shslib.BIN, "serve", "--plain", "--open", "--port", str(other.port), env=here)
            check(code == 1 and "in use" in err, err)
        code, _, _ = shslib.run(shslib.BIN, "serve", "--plain", "--open", "--check", env=here)
        equal(code, 0)
        equal(os.path.exists(record), False, "opened without reason")
        code, _, err = shslib.run(shslib.BIN, "serve", "--plain", "--open", "--hand-over", "--check", env=here)
        check(code == 2 and "--hand-over" in err, err)


shslib.main(what_is_asked, bodies_both_ways, both_at_once, a_client_takes_its_time_for_the_answer,
            one_of_two_addresses_says_nothing, a_client_that_breaks_off_its_body,
            a_request_under_way_when_it_stops, a_circle, opens_a_browser, answers_without_a_body, what_streams_arrives_at_once,
            events_end_when_it_stops, a_client_that_goes_while_it_waits, bad_answers_are_not_passed_on,
            no_server_and_a_slow_one, an_early_answer_ends_the_body, a_unix_socket, what_cannot_be, cache_control)
