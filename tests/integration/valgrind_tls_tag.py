"""The tag of a TLS record that came: nothing depends on it but OpenSSL's comparison.

tests/soak/tag_branches.c opens records whose tag is, to memcheck, memory that nobody wrote. Each branch and each
address that depends on one of its bytes is reported, with the program or library that it is in. All must be in
libcrypto; without any report nothing would have been shown, so there must be some for the comparison.
"""

import os
import xml.etree.ElementTree as ElementTree

import shslib

PROGRAM = os.path.join(shslib.BUILD_DIR, "tag_branches")
DEPENDS = {"UninitCondition", "UninitValue"}


def reports(*args):
    """(kind, function, object) of each place that memcheck reports: where it is, not who called it."""
    with shslib.temp_dir() as here:
        code, out, err = shslib.run(os.environ.get("VALGRIND", "valgrind"), "-q", "--xml=yes", "--xml-file=" + here + "/said.xml",
                                    "--error-limit=no", PROGRAM, *args, seconds=100)
        shslib.equal(code, 0, "exit code\n" + err[-2000:])
        shslib.equal(out, "51 records were opened\n")
        places = []
        for error in ElementTree.parse(here + "/said.xml").iter("error"):
            frame = error.find("stack/frame")
            places.append((error.findtext("kind"), frame.findtext("fn") or "?", os.path.basename(frame.findtext("obj") or "?")))
        return places


def only_libcrypto_looks_at_a_tag():
    places = reports()
    for kind, function, where in places:
        shslib.check(kind in DEPENDS and where.startswith("libcrypto.so"), "%s in %s of %s" % (kind, function, where))
    shslib.check(len(places) >= 1, "memcheck has seen no comparison at all: it cannot see ours")
    print("branches on a tag: " + ", ".join(sorted({"%s of %s" % place[1:] for place in places})))


def a_comparison_of_our_own_would_be_found_out():
    places = [place for place in reports("--prove") if place[2] == "tag_branches"]
    shslib.check(places and all(place[1] == "compare_byte_by_byte" for place in places), "found: %r" % places)


shslib.main(only_libcrypto_looks_at_a_tag, a_comparison_of_our_own_would_be_found_out)
