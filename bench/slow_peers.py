#!/usr/bin/env python3
"""Thousands of slow peers at once: what they cost, and what an ordinary client notices.

    python3 bench/slow_peers.py [--build build/release] [--peers 5000] [--requests 3000] [--tls]

Builds nothing. `shs serve --upload` under the defaults, but for the deadlines that would end the
peers. They are of seven kinds, in equal parts: who asks for a file, for two ranges of it, for a
listing, for a page that is compressed on the fly, and does not read; and who sends the first bytes of
a PUT, of a chunked one, of a form, and no more. With --tls each has its handshake first. Prints

    threads of the server, KiB of its memory a peer (resident, above what it was before), and the
    latencies of one ordinary client on a connection of its own, before and beside them, in ms
"""
import argparse
import http.client
import os
import re
import socket
import ssl
import subprocess
import tempfile
import time

GET = "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
KINDS = {
    "file": GET % ("/big.bin", ""),
    "two ranges": GET % ("/big.bin", "Range: bytes=0-0,2-\r\n"),
    "listing": GET % ("/many/", ""),
    "compressed": GET % ("/big.txt", "Accept-Encoding: gzip\r\n"),
    "PUT": "PUT /up/a%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nbegin",
    "PUT in chunks": "PUT /up/b%d HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "11000\r\n" + "x" * 0x11000 + "\r\n1000\r\nbegin",
    "form": "POST /up/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
            "Content-Type: multipart/form-data; boundary=B\r\n\r\n--B\r\nContent-Disposition: "
            'form-data; name="f"; filename="a%d.txt"\r\n\r\nbegin',
}


def make_site(site):
    os.mkdir(site + "/up")
    os.mkdir(site + "/many")
    for i in range(5000):
        open("%s/many/a-file-with-a-long-name-%04d.txt" % (site, i), "wb").close()
    with open(site + "/big.bin", "wb") as out:
        out.write(os.urandom(8 << 20))
    with open(site + "/big.txt", "w", encoding="ascii") as out:
        out.writelines("%d %d\n" % (i, i * i * 7919) for i in range(300000))
    with open(site + "/a.txt", "w", encoding="ascii") as out:
        out.write("Hello, world\n")


def status(pid, name):
    with open("/proc/%d/status" % pid, encoding="ascii") as text:
        return int(re.search(r"^%s:\s+(\d+)" % name, text.read(), re.MULTILINE).group(1))


class Client:
    def __init__(self, port, context):
        self.port, self.context = port, context

    def connection(self):
        if self.context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.context)

    def peer(self, number, said):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(30)
        sock.bind(("127.0.0.%d" % (2 + number % 100), 0))
        sock.connect(("127.0.0.1", self.port))
        if self.context is not None:
            sock = self.context.wrap_socket(sock, server_hostname="127.0.0.1")
        sock.sendall((said % number if "%d" in said else said).encode())
        return sock

    def latencies(self, count):
        conn, took = self.connection(), []
        for _ in range(count):
            began = time.perf_counter()
            conn.request("GET", "/a.txt")
            if conn.getresponse().read() != b"Hello, world\n":
                raise SystemExit("a wrong answer")
            took.append((time.perf_counter() - began) * 1000)
        took.sort()
        return "median %.2f, p99 %.2f, most %.2f" % (took[count // 2], took[count * 99 // 100], took[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--peers", type=int, default=5000)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--tls", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        site = work + "/site"
        os.mkdir(site)
        make_site(site)
        env = dict(os.environ, HOME=work, XDG_STATE_HOME=work + "/state")
        command = [args.build + "/shs", "serve", "--port", "0", "--upload", "--log", "none",
                   "--body-timeout", "600000", "--write-timeout", "600000", "--stop-timeout", "100"]
        with subprocess.Popen(command + ([] if args.tls else ["--plain"]) + [site], env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            try:
                run(args, server, work)
            finally:
                server.terminate()


def run(args, server, work):
    port = int(re.search(r"port (\d+)", server.stdout.readline()).group(1))
    context = None
    if args.tls:
        context = ssl.create_default_context(cafile=work + "/state/shs/ca.pem")
    client = Client(port, context)
    for said in list(KINDS.values())[:4]:  # once, for what is made once
        conn = client.connection()
        conn.request("GET", said.split()[1], headers={"Accept-Encoding": "gzip"})
        conn.getresponse().read()
        conn.close()
    print("alone:  ", client.latencies(args.requests), "ms", flush=True)
    before, began = status(server.pid, "VmRSS"), time.monotonic()
    kinds = list(KINDS.values())
    peers = [client.peer(i, kinds[i % len(kinds)]) for i in range(args.peers)]
    print("%d peers came in %.1f s; threads %d" % (len(peers), time.monotonic() - began,
                                                   status(server.pid, "Threads")), flush=True)
    print("beside: ", client.latencies(args.requests), "ms")
    print("threads %d, KiB a peer %.1f" % (status(server.pid, "Threads"),
                                          (status(server.pid, "VmRSS") - before) / len(peers)))
    for peer in peers:
        peer.close()
    time.sleep(13)  # spare workers have gone, and memory
    print("later: threads %d, resident %+d KiB" % (status(server.pid, "Threads"),
                                                  status(server.pid, "VmRSS") - before))


if __name__ == "__main__":
    main()
