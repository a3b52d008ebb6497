"""examples/admin_api.c: roles over TLS and at the Unix socket, paging, a watch, the admin plane, a restart."""

import contextlib
import json
import os
import signal
import ssl

import adminlib
import shslib
import tls_pki

BIN = os.environ["EXAMPLE_BIN"]
RULES = """ca corp file "clients.pem"
role viewer    GET /kv + GET /kv/{key} + GET /watch
role operator  viewer + PUT,DELETE /kv/{key}
role admin     operator + * /admin/v1/{path...}
map cn "vera" ca corp   viewer
map cn "otto" ca corp   operator
map uid %d              admin
"""
JSON = {"Content-Type": "application/json"}


class Api(shslib.Server):
    def __init__(self, home, ca):
        self.home, self.root = home, ca
        super().__init__(argv=[BIN, "0"], cwd=home)

    def client(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.root.cert)
        if name is not None:
            context.load_cert_chain(*(os.path.join(self.home, name + end) for end in (".pem", ".key")))
        return context

    def ask(self, name, method, path, body=None, sock="kv.sock", headers=JSON):
        """Status and value of an answer; name "uid": at a Unix socket."""
        if name == "uid":
            connection = adminlib.UnixConnection(os.path.join(self.home, sock), 10 * shslib.SLOWNESS)
        else:
            connection = shslib.http.client.HTTPConnection("localhost")
            connection.sock = self.connect(context=self.client(name))
        with contextlib.closing(connection):
            connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body),
                               headers)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else None


def put(server, name, key, value):
    return server.ask(name, "PUT", "/kv/" + key, {"value": value})[0]


def roles_and_values(server):
    shslib.equal(put(server, "otto", "tea", "a'); DROP TABLE kv; --"), 204, "operator puts")
    shslib.equal(server.ask("vera", "GET", "/kv/tea"), (200, {"key": "tea", "value": "a'); DROP TABLE kv; --"}))
    for method in ("PUT", "DELETE"):
        status, told = server.ask("vera", method, "/kv/tea", {"value": "x"})
        shslib.equal((status, told["need"], told["have"]), (403, "operator", "viewer"), method)
    for name in ("nora", None):  # no line for her; no certificate
        shslib.equal(server.ask(name, "GET", "/kv/tea")[0], 403, str(name))
    shslib.equal(put(server, "uid", "tea", "green"), 204, "uid puts")
    shslib.equal(server.ask("uid", "GET", "/kv/tea")[1]["value"], "green", "replaced")
    shslib.equal(server.ask("otto", "DELETE", "/kv/tea"), (204, None))
    for method in ("GET", "DELETE"):
        shslib.equal(server.ask("otto", method, "/kv/tea")[0], 404, method + " of an unknown key")
    for body, status in ((b"{oops", 400), (b'{"value":"a","value":"b"}', 400), ({"value": 1}, 422), ({}, 422),
                         ({"value": "x", "more": 1}, 422), ({"value": "x" * 4097}, 422), ({"value": "x" * 4096}, 204)):
        shslib.equal(server.ask("uid", "PUT", "/kv/k", body)[0], status, str(body)[:40])
    shslib.equal(put(server, "uid", "k" * 65, "x"), 400, "a long key")
    shslib.equal(put(server, "uid", "k%20k", "x"), 400, "a blank in a key")
    shslib.equal(put(server, "uid", "k%C3%BC", "x"), 400, "a key that is not ASCII")
    shslib.equal(put(server, "uid", "k%00k", "x"), 403, "a NUL in a key")
    shslib.equal(put(server, "uid", "k" * 64, "x"), 204, "a key as long as may be")
    for key in ("k", "k" * 64):
        shslib.equal(server.ask("uid", "DELETE", "/kv/" + key)[0], 204)


def pages(server):
    for n in range(5):
        shslib.equal(put(server, "uid", "p%d" % n, str(n)), 204)
    seen, after = [], ""
    for _ in range(4):
        status, page = server.ask("uid", "GET", "/kv?limit=2&after=" + after)
        shslib.equal(status, 200)
        if not page:
            break
        shslib.check(len(page) <= 2, "a page of %d" % len(page))
        seen += [row["key"] for row in page]
        after = seen[-1]
    shslib.equal(seen, ["p0", "p1", "p2", "p3", "p4"], "the pages")
    shslib.equal(len(server.ask("uid", "GET", "/kv")[1]), 5, "without parameters")
    shslib.equal(server.ask("uid", "GET", "/kv?limit=101")[0], 400)


def watched(server):
    with server.connect(context=server.client("vera")) as sock:
        sock.sendall(b"GET /watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        shslib.read_until(sock, b"\n:\nid: ")  # it listens from here on
        shslib.equal(put(server, "otto", "p1", "news"), 204)
        data = shslib.read_until(sock, b'"value":"news"}\n\n')
        shslib.check(b"event: put\nid: " in data and b"p0" not in data, repr(data))
        name, number = data.rsplit(b"\nid: ", 1)[1].split(b"\n")[0].rsplit(b"-", 1)
        rev = int(number)
        shslib.equal(server.ask("otto", "DELETE", "/kv/p1")[0], 204)
        shslib.read_until(sock, b"event: delete\nid: %s-%d\n" % (name, rev + 1))
    for last, event in ((b"%s-%d" % (name, rev), b"event: delete\nid: %s-%d\n"),
                        (b"x", b"event: reset\nid: %s-%d\n"), (b"1-%d" % rev, b"event: reset\nid: %s-%d\n")):
        with server.connect(context=server.client("vera")) as sock:  # what it missed; or all again
            sock.sendall(b"GET /watch HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: " + last + b"\r\n\r\n")
            shslib.read_until(sock, event % (name, rev + 1))
    return b"%s-%d" % (name, rev)


def beside_it(server, rules):
    def side(method, path, body=None, headers=None):
        return server.ask("uid", method, "/admin/v1/" + path, body, "admin.sock", headers or {})

    shslib.equal(side("GET", "whoami")[1]["role"], "admin")
    shslib.equal([one["name"] for one in side("GET", "servers")[1]][:2], ["tls", "local"], "servers")
    for sock in ("kv.sock", "admin.sock", "kv.db"):
        mode = os.stat(os.path.join(server.home, sock)).st_mode & 0o777
        shslib.check(mode & 0o007 == 0, "others may use %s: %o" % (sock, mode))
    shslib.equal(server.ask("nora", "GET", "/nothing")[0], 403, "an unknown path, for who may nothing")
    with server.connect(context=server.client("vera")) as sock:
        sock.sendall(b"GET /kv HTTP/1.1\r\nHost: localhost\r\n\r\n")
        shslib.read_until(sock, b"]")
        status, told = side("GET", "connections")
        shslib.equal(status, 200)
        shslib.check("vera" in json.dumps(told), "vera is not in %r" % told)
    shslib.write_file(rules, RULES.replace('"vera" ca corp   viewer', '"vera" ca corp   operator') % os.geteuid())
    shslib.equal(side("POST", "reload")[0], 200)
    shslib.equal(put(server, "vera", "p2", "kept"), 204, "after the reload")
    status, told = side("POST", "drain?grace=0s")
    shslib.check(status in (200, 202), "drain: %d %r" % (status, told))
    shslib.equal(server.wait(20), 0, "exit status after the drain")


def main():
    with shslib.temp_dir() as home:
        ca = tls_pki.CA(home, "clients")
        ca.issue("server")
        for name in ("vera", "otto", "nora"):
            ca.client(name)
        rules = shslib.write_file(os.path.join(home, "kv.rules"), RULES % os.geteuid())
        with Api(home, ca) as server:
            roles_and_values(server)
            pages(server)
            last = watched(server)
            beside_it(server, rules)
        with Api(home, ca) as server:
            shslib.equal(server.ask("uid", "GET", "/kv/p2")[1]["value"], "kept", "after a restart")
            with server.connect(context=server.client("vera")) as sock:  # it ends with the service
                sock.sendall(b"GET /watch HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: " + last + b"\r\n\r\n")
                shslib.read_until(sock, b"event: reset\n")  # its news of before are gone
                server.signal(signal.SIGTERM)
                shslib.read_until(sock, b"0\r\n\r\n")
            shslib.equal(server.wait(20), 0, "exit status after SIGTERM")
        shslib.check(not os.path.exists(os.path.join(home, "kv.sock")), "the socket is left behind")


main()
