"""What people expect of a file server they pick up: ranges, conditions, codings, uploads, logins."""

import base64
import email.utils
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import shslib
from shslib import check, equal

TEXT = ("The quick brown fox jumps over the lazy dog.\n" * 400).encode()
DATA = shslib.pattern(100000)


def make_site(root):
    shslib.write_file(root + "/text.txt", TEXT)
    shslib.write_file(root + "/data.bin", DATA)
    shslib.write_file(root + "/small.bin", DATA[:1000])
    shslib.write_file(root + "/empty.txt", b"")
    os.utime(root + "/text.txt", (1600000000, 1600000000))
    os.utime(root + "/data.bin", (1600000000, 1600000000))


class Site(shslib.Server):
    """A server of its own directory, `site`."""

    def __init__(self, *arguments, fill=make_site, **keywords):
        self.site_dir = shslib.temp_dir()
        self.site = self.site_dir.__enter__() + "/site"
        os.mkdir(self.site)
        fill(self.site)
        super().__init__("--plain", *arguments, self.site, **keywords)

    def close(self):
        super().close()
        self.site_dir.__exit__(None, None, None)


# -- ranges ---------------------------------------------------------------------------------------


def test_single_ranges():
    with Site("--log", "none") as server:
        size = len(DATA)
        for spec, first, last in (("0-0", 0, 0), ("0-999", 0, 999), ("500-", 500, size - 1),
                                  ("-1", size - 1, size - 1), ("-70000", size - 70000, size - 1),
                                  ("99999-200000", 99999, 99999), ("1000-89999", 1000, 89999),
                                  ("0-10,5-20", 0, 20)):
            status, headers, body = server.get("/data.bin", {"Range": "bytes=" + spec})
            equal(status, 206, spec)
            equal(headers["Content-Range"], "bytes %d-%d/%d" % (first, last, size), spec)
            equal(headers["Content-Length"], str(last - first + 1), spec)
            check(body == DATA[first:last + 1], spec + ": other bytes")
            check(headers["ETag"] and headers["Last-Modified"] and headers["Content-Type"], spec)
        status, headers, _ = server.get("/data.bin", {"Range": "bytes=%d-" % size})
        equal(status, 416)
        equal(headers["Content-Range"], "bytes */%d" % size)
        for ignored in ("bytes=a-b", "lines=0-1", "bytes=9-1", "bytes=" + ",".join(["0-0"] * 17)):
            status, headers, body = server.get("/data.bin", {"Range": ignored})
            equal((status, len(body), headers["Content-Range"]), (200, size, None), ignored)
        equal(server.get("/empty.txt", {"Range": "bytes=0-"})[0], 200)
        status, headers, body = server.request("HEAD", "/data.bin", headers={"Range": "bytes=0-9"})
        equal((status, headers["Content-Length"], body), (200, str(size), b""), "HEAD has no range")
        equal(server.get("/data.bin")[1]["Accept-Ranges"], "bytes")


def test_multiple_ranges():
    with Site("--log", "none") as server:
        size = len(DATA)
        status, headers, body = server.get(
            "/data.bin", {"Range": "bytes=90000-90009, 0-4, 10000-79999, -7"})
        equal(status, 206)
        check(headers["Content-Type"].startswith("multipart/byteranges; boundary="), "its type")
        equal(headers["Content-Length"], str(len(body)))
        raw = body.split(b"\r\n--")
        equal(len(raw), 5, "parts and the end")
        boundary = headers["Content-Type"].split("=")[1].encode()
        wanted = [(90000, 90009), (0, 4), (10000, 79999), (size - 7, size - 1)]
        for part, (first, last) in zip(body.split(b"--" + boundary)[1:], wanted):
            head, data = part.split(b"\r\n\r\n", 1)
            check(b"Content-Range: bytes %d-%d/%d" % (first, last, size) in head, head)
            check(data[:-2] == DATA[first:last + 1], "bytes of part %d" % first)
        check(body.endswith(b"\r\n--" + boundary + b"--\r\n"), "the end")
        # Sixteen times the whole file is the whole file, once.
        status, headers, body = server.get(
            "/data.bin", {"Range": "bytes=" + ",".join("0-%d" % (99999 - i) for i in range(16))})
        equal((status, len(body)), (206, size))
        equal(headers["Content-Range"], "bytes 0-%d/%d" % (size - 1, size))


def test_if_range():
    with Site("--log", "none") as server:
        _, headers, _ = server.get("/data.bin")
        tag, date = headers["ETag"], headers["Last-Modified"]
        for value, status in ((tag, 206), ('"other"', 200), ("W/" + tag, 200), (date, 206),
                              ("Sun, 06 Nov 1994 08:49:37 GMT", 200), ("nonsense", 200)):
            got = server.get("/data.bin", {"Range": "bytes=0-9", "If-Range": value})
            equal((got[0], len(got[2])), (status, 10 if status == 206 else len(DATA)), value)
        # A date of this very second may be that of two different files.
        shslib.write_file(server.site + "/new.bin", b"x" * 100)
        for _ in range(10):  # until it was asked within the second
            os.utime(server.site + "/new.bin", None)
            made = os.stat(server.site + "/new.bin").st_mtime
            date = server.get("/new.bin")[1]["Last-Modified"]
            got = server.get("/new.bin", {"Range": "bytes=0-9", "If-Range": date})
            if time.time() < int(made) + 1:
                equal(got[0], 200, "If-Range with a date that is not a second old")
                break
        else:
            print("       no second was long enough for two requests: such a date was not asked for")


def test_preconditions():
    with Site("--log", "none") as server:
        _, headers, _ = server.get("/data.bin")
        tag, date = headers["ETag"], headers["Last-Modified"]
        old, new = "Sun, 06 Nov 1994 08:49:37 GMT", email.utils.formatdate(usegmt=True)
        for fields, status in (
                ({"If-Match": tag}, 200), ({"If-Match": "*"}, 200), ({"If-Match": '"x", ' + tag}, 200),
                ({"If-Match": '"x"'}, 412), ({"If-Match": "W/" + tag}, 412),
                ({"If-Unmodified-Since": date}, 200), ({"If-Unmodified-Since": new}, 200),
                ({"If-Unmodified-Since": old}, 412), ({"If-Unmodified-Since": "no date"}, 200),
                ({"If-Match": tag, "If-Unmodified-Since": old}, 200),  # If-Match decides alone
                ({"If-None-Match": tag}, 304), ({"If-None-Match": "W/" + tag}, 304),
                ({"If-None-Match": "*"}, 304), ({"If-None-Match": '"x"'}, 200),
                ({"If-Modified-Since": date}, 304), ({"If-Modified-Since": old}, 200),
                ({"If-None-Match": '"x"', "If-Modified-Since": date}, 200),
                ({"If-Match": '"x"', "If-None-Match": tag}, 412),  # the order of 13.2.2
                ({"If-None-Match": tag, "Range": "bytes=0-9"}, 304),
                ({"If-Match": '"x"', "Range": "bytes=0-9"}, 412),
                ({"If-Match": tag, "Range": "bytes=0-9"}, 206)):
            got = server.get("/data.bin", fields)
            equal(got[0], status, str(fields))
            if status == 304:
                equal((got[1]["ETag"], got[2], got[1]["Content-Length"]), (tag, b"", None))


# -- content codings ------------------------------------------------------------------------------


def decode(coding, body):
    if coding == "gzip":
        return gzip.decompress(body)
    if coding == "zstd" and shutil.which("zstd"):
        return subprocess.run(["zstd", "-dc"], input=body, stdout=subprocess.PIPE, check=True).stdout
    if coding == "br" and shutil.which("brotli"):
        return subprocess.run(["brotli", "-dc"], input=body, stdout=subprocess.PIPE, check=True).stdout
    return None  # nobody here who could tell


def curl_decodes(server, coding):
    """curl as the second opinion, where it knows the coding."""
    curl = shutil.which("curl")
    if not curl or coding not in subprocess.run([curl, "-V"], stdout=subprocess.PIPE).stdout.decode():
        return
    got = subprocess.run([curl, "-sS", "--compressed", "-m", "20", "-H", "Accept-Encoding: " + coding,
                          server.url + "/text.txt"], stdout=subprocess.PIPE, check=True).stdout
    check(got == TEXT, "curl --compressed, " + coding)


def test_compression_on_the_fly():
    with Site("--log", "none") as server:
        for coding in ("gzip", "br", "zstd"):
            status, headers, body = server.get("/text.txt", {"Accept-Encoding": coding})
            if coding != "gzip" and headers["Content-Encoding"] is None:
                continue  # not in this build
            equal((status, headers["Content-Encoding"]), (200, coding))
            equal(headers["Content-Length"], str(len(body)), coding)
            equal(headers["Vary"], "Accept-Encoding", coding)
            check(len(body) < len(TEXT) // 20, coding + " does not compress")
            check(decode(coding, body) in (TEXT, None), coding + ": other bytes")
            if coding == "br":
                curl_decodes(server, "br")
            tag = headers["ETag"]
            check(coding in tag, "each representation has a tag of its own: " + tag)
            again = server.get("/text.txt", {"Accept-Encoding": coding})
            check(again[2] == body and again[1]["ETag"] == tag, "the same bytes for the same tag")
            equal(server.get("/text.txt", {"Accept-Encoding": coding, "If-None-Match": tag})[0], 304)
            head = server.request("HEAD", "/text.txt", headers={"Accept-Encoding": coding})
            equal((head[1]["Content-Length"], head[2]), (str(len(body)), b""), "HEAD")
        plain = server.get("/text.txt", {"Accept-Encoding": "gzip;q=0"})
        equal((plain[1]["Content-Encoding"], plain[2] == TEXT, plain[1]["Vary"]),
              (None, True, "Accept-Encoding"))
        # What is compressed already, what is too small, and a part of a file are sent as they are.
        for path, fields in (("/data.bin", {}), ("/empty.txt", {}),
                             ("/text.txt", {"Range": "bytes=0-9"})):
            got = server.get(path, dict(fields, **{"Accept-Encoding": "gzip, br, zstd"}))
            equal(got[1]["Content-Encoding"], None, path)
        # A file that changes is another one.
        shslib.write_file(server.site + "/text.txt", TEXT + b"more\n" * 200)
        body = server.get("/text.txt", {"Accept-Encoding": "gzip"})[2]
        check(gzip.decompress(body).endswith(b"more\n"), "the old one from the cache")
    with Site("--log", "none", "--no-compress") as server:
        got = server.get("/text.txt", {"Accept-Encoding": "gzip, br, zstd"})
        equal((got[1]["Content-Encoding"], got[2] == TEXT), (None, True), "--no-compress")


def test_precompressed_siblings():
    with Site("--log", "none", "--no-compress") as server:
        when = 1600000000
        for end in ("br", "zst", "gz"):
            shslib.write_file(server.site + "/text.txt." + end, b"as if " + end.encode())
            os.utime(server.site + "/text.txt." + end, (when, when))
        for accept, coding, body in (("gzip", "gzip", b"as if gz"), ("br", "br", b"as if br"),
                                     ("zstd", "zstd", b"as if zst"),
                                     ("gzip, deflate, br, zstd", "br", b"as if br"),
                                     ("gzip, br;q=0.5", "gzip", b"as if gz"),
                                     ("deflate", None, TEXT), ("identity", None, TEXT)):
            status, headers, got = server.get("/text.txt", {"Accept-Encoding": accept})
            equal((status, headers["Content-Encoding"], got), (200, coding, body), accept)
            equal(headers["Content-Type"], "text/plain; charset=utf-8", accept)
            equal(headers["Vary"], "Accept-Encoding", accept)
        tags = {server.get("/text.txt", {"Accept-Encoding": a})[1]["ETag"]
                for a in ("gzip", "br", "zstd", "identity")}
        equal(len(tags), 4, "different tags")
        got = server.get("/text.txt", {"Accept-Encoding": "br", "Range": "bytes=3-4"})
        equal((got[0], got[2], got[1]["Content-Range"]), (206, b"if", "bytes 3-4/8"))
        # One that is older than its original is of another original.
        os.utime(server.site + "/text.txt.br", (when - 1, when - 1))
        equal(server.get("/text.txt", {"Accept-Encoding": "br"})[2], TEXT)
        # As a file of its own it is a file.
        equal(server.get("/text.txt.gz")[1]["Content-Type"], "application/gzip")
        # A sibling that leads out of the directory is none.
        os.unlink(server.site + "/text.txt.zst")
        os.symlink("/etc/hostname", server.site + "/text.txt.zst")
        equal(server.get("/text.txt", {"Accept-Encoding": "zstd"})[2], TEXT)


# -- pages ----------------------------------------------------------------------------------------


def test_listing_sorts():
    def fill(root):
        for name, size, when in (("a", 30, 300), ("b", 10, 200), ("C", 20, 100)):
            shslib.write_file(root + "/" + name, b"x" * size)
            os.utime(root + "/" + name, (when, when))

    with Site("--log", "none", fill=fill) as server:
        for query, order in (("", "abC"), ("?C=N;O=D", "Cba"), ("?C=S;O=A", "bCa"),
                             ("?C=S;O=D", "aCb"), ("?C=M;O=A", "Cba"), ("?C=M&O=D", "abC"),
                             ("?C=X", "abC")):
            status, _, body = server.get("/" + query)
            names = re.findall(rb'<td><a href="([^".?]+)">', body)
            equal((status, b"".join(names).decode()), (200, order), query)
        check(b"<script" not in body, "no JavaScript")


def test_index_listing_and_spa():
    def fill(root):
        shslib.write_file(root + "/start.html", "start")
        shslib.write_file(root + "/index.html", "index")
        shslib.write_file(root + "/app/main.js", "js")

    with Site("--log", "none", "--index", "start.html", "--index", "other.html", fill=fill) as server:
        equal(server.get("/")[2], b"start")
    with Site("--log", "none", "--no-listing", fill=fill) as server:
        equal(server.get("/")[2], b"index")
        equal(server.get("/app/")[0], 404)
    with Site("--log", "none", "--spa", fill=fill) as server:
        for path in ("/", "/users/7", "/app/", "/a/b/c/"):
            equal(server.get(path)[::2], (200, b"index"), path)
        equal(server.get("/app/main.js")[2], b"js")
        equal(server.get("/app/gone.js")[0], 404, "a missing script is not a page")
        equal(server.get("/v1.2", {"Accept": "text/html,*/*"})[2], b"index")
        for path in ("/.git/config", "/%2e%2e/x", "/a%00b"):
            check(server.get(path)[2] != b"index" or path == "/%2e%2e/x", path)


def test_cors():
    with Site("--log", "none", "--cors") as server:
        status, headers, _ = server.get("/text.txt", {"Origin": "https://app.example"})
        equal((status, headers["Access-Control-Allow-Origin"]), (200, "*"))
        equal(server.get("/gone")[1]["Access-Control-Allow-Origin"], "*", "on a 404 too")
        status, headers, body = server.request("OPTIONS", "/text.txt", headers={
            "Origin": "https://app.example", "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "x-one, range"})
        equal((status, body, headers["Access-Control-Allow-Methods"],
               headers["Access-Control-Allow-Headers"], headers["Access-Control-Allow-Origin"]),
              (204, b"", "GET", "x-one, range", "*"))
        refused = server.request("OPTIONS", "/text.txt", headers={
            "Origin": "https://app.example", "Access-Control-Request-Method": "PUT"})
        equal((refused[0], refused[1]["Access-Control-Allow-Methods"]), (204, None))
        plain = server.request("OPTIONS", "/text.txt")
        equal((plain[0], plain[1]["Allow"]), (204, "GET, HEAD, OPTIONS"))
    with Site("--log", "none", "--cors=https://app.example") as server:
        equal(server.get("/text.txt")[1]["Access-Control-Allow-Origin"], "https://app.example")
    with Site("--log", "none") as server:
        equal(server.get("/text.txt")[1]["Access-Control-Allow-Origin"], None)


# -- uploads --------------------------------------------------------------------------------------


def names_in(directory):
    return sorted(os.listdir(directory))


def test_put():
    with Site("--log", "none", "--upload", "--max-upload", "200k") as server:
        before = names_in(server.site)
        status, headers, _ = server.request("PUT", "/new.bin", body=DATA)
        equal(status, 201)
        equal(server.get("/new.bin")[2], DATA)
        tag = headers["ETag"]
        equal(server.get("/new.bin")[1]["ETag"], tag)
        equal(server.request("PUT", "/new.bin", body=b"second")[0], 204)
        equal(server.get("/new.bin")[2], b"second")
        equal(server.request("PUT", "/e.txt", body=b"")[0], 201)
        equal(server.get("/e.txt")[2], b"")
        # Preconditions: not over somebody else's change, and not over anything.
        equal(server.request("PUT", "/new.bin", b"x", {"If-Match": tag})[0], 412)
        equal(server.request("PUT", "/new.bin", b"x", {"If-None-Match": "*"})[0], 412)
        equal(server.request("PUT", "/none.bin", b"x", {"If-Match": "*"})[0], 412)
        tag = server.get("/new.bin")[1]["ETag"]
        equal(server.request("PUT", "/new.bin", b"third", {"If-Match": tag})[0], 204)
        # What cannot be stored.
        for path, status in (("/gone/a", 409), ("/.hidden", 403), ("/dir/", 409), ("/", 409),
                             ("/a%2fb", 403), ("/a%00", 403), ("/" + "x" * 300, 400),
                             ("/text.txt/x", 409)):
            equal(server.request("PUT", path, body=b"x")[0], status, path)
        os.mkdir(server.site + "/dir")
        equal(server.request("PUT", "/dir", body=b"x")[0], 409)
        equal(server.request("PUT", "/dir/../up.txt", body=b"x")[0], 201)
        check(os.path.exists(server.site + "/up.txt"), "dot segments end at the root")
        # Out of the root: by a link of a directory, or of a file.
        outside = os.path.dirname(server.site)
        os.symlink(outside, server.site + "/out")
        os.symlink(outside + "/target", server.site + "/link")
        equal(server.request("PUT", "/out/x", body=b"x")[0], 409)
        equal(server.request("PUT", "/link", body=b"x")[0], 403)
        equal(names_in(outside), ["site"], "nothing outside")
        # Bounds, parts and codings.
        equal(server.request("PUT", "/big", body=b"x" * 204801)[0], 413)
        got = server.raw(b"PUT /big HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
                         b"8000\r\n" + b"x" * 0x8000 + b"\r\n" + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 7 +
                         b"0\r\n\r\n")
        equal(got.split(b"\r\n")[0], b"HTTP/1.1 413 Content Too Large")
        equal(server.request("PUT", "/p", b"x", {"Content-Range": "bytes 0-0/2"})[0], 400)
        equal(server.request("PUT", "/p", b"x", {"Content-Encoding": "gzip"})[0], 415)
        check(not any(n.startswith(".") or n in ("big", "p") for n in names_in(server.site)),
              names_in(server.site))
        # Cut off in the middle: neither the old file is touched nor a new one left.
        for name in ("text.txt", "cut.bin"):
            with server.connect() as sock:
                sock.sendall(b"PUT /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 150000\r\n\r\n" %
                             name.encode() + b"x" * 120000)
        equal(server.get("/cut.bin")[0], 404)
        # A file without a name, where the system has that; else a hidden one.
        shslib.wait_until(lambda: not [n for n in server.open_files() + names_in(server.site)
                                       if n.startswith((".shs", server.site + "/"))], 10, "the uploads to be cut off")
        equal(server.get("/text.txt")[2], TEXT)
        check("cut.bin" not in names_in(server.site), "a half file")
        check(set(before) <= set(names_in(server.site)), "files are gone")
    with Site("--log", "none") as server:
        equal(server.request("PUT", "/x", body=b"x")[0], 501, "without --upload")
        equal(server.request("POST", "/", body=b"x")[0], 501, "without --upload")


def form(files, boundary="xYzZY"):
    body = b""
    for name, data in files:
        body += (b"--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s\"\r\n"
                 b"Content-Type: application/octet-stream\r\n\r\n" % (boundary.encode(), name.encode()))
        body += data + b"\r\n"
    body += b"--%s--\r\n" % boundary.encode()
    return body, {"Content-Type": "multipart/form-data; boundary=" + boundary}


def test_form_upload():
    with Site("--log", "none", "--upload", "--max-upload", "1m") as server:
        os.mkdir(server.site + "/in")
        body, fields = form([("a.bin", DATA), ("b c.txt", b"two"), ("../../evil.sh", b"three")])
        status, headers, text = server.request("POST", "/in/", body, fields)
        equal((status, headers["Location"]), (201, "/in/"))
        names = text.decode().splitlines()
        equal(sorted(names), names_in(server.site + "/in"))
        equal(len(names), 3)
        equal(server.get("/in/a.bin")[2], DATA)
        equal(names_in(os.path.dirname(server.site)), ["site"], "nothing outside")
        # A name that is taken is not replaced.
        body, fields = form([("a.bin", b"other")])
        status, _, text = server.request("POST", "/in/", body, fields)
        equal((status, text), (201, b"a-1.bin\n"))
        equal(server.get("/in/a.bin")[2], DATA)
        equal(server.get("/in/a-1.bin")[2], b"other")
        # A browser comes back to the listing, which has the form.
        status, headers, _ = server.request("POST", "/in/", body,
                                            dict(fields, Accept="text/html,*/*"))
        equal((status, headers["Location"]), (303, "/in/"))
        check(b'type="file"' in server.get("/in/")[2], "the form")
        # All or none: the second file is cut off, too large, or the form is broken.
        count = len(names_in(server.site + "/in"))
        body, fields = form([("one.txt", b"1"), ("two.txt", b"2" * 1200000)])
        equal(server.request("POST", "/in/", body, fields)[0], 413)
        body, fields = form([("one.txt", b"1"), ("two.txt", b"2" * 500)])
        equal(server.request("POST", "/in/", body[:-300], fields)[0], 400)
        equal(server.request("POST", "/in/", b"--xYzZY--\r\n", fields)[0], 400, "no file at all")
        equal(server.request("POST", "/in/", b"a=1",
                             {"Content-Type": "application/x-www-form-urlencoded"})[0], 415)
        equal(len(names_in(server.site + "/in")), count, "nothing half-written")
        # A form of another site's page.
        body, fields = form([("evil.html", b"x")])
        for field, value in (("Origin", "https://evil.example"), ("Origin", "null"),
                             ("Sec-Fetch-Site", "cross-site")):
            equal(server.request("POST", "/in/", body, dict(fields, **{field: value}))[0], 403, value)
        host = "localhost:%d" % server.port
        equal(server.request("POST", "/in/", body, dict(fields, Origin="http://" + host))[0], 201)
        equal(server.request("POST", "/in", body, fields)[0], 405)
        equal(server.request("POST", "/gone/", body, fields)[0], 404)


def test_disk_full():
    """A file larger than the process may write: 507, and nothing is left."""
    prefix = ("prlimit", "--fsize=65536:65536")
    if not shutil.which("prlimit"):
        return
    # SIGXFSZ would end the process: like any shell's child it inherits what Python ignores.
    with Site("--log", "none", "--upload", prefix=prefix) as server:
        got = server.request("PUT", "/large", body=b"x" * 100000)
        equal(got[0], 507)
        check("large" not in names_in(server.site), "half a file")
        equal(server.request("PUT", "/fits", body=b"x" * 60000)[0], 201)


# -- passwords ------------------------------------------------------------------------------------


def login(user, password):
    return {"Authorization": "Basic " + base64.b64encode(
        ("%s:%s" % (user, password)).encode()).decode()}


def hashed(kind, password):
    """A line of crypt(5), by a program that is not ours. (bcrypt is in tests/unit/test_password.c.)"""
    return subprocess.run(["openssl", "passwd", kind, "-stdin"], input=password.encode(),
                          stdout=subprocess.PIPE, check=True).stdout.decode().strip()


def test_auth():
    with shslib.temp_dir() as root:
        users = root + "/users"
        shslib.write_file(users, "# users\nann:%s\nbob:%s\n" % (
            hashed("-6", "secret: of ann"), hashed("-5", "b\u00f6b")))
        with Site("--auth-file", users, "--cors") as server:
            status, headers, _ = server.get("/text.txt")
            equal((status, headers["WWW-Authenticate"]), (401, 'Basic realm="shs", charset="UTF-8"'))
            equal(server.get("/gone")[0], 401, "what is there is not told either")
            for _ in range(3):
                equal(server.get("/text.txt", login("ann", "secret: of ann"))[2], TEXT)
            equal(server.get("/text.txt", login("bob", "b\u00f6b"))[0], 200)
            for fields in (login("ann", "b\u00f6b"), login("ann", ""), login("", ""), login("eve", "x"),
                           login("ann", "secret: of ann "), {"Authorization": "Basic"},
                           {"Authorization": "Basic !!!!"}, {"Authorization": "Basic YW5u"},
                           {"Authorization": "Bearer abc"}):
                equal(server.get("/text.txt", fields)[0], 401, str(fields))
            got = server.raw(b"GET /text.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + b"".join(
                b"Authorization: %s\r\n" % login("ann", p)["Authorization"].encode()
                for p in ("secret: of ann", "x")) + b"\r\n")
            check(got.startswith(b"HTTP/1.1 401 "), "two Authorization fields are a doubt")
            preflight = server.request("OPTIONS", "/text.txt", headers={
                "Origin": "https://app.example", "Access-Control-Request-Method": "GET"})
            equal(preflight[0], 204, "browsers ask without a password")
            server.get("/gone", login("ann", "secret: of ann"))
            # Who was let in is in the log; who only said a name is not.
            server.wait_stderr(r'^127\.0\.0\.1 - ann \[[^]]+\] "GET /gone HTTP/1\.1" 404 ')
            server.wait_stderr(r'^127\.0\.0\.1 - bob \[')  # an earlier one's line may be later
            users_said = set(re.findall(r'^127\.0\.0\.1 - (\S+) \[', server.stderr, re.MULTILINE))
            equal(users_said, {"-", "ann", "bob"}, "users in the log")
            check(not re.search(r'- (?!-)\S+ \[[^]]+\] "[^"]*" 401 ', server.stderr), "a user at a 401")
        for style, wanted in (("common", r'^127\.0\.0\.1 - ann \[.* 200 \d+$'), ("json", r'"user":"ann"')):
            with Site("--auth-file", users, "--log", style) as server:
                equal(server.get("/text.txt", login("ann", "secret: of ann"))[0], 200)
                server.wait_stderr(wanted)
        for text, words in (("", "no user"), ("ann:plain\n", "line 1"), ("\nann\n", "line 2")):
            shslib.write_file(users, text)
            got = subprocess.run([shslib.BIN, "serve", "--plain", "--port", "0", "--auth-file", users],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30 * shslib.SLOWNESS)
            equal(got.returncode, 2, text)
            check(words in got.stderr.decode(), got.stderr)


def test_errors_keep_the_connection():
    """A browser that meets a 404 asks on; so it does after other errors whose request was read."""
    with Site("--log", "none", "--upload") as server, server.connect() as sock:
        for request, status in ((b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n", 404),
                                (b"HEAD /gone HTTP/1.1\r\nHost: a\r\n\r\n", 404),
                                (b"GET /%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", 404),
                                (b"GET /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 404),
                                (b"PUT /no/such/place HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 409),
                                (b"GET /text.txt HTTP/1.1\r\nHost: a\r\n\r\n", 200)):
            sock.sendall(request)
            line, headers, _, _ = shslib.read_response(sock, method=request.split()[0].decode())
            equal((int(line.split()[1]), headers.get("connection")), (status, None), str(request))
        # What nobody reads to its end ends the connection.
        sock.sendall(b"GET /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nx")
        line, headers, _, _ = shslib.read_response(sock)
        equal((int(line.split()[1]), headers.get("connection")), (404, "close"), "a long body that nobody reads")


# -- logs -----------------------------------------------------------------------------------------


def test_auth_under_load():
    """A page's first requests come at once; guessers slow nobody but themselves down."""
    with shslib.temp_dir() as root:
        users = root + "/users"
        slow = subprocess.run(["openssl", "passwd", "-6", "-salt", "rounds=100000$abcdefgh", "good"],
                              stdout=subprocess.PIPE, check=True).stdout.decode().strip()
        shslib.write_file(users, "ann:%s\n" % (slow if slow.startswith("$6$rounds=") else hashed("-6", "good")))
        with Site("--auth-file", users) as server:
            got, over = [], threading.Event()

            def visit(count, fields, seen):
                for _ in range(count):
                    seen.append(server.get("/text.txt", fields, seconds=60)[0])

            def guess(number):
                guesses = 0
                while not over.is_set():
                    guesses += 1
                    server.get("/text.txt", login("ann", "%d-%d" % (number, guesses)), seconds=60)

            first = [threading.Thread(target=visit, args=(1, login("ann", "good"), got)) for _ in range(6)]
            for thread in first:
                thread.start()
            for thread in first:
                thread.join()
            equal(got, [200] * 6, "the first requests of one user, at once")
        with Site("--auth-file", users) as server:
            seen, bad = [], [threading.Thread(target=guess, args=(n,)) for n in range(6)]
            for thread in bad:
                thread.start()
            try:
                visit(20, login("ann", "good"), seen)
            finally:
                over.set()
                for thread in bad:
                    thread.join()
            equal(seen, [200] * 20, "a good user beside six who guess")


def test_log_file_and_request_ids():
    with shslib.temp_dir() as root:
        log = root + "/access.log"
        with Site("--log", "json", "--log-file", log, "--request-id") as server:
            ids = [server.get("/text.txt")[1]["X-Request-Id"] for _ in range(3)]
            ids.append(server.get("/gone")[1]["X-Request-Id"])
            refused = server.raw(b"GET / HTTP/1.1\nHost: a\r\n\r\n")
            ids.append(re.search(rb"X-Request-Id: (\S+)", refused).group(1).decode())
            equal(len(set(ids)), 5, "ids are different")
            check(all(re.fullmatch(r"[0-9a-f]+-[0-9a-f]+-[0-9a-f]+", i) for i in ids), ids)
            lines = wait_for_lines(log, 6)  # five requests, and why one was refused
            requests = [line for line in lines if "status" in line]
            # A line is written when the answer is out: other connections may be earlier.
            equal(sorted(line["request_id"] for line in requests), sorted(ids))
            equal([line["rule"] for line in requests if line["status"] == 400], ["bare-lf"])
            check(any("[bare-lf]" in line.get("message", "") for line in lines), lines)
            for line in lines:
                check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", line["time"]), line)
                check("status" in line or line["level"] == "info", line)
            # Moved away, and opened again.
            os.rename(log, log + ".1")
            server.get("/text.txt")
            equal(len(wait_for_lines(log + ".1", 7)), 7)
            server.signal(signal.SIGUSR1)
            shslib.wait_until(lambda: os.path.exists(log), 10, "the log file to be opened again")
            server.get("/data.bin")
            equal(wait_for_lines(log, 1)[0]["target"], "/data.bin")
            equal(server.stderr, "", "nothing on stderr")
            # A pipe that nobody reads holds up nobody.
            os.unlink(log)
            os.mkfifo(log)
            server.signal(signal.SIGUSR1)
            equal(server.get("/text.txt")[0], 200)
        for file, why in ((root + "/no/such/file", b"No such file"), (log, b"nobody reads this pipe")):
            got = subprocess.run([shslib.BIN, "serve", "--plain", "--log-file", file],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30 * shslib.SLOWNESS)
            equal(got.returncode, 1)
            check(why in got.stderr, got.stderr)


def wait_for_lines(path, count):
    def lines():
        with open(path) as file:
            return shslib.whole_lines(file.read()).splitlines()

    shslib.wait_until(lambda: len(lines()) >= count, 10, "%d lines in the log" % count)
    return [json.loads(line) for line in lines()]


def test_tls_in_the_log():
    with shslib.temp_dir() as root:
        shslib.write_file(root + "/a.txt", "a")
        with shslib.Server("--log", "json", root) as server:
            server.get("/a.txt")
            server.wait_stderr(r'"tls_version":"TLSv1\.3","tls_cipher":"TLS_[A-Z0-9_]+","sni":"localhost"')


# -- curl -----------------------------------------------------------------------------------------


def test_curl():
    """Resumes, ranges, uploads, compresses: as people do it."""
    curl = shutil.which("curl")
    if not curl:
        return

    def run(*arguments, stdin=b""):
        done = subprocess.run([curl, "-sS", "-m", str(30 * shslib.SLOWNESS), *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, input=stdin)
        equal(done.returncode, 0, "curl %s: %s" % (" ".join(arguments), done.stderr))
        return done.stdout

    with Site("--log", "none", "--upload") as server, shslib.temp_dir() as work:
        shslib.write_file(work + "/part", DATA[:30000])
        said = "%{http_code} %{size_download}"
        equal(run("-C", "-", "-o", work + "/part", "-w", said, server.url + "/data.bin"),
              b"206 %d" % (len(DATA) - 30000), "curl -C - fetches what is missing")
        with open(work + "/part", "rb") as file:
            check(file.read() == DATA, "curl -C - has other bytes")
        check(run("-r", "100-199", server.url + "/data.bin") == DATA[100:200], "curl -r")
        check(run("-r", "-50", server.url + "/data.bin") == DATA[-50:], "curl -r, the end")
        parts = run("-r", "0-9,100-109", server.url + "/data.bin")
        check(DATA[:10] in parts and DATA[100:110] in parts and parts.count(b"Content-Range: ") == 2, "curl -r, two")
        check(run("--compressed", server.url + "/text.txt") == TEXT, "curl --compressed")
        code, size = run("--compressed", "-o", "/dev/null", "-w", said, server.url + "/text.txt").split()
        check(code == b"200" and int(size) < len(TEXT) / 2, "curl --compressed: %s bytes came" % size)
        # A pipe has no length: chunks. And a file that is there is replaced.
        for content in (b"first", DATA):
            run("-f", "-T", "-", server.url + "/from-a-pipe", stdin=content)
            check(run("-f", server.url + "/from-a-pipe") == content, "curl -T -")
        shslib.write_file(work + "/up.bin", DATA)
        run("-f", "-T", work + "/up.bin", server.url + "/")
        run("-f", "-F", "file=@" + work + "/up.bin", server.url + "/")
        for name in ("/up.bin", "/up-1.bin"):
            check(run("-f", server.url + name) == DATA, "curl uploaded " + name)
        tag = work + "/etag"
        run("--etag-save", tag, "-o", "/dev/null", server.url + "/data.bin")
        code = run("--etag-compare", tag, "-o", work + "/none", "-w", "%{http_code}",
                   server.url + "/data.bin")
        equal(code, b"304", "curl --etag-compare")


shslib.main(test_single_ranges, test_multiple_ranges, test_if_range, test_preconditions,
            test_compression_on_the_fly, test_precompressed_siblings, test_listing_sorts,
            test_index_listing_and_spa, test_cors, test_put, test_form_upload, test_disk_full,
            test_errors_keep_the_connection, test_auth, test_auth_under_load, test_log_file_and_request_ids, test_tls_in_the_log,
            test_curl)
