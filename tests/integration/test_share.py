"""`shs serve` for other devices: the names of its certificate, every URL, a QR code on a terminal."""

import contextlib
import ctypes
import ctypes.util
import errno
import fcntl
import hashlib
import http.client
import os
import pty
import re
import socket
import ssl
import struct
import subprocess
import termios

import shslib
from shslib import check, equal

URL = re.compile(r"^    (https?)://(?:\[([0-9a-f:]+)\]|([^\s:/]+)):(\d+)/", re.M)


def shown(server):
    """(scheme, host, port) of each URL for other devices."""
    server.wait_stdout(r"^For other devices:$")
    server.wait_stdout(r"\.local:\d+/")
    return [(scheme, six or host, int(port)) for scheme, six, host, port in URL.findall(server.stdout)]


def own_name():
    return socket.gethostname()


def is_address(host):
    return ":" in host or re.fullmatch(r"[0-9.]+", host) is not None


def interface_addresses():
    """IPv4 addresses that this machine has, as the kernel says them."""
    done = subprocess.run(["ip", "-4", "-o", "addr", "show", "up"], stdout=subprocess.PIPE, check=True, text=True)
    found = re.findall(r"^\d+: (\S+) +inet ([0-9.]+)", done.stdout, re.M)
    return {address for name, address in found if name != "lo" and not address.startswith("127.")}


def every_name_is_good():
    """Each URL can be opened with the authority's certificate and nothing else."""
    with shslib.Server("--bind", "", "--handler", "whoami", "--name", "app.test", "--name", "10.99.0.1") as server:
        urls = shown(server)
        server.wait_stdout(r"10\.99\.0\.1")
        urls = [(s, six or h, int(p)) for s, six, h, p in URL.findall(server.stdout)]
        hosts = [host for _, host, _ in urls]
        local = own_name().split(".")[0] + ".local"
        check(own_name() in hosts and local in hosts, hosts)
        equal(hosts[-2:], ["app.test", "10.99.0.1"], "those of --name")
        with contextlib.suppress(FileNotFoundError):  # no iproute2
            equal(interface_addresses() - set(hosts), set(), "addresses without a URL")
        check(not any(h.startswith(("127.", "fe80")) or h == "::1" for h in hosts), hosts)
        equal({port for _, _, port in urls}, {server.port}, "ports")
        for host in hosts + ["localhost", "127.0.0.1"]:
            connect_to = host if is_address(host) and host != "10.99.0.1" else "127.0.0.1"
            sock = socket.create_connection((connect_to, server.port), timeout=10 * shslib.SLOWNESS)
            with server.tls_context().wrap_socket(sock, server_hostname=host) as tls:
                equal(tls.getpeercert()["subject"][0][0][1], "localhost")
        sock = socket.create_connection(("127.0.0.1", server.port), timeout=10 * shslib.SLOWNESS)
        try:
            server.tls_context().wrap_socket(sock, server_hostname="other.test").close()
            raise shslib.Failure("a name that nobody asked for is good")
        except ssl.SSLCertVerificationError:
            pass
        finally:
            sock.close()


def where_nobody_comes():
    """On loopback there is nothing to tell; without TLS there are URLs all the same."""
    with shslib.Server("--handler", "whoami") as server:
        server.wait_stdout(r"^Try: curl")
        check("other devices" not in server.stdout, server.stdout)
    with shslib.Server("--plain", "--bind", "0.0.0.0", "--handler", "whoami") as server:
        urls = shown(server)
        check(all(scheme == "http" for scheme, _, _ in urls), urls)
        check(not any(":" in host for _, host, _ in urls), "IPv6 at 0.0.0.0: %r" % urls)


def names_that_are_none():
    for value, words in (("https://a.test", "is not the name of a host"), ("a.test:8443", "is not the name of a host"),
                         ("", "is not the name of a host"), ("-x", "is not the name of a host"),
                         ("a b", "is not the name of a host")):
        code, _, err = shslib.run(shslib.BIN, "serve", "--name=" + value, "--check")
        equal(code, 2, err)
        check(words in err, err)
    for more, words in ((("--plain",), "--name"), (("--cert", "x.pem"), "--name")):
        code, _, err = shslib.run(shslib.BIN, "serve", "--name", "a.test", "--check", *more)
        equal(code, 2, err)
        check(words in err, err)
    with shslib.temp_dir() as state:
        env = {"XDG_STATE_HOME": state}
        code, _, err = shslib.run(shslib.BIN, "serve", "--name", "www.example.com", "--check", env=env)
        equal(code, 0, err)


# -- the QR code ---------------------------------------------------------------------------------------------


class QRcode(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int), ("width", ctypes.c_int), ("data", ctypes.POINTER(ctypes.c_ubyte))]


def matrix(text):
    """The modules that libqrencode makes of it: True is dark. None: it is not here."""
    name = ctypes.util.find_library("qrencode")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    library.QRcode_encodeString8bit.restype = ctypes.POINTER(QRcode)
    code = library.QRcode_encodeString8bit(text.encode(), 0, 0).contents
    return [[bool(code.data[y * code.width + x] & 1) for x in range(code.width)] for y in range(code.width)]


def on_terminal(columns, rows, *arguments, **environment):
    """What the server prints on a terminal of that size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment}
    with shslib.temp_dir() as state:
        env["XDG_STATE_HOME"] = state
        process = subprocess.Popen([shslib.BIN, "serve", "--port", "0", "--handler", "whoami", "--log", "none",
                                    *arguments], stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL,
                                   env=env)
        os.close(theirs)
        text, stopped = b"", False
        try:
            while True:
                try:
                    part = os.read(ours, 65536)
                except OSError as error:  # the other end is closed
                    equal(error.errno, errno.EIO)
                    break
                if not part:
                    break
                text += part
                # What it says at the start it says at once; then it may go.
                if not stopped and b"app.test" in text:
                    process.terminate()
                    stopped = True
            equal(process.wait(20 * shslib.SLOWNESS), 0, "exit status")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(ours)
    return text.decode("utf-8").replace("\r\n", "\n")


def drawn_in_blocks(text):
    """The modules of a code of half blocks, without the light ones around it."""
    pairs = {"\u2588": (False, False), "\u2580": (False, True), "\u2584": (True, False), " ": (True, True)}
    rows = []
    for line in re.findall(r"\033\[40;97m([^\033]*)\033\[0m", text):
        cells = [pairs[c] for c in line]
        rows += [[upper for upper, _ in cells], [lower for _, lower in cells]]
    return trim(rows)


def drawn_in_blanks(text):
    rows = []
    for line in text.split("\n"):
        cells = re.findall(r"\033\[(107|40)m  ", line)
        if cells:
            rows.append([cell == "40" for cell in cells])
    return trim(rows)


def trim(rows):
    check(len(rows) > 8, "no code was drawn")
    width = len(rows[0]) - 8
    check(not any(any(row) for row in rows[:4] + rows[width + 4:width + 8]), "its border is not light")
    check(not any(any(row[:4]) or any(row[-4:]) for row in rows[:width + 8]), "its border is not light")
    return [row[4:-4] for row in rows[4:width + 4]]


def a_code_is_the_url():
    arguments = ("--bind", "0.0.0.0", "--name", "app.test")
    text = on_terminal(100, 50, *arguments)
    first = URL.search(text).group(0).strip()
    expected = matrix(first)
    if expected is None or "\u2588" not in text:
        equal(expected is None, "\u2588" not in text, "libqrencode is here, and the code is not")
        print("       no QR codes: libqrencode is not installed")
        return
    equal(drawn_in_blocks(text), expected, "the code of %s" % first)
    text = on_terminal(100, 50, *arguments, LC_ALL="C")
    equal(drawn_in_blanks(text), matrix(URL.search(text).group(0).strip()), "in a terminal without UTF-8")
    for columns, rows in ((30, 50), (100, 12)):
        text = on_terminal(columns, rows, *arguments)
        check("(No QR code: it needs a window of" in text and "\033" not in text, text)
    for arguments_now, environment in (((*arguments, "--no-qr"), {}), (arguments, {"TERM": "dumb"}),
                                       (("--name", "app.test"), {"TERM": ""})):
        text = on_terminal(100, 50, *arguments_now, **environment)
        check("\033" not in text and "No QR code" not in text, text)


def never_into_a_pipe():
    with shslib.Server("--bind", "", "--handler", "whoami", env={"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}) as server:
        shown(server)
        check("\033" not in server.stdout and "\u2588" not in server.stdout, server.stdout)


# -- the authority ---------------------------------------------------------------------------------------------


def the_authority_is_shared():
    with shslib.temp_dir() as site:
        shslib.write_file(site + "/index.html", "hello")
        # This file is under the certificate's path, and the key is none of anybody's business.
        shslib.write_file(site + "/ca/x.txt", "x")
        with shslib.Server(site, "--share-ca", "--redirect", "0") as server:
            page_of = server.wait_stdout(r"^To trust it on another device, open there: (\S+)$").group(1)
            equal(page_of, server.url + "/ca")
            said = server.wait_stdout(r"^Compare the SHA-256 fingerprint: ([0-9A-F:]{95})$").group(1)
            plain = int(server.wait_stdout(r"^Serving HTTP on \S+ port (\d+)").group(1))
            with open(server.ca, "rb") as f:
                pem = f.read()
            der = ssl.PEM_cert_to_DER_cert(pem.decode())
            equal(said.replace(":", "").lower(), hashlib.sha256(der).hexdigest(), "the fingerprint in the terminal")
            for path, body in (("/ca.pem", pem), ("/ca.crt", der)):
                status, headers, got = server.get(path)
                equal((status, got), (200, body), path)
                equal(headers["Content-Type"], "application/x-x509-ca-cert")
                equal(server.request("HEAD", path)[1]["Content-Length"], str(len(body)))
                status, headers, _ = server.request("POST", path, body=b"x")
                equal((status, headers["Allow"]), (405, "GET, HEAD"))
            status, headers, page = server.get("/ca")
            text = page.decode()
            equal((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
            check(headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self';"), headers)
            check(said in text, "the fingerprint is not on the page")
            for word in ("Android", "iPhone", "Windows", "macOS", "Firefox", "Debian"):
                section = re.search(r"<h2>%s[^<]*</h2>\n<ol>\n(.*?)</ol>" % word, text, re.S)
                check(section and 4 <= section.group(1).count("<li>") <= 6, word)
            check(not re.search(r"https?:|//|<script|style=|<img", text), "something from elsewhere")
            equal(server.get("/ca?style")[1]["Content-Type"], "text/css; charset=utf-8")
            for path in ("/ca", "/ca.pem", "/ca.crt", "/ca?style"):
                check(b"PRIVATE" not in server.get(path)[2], path)
            equal(server.get("/ca/x.txt")[2], b"x", "what is beside it")
            equal(server.get("/")[2], b"hello")
            connection = http.client.HTTPConnection("127.0.0.1", plain, timeout=10 * shslib.SLOWNESS)
            with contextlib.closing(connection):
                connection.request("GET", "/ca.pem")
                answer = connection.getresponse()
                equal((answer.status, answer.read()), (200, pem), "over plain HTTP")
                connection.request("GET", "/")
                equal(connection.getresponse().status, 308, "the rest of plain HTTP")


def it_is_in_front_of_passwords():
    with shslib.temp_dir() as site:
        shslib.write_file(site + "/users", "a:$6$x$" + "x" * 86 + "\n")
        with shslib.Server(site, "--share-ca", "--auth-file", site + "/users") as server:
            equal((server.get("/ca.pem")[0], server.get("/ca")[0], server.get("/")[0]), (200, 200, 401))


def it_is_not_shared_unasked():
    with shslib.temp_dir() as site, shslib.Server(site) as server:
        equal((server.get("/ca")[0], server.get("/ca.pem")[0]), (404, 404))
        check("fingerprint" not in server.stdout, server.stdout)
    for more in (("--plain",), ("--cert", "x.pem")):
        code, _, err = shslib.run(shslib.BIN, "serve", "--share-ca", "--check", *more)
        equal(code, 2, err)
        check("--share-ca" in err, err)


shslib.main(every_name_is_good, where_nobody_comes, names_that_are_none, a_code_is_the_url, never_into_a_pipe,
            the_authority_is_shared, it_is_in_front_of_passwords, it_is_not_shared_unasked)
