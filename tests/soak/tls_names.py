"""What a thousand certificates cost a handshake: instructions of the server, by callgrind, with one and with many.

    python3 tests/soak/tls_names.py [SHS] [--sites N] [--handshakes N]

Machines are noisy, and instructions are not. Also how long the start takes, and what memory, without valgrind.
"""

import argparse
import os
import re
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))
import shslib  # noqa: E402
import tls_pki  # noqa: E402


def handshakes(server, sites, count):
    """Full ones, each for another name."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for i in range(count):
        name = "site-%d.example" % (i * 7919 % sites)
        with context.wrap_socket(server.connect_plain(60), server_hostname=name) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            shslib.check(b" 200 " in shslib.read_all(sock, 60), name)


def arguments(options, certs):
    words = [os.path.abspath(options.shs), "serve", "--port", "0", "--log", "none", "--handler", "echo", "--threads",
             "1", "--handshake-timeout", "60000"]
    return words + [word for cert, key in certs for word in ("--cert", cert, "--key", key)]


def instructions(options, certs, directory):
    out = "%s/callgrind-%d" % (directory, len(certs))
    # Only what happens in TLSMixIn's finish_request, and below it: not the start.
    argv = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=tls_finish_request",
            "--callgrind-out-file=" + out, "--log-file=%s/valgrind" % directory]
    with shslib.Server(argv=argv + arguments(options, certs), start_seconds=1800, stop_seconds=300) as server:
        handshakes(server, len(certs), options.handshakes)
    with open(out) as dump:
        total = int(re.search(r"^(?:totals|summary): (\d+)", dump.read(), re.MULTILINE).group(1))
    return total / options.handshakes


def start(options, certs):
    began = time.monotonic()
    with shslib.Server(argv=arguments(options, certs), start_seconds=120) as server:
        took = time.monotonic() - began
        return took, server.resident_kib()


def soak(options):
    with shslib.temp_dir() as top:
        root = tls_pki.CA(top, "root")
        key = root.issue("site-0", names=("DNS:site-0.example",))[1]
        certs = [root.issue("site-%d" % i, names=("DNS:site-%d.example" % i,), key=key) for i in range(options.sites)]
        cost = {}
        for count in (1, options.sites):
            took, kib = start(options, certs[:count])
            print("%5d certificates: start %.2f s, RSS %.1f MiB" % (count, took, kib / 1024), flush=True)
            cost[count] = instructions(options, certs[:count], top)
            print("%5d certificates: %.0f instructions for a handshake, a request and the end" % (count, cost[count]),
                  flush=True)
        ratio = cost[options.sites] / cost[1]
        print("ratio %.4f" % ratio)
        shslib.check(ratio < 1.01, "a handshake costs more with many certificates")


parser = argparse.ArgumentParser()
parser.add_argument("shs", nargs="?", default=shslib.BIN)
parser.add_argument("--sites", type=int, default=1000)
parser.add_argument("--handshakes", type=int, default=200)
try:
    soak(parser.parse_args())
    print("passed")
except shslib.Failure as failure:
    print("FAILED: %s" % failure)
    sys.exit(1)
