"""Starts the shs command for a test, on a free port of the loopback, and stops it again.

The command is the one that the environment variable SHS_BIN names. Everything a server writes goes
into a directory of the test's own.
"""

import http.client
import os
import re
import select
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time

SHS = os.environ.get("SHS_BIN", "")
FIRST_LINE = re.compile(r"^Serving (HTTPS?) on (\S+) port (\d+) \((\S+)\) \.\.\.$")
WAIT_S = 20

if not SHS:
    sys.exit("SHS_BIN does not say where the shs command is")
SHS = os.path.abspath(SHS)


def environment(state_dir):
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": state_dir,
           "XDG_STATE_HOME": state_dir, "LC_ALL": "C"}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", "LD_PRELOAD"):
        if name in os.environ:
            env[name] = os.environ[name]
    return env


def run(*args, cwd=None, state_dir=None):
    """Runs shs to its end: a CompletedProcess with text."""
    made = None
    if state_dir is None:
        made = state_dir = tempfile.mkdtemp(prefix="shs-state-")
    try:
        return subprocess.run([SHS, *args], cwd=cwd, env=environment(state_dir), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_S)
    finally:
        if made:
            shutil.rmtree(made)


class Server:
    """A running `shs serve`; also a context manager that checks for a clean end."""

    def __init__(self, *args, plain=True, state_dir=None, cwd=None, stderr=None, port="0",
                 preexec_fn=None):
        self.dir = tempfile.mkdtemp(prefix="shs-test-")
        self.state_dir = state_dir or os.path.join(self.dir, "state")
        os.makedirs(self.state_dir, exist_ok=True)
        self.stderr_path = os.path.join(self.dir, "stderr")
        self._own_stderr = open(self.stderr_path, "wb") if stderr is None else None
        command = [SHS, "serve", "-p", port, *(["--plain"] if plain else []), *args]
        self.process = subprocess.Popen(
            command, cwd=cwd, env=environment(self.state_dir), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=self._own_stderr if stderr is None else stderr,
            preexec_fn=preexec_fn)
        try:
            self.first_line = self.read_line()
            match = FIRST_LINE.match(self.first_line)
            if not match:
                raise AssertionError("first line: %r; stderr: %r" % (self.first_line, self.stderr()))
            self.scheme, self.host, port, self.url = match.groups()
            self.port = int(port)
        except BaseException:
            self.kill()
            raise

    def read_line(self):
        """The next line of its stdout, without its newline; "" at the end."""
        line = b""
        deadline = time.monotonic() + WAIT_S
        fd = self.process.stdout.fileno()
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise AssertionError("no line on stdout within %d s: %r" % (WAIT_S, line))
            byte = os.read(fd, 1)
            if not byte:
                break
            line += byte
        return line.decode().rstrip("\n")

    def stderr(self):
        with open(self.stderr_path, "rb") as file:
            return file.read().decode(errors="replace")

    def wait_stderr(self, pattern):
        """Waits until stderr has the pattern; the log is written by a thread of its own."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            match = re.search(pattern, self.stderr(), re.M)
            if match:
                return match
            time.sleep(0.02)
        raise AssertionError("%r is not in stderr: %r" % (pattern, self.stderr()))

    def connect(self, host=None, timeout=WAIT_S, **kwargs):
        """An http.client connection; over TLS it trusts the server's own authority."""
        if self.scheme == "HTTP":
            return http.client.HTTPConnection(host or "127.0.0.1", self.port, timeout=timeout)
        return http.client.HTTPSConnection(host or "localhost", self.port, timeout=timeout,
                                           context=self.tls_context(), **kwargs)

    def tls_context(self):
        return ssl.create_default_context(cafile=self.ca_file())

    def ca_file(self):
        for folder, _, names in os.walk(self.state_dir):
            for name in names:
                if name.startswith("ca") and "key" not in name:
                    return os.path.join(folder, name)
        raise AssertionError("no certificate of an authority in " + self.state_dir)

    def request(self, method, target, headers=None, body=None):
        """One request on a connection of its own: status, headers, body."""
        conn = self.connect()
        try:
            conn.request(method, target, body=body, headers=headers or {})
            response = conn.getresponse()
            return response.status, response.headers, response.read()
        finally:
            conn.close()

    def get(self, target, **headers):
        return self.request("GET", target, {k.replace("_", "-"): v for k, v in headers.items()})

    def stop(self, number=signal.SIGTERM):
        """Sends the signal and waits for the end: the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        try:
            return self.process.wait(WAIT_S)
        finally:
            self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        if self._own_stderr:
            self._own_stderr.close()

    def clean(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                code = self.stop()
                if code != 0:
                    raise AssertionError("exit code %d; stderr: %s" % (code, self.stderr()))
        finally:
            self.clean()
