"""What a wave of connections has used goes back to the system when it has gone."""

import os

import shslib

# More than what the allocator gives back by itself, less than a busy machine minds.
CLIENTS = 400


def memory_goes_back_after_a_wave():
    if shslib.SANITIZE or "VALGRIND" in os.environ:
        shslib.skip("a sanitizer keeps memory on purpose")
    with shslib.temp_dir() as site:
        shslib.write_file(site + "/a.txt", "hello\n")
        with shslib.Server("--log", "none", "--idle-timeout", "600000", site) as server:
            context = server.tls_context()
            with server.connect(context=context) as first:  # one stays, as one always does
                before = server.resident_kib()
                wave = []
                for i in range(CLIENTS):
                    sock = server.connect(context=context)
                    sock.sendall(b"GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    shslib.equal(shslib.read_response(sock)[2], b"hello\n", "the answer")
                    wave.append(sock)
                most = server.resident_kib()
                shslib.check(most - before > CLIENTS * 10, "%d clients are not a wave: %d KiB to %d"
                             % (CLIENTS, before, most))
                # In the order in which they came, so that what is freed is not the end of the heap.
                for sock in wave:
                    sock.close()
                wanted = before + (most - before) // 3
                shslib.wait_until(lambda: server.resident_kib() <= wanted, 30,
                                  "%d KiB to become %d; before the wave they were %d"
                                  % (most, wanted, before))
                first.sendall(b"GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
                shslib.equal(shslib.read_response(first)[2], b"hello\n", "the answer")


if __name__ == "__main__":
    shslib.main(memory_goes_back_after_a_wave)
