"""examples/hello.c: the whole program, asked over TLS with its certificate verified."""

import os
import ssl

import shslib


def says_hello():
    with shslib.temp_dir() as here:
        cert, key = here + "/cert.pem", here + "/key.pem"
        code, _, said = shslib.run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2",
            "-keyout", key, "-out", cert)
        shslib.equal(code, 0, "openssl req: " + said)
        # It has no signal handler, being 25 lines long: SIGTERM ends it as it ends any program.
        with shslib.Process([os.environ["EXAMPLE_BIN"], cert, key, "0"], expect_exit=-15) as hello:
            port = int(hello.wait_stdout(r"^https://localhost:(\d+)/$").group(1))
            context = ssl.create_default_context(cafile=cert)
            for _ in range(3):
                with shslib.socket.create_connection(("127.0.0.1", port), timeout=10 * shslib.SLOWNESS) as plain, \
                        context.wrap_socket(plain, server_hostname="localhost") as sock:
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = shslib.read_all(sock)
                shslib.check(answer.startswith(b"HTTP/1.1 200 "), "status line of %r" % answer)
                shslib.check(b"\r\nContent-Type: text/plain\r\n" in answer, "type in %r" % answer)
                shslib.check(answer.endswith(b"\r\n\r\nHello, world\n"), "body of %r" % answer)


def says_what_is_missing():
    code, out, said = shslib.run(os.environ["EXAMPLE_BIN"], "/nonexistent/cert.pem")
    shslib.equal((code, out), (1, ""), "exit code and stdout without a certificate")
    shslib.check("/nonexistent/cert.pem" in said, "the file is not named in %r" % said)


shslib.main(says_hello, says_what_is_missing)
