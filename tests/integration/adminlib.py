"""What tests of the admin plane have in common: servers that have one, and clients for them."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import socket
import ssl
import struct
import subprocess
import sys

import shslib
import tls_pki
from shslib import equal

SITE = os.path.join(shslib.SOURCE_DIR, "examples", "site")
PREFIX = "/admin/v1"
# What is said to take so long, where nothing else runs and nothing is added to the program.
QUICK = 0.2


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("admin", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Admin(shslib.Server):
    """A server with an admin plane at a Unix socket, and what more is asked for."""

    def __init__(self, *arguments, **keywords):
        self.home = keywords.pop("home")
        self.socket = os.path.join(self.home, "admin.sock")
        self.audit_file = os.path.join(self.home, "audit.jsonl")
        arguments = ("--admin", "unix:" + self.socket, "--admin-audit", self.audit_file, *arguments)
        if keywords.pop("as_it_is", False):  # a configuration says where it listens
            keywords["argv"] = [shslib.BIN, "serve", *arguments]
        super().__init__(*arguments, **keywords)
        self.wait_stdout(r"^Admin at unix:")

    def admin_tcp(self):
        """The port of its second place."""
        return int(self.wait_stdout(r"^Admin at https?://127\.0\.0\.1:(\d+)/admin/v1/$").group(1))

    def ask(self, path, method="GET", body=None, headers=None, seconds=10):
        connection = UnixConnection(self.socket, seconds * shslib.SLOWNESS)
        with contextlib.closing(connection):
            headers = dict(headers or {})
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
                headers["Content-Type"] = "application/json"
            connection.request(method, path if path.startswith("/") else PREFIX + "/" + path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def see(self, path):
        answer = self.ask(path)
        equal(answer.status, 200, path + ": %r" % answer.body)
        return answer.json

    def audit(self):
        with open(self.audit_file, "rb") as file:
            lines = file.read().split(b"\n")
        equal(lines[-1], b"", "the end of the audit log")
        return [json.loads(line) for line in lines[:-1]]

    def client(self, pki, name, ticket=None):
        """A TLS connection as that client, the handshake over on both sides."""
        context = pki.context(name)
        sock = socket.create_connection((self.address, self.port), timeout=10 * shslib.SLOWNESS)
        return context.wrap_socket(sock, server_hostname="localhost", session=ticket)


class Pki:
    def __init__(self, directory):
        self.directory = directory
        self.ca = tls_pki.CA(directory, "corp")
        self.cert, self.key = self.ca.issue("server")
        self.clients = {}
        for name in ("alice", "bob", "carol"):
            self.clients[name] = self.ca.client(name)
        self.clients["dave"] = self.ca.client("dave", names=("URI:spiffe://corp.test/ns/ops/sa/dave",))
        self.clients["eve"] = self.ca.client("eve", names=("URI:spiffe://corp.test/ns/opsx/sa/eve",))
        self.clients["mallory"] = self.ca.client("mallory", subject="/O=ops\\/CN=admin/CN=mallory")
        self.clients["two-cn"] = self.ca.client("two-cn", subject="/CN=alice/CN=bob")
        self.clients["two-spiffe"] = self.ca.client(
            "two-spiffe", names=("URI:spiffe://corp.test/a", "URI:spiffe://corp.test/b"))
        self.clients["spiffe-ca"] = self.ca.client("spiffe-ca", names=("URI:spiffe://corp.test/ns/ops/sa/ca",), ca=True)
        self.clients["torn"] = self.ca.client("torn", subject="/CN=eve\r\n{}\x1b[31m\"")
        self.clients["server-eku"] = self.ca.client("server-eku", usage="serverAuth")
        self.contexts = {}

    def context(self, name):
        if name not in self.contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(self.ca.cert)
            if name is not None:
                context.load_cert_chain(*self.clients[name])
            self.contexts[name] = context
        return self.contexts[name]

    def many(self, count):
        """So many clients, each with a CN of its own and all with one key; their contexts."""
        key = self.clients["alice"][1]
        for i in range(count):
            name = "client-%d" % i
            path = os.path.join(self.directory, name + ".pem")
            subprocess.run(["openssl", "req", "-x509", "-new", "-CA", self.ca.cert, "-CAkey", self.ca.key, "-key", key, "-subj",
                            "/CN=" + name, "-days", "2", "-config", self.ca.config, "-addext", "extendedKeyUsage=clientAuth",
                            "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "keyUsage=critical,digitalSignature",
                            "-addext", "subjectKeyIdentifier=hash", "-addext", "authorityKeyIdentifier=keyid",
                            "-out", path], capture_output=True, timeout=30, check=True)
            self.clients[name] = (path, key)
            yield name

    def flags(self):
        return ("--cert", self.cert, "--key", self.key, "--client-ca", self.ca.cert)

    def spki(self, name):
        done = subprocess.run(["openssl", "x509", "-in", self.clients[name][0], "-noout", "-pubkey"],
                              capture_output=True, timeout=30, check=True)
        body = b"".join(done.stdout.split(b"\n")[1:-2])
        return hashlib.sha256(base64.b64decode(body)).digest()


RULES = """
ca corp file "%s"
role viewer    GET /admin/v1/**
role operator  viewer + POST /admin/v1/{drain,undrain,reload} + DELETE /admin/v1/connections/{id} \\
               + PUT /admin/v1/log
role admin     operator + POST /admin/v1/deny
map uid %d          admin
map cn "alice" ca corp  admin
map cn "carol" ca corp  operator
map cn "bob" ca corp    viewer
map cn "admin" ca corp  admin
"""


class Asleep:
    """asleep.c, built once: what a suspend does to the clocks of a server with this environment."""

    def __init__(self, home):
        shim, self.path = os.path.join(home, "asleep.so"), os.path.join(home, "asleep")
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", shim,
                        os.path.join(os.path.dirname(os.path.abspath(__file__)), "asleep.c")], check=True)
        with open(self.path, "wb") as file:
            file.write(struct.pack("=q", 0))
        options = os.environ.get("ASAN_OPTIONS", "")
        self.env = {"LD_PRELOAD": shim, "SHS_ASLEEP": self.path,
                    "ASAN_OPTIONS": (options + ":" if options else "") + "verify_asan_link_order=0"}

    def sleep(self, seconds):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("=q", seconds))


class Ruled(Admin):
    """With rules, and TLS: alice is admin, carol operator, bob viewer, nobody else anything."""

    def __init__(self, pki, home, *arguments, **keywords):
        self.pki = pki
        self.rules = shslib.write_file(os.path.join(home, "rules"), RULES % (pki.ca.cert, os.geteuid()))
        super().__init__(*pki.flags(), "--admin", "tls:0", "--admin-client-ca", pki.ca.cert, "--admin-rules", self.rules,
                         "--admin-rate", "100000", *arguments, SITE, home=home, **keywords)
        self.tcp = self.admin_tcp()

    def ask_as(self, name, path, method="GET", body=None):
        connection = http.client.HTTPConnection("localhost", self.tcp)
        with contextlib.closing(connection):
            sock = socket.create_connection(("127.0.0.1", self.tcp), timeout=10 * shslib.SLOWNESS)
            connection.sock = self.pki.context(name).wrap_socket(sock, server_hostname="localhost")
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path if path.startswith("/") else PREFIX + "/" + path,
                               None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())


def talk(sock, path="/"):
    sock.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
    line, headers, body, _ = shslib.read_response(sock)
    return int(line.split(" ")[1]), body


def ends_in_order(sock):
    """The peer said goodbye (close_notify, no RST)."""
    try:
        return sock.recv(100) == b""
    except OSError:
        return False


def is_cut_off(sock):
    try:
        return sock.recv(100) == b""
    except OSError:
        return True


def main(names, pki=Pki):
    """Runs the tests among these globals, or those that the command line names in part."""
    if not shslib.run(shslib.BIN, "serve", "--help")[1].count("--admin"):
        shslib.skip("this build has no admin plane")
    try:
        with shslib.temp_dir() as directory:
            tests = [value for name, value in sorted(names.items()) if name.startswith("test_")]
            wanted = sys.argv[1:]
            tls_pki.each(pki(directory),
                         *[test for test in tests if not wanted or any(word in test.__name__ for word in wanted)])
    except shslib.Failure:
        sys.exit(1)
