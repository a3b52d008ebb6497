"""Slow peers hold nothing: who does not read, and who uploads a byte now and then, has no thread."""

import os
import socket

import shslib

EACH = 60  # of every kind
BIG = 1024 * 1024
ENTRIES = 1500
MOST_THREADS = shslib.IDLE_THREADS + 8  # some were needed to make the pages

GET = "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
FORM = b'--B\r\nContent-Disposition: form-data; name="f"; filename="a%d.txt"\r\n\r\n'


def put(i):
    return b"PUT /up/a%d.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nbegin" % i


def put_chunked(i):
    """More than is read before a handler is called."""
    return (b"PUT /up/b%d.txt HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" % i
            + b"11000\r\n" + b"x" * 0x11000 + b"\r\n1000\r\nbegin")


def form(i):
    return (b"POST /up/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=B\r\n"
            b"Content-Length: 1000000\r\n\r\n" + FORM % i + b"begin")


def get(path, fields=""):
    return lambda i: (GET % (path, fields)).encode()


KINDS = {
    "PUT": put,
    "PUT in chunks": put_chunked,
    "form": form,
    "file": get("/big.bin"),
    "two ranges": get("/big.bin", "Range: bytes=0-0,2-\r\n"),
    "listing": get("/many/"),
    "compressed": get("/big.txt", "Accept-Encoding: gzip\r\n"),
}


def slow_peer(server, said):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(20 * shslib.SLOWNESS)
    sock.connect((server.address, server.port))
    sock.sendall(said)
    return sock


def make_site(site):
    os.mkdir(site + "/up")
    os.mkdir(site + "/many")
    for i in range(ENTRIES):
        shslib.write_file("%s/many/a-file-with-a-long-name-%04d.txt" % (site, i), "")
    shslib.write_file(site + "/big.bin", shslib.pattern(BIG))
    shslib.write_file(site + "/big.txt", b"".join(b"%d %d\n" % (i, i * i * 7919) for i in range(100000)))
    shslib.write_file(site + "/a.txt", "hello\n")


def is_under_way(server, kind, sock):
    """Its answer has begun, or its file is there without a name."""
    if kind in ("PUT", "PUT in chunks", "form"):
        return True
    return sock.recv(12) == b"HTTP/1.1 200" or kind == "two ranges"


def files_under_way(server):
    return sum("/up/" in name for name in server.open_files())


def slow_peers_hold_no_thread():
    with shslib.temp_dir() as site:
        make_site(site)
        with shslib.Server("--plain", "--upload", "--log", "none", "--stop-timeout", "100",
                           "--body-timeout", "600000", "--threading", "pool", site) as server:
            # Once, so that nobody waits for what is made once: digests, compressed bytes.
            for path, fields in ("/big.bin", {}), ("/many/", {}), ("/big.txt", {"Accept-Encoding": "gzip"}):
                shslib.equal(server.get(path, fields)[0], 200, path)
            peers = []
            for kind, say in KINDS.items():
                for i in range(EACH):
                    peers.append((kind, slow_peer(server, say(i))))
            for kind, sock in peers:
                shslib.check(is_under_way(server, kind, sock), "%s: no answer" % kind)
            shslib.wait_until(lambda: files_under_way(server) >= 3 * EACH, 20, "the uploads to begin")
            for _ in range(20):
                shslib.equal(server.get("/a.txt")[0], 200, "an ordinary client")
            shslib.wait_until(lambda: server.threads() <= MOST_THREADS, 30,
                              "%d slow peers to have %d threads at most, not %d"
                              % (len(peers), MOST_THREADS, server.threads()))
            for kind, sock in peers:
                sock.close()
            shslib.wait_until(lambda: files_under_way(server) == 0, 20, "what they began to go")
            shslib.equal(os.listdir(site + "/up"), [], "what is left of uploads")


if __name__ == "__main__":
    shslib.main(slow_peers_hold_no_thread)
