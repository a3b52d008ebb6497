"""Files over HTTPS, as their users fetch them: every byte, through curl, Python and Node."""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import ssl
import urllib.parse

import shslib

MIB = 1024 * 1024
GENERATED = {
    b"empty.bin": 0,
    b"one.bin": 1,
    b"record-1.bin": 16383,
    b"record.bin": 16384,
    b"record+1.bin": 16385,
    b"large.bin": 5 * MIB,
    b"with space.txt": 100,
    "na\u00efve \u2603 \u65e5\u672c.txt".encode(): 101,
    b"it's \"quoted\".txt": 102,
    b"100%.txt": 103,
    b"a%20b%2F.txt": 104,
    b"<b>&amp;.html": 105,
    b"semi;colon+plus=#hash?query.txt": 106,
    b"back\\slash.txt": 107,
    b"bad-\xff\xfe-\xc3.bin": 108,
    b"new\nline\ttab.txt": 109,
    b"deep/er/and er/file.txt": 110,
}

NODE = r"""
const https = require('https'), fs = require('fs'), crypto = require('crypto');
const job = JSON.parse(fs.readFileSync(process.argv[2]));
const agent = new https.Agent({ keepAlive: true, maxSockets: 2, ca: fs.readFileSync(job.ca) });
const answers = {};
let left = job.paths.length;
for (const path of job.paths) {
  https.get({ host: 'localhost', port: job.port, path, agent, family: 4 }, (res) => {
    const hash = crypto.createHash('sha256');
    res.on('data', (d) => hash.update(d));
    res.on('end', () => {
      answers[path] = [res.statusCode, hash.digest('hex'), res.complete];
      if (--left === 0) { console.log(JSON.stringify(answers)); agent.destroy(); }
    });
  }).on('error', (e) => { console.error(path + ': ' + e); process.exit(1); });
}
"""


def url_path(name):
    return "/" + urllib.parse.quote(name)


def make_site(top):
    """A copy of the example site and generated files: {path of the URL: content}."""
    site = os.path.join(top, "site")
    shutil.copytree(os.path.join(shslib.SOURCE_DIR, "examples", "site"), site,
                    ignore=shutil.ignore_patterns("large.bin*"))  # quickstart may be making it
    for name, size in GENERATED.items():
        path = os.path.join(os.fsencode(site), b"generated", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(shslib.pattern(size, name))
    files = {}
    root = os.fsencode(site)
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                files[url_path(os.path.relpath(path, root))] = file.read()
    shslib.check(len(files) >= len(GENERATED) + 5, "the site has too few files: %r" % sorted(files))
    return site, files


def digest(data):
    return hashlib.sha256(data).hexdigest()


def compare(client, path, status, got, wanted):
    shslib.equal(status, 200, "%s: status of %s" % (client, path))
    shslib.equal(len(got), len(wanted), "%s: length of %s" % (client, path))
    shslib.check(got == wanted, "%s: %s has other bytes" % (client, path))


def version_context(server, version):
    context = server.tls_context()
    context.minimum_version = context.maximum_version = version
    return context


TLS_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}

FILES, SERVER = {}, None


# -- the three clients ---------------------------------------------------------------------------

def curl_has_every_byte():
    if not shutil.which("curl"):
        raise shslib.Failure("curl is not there: it is one of the test packages")
    for flag in ("--tls-max 1.2", "--tlsv1.3"):
        with shslib.temp_dir() as out:
            config = []
            for i, path in enumerate(sorted(FILES)):
                config.append('url = "%s%s"\noutput = "%s/%d"' % (SERVER.url, path, out, i))
            listed = shslib.write_file(out + "/config", "\n".join(config) + "\n")
            code, text, err = shslib.run(
                "curl", "--silent", "--show-error", "--fail", "--noproxy", "*", *flag.split(),
                "--cacert", SERVER.ca, "--write-out", "%{http_code} %{num_connects}\n", "-K", listed)
            shslib.equal(code, 0, "curl %s: %s" % (flag, err))
            connects = 0
            for i, (path, line) in enumerate(zip(sorted(FILES), text.split("\n"))):
                with open("%s/%d" % (out, i), "rb") as file:
                    compare("curl " + flag, path, int(line.split()[0]), file.read(), FILES[path])
                connects += int(line.split()[1])
            shslib.equal(connects, 1, "connections that curl %s made" % flag)


def python_has_every_byte():
    for name, version in TLS_VERSIONS.items():
        with contextlib.closing(http.client.HTTPSConnection(
                "localhost", SERVER.port, context=version_context(SERVER, version),
                timeout=20 * shslib.SLOWNESS)) as connection:
            connection.connect()
            shslib.equal(connection.sock.version(), name, "TLS version")
            sock = connection.sock
            for path in sorted(FILES):
                connection.request("GET", path)
                answer = connection.getresponse()
                compare("Python " + name, path, answer.status, answer.read(), FILES[path])
                shslib.check(connection.sock is sock, "the connection was not kept after " + path)


@shslib.not_under("none")
def node_has_every_byte():
    if not shutil.which("node"):
        print("       node is not there: its part is skipped")
        return
    with shslib.temp_dir() as out:
        job = {"ca": SERVER.ca, "port": SERVER.port, "paths": sorted(FILES)}
        shslib.write_file(out + "/job.json", json.dumps(job))
        shslib.write_file(out + "/fetch.js", NODE)
        code, text, err = shslib.run("node", out + "/fetch.js", out + "/job.json")
        shslib.equal(code, 0, "node: " + err)
        answers = json.loads(text)
    for path, content in FILES.items():
        shslib.equal(answers[path], [200, digest(content), True], "node: " + path)


# -- HTTP on it ----------------------------------------------------------------------------------

def head_is_get_without_its_body():
    with contextlib.closing(SERVER.connection()) as connection:
        for path in sorted(FILES):
            heads = []
            for method in ("GET", "HEAD"):
                connection.request(method, path)
                answer = connection.getresponse()
                body = answer.read()
                shslib.equal(answer.status, 200, method + " " + path)
                if method == "HEAD":
                    shslib.equal(body, b"", "the body of HEAD " + path)
                heads.append([(n, v) for n, v in answer.getheaders() if n != "Date"])
            shslib.equal(heads[1], heads[0], "the fields of HEAD " + path)
            shslib.equal(dict(heads[1])["Content-Length"], str(len(FILES[path])), "length of " + path)


def unchanged_is_304():
    with contextlib.closing(SERVER.connection()) as connection:
        def ask(path, headers):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

        for path in sorted(FILES):
            _, headers, _ = ask(path, {})
            modified, etag = headers["Last-Modified"], headers["ETag"]
            for condition in ({"If-Modified-Since": modified}, {"If-None-Match": etag},
                              {"If-None-Match": '"other", ' + etag}, {"If-None-Match": "*"}):
                status, got, body = ask(path, condition)
                shslib.equal((status, body), (304, b""), "%s with %r" % (path, condition))
                shslib.equal(got["ETag"], etag, "the ETag of a 304")
            for condition in ({"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"},
                              {"If-Modified-Since": "yesterday"}, {"If-None-Match": '"other"'},
                              {"If-None-Match": '"other"', "If-Modified-Since": modified}):
                status, _, body = ask(path, condition)
                shslib.equal(status, 200, "%s with %r" % (path, condition))
                shslib.check(body == FILES[path], "%s with %r has other bytes" % (path, condition))


def connections_are_kept():
    path = url_path(b"generated/one.bin")
    with contextlib.closing(SERVER.connection()) as connection:
        sock = connection.sock
        for _ in range(500):
            connection.request("GET", path)
            shslib.equal(connection.getresponse().read(), FILES[path], "the file")
        shslib.check(connection.sock is sock, "http.client had to connect again")
    with SERVER.connect() as sock:
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
        _, headers, body, rest = shslib.read_response(sock)
        shslib.equal((headers["connection"], body, rest), ("close", FILES[path], b""), "the last answer")
        shslib.check(shslib.is_closed(sock), "Connection: close did not close")


def pipelined_answers_come_in_order():
    order = sorted(FILES) * 3
    asked = b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode() for path in order)
    for name, version in TLS_VERSIONS.items():
        with SERVER.connect(context=version_context(SERVER, version)) as sock:
            sock.sendall(asked)
            rest = b""
            for path in order:
                line, _, body, rest = shslib.read_response(sock, 20, rest)
                compare("pipelined over " + name, path, int(line.split()[1]), body, FILES[path])
            shslib.equal(rest, b"", "bytes after the last answer")


def requests_in_small_pieces():
    """A request may come in any pieces: byte by byte, each in its own TLS record."""
    path = url_path(b"generated/record+1.bin")
    request = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode()
    with SERVER.connect() as sock:
        rest = b""
        for cut in (1, 2, 3, 7, len(request) - 1):
            for at in range(0, len(request), cut):
                sock.sendall(request[at:at + cut])
            _, _, body, rest = shslib.read_response(sock, 10, rest)
            shslib.check(body == FILES[path], "cut into %d: other bytes" % cut)
            shslib.equal(rest, b"", "bytes after the answer")


def the_listing_leads_to_every_file():
    """Whatever a name has in it, the link of the listing finds the file."""
    import html.parser

    class Links(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.found = []

        def handle_starttag(self, tag, attributes):
            if tag == "a":
                self.found.append(dict(attributes)["href"])

    status, headers, body = SERVER.get("/generated/")
    shslib.equal((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"), "listing")
    links = Links()
    links.feed(body.decode("utf-8"))
    reached = set()
    for link in links.found:
        target = urllib.parse.urlsplit(urllib.parse.urljoin(SERVER.url + "/generated/", link)).path
        if target.startswith("/generated/") and not target.endswith("/"):
            status, _, body = SERVER.get(target)
            raw = b"/" + urllib.parse.unquote_to_bytes(target[1:])
            shslib.equal(status, 200, "the listing's link " + link)
            shslib.check(body == FILES[url_path(raw[1:])], "the listing's link " + link)
            reached.add(raw)
    wanted = {b"/generated/" + name for name in GENERATED if b"/" not in name}
    shslib.equal(reached, wanted, "the files that the listing leads to")


# -- TLS under it --------------------------------------------------------------------------------

def alpn():
    def negotiate(*protocols):
        context = SERVER.tls_context()
        if protocols:
            context.set_alpn_protocols(list(protocols))
        with SERVER.connect(context=context) as sock:
            shslib.send_all(sock, b"GET /logo.svg HTTP/1.1\r\nHost: a\r\n\r\n")
            shslib.equal(shslib.read_response(sock)[2], FILES["/logo.svg"], "with ALPN %r" % (protocols,))
            return sock.selected_alpn_protocol()

    shslib.equal(negotiate(), None, "no ALPN")
    shslib.equal(negotiate("http/1.1"), "http/1.1", "ALPN http/1.1")
    shslib.equal(negotiate("h2", "http/1.1"), "http/1.1", "ALPN h2, http/1.1")
    try:
        negotiate("h2")
    except ssl.SSLError as error:
        shslib.check("NO_APPLICATION_PROTOCOL" in str(error).upper().replace(" ", "_"), str(error))
    else:
        raise shslib.Failure("a client that speaks only h2 was let in")


def what_a_client_negotiates():
    for name, version in TLS_VERSIONS.items():
        with SERVER.connect(context=version_context(SERVER, version)) as sock:
            cipher = sock.cipher()
            shslib.equal(sock.version(), name, "version")
            shslib.check("GCM" in cipher[0] or "CHACHA20" in cipher[0], "no AEAD: %r" % (cipher,))


def sessions_are_resumed():
    for name, version in TLS_VERSIONS.items():
        context = version_context(SERVER, version)
        session = None
        for turn in range(3):
            sock = context.wrap_socket(SERVER.connect_plain(), server_hostname="localhost",
                                       session=session)
            with sock:
                shslib.equal(sock.session_reused, turn > 0, "%s: resumed, turn %d" % (name, turn))
                shslib.send_all(sock, b"GET /logo.svg HTTP/1.1\r\nHost: a\r\n\r\n")
                shslib.equal(shslib.read_response(sock)[2], FILES["/logo.svg"], "body")
                session = sock.session


def verification_is_real():
    """What made the other tests pass is the certificate: another CA or name is refused."""
    with contextlib.suppress(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(SERVER.connect_plain(), server_hostname="localhost")
        raise shslib.Failure("the system's CAs know the local CA")
    with contextlib.suppress(ssl.SSLCertVerificationError):
        SERVER.tls_context().wrap_socket(SERVER.connect_plain(), server_hostname="example.org")
        raise shslib.Failure("the certificate is for example.org")
    SERVER.connect(server_hostname="127.0.0.1").close()
    for name in ("localhost", "127.0.0.1"):
        with contextlib.closing(http.client.HTTPSConnection(
                name, SERVER.port, context=SERVER.tls_context(), timeout=10 * shslib.SLOWNESS)) as connection:
            connection.request("GET", "/logo.svg")
            shslib.equal(connection.getresponse().read(), FILES["/logo.svg"], "https://" + name)


def files_over_https():
    global FILES, SERVER
    with shslib.temp_dir() as top:
        site, FILES = make_site(top)
        with shslib.Server("--log", "none", site) as SERVER:
            shslib.each(
                curl_has_every_byte, python_has_every_byte, node_has_every_byte,
                head_is_get_without_its_body, unchanged_is_304, connections_are_kept,
                pipelined_answers_come_in_order, requests_in_small_pieces,
                the_listing_leads_to_every_file, alpn, what_a_client_negotiates,
                sessions_are_resumed, verification_is_real)


shslib.main(files_over_https)
