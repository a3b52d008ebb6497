#!/usr/bin/env python3
"""Runs the installed shs.service as systemd would, where no systemd runs: in a fresh chroot.

  packaging/run_unit.py UNIT SOCKET

UNIT is the installed shs.service, SOCKET the installed shs.socket. The command line, the names of credentials and
directories, the watchdog and what the service may call are read from them, not repeated here. Imitated are:

  the socket      LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES; its port is one that is free
  credentials     /etc/shs/tls.crt and tls.key, copied into a folder that only the service reads
  DynamicUser     a user id that nobody has, no group, no capability, no way to get any
  StateDirectory  below /var/lib, and removed at the end as `systemctl clean` does
  the manager     NOTIFY_SOCKET: READY, WATCHDOG, RELOADING, STOPPING are waited for
  SystemCallFilter  every system call that the service made (strace) is one that the unit allows

What the kernel does for the unit (namespaces, read-only mounts) is not imitated.
Needs root, strace, util-linux and systemd-analyze. It writes to /etc/shs, /srv/www and /var/lib/shs.
"""

import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

USER = 61999  # of the range that systemd takes for DynamicUser
SECONDS = 60


def fail(text):
    sys.exit("run_unit: " + text)


def read_unit(path):
    """The settings of a unit file: name to list of values. An empty value takes away those before it."""
    settings = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if "=" not in line or line[0] in "#;[":
                continue
            name, value = line.rstrip("\n").split("=", 1)
            if value == "" and name.endswith(("Set", "Capabilities")):
                settings[name] = []
            else:
                settings.setdefault(name, []).append(value)
    return settings


def one(settings, name):
    values = settings.get(name, [])
    if len(values) != 1:
        fail("the unit has %d lines %s=" % (len(values), name))
    return values[0]


def command_line(text, environment):
    """As systemd: ${NAME} is part of a word, $NAME alone is as many words as it has."""
    words = []
    for word in text.split():
        if re.fullmatch(r"\$\w+", word):
            words += shlex.split(environment[word[1:]])
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda m: environment[m.group(1)], word))
    return words


def allowed_calls(settings):
    """What SystemCallFilter leaves, by systemd's own lists."""
    groups = {}
    done = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], check=True, stdout=subprocess.PIPE)
    for line in done.stdout.decode().splitlines():
        if line.startswith("@"):
            group = groups.setdefault(line.strip(), [])
        elif line.strip() and not line.strip().startswith("#"):
            group.append(line.strip())

    def expand(word):
        if not word.startswith("@"):
            return {word}
        if word not in groups:
            fail("systemd-analyze syscall-filter does not know " + word)
        return set().union(*map(expand, groups[word]))

    # Each list names groups too; systemd adds what every program needs to start.
    allowed = expand("@default")
    for line in settings["SystemCallFilter"]:
        for word in line.lstrip("~").split():
            allowed = allowed - expand(word) if line.startswith("~") else allowed | expand(word)
    return allowed


class Manager:
    def __init__(self, path):
        self.path, self.seen = path, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        os.chmod(path, 0o777)

    def wait(self, word):
        """Until a message has this line; those before it are forgotten."""
        end = time.monotonic() + SECONDS
        while True:
            for number, message in enumerate(self.seen):
                if word in message:
                    del self.seen[:number + 1]
                    return
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                self.seen.append(self.socket.recv(4096).decode().split("\n"))
            except socket.timeout:
                fail("the service did not say %s to NOTIFY_SOCKET in %d s" % (word, SECONDS))


class Unit:
    def __init__(self, unit, sockets, work):
        self.unit, self.work, self.pid, self.output = unit, work, None, None
        self.manager = Manager(work + "/notify")
        self.trace = work + "/trace"
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=int(one(sockets, "Backlog")))
        self.port = self.listener.getsockname()[1]
        self.state = "/var/lib/" + one(unit, "StateDirectory")
        os.makedirs(self.state, int(one(unit, "StateDirectoryMode"), 8))
        os.chown(self.state, USER, USER)
        self.credentials = work + "/credentials"
        os.mkdir(self.credentials)
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8", "USER": "shs", "LOGNAME": "shs",
            "HOME": "/", "SHELL": "/usr/sbin/nologin", "INVOCATION_ID": "0123456789abcdef0123456789abcdef",
            "NOTIFY_SOCKET": self.manager.path, "STATE_DIRECTORY": self.state, "CREDENTIALS_DIRECTORY": self.credentials,
            "WATCHDOG_USEC": str(int(one(unit, "WatchdogSec")) * 1000000), "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": one(sockets, "FileDescriptorName"),
        }
        for line in unit.get("Environment", []):
            name, value = line.split("=", 1)
            self.environment[name] = value

    def give_credentials(self):
        for line in self.unit["LoadCredential"]:
            name, source = line.split(":", 1)
            if not os.path.exists(source):
                fail("LoadCredential=%s: there is no %s" % (line, source))
            target = os.path.join(self.credentials, name)
            shutil.copy(source, target)
            os.chown(target, USER, USER)
            os.chmod(target, 0o400)
        os.chown(self.credentials, USER, USER)
        os.chmod(self.credentials, 0o500)

    def start(self, traced):
        """Forks, waits in the child until strace watches it, and becomes the command line of the unit."""
        words = command_line(one(self.unit, "ExecStart"), self.environment)
        rights = ["setpriv", "--reuid=%d" % USER, "--regid=%d" % USER, "--clear-groups", "--no-new-privs",
                  "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--"]
        ready, go = os.pipe()
        self.output = open(self.work + "/output", "w+b")
        self.pid = os.fork()
        if self.pid == 0:
            os.close(go)
            os.read(ready, 1)
            log = os.dup(self.output.fileno())
            os.dup2(self.listener.fileno(), 3)
            os.set_inheritable(3, True)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.closerange(4, 256)
            os.chdir("/")
            os.umask(int(one(self.unit, "UMask"), 8))
            # systemd sets these in the process that becomes the service: the program checks the number.
            os.execvpe("setpriv", rights + words, dict(self.environment, LISTEN_PID=str(os.getpid())))
        os.close(ready)
        self.tracer = None
        if traced:
            self.tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", self.trace, "-p", str(self.pid)])
            end = time.monotonic() + SECONDS
            while not self.is_traced():
                if time.monotonic() > end:
                    fail("strace does not trace")
                time.sleep(0.01)
        os.write(go, b"x")
        os.close(go)

    def is_traced(self):
        with open("/proc/%d/status" % self.pid, encoding="ascii") as status:
            return "TracerPid:\t0\n" not in status.read()

    def end(self):
        """Exit status, once it has ended; None after too long."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                if self.tracer:
                    self.tracer.wait(SECONDS)
                self.pid = None
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return None

    def said(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def get(self, path):
        context = ssl.create_default_context(cafile="/etc/shs/ca.pem")
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=SECONDS, context=context)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def check_rights(self):
        with open("/proc/%d/status" % self.pid, encoding="ascii") as lines:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
        wanted = {"Uid": "\t".join([str(USER)] * 4), "Groups": " ", "CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1",
                  "Seccomp": "2"}
        for name, value in wanted.items():
            if status.get(name, "").strip() != value.strip():
                fail("/proc/PID/status says %s: %s, not %s" % (name, status.get(name), value))

    def check_calls(self):
        allowed = allowed_calls(self.unit)
        made = set()
        with open(self.trace, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                match = re.match(r"\d+ +(\w+)\(", line)
                if match:
                    made.add(match.group(1))
        # What setpriv does before is systemd's own business.
        refused = made - allowed - {"setgroups", "setresuid", "setresgid", "capset", "prctl"}
        if len(made) < 30 or "accept4" not in made:
            fail("strace saw only %s" % sorted(made))
        if refused:
            fail("SystemCallFilter of the unit refuses what the service calls: " + " ".join(sorted(refused)))
        return len(made)


def serve(unit):
    unit.give_credentials()
    unit.start(traced=True)
    # systemd listens already: whoever comes before the service is ready waits and is served.
    early = []
    client = threading.Thread(target=lambda: early.append(unit.get("/a.txt")))
    client.start()
    unit.manager.wait("READY=1")
    client.join(SECONDS)
    if early != [(200, b"served\n")]:
        fail("a client that came before READY got %s" % early)
    unit.check_rights()
    unit.manager.wait("WATCHDOG=1")
    if one(unit.unit, "ExecReload") != "/bin/kill -HUP $MAINPID":
        fail("ExecReload is another")
    os.kill(unit.pid, signal.SIGHUP)
    unit.manager.wait("RELOADING=1")
    unit.manager.wait("READY=1")
    if unit.get("/a.txt") != (200, b"served\n") or unit.get("/none")[0] != 404:
        fail("it does not serve after the reload")
    os.kill(unit.pid, signal.SIGTERM)
    unit.manager.wait("STOPPING=1")
    status = unit.end()
    if status != 0:
        fail("it ended with %s on SIGTERM" % status)
    print("   serves: " + one(unit.unit, "ExecStart"))
    print("   said READY, WATCHDOG, RELOADING, READY, STOPPING; ended with 0 on SIGTERM")
    print("   made %d kinds of system calls, and the unit's SystemCallFilter allows them all" % unit.check_calls())


def missing_credentials(unit):
    unit.start(traced=False)
    status = unit.end()
    if status in (0, None) or unit.credentials + "/tls.crt" not in unit.said():
        fail("without credentials it ended with %s, and did not name tls.crt" % status)
    print("   without credentials: " + unit.said().strip().splitlines()[-1].replace(unit.credentials, "$CREDENTIALS_DIRECTORY"))


def main():
    if len(sys.argv) != 3 or os.geteuid() != 0:
        sys.exit(__doc__)
    unit, sockets = read_unit(sys.argv[1]), read_unit(sys.argv[2])
    for path in ("/etc/shs", "/srv/www/a.txt"):
        if os.path.exists(path):
            fail("%s exists: this is for a fresh system" % path)
    os.makedirs("/etc/shs")
    made = not os.path.exists("/srv/www")
    os.makedirs("/srv/www", exist_ok=True)
    with open("/srv/www/a.txt", "w", encoding="ascii") as file:
        file.write("served\n")
    subprocess.run(["shs", "cert", "new", "localhost", "--name", "tls", "--dir", "/etc/shs"], check=True,
                   stdout=subprocess.DEVNULL)
    os.rename("/etc/shs/tls.pem", "/etc/shs/tls.crt")
    for run in (missing_credentials, serve):
        with tempfile.TemporaryDirectory() as work:
            os.chmod(work, 0o755)
            started = Unit(unit, sockets, work)
            try:
                run(started)
            except BaseException:
                if started.output:
                    print(started.said(), file=sys.stderr)
                raise
            finally:
                if started.pid is not None:
                    os.kill(started.pid, signal.SIGKILL)
                shutil.rmtree(started.state)
    shutil.rmtree("/etc/shs")
    os.remove("/srv/www/a.txt")
    if made:
        os.rmdir("/srv/www")


main()
