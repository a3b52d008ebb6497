"""JA4: what whoami says of curl and openssl is what the bytes of their ClientHello say."""

import hashlib
import json
import socket
import subprocess

import shslib
import tls_pki
from shslib import check, equal


def client_hello(argv):
    """The handshake message that a program sends to 127.0.0.1:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20 * shslib.SLOWNESS)
        port = listener.getsockname()[1]
        process = subprocess.Popen([word.replace("PORT", str(port)) for word in argv],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            with listener.accept()[0] as sock:
                sock.settimeout(20 * shslib.SLOWNESS)
                data = b""
                while len(data) < 5 or len(data) < 5 + int.from_bytes(data[3:5], "big"):
                    part = sock.recv(65536)
                    check(part, "only %d bytes of a hello" % len(data))
                    data += part
        finally:
            process.kill()
            process.wait()
    message = data[5:5 + int.from_bytes(data[3:5], "big")]
    equal(int.from_bytes(message[1:4], "big"), len(message) - 4, "one record holds it")
    return message


def grease(value):
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def numbers(data):
    return [n for n in (int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2))
            if not grease(n)]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def ja4(hello):
    """From FoxIO's specification, without a look at ours."""
    at = 4 + 2 + 32
    at += 1 + hello[at]
    length = int.from_bytes(hello[at:at + 2], "big")
    suites = numbers(hello[at + 2:at + 2 + length])
    at += 2 + length
    at += 1 + hello[at]
    end = at + 2 + int.from_bytes(hello[at:at + 2], "big")
    at += 2
    types, bodies = [], {}
    while at < end:
        kind, length = (int.from_bytes(hello[at + i:at + i + 2], "big") for i in (0, 2))
        bodies[kind] = hello[at + 4:at + 4 + length]
        if not grease(kind):
            types.append(kind)
        at += 4 + length
    version = max(numbers(bodies[43][1:])) if 43 in bodies else int.from_bytes(hello[4:6], "big")
    alpn = bodies[16][3:3 + bodies[16][2]].decode() if 16 in bodies else "00"
    listed = ",".join("%04x" % t for t in sorted(types) if t not in (0, 16))
    signatures = ",".join("%04x" % n for n in numbers(bodies[13][2:])) if 13 in bodies else ""
    return "t%s%s%02d%02d%s_%s_%s" % (
        {0x0304: "13", 0x0303: "12"}[version], "d" if 0 in bodies else "i", len(suites), len(types),
        alpn[0] + alpn[-1], digest(",".join("%04x" % s for s in sorted(suites))),
        digest(listed + ("_" + signatures if signatures else "")))


def fingerprints(pki):
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    curl = ["curl", "-sS", "--cacert", pki["ca"]]
    s_client = ["openssl", "s_client", "-quiet", "-ign_eof", "-CAfile", pki["ca"], "-connect",
                "127.0.0.1:PORT"]
    seen = set()
    with shslib.Server("--handler", "whoami", "--cert", pki["cert"], "--key", pki["key"]) as server:
        for argv in (curl + ["https://localhost:PORT/"],
                     curl + ["https://127.0.0.1:PORT/"],
                     curl + ["--no-alpn", "https://localhost:PORT/"],
                     curl + ["--http1.1", "--tls-max", "1.2", "https://localhost:PORT/"],
                     s_client, s_client + ["-servername", "localhost", "-alpn", "http/1.1"],
                     s_client + ["-tls1_2"], s_client + ["-sigalgs", "ECDSA+SHA256"]):
            wanted = ja4(client_hello(argv))
            code, out, err = shslib.run(*[word.replace("PORT", str(server.port)) for word in argv],
                                        stdin=request, seconds=20)
            check("{" in out, "%s: %r %r" % (argv, out, err))
            equal(json.loads(out[out.index("{"):])["tls"]["ja4"], wanted, " ".join(argv))
            seen.add(wanted)
    check(len(seen) >= 6, "clients that differ have one fingerprint: %r" % seen)


def fingerprint():
    with shslib.temp_dir() as directory:
        root = tls_pki.CA(directory, "root")
        cert, key = root.issue("server")
        tls_pki.each({"ca": root.cert, "cert": cert, "key": key}, fingerprints)


shslib.main(fingerprint)
