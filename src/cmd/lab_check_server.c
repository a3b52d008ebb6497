/*
 * lab_check_server.c - `shs lab check-server`: the lab turned round. Clients with certificates that
 * are wrong in one way knock at a server, and what it does with each is scored.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include <shs/text.h>

#include "cmd/cmd.h"
#include "cmd/flags.h"
#include "cmd/lab.h"
#include "cmd/lab_score.h"
#include "testing/client.h"
#include "testing/clients.h"
#include "tls/wire/failure.h"

#define CASES_MAX 64
#define FILE_MAX ((size_t)1 << 20)
#define LIMIT_S 5

static const char about[] =
    "usage: shs lab check-server --dir DIR [--make]\n"
    "       shs lab check-server --dir DIR [OPTION]... https://HOST:PORT[/PATH]\n"
    "\n"
    "Knocks at a server that asks for client certificates, with good ones and with bad ones, and\n"
    "scores what it does. First --make: DIR then has ca.pem (whom the server is to let in), "
    "crl.pem,\n"
    "server.pem and server.key (for the server itself) and clients/. Give these to the server:\n"
    "\n"
    "    shs serve --cert DIR/server.pem --key DIR/server.key --client-ca DIR/ca.pem \\\n"
    "              --crl DIR/crl.pem --handler whoami\n"
    "    nginx:    ssl_verify_client on; ssl_client_certificate DIR/ca.pem; ssl_crl DIR/crl.pem;\n"
    "              ssl_verify_depth 2;\n"
    "    haproxy:  bind :8443 ssl crt DIR/server.both verify required ca-file DIR/ca.pem \\\n"
    "              crl-file DIR/crl.pem\n";

static const char below[] =
    "Exit status: 0 as it should be, or as in the baseline; 3 a bad certificate was let in; 4 a\n"
    "good one was refused; 5 the server did not answer in time; 6 the server does not let the "
    "good\n"
    "one in, or could not be reached; 1 it could not be done, 2 the command line is wrong.\n";

struct check_server {
    const char *dir, *ca, *identity, *baseline, *format_name, *report;
    bool make, no_crl, spiffe, update;
    unsigned limit_s;
    enum score_format format;
    char *host; /* of the URL */
    unsigned port;
    const char *path;
    bool reached; /* it took a connection */
    struct score_case cases[CASES_MAX];
    size_t count;
};

/* -- the URL, and files ------------------------------------------------------------------------ */

static int parse_url(struct check_server *self, const char *url)
{
    static const char scheme[] = "https://";
    const char *host = url + sizeof scheme - 1, *end, *colon;
    char *rest = NULL;
    unsigned long port = 443;

    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return cmd_fail(CMD_USAGE, "'%s' is not an https:// URL", url);
    end = host + strcspn(host, "/?#");
    self->path = *end == '/' ? end : "/";
    colon = host[0] == '[' ? memchr(host, ']', (size_t)(end - host)) : host;
    if (colon != NULL)
        colon = memchr(colon, ':', (size_t)(end - colon));
    if (colon != NULL)
        port = strtoul(colon + 1, &rest, 10);
    if (port == 0 || port > 65535 || (rest != NULL && rest != end))
        return cmd_fail(CMD_USAGE, "'%s' has no port from 1 to 65535", url);
    if (colon != NULL)
        end = colon;
    if (host[0] == '[' && end > host && end[-1] == ']')
        host++, end--;
    if (end == host)
        return cmd_fail(CMD_USAGE, "'%s' names no host", url);
    self->port = (unsigned)port;
    self->host = shs__strndup(host, (size_t)(end - host));
    return self->host == NULL ? cmd_fail(CMD_FAILED, "out of memory") : CMD_OK;
}

/* The whole file; NULL, and it has been said. For shs__free. */
static char *read_path(const char *path)
{
    int rc = SHS_IO, fd = open(path, O_RDONLY | O_CLOEXEC), saved = errno;
    struct shs_buf text;
    char why[96];

    shs__buf_init(&text, FILE_MAX);
    if (fd >= 0) {
        rc = shs__read_all(fd, &text);
        saved = errno;
        close(fd);
    }
    if (rc == SHS_OK)
        rc = shs__buf_append(&text, "", 1);
    if (rc == SHS_OK)
        return text.data;
    cmd_fail(CMD_FAILED, "cannot read %s: %s%s", path,
             rc == SHS_IO ? shs__strerror(saved, why, sizeof why) : shs_err_text(rc),
             rc == SHS_IO && saved == ENOENT ? "; --make makes the directory" : "");
    shs__buf_free(&text);
    return NULL;
}

static char *read_file(const char *dir, const char *name, const char *suffix)
{
    char *path = shs__asprintf("%s/%s%s", dir, name, suffix), *text;

    if (path == NULL) {
        cmd_fail(CMD_FAILED, "out of memory");
        return NULL;
    }
    text = read_path(path);
    shs__free(path);
    return text;
}

/* -- what the server does with one ------------------------------------------------------------- */

/* The value of "KEY": "..." in JSON, still escaped; or the whole text. False when there is none. */
static bool find_identity(const struct check_server *self, struct shs_str body, struct shs_str *out)
{
    char key[100];
    const char *at, *end;

    if (strcmp(self->identity, "text") == 0) {
        while (body.len > 0 && (unsigned char)body.ptr[body.len - 1] <= ' ')
            body.len--;
        *out = body;
        return body.len > 0;
    }
    snprintf(key, sizeof key, "\"%s\":", self->identity);
    at = memmem(body.ptr, body.len, key, strlen(key));
    if (at == NULL)
        return false;
    at += strlen(key);
    while (*at == ' ')
        at++;
    if (*at != '"')
        return false;
    for (end = ++at; *end != '"' && *end != '\0';)
        end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    *out = (struct shs_str){at, (size_t)(end - at)};
    return true;
}

static bool is_name(const struct check_server *self, struct shs_str told, const char *name)
{
    char escaped[600];
    size_t len = 0;

    if (strcmp(self->identity, "text") == 0)
        return shs__str_eq(told, shs__str(name));
    return shs_json_escape(shs__str(name), escaped, sizeof escaped, &len) == SHS_OK &&
           shs__str_eq(told, (struct shs_str){escaped, len});
}

/* It was let in: as whom? What it must not be taken for makes it a bad one. */
static void judge_identity(const struct check_server *self, struct score_case *c,
                           const struct shs_client_case *wish, struct shs_str body)
{
    struct shs_str told;
    char text[SCORE_SAID_MAX];

    if (self->identity == NULL)
        return;
    if (!find_identity(self, body, &told)) {
        score_say(c, "the answer names nobody", 23);
        return;
    }
    snprintf(text, sizeof text, "taken for '%.*s'", told.len < 120 ? (int)told.len : 120, told.ptr);
    score_say(c, text, strlen(text));
    if ((wish->never != NULL && is_name(self, told, wish->never)) ||
        (wish->name != NULL && !is_name(self, told, wish->name))) {
        c->expect = SCORE_REJECT;
        c->reason = "taken for somebody else";
    }
}

static bool has_word(struct shs_str body, struct shs_str word)
{
    for (size_t i = 0; i + word.len <= body.len; i++) {
        if (strncasecmp(body.ptr + i, word.ptr, word.len) == 0)
            return true;
    }
    return false;
}

/* Does the answer say one of the words, "none|no required"? */
static bool says(struct shs_str body, const char *words)
{
    while (*words != '\0') {
        size_t len = strcspn(words, "|");

        if (has_word(body, (struct shs_str){words, len}))
            return true;
        words += words[len] == '|' ? len + 1 : len;
    }
    return false;
}

/* 400, 401, 403 and nginx's 495 and 496 refuse; anything else has let the client in. */
static void judge_answer(const struct check_server *self, struct score_case *c,
                         const struct shs_client_case *wish, const struct shs_test_answer *answer)
{
    int status = shs_test_answer_status(answer);
    struct shs_str body = shs_test_answer_body(answer);
    char text[SCORE_SAID_MAX];

    if (status != 400 && status != 401 && status != 403 && status != 495 && status != 496) {
        c->verdict = SCORE_ACCEPTED;
        judge_identity(self, c, wish, body);
        return;
    }
    c->verdict = SCORE_REJECTED;
    c->other_reason = wish->words[0] != '\0' && !says(body, wish->words);
    snprintf(text, sizeof text, "HTTP %d: %.*s", status, body.len < 150 ? (int)body.len : 150,
             body.ptr);
    score_say(c, text, strlen(text));
}

static void judge_refusal(struct score_case *c, const struct shs_client_case *wish,
                          const struct shs_test_client *client, int rc, const struct shs_error *err)
{
    char alert[64];

    c->verdict = rc == SHS_TIMEOUT ? SCORE_HUNG : SCORE_REJECTED;
    if (rc == SHS_TIMEOUT || client->alert < 0) {
        c->other_reason = rc != SHS_TIMEOUT;
        score_say(c, err->text, strlen(err->text));
        return;
    }
    shs__tls_alert_name((unsigned)client->alert, alert, sizeof alert);
    score_say(c, alert, strlen(alert));
    c->other_reason = wish->alerts[0] != 0;
    for (size_t i = 0; i < sizeof wish->alerts; i++) {
        if (wish->alerts[i] != 0 && wish->alerts[i] == client->alert)
            c->other_reason = false;
    }
}

static int knock(struct check_server *self, struct score_case *c,
                 const struct shs_client_case *wish, int version, const char *ca_pem)
{
    char *clients = shs__asprintf("%s/clients", self->dir), *cert = NULL, *key = NULL;
    struct shs_test_client_spec spec = {
        .host = self->host, .port = self->port, .tls = true, .ca_pem = ca_pem, .version = version};
    struct shs_test_answer *answer = NULL;
    struct shs_test_request asked, request;
    struct shs_test_client client;
    struct shs_error err;
    int64_t began = shs_now_ns();
    int rc;

    if (clients == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    if (strcmp(wish->id, "none") != 0) {
        cert = read_file(clients, wish->id, ".pem");
        key = cert == NULL ? NULL : read_file(clients, wish->id, ".key");
    }
    shs__free(clients);
    if (strcmp(wish->id, "none") != 0 && key == NULL) {
        shs__free(cert);
        return CMD_FAILED;
    }
    spec.cert_pem = cert;
    spec.key_pem = key;
    spec.deadline_ns = shs__deadline_after(began, self->limit_s * 1000);
    shs_test_request_init(&asked);
    asked.target = self->path;
    memset(&client, 0, sizeof client);
    client.fd = -1;
    client.alert = -1;
    rc = shs__test_request_take(&request, &asked, &err);
    if (rc == SHS_OK)
        rc = shs__test_client_ask(&answer, &spec, &request, &client, &err);
    self->reached = self->reached || client.connected;
    if (rc == SHS_OK)
        judge_answer(self, c, wish, answer);
    else
        judge_refusal(c, wish, &client, rc, &err);
    c->seconds = (double)(shs_now_ns() - began) / SHS_NS_PER_S;
    shs_test_answer_free(answer);
    shs__free(cert);
    shs__free(key);
    return CMD_OK;
}

/* -- all of them ------------------------------------------------------------------------------- */

static bool applies(const struct check_server *self, const struct shs_client_case *wish)
{
    switch (wish->needs) {
    case SHS_CLIENT_NEEDS_NOTHING:
        return true;
    case SHS_CLIENT_NEEDS_CRL:
        return !self->no_crl;
    case SHS_CLIENT_NEEDS_IDENTITY:
        return self->identity != NULL;
    case SHS_CLIENT_NEEDS_SPIFFE:
        return self->spiffe;
    }
    return true;
}

/* With one version of TLS. *sane: the good one was let in. */
static int run_version(struct check_server *self, int version, const char *ca_pem, bool *sane)
{
    int code = CMD_OK;

    *sane = true;
    for (const struct shs_client_case *w = shs__client_cases; w->id != NULL && *sane; w++) {
        struct score_case *c = &self->cases[self->count];

        memset(c, 0, sizeof *c);
        c->id = version == 12 ? shs__asprintf("%s-tls12", w->id) : shs__strdup(w->id);
        if (c->id == NULL || self->count + 1 >= CASES_MAX)
            return cmd_fail(CMD_FAILED, "out of memory");
        c->group = w->group;
        c->tier = w->tier;
        c->reason = w->reason;
        c->expect = w->expect == SHS_CLIENT_LET_IN   ? SCORE_ACCEPT
                    : w->expect == SHS_CLIENT_REFUSE ? SCORE_REJECT
                                                     : SCORE_EITHER;
        self->count++;
        if (!applies(self, w)) {
            c->verdict = SCORE_NOT_APPLICABLE;
            continue;
        }
        code = knock(self, c, w, version, ca_pem);
        if (code != CMD_OK)
            return code;
        *sane = w != shs__client_cases || c->verdict == SCORE_ACCEPTED;
    }
    return code;
}

/* TLS 1.3, then 1.2; a version in which even the good one is not let in is left out. */
static int run_all(struct check_server *self, const char *ca_pem)
{
    static const int versions[] = {13, 12};
    char said[2][SCORE_SAID_MAX] = {"", ""};
    bool any = false;

    for (size_t i = 0; i < SHS_ARRAY_LEN(versions); i++) {
        size_t before = self->count;
        bool sane;
        int code = run_version(self, versions[i], ca_pem, &sane);

        if (code != CMD_OK)
            return code;
        any = any || sane;
        if (sane)
            continue;
        snprintf(said[i], sizeof said[i], "%s", self->cases[self->count - 1].said);
        while (self->count > before)
            shs__free((char *)(uintptr_t)self->cases[--self->count].id);
    }
    if (any) {
        for (size_t i = 0; i < SHS_ARRAY_LEN(versions); i++) {
            if (said[i][0] != '\0')
                cmd_warn("TLS 1.%d is left out: %s", versions[i] - 10, said[i]);
        }
        return CMD_OK;
    }
    if (!self->reached)
        return cmd_fail(SCORE_NO_SANITY, "%s port %u cannot be reached (%s): does the server run?",
                        self->host, self->port, said[0]);
    return cmd_fail(SCORE_NO_SANITY,
                    "%s port %u does not let the good client in (%s): does it know %s/ca.pem?",
                    self->host, self->port, said[0][0] != '\0' ? said[0] : "no reason", self->dir);
}

static int tell(struct check_server *self, double seconds)
{
    char name[300], title[SCORE_SAID_MAX];
    struct score score = {
        .title = title, .cases = self->cases, .count = self->count, .seconds = seconds};
    int code = score_exit_code(&score), made;

    snprintf(name, sizeof name, "server https://%s:%u", self->host, self->port);
    score_line(title, name, strlen(name));
    if (self->baseline != NULL && self->update)
        return score_write_baseline(self->baseline, &score);
    if (self->baseline != NULL) {
        made = score_compare(stderr, self->baseline, &score, &code);
        if (made != CMD_OK)
            return made;
    }
    score_print(stdout, &score, self->format, code);
    if (self->report != NULL && score_write_page(self->report, &score) != CMD_OK)
        return CMD_FAILED;
    return code;
}

static int check(struct check_server *self, const char *url)
{
    int64_t began = shs_now_ns();
    char *ca = NULL;
    int code = parse_url(self, url);

    if (code == CMD_OK) {
        ca = self->ca == NULL ? read_file(self->dir, "root", ".pem") : read_path(self->ca);
        code = ca == NULL ? CMD_FAILED : CMD_OK;
    }
    if (code == CMD_OK)
        code = run_all(self, ca);
    if (code == CMD_OK)
        code = tell(self, (double)(shs_now_ns() - began) / SHS_NS_PER_S);
    while (self->count > 0)
        shs__free((char *)(uintptr_t)self->cases[--self->count].id);
    shs__free(ca);
    shs__free(self->host);
    return code;
}

static int make_files(const char *dir)
{
    struct shs_error err;
    char *quoted = cmd_shell_quote(dir);
    int rc = shs__clients_make(dir, &err);

    if (rc == SHS_OK)
        printf("Made %s/ca.pem, crl.pem, server.pem, server.key and clients/. Try:\n"
               "shs serve --port 8443 --cert %s/server.pem --key %s/server.key "
               "--client-ca %s/ca.pem --crl %s/crl.pem --handler whoami\n"
               "shs lab check-server --dir %s --identity common_name --spiffe "
               "https://localhost:8443/\n",
               dir, quoted, quoted, quoted, quoted, quoted);
    shs__free(quoted);
    return rc == SHS_OK ? CMD_OK
                        : cmd_fail(rc == SHS_USAGE ? CMD_USAGE : CMD_FAILED, "%s", err.text);
}

int lab_check_server(int argc, char **argv)
{
    static struct check_server self;
    static struct flag_list operands;
    const struct flag flags[] = {
        {"dir", FLAG_TEXT, &self.dir, "DIR", "the certificates"},
        {"make", FLAG_SET, &self.make, NULL, "make them, in a directory that is new or empty"},
        {"ca", FLAG_TEXT, &self.ca, "FILE",
         "PEM: who signed the server's certificate (DIR/root.pem)"},
        {"identity", FLAG_TEXT, &self.identity, "HOW",
         "the answer says who the client is: text: it is the\ncommon name; or the name of its key "
         "in JSON"},
        {"spiffe", FLAG_SET, &self.spiffe, NULL, "the server knows SPIFFE IDs"},
        {"no-crl", FLAG_SET, &self.no_crl, NULL, "the server has no CRL"},
        {"timeout", FLAG_NUMBER, &self.limit_s, "SECONDS", "for each (5)"},
        {"format", FLAG_TEXT, &self.format_name, "NAME",
         "table (default), json, junit, tap, github"},
        {"baseline", FLAG_TEXT, &self.baseline, "FILE", "what is known: only what is new counts"},
        {"update-baseline", FLAG_SET, &self.update, NULL, "write it"},
        {"report", FLAG_TEXT, &self.report, "FILE", "write a page (HTML)"},
    };
    int code = CMD_OK;

    self.limit_s = LIMIT_S;
    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 1, about, below, &code))
        return code;
    if (self.dir == NULL)
        return cmd_fail(CMD_USAGE, "shs lab check-server needs --dir");
    if (self.format_name != NULL && !score_format_parse(self.format_name, &self.format))
        return cmd_fail(CMD_USAGE, "--format '%s' is not one of table, json, junit, tap and github",
                        self.format_name);
    if (self.update && self.baseline == NULL)
        return cmd_fail(CMD_USAGE, "--update-baseline needs --baseline");
    if (self.limit_s < 1 || self.limit_s > 600)
        return cmd_fail(CMD_USAGE, "--timeout is from 1 to 600 seconds");
    code = CMD_OK;
    if (self.make)
        code = make_files(self.dir);
    if (operands.count == 0)
        return self.make ? code : cmd_fail(CMD_USAGE, "the URL of the server is missing");
    return code == CMD_OK ? check(&self, operands.items[0]) : code;
}
