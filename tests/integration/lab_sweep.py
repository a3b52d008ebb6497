"""lab_sweep: a real client through all conditions of the lab, and what it should have said to each.

A condition's verdict is the one recorded in its row (`expect`, `differs`, `accepts`); where the client refuses,
its message must have the row's word, so that it is refused for the right reason.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import select
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.request

import shslib
from shslib import check, equal

# A client's limit. For those that hang on purpose it is what the test waits for.
HANG = 1.5
LIMIT = 30 * shslib.SLOWNESS

# Which of the measured Pythons this one is. From 3.13 on it verifies strictly.
PYTHON = "py313" if sys.version_info >= (3, 13) else "py311"

# What OpenSSL 3.2 and later say in other words. (Python tells the last reason only: of a record, that it failed.)
SAID_LATER = {
    "sslv3 alert handshake failure": ("ssl/tls alert handshake failure",),
    "bad signature": ("provider signature failure",),
    "legacy sigalg disallowed or unsupported": ("tlsv1 alert protocol version",),
    "dh key too small": ("unknown security bits",),
    "packet length too long": ("data length too long", "record layer failure"),
    "decryption failed or bad record mac": ("record layer failure",),
    "transfer closed with": ("unexpected eof while reading",),
    "unsuitable certificate purpose": ("key usage keycertsign invalid for non-ca cert",),
} if ssl.OPENSSL_VERSION_INFO >= (3, 2) else {}


class Lab:
    """`shs lab serve`, until the end of the `with`."""

    def __init__(self, *options):
        self.options = options

    def __enter__(self):
        self.errors = tempfile.TemporaryFile()
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [shslib.BIN, "lab", "serve", "--exit-with-parent", "--ready-fd", str(writer), *self.options],
            stdout=subprocess.PIPE, stderr=self.errors, stdin=subprocess.DEVNULL, pass_fds=(writer,))
        os.close(writer)
        with contextlib.closing(os.fdopen(reader)) as ready:
            check(select.select([ready], [], [], 60 * shslib.SLOWNESS)[0], "the lab is not ready")
            line = ready.readline()
        if not line:
            self.errors.seek(0)
            raise shslib.Failure("the lab did not start: %s" % self.errors.read().decode())
        self.port = int(line)
        self.proxy = "http://127.0.0.1:%d" % self.port
        self.manifest = json.loads(self.get("/manifest.json"))
        self.ca = self.manifest["ca_path"]
        self.conditions = self.manifest["conditions"]
        return self

    def get(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.proxy + path, timeout=LIMIT) as answer:
            return answer.read().decode()

    def peak_kib(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    def __exit__(self, *failure):
        self.process.terminate()
        code = self.process.wait(60 * shslib.SLOWNESS)
        out = self.process.stdout.read().decode()
        self.process.stdout.close()
        self.errors.seek(0)
        errors = self.errors.read().decode()
        self.errors.close()
        if failure[0] is None:
            equal(code, 0, "exit code of the lab: " + errors)
            check(not shslib.SANITIZER_REPORT.search(errors), errors)
            check(not os.path.exists(self.ca), "the lab has left %s" % self.ca)
        self.said = out


def limit_of(condition):
    return HANG if condition["hangs"] else LIMIT


def python(lab, condition):
    context = ssl.create_default_context(cafile=lab.ca)
    context.set_alpn_protocols(["http/1.1"])
    try:
        conn = http.client.HTTPSConnection("127.0.0.1", lab.port, timeout=limit_of(condition), context=context)
        with contextlib.closing(conn):
            conn.set_tunnel(condition["host"], 443)
            conn.request("GET", "/")
            conn.getresponse().read()
        return True, ""
    except (OSError, http.client.HTTPException) as failure:
        return False, str(failure)


def site_of(lab, condition):
    return condition["url"].replace(":%d/" % lab.port, "/")


def curl(lab, condition):
    env = {"PATH": os.environ["PATH"]}
    done = subprocess.run(["curl", "-sS", "--proxy", lab.proxy, "--noproxy", "", "--cacert", lab.ca, "-o", os.devnull,
                           "--max-time", str(limit_of(condition)), site_of(lab, condition)],
                          capture_output=True, text=True, errors="replace", env=env, timeout=2 * LIMIT)
    return done.returncode == 0, "(%d) %s" % (done.returncode, done.stderr)


CURL = """url = "%s"
output = "/dev/null"
proxy = "%s"
noproxy = ""
cacert = "%s"
max-time = %s
write-out = "= %s (%%{exitcode}) %%{errormsg}\\n"
"""


def curl_all(lab, conditions):
    """All in one process, each with the exit code and the message it would have had by itself."""
    config = "next\n".join(CURL % (site_of(lab, c), lab.proxy, lab.ca, limit_of(c), c["id"]) for c in conditions)
    done = subprocess.run(["curl", "-sS", "--parallel", "--parallel-max", "12", "--config", "-"], input=config,
                          capture_output=True, text=True, errors="replace", env={"PATH": os.environ["PATH"]},
                          timeout=10 * LIMIT)
    lines = [line.split(" ", 2)[1:] for line in done.stdout.splitlines() if line.startswith("= ")]
    equal(len(lines), len(conditions), "answers of curl; it said: " + done.stderr[-300:])
    return {id: (text.startswith("(0)"), text) for id, text in lines}


def openssl(lab, condition):
    """s_client has no request of its own: it is given one, and the answer is waited for."""
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", "127.0.0.1:%d" % lab.port, "-servername", condition["host"],
         "-verify_hostname", condition["host"], "-CAfile", lab.ca, "-verify_return_error", "-alpn", "http/1.1",
         "-quiet", "-no_ign_eof"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = b""
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
            process.stdin.flush()
        deadline = shslib.Deadline(limit_of(condition), "s_client")
        while b"HTTP/1.1" not in said:
            select.select([process.stdout], [], [], deadline.left())
            deadline.left()  # fails when time is up
            more = os.read(process.stdout.fileno(), 65536)
            if not more:
                break
            said += more
    except shslib.Failure:
        said += b"timed out"
    process.kill()
    process.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.wait(LIMIT)
    return b"HTTP/1.1" in said, said.decode("utf-8", "replace")


NODE = r"""
const https = require('https'), tls = require('tls'), fs = require('fs');
const ca = fs.readFileSync(process.argv[2]), port = +process.argv[3], list = JSON.parse(fs.readFileSync(0));
const one = (c) => new Promise((resolve) => {
  let timer;
  const end = (accepted, text) => { clearTimeout(timer); resolve([c.id, accepted, text]); };
  const request = https.get({host: '127.0.0.1', port, servername: c.host, headers: {Host: c.host}, ca, agent: false,
    ALPNProtocols: ['http/1.1'], checkServerIdentity: (host, cert) => tls.checkServerIdentity(c.host, cert)},
  (answer) => {
    answer.on('data', () => {});
    answer.on('end', () => end(answer.complete, answer.complete ? '' : 'aborted'));
    answer.on('error', (e) => end(false, 'aborted ' + e.code));
  });
  request.on('error', (e) => end(false, e.code + ' ' + e.message));
  timer = setTimeout(() => { end(false, 'TIMEOUT'); request.destroy(); }, c.limit * 1000);
});
(async () => {
  const out = [];
  await Promise.all(Array.from({length: 6}, async () => { while (list.length) out.push(await one(list.shift())); }));
  console.log(JSON.stringify(out));
  process.exit(0);
})();
"""


def node_all(lab, conditions):
    """All in one process: it takes longer to start than to ask."""
    with tempfile.NamedTemporaryFile("w", suffix=".js") as script:
        script.write(NODE)
        script.flush()
        done = subprocess.run(["node", script.name, lab.ca, str(lab.port)], capture_output=True, text=True,
                              input=json.dumps([dict(c, limit=limit_of(c)) for c in conditions]), timeout=10 * LIMIT,
                              env={"PATH": os.environ["PATH"]})
    equal(done.returncode, 0, done.stderr)
    return {id: (accepted, text) for id, accepted, text in json.loads(done.stdout)}


def wanted(condition, client):
    if client in ("py311", "py313") and condition["id"] == "static-rsa":
        # Debian 13 builds Python with OpenSSL's list of suites in place of Python's.
        return any(suite["kea"] == "kx-rsa" for suite in ssl.create_default_context().get_ciphers())
    if condition["expect"] == "either":
        return client in condition["accepts"]
    return (condition["expect"] == "accept") != (client in condition["differs"])


def applies(condition, client):
    """s_client does not know HTTP; nobody looks at CRLs unless told to."""
    if client in ("openssl", "node") and "visit-by-address" in condition["requires"]:
        return False  # they do not come by the proxy
    return condition["servable"] and not (client == "openssl" and "client-speaks-http" in condition["requires"])


def says(text, word):
    return any(words in text for words in (word, *SAID_LATER.get(word, ())))


def sweep(lab, client, ask, words, chosen=lambda c: True, exceptions=()):
    """`words`: the key of the manifest's words. `exceptions`: {id: why} that are only reported."""
    conditions = [c for c in lab.conditions if applies(c, client) and chosen(c)]
    if ask in (curl_all, node_all):
        results = ask(lab, conditions)
    else:
        # Those that only wait do not keep the others waiting.
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            waiting = sorted(conditions, key=lambda c: not c["hangs"])
            results = dict(zip([c["id"] for c in waiting], pool.map(lambda c: ask(lab, c), waiting)))
    wrong = []
    for condition in conditions:
        accepted, text = results[condition["id"]]
        word = condition["words"][words].lower()
        if condition["id"] in exceptions:
            continue
        if accepted != wanted(condition, client):
            wrong.append("%s: %s %s" % (condition["id"], "accepted" if accepted else "refused", text[-200:]))
        elif not accepted and not says(text.lower(), word) and not (condition["hangs"] and text.startswith("(28)")):
            wrong.append("%s: refused, but without '%s': %s" % (condition["id"], word, text[-300:]))
    check(not wrong, "%s, %d of %d:\n%s" % (client, len(wrong), len(conditions), "\n".join(wrong)))
    return len(conditions)


def have(program):
    return shutil.which(program) is not None
