"""Rules of access (shs serve --access) over curl, and what `shs acl` says of them with no server running."""

import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess

import shslib
import tls_pki
from shslib import check, equal

ROLES = """
role viewer    GET /admin/v1/**
role operator  viewer + POST /admin/v1/{drain,undrain,connections/{id}/close}
role admin     operator + * /admin/v1/**
"""

ROUTES = (("GET", "/admin/v1/whoami"), ("POST", "/admin/v1/drain"), ("POST", "/admin/v1/connections/7/close"),
          ("DELETE", "/admin/v1/connections/7"), ("PUT", "/admin/v1/log"), ("GET", "/%61dmin/v1/%77hoami"),
          ("GET", "/admin/v1/../v1/whoami"), ("GET", "/elsewhere"))
WHO = ("alice", "bob", "build", "mallory", "eve", "trent")


def explain(*arguments):
    """(exit status, what it says)."""
    code, out, err = shslib.run(shslib.BIN, "acl", "explain", *arguments)
    return code, out + err


def decide(*arguments):
    """(allowed, its JSON)."""
    code, out, err = shslib.run(shslib.BIN, "acl", "explain", "--json", *arguments)
    check(code in (0, 1), "exit status %d: %s" % (code, err))
    said = json.loads(out)
    equal(code == 0, said["allowed"], "exit status and JSON of %r" % (arguments,))
    return said


class Lab:
    """Two CAs that the server accepts, of which the rules trust one with names."""

    def __init__(self, top):
        self.top = top
        self.corp = tls_pki.CA(top, "corp")
        self.other = tls_pki.CA(top, "other")
        self.below = tls_pki.CA(top, "below", parent=self.corp)
        self.server = self.corp.issue("server")
        self.who = {
            "alice": self.below.client("alice"),  # through an issuing CA that she sends along
            "bob": self.corp.client("bob", subject="/O=ops/CN=bob"),
            "build": self.corp.client("build", names=["URI:spiffe://corp.test/ns/ops/sa/build"]),
            "mallory": self.corp.client("mallory", subject="/O=ops\\/CN=alice/CN=mallory"),
            "eve": self.corp.client("eve", subject="/O=ops/CN=eve"),
            "trent": self.other.client("trent", subject="/O=ops/CN=alice"),
        }
        self.accepted = self.file("accepted.pem", open(self.corp.cert).read() + open(self.other.cert).read())
        serial = shslib.run("openssl", "x509", "-noout", "-serial", "-in", self.who["eve"][0])[1]
        self.rules = self.file("rules", """
            ca corp  file corp.pem
            ca other file other.pem
            %s
            deny serial 0x%s ca corp
            map uri "spiffe://corp.test/ns/ops/sa/*" ca corp operator
            map cn "alice" ca corp admin
            map o  "ops"   ca corp viewer
            deny user eve
            map user alice admin
            map uid %d user build operator   # who it is, and from which process
            map user bob viewer
            """ % (ROLES, serial.strip().split("=")[1], os.getuid()))

    def file(self, name, text):
        path = os.path.join(self.top, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def serve(self, rules=None, *more):
        return shslib.Server("--cert", self.server[0], "--key", self.server[1], "--client-ca", self.accepted,
                             "--handler", "echo", "--access", rules or self.rules, *more)


def in_a_lab(test):
    def run():
        with shslib.temp_dir() as top:
            test(Lab(top))
    run.__name__ = test.__name__
    return run


def curl(options, url, routes=ROUTES):
    """[(status, JSON of its body or None)] for each route, over one curl."""
    argv = ["curl", "-s", "--path-as-is", "--max-time", "60"]
    for i, (method, path) in enumerate(routes):
        argv += (["--next"] if i else []) + ["-s", "--path-as-is"] * bool(i) + list(options)
        argv += ["-X", method, "-w", "\n%{http_code}\n", url + path]
    code, out, err = shslib.run(*argv)
    equal(code, 0, "curl's exit status (%s)" % err)
    lines = [line for line in out.split("\n") if line]
    answers = list(zip(lines[1::2], lines[0::2]))
    equal(len(answers), len(routes), "answers in %r" % out)
    return [(int(status), json.loads(body)) for status, body in answers]


def compare(lab, who, options, url, say, what):
    """How many cells agree: all, or Failure."""
    cells = 0
    for (method, path), (status, body) in zip(ROUTES, curl(options, url)):
        said = decide("--policy", lab.rules, *say, method, path)
        where = "%s, %s %s as %s" % (what, method, path, who)
        check(status in (200, 403), "%s is %d" % (where, status))
        equal(status == 200, said["allowed"], where)
        if status == 403:
            equal(body, {"error": "forbidden", "need": said["need"], "have": said["role"]}, where)
        else:
            equal(body["method"], method, where)
        cells += 1
    return cells


@in_a_lab
def matrix(lab):
    """6 identities x 8 routes x 3 transports: curl gets what `shs acl explain` says."""
    cells, allowed = 0, set()
    with lab.serve() as server:
        for name, (version, flag) in itertools.product(WHO, (("1.2", "--tls-max"), ("1.3", "--tlsv1.3"))):
            cert, key = lab.who[name]
            tls = [flag] + (["1.2"] if flag == "--tls-max" else [])
            options = tls + ["--cacert", lab.corp.cert, "--cert", cert, "--key", key]
            say = ["--cert", cert, "--client-ca", lab.accepted]
            cells += compare(lab, name, options, "https://localhost:%d" % server.port, say, "TLS " + version)
    cells += over_a_unix_socket(lab)
    equal(cells, 144, "cells")
    for name, wanted in (("alice", 6), ("bob", 2), ("build", 4), ("mallory", 0), ("eve", 0), ("trent", 0)):
        say = ["--cert", lab.who[name][0], "--client-ca", lab.accepted]
        count = sum(decide("--policy", lab.rules, *say, *route)["allowed"] for route in ROUTES)
        equal(count, wanted, "routes that %s may use" % name)


def users_of(lab):
    code, out, err = shslib.run("openssl", "passwd", "-6", "secret")
    equal(code, 0, err)
    return lab.file("users", "".join("%s:%s\n" % (name, out.strip()) for name in WHO))


def over_a_unix_socket(lab):
    cells = 0
    path = os.path.join(lab.top, "socket")
    argv = [shslib.BIN, "serve", "--plain", "--bind", "unix:" + path, "--handler", "echo", "--access", lab.rules,
            "--auth-file", users_of(lab)]
    with shslib.Process(argv) as server:
        server.wait_stdout(r"Serving HTTP on unix:")
        for name in WHO:
            options = ["--unix-socket", path, "-u", name + ":secret"]
            say = ["--uid", os.getuid(), "--user", name]
            cells += compare(lab, name, options, "http://localhost", say, "Unix socket")
    return cells


@in_a_lab
def processes(lab):
    """The uid at the other end counts, whatever the mode of the socket is."""
    path = os.path.join(lab.top, "socket")
    rules = lab.file("by-process", ROLES + "deny gid 65533\nmap uid %d admin\n" % os.getuid())
    argv = [shslib.BIN, "serve", "--plain", "--bind", "unix:" + path, "--handler", "echo", "--access", rules]
    with shslib.Process(argv) as server:
        server.wait_stdout(r"Serving HTTP on unix:")
        route = (("POST", "/admin/v1/drain"),)
        equal(curl(["--unix-socket", path], "http://localhost", route)[0][0], 200, "this process")
        if os.getuid() != 0 or not shutil.which("setpriv"):
            print("       other users were left out: this is not root, or there is no setpriv")
            return
        os.chmod(path, 0o777)
        os.chmod(lab.top, 0o755)
        for ids, status in ((["--reuid", "65534", "--clear-groups"], 403), (["--regid", "65533", "--clear-groups"], 403),
                            (["--groups", "27,65533"], 403), (["--groups", "27"], 200)):
            code, out, err = shslib.run("setpriv", *ids, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time",
                                        "60", "--unix-socket", path, "-X", "POST", "http://localhost/admin/v1/drain")
            equal((code, out), (0, str(status)), "setpriv %s (%s)" % (" ".join(ids), err))


def ask(context, port, session, method="POST", path="/admin/v1/drain"):
    """(status, whether the session was resumed, a session for the next)."""
    with socket.create_connection(("127.0.0.1", port), timeout=60 * shslib.SLOWNESS) as sock:
        with context.wrap_socket(sock, server_hostname="localhost", session=session) as tls:
            tls.sendall(("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (method, path)).encode())
            answer = http.client.HTTPResponse(tls)
            answer.begin()
            answer.read()
            return answer.status, tls.session_reused, tls.session


@in_a_lab
def resumption(lab):
    """A ticket has no chain in it; whose word it is that the client is alice is known all the same."""
    with lab.serve() as server:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for name, wanted in (("alice", 200), ("build", 200), ("bob", 403), ("trent", 403)):
                context = ssl.create_default_context(cafile=lab.corp.cert)
                context.load_cert_chain(*lab.who[name])
                context.minimum_version = context.maximum_version = version
                status, resumed, session = ask(context, server.port, None)
                equal((status, resumed), (wanted, False), "the first of %s" % name)
                for again in range(2):
                    status, resumed, session = ask(context, server.port, session)
                    equal((status, resumed), (wanted, True), "number %d of %s, resumed" % (again + 2, name))
                # Verified from scratch no more, and in a full handshake: the chain is known to be good.
                equal(ask(context, server.port, None)[:2], (wanted, False), "another full one of %s" % name)


@in_a_lab
def reload(lab):
    """SIGHUP reads the rules again, as a whole or not at all; open connections are asked by the new ones."""
    rules = lab.file("changing", "role a GET /a\nmap anyone a\n")
    with shslib.Server("--plain", "--handler", "echo", "--access", rules) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60 * shslib.SLOWNESS)

        def status(path):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        equal((status("/a"), status("/b")), (200, 403), "as it began")
        lab.file("changing", "role b GET /b\nmap anyone b\n")
        server.signal(signal.SIGHUP)
        server.wait_stderr(r"Files read again; taken: '.*changing'")
        equal((status("/a"), status("/b")), (403, 200), "after the first")
        lab.file("changing", "role a GET /a\nmap anyone a\nmap uid 0 a\n")
        server.signal(signal.SIGHUP)
        server.wait_stderr(r"Files not reloaded, all stays as it was: .*changing:3: this rule can never decide: .*changing:2 ")
        equal((status("/a"), status("/b")), (403, 200), "after a bad one")
        os.unlink(rules)
        server.signal(signal.SIGHUP)
        server.wait_stderr(r"Files not reloaded, all stays as it was: The rules in .*changing' cannot be opened")
        equal((status("/a"), status("/b")), (403, 200), "without a file")
        connection.close()
    code, out, err = shslib.run(shslib.BIN, "serve", "--plain", "--check", "--access", rules)
    equal(code, 1, "--check without the file: " + err)
    lab.file("changing", "role a GET /a\nmap anyone boss\n")
    code, out, err = shslib.run(shslib.BIN, "serve", "--plain", "--check", "--access", rules)
    equal(code, 2, "--check of bad rules")
    check("changing:2: there is no role 'boss'" in err, err)


@in_a_lab
def answers_and_logs(lab):
    """JSON for programs, a page for browsers; the log has the role and the line."""
    rules = lab.file("small", "role a GET /a\nrole b a + POST /b\nmap anyone a\n")
    with shslib.Server("--plain", "--handler", "echo", "--access", rules, "--log", "json") as server:
        status, headers, body = server.request("POST", "/b")
        equal((status, headers["Content-Type"], headers["Cache-Control"]), (403, "application/json", "no-store"), "JSON")
        equal(json.loads(body), {"error": "forbidden", "need": "b", "have": "a"}, "its members")
        server.wait_stderr(r'"method":"POST","target":"/b".*"status":403.*"role":"a","access":"map anyone a"')
        status, headers, body = server.request("POST", "/c", headers={"Accept": "text/html,*/*"})
        equal((status, headers["Content-Type"].split(";")[0]), (403, "text/html"), "a page")
        equal(server.get("/a")[0], 200, "what is allowed")
        server.wait_stderr(r'"target":"/a".*"status":200.*"role":"a","access":"map anyone a"')


def spellings():
    """A hundred paths and more by which somebody could try to reach /secret/x through /public."""
    ups = ("..", "%2e%2e", ".%2e", "%2E.", "..;", "..%00", "%252e%252e", "..%2f", "%2e%2e%5c", "..\\")
    for up, slash in itertools.product(ups, ("/", "//", "/./", "%2f", "%5c", "/%2e/")):
        yield "/public%s%s%ssecret/x" % (slash, up, slash)
        yield "/public/a%s%s%s%s%ssecret/x" % (slash, up, slash, up, slash)
    for path in ("/secret/x", "//secret/x", "/./secret/x", "/%73ecret/x", "/secret%2fx", "/secret//x", "/secret/./x",
                 "/secret/x#/public/", "/public/#/../../secret/x", "/Secret/x", "/secret;/x", "/secret/x/../x"):
        yield path


@in_a_lab
def spellings_of_a_path(lab):
    """Whatever a path is spelled like, the file handler gives nothing that the rules do not."""
    site = os.path.join(lab.top, "site")
    for name in ("public", "secret"):
        os.makedirs(os.path.join(site, name))
        lab.file("site/%s/x" % name, name + " text\n")
    rules = lab.file("public-only", "role reader GET /public/**\nrole all GET /**\nmap anyone reader\n")
    paths = list(spellings())
    check(len(paths) >= 100, "%d paths" % len(paths))
    with shslib.Server("--plain", site, "--access", rules) as server:
        equal(server.get("/public/x")[::2], (200, b"public text\n"), "what is allowed")
        equal(server.get("/%70ublic/%78")[::2], (200, b"public text\n"), "the same, encoded")
        equal(server.get("/secret/x")[0], 403, "what is not")
        for path in paths:
            with server.connect_plain() as sock:
                sock.sendall(("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path).encode())
                answer = shslib.read_all(sock)
            check(b"secret text" not in answer, "%s gives the secret" % path)
            check(answer[9:12] in (b"403", b"404", b"400"), "%s: %r" % (path, answer[:40]))
            if answer[9:12] == b"400":  # it is not a path, and no rule is asked
                continue
            code, said = explain("--policy", rules, "--nobody", "GET", path)
            equal(code, 0 if answer[9:12] == b"404" else 1, "explain of %s: %s" % (path, said))


@in_a_lab
def identities_that_are_none(lab):
    """Certificates that a handshake refuses count for nothing here, and it is said why."""
    two = lab.corp.client("two-cn", subject="/CN=alice/CN=mallory")
    spiffe = lab.corp.client("two-spiffe", names=["URI:spiffe://corp.test/ns/ops/sa/a", "URI:spiffe://corp.test/x"])
    port = lab.corp.client("spiffe-port", names=["URI:spiffe://corp.test:443/ns/ops/sa/a"])
    ca = lab.corp.client("spiffe-ca", names=["URI:spiffe://corp.test/ns/ops/sa/a"], ca=True)
    plain_ca = lab.corp.client("plain-ca", subject="/CN=alice", ca=True)
    late = lab.corp.client("late", subject="/CN=alice", start=-10 * tls_pki.DAY, end=-tls_pki.DAY)
    usage = lab.corp.client("usage", subject="/CN=alice", usage="serverAuth")
    for (cert, _), why in ((two, "by two common names"), (spiffe, "it has another URI"), (ca, "a CA is no client"),
                           (port, "not spelled as one"),
                           (late, "expired"), (usage, "wrong-purpose"), (lab.who["alice"], None)):
        code, said = explain("--policy", lab.rules, "--cert", cert, "--client-ca", lab.corp.cert, "GET", "/admin/v1/x")
        equal(code, 0 if why is None else 1, said)
        if why is not None:
            check("the certificate is not used" in said and why in said, said)
    code, said = explain("--policy", lab.rules, "--cert", plain_ca[0], "GET", "/admin/v1/x")
    equal(code, 1, said)
    check("its certificate is that of a CA" in said, said)
    with lab.serve() as server:
        options = ["--cacert", lab.corp.cert, "--cert", plain_ca[0], "--key", plain_ca[1]]
        status, body = curl(options, "https://localhost:%d" % server.port, ROUTES[:1])[0]
        equal((status, body["have"]), (403, None), "a CA's certificate over TLS")


@in_a_lab
def what_explain_says(lab):
    """The deciding line, and exit statuses."""
    code, said = explain("--policy", lab.rules, "--cert", lab.who["alice"][0], "POST", "/admin/v1/drain")
    equal(code, 0, said)
    check("map cn alice ca corp admin\nallowed: cn=alice has the role admin; POST /admin/v1/drain is for operator\n"
          in said, said)
    code, said = explain("--policy", lab.rules, "--user", "bob", "POST", "/admin/v1/drain")
    equal(code, 1, said)
    check("map user bob viewer\ndenied: user=bob has the role viewer; " in said, said)
    code, said = explain("--policy", lab.rules, "--nobody", "GET", "/x")
    equal(code, 1, said)
    check("no rule fits\ndenied: nobody has no role; no role has GET /x\n" in said, said)
    said = decide("--policy", lab.rules, "--cert", lab.who["build"][0], "GET", "/admin/v1/x")
    equal((said["identity"], said["role"], said["ca"], said["need"]),
          ("uri=spiffe://corp.test/ns/ops/sa/build", "operator", "corp", "viewer"), "JSON")
    for arguments, text in ((("GET", "/x"), "--policy FILE is missing"),
                            (("--policy", lab.rules, "GET", "/x"), "say who asks"),
                            (("--policy", lab.rules, "--nobody", "GET"), "METHOD and PATH"),
                            (("--policy", lab.rules, "--nobody", "GET", "x"), "does not begin"),
                            (("--policy", lab.rules, "--nobody", "--user", "a", "GET", "/x"), "--nobody"),
                            (("--policy", lab.rules, "--gid", "0", "--nobody", "GET", "/x"), "--gid goes with"),
                            (("--policy", lab.rules, "--uid", "no-such-user", "GET", "/x"), "no user"),
                            (("--policy", lab.rules, "--uid", "4000000000", "GET", "/x"), "say its groups"),
                            (("--policy", lab.rules, "--cert", "/no/file", "GET", "/x"), "/no/file"),
                            (("--policy", "/no/rules", "--nobody", "GET", "/x"), "/no/rules"),
                            (("--policy", lab.file("none", ""), "--nobody", "GET", "/x"), "nobody would be let in")):
        code, said = explain(*arguments)
        equal(code, 2, said)
        check(text in said, "%r says %s" % (arguments, said))


@in_a_lab
def tables(lab):
    """`shs acl test`: expectations kept beside the rules."""
    good = """policy rules
allow admin    cn alice ca corp                                    DELETE /admin/v1/x
deny           cn alice ca other                                   GET    /admin/v1/x
allow operator uri spiffe://corp.test/ns/ops/sa/x ca corp cn x     POST   /admin/v1/drain
deny  viewer   user bob                                            POST   /admin/v1/drain
allow          uid %d gid 0 gid 27 user build                      GET    /admin/v1/x
deny           nobody                                              GET    /admin/v1/x
allow admin    file alice.pem                                      PUT    /admin/v1/x   # a comment
""" % os.getuid()

    def table(text):
        code, out, err = shslib.run(shslib.BIN, "acl", "test", lab.file("table", text))
        return code, out + err

    equal(table(good), (0, "7 of 7 as expected\n"), "a table that holds")
    code, said = table(good + "allow viewer user alice GET /admin/v1/x\nallow user bob POST /admin/v1/x\n")
    equal(code, 1, said)
    check("table:9: expected allow viewer, and it is allowed with role admin by line" in said, said)
    check("table:10: expected allow, and it is denied with role viewer by line" in said, said)
    check("7 of 9 as expected" in said, said)
    for text, why in (("", "no expectation"), ("allow user bob GET /x\n", "'policy FILE' comes first"),
                      ("policy rules\nallow boss user bob GET /x\n", "table:2: the rules have no role 'boss'"),
                      ("policy rules\nallow cn * ca corp GET /x\n", "table:2: cn '*'"),
                      ("policy rules\nallow dns *.a.b ca corp GET /x\n", "is a pattern"),
                      ("policy rules\nallow cn a ca none GET /x\n", "no CA 'none'"),
                      ("policy rules\nallow cn a GET x\n", "does not begin"),
                      ("policy rules\nmay cn a GET /x\n", "begins with policy, allow or deny"),
                      ("policy none\n", "none")):
        code, said = table(text)
        equal(code, 2, said)
        check(why in said, "%r says %s" % (text, said))


shslib.main(matrix, processes, resumption, reload, answers_and_logs, spellings_of_a_path, identities_that_are_none,
            what_explain_says, tables)
