"""`shs serve --health` and `--redirect`: probes, numbers for Prometheus, and plain HTTP that goes to https."""

import http.client
import os
import re
import socket

import shslib
from shslib import check, equal

SITE = os.path.join(shslib.SOURCE_DIR, "examples", "site")

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'


def parse(text):
    """A strict reader of the text format 0.0.4: {(name, ((label, value), ...)): number}, {name: type}."""
    check(text.endswith("\n"), "the last line does not end")
    types, helps, samples, current = {}, {}, {}, None
    for line in text[:-1].split("\n"):
        match = re.fullmatch(r"# (HELP|TYPE) (%s) (.*)" % NAME, line)
        if match:
            kind, name, rest = match.groups()
            table = helps if kind == "HELP" else types
            check(name not in table, "a second %s of %s" % (kind, name))
            check(kind == "HELP" or rest in ("counter", "gauge", "histogram"), line)
            check(name not in {key[0] for key in samples}, "%s of %s after its samples" % (kind, name))
            table[name] = rest
            current = name
            continue
        match = re.fullmatch(r"(%s)(?:\{(%s(?:,%s)*)\})? (\S+)" % (NAME, LABEL, LABEL), line)
        check(match, "no line of the format: %r" % line)
        name = match.group(1)
        family = re.sub(r"_(bucket|sum|count)$", "", name) if types.get(current) == "histogram" else name
        equal(family, current, "the family of " + line)
        labels = tuple(found for found in re.findall(LABEL, match.group(2) or ""))
        equal(len({label for label, _ in labels}), len(labels), "labels of " + line)
        check((name, labels) not in samples, "twice: " + line)
        samples[(name, labels)] = float(match.groups()[-1])
    equal(set(types), set(helps))
    for (name, labels), value in samples.items():
        if types.get(name) == "counter":
            check(name.endswith("_total") and value >= 0, name)
    for name, kind in types.items():
        if kind == "histogram":
            check_histogram(name, samples)
    return samples, types


def check_histogram(name, samples):
    series = {}
    for (sample, labels), value in samples.items():
        if sample == name + "_bucket":
            bound = dict(labels)["le"]
            rest = tuple(pair for pair in labels if pair[0] != "le")
            series.setdefault(rest, []).append((float(bound), value))
    for rest, points in series.items():
        equal(points, sorted(points), "bounds of " + name)
        equal([value for _, value in points], sorted(value for _, value in points), "buckets of " + name)
        equal(points[-1][0], float("inf"))
        equal(points[-1][1], samples[(name + "_count", rest)])
        check(samples[(name + "_sum", rest)] >= 0, name)


class Operated(shslib.Server):
    """A server with --health 0: `inside` is where its probes are answered."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, "--health", "0", "--drain-grace", "0", **keywords)
        line = self.wait_stdout(r"(?s)\nServing HTTP on 127\.0\.0\.1 port (\d+)")
        self.inside = int(line.group(1))

    def probe(self, path, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", self.inside, timeout=10 * shslib.SLOWNESS)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metrics(self):
        status, text = self.probe("/metrics")
        equal(status, 200)
        return parse(text)


@shslib.not_under("fork")
def test_probes():
    with Operated(SITE) as server:
        equal(server.probe("/livez"), (200, "ok\n"))
        equal(server.probe("/readyz"), (200, "ok\n"))
        equal(server.probe("/readyz?verbose"), (200, "[+]ready ok\n[+]serving ok\n[+]certificates ok\nready\n"))
        equal(server.probe("/livez", "HEAD"), (200, ""))
        equal(server.probe("/livez", "POST")[0], 501)
        for path in ("/", "/index.html", "/metrics/", "/admin", "/../metrics2"):
            equal(server.probe(path)[0], 404, path)
        equal(server.get("/livez")[0], 404)  # nor is it there for the world
        equal(server.get("/metrics")[0], 404)
        server.stop()
        check("/livez" not in server.stderr.replace('"GET /livez HTTP/1.1" 404', ""), "probes fill the log")


@shslib.not_under("fork")
def test_counters_are_exact():
    with Operated(SITE, "--log", "none") as server:
        for _ in range(7):
            equal(server.get("/")[0], 200)
        for _ in range(3):
            equal(server.get("/none")[0], 404)
        equal(server.request("HEAD", "/style.css")[0], 200)
        equal(server.request("BREW", "/style.css")[0], 501)
        wanted = {("GET", "200"): 7, ("GET", "404"): 3, ("HEAD", "200"): 1, ("other", "501"): 1}
        outside = "127.0.0.1:%d" % server.port

        def counted():
            samples, _ = server.metrics()
            got = {(dict(labels)["method"], dict(labels)["code"]): value
                   for (name, labels), value in samples.items() if name == "shs_http_requests_total"}
            return got == wanted and samples[("shs_connections", (("server", outside),))] == 0

        shslib.wait_until(counted, 10, "the last answer to be counted")
        samples, types = server.metrics()
        equal(samples[("shs_http_request_duration_seconds_count", (("route", ""),))], 12)
        equal(samples[("shs_connections_accepted_total", (("server", outside),))], 12)
        equal(samples[("shs_tls_handshakes_total", (("server", outside),))], 12)
        body = os.path.getsize(SITE + "/index.html")
        check(samples[("shs_http_response_body_bytes_total", (("route", ""),))] >= 7 * body, "bytes")
        equal(types["shs_http_request_duration_seconds"], "histogram")
        (name, labels), value = next(item for item in samples.items()
                                     if item[0][0] == "shs_tls_certificate_not_after_seconds")
        equal(dict(labels)["server"], outside)
        check(value > 1.7e9, str(value))


@shslib.not_under("fork")
def test_clients_make_no_series():
    with Operated("--plain", "--log", "none", SITE) as server:
        before = set(server.metrics()[0])
        equal(server.get("/")[0], 200)
        shslib.wait_until(lambda: set(server.metrics()[0]) != before, 10, "the first to be counted")
        before = set(server.metrics()[0])
        for i in range(100):
            equal(server.get("/?%d" % i, {"User-Agent": "agent %d" % i, "Host": "host%d" % i})[0], 200)
        equal(set(server.metrics()[0]), before)


@shslib.not_under("fork", "none")
def test_alive_while_all_are_busy():
    """Every worker holds a body that never comes: the probes have threads of their own."""
    with Operated("--plain", "--handler", "echo", "--threading", "pool", "--threads", "1", "--max-threads", "2",
                  expect_exit=None) as server:
        busy = []
        for _ in range(2):
            sock = server.connect()
            sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                         b"Content-Length: 200000\r\n\r\n")
            shslib.read_until(sock, b"100 Continue\r\n\r\n")  # its handler waits for the body
            busy.append(sock)
        for _ in range(20):
            equal(server.probe("/livez"), (200, "ok\n"))
        for sock in busy:
            sock.close()


def redirected(server, port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=10 * shslib.SLOWNESS) as sock:
        sock.sendall(request)
        line, headers, _, _ = shslib.read_response(sock)
    return line.split(" ")[1], headers.get("location")


@shslib.not_under("fork")
def test_redirect():
    with shslib.Server(SITE, "--redirect", "0") as server:
        port = int(server.wait_stdout(r"(?s)\nServing HTTP on 127\.0\.0\.1 port (\d+)").group(1))
        here = ":%d" % server.port
        for host, target, wanted in (
                (b"example.org", b"/a/b?c=d", "https://example.org" + here + "/a/b?c=d"),
                (b"example.org:80", b"/", "https://example.org" + here + "/"),
                (b"[::1]:8080", b"/x", "https://[::1]" + here + "/x"),
                (b"[::1]", b"//evil.example/", "https://[::1]" + here + "//evil.example/"),
                (b"localhost", b"http://other.example/y?z", "https://other.example" + here + "/y")):
            got = redirected(server, port, b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, host))
            equal(got, ("308", wanted), target)
        got = redirected(server, port, b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        equal(got, ("308", "https://a" + here + "/form"))
        equal(redirected(server, port, b"GET / HTTP/1.0\r\n\r\n")[0], "400")
        status, _, body = server.get("/")
        equal(status, 200)


def test_mistakes():
    with shslib.temp_dir() as path:
        for flags, why in ((["--health", "x:y"], "ADDRESS:PORT"), (["--health", "::1:80"], "ADDRESS:PORT"),
                           (["--health", "70000"], "ADDRESS:PORT"), (["--redirect", "x"], "0 to 65535"),
                           (["--plain", "--redirect", "0"], "--redirect does not go with --plain"),
                           (["--threading", "fork", "--health", "0"], "without --redirect, --health and --admin")):
            code, out, err = shslib.run(shslib.BIN, "serve", *flags, cwd=path)
            equal((code, out), (2, ""), str(flags))
            check(why in err, err)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            code, out, err = shslib.run(shslib.BIN, "serve", "--plain", "-p", "0", "--health", port, cwd=path)
            equal((code, out), (1, ""))
            check(port in err and "in use" in err, err)


if __name__ == "__main__":
    shslib.main(*[value for name, value in list(globals().items()) if name.startswith("test_")])
