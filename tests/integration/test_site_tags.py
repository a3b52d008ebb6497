"""A file is what its bytes are: entity tags, dates, codings and ranges that never tell of another one."""

import email.utils
import gzip
import os
import time

import shslib
from shslib import check, equal
import site_lab
from site_lab import rows

TEXT = ("The quick brown fox jumps over the lazy dog.\n" * 400).encode()
# What is kept in memory, what is read, and what is sent from the file.
SIZES = (10, 16384, 16385, 300000)
WHEN = 1_600_000_000_000_000_000


def filled(byte, size):
    return bytes([byte]) * size


def replaced(site, name, data):
    """Another file of the same size and the same time, as cp -p, tar -x and fixed builds leave it."""
    shslib.write_file(site.path + "/new", data)
    os.utime(site.path + "/new", ns=(WHEN, WHEN))
    os.rename(site.path + "/new", site.path + "/" + name)


def rewritten(site, name, data):
    """The same inode: written over, and its time put back."""
    fd = os.open(site.path + "/" + name, os.O_WRONLY)
    try:
        os.pwrite(fd, data, 0)
    finally:
        os.close(fd)
    os.utime(site.path + "/" + name, ns=(WHEN, WHEN))


def test_a_tag_changes_with_the_bytes(v):
    """caddy#5548, send#176: same size, same time, other bytes."""
    with v.Site("--upload") as site:
        for size in SIZES:
            for change in (replaced, rewritten):
                for ending in ("txt", "bin"):
                    name = "%d-%s.%s" % (size, change.__name__, ending)
                    site.write(name, filled(65, size), WHEN)
                    _, fields, _ = site.get("/" + name)
                    tag, modified = fields["ETag"], fields["Last-Modified"]
                    coded = site.get("/" + name, Accept_Encoding="gzip")[1]["ETag"]
                    check(tag.startswith('"'), "a strong tag at once: " + tag)
                    equal(site.get("/" + name, If_None_Match=tag)[0], 304, name)
                    change(site, name, filled(66, size))
                    status, fields, body = site.get("/" + name, If_None_Match=tag)
                    equal((status, body), (200, filled(66, size)), name + ": a stale 304")
                    check(fields["ETag"] != tag, "the tag of other bytes")
                    equal(fields["Last-Modified"], modified, "the time is the same")
                    equal(site.get("/" + name, If_None_Match=coded, Accept_Encoding="gzip")[0], 200, "coded: a stale 304")
                    status, _, body = site.get("/" + name, Range="bytes=0-4", If_Range=tag)
                    equal((status, len(body)), (200, size), name + ": a spliced 206")
                    equal(site.request("PUT", "/" + name, b"lost", If_Match=tag)[0], 412, "a lost update")
                    equal(site.request("PUT", "/" + name, b"won", If_Match=fields["ETag"])[0], 204)
                    # And back to the bytes of before: back to their tag.
                    site.write(name, filled(65, size), WHEN)
                    equal(site.get("/" + name)[1]["ETag"], tag, "the same bytes")


def test_an_inode_that_is_used_again(v):
    """A file system gives a new file the inode of the one that went: in a loop until it does."""
    with v.Site() as site:
        for _ in range(20):
            site.write("a.txt", b"one", WHEN)
            inode = os.stat(site.path + "/a.txt").st_ino
            tag = site.get("/a.txt")[1]["ETag"]
            os.unlink(site.path + "/a.txt")
            site.write("a.txt", b"two", WHEN)
            same = os.stat(site.path + "/a.txt").st_ino == inode
            equal(site.get("/a.txt", If_None_Match=tag)[2], b"two")
            if same:
                return


def test_servers_with_the_same_tree_agree(v):
    """nixpkgs#222354: the inode, the device and the time of copying are not in a tag."""
    def fill(top):
        for size in SIZES:
            shslib.write_file("%s/%d.txt" % (top, size), filled(67, size))
        shslib.write_file(top + "/s.css", TEXT)
        shslib.write_file(top + "/s.css.gz", gzip.compress(TEXT, mtime=0))
        os.utime(top + "/s.css.gz", ns=(2 * WHEN, 2 * WHEN - 1))

    with v.Site(fill=fill) as one, v.Site(fill=fill) as other:
        for path in ["/%d.txt" % size for size in SIZES] + ["/s.css"]:
            for coding in ("identity", "gzip", "br", "zstd"):
                tags = [site.get(path, Accept_Encoding=coding)[1]["ETag"] for site in (one, other)]
                equal(tags[0], tags[1], "%s, %s" % (path, coding))


def test_tags_of_a_large_file(v):
    """Beyond 32 MiB a file is read by the way: a weak tag until then, and a strong one that is waited for."""
    size = (32 << 20) + 1
    with v.Site("--upload") as site:
        site.write("large.bin", filled(68, size), WHEN)
        time.sleep(1.1)  # what was just changed is not read by the way
        weak = site.request("HEAD", "/large.bin")[1]["ETag"]
        shslib.wait_until(lambda: site.request("HEAD", "/large.bin")[1]["ETag"].startswith('"'), 30, "a strong tag")
        strong = site.request("HEAD", "/large.bin")[1]["ETag"]
        if weak.startswith("W/"):
            equal(site.get("/large.bin", If_None_Match=weak)[0], 304, "what was said is still so")
        equal(site.get("/large.bin", Range="bytes=5-9", If_Range=strong)[0], 206)
        with open(site.path + "/large.bin", "r+b") as file:
            file.write(b"E")
        os.utime(site.path + "/large.bin", ns=(WHEN, WHEN))
        for fields in ({"If_None_Match": strong}, {"If_None_Match": weak}):
            equal(site.request("HEAD", "/large.bin", **fields)[0], 200, str(fields))
        equal(site.request("HEAD", "/large.bin", If_Match=strong)[0], 412)
        equal(site.request("PUT", "/large.bin", b"x", If_Match=strong)[0], 412)


def test_if_match_with_the_tag_of_a_coded_answer(v):
    with v.Site("--upload") as site:
        for coding in ("gzip", "br", "zstd"):
            site.write("a.txt", TEXT)
            tag = site.get("/a.txt", Accept_Encoding=coding)[1]["ETag"]
            check(coding in tag, tag)
            equal(site.request("PUT", "/a.txt", b"new", If_Match='"x", ' + tag)[0], 204, coding)
            equal(site.request("PUT", "/a.txt", b"newer", If_Match=tag)[0], 412, coding)
            equal(site.request("PUT", "/a.txt", b"newer", If_Match="W/" + tag)[0], 412, coding)
        # A sibling's tag says of which original it was.
        site.write("b.css", TEXT, WHEN)
        site.write("b.css.gz", gzip.compress(TEXT), WHEN)
        tag = site.get("/b.css", Accept_Encoding="gzip")[1]["ETag"]
        equal(site.request("PUT", "/b.css", TEXT + b"\n", If_Match=tag)[0], 204)
        equal(site.request("PUT", "/b.css", TEXT, If_Match=tag)[0], 412)
        equal(site.request("PUT", "/b.css", b"x", If_None_Match="*")[0], 412)
        equal(site.request("PUT", "/b.css", b"x", If_None_Match=tag)[0], 204, "not that one any more")


def test_if_range_by_date(v):
    """Equal means equal: a later date is another state, and so is an earlier one."""
    with v.Site() as site:
        site.write("a.bin", filled(69, 20000), WHEN)
        for delta, status in ((0, 206), (1, 200), (86400, 200), (-1, 200)):
            date = email.utils.formatdate(WHEN // 10**9 + delta, usegmt=True)
            equal(site.get("/a.bin", Range="bytes=0-9", If_Range=date)[0], status, "%+d s" % delta)


def test_siblings_to_the_nanosecond(v):
    with v.Site("--no-compress") as site:
        site.write("a.css", TEXT, WHEN + 5)
        for delta, coding in ((0, "gzip"), (1, "gzip"), (-1, None), (-4, None), (-10**9, None)):
            site.write("a.css.gz", gzip.compress(TEXT), WHEN + 5 + delta)
            equal(site.get("/a.css", Accept_Encoding="gzip")[1]["Content-Encoding"], coding, "%+d ns" % delta)
    with v.Site("--upload", "--no-compress") as site:
        for turn in range(5):
            for path, body in (("/s.txt", b"old %d" % turn), ("/s.txt.gz", gzip.compress(b"old")), ("/s.txt", b"new %d" % turn)):
                check(site.request("PUT", path, body)[0] in (201, 204), path)
            got = site.get("/s.txt", Accept_Encoding="gzip")
            equal((got[2], got[1]["Content-Encoding"]), (b"new %d" % turn, None), "not the one of before")
        # A sibling with a time to come is of something else as well.
        site.write("f.txt.gz", gzip.compress(b"old"), time.time_ns() + 86400 * 10**9)
        equal(site.request("PUT", "/f.txt", b"new")[0], 201)
        equal(site.get("/f.txt", Accept_Encoding="gzip")[2], b"new")
        # And a sibling that comes later is its own.
        equal(site.request("PUT", "/t.txt", b"text")[0], 201)
        equal(site.request("PUT", "/t.txt.gz", gzip.compress(b"text"))[0], 201)
        equal(gzip.decompress(site.get("/t.txt", Accept_Encoding="gzip")[2]), b"text")


def test_last_modified_is_never_later_than_date(v):
    with v.Site("--upload") as site:
        for size in SIZES:
            name = "%d.txt" % size
            site.write(name, filled(70, size), (int(time.time()) + 1000000) * 10**9)
            for path in (name, name):
                _, fields, _ = site.get("/" + path)
                date, modified = (email.utils.parsedate_to_datetime(fields[f]) for f in ("Date", "Last-Modified"))
                check(modified <= date, "%s: %s > %s" % (name, modified, date))
            equal(site.get("/" + name, If_None_Match=fields["ETag"])[0], 304)


def test_what_is_coded_already(v):
    """simple-web-server#282: an .svgz is an image that is compressed, once."""
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'>" + b"<g/>" * 2000 + b"</svg>"
    packed = gzip.compress(svg)
    with v.Site() as site:
        site.write("a.svgz", packed)
        site.write("A.SVGZ", packed)
        site.write("a.svgz.br", b"of no use")
        site.write("not.svgz", svg)
        site.write("packed.json", gzip.compress(svg * 3))
        for path in ("/a.svgz", "/A.SVGZ"):
            for accept in ("gzip, br, zstd", "br", "identity", ""):
                _, fields, body = site.get(path, Accept_Encoding=accept)
                equal((fields["Content-Encoding"], body), ("gzip", packed), "%s, %s" % (path, accept))
                equal(fields["Content-Type"], "image/svg+xml")
            tag = site.get(path)[1]["ETag"]
            equal(site.get(path, If_None_Match=tag, Accept_Encoding="br")[0], 304)
            equal(site.get(path, Range="bytes=2-5")[2], packed[2:6])
            status, fields, body = site.get(path, Range="bytes=0-1,10-11")
            equal((status, body), (200, packed), "parts of a coding can be decoded by nobody")
        equal(site.get("/not.svgz")[1]["Content-Encoding"], None, "what is none is not said to be one")
        equal(gzip.decompress(site.get("/not.svgz", Accept_Encoding="gzip")[2]), svg)
        got = site.get("/packed.json", Accept_Encoding="gzip, br, zstd")
        equal((got[1]["Content-Encoding"], gzip.decompress(got[2])), (None, svg * 3), "compressed twice")


def test_several_ranges_of_a_coded_file(v):
    with v.Site() as site:
        site.write("a.txt", TEXT, WHEN)
        site.write("a.txt.gz", gzip.compress(TEXT), WHEN)
        status, fields, body = site.get("/a.txt", Range="bytes=0-3,100-103", Accept_Encoding="gzip")
        equal((status, fields["Content-Encoding"]), (206, None))
        for first in (0, 100):
            check(b"bytes %d-%d/%d\r\n\r\n%s\r\n" % (first, first + 3, len(TEXT), TEXT[first:first + 4]) in body, body)
        plain = site.get("/a.txt")[1]["ETag"]
        equal(fields["ETag"], plain)
        coded = site.get("/a.txt", Accept_Encoding="gzip")[1]["ETag"]
        got = site.get("/a.txt", Range="bytes=0-3,100-103", Accept_Encoding="gzip", If_Range=coded)
        equal((got[0], got[2]), (200, TEXT), "parts of another representation")
        packed = gzip.compress(TEXT)
        got = site.get("/a.txt", Range="bytes=0-3", Accept_Encoding="gzip", If_Range=coded)
        equal((got[0], got[1]["Content-Encoding"], got[2]), (206, "gzip", packed[:4]))


def test_who_refuses_the_file_as_it_is(v):
    """identity;q=0: a coding, or 406."""
    data = shslib.pattern(2000)
    with v.Site() as site:
        site.write("small.txt", b"small")
        site.write("a.png", data)
        for path, want in (("/small.txt", b"small"), ("/a.png", data)):
            for accept in ("gzip, identity;q=0", "gzip, *;q=0", "gzip;q=0.1, identity;q=0.0, br;q=0"):
                for extra in ({}, {"Range": "bytes=0-1,3-4"}):
                    status, fields, body = site.get(path, Accept_Encoding=accept, **extra)
                    equal((status, fields["Content-Encoding"]), (200, "gzip"), "%s, %s" % (path, accept))
                    equal(gzip.decompress(body), want)
                    equal(fields["Vary"], "Accept-Encoding")
            for accept in ("identity;q=0", "*;q=0", "compress, identity;q=0", "gzip;q=0, br;q=0, zstd;q=0, identity;q=0"):
                equal(site.get(path, Accept_Encoding=accept)[0], 406, "%s, %s" % (path, accept))
            equal(site.get(path, Accept_Encoding="*;q=0, identity")[0::2], (200, want))
    with v.Site("--no-compress") as site:
        site.write("a.txt", TEXT)
        equal(site.get("/a.txt", Accept_Encoding="gzip, identity;q=0")[0], 406)


def test_targets_as_they_are_sent(v):
    """kit#2640, next.js#48212: what browsers and fetch() leave as it is."""
    names = ["[slug].js", "photo[1].jpg", "a|b", "c^d", "{e}", "f\"g", "h`i", "[[...all]].js"]
    with v.Site("--upload") as site:
        for name in names:
            site.write(name, name)
            answer = site.server.raw(b"GET /%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % name.encode())
            equal(answer.split(b"\r\n\r\n")[1], name.encode(), name)
            answer = site.server.raw(b"PUT /%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx" % name.encode())
            check(answer.startswith(b"HTTP/1.1 204 "), answer)
        for target, version in ((b"/a|b?q=100%", b"1.1"), (b"/a|b?%&%4", b"1.1"), (b"/a|b", b"1.2"), (b"/a|b", b"1.9")):
            answer = site.server.raw(b"GET %s HTTP/%s\r\nHost: a\r\nConnection: close\r\n\r\n" % (target, version))
            check(answer.startswith(b"HTTP/1.1 200 "), b"%s: %s" % (target, answer[:100]))
        os.mkdir(site.path + "/[dir]\"")
        answer = site.server.raw(b"GET /[dir]\" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        check(b"\r\nLocation: /[dir]%22/\r\n" in answer, answer)


rows(test_a_tag_changes_with_the_bytes, test_an_inode_that_is_used_again, test_servers_with_the_same_tree_agree,
     test_tags_of_a_large_file, test_if_match_with_the_tag_of_a_coded_answer, test_if_range_by_date,
     test_siblings_to_the_nanosecond, test_last_modified_is_never_later_than_date, test_what_is_coded_already,
     test_several_ranges_of_a_coded_file, test_who_refuses_the_file_as_it_is, test_targets_as_they_are_sent)
