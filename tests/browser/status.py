#!/usr/bin/env python3
"""status.py - the admin plane's status page in a headless Chromium, under load.

    SHS_BIN=build/release/shs python3 tests/browser/status.py PICTURES [SECONDS]

Clients ask for files, for what is not there, and badly; some fail in the handshake. After SECONDS (60)
of that, pictures of the page are left in PICTURES: wide and narrow, light and dark, with JavaScript and
without. The page is at a Unix socket; a relay on a loopback port stands for `ssh -L`. With JavaScript it
renews itself, without it a reload does; nothing breaks its policy, and nothing is wider than the window.
Needs Debian's chromium and chromium-driver; without them it is skipped (77).
"""

import contextlib
import os
import shutil
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import shslib  # noqa: E402
from shslib import check, equal  # noqa: E402

from listing import Browser, run  # noqa: E402

WIDE, NARROW = (1200, 800), (390, 844)


class Relay:
    """A loopback port in front of a Unix socket, as ssh -L makes one."""

    def __init__(self, path):
        self.path = path
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.sock.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.path)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self.copy, args=pair, daemon=True).start()

    @staticmethod
    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def load(server, stop, number):
    """One client: now and then another one, at a pace that changes."""
    context = ssl.create_default_context(cafile=server.ca)
    paths = (b"/", b"/index.html", b"/style.css", b"/nowhere", b"/")
    began = time.monotonic()
    while not stop.is_set():
        with contextlib.suppress(OSError, shslib.Failure):
            if number == 0:
                with server.connect_plain() as sock:
                    sock.sendall((b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\x02\x01\x00", b"")[int(time.time()) % 3])
                    sock.settimeout(1)
                    sock.recv(10)
                stop.wait(0.5)
                continue
            with context.wrap_socket(server.connect_plain(), server_hostname="localhost") as sock:
                for turn in range(50):
                    sock.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % paths[turn % len(paths)])
                    shslib.read_response(sock)
                    stop.wait(0.01 + 0.03 * (1 + int((time.monotonic() - began) / 7) % 4))


def whole_page(browser, path, size, dark):
    browser.screen(size, dark)
    height = run(browser, "return document.documentElement.scrollHeight")
    browser.screen((size[0], max(size[1], int(height))), dark)
    browser.picture(path)


def look(browser, url, directory, javascript):
    browser.go(url)
    if javascript:
        shslib.wait_until(lambda: "Live." in browser.texts("#state"), 20, "news")
        before = browser.texts("header .quiet")[0]
        shslib.wait_until(lambda: browser.texts("header .quiet")[0] != before, 20, "newer numbers")
        heads = browser.texts("h2")
        equal(len(heads), 8, "cards")
        wrong = [entry for entry in browser.call("POST", "/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]
        equal(wrong, [], "what the browser complains of")
    else:
        check("Reload" in browser.texts("#state")[0], browser.texts("#state"))
    for size, width in ((WIDE, "wide"), (NARROW, "narrow")):
        for dark in (False, True):
            browser.screen(size, dark)
            root = browser.elements("html")[0]
            check(browser.call("GET", "/element/%s/property/scrollWidth" % root) <= size[0], "wider than %d" % size[0])
            name = "status-%s-%s%s.png" % (width, "dark" if dark else "light", "" if javascript else "-no-script")
            if javascript:
                whole_page(browser, os.path.join(directory, name), size, dark)
            else:
                browser.picture(os.path.join(directory, name))


def main():
    for tool in ("chromium", "chromedriver"):
        if not shutil.which(tool):
            shslib.skip("there is no %s (apt install chromium chromium-driver)" % tool)
    directory, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60
    os.makedirs(directory, exist_ok=True)
    with shslib.temp_dir() as home:
        path = os.path.join(home, "admin.sock")
        site = os.path.join(shslib.SOURCE_DIR, "examples", "site")
        with shslib.Server("--log", "none", "--admin", "unix:" + path, "--admin-audit", os.path.join(home, "audit"),
                           "--max-connections-per-address", "1000", site) as server:
            server.wait_stdout(r"^Admin at unix:")
            relay, stop = Relay(path), threading.Event()
            clients = [threading.Thread(target=load, args=(server, stop, n)) for n in range(16)]
            for client in clients:
                client.start()
            try:
                time.sleep(seconds)
                for javascript in (True, False):
                    browser = Browser(home, javascript)
                    try:
                        look(browser, "http://127.0.0.1:%d/" % relay.port, directory, javascript)
                    finally:
                        browser.close()
                    print("ok     %s JavaScript" % ("with" if javascript else "without"))
            finally:
                stop.set()
                for client in clients:
                    client.join(20)
    print("pictures: %s" % directory)


if __name__ == "__main__":
    main()
