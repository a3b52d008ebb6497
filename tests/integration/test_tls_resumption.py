"""Session tickets: keys from a secret, shared by a fleet; never past an age or into another scope."""

import contextlib
import json
import time

import shslib
import tls_pki
from shslib import check, equal

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def make_pki(directory):
    server = tls_pki.CA(directory, "server-root")
    root = tls_pki.CA(directory, "client-root")
    cert, key = server.issue("server", names=("DNS:localhost", "DNS:a.example"))
    cert_b, key_b = server.issue("server-b", names=("DNS:b.example",))
    shslib.write_file(directory + "/secret", b"0123456789abcdef" * 4 + b"\n")
    shslib.write_file(directory + "/other-secret", b"fedcba9876543210" * 4 + b"\n")
    return {"dir": directory, "cert": cert, "key": key, "cert_b": cert_b, "key_b": key_b,
            "server_ca": server.cert, "root": root, "alice": root.client("alice")}


def serve(pki, *more):
    return shslib.Server("--handler", "whoami", "--cert", pki["cert"], "--key", pki["key"], *more)


def ask(server, pki, tls=shslib.TLS or "1.3", take=None, keep=None, name="localhost", client=None):
    """What whoami says, with the session in file `take`, keeping the new one in `keep`."""
    argv = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.port, "-servername", name,
            "-CAfile", pki["server_ca"], "-quiet", "-ign_eof", "-tls" + tls.replace(".", "_")]
    if take:
        argv += ["-sess_in", take]
    if keep:
        argv += ["-sess_out", keep]
    if client:
        argv += ["-cert", client[0], "-key", client[1]]
    code, out, err = shslib.run(*argv, seconds=20, stdin=REQUEST)
    check("\r\n\r\n" in out, "no answer: %d %r %r" % (code, out, err))
    return json.loads(out.split("\r\n\r\n", 1)[1])


def resumed(*arguments, **keywords):
    return ask(*arguments, **keywords)["tls"]["resumed"]


def fleet(pki):
    """Three processes, one secret: a session from one is good on the others; else never."""
    secret = ("--ticket-secret", pki["dir"] + "/secret")
    kept = pki["dir"] + "/fleet"
    with serve(pki, *secret) as a, serve(pki, *secret) as b, serve(pki, *secret) as c, \
            serve(pki, "--ticket-secret", pki["dir"] + "/other-secret") as d, serve(pki) as e:
        for tls in ("1.3", "1.2"):
            check(not resumed(a, pki, tls, keep=kept), "resumed from nothing")
            for server, wanted in ((a, True), (b, True), (c, True), (d, False), (e, False)):
                equal(resumed(server, pki, tls, take=kept), wanted, "TLS " + tls)


def at(when):
    """The clock of a server that begins there."""
    return ("--now", "@%d" % when)


def epochs(pki):
    """A ticket is good in its epoch and the next, not after three: on servers whose clocks are in these epochs."""
    kept, seconds = pki["dir"] + "/epochs", 900  # three are within the age of a session
    flags = ("--ticket-secret", pki["dir"] + "/secret", "--ticket-epoch", str(seconds))
    middle = int(time.time()) // seconds * seconds + seconds // 2
    with contextlib.ExitStack() as stack:
        made, same, following, third = [
            stack.enter_context(serve(pki, *flags, *at(middle + epoch * seconds))) for epoch in (0, 0, 1, 3)]
        for tls in ("1.3", "1.2"):
            check(not resumed(made, pki, tls, keep=kept), "resumed from nothing")
            for server, wanted, what in ((same, True, "its epoch"), (following, True, "the next epoch"),
                                         (third, False, "after three epochs"), (made, True, "its epoch, still")):
                equal(resumed(server, pki, tls, take=kept), wanted, "TLS %s, %s" % (tls, what))


def reload_keeps_sessions(pki):
    kept = pki["dir"] + "/reload"
    with serve(pki) as server:
        resumed(server, pki, keep=kept)
        server.signal(1)
        server.wait_stderr("Files read again")
        check(resumed(server, pki, take=kept), "a reload cost the session")


def scopes(pki):
    """A ticket for one name is nothing to another; nor one from before client certificates."""
    kept = pki["dir"] + "/scope"
    secret = ("--ticket-secret", pki["dir"] + "/secret")
    two = ("--cert", pki["cert_b"], "--key", pki["key_b"])
    with serve(pki, *two, *secret) as server, \
            serve(pki, *two, *secret, "--client-ca", pki["root"].cert, "--client-auth", "explain") \
            as strict:
        for tls in ("1.3", "1.2"):
            resumed(server, pki, tls, keep=kept, name="a.example")
            check(resumed(server, pki, tls, take=kept, name="a.example"), "not for its own name")
            check(not resumed(server, pki, tls, take=kept, name="b.example"), "for another name")
            answer = ask(strict, pki, tls, take=kept, name="a.example")
            equal(answer.get("reason"), "none", "a ticket of a server that asks for nothing")


def clients_again(pki):
    """A resumed session carries the identity, and is looked at again: CRL."""
    kept = pki["dir"] + "/client"
    root = pki["root"]
    crl = root.crl()
    with serve(pki, "--client-ca", root.cert, "--client-auth", "explain", "--crl", crl) as server:
        answer = ask(server, pki, keep=kept, client=pki["alice"])
        check(answer["identity"]["verified"], repr(answer))
        answer = ask(server, pki, take=kept)
        check(answer["tls"]["resumed"] and answer["identity"]["common_name"] == "alice", answer)
        # Revoked, and the CRL reloaded: the ticket of before is no good.
        root.revoke("alice")
        root.crl()
        server.signal(1)
        server.wait_stderr("Files read again")
        equal(ask(server, pki, take=kept, client=pki["alice"])["reason"], "revoked")
        # A client that was refused has no use of its ticket either.
        equal(ask(server, pki, keep=kept + "3", client=pki["alice"])["reason"], "revoked")
        equal(ask(server, pki, take=kept + "3")["reason"], "none")


def expired_again(pki):
    """A certificate that expires within the life of its ticket: from then on there is a full handshake."""
    kept, root = pki["dir"] + "/expired", pki["root"]
    flags = ("--client-ca", root.cert, "--client-auth", "explain", "--crl", root.crl(root.base + "-again.crl"),
             "--ticket-secret", pki["dir"] + "/secret", "--ticket-epoch", "86400")
    short, now = root.client("short", end=3600), int(time.time())  # not before the CRL's thisUpdate
    with contextlib.ExitStack() as stack:
        made, before, after = [
            stack.enter_context(serve(pki, *flags, *at(now + seconds))) for seconds in (0, 3000, 3700)]
        for tls in ("1.3", "1.2"):
            check(ask(made, pki, tls, keep=kept, client=short)["identity"]["verified"], "the first time")
            again = ask(before, pki, tls, take=kept)
            check(again["tls"]["resumed"] and again["identity"]["verified"], "not while it is good: %r" % again)
            equal(ask(after, pki, tls, take=kept, client=short)["reason"], "expired", "TLS " + tls)
            equal(ask(after, pki, tls, take=kept)["reason"], "none", "TLS " + tls)


def resumption():
    with shslib.temp_dir() as directory:
        tls_pki.each_at_once(make_pki(directory), (clients_again, expired_again), (epochs, scopes), (fleet, reload_keeps_sessions))


shslib.main(resumption)
