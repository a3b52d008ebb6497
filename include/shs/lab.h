/*
 * shs/lab.h - a laboratory of TLS servers that are wrong in exactly one way, on one port.
 *
 * Concept
 *
 *   A client, a proxy or a probe is tested with servers that it must refuse, and with some that it
 *   must not. The lab is all of them: which one a client meets is chosen by the name it asks for
 *   (SNI), "expired.badssl.test". Each name is a condition, with what a careful client does, how
 *   much it matters, why, and what to look for in the client's message, for a refusal counts only
 *   when it is for the right reason.
 *
 *       struct shs_lab *lab;
 *       const struct shs_condition *c;
 *
 *       shs_lab_start(&lab, NULL, &err);
 *       for (c = shs_lab_first(lab); c != NULL; c = shs_lab_next(lab, c))
 *           if (c->servable && c->expect != SHS_LAB_EITHER)
 *               check(my_client_accepts(c->url, shs_lab_ca_path(lab)) ==
 *                     (c->expect == SHS_LAB_ACCEPT), c->id);
 *       shs_lab_stop(lab);
 *
 *   The same port answers TLS; "CONNECT name:443", so that a client needs nothing but a proxy
 *   variable (it leads to the lab and nowhere else); and plain HTTP: / /manifest.json /ca.pem
 *   /ca.p12 /crl/... /ocsp /proxy.pac /hello /log. It listens on loopback addresses. Certificates
 *   and keys are made when somebody asks for them first, in a library context of the lab's own: the
 *   system's openssl.cnf takes no condition away.
 *
 * Threads: start and stop from one thread; everything else from any.
 * Follows: badssl.com's labels where it has them.
 */
#ifndef SHS_LAB_H
#define SHS_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shs/error.h>
#include <shs/options.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_lab;
struct shs_issued_cert; /* shs/certs.h */

enum shs_lab_expect {
    SHS_LAB_ACCEPT, /* a correct client goes on */
    SHS_LAB_REJECT, /* a correct client ends it, and gives no answer to its user */
    SHS_LAB_EITHER  /* good clients differ */
};

/* How much it matters when a client does otherwise. */
enum shs_lab_tier { SHS_LAB_CRITICAL, SHS_LAB_HIGH, SHS_LAB_MEDIUM, SHS_LAB_LOW };

/* One condition. All of it is the lab's and lives as long. */
struct shs_condition {
    const char *id;     /* "expired" */
    const char *group;  /* "dates" */
    const char *served; /* what is served, in words */
    const char *host;   /* "expired.badssl.test" */
    const char *url;    /* "https://expired.badssl.test:41443/" */
    enum shs_lab_expect expect;
    enum shs_lab_tier tier;
    const char *layer;  /* "certificate" "handshake" "record" "http": where the fault is */
    const char *reason; /* "expired": the kind of fault in a word, ASCII; "" for an accept */
    const char *word;   /* what OpenSSL calls it, and with it curl and Python; "" = nothing */
    const char *go, *node, *chromium; /* what they say; "" = nothing, or not known */
    int curl_exit;                    /* of curl; 0 = it goes on, or nothing is known */
    /* Clients measured to do otherwise than `expect`, or, where it is either, to accept; words with
       spaces between: openssl curl py311 py313 node go java gnutls. "" = none */
    const char *differs;
    const char *accepts;
    const char *needs; /* "client-offers-alpn", ...: without it there is nothing to see; "" */
    const char
        *probe_first; /* the condition that has to go well for this one to mean a thing; "" */
    bool verdict_from_server; /* the client's own word does not tell: see shs_lab_get_seen */
    bool hangs;               /* a client without a limit waits here for ever */
    bool servable;            /* false: it cannot be served here; */
    const char *why;          /* ... and why not; "" */
    const char *note, *refs;  /* for people; "" = none */
    const char *refused_in; /* where good clients differ: rules by which it is to be refused, words
                                 with spaces between: rfc9525 webpki. "" = none */
};

struct shs_lab_options {
    size_t size;              /* set by shs_lab_options_init */
    const char *host;         /* a loopback address. NULL = 127.0.0.1 */
    const char *port;         /* "0" (NULL) = one that is free */
    const char *domain;       /* "badssl.test" (NULL) */
    int64_t now;              /* Unix time: what certificates, CRLs and OCSP responses are made for.
                                  0 = the clock */
    bool no_connect;          /* false. true: CONNECT is refused */
    bool strict;              /* false. true: an unknown name gets an alert, not a page */
    unsigned stall_ms;        /* how long a server that says nothing keeps the connection. 30000 */
    unsigned max_connections; /* at once. 512 */
    const char *temp_dir;     /* for ca.pem. NULL = /tmp */
    const char *keylog;       /* append the secrets of all sessions. NULL = no */
    bool insecure_address;    /* false: only loopback. The lab's servers are wrong on purpose */
    shs_log_fn *log;          /* a line for each connection. NULL = none */
    void *log_ctx;
    /* Patterns of the shell, a NULL at the end: these conditions alone, or not those. "good" is
       always there, for who cannot take it is not tested. NULL = all; none */
    const char *const *only, *const *except;
    const char *ip_base; /* "127.0.1.0" (NULL): a loopback network of 256 addresses for conditions
                            that are visited by an address */
    const char *dir;     /* what the manifest says of where files of the lab are; the lab itself
                            writes none there. NULL = nothing */
};

SHS_API void shs_lab_options_init_sized(struct shs_lab_options *opt, size_t size);
#define shs_lab_options_init(o) shs_lab_options_init_sized((o), sizeof *(o))

/*
 * Starts a lab in threads of its own; it is ready when this returns. `opt` may be NULL; copied.
 * Returns SHS_OK with *out; SHS_USAGE, SHS_IO, SHS_TLS or SHS_NOMEM with *err (may be NULL).
 */
SHS_API int shs_lab_start(struct shs_lab **out, const struct shs_lab_options *opt,
                          struct shs_error *err) SHS_MUST_CHECK;

/* Ends all connections, waits for its threads, removes its files, frees. NULL is fine. */
SHS_API void shs_lab_stop(struct shs_lab *self);

/* The conditions in their order; NULL after the last. */
SHS_API const struct shs_condition *shs_lab_first(const struct shs_lab *self);
SHS_API const struct shs_condition *shs_lab_next(const struct shs_lab *self,
                                                 const struct shs_condition *after);
/* The one with that id, or NULL. */
SHS_API const struct shs_condition *shs_lab_find(const struct shs_lab *self, const char *id);
SHS_API size_t shs_lab_count(const struct shs_lab *self);

/*
 * Where good clients differ, a profile says what is right: "strict" (to be refused, all of it),
 * "rfc9525" (names of services), "webpki" (what public authorities and browsers keep to), or as a
 * client was measured to do: openssl curl py311 py313 node go java gnutls.
 */
SHS_API const char *const *shs_lab_profiles(void); /* their names; a NULL at the end */
/* Sets *out to SHS_LAB_EITHER where the profile says nothing. False: there is no such profile. */
SHS_API bool shs_lab_expect_in(const struct shs_condition *condition, const char *profile,
                               enum shs_lab_expect *out);
/*
 * The certificate of a condition with its key and chain, made if need be; owned by the lab. SHS_OK;
 * SHS_CLOSED when it has none (bytes that are the same for all); SHS_USAGE, SHS_TLS, SHS_NOMEM.
 */
SHS_API int shs_lab_get_cert(struct shs_lab *self, const struct shs_condition *condition,
                             const struct shs_issued_cert **out, struct shs_error *err);

/* Where it listens, and what clients are to trust. Owned by the lab. */
SHS_API const char *shs_lab_host(const struct shs_lab *self);
SHS_API unsigned shs_lab_port(const struct shs_lab *self);
SHS_API const char *shs_lab_domain(const struct shs_lab *self);
SHS_API const char *shs_lab_proxy_url(const struct shs_lab *self); /* "http://127.0.0.1:41443" */
SHS_API const char *shs_lab_ca_path(const struct shs_lab *self);   /* a file, until the stop */
SHS_API const char *shs_lab_ca_pem(const struct shs_lab *self);

/* The manifest: all of this as JSON. Owned by the lab. */
SHS_API const char *shs_lab_manifest(const struct shs_lab *self);

/* A client certificate that the lab accepts, PEM with its key; a secret. Owned by the lab. */
SHS_API const char *shs_lab_client_pem(const struct shs_lab *self);

/* What the lab has seen of a condition: was the client there, and how far did it go? */
struct shs_lab_seen {
    uint64_t connections; /* a ClientHello came */
    uint64_t handshakes;  /* that were completed */
    uint64_t requests;    /* HTTP requests that came through */
    uint64_t no_alpn;     /* ClientHellos without ALPN */
    uint64_t went_on;     /* the client sent more of its handshake after what it should refuse */
    int last_alert;       /* the last one a client sent; -1 = none */
};

/* Copies the counters; SHS_USAGE when the condition is not one of this lab's. */
SHS_API int shs_lab_get_seen(const struct shs_lab *self, const struct shs_condition *condition,
                             struct shs_lab_seen *out);
/* ClientHellos for names that are not conditions, and all connections of whatever kind. */
SHS_API uint64_t shs_lab_strangers(const struct shs_lab *self);
SHS_API uint64_t shs_lab_connections(const struct shs_lab *self);

#ifdef __cplusplus
}
#endif

#endif
