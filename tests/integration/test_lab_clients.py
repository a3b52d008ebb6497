"""The lab and clients that are not ours: each gives every condition the verdict that is recorded."""

import concurrent.futures
import ssl

import lab_sweep
import shslib
from shslib import check, equal

# What depends on chance, or on how a client's own build words it.
CHANCE = {"dh-small-subgroup": "one run in three has the public value 1"}
CURL = {"reversed-chain": "another sentence when there is a common name", "alpn-h2-only": "(52) Empty reply",
        "close-hello": "(35) SSL_ERROR_SYSCALL", "cut-certificate": "(35) SSL_ERROR_SYSCALL",
        "bad-mac-tls12": "OpenSSL 3.0.19 on says cipher operation failed", "duplicate-ext": "invalid certificate",
        "client-post-handshake": "depends on whether curl offers it", **CHANCE}


if ssl.OPENSSL_VERSION_INFO >= (3, 2):  # curl of that time
    CURL["truncated-eof"] = "an end without close_notify is an error"

# What another sentence is said of, and is refused all the same.
CURL_REFUSES = ("reversed-chain", "close-hello", "cut-certificate", "bad-mac-tls12", "duplicate-ext", "alpn-h2-only")


def curl(lab):
    count = lab_sweep.sweep(lab, "curl", lab_sweep.curl_all, "curl", exceptions=CURL)
    results = lab_sweep.curl_all(lab, [c for c in lab.conditions if c["id"] in CURL_REFUSES])
    equal([id for id, (accepted, _) in results.items() if accepted], [], "accepted")
    return count


def openssl(lab):
    return lab_sweep.sweep(lab, "openssl", lab_sweep.openssl, "openssl", exceptions=CHANCE)


def node(lab):
    return lab_sweep.sweep(lab, "node", lab_sweep.node_all, "node", exceptions=CHANCE)


def each_client_through_all():
    """In one lab and at the same time, so that its slow keys are made once, and all wait together."""
    clients = [client for client in (curl, openssl, node) if lab_sweep.have(client.__name__)]
    with lab_sweep.Lab() as lab, concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        results = {client.__name__: pool.submit(client, lab) for client in clients}
        for name, result in results.items():
            print("      ", name, result.result())
    check("openssl" in results, "openssl is not installed")


shslib.main(each_client_through_all)
