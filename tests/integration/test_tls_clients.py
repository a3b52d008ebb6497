"""Client certificates: eight kinds of bad ones give eight reasons, to the client and to the log."""

import hashlib
import json
import re
import subprocess

import shslib
import tls_pki
from shslib import check, equal

PKI = None


def make_pki(directory):
    """What each client shows: name -> (cert, key) or None; and the reason it must be given."""
    global PKI
    root = tls_pki.CA(directory, "client-root")
    deep = root
    for i in range(3):
        deep = tls_pki.CA(directory, "deep-%d" % i, parent=deep)
    other = tls_pki.CA(directory, "other-root")
    day = tls_pki.DAY
    PKI = {
        "none": (None, "none"),
        "expired": (root.client("c-expired", start=-20 * day, end=-10 * day), "expired"),
        "early": (root.client("c-early", start=10 * day, end=20 * day), "not-yet-valid"),
        "other": (other.client("c-other"), "unknown-ca"),
        "revoked": (root.client("c-revoked"), "revoked"),
        "eku": (root.client("c-eku", usage="serverAuth"), "wrong-purpose"),
        "deep": (deep.client("c-deep"), "chain-too-deep"),
        "self": (tls_pki.self_signed(directory, "c-self"), "self-signed"),
        "good": (root.client("alice", names=("URI:spiffe://lab/ns/ops/sa/alice", "email:a@b.example",
                                             "IP:10.0.0.7")), "ok"),
        "two-cn": (root.client("c-two", subject="/CN=alice/CN=mallory"), "ambiguous-identity"),
        "two-spiffe": (root.client("c-two-spiffe", names=("URI:spiffe://lab/a", "URI:spiffe://lab/b")),
                       "ambiguous-identity"),
        "spiffe-ca": (root.client("c-spiffe-ca", names=("URI:spiffe://lab/a",), ca=True),
                      "ambiguous-identity"),
        "spoof": (root.client("c-spoof", subject="/O=ops\\/CN=admin/CN=mallory"), "ok"),
        "many": (root.client("c-many", names=tuple("DNS:n%d.example" % i for i in range(300))),
                 "too-large"),
    }
    root.revoke("c-revoked")
    pki = {"server": tls_pki.CA(directory, "server-root").issue("server"),
           "server-ca": directory + "/server-root.pem", "root": root.cert, "crl": root.crl(), "dir": directory,
           "root-ca": root}
    return pki


def curl(server, pki, who, *more):
    cert = PKI[who][0]
    argv = ["curl", "-sS", "--max-time", "15", "--cacert", pki["server-ca"], "-w", "\n%{http_code}"]
    if cert is not None:
        argv += ["--cert", cert[0], "--key", cert[1]]
    code, out, err = shslib.run(*argv, *more, *tls_pki.curl_version(more), "https://localhost:%d/" % server.port, seconds=30)
    return code, out, err


def serve(pki, mode, *more):
    return shslib.Server("--handler", "whoami", "--cert", pki["server"][0], "--key",
                         pki["server"][1], "--client-ca", pki["root"], "--client-auth", mode,
                         "--crl", pki["crl"], "--client-depth", "2", "--log", "json", *more)


def log_lines(server):
    return [json.loads(line) for line in server.stderr_lines()]


def causes(server):
    return [line["cause"] for line in log_lines(server) if line.get("event")]


def told(server, count):
    """Each client is one line of the log. One that has its answer may be before its line, and the next
    client's line before that: so each line is waited for."""
    shslib.wait_until(lambda: len(log_lines(server)) >= count, 10, "line %d of the log" % count)


def explain(pki):
    with serve(pki, "explain") as server:
        lines = 0
        for who, (_, reason) in PKI.items():
            code, out, err = curl(server, pki, who)
            lines += 1 if reason == "ok" else 2  # a refusal is an answer as well as a failure
            told(server, lines)
            equal(code, 0, who + ": " + err)
            body, status = out.rsplit("\n", 1)
            answer = json.loads(body)
            if reason == "ok":
                equal(status, "200", who)
                check(answer["identity"]["verified"], who)
                continue
            equal(status, "403", who + body)
            equal(answer["reason"], reason, who + body)
            equal(answer["expected_cas"], ["CN=client-root"], who)
            check("identity" not in answer, "the handler was reached: " + body)
            if reason != "none":
                check(isinstance(answer["verify_code"], int) and answer["verify_code"] > 0, body)
                check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer["not_after"]), body)
        wanted = ["client-cert:" + reason for _, reason in PKI.values() if reason != "ok"]
        equal(causes(server), wanted)
        # Each answer is a line of the access log, a refusal with its status.
        answers = [line for line in log_lines(server) if "status" in line]
        equal([line["status"] for line in answers],
              [200 if reason == "ok" else 403 for _, reason in PKI.values()], "the access log")
        served = [line for line in answers if line["status"] == 200]
        equal([line["user"] for line in served], ["spiffe://lab/ns/ops/sa/alice", "mallory"])
        head = curl(server, pki, "expired", "-I")
        equal(head[0], 0, head[2])
        check("403" in head[1] and "{" not in head[1], head[1])


ALERTS = {"none": "certificate required|handshake failure", "expired": "certificate expired",
          "early": "bad certificate", "other": "unknown ca", "revoked": "certificate revoked",
          "eku": "unsupported certificate", "deep": "unknown ca", "self": "bad certificate|unknown ca"}


def required(pki):
    with serve(pki, "required") as server:
        count = 0
        for tls in ("1.3", "1.2"):
            for who, (_, reason) in PKI.items():
                code, out, err = curl(server, pki, who, "--tlsv" + tls, "--tls-max", tls)
                count += 1
                told(server, count)
                if reason == "ok":
                    equal((code, out[-3:]), (0, "200"), who + err)
                    continue
                check(code in (35, 56, 60), "%s over %s: curl %d %r %r" % (who, tls, code, out, err))
                if who in ALERTS and tls == "1.3":
                    check(re.search(ALERTS[who], err), "%s: %r" % (who, err))
        wanted = 2 * ["client-cert:" + reason for _, reason in PKI.values() if reason != "ok"]
        equal(causes(server), wanted)
        equal(len([line for line in log_lines(server) if "status" in line]), 4, "requests handled")


def the_alert_arrives(pki):
    """60 times out of 60: the socket is drained before it is closed."""
    with serve(pki, "required") as server:
        for i in range(60):
            code, out, err = curl(server, pki, "none")
            check(re.search(ALERTS["none"], err), "try %d: %d %r" % (i, code, err))


def identity(pki):
    with serve(pki, "optional") as server:
        code, out, err = curl(server, pki, "none")
        answer = json.loads(out.rsplit("\n", 1)[0])
        equal(answer["identity"], None)
        equal(answer["forwarded_client_cert"], None)
        code, out, err = curl(server, pki, "expired")
        check(code in (35, 56, 60), "optional takes a bad certificate: %r %r" % (out, err))
        code, out, err = curl(server, pki, "good")
        identity = json.loads(out.rsplit("\n", 1)[0])
        who = identity["identity"]
        equal(who["common_name"], "alice")
        equal(who["spiffe_id"], "spiffe://lab/ns/ops/sa/alice")
        equal(who["sans"], [["uri", "spiffe://lab/ns/ops/sa/alice"], ["email", "a@b.example"],
                            ["ip", "10.0.0.7"]])
        equal(who["issuer"], "CN=client-root")
        equal(who["serial"], tls_pki.serial(PKI["good"][0][0]))
        der = subprocess.run(["openssl", "x509", "-in", PKI["good"][0][0], "-outform", "DER"],
                             capture_output=True, check=True).stdout
        spki = subprocess.run(["openssl", "pkey", "-in", PKI["good"][0][1], "-pubout", "-outform",
                               "DER"], capture_output=True, check=True).stdout
        equal(who["cert_sha256"], hashlib.sha256(der).hexdigest())
        equal(who["spki_sha256"], hashlib.sha256(spki).hexdigest())
        equal(identity["forwarded_client_cert"],
              'Hash=%s;Subject="CN=alice";URI="spiffe://lab/ns/ops/sa/alice"' % who["cert_sha256"])
        code, out, err = curl(server, pki, "spoof")
        who = json.loads(out.rsplit("\n", 1)[0])["identity"]
        equal((who["common_name"], who["organization"]), ("mallory", "ops/CN=admin"))


def der_san(name):
    """subjectAltName of one DNS name, with any bytes."""
    names = b"\x82" + len(name).to_bytes(1, "big") + name
    return "DER:" + (b"\x30" + len(names).to_bytes(1, "big") + names).hex()


def shaken(server, pki, cert, key):
    """True when this client gets an answer; whatever its own library thinks of its certificate."""
    context = tls_pki.client_context(pki["server-ca"])
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(cert, key)
    try:
        with context.wrap_socket(server.connect_plain(), server_hostname="localhost") as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b" 200 " in shslib.read_all(sock)
    except OSError:
        return False


def odd_ones(pki):
    """What nobody issues by accident, and chains that lack something: each with its reason, over the wire."""
    directory, root = pki["dir"], pki["root-ca"]
    sub = tls_pki.CA(directory, "odd-sub", parent=root)
    alone = sub.client("odd-alone")
    with open(alone[0]) as chain:
        text = chain.read()
    with open(alone[0], "w") as out:
        out.write(text.split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")
    weak_key = directory + "/odd-1024.key"
    tls_pki._openssl("genrsa", "-out", weak_key, "1024")
    good = root.client("odd-chain")
    with open(good[0], "a") as out:  # 100 KiB of certificates that belong to nothing
        out.write(open(sub.cert).read() * 150)
    key = good[1]
    cases = [(root.client("odd-many", names=tuple("DNS:n%d.example" % i for i in range(10000)), key=key), "too-large"),
             (good, "too-large"),
             (root.client("odd-name", names=("URI:" + "a" * 65536,), key=key), "too-large"),
             (root.client("odd-name-2000", names=("URI:http://" + "a" * 2000,), key=key), "too-large"),
             (root.client("odd-nul", more=("subjectAltName = " + der_san(b"alice.example\0.evil.example"),), key=key),
              "ambiguous-identity"),
             (alone, "unknown-ca"),
             (root.client("odd-1024", key=weak_key), "weak"),
             (sub.client("odd-sub-client", key=key), "no-crl")]
    with serve(pki, "required") as server:
        for i, ((cert, private), reason) in enumerate(cases):
            check(not shaken(server, pki, cert, private), cert + " is let in")
            shslib.wait_until(lambda: len(causes(server)) > i, 10, "a line about " + cert)
            equal(causes(server)[i], "client-cert:" + reason, cert + repr(log_lines(server)[-1]))
    # A name is what its bytes are: Admin is not admin.
    with serve(pki, "required") as server:
        check(shaken(server, pki, *root.client("odd-case", subject="/CN=Admin", key=key)), "Admin")
        shslib.wait_until(lambda: log_lines(server), 10, "a line")
        equal(log_lines(server)[0]["user"], "Admin")


def wrong_command_lines(pki):
    base = [shslib.BIN, "serve", "--port", "0", "--cert", pki["server"][0], "--key", pki["server"][1]]
    for code, words, more in (
            (2, "--client-auth needs --client-ca", ["--client-auth", "required"]),
            (2, "--crl", ["--crl", pki["crl"]]),
            (2, "not one of", ["--client-auth", "maybe", "--client-ca", pki["root"]]),
            (1, "client CA file '/nonexistent'", ["--client-ca", "/nonexistent"]),
            (1, "not a CA certificate", ["--client-ca", pki["server"][0]]),
            (1, "not of a CA in the client CA file",
             ["--client-ca", pki["server-ca"], "--crl", pki["crl"]]),
            (1, "Cannot open the CRL file", ["--client-ca", pki["root"], "--crl", "/nonexistent"]),
            (2, "no cipher suite by the names 'NONSENSE'", ["--ciphers", "NONSENSE"]),
            (2, "groups 'NONSENSE'", ["--groups", "NONSENSE"]),
            (1, "needs 32 or more", ["--ticket-secret", "/dev/null"]),
            (1, "Cannot open the key log", ["--keylog", "/nonexistent/x"])):
        got, out, err = shslib.run(*base, *more, seconds=20)
        equal(got, code, " ".join(more) + ": " + err)
        check(words in err, "%s: %r" % (more, err))


def clients():
    with shslib.temp_dir() as directory:
        pki = make_pki(directory)
        tls_pki.each(pki, explain, required, the_alert_arrives, identity, odd_ones,
                     wrong_command_lines)


shslib.main(clients)
