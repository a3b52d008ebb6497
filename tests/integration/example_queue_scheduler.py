"""examples/queue_scheduler.c: two threads for everybody, the rest in the queue, and an end that comes."""

import contextlib
import http.client
import os
import select
import signal

import shslib
from shslib import check, equal


def dial(server):
    return contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60 * shslib.SLOWNESS))


def ask(connection):
    connection.request("GET", "/")
    answer = connection.getresponse()
    equal(answer.status, 200)
    return answer.read()


def two_threads_and_a_queue():
    with shslib.Server(argv=[os.environ["EXAMPLE_BIN"], "0"]) as server:
        server.wait_stdout(r"QueueMixIn > HTTPServer > TCPServer > BaseServer\n")
        with dial(server) as one, dial(server) as two:
            names = {ask(one), ask(two)}
            equal(names, {b"thread 1 of 2\n", b"thread 2 of 2\n"})
            with contextlib.ExitStack() as stack:
                # More than the queue holds; whoever is behind it waits in the kernel.
                others = [stack.enter_context(dial(server)) for _ in range(40)]
                for other in others:
                    other.request("GET", "/", headers={"Connection": "close"})
                for _ in range(20):
                    check(ask(one) in names and ask(two) in names, "another thread")
                waiting = [other.sock for other in others]
                equal(select.select(waiting, [], [], 0)[0], [], "answers while both threads are taken")
                one.close()
                for other in others:
                    answer = other.getresponse()
                    equal(answer.status, 200)
                    check(answer.read() in names, "another thread")
            # One is kept, one waits for its turn, and the server ends all the same.
            with dial(server) as three, dial(server) as four:
                ask(three)
                four.request("GET", "/")
                server.signal(signal.SIGTERM)
                equal(server.wait(30), 0, "exit status after SIGTERM")


shslib.main(two_threads_and_a_queue)
