"""`shs serve --config`: a file that says what flags say, several listeners, and mistakes by their line."""

import http.client
import os
import re
import ssl

import shslib
from shslib import check, equal

SITE = os.path.join(shslib.SOURCE_DIR, "examples", "site")


def shs(*arguments, cwd):
    return shslib.run(shslib.BIN, "serve", *arguments, cwd=cwd, seconds=20,
                      env={"HOME": cwd, "XDG_STATE_HOME": cwd + "/state"})


def faults(text, *arguments):
    """Exit code and lines of stderr for that file, without what they begin with."""
    with shslib.temp_dir() as path:
        shslib.write_file(path + "/c.yaml", text)
        code, out, err = shs("--config", "c.yaml", "--check", *arguments, cwd=path)
        equal(out if code else "", "", text)
        return code, [re.sub(r"^shs: error: ", "", line) for line in err.splitlines()]


def faulty(text, *lines):
    code, got = faults(text)
    equal((code, got), (2, list(lines)), text)


# -- what is wrong, and where -----------------------------------------------------------------------


def test_each_mistake_has_its_line():
    faulty("port: 1\n\nmax-boddy: 1k\nlistners: []\n",
           "c.yaml:3: there is no key 'max-boddy'; did you mean 'max-body'?",
           "c.yaml:4: there is no key 'listners'; did you mean 'listeners'?")
    faulty("qqqqqqqq: 1\n",
           "c.yaml:1: there is no key 'qqqqqqqq'; a key is the name of a flag: see 'shs serve --help'")
    faulty("port: 80x\nlimits:\n  max-body: 1q\n",
           "c.yaml:1: port '80x' is not a number from 0 to 65535",
           "c.yaml:3: max-body '1q' is not a number of bytes (k, m and g may be used) from 1 to 1125899906842624")
    faulty("log: xml\n", "c.yaml:1: log 'xml' is not one of: combined, common, json, none")
    faulty("plain: yes\n", "c.yaml:1: plain 'yes' is neither true nor false")
    faulty("port: 1\nport: 2\n", "c.yaml:2: 'port' is given twice, first in line 1")
    faulty("crl:\n", "c.yaml:1: 'crl' has no value; an empty one is ''")
    faulty("port: [1, 2]\n", "c.yaml:1: 'port' takes one value, not a list")
    faulty("port: {a: 1}\n", "c.yaml:1: 'port' takes one value, not keys")
    faulty("config: c.yaml\n", "c.yaml:1: there is no key 'config'; a key is the name of a flag: see "
           "'shs serve --help'")


def test_what_does_not_go_together_has_its_line():
    faulty("port: 0\ncrl: x\n", "c.yaml:2: crl needs --client-ca")
    faulty("plain: true\nwatch: true\n", "c.yaml:2: watch does not go with --plain")
    faulty("listeners:\n- port: 0\n- port: 0\n  max-upload: 1k\n",
           "c.yaml:4: max-upload goes with --upload only")
    # What stands at the top need not fit each listener, but one.
    faulty("max-upload: 1k\nlisteners:\n- port: 0\n- port: 0\n",
           "c.yaml:1: max-upload goes with --upload only")
    equal(faults("max-upload: 1k\nlisteners: [{port: 0, upload: true, plain: true}, {port: 0, plain: true}]\n"),
          (0, []))
    faulty("threading: fork\nlisteners: [{port: 0}, {port: 0}]\n",
           "c.yaml:1: threading fork goes with one listener, without --redirect, --health and --admin: use pool or thread")


def test_where_keys_belong():
    faulty("limits:\n  idle-timeout: 5\n", "c.yaml:2: 'idle-timeout' does not belong under 'limits' but under "
           "'deadlines'")
    faulty("limits:\n  port: 5\n", "c.yaml:2: 'port' does not belong under 'limits' but at the top")
    faulty("listeners:\n- log: none\n", "c.yaml:2: 'log' is for all listeners: put it at the top of the file")
    faulty("listeners:\n- workers: {threads: 2}\n",
           "c.yaml:2: 'workers' is for all listeners: put it at the top of the file")
    faulty("listeners:\n- listeners: []\n", "c.yaml:2: 'listeners' is a list at the top of the file")
    faulty("listeners: {port: 1}\n", "c.yaml:1: 'listeners' is a list at the top of the file")
    faulty("listeners: []\n", "c.yaml:1: 'listeners' is empty")
    faulty("listeners: [1]\n", "c.yaml:1: an entry of 'listeners' has keys: \"- port: 8443\"")
    faulty("cert: a\n", "c.yaml:1: 'cert' belongs in the list 'certificates': \"certificates: [{cert: ...}]\"")
    faulty("certificates:\n- crt: a\n", "c.yaml:2: there is no key 'crt'; did you mean 'cert'?")
    faulty("certificates:\n- {cert: a, port: 1}\n", "c.yaml:2: 'port' does not belong under 'certificates' but at the top")
    faulty("certificates:\n- {cert: a, watch: true}\n", "c.yaml:2: an entry of 'certificates' has only: cert key ocsp")
    faulty("deadlines: 5\n", "c.yaml:1: 'deadlines' has keys under it")


def test_files_that_are_none():
    faulty("- a\n", "c.yaml:1: a configuration is made of lines 'key: value'")
    faulty("a: b\n---\nc: d\n", "c.yaml:1: there is no key 'a'; a key is the name of a flag: see 'shs serve --help'")
    faulty("port: 0\n---\nport: 0\n", "c.yaml:2: a second document: a configuration is one")
    code, lines = faults("port: 0\n crl: x\n")
    equal((code, len(lines)), (2, 1))
    check(re.match(r"c\.yaml:2: this is not YAML: ", lines[0]), lines[0])
    code, lines = faults('port: "\\q"\n')
    check(code == 2 and "this is not YAML" in lines[0], str(lines))
    # Deep ones: a MiB of them would take libyaml hours.
    faulty("a: %s\n" % ("\n [" * 200000), "c.yaml:17: nested more than 16 levels deep")
    faulty("a: %s\n" % ("{a: " * 200000), "c.yaml:1: nested more than 16 levels deep")
    faulty("".join(" " * i + "-\n" for i in range(100)), "c.yaml:17: nested more than 16 levels deep")
    # One entry where a list belongs.
    faulty("routes: {path: /x}\n", "c.yaml:1: 'path' belongs in the list 'routes': \"routes: [{path: ...}]\"")
    # Nodes that have themselves as children, and many mistakes.
    faulty("index: &a [*a]\n", "c.yaml:1: 'index' takes one value, not a list")
    code, lines = faults("".join("zzzzzzz%d: 1\n" % i for i in range(100)))
    equal((code, len(lines), lines[-1]), (2, 21, "c.yaml: there are more than 20 mistakes"))
    code, lines = faults("listeners:\n%s" % "".join("- port: x%d\n" % i for i in range(30)))
    equal((code, len(lines), lines[-1]), (2, 21, "c.yaml: there are more than 20 mistakes"))
    code, lines = faults("index: [%s]\n" % ", ".join("a" for _ in range(40)))
    equal(code, 2)
    check("is one too many: at most 32" in lines[0], lines[0])
    with shslib.temp_dir() as path:
        os.mkfifo(path + "/fifo")
        shslib.write_file(path + "/long", "#" * ((1 << 20) + 1))
        for name, why in (("none", "No such file"), (".", "Is a directory"), ("fifo", "it is a pipe or a device"),
                          ("long", "more than 1048576 bytes")):
            code, out, err = shs("--config", name, cwd=path)
            equal((code, out), (1, ""))
            check(re.fullmatch(r"shs: error: [^\n]*%s[^\n]*\n" % why, err), err)


# -- routes -----------------------------------------------------------------------------------------


def routes(*entries):
    return "plain: true\nroutes:\n" + "".join("- %s\n" % entry for entry in entries)


def test_routes_that_are_wrong_name_their_place():
    faulty(routes("{pth: /b, answer: x}"), "c.yaml:3: there is no key 'pth'; did you mean 'path'?")
    faulty(routes("{path: /b, anser: x}"), "c.yaml:3: there is no key 'anser'; did you mean 'answer'?")
    faulty(routes("{answer: x}"), "c.yaml:3: an entry of 'routes' needs the key 'path'")
    faulty(routes("{path: /b, answer: x, port: 1}"),
           "c.yaml:3: 'port' does not belong under 'routes' but at the top")
    faulty("route-answer: x\n", "c.yaml:1: 'route-answer' belongs in the list 'routes': \"routes: [{answer: ...}]\"")
    faulty(routes("{path: /b, status: 2}"), "c.yaml:3: status '2' is not a number from 200 to 599")
    faulty(routes("{path: /b, status: 300, redirect: /c}"),
           "c.yaml:3: path '/b' redirects with 301, 302, 303, 307 or 308, not with 300")
    faulty(routes("{path: b, status: 404}"), "c.yaml:3: path 'b' cannot be used: Route * b: a pattern begins with \"/\".")
    faulty(routes("{path: /b}"), "c.yaml:3: path '/b' leads nowhere: say directory, redirect, answer or status")
    faulty(routes("{path: /b, answer: x, redirect: /c}"),
           "c.yaml:3: path '/b' is for one of directory, redirect and answer")
    faulty(routes("{path: /b, directory: ., status: 200}"),
           "c.yaml:3: path '/b' is a directory: status goes with redirect or answer")
    faulty(routes("{path: /b, answer: x, upload: true}"), "c.yaml:3: path '/b' is not a directory: index, no-listing, "
           "spa, no-compress, archive and upload go with one")
    faulty(routes("{path: /b=., directory: ..}"), "c.yaml:3: path '/b' has two directories: '.' and '..'")
    faulty(routes("{path: /b, directory: ., max-upload: 1k}"),
           "c.yaml:3: path '/b' takes no files: max-upload goes with upload")
    faulty(routes("{path: '/b/{c}', directory: .}"), "c.yaml:3: path '/b/{c}' is a directory: its path has no {...} in it")
    faulty(routes("{path: /b, redirect: //c}"),
           "c.yaml:3: path '/b' cannot lead to '//c': a redirect goes to /PATH, https://... or http://...")
    for to in ("https://{c}.test/", "https://test{c}", "https://{c}?x", "http://a@{c}/", "https://test:{c}#/"):
        faulty(routes("{path: '/b/{c}', redirect: '%s'}" % to),
               "c.yaml:3: path '/b/{c}' cannot lead to '%s': whoever asks would choose the host; "
               "{...} may stand after the first / of the path" % to)
    faulty(routes("{path: /b, redirect: /b}"), "c.yaml:3: path '/b' leads to itself")
    faulty(routes("{path: '/b/{c}', redirect: '/{d}'}"), "c.yaml:3: path '/b/{c}' has no parameter {d}, which '/{d}' names")
    faulty(routes("{path: /b, answer: x, status: 204}"),
           "c.yaml:3: path '/b' has a text, and an answer of status 204 has none")
    faulty(routes("{path: /b, answer: x, host: 'A:1'}"),
           "c.yaml:3: path '/b' has the host 'A:1': write a name in small letters, without a port")
    faulty(routes("{path: /b, answer: x, methods: get}"),
           "c.yaml:3: path '/b' cannot be used: Route get /b: methods are written in capitals.")
    faulty(routes("{path: /b, directory: ., methods: [PURGE]}"), "c.yaml:3: path '/b': files have no method PURGE")
    code, lines = faults(routes("{path: /b, directory: none}"))
    equal((code, lines), (1, ["c.yaml:3: path '/b': Cannot serve the directory none: No such file or directory."]))
    faulty(routes(*["{path: /%d, status: 404}" % i for i in range(129)]),
           "c.yaml:131: path '/128' is one too many: at most 128")
    for flags, line in ((("--route-upload",), "--route-upload belongs to the --route before it, and there is none"),
                        (("--route", "/a"), "--route '/a' leads nowhere: say directory, redirect, answer or status"),
                        (("--route", "/=.", "."), "--directory is never reached: --route '/' has every path")):
        with shslib.temp_dir() as path:
            code, out, err = shs("--check", "--plain", *flags, cwd=path)
            equal((code, out, err), (2, "", "shs: error: %s\n" % line))


def test_routes_that_meet_name_both_places():
    faulty(routes("{path: /a, answer: x}", "{path: /b, status: 404}", "{path: /a, redirect: /c}"),
           "c.yaml:5: path '/a' and c.yaml:3: path '/a' are for the same requests: Routes * /a and * /a match the same "
           "requests.")
    faulty(routes("{path: /a/, directory: .}", "{path: /a, directory: ..}"),
           "c.yaml:4: path '/a' and c.yaml:3: path '/a/' are for the same requests: Routes * /a/{path...} and * "
           "/a/{path...} match the same requests.")
    faulty(routes("{path: '/{a}/b', status: 404}", "{path: '/a/{b}', status: 404}"),
           "c.yaml:4: path '/a/{b}' and c.yaml:3: path '/{a}/b' are for the same requests: Routes * /a/{b} and * /{a}/b "
           "meet, and neither is more specific.")
    faulty("plain: true\ndirectory: .\n" + routes("{path: /, directory: .}")[12:],
           "c.yaml:2: directory is never reached: c.yaml:4: path '/' has every path")
    # Other methods, other hosts, and what is more specific do not conflict.
    equal(faults(routes("{path: /a, answer: x, methods: GET}", "{path: /a, answer: y, methods: [POST, PUT]}",
                        "{path: /a, answer: z, host: a.example}", "{path: '/{a}', status: 404}")), (0, []))


@shslib.not_under("fork")
def test_routes_answer():
    with shslib.temp_dir() as path:
        os.makedirs(path + "/docs/sub")
        os.mkdir(path + "/app")
        os.mkdir(path + "/up")
        shslib.write_file(path + "/docs/a.txt", "a")
        shslib.write_file(path + "/own.txt", "own")
        shslib.write_file(path + "/app/index.html", "app")
        shslib.write_file(path + "/c.yaml", "plain: true\nheader: {X-All: yes}\n" + "routes:\n" +
                          "- {path: /all, answer: all}\n" + "listeners:\n- {port: 0}\n- port: 0\n  routes:\n" + "".join(
                              "  - %s\n" % entry for entry in (
                                  "{path: /docs, directory: docs, no-listing: true, cache-control: max-age=60}",
                                  "{path: /app, directory: app, spa: true}",
                                  "{path: /up, directory: up, upload: true, max-upload: 4}",
                                  "{path: '/old/{rest...}', redirect: '/docs/{rest...}', status: 301}",
                                  "{path: '/to/{a}/{b}', redirect: 'https://example.com/{b}?a={a}'}",
                                  "{path: '/open/{rest...}', redirect: '/{rest...}'}",
                                  "{path: /gone, status: 410}",
                                  "{path: /empty, status: 204}",
                                  "{path: /ok, answer: fine, methods: [GET], type: text/x-ok}",
                                  "{path: /ok, answer: stored, methods: [POST], status: 201}",
                                  "{path: /own.txt, answer: other, host: b.example}")))
        with shslib.Server("--config", "c.yaml", argv=[shslib.BIN, "serve", "--config", "c.yaml"], cwd=path) as server:
            server.wait_stdout(r"(?s)(Serving [^\n]*\n){2}")
            ports = [int(port) for port in re.findall(r"^Serving \S+ on \S+ port (\d+)", server.stdout, re.M)]

            def ask(method, target, port=1, **headers):
                connection = http.client.HTTPConnection("127.0.0.1", ports[port], timeout=10 * shslib.SLOWNESS)
                try:
                    body = b"12345" if target == "/up/long" else b"1" if method in ("PUT", "POST") else None
                    connection.request(method, target, body=body, headers=headers)
                    answer = connection.getresponse()
                    return answer.status, answer.headers, answer.read()
                finally:
                    connection.close()

            def location(target):
                status, headers, _ = ask("GET", target)
                return status, headers["Location"]

            # The list of a listener stands for that of the top.
            equal((ask("GET", "/all", 0)[::2], ask("GET", "/all")[0]), ((200, b"all"), 404))
            equal(ask("GET", "/docs/a.txt", 0)[0], 200, "its own directory")
            status, headers, body = ask("GET", "/docs/a.txt")
            equal((status, body, headers["Cache-Control"], headers["X-All"]), (200, b"a", "max-age=60", "yes"))
            equal((ask("GET", "/docs/sub/")[0], ask("GET", "/app/not/there")[::2]), (404, (200, b"app")))
            equal((ask("GET", "/own.txt")[2], ask("GET", "/docs/../own.txt")[0]), (b"own", 404))
            equal(location("/docs?q=1"), (308, "/docs/?q=1"))
            equal((ask("PUT", "/up/x")[0], ask("PUT", "/up/long")[0], ask("PUT", "/docs/x")[0]), (201, 413, 501))
            equal(open(path + "/up/x").read(), "1")
            equal(location("/old/a%20b/c?q=1"), (301, "/docs/a%20b/c?q=1"))
            equal(location("/to/x%2Fy/z"), (308, "https://example.com/z?a=x/y"))
            equal((location("/open/x"), location("/open/%2Fevil.example"), location("/open/%5Cevil.example")),
                  ((308, "/x"), (404, None), (308, "/%5Cevil.example")), "no way to another host")
            equal((ask("GET", "/gone")[0], ask("GET", "/empty")[::2]), (410, (204, b"")))
            status, headers, body = ask("GET", "/ok")
            equal((status, body, headers["Content-Type"]), (200, b"fine", "text/x-ok"))
            status, headers, body = ask("HEAD", "/ok")
            equal((status, body, headers["Content-Length"]), (200, b"", "4"))
            equal(ask("POST", "/ok")[::2], (201, b"stored"))
            status, headers, _ = ask("DELETE", "/ok")
            equal((status, headers["Allow"]), (405, "GET, POST, HEAD, OPTIONS"))
            equal((ask("GET", "/own.txt", Host="B.example:1")[2], ask("GET", "/own.txt", Host="c.example")[2],
                   ask("GET", "/gone", Host="b.example")[0]), (b"other", b"own", 410))
            server.stop()
        equal(server.wait(), 0)


@shslib.not_under("fork")
def test_routes_are_read_again():
    """SIGHUP takes other routes, or keeps them all; what else has changed is said to need a restart."""
    with shslib.temp_dir() as path:
        def write(answer, more=""):
            shslib.write_file(path + "/c.yaml", "plain: true\nhandler: echo\n%slisteners:\n- {port: 0, routes: [%s]}\n"
                              "- {port: 0}\n" % (more, answer))

        write("{path: /a, answer: first}")
        with shslib.Server("--config", "c.yaml", argv=[shslib.BIN, "serve", "--config", "c.yaml"], cwd=path) as server:
            server.wait_stdout(r"(?s)(Serving [^\n]*\n){2}")
            port = int(re.findall(r"^Serving \S+ on \S+ port (\d+)", server.stdout, re.M)[0])

            def hang_up(words):
                before = server.stderr.count(words)
                server.signal(1)
                shslib.wait_until(lambda: server.stderr.count(words) > before, 20, "to hear: " + words)

            equal(get(port, "/a", False)[2], b"first")
            write("{path: /a, answer: second}")
            hang_up("Files read again; taken: 'c.yaml'")
            equal(get(port, "/a", False)[2], b"second")
            hang_up("Files read again; as before: 'c.yaml'")
            write("{path: /a, answer: x}, {path: /a, answer: y}")
            hang_up("Files not reloaded, all stays as it was: c.yaml:4: path '/a' and c.yaml:4: path '/a' are for")
            equal(get(port, "/a", False)[2], b"second")
            write("{path: /b, status: 404}", "limits: {max-requests: 7}\n")
            hang_up("c.yaml: 'max-requests' has changed since the start: that needs a restart")
            equal((get(port, "/b", False)[0], b"second" in get(port, "/a", False)[2]), (404, False))
            shslib.write_file(path + "/c.yaml", "plain: true\n")
            hang_up("c.yaml has 1 listeners and 2 are served: that needs a restart")
            equal(get(port, "/b", False)[0], 404)
            server.stop()
        equal(server.wait(), 0)


# -- what is right ----------------------------------------------------------------------------------


def test_empty_files_say_nothing():
    for text in ("", "# a comment\n", "---\n", "limits: {}\n"):
        code, lines = faults(text, "--plain", "--port", "0")
        equal((code, lines), (0, []), text)


def test_printed_is_read():
    """What --print-config prints says the same when it is read, and all keys can be uncommented."""
    with shslib.temp_dir() as path:
        flags = ["--cert", "a b.pem", "--key", "it's.key", "--ocsp", "x", "--cert", "c", "-H", "X-A: 'b\"",
                 "-H", "Y: z", "--max-body", "10m", "--max-head", "65537", "--no-listing", "--client-ca", "ca",
                 "--tls-min", "1.3", "--log", "none", "--bind", "", "--threads", "3", "--header", "T: null"]
        code, first, err = shs(*flags, "--print-config", cwd=path)
        equal((code, err), (0, ""))
        for line in ("bind: ''", "max-body: 10m", "max-head: 65537", "no-listing: true", "tls-min: 1.3",
                     "# max-connections-per-address: a quarter", "# max-threads: 1024", "  - cert: 'a b.pem'", "    key: 'it''s.key'", "# max-headers: 100", "log: none"):
            check(line in first.split("\n"), "%r is not in\n%s" % (line, first))
        shslib.write_file(path + "/c.yaml", first)
        equal(shs("--config", "c.yaml", "--print-config", cwd=path), (0, first, ""))
        code, out, _ = shs("--print-config", cwd=path)
        equal(code, 0)
        check(not re.search(r"^# [^:\n]+\n(\n|\Z)", out, re.M), "a heading with nothing below it:\n" + out)
        keys = re.findall(r"^# ([a-z-]+): ", out, re.M)
        entry = re.search(r"^# routes: \[\{(.*)\}\]$", out, re.M).group(1)
        for name in re.findall(r"^ +(?:-\w, )?--([a-z-]+)", shs("--help", cwd=path)[1], re.M):
            if name == "route" or name.startswith("route-"):
                key = {"route": "path", "route-method": "methods"}.get(name, name[len("route-"):])
                check(re.search(r"(^|, )%s: " % key, entry), "--%s is not a key of %s" % (name, entry))
            elif name not in ("help", "config", "check", "print-config", "now", "key", "ocsp", "cert"):
                check(name in keys, "--%s is not a key" % name)


def test_flags_win():
    with shslib.temp_dir() as path:
        shslib.write_file(path + "/c.yaml", "max-body: 1k\nheader: {A: b}\nlimits: {max-headers: 7}\n")
        out = shs("--config", "c.yaml", "--max-body", "2k", "-H", "C: d", "--print-config", cwd=path)[1]
        for line in ("max-body: 2k", "max-headers: 7", "  - 'C: d'"):
            check(line in out.split("\n"), out)
        check("A: b" not in out, "a list of the command line is added to the file's")
        shslib.write_file(path + "/two.yaml", "listeners: [{port: 0}, {port: 0}]\n")
        code, out, err = shs("--config", "two.yaml", "--port", "1", cwd=path)
        equal((code, err), (2, "shs: error: --port is for one listener, and two.yaml has 2\n"))


def test_check_serves_nothing():
    with shslib.temp_dir() as path:
        code, out, err = shs("--check", SITE, cwd=path)
        equal((code, out, err), (0, "This can be served: 1 listener\n", ""))
        check(not os.path.exists(path + "/state"), "looking at it made an authority")
        # All the rest is looked at although there is no certificate yet.
        for flag, name in (("--client-ca", "no-ca.pem"), ("--ticket-secret", "no-secret")):
            code, out, err = shs("--check", flag, name, SITE, cwd=path)
            equal((code, out), (1, ""), flag)
            check(name in err, err)
        code, out, err = shs("--check", "--cert", "none.pem", SITE, cwd=path)
        equal((code, out), (1, ""))
        check("none.pem" in err, err)
        code, out, err = shs("--check", "--plain", path + "/none", cwd=path)
        equal((code, out), (1, ""))


def get(port, path, tls):
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10 * shslib.SLOWNESS, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * shslib.SLOWNESS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@shslib.not_under("fork")
def test_listeners_have_their_own():
    with shslib.temp_dir() as path:
        shslib.write_file(path + "/c.yaml", "directory: %s\n"
                          "header: {X-All: yes}\n"
                          "listeners:\n"
                          "  - {port: 0, plain: true}\n"
                          "  - {port: 0, header: {X-Own: '2'}}\n"
                          "  - {port: 0, handler: echo, limits: {max-body: 3}}\n" % SITE)
        with shslib.Server("--config", path + "/c.yaml", argv=[shslib.BIN, "serve", "--config", path + "/c.yaml"],
                           env={"HOME": path, "XDG_STATE_HOME": path + "/state"}) as server:
            server.wait_stdout(r"(?s)(Serving .*){3}Try: [^\n]*\n")
            ports = [int(port) for port in re.findall(r"^Serving \S+ on \S+ port (\d+)", server.stdout, re.M)]
            equal(len(ports), 3)
            status, headers, _ = get(ports[0], "/", False)
            equal((status, headers["X-All"], headers["X-Own"]), (200, "yes", None))
            status, headers, _ = get(ports[1], "/", True)
            equal((status, headers["X-All"], headers["X-Own"]), (200, None, "2"))
            status, headers, body = get(ports[2], "/", True)
            equal((status, headers["X-All"]), (200, None))
            check(b"body_length" in body, body)
            server.stop()
        equal(server.wait(), 0)


def test_a_listener_at_several_addresses():
    faulty("plain: true\nbind:\n- 127.0.0.1\n- /run/s\n", "c.yaml:4: bind '/run/s' is not an address: 10.0.0.5, "
           "::1 or a name, with a port of its own 10.0.0.5:8443 or [::1]:8443, unix:PATH, fd:N from 3 on, systemd or systemd:NAME")
    with shslib.temp_dir() as path:
        shslib.write_file(path + "/c.yaml", "plain: true\nlisteners:\n"
                          "- {port: 0, bind: [127.0.0.1, 'unix:s', 127.0.0.2], handler: echo}\n"
                          "- {bind: 127.0.0.1:0, handler: echo}\n")
        printed = shs("--config", "c.yaml", "--print-config", cwd=path)[1]
        check("    bind:\n      - 127.0.0.1\n      - 'unix:s'\n      - 127.0.0.2\n" in printed, printed)
        with shslib.Server("--config", "c.yaml", argv=[shslib.BIN, "serve", "--config", "c.yaml"], cwd=path) as server:
            server.wait_stdout(r"(?s)(Serving [^\n]*\n){4}")
            where = re.findall(r"^Serving HTTP on (\S+) port (\d+)", server.stdout, re.M)
            equal([host for host, _ in where], ["127.0.0.1", "127.0.0.2", "127.0.0.1"])
            for host, port in where:
                server.address, server.port = host, int(port)
                equal(server.get("/")[0], 200)
            check(os.path.exists(path + "/s"), "no socket at the path")
            server.stop()
        equal(server.wait(), 0)
        check(not os.path.exists(path + "/s"), "the path is still there")


def test_one_that_cannot_listen_ends_all():
    with shslib.temp_dir() as path:
        shslib.write_file(path + "/c.yaml", "plain: true\nlisteners: [{port: 0}, {port: 0, bind: 192.0.2.1}]\n")
        code, out, err = shs("--config", "c.yaml", cwd=path)
        equal((code, out), (1, ""))
        check("192.0.2.1" in err, err)


def test_the_example():
    code, out, err = shslib.run(shslib.BIN, "serve", "--config", "examples/shs.yaml", "--check",
                                cwd=shslib.SOURCE_DIR)
    equal((code, out, err), (0, "This can be served: 2 listeners\n", ""))


if __name__ == "__main__":
    shslib.main(*[value for name, value in list(globals().items()) if name.startswith("test_")])
