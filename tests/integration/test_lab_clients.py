"""The lab and clients that are not ours: each gives every condition the verdict that is recorded."""

import lab_sweep
import shslib
from shslib import check

# What depends on chance, or on how a client's own build words it.
CHANCE = {"dh-small-subgroup": "one run in three has the public value 1"}
CURL = {"reversed-chain": "another sentence when there is a common name", "alpn-h2-only": "(52) Empty reply",
        "close-hello": "(35) SSL_ERROR_SYSCALL", "cut-certificate": "(35) SSL_ERROR_SYSCALL",
        "bad-mac-tls12": "OpenSSL 3.0.19 on says cipher operation failed", "duplicate-ext": "invalid certificate",
        "client-post-handshake": "depends on whether curl offers it", **CHANCE}


def curl_through_all():
    with lab_sweep.Lab() as lab:
        count = lab_sweep.sweep(lab, "curl", lab_sweep.curl, "curl", exceptions=CURL)
        by_id = {c["id"]: c for c in lab.conditions}
        for id in ("reversed-chain", "close-hello", "cut-certificate", "bad-mac-tls12", "duplicate-ext"):
            check(not lab_sweep.curl(lab, by_id[id])[0], id)
        print("curl", count)


def openssl_through_all():
    with lab_sweep.Lab() as lab:
        print("openssl", lab_sweep.sweep(lab, "openssl", lab_sweep.openssl, "openssl", exceptions=CHANCE))


def node_through_all():
    if not lab_sweep.have("node"):
        print("node is not installed: not asked")
        return
    with lab_sweep.Lab() as lab:
        print("node", lab_sweep.sweep(lab, "node", lab_sweep.node, "node", exceptions=CHANCE))


shslib.main(curl_through_all, openssl_through_all, node_through_all)
