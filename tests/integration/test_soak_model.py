"""The model of tests/soak/tls_trust.py: what a handshake may find while files change, and what not. No server."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "soak")]
import shslib  # noqa: E402
import trust_model  # noqa: E402

WITHIN = 2.0


def model():
    return trust_model.Model({"n": "A", "m": "X"}, WITHIN, 0.0)


def changed(it, value, began, made, seen):
    it.change("n", value, began)
    it.made("n", made)
    it.seen("n", seen)


def may_find(it, began, ended, *values):
    shslib.equal(it.possible("n", began, ended), list(values), "from %.1f to %.1f" % (began, ended))


def one_change():
    it = model()
    may_find(it, 1, 2, "A")
    changed(it, "B", 10, 11, 12)
    may_find(it, 8, 9.9, "A")  # before
    may_find(it, 9, 10.5, "A", "B")
    may_find(it, 11, 12, "A", "B")  # made, but the server has not read it yet
    may_find(it, 12.1, 13, "B")  # after
    may_find(it, 9, 20, "A", "B")
    shslib.equal(it.possible("m", 9, 20), ["X"], "another one does not change")


def two_changes_in_one_handshake():
    it = model()
    changed(it, "B", 10, 11, 11.3)
    changed(it, "C", 11.4, 11.5, 11.8)
    may_find(it, 9, 12, "A", "B", "C")  # the first of three is not forgotten
    may_find(it, 9, 9.9, "A")  # nor when it is judged only now
    may_find(it, 11.35, 12, "B", "C")
    may_find(it, 11.9, 12, "C")


def two_changes_at_once():
    it = model()
    it.change("n", "B", 10)
    it.made("n", 10.1)
    it.change("n", "C", 10.2)
    it.made("n", 10.3)
    may_find(it, 10.4, 10.5, "A", "B", "C")
    it.seen("n", 11)
    may_find(it, 10.4, 10.5, "A", "B", "C")
    may_find(it, 11.1, 11.2, "C")


def the_bound():
    it = model()
    it.change("n", "B", 10)
    may_find(it, 30, 31, "A", "B")  # it is still being made
    it.made("n", 32)
    may_find(it, 33.9, 40, "A", "B")
    may_find(it, 34.1, 40, "B")  # later than 2 s, though nobody has seen it yet
    it.seen("n", 50)  # too late: it makes nothing possible again
    may_find(it, 34.1, 40, "B")


def no_way_back():
    it = model()
    it.change("n", "B", 10)
    it.made("n", 10.1)
    it.found("n", "B", 10.2, 10.3)
    may_find(it, 10.25, 10.4, "A", "B")  # it began before
    may_find(it, 10.35, 10.4, "B")
    it.seen("n", 11)
    may_find(it, 10.35, 10.4, "B")


def what_comes_again():
    it = model()
    changed(it, "B", 10, 10, 10.5)
    it.change("n", "A", 11)
    may_find(it, 9, 12, "A", "B", "A")
    it.found("n", "A", 9, 12)  # it says not which of the two, so it says nothing
    may_find(it, 12.1, 12.2, "B", "A")
    it.found("n", "A", 11, 12.3)  # the second one
    may_find(it, 12.4, 12.5, "A")


shslib.main(one_change, two_changes_in_one_handshake, two_changes_at_once, the_bound, no_way_back, what_comes_again)
