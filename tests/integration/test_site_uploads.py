"""Uploads as real clients send them and as real file systems take them: whole, once, and told as they are."""

import os
import re
import signal
import socket
import stat
import threading

import shslib
from shslib import check, equal
import site_lab
from site_lab import form, rows

HIDDEN = ".shs-upload-"


def left_behind(site):
    return [name for name in site.names() if name.startswith(".")]


def post(site, path, files, **fields):
    body, content_type = form(files, fields.pop("boundary", "xYzZY"), fields.pop("content_type", None))
    return site.request("POST", path, body, Content_Type=content_type, **fields)


# -- what clients send ------------------------------------------------------------------------------


def test_boundaries(v):
    """dio#187, jersey#3257, and whoever else writes boundaries of their own."""
    with v.Site("--upload") as site:
        for number, (boundary, written) in enumerate((
                ("*****", "*****"), ("===1===", "===1==="), ("--x&y", "--x&y"), ("a=b/c", "a=b/c"),
                ("===============7330845974216740156==", '"===============7330845974216740156=="'),
                ("=_Part_1_12.34", "=_Part_1_12.34"), ("a b", '"a b"'), ("-" * 70, "-" * 70),
                ("0123456789" * 7, '"%s"' % ("0123456789" * 7)), ("'()+_,-./:=?", '"\'()+_,-./:=?"'))):
            name = "%d.bin" % number
            got = post(site, "/", [(name, b"data\r\n--" + b"x")], boundary=boundary,
                       content_type="multipart/form-data; boundary=" + written)
            equal((got[0], got[2]), (201, name.encode() + b"\n"), boundary)
            equal(site.read(name), b"data\r\n--x", boundary)
        for written in ("", '""', "a b", "x" * 71, "a\"b", "a;"):
            check(post(site, "/", [("no.bin", b"x")], content_type="multipart/form-data; boundary=" + written)[0] == 400, written)


def test_names(v):
    """ezshare#84: a long name keeps its extension, and a number goes before it."""
    with v.Site("--upload") as site:
        for name, kept, number in (("n" * 245 + ".jpg", ".jpg", "-1.jpg"), ("\u00e9" * 200 + ".tar.gz", ".tar.gz", "-1.tar.gz"),
                                   ("README", "README", "README-1"), ("a.b c", "a.b c", "a-1.b c"), ("x.tar.gz", "x.tar.gz", "x-1.tar.gz")):
            first = post(site, "/", [(name, b"1")])[2].decode().strip()
            check(first.endswith(kept), first)
            second = post(site, "/", [(name, b"2")])[2].decode().strip()
            check(second.endswith(number) and second != first, second)
            equal((site.read(first), site.read(second)), (b"1", b"2"))


def test_a_thousand_collisions(v):
    with v.Site("--upload") as site:
        for number in range(1000):
            site.write("a.txt" if number == 0 else "a-%d.txt" % number, b"old")
        status, _, body = post(site, "/", [("b.txt", b"new"), ("a.txt", b"new")])
        equal(status, 409)
        check(b"too many files with that name" in body, body)
        equal((len(site.names()), left_behind(site)), (1000, []), "all or none")
        os.unlink(site.path + "/a-999.txt")
        equal(post(site, "/", [("a.txt", b"new")])[2], b"a-999.txt\n")


def test_a_form_shadows_nothing(v):
    """A sibling late.txt.gz would be sent for late.txt."""
    with v.Site("--upload", "--no-compress") as site:
        for end in ("gz", "br", "zst"):
            site.write("late.txt", b"mine")
            got = post(site, "/", [("late.txt." + end, b"not mine")])
            equal((got[0], got[2]), (201, b"late.txt-1.%s\n" % end.encode()))
            equal(site.get("/late.txt", Accept_Encoding="gzip, br, zstd")[2], b"mine", end)
            # In one form, whichever comes first.
            for number, names in enumerate((["%s%d.txt", "%s%d.txt." + end], ["%s%d.txt." + end, "%s%d.txt"])):
                files = [(name % (end, number), b"text" if name.endswith(".txt") else b"not it") for name in names]
                equal(post(site, "/", files)[0], 201)
                equal(site.get("/%s%d.txt" % (end, number), Accept_Encoding="gzip, br, zstd")[2], b"text", str(names))
        # Without an original it is only a file.
        equal(post(site, "/", [("own.gz", b"x")])[2], b"own.gz\n")


def test_methods(v):
    with v.Site("--upload") as site:
        site.write("a.txt", b"a")
        os.mkdir(site.path + "/dir")
        for path in ("/a.txt", "/dir", "/gone.txt"):
            status, fields, _ = post(site, path, [("b.txt", b"b")])
            equal((status, fields["Allow"]), (405, "GET, HEAD, PUT, OPTIONS"), path)


# -- whose pages ------------------------------------------------------------------------------------


def test_origins(v):
    """rails#28299: the browser's own word counts, and other sites' pages do not write."""
    here = "localhost"
    with v.Site("--upload") as site:
        port = ":%d" % site.server.port
        evil, own = "https://evil.example", "https://%s%s" % (here, port)
        for fields, allowed in (
                ({}, True), ({"Origin": own}, True), ({"Origin": own.replace("https", "http")}, True),
                ({"Origin": "null", "Sec_Fetch_Site": "same-origin"}, True),
                ({"Origin": "https://proxied.example", "Sec_Fetch_Site": "same-origin"}, True),
                ({"Sec_Fetch_Site": "none"}, True), ({"Sec_Fetch_Site": "same-origin"}, True),
                ({"Origin": "null"}, False), ({"Origin": evil}, False), ({"Origin": ""}, False),
                ({"Origin": own, "Sec_Fetch_Site": "cross-site"}, False),
                ({"Origin": own, "Sec_Fetch_Site": "same-site"}, False),
                ({"Sec_Fetch_Site": "same-site"}, False), ({"Sec_Fetch_Site": "cross-site"}, False),
                ({"Sec_Fetch_Site": "something-new"}, False), ({"Sec_Fetch_Site": ""}, False),
                ({"Origin": own + ".evil.example"}, False), ({"Origin": "https://localhost:1"}, False)):
            count = len(site.names())
            for method in ("POST", "PUT"):
                if method == "POST":
                    status = post(site, "/", [("f.txt", b"x")], **fields)[0]
                else:
                    status = site.request("PUT", "/p%d.txt" % count, b"x", **fields)[0]
                equal(status, 201 if allowed else 403, "%s %s" % (method, fields))
            equal(len(site.names()) - count, 2 if allowed else 0, str(fields))
        body = site.request("PUT", "/x.txt", b"x", Origin=evil)[2]
        check(b"--cors-write=https://evil.example" in body, body)
        twice = site.server.raw(b"PUT /x.txt HTTP/1.1\r\nHost: localhost%s\r\nOrigin: %s\r\nOrigin: %s\r\nConnection: close\r\n"
                                b"Content-Length: 1\r\n\r\nx" % (port.encode(), own.encode(), evil.encode()))
        check(twice.startswith(b"HTTP/1.1 403 "), twice)
    with v.Site("--upload", "--public-origin", "https://files.example", "--public-origin", "https://www.files.example:8443") as site:
        for origin, status in (("https://files.example", 201), ("https://www.files.example:8443", 201),
                               ("https://files.example:8443", 403), ("https://other.example", 403)):
            equal(post(site, "/", [("f.txt", b"x")], Origin=origin)[0], status, origin)


def preflight(site, origin, method):
    status, fields, _ = site.request("OPTIONS", "/a.txt", Origin=origin, Access_Control_Request_Method=method)
    equal(status, 204)
    return fields["Access-Control-Allow-Methods"], fields["Access-Control-Allow-Origin"]


def test_cors_reads_and_does_not_write(v):
    app, other = "https://app.example", "https://other.example"
    for flags in (("--cors",), ("--cors=" + app,)):
        with v.Site("--upload", *flags) as site:
            site.write("a.txt", b"mine")
            for origin in (app, other):
                for method in ("PUT", "POST"):
                    equal(preflight(site, origin, method)[0], None, "%s %s %s" % (flags, origin, method))
                equal(site.request("PUT", "/a.txt", b"theirs", Origin=origin)[0], 403, str(flags))
                equal(site.request("PUT", "/a.txt", b"theirs", Origin=origin, Sec_Fetch_Site="cross-site")[0], 403)
                equal(post(site, "/", [("f.txt", b"x")], Origin=origin)[0], 403)
            equal(site.read("a.txt"), b"mine")
            equal(preflight(site, app, "GET")[0], "GET", "they may read")
            site.server.wait_stderr(r"A page of https://app\.example asked to PUT and may not: --cors-write=https://app\.example would")
    for flags, reader in ((("--cors", "--cors-write", app), "*"), (("--cors-write=" + app,), app), (("--cors=" + other, "--cors-write", app), app)):
        with v.Site("--upload", *flags) as site:
            equal(preflight(site, app, "PUT"), ("PUT", reader), str(flags))
            status, fields, _ = site.request("PUT", "/a.txt", b"theirs", Origin=app, Sec_Fetch_Site="cross-site")
            equal((status, fields["Access-Control-Allow-Origin"]), (201, reader), str(flags))
            equal(post(site, "/", [("f.txt", b"x")], Origin=app)[0], 201)
            equal(site.get("/a.txt", Origin=app)[1]["Access-Control-Allow-Origin"], reader)
            equal(preflight(site, other, "PUT")[0], None)
            equal(site.request("PUT", "/a.txt", b"x", Origin=other)[0], 403)
            check("Origin" in ", ".join(site.get("/a.txt", Origin=other)[1].get_all("Vary")), "caches must know")
    for flags, words in ((("--upload", "--cors-write", "*"), "not an origin"), (("--upload", "--public-origin", "files.example"), "not an origin"),
                         (("--cors-write", app), "goes with --upload")):
        code, _, text = shslib.run(shslib.BIN, "serve", "--plain", "--port", "0", *flags)
        equal(code, 2, str(flags))
        check(words in text, text)


# -- how it is stored -------------------------------------------------------------------------------


def test_the_mode_of_a_replaced_file_stays(v):
    with v.Site("--upload") as site:
        for mode in (0o600, 0o640, 0o664, 0o755):
            site.write("a.txt", b"old")
            os.chmod(site.path + "/a.txt", mode)
            if os.geteuid() == 0:
                os.chown(site.path + "/a.txt", 12345, 54321)
            equal(site.request("PUT", "/a.txt", b"new")[0], 204)
            found = os.stat(site.path + "/a.txt")
            equal(stat.S_IMODE(found.st_mode), mode, oct(mode))
            if os.geteuid() == 0:
                equal((found.st_uid, found.st_gid), (12345, 54321))
        os.chmod(site.path + "/a.txt", 0o4755)
        site.request("PUT", "/a.txt", b"new")
        equal(stat.S_IMODE(os.stat(site.path + "/a.txt").st_mode), 0o755, "what somebody sends is not run as somebody else")


def test_the_second_look(v):
    """Two who have seen the same file: the one who comes second is told, however slow the first was."""
    with v.Site("--upload") as site:
        site.write("a.txt", b"one")
        tag = site.get("/a.txt")[1]["ETag"]
        with site.server.connect() as slow:
            slow.sendall(b"PUT /a.txt HTTP/1.1\r\nHost: a\r\nIf-Match: %s\r\nContent-Length: 70000\r\n"
                         b"Expect: 100-continue\r\n\r\n" % tag.encode())
            shslib.read_until(slow, b"100 Continue\r\n\r\n")  # its first look is over
            equal(site.request("PUT", "/a.txt", b"two", If_Match=tag)[0], 204)
            slow.sendall(b"x" * 70000)
            line = shslib.read_response(slow)[0]
            check(" 412 " in line, line)
        equal(site.read("a.txt"), b"two")
        for condition in ({"If_None_Match": "*"},):
            os.unlink(site.path + "/a.txt")
            with site.server.connect() as slow:
                slow.sendall(b"PUT /a.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\nContent-Length: 70000\r\n"
                             b"Expect: 100-continue\r\n\r\n")
                shslib.read_until(slow, b"100 Continue\r\n\r\n")
                equal(site.request("PUT", "/a.txt", b"three", **condition)[0], 201)
                slow.sendall(b"x" * 70000)
                check(" 412 " in shslib.read_response(slow)[0], "it is there by now")
            equal(site.read("a.txt"), b"three")


def test_a_lost_update_of_many(v):
    """Twelve clients add one to a number, each on the condition that nobody has meanwhile."""
    with v.Site("--upload") as site:
        site.write("n.txt", b"0")
        failed = []

        def add():
            try:
                for _ in range(4):
                    while True:
                        _, fields, body = site.get("/n.txt")
                        status = site.request("PUT", "/n.txt", b"%d" % (int(body) + 1), If_Match=fields["ETag"], seconds=30)[0]
                        if status == 204:
                            break
                        equal(status, 412)
            except Exception as fault:
                failed.append(fault)

        threads = [threading.Thread(target=add) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(failed, [])
        equal(site.read("n.txt"), b"24")


def test_the_order_of_calls(v):
    """First the bytes are on the disk, then the name changes hands in one step, then the directory is."""
    with shslib.temp_dir() as top:
        faults = site_lab.Faults(top)
        with v.Site("--upload", env=faults.env()) as site:
            for old in (None, b"old"):
                with open(faults.log, "w"):
                    pass
                if old:
                    site.write("a.txt", old)
                equal(site.request("PUT", "/a.txt", b"new")[0], 204 if old else 201)
                calls = [c for c in faults.calls() if c.split()[0] in ("fsync", "linkat", "renameat", "renameat2", "unlinkat")]
                equal(calls[0], "fsync file", str(calls))
                equal(calls[-1], "fsync directory", str(calls))
                check(any(c.startswith(("linkat", "renameat")) and c.endswith(" a.txt") for c in calls), str(calls))
                check(not any(c.startswith("unlinkat") and c.endswith("a.txt") for c in calls), "404 for a moment: %s" % calls)
            with open(faults.log, "w"):
                pass
            equal(post(site, "/", [("b.txt", b"1"), ("c.txt", b"2")])[0], 201)
            calls = [c.split()[0:2] for c in faults.calls() if c.split()[0] in ("fsync", "linkat")]
            equal([c[0] if c[0] == "linkat" else " ".join(c) for c in calls],
                  ["fsync file", "fsync file", "linkat", "linkat", "fsync directory"])


# What file systems lack: NFS, CIFS, FUSE, FAT, overlays, a container without /proc.
LACKING = (
    "openat:tmpfile=EOPNOTSUPP", "openat:tmpfile=EINVAL", "openat:tmpfile=ENOSYS", "openat:tmpfile=ENOENT",
    "openat:tmpfile=EOPNOTSUPP,renameat2=EINVAL", "openat:tmpfile=EOPNOTSUPP,renameat2=ENOSYS",
    "openat:tmpfile=EOPNOTSUPP,renameat2=EINVAL,linkat=EPERM", "openat:tmpfile=EOPNOTSUPP,renameat2=EINVAL,linkat=EOPNOTSUPP",
    "linkat:/proc=EPERM", "linkat=EOPNOTSUPP,renameat2=EINVAL", "faccessat:/proc=ENOENT",
    "fsync:directory=EINVAL", "fsync:directory=EIO", "fsync:directory=EBADF", "fsync=ENOSYS", "fsync:file=EINVAL",
    "flock=ENOLCK", "flock=EBADF",
    "openat:tmpfile=EOPNOTSUPP,renameat2=EINVAL,linkat=EPERM,fsync=EINVAL,flock=ENOLCK",
)


def test_file_systems_that_lack_something(v):
    """shelfarr#467, borg#1287: stored all the same, and told as it is."""
    with shslib.temp_dir() as top:
        faults = site_lab.Faults(top)
        for rule in LACKING:
            with v.Site("--upload", env=faults.env(rule)) as site:
                equal(site.request("PUT", "/a.txt", b"one")[0], 201, rule)
                equal(site.request("PUT", "/a.txt", b"two" * 40000)[0], 204, rule)
                equal(site.read("a.txt"), b"two" * 40000, rule)
                equal(site.request("PUT", "/a.txt", b"x", If_None_Match="*")[0], 412, rule)
                for number, name in enumerate((b"f.txt\n", b"f-1.txt\n", b"f-2.txt\n")):
                    got = post(site, "/", [("f.txt", b"%d" % number)])
                    equal((got[0], got[2]), (201, name), rule)
                equal([site.read(n) for n in ("f.txt", "f-1.txt", "f-2.txt")], [b"0", b"1", b"2"], rule)
                equal(site.names(), ["a.txt", "f-1.txt", "f-2.txt", "f.txt"], rule)
                if "fsync" in rule:
                    site.server.wait_stderr(r"PUT /a\.txt: stored, but a power cut may undo it: fsync: \w")
        # What cannot be stored is not, and the log says why.
        for rule, status, why in (("fsync:file=EIO", 500, "Input/output error"), ("renameat=EIO", 500, "Input/output error"),
                                  ("openat:tmpfile=EIO,openat:create=EIO", 500, "Input/output error"),
                                  ("openat:tmpfile=EMFILE,openat:create=EMFILE", 503, "Too many open files")):
            def fill(path):
                shslib.write_file(path + "/a.txt", "old")

            with v.Site("--upload", fill=fill, env=faults.env(rule)) as site:
                equal(site.request("PUT", "/a.txt", b"new")[0], status, rule)
                site.server.wait_stderr(r"PUT /a\.txt: could not be stored: " + why)
                equal((site.read("a.txt"), site.names()), (b"old", ["a.txt"]), rule)


def test_what_a_killed_server_left_is_swept(v):
    def kill_in_a_put(site, name):
        with site.server.connect() as sock:
            sock.sendall(b"PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n%s" % (name, b"x" * 100000))
            directory = os.path.dirname(site.path + name.decode())
            shslib.wait_until(lambda: any(n.startswith(HIDDEN) for n in os.listdir(directory)), 10, "the upload to begin")
            return directory

    def start(site, env):
        return v.server("--upload", site.path, env=env)

    with shslib.temp_dir() as top:
        faults = site_lab.Faults(top)
        env = faults.env("openat:tmpfile=EOPNOTSUPP")
        with v.Site("--upload", env=env, expect_exit=None) as site:
            os.makedirs(site.path + "/sub/deep")
            site.write(HIDDEN + "notes", b"somebody's own")
            places = [kill_in_a_put(site, name) for name in (b"/a.bin", b"/sub/deep/b.bin")]
            # Whoever is cut off cleans up; whoever is killed does not.
            shslib.wait_until(lambda: not any(n.startswith(HIDDEN) and n != HIDDEN + "notes" for p in places for n in os.listdir(p)),
                              10, "the uploads to be cut off")
            socks = []
            for name in (b"/a.bin", b"/sub/deep/b.bin"):
                sock = site.server.connect()
                sock.sendall(b"PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n%s" % (name, b"x" * 100000))
                socks.append(sock)
            shslib.wait_until(lambda: all(any(n.startswith(HIDDEN) and n != HIDDEN + "notes" for n in os.listdir(p)) for p in places),
                              10, "the uploads to begin")
            # Another server of the same files takes nothing that is being written.
            with start(site, env):
                check(all(len([n for n in os.listdir(p) if n.startswith(HIDDEN) and n != HIDDEN + "notes"]) == 1 for p in places),
                      "what is written was swept")
            site.server.signal(signal.SIGKILL)
            site.server.wait()
            for sock in socks:
                sock.close()
            with start(site, env) as server:
                equal([n for p in places for n in os.listdir(p) if n.startswith(HIDDEN)], [HIDDEN + "notes"])
                equal(server.request("PUT", "/a.bin", b"x")[0], 201)


rows(test_boundaries, test_names, test_a_thousand_collisions, test_a_form_shadows_nothing, test_methods, test_origins,
     test_cors_reads_and_does_not_write, test_the_mode_of_a_replaced_file_stays, test_the_second_look,
     test_a_lost_update_of_many, test_the_order_of_calls, test_file_systems_that_lack_something,
     test_what_a_killed_server_left_is_swept)
