#ifdef SHS_HAVE_JANSSON
#include "admin/values.h"

#include <stdio.h>
#include <time.h>

#include "base/text.h"
#include "tls/wire/failure.h"

json_t *shs__admin_text_str(struct shs_str s)
{
    char *text;
    size_t at = 0;
    json_t *value;

    if (s.ptr == NULL)
        return json_null();
    value = json_stringn(s.ptr, s.len);
    if (value != NULL)
        return value;
    text = shs__malloc(2 * s.len + 1);
    for (size_t i = 0; text != NULL && i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c >= 0x80)
            text[at++] = (char)(0xc0 | c >> 6);
        text[at++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
    }
    if (text != NULL)
        value = json_stringn(text, at);
    shs__free(text);
    return value;
}

json_t *shs__admin_text(const char *text)
{
    return shs__admin_text_str(shs__str(text));
}

json_t *shs__admin_text_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? json_null() : shs__admin_text(text);
}

json_t *shs__admin_time_ms(int64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    char text[48], whole[64];
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        return json_null();
    snprintf(whole, sizeof whole, "%s.%03dZ", text, (int)(unix_ms % 1000));
    return json_string(whole);
}

json_t *shs__admin_time(int64_t unix_s)
{
    time_t seconds = (time_t)unix_s;
    char text[48];
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return json_null();
    return json_string(text);
}

int64_t shs__admin_now_ms(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / SHS_NS_PER_MS;
}

static int append_piece(const char *bytes, size_t len, void *out)
{
    return shs__buf_append(out, bytes, len);
}

int shs__admin_dump(json_t *value, struct shs_buf *out)
{
    int rc = SHS_NOMEM;

    if (value != NULL &&
        json_dump_callback(value, append_piece, out, JSON_COMPACT | JSON_ENSURE_ASCII) == 0)
        rc = SHS_OK;
    else if (value != NULL && out->len > 0)
        rc = SHS_LIMIT;
    json_decref(value);
    return rc;
}

/* -- connections ------------------------------------------------------------------------------- */

static double seconds(int64_t ns)
{
    return (double)(ns / SHS_NS_PER_MS) / 1000;
}

static json_t *identity_of(const struct shs_admin_client *client)
{
    if (client == NULL || (client->subject == NULL && !client->has_uid))
        return json_null();
    if (client->has_uid)
        return json_pack("{s:I, s:I, s:I}", "uid", (json_int_t)client->uid, "gid",
                         (json_int_t)client->gid, "pid", (json_int_t)client->pid);
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "cn", shs__admin_text(client->common_name), "o",
        shs__admin_text(client->organization), "spiffe_id", shs__admin_text(client->spiffe_id),
        "subject", shs__admin_text(client->subject), "issuer", shs__admin_text(client->issuer),
        "serial", shs__admin_text(client->serial), "cert_sha256",
        shs__admin_text(client->cert_sha256), "spki_sha256", shs__admin_text(client->spki_sha256));
}

static json_t *tls_of(const struct shs_admin_client *client)
{
    if (client == NULL || !client->tls)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:o, s:b}", "version", shs__admin_text(client->version),
                     "cipher", shs__admin_text(client->cipher), "sni",
                     shs__admin_text_or_null(client->sni), "alpn",
                     shs__admin_text_or_null(client->alpn), "resumed", (int)client->resumed);
}

static json_t *request_of(const struct shs_admin_row *row, int64_t now_ns)
{
    if (row->request[0] == '\0')
        return json_null();
    return json_pack("{s:o, s:f}", "line", shs__admin_text(row->request), "age_s",
                     seconds(now_ns - row->request_ns));
}

json_t *shs__admin_row_value(const struct shs_admin_row *row, const char *server, int64_t now_ns)
{
    /* A deadline is of a wait: a thread that is at it has another one, or none. */
    bool waits = row->deadline_ns != INT64_MAX && row->state != SHS_ADMIN_RUNNING;

    return json_pack("{s:I, s:o, s:o, s:i, s:o, s:o, s:s, s:b, s:f, s:o, s:I, s:I, s:I, s:o, s:o}",
                     "id", (json_int_t)row->id, "server", shs__admin_text(server), "peer",
                     shs__admin_text_or_null(row->peer), "port", (int)row->port, "identity",
                     identity_of(row->client), "tls", tls_of(row->client), "state",
                     shs__admin_state_name(row->state), "ending", (int)row->ending, "age_s",
                     seconds(now_ns - row->accepted_ns), "deadline_in_s",
                     waits ? json_real(seconds(row->deadline_ns - now_ns)) : json_null(),
                     "requests", (json_int_t)row->requests, "bytes_in", (json_int_t)row->bytes_in,
                     "bytes_out", (json_int_t)row->bytes_out, "request", request_of(row, now_ns),
                     "thread", row->tid == 0 ? json_null() : json_integer(row->tid));
}

/* -- handshakes and certificates --------------------------------------------------------------- */

json_t *shs__admin_causes(const uint64_t counts[SHS_TLS_CAUSE_COUNT])
{
    json_t *value = json_object();

    for (int i = 0; i < SHS_TLS_CAUSE_COUNT; i++) {
        if (shs__tls_is_failure((enum shs_tls_cause)i) && counts[i] > 0)
            (void)json_object_set_new(value, shs_tls_cause_label((enum shs_tls_cause)i),
                                      json_integer((json_int_t)counts[i]));
    }
    return value;
}

json_t *shs__admin_handshake_value(const struct shs_admin_handshake *item)
{
    return json_pack(
        "{s:o, s:o, s:o, s:i, s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "time",
        shs__admin_time_ms(item->when_ms), "server", shs__admin_text(item->server), "peer",
        shs__admin_text_or_null(item->peer), "port", (int)item->port, "failed", (int)item->failed,
        "was_open", (int)item->open, "resumed", (int)item->resumed, "cause",
        shs__admin_text_or_null(item->label), "reason", shs__admin_text_or_null(item->reason),
        "sni", shs__admin_text_or_null(item->sni), "ja4", shs__admin_text_or_null(item->ja4),
        "version", shs__admin_text_or_null(item->version), "subject",
        shs__admin_text_or_null(item->subject), "cert_sha256",
        shs__admin_text_or_null(item->cert_sha256));
}

static int add_names(json_t *to, const struct shs_client_identity *id)
{
    int rc = 0;

    for (int kind = SHS_SAN_DNS; kind <= SHS_SAN_IP; kind++)
        rc |= json_object_set_new(to, shs_san_kind_label((enum shs_san_kind)kind), json_array());
    for (size_t i = 0; i < id->san_count; i++)
        rc |= json_array_append_new(json_object_get(to, shs_san_kind_label(id->sans[i].kind)),
                                    shs__admin_text_str(id->sans[i].value));
    return rc;
}

json_t *shs__admin_certificate_value(const struct shs_client_identity *id)
{
    json_t *value;

    if (id == NULL)
        return json_null();
    value =
        json_pack("{s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:o}", "verified",
                  (int)id->verified, "reason", shs_client_reason_label(id->reason), "cn",
                  shs__admin_text_str(id->common_name), "o", shs__admin_text_str(id->organization),
                  "spiffe_id", shs__admin_text_str(id->spiffe_id), "subject",
                  shs__admin_text_str(id->subject), "issuer", shs__admin_text_str(id->issuer),
                  "serial", shs__admin_text_str(id->serial), "cert_sha256", id->cert_sha256,
                  "spki_sha256", id->spki_sha256, "not_before", shs__admin_time(id->not_before),
                  "not_after", shs__admin_time(id->not_after));
    if (value != NULL && add_names(value, id) != 0) {
        json_decref(value);
        return NULL;
    }
    return value;
}

/* -- what is asked for ------------------------------------------------------------------------- */

bool shs__admin_duration(struct shs_str text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1},        {"s", 1000},        {"", 1000},
                 {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 86400 * 1000}};
    size_t digits = 0;
    uint64_t number;

    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    if (!shs_str_number((struct shs_str){text.ptr, digits}, 1000000000, &number))
        return false;
    for (size_t i = 0; i < SHS_ARRAY_LEN(units); i++) {
        if (shs_str_is((struct shs_str){text.ptr + digits, text.len - digits}, units[i].unit)) {
            *ms = number * units[i].ms;
            return true;
        }
    }
    return false;
}

#endif
