"""What is not TLS, or breaks off in the middle: that connection ends, and nothing else changes."""

import os
import random
import socket
import ssl
import struct
import time

import shslib

SERVER, CONTEXT = None, None


def still_serves():
    with SERVER.connect(context=CONTEXT) as sock:
        sock.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        shslib.equal(shslib.read_response(sock)[2], b"hello\n", "the answer to a good client")


def tell(data, finish=True):
    """Sends these bytes on a TCP connection and returns what comes until the server closes."""
    with SERVER.connect_plain() as sock:
        shslib.send_all(sock, data)
        if finish:
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        return shslib.read_all(sock, 10)


def reset(sock):
    """Ends a connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(sock, ssl.SSLSocket):
        socket.socket(fileno=sock.detach()).close()
    else:
        sock.close()


class Client:
    """A TLS client whose records can be seen and spoilt."""

    def __init__(self):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = CONTEXT.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.sock = SERVER.connect_plain()

    def hello(self):
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def handshake(self):
        data = self.hello()
        while True:
            self.sock.sendall(data)
            try:
                self.tls.do_handshake()
                self.sock.sendall(self.outgoing.read())
                return self
            except ssl.SSLWantReadError:
                data = self.outgoing.read()
                self.incoming.write(self.sock.recv(65536))

    def seal(self, data):
        self.tls.write(data)
        return self.outgoing.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def client_hello(version):
    """A ClientHello of an old time: no extensions, and suites of TLS 1.0."""
    suites = bytes.fromhex("c013c014002f0035000a")
    body = (struct.pack(">H", version) + bytes(range(32)) + b"\0" + struct.pack(">H", len(suites)) +
            suites + b"\x01\0")
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return struct.pack(">BHH", 22, min(version, 0x0301), len(message)) + message


def is_fatal_alert(data, *descriptions):
    return len(data) == 7 and data[0] == 21 and data[3:6] == b"\0\x02\x02" and data[6] in descriptions


# -- tests ---------------------------------------------------------------------------------------

def plain_http_is_told():
    for request, has_body in ((b"GET / HTTP/1.1\r\nHost: example.org:8443\r\n\r\n", True),
                              (b"GET / HTTP/1.0\r\n\r\n", True),
                              (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", False),
                              (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" +
                               b"x" * 70000, True)):
        for finish in (True, False):
            answer = tell(request, finish)
            head, _, body = answer.partition(b"\r\n\r\n")
            shslib.check(head.startswith(b"HTTP/1.1 400 "), "plain HTTP: %r got %r" % (request[:40], answer))
            shslib.check(b"\r\nConnection: close" in head, "no Connection: close in %r" % head)
            shslib.equal(answer.count(b"HTTP/1.1 "), 1, "answers to %r" % request[:40])
            shslib.equal(b"https://" in body, has_body, "https:// in the body %r" % body)
    # The answer is to a request: what is cut off, or is none, gets no advice.
    shslib.equal(tell(b"G", True), b"", "one letter, then the end")
    answer = tell(b"GET / HTTP/1.1\r\nHost: a<script>\r\n\r\n")
    shslib.check(answer.startswith(b"HTTP/1.1 400 ") and b"script" not in answer, "a Host that is none: %r" % answer)
    shslib.check(b"https://example.org:8443/" in tell(b"GET / HTTP/1.1\r\nHost: example.org:8443\r\n\r\n"),
                 "the answer names no URL")
    code, text, err = shslib.run("curl", "-sS", "--noproxy", "*", "-w", "%{http_code}",
                                 "http://localhost:%d/" % SERVER.port)
    shslib.equal((code, text[-3:]), (0, "400"), "curl http://: " + err)


def garbage_is_closed():
    pick = random.Random(8443)
    for size in (1, 2, 4, 5, 6, 100, 16389, 70000):
        for _ in range(4):
            data = bytes([pick.choice([b for b in range(256) if not 65 <= b <= 90])]) + pick.randbytes(size - 1)
            answer = tell(data)
            shslib.check(answer == b"" or answer[0] == 21, "garbage %r got %r" % (data[:16], answer[:100]))
    for data in (b"\0" * 1000, b"\xff" * 1000, b"get / http/1.1\r\n\r\n", b"\r\n" * 500,
                 b"\x16" * 20000, b"SSH-2.0-x\r\n"[1:].lower(), b" GET / HTTP/1.1\r\n\r\n"):
        answer = tell(data)
        shslib.check(answer == b"" or answer[0] == 21, "%r got %r" % (data[:16], answer[:100]))


def broken_records_are_closed():
    with Client() as client:
        hello = client.hello()
    length = len(hello) - 5
    broken = {
        "nothing but a record's head": hello[:5],
        "a record that is cut": hello[:-1],
        "a record that is longer than it may": b"\x16\x03\x01\x48\x01" + hello[5:] + b"\0" * 20000,
        "a record of no bytes": b"\x16\x03\x01\0\0",
        "many records of no bytes": b"\x16\x03\x01\0\0" * 1000,
        "an unknown record type": b"\x19" + hello[1:],
        "application data first": b"\x17" + hello[1:],
        "ChangeCipherSpec first": b"\x14\x03\x01\0\x01\x01" * 100,
        "an alert first": b"\x15\x03\x01\0\x02\x02\x28",
        "many warnings first": b"\x15\x03\x01\0\x02\x01\x5a" * 1000,
        "another handshake message first": hello[:5] + b"\x02" + hello[6:],
        "a message that says it is 16 MiB": hello[:5] + b"\x01\xff\xff\xff" + hello[9:],
        "a ClientHello that says it is shorter": hello[:5] + b"\x01\0\0\x20" + hello[9:],
        "a ClientHello with extensions of no sense":
            b"\x16\x03\x01" + struct.pack(">H", length) + hello[5:120] + b"\xff" * (length - 115),
    }
    for what, data in broken.items():
        answer = tell(data)
        shslib.check(answer == b"" or answer[0] == 21, "%s got %r" % (what, answer[:100]))
    # Every byte of a ClientHello changed, one at a time: any of them may end it, none may hang it.
    for at in range(0, len(hello), 3):
        answer = tell(hello[:at] + bytes([hello[at] ^ 0x55]) + hello[at + 1:])
        shslib.check(answer == b"" or answer[0] in (21, 22) or answer.startswith(b"HTTP/1.1 400 "),
                     "byte %d changed: %r" % (at, answer[:100]))


def old_versions_are_refused():
    for version, name in ((0x0300, "SSL 3"), (0x0301, "TLS 1.0"), (0x0302, "TLS 1.1")):
        answer = tell(client_hello(version), finish=False)
        # protocol_version; for SSL 3 handshake_failure will do (it has no other).
        shslib.check(is_fatal_alert(answer, 70, 40), "%s got %r" % (name, answer))
    SERVER.wait_stderr("too old for this server")


def sslv2_is_closed():
    suites = bytes.fromhex("010080020080030080040080050080060040070 0c0".replace(" ", ""))
    body = b"\x01\0\x02" + struct.pack(">HHH", len(suites), 0, 16) + suites + bytes(range(16))
    answer = tell(struct.pack(">H", 0x8000 | len(body)) + body)
    shslib.check(answer == b"" or answer[0] == 21, "an SSLv2 hello got %r" % answer)


def records_spoilt_after_the_handshake():
    request = b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"
    for what, spoil in (("a changed byte", lambda r: r[:-1] + bytes([r[-1] ^ 1])),
                        ("garbage", lambda r: b"\x17\x03\x03\0\x40" + b"x" * 64),
                        ("plain HTTP", lambda r: request),
                        ("an unsealed alert", lambda r: b"\x15\x03\x03\0\x02\x02\x28"),
                        ("twice the same record", lambda r: r + r),
                        ("a cut record", lambda r: r[:-3])):
        with Client().handshake() as client:
            client.sock.sendall(spoil(client.seal(request)))
            client.sock.shutdown(socket.SHUT_WR)
            answer = shslib.read_all(client.sock)
            # All of it is sealed: nothing readable comes back, whatever was sent.
            shslib.check(b"HTTP/1.1" not in answer, what + " got a plain answer")
            if what not in ("twice the same record",):
                client.incoming.write(answer)
                try:
                    text = client.tls.read(65536)
                except ssl.SSLError:
                    text = b""
                shslib.check(b" 200 " not in text, what + " was answered: %r" % text)


def resets():
    with Client() as client:
        hello = client.hello()
    for data in (b"", hello[:1], hello[:100], hello):
        for _ in range(10):
            sock = SERVER.connect_plain()
            sock.sendall(data)
            reset(sock)
    for path in (b"/a.txt", b"/large.bin"):
        for read in (0, 1, 100000):
            for _ in range(5):
                sock = SERVER.connect(context=CONTEXT)
                sock.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path)
                if read and path == b"/large.bin":
                    shslib.read_exactly(sock, read)
                reset(sock)
    for data in (b"GET / HT", b"POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf"):
        sock = SERVER.connect(context=CONTEXT)
        sock.sendall(data)
        reset(sock)


def a_thousand_connects():
    for i in range(1000):
        sock = SERVER.connect_plain()
        if i % 2:
            reset(sock)
        else:
            sock.close()


def everything_again(tests):
    """Once more, and nothing has grown: descriptors, threads, memory."""
    def settled():
        return SERVER.descriptors() <= descriptors and SERVER.threads() <= max(threads, shslib.IDLE_THREADS)

    descriptors, threads = BEFORE
    shslib.wait_until(settled, 30, "descriptors and threads to be what they were: %d, %d; they are "
                      "%d, %d" % (descriptors, threads, SERVER.descriptors(), SERVER.threads()))
    # What is lost is lost in each round. A heap may find its size later: where more clients than before
    # happened to be in at once.
    for number in range(2, 6):
        resident = SERVER.resident_kib()
        for test in tests:
            test()
        still_serves()
        shslib.wait_until(settled, 30, "descriptors and threads to be what they were, again")
        grown = SERVER.resident_kib() - resident
        print("       descriptors %d, threads %d, %d KiB resident, %+d KiB in round %d"
              % (SERVER.descriptors(), SERVER.threads(), resident, grown, number))
        # A sanitizer keeps some of what was freed, and a log of it.
        if grown < (32768 if shslib.SANITIZE else 4096):
            return
    shslib.check(False, "%d KiB more than before, in the last round of four" % grown)


BEFORE = None


def bad_input_over_tls():
    global SERVER, CONTEXT, BEFORE
    tests = [plain_http_is_told, garbage_is_closed, broken_records_are_closed,
             old_versions_are_refused, sslv2_is_closed, records_spoilt_after_the_handshake, resets,
             a_thousand_connects]
    with shslib.temp_dir() as site:
        shslib.write_file(site + "/a.txt", "hello\n")
        shslib.write_file(site + "/large.bin", b"x" * (8 << 20))
        # Freed memory is to be seen as free: AddressSanitizer keeps 256 MiB of it unless told.
        asan = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4:thread_local_quarantine_size_kb=64"
        with shslib.Server(site, "--log", "none", env={"ASAN_OPTIONS": asan}) as SERVER:
            CONTEXT = SERVER.tls_context()
            still_serves()
            time.sleep(0.1)
            BEFORE = SERVER.descriptors(), SERVER.threads()
            steps = []
            for test in tests:
                steps += [test, still_serves]

            def nothing_has_grown():
                everything_again(tests)

            shslib.each(*steps, nothing_has_grown)


shslib.main(bad_input_over_tls)
