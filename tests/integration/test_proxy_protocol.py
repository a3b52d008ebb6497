"""ProxyProtocolMixIn: `shs serve --proxy-protocol`, headers of both versions, and what is not a header."""

import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess

import shslib
from shslib import check, equal

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
COMPOSITIONS = [shslib.THREADING] if shslib.THREADING else ["none", "thread", "pool", "fork"]
LOCAL = "127.0.0.0/8"


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def v2(body=None, command=0x21, family=0x11, tlvs=b"", checksum=False):
    if body is None:
        body = socket.inet_aton("203.0.113.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 56324, 443)
    body += tlvs
    if checksum:
        body += tlv(3, b"\0\0\0\0")
    header = SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body
    if checksum:
        header = header[:-4] + struct.pack("!I", crc32c(header))
    return header


def v2_inet6(host="2001:db8::7"):
    return v2(socket.inet_pton(socket.AF_INET6, host) + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
              + struct.pack("!HH", 56324, 443), family=0x21)


SSL_TLV = tlv(0x20, struct.pack("!BI", 0x07, 0) + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"alice"))
FULL = v2(tlvs=tlv(1, b"h2") + tlv(2, b"www.example.test") + tlv(5, b"id-1") + tlv(4, b"\0" * 20) + SSL_TLV
          + tlv(0xEA, b"vendor"), checksum=True)

HEADERS = [  # bytes, the client and its port as the server sees them; None: the peer itself
    (V1, "203.0.113.7", 56324),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", "2001:db8::7", 56324),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535 and more\r\n", None, None),
    (v2(), "203.0.113.7", 56324),
    (v2_inet6(), "2001:db8::7", 56324),
    (v2_inet6("::ffff:203.0.113.9"), "203.0.113.9", 56324),
    (v2(family=0x12), "203.0.113.7", 56324),
    (v2(b"/run/client.sock".ljust(108, b"\0") + b"/run/to".ljust(108, b"\0"), family=0x31), "/run/client.sock", 0),
    (v2(b"", command=0x20, family=0), None, None),
    (v2(b"anything at all", command=0x20, family=0xFF), None, None),
    (v2(b"anything", family=0), None, None),
    (FULL, "203.0.113.7", 56324),
    (v2(tlvs=tlv(0xEE, b"x" * 4000)), "203.0.113.7", 56324),
]

BAD = [  # bytes, cause
    (GET, "missing"),
    (b"\x16\x03\x01\x02\x00", "missing"),
    (b"PROXY\tTCP4 1.1.1.1 2.2.2.2 1 2\r\n", "missing"),
    (b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", "missing"),
    (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", "malformed"),
    (b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", "malformed"),
    (b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", "malformed"),
    (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", "malformed"),
    (b"PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n", "malformed"),
    (b"PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n", "malformed"),
    (b"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", "malformed"),
    (b"PROXY TCP4 ::1 ::2 1 2\r\n", "malformed"),
    (b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", "malformed"),
    (b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", "malformed"),
    (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", "malformed"),
    (b"PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n", "malformed"),
    (b"PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n", "malformed"),
    (b"PROXY \r\n", "malformed"),
    (b"PROXY UNKNOWN " + b"x" * 93, "too-long"),
    (v2(command=0x31), "malformed"),
    (v2(command=0x22), "malformed"),
    (v2(family=0x41), "malformed"),
    (v2(family=0x13), "malformed"),
    (v2(b"12345678901"), "malformed"),
    (v2(tlvs=b"\x01\x00"), "malformed"),
    (v2(tlvs=b"\x01\x00\x05abcd"), "malformed"),
    (v2(tlvs=tlv(2, b"a\r\nb")), "malformed"),
    (v2(tlvs=tlv(2, b"a") + tlv(2, b"b")), "malformed"),
    (v2(tlvs=tlv(5, b"x" * 129)), "malformed"),
    (v2(tlvs=tlv(3, b"123")), "malformed"),
    (v2(tlvs=tlv(0x20, b"\x01\0\0")), "malformed"),
    (v2(tlvs=tlv(0x20, b"\x07\0\0\0\0" + tlv(0x22, b"alice") + tlv(0x22, b"root"))), "malformed"),
    (v2(tlvs=SSL_TLV + SSL_TLV), "malformed"),
    (v2(tlvs=tlv(3, b"1234")), "checksum"),
    (FULL[:40] + b"?" + FULL[41:], "checksum"),
    (SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 5000), "too-long"),
    (SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 65535), "too-long"),
    (V1 + V1, "second"),
    (v2() + v2(), "second"),
    (V1 + v2(), "second"),
    (v2(b"", command=0x20, family=0) + V1, "second"),
]


def whoami(*arguments, **keywords):
    keywords.setdefault("expect_exit", 0)
    return shslib.Server("--handler", "whoami", *arguments, **keywords)


def balanced(composition, *arguments):
    return whoami("--threading", composition, "--proxy-protocol", LOCAL, *arguments)


def ok(sock):
    """The body of an answer that is 200."""
    line, _, body, _ = shslib.read_response(sock)
    equal(line, "HTTP/1.1 200 OK")
    return body


def ask(server, sock, context=None):
    """GET /, over TLS if the server has it."""
    if server.scheme == "https":
        sock = (context or server.tls_context()).wrap_socket(sock, server_hostname="localhost")
    shslib.send_all(sock, GET)
    body = ok(sock)
    sock.close()
    return json.loads(body)


def causes(server):
    """What the server counted, by its last words."""
    match = re.search(r"PROXY protocol: (.*)", server.stderr)
    return {} if match is None else {key: int(n) for key, n in re.findall(r"([a-z-]+)=(\d+)", match.group(1))}


def refused(server, data):
    """The connection ends without a byte of an answer."""
    with server.connect_plain() as sock:
        shslib.send_all(sock, data)
        check(shslib.is_closed(sock), "not closed: %r" % data)


# -- what is taken ------------------------------------------------------------------------------------


def test_each_header_in_each_composition():
    for composition in COMPOSITIONS:
        for more in ([], ["--plain"]):
            with balanced(composition, *more) as server:
                context = None if more else server.tls_context()
                for header, host, port in HEADERS if composition == "pool" else HEADERS[:2] + HEADERS[-6:]:
                    sock = server.connect_plain()
                    own = sock.getsockname()
                    shslib.send_all(sock, header)
                    got = ask(server, sock, context)
                    equal((got["client"], got["port"]), own if host is None else (host, port), repr(header))
                    equal((got["proxy"]["host"], got["proxy"]["port"]), own, "the balancer")
                    equal(got["proxy"]["local"], host is None)


def test_what_version_2_says():
    with balanced("pool", "--plain") as server:
        sock = server.connect_plain()
        shslib.send_all(sock, FULL)
        proxy = ask(server, sock)["proxy"]
        for key, wanted in (("version", 2), ("alpn", "h2"), ("authority", "www.example.test"),
                            ("unique_id", "id-1"), ("tls", True), ("cert_verified", True), ("cn", "alice"),
                            ("tls_version", "TLSv1.3"), ("to_host", "198.51.100.1"), ("to_port", 443)):
            equal(proxy[key], wanted, key)


def test_torn_at_every_byte():
    """All connections have a part of it, then all have the rest; and a second request follows."""
    with balanced("pool", "--plain", "--threads", "1", "--max-threads", "1") as server:
        for header in (V1, FULL):
            socks = []
            for cut in range(1, len(header)):
                sock = server.connect_plain()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                shslib.send_all(sock, header[:cut])
                socks.append(sock)
            # They hold no thread: somebody else is served.
            other = server.connect_plain()
            shslib.send_all(other, V1)
            equal(ask(server, other)["client"], "203.0.113.7")
            for cut, sock in enumerate(socks, 1):
                shslib.send_all(sock, header[cut:] + GET.replace(b"close", b"keep-alive"))
                equal(json.loads(ok(sock))["client"], "203.0.113.7", "cut at %d" % cut)
                equal(ask(server, sock)["port"], 56324)


def test_what_follows_is_torn_like_a_header():
    """A request that begins as a header does, in pieces: not a byte of it is lost."""
    with balanced("pool", "--plain") as server:
        for begin, rest, wanted in (
                (b"P", b"OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "501"),
                (b"PRO", b"PFIND / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "501"),
                (b"\r\n", GET, "200")):
            sock = server.connect_plain()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            shslib.send_all(sock, V1 + begin)
            other = server.connect_plain()
            shslib.send_all(other, V1)
            ask(server, other)
            shslib.send_all(sock, rest)
            equal(shslib.read_response(sock)[0].split()[1], wanted, repr(begin))


# -- what is not --------------------------------------------------------------------------------------


def test_each_bad_one_is_closed_and_counted():
    wanted = {}
    for _, cause in BAD:
        wanted[cause] = wanted.get(cause, 0) + 1
    for composition in COMPOSITIONS:
        with balanced(composition, "--plain") as server:
            for data, _ in BAD:
                refused(server, data)
        got = causes(server)
        equal({cause: got.get(cause, 0) for cause in wanted}, wanted, composition)
        equal(got["refused"], len(BAD))


def test_torn_ends_are_counted_and_probes_are_not_logged():
    with balanced("pool", "--plain") as server:
        for header in (V1, FULL[:60]):
            for cut in range(0, len(header)):
                with server.connect_plain() as sock:
                    shslib.send_all(sock, header[:cut])
                    sock.shutdown(socket.SHUT_WR)
                    check(shslib.is_closed(sock), "torn at %d" % cut)
    got = causes(server)
    equal((got["torn"], got["probes"], got["refused"]), (len(V1) + 58, 2, len(V1) + 58))
    equal(server.stderr.count("it ended in the middle of its PROXY protocol header"), len(V1) + 58)


def test_it_has_a_deadline():
    with balanced("pool", "--plain", "--handshake-timeout", "200") as server:
        for part in (b"", V1[:9], FULL[:20]):
            refused(server, part)
    equal(causes(server)["timeout"], 3)
    check("was not complete after 200 ms" in server.stderr, server.stderr)


def test_who_is_not_trusted():
    with whoami("--plain", "--proxy-protocol", "10.0.0.0/8", "--proxy-protocol", "fd00::/8") as server:
        refused(server, b"")
        refused(server, V1)
    equal(causes(server), {"headers": 0, "local": 0, "direct": 0, "probes": 0, "refused": 2, "peer": 2})
    check("it is in no network that is trusted" in server.stderr, server.stderr)


def test_direct_clients():
    for more in ([], ["--plain"]):
        with whoami("--proxy-protocol", "10.0.0.0/8", "--proxy-direct", *more) as server:
            got = ask(server, server.connect_plain())
            equal((got["client"], got["proxy"]), ("127.0.0.1", None))
            for header in (V1, v2()):
                refused(server, header + GET)
                with server.connect_plain() as sock:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for i in range(len(header)):
                        try:
                            sock.send(header[i:i + 1])
                        except OSError:  # it was noticed before the end
                            break
                    check(shslib.is_closed(sock), "a forged header, byte by byte")
        got = causes(server)
        equal((got["forged"], got["direct"]), (4, 1), got)


# -- who counts as the client -------------------------------------------------------------------------


def named(address):
    return ("PROXY TCP4 %s 198.51.100.1 1000 443\r\n" % address).encode()


def test_the_bound_is_the_true_clients():
    keep = GET.replace(b"close", b"keep-alive")
    with balanced("pool", "--plain", "--max-connections-per-address", "2") as server:
        held = []
        for address in ("203.0.113.1", "203.0.113.1", "203.0.113.2"):
            sock = server.connect_plain()
            shslib.send_all(sock, named(address) + keep)
            ok(sock)
            held.append(sock)
        refused(server, named("203.0.113.1") + keep)
        held[0].close()

        def let_in():
            with server.connect_plain() as sock:
                shslib.send_all(sock, named("203.0.113.1") + GET)
                return sock.recv(4) == b"HTTP"
        shslib.wait_until(let_in, 10, "the place of the one that left")
        for sock in held:
            sock.close()


def test_log_metrics_and_connections_have_the_true_one():
    if shslib.THREADING in ("fork", "none"):
        return
    with shslib.temp_dir() as path:
        with whoami("--plain", "--log", "combined", "--proxy-protocol", LOCAL, "--health", "0", "--drain-grace", "0",
                    "--admin", "unix:" + path + "/a.sock") as server:
            server.wait_stdout("Admin at ")
            health = re.findall(r"port (\d+) \(", server.stdout)[1]
            sock = server.connect_plain()
            shslib.send_all(sock, V1 + GET.replace(b"close", b"keep-alive"))
            ok(sock)
            code, out, err = shslib.run(shslib.BIN, "ctl", "--socket", path + "/a.sock", "--json", "connections")
            equal(code, 0, err)
            equal([(row["peer"], row["port"]) for row in json.loads(out)], [("203.0.113.7", 56324)], out)
            refused(server, b"GET ")
            code, page, err = shslib.run("curl", "-sS", "http://127.0.0.1:%s/metrics" % health)
            equal(code, 0, err)
            check(re.search(r'shs_proxy_refused_total\{[^}]*cause="missing"\} 1', page), page)
            check(re.search(r'shs_proxy_headers_total\{[^}]*\} 1\n', page), page)
            server.wait_stderr(r'203\.0\.113\.7 - - \[.*"GET / HTTP/1.1" 200')
            sock.close()


def test_early_refusals_have_the_true_one():
    """Whom a line names that is written before there is a request: an end of TLS, and answers that no handler has made."""
    heads = ((b"nonsense\r\n\r\n", 400), (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
             (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70000 + b"\r\n\r\n", 431), (b"GET / HTTP/9.9\r\n\r\n", 505),
             (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999\r\n\r\n", 413),
             (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na", 408))
    options = ("--plain", "--log", "combined", "--log-level", "info", "--proxy-protocol", LOCAL, "--close-timeout", "100")
    torn = str(500 * shslib.SLOWNESS)  # a slow client would be late with all of it
    for more, rows in ((("--body-timeout", "200"), heads), (("--head-timeout", torn), ((b"GET / HTTP/1.1\r\n", 408),))):
        with whoami(*options, *more) as server:
            for number, (head, status) in enumerate(rows):
                with server.connect_plain() as sock:
                    header = b"PROXY TCP4 203.0.113.%d 198.51.100.1 %d 443\r\n" % (100 + number, 1000 + number)
                    shslib.send_all(sock, header + head)
                    equal(int(sock.recv(4096).split()[1]), status, head[:40])
                    server.wait_stderr(r'203\.0\.113\.%d - - \[.*" %d' % (100 + number, status))
                    server.wait_stderr(r"request from 203\.0\.113\.%d port %d failed" % (100 + number, 1000 + number))
            check("127.0.0.1 - -" not in server.stderr, server.stderr)


def test_unix_sockets():
    with shslib.temp_dir() as path:
        where = path + "/s.sock"
        argv = [shslib.BIN, "serve", "--bind", "unix:" + where, "--plain", "--handler", "whoami",
                "--proxy-protocol", "unix"]
        with shslib.Process(argv) as server:
            server.wait_stdout("Serving HTTP on unix:")
            for header, client in ((V1, "203.0.113.7"), (v2(b"", command=0x20), "")):
                sock = socket.socket(socket.AF_UNIX)
                sock.settimeout(10 * shslib.SLOWNESS)
                sock.connect(where)
                shslib.send_all(sock, header + GET)
                equal(json.loads(ok(sock))["client"] or "", client)
                sock.close()
        with shslib.Process(argv[:-1] + ["10.0.0.0/8"]) as server:
            server.wait_stdout("Serving HTTP on unix:")
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(where)
            check(shslib.is_closed(sock), "a Unix peer is trusted only when that is said")


def test_settings():
    for arguments, words in ((["--proxy-protocol", "10.0.0.5/8"], "has bits after its /8: give 10.0.0.0/8"),
                             (["--proxy-protocol", "ten"], "is not a network"),
                             (["--proxy-protocol", "10.0.0.0/33"], "a number from 0 to 32"),
                             (["--proxy-direct"], "proxy-protocol"),
                             (["--proxy-protocol", "::1", "--proxy-max-header", "100"], "from 232 to 65551")):
        code, _, err = shslib.run(shslib.BIN, "serve", "--plain", "--check", *arguments)
        equal(code, 2, err)
        check(words in err, err)


# -- other people's ------------------------------------------------------------------------------------


def test_curl():
    with balanced("pool") as server:
        code, out, err = shslib.run("curl", "-sS", "--haproxy-protocol", "--cacert", server.ca, server.url + "/")
        equal(code, 0, err)
        equal((json.loads(out)["client"], json.loads(out)["proxy"]["version"]), ("127.0.0.1", 1))


def test_haproxy():
    haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if haproxy is None:
        print("       haproxy is not installed: not tried")
        return
    for words, version in (("send-proxy", 1), ("send-proxy-v2", 2),
                           ("send-proxy-v2 proxy-v2-options crc32c,unique-id", 2)):
        with balanced("pool") as server, shslib.temp_dir() as path, socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(5)
            shslib.write_file(path + "/h.cfg", """
defaults
  mode tcp
  timeout connect 10s
  timeout client 10s
  timeout server 10s
frontend f
  unique-id-format %%{+X}o-%%ci-%%cp
  bind fd@%d
  default_backend b
backend b
  server s 127.0.0.1:%d %s
""" % (listener.fileno(), server.port, words))
            process = subprocess.Popen([haproxy, "-db", "-f", path + "/h.cfg"], pass_fds=[listener.fileno()],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                sock = socket.create_connection(listener.getsockname(), timeout=30 * shslib.SLOWNESS)
                own = sock.getsockname()
                got = ask(server, sock)
                equal((got["client"], got["port"], got["proxy"]["version"]), own + (version,), words)
                check(got["proxy"]["port"] != own[1], "the balancer is another peer")
                if "unique-id" in words:
                    check(got["proxy"]["unique_id"], got)
            finally:
                process.kill()
                process.communicate()


shslib.main(test_each_header_in_each_composition, test_what_version_2_says, test_torn_at_every_byte,
            test_what_follows_is_torn_like_a_header, test_each_bad_one_is_closed_and_counted,
            test_torn_ends_are_counted_and_probes_are_not_logged, test_it_has_a_deadline, test_who_is_not_trusted,
            test_direct_clients, test_the_bound_is_the_true_clients,
            test_log_metrics_and_connections_have_the_true_one,
            test_early_refusals_have_the_true_one, test_unix_sockets, test_settings, test_curl,
            test_haproxy)
