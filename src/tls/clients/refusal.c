#include "tls/clients/refusal.h"

#include <inttypes.h>
#include <time.h>

#include "tls/clients/client.h"
#include "tls/clients/clients.h"
#include "tls/config/site.h"

#define NAMES_LISTED 32
#define NAME_CAP 256

/* Names are ASCII without control characters already: RFC 2253 escapes the rest. */
static int append_json(struct shs_buf *out, const char *text)
{
    int rc = shs__buf_append(out, "\"", 1);

    for (; rc == SHS_OK && *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            rc = shs__buf_printf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
            rc = shs__buf_append(out, "?", 1);
        else
            rc = shs__buf_append(out, text, 1);
    }
    return rc == SHS_OK ? shs__buf_append(out, "\"", 1) : rc;
}

static int append_member(struct shs_buf *out, const char *key, const char *text)
{
    int rc = shs__buf_printf(out, ",\"%s\":", key);

    if (rc == SHS_OK)
        rc = text == NULL ? shs__buf_append(out, "null", 4) : append_json(out, text);
    return rc;
}

static int append_time(struct shs_buf *out, int64_t when)
{
    time_t t = (time_t)when;
    char text[40];
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return append_member(out, "not_after", NULL);
    return append_member(out, "not_after", text);
}

static int append_cas(struct shs_buf *out, const struct shs_tls_clients *clients)
{
    int rc = shs__buf_printf(out, ",\"expected_cas\":[");
    char name[NAME_CAP];

    for (int i = 0; rc == SHS_OK && i < sk_X509_NAME_num(clients->cas.names) && i < NAMES_LISTED;
         i++) {
        shs__client_name_text(sk_X509_NAME_value(clients->cas.names, i), name, sizeof name);
        rc = i == 0 ? SHS_OK : shs__buf_append(out, ",", 1);
        if (rc == SHS_OK)
            rc = append_json(out, name);
    }
    return rc == SHS_OK ? shs__buf_append(out, "]}\n", 3) : rc;
}

int shs__tls_refusal_json(struct shs_buf *out, const struct shs_tls_stream *tls)
{
    const struct shs_tls_refusal *refusal = tls->refusal;
    enum shs_client_reason reason = (enum shs_client_reason)tls->client_reason;
    int rc = shs__buf_printf(out, "{\"error\":\"%s\",\"reason\":\"%s\"",
                             reason == SHS_CLIENT_UNDECIDED
                                 ? "the server has no memory to judge the client certificate"
                                 : "client certificate not accepted",
                             shs_client_reason_label(reason));

    if (rc == SHS_OK && refusal != NULL) {
        rc =
            shs__buf_printf(out, ",\"verify_code\":%d,\"depth\":%d", refusal->code, refusal->depth);
        if (rc == SHS_OK)
            rc = append_member(out, "subject", refusal->subject);
        if (rc == SHS_OK)
            rc = append_member(out, "issuer", refusal->issuer);
        if (rc == SHS_OK)
            rc = append_time(out, refusal->not_after);
    } else if (rc == SHS_OK) {
        rc = shs__buf_printf(out, ",\"verify_code\":null,\"depth\":null,\"subject\":null,"
                                  "\"issuer\":null,\"not_after\":null");
    }
    return rc == SHS_OK ? append_cas(out, tls->facts.site->clients) : rc;
}
