"""SimpleHTTPRequestHandler's ways (H56 to H74), asked over a socket of the command."""

import contextlib
import email.utils
import html
import os
import shutil
import socket
import threading
import time
import urllib.parse

import shslib
from shslib import check, equal

ODD_NAMES = [b"plain.txt", b"a b.txt", b"q?.txt", b"f#.txt", b"&amp;.txt", b"<i>.txt", b'"dq".txt',
             b"'sq'.txt", b"%A4.txt", b"\xc3\xa4.txt", b"undecodable\xff\xa4.txt", b"+plus;.txt",
             b"back\\slash.txt", b"colon:.txt", b"UPPER.TXT"]


def make_site(root):
    shslib.write_file(root + "/index.html", "<!DOCTYPE html><title>index</title>")
    shslib.write_file(root + "/hello.txt", "hello, world\n")
    shslib.write_file(root + "/empty.txt", "")
    shslib.write_file(root + "/small.bin", shslib.pattern(16384))
    shslib.write_file(root + "/medium.bin", shslib.pattern(16385))
    shslib.write_file(root + "/large.bin", shslib.pattern(3000000))
    for name in ("a.gz", "a.Z", "a.bz2", "a.xz", "a.json", "a.unknown", "README"):
        shslib.write_file(root + "/types/" + name, "x")
    shslib.write_file(root + "/htm/index.htm", "htm")
    os.makedirs(root + "/odd/index.html")  # a directory of that name is not an index page
    for name in ODD_NAMES:
        with open(os.fsencode(root) + b"/odd/" + name, "wb") as file:
            file.write(b"content of " + name)
    os.makedirs(root + "/empty")
    shslib.write_file(root + "/.secret", "hidden")
    shslib.write_file(root + "/.git/config", "hidden")
    shslib.write_file(root + "/odd/.hidden", "hidden")
    shslib.write_file(root + "/.well-known/security.txt", "Contact: mailto:x@example.org\n")
    os.makedirs(root + "/links/dir")
    os.symlink("../hello.txt", root + "/links/inside")
    os.symlink("dir", root + "/links/insidedir")
    os.symlink("/etc/passwd", root + "/links/outside")
    os.symlink("/etc", root + "/links/outsidedir")
    os.symlink("../../..", root + "/links/up")
    os.symlink("gone", root + "/links/dangling")
    os.symlink("loop", root + "/links/loop")
    os.mkfifo(root + "/fifo")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(root + "/socket")


@contextlib.contextmanager
def serving(*arguments):
    with shslib.temp_dir() as root:
        site = root + "/site"
        os.mkdir(site)
        make_site(site)
        shslib.write_file(root + "/outside.txt", "not yours")
        with shslib.Server("--plain", "--log", "none", *arguments, site) as server:
            server.site = site
            yield server


def status_of(server, target):
    return server.get(target)[0]


def test_H57_get_and_head():
    with serving() as server:
        for name in ("hello.txt", "empty.txt", "small.bin", "medium.bin", "large.bin"):
            with open(server.site + "/" + name, "rb") as file:
                want = file.read()
            status, headers, body = server.get("/" + name)
            equal(status, 200, name)
            check(body == want, name + ": another body")
            equal(headers["Content-Length"], str(len(want)), name)
            head_status, head_headers, head_body = server.request("HEAD", "/" + name)
            equal(head_status, 200, "HEAD " + name)
            equal(head_body, b"", "HEAD " + name)
            for field in ("Content-Length", "Content-Type", "Last-Modified", "ETag"):
                equal(head_headers.get_all(field), headers.get_all(field), "HEAD " + field)
                equal(len(headers.get_all(field)), 1, field)
            for field in ("Date", "Server"):
                equal(len(headers.get_all(field)), 1, field)


def test_keep_alive_after_each_kind():
    with serving() as server, server.connect() as sock:
        rest = b""
        for target, want in (("/hello.txt", 200), ("/large.bin", 200), ("/odd", 301), ("/odd/", 200),
                             ("/empty.txt", 200), ("/", 200)):
            sock.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target.encode())
            line, _, _, rest = shslib.read_response(sock, start=rest)
            equal(int(line.split()[1]), want, target)
        sock.sendall(b"HEAD /large.bin HTTP/1.1\r\nHost: x\r\n\r\nGET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        line, headers, _, rest = shslib.read_response(sock, start=rest, method="HEAD")
        equal(headers["content-length"], "3000000")
        equal(shslib.read_response(sock, start=rest)[2], b"hello, world\n")


def test_methods():
    with serving() as server:
        for method in ("POST", "PUT", "DELETE", "FOO", "get"):
            equal(server.request(method, "/hello.txt")[0], 501, method)


def test_H56_types():
    want = {"/index.html": "text/html; charset=utf-8", "/hello.txt": "text/plain; charset=utf-8",
            "/types/a.gz": "application/gzip", "/types/a.Z": "application/octet-stream",
            "/types/a.bz2": "application/x-bzip2", "/types/a.xz": "application/x-xz",
            "/types/a.json": "application/json", "/types/a.unknown": "application/octet-stream",
            "/types/README": "application/octet-stream"}
    with serving() as server:
        for target, kind in want.items():
            equal(server.get(target)[1]["Content-Type"], kind, target)


def test_H58_H64_not_found():
    with serving() as server:
        for target in ("/nothing", "/nothing/", "/hello.txt/", "/hello.txt%2f", "/hello.txt%2F",
                       "/hello.txt/x", "/types%2fREADME", "/hello.txt%00", "/%00", "/fifo", "/socket",
                       "/fifo/", "/" + "x" * 300, "/" + "x/" * 2040):
            status, headers, body = server.get(target)
            equal(status, 404, target)
            equal(int(headers["Content-Length"]), len(body), target)
            check(b"File not found" in body, target)
        equal(server.request("HEAD", "/nothing")[0], 404)
        check(status_of(server, "/%zz") == 400, "a malformed escape is a bad request")


def test_H21_H59_H61_directory_redirect():
    cases = {"/types": "/types/", "/types?a=1&b=%2f": "/types/?a=1&b=%2f", "/odd?": "/odd/?",
             "//types": "/types/", "///types?x": "/types/?x", "/types/../odd": "/types/../odd/",
             "/%74ypes": "/%74ypes/", "http://other.example/types?q": "http://other.example/types/?q"}
    with serving() as server:
        for target, location in cases.items():
            status, headers, body = server.get(target, {"Host": "other.example"})
            equal(status, 301, target)
            equal(headers["Location"], location, target)
            equal(headers["Content-Length"], "0", target)
            equal(body, b"")
        # No answer, whatever is asked, sends a browser to another host.
        for target in ("//evil.example/..", "//evil.example/%2e%2e", "///evil.example/../types",
                       "/\\evil.example/..", "/%5cevil.example/..", "//evil.example%2f.."):
            status, headers, _ = server.get(target)
            location = headers["Location"]
            if location is not None:
                check(location.startswith("/") and location[1:2] not in ("/", "\\"), location)
                joined = urllib.parse.urljoin("https://this.example/", location.replace("\\", "/"))
                equal(urllib.parse.urlsplit(joined).netloc, "this.example", target)


def test_H62_index_pages():
    with serving() as server:
        equal(server.get("/")[2], b"<!DOCTYPE html><title>index</title>")
        equal(server.get("/?query")[0], 200)
        equal(server.get("/htm/")[2], b"htm")
        equal(server.get("/htm/")[1]["Content-Type"], "text/html; charset=utf-8")
        equal(server.get("/htm%2f")[2], b"htm")
        status, _, body = server.get("/odd/")
        equal(status, 200)
        check(b"<title>Directory listing for /odd/</title>" in body, "a directory index.html is not an index page")


def test_H72_dot_segments_and_hidden():
    with serving() as server:
        for target in ("/types/../hello.txt", "/./hello.txt", "/../hello.txt", "/../../hello.txt",
                       "/%2e%2e/hello.txt", "/types/%2E%2E/hello.txt", "//hello.txt", "/types//../hello.txt"):
            equal(server.get(target)[2], b"hello, world\n", target)
        for target in ("/../outside.txt", "/%2e%2e/outside.txt", "/..%2foutside.txt",
                       "/types/../../outside.txt", "/%252e%252e/outside.txt", "/links/up/outside.txt",
                       "/.secret", "/%2esecret", "/.git/config", "/.git/", "/odd/.hidden", "/..."):
            status, _, body = server.get(target)
            equal(status, 404, target)
            check(b"not yours" not in body and b"hidden" not in body, target)
        equal(status_of(server, "/.well-known/security.txt"), 200)
        equal(status_of(server, "/types/.well-known/security.txt"), 404)


def test_H75_links():
    with serving() as server:
        equal(server.get("/links/inside")[2], b"hello, world\n")
        equal(server.get("/links/insidedir")[1]["Location"], "/links/insidedir/")
        for name in ("outside", "outsidedir/passwd", "outsidedir/", "outsidedir", "dangling", "loop",
                     "up/"):
            equal(status_of(server, "/links/" + name), 404, name)
        body = server.get("/links/")[2].decode()
        for part in ('href="inside">inside@</a>', 'href="insidedir/">insidedir@</a>',
                     '<b>outside@</b>', '<b>outsidedir@</b>', '<b>dangling@</b>', 'href="dir/">dir/</a>'):
            check(part in body, part)


def test_rename_under_way_stays_inside():
    """A directory that is exchanged for a link to the outside, again and again, leaks nothing."""
    with serving() as server:
        path = server.site + "/race"
        shslib.write_file(path + "/outside.txt", "yours")
        stop, exchanges, faults = threading.Event(), [], []

        def exchange():
            try:
                while not stop.is_set():
                    os.rename(path, path + "-kept")
                    os.symlink("..", path)
                    os.unlink(path)
                    os.rename(path + "-kept", path)
                    exchanges.append(1)
            except OSError as fault:  # a thread's own would be printed, and pass
                faults.append(fault)

        thread = threading.Thread(target=exchange)
        thread.start()
        try:
            seen, asked = {}, 0
            deadline = shslib.Deadline(30, "a file that is sometimes there")
            # Who is stopped between two steps may be so for all of six hundred requests.
            while asked < 600 or not exchanges or not seen.get(200):
                deadline.left()
                asked += 1
                status, _, body = server.get("/race/outside.txt")
                check(b"not yours" not in body, "a file outside of the site")
                seen[status] = seen.get(status, 0) + 1
        finally:
            stop.set()
            thread.join()
        equal(faults, [], "the one who exchanges")
        check(set(seen) <= {200, 404}, "answers: %s" % seen)


def test_H65_H66_H67_listing():
    with serving() as server:
        status, headers, body = server.get("/odd/")
        equal(status, 200)
        equal(headers["Content-Type"], "text/html; charset=utf-8")
        equal(int(headers["Content-Length"]), len(body))
        equal(headers["Last-Modified"], None)
        page = body.decode("utf-8")  # strict: whatever the names are
        check("hidden" not in page, "a hidden name is listed")
        check("<script" not in page, "JavaScript")
        check('href="../">' in page, "no way to the parent")
        order = [page.index('href="%s"' % urllib.parse.quote(name, safe="")) for name in
                 sorted(ODD_NAMES, key=lambda name: name.lower())]
        equal(order, sorted(order), "sorted without case")
        for name in ODD_NAMES:
            shown = html.escape(name.decode("utf-8", "replace")).replace("&#x27;", "&#39;")
            if name == b"undecodable\xff\xa4.txt":
                shown = "undecodable\ufffd\ufffd.txt"
            check(">%s</a>" % shown in page, "%r is not shown as %s" % (name, shown))
            equal(server.get("/odd/" + urllib.parse.quote(name))[2], b"content of " + name)
        equal(server.request("HEAD", "/odd/")[1]["Content-Length"], headers["Content-Length"])
        equal(server.request("HEAD", "/odd/")[2], b"")
        page = server.get("/odd/?a=1")[2].decode()
        check('<h1>Directory listing for <a href="../">/</a>odd/</h1>' in page, "the heading without the query")
        check("This directory is empty" in server.get("/empty/")[2].decode(), "an empty directory")


def test_H68_H69_H70_H71_conditions():
    with serving() as server:
        os.utime(server.site + "/hello.txt", ns=(10**18, 1_700_000_000_123_456_789))
        _, headers, _ = server.get("/hello.txt")
        modified, etag = headers["Last-Modified"], headers["ETag"]
        equal(modified, email.utils.formatdate(1_700_000_000, usegmt=True))
        check(etag.startswith('"') and etag.endswith('"'), etag)

        def ask(want, **fields):
            fields = {name.replace("_", "-"): value for name, value in fields.items()}
            status, answer, body = server.get("/hello.txt", fields)
            equal(status, want, str(fields))
            equal(answer["ETag"], etag, str(fields))
            if want == 304:
                equal(body, b"", str(fields))
                equal(answer["Content-Type"], None, str(fields))
                equal(answer["Content-Length"], None, str(fields))
            equal(server.request("HEAD", "/hello.txt", headers=fields)[0], want, "HEAD %s" % fields)

        later = email.utils.formatdate(1_700_000_001, usegmt=True)
        earlier = email.utils.formatdate(1_699_999_999, usegmt=True)
        ask(304, If_Modified_Since=modified)
        ask(304, If_Modified_Since=later)
        ask(200, If_Modified_Since=earlier)
        ask(200, If_Modified_Since="soon")
        ask(200, If_Modified_Since="")
        ask(304, If_None_Match=etag)
        ask(304, If_None_Match='"x", W/%s' % etag)
        ask(304, If_None_Match="*")
        ask(200, If_None_Match='"x"')
        ask(200, If_None_Match='"x"', If_Modified_Since=later)
        ask(304, If_None_Match=etag, If_Modified_Since=earlier)
        shslib.write_file(server.site + "/hello.txt", "hello, World\n")
        os.utime(server.site + "/hello.txt", ns=(10**18, 1_700_000_000_123_456_790))
        equal(server.get("/hello.txt", {"If-None-Match": etag})[0], 200)


def test_H74_extra_headers():
    arguments = ("-H", "X-One: 1", "--header", "x-two:  two words \t", "-H", "Cache-Control: max-age=60",
                 "-H", "content-type: text/evil", "-H", "X-Empty:")
    with serving(*arguments) as server:
        for target in ("/hello.txt", "/large.bin", "/odd/", "/"):
            _, headers, _ = server.get(target)
            equal(headers.get_all("X-One"), ["1"], target)
            equal(headers.get_all("X-Two"), ["two words"], target)
            equal(headers.get_all("X-Empty"), [""], target)
            equal(len(headers.get_all("Content-Type")), 1, target)
            check("evil" not in headers["Content-Type"], target)
        for target in ("/nothing", "/odd"):
            equal(server.get(target)[1]["X-One"], None, target)
        etag = server.get("/hello.txt")[1]["ETag"]
        status, headers, _ = server.get("/hello.txt", {"If-None-Match": etag})
        equal(status, 304)
        equal(headers["Cache-Control"], "max-age=60")
        equal(headers["X-One"], None)


def test_growing_and_shrinking():
    """A file that changes while it is sent: never more than was said, never a silent end."""
    with serving() as server:
        path = server.site + "/small.bin"
        for size in (10, 0, 16384, 16385, 100000, 1):
            shslib.write_file(path, b"z" * size)
            _, headers, body = server.get("/small.bin")
            equal(len(body), size)


def test_a_change_is_seen_at_once():
    """Small files are kept, and one look at the file system serves all requests that were there: but
    who changes a file and then asks for it gets the new one, whatever else is asked for just then."""
    files, stop, faults = 60, threading.Event(), []

    class Client:
        """Keeps its connection, and makes another when the server ended it between two requests: a
        server without threads does so when somebody else waits (RFC 9112 section 9.3.1)."""

        def __init__(self, server):
            self.server, self.sock = server, server.connect()

        def body_of(self, number):
            for _ in range(100):
                try:
                    self.sock.sendall(b"GET /f%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
                    start = self.sock.recv(65536)
                except (BrokenPipeError, ConnectionResetError):
                    start = b""
                if start:
                    line, _, body, _ = shslib.read_response(self.sock, start=start)
                    equal(int(line.split()[1]), 200)
                    return body
                self.sock.close()
                self.sock = self.server.connect()
            raise shslib.Failure("100 connections were closed without an answer")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.sock.close()

    def change(path, content):
        """In place, and at once: as long as it was. (One that is cut short on its way to somebody ends his
        answer, as it should.)"""
        file = os.open(path, os.O_WRONLY)
        try:
            equal(os.pwrite(file, content, 0), len(content))
        finally:
            os.close(file)

    def hammer(server):
        try:
            with Client(server) as client:
                while not stop.is_set():
                    for number in range(files):
                        client.body_of(number)
        except Exception as fault:  # a thread's own would be printed, and pass
            faults.append(fault)

    with serving() as server:
        for number in range(files):
            shslib.write_file("%s/f%d" % (server.site, number), "old")
        time.sleep(1.1)  # what was just changed is not kept
        others = [threading.Thread(target=hammer, args=(server,)) for _ in range(6)]
        for other in others:
            other.start()
        try:
            with Client(server) as client:
                for number in range(files):
                    equal(client.body_of(number), b"old")
                    change("%s/f%d" % (server.site, number), b"new")
                    equal(client.body_of(number), b"new", "file %d" % number)
        finally:
            stop.set()
            for other in others:
                other.join()
        equal(faults, [])


def test_H63_unreadable():
    """H63, for somebody who is not root: a directory and files without permission."""
    with shslib.temp_dir() as root:
        os.chmod(root, 0o755)
        os.makedirs(root + "/no-list")
        os.makedirs(root + "/pages-only")
        os.makedirs(root + "/no-index")
        shslib.write_file(root + "/no-file.txt", "x")
        shslib.write_file(root + "/pages-only/index.html", "page")
        shslib.write_file(root + "/no-index/index.html", "page")
        os.chmod(root + "/no-list", 0)
        os.chmod(root + "/pages-only", 0o711)
        os.chmod(root + "/no-file.txt", 0)
        os.chmod(root + "/no-index/index.html", 0)
        prefix = ()
        if os.geteuid() == 0:
            prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
            if shutil.which("setpriv") is None or not reachable_by_others(shslib.BIN):
                print("skipped: root may read everything, and there is no way to be another user")
                return
        with shslib.Server("--plain", "--log", "none", root, prefix=prefix, cwd="/") as server:
            status, _, body = server.get("/no-list/")
            equal(status, 404)
            check(b"No permission to list directory" in body, body)
            for target in ("/no-file.txt", "/no-index/", "/no-list/x"):
                equal(status_of(server, target), 404, target)
            equal(server.get("/pages-only")[1]["Location"], "/pages-only/")
            equal(server.get("/pages-only/")[2], b"page")
            equal(server.get("/no-list")[0], 301)


def reachable_by_others(path):
    while path != "/":
        if not os.stat(path).st_mode & 0o001:
            return False
        path = os.path.dirname(path)
    return True


def test_H73_current_directory():
    with shslib.temp_dir() as root:
        shslib.write_file(root + "/here.txt", "here")
        with shslib.Server("--plain", cwd=root) as server:
            equal(server.get("/here.txt")[2], b"here")
            # The directory is the one that was opened, whatever is done to its name.
            os.rename(root, root + "-moved")
            try:
                equal(server.get("/here.txt")[2], b"here")
            finally:
                os.rename(root + "-moved", root)


def test_no_descriptor_is_left():
    with serving() as server:
        server.get("/hello.txt")
        for _ in range(3):
            for target in ("/hello.txt", "/large.bin", "/odd/", "/odd", "/links/", "/fifo", "/nothing"):
                server.get(target)
                server.request("HEAD", target)
            with server.connect() as sock:  # goes away in the middle of a file
                sock.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
                sock.recv(100)
        shslib.wait_until(lambda: not [name for name in server.open_files() if server.site + "/" in name],
                          10, "files to be closed")
        shslib.wait_until(lambda: server.descriptors() <= 20, 10, "connections to be closed")


def test_tls():
    with shslib.temp_dir() as root:
        make_site(root)
        with shslib.Server("--log", "none", root) as server:
            equal(server.scheme, "https")
            equal(server.get("/hello.txt")[2], b"hello, world\n")
            check(server.get("/large.bin")[2] == shslib.pattern(3000000), "another body")
            equal(server.get("/odd")[1]["Location"], "/odd/")


def ask(path):
    return b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % path


def asked_meanwhile(server, last):
    """The answers to what is asked while a large file is on its way, and the end that a half close is answered by."""
    with server.connect() as sock:
        sock.sendall(ask(b"hello.txt"))  # the socket was read empty once
        rest = shslib.read_response(sock)[3]
        for more in (1, 2):
            sock.sendall(ask(b"large.bin"))
            begun = rest + shslib.read_exactly(sock, 1000)
            time.sleep(0.1)  # it waits for room
            sock.sendall(ask(b"hello.txt") * more)
            if last and more == 2:
                time.sleep(0.1)
                sock.shutdown(socket.SHUT_WR)
            body, rest = shslib.read_response(sock, 10, begun)[2:]
            check(body == shslib.pattern(3000000), "another body")
            for _ in range(more):
                body, rest = shslib.read_response(sock, 10, rest)[2:]
                equal(body, b"hello, world\n")
        if last:
            equal(rest + shslib.read_all(sock), b"", "after the last answer")


def test_asked_while_a_file_is_on_its_way():
    with shslib.temp_dir() as root:
        make_site(root)
        for arguments in (("--plain",), (), ("--tls-records", "direct"), ("--plain", "--threading", "thread"),
                          ("--plain", "--threading", "fork"), ("--plain", "--threading", "none")):
            with shslib.Server("--log", "none", *arguments, root) as server:
                asked_meanwhile(server, "--plain" in arguments)


shslib.main(test_H57_get_and_head, test_keep_alive_after_each_kind, test_methods, test_H56_types,
            test_H58_H64_not_found, test_H21_H59_H61_directory_redirect, test_H62_index_pages, test_H72_dot_segments_and_hidden,
            test_H75_links, test_rename_under_way_stays_inside, test_H65_H66_H67_listing, test_H68_H69_H70_H71_conditions,
            test_H74_extra_headers, test_growing_and_shrinking, test_a_change_is_seen_at_once, test_H63_unreadable, test_H73_current_directory,
            test_no_descriptor_is_left, test_tls, test_asked_while_a_file_is_on_its_way)
