"""`shs cert` and `shs trust`: what is good is good for openssl and certtool, what is wrong is wrong in that."""

import fcntl
import json
import os
import shutil
import stat
import subprocess

import shslib
from shslib import check, equal

SHS = shslib.BIN


def run(*arguments, code=0):
    got, out, err = shslib.run(SHS, *arguments)
    equal(got, code, "exit code of %r: %s%s" % (arguments, out, err))
    return out + err


def verify(ca, cert, *options):
    code, out, err = shslib.run("openssl", "verify", "-x509_strict", "-CAfile", ca, *options, "-untrusted", cert, cert)
    return code == 0, out + err


def good(directory):
    """Every kind of key and every digest that is meant to be good, and certtool agrees."""
    certtool = shutil.which("certtool")
    if certtool is None:
        print("certtool is not installed: GnuTLS is not asked")
    cases = [("--key", key) for key in ("p256", "p384", "p521", "rsa2048", "rsa-pss", "ed25519", "ed448")]
    cases += [("--digest", digest) for digest in ("sha384", "sha512")]
    for option, value in cases:
        home = os.path.join(directory, value)
        run("cert", "ca", "--dir", home, option, value)
        run("cert", "ca", "--dir", home, "--name", "below", "--below", home, option, value, "--depth", "1")
        below = home + "/below.pem"
        run("cert", "new", "localhost", "127.0.0.1", "::1", "--dir", home, "--ca", below, option, value)
        run("cert", "new", "--client", "--cn", "alice", "--o", "ops", "--ou", "oncall", "--uri", "spiffe://a/sa/alice",
            "--dir", home, "--ca", below, option, value)
        for name, purpose in (("localhost", "sslserver"), ("uri_spiffe___a_sa_alice", "sslclient")):
            path = "%s/%s.pem" % (home, name)
            fine, text = verify(home + "/ca.pem", path, "-purpose", purpose)
            check(fine, text)
            equal(stat.S_IMODE(os.stat(path[:-4] + ".key").st_mode), 0o600, "mode of the key")
            if certtool:
                code, out, err = shslib.run(certtool, "--verify", "--load-ca-certificate", home + "/ca.pem",
                                            "--infile", path)
                check(code == 0 and "The certificate is trusted" in out, out + err)
            # Nothing to say about it ourselves.
            run("cert", "check", path, "--strict", "--ca", home + "/ca.pem", *(
                ("--client",) if purpose == "sslclient" else ("--host", "localhost")))


def faults(directory):
    """Each fault: what check calls it."""
    words = {
        "expired": "expired", "expired-1s": "expired", "not-yet-valid": "not-yet-valid",
        "inverted-dates": "inverted-dates", "wrong-name": "wrong-name", "no-san": "no-san", "wrong-usage": "usage",
        "client-usage": "usage", "certsign-only": "key-usage", "ca-true": "ca-as-leaf", "self-signed": "self-signed",
        "untrusted": "chain", "bad-signature": "chain", "mismatched-key": None,
        "incomplete-chain": "chain", "sha1": "weak-signature", "md5": "weak-signature", "rsa1024": "weak-key",
        "rsa512": "weak-key", "explicit-curve": "chain", "version1": "version1",
        "unknown-critical": "unknown-critical", "no-aki": "no-aki", "serial-zero": "serial",
        "serial-negative": "serial", "serial-long": "serial",
        "no-subject": None, "server-usage": "usage", "must-staple": None,
    }
    listed = run("cert", "new", "--help").split("Faults:")[1].split("\n")[2:]
    equal(sorted(line.split()[0] for line in listed if line.strip()), sorted(words), "faults in the help")
    run("cert", "ca", "--dir", directory, "--key", "rsa2048")
    run("cert", "ca", "--dir", directory, "--name", "below", "--below", directory, "--key", "rsa2048")
    for fault, word in words.items():
        client = ("--client",) if fault == "server-usage" else ()  # of them alone
        run("cert", "new", "a.example", "--dir", directory, "--name", fault, "--fault", fault, "--ca",
            directory + "/below.pem", *client)
        out = run("cert", "show", "%s/%s.pem" % (directory, fault), "--json", "--strict", "--host", "a.example", "--ca",
                  directory + "/ca.pem", *client)
        found = {finding["word"] for finding in json.loads(out)["findings"]} - {"long-validity"}
        check(word in found if word else not found, "%s: %s" % (fault, found))
    # The authority that is made for it can sign it.
    for fault in set(words) - {"incomplete-chain", "server-usage"}:
        run("cert", "new", "a.example", "--dir", directory + "/fresh-" + fault, "--fault", fault)
    out = run("cert", "new", "a.example", "--dir", directory + "/fresh", "--fault", "incomplete-chain", code=2)
    check("shs cert ca --below" in out and not os.path.exists(directory + "/fresh"), out)
    out = run("cert", "check", directory + "/expired.pem", code=2)
    check("expired: the certificate ended 10 days" in out, out)
    # The key file beside it is not its key, though it looks so.
    with open(directory + "/both.pem", "w") as both:
        both.write(open(directory + "/mismatched-key.pem").read() + open(directory + "/mismatched-key.key").read())
    check("mismatched-key" in run("cert", "check", directory + "/both.pem", code=2), "not noticed")


def exit_codes(directory):
    run("cert", "new", "localhost", "--dir", directory, "--days", "20")
    path = directory + "/localhost.pem"
    run("cert", "check", path)
    check("expires-soon" in run("cert", "check", path, "--expires-in", "30d", code=1), "not soon")
    check("expired" in run("cert", "check", path, "--now", "+21d", code=2), "not expired")
    check("wrong-name" in run("cert", "check", path, "--host", "other", code=2), "no wrong name")
    run("cert", "check", directory + "/nothing.pem", code=3)
    with open(directory + "/garbage.pem", "w") as file:
        file.write("garbage")
    run("cert", "check", directory + "/garbage.pem", code=3)
    sock = shslib.socket.socket()
    sock.bind(("127.0.0.1", 0))  # bound, and not listening: nobody else gets the port
    run("cert", "check", "127.0.0.1:%d" % sock.getsockname()[1], code=3)
    sock.listen()
    check("time" in run("cert", "check", "127.0.0.1:%d" % sock.getsockname()[1], "--timeout", "1", code=3), "no limit")
    # In milliseconds that is 125 << 32: no reason to have no time at all.
    with subprocess.Popen([SHS, "cert", "check", "127.0.0.1:%d" % sock.getsockname()[1], "--timeout", "536870912"],
                          stderr=subprocess.PIPE) as waits:
        peer, _ = sock.accept()
        check(peer.recv(1), "it says nothing")
        try:
            check(False, "it ends: %r" % waits.communicate(timeout=1)[1])
        except subprocess.TimeoutExpired:
            waits.kill()
        peer.close()
    sock.close()


def of_a_server(directory):
    run("cert", "ca", "--dir", directory, "--name", "root")
    run("cert", "ca", "--dir", directory, "--below", directory + "/root.pem")
    run("cert", "new", "localhost", "127.0.0.1", "--dir", directory)
    cert = directory + "/localhost"
    with shslib.Server("--handler", "echo", "--cert", cert + ".pem", "--key", cert + ".key") as server:
        place = "localhost:%d" % server.port
        shown = json.loads(run("cert", "show", place, "--json"))
        equal(shown["protocol"], "TLSv1.3", "protocol")
        equal([c["ca"] for c in shown["certificates"]], ["no", "yes"], "the chain")
        run("cert", "check", place, "--ca", directory + "/root.pem", "--strict")
        run("cert", "check", "127.0.0.1:%d" % server.port, "--ca", directory + "/root.pem")
        check("wrong-name" in run("cert", "check", place, "--host", "other.example", code=2), "no wrong name")


def revocation(directory):
    run("cert", "ca", "--dir", directory)
    for name in ("a", "b", "c"):
        run("cert", "new", name, "--dir", directory)
    pem = directory + "/%s.pem"
    serial = json.loads(run("cert", "show", pem % "b", "--json"))["certificates"][0]["serial"]
    run("cert", "crl", "--ca", directory, "--revoke", pem % "a" + "=keyCompromise", "--revoke", serial, "--out",
        directory + "/crl.pem")
    for name, fine in (("a", False), ("b", False), ("c", True)):
        verdict, text = verify(directory + "/ca.pem", pem % name, "-crl_check", "-CRLfile", directory + "/crl.pem")
        equal(verdict, fine, text)
        check(fine or "certificate revoked" in text, text)
    code, out, err = shslib.run("openssl", "crl", "-in", directory + "/crl.pem", "-noout", "-text")
    check("Key Compromise" in out, out)
    for status, wanted in (("good", "Cert Status: good"), ("revoked", "Cert Status: revoked"), ("unknown", "Cert Status: unknown"),
                           ("tryLater", "Responder Error: trylater"), ("expired", "Cert Status: good")):
        path = "%s/%s.der" % (directory, status)
        run("cert", "ocsp", pem % "a", "--ca", directory, "--status", status, "--out", path)
        code, out, err = shslib.run("openssl", "ocsp", "-respin", path, "-CAfile", directory + "/ca.pem", "-issuer",
                                    directory + "/ca.pem", "-cert", pem % "a", "-text")
        check(wanted in out + err, out + err)
        check("verify OK" in out + err or status == "tryLater", out + err)
        equal("Status times invalid" in out + err, status == "expired", out + err)
    run("cert", "new", "--client", "--cn", "responder", "--usage", "OCSPSigning", "--dir", directory)
    run("cert", "ocsp", pem % "a", "--ca", directory, "--responder", pem % "responder", "--out", directory + "/r.der")
    code, out, err = shslib.run("openssl", "ocsp", "-respin", directory + "/r.der", "-CAfile", directory + "/ca.pem",
                                "-issuer", directory + "/ca.pem", "-cert", pem % "a")
    check("verify OK" in out + err and "good" in out, out + err)


def several_at_once(directory):
    """In a new directory: one of them makes the authority, and all of them have their certificate from it."""
    for turn in range(3):
        new = "%s/once%d" % (directory, turn)
        started = [subprocess.Popen([shslib.BIN, "cert", "new", "host%d.example" % i, "--dir", new], stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True) for i in range(8)]
        said = [process.communicate(timeout=60 * shslib.SLOWNESS)[0] for process in started]
        equal([process.returncode for process in started], [0] * 8, "\n".join(said))
        equal(sum("authority" in text for text in said), 1, "authorities made: %r" % said)
        for i in range(8):
            code, out, err = shslib.run("openssl", "verify", "-CAfile", new + "/ca.pem", "%s/host%d.example.pem" % (new, i))
            equal(code, 0, out + err)
    # Of one that was killed between its two files: said, and nothing is replaced.
    os.unlink(new + "/ca.pem")
    key = open(new + "/ca.key").read()
    check("ca.key already exists" in run("cert", "new", "late.example", "--dir", new, code=2), "a key without its authority")
    equal(open(new + "/ca.key").read(), key, "the key")
    # Of one that is between its two files, however long that takes: its authority is used.
    run("cert", "ca", "--dir", directory + "/slow")
    late = directory + "/late"
    os.mkdir(late)
    lock = os.open(late, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    shutil.copy2(directory + "/slow/ca.key", late)
    with subprocess.Popen([SHS, "cert", "new", "late.example", "--dir", late], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as waits:
        try:
            check(False, "it does not wait: %r" % waits.communicate(timeout=3)[0])
        except subprocess.TimeoutExpired:
            shutil.copy2(directory + "/slow/ca.pem", late)
            os.close(lock)
        said = waits.communicate(timeout=60 * shslib.SLOWNESS)[0]
    equal(waits.returncode, 0, said)
    check("authority" not in said, said)
    fine, text = verify(directory + "/slow/ca.pem", late + "/late.example.pem")
    check(fine, text)


def files(directory):
    """Nothing is overwritten unless asked; nothing half is left; names of files are harmless."""
    run("cert", "new", "*.a.example", "--dir", directory + "/new", "--p12", "secret")
    equal(sorted(os.listdir(directory + "/new")),
          ["_wildcard_.a.example.key", "_wildcard_.a.example.p12", "_wildcard_.a.example.pem", "ca.key", "ca.pem"], "files")
    equal(stat.S_IMODE(os.stat(directory + "/new").st_mode), 0o700, "mode of the directory")
    equal(stat.S_IMODE(os.stat(directory + "/new/_wildcard_.a.example.p12").st_mode), 0o600, "mode of PKCS #12")
    code, out, err = shslib.run("openssl", "pkcs12", "-in", directory + "/new/_wildcard_.a.example.p12", "-passin",
                                "pass:secret", "-nodes", "-info")
    check(code == 0 and "BEGIN PRIVATE" + " KEY" in out, err)
    before = open(directory + "/new/ca.pem").read()
    check("already exists" in run("cert", "new", "*.a.example", "--dir", directory + "/new", code=2), "overwritten")
    check("already exists" in run("cert", "ca", "--dir", directory + "/new", code=2), "overwritten")
    run("cert", "new", "*.a.example", "--dir", directory + "/new", "--force")
    equal(open(directory + "/new/ca.pem").read(), before, "the authority")
    run("cert", "new", "dns:../../x", "--dir", directory + "/new", "--name", "../evil")
    check(os.path.exists(directory + "/new/_._evil.pem") and not os.path.exists(directory + "/evil.pem"),
          os.listdir(directory + "/new"))
    if os.geteuid() != 0:
        os.mkdir(directory + "/closed", 0o500)
        check("Cannot make" in run("cert", "ca", "--dir", directory + "/closed", code=1), "written")
    run("cert", "ca", "--dir", "/proc/nowhere", code=1)


def the_authority_stays(directory):
    """Whatever is called ca, and whatever --force may replace."""
    home = directory + "/home"
    run("cert", "new", "ca", "--dir", home, code=2)
    run("cert", "new", "a.test", "--dir", home)
    before = open(home + "/ca.pem").read()
    for arguments in (("new", "ca"), ("new", "b.test", "--name", "ca"), ("new", "b.test", "--name", "ca", "--ca", home),
                      ("new", "b.test", "--name", "ca", "--ca", home + "/ca.pem"), ("ca", "--below", home)):
        check("another --name" in run("cert", *arguments, "--dir", home, "--force", code=2), arguments)
    equal(open(home + "/ca.pem").read(), before)
    run("cert", "new", "b.test", "--dir", home)
    run("cert", "ca", "--dir", home, "--force")  # a new one was asked for
    check(open(home + "/ca.pem").read() != before, "it is the old one")


def certificates_that_nobody_asked_to_be_bad(directory):
    home = directory + "/home"
    run("cert", "ca", "--dir", home, "--constrain", "a.test,127.0.0.0/8")
    check("warning" not in run("cert", "new", "b.a.test", "127.0.0.1", "--dir", home), "a good one")
    for options in ((), ("--o", "ops")):
        check("warning" not in run("cert", "new", "127.0.0.1", "--dir", home, "--force", *options), "an address alone")
        if shutil.which("certtool"):
            code, out, err = shslib.run("certtool", "--verify", "--load-ca-certificate", home + "/ca.pem", "--infile",
                                        home + "/127.0.0.1.pem")
            equal(code, 0, out + err)
    for name in ("b.test", "::1"):
        text = run("cert", "new", name, "--dir", home)
        check("shs: warning: clients will refuse" in text and "permitted subtree" in text, text)
    check("warning" not in run("cert", "new", "c.a.test", "--dir", home, "--fault", "expired"), "what was asked for")
    run("cert", "ca", "--dir", home, "--name", "leafs", "--depth", "1")
    run("cert", "ca", "--dir", home, "--name", "below", "--below", home + "/leafs.pem")
    check("path length" in run("cert", "new", "d.test", "--dir", home, "--ca", home + "/below.pem"), "depth")


def places_to_write_to(directory):
    home = directory + "/home"
    run("cert", "new", "a.test", "--dir", home)
    crl = ("cert", "crl", "--ca", home)
    for force in ((), ("--force",)):
        check("BEGIN X509 CRL" in run(*crl, "--out", "/dev/stdout", *force), "standard output")
        check("not a file" in run(*crl, "--out", home, *force, code=2) or not force, "a directory")
        check("No space left" in run(*crl, "--out", "/dev/full", *force, code=1), "a full one")
    pipe = directory + "/pipe"
    os.mkfifo(pipe)
    code, out, err = shslib.run("sh", "-c", 'cat "$1" & "$0" cert crl --ca "$2" --force --out "$1" && wait', SHS, pipe, home)
    check(code == 0 and "BEGIN X509 CRL" in out, err)
    check(stat.S_ISFIFO(os.stat(pipe).st_mode), "the pipe was replaced")
    os.mkfifo(home + "/p.key")
    check("not a file" in run("cert", "new", "p", "--dir", home, "--force", code=2), "a pipe was replaced")


def certificates_of_another_authority(directory):
    """Their serial numbers mean nothing to this one."""
    for name in ("one", "two"):
        run("cert", "new", name, "--dir", directory + "/" + name)
    cert = directory + "/two/two.pem"
    for arguments in (("crl", "--revoke", cert), ("crl", "--revoke", cert + "=keyCompromise"), ("ocsp", cert)):
        check("has not issued it" in run("cert", *arguments, "--ca", directory + "/one", code=2), arguments)
        run("cert", *arguments, "--ca", directory + "/two", "--out", directory + "/out", "--force")


def what_is_checked_by_its_url(directory):
    run("cert", "new", "localhost", "--dir", directory)
    one = directory + "/localhost.pem"
    run("cert", "check", one, "--ca", directory)
    run("cert", "check", one, "--ca", directory + "/none", code=3)
    with shslib.temp_dir() as site, shslib.Server("--cert", one, "--key", directory + "/localhost.key", site) as server:
        for path in ("", "/", "/a?b=c:1"):
            text = run("cert", "check", "https://localhost:%d%s" % (server.port, path), "--ca", directory)
            check("fine" in text, text)
    text = run("cert", "check", "https://localhost.invalid/a:1", code=3)
    check("localhost.invalid port 443" in text, text)
    for place in ("127.0.0.1:0", "localhost:65536", "[::1]:99999", "https://127.0.0.1:165536/", "a.invalid:" + "9" * 30):
        for command in ("show", "check"):
            check("no port from 1 to 65535" in run("cert", command, place, code=2), place)


def wrong_words(directory):
    for arguments, word in (
            (("new",), "needs a name"), (("new", "a", "--key", "rsa"), "'rsa'"), (("new", "a", "--fault", "x"), "'x'"),
            (("new", "a", "--days", "x"), "'x'"), (("new", "a", "--days", "9", "--not-after", "+1d"), "--days"),
            (("new", "a", "--now", "then"), "'then'"), (("new", "a b"), "'a b'"), (("new", "a", "--ext", "x"), "'x'"),
            (("new", "a", "--what"), "--what"), (("new", "a", "--key"), "needs a value"), (("ca", "a"), "'a'"),
            (("ca", "--constrain", "10.0.0.0/99"), "10.0.0.0/99"), (("crl",), "--ca"), (("ocsp", "--ca", directory), "--serial"),
            (("show",), "file"), ((), "command"), (("what",), "what"),
            # what is empty or 0 is not the same as what is not said
            (("ca", "--constrain", ""), "--constrain"), (("ca", "--constrain", ","), "--constrain"),
            (("ca", "--exclude", ""), "--exclude"), (("ca", "--depth", "0"), "--depth"), (("new", "a", "--days", "0"), "--days"),
            (("new", "a", "--usage", ""), "empty"), (("new", "a", "--usage", " ,"), "empty"),
            (("new", "a", "--key-usage", ""), "empty"), (("new", "a", "--uri", ""), "URI"), (("new", "a", "--email", ""), "mailbox"),
            # names that are none
            (("new", "a..b"), "'a..b'"), (("new", "a.b."), "'a.b.'"), (("new", "a" * 64 + ".b"), "aaa"), (("new", "256.1.1.1"), "256"),
            (("new", "1.2.3"), "1.2.3"), (("new", "*a.b"), "'*a.b'"), (("new", "https://a/"), "name alone"), (("new", "b\u00fc"), "xn--"),
            (("new", "a-.b"), "'a-.b'"), (("new", "a." * 130 + "b"), "253 bytes"), (("new", "a.b."), "without the dot"),
            (("new", "b." + "a" * 64), "63 from dot"), (("new", "fe80::1%eth0"), "zone"), (("new", "a..b"), "name alone"),
            (("new", "\u00fc" * 64), "xn--"), (("new", "a", "--not-after", "10000-01-01"), "years 0 to 9999"),
            (("new", "a", "--days", "99999999"), "--days 99999999 goes beyond"), (("ca", "--days", "4000000"), "beyond"),
            (("ocsp", "--ca", directory, "a.pem", "--reason", "superseded"), "--status revoked"),
            (("ocsp", "--ca", directory, "a.pem", "--status", "good", "--reason", "superseded"), "--status revoked"),
            (("new", "a", "--uri", "x"), "'x'"),
            (("new", "a", "--uri", "a:b c"), "URI"), (("new", "a", "--email", "a"), "'a'"), (("ca", "--constrain", "*.a"), "'*.a'"),
            (("ca", "--constrain", "a..b"), "'a..b'"), (("new", "a", "--serial", "9" * 300), "random21"),
            (("new", "a", "--fault", "expired", "--fault", "wrong-name"), "one --fault"), (("new", "-a"), "'-a'"),
            # names that are something else, each with what to do instead
            (("new", "me@a.example"), "--email"), (("new", "localhost:8443"), "without the port"), (("new", "127.0.0.1:80"), "port"),
            (("new", "[::1]:443"), "port"), (("new", "[::1]"), "brackets"), (("new", "DNS:a.example"), "name alone"),
            (("new", "10.0.0.0/8"), "network"), (("new", "a.example,b.example"), "each name"), (("new", '["a","b"]'), "each name"), (("new", "https://a@b/"), "uri:"),
            (("ca", "--digest", "md5"), "(EC, 256 bits) does not sign over md5")):
        where = ("--dir", directory) if arguments[:1] in (("new",), ("ca",)) else ()
        text = run("cert", *arguments[:1], *where, *arguments[1:], code=2)
        check(word in text and text.count("\n") == 1, "%r: %s" % (arguments, text))
    equal(os.listdir(directory), [], "files, though nothing could be made")
    check("No such file" in run("cert", "new", "a", "--dir", directory, "--ca", directory + "/none.pem", code=1), "no ca")


def wrong_numbers(directory):
    """Each is told what it is not, and what it may be."""
    run("cert", "ca", "--dir", directory)
    serial = "a serial number: give hexadecimal digits, 80 at most"
    for command, option, value, word in (
            ("crl", "--number", "x", "the number of a CRL. Give"), ("crl", "--number", "", "random21, or none."),
            ("crl", "--number", "9" * 81, "40 bytes at most"), ("crl", "--delta-base", "x", "the number of a CRL that is added to. Give"),
            ("crl", "--delta-base", "none", "at most), or random21."), ("ocsp", "--serial", "x", serial), ("ocsp", "--serial", "", serial),
            ("ocsp", "--serial", "1" * 81, serial), ("crl", "--revoke", "1" * 81, serial)):
        text = run("cert", command, "--ca", directory, option, value, code=2)
        check("is not " in text and word in text and text.count("\n") == 1, "%s %s: %s" % (option, value, text))
        equal("serial" in text, command == "ocsp" or option == "--revoke", text)
    for command, option, value in (("crl", "--number", "none"), ("crl", "--number", "0x1f"), ("ocsp", "--serial", "a" * 80),
                                   ("crl", "--revoke", "1" * 80)):
        run("cert", command, "--ca", directory, option, value, "--out", directory + "/out", "--force")


def trust(directory):
    run("cert", "ca", "--dir", directory + "/with space")
    out = run("trust", "print", directory + "/with space/ca.pem")
    for client in ("curl", "wget", "openssl", "python", "node", "go", "perl", "php", "java", "git", "chromium", "firefox", "debian"):
        check("\n%s: " % client in "\n" + out, client)
    check("'%s/with space/ca.pem'" % os.path.realpath(directory) in out and "%s" not in out, out)
    out = run("trust", "print", directory + "/with space/ca.pem", "--client", "node")
    equal(out.count("\n"), 2, out)
    check("'netscape'" in run("trust", "print", directory + "/with space/ca.pem", "--client", "netscape", code=2), "known")
    # What is not an authority, or not for others.
    home = directory + "/with space"
    run("cert", "new", "a.example", "--dir", home)
    run("cert", "new", "b.example", "--dir", home, "--fault", "self-signed")
    run("cert", "ca", "--dir", home, "--name", "old", "--not-after", "-1d")
    with open(home + "/both.pem", "wb") as both:
        both.write(open(home + "/ca.pem", "rb").read() + open(home + "/ca.key", "rb").read())
    with open(home + "/bundle.pem", "wb") as bundle:
        bundle.write(open(home + "/ca.pem", "rb").read() + open(home + "/a.example.pem", "rb").read())
    shslib.run("openssl", "x509", "-in", home + "/ca.pem", "-outform", "DER", "-out", home + "/ca.der")
    for name, word in (("a.example.pem", "a.example in it is not an authority"), ("b.example.pem", "not an authority"),
                       ("bundle.pem", "a.example in it is not an authority"), ("ca.key", "no certificate"),
                       ("both.pem", "private key"), ("ca.der", "openssl x509 -inform DER")):
        text = run("trust", "print", home + "/" + name, code=1)
        check(word in text and name in text and text.count("\n") == 1, "%s: %s" % (name, text))
    check("warning" in run("trust", "print", home + "/old.pem"), "one that has ended")
    run("trust", "install", code=2)
    run("trust", "print", directory + "/none", code=1)


def in_a_directory(test):
    def with_it():
        with shslib.temp_dir() as directory:
            test(directory)

    with_it.__name__ = test.__name__
    return with_it


shslib.main(*map(in_a_directory, (good, faults, exit_codes, of_a_server, revocation, several_at_once, files,
                                the_authority_stays, certificates_that_nobody_asked_to_be_bad,
                                places_to_write_to, certificates_of_another_authority, what_is_checked_by_its_url,
                                wrong_words, wrong_numbers, trust)))
