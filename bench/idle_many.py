#!/usr/bin/env python3
"""idle_many.py - a hundred thousand idle TLS connections, and how soon one of them is answered.

    python3 bench/idle_many.py --build DIRECTORY [--count 100000] [--records direct libssl]

DIRECTORY has shs and bench/load_client (-DSHS_BUILD_BENCH=ON). For each way to keep records: a server
with two workers, COUNT connections with one request each, 127.0.0.0/8 as their sources; then what
the server holds (RSS, threads), and one request on each of them in turn. The limit of descriptors is
raised if that is allowed; else there are as many servers as COUNT needs, and the figures are of all.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time


def status(pid, key):
    with open("/proc/%d/status" % pid) as file:
        for line in file:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise KeyError(key)


def shares(count):
    """Of each server."""
    want = count + 1000
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, want))
        return [count]
    except (ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        servers = -(-count // (hard - 1000))
        return [count // servers] * servers


def serve(build, records, count, root):
    server = subprocess.Popen(
        [build + "/shs", "serve", "--port", "0", "--log", "none", "--idle-timeout", "3600000", "--max-requests", "1000000",
         "--max-connections", str(count + 1000), "--tls-records", records, root],
        stdout=subprocess.PIPE, text=True, cwd=root)
    line = server.stdout.readline()
    if "(https://" not in line:
        sys.exit("the server did not start: %r" % line)
    return server, line.split(" port ")[1].split()[0]


def hold(build, port, count):
    client = subprocess.Popen([build + "/bench/load_client", "hold", port, "/13", str(count), "tls"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    held = client.stdout.readline().split()
    if held[:2] != ["held", str(count)]:
        sys.exit("the client does not hold them: %r" % held)
    return client


def measure(build, records, parts, root):
    servers = [serve(build, records, count, root) for count in parts]
    clients = []
    try:
        before = [status(server.pid, "VmRSS") for server, _ in servers]
        began = time.monotonic()
        for (_, port), count in zip(servers, parts):
            clients.append(hold(build, port, count))
        took = time.monotonic() - began
        time.sleep(12)  # who came for the crowd leaves
        grown = sum(status(server.pid, "VmRSS") - was for (server, _), was in zip(servers, before))
        threads = [status(server.pid, "Threads") for server, _ in servers]
        print("%s: %d connections, %d server(s), made in %.0f s: %.2f KiB each (RSS + %.1f MiB), threads %s"
              % (records, sum(parts), len(parts), took, grown / sum(parts), grown / 1024, threads), flush=True)
        for client in clients:
            client.stdin.write("\n")
            client.stdin.flush()
            print("  a request on each: median %s us, p99 %s us, slowest %s us, errors %s"
                  % tuple(client.stdout.readline().split()), flush=True)
    finally:
        for client in clients:
            client.stdin.close()
            client.wait()
        for server, _ in servers:
            server.terminate()
            server.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--records", nargs="+", default=["direct", "libssl"])
    options = parser.parse_args()
    parts = shares(options.count)
    with tempfile.TemporaryDirectory() as root:
        with open(root + "/13", "w") as file:
            file.write("Hello, world\n")
        for records in options.records:
            measure(os.path.abspath(options.build), records, parts, root)


main()
