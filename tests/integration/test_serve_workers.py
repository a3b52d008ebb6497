"""One plan, several listeners, one set of workers: threads, stopping under load, the receipt, reload."""

import contextlib
import http.client
import os
import re
import signal
import socket
import ssl
import sys
import threading

import shslib
from shslib import check, equal

PLAN = """log: %s
workers: {threads: 2}
listeners:
  - {bind: 127.0.0.1:0, plain: true, handler: echo}
  - {bind: 127.0.0.1:0, handler: echo}
  - {bind: 127.0.0.1:0, plain: true, handler: echo}
  - {bind: 'unix:s', plain: true, handler: echo}
  - {bind: fd:3, plain: true, handler: echo}
  - {bind: 127.0.0.1:0, plain: true, handler: echo}
"""

# The socket that the fifth one inherits.
WITH_SOCKET = ("import os, socket, sys\n"
               "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(64)\n"
               "os.dup2(s.fileno(), 3)\n"
               "os.set_inheritable(3, True)\n"
               "os.execv(sys.argv[1], sys.argv[1:])\n")


@contextlib.contextmanager
def six(log="none"):
    """The server, and how to connect to each of its listeners."""
    with shslib.temp_dir() as path:
        shslib.write_file(path + "/c.yaml", PLAN % log)
        argv = [sys.executable, "-c", WITH_SOCKET, shslib.BIN, "serve", "--config", "c.yaml"]
        with shslib.Server(argv=argv, cwd=path) as server:
            shslib.wait_until(lambda: len(re.findall("^Serving .*\n", server.stdout, re.M)) == 6, 10, "six lines")
            ports = [int(port) for port in re.findall(r"^Serving HTTPS? on \S+ port (\d+)", server.stdout, re.M)]
            equal(len(ports), 5, server.stdout)
            yield server, [("127.0.0.1", port) for port in ports[:3]] + [path + "/s"] + [
                ("127.0.0.1", port) for port in ports[3:]]


def connect(address, tls=False):
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    sock.settimeout(20 * shslib.SLOWNESS)
    sock.connect(address)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        sock = context.wrap_socket(sock)
    return sock


def get(address, tls=False):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = connect(address, tls)
    with contextlib.closing(connection):
        connection.request("GET", "/a")
        answer = connection.getresponse()
        answer.read()
        return answer.status


def threads_of(server):
    return len(os.listdir("/proc/%d/task" % server.pid))


def test_six_listeners_have_the_threads_of_one():
    with six() as (server, places):
        for _ in range(3):
            for number, place in enumerate(places):
                equal(get(place, number == 1), 200)
        # Two workers; and the main thread, the monitor, the log's, and what waits for signals; ThreadSanitizer has
        # one of its own.
        most = 2 + 4 + ("thread" in shslib.SANITIZE)
        shslib.wait_until(lambda: threads_of(server) <= most, 20, "%d threads" % threads_of(server))
        server.stop()


def test_a_reload_and_all_go_on():
    with six("json") as (server, places):
        os.kill(server.pid, signal.SIGHUP)
        shslib.wait_until(lambda: "Files read again" in server.stderr, 10, "the reload")
        for number, place in enumerate(places):
            equal(get(place, number == 1), 200)
        server.stop()


def test_the_receipt_is_of_all():
    """A request at each of them is under way when it ends; each is answered, and counted."""
    with six("json") as (server, places):
        socks = [connect(place, number == 1) for number, place in enumerate(places)]
        for sock in socks:
            shslib.send_all(sock, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
            check(b"100 Continue" in shslib.read_until(sock, b"\r\n\r\n"), "it is not asked for its body")
        os.kill(server.pid, signal.SIGTERM)
        shslib.wait_until(lambda: shslib.refuses(server), 10, "the end of listening")
        for sock in socks:
            shslib.send_all(sock, b"x")
            equal(shslib.read_response(sock)[0], "HTTP/1.1 200 OK")
            sock.close()
        equal(server.wait(), 0)
        # Closed are those six, and who asked whether it still listens and came before the end.
        receipt = re.search(r'"event":"stopped","took_ms":\d+,"served":6,"closed":(\d+),"cut":0', server.stderr)
        check(receipt is not None and int(receipt.group(1)) >= 6, server.stderr)


def test_a_stop_under_load():
    with six() as (server, places):
        ending, stop, served, strange = threading.Event(), threading.Event(), [0] * len(places), []

        def load(number):
            while not stop.is_set():
                try:
                    status = get(places[number], number == 1)
                except (OSError, http.client.HTTPException):
                    status = None
                if status == 200:
                    served[number] += 1
                elif not ending.is_set():
                    strange.append((number, status))
                    return

        threads = [threading.Thread(target=load, args=(number,)) for number in range(len(places))]
        for thread in threads:
            thread.start()
        shslib.wait_until(lambda: min(served) >= 10 or strange, 30, "each to be served")
        ending.set()
        server.stop()
        equal(server.wait(), 0)
        stop.set()
        for thread in threads:
            thread.join()
        equal(strange, [])


if __name__ == "__main__":
    shslib.main(test_six_listeners_have_the_threads_of_one, test_a_reload_and_all_go_on,
                test_the_receipt_is_of_all, test_a_stop_under_load)
