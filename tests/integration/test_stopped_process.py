"""A process that was stopped and goes on: who had sent in time is answered, whatever the clock says."""

import fcntl
import signal
import socket
import ssl
import sys
import termios
import time

import shslib

# The deadlines of handshake, head, body, keep-alive and close. Where the machine needs longer than half of that
# to come to the stop, or for what the clients say after it, they may be late by themselves: then it is tried with
# twice as much.
TIMEOUT = 0.5 * shslib.SLOWNESS
TRIES = 6
CLIENTS = 5
GET = b"GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
PUT = b"PUT /up%d.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
# Longer than what is read before a handler is called.
LONG = 100000


def is_stopped(server):
    with open("/proc/%d/stat" % server.pid) as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def status_of(sock):
    return int(shslib.read_response(sock, seconds=20)[0].split()[1])


class Client:
    """What it says before, and while, the server is stopped; and the status that it gets."""

    def __init__(self, server, before, meanwhile, wanted=200, tls=False):
        self.sock = server.connect() if tls else server.connect_plain()
        self.meanwhile, self.wanted = meanwhile, wanted
        self.sock.sendall(before)

    def goes_on(self):
        self.sock.sendall(self.meanwhile)

    def ends(self, what):
        shslib.equal(status_of(self.sock), self.wanted, what)
        self.sock.close()


def kept_alive(server, tls=False):
    client = Client(server, GET, GET, tls=tls)
    shslib.equal(status_of(client.sock), 200, "the first answer")
    return client


class Hello:
    """A client of TLS that says hello while the server is stopped, and needs its answer to go on."""

    def __init__(self, server):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(server.ca)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.sock = server.connect_plain(seconds=20)

    def goes_on(self):
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.sock.sendall(self.outgoing.read())

    def _step(self, call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                data = self.sock.recv(65536)
                shslib.check(data, "the server has ended a handshake that it was late for")
                self.incoming.write(data)

    def ends(self, what):
        self._step(self.tls.do_handshake)
        self.tls.write(GET)
        shslib.check(self._step(lambda: self.tls.read(100)).startswith(b"HTTP/1.1 200"), what)
        self.sock.close()


class Refused:
    """A client whose upload is refused at once; it goes on with it, as far as the server lets it."""

    def __init__(self, server, tls=False):
        self.sock = server.connect() if tls else server.connect_plain()
        self.sock.sendall(PUT % (0, 100 * LONG) + b"x" * LONG)
        shslib.equal(status_of(self.sock), 413, "the answer to a long upload")

    def goes_on(self):
        self.sock.setblocking(False)
        try:
            for _ in range(90):
                self.sock.send(b"x" * LONG)
        except BlockingIOError:
            pass

    def ends(self, what):
        """The server takes what comes: a reset would take the answer away from who has not read it."""
        self.sock.settimeout(20)
        for _ in range(5):
            self.sock.sendall(b"x" * LONG)
        self.sock.shutdown(socket.SHUT_WR)
        shslib.equal(shslib.read_all(self.sock), b"", what)
        self.sock.close()


def sleeps_through(clients_of, *arguments, beyond=0.5):
    """A server is stopped while clients are with it, and goes on when every deadline has passed."""
    timeout, late = TIMEOUT, shslib.Failure("this machine is too slow to tell")
    for _ in range(TRIES):
        limits = [word for name in ("handshake", "head", "body", "idle", "close")
                  for word in ("--%s-timeout" % name, str(int(timeout * 1000)))]
        with shslib.temp_dir() as site:
            shslib.write_file(site + "/a.txt", "hello\n")
            with shslib.Server(*limits, *arguments, site) as server:
                started = time.monotonic()
                try:
                    clients = clients_of(server)
                except (OSError, shslib.Failure):
                    clients = []  # perhaps because it was late
                server.signal(signal.SIGSTOP)
                shslib.wait_until(lambda: is_stopped(server), 10, "the server to stop")
                in_time = time.monotonic() - started < timeout / 2
                for client in clients:
                    client.goes_on()
                if in_time:
                    time.sleep(timeout + beyond)
                server.signal(signal.SIGCONT)
                goes_on = time.monotonic()
                try:
                    if in_time:
                        shslib.check(clients, "the clients were not served before the stop")
                        for i, client in enumerate(clients):
                            client.ends("client %d" % i)
                        return
                except (OSError, shslib.Failure) as error:
                    if time.monotonic() - goes_on < timeout / 2:
                        raise
                    late = error
        timeout *= 2
    raise late


def all_kinds(server):
    """Silent until then; half a head; half a short body, and of a long one; kept alive."""
    clients = []
    for i in range(CLIENTS):
        half = b"x" * (LONG // 2)
        clients += [Client(server, b"", GET),
                    Client(server, GET[:20], GET[20:]),
                    Client(server, PUT % (i, 6) + b"abc", b"def", 201),
                    Client(server, PUT % (i + CLIENTS, LONG) + half, half, 201),
                    kept_alive(server)]
    return clients


def under_the_pool():
    sleeps_through(all_kinds, "--plain", "--upload", "--threading", "pool")


def under_threads():
    sleeps_through(all_kinds, "--plain", "--upload", "--threading", "thread")


def who_is_late_is_late():
    """The other side of it: half a head, and no more of it, is 408 as ever."""
    sleeps_through(lambda server: [Client(server, GET[:20], b"", 408)], "--plain", "--threading", "pool")


def handshakes_go_on():
    """A ClientHello that was there is worth the rest of the handshake."""
    def clients(server):
        return [kept_alive(server, tls=True)] + [Hello(server) for _ in range(CLIENTS)]
    sleeps_through(clients, "--threading", "pool")


def a_little_late():
    """As much as a machine that is busy is late: still nobody's fault but ours."""
    def clients(server):
        return [Hello(server) for _ in range(CLIENTS)]
    sleeps_through(clients, "--threading", "pool", beyond=0.05)
    sleeps_through(clients, "--threading", "thread", beyond=0.05)


def what_is_not_wanted_is_taken():
    """Whose upload is refused sends until the server, which does not run, takes no more."""
    for threading in ("pool", "thread"):
        for beyond in (0.05, 0.5):
            sleeps_through(lambda server: [Refused(server) for _ in range(CLIENTS)], "--plain", "--upload",
                           "--max-upload", "1000", "--threading", threading, beyond=beyond)


LARGE = 24 * 1024 * 1024


def who_has_taken_all_there_was():
    """A download that was to go faster than it did by the clock, while the server did not run: its client has read all
    that was on its way."""
    for arguments in (("--plain", "--threading", "pool"), ("--threading", "pool"), ("--plain", "--threading", "thread"),
                      ("--plain", "--threading", "none")):
        reads_on_afterwards(arguments)


def reads_on_afterwards(arguments):
    timeout, late = 4 * TIMEOUT, shslib.Failure("this machine is too slow to tell")
    for _ in range(TRIES):
        with shslib.temp_dir() as site:
            with open(site + "/large", "wb") as file:
                file.truncate(LARGE)
            # More than there is: only by what the client has taken is it in time.
            with shslib.Server(*arguments, "--write-timeout", str(int(timeout * 1000)), "--min-rate", str(1 << 30),
                               "--log", "none", "--log-level", "error", site, expect_exit=None) as server:
                with server.connect_plain() if "--plain" in arguments else server.connect() as sock:
                    sock.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    begun = time.monotonic()
                    data = shslib.read_until(sock, b"\r\n\r\n")
                    wait_until_it_waits(sock)
                    server.signal(signal.SIGSTOP)
                    shslib.wait_until(lambda: is_stopped(server), 10, "the server to stop")
                    in_time = time.monotonic() - begun < timeout / 2
                    count = len(data.partition(b"\r\n\r\n")[2]) + take_what_is_there(sock)
                    if in_time:
                        time.sleep(timeout + 0.5)
                    server.signal(signal.SIGCONT)
                    goes_on = time.monotonic()
                    count += len(shslib.read_all(sock, 60))
                    took = time.monotonic() - goes_on
                server.stop()
                if in_time and count == LARGE:
                    return
                late = shslib.Failure("%r: %d bytes of %d, in %.2f s: %s" % (arguments, count, LARGE, took, server.stderr))
                if in_time and took < timeout / 2:
                    raise late
        timeout *= 2
    raise late


def wait_until_it_waits(sock):
    """The client reads nothing: the buffers on the way are full, and for a while nothing more comes."""
    before, unread = -1, bytearray(4)
    while int.from_bytes(unread, sys.byteorder) != before:
        before = int.from_bytes(unread, sys.byteorder)
        time.sleep(0.1)
        fcntl.ioctl(sock.fileno(), termios.FIONREAD, unread)


def take_what_is_there(sock):
    """Until nothing more comes from a server that does not run."""
    count, before = 0, sock.gettimeout()
    sock.settimeout(0.5)
    try:
        while True:
            count += len(sock.recv(1 << 20))
    except (TimeoutError, ssl.SSLWantReadError):
        sock.settimeout(before)
        return count


if __name__ == "__main__":
    shslib.main(under_the_pool, under_threads, who_is_late_is_late, handshakes_go_on,
                a_little_late, what_is_not_wanted_is_taken, who_has_taken_all_there_was)
