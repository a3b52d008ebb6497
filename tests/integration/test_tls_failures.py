"""Every failed handshake has one cause, in the log and in the counters; probes are only counted."""

import json
import re
import socket
import ssl
import struct
import time

import shslib
import tls_pki
from shslib import check, equal


def make_pki(directory):
    server = tls_pki.CA(directory, "server-root")
    root = tls_pki.CA(directory, "client-root")
    cert, key = server.issue("server")
    return {"cert": cert, "key": key, "server_ca": server.cert, "client_ca": root.cert}


def serve(pki, *more):
    return shslib.Server("--handler", "whoami", "--cert", pki["cert"], "--key", pki["key"], "--log",
                         "json", *more)


def events(server):
    return [line for line in map(json.loads, server.stderr_lines()) if line.get("event")]


def causes(server):
    return [event["cause"] for event in events(server)]


def s_client(server, *arguments, stdin=b""):
    return shslib.run("openssl", "s_client", "-connect", "127.0.0.1:%d" % server.port, *arguments,
                      seconds=20, stdin=stdin)


def staged(pki):
    """Ten ways to fail, ten labels."""
    def slow(server):
        with server.connect_plain() as sock:
            sock.sendall(b"\x16\x03\x01")
            shslib.read_all(sock, 15)  # three seconds: nobody else is to be that slow

    def plain(server):
        with server.connect_plain() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            check(b" 400 " in shslib.read_all(sock), "no readable answer")

    def reset(server):
        sock = server.connect_plain()
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        time.sleep(0.1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def untrusting(server):
        context = ssl.create_default_context()
        try:
            with context.wrap_socket(server.connect_plain(), server_hostname="localhost"):
                check(False, "a client without the CA trusts the server")
        except ssl.SSLCertVerificationError:
            pass

    def old(server):
        s_client(server, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")

    def no_cipher(server):
        s_client(server, "-tls1_2", "-cipher", "AES128-SHA")

    def no_group(server):
        s_client(server, "-tls1_3", "-groups", "X448")

    def no_name(server):
        s_client(server, "-servername", "elsewhere.example")

    def no_protocol(server):
        s_client(server, "-alpn", "h3")

    def no_signature(server):
        s_client(server, "-tls1_3", "-sigalgs", "RSA-PSS+SHA256")

    def no_client(server):
        context = tls_pki.client_context(pki["server_ca"])
        try:
            with context.wrap_socket(server.connect_plain(), server_hostname="localhost") as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                sock.recv(100)
                check(False, "served without a certificate")
        except ssl.SSLError:
            pass

    def garbage(server):
        with server.connect_plain() as sock:
            sock.sendall(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00" + b"\0" * 20)
            shslib.read_all(sock)

    stages = [(slow, "timeout"), (plain, "plain-http"), (reset, "reset"),
              (untrusting, "client-alert:unknown_ca"), (old, "version"),
              (no_cipher, "no-shared-cipher"), (no_group, "no-shared-group"),
              (no_name, "no-certificate-for-name"), (no_protocol, "no-shared-protocol"),
              (no_signature, "no-shared-signature"), (no_client, "client-cert:none"),
              (garbage, "protocol")]
    with serve(pki, "--client-ca", pki["client_ca"], "--strict-sni", "--handshake-timeout",
               str(3000 * shslib.SLOWNESS)) as server:
        for i, (act, cause) in enumerate(stages):
            act(server)
            shslib.wait_until(lambda: len(events(server)) > i, 10, "a line about " + cause)
            equal(causes(server)[-1], cause, act.__name__ + repr(events(server)[-1]))
        equal(len(events(server)), len(stages), "exactly one line each")
        for event in events(server):
            check(event["message"] and event["client"] == "127.0.0.1", repr(event))
        named = [event["sni"] for event in events(server) if event["cause"] == "client-cert:none"]
        equal(named, ["localhost"])
        check(all(re.fullmatch(r"t1[23][di]\d{4}\w\w_[0-9a-f]{12}_[0-9a-f]{12}", event["ja4"])
                  for event in events(server) if event["cause"].startswith("client-")), "JA4")
        server.stop()
        line = json.loads(server.stderr.splitlines()[-2])["message"]  # before what came of it all
        counted = dict(word.split("=") for word in line.split()[1:])
        equal(int(counted["failed"]), len(stages), line)
        for _, cause in stages:
            equal(counted[cause.split(":")[0]], "1", line)


def probes(pki):
    """1,000 connections that say nothing: no line of the log, and a counter of 1,000."""
    with serve(pki) as server:
        before = server.descriptors()
        for i in range(1000):
            sock = server.connect_plain()
            if i % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        # Connections are taken in their order: who speaks at last is told of when all are taken.
        with server.connect_plain() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            shslib.read_all(sock)
        shslib.wait_until(lambda: causes(server), 10, "a line about the one who spoke")
        # A few more than before are what the server opens for itself when it begins to serve, which may be
        # after its first line.
        shslib.wait_until(lambda: server.descriptors() <= before + 4, 10, "every connection to be closed")
        equal(causes(server), ["plain-http"], "the log")
        server.stop()
        lines = server.stderr.splitlines()[:-1]
        equal(len(lines), 3, "the log at the end: the answer, the failure, the counters")
        check(" probes=1000 failed=1 plain-http=1 " in lines[2], lines[2])


def records_before_data(pki):
    """Records that say nothing, and a message without end: over at once, not at the deadline."""
    floods = [(b"\x16\x03\x01\x00\x00" * 1000, "empty handshake records"),
              (b"\x15\x03\x01\x00\x02\x01\x5a" * 1000, "warnings"),
              (b"\x14\x03\x03\x00\x01\x01" * 1000, "changes of the cipher"),
              (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff" + b"\x16\x03\x01\x40\x00" + b"\0" * 16384,
               "a hello of 16 MiB")]
    with serve(pki, "--handshake-timeout", "60000") as server:
        for i, (flood, what) in enumerate(floods):
            began = time.monotonic()
            with server.connect_plain() as sock:
                try:
                    sock.sendall(flood)
                    shslib.read_all(sock, 20)
                except OSError:
                    pass
            check(time.monotonic() - began < 15 * shslib.SLOWNESS, what + " are taken for as long as they come")
            shslib.wait_until(lambda: len(events(server)) > i, 10, "a line about " + what)
            check(causes(server)[-1] in ("protocol", "client-alert:user_canceled"), what + repr(events(server)[-1]))


def combined(pki):
    with shslib.Server("--handler", "whoami", "--cert", pki["cert"], "--key", pki["key"],
                       "--client-ca", pki["client_ca"]) as server:
        s_client(server, "-tls1_3", stdin=b"Q\n")
        server.wait_stderr(r"TLS handshake with 127\.0\.0\.1 port \d+ failed, client-cert:none: The "
                           r"client gave no certificate, and one is required\.")


def failures():
    with shslib.temp_dir() as directory:
        tls_pki.each(make_pki(directory), staged, probes, records_before_data, combined)


shslib.main(failures)
