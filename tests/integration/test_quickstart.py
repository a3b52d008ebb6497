"""examples/quickstart.sh: from the tree to a server whose every file comes back byte for byte."""

import contextlib
import hashlib
import os
import subprocess
import urllib.parse

import shslib

SCRIPT = os.path.join(shslib.SOURCE_DIR, "examples", "quickstart.sh")
SITE = os.path.join(shslib.SOURCE_DIR, "examples", "site")


def missing_packages():
    done = subprocess.run(["bash", os.path.join(shslib.SOURCE_DIR, "packaging", "debian.sh"), "missing", "build"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.stdout.decode().split() if done.returncode == 0 else []


def digest(stream):
    hashed = hashlib.sha256()
    while True:
        block = stream.read(1 << 20)
        if not block:
            return hashed.hexdigest()
        hashed.update(block)


def serves_every_file():
    # It builds first, which takes what it takes on a small machine.
    with shslib.Server(argv=["bash", SCRIPT, "--port", "0"], start_seconds=840) as server:
        shslib.equal(server.scheme, "https", "scheme")
        shslib.check(server.ca, "the server names no authority to verify its certificate with")
        count = 0
        for folder, _, names in os.walk(SITE):
            for name in sorted(names):
                path = os.path.join(folder, name)
                url = "/" + urllib.parse.quote(os.path.relpath(path, SITE))
                with contextlib.closing(server.connection(60)) as connection:
                    connection.request("GET", url)
                    answer = connection.getresponse()
                    got = digest(answer)
                    shslib.equal(answer.status, 200, "status of " + url)
                with open(path, "rb") as file:
                    shslib.equal(got, digest(file), "bytes of " + url)
                count += 1
        shslib.check(count >= 2, "examples/site has only %d files" % count)
        large = os.path.getsize(os.path.join(SITE, "files", "large.bin"))
        shslib.equal(large, 64 << 20, "size of large.bin")


def passes_options_on():
    with shslib.Server(argv=["bash", SCRIPT, "--port", "0", "--plain"], start_seconds=120) as server:
        shslib.equal(server.scheme, "http", "scheme with --plain")
    code, out, _ = shslib.run("bash", SCRIPT, "--no-such-option")
    shslib.check(code != 0 and out == "", "an unknown option: exit code %d, stdout %r" % (code, out))


if shslib.SANITIZE:
    shslib.skip("quickstart makes its own build, without sanitizers")
if missing_packages() and os.geteuid() == 0:
    shslib.skip("quickstart would install packages: " + " ".join(missing_packages()))
shslib.main(serves_every_file, passes_options_on)
