#!/usr/bin/env python3
"""--tls-records: who reads and writes the records of a connection, and that nobody else notices."""

import contextlib
import http.client
import json
import os
import re
import ssl
import subprocess
import tempfile
import time

import shslib
from shslib import check

DIRECT = ("--tls-records", "direct")


def whoami(connection):
    connection.request("GET", "/")
    answer = connection.getresponse()
    check(answer.status == 200, "status %d" % answer.status)
    tls = json.loads(answer.read())["tls"]
    return tls["records"], tls["records_why"]


@contextlib.contextmanager
def kept(server, change=None):
    """A kept connection; `change` has a say in its client's context."""
    context = ssl.create_default_context(cafile=server.ca)
    if change is not None:
        change(context)
    connection = http.client.HTTPSConnection(server.server_name, server.port, context=context,
                                             timeout=20 * shslib.SLOWNESS)
    try:
        yield connection
    finally:
        connection.close()


def test_libssl_is_the_default():
    with shslib.Server("--handler", "whoami", "--tls-records", "libssl") as server, kept(server) as connection:
        for _ in range(3):
            check(whoami(connection) == ("libssl", "not-asked"), "not libssl")


def test_the_second_request_is_direct():
    with shslib.Server("--handler", "whoami", *DIRECT) as server, kept(server) as connection:
        check(whoami(connection) == ("libssl", "not-yet"), "the first")
        for _ in range(3):
            check(whoami(connection) == ("direct", None), "those after it")


def old(context):
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def counted(server, health):
    """The series of /metrics, those that are 0 left out."""
    connection = http.client.HTTPConnection("127.0.0.1", health, timeout=20 * shslib.SLOWNESS)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
    found = re.findall(r'^shs_tls_records_total\{server="[^"]*:%d",records="(\w+)",why="([^"]*)"\} (\d+)$' % server.port,
                       page, re.MULTILINE)
    check(len(found) >= 8, page)
    return {(records, why): int(count) for records, why, count in found if count != "0"}


@shslib.not_under("fork")
def test_metrics_count_them_by_reason():
    with shslib.Server("--handler", "whoami", "--health", "0", "--drain-grace", "0", *DIRECT) as server:
        health = int(server.wait_stdout(r"(?s)\nServing HTTP on 127\.0\.0\.1 port (\d+)").group(1))
        check(counted(server, health) == {}, "before anybody came")
        with kept(server) as first, kept(server) as second, kept(server, old) as third:
            for connection in (first, first, second, second, second, third):
                whoami(connection)
        check(client(server, [GET, GET], "-maxfraglen", "512").count('"max-fragment-length"') == 2, "another reason")
        check(client(server, ["k\n", GET, GET]).count('"key-update"') == 1, "another reason")
        found = counted(server, health)
        check(found == {("direct", ""): 2, ("libssl", "tls1.2"): 1, ("libssl", "max-fragment-length"): 1,
                        ("libssl", "key-update"): 1}, found)


def test_what_stays_with_libssl_says_why():
    with shslib.Server("--handler", "whoami", *DIRECT) as server:
        with kept(server, old) as connection:
            for _ in range(2):
                check(whoami(connection) == ("libssl", "tls1.2"), "TLS 1.2")
        said = client(server, [GET, GET], "-maxfraglen", "512")
        check(said.count('"max-fragment-length"') == 2, said)
        said = client(server, ["k\n", GET, GET])
        check(said.count('"key-update"') == 1, said)
        check('"direct"' not in said, said)


def test_records_that_are_to_be_padded_stay():
    """RecordPadding hides how long an answer is; records of our own have none."""
    with tempfile.TemporaryDirectory() as directory:
        config = shslib.write_file(directory + "/openssl.cnf", """
openssl_conf = all
[all]
ssl_conf = tls
[tls]
system_default = defaults
[defaults]
RecordPadding = 512
""")
        with shslib.Server("--handler", "whoami", *DIRECT, env={"OPENSSL_CONF": config}) as server:
            with kept(server) as connection:
                for _ in range(2):
                    check(whoami(connection) == ("libssl", "record-padding"), "padding")


GET = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def client(server, lines, *arguments):
    """openssl s_client, which says each of `lines` when it has heard the answer to the last."""
    with tempfile.NamedTemporaryFile() as out, subprocess.Popen(
            ["openssl", "s_client", "-connect", "%s:%d" % (server.address, server.port), "-servername", "localhost",
             "-CAfile", server.ca, "-tls1_3", *arguments],
            stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT) as process:
        deadline = shslib.Deadline(20, "openssl s_client")

        def heard():
            with open(out.name, "rb") as file:  # an offset of its own: the other one is the client's
                return file.read().decode("latin-1")

        def wait(what, count):
            while heard().count(what) < count:
                check(process.poll() is None, "it ended: " + heard()[-600:])
                deadline.left()
                time.sleep(0.01)

        wait("Verification: OK", 1)
        answers = updates = 0
        for line in lines:
            process.stdin.write(line.encode())
            process.stdin.flush()
            if line == GET:
                answers += 1
                wait('"identity"', answers)
            else:
                updates += 1
                wait("KEYUPDATE", updates)
        process.stdin.close()
        process.wait(20)
        return heard()


def test_keys_change_in_every_suite():
    with shslib.Server("--handler", "whoami", *DIRECT) as server:
        for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
            said = client(server, [GET, GET, "k\n", GET, "K\n", GET, "K\n", "k\n", GET], "-ciphersuites", suite)
            check(said.count('"direct"') == 4, "%s: %s" % (suite, said[-800:]))
            check(said.count(suite) >= 5, said[-800:])


def test_long_answers_and_uploads_arrive():
    with tempfile.TemporaryDirectory() as root:
        data = os.urandom(3_000_000)
        shslib.write_file(root + "/long", data)
        with shslib.Server("--upload", *DIRECT, root) as server, kept(server) as connection:
            for number in range(3):
                connection.request("GET", "/long")
                check(connection.getresponse().read() == data, "another file")
                connection.request("PUT", "/up%d" % number, body=data)
                answer = connection.getresponse()
                answer.read()
                check(answer.status == 201, "PUT: %d" % answer.status)
                with open("%s/up%d" % (root, number), "rb") as file:
                    check(file.read() == data, "another upload")


if __name__ == "__main__":
    shslib.main(test_libssl_is_the_default, test_the_second_request_is_direct,
                test_what_stays_with_libssl_says_why, test_metrics_count_them_by_reason, test_keys_change_in_every_suite,
                test_long_answers_and_uploads_arrive, test_records_that_are_to_be_padded_stay)
