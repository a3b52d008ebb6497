"""Clients that count no more: by the deny list, by a new CRL, by their date; and counters over forks."""

import contextlib
import hashlib
import http.client
import itertools
import json
import os
import re
import ssl
import subprocess
import time

import shslib
import tls_pki
from shslib import check, equal

REQUEST = b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n"


def sha256(argv):
    der = subprocess.run(["openssl"] + argv + ["-outform", "DER"], capture_output=True, check=True).stdout
    return hashlib.sha256(der).hexdigest()


def make_pki(directory):
    root = tls_pki.CA(directory, "client-root")
    server = tls_pki.CA(directory, "server-root")
    pki = {"dir": directory, "server": server.issue("server"), "server_ca": server.cert,
           "root": tls_pki.OneAtATime(root),
           "ca": root.cert, "crl": directory + "/live.crl", "list": "/deny"}
    pki["clients"] = {name: root.client(name) for name in ("alice", "bob", "carol", "dave", "erin")}
    root.crl(pki["crl"])
    root.crl(directory + "/forking.crl")
    return pki


def entry(pki, who, kind):
    cert, key = pki["clients"][who]
    if kind == "cert":
        digest = sha256(["x509", "-in", cert]).upper()
        return "cert " + ":".join(digest[i:i + 2] for i in range(0, 64, 2))
    if kind == "spki":
        return "spki " + sha256(["pkey", "-in", key, "-pubout"]) + "   "
    # As openssl prints it.
    lines = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-serial", "-issuer", "-nameopt", "RFC2253"],
                           capture_output=True, check=True, text=True).stdout.splitlines()
    return "serial %s %s" % (lines[0].split("=", 1)[1], lines[1].split("=", 1)[1])


class Client:
    """A connection with a certificate, kept open."""

    def __init__(self, server, pki, who, session=None, cert=None, version=None):
        self.context = tls_pki.client_context(pki["server_ca"], cert or pki["clients"][who], version)
        self.open(server, session)

    def open(self, server, session=None):
        """With TLS 1.2 who is refused has no connection; with TLS 1.3 it finds out when it asks for something."""
        self.sock, self.count = None, 0
        plain = server.connect_plain()
        try:
            self.sock = self.context.wrap_socket(plain, server_hostname="localhost", session=session)
        except OSError:
            plain.close()

    def close(self):
        if self.sock is not None:
            self.sock.close()

    def get(self):
        """The status of an answer; None when the connection is over."""
        if self.sock is None:
            return None
        self.count += 1
        self.sock.settimeout(10 * shslib.SLOWNESS)  # another one may have had less patience
        try:
            self.sock.sendall(REQUEST % self.count)
            answer = http.client.HTTPResponse(self.sock)
            answer.begin()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return None

    def is_ended(self, seconds=10):
        """The server ends it, without being asked; an idle one would be ended after thirty seconds."""
        self.sock.settimeout(seconds * shslib.SLOWNESS)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True


def serve(pki, *more, auth="required", log="json"):
    return shslib.Server("--handler", "whoami", "--cert", pki["server"][0], "--key", pki["server"][1],
                         "--client-ca", pki["ca"], "--client-auth", auth, "--log", log, *more)


def lines(server):
    return [line for line in map(json.loads, server.stderr_lines()) if line.get("event")]


def reload(server, count):
    server.signal(1)
    shslib.wait_until(lambda: server.stderr.count("Files read again") >= count, 10, "a reload")


def write_list(pki, *entries):
    path = pki["dir"] + pki["list"]
    with open(path + ".new", "w") as out:
        out.write("# who lost a key\n\n" + "".join(line + "\n" for line in entries))
    os.replace(path + ".new", path)
    return path


def denied(pki):
    """By each of the three kinds of entry: at once, when open, when resumed, and at a new handshake."""
    path = write_list(pki)
    for threading in ("pool", "thread"):
        write_list(pki)
        with serve(pki, "--deny", path, "--threading", threading) as server:
            open_ones = {who: Client(server, pki, who) for who in pki["clients"]}
            for who, client in open_ones.items():
                equal(client.get(), 200, who)
            entries = [entry(pki, who, kind) for who, kind in
                       (("alice", "cert"), ("bob", "spki"), ("carol", "serial"))]
            write_list(pki, *entries)
            reload(server, 1)
            for who in ("alice", "bob", "carol"):
                check(open_ones[who].is_ended(), who + " is still connected")
            for who in ("dave", "erin"):
                equal(open_ones[who].get(), 200, who + " is cut off too")
            wanted = ["client-cert:denied"] * 3
            shslib.wait_until(lambda: len(lines(server)) >= 3, 10, "lines")
            equal([line["cause"] for line in lines(server)], wanted)
            equal({line["event"] for line in lines(server)}, {"tls-connection-ended"})
            for who in ("alice", "bob", "carol"):  # with the ticket it has, and without
                old = open_ones[who]
                old.open(server, old.sock.session)
                equal(old.get(), None, who + " is let in again")
                old.close()  # what is refused is a line when its connection is over
                equal(Client(server, pki, who).get(), None, who + " is let in again")
            shslib.wait_until(lambda: len(lines(server)) >= 9, 10, "lines")
            equal([(line["cause"], line["event"]) for line in lines(server)[3:]],
                  [("client-cert:denied", "tls-handshake-failed")] * 6)
            check("on the deny list" in lines(server)[-1]["message"], lines(server)[-1]["message"])
            equal(Client(server, pki, "dave").get(), 200, "somebody else")
            write_list(pki, entries[0])  # pardoned
            reload(server, 2)
            equal(Client(server, pki, "bob").get(), 200, "who is not listed any more")
            equal(Client(server, pki, "alice").get(), None, "who still is")
            server.stop()
            check("client-cert=7 clients-ended=3 reloads=2 " in server.stderr, server.stderr[-200:])


def explained(pki):
    with serve(pki, "--deny", write_list(pki, entry(pki, "alice", "cert")), auth="explain") as server:
        code, out, err = shslib.run("curl", "-sS", *tls_pki.curl_version(()), "--cacert", pki["server_ca"], "--cert", pki["clients"]["alice"][0],
                                    "--key", pki["clients"]["alice"][1], "https://localhost:%d/" % server.port)
        equal(json.loads(out)["reason"], "denied", out + err)


def bad_lists(pki):
    """A list with a mistake is refused whole, and says in which line it is."""
    path = write_list(pki, entry(pki, "alice", "cert"))
    with serve(pki, "--deny", path) as server:
        for i, bad in enumerate(("cert 1234", "cert " + "g" * 64, "spki", "serial 12", "serial  ", "nonsense",
                                 "cert " + "0" * 64 + " more", "CERT " + "0" * 64, "serial " + "1" * 65 + " CN=x",
                                 "spki " + "0" * 3000)):
            write_list(pki, bad)
            server.signal(1)
            shslib.wait_until(lambda: server.stderr.count("not reloaded") > i, 10, "a refusal of " + bad)
            line = [line for line in server.stderr.splitlines() if "not reloaded" in line][-1]
            check("ine 3 of the deny list" in line, line)
            equal(Client(server, pki, "alice").get(), None, "alice by a list that was refused")
    code, _, err = shslib.run(shslib.BIN, "serve", "-p", "0", "--cert", pki["server"][0], "--key", pki["server"][1],
                              "--deny", path)
    equal(code, 2, err)
    check("--deny" in err and "--client-ca" in err, err)


def revoked(pki):
    """An open connection's certificate is looked at again when the CRL is another."""
    with serve(pki, "--crl", pki["crl"], "--idle-timeout", "120000") as server:
        open_ones = {who: Client(server, pki, who) for who in ("dave", "erin")}
        for client in open_ones.values():
            equal(client.get(), 200)
        pki["root"].revoke("dave")
        pki["root"].crl(pki["crl"])
        reload(server, 1)
        check(not open_ones["erin"].is_ended(0.2), "an idle connection that counts was ended")
        equal(open_ones["dave"].get(), None, "after it was revoked")
        equal(open_ones["erin"].get(), 200, "who was not revoked")
        shslib.wait_until(lambda: len(lines(server)) >= 1, 10, "a line")
        equal([line["cause"] for line in lines(server)], ["client-cert:revoked"])
        equal(Client(server, pki, "dave").get(), None, "a new handshake of one that was revoked")
        shslib.wait_until(lambda: len(lines(server)) >= 2, 10, "lines")
        equal([line["cause"] for line in lines(server)[1:]], ["client-cert:revoked"])
        # Another certificate of the server is no reason to judge clients again.
        os.utime(pki["server"][0])
        reload(server, 2)
        equal(open_ones["erin"].get(), 200)
        server.stop()
        check(re.search(r"failed=1 client-cert=1 clients-ended=1 ", server.stderr), server.stderr[-200:])


WAYS = list(itertools.product(("pool", "thread"), (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)))


def come_in(pki, stack, life):
    """Clients whose certificates end in a moment, on a server for each way: (server, certificate, its connection, one
    with its ticket, somebody else's). None when they had ended before all were in: then it tells nothing."""
    # Who waits for the end of a certificate may not be ended for waiting.
    servers = [stack.enter_context(serve(pki, "--idle-timeout", "120000", "--threading", threading,
                                         *(("--crl", pki["crl"]) if threading == "thread" else ())))
               for threading, _ in WAYS]
    brief = pki["root"].client("brief-%d" % life, end=life)
    end, rounds = tls_pki.end_of(brief[0]), []
    for server, (_, version) in zip(servers, WAYS):
        try:
            client = Client(server, pki, None, cert=brief, version=version)
            equal(client.get(), 200, "before its end")
            again = Client(server, pki, None, cert=brief, version=version)
            equal(again.get(), 200)
            again.open(server, again.sock.session)
            equal(again.get(), 200)
            check(again.sock.session_reused, "not resumed")
        except (shslib.Failure, OSError):
            if time.time() < end:
                raise
            return None
        other = Client(server, pki, "erin", version=version)
        equal(other.get(), 200)
        rounds.append((server, brief, client, again, other))
    return rounds if time.time() < end else None


def expires(pki):
    """An open connection does not outlive its client's certificate: without a reload, with and without CRLs, and
    resumed."""
    for life in (2, 6, 20, 60):
        with contextlib.ExitStack() as stack:
            rounds = come_in(pki, stack, life)
            if rounds is None:
                continue
            for server, brief, client, again, other in rounds:
                tls_pki.sleep_past(tls_pki.end_of(brief[0]) + 1)
                equal(client.get(), None, "after its end")
                equal(again.get(), None, "resumed, after its end")
                equal(other.get(), 200, "somebody else")
                shslib.wait_until(lambda: len(lines(server)) >= 2, 10, "lines")
                equal([(line["cause"], line["event"]) for line in lines(server)],
                      [("client-cert:expired", "tls-connection-ended")] * 2)
                # A resumed connection knows its end, too: this one began before, and its ticket is no use now.
                equal(Client(server, pki, None, cert=brief).get(), None, "a new handshake after its end")
                shslib.wait_until(lambda: len(lines(server)) >= 3, 10, "a line")
                equal((lines(server)[2]["cause"], lines(server)[2]["event"]), ("client-cert:expired", "tls-handshake-failed"))
                server.stop()
                check(" clients-ended=2 " in server.stderr and "reloads=0" in server.stderr, server.stderr[-200:])
            return
    raise shslib.Failure("no certificate lived until its clients were in")


def resumed(pki):
    """Who came with a ticket is found on the list as well, and is judged again by new CRLs."""
    pki = dict(pki, list="/deny-resumed")
    path = write_list(pki)
    with serve(pki, "--deny", path) as server:
        client = Client(server, pki, "erin")
        equal(client.get(), 200)
        client.open(server, client.sock.session)
        equal(client.get(), 200)
        check(client.sock.session_reused, "not resumed")
        write_list(pki, entry(pki, "erin", "spki"))
        reload(server, 1)
        check(client.is_ended(), "a resumed connection stays")


def forked(pki):
    """What happens in forked children is counted by their parent."""
    pki = dict(pki, list="/deny-forked")
    path = write_list(pki)
    with serve(pki, "--threading", "fork", "--deny", path, auth="optional") as server:
        for _ in range(5):
            equal(Client(server, pki, "alice").get(), 200)
        for arguments in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-alpn", "h3"], ["-alpn", "h3"]):
            shslib.run("openssl", "s_client", "-connect", "127.0.0.1:%d" % server.port, *arguments, seconds=20)
        for _ in range(10):
            server.connect_plain().close()
        client = Client(server, pki, "alice")
        equal(client.get(), 200)
        client.open(server, client.sock.session)
        equal(client.get(), 200)
        write_list(pki, entry(pki, "bob", "cert"))
        reload(server, 1)
        equal(client.get(), None, "a child answers by the list of before")
        client.close()
        equal(Client(server, pki, "bob").get(), None)
        equal(Client(server, pki, "alice").get(), 200)
        shslib.wait_until(lambda: len(lines(server)) >= 5, 10, "lines")
        shslib.wait_until(lambda: not server.children(), 10, "every child to have ended, and to be counted")
        server.stop()
        check("TLS: handshakes=8 resumed=1 probes=10 failed=4 version=1 no-shared-protocol=2 client-cert=1 "
              "clients-ended=1 reloads=1 reload-failures=0" in server.stderr, server.stderr[-600:])


def reload_while_forking(pki):
    """A fork in the middle of a reload leaves no child that waits for a lock of a thread it has not."""
    # A CRL of its own: `revoked` makes another of the common one beside this, and a child that has shaken hands
    # by the old one ends its connection.
    with serve(pki, "--threading", "fork", "--crl", os.path.dirname(pki["crl"]) + "/forking.crl", log="none") as server:
        for i in range(60):
            server.signal(1)
            equal(Client(server, pki, "alice").get(), 200, "while it reloads, %d" % i)


def deny():
    with shslib.temp_dir() as directory:
        tls_pki.each_at_once(make_pki(directory), (denied, explained, bad_lists), (resumed, forked, reload_while_forking),
                             (expires, revoked))


shslib.main(deny)
