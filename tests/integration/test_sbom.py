"""packaging/sbom.sh: what it says of shs and libshs.so is what readelf and dpkg say of them."""

import json
import os
import re
import shutil
import subprocess

import shslib
from shslib import check, equal

SCRIPT = shslib.SOURCE_DIR + "/packaging/sbom.sh"
VERSION = "9.8.7"
TIME = "2026-01-31T12:00:00Z"
LIBRARY = os.path.realpath(os.path.dirname(shslib.BIN) + "/libshs.so")


def sbom(*words):
    return shslib.run("bash", SCRIPT, *words)


def document(*words):
    code, out, err = sbom("--version", VERSION, "--created", TIME, *words)
    equal((code, err), (0, ""))
    return out, json.loads(out)


def needed(file):
    text = subprocess.run(["readelf", "-d", file], stdout=subprocess.PIPE, check=True).stdout.decode()
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", text))


def test_libraries():
    files = [shslib.BIN] + ([LIBRARY] if os.path.exists(LIBRARY) else [])
    _, said = document(*files)
    equal((said["spdxVersion"], said["dataLicense"], said["SPDXID"], said["creationInfo"]["created"]),
          ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT", TIME))
    packages = {package["SPDXID"]: package for package in said["packages"]}
    equal(len(packages), len(said["packages"]), "an id twice")
    equal((packages["SPDXRef-shs"]["versionInfo"], packages["SPDXRef-shs"]["licenseDeclared"]), (VERSION, "MIT"))
    comments = {package["comment"].replace(",", "").split()[2] for key, package in packages.items() if key != "SPDXRef-shs"}
    equal(comments, set().union(*[needed(file) for file in files]))
    for key, package in packages.items():
        check(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", key), key)
        check(package["filesAnalyzed"] is False and package["downloadLocation"] and package["name"], str(package))
        if key == "SPDXRef-shs" or shutil.which("dpkg-query") is None or "no Debian" in package["comment"]:
            continue
        real = subprocess.run(["dpkg-query", "-W", "-f", "${Version}\n", package["name"]], stdout=subprocess.PIPE, check=True)
        check(package["versionInfo"] in real.stdout.decode().split(), str(package))
        check(package["externalRefs"][0]["referenceLocator"].startswith("pkg:deb/debian/%s@" % package["name"]), str(package))
    related = {(r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"]) for r in said["relationships"]}
    equal(related, {("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-shs")} |
          {("SPDXRef-shs", "DYNAMIC_LINK", key) for key in packages if key != "SPDXRef-shs"})


def test_llhttp():
    """Compiled in: the version is that of its header."""
    with shslib.temp_dir() as top:
        shslib.write_file(top + "/llhttp/llhttp.c", b"")
        header = b"#define LLHTTP_VERSION_MAJOR 9\n#define LLHTTP_VERSION_MINOR 3\n#define LLHTTP_VERSION_PATCH 0\n"
        shslib.write_file(top + "/include/llhttp/llhttp.h", header)
        plain, said = document(shslib.BIN)[1], document("--llhttp", top, shslib.BIN)[1]
        equal([(p["name"], p["versionInfo"]) for p in said["packages"] if p not in plain["packages"]], [("llhttp", "9.3.0")])
        equal(document("--llhttp", top, shslib.BIN)[1], said, "another document the second time")
        check(said["documentNamespace"] != plain["documentNamespace"], "one namespace for two documents")
        shslib.write_file(top + "/include/llhttp/llhttp.h", b"")
        code, out, err = sbom("--version", VERSION, "--created", TIME, "--llhttp", top, shslib.BIN)
        check(code == 1 and out == "" and "does not say its version" in err, out + err)


def test_mistakes():
    for words, text in (((shslib.BIN,), "give --version, --created and the files"),
                        (("--version", "1", "--created", "now", shslib.BIN), "--created now is not a time"),
                        (("--version",), "--version needs a value"),
                        (("--frob", "1"), "there is no option --frob"),
                        (("--version", "1", "--created", TIME, SCRIPT), "is not a program or library")):
        code, out, err = sbom(*words)
        check(code == 1 and out == "" and text in err, "%s: %s%s" % (words, out, err))


shslib.main(test_libraries, test_llhttp, test_mistakes)
