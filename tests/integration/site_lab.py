"""site_lab.py - what the tests of the file handler share: a site, over plain HTTP and TLS, and its faults.

`rows(test, ...)` runs each test four times: over plain HTTP and over TLS, under the pool and with a thread for
each connection; under a sanitizer twice, plain under the pool and TLS with threads. A test takes one
argument, `site`, and starts its servers with `site.Site(...)`.
"""

import functools
import os
import shutil
import subprocess
import sys

import shslib

HERE = os.path.dirname(os.path.abspath(__file__))


class Faults:
    """faults.c, built once: system calls that fail as a file system without them would have them fail."""

    def __init__(self, top):
        self.shim = top + "/faults.so"
        self.log = top + "/faults.log"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", self.shim,
                        HERE + "/faults.c", "-ldl"], check=True)

    def env(self, rules=""):
        """For the server: `rules` as faults.c has them, and every call in the log."""
        with open(self.log, "w"):
            pass
        options = os.environ.get("ASAN_OPTIONS", "")
        when = self.log + ".on"  # a server's own start is not what is to fail: Site makes it when it serves
        if os.path.exists(when):
            os.unlink(when)
        return {"LD_PRELOAD": self.shim, "SHS_FAULTS": rules, "SHS_FAULTS_LOG": self.log, "SHS_FAULTS_WHEN": when,
                "ASAN_OPTIONS": (options + ":" if options else "") + "verify_asan_link_order=0"}

    def calls(self):
        with open(self.log) as file:
            return file.read().splitlines()


class Variant:
    """How a server is reached and how it serves."""

    def __init__(self, tls, threading):
        self.tls, self.threading = tls, threading
        self.name = "%s, %s" % ("TLS" if tls else "plain", threading)

    def server(self, *arguments, **keywords):
        arguments = ("--log", "none", "--log-level", "info", "--threading", self.threading) + arguments
        return shslib.Server(*(arguments if self.tls else ("--plain",) + arguments), **keywords)

    def Site(self, *arguments, fill=None, **keywords):
        return Site(self, *arguments, fill=fill, **keywords)


class Site:
    """A server of its own directory: `server`, `path` (the directory), and what is around it, `top`."""

    def __init__(self, variant, *arguments, fill=None, **keywords):
        self.temp = shslib.temp_dir()
        self.top = self.temp.__enter__()
        self.path = self.top + "/site"
        try:
            os.mkdir(self.path)
            if fill is not None:
                fill(self.path)
            self.server = variant.server(*arguments, self.path, **keywords)
            if "SHS_FAULTS_WHEN" in keywords.get("env", ()):
                shslib.write_file(keywords["env"]["SHS_FAULTS_WHEN"], "")
        except BaseException:
            self.temp.__exit__(None, None, None)
            raise

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *error):
        try:
            return self.server.__exit__(*error)
        finally:
            self.temp.__exit__(None, None, None)

    def write(self, name, data, mtime_ns=None):
        shslib.write_file(self.path + "/" + name, data)
        if mtime_ns is not None:
            os.utime(self.path + "/" + name, ns=(mtime_ns, mtime_ns))

    def read(self, name):
        with open(self.path + "/" + name, "rb") as file:
            return file.read()

    def get(self, path, **fields):
        return self.request("GET", path, **fields)

    def request(self, method, path, body=None, seconds=10, **fields):
        """Fields as keywords: If_Match='...'. Status, fields, body."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return self.server.request(method, path, body=body, headers=headers, seconds=seconds)

    def names(self, directory=""):
        return sorted(os.listdir(self.path + "/" + directory))


def form(files, boundary="xYzZY", content_type=None):
    """The body of a form with these files, and its Content-Type."""
    body = b""
    for name, data in files:
        body += (b"--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s\"\r\n"
                 b"Content-Type: application/octet-stream\r\n\r\n" % (boundary.encode(), name.encode()))
        body += data + b"\r\n"
    body += b"--%s--\r\n" % boundary.encode()
    return body, content_type or "multipart/form-data; boundary=" + boundary


def heavy(test):
    """Marks a test that takes seconds: it is a row over plain HTTP under the pool, and over TLS with threads."""
    test.heavy = True
    return test


def run_rows(threading, tests):
    named = []
    for tls in (False, True):
        for test in tests:
            few = getattr(test, "heavy", False) or shslib.SANITIZE
            if few and tls != (threading == "thread"):
                continue
            variant = Variant(tls, threading)
            run = functools.partial(test, variant)
            run.__name__ = "%s (%s)" % (test.__name__, variant.name)
            named.append(run)
    try:
        shslib.each(*named)
    except shslib.Failure:
        return 1
    return 0


def rows(*tests):
    """Runs each test for each variant, both kinds of threading at the same time; at the end exits, as shslib.main."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 2
        try:
            code = run_rows("thread", tests)
            sys.stdout.flush()
        finally:
            os._exit(code)
    code = run_rows("pool", tests)
    _, status = os.waitpid(child, 0)
    sys.exit(code or (1 if status != 0 else 0))


def without_sanitizer(what):
    """True where an address space can be bounded; else says that the row is left out, and why."""
    if shslib.SANITIZE:
        print("       left out under a sanitizer, which needs address space: " + what)
    return not shslib.SANITIZE


def need(tool):
    return shutil.which(tool) is not None
