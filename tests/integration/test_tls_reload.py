"""Reload as a transaction: under load nothing fails, and a bad file never replaces a good one."""

import itertools
import os
import re
import shutil
import threading
import time

import shslib
import tls_pki
from shslib import check, equal


WAYS = list(itertools.product(("pool", "thread"), tls_pki.TLS_VERSIONS.values()))


def make_pki(directory):
    server = tls_pki.CA(directory, "server-root")
    root = tls_pki.CA(directory, "client-root")
    other = tls_pki.CA(directory, "other-root")
    pki = {"dir": directory, "server_ca": server.cert, "client_ca": root.cert, "crl": root.crl(),
           "other_crl": other.crl(), "good": [server.issue("good-%d" % i) for i in range(4)],
           "expired": server.issue("gone", start=-20 * tls_pki.DAY, end=-10 * tls_pki.DAY)}
    pki["serials"] = {tls_pki.serial(cert) for cert, _ in pki["good"]}
    return pki


def put(source, target):
    """As an editor and certbot do it: a new file, renamed over the old one."""
    shutil.copyfile(source, target + ".new")
    os.replace(target + ".new", target)


class Live:
    """The files a server was given, and ways to spoil them."""

    def __init__(self, pki, name):
        self.pki = pki
        self.dir = os.path.join(pki["dir"], name)
        os.mkdir(self.dir)
        self.cert, self.key, self.crl = [self.dir + "/" + n for n in ("cert", "key", "crl")]
        self.good(0)

    def good(self, i):
        cert, key = self.pki["good"][i % 4]
        put(cert, self.cert)
        put(key, self.key)
        put(self.pki["crl"], self.crl)
        return tls_pki.serial(cert)

    def bad(self, i):
        """One of four kinds of bad, and the words it must be refused with."""
        cert, key = self.pki["good"][(i + 1) % 4]
        self.good(i)
        if i % 4 == 0:
            put(self.pki["good"][(i + 2) % 4][1], self.key)
            return "does not belong"
        if i % 4 == 1:
            with open(self.cert + ".new", "w") as f:
                f.write(open(cert).read()[:300])
            os.replace(self.cert + ".new", self.cert)
            return "malformed|not PEM"
        if i % 4 == 2:
            put(self.pki["expired"][0], self.cert)
            put(self.pki["expired"][1], self.key)
            return "has expired"
        put(self.pki["other_crl"], self.crl)
        return "not of a CA"


def serve(live, *more):
    return shslib.Server("--handler", "whoami", "--cert", live.cert, "--key", live.key, "--client-ca",
                         live.pki["client_ca"], "--client-auth", "optional", "--crl", live.crl,
                         "--log", "none", "--log-level", "info", *more)


def served(server, pki, version=None):
    context = tls_pki.client_context(pki["server_ca"], version=version)
    with context.wrap_socket(server.connect_plain(), server_hostname="localhost") as sock:
        return sock.getpeercert()["serialNumber"].lower()


class Load:
    """Clients that do nothing but handshakes, and what came of them."""

    PAUSE = 0.01  # between two: the reload is what this is about, and it needs a processor, too

    def __init__(self, server, pki, version, threads=1):
        self.done, self.failed, self.serials, self.slow = 0, [], set(), 0.0
        self.server, self.stop = server, False
        self.context = tls_pki.client_context(pki["server_ca"], version=version)
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def run(self):
        while not self.stop:
            try:
                began = time.monotonic()
                with self.context.wrap_socket(self.server.connect_plain(),
                                              server_hostname="localhost") as sock:
                    serial = sock.getpeercert()["serialNumber"].lower()
                took = time.monotonic() - began
                with self.lock:
                    self.done += 1
                    self.serials.add(serial)
                    self.slow = max(self.slow, took)
                time.sleep(self.PAUSE)
            except Exception as error:  # a thread's own would be printed, and pass
                with self.lock:
                    self.failed.append(repr(error))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *what):
        self.stop = True
        for thread in self.threads:
            thread.join()


def log_count(server, words):
    return sum(bool(re.search(words, line)) for line in server.stderr_lines())


def swaps(pki, number, load):
    """Twenty-five of a server: good and bad by turns, while clients come."""
    live, (kind, version) = Live(pki, "swaps-%d" % number), WAYS[number]
    with serve(live, "--threading", kind) as server:
        wanted = None
        with load(server, version) as clients:
            for i in range(25):
                if i % 2:
                    words, before = live.bad(i // 2), log_count(server, "not reloaded")
                    server.signal(1)
                    shslib.wait_until(lambda: log_count(server, "not reloaded") > before, 10,
                                      "a refusal: " + words)
                    line = [l for l in server.stderr_lines() if "not reloaded" in l][-1]
                    check(re.search(words, line), "%r has no %r" % (line, words))
                    equal(served(server, pki, version), wanted, "after a bad swap")
                else:
                    wanted, before = live.good(i // 2), log_count(server, "Files read again")
                    server.signal(1)
                    shslib.wait_until(lambda: log_count(server, "Files read again") > before,
                                      10, "a reload")
                    equal(served(server, pki, version), wanted, "after a good swap")
        equal(clients.failed, [], "failed handshakes")
        check(clients.serials <= pki["serials"], "a certificate that is not good was served")
        equal(clients.serials, pki["serials"], "certificates seen")
        server.stop()
        # A bad one is tried again by itself: on a slow machine that is sometimes sooner than the next signal.
        done, bad = map(int, re.search(r"reloads=(\d+) reload-failures=(\d+)", server.stderr).groups())
        check(done >= 13 and bad >= 12, "reloads=%d reload-failures=%d" % (done, bad))
        # And the signal's own may still be under way at the end: it is counted, or logged, or both by then.
        until_then = server.stderr.partition(" TLS: handshakes=")[0].splitlines()
        for count, pattern in ((done, "Files read again"), (bad, "not reloaded|stays as it was:")):
            logged = sum(bool(re.search(pattern, line)) for line in until_then)
            check(logged <= count <= log_count(server, pattern), "%s: %d counted, %d logged" % (pattern, count, logged))


def hundred_swaps(pki):
    """On four servers at once, one for each way of threading and version of TLS: most of it is waiting for a reload."""
    loads, began = [], time.monotonic()

    def load(server, version):
        loads.append(Load(server, pki, version))
        return loads[-1]
    tls_pki.at_once(lambda number: swaps(pki, number, load), range(len(WAYS)))
    done = sum(clients.done for clients in loads)
    print("       %d handshakes, %d/s, none failed, the slowest %.0f ms"
          % (done, done / (time.monotonic() - began), max(clients.slow for clients in loads) * 1000))


def in_flight(pki):
    """A connection that is open when the certificate changes goes on."""
    for number, (kind, version) in enumerate(WAYS):
        live = Live(pki, "in-flight-%d" % number)
        with serve(live, "--threading", kind) as server:
            context = tls_pki.client_context(pki["server_ca"], version=version)
            with context.wrap_socket(server.connect_plain(), server_hostname="localhost") as sock:
                wanted = live.good(1)
                server.signal(1)
                server.wait_stderr("Files read again")
                equal(served(server, pki, version), wanted)
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                check(b" 200 " in shslib.read_all(sock), "the old connection was cut")


def watching(pki):
    """Renamed files, and a symbolic link swapped as Kubernetes does it."""
    live = Live(pki, "watch")
    with serve(live, "--watch") as server:
        wanted = live.good(1)
        shslib.wait_until(lambda: served(server, pki) == wanted, 10, "the new certificate")
        time.sleep(1)
        before = log_count(server, "reloaded")
        check(before <= 3, "three renames, %d reloads" % before)
        # A certificate that was there before its key may have been refused on the way.
        refused = log_count(server, "not reloaded.*does not belong")
        put(pki["good"][2][1], live.key)
        shslib.wait_until(lambda: log_count(server, "not reloaded.*does not belong") > refused, 10,
                          "the refusal of another certificate's key")
        equal(served(server, pki), wanted)
        time.sleep(1)
        equal(log_count(server, "reloaded"), before + 1, "one change, one line")

    mount = os.path.join(pki["dir"], "mount")
    os.mkdir(mount)

    def publish(i):
        version = "%s/..v%d" % (mount, i)
        os.mkdir(version)
        shutil.copyfile(pki["good"][i][0], version + "/tls.crt")
        shutil.copyfile(pki["good"][i][1], version + "/tls.key")
        os.symlink("..v%d" % i, mount + "/..data.new")
        os.rename(mount + "/..data.new", mount + "/..data")
        return tls_pki.serial(pki["good"][i][0])

    publish(0)
    os.symlink("..data/tls.crt", mount + "/tls.crt")
    os.symlink("..data/tls.key", mount + "/tls.key")
    with shslib.Server("--handler", "whoami", "--cert", mount + "/tls.crt", "--key", mount + "/tls.key", "--watch",
                       "--threading", "thread", "--log", "none", "--log-level", "info") as server:
        for i in (1, 2, 3):
            wanted = publish(i)
            shslib.wait_until(lambda: log_count(server, "configuration reloaded") >= i, 10,
                              "reload %d" % i)
            for version in tls_pki.TLS_VERSIONS.values():
                equal(served(server, pki, version), wanted)
        shutil.rmtree(mount + "/..v0")
        time.sleep(0.6)
        equal(log_count(server, "reloaded"), 3)


def a_bad_start(pki):
    """What would be refused at a reload is refused at the start too, but for dates: a warning."""
    live = Live(pki, "start")
    for i, words in ((0, "does not belong"), (1, "malformed|not PEM"), (3, "not of a CA")):
        live.bad(i)
        code, out, err = shslib.run(shslib.BIN, "serve", "-p", "0", "--handler", "whoami", "--cert",
                                    live.cert, "--key", live.key, "--client-ca", pki["client_ca"],
                                    "--crl", live.crl, seconds=20)
        equal(code, 1, err)
        check(re.search(words, err), err)
    live.bad(2)
    with serve(live) as server:
        server.wait_stderr("has expired")


def reload():
    with shslib.temp_dir() as directory:
        tls_pki.each_at_once(make_pki(directory), hundred_swaps, (in_flight, a_bad_start, watching))


shslib.main(reload)
