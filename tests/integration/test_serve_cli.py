"""`shs serve` as a program: its flags, its errors, its exit codes, its first line, its signals."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import shslib
import tls_pki
from shslib import check, equal

SITE = os.path.join(shslib.SOURCE_DIR, "examples", "site")


def shs(*arguments, env=None):
    with shslib.temp_dir() as home:
        return shslib.run(shslib.BIN, *arguments, cwd=home, seconds=20,
                          env=dict({"HOME": home, "XDG_STATE_HOME": home + "/state"}, **(env or {})))


def refused(code, pattern, *arguments, **keywords):
    """The command says one line on stderr, nothing on stdout, and ends with that code."""
    got, out, err = shs(*arguments, **keywords)
    words = " ".join(arguments)
    equal(got, code, words + "\n" + err)
    equal(out, "", words)
    check(re.fullmatch(r"shs: error: [^\n]+\n", err), "%s: not one line: %r" % (words, err))
    check(re.search(pattern, err), "%s: %r has no %r" % (words, err, pattern))


# -- the command line -------------------------------------------------------------------------------


def test_H79_help_and_version():
    for arguments in (("--help",), ("-h",), ("help",), ("serve", "--help"), ("serve", "-h"),
                      ("serve", "-p", "0", "--help")):
        code, out, err = shs(*arguments)
        equal((code, err), (0, ""), " ".join(arguments))
        check(out.startswith("usage: shs"), out)
    code, out, err = shs("version")
    equal((code, err), (0, ""))
    check(re.fullmatch(r"shs \d+\.\d+\.\d+\n", out), out)
    equal(shs("--version")[1], out)
    help_text = shs("serve", "--help")[1]
    for flag in ("--port", "--bind", "--directory", "--cert", "--key", "--password-file", "--plain",
                 "--threading", "--threads", "--max-threads", "--header", "--log", "--handler", "--help",
                 "--handshake-timeout", "--head-timeout", "--idle-timeout", "--max-connections"):
        check(flag in help_text, flag + " is not in the help")
    equal([line for line in help_text.split("\n") if len(line) > 100], [])


def test_usage_errors():
    refused(2, "command is missing")
    refused(2, "unknown command 'sevre'", "sevre")
    refused(2, "unknown option '--nonsense'", "serve", "--nonsense")
    refused(2, "unknown option '-x'", "serve", "-x")
    refused(2, "'--port' needs a value", "serve", "--port")
    refused(2, "'-p' needs a value", "serve", "-p")
    for port in ("-1", "65536", "http", "", "80x", " 80", "99999999999999999999", "0x50"):
        refused(2, "port '%s'" % port, "serve", "-p", port)
    refused(2, "unknown option '--max-boddy'; did you mean '--max-body'", "serve", "--max-boddy", "1k")
    refused(2, "'--plain=1' takes no value", "serve", "--plain=1")
    refused(2, "--directory 'b' is the second one", "serve", "a", "b")
    refused(2, "--directory 'b' is the second one", "serve", "-d", "a", "b")
    refused(2, "--index 'a/b' is not the name of a file", "serve", "--index", "a/b")
    refused(2, "--index '' is not the name of a file", "serve", "--index", "")
    refused(2, "--watch does not go with --plain", "serve", "--plain", "--watch")
    refused(2, "--crl needs --client-ca", "serve", "--crl", "f")
    refused(2, "--client-ca goes with --client-auth optional, required or explain only", "serve", "--crl", "f",
            "--client-ca", "f", "--client-auth", "none")
    refused(2, "--max-body '1t' is not a number of bytes", "serve", "--max-body", "1t")
    refused(2, "--max-body '18446744073709551616' is not a number", "serve", "--max-body", "18446744073709551616")
    refused(2, "--handler 'cgi'.*files, echo", "serve", "--handler", "cgi")
    refused(2, "--log 'xml'.*json", "serve", "--log", "xml")
    refused(2, "--threading 'fibre'.*thread", "serve", "--threading", "fibre")
    refused(2, "--threads '0'", "serve", "--threads", "0")
    refused(2, "--threads goes with", "serve", "--threading", "none", "--threads", "4")
    refused(2, "--max-threads goes with", "serve", "--threading", "thread", "--max-threads", "4")
    refused(2, "--idle-timeout '1s'", "serve", "--idle-timeout", "1s")
    # what would be without a word nothing, for what it is of is not there
    for flag, value in (("thread-groups", "2"), ("queue-timeout", "9"), ("late-timeout", "9"), ("max-queue", "9")):
        for threading in ("thread", "fork", "none"):
            refused(2, "--%s goes with --threading pool only" % flag, "serve", "--threading", threading, "--" + flag, value)
    for threading in ("fork", "none"):
        refused(2, "--stuck-handler goes with --threading pool or thread only", "serve", "--threading", threading,
                "--stuck-handler", "9")
    for arguments in (("--client-depth", "2"), ("--client-lax",)):
        refused(2, arguments[0] + " needs --client-ca", "serve", *arguments)
    for arguments in (("--admin-client-ca", "f"), ("--admin-cert", "f"), ("--admin-cert", "f", "--admin-key", "f"),
                      ("--admin-client-ca", "f", "--admin-crl", "f")):
        for places in ((), ("--admin", "unix:s"), ("--admin", "unix:s", "--admin", "tcp:0")):
            refused(2, r"%s needs a --admin that begins with tls:" % arguments[0], "serve", *places, *arguments)
    refused(2, "--admin-crl needs --admin-client-ca", "serve", "--admin", "tls:0", "--admin-crl", "f")
    refused(2, "--admin-key needs --admin-cert", "serve", "--admin", "tls:0", "--admin-key", "f")
    for places in ((), ("--admin", "tcp:0"), ("--admin", "tls:0")):
        refused(2, "--admin-group needs a --admin that begins with unix:", "serve", *places, "--admin-group", "0")
    refused(2, "--directory goes with --handler files only", "serve", "--handler", "echo", ".")
    refused(2, "--header goes with", "serve", "--handler", "echo", "-H", "a: b")


def test_H78_header_errors():
    for header in ("no colon", ": no name", "", ":"):
        refused(2, "header '.*' is not of the form", "serve", "--plain", "-p", "0", "-H", header)
    for header in ("two words: x", "na(me: x", "x\r\ny: z"):
        refused(2, "not a field name", "serve", "--plain", "-p", "0", "-H", header)
    for header in ("x: a\r\nSet-Cookie: b", "x: \x01", "x: a\nb", "x: \x7f"):
        refused(2, "control character", "serve", "--plain", "-p", "0", "-H", header)
    refused(2, "framing", "serve", "--plain", "-p", "0", "-H", "Transfer-Encoding: chunked")


def test_H5_certificate_errors():
    with shslib.temp_dir() as path:
        shslib.write_file(path + "/empty.pem", "")
        shslib.write_file(path + "/nonsense.pem", "this is not a certificate\n")
        shslib.write_file(path + "/password", "x\n")
        refused(2, "--key needs --cert", "serve", "--key", "k.pem")
        refused(2, "--password-file needs --cert", "serve", "--password-file", path + "/password")
        refused(2, "--plain", "serve", "--plain", "--cert", "c.pem")
        refused(1, "password file %s/none: No such file" % path, "serve", "-p", "0", "--cert",
                path + "/empty.pem", "--password-file", path + "/none")
        refused(1, "password file %s: Is a directory" % path, "serve", "-p", "0", "--cert",
                path + "/empty.pem", "--password-file", path)
        shslib.write_file(path + "/long", "x" * 5000)
        refused(1, "longer than a password", "serve", "-p", "0", "--cert", path + "/empty.pem",
                "--password-file", path + "/long")
        for name in ("none.pem", "empty.pem", "nonsense.pem"):
            refused(1, path + "/" + name, "serve", "-p", "0", "--cert", path + "/" + name)


def test_directory_errors():
    with shslib.temp_dir() as path:
        shslib.write_file(path + "/file", "")
        refused(1, path + "/none.*No such file or directory", "serve", "--plain", path + "/none")
        refused(1, path + "/file.*Not a directory", "serve", "--plain", path + "/file")


def test_port_in_use():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        refused(1, r"%s.*(in use)" % port, "serve", "--plain", "-p", port)
        refused(1, r"%s.*(in use)" % port, "serve", "-p", port)
    refused(1, "192.0.2.1.*'ip address' lists", "serve", "--plain", "-p", "0", "-b", "192.0.2.1")


def test_no_place_for_an_authority():
    refused(1, "HOME", "serve", "-p", "0", env={"HOME": "", "XDG_STATE_HOME": ""})
    with shslib.temp_dir() as path:
        shslib.write_file(path + "/file", "")
        refused(1, path, "serve", "-p", "0", env={"XDG_STATE_HOME": path + "/file"})


# -- serving ----------------------------------------------------------------------------------------


def test_H80_first_line():
    with shslib.Server("--plain", SITE) as server:
        equal(server.first_line, "Serving HTTP on 127.0.0.1 port %d (http://localhost:%d/) ..."
              % (server.port, server.port))
        equal(server.get("/")[0], 200)
    with shslib.Server(SITE) as server:
        equal(server.first_line, "Serving HTTPS on 127.0.0.1 port %d (https://localhost:%d/) ..."
              % (server.port, server.port))
        equal(server.get("/")[0], 200)


def test_curl_line_works():
    if shutil.which("curl") is None:
        print("skipped: there is no curl")
        return
    with shslib.Server(SITE) as server:
        line = server.wait_stdout(r"^Try: (curl .*)$").group(1)
        code, out, err = shslib.run("sh", "-c", line.replace("curl ", "curl -sS --noproxy '*' ", 1))
        equal(code, 0, err)
        check("Harbour weather station" in out, out)


def test_authority_is_kept():
    """The authority is made once; its key and the leaf's are for their owner alone."""
    with shslib.temp_dir() as home:
        seen = set()
        for _ in range(2):
            with shslib.Server(SITE, env={"HOME": home, "XDG_STATE_HOME": home + "/st ate"}) as server:
                line = server.wait_stdout(r"^Try: (.*)$").group(1)
                check("'" in line, "a path with a space is not quoted: " + line)
                with open(home + "/st ate/shs/ca.pem", "rb") as file:
                    seen.add(file.read())
        equal(len(seen), 1)
        for folder, _, names in os.walk(home):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    secret = b" PRIVATE" + b" KEY" in file.read()
                mode = os.stat(os.path.join(folder, name)).st_mode & 0o777
                check(not secret or mode == 0o600, "%s has mode %o" % (name, mode))
        with shslib.Server(SITE, env={"HOME": home, "XDG_STATE_HOME": "relative"}) as server:
            server.wait_stdout(r"^Try: .* %s/\.local/state/shs/" % re.escape(home))


def test_H4_H77_cert_key_and_password():
    openssl = shutil.which("openssl")
    if openssl is None:
        print("skipped: there is no openssl command")
        return
    with shslib.temp_dir() as path:
        for command in (
                ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", path + "/key.pem", "-out", path + "/cert.pem", "-days", "2", "-subj",
                 "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                ["pkey", "-in", path + "/key.pem", "-aes256", "-passout", "pass:s3cret word", "-out",
                 path + "/locked.pem"]):
            code, _, err = shslib.run(openssl, *command)
            equal(code, 0, err)
        shslib.write_file(path + "/password", "s3cret word\n")
        shslib.write_file(path + "/wrong", "secret word\n")
        cert, key, locked = path + "/cert.pem", path + "/key.pem", path + "/locked.pem"
        for arguments in (("--cert", cert, "--key", key),
                          ("--cert", cert, "--key", locked, "--password-file", path + "/password")):
            with shslib.Server(*arguments, SITE) as server:
                server._ca = cert
                equal(server.get("/")[0], 200)
                check("Try:" not in server.stdout, "advice about an authority that was not used")
                check(not os.path.exists(server.state_dir), "an authority was made for nothing")
        refused(1, locked, "serve", "-p", "0", "--cert", cert, "--key", locked, "--password-file",
                path + "/wrong")
        refused(1, locked, "serve", "-p", "0", "--cert", cert, "--key", locked)


def has_ipv6():
    try:
        with contextlib.closing(socket.create_server(("::1", 0), family=socket.AF_INET6)):
            return True
    except OSError:
        return False


def test_H81_bind():
    with shslib.Server("--plain", "-b", "0.0.0.0", SITE) as server:
        equal(server.host, "0.0.0.0")
        equal(server.url, "http://localhost:%d" % server.port)
        equal(server.get("/")[0], 200)
    with shslib.Server("--plain", "--bind", "localhost", SITE) as server:
        equal(server.get("/")[0], 200)
    with shslib.Server("--plain", "-b", "127.0.0.2", SITE) as server:
        equal(server.url, "http://127.0.0.2:%d" % server.port)
        equal(server.get("/")[0], 200)
    with shslib.Server("-b", "127.0.0.2", SITE) as server:  # and the certificate names it
        equal(server.url, "https://127.0.0.2:%d" % server.port)
        equal(server.get("/")[0], 200)
    with shslib.Server("--plain", "-b", "", SITE) as server:
        check(server.host in ("::", "0.0.0.0"), server.host)
        server.address = "127.0.0.1"
        equal(server.get("/")[0], 200)
    if not has_ipv6():
        print("skipped: IPv6, which this system does not have")
        return
    with shslib.Server("--plain", "-b", "::1", SITE) as server:
        equal(server.first_line, "Serving HTTP on ::1 port %d (http://[::1]:%d/) ..."
              % (server.port, server.port))
        equal(server.get("/")[0], 200)


def test_bind_repeated():
    """Each --bind is an address of the one server, and has a line; the rest of it is the same at all."""
    redirect = ["--redirect", "0"] if shslib.THREADING != "fork" else []  # which goes with one listener
    with shslib.temp_dir() as path:
        ways = ["--bind", "127.0.0.1", "--bind", "unix:s p", "--bind", "127.0.0.2:0"]
        if has_ipv6():
            ways += ["--bind", "[::1]:0"]
        with shslib.Server(*ways, *redirect, SITE, cwd=path) as server:
            lines = len(ways) // 2 + 2 + (len(ways) // 2 - 1 if redirect else 0)
            server.wait_stdout(r"(?s)^([^\n]*\n){%d}" % lines)
            equal(server.stdout.split("\n")[1], "Serving HTTPS on unix:s p (https://localhost/) ...")
            ports = [int(port) for port in re.findall(r"^Serving HTTPS on \S+ port (\d+)", server.stdout, re.M)]
            plain = [int(port) for port in re.findall(r"^Serving HTTP on \S+ port (\d+)", server.stdout, re.M)]
            equal(len(ports), len(ways) // 2 - 1)
            equal(len(plain), len(ports) if redirect else 0)
            for host, port in zip(("127.0.0.1", "127.0.0.2", "::1"), ports):
                server.address, server.port = host, port
                equal(server.get("/")[0], 200)  # and the certificate names it
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path + "/s p")
                with server.tls_context().wrap_socket(sock, server_hostname="localhost") as tls:
                    tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    check(tls.recv(100).startswith(b"HTTP/1.1 200 "), "no answer through the path")
            if redirect:
                with contextlib.closing(http.client.HTTPConnection("127.0.0.2", plain[1],
                                                                   timeout=10 * shslib.SLOWNESS)) as sock:
                    sock.request("GET", "/x")
                    equal(sock.getresponse().headers["Location"], "https://127.0.0.2:%d/x" % ports[0])
            server.stop()
        equal(server.wait(), 0)
        equal(os.listdir(path), [])
        with shslib.Process([shslib.BIN, "serve", "--plain", "--bind", "unix:s", SITE], cwd=path) as server:
            server.wait_stdout(r"Serving HTTP on unix:s \(http://localhost/\) \.\.\.\n")
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path + "/s")
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                check(shslib.read_all(sock).startswith(b"HTTP/1.1 200 "), "no answer through the path")
        equal(os.listdir(path), [])


def test_file_of_a_unix_socket():
    """Its mode and group, and the same for all of a file with several listeners."""
    said = ["--socket-mode", "0604", "--socket-group", str(os.getgid())]
    with shslib.temp_dir() as path:
        with shslib.Process([shslib.BIN, "serve", "--plain", "--bind", "unix:s", *said, SITE], cwd=path) as server:
            server.wait_stdout(r"Serving HTTP on unix:s ")
            state = os.stat(path + "/s")
            equal((oct(state.st_mode & 0o777), state.st_gid), ("0o604", os.getgid()))
        if shslib.THREADING != "fork":  # which goes with one listener
            shslib.write_file(path + "/c", "socket-mode: '600'\nlisteners:\n  - {bind: 'unix:t', plain: true}\n"
                              "  - {bind: '127.0.0.1:0', plain: true}\n")
            with shslib.Process([shslib.BIN, "serve", "--config", "c"], cwd=path) as server:
                server.wait_stdout(r"(?s)Serving HTTP on 127.0.0.1 ")
                equal(oct(os.stat(path + "/t").st_mode & 0o777), "0o600")
    for mode in ("", "1000", "8", "0x1", "-1", "rw", "00660"):
        refused(2, r"--socket-mode '.*' is not a mode from 0 to 0777", "serve", "--bind", "unix:s", "--socket-mode", mode)
    for flag in ("--socket-mode", "--socket-group"):
        refused(2, flag + r".* is for a Unix socket: --bind unix:PATH", "serve", flag, "0")
    refused(2, "there is no group 'no-such-group'", "serve", "--plain", "--bind", "unix:s", "--socket-group", "no-such-group")


def test_bind_refused():
    for text in ("/run/s", "unix:", "a:", "a:b", "a:65536", "[::1", "[]:1", "[::1]x", "a/b:1", 300 * "a"):
        refused(2, r"--bind '.*' is not an address: ", "serve", "--plain", "--bind", text)
    refused(2, r"--redirect has no port to send anybody to", "serve", "--bind", "unix:s", "--redirect", "0")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        refused(1, "cannot bind to 127.0.0.1 port %d" % port, "serve", "--plain", "--port", "0", "--bind",
                "127.0.0.1", "--bind", "unix:s", "--bind", "127.0.0.1:%d" % port)


def take(port):
    """The port; or nothing, when somebody else has it and keeps it, which is as good. Another run of this
    test has it for a moment only."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
        time.sleep(0.1)
    return contextlib.nullcontext()


def test_default_ports():
    """8443 with TLS, 8080 without: that they are taken is said."""
    for port, arguments in ((8080, ("--plain",)), (8443, ())):
        with take(port):
            refused(1, str(port), "serve", *arguments, SITE)


def test_H76_directory_flag():
    for arguments in (("-d", SITE), ("--directory", SITE), (SITE,), ("--directory=" + SITE,)):
        with shslib.Server("--plain", *arguments) as server:
            check(b"lighthouse" in server.get("/logo.svg")[2], str(arguments))


# -- signals ------------------------------------------------------------------------------------------


def test_H82_signals_end_it_cleanly():
    for number in (signal.SIGINT, signal.SIGTERM):
        for arguments in (("--plain",), (), ("--plain", "--threading", "none")):
            with shslib.Server(*arguments, SITE) as server:
                server.get("/")
                with server.connect() as idle:  # an idle connection does not delay the end
                    idle.sendall(b"GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n")
                    shslib.read_response(idle)
                    if "none" in arguments:
                        idle.close()
                    out = server.stdout
                    watch = shslib.Stopwatch(server)
                    server.signal(number)
                    equal(server.wait(), 0, "exit code after %s" % number)
                    watch.within(3, "the end after a signal")
                equal(server.stdout, out, "stdout after the signal")
                *lines, last = server.stderr.splitlines()
                for line in lines:
                    check(line.startswith("127.0.0.1 - - ["), "stderr: " + line)
                check(last.startswith("shs: stopped in ") and last.endswith(", 0 cut"), "stderr: " + last)


def writer_of(pipe):
    """The pipe's other end, once somebody reads it; None before."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_signals_before_it_serves():
    """SIGHUP and SIGUSR1 while it reads its files: they do not end it, and the reload is not forgotten."""
    with shslib.temp_dir() as path:
        pipe = path + "/password"
        os.mkfifo(pipe)
        tls_pki._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-passout", "pass:word",
                         "-keyout", path + "/key.pem", "-out", path + "/cert.pem", "-days", "2", "-subj", "/CN=localhost",
                         "-addext", "subjectAltName=DNS:localhost")
        process = shslib.Process([shslib.BIN, "serve", "-p", "0", "--cert", path + "/cert.pem", "--key", path + "/key.pem",
                                  "--password-file", pipe, "--log", "none", "--log-level", "info", SITE])
        with process:
            ends = []
            shslib.wait_until(lambda: ends.append(writer_of(pipe)) or ends[-1] is not None, 20, "it to read the password")
            for number in (signal.SIGUSR1, signal.SIGHUP):
                process.signal_taken(number)
            os.write(ends[-1], b"word\n")
            os.close(ends[-1])
            process.wait_stdout("^Serving HTTPS")
            process.wait_stderr("Files read again")


def begin_upload(sock, length):
    """A request whose handler waits for its body: 100 Continue is the sign that it does."""
    sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length)
    equal(shslib.read_until(sock, b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")


def test_second_signal_cuts_at_once():
    for number in (signal.SIGINT, signal.SIGTERM):
        with shslib.Server("--plain", "--handler", "echo", expect_exit=1) as server:
            with server.connect() as sock:
                begin_upload(sock, 200000)  # and no byte of it comes
                server.signal_taken(number)
                try:
                    server.process.wait(0.5)
                    shslib.check(False, "it did not wait for the request in flight")
                except subprocess.TimeoutExpired:
                    pass
                server.signal(number)
                equal(server.wait(9), 1)  # it is not waited for as long as --stop-timeout says


@shslib.not_under("fork")
def test_request_in_flight_is_finished():
    with shslib.Server("--plain", "--handler", "echo") as server:
        with server.connect() as sock:
            begin_upload(sock, 100000)
            sock.sendall(b"x" * 70000)
            server.signal_taken(signal.SIGTERM)
            if shslib.THREADING != "none":  # there the loop's thread has the handler's request
                shslib.wait_until(lambda: shslib.refuses(server), 10, "the server to know that it stops")
            sock.sendall(b"x" * 30000)
            line, headers, body, _ = shslib.read_response(sock)
            equal(line, "HTTP/1.1 200 OK")
            equal(headers.get("connection"), "close")
            equal(json.loads(body)["body_length"], 100000)
        equal(server.wait(), 0)


# -- the log ------------------------------------------------------------------------------------------


def test_log_combined():
    with shslib.Server("--plain", SITE) as server:
        server.get("/style.css?q=1", {"Referer": "http://e.example/", "User-Agent": 'a"b\\c'})
        line = server.wait_stderr(r"^.*style\.css.*$").group(0)
        size = os.path.getsize(SITE + "/style.css")
        check(re.fullmatch(r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] '
                           r'"GET /style\.css\?q=1 HTTP/1\.1" 200 %d "http://e\.example/" '
                           r'"a\\x22b\\\\c"' % size, line), line)
        server.raw(b"GET /\x1b[31mred HTTP/1.1\r\nHost: x\r\n\r\n")
        line = server.wait_stderr(r'^.*" 400 .*$').group(0)
        check("\x1b" not in line, repr(line))
    with shslib.Server("--plain", "--log", "common", SITE) as server:
        server.get("/")
        server.wait_stderr(r'"GET / HTTP/1\.1" 200 \d+$')


def test_log_json():
    with shslib.Server("--log", "json", SITE) as server:
        server.get("/about.html?q=%22", {"User-Agent": "tëst\"".encode("utf-8"), "Referer": "r"})
        server.get("/none")
        # A line is written when the answer is out: other connections may be earlier.
        shslib.wait_until(lambda: len(server.stderr_lines()) >= 2, 10, "two lines")
        first, second = sorted(map(json.loads, server.stderr_lines()), key=lambda line: line["target"])
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"]), first["time"])
        check(0 <= first["duration_ms"] < 10000, str(first["duration_ms"]))
        check(first["tls_version"] in ("TLSv1.2", "TLSv1.3"), first["tls_version"])
        check("_" in first["tls_cipher"] or "-" in first["tls_cipher"], first["tls_cipher"])
        wanted = {"client": "127.0.0.1", "method": "GET", "target": "/about.html?q=%22",
                  "version": "HTTP/1.1", "status": 200, "bytes": os.path.getsize(SITE + "/about.html"),
                  "sni": "localhost", "user_agent": "tëst\"", "referer": "r", "error": None}
        equal({key: first[key] for key in wanted}, wanted)
        equal(second["status"], 404)


def test_log_none():
    with shslib.Server("--plain", "--log", "none", SITE) as server:
        for _ in range(5):
            server.get("/")
        server.raw(b"GET  / HTTP/1.1\r\n\r\n")  # nor is there a line of a connection that failed
        server.stop()
        equal(server.stderr, "")


class Raw:
    """A server whose stderr the test holds, for readers that do not read."""

    def __init__(self, stderr):
        self.dir = shslib.tempfile.mkdtemp(prefix="shs-test-")
        self.process = subprocess.Popen(
            [shslib.BIN, "serve", "--plain", "-p", "0", SITE], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=stderr, cwd=self.dir)
        self.port = int(self.process.stdout.readline().split()[5])

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.dir)


def many_requests(port, count):
    """Requests with lines of about 3 KB in the log, on one connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20 * shslib.SLOWNESS) as sock:
        rest = b""
        request = (b"HEAD /?" + b"q" * 2000 + b" HTTP/1.1\r\nHost: x\r\nUser-Agent: " + b"u" * 500 +
                   b"\r\nReferer: " + b"r" * 500 + b"\r\n\r\n")
        for _ in range(count):
            sock.sendall(request)
            line, _, _, rest = shslib.read_response(sock, start=rest, method="HEAD")
            equal(line, "HTTP/1.1 200 OK")


def test_log_reader_that_stopped():
    """Nobody reads the log: requests are answered all the same, and the end comes in time."""
    reader, writer = os.pipe()
    server = Raw(writer)
    os.close(writer)
    try:
        many_requests(server.port, 900)  # 2.7 MB; the pipe has 64 KiB, the queue 2 MiB
        watch = shslib.Stopwatch(server.process)
        server.process.send_signal(signal.SIGTERM)
        equal(server.process.wait(20 * shslib.SLOWNESS), 0)
        watch.within(6, "the end, that does not wait for the reader")
    finally:
        server.close()
        os.close(reader)


def test_log_reader_that_pauses():
    """A reader that comes back finds out how many lines are missing."""
    reader, writer = os.pipe()
    server = Raw(writer)
    os.close(writer)
    text = []
    try:
        many_requests(server.port, 900)

        def read():
            while True:
                chunk = os.read(reader, 65536)
                if not chunk:
                    return
                text.append(chunk)

        thread = threading.Thread(target=read)
        thread.start()
        shslib.wait_until(lambda: b"dropped" in b"".join(text), 10, "a line about dropped lines")
        many_requests(server.port, 3)
        server.process.send_signal(signal.SIGTERM)
        equal(server.process.wait(20 * shslib.SLOWNESS), 0)
        thread.join(10 * shslib.SLOWNESS)
        check(not thread.is_alive(), "the log has no end")
    finally:
        server.close()
        os.close(reader)
    lines = b"".join(text).decode().splitlines()
    dropped = sum(int(line.split()[0]) for line in lines if "log lines dropped" in line)
    kept = [line for line in lines if line.startswith("127.0.0.1 - - [")]
    equal(len(kept) + dropped, 903)
    check(all(line.endswith('"') for line in kept), "a line that is not whole")


def test_log_reader_gone():
    """Output that nobody takes any more is not the end: SIGPIPE is ignored."""
    reader, writer = os.pipe()
    server = Raw(writer)
    os.close(writer)
    os.close(reader)
    try:
        many_requests(server.port, 20)
        time.sleep(0.1)
        many_requests(server.port, 20)
        server.process.send_signal(signal.SIGTERM)
        equal(server.process.wait(20 * shslib.SLOWNESS), 0)
    finally:
        server.close()


# -- the rest ----------------------------------------------------------------------------------------


def test_echo():
    import hashlib
    body = shslib.pattern(300000)
    with shslib.Server("--plain", "--handler", "echo", "--log", "none") as server:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "x-y"):
            sent = None if method == "GET" else body
            status, headers, text = server.request(method, "/a%20b?c=d", sent, {"X-Twice": "1"})
            equal(status, 200, method)
            equal(headers["Content-Type"], "application/json")
            answer = json.loads(text)
            equal(answer["method"], method)
            equal(answer["target"], "/a%20b?c=d")
            equal(answer["version"], "HTTP/1.1")
            check(["X-Twice", "1"] in answer["headers"], answer["headers"])
            equal(answer["body_length"], len(sent or b""))
            equal(answer["body_sha256"], hashlib.sha256(sent or b"").hexdigest())
        status, headers, text = server.request("HEAD", "/")
        equal((status, text), (200, b""))
        raw = (b"POST /x HTTP/1.1\r\nHost: h\r\nb: 2\r\nA: 1\r\nb: 3 \xff \"q\"\r\nTransfer-Encoding: chunked\r\n"
               b"Connection: close\r\n\r\n4\r\nwxyz\r\n0\r\n\r\n")
        answer = json.loads(server.raw(raw).split(b"\r\n\r\n", 1)[1])
        equal(answer["headers"], [["Host", "h"], ["b", "2"], ["A", "1"], ["b", "3 \xff \"q\""],
                                  ["Transfer-Encoding", "chunked"], ["Connection", "close"]])
        equal(answer["body_length"], 4)


def gone_soon(server, sock, flag):
    """The server ends it, and not after the ten seconds and more that are the defaults."""
    watch = shslib.Stopwatch(server)
    shslib.read_all(sock, 30)
    watch.within(4, flag)


def test_timeouts_are_taken():
    with shslib.Server("--plain", "--head-timeout", "300", "--idle-timeout", "300", "--log", "none",
                       SITE) as server:
        with server.connect() as sock:  # half a head
            sock.sendall(b"GET / HTTP/1.1\r\n")
            gone_soon(server, sock, "--head-timeout")
        with server.connect() as sock:  # idle after an answer
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            shslib.read_response(sock)
            gone_soon(server, sock, "--idle-timeout")
    with shslib.Server("--handshake-timeout", "300", "--log", "none", SITE) as server:
        with server.connect_plain() as sock:  # says nothing
            gone_soon(server, sock, "--handshake-timeout")
        equal(server.get("/")[0], 200)


@shslib.not_under("none")
def test_max_connections():
    with shslib.Server("--plain", "--upload", "--max-connections", "2", "--log", "none",
                       SITE) as server:
        held = [server.connect() for _ in range(2)]
        for sock in held:  # in the middle of a request: who is idle would make room
            sock.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
                         b"Expect: 100-continue\r\n\r\n")
            shslib.read_until(sock, b"100 Continue\r\n\r\n")
        with server.connect() as third:  # in the backlog until one of them ends
            third.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            third.settimeout(0.3)
            try:
                third.recv(1)
                check(False, "a third connection was served")
            except socket.timeout:
                pass
            held.pop().close()
            equal(shslib.read_response(third)[0], "HTTP/1.1 200 OK")
        held.pop().close()


def test_threading_choices():
    for arguments in (("--threading", "pool"), ("--threads", "2", "--max-threads", "3"),
                      ("--threading", "thread"), ("--threading", "thread", "--threads", "2"),
                      ("--threading", "fork"), ("--threading", "fork", "--threads", "2"),
                      ("--threading", "none")):
        for plain in (("--plain",), ()):
            with shslib.Server(*arguments, *plain, SITE) as server:
                for _ in range(5):
                    equal(server.get("/")[0], 200, str(arguments))


def test_file_limit_is_raised():
    """A low soft limit of descriptors, as shells have it, is not the server's limit."""
    prefix = ("sh", "-c", 'ulimit -S -n 64; exec "$0" "$@"')
    with shslib.Server("--plain", "--log", "none", SITE, prefix=prefix) as server:
        with open("/proc/%d/limits" % server.pid) as file:
            soft, hard = re.search(r"Max open files +(\d+) +(\d+)", file.read()).groups()
        equal(soft, hard)


if __name__ == "__main__":
    shslib.main(*[value for name, value in list(globals().items()) if name.startswith("test_")])
