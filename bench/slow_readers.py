#!/usr/bin/env python3
"""Clients that ask for something large over TLS and do not read: slow_readers.py PORT PATH COUNT

Says "ready N" when each has asked, holds them until a line comes, and ends. For the case `slow` of run.sh.
"""
import socket
import ssl
import sys


def reader(port, path, context):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(60)
    sock.connect(("127.0.0.1", port))
    sock = context.wrap_socket(sock, server_hostname="localhost")
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock


def main():
    port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    peers = []
    try:
        for _ in range(count):
            peers.append(reader(port, path, context))
    except OSError as error:
        print(f"after {len(peers)}: {error}", file=sys.stderr)
    print("ready", len(peers), flush=True)
    sys.stdin.readline()


main()
