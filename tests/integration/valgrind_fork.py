"""ForkingMixIn under valgrind: not a word about any process, parent or child."""

import glob
import os
import re

import shslib

VALGRIND = [os.environ["VALGRIND"], "-q", "--error-exitcode=99", "--leak-check=full",
            "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"]
# This valgrind may not know pidfd_open(2); the library then does without.
UNKNOWN_SYSCALL = re.compile(r"^--\d+-- (WARNING: unhandled|You may be able|Read the file|Nevertheless"
                             r"|it at http).*\n", re.MULTILINE)


def clean(program):
    with shslib.temp_dir() as here:
        code, out, said = shslib.run(*VALGRIND, "--log-file=" + here + "/log.%p",
                                     os.path.join(shslib.BUILD_DIR, program), seconds=100)
        logs = glob.glob(here + "/log.*")
        words = ""
        for log in logs:
            with open(log) as file:
                words += UNKNOWN_SYSCALL.sub("", file.read())
        shslib.equal(words, "", "valgrind's words")
        shslib.equal(code, 0, "exit code\n" + out[-2000:] + said[-2000:])
        shslib.check(len(logs) > 10, "only %d processes: were there no children?" % len(logs))


def children_and_parent_are_clean():
    clean("test_socketserver_forking")


def each_class_is_clean():
    clean("test_socketserver_rounds")


shslib.main(children_and_parent_are_clean, each_class_is_clean)
