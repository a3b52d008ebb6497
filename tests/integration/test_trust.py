"""`shs trust install` and `remove`: all of it or nothing, each change said with how to undo it."""

import os
import re
import shutil
import stat
import subprocess

import shslib
from shslib import check, equal

CERTUTIL = shutil.which("certutil")
DEBIAN = "usr/local/share/ca-certificates"


def shs(*arguments, code=0, home="/nonexistent"):
    got, out, err = shslib.run(shslib.BIN, *arguments, env={"HOME": home})
    equal(got, code, "shs %s: %s%s" % (" ".join(arguments), out, err))
    check(not re.search(r"Sanitizer|runtime error", err), err)
    return out + err


def authority(directory, *more):
    shs("cert", "ca", "--dir", directory, *more)
    return os.path.join(directory, "ca.pem")


def digest_of(ca):
    done = subprocess.run(["openssl", "x509", "-in", ca, "-noout", "-fingerprint", "-sha256"], check=True,
                          stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().split("=")[1]


def name_of(ca):
    return "shs-" + digest_of(ca).replace(":", "")[:12].lower()


def certutil(store, *arguments):
    done = subprocess.run([CERTUTIL, "-d", "sql:" + store, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60 * shslib.SLOWNESS)
    return done.returncode, done.stdout


def make_stores(home):
    """A user with Chromium and two profiles of Firefox."""
    stores = [home + "/" + path for path in (".pki/nssdb", ".mozilla/firefox/a.default", ".mozilla/firefox/b c.work")]
    for store in stores:
        os.makedirs(store)
        equal(certutil(store, "-N", "--empty-password")[0], 0)
    os.makedirs(home + "/.mozilla/firefox/Crash Reports")
    return stores


def tree(top):
    """Every file with its content."""
    found = {}
    for directory, _, files in os.walk(top):
        for name in files:
            with open(os.path.join(directory, name), "rb") as f:
                found[os.path.relpath(os.path.join(directory, name), top)] = f.read()
    return found


def a_system_in_a_directory():
    for place, suffix, tool in ((DEBIAN, ".crt", "update-ca-certificates"),
                                ("etc/pki/ca-trust/source/anchors", ".pem", "update-ca-trust"),
                                ("etc/ca-certificates/trust-source/anchors", ".pem", "update-ca-trust"),
                                ("etc/pki/trust/anchors", ".pem", "update-ca-certificates")):
        with shslib.temp_dir() as top:
            ca, root = authority(top + "/a b"), top + "/root"
            os.makedirs(os.path.join(root, place))
            where = os.path.join(root, place, name_of(ca) + suffix)
            out = shs("trust", "install", ca, "--root", root, "--dry-run")
            check("would write " + where in out, out)
            equal(tree(root), {}, "after --dry-run")
            out = shs("trust", "install", ca, "--root", root)
            check("wrote " + where in out and tool in out and "undo: sudo rm " + where in out, out)
            check(digest_of(ca) in out and "No browser has a store here" in out, out)
            check("shs trust print '%s' --client java" % ca in out, out)
            with open(ca, "rb") as f:
                equal(list(tree(root).values()), [f.read()])
            equal(stat.S_IMODE(os.stat(where).st_mode), 0o644)
            check("already exists" in shs("trust", "install", ca, "--root", root), "a second time")
            second = authority(top + "/second")
            shs("trust", "install", second, "--root", root)
            equal(len(tree(root)), 2, "two beside one another")
            out = shs("trust", "remove", ca, "--root", root, "--dry-run")
            check("would remove " + where in out and len(tree(root)) == 2, out)
            out = shs("trust", "remove", ca, "--root", root)
            check("removed " + where in out and "undo: sudo shs trust install" in out, out)
            equal(list(tree(root)), [os.path.join(place, name_of(second) + suffix)])
            check("is not there" in shs("trust", "remove", ca, "--root", root), "a second time")


def what_print_says_is_what_is_done():
    with shslib.temp_dir() as top:
        ca = authority(top)
        for client, words in (("debian", "/%s/%s.crt" % (DEBIAN, name_of(ca))), ("chromium", "-n %s " % name_of(ca)),
                              ("fedora", "/etc/pki/ca-trust/source/anchors/%s.pem" % name_of(ca))):
            out = shs("trust", "print", ca, "--client", client)
            check(words in out and "%n" not in out, out)


def what_print_says_works():
    """Its lines as they stand, for programs in languages that look at different variables."""
    lwp = "my $r = LWP::UserAgent->new->get($ENV{URL}); print $r->code == 200 ? 'fine' : $r->status_line"
    ruby = "print Net::HTTP.get_response(URI(ENV['URL'])).code == '200' ? 'fine' : 'bad'"
    php = "<?php $c = curl_init(getenv('URL')); curl_setopt($c, CURLOPT_RETURNTRANSFER, 1); " \
          "echo curl_exec($c) !== false && file_get_contents(getenv('URL')) !== false ? 'fine' : curl_error($c);"
    with shslib.Server("--handler", "echo") as server, shslib.temp_dir() as top:
        script = shslib.write_file(top + "/t.php", php.encode())
        for client, there, command in (("perl", "perl -MLWP::UserAgent -MLWP::Protocol::https -e1", ["perl", "-MLWP::UserAgent", "-e", lwp]),
                                       ("ruby", "ruby -rnet/http -ropenssl -e1", ["ruby", "-rnet/http", "-e", ruby]),
                                       ("php", "php -r 'exit(function_exists(\"curl_init\") ? 0 : 1);'", None)):
            if shslib.run("sh", "-c", there)[0] != 0:
                print("       %s is not installed, or not all of it" % client)
                continue
            lines = [line.strip() for line in shs("trust", "print", server.ca, "--client", client).splitlines()[1:]]
            if command is None:
                command = ["sh", "-c", lines.pop().replace("FILE", script)]
            code, out, err = shslib.run("sh", "-c", "\n".join(lines) + '\n"$@"', "sh", *command,
                                        env={"URL": "https://localhost:%d/" % server.port})
            equal((code, out), (0, "fine"), "%s: %s" % (client, err))


def browsers():
    if CERTUTIL is None:
        print("       there is no certutil (apt install libnss3-tools)")
        return
    with shslib.temp_dir() as top:
        ca, home = authority(top), top + "/home"
        stores, name = make_stores(home), name_of(ca)
        out = shs("trust", "install", ca, "--only", "browsers", "--dry-run", home=home)
        equal(out.count("would add '%s'" % name), 3, out)
        equal([certutil(store, "-L", "-n", name)[0] for store in stores], [255] * 3, "after --dry-run")
        out = shs("trust", "install", ca, "--only", "browsers", home=home)
        for store in stores:
            check("added '%s' to sql:%s" % (name, store) in out, out)
            check("undo: certutil -d 'sql:%s' -D -n %s" % (store, name) in out, out)
            code, text = certutil(store, "-L")
            check(re.search(r"^%s +C,,\s*$" % name, text, re.M), text)
            equal(certutil(store, "-L", "-n", name, "-a")[1].split(), open(ca, encoding="ascii").read().split())
        equal(shs("trust", "install", ca, "--only", "browsers", home=home).count("already in"), 3)
        equal(shs("trust", "remove", ca, "--only", "browsers", home=home).count("removed '%s'" % name), 3)
        equal([certutil(store, "-L", "-n", name)[0] for store in stores], [255] * 3, "after remove")
        equal(shs("trust", "remove", ca, "--only", "browsers", home=home).count("not in"), 3)
        # One that cannot be changed: which, and the others are.
        with open(stores[1] + "/cert9.db", "wb") as f:
            f.write(b"no database" * 1000)
        out = shs("trust", "install", ca, "--only", "browsers", home=home, code=1)
        check("certutil could not add '%s' in sql:%s" % (name, stores[1]) in out, out)
        check("of 3 stores of browsers 2 were changed, and 1 were not" in out, out)
        equal([certutil(store, "-L", "-n", name)[0] for store in (stores[0], stores[2])], [0, 0])


def one_with_a_password_is_not_waited_for():
    """certutil would ask for it; nobody is there to answer."""
    if CERTUTIL is None:
        return
    with shslib.temp_dir() as top:
        ca, store = authority(top), top + "/home/.pki/nssdb"
        os.makedirs(store)
        shslib.write_file(top + "/password", "secret\n")
        equal(certutil(store, "-N", "-f", top + "/password")[0], 0)
        out = shs("trust", "install", ca, "--only", "browsers", home=top + "/home", code=1)
        check("has the store a password" in out, out)


def what_is_refused_changes_nothing():
    with shslib.temp_dir() as top:
        ca, root = authority(top + "/ca"), top + "/root"
        os.makedirs(os.path.join(root, DEBIAN))
        old = authority(top + "/old", "--not-after", "-1d")
        shs("cert", "new", "a.example", "--dir", top + "/ca")
        leaf = top + "/ca/a.example.pem"
        with open(ca, "rb") as one, open(top + "/ca/ca.key", "rb") as key, open(old, "rb") as other:
            one, key, other = one.read(), key.read(), other.read()
        for name, text in (("both.pem", one + key), ("two.pem", one + other), ("empty.pem", b"")):
            with open(top + "/" + name, "wb") as f:
                f.write(text)
        for file, words in ((old, "has expired"), (leaf, "is not an authority"), (top + "/both.pem", "private key"),
                            (top + "/two.pem", "2 certificates"), (top + "/empty.pem", "no certificate"),
                            (top + "/none.pem", "none.pem")):
            out = shs("trust", "install", file, "--root", root, code=1)
            check(words in out and out.count("\n") == 1, "%s: %s" % (file, out))
        for arguments, words in (((), "needs the authority's file"), ((ca, "--only", "java"), "'system' and 'browsers'"),
                                 ((ca, "--root", "here"), "whole path"), ((ca, ca), "")):
            out = shs("trust", "install", *arguments, code=2)
            check(words in out, out)
        equal(tree(root), {}, "after all that was refused")
        out = shs("trust", "install", ca, "--root", top + "/ca", code=1)
        check("no store of the system that is known" in out and "Nothing was changed" in out, out)
        os.makedirs(top + "/home")
        out = shs("trust", "install", ca, "--only", "browsers", home=top + "/home", code=1)
        check("no browser has a store" in out and "Nothing was changed" in out, out)
        # One that has ended can be taken out all the same.
        where = os.path.join(root, DEBIAN, name_of(old) + ".crt")
        shutil.copy(old, where)
        check("removed " + where in shs("trust", "remove", old, "--root", root), "an old one")


def half_of_it_is_refused_before():
    """A system that may not be written: the browsers' stores stay as they are too."""
    if CERTUTIL is None or os.geteuid() != 0 or shutil.which("setpriv") is None:
        print("       needs root, setpriv and certutil")
        return
    with shslib.temp_dir() as top:
        ca, root = authority(top), top + "/root"
        os.makedirs(os.path.join(root, DEBIAN))
        stores = make_stores(root + "/home")
        for directory, names, files in os.walk(top):
            for path in [directory] + [os.path.join(directory, name) for name in files]:
                os.chmod(path, 0o755 if os.path.isdir(path) else 0o644)
        subprocess.run(["chown", "-R", "65534:65534", root + "/home"], check=True)
        code, out, err = shslib.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", shslib.BIN, "trust",
                                    "install", ca, "--root", root, env={"HOME": "/home"})
        equal(code, 1, out + err)
        check("may only be changed by root" in err and "--only browsers" in err and "Nothing was changed" in err, err)
        equal(certutil(stores[0], "-L", "-n", name_of(ca))[0], 255, "a browser's store was changed")


INSIDE = r"""
set -e
for place in /usr/local/share/ca-certificates /etc/ssl/certs; do mount -t tmpfs none "$place"; done
: > "$TOP/conf"
mount --bind "$TOP/conf" /etc/ca-certificates.conf
cp "$TOP/other/ca.pem" /usr/local/share/ca-certificates/other.crt
"$SHS_BIN" trust install "$CA" --only system
test -f /etc/ssl/certs/ca-certificates.crt
openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt "$TOP/a.example.pem"
openssl verify -CApath /etc/ssl/certs "$TOP/a.example.pem"
"$SHS_BIN" trust remove "$CA" --only system
! openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt "$TOP/a.example.pem"
openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt "$TOP/other/ca.pem"
# The program that reads it fails: what was written goes again.
printf '#!/bin/sh\nexit 3\n' > "$TOP/broken"
chmod 755 "$TOP/broken"
mount --bind "$TOP/broken" "$(command -v update-ca-certificates)"
if "$SHS_BIN" trust install "$CA" --only system 2> "$TOP/said"; then exit 9; fi
cat "$TOP/said" >&2
test "$(ls /usr/local/share/ca-certificates)" = other.crt
"""


def the_real_one():
    """Debian's update-ca-certificates, where it can do no harm: with mounts that nobody else sees."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("update-ca-certificates") or \
            not os.path.exists("/etc/ca-certificates.conf"):
        print("       needs root, unshare and Debian's ca-certificates")
        return
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], stderr=subprocess.DEVNULL).returncode:
        print("       nothing can be mounted here")
        return
    with shslib.temp_dir() as top:
        ca = authority(top)
        authority(top + "/other")
        shs("cert", "new", "a.example", "--dir", top)
        code, out, err = shslib.run("unshare", "-m", "--propagation", "private", "bash", "-c", INSIDE,
                                    env={"TOP": top, "CA": ca, "SHS_BIN": os.path.abspath(shslib.BIN)})
        equal(code, 0, out + err)
        check("and ran /usr/sbin/update-ca-certificates" in out and out.count(": OK") == 3, out)
        check("update-ca-certificates has failed" in err and "was removed again" in err, err)


shslib.main(a_system_in_a_directory, what_print_says_is_what_is_done, what_print_says_works, browsers, one_with_a_password_is_not_waited_for,
            what_is_refused_changes_nothing, half_of_it_is_refused_before, the_real_one)
