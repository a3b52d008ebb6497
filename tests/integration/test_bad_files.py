"""Every file option of TLS, and every kind of bad file: one line at a start, and the old one at a reload."""

import os
import re
import resource
import shutil
import ssl
import subprocess

import shslib
import tls_pki
from shslib import check, equal

PATIENCE = 20
# The memory of a server that was given 100 MiB: the ceilings are 64 MiB (a CRL) and far less.
MOST_KIB = 100 * 1024 * (6 if shslib.SANITIZE else 1)
WITHOUT_PRIVILEGES = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def make_pki(directory):
    server, root = tls_pki.CA(directory, "server-root"), tls_pki.CA(directory, "client-root")
    cert, key = server.issue("it")
    files = {"--cert": cert, "--key": directory + "/locked.pem", "--client-ca": root.cert, "--crl": root.crl(),
             "--ocsp": directory + "/ocsp.der", "--deny": directory + "/deny", "--ticket-secret": directory + "/secret",
             "--password-file": directory + "/password"}
    shslib.write_file(files["--deny"], "serial 12 CN=x\n")
    shslib.write_file(files["--ticket-secret"], "s" * 40)
    shslib.write_file(files["--password-file"], "open sesame\n")
    for name in ("--ticket-secret", "--password-file"):
        os.chmod(files[name], 0o600)
    subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:open sesame", "-out", files["--key"]],
                   check=True, capture_output=True, timeout=60)
    subprocess.run(["openssl", "ocsp", "-index", server.base + ".db/index.txt", "-CA", server.cert, "-rsigner",
                    server.cert, "-rkey", server.key, "-issuer", server.cert, "-cert", cert, "-ndays", "2", "-respout",
                    files["--ocsp"]], check=True, capture_output=True, timeout=60)
    second = tls_pki.CA(directory, "second-root")
    return {"dir": directory, "ca": server.cert, "files": files, "serial": tls_pki.serial(cert),
            "clients": [(root.cert, root.client("one")), (second.cert, second.client("two"))], "crl": second.crl()}


# -- kinds of bad --------------------------------------------------------------------------------

def missing(good, path):
    pass


def a_directory(good, path):
    os.mkdir(path)


def empty(good, path):
    shslib.write_file(path, b"")


def binary(good, path):
    shslib.write_file(path, shslib.pattern(5000))


def truncated(good, path):
    data = open(good, "rb").read()
    shslib.write_file(path, data[:len(data) // 2])


def huge(good, path):
    shslib.write_file(path, open(good, "rb").read())
    os.truncate(path, 100 << 20)


def unreadable(good, path):
    shutil.copyfile(good, path)
    os.chmod(path, 0)


def a_pipe(good, path):
    os.mkfifo(path)


KINDS = (missing, a_directory, empty, binary, truncated, huge, unreadable, a_pipe)
WORDS = {missing: "No such file", a_directory: "Is a directory", huge: "longer than", unreadable: "Permission denied",
         a_pipe: "is a pipe"}
# What is not a mistake: nobody is denied; any bytes are a secret or a password, which then is the wrong one.
FINE = {("--deny", empty), ("--ticket-secret", binary)}
OTHER_WORDS = {("--ticket-secret", empty): "has 0 bytes; it needs 32", ("--ticket-secret", truncated): "needs 32",
               ("--crl", a_directory): "no CRL in the directory", ("--deny", binary): "Line 1 of the deny list", ("--deny", truncated): "Line 1 of the deny list",
               ("--password-file", empty): "password does not open", ("--password-file", binary): "longer than a password",
               ("--password-file", truncated): "password does not open", ("--password-file", a_pipe): "timed out"}


def command(files):
    argv = []
    for name, path in files.items():
        argv += [name, path]
    return argv


def spoilt(pki, option, kind):
    """The options with this one's file spoilt in that way, and its path."""
    path = os.path.join(pki["dir"], "bad", option.strip("-") + "." + kind.__name__)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    kind(pki["files"][option], path)
    return dict(pki["files"], **{option: path}), path


def words_of(option, kind):
    return OTHER_WORDS.get((option, kind)) or WORDS.get(kind) or ""


def at_a_start(pki):
    """One line that names the file, within a moment, and exit code 1."""
    for option in pki["files"]:
        for kind in KINDS:
            what = "%s, %s" % (option, kind.__name__)
            files, path = spoilt(pki, option, kind)
            if (option, kind) in FINE:
                with shslib.Server("--handler", "whoami", *command(files), "--log", "none"):
                    continue
            code, out, err = shslib.run(*WITHOUT_PRIVILEGES, shslib.BIN, "serve", "-p", "0", "--handler", "whoami",
                                        *command(files), seconds=PATIENCE)
            equal(code, 1, what + ": " + err)
            lines = [line for line in err.splitlines() if line.startswith("shs: error: ")]
            equal((len(lines), len(err.splitlines())), (1, 1), "lines for %s: %s" % (what, err))
            named = os.path.basename(path) if "does not open" not in err else "locked.pem"
            check(named in err and words_of(option, kind) in err, "%s: %s" % (what, err))
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    check(most < MOST_KIB, "%d KiB were used for a file of 100 MiB" % most)


def served(server, pki, version=None):
    context = tls_pki.client_context(pki["ca"], version=version)
    with context.wrap_socket(server.connect_plain(), server_hostname="localhost") as sock:
        return sock.getpeercert()["serialNumber"].lower()


def hang_up(servers, words, what):
    """SIGHUP to each, and what it then says with these words: [(server, line)]."""
    before = [len(server.stderr_lines()) for server in servers]
    for server in servers:
        server.signal(1)

    def said():
        found = [[line for line in server.stderr_lines()[count:] if re.search(words, line)]
                 for server, count in zip(servers, before)]
        return [(server, lines[0]) for server, lines in zip(servers, found) if lines]

    shslib.wait_until(lambda: len(said()) == len(servers), PATIENCE, "a word about " + what)
    return said()


def at_a_reload(pki):
    """The old one stays, and a line says which file and why; when it is mended, it is taken."""
    live = os.path.join(pki["dir"], "live")
    os.mkdir(live)
    files = {}
    for option, good in pki["files"].items():
        files[option] = os.path.join(live, option.strip("-"))
        shutil.copy(good, files[option])
    words = ("--handler", "whoami", "--client-auth", "optional", *command(files), "--log", "none", "--log-level", "info")
    with shslib.Server(*words, "--threading", "pool", prefix=WITHOUT_PRIVILEGES) as pool, \
            shslib.Server(*words, "--threading", "thread", prefix=WITHOUT_PRIVILEGES) as thread:
        for option, path in files.items():
            for kind in KINDS:
                if option == "--password-file" or (option, kind) in FINE:
                    continue  # a password is read once
                what = "%s, %s" % (option, kind.__name__)
                aside = path + ".aside"
                os.rename(path, aside)
                kind(aside, path)
                for server, line in hang_up((pool, thread), "not reloaded|reloaded in part|stays as it was", what):
                    check(os.path.basename(path) in line and words_of(option, kind) in line, "%s: %s" % (what, line))
                    for version in tls_pki.TLS_VERSIONS.values():
                        equal(served(server, pki, version), pki["serial"], what)
                if os.path.isdir(path):
                    os.rmdir(path)
                os.replace(aside, path)
                hang_up((pool, thread), "Files read again; ", "mended: " + what)
        for server in (pool, thread):
            check(server.resident_kib() < MOST_KIB, "%d KiB" % server.resident_kib())


def key_log(pki):
    """It is written, so what it says does not matter: but where it is."""
    base = [shslib.BIN, "serve", "-p", "0", "--handler", "whoami", "--cert", pki["files"]["--cert"], "--key",
            pki["files"]["--key"], "--password-file", pki["files"]["--password-file"], "--keylog"]
    for kind, words in ((a_directory, "Is a directory"), (unreadable, "Permission denied"), (a_pipe, "nobody reads")):
        path = pki["dir"] + "/keylog." + kind.__name__
        kind(pki["files"]["--deny"], path)
        code, out, err = shslib.run(*WITHOUT_PRIVILEGES, *base, path, seconds=PATIENCE)
        check(code == 1 and words in err and path in err and len(err.splitlines()) == 1, err)


# -- files that are fine, and those that others may read --------------------------------------------

def open_to_others(pki):
    """Each secret has a warning with the command that mends it; a group may read."""
    files = dict(pki["files"])
    for option in ("--key", "--ticket-secret", "--password-file"):
        files[option] = pki["dir"] + "/open" + option
        shutil.copyfile(pki["files"][option], files[option])
    files["--keylog"] = shslib.write_file(pki["dir"] + "/open--keylog", "")

    def warnings(mode):
        for option in ("--key", "--ticket-secret", "--password-file", "--keylog"):
            os.chmod(files[option], mode)
        with shslib.Server("--handler", "whoami", *command(files), "--log", "none") as server:
            pass  # all that it says it has said when it has ended
        return [line for line in server.stderr.splitlines() if "chmod o= " in line]

    equal(warnings(0o640), [], "warnings")
    for mode in (0o644, 0o602):
        lines = warnings(mode)
        equal(len(lines), 4, "\n".join(lines))
        for option in ("--key", "--ticket-secret", "--password-file", "--keylog"):
            check(any(files[option] in line for line in lines), option)


def a_password_from_a_pipe(pki):
    """It is read once, so it may come from a command."""
    files = dict(pki["files"])
    files.pop("--password-file")
    script = 'exec "$@" --password-file <(sleep 0.1; echo "open sesame")'
    with shslib.Server("--handler", "whoami", *command(files), "--log", "none", "--client-auth", "optional",
                       prefix=("bash", "-c", script, "bash")) as server:
        equal(served(server, pki), pki["serial"])


def pkcs12(pki):
    """Whatever protects it: it opens, or the true cause is named with the command that converts it."""
    cert = pki["files"]["--cert"]
    plain = pki["dir"] + "/plain.key"

    def openssl(*arguments):
        subprocess.run(("openssl",) + arguments, check=True, capture_output=True, timeout=60)

    openssl("pkey", "-in", pki["files"]["--key"], "-passin", "pass:open sesame", "-out", plain)
    wrong, right = pki["dir"] + "/wrong", pki["files"]["--password-file"]
    shslib.write_file(wrong, "open says me")
    os.chmod(wrong, 0o600)

    def make(name, *more):
        path = "%s/%s.p12" % (pki["dir"], name)
        openssl("pkcs12", "-export", "-inkey", plain, "-in", cert, "-passout", "pass:open sesame", "-out", path, *more)
        return path

    def opens(*argv):
        with shslib.Server("--handler", "whoami", *argv, "--log", "none") as server:
            equal(served(server, pki), pki["serial"], str(argv))

    def refuses(words, *argv):
        code, out, err = shslib.run(shslib.BIN, "serve", "-p", "0", "--handler", "whoami", *argv, seconds=PATIENCE)
        check(code == 1 and re.search(words, err), "%s: %s" % (argv, err))
        return err

    for name, more in (("usual", ()), ("nomac", ("-nomac",)), ("keyonly", ("-certpbe", "NONE")),
                       ("keyonly-nomac", ("-certpbe", "NONE", "-nomac")), ("certonly", ("-keypbe", "NONE"))):
        path = make(name, *more)
        opens("--cert", path, "--password-file", right)
        refuses("password does not open", "--cert", path, "--password-file", wrong)
        refuses("there is no password", "--cert", path)
    # The MAC takes a password as characters, and the cipher as bytes.
    path = "%s/umlaut.p12" % pki["dir"]
    openssl("pkcs12", "-export", "-inkey", plain, "-in", cert, "-passout", "pass:p\u00e4ss", "-out", path)
    for name, encoding, words in (("utf-8", "utf-8", None), ("latin-1", "latin-1", "another encoding")):
        umlaut = pki["dir"] + "/umlaut-" + name
        shslib.write_file(umlaut, "p\u00e4ss".encode(encoding))
        os.chmod(umlaut, 0o600)
        if words is None:
            opens("--cert", path, "--password-file", umlaut)
        else:
            refuses(words, "--cert", path, "--password-file", umlaut)
    opens("--cert", make("bare", "-nomac", "-certpbe", "NONE", "-keypbe", "NONE"))
    for name, more in (("rc2", ("-legacy", "-certpbe", "PBE-SHA1-RC2-40")), ("rc2key", ("-legacy", "-keypbe", "PBE-SHA1-RC2-40")),
                       ("md5", ("-legacy", "-keypbe", "PBE-MD5-DES", "-nomac"))):
        path = make(name, *more)
        err = refuses("openssl pkcs12 -legacy -nodes -in OLD -out NEW.pem", "--cert", path, "--password-file", right)
        check("does not open" not in err, err)
        converted = path + ".pem"
        openssl("pkcs12", "-legacy", "-nodes", "-in", path, "-passin", "pass:open sesame", "-out", converted)
        opens("--cert", converted)
    for name, more in (("md5", ("pkcs8", "-topk8", "-v1", "PBE-MD5-DES")), ("des", ("pkey", "-des", "-traditional"))):
        path = "%s/%s.key" % (pki["dir"], name)
        openssl(*more, "-in", plain, "-passout", "pass:open sesame", "-out", path, "-provider", "legacy", "-provider",
                "default")
        err = refuses("openssl pkey -provider legacy", "--cert", cert, "--key", path, "--password-file", right)
        check("does not open" not in err, err)
        openssl("pkey", "-provider", "legacy", "-provider", "default", "-aes256", "-in", path, "-passin",
                "pass:open sesame", "-passout", "pass:open sesame", "-out", path + ".new")
        opens("--cert", cert, "--key", path + ".new", "--password-file", right)


def client_cas(pki):
    """A CA in a bundle is read, or the line is named: never passed over in silence."""
    (first, one), (second, two) = pki["clients"]
    begin = "-----BEGIN CERTIFICATE-----"
    whole = [open(path).read() for path in (first, second)]
    trusted = subprocess.run(["openssl", "x509", "-in", second, "-trustout"], check=True, capture_output=True,
                             timeout=60).stdout.decode()
    check("BEGIN TRUSTED CERTIFICATE" in trusted, trusted)
    bundle = pki["dir"] + "/bundle.pem"
    base = ["--cert", pki["files"]["--cert"], "--key", pki["files"]["--key"], "--password-file",
            pki["files"]["--password-file"], "--client-ca", bundle]

    def verified(server, client):
        context = tls_pki.client_context(pki["ca"])
        context.load_cert_chain(*client)
        with context.wrap_socket(server.connect_plain(), server_hostname="localhost") as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b'"verified":true' in shslib.read_all(sock).replace(b" ", b"")

    good = ["", " ", "\t", "\u00a0", "\ufeff", "  \n\n  "]
    for text in [before + whole[1] for before in good] + [trusted, whole[1].replace("\n", " \r\n")]:
        for texts in ((text, whole[0]), (whole[0], text)):
            shslib.write_file(bundle, "".join(texts))
            with shslib.Server("--handler", "whoami", *base, "--log", "none") as server:
                check(verified(server, one) and verified(server, two), repr(text[:40]))
    bad = {"x" + whole[1]: "damaged BEGIN line", whole[1].replace("-----BEGIN", "----BEGIN"): "damaged BEGIN line",
           whole[1].replace(begin, ""): "base64", whole[1].replace("-----END", "----END"): "not base64",
           open(pki["crl"]).read(): "crl",
           "-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n": "openssl pkcs7 -print_certs"}
    shslib.write_file(bundle, "".join(whole))
    with shslib.Server("--handler", "whoami", *base, "--log", "none", "--log-level", "info") as server:
        for text, words in bad.items():
            shslib.write_file(bundle, whole[0] + text)
            code, out, err = shslib.run(shslib.BIN, "serve", "-p", "0", *base, seconds=PATIENCE)
            check(code == 1 and "bundle.pem" in err and words in err and re.search(r"[Ll]ine \d+", err), err)
            before = len(server.stderr_lines())
            server.signal(1)
            shslib.wait_until(lambda: any("not reloaded" in line for line in server.stderr_lines()[before:]), PATIENCE,
                              "a refusal: " + words)
            check(verified(server, two), "the CAs of before stay")


def bad_files():
    with shslib.temp_dir() as directory:
        tls_pki.each(make_pki(directory), at_a_start, at_a_reload, key_log, open_to_others, a_password_from_a_pipe,
                     pkcs12, client_cas)


shslib.main(bad_files)
