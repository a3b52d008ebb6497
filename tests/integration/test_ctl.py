"""`shs ctl`: each of its commands at a server that runs, and what it says when that cannot be done."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading

import adminlib
import shslib
import tls_pki
from shslib import check, equal

SITE = os.path.join(shslib.SOURCE_DIR, "examples", "site")


class Served(shslib.Server):
    def __init__(self, home, *arguments, **keywords):
        self.socket = os.path.join(home, "admin.sock")
        super().__init__("--admin", "unix:" + self.socket, *arguments, SITE, **keywords)
        self.wait_stdout(r"^Admin at unix:")
        self.name = "127.0.0.1:%d" % self.port

    def ctl(self, *arguments):
        return shslib.run(shslib.BIN, "ctl", "--socket", self.socket, *arguments)

    def rows(self, *arguments):
        """The table, a dictionary for each line."""
        out = self.good(*arguments).splitlines()
        titles = [(found.group(), found.start()) for found in re.finditer(r"\S+( \S+)*", out[0])]
        ends = [start for _, start in titles[1:]] + [None]
        return [{title: line[start:end].strip() for (title, start), end in zip(titles, ends)} for line in out[1:]]

    def good(self, *arguments):
        code, out, err = self.ctl(*arguments)
        equal((code, err), (0, ""), "shs ctl " + " ".join(arguments))
        return out

    def json(self, *arguments):
        return json.loads(self.good("--json", *arguments))

    def bad(self, expect, *arguments):
        code, out, err = self.ctl(*arguments)
        equal((code, out), (expect, ""), "shs ctl " + " ".join(arguments) + ": " + err)
        check(err.startswith("shs: error: ") and len(err.splitlines()) == 1, err)
        return err


def members(text):
    return dict(line.split(None, 1) for line in text.splitlines())


def test_who_is_connected(pki):
    with shslib.temp_dir() as home, Served(home, "--plain") as server, server.connect_plain() as sock:
        me = members(server.good("whoami"))
        equal((me["role"], me["via"], me["identity.uid"]), ("admin", "unix", str(os.geteuid())))
        shslib.wait_until(lambda: len(server.rows("connections")) == 1, 10, "the connection")
        row = server.rows("connections")[0]
        equal((row["SERVER"], row["PEER"], row["PORT"]), (server.name, "127.0.0.1", str(sock.getsockname()[1])))
        equal((row["WHO"], row["TLS"]), ("-", "-"))
        equal(server.json("connections")[0]["id"], int(row["ID"]))
        equal(server.rows("connections", "--identity", "nobody & =x"), [])
        equal(server.rows("connections", "--older-than", "1h"), [])
        equal(len(server.rows("connections", "--limit", "1", "--server", server.name)), 1)
        own = server.rows("connections", "--server", "admin")
        equal([line["REQUEST"] for line in own], ["GET /admin/v1/connections"])
        equal(own[0]["WHO"], str(os.geteuid()))
        closed = members(server.good("close", row["ID"], "--now"))
        equal((closed["done"], closed["connection.id"]), ("cut", row["ID"]))
        equal(sock.recv(10), b"")
        shslib.wait_until(lambda: server.rows("connections") == [], 10, "it to be gone, after its socket")
        check("no such connection" in server.bad(1, "close", row["ID"]), "a second time")
        for words, said in ((("connections", "--older-than", "long"), "--older-than is a time"),
                            (("certs", "--within", "long"), "--within is a time"),
                            (("connections", "--server", server.name, "--state", "odd"), "--state is one of handshake,"),
                            (("connections", "--limit", "x"), "--limit must be a number from 0 to")):
            check("error: " + said in server.bad(2, *words), words)
        # what to ask for is said in words of the command
        for code, words, said in ((2, ("connections", "--server", "bogus"), "no such server; 'shs ctl servers' has"),
                                  (2, ("log", "debug", "--only", "bogus"), "of that name: 'shs ctl servers'"),
                                  (1, ("undeny", "0" * 16), "by that id: 'shs ctl deny'"),
                                  (2, ("deny", "colour=red"), "spki, cert, serial with issuer, spiffe or uid")):
            err = server.bad(code, *words)
            check(said in err and "GET " not in err and "{" not in err, err)


def test_what_is_told(pki):
    with shslib.temp_dir() as home, Served(home, *pki.flags()) as server:
        with server.connect_plain() as sock:
            sock.sendall(b"no TLS at all\r\n\r\n")
            shslib.read_all(sock)
        shslib.wait_until(lambda: server.json("handshakes", "--failed"), 10, "the failure")
        row = server.rows("handshakes", "--failed")[0]
        equal((row["FAILED"], row["PEER"], row["REASON"] != "-"), ("yes", "127.0.0.1", True))
        rows = server.rows("certs")
        check({"certificate"} <= {row["KIND"] for row in rows}, rows)
        equal([row["FILE"] for row in rows if row["KIND"] == "certificate"], [pki.cert])
        equal([(row["EARLY"], row["STALE"]) for row in rows if row["KIND"] == "certificate"], [("no", "no")])
        equal(server.rows("certs", "--within", "0s"), [])
        equal({row["NAME"] for row in server.rows("servers")}, {server.name, "admin"})
        check("/admin/v1/drain" in {row["PATH"] for row in server.rows("routes")}, "routes")
        threads = server.rows("threads")
        check(str(server.pid) in {row["THREAD"] for row in threads}, threads)
        config = members(server.good("config"))
        equal(config["settings.client-ca"], pki.ca.cert)


def test_what_is_changed(pki):
    with shslib.temp_dir() as home:
        cert, key = os.path.join(home, "c.pem"), os.path.join(home, "c.key")
        shutil.copy(pki.cert, cert), shutil.copy(pki.key, key)
        with Served(home, "--cert", cert, "--key", key, "--client-ca", pki.ca.cert) as server:
            equal(server.json("reload", "--dry-run")["done"], "looked")
            equal({row["SERVER"] for row in server.rows("reload")}, {server.name})
            shutil.copy(pki.other_key, key)
            err = server.bad(1, "reload", "--dry-run")
            check("key" in err and server.name in err, err)
            err = server.bad(1, "reload")
            check(err.endswith(". Nothing was changed\n"), err)

            equal(server.good("deny"), "")
            equal(members(server.good("deny", "spki=" + "0" * 64))["new"], "yes")
            equal(members(server.good("deny", "uid=4000000"))["denied"], "uid 4000000")
            server.good("deny", "serial=1F3A", "issuer=CN=corp")
            equal(len(server.good("deny").splitlines()), 3)
            ids = {entry: name for name, entry in (line.split(None, 1) for line in server.good("deny").splitlines())}
            equal(members(server.good("undeny", ids["uid 4000000"])), {"let_in": "uid 4000000", "id": ids["uid 4000000"]})
            equal(len(server.good("deny").splitlines()), 2)
            check("nobody is denied" in server.bad(1, "undeny", ids["uid 4000000"]), "a second time")
            server.bad(2, "deny", "colour=red")
            for wrong in (("deny", "uid=x"), ("deny", "spki"), ("deny", "=x"), ("deny", "uid=")):
                server.bad(2, *wrong)

            row = {row["SERVER"]: row for row in server.rows("log")}[server.name]
            equal((row["LEVEL"], row["RETURNS IN"]), ("info", "-"))
            row = {row["SERVER"]: row for row in server.rows("log", "debug", "--for", "10m", "--only", server.name)}
            equal((row[server.name]["LEVEL"], row["admin"]["LEVEL"]), ("debug", "warning"))
            check("warning" in server.bad(2, "log", "loud"), "a level")
            for words, flag in ((("log", "info", "--for", "x"), "for"), (("drain", "--grace", "x"), "grace"),
                                (("drain", "--timeout", "x", "--grace", "1s"), "timeout"),
                                (("drain", "--timeout", "1s", "--grace", "99d"), "grace")):
                check("error: --%s is a time of 49 days at most" % flag in server.bad(2, *words), words)
            equal(members(server.good("status"))["draining"], "no")


def test_drain(pki):
    with shslib.temp_dir() as home, Served(home, "--plain") as server:
        equal([(row["SERVER"], row["STATE"]) for row in server.rows("drain", "--show")], [(server.name, "serving")])
        rows = server.rows("drain", "--timeout", "600s", "--grace", "500s")
        equal([row["STATE"] for row in rows], ["draining"])
        check(0 < float(rows[0]["GRACE LEFT"]) <= 500, rows)
        equal([row["STATE"] for row in server.rows("undrain")], ["serving"])
        equal(server.get("/")[0], 200)
        with server.connect_plain() as sock:
            sock.sendall(b"GET / HT")
            shslib.wait_until(lambda: server.rows("drain", "--show")[0]["OPEN"] != "0", 10, "a connection")
            server.good("drain", "--timeout", "600s", "--grace", "0")
            shslib.wait_until(lambda: shslib.refuses(server), 10, "an end of new connections")
        equal(server.wait(20), 0, "exit code")


def test_status_and_keylog(pki):
    with shslib.temp_dir() as home:
        path = os.path.join(home, "keys")
        with Served(home, *pki.flags(), "--admin-keylog", path) as server:
            status = members(server.good("status"))
            equal((status["connections.max"], status["draining"], status["pool.queue"]), ("10000", "no", "0"))
            check(not any(name.startswith(("history", "servers")) for name in status), status)
            check(server.json("status")["history"]["every_ms"] > 0, "all of it with --json")
            equal(members(server.good("keylog", "--show"))["ends_in_s"], "0.0")
            asked = members(server.good("keylog", "--for", "30s"))
            check(asked["file"] == path and 0 < float(asked["ends_in_s"]) <= 30, asked)
            equal(members(server.good("keylog", "--for", "0s"))["ends_in_s"], "0.0")
            check("one hour" in server.bad(2, "keylog", "--for", "2h"), "too long")


def test_over_tls(pki):
    cert, key = pki.ca.client("alice")
    eve, eve_key = pki.ca.client("eve", usage="serverAuth")
    other = tls_pki.CA(pki.ca.directory, "elsewhere")
    with shslib.temp_dir() as home:
        rules = shslib.write_file(os.path.join(home, "rules"), 'ca corp file "%s"\nrole admin * /admin/v1/**\n'
                                  'map uid %d admin\nmap cn "alice" ca corp admin\n' % (pki.ca.cert, os.geteuid()))
        with Served(home, *pki.flags(), "--admin", "tls:0", "--admin-client-ca", pki.ca.cert, "--admin-rules", rules) as server:
            port = server.wait_stdout(r"Admin at https://127\.0\.0\.1:(\d+)/").group(1)
            url = "https://127.0.0.1:" + port

            def ctl(*arguments):
                return shslib.run(shslib.BIN, "ctl", "--url", *arguments)

            both = shslib.write_file(os.path.join(home, "both.pem"), open(cert).read() + open(key).read())
            os.chmod(both, 0o600)
            for who in (("--cert", cert, "--key", key), ("--cert", both)):
                for address in (url, url + "/", "https://localhost:" + port):
                    code, out, err = ctl(address, "--cacert", pki.ca.cert, *who, "whoami")
                    equal((code, err), (0, ""), address)
                    equal((members(out)["identity.cn"], members(out)["role"], members(out)["via"]), ("alice", "admin", "tls"))
            code, out, err = ctl(url, "--cacert", pki.ca.cert, "--cert", cert, "--key", key, "deny", "uid=4000000")
            equal((code, members(out)["new"]), (0, "yes"), err)

            # who is not let in is told why, and trust in the server was asked for
            for arguments, word in (((url, "--cacert", pki.ca.cert), "give --cert and --key"),
                                    ((url, "--cacert", pki.ca.cert, "--cert", eve, "--key", eve_key), "does not let you in"),
                                    ((url, "--cacert", other.cert, "--cert", cert, "--key", key), "127.0.0.1:" + port),
                                    ((url, "--cacert", "/no/such", "--cert", cert, "--key", key), "/no/such"),
                                    ((url, "--cacert", pki.ca.cert, "--cert", "/no/such"), "/no/such"),
                                    ((url, "--cacert", pki.ca.cert, "--cert", cert), cert)):
                code, out, err = ctl(*arguments, "whoami")
                equal((code, out, len(err.splitlines())), (1, "", 1), "%r: %s" % (arguments, err))
                check(word in err, "%r: %s" % (arguments, err))
            for arguments, word in (((url,), "--cacert"), ((url, "--cacert", "x", "--key", "y"), "--cert"),
                                    ((url, "--cacert", "x", "--socket", "y"), "one of them"),
                                    (("http://127.0.0.1:1", "--cacert", "x"), "https://HOST:PORT"),
                                    (("https://127.0.0.1", "--cacert", "x"), "https://HOST:PORT"),
                                    (("https://127.0.0.1:0", "--cacert", "x"), "https://HOST:PORT"),
                                    (("https://127.0.0.1:99999", "--cacert", "x"), "https://HOST:PORT"),
                                    (("https://a:1/b", "--cacert", "x"), "https://HOST:PORT"),
                                    (("https://[::1:1", "--cacert", "x"), "https://HOST:PORT"),
                                    (("https://" + "x" * 300 + ":1", "--cacert", "x"), "https://HOST:PORT")):
                code, out, err = ctl(*arguments, "whoami")
                equal((code, out, len(err.splitlines())), (2, "", 1), "%r: %s" % (arguments, err))
                check(word in err, "%r: %s" % (arguments, err))
            code, _, err = shslib.run(shslib.BIN, "ctl", "--socket", server.socket, "--cert", cert, "whoami")
            check(code == 2 and "--url" in err, err)
        code, _, err = shslib.run(shslib.BIN, "ctl", "--url", url, "--cacert", pki.ca.cert, "whoami")
        check(code == 1 and "nobody serves" in err, err)


def test_asked_for_wrongly(pki):
    path = "/nowhere/admin.sock"
    for arguments, word in (((), "command is missing"), (("dance",), "'dance'"), (("whoami", "x"), "'x'"),
                            (("close",), "ID"), (("close", "x"), "ID"), (("close", "1", "2"), "'2'"), (("undeny",), "ID"), (("undeny", "../reload"), "ID"),
                            (("keylog", "--show", "--for", "1s"), "--show"), (("status", "--for", "1s"), "log"),
                            (("whoami", "--failed"), "handshakes"), (("reload", "--timeout", "3s"), "drain"),
                            (("log", "--for", "1m"), "level"), (("drain", "--show", "--grace", "1"), "--show"),
                            (("--socket", "x" * 108, "whoami"), "107"), (("deny", "uid=1", "a=b", "c=d"), "'c=d'"),
                            (("connections", "--identity", "x" * 5000), "too long"),
                            (("deny", "spki=" + "x" * 5000), "too long"), (("deny", "spiffe=\udcff"), "UTF-8"),
                            (("log", "\udcff"), "UTF-8"), (("--nothing",), "--nothing")):
        code, out, err = shslib.run(shslib.BIN, "ctl", "--socket", path, *arguments)
        equal((code, out), (2, ""), repr(arguments) + err)
        check(word in err and len(err.splitlines()) == 1, "%r: %s" % (arguments, err))
    code, _, err = shslib.run(shslib.BIN, "ctl", "whoami", env={"SHS_ADMIN_SOCKET": ""})
    check(code == 2 and "--socket" in err and "SHS_ADMIN_SOCKET" in err, err)
    code, out, _ = shslib.run(shslib.BIN, "ctl", "--help")
    equal(code, 0)
    for command in ("whoami", "connections", "close", "handshakes", "certs", "reload", "deny", "drain", "undrain", "log",
                    "threads", "config", "status", "undeny", "keylog", "--url", "--dry-run", "SHS_ADMIN_SOCKET"):
        check(command in out, command)


def test_nobody_is_there(pki):
    with shslib.temp_dir() as home:
        path = os.path.join(home, "a.sock")

        def failed(*arguments, **keywords):
            code, out, err = shslib.run(shslib.BIN, "ctl", "--socket", path, "whoami", *arguments, **keywords)
            equal((code, out, len(err.splitlines())), (1, "", 1), err)
            return err

        code, _, err = shslib.run(shslib.BIN, "ctl", "whoami", env={"SHS_ADMIN_SOCKET": path})
        check(code == 1 and path in err, "from the environment: " + err)
        check("no socket at " + path in failed() and "--admin unix:" + path in failed(), "no file")
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(path)
            check("nobody serves " + path in failed(), "nobody listens")
            listener.listen(8)
            check("in time" in failed("--wait", "1s"), "no answer")
            # More nanoseconds than a number has room for: no reason to have no time at all.
            with subprocess.Popen([shslib.BIN, "ctl", "--socket", path, "--wait", "300y", "whoami"],
                                  stderr=subprocess.PIPE) as waits:
                listener.accept()[0].close()  # that was the one who waited a second
                with listener.accept()[0] as peer:
                    check(peer.recv(1), "it says nothing")
                    try:
                        check(False, "it ends: %r" % waits.communicate(timeout=1)[1])
                    except subprocess.TimeoutExpired:
                        waits.kill()
        os.unlink(path)
        shslib.write_file(path, "")
        check(path + " is not a socket" in failed(), "a file")


def answered_by(home, answer, *words):
    """What `shs ctl whoami`, or another command, comes to when the other end says just that."""
    path = os.path.join(home, "b.sock")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(path)
        listener.listen(1)

        def serve():
            sock, _ = listener.accept()
            with sock:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += sock.recv(4096)
                with contextlib.suppress(OSError):
                    for piece in answer:
                        sock.sendall(piece)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        result = shslib.run(shslib.BIN, "ctl", "--socket", "unix:" + path, *(words or ("whoami",)))
        thread.join()
    os.unlink(path)
    return result


def test_bad_answers(pki):
    def whole(body, status=b"200 OK"):
        return [b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body]

    with shslib.temp_dir() as home:
        for answer, word in ((whole(b"<html>"), "admin plane"), (whole(b"", b"500 Oh"), "admin plane"),
                             ([b"SSH-2.0-x\r\n"], ""), ([], "closed"), ([b"HTTP/1.1 200 OK\r\nContent-Le"], ""),
                             ([b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}"], "broke off"),
                             ([b"HTTP/1.1 200 OK\r\n\r\n"] + [b"x" * (1 << 20)] * 65, "longer"),
                             (whole(b"[" * 100000), "admin plane"), (whole(b"{}", b"418 No"), "418"),
                             (whole(b'{"error":"slow\\u001b[2J down"}', b"429 No\r\nRetry-After: 7"), "in 7 s"),
                             (whole(b'{"error":"not done","detail":"disk full"}', b"503 No"), "error: not done: disk full\n"),
                             (whole(b'{"error":"it is so already"}', b"409 No"), "so already"),
                             (whole(b'{"error":"forbidden","need":"admin","have":null}', b"403 No"), "the role admin")):
            code, out, err = answered_by(home, answer)
            equal((code, out, len(err.splitlines())), (1, "", 1), "%r: %s" % (answer[:1], err))
            check(word in err and "\x1b" not in err, "%r: %s" % (answer[:1], err))
        for status in (b"400 No", b"422 No"):
            code, out, err = answered_by(home, whole(b'{"error":"that is none"}', status))
            equal((code, out, err), (2, "", "shs: error: that is none\n"), status)
        for said, typed in (("GET certs GET threads.", "'shs ctl certs' 'shs ctl threads'."), ("a: GET x, WIDGET certs, GET ", None),
                            ("GET " * 300, None)):
            code, out, err = answered_by(home, whole(json.dumps({"error": said}).encode(), b"404 No"))
            equal((code, out, err), (1, "", "shs: error: %s\n" % (typed or said)))
        for status in (b"200 OK", b"500 Oh", b"403 No", b"429 No\r\nRetry-After: 7"):
            code, out, err = answered_by(home, whole(b'{"error":"a\\u001b\\u009bb\\u202ec\\u2066d\\u007fe\\u00e9","n\\u202a":1}', status))
            check("a???b???c???d?e\u00e9" in out + err, repr(out + err))
            check(not set(out + err) & set("\x1b\x7f\x9b\u202a\u202e\u2066"), repr(out + err))
        # JSON, and no answer to that: something else has the socket
        for words, body in ((("whoami",), b"[]"), (("whoami",), b"{}"), (("whoami",), b"7"), (("connections",), b'"x"'),
                            (("connections",), b'{"status":"ok"}'), (("connections",), b"[1]"), (("reload",), b'{"x":[]}'),
                            (("reload",), b"[]"), (("certs", "--json"), b"null"), (("log",), b'{"a":1}')):
            code, out, err = answered_by(home, whole(body), *words)
            equal((code, len(err.splitlines())), (1, 1), "%r: %r" % (words, body))
            check("admin plane" in err, err)
        code, out, err = answered_by(home, whole(b'{"name":"a\\u001b[2J\\u009bb\\nc","n\\u0007":null,"list":[1,"\\u0000 x"]}'))
        check(code == 1 or "\x1b" not in out, out)
        code, out, err = answered_by(home, whole('{"name":"a\\u001b[2J\\u009bb\\nc","é":["ü",1.25,true,{"x":"y"}]}'.encode()))
        equal((code, out, err), (0, "name  a?[2J??b?c\né     ü, 1.2, yes, {\"x\":\"y\"}\n", ""))


class Pki:
    def __init__(self, directory):
        self.ca = tls_pki.CA(directory, "corp")
        self.cert, self.key = self.ca.issue("server")
        self.other_key = self.ca.issue("other")[1]

    def flags(self):
        return ("--cert", self.cert, "--key", self.key, "--client-ca", self.ca.cert)


if __name__ == "__main__":
    adminlib.main(globals(), Pki)
