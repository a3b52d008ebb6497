"""`shs exec`: a server for the length of a command, of which nothing is left."""

import fcntl
import json
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import shslib
from shslib import BIN, SLOWNESS, check, equal


def shs_exec(*arguments, env=None, seconds=60):
    return shslib.run(BIN, "exec", *arguments, env=env, seconds=seconds)


class Started(shslib.Process):
    """`shs exec` that runs on, with a temporary directory of its own."""

    def __init__(self, *arguments):
        self.temp = shslib.tempfile.mkdtemp(prefix="shs-test-exec-")
        super().__init__([BIN, "exec"] + list(arguments), env={"TMPDIR": self.temp}, expect_exit=None)

    def close(self):
        super().close()
        shutil.rmtree(self.temp, ignore_errors=True)


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def nothing_is_left(started, port=None, pids=()):
    equal(os.listdir(started.temp), [], "what is left in the temporary directory")
    for pid in pids:
        check(not is_alive(pid), "process %d is still there" % pid)
    if port:
        with socket.socket() as sock:
            check(sock.connect_ex(("127.0.0.1", port)) != 0, "port %d still answers" % port)


def statuses():
    equal(shs_exec("true")[0], 0)
    equal(shs_exec("false")[0], 1)
    equal(shs_exec("--", "sh", "-c", "exit 77")[0], 77)
    equal(shs_exec("--", "sh", "-c", "kill -9 $$")[0], 128 + 9)
    equal(shs_exec("--", "sh", "-c", "kill -TERM $$")[0], 128 + 15)
    equal(shs_exec("exit 3")[0], 3, "one argument with a blank is for the shell")


def commands_that_cannot_be_started():
    code, _, err = shs_exec("--", "no-such-command-here", "x")
    equal(code, 127, err)
    check("no-such-command-here" in err and "No such file" in err, err)
    with shslib.temp_dir() as directory:
        plain = shslib.write_file(os.path.join(directory, "not a program"), "x")
        code, _, err = shs_exec("--", plain)
        equal(code, 126, err)
        check(plain in err and "Permission denied" in err, err)


def usage():
    for arguments, word in (((), "missing"), ((" ",), "missing"), (("",), "missing"),
                            (("--fault", "reset_peer", "true"), "Is it 'rst'?"), (("--nonsense", "true"), "--nonsense"), (("--handler", "x", "true"), "'x'"),
                            (("--mtls=maybe", "true"), "maybe"), (("--plain", "--mtls", "true"), "--plain"),
                            (("--name", "no name", "true"), "no name"), (("--timeout", "soon", "true"), "soon"),
                            (("--handler", "echo", "--dir"), "--dir")):
        code, _, err = shs_exec(*arguments)
        equal(code, 2, "%r: %s" % (arguments, err))
        check(word in err and err.count("\n") == 1, err)
    code, _, err = shs_exec("--dir", "/no/such/directory", "true")
    equal(code, 125, err)
    check("/no/such/directory" in err, err)
    code, out, _ = shs_exec("--help")
    check(code == 0 and "SHS_URL" in out, out)


def environment():
    show = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    code, out, err = shs_exec("--", *show, env={"SSL_CERT_DIR": "/x", "CURL_CA_BUNDLE": "/y", "no_proxy": "a.example"})
    equal(code, 0, err)
    env = json.loads(out)
    equal(env["SHS_URL"], "https://127.0.0.1:" + env["SHS_PORT"])
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS",
                 "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "DENO_CERT", "CARGO_HTTP_CAINFO"):
        equal(env[name], env["SHS_CA"], name)
    check("SSL_CERT_DIR" not in env, "SSL_CERT_DIR is still set")
    equal(env["no_proxy"], "127.0.0.1,localhost,::1,a.example")
    for name in ("SHS_CA", "SHS_CERT", "SHS_KEY"):
        check(not os.path.exists(env[name]), name + " is still there")
    code, out, err = shs_exec("--plain", "--", *show)
    env = json.loads(out)
    check(env["SHS_URL"].startswith("http://") and "SHS_CA" not in env, out)


def handlers():
    for arguments, path, status, text in ((("--handler", "echo"), "/a", 200, '"target": "/a"'),
                                          (("--handler", "whoami"), "/", 200, '"tls": {'),
                                          (("--handler", "status"), "/status/418", 418, "418"),
                                          (("--handler", "status"), "/status/99", 404, ""),
                                          (("--handler", "status"), "/status/503", 503, "503"),
                                          (("--handler", "delay"), "/delay/30", 200, "after 30 ms"),
                                          (("--handler", "delay"), "/delay/soon", 404, ""),
                                          (("--dir", shslib.SOURCE_DIR + "/examples/site"), "/about.html", 200, "<"),
                                          (("--plain",), "/b", 200, '"target": "/b"')):
        code, out, err = shs_exec(*arguments, "--", "sh", "-c",
                                  "curl -sS -w '\\n%{http_code} %{time_total}' \"$SHS_URL" + path + "\"")
        equal(code, 0, "%r %s" % (arguments, err))
        body, _, last = out.rpartition("\n")
        equal(int(last.split()[0]), status, "%r %s" % (arguments, path))
        check(text in body, "%r: %r is not in %r" % (arguments, text, body))
        if path == "/delay/30":
            check(float(last.split()[1]) >= 0.030, "answered after %s s" % last.split()[1])


def mutual_tls():
    with_cert = 'curl -sS --cert "$SHS_CERT" --key "$SHS_KEY" "$SHS_URL/"'
    without = 'curl -sS "$SHS_URL/"'
    code, out, err = shs_exec("--mtls", "--handler", "whoami", with_cert)
    equal(code, 0, err)
    equal(json.loads(out)["identity"]["common_name"], "client")
    code, out, err = shs_exec("--mtls", without)
    check(code in (35, 56) and "certificate required" in err, "%d %s" % (code, err))
    code, out, err = shs_exec("--mtls=optional", "--handler", "whoami", without)
    equal(code, 0, err)
    equal(json.loads(out)["identity"], None)
    code, out, err = shs_exec("--mtls=explain", without + " -w '%{http_code}'")
    equal(code, 0, err)
    check(out.endswith("403"), out)
    code, out, err = shs_exec("--handler", "whoami", with_cert)
    equal(code, 0, "a certificate that nobody asked for")


def clients_that_are_told_nothing():
    """Each finds the CA by the environment alone."""
    java = """public class T { public static void main(String[] a) throws Exception {
        var c = (java.net.HttpURLConnection) new java.net.URL(System.getenv("SHS_URL") + "/java").openConnection();
        System.out.print(new String(c.getInputStream().readAllBytes())); } }"""
    node = "require('https').get(process.env.SHS_URL + '/node', r => r.pipe(process.stdout))"
    python = "import os, urllib.request as u; print(u.urlopen(os.environ['SHS_URL'] + '/python').read().decode())"
    # By its streams; and by curl, which looks at no variable and is not in every PHP.
    php = """echo $streams = file_get_contents(getenv("SHS_URL") . "/php");
        if (function_exists("curl_init")) { curl_exec($c = curl_init(getenv("SHS_URL"))); echo curl_error($c); exit(curl_errno($c)); }"""
    perl = "print HTTP::Tiny->new(verify_SSL => 1)->get($ENV{SHS_URL} . '/perl')->{content}"
    ruby = "print Net::HTTP.get(URI(ENV['SHS_URL'] + '/ruby'))"
    with shslib.temp_dir() as directory:
        source = shslib.write_file(os.path.join(directory, "T.java"), java)
        clients = {"curl": ["sh", "-c", 'curl -sS "$SHS_URL/curl"'], "wget": ["sh", "-c", 'wget -qO- "$SHS_URL/wget"'],
                   "python": [sys.executable, "-c", python], "node": ["node", "-e", node], "java": ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", source],
                   "wget2": ["sh", "-c", 'wget2 -qO- "$SHS_URL/wget2"'], "php": ["php", "-r", php],
                   "perl": ["perl", "-MHTTP::Tiny", "-e", perl], "ruby": ["ruby", "-rnet/http", "-e", ruby],
                   "git": ["sh", "-c", 'GIT_CURL_VERBOSE=1 git ls-remote "$SHS_URL/git" 2>&1 | grep -q "HTTP/1.1 200"'
                           ' && echo \'"target": "/git\'']}
        for name, command in clients.items():
            if name != "python" and not shutil.which(name):
                print("       %s is not installed" % name)
                continue
            if name == "perl" and subprocess.run(["perl", "-MIO::Socket::SSL", "-e", "1"], capture_output=True).returncode != 0:
                print("       perl has no IO::Socket::SSL")
                continue
            code, out, err = shs_exec("--", *command)
            check(code == 0 and '"target": "/%s' % name in out, "%s: %d %s %s" % (name, code, out, err))


def two_hundred_at_once():
    with shslib.temp_dir() as directory:
        count = 200 // SLOWNESS
        running = [subprocess.Popen([BIN, "exec", 'curl -fsS "$SHS_URL/"'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    env=dict(os.environ, TMPDIR=directory)) for _ in range(count)]
        failed = []
        for process in running:
            out, err = process.communicate(timeout=120 * SLOWNESS)
            if process.returncode != 0 or b'"target"' not in out:
                failed.append((process.returncode, err))
        equal(failed, [], "of %d" % count)
        equal(os.listdir(directory), [], "what is left")


def ends_with_its_signal(number, command, code):
    with Started("--grace", "30", "--", "sh", "-c", command) as started:
        port, pid = (int(word) for word in started.wait_stdout(r"^ready (\d+) (\d+)$").groups())
        started.signal(number)
        equal(started.wait(30), code, started.stderr)
        nothing_is_left(started, port, [pid])
    return started


def signals():
    # A command that dies of it, one that ends in its own way, and the signals that are passed on.
    ready = "echo ready $SHS_PORT $$; "
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        ends_with_its_signal(number, ready + "exec sleep 100", 128 + number)
    ends_with_its_signal(signal.SIGTERM, "trap 'exit 9' TERM; " + ready + "while :; do sleep 0.05; done", 9)


def one_that_ignores_it_is_killed():
    with Started("--grace", "0.3", "--", "sh", "-c",
                 "trap '' TERM; echo ready $SHS_PORT $$; while :; do sleep 1; done") as started:
        port, pid = (int(word) for word in started.wait_stdout(r"^ready (\d+) (\d+)$").groups())
        began = time.monotonic()
        started.signal(signal.SIGTERM)
        equal(started.wait(30), 128 + signal.SIGKILL, started.stderr)
        check(time.monotonic() - began >= 0.3, "it had less than its grace")
        nothing_is_left(started, port, [pid])


def what_it_leaves_behind_is_ended():
    """A background process of the command; one that has made itself a daemon; one that ignores SIGTERM."""
    with Started("--grace", "0.2", "--", "sh", "-c",
                 "sleep 100 & echo $!; setsid sleep 101 & echo $!; (trap '' TERM; exec sleep 102) & echo $!; "
                 "echo ready; exit 5") as started:
        started.wait_stdout(r"^ready$")
        pids = [int(line) for line in started.stdout.split() if line.isdigit()]
        equal(len(pids), 3)
        equal(started.wait(30), 5, started.stderr)
        nothing_is_left(started, pids=pids)


def when_it_is_killed_the_command_goes_too():
    with Started("--", "sh", "-c", "echo ready $$; exec sleep 100") as started:
        pid = int(started.wait_stdout(r"^ready (\d+)$").group(1))
        started.signal(signal.SIGKILL)
        started.wait(30)
        shslib.wait_until(lambda: not is_alive(pid), 10, "the command to end")


def directories_of_php_are_kept():
    """Those of the user come first; and what is written for PHP is the path, with blanks and quotes."""
    temp = shslib.tempfile.mkdtemp(prefix="shs-test 'exec\"-")
    try:
        for there, wanted in ((None, ":"), ("", ""), ("/a:/b", "/a:/b:"), (":/c", ":/c:")):
            env = {"TMPDIR": temp} if there is None else {"TMPDIR": temp, "PHP_INI_SCAN_DIR": there}
            code, out, err = shs_exec("--", "sh", "-c", 'echo "$PHP_INI_SCAN_DIR"; cat "${SHS_CA%/*}/php.ini"', env=env)
            equal(code, 0, err)
            value, *lines = out.splitlines()
            check(value.startswith(wanted + temp + "/"), "%r: %s" % (there, value))
            place = value[len(wanted):].replace('"', '\\"')
            equal(lines, ['curl.cainfo = "%s/ca.pem"' % place, 'openssl.cafile = "%s/ca.pem"' % place])
    finally:
        shutil.rmtree(temp)


def what_was_killed_is_cleared_away_by_the_next():
    with Started("--", "sh", "-c", "echo ready; exec sleep 100") as killed:
        killed.wait_stdout(r"^ready$")
        temp = killed.temp
        with shslib.Process([BIN, "lab", "serve"], env={"TMPDIR": temp, "XDG_RUNTIME_DIR": temp}, expect_exit=None) as lab:
            lab.wait_stdout(r"(?m)^run ")
            lab.signal(signal.SIGKILL)
            lab.wait(30)
        killed.signal(signal.SIGKILL)
        killed.wait(30)
        left = sorted(name.rpartition("-")[0] for name in os.listdir(temp) if name != "shs-lab")  # where it was
        equal(left, ["shs-root", "shs-test-server"], "what a kill leaves")
        equal(shs_exec("true", env={"TMPDIR": temp})[0], 0)
        equal([name for name in os.listdir(temp) if name != "shs-lab"], [], "what is left then")


def what_is_in_use_or_not_ours_is_not_cleared_away():
    with Started("--", "sh", "-c", 'echo ready $SHS_CA; exec sleep 100') as running, shslib.temp_dir() as other:
        path = running.wait_stdout(r"^ready (\S+)$").group(1)
        own = shslib.write_file(other + "/file", "x")
        held = running.temp + "/shs-test-server-aaaaaa"
        os.mkdir(held, 0o700)
        lock = os.open(held, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        shslib.write_file(held + "/ca.pem", "x")
        os.symlink(other, running.temp + "/shs-test-server-bbbbbb")
        os.symlink(own, running.temp + "/shs-root-bbbbbb.pem")
        os.mkdir(running.temp + "/shs-test-server-cccccc", 0o755)
        os.mkdir(running.temp + "/shs-test-servers-dddddd", 0o700)
        os.mkfifo(running.temp + "/shs-root-eeeeee.pem")
        os.link(own, running.temp + "/shs-root-ffffff.pem")  # it has another name as well
        shslib.write_file(running.temp + "/shs-root-g", "too short")
        if os.geteuid() == 0:
            os.mkdir(running.temp + "/shs-test-server-hhhhhh", 0o700)
            os.chown(running.temp + "/shs-test-server-hhhhhh", 65534, 65534)
        # And one that nobody holds, with a link that leads out, and a directory.
        stale = running.temp + "/shs-lab-client-ssssss"
        os.mkdir(stale, 0o700)
        os.makedirs(stale + "/a/b")
        os.symlink(other, stale + "/a/link")
        shslib.write_file(stale + "/a/b/c", "x")
        before = sorted(os.listdir(running.temp))
        for _ in range(3):
            equal(shs_exec("true", env={"TMPDIR": running.temp})[0], 0)
        equal(sorted(os.listdir(running.temp)), [name for name in before if name != "shs-lab-client-ssssss"])
        check(os.path.exists(own) and os.path.exists(held + "/ca.pem") and os.path.exists(path), "a file that was in use")
        os.close(lock)
        equal(shs_exec("true", env={"TMPDIR": running.temp})[0], 0)
        check(not os.path.exists(held), "one that nobody holds any more")
        running.signal(signal.SIGTERM)
        equal(running.wait(30), 128 + signal.SIGTERM)
        check(not os.path.exists(path), "its own")


def what_its_children_leave_behind_is_told_too():
    """A child's children are told when it has ended, and not only killed when their grace is over."""
    began = time.monotonic()
    code, out, err = shs_exec(
        "--grace", "300", "--", "sh", "-c",
        "(setsid sh -c 'sleep 303 & echo $!; sleep 304' &) ; (setsid sh -c 'sh -c \"sleep 305 & wait\"' &); sleep 0.2")
    equal(code, 0, err)
    check(time.monotonic() - began < 100, "they had their grace, and were not told")
    check(not is_alive(int(out)), "process %s is still there" % out)


def options_of_java_are_kept():
    """Those of the user, and a path with blanks and quotes is one."""
    temp = shslib.tempfile.mkdtemp(prefix="shs-test 'exec\"-")
    try:
        code, out, err = shs_exec("--", "sh", "-c", 'printf %s "$JAVA_TOOL_OPTIONS"',
                                  env={"TMPDIR": temp, "JAVA_TOOL_OPTIONS": "-Da.b=c"})
        equal(code, 0, err)
        words = shlex.split(out)  # quotes hold blanks, as for the JVM
        equal(words[0], "-Da.b=c")
        check(words[1].startswith("-Djavax.net.ssl.trustStore=%s/" % temp), out)
        check(words[1].endswith("/ca.p12"), out)
    finally:
        shutil.rmtree(temp)


def seconds_are_digits():
    """As numbers of the other options; strtod knows more, and " 1" or "0x10" is a mistake in a script."""
    for flag in ("--timeout", "--grace", "--drain"):
        for value in ("", " 1", "1 ", "+1", "-0", "-1", "1e3", "0x10", "1.5.", ".", "1s", "inf", "nan", "86400.1", "86401"):
            code, _, err = shs_exec(flag, value, "true")
            equal(code, 2, "%s %r %s" % (flag, value, err))
            check("'%s' is not a number of seconds from 0 to 86400" % value in err and flag in err, err)
        for value in ("0", "1", "007", "1.5", ".5", "1.", "86400"):
            equal(shs_exec(flag, value, "true")[0], 0, flag + " " + value)
    # No limit is 0 and nothing else.
    code, _, err = shs_exec("--timeout", "0.0004", "--", "sleep", "100")
    equal(code, 124, err)
    equal(shs_exec("--timeout", "0", "--", "sleep", "0.1")[0], 0)


def time_limit():
    began = time.monotonic()
    code, _, err = shs_exec("--timeout", "0.2", "--", "sleep", "100")
    equal(code, 124, err)
    check(time.monotonic() - began >= 0.2 and "sleep" in err and "--timeout" in err, err)


# What curl makes of each fault: exit code (several, where versions differ), and a part of its words.
CURL = {
    # A server that stalls closes in the end: 56 is curl 8.14 that was writing then ("Send failure: Broken pipe").
    "stall-hello": ((28, 35, 56), ""), "cut-hello": ((35,), ""), "rst-hello": ((35,), "reset"),
    "alert-hello": ((35,), "handshake failure"), "plain-hello": ((35,), "version"), "garbage-hello": ((35,), "version"),
    "stall-flight": ((28, 35, 56), ""), "cut-flight": ((35,), ""), "rst-flight": ((35,), "reset"),
    "corrupt-flight": ((35,), ""), "drip-flight": ((0, 28), ""), "stall": ((28, 52, 56), ""), "stall-head": ((0, 28, 56), ""),
    "stall-body": ((18, 28, 56), ""), "cut": ((52, 56), ""), "cut-head": ((0, 56), ""), "cut-body": ((18, 56), ""),
    "end": ((52,), "Empty reply"), "end-head": ((0, 56), ""), "end-body": ((18,), " bytes "), "rst": ((56,), "reset"),
    "rst-body": ((56,), "reset"), "alert-body": ((56,), "bad record mac"), "close-cut": ((0, 56), ""),
    "length-long": ((18,), "100 bytes "), "length-short": ((0,), ""), "length-two": ((0, 8), ""),
    "length-bad": ((8,), "Content-Length"), "length-and-chunked": ((0,), ""), "chunk-bad": ((56,), ""),
    "chunk-cut": ((18,), ""), "chunk-open": ((56,), ""), "chunk-huge": ((56,), ""), "drip": ((0,), ""),
    "gzip-cut": ((0, 18, 23, 61), ""), "gzip-bad": ((61,), ""), "interim": ((0,), ""), "upgrade": ((0, 8, 101), ""),
    "status-bad": ((1, 8), ""), "version-bad": ((1,), " HTTP"), "no-http": ((1,), "HTTP/0.9"), "header-nul": ((8,), "Nul"),
    "header-long": ((27, 56, 100), ""), "header-many": ((56,), "headers"), "redirect-loop": ((47,), "redirects"),
    "corrupt": ((56,), ""),
}


def every_fault_over_curl():
    _, out, _ = shs_exec("--help")
    listed = [line.split()[0] for line in out.partition("\nFaults:")[2].splitlines()[1:]]
    equal(sorted(listed), sorted(CURL), "the faults that there are, and those of the table")
    command = 'curl -sS -m %d --compressed -L --max-redirs 3 -o /dev/null "$SHS_URL/x"'
    running = {}
    for fault in listed:  # all at once: some of them wait
        wait = {"drip": ",ms=1", "drip-flight": ",ms=0"}.get(fault, ",ms=200" if fault.startswith("stall") else "")
        # What stalls is waited for; nothing else should come near its limit.
        limit = SLOWNESS if fault.startswith("stall") else 20 * SLOWNESS
        running[fault] = subprocess.Popen([BIN, "exec", "--fault", fault + wait, command % limit], stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE)
    wrong = []
    for fault, process in running.items():
        err = process.communicate(timeout=60 * SLOWNESS)[1].decode("utf-8", "replace")
        codes, words = CURL[fault]
        if process.returncode not in codes or words not in err or "warning" in err:
            wrong.append("%s: %d %s" % (fault, process.returncode, err))
    check(not wrong, "\n".join(wrong))


def faults_for_some():
    """By path, method, name and header; not for the first; only so often."""
    code, out, err = shs_exec(
        "--fault", "rst,path=/a", "--fault", "length-bad,path=/b*", "--fault", "end,method=DELETE", "--fault",
        "no-http,header=X-Bad:yes", "--fault", "alert-hello:unknown_ca,sni=*.test", "--fault", "rst,path=/c,after=1,times=1",
        "--name", "x.test", "--", "sh", "-c", """
        ask() { curl -sS -o /dev/null "$@" 2>/dev/null; echo $?; }
        ask "$SHS_URL/a"; ask "$SHS_URL/a/"; ask "$SHS_URL/bc"; ask -X DELETE "$SHS_URL/x"; ask -H 'X-Bad: yes' "$SHS_URL/x"
        ask -H 'X-Bad: no' "$SHS_URL/x"; ask "$SHS_URL/c"; ask "$SHS_URL/c"; ask "$SHS_URL/c"
        curl -sS --resolve "x.test:$SHS_PORT:127.0.0.1" "https://x.test:$SHS_PORT/" 2>&1 | grep -c 'unknown ca'""")
    equal(code, 0, err)
    equal(out.split(), "56 0 8 52 1 0 0 56 0 1".split())
    for fault, word in (("nonsense", "nonsense"), ("rst,who=me", "who=me"), ("rst,after=x", "after=x"),
                        ("rst-hello,path=/a", "rst-hello"), ("cut,path=a", "begins with '/'"),
                        ("alert-hello:nope", "nope"), ("alert-hello:256", "0 to 255")):
        code, _, err = shs_exec("--fault", fault, "true")
        equal(code, 2, err)
        check(word in err, err)
    # Of the certificate, by the words of `shs cert new`.
    for fault, word in (("expired", "expired"), ("wrong-name", "does not match|no alternative"), ("self-signed", "self-signed"),
                        ("incomplete-chain", "local issuer"), ("wrong-usage", "purpose")):
        code, _, err = shs_exec("--fault", fault, 'curl -sS "$SHS_URL/"')
        check(code == 60 and re.search(word, err), "%s: %d %s" % (fault, code, err))
    code, _, err = shs_exec("--fault", "expired", "--fault", "self-signed", "true")
    check(code == 2 and "one --fault" in err, err)
    code, _, err = shs_exec("--fault", "rsa512", "true")
    check(code == 125 and "the lab does" in err, "%d %s" % (code, err))
    code, _, err = shs_exec("--plain", "--fault", "expired", "true")
    equal(code, 2, err)
    code, _, err = shs_exec("--plain", "--fault", "corrupt-flight", "true")
    equal(code, 2, err)
    check("needs TLS" in err, err)


def a_request_that_does_not_end():
    """The command is gone, and its request is not: said, and no reason to wait for long."""
    code, _, err = shs_exec("--handler", "delay", "--drain", "0.2",
                            'curl -sS "$SHS_URL/delay/60000" & sleep 0.2; kill $!; exit 4')
    equal(code, 4, err)


def best_of_five(*command):
    """The least processor time of it, and the least time on the wall."""
    best, soonest = 10.0, 10.0
    for _ in range(5):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        equal(subprocess.run(command, stdout=subprocess.DEVNULL, timeout=60 * SLOWNESS).returncode, 0)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        soonest = min(soonest, time.monotonic() - began)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best, soonest


def quick():
    """60 ms: of processor time, since the time on the wall is also that of whoever else is running; and what
    this program costs when it does next to nothing, on this machine, just now."""
    least = best_of_five(BIN, "--version")[0]
    best, soonest = best_of_five(BIN, "exec", "--", "true")
    print("       shs exec -- true: %.1f ms, %.1f ms of a processor; shs --version: %.1f ms"
          % (soonest * 1000, best * 1000, least * 1000))
    check(best <= 0.060 * SLOWNESS + 4 * least, "the best of five took %.0f ms of a processor" % (best * 1000))
    check(soonest <= 2.0 * SLOWNESS, "the soonest of five came after %.0f ms" % (soonest * 1000))


shslib.main(statuses, commands_that_cannot_be_started, usage, environment, handlers, mutual_tls,
            clients_that_are_told_nothing, every_fault_over_curl,
            faults_for_some, two_hundred_at_once, signals, one_that_ignores_it_is_killed,
            what_it_leaves_behind_is_ended, what_its_children_leave_behind_is_told_too,
            options_of_java_are_kept, directories_of_php_are_kept, what_was_killed_is_cleared_away_by_the_next,
            what_is_in_use_or_not_ours_is_not_cleared_away, when_it_is_killed_the_command_goes_too, seconds_are_digits, time_limit,
            a_request_that_does_not_end, quick)
