#!/usr/bin/env python3
"""The commands of README.md and docs/*.md, run as they stand.

A fenced block of a document says behind its "```sh" what it is:

  run         run here, by bash -eu, in the order of the document, in a directory of the document's own
  server      one `shs serve`: it goes on until the document ends, and must then stop with 0; or a program that
              the document compiled, on port 8443
  skip=WHY    not run, and why

There is no fourth kind. What is run is an installation of this build below a temporary directory, found as
users find theirs (PATH, PKG_CONFIG_PATH). Two things differ from a terminal: a server gets a free port, which
takes the place of 8443 in what follows, and a block's own `shs serve` gets its Ctrl-C when it listens.
A program of the document has the port 8443 that its text says: all runs in a network of its own, or, where that is
not allowed, such a program is left out.

Once is enough: in release builds. By hand, for what is installed already (packaging/check_packages.sh):

  tests/integration/test_documents.py --installed PREFIX [--user NUMBER] [DOCUMENT...]
"""

import argparse

import contextlib
import fcntl
import glob
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

SOURCE = os.environ.get("SHS_SOURCE_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.environ.get("SHS_BUILD_DIR", "")
LIMIT = 120
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.M | re.S)


def is_release():
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
        return "CMAKE_BUILD_TYPE:STRING=Release\n" in cache.read()


def documents():
    return [os.path.join(SOURCE, "README.md")] + sorted(glob.glob(os.path.join(SOURCE, "docs", "*.md")))


def blocks(path):
    """(first line's number, language, what it is, text) of each fenced block."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for m in BLOCK.finditer(text):
        yield text.count("\n", 0, m.start()) + 1, m.group(1), m.group(2).strip(), m.group(3)


def install(prefix):
    subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, timeout=LIMIT,
                   stdout=subprocess.DEVNULL)


def environment(prefix, home):
    pc = [os.path.dirname(p) for p in glob.glob(os.path.join(prefix, "lib*", "**", "shs.pc"), recursive=True)]
    if len(pc) != 1:
        sys.exit(f"shs.pc is installed {len(pc)} times")
    bin_dir = os.path.join(home, "bin")
    os.makedirs(bin_dir, exist_ok=True)
    real = os.path.join(prefix, "bin", "shs")
    with open(os.path.join(bin_dir, "shs"), "w", encoding="utf-8") as f:
        f.write('#!/bin/sh\nif [ "$1" = serve ]; then exec "$PYTHON" "$DOCUMENTS_PY" --serve "$@"; fi\n'
                f'exec {real} "$@"\n')
    os.chmod(os.path.join(bin_dir, "shs"), 0o755)
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "SHS_"))}
    return {**keep, "HOME": home, "PATH": bin_dir + os.pathsep + os.environ["PATH"], "SHS_REAL": real,
            "PKG_CONFIG_PATH": pc[0], "LD_LIBRARY_PATH": os.path.dirname(pc[0]), "PYTHON": sys.executable,
            "DOCUMENTS_PY": os.path.abspath(__file__), "LC_ALL": "C.UTF-8"}


def start(args, **kw):
    """shs serve: the process, and its port. It listens, or it has ended."""
    server = subprocess.Popen(args + ([] if set(args) & {"--check", "--print-config", "--help"} else ["--port", "0"]),
                              stdout=subprocess.PIPE, text=True, **kw)
    said = []
    for line in server.stdout:
        said.append(line)
        found = re.match(r"Serving \S+ on \S+ port (\d+)", line)
        if found:
            return server, found.group(1), said
    return server, None, said


def serve_once(args):
    """What the command `shs serve` of a block is: it serves, and then comes Ctrl-C."""
    server, port, said = start([os.environ["SHS_REAL"], *args])
    sys.stdout.writelines(said)
    sys.stdout.flush()
    if port is not None:
        server.send_signal(signal.SIGINT)
    server.stdout.read()
    return server.wait(LIMIT)


def own_network(arguments):
    """Starts this script again in a network that nobody else is in, if it may. True inside."""
    if os.environ.get("DOCUMENTS_NETWORK") == "own":
        with socket.socket() as sock:  # the loopback interface is down in a new one: IFF_UP
            fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 1))
        return True
    way = ["unshare", "--net"] + ([] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"])
    if shutil.which("unshare") is None or subprocess.run([*way, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return False
    os.environ["DOCUMENTS_NETWORK"] = "own"
    os.execvp(way[0], [*way, sys.executable, os.path.abspath(__file__), *arguments])


def become(user):
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


class Document:
    own_network = False

    def __init__(self, path, prefix, stack):
        self.path, self.port, self.count, self.faults = os.path.relpath(path, SOURCE), None, 0, []
        self.dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="shs-doc-"))
        self.home = stack.enter_context(tempfile.TemporaryDirectory(prefix="shs-home-"))
        self.env = environment(prefix, self.home)
        self.servers, self.programs, self.left_out = [], [], False

    def fault(self, line, what):
        self.faults.append(f"{self.path}:{line}: {what}")

    def run(self, line, text):
        if self.port is not None:
            text = re.sub(r"\b8443\b", self.port, text)
        done = subprocess.run(["bash", "-eu", "-o", "pipefail", "-c", text], cwd=self.dir, env=self.env, timeout=LIMIT,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode != 0:
            self.fault(line, f"exit status {done.returncode}:\n{text}{done.stdout}")

    def serve(self, line, text):
        words = shlex.split(text.replace("\\\n", " "), comments=True)
        log = open(os.path.join(self.home, f"log{line}"), "w+", encoding="utf-8")
        server, port, _ = start([self.env["SHS_REAL"], *words[1:]], cwd=self.dir, env=self.env, stderr=log)
        self.servers.append((line, server, log))
        if port is None:
            log.seek(0)
            self.fault(line, f"this does not serve:\n{text}{log.read()}")
        self.port = port

    def program(self, line, text):
        """What the document has compiled, on port 8443."""
        if not Document.own_network:
            print(f"{self.path}:{line}: left out, no network of its own: {text.strip()}")
            return False
        log = open(os.path.join(self.home, f"log{line}"), "w+", encoding="utf-8")
        program = subprocess.Popen(shlex.split(text), cwd=self.dir, env=self.env, stdout=log, stderr=log)
        end = time.monotonic() + LIMIT
        while program.poll() is None and time.monotonic() < end:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("localhost", 8443)):
                break
            time.sleep(0.02)
        else:
            log.seek(0)
            self.fault(line, f"this does not serve on port 8443:\n{text}{log.read()}")
        self.programs.append((program, log))
        return True

    def block(self, line, language, what, text):
        if language == "c" and not os.path.exists(os.path.join(self.dir, "hello.c")):
            with open(os.path.join(self.dir, "hello.c"), "w", encoding="utf-8") as f:
                f.write(text)
        if language != "sh":
            return
        self.count += what in ("run", "server")
        if what == "run" and self.left_out:
            self.left_out = False  # what is asked of a program that does not run
        elif what == "run":
            self.run(line, text)
        elif what == "server" and text.startswith("shs "):
            self.serve(line, text)
        elif what == "server":
            self.left_out = not self.program(line, text)
        elif not re.fullmatch(r"skip=[\w-]+", what):
            self.fault(line, "a block of commands says run, server or skip=WHY behind ```sh")

    def end(self):
        for program, log in self.programs:
            program.terminate()
            program.wait(LIMIT)
            log.close()
        for line, server, log in self.servers:
            server.send_signal(signal.SIGINT)
            server.stdout.read()
            code = server.wait(LIMIT)
            log.seek(0)
            if code != 0:
                self.fault(line, f"stopped with {code}:\n{log.read()}")
            log.close()


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve_once(sys.argv[2:])
    options = argparse.ArgumentParser()
    options.add_argument("--installed", metavar="PREFIX")
    options.add_argument("--user", type=int, metavar="NUMBER")
    options.add_argument("documents", nargs="*", metavar="DOCUMENT")
    asked = options.parse_args()
    if not asked.installed and (os.environ.get("SHS_SANITIZE") or not is_release()):
        print("skipped: once is enough, in a release build")
        return 77
    if shutil.which("pkg-config") is None:
        print("skipped: there is no pkg-config")
        return 77
    Document.own_network = own_network(sys.argv[1:])
    if asked.user is not None:
        become(asked.user)
    faults = []
    with contextlib.ExitStack() as stack:
        prefix = asked.installed
        if not prefix:
            prefix = stack.enter_context(tempfile.TemporaryDirectory(prefix="shs-installed-"))
            install(prefix)
        for path in [os.path.join(SOURCE, name) for name in asked.documents] or documents():
            document = Document(path, prefix, stack)
            for block in blocks(path):
                document.block(*block)
            document.end()
            print(f"{document.path}: {document.count} blocks run")
            faults += document.faults
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
