"""Trusted proxies: Forwarded, X-Forwarded-*, X-Real-IP, and that nobody else's are seen or believed."""

import json
import re
import struct

import shslib
from shslib import check, equal

LOCAL = "127.0.0.0/8"


def server(*arguments, **keywords):
    return shslib.Server("--handler", "whoami", "--plain", *arguments, **keywords)


def ask(s, fields, status=200, sock=None):
    """What whoami says to a request with these fields, in their order."""
    sock = sock or s.connect_plain()
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
        for name, value in fields)
    shslib.send_all(sock, head + b"Connection: close\r\n\r\n")
    line, _, body, _ = shslib.read_response(sock)
    equal(int(line.split()[1]), status, repr(fields)[:200])
    sock.close()
    return json.loads(body) if status == 200 else body.decode()


def said(s, fields):
    return ask(s, fields)["forwarded"] or {}


def each_case(s, cases):
    for fields, wanted in cases:
        got = said(s, fields)
        equal({key: got.get(key) for key in wanted}, wanted, repr(fields)[:200])


FIELDS = [("Forwarded", "for=203.0.113.7;proto=https;host=evil.test"), ("X-Forwarded-For", "203.0.113.7"),
          ("x-forwarded-PROTO", "https"), ("X-Forwarded-Host", "evil.test"), ("X-Real-IP", "203.0.113.7"),
          ("X-Forwarded-Client-Cert", "URI=spiffe://corp/admin"), ("X-Forwarded-Anything", "x"),
          ("X-Forwarded-Port", "443")]


def echoed(s):
    """The request as a handler has seen it."""
    with s.connect_plain() as sock:
        shslib.send_all(sock, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + b"".join(
            ("%s: %s\r\n" % field).encode() for field in FIELDS) + b"X-Mine: kept\r\nFoo: kept\r\n\r\n")
        return shslib.read_response(sock)[2].decode()


def test_nobody_sees_forged_fields():
    """No proxy is trusted, or another one: no handler finds such a field, whatever its case."""
    for arguments in ([], ["--trusted-proxy", "10.0.0.0/8"]):
        with shslib.Server("--handler", "echo", "--plain", *arguments) as s:
            body = echoed(s)
            equal([name for name, _ in json.loads(body)["headers"]], ["Host", "Connection", "X-Mine", "Foo"], body)
        with server(*arguments) as s:
            equal(ask(s, FIELDS)["forwarded"], None)


def test_those_that_are_not_set_are_deleted_from_trusted_ones_too():
    with shslib.Server("--handler", "echo", "--plain", "--trusted-proxy", LOCAL) as s:
        body = echoed(s)
        equal([name for name, _ in json.loads(body)["headers"]],
              ["Host", "Connection", "X-Forwarded-For", "x-forwarded-PROTO", "X-Mine", "Foo"], body)


def test_x_forwarded_for():
    xff = "X-Forwarded-For"
    with server("--trusted-proxy", LOCAL, "--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "2001:db8:1::/48",
                "--forwarded-fields", "for,proto,host") as s:
        each_case(s, [
            ([], {}),
            ([(xff, "203.0.113.7")], {"client": "203.0.113.7", "port": 0}),
            ([(xff, "203.0.113.7:4711")], {"client": "203.0.113.7", "port": 4711}),
            ([(xff, "2001:db8::7")], {"client": "2001:db8::7", "port": 0}),
            ([(xff, "[2001:db8::7]:4711")], {"client": "2001:db8::7", "port": 4711}),
            ([(xff, "::ffff:203.0.113.7")], {"client": "203.0.113.7"}),
            # From the right; the left is the client's own invention.
            ([(xff, "1.1.1.1, 203.0.113.7")], {"client": "203.0.113.7"}),
            ([(xff, "1.1.1.1, 203.0.113.7, 10.1.2.3")], {"client": "203.0.113.7"}),
            ([(xff, "1.1.1.1, 203.0.113.7 ,10.1.2.3,2001:db8:1::9")], {"client": "203.0.113.7"}),
            ([(xff, "10.0.0.1, 10.0.0.2")], {"client": "10.0.0.1"}),
            ([(xff, "1.1.1.1"), (xff, "203.0.113.7"), (xff, "10.1.2.3")], {"client": "203.0.113.7"}),
            ([(xff, ", ,203.0.113.7,,")], {"client": "203.0.113.7"}),
            # What is not an address: who stands behind it stays.
            ([(xff, "1.1.1.1, evil")], {"client": "127.0.0.1"}),
            ([(xff, "1.1.1.1, evil, 10.0.0.1")], {"client": "10.0.0.1"}),
            ([(xff, "1.1.1.1, 203.0.113.7:99999")], {"client": "127.0.0.1"}),
            ([(xff, "1.1.1.1, 203.0.113.007")], {"client": "127.0.0.1"}),
            ([(xff, "1.1.1.1, [::1")], {"client": "127.0.0.1"}),
            ([(xff, "1.1.1.1, unknown")], {"client": "unknown", "port": 0}),
            ([(xff, "")], {"client": "127.0.0.1"}),
            # Scheme and host: the client's entry, or the last word.
            ([(xff, "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "www.test:8443")],
             {"client": "203.0.113.7", "scheme": "https", "host": "www.test:8443"}),
            ([(xff, "1.1.1.1, 203.0.113.7, 10.0.0.1"), ("X-Forwarded-Proto", "gopher, https, http")],
             {"scheme": "https"}),
            ([(xff, "203.0.113.7, 10.0.0.1, 10.0.0.2"), ("X-Forwarded-Proto", "http, HTTPS")], {"scheme": "https"}),
            ([(xff, "203.0.113.7"), ("X-Forwarded-Proto", "javascript")], {"scheme": "http"}),
            ([(xff, "203.0.113.7"), ("X-Forwarded-Host", "a b")], {"host": "localhost"}),
            ([(xff, "203.0.113.7"), ("X-Forwarded-Host", "evil/path")], {"host": "localhost"}),
        ])


def test_hostile_lists():
    with server("--trusted-proxy", LOCAL, "--max-head", "1m", "--max-headers", "10000") as s:
        xff = "X-Forwarded-For"
        each_case(s, [
            ([(xff, ", ".join(["1.1.1.1"] * 10000 + ["203.0.113.7"]))], {"client": "203.0.113.7"}),
            ([(xff, "1.1.1.1")] * 9000 + [(xff, "203.0.113.7")], {"client": "203.0.113.7"}),
            # All of them proxies: 32 are looked at.
            ([(xff, ", ".join("127.%d.%d.1" % (i // 250, i % 250) for i in range(10000)))],
             {"client": "127.%d.%d.1" % (9968 // 250, 9968 % 250)}),
            ([(xff, "," * 100000)], {"client": "127.0.0.1"}),
        ])


def test_forwarded():
    f = "Forwarded"
    with server("--trusted-proxy", LOCAL, "--trusted-proxy", "10.0.0.0/8", "--forwarded-fields", "rfc7239") as s:
        each_case(s, [
            ([(f, "for=203.0.113.7")], {"client": "203.0.113.7", "port": 0, "scheme": "http"}),
            ([(f, 'For="[2001:db8:cafe::17]:4711"')], {"client": "2001:db8:cafe::17", "port": 4711}),
            ([(f, "for=203.0.113.7;proto=https;by=203.0.113.43;host=www.test")],
             {"client": "203.0.113.7", "scheme": "https", "host": "www.test"}),
            ([(f, "for=192.0.2.43, for=203.0.113.7;proto=https, for=10.0.0.1;proto=http")],
             {"client": "203.0.113.7", "scheme": "https"}),
            ([(f, "for=192.0.2.43"), (f, 'for="203.0.113.7"')], {"client": "203.0.113.7"}),
            ([(f, "for=1.1.1.1, for=unknown;proto=https")], {"client": "unknown", "scheme": "https"}),
            ([(f, "for=_gazonk")], {"client": "_gazonk", "port": 0}),
            ([(f, 'for="203.0.113.7:_obf"')], {"client": "203.0.113.7", "port": 0}),
            ([(f, "for=1.1.1.1, proto=https")], {"client": "127.0.0.1", "scheme": "https"}),
            ([(f, 'for="evil, name"')], {"client": "127.0.0.1"}),
            ([(f, "secret=\"a,b;c\";for=203.0.113.7 ; proto=https")], {"client": "203.0.113.7", "scheme": "https"}),
            ([(f, ", ,for=203.0.113.7,")], {"client": "203.0.113.7"}),
            # The other kind is the client's.
            ([("X-Forwarded-For", "1.1.1.1")], {}),
        ])
        for bad in ('for="203.0.113.7', 'for=", for=203.0.113.7', 'for="1.1.1.1" x, for=203.0.113.7', "for",
                    "for=a;for=b", "=1", 'for="\\"', "for=1.1.1.1;", 'for=a"b"'):
            check("The Forwarded field cannot be read." in ask(s, [(f, bad)], 400), bad)


def test_real_ip_and_certificates():
    with server("--trusted-proxy", LOCAL, "--forwarded-fields", "real-ip,proto,cert") as s:
        xfcc = "X-Forwarded-Client-Cert"
        each_case(s, [
            ([("X-Real-IP", "203.0.113.7"), ("X-Forwarded-For", "1.1.1.1")], {"client": "203.0.113.7"}),
            ([(xfcc, 'By=spiffe://corp/lb;Hash=468e;Subject="/C=US/CN=Test; Client";URI=spiffe://corp/app')],
             {"cert_uri": "spiffe://corp/app", "cert_subject": "/C=US/CN=Test; Client", "cert_hash": "468e"}),
            # The last element is the peer's word; what stands before it need not be.
            ([(xfcc, "URI=spiffe://corp/admin,By=x;URI=spiffe://corp/app")], {"cert_uri": "spiffe://corp/app"}),
            ([(xfcc, "URI=spiffe://corp/admin"), (xfcc, "URI=spiffe://corp/app")], {"cert_uri": "spiffe://corp/app"}),
            ([(xfcc, 'Subject=""')], {"cert_uri": None, "cert_subject": ""}),
        ])
        for bad in ('Subject="a', 'Subject=",URI=spiffe://corp/app', "URI", "Subject=a;Subject=b", 'Hash="a"b'):
            check("The X-Forwarded-Client-Cert field cannot be read." in ask(s, [(xfcc, bad)], 400), bad)


def test_log_and_origin_and_proxy_protocol():
    with server("--trusted-proxy", LOCAL, "--log", "combined") as s:
        ask(s, [("X-Forwarded-For", "203.0.113.9")])
        s.wait_stderr(r'203\.0\.113\.9 - - \[')
    # Refused before a handler has it, but with a whole head: whose it was is known. Of one that is torn it is who is connected.
    # The time for a head is short only where none is whole: a slow client would be late for it.
    whole = ((b"Content-Length: 5\r\n\r\nab", 408), (b"\r\n", None), (b"Content-Length: 99999999999999\r\n\r\n", 413),
             (b"Content-Length: 1\r\nExpect: tea\r\n\r\n", 417), (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400))
    for more, who in (([], "127.0.0.1"), (["--trusted-proxy", LOCAL], "203.0.113.9")):
        for timeout, rows in (("--body-timeout", [row + (who,) for row in whole] + [(b"Host: b\r\n\r\n", 400, "127.0.0.1")]),
                              ("--head-timeout", [(b"X: y\r\n", 408, "127.0.0.1")])):
            with server("--log", "combined", timeout, "100", *more) as s:
                for rest, status, client in rows:
                    with s.connect_plain() as sock:
                        before = len(s.stderr)
                        shslib.send_all(sock, b"POST /%d HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.9\r\n"
                                        % len(rest) + rest)
                        line = shslib.read_response(sock)[0]
                        check(status is None or " %d " % status in line, (rest, line))
                        s.wait_stderr("(?s).{%d}.*" % before + re.escape(client) + r' - - \[[^\n]*" ' + line.split()[1])
    # A balancer that passes bytes on in front of a proxy that speaks HTTP.
    with server("--proxy-protocol", LOCAL, "--trusted-proxy", "198.51.100.0/24") as s:
        for peer, wanted in (("198.51.100.7", "203.0.113.9"), ("192.0.2.1", None)):
            sock = s.connect_plain()
            shslib.send_all(sock, b"PROXY TCP4 %s 127.0.0.1 1 2\r\n" % peer.encode())
            got = ask(s, [("X-Forwarded-For", "203.0.113.9")], sock=sock)
            equal((got["client"], (got["forwarded"] or {}).get("client")), (peer, wanted))


def test_requests_one_after_the_other():
    """What one request said is not the next one's."""
    with server("--trusted-proxy", LOCAL) as s, s.connect_plain() as sock:
        for client in ("203.0.113.1", None, "203.0.113.2", None):
            field = b"" if client is None else b"X-Forwarded-For: " + client.encode() + b"\r\n"
            shslib.send_all(sock, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + field + b"\r\n")
            got = json.loads(shslib.read_response(sock)[2])["forwarded"]
            equal(got and got["client"], client)


RULES = """
role viewer GET /**
role admin viewer + POST /**
map via %s via-uri "spiffe://corp.test/app" viewer
map via unix via-uri "spiffe://corp.test/app" viewer
map via %s via-cn "alice" viewer
map via 192.0.2.9 via-uri "spiffe://corp.test/other" viewer
"""


def status_of(s, fields, before=b""):
    with s.connect_plain() as sock:
        head = "".join("%s: %s\r\n" % field for field in fields).encode()
        shslib.send_all(sock, before + b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + head + b"\r\n")
        return int(shslib.read_response(sock)[0].split()[1])


def explained(path, *who):
    """What `shs acl explain` says of the same client."""
    code, out, err = shslib.run(shslib.BIN, "acl", "explain", "--json", "--policy", path, *who, "GET", "/")
    check(code in (0, 1), err)
    equal(code == 0, json.loads(out)["allowed"])
    return 200 if code == 0 else 403


def test_rules_name_the_proxy_that_may_assert():
    """X-Forwarded-Client-Cert and the CN of a PROXY header; the server and `shs acl explain` agree."""
    xfcc = "X-Forwarded-Client-Cert"
    with shslib.temp_dir() as path:
        rules = path + "/r.rules"
        shslib.write_file(rules, RULES % ("127.0.0.1", "127.0.0.1"))
        with server("--access", rules, "--trusted-proxy", LOCAL, "--forwarded-fields", "for,cert") as s:
            for uri, wanted in (("app", 200), ("other", 403), ("App", 403), ("app/x", 403)):
                uri = "spiffe://corp.test/" + uri
                equal(status_of(s, [(xfcc, "URI=" + uri)]), wanted, uri)
                equal(explained(rules, "--via", "127.0.0.1", "--via-uri", uri), wanted, uri)
            good = "URI=spiffe://corp.test/app"
            equal(status_of(s, [(xfcc, good + ";URI=spiffe://corp.test/x")]), 403, "two URIs")
            equal(status_of(s, [(xfcc, good + ",Hash=00")]), 403, "not the last element")
            equal(status_of(s, []), 403)
        # Of several names one may be denied, and nobody says which is meant.
        denying = shslib.write_file(path + "/d.rules", 'role viewer GET /**\ndeny via-dns "eve.test"\n'
                                    'map via 127.0.0.1 via-uri "spiffe://corp.test/app" viewer\n')
        with server("--access", denying, "--trusted-proxy", LOCAL, "--forwarded-fields", "cert") as s:
            for names, wanted in (("", 200), (";DNS=bob.test", 200), (";DNS=eve.test", 403),
                                  (";DNS=bob.test;DNS=eve.test", 403), (";DNS=eve.test;DNS=eve.test", 403)):
                equal(status_of(s, [(xfcc, good + names)]), wanted, names)
        # Nobody is trusted, or the field is not one that the proxy sets: it says nothing.
        for more in ([], ["--trusted-proxy", "10.0.0.0/8", "--forwarded-fields", "cert"], ["--trusted-proxy", LOCAL]):
            with server("--access", rules, *more) as s:
                equal(status_of(s, [(xfcc, good)]), 403, more)
        with server("--access", rules, "--proxy-protocol", LOCAL) as s:
            def header(name, verified=0, client=7):
                tlvs = b"\x20" + struct.pack("!HBI", 8 + len(name), client, verified) + b"\x22" + struct.pack(
                    "!H", len(name)) + name
                body = b"\xcb\0\x71\x07\xc6\x33\x64\1\0\1\0\2" + tlvs
                return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(body)) + body
            equal(status_of(s, [], header(b"alice")), 200)
            equal(explained(rules, "--via", "127.0.0.1", "--via-cn", "alice"), 200)
            equal(status_of(s, [], header(b"mallory")), 403)
            equal(status_of(s, [], header(b"alice", verified=1)), 403, "not verified")
            equal(status_of(s, [], header(b"alice", client=1)), 403, "no certificate")
        equal(explained(rules, "--via", "192.0.2.9", "--via-uri", "spiffe://corp.test/app"), 403)


def test_rules_that_name_no_proxy():
    for line, words in (('map via-uri "spiffe://corp/app" viewer', "which proxy may assert this?"),
                        ("map via 10.0.0.1 viewer", "add via-uri, via-dns, via-cn or via-cert"),
                        ('map uid 0 via-uri "spiffe://corp/app" viewer', "which proxy may assert this?"),
                        ('map via lb.test via-uri "spiffe://corp/app" viewer', "is not a proxy"),
                        ('map via 10.0.0.1 via 10.0.0.2 via-uri "a:b" viewer', "'via' twice"),
                        ('map via 10.0.0.1 via-uri "**" viewer', "would fit"),
                        ('map uri "spiffe://corp/lb" via-uri "spiffe://corp/app" viewer', "add 'ca NAME'")):
        with shslib.temp_dir() as path:
            shslib.write_file(path + "/r.rules", "role viewer GET /**\n" + line + "\n")
            code, _, err = shslib.run(shslib.BIN, "acl", "explain", "--policy", path + "/r.rules", "--nobody", "GET",
                                      "/")
            equal(code, 2, line)
            check(words in err, err)


def test_settings():
    for arguments, words in ((["--trusted-proxy", "10.0.0.5/8"], "has bits after its /8"),
                             (["--trusted-proxy", "cn="], "is not a network"),
                             (["--forwarded-fields", "for"], "trusted-proxy"),
                             (["--trusted-proxy", "::1", "--forwarded-fields", "for,foo"], "is not a list of"),
                             (["--trusted-proxy", "::1", "--forwarded-fields", "for,rfc7239"], "two fields"),
                             (["--trusted-proxy", "::1", "--forwarded-fields", "for,real-ip"], "two fields")):
        code, _, err = shslib.run(shslib.BIN, "serve", "--plain", "--check", *arguments)
        equal(code, 2, err)
        check(words in err, err)


shslib.main(test_nobody_sees_forged_fields, test_those_that_are_not_set_are_deleted_from_trusted_ones_too,
            test_x_forwarded_for, test_hostile_lists, test_forwarded, test_real_ip_and_certificates,
            test_log_and_origin_and_proxy_protocol, test_requests_one_after_the_other,
            test_rules_name_the_proxy_that_may_assert, test_rules_that_name_no_proxy, test_settings)
