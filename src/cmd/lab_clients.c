#include "cmd/lab_clients.h"

#include <stdio.h>

static const char *openssl_word(const struct shs_condition *c)
{
    return c->word;
}

static const char *node_word(const struct shs_condition *c)
{
    return c->node;
}

static const char *go_word(const struct shs_condition *c)
{
    return c->go;
}

static const char *chromium_word(const struct shs_condition *c)
{
    return c->chromium;
}

static const char *no_word(const struct shs_condition *c)
{
    (void)c;
    return "";
}

/* -- scripts ----------------------------------------------------------------------------------- */

static const char python_script[] =
    "import http.client, ssl, sys\n"
    "ca, host, port, limit = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])\n"
    "context = ssl.create_default_context(cafile=ca)\n"
    "context.set_alpn_protocols(['http/1.1'])\n"
    "try:\n"
    "    c = http.client.HTTPSConnection('127.0.0.1', port, timeout=limit, context=context)\n"
    "    c.set_tunnel(host, 443)\n"
    "    c.request('GET', '/')\n"
    "    c.getresponse().read()\n"
    "except Exception as failure:\n"
    "    sys.exit(str(failure) or type(failure).__name__)\n";

static const char node_script[] =
    "const https = require('https'), tls = require('tls'), fs = require('fs');\n"
    "const [ca, host, port, limit] = process.argv.slice(2);\n"
    "const end = (code, text) => {\n"
    "  process.stderr.write(text + '\\n', () => process.exit(code)); };\n"
    "const r = https.get({host: '127.0.0.1', port, servername: host, headers: {Host: host},\n"
    "  ca: fs.readFileSync(ca), agent: false, ALPNProtocols: ['http/1.1'],\n"
    "  checkServerIdentity: (_, cert) => tls.checkServerIdentity(host, cert)}, (a) => {\n"
    "  a.on('data', () => {});\n"
    "  a.on('end', () => end(a.complete ? 0 : 1, a.complete ? '' : 'aborted'));\n"
    "  a.on('error', (e) => end(1, 'aborted ' + e.code)); });\n"
    "r.on('error', (e) => end(1, e.code + ' ' + e.message));\n"
    "setTimeout(() => end(1, 'TIMED_OUT'), limit * 1000);\n";

static const char go_script[] =
    "package main\n"
    "import (\"crypto/tls\"; \"crypto/x509\"; \"fmt\"; \"io\"; \"net/http\"; \"net/url\"; "
    "\"os\"; "
    "\"strconv\"; \"time\")\n"
    "func main() {\n"
    "\tpem, _ := os.ReadFile(os.Args[1])\n"
    "\tpool := x509.NewCertPool()\n"
    "\tpool.AppendCertsFromPEM(pem)\n"
    "\tproxy, _ := url.Parse(os.Args[2])\n"
    "\tlimit, _ := strconv.Atoi(os.Args[4])\n"
    "\tclient := http.Client{Timeout: time.Duration(limit) * time.Second, Transport: "
    "&http.Transport{\n"
    "\t\tProxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: pool, "
    "NextProtos: []string{\"http/1.1\"}}}}\n"
    "\tanswer, err := client.Get(os.Args[3])\n"
    "\tif err == nil {\n"
    "\t\t_, err = io.Copy(io.Discard, answer.Body)\n"
    "\t}\n"
    "\tif err != nil {\n"
    "\t\tfmt.Fprintln(os.Stderr, err)\n"
    "\t\tos.Exit(1)\n"
    "\t}\n"
    "}\n";

static const char java_script[] =
    "import java.net.*;\n"
    "public class LabClient { public static void main(String[] a) throws Exception {\n"
    "  int limit = Integer.parseInt(a[1]) * 1000;\n"
    "  try { URLConnection c = new URL(a[0]).openConnection();\n"
    "    c.setConnectTimeout(limit); c.setReadTimeout(limit);\n"
    "    try (var in = c.getInputStream()) { in.readAllBytes(); } System.exit(0);\n"
    "  } catch (Exception e) { System.err.println(e); System.exit(1); } } }\n";
/* s_client has no request of its own: it is given one, and its answer is looked for. Paths reach a
   shell as its arguments: they may have blanks in them. */
#define ASK "out=$(printf 'GET / HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n' | "
#define LOOK                                                                                       \
    " 2>&1 | tr -d '\\000'); printf '%s\\n' \"$out\" >&2; "                                        \
    "case $out in *HTTP/1.1*) exit 0 ;; esac; exit 1"

/*
 * Chromium prints the page when it takes it, and else says "Page load failed: net::ERR_...". After
 * a body that was cut it waits on; why it does is in its net log alone, as numbers. {limit} is its
 * own limit; timeout(1) is for a Chromium that does not keep to it. No subshell in braces here: a
 * place in it would not be filled in.
 */
static const char chromium_line[] =
    "d=\"$1/{id}\"; rm -rf \"$d\"; mkdir \"$d\" || exit 1; "
    "HOME=\"$1\" timeout $(({limit} + 5)) chromium --headless --no-sandbox --disable-gpu "
    "--no-first-run --disable-background-networking --disable-component-update --disable-sync "
    "--disable-default-apps --disable-extensions --user-data-dir=\"$d\" "
    "--proxy-server={proxy} --proxy-bypass-list='<-loopback>' --timeout={limit}000 "
    "--log-net-log=\"$d/net\" --dump-dom {site} "
    ">\"$d/page\" 2>\"$d/said\"; st=$?; "
    "why=$(grep -aoE 'Page load (failed: net::ERR_[A-Z0-9_]+|timed out)' \"$d/said\" | head -3); "
    "case $why in *'timed out') "
    "grep -aq '\"net_error\":-354' \"$d/net\" && why='net::ERR_CONTENT_LENGTH_MISMATCH'; "
    "grep -aq '\"net_error\":-355' \"$d/net\" && why='net::ERR_INCOMPLETE_CHUNKED_ENCODING' ;; "
    "esac; "
    "[ $st = 124 ] && why='Chromium timed out'; "
    "[ -s \"$d/page\" ] || why=${why:-'Chromium has printed no page'}; "
    "rm -rf \"$d\"; [ $st -gt 128 ] && exit $st; [ -z \"$why\" ] && exit $st; "
    "printf '%s\\n' \"$why\" >&2; exit 1";

static const struct lab_client clients[] = {
    {.name = "curl",
     .program = "curl",
     .command = {"curl", "-sS", "--proxy", "{proxy}", "--noproxy", "", "--cacert", "{ca}", "-o",
                 "/dev/null", "--max-time", "{limit}", "{site}"},
     .knows_http = true,
     .word = openssl_word},
    {.name = "wget",
     .program = "wget",
     .command = {"wget", "-O", "/dev/null", "--no-config", "--tries=1", "--timeout={limit}", "-e",
                 "use_proxy=yes", "-e", "https_proxy={proxy}", "--ca-certificate={ca}", "{site}"},
     .knows_http = true,
     .word = no_word},
    {.name = "python",
     .program = "python3",
     .command = {"python3", "{dir}/client.py", "{ca}", "{host}", "{port}", "{limit}"},
     .script = "client.py",
     .text = python_script,
     .knows_http = true,
     .word = openssl_word},
    {.name = "node",
     .program = "node",
     .direct = true,
     .command = {"node", "{dir}/client.js", "{ca}", "{host}", "{port}", "{limit}"},
     .script = "client.js",
     .text = node_script,
     .knows_http = true,
     .word = node_word},
    {.name = "go",
     .program = "go",
     .command = {"{dir}/client", "{ca}", "{proxy}", "{site}", "{limit}"},
     .script = "client.go",
     .text = go_script,
     .prepare = "GO111MODULE=off GOFLAGS= GOCACHE=\"$PWD/gocache\" go build -o client client.go",
     .knows_http = true,
     .word = go_word},
    {.name = "java",
     .program = "java",
     .command = {"java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", "{dir}", "LabClient",
                 "{site}", "{limit}"},
     .script = "LabClient.java",
     .text = java_script,
     .prepare = "javac LabClient.java",
     .knows_http = true,
     .word = no_word},
    {.name = "openssl",
     .program = "openssl",
     .direct = true,
     .command = {"sh", "-c",
                 ASK "openssl s_client -connect 127.0.0.1:{port} -servername {host} "
                     "-verify_hostname {host} -CAfile \"$1\" -verify_return_error -alpn http/1.1 "
                     "-quiet -ign_eof" LOOK,
                 "sh", "{ca}"},
     .word = openssl_word},
    {.name = "gnutls-cli",
     .program = "gnutls-cli",
     .direct = true,
     .command = {"sh", "-c",
                 ASK "gnutls-cli --x509cafile \"$1\" -p {port} --sni-hostname {host} "
                     "--verify-hostname {host} --alpn http/1.1 127.0.0.1" LOOK,
                 "sh", "{ca}"},
     .word = no_word},
    {.name = "chromium",
     .program = "chromium",
     .command = {"sh", "-c", chromium_line, "sh", "{dir}"},
     .prepare = "mkdir -p .pki/nssdb && certutil -d sql:.pki/nssdb -N --empty-password && "
                "csplit -s -z -f root- \"$SSL_CERT_FILE\" '/-----BEGIN/' '{*}' && "
                "for f in root-*; do certutil -d sql:.pki/nssdb -A -t C,, -n $f -i $f || exit 1; "
                "done",
     .knows_http = true,
     .heavy = true,
     .word = chromium_word},
};

const struct lab_client *lab_client_find(const char *name)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(clients); i++) {
        if (strcmp(clients[i].name, name) == 0)
            return &clients[i];
    }
    return NULL;
}

const char *lab_client_names(void)
{
    return "curl, wget, python, node, go, java, openssl, gnutls-cli and chromium";
}

/* -- places ------------------------------------------------------------------------------------ */

static int put_place(struct shs_buf *out, const char *name, size_t len, const struct lab_places *p,
                     const struct shs_condition *c)
{
    const struct {
        const char *name, *value;
    } texts[] = {{"url", c->url},     {"host", c->host}, {"ca", p->ca},
                 {"proxy", p->proxy}, {"id", c->id},     {"dir", p->dir}};

    for (size_t i = 0; i < SHS_ARRAY_LEN(texts); i++) {
        if (strlen(texts[i].name) == len && memcmp(texts[i].name, name, len) == 0)
            return shs__buf_append_str(out, shs__str(texts[i].value));
    }
    if (len == 4 && memcmp(name, "port", 4) == 0)
        return shs__buf_printf(out, "%u", p->port);
    if (len == 5 && memcmp(name, "limit", 5) == 0)
        return shs__buf_printf(out, "%u", p->limit_s);
    if (len == 4 && memcmp(name, "site", 4) == 0)
        return shs__buf_printf(out, strchr(c->host, ':') == NULL ? "https://%s/" : "https://[%s]/",
                               c->host);
    return shs__buf_printf(out, "{%.*s}", (int)len, name); /* not one of ours */
}

static char *fill_in(const char *text, const struct lab_places *places,
                     const struct shs_condition *c)
{
    struct shs_buf out;
    int rc = SHS_OK;

    shs__buf_init(&out, (size_t)64 * 1024);
    while (*text != '\0' && rc == SHS_OK) {
        const char *end = *text == '{' ? strchr(text, '}') : NULL;

        if (end != NULL) {
            rc = put_place(&out, text + 1, (size_t)(end - text - 1), places, c);
            text = end + 1;
        } else {
            rc = shs__buf_append(&out, text++, 1);
        }
    }
    if (rc == SHS_OK)
        rc = shs__buf_append(&out, "", 1);
    if (rc != SHS_OK) {
        shs__buf_free(&out);
        return NULL;
    }
    return out.data; /* it starts there, and is one piece of shs__malloc's */
}

bool lab_words_make(struct lab_words *out, const char *const *command,
                    const struct lab_places *places, const struct shs_condition *c)
{
    size_t i;

    memset(out, 0, sizeof *out);
    for (i = 0; command[i] != NULL; i++) {
        out->words[i] = i < LAB_WORDS_MAX ? fill_in(command[i], places, c) : NULL;
        if (out->words[i] == NULL) {
            lab_words_free(out);
            return false;
        }
    }
    return true;
}

void lab_words_free(struct lab_words *self)
{
    for (size_t i = 0; i < LAB_WORDS_MAX && self->words[i] != NULL; i++)
        shs__free(self->words[i]);
    memset(self, 0, sizeof *self);
}
