"""The file of client CAs: what is trusted, what is said at start, and that one client's chain is nobody else's."""

import itertools
import json
import os
import re
import shutil
import ssl

import shslib
import tls_pki
from shslib import check, equal

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
THREADINGS, VERSIONS = ("pool", "thread"), (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)


def make_pki(directory):
    server = tls_pki.CA(directory, "server-root")
    root = tls_pki.CA(directory, "root")
    one, two = tls_pki.CA(directory, "one", parent=root), tls_pki.CA(directory, "two", parent=root)
    pki = {"dir": directory, "server": server.issue("server"), "server_ca": server.cert, "root": root, "one": one,
           "two": two, "clients": {"of-one": one.client("of-one"), "of-two": two.client("of-two"),
                                   "of-root": root.client("of-root")}}
    for who in ("of-one", "of-two"):  # the certificate without its issuer's
        pki["clients"][who + "-alone"] = (os.path.join(directory, who + ".leaf"), pki["clients"][who][1])
    tls_pki.bundle(directory + "/one.leaf", one.cert)
    return pki


def argv(pki, ca, *more):
    return ("--handler", "whoami", "--cert", pki["server"][0], "--key", pki["server"][1], "--client-ca", ca,
            "--log", "json") + more


def ask(server, pki, who, version=ssl.TLSVersion.TLSv1_3):
    """The status; None for a client that is not let in."""
    context = ssl.create_default_context(cafile=pki["server_ca"])
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(*pki["clients"][who])
    try:
        with context.wrap_socket(server.connect_plain(), server_hostname="localhost") as sock:
            sock.sendall(REQUEST)
            answer = shslib.read_all(sock)
        return int(answer.split(b" ", 2)[1]) if answer else None
    except OSError:
        return None


def messages(server):
    return [line["message"] for line in map(json.loads, server.stderr_lines()) if "message" in line]


def causes(server):
    return [line["cause"] for line in map(json.loads, server.stderr_lines()) if line.get("event")]


def start(pki, ca, *more):
    return shslib.run(shslib.BIN, "serve", "-p", "0", *argv(pki, ca, *more), seconds=20)


def fresh_verdicts(pki):
    """Who does not show its issuer's certificate is refused, whoever has shown it before."""
    for threading in THREADINGS:
        for crls in (False, True):
            ca, more = pki["root"].cert, ()
            if crls:  # with CRLs, the issuing CA is in the file, and so nobody has to show it
                ca = tls_pki.bundle(pki["dir"] + "/all.pem", pki["root"].cert, pki["one"].cert)
                os.makedirs(pki["dir"] + "/crls-" + threading)
                for name in ("root", "one"):
                    pki[name].crl_of("%s/crls-%s/%s.crl" % (pki["dir"], threading, name))
                more = ("--crl", pki["dir"] + "/crls-" + threading)
            with shslib.Server(*argv(pki, ca, "--threading", threading, *more)) as server:
                for version in VERSIONS * 2:
                    equal(ask(server, pki, "of-one-alone", version), 200 if crls else None, "alone")
                    equal(ask(server, pki, "of-one", version), 200, "with its chain")
                shslib.wait_until(lambda: len(causes(server)) == (0 if crls else 4), 10, "lines")
                equal(causes(server), [] if crls else ["client-cert:unknown-ca"] * 4)


def partial(pki):
    """An issuing CA alone: an error that names the remedy; with the option its clients come in, and no others."""
    code, _, err = start(pki, pki["one"].cert)
    equal((code, len(err.strip().splitlines())), (1, 1), err)
    for words in ("CN=one", pki["one"].cert, "not a root", "--client-ca-partial", "client_partial"):
        check(words in err, err)
    for threading in THREADINGS:
        with shslib.Server(*argv(pki, pki["one"].cert, "--client-ca-partial", "--threading", threading)) as server:
            for version in VERSIONS:
                for who, wanted in (("of-one", 200), ("of-one-alone", 200), ("of-two", None), ("of-two-alone", None),
                                    ("of-root", None)):
                    equal(ask(server, pki, who, version), wanted, who)
            shslib.wait_until(lambda: len(causes(server)) == 6, 10, "lines")
            equal(causes(server), ["client-cert:unknown-ca"] * 6)
    # The root beside it: a whole chain, and the root is trusted too.
    both = tls_pki.bundle(pki["dir"] + "/both.pem", pki["one"].cert, pki["root"].cert)
    with shslib.Server(*argv(pki, both)) as server:
        equal([ask(server, pki, who) for who in ("of-one-alone", "of-two", "of-two-alone")], [200, 200, None])
    # One CA of several that leads nowhere is an error as well, at start and at reload.
    mixed = tls_pki.bundle(pki["dir"] + "/mixed.pem", pki["root"].cert, pki["one"].cert)
    other = tls_pki.CA(pki["dir"], "other-root")
    with shslib.Server(*argv(pki, mixed)) as server:
        stray = tls_pki.CA(pki["dir"], "stray", parent=other)
        tls_pki.bundle(mixed, pki["root"].cert, pki["one"].cert, stray.cert)
        server.signal(1)
        shslib.wait_until(lambda: "not reloaded" in server.stderr, 10, "a refusal")
        check("CN=stray" in server.stderr and "--client-ca-partial" in server.stderr, server.stderr)
        equal(ask(server, pki, "of-one"), 200, "the old ones stay")


def partial_and_crls(pki):
    """With CRLs, an issuing CA that is trusted alone needs its own; what its root says of it counts if it is there."""
    directory = pki["dir"] + "/partial-crls"
    os.makedirs(directory)
    pki["one"].crl_of(directory + "/one.crl")
    more = ("--client-ca-partial", "--crl", directory)
    with shslib.Server(*argv(pki, pki["one"].cert, *more)) as server:
        equal(ask(server, pki, "of-one"), 200)
        pki["one"].crl_of(directory + "/one.crl", revoked=["of-one"])
        server.signal(1)
        shslib.wait_until(lambda: "Files read again" in server.stderr, 10, "a reload")
        equal(ask(server, pki, "of-one"), None, "revoked")
        shslib.wait_until(lambda: causes(server) == ["client-cert:revoked"], 10, "a line")
    pki["one"].crl_of(directory + "/one.crl")
    pki["root"].crl_of(directory + "/root.crl", revoked=["one"])
    both = tls_pki.bundle(pki["dir"] + "/both-crls.pem", pki["one"].cert, pki["root"].cert)
    with shslib.Server(*argv(pki, both, *more)) as server:
        equal(ask(server, pki, "of-one"), None, "its CA is revoked")
        equal(ask(server, pki, "of-root"), 200)
        shslib.wait_until(lambda: causes(server) == ["client-cert:revoked"], 10, "a line")


USUAL = ("basicConstraints = critical,CA:TRUE", "subjectKeyIdentifier = hash", "authorityKeyIdentifier = keyid",
         "keyUsage = critical,keyCertSign,cRLSign")


EC = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def plain_ca(pki, name, *extensions, key=EC):
    """As people make one: openssl req -x509, with a client of it."""
    base = os.path.join(pki["dir"], name)
    config = base + ".cnf"
    shslib.write_file(config, "[req]\ndistinguished_name = dn\nx509_extensions = v3\n[dn]\n[v3]\n" + "\n".join(extensions) + "\n")
    tls_pki._openssl("req", "-x509", "-newkey", *key, "-nodes", "-keyout", base + ".key", "-out", base + ".pem", "-days", "10", "-subj", "/CN=" + name, "-config", config)
    tls_pki._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                     base + "-client.key", "-out", base + ".csr", "-subj", "/CN=client", "-config", config)
    shslib.write_file(base + ".ext", "authorityKeyIdentifier = keyid\nsubjectKeyIdentifier = hash\n"
                      "basicConstraints = critical,CA:FALSE\nkeyUsage = digitalSignature\nextendedKeyUsage = clientAuth\n")
    tls_pki._openssl("x509", "-req", "-in", base + ".csr", "-CA", base + ".pem", "-CAkey", base + ".key", "-days", "5",
                     "-CAcreateserial", "-extfile", base + ".ext", "-out", base + "-client.pem")
    pki["clients"][name] = (base + "-client.pem", base + "-client.key")
    return base + ".pem"


def namesakes(pki):
    """A CA with a new key and its old name: clients of both come in, whatever the order, also where nothing in their
    certificates tells the two apart."""
    usual = ["basicConstraints = critical,CA:TRUE", "subjectKeyIdentifier = hash", "authorityKeyIdentifier = keyid",
             "keyUsage = critical,keyCertSign,cRLSign"]
    base = os.path.join(pki["dir"], "rolled")
    files = {}
    for which in ("old", "new"):
        ca = plain_ca(pki, "rolled", *usual)
        files[which] = base + "-" + which + ".pem"
        os.rename(ca, files[which])
        os.rename(base + ".key", base + "-" + which + ".key")
        for who, lines in (("told", "authorityKeyIdentifier = keyid\n"), ("untold", "authorityKeyIdentifier = none\n")):
            name = which + "-" + who
            shslib.write_file(base + ".ext", "basicConstraints = critical,CA:FALSE\n" + lines)
            tls_pki._openssl("x509", "-req", "-in", base + ".csr", "-CA", files[which], "-CAkey",
                             base + "-" + which + ".key", "-days", "5", "-CAcreateserial", "-extfile", base + ".ext",
                             "-out", base + "-" + name + ".pem")
            os.rename(shutil.copy(base + "-client.key", base + ".tmp"), base + "-" + name + ".key")
            pki["clients"][name] = (base + "-" + name + ".pem", base + "-" + name + ".key")
    for order, version in itertools.product((("old", "new"), ("new", "old")), VERSIONS):
        both = tls_pki.bundle(base + "-both.pem", *(files[which] for which in order))
        with shslib.Server(*argv(pki, both, "--client-lax")) as server:
            for who in ("old-told", "new-told", "old-untold", "new-untold"):
                equal(ask(server, pki, who, version), 200, who)
            equal(ask(server, pki, "of-root", version), None)
        with shslib.Server(*argv(pki, both)) as server:
            equal([ask(server, pki, who, version) for who in ("old-told", "new-told", "old-untold")], [200, 200, None])
            shslib.wait_until(lambda: causes(server) == ["client-cert:not-strict"], 10, "a line")
            check("authorityKeyIdentifier" in server.stderr and "--client-lax" in server.stderr, server.stderr)
        # The old one alone knows nothing of the new one's clients.
        with shslib.Server(*argv(pki, files["old"], "--client-lax")) as server:
            equal([ask(server, pki, who, version) for who in ("old-untold", "new-untold")], [200, None])


def not_strict(pki):
    """A CA that breaks a rule is said at start, with the rule and both ways out; and to who looks for a refusal."""
    ec, rsa, pss = EC, ("rsa:2048",), ("rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048")
    no_usage = (3, "", "keyUsage=critical,keyCertSign,cRLSign")
    for name, key, (at, line, words) in (
            ("ops-ca", ec, no_usage), ("rsa-ca", rsa, no_usage), ("pss-ca", pss, no_usage), ("ed-ca", ("ed25519",), no_usage),
            ("bcons-ca", ec, (0, "basicConstraints = CA:TRUE", "basicConstraints=critical,CA:TRUE"))):
        lines = list(USUAL)
        lines[at] = line
        ca = plain_ca(pki, name, *lines, key=key)
        for threading in THREADINGS:
            with shslib.Server(*argv(pki, ca, "--threading", threading)) as server:
                shslib.wait_until(lambda: messages(server), 10, "a line at start")
                for part in (ca, "CN=" + name, "are refused", words, "--client-lax"):
                    check(part in messages(server)[0], "%s: %s" % (part, messages(server)[0]))
                equal([ask(server, pki, name, version) for version in VERSIONS], [None, None])
                shslib.wait_until(lambda: causes(server) == ["client-cert:not-strict"] * 2, 10, "two refusals")
                for line in messages(server)[-2:]:
                    for part in ("CN=" + name, words, "--client-lax"):
                        check(part in line, line)
            with shslib.Server(*argv(pki, ca, "--client-lax", "--threading", threading)) as server:
                equal([ask(server, pki, name, version) for version in VERSIONS], [200, 200], "lax")
                equal(messages(server), [])
    with shslib.Server(*argv(pki, plain_ca(pki, "good-ca", *USUAL))) as server:
        equal(ask(server, pki, "good-ca"), 200)
        equal(messages(server), [])


def other_faults(pki):
    """A CA that has expired, or whose key is weak: said at start as well."""
    weak = plain_ca(pki, "weak-ca", *USUAL, key=("rsa:1024",))
    with shslib.Server(*argv(pki, weak)) as server:
        shslib.wait_until(lambda: messages(server), 10, "a line at start")
        check(weak in messages(server)[0] and "CN=weak-ca" in messages(server)[0] and
              "key too weak" in messages(server)[0].split("is:")[1].lower(), messages(server)[0])
        equal([ask(server, pki, "weak-ca", version) for version in VERSIONS], [None, None])
        shslib.wait_until(lambda: causes(server) == ["client-cert:weak"] * 2, 10, "two refusals")
    expired = tls_pki.CA(pki["dir"], "expired-ca", parent=pki["root"])
    pki["root"]._sign(expired.base + ".csr", expired.cert, expired.config, "ca_ext", -20 * tls_pki.DAY, -10 * tls_pki.DAY)
    both = tls_pki.bundle(pki["dir"] + "/with-expired.pem", pki["root"].cert, expired.cert)
    with shslib.Server(*argv(pki, both)) as server:
        shslib.wait_until(lambda: messages(server), 10, "a line at start")
        check("CN=expired-ca" in messages(server)[0] and "expired" in messages(server)[0].split("is:")[1],
              messages(server)[0])
        equal(len(messages(server)), 1)
        server.signal(1)
        shslib.wait_until(lambda: len(messages(server)) == 3, 10, "the same after a reload")
        check(messages(server)[2].startswith("Files read again; "), messages(server)[2])


def names(pki):
    """The names of the CAs: too many for Java, too many for TLS, and none."""
    one = open(pki["root"].cert).read()
    bundles = {}
    for count in (1, 76, 146, 150):
        bundles[count] = "%s/names-%d.pem" % (pki["dir"], count)
        with open(bundles[count], "w") as out:
            out.write(one)
    config = pki["dir"] + "/names.cnf"
    shslib.write_file(config, "[req]\ndistinguished_name = dn\nx509_extensions = v3\n[dn]\n[v3]\nbasicConstraints = "
                      "critical,CA:TRUE\nkeyUsage = critical,keyCertSign\nsubjectKeyIdentifier = hash\n")
    tls_pki._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pki["dir"] + "/names.key")
    for i in range(149):
        subject = "/CN=%03d%s" % (i, "".join("/OU=" + "x" * 60 for _ in range(6)))
        pem = tls_pki._openssl("req", "-x509", "-key", pki["dir"] + "/names.key", "-subj", subject, "-config", config,
                               "-days", "9").decode()
        for count, path in bundles.items():
            if i < count - 1:
                with open(path, "a") as out:
                    out.write(pem)
    code, _, err = start(pki, bundles[150])
    equal((code, len(err.strip().splitlines())), (1, 1), err)
    for words in (bundles[150], "names of the CAs", "64 KiB", "--client-no-ca-names"):
        check(words in err, err)
    check("s.pem" not in err and pki["server"][0] not in err, err)
    for count, more, warned in ((1, (), 0), (76, (), 1), (146, (), 1), (76, ("--client-no-ca-names",), 0),
                                (150, ("--client-no-ca-names",), 0)):
        for threading in THREADINGS:
            with shslib.Server(*argv(pki, bundles[count], "--threading", threading, *more)) as server:
                for version in VERSIONS:
                    equal(ask(server, pki, "of-root", version), 200)
                    _, out, _ = shslib.run("openssl", "s_client", "-connect", "127.0.0.1:%d" % server.port,
                                           "-tls1_3" if version == VERSIONS[0] else "-tls1_2", seconds=20)
                    equal(len(re.findall(r"^CN ?= ?", out.split("Acceptable client certificate CA names")[-1], re.M))
                          if "Acceptable" in out else 0, 0 if more else count, "names that are sent")
                if warned:  # the log has a thread of its own
                    shslib.wait_until(lambda: messages(server), 10, "the warning")
                said = [line for line in messages(server) if "names of the CAs" in line]
                equal(len(said), warned, messages(server))
                check(not warned or ("Java 17" in said[0] and bundles[count] in said[0]), said)
    code, _, err = shslib.run(shslib.BIN, "serve", "-p", "0", "--cert", pki["server"][0], "--key", pki["server"][1],
                              "--client-ca-partial")
    check(code == 2 and "--client-ca-partial" in err and "--client-ca" in err, err)


def blocks(pki):
    """Nothing in the file is lost without a word: it is read, or named with its line."""
    root, one = open(pki["root"].cert).read(), open(pki["one"].cert).read()
    path = pki["dir"] + "/blocks.pem"
    shslib.write_file(path, "\ufeff  " + root + "\u00a0" + one)
    with shslib.Server(*argv(pki, path)) as server:
        equal([ask(server, pki, who) for who in ("of-root", "of-one-alone", "of-two-alone")], [200, 200, None])
        crl = open(pki["root"].crl_of(pki["dir"] + "/blocks.crl")).read()
        der = tls_pki._openssl("x509", "-in", pki["root"].cert, "-outform", "DER")
        cases = ((root + one.replace("-----BEGIN", "----BEGIN"), "damaged BEGIN"),
                 (root + crl, "CRLs go into a file of their own"), (der, "Convert it"), (root[:-60], "malformed"),
                 ("", "BEGIN CERTIFICATE"), (root + one.replace("CERTIFICATE", "CERTIFICAT"), "CERTIFICAT"))
        for number, (content, words) in enumerate(cases):
            shslib.write_file(path, content)
            code, _, err = start(pki, path)
            equal((code, len(err.strip().splitlines())), (1, 1), words + err)
            check(words in err and "blocks.pem" in err, words + err)
            server.signal(1)
            shslib.wait_until(lambda: sum("blocks.pem" in line for line in messages(server)) > number, 10,
                              "a word about " + words)
            equal(ask(server, pki, "of-one-alone"), 200, "the old ones stay")


def cas():
    with shslib.temp_dir() as directory:
        tls_pki.each(make_pki(directory), fresh_verdicts, partial, partial_and_crls, blocks, not_strict, namesakes,
                     other_faults, names)


shslib.main(cas)
