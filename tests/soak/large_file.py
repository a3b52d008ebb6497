#!/usr/bin/env python3
"""large_file.py - a 4 GiB file up and down: the same bytes, and the server's memory does not grow.

    SHS_BIN=build/release/shs python3 tests/soak/large_file.py [--tls] [--gib 4]

PUT of a file, then GET of it, byte by byte the same by its SHA-256; then the last bytes by a range
beyond 4 GiB. The resident memory of the server is looked at all the while. The file is sparse where
it is made, and takes its whole size where it is stored. Not part of ctest: it needs the space.
"""

import argparse
import hashlib
import http.client
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import shslib  # noqa: E402

MIB = 1 << 20
GROWTH_KIB = 16 * 1024  # what is called flat


def make(path, size):
    """Sparse, with a mark in each 64 MiB and at both ends."""
    with open(path, "wb") as file:
        for at in range(0, size, 64 * MIB):
            file.seek(at)
            file.write(hashlib.sha512(str(at).encode()).digest())
        file.seek(size - 8)
        file.write(b"the end!")
        file.truncate(size)


def digest_of(read):
    sha = hashlib.sha256()
    while True:
        piece = read(MIB)
        if not piece:
            return sha.hexdigest()
        sha.update(piece)


class Watch(threading.Thread):
    """The most that the server has had resident."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.most, self.over = server, 0, threading.Event()
        self.first = server.resident_kib()
        self.start()

    def run(self):
        while not self.over.wait(0.1):
            try:
                self.most = max(self.most, self.server.resident_kib())
            except OSError:
                return


def timed(what, size, function):
    began = time.monotonic()
    result = function()
    seconds = time.monotonic() - began
    print("%s: %.1f s, %.0f MiB/s" % (what, seconds, size / MIB / seconds))
    return result


def put(server, path, size):
    with open(path, "rb") as file:
        connection = server.connection(600)
        connection.request("PUT", "/large.bin", body=file, headers={"Content-Length": str(size)})
        status = connection.getresponse().status
        connection.close()
    shslib.equal(status, 201, "PUT")


def get(server, size):
    connection = server.connection(600)
    connection.request("GET", "/large.bin")
    answer = connection.getresponse()
    shslib.equal((answer.status, answer.headers["Content-Length"]), (200, str(size)), "GET")
    digest = digest_of(answer.read)
    connection.close()
    return digest


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--gib", type=float, default=4.0)
    options = parser.parse_args()
    size = int(options.gib * 1024) * MIB + 5
    with shslib.temp_dir() as work:
        site, source = work + "/site", work + "/source.bin"
        os.mkdir(site)
        make(source, size)
        with open(source, "rb") as file:
            wanted = digest_of(file.read)
        arguments = ["--upload", "--max-upload", "64g", "--log", "none", site]
        with shslib.Server(*arguments, *([] if options.tls else ["--plain"])) as server:
            server.get("/none")
            watch = Watch(server)
            timed("up", size, lambda: put(server, source, size))
            with open(site + "/large.bin", "rb") as file:
                shslib.equal(digest_of(file.read), wanted, "SHA-256 of the stored file")
            digest = timed("down", size, lambda: get(server, size))
            shslib.equal(digest, wanted, "SHA-256 of what came back")
            status, headers, body = server.get("/large.bin", {"Range": "bytes=%d-" % (size - 8)})
            shslib.equal((status, body), (206, b"the end!"), "the end, by a range")
            watch.over.set()
            print("resident: %d KiB before, %d KiB at most" % (watch.first, watch.most))
            shslib.check(watch.most - watch.first < GROWTH_KIB, "memory is not flat")
    print("passed")


if __name__ == "__main__":
    try:
        main()
    except (shslib.Failure, http.client.HTTPException) as error:
        print("FAILED: %s" % error)
        sys.exit(1)
