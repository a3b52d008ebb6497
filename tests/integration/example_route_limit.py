"""examples/route_limit.c: never more of a route than its bound, the rest refused at once, and nobody else."""

import os
import signal
import threading

import shslib
from shslib import check, equal


def report(server, ms, answers, path="/report"):
    answers.append(server.get("%s?ms=%d" % (path, ms), seconds=60))


def most_at_once(answers):
    """By the moments that the handlers themselves give."""
    times = [tuple(map(int, body.split())) for status, _, body in answers if status == 200]
    return max([sum(begin <= moment < end for begin, end in times) for moment, _ in times] or [0])


def side_by_side(server, count, ms, path="/report"):
    answers = []
    threads = [threading.Thread(target=report, args=(server, ms, answers, path)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(len(answers), count)
    return answers


def no_more_than_its_bound():
    with shslib.Server(argv=[os.environ["EXAMPLE_BIN"], "0"]) as server:
        server.wait_stdout(r"RouteLimitMixIn > ThreadPoolMixIn > HTTPServer > TCPServer > BaseServer\n")
        refused = {"/report": 0, "/export": 0}
        for path, bound in (("/report", 2), ("/export", 1)):
            # A machine that is busy may bring them one after the other.
            for _ in range(20):
                answers = side_by_side(server, 6, 100, path)
                check(1 <= most_at_once(answers) <= bound, "%d of %s at once" % (most_at_once(answers), path))
                for status, headers, _ in answers:
                    check(status in (200, 503), "status %d" % status)
                    refused[path] += status == 503
                    equal(headers["Retry-After"], "1" if status == 503 else None)
                if refused[path] and most_at_once(answers) == bound:
                    break
            else:
                check(False, "%s: nobody was refused, or its bound never reached" % path)
            equal(server.get(path)[0], 200, "when the others are done")
        equal(server.get("/report?ms=x")[0], 400)
        equal(server.get("/report")[0], 200, "after a request that failed")
        for _ in range(8):
            equal(server.get("/")[::2], (200, b"Hello, world\n"))
        server.signal(signal.SIGTERM)
        equal(server.wait(30), 0, "exit status after SIGTERM")
        server.wait_stdout(r"/report: at most 2 at once, %d refused\n/export: at most 1 at once, %d refused\n"
                           % (refused["/report"], refused["/export"]))


shslib.main(no_more_than_its_bound)
