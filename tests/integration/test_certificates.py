"""Certificates and keys as people give them, the bad ones too; and the authority that shs makes.

The certificates are of certs/make.sh; what they are is written in certs/README.md.
"""

import os
import re
import socket
import ssl
import stat
import subprocess

import shslib

LAB = None
SITE = None


def lab(name):
    return os.path.join(LAB, name)


def openssl(*words, cwd=None):
    code, out, err = shslib.run("openssl", *words, cwd=cwd)
    shslib.equal(code, 0, "openssl %s: %s" % (" ".join(words), err))
    return out


# -- what is refused -----------------------------------------------------------------------------

def refused(what, code, pattern, *arguments, files=()):
    """The command ends with that code, and says one line that matches and names the files."""
    with shslib.temp_dir() as home:
        got, out, err = shslib.run(shslib.BIN, "serve", "--port", "0", *arguments, SITE, cwd=home, seconds=20,
                                   env={"HOME": home, "XDG_STATE_HOME": home + "/state"})
        shslib.equal(got, code, "%s: exit code (%r)" % (what, err))
        shslib.equal(out, "", what + ": stdout")
        shslib.check(re.fullmatch(r"shs: error: [^\n]+\n", err), "%s: not one line: %r" % (what, err))
        shslib.check(re.search(pattern, err), "%s: %r does not say %r" % (what, err, pattern))
        for file in files:
            shslib.check(file in err, "%s: %r does not name %s" % (what, err, file))
        shslib.equal(os.listdir(home), [], what + ": what it left behind")


def bad_files_are_refused():
    good, key = lab("good.pem"), lab("good.key")
    directory = LAB
    secret = shslib.write_file(LAB + "/unreadable.pem", "x")
    os.chmod(secret, 0)
    log = shslib.write_file(LAB + "/long.pem", b"a line of a log\n" * 100000)
    cut = shslib.write_file(LAB + "/cut.pem", open(good, "rb").read()[:400])
    cut_key = shslib.write_file(LAB + "/cut.key", open(key, "rb").read()[:100])
    none = LAB + "/none.pem"
    for what, pattern, arguments, files in (
            ("no certificate file", "No such file", ["--cert", none, "--key", key], [none]),
            ("no key file", "No such file", ["--cert", good, "--key", none], [none]),
            ("a directory", "Is a directory", ["--cert", directory, "--key", key], [directory]),
            ("a key that is a directory", "Is a directory", ["--cert", good, "--key", directory], [directory]),
            ("an empty certificate", "empty", ["--cert", lab("empty.pem"), "--key", key], [lab("empty.pem")]),
            ("an empty key", "empty", ["--cert", good, "--key", lab("empty.pem")], [lab("empty.pem")]),
            ("no PEM", "not PEM", ["--cert", lab("not-pem.pem"), "--key", key], [lab("not-pem.pem")]),
            ("a key that is not PEM", "not PEM", ["--cert", good, "--key", lab("not-pem.pem")],
             [lab("not-pem.pem")]),
            ("DER", "DER", ["--cert", lab("good.der"), "--key", key], [lab("good.der")]),
            ("malformed", "malformed", ["--cert", lab("malformed.pem"), "--key", key], [lab("malformed.pem")]),
            ("cut", "malformed|not PEM", ["--cert", cut, "--key", key], [cut]),
            ("a cut key", "malformed|not PEM", ["--cert", good, "--key", cut_key], [cut_key]),
            ("a log file", "longer than 1 MiB", ["--cert", log, "--key", key], [log]),
            ("no key in it", "no private key", ["--cert", good], [good]),
            ("exchanged", "swapped", ["--cert", key, "--key", good], [good, key]),
            ("twice the certificate", "no private key", ["--cert", good, "--key", good], [good]),
            ("of another certificate", "does not belong", ["--cert", good, "--key", lab("mismatched.key")],
             [good, lab("mismatched.key")]),
            ("RSA key to EC certificate", "does not belong", ["--cert", good, "--key", lab("rsa.key")],
             [good, lab("rsa.key")]),
            ("the CA first", "wrong order", ["--cert", reversed_chain(), "--key", key], [reversed_chain()]),
            ("no password", "encrypted.*no password", ["--cert", good, "--key", lab("encrypted.key")],
             [lab("encrypted.key")]),
            ("no password, one file", "encrypted.*no password", ["--cert", lab("encrypted-both.pem")],
             [lab("encrypted-both.pem")])):
        refused(what, 1, pattern, *arguments, files=files)
    if os.geteuid() != 0:
        refused("unreadable", 1, "Permission denied", "--cert", secret, "--key", key, files=[secret])
        refused("an unreadable key", 1, "Permission denied", "--cert", good, "--key", secret, files=[secret])


def reversed_chain():
    path = LAB + "/reversed.pem"
    with open(lab("ca.pem")) as ca, open(lab("good.pem")) as leaf:
        return shslib.write_file(path, ca.read() + leaf.read())


def wrong_passwords_are_refused():
    good, key = lab("good.pem"), lab("encrypted.key")
    for what, text in (("wrong", "labor\n"), ("empty", ""), ("with a space", "lab \n"), ("a line more", "lab\n\nx")):
        path = shslib.write_file(LAB + "/password", text)
        refused(what, 1, "does not open|no password", "--cert", good, "--key", key, "--password-file", path,
                files=[key])
    none = LAB + "/no-password"
    refused("no password file", 1, "No such file", "--cert", good, "--key", key, "--password-file", none,
            files=[none])
    long = shslib.write_file(LAB + "/long-password", "x" * 100000)
    refused("a long password", 1, "longer", "--cert", good, "--key", key, "--password-file", long, files=[long])


def wrong_words_are_refused():
    for what, pattern, arguments in (
            ("an unknown flag", "--nonsense", ["--nonsense"]),
            ("--plain with --cert", "--plain", ["--plain", "--cert", lab("good.pem")]),
            ("--key alone", "--key", ["--key", lab("good.key")]),
            ("a port", "65536", ["--port", "65536"]), ("a port", "https", ["--port", "https"]),
            ("a port", "''", ["--port", ""]), ("a port", "-1", ["--port", "-1"]),
            ("a time", "--head-timeout", ["--head-timeout", "1s"]),
            ("a count", "--threads", ["--threads", "0"])):
        refused(what, 2, re.escape(pattern), *arguments)


def a_port_in_use():
    with shslib.Server(SITE) as server:
        refused("its own port", 1, r"port %d: Address already in use" % server.port, "--plain", "--port",
                str(server.port))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused("another's port", 1, "Address already in use", "--plain", "--port",
                str(taken.getsockname()[1]))
    refused("another's address", 1, "192.0.2.1", "--plain", "--bind", "192.0.2.1")
    if os.geteuid() != 0:
        refused("a port of the system's", 1, "Permission denied", "--plain", "--port", "1")


# -- what is served ------------------------------------------------------------------------------

def served(arguments, ca, name="localhost"):
    """None when a client that trusts `ca` accepts the certificate, else why it does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    with shslib.Server(*arguments, SITE) as server:
        shslib.check("local authority" not in server.stdout, "advice about an authority that is not used")
        try:
            sock = context.wrap_socket(server.connect_plain(), server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            return str(error)
        with sock:
            sock.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            shslib.equal(shslib.read_response(sock)[2], b"hello\n", "the file")
        return None


def good_ones_are_served():
    ca = lab("ca.pem")
    password = shslib.write_file(LAB + "/right", "lab\n")
    bare = shslib.write_file(LAB + "/right-bare", "lab")
    windows = shslib.write_file(LAB + "/right-windows", "lab\r\n")
    for arguments in (["--cert", lab("good.pem"), "--key", lab("good.key")],
                      ["--cert", lab("good-both.pem")],
                      ["--cert", lab("good-chain.pem"), "--key", lab("good.key")],
                      ["--cert", lab("rsa.pem"), "--key", lab("rsa.key")],
                      ["--cert", lab("good.pem"), "--key", lab("good-both.pem")],
                      ["--cert", lab("good.pem"), "--key", lab("encrypted.key"), "--password-file", password],
                      ["--cert", lab("encrypted-both.pem"), "--password-file", bare],
                      ["--cert", lab("encrypted-both.pem"), "--password-file", windows]):
        shslib.equal(served(arguments, ca), None, " ".join(arguments))
    for name in ("localhost", "127.0.0.1", "::1"):
        shslib.equal(served(["--cert", lab("good.pem"), "--key", lab("good.key")], ca, name), None, name)


def clients_refuse_the_bad_ones():
    """The server serves what it was given; that a client sees through it shows that TLS is real."""
    for name, reason in (("expired", "expired"), ("not-yet-valid", "not yet valid"),
                         ("wrong-name", "Hostname mismatch"), ("untrusted", "unable to get local issuer"),
                         ("self-signed", "self.signed"), ("wrong-usage", "unsuitable|purpose")):
        error = served(["--cert", lab(name + ".pem"), "--key", lab(name + ".key")], lab("ca.pem"))
        shslib.check(error, name + ": a client accepted it")
        shslib.check(re.search(reason, error), "%s: refused for another reason: %s" % (name, error))


def the_chain_is_sent():
    """openssl's client shows what came: the leaf, and the CA only when the file has it."""
    for name, count in (("good.pem", 1), ("good-chain.pem", 2)):
        with shslib.Server("--cert", lab(name), "--key", lab("good.key"), SITE) as server:
            out = openssl("s_client", "-connect", "127.0.0.1:%d" % server.port, "-showcerts", "-CAfile",
                          lab("ca.pem"), "-verify_return_error", "-servername", "localhost")
            shslib.equal(out.count("-----BEGIN CERTIFICATE-----"), count, "certificates sent for " + name)


# -- the local authority -------------------------------------------------------------------------

def local(home, *arguments):
    return shslib.Server(*arguments, SITE, env={"HOME": home, "XDG_STATE_HOME": home + "/state"})


def peer_certificate(server, verify=True):
    """Serial number and names of the certificate that a client gets and verifies."""
    with server.connect(context=server.tls_context()) as sock:
        found = sock.getpeercert()
        return found["serialNumber"], sorted(value for _, value in found["subjectAltName"])


def everything_under(home):
    return {os.path.relpath(os.path.join(folder, name), home): os.lstat(os.path.join(folder, name)).st_mode
            for folder, folders, names in os.walk(home) for name in folders + names}


def it_is_made_once():
    with shslib.temp_dir() as home:
        os.umask(0)
        try:
            with local(home) as server:
                first = peer_certificate(server)
                ca = open(server.ca, "rb").read()
        finally:
            os.umask(0o022)
        shslib.check({"localhost", "127.0.0.1"} <= set(first[1]), "names: %r" % (first[1],))
        for path, mode in everything_under(home).items():
            if stat.S_ISDIR(mode):
                shslib.equal(stat.S_IMODE(mode), 0o700, "mode of the directory " + path)
            elif path.endswith("ca.pem"):
                shslib.equal(stat.S_IMODE(mode) & 0o022, 0, "who may write " + path)
            else:
                shslib.equal(stat.S_IMODE(mode), 0o600, "mode of " + path)
        shslib.check(not [p for p in everything_under(home) if ".new" in p], "a temporary file is left")
        with local(home) as server:
            shslib.equal(peer_certificate(server), first, "the certificate of the second start")
            shslib.equal(open(server.ca, "rb").read(), ca, "the CA of the second start")
        with local(home, "--bind", "127.0.0.2") as server:
            serial, names = peer_certificate(server)
            shslib.check("127.0.0.2" in names, "--bind 127.0.0.2 is not among %r" % names)
            shslib.check(serial != first[0], "a name is new, and the certificate is not")
            shslib.equal(open(server.ca, "rb").read(), ca, "the CA after a new name")


def expire_leaf(folder):
    """Puts a leaf in its place that the same CA has signed, and that ended yesterday."""
    config = shslib.write_file(folder + "/x/openssl.cnf", """
[ca]
default_ca = d
[d]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = p
[p]
commonName = supplied
[req]
distinguished_name = n
[n]
[leaf]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
authorityKeyIdentifier = keyid
""")
    work = folder + "/x"
    shslib.write_file(work + "/index.txt", "")
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k.pem",
            "-out", "r.pem", "-subj", "/CN=localhost", "-config", config, cwd=work)
    openssl("ca", "-batch", "-config", config, "-extensions", "leaf", "-cert", folder + "/ca.key", "-keyfile",
            folder + "/ca.key", "-in", "r.pem", "-out", "c.pem", "-notext", "-startdate", "20200101000000Z",
            "-enddate", "20200201000000Z", cwd=work)
    with open(work + "/k.pem", "rb") as key, open(work + "/c.pem", "rb") as cert:
        shslib.write_file(folder + "/localhost.pem", key.read() + cert.read())
    os.chmod(folder + "/localhost.pem", 0o600)
    subprocess.run(["rm", "-r", work], check=True)


def it_is_renewed():
    with shslib.temp_dir() as home:
        folder = home + "/state/shs"
        with local(home) as server:
            first = peer_certificate(server)
            ca = open(server.ca, "rb").read()
        seen = {first[0]}

        def renewed(why):
            with local(home) as server:
                serial, names = peer_certificate(server)
                shslib.check(serial not in seen, why + ": not renewed")
                shslib.equal(names, first[1], why + ": names")
                shslib.equal(open(server.ca, "rb").read(), ca, why + ": the CA")
                shslib.equal(stat.S_IMODE(os.stat(folder + "/localhost.pem").st_mode), 0o600, why + ": mode")
                seen.add(serial)

        expire_leaf(folder)
        renewed("an expired leaf")
        for what, content in (("an empty leaf", b""), ("garbage", b"garbage\n" * 100),
                              ("another's leaf", open(lab("good-both.pem"), "rb").read())):
            shslib.write_file(folder + "/localhost.pem", content)
            os.chmod(folder + "/localhost.pem", 0o600)
            renewed(what)
        os.unlink(folder + "/localhost.pem")
        renewed("no leaf")
        os.unlink(folder + "/ca.pem")
        with local(home) as server:
            shslib.equal(open(server.ca, "rb").read(), ca, "the public CA, put back")


def a_spoilt_authority_is_not_replaced():
    """People have told their browsers to trust it: a new one in its place would be no help."""
    with shslib.temp_dir() as home:
        with local(home):
            pass
        key = home + "/state/shs/ca.key"
        good = open(key, "rb").read()

        def refused_start(what, pattern):
            code, out, err = shslib.run(shslib.BIN, "serve", "--port", "0", SITE,
                                        env={"HOME": home, "XDG_STATE_HOME": home + "/state"})
            shslib.equal((code, out), (1, ""), what)
            shslib.check(re.fullmatch(r"shs: error: [^\n]+\n", err) and key in err and re.search(pattern, err),
                         "%s: %r" % (what, err))

        os.chmod(key, 0o644)
        refused_start("a key that others may read", "chmod 600")
        os.chmod(key, 0o600)
        shslib.write_file(key, good[:100])
        refused_start("half a key", "")
        shslib.write_file(key, good)
        with local(home) as server:
            peer_certificate(server)


def many_at_once():
    """Started together in one new home, they agree on one authority and one leaf."""
    with shslib.temp_dir() as home:
        import contextlib
        import threading
        servers, failures = [], []
        with contextlib.ExitStack() as stack:
            def start():
                try:
                    servers.append(stack.enter_context(local(home)))
                except Exception as error:
                    failures.append(error)

            threads = [threading.Thread(target=start) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            shslib.equal(failures, [], "servers that did not start")
            shslib.equal(len({peer_certificate(server) [0] for server in servers}), 1, "certificates")
            shslib.equal(len({open(server.ca, "rb").read() for server in servers}), 1, "authorities")


def certificates():
    global LAB, SITE
    with shslib.temp_dir() as top:
        SITE = os.path.dirname(shslib.write_file(top + "/site/a.txt", "hello\n"))
        LAB = top + "/lab"
        code, _, err = shslib.run("bash", os.path.join(shslib.SOURCE_DIR, "certs", "make.sh"), LAB)
        shslib.equal(code, 0, "certs/make.sh: " + err)
        shslib.each(bad_files_are_refused, wrong_passwords_are_refused, wrong_words_are_refused,
                    a_port_in_use, good_ones_are_served, clients_refuse_the_bad_ones, the_chain_is_sent,
                    it_is_made_once, it_is_renewed, a_spoilt_authority_is_not_replaced, many_at_once)


shslib.main(certificates)
