"""Descriptors, threads and memory run out under a server: it does not spin, end or hang, who is in is
served, and a second after the relief so is everybody."""

import contextlib
import os
import resource
import select
import shutil
import socket
import sys
import time

import shslib
from shslib import check, equal

PATIENCE = 1.0  # from the relief on; longer with a sanitizer
COMPOSITIONS = ("pool", "thread")
REQUEST = b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = b"hello\n"
# Sixty threads that sleep.
CROWD = """import signal, threading
for _ in range(60):
    threading.Thread(target=signal.sigwait, args=({signal.SIGUSR2},), daemon=True).start()
print("ready", flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
"""


def cpu_seconds(server):
    with open("/proc/%d/stat" % server.pid) as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_calm(server, seconds=0.5):
    """The server does not spin meanwhile."""
    before, began = cpu_seconds(server), time.monotonic()
    time.sleep(seconds)
    used, took = cpu_seconds(server) - before, time.monotonic() - began
    check(used < 0.2 * took * shslib.SLOWNESS, "%.2f s of CPU in %.1f s" % (used, took))


def ask(sock):
    sock.sendall(REQUEST)
    equal(shslib.read_response(sock)[2], BODY)


def ask_meanwhile(sock):
    """Who is in is answered: with the file, or with 503 when it cannot be opened."""
    sock.sendall(REQUEST)
    line, _, body, _ = shslib.read_response(sock)
    check(body == BODY or " 503 " in str(line), "%r %r" % (line, body))


def served_within(server, relieved):
    """A new client is served a second after the relief at the latest; says when."""
    while True:
        try:
            with server.connect(seconds=PATIENCE) as sock:
                ask(sock)
            break
        except (OSError, shslib.Failure) as error:
            check(relieved.took() < PATIENCE * shslib.SLOWNESS + relieved.still(),
                  "not served after the relief: %s" % error)
            time.sleep(0.02)
    return relieved.within(PATIENCE, "served after the relief")


def limit(server, kind, value):
    resource.prlimit(server.pid, kind, (value, resource.prlimit(server.pid, kind)[1]))


@contextlib.contextmanager
def serving(*arguments, **keywords):
    with shslib.temp_dir() as site:
        os.chmod(site, 0o755)
        shslib.write_file(site + "/a.txt", BODY)
        with shslib.Server("--log", "none", *arguments, site, **keywords) as server:
            yield server


def descriptors(relieve):
    for composition in COMPOSITIONS:
        for plain in (("--plain",), ()):
            with serving("--threading", composition, *plain) as server, contextlib.ExitStack() as stack:
                first = stack.enter_context(server.connect())
                ask(first)
                usual = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[0]
                room = server.descriptors() + 6
                limit(server, resource.RLIMIT_NOFILE, room)
                waiting = [stack.enter_context(server.connect_plain()) for _ in range(20)]
                time.sleep(0.2)
                check_calm(server)
                ask_meanwhile(first)
                began = shslib.Stopwatch(server)
                if relieve == "limit":
                    limit(server, resource.RLIMIT_NOFILE, usual)
                else:
                    for sock in waiting:
                        sock.close()
                print("       %s %s: served %.0f ms after the relief (%s)"
                      % (composition, plain, 1000 * served_within(server, began), relieve))
                limit(server, resource.RLIMIT_NOFILE, usual)


def test_out_of_descriptors_until_the_limit_is_raised():
    descriptors("limit")


def test_out_of_descriptors_until_clients_leave():
    descriptors("clients")


def test_out_of_threads_by_our_bound():
    """ThreadingMixIn at its bound does not accept: the kernel's queue waits, and is served later."""
    with serving("--plain", "--threading", "thread", "--threads", "3") as server, contextlib.ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(3)]
        for sock in held:
            ask(sock)
        late = stack.enter_context(server.connect())
        late.sendall(REQUEST)
        check(not select.select([late], [], [], 0.3)[0], "a fourth was served by three threads")
        check_calm(server)
        began = shslib.Stopwatch(server)
        held[0].close()
        equal(shslib.read_response(late)[2], BODY)
        began.within(PATIENCE, "served after the relief")


def test_out_of_threads_by_the_systems_limit():
    """RLIMIT_NPROC, which root does not have: as somebody else, with a copy that he may read."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        print("       needs root and setpriv: skipped")
        return
    if shslib.SANITIZE:
        print("       a sanitizer wants threads of its own: skipped")
        return
    with shslib.temp_dir() as top:
        os.chmod(top, 0o755)
        copy = shutil.copy(shslib.BIN, top + "/shs")
        os.chmod(copy, 0o755)
        shslib.write_file(top + "/site/a.txt", BODY)
        os.chmod(top + "/site", 0o755)
        for number, composition in enumerate(COMPOSITIONS):
            uid = 60000 + (os.getpid() * 2 + number) % 5000
            someone = ("setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups")
            with shslib.Server(argv=["prlimit", "--nproc=30", *someone, copy, "serve", "--port", "0", "--plain", "--log",
                                     "none", "--threading", composition, top + "/site"]) as server, \
                    contextlib.ExitStack() as stack:
                first = stack.enter_context(server.connect())
                ask(first)
                with shslib.Process([*someone, sys.executable, "-c", CROWD], expect_exit=None) as crowd:  # of the same user
                    crowd.wait_stdout("ready")
                    others = [stack.enter_context(server.connect_plain()) for _ in range(20)]
                    time.sleep(0.2)
                    check_calm(server)
                    ask_meanwhile(first)
                    if composition == "pool":  # it needs no further thread: nobody is the worse for it
                        for sock in others:
                            ask(sock)
                    crowd.stop()
                    took = served_within(server, shslib.Stopwatch(server))
                print("       %s: served %.0f ms after the relief" % (composition, 1000 * took))


def virtual_bytes(server):
    with open("/proc/%d/status" % server.pid) as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmSize:")) * 1024


def test_out_of_memory():
    """RLIMIT_AS at what it has: connections and handshakes fail, the server does not."""
    if shslib.SANITIZE:
        print("       a sanitizer needs its address space: skipped")
        return
    for composition in COMPOSITIONS:
        for plain in (("--plain",), ()):
            with serving("--threading", composition, *plain) as server, contextlib.ExitStack() as stack:
                with server.connect() as sock:
                    ask(sock)
                usual = resource.prlimit(server.pid, resource.RLIMIT_AS)[0]
                limit(server, resource.RLIMIT_AS, virtual_bytes(server))
                refused = 0
                for _ in range(150):
                    try:
                        sock = stack.enter_context(server.connect(seconds=0.3))
                        ask(sock)
                    except (OSError, shslib.Failure):
                        refused += 1
                        if refused > 8:
                            break
                check_calm(server)
                began = shslib.Stopwatch(server)
                limit(server, resource.RLIMIT_AS, usual)
                print("       %s %s: %d refused; served %.0f ms after the relief"
                      % (composition, plain, refused, 1000 * served_within(server, began)))


def main():
    socket.setdefaulttimeout(20 * shslib.SLOWNESS)
    shslib.main(test_out_of_descriptors_until_the_limit_is_raised, test_out_of_descriptors_until_clients_leave,
                test_out_of_threads_by_our_bound, test_out_of_threads_by_the_systems_limit, test_out_of_memory)


main()
