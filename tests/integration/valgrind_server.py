"""`shs serve` under valgrind: some requests, good and bad, and an orderly end without a leak."""

import hashlib
import json
import os

import shslib

VALGRIND = [os.environ["VALGRIND"], "-q", "--error-exitcode=99", "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect", "--log-file=%q{HOME}/valgrind.log"]


def server_without_errors():
    # The echo handler: this valgrind may not know openat2(2), with which files are opened.
    server = shslib.Server("--handler", "echo", prefix=VALGRIND, start_seconds=60, stop_seconds=60)
    log = ""
    try:
        with server:
            status, _, body = server.get("/a?b=1", seconds=30)
            shslib.equal(status, 200, "status")
            shslib.equal(json.loads(body)["target"], "/a?b=1", "target")
            upload = shslib.pattern(200000)
            _, _, body = server.request("POST", "/", body=upload, seconds=30)
            shslib.equal(json.loads(body)["body_sha256"], hashlib.sha256(upload).hexdigest(), "digest")
            shslib.equal(server.request("HEAD", "/", seconds=30)[2], b"", "body of a HEAD")
            answer = server.raw(b"GET / HTTP/1.1\nHost: x\n\n", seconds=30)
            shslib.check(answer.startswith(b"HTTP/1.1 400 "), "a bare LF: %r" % answer[:80])
            server.connect_plain().close()
            server.stop()
            with open(os.path.join(server.dir, "valgrind.log")) as file:
                log = file.read()
    finally:
        if log:
            print(log)
    shslib.equal(log, "", "valgrind's words")


shslib.main(server_without_errors)
