#include "tls/wire/failure.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/wire/stream.h"

const char *shs_tls_cause_label(enum shs_tls_cause cause)
{
    static const char *const labels[] = {
#define LABEL(name, label) label,
        SHS_TLS_CAUSE_MAP(LABEL)
#undef LABEL
    };

    return (unsigned)cause < SHS_ARRAY_LEN(labels) ? labels[cause] : "unknown";
}

const char *shs_client_reason_label(enum shs_client_reason reason)
{
    static const char *const labels[] = {
#define LABEL(name, label) label,
        SHS_CLIENT_REASON_MAP(LABEL)
#undef LABEL
    };

    return (unsigned)reason < SHS_ARRAY_LEN(labels) ? labels[reason] : "unknown";
}

/* RFC 8446, 6 and RFC 5246, 7.2. */
void shs__tls_alert_name(unsigned alert, char *buf, size_t cap)
{
    static const struct {
        unsigned number;
        const char *name;
    } names[] = {
        {0, "close_notify"},
        {10, "unexpected_message"},
        {20, "bad_record_mac"},
        {21, "decryption_failed"},
        {22, "record_overflow"},
        {40, "handshake_failure"},
        {41, "no_certificate"},
        {42, "bad_certificate"},
        {43, "unsupported_certificate"},
        {44, "certificate_revoked"},
        {45, "certificate_expired"},
        {46, "certificate_unknown"},
        {47, "illegal_parameter"},
        {48, "unknown_ca"},
        {49, "access_denied"},
        {50, "decode_error"},
        {51, "decrypt_error"},
        {70, "protocol_version"},
        {71, "insufficient_security"},
        {80, "internal_error"},
        {86, "inappropriate_fallback"},
        {90, "user_canceled"},
        {100, "no_renegotiation"},
        {109, "missing_extension"},
        {110, "unsupported_extension"},
        {112, "unrecognized_name"},
        {113, "bad_certificate_status_response"},
        {115, "unknown_psk_identity"},
        {116, "certificate_required"},
        {120, "no_application_protocol"},
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++) {
        if (names[i].number == alert) {
            snprintf(buf, cap, "%s", names[i].name);
            return;
        }
    }
    snprintf(buf, cap, "alert_%u", alert);
}

static enum shs_tls_cause cause_of_reason(unsigned long code)
{
    if (code == 0 || ERR_GET_LIB(code) != ERR_LIB_SSL)
        return SHS_TLS_CAUSE_INTERNAL;
    switch (ERR_GET_REASON(code)) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_BAD_LEGACY_VERSION:
    case SSL_R_INAPPROPRIATE_FALLBACK:
        return SHS_TLS_CAUSE_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_CIPHERS_SPECIFIED:
        return SHS_TLS_CAUSE_NO_SHARED_CIPHER;
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_GROUPS:
        return SHS_TLS_CAUSE_NO_SHARED_GROUP;
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
        return SHS_TLS_CAUSE_NO_SHARED_SIGNATURE;
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return SHS_TLS_CAUSE_NO_SHARED_PROTOCOL;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return SHS_TLS_CAUSE_CLIENT_CERT;
    case ERR_R_MALLOC_FAILURE:
    case ERR_R_INTERNAL_ERROR:
        return SHS_TLS_CAUSE_INTERNAL;
    default:
        return SHS_TLS_CAUSE_PROTOCOL;
    }
}

/* A failure that OpenSSL reported. */
static void classify_protocol(struct shs_tls_failure *out, const struct shs_tls_stream *tls)
{
    if (shs__tls_is_ended_by_alert(tls)) {
        out->cause = SHS_TLS_CAUSE_CLIENT_ALERT;
        out->alert = tls->alert_in;
        return;
    }
    if (tls->no_name) {
        out->cause = SHS_TLS_CAUSE_NO_CERTIFICATE_FOR_NAME;
        return;
    }
    out->cause = cause_of_reason(tls->tls_code);
    /* OpenSSL says so itself; but also of a point on no curve, which is the peer's fault. */
    if (out->cause == SHS_TLS_CAUSE_PROTOCOL && tls->alert_out == SSL_AD_INTERNAL_ERROR &&
        ERR_GET_REASON(tls->tls_code) != ERR_R_EC_LIB)
        out->cause = SHS_TLS_CAUSE_INTERNAL;
    if (tls->client_reason != SHS_CLIENT_OK || out->cause == SHS_TLS_CAUSE_CLIENT_CERT) {
        out->cause = SHS_TLS_CAUSE_CLIENT_CERT;
        out->client_reason =
            tls->client_reason == SHS_CLIENT_OK ? SHS_CLIENT_OTHER : tls->client_reason;
    }
}

void shs__tls_failure_classify(struct shs_tls_failure *out, const struct shs_tls_stream *tls,
                               int code)
{
    out->cause = SHS_TLS_CAUSE_INTERNAL;
    out->client_reason = SHS_CLIENT_OK;
    out->alert = -1;
    if (tls->client_reason == SHS_CLIENT_UNDECIDED)
        return;                     /* our trouble, and not the client's */
    if (shs__tls_is_refused(tls)) { /* after a handshake that was complete, to be able to explain */
        out->cause = SHS_TLS_CAUSE_CLIENT_CERT;
        out->client_reason = tls->client_reason;
        return;
    }
    if (code == SHS_TIMEOUT) {
        out->cause = SHS_TLS_CAUSE_TIMEOUT;
        return;
    }
    switch ((enum shs_tls_why)tls->why) {
    case SHS_TLS_WHY_TRUNCATED:
    case SHS_TLS_WHY_LOWER:
        out->cause = tls->bio.bytes_in == 0 ? SHS_TLS_CAUSE_PROBE : SHS_TLS_CAUSE_RESET;
        return;
    case SHS_TLS_WHY_CLOSE_NOTIFY:
        out->cause = SHS_TLS_CAUSE_CLIENT_ALERT;
        out->alert = SSL_AD_CLOSE_NOTIFY;
        return;
    case SHS_TLS_WHY_PLAIN_HTTP:
        out->cause = SHS_TLS_CAUSE_PLAIN_HTTP;
        return;
    case SHS_TLS_WHY_PROTOCOL:
        classify_protocol(out, tls);
        return;
    case SHS_TLS_WHY_KEY_UPDATES:
        out->cause = SHS_TLS_CAUSE_PROTOCOL;
        return;
    case SHS_TLS_WHY_NONE:
    case SHS_TLS_WHY_CLIENT:
    case SHS_TLS_WHY_RECORDS:
    case SHS_TLS_WHY_NOMEM:
        return;
    }
}

void shs__tls_failure_label(const struct shs_tls_failure *failure, char label[SHS_TLS_LABEL_MAX])
{
    const char *cause = shs_tls_cause_label(failure->cause);
    char alert[40];

    if (failure->cause == SHS_TLS_CAUSE_CLIENT_ALERT) {
        shs__tls_alert_name((unsigned)failure->alert, alert, sizeof alert);
        snprintf(label, SHS_TLS_LABEL_MAX, "%s:%s", cause, alert);
    } else if (failure->cause == SHS_TLS_CAUSE_CLIENT_CERT) {
        snprintf(label, SHS_TLS_LABEL_MAX, "%s:%s", cause,
                 shs_client_reason_label(failure->client_reason));
    } else {
        snprintf(label, SHS_TLS_LABEL_MAX, "%s", cause);
    }
}
