"""JA4 beside Wireshark's eyes: curl, openssl and Chromium as tshark saw their ClientHello.

Where tshark knows JA4 (4.2 and later), what it prints must be what whoami says. Debian 12 has 4.0,
which does not: then the fingerprint is made here, by FoxIO's specification, from the fields that
tshark dissected. Skipped without tshark, or where nobody may capture on the loopback interface.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess

import shslib
import tls_pki
from shslib import check, equal

FIELDS = ["tcp.srcport", "tls.handshake.version", "tls.handshake.extensions.supported_version",
          "tls.handshake.ciphersuite", "tls.handshake.extension.type", "tls.handshake.extensions_alpn_str",
          "tls.handshake.sig_hash_alg"]
VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10"}


def grease(value):
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def numbers(text):
    return [n for n in (int(word, 0) for word in text.split(",") if word) if not grease(n)]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def ja4_of_fields(legacy, supported, suites, types, alpn, signatures):
    suites, types = numbers(suites), numbers(types)
    first = alpn.split(",")[0] or "00"
    listed = ",".join("%04x" % t for t in sorted(types) if t not in (0, 16))
    signatures = ",".join("%04x" % n for n in numbers(signatures))
    return "t%s%s%02d%02d%s_%s_%s" % (
        VERSIONS[max(numbers(supported) or numbers(legacy))], "d" if 0 in types else "i", min(len(suites), 99),
        min(len(types), 99), first[0] + first[-1], digest(",".join("%04x" % s for s in sorted(suites))),
        digest(listed + ("_" + signatures if signatures else "")))


class Capture:
    """tshark on one port of the loopback interface."""

    def __init__(self, port):
        known = subprocess.run(["tshark", "-G", "fields"], capture_output=True, timeout=120).stdout
        self.knows_ja4 = b"\ttls.handshake.ja4\t" in known
        fields = FIELDS + (["tls.handshake.ja4"] if self.knows_ja4 else [])
        self.process = shslib.Process(
            ["tshark", "-i", "lo", "-f", "tcp dst port %d" % port, "-d", "tcp.port==%d,tls" % port, "-l", "-n",
             "-Y", "tls.handshake.type==1", "-T", "fields"] + [word for name in fields for word in ("-e", name)],
            expect_exit=None)

    def started(self):
        """False, and why, when it may not capture."""
        text = self.process.err.wait_for(lambda text: re.search("Capture started|permission|rights", text),
                                         shslib.Deadline(60, "tshark to start"))
        return "Capture started" in text, text.strip().splitlines()[-1] if text.strip() else "it said nothing"

    def mark(self):
        """What was dissected up to now is nothing that the next client sent."""
        self.seen = len(shslib.whole_lines(self.process.out.text()))

    def of(self, source_port, wanted):
        """`wanted`, when a client that came from this port since mark() has that fingerprint; else
        what it had. The kernel gives a port again soon, and tshark prints late: one port may have
        several ClientHellos here."""
        made = []

        def look(text):
            made[:] = [self.fingerprint(line) for line in
                       re.findall(r"^%d\t(.*)\n" % source_port, shslib.whole_lines(text)[self.seen:], re.MULTILINE)]
            return wanted in made

        try:
            self.process.out.wait_for(look, shslib.Deadline(30, "a ClientHello from port %d" % source_port))
        except shslib.Failure:
            check(made, "tshark saw no ClientHello from port %d: %s" % (source_port, self.process.report()))
        return wanted if wanted in made else ", ".join(made) or "nothing: tshark ended"

    def fingerprint(self, line):
        words = line.split("\t")
        made = ja4_of_fields(*words[:len(FIELDS) - 1])
        if self.knows_ja4:
            equal(words[-1], made, "tshark's JA4 and the specification")
        return made

    def end(self):
        try:
            self.process.signal(15)  # its dumpcap ends with it
            self.process.wait()
        finally:
            self.process.close()


def spki_pin(cert):
    script = "openssl x509 -in '%s' -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary"
    der = subprocess.run(["bash", "-c", script % cert + " | base64"], capture_output=True, check=True, text=True)
    return der.stdout.strip()


def clients(pki):
    curl = ["curl", "-sS", "--cacert", pki["ca"]]
    s_client = ["openssl", "s_client", "-quiet", "-ign_eof", "-CAfile", pki["ca"], "-connect", "127.0.0.1:PORT"]
    yield curl + ["https://localhost:PORT/"]
    yield curl + ["https://127.0.0.1:PORT/"]
    yield curl + ["--no-alpn", "--tls-max", "1.2", "https://localhost:PORT/"]
    yield s_client
    yield s_client + ["-servername", "localhost", "-alpn", "http/1.1,h2"]
    yield s_client + ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]
    if shutil.which("chromium") is None:
        print("       no chromium: without it")
        return
    for run in (1, 2):  # the order of its extensions and its GREASE are others each time
        yield ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--user-data-dir=%s/chromium-%d" % (pki["dir"], run), "--dump-dom",
               "--ignore-certificate-errors-spki-list=" + spki_pin(pki["cert"]), "https://localhost:PORT/"]


def answer_of(argv, server, pki):
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    done = subprocess.run([word.replace("PORT", str(server.port)) for word in argv], input=request,
                          capture_output=True, timeout=180 * shslib.SLOWNESS, env=dict(os.environ, HOME=pki["dir"]))
    found = re.search(r"\{.*\}", done.stdout.decode())
    check(found, "%s: %r %r" % (argv, done.stdout, done.stderr[-500:]))
    return json.loads(found.group())


def fingerprints(pki):
    seen = {}
    with shslib.Server("--handler", "whoami", "--cert", pki["cert"], "--key", pki["key"]) as server:
        capture = Capture(server.port)
        try:
            good, why = capture.started()
            if not good:
                shslib.skip("tshark may not capture on lo: " + why)
            for argv in clients(pki):
                capture.mark()
                answer = answer_of(argv, server, pki)
                ja4 = answer["tls"]["ja4"]
                equal(ja4, capture.of(answer["port"], ja4), " ".join(argv))
                seen.setdefault(argv[0], []).append(answer["tls"]["ja4"])
        finally:
            capture.end()
    print("       tshark %s JA4; %s" % ("knows" if capture.knows_ja4 else "does not know", seen))
    check(len(set(sum(seen.values(), []))) == sum(map(len, seen.values())) - ("chromium" in seen),
          "different clients, one fingerprint")
    if "chromium" in seen:
        equal(len(set(seen["chromium"])), 1, "fingerprints of one browser")
        check(seen["chromium"][0].startswith("t13d15"), seen["chromium"][0])


def fingerprint():
    if shutil.which("tshark") is None:
        shslib.skip("there is no tshark (apt install tshark)")
    with shslib.temp_dir() as directory:
        root = tls_pki.CA(directory, "root")
        cert, key = root.issue("server")
        fingerprints({"dir": directory, "ca": root.cert, "cert": cert, "key": key})


shslib.main(fingerprint)
