/*
 * failure.h - the one cause of a failed handshake.
 */
#ifndef SHS_TLS_FAILURE_H
#define SHS_TLS_FAILURE_H

#include <shs/tls.h>

struct shs_tls_stream;

/* "client-alert:" and the longest name of an alert. */
#define SHS_TLS_LABEL_MAX 64

/* Fills cause, client_reason, alert of *out for a stream whose handshake answered `code`. */
void shs__tls_failure_classify(struct shs_tls_failure *out, const struct shs_tls_stream *tls,
                               int code);

/* Whether a count of that cause is one of failures: NONE and PROBE are not. */
static inline bool shs__tls_is_failure(enum shs_tls_cause cause)
{
    return cause != SHS_TLS_CAUSE_NONE && cause != SHS_TLS_CAUSE_PROBE;
}

/* How many there were: the sum that is told wherever a server's failed handshakes are. */
static inline uint64_t shs__tls_failures(const struct shs_tls_stats *stats)
{
    uint64_t sum = 0;

    for (int i = 0; i < SHS_TLS_CAUSE_COUNT; i++)
        sum += shs__tls_is_failure((enum shs_tls_cause)i) ? stats->causes[i] : 0;
    return sum;
}

/* The whole label. */
void shs__tls_failure_label(const struct shs_tls_failure *failure, char label[SHS_TLS_LABEL_MAX]);

/* "unknown_ca"; "alert_200" for a number without a name. */
void shs__tls_alert_name(unsigned alert, char *buf, size_t cap);

#endif
