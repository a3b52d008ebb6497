"""The local authority of `shs serve`: who gets hold of its key cannot pretend to be anybody outside."""

import os
import ssl
import subprocess
import time

import shslib
import site_lab
import tls_pki
from shslib import check, equal


def openssl(*arguments):
    done = subprocess.run(("openssl",) + arguments, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def sign(directory, state, name, san, days=30):
    """A server's certificate, made by a thief of the CA's key."""
    base = os.path.join(directory, name)
    tls_pki._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                     base + ".key", "-subj", "/CN=x", "-out", base + ".csr")
    with open(base + ".ext", "w") as out:
        out.write("subjectAltName=%s\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n" % san)
    tls_pki._openssl("x509", "-req", "-in", base + ".csr", "-CA", state + "/ca.pem", "-CAkey", state + "/ca.key",
                     "-days", str(days), "-extfile", base + ".ext", "-out", base + ".pem")
    return base + ".pem", base + ".key"


def constraints():
    with shslib.temp_dir() as directory:
        with shslib.Server("--handler", "whoami") as server:
            state = os.path.join(server.state_dir, "shs")
            code, text = openssl("x509", "-in", state + "/ca.pem", "-noout", "-text")
            check("X509v3 Name Constraints: critical" in text, text)
            code, text = openssl("verify", "-x509_strict", "-CAfile", state + "/ca.pem", "-verify_hostname", "localhost",
                                 state + "/localhost.pem")
            equal(code, 0, text)
            for address in ("localhost", "127.0.0.1"):
                code, out, err = shslib.run("curl", "-sS", "--cacert", state + "/ca.pem",
                                            "https://%s:%d/" % (address, server.port))
                check(code == 0 and "sni" in out, out + err)
            for name, san, good in (("world", "DNS:bank.example.com", False), ("address", "IP:8.8.8.8", False),
                                    ("six", "IP:2606:4700::1111", False), ("both", "DNS:localhost,DNS:example.org", False),
                                    ("prefix", "DNS:notlocalhost", False), ("own", "DNS:app.localhost", True),
                                    ("inside", "DNS:db.internal,IP:10.1.2.3", True), ("lan", "IP:192.168.1.9", True),
                                    ("outside", "IP:172.32.0.1", False), ("edge", "IP:172.31.255.255", True)):
                cert, key = sign(directory, state, name, san)
                code, text = openssl("verify", "-CAfile", state + "/ca.pem", cert)
                equal(code == 0, good, "%s: %s" % (san, text))
                check(good or "permitted subtree violation" in text, text)
            cert, key = directory + "/world.pem", directory + "/world.key"
            with shslib.Server("--handler", "whoami", "--cert", cert, "--key", key) as thief:
                code, out, err = shslib.run("curl", "-sS", "--cacert", state + "/ca.pem", "--resolve",
                                            "bank.example.com:%d:127.0.0.1" % thief.port,
                                            "https://bank.example.com:%d/" % thief.port)
                equal(code, 60, out + err)
                check("permitted subtree violation" in err, err)


def poor_file_systems():
    """Where fsync or locks are not to be had, a CA is made all the same, and is kept; where a disk fails, it is not."""
    with shslib.temp_dir() as directory:
        faults = site_lab.Faults(directory)
        for number, rule in enumerate(("fsync:directory=EINVAL", "fsync=ENOSYS", "fsync=EOPNOTSUPP", "flock=ENOLCK")):
            environment = dict(faults.env(rule), XDG_STATE_HOME="%s/state-%d" % (directory, number))
            shslib.write_file(environment["SHS_FAULTS_WHEN"], b"")
            serials = []
            for _ in range(2):
                with shslib.Server("--handler", "whoami", env=environment) as server:
                    equal(server.get("/")[0], 200, rule)
                    serials.append(tls_pki.serial(server.ca))
            equal(serials[0], serials[1], rule)
            check(any(call.startswith(rule.split(":")[0].split("=")[0]) for call in faults.calls()), "never called: " + rule)
        for rule in ("fsync:directory=EIO", "fsync:file=EIO", "flock=EIO"):
            environment = dict(faults.env(rule), XDG_STATE_HOME=directory + "/broken")
            shslib.write_file(environment["SHS_FAULTS_WHEN"], b"")
            code, _, err = shslib.run(shslib.BIN, "serve", "-p", "0", env=environment, seconds=20)
            equal((code, len(err.strip().splitlines())), (1, 1), rule + err)
            check("Input/output error" in err, rule + err)


def renewed_while_it_is_served():
    """31 days are left: enough for a start, and a server that runs on makes another before anybody has to be warned."""
    with shslib.temp_dir() as directory:
        environment, state = {"XDG_STATE_HOME": directory}, os.path.join(directory, "shs")
        with shslib.Server("--handler", "whoami", env=environment):
            pass
        cert, key = sign(directory, state, "old", "DNS:localhost,IP:127.0.0.1,IP:::1", days=31)
        with open(cert) as one, open(key) as other:
            shslib.write_file(state + "/localhost.pem", one.read() + other.read())
        os.chmod(state + "/localhost.pem", 0o600)
        old = tls_pki.serial(cert)
        with shslib.Server("--handler", "whoami", env=environment) as server:
            deadline = shslib.Deadline(60, "another certificate")
            while True:
                served = directory + "/served.pem"
                shslib.write_file(served, ssl.get_server_certificate(("127.0.0.1", server.port)).encode())
                if tls_pki.serial(served) != old:
                    break
                deadline.left()
                time.sleep(0.1)
            equal(tls_pki.serial(served), tls_pki.serial(state + "/localhost.pem"))
            code, text = openssl("verify", "-CAfile", state + "/ca.pem", served)
            equal(code, 0, text)
            server.wait_stderr("TLS configuration reloaded")
            check("expires in" not in server.stderr, server.stderr)


shslib.main(constraints, poor_file_systems, renewed_while_it_is_served)
