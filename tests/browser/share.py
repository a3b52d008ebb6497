#!/usr/bin/env python3
"""share.py - a headless Chromium opens what `shs serve --bind '' --share-ca` shares, by every URL it prints.

    SHS_BIN=build/debug/shs python3 tests/browser/share.py [PICTURES]

In a network namespace of its own, with an interface, a host name and a hosts file that are only there. One
browser has the authority in its store, because `shs trust install --only browsers` has put it there: it shows
each page, by address and by name, without a warning. One that has not, shows none. Then `shs trust remove`,
and a warning again. With PICTURES, a directory, screenshots of the page /ca are left there: wide, narrow and
dark, for eyes. Needs root, Debian's chromium, chromium-driver, libnss3-tools, iproute2 and util-linux; where
something is missing, or there can be no namespace, it is skipped (77) and says why.
"""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import listing  # noqa: E402
import shslib  # noqa: E402
from shslib import check, equal  # noqa: E402

INSIDE = "SHS_SHARE_INSIDE"
HOST, ADDRESSES = "shstest", ("10.77.0.5/24", "fd77::5/64")


def enter():
    """The script again, where nobody else's network, host name and mounts are."""
    for tool in ("chromium", "chromedriver", "certutil", "ip", "unshare"):
        if not shutil.which(tool):
            shslib.skip("there is no %s (apt install chromium chromium-driver libnss3-tools iproute2)" % tool)
    spaces = ["unshare", "--net", "--uts", "--mount", "--propagation", "private", "--"]
    tried = subprocess.run(spaces + ["ip", "link", "add", "shs0", "type", "bridge"], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
    if tried.returncode != 0:
        shslib.skip("there can be no namespace with an interface: " + tried.stdout.decode().strip())
    os.execvp(spaces[0], spaces + [sys.executable] + sys.argv)


def furnish(directory):
    for command in (["ip", "link", "set", "lo", "up"], ["ip", "link", "add", "shs0", "type", "bridge"],
                    ["ip", "link", "set", "shs0", "up"], ["hostname", HOST]):
        subprocess.run(command, check=True)
    for address in ADDRESSES:
        subprocess.run(["ip", "addr", "add", address, "dev", "shs0"] + (["nodad"] if ":" in address else []), check=True)
    hosts = os.path.join(directory, "hosts")
    shslib.write_file(hosts, "127.0.0.1 localhost\n10.77.0.5 %s %s.local app.test\n" % (HOST, HOST))
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)


WARNING = "Privacy error"  # the title of what a browser shows in place of a page that it does not trust


def see(browser, url):
    browser.go(url)
    return browser.title()


def with_browser(home, javascript, look):
    browser = listing.Browser(home, javascript)
    try:
        look(browser)
    finally:
        browser.close()


def pictures(browser, url, directory):
    for size, width in ((listing.WIDE, "wide"), (listing.NARROW, "narrow")):
        for dark in (False, True):
            browser.screen(size, dark)
            browser.go(url + "ca")
            wider = listing.run(browser, "return document.documentElement.scrollWidth - innerWidth")
            check(wider <= 0, "the page is %s px wider than a window of %d" % (wider, size[0]))
            ground = listing.run(browser, "return getComputedStyle(document.body).backgroundColor")
            equal(ground, "rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)", "the page's ground")
            if directory:
                browser.screen((size[0], 2200 if width == "narrow" else 1500), dark)
                browser.picture(os.path.join(directory, "ca-%s-%s.png" % (width, "dark" if dark else "light")))


def trust(home, verb, ca):
    code, out, err = shslib.run(shslib.BIN, "trust", verb, ca, "--only", "browsers", env={"HOME": home})
    equal(code, 0, out + err)


def main():
    if os.environ.get(INSIDE) != "yes":
        os.environ[INSIDE] = "yes"
        enter()
    directory = sys.argv[1] if len(sys.argv) > 1 else None
    if directory:
        os.makedirs(directory, exist_ok=True)
    with shslib.temp_dir() as top, shslib.temp_dir() as home, shslib.temp_dir() as stranger:
        furnish(top)
        os.mkdir(top + "/site")
        shslib.write_file(top + "/site/index.html", "<title>shared</title>")
        with shslib.Server(top + "/site", "--bind", "", "--share-ca", "--name", "app.test") as server:
            server.wait_stdout(r"app\.test")
            urls = re.findall(r"^    (https://\S+/)", server.stdout, re.M)
            equal([re.sub(r":\d+/$", "", url) for url in urls],
                  ["https://" + name for name in ("10.77.0.5", "[fd77::5]", HOST, HOST + ".local", "app.test")], "URLs")
            os.makedirs(home + "/.pki/nssdb")
            subprocess.run(["certutil", "-d", "sql:" + home + "/.pki/nssdb", "-N", "--empty-password"], check=True)
            trust(home, "install", server.ca)

            def trusting(browser):
                for url in urls:
                    equal(see(browser, url), "shared", url)
                    print("ok     %s without a warning" % url)
                pictures(browser, urls[0], directory)

            with_browser(home, True, trusting)
            with_browser(stranger, True, lambda browser: equal(see(browser, urls[0]), WARNING, "a stranger"))
            server.wait_stderr(r"does not trust the certificate")
            print("ok     one that was told nothing warns")
            trust(home, "remove", server.ca)
            with_browser(home, False, lambda browser: equal(see(browser, urls[0]), WARNING, "removed"))
            print("ok     and so does one that was told to forget it")


if __name__ == "__main__":
    main()
