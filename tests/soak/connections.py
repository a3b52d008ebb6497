"""100,000 TLS connections: the server's memory, threads and descriptors stay what they are.

    python3 tests/soak/connections.py SHS [--total N] [--threads N] [options of shs serve]
"""

import argparse
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))
import shslib  # noqa: E402

SETTLE_SECONDS = 15


def build_client(top):
    client = top + "/client"
    code, _, err = shslib.run(os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra",
                              "-Werror", "-o", client,
                              os.path.join(os.path.dirname(os.path.abspath(__file__)), "client.c"),
                              "-lssl", "-lcrypto", "-lpthread")
    shslib.equal(code, 0, "building the client: " + err)
    return client


def cpu_seconds(server):
    with open("/proc/%d/stat" % server.pid) as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def at_rest(server, threads, descriptors):
    """Waits until the last connection is gone; what it cannot get down to is reported as it is."""
    end = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end and (server.threads() > threads or server.descriptors() > descriptors):
        time.sleep(0.1)
    return server.threads(), server.descriptors(), server.resident_kib()


def soak(options):
    with shslib.temp_dir() as top:
        site = top + "/site"
        shslib.write_file(site + "/a.txt", "hello\n")
        shslib.write_file(site + "/large.bin", b"x" * (4 << 20))
        client_path = build_client(top)
        with shslib.Server(argv=[os.path.abspath(options.shs), "serve", "--port", "0", "--log", "none", site,
                                 *options.serve]) as server:
            server.get("/a.txt")
            time.sleep(0.5)
            threads, descriptors = server.threads(), server.descriptors()
            samples = [(0, 0, threads, descriptors, server.resident_kib())]
            print("%11s %7s %8s %12s %9s %8s %8s" % ("connections", "failed", "threads", "descriptors", "RSS KiB",
                                                     "seconds", "CPU s"))
            began = time.monotonic()
            client = subprocess.Popen([client_path, str(server.port), str(options.total), str(options.step),
                                       str(options.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                print("%11d %7d %8d %12d %9d %8.1f %8.1f" % (*samples[0], 0, cpu_seconds(server)))
                for line in client.stdout:
                    done, failed = (int(word) for word in line.split())
                    took = time.monotonic() - began
                    samples.append((done, failed, *at_rest(server, threads, descriptors)))
                    print("%11d %7d %8d %12d %9d %8.1f %8.1f" % (*samples[-1], took, cpu_seconds(server)), flush=True)
                    client.stdin.write(b"\n")
                    client.stdin.flush()
                shslib.equal(client.wait(30), 0, "the client's exit code")
            finally:
                if client.poll() is None:
                    client.send_signal(signal.SIGKILL)
                    client.wait(10)
                client.stdin.close()
                client.stdout.close()
            shslib.equal(server.get("/a.txt")[2], b"hello\n", "a good client afterwards")
    judge(samples, options.total)


def judge(samples, total):
    shslib.equal(samples[-1][0], total, "connections")
    shslib.equal(samples[-1][1], 0, "connections that failed")
    for sample in samples:
        shslib.check(sample[2] <= samples[0][2] and sample[3] <= samples[0][3],
                     "after %d connections threads or descriptors are left: %r" % (sample[0], sample))
    # The first tenth fills the allocator's arenas; behind it nothing may grow.
    early, last = samples[1][4], samples[-1][4]
    print("RSS from %d to %d connections: %+d KiB" % (samples[1][0], total, last - early))
    shslib.check(last - early < 2048, "memory grows: %d KiB, then %d KiB" % (early, last))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shs", help="the command, of a release build")
    parser.add_argument("--total", type=int, default=100000)
    parser.add_argument("--step", type=int, default=10000)
    parser.add_argument("--threads", type=int, default=16, help="of the client")
    options, options.serve = parser.parse_known_args()
    try:
        soak(options)
    except shslib.Failure as failure:
        print("FAILED: %s" % failure)
        sys.exit(1)
    print("ok")


main()
