#!/usr/bin/env python3
"""admin_plane.py - what the admin plane tells, and costs, while a server is held by thousands.

    SHS_BIN=build/release/shs python3 tests/soak/admin_plane.py [--number 1000] [--deadline 20] [hold] [rate]

hold: 1,000 clients that connect and say nothing, 1,000 that have made their handshake and send a byte of
a head each second, 1,000 that have had an answer and are idle. GET connections shows each of them; at no
sample is one past its deadline by more than a second; /livez, at the probes' port and at the admin
plane's socket, answers in under 200 ms all the while.

rate: an ordinary client asks for a page 200 times a second; in turns without, and with, a thousand requests
a second of one identity at the admin plane. These are 429 with Retry-After beyond their rate, and the
p99 of the ordinary client's answers stays within 10 % (the medians of the turns), and half a millisecond.

Wants a release build, a machine that does nothing else, and an open-file limit of 10,000.
"""

import argparse
import collections
import contextlib
import http.client
import multiprocessing
import os
import resource
import selectors
import socket
import ssl
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import shslib  # noqa: E402
from adminlib import PREFIX, Admin, UnixConnection  # noqa: E402
from shslib import equal  # noqa: E402


def livez(address):
    """How long one answer takes, on a connection of its own."""
    began = time.monotonic()
    connection = UnixConnection(address, 20) if isinstance(address, str) else http.client.HTTPConnection(*address, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/livez")
        equal(connection.getresponse().status, 200)
    return time.monotonic() - began


def hold(port, ca, number, pipe, seconds):
    """The clients, in a process of their own. Each stays until the server ends it."""
    context = ssl.create_default_context(cafile=ca)
    waiting, dripping, over = selectors.DefaultSelector(), [], 0

    def client(tls):
        sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        return context.wrap_socket(sock, server_hostname="localhost") if tls else sock

    for kind in ("idle", "dripping", "silent"):
        for _ in range(number):
            sock = client(kind != "silent")
            if kind == "idle":
                sock.sendall(b"GET /page.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while not sock.recv(65536).endswith(b"hello\n"):
                    pass
            elif kind == "dripping":
                sock.sendall(b"GET / HTTP/1.1\r\nX: ")
                dripping.append(sock)
            sock.setblocking(False)
            waiting.register(sock, selectors.EVENT_READ)
    pipe.send("all there")
    end, tick = time.monotonic() + seconds, time.monotonic()
    while over < 3 * number and time.monotonic() < end:
        for key, _ in waiting.select(0.2):
            try:
                if key.fileobj.recv(65536):
                    continue
            except ssl.SSLWantReadError:
                continue
            except OSError:
                pass
            waiting.unregister(key.fileobj)
            key.fileobj.close()
            over += 1
        if time.monotonic() >= tick:
            tick += 1
            for sock in dripping:
                with contextlib.suppress(OSError, ValueError):
                    sock.send(b"a")
    pipe.send(over)


def test_hold(options):
    ms = str(int(options.deadline * 1000))
    with shslib.temp_dir() as home, shslib.temp_dir() as site:
        shslib.write_file(site + "/page.txt", "hello\n")
        many = str(4 * options.number + 100)
        with Admin("--log", "none", "--log-level", "error", "--health", "0", "--drain-grace", "100", "--handshake-timeout", ms,
                   "--head-timeout", ms, "--idle-timeout", ms, "--max-connections", many, "--max-connections-per-address", many,
                   "--backlog", "4096", "--admin-rate", "100000", site, home=home) as server:
            inside = int(server.wait_stdout(r"(?s)\nServing HTTP on 127\.0\.0\.1 port (\d+)").group(1))
            ours, theirs = multiprocessing.Pipe()
            clients = multiprocessing.Process(target=hold, args=(server.port, server.ca, options.number, theirs,
                                                                 2 * options.deadline + 60))
            clients.start()
            worst, listing, latest, most, together = [0.0, 0.0], [], 0.0, collections.Counter(), False
            began, samples, gone = time.monotonic(), 0, None
            while gone is None and time.monotonic() - began < 300:
                for i, address in enumerate((server.socket, ("127.0.0.1", inside))):
                    worst[i] = max(worst[i], livez(address))
                at = time.monotonic()
                rows = server.ask("connections", seconds=60).json
                listing.append(time.monotonic() - at)
                states = collections.Counter(row["state"] for row in rows)
                for state, count in states.items():
                    most[state] = max(most[state], count)
                # a thread that has a connection is at it: its deadline is that of its next wait
                late = [-row["deadline_in_s"] for row in rows if row["deadline_in_s"] is not None and row["state"] != "running"]
                latest = max([latest] + late)
                samples += 1
                if ours.poll(0.1):
                    said = ours.recv()
                    if said == "all there":
                        rows = server.ask("connections", seconds=60).json
                        together = len(rows) == 3 * options.number
                        print("all there after %.1f s, and listed: %d, %s" % (
                            time.monotonic() - began, len(rows), dict(collections.Counter(row["state"] for row in rows))))
                    else:
                        gone = said
            clients.join(30)
            status = server.see("status")
    print("%d samples: at once at most %s; /livez at worst %.1f ms (socket), %.1f ms (probes); the list %.1f ms at worst, "
          "%.1f ms in the middle" % (samples, dict(most), 1000 * worst[0], 1000 * worst[1], 1000 * max(listing),
                                     1000 * statistics.median(listing)))
    print("ended by the server: %s of %d; the latest was seen %.2f s behind its deadline; timeouts counted: %d" % (
        gone, 3 * options.number, latest, status["connections"]["timeouts"]))
    return together and gone == 3 * options.number and latest <= 1 and max(worst) < 0.2


def ordinary(port, seconds):
    """Latencies of 200 requests a second on one connection."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    took, end, due = [], time.monotonic() + seconds, time.monotonic()
    while time.monotonic() < end:
        began = time.monotonic()
        client.request("GET", "/page.txt")
        equal(client.getresponse().read(), b"hello\n")
        took.append(time.monotonic() - began)
        due += 0.005
        time.sleep(max(0.0, due - time.monotonic()))
    client.close()
    return sorted(took)


def press(path, stop, results):
    """A thousand requests a second of one identity, on one connection."""
    statuses, later, due = collections.Counter(), 0, time.monotonic()
    connection = UnixConnection(path, 20)
    began = time.monotonic()
    while not stop.is_set():
        connection.request("GET", PREFIX + "/whoami")
        answer = connection.getresponse()
        answer.read()
        statuses[answer.status] += 1
        later += answer.status == 429 and int(answer.headers["Retry-After"]) >= 1
        due += 0.001
        time.sleep(max(0.0, due - time.monotonic()))
    results.put((dict(statuses), later, time.monotonic() - began))


def test_rate(options):
    quiet, pressed, ok = [], [], True
    with shslib.temp_dir() as home, shslib.temp_dir() as site:
        shslib.write_file(site + "/page.txt", "hello\n")
        with Admin("--plain", "--log", "none", site, home=home) as server:
            for _ in range(options.turns):
                quiet.append(ordinary(server.port, options.seconds))
                stop, results = multiprocessing.Event(), multiprocessing.Queue()
                client = multiprocessing.Process(target=press, args=(server.socket, stop, results))
                client.start()
                pressed.append(ordinary(server.port, options.seconds))
                stop.set()
                statuses, later, took = results.get(timeout=30)
                client.join(30)
                print("pressed with %.0f requests a second: %s, with Retry-After %d" % (
                    sum(statuses.values()) / took, statuses, later))
                ok &= later > 0 and later == statuses.get(429)
    before, after = (statistics.median(turn[int(len(turn) * 0.99)] for turn in turns) * 1000 for turns in (quiet, pressed))
    print("ordinary client: p99 %.3f ms without, %.3f ms with it (%+.0f %%); p50 %.3f and %.3f ms" % (
        before, after, 100 * (after / before - 1),
        *(statistics.median(turn[len(turn) // 2] for turn in turns) * 1000 for turns in (quiet, pressed))))
    return ok and after <= max(1.1 * before, before + 0.5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", type=int, default=1000, help="of each kind")
    parser.add_argument("--deadline", type=float, default=20, help="of handshake, head and idleness, in seconds")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each turn")
    parser.add_argument("what", nargs="*", default=["hold", "rate"])
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ok = True
    for name in options.what:
        ok &= {"hold": test_hold, "rate": test_rate}[name](options)
    print("passed" if ok else "FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
