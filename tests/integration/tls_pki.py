"""Certificates for the tests of TLS, made with the openssl command in a directory of their own."""

import concurrent.futures
import os
import ssl
import subprocess
import threading
import time

import shslib

DAY = 86400


def _openssl(*arguments, stdin=None):
    done = subprocess.run(("openssl",) + arguments, input=stdin, capture_output=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError("openssl %s: %s" % (" ".join(arguments), done.stderr.decode()))
    return done.stdout


def _when(seconds, now=None):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime((time.time() if now is None else now) + seconds))


class CA:
    """A certificate authority: NAME.pem and NAME.key in `directory`; `parent` signs it."""

    def __init__(self, directory, name, parent=None, pathlen=None):
        self.directory, self.name, self.parent = directory, name, parent
        self.base = os.path.join(directory, name)
        self.cert, self.key = self.base + ".pem", self.base + ".key"
        os.makedirs(self.base + ".db")
        self._write("index.txt", "")
        self._write("crlnumber", "01\n")
        length = "" if pathlen is None else ",pathlen:%d" % pathlen
        self._write("ca.cnf", """
[ca]
default_ca = it
[it]
database = %(db)s/index.txt
new_certs_dir = %(db)s
crlnumber = %(db)s/crlnumber
certificate = %(cert)s
private_key = %(key)s
default_md = sha256
policy = any
rand_serial = yes
unique_subject = no
email_in_dn = no
copy_extensions = none
crl_extensions = crl_ext
string_mask = utf8only
[crl_ext]
authorityKeyIdentifier = keyid
[any]
commonName = optional
organizationName = optional
[req]
distinguished_name = dn
prompt = no
string_mask = utf8only
[dn]
CN = x
[ca_ext]
basicConstraints = critical,CA:TRUE%(length)s
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
""" % {"db": self.base + ".db", "cert": self.cert, "key": self.key, "length": length})
        self.config = self.base + ".db/ca.cnf"
        self._key(self.key)
        if parent is None:
            _openssl("req", "-x509", "-new", "-key", self.key, "-subj", "/CN=" + name, "-days", "100",
                     "-config", self.config, "-extensions", "ca_ext", "-out", self.cert)
        else:
            self._request(self.key, "/CN=" + name, self.base + ".csr")
            parent._sign(self.base + ".csr", self.cert, self.config, "ca_ext", -DAY, 100 * DAY)

    def _write(self, name, text):
        with open(os.path.join(self.base + ".db", name), "w") as f:
            f.write(text)

    def _key(self, path, rsa=False):
        if rsa:
            _openssl("genrsa", "-out", path, "2048")
        else:
            _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)

    def _request(self, key, subject, out):
        _openssl("req", "-new", "-key", key, "-subj", subject, "-config", self.config, "-out", out,
                 "-multivalue-rdn" if "+" in subject else "-utf8")

    def _sign(self, csr, out, extensions_file, section, start, end):
        _openssl("ca", "-batch", "-notext", "-config", self.config, "-in", csr, "-out", out,
                 "-extfile", extensions_file, "-extensions", section, "-startdate", _when(start),
                 "-enddate", _when(end), "-preserveDN")

    def issue(self, name, names=("DNS:localhost", "IP:127.0.0.1"), usage="serverAuth", start=-DAY,
              end=90 * DAY, rsa=False, subject=None, ca=False, key=None, more=()):
        """(certificate with its chain, key): NAME.pem, NAME.key. `more`: lines of its extensions."""
        base = os.path.join(self.directory, name)
        lines = ["[it]", "basicConstraints = critical,CA:%s" % ("TRUE" if ca else "FALSE"),
                 "keyUsage = critical,digitalSignature" + (",keyCertSign" if ca else ""),
                 "subjectKeyIdentifier = hash", "authorityKeyIdentifier = keyid"]
        if usage:
            lines.append("extendedKeyUsage = " + usage)
        if names:
            lines.append("subjectAltName = " + ",".join(names))
        with open(base + ".ext", "w") as f:
            f.write("\n".join(lines + list(more)) + "\n")
        if key is None:
            self._key(base + ".key", rsa)
        self._request(key or base + ".key", subject or "/CN=" + name, base + ".csr")
        self._sign(base + ".csr", base + ".leaf", base + ".ext", "it", start, end)
        with open(base + ".pem", "w") as out:
            out.write(open(base + ".leaf").read())
            ca_ = self
            while ca_.parent is not None:
                out.write(open(ca_.cert).read())
                ca_ = ca_.parent
        return base + ".pem", key or base + ".key"

    def client(self, name, names=(), usage="clientAuth", **keywords):
        return self.issue(name, names=names, usage=usage, **keywords)

    def revoke(self, name):
        _openssl("ca", "-config", self.config, "-revoke", os.path.join(self.directory, name + ".leaf"))

    def crl(self, path=None, days=30):
        path = path or self.base + ".crl"
        _openssl("ca", "-config", self.config, "-gencrl", "-crldays", str(days), "-out",
                 path + ".new")
        os.replace(path + ".new", path)
        return path

    def crl_of(self, path, revoked=(), number=None, since=-60, until=DAY, delta=None, more=(), now=None):
        """A CRL that says just this: `revoked` is {name of a certificate: reason} or names; times are seconds
        from `now`. `delta`: a delta CRL, of the complete one with that number. `more`: lines of its extensions,
        beside the identifier of its key; None: not even that."""
        base = os.path.join(self.base + ".db", "only")
        reasons = revoked if isinstance(revoked, dict) else {name: "" for name in revoked}
        with open(base + ".txt", "w") as index:
            for name, reason in reasons.items():
                index.write("R\t491231235959Z\t%s%s\t%s\tunknown\t/CN=x\n" % (
                    _when(-120)[2:], reason and "," + reason,
                    serial(os.path.join(self.directory, name + ".leaf")).upper()))
        with open(base + ".number", "w") as file:
            file.write("%02X\n" % (number or 1))
        lines = ["authorityKeyIdentifier = keyid"]
        if delta is not None:
            lines.append("2.5.29.27 = critical,ASN1:INTEGER:%d" % delta)
        lines = lines + list(more) if more is not None else ["issuerAltName = DNS:ca.example"]
        with open(base + ".cnf", "w") as out:
            out.write("[ca]\ndefault_ca = it\n[it]\ndatabase = %s.txt\n%scertificate = %s\nprivate_key = %s\n"
                      "default_md = sha256\ncrl_extensions = ext\n[ext]\n%s\n" % (
                          base, "" if number is None else "crlnumber = %s.number\n" % base, self.cert, self.key,
                          "\n".join(lines)))
        _openssl("ca", "-config", base + ".cnf", "-gencrl", "-crl_lastupdate", _when(since, now), "-crl_nextupdate",
                 _when(until, now), "-out", path + ".new")
        os.replace(path + ".new", path)
        return path


TLS_VERSIONS = {"1.3": ssl.TLSVersion.TLSv1_3, "1.2": ssl.TLSVersion.TLSv1_2}


def client_context(ca, cert=None, version=None):
    """A client that trusts `ca` and shows `cert`, a pair of files. It speaks `version` only, or that of SHS_TEST_TLS."""
    context = ssl.create_default_context(cafile=ca)
    version = version or TLS_VERSIONS.get(shslib.TLS)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if cert is not None:
        context.load_cert_chain(*cert)
    return context


def s_client_version(arguments):
    """What makes openssl s_client speak the version of SHS_TEST_TLS, unless its arguments name one."""
    named = any(word.startswith("-tls1") for word in arguments)
    return [] if named or not shslib.TLS else ["-tls" + shslib.TLS.replace(".", "_")]


def curl_version(arguments):
    """The same for curl."""
    named = any(word.startswith("--tls") for word in arguments)
    return [] if named or not shslib.TLS else ["--tlsv" + shslib.TLS, "--tls-max", shslib.TLS]


def self_signed(directory, name, usage="clientAuth"):
    base = os.path.join(directory, name)
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", base + ".key", "-out", base + ".pem", "-days", "10", "-subj", "/CN=" + name,
             "-addext", "extendedKeyUsage=" + usage, "-addext", "basicConstraints=critical,CA:FALSE")
    return base + ".pem", base + ".key"


def serial(cert):
    out = _openssl("x509", "-in", cert, "-noout", "-serial").decode()
    return out.strip().split("=")[1].lower()


def end_of(cert):
    """The time at which it is good no more, in seconds as time.time() has them."""
    out = _openssl("x509", "-in", cert, "-noout", "-enddate").decode()
    return ssl.cert_time_to_seconds(out.strip().split("=")[1])


def sleep_past(when):
    while time.time() <= when:
        time.sleep(max(0.0, when - time.time()) + 0.01)


def bundle(path, *certs):
    with open(path, "w") as out:
        for cert in certs:
            out.write(open(cert).read())
    return path


def each(pki, *tests):
    """shslib.each for tests that take what was made for all of them."""
    shslib.each(*[_bound(pki, test) for test in tests])


def _bound(pki, test):
    def run():
        test(pki)
    run.__name__ = test.__name__
    return run


class OneAtATime:
    """A CA for several threads: openssl ca keeps its books in files."""

    def __init__(self, ca):
        self.it, self.lock, self.cert = ca, threading.Lock(), ca.cert

    def __getattr__(self, name):
        def call(*arguments, **keywords):
            with self.lock:
                return getattr(self.it, name)(*arguments, **keywords)
        return call


def at_once(function, items, threads=None):
    """For each of them, on a thread of its own, for most of it is waiting; then the first failure, if any."""
    with concurrent.futures.ThreadPoolExecutor(threads or len(items)) as pool:
        for done in [pool.submit(function, item) for item in items]:
            done.result()


def each_at_once(pki, *tests):
    """`each`, for tests that wait more than they work: side by side. A tuple of them: one after the other."""
    at_once(lambda row: each(pki, *(row if isinstance(row, tuple) else (row,))), tests)
