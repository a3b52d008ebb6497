"""Pages of the server's own, and what is made while somebody waits: listings, 404, archives, compression."""

import gzip
import io
import os
import re
import shutil
import subprocess
import tarfile
import threading
import time
import urllib.parse
import zipfile

import shslib
from shslib import check, equal
import site_lab
from site_lab import rows

TEXT = ("The quick brown fox jumps over the lazy dog.\n" * 400).encode()


def decoded(coding, body):
    if coding == "gzip":
        return gzip.decompress(body)
    tool = {"br": "brotli", "zstd": "zstd"}.get(coding)
    if coding is None or tool is None:
        return body
    if not shutil.which(tool):
        return None
    return subprocess.run([tool, "-dc"], input=body, stdout=subprocess.PIPE, check=True).stdout


# -- listings -------------------------------------------------------------------------------------


@site_lab.heavy
def test_a_long_listing(v):
    """Directories first, numbers as people count them, compressed, and with a filter."""
    def fill(top):
        for number in range(1, 5000):
            shslib.write_file("%s/file%d.txt" % (top, number), b"")
        for name in ("Zoo", "alpha2", "Alpha10"):
            os.mkdir(top + "/" + name)

    with v.Site("--upload", fill=fill) as site:
        _, fields, page = site.get("/")
        names = re.findall(rb'<td><a href="([^"]+)">', page)
        equal(names[:5], [b"alpha2/", b"Alpha10/", b"Zoo/", b"file1.txt", b"file2.txt"])
        equal(names[3:], [b"file%d.txt" % number for number in range(1, 5000)])
        down = re.findall(rb'<td><a href="([^"]+)">', site.get("/?C=N;O=D")[2])
        equal(down[:4], [b"Zoo/", b"Alpha10/", b"alpha2/", b"file4999.txt"])
        check(b'id="filter"' in page and page.index(b'id="upload"') < page.index(b"<table>"), "filter and form on top")
        equal(fields["Vary"], "Accept-Encoding")
        for coding in ("gzip", "br", "zstd"):
            status, fields, body = site.get("/", Accept_Encoding=coding)
            if coding != "gzip" and fields["Content-Encoding"] is None:
                continue  # not in this build
            equal((status, fields["Content-Encoding"], fields["Content-Length"]), (200, coding, str(len(body))))
            check(len(body) < len(page) // 8, "%s: %d of %d" % (coding, len(body), len(page)))
            check(decoded(coding, body) in (page, None), coding)
        equal(site.request("HEAD", "/")[1]["Content-Length"], str(len(page)))


@site_lab.heavy
def test_a_slow_reader_of_a_listing_holds_nobody(v):
    """Its page is larger than what the kernel takes for it, and it reads nothing."""
    def fill(top):
        for number in range(6000):
            shslib.write_file("%s/%s-%d" % (top, "n" * 200, number), b"")
        shslib.write_file(top + "/large.bin", bytes(1 << 20) * 12)

    threads = ("--threads", "1", "--max-threads", "2")
    if v.threading != "pool":
        threads = ()
    with v.Site(*threads, fill=fill) as site:
        slow = []
        try:
            for target, extra in ((b"/", b""), (b"/", b""), (b"/large.bin", b"Range: bytes=0-5999999,6000002-12000000\r\n"), (b"/", b"")):
                sock = site.server.connect()
                sock.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (target, extra))
                slow.append(sock)
                shslib.read_until(sock, b"\r\n\r\n")  # its answer has begun
            for _ in range(3):
                equal(site.get("/large.bin", Range="bytes=0-0")[0], 206, "somebody else is served")
        finally:
            for sock in slow:
                sock.close()


def test_hostile_names(v):
    names = ["<script>alert(1)</script>", "\u202egpj.exe", "a\"onmouseover=x", "&lt;", "new\nline"]
    with v.Site() as site:
        for name in names:
            site.write(name.replace("/", ":") + "/x", b"")
        page = site.get("/")[2].decode()
        check("<script" not in page and "\u202e" not in page and "[U+202E]gpj.exe/" in page and "new[U+000A]line" in page, page)
        for name in names:
            inside = site.get("/" + urllib.parse.quote(name.replace("/", ":")) + "/")[2].decode()
            for part in (re.search(r"<title>(.*?)</title>", inside, re.S).group(1), re.search(r"<h1>(.*?)</h1>", inside, re.S).group(1)):
                check("<script" not in part and "\u202e" not in part and '"onmouse' not in part, part)


# -- what is not there ------------------------------------------------------------------------------


def test_the_way_back(v):
    with v.Site() as site:
        site.write("docs/a.txt", b"a")
        html = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
        for path, back in (("/gone", "/"), ("/docs/gone", "/docs/"), ("/docs/gone/", "/docs/"), ("/docs/gone/deep/er", "/docs/"),
                           ("/x/y/z/", "/"), ("/docs/a.txt/b", "/docs/"), ("/.hidden", "/"), ("/docs/%00", None)):
            status, fields, page = site.get(path, **html)
            equal((status, fields["Content-Type"]), (404, "text/html; charset=utf-8"), path)
            check(b"File not found" in page, page)
            link = re.search(rb'<a href="([^"]*)"', page)
            target = urllib.parse.urljoin(path, link.group(1).decode()) if link else None
            if back is not None:
                equal(target, back, path)
            if target is not None:
                equal(site.get(target)[0], 200, path)
            equal(site.request("HEAD", path, **html)[0], 404)
        status, _, text = site.get("/gone")
        equal(status, 404)
        check(b"<a href" not in text, "a program has no use for a link")


# -- archives -------------------------------------------------------------------------------------


def make_tree(top):
    files = {"a.txt": TEXT, "empty": b"", "sub/deep/b.bin": shslib.pattern(100000), "n" * 120 + ".txt": b"long",
             "\u00e4\u65e5\u672c.txt": b"utf-8", "run.sh": b"#!/bin/sh\n", "exactly": bytes(32768), "block": bytes(512)}
    for name, data in files.items():
        shslib.write_file(top + "/docs/" + name, data)
    os.chmod(top + "/docs/run.sh", 0o755)
    os.mkdir(top + "/docs/nothing")
    shslib.write_file(top + "/docs/.hidden", "hidden")
    shslib.write_file(top + "/docs/.git/config", "hidden")
    os.symlink("a.txt", top + "/docs/link")
    os.symlink("/etc/passwd", top + "/docs/outside")
    os.mkfifo(top + "/docs/fifo")
    os.utime(top + "/docs/a.txt", (1700000000, 1700000000))
    return {"docs/" + name: data for name, data in files.items()}


def test_archives(v):
    with v.Site("--archive") as site:
        files = make_tree(site.path)
        directories = {"docs/", "docs/sub/", "docs/sub/deep/", "docs/nothing/"}
        status, fields, body = site.get("/docs/?archive=tar")
        equal((status, fields["Content-Type"]), (200, "application/x-tar"))
        equal(fields["Content-Disposition"], "attachment; filename=\"docs.tar\"; filename*=UTF-8''docs.tar")
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            found = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
            equal({m.name + "/" for m in tar if m.isdir()}, directories)
            equal((tar.getmember("docs/a.txt").mtime, tar.getmember("docs/run.sh").mode, tar.getmember("docs/a.txt").mode),
                  (1700000000, 0o755, 0o644))
            equal({m.type for m in tar}, {tarfile.REGTYPE, tarfile.DIRTYPE})
        equal(found, files)
        if shutil.which("tar"):
            listed = subprocess.run(["tar", "-tf", "-"], input=body, stdout=subprocess.PIPE, check=True).stdout
            check(b"docs/sub/deep/b.bin" in listed, listed)
        status, fields, body = site.get("/docs/?archive=zip")
        equal((status, fields["Content-Type"]), (200, "application/zip"))
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            equal(archive.testzip(), None)
            equal({i.filename: archive.read(i) for i in archive.infolist() if not i.is_dir()}, files)
            equal({i.filename for i in archive.infolist() if i.is_dir()}, directories)
            info = archive.getinfo("docs/a.txt")
            equal((info.date_time[:5], info.compress_size < info.file_size // 10), ((2023, 11, 14, 22, 13), True))
            equal(archive.getinfo("docs/run.sh").external_attr >> 16, 0o100755)
        if shutil.which("unzip"):
            shslib.write_file(site.top + "/a.zip", body)
            subprocess.run(["unzip", "-tq", site.top + "/a.zip"], check=True, stdout=subprocess.DEVNULL)
        # The root, a name that is not ASCII, HEAD, and what is not an archive.
        with tarfile.open(fileobj=io.BytesIO(site.get("/?archive=tar")[2])) as tar:
            check("files/docs/a.txt" in tar.getnames(), tar.getnames())
        os.mkdir(site.path + "/\u00e4 b")
        fields = site.get("/%C3%A4%20b/?archive=zip")[1]
        equal(fields["Content-Disposition"], "attachment; filename=\"___b.zip\"; filename*=UTF-8''%C3%A4%20b.zip")
        status, fields, body = site.request("HEAD", "/docs/?archive=zip")
        equal((status, fields["Content-Type"], body), (200, "application/zip", b""))
        for path in ("/docs/?archive=rar", "/docs/?archive=", "/docs/?x=archive=zip"):
            check(b"Directory listing" in site.get(path)[2], path)
        equal(site.get("/docs?archive=zip")[1]["Location"], "/docs/?archive=zip")
        equal(site.get("/gone/?archive=zip")[0], 404)
        check(b'href="?archive=zip"' in site.get("/docs/")[2], "the listing offers it")
        site.write("docs/index.html", b"a page")
        equal(site.get("/docs/?archive=zip")[2], b"a page", "what is not listed is not given away either")
    with v.Site() as site:
        make_tree(site.path)
        page = site.get("/docs/?archive=zip")[2]
        check(b"Directory listing" in page and b"archive=" not in page, "nobody asked for that")


def test_archives_of_names_that_are_not_utf8(v):
    """A name of other bytes is there as it is, and keeps nobody from reading the others."""
    odd = {b"old-\xe4.txt": b"latin-1", b"cut-\xe6\x97": b"cut", b"n" * 120 + b"\xff": b"long", b"dir-\xff/x": b"below"}
    good = {"\u00e4.txt": b"utf-8", "plain": b"plain"}
    with v.Site("--archive") as site:
        for name, data in list(odd.items()) + [(name.encode(), data) for name, data in good.items()]:
            path = os.fsencode(site.path) + b"/docs/" + name
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
        with zipfile.ZipFile(io.BytesIO(site.get("/docs/?archive=zip")[2])) as archive:
            equal(archive.testzip(), None)
            found = {i.orig_filename: (bool(i.flag_bits & 0x800), archive.read(i)) for i in archive.infolist() if not i.is_dir()}
        # Without the flag Python reads code page 437.
        wanted = {(b"docs/" + name).decode("cp437"): (False, data) for name, data in odd.items()}
        wanted.update({"docs/" + name: (True, data) for name, data in good.items()})
        equal(found, wanted)
        with tarfile.open(fileobj=io.BytesIO(site.get("/docs/?archive=tar")[2])) as tar:
            found = {os.fsencode(m.name): tar.extractfile(m).read() for m in tar if m.isfile()}
        wanted = {b"docs/" + name: data for name, data in odd.items()}
        wanted.update({b"docs/" + name.encode(): data for name, data in good.items()})
        equal(found, wanted)


@site_lab.heavy
def test_archives_are_bounded(v):
    with v.Site("--archive") as site:
        with open(site.path + "/large.bin", "wb") as file:
            file.truncate((4 << 30) + 1)
        equal(site.get("/?archive=tar")[0], 403, "too many bytes")
        os.truncate(site.path + "/large.bin", 200 << 20)
        os.makedirs(site.path + "/deep" + "/d" * 40)
        equal(site.get("/deep/?archive=zip")[0], 403, "too deep")
        os.makedirs(site.path + "/one")
        os.rename(site.path + "/large.bin", site.path + "/one/large.bin")
        slow = []
        try:
            for _ in range(4):
                sock = site.server.connect()
                sock.sendall(b"GET /one/?archive=tar HTTP/1.1\r\nHost: a\r\n\r\n")
                shslib.read_until(sock, b"\r\n\r\n")
                slow.append(sock)
            status, fields, _ = site.get("/one/?archive=tar")
            equal((status, fields["Retry-After"]), (503, "2"), "the fifth")
            equal(site.get("/one/")[0], 200, "who reads slowly holds nobody")
        finally:
            for sock in slow:
                sock.close()
        shslib.wait_until(lambda: site.get("/one/?archive=zip", Range="x", seconds=60)[0] == 200, 60, "the others to be over")
        check(site.server.resident_kib() < (600 if shslib.SANITIZE else 100) * 1024, "%d KiB" % site.server.resident_kib())


def test_an_archive_that_is_not_whole(v):
    """A file that is cut short, or cannot be read, in the middle: broken off, and not taken for whole."""
    with shslib.temp_dir() as top:
        faults = site_lab.Faults(top)

        def fill(path):
            shslib.write_file(path + "/d/a.bin", bytes(100))

        for rule in ("openat:a.bin=EIO", "openat:a.bin=EMFILE", "fstat:a.bin=EIO"):
            with v.Site("--archive", fill=fill, env=faults.env(rule)) as site:
                for kind in ("tar", "zip"):
                    whole = site.server.raw(b"GET /d/?archive=%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % kind.encode())
                    check(not whole.endswith(b"\r\n0\r\n\r\n"), "%s %s is said to be whole" % (kind, rule))
        for rule in ("openat:a.bin=EACCES", "openat:a.bin=ENOENT"):
            with v.Site("--archive", fill=fill, env=faults.env(rule)) as site:
                with tarfile.open(fileobj=io.BytesIO(site.get("/d/?archive=tar")[2])) as tar:
                    equal(tar.getnames(), ["d"], "what is 404 is left out")


# -- compression ------------------------------------------------------------------------------------


def in_parallel(count, ask):
    results, threads = [], []

    def run(number):
        try:
            results.append(ask(number))
        except Exception as fault:
            results.append(fault)

    for number in range(count):
        threads.append(threading.Thread(target=run, args=(number,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return results


@site_lab.heavy
def test_brotli_never_ends_the_process(v):
    """Twelve at once of 0.7 MB in 256 MiB of address space: coded or plain, and all of them served."""
    if not site_lab.without_sanitizer("RLIMIT_AS"):
        return
    if not shutil.which("prlimit"):
        print("       left out: there is no prlimit")
        return
    data = TEXT * 40

    def fill(top):
        for number in range(12):
            shslib.write_file("%s/%d.txt" % (top, number), data + b"%d" % number)

    for limit in (96, 128, 256):
        with v.Site(fill=fill) as site:
            subprocess.run(["prlimit", "--pid", str(site.server.pid), "--as=%d" % (limit << 20)], check=True)
            for _ in range(2):
                got = in_parallel(12, lambda number: (number, site.get("/%d.txt" % number, Accept_Encoding="br", seconds=60)))
                for result in got:
                    if isinstance(result, Exception):
                        if limit >= 256:
                            raise result
                        continue  # no memory for a thread: not served, and not ended
                    number, (status, fields, body) = result
                    check(status in (200, 503), "%d" % status)
                    if status == 200:
                        back = decoded(fields["Content-Encoding"], body)
                        check(back in (data + b"%d" % number, None), "other bytes")
                    if limit >= 256:
                        equal(status, 200)
            check(site.server.process.poll() is None, "the process has ended")


@site_lab.heavy
def test_compression_is_bounded(v):
    """A hundred clients of twenty large files: memory for two workers, and every byte right."""
    line = b"".join(b"%d %s\n" % (number, b"x" * (number % 60)) for number in range(1000))
    data = (line * (4000000 // len(line) + 1))[:4 << 20]

    def fill(top):
        for number in range(20):
            shslib.write_file("%s/%d.txt" % (top, number), b"%02d" % number + data[2:])

    with v.Site(fill=fill) as site:
        codings = []

        def ask(number):
            status, fields, body = site.get("/%d.txt" % (number % 20), Accept_Encoding=("br", "gzip", "zstd")[number % 3], seconds=120)
            codings.append(fields["Content-Encoding"])
            back = decoded(fields["Content-Encoding"], body) if number % 10 == 0 or fields["Content-Encoding"] in (None, "gzip") else None
            check(status == 200 and (back is None or back == b"%02d" % (number % 20) + data[2:]), "other bytes")

        for result in in_parallel(40, ask):
            if isinstance(result, Exception):
                raise result
        with open("/proc/%d/status" % site.server.pid) as file:
            peak = int(re.search(r"^VmHWM:\s+(\d+) kB", file.read(), re.MULTILINE).group(1))
        check(peak < (1200 if shslib.SANITIZE else 160) * 1024, "peak %d KiB" % peak)
        # How many find both workers busy, and are not coded, is the speed of the machine.
        check(any(codings), "some are coded: %s" % codings)


rows(test_a_long_listing, test_a_slow_reader_of_a_listing_holds_nobody, test_hostile_names, test_the_way_back, test_archives,
     test_archives_of_names_that_are_not_utf8,
     test_archives_are_bounded, test_an_archive_that_is_not_whole, test_brotli_never_ends_the_process,
     test_compression_is_bounded)
