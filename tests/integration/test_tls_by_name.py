"""Certificates by name and by kind of key; PEM, encrypted PEM, PKCS #12; policies; OCSP; key log."""

import json
import os
import re
import ssl
import stat

import shslib
import tls_pki
from shslib import check, equal

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def openssl(*arguments):
    code, out, err = shslib.run("openssl", *arguments, seconds=30)
    equal(code, 0, " ".join(arguments) + err)
    return out


def make_pki(directory):
    root = tls_pki.CA(directory, "root")
    middle = tls_pki.CA(directory, "middle", parent=root)
    pki = {
        "dir": directory, "root": root, "ca": root.cert,
        "default": root.issue("default"),
        "a-ec": middle.issue("a-ec", names=("DNS:a.example", "DNS:both.example")),
        "a-rsa": root.issue("a-rsa", names=("DNS:a.example", "DNS:rsa.example"), rsa=True),
        "wild": root.issue("wild", names=("DNS:*.wild.example",)),
        "exact": root.issue("exact", names=("DNS:one.wild.example",)),
    }
    cert, key = pki["wild"]
    pki["p12"] = directory + "/wild.p12"
    openssl("pkcs12", "-export", "-in", cert, "-inkey", key, "-out", pki["p12"], "-passout",
            "pass:sesame")
    pki["sealed"] = directory + "/sealed.key"
    openssl("pkcs8", "-topk8", "-in", pki["default"][1], "-out", pki["sealed"], "-v2", "aes-256-cbc",
            "-passout", "pass:sesame")
    shslib.write_file(directory + "/password", b"sesame\n")
    return pki


def flags(pki, *names):
    return [word for name in names for word in ("--cert", pki[name][0], "--key", pki[name][1])]


def serve(*arguments):
    return shslib.Server("--handler", "whoami", *arguments)


def leaf(server, pki, name, *more):
    """The serial that a client of that name gets, and what openssl says about the connection."""
    argv = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.port, "-CAfile", pki["ca"]]
    argv += ["-servername", name] if name else ["-noservername"]
    code, out, err = shslib.run(*argv, *more, *tls_pki.s_client_version(more), seconds=20)
    pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", out, re.S)
    if pem is None:
        return None, out + err
    got = shslib.run("openssl", "x509", "-noout", "-serial", stdin=pem.group(0).encode(), seconds=20)
    return got[1].strip().split("=")[1].lower(), out + err


def by_name(pki):
    with serve(*flags(pki, "default", "a-ec", "a-rsa", "wild", "exact")) as server:
        for name, sigalgs, wanted in (
                ("localhost", None, "default"), (None, None, "default"),
                ("unknown.example", None, "default"), ("wild.example", None, "default"),
                ("a.b.wild.example", None, "default"), ("A.Example", None, "a-ec"),
                ("both.example", None, "a-ec"), ("rsa.example", None, "a-rsa"),
                ("a.example", "RSA-PSS+SHA256", "a-rsa"), ("a.example", "ECDSA+SHA256", "a-ec"),
                ("x.wild.example", None, "wild"), ("one.wild.example", None, "exact")):
            for tls in ("-tls1_3", "-tls1_2"):
                more = [tls] + (["-sigalgs", sigalgs] if sigalgs else [])
                serial, out = leaf(server, pki, name, *more)
                equal(serial, tls_pki.serial(pki[wanted][0]), "%s %s\n%s" % (name, more, out[-500:]))
                # The chain is whole: the intermediate is sent.
                check("Verify return code: 0" in out, out[-1500:])
    with serve(*flags(pki, "default", "exact"), "--strict-sni") as server:
        serial, out = leaf(server, pki, "unknown.example")
        check(serial is None and "unrecognized name" in out, out[-500:])
        equal(leaf(server, pki, None)[0], tls_pki.serial(pki["default"][0]), "no name")


def chain_completed(pki):
    """A leaf without its intermediate gets it from the other certificate's file; order is mended."""
    cert, key = pki["a-ec"]
    alone = os.path.join(pki["dir"], "a-ec.leaf")
    mixed = os.path.join(pki["dir"], "mixed.pem")
    tls_pki.bundle(mixed, alone, pki["ca"], os.path.join(pki["dir"], "middle.pem"))
    other = pki["root"].issue("with-pool", names=("DNS:pool.example",))
    tls_pki.bundle(other[0], os.path.join(pki["dir"], "with-pool.leaf"),
                   os.path.join(pki["dir"], "middle.pem"))
    for first, sent in ((mixed, 3), (alone, 2)): # a root is sent when the file has it
        with serve("--cert", first, "--key", key, "--cert", other[0], "--key", other[1]) as server:
            serial, out = leaf(server, pki, "both.example", "-showcerts")
            check("Verify return code: 0" in out, out[-1500:])
            equal(out.count("BEGIN CERTIFICATE"), sent, "the chain that is sent")
            server.wait_stderr(r"1 certificate\(s\) in .* not part of the chain")


def thousand_names(pki):
    """1,000 names in four certificates: the first and the last of each are found."""
    key = pki["default"][1]
    certs = []
    base = pki["dir"] + "/many"
    os.mkdir(base)
    names = ["n%d.many.example" % i for i in range(250)]
    for i in range(4):
        cert, _ = pki["root"].issue("many-%d" % i, key=key, names=tuple(
            "DNS:%d-%s" % (i, name) for name in names))
        certs += ["--cert", cert, "--key", key]
    with serve(*flags(pki, "default"), *certs) as server:
        for i in (0, 3):
            for name in (names[0], names[-1]):
                serial, out = leaf(server, pki, "%d-%s" % (i, name))
                equal(serial, tls_pki.serial(pki["dir"] + "/many-%d.pem" % i), name)


def forms(pki):
    """PKCS #12 and encrypted PEM, with a password file; what is wrong with them has words."""
    password = ("--password-file", pki["dir"] + "/password")
    with serve("--cert", pki["p12"], *password) as server:
        equal(leaf(server, pki, "x.wild.example")[0], tls_pki.serial(pki["wild"][0]))
    with serve("--cert", pki["default"][0], "--key", pki["sealed"], *password) as server:
        equal(leaf(server, pki, "localhost")[0], tls_pki.serial(pki["default"][0]))
    for argv, words in ((["--cert", pki["p12"]], "PKCS #12 file .* is encrypted and there is no"),
                        (["--cert", pki["default"][0], "--key", pki["sealed"]], "is encrypted")):
        code, out, err = shslib.run(shslib.BIN, "serve", "-p", "0", *argv, seconds=20)
        equal(code, 1, err)
        check(re.search(words, err), err)


def talk(server, pki, *more):
    argv = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.port, "-servername",
            "localhost", "-CAfile", pki["ca"], "-quiet", "-ign_eof"]
    code, out, err = shslib.run(*argv, *more, seconds=20, stdin=REQUEST)
    if "\r\n\r\n" not in out:
        return None
    return json.loads(out.split("\r\n\r\n", 1)[1])["tls"]


def policies(pki):
    one = flags(pki, "default")
    with serve(*one) as server:
        equal(talk(server, pki, "-tls1_2")["version"], "TLSv1.2")
        got = talk(server, pki)
        equal((got["version"], got["group"], got["signature"], got["sni"]),
              ("TLSv1.3", "x25519", "ecdsa_secp256r1_sha256", "localhost"))
        equal(talk(server, pki, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), None)
    for more in (("--tls-policy", "modern"), ("--tls-min", "1.3")):
        with serve(*one, *more) as server:
            equal(talk(server, pki, "-tls1_2"), None, more)
            equal(talk(server, pki)["version"], "TLSv1.3", more)
    with serve(*one, "--ciphers", "TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
               "--groups", "P-384") as server:
        got = talk(server, pki)
        equal((got["cipher"], got["group"]), ("TLS_AES_128_GCM_SHA256", "secp384r1"))
        equal(talk(server, pki, "-tls1_2")["cipher"], "ECDHE-ECDSA-AES256-GCM-SHA384")
        equal(talk(server, pki, "-tls1_3", "-groups", "X25519"), None)
    # The system's configuration cannot weaken it.
    weak = pki["dir"] + "/openssl.cnf"
    shslib.write_file(weak, b"openssl_conf = c\n[c]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\n"
                      b"MinProtocol = TLSv1\nMaxProtocol = TLSv1.2\nCipherString = ALL:@SECLEVEL=0\n"
                      b"Ciphersuites = TLS_AES_128_CCM_SHA256\nOptions = UnsafeLegacyRenegotiation\n")
    with shslib.Server("--handler", "whoami", *one, env={"OPENSSL_CONF": weak}) as server:
        equal(talk(server, pki, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), None)
        equal(talk(server, pki)["cipher"], "TLS_AES_128_GCM_SHA256")  # though its client has another first
        equal(talk(server, pki, "-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"), None)


def ocsp(pki):
    """Stapled while fresh; about another certificate, it is not stapled, which hinders nothing."""
    root, (cert, key) = pki["root"], pki["default"]
    def response(name, about, *more):
        path = "%s/%s.der" % (pki["dir"], name)
        openssl("ocsp", "-index", root.base + ".db/index.txt", "-CA", root.cert, "-rsigner", root.cert,
                "-rkey", root.key, "-issuer", root.cert, "-cert", about, "-respout", path, *more)
        return path

    good = response("good", cert, "-ndays", "2")
    with serve("--cert", cert, "--key", key, "--ocsp", good) as server:
        for tls in ("-tls1_3", "-tls1_2"):
            out = leaf(server, pki, "localhost", "-status", tls)[1]
            check("Cert Status: good" in out, out[:1500])
        check("OCSP Response Status" not in leaf(server, pki, "localhost")[1], "unasked")
    other = response("other", pki["exact"][0], "-ndays", "2")
    with serve("--cert", cert, "--key", key, "--ocsp", other) as server:
        server.wait_stderr("about another certificate, and is not stapled")
        check("OCSP response: no response sent" in leaf(server, pki, "localhost", "-status")[1], "no staple")
    code, out, err = shslib.run(shslib.BIN, "serve", "-p", "0", "--cert", cert, "--key", key, "--ocsp",
                                cert, seconds=20)
    check(code == 1 and "not an OCSP response in DER" in err, err)


def keylog(pki):
    path = pki["dir"] + "/keys"
    with serve(*flags(pki, "default"), "--keylog", path) as server:
        talk(server, pki)
        talk(server, pki, "-tls1_2")
    text = open(path).read()
    check(re.search(r"^SERVER_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]+$", text, re.M), text)
    check(re.search(r"^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}$", text, re.M), text)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    # A full disk: the clients are served, and their owner is told, once.
    with serve(*flags(pki, "default"), "--keylog", "/dev/full") as server:
        for _ in range(3):
            check(talk(server, pki), "refused for the sake of a log")
        server.wait_stderr("key log '/dev/full' cannot be written: No space left")
        equal(server.stderr.count("key log"), 1)


def must_staple(pki):
    """Whoever looks at it refuses such a certificate without a response: its owner is told at the start."""
    more = ("tlsfeature = status_request",)
    cert, key = pki["root"].issue("must-staple", more=more)
    response = pki["dir"] + "/must-staple.der"
    root = pki["root"]
    openssl("ocsp", "-index", root.base + ".db/index.txt", "-CA", root.cert, "-rsigner", root.cert, "-rkey", root.key,
            "-issuer", root.cert, "-cert", cert, "-respout", response, "-ndays", "2")
    with serve("--cert", cert, "--key", key) as server:
        server.wait_stderr("must-staple")
    with serve("--cert", cert, "--key", key, "--ocsp", response) as server:
        check(talk(server, pki), "not served")
        check("must-staple" not in server.stderr, server.stderr)


def names():
    with shslib.temp_dir() as directory:
        tls_pki.each(make_pki(directory), by_name, chain_completed, thousand_names, forms, policies,
                     ocsp, keylog, must_staple)


shslib.main(names)
