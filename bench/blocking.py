#!/usr/bin/env python3
"""Handlers that sleep, under ThreadPoolMixIn and ThreadingMixIn, in turns in one run.

    python3 bench/blocking.py [--build build/release] [--seconds 2] [--cases sleep,burst,mix,spin]

Builds nothing: bench_server and load_client are there after `bash bench/run.sh` or
`ninja -C build/release bench_server load_client`. Prints a table a case:

    sleep   64 keep-alive clients (TLS), the handler sleeps: requests a second of each composition,
            and of the pool its threads: the most in the second half of the run, what Little's law
            asks for, and how many there are 1.5 s after the end
    burst   64 requests at the same moment, handlers of 1.5 ms, 16 workers (and as many as it likes)
    mix     64 clients, 10 % of the requests sleep 1, 5, 100 ms, another time each so many seconds:
            p99 of the short ones, beside their p99 alone; the slow ones on a path of their own, and
            on the same path as the short ones
    spin    handlers that compute for 0.2, 2, 20 ms: the most threads
"""
import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Server:
    def __init__(self, build, cert, threading_, *more):
        self.proc = subprocess.Popen(
            [f"{build}/bench/bench_server", "--threading", threading_, "--cert", cert[0],
             "--key", cert[1], *more], stdout=subprocess.PIPE, text=True)
        words = self.proc.stdout.readline().split()
        self.pid, self.port = int(words[0]), words[1]

    def threads(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("Threads:"):
                    return int(line.split()[1])
        return 0

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.proc.terminate()
        self.proc.wait(20)


class Load:
    """load_client load: what it printed, and how many threads the server had meanwhile."""

    def __init__(self, build, server, path, seconds, clients=64, slow=()):
        args = [f"{build}/bench/load_client", "load", server.port, path, str(seconds), str(clients),
                "1", "tls", *map(str, slow)]
        with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as proc:
            proc.stdout.readline()
            self.samples, began, cpu = [], time.monotonic(), server.cpu_s()
            watcher = threading.Thread(target=self.watch, args=(server, proc))
            proc.stdin.write("go\n")
            proc.stdin.flush()
            watcher.start()
            out = proc.stdout.readline().split()
            self.cpu_s = server.cpu_s() - cpu
        watcher.join()
        self.began = began
        self.requests, self.errors = int(out[0]), int(out[1])
        self.p50_us, self.p99_us, self.max_us = map(float, out[3:6])
        self.seconds = float(out[7])
        self.rate = self.requests / self.seconds

    def watch(self, server, proc):
        while proc.poll() is None:
            self.samples.append((time.monotonic(), server.threads()))
            time.sleep(0.02)

    def most_threads(self, after_s):
        return max((n for t, n in self.samples if t >= self.began + after_s), default=0)


def case_sleep(args, cert):
    print("handler sleeps | pool/s | threading/s | ratio | pool threads after 1 s | "
          "1.5 x Little + cores | 1.5 s later | pool us CPU | threading us CPU | errors")
    for us in args.sleeps:
        runs = {"pool": [], "thread": []}
        most = later = 0
        for _ in range(args.rounds):
            for name in runs:
                server = Server(args.build, cert, name, *args.more)
                load = Load(args.build, server, f"/sleep/{us}", args.seconds)
                runs[name].append(load)
                if name == "pool":
                    most = max(most, load.most_threads(min(1.0, args.seconds / 2)))
                    time.sleep(1.5)
                    later = max(later, server.threads())
                server.end()
        rate = {k: sorted(x.rate for x in v)[len(v) // 2] for k, v in runs.items()}
        cpu = {k: min(x.cpu_s / max(1, x.requests) * 1e6 for x in v) for k, v in runs.items()}
        little = rate["pool"] * (us + 60) / 1e6
        errors = sum(x.errors for v in runs.values() for x in v)
        print(f"{us / 1000} ms | {rate['pool']:.0f} | {rate['thread']:.0f} | "
              f"{rate['pool'] / rate['thread']:.2f} | {most} | "
              f"{1.5 * little + os.cpu_count():.0f} | {later} | {cpu['pool']:.1f} | "
              f"{cpu['thread']:.1f} | {errors}", flush=True)


def case_burst(args, cert):
    print("burst of 64, 1.5 ms each | median ms | p99 ms | max ms | errors")
    for text, more in (("16 workers", ["--threads", "16", "--max-threads", "16"]),
                       ("32 workers", ["--threads", "32", "--max-threads", "32"]),
                       ("as it likes", [])):
        server = Server(args.build, cert, "pool", *more, *args.more)
        out = subprocess.run([f"{args.build}/bench/load_client", "burst", server.port,
                              "/sleep/1500", "200", "64", "20", "tls"], capture_output=True,
                             text=True, check=True).stdout.split()
        server.end()
        print(f"{text} | {int(out[0]) / 1000:.1f} | {int(out[1]) / 1000:.1f} | "
              f"{int(out[2]) / 1000:.1f} | {out[3]}", flush=True)


def case_mix(args, cert):
    print("64 clients, 1 of 10 sleeps | short/s | p50 ms | p99 ms | max ms | threads | errors")
    cases = [("none does", "/", ()), ("a path of their own, 1 ms", "/", ("/sleep/1000", 10)),
             ("5 ms", "/", ("/sleep/5000", 10)), ("100 ms", "/", ("/sleep/100000", 10)),
             ("1, 5, 100 ms, another each second", "/", ("/tide/1", 50)),
             ("as often, but the client itself pauses", "/", ("-", 10)),
             ("the same path, 1 ms", "/some/1000", ()), ]
    for text, path, slow in cases:
        server = Server(args.build, cert, "pool", *args.more)
        load = Load(args.build, server, path, max(args.seconds, 3), slow=slow)
        server.end()
        print(f"{text} | {load.rate:.0f} | {load.p50_us / 1000:.2f} | {load.p99_us / 1000:.2f} | "
              f"{load.max_us / 1000:.1f} | {load.most_threads(0)} | {load.errors}", flush=True)


def case_spin(args, cert):
    print("handler computes | requests/s | most threads | errors")
    for us in (200, 2000, 20000):
        server = Server(args.build, cert, "pool", *args.more)
        load = Load(args.build, server, f"/spin/{us}", args.seconds)
        server.end()
        print(f"{us / 1000} ms | {load.rate:.0f} | {load.most_threads(0)} | {load.errors}",
              flush=True)


CASES = {"sleep": case_sleep, "burst": case_burst, "mix": case_mix, "spin": case_spin}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build", "release"))
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--sleeps", default="200,500,1000,2000,4000,10000,50000")
    parser.add_argument("more", nargs="*", help="options of bench_server, after --")
    args = parser.parse_args()
    args.sleeps = [int(us) for us in args.sleeps.split(",")]
    with tempfile.TemporaryDirectory() as tmp:
        cert = (f"{tmp}/cert.pem", f"{tmp}/key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", cert[1], "-out",
                        cert[0]], check=True, stderr=subprocess.DEVNULL)
        for name in args.cases.split(","):
            CASES[name](args, cert)
            print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
