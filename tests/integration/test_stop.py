"""SIGTERM and SIGINT, idle and under load: exit 0 within the bound, and nothing left behind."""

import os
import signal
import socket
import ssl
import threading
import time

import shslib

SITE = None
LARGE = 24 * 1024 * 1024
# stop_ms and close_ms have no flag: the defaults.
GRACE, CLOSE = 7, 2  # --stop-timeout and opt.close_ms, in seconds


class Load:
    """Clients that ask again and again, each request on its own connection or on one."""

    def __init__(self, server, count, keep):
        self.server, self.keep = server, keep
        self.context = server.tls_context() if server.scheme == "https" else None
        self.stopped = threading.Event()
        self.answers, self.wrong, self.cut = 0, [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def talk(self):
        with self.server.connect(context=self.context) as sock:
            rest = b""
            while not self.stopped.is_set():
                sock.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
                _, headers, body, rest = shslib.read_response(sock, 10, rest)
                with self.lock:
                    self.answers += 1
                    if body != b"hello\n" or rest:
                        self.wrong.append(body + rest)
                if not self.keep or headers.get("connection") == "close":
                    return

    def run(self):
        while not self.stopped.is_set():
            try:
                self.talk()
            except (OSError, shslib.Failure):
                with self.lock:
                    self.cut += 1
                self.stopped.wait(0.01)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(20)


def stop_and_time(server, number, limit, code=0):
    """Sends the signal: that exit code within the limit, but for the time that the machine stood still. Returns
    how long it took."""
    watch = shslib.Stopwatch(server)
    server.signal(number)
    got = server.wait(limit + 10)
    took = watch.within(limit, "to stop after signal %d" % number)
    shslib.equal(got, code, "exit code after signal %d\n%s" % (number, server.report()))
    return took


def nothing_left(server, before):
    """Neither a process of its session nor a file that was not there."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/stat" % entry) as stat:
                    fields = stat.read().rpartition(")")[2].split()
                    state, session = fields[0], int(fields[3])
            except (OSError, IndexError):
                continue
            # One that has ended is init's to take notice of.
            shslib.check(session != server.pid or state in "ZX", "process %s is left" % entry)
    shslib.equal(files_of(server), before, "files that are left")


def files_of(server):
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(server.dir) for name in names)


def idle():
    for number in (signal.SIGTERM, signal.SIGINT):
        for arguments in ((), ("--plain",), ("--threading", "none")):
            with shslib.Server(SITE, *arguments) as server:
                before = files_of(server)
                stop_and_time(server, number, 1)
                nothing_left(server, before)


def with_idle_connections():
    """Kept-alive connections and ones that have said nothing hold nobody up."""
    for arguments in ((), ("--plain",), ("--threading", "none")):
        with shslib.Server(SITE, *arguments) as server:
            socks = []
            for _ in range(1 if "none" in arguments else 20):
                sock = server.connect()
                sock.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
                shslib.read_response(sock)
                socks.append(sock)
            socks += [server.connect_plain() for _ in range(20)]
            time.sleep(0.2)
            stop_and_time(server, signal.SIGTERM, 3)
            for sock in socks:
                shslib.check(shslib.is_closed(sock), "a connection is still open")
                sock.close()


def under_load():
    for number, arguments in ((signal.SIGTERM, ()), (signal.SIGINT, ("--plain",)),
                              (signal.SIGTERM, ("--threading", "none")),
                              (signal.SIGINT, ("--threading", "thread")),
                              (signal.SIGTERM, ("--threading", "fork")),
                              (signal.SIGTERM, ("--threads", "4"))):
        # A grace that a machine with other work does not use up: how long it takes is measured below.
        with shslib.Server(SITE, "--log", "none", "--stop-timeout", "12000", *arguments) as server:
            loads = [Load(server, 6, True), Load(server, 6, False)]
            shslib.wait_until(lambda: sum(load.answers for load in loads) > 200, 20, "200 answers")
            before = files_of(server)
            stop_and_time(server, number, 3)
            for load in loads:
                load.stop()
                shslib.equal(load.wrong, [], "wrong answers")
            nothing_left(server, before)


def clients_that_never_pause():
    """Whose next requests are there before an answer is: told to stop, the server does not go on with them."""
    for arguments in ((), ("--threading", "none"), ("--threading", "thread"), ("--threading", "fork")):
        # In plain: two threads may not use one SSLSocket.
        with shslib.Server(SITE, "--log", "none", "--plain", *arguments) as server:
            before = files_of(server)
            with connect_with_little_room(server) as sock:
                ended = threading.Event()
                sender = threading.Thread(target=ask_without_end, args=(sock, ended), daemon=True)
                sender.start()
                rest = shslib.read_response(sock, 10)[3]
                # The answers that nobody takes hold it up: few are on their way when it is told.
                server.signal_taken(signal.SIGTERM)
                if "none" not in arguments:
                    shslib.wait_until(lambda: shslib.refuses(server), 8, "an end of new connections")
                rest += shslib.read_all(sock, 10)
                shslib.equal(server.wait(10), 0, "%r: exit code" % (arguments,))
                ended.set()
                sender.join(20)
            # By itself it ends with the 10,000th. The last ones may be lost: who sends is told by a reset.
            answers = rest.count(b"HTTP/1.1 200 OK\r\n")
            shslib.check(answers < 5000, "%r: %d answers after the signal" % (arguments, answers))
            nothing_left(server, before)


def ask_without_end(sock, ended):
    try:
        while not ended.is_set():
            sock.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
    except OSError:
        pass  # it was closed, as is to be


def connect_with_little_room(server, room=16384):
    sock = socket.socket()
    if room:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    sock.settimeout(10 * shslib.SLOWNESS)
    sock.connect((server.address, server.port))
    if server.scheme == "https":
        sock = server.tls_context().wrap_socket(sock, server_hostname="localhost")
    return sock


def start_download(server, room=16384):
    """A client in the middle of a large file: the socket, and what came so far."""
    sock = connect_with_little_room(server, room)
    sock.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
    return sock, shslib.read_exactly(sock, 100000)


def a_download_is_finished():
    for arguments in ((), ("--plain",), ("--threading", "none"), ("--threading", "thread"),
                      ("--threading", "fork")):
        with shslib.Server(SITE, *arguments) as server:
            sock, data = start_download(server, room=0)
            with sock:
                server.signal_taken(signal.SIGTERM)
                if "none" not in arguments:
                    shslib.wait_until(lambda: shslib.refuses(server), 8, "an end of new connections")
                data += shslib.read_all(sock, 9)
            body = data.partition(b"\r\n\r\n")[2]
            shslib.equal(len(body), LARGE, "%r: bytes of a download that was under way" % (arguments,))
            shslib.equal(server.wait(), 0, "exit code")
            shslib.check('"GET /large.bin HTTP/1.1" 200 %d ' % LARGE in server.stderr,
                         "the download is not in the log: " + server.stderr)


def one_that_stands_still_is_cut():
    """After the grace, not later: the client does not read."""
    for arguments in ((), ("--threading", "none"), ("--threading", "thread"), ("--threading", "fork")):
        def stop(arguments):
            with shslib.Server(SITE, *arguments, expect_exit=1) as server:
                sock, _ = start_download(server)
                with sock:
                    time.sleep(0.2)
                    took = stop_and_time(server, signal.SIGTERM, GRACE + CLOSE + 1, 1)
                    shslib.check(took >= GRACE - 1, "%r: cut after %.2f s" % (arguments, took))
        yield lambda arguments=arguments: stop(arguments)


def a_second_signal_cuts_at_once():
    for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM),
                          (signal.SIGTERM, signal.SIGINT)):
        with shslib.Server(SITE, expect_exit=1) as server:
            sock, _ = start_download(server)
            with sock:
                server.signal_taken(first)
                shslib.wait_until(lambda: shslib.refuses(server), 8, "an end of new connections")
                watch = shslib.Stopwatch(server)
                server.signal(second)
                code = server.wait(9)
                watch.within(1, "the end after the second signal")
                shslib.equal(code, 1, "exit code after two signals")
            shslib.check(server.stderr.endswith(", 1 cut\n"), "the last line: " + server.stderr[-200:])


def one_more_signal_changes_nothing_at_the_end():
    """All is closed, and it frees what it has: told to stop once more it still ends with 0."""
    for pause in (0, 0.005, 0.02):  # a sanitizer takes its time then
        with shslib.Server("--plain", SITE) as server:
            server.signal(signal.SIGTERM)
            server.wait_stderr("stopped in ")
            time.sleep(pause)
            server.signal(signal.SIGTERM)
            shslib.equal(server.wait(9 * shslib.SLOWNESS), 0, "exit code")


def the_port_is_free_at_once():
    """Started again on the same port while connections of the first are in TIME_WAIT, again and again."""
    # On an address of its own: on 127.0.0.1 the kernel may give the port to others meanwhile.
    port, address = "0", "127.77.%d.%d" % divmod(os.getpid() % 0xFFFF, 256)
    for _ in range(5):
        with shslib.Server(SITE, "--bind", address, "--port", port, "--plain") as server:
            port = str(server.port)
            with server.connect() as sock:
                sock.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                shslib.check(b"hello\n" in shslib.read_all(sock), "no answer")
            kept = server.connect()
            kept.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            shslib.read_response(kept)
        kept.close()


def signals_before_it_serves():
    """At any moment of its start: it ends, with 0 or by the signal, and leaves nothing half made."""
    for pause in (0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1):
        process = shslib.Process([shslib.BIN, "serve", "--port", "0", SITE], expect_exit=None)
        with process:
            time.sleep(pause)
            process.signal(signal.SIGTERM)
            code = process.wait(10)
            shslib.check(code in (0, -signal.SIGTERM), "exit code %r\n%s" % (code, process.report()))
            with shslib.Server(SITE, env={"XDG_STATE_HOME": process.state_dir}) as server:
                shslib.equal(server.get("/a.txt")[2], b"hello\n", "after a start that was broken off")


def stop():
    global SITE
    with shslib.temp_dir() as SITE:
        shslib.write_file(SITE + "/a.txt", "hello\n")
        with open(SITE + "/large.bin", "wb") as file:
            file.truncate(LARGE)
        failures = []

        def run(test):
            try:
                test()
            except Exception as error:
                failures.append("%s: %s" % (type(error).__name__, error))

        # These wait for the grace to pass; the others go on meanwhile.
        slow = [threading.Thread(target=run, args=(test,)) for test in one_that_stands_still_is_cut()]
        for thread in slow:
            thread.start()

        def standing_still_is_cut():
            for thread in slow:
                thread.join()
            shslib.equal(failures, [], "failures")

        shslib.each(idle, with_idle_connections, under_load, clients_that_never_pause,
                    a_download_is_finished, a_second_signal_cuts_at_once,
                    one_more_signal_changes_nothing_at_the_end, the_port_is_free_at_once, signals_before_it_serves,
                    standing_still_is_cut)


shslib.main(stop)
