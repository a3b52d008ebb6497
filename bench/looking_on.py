#!/usr/bin/env python3
"""What an access log and an admin plane with metrics add to a small request of `shs serve`.

    python3 bench/looking_on.py [--build build/release] [--rounds 5] [--seconds 1]
    python3 bench/looking_on.py --instructions [--plain]

Builds nothing: shs and load_client are there after `bash bench/run.sh` or
`ninja -C build/release shs load_client`. Server CPU of a request on one of 64 kept TLS connections, a file of
13 bytes, all threads counted, the log's writer as well; the variants are loaded in turns, and a first
round is thrown away. The log goes to a file, which must have a line for each request then; those
that were under way at the end are not counted by the load.

With --instructions: those in user space of a request on one kept connection, by callgrind, which the
machine's load does not change: two lives of the server, 20 requests and 220, and their difference.
The handler is echo there, for valgrind 3.19 has no openat2.
"""
import argparse
import os
import re
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

LOG = ["--log", "combined"]
NO_LOG = ["--log", "none"]
PATIENCE_S = 60
CLIENTS = 64


def admin(work):
    return ["--health", "127.0.0.1:0", "--admin", f"unix:{work}/admin.sock"]


def variants(work):
    return {"neither": NO_LOG, "access log": LOG, "admin plane": NO_LOG + admin(work + "/1"),
            "both": LOG + admin(work + "/2")}


class Server:
    """shs serve with a log in a file, and the port it says."""

    def __init__(self, work, command, options):
        self.log = tempfile.mktemp(dir=work)
        with open(self.log, "w", encoding="utf-8") as log:
            self.proc = subprocess.Popen([*command, "serve", "--port", "0", *options],
                                         stdout=subprocess.PIPE, stderr=log, text=True,
                                         env=dict(os.environ, XDG_STATE_HOME=work + "/state"))
        said = re.search(r"port (\d+)", self.proc.stdout.readline())
        if said is None:
            self.proc.wait(PATIENCE_S)
            with open(self.log, encoding="utf-8") as log:
                sys.exit("looking_on: the server does not start: " + log.read())
        self.port = int(said.group(1))

    def cpu_us(self):
        total = 0
        for thread in os.listdir(f"/proc/{self.proc.pid}/task"):
            with open(f"/proc/{self.proc.pid}/task/{thread}/schedstat", encoding="ascii") as stat:
                total += int(stat.read().split()[0])
        return total / 1000

    def stop(self):
        self.proc.terminate()
        self.proc.wait(PATIENCE_S)

    def lines(self):
        with open(self.log, encoding="utf-8") as log:
            return sum(1 for line in log if '"GET /' in line)


def load(server, client, seconds):
    """(CPU of a request in us, requests)"""
    proc = subprocess.Popen([client, "load", str(server.port), "/f", str(seconds), str(CLIENTS), "1",
                             "tls"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if not proc.stdout.readline().startswith("ready"):
        sys.exit("looking_on: the load does not begin")
    before = server.cpu_us()
    proc.stdin.write("\n")
    proc.stdin.flush()
    requests, errors = proc.stdout.readline().split()[:2]
    after = server.cpu_us()
    proc.wait(PATIENCE_S)
    if errors != "0":
        sys.exit(f"looking_on: {errors} answers were wrong")
    return (after - before) / int(requests), int(requests) + CLIENTS


def measure_cpu(args, work):
    servers, cpu, asked = {}, {}, {}
    os.mkdir(work + "/www")
    with open(work + "/www/f", "w", encoding="ascii") as file:
        file.write("Hello, world\n")
    for name, options in variants(work).items():
        servers[name] = Server(work, [args.build + "/shs"],
                               [*options, "--max-requests", str(2**32 - 1), work + "/www"])
        cpu[name], asked[name] = [], 0
    for turn in range(args.rounds + 1):
        for name in list(servers)[::1 if turn % 2 == 0 else -1]:
            cost, count = load(servers[name], args.build + "/bench/load_client", args.seconds)
            asked[name] += count
            if turn > 0:
                cpu[name].append(cost)
    for name, server in servers.items():
        server.stop()
        if "none" not in variants(work)[name] and \
                not 0 <= server.lines() - asked[name] <= CLIENTS * (args.rounds + 1):
            sys.exit(f"looking_on: {server.lines()} lines for {asked[name]} requests")
    print("| | us of CPU | beside neither |\n| --- | ---: | ---: |")
    for name, costs in cpu.items():
        ratio = statistics.median(x / y for x, y in zip(costs, cpu["neither"]))
        print(f"| {name} | {statistics.median(costs):.2f} | {ratio:.3f} |")


def ask(port, count, plain):
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    if not plain:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(sock, server_hostname="localhost")
    for _ in range(count):
        sock.sendall(b"GET /f HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n")
        got = b""
        while b"\r\n\r\n" not in got:
            got += sock.recv(65536)
        head, body = got.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
        while len(body) < length:
            body += sock.recv(65536)
    sock.close()


def instructions(args, work, options, count):
    out = work + "/callgrind.out"
    server = Server(work, ["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=" + out,
                           args.build + "/shs"],
                    ["--handler", "echo", "--threads", "1", "--no-sandbox",
                     *(["--plain"] if args.plain else []), *options])
    ask(server.port, count, args.plain)
    server.stop()
    with open(out, encoding="utf-8") as text:
        return int(re.search(r"^(?:summary|totals): (\d+)", text.read(), re.M).group(1))


def count_instructions(args, work):
    base = None
    print("| | instructions | beside neither |\n| --- | ---: | ---: |")
    for name, options in variants(work).items():
        few, many = (instructions(args, work, options, count) for count in (20, 220))
        each = (many - few) / 200
        base = base or each
        print(f"| {name} | {each:.0f} | {each - base:+.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--plain", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shs-bench.") as work:
        os.mkdir(work + "/1")
        os.mkdir(work + "/2")
        (count_instructions if args.instructions else measure_cpu)(args, work)
    return 0


if __name__ == "__main__":
    start = time.monotonic()
    code = main()
    print(f"\n{time.monotonic() - start:.0f} s", file=sys.stderr)
    sys.exit(code)
