"""What cannot be written is an error that says so: the standard output of every command, and files that are made."""

import contextlib
import os
import resource
import signal
import subprocess

import shslib
import site_lab
from shslib import BIN, check, equal

SENTENCE = "shs: error: cannot write to the standard output: No space left on device\n"
# What is longer than a buffer was lost before the end: there is nothing left to fail with then.
IN_PART = "shs: error: cannot write to the standard output: a part of it is lost; is the disk full?\n"


def run_full(*arguments):
    """With a standard output on a full disk: exit code and stderr."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BIN, *arguments], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE,
                              timeout=60 * shslib.SLOWNESS)
    return done.returncode, done.stderr.decode()


def the_standard_output():
    with shslib.temp_dir() as directory:
        equal(shslib.run(BIN, "cert", "new", "localhost", "--dir", directory)[0], 0, "a certificate")
        cert, ca, name = directory + "/localhost.pem", directory + "/ca.pem", iter("abcdefgh")
        for arguments in (
                ("lab", "list"), ("lab", "list", "--json"), ("lab", "list", "--why", "no-san"), ("lab", "--help"),
                ("lab", "serve", "--help"), ("lab", "run", "--help"), ("lab", "check-server", "--help"),
                ("lab", "check-server", "--make", "--dir", directory + "/made"), ("exec", "--help"), ("cert", "--help"),
                ("cert", "new", "--help"), ("cert", "new", "localhost", "--dir", directory + "/" + next(name)),
                ("cert", "ca", "--dir", directory + "/" + next(name)), ("cert", "show", cert), ("cert", "show", cert, "--json"),
                ("cert", "check", cert, "--ca", ca), ("trust", "--help"), ("trust", "print", ca),
                ("check", "--at", "+1d", "--cert", cert, "--key", directory + "/localhost.key"), ("version",), ("help",),
                ("completion", "bash"), ("serve", "--print-config")):
            code, err = run_full(*arguments)
            check(code == 1 and err.splitlines(True)[-1:] in ([SENTENCE], [IN_PART]), "%r: %d %s" % (arguments, code, err))
        equal(run_full("exec", "true"), (0, ""), "what prints nothing has lost nothing")


def a_lab_that_nobody_is_told_of():
    """It ends at once: who reads the port from its output would wait for ever."""
    code, err = run_full("lab", "serve", "--only", "good", "--exit-after", "10m")
    equal((code, err), (1, SENTENCE), "lab serve")
    with lab() as port:
        visit(port)
        for arguments in (("env",), ("hosts",), ("hosts", "--format", "pac"), ("hello",)):
            code, err = run_full("lab", *arguments, "--port", port)
            equal((code, err), (1, SENTENCE), repr(arguments))
    code, out, err = shslib.run(BIN, "lab", "serve", "--only", "good", "--ready-file", "/dev/full", "--exit-after", "10m")
    equal(code, 1, err)
    check("cannot write /dev/full: No space left" in err, err)


@contextlib.contextmanager
def lab(*options):
    """A small lab's port. Its end is what the caller asks for, or SIGTERM."""
    reader, writer = os.pipe()
    process = subprocess.Popen([BIN, "lab", "serve", "--only", "good", "--ready-fd", str(writer), *options],
                               pass_fds=(writer,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        os.close(writer)
        with os.fdopen(reader) as ready:
            port = ready.readline().strip()
        check(port, "the lab does not start")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=60 * shslib.SLOWNESS)[1].decode()
        said.append(err)
        equal(process.returncode, 0, err)


said = []


def visit(port):
    code, _, err = shslib.run("curl", "-sSk", "-o", "/dev/null", "--proxy", "http://127.0.0.1:" + port,
                              "https://good.badssl.test/")
    equal(code, 0, err)


def a_key_log():
    """No reason to end a connection, but one to say so: once, however many there are."""
    with lab("--keylog", "/dev/full") as port:
        for _ in range(2):
            visit(port)
    equal(said[-1], "shs: warning: the key log cannot be written: No space left on device\n", "stderr")


def make(place, **keywords):
    return shslib.run(BIN, "lab", "check-server", "--make", "--dir", place, **keywords)


def certificates_for_check_server():
    """A disk that is full after half of them: nothing is left, so that the next try can succeed."""
    with shslib.temp_dir() as top:
        faults = site_lab.Faults(top)
        new, empty = top + "/new", top + "/empty"
        os.mkdir(empty)
        for place in (new, empty):
            environment = faults.env("linkat:crl.pem=ENOSPC")  # the last but one of them
            shslib.write_file(environment["SHS_FAULTS_WHEN"], b"")
            code, _, err = make(place, env=environment)
            equal(code, 1, err)
            check("%s/crl.pem: No space left on device" % place in err, err)
        equal((os.path.exists(new), os.listdir(empty)), (False, []), "what is left")
        equal(make(empty)[0], 0, "the next try")
        code, _, err = make(empty)
        equal(code, 2, err)
        check("ca.pem already exists" in err and "new or empty" in err, err)
        check(os.path.exists(empty + "/clients/alice.pem"), "what was there stays")


def run_small(*arguments):
    """No file can be longer than 3000 bytes, as on a disk that is full then."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    done = subprocess.run([BIN, "lab", "run", "--group", "names", *arguments, "--", "curl", "-fsSk", "-o", "/dev/null",
                           "--proxy", "{proxy}", "{url}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, timeout=120 * shslib.SLOWNESS, preexec_fn=limit)
    return done.returncode, done.stderr.decode()


def a_page_is_whole_or_not_there():
    with shslib.temp_dir() as directory:
        page, known = directory + "/page.html", directory + "/known"
        code, err = run_small("--report", page)
        equal(code, 1, err)
        check("cannot write %s: File too large" % page in err, err)
        equal(os.listdir(directory), [], "no half of a page")
        before = b"# of before\n"
        shslib.write_file(page, before)
        equal(run_small("--report", page)[0], 1, "an older one is there")
        shslib.write_file(known, b"# kept\n" * 1500)
        code, err = run_small("--baseline", known, "--update-baseline")
        equal(code, 1, err)
        check("cannot write %s: File too large" % known in err, err)
        equal(sorted(os.listdir(directory)), ["known", "page.html"], "nothing beside them")
        with open(page, "rb") as old, open(known, "rb") as list_:
            equal((old.read(), len(list_.read())), (before, 1500 * 7), "both are as they were")


def read(path):
    with open(path) as file:
        return file.read()


def a_ready_file_is_whole():
    """Who reads the one of before while it is written reads that, not half of another; a link leads to the same file."""
    with shslib.temp_dir() as directory:
        ready, link = directory + "/ready", directory + "/link"
        shslib.write_file(ready, "old\n")
        os.chmod(ready, 0o640)
        os.symlink("ready", link)
        with open(ready) as before:
            with lab("--ready-file", link) as port:
                equal(before.read(), "old\n", "an open file")
                # It is there just after the port was told.
                shslib.wait_until(lambda: read(ready) != "old\n", 10, "the new file")
                equal(read(ready), port + "\n", "the file")
        equal((os.path.islink(link), os.stat(ready).st_mode & 0o777), (True, 0o640), "link and mode")


if not os.path.exists("/dev/full"):
    shslib.skip("there is no /dev/full")
shslib.main(the_standard_output, a_lab_that_nobody_is_told_of, a_key_log, certificates_for_check_server,
            a_page_is_whole_or_not_there, a_ready_file_is_whole)
