"""SIGHUP reads certificates, keys, CAs and rules of all listeners: what cannot be used holds up nothing else."""

import http.client
import json
import os
import re
import shutil
import signal
import ssl

import shslib
import tls_pki
from shslib import check, equal

ROLES = "role a GET %s\nmap anyone a\n"


class Lab:
    """Two TLS listeners with certificates of their own, and rules at each."""

    def __init__(self, path):
        self.path = path
        self.ca = tls_pki.CA(path, "reload-ca")
        self.pairs = [self.ca.issue("first-%d" % i) for i in range(4)]
        self.place("one", 0)
        self.place("two", 1)
        self.rules("/a")
        shslib.write_file(path + "/c.yaml", "handler: echo\nlog: json\naccess: rules\nthreading: %s\nlisteners:\n%s" % (
            shslib.THREADING or "pool", "".join("- {port: 0, certificates: [{cert: %s.pem, key: %s.key}]}\n" % (name, name)
                                                for name in ("one", "two"))))

    def place(self, name, pair, key=None):
        shutil.copyfile(self.pairs[pair][0], self.path + "/" + name + ".pem.new")
        os.rename(self.path + "/" + name + ".pem.new", self.path + "/" + name + ".pem")
        shutil.copyfile(self.pairs[pair if key is None else key][1], self.path + "/" + name + ".key.new")
        os.chmod(self.path + "/" + name + ".key.new", 0o600)
        os.rename(self.path + "/" + name + ".key.new", self.path + "/" + name + ".key")

    def rules(self, path):
        shslib.write_file(self.path + "/rules", ROLES % path)

    def serve(self):
        return shslib.Server("--config", "c.yaml", argv=[shslib.BIN, "serve", "--config", "c.yaml"], cwd=self.path)


def ports_of(server, count):
    server.wait_stdout(r"(?s)(Serving [^\n]*\n){%d}" % count)
    return [int(port) for port in re.findall(r"^Serving \S+ on \S+ port (\d+)", server.stdout, re.M)]


def look(port, path):
    """The certificate's serial number, and the status of a GET."""
    context = tls_pki.client_context(None)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20 * shslib.SLOWNESS, context=context)
    try:
        connection.connect()
        der = connection.sock.getpeercert(True)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return der, answer.status
    finally:
        connection.close()


def ders(lab):
    return [ssl.PEM_cert_to_DER_cert(open(pair[0]).read().split("-----END")[0] + "-----END CERTIFICATE-----\n")
            for pair in lab.pairs]


def said(server):
    """The messages that say what came of reloads."""
    lines = [json.loads(line) for line in server.stderr_lines()]
    return [line["message"] for line in lines if line.get("message", "").startswith("Files ")]


def hang_up(server):
    """SIGHUP, and the line that tells of it."""
    before = len(said(server))
    server.signal(signal.SIGHUP)
    shslib.wait_until(lambda: len(said(server)) > before, 20, "a line about the reload")
    line = said(server)[before]
    check(not re.search(r"[.?!];", line), "two sentences are glued: " + line)
    return line


@shslib.not_under("fork")
def test_what_cannot_be_used_holds_up_nothing():
    with shslib.temp_dir() as path:
        lab = Lab(path)
        leafs = ders(lab)
        with lab.serve() as server:
            ports = ports_of(server, 2)

            def now():
                return [look(port, "/a") for port in ports]

            equal(now(), [(leafs[0], 200), (leafs[1], 200)])
            # A key that is not the certificate's: that pair stays, the other and the rules are taken.
            lab.place("one", 2)
            lab.place("two", 3, key=0)
            lab.rules("/b")
            line = hang_up(server)
            name = re.escape("127.0.0.1:%d" % ports[1])
            check(re.match(r"Files read again, but not all can be used: %s: .*two\.(pem|key)" % name, line), line)
            for file in ("one.pem", "one.key", "rules"):
                check(re.search(r"[Tt]aken: [^;]*'%s' of 127" % re.escape(file), line), "%s is not in: %s" % (file, line))
            check(re.search(r"[Kk]ept: [^;]*'two.pem' of 127", line), line)
            equal(now(), [(leafs[2], 403), (leafs[1], 403)], "one pair is kept")
            # It is tried again by itself.
            lab.place("two", 3)
            shslib.wait_until(lambda: said(server)[-1].startswith("Files read again; taken"), 20, "the next try")
            line = said(server)[-1]
            for file in ("two.pem", "two.key"):
                check(re.search(r"[Tt]aken: [^;]*'%s' of 127" % re.escape(file), line), "%s is not in: %s" % (file, line))
            equal(now(), [(leafs[2], 403), (leafs[3], 403)], "all has changed")
            equal(len(said(server)), 2, "what is tried again says nothing until it comes to something")
            # What says the same as before is said so; bad rules do not hold up certificates.
            check("as before: 'c.yaml', 'one.pem' of" in hang_up(server), said(server)[-1])
            lab.place("one", 0)
            shslib.write_file(path + "/rules", "role a GET /b\nmap anyone boss\n")
            line = hang_up(server)
            check("rules:2: there is no role 'boss'" in line and "'one.pem' of" in re.split("[Tt]aken: ", line)[1], line)
            equal(now(), [(leafs[0], 403), (leafs[3], 403)], "bad rules")
            # Where nothing can be used, nothing has changed.
            shslib.write_file(path + "/one.pem", "nonsense\n")
            line = hang_up(server)
            check(line.startswith("Files not reloaded, all stays as it was: "), line)
            equal(now(), [(leafs[0], 403), (leafs[3], 403)], "nothing good")
            # Two that are bad: the one that is mended is taken by itself, and does not wait for the other.
            lab.place("two", 2, key=0)
            line = hang_up(server)
            check("ept: " in line and "'two.pem' of" in re.split("[Kk]ept: ", line)[1], line)
            lab.place("two", 2)
            shslib.wait_until(lambda: "aken: 'two.pem' of" in said(server)[-1], 20, "the next try")
            check(said(server)[-1].startswith("Files read again, but not all can be used: "), said(server)[-1])
            equal(now(), [(leafs[0], 403), (leafs[2], 403)], "one of two is mended")
            server.stop()
        equal(server.wait(), 0)


def test_an_open_connection_goes_on():
    with shslib.temp_dir() as path:
        lab = Lab(path)
        with shslib.Server("--cert", "one.pem", "--key", "one.key", "--log", "json", "--handler", "echo",
                           cwd=path) as server:
            context = tls_pki.client_context(lab.ca.cert)
            context.check_hostname = False
            connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=20 * shslib.SLOWNESS,
                                                     context=context)
            connection.request("GET", "/")
            equal(connection.getresponse().read() != b"", True)
            old = connection.sock
            lab.place("one", 1)
            equal(hang_up(server), "Files read again; taken: 'one.pem', 'one.key'")
            connection.request("GET", "/")
            equal((connection.getresponse().status, connection.sock is old), (200, True))
            connection.close()


if __name__ == "__main__":
    shslib.main(*[value for name, value in list(globals().items()) if name.startswith("test_")])
