"""Medians, ratios to the best peer, JSON and a picture, from the rows that run.sh collects.

report.py ROWS OUT_DIR ROUNDS SECONDS
"""
import collections
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys

OURS = ("pool", "thread")
TITLES = {
    "keepalive": "64 keep-alive, 13 bytes", "many": "3,500 keep-alive, 13 bytes",
    "full": "full handshake + GET + close", "mtls": "the same with a client certificate",
    "resumed": "resumed handshake + GET + close",
    "16k": "16 KiB file", "1m": "1 MiB file", "100m": "100 MiB file",
    "idle": "3,500 idle TLS", "idle10k": "10,000 idle TLS",
    "blocking-none": "58 keep-alive, none blocks", "blocking": "58, beside 6 that block 100 ms",
    "flat": "100,000 connections",
}
UNITS = {"cpu_us": "CPU us per request", "p99_us": "p99 us", "kib": "KiB per connection",
         "threads": "threads"}


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), "?")
    return f"{os.cpu_count()} cores, {model}, Linux {platform.release()}"


def collect(path):
    values = collections.defaultdict(list)
    for line in open(path):
        case, server, metric, value = line.split()
        values[case, metric, server].append(float(value))
    return {key: statistics.median(v) for key, v in values.items()}


def table(medians):
    servers = sorted({s for _, _, s in medians}, key=lambda s: (s not in OURS, s))
    print("| case | " + " | ".join(servers) + " | pool / best peer |")
    print("| --- |" + " ---: |" * (len(servers) + 1))
    for case in TITLES:
        for metric, unit in UNITS.items():
            row = {s: medians[case, metric, s] for s in servers if (case, metric, s) in medians}
            if not row:
                continue
            peers = [v for s, v in row.items() if s not in OURS]
            ratio = f"{row['pool'] / min(peers):.2f}" if "pool" in row and peers and min(peers) else ""
            cells = [f"{row[s]:.4g}" if s in row else "" for s in servers]
            print(f"| {TITLES[case]}: {unit} | " + " | ".join(cells) + f" | {ratio} |")


def picture(medians, out):
    if shutil.which("gnuplot") is None:
        print("gnuplot is not installed: no picture", file=sys.stderr)
        return
    cases = [c for c in TITLES if any(k[0] == c and k[1] == "cpu_us" for k in medians)]
    servers = sorted({s for c, m, s in medians if m == "cpu_us" and s != "python"},
                     key=lambda s: (s not in OURS, s))
    data = os.path.join(out, "cpu.dat")
    with open(data, "w") as f:
        print("case", *servers, file=f)
        for case in cases:
            peers = [medians[case, "cpu_us", s] for s in servers
                     if s not in OURS and (case, "cpu_us", s) in medians]
            if peers:
                print(f'"{TITLES[case]}"', *(medians.get((case, "cpu_us", s), 0) / min(peers)
                                             for s in servers), file=f)
    plot = (f'set terminal pngcairo size 1200,600; set output "{out}/results.png";'
            'set style data histogram; set style fill solid; set key top left horizontal;'
            'set ylabel "server CPU per request, best peer = 1"; set yrange [0:3];'
            'set xtics rotate by -15; set grid ytics;'
            f'plot for [i=2:{len(servers) + 1}] "{data}" using i:xtic(1) title columnheader(i)')
    subprocess.run(["gnuplot", "-e", plot], check=False)


def main():
    rows, out, rounds, seconds = sys.argv[1:]
    medians = collect(rows)
    facts = {"date": datetime.date.today().isoformat(), "machine": machine(),
             "rounds": int(rounds), "seconds": int(seconds), "medians": {}}
    for (case, metric, server), value in sorted(medians.items()):
        facts["medians"].setdefault(case, {}).setdefault(metric, {})[server] = value
    with open(os.path.join(out, "results.json"), "w") as f:
        json.dump(facts, f, indent=1)
    print(f"{facts['date']}, {facts['machine']}; median of {rounds} rounds of {seconds} s\n")
    table(medians)
    picture(medians, out)


main()
