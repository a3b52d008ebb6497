"""`shs lab serve` and `shs lab list`: Python through every condition, and the lab's own ways."""

import calendar
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time

import lab_sweep
import shslib
from shslib import check, equal

# Python refuses old versions by itself, before it comes to what the row names; dh-small-subgroup hangs on chance.
EXCEPTIONS = {"dh-small-subgroup": "one run in three has the public value 1", "tls-v1-0": "its own minimum",
              "tls-v1-1": "its own minimum", "close-hello": "in Python's own words",
              "cut-certificate": "in Python's own words", "truncated-length": "in http.client's words",
              "truncated-chunked": "in http.client's words"}


def python_through_all():
    with lab_sweep.Lab() as lab:
        equal(len([c for c in lab.conditions if not c["servable"] and not c.get("why")]), 0, "silently missing")
        equal(lab.manifest["sanity"], "good", "sanity")
        count = lab_sweep.sweep(lab, lab_sweep.PYTHON, lab_sweep.python, "python", exceptions=EXCEPTIONS)
        check(count >= 215, count)
        # In the words that EXCEPTIONS takes out, the verdict at least.
        by_id = {c["id"]: c for c in lab.conditions}
        for id in EXCEPTIONS:
            if id != "dh-small-subgroup":
                check(not lab_sweep.python(lab, by_id[id])[0], id)
        log = [json.loads(line) for line in lab.get("/log").splitlines()]
        check({"good", "expired"} <= {line["id"] for line in log}, log[:3])
        went_on = {line["id"] for line in log if line["went_on"] and not line["handshake"]}
        check("legacy-renegotiation" not in went_on, "Python went on after an unsafe ServerHello")
        if not shslib.SANITIZE:
            check(lab.peak_kib() <= 64 * 1024, "%d KiB" % lab.peak_kib())
    check("try     curl --proxy" in lab.said, lab.said)


def reaches(lab, condition, context, then=lambda sock: True):
    """Does a client of that context get an answer, and goes on when it has looked at the certificate?"""
    try:
        raw = socket.create_connection(("127.0.0.1", lab.port), 20)
        with raw, context.wrap_socket(raw, server_hostname=condition["host"]) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return sock.recv(9) == b"HTTP/1.1 " and then(sock)
    except OSError:
        return False


def is_in_time(sock):
    """The dates of the leaf and nothing else."""
    code, out, err = shslib.run("openssl", "x509", "-noout", "-dates", 
                                stdin=ssl.DER_cert_to_PEM_cert(sock.getpeercert(True)).encode())
    equal(code, 0, err)
    first, last = (ssl.cert_time_to_seconds(line.partition("=")[2]) for line in out.splitlines())
    return first <= time.time() <= last


def ignores_usages(lab, condition):
    """A chain, dates and names that are looked at, and not what the certificate is for."""
    code, out, err = shslib.run(
        "openssl", "s_client", "-connect", "127.0.0.1:%d" % lab.port, "-servername", condition["host"], "-verify_hostname",
        condition["host"], "-CAfile", lab.ca, "-verify_return_error", "-purpose", "any")
    return "Verification: OK" in out


def careless_clients():
    """Clients that leave one thing out are caught by every critical row that is about it, and by no other."""
    nothing = ssl.create_default_context()
    nothing.check_hostname = False
    nothing.verify_mode = ssl.CERT_NONE
    nothing.set_ciphers("DEFAULT@SECLEVEL=0")  # OpenSSL's own level would still refuse small keys and MD5
    with lab_sweep.Lab() as lab, concurrent.futures.ThreadPoolExecutor(8) as pool:
        no_names = ssl.create_default_context(cafile=lab.ca)
        no_names.check_hostname = False
        rows = [c for c in lab.conditions if c["servable"] and c["expect"] == "reject" and c["layer"] == "certificate" and
                (c["tier"] == "critical" or c["reason"] == "usage")]

        def caught(client):
            return {c["id"] for c, accepted in zip(rows, pool.map(client, rows)) if accepted}

        def about(*reasons):
            return {c["id"] for c in rows if c["reason"] in reasons}

        every, late = about(*{c["reason"] for c in rows}), about("expired", "not-yet-valid") - {"expired-intermediate"}
        check(len(every) >= 24 and len(late) == 3 and len(about("name")) >= 6 and len(about("usage")) >= 4, every)
        equal(caught(lambda c: reaches(lab, c, nothing)), every, "accepted by who verifies nothing")
        equal(caught(lambda c: reaches(lab, c, nothing, is_in_time)), every - late, "accepted by who looks at dates alone")
        equal(caught(lambda c: reaches(lab, c, no_names)), about("name"), "accepted by who ignores names")
        equal(caught(lambda c: ignores_usages(lab, c)), about("usage"), "accepted by who ignores usages")


def by_address():
    """Who comes by an address says no name; the lab listens there as well."""
    with lab_sweep.Lab() as lab:
        context = ssl.create_default_context(cafile=lab.ca)
        for address, word in (("127.0.1.1", "IP address mismatch"), ("127.0.1.2", "IP address mismatch"),
                              ("127.0.1.4", "IP address mismatch"), ("127.0.0.1", "IP address mismatch"), ("::1", None)):
            try:
                raw = socket.create_connection((address, lab.port), 20)
            except OSError as failure:
                check(address == "::1", failure)
                continue  # no IPv6 here
            try:
                with raw, context.wrap_socket(raw, server_hostname=address):
                    check(word is None, "%s is accepted" % address)
            except ssl.SSLError as failure:
                check(word is not None and word in str(failure), "%s: %s" % (address, failure))


def a_reason_for_a_missing_certificate():
    """A client without a certificate reads why, 60 times of 60: the server drains before it closes."""
    def curl(url, *options):
        done = subprocess.run(["curl", "-sS", "-o", os.devnull, "--max-time", "60", *options, url], capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"]}, timeout=120)
        return "certificate required" in done.stderr

    with lab_sweep.Lab() as lab, concurrent.futures.ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: curl("https://client.badssl.test/", "--proxy", lab.proxy, "--cacert", lab.ca), range(60)))
        equal(said.count(True), 60, "said by the lab, of 60")
    with shslib.temp_dir() as directory:
        code, _, err = shslib.run(shslib.BIN, "cert", "ca", "--dir", directory)
        equal(code, 0, err)
        ca = os.path.join(directory, "ca.pem")
        with shslib.Server("--client-ca", ca, "--tls-min", "1.3", shslib.SOURCE_DIR + "/examples/site",
                           env={"XDG_STATE_HOME": directory}) as server, concurrent.futures.ThreadPoolExecutor(4) as pool:
            said = list(pool.map(lambda _: curl("https://localhost:%d/" % server.port, "--cacert", server.ca),
                                 range(60)))
            equal(said.count(True), 60, "said by shs serve, of 60")


def clock():
    with lab_sweep.Lab("--now", "+400d") as lab:
        context = ssl.create_default_context(cafile=lab.ca)
        check(abs(time.time() + 400 * 86400 - unix_time(lab.manifest["generated"])) < 3600, lab.manifest["generated"])
        raw = socket.create_connection(("127.0.0.1", lab.port), 20)
        try:
            with raw, context.wrap_socket(raw, server_hostname="expires-soon.badssl.test"):
                raise shslib.Failure("a certificate of a year later is accepted")
        except OSError as failure:
            check("not yet valid" in str(failure), failure)


def unix_time(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def hostile_configuration():
    """The system's openssl.cnf takes no condition away."""
    with shslib.temp_dir() as directory:
        path = shslib.write_file(directory + "/openssl.cnf", """
openssl_conf = start
[start]
ssl_conf = ssl
[ssl]
system_default = strict
[strict]
MinProtocol = TLSv1.3
CipherString = ECDHE+AESGCM:@SECLEVEL=5
Ciphersuites = TLS_AES_256_GCM_SHA384
Groups = P-521
SignatureAlgorithms = ECDSA+SHA512
""")
        os.environ["OPENSSL_CONF"] = path
        try:
            lab = lab_sweep.Lab()
            stack = contextlib.ExitStack()
            stack.enter_context(lab)
        finally:
            del os.environ["OPENSSL_CONF"]
        with stack:
            by_id = {c["id"]: c for c in lab.conditions}
            check(sum(not c["servable"] for c in lab.conditions) <= 2, "conditions are gone")
            for id in ("good", "tls-v1-2", "cbc", "x25519-only", "rsa2048", "dh2048", "revoked"):
                accepted, text = lab_sweep.python(lab, by_id[id])
                check(accepted, "%s: %s" % (id, text))
            accepted, text = lab_sweep.python(lab, by_id["sha1-leaf"])
            check("digest algorithm too weak" in text, text)


def revocation():
    """The CRLs and OCSP responses that the lab serves are what it says of them."""
    with lab_sweep.Lab() as lab, shslib.temp_dir() as directory:
        def s_client(name, *options):
            return shslib.run("openssl", "s_client", "-connect", "127.0.0.1:%d" % lab.port, "-servername",
                              name + ".badssl.test", "-CAfile", lab.ca, "-verify_return_error", *options)

        for crl, name, word in (("ica", "good", "Verify return code: 0"), ("ica", "revoked", "certificate revoked"),
                                ("crl-expired", "crl-expired", "CRL has expired"),
                                ("crl-bad-signature", "crl-bad-signature", "CRL signature failure"),
                                ("crl-wrong-issuer", "crl-wrong-issuer", "unable to get certificate CRL")):
            path = shslib.write_file(directory + "/%s.pem" % crl, lab.get("/crl/%s.pem" % crl))
            code, out, err = s_client(name, "-crl_check", "-CRL", path)
            check(word in out + err, "%s: %s" % (name, out + err))
        code, out, err = s_client("revoked", "-showcerts")
        certs = ["-----BEGIN CERTIFICATE-----" + part.split("-----END")[0] + "-----END CERTIFICATE-----\n"
                 for part in out.split("-----BEGIN CERTIFICATE-----")[1:]]
        leaf, issuer = (shslib.write_file(directory + "/" + name, text) for name, text in zip(("l", "i"), certs))
        code, out, err = shslib.run("openssl", "ocsp", "-issuer", issuer, "-cert", leaf, "-url", lab.proxy + "/ocsp",
                                    "-CAfile", lab.ca)
        check("revoked" in out and "Response verify OK" in out + err, out + err)


def life():
    """It ends by itself, with its parent, and at a signal; what is wrong is said."""
    with shslib.Stopwatch() as watch:
        code, out, err = shslib.run(shslib.BIN, "lab", "serve", "--exit-after", "1", "--domain", "a.example")
        check(watch.took() >= 1, "too early")
    equal(code, 0, err)
    check("domain a.example" in out and "not servable here" in out, out)
    check(not os.path.exists(out.split("trust   ")[1].split()[0]), "the authority is left")
    for arguments, word in ((("--listen", "0.0.0.0:0"), "loopback"), (("--listen", "x:y"), "'x:y'"),
                            (("--domain", "x"), "'x'"), (("--now", "x"), "'x'"), (("--stall", "x"), "'x'"),
                            (("--ready-fd", "x"), "'x'"), (("extra",), "'extra'")):
        code, out, err = shslib.run(shslib.BIN, "lab", "serve", *arguments)
        equal(code, 2, err)
        check(word in err and err.count("\n") == 1, err)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, out, err = shslib.run(shslib.BIN, "lab", "serve", "--listen", "127.0.0.1:%d" % taken.getsockname()[1])
        equal(code, 1, err)
    # A client that hangs does not keep it from ending.
    with lab_sweep.Lab() as lab:
        sock = socket.create_connection(("127.0.0.1", lab.port), 20)
        sock.sendall(b"CONNECT stall-hello.badssl.test:443 HTTP/1.1\r\n\r\n")
        check(sock.recv(100).startswith(b"HTTP/1.1 200"), "no CONNECT")
        lab.process.send_signal(signal.SIGINT)
        lab.process.wait(30 * shslib.SLOWNESS)
        sock.close()


def chosen_conditions():
    with lab_sweep.Lab("--only", "expired*", "--only", "ip-*", "--except", "expired-root", "--ip-base", "127.7.8.0") as lab:
        by_id = {c["id"]: c for c in lab.conditions}
        equal(sorted(by_id), ["expired", "expired-1s", "expired-intermediate", "good", "ip-cn-only", "ip-in-dns-san", "ip-leading-zero",
                              "ip-mismatch", "ip-san"], "the conditions")
        equal([by_id[id]["host"] for id in ("ip-mismatch", "ip-cn-only", "ip-leading-zero")],
              ["127.7.8.1", "127.7.8.2", "127.7.8.4"], "addresses")
        check(not lab_sweep.python(lab, by_id["expired"])[0] and lab_sweep.python(lab, by_id["good"])[0], "verdicts")
        for id in ("ip-mismatch", "ip-cn-only", "ip-leading-zero"):
            accepted, text = lab_sweep.python(lab, by_id[id])
            check(not accepted and "IP address mismatch" in text, "%s: %s" % (id, text))
    for options, kinds in ((("--only", "wildcard*"), ("reject",)), (("--only", "good"), ("accept",))):
        with lab_sweep.Lab(*options) as lab:
            hosts = [c["host"] for c in lab.conditions if c["expect"] in kinds]
        tried = re.search(r"^try +curl .* https://([^/]+)/$", lab.said, re.M).group(1)
        check(tried in hosts, "%s is tried, and of %s" % (tried, hosts))
    for arguments, word in ((("--only", "nothing"), "'nothing' is not a condition"), (("--ip-base", "10.0.0.0"), "'10.0.0.0'"),
                            (("--ip-base", "127.0.1.1"), "'127.0.1.1'")):
        code, out, err = shslib.run(shslib.BIN, "lab", "serve", *arguments)
        equal(code, 2, err)
        check(word in err, err)


def directory():
    """--dir: all of it as files, 0600, each what it says; nothing of it is left, and nothing else is taken."""
    with shslib.temp_dir() as temp:
        path = os.path.join(temp, "a 'lab'")
        with lab_sweep.Lab("--dir", path, "--except", "rsa*") as lab:
            files = sorted(os.path.relpath(os.path.join(place, name), path) for place, _, names in os.walk(path)
                           for name in names)
            equal([oct(os.stat(os.path.join(path, name)).st_mode & 0o777) for name in files if name.startswith("server/")
                   ].count("0o600"), len([name for name in files if name.startswith("server/")]), "modes")
            equal(oct(os.stat(path).st_mode & 0o777), "0o700", "mode of the directory")
            equal([name for name in files if "/" not in name],
                  ["ca.p12", "ca.pem", "connections.jsonl", "crl.pem", "curl.cfg", "env.ps1", "env.sh", "hosts", "intermediate.pem",
                   "keylog.txt", "manifest.json", "php.ini", "wgetrc"], "files")
            check({"server/expired.pem", "server/expired.key", "clients/alice.p12", "clients/alice.key"} <= set(files), files)
            check(not any(name.startswith("server/rsa") for name in files), files)
            # A shell that reads env.sh finds the lab; so does curl with curl.cfg.
            for line in ('. "$1/env.sh"; curl -sS https://good.badssl.test/ && ! curl -sS https://expired.badssl.test/',
                         'curl -sS --config "$1/curl.cfg" --cacert "$1/ca.pem" https://good.badssl.test/',
                         'openssl verify -x509_strict -CAfile "$1/ca.pem" -untrusted "$1/intermediate.pem" -crl_check -CRLfile '
                         '"$1/crl.pem" "$1/server/good.pem"',
                         'curl -sS --config "$1/curl.cfg" --cacert "$1/ca.pem" --cert "$1/clients/alice.pem" --key '
                         '"$1/clients/alice.key" https://client.badssl.test/',
                         'openssl pkcs12 -in "$1/ca.p12" -passin pass:changeit -nokeys'):
                code, out, err = shslib.run("sh", "-c", line, "sh", path, env={"HOME": temp})
                equal(code, 0, line + ": " + out + err)
            equal(out.count("BEGIN CERTIFICATE"), lab.get("/ca.pem").count("BEGIN CERTIFICATE"), "roots of ca.p12")
            with open(path + "/manifest.json") as file:
                equal(json.load(file), lab.manifest, "the manifest")
            with open(path + "/connections.jsonl") as file:
                check("expired" in {json.loads(line)["id"] for line in file}, "the log has not what came")
            check(os.path.getsize(path + "/keylog.txt") > 0, "no secrets")
            code, out, err = shslib.run(shslib.BIN, "lab", "serve", "--dir", path)
            equal(code, 1, err)
            check("not there yet" in err, err)
            shslib.write_file(path + "/mine", "of somebody else")
        equal(os.listdir(path), ["mine"], "what is left")


def strict():
    with lab_sweep.Lab("--strict") as lab:
        code, out, err = shslib.run("openssl", "s_client", "-connect", "127.0.0.1:%d" % lab.port, "-servername",
                                    "nobody.badssl.test")
        check("unrecognized name" in err, err)
    with lab_sweep.Lab() as lab:
        accepted, text = lab_sweep.python(lab, {"host": "nobody.badssl.test", "hangs": False})
        check(accepted, text)
        shslib.wait_until(lambda: '"id":"unknown-name"' in lab.get("/log"), 20, "the line in /log")


def listing():
    code, out, err = shslib.run(shslib.BIN, "lab", "list")
    equal(code, 0, err)
    check(out.count("\n") >= 222 and " R critical " in out, out[:300])
    manifest = json.loads(shslib.run(shslib.BIN, "lab", "list", "--json")[1])
    equal(len(manifest["conditions"]), out.count("\n"), "conditions")
    code, out, err = shslib.run(shslib.BIN, "lab", "list", "--why", "no-san")
    check("accept it" in out and "common name" in out.lower() or "CN only" in out, out)
    equal(shslib.run(shslib.BIN, "lab", "list", "--why", "nothing")[0], 2, "unknown")
    equal(shslib.run(shslib.BIN, "lab", "list", "--group", "nothing")[0], 2, "unknown")
    equal(shslib.run(shslib.BIN, "lab")[0], 2, "no command")


shslib.main(python_through_all, careless_clients, by_address, a_reason_for_a_missing_certificate, clock, hostile_configuration,
            revocation, life, chosen_conditions, directory, strict, listing)
