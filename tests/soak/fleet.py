"""Three servers behind HAProxy, started again under load, and one of them killed.

    SHS_BIN=build/release/shs python3 tests/soak/fleet.py [--restarts 1000] [--seconds 600] [--clients 4]

HAProxy speaks HTTP to its clients and TLS with PROXY v2 to three `shs serve --hand-over` that share a ticket secret;
it asks each for /readyz. While clients send GET and POST without a pause, one server after the other hands over to a
new process (SIGUSR2), --restarts times in all or until --seconds are over. Then one of them is killed with SIGKILL, and
comes again, three times. Counted are requests that got no 200. A POST that was under way in the killed server may fail:
whoever sent it does not know whether it was done. That it is not sent twice is seen in the access logs: each POST has a
number, and no number is there twice. (A killed process may not have written its last lines.)
"""

import argparse
import collections
import http.client
import os
import re
import secrets
import shutil
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import shslib  # noqa: E402
from shslib import check  # noqa: E402

HAPROXY = """
global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response response-timeout
frontend web
    bind unix@{socket}
    http-request disable-l7-retry if METH_POST
    default_backend servers
backend servers
    balance roundrobin
    option httpchk GET /readyz
    default-server inter 500ms fall 1 rise 1 send-proxy-v2 ssl verify required ca-file {ca} verifyhost localhost
{servers}
"""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = shslib.socket.socket(shslib.socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client(threading.Thread):
    def __init__(self, path, number):
        super().__init__(daemon=True)
        self.path, self.number = path, number
        self.count, self.failed, self.stop = collections.Counter(), [], threading.Event()

    def run(self):
        connection, n = None, 0
        while not self.stop.is_set():
            n += 1
            method = "POST" if n % 5 == 0 else "GET"
            try:
                connection = connection or UnixConnection(self.path)
                connection.request(method, "/?n=%d-%d" % (self.number, n), body=b"x" if method == "POST" else None)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200 or not body:
                    self.failed.append((method, answer.status))
                if answer.will_close:
                    connection.close()
                    connection = None
            except Exception as error:  # whatever it is, the request was lost
                self.failed.append((method, repr(error)))
                connection = None
            self.count[method] += 1


class Member:
    """One of the three: its process changes, its port does not."""

    def __init__(self, top, number, arguments):
        self.pid_file, self.log = "%s/pid%d" % (top, number), "%s/log%d" % (top, number)
        self.arguments = arguments + ["--pid-file", self.pid_file, "--log-file", self.log]
        self.port, self.servers = None, []
        self.start()

    def start(self):
        port = ["--port", str(self.port or 0)]
        self.servers.append(shslib.Server(*self.arguments, *port))
        self.port = self.servers[-1].port

    def pid(self):
        with open(self.pid_file) as file:
            return int(file.read() or 0)

    def hand_over(self):
        old = self.pid()
        os.kill(old, signal.SIGUSR2)
        shslib.wait_until(lambda: self.pid() not in (0, old), 60, "the new process")
        shslib.wait_until(lambda: gone(old), 60, "the old process to end")

    def kill(self):
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        shslib.wait_until(lambda: gone(pid), 60, "the killed process to be gone")

    def close(self):
        pid = self.pid()
        os.kill(pid, signal.SIGTERM)
        shslib.wait_until(lambda: gone(pid), 60, "the last process to end")
        for server in self.servers:
            server.close()


def gone(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def run(clients, work):
    """Under load: the requests that were made by method, and those that failed."""
    for client in clients:
        client.start()
    try:
        result = work()
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(90)
    return result, sum((client.count for client in clients), collections.Counter()), [f for c in clients for f in c.failed]


def restarts(members, count, seconds):
    end, done = time.monotonic() + seconds, 0
    while done < count and time.monotonic() < end:
        members[done % len(members)].hand_over()
        done += 1
    return done


def kills(members):
    for member in members:
        time.sleep(1)  # load between two of them
        member.kill()
        time.sleep(1)
        member.start()
    time.sleep(1)


def sent_twice(members):
    seen = collections.Counter()
    for member in members:
        with open(member.log) as file:
            seen.update(re.findall(r'"POST /\?n=(\d+-\d+) ', file.read()))
    check(seen, "the logs have no POST")
    return [number for number, times in seen.items() if times > 1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--restarts", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=4)
    o = parser.parse_args()
    check(shutil.which("haproxy"), "haproxy is not installed")
    with shslib.temp_dir() as top:
        code, out, err = shslib.run(shslib.BIN, "cert", "new", "localhost", "--dir", top)
        check(code == 0, out + err)
        shslib.write_file(top + "/tickets", secrets.token_bytes(48))
        os.chmod(top + "/tickets", 0o600)
        arguments = ["--cert", top + "/localhost.pem", "--key", top + "/localhost.key", "--handler", "echo", "--hand-over",
                     "--proxy-protocol", "127.0.0.0/8", "--ticket-secret", top + "/tickets", "--log", "common"]
        members = [Member(top, number, arguments) for number in range(3)]
        lines = "".join("    server s%d 127.0.0.1:%d check\n" % (n, m.port) for n, m in enumerate(members))
        web = top + "/web"
        shslib.write_file(top + "/haproxy.cfg", HAPROXY.format(socket=web, ca=top + "/ca.pem", servers=lines).encode())
        with shslib.Process(["haproxy", "-db", "-f", top + "/haproxy.cfg"], expect_exit=-signal.SIGTERM) as haproxy:
            shslib.wait_until(lambda: os.path.exists(web), 20, "haproxy's socket\n" + haproxy.report())
            done, count, failed = run([Client(web, n) for n in range(o.clients)], lambda: restarts(members, o.restarts, o.seconds))
            print("%d restarts under %d GET and %d POST: %d lost" % (done, count["GET"], count["POST"], len(failed)), failed[:5])
            _, count, broken = run([Client(web, 100 + n) for n in range(o.clients)], lambda: kills(members))
            get = [f for f in broken if f[0] == "GET"]
            print("3 killed under %d GET and %d POST: %d GET and %d POST got no answer"
                  % (count["GET"], count["POST"], len(get), len(broken) - len(get)), broken[:5])
        for member in members:
            member.close()
        twice = sent_twice(members)
        print("POST done twice: %d" % len(twice), twice[:5])
    good = done > 0 and not failed and not get and not twice
    print("passed" if good else "FAILED")
    return 0 if good else 1


sys.exit(main())
