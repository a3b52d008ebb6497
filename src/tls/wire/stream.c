#include "tls/wire/stream.h"

#include <errno.h>
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/clients/client.h"
#include "tls/clients/clients.h"
#include "tls/clients/recheck.h"
#include "tls/config/identity.h"
#include "tls/config/site.h"

/* The plaintext of one record, and what sealing adds to it at most (RFC 8446, 5.2; 1.2: less). */
#define RECORD_DATA ((size_t)16384)
#define RECORD_ROOM (RECORD_DATA + 512)
#define NO_ALERT 255u
/* Written at once: an answer that is worth leaving libssl for before it is out. */
#define LONG_ANSWER (2 * RECORD_DATA)

#define TLS(s) SHS_CONTAINER_OF(s, struct shs_tls_stream, base)
#define TLS_CONST(s)                                                                               \
    SHS_CONTAINER_OF((struct shs_stream *)(uintptr_t)(s), struct shs_tls_stream, base)

static const struct shs_stream_class tls_class;

/* The queue of a thread is empty nearly always; to look costs a tenth of clearing all its
   places. */
static void clear_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

/* -- failing ---------------------------------------------------------------------------------- */

static int fail(struct shs_tls_stream *self, enum shs_tls_why why, int code)
{
    self->why = (uint8_t)why;
    self->failed = (int8_t)code;
    clear_errors(); /* the queue is the thread's: the next connection must not find this in it */
    return code;
}

static int fail_lower(struct shs_tls_stream *self, int code)
{
    self->base.sys_errno = self->bio.lower->sys_errno;
    return fail(self, SHS_TLS_WHY_LOWER, code);
}

/* Nothing more can be read, for this reason; we may still write. */
static int ended(struct shs_tls_stream *self, enum shs_tls_why why, int code, int sys_errno)
{
    self->why = (uint8_t)why;
    self->base.sys_errno = sys_errno;
    self->ended = (int8_t)code;
    return code;
}

/* The lower stream has ended or failed under a read: what that means here. */
static int lower_ended(struct shs_tls_stream *self)
{
    int code = self->bio.status;

    if (code == SHS_NOMEM)
        return fail(self, SHS_TLS_WHY_NOMEM, SHS_NOMEM);
    if (code != SHS_CLOSED && code != SHS_STOPPED)
        return fail_lower(self, code);
    /* Only what comes in has ended: what we still have to say may be said. */
    clear_errors();
    if (code == SHS_STOPPED)
        return ended(self, SHS_TLS_WHY_LOWER, SHS_STOPPED, 0);
    return ended(self, SHS_TLS_WHY_TRUNCATED, SHS_TRUNCATED, EPROTO);
}

/* One key update too many. It is the end, whatever else has come behind it: how much of that has
   been read already is chance. */
static int flooded(struct shs_tls_stream *self)
{
    return fail(self, SHS_TLS_WHY_KEY_UPDATES, SHS_TLS);
}

static int speaks_plain(struct shs_tls_stream *self)
{
    if (self->bio.status == SHS_NOMEM)
        return fail(self, SHS_TLS_WHY_NOMEM, SHS_NOMEM);
    return fail(self, SHS_TLS_WHY_PLAIN_HTTP, SHS_TLS);
}

bool shs__tls_is_ended_by_alert(const struct shs_tls_stream *self)
{
    return self->alert_in != NO_ALERT && self->alert_out == NO_ALERT;
}

/* Is it the client's certificate that is being read? */
static bool is_reading_certificate(const SSL *ssl)
{
    return SSL_get_state(ssl) == TLS_ST_SR_CERT;
}

/* Its chain was good, but it signs with a key that is not spoken here. */
static bool is_about_its_key(unsigned long code)
{
    if (ERR_GET_LIB(code) != ERR_LIB_SSL)
        return false;
    switch (ERR_GET_REASON(code)) {
    case SSL_R_WRONG_CURVE:
    case SSL_R_WRONG_SIGNATURE_TYPE:
    case SSL_R_ILLEGAL_POINT_COMPRESSION:
    case SSL_R_UNKNOWN_DIGEST:
        return true;
    default:
        return false;
    }
}

/* OpenSSL gave up on the client's certificate before, or without, looking at its chain. */
static void note_client_reason(struct shs_tls_stream *self)
{
    if (SSL_is_server(self->ssl) != 1 || self->client_reason != SHS_CLIENT_OK)
        return;
    if (ERR_GET_LIB(self->tls_code) == ERR_LIB_SSL &&
        ERR_GET_REASON(self->tls_code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        self->client_reason = SHS_CLIENT_NONE;
    } else if (SSL_get_state(self->ssl) == TLS_ST_SR_CERT_VRFY &&
               is_about_its_key(self->tls_code)) {
        self->client_reason = SHS_CLIENT_UNSUPPORTED_KEY;
    } else if (is_reading_certificate(self->ssl) && !shs__tls_is_ended_by_alert(self) &&
               self->alert_out != SSL_AD_INTERNAL_ERROR) {
        self->client_reason = ERR_GET_REASON(self->tls_code) == SSL_R_EXCESSIVE_MESSAGE_SIZE
                                  ? SHS_CLIENT_TOO_LARGE
                                  : SHS_CLIENT_MALFORMED;
    }
}

/* Is what is gathered a ticket and nothing else? It can wait for company. */
static bool holds_ticket(const struct shs_tls_stream *self)
{
    return self->held > 0 && self->bio.out.len == self->held;
}

/* Before anybody waits for the peer: everything that it may wait for is sent. */
static int flush_before_wait(struct shs_tls_stream *self)
{
    if (holds_ticket(self)) {
        if (!self->acknowledged)
            shs__stream_acknowledge(self->bio.lower);
        self->acknowledged = true;
        return SHS_OK;
    }
    self->held = 0;
    return shs__tls_bio_flush(&self->bio);
}

/* What a call that did not succeed means; SHS_OK: flushed, call it again. */
static int explain(struct shs_tls_stream *self, int ret)
{
    int rc;

    if (self->bio.stop)
        return flooded(self);
    switch (SSL_get_error(self->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
        self->starved = true;
        rc = flush_before_wait(self);
        if (rc < 0)
            return fail_lower(self, rc);
        return rc == SHS_OK ? self->bio.wait : rc;
    case SSL_ERROR_WANT_WRITE:
        rc = shs__tls_bio_flush(&self->bio);
        return rc < 0 ? fail_lower(self, rc) : rc;
    case SSL_ERROR_ZERO_RETURN:
        return ended(self, SHS_TLS_WHY_CLOSE_NOTIFY, SHS_CLOSED, 0);
    default:
        break;
    }
    if (self->bio.plain)
        return speaks_plain(self);
    if (self->bio.status != SHS_OK)
        return lower_ended(self);
    self->tls_code = (uint32_t)ERR_peek_last_error();
    if (shs__tls_was_nomem() && self->client_reason == SHS_CLIENT_OK)
        return fail(self, SHS_TLS_WHY_NOMEM, SHS_NOMEM); /* whatever OpenSSL makes of it */
    note_client_reason(self);
    return fail(self, SHS_TLS_WHY_PROTOCOL, SHS_TLS);
}

/* -- what passes by --------------------------------------------------------------------------- */

static void count_key_update(struct shs_tls_stream *self)
{
    if (self->key_updates < SHS_TLS_KEY_UPDATES_MAX)
        self->key_updates++;
    else
        self->bio.stop = true;
}

/* Without memory there is none: nothing depends on it. */
static void note_fingerprint(struct shs_tls_stream *self, const unsigned char *hello, size_t len)
{
    self->ja4 = shs__malloc(SHS_JA4_LEN + 1);
    if (self->ja4 != NULL && shs__ja4(hello, len, self->ja4))
        return;
    shs__free(self->ja4);
    self->ja4 = NULL;
}

void shs__tls_stream_message(int write_p, int version, int content_type, const void *buf,
                             size_t len, SSL *ssl, void *arg)
{
    struct shs_tls_stream *self = arg;
    const unsigned char *bytes = buf;

    SHS_UNUSED(version);
    SHS_UNUSED(ssl);
    if (self == NULL || self->bio.stop)
        return;
    if (self->door != NULL)
        shs__tls_door_message(self->door, write_p != 0, content_type, bytes, len);
    if (content_type == SSL3_RT_ALERT && len == 2) {
        if (write_p == 0 && bytes[1] != SSL_AD_CLOSE_NOTIFY)
            self->alert_in = bytes[1];
        else if (write_p != 0 && bytes[0] == SSL3_AL_FATAL)
            self->alert_out = bytes[1];
        else if (write_p != 0 && bytes[1] == SSL_AD_NO_RENEGOTIATION)
            count_key_update(self); /* a renegotiation was asked for, and refused */
    } else if (content_type == SSL3_RT_HANDSHAKE && write_p == 0 && len > 0 &&
               bytes[0] == SSL3_MT_KEY_UPDATE) {
        count_key_update(self);
    } else if (content_type == SSL3_RT_HANDSHAKE && write_p == 0 && len > 0 &&
               bytes[0] == SSL3_MT_CLIENT_HELLO && self->context->fingerprint &&
               self->ja4 == NULL) {
        note_fingerprint(self, bytes, len);
    }
}

/* -- the slots -------------------------------------------------------------------------------- */

static void empty_key(EVP_PKEY *key)
{
    ERR_set_mark();
    (void)EVP_PKEY_set_type(key, EVP_PKEY_NONE); /* fails, of course; the key is gone before that */
    ERR_pop_to_mark();
    EVP_PKEY_free(key);
}

/* What there is to know about it: whoever asks later does not ask the SSL. */
static int take_facts(struct shs_tls_stream *self)
{
    struct shs_tls_until until;

    if (shs__tls_facts_take(&self->facts, self->ssl, self->context) != SHS_OK)
        return fail(self, SHS_TLS_WHY_NOMEM, SHS_NOMEM);
    if (SSL_is_server(self->ssl) == 1 && self->facts.peer != NULL) {
        until = shs__tls_client_until(self->ssl);
        self->client_until = until.chain;
        self->client_crls_until = until.crls;
    }
    return SHS_OK;
}

/*
 * OpenSSL keeps what a TLS 1.3 handshake has used until the connection ends: the private key of the
 * exchange, which nobody should be able to find any more, and half a kilobyte of memory in all.
 */
static void forget_handshake(SSL *ssl)
{
    EVP_PKEY *key = NULL;
    SSL_SESSION *session = SSL_get_session(ssl);

    if (SSL_get_tmp_key(ssl, &key) == 1)
        empty_key(key);
    if (SSL_get_peer_tmp_key(ssl, &key) == 1)
        empty_key(key);
    if (session != NULL && SSL_session_reused(ssl) != 1)
        SSL_SESSION_set1_ticket_appdata(session, NULL, 0); /* the ticket has it */
}

/* -- from libssl to records of our own --------------------------------------------------------- */

static void stay(struct shs_tls_stream *self, enum shs_tls_stays why)
{
    self->stays = (uint8_t)why;
    if (why == SHS_TLS_STAYS_NOT_YET)
        return;
    shs__tls_door_free(self->door);
    self->door = NULL;
    if (self->context->records_counts != NULL)
        atomic_fetch_add_explicit(&self->context->records_counts[why], 1, memory_order_relaxed);
}

/* The handshake is complete: can it leave libssl at all? */
static void judge_door(struct shs_tls_stream *self)
{
    if (self->door != NULL)
        stay(self, shs__tls_door_judge(self->door, self->ssl));
    else if (self->stays != SHS_TLS_STAYS_NOT_ASKED)
        stay(self, (enum shs_tls_stays)self->stays);
}

void shs__tls_stream_secret(struct shs_tls_stream *self, const char *line)
{
    if (self->door != NULL)
        shs__tls_door_secret(self->door, line);
}

void shs__tls_stream_go_direct(struct shs_tls_stream *self)
{
    enum shs_tls_stays why = SHS_TLS_STAYS_KEY_UPDATE;

    if (self->door == NULL || !shs__tls_is_established(self) || self->failed != SHS_OK ||
        self->ended != SHS_OK || self->goodbye != SHS_TLS_SPEAKS)
        return;
    /* The door has the first secrets only. */
    if (self->key_updates == 0 && !self->rekeyed) {
        clear_errors();
        self->records = shs__tls_door_open(self->door, self->ssl, self->context->suites,
                                           self->bio.bytes_in, &why);
        clear_errors();
    }
    if (self->records == NULL) {
        stay(self, why);
        return;
    }
    SSL_free(self->ssl);
    self->ssl = NULL;
    stay(self, SHS_TLS_STAYS_NO);
}

/* -- the handshake ----------------------------------------------------------------------------- */

int shs__tls_stream_handshake(struct shs_tls_stream *self)
{
    int ret, rc;

    if (shs__tls_is_established(self))
        return SHS_OK;
    if (self->failed != SHS_OK)
        return self->failed;
    for (;;) {
        clear_errors();
        ret = SSL_do_handshake(self->ssl);
        if (ret == 1) {
            if (take_facts(self) != SHS_OK)
                return self->failed;
            self->starved = false;
            self->stage = SHS_TLS_UNREAD;
            self->bio.handshaking = false;
            if (SSL_is_server(self->ssl) == 1 && self->facts.tls13) {
                forget_handshake(self->ssl);
                self->held = (uint32_t)self->bio.out.len;
            }
            judge_door(self);
            return SHS_OK;
        }
        rc = explain(self, ret);
        /* There is no data yet that could be cut off: the peer has gone, however it did. */
        if (rc < 0 && self->failed == SHS_OK)
            return fail(self, (enum shs_tls_why)self->why, rc == SHS_TRUNCATED ? SHS_CLOSED : rc);
        if (rc != SHS_OK)
            return rc;
    }
}

/* Nothing more is read from it; what it has asked for may still be said. */
static int client_counts_no_more(struct shs_tls_stream *self)
{
    return ended(self, SHS_TLS_WHY_CLIENT, SHS_STOPPED, 0);
}

/* More bytes for `records`: SHS_OK, SHS_WAIT_*, or how it ended or failed. */
static int refill(struct shs_tls_stream *self)
{
    size_t room = 0, got = 0;
    void *at;
    int rc;

    at = shs__tls_records_room(self->records, &room);
    if (at == NULL)
        return fail(self, SHS_TLS_WHY_NOMEM, SHS_NOMEM);
    rc = shs__stream_read(self->bio.lower, at, room, &got);
    if (rc == SHS_OK) {
        shs__tls_records_came(self->records, got);
        self->bio.bytes_in += got;
        return SHS_OK;
    }
    if (rc == SHS_WAIT_READ || rc == SHS_WAIT_WRITE) {
        self->starved = true;
        self->bio.wait = (int8_t)rc;
        rc = flush_before_wait(self);
        if (rc < 0)
            return fail_lower(self, rc);
        return rc == SHS_OK ? self->bio.wait : rc;
    }
    self->bio.status = (int8_t)rc;
    return lower_ended(self);
}

/* Room for a record that nobody has asked for: what is gathered leaves, if it can. */
static void make_small_room(struct shs_tls_stream *self)
{
    if (shs__tls_bio_room(&self->bio) < RECORD_ROOM - RECORD_DATA)
        (void)shs__tls_bio_flush(&self->bio); /* a failure is sticky: the next write has it */
}

/* The peer broke the rules: it is told how, unless our own end is said already. */
static int refuse(struct shs_tls_stream *self, const struct shs_tls_fault *fault)
{
    const unsigned char alert[2] = {SSL3_AL_FATAL, fault->alert};

    self->tls_code = (uint32_t)ERR_PACK(ERR_LIB_SSL, 0, fault->reason);
    if (self->goodbye == SHS_TLS_SPEAKS) {
        make_small_room(self);
        self->alert_out = fault->alert;
        (void)shs__tls_records_seal(self->records, SHS_TLS_ALERT, alert, sizeof alert,
                                    &self->bio.out);
    }
    return fail(self, SHS_TLS_WHY_PROTOCOL, SHS_TLS);
}

/* Our next key, which the peer has asked for, or our own rule does. Without room it is owed. */
static int change_key(struct shs_tls_stream *self)
{
    int rc = SHS_OK;

    if (self->goodbye == SHS_TLS_SPEAKS) { /* else nothing will be sealed with it */
        make_small_room(self);
        rc = shs__tls_records_update(self->records, &self->bio.out);
    }
    self->owes_key = rc == SHS_LIMIT;
    if (rc == SHS_NOMEM)
        return fail(self, SHS_TLS_WHY_NOMEM, SHS_NOMEM);
    self->held = 0;
    return SHS_OK;
}

static int read_direct(struct shs_tls_stream *self, void *buf, size_t cap, size_t *got)
{
    struct shs_tls_fault fault = {.heard = self->alert_in};
    enum shs_tls_opened opened;
    int rc = SHS_OK;

    while (rc == SHS_OK) {
        opened = shs__tls_records_open(self->records, buf, cap, got, &fault);
        self->alert_in = fault.heard;
        switch (opened) {
        case SHS_TLS_OPENED_DATA:
            self->starved = false;
            return SHS_OK;
        case SHS_TLS_OPENED_MORE:
            rc = refill(self);
            break;
        case SHS_TLS_OPENED_ASKED:
            count_key_update(self);
            rc = self->bio.stop ? flooded(self) : change_key(self);
            break;
        case SHS_TLS_OPENED_UPDATED:
            count_key_update(self);
            rc = self->bio.stop ? flooded(self) : SHS_OK;
            break;
        case SHS_TLS_OPENED_CANCELS:
            break;
        case SHS_TLS_OPENED_END:
            return ended(self, SHS_TLS_WHY_CLOSE_NOTIFY, SHS_CLOSED, 0);
        case SHS_TLS_OPENED_ALERT:
            self->tls_code = (uint32_t)ERR_PACK(ERR_LIB_SSL, 0, fault.reason);
            return fail(self, SHS_TLS_WHY_PROTOCOL, SHS_TLS);
        case SHS_TLS_OPENED_FAULT:
            if (fault.key_update)
                count_key_update(self);
            return self->bio.stop ? flooded(self) : refuse(self, &fault);
        case SHS_TLS_OPENED_NOMEM:
            return fail(self, SHS_TLS_WHY_NOMEM, SHS_NOMEM);
        }
    }
    return rc;
}

static int tls_read(struct shs_stream *s, void *buf, size_t cap, size_t *got)
{
    struct shs_tls_stream *self = TLS(s);
    int ret, rc = shs__tls_is_established(self) ? SHS_OK : shs__tls_stream_handshake(self);

    if (rc != SHS_OK)
        return rc;
    if (self->ended != SHS_OK)
        return self->ended;
    if (self->failed != SHS_OK)
        return self->failed;
    if (self->recheck != NULL && !shs__tls_recheck_look(self->recheck))
        return client_counts_no_more(self);
    if (self->records != NULL)
        return read_direct(self, buf, cap, got);
    for (;;) {
        clear_errors();
        ret = SSL_read_ex(self->ssl, buf, cap, got);
        self->stage = SHS_TLS_OPEN;
        if (ret == 1 && !self->bio.stop) {
            self->starved = false;
            if (self->door != NULL)
                shs__tls_door_gave(self->door);
            return SHS_OK;
        }
        rc = explain(self, ret);
        if (rc != SHS_OK)
            return rc;
    }
}

/* Room for `len` bytes as records: SHS_OK when at least one fits, else what to wait for. */
static int make_room(struct shs_tls_stream *self, size_t len)
{
    size_t sealed = len + (len / RECORD_DATA + 1) * (RECORD_ROOM - RECORD_DATA);
    int rc;

    if (shs__tls_bio_room(&self->bio) < RECORD_ROOM) {
        rc = shs__tls_bio_flush(&self->bio);
        if (rc < 0)
            return fail_lower(self, rc);
        if (rc != SHS_OK && shs__tls_bio_room(&self->bio) < RECORD_ROOM)
            return rc;
    }
    /* A full record is followed by more: room for all of them at once, not by doubling. */
    if (len >= RECORD_DATA || sealed > shs__tls_bio_room(&self->bio))
        sealed = shs__tls_bio_room(&self->bio);
    if (shs__buf_reserve(&self->bio.out, sealed) != SHS_OK)
        return fail(self, SHS_TLS_WHY_NOMEM, SHS_NOMEM);
    return SHS_OK;
}

/* One record of ours is about to be sealed: new keys when the old ones have sealed enough. */
static int count_record(struct shs_tls_stream *self)
{
    if (--self->records_left > 0)
        return SHS_OK;
    self->records_left = SHS_TLS_RECORDS_MAX;
    if (!self->facts.tls13)
        return fail(self, SHS_TLS_WHY_RECORDS, SHS_TLS);
    if (self->records != NULL)
        return change_key(self);
    clear_errors();
    self->rekeyed = true;
    if (SSL_key_update(self->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
        return SHS_OK;
    self->tls_code = (uint32_t)ERR_peek_last_error();
    return fail(self, SHS_TLS_WHY_PROTOCOL, SHS_TLS);
}

static int seal_direct(struct shs_tls_stream *self, const void *buf, size_t len, size_t *put)
{
    size_t part = len < RECORD_DATA ? len : RECORD_DATA;
    int rc = self->owes_key ? change_key(self) : SHS_OK;

    if (rc == SHS_OK)
        rc = shs__tls_records_seal(self->records, SHS_TLS_DATA, buf, part, &self->bio.out);
    if (rc == SHS_NOMEM)
        return fail(self, SHS_TLS_WHY_NOMEM, SHS_NOMEM);
    *put = part;
    return rc;
}

/* Seals one record of `buf`; there is room for it. */
static int seal(struct shs_tls_stream *self, const void *buf, size_t len, size_t *put)
{
    int ret, rc = count_record(self);

    if (rc == SHS_OK && self->records != NULL)
        return seal_direct(self, buf, len, put);
    while (rc == SHS_OK) {
        clear_errors();
        ret = SSL_write_ex(self->ssl, buf, len < RECORD_DATA ? len : RECORD_DATA, put);
        if (ret == 1)
            return SHS_OK;
        rc = explain(self, ret);
    }
    return rc;
}

static int tls_write(struct shs_stream *s, const void *buf, size_t len, size_t *put)
{
    struct shs_tls_stream *self = TLS(s);
    const char *bytes = buf;
    size_t done = 0, n = 0;
    int rc = shs__tls_is_established(self) ? SHS_OK : shs__tls_stream_handshake(self);

    if (rc != SHS_OK)
        return rc;
    if (self->failed != SHS_OK)
        return self->failed;
    if (self->goodbye != SHS_TLS_SPEAKS) {
        self->base.sys_errno = EPIPE;
        return SHS_CLOSED;
    }
    self->held = 0; /* it leaves with this */
    if (self->door != NULL && len >= LONG_ANSWER)
        shs__tls_stream_go_direct(self);
    while (done < len && rc == SHS_OK) {
        rc = make_room(self, len - done);
        if (rc == SHS_OK)
            rc = seal(self, bytes + done, len - done, &n);
        if (rc == SHS_OK)
            done += n;
    }
    /* What was taken is said first; a failure is sticky, and a wait comes again. */
    if (done == 0)
        return rc;
    *put = done;
    return SHS_OK;
}

static int tls_flush(struct shs_stream *s)
{
    struct shs_tls_stream *self = TLS(s);
    int rc = shs__tls_bio_flush(&self->bio);

    if (rc < 0 && self->failed == SHS_OK)
        return fail_lower(self, rc);
    return rc;
}

/* Our close_notify (RFC 8446, 6.1). */
static void notify(struct shs_tls_stream *self)
{
    static const unsigned char alert[2] = {SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY};

    clear_errors();
    if (self->records != NULL)
        (void)shs__tls_records_seal(self->records, SHS_TLS_ALERT, alert, sizeof alert,
                                    &self->bio.out);
    else
        (void)SSL_shutdown(self->ssl); /* 0: sent, the peer's not seen; nobody waits for it */
    clear_errors();
}

static int tls_shutdown(struct shs_stream *s)
{
    struct shs_tls_stream *self = TLS(s);
    int rc;

    if (self->goodbye == SHS_TLS_SHUT)
        return SHS_OK;
    self->held = 0;
    if (self->goodbye == SHS_TLS_SPEAKS && shs__tls_is_established(self) &&
        self->failed == SHS_OK) {
        if (shs__tls_bio_room(&self->bio) < RECORD_ROOM - RECORD_DATA) {
            rc = tls_flush(s);
            if (rc != SHS_OK)
                return rc;
        }
        notify(self);
    }
    self->goodbye = SHS_TLS_NOTIFIED;
    rc = tls_flush(s);
    if (rc != SHS_OK)
        return rc;
    rc = shs__stream_shutdown(self->bio.lower);
    if (rc == SHS_OK)
        self->goodbye = SHS_TLS_SHUT;
    return rc;
}

static bool tls_pending(const struct shs_stream *s)
{
    const struct shs_tls_stream *self = TLS_CONST(s);

    if (!shs__tls_is_established(self) || self->failed != SHS_OK || self->ended != SHS_OK)
        return false;
    if (self->records != NULL)
        return !self->starved && shs__tls_records_pending(self->records);
    /* SSL_has_pending counts half a record too: after SHS_WAIT_READ it can be only that. And from
       OpenSSL 3.2 on it does not see what came with the end of the handshake. */
    return !self->starved && (self->stage == SHS_TLS_UNREAD || SSL_has_pending(self->ssl) == 1);
}

/* To look is to open the next record: half of one, or one without data, is no reason to read. */
static int tls_ready(struct shs_stream *s)
{
    struct shs_tls_stream *self = TLS(s);
    size_t got = 0;
    char byte;
    int ret, rc = SHS_OK;

    if (!shs__tls_is_established(self) || self->failed != SHS_OK || self->ended != SHS_OK)
        return SHS_OK;
    if (self->recheck != NULL && !shs__tls_recheck_look(self->recheck))
        return SHS_OK; /* the read says so */
    if (self->records != NULL)
        rc = read_direct(self, &byte, 0, &got);
    while (self->records == NULL && rc == SHS_OK) {
        clear_errors();
        ret = SSL_peek_ex(self->ssl, &byte, 1, &got);
        self->stage = SHS_TLS_OPEN;
        if (ret == 1 && !self->bio.stop) {
            self->starved = false;
            break;
        }
        rc = explain(self, ret);
    }
    return rc < 0 ? SHS_OK : rc;
}

static void tls_idle(struct shs_stream *s)
{
    struct shs_tls_stream *self = TLS(s);

    if (self->stage == SHS_TLS_OPEN)
        shs__tls_stream_go_direct(self);
    if (self->records != NULL)
        shs__tls_records_idle(self->records);
    if (self->bio.out.len == 0)
        shs__buf_free(&self->bio.out);
    shs__stream_idle(self->bio.lower);
}

static void tls_free(struct shs_stream *s)
{
    struct shs_tls_stream *self = TLS(s);

    SSL_free(self->ssl);
    shs__tls_records_free(self->records);
    shs__tls_door_free(self->door);
    clear_errors();
    shs__tls_facts_free(&self->facts);
    shs__free(self->refusal);
    shs__free(self->ja4);
    shs__client_record_free(self->client);
    shs__buf_free(&self->bio.out);
    shs__tls_context_free(self->context);
    shs__free(self);
}

/* -- words ------------------------------------------------------------------------------------ */

/* What a person can do about the reasons that are met most. NULL: OpenSSL's own words will do. */
static const char *hint(unsigned long tls_code)
{
    if (ERR_GET_LIB(tls_code) != ERR_LIB_SSL)
        return NULL;
    switch (ERR_GET_REASON(tls_code)) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_UNKNOWN_PROTOCOL:
        return "The client offers no TLS 1.2 or 1.3: it is too old for this server.";
    case SSL_R_NO_SHARED_CIPHER:
        return "The client offers no cipher suite of this server (ECDHE with AES-GCM or ChaCha20; "
               "for TLS 1.2 one for this kind of certificate key).";
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
        return "The client accepts no signature that this server's key can make.";
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SHARED_GROUPS:
        return "The client offers none of the groups that this server has (X25519, P-256, P-384, "
               "P-521, or those of its configuration).";
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return "The client offers protocols by ALPN, but none that this server speaks over TLS.";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
        return "What the client sent is not TLS.";
    case SSL_R_BAD_EXTENSION:
    case SSL_R_LENGTH_MISMATCH:
    case SSL_R_UNEXPECTED_MESSAGE:
        return "The client's handshake breaks the rules of TLS.";
    default:
        return NULL;
    }
}

static void describe_alert(const struct shs_tls_stream *self, struct shs_error *err)
{
    const char *text = SSL_alert_desc_string_long(self->alert_in);

    switch (self->alert_in) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_CERTIFICATE_UNKNOWN:
        shs_error_set(err, SHS_TLS, 0,
                      "The peer does not trust the certificate (alert %u, %s): it does not know "
                      "the CA, or the certificate is for another name.",
                      self->alert_in, text);
        return;
    case SSL_AD_CERTIFICATE_EXPIRED:
        shs_error_set(err, SHS_TLS, 0,
                      "The peer says that the certificate has expired (alert %u): renew it, or set "
                      "the peer's clock.",
                      self->alert_in);
        return;
    default:
        shs_error_set(err, SHS_TLS, 0, "The peer ended the TLS session with alert %u, %s.",
                      self->alert_in, text);
    }
}

static void describe_protocol(const struct shs_tls_stream *self, struct shs_error *err)
{
    const char *text = hint(self->tls_code), *reason = ERR_reason_error_string(self->tls_code);

    if (self->client_reason != SHS_CLIENT_OK) {
        shs__tls_refusal_text(err, (enum shs_client_reason)self->client_reason, self->refusal);
    } else if (shs__tls_is_ended_by_alert(self)) {
        describe_alert(self, err);
    } else if (self->no_name) {
        shs_error_set(err, SHS_TLS, 0, "There is no certificate for the name the client wants.");
    } else if (text != NULL) {
        shs_error_set(err, SHS_TLS, 0, "%s", text);
    } else if (self->alert_out != NO_ALERT) {
        shs_error_set(err, SHS_TLS, 0, "TLS failed: %s (we sent alert %u, %s).",
                      reason == NULL ? "no reason given" : reason, self->alert_out,
                      SSL_alert_desc_string_long(self->alert_out));
    } else {
        shs_error_set(err, SHS_TLS, 0, "TLS failed: %s.",
                      reason == NULL ? "no reason given" : reason);
    }
    err->tls_code = self->tls_code;
}

static void tls_describe(const struct shs_stream *s, struct shs_error *err)
{
    const struct shs_tls_stream *self = TLS_CONST(s);

    if (err == NULL)
        return;
    switch ((enum shs_tls_why)self->why) {
    case SHS_TLS_WHY_NONE:
        shs_error_set(err, SHS_OK, 0, "%s", shs_err_text(SHS_OK));
        return;
    case SHS_TLS_WHY_CLOSE_NOTIFY:
        shs_error_set(err, SHS_CLOSED, 0, "The peer closed the TLS session%s.",
                      shs__tls_is_established(self) ? "" : " during its handshake");
        return;
    case SHS_TLS_WHY_TRUNCATED:
        shs_error_set(err, shs__tls_is_established(self) ? SHS_TRUNCATED : SHS_CLOSED, EPROTO,
                      shs__tls_is_established(self)
                          ? "The peer closed the connection without ending the TLS session."
                          : "The peer closed the connection during the TLS handshake.");
        return;
    case SHS_TLS_WHY_LOWER:
        (void)shs__stream_describe(self->bio.lower,
                                   self->failed != SHS_OK ? self->failed : self->ended, err);
        return;
    case SHS_TLS_WHY_PROTOCOL:
        describe_protocol(self, err);
        return;
    case SHS_TLS_WHY_PLAIN_HTTP:
        shs_error_set(err, SHS_TLS, 0,
                      "The client spoke plain HTTP to a TLS port, and was told to use https://.");
        return;
    case SHS_TLS_WHY_KEY_UPDATES:
        shs_error_set(err, SHS_TLS, 0,
                      "The peer asked for new keys more than %d times on one connection.",
                      SHS_TLS_KEY_UPDATES_MAX);
        return;
    case SHS_TLS_WHY_CLIENT:
        shs_error_set(err, SHS_STOPPED, 0, "The client's certificate is no longer accepted.");
        return;
    case SHS_TLS_WHY_RECORDS:
        shs_error_set(err, SHS_TLS, 0,
                      "The connection has sent as much as one key of TLS 1.2 may encrypt.");
        return;
    case SHS_TLS_WHY_NOMEM:
        shs_error_set(err, SHS_NOMEM, 0, "Out of memory in TLS.");
        return;
    }
}

static const struct shs_stream_class tls_class = {
    .name = "TLS",
    .read = tls_read,
    .write = tls_write,
    .flush = tls_flush,
    .shutdown = tls_shutdown,
    .pending = tls_pending,
    .idle = tls_idle,
    .free = tls_free,
    .describe = tls_describe,
    .ready = tls_ready,
};

const char *shs_tls_stays_label(enum shs_tls_stays why)
{
    static const char *const labels[] = {
#define LABEL(name, label) label,
        SHS_TLS_STAYS_MAP(LABEL)
#undef LABEL
    };

    return (unsigned)why < SHS_ARRAY_LEN(labels) ? labels[why] : "unknown";
}

/* -- making one ------------------------------------------------------------------------------- */

int shs__tls_stream_new(struct shs_tls_stream **out, struct shs_tls_context *context,
                        struct shs_stream *lower)
{
    struct shs_tls_stream *self = shs__calloc(1, sizeof *self);
    BIO *bio;

    if (self == NULL)
        return SHS_NOMEM;
    self->base.cls = &tls_class;
    self->base.lower = lower;
    self->bio.lower = lower;
    shs__buf_init(&self->bio.out, SHS_TLS_OUT_CEILING);
    self->records_left = SHS_TLS_RECORDS_MAX;
    self->alert_in = NO_ALERT;
    self->alert_out = NO_ALERT;
    self->context = shs__tls_context_ref(context);
    self->ssl = SSL_new(context->ssl_ctx);
    self->stays = (uint8_t)context->stays;
    if (context->stays == SHS_TLS_STAYS_NOT_YET) {
        self->door = shs__tls_door_new();
        if (self->door == NULL)
            self->stays = SHS_TLS_STAYS_MEMORY;
    }
    bio = self->ssl == NULL ? NULL : shs__tls_bio_new(context->bio_method, &self->bio);
    if (bio == NULL) {
        tls_free(&self->base);
        return SHS_NOMEM;
    }
    SSL_set_bio(self->ssl, bio, bio);
    SSL_set_msg_callback_arg(self->ssl, self);
    /* A place in the SSL that is there anyway, and of no use to a server: application data would
       cost two allocations more for every idle connection. */
    SSL_set_default_passwd_cb_userdata(self->ssl, self);
    self->bio.handshaking = true;
    self->bio.sniff = SSL_is_server(self->ssl) == 1;
    if (self->bio.sniff)
        SSL_set_accept_state(self->ssl);
    else
        SSL_set_connect_state(self->ssl);
    *out = self;
    return SHS_OK;
}

struct shs_tls_stream *shs__tls_stream_of(const SSL *ssl)
{
    return SSL_get_default_passwd_cb_userdata((SSL *)(uintptr_t)ssl);
}

const char *shs__tls_stream_sni(const struct shs_tls_stream *self)
{
    return shs__tls_is_established(self) ? self->facts.sni
                                         : SSL_get_servername(self->ssl, TLSEXT_NAMETYPE_host_name);
}

struct shs_tls_stream *shs__tls_stream_find(struct shs_stream *top)
{
    for (; top != NULL; top = top->lower) {
        if (top->cls == &tls_class)
            return TLS(top);
    }
    return NULL;
}
