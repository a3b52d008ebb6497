/*
 * lab.h - the lab from inside.
 */
#ifndef SHS_LAB_LAB_H
#define SHS_LAB_LAB_H

#include <pthread.h>
#include <stdatomic.h>

#include <openssl/ssl.h>

#include <shs/handler.h>
#include <shs/lab.h>
#include <shs/server.h>

#include "certs/authority.h"
#include "lab/rows.h"

#define SHS_LAB_KEYS 12 /* kinds of key that are slow to make, and kept */
#define SHS_LAB_PLACES 8
#define SHS_LAB_LOG_LINES 512 /* that /log remembers */

/* A condition at work. What is made on first use is made under its lock. */
struct shs__lab_unit {
    struct shs_condition public;
    const struct shs__lab_row *row;
    char *own_host, *own_url; /* behind `public` */
    pthread_mutex_t lock;
    SSL_CTX *ctx; /* NULL until somebody comes; then it stays */
    struct shs_issued_cert *cert;
    void *staple;
    size_t staple_len;
    _Atomic uint64_t connections, handshakes, requests, no_alpn, went_on;
    _Atomic int last_alert;
};

struct shs__lab_key {
    const char *word;
    pthread_mutex_t lock;
    EVP_PKEY *key;
};

struct shs_lab {
    OSSL_LIB_CTX *lib;
    char *domain, *temp_dir, *dir;
    char ip_base[16]; /* "127.0.1." */
    const char *tld;  /* in domain */
    int64_t now, started;
    bool no_connect, strict;
    unsigned stall_ms;
    shs_log_fn *log;
    void *log_ctx;
    int keylog_fd;
    atomic_bool keylog_lost; /* and it was said */
    atomic_bool stopping;    /* slow keys in the making are given up */

    struct shs__lab_unit *units;
    size_t count;
    struct shs__lab_unit stranger; /* for names that are not conditions */

    pthread_mutex_t ca_lock;
    atomic_long crls_made;
    struct shs_ca *cas[LAB_CA_COUNT];
    struct shs__lab_key keys[SHS_LAB_KEYS];

    struct shs_request_handler_class handler;
    /* The first is the lab; the others are addresses of their own for conditions that are visited
       by address, as far as the system has those. */
    struct shs__lab_place {
        struct shs_server *server;
        pthread_t thread;
        bool thread_runs;
    } places[SHS_LAB_PLACES];
    struct shs_server *server; /* places[0]'s */

    char *base_url, *ca_pem, *client_pem, *manifest, *page;
    struct shs_buf ca_p12; /* the roots for Java */

    pthread_mutex_t log_lock;
    char *log_lines[SHS_LAB_LOG_LINES]; /* a ring */
    uint64_t log_count;
    char *last_hello; /* JSON */
    _Atomic uint64_t connections, strangers;
};

/* What "now" is for what is made. */
int64_t shs__lab_now(const struct shs_lab *lab);

/* -- authorities.c ----------------------------------------------------------------------------- */

/* The authority, made if it is not there yet. */
int shs__lab_ca(struct shs_lab *lab, enum shs__lab_ca which, struct shs_ca **out,
                struct shs_error *err);
/* Its word in URLs, "ica"; and back (LAB_CA_COUNT = none). */
const char *shs__lab_ca_word(enum shs__lab_ca which);
enum shs__lab_ca shs__lab_ca_find(const char *word, size_t len);
/* Its CRL, DER or PEM, wrong as it should be; for shs_bytes_free. SHS_CLOSED: it has none. */
int shs__lab_crl(struct shs_lab *lab, enum shs__lab_ca which, bool der, void **bytes, size_t *len,
                 struct shs_error *err);
/* The answer of /ocsp to a request in DER; for shs_bytes_free. */
int shs__lab_ocsp(struct shs_lab *lab, const void *request, size_t request_len, void **bytes,
                  size_t *len, struct shs_error *err);
/*
 * Makes all that the root of odd names has to sign, and throws its key away: that root can have no
 * constraints, and so nobody shall be able to sign with it any more. Before the lab serves.
 */
int shs__lab_use_up_odd(struct shs_lab *lab, struct shs_error *err);
/* The roots to trust, as PEM, for shs__free. */
int shs__lab_roots(struct shs_lab *lab, char **out, struct shs_error *err);

/* -- build.c ----------------------------------------------------------------------------------- */

/* Makes unit->cert, and the staple. */
int shs__lab_make_cert(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err);
/* "@", "$", "^", "%" and "&" of a recipe's text replaced; for shs__free. */
char *shs__lab_expand(const struct shs_lab *lab, const struct shs__lab_unit *unit,
                      const char *text);

/* -- context.c --------------------------------------------------------------------------------- */

/* The context of a condition, made if it is not there yet. Owned by the unit. */
int shs__lab_context(struct shs_lab *lab, struct shs__lab_unit *unit, SSL_CTX **out,
                     struct shs_error *err);
/* Can this OpenSSL do what the recipe asks for? NULL, or why not (static storage). */
const char *shs__lab_probe(struct shs_lab *lab, const struct shs__lab_row *row);

/* -- talk.c ------------------------------------------------------------------------------------ */

/* A handler's handle: one connection, to its end. */
int shs__lab_handle(struct shs_request_handler *handler);

/* -- journal.c --------------------------------------------------------------------------------- */

/* Takes the line (shs__malloc'ed JSON). */
void shs__lab_journal(struct shs_lab *lab, char *line);
/* All of it, a line each. */
int shs__lab_journal_print(struct shs_lab *lab, struct shs_buf *out);

/* -- manifest.c and page.c --------------------------------------------------------------------- */

int shs__lab_make_manifest(struct shs_lab *lab, struct shs_error *err);
int shs__lab_make_page(struct shs_lab *lab, struct shs_error *err);

#endif
