"""examples/json_api.c over curl: as C, and compiled as C++ where there is a compiler."""

import json
import os
import shutil
import signal
import threading

import shslib

BIN = os.environ["EXAMPLE_BIN"]
SOURCE = os.environ["SHS_SOURCE_DIR"] + "/examples/json_api.c"


def curl(url, *arguments, stdin=b""):
    """Status, media type and body of one answer."""
    code, out, said = shslib.run("curl", "-sS", "-w", "\n%{http_code} %{content_type}", *arguments, url, stdin=stdin)
    shslib.equal(code, 0, "curl's exit code: " + said)
    body, last = out.rsplit("\n", 1)
    status, kind = last.split(" ", 1)
    return int(status), kind, body


def post(url, text, kind="application/json"):
    return curl(url, "-H", "Content-Type: " + kind, "--data-binary", "@-", stdin=text.encode())


def problem(answer, status, detail):
    shslib.equal(answer[:2], (status, "application/problem+json"), "status and type")
    told = json.loads(answer[2])
    shslib.equal(told["status"], status, "the status in the problem")
    shslib.check(detail in told.get("detail", told["title"]), "%r is not in %r" % (detail, told))


def works(binary):
    with shslib.Server(argv=[binary, "0"]) as server:
        items = server.url + "/items"
        shslib.equal(curl(items), (200, "application/json", "[]\n"), "no items")
        for n in range(1, 31):
            status, kind, body = post(items, json.dumps({"name": "tea \u00e9 %d" % n}))
            shslib.equal((status, kind), (201, "application/json"), "status and type")
            shslib.equal(json.loads(body), {"id": n, "name": "tea \u00e9 %d" % n}, "the item")
        for query, wanted in (("", range(1, 21)), ("?limit=5", range(1, 6)), ("?after=28&limit=5", (29, 30)),
                              ("?after=1000", ()), ("?limit=0", ())):
            status, _, body = curl(items + query)
            shslib.equal((status, [item["id"] for item in json.loads(body)]), (200, list(wanted)), query)
        shslib.equal(json.loads(curl(items + "/7")[2])["id"], 7, "an item")
        problem(curl(items + "/31"), 404, "No item")
        problem(curl(items + "/x"), 404, "No item")
        problem(curl(items + "/1%2F2"), 404, "No item")
        problem(curl(items + "?limit=101"), 400, "The parameter limit must be a number from 0 to 100.")
        problem(curl(items + "?after=-1"), 400, "The parameter after")
        problem(post(items, '{}'), 422, "An item is")
        problem(post(items, '{"name": ""}'), 422, "An item is")
        problem(post(items, '{"name": "x", "more": 1}'), 422, "An item is")
        problem(post(items, '{"name": "x", "name": "y"}'), 400, "duplicate object key")
        problem(post(items, '{"name":\n oops}'), 400, "line 2")
        problem(post(items, "[" * 1000), 400, "nested deeper than 32 levels")
        problem(post(items, '"%s"' % ("x" * (1 << 20))), 413, "larger")
        problem(post(items, "a=b", "application/x-www-form-urlencoded"), 415, "application/json")
        problem(curl(items, "-X", "DELETE"), 405, "not allowed here")
        problem(curl(server.url + "/"), 404, "Not Found")
        shslib.equal(curl(items, "-I")[0], 200, "HEAD")
        status, headers, _ = server.request("OPTIONS", "/items")
        shslib.equal((status, headers["Allow"]), (204, "GET, HEAD, POST, OPTIONS"), "OPTIONS")


def many_at_once(binary):
    with shslib.Server(argv=[binary, "0"]) as server:
        seen, lock = [], threading.Lock()

        def add():
            for _ in range(20):
                status, _, body = server.request("POST", "/items", body=b'{"name":"n"}',
                                                 headers={"Content-Type": "application/json"})
                with lock:
                    seen.append((status, json.loads(body)["id"]))

        threads = [threading.Thread(target=add) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        shslib.equal(sorted(seen), [(201, n) for n in range(1, 161)], "ids")
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
                "-I" + os.environ["SHS_SOURCE_DIR"] + "/include", SOURCE, "-o", here + "/json_api",
                "-L" + build, "-Wl,-rpath," + build, "-lshs", "-ljansson", "-pthread")
            shslib.equal(code, 0, "%s: %s%s" % (standard, out, said))
            works(here + "/json_api")


works(BIN)
many_at_once(BIN)
compiled_as_cplusplus()
