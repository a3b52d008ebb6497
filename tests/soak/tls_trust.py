"""Trust that changes under load: a model says who gets in and what is served, and the server agrees.

    python3 tests/soak/tls_trust.py [SHS] [--seconds N] [--rate N] [--reloads N] [--look MS] [--seed N]

Five names with a certificate each, two CAs of clients with a CRL each, --watch. One file after another
becomes another one, in one of eleven ways (in place, renamed over, links, modes, hard links, deleted and
made again, directories, bad content in between, its old time), while clients make handshakes with random
names, certificates and versions of TLS. A client that begins after a change was seen must find what the
model says; one that begins before may find either. Every change is to be seen within 2 s (by the kernel;
with --look, which also hides the directories from inotify, within twice that). Then --reloads reloads:
descriptors, threads and memory are to be as before.
"""

import argparse
import os
import random
import shutil
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))
import shslib  # noqa: E402
import tls_pki  # noqa: E402

NAMES, THREADS, WITHIN = 5, 6, 2.0
WITHOUT_PRIVILEGES = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


class Files:
    """What is watched, and all that it may become."""

    def __init__(self, top):
        self.top = top
        server = tls_pki.CA(top, "server-root")
        self.server_ca = server.cert
        self.key = server.issue("first")[1]
        self.certs = {}  # target: [(content, what a client then finds)]
        self.paths = {}
        os.makedirs(top + "/live")
        for n in range(NAMES):
            name = "n%d.example" % n
            issued = [server.issue("n%d-%d" % (n, i), names=("DNS:" + name,), key=self.key)[0] for i in range(3)]
            self.certs[name] = [(open(c, "rb").read(), tls_pki.serial(c)) for c in issued]
            self.paths[name] = "%s/live/%d/cert.pem" % (top, n)
        self.clients, roots = [], []
        for letter in "ab":
            root = tls_pki.CA(top, "root-" + letter)
            roots.append(root.cert)
            clients = [root.client("%s-%d" % (letter, i)) for i in range(2)]
            crls = [(open(root.crl("%s/%s-none.crl" % (top, letter)), "rb").read(), ())]
            for i in range(2):
                root.revoke("%s-%d" % (letter, i))
                crls.append((open(root.crl("%s/%s-%d.crl" % (top, letter, i)), "rb").read(),
                             tuple((letter, k) for k in range(i + 1))))
            self.certs[letter] = crls
            self.paths[letter] = "%s/live/crls/%s.crl" % (top, letter)
            self.clients += [((letter, i), client) for i, client in enumerate(clients)]
        self.client_ca = tls_pki.bundle(top + "/clients.pem", *roots)
        for target, path in self.paths.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write(path, self.certs[target][0][0])

    def flags(self):
        argv = []
        for n in range(NAMES):
            argv += ["--cert", self.paths["n%d.example" % n], "--key", self.key]
        return argv + ["--client-ca", self.client_ca, "--crl", self.top + "/live/crls"]


def write(path, data):
    with open(path, "wb") as out:
        out.write(data)


# -- the ways ------------------------------------------------------------------------------------

def in_place(path, data):
    with open(path, "r+b") as out:
        out.truncate(0)
        for i in range(0, len(data), 200):
            out.write(data[i:i + 200])
            out.flush()


def renamed(path, data):
    aside = os.path.join(os.path.dirname(path), ".new")
    write(aside, data)
    os.replace(aside, path)


def link_to(path, target):
    aside = os.path.join(os.path.dirname(path), ".link")
    os.symlink(target, aside)
    os.replace(aside, path)


def another_link(path, data):
    store = os.path.join(os.path.dirname(path), ".store-%d" % random.randrange(1 << 30))
    write(store, data)
    link_to(path, os.path.basename(store))


def target_of_a_link(path, data):
    if not os.path.islink(path):
        another_link(path, open(path, "rb").read())
        time.sleep(0.1)
    in_place(os.path.realpath(path), data)


def kubernetes(path, data):
    where, name = os.path.split(path)
    version = os.path.join(where, "..%d" % random.randrange(1 << 30))
    os.mkdir(version)
    for other in os.listdir(where):  # a version has every file that leads into it
        if os.path.islink(os.path.join(where, other)) and os.readlink(os.path.join(where, other)) == "..data/" + other:
            shutil.copyfile(os.path.join(where, other), os.path.join(version, other))
    write(os.path.join(version, name), data)
    link_to(os.path.join(where, "..data"), os.path.basename(version))
    if not os.path.islink(path) or not os.readlink(path).startswith("..data"):
        link_to(path, "..data/" + name)


def unreadable_first(path, data):
    renamed(path, data)
    os.chmod(path, 0)
    time.sleep(random.random())
    os.chmod(path, 0o644)


def deleted_and_made(path, data):
    os.unlink(path)
    time.sleep(random.random())
    write(path, data)


def bad_in_between(path, data):
    renamed(path, random.choice([b"", b"nothing\n", data[:len(data) // 2], b"x" + data, bytes(100)]))
    time.sleep(random.random())
    in_place(path, data)


def hard_link(path, data):
    aside = os.path.join(os.path.dirname(os.path.dirname(path)), "hard")
    os.link(os.path.realpath(path), aside)
    time.sleep(random.random() / 4)
    in_place(aside, data)
    os.unlink(aside)


def directory_made_again(path, data):
    where = os.path.dirname(path)
    os.rename(where, where + ".old")
    time.sleep(random.random() / 4)
    shutil.copytree(where + ".old", where + ".next", symlinks=True)
    if os.path.islink(where + ".next/" + os.path.basename(path)):
        os.unlink(where + ".next/" + os.path.basename(path))
    write(where + ".next/" + os.path.basename(path), data)
    os.rename(where + ".next", where)
    shutil.rmtree(where + ".old")


def with_its_old_time(path, data):
    before = os.stat(path)
    in_place(path, data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


WAYS = (in_place, renamed, another_link, target_of_a_link, kubernetes, unreadable_first, deleted_and_made, bad_in_between,
        hard_link, directory_made_again, with_its_old_time)


# -- the model, and those who ask it ------------------------------------------------------------------

class Model:
    """What each target says: one thing, or two while a change is on its way."""

    def __init__(self, files):
        self.lock = threading.Lock()
        self.history = {t: [(0.0, c[0][1])] for t, c in files.certs.items()}  # from when it may be so
        self.only_since = dict.fromkeys(files.certs, 0.0)  # the last one, and no other

    def change(self, target, value, between=None):
        """It becomes that; `between`: what it is for a moment on the way."""
        now = time.monotonic()
        with self.lock:
            self.history[target] = ([self.history[target][-1]] + ([] if between is None else [(now, between)]) +
                                    [(now, value)])

    def seen(self, target):
        with self.lock:
            self.only_since[target] = time.monotonic()

    def possible(self, target, began, ended):
        """What a client may have found that began and ended then."""
        with self.lock:
            last = self.history[target][-1]
            if self.only_since[target] >= last[0] and began >= self.only_since[target]:
                return [last[1]]
            return [value for since, value in self.history[target] if since <= ended]


def visit(files, port, name, client, version=None):
    """(serial, let in) as a client finds it; an exception when there is no handshake at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.server_ca)
    context.load_cert_chain(*client)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        plain.settimeout(30)
        tls = context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)
        serial = None
        try:
            tls.do_handshake()
            serial = tls.getpeercert()["serialNumber"].lower()
            tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return serial, b" 200 " in tls.recv(200)
        except ssl.SSLError as error:
            # Refused by an alert; anything else is a failure.
            if "ALERT" not in str(error).upper():
                raise
            return serial, False
        finally:
            tls.close()


class Load:
    def __init__(self, files, model, port, rate):
        self.files, self.model, self.port = files, model, port
        self.pause = THREADS / rate
        self.stop, self.done, self.wrong, self.lock = False, 0, [], threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(THREADS)]

    def run(self, number):
        dice = random.Random(number)
        due = time.monotonic()
        while not self.stop:
            due = max(due + self.pause, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
            self.one(dice)

    def one(self, dice):
        name = "n%d.example" % dice.randrange(NAMES)
        who, client = dice.choice(self.files.clients)
        version = dice.choice([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
        began = time.monotonic()
        try:
            serial, let_in = visit(self.files, self.port, name, client, version)
            ended, problem = time.monotonic(), None
        except Exception as error:  # noqa: B902: whatever it is, it is a failed handshake
            serial, let_in, ended, problem = None, None, time.monotonic(), repr(error)
        allowed = {who not in revoked for revoked in self.model.possible(who[0], began, ended)}
        serials = self.model.possible(name, began, ended)
        with self.lock:
            self.done += 1
            if problem is not None:
                self.wrong.append("%s as %s: %s" % (name, who, problem))
            elif let_in not in allowed:
                self.wrong.append("%s as %s: let in %s, wanted %s" % (name, who, let_in, allowed))
            elif serial is not None and serial not in serials:
                self.wrong.append("%s: served %s, wanted %s" % (name, serial, serials))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *what):
        self.stop = True
        for thread in self.threads:
            thread.join()


def agrees(files, port, target, value):
    if target in files.paths and target.startswith("n"):
        return visit(files, port, target, files.clients[0][1])[0] == value
    return all(visit(files, port, "n0.example", client)[1] == (who not in value)
               for who, client in files.clients if who[0] == target)


def said(server):
    """The end of the log, without the refusals."""
    return "\n".join([line for line in server.stderr.split("\n") if "client-cert:revoked" not in line][-20:])


def changes(files, model, server, load, seconds, within):
    """Until the time is up: one change after another, each waited for. Slowest by way."""
    end, now = time.monotonic() + seconds, dict.fromkeys(files.certs, 0)
    slowest, count = {way.__name__: 0.0 for way in WAYS}, 0
    while time.monotonic() < end and not load.wrong:
        target, way = random.choice(sorted(files.paths)), WAYS[count % len(WAYS)]
        now[target] = (now[target] + random.choice([1, 2])) % 3
        data, value = files.certs[target][now[target]]
        # A CA whose CRL is away has none: its clients are refused until there is one again.
        away = way is deleted_and_made and not target.startswith("n")
        model.change(target, value, tuple((target, i) for i in range(2)) if away else None)
        way(files.paths[target], data)
        changed = time.monotonic()
        while not agrees(files, server.port, target, value):
            if time.monotonic() - changed > within * shslib.SLOWNESS:
                raise shslib.Failure("%s %s, change %d: not seen after %.1f s\n%s" % (
                    way.__name__, target, count, time.monotonic() - changed, said(server)))
            time.sleep(0.02)
        slowest[way.__name__] = max(slowest[way.__name__], time.monotonic() - changed)
        model.seen(target)
        count += 1
    return count, slowest


def reloads(server, count):
    """SIGHUP after SIGHUP; what it holds in the end is what it held after the first ones."""
    def one():
        before = server.stderr.count("TLS configuration reloaded\n")
        server.signal(1)
        while server.stderr.count("TLS configuration reloaded\n") == before:
            time.sleep(0.001)

    for _ in range(min(100, count)):
        one()
    before = server.descriptors(), server.threads(), server.resident_kib()
    for _ in range(count):
        one()
    after = server.descriptors(), server.threads(), server.resident_kib()
    print("%d reloads: descriptors %d -> %d, threads %d -> %d, resident %d -> %d KiB"
          % ((count,) + tuple(x for pair in zip(before, after) for x in pair)))
    shslib.equal(after[:2], before[:2], "descriptors and threads")
    shslib.check(shslib.SANITIZE or after[2] - before[2] <= 1024, "memory has grown")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shs", nargs="?", default=shslib.BIN)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--reloads", type=int, default=1000)
    parser.add_argument("--look", type=int, default=0, help="no inotify: only a look each MS")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    random.seed(options.seed)
    shslib.BIN = os.path.abspath(options.shs)
    within = WITHIN if options.look == 0 else max(WITHIN, 2 * options.look / 1000)
    with shslib.temp_dir() as top:
        os.chmod(top, 0o755)
        files = Files(top)
        model = Model(files)
        prefix = list(WITHOUT_PRIVILEGES)
        if options.look:  # no user instance of inotify is left
            prefix = ["unshare", "-U", "-r", "sh", "-c",
                      'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"', "sh"]
        interval = str(options.look or 2000000000)
        with shslib.Server(top + "/live", *files.flags(), "--watch-interval", interval, "--log", "none", "--log-level",
                           "info", prefix=prefix) as server:
            if options.look:
                server.wait_stderr("Cannot watch")
            began = time.monotonic()
            with Load(files, model, server.port, options.rate) as load:
                count, slowest = changes(files, model, server, load, options.seconds, within)
            took = time.monotonic() - began
            print("%d changes, %d handshakes (%.0f/s), %d disagreements (seed %d)"
                  % (count, load.done, load.done / took, len(load.wrong), options.seed))
            for name, seconds in sorted(slowest.items()):
                print("  %-22s seen within %.2f s" % (name, seconds))
            shslib.check(not load.wrong, "\n".join(load.wrong[:20]) + "\n" + said(server))
            if options.reloads:
                reloads(server, options.reloads)


if __name__ == "__main__":
    try:
        main()
    except shslib.Failure as failure:
        print("%s\nFAILED" % failure)
        sys.exit(1)
    print("passed")
