"""shslib: what integration tests share. Only the standard library.

    import shslib

    with shslib.Server("--plain", site) as server:          # shs serve --port 0 ...
        status, headers, body = server.get("/a.txt")
        with server.connect() as sock:                     # a raw socket, TLS already done
            sock.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            data = shslib.read_until(sock, b"\\r\\n\\r\\n")

Leaving the `with` sends SIGTERM and demands exit code 0 within a time limit and no sanitizer's
report on stderr. Every wait has a limit. Only processes that were started here are ever signalled.

The environment comes from ctest (see tests/README.md); by hand, SHS_BIN=build/debug/shs is enough.
"""

import contextlib
import functools
import hashlib
import http.client
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

SOURCE_DIR = os.environ.get("SHS_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_DIR = os.environ.get("SHS_BUILD_DIR") or os.path.join(SOURCE_DIR, "build", "debug")
BIN = os.path.abspath(os.environ.get("SHS_BIN") or os.path.join(BUILD_DIR, "shs"))
SANITIZE = os.environ.get("SHS_SANITIZE", "")
# The composition that this run is about, for every server that does not name its own; "": the default.
THREADING = os.environ.get("SHS_TEST_THREADING", "")
RECORDS = os.environ.get("SHS_TEST_RECORDS", "")
# The version of TLS of every client that names none ("1.2", "1.3"); "": what the two agree on.
TLS = os.environ.get("SHS_TEST_TLS", "")
# How much longer things may take in this build than in a plain one.
SLOWNESS = 4 if SANITIZE or "VALGRIND" in os.environ or os.environ.get("SHS_COVERAGE") == "ON" else 1

# The threads of a server whose clients are gone or idle: workers, the loop, the log, a spare one;
# and ThreadSanitizer's own. Spare workers of the pool stay for ten seconds.
IDLE_THREADS = (os.cpu_count() or 1) + (5 if SANITIZE else 4)

FIRST_LINE = re.compile(r"^Serving (HTTPS|HTTP) on (\S+) port (\d+) \((\S+)\) \.\.\.$")
SANITIZER_REPORT = re.compile(
    r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:"
    r"|^==\d+==)", re.MULTILINE)


class Failure(AssertionError):
    """A test that did not find what it expected."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(got, wanted, what="value"):
    if got != wanted:
        raise Failure("%s: got %r, wanted %r" % (what, got, wanted))


def skip(why):
    """Ends the test as skipped: ctest takes exit code 77 for that."""
    print("skipped: " + why)
    sys.exit(77)


@contextlib.contextmanager
def temp_dir():
    path = tempfile.mkdtemp(prefix="shs-test-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def write_file(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    return path


def pattern(size, seed=b"shs"):
    """`size` bytes that are the same in every run and do not compress or repeat."""
    blocks, total, counter = [], 0, 0
    while total < size:
        block = hashlib.sha512(seed + counter.to_bytes(8, "big")).digest()
        blocks.append(block)
        total += len(block)
        counter += 1
    return b"".join(blocks)[:size]


class Deadline:
    """A limit for a whole phase: time left, or Failure."""

    def __init__(self, seconds, what):
        self.end = time.monotonic() + seconds * SLOWNESS
        self.what = what

    def left(self):
        left = self.end - time.monotonic()
        if left <= 0:
            raise Failure("time is up: " + self.what)
        return left


class Stopwatch:
    """How long something takes, and for how much of that time it could not go on: for a test whose subject
    is a duration.

    A plain sleep beside it tells how late this process is woken. Of a server the kernel tells how long its
    threads were ready and had no processor, and whether they are stopped or wait for a disk. What is late
    for that reason is not late: a bound is kept when it is kept without it. It is no excuse on a machine
    that goes on.
    """

    PAUSE = 0.05

    def __init__(self, server=None):
        self.pid = server.pid if server is not None else None
        self.stood = self.longest = 0.0
        self.waited = self._waited()
        self.ended = None
        self.over = threading.Event()
        self.began = time.monotonic()
        self.sleeper = threading.Thread(target=self._sleep, daemon=True)
        self.sleeper.start()

    def _tasks(self):
        """The directories of its threads, and of those of its children."""
        pids, found = [self.pid] if self.pid else [], []
        for pid in pids:
            try:
                for task in os.listdir("/proc/%d/task" % pid):
                    found.append("/proc/%d/task/%s" % (pid, task))
                    with open(found[-1] + "/children") as children:
                        pids += [int(word) for word in children.read().split()]
            except OSError:  # it has ended, or the kernel does not tell
                continue
        return found

    def _waited(self):
        """{thread: how long it was ready and did not run}, in seconds."""
        waited = {}
        for task in self._tasks():
            with contextlib.suppress(OSError, IndexError):
                with open(task + "/schedstat") as file:
                    waited[task] = int(file.read().split()[1]) / 1e9
        return waited

    def _is_held(self):
        """Whether a thread is stopped, or waits for a disk."""
        for task in self._tasks():
            with contextlib.suppress(OSError, IndexError):
                with open(task + "/stat") as file:
                    if file.read().rpartition(")")[2].split()[0] in "DTt":
                        return True
        return False

    def _sleep(self):
        while not self.over.is_set():
            began = time.monotonic()
            held = self._is_held()
            self.longest = max([self.longest] + [waited - self.waited.get(task, 0.0)
                                                 for task, waited in self._waited().items()])
            self.over.wait(self.PAUSE)
            passed = time.monotonic() - began
            self.stood += passed if held else max(0.0, passed - self.PAUSE)

    def took(self):
        return (self.ended or time.monotonic()) - self.began

    def still(self):
        """For how long it stood still up to now."""
        return self.stood + self.longest

    def stop(self):
        """Returns how long it took."""
        if self.ended is None:
            self.ended = time.monotonic()
            self.over.set()
            self.sleeper.join()
        return self.took()

    def within(self, seconds, what):
        """It took that long at the most (longer with a sanitizer), but for the time it stood still."""
        took, limit = self.stop(), seconds * SLOWNESS
        check(took <= limit + self.still(), "%s: %.2f s, of which it stood still %.2f s; the bound is %.2f s"
              % (what, took, self.still(), limit))
        return took

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def whole_lines(text):
    """What of it is lines with their ends: the last one may be on its way."""
    return text[:text.rfind("\n") + 1]


class _Collector(threading.Thread):
    """Reads a pipe to its end, so that the writer never blocks."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.pipe = pipe
        self.chunks = []
        self.changed = threading.Condition()
        self.ended = False
        self.start()

    def run(self):
        descriptor = self.pipe.fileno()
        while True:
            chunk = os.read(descriptor, 65536)
            with self.changed:
                if chunk:
                    self.chunks.append(chunk)
                else:
                    self.ended = True
                self.changed.notify_all()
            if not chunk:
                return

    def text(self):
        with self.changed:
            return b"".join(self.chunks).decode("utf-8", "replace")

    def wait_for(self, found, deadline):
        """Waits until found(text) is true and returns the text; at the end of the pipe, too."""
        with self.changed:
            while True:
                text = b"".join(self.chunks).decode("utf-8", "replace")
                if found(text) or self.ended:
                    return text
                self.changed.wait(deadline.left())

    def wait_for_lines(self, found, deadline):
        """The same, of whole lines."""
        text = self.wait_for(lambda text: found(whole_lines(text)), deadline)
        return whole_lines(text) if found(whole_lines(text)) else text


class Process:
    """A program under test: its own session, directories and limits; stopped and checked at the end."""

    def __init__(self, argv, cwd=None, env=None, expect_exit=0, stop_seconds=20):
        self.argv = [str(word) for word in argv]
        self.expect_exit = expect_exit
        self.stop_seconds = stop_seconds
        self.dir = tempfile.mkdtemp(prefix="shs-test-")
        self.state_dir = os.path.join(self.dir, "state")
        environment = dict(os.environ)
        environment.update({
            "HOME": self.dir,
            "XDG_STATE_HOME": self.state_dir,
            "XDG_CONFIG_HOME": os.path.join(self.dir, "config"),
            "TMPDIR": self.dir,
        })
        environment.update(env or {})
        self.exit_code = None
        self.process = subprocess.Popen(
            self.argv, cwd=cwd or self.dir, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        self.out = _Collector(self.process.stdout)
        self.err = _Collector(self.process.stderr)

    @property
    def pid(self):
        return self.process.pid

    @property
    def stdout(self):
        return self.out.text()

    @property
    def stderr(self):
        return self.err.text()

    def stderr_lines(self):
        """The lines that are there with their ends."""
        return whole_lines(self.stderr).splitlines()

    def wait_stdout(self, regex, seconds=10):
        """Waits for a line of stdout and returns its match."""
        found = re.compile(regex, re.MULTILINE)
        text = self.out.wait_for_lines(found.search, Deadline(seconds, "stdout to say " + regex))
        match = found.search(text)
        check(match, "stdout ended without %r\n%s" % (regex, self.report()))
        return match

    def wait_stderr(self, regex, seconds=10):
        found = re.compile(regex, re.MULTILINE)
        text = self.err.wait_for_lines(found.search, Deadline(seconds, "stderr to say " + regex))
        match = found.search(text)
        check(match, "stderr ended without %r\n%s" % (regex, self.report()))
        return match

    def signal(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)

    def signal_taken(self, number, seconds=10):
        """Sends a signal and waits until the process has it: the next one of the kind is not lost in it."""
        self.signal(number)

        def taken():
            try:
                with open("/proc/%d/status" % self.pid) as status:
                    pending = re.findall(r"^(?:Sig|Shd)Pnd:\s+(\w+)$", status.read(), re.MULTILINE)
            except OSError:
                return True
            return not any(int(mask, 16) >> (number - 1) & 1 for mask in pending)

        wait_until(taken, seconds, "signal %d to be taken" % number)

    def wait(self, seconds=None):
        """Waits for its end and returns the exit code (-9 for SIGKILL, as subprocess)."""
        seconds = (seconds or self.stop_seconds) * SLOWNESS
        try:
            self.exit_code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure("did not end within %d s of being told\n%s" % (seconds, self.report()))
        self._collect()
        return self.exit_code

    def _collect(self):
        """What it has written is read to its end; children that live on may have more, which is not waited for."""
        end = time.monotonic() + 5 * SLOWNESS
        for collector in (self.out, self.err):
            collector.join(max(0.0, end - time.monotonic()))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10 * SLOWNESS)

    # What it holds, as the kernel sees it: for tests that nothing is left behind.

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def threads(self):
        return len(os.listdir("/proc/%d/task" % self.pid))

    def open_files(self):
        """What its descriptors are of: paths, and the names that the kernel has for the others."""
        names = []
        for link in os.listdir("/proc/%d/fd" % self.pid):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                names.append(os.readlink("/proc/%d/fd/%s" % (self.pid, link)))
        return names

    def children(self):
        """Its children, those included that have ended and that it has not yet taken notice of."""
        found = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(ValueError, OSError, IndexError):
                with open("/proc/%d/stat" % int(entry)) as stat:
                    if int(stat.read().rpartition(")")[2].split()[1]) == self.pid:
                        found.append(int(entry))
        return found

    def resident_kib(self):
        with open("/proc/%d/status" % self.pid) as status:
            return int(re.search(r"^VmRSS:\s+(\d+) kB", status.read(), re.MULTILINE).group(1))

    def stop(self):
        """SIGTERM, and then everything must be in order."""
        if self.exit_code is None:
            self.signal(signal.SIGTERM)
            self.wait()
        check(not SANITIZER_REPORT.search(self.stderr), "a sanitizer has something to say\n" + self.report())
        if self.expect_exit is not None:
            equal(self.exit_code, self.expect_exit, "exit code of %s\n%s" % (self.argv[0], self.report()))

    def report(self):
        return "command: %s\n--- stdout\n%s--- stderr\n%s---" % (
            " ".join(self.argv), self.stdout[-4000:], self.stderr[-8000:])

    def close(self):
        self.kill()
        for collector in (self.out, self.err):
            collector.join(0.5)
            if not collector.is_alive():  # else it would read of whatever has its number next
                collector.pipe.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
            else:
                self.kill()
                self._collect()
                print(self.report(), file=sys.stderr)
        finally:
            self.close()
        return False


def pool_serves(argv):
    return "--threading" not in argv or argv[argv.index("--threading") + 1] == "pool"


class Server(Process):
    """`shs serve --port 0 ARGUMENTS`, ready: scheme, host, port and ca are those of its first line.

    prefix is put in front of the command (valgrind, for example). argv replaces the whole command,
    for a program that prints the same first line.
    """

    def __init__(self, *arguments, prefix=(), argv=None, start_seconds=20, **keywords):
        if argv is None:
            argv = [BIN, "serve"]
            if "--port" not in arguments and "-p" not in arguments:
                argv += ["--port", "0"]
            argv += list(arguments)
            if THREADING and not any(word in arguments for word in ("--threading", "--threads", "--max-threads")):
                argv += ["--threading", THREADING]
            if pool_serves(argv) and not any(word in arguments for word in ("--late-timeout", "--config")):
                # On a busy machine clients wait long; only tests of overload itself want them refused for it.
                argv += ["--late-timeout", "600000"]
            if RECORDS and not any(word in arguments for word in ("--plain", "--config", "--tls-records")):
                argv += ["--tls-records", RECORDS]
        super().__init__(list(prefix) + list(argv), **keywords)
        try:
            text = self.out.wait_for(lambda text: "\n" in text,
                                     Deadline(start_seconds, "the server to say that it serves"))
            self.first_line = text.split("\n", 1)[0]
            match = FIRST_LINE.match(self.first_line)
            check(match, "the first line is not the one that is promised: %r\n%s"
                  % (self.first_line, self.report()))
        except BaseException:
            self.close()
            raise
        self.scheme = "https" if match.group(1) == "HTTPS" else "http"
        self.host = match.group(2)
        self.port = int(match.group(3))
        self.url = match.group(4).rstrip("/")
        # Where to connect to: "every interface" is not an address.
        self.address = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}.get(self.host, self.host)
        self._ca = None

    @property
    def ca(self):
        """The local authority that the server says its certificate is from: a file, or None."""
        if self._ca is None and self.scheme == "https" and "--cert" not in self.argv:
            match = self.wait_stdout(r"--cacert (?:'([^']+)'|(\S+)) ")
            self._ca = match.group(1) or match.group(2)
        return self._ca

    def tls_context(self, verify=True):
        """A client's context: verifies against the server's own CA, unless told not to."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if verify:
            check(self.ca, "the server names no CA to verify its certificate with\n" + self.report())
            context.load_verify_locations(self.ca)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def connect_plain(self, seconds=10):
        """A TCP connection, whatever is spoken on it."""
        return socket.create_connection((self.address, self.port), timeout=seconds * SLOWNESS)

    def connect(self, seconds=10, context=None, server_hostname=None):
        """A connection to speak HTTP on: with TLS if the server has it."""
        sock = self.connect_plain(seconds)
        if self.scheme == "http":
            return sock
        if context is None:
            context = self.tls_context(verify=self.ca is not None)
        try:
            return context.wrap_socket(sock, server_hostname=server_hostname or self.server_name)
        except BaseException:
            sock.close()
            raise

    @property
    def server_name(self):
        return "localhost" if self.address in ("127.0.0.1", "::1") else self.address

    def connection(self, seconds=10):
        """An http.client connection over connect(); close it, or use it in contextlib.closing."""
        connection = http.client.HTTPConnection(self.server_name, self.port)
        connection.sock = self.connect(seconds)
        return connection

    def request(self, method, path, body=None, headers=None, seconds=10):
        """One request on its own connection: status, headers (http.client's message), body."""
        with contextlib.closing(self.connection(seconds)) as connection:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def get(self, path, headers=None, seconds=10):
        return self.request("GET", path, headers=headers, seconds=seconds)

    def raw(self, data, seconds=10):
        """Sends bytes as they are and returns everything until the server closes."""
        with self.connect(seconds) as sock:
            send_all(sock, data)
            return read_all(sock, seconds)


def send_all(sock, data):
    """sendall, for a server that may have answered and gone before it read everything."""
    try:
        sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
        pass


def _receive(sock, deadline):
    sock.settimeout(deadline.left())
    try:
        return sock.recv(65536)
    except (socket.timeout, TimeoutError):
        raise Failure("time is up: " + deadline.what)
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return b""


def read_all(sock, seconds=10):
    """Everything until the peer closes."""
    deadline = Deadline(seconds, "the peer to close")
    data = bytearray()
    while True:
        chunk = _receive(sock, deadline)
        if not chunk:
            return bytes(data)
        data += chunk


def read_until(sock, marker, seconds=10):
    """Everything up to and with the marker; what came after it in the same read as well."""
    deadline = Deadline(seconds, "the peer to send %r" % marker)
    data = b""
    while marker not in data:
        chunk = _receive(sock, deadline)
        check(chunk, "the peer closed before it sent %r; it sent %r" % (marker, data[-500:]))
        data += chunk
    return data


def read_exactly(sock, count, seconds=10, start=b""):
    deadline = Deadline(seconds, "the peer to send %d bytes" % count)
    data = bytearray(start)
    while len(data) < count:
        chunk = _receive(sock, deadline)
        check(chunk, "the peer closed after %d bytes of %d" % (len(data), count))
        data += chunk
    return bytes(data)


def read_response(sock, seconds=10, start=b"", method="GET"):
    """One response with Content-Length: status line, headers (lower case), body, bytes after it."""
    data = start
    if b"\r\n\r\n" not in data:
        data += read_until(sock, b"\r\n\r\n", seconds)
    head, rest = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    status = int(lines[0].split(" ")[1])
    if method == "HEAD" or status < 200 or status in (204, 304):
        length = 0
    else:
        check("content-length" in headers, "a response without Content-Length: %r" % head)
        length = int(headers["content-length"])
    rest = read_exactly(sock, length, seconds, rest)
    return lines[0], headers, rest[:length], rest[length:]


def is_closed(sock, seconds=10):
    """True when the peer closes, or has closed, within the limit, and sends nothing before."""
    try:
        return _receive(sock, Deadline(seconds, "the peer to close")) == b""
    except Failure:
        return False


def run(*argv, seconds=60, env=None, cwd=None, stdin=b""):
    """Runs a program to its end: exit code, stdout, stderr as text."""
    environment = dict(os.environ)
    environment.update(env or {})
    done = subprocess.run([str(word) for word in argv], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=seconds * SLOWNESS, env=environment, cwd=cwd)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def wait_until(condition, seconds, what):
    """Waits for something that cannot be waited on, such as a file. Fails when time is up."""
    deadline = Deadline(seconds, what)
    while not condition():
        try:
            select.select([], [], [], min(0.02, deadline.left()))
        except Failure:
            if not condition():  # a look more: the time may have passed between the two
                raise
            return


def refuses(server):
    """True when it takes no further connections."""
    try:
        server.connect_plain().close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was in the queue of a socket that was closed
        pass
    return False


def not_under(*compositions):
    """Marks a test that says nothing under these compositions (SHS_TEST_THREADING): it is left out there.

    tests/README.md has the reason for each.
    """
    def mark(test):
        @functools.wraps(test)
        def skipped():
            print("       %s is not about --threading %s" % (test.__name__, THREADING))
        return skipped if THREADING in compositions else test
    return mark


def each(*tests):
    """Runs functions one after the other and says how each went; at the end Failure if any failed.

    For tests that share a server: inside its `with`, so that its own end is checked as well.
    """
    failed = []
    for test in tests:
        started = time.monotonic()
        try:
            test()
        except Exception as error:  # a test may fail in any way; the others still run
            failed.append(test.__name__)
            print("FAILED %s: %s: %s" % (test.__name__, type(error).__name__, error))
            if not isinstance(error, Failure):
                import traceback
                traceback.print_exc(file=sys.stdout)
        else:
            print("ok     %s (%.2f s)" % (test.__name__, time.monotonic() - started))
        sys.stdout.flush()
    print("%d passed, %d failed" % (len(tests) - len(failed), len(failed)))
    if failed:
        raise Failure("failed: " + ", ".join(failed))


def main(*tests):
    """Runs functions one after the other, says which failed, and exits 1 if any did."""
    try:
        each(*tests)
    except Failure:
        sys.exit(1)
    sys.exit(0)
