"""What testssl.sh and sslscan think of both TLS policies: nothing of medium severity or worse.

    python3 tests/soak/tls_scan.py [SHS] [--reports DIR]

Needs Debian's testssl.sh and sslscan; takes some minutes. The certificates are of a CA of its own,
which the scanners are told to trust, and say where their CRL would be, as a public CA's do; the two
header fields are what any site of its own name would send.
"""

import argparse
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))
import shslib  # noqa: E402
import tls_pki  # noqa: E402

HEADERS = ("Strict-Transport-Security: max-age=31536000", "X-Content-Type-Options: nosniff")
BAD = ("MEDIUM", "HIGH", "CRITICAL", "FATAL")
# What sslscan says of a server that it has something against.
WEAK = re.compile(r"^(SSLv\d|TLSv1\.[01])\s+enabled|(?<!not )vulnerable to|\s(0|40|56|112) bits |SHA-?1WithRSA|"
                  r"Anonymous|Compression enabled|insecure", re.MULTILINE | re.IGNORECASE)


def findings(report):
    """Every {id, severity, finding} of testssl's JSON."""
    if isinstance(report, dict):
        if "severity" in report and "id" in report:
            yield report
        for value in report.values():
            yield from findings(value)
    elif isinstance(report, list):
        for value in report:
            yield from findings(value)


def tool_version(argv, pattern):
    done = subprocess.run(argv, capture_output=True, text=True)
    return re.search(pattern, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)).group(1)


def scan(policy, server, ca, directory):
    address = "localhost:%d" % server.port
    path = "%s/testssl-%s" % (directory, policy)
    if os.path.exists(path + ".json"):
        os.unlink(path + ".json")  # of the run before: testssl does not write over it
    with open(path + ".txt", "w") as out:
        subprocess.run(["nice", "-n", "19", "testssl", "--quiet", "--color", "0", "--warnings", "batch", "--add-ca", ca,
                        "--jsonfile-pretty", path + ".json", address], stdout=out,
                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=1800)
    with open(path + ".json") as report:
        found = list(findings(json.load(report)))
    with open(path + ".txt") as text:
        shslib.check(" Done " in text.read(), "testssl did not get to its end: see %s.txt" % path)
    text = subprocess.run(["sslscan", "--no-colour", address], capture_output=True, text=True, timeout=600).stdout
    shslib.write_file("%s/sslscan-%s.txt" % (directory, policy), text)
    shslib.check("Supported Server Cipher" in text, "sslscan: " + text[-500:])
    found = [one for one in found if one["severity"] in ("LOW",) + BAD]
    return found, [match.group() for match in WEAK.finditer(text)]


def scans(options, directory):
    root = tls_pki.CA(directory, "root")
    more = ("crlDistributionPoints = URI:http://crl.example/root.crl",)
    certs = [root.issue("ec", more=more), root.issue("rsa", rsa=True, more=more)]
    site = os.path.join(directory, "site")
    shslib.write_file(site + "/index.html", "<!doctype html><title>x</title>\n")
    print("testssl.sh %s, sslscan %s" % (tool_version(["testssl", "--version"], r"testssl(?:\.sh)?\s+([\d.]+)"),
                                        tool_version(["sslscan", "--version"], r"(\d+\.\d+\.\d+)")))
    bad = []
    for policy in ("modern", "intermediate"):
        argv = [os.path.abspath(options.shs), "serve", "--port", "0", "--log", "none", "--tls-policy", policy,
                "--handshake-timeout", "60000"]  # the scanner is a shell script on a machine with other work
        argv += [word for cert, key in certs for word in ("--cert", cert, "--key", key)]
        argv += [word for header in HEADERS for word in ("--header", header)]
        with shslib.Server(argv=argv + [site]) as server:
            found, weak = scan(policy, server, root.cert, options.reports or directory)
        count = {level: sum(one["severity"] == level for one in found) for level in ("LOW",) + BAD}
        print("%-13s testssl %s; sslscan %s" % (policy, count, weak or "nothing"))
        for one in found:
            print("              %-8s %s: %s" % (one["severity"], one["id"], one["finding"][:90]))
        bad += [one["id"] for one in found if one["severity"] in BAD] + weak
    shslib.equal(bad, [], "findings of medium severity or worse")


parser = argparse.ArgumentParser()
parser.add_argument("shs", nargs="?", default=shslib.BIN)
parser.add_argument("--reports", help="a directory that keeps them")
try:
    with shslib.temp_dir() as top:
        scans(parser.parse_args(), top)
    print("passed")
except shslib.Failure as failure:
    print("FAILED: %s" % failure)
    sys.exit(1)
