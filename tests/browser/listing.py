#!/usr/bin/env python3
"""listing.py - a headless Chromium plays with the listing over HTTPS: sorts, enters, comes back, opens.

    SHS_BIN=build/debug/shs python3 tests/browser/listing.py [PICTURES]

The browser trusts the server's local authority because it was put into its profile's store, as a user
would; it is told to ignore nothing. The order of rows is read from the page as the browser has it, once
with JavaScript and once with it switched off. With PICTURES, a directory, screenshots are left there:
wide, narrow and dark, for eyes. Needs Debian's chromium, chromium-driver and libnss3-tools; without them
it is skipped (77).
"""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import shslib  # noqa: E402
from shslib import check, equal  # noqa: E402

WIDE, NARROW = (1100, 760), (390, 844)
# The default of shs_security_middleware: everything here has to work under it.
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"

# Names that are trouble in URLs, in HTML, or on a screen; each file's content is its name.
ODD = ["a space.txt", "100%.txt", "%41.txt", "hash#mark.txt", "what?.txt", "a&b;c=d.txt", "<b>bold.txt",
       "quote\"s'.txt", "back\\slash.txt", "日本語.txt", "naïve café.txt", "semi:colon.txt", "plus+plus.txt",
       "tilde~.txt", "a-very-long-name-" + "that-goes-on-and-on-" * 8 + ".txt"]


def make_site(top):
    """The files, and rows as they should be shown: (name, size or None for a directory, time)."""
    rows = []

    def add(path, size, when):
        name = os.path.join(top, path)
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.truncate(size)
        os.utime(name, (when, when))

    for number, (name, size) in enumerate([("Readme.md", 812), ("archive.tar.gz", 734003200), ("build.log", 48130),
                                           ("cat.jpg", 2411724), ("index.css", 5120), ("Makefile", 1300),
                                           ("movie.mkv", 5 << 30), ("notes.txt", 0), ("zebra.c", 999)]):
        when = 1700000000 + (number * 7919 % 11) * 864000
        add("play/" + name, size, when)
        rows.append((name, size, when))
    for number, name in enumerate(["docs", "Pictures", "src"]):
        add("play/%s/inside-%s.txt" % (name, name), 100 + number, 1690000000)
        when = 1710000000 + number * 86400
        os.utime(os.path.join(top, "play", name), (when, when))
        rows.append((name, None, when))
    for name in ODD:
        shslib.write_file(os.path.join(top, "odd", name), name)
    for number in range(12):
        add("play/docs/part%d.txt" % number, 10, 1690000000)
    os.utime(os.path.join(top, "play", "docs"), (1710000000, 1710000000))
    for number in range(1000):
        add("many/entry-%04d.%s" % (number, ("txt", "png", "pdf")[number % 3]), number * 7919, 1700000000 + number * 3600)
    return rows


def natural(name):
    """As people count: digits as a number, letters without case."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in re.findall(r"\d+|\D", name)]


def ordered(rows, column, descending):
    """Directories first, whichever way it goes."""
    keys = [lambda row: natural(row[0]), lambda row: row[1] or 0, lambda row: row[2]]
    found = []
    for directory in (True, False):
        group = sorted((row for row in rows if (row[1] is None) == directory), key=keys[0])
        if directory and column == 1:
            found += group  # they have no size: by name
            continue
        found += sorted(group, key=keys[column], reverse=descending)
    return [row[0] for row in found]


class Browser:
    """The W3C WebDriver protocol, as far as it is needed here."""

    def __init__(self, home, javascript):
        self.base = None
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.driver = shslib.Process(["chromedriver", "--port=%d" % port], env=dict(os.environ, HOME=home),
                                     expect_exit=None)
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.driver.wait_stdout(r"started successfully", 60)
        self.base = "http://127.0.0.1:%d" % port
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                     "--disable-background-networking", "--disable-dev-shm-usage", "--no-proxy-server",
                     "--user-data-dir=" + os.path.join(home, "profile-%d" % javascript)]
        options = {"args": arguments, "binary": shutil.which("chromium")}
        if not javascript:
            options["prefs"] = {"profile.managed_default_content_settings.javascript": 2,
                                "profile.default_content_setting_values.javascript": 2}
        try:
            session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {
                "browserName": "chrome", "goog:chromeOptions": options}}})
        except BaseException:
            self.driver.kill()
            raise
        self.base += "/session/" + session["sessionId"]

    def call(self, method, path, body=None):
        data = None if method in ("GET", "DELETE") else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with self.opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise shslib.Failure("%s %s: %s" % (method, path, error.read().decode()[:1000]))

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.kill()
            self.driver.close()

    def go(self, url):
        self.call("POST", "/url", {"url": url})

    def back(self):
        self.call("POST", "/back")

    def url(self):
        return self.call("GET", "/url")

    def title(self):
        return self.call("GET", "/title")

    def elements(self, selector):
        found = self.call("POST", "/elements", {"using": "css selector", "value": selector})
        return [list(element.values())[0] for element in found]

    def text(self, element):
        return self.call("GET", "/element/%s/text" % element)

    def texts(self, selector):
        return [self.text(element) for element in self.elements(selector)]

    def click(self, element):
        self.call("POST", "/element/%s/click" % element)

    def click_link(self, text):
        for element in self.elements("td a"):
            if self.text(element) == text:
                self.click(element)
                return
        check(False, "there is no link called %r" % text)

    def screen(self, size, dark):
        self.cdp("Emulation.setDeviceMetricsOverride", {"width": size[0], "height": size[1], "deviceScaleFactor": 1,
                                                        "mobile": False})
        self.cdp("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def cdp(self, command, parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def picture(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("GET", "/screenshot")))

    def property(self, element, name):
        return self.call("GET", "/element/%s/property/%s" % (element, name))


def names(browser):
    """The names in the rows, as shown, without the way up and without the mark of a directory."""
    found = run(browser, "return Array.from(document.querySelectorAll('tbody tr:not(.up) td:first-child'), c => c.textContent)")
    return [text.rstrip("/") for text in found]


def has_style(browser):
    """No policy keeps the page from looking as it should."""
    equal(run(browser, "return getComputedStyle(document.body).maxWidth"), "960px", "the style of " + browser.url())


def play(browser, url, rows):
    browser.go(url + "/play/")
    equal(browser.title(), "Directory listing for /play/", "the title")
    has_style(browser)
    equal(names(browser), ordered(rows, 0, False), "by name at first")
    # A click on the head of another column sorts by it; another click turns it round.
    for column, label in ((1, "Size"), (2, "Changed"), (0, "Name")):
        for descending in (False, True):
            head = browser.elements("thead a")[column]
            check(browser.text(head).startswith(label), "column %d is %r" % (column, browser.text(head)))
            browser.click(head)
            equal(names(browser), ordered(rows, column, descending), "%s %s" % (label, descending))
            state = browser.elements("th[aria-sort]")
            equal(len(state), 1, "sorted by one column")
            equal(browser.call("GET", "/element/%s/attribute/aria-sort" % state[0]),
                  "descending" if descending else "ascending", "what a screen reader says")
    # Into a directory and back: the order of before.
    browser.click(browser.elements("thead a")[1])
    browser.click_link("docs/")
    equal(names(browser), ["inside-docs.txt"] + ["part%d.txt" % n for n in range(12)], "in the directory, as people count")
    browser.back()
    equal(names(browser), ordered(rows, 1, False), "back, sorted as before")
    browser.click_link("docs/")
    browser.click_link("../")
    equal(names(browser), ordered(rows, 0, False), "up")


def open_odd(browser, url):
    browser.go(url + "/odd/")
    equal(sorted(names(browser)), sorted(ODD), "odd names as they are")
    for name in ODD:
        browser.click_link(name)
        equal(browser.texts("body")[0], name, "the content of %r at %s" % (name, browser.url()))
        browser.back()


def run(browser, script, *arguments):
    return browser.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})


def filter_names(browser, url, javascript):
    """A page of more than 50 rows has a box that hides the others; a short one has none."""
    browser.go(url + "/play/")
    equal(browser.elements("#filter"), [], "no filter where there is nothing to filter")
    browser.go(url + "/many/")
    box = browser.elements("#filter")[0]
    equal(browser.call("GET", "/element/%s/displayed" % box), javascript, "the box is there when it works")
    if not javascript:
        equal(len(names(browser)), 1000, "without it all rows are there")
        return
    browser.call("POST", "/element/%s/value" % box, {"text": "-00"})
    shown = run(browser, "return Array.from(document.querySelectorAll('tbody tr:not(.up)')).filter(r => r.offsetParent).length")
    equal(shown, 100)
    check("100 of 1000" in browser.texts("#count")[0], browser.texts("#count")[0])
    equal(len(browser.elements("tbody tr.up")), 1, "the way up stays")


def upload(browser, url, top, javascript):
    """A file is chosen and sent; what is dropped is sent; what is refused is said."""
    source = os.path.join(top, "..", "chosen-%d.txt" % javascript)
    shslib.write_file(os.path.abspath(source), "chosen")
    browser.go(url + "/inbox/")
    field = browser.elements("#upload input[type=file]")[0]
    browser.call("POST", "/element/%s/value" % field, {"text": os.path.abspath(source)})
    browser.click(browser.elements("#upload button")[0])
    shslib.wait_until(lambda: "chosen-%d.txt" % javascript in names(browser), 20, "the file in the listing")
    equal(browser.url(), url + "/inbox/", "back at the listing")
    os.unlink(os.path.abspath(source))
    if not javascript:
        return
    drop = """
        const data = new DataTransfer();
        data.items.add(new File(['d'.repeat(arguments[0])], arguments[1]));
        for (const kind of ['dragenter', 'dragover', 'drop'])
            document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
        return [document.querySelector('progress').hidden, document.querySelector('#upload button').textContent];"""
    equal(run(browser, drop, 3000, "dropped.txt"), [False, "Cancel"], "it shows how far it is")
    shslib.wait_until(lambda: "dropped.txt" in names(browser), 20, "what was dropped in the listing")
    equal(os.path.getsize(os.path.join(top, "inbox", "dropped.txt")), 3000)
    run(browser, drop, 5 << 20, "large.bin")
    shslib.wait_until(lambda: "Not stored" in browser.texts("#upload output")[0], 20, "to be told that it is too large")
    check("larger than this server accepts" in browser.texts("#upload output")[0], browser.texts("#upload output")[0])
    equal(run(browser, "return [document.querySelector('progress').hidden, document.querySelector('#upload button').textContent]"),
          [True, "Upload"], "and it can be tried again")
    check("large.bin" not in os.listdir(os.path.join(top, "inbox")), "it is not there")


def way_back(browser, url):
    browser.go(url + "/play/nothing/here")
    check("404" in browser.title(), browser.title())
    has_style(browser)
    browser.click(browser.elements("a")[0])
    equal(browser.url(), url + "/play/", "the nearest directory that is there")


def progress_picture(browser, url, directory):
    """A bar in the middle of its way: sent slowly enough to be looked at."""
    browser.go(url + "/inbox/")
    run(browser, """
        document.querySelector('progress').hidden = false; document.querySelector('progress').value = 62;
        document.querySelector('#upload button').textContent = 'Cancel';
        document.querySelector('#upload output').textContent = '62 % of 481.3 MiB';
        document.querySelector('#upload').classList.add('over');""")
    for size, width in ((WIDE, "wide"), (NARROW, "narrow")):
        for dark in (False, True):
            browser.screen(size, dark)
            browser.picture(os.path.join(directory, "progress-%s-%s.png" % (width, "dark" if dark else "light")))
    browser.go(url + "/many/")
    browser.call("POST", "/element/%s/value" % browser.elements("#filter")[0], {"text": "99"})
    for size, width in ((WIDE, "wide"), (NARROW, "narrow")):
        browser.screen(size, False)
        browser.picture(os.path.join(directory, "filter-%s-light.png" % width))
    browser.screen(WIDE, False)


def pictures(browser, url, directory):
    for name, path in (("play", "/play/"), ("odd", "/odd/"), ("many", "/many/?C=S;O=D"), ("upload", "/play/docs/"),
                       ("missing", "/nowhere")):
        browser.go(url + path)
        for size, width in ((WIDE, "wide"), (NARROW, "narrow")):
            for dark in (False, True):
                browser.screen(size, dark)
                # Whatever the width, nobody has to scroll sideways.
                root = browser.elements("html")[0]
                check(browser.property(root, "scrollWidth") <= size[0], "%s is wider than %d" % (path, size[0]))
                if directory:
                    browser.picture(os.path.join(directory, "%s-%s-%s.png" % (name, width, "dark" if dark else "light")))
    browser.screen(WIDE, False)


def trust(home, ca):
    store = os.path.join(home, ".pki", "nssdb")
    os.makedirs(store)
    for command in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "shs local authority", "-i", ca]):
        subprocess.run(["certutil", "-d", "sql:" + store] + command, check=True, timeout=60)


def main():
    for tool in ("chromium", "chromedriver", "certutil"):
        if not shutil.which(tool):
            shslib.skip("there is no %s (apt install chromium chromium-driver libnss3-tools)" % tool)
    directory = sys.argv[1] if len(sys.argv) > 1 else None
    if directory:
        os.makedirs(directory, exist_ok=True)
    with shslib.temp_dir() as top, shslib.temp_dir() as home:
        rows = make_site(top)
        shslib.write_file(top + "/script.html", "<title>off</title><script src=script.js></script>")
        shslib.write_file(top + "/script.js", "document.title = 'on'")
        shslib.write_file(top + "/inline.html", "<title>off</title><script>document.title = 'on'</script>")
        os.mkdir(top + "/inbox")
        with shslib.Server("--log", "none", "--upload", "--archive", "--max-upload", "1m",
                           "--header", "Content-Security-Policy: " + POLICY, top) as server:
            trust(home, server.ca)
            url = "https://localhost:%d" % server.port
            for javascript in (True, False):
                browser = Browser(home, javascript)
                try:
                    browser.go(url + "/script.html")
                    equal(browser.title(), "on" if javascript else "off", "JavaScript")
                    browser.go(url + "/inline.html")
                    equal(browser.title(), "off", "the policy is in force")
                    browser.screen(WIDE, False)
                    play(browser, url, rows)
                    open_odd(browser, url)
                    filter_names(browser, url, javascript)
                    upload(browser, url, top, javascript)
                    way_back(browser, url)
                    if javascript:
                        pictures(browser, url, directory)
                    if javascript and directory:
                        progress_picture(browser, url, directory)
                finally:
                    browser.close()
                print("ok     %s JavaScript" % ("with" if javascript else "without"))
    if directory:
        print("pictures: %s" % directory)


if __name__ == "__main__":
    main()
