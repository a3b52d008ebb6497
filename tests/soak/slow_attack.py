#!/usr/bin/env python3
"""slow_attack.py - thousands of clients that want to hold the server, and one that wants an answer.

    SHS_BIN=build/release/shs python3 tests/soak/slow_attack.py [--tls] [--scale 0.1]
        [--threading pool] [--deadline 10]

At once: 5,000 clients whose head never ends (a byte now and then), 1,000 whose body never ends, 1,000
that ask for a large file and do not read, 1,000 that never say anything. Meanwhile an ordinary client
asks for a page fifty times a second. Demanded: the p99 of its answers is below 50 ms, all of them are
right, and every attacker is gone by its deadline and one second. The attackers are attack.c. Needs an
open-file limit of 20,000.
With TLS all but the silent ones finish their handshake first, which takes a while: the deadline has to
be longer than that, or the first are gone before the last are there. Not part of ctest: it takes half
a minute and both cores.
"""

import argparse
import http.client
import multiprocessing
import os
import resource
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import shslib  # noqa: E402
from shslib import equal  # noqa: E402

NUMBERS = (("head", 5000), ("silent", 1000), ("body", 1000), ("deaf", 1000))


def ordinary(port, ca, stop, results):
    """Fifty requests a second on one connection: latencies in seconds, and what was wrong."""
    if ca:
        context = ssl.create_default_context(cafile=ca)
        client = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
    else:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    latencies, wrong = [], 0  # (when, how long)
    while not stop.is_set():
        began = time.monotonic()
        try:
            client.request("GET", "/page.txt")
            wrong += client.getresponse().read() != b"hello\n"
        except OSError:
            wrong += 1
            client.close()
        took = time.monotonic() - began
        latencies.append((began, took))
        time.sleep(max(0.0, 0.02 - took))
    results.put((latencies, wrong))


def established(port):
    """How many connections the server has that are not at their end, as the kernel says."""
    count = 0
    with open("/proc/net/tcp") as file:
        next(file)
        for line in file:
            fields = line.split()
            count += int(fields[1].split(":")[1], 16) == port and fields[3] == "01"
    return count


def build(top):
    program = os.path.join(top, "attack")
    code, _, err = shslib.run(os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra",
                              "-Werror", "-o", program,
                              os.path.join(os.path.dirname(os.path.abspath(__file__)), "attack.c"), "-lssl", "-lcrypto")
    equal(code, 0, "building the attackers: " + err)
    return program


def attack(program, server, options):
    """When all were there, and (kind, seconds until it was gone or None) of each attacker."""
    numbers = [str(int(number * options.scale)) for _, number in NUMBERS]
    began = time.monotonic()
    with shslib.Process([program, str(server.port), str(int(options.tls)), str(options.deadline)] + numbers) as attackers:
        connected = attackers.wait_stdout(r"^connected (\d+)$", 300)
        print("%s attackers connected in %.1f s; open at once: %d, resident: %d KiB" % (
            connected.group(1), time.monotonic() - began, established(server.port), server.resident_kib()))
        all_there = time.monotonic()
        attackers.wait(options.deadline * 3 + 60)
        lines = [line.split() for line in attackers.stdout.splitlines()]
    return all_there, [(kind, None if gone == "-" else float(gone)) for kind, gone in lines if kind != "connected"]


def report(attackers, connected, latencies, wrong, deadline):
    ok = True
    for kind, _ in NUMBERS:
        ours = [a for a in attackers if a[0] == kind]
        stayed = [a for a in ours if a[1] is None]
        times = sorted(a[1] for a in ours if a[1] is not None) or [0]
        print("%-6s %5d, gone after %.2f to %.2f s (deadline %.0f), still there: %d" % (
            kind, len(ours), times[0], times[-1], deadline, len(stayed)))
        ok &= not stayed and times[-1] <= deadline + 1
    p99 = 0.0
    for phase, some in (("while they connect", [took for when, took in latencies if when < connected]),
                        ("while they hold", [took for when, took in latencies if when >= connected]),
                        ("all together", [took for _, took in latencies])):
        some.sort()
        if some:
            p50, p99 = (some[int(len(some) * q)] * 1000 for q in (0.5, 0.99))
            print("ordinary client, %s: %d requests, p50 %.2f ms, p99 %.2f ms, worst %.2f ms" % (
                phase, len(some), p50, p99, some[-1] * 1000))
    print("wrong answers: %d" % wrong)
    return ok and wrong == 0 and p99 < 50


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--threading", default="pool")
    parser.add_argument("--deadline", type=float, help="of head, body and write: 10 s, with TLS 20")
    options = parser.parse_args()
    options.deadline = options.deadline or (20.0 if options.tls else 10.0)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ms = str(int(options.deadline * 1000))
    with shslib.temp_dir() as site, shslib.temp_dir() as top:
        program = build(top)
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
            connected, attackers = attack(program, server, options)
            stop.set()
            latencies, wrong = results.get(timeout=30)
            client.join(30)
            ok = report(attackers, connected, latencies, wrong, options.deadline)
    print("passed" if ok else "FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
