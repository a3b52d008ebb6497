"""What `shs serve` gives up after its start (sandbox, --user), and what it says when a start fails."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import shslib
from shslib import check, equal

TOP = None
NOBODY = 65534


def statuses(server):
    """Of each thread: the lines of its status as a dict."""
    found = []
    for task in os.listdir("/proc/%d/task" % server.pid):
        with open("/proc/%d/task/%s/status" % (server.pid, task)) as file:
            found.append(dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line))
    return found


def pair(directory):
    """A certificate and its key in a directory of their own."""
    os.makedirs(directory, exist_ok=True)
    code, out, err = shslib.run(shslib.BIN, "cert", "new", "localhost", "--dir", directory)
    check(code == 0, out + err)
    return directory + "/localhost.pem", directory + "/localhost.key"


def landlock(server):
    return "landlock" in server.wait_stderr("^shs: sandbox: (.*)$").group(1)


def test_it_is_on():
    with shslib.Server("--plain", "--log-level", "debug", TOP + "/site") as server:
        said = server.wait_stderr("^shs: sandbox: (.*)$").group(1)
        equal(server.get("/a.txt")[2], b"hello\n")
        if said.startswith("none"):
            print("       " + said)
            return
        for status in statuses(server):
            equal(status["NoNewPrivs"], "1", status["Name"])
            if said.endswith("seccomp"):
                equal(status["Seccomp"], "2", status["Name"])
        check(shslib.SANITIZE or "seccomp" in said, said)
    with shslib.Server("--plain", "--no-sandbox", "--log-level", "debug", TOP + "/site") as server:
        server.wait_stderr("^shs: sandbox: none: --no-sandbox$")
        for status in statuses(server):
            equal((status["NoNewPrivs"], status["Seccomp"]), ("0", "0"))


def test_files_out_of_reach():
    """A certificate's link is led out of its directory: outside the sandbox that is read, inside it is refused."""
    cert, key = pair(TOP + "/inner/deep/er/certs")
    outside = pair(TOP + "/outside/certs")
    for flags, wanted in (((), False), (("--no-sandbox",), True)):
        for name in ("link.pem", "link.key"):
            if os.path.lexists(TOP + "/inner/deep/er/certs/" + name):
                os.unlink(TOP + "/inner/deep/er/certs/" + name)
        link = os.path.dirname(cert) + "/link"
        os.symlink(cert, link + ".pem")
        os.symlink(key, link + ".key")
        with shslib.Server("--handler", "whoami", "--cert", link + ".pem", "--key", link + ".key", "--log", "none",
                           "--log-level", "debug", *flags) as server:
            if not wanted and not landlock(server):
                print("       no landlock here: left out")
                return
            for old, new in zip((".pem", ".key"), outside):
                os.symlink(new, link + old + ".new")
                os.replace(link + old + ".new", link + old)
            server.signal(signal.SIGHUP)
            if wanted:
                server.wait_stderr("Files read again; taken: ")
            else:
                server.wait_stderr("not reloaded.*Permission denied")


def test_reload_of_renamed_files():
    cert, key = pair(TOP + "/renamed/a/b/c")
    with shslib.Server("--handler", "whoami", "--cert", cert, "--key", key, "--log-level", "debug") as server:
        for turn in range(2):
            pair(TOP + "/fresh%d" % turn)
            for path in (cert, key):
                os.replace(TOP + "/fresh%d/" % turn + os.path.basename(path), path)
            before = server.stderr.count("Files read again; taken: ")
            server.signal(signal.SIGHUP)
            shslib.wait_until(lambda: server.stderr.count("Files read again; taken: ") > before, 20, "a reload")


def relink(link, target):
    os.symlink(target, link + ".new")
    os.replace(link + ".new", link)


def answer_becomes(server, path, status, body=None):
    def is_there():
        got = server.get(path)
        return got[0] == status and (body is None or got[2] == body)
    shslib.wait_until(is_there, 20, "%d for %s" % (status, path))


def test_deployments():
    """The directory is below a link that is led to the next release, or is replaced itself."""
    app = TOP + "/app"
    for number in b"123":
        shslib.write_file(app + "/releases/%c/public/a.txt" % number, bytes((number,)))
    os.symlink("releases/1", app + "/current")
    with shslib.Server("--plain", app + "/current/public") as server:
        equal(server.get("/a.txt")[2], b"1")
        relink(app + "/current", "releases/2")
        answer_becomes(server, "/a.txt", 200, b"2")
        os.rename(app + "/releases/2/public", app + "/releases/2/old")
        os.rename(app + "/releases/3/public", app + "/releases/2/public")
        answer_becomes(server, "/a.txt", 200, b"3")


def test_directory_out_of_reach():
    """It is led to where the sandbox lets nobody: the log says so, and the answer is not that files are not there."""
    shslib.write_file(TOP + "/near/releases/1/a.txt", b"1")
    shslib.write_file(TOP + "/far/2/a.txt", b"2")
    os.symlink("releases/1", TOP + "/near/current")
    with shslib.Server("--plain", TOP + "/near/current", "--log-level", "debug") as server:
        if not landlock(server):
            print("       no landlock here: left out")
            return
        relink(TOP + "/near/current", TOP + "/far/2")
        answer_becomes(server, "/a.txt", 503)
        server.wait_stderr("/near/current has been replaced, and the new one may not be read .*: restart the server")
        relink(TOP + "/near/current", "releases/1")
        answer_becomes(server, "/a.txt", 200, b"1")


def test_route_out_of_reach():
    """A reload with a route to such a directory is refused with the sandbox's name."""
    config, site = TOP + "/conf/a/b/c/shs.yaml", TOP + "/routed/site"
    shslib.write_file(TOP + "/beyond/b.txt", b"b")
    shslib.write_file(site + "/in/b.txt", b"inside")
    text = "plain: true\ndirectory: %s\n" % site
    route = text + "routes:\n  - path: /r/\n    directory: %s\n"
    shslib.write_file(config, text.encode())
    with shslib.Server("--config", config, "--log-level", "debug") as server:
        if not landlock(server):
            print("       no landlock here: left out")
            return
        shslib.write_file(config, (route % (TOP + "/beyond")).encode())
        server.signal(signal.SIGHUP)
        server.wait_stderr("the sandbox, which was closed at the start, keeps .*/beyond out of reach: that needs a restart")
        shslib.write_file(config, (route % (site + "/in") + "    upload: true\n").encode())
        server.signal(signal.SIGHUP)
        server.wait_stderr("keeps .*/in out of reach for uploads")
        shslib.write_file(config, (route % (site + "/in")).encode())
        server.signal(signal.SIGHUP)
        answer_becomes(server, "/r/b.txt", 200, b"inside")


# A filter that answers one system call with an error, then the program: a container's, or an old kernel.
FORBID = """
import ctypes, os, struct, sys
number, error = int(sys.argv[1]), int(sys.argv[2])
code = b"".join(struct.pack("HBBI", *row) for row in (
    (0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | error), (0x06, 0, 0, 0x7fff0000)))
rows = ctypes.create_string_buffer(code, len(code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(rows)))
prctl = ctypes.CDLL(None, use_errno=True).prctl
prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
if prctl(38, 1, 0, 0, 0) != 0 or prctl(22, 2, ctypes.addressof(program), 0, 0) != 0:
    sys.exit(77)
os.execv(sys.argv[3], sys.argv[3:])
"""


def start_forbidden(number, error):
    """Its first line, exit code and stderr, with that system call forbidden."""
    process = subprocess.Popen([sys.executable, "-c", FORBID, str(number), str(error), shslib.BIN, "serve", "--plain",
                                "-p", "0", "--log-level", "debug", TOP + "/site"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        return first, process.communicate(timeout=20 * shslib.SLOWNESS)[1].decode(), process.returncode
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_forbidden_here():
    """Where a part of the sandbox is forbidden it is left out with a warning, and the site is served."""
    warning = "warning: not all of the sandbox can be had here"
    with shslib.Server("--plain", "--log-level", "debug", TOP + "/site") as server:
        if not landlock(server):
            print("       no landlock here: left out")
            return
        filtered = server.stderr.rstrip().endswith("seccomp")
    calls = [(444, 38, "no landlock in this kernel"), (445, 1, warning + ": .*no landlock here: Operation not permitted"),
             (446, 38, warning + ": .*no landlock here: Function not implemented")]
    seccomp = {"x86_64": 317, "aarch64": 277}.get(os.uname().machine)
    if filtered and seccomp is not None:
        calls.append((seccomp, 1, warning + ": .*landlock [0-9].*no seccomp here"))
    for number, error, words in calls:
        first, err, code = start_forbidden(number, error)
        check(first.startswith(b"Serving HTTP on ") and code == 0, "%d: %d %s" % (number, code, err))
        check(re.search(words, err), "%d: %s" % (number, err))


def root_only(test):
    def run():
        if os.geteuid() != 0:
            print("       only root: left out")
        else:
            test()
    run.__name__ = test.__name__
    return run


@root_only
def test_user():
    """All threads are the user, with no way back; the key of root was read; SIGHUP keeps it, and that is said before."""
    cert, key = pair(TOP + "/rootkey")
    os.chmod(key, 0o600)
    log = TOP + "/log"
    with shslib.Server("--user", "nobody", "--handler", "whoami", "--cert", cert, "--key", key, "--log-file", log) as server:
        group = pwd.getpwnam("nobody").pw_gid
        for status in statuses(server):
            equal((status["Uid"].split(), status["Gid"].split(), status["CapPrm"].strip("0"), status["CapEff"].strip("0")),
                  ([str(NOBODY)] * 4, [str(group)] * 4, "", ""), status["Name"])
            check(set(status["Groups"].split()) <= {str(group)}, status["Groups"])
        with server.connect(context=server.tls_context(verify=False)) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            check(shslib.read_all(sock).startswith(b"HTTP/1.1 200"), "no answer")
        server.wait_stderr("warning: SIGHUP will keep what was read now; .*rootkey.* may not be .* by user nobody")
        server.signal(signal.SIGHUP)
        shslib.wait_until(lambda: b"not reloaded" in open(log, "rb").read(), 20, "the reload that fails")
        equal(os.stat(log).st_uid, NOBODY, "the log's owner")
    with shslib.Server("--plain", "--user", "nobody:0", TOP + "/site") as server:
        equal(statuses(server)[0]["Gid"].split(), ["0"] * 4)


@root_only
def test_what_that_user_cannot_do_later():
    """All that SIGHUP reads again, and the local authority's next certificate: said while somebody looks."""
    with shslib.temp_dir() as directory:
        os.chmod(directory, 0o755)
        accounts = directory + "/accounts"
        shslib.write_file(accounts, "ann:$6$abc$%s\n" % ("x" * 86))
        os.chmod(accounts, 0o600)
        with shslib.Server("--user", "nobody", "--handler", "whoami", "--auth-file", accounts,
                           env={"XDG_STATE_HOME": directory}) as server:
            server.wait_stderr("SIGHUP will keep what was read now; the file .*accounts may not be read by user nobody")
            server.wait_stderr("user nobody may not write in .*/shs, so the certificate of the local authority is not "
                               r"made again while this runs. Start it again within 36\d days")


def test_no_such_user():
    for user, words in (("no-such-user", "there is no user 'no-such-user' on this machine"),
                        ("nobody:no-such-group", "there is no group 'no-such-group' on this machine"),
                        ("0", "--user must be another user than root"),
                        (":", "is not of the form NAME or NAME:GROUP")):
        code, _, err = shslib.run(shslib.BIN, "serve", "--plain", "-p", "0", "--user", user)
        check(code in (1, 2) and words in err, "%s: %d %s" % (user, code, err))


def as_nobody(*argv, env=None):
    """The command as a user who may do nothing."""
    if not os.path.exists(TOP + "/shs"):
        shutil.copy(shslib.BIN, TOP + "/shs")
    prefix = ("setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups") if os.geteuid() == 0 else ()
    return shslib.run(*prefix, TOP + "/shs", *argv, cwd="/", env=env)


def test_port_in_use():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        code, _, err = shslib.run(shslib.BIN, "serve", "--plain", "-p", port)
        with open("/proc/self/comm") as comm:
            name = comm.read().strip()
        equal((code, err), (1, "shs: error: cannot bind to 127.0.0.1 port %d: Address already in use; process %d (%s) has it: "
                               "stop that, or choose another port with --port (--port 0: a free one)\n"
                               % (port, os.getpid(), name)))
        if os.geteuid() == 0:  # and when nobody may look
            code, _, err = as_nobody("serve", "--plain", "-p", port)
            check(code == 1 and "a process of user 0 has it (sudo ss -ltnp 'sport = :%d' names it)" % port in err, err)


def test_low_port():
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
        if int(file.read()) <= 1:
            print("       every port is free for everybody here: left out")
            return
    code, _, err = as_nobody("serve", "--plain", "-p", "1")
    check(code == 1 and "cannot bind to 127.0.0.1 port 1: Permission denied; port 1 is one of those that only root may open. "
          "Either sudo setcap cap_net_bind_service=+ep %s/shs, or systemctl enable --now shs.socket, or start it as root "
          "with --user NAME, or choose a port from 1024 on" % TOP in err, err)


def test_unreadable_key():
    cert, key = pair(TOP + "/unreadable")
    os.chmod(TOP + "/unreadable", 0o755)
    os.chmod(cert, 0o644)
    os.chmod(key, 0)
    code, _, err = as_nobody("serve", "-p", "0", "--cert", cert, "--key", key)
    user, group = (NOBODY, NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    check(code == 1 and "(chown, chgrp, chmod). The file %s may not be read by user %s (%d), who serves: sudo chgrp %d %s && "
          "sudo chmod g+r %s"
          % (key, pwd.getpwuid(user).pw_name, user, group, key, key) in err, err)
    os.chmod(TOP + "/unreadable", 0o700)
    if os.geteuid() == 0:
        code, _, err = as_nobody("serve", "-p", "0", "--cert", cert, "--key", key)
        check(code == 1 and "unreadable may not be entered by user nobody" in err and "chmod g+x" in err, err)


def test_read_only_home():
    home = TOP + "/home"
    os.mkdir(home)
    os.chmod(home, 0o555)
    code, _, err = as_nobody("serve", "-p", "0", env={"HOME": home, "XDG_STATE_HOME": ""})
    check(code == 1 and "Name a directory that can be written, XDG_STATE_HOME=/var/tmp/my-shs for example, or give a "
          "certificate with --cert and --key" in err, err)


def test_foreign_build_directory():
    """run.sh and quickstart.sh in a tree that root has built in."""
    tree = TOP + "/tree"
    for path in ("examples/quickstart.sh", "tests/run.sh", "packaging/debian.sh", "packaging/debian-packages.txt"):
        shslib.write_file(tree + "/" + path, open(shslib.SOURCE_DIR + "/" + path, "rb").read())
    os.makedirs(tree + "/build")
    os.chmod(tree + "/build", 0o555)
    prefix = ("setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups") if os.geteuid() == 0 else ()
    for script in ("examples/quickstart.sh", "tests/run.sh"):
        code, out, err = shslib.run(*prefix, "bash", tree + "/" + script, cwd=tree)
        check(code == 1 and re.search(r"build/? belongs to \S+: sudo chown -R \S+ \S*build, or remove it", out + err),
              "%s: %d %s" % (script, code, out + err))


def test_stop_fits_docker():
    """The grace and the time for requests leave 3 s of Docker's 10 for what else there is to do."""
    for flags, stop in (((), 7000), (("--health", "0"), 2000), (("--drain-grace", "1000"), 6000),
                        (("--drain-grace", "9000"), 2000), (("--stop-timeout", "60000"), 60000)):
        code, out, err = shslib.run(shslib.BIN, "serve", "--plain", "--print-config", *flags)
        equal(code, 0, err)
        equal(re.search(r"stop-timeout: (\d+)", out).group(1), str(stop), "stop-timeout with %s" % (flags,))


@shslib.not_under("fork", "none")
def test_ctrl_c_on_a_terminal():
    """Who presses it sees what is waited for, and what the next one does."""
    import pty
    shslib.write_file(TOP + "/large/large.bin", b"x" * (24 << 20))
    master, slave = pty.openpty()
    process = subprocess.Popen([shslib.BIN, "serve", "--plain", "-p", "0", "--stop-timeout", "600000", TOP + "/large"],
                               stdin=slave, stdout=subprocess.PIPE, stderr=slave, env=dict(os.environ, HOME=TOP))
    os.close(slave)
    try:
        port = int(re.search(rb"port (\d+)", process.stdout.readline()).group(1))
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            sock.settimeout(20 * shslib.SLOWNESS)
            sock.connect(("127.0.0.1", port))
            sock.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            shslib.read_exactly(sock, 100000)
            process.send_signal(signal.SIGINT)
            said, end = b"", time.monotonic() + 20 * shslib.SLOWNESS
            while b"; Ctrl-C cuts them off" not in said and time.monotonic() < end:
                said += os.read(master, 65536)
            check(re.search(rb"stopping: requests may end, .* 1 with a request under way: .*; Ctrl-C cuts them off", said),
                  said.decode())
            process.send_signal(signal.SIGINT)
            equal(process.wait(20 * shslib.SLOWNESS), 1)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
        os.close(master)


def main():
    global TOP
    with shslib.temp_dir() as top:
        os.chmod(top, 0o755)
        TOP = top
        shslib.write_file(top + "/site/a.txt", b"hello\n")
        shslib.main(test_it_is_on, test_files_out_of_reach, test_reload_of_renamed_files, test_deployments,
                    test_directory_out_of_reach, test_route_out_of_reach, test_forbidden_here, test_user,
                    test_what_that_user_cannot_do_later, test_no_such_user, test_port_in_use, test_low_port,
                    test_unreadable_key, test_read_only_home,
                    test_foreign_build_directory, test_stop_fits_docker, test_ctrl_c_on_a_terminal)


main()
