/* manifest.c - what the lab has, as JSON. */
#include <stdio.h>
#include <time.h>

#include <openssl/crypto.h>

#include "base/text.h"
#include "lab/lab.h"

#define MANIFEST_CEILING ((size_t)1 << 20)

static int text(struct shs_buf *out, const char *name, const char *value)
{
    int rc = shs__buf_printf(out, ",\"%s\":\"", name);

    if (rc == SHS_OK)
        rc = shs__json_escape(out, shs__str(value));
    return rc == SHS_OK ? shs__buf_append(out, "\"", 1) : rc;
}

/* "a b" as ["a","b"]. */
static int words(struct shs_buf *out, const char *name, const char *value)
{
    int rc = shs__buf_printf(out, ",\"%s\":[", name);
    bool first = true;

    while (*value != '\0' && rc == SHS_OK) {
        size_t len = strcspn(value, " ");

        rc = shs__buf_printf(out, "%s\"%.*s\"", first ? "" : ",", (int)len, value);
        first = false;
        value += len + strspn(value + len, " ");
    }
    return rc == SHS_OK ? shs__buf_append(out, "]", 1) : rc;
}

static const char *expect_word(enum shs_lab_expect expect)
{
    return expect == SHS_LAB_ACCEPT ? "accept" : expect == SHS_LAB_REJECT ? "reject" : "either";
}

/* What is right by each profile, where good clients differ. */
static int profiles(struct shs_buf *out, const struct shs_condition *c)
{
    int rc = shs__buf_printf(out, ",\"profiles\":{");
    enum shs_lab_expect expect;
    bool first = true;

    for (const char *const *name = shs_lab_profiles(); *name != NULL && rc == SHS_OK; name++) {
        if (!shs_lab_expect_in(c, *name, &expect) || expect == c->expect)
            continue;
        rc = shs__buf_printf(out, "%s\"%s\":\"%s\"", first ? "" : ",", *name, expect_word(expect));
        first = false;
    }
    return rc == SHS_OK ? shs__buf_append(out, "}", 1) : rc;
}

/* In curl's and Python's words the host's name is told in another way than in OpenSSL's. */
static int client_words(struct shs_buf *out, const struct shs_condition *c)
{
    bool address = strcmp(c->word, "IP address mismatch") == 0;
    bool mismatch = strcmp(c->word, "hostname mismatch") == 0;
    int rc = shs__buf_printf(out, ",\"words\":{\"curl_exit\":%d", c->curl_exit);

    if (rc == SHS_OK)
        rc = text(out, "openssl", c->word);
    if (rc == SHS_OK)
        rc =
            text(out, "curl",
                 mismatch || address ? "no alternative certificate subject name matches" : c->word);
    if (rc == SHS_OK)
        rc = text(out, "python", mismatch ? "Hostname mismatch" : c->word);
    if (rc == SHS_OK)
        rc = text(out, "go", c->go);
    if (rc == SHS_OK)
        rc = text(out, "node", c->node);
    if (rc == SHS_OK)
        rc = text(out, "chromium", c->chromium);
    return rc == SHS_OK ? shs__buf_append(out, "}", 1) : rc;
}

static int condition(struct shs_buf *out, const struct shs_lab *lab, const struct shs_condition *c)
{
    static const char *const tiers[] = {"critical", "high", "medium", "low"};
    int rc = shs__buf_printf(
        out,
        "{\"id\":\"%s\",\"group\":\"%s\",\"host\":\"%s\",\"port\":%u,\"url\":\"%s\","
        "\"expect\":\"%s\",\"tier\":\"%s\",\"layer\":\"%s\",\"reason\":\"%s\"",
        c->id, c->group, c->host, shs_lab_port(lab), c->url, expect_word(c->expect), tiers[c->tier],
        c->layer, c->reason);

    if (rc == SHS_OK)
        rc = text(out, "served", c->served);
    if (rc == SHS_OK)
        rc = profiles(out, c);
    if (rc == SHS_OK)
        rc = client_words(out, c);
    if (rc == SHS_OK)
        rc = words(out, "differs", c->differs);
    if (rc == SHS_OK)
        rc = words(out, "accepts", c->accepts);
    if (rc == SHS_OK)
        rc = words(out, "requires", c->needs);
    if (rc == SHS_OK)
        rc = text(out, "probe_first", c->probe_first);
    if (rc == SHS_OK)
        rc = shs__buf_printf(out,
                             ",\"verdict_from\":\"%s\",\"hangs\":%s,\"max_seconds\":%d,"
                             "\"servable\":%s",
                             c->verdict_from_server ? "server" : "client",
                             c->hangs ? "true" : "false", 5, c->servable ? "true" : "false");
    if (rc == SHS_OK && !c->servable)
        rc = text(out, "why", c->why);
    if (rc == SHS_OK)
        rc = text(out, "note", c->note);
    if (rc == SHS_OK)
        rc = text(out, "refs", c->refs);
    return rc == SHS_OK ? shs__buf_append(out, "}", 1) : rc;
}

static int head(struct shs_buf *out, const struct shs_lab *lab)
{
    time_t now = (time_t)shs__lab_now(lab);
    char when[40] = "";
    struct tm tm;
    int rc;

    if (gmtime_r(&now, &tm) != NULL)
        (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    rc = shs__buf_printf(out,
                         "{\"version\":1,\"domain\":\"%s\",\"url\":\"%s\",\"proxy\":\"%s\","
                         "\"host\":\"%s\",\"port\":%u,\"generated\":\"%s\",\"openssl\":\"%s\","
                         "\"sanity\":\"good\"",
                         lab->domain, lab->base_url, lab->base_url, shs_lab_host(lab),
                         shs_lab_port(lab), when, OpenSSL_version(OPENSSL_VERSION_STRING));
    if (rc == SHS_OK)
        rc = text(out, "ca_path", shs_lab_ca_path(lab));
    if (rc == SHS_OK)
        rc = text(out, "dir", lab->dir);
    if (rc == SHS_OK)
        rc = text(out, "ca_pem", lab->ca_pem);
    return rc == SHS_OK ? shs__buf_printf(out, ",\"conditions\":[\n") : rc;
}

int shs__lab_make_manifest(struct shs_lab *lab, struct shs_error *err)
{
    struct shs_buf out;
    int rc;

    shs__buf_init(&out, MANIFEST_CEILING);
    rc = head(&out, lab);
    for (size_t i = 0; i < lab->count && rc == SHS_OK; i++) {
        rc = condition(&out, lab, &lab->units[i].public);
        if (rc == SHS_OK)
            rc = shs__buf_printf(&out, "%s\n", i + 1 < lab->count ? "," : "");
    }
    if (rc == SHS_OK)
        rc = shs__buf_append(&out, "]}\n", 4); /* and its NUL */
    if (rc == SHS_OK) {
        lab->manifest = shs__strdup(shs__buf_head(&out));
        rc = lab->manifest == NULL ? SHS_NOMEM : SHS_OK;
    }
    shs__buf_free(&out);
    return rc == SHS_OK ? rc : shs_error_set(err, rc, 0, "Out of memory for the lab's manifest.");
}
