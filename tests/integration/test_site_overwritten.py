"""A file that somebody writes to while it is sent: no client takes half of the old and half of the new for a whole one."""

import os
import re

import shslib
from shslib import check, equal
import site_lab
from site_lab import rows

SIZE = 16 << 20  # more than the buffers of two sockets take
OLD, NEW = b"old line\n", b"new line\n"


def lines(line, size=SIZE):
    return (line * (size // len(line) + 1))[:size]


class Download:
    """An answer that is read in two halves, so that something can happen in between."""

    def __init__(self, site, target, version="1.1", **fields):
        self.sock, self.reset = site.server.connect(), False
        if site.server.scheme == "https":
            self.sock.suppress_ragged_eofs = False  # an end is one only with close_notify
        extra = "".join("%s: %s\r\n" % (name.replace("_", "-"), value) for name, value in fields.items())
        self.sock.sendall(("GET %s HTTP/%s\r\nHost: a\r\nConnection: close\r\n%s\r\n" % (target, version, extra)).encode())
        data = shslib.read_until(self.sock, b"\r\n\r\n")
        self.head, self.body = data.split(b"\r\n\r\n", 1)
        self.status = int(self.head.split()[1])
        found = re.search(rb"\r\nContent-Length: (\d+)", self.head)
        self.length = int(found.group(1)) if found else None

    def rest(self):
        """All that comes; a connection that is cut ends it."""
        parts = [self.body]
        try:
            while True:
                data = self.sock.recv(1 << 20)
                if not data:
                    break
                parts.append(data)
        except OSError:
            self.reset = True  # or TLS without its end: it is seen to be cut
        finally:
            self.sock.close()
        return b"".join(parts)


def overwrite(path, data):
    """As an editor or a build tool does that keeps the file."""
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()


def keep_time(path, data):
    st = os.stat(path)
    overwrite(path, data)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def append(path, data):
    with open(path, "ab") as file:
        file.write(data)


def replace(path, data):
    shslib.write_file(path + ".new", data)
    os.rename(path + ".new", path)


# What happens to the file, and what arrives: the whole of the old, or an answer that is seen to be cut.
CHANGES = [
    ("the same length", lambda path: overwrite(path, lines(NEW)), False),
    ("the same length, its time put back", lambda path: keep_time(path, lines(NEW)), False),
    ("shorter", lambda path: overwrite(path, lines(NEW, SIZE // 2)), False),
    ("longer", lambda path: overwrite(path, lines(NEW, 2 * SIZE)), False),
    ("one byte of its end", lambda path: overwrite(path, lines(OLD)[:-1] + b"!"), False),
    ("a log that grows", lambda path: append(path, lines(NEW, 100000)), True),
    ("another file under its name", lambda path: replace(path, lines(NEW)), True),
    ("gone", os.unlink, True),
    ("another name", lambda path: os.rename(path, path + ".1"), True),
    ("another mode", lambda path: os.chmod(path, 0o600), True),
]


def old_file(path):
    """Long ago: its tag is known, and its next change has another time."""
    shslib.write_file(path, lines(OLD))
    os.utime(path, (1600000000, 1600000000))


@site_lab.heavy
def test_overwritten_while_it_is_sent(v):
    with v.Site() as site:
        path = site.path + "/file.txt"
        for what, change, whole in CHANGES:
            old_file(path)
            download = Download(site, "/file.txt")
            equal((download.status, download.length), (200, SIZE), what)
            change(path)
            body = download.rest()
            if whole:
                check(body == lines(OLD), "%s: %d bytes arrived, of %d" % (what, len(body), SIZE))
            else:
                check(len(body) < SIZE, "%s: an answer of two files looks whole" % what)
        site.server.wait_stderr("a file was overwritten while it was sent. Write the new one beside it, and rename it")
        # And what is there now is served.
        site.write("file.txt", lines(NEW, 100000))
        equal(site.get("/file.txt")[2], lines(NEW, 100000))


@site_lab.heavy
def test_parts_of_an_overwritten_file(v):
    """Each part is of the file that its head speaks of, or the answer is cut."""
    with v.Site("--archive") as site:
        os.mkdir(site.path + "/dir")
        path = site.path + "/dir/file.txt"
        for target, fields in (("/dir/file.txt", {"Range": "bytes=100-%d" % (SIZE - 1)}),
                               ("/dir/file.txt", {"Range": "bytes=100-%d,%d-%d" % (SIZE - 200, SIZE - 100, SIZE - 1)}),
                               ("/dir/?archive=tar", {})):
            old_file(path)
            download = Download(site, target, **fields)
            check(download.status in (200, 206), target)
            overwrite(path, lines(NEW))
            body = download.rest()
            if download.length is not None:
                check(len(body) < download.length, "%s %r: %d of %d bytes" % (target, fields, len(body), download.length))
            else:
                check(not body.endswith(b"0\r\n\r\n"), "%s: the archive looks whole" % target)
            old_file(path)
            download = Download(site, target, **fields)
            append(path, b"one more line\n")
            body = download.rest()
            check(len(body) == download.length if download.length is not None else body.endswith(b"0\r\n\r\n"),
                  "%s %r: what grows arrives" % (target, fields))


@site_lab.heavy
def test_an_answer_without_a_length(v):
    """To an HTTP/1.0 client, as proxies are, the connection's end is the body's: there is none where it is cut."""
    with v.Site("--archive") as site:
        os.mkdir(site.path + "/dir")
        path = site.path + "/dir/file.txt"
        for change, cut in ((overwrite, True), (append, False)):
            old_file(path)
            download = Download(site, "/dir/?archive=tar", version="1.0")
            equal((download.status, download.length), (200, None))
            change(path, lines(NEW))
            download.rest()
            equal(download.reset, cut, "the end of an archive that is %swhole" % ("not " if cut else ""))


rows(test_overwritten_while_it_is_sent, test_parts_of_an_overwritten_file, test_an_answer_without_a_length)
