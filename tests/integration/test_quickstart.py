"""examples/quickstart.sh: from the tree to a server whose every file comes back byte for byte."""

import contextlib
import hashlib
import os
import shutil
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


# Stands for cmake: says what it was asked for, and makes what it would have made, or fails at it.
CMAKE = """#!/bin/bash
echo "$*" >>"$CMAKE_LOG"
if [ "$1" = --preset ]; then
    mkdir -p build/release && touch build/release/build.ninja
    echo "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" >build/release/CMakeCache.txt
elif [ -n "$CMAKE_FAILS" ]; then
    seq -f 'a line of the compiler, %g' 100; exit 1
else
    printf '#!/bin/bash\\necho "shs $*"\\n' >"$2/shs" && chmod +x "$2/shs"
fi
"""


def make_tree(top):
    """What the script needs of the tree, with a site that is complete."""
    for folder in ("examples", "packaging"):
        os.makedirs(os.path.join(top, folder))
    for name in ("debian.sh", "debian-packages.txt"):
        shutil.copy(os.path.join(shslib.SOURCE_DIR, "packaging", name), os.path.join(top, "packaging", name))
    shutil.copy(SCRIPT, os.path.join(top, "examples", "quickstart.sh"))
    os.makedirs(os.path.join(top, "examples", "site", "files"))
    with open(os.path.join(top, "examples", "site", "files", "large.bin"), "wb") as file:
        file.truncate(64 << 20)


def builds_what_is_needed():
    """From a fresh tree, again, from a tree that was moved, and where the compiler fails."""
    with shslib.temp_dir() as top:
        tree, log = os.path.join(top, "a tree"), os.path.join(top, "cmake.log")
        make_tree(tree)
        os.mkdir(os.path.join(top, "bin"))
        shslib.write_file(os.path.join(top, "bin", "cmake"), CMAKE)
        os.chmod(os.path.join(top, "bin", "cmake"), 0o755)

        def start(*arguments, fails=""):
            env = dict(os.environ, PATH=os.path.join(top, "bin") + ":" + os.environ["PATH"], CMAKE_LOG=log, CMAKE_FAILS=fails)
            shslib.write_file(log, "")
            done = subprocess.run(["bash", os.path.join(tree, "examples", "quickstart.sh")] + list(arguments), env=env,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
            with open(log) as file:
                return done.returncode, done.stdout.decode(), done.stderr.decode(), file.read().splitlines()

        configure = "--preset release -DSHS_BUILD_TESTS=OFF -DSHS_BUILD_EXAMPLES=OFF"
        build = lambda: "--build %s/build/release --target shs" % tree  # noqa: E731
        code, out, err, asked = start("--port", "0")
        shslib.equal((code, out), (0, "shs serve --port 0 %s/examples/site\n" % tree), "the server of a fresh tree")
        shslib.equal(asked, [configure, build()], "what is built in a fresh tree")
        shslib.check("building into build/release" in err, err)
        shslib.equal(start()[3], [build()], "what is built the second time")
        os.rename(tree, tree + " moved")
        tree += " moved"
        shslib.equal(start()[3], [configure, build()], "what is built in a tree that was moved")
        code, out, err, _ = start(fails="yes")
        shslib.check(code != 0 and out == "", "a build that fails: exit code %d, stdout %r" % (code, out))
        shslib.check("a line of the compiler, 100\n" in err and "the build failed; all of it is in %s/build/release.log" % tree in err, err)


if shslib.SANITIZE:
    shslib.skip("quickstart makes its own build, without sanitizers")
if missing_packages() and os.geteuid() == 0:
    shslib.skip("quickstart would install packages: " + " ".join(missing_packages()))
shslib.main(builds_what_is_needed, serves_every_file, passes_options_on)
