"""shslib itself: a server that breaks a promise must fail its test."""

import sys

import shslib

# A stand-in for `shs serve`: its first line, then what the test wants it to do on SIGTERM.
STAND_IN = """
import signal, socket, sys, threading, time
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
port = listener.getsockname()[1]
def serve():
    while True:
        peer, _ = listener.accept()
        peer.recv(65536)
        peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nhello")
        peer.close()
threading.Thread(target=serve, daemon=True).start()
def stop(*_):
    %(stop)s
signal.signal(signal.SIGTERM, stop)
print(%(line)s, flush=True)
while True:
    time.sleep(0.05)  # pause() may sleep over a signal that comes just before
"""
LINE = '"Serving HTTP on 127.0.0.1 port %d (http://127.0.0.1:%d/) ..." % (port, port)'


def stand_in(stop="sys.exit(0)", line=LINE, **keywords):
    program = STAND_IN % {"stop": stop, "line": line}
    return shslib.Server(argv=[sys.executable, "-c", program], **keywords)


def must_fail(action, words):
    try:
        action()
    except shslib.Failure as failure:
        shslib.check(words in str(failure), "failed for another reason: %s" % failure)
    else:
        raise shslib.Failure("nothing failed; expected: " + words)


def use(**keywords):
    # What the failing ones say on the way is not for the log of a test that passes.
    stderr, sys.stderr = sys.stderr, open("/dev/null", "w")
    try:
        with stand_in(**keywords) as server:
            return server.get("/")
    finally:
        sys.stderr.close()
        sys.stderr = stderr


def good_server():
    with stand_in() as server:
        shslib.equal(server.scheme, "http", "scheme")
        shslib.equal(server.address, "127.0.0.1", "address")
        status, _, body = server.get("/")
        shslib.equal((status, body), (200, b"hello"), "answer")
        data = server.raw(b"GET / HTTP/1.1\r\n\r\n")
        shslib.check(data.endswith(b"hello"), "raw bytes: %r" % data)
        with server.connect() as sock:
            sock.sendall(b"x")
            line, headers, body, rest = shslib.read_response(sock)
            shslib.equal((line, body, rest), ("HTTP/1.1 200 OK", b"hello", b""), "response")
            shslib.equal(headers["content-length"], "5", "a header")
            shslib.check(shslib.is_closed(sock), "the stand-in did not close")
    shslib.equal(server.exit_code, 0, "exit code")


def wrong_first_line():
    must_fail(lambda: use(line='"Listening on port %d" % port'), "first line")


def no_first_line():
    must_fail(lambda: use(line='"", end=""', start_seconds=0.5), "time is up")


def wrong_exit_code():
    must_fail(lambda: use(stop="sys.exit(3)"), "exit code")


def does_not_end():
    must_fail(lambda: use(stop="pass", stop_seconds=0.5), "did not end")


def sanitizer_report():
    must_fail(lambda: use(stop='print("==1==ERROR: AddressSanitizer: x", file=sys.stderr); sys.exit(0)'),
              "sanitizer")


def silent_peer():
    listener = shslib.socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    with listener, shslib.socket.create_connection(listener.getsockname()) as sock:
        must_fail(lambda: shslib.read_until(sock, b"x", seconds=0.2), "time is up")
        shslib.check(not shslib.is_closed(sock, seconds=0.2), "an open connection taken for a closed one")


def pattern_is_steady():
    shslib.equal(shslib.pattern(1000)[:100], shslib.pattern(100), "the beginning")
    shslib.check(shslib.pattern(100) != shslib.pattern(100, b"other"), "the seed does nothing")


shslib.main(good_server, wrong_first_line, no_first_line, wrong_exit_code, does_not_end,
            sanitizer_report, silent_peer, pattern_is_steady)
