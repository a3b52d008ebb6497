"""What servers do with client certificates that are wrong in one way: the table of README.md.

    SHS_BIN=build/release/shs python3 tests/soak/lab_servers.py [shs|explain|nginx|haproxy|go]...

Runs `shs lab check-server` against `shs serve`, and against Debian's nginx, haproxy and Go (net/http),
each set up as its manual says and asked whom it takes the client for. One that is not installed is left out.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))
import shslib  # noqa: E402
from shslib import BIN, check, equal  # noqa: E402

NGINX = """
daemon off; master_process off; worker_processes 1; pid {top}/nginx.pid; error_log stderr crit;
events {{ }}
http {{
    access_log off; client_body_temp_path {top}/b; proxy_temp_path {top}/p; fastcgi_temp_path {top}/f;
    uwsgi_temp_path {top}/u; scgi_temp_path {top}/s;
    map $ssl_client_s_dn $name {{ default ""; "~(^|,)CN=(?<cn>[^,]+)" $cn; }}
    server {{
        listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {set}/server.pem; ssl_certificate_key {set}/server.key;
        ssl_verify_client on; ssl_client_certificate {set}/ca.pem; ssl_crl {set}/crl.pem; ssl_verify_depth 2;
        location / {{ return 200 $name; }}
    }}
}}
"""
HAPROXY = """
global
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout client 10s
    timeout connect 10s
    timeout server 10s
frontend f
    bind 127.0.0.1:{port} ssl crt {top}/server.both verify required ca-file {set}/ca.pem crl-file {set}/crl.pem
    http-request return status 200 content-type text/plain lf-string %[ssl_c_s_dn(CN)]
"""
GO = """package main

import ("crypto/tls"; "crypto/x509"; "io"; "net/http"; "os")

func main() {
    pool := x509.NewCertPool()
    pem, _ := os.ReadFile(os.Args[2] + "/ca.pem")
    pool.AppendCertsFromPEM(pem)
    server := &http.Server{Addr: os.Args[1],
        Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
            io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
        }),
        TLSConfig: &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}}
    panic(server.ListenAndServeTLS(os.Args[2] + "/server.pem", os.Args[2] + "/server.key"))
}
"""


def first_line(argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    return re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr).group(0)


def answers(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def peer(argv, port):
    """One of the others, until the block ends. It is ready when its port answers."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        shslib.wait_until(lambda: answers(port) or process.poll() is not None, 20, argv[0] + " to listen")
        if process.poll() is not None:
            raise shslib.Failure("%s has ended: %s" % (argv[0], process.stderr.read()[-2000:]))
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=20)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def our_server(directory, _top, auth):
    with shslib.Server("--cert", directory + "/server.pem", "--key", directory + "/server.key", "--client-ca",
                       directory + "/ca.pem", "--crl", directory + "/crl.pem", "--handler", "whoami", "--client-auth",
                       auth) as server:
        yield server.port


def nginx(directory, top):
    port = free_port()
    conf = shslib.write_file(top + "/nginx.conf", NGINX.format(top=top, set=directory, port=port))
    return peer(["nginx", "-e", "stderr", "-c", conf], port)


def haproxy(directory, top):
    port = free_port()
    both = b"".join(open("%s/server.%s" % (directory, end), "rb").read() for end in ("pem", "key"))
    shslib.write_file(top + "/server.both", both)
    conf = shslib.write_file(top + "/haproxy.cfg", HAPROXY.format(top=top, set=directory, port=port))
    return peer(["haproxy", "-db", "-f", conf], port)


def go(directory, top):
    port = free_port()
    source = shslib.write_file(top + "/server.go", GO)
    subprocess.run(["go", "build", "-o", top + "/server", source], check=True, timeout=300,
                   env=dict(os.environ, GO111MODULE="off"))
    return peer([top + "/server", "127.0.0.1:%d" % port, directory], port)


# Its words in the table; how it is started; what check-server is to know of it; how its version is asked for.
SERVERS = {
    "shs": ("`shs serve --client-auth required`", lambda d, t: our_server(d, t, "required"),
            ("--identity", "common_name", "--spiffe"), None),
    "explain": ("`shs serve --client-auth explain`", lambda d, t: our_server(d, t, "explain"),
                ("--identity", "common_name", "--spiffe"), None),
    "haproxy": ("haproxy", haproxy, ("--identity", "text"), ("haproxy", "-v")),
    "nginx": ("nginx (`ssl_verify_client on`)", nginx, ("--identity", "text"), ("nginx", "-v")),
    "go": ("Go net/http (no CRLs)", go, ("--identity", "text", "--no-crl"), ("go", "version")),
}


def row(name, directory, top):
    words, start, options, version = SERVERS[name]
    if version is not None and shutil.which(version[0]) is None:
        print("%s is not installed" % name)
        return
    with start(directory, top) as port:
        code, out, err = shslib.run(BIN, "lab", "check-server", "--dir", directory, "--format", "json", *options,
                                    "https://localhost:%d/" % port, seconds=120)
    check(code in (0, 3, 4), "%s: %d %s %s" % (name, code, out, err))
    if err:
        print(err.strip())
    firm = [case for case in json.loads(out)["results"] if case["expect"] != "either" and case["verdict"] != "n/a"]
    right = [case for case in firm if case["verdict"].split("-")[0] == case["expect"]]
    told = [case for case in right if case["verdict"] != "reject-other-reason"]
    print("| %s%s | %d of %d | %d | %s |" % (
        words, " " + first_line(version) if version else "", len(right), len(firm), len(told),
        ", ".join("%s %s" % (case["id"], case["verdict"]) for case in firm if case not in right)))
    for case in right:
        if case not in told:
            print("    not told why: %-22s %s" % (case["id"], case["said"][:110]))
    for case in firm:
        if case not in right:
            print("    wrong:        %-22s %s" % (case["id"], case["said"][:110]))


def main():
    wanted = sys.argv[1:] or list(SERVERS)
    with shslib.temp_dir() as top:
        directory = top + "/set"
        code, _, err = shslib.run(BIN, "lab", "check-server", "--dir", directory, "--make")
        equal(code, 0, err)
        for name in wanted:
            row(name, directory, top)
    print("passed")


try:
    main()
except shslib.Failure as failure:
    print("FAILED: %s" % failure)
    sys.exit(1)
