"""The table of tests/unit/http_cases.inc over sockets: plain and TLS, whole and in pieces.

The same table that the guard is tested with in memory, sent to `shs serve --handler echo`. What must
come back is one answer for each message of the expected outcome, and after a refusal the end: never
an answer more. Each case ends with our end of stream, so that nothing has to be waited for.

Each case is cut at a few places; with SHS_ALL_CUTS=1 at every one, over TCP and TLS, which takes minutes.
"""

import hashlib
import html
import json
import os
import queue
import re
import socket
import ssl
import threading
import time
import zlib

import shslib
from shslib import check, equal

CASES = shslib.SOURCE_DIR + "/tests/unit/http_cases.inc"
RULES = shslib.SOURCE_DIR + "/src/http/rules.h"
CLIENTS = 6
ALL_CUTS = bool(os.environ.get("SHS_ALL_CUTS"))
BETWEEN = 0.002  # seconds between the pieces, so that they are read one by one

TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([A-Z_]+)|/\*.*?\*/|\s+', re.DOTALL)
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]+|[0-7]{1,3}|.)")
SIMPLE = {"n": 10, "r": 13, "t": 9, "a": 7, "b": 8, "f": 12, "v": 11, "\\": 92, '"': 34, "'": 39, "?": 63}


def c_string(text):
    """What a C string literal stands for."""
    out, at = b"", 0
    for match in ESCAPE.finditer(text):
        out += text[at:match.start()].encode("utf-8")
        code = match.group(1)
        if code[0] == "x":
            out += bytes([int(code[1:], 16)])
        elif code[0] in "01234567":
            out += bytes([int(code, 8)])
        else:
            out += bytes([SIMPLE[code]])
        at = match.end()
    return out + text[at:].encode("utf-8")


def c_value(text, macros):
    out = b""
    for match in TOKEN.finditer(text):
        if match.group(1) is not None:
            out += c_string(match.group(1))
        elif match.group(2):
            out += macros[match.group(2)]
    return out


def split_arguments(text):
    """The arguments of a macro call: at commas outside of strings."""
    parts, start = [], 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|,', text, re.DOTALL):
        if match.group(0) == ",":
            parts.append(text[start:match.start()])
            start = match.end()
    return parts + [text[start:]]


def read_cases():
    macros, cases = {}, []
    with open(CASES, encoding="utf-8") as file:
        for line in file:
            define = re.match(r"#define (\w+) (.*)", line)
            if define:
                macros[define.group(1)] = c_value(define.group(2), macros)
            elif line.startswith("CASE("):
                name, data, outcome, _ = [c_value(part, macros) for part in
                                          split_arguments(line.strip()[5:-1])]
                cases.append((name.decode(), data, outcome))
    check(len(cases) >= 250, "the table is read: %d cases" % len(cases))
    return cases


def read_rules():
    with open(RULES, encoding="utf-8") as file:
        text = file.read().replace("\\\n", "\n")
    rules = {}
    for match in re.finditer(r'X\(\w+, (\d+), "([^"]+)",\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\)', text):
        rules[match.group(2)] = (int(match.group(1)), c_value(match.group(3), {}))
    check(len(rules) > 40, "the rules are read")
    return rules


# -- what must come back --------------------------------------------------------------------------

MESSAGE = re.compile(
    rb"^(?P<method>\S+) (?P<target>\S+) host=(?P<host>\S*)(?P<v10> v10)?(?P<expect> expect)?"
    rb"(?P<fields>(?: [A-Za-z]=<.*?>(?= [A-Za-z]=<| \[| trailers=| keep| close| \d{3} | wait|$))*)"
    rb"(?P<body> \[.*?\])?(?: trailers=\d+)?(?P<end> keep| close| wait| (?P<status>\d{3}) (?P<rule>\S+))$",
    re.DOTALL)


def expected(outcome):
    """A list of ("answer", ...), ("refusal", status, rule); "wait" is nothing at all."""
    wanted = []
    for part in re.split(rb"; (?=[A-Z!#$%&'*+.^_`|~0-9a-z-]+ \S+ host=|wait$|\d{3} )", outcome):
        if part == b"wait":
            continue
        refusal = re.match(rb"^(\d{3}) (\S+)$", part)
        if refusal:
            wanted.append(("refusal", int(refusal.group(1)), refusal.group(2).decode()))
            continue
        match = MESSAGE.match(part)
        check(match, "the outcome is not understood: %r" % part)
        if match.group("rule"):
            wanted.append(("refusal", int(match.group("status")), match.group("rule").decode()))
        elif match.group("end") != b" wait":
            wanted.append(("answer", match))
    return wanted


def normal(target, method):
    """The path and query of a target, as the guard reads them."""
    rest = re.sub(rb"^[a-zA-Z]+://[^/?]*", b"", target)
    if rest == b"" and method == "OPTIONS":  # RFC 9112 section 3.2.4
        return b"*"
    if rest != target and not rest.startswith(b"/"):
        rest = b"/" + rest
    path, mark, query = rest.partition(b"?")
    return re.sub(rb"^/+", b"/", path) + mark + query


def split_answers(data, methods):
    """The final answers in the bytes: status, headers, body. What is left over is an error."""
    answers = []
    while data:
        head, mark, data = data.partition(b"\r\n\r\n")
        check(mark, "half a head: %r" % head[:200])
        lines = head.split(b"\r\n")
        status = int(lines[0].split(b" ")[1])
        if status < 200:
            continue
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        length = int(headers.get(b"content-length", b"0"))
        method = methods[len(answers)] if len(answers) < len(methods) else b""
        if method == b"HEAD" or status in (204, 304):
            length = 0
        check(len(data) >= length, "half a body")
        answers.append((status, headers, data[:length]))
        data = data[length:]
    return answers


def methods_of(wanted):
    return [w[1].group("method") if w[0] == "answer" else b"" for w in wanted]


def answered(data, methods):
    """How many whole final answers there are."""
    try:
        return len(split_answers(data, methods))
    except (shslib.Failure, ValueError, IndexError):
        return 0


def compare(name, outcome, data, rules):
    wanted = expected(outcome)
    answers = split_answers(data, methods_of(wanted))
    equal([a[0] for a in answers], [200 if w[0] == "answer" else w[1] for w in wanted], name)
    for want, (status, headers, body) in zip(wanted, answers):
        if want[0] == "refusal":
            check(rules[want[2]][1].decode() in html.unescape(body.decode()), "%s: not the rule %s: %r" % (name, want[2], body))
            equal(headers.get(b"connection"), b"close", name)
            continue
        match = want[1]
        if match.group("method") == b"HEAD":
            continue
        said = json.loads(body.decode())
        equal(said["method"].encode(), match.group("method"), name)
        equal(normal(said["target"].encode("latin-1"), said["method"]), match.group("target"), name)
        equal(said["version"], "HTTP/1.0" if match.group("v10") else "HTTP/1.1", name)
        fields = [(n, v) for n, v in said["headers"] if len(n) == 1]
        shown = "".join(" %s=<%s>" % pair for pair in fields)
        if shown.isascii():
            equal(shown.encode(), match.group("fields"), name)
        content = (match.group("body") or b" []")[2:-1]
        equal(said["body_sha256"], hashlib.sha256(content).hexdigest(), name)


# -- sending --------------------------------------------------------------------------------------


def talk_plain(server, pieces):
    with server.connect_plain() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for number, piece in enumerate(pieces):
                if number == 1 and len(pieces) == 2:
                    time.sleep(BETWEEN)
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before the end: what it said is there to be read
        return receive(sock)


def receive(sock):
    data = b""
    while True:
        try:
            chunk = sock.recv(65536)
        except ConnectionResetError:
            return data
        if not chunk:
            return data
        data += chunk


def talk_tls(server, context, pieces, enough):
    """TLS by hand, a record for each piece. Reads until there is enough, and then whether more comes.

    (A close_notify would end our reading too, in Python: so here the end is waited for.)
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with server.connect_plain() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                chunk = sock.recv(65536)
                check(chunk, "closed in the handshake")
                incoming.write(chunk)
        try:
            for number, piece in enumerate(pieces):
                if number == 1 and len(pieces) == 2:
                    time.sleep(BETWEEN)
                tls.write(piece)
                sock.sendall(outgoing.read())
        except OSError:
            pass
        data = b""
        while True:
            try:
                plain = tls.read(65536)
                if not plain:  # close_notify
                    return data
                data += plain
                continue
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return data
            sock.settimeout(0.05 if enough(data) else 10 * shslib.SLOWNESS)
            try:
                chunk = sock.recv(65536)
            except (ConnectionResetError, socket.timeout):
                return data
            if not chunk:
                return data
            incoming.write(chunk)


def send_all_cases(server, cases, rules, ways, clients, talk):
    work, wrong = queue.Queue(), []
    for case in cases:
        for way in ways:
            work.put((case, way))
    total = work.qsize()

    def client():
        while True:
            try:
                (name, data, outcome), way = work.get_nowait()
            except queue.Empty:
                return
            for pieces in way(data):
                try:
                    methods = methods_of(expected(outcome))
                    got = talk(pieces, lambda data: answered(data, methods) >= len(methods))
                    compare(name, outcome, got, rules)
                except Exception as error:  # every wrong case is told, not only the first
                    wrong.append("%s (%s): %s" % (name, way.__name__, error))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for line in wrong[:20]:
        print(line)
    equal(len(wrong), 0, "wrong of %d" % total)
    equal(server.get("/after")[0], 200, "the server after all of it")


def whole(data):
    yield [data]


def bytewise(data):
    yield [data[i:i + 1] for i in range(len(data))]


def cut(data):
    """In two pieces: before the last byte, in the middle, and somewhere; or at every place."""
    places = {len(data) - 1, len(data) // 2, 1 + zlib.crc32(data) % max(1, len(data) - 1)}
    for place in sorted(range(1, len(data)) if ALL_CUTS else places):
        if 0 < place < len(data):
            yield [data[:place], data[place:]]


def run(threading_name, plain, ways, clients=CLIENTS, every=1):
    cases, rules = read_cases(), read_rules()
    cases = cases if ALL_CUTS else cases[::every]
    arguments = ["--handler", "echo", "--log", "none", "--log-level", "error",
                 "--threading", threading_name] + (["--plain"] if plain else [])
    with shslib.Server(*arguments) as server:
        if plain:
            def talk(pieces, _):
                return talk_plain(server, pieces)
        else:
            context = server.tls_context()

            def talk(pieces, enough):
                return talk_tls(server, context, pieces, enough)
        send_all_cases(server, cases, rules, ways, clients, talk)


def test_plain_pool():
    run("pool", True, (whole, bytewise, cut))


def test_plain_thread():
    run("thread", True, (whole,))


def test_plain_fork():
    run("fork", True, (whole,))


def test_plain_none():
    run("none", True, (whole,), clients=1)


def test_tls_pool():
    run("pool", False, (whole, bytewise) + ((cut,) if ALL_CUTS else ()), clients=16)


def test_tls_thread():
    run("thread", False, (whole,), clients=16)


def test_tls_fork():
    run("fork", False, (whole,), clients=16)


def test_tls_none():
    """One connection after the other: a few of them."""
    run("none", False, (whole,), clients=1, every=5)


def test_can_fail():
    """A wrong expectation is seen: the table would not pass with another rule, body or count."""
    cases, rules = read_cases(), read_rules()
    sample = {name: (data, outcome) for name, data, outcome in cases}
    with shslib.Server("--handler", "echo", "--plain", "--log", "none") as server:
        for name, other in (("get", b"GET / host=a keep; GET /2 host=a keep"),
                            ("get-two", b"GET / host=a keep"), ("get", b"400 bare-lf"),
                            ("rl02-bareLF-requestline", b"400 bare-cr"),
                            ("cl08-trailing-tab", b"POST / host=a [hellO] keep")):
            try:
                compare(name, other, talk_plain(server, [sample[name][0]]), rules)
            except shslib.Failure:
                continue
            check(False, "%s passes with %r" % (name, other))


shslib.main(test_can_fail, test_plain_pool, test_plain_thread, test_plain_fork, test_plain_none,
            test_tls_pool, test_tls_thread, test_tls_fork, test_tls_none)
