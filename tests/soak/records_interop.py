#!/usr/bin/env python3
"""records_interop.py - thousands of requests on one connection, by the TLS of others, with records of our own.

    python3 tests/soak/records_interop.py [SHS] [--requests 10000] [--clients curl,go] [--records direct libssl]

Each client asks REQUESTS times on one connection and changes its keys where it can; every byte of every
answer is compared. The server's /metrics say that it was one connection, that each request was answered
on it, and that it left libssl (for libssl, the control: that it did not). A client that is not installed
is named and left out. Debian's: curl openssl python3 nodejs golang-go default-jdk-headless gnutls-bin
libnss3-tools chromium chromium-driver.
"""

import argparse
import contextlib
import http.client
import os
import random
import re
import selectors
import shutil
import socket
import ssl
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "integration"), os.path.join(os.path.dirname(HERE), "browser")]
import shslib  # noqa: E402
from shslib import check, equal  # noqa: E402

# Bodies, asked for in turns: small ones, and some that are one record, more than one, and a long answer's.
SIZES = [13, 0, 1, 100, 1400, 5000, 13, 16383, 16384, 13, 16385, 200, 40000, 3, 800, 70000]
LIMIT = 900  # seconds for one client
UPDATES = 60  # of its keys that one connection may have; 64 are too many


class Site:
    """The files, and what their bodies are: lines of digits, which no client takes for a command of its own."""

    def __init__(self, directory):
        self.directory = directory
        chance = random.Random(8446)
        self.bodies = [bytes(chance.choice(b"0123456789abcdef") for _ in range(size)) for size in SIZES]
        for number, body in enumerate(self.bodies):
            shslib.write_file("%s/%d" % (directory, number), body)
        shslib.write_file(directory + "/page.html", "<!doctype html><title>x</title><link rel=icon href=data:,>\n")

    def body(self, number):
        return self.bodies[number % len(SIZES)]

    @staticmethod
    def path(number):
        return "/%d" % (number % len(SIZES))

    def all(self, count):
        return b"".join(self.body(number) for number in range(count))


def program(site, server, count, argv, environment=None, cwd=None):
    """A client that writes all bodies to its standard output, one behind the other."""
    with open(site.directory + "/../heard", "w+b") as out:
        done = subprocess.run(argv, stdout=out, stderr=subprocess.PIPE, timeout=LIMIT, cwd=cwd,
                              env=dict(os.environ, **(environment or {})))
        out.seek(0)
        heard = out.read()
    check(done.returncode == 0, "%s: exit code %d: %s" % (argv[0], done.returncode, done.stderr[-600:]))
    wanted = site.all(count)
    if heard != wanted:
        at = next((i for i, (a, b) in enumerate(zip(heard, wanted)) if a != b), min(len(heard), len(wanted)))
        raise shslib.Failure("%s: %d bytes instead of %d, other ones from %d on"
                             % (argv[0], len(heard), len(wanted), at))
    return done.stderr


# -- the clients: each returns how many times it has changed its keys ----------------------------------


def with_curl(site, server, count):
    config = site.directory + "/../curl.conf"
    with open(config, "w") as file:
        for number in range(count):
            file.write('url = "https://localhost:%d%s"\noutput = "-"\n' % (server.port, site.path(number)))
    program(site, server, count, ["curl", "--silent", "--show-error", "--fail", "--http1.1", "--ipv4", "--tlsv1.3",
                                  "--cacert", server.ca, "--config", config])
    return 0


def with_python(site, server, count):
    context = ssl.create_default_context(cafile=server.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    connection = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=60)
    with contextlib.closing(connection):
        for number in range(count):
            connection.request("GET", site.path(number))
            answer = connection.getresponse()
            check(answer.status == 200 and answer.read() == site.body(number), "request %d" % number)
    return 0


NODE = r"""
const https = require("https"), fs = require("fs");
const [port, ca, count, paths] = process.argv.slice(2);
const agent = new https.Agent({keepAlive: true, maxSockets: 1, ca: fs.readFileSync(ca), minVersion: "TLSv1.3"});
function ask(number) {
    if (number == count) return agent.destroy();
    https.get({host: "localhost", family: 4, port, path: "/" + number % paths, agent}, (answer) => {
        const parts = [];
        if (answer.statusCode != 200) process.exit(3);
        answer.on("data", (part) => parts.push(part));
        answer.on("end", () => process.stdout.write(Buffer.concat(parts), () => ask(number + 1)));
    });
}
ask(0);
"""


def with_node(site, server, count):
    script = site.directory + "/../client.js"
    shslib.write_file(script, NODE)
    program(site, server, count, ["node", script, str(server.port), server.ca, str(count), str(len(SIZES))])
    return 0


GO = r"""
package main

import (
    "bufio"
    "crypto/tls"
    "crypto/x509"
    "fmt"
    "io"
    "net/http"
    "os"
    "strconv"
)

func main() {
    pem, _ := os.ReadFile(os.Args[2])
    count, _ := strconv.Atoi(os.Args[3])
    paths, _ := strconv.Atoi(os.Args[4])
    pool := x509.NewCertPool()
    pool.AppendCertsFromPEM(pem)
    client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DisableCompression: true,
        TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}}
    out := bufio.NewWriter(os.Stdout)
    for i := 0; i < count; i++ {
        answer, err := client.Get(fmt.Sprintf("https://localhost:%s/%d", os.Args[1], i%paths))
        if err != nil || answer.StatusCode != 200 {
            fmt.Fprintln(os.Stderr, err)
            os.Exit(3)
        }
        if _, err = io.Copy(out, answer.Body); err != nil {
            fmt.Fprintln(os.Stderr, err)
            os.Exit(4)
        }
        answer.Body.Close()
    }
    out.Flush()
}
"""


def with_go(site, server, count):
    home = os.path.dirname(site.directory)
    shslib.write_file(home + "/client.go", GO)
    environment = {"GOCACHE": home + "/go-cache", "GO111MODULE": "off", "GOFLAGS": "", "GOMAXPROCS": "2"}
    subprocess.run(["go", "build", "-p", "1", "-o", "go-client", "client.go"], cwd=home, check=True, timeout=LIMIT,
                   env=dict(os.environ, **environment))
    program(site, server, count, [home + "/go-client", str(server.port), server.ca, str(count), str(len(SIZES))],
            environment)
    return 0


JAVA = r"""
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.security.*;
import java.security.cert.*;
import javax.net.ssl.*;

class Client {
    public static void main(String[] of) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(
            new FileInputStream(of[1])));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLSv1.3");
        context.init(null, trust.getTrustManagers(), null);
        int port = Integer.parseInt(of[0]), count = Integer.parseInt(of[2]), paths = Integer.parseInt(of[3]);
        OutputStream out = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out));
        if (of[4].equals("http"))
            client(context, port, count, paths, out);
        else
            socket(context, port, count, paths, out, Integer.parseInt(of[4]));
        out.flush();
        System.exit(0);
    }

    static void client(SSLContext context, int port, int count, int paths, OutputStream out) throws Exception {
        HttpClient client = HttpClient.newBuilder().sslContext(context).version(HttpClient.Version.HTTP_1_1).build();
        for (int i = 0; i < count; i++) {
            HttpResponse<byte[]> answer = client.send(
                HttpRequest.newBuilder(URI.create("https://localhost:" + port + "/" + i % paths)).build(),
                HttpResponse.BodyHandlers.ofByteArray());
            if (answer.statusCode() != 200)
                System.exit(3);
            out.write(answer.body());
        }
    }

    // The socket by itself: startHandshake on an open session of TLS 1.3 changes the keys.
    static void socket(SSLContext context, int port, int count, int paths, OutputStream out, int every)
            throws Exception {
        SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("localhost", port);
        SSLParameters parameters = socket.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        socket.setSSLParameters(parameters);
        DataInputStream in = new DataInputStream(new BufferedInputStream(socket.getInputStream(), 32768));
        for (int i = 0; i < count; i++) {
            if (i > 1 && i % every == 0)
                socket.startHandshake();
            socket.getOutputStream().write(
                ("GET /" + i % paths + " HTTP/1.1\r\nHost: localhost\r\n\r\n").getBytes());
            String line = in.readLine();
            if (!line.startsWith("HTTP/1.1 200"))
                System.exit(3);
            int length = -1;
            while (!(line = in.readLine()).isEmpty())
                if (line.toLowerCase().startsWith("content-length:"))
                    length = Integer.parseInt(line.substring(15).trim());
            byte[] body = new byte[length];
            in.readFully(body);
            out.write(body);
        }
    }
}
"""


def java(site, server, count, how, *options):
    home = os.path.dirname(site.directory)
    shslib.write_file(home + "/Client.java", JAVA)
    if not os.path.exists(home + "/Client.class"):
        subprocess.run(["javac", "Client.java"], cwd=home, check=True, timeout=LIMIT, stderr=subprocess.DEVNULL)
    return program(site, server, count,
                   ["java", "-Djavax.net.debug=ssl:handshake", "-Djava.net.preferIPv4Stack=true", *options, "-cp", home,
                    "Client", str(server.port), server.ca, str(count), str(len(SIZES)), how])


def with_java(site, server, count):
    said = java(site, server, count, str(count // UPDATES + 1))
    updates = said.count(b"Produced KeyUpdate")
    check(updates > 10 or count < 1000, "%d key updates" % updates)
    return updates


def with_java_http(site, server, count):
    """HttpClient, which has no way to change keys: with jdk.tls.keyLimits it does, but when the server's next key
    comes while it has nothing to ask it takes another connection, of libssl's server too."""
    java(site, server, count, "http")
    return 0


class Typed:
    """A client that sends what it is typed, and shows what it hears between words of its own."""

    def __init__(self, argv, noise):
        self.noise = noise
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        bufsize=0)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.heard = b""

    def hear(self):
        if not self.selector.select(30):
            raise shslib.Failure("it says nothing: %r" % self.heard[-600:])
        part = os.read(self.process.stdout.fileno(), 1 << 16)
        check(part, "it has ended: %r" % self.heard[-600:])
        self.heard = self.noise.sub(b"", self.heard + part)

    def wait(self, what):
        while what not in self.heard:
            self.hear()

    def ask(self, path, body):
        self.process.stdin.write(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
        while True:
            begin = self.heard.find(b"HTTP/1.1 200 OK\r\n")
            head, blank, rest = self.heard[max(begin, 0):].partition(b"\r\n\r\n")
            if begin >= 0 and blank and len(rest) >= len(body):
                break
            self.hear()
        check(b"content-length: %d\r\n" % len(body) in head.lower() + b"\r\n", "another length: %r" % head)
        check(rest[:len(body)] == body, "another body: %r" % self.heard[:300])
        self.heard = rest[len(body):]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()


def typed(site, argv, noise, ready, commands, count):
    """`commands`: what is typed for another key, in turns, and the word that it answers with."""
    updates, every = 0, count // UPDATES + 1
    client = Typed(argv, noise)
    try:
        client.wait(ready)
        for number in range(count):
            if number > 1 and number % every == 0:  # before its time the connection would stay with libssl
                client.process.stdin.write(commands[updates % len(commands)][0])
                client.wait(commands[updates % len(commands)][1])
                updates += 1
            client.ask(site.path(number), site.body(number))
    finally:
        client.close()
    return updates


def with_s_client(site, server, count):
    """k changes its key, K asks for the server's too."""
    return typed(site, ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.port, "-servername", "localhost",
                        "-verify_return_error", "-CAfile", server.ca, "-tls1_3"],
                 re.compile(rb"read R BLOCK\n"), b"Verification: OK",
                 [(b"k\n", b"KEYUPDATE\n"), (b"K\n", b"KEYUPDATE\n")], count)


def with_gnutls(site, server, count):
    return typed(site, ["gnutls-cli", "--inline-commands", "--x509cafile", server.ca, "--sni-hostname", "localhost",
                        "--verify-hostname", "localhost", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3",
                        "--port", str(server.port), "127.0.0.1"],
                 re.compile(rb"- Received\[\d+\]: "), b"Simple Client Mode",
                 [(b"^rekey^\n", b"Rekey"), (b"^rekey1^\n", b"Rekey")], count)


FETCHES = """
const done = arguments[arguments.length - 1], count = arguments[0], paths = arguments[1], bodies = [];
(async () => {
    for (let i = 0; i < count; i++) {
        const answer = await fetch("/" + i % paths, {cache: "no-store"});
        const text = await answer.text();
        if (answer.status != 200) return "request " + i + ": status " + answer.status;
        if (i < paths) bodies.push(text);
        else if (text !== bodies[i % paths]) return "request " + i + ": another body";
    }
    return bodies.join("");
})().then(done, (error) => done("" + error));
"""


def with_chromium(site, server, count):
    import listing
    home = os.path.dirname(site.directory)
    database = "sql:" + home + "/.pki/nssdb"
    os.makedirs(home + "/.pki/nssdb", exist_ok=True)
    subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True)
    subprocess.run(["certutil", "-A", "-d", database, "-n", "ca", "-t", "C,,", "-i", server.ca], check=True)
    browser = listing.Browser(home, True)
    try:
        browser.call("POST", "/timeouts", {"script": LIMIT * 1000})
        browser.call("POST", "/url", {"url": "https://localhost:%d/page.html" % server.port})
        for first in range(0, count - 1, 2000):  # the driver has a limit of its own for each call
            heard = browser.call("POST", "/execute/async", {
                "script": FETCHES, "args": [min(2000, count - 1 - first), len(SIZES)]})
            check(heard == site.all(len(SIZES)).decode(), "Chromium: %s" % heard[:200])
    finally:
        browser.close()
    return 0


CLIENTS = {
    "curl": (with_curl, ["curl"]),
    "s_client": (with_s_client, ["openssl"]),
    "python": (with_python, []),
    "node": (with_node, ["node"]),
    "go": (with_go, ["go"]),
    "java": (with_java, ["java", "javac"]),
    "java-http": (with_java_http, ["java", "javac"]),
    "gnutls": (with_gnutls, ["gnutls-cli"]),
    "chromium": (with_chromium, ["chromium", "chromedriver", "certutil"]),
}


def counters(health):
    """What the server has counted, that matters here."""
    with socket.create_connection(("127.0.0.1", health), 20) as sock:
        sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        page = shslib.read_all(sock, 20).decode()

    def total(pattern):
        return sum(int(value) for value in re.findall(pattern + r" (\d+)$", page, re.MULTILINE))

    return {
        "connections": total(r"shs_connections_accepted_total\{[^}]*\}") - 1,  # this one is the health listener's
        "handshakes": total(r"shs_tls_handshakes_total\{[^}]*\}"),
        "requests": total(r"shs_http_requests_total\{[^}]*\}"),
        "direct": total(r'shs_tls_records_total\{[^}]*records="direct"[^}]*\}'),
        "libssl": total(r'shs_tls_records_total\{[^}]*records="libssl"[^}]*\}'),
    }


def one(shs, name, records, count):
    """One client and a server of its own."""
    client, needs = CLIENTS[name]
    missing = [word for word in needs if shutil.which(word) is None]
    if missing:
        print("%-10s %-7s left out: no %s" % (name, records, " ".join(missing)), flush=True)
        return
    with shslib.temp_dir() as home:
        os.mkdir(home + "/site")
        site = Site(home + "/site")
        argv = [shs, "serve", "--port", "0", "--health", "0", "--log", "none", "--no-compress", "--max-requests",
                str(count + 1000), "--tls-records", records, site.directory]
        with shslib.Server(argv=argv) as server:
            health = int(server.wait_stdout(r"(?s)\nServing HTTP on 127\.0\.0\.1 port (\d+)").group(1))
            began = time.monotonic()
            updates = client(site, server, count)
            took = time.monotonic() - began
            found = counters(health)
    print("%-10s %-7s %d requests, %d connection(s), %d direct, %d key updates, %.1f s"
          % (name, records, found["requests"], found["connections"], found["direct"], updates, took), flush=True)
    equal(found["requests"], count, "requests of " + name)
    # A browser opens a spare connection, on which it never asks twice: it would count as one that left libssl.
    check(1 <= found["connections"] <= (2 if name == "chromium" else 1), "%s: %s" % (name, found))
    equal(found["handshakes"], found["connections"], "handshakes of " + name)
    equal(found["direct"], 1 if records == "direct" else 0, "connections that left libssl, of " + name)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shs", nargs="?", default=shslib.BIN)
    parser.add_argument("--requests", type=int, default=10000)
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--records", nargs="+", default=["direct", "libssl"])
    options = parser.parse_args()
    failed = []
    for name in options.clients.split(","):
        for records in options.records:
            try:
                one(os.path.abspath(options.shs), name, records, options.requests)
            except (shslib.Failure, subprocess.SubprocessError, OSError) as failure:
                print("%-10s %-7s FAILED: %s" % (name, records, failure), flush=True)
                failed.append(name)
    print("FAILED" if failed else "passed")
    return 1 if failed else 0


sys.exit(main())
