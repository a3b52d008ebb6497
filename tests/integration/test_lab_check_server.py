"""`shs lab check-server`: client certificates that are wrong in one way, on servers that are careful or not."""

import contextlib
import json
import os
import socket
import ssl
import threading
import xml.dom.minidom

import shslib
from shslib import BIN, check, equal


def run(*arguments, seconds=60):
    return shslib.run(BIN, "lab", "check-server", *arguments, seconds=seconds)


@contextlib.contextmanager
def certificates():
    with shslib.temp_dir() as directory:
        directory = os.path.join(directory, "set")
        code, out, err = run("--dir", directory, "--make")
        equal(code, 0, err)
        check("shs lab check-server" in out, out)
        yield directory


@contextlib.contextmanager
def python_server(directory, mode, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"):
    """A server on OpenSSL's defaults; each connection is served in its turn."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory + "/server.pem", directory + "/server.key")
    context.load_verify_locations(directory + "/ca.pem")
    context.verify_mode = mode
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve():
        while not over.is_set():
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                plain.settimeout(10 * shslib.SLOWNESS)
                with context.wrap_socket(plain, server_side=True) as sock:
                    sock.recv(65536)
                    sock.sendall(answer)
                    sock.unwrap()
            except (OSError, ValueError):
                plain.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def our_own_server():
    with certificates() as d:
        with shslib.Server("--cert", d + "/server.pem", "--key", d + "/server.key", "--client-ca", d + "/ca.pem",
                           "--crl", d + "/crl.pem", "--handler", "whoami") as server:
            url = "https://localhost:%d/" % server.port
            code, out, err = run("--dir", d, "--identity", "common_name", "--spiffe", "--format", "json", url)
            equal(code, 0, out + err)
            results = {case["id"]: case for case in json.loads(out)["results"]}
            check(len(results) >= 50, "%d cases" % len(results))
            for name, verdict in (("alice", "accept"), ("none", "reject"), ("expired-tls12", "reject"), ("revoked", "reject"),
                                  ("revoked-ica-tls12", "reject"), ("spiffe-ca", "reject"), ("two-cn", "reject"),
                                  ("spoof-o", "accept"), ("nul-cn", "reject")):
                equal(results[name]["verdict"], verdict, name)
            equal(results["none"]["said"], "certificate_required")
            equal(results["expired"]["said"], "certificate_expired")
            equal(results["spoof-ou"]["said"], "taken for 'mallory'")
            check(not any(case["verdict"] == "reject-other-reason" for case in results.values()), out)
        # The same with an answer in place of an alert.
        with shslib.Server("--cert", d + "/server.pem", "--key", d + "/server.key", "--client-ca", d + "/ca.pem",
                           "--crl", d + "/crl.pem", "--handler", "whoami", "--client-auth", "explain") as server:
            code, out, err = run("--dir", d, "--identity", "common_name", "--spiffe",
                                 "https://localhost:%d/" % server.port)
            equal(code, 0, out + err)
            check("other reason: " not in out, out)


def servers_that_are_not_careful():
    with certificates() as d:
        with python_server(d, ssl.CERT_OPTIONAL) as port:
            code, out, err = run("--dir", d, "--no-crl", "https://localhost:%d" % port)
            equal(code, 3, out + err)
            check("none (accepted, critical)" in out and "exit 3" in out, out)
            check("revoked (accepted" not in out, out)
        with python_server(d, ssl.CERT_REQUIRED) as port:
            code, out, err = run("--dir", d, "https://localhost:%d" % port)
            equal(code, 3, out + err)
            check("revoked (accepted, high)" in out and "none (accepted" not in out, out)
        # One that takes everybody for admin, whoever signed what.
        with python_server(d, ssl.CERT_REQUIRED, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nadmin") as port:
            code, out, err = run("--dir", d, "--no-crl", "--identity", "text", "https://localhost:%d" % port)
            equal(code, 3, out + err)
            check("spoof-o (accepted, critical)" in out and "alice (accepted, critical)" in out, out)


def a_server_that_cannot_be_used():
    with certificates() as d, certificates() as other:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        code, _, err = run("--dir", d, "https://127.0.0.1:%d" % port)
        equal(code, 6, err)
        check("Cannot connect" in err and str(port) in err, err)
        check("does the server run?" in err and "ca.pem" not in err, err)
        with python_server(other, ssl.CERT_REQUIRED) as port:
            code, _, err = run("--dir", d, "--ca", other + "/root.pem", "https://localhost:%d" % port)
            equal(code, 6, err)
            check(d + "/ca.pem" in err and "does the server run?" not in err, err)
        with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and says nothing
            code, _, err = run("--dir", d, "--timeout", "1", "https://127.0.0.1:%d" % listener.getsockname()[1])
            equal(code, 6, err)


def baselines_and_formats():
    with certificates() as d, python_server(d, ssl.CERT_OPTIONAL) as port:
        url, known, page = "https://localhost:%d" % port, d + "/known", d + "/page.html"
        base = ("--dir", d, "--no-crl", "--baseline", known)
        code, _, err = run(*base, url)
        equal(code, 1, err)
        check(known in err, err)
        equal(run(*base, "--update-baseline", url)[0], 0)
        with open(known) as file:
            check("\nnone accept\n" in file.read(), "the baseline does not have it")
        code, out, err = run(*base, "--report", page, url)
        equal((code, err), (0, ""), "with a baseline that has all of it")
        with open(page) as file:
            text = file.read()
        check("<td>none<td>critical<td>reject: certificate required" in text and "src=" not in text, text)
        with open(known) as file:
            lines = [line for line in file if not line.startswith("none")]
        with open(known, "w") as file:
            file.writelines(lines + ["gone accept\n", "expired accept\n"])
        code, out, err = run(*base, url)
        equal(code, 3, out + err)
        check("new         none: accept" in err and "unknown     gone" in err and "mended      expired" in err, err)
        code, out, _ = run("--dir", d, "--no-crl", "--format", "junit", url)
        suite = xml.dom.minidom.parseString(out).documentElement
        equal((code, suite.getAttribute("failures")), (3, "2"), out)
        code, out, _ = run("--dir", d, "--no-crl", "--format", "tap", url)
        check(out.startswith("TAP version 13\n1..5") and "not ok 2 - none: accept" in out, out)
        code, out, _ = run("--dir", d, "--no-crl", "--format", "github", url)
        check("::error title=none::none accepted, and should reject" in out, out)


def usage():
    with certificates() as d:
        for arguments, word in (((), "--dir"), (("--dir", d), "URL"), (("--dir", d, "http://x"), "http://x"),
                                (("--dir", d, "https://x:99999"), "99999"), (("--dir", d, "https://:1"), "host"),
                                (("--dir", d, "--format", "x", "https://x"), "'x'"), (("--dir", d, "--make"), "exist"),
                                (("--dir", d, "--update-baseline", "https://x"), "--baseline")):
            code, _, err = run(*arguments)
            equal(code, 2, "%r %s" % (arguments, err))
            check(word in err, "%r %s" % (arguments, err))
    code, _, err = run("--dir", "/nonexistent", "https://localhost:1")
    equal(code, 1, err)
    check("--make" in err, err)


shslib.main(our_own_server, servers_that_are_not_careful, a_server_that_cannot_be_used, baselines_and_formats, usage)
