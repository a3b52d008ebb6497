"""--now: a server of another day; and `shs check`: what of a command line breaks, and when."""

import calendar
import email.utils
import json
import os
import re
import ssl
import time

import shslib
import tls_pki
from shslib import BIN, SOURCE_DIR, check, equal

DAY = 86400
SITE = SOURCE_DIR + "/examples/site"


def made(*arguments, directory):
    code, _, err = shslib.run(BIN, "cert", *arguments, "--dir", directory)
    equal(code, 0, "%r %s" % (arguments, err))


def make_all(directory):
    """A certificate for 60 days with a response for 20, a client's for 40, and a CRL for 10."""
    ca = directory + "/ca.pem"
    made("ca", directory=directory)
    made("new", "localhost", "127.0.0.1", "--name", "site", "--days", "60", directory=directory)
    made("new", "--client", "--cn", "alice", "--name", "alice", "--days", "40", directory=directory)
    for arguments in (("crl", "--ca", ca, "--next-update", "+10d", "--out", directory + "/crl.pem"),
                      ("ocsp", "--ca", ca, directory + "/site.pem", "--next-update", "+20d", "--out",
                       directory + "/site.ocsp")):
        code, _, err = shslib.run(BIN, "cert", *arguments)
        equal(code, 0, "%r %s" % (arguments, err))
    return ("--cert", directory + "/site.pem", "--key", directory + "/site.key", "--ocsp", directory + "/site.ocsp",
            "--client-ca", ca, "--crl", directory + "/crl.pem")


def visit(directory, server):
    """A client that does not look at the server: its clock is another."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(directory + "/alice.pem", directory + "/alice.key")
    with shslib.socket.create_connection(("127.0.0.1", server.port), 20) as raw, context.wrap_socket(raw) as sock:
        sock.sendall(b"GET /about.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while True:
            more = sock.recv(65536)
            if not more:
                return answer.decode("latin-1")
            answer += more


def dates_of_answers_and_log(directory):
    for span, days in (("+90d", 90), ("-9000d", -9000)):
        with shslib.Server("--plain", "--log", "json", "--now", span, SITE) as server:
            for _ in range(2):  # read, and then kept
                status, headers, _ = server.get("/about.html")
                equal(status, 200)
                then = calendar.timegm(email.utils.parsedate(headers["Date"]))
                check(abs(then - time.time() - days * DAY) < 600, headers["Date"])
                # Never later than Date.
                check(calendar.timegm(email.utils.parsedate(headers["Last-Modified"])) <= then, headers["Last-Modified"])
            line = json.loads(server.wait_stderr(r'(?m)^(\{.*"status":200.*\})$').group(1))
            logged = calendar.timegm(time.strptime(line["time"][:19], "%Y-%m-%dT%H:%M:%S"))
            check(abs(logged - then) < 600, line["time"])


def what_is_checked(directory):
    """Who is let in today is not when the CRL has lapsed, and not when the certificate is over or not yet begun."""
    options = make_all(directory) + (SITE,)
    made("new", "--client", "--cn", "bob", "--name", "bob", "--not-before", "+50d", directory=directory)
    for now, reason in (("now", None), ("+9d", None), ("+11d", "crl"), ("+45d", "expired")):
        with shslib.Server(*(options if reason != "expired" else options[:-3] + (SITE,)), "--now", now) as server:
            if reason is None:
                check(visit(directory, server).startswith("HTTP/1.1 200"), now)
                continue
            try:
                visit(directory, server)
                raise shslib.Failure("%s: let in" % now)
            except OSError as failure:
                text = str(failure).lower()
            check("expired" in text or "unknown" in text or reason in text, text)
            server.wait_stderr({"crl": r"(?i)handshake.*CRL", "expired": r"(?i)handshake.*expired"}[reason])
    for now, good in (("+49d", False), ("+51d", True)):
        with shslib.Server(*options[:-3], SITE, "--now", now) as server:
            code, out, err = shslib.run("curl", "-skS", "--cert", directory + "/bob.pem", "--key", directory + "/bob.key",
                                        "https://127.0.0.1:%d/about.html" % server.port)
            equal(code == 0, good, "bob, %s: %s" % (now, err))
    # Warnings of that day, and what is stapled.
    for now, warned, stapled in (("+10d", "OCSP|expires in", True), ("+25d", "stale|not stapled|OCSP", False),
                                 ("+70d", "has expired", False)):
        with shslib.Server(*options[:6], SITE, "--now", now) as server:
            code, out, err = shslib.run("openssl", "s_client", "-connect", "127.0.0.1:%d" % server.port, "-status")
            equal("OCSP Response Status: successful" in out, stapled, now)
            if now != "+10d":
                server.wait_stderr(warned)


def renewed_authorities(directory):
    """Two certificates of one CA, of which one is valid today and the other by the clock of --now; and a namesake of it."""
    made("new", "localhost", "127.0.0.1", "--name", "site", directory=directory)
    root = tls_pki.CA(directory, "root")
    for name, start, end in (("now", -1, 5), ("then", 10, 80)):
        root.issue(name, names=(), usage=None, subject="/CN=between", ca=True, start=start * DAY, end=end * DAY,
                   key=None if name == "now" else directory + "/now.key")
    root.issue("namesake", names=(), usage=None, subject="/CN=between", ca=True, end=80 * DAY)
    root.issue("carol", names=(), usage="clientAuth", end=80 * DAY)
    code, _, err = shslib.run("openssl", "x509", "-req", "-in", directory + "/carol.csr", "-CA", directory + "/then.leaf", "-CAkey",
                              directory + "/now.key", "-set_serial", "7", "-days", "70", "-extfile", directory + "/carol.ext",
                              "-extensions", "it", "-out", directory + "/carol.crt")
    equal(code, 0, err)
    for order in (("namesake", "now", "then"), ("then", "now", "namesake")):
        tls_pki.bundle(directory + "/all.pem", root.cert, *("%s/%s.leaf" % (directory, name) for name in order))
        for now in ("now", "+20d"):
            with shslib.Server("--cert", directory + "/site.pem", "--key", directory + "/site.key", "--client-ca",
                               directory + "/all.pem", SITE, "--now", now) as server:
                code, _, err = shslib.run("curl", "-skS", "--cert", directory + "/carol.crt", "--key", directory + "/carol.key",
                                          "https://127.0.0.1:%d/about.html" % server.port)
                equal(code, 0, "%s first, %s: %s\n%s" % (order[0], now, err, server.stderr))


def sessions_are_resumed(directory):
    """Tickets are made and looked at by the same clock."""
    made("new", "localhost", "--name", "site", directory=directory)
    with shslib.Server("--cert", directory + "/site.pem", "--key", directory + "/site.key", SITE, "--now", "+900d") as server:
        context = ssl.create_default_context(cafile=directory + "/site.pem")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        session, reused = None, []
        for _ in range(2):
            with shslib.socket.create_connection(("127.0.0.1", server.port), 20) as raw, context.wrap_socket(
                    raw, session=session) as sock:
                sock.sendall(b"GET /about.html HTTP/1.1\r\nHost: localhost\r\n\r\n")
                check(sock.recv(9) == b"HTTP/1.1 ", "no answer")
                session = sock.session
                reused.append(sock.session_reused)
        equal(reused, [False, True])


def what_breaks(directory):
    options = make_all(directory) + (SITE,)

    def look(*arguments, code):
        got, out, err = shslib.run(BIN, "check", *arguments)
        equal(got, code, "%r %s%s" % (arguments, out, err))
        return out

    out = look("--at", "+5d", *options, code=0)
    check(out.startswith("Nothing breaks until ") and "Next: " in out and "crl.pem: the CRL lapses" in out, out)
    out = look("--at", "+61d", "--", "serve", *options, code=1)
    lines = out.splitlines()
    for line, days, words in zip(lines, (10, 20, 60), ("crl.pem: the CRL lapses", "site.ocsp: the OCSP response", "site.pem: the cert")):
        left = int(re.match(r"\S+  in (\d+) days ", line).group(1))
        check(left in (days - 1, days) and words in line, line)  # some seconds of the first day are over
    check(lines[3].startswith("Nothing else breaks until "), out)
    ends = json.loads(look("--at", "+61d", "--json", *options, code=1))
    equal([end["breaks"] for end in ends["ends"]], [True, True, True, False])
    check("clients of its CA are refused" in ends["ends"][0]["text"] and ends["ends"][0]["subject"], ends)
    check(abs(calendar.timegm(time.strptime(ends["ends"][2]["when"], "%Y-%m-%dT%H:%M:%SZ")) - time.time() - 60 * DAY) < 600,
          ends["ends"][2])
    # By the clock of the command line; broken already.
    check("days ago" in look("--at", "+1d", *options, "--now", "+15d", code=2), "not broken")
    check("is good from then on only" in look("--at", "+1d", *options, "--now", "-100d", code=2), "too early")
    os.mkdir(directory + "/crls")
    # A newer CRL takes the place of the older one.
    for n, until in ((1, "+10d"), (2, "+50d")):
        code, _, err = shslib.run(BIN, "cert", "crl", "--ca", directory + "/ca.pem", "--next-update", until, "--number", str(n),
                                  "--out", "%s/crls/%d.pem" % (directory, n))
        equal(code, 0, err)
    both = options[:-2] + (directory + "/crls", SITE)
    check("1.pem" not in look("--at", "+30d", *both, code=1), "the older CRL breaks nothing")
    check("2.pem: the CRL lapses" in look("--at", "+55d", *both, code=1), "the newer one")
    # Nothing is made and nothing served.
    home = os.path.join(directory, "home")
    code, out, err = shslib.run(BIN, "check", SITE, env={"XDG_STATE_HOME": home})
    check(code == 0 and out.startswith("Nothing breaks") and not os.path.exists(home), out + err)
    look("--plain", SITE, code=0)
    # The admin plane has a certificate of its own; one that two places have is told once.
    made("new", "localhost", "--name", "plane", "--not-after", "+30d", directory=directory)
    plane = ("--admin", "tls:9443", "--admin-client-ca", directory + "/ca.pem", "--admin-cert", directory + "/plane.pem",
             "--admin-key", directory + "/plane.key", "--plain", SITE)
    check("Next: " in look("--at", "+10d", *plane, code=0) and "plane.pem: the cert" in look("--at", "+31d", *plane, code=1), "plane")
    out = look("--at", "+61d", *options[:-1], *plane[:3], directory + "/ca.pem", SITE, code=1)
    equal(out.count("site.pem: the certificate expires"), 1, out)
    for arguments, code, word in ((("--at", "x", *options), 2, "'x'"), (("--at", "-1d", *options), 2, "-1d"), (("--at",), 2, "--at"),
                                  (("--nonsense",), 2, "nonsense"), (("--cert", "/no/such.pem"), 3, "/no/such.pem"),
                                  (("--now", "x", SITE), 2, "now")):
        got, out, err = shslib.run(BIN, "check", *arguments)
        check(got == code and word in err, "%r: %d %s" % (arguments, got, err))


def in_a_directory(test):
    def run():
        with shslib.temp_dir() as directory:
            test(directory)
    run.__name__ = test.__name__
    return run


shslib.main(*map(in_a_directory, (dates_of_answers_and_log, what_is_checked, renewed_authorities, sessions_are_resumed, what_breaks)))
