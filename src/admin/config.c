/*
 * config.c - what the servers and the program are set to, without what is secret.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include <shs/digest.h>
#include <shs/json.h>

#define CONFIG_MAX ((size_t)4 * 1024 * 1024)

static json_t *options_of(const struct shs_options *o)
{
    json_t *value = json_object();
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"max_connections", o->max_connections},
        {"max_threads", o->max_threads},
        {"threads", o->threads},
        {"handshake_ms", o->handshake_ms},
        {"head_ms", o->head_ms},
        {"idle_ms", o->idle_ms},
        {"body_ms", o->body_ms},
        {"write_ms", o->write_ms},
        {"min_rate", o->min_rate},
        {"close_ms", o->close_ms},
        {"stop_ms", o->stop_ms},
        {"connection_age_ms", o->connection_age_ms},
        {"max_requests_per_connection", o->max_requests_per_connection},
        {"max_request_line", o->max_request_line},
        {"max_head_bytes", o->max_head_bytes},
        {"max_headers", o->max_headers},
        {"max_body_bytes", o->max_body_bytes},
        {"max_buffered_body", o->max_buffered_body},
        {"max_buffered_response", o->max_buffered_response},
        {"queue_ms", o->queue_ms},
        {"max_queue", o->max_queue},
        {"stuck_handler_ms", o->stuck_handler_ms},
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(numbers); i++)
        (void)json_object_set_new(value, numbers[i].name,
                                  json_integer((json_int_t)numbers[i].value));
    (void)json_object_set_new(value, "max_connections_per_address",
                              o->max_connections_per_address == SHS_ADDRESS_SHARE
                                  ? json_string("a quarter")
                              : o->max_connections_per_address == UINT_MAX
                                  ? json_null()
                                  : json_integer(o->max_connections_per_address));
    return value;
}

static bool add_server(void *servers, struct shs_admin_watch *watch, bool own)
{
    struct shs_server *server = shs__admin_watch_server(watch);

    SHS_UNUSED(own);
    (void)json_object_set_new(servers, shs__admin_watch_name(watch),
                              options_of(shs_server_options(server)));
    return true;
}

/* A name that stands for something which is nobody's business: of a setting, or of a field. */
static bool is_secret_name(struct shs_str name)
{
    static const char *const words[] = {"authorization", "cookie", "token",   "secret", "passw",
                                        "credential",    "apikey", "api-key", "api_key"};
    char lower[128];
    size_t len = name.len < sizeof lower ? name.len : sizeof lower - 1;

    for (size_t i = 0; i < len; i++)
        lower[i] =
            (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + 32 : name.ptr[i]);
    lower[len] = '\0';
    for (size_t i = 0; i < SHS_ARRAY_LEN(words); i++) {
        if (strstr(lower, words[i]) != NULL)
            return true;
    }
    return false;
}

/* The name of "NAME: VALUE"; ptr NULL: the text is none. */
static struct shs_str field_name(const char *text)
{
    size_t len = strcspn(text, ": \t");

    return text[len] == ':' && (text[len + 1] == ' ' || text[len + 1] == '\t')
               ? (struct shs_str){text, len}
               : (struct shs_str){NULL, 0};
}

#define REDACTED "(redacted)"

/*
 * The value, without what is secret in it: the value of a field like Authorization or Set-Cookie, a
 * key, the user and password of a URL.
 */
static json_t *value_of(const char *value)
{
    struct shs_str field = field_name(value);
    const char *scheme = strstr(value, "://"), *at;

    if (field.ptr != NULL && is_secret_name(field))
        return json_sprintf("%.*s: " REDACTED, (int)field.len, field.ptr);
    if (strstr(value, "PRIVATE "
                      "KEY-----") != NULL)
        return json_string(REDACTED);
    at = scheme == NULL ? NULL : scheme + 3 + strcspn(scheme + 3, "/@");
    if (at != NULL && *at == '@')
        return json_sprintf("%.*s" REDACTED "%s", (int)(scheme + 3 - value), value, at);
    return shs__admin_text(value);
}

/* A name that is there already becomes a list: a setting may be given several times. */
static void add_setting(void *to, const char *name, const char *value)
{
    json_t *known = json_object_get(to, name);

    if (known == NULL)
        (void)json_object_set_new(to, name, value_of(value));
    else if (json_is_array(known))
        (void)json_array_append_new(known, value_of(value));
    else
        (void)json_object_set_new(to, name, json_pack("[O, o]", known, value_of(value)));
}

static json_t *config_of(struct shs_admin *self)
{
    json_t *settings = json_object(), *servers = json_object();

    if (self->opt.settings != NULL)
        self->opt.settings(self->opt.settings_ctx, add_setting, settings);
    shs__admin_each(self, add_server, servers);
    return json_pack("{s:o, s:o, s:I, s:I}", "settings", settings, "servers", servers, "denied",
                     (json_int_t)shs__admin_denied_count(self->denied), "changes",
                     (json_int_t)atomic_load(&self->changes));
}

/* The tag of these bytes, in quotes. */
static int tag_of(const struct shs_buf *text, char *buf, size_t cap)
{
    unsigned char digest[SHS_SHA256_LEN];
    struct shs_sha256 *sha = NULL;
    size_t at = 1;
    int rc = shs_sha256_new(&sha);

    if (rc == SHS_OK)
        rc = shs_sha256_update(sha, shs__buf_head(text), text->len);
    if (rc == SHS_OK)
        rc = shs_sha256_final(sha, digest);
    shs_sha256_free(sha);
    if (rc != SHS_OK || cap < 36)
        return rc == SHS_OK ? SHS_LIMIT : rc;
    buf[0] = '"';
    for (size_t i = 0; i < 16; i++, at += 2)
        snprintf(buf + at, cap - at, "%02x", digest[i]);
    snprintf(buf + at, cap - at, "\"");
    return SHS_OK;
}

static int make_text(struct shs_admin *self, struct shs_buf *text, char *tag, size_t cap)
{
    int rc = shs__admin_dump(config_of(self), text);

    return rc == SHS_OK ? tag_of(text, tag, cap) : rc;
}

int shs__admin_config_tag(struct shs_admin *self, char *buf, size_t cap)
{
    struct shs_buf text;
    int rc;

    shs__buf_init(&text, CONFIG_MAX);
    rc = make_text(self, &text, buf, cap);
    shs__buf_free(&text);
    return rc;
}

int shs__admin_get_config(struct shs_request *req, struct shs_response *res)
{
    struct shs_buf text;
    char tag[80];
    int rc;

    shs__buf_init(&text, CONFIG_MAX);
    rc = make_text(shs_request_ctx(req), &text, tag, sizeof tag);
    if (rc == SHS_OK)
        rc = shs_send_response(res, 200);
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Content-Type", "application/json");
    if (rc == SHS_OK)
        rc = shs_send_header(res, "ETag", tag);
    if (rc == SHS_OK)
        rc = shs_end_headers(res);
    if (rc == SHS_OK)
        rc = shs_write(res, shs__buf_head(&text), text.len);
    shs__buf_free(&text);
    return rc;
}

#endif
