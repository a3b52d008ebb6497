"""Which CRLs decide about a client: those of its own chain, the newest, with their deltas; one line for each case."""

import contextlib
import http.client
import json
import os
import re
import ssl
import time

import shslib
import tls_pki
from shslib import check, equal

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
THREADINGS, VERSIONS = ("pool", "thread"), (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)
NO_ALERT = "no alert"
ALERTS = {"revoked": "CERTIFICATE_REVOKED", "crl-expired": "CERTIFICATE_EXPIRED|BAD_CERTIFICATE",
          "no-crl": "UNKNOWN_CA|CERTIFICATE_UNKNOWN|BAD_CERTIFICATE|UNKNOWN"}


def make_pki(directory):
    server = tls_pki.CA(directory, "server-root")
    ca, other = tls_pki.CA(directory, "ca"), tls_pki.CA(directory, "other")
    issuing = tls_pki.CA(directory, "issuing", parent=ca)
    os.mkdir(directory + "/impostor")
    impostor = tls_pki.CA(directory + "/impostor", "issuing", parent=ca)  # the same name, another key
    pki = {"dir": directory, "server": server.issue("server"), "server_ca": server.cert, "ca": tls_pki.OneAtATime(ca),
           "other": tls_pki.OneAtATime(other), "issuing": tls_pki.OneAtATime(issuing),
           "impostor": tls_pki.OneAtATime(impostor), "crls": directory + "/crls",
           "bundle": tls_pki.bundle(directory + "/bundle.pem", ca.cert, other.cert, issuing.cert)}
    pki["clients"] = {name: ca.client(name) for name in ("a", "m", "n", "h")}
    pki["clients"]["b"] = other.client("b")
    pki["clients"]["i"] = issuing.client("i")
    tls_pki.bundle(directory + "/issuing.leaf", issuing.cert)  # what crl_of revokes
    return pki


def publish(pki, name, crls):
    """A directory with these CRLs, or one file with all of them: {file: (CA, what crl_of takes)}."""
    directory = os.path.join(pki["crls"], name)
    os.makedirs(directory)
    now = time.time()  # the same for all
    for file, (ca, keywords) in crls.items():
        pki[ca].crl_of(os.path.join(directory, file), now=now, **keywords)
    one = os.path.join(pki["crls"], name + ".pem")
    return directory, tls_pki.bundle(one, *(os.path.join(directory, file) for file in crls))


def serve(pki, crl, auth="required", threading="pool", *more):
    return shslib.Server("--handler", "whoami", "--cert", pki["server"][0], "--key", pki["server"][1],
                         "--client-ca", pki["bundle"], "--crl", crl, "--client-auth", auth, "--threading", threading,
                         "--log", "json", *more)


class Client:
    """A connection that stays open; `session`: what it comes with."""

    def __init__(self, server, pki, who, version=ssl.TLSVersion.TLSv1_3):
        self.context = ssl.create_default_context(cafile=pki["server_ca"])
        self.context.minimum_version = self.context.maximum_version = version
        self.context.load_cert_chain(*pki["clients"][who])
        self.open(server)

    def open(self, server, session=None):
        self.sock = self.context.wrap_socket(server.connect_plain(), server_hostname="localhost", session=session)

    def get(self):
        """(status, body); (None, the alert) when it is not let in."""
        try:
            self.sock.settimeout(10 * shslib.SLOWNESS)
            self.sock.sendall(REQUEST)
            answer = http.client.HTTPResponse(self.sock)
            answer.begin()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            return None, str(error)


def ask(server, pki, who, version):
    """The same for a new connection."""
    try:
        return Client(server, pki, who, version).get()
    except OSError as error:
        return None, str(error)


def causes(server):
    return [line["cause"] for line in map(json.loads, server.stderr_lines()) if line.get("event")]


def judged(server, pki, who, version, wanted, explained):
    """One client: it is let in, or refused with an alert and its reason, or with 403 and its reason."""
    before = len(causes(server))
    status, answer = ask(server, pki, who, version)
    what = "%s: %s %r" % (who, status, answer)
    if wanted == "ok":
        equal(status, 200, what)
        check(answer["identity"]["verified"], what)
        return
    if explained:
        equal((status, answer.get("reason")), (403, wanted), what)
    else:
        equal(status, None, what)
        check(re.search(ALERTS[wanted], answer.upper().replace(" ", "_")), what)
    shslib.wait_until(lambda: len(causes(server)) > before, 10, "a line about " + who)
    equal(causes(server)[before:], ["client-cert:" + wanted], who)


FRESH, STALE = {"since": -60}, {"since": -7200, "until": -3600}
HOLD, GONE = {"h": "certificateHold"}, {"h": "removeFromCRL"}

# What is published; then who is let in. All files in a directory, and all in one file.
CASES = {
    "the CRL of another CA has lapsed": (
        {"a.crl": ("ca", FRESH), "b.crl": ("other", STALE), "i.crl": ("issuing", FRESH)},
        {"a": "ok", "b": "crl-expired", "i": "ok"}),
    "a root's has lapsed, and its issuing CA's is fresh": (
        {"a.crl": ("ca", STALE), "b.crl": ("other", FRESH), "i.crl": ("issuing", FRESH)},
        {"a": "crl-expired", "b": "ok", "i": "crl-expired"}),
    "an issuing CA's has lapsed": (
        {"a.crl": ("ca", FRESH), "i.crl": ("issuing", STALE)},
        {"a": "ok", "b": "no-crl", "i": "crl-expired"}),
    "an issuing CA has none": ({"a.crl": ("ca", FRESH)}, {"a": "ok", "i": "no-crl"}),
    "an issuing CA is revoked": (
        {"a.crl": ("ca", {"revoked": ["issuing"]}), "i.crl": ("issuing", FRESH)},
        {"a": "ok", "i": "revoked"}),
    "a client of an issuing CA is revoked": (
        {"a.crl": ("ca", FRESH), "i.crl": ("issuing", {"revoked": ["i"]})}, {"a": "ok", "i": "revoked"}),
    "an old backup beside a fresh one": (
        {"a.crl": ("ca", {"revoked": ["m"], "number": 7}), "a.crl.bak": ("ca", dict(STALE, number=6))},
        {"a": "ok", "m": "revoked"}),
    "a backup that is fresh still, from before": (
        {"a.crl": ("ca", {"revoked": ["m"], "number": 7}),
         "a.crl.bak": ("ca", {"revoked": ["n"], "number": 6, "since": -7200})},
        {"a": "ok", "m": "revoked", "n": "ok"}),
    "two of one second: the number tells": (
        {"old.crl": ("ca", {"revoked": ["n"], "number": 6}), "new.crl": ("ca", {"revoked": ["m"], "number": 7})},
        {"a": "ok", "m": "revoked", "n": "ok"}),
    "two of one second without numbers: both count": (
        {"1.crl": ("ca", {"revoked": ["n"]}), "2.crl": ("ca", {"revoked": ["m"]})},
        {"a": "ok", "m": "revoked", "n": "revoked"}),
    "the clock of the CA was set back: both count": (
        {"1.crl": ("ca", {"revoked": ["n"], "number": 7, "since": -7200}),
         "2.crl": ("ca", {"revoked": ["m"], "number": 6})},
        {"a": "ok", "m": "revoked", "n": "revoked"}),
    "one of tomorrow": ({"a.crl": ("ca", {"since": 86400, "until": 172800})}, {"a": "crl-expired"}),
    "one of today, and one of tomorrow": (
        {"a.crl": ("ca", FRESH), "late.crl": ("ca", {"since": 86400, "until": 172800, "revoked": ["m"]})},
        {"a": "ok", "m": "revoked"}),
    "a base and its delta": (
        {"CA.crl": ("ca", {"revoked": ["m"], "number": 5, "since": -600}),
         "CA+.crl": ("ca", {"revoked": ["n"], "number": 6, "delta": 5})},
        {"a": "ok", "m": "revoked", "n": "revoked"}),
    "a delta that says nothing": (
        {"CA.crl": ("ca", {"revoked": ["m"], "number": 5, "since": -600}),
         "CA+.crl": ("ca", {"number": 6, "delta": 5})},
        {"a": "ok", "m": "revoked"}),
    "a delta takes a hold off": (
        {"CA.crl": ("ca", {"revoked": HOLD, "number": 5, "since": -600}),
         "CA+.crl": ("ca", {"revoked": GONE, "number": 6, "delta": 5})},
        {"a": "ok", "h": "ok"}),
    "a hold without a delta": ({"CA.crl": ("ca", {"revoked": HOLD, "number": 5})}, {"a": "ok", "h": "revoked"}),
    "a delta takes nobody else off": (
        {"CA.crl": ("ca", {"revoked": {"m": "keyCompromise", "h": ""}, "number": 5, "since": -600}),
         "CA+.crl": ("ca", {"revoked": {"m": "removeFromCRL", "h": "removeFromCRL"}, "number": 6, "delta": 5})},
        {"a": "ok", "m": "revoked", "h": "revoked"}),
    "a hold that a later delta takes off, and one that it puts on": (
        {"CA.crl": ("ca", {"number": 5, "since": -600}),
         "1+.crl": ("ca", {"revoked": HOLD, "number": 6, "since": -300, "delta": 5}),
         "2+.crl": ("ca", {"revoked": {"h": "removeFromCRL", "n": "certificateHold"}, "number": 7, "delta": 5})},
        {"a": "ok", "h": "ok", "n": "revoked"}),
    "a delta that has lapsed takes nobody off": (
        {"CA.crl": ("ca", {"revoked": HOLD, "number": 5, "since": -9000}),
         "CA+.crl": ("ca", dict(STALE, revoked=dict(GONE, n=""), number=6, delta=5))},
        {"a": "ok", "h": "revoked", "n": "revoked"}),
    "a delta of a later base takes nobody off": (
        {"CA.crl": ("ca", {"revoked": HOLD, "number": 5, "since": -600}),
         "CA+.crl": ("ca", {"revoked": dict(GONE, n=""), "number": 8, "delta": 7})},
        {"a": "ok", "h": "revoked", "n": "revoked"}),
    "a delta of before its base": (
        {"CA.crl": ("ca", {"revoked": HOLD, "number": 9}),
         "CA+.crl": ("ca", {"revoked": dict(GONE, n=""), "number": 6, "since": -600, "delta": 5})},
        {"a": "ok", "h": "revoked", "n": "ok"}),
    "a delta alone": ({"CA+.crl": ("ca", {"number": 6, "delta": 5})}, {"a": "no-crl"}),
    "a delta whose base has lapsed": (
        {"CA.crl": ("ca", dict(STALE, number=5)), "CA+.crl": ("ca", {"number": 6, "delta": 5})},
        {"a": "crl-expired"}),
    "for clients only, and for CAs only": (
        {"user.crl": ("ca", {"revoked": ["m"], "more": ["issuingDistributionPoint = critical,@idp", "[idp]",
                                                        "onlyuser = TRUE"]}),
         "ca.crl": ("ca", {"revoked": ["issuing"], "more": ["issuingDistributionPoint = critical,@idp", "[idp]",
                                                            "onlyCA = TRUE"]}),
         "i.crl": ("issuing", FRESH)},
        {"a": "ok", "m": "revoked", "i": "revoked"}),
    "for clients only, from before a hold was taken off by one for all": (
        {"user.crl": ("ca", {"revoked": HOLD, "number": 6, "since": -600,
                             "more": ["issuingDistributionPoint = critical,@idp", "[idp]", "onlyuser = TRUE"]}),
         "all.crl": ("ca", {"revoked": ["m"], "number": 7})},
        {"a": "ok", "h": "ok", "m": "revoked"}),
    "for all, and a later one for clients only, of another row of numbers": (
        {"all.crl": ("ca", {"revoked": ["m"], "number": 6, "since": -600}),
         "user.crl": ("ca", {"number": 7, "more": ["issuingDistributionPoint = critical,@idp", "[idp]",
                                                   "onlyuser = TRUE"]})},
        {"a": "ok", "m": "revoked"}),
    "a delta of another scope takes nobody off": (
        {"CA.crl": ("ca", {"revoked": HOLD, "number": 5, "since": -600}),
         "CA+.crl": ("ca", {"revoked": GONE, "number": 6, "delta": 5, "more": [
             "issuingDistributionPoint = critical,@idp", "[idp]", "onlyuser = TRUE"]})},
        {"a": "ok", "h": "revoked"}),
    "for CAs only": (
        {"ca.crl": ("ca", {"more": ["issuingDistributionPoint = critical,@idp", "[idp]", "onlyCA = TRUE"]})},
        {"a": "no-crl"}),
    "of a place that the certificate does not name": (
        {"ca.crl": ("ca", {"more": ["issuingDistributionPoint = critical,@idp", "[idp]",
                                    "fullname = URI:http://crl.example/1"]})},
        {"a": "no-crl"}),
}


def check_case(pki, name, number, crls, wanted):
    """Each client, with either version of TLS, under either way of threading; refused with an alert, and with 403."""
    ways = publish(pki, name.replace(" ", "-").replace(":", ""), crls)
    for i, (auth, explained) in enumerate((("required", False), ("explain", True))):
        with serve(pki, ways[(number // 2 + i) % 2], auth, THREADINGS[(number + i) % 2]) as server:
            for version in VERSIONS:
                for who, reason in wanted.items():
                    judged(server, pki, who, version, reason, explained)


def check_cases(pki, cases):
    """Some side by side: most of it is waiting for a server to begin or to end."""
    def checked(numbered):
        number, (name, (crls, wanted)) = numbered
        try:
            check_case(pki, name, number, crls, wanted)
        except shslib.Failure as failure:
            raise shslib.Failure("%s: %s" % (name, failure))
    tls_pki.at_once(checked, list(enumerate(cases.items())), 4)


def table(pki):
    check_cases(pki, CASES)


# The issuing CA is not in the file of client CAs: it comes along with its client.
BROUGHT = {
    "its CRL is here": ({"a.crl": ("ca", FRESH), "i.crl": ("issuing", FRESH)}, {"a": "ok", "i": "ok"}),
    "its CRL revokes": ({"a.crl": ("ca", FRESH), "i.crl": ("issuing", {"revoked": ["i"]})}, {"a": "ok", "i": "revoked"}),
    "it is revoked itself": ({"a.crl": ("ca", {"revoked": ["issuing"]}), "i.crl": ("issuing", FRESH)},
                             {"a": "ok", "i": "revoked"}),
    "it has no CRL": ({"a.crl": ("ca", FRESH)}, {"a": "ok", "i": "no-crl"}),
    "its CRL has lapsed": ({"a.crl": ("ca", FRESH), "i.crl": ("issuing", STALE)}, {"a": "ok", "i": "crl-expired"}),
    "one of its name and another key": ({"a.crl": ("ca", FRESH), "i.crl": ("impostor", FRESH)}, {"a": "ok", "i": "no-crl"}),
    "that one beside its own": (
        {"a.crl": ("ca", FRESH), "1.crl": ("impostor", STALE), "2.crl": ("issuing", FRESH)}, {"a": "ok", "i": "ok"}),
    "its base and delta": (
        {"a.crl": ("ca", FRESH), "i.crl": ("issuing", {"number": 5, "since": -600}),
         "i+.crl": ("issuing", {"revoked": ["i"], "number": 6, "delta": 5})}, {"a": "ok", "i": "revoked"}),
}


def brought(pki):
    alone = dict(pki, bundle=pki["ca"].cert)
    check_cases(alone, BROUGHT)
    both, _ = publish(pki, "brought", {"a.crl": ("ca", FRESH), "i.crl": ("issuing", FRESH)})
    with serve(alone, both) as server:
        server.wait_stderr(r"The CRL in '[^']*i.crl' is of 'CN=issuing', which is not in the client CA file: it counts for")
    # Without any of a CA in the file it is the wrong file.
    code, _, err = start(alone, both + "/i.crl")
    check(code == 1 and "is not of a CA in the client CA file" in err and both + "/i.crl" in err, err)
    # One with the name of a CA in the file, which says that another key has signed it, is kept and said.
    other_key = open(pki["impostor"].crl_of(pki["dir"] + "/stranger.crl")).read()
    shslib.write_file(both + "/stranger.crl", other_key)
    with serve(pki, both) as server:
        server.wait_stderr(r"The CRL in '[^']*stranger.crl' is signed with another key than 'CN=issuing' has")
        judged(server, pki, "i", VERSIONS[0], "ok", False)
    # But one that says that it is by a key in the file, or says nothing, must be signed by it: it may be damaged.
    der = bytearray(ssl.PEM_cert_to_DER_cert(open(both + "/i.crl").read().replace("X509 CRL", "CERTIFICATE")))
    der[-1] ^= 1
    shslib.write_file(both + "/stranger.crl", bytes(der))
    code, _, err = start(pki, both)
    check(code == 1 and "is not signed by 'CN=issuing'" in err and "stranger.crl" in err, err)
    pki["impostor"].crl_of(both + "/stranger.crl", more=None)
    code, _, err = start(pki, both)
    check(code == 1 and "is not signed by 'CN=issuing'" in err and "stranger.crl" in err, err)


def replaced(pki):
    """A CA gets a new key, and the old certificate is taken out of the file of CAs; or another CA is. Their CRLs are
    there still: they are said, and hold up nothing."""
    directory = os.path.join(pki["dir"], "replaced")
    os.mkdir(directory)
    os.mkdir(directory + "/old")
    cas = {"new": tls_pki.CA(directory, "root"), "old": tls_pki.CA(directory + "/old", "root"), "gone": tls_pki.CA(directory, "gone")}
    mine = dict(pki, clients={who: ca.client("client-" + who) for who, ca in cas.items()}, bundle=directory + "/cas.pem")
    crls = os.path.join(directory, "crls")
    os.mkdir(crls)
    for who, ca in cas.items():
        ca.crl_of(os.path.join(crls, who + ".crl"))
    for threading in THREADINGS:
        tls_pki.bundle(mine["bundle"], *(ca.cert for ca in cas.values()))
        with serve(mine, crls, "required", threading) as server:
            for who in cas:
                judged(server, mine, who, VERSIONS[0], "ok", False)
            tls_pki.bundle(mine["bundle"], cas["new"].cert)
            server.signal(1)
            server.wait_stderr("Files read again")
            server.wait_stderr(r"old.crl' is signed with another key than 'CN=root' has")
            server.wait_stderr(r"gone.crl' is of 'CN=gone', which is not in the client CA file")
            for version in VERSIONS:
                judged(server, mine, "new", version, "ok", False)
                for who in ("old", "gone"):
                    equal(ask(server, mine, who, version)[0], None, who)


RELATIVE = ["issuingDistributionPoint = critical,@idp", "[idp]", "relativename = part", "[part]", "OU = part %d"]


def places(pki):
    """A certificate that names a place is judged by the CRL of that place, and by no other: a URI, or a name that is
    relative to the issuer, in the certificate, in the CRL, or in both."""
    whole = ("crlDistributionPoints = dp", "[dp]", "fullname = dirName:name", "[name]", "1.CN = ca", "2.OU = part %d")
    cases = (
        ("uri", ("crlDistributionPoints = URI:http://crl.example/%d",),
         ["issuingDistributionPoint = critical,@idp", "[idp]", "fullname = URI:http://crl.example/%d"]),
        ("relative", ("crlDistributionPoints = dp", "[dp]", "relativename = part", "[part]", "OU = part %d"), RELATIVE),
        ("to-relative", whole, RELATIVE),
        ("from-relative", ("crlDistributionPoints = dp", "[dp]", "relativename = part", "[part]", "OU = part %d"),
         ["issuingDistributionPoint = critical,@idp", "[idp]", "fullname = dirName:name", "[name]", "1.CN = ca",
          "2.OU = part %d"]))
    for number, (kind, where, point) in enumerate(cases):
        wanted, key = {}, pki["clients"]["a"][1]
        for i in (1, 2):
            for who, reason in (("p", "ok"), ("q", "revoked")):
                name = "%s-%s%d" % (kind, who, i)
                pki["clients"][name] = pki["ca"].client(name, key=key, more=[line.replace("%d", str(i)) for line in where])
                wanted[name] = reason
        crls = {"%d.crl" % i: ("ca", {"revoked": ["%s-q%d" % (kind, i), "%s-p%d" % (kind, 3 - i)],
                                      "more": [line.replace("%d", str(i)) for line in point]}) for i in (1, 2)}
        check_case(pki, "places-" + kind, number, crls, dict(wanted, a="no-crl"))


def two_places(pki):
    """A certificate that names two places is refused when either of their CRLs revokes it, also the older one."""
    pki["clients"]["t"] = pki["ca"].client("t", more=("crlDistributionPoints = URI:http://crl.example/1,"
                                                      "URI:http://crl.example/2",))
    point = ["issuingDistributionPoint = critical,@idp", "[idp]", "fullname = URI:http://crl.example/%d"]
    for number, revoked in ((1, {1: ["t"], 2: []}), (2, {1: [], 2: []})):
        crls = {"%d.crl" % i: ("ca", {"revoked": revoked[i], "number": 4 + i, "since": -600 // i,
                                      "more": point[:2] + [point[2] % i]}) for i in (1, 2)}
        with serve(pki, publish(pki, "two-places-%d" % number, crls)[0]) as server:
            judged(server, pki, "t", ssl.TLSVersion.TLSv1_3, "revoked" if revoked[1] else "ok", False)


def renewed(pki):
    """A CA with two certificates of one key: its CRL counts when one of them may sign CRLs, in any order."""
    old = os.path.join(pki["dir"], "ca-old.pem")
    config = old + ".cnf"
    shslib.write_file(config, "[req]\ndistinguished_name = dn\nx509_extensions = v3\n[dn]\n[v3]\n"
                      "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign\n"
                      "subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n")
    tls_pki._openssl("req", "-x509", "-new", "-key", os.path.join(pki["dir"], "ca.key"), "-subj", "/CN=ca", "-days", "90", "-config", config,
                     "-out", old)
    crl = pki["ca"].crl_of(os.path.join(pki["dir"], "renewed.crl"), revoked=["m"])
    for files in ((old, pki["ca"].cert), (pki["ca"].cert, old)):
        both = tls_pki.bundle(os.path.join(pki["dir"], "renewed.pem"), *files)
        with serve(dict(pki, bundle=both), crl) as server:
            judged(server, pki, "a", ssl.TLSVersion.TLSv1_3, "ok", False)
            judged(server, pki, "m", ssl.TLSVersion.TLSv1_3, "revoked", False)
    code, _, err = start(dict(pki, bundle=old), crl)
    check(code == 1 and "cRLSign" in err, err)


def nothing_lost(pki):
    """What stands behind a CRL in its file is read, or named: an old CRL must not hide a new one."""
    pem = {}
    for name, revoked in (("old", []), ("new", ["m"])):
        path = pki["ca"].crl_of(os.path.join(pki["dir"], name + "-lost.crl"), revoked=revoked,
                                since=-60 if revoked else -600)
        pem[name] = open(path, "rb").read()
    der = {name: ssl.PEM_cert_to_DER_cert(text.decode().replace("X509 CRL", "CERTIFICATE")) for name, text in pem.items()}
    two = ssl.DER_cert_to_PEM_cert(der["old"] + der["new"]).replace("CERTIFICATE", "X509 CRL").encode()
    for what, content in {"DER, DER": der["old"] + der["new"], "DER, PEM": der["old"] + pem["new"],
                          "PEM, DER": pem["old"] + der["new"], "two in a block": two,
                          "PEM, UTF-16": pem["old"] + pem["new"].decode().encode("utf-16"),
                          "UTF-16, PEM": pem["new"].decode().encode("utf-16") + pem["old"]}.items():
        path = os.path.join(pki["dir"], "lost.crl")
        shslib.write_file(path, content)
        code, _, err = start(pki, path)
        check(code == 1 and path in err and len(err.strip().splitlines()) == 1, "%s: %r" % (what, err))
        check("lost" in err or "block of its own" in err, "%s: %r" % (what, err))
    shslib.write_file(path, b"0 comes first\n" + pem["old"] + b"and then\n" + pem["new"])
    with serve(pki, path) as server:
        judged(server, pki, "m", ssl.TLSVersion.TLSv1_3, "revoked", False)


def start(pki, crl, *more):
    return shslib.run(shslib.BIN, "serve", "-p", "0", "--cert", pki["server"][0], "--key", pki["server"][1],
                      "--client-ca", pki["bundle"], "--crl", crl, *more, seconds=20)


def not_understood(pki):
    """One line with the file and what is wrong, exit 1; at reload the old ones stay."""
    idp = ["issuingDistributionPoint = critical,@idp", "[idp]"]
    good, _ = publish(pki, "good", {"a.crl": ("ca", {"revoked": ["m"]})})
    with serve(pki, good) as server:
        for number, (more, words) in enumerate((
                (idp + ["indirectCRL = TRUE"], "indirect"),
                (idp + ["onlysomereasons = keyCompromise"], "some reasons only"),
                (idp + ["onlyAA = TRUE"], "attribute certificates"),
                (["1.2.3.4 = critical,ASN1:NULL"], "critical extension 1.2.3.4"),
                (["2.5.29.27 = critical,ASN1:INTEGER:1"], "delta without a number"),
                (["2.5.29.20 = ASN1:UTF8String:x"], "malformed extension"))):
            path = pki["ca"].crl_of(os.path.join(pki["dir"], "bad.crl"), more=more)
            code, _, err = start(pki, path)
            equal((code, len(err.strip().splitlines())), (1, 1), err)
            check(path in err and words in err, "%r: %r" % (more, err))
            os.rename(path, os.path.join(good, "bad.crl"))
            server.signal(1)
            shslib.wait_until(lambda: server.stderr.count("not reloaded") > number, 10, "a refusal of %r" % more)
            os.unlink(os.path.join(good, "bad.crl"))
            judged(server, pki, "m", ssl.TLSVersion.TLSv1_3, "revoked", False)
            judged(server, pki, "a", ssl.TLSVersion.TLSv1_3, "ok", False)
    for name, make, words in (("dangling.crl", lambda path: os.symlink("/nonexistent", path), "Cannot read"),
                              ("pipe.crl", os.mkfifo, "is not a file"),
                              ("empty.crl", lambda path: open(path, "w").close(), "There is no CRL in")):
        path = os.path.join(good, name)
        make(path)
        code, _, err = start(pki, good)
        check(code == 1 and path in err and words in err, "%s: %r" % (name, err))
        os.unlink(path)


def said(pki):
    """A CRL past its nextUpdate is said when it is loaded: its file, since when, and whose clients."""
    made = [time.time()]
    directory, _ = publish(pki, "said", {"a.crl": ("ca", FRESH), "b.crl": ("other", STALE),
                                         "i.crl": ("issuing", FRESH)})
    made.append(time.time())
    with serve(pki, directory) as server:
        def lines():
            return [line["message"] for line in map(json.loads, server.stderr_lines()) if "nextUpdate" in line["message"]]
        shslib.wait_until(lambda: len(lines()) == 1, 10, "a line")
        since = [time.strftime("since %Y-%m-%dT%H:%M", time.gmtime(when + STALE["until"])) for when in made]
        check("b.crl'" in lines()[0] and "CN=other" in lines()[0] and "refused" in lines()[0], lines()[0])
        check(re.search(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines()[0]), lines()[0])
        minute = re.search(r"since \d{4}-\d\d-\d\dT\d\d:\d\d", lines()[0]).group()
        check(since[0] <= minute <= since[1], "%s: %s" % (since, lines()[0]))
        pki["ca"].crl_of(directory + "/a-old.crl", **STALE)
        server.signal(1)
        shslib.wait_until(lambda: len(lines()) == 3, 10, "a line for each after the reload")
        line = [line for line in lines()[1:] if "a-old.crl'" in line][0]
        check("CN=ca'" in line and "another that is fresh" in line, line)
    # One that is not good yet.
    early = {"since": 3600, "until": 7200}
    with serve(pki, publish(pki, "said-early", {"a.crl": ("ca", FRESH), "a-next.crl": ("ca", early),
                                                "b.crl": ("other", early), "i.crl": ("issuing", FRESH)})[0]) as server:
        def lines():
            return [line["message"] for line in map(json.loads, server.stderr_lines()) if "thisUpdate" in line["message"]]
        shslib.wait_until(lambda: len(lines()) == 2, 10, "a line for each")
        of = {name: [line for line in lines() if "CN=%s'" % name in line][0] for name in ("ca", "other")}
        check("a-next.crl'" in of["ca"] and "judged by another until then" in of["ca"], of["ca"])
        check("b.crl'" in of["other"] and "refused until then" in of["other"], of["other"])
        judged(server, pki, "a", ssl.TLSVersion.TLSv1_3, "ok", False)
        judged(server, pki, "b", ssl.TLSVersion.TLSv1_3, "crl-expired", False)
    # A CA that no CRL speaks of.
    with serve(pki, publish(pki, "said-none", {"a.crl": ("ca", FRESH), "b.crl": ("other", FRESH)})[0]) as server:
        shslib.wait_until(lambda: "1 client CA(s) have no CRL, 'CN=issuing':" in server.stderr, 10, "a line")
        judged(server, pki, "i", ssl.TLSVersion.TLSv1_3, "no-crl", False)
        check("no CRL of 'CN=issuing', which issued 'CN=i'" in server.stderr, server.stderr)


def lapse_client(server, client, session, explained):
    """Who comes back after its CRL has lapsed."""
    try:
        client.open(server, session)
        status, _ = client.get()
        check(not client.sock.session_reused, "its session is good still")
        equal(status, 403 if explained else None)
    except OSError:
        check(not explained, "no answer that explains")
    client.sock.close()  # what is refused is a line when its connection is over


def open_clients(pki, stack, directory):
    """[(server, version, does it explain, its clients, their sessions)] for each way to serve and each version."""
    rounds = []
    for threading in THREADINGS:
        for auth in ("required", "explain"):
            for version in VERSIONS:
                server = stack.enter_context(serve(pki, directory, auth, threading, "--idle-timeout", "120000"))
                clients = {who: Client(server, pki, who, version) for who in ("a", "b")}
                for who, client in clients.items():
                    equal(client.get()[0], 200, who)
                sessions = {who: client.sock.session for who, client in clients.items()}
                rounds.append((server, version, auth == "explain", clients, sessions))
    return rounds


def lapses(pki):
    """A CRL lapses while it is served by: who is open, who comes back and who is new, of its CA and of another;
    and one that lapses beside another of the same CA that is fresh."""
    for life in (3, 10, 30, 90):  # where it was over before all were in, there is nothing to find out
        name = "lapses-%d" % life
        directory, _ = publish(pki, name, {"a.crl": ("ca", FRESH), "b.crl": ("other", FRESH)})
        ends = int(time.time()) + life + 1  # not before that
        pki["other"].crl_of(directory + "/b.crl", until=life)
        pki["ca"].crl_of(directory + "/a-first.crl", since=-30, until=life)
        latest = time.time() + life + 1
        with contextlib.ExitStack() as stack:
            try:
                rounds = open_clients(pki, stack, directory)
            except (shslib.Failure, OSError):
                if time.time() < ends - 1:
                    raise
            else:
                if time.time() < ends - 1:
                    lapse(pki, rounds, latest)
                    return
    raise shslib.Failure("no CRL lived until its clients were in")


def lapse(pki, rounds, latest):
    tls_pki.sleep_past(latest)
    for server, version, explained, clients, sessions in rounds:
        equal(clients["b"].get()[0], None, "b goes on")
        shslib.wait_until(lambda: causes(server) == ["client-cert:crl-expired"], 10, "b's end")
        equal(clients["a"].get()[0], 200, "a, who has another CRL")
        judged(server, pki, "b", version, "crl-expired", explained)
        judged(server, pki, "a", version, "ok", False)
        clients["a"].open(server, clients["a"].sock.session)
        equal(clients["a"].get()[0], 200)
        lapse_client(server, clients["b"], sessions["b"], explained)
        shslib.wait_until(lambda: causes(server) == ["client-cert:crl-expired"] * 3, 10, "three lines")
        server.stop()
        check("client-cert=2 clients-ended=1 " in server.stderr, server.stderr[-300:])


def crls():
    with shslib.temp_dir() as directory:
        tls_pki.each_at_once(make_pki(directory), table, brought, replaced, places, two_places, renewed, nothing_lost, not_understood,
                             said, lapses)


shslib.main(crls)
