"""`shs serve` under valgrind: some requests, good and bad, and an orderly end without a leak."""

import os

import shslib

VALGRIND = [os.environ["VALGRIND"], "-q", "--error-exitcode=99", "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect", "--log-file=%q{HOME}/valgrind.log"]


def server_without_errors():
    with shslib.temp_dir() as site:
        shslib.write_file(site + "/a.txt", "hello\n")
        big = shslib.pattern(300000)
        shslib.write_file(site + "/big.bin", big)
        server = shslib.Server(site, prefix=VALGRIND, start_seconds=60, stop_seconds=60)
        log = ""
        try:
            with server:
                shslib.equal(server.get("/a.txt", seconds=30)[2], b"hello\n", "a.txt")
                shslib.equal(server.get("/big.bin", seconds=30)[2], big, "big.bin")
                shslib.equal(server.get("/missing", seconds=30)[0], 404, "status of a missing file")
                shslib.equal(server.request("HEAD", "/a.txt", seconds=30)[2], b"", "body of a HEAD")
                answer = server.raw(b"GET / HTTP/1.1\nHost: x\n\n", seconds=30)
                shslib.check(answer.startswith(b"HTTP/1.1 400 "), "a bare LF: %r" % answer[:80])
                server.connect_plain().close()
                server.stop_log = os.path.join(server.dir, "valgrind.log")
                server.stop()
                with open(server.stop_log) as file:
                    log = file.read()
        finally:
            if log:
                print(log)
        shslib.equal(log, "", "valgrind's words")


shslib.main(server_without_errors)
