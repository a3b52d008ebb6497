"""--watch: whatever way a file changes, it is taken; what is bad is kept out, and tried again."""

import contextlib
import os
import re
import shutil
import ssl
import subprocess
import time

import shslib
import tls_pki
from shslib import check, equal

# Only what the kernel tells; or only the look.
NEVER, OFTEN = "2000000000", "200"
# Long enough for a machine that stands still; what is checked is that it comes, and what comes.
PATIENCE = 20


def make_pki(directory):
    ca = tls_pki.OneAtATime(tls_pki.CA(directory, "server-root"))
    root = tls_pki.OneAtATime(tls_pki.CA(directory, "client-root"))
    shared = ca.issue("first")[1]
    pki = {"dir": directory, "ca": ca, "root": root, "key": shared,
           "good": [ca.issue("good-%d" % i, key=shared)[0] for i in range(4)]}
    pki["serial"] = [tls_pki.serial(cert) for cert in pki["good"]]
    return pki


def in_place(source, target):
    with open(source, "rb") as f:
        data = f.read()
    with open(target, "r+b") as out:
        out.truncate(0)
        out.write(data)


def renamed(source, target):
    shutil.copyfile(source, target + ".new")
    os.replace(target + ".new", target)


def place(pki, name, i=0):
    """A directory with cert.pem of number i, and the key that all of them have."""
    path = os.path.join(pki["dir"], name)
    os.makedirs(path)
    shutil.copyfile(pki["good"][i], path + "/cert.pem")
    shutil.copyfile(pki["key"], path + "/key.pem")
    os.chmod(path + "/key.pem", 0o600)
    return path


def serve(path, interval=NEVER, cert=None, more=(), **keywords):
    cert = cert or path + "/cert.pem"
    return shslib.Server("--handler", "whoami", "--cert", cert, "--key", path + "/key.pem", "--watch-interval",
                         interval, "--log", "none", "--log-level", "info", *more, **keywords)


@contextlib.contextmanager
def under_both(path, *arguments, more=(), **keywords):
    """Two servers with the same files, one for each way of threading."""
    with serve(path, *arguments, more=(*more, "--threading", "pool"), **keywords) as pool, \
            serve(path, *arguments, more=(*more, "--threading", "thread"), **keywords) as thread:
        yield pool, thread


def served(server, pki, name="localhost", version=None):
    context = tls_pki.client_context(pki["ca"].cert, version=version)
    with context.wrap_socket(server.connect_plain(), server_hostname=name) as sock:
        return sock.getpeercert()["serialNumber"].lower()


def becomes(server, pki, i, name="localhost"):
    """What is served, with either version of TLS."""
    finds(server, pki, pki["serial"][i], name)


def finds(server, pki, serial, name="localhost"):
    shslib.wait_until(lambda: served(server, pki, name) == serial, PATIENCE, "certificate " + serial)
    for version in tls_pki.TLS_VERSIONS.values():
        equal(served(server, pki, name, version), serial, version)


def lines(server, words):
    return [line for line in server.stderr_lines() if re.search(words, line)]


def waits_for(server, words, more_than=0):
    shslib.wait_until(lambda: len(lines(server, words)) > more_than, PATIENCE, words)


# -- ways in which a file becomes another one -----------------------------------------------------

def ways_the_kernel_tells(pki):
    """By inotify alone: the look comes after years."""
    def link_target(path, i):
        in_place(pki["good"][i], path + "/store/cert.pem")

    def link_renamed(path, i):
        shutil.copyfile(pki["good"][i], path + "/store/other%d.pem" % i)
        os.symlink("store/other%d.pem" % i, path + "/cert.new")
        os.replace(path + "/cert.new", path + "/cert.pem")

    def hard_link(path, i):
        if not os.path.exists(path + "/../elsewhere.pem"):
            os.link(path + "/cert.pem", path + "/../elsewhere.pem")
        in_place(pki["good"][i], path + "/../elsewhere.pem")

    def deleted_and_made(path, i):
        os.unlink(path + "/cert.pem")
        shutil.copyfile(pki["good"][i], path + "/cert.pem")

    def directory_made_again(path, i):
        os.rename(path, path + ".old")
        os.mkdir(path)
        shutil.copyfile(path + ".old/key.pem", path + "/key.pem")
        shutil.copyfile(pki["good"][i], path + "/cert.pem")
        shutil.rmtree(path + ".old")

    def parent_renamed(path, i):
        parent = os.path.dirname(path)
        os.rename(parent, parent + ".old")
        shutil.copytree(parent + ".old", parent, symlinks=True)
        shutil.copyfile(pki["good"][i], path + "/cert.pem")
        shutil.rmtree(parent + ".old")

    def directory_deleted(path, i):
        shutil.copyfile(path + "/key.pem", path + "/../kept.pem")
        shutil.rmtree(path)
        os.mkdir(path)
        shutil.copyfile(path + "/../kept.pem", path + "/key.pem")
        shutil.copyfile(pki["good"][i], path + "/cert.pem")

    def written(path, i):
        in_place(pki["good"][i], path + "/cert.pem")

    def moved_over(path, i):
        renamed(pki["good"][i], path + "/cert.pem")

    def goes(way):
        base = os.path.join(pki["dir"], "kernel-" + way.__name__)
        path = place(pki, "kernel-" + way.__name__ + "/live")
        if way in (link_target, link_renamed):
            os.mkdir(path + "/store")
            os.rename(path + "/cert.pem", path + "/store/cert.pem")
            os.symlink("store/cert.pem", path + "/cert.pem")
        with under_both(path) as servers:
            for i in (1, 2, 3):
                way(path, i)
                for server in servers:
                    becomes(server, pki, i)
        shutil.rmtree(base)

    tls_pki.at_once(goes, (written, moved_over, hard_link, deleted_and_made, directory_made_again, directory_deleted,
                   parent_renamed, link_target, link_renamed))


def same_size_and_time(pki):
    """New content, and everything but the time of its inode as before: ctime tells."""
    path = place(pki, "same")
    pair = []
    for i in range(40):  # signatures differ in length; two of one length are soon found
        cert = pki["ca"].issue("same-%d" % i, key=pki["key"])[0]
        pair += [(os.path.getsize(cert), cert)]
        same = [c for size, c in pair if size == os.path.getsize(cert)]
        if len(same) == 2:
            break
    shutil.copyfile(same[0], path + "/cert.pem")
    os.utime(path + "/cert.pem", (1700000000, 1700000000))
    before = os.stat(path + "/cert.pem")
    with under_both(path, OFTEN) as servers:
        for server in servers:
            equal(served(server, pki), tls_pki.serial(same[0]))
        in_place(same[1], path + "/cert.pem")
        os.utime(path + "/cert.pem", (1700000000, 1700000000))
        after = os.stat(path + "/cert.pem")
        equal((before.st_ino, before.st_size, before.st_mtime_ns), (after.st_ino, after.st_size, after.st_mtime_ns))
        for server in servers:
            finds(server, pki, tls_pki.serial(same[1]))


def without_privileges():
    """A prefix by which not even root may read what its mode forbids."""
    return ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def unreadable_then_readable(pki):
    """The key of another user, until somebody mends it: seen in its directory, by its mode alone."""
    path = place(pki, "chmod")
    with under_both(path, prefix=without_privileges()) as servers:
        os.chmod(path + "/key.pem", 0)
        renamed(pki["good"][1], path + "/cert.pem")
        for server in servers:
            waits_for(server, "key.pem.*Permission denied.*Let the user")
            equal(served(server, pki), pki["serial"][0])
        os.chmod(path + "/key.pem", 0o600)
        for server in servers:
            becomes(server, pki, 1)
            waits_for(server, "configuration reloaded$")
        if os.geteuid() == 0:  # or its owner is another one
            os.chown(path + "/key.pem", 65534, 65534)
            renamed(pki["good"][2], path + "/cert.pem")
            for server in servers:
                waits_for(server, "key.pem.*Permission denied.*Let the user", 1)
                equal(served(server, pki), pki["serial"][1])
            os.chown(path + "/key.pem", 0, 0)
            for server in servers:
                becomes(server, pki, 2)


def closed_directory(pki):
    """One that may be entered and not read, as /etc/ssl/private: said once, and looked at."""
    path = place(pki, "closed")
    os.chmod(path, 0o311)
    try:
        with under_both(path, OFTEN, prefix=without_privileges()) as servers:
            for server in servers:
                waits_for(server, "Cannot watch .*closed.*Permission denied.* within 200 ms")
            for i in (1, 2, 3):
                renamed(pki["good"][i], path + "/cert.pem")
                for server in servers:
                    becomes(server, pki, i)
            for server in servers:
                equal(len(lines(server, "Cannot watch")), 1)
        # A file in it that may be read is watched itself.
        with serve(path, prefix=without_privileges()) as server:
            in_place(pki["good"][0], path + "/cert.pem")
            becomes(server, pki, 0)
    finally:
        os.chmod(path, 0o755)


def without_inotify(pki):
    """Where the kernel has no watch for anybody, that is said once, and the look finds all."""
    path = place(pki, "no-inotify")
    script = 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"'
    prefix = ("unshare", "-U", "-r", "sh", "-c", script, "sh")
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        print("       no right to take inotify away: left out")
        return
    with under_both(path, OFTEN, prefix=prefix) as servers:
        for i, way in ((1, in_place), (2, renamed), (3, in_place)):
            way(pki["good"][i], path + "/cert.pem")
            for server in servers:
                becomes(server, pki, i)
        for server in servers:
            equal(len(lines(server, "Cannot watch")), 1, "\n".join(server.stderr_lines()))


def bind_mounted(pki):
    """A single file, mounted as containers do it, and written in place where it comes from."""
    path, outside = place(pki, "mounted"), pki["dir"] + "/outside.pem"
    shutil.copyfile(pki["good"][0], outside)
    inside = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    if inside.returncode != 0:
        print("       no right to mount: left out")
        return
    script = 'mount --bind "$0" "$1" && shift && exec "$@"'
    with serve(path, prefix=("unshare", "-m", "sh", "-c", script, outside, path + "/cert.pem")) as server:
        for i in (1, 2):
            in_place(pki["good"][i], outside)
            becomes(server, pki, i)


def crl_directory(pki):
    """Written as openssl ca -gencrl writes it, added, removed; behind a link, which leads elsewhere or has its target
    written."""
    root = pki["root"]
    path, crls = place(pki, "crls"), pki["dir"] + "/crls.d"
    os.mkdir(crls)
    root.crl(crls + "/root.crl")
    shutil.copyfile(crls + "/root.crl", pki["dir"] + "/root-before.crl")
    clients = [root.client("client-%d" % i) for i in range(3)]

    def let_in(server, i, version=None):
        context = tls_pki.client_context(pki["ca"].cert, clients[i], version)
        try:
            with context.wrap_socket(server.connect_plain(), server_hostname="localhost") as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return b" 200 " in sock.recv(100)
        except (ssl.SSLError, ConnectionError):
            return False

    def lets_in_from(number):
        """Of the three, those from that one on; with either version of TLS."""
        def found(server, version):
            return [let_in(server, i, version) for i in range(3)]

        wanted = [i >= number for i in range(3)]
        first, second = tls_pki.TLS_VERSIONS.values()
        for server in servers:
            shslib.wait_until(lambda: found(server, first) == wanted, PATIENCE, "those from %d on" % number)
            equal(found(server, second), wanted, second)

    with under_both(path, more=("--client-ca", root.cert, "--crl", crls)) as servers:
        lets_in_from(0)
        root.revoke("client-0")
        in_place(root.crl(), crls + "/root.crl")
        lets_in_from(1)
        root.revoke("client-1")
        shutil.copyfile(root.crl(), crls + "/newer.crl")
        lets_in_from(2)
        root.revoke("client-2")
        shutil.copyfile(root.crl(), pki["dir"] + "/behind.crl")
        os.symlink(pki["dir"] + "/behind.crl", crls + "/link.crl")
        lets_in_from(3)
        os.unlink(crls + "/link.crl")
        lets_in_from(2)
        shutil.copyfile(pki["dir"] + "/root-before.crl", pki["dir"] + "/behind.crl")
        os.symlink(pki["dir"] + "/behind.crl", crls + "/link.crl")
        os.unlink(crls + "/newer.crl")
        os.unlink(crls + "/root.crl")
        lets_in_from(0)
        in_place(root.crl(), pki["dir"] + "/behind.crl")
        lets_in_from(3)
        os.symlink(pki["dir"] + "/root-before.crl", crls + "/link.new")
        os.replace(crls + "/link.new", crls + "/link.crl")
        lets_in_from(0)


# -- failures -------------------------------------------------------------------------------------

def valid_in_a_moment(pki):
    """Refused while it is not valid, and taken by itself when it is."""
    for wait in (4, 15, 60):  # where it was valid before all had seen it, there is nothing to find out
        path = place(pki, "moment-%d" % wait)
        with under_both(path) as servers:
            begin = time.time() + wait
            cert, _ = pki["ca"].issue("moment-%d" % wait, key=pki["key"], start=wait)
            renamed(cert, path + "/cert.pem")
            try:
                for server in servers:
                    waits_for(server, "not reloaded.*not valid yet")
                    equal(served(server, pki), pki["serial"][0])
            except shslib.Failure:
                if time.time() < begin - 1:
                    raise
                continue
            for server in servers:
                finds(server, pki, tls_pki.serial(cert))
                check(time.time() >= begin - 1, "taken before it was valid")
                equal(len(lines(server, "not reloaded")), 1, "one failure, one line")
            return
    raise shslib.Failure("no certificate was seen before it was valid")


def half_written(pki):
    """A writer that pauses for longer than anybody waits: refused, and then taken."""
    path = place(pki, "half")
    data = open(pki["good"][1]).read()
    with under_both(path) as servers:
        with open(path + "/cert.pem", "w") as out:
            out.write(data[:300])
            out.flush()
            for server in servers:
                waits_for(server, "not reloaded.*cert.pem.*malformed")
                equal(served(server, pki), pki["serial"][0])
            out.write(data[300:])
        for server in servers:
            becomes(server, pki, 1)


def tried_again_unasked(pki):
    """Without --watch, too: what a SIGHUP could not take is taken when it can be."""
    path = place(pki, "again")
    with shslib.Server("--handler", "whoami", "--cert", path + "/cert.pem", "--key", path + "/key.pem", "--log",
                       "none", "--log-level", "info") as server:
        os.rename(path + "/key.pem", path + "/key.away")
        renamed(pki["good"][1], path + "/cert.pem")
        server.signal(1)
        waits_for(server, "not reloaded.*key.pem")
        os.rename(path + "/key.away", path + "/key.pem")
        becomes(server, pki, 1)
        equal(len(lines(server, "not reloaded")), 1)
        server.stop()
        check("reloads=1 reload-failures=1" in server.stderr, server.stderr[-300:])


def one_bad_of_two(pki):
    """Expired, not valid yet, gone, damaged, of another key: the other one's renewal is taken."""
    ca, path = pki["ca"], place(pki, "two")
    other = [ca.issue("b-%d" % i, names=("DNS:b.example",), key=pki["key"])[0] for i in range(6)]
    shutil.copyfile(other[0], path + "/b.pem")
    expired = ca.issue("gone", start=-20 * tls_pki.DAY, end=-10 * tls_pki.DAY, key=pki["key"])[0]
    future = ca.issue("future", start=10 * tls_pki.DAY, key=pki["key"])[0]
    stranger = ca.issue("stranger")[0]
    damaged = pki["dir"] + "/damaged.pem"
    with open(damaged, "w") as out:
        out.write(open(pki["good"][1]).read()[:300])
    more = ("--cert", path + "/b.pem", "--key", path + "/key.pem")
    with under_both(path, more=more) as servers:
        for i, (source, words) in enumerate(((expired, "has expired"), (future, "not valid yet"), (damaged, "malformed"),
                                             (stranger, "does not belong"), (None, "No such file"))):
            if source is None:
                os.unlink(path + "/cert.pem")
            else:
                renamed(source, path + "/cert.pem")
            renamed(other[i + 1], path + "/b.pem")
            for server in servers:
                finds(server, pki, tls_pki.serial(other[i + 1]), "b.example")
                # In part, or alone when a reload was under way in which only the other one was new.
                waits_for(server, "(in part; '.*cert.pem' stays as it was|the old one stays): .*" + words)
                equal(served(server, pki), pki["serial"][0])
        renamed(pki["good"][2], path + "/cert.pem")
        for server in servers:
            becomes(server, pki, 2)
            waits_for(server, "configuration reloaded$")


def bad_clients_file(pki):
    """CAs that cannot be read hold up no certificate, and stay as they were."""
    path, root = place(pki, "clients"), pki["root"]
    shutil.copyfile(root.cert, path + "/ca.pem")
    client = root.client("bad-clients")
    with under_both(path, more=("--client-ca", path + "/ca.pem", "--client-auth", "optional")) as servers:
        with open(path + "/ca.pem", "w") as out:
            out.write("nothing\n")
        renamed(pki["good"][1], path + "/cert.pem")
        for server in servers:
            becomes(server, pki, 1)
            waits_for(server, "'.*ca.pem' stays as it was|the old one stays: .*ca.pem'")
            for version in tls_pki.TLS_VERSIONS.values():
                context = tls_pki.client_context(pki["ca"].cert, client, version)
                with context.wrap_socket(server.connect_plain(), server_hostname="localhost") as sock:
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    check(b'"verified":true' in shslib.read_all(sock).replace(b" ", b""), "the CA of before")


def as_a_start_does(pki):
    """What a start takes with a warning, a reload takes with a warning: one expired after another."""
    ca, path = pki["ca"], place(pki, "expired")
    gone = [ca.issue("gone-%d" % i, start=-20 * tls_pki.DAY, end=-10 * tls_pki.DAY, key=pki["key"])[0] for i in (0, 1)]
    shutil.copyfile(gone[0], path + "/cert.pem")
    with under_both(path) as servers:
        for server in servers:
            waits_for(server, "cert.pem' has expired")
        renamed(gone[1], path + "/cert.pem")
        for server in servers:
            waits_for(server, "configuration reloaded$")
            waits_for(server, "cert.pem' has expired", 1)


def hangup_while_it_settles(pki):
    """A SIGHUP in the moment in which it waits for a writer is not lost."""
    path = place(pki, "hangup")
    with serve(path) as server:
        for _ in range(5):
            before = len(lines(server, "Files read again"))
            os.utime(path + "/cert.pem")  # it settles now, and finds that nothing is new
            time.sleep(0.05)  # in the middle of it, or before: both must do
            server.signal_taken(1)
            waits_for(server, "Files read again", before)


def quiet_directory(pki):
    """What happens beside the files is nobody's business."""
    path = place(pki, "quiet")
    with serve(path, more=("--log-level", "debug")) as server:
        for i in range(50):
            shslib.write_file(path + "/other-%d" % i, b"x")
        renamed(pki["good"][1], path + "/cert.pem")
        becomes(server, pki, 1)
        waits_for(server, "configuration reloaded$")  # the line comes after what it tells of
        equal(len(lines(server, "configuration reloaded$")), 1)


def watch():
    with shslib.temp_dir() as directory:
        pki = make_pki(directory)
        tls_pki.each_at_once(pki, ways_the_kernel_tells, same_size_and_time, unreadable_then_readable, closed_directory,
                             without_inotify, bind_mounted, crl_directory, valid_in_a_moment, half_written, tried_again_unasked,
                             one_bad_of_two, bad_clients_file, as_a_start_does, hangup_while_it_settles, quiet_directory)


shslib.main(watch)
