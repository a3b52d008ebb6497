"""The served directory is looked up again; nothing that looks whole is not; links lead where they may."""

import os
import re
import shutil
import subprocess
import threading
import time

import shslib
from shslib import check, equal
import site_lab
from site_lab import rows


def release(path, text):
    shslib.write_file(path + "/a.txt", text)
    shslib.write_file(path + "/large.bin", text * 20000)
    shslib.write_file(path + "/sub/b.txt", text)


def sees(server, text):
    """Small and kept, large and read, and what is listed: all of the one tree, at once."""
    equal(server.get("/a.txt")[2], text.encode())
    check(server.get("/large.bin")[2] == (text * 20000).encode(), "another large.bin")
    equal(server.get("/sub/b.txt")[2], text.encode())
    status, _, body = server.get("/")
    equal(status, 200)
    check(b'href="a.txt"' in body and b'href="sub/"' in body, body[-500:])


def test_a_link_is_swapped(v):
    """static-web-server#699."""
    with shslib.temp_dir() as top:
        for text in ("one", "two"):
            release(top + "/" + text, text)
        os.symlink("one", top + "/current")
        with v.server(top + "/current") as server:
            time.sleep(1.1)  # so that files are kept
            for text in ("one", "two", "one", "two"):
                os.symlink(text, top + "/next")
                os.rename(top + "/next", top + "/current")
                sees(server, text)
                sees(server, text)
            equal(server.get("/x.txt")[0], 404)
            shslib.write_file(top + "/two/x.txt", "x")
            equal(server.get("/x.txt")[2], b"x")


def test_it_is_removed_and_built_anew(v):
    with shslib.temp_dir() as top:
        release(top + "/dist", "one")
        for arguments, keywords in ((("dist",), {"cwd": top}), ((top + "/dist",), {}), ((), {"cwd": top + "/dist"})):
            with v.server(*arguments, **keywords) as server:
                sees(server, "one")
                shutil.rmtree(top + "/dist")
                for path in ("/", "/a.txt", "/sub/"):
                    status, fields, body = server.get(path)
                    equal((status, fields["Retry-After"]), (503, "2"), path)
                    check(b"empty" not in body, "an empty listing")
                server.wait_stderr(r"is gone \(No such file or directory\): requests get 503 until it is back")
                release(top + "/dist", "two")
                sees(server, "two")
                server.wait_stderr(r"is there again")
                shutil.rmtree(top + "/dist")
                release(top + "/dist", "one")
                sees(server, "one")


def test_another_is_moved_there(v):
    with shslib.temp_dir() as top:
        release(top + "/dist", "one")
        release(top + "/next", "two")
        with v.server("--upload", top + "/dist") as server:
            sees(server, "one")
            os.rename(top + "/dist", top + "/before")
            # Between the two renames of a swap the name is nobody's: the tree of before, for a moment.
            sees(server, "one")
            os.rename(top + "/next", top + "/dist")
            sees(server, "two")
            equal(server.request("PUT", "/new.txt", b"x")[0], 201)
            equal((os.path.exists(top + "/dist/new.txt"), os.path.exists(top + "/before/new.txt")), (True, False))
            # But who takes it away has taken it away.
            os.rename(top + "/dist", top + "/away")
            shslib.wait_until(lambda: server.get("/a.txt")[0] == 503, 10, "it to be gone")
            equal(server.request("PUT", "/late.txt", b"x")[0], 503)
            os.rename(top + "/away", top + "/dist")
            sees(server, "two")


def test_a_request_stays_in_its_tree(v):
    """While links are swapped, each answer is of one release, whole."""
    with shslib.temp_dir() as top:
        for text in ("one", "two"):
            release(top + "/" + text, text)
        os.symlink("one", top + "/current")
        stop, faults = threading.Event(), []

        def swap():
            try:
                while not stop.is_set():
                    for text in ("two", "one"):
                        os.symlink(text, top + "/next")
                        os.rename(top + "/next", top + "/current")
            except OSError as fault:
                faults.append(fault)

        with v.server(top + "/current") as server:
            thread = threading.Thread(target=swap)
            thread.start()
            try:
                for _ in range(60):
                    for path, times in (("/a.txt", 1), ("/large.bin", 20000)):
                        status, _, body = server.get(path)
                        check(status == 200 and body in (b"one" * times, b"two" * times), "%s: %d" % (path, status))
            finally:
                stop.set()
                thread.join()
            equal(faults, [])
            shslib.wait_until(lambda: len([n for n in server.open_files() if n.startswith(top)]) <= 2, 10,
                              "the trees of before to be closed")


# -- links ----------------------------------------------------------------------------------------


def rows_of(page):
    """Names in a listing: {name: href or None}."""
    found = {}
    for cell in re.findall(r"<tr[^>]*><td[^>]*>(.*?)</td>", page.decode(), re.S):
        link = re.search(r'<a href="([^"]*)"', cell)
        found[re.sub(r"<[^>]*>", "", cell).strip()] = link.group(1) if link else None
    return found


def test_links(v):
    """Inside: they work, however they are written. What leads nowhere here is shown, and is not a link."""
    with v.Site("--upload") as site:
        site.write("docs/a.txt", b"in docs")
        site.write(".hidden/h.txt", b"hidden")
        shslib.write_file(site.top + "/outside/o.txt", b"not yours")
        os.symlink(site.path + "/docs/a.txt", site.path + "/absolute.txt")
        os.symlink(site.path + "/docs", site.path + "/absolute")
        os.symlink("../site/docs", site.path + "/around")
        os.symlink(site.path, site.path + "/root")
        os.symlink("docs", site.path + "/relative")
        os.symlink(site.top + "/outside", site.path + "/escaping")
        os.symlink(site.top + "/outside/o.txt", site.path + "/escaping.txt")
        os.symlink(site.path + "-more", site.path + "/beside")  # its name begins as ours does
        shslib.write_file(site.path + "-more/o.txt", b"not yours")
        os.symlink("/proc/self/root/etc/passwd", site.path + "/magic")
        os.symlink("gone", site.path + "/dangling")
        os.mkfifo(site.path + "/fifo")
        for path in ("/absolute.txt", "/absolute/a.txt", "/around/a.txt", "/root/docs/a.txt", "/relative/a.txt",
                     "/root/root/absolute/a.txt"):
            equal(site.get(path)[0::2], (200, b"in docs"), path)
            equal(site.get(path)[0::2], (200, b"in docs"), path + ", kept")
        equal(site.get("/absolute")[1]["Location"], "/absolute/")
        for path in ("/escaping.txt", "/escaping/o.txt", "/escaping/", "/escaping", "/beside/o.txt", "/magic",
                     "/dangling", "/fifo", "/root/escaping/o.txt"):
            status, _, body = site.get(path)
            equal(status, 404, path)
            check(b"not yours" not in body, path)
        equal(site.request("PUT", "/absolute/new.txt", b"x")[0], 201)
        check(os.path.exists(site.path + "/docs/new.txt"), "through a link inside")
        equal(site.request("PUT", "/escaping/new.txt", b"x")[0], 409)
        names = rows_of(site.get("/")[2])
        for name, href in (("absolute.txt@", "absolute.txt"), ("absolute@", "absolute/"), ("around@", "around/"),
                           ("relative@", "relative/"), ("docs/", "docs/"), ("root@", "root/"), ("escaping@", None),
                           ("escaping.txt@", None), ("beside@", None), ("magic@", None), ("dangling@", None), ("fifo", None)):
            equal(names.get(name, "not there"), href, name)
        for name, href in names.items():  # whatever is a link works
            if href is not None:
                equal(site.get("/" + href)[0], 200, name)


# -- nothing that looks whole is not -----------------------------------------------------------------


def test_an_index_page_that_cannot_be_opened(v):
    def fill(top):
        shslib.write_file(top + "/index.html", "index")
        shslib.write_file(top + "/sub/index.html", "sub")
        shslib.write_file(top + "/a.txt", "a")

    with shslib.temp_dir() as top:
        faults = site_lab.Faults(top)
        for rule, status in (("openat2:index.html=EMFILE", 503), ("openat2:index.html=ENFILE", 503),
                             ("openat2:index.html=ENOMEM", 503), ("openat2:index.html=EIO", 500),
                             ("openat2:index.html=ESTALE", 500), ("fstat:index.html=EIO", 500),
                             ("openat2:index.html=EACCES", 404), ("openat2:index.html=ENOENT", 200)):
            with v.Site(fill=fill, env=faults.env(rule)) as site:
                for path in ("/", "/sub/"):
                    got = site.get(path)
                    equal(got[0], status, rule + " " + path)
                    check((b"Directory listing" in got[2]) == (status == 200), "a listing instead of the page")
                if status in (500, 503):
                    site.server.wait_stderr(r"GET /: cannot be ")
                    equal(site.get("/index.html")[0], status, rule)
            with v.Site("--spa", fill=fill, env=faults.env(rule)) as site:
                equal(site.get("/users/7")[0], 404 if status == 200 else status, "--spa " + rule)
        for rule, status in (("openat2:a.txt=EMFILE", 503), ("openat2:a.txt=EIO", 500), ("fstat:a.txt=EIO", 500),
                             ("openat2:a.txt=EINTR", 503)):
            with v.Site(fill=fill, env=faults.env(rule)) as site:
                equal(site.get("/a.txt")[0], status, rule)


def test_entries_that_cannot_be_asked(v):
    """Listed without details, never left out."""
    def fill(top):
        for name in ("a.txt", "b.txt", "dir/x"):
            shslib.write_file(top + "/" + name, "x" * 2000)
        os.symlink("a.txt", top + "/link")

    with shslib.temp_dir() as top:
        faults = site_lab.Faults(top)
        for error in ("EIO", "EACCES", "EINTR", "ESTALE"):
            with v.Site(fill=fill, env=faults.env("fstatat:b.txt=%s,fstatat:dir=%s,fstatat:link=%s" % (error, error, error))) as site:
                status, _, page = site.get("/")
                names = rows_of(page)
                equal({name: names.get(name, "left out") for name in ("a.txt", "b.txt", "dir/", "link@")},
                      {"a.txt": "a.txt", "b.txt": "b.txt", "dir/": "dir/", "link@": "link"}, error)
                row = re.search(rb'<tr[^>]*><td[^>]*><a href="b.txt".*?</tr>', page, re.S).group(0)
                check(b"KiB" not in row and b"1970" not in row, row)
        with v.Site(fill=fill, env=faults.env("openat2:link=EMFILE")) as site:
            equal(rows_of(site.get("/")[2]).get("link@", "left out"), "link")


def test_no_descriptors_left(v):
    """Forty clients of a server that may have 24 files: 200 with the page, or 503; never a listing."""
    if not shutil.which("prlimit"):
        print("       left out: there is no prlimit")
        return

    def fill(top):
        shslib.write_file(top + "/index.html", "the page " * 3000)

    with v.Site(fill=fill) as site:
        subprocess.run(["prlimit", "--pid", str(site.server.pid), "--nofile=24:"], check=True)
        seen = []

        def ask():
            for _ in range(10):
                try:
                    seen.append(site.get("/")[0::2])
                except Exception:  # not accepted: no answer is not a false one
                    pass

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for status, body in seen:
            check((status == 200 and body == b"the page " * 3000) or status == 503, "%d: %s" % (status, body[:100]))
        check(any(status == 200 for status, _ in seen), "nobody was served")


rows(test_a_link_is_swapped, test_it_is_removed_and_built_anew, test_another_is_moved_there,
     test_a_request_stays_in_its_tree, test_links, test_an_index_page_that_cannot_be_opened,
     test_entries_that_cannot_be_asked, test_no_descriptors_left)
