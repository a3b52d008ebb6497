"""GET status of the admin plane: numbers, the page of them, and its news."""

import contextlib
import os
import re
import socket
import urllib.request

import adminlib
import shslib
import tls_pki
from adminlib import PREFIX, RULES, SITE, Admin, Pki, Ruled, talk
from shslib import check, equal

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
WATCHERS = 8


class Watch:
    """A reader of the page's news."""

    def __init__(self, sock, query="", headers=()):
        self.sock, self.data = sock, b""
        lines = ["GET %s/status%s HTTP/1.1" % (PREFIX, query), "Host: localhost", "Accept: text/event-stream", *headers]
        self.sock.sendall("\r\n".join(lines + ["", ""]).encode())
        head = self.upto(b"\r\n\r\n").decode()
        self.status = int(head.split(" ")[1])
        self.headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)

    def upto(self, marker):
        while marker not in self.data:
            more = self.sock.recv(65536)
            check(more, "the stream ended before %r: %r" % (marker, self.data[-200:]))
            self.data += more
        found, self.data = self.data.split(marker, 1)
        return found + marker

    def event(self):
        """The data of the next one. Chunk sizes in between stay in it."""
        self.upto(b"event: status")
        return self.upto(b"</div>\ndata: \n\n").decode()

    def ends(self):
        while True:
            more = self.sock.recv(65536)
            self.data += more
            if not more or self.data.endswith(b"\r\n0\r\n\r\n"):
                return True


def unix(server):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20 * shslib.SLOWNESS)
    sock.connect(server.socket)
    return sock


def test_numbers_are_those_of_the_load(pki):
    with shslib.temp_dir() as home, Admin(*pki.flags(), SITE, home=home) as server, contextlib.ExitStack() as stack:
        held = [stack.enter_context(server.client(pki, name)) for name in ("alice", "bob")]
        for _ in range(10):
            equal(talk(held[0])[0], 200)
        for _ in range(5):
            equal(talk(held[1], "/nowhere")[0], 404)
        with server.connect_plain() as sock:  # one that fails, and is answered all the same
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            shslib.read_all(sock)
        # a point of the history that has all of it
        shslib.wait_until(lambda: server.see("status")["requests"]["lately"] == 16, 20, "a point")
        status = server.see("status")
        equal((status["name"], status["draining"]), ("server", False))
        equal(status["connections"]["open"], 2)
        check(status["connections"]["accepted"] == 3 and status["connections"]["max"] == 10000, status["connections"])
        equal({name: count for name, count in status["answers"].items() if count}, {"2xx": 10, "4xx": 6})
        equal(status["answers_lately"], status["answers"])
        check(0 < status["requests"]["p50_ms"] <= status["requests"]["p99_ms"], status["requests"])
        shslib.wait_until(lambda: server.see("status")["handshakes"]["failed"] == 1, 10, "the failure")
        handshakes = server.see("status")["handshakes"]
        equal((handshakes["done"], handshakes["failed_by_cause"]), (2, {"plain-http": 1}))
        check(status["pool"]["threads"] >= 1 and status["pool"]["queue"] == 0, status["pool"])
        equal([item["servers"] for item in status["certificates"]], [["127.0.0.1:%d" % server.port]] * 2)
        left = [item["seconds_left"] for item in status["certificates"]]
        equal(left, sorted(left), "the one that ends first in front")
        equal([item["name"] for item in status["servers"]], ["127.0.0.1:%d" % server.port])
        history = status["history"]
        every = history.pop("every_ms")
        equal(every, 2000)
        equal(len({len(values) for values in history.values()}), 1, "as many of each")
        equal(round(sum(rate * every / 1000 for rate in history["requests_per_s"])) >= 1, True, history)
        equal(max(history["connections"]), 2)


def test_failures_are_the_sum_of_their_causes(pki):
    """A balancer looks whether the port is open: no handshake failed, and nowhere is one said to have."""
    with shslib.temp_dir() as home, Admin(*pki.flags(), "--health", "0", SITE, home=home) as server:
        port = int(server.wait_stdout(r"(?s)\nServing HTTP on 127\.0\.0\.1 port (\d+)").group(1))
        for _ in range(3):
            server.connect_plain().close()
        for sent in (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\x02\x01\x00", b"\x16"):
            with server.connect_plain() as sock:
                sock.sendall(sent)
                sock.shutdown(socket.SHUT_WR)
                shslib.read_all(sock)
        with server.client(pki, "alice") as sock:
            equal(talk(sock)[0], 200)

        def all_there():
            now = server.see("status")["handshakes"]
            return (now["done"], now["probes"], now["failed"]) == (1, 3, 3)

        shslib.wait_until(all_there, 20, "one done, three probes, three failures: %r" % server.see("status")["handshakes"])
        of_all = server.see("status")["handshakes"]
        of_one = server.see("servers")[0]["tls"]
        for told in (of_all, of_one):
            equal((told["probes"], told["failed"], sum(told["failed_by_cause"].values())), (3, 3, 3), told)
            check("probe" not in told["failed_by_cause"], told)
        equal(len(server.see("handshakes?failed=1")), 3)
        with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=10 * shslib.SLOWNESS) as answer:
            series = re.findall(r"^shs_tls_(failures|probes)_total\{([^}]*)\} (\d+)$", answer.read().decode(), re.MULTILINE)
        ours = [(kind, labels, int(count)) for kind, labels, count in series if ":%d\"" % server.port in labels]
        equal(sum(count for kind, _, count in ours if kind == "failures"), 3, ours)
        equal([count for kind, _, count in ours if kind == "probes"], [3], ours)
        check(not any('cause="probe"' in labels for _, labels, _ in ours), ours)
        page = server.ask("status", headers=HTML).body.decode()
        card = page.split("<h2>Handshakes</h2>")[1].split("</section>")[0]
        bars = [int(n) for n in re.findall(r'<td class="number">(\d+)</td>', card)]
        equal(sum(bars), int(re.search(r'<b class="other">(\d+)</b> <span>failed', card).group(1)), card)
        check("<td>probe" not in card and re.search(r"probes[^<]*<b>3</b>", card), card)


def test_the_page(pki):
    evil = pki.ca.issue("evil", subject="/O=<script>alert(1)<\\/script>/CN=a\"b&c'd")
    with shslib.temp_dir() as home, Admin("--cert", evil[0], "--key", evil[1], SITE, home=home) as server:
        answer = server.ask("status", headers=HTML)
        equal((answer.status, answer.headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        equal(policy.pop("default-src"), "'none'")
        check(set(policy.values()) <= {"'self'", "'none'"}, policy)
        equal((answer.headers["Vary"], answer.headers["Cache-Control"]), ("Accept", "no-store"))
        page = answer.body.decode()
        # nothing in it that the policy would have to allow, and nothing from elsewhere
        check("alert(1)" in page and "<script>alert" not in page and "a\"b" not in page, "names are escaped")
        equal(re.findall(r"\sstyle=|<style|\son\w+=|javascript:", page), [])
        equal(re.findall(r"<script(?! src=\"/admin/v1/status\.js\" defer></script>)", page), [])
        used = re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
        equal(sorted(used), [PREFIX + "/status." + name for name in ("css", "js", "svg")])
        for name, kind in (("css", "text/css"), ("js", "text/javascript"), ("svg", "image/svg+xml")):
            part = server.ask("status." + name, headers={"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "same-origin"})
            equal((part.status, part.headers["Content-Type"].split(";")[0]), (200, kind))
            equal(part.headers["X-Content-Type-Options"], "nosniff")
            equal(re.findall(rb"url\(|@import|https?:(?!//www\.w3\.org/2000/svg)", part.body), [], "from elsewhere")
            equal(server.ask("status." + name, headers={"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site"}).status, 403)
        # without script all numbers are there, and each picture has words for who does not see it
        for card in ("Connections", "Requests", "Latency", "Answers", "Workers", "Handshakes", "Certificates", "Servers"):
            check("<h2>%s</h2>" % card in page, card)
        equal(page.count("<svg"), len(re.findall(r"<svg [^>]*role=\"img\" aria-label=\"[^\"]+\"", page)))
        check("serving" in page and "127.0.0.1:%d" % server.port in page, page)
        # for a browser the way there is the address alone
        answer = server.ask("/", headers=HTML)
        equal((answer.status, answer.headers["Location"]), (303, PREFIX + "/status"))
        equal(server.ask("status", "HEAD", headers=HTML).status, 200)
        # a page that has led a name of its own to the end of somebody's relay gets nothing
        for host, wanted in (("evil.example", 403), ("evil.example:9000", 403), ("8.8.8.8", 403), ("localhost:9000", 200),
                             ("127.0.0.1:9000", 200), ("[::1]:9000", 200), ("admin", 200)):
            equal(server.ask("status", headers={"Host": host}).status, wanted, host)


def test_news(pki):
    with shslib.temp_dir() as home, Admin("--plain", "--threads", "2", "--max-threads", "2", SITE, home=home) as server, \
            contextlib.ExitStack() as stack:
        watches = [Watch(stack.enter_context(unix(server)), "?for=%ds" % (3 if n == 0 else 60)) for n in range(WATCHERS)]
        for watch in watches:
            equal((watch.status, watch.headers["content-type"]), (200, "text/event-stream"))
            check("<h2>Connections</h2>" in watch.event(), "the first one, at once")
        more = Watch(stack.enter_context(unix(server)))
        equal((more.status, more.headers["retry-after"]), (503, "10"))
        # meanwhile everything else answers: here, and at the servers that are looked at
        equal(server.ask("whoami").status, 200)
        check(len(server.see("connections?server=admin")) >= WATCHERS, "their connections")
        equal(server.see("status")["pool"]["busy"], 0, "workers that watchers hold")
        with server.connect() as sock:
            equal(talk(sock)[0], 200)
        before = re.search(r"\d\d:\d\d:\d\d UTC", watches[1].event())
        check(before, "a second one")
        # the end comes by itself, and whoever goes makes room
        check(watches[0].ends(), "3 s")
        watches[1].sock.close()

        def has_room():
            with unix(server) as sock:
                return Watch(sock, "?for=1s").status == 200

        shslib.wait_until(has_room, 20, "room")
        equal(server.ask("status?for=soon", headers={"Accept": "text/event-stream"}).status, 400)
        # the rest ends with the server: its stop is not held up
    check("abandoned" not in server.stderr, server.stderr)


def test_for_whom(pki):
    with shslib.temp_dir() as home, Ruled(pki, home) as server:
        for name, wanted in (("bob", 200), ("mallory", 403)):
            for path in ("status", "status.css", "status.js", "status.svg"):
                equal(server.ask_as(name, path).status, wanted, "%s as %s" % (path, name))
            equal(server.ask_as(name, "/").status, 303)
        sock = socket.create_connection(("127.0.0.1", server.tcp), timeout=20 * shslib.SLOWNESS)
        with pki.context("bob").wrap_socket(sock, server_hostname="localhost") as sock:
            watch = Watch(sock, "?for=60s")
            check("<h2>Connections</h2>" in watch.event(), "bob watches")
            shslib.write_file(server.rules, (RULES % (pki.ca.cert, os.geteuid())).replace('map cn "bob" ca corp    viewer\n', ""))
            equal(server.ask("reload", "POST").status, 200)
            check(watch.ends(), "bob may no more, and watches on")


if __name__ == "__main__":
    adminlib.main(globals())
