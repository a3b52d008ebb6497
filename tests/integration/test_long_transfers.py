"""What lasts longer than each of its deadlines: whole, as long as the client keeps --min-rate; cut, when it stops."""

import os
import threading
import time

import shslib
from shslib import check, equal
import site_lab
from site_lab import rows

MS = 1500  # what a client has; the transfers below last three times as long
TIMES = ("--body-timeout", str(MS), "--write-timeout", str(MS))
PIECES = 30
PIECE = os.urandom(4000)


def in_pieces(sock, data):
    """At a quarter of the pace that would be too slow, and for longer than MS."""
    for at in range(0, len(data), len(PIECE)):
        sock.sendall(data[at:at + len(PIECE)])
        time.sleep(3 * MS / 1000 / PIECES)


def chunked(data):
    return b"".join(b"%x\r\n%s\r\n" % (len(PIECE), data[at:at + len(PIECE)]) for at in range(0, len(data), len(PIECE))) + b"0\r\n\r\n"


def together(*runs):
    failed = []

    def run(call):
        try:
            call()
        except BaseException as fault:
            failed.append(fault)

    threads = [threading.Thread(target=run, args=(call,)) for call in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def test_uploads(v):
    data = PIECE * PIECES
    body, content_type = site_lab.form([("form.bin", data)])

    def put(site, head, sent, status):
        with site.server.connect() as sock:
            sock.settimeout(60 * shslib.SLOWNESS)
            sock.sendall(head)
            began = time.monotonic()
            in_pieces(sock, sent)
            line = shslib.read_response(sock)[0]
            check((" %d " % status) in line, line)
            check(time.monotonic() - began > MS / 1000, "it lasted too short a time to show anything")

    def stops(site):
        with site.server.connect() as sock:
            sock.settimeout(60 * shslib.SLOWNESS)
            sock.sendall(b"PUT /stops.bin HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + PIECE)
            began = time.monotonic()
            line = shslib.read_response(sock)[0]
            check(" 408 " in line, line)
            check(time.monotonic() - began >= MS / 1000 * 0.9, "sooner than said")

    with v.Site("--upload", *TIMES) as site:
        together(
            lambda: put(site, b"PUT /length.bin HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(data), data, 201),
            lambda: put(site, b"PUT /chunked.bin HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(data), 201),
            lambda: put(site, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
                        % (content_type.encode(), len(body)), body, 201),
            lambda: stops(site))
        for name in ("length.bin", "chunked.bin", "form.bin"):
            equal(site.read(name), data, name)
        equal(site.names(), ["chunked.bin", "form.bin", "length.bin"])


def test_downloads(v):
    size = 24 << 20  # more than the buffers on the way hold

    def get(site, path, least):
        with site.server.connect() as sock:
            sock.settimeout(60 * shslib.SLOWNESS)
            sock.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path)
            began, all = time.monotonic(), 0
            while True:
                data = sock.recv(1 << 20)
                if not data:
                    break
                all += len(data)
                time.sleep(3 * MS / 1000 * len(data) / size)
            check(all > least, "%d bytes" % all)
            check(time.monotonic() - began > MS / 1000, "it lasted too short a time to show anything")

    with v.Site("--archive", *TIMES) as site:
        os.mkdir(site.path + "/d")
        with open(site.path + "/d/large.bin", "wb") as file:
            file.truncate(size)
        together(lambda: get(site, b"/d/large.bin", size), lambda: get(site, b"/d/?archive=tar", size))


rows(test_uploads, test_downloads)
