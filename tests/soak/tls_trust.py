"""Trust that changes under load: a model says who gets in and what is served, and the server agrees.

    python3 tests/soak/tls_trust.py [SHS] [--seconds N] [--rate N] [--reloads N] [--look MS] [--seed N]
                                          [--tls-records libssl|direct]
    python3 tests/soak/tls_trust.py [SHS] --prove [--tls-records libssl|direct]

Five names with a certificate each, two CAs of clients with a CRL each, --watch. One file after another
becomes another one, in one of eleven ways (in place, renamed over, links, modes, hard links, deleted and
made again, directories, bad content in between, its old time), while clients make handshakes with random
names, certificates and versions of TLS, some of them slow ones, which see several changes pass. Two of
the names have a new key with each certificate, before it or after it; some changes are two at once. What
a client may find, the model says (trust_model.py): the values that were possible between the beginning
and the end of its handshake. Every change is to be seen within 2 s (by the kernel; with --look, which also
hides the directories from inotify, within a look and the time for it, at most 2 s). Every second client
asks once more on its connection, which has left libssl by then with --tls-records direct and TLS 1.3: who
is revoked meanwhile may be answered no longer. Then --reloads reloads: descriptors, threads and memory are
to be as before.

--prove: servers that are wrong, each of which must be found out.
"""

import argparse
import os
import random
import re
import shutil
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))
import shslib  # noqa: E402
import tls_pki  # noqa: E402
import trust_model  # noqa: E402

NAMES, THREADS, WITHIN = 5, 6, 2.0
OWN_KEYS = 2  # of the names: the last ones
SLOW_THREADS, SLOWEST = 3, 4.0  # more clients, which wait that long at most
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
        self.keys = {}  # target with keys of its own: [content]
        self.key_paths = {}
        os.makedirs(top + "/live")
        for n in range(NAMES):
            name = "n%d.example" % n
            own = n >= NAMES - OWN_KEYS
            issued = [server.issue("n%d-%d" % (n, i), names=("DNS:" + name,), key=None if own else self.key)
                      for i in range(3)]
            self.certs[name] = [(read(cert), tls_pki.serial(cert)) for cert, _ in issued]
            self.paths[name] = "%s/live/%d/cert.pem" % (top, n)
            if own:
                self.keys[name] = [read(key) for _, key in issued]
                self.key_paths[name] = "%s/live/%d/key.pem" % (top, n)
        self.clients, roots = [], []
        for letter in "ab":
            root = tls_pki.CA(top, "root-" + letter)
            roots.append(root.cert)
            clients = [root.client("%s-%d" % (letter, i)) for i in range(2)]
            crls = [(read(root.crl("%s/%s-none.crl" % (top, letter))), ())]
            for i in range(2):
                root.revoke("%s-%d" % (letter, i))
                crls.append((read(root.crl("%s/%s-%d.crl" % (top, letter, i))),
                             tuple((letter, k) for k in range(i + 1))))
            self.certs[letter] = crls
            self.paths[letter] = "%s/live/crls/%s.crl" % (top, letter)
            self.clients += [((letter, i), client) for i, client in enumerate(clients)]
        self.client_ca = tls_pki.bundle(top + "/clients.pem", *roots)
        for target, path in self.paths.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write(path, self.certs[target][0][0])
            if target in self.keys:
                write_key(self.key_paths[target], self.keys[target][0])

    def flags(self):
        argv = []
        for n in range(NAMES):
            name = "n%d.example" % n
            argv += ["--cert", self.paths[name], "--key", self.key_paths.get(name, self.key)]
        return argv + ["--client-ca", self.client_ca, "--crl", self.top + "/live/crls"]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as out:
        out.write(data)


def write_key(path, data):
    aside = path + ".new"
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
    os.replace(aside, path)


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
        another_link(path, read(path))
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


# -- those who ask the model -------------------------------------------------------------------------

def say_hello(tls):
    """The beginning of a handshake, as far as it goes without the server."""
    limit = tls.gettimeout()
    tls.settimeout(0)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    tls.settimeout(limit)


def ask(tls):
    """A request, with the whole answer: was it 200?"""
    tls.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        piece = tls.recv(4096)
        if not piece:
            return False
        head += piece
    return b" 200 " in head


def ask_again(tls):
    """The same on a connection that has been idle, and may have been ended meanwhile: that is a refusal."""
    try:
        return ask(tls)
    except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return False


def visit(files, port, name, client, version=None, pauses=(0.0, 0.0), again=None):
    """(serial, let in) as a client finds it; an exception when there is no handshake at all.
    `pauses`: what it waits before its first byte, and after its ClientHello; `again`: before a second
    request, or None for no such."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.server_ca)
    context.load_cert_chain(*client)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        plain.settimeout(30)
        time.sleep(pauses[0])
        tls = context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)
        serial = None
        try:
            if pauses[1] > 0:
                say_hello(tls)
                time.sleep(pauses[1])
            tls.do_handshake()
            serial = tls.getpeercert()["serialNumber"].lower()
            let_in = ask(tls)
            if let_in and again is not None:
                time.sleep(again)
                let_in = ask_again(tls)
            return serial, let_in
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
        self.longest = 0.0
        self.threads = ([threading.Thread(target=self.run, args=(i,)) for i in range(THREADS)] +
                        [threading.Thread(target=self.run_slowly, args=(-1 - i,)) for i in range(SLOW_THREADS)])

    def run(self, number):
        dice = random.Random(number)
        due = time.monotonic()
        while not self.stop:
            due = max(due + self.pause, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
            self.one(dice, (0.0, 0.0), dice.choice([None, 0.0]))

    def run_slowly(self, number):
        dice = random.Random(number)
        while not self.stop:
            self.one(dice, (dice.choice([0.0, 1.0]) * dice.random() * SLOWEST / 2, dice.random() * SLOWEST / 2),
                     dice.choice([None, dice.random() * SLOWEST / 2]))

    def one(self, dice, pauses, again):
        name = "n%d.example" % dice.randrange(NAMES)
        who, client = dice.choice(self.files.clients)
        version = dice.choice([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
        began = time.monotonic()
        try:
            serial, let_in = visit(self.files, self.port, name, client, version, pauses, again)
            ended, problem = time.monotonic(), None
        except Exception as error:  # noqa: B902: whatever it is, it is a failed handshake
            serial, let_in, ended, problem = None, None, time.monotonic(), repr(error)
        allowed = {who not in revoked for revoked in self.model.possible(who[0], began, ended)}
        serials = self.model.possible(name, began, ended)
        if serial in serials:
            self.model.found(name, serial, began, ended)
        with self.lock:
            self.done += 1
            self.longest = max(self.longest, ended - began)
            if problem is not None:
                self.wrong.append("%s as %s: %s" % (name, who, problem))
            elif let_in not in allowed:
                self.wrong.append("%s as %s: let in %s, wanted %s; %s"
                                  % (name, who, let_in, allowed, self.model.story(who[0], began, ended)))
            elif serial is not None and serial not in serials:
                self.wrong.append("%s: served %s; %s" % (name, serial, self.model.story(name, began, ended)))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *what):
        self.stop = True
        for thread in self.threads:
            thread.join()


def agrees(files, port, target, value):
    """A moment is seen at which it is so: of two clients, the first is asked again. A change that passes
    between the two could let both agree, and be another one than the last."""
    if target.startswith("n"):
        return visit(files, port, target, files.clients[0][1])[0] == value
    asked = [(who, client) for who, client in files.clients if who[0] == target]
    return all(visit(files, port, "n0.example", client)[1] == (who not in value) for who, client in asked + asked[:1])


def said(server):
    """The end of the log, without the refusals."""
    return "\n".join([line for line in server.stderr.split("\n") if "client-cert:revoked" not in line][-20:])


class Changes:
    """One change after another, each waited for."""

    def __init__(self, files, model, server, seed):
        self.files, self.model, self.server = files, model, server
        self.dice = random.Random(seed)
        self.now = dict.fromkeys(files.certs, 0)
        self.count, self.at_once = 0, 0
        self.slowest = {way.__name__: 0.0 for way in WAYS}

    def write(self, target, index, way):
        """The certificate, and its key before or after it: what does not fit together is not served."""
        path, data = self.files.paths[target], self.files.certs[target][index][0]
        keys = self.files.keys.get(target)
        if keys is None:
            way(path, data)
            return
        steps = [lambda: way(path, data), lambda: write_key(self.files.key_paths[target], keys[index])]
        self.dice.shuffle(steps)
        steps[0]()
        time.sleep(self.dice.choice([0.0, 0.6]) * self.dice.random())
        steps[1]()

    def begin(self, target, index, way):
        # A CA whose CRL is away has none: its clients are refused until there is one again.
        if way is deleted_and_made and not target.startswith("n"):
            self.model.change(target, tuple((target, i) for i in range(2)), time.monotonic())
        self.model.change(target, self.files.certs[target][index][1], time.monotonic())
        self.write(target, index, way)
        self.model.made(target, time.monotonic())

    def one(self):
        target, way = random.choice(sorted(self.files.paths)), WAYS[self.count % len(WAYS)]
        before, after = self.now[target], (self.now[target] + random.choice([1, 2])) % 3
        if self.dice.random() < 0.25:  # to the third value first, and nobody waits
            self.at_once += 1
            self.begin(target, 3 - before - after, self.dice.choice([in_place, renamed, with_its_old_time]))
            time.sleep(self.dice.choice([0.0, 0.5]) * self.dice.random())
        self.begin(target, after, way)
        self.now[target] = after
        self.wait(target, way.__name__)
        self.count += 1

    def wait(self, target, name):
        made = time.monotonic()
        value = self.files.certs[target][self.now[target]][1]
        while True:
            asked = time.monotonic()
            if agrees(self.files, self.server.port, target, value):
                break
            if asked - made > self.model.within:
                raise shslib.Failure("%s %s, change %d: not seen after %.1f s\n%s" % (
                    name, target, self.count, asked - made, said(self.server)))
            time.sleep(0.02)
        self.model.seen(target, time.monotonic())
        self.slowest[name] = max(self.slowest[name], time.monotonic() - made)


def reloads(server, count):
    """SIGHUP after SIGHUP; what it holds in the end is what it held after the first ones."""
    def one():
        before = server.stderr.count("shs: Files read again; ")
        server.signal(1)
        end = time.monotonic() + 30 * shslib.SLOWNESS
        while server.stderr.count("shs: Files read again; ") == before:
            shslib.check(server.process.poll() is None and time.monotonic() < end,
                         "a reload that was asked for did not come within 30 s, or the server is gone")
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


# -- a run -------------------------------------------------------------------------------------------

def without_inotify():
    """What a server is started with that finds no user instance of inotify left."""
    return ["unshare", "-U", "-r", "sh", "-c", 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"', "sh"]


def start(files, options, *flags, prefix=WITHOUT_PRIVILEGES):
    return shslib.Server(files.top + "/live", *files.flags(), *flags, "--log", "none", "--log-level", "info",
                         "--health", "0", "--tls-records", options.tls_records, prefix=list(prefix))


def left_libssl(server):
    """How many connections have."""
    health = int(server.wait_stdout(r"(?s)\nServing HTTP on 127\.0\.0\.1 port (\d+)").group(1))
    with socket.create_connection(("127.0.0.1", health), 30) as sock:
        sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        page = shslib.read_all(sock, 30).decode()
    return sum(int(n) for n in re.findall(r'^shs_tls_records_total\{[^}]*records="direct"[^}]*\} (\d+)$', page, re.M))


def model_of(files, within):
    return trust_model.Model({t: c[0][1] for t, c in files.certs.items()}, within * shslib.SLOWNESS, time.monotonic())


def run(files, server, asked, within, options):
    """`asked`: the server that the load asks. The changes and the load when time is up, or something is wrong."""
    model = model_of(files, within)
    changes = Changes(files, model, server, options.seed)
    end = time.monotonic() + options.seconds
    with Load(files, model, asked.port, options.rate) as load:
        while time.monotonic() < end and not load.wrong:
            changes.one()
    return changes, load


def soak(files, options):
    look = options.look / 1000
    within = max(WITHIN, look + min(look, WITHIN))
    prefix = without_inotify() if options.look else WITHOUT_PRIVILEGES
    with start(files, options, "--watch-interval", str(options.look or 2000000000), prefix=prefix) as server:
        if options.look:
            server.wait_stderr("Cannot watch")
        began = time.monotonic()
        changes, load = run(files, server, server, within, options)
        took = time.monotonic() - began
        print("%d changes (%d of them two at once), %d handshakes (%.0f/s, the longest %.1f s), "
              "%d disagreements (seed %d)" % (changes.count, changes.at_once, load.done, load.done / took,
                                              load.longest, len(load.wrong), options.seed))
        for name, seconds in sorted(changes.slowest.items()):
            print("  %-22s seen within %.2f s" % (name, seconds))
        direct = left_libssl(server)
        print("  %d connections had left libssl" % direct)
        shslib.check((direct > 0) == (options.tls_records == "direct"), "not the records that were asked for")
        shslib.check(not load.wrong, "\n".join(load.wrong[:20]) + "\n" + said(server))
        if options.reloads:
            reloads(server, options.reloads)


def prove(files, options):
    """Servers that are wrong. The first is found out by who waits, the others by the load alone."""
    options.seconds = 60
    with start(files, options) as server:  # it watches nothing
        try:
            run(files, server, server, WITHIN, options)
            raise AssertionError
        except shslib.Failure as failure:
            shslib.check("not seen after" in str(failure), str(failure))
            print("unwatched: %s" % str(failure).split("\n")[0])
    for name, flags in (("stale", ()), ("late", ("--watch-interval", "6000"))):
        for target, path in files.paths.items():
            renamed(path, files.certs[target][0][0])
            if target in files.keys:
                write_key(files.key_paths[target], files.keys[target][0])
        prefix = without_inotify() if name == "late" else WITHOUT_PRIVILEGES
        with start(files, options, "--watch") as good, start(files, options, *flags, prefix=prefix) as wrong:
            load = run(files, good, wrong, WITHIN, options)[1]
            shslib.check(load.wrong, "%s: not found out by %d handshakes" % (name, load.done))
            print("%s: found out at handshake %d: %s" % (name, load.done, load.wrong[0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shs", nargs="?", default=shslib.BIN)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--reloads", type=int, default=1000)
    parser.add_argument("--look", type=int, default=0, help="no inotify: only a look each MS")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--tls-records", choices=("libssl", "direct"), default="libssl")
    parser.add_argument("--prove", action="store_true", help="that servers which are wrong are found out")
    options = parser.parse_args()
    random.seed(options.seed)
    shslib.BIN = os.path.abspath(options.shs)
    with shslib.temp_dir() as top:
        os.chmod(top, 0o755)
        files = Files(top)
        if options.prove:
            prove(files, options)
        else:
            soak(files, options)


if __name__ == "__main__":
    try:
        main()
    except shslib.Failure as failure:
        print("%s\nFAILED" % failure)
        sys.exit(1)
    print("passed")
