"""Clients that stop in the middle: they are gone at their deadline, and delay nobody until then."""

import socket
import ssl
import threading
import time

import shslib

# A server with a sanitizer is slower: in the same time fewer others are served, and it may be later.
TIMEOUT = 4 if shslib.SLOWNESS == 1 else 6
SLACK = 1 * shslib.SLOWNESS
# Of a body, and of an answer that is not read: longer, for the slow client beside them outlives both.
LONG_TIMEOUT = 2 * TIMEOUT

SITE = None


def timeouts(*names):
    return [word for name in names for word in ("--%s-timeout" % name, str(TIMEOUT * 1000))]


def long_timeouts(*names):
    return [word for name in names for word in ("--%s-timeout" % name, str(LONG_TIMEOUT * 1000))]


def half_client_hello():
    """The first half of a real ClientHello, in a record that says how long all of it is."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = outgoing.read()
    shslib.check(len(hello) > 100 and hello[:2] == b"\x16\x03", "no ClientHello: %r" % hello[:16])
    return hello[:len(hello) // 2]


def closed_after(sock, since, until, what, wanted, answer=None):
    """The server ends it at its deadline: at most SLACK after, and not before.

    Its clock begins somewhere between the two: `since` is a time before the client did what starts it,
    `until` a Stopwatch that was started after. Between them is what a busy machine takes for it.
    """
    data = shslib.read_all(sock, wanted + SLACK + 10)
    ended = time.monotonic()
    late = until.took()
    shslib.check(ended - since >= wanted - 0.01,
                 "%s: gone after %.3f s, the deadline is %.2f s" % (what, ended - since, wanted))
    shslib.check(late <= wanted + SLACK + until.still(),
                 "%s: gone after %.2f s, the deadline is %.2f s, and %.2f s it stood still"
                 % (what, late, wanted, until.still()))
    if answer is not None:
        shslib.check(data.startswith(answer), "%s: was told %r" % (what, data[:100]))
    return data


def serve_others(server, context, count, limit):
    """So many well-behaved clients, one after the other, each with a handshake of its own."""
    for _ in range(count):
        with shslib.Stopwatch(server) as watch:
            with server.connect(seconds=limit + 10, context=context) as sock:
                shslib.send_all(sock, b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                shslib.equal(shslib.read_response(sock, limit + 10)[2], b"hello\n", "the answer to another client")
        shslib.check(watch.took() < limit + watch.still(), "another client had to wait %.2f s" % watch.took())


def serve_others_until(server, context, count, until):
    """So many, or on a slow machine as many as there are while somebody is held; five at least."""
    others = 0
    while others < count and (others < 5 or time.monotonic() < until):
        serve_others(server, context, 5, 1 * shslib.SLOWNESS)
        others += 5


def held_open(sock, since):
    """The server has neither said anything nor closed, or the deadline is over by now."""
    sock.setblocking(False)
    try:
        sock.recv(1)
        return time.monotonic() - since >= TIMEOUT
    except BlockingIOError:
        return True
    finally:
        sock.setblocking(True)


def silent_before_the_handshake(threading_name="pool"):
    with shslib.Server(SITE, "--log", "none", "--log-level", "info", "--threading", threading_name,
                       *timeouts("handshake")) as server:
        context = server.tls_context()
        serve_others(server, context, 2, SLACK)
        threads = server.threads()
        began = time.monotonic()
        with server.connect_plain() as silent, server.connect_plain() as half:
            half.sendall(half_client_hello())
            watch = shslib.Stopwatch(server)
            serve_others_until(server, context, 100, began + TIMEOUT * 0.6)
            shslib.check(held_open(silent, began) and held_open(half, began), "a silent client was ended too early")
            closed_after(silent, began, watch, "a silent client", TIMEOUT)
            closed_after(half, began, watch, "half a ClientHello", TIMEOUT)
        serve_others(server, context, 2, SLACK)
        shslib.wait_until(lambda: server.threads() <= max(threads, shslib.IDLE_THREADS), 30, "the silent clients' threads to end")
        shslib.wait_until(lambda: server.stderr.count("TLS handshake not complete") == 2, 10,
                          "a line on stderr for each of the two")


def half_a_request_head(threading_name="pool"):
    with shslib.Server(SITE, "--log", "none", "--log-level", "info", "--threading",
                       threading_name, *timeouts("head")) as server:
        context = server.tls_context()
        began = time.monotonic()
        with server.connect(context=context) as first, server.connect(context=context) as silent, \
                server.connect(context=context) as later:
            watch = shslib.Stopwatch(server)
            first.sendall(b"GET /a.txt HTTP/1.1\r\nHost: ")
            later.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            rest = shslib.read_response(later)[3]
            shslib.equal(rest, b"", "bytes after the answer")
            second = time.monotonic()
            later.sendall(b"GET /a.txt HT")
            serve_others_until(server, context, 20, began + TIMEOUT * 0.6)
            closed_after(first, began, watch, "half a head", TIMEOUT, b"HTTP/1.1 408 ")
            closed_after(later, second, watch, "half a second head", TIMEOUT, b"HTTP/1.1 408 ")
            shslib.equal(closed_after(silent, began, watch, "no request", TIMEOUT), b"", "what it was told")


def silent_with_a_thread_each():
    silent_before_the_handshake("thread")
    half_a_request_head("thread")


def silent_with_a_process_each():
    silent_before_the_handshake("fork")
    half_a_request_head("fork")


def a_byte_now_and_then():
    """The deadline is for the whole head: bytes do not move it."""
    with shslib.Server(SITE, "--log", "none", "--log-level", "info", *timeouts("head", "handshake")) as server:
        began = time.monotonic()
        with server.connect() as head, server.connect_plain() as hello:
            watch = shslib.Stopwatch(server)
            stop = threading.Event()
            pieces = half_client_hello()

            def drip():
                for i in range(500 * shslib.SLOWNESS):
                    if stop.wait(0.1):
                        return
                    try:
                        head.sendall(b"G" if i == 0 else b"E")
                        hello.sendall(pieces[i:i + 1])
                    except OSError:
                        return

            thread = threading.Thread(target=drip)
            thread.start()
            try:
                # Its bytes may meet a closed socket: the answer may be lost, the end may not.
                closed_after(hello, began, watch, "a ClientHello, byte by byte", TIMEOUT)
            finally:
                stop.set()
                thread.join()
            closed_after(head, began, watch, "a head, byte by byte", TIMEOUT)


def idle_between_requests():
    with shslib.Server(SITE, "--log", "none", *timeouts("idle")) as server:
        with server.connect() as sock:
            began = time.monotonic()
            sock.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            shslib.read_response(sock)
            watch = shslib.Stopwatch(server)
            shslib.equal(closed_after(sock, began, watch, "an idle client", TIMEOUT), b"", "what it was told")


def connect_with_little_room(server, context):
    """A connection whose client's kernel takes next to nothing that is not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(10 * shslib.SLOWNESS)
    sock.connect((server.address, server.port))
    return context.wrap_socket(sock, server_hostname="localhost")


class SlowReader(threading.Thread):
    """Reads a large file at some KB/s: more than min_rate, far less than fills a buffer in time."""

    def __init__(self, server, context):
        super().__init__(daemon=True)
        self.sock = connect_with_little_room(server, context)
        self.sock.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        self.stopped = threading.Event()
        self.error = None
        self.start()

    def run(self):
        try:
            while not self.stopped.wait(0.5):
                if not self.sock.recv(2500):
                    self.error = "the end came early"
                    return
        except OSError as error:
            self.error = error

    def stop(self):
        self.stopped.set()
        self.join()
        self.sock.close()


def half_a_body_and_no_reading():
    """Both at once, for their deadline is long; beside them others are served."""
    with shslib.Server(SITE, "--log", "none", "--log-level", "info",
                       *long_timeouts("body", "write")) as server:
        context = server.tls_context()
        with connect_with_little_room(server, context) as deaf, \
                server.connect(context=context) as mute:
            began = time.monotonic()
            deaf.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            mute.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
            watch = shslib.Stopwatch(server)
            slow = SlowReader(server, context)
            serve_others_until(server, context, 50, began + LONG_TIMEOUT * 0.6)
            closed_after(mute, began, watch, "half a body", LONG_TIMEOUT, b"HTTP/1.1 408 ")
            server.wait_stderr("did not read its answer in time")
            took, late = time.monotonic() - began, watch.took()
            shslib.check(LONG_TIMEOUT <= took and late <= LONG_TIMEOUT + SLACK + 1 + watch.still(),
                         "a client that does not read was ended after %.1f s" % took)
            # And nothing is kept for it: neither by the server nor by the kernel.
            got = shslib.read_all(deaf, 10)
            shslib.check(len(got) < 1000000, "a client that did not read got %d bytes" % len(got))
            # Slow is not deaf: what arrives counts, not what the kernel has room for.
            slow.join(1)
            shslib.check(slow.is_alive(), "a slow client was cut: %r" % slow.error)
            slow.stop()
        serve_others(server, context, 1, SLACK)
        shslib.wait_until(lambda: server.threads() <= shslib.IDLE_THREADS, 30, "the threads to end")


def without_threads_a_silent_client_costs_its_deadline():
    with shslib.Server(SITE, "--log", "none", "--threading", "none",
                       *timeouts("handshake", "head")) as server:
        context = server.tls_context()
        serve_others(server, context, 20, 1 * shslib.SLOWNESS)
        for data, what in ((b"", "a silent client"), (half_client_hello(), "half a ClientHello")):
            began = time.monotonic()
            with server.connect_plain() as silent:  # and is the first: they are taken in their order
                silent.sendall(data)
                serve_others(server, context, 1, TIMEOUT + SLACK)
                took = time.monotonic() - began
                shslib.check(took >= TIMEOUT - 0.01, "%s was not waited for: %.2f s" % (what, took))
                shslib.check(shslib.is_closed(silent), what + " is still there")
            serve_others(server, context, 5, 1 * shslib.SLOWNESS)
        # Kept alive, it gives way to the next client at once.
        with server.connect(context=context) as kept:
            kept.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            shslib.read_response(kept)
            serve_others(server, context, 5, 1 * shslib.SLOWNESS)


# So long a client that was refused may be silent without threads while others wait; and how often it
# is tried to be quicker than that.
LEAVING = 0.2
TRIES = 50
PIECE = b"x" * 1000


def refused(server):
    sock = server.connect()
    sock.sendall(b"PUT /long HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + PIECE)
    shslib.check(shslib.read_response(sock)[0].split()[1] == "413", "a long upload is not refused")
    return sock


def goes_on_sending(server):
    """True: it was quick enough to tell, and was not cut off although another client waits."""
    began = time.monotonic()
    with refused(server) as sock, server.connect() as other:
        other.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(LEAVING / 10)  # for a server that would cut it off
        try:
            sock.sendall(PIECE)
            sock.shutdown(socket.SHUT_WR)
            ended = time.monotonic()
            data = shslib.read_all(sock)
        except OSError as error:
            ended, data = time.monotonic(), error
        shslib.check(shslib.read_response(other)[0].split()[1] == "200", "the other one is not served")
    if ended - began >= LEAVING / 2:
        return False
    shslib.equal(data, b"", "what follows the answer to a client that still sends")
    return True


def without_threads_who_leaves_has_a_moment():
    """It takes its answer, which a reset would take away; but who is silent then keeps nobody waiting."""
    with shslib.Server("--plain", "--threading", "none", "--upload", "--max-upload", "1000", "--close-timeout", "600000",
                       SITE) as server:
        told = 0
        for _ in range(TRIES):
            told += goes_on_sending(server)
            if told == 3:
                break
        if told == 0:
            print("this machine is too slow to tell who is cut off")
        with refused(server):
            shslib.equal(server.get("/a.txt", seconds=60)[0], 200, "the next one's answer")


LARGE = 32 * 1024 * 1024


def silent_clients():
    global SITE
    with shslib.temp_dir() as SITE:
        shslib.write_file(SITE + "/a.txt", "hello\n")
        with open(SITE + "/large.bin", "wb") as file:
            file.truncate(LARGE)
        results = []

        def run(test):
            try:
                shslib.each(test)
            except shslib.Failure as error:
                results.append(str(error))

        # They mostly wait; one after the other they would wait for a minute.
        def side_by_side(*tests):
            thread = threading.Thread(target=lambda: [run(test) for test in tests])
            thread.start()
            return thread

        threads = [side_by_side(half_a_body_and_no_reading),
                   side_by_side(half_a_request_head, a_byte_now_and_then, idle_between_requests),
                   side_by_side(silent_with_a_thread_each, silent_with_a_process_each),
                   side_by_side(without_threads_a_silent_client_costs_its_deadline)]
        run(silent_before_the_handshake)
        run(without_threads_who_leaves_has_a_moment)
        for thread in threads:
            thread.join()
        shslib.equal(results, [], "failures")


shslib.main(silent_clients)
