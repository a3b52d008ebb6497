"""Writes the cases of tests/unit/http_cases.inc and http_limit_cases.inc as seeds, one file each.

    python3 fuzz/seeds.py fuzz/corpus/differential

Files of other names stay. Run it when the tables have changed.
"""

import os
import re
import sys

SOURCE_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]+|[0-7]{1,3}|.)")
SIMPLE = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b'"': b'"'}
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"|([A-Z_]+)|,')
# What test_guard.c defines for the table of limits.
MACROS = {b"LINE": b"GET / HTTP/1.1\r\n",
          b"TIGHT_CHUNKED": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"}


def unescape(match):
    code = match.group(1)
    if code[:1] == b"x":
        return bytes([int(code[1:], 16)])
    if code[:1].isdigit():
        return bytes([int(code, 8)])
    return SIMPLE[code]


def arguments(text):
    """The values of string literals and macros between commas."""
    values = [b""]
    for match in WORD.finditer(text):
        if match.group(0) == b",":
            values.append(b"")
        elif match.group(2):
            values[-1] += MACROS[match.group(2)]
        else:
            values[-1] += ESCAPE.sub(unescape, match.group(1))
    return values


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    written = 0
    for table in ("http_cases.inc", "http_limit_cases.inc"):
        with open(os.path.join(SOURCE_DIR, "tests/unit", table), "rb") as file:
            for line in file:
                define = re.match(rb"#define (\w+) (.*)", line)
                if define:
                    MACROS[define.group(1)] = arguments(define.group(2))[0]
                elif line.startswith(b"CASE("):
                    name, data = arguments(line[5:])[:2]
                    name = re.sub(r"[^A-Za-z0-9.-]+", "-", name.decode())
                    with open(os.path.join(directory, name), "wb") as seed:
                        seed.write(data)
                    written += 1
    print("%d seeds" % written)


if __name__ == "__main__":
    main()
