#!/usr/bin/env python3
"""Would a test notice if a room no longer looked at something?

    python3 tests/mutation/rooms.py              every mutant of the rooms in HELD
    python3 tests/mutation/rooms.py --survey     of what is not held to it yet
    python3 tests/mutation/rooms.py FILE...      of these files: "access/decide"
    ... --sample N                               every N-th of them, for ctest
    ... --list                                   says them, and tries none

A mutant is a file of src/ in which one of these is wrong:

    never     a condition, or one side of its ||, of an `if` behind which a return, continue, break or
              goto stands: it is looked at, and never true
    always    one side of a `return a && b` is true; of a `return a || b`, false
    limit     a < of such a condition is a <=, or the other way round
    gone      a call whose value nobody uses is not made

It is killed when a unit test that belongs to the file fails, crashes or does not end. Conditions that
look for memory or pass a failure on are left out: tests/faults is for them. So are calls that give
memory back, or keep threads apart: only the sanitizers and valgrind see that they are missing.

The last line is "N of N mutants killed". rooms_known.py says which ones nobody can notice, and why;
they are in neither number. Exit code 0: each of the others is killed (with --survey: always).

$SHS_BUILD_DIR (build/debug by default) is a build without sanitizers, made by ninja, in which libshs.a
and the unit tests are up to date. A file is compiled once, with all its mutants; $SHS_MUTANT is the
number of the one that is in force. Nothing is written into the sources.
"""

import argparse
import collections
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

from rooms_known import BY_LIBSSL, KNOWN

HERE = os.path.dirname(os.path.abspath(__file__))
SRC = os.environ.get("SHS_SOURCE_DIR") or os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("SHS_BUILD_DIR") or os.path.join(SRC, "build", "debug")

# Files of src/, and the unit tests that have to notice.
HELD = (
    ("access/decide access/pattern access/policy access/read", "test_access"),
    ("handler/auth_checks", "test_auth_checks"),
    ("handler/authorization handler/bearer handler/rate_limit", "test_middleware"),
    ("handler/basic_auth", "test_basic_auth"),
    ("handler/conditional", "test_conditional test_etag"),
    ("handler/origin handler/cors", "test_origin"),
    ("handler/path", "test_path"),
    ("handler/password", "test_password"),
    ("handler/range", "test_range"),
    ("http/cookie", "test_cookie"),
    ("http/date", "test_date"),
    ("http/file_name", "test_file_name"),
    ("http/query", "test_query"),
    ("http/h1 http/h1_input http/h1_output",
     "test_http_lines test_mistakes test_source_sink test_compress test_h1_edges test_h1_clock test_h1"),
    ("base/clock", "test_base test_h1_clock"),
    ("server/conn", "test_conn"),
    ("server/conversation", "test_conversation test_server test_activity test_half_close "
     "test_socketserver_handlers test_server_limits test_server_close test_drain"),
    ("server/stream_handler", "test_stream_handler test_socketserver_handlers"),
    ("server/thread_pool_queue", "test_thread_pool_queue test_thread_pool_shared test_thread_pool_limits "
     "test_thread_pool"),
    ("server/proxy_header base/network", "test_proxy_header"),
    ("tls/clients/deny", "test_tls_deny"),
    ("tls/clients/verified tls/clients/keys", "test_tls_verified"),
    ("tls/config/names", "test_tls_names"),
    ("tls/config/pem", "test_tls_pem"),
    ("tls/config/tickets", "test_tls_tickets"),
    ("tls/wire/records", "test_tls_records"),
)

# Those that are looked at with --survey, and want cases still.
SURVEYED = (
    ("access/identity access/values access/words", "test_access"),
    ("handler/router handler/router_tree", "test_router"),
    ("handler/client_key handler/small_middleware", "test_middleware"),
    ("handler/etag handler/content_tag", "test_etag"),
    ("handler/coding", "test_coding"),
    ("handler/mime handler/mime_map", "test_mime"),
    ("handler/listing_order handler/listing_style handler/beneath", "test_listing"),
    ("handler/coded_cache", "test_coded_cache"),
    ("handler/access_format", "test_access_format"),
    ("handler/json", "test_json"),
    ("http/multipart", "test_multipart test_multipart_request"),
    ("http/reply", "test_reply"),
    ("http/mistake http/error_page http/standing", "test_mistakes"),
    ("http/parser", "test_parser test_guard"),
    ("server/load_control", "test_load_control"),
    ("server/thread_pool_slot", "test_thread_pool test_thread_pool_limits test_thread_pool_shared"),
    ("server/cores", "test_cores"),
    ("base/number", "test_number"),
    ("base/text base/chars", "test_text"),
    ("tls/wire/ja4", "test_tls_ja4"),
    ("tls/wire/elsewhere", "test_tls_elsewhere"),
    ("tls/clients/client", "test_tls_client"),
    ("certs/alt_names certs/look_judge certs/revocation certs/words", "test_certs"),
    ("certs/local_ca", "test_local_ca"),
    ("admin/audit", "test_admin_audit"),
    ("admin/history admin/tally", "test_admin_history"),
    ("admin/health", "test_health"),
    ("testing/rules testing/hello testing/respell", "test_test_rules"),
    ("testing/answer", "test_test_answer"),
)

# Files of HELD that are held to the other kinds only: of their calls some want cases still.
CALLS_SURVEYED = frozenset("""
access/decide access/pattern access/policy access/read handler/auth_checks handler/authorization handler/bearer
handler/rate_limit handler/basic_auth handler/conditional handler/origin handler/cors handler/path handler/password
handler/range http/cookie http/date http/file_name http/query server/proxy_header base/network tls/clients/deny
tls/clients/verified tls/clients/keys tls/config/names tls/config/pem tls/config/tickets tls/wire/records
""".split())

# For the others see tests/faults.
PASSES_ON = re.compile(r"NULL|NOMEM|no_memory|\brc (!=|<|>)|!= SHS_OK|\berrno\b|atomic_fetch_sub|cap == 0|"
                       r"\b(EVP_(?!DecryptFinal)\w+|X509_digest|RAND_\w+|getrandom)\((?s:.*) !=|^!hkdf\(|"
                       r"!(wake|set_keys|next_keys)\(self|!make_fields\(|"
                       # Who takes nothing when it is not there leaves it to the next one to stumble.
                       r"^!?take_")
# A call whose value nobody uses, but for macros (in capitals). Nobody notices without a sanitizer that one of
# these is gone; to find out that it does its work is a test of what it calls.
CALL = re.compile(r"^ +(?:\(void\))?((?:[a-z_]\w*(?:->|\.))*([a-z_]\w*))\(", re.MULTILINE)
NO_CALL = re.compile(r"(if|for|while|switch|return|sizeof|va_\w+|pthread_(mutex|rwlock)_\w+|sched_yield|ERR_clear_error|"
                     r"(\w*_)?(free|destroy|cleanse|bzero)(_\w+)?)$")
# A limit of a nanosecond is none.
CLOCK = re.compile(r"_ns\b|\bnow\b")
# A mutant that does not end is told by what it computes; when it waits, by the clock: this, and twenty
# times what the test takes without it.
CPU_SECONDS, WAIT_SECONDS = 5, 30

# A test that fails does not clear up: it gets a /tmp of its own, which goes with its directory. That takes root, and
# a build that is not below /tmp itself.
IN_ITS_OWN_TMP = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", 'mount --bind "$PWD" /tmp && exec "$@"', "sh"]


def wrapper():
    if os.geteuid() != 0 or os.path.realpath(BUILD).startswith("/tmp/") or shutil.which("unshare") is None:
        return []
    tried = subprocess.run([*IN_ITS_OWN_TMP, "true"], stderr=subprocess.DEVNULL, check=False)
    return IN_ITS_OWN_TMP if tried.returncode == 0 else []


def cpu_of_tests():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


SWITCH = """
#include <stdlib.h>
int shs_mutant;
__attribute__((constructor)) static void choose(void)
{
    const char *number = getenv("SHS_MUTANT");
    shs_mutant = number ? atoi(number) : 0;
}
"""


class Mutant:
    """What is wrong in text[begin:end] of a file: `before` and `after` are put around it."""

    def __init__(self, kind, begin, end, before, after):
        self.kind, self.begin, self.end, self.before, self.after = kind, begin, end, before, after
        self.file = self.name = self.line = self.tests = self.number = None


def blank(text):
    """The same text with spaces for comments and what is in quotes: brackets are brackets there."""
    quoted = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return quoted.sub(lambda m: re.sub(r"[^\n]", "_", m.group()), text)


def flat(code):
    """The same code with spaces for what is in brackets, to search in."""
    out, depth = [], 0
    for c in code:
        depth -= c in ")]}"
        out.append(c if depth == 0 else " ")
        depth += c in "([{"
    return "".join(out)


def closing(code, at):
    """Where the bracket ends whose inside begins at `at`."""
    depth = 1
    while depth:
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(code[at], 0)
        at += 1
    return at - 1


def split(code, begin, end, sign):
    """The sides of `sign` in code[begin:end], as (begin, end), without the space around them."""
    line, start = flat(code[begin:end]), 0
    for part in [line] if "?" in line else line.split(sign):
        inside = code[begin + start:begin + start + len(part)]
        first = begin + start + len(inside) - len(inside.lstrip())
        yield first, first + len(inside.strip())
        start += len(part) + len(sign)


def jumps(code, at):
    """True if what begins at `at` is a jump, or a block that ends with one."""
    block = re.match(r"\s*\{", code[at:])
    if block:
        at += block.end()
        code = flat(code[at:closing(code, at)]).rstrip().rstrip(";")
        at = max(code.rfind(c) for c in ";{}") + 1
    return re.match(r"\s*(return|continue|break|goto)\b", code[at:]) is not None


def limit(text, code, begin, end):
    """The mutant of text[begin:end] if that is a comparison with < or >, or None."""
    line = flat(code[begin:end])
    signs = list(re.finditer(r" ([<>]=?) ", line))
    if len(signs) != 1 or CLOCK.search(text[begin:end]) or re.search(r"[?|&=] ", line.replace(signs[0].group(), "")):
        return None
    at, sign = begin + signs[0].start(1), signs[0].group(1)
    other = text[begin:at] + (sign[0] if len(sign) == 2 else sign + "=") + text[at + len(sign):end]
    return Mutant("limit", begin, end, "(shs_mutant == NUMBER ? " + other + " : ", ")")


def sides(text, code, begin, end, sign, kind):
    """The mutants of each side of `sign` in text[begin:end], the outer ones first."""
    after = ") || shs_mutant == NUMBER)" if sign == "&&" and kind == "always" else ") && shs_mutant != NUMBER)"
    for first, last in split(code, begin, end, sign):
        if PASSES_ON.search(text[first:last]):
            continue
        yield Mutant(kind, first, last, "((", after)
        for inner in split(code, first, last, "&&"):
            found = limit(text, code, *inner)
            if found:
                yield found


def mutants(text):
    """All mutants of a file."""
    code = blank(text)
    for found in re.finditer(r"^ +(?:\} )?(?:else )?if \(", code, re.MULTILINE):
        end = closing(code, found.end())
        if jumps(code, end + 1):
            yield from sides(text, code, found.end(), end, "||", "never")
    for found in re.finditer(r"\breturn ([^;]*);", code):
        line = flat(found.group(1))
        if re.search(r" (==|!=|<|>|<=|>=|&&|\|\|) ", line) and "?" not in line:
            yield from sides(text, code, *found.span(1), "||" if "||" in line else "&&", "always")
    bare = re.sub(r"(?<!\w)_{4,}", lambda m: " " * len(m.group()), code)  # without the comments
    for found in CALL.finditer(bare):
        begin, end = found.start() + len(found.group()) - len(found.group().lstrip()), closing(code, found.end()) + 1
        # A statement begins behind another one, or behind the bracket of an `if`.
        if (not NO_CALL.match(found.group(2)) and "refs" not in code[found.end():end] and code[end:end + 1] == ";"
                and re.search(r"([;{}):]|\b(else|do))\s*$", bare[:begin])):
            yield Mutant("gone", begin, end + 1, "{ if (shs_mutant != NUMBER) ", " }")


def mutated(path, text, chosen):
    """The text with the mutants that were chosen, and the switch between them."""
    puts = []  # place, an end before a beginning, the outer one outside
    for at, one in enumerate(chosen):
        puts.append((one.begin, 1, at, one.before.replace("NUMBER", str(one.number))))
        puts.append((one.end, 0, -at, one.after.replace("NUMBER", str(one.number))))
    for place, _, _, more in sorted(puts, reverse=True):
        text = text[:place] + more + text[place:]
    return 'extern int shs_mutant;\n#line 1 "%s"\n%s' % (path, text)


def file_mutants(file, tests):
    path = os.path.join(SRC, "src", file + ".c")
    with open(path) as source:
        text = source.read()
    seen = collections.Counter()
    for one in mutants(text):
        name = "%s: %s: %s" % (file, one.kind, " ".join(text[one.begin:one.end].split()))
        seen[name] += 1
        one.name = name if seen[name] == 1 else "%s (%d)" % (name, seen[name])
        one.line = text.count("\n", 0, one.begin) + 1
        one.file, one.tests = file, tuple(tests.split())
        yield one


class Bench:
    """Where mutants are built and tried."""

    def __init__(self, work):
        self.work, self.programs, self.limits, self.wrapper = work, {}, {}, wrapper()
        with open(os.path.join(BUILD, "compile_commands.json")) as commands:
            self.commands = {one["file"]: shlex.split(one["command"]) for one in json.load(commands)}
        self.switch = os.path.join(work, "switch.o")
        with open(os.path.join(work, "switch.c"), "w") as out:
            out.write(SWITCH)
        self.run(["cc", "-c", os.path.join(work, "switch.c"), "-o", self.switch])

    def run(self, argv, **more):
        done = subprocess.run(argv, cwd=BUILD, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
        if done.returncode:
            sys.exit("cannot build: %s\n%s" % (argv, done.stdout))
        return done.stdout

    def compile(self, file, chosen):
        """The object of a file with the mutants that were chosen."""
        path = os.path.join(SRC, "src", file + ".c")
        name = os.path.join(self.work, file.replace("/", "-"))
        with open(path) as source, open(name + ".c", "w") as out:
            out.write(mutated(path, source.read(), chosen))
        argv = [word for word in self.commands[path] if word != "-Werror"]
        argv[argv.index("-o") + 1], argv[argv.index("-c") + 1] = name + ".o", name + ".c"
        self.run(argv + ["-w", "-iquote", os.path.dirname(path)])
        return name + ".o"

    def link(self, test, objects):
        """A test, with these objects in the place of those in libshs.a."""
        command = self.run(["ninja", "-t", "commands", "-s", test]).splitlines()[-1]
        argv = shlex.split(command.replace(": && ", "", 1).replace(" && :", "", 1))
        argv[argv.index("-o") + 1] = self.programs[test] = os.path.join(self.work, test)
        at = argv.index("libshs.a")
        self.run(argv[:at] + [self.switch] + objects + argv[at:])

    def passes(self, test, number):
        """True if the test passes with that mutant; 0 is none."""
        seconds, wait = self.limits.get(test, (300, 300))

        def bounds():
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        environment = dict(os.environ, SHS_MUTANT=str(number), SHS_SOURCE_DIR=SRC, SHS_BUILD_DIR=BUILD)
        with tempfile.TemporaryDirectory(dir=self.work) as place:
            try:
                return subprocess.run([*self.wrapper, self.programs[test]], cwd=place, env=environment, preexec_fn=bounds,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      timeout=wait).returncode == 0
            except subprocess.TimeoutExpired:
                return False


def try_some(bench, tests, chosen):
    """Tries mutants of files with the same tests; those that live."""
    files = list(dict.fromkeys(one.file for one in chosen))
    objects = [bench.compile(file, [one for one in chosen if one.file == file]) for file in files]
    for test in tests:
        bench.link(test, objects)
        began, computed = time.monotonic(), cpu_of_tests()
        if not bench.passes(test, 0):
            sys.exit("%s fails without any mutation" % test)
        bench.limits[test] = (CPU_SECONDS + int(20 * (cpu_of_tests() - computed)),
                              WAIT_SECONDS + 20 * (time.monotonic() - began))
    lives = []
    for file in files:
        mine, alive, known = [one for one in chosen if one.file == file], 0, 0
        for one in mine:
            if all(bench.passes(test, one.number) for test in tests):
                lives.append(one)
                alive += 1
                known += one.name in KNOWN
                if one.name not in KNOWN:
                    print("  not noticed: src/%s.c:%d: %s" % (file, one.line, one.name.split(": ", 1)[1]), flush=True)
            elif KNOWN.get(one.name, BY_LIBSSL) != BY_LIBSSL:
                print("  noticed, though rooms_known.py has it: %s" % one.name, flush=True)
        print("%s: %d of %d killed%s" % (file, len(mine) - alive, len(mine) - known,
                                         ", and %d known" % known if known else ""), flush=True)
    return lives


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=1, metavar="N", help="every N-th mutant only")
    parser.add_argument("--survey", action="store_true", help="the rooms that are not held to it")
    parser.add_argument("--list", action="store_true", help="say the mutants, and try none")
    parser.add_argument("files", nargs="*", metavar="FILE", help='a file of src/, as "access/decide"')
    options = parser.parse_args()
    if os.environ.get("SHS_SANITIZE") or os.environ.get("SHS_COVERAGE") == "ON":
        print("skipped: mutants are linked without sanitizers and coverage")
        return 77
    held, surveyed = ({file: tests for files, tests in rows for file in files.split()}
                      for rows in (HELD, SURVEYED))
    table = dict(surveyed if options.survey else held)
    if options.survey:
        table.update((file, tests) for file, tests in held.items() if file in CALLS_SURVEYED)
    if options.files:
        table = {file: {**held, **surveyed}.get(file) for file in options.files}
        for file, tests in table.items():
            if tests is None:
                parser.error("no table has the file %s" % file)
    every = [one for file, tests in table.items() for one in file_mutants(file, tests)
             if options.files or file not in CALLS_SURVEYED or (one.kind == "gone") == options.survey]
    for number, one in enumerate(every, 1):
        one.number = number
    chosen = every[options.sample - 1::options.sample]
    if options.list:
        for one in chosen:
            print("%s (line %d)" % (one.name, one.line))
        return 0
    alive = []
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="mutants-") as work:
        bench = Bench(work)
        for tests in dict.fromkeys(one.tests for one in chosen):
            alive += try_some(bench, tests, [one for one in chosen if one.tests == tests])
    unknown = [one for one in alive if one.name not in KNOWN]
    tried = len(chosen) - len(alive) + len(unknown)
    print("%d of %d mutants killed" % (tried - len(unknown), tried))
    return 0 if chosen and (options.survey or not unknown) else 1


if __name__ == "__main__":
    sys.exit(main())
