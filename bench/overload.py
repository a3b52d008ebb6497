#!/usr/bin/env python3
"""More clients than a server can serve: an open loop at 1, 2, 5 and 10 times what it can do.

    python3 bench/overload.py [--build build/release] [--seconds 10] [--times 1,2,5,10]
        [--servers pool,thread,nginx] [--key ec|rsa:4096] [--plain PATH] [--patience 5]

Builds nothing: bench_server and open_loop are there after `ninja -C build/release bench_server open_loop`.
Each client is a full handshake (or plain, with --plain) and one GET, and has so many seconds of patience. What the
server can do is the most of a closed loop with 8 and 64 clients. Then, for each multiple, a fresh server; the
servers in turns. With --key rsa:4096 a handshake costs the server far more than the client, so one machine
is enough to overload it. A row has

    goodput      answers a second, and in parts of what the server can do
    CPU          of the server for each answer, in parts of what it is in the closed loop: what was done for nobody;
                 it tells on a machine that does other things as well, where goodput does not
    p50, p99     of those who were served, from their first SYN, ms
    refused      a second, and how long they had waited for it (median)
    gave up      a second
    after        the load falls to 0.3: how many of the clients of the first second, and then of the next two, were served,
                 and their p99
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

NGINX = """worker_processes auto; daemon off; pid %(tmp)s/nginx.pid; error_log %(tmp)s/nginx.log crit;
worker_rlimit_nofile 20000;
events { worker_connections 10000; }
http { access_log off; client_body_temp_path %(tmp)s/b; proxy_temp_path %(tmp)s/p; fastcgi_temp_path %(tmp)s/f;
uwsgi_temp_path %(tmp)s/u; scgi_temp_path %(tmp)s/s;
server { listen 127.0.0.1:%(port)d %(ssl)s; ssl_certificate %(tmp)s/cert.pem; ssl_certificate_key %(tmp)s/key.pem;
ssl_protocols TLSv1.3; location / { return 200 "Hello, world\\n"; } } }
"""


def free_port():
    import socket
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    def __init__(self, args, tmp, name):
        tls = [] if args.plain else ["--cert", tmp + "/cert.pem", "--key", tmp + "/key.pem"]
        if name == "nginx":
            self.port = str(free_port())
            with open(tmp + "/nginx.conf", "w", encoding="ascii") as conf:
                conf.write(NGINX % {"tmp": tmp, "port": int(self.port), "ssl": "" if args.plain else "ssl"})
            self.proc = subprocess.Popen(["nginx", "-c", tmp + "/nginx.conf"])
            self.wait_port()
            return
        self.proc = subprocess.Popen([args.build + "/bench/bench_server", "--threading", name]
                                     + (["--plain"] if args.plain else tls) + args.more, stdout=subprocess.PIPE, text=True)
        self.port = self.proc.stdout.readline().split()[1]

    def wait_port(self):
        import socket
        import time
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", int(self.port))).close()
                return
            except OSError:
                time.sleep(0.02)
        raise SystemExit("nginx did not start")

    def load(self, args, *pieces):
        out = subprocess.run([args.build + "/bench/open_loop", self.port, args.plain or "/",
                              str(int(args.patience * 1000)), "plain" if args.plain else "tls", *pieces],
                             capture_output=True, text=True, check=True).stdout
        return [[float(word) for word in line.split()] for line in out.splitlines()]

    def cpu_s(self):
        """Of the process and its children."""
        total = 0
        for pid in [self.proc.pid] + [int(p) for p in open("/proc/%d/task/%d/children" % (2 * (self.proc.pid,)),
                                                           encoding="ascii").read().split()]:
            with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total

    def end(self):
        self.proc.terminate()
        self.proc.wait(30)


def capacity(args, tmp, name):
    server = Server(args, tmp, name)
    began = server.cpu_s()
    rows = server.load(args, "=8x1", "=8x3", "=64x3")
    cpu = (server.cpu_s() - began) / max(1, sum(row[2] for row in rows))
    server.end()
    return max(row[2] / row[0] for row in rows[1:]), cpu


def overload(args, tmp, name, times, can, alone):
    server = Server(args, tmp, name)
    began = server.cpu_s()
    whole, after, later = server.load(args, "%.1fx%g" % (times * can, args.seconds), "%.1fx1" % (0.3 * can),
                                      "%.1fx2" % (0.3 * can))
    each = (server.cpu_s() - began) / max(1, whole[2] + after[2] + later[2])
    server.end()
    took, came, served, p50, p99, refused, refused_p50, gave_up, cpu, late = whole
    print("%s | %g x | %.0f | %.2f | %.2f | %.0f, %.0f | %.0f, %.0f | %.0f | %.2f; %.2f, %.0f | %.2f%s" % (
        name, times, served / took, served / took / can, each / alone, p50, p99, refused / took, refused_p50, gave_up / took,
        after[2] / max(1, after[1]), later[2] / max(1, later[1]), later[4], cpu,
        "" if late < 200 and came >= 0.95 * times * can * took else " THE CLIENT WAS LATE: %.0f ms, %.0f of %.0f"
        % (late, came, times * can * took)), flush=True)


def make_certificate(tmp, key):
    kind = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else [key]
    subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-subj", "/CN=localhost",
                    "-keyout", tmp + "/key.pem", "-out", tmp + "/cert.pem"], check=True, stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build", "release"))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--times", default="1,2,5,10")
    parser.add_argument("--servers", default="pool,thread,nginx")
    parser.add_argument("--key", default="ec")
    parser.add_argument("--plain")
    parser.add_argument("--patience", type=float, default=5)
    parser.add_argument("more", nargs="*", help="options of bench_server, after --")
    args = parser.parse_args()
    names = [name for name in args.servers.split(",") if name != "nginx" or shutil.which("nginx")]
    print("server | load | goodput/s | of what it can | CPU of each, of what it is alone | p50, p99 ms of the served | refused/s, after ms | gave up/s | "
          "served after; later, p99 ms | client CPU")
    with tempfile.TemporaryDirectory() as tmp:
        make_certificate(tmp, args.key)
        can = {name: capacity(args, tmp, name) for name in names}
        for times in args.times.split(","):
            for name in names:
                overload(args, tmp, name, float(times), *can[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
