"""`shs serve --admin`: the checks of the admin plane, each by its number."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time

import adminlib
import shslib
import test_serve_operators as prometheus
import tls_pki
from adminlib import PREFIX, QUICK, SITE, Admin, Pki, Ruled, UnixConnection, ends_in_order, is_cut_off, talk
from shslib import check, equal


# -- 1 ---------------------------------------------------------------------------------------------


def test_01_whoami_at_the_socket(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), SITE, home=home) as server:
        me = server.see("whoami")
        equal(me["identity"]["uid"], os.geteuid())
        equal(me["identity"]["gid"], os.getegid())
        equal((me["via"], me["role"], me["ca"]), ("unix", "admin", None))
        check(me["identity"]["pid"] == os.getpid(), "the process")


def test_01_whoami_by_certificate(pki):
    with shslib.temp_dir() as home, Ruled(pki, home) as server:
        me = server.ask_as("alice", "whoami").json
        equal((me["identity"]["cn"], me["role"], me["ca"], me["via"]), ("alice", "admin", "corp", "tls"))
        me = server.ask_as("mallory", "whoami").json
        equal((me["identity"]["cn"], me["identity"]["o"], me["role"]), ("mallory", "ops/CN=admin", None))
        me = server.see("whoami")
        equal((me["role"], me["via"], me["identity"]["uid"]), ("admin", "unix", os.geteuid()))
        for name in ("two-cn", "two-spiffe", "spiffe-ca"):  # these do not get as far as a 403
            try:
                answer = server.ask_as(name, "whoami")
            except (OSError, http.client.HTTPException):
                continue
            raise shslib.Failure("%s is let in: %r" % (name, answer.body))
        shslib.wait_until(lambda: len(server.see("handshakes?failed=1")) == 3, 10, "all in the ring")
        reasons = {item["subject"]: item["reason"] for item in server.see("handshakes?failed=1")}
        check("twice" in reasons["CN=bob,CN=alice"] and "twice" in reasons["CN=two-spiffe"], reasons)
        check("SPIFFE" in reasons["CN=spiffe-ca"] and "CA" in reasons["CN=spiffe-ca"], reasons)
        shslib.wait_until(lambda: {line["refused"] for line in server.audit() if line.get("event") == "handshake"} ==
                          set(reasons.values()), 10, "the reasons in the audit log")


# -- 2 ---------------------------------------------------------------------------------------------

SPELLINGS = [PREFIX + path for path in (
    "/%2e%2e/v1/reload", "/../v1/reload", "/%2E%2E/%2e/reload", "/./reload", "/%2e/reload", "/reload.", "/reload%2e",
    "/reload/", "/reload//", "//reload", "/%2freload", "/reload%2f", "/reload%00", "/RELOAD", "/reload;a=b",
    "/reload%20", "/reload%3f", "/reload%23", "/re%6coad%", "/reload%zz", "/x/../reload", "/x/%2e%2e/reload",
    "/whoami/../reload", "/whoami%2f..%2freload", "/whoami/..;/reload", "/.%2e/reload", "/%c0%ae%c0%ae/reload",
    "/%e0%80%ae/reload", "/%252e%252e/reload", "/%25%32%65/reload", "/reload\\", "/\\..\\reload", "/..%5creload",
    "/reload%0d%0a", "/reload%09", "/reload:80", "/reload@x", "/*", "/**", "/{id}", "/drain/../reload",
    "/connections/..", "/connections/%2e%2e/reload", "/connections//1", "/connections/1/../2", "/connections/")] + [
        "/admin//v1/reload", "//admin/v1/reload", "/admin/./v1/reload", "/admin/v1", "/admin/v1/", "/Admin/v1/reload",
        "/admin%2fv1/reload", "/admin/v2/reload"]


def test_02_reads_change_nothing(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), "--admin-rate", "100000", SITE, home=home) as server:
        before = server.ask("config").headers["ETag"]
        routes = server.see("routes")
        check(len(routes) >= 10, "routes: %r" % routes)
        changing = {}
        for route in routes:
            changing.setdefault(route["path"], {})[route["method"]] = route["changes"]
        for path, methods in changing.items():
            real = path.replace("{id}", "1")
            if "GET" not in methods:
                answer = server.ask(real)
                equal(answer.status, 405, "GET " + path)
                equal(set(answer.headers["Allow"].split(", ")) - {"OPTIONS"}, set(methods), "Allow of " + path)
            check(not methods.get("GET"), "GET %s changes something" % path)
        for path in SPELLINGS:
            for method in ("GET", "POST"):
                answer = server.ask(path, method)
                check(answer.status in (400, 404, 405), "%s %s: %d %r" % (method, path, answer.status, answer.body))
        equal(server.ask("config").headers["ETag"], before, "the state after all of them")
        equal([line["status"] for line in server.audit() if line.get("method", "GET") != "GET" and line["status"] < 400], [])


def test_02_roles(pki):
    with shslib.temp_dir() as home, Ruled(pki, home) as server:
        before = server.ask("config").headers["ETag"]
        routes = server.see("routes")
        known = {}
        for route in routes:
            known.setdefault(route["path"], set()).add(route["method"])
        for path, methods in known.items():
            real = path.replace("{id}", "999999999")
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"):
                answer = server.ask_as("bob", real, method)
                if method in ("GET", "HEAD"):
                    equal(answer.status, 200 if "GET" in methods else 405, "%s %s as bob" % (method, real))
                else:
                    equal(answer.status, 403, "%s %s as bob" % (method, real))
                    equal((answer.json["error"], answer.json["have"]), ("forbidden", "viewer"))
                answer = server.ask_as("mallory", real, method)
                wanted = 200 if path.endswith("/whoami") and method in ("GET", "HEAD") else 403
                equal(answer.status, wanted, "%s %s as mallory" % (method, real))
        answer = server.ask_as("bob", "reload", "POST")
        equal(answer.json, {"error": "forbidden", "need": "operator", "have": "viewer"})
        equal(server.ask_as("carol", "deny", "POST", {"uid": 1}).json["need"], "admin")
        for path in SPELLINGS:
            for name in ("bob", "mallory"):
                answer = server.ask_as(name, path, "POST")
                check(answer.status in (400, 403), "POST %s as %s: %d" % (path, name, answer.status))
        equal(server.ask("config").headers["ETag"], before, "the state after all of them")
        equal(server.ask_as("carol", "reload", "POST").status, 200)


# -- 3 ---------------------------------------------------------------------------------------------


def refused(*arguments):
    code, out, err = shslib.run(shslib.BIN, "serve", "--port", "0", "--plain", *arguments, SITE)
    equal(code, 2, out + err)
    equal(len(err.splitlines()), 1, err)
    return err


def test_03_unsafe_places_are_refused(pki):
    err = refused("--admin", "tcp:0.0.0.0:0")
    check("--admin" in err and "--admin-client-ca" in err, err)
    for place in ("tls:0.0.0.0:0", "tls:127.0.0.1:0", "tls:0"):
        err = refused("--admin", place)
        check("--admin-client-ca" in err, err)
    check("unix:PATH" in refused("--admin", "/run/x.sock"), "a place without a kind")
    check("--admin" in refused("--admin", "unix:/tmp/a", "--admin", "unix:/tmp/b"), "two sockets")
    check("--threading" in refused("--admin", "unix:/tmp/a", "--threading", "fork"), "with fork")
    check("admin" in refused("--admin-client-ca", pki.ca.cert), "without --admin")


def as_nobody(path, *arguments):
    """curl as another user, whom the file's mode lets in."""
    os.chmod(path, 0o666)
    os.chmod(os.path.dirname(path), 0o755)
    code, out, err = shslib.run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "curl", "-sS",
                                "-m", "20", "-w", "\n%{http_code}", "--unix-socket", path, *arguments)
    equal(code, 0, err)
    body, _, status = out.rpartition("\n")
    return int(status), json.loads(body)


def test_03_socket(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), SITE, home=home) as server:
        mode = os.stat(server.socket).st_mode
        equal(stat.filemode(mode), "srw-rw----")
        if os.geteuid() == 0 and shutil.which("setpriv") and shutil.which("curl"):
            status, body = as_nobody(server.socket, "http://admin/admin/v1/connections")
            equal((status, body["error"], body["have"]), (403, "forbidden", None))
            status, body = as_nobody(server.socket, "http://admin/admin/v1/reload", "-X", "POST")
            equal((status, body["error"]), (403, "forbidden"))
            status, body = as_nobody(server.socket, "http://admin/admin/v1/whoami")
            equal((status, body["role"], body["identity"]["uid"]), (200, None, 65534))


def test_03_check_reads_what_a_start_would(pki):
    with shslib.temp_dir() as home:

        def at(name):
            return os.path.join(home, name)

        def look(*arguments):
            return shslib.run(shslib.BIN, "serve", "--port", "0", "--check", *pki.flags(), *arguments, SITE)

        here = ("--admin", "unix:" + at("s"))
        there = ("--admin", "tls:0.0.0.0:0", "--admin-client-ca", pki.ca.cert)
        rules = shslib.write_file(at("rules"), "role viewer GET /**\nmap uid 0 nobody\n")
        shslib.write_file(at("open.txt"), "")
        os.chmod(at("open.txt"), 0o644)
        for arguments, why in (
                (here + ("--admin-rules", rules), "rules:2: there is no role 'nobody'"),
                (here + ("--admin-rules", at("none")), "cannot be opened"),
                (here + ("--admin-group", "no-such-group"), "there is no group 'no-such-group'"),
                (here + ("--admin-audit", at("none/audit")), "cannot open the audit file"),
                (here + ("--admin-audit", home), "cannot open the audit file"),
                (here + ("--admin-deny", home), "is not a file"),
                (here + ("--admin-keylog", at("none/keys")), "cannot open the key log"),
                (here + ("--admin-keylog", at("open.txt")), "chmod 600"),
                (("--admin", "unix:" + at("x" * 120)), "more than 107 bytes"),
                (there + ("--admin-rules", rules), "rules:2: there is no role 'nobody'"),
                (there + ("--admin-cert", at("none")), "Cannot open the certificate file"),
                (there + ("--admin-cert", pki.cert, "--admin-key", pki.clients["bob"][1]), "does not belong"),
                (there + ("--admin-crl", at("none")), "Cannot open the CRL"),
                (there[:2] + ("--admin-client-ca", at("none")), "Cannot open the client CA")):
            code, out, err = look(*arguments)
            check(code != 0 and why in err, "%r: %d %s%s" % (arguments, code, out, err))
        # what is in order is, and nothing is made
        before = sorted(os.listdir(home))
        code, out, err = look(*here, "--admin-audit", at("audit"), "--admin-keylog", at("keys"), "--admin-deny", at("deny"))
        equal((code, out, err), (0, "This can be served: 1 listener\n", ""))
        equal(sorted(os.listdir(home)), before)
        code, out, err = look(*there)
        equal((code, out), (0, "This can be served: 1 listener\n"))
        check("no --admin-rules" in err, err)


def test_03_a_socket_that_is_gone(pki):
    with shslib.temp_dir() as home, Admin("--plain", "--admin", "tcp:0", SITE, home=home) as server:
        os.rename(server.socket, server.socket + ".moved")
        server.wait_stderr(r"admin\.sock was removed: nobody can connect to this server there any more, until it is started again")
        os.rename(server.socket + ".moved", server.socket)
        equal(server.ask("whoami").status, 200)
        server.wait_stderr(r"admin\.sock is there again")
        os.unlink(server.socket)
        with Admin("--plain", SITE, home=home) as other:
            equal(other.socket, server.socket)
            server.wait_stderr(r"admin\.sock was (removed|replaced by another file)(?s:.*)admin\.sock was ")
            equal(len(re.findall("nobody can connect", server.stderr)), 2, "each loss is said once")
            server.stop()
            equal(other.ask("whoami").status, 200, "the other one's socket is left alone")
            equal(re.findall("nobody can connect", other.stderr), [])


def test_03_a_socket_that_may_not_be_looked_at(pki):
    """By the user that --user names: nothing is known of it, and nothing is said."""
    if os.geteuid() != 0:
        print("       left out: only root can become another user")
        return
    with shslib.temp_dir() as home, shslib.temp_dir() as site:
        os.chmod(site, 0o755)
        process = shslib.Process([shslib.BIN, "serve", "--plain", "--log", "none", "--user", "nobody", "--bind",
                                  "unix:" + os.path.join(home, "s"), site])
        with process:
            process.wait_stdout("Serving")
            time.sleep(2.5)  # it looks once a second
            process.signal(signal.SIGTERM)
            process.wait(10)
            equal(re.findall("removed|replaced", process.stderr), [])


def test_03_not_for_web_pages(pki):
    with shslib.temp_dir() as home, Admin("--plain", "--admin", "tcp:0", SITE, home=home) as server:
        port = server.admin_tcp()

        def get(headers, path=PREFIX + "/whoami"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * shslib.SLOWNESS)
            with contextlib.closing(connection):
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())

        status, me = get({})
        equal((status, me["via"], me["role"], me["identity"]), (200, "tcp", None, None))
        equal(get({}, PREFIX + "/connections")[0], 403)
        for headers, wanted in (({"Host": "evil.example"}, 403), ({"Host": "evil.example:%d" % port}, 403),
                                ({"Host": ""}, 403), ({"Host": "127.0.0.1.evil.example"}, 403),
                                ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403),
                                ({"Sec-Fetch-Mode": "no-cors"}, 403), ({"Sec-Fetch-Mode": "websocket"}, 403),
                                ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
                                ({"Upgrade": "websocket", "Connection": "upgrade"}, 400),
                                ({"Host": "localhost:%d" % port}, 200), ({"Host": "127.0.0.1"}, 200),
                                ({"Origin": "http://127.0.0.1:%d" % port}, 200),
                                ({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "same-origin"}, 200)):
            equal(get(headers)[0], wanted, repr(headers))


# -- 4 ---------------------------------------------------------------------------------------------


def test_04_a_parameter_that_is_none(pki):
    """What is misspelt is not left out: '?dryrun=1' would be a reload, and '?stat=idle' everybody."""
    with shslib.temp_dir() as home, Admin(SITE, home=home) as server:
        for method, path, name, takes in (
                ("POST", "reload?dryrun=1", "dryrun", "dry_run"), ("POST", "drain?grace=1s&time=2s", "time", "grace timeout"),
                ("POST", "undrain?now=1", "now", "none"), ("GET", "connections?stat=idle", "stat", "older_than"),
                ("HEAD", "threads?x", None, None), ("GET", "whoami?%FF%22=1", "", "none"), ("DELETE", "connections/1?no=1", "no", "now")):
            answer = server.ask(path, method)
            equal(answer.status, 400, path)
            if name is not None:
                check("there is no parameter '" + name in answer.json["error"] and takes in answer.json["error"], answer.body)
        answer = server.ask("drain?grace=1s&grace=2s", "POST")
        equal((answer.status, answer.json["error"]),
              (400, "the parameter 'grace' is given twice; POST /admin/v1/drain takes grace timeout"))
        # so is a value that the parameter cannot have: an empty list, or a cut, is not what was meant
        for method, path, says in (
                ("GET", "connections?state=bogus", "state is one of handshake, waiting, idle, running"),
                ("GET", "connections?state=", "state is one of"), ("GET", "connections?state=Idle", "state is one of"),
                ("GET", "connections?server=bogus", "GET servers has their names"),
                ("GET", "connections?older_than=soon", "older_than is a time"),
                ("GET", "handshakes?failed=no", "failed is 1 or 0"), ("POST", "reload?dry_run=yes", "dry_run is 1 or 0"),
                ("DELETE", "connections/1?now=no", "now is 1 or 0"), ("POST", "deny?force=no", "force is 1 or 0")):
            answer = server.ask(path, method)
            equal(answer.status, 400, path)
            check(says in answer.json["error"], answer.body)
        equal(server.ask("connections?limit=many").status, 400)
        for state in ("handshake", "waiting", "idle", "running"):
            equal(server.see("connections?server=127.0.0.1:%d&state=%s" % (server.port, state)), [])
        for flag in ("", "?failed", "?failed=1", "?failed=true", "?failed=0", "?failed=false"):
            equal(server.see("handshakes" + flag), [])
        check(not any("change" in line for line in server.audit()), "something was changed")
        equal({state["state"] for state in server.see("drain").values()}, {"serving"})


def test_04_refusals_say_why(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), "--admin", "tls:0", "--admin-client-ca", pki.ca.cert, SITE,
                                          home=home) as server:
        port = server.admin_tcp()

        def knock(name):
            sock = socket.create_connection(("127.0.0.1", port), timeout=10 * shslib.SLOWNESS)
            with sock, contextlib.suppress(ssl.SSLEOFError):
                with pki.context(name).wrap_socket(sock, server_hostname="localhost") as tls:
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        tls.sendall(b"GET /admin/v1/whoami HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    return tls.recv(1000)

        knocked = 60
        for _ in range(knocked):
            try:
                got = knock(None)
            except ssl.SSLError as error:
                check("CERTIFICATE_REQUIRED" in str(error), str(error))
            else:
                raise shslib.Failure("let in without a certificate: %r" % got)
        if shutil.which("curl"):  # sixty connections of another client, of which each is told
            done = subprocess.run(["curl", "-sS", "-m", "60", "--tlsv1.3", "--cacert", pki.ca.cert,
                                   "https://localhost:%d/[1-60]" % port], capture_output=True,
                                  timeout=120 * shslib.SLOWNESS)
            equal(len(re.findall(b"certificate required", done.stderr)), 60, done.stderr.decode())
            equal(done.stdout, b"")
            knocked += 60
        # a client may hear of it before it is written down
        shslib.wait_until(lambda: len(server.see("handshakes?failed=1")) == knocked, 10, "all failures in the ring")
        failed = server.see("handshakes?failed=1")
        equal(failed[0]["reason"], "no client certificate")
        equal((failed[0]["cause"], failed[0]["server"]), ("client-cert:none", "admin-tcp"))
        try:
            knock("server-eku")
        except ssl.SSLError:
            pass
        else:
            raise shslib.Failure("let in with a server's certificate")
        shslib.wait_until(lambda: len(server.see("handshakes?failed=1")) == knocked + 1, 10, "one more")
        last = server.see("handshakes?failed=1")[0]
        check("clientAuth" in last["reason"], last["reason"])
        der = ssl.PEM_cert_to_DER_cert(open(os.path.join(pki.directory, "server-eku.leaf")).read())
        equal(last["cert_sha256"], hashlib.sha256(der).hexdigest())
        equal(last["subject"], "CN=server-eku")
        shslib.wait_until(lambda: len([1 for line in server.audit() if line.get("event") == "handshake"]) > knocked, 10,
                          "the audit log")
        refusals = [line for line in server.audit() if line.get("event") == "handshake"]
        equal(len(refusals), knocked + 1, "lines of the audit log")
        check("clientAuth" in refusals[-1]["refused"], refusals[-1])
        # the public port's are there as well, and the ring has an end
        for _ in range(260):
            with contextlib.suppress(OSError):
                with server.client(pki, None) as sock:
                    sock.recv(10)
        shslib.wait_until(lambda: len(server.see("handshakes?failed=1")) == 256, 10, "256 failures in the ring")
        with server.client(pki, "alice") as sock:
            equal(talk(sock)[0], 200)
            shslib.wait_until(lambda: not server.see("handshakes")[0]["failed"], 10, "alice on top")
            newest = server.see("handshakes")[0]
            equal((newest["failed"], newest["subject"], newest["version"]), (False, "CN=alice", "TLSv1.3"))


def test_04_refused_sockets_do_not_stay(pki):
    """Clients that were refused, and neither read it nor go: none stays for long."""
    many = 100 if shslib.SANITIZE else 500
    with shslib.temp_dir() as home, Admin(*pki.flags(), "--max-connections-per-address", "1000", SITE, home=home) as server, \
            contextlib.ExitStack() as stack:
        before = len(server.open_files())
        for _ in range(many):
            sock = socket.create_connection((server.address, server.port), timeout=10 * shslib.SLOWNESS)
            stack.callback(sock.close)
            tls = pki.context(None).wrap_socket(sock, server_hostname="localhost", do_handshake_on_connect=False)
            stack.callback(tls.close)
            with contextlib.suppress(OSError):
                tls.do_handshake()
        shslib.wait_until(lambda: len(server.open_files()) <= before + 20, 10 * shslib.SLOWNESS, "the refused to be gone")


# -- 5 ---------------------------------------------------------------------------------------------


class Probed(Admin):
    """With a listener for probes."""

    def __init__(self, *arguments, **keywords):
        super().__init__("--health", "0", "--drain-grace", "100", *arguments, **keywords)
        self.inside = int(self.wait_stdout(r"(?s)\nServing HTTP on 127\.0\.0\.1 port (\d+)").group(1))

    def probe(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.inside, timeout=10 * shslib.SLOWNESS)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def metrics(self):
        return prometheus.parse(self.probe("/metrics")[1])[0]


def test_05_health_without_a_certificate(pki):
    with shslib.temp_dir() as home, Probed(*pki.flags(), SITE, home=home) as server:
        with shslib.Stopwatch(server) as watch:
            equal(server.probe("/livez"), (200, "ok\n"))
            watch.within(0.1, "/livez")
        equal(server.probe("/readyz?verbose"), (200, "[+]ready ok\n[+]serving ok\n[+]certificates ok\nready\n"))
        equal(server.probe(PREFIX + "/whoami")[0], 404)
        with server.client(pki, "alice") as sock:
            equal(talk(sock)[0], 200)
        shslib.wait_until(lambda: any("http_requests_total" in str(key) for key in server.metrics()), 10, "the first")
        before = {str(key) for key in server.metrics()}
        for name in ("bob", "carol", "dave", "eve", "mallory", *pki.many(100)):
            with server.client(pki, name) as sock:
                equal(talk(sock)[0], 200)
        shslib.wait_until(lambda: sum(value for (name, _), value in server.metrics().items() if name == "shs_http_requests_total")
                          >= 106, 10, "all of them to be counted")
        equal({str(key) for key in server.metrics()}, before, "series")
        check("CN=" not in server.probe("/metrics")[1] and "PRIVATE" not in server.probe("/metrics")[1], "a name, or a key")
        equal(server.ask("drain?timeout=300s&grace=200s", "POST").status, 200)
        equal((server.probe("/readyz")[0], server.probe("/livez")[0]), (503, 200))
        equal(server.ask("undrain", "POST").status, 200)


def test_05_probes_while_all_workers_are_held(pki):
    """Beside a drain, too."""
    with shslib.temp_dir() as home, Probed("--plain", "--threads", "2", "--max-threads", "2", "--handler", "echo", "--stop-timeout",
                                           "500", home=home, expect_exit=None) as server, contextlib.ExitStack() as stack:
        for _ in range(2):
            sock = stack.enter_context(server.connect_plain())
            sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 20000)
        shslib.wait_until(lambda: server.see("status")["pool"]["busy"] == 2, 20, "two that are held")

        def answers(path, status, text):
            took = []
            for _ in range(5):
                with shslib.Stopwatch(server) as watch:
                    equal(server.probe(path), (status, text))
                    took.append(watch.stop() - watch.still())
            check(min(took) < 0.02 * shslib.SLOWNESS, "%s takes %.3f s" % (path, min(took)))

        answers("/livez", 200, "ok\n")
        answers("/readyz", 200, "ok\n")
        equal(server.ask("drain?timeout=300s&grace=200s", "POST").status, 200)
        answers("/livez", 200, "ok\n")
        equal(server.probe("/readyz")[0], 503)
        equal(server.see("status")["pool"]["busy"], 2, "still")
        check("shs_connections{" in server.probe("/metrics")[1], "the page of numbers")
        equal(server.ask("undrain", "POST").status, 200)
        answers("/readyz", 200, "ok\n")


def test_05_counters_are_exact(pki):
    """A load of known numbers, four clients at a time: each of them is there, none is there twice."""
    clients, connections, pages, missing, probes, plain = 4, 6, 9, 2, 5, 3

    def visit(server):
        for _ in range(connections):
            with server.client(pki, "alice") as sock:
                for _ in range(pages):
                    equal(talk(sock)[0], 200)
                for _ in range(missing):
                    equal(talk(sock, "/none")[0], 404)
                sock.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                check(shslib.read_all(sock).startswith(b"HTTP/1.1 200 "), "HEAD")

    with shslib.temp_dir() as home, Probed(*pki.flags(), SITE, home=home) as server:
        threads = [threading.Thread(target=visit, args=(server,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(probes):
            server.connect_plain().close()
        for _ in range(plain):
            with server.connect_plain() as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                shslib.read_all(sock)
        mine, total = (("server", "127.0.0.1:%d" % server.port),), clients * connections
        wanted = {("shs_connections_accepted_total", mine): total + probes + plain,
                  ("shs_tls_handshakes_total", mine): total,
                  ("shs_tls_probes_total", mine): probes,
                  ("shs_tls_failures_total", mine + (("cause", "plain-http"),)): plain,
                  ("shs_connections", mine): 0}
        for method, code, number in (("GET", 200, pages), ("GET", 404, missing), ("HEAD", 200, 1)):
            labels = (("route", ""), ("method", method), ("code", str(code)))
            wanted["shs_http_requests_total", labels] = total * number
        # Who spoke plain HTTP was answered, with 400.
        wanted["shs_http_request_duration_seconds_count", (("route", ""),)] = total * (pages + missing + 1) + plain

        def told():
            found = server.metrics()
            return {key: found.get(key) for key in wanted}

        try:
            shslib.wait_until(lambda: told() == wanted, 20, "the numbers of the load")
        except shslib.Failure:
            equal(told(), wanted)
        found = server.metrics()
        failures = {key[1][1][1]: number for key, number in found.items() if key[0] == "shs_tls_failures_total" and number > 0}
        equal(failures, {"plain-http": plain})
        equal(sum(number for key, number in found.items() if key[0] == "shs_http_requests_total"),
              total * (pages + missing + 1) + plain)


def test_05_promtool(pki):
    if not shutil.which("promtool"):
        # Its package starts a daemon on all addresses, so nobody gets it unasked; test_metrics has a reader of our own.
        print("       promtool is not there (Debian's prometheus)")
        return
    with shslib.temp_dir() as home, Probed(*pki.flags(), SITE, home=home) as server:
        for name in ("alice", "bob", None):
            with contextlib.suppress(OSError), server.client(pki, name) as sock:
                talk(sock)
                talk(sock, "/none")
        for text, wanted in ((server.probe("/metrics")[1], 0), ("# TYPE a counter\na 1\n", 3)):
            done = subprocess.run(["promtool", "check", "metrics"], input=text.encode(), capture_output=True, timeout=60)
            equal(done.returncode, wanted, (done.stdout + done.stderr).decode())


# -- 6 ---------------------------------------------------------------------------------------------


def test_06_certificates_and_their_end(pki):
    soon = pki.ca.issue("soon", end=5 * tls_pki.DAY - 60)
    crl = pki.ca.crl_of(os.path.join(pki.directory, "stale.crl"), since=-100, until=3600, number=3)
    with shslib.temp_dir() as home, Admin("--cert", soon[0], "--key", soon[1], "--client-ca", pki.ca.cert, "--crl", crl,
                                          SITE, home=home) as server:
        everything = server.see("certs")
        equal(sorted(item["kind"] for item in everything), ["certificate", "client-ca", "crl"])
        asked = time.time()
        ends = [item for item in server.see("certs?expires_within=30d") if item["kind"] == "certificate"]
        equal(len(ends), 1)
        check(ends[0]["days_left"] == 4, ends)
        equal(ends[0]["serial"], tls_pki.serial(soon[0]))
        left = ends[0]["seconds_left"]
        check(tls_pki.end_of(soon[0]) - time.time() - 2 <= left <= tls_pki.end_of(soon[0]) - asked + 2, ends)
        equal(ends[0]["file"], soon[0])
        equal(ends[0]["names"], ["localhost"])
        equal(ends[0]["servers"], ["127.0.0.1:%d" % server.port])
        equal([item["kind"] for item in server.see("certs?expires_within=2h")], ["crl"])
        equal(server.ask("certs?expires_within=soon").status, 400)


def test_06_what_is_not_good_yet(pki):
    """A board whose clock is behind: what is not valid yet is refused as well as what is over."""
    with shslib.temp_dir() as home, Admin(*pki.flags(), "--now", "-5d", SITE, home=home) as server:
        told = {item["kind"]: (item["early"], item["stale"]) for item in server.see("certs")}
        equal(told["certificate"], (True, False))
        page = server.ask("status", headers={"Accept": "text/html"}).body.decode()
        check(page.count(">not yet<") == sum(early for early, _ in told.values()), page)
    with shslib.temp_dir() as home, Admin(*pki.flags(), SITE, home=home) as server:
        equal({(item["early"], item["stale"]) for item in server.see("certs")}, {(False, False)})
        check(">not yet<" not in server.ask("status", headers={"Accept": "text/html"}).body.decode(), "now")


def test_06_what_is_over_is_a_warning(pki):
    crl = os.path.join(pki.directory, "over.crl")
    pki.ca.crl_of(crl, since=-100, until=3600, number=4)
    with shslib.temp_dir() as home, Probed(*pki.flags(), "--crl", crl, SITE, home=home) as server:
        end = tls_pki.end_of(pki.cert)
        told = [value for key, value in server.metrics().items() if "shs_tls_certificate_not_after_seconds" in str(key)]
        equal(len(told), 1)
        check(abs(told[0] - end) <= 2, "%r, and it is %r" % (told, end))
        check("[+]certificates ok\n" in server.probe("/readyz?verbose")[1], "before")
        pki.ca.crl_of(crl, since=-100, until=-10, number=5)
        equal(server.ask("reload", "POST").status, 200)
        status, text = server.probe("/readyz?verbose")
        check(status == 200 and text.endswith("\nready\n"), text)
        check(re.search(r"^\[!\]certificates warning: the CRL in over\.crl is over for \d+ s$", text, re.M), text)
        equal(server.probe("/readyz"), (200, "ok\n"))
        stale = [item for item in server.see("certs") if item["kind"] == "crl"]
        equal([(item["stale"], item["seconds_left"] < 0) for item in stale], [(True, True)])
        equal(server.see("certs")[0]["kind"], "crl", "what is over is in front")


# -- 7 ---------------------------------------------------------------------------------------------


def served_serial(server, pki):
    with server.client(pki, "alice") as sock:
        der = sock.getpeercert(True)
    done = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-serial"], input=der, capture_output=True,
                          timeout=30, check=True)
    return done.stdout.decode().strip().split("=")[1].lower()


def test_07_reload_is_a_transaction(pki):
    first, second = pki.ca.issue("first"), pki.ca.issue("second")
    with shslib.temp_dir() as home:
        cert, key = os.path.join(home, "c.pem"), os.path.join(home, "c.key")
        other, other_key = os.path.join(home, "o.pem"), os.path.join(home, "o.key")

        def put(pair, to):
            for source, target in zip(pair, to):
                shutil.copy(source, target + ".new")
                os.replace(target + ".new", target)

        put(first, (cert, key))
        put(first, (other, other_key))
        with Admin("--cert", cert, "--key", key, "--cert", other, "--key", other_key, "--client-ca", pki.ca.cert, SITE,
                   home=home) as server:
            equal(served_serial(server, pki), tls_pki.serial(first[0]))
            with server.client(pki, "bob") as held:
                equal(talk(held)[0], 200)
                put(second, (cert, key))
                equal(server.ask("reload?dry_run=1", "POST").json["done"], "looked")
                equal(served_serial(server, pki), tls_pki.serial(first[0]), "after a look")
                answer = server.ask("reload", "POST")
                equal((answer.status, answer.json["done"]), (200, "reloaded"))
                states = {item["file"]: item["state"] for item in answer.json["servers"][0]["files"]}
                equal((states[cert], states[key], states[other]), ("taken", "taken", "same"))
                equal(talk(held)[0], 200)
                equal(server.audit()[-1]["change"]["after"], answer.json["servers"])
                # one of two is bad: it is 422 and stays, and the other is taken
                third = pki.ca.issue("third")
                put(third, (cert, key))
                shutil.copy(second[1], other_key)
                for dry in ("?dry_run=1", ""):
                    answer = server.ask("reload" + dry, "POST")
                    equal(answer.status, 422)
                    check("does not belong to the certificate" in answer.json["error"], answer.json["error"])
                    states = {item["file"]: item["state"] for item in answer.json["servers"][0]["files"]}
                    equal((states[cert], states[key], states[other]), ("taken", "taken", "kept"))
                    if not dry:
                        equal(server.audit()[-1]["change"]["after"], answer.json["servers"])
                    serials = {item["serial"] for item in server.see("certs") if item["kind"] == "certificate"}
                    equal(serials, {tls_pki.serial(first[0]), tls_pki.serial((second if dry else third)[0])})
                failures = server.see("servers")[0]["tls"]["reload_failures"]
                equal(failures, 1, "failures: a look is none")
                equal(talk(held)[0], 200)


def test_07_many_under_load(pki):
    """No request fails, and nothing is left behind. SHS_RELOADS=1000 is what was promised; 200 are quick."""
    many = int(os.environ.get("SHS_RELOADS", 50 if shslib.SANITIZE else 200))
    pairs = [pki.ca.issue("load-%d" % n) for n in range(2)]
    with shslib.temp_dir() as home:
        cert, key = os.path.join(home, "c.pem"), os.path.join(home, "c.key")
        shutil.copy(pairs[0][0], cert), shutil.copy(pairs[0][1], key)
        with Probed("--cert", cert, "--key", key, "--client-ca", pki.ca.cert, "--admin-rate", "1000000", "--log", "none", "--log-level", "error", SITE, home=home) as server:
            stop, statuses, faults = threading.Event(), [], []

            def ask():
                try:
                    with server.client(pki, "bob") as held:
                        while not stop.is_set():
                            statuses.append(talk(held)[0])
                            with server.client(pki, "alice") as fresh:
                                statuses.append(talk(fresh)[0])
                except Exception as error:  # whatever it is, the test's own thread says it
                    faults.append(repr(error))

            def rss():
                with open("/proc/%d/status" % server.pid) as file:
                    return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))

            def reload(count):
                with contextlib.closing(UnixConnection(server.socket, 30 * shslib.SLOWNESS)) as connection:
                    for n in range(count):
                        if n % 50 == 0:
                            for source, target in zip(pairs[n // 50 % 2], (cert, key)):
                                shutil.copy(source, target)
                        connection.request("POST", PREFIX + "/reload")
                        answer = connection.getresponse()
                        answer.read()
                        equal(answer.status, 200)

            client = threading.Thread(target=ask)
            client.start()
            try:
                reload(many // 10)
                for _ in range(3):  # a thread that is new may take its share once; what is lost grows each time
                    before = rss()
                    reload(many)
                    after = rss()
                    if shslib.SANITIZE or after <= before * 1.05:
                        break
            finally:
                stop.set()
                client.join()
            equal((faults, set(statuses)), ([], {200}))
            if not shslib.SANITIZE:
                check(after <= before * 1.05, "from %d to %d KiB" % (before, after))
            told = [value for (name, _), value in server.metrics().items() if name == "shs_tls_reload_failures_total"]
            equal(told, [0])
            shutil.copy(pairs[1][0], cert), shutil.copy(pairs[0][1], key)
            equal(server.ask("reload", "POST").status, 422)
            told = [value for (name, _), value in server.metrics().items() if name == "shs_tls_reload_failures_total"]
            equal(told, [1])


def test_07_from_a_body(pki):
    first, second, third = (pki.ca.issue("body-%d" % n) for n in range(3))
    with shslib.temp_dir() as home:
        cert, key = os.path.join(home, "c.pem"), os.path.join(home, "c.key")
        shutil.copy(first[0], cert), shutil.copy(first[1], key)
        os.chmod(key, 0o640)
        with Admin("--cert", cert, "--key", key, "--client-ca", pki.ca.cert, SITE, home=home) as server:
            texts = [[open(path).read() for path in pair] for pair in (first, second, third)]
            with server.client(pki, "bob") as held:
                equal(talk(held)[0], 200)
                body = {"certificate": texts[1][0], "key": texts[1][1]}
                equal(server.ask("reload?dry_run=1", "POST", body).json["done"], "looked")
                equal(open(cert).read(), texts[0][0], "the file after a look")
                answer = server.ask("reload", "POST", body)
                equal((answer.status, answer.json.get("done")), (200, "reloaded"))
                equal(served_serial(server, pki), tls_pki.serial(second[0]))
                equal((tls_pki.serial(cert), stat.S_IMODE(os.stat(key).st_mode)), (tls_pki.serial(second[0]), 0o640))
                # what cannot be used changes nothing: neither what is served, nor the files
                before = [open(path).read() for path in (cert, key)]
                for bad, status in (({"certificate": texts[2][0], "key": texts[1][1]}, 422), ({"certificate": texts[2][0]}, 422),
                                    ({"certificate": "x", "key": "y"}, 422), ({**body, "file": "/no/such"}, 422),
                                    ({**body, "more": 1}, 422), ([], 422)):
                    equal(server.ask("reload", "POST", bad).status, status, repr(bad)[:60])
                check("does not belong" in server.ask("reload", "POST", {"certificate": texts[2][0], "key": texts[1][1]}).json["error"],
                      "why")
                late = pki.ca.issue("late", start=-20 * tls_pki.DAY, end=-tls_pki.DAY)
                answer = server.ask("reload", "POST", {"certificate": open(late[0]).read(), "key": open(late[1]).read()})
                check(answer.status == 422 and "expired" in answer.json["error"], answer.json)
                # said in the words of who sent it; what no client would accept; what makes handshakes large
                answer = server.ask("reload", "POST", {"certificate": "x", "key": "y"})
                check("opt." not in answer.json["error"] and "'certificate'" in answer.json["error"], answer.json)
                client = [open(path).read() for path in pki.ca.issue("client-only", usage="clientAuth")]
                answer = server.ask("reload", "POST", {"certificate": client[0], "key": client[1]})
                check(answer.status == 422 and "extended key usage" in answer.json["error"], answer.json)
                for chain, why in ((texts[1][0] + texts[1][0], "twice"), (texts[1][0] * 1200, "twice"),
                                   (texts[1][0] + "".join(open(pki.ca.issue("n%d" % n)[0]).read() for n in range(10)), "more than 10")):
                    answer = server.ask("reload", "POST", {"certificate": chain, "key": texts[1][1]})
                    check(answer.status in (413, 422) and why in answer.json["error"], (why, answer.json))
                equal([open(path).read() for path in (cert, key)], before, "the files")
                equal(served_serial(server, pki), tls_pki.serial(second[0]))
                equal(server.ask("reload", "POST", {"certificate": texts[2][0], "key": texts[2][1], "file": cert}).status, 200)
                equal(served_serial(server, pki), tls_pki.serial(third[0]))
                equal(talk(held)[0], 200)
            equal(sorted(name for name in os.listdir(home) if name.startswith("c.")), ["c.key", "c.pem"])
            with open(server.audit_file) as file:
                check("PRIVATE" not in file.read(), "a key in the audit log")


def test_07_a_signal_does_the_same(pki):
    first, second = pki.ca.issue("hup-1"), pki.ca.issue("hup-2")
    with shslib.temp_dir() as home:
        cert, key = os.path.join(home, "c.pem"), os.path.join(home, "c.key")
        other, other_key = os.path.join(home, "o.pem"), os.path.join(home, "o.key")
        access = shslib.write_file(os.path.join(home, "access"), "role all GET /**\nmap user bob all\n")
        for pair in ((cert, key), (other, other_key)):
            shutil.copy(first[0], pair[0]), shutil.copy(first[1], pair[1])
        with Admin("--cert", cert, "--key", key, "--cert", other, "--key", other_key, "--client-ca", pki.ca.cert, "--access",
                   access, SITE, home=home) as server:

            def hup(regex):
                before = len(re.findall(r"Reload by SIGHUP", server.stderr))
                server.signal(signal.SIGHUP)
                shslib.wait_until(lambda: len(re.findall("Reload by SIGHUP", server.stderr)) > before, 10, "the log")
                line = re.findall(r"Reload by SIGHUP.*", server.stderr)[-1]
                check(re.search(regex, line), line)
                return [item for item in server.audit() if item.get("event") == "reload"][-1]

            shutil.copy(second[0], cert), shutil.copy(second[1], key)
            last = hup(r"done, and 2 files said something new")
            equal((last["name"], last["status"], last["refused"]), ("SIGHUP", 200, None))
            posted = server.ask("reload", "POST").json["servers"]
            equal([item["file"] for item in last["change"]["after"][0]["files"]], [item["file"] for item in posted[0]["files"]])
            equal(served_serial(server, pki), tls_pki.serial(second[0]))
            # one of two is bad: it stays, the other is taken, and it says so as POST does
            shutil.copy(first[0], cert), shutil.copy(first[1], key), shutil.copy(second[1], other_key)
            last = hup(r"not all can be used, because of .*: .*does not belong.*2 files said something new")
            equal((last["status"], last["refused"]), (422, server.ask("reload", "POST").json["error"]))
            equal(served_serial(server, pki), tls_pki.serial(first[0]))
            # the rules of its files are a part of it
            shutil.copy(first[1], other_key)
            shslib.write_file(access, "role all GET /**\nmap user bob nobody\n")
            equal(hup(r"not all can be used, because of the program: .*nobody")["status"], 422)
            answer = server.ask("reload", "POST")
            equal(answer.status, 422)
            ours = [part["files"] for part in answer.json["servers"] if part["server"] == "the program"]
            equal([(file["file"], file["state"]) for file in ours[0]], [(access, "kept")])
            check("nobody" in ours[0][0]["why"], ours)
            shslib.write_file(access, "role all GET /**\nmap user eve all\n")
            last = hup(r"done, and 1 file said something new")
            equal(last["status"], 200)
            # each file that was read is named
            for told, state in ((last["change"]["after"], "taken"), (server.ask("reload", "POST").json["servers"], "same"),
                                (server.ask("reload?dry_run=1", "POST").json["servers"], "same")):
                equal([(part["server"], file["file"], file["state"], file["why"]) for part in told for file in part["files"]
                       if part["server"] == "the program"], [("the program", access, state, None)])
                equal({file["file"] for part in told for file in part["files"]} >= {cert, key, other, other_key, access}, True)


def test_07_rules_are_part_of_it(pki):
    with shslib.temp_dir() as home, Ruled(pki, home) as server:
        equal(server.ask_as("bob", "reload", "POST").status, 403)
        good = open(server.rules).read()
        shslib.write_file(server.rules, good.replace('map cn "bob" ca corp    viewer', "map cn bob ca nobody viewer"))
        answer = server.ask("reload", "POST")
        equal((answer.status, answer.json["server"]), (422, "the rules"))
        check("nobody" in answer.json["error"], answer.json)
        equal(server.ask_as("bob", "connections").status, 200, "bob by the old rules")
        shslib.write_file(server.rules, good.replace('map cn "bob" ca corp    viewer', 'map cn "bob" ca corp operator'))
        equal(server.ask("reload?dry_run=1", "POST").status, 200)
        equal(server.ask_as("bob", "reload", "POST").status, 403, "after a look")
        equal(server.ask("reload", "POST").status, 200)
        equal(server.ask_as("bob", "reload", "POST").status, 200)


def test_07_rules_that_say_nothing_new(pki):
    with shslib.temp_dir() as home:
        ca = shutil.copy(pki.ca.cert, os.path.join(home, "corp.pem"))
        rules = shslib.write_file(os.path.join(home, "rules"), 'ca corp file "%s"\nrole admin * /admin/v1/**\n'
                                  'map uid %d admin\nmap cn "alice" ca corp admin\n' % (ca, os.geteuid()))
        with Admin(*pki.flags(), "--admin-rules", rules, SITE, home=home) as server:

            def reload():
                answer = server.ask("reload", "POST")
                equal(answer.status, 200)
                return [file["state"] for part in answer.json["servers"] for file in part["files"]
                        if part["server"] == "the rules"]

            equal(reload(), ["same"])
            server.wait_stderr(r"Reload by uid=\d+: done, and 0 files said something new")
            shslib.write_file(rules, open(rules).read().replace("alice", "bob"))
            equal(reload(), ["taken"])
            server.wait_stderr(r"Reload by uid=\d+: done, and 1 file said something new")
            equal(reload(), ["same"])
            # a CA that they name is a part of them
            shutil.copy(tls_pki.CA(home, "other").cert, ca)
            equal(reload(), ["taken"])
            equal(reload(), ["same"])


# -- 8 ---------------------------------------------------------------------------------------------


def refusal_of(server, pki, name, ticket=None):
    """What the handshake of that client comes to: the alert's name; None: it is let in."""
    try:
        with server.client(pki, name, ticket) as sock:
            talk(sock)
    except ssl.SSLError as error:
        return str(error)
    except (shslib.Failure, OSError):
        return "closed"
    return None


def test_08_revoke_now(pki):
    with shslib.temp_dir() as home:
        deny = os.path.join(home, "deny")
        arguments = (*pki.flags(), "--admin-deny", deny, SITE)
        with Admin(*arguments, home=home) as server:
            with contextlib.ExitStack() as stack:
                held = {name: stack.enter_context(server.client(pki, name))
                        for name in ("alice", "bob", "carol", "dave", "eve")}
                for sock in held.values():
                    equal(talk(sock)[0], 200)
                ticket = held["bob"].session
                answer = server.ask("deny", "POST", {"spki": "sha256:" + base64.b64encode(pki.spki("bob")).decode()})
                equal((answer.status, answer.json["new"]), (200, True))
                held["bob"].settimeout(10 * shslib.SLOWNESS)
                with shslib.Stopwatch(server) as watch:
                    check(is_cut_off(held["bob"]), "bob is still there")
                    watch.within(1, "bob's end")
                check("REVOKED" in (refusal_of(server, pki, "bob") or ""), refusal_of(server, pki, "bob"))
                check(refusal_of(server, pki, "bob", ticket), "bob resumes")
                equal(talk(held["alice"])[0], 200)
                # by the beginning of a SPIFFE ID: whole parts of it
                equal(server.ask("deny", "POST", {"spiffe": "spiffe://corp.test/ns/ops"}).status, 200)
                check(is_cut_off(held["dave"]), "dave is still there")
                check("REVOKED" in (refusal_of(server, pki, "dave") or ""), "dave")
                equal(talk(held["eve"])[0], 200)
                # by number and issuer
                serial = tls_pki.serial(os.path.join(pki.directory, "carol.leaf"))
                equal(server.ask("deny", "POST", {"serial": "0x" + serial, "issuer": "CN=corp"}).status, 200)
                check(is_cut_off(held["carol"]), "carol is still there")
                equal(server.ask("deny", "POST", {"serial": "0x" + serial, "issuer": "CN=corp"}).json["new"], False)
                equal(talk(held["alice"])[0], 200)
                equal(refusal_of(server, pki, "alice"), None)
            for bad in ({}, {"spki": "ab"}, {"cn": "bob"}, {"uid": -1}, {"uid": "0"}, {"spiffe": "corp"}, {"spiffe": "spiffe://"},
                        {"spiffe": "spiffe:///x"},
                        {"serial": "1"}, {"spki": "0" * 64, "uid": 3}, {"serial": "1\nspki", "issuer": "x"}, [],
                        # of a number that is cut, or a word too many, another client would be kept out
                        {"serial": "1" * 65, "issuer": "CN=corp"}, {"serial": "0x" + "1" * 65, "issuer": "CN=corp"},
                        {"serial": "1f CN=corp", "issuer": "CN=corp"}):
                equal(server.ask("deny", "POST", bad).status, 422, repr(bad))
            equal(server.ask("deny", "POST", "{", {"Content-Type": "application/json"}).status, 400)
            listed = server.see("deny")["denied"]
            equal(len(listed), 3)
        with Admin(*arguments, home=home) as server:  # it is there at the next start
            equal(server.see("deny")["denied"], listed)
            for name in ("bob", "carol", "dave"):
                check("REVOKED" in (refusal_of(server, pki, name) or ""), name)
            equal(refusal_of(server, pki, "alice"), None)


def test_08_deny_oneself(pki):
    with shslib.temp_dir() as home, Ruled(pki, home) as server:
        serial = tls_pki.serial(os.path.join(pki.directory, "alice.leaf"))
        mine = ({"spki": pki.spki("alice").hex()}, {"serial": "000" + serial.upper(), "issuer": "CN=corp"})
        for body in mine:  # it would be cut off before it is answered
            answer = server.ask_as("alice", "deny", "POST", body)
            check(answer.status == 409 and "force" in answer.json["error"], answer.json)
        equal(server.ask("deny", "POST", {"uid": os.geteuid()}).status, 409)
        equal(server.see("deny")["denied"], [])
        equal(server.ask_as("alice", "deny", "POST", {"spki": pki.spki("bob").hex()}).status, 200)
        answer = server.ask_as("alice", "deny?force=1", "POST", mine[0])  # it is meant, and answered
        equal((answer.status, answer.json["new"], answer.json["servers"]), (200, True, 2))
        equal([item["entry"] for item in server.see("deny")["denied"]][1:], ["spki " + mine[0]["spki"]])
        check("REVOKED" in (refusal_of(server, pki, "alice") or ""), "alice")
        # one's own connection: by its user, and by its number, cut or not
        for path in ("connections/%d", "connections/%d?now=1"):
            with contextlib.closing(UnixConnection(server.socket, 10 * shslib.SLOWNESS)) as own:
                own.request("GET", PREFIX + "/connections?server=admin")
                # Another may not be gone yet; but only this one is at that request.
                me, = [row["id"] for row in json.loads(own.getresponse().read())
                       if row["request"] and "GET" in row["request"]["line"]]
                own.request("DELETE", PREFIX + "/" + path % me)
                answer = own.getresponse()
                equal((answer.status, json.loads(answer.read())["done"]), (200, "ending"))
                equal(own.sock.recv(1) if own.sock else b"", b"")
        with contextlib.closing(UnixConnection(server.socket, 10 * shslib.SLOWNESS)) as own:
            own.request("POST", PREFIX + "/deny?force=1", json.dumps({"uid": os.geteuid()}), {"Content-Type": "application/json"})
            answer = own.getresponse()
            equal((answer.status, json.loads(answer.read())["denied"]), (200, "uid %d" % os.geteuid()))
        # it is answered first, and its line ended then
        shslib.wait_until(lambda: open(server.audit_file, "rb").read().endswith(b"}\n"), 10, "the end of its line")
        equal(server.audit()[-1]["status"], 200)


def test_08_a_file_of_another_editor(pki):
    with shslib.temp_dir() as home:
        deny = shslib.write_file(os.path.join(home, "deny"), "# kept out\r\n\r\nspki %s\r\nspiffe spiffe://corp.test/ns/ops \r\nuid 4000000\r\n"
                                 % pki.spki("bob").hex())
        with Admin(*pki.flags(), "--admin-deny", deny, SITE, home=home) as server:
            equal([item["entry"] for item in server.see("deny")["denied"]],
                  ["spki " + pki.spki("bob").hex(), "spiffe spiffe://corp.test/ns/ops", "uid 4000000"])
            for name in ("bob", "dave"):
                check("REVOKED" in (refusal_of(server, pki, name) or ""), name)


def test_08_a_list_that_is_none_or_lost(pki):
    """A pipe does not hold up the start, and who is denied again is kept again."""
    with shslib.temp_dir() as home:
        deny = os.path.join(home, "deny")
        os.mkfifo(deny)
        check("%s is not a file" % deny in refused("--admin", "unix:" + home + "/a", "--admin-deny", deny), "a pipe")
        os.unlink(deny)
        with Admin("--admin-deny", deny, SITE, home=home) as server:
            equal(server.ask("deny", "POST", {"uid": 4000000}).json["kept"], True)
            os.unlink(deny)
            again = server.ask("deny", "POST", {"uid": 4000000}).json
            equal((again["new"], again["kept"]), (False, True))
            equal(open(deny).read(), "uid 4000000\n")
            os.mkdir(deny + ".new")
            answer = server.ask("deny", "POST", {"uid": 4000000})
            equal(answer.status, 500)
            check("Is a directory" in answer.json["error"], answer.body)
            equal(len(server.see("deny")["denied"]), 1)  # it counts still


def test_08_let_in_again(pki):
    with shslib.temp_dir() as home:
        deny = os.path.join(home, "deny")
        with Admin(*pki.flags(), "--admin-deny", deny, SITE, home=home) as server:
            spki = pki.spki("bob").hex()
            given = [server.ask("deny", "POST", body).json for body in (
                {"spki": spki}, {"spiffe": "spiffe://corp.test/ns/ops"}, {"spki": pki.spki("carol").hex()}, {"uid": 4000000})]
            listed = server.see("deny")["denied"]
            equal([item["id"] for item in listed], [item["id"] for item in given])
            equal([item["entry"] for item in listed], [item["denied"] for item in given])
            for name in ("bob", "dave", "carol"):
                check("REVOKED" in (refusal_of(server, pki, name) or ""), name)
            for path in ("deny/", "deny/0123456789abcdef", "deny/" + listed[0]["id"][:8], "deny/spki"):
                equal(server.ask(path, "DELETE").status, 404, path)
            equal(server.ask("deny/" + listed[0]["id"]).status, 405)
            answer = server.ask("deny/" + listed[0]["id"], "DELETE")
            equal((answer.status, answer.json["let_in"]), (200, "spki " + spki))
            equal(server.audit()[-1]["change"], {"before": "spki " + spki, "after": None})
            equal(server.ask("deny/" + listed[0]["id"], "DELETE").status, 404)
            equal(refusal_of(server, pki, "bob"), None)
            check("REVOKED" in (refusal_of(server, pki, "carol") or ""), "carol")
            equal(server.ask("deny/" + listed[1]["id"], "DELETE").status, 200)
            equal(refusal_of(server, pki, "dave"), None)
            equal([item["entry"] for item in server.see("deny")["denied"]], [given[2]["denied"], "uid 4000000"])
            equal(open(deny).read(), given[2]["denied"] + "\nuid 4000000\n")
            # where the list cannot be kept, nothing is changed
            os.mkdir(deny + ".new")
            equal(server.ask("deny/" + given[2]["id"], "DELETE").status, 500)
            check("REVOKED" in (refusal_of(server, pki, "carol") or ""), "carol, after what failed")
            equal(len(server.see("deny")["denied"]), 2)


def test_08_deny_a_user(pki):
    if os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("curl"):
        print("       not root: no other user to deny")
        return
    with shslib.temp_dir() as home, Admin(*pki.flags(), SITE, home=home) as server:
        equal(as_nobody(server.socket, "http://admin/admin/v1/whoami")[0], 200)
        equal(server.ask("deny", "POST", {"uid": 65534}).status, 200)
        code, out, err = shslib.run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "curl", "-sS",
                                    "-m", "20", "--unix-socket", server.socket, "http://admin/admin/v1/whoami")
        check(code in (7, 52, 56), "curl ended with %d: %s%s" % (code, out, err))
        equal(server.ask("whoami").status, 200)


# -- 9 ---------------------------------------------------------------------------------------------


def test_09_who_is_connected(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), SITE, home=home) as server:
        with contextlib.ExitStack() as stack:
            held = {name: stack.enter_context(server.client(pki, name)) for name in ("alice", "bob", "carol")}
            for sock in held.values():
                equal(talk(sock)[0], 200)
            # A client has its answer before the server has counted it.
            shslib.wait_until(lambda: [row["requests"] for row in server.see("connections")] == [1, 1, 1], 10, "3 rows")
            rows = server.see("connections")
            equal(len(rows), 3)
            equal(sorted(row["identity"]["cn"] for row in rows), ["alice", "bob", "carol"])
            for row in rows:
                equal((row["peer"], row["tls"]["version"], row["tls"]["sni"], row["tls"]["alpn"]),
                      ("127.0.0.1", "TLSv1.3", "localhost", None))
                equal((row["requests"], row["tls"]["resumed"], row["request"]), (1, False, None))
                check(row["tls"]["cipher"].startswith("TLS_") and row["age_s"] >= 0 and row["id"] > 0, row)
                check(row["bytes_in"] > 100 and row["bytes_out"] > 100, row)
            shslib.wait_until(lambda: {row["state"] for row in server.see("connections")} == {"idle"}, 10, "idle")
            check(all(0 < row["deadline_in_s"] <= 30 for row in server.see("connections")), "deadlines")
            equal(server.see("connections?older_than=60s"), [])
            bob = server.see("connections?identity=bob")
            equal([row["identity"]["cn"] for row in bob], ["bob"])
            equal(len(server.see("connections?limit=2")), 2)
            equal(server.ask("connections?server=other").status, 400)
            equal({row["identity"]["uid"] for row in server.see("connections?server=admin")}, {os.geteuid()})
            answer = server.ask("connections/%d" % bob[0]["id"], "DELETE")
            equal((answer.status, answer.json["connection"]["identity"]["cn"]), (200, "bob"))
            check(ends_in_order(held["bob"]), "no goodbye")
            shslib.wait_until(lambda: len(server.see("connections")) == 2, 10, "bob's connection to be gone")
            equal(server.ask("connections/%d" % bob[0]["id"], "DELETE").status, 404)
            for name in ("alice", "carol"):
                equal(talk(held[name])[0], 200)
            deleted = [line for line in server.audit() if line["method"] == "DELETE" and line["status"] == 200]
            equal([line["change"]["before"]["identity"]["cn"] for line in deleted], ["bob"])


def test_09_many(pki):
    """As many as there may be descriptors for; the workers are not stopped meanwhile."""
    many = 2000 if shslib.SANITIZE else 10000
    soft, hard = (int(word) if word != "unlimited" else 1 << 20 for word in
                  shslib.run("prlimit", "--nofile", "-o", "SOFT,HARD", "--noheadings", "--pid",
                             str(os.getpid()))[1].split())
    subprocess.run(["prlimit", "--nofile=%d:%d" % (min(hard, many + 500), hard), "--pid", str(os.getpid())], timeout=30)
    many = min(many, min(hard, max(soft, many + 500)) - 500)
    with shslib.temp_dir() as home, Admin("--plain", "--max-connections", str(many + 100), "--max-connections-per-address",
                                          str(many + 100), "--backlog", "4096", SITE, home=home) as server:
        socks = []
        try:
            for _ in range(many):
                socks.append(server.connect_plain())
            shslib.wait_until(lambda: server.see("servers")[0]["connections"] == many, 30, "all of them")
            took = []
            for _ in range(5):
                with shslib.Stopwatch(server) as watch:
                    rows = server.ask("connections")
                    took.append(watch.stop() - watch.still())
                equal(len(rows.json), many)
            # the workers are not stopped by it: they answer while lists are made
            stop, asked = threading.Event(), []

            def list_on():
                while not stop.is_set():
                    asked.append(server.ask("connections", seconds=60).status)

            lister = threading.Thread(target=list_on)
            lister.start()
            took_there = []
            try:
                with server.connect_plain() as sock:
                    while len(asked) < 3:
                        with shslib.Stopwatch(server) as watch:
                            equal(talk(sock)[0], 200)
                            took_there.append(watch.stop() - watch.still())
            finally:
                stop.set()
                lister.join()
            equal(set(asked), {200})
            check(sorted(took_there)[len(took_there) // 2] < QUICK * shslib.SLOWNESS, "answers beside the lists: %r" % took_there)
            print("       %d connections in %.0f ms" % (many, 1000 * min(took)))
            check(min(took) < QUICK * shslib.SLOWNESS * (5 if os.environ.get("SHS_SANITIZE") is None else 1),
                  "a list of %d takes %.3f s" % (many, min(took)))
        finally:
            for sock in socks:
                sock.close()


def test_09_each_listener_has_its_name(pki):
    """Also several at port 0; in the admin plane, on the page of numbers and in what a reload says."""
    with shslib.temp_dir() as home:
        deep = os.path.join(home, "a-long-name-" * 4 + "s")  # longer than 63 bytes
        try:
            with socket.socket(socket.AF_INET6) as sock:
                sock.bind(("::1", 0))
            six = "- bind: '[::1]:0'\n"
        except OSError:
            six = ""
        config = shslib.write_file(os.path.join(home, "c.yaml"), "plain: true\nlisteners:\n%s- bind: unix:%s\n%s%s" % (
            "- bind: 127.0.0.1:0\n", deep, six, "- bind: 127.0.0.1:0\n" * 2))
        with Admin("--config", config, "--health", "0", "--drain-grace", "100", SITE, home=home, as_it_is=True) as server:
            said = re.findall(r"^Serving HTTP on (\S+)(?: port (\d+))? ", server.wait_stdout(r"(?s).*Admin at").string, re.M)
            inside = said.pop()
            wanted = [host if not port else "%s:%s" % ("[::1]" if host == "::1" else host, port) for host, port in said]
            equal((len(set(wanted)), wanted[1]), (len(wanted), "unix:" + deep))
            equal([item["name"] for item in server.see("servers") if item["name"] != "admin"], wanted)
            for path in ("config", "drain", "log"):
                names = server.see(path)
                equal(set(names.get("servers", names)) - {"admin"}, set(wanted), path)
            connection = http.client.HTTPConnection("127.0.0.1", int(inside[1]), timeout=10 * shslib.SLOWNESS)
            with contextlib.closing(connection):
                connection.request("GET", "/metrics")
                page = connection.getresponse().read().decode()
            equal(re.findall(r'^shs_connections\{server="([^"]*)"\} 0$', page, re.M), wanted)
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(said[-1][1]), timeout=10 * shslib.SLOWNESS)) as one:
                one.connect()
                shslib.wait_until(lambda: server.see("connections"), 10, "its connection")
                equal([row["server"] for row in server.see("connections")], wanted[-1:])
                equal(server.see("connections?server=" + wanted[-2]), [])


# -- 10 --------------------------------------------------------------------------------------------

LARGE = 24 * 1024 * 1024


class Drained(Admin):
    """With probes, and a file that is longer than what the kernel keeps for a client who does not read."""

    def __init__(self, *arguments, **keywords):
        site = os.path.join(keywords["home"], "site")
        os.mkdir(site)
        shslib.write_file(os.path.join(site, "a.txt"), "hello\n")
        with open(os.path.join(site, "large.bin"), "wb") as file:
            file.truncate(LARGE)
        super().__init__("--plain", "--health", "0", "--drain-grace", "100", *arguments, site, **keywords)
        self.inside = int(self.wait_stdout(r"(?s)\nServing HTTP on 127\.0\.0\.1 port (\d+)").group(1))

    def probe(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.inside, timeout=10 * shslib.SLOWNESS)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def asks_to_close(self):
        with self.connect() as sock:
            sock.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            _, headers, body, _ = shslib.read_response(sock)
            equal(body, b"hello\n")
            return headers.get("connection") == "close"

    def standing(self):
        """In the middle of the large file, and it does not read on. With it, what it has read."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        sock.settimeout(20 * shslib.SLOWNESS)
        sock.connect((self.address, self.port))
        sock.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        return sock, shslib.read_exactly(sock, 100000)

    def drain_of(self, servers):
        equal(list(servers), ["127.0.0.1:%d" % self.port], "the servers that drain")
        return servers["127.0.0.1:%d" % self.port]


def test_10_drain_and_undrain(pki):
    with shslib.temp_dir() as home, Drained(home=home) as server:
        state = server.drain_of(server.see("drain"))
        equal((state["state"], state["grace_left_s"], state["took_s"]), ("serving", None, 0))
        for bad in ("timeout=soon", "timeout=-1s", "grace=5x", "timeout=1s&grace=2s", "timeout=50d"):
            equal(server.ask("drain?" + bad, "POST").status, 422, bad)
        equal(server.probe("/readyz")[0], 200)
        equal(server.drain_of(server.see("drain"))["state"], "serving", "after what was refused")

        answer = server.ask("drain?timeout=300s&grace=200s", "POST")
        equal((answer.status, answer.json["done"]), (200, "draining"))
        change = server.audit()[-1]["change"]
        equal([server.drain_of(change[when])["state"] for when in ("before", "after")], ["serving", "draining"])
        equal(server.probe("/readyz")[0], 503)
        check("draining" in server.probe("/readyz?verbose")[1], "the reason")
        equal(server.probe("/livez"), (200, "ok\n"))
        check(server.asks_to_close(), "a connection is kept")

        # again, and for longer: nothing is put off
        left = server.drain_of(server.see("drain"))["grace_left_s"]
        check(0 < left <= 200, "%r s" % left)
        equal(server.ask("drain?timeout=900s&grace=900s", "POST").status, 200)
        state = server.drain_of(server.see("drain"))
        check(state["state"] == "draining" and state["grace_left_s"] <= left, state)

        answer = server.ask("undrain", "POST")
        equal((answer.status, answer.json["done"]), (200, "serving"))
        change = server.audit()[-1]["change"]
        equal([server.drain_of(change[when])["state"] for when in ("before", "after")], ["draining", "serving"])
        equal(server.probe("/readyz")[0], 200)
        check(not server.asks_to_close(), "no connection is kept")
        equal(server.ask("undrain", "POST").status, 200, "once more")


def test_10_what_is_under_way_is_answered(pki):
    with shslib.temp_dir() as home, Drained(home=home) as server:
        sock, got = server.standing()
        with sock:
            equal(server.ask("drain?timeout=300s&grace=0", "POST").status, 200)
            equal(server.probe("/readyz")[0], 503)
            shslib.wait_until(lambda: shslib.refuses(server), 10, "an end of new connections")
            # One of those who tried may have been let in before the end.
            shslib.wait_until(lambda: server.drain_of(server.see("drain"))["open"] == 1, 10, "one connection")
            state = server.drain_of(server.see("drain"))
            equal((state["state"], state["busy"]), ("stopping", 1))
            answer = server.ask("undrain", "POST")
            equal((answer.status, server.drain_of(answer.json["servers"])["state"]), (409, "stopping"))
            got += shslib.read_all(sock, 20)
            equal(len(got) - got.index(b"\r\n\r\n") - 4, LARGE, "bytes")
        equal(server.wait(20), 0, "exit code")
        check(re.search(": 1 served, [1-9][0-9]* closed, 0 cut", server.stderr), server.stderr)


def test_10_the_bound(pki):
    with shslib.temp_dir() as home, Drained(home=home, expect_exit=1) as server:
        sock, _ = server.standing()
        with sock:
            began = time.monotonic()
            equal(server.ask("drain?timeout=1s", "POST").status, 200)
            equal(server.wait(20), 1, "exit code")
            check(time.monotonic() - began >= 1, "it was cut early")
            address = "%s port %d" % sock.getsockname()
        check("1 request was cut off" in server.stderr and address in server.stderr, server.stderr)


def test_10_no_grace_at_all(pki):
    with shslib.temp_dir() as home, Admin("--plain", "--drain-grace", "0", SITE, home=home) as server:
        equal(server.ask("drain", "POST").status, 200)
        equal(server.wait(20), 0, "exit code")
        took = re.search(r"stopped in (\d+\.\d) s", server.stderr)
        check(took and float(took.group(1)) < 4, "a grace that nobody asked for: " + server.stderr)


# -- 11 --------------------------------------------------------------------------------------------


def test_11_audit(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), SITE, home=home) as server:
        for method, path in (("POST", "reload"), ("POST", "reload?dry_run=1"), ("DELETE", "connections/12345")):
            answer = server.ask(path, method)
            last = server.audit()[-1]
            equal((last["method"], last["path"], last["status"]), (method, PREFIX + "/" + path, answer.status))
            equal(last["identity"]["uid"], os.geteuid())
            check("without rules" in last["rule"], last)
            equal(answer.status, last["status"])
        before = len(server.audit())
        # one request, one line, whatever is in it
        for target in (b"/admin/v1/%0d%0a{}", b"/admin/v1/\xff\xc3\x28", b'/admin/v1/"}{"status":200,"x":"', b"/%00%1b[31m",
                       b"/admin/v1/whoami?" + b"\x80" * 100):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(10 * shslib.SLOWNESS)
                sock.connect(server.socket)
                sock.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
                shslib.read_all(sock)
            before += 1
            shslib.wait_until(lambda: len(server.audit()) == before, 10, "a line for %r" % target)
        with open(server.audit_file, "rb") as file:
            text = file.read()
        check(all(0x20 <= byte < 0x7f or byte == 0x0a for byte in text), "a control byte")
        check(b"PRIVATE KEY" not in text, "a key")
        equal(stat.S_IMODE(os.stat(server.audit_file).st_mode) & 0o027, 0)


def test_11_control_bytes_of_a_name(pki):
    with shslib.temp_dir() as home, Ruled(pki, home) as server:
        answer = server.ask_as("torn", "connections")
        equal(answer.status, 403)
        last = server.audit()[-1]
        equal((last["identity"]["cn"], last["status"]), ("eve\r\n{}\x1b[31m\"", 403))
        with open(server.audit_file, "rb") as file:
            text = file.read()
        check(all(0x20 <= byte < 0x7f or byte == 0x0a for byte in text), "a control byte")
        equal(len(text.splitlines()), len(server.audit()))


def test_11_the_rule_that_decided(pki):
    with shslib.temp_dir() as home, Ruled(pki, home) as server:
        equal(server.ask_as("alice", "reload", "POST").status, 200)
        last = server.audit()[-1]
        equal((last["identity"]["cn"], last["status"], last["role"], last["ca"]), ("alice", 200, "admin", "corp"))
        check(last["rule"].startswith("map cn alice") or last["rule"].startswith('map cn "alice"'), last["rule"])
        equal(server.ask_as("bob", "deny", "POST", {"uid": 5}).status, 403)
        last = server.audit()[-1]
        equal((last["identity"]["cn"], last["status"], last["role"]), ("bob", 403, "viewer"))


def test_11_no_change_without_its_line(pki):
    if not os.path.exists("/dev/full"):
        shslib.skip("there is no /dev/full")
    first, second = pki.ca.issue("full-1"), pki.ca.issue("full-2")
    with shslib.temp_dir() as home:
        cert, key = os.path.join(home, "c.pem"), os.path.join(home, "c.key")
        shutil.copy(first[0], cert), shutil.copy(first[1], key)
        with Admin("--cert", cert, "--key", key, "--client-ca", pki.ca.cert, "--admin-audit", "/dev/full", SITE,
                   home=home) as server:
            shutil.copy(second[0], cert), shutil.copy(second[1], key)
            tag = server.ask("config").headers["ETag"]
            for path, body in (("reload", None), ("deny", {"spki": "0" * 64})):
                answer = server.ask(path, "POST", body)
                equal(answer.status, 503, path)
                check("audit" in answer.json["error"], answer.json)
            equal(served_serial(server, pki), tls_pki.serial(first[0]))
            equal(server.see("deny")["denied"], [])
            equal(server.ask("config").headers["ETag"], tag)


def test_11_a_line_that_was_cut_off(pki):
    with shslib.temp_dir() as home:
        shslib.write_file(os.path.join(home, "audit.jsonl"), '{"time":"x","method":"POST"')
        with Admin(*pki.flags(), SITE, home=home) as server:
            server.see("whoami")
            lines = server.audit()
            equal((lines[0]["status"], lines[0]["torn"], lines[0]["method"]), (None, True, "POST"))
            equal(lines[1]["path"], PREFIX + "/whoami")


# -- 12 --------------------------------------------------------------------------------------------


def test_12_all_workers_are_held(pki):
    """Every worker is in a handler whose client sends no more, and others wait in the handshake."""
    with shslib.temp_dir() as home, Admin(*pki.flags(), "--threads", "2", "--max-threads", "2", "--health", "0", "--handler",
                                          "echo", "--drain-grace", "100", "--stop-timeout", "500", "--handshake-timeout",
                                          "120000", home=home, expect_exit=None) as server, \
            contextlib.ExitStack() as stack:
        inside = int(server.wait_stdout(r"(?s)\nServing HTTP on 127\.0\.0\.1 port (\d+)").group(1))
        for _ in range(2):
            sock = stack.enter_context(server.client(pki, "alice"))
            sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 20000)
        shslib.wait_until(lambda: server.see("status")["pool"]["busy"] == 2, 20, "two that are held")
        for _ in range(100):  # whom nobody can say a word to
            sock = stack.enter_context(server.connect_plain())
            sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        took = {"/livez": [], "connections": [], "probe": []}
        for _ in range(10):
            for what, path in (("/livez", "/livez"), ("connections", PREFIX + "/connections")):
                with shslib.Stopwatch(server) as watch:
                    answer = server.ask(path)
                    took[what].append(watch.stop() - watch.still())
                equal(answer.status, 200)
            with shslib.Stopwatch(server) as watch:
                connection = http.client.HTTPConnection("127.0.0.1", inside, timeout=10 * shslib.SLOWNESS)
                with contextlib.closing(connection):
                    connection.request("GET", "/livez")
                    equal(connection.getresponse().status, 200)
                took["probe"].append(watch.stop() - watch.still())
        running = [row for row in server.see("connections") if row["request"]]
        equal([row["request"]["line"] for row in running], ["POST /"] * 2)
        equal(server.see("status")["pool"]["busy"], 2, "still")
        for what, bound in (("/livez", 0.02), ("probe", 0.02), ("connections", QUICK)):
            check(min(took[what]) < bound * shslib.SLOWNESS, "%s takes %.3f s" % (what, min(took[what])))


def test_12_always_answers(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), "--threads", "2", "--max-threads", "2", "--health", "0", "--upload",
                                          "--drain-grace", "100", "--handshake-timeout", "120000", SITE, home=home) as server, contextlib.ExitStack() as stack:
        # clients that say nothing, and some whose answer nobody reads
        for _ in range(200):
            stack.enter_context(server.connect_plain())
        shslib.wait_until(lambda: len(server.see("connections?state=handshake")) == 200, 20, "200 silent ones")
        with shslib.Stopwatch(server) as watch:
            equal(server.ask("/livez").status, 200)
            watch.within(QUICK, "/livez")
        with shslib.Stopwatch(server) as watch:
            equal(len(server.see("connections")), 200)
            watch.within(QUICK, "connections")


def test_12_too_many_requests(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), "--admin-rate", "1200", SITE, home=home) as server:
        connection = UnixConnection(server.socket, 10 * shslib.SLOWNESS)
        with contextlib.closing(connection):
            statuses = []
            for _ in range(1000):
                connection.request("GET", PREFIX + "/whoami")
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
                if answer.status == 429:
                    check(int(answer.headers["Retry-After"]) >= 1, "Retry-After")
            check(statuses[:40] == [200] * 40, "the first forty")
            check(429 in statuses, "no end to it")
            # meanwhile the servers that are looked at answer as ever: an operator's loop takes nothing of theirs
            with server.client(pki, "alice") as sock:
                slowest = []
                for _ in range(50):
                    connection.request("GET", PREFIX + "/whoami")
                    with shslib.Stopwatch(server) as watch:
                        equal(talk(sock)[0], 200)
                        slowest.append(watch.stop() - watch.still())
                    answer = connection.getresponse()
                    answer.read()
                check(sorted(slowest)[25] < QUICK * shslib.SLOWNESS, "%r" % slowest)


def test_12_dripping_head(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), SITE, home=home) as server:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20 * shslib.SLOWNESS)
            sock.connect(server.socket)
            head = b"GET /admin/v1/whoami HTTP/1.1\r\nHost: admin\r\nX: " + b"a" * 1000
            began, sent = time.monotonic(), 0
            while time.monotonic() - began < 60 * shslib.SLOWNESS:
                try:
                    sock.sendall(head[sent:sent + 1])
                except OSError:
                    break
                sent += 1
                sock.settimeout(0.25)
                with contextlib.suppress(TimeoutError):
                    if sock.recv(1000):
                        break
                    break
            took = time.monotonic() - began
            check(4.9 <= took <= 15 * shslib.SLOWNESS, "cut after %.1f s" % took)


# -- 13 --------------------------------------------------------------------------------------------


def test_13_log_level_returns(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), SITE, home=home) as server:
        name = "127.0.0.1:%d" % server.port

        def is_logged():
            """That draining was taken back is a line of info. The audit log is not in it."""
            before = server.stderr.count("draining was taken back")
            equal(server.ask("drain?grace=100s&timeout=200s", "POST").status, 200)
            equal(server.ask("undrain", "POST").status, 200)
            try:
                shslib.wait_until(lambda: server.stderr.count("draining was taken back") > before, 1, "a line")
            except shslib.Failure:
                return False
            return True

        usual = server.see("log")[name]
        equal((usual["level"], usual["usual"], usual["returns_in_s"]), ("info", "info", None))
        for bad in ({}, {"level": "loud"}, {"level": "debug", "for": "soon"}, {"level": "debug", "x": "y"},
                    {"level": "debug", "only": "nobody"}, {"level": "debug", "for": "0s"}):
            equal(server.ask("log", "PUT", bad).status, 422, repr(bad))
        answer = server.ask("log", "PUT", {"level": "debug", "for": "2s", "only": name})
        began = time.monotonic()
        equal((answer.status, answer.json[name]["level"]), (200, "debug"))
        check(0 < answer.json[name]["returns_in_s"] <= 2, answer.json)
        equal(answer.json["admin"]["level"], "warning", "another one's")
        last = server.audit()[-1]["change"]
        equal((last["before"][name]["level"], last["after"][name]["level"]), ("info", "debug"))
        shslib.wait_until(lambda: server.see("log")[name]["level"] == "info", 10, "the level to return")
        check(time.monotonic() - began >= 1.9, "it returned early")
        equal(server.ask("log", "PUT", {"level": "debug"}).json[name]["returns_in_s"], None)
        check(is_logged(), "no line at debug")
        equal(server.ask("log", "PUT", {"level": "error", "for": "1h"}).json[name]["level"], "error")
        check(not is_logged(), "a line at error")


# -- 14 --------------------------------------------------------------------------------------------


def test_14_config(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), "--header", "X-One: 1", "--header", "X-Two: 2", SITE,
                                          home=home) as server:
        answer = server.ask("config")
        config = answer.json
        equal(config["settings"]["header"], ["X-One: 1", "X-Two: 2"])
        equal(config["settings"]["client-ca"], pki.ca.cert)
        options = config["servers"]["127.0.0.1:%d" % server.port]
        equal((options["max_connections"], options["max_connections_per_address"]), (10000, "a quarter"))
        # what is in force, where nobody has said anything
        equal([config["settings"][name] for name in ("admin-rate", "max-connections-per-address", "max-threads")],
              ["3000", "a quarter", "1024"])
        check(b"PRIVATE KEY" not in answer.body, "a key")
        tag = answer.headers["ETag"]
        equal(server.ask("config").headers["ETag"], tag)
        equal(server.ask("reload", "POST", headers={"If-Match": '"stale"'}).status, 412)
        equal(server.ask("config").headers["ETag"], tag, "after what was refused")
        equal(server.ask("reload", "POST", headers={"If-Match": tag}).status, 200)
        check(server.ask("config").headers["ETag"] != tag, "a change is another tag")
        equal(server.ask("reload", "POST", headers={"If-Match": tag}).status, 412)


def test_14_no_secrets(pki):
    fields = ("Authorization: Basic aHVudGVyMjpodW50ZXIy", "set-cookie: session=hunter2", "X-Api-Token: hunter2",
              "X-Auth-Password: hunter2", "X-Plain: shown", "Link: <https://eve:hunter2@cdn.example/x>; rel=preload")
    flags = [word for field in fields for word in ("--header", field)]
    with shslib.temp_dir() as home, Admin(*pki.flags(), *flags, SITE, home=home) as server:
        answer = server.ask("config")
        check(b"hunter2" not in answer.body and b"aHVudGVy" not in answer.body, answer.json["settings"]["header"])
        equal(answer.json["settings"]["header"],
              ["Authorization: (redacted)", "set-cookie: (redacted)", "X-Api-Token: (redacted)", "X-Auth-Password: (redacted)",
               "X-Plain: shown", "Link: <https://(redacted)@cdn.example/x>; rel=preload"])


# -- 15 --------------------------------------------------------------------------------------------


def test_15_threads(pki):
    with shslib.temp_dir() as home, Admin("--plain", "--upload", "--threads", "2", SITE, home=home) as server:
        def tasks():
            return {int(name) for name in os.listdir("/proc/%d/task" % server.pid)}

        # workers come and go with the work: all that were there before and after are in it
        before = tasks()
        threads = server.see("threads")
        after = tasks()
        listed = [item["thread"] for item in threads]
        equal(len(set(listed)), len(listed), "a thread twice")
        equal((before & after) - set(listed), set(), "threads that are left out")
        check(server.pid in listed, listed)
        busy = [item for item in threads if item["work"] and item["work"]["request"]]
        equal([item["work"]["request"] for item in busy], ["GET " + PREFIX + "/threads"])
        check(not busy[0]["stuck"] and busy[0]["work"]["server"] == "admin", busy)
        check(all(item["state"] in ("running", "sleeping", "disk", "stopped", "other") for item in threads), threads)


def test_15_a_handler_that_is_stuck(pki):
    with shslib.temp_dir() as home, Admin("--plain", "--handler", "echo", "--threads", "2", "--stuck-handler", "300",
                                          home=home) as server, server.connect_plain() as sock:
        sock.sendall(b"POST /slow?secret=x HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")

        def at_it():
            return [item for item in server.see("threads") if item["work"] and item["work"]["request"] == "POST /slow"]

        shslib.wait_until(at_it, 20, "its thread")
        check(0 <= at_it()[0]["work"]["age_s"], at_it())
        shslib.wait_until(lambda: at_it()[0]["stuck"], 20, "to be marked")
        stuck = at_it()[0]
        check(stuck["work"]["stuck"] and stuck["work"]["age_s"] >= 0.3, stuck)
        equal(stuck["work"]["server"], "127.0.0.1:%d" % server.port)
        equal(stuck["work"]["connection"], server.see("connections")[0]["id"])
        check(os.path.exists("/proc/%d/task/%d" % (server.pid, stuck["thread"])), "a thread of that number")
        equal([item["thread"] for item in server.see("threads") if item["stuck"]], [stuck["thread"]], "who is not")
        server.ask("connections/%d?now=1" % stuck["work"]["connection"], "DELETE")
        shslib.wait_until(lambda: not at_it(), 20, "its end")


# -- 16 --------------------------------------------------------------------------------------------


def test_16_key_log_for_a_time(pki):
    with shslib.temp_dir() as home:
        path = os.path.join(home, "keys.txt")
        with Ruled(pki, home, "--admin-keylog", path) as server:

            def lines():
                with open(path) as file:
                    return [line.split(" ") for line in file.read().splitlines()]

            def visit(name):
                """A handshake. Its secrets are in the file before its answer is sent."""
                with server.client(pki, name) as sock:
                    equal(talk(sock)[0], 200)

            # the rules let an operator ask, too: it is for admin all the same
            rules = open(server.rules).read()
            shslib.write_file(server.rules, rules.replace("reload}", "reload,keylog}"))
            equal(server.ask("reload", "POST").status, 200)
            equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            visit("alice")
            equal(lines(), [], "before anybody has asked")
            equal(server.ask_as("bob", "keylog", "POST").status, 403)
            equal(server.ask_as("carol", "keylog", "POST").json, {"error": "forbidden", "need": "admin", "have": "operator"})
            for bad in ("2h", "soon", "-1s"):
                equal(server.ask("keylog?for=" + bad, "POST").status, 422, bad)
            visit("alice")
            equal(lines(), [], "after what was refused")
            began = time.monotonic()
            answer = server.ask("keylog?for=1s", "POST")
            equal((answer.status, answer.json["permitted"], answer.json["file"]), (200, True, path))
            check(0 < answer.json["ends_in_s"] <= 1, answer.json)
            last = server.audit()[-1]
            equal((last["status"], last["change"]["before"]["ends_in_s"]), (200, 0))
            visit("alice")
            if time.monotonic() - began < 0.9:
                kinds = {line[0] for line in lines()}
                check({"SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"} <= kinds, kinds)
                check(all(len(line) == 3 and re.fullmatch("[0-9a-f]{64}", line[1]) for line in lines()), lines())
            server.wait_stderr(r"The secrets of TLS sessions are written to .*keys\.txt for 1 s, as uid=%d asked" % os.geteuid())
            shslib.wait_until(lambda: server.see("keylog")["ends_in_s"] == 0, 20, "its end")
            check(time.monotonic() - began >= 0.99, "it ended early")
            server.wait_stderr(r"No more secrets of TLS sessions are written")
            count = len(lines())
            visit("alice")
            equal(len(lines()), count, "lines after the end")
            # also with what a reload has made; and 0s is the end
            equal(server.ask("reload", "POST").status, 200)
            equal(server.ask("keylog?for=60s", "POST").status, 200)
            visit("alice")
            check(len(lines()) > count, "nothing after a reload")
            equal(server.ask("keylog?for=0s", "POST").json["ends_in_s"], 0)
            count = len(lines())
            visit("alice")
            equal(len(lines()), count, "lines after 0s")
            with open(server.audit_file) as file:
                check(lines()[0][2] not in file.read(), "a secret in the audit log")


def test_16_key_log_and_a_suspend(pki):
    """A minute is a minute for who asked, also when the machine was suspended in it: how long it is up as well."""
    with shslib.temp_dir() as home:
        path, asleep = os.path.join(home, "keys.txt"), adminlib.Asleep(home)
        with Ruled(pki, home, "--admin-keylog", path, env=asleep.env) as server:

            def visit():
                with server.client(pki, "alice") as sock:
                    equal(talk(sock)[0], 200)
                return os.path.getsize(path)

            rules = open(server.rules).read()
            shslib.write_file(server.rules, rules.replace("reload}", "reload,keylog}"))
            equal(server.ask("reload", "POST").status, 200)
            answer = server.ask("keylog?for=60m", "POST")
            equal(answer.status, 200, answer.body)
            size = visit()
            check(size > 0, "no secret of a session")
            asleep.sleep(3600 + 1)
            equal(server.see("keylog")["ends_in_s"], 0, "after the suspend")
            equal(visit(), size, "lines after the end")
            server.wait_stderr(r"No more secrets of TLS sessions are written")
            check(server.see("status")["up_s"] > 3600, server.see("status")["up_s"])


def test_16_off_unless_permitted(pki):
    with shslib.temp_dir() as home:
        with Admin(*pki.flags(), SITE, home=home) as server:
            equal((server.see("keylog")["permitted"], server.ask("keylog", "POST").status), (False, 409))
        # where nobody could ever read anything, it does not say that it writes
        keys = os.path.join(home, "keys.txt")
        with Admin("--plain", "--admin-keylog", keys, SITE, home=home) as server:
            answer = server.ask("keylog", "POST")
            equal(answer.status, 409)
            check("no server here has TLS" in answer.json["error"], answer.json)
        with Admin(*pki.flags(), "--admin-keylog", keys, SITE, home=home) as server:
            os.unlink(keys)
            answer = server.ask("keylog", "POST")
            equal((answer.status, server.see("keylog")["ends_in_s"]), (409, 0))
            check("was removed" in answer.json["error"], answer.json)
            equal(server.ask("keylog?for=0s", "POST").status, 200)
        path = shslib.write_file(os.path.join(home, "open.txt"), "")
        os.chmod(path, 0o644)
        os.symlink(path, os.path.join(home, "link"))
        for name, why in (("open.txt", "chmod 600"), ("link", "cannot open"), (".", "cannot open")):
            code, out, err = shslib.run(shslib.BIN, "serve", "--port", "0", *pki.flags(), "--admin", "unix:" + os.path.join(home, "s"),
                                        "--admin-keylog", os.path.join(home, name), SITE)
            check(code != 0 and why in err and "key log" in err, out + err)


if __name__ == "__main__":
    adminlib.main(globals())
