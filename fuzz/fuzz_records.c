/*
 * fuzz_records.c - records of our own beside libssl's.
 *
 * Two servers have shaken hands with the same client; one has left libssl. The input is a program:
 * what a client that knows its keys sends after that, rules broken or not. Both get it sealed with
 * their own keys, cut at the same places. What must hold: after each piece both say the same; the
 * plaintext, the verdict, the alert that is sent and the one that was heard are the same.
 */
#include "fuzz.h"

#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "certs/minter.h"
#include "tls/config/config.h"
#include "tls/config/context.h"
#include "tls/config/tickets.h"
#include "tls/wire/stream.h"

#define WIRE_MAX ((size_t)1 << 20)
#define HEARD_MAX ((size_t)1 << 20)
#define PIPE_MAX ((size_t)4 << 20)

/* -- two servers and their clients ------------------------------------------------------------- */

static struct shs_tls_context *server_contexts[2]; /* libssl, direct */
static struct shs_tls_context *client_context;
static struct shs_tls_suites *suites;

struct end {
    struct shs_stream *near, *far;
    struct shs_tls_stream *server;
    struct shs_tls_records *client; /* seals with the client's keys */
    struct shs_buf wire;            /* what is to be sent next */
    char *heard;
    size_t heard_len;
    int code; /* of the last read */
};

static struct shs_tls_door *listening; /* takes the client's secrets */

static void on_secret(const SSL *ssl, const char *line)
{
    (void)ssl;
    if (listening != NULL)
        shs__tls_door_secret(listening, line);
}

static void make_server(struct shs_tls_context **out, const struct shs_options *opt, bool direct)
{
    struct shs_tls_simple_config simple;
    struct shs_tls_tickets *tickets;
    struct shs_error err;

    shs__tls_simple_config(&simple, opt);
    simple.config.no_tickets = true;
    simple.config.records = direct ? SHS_TLS_RECORDS_DIRECT : SHS_TLS_RECORDS_LIBSSL;
    MUST(shs__tls_tickets_new(&tickets, simple.config.ticket_epoch_s) == SHS_OK);
    MUST(shs__tls_context_build(out, &simple.config, tickets, NULL, (int64_t)time(NULL), false,
                                &err) == SHS_OK);
    shs__tls_tickets_free(tickets);
}

static void make_contexts(void)
{
    static const char *const names[] = {"localhost", NULL};
    int64_t now = (int64_t)time(NULL);
    struct shs_cert_spec spec = {
        .common_name = "localhost",
        .names = names,
        .not_before = now - 86400,
        .not_after = now + 86400,
        .server_auth = true,
    };
    struct shs_buf cert_pem, key_pem;
    struct shs_options opt;
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    shs__buf_init(&cert_pem, 65536);
    shs__buf_init(&key_pem, 65536);
    MUST(shs__mint_key(&key, SHS_KEY_P256, NULL) == SHS_OK);
    MUST(shs__mint_cert(&cert, &spec, key, NULL, NULL, NULL) == SHS_OK);
    MUST(shs__mint_cert_pem(&cert_pem, cert, NULL) == SHS_OK);
    MUST(shs__mint_key_pem(&key_pem, key, NULL, NULL) == SHS_OK);
    shs_options_init(&opt);
    opt.cert_pem = shs__buf_head(&cert_pem);
    opt.cert_pem_len = cert_pem.len;
    opt.key_pem = shs__buf_head(&key_pem);
    opt.key_pem_len = key_pem.len;
    make_server(&server_contexts[0], &opt, false);
    make_server(&server_contexts[1], &opt, true);
    MUST(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
    SSL_CTX_set_keylog_callback(ctx, on_secret);
    MUST(shs__tls_context_wrap(&client_context, ctx) == SHS_OK);
    suites = shs__tls_suites_new();
    MUST(suites != NULL);
    EVP_PKEY_free(key);
    X509_free(cert);
    shs__buf_free(&cert_pem);
    shs__buf_free(&key_pem);
}

static void open_end(struct end *e, bool direct)
{
    struct shs_tls_stream *client = NULL;
    struct shs_tls_door *door = shs__tls_door_new();
    int rc = SHS_WAIT_READ, peer = SHS_WAIT_READ;

    memset(e, 0, sizeof *e);
    e->heard = malloc(HEARD_MAX);
    shs__buf_init(&e->wire, WIRE_MAX);
    MUST(e->heard != NULL && door != NULL);
    MUST(shs__memory_stream_pair(&e->near, &e->far, PIPE_MAX, 0) == SHS_OK);
    MUST(shs__tls_stream_new(&e->server, server_contexts[direct], e->near) == SHS_OK);
    MUST(shs__tls_stream_new(&client, client_context, e->far) == SHS_OK);
    listening = door;
    for (int i = 0; i < 100 && (rc > 0 || peer > 0); i++) {
        peer = peer > 0 ? shs__tls_stream_handshake(client) : peer;
        if (peer == SHS_OK)
            (void)shs__stream_flush(&client->base);
        rc = rc > 0 ? shs__tls_stream_handshake(e->server) : rc;
    }
    listening = NULL;
    MUST(rc == SHS_OK && peer == SHS_OK);
    MUST(shs__tls_records_new(&e->client, suites,
                              SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(client->ssl)),
                              &door->out, &door->in) == SHS_OK);
    shs__tls_door_free(door);
    client->base.cls->free(&client->base);
    if (direct) {
        shs__tls_stream_go_direct(e->server);
        MUST(e->server->stays == SHS_TLS_STAYS_NO);
    }
}

static void close_end(struct end *e)
{
    e->server->base.cls->free(&e->server->base);
    shs__tls_records_free(e->client);
    e->near->cls->free(e->near);
    e->far->cls->free(e->far);
    shs__buf_free(&e->wire);
    free(e->heard);
}

/* -- the program ------------------------------------------------------------------------------ */

struct program {
    const uint8_t *at, *end;
};

static unsigned next(struct program *p)
{
    return p->at < p->end ? *p->at++ : 0;
}

/* One record of that inner type; `zeros` of padding. */
static void seal(struct end *e, unsigned type, const void *data, size_t len, size_t zeros)
{
    static unsigned char text[65536];

    if (zeros == 0) {
        (void)shs__tls_records_seal(e->client, (enum shs_tls_content)type, data, len, &e->wire);
        return;
    }
    memcpy(text, data, len);
    text[len] = (unsigned char)type;
    memset(text + len + 1, 0, zeros);
    (void)shs__tls_records_seal(e->client, (enum shs_tls_content)0, text, len + zeros, &e->wire);
}

/* What is sealed next, the same for both. */
struct step {
    unsigned op, type, at, flip;
    size_t len, zeros;
    unsigned char data[64];
};

static bool read_step(struct program *p, struct step *step)
{
    static const unsigned types[] = {23, 22, 21, 23, 20, 24, 0, 22};

    if (p->at >= p->end)
        return false;
    memset(step, 0, sizeof *step);
    step->op = next(p) % 16;
    step->type = types[next(p) % 8];
    step->len = next(p) % sizeof step->data;
    step->zeros = next(p) % 4 == 0 ? next(p) * 3u : 0;
    step->at = next(p);
    step->flip = 1u << next(p) % 8;
    for (size_t i = 0; i < step->len; i++)
        step->data[i] = (unsigned char)next(p);
    return true;
}

static void take_step(struct end *e, const struct step *step)
{
    static const unsigned char update[] = {24, 0, 0, 1, 0}, asks[] = {24, 0, 0, 1, 1};
    static const unsigned char big[20000] = {1};
    size_t before = e->wire.len, n;
    unsigned char alert[2] = {step->data[0] % 3, step->data[1]};

    switch (step->op) {
    default: /* ordinary data, 0 to 63 bytes */
        seal(e, SHS_TLS_DATA, step->data, step->len, step->zeros);
        break;
    case 1: /* anything in any type */
        seal(e, step->type, step->data, step->len, step->zeros);
        break;
    case 2:
        seal(e, SHS_TLS_ALERT, alert, sizeof alert, step->zeros);
        break;
    case 3: /* a new key, as it should be */
        (void)shs__tls_records_update(e->client, &e->wire);
        break;
    case 4: /* a message, whole or in two, with something between or behind it */
        n = step->at % 6;
        seal(e, SHS_TLS_HANDSHAKE, step->flip > 8 ? asks : update, n < 5 ? n : 5, step->zeros);
        if (step->len > 40)
            seal(e, step->type, step->data, step->len % 3, 0);
        if (n < 5)
            seal(e, SHS_TLS_HANDSHAKE, (step->flip > 8 ? asks : update) + n, 5 - n, 0);
        break;
    case 5: /* around the limits of a record */
        n = SHS_TLS_RECORD_DATA - 2 + step->at % 5;
        seal(e, step->type, big, n, step->zeros);
        break;
    case 6: /* as many empty ones as there may be, or one more */
        for (n = 0; n < 31u + step->at % 4; n++)
            seal(e, SHS_TLS_DATA, "", 0, step->zeros);
        break;
    case 7: /* a bit of it is another */
        seal(e, SHS_TLS_DATA, step->data, step->len, step->zeros);
        if (e->wire.len > before)
            shs__buf_head(&e->wire)[before + step->at % (e->wire.len - before)] ^= (char)step->flip;
        break;
    case 8: /* a header of any kind */
        seal(e, SHS_TLS_DATA, step->data, step->len, 0);
        if (e->wire.len > before + 5)
            memcpy(shs__buf_head(&e->wire) + before + step->at % 5, step->data, 1);
        break;
    case 9: /* left out */
        seal(e, SHS_TLS_DATA, step->data, step->len, 0);
        e->wire.len = before;
        break;
    case 10: /* twice */
        seal(e, SHS_TLS_DATA, step->data, step->len, 0);
        n = e->wire.len - before;
        if (shs__buf_reserve(&e->wire, n) == SHS_OK) {
            memcpy(shs__buf_tail(&e->wire), shs__buf_head(&e->wire) + before, n);
            e->wire.len += n;
        }
        break;
    case 11: /* what was never sealed */
        (void)shs__buf_append(&e->wire, step->data, step->len);
        break;
    case 12: /* a flood of keys */
        for (n = 0; n < step->at % 80; n++)
            (void)shs__tls_records_update(e->client, &e->wire);
        break;
    }
}

/* Everything that can be read now. */
static void hear(struct end *e)
{
    for (;;) {
        size_t got = 0, room = HEARD_MAX - e->heard_len;

        if (room == 0)
            return;
        e->code = shs__stream_read(&e->server->base, e->heard + e->heard_len,
                                   room < 5000 ? room : 5000, &got);
        if (e->code != SHS_OK)
            break;
        e->heard_len += got;
    }
    MUST(ERR_peek_error() == 0);
    MUST(!shs__stream_pending(&e->server->base));
}

/* Sends `len` bytes of what is to be sent. */
static void send_part(struct end *e, size_t len)
{
    size_t put = 0;

    len = len < e->wire.len ? len : e->wire.len;
    if (len == 0)
        return;
    MUST(shs__stream_write(e->far, shs__buf_head(&e->wire), len, &put) == SHS_OK && put == len);
    shs__buf_consume(&e->wire, len);
}

/*
 * The one difference that is known: SSL_get_error looks at the last warning before it says that the
 * peer has closed, so after a user_canceled a close_notify whose level is "fatal" is an error
 * without a reason. RFC 8446, 6: the level means nothing, and it is the end. Both have ended, and
 * neither has sent an alert.
 */
static bool is_end_after_cancel(const struct end *a, const struct end *b)
{
    return a->server->alert_in == SSL_AD_USER_CANCELLED &&
           b->server->alert_in == SSL_AD_USER_CANCELLED && a->server->tls_code == 0 &&
           a->server->why == SHS_TLS_WHY_PROTOCOL && b->server->why == SHS_TLS_WHY_CLOSE_NOTIFY &&
           a->server->alert_out == b->server->alert_out && a->heard_len == b->heard_len &&
           memcmp(a->heard, b->heard, a->heard_len) == 0;
}

/* libssl has two names for a record that is too long: the other one is for what does not even fit
   in its buffer, whose length is its own affair. From 3.2 on it has other reasons for the same. */
static bool is_same_reason(unsigned long libssl, unsigned long direct)
{
    if (OPENSSL_VERSION_NUMBER >= 0x30200000L)
        return true;
    return libssl == direct || (ERR_GET_REASON(libssl) == SSL_R_PACKET_LENGTH_TOO_LONG &&
                                ERR_GET_REASON(direct) == SSL_R_ENCRYPTED_LENGTH_TOO_LONG);
}

static void compare(const struct end *a, const struct end *b)
{
    if (is_end_after_cancel(a, b))
        return;
    if (a->code != b->code || a->heard_len != b->heard_len ||
        a->server->alert_out != b->server->alert_out || a->server->why != b->server->why ||
        !is_same_reason(a->server->tls_code, b->server->tls_code))
        fprintf(stderr,
                "libssl: code %d, %zu bytes, alert out %u, in %u, why %u, reason %x\n"
                "direct: code %d, %zu bytes, alert out %u, in %u, why %u, reason %x\n",
                a->code, a->heard_len, a->server->alert_out, a->server->alert_in, a->server->why,
                a->server->tls_code, b->code, b->heard_len, b->server->alert_out,
                b->server->alert_in, b->server->why, b->server->tls_code);
    MUST(a->code == b->code);
    MUST(a->heard_len == b->heard_len && memcmp(a->heard, b->heard, a->heard_len) == 0);
    MUST(a->server->alert_out == b->server->alert_out);
    MUST(a->server->alert_in == b->server->alert_in);
    MUST(a->server->why == b->server->why);
    MUST(is_same_reason(a->server->tls_code, b->server->tls_code));
    MUST(a->code == SHS_TLS || a->server->key_updates == b->server->key_updates);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct program p = {data, data + size};
    struct end ends[2];
    struct step step;
    unsigned cut;

    if (client_context == NULL)
        make_contexts();
    if (size == 0 || size > 2500)
        return 0;
    open_end(&ends[0], false);
    open_end(&ends[1], true);
    cut = next(&p); /* pieces of that size, or record by record, or all at once */
    for (unsigned i = 0; i < 64 && read_step(&p, &step); i++) {
        for (unsigned k = 0; k < 2; k++)
            take_step(&ends[k], &step);
        MUST(ends[0].wire.len == ends[1].wire.len);
        if (cut > 200)
            continue;
        while (ends[0].wire.len > 0) {
            size_t part = cut == 0 || ends[0].wire.len > 2000 ? ends[0].wire.len : cut;

            for (unsigned k = 0; k < 2; k++) {
                send_part(&ends[k], part);
                hear(&ends[k]);
            }
            compare(&ends[0], &ends[1]);
        }
    }
    for (unsigned k = 0; k < 2; k++) {
        send_part(&ends[k], WIRE_MAX);
        hear(&ends[k]);
    }
    compare(&ends[0], &ends[1]);
    for (unsigned k = 0; k < 2; k++) {
        MUST(shs__stream_shutdown(ends[k].far) == SHS_OK);
        hear(&ends[k]);
    }
    compare(&ends[0], &ends[1]);
    close_end(&ends[0]);
    close_end(&ends[1]);
    return 0;
}
