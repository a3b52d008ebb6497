"""Python's http.server with a thread per connection, as the seeds of this project had it.

http_server.py PORT CERT KEY DIR
"""
import functools
import http.server
import ssl
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write per answer: without it every line is a TLS record of its own

    def log_message(self, format, *args):
        pass

    def copyfile(self, source, outputfile):
        super().copyfile(source, outputfile)
        outputfile.flush()


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024

    def finish_request(self, request, client_address):  # the handshake, in the connection's thread
        request = context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
Server(("127.0.0.1", int(sys.argv[1])),
       functools.partial(Handler, directory=sys.argv[4])).serve_forever()
