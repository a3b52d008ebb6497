"""examples/slow_get.c: eight clients of a slow do_GET are served in the time of one."""

import os
import ssl
import subprocess
import threading

import shslib

CLIENTS = 8


def make_certificate(here):
    cert, key = here + "/cert.pem", here + "/key.pem"
    code, _, said = shslib.run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2",
        "-keyout", key, "-out", cert)
    shslib.equal(code, 0, "openssl req: " + said)
    return cert, key


def get(port, cert):
    context = ssl.create_default_context(cafile=cert)
    with shslib.socket.create_connection(("127.0.0.1", port), timeout=30 * shslib.SLOWNESS) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return shslib.read_all(sock, 30)


def eight_in_the_time_of_one():
    with shslib.temp_dir() as here:
        cert, key = make_certificate(here)
        # It serves until its input ends.
        server = subprocess.Popen([os.environ["EXAMPLE_BIN"], cert, key], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        try:
            words = server.stdout.readline().split()
            port, one = int(words[0].rstrip("/").rsplit(":", 1)[1]), int(words[-2]) / 1000
            answers = []
            clients = [threading.Thread(target=lambda: answers.append(get(port, cert)))
                       for _ in range(CLIENTS)]
            watch = shslib.Stopwatch(server)
            for client in clients:
                client.start()
            for client in clients:
                client.join(60)
            took = watch.stop()
            shslib.equal(len(answers), CLIENTS, "answers")
            for answer in answers:
                shslib.check(answer.endswith(b"\r\n\r\nat last\n"), "answer %r" % answer)
            shslib.check(took >= one, "%.2f s is less than one answer takes" % took)
            # In turn they would take eight times as long.
            limit = one * (2.5 if shslib.SLOWNESS == 1 else 6) + watch.still()
            shslib.check(took < limit, "%d clients took %.2f s, more than %.2f" % (CLIENTS, took, limit))
            print("%d clients in %.2f s, of which do_GET is %.2f" % (CLIENTS, took, one))
            server.stdin.close()
            shslib.equal(server.wait(20 * shslib.SLOWNESS), 0, "exit code")
        finally:
            if server.poll() is None:
                server.kill()
                server.wait(10)
            server.stdout.close()


shslib.main(eight_in_the_time_of_one)
