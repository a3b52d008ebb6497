"""examples/middleware.c over curl: as C, and compiled as C++ where there is a compiler."""

import gzip
import os
import re
import shutil
import signal

import shslib

BIN = os.environ["EXAMPLE_BIN"]
SOURCE = os.environ["SHS_SOURCE_DIR"] + "/examples/middleware.c"


def works(binary):
    with shslib.Server(argv=[binary, "0"]) as server:
        code, out, said = shslib.run("curl", "-sSi", server.url + "/")
        shslib.equal(code, 0, "curl's exit code: " + said)
        shslib.check(out.endswith("\r\n\r\nHello, world\n"), out)
        for field in (r"X-Request-Id: [0-9a-f-]+", r"X-Content-Type-Options: nosniff", r"Referrer-Policy: no-referrer",
                      r"Content-Security-Policy: default-src 'self'"):
            shslib.equal(len(re.findall("\r\n%s" % field, out)), 1, field)
        shslib.check("Strict-Transport-Security" not in out, "HSTS without TLS")
        server.wait_stderr(r"/ took \d+ us")
        server.wait_stderr(r'127\.0\.0\.1 - - \[[^]]+\] "GET / HTTP/1\.1" 200 13 "-" "curl')
        # An error's answer has the same fields.
        status, headers, body = server.get("/nowhere")
        shslib.equal((status, headers["X-Content-Type-Options"]), (404, "nosniff"), "404")
        status, headers, body = server.get("/broken")
        shslib.equal(status, 502, "a mapped error")
        shslib.check(b"The store is away." in body, "what is in %r" % body)
        shslib.equal(server.get("/slow")[0], 503, "a handler that is too late")
        big = b"line\n" * 200
        shslib.equal(server.request("POST", "/echo", body=big)[0::2], (200, big), "a body of the largest size")
        shslib.equal(server.request("POST", "/echo", body=big + b"x")[0], 413, "one byte more")
        status, headers, body = server.request("POST", "/echo", body=big, headers={"Accept-Encoding": "gzip"})
        if headers["Content-Encoding"] == "gzip":
            shslib.equal(gzip.decompress(body), big, "what was compressed")
        # A group with its own chain.
        status, headers, _ = server.get("/private/hello")
        shslib.equal((status, headers["WWW-Authenticate"]), (401, 'Bearer realm="example"'), "no token")
        shslib.equal(server.get("/private/hello", headers={"Authorization": "Bearer sesam"})[0], 401, "another token")
        status, headers, body = server.get("/private/hello", headers={"Authorization": "Bearer sesame"})
        shslib.equal((status, body, headers["Access-Control-Allow-Origin"]), (200, b"ali", "https://app.example"), "in")
        status, headers, _ = server.request("OPTIONS", "/private/hello", headers={
            "Origin": "https://app.example", "Access-Control-Request-Method": "GET"})
        shslib.equal((status, headers["Access-Control-Allow-Methods"]), (204, "GET"), "a preflight needs no token")
    with shslib.Server(argv=[binary, "0", "few"]) as server:
        answers = [server.get("/") for _ in range(12)]
        shslib.equal([status for status, _, _ in answers[:5]], [200] * 5, "the first")
        late = [headers["Retry-After"] for status, headers, _ in answers if status == 429]
        shslib.check(late, "nobody was told to come later: %r" % [status for status, _, _ in answers])
        shslib.check(all(seconds == "1" for seconds in late), "Retry-After: %r" % late)
        server.signal(signal.SIGTERM)
        shslib.equal(server.wait(30), 0, "exit status after SIGTERM")


def compiled_as_cplusplus():
    compiler = shutil.which("g++")
    if compiler is None or os.environ.get("SHS_SANITIZE"):
        return
    build = os.environ["SHS_BUILD_DIR"]
    for standard in ("c++17", "c++20"):
        with shslib.temp_dir() as here:
            code, out, said = shslib.run(
                compiler, "-x", "c++", "-std=" + standard, "-Wall", "-Wextra", "-Werror", "-D_DEFAULT_SOURCE",
                "-I" + os.environ["SHS_SOURCE_DIR"] + "/include", SOURCE, "-o", here + "/middleware",
                "-L" + build, "-Wl,-rpath," + build, "-lshs", "-pthread")
            shslib.equal(code, 0, "%s: %s%s" % (standard, out, said))
            works(here + "/middleware")


works(BIN)
compiled_as_cplusplus()
