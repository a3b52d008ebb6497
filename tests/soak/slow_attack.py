#!/usr/bin/env python3
"""slow_attack.py - thousands of clients that want to hold the server, and one that wants an answer.

    SHS_BIN=build/release/shs python3 tests/soak/slow_attack.py [--tls] [--scale 0.1] [--threading pool]

At once: 5,000 clients whose head never ends (a byte now and then), 1,000 whose body never ends, 1,000
that ask for a large file and do not read, 1,000 that never say anything. Meanwhile an ordinary client
asks for a page fifty times a second. Demanded: the p99 of its answers is below 50 ms, all of them are
right, and every attacker is gone by its deadline and one second. Needs an open-file limit of 20,000.
Not part of ctest: it takes half a minute and both cores.
"""

import argparse
import multiprocessing
import os
import resource
import select
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import shslib  # noqa: E402

DEADLINE = 10.0  # of head, body and write, in seconds
PAUSE = 2.0      # between two bytes of an attacker


def ordinary(port, ca, stop, results):
    """Fifty requests a second on one connection: latencies in seconds, and what was wrong."""
    import http.client
    import ssl
    if ca:
        context = ssl.create_default_context(cafile=ca)
        client = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
    else:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    latencies, wrong = [], 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            client.request("GET", "/page.txt")
            wrong += client.getresponse().read() != b"hello\n"
        except OSError:
            wrong += 1
            client.close()
        latencies.append(time.monotonic() - began)
        time.sleep(max(0.0, 0.02 - latencies[-1]))
    results.put((latencies, wrong))


class Attacker:
    def __init__(self, kind, address, context):
        self.kind, self.gone = kind, None
        self.sock = socket.socket()
        if kind == "deaf":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.began = time.monotonic()
        self.sock.connect(address)
        if context and kind != "silent":
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        first = {"head": b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
                 "body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n",
                 "deaf": b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n", "silent": b""}[kind]
        # The deadlines run from here: a handshake of thousands takes its time in this program.
        self.began = time.monotonic() if context else self.began
        if first:
            self.sock.sendall(first)
        self.sock.setblocking(False)
        self.next = self.began + PAUSE

    def drip(self, now):
        if self.kind in ("head", "body") and now >= self.next:
            self.next = now + PAUSE
            try:
                self.sock.send(b"x")
            except BlockingIOError:
                pass
            except OSError:
                self.gone = now


def established(port):
    """How many connections the server has that are not at their end, as the kernel says."""
    count = 0
    with open("/proc/net/tcp") as file:
        next(file)
        for line in file:
            fields = line.split()
            count += int(fields[1].split(":")[1], 16) == port and fields[3] == "01"
    return count


def attack(server, scale, context):
    numbers = {"head": 5000, "silent": 1000, "body": 1000, "deaf": 1000}
    attackers, by_fd, poll = [], {}, select.epoll()
    for kind, number in numbers.items():
        for _ in range(int(number * scale)):
            attacker = Attacker(kind, (server.address, server.port), context)
            attackers.append(attacker)
            by_fd[attacker.sock.fileno()] = attacker
            # Who does not read sees the end by the kernel's word for it (HUP), not by reading.
            poll.register(attacker.sock.fileno(),
                          (0 if kind == "deaf" else select.EPOLLIN) | select.EPOLLRDHUP)
    print("%d attackers connected in %.1f s" % (len(attackers),
                                                time.monotonic() - attackers[0].began))
    most_open = established(server.port)
    most_rss = server.resident_kib()
    end = time.monotonic() + DEADLINE * 3
    left = list(attackers)
    while left and time.monotonic() < end:
        for fd, event in poll.poll(0.02):
            attacker = by_fd[fd]
            if event & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
                attacker.gone = time.monotonic()
                poll.unregister(fd)
            elif event & select.EPOLLIN:
                try:
                    if attacker.sock.recv(65536) == b"":
                        attacker.gone = time.monotonic()
                        poll.unregister(fd)
                except (BlockingIOError, OSError):
                    pass
        now = time.monotonic()
        for attacker in left:
            attacker.drip(now)
        left = [attacker for attacker in left if attacker.gone is None]
    print("open at once: %d, resident: %d KiB" % (most_open, most_rss))
    return attackers


def report(attackers, latencies, wrong, server):
    ok = True
    for kind in ("head", "silent", "body", "deaf"):
        ours = [a for a in attackers if a.kind == kind]
        stayed = [a for a in ours if a.gone is None]
        times = sorted(a.gone - a.began for a in ours if a.gone is not None) or [0]
        print("%-6s %5d, gone after %.2f to %.2f s (deadline %.0f), still there: %d" % (
            kind, len(ours), times[0], times[-1], DEADLINE, len(stayed)))
        ok &= not stayed and times[-1] <= DEADLINE + 1
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * q)] * 1000 for q in (0.5, 0.99))
    print("ordinary client: %d requests, %d wrong, p50 %.2f ms, p99 %.2f ms, worst %.2f ms" % (
        len(latencies), wrong, p50, p99, latencies[-1] * 1000))
    return ok and wrong == 0 and p99 < 50


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--threading", default="pool")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ms = str(int(DEADLINE * 1000))
    with shslib.temp_dir() as site:
        shslib.write_file(site + "/page.txt", "hello\n")
        with open(site + "/large.bin", "wb") as file:
            file.truncate(64 << 20)
        arguments = ["--log", "none", "--log-level", "error", "--threading", options.threading,
                     "--head-timeout", ms, "--body-timeout", ms, "--write-timeout", ms,
                     "--handshake-timeout", ms, "--max-connections", "20000"]
        with shslib.Server(*arguments, *([] if options.tls else ["--plain"]), site) as server:
            stop, results = multiprocessing.Event(), multiprocessing.Queue()
            client = multiprocessing.Process(target=ordinary, args=(server.port, server.ca, stop, results))
            client.start()
            context = server.tls_context() if options.tls else None
            attackers = attack(server, options.scale, context)
            stop.set()
            latencies, wrong = results.get(timeout=30)
            client.join(30)
            ok = report(attackers, latencies, wrong, server)
            for attacker in attackers:
                attacker.sock.close()
    print("passed" if ok else "FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
