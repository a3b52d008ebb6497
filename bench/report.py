"""Medians, ratios to the best peer, goals, JSON and a picture, from the rows that run.sh collects.

report.py ROWS OUT_DIR ROUNDS SECONDS TREE      (TREE: of the servers; empty: this machine's)
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

OURS = ("pool", "direct", "thread")
SLEEPS = (200, 500, 1000, 2000, 4000, 10000, 50000)
OPENSSL_PEERS = ("nginx", "lighttpd", "haproxy")
TITLES = {
    "keepalive": "64 keep-alive, 13 bytes", "many": "3,500 keep-alive, 13 bytes",
    "full": "full handshake + GET + close", "mtls": "the same with a client certificate",
    "resumed": "resumed handshake + GET + close",
    "16k": "16 KiB file", "1m": "1 MiB file", "100m": "100 MiB file",
    "idle": "3,500 idle TLS", "idle10k": "10,000 idle TLS", "idleplain": "3,500 idle plain",
    "blocking-none": "64, a tenth pauses", "blocking": "64, a tenth blocks 100 ms",
    "flat": "100,000 connections",
    **{f"sleep-{us}": f"64, the handler sleeps {us / 1000:g} ms" for us in SLEEPS},
    "burst": "burst of 64, 1.5 ms each (16 workers)", "slow": "beside 2,000 who do not read",
}
SHORT = {"keepalive": "64", "many": "3,500", "full": "full TLS", "resumed": "resumed", "16k": "16 KiB",
         "1m": "1 MiB", "100m": "100 MiB", "idle": "idle 3,500", "idle10k": "idle 10,000",
         **{f"sleep-{us}": f"{us / 1000:g} ms" for us in SLEEPS}}
UNITS = {"cpu_us": "CPU us per request", "turn_us": "us from answer to answer", "p50_us": "median us",
         "p99_us": "p99 us", "max_us": "slowest us", "kib": "KiB per connection",
         "threads": "threads", "little": "threads / (1.5 x Little + cores)", "client_share": "client's share of all CPU", "errors": "errors"}

# (case, metric, ours, against, at most): against is None (an absolute figure), a tuple of peers, the
# word "best", or another case of the same server.
GOALS = [
    ("keepalive", "cpu_us", "pool", "best", 0.85), ("keepalive", "p99_us", "pool", "best", 0.5),
    ("many", "cpu_us", "pool", "best", 0.8), ("many", "p99_us", "pool", "best", 0.6),
    ("many", "errors", "pool", None, 0),
    ("full", "cpu_us", "pool", ("nginx",), 0.9), ("resumed", "cpu_us", "pool", ("nginx",), 0.85),
    ("16k", "cpu_us", "pool", "best", 0.85), ("1m", "cpu_us", "pool", "best", 0.9),
    ("100m", "cpu_us", "pool", "best", 0.95),
    ("idle", "kib", "pool", None, 14.0), ("idle10k", "kib", "pool", None, 14.0),
    ("idleplain", "kib", "pool", None, 1.0),
    ("keepalive", "cpu_us", "direct", "best", 0.85), ("many", "errors", "direct", None, 0),
    ("16k", "cpu_us", "direct", "best", 0.75), ("1m", "cpu_us", "direct", "best", 0.8),
    ("100m", "cpu_us", "direct", "best", 0.85),
    ("idle", "kib", "direct", None, 1.0), ("idle10k", "kib", "direct", None, 1.0),
    ("idle10k", "max_us", "direct", None, 5000),
    ("idle10k", "threads", "pool", None, (os.cpu_count() or 1) + 4), ("idle10k", "max_us", "pool", None, 5000),
    ("blocking", "p99_us", "pool", "blocking-none", 2.0),
    ("keepalive", "cpu_us", "thread", ("nginx",), 1.10),
    # 0.9 of the requests per second
    *((f"sleep-{us}", "turn_us", "pool", ("thread",), 1 / 0.9) for us in SLEEPS),
    *((f"sleep-{us}", "little", "pool", None, 1.0) for us in SLEEPS),
    ("burst", "p50_us", "pool", None, 8000), ("burst", "p99_us", "pool", None, 16000),
    ("slow", "threads", "pool", None, (os.cpu_count() or 1) + 4), ("slow", "kib", "pool", None, 64),
    ("slow", "p99_us", "pool", None, 20000),
]


def release(tree):
    with open(tree + "/etc/os-release") as f:
        return next((line.split("=")[1].strip().strip('"') for line in f if line.startswith("PRETTY_NAME=")), "?")


def machine(tree):
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), "?")
    return f"{os.cpu_count()} cores, {model}, Linux {platform.release()}, {release(tree)}"


def collect(path):
    values = collections.defaultdict(list)
    for line in open(path):
        case, server, metric, *value = line.split()
        if value:  # else it was not measured, which was said then
            values[case, metric, server].append(float(value[0]))
    # One error in any round is an error.
    return {key: max(v) if key[1] == "errors" else statistics.median(v) for key, v in values.items()}


def order(servers):
    return sorted(servers, key=lambda s: (s not in OURS, s))


def reference(medians, case, metric, against):
    """What a goal is measured against: (its name, its value), or (name, None) when it is not there."""
    if against is None:
        return "", 1.0
    if against in TITLES:
        return TITLES[against], medians.get((against, metric, "pool"))
    peers = {s: v for (c, m, s), v in medians.items() if (c, m) == (case, metric) and v > 0
             and (s not in OURS if against == "best" else s in against)}
    if not peers:
        return "best" if against == "best" else "/".join(against), None
    best = min(peers, key=peers.get)
    return best, peers[best]


def judge(medians):
    """One dict per goal: what it is, what was measured, whether it is met (None: not measured)."""
    out = []
    for case, metric, ours, against, most in GOALS:
        value = medians.get((case, metric, ours))
        name, base = reference(medians, case, metric, against)
        ratio = value / base if value is not None and base else None
        out.append({"case": case, "metric": metric, "server": ours, "against": name, "goal": most,
                    "value": value, "ratio": ratio, "met": None if ratio is None else ratio <= most})
    return out


def table(medians):
    servers = order({s for c, _, s in medians if not c.startswith("accounting-")})
    compared = [s for s in ("pool", "direct") if s in servers]
    print("| case | " + " | ".join(servers + [f"{s} / best peer" for s in compared]) + " |")
    print("| --- |" + " ---: |" * (len(servers) + len(compared)))
    for case in TITLES:
        for metric, unit in UNITS.items():
            row = {s: medians[case, metric, s] for s in servers if (case, metric, s) in medians}
            if not row or (metric == "errors" and not any(row.values())):
                continue
            peers = [v for s, v in row.items() if s not in OURS]
            compares = peers and min(peers) > 0 and metric not in ("client_share", "errors")
            cells = [f"{row[s]:.4g}" if s in row else "" for s in servers]
            cells += [f"{row[s] / min(peers):.2f}" if compares and s in row else "" for s in compared]
            print(f"| {TITLES[case]}: {unit} | " + " | ".join(cells) + " |")


def goals(verdicts):
    print("\n| goal | measured | at most | met |\n| --- | ---: | ---: | --- |")
    for v in verdicts:
        what = f"{TITLES[v['case']]}: {UNITS[v['metric']]}, {v['server']}" + (f" / {v['against']}" if v["against"] else "")
        got = "" if v["ratio"] is None else f"{v['ratio']:.3g}"
        print(f"| {what} | {got} | {v['goal']:g} | {'not measured' if v['met'] is None else 'yes' if v['met'] else 'NO'} |")


def accounting(medians):
    states = [c for c in ("accounting-idle-plain", "accounting-idle-tls", "accounting-active-plain",
                          "accounting-active-tls") if any(k[0] == c for k in medians)]
    if not states:
        return
    parts = ("connection", "arena", "buffers", "ssl", "other", "all")
    print("\n| bytes per connection | " + " | ".join(parts) + " |\n| --- |" + " ---: |" * len(parts))
    for state in states:
        cells = [f"{medians.get((state, part, 'pool'), 0):.0f}" for part in parts]
        print(f"| {state[len('accounting-'):]} | " + " | ".join(cells) + " |")


def busy_clients(medians):
    """A load that is the bottleneck measures itself: it is named."""
    for (case, metric, server), share in sorted(medians.items()):
        if metric == "client_share" and share > 0.6:
            print(f"\nThe client took {share:.0%} of all CPU in \"{TITLES[case]}\" against {server}: its throughput is the "
                  "client's; server CPU per request still is the server's.")


def drawn(case):
    """What of a case is in the picture."""
    return "kib" if case.startswith("idle") else "turn_us" if case.startswith("sleep") else "cpu_us"


def picture(medians, out):
    if shutil.which("gnuplot") is None:
        print("gnuplot is not installed: no picture", file=sys.stderr)
        return
    cases = [c for c in SHORT if any(k[0] == c and k[1] == drawn(c) for k in medians)]
    servers = order({s for c, m, s in medians if c in cases and m == drawn(c) and s != "python"})
    marks = {(c, m): g for c, m, s, a, g in reversed(GOALS) if s == "pool" and a is not None and a != ("thread",)}
    data = os.path.join(out, "ratios.dat")
    lines = []
    for case in cases:
        metric = drawn(case)
        peers = [medians[case, metric, s] for s in servers if s not in OURS and (case, metric, s) in medians]
        if not peers or min(peers) <= 0:
            continue
        goal = marks.get((case, metric))
        if goal is None and metric == "kib":
            goal = 14.0 / min(peers)
        bars = [f"{medians[case, metric, s] / min(peers):.4f}" if (case, metric, s) in medians else "NaN" for s in servers]
        lines.append(f'"{SHORT[case]}" ' + " ".join(bars) + f" {goal if goal is not None else 'NaN'}")
    if not lines:
        return
    with open(data, "w") as f:
        print("case", *servers, "goal", file=f)
        print(*lines, sep="\n", file=f)
    n = len(servers)
    colours = ["#0b5394", "#3d85c6", "#6fa8dc", "#e69138", "#6aa84f", "#a64d79", "#7f7f7f", "#bf9000"]
    bars = ", ".join(f'"{data}" using {i + 2}:xtic(1) title columnheader({i + 2}) linecolor rgb "{colours[i % 8]}"'
                     for i in range(n))
    plot = (f'set terminal pngcairo size 1400,700 font "sans,13"; set output "{out}/results.png";'
            'set title "Server CPU per request (idle: memory per connection; ms: handlers that sleep, time per request),'
            ' best peer of the run = 1; less is better";'
            'set style data histogram; set style histogram clustered gap 1.5; set style fill solid border -1;'
            'set boxwidth 0.95; set key outside bottom center horizontal; set yrange [0:2.5]; set grid ytics;'
            f'set xrange [-0.7:{len(lines) - 0.3}];'
            'set ylabel "ratio to the best peer";'
            f'plot {bars}, "{data}" using ($0-1):{n + 2}:(0.45) with xerrorbars pointtype 0 linewidth 3 linecolor rgb "#cc0000"'
            ' title "goal of pool", 1 with lines linecolor rgb "#000000" dashtype 2 notitle')
    subprocess.run(["gnuplot", "-e", plot], check=False)


def main():
    rows, out, rounds, seconds, tree = sys.argv[1:]
    medians = collect(rows)
    verdicts = judge(medians)
    facts = {"date": datetime.date.today().isoformat(), "machine": machine(tree),
             "rounds": int(rounds), "seconds": int(seconds), "goals": verdicts, "medians": {}}
    for (case, metric, server), value in sorted(medians.items()):
        facts["medians"].setdefault(case, {}).setdefault(metric, {})[server] = value
    with open(os.path.join(out, "results.json"), "w") as f:
        json.dump(facts, f, indent=1)
    print(f"{facts['date']}, {facts['machine']}; median of {rounds} rounds of {seconds} s\n")
    table(medians)
    goals(verdicts)
    accounting(medians)
    busy_clients(medians)
    picture(medians, out)


main()
