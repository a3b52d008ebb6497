"""shs serve as a service: what it tells systemd, the sockets it is started with, and the process that takes its place."""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time

import shslib
from shslib import check, equal

SITE = None

# Opens sockets as 3, 4 ... for a command, as systemd does: KIND:NAME each, with a path for unix.
PASS = """
import os, socket, sys
kinds, command = sys.argv[1].split(" "), sys.argv[2:]
for number, word in enumerate(kinds):
    kind, name, path = (word.split(":") + [""])[:3]
    if kind == "unix":
        made = socket.socket(socket.AF_UNIX)
        made.bind(path)
    elif kind == "udp":
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
    else:
        made = socket.socket()
        made.bind(("127.0.0.1", 0))
    if kind != "udp":
        made.listen(64)
    os.dup2(made.fileno(), 100 + number)
for number in range(len(kinds)):
    os.dup2(100 + number, 3 + number)
    os.set_inheritable(3 + number, True)
    os.close(100 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kinds)),
                  LISTEN_FDNAMES=":".join(word.split(":")[1] for word in kinds))
os.execv(command[0], command)
"""


def passing(*kinds):
    return (sys.executable, "-c", PASS, " ".join(kinds))


class Manager:
    """The socket of a service manager, and what came to it."""

    def __init__(self, directory):
        self.path = directory + "/notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)

    def next(self, key, seconds=20):
        """The next message that has the key, as a dict."""
        deadline = shslib.Deadline(seconds, "a message with " + key)
        while True:
            self.sock.settimeout(max(0.01, deadline.left()))
            try:
                text = self.sock.recv(4096).decode()
            except socket.timeout:
                raise shslib.Failure("no message with %s" % key)
            message = dict(line.split("=", 1) for line in text.split("\n"))
            if key in message:
                return message

    def drain(self):
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sock.recv(4096)

    def none_for(self, key, seconds):
        """True: no such message came in that time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                if key in self.sock.recv(4096).decode():
                    return False
            except socket.timeout:
                return True
        return True


@contextlib.contextmanager
def managed(*arguments, environment=None, **keywords):
    with shslib.temp_dir() as directory:
        manager = Manager(directory)
        with shslib.Server(*arguments, env=dict(environment or {}, NOTIFY_SOCKET=manager.path), **keywords) as server:
            yield manager, server
        manager.sock.close()


def test_ready_and_stopping():
    with managed("--plain", SITE) as (manager, server):
        ready = manager.next("READY")
        equal((ready["READY"], ready["STATUS"], ready["MAINPID"]), ("1", "Serving at " + server.url + "/", str(server.pid)))
        server.signal(signal.SIGTERM)
        check("STOPPING" in manager.next("STOPPING"), "no STOPPING")


def test_reloading(pki):
    """READY comes again when the reload is over, whichever way it went."""
    cert, key = pki["dir"] + "/svc.pem", pki["dir"] + "/svc.key"
    shutil.copy(pki["cert"], cert)
    shutil.copy(pki["key"], key)
    with managed("--cert", cert, "--key", key, "--handler", "whoami") as (manager, server):
        manager.next("READY")
        for text, wanted in ((None, "Reloaded"), (b"no certificate", "The last reload failed, see the log"),
                             (shslib_read(pki["cert"]), "Reloaded")):
            if text is not None:
                shslib.write_file(cert, text)
            before = time.monotonic()
            server.signal(signal.SIGHUP)
            said = manager.next("RELOADING")
            equal(said["RELOADING"], "1")
            check(int(before * 1e6) - 1 <= int(said["MONOTONIC_USEC"]) <= int(time.monotonic() * 1e6) + 1, str(said))
            equal(manager.next("READY")["STATUS"], wanted)


def shslib_read(path):
    with open(path, "rb") as file:
        return file.read()


def test_watchdog():
    """It is told as long as we answer, and not while a client has the only thread."""
    with managed("--plain", "--threading", "none", "--head-timeout", "60000", SITE,
                 environment={"WATCHDOG_USEC": "600000"}) as (manager, server):
        for _ in range(3):
            manager.next("WATCHDOG")
        with server.connect_plain() as held:
            held.sendall(b"GET / HTTP/1.1\r\n")
            server.wait_stderr("watchdog: 127.0.0.1:%d has not answered" % server.port, seconds=20)
            manager.drain()
            check(manager.none_for("WATCHDOG", 0.5), "told that all is well while it is not")
        manager.next("WATCHDOG")


def test_watchdog_of_somebody_else():
    with managed("--plain", SITE, environment={"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}) as (manager, _):
        manager.next("READY")
        check(manager.none_for("WATCHDOG", 0.3), "pinged for another process")


def test_no_manager():
    code, _, err = shslib.run(shslib.BIN, "serve", "--plain", "-p", "0", env={"NOTIFY_SOCKET": "/nowhere/notify"})
    equal((code, err), (1, "shs: error: cannot reach the service manager at /nowhere/notify (NOTIFY_SOCKET): "
                           "No such file or directory\n"))


def test_passed_sockets():
    """All of them without --bind, by number, and by name; what nobody takes is said."""
    with shslib.Server("--plain", SITE, argv=[*passing("tcp:a", "tcp:b"), shslib.BIN, "serve", "--plain", SITE]) as server:
        second = int(server.wait_stdout(r"(?s)\.\.\.\nServing HTTP on 127.0.0.1 port (\d+)").group(1))
        check(second != server.port, "one port twice")
        equal(server.get("/a.txt")[2], b"hello\n")
        server.port = second
        equal(server.get("/a.txt")[2], b"hello\n")
    for bind in ("fd:4", "systemd:b"):
        with shslib.Server(argv=[*passing("tcp:a", "tcp:b"), shslib.BIN, "serve", "--plain", "--bind", bind, SITE]) as server:
            equal(server.get("/a.txt")[2], b"hello\n")
            server.wait_stderr(r"warning: 1 passed socket is not used and closed, the first is 'a'")
    with shslib.Server(argv=[*passing("tcp:a"), shslib.BIN, "serve", SITE]) as server:  # TLS, and a certificate for it
        equal(server.get("/a.txt")[2], b"hello\n")


def test_passed_unix_socket_stays():
    with shslib.temp_dir() as directory:
        path = directory + "/s"
        process = shslib.Process([*passing("unix:web:" + path), shslib.BIN, "serve", "--plain", "--bind", "systemd", SITE])
        with process:
            process.wait_stdout("^Serving HTTP on unix:" + re.escape(path))
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(10 * shslib.SLOWNESS)
                sock.connect(path)
                sock.sendall(b"GET /a.txt HTTP/1.0\r\n\r\n")
                check(shslib.read_all(sock).endswith(b"hello\n"), "no answer")
        check(os.path.exists(path), "the socket is systemd's, and was removed")


def test_systemd_socket_activate():
    tool = shutil.which("systemd-socket-activate")
    if tool is None:
        print("       systemd-socket-activate is not installed: left out")
        return
    with shslib.temp_dir() as directory:
        path = directory + "/s"
        with shslib.Process([tool, "-l", path, shslib.BIN, "serve", "--plain", SITE]) as process:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(10 * shslib.SLOWNESS)
                # Its path is there before it listens.
                shslib.wait_until(lambda: sock.connect_ex(path) == 0, 10, "a socket that listens")
                sock.sendall(b"GET /a.txt HTTP/1.0\r\n\r\n")
                check(shslib.read_all(sock).endswith(b"hello\n"), "no answer")
            process.wait_stdout("^Serving HTTP on unix:" + re.escape(path))


def test_wrong_sockets():
    for argv, words in (
            (("--bind", "systemd"), "--bind systemd: no such socket was passed (LISTEN_FDS has 0); is the .socket unit active?"),
            (("--bind", "systemd:web"), "--bind systemd:web: no such socket was passed (LISTEN_FDS has 0); is the .socket unit "
             "active, and does it say FileDescriptorName=?"),
            (("--bind", "fd:77"), "--bind names descriptor 77, which is not a socket: Bad file descriptor"),
            (("--bind", "fd:1"), "--bind 'fd:1' is not an address")):
        code, _, err = shslib.run(shslib.BIN, "serve", "--plain", *argv)
        check(code == 2 and words in err, "%s: %d %s" % (argv, code, err))
    code, _, err = shslib.run(*passing("udp:a"), shslib.BIN, "serve", "--plain")
    check(code == 2 and "descriptor 3 is a datagram socket" in err, err)


def test_missing_credential():
    with shslib.temp_dir() as directory:
        code, _, err = shslib.run(shslib.BIN, "serve", "-p", "0", "--cert", directory + "/tls.crt", "--key",
                                  directory + "/tls.key", env={"CREDENTIALS_DIRECTORY": directory})
        equal((code, err), (1, "shs: error: Cannot open the certificate file '%s/tls.crt': No such file or directory. Is the path "
                               "right? The credential 'tls.crt' is missing: the unit needs LoadCredential=tls.crt:PATH "
                               "(systemctl edit shs.service)\n" % directory))


def test_pid_file():
    with shslib.temp_dir() as directory:
        path = directory + "/pid"
        with shslib.Server("--plain", "--pid-file", path, SITE) as server:
            equal(shslib_read(path), b"%d\n" % server.pid)
        check(not os.path.exists(path), "it stays")
        with shslib.Server("--plain", "--pid-file", path, SITE):
            shslib.write_file(path, b"1\n")
        equal(shslib_read(path), b"1\n")


class Load(threading.Thread):
    """A client that asks on and on: with a connection each, or with one that it keeps until it is told to close it."""

    def __init__(self, port, keep):
        super().__init__(daemon=True)
        self.port, self.keep = port, keep
        self.done, self.wrong, self.stop = 0, [], threading.Event()

    def run(self):
        connection = None
        while not self.stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * shslib.SLOWNESS)
                connection.request("GET", "/a.txt")
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200 or body != b"hello\n":
                    self.wrong.append((answer.status, body))
                self.done += 1
                if not self.keep or answer.will_close:
                    connection.close()
                    connection = None
            except Exception as error:  # whatever it is, a request was lost
                self.wrong.append(repr(error))
                connection = None


def pids_of(path):
    return int(shslib_read(path))


@shslib.not_under("fork")
def test_hand_over_under_load():
    """Three processes, one after the other, at one port: nobody is refused, and none of the requests is lost."""
    with shslib.temp_dir() as directory:
        path, unix = directory + "/pid", directory + "/s"
        manager = Manager(directory)
        with shslib.Server("--plain", "--hand-over", "--pid-file", path, "--bind", "127.0.0.1", "--bind", "unix:" + unix,
                           "--log", "none", "--log-level", "info", SITE, env={"NOTIFY_SOCKET": manager.path}) as server:
            manager.next("READY")
            clients = [Load(server.port, keep) for keep in (False, True, False, True)]
            for client in clients:
                client.start()
            pid = server.pid
            try:
                for _ in range(2):
                    os.kill(pid, signal.SIGUSR2)
                    told = int(manager.next("MAINPID")["MAINPID"])
                    equal(int(manager.next("READY")["MAINPID"]), told)
                    equal(pids_of(path), told)
                    check(told != pid, "the same process")
                    old, pid = pid, told
                    shslib.wait_until(lambda: not os.path.exists("/proc/%d/exe" % old) or ended(old), 30, "the old one to end")
                check(os.path.exists(unix), "the path is gone with the first process")
            finally:
                for client in clients:
                    client.stop.set()
                for client in clients:
                    client.join(30 * shslib.SLOWNESS)
                os.kill(pid, signal.SIGTERM)
            equal([client.wrong for client in clients], [[]] * len(clients), "requests that were lost")
            check(all(client.done > 20 for client in clients), str([client.done for client in clients]))
            shslib.wait_until(lambda: not os.path.exists(path), 20, "the last one to end")
            check(not os.path.exists(unix), "the path stays when the last one has ended")
            server.wait_stderr(r"hand-over: process \d+ serves; this one ends")
            equal(server.wait(), 0)
        manager.sock.close()


def ended(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@shslib.not_under("fork")
def test_a_hand_over_that_fails():
    """The new process cannot read its certificate: the old one goes on, and says so."""
    with shslib.temp_dir() as directory:
        config = directory + "/shs.yaml"
        shslib.write_file(config, b"plain: true\n")
        with shslib.Server("--config", config, "--hand-over", SITE) as server:
            shslib.write_file(config, b"nonsense: 1\n")
            server.signal(signal.SIGUSR2)
            server.wait_stderr(r"hand-over: process \d+ could not serve .* this one goes on")
            equal(server.get("/a.txt")[2], b"hello\n")


def test_usr2_without_hand_over():
    with managed("--plain", SITE) as (_, server):
        server.signal(signal.SIGUSR2)
        server.wait_stderr("SIGUSR2 hands over to a new process only with --hand-over")
        equal(server.get("/a.txt")[2], b"hello\n")


def main():
    global SITE
    with shslib.temp_dir() as top:
        SITE = top + "/site"
        shslib.write_file(SITE + "/a.txt", b"hello\n")
        code, out, err = shslib.run(shslib.BIN, "cert", "new", "localhost", "--dir", top + "/pki")
        check(code == 0, out + err)
        pki = {"dir": top, "cert": top + "/pki/localhost.pem", "key": top + "/pki/localhost.key"}

        def test_reloading_tells():
            test_reloading(pki)

        shslib.main(test_ready_and_stopping, test_reloading_tells, test_watchdog, test_watchdog_of_somebody_else,
                    test_no_manager, test_passed_sockets, test_passed_unix_socket_stays, test_systemd_socket_activate,
                    test_wrong_sockets, test_missing_credential, test_pid_file, test_hand_over_under_load,
                    test_a_hand_over_that_fails, test_usr2_without_hand_over)


main()
