/*
 * records.h - the record layer of TLS 1.3 after the handshake (RFC 8446, sections 4.6.3, 5 and 6).
 *
 * Concept
 *
 *   Takes over from libssl where a handshake is complete: from the two traffic secrets, the suite
 *   and the sequence numbers, which is all there is to an open connection. Opens what comes in and
 *   seals what goes out. It does no I/O and keeps no time: bytes come by shs__tls_records_room, and
 *   go to a buffer of the caller's.
 *
 *   All cryptography is OpenSSL's: the AEAD by EVP_CIPHER, which compares the tag too, and the
 *   derivation of keys by EVP_KDF. What is here is framing, sequence numbers, nonces, inner types
 *   and padding, KeyUpdate, alerts, and the bounds of all that. What is refused, and with which
 *   alert, is what libssl refuses.
 *
 *   One thread at a time.
 */
#ifndef SHS_TLS_RECORDS_H
#define SHS_TLS_RECORDS_H

#include "base/base.h"

/* The plaintext of one record (5.1), and what sealing adds to it: header, inner type and tag. */
#define SHS_TLS_RECORD_DATA ((size_t)16384)
#define SHS_TLS_RECORD_ADDS ((size_t)5 + 1 + 16)

#define SHS_TLS_SECRET_MAX 48 /* SHA-384 */

enum shs_tls_content { SHS_TLS_ALERT = 21, SHS_TLS_HANDSHAKE = 22, SHS_TLS_DATA = 23 };

/* The algorithms, fetched once for all connections of a context. Read only: any thread. */
struct shs_tls_suites;
struct shs_tls_suites *shs__tls_suites_new(void); /* NULL: no memory, or OpenSSL lacks one */
void shs__tls_suites_free(struct shs_tls_suites *self);
/* Of the number of a suite (B.4): its secrets have so many bytes. 0: it is not spoken here. */
size_t shs__tls_suite_secret_len(unsigned id);

/* One direction, as libssl leaves it. */
struct shs_tls_traffic {
    unsigned char secret[SHS_TLS_SECRET_MAX];
    uint64_t seq; /* of the next record under that secret */
};

struct shs_tls_records;

/* Returns SHS_OK, or SHS_NOMEM; borrows `suites`. `id` is one that is spoken here. */
int shs__tls_records_new(struct shs_tls_records **out, const struct shs_tls_suites *suites,
                         unsigned id, const struct shs_tls_traffic *in,
                         const struct shs_tls_traffic *out_traffic);
/* Wipes all secrets. NULL is fine. */
void shs__tls_records_free(struct shs_tls_records *self);

/* Nothing is under way: gives back what can be made again. */
void shs__tls_records_idle(struct shs_tls_records *self);

/* -- reading ----------------------------------------------------------------------------------- */

enum shs_tls_opened {
    SHS_TLS_OPENED_DATA,    /* *got bytes were given */
    SHS_TLS_OPENED_MORE,    /* more bytes of the connection are needed */
    SHS_TLS_OPENED_UPDATED, /* the peer has changed its key: go on */
    SHS_TLS_OPENED_ASKED,   /* likewise, and wants us to change ours */
    SHS_TLS_OPENED_CANCELS, /* the peer says user_canceled, which means nothing by itself: go on */
    SHS_TLS_OPENED_END,     /* the peer's close_notify */
    SHS_TLS_OPENED_ALERT,   /* the peer's alert, which ends it: fault->alert */
    SHS_TLS_OPENED_FAULT,   /* it breaks the rules: fault->alert is the one to send */
    SHS_TLS_OPENED_NOMEM
};

struct shs_tls_fault {
    uint8_t alert;
    uint8_t heard;   /* the last alert that came; who calls sets what there was before */
    bool key_update; /* with FAULT: what broke them was a KeyUpdate, and it counts as one */
    int reason;      /* OpenSSL's SSL_R_ for the same */
};

/*
 * Gives the plaintext of the next record, or of what is left of it: 1 to `cap` bytes. After END,
 * ALERT, FAULT and NOMEM it is not called again.
 */
enum shs_tls_opened shs__tls_records_open(struct shs_tls_records *self, void *buf, size_t cap,
                                          size_t *got, struct shs_tls_fault *fault);

/* After MORE: where the next bytes go, *room > 0. NULL: no memory. */
void *shs__tls_records_room(struct shs_tls_records *self, size_t *room);
/* So many have come. */
void shs__tls_records_came(struct shs_tls_records *self, size_t len);

/* Open would not say MORE. */
bool shs__tls_records_pending(const struct shs_tls_records *self);

/* -- writing ----------------------------------------------------------------------------------- */

/* Appends one record of at most SHS_TLS_RECORD_DATA bytes: SHS_OK, SHS_LIMIT when there is no room
   for it in `out`, SHS_NOMEM. Only the first changes anything. */
int shs__tls_records_seal(struct shs_tls_records *self, enum shs_tls_content type, const void *data,
                          size_t len, struct shs_buf *out);
/* KeyUpdate, without asking for the peer's, and the next key. As seal. */
int shs__tls_records_update(struct shs_tls_records *self, struct shs_buf *out);

#endif
