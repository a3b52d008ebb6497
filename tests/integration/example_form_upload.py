"""examples/form_upload.c: uploads with curl and by hand, over plain HTTP and TLS."""

import contextlib
import http.client
import os
import ssl

import shslib

BIN = os.environ["EXAMPLE_BIN"]
TYPE = "multipart/form-data; boundary=XyZ"


def curl(server, *arguments):
    code, out, said = shslib.run("curl", "-sS", "-w", "%{http_code}", *arguments, server.url + "/")
    shslib.equal(code, 0, "curl's exit code: " + said)
    return int(out[-3:]), out[:-3]


def left_over(site):
    return [name for name in os.listdir(site) if name.startswith(".")]


def saves_what_curl_sends():
    with shslib.temp_dir() as here:
        site = here + "/up"
        os.mkdir(site)
        big = shslib.pattern(3000000)
        shslib.write_file(here + "/big.bin", big)
        shslib.write_file(here + "/lines.txt", b"\r\n--\r\n--X\r\n" * 1000)
        shslib.write_file(here + "/empty", b"")
        with shslib.Server(argv=[BIN, site, "0"]) as server:
            status, text = curl(server, "-F", "note=caf\u00e9 & co", "-F", "file=@%s/big.bin" % here,
                                "-F", "file=@%s/lines.txt" % here, "-F", "file=@%s/empty" % here)
            shslib.equal(status, 200, "status")
            shslib.equal(text, "field note: caf\u00e9 & co\nsaved big.bin: 3000000 bytes\n"
                         "saved lines.txt: 11000 bytes\nsaved empty: 0 bytes\n", "answer")
            for name, wanted in (("big.bin", big), ("lines.txt", b"\r\n--\r\n--X\r\n" * 1000), ("empty", b"")):
                with open(site + "/" + name, "rb") as file:
                    shslib.check(file.read() == wanted, name + " is not what was sent")
            # The same again, chunked: nothing is replaced.
            status, text = curl(server, "-H", "Transfer-Encoding: chunked", "-F", "file=@%s/big.bin" % here)
            shslib.equal((status, text), (200, "saved 2-big.bin: 3000000 bytes\n"), "the second time")
            with open(site + "/2-big.bin", "rb") as file:
                shslib.check(file.read() == big, "2-big.bin is not what was sent")
            status, text = curl(server, "-F", "file=@%s/lines.txt;filename=../../../etc/x y\"z.txt" % here)
            shslib.equal(status, 200, "status of a bad name")
            shslib.check(text.startswith("saved x y"), "a bad name became %r" % text)
            shslib.equal(left_over(site), [], "temporary files")
            shslib.equal(sorted(os.listdir(here)), ["big.bin", "empty", "lines.txt", "up"], "outside")
            status, _ = curl(server, "-d", "a=b")
            shslib.equal(status, 415, "status of a form that is not an upload")
            status, headers, _ = server.request("PUT", "/")
            shslib.equal((status, headers["Allow"]), (501, "GET, HEAD, POST, OPTIONS"), "PUT")
            status, headers, _ = server.request("OPTIONS", "/")
            shslib.equal((status, headers["Allow"]), (204, "GET, HEAD, POST, OPTIONS"), "OPTIONS")


def body(*parts):
    return b"".join(b"--XyZ\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--XyZ--\r\n"


def post(server, data):
    return server.request("POST", "/", body=data, headers={"Content-Type": TYPE})


def refuses_what_is_not_whole():
    with shslib.temp_dir() as site:
        with shslib.Server(argv=[BIN, site, "0"]) as server:
            file = b'name="f"; filename="a.txt"\r\n\r\nhello'
            shslib.equal(post(server, body(file))[0], 200, "a file by hand")
            shslib.equal(post(server, body(file)[:-20])[0], 400, "a form that is cut off")
            status, _, text = post(server, body(b'name="a"; name="b"\r\n\r\nx'))
            shslib.equal(status, 400, "two names")
            shslib.check(b"name twice" in text, "the reason is not in %r" % text)
            shslib.equal(post(server, body(b'name="n"\r\n\r\n' + b"x" * 1001))[0], 413, "a long field")
            shslib.equal(post(server, b"--XyZ\r\nX: " + b"y" * 9000)[0], 431, "long header lines")
            shslib.equal(os.listdir(site), ["a.txt"], "files")
            # A client that goes in the middle of a file leaves nothing.
            with server.connect() as sock:
                sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: " + TYPE.encode() +
                             b"\r\nContent-Length: 1000000\r\n\r\n" + body(file)[:-30] + b"x" * 200000)
            shslib.wait_until(lambda: os.listdir(site) == ["a.txt"], 10, "the temporary file to go")


def byte_by_byte_over_tls():
    with shslib.temp_dir() as here:
        cert, key = here + "/cert.pem", here + "/key.pem"
        code, _, said = shslib.run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2",
            "-keyout", key, "-out", cert)
        shslib.equal(code, 0, "openssl req: " + said)
        os.mkdir(here + "/up")
        with shslib.Server(argv=[BIN, here + "/up", "0", cert, key]) as server:
            context = ssl.create_default_context(cafile=cert)
            data = body(b"name=f; filename*=UTF-8''%e2%82%ac.txt\r\n\r\na\r\n--XyZ", b"name=n\r\n\r\n")
            data = data.replace(b"a\r\n--XyZ\r\n", b"a\r\n--Xy\r\n", 1)
            with server.connect(context=context, server_hostname="localhost") as sock:
                sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: " + TYPE.encode() +
                             b"\r\nTransfer-Encoding: chunked\r\n\r\n")
                for byte in data:
                    sock.sendall(b"1\r\n" + bytes([byte]) + b"\r\n")
                sock.sendall(b"0\r\n\r\n")
                _, _, text, _ = shslib.read_response(sock)
            shslib.equal(text.decode(), "saved \u20ac.txt: 7 bytes\nfield n: \n", "answer")
            with open(here + "/up/\u20ac.txt", "rb") as file:
                shslib.equal(file.read(), b"a\r\n--Xy", "file")
            with contextlib.closing(http.client.HTTPSConnection("localhost", server.port, context=context)) as c:
                c.request("GET", "/")
                shslib.check(b"multipart/form-data" in c.getresponse().read(), "the page has no form")


shslib.main(saves_what_curl_sends, refuses_what_is_not_whole, byte_by_byte_over_tls)
