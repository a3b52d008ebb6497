/*
 * shs/tls.h - TLSMixIn: any stream server of the family, over TLS.
 *
 * Concept
 *
 *   Pushed on a server, TLSMixIn extends finish_request: it makes an SSL for the connection, drives
 *   the handshake on the thread that runs the conversation (never in the accept loop) and within
 *   opt.handshake_ms, and then calls super, which talks through it without knowing.
 *
 *   What a connection gets is chosen from its ClientHello, before anything else is decided, also
 *   before a ticket is looked at: a struct shs_tls_host has the names, the certificates, the
 *   versions and suites, and what is asked of clients. A ticket of one host is nothing to another.
 *
 *   The files are read when the mixin is pushed, and again by shs_tls_reload. What is wrong with
 *   them is said there. A reload is a transaction for each certificate with its key, and for the
 *   CAs and CRLs of each host: they are read, checked and tried in a handshake in memory; what
 *   cannot be used stays as it was, and the rest is swapped at once.
 *
 *   Of several certificates that fit a name, one that is valid now is used before one that is not;
 *   an exact name's before a wildcard's; but a client that can do nothing with the keys of the
 *   exact name's (RSA only, say, where that is EC) gets the wildcard's. An IP address as a name is
 *   no name (RFC 6066, 3).
 *
 *   A handshake that fails has exactly one cause, a short label: "version", "client-cert:expired",
 *   "client-alert:unknown_ca". It is counted, and handed to config.on_failure. A connection opened
 *   and closed without a byte, as balancers do to see whether a port is open, is a "probe", and no
 *   failure: it has a count of its own, and is never logged.
 *
 *   TLS 1.2 and 1.3; groups X25519, P-256, P-384, P-521; AEAD suites with forward secrecy only, in
 *   the server's order: TLS_AES_128_GCM_SHA256 first, but ChaCha20 for a client that has it first.
 *   No renegotiation; no compression; no early data; ALPN "http/1.1" for an HTTPServer, what
 *   config.alpn says for others. A connection that speaks plain HTTP to the TLS port of an
 *   HTTPServer gets a readable 400 and is closed.
 *
 * Follows: RFC 8446, RFC 5246, RFC 7301, RFC 9325, RFC 5280, RFC 5077, Mozilla's Server Side TLS;
 * CPython Lib/http/server.py HTTPSServer.
 */
#ifndef SHS_TLS_H
#define SHS_TLS_H

#include <shs/server.h>
#include <shs/str.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- what to serve with ------------------------------------------------------------------------ */

/* Mozilla's recommendations: TLS 1.2 and 1.3 with AEAD suites, or TLS 1.3 alone. */
enum shs_tls_policy { SHS_TLS_INTERMEDIATE, SHS_TLS_MODERN };

/*
 * Who reads and writes the records of an open connection. The handshake is always libssl's, and
 * the cryptography always OpenSSL's.
 *
 * DIRECT: the library itself, from the end of a connection's first request on, for TLS 1.3 with
 * AES-GCM or ChaCha20-Poly1305. libssl's object, nine tenths of the memory of an idle connection,
 * is freed then. What cannot be spoken so stays with libssl (enum shs_tls_stays). No session ticket
 * is sent after the one of the handshake, in both cases. What you trust then is, beside OpenSSL's
 * cryptography, this library's framing, sequence numbers, nonces, KeyUpdate and alerts
 * (src/tls/wire/records.c), which is younger than libssl's and read by fewer people.
 */
enum shs_tls_record_layer { SHS_TLS_RECORDS_LIBSSL, SHS_TLS_RECORDS_DIRECT };

enum shs_tls_client_auth {
    SHS_TLS_CLIENT_NONE,     /* clients are not asked for a certificate */
    SHS_TLS_CLIENT_OPTIONAL, /* asked; none is fine, a bad one is refused with an alert */
    SHS_TLS_CLIENT_REQUIRED, /* asked; none or a bad one is refused with an alert */
    SHS_TLS_CLIENT_EXPLAIN   /* asked; none or a bad one is answered with 403 and JSON that says
                                why, and no handler is reached. For HTTPServer only: pushing
                                it on another server is SHS_USAGE */
};

/* One certificate with its chain and key: PEM (the key may be encrypted), or PKCS #12. */
struct shs_tls_cert {
    const char *certfile; /* PEM: leaf first, then its chain; may hold the key. Or PKCS #12 */
    const char *keyfile;  /* NULL = in certfile */
    const void *cert_pem; /* the same in memory instead of files */
    size_t cert_pem_len;
    const void *key_pem;
    size_t key_pem_len;
    shs_password_fn *password; /* of an encrypted key or PKCS #12; NULL = none */
    void *password_ctx;
    const char *ocspfile; /* a DER OCSP response to staple while it is fresh; NULL = none */
};

/*
 * A virtual host: everything that depends on the name a client asks for in its ClientHello. The
 * Host field of a request is the client's word, and may name another host than the one this
 * connection was made by. When that one asks other things of clients (client_auth, the CAs and
 * CRLs, client_depth, client_lax, client_partial) or of TLS (policy, min_version, ciphers, groups),
 * an HTTPServer answers 421 Misdirected Request (RFC 9110, 15.5.20) and calls no handler. A name
 * that is not a host's counts as the first host's, as in a ClientHello; a request without Host as
 * this connection's. Where only the certificates differ, nothing is protected by them, and the
 * request is served: a proxy may come with one name in its ClientHello for all.
 *
 * Over TLS, servers of other protocols than HTTP compare their names with shs_tls_info.sni.
 */
struct shs_tls_host {
    size_t size;                      /* set by shs_tls_host_init */
    const char *const *names;         /* "a.example", "*.b.example", ..., NULL. NULL = the DNS names
                                         in each certificate */
    const struct shs_tls_cert *certs; /* one for a name, or one of each kind of key (RSA, EC) */
    size_t cert_count;
    enum shs_tls_policy policy;           /* SHS_TLS_INTERMEDIATE */
    int min_version;                      /* 12 or 13: not below it; 0 = what the policy says */
    const char *ciphers;                  /* OpenSSL's names, ":" between; NULL = the policy's */
    const char *groups;                   /* "X25519:P-256:P-384:P-521" (NULL) */
    enum shs_tls_client_auth client_auth; /* SHS_TLS_CLIENT_NONE */
    const char *client_ca;                /* PEM: the CAs whose clients are accepted */
    const char *crl;       /* PEM or DER file, or a directory of them, delta CRLs too; NULL = no
                              revocation check. With it, each CA of a chain must have one that is
                              fresh; CRLs of CAs that are not in a client's chain do not matter.
                              Those of a CA that clients bring along count, too */
    unsigned client_depth; /* intermediates in a client's chain, at most. 4 */
    bool client_lax;       /* false. true: accept chains that break rules of RFC 5280 which old
                              private CAs break (X509_V_FLAG_X509_STRICT off) */
    bool client_partial;   /* false: a chain must end in a root that is in client_ca. true: each CA
                              there is trusted as it is, an issuing CA without its root too
                              (X509_V_FLAG_PARTIAL_CHAIN) */
    bool client_no_ca_names; /* false. true: clients are not told the names of the CAs, by which
                              they choose a certificate: for lists that are too long for them */
};

struct shs_tls_failure;
struct shs_client_identity;

/*
 * A last word on a client certificate that verified: NULL accepts it, else it is refused with
 * reason "denied" and this text in the log (static storage). Also called when a session is resumed.
 * Any thread, several at once; must not block.
 */
typedef const char *shs_client_check_fn(void *ctx, const struct shs_client_identity *identity);

struct shs_tls_config {
    size_t size;                      /* set by shs_tls_config_init */
    const struct shs_tls_host *hosts; /* the first is the default, for clients without a name */
    size_t host_count;
    bool strict_sni;           /* false: an unknown name gets the default. true: it is refused */
    bool no_tickets;           /* false. true: no resumption */
    const char *ticket_secret; /* file of 32 bytes or more: servers with the same one resume each
                                  other's sessions. NULL = random, of this server alone */
    unsigned ticket_epoch_s;   /* ticket keys change that often; the last one is still good. 3600 */
    unsigned session_age_s;    /* a full handshake is due after this, resumed or not. 7200 */
    const char *keylog;        /* append the secrets of every session to this file, which lets
                                  anybody with it read the traffic. NULL = no */
    bool watch;                /* false. true: reload when a file changes. What cannot be used is
                                  said in opt.log, which is NULL unless you set it, and counted */
    bool reload_thread;        /* false. true: a thread for shs_tls_request_reload, which also
                                  tries a failed reload again; implied by watch. It begins when
                                  serving begins, in the process that serves */
    bool fingerprint;          /* false. true: make the JA4 of each client */
    unsigned max_handshakes;   /* at once; more are refused. UINT_MAX */
    shs_client_check_fn *client_check; /* NULL: none */
    void *client_check_ctx;
    const char *deny; /* a file of certificates that are not let in (shs_tls_deny). NULL = none */
    unsigned watch_interval_ms; /* with watch: all files are looked at so often, whatever the
                                   kernel tells of changes (inotify). 30000 */
    /* A failed handshake (a probe is none), or an open connection that was ended because its
       client's certificate is no longer accepted; instead of a line to opt.log. NULL: the line. Any
       thread, several at once; must not block. Views: during the call. */
    void (*on_failure)(void *ctx, const struct shs_tls_failure *failure);
    void *on_failure_ctx;
    /* The protocols that are spoken over this TLS, as ALPN names them (RFC 7301), the preferred
       first: "mqtt", NULL. A client that offers others only is refused, one that offers none is
       served. NULL: what the server speaks, "http/1.1" for an HTTPServer; for others, and for an
       empty list, what a client offers is not looked at. Names have 1 to 255 bytes; at most 32. */
    const char *const *alpn;
    int64_t clock_offset_s;            /* as in struct shs_options; 0 = what it is there */
    enum shs_tls_record_layer records; /* SHS_TLS_RECORDS_LIBSSL */
};

SHS_API void shs_tls_host_init_sized(struct shs_tls_host *host, size_t size);
#define shs_tls_host_init(h) shs_tls_host_init_sized((h), sizeof *(h))
SHS_API void shs_tls_config_init_sized(struct shs_tls_config *config, size_t size);
#define shs_tls_config_init(c) shs_tls_config_init_sized((c), sizeof *(c))

/*
 * Pushes TLSMixIn, with the one certificate of the server's options.
 * Returns 0; SHS_TLS with *err (may be NULL) saying what is wrong with which file; SHS_NOMEM; or
 * what shs_server_push returns.
 */
SHS_API int shs_tls_mixin_push(struct shs_server *self, struct shs_error *err) SHS_MUST_CHECK;

/* The same with a configuration; copies it. SHS_USAGE for one that contradicts itself. */
SHS_API int shs_tls_mixin_push_config(struct shs_server *self, const struct shs_tls_config *config,
                                      struct shs_error *err) SHS_MUST_CHECK;

/* -- reload ------------------------------------------------------------------------------------ */

/*
 * Reads all files again: certificates, keys, client CAs, CRLs, the deny list, OCSP responses, the
 * ticket secret. They are checked and tried in a handshake in memory; then new connections get
 * them. Connections in flight keep what they have, tickets stay good.
 *
 * One bad file does not hold up the others: the transaction is a certificate with its key, or the
 * CAs and CRLs of a host. What cannot be used stays as it was before. What a start takes with a
 * warning, a reload takes with a warning; but a certificate that has expired, or is not valid yet,
 * replaces none that is valid. An OCSP response of another certificate is not stapled, nor one that
 * is stale or from the future by the clock of that moment, and hinders nothing.
 *
 * But for clients with a certificate: when their CAs or CRLs are others than before, or when it
 * expires, an open connection's is judged again before its next request is read. One that counts no
 * more gets the answers it has coming and no other: the connection ends, and its next handshake
 * tells the client why. One on the deny list is cut off at once.
 *
 * Returns 0 when every file was taken or says what it said before. SHS_TLS when at least one was
 * kept back: *err (may be NULL) has the first one's reason, and the others were taken all the same
 * (shs_tls_reload_each tells them apart). SHS_NOMEM, and nothing changes. SHS_USAGE in a child of
 * ForkingMixIn. It is counted and logged: in stats.reloads what was taken, whole or in part; in
 * stats.reload_failures what was kept back.
 *
 * With config.reload_thread a reload that kept something back is tried again, after 1 s, 2 s, ...
 * 60 s, and when a certificate becomes valid, until nothing is kept back; what comes of it is
 * counted and logged when it is something new.
 *
 * May take some seconds with a thousand certificates, for it gives way to handshakes: call it off
 * the serving thread. Nothing is forked meanwhile. Safe from any thread.
 */
SHS_API int shs_tls_reload(struct shs_server *self, struct shs_error *err);

/* What became of a file in a reload. */
enum shs_tls_file_state {
    SHS_TLS_FILE_SAME,  /* it says what it said before */
    SHS_TLS_FILE_TAKEN, /* what it says now is served with */
    SHS_TLS_FILE_KEPT   /* it cannot be used: what it said before stays */
};

struct shs_tls_file_result {
    const char *file; /* as in the configuration; "cert_pem" */
    enum shs_tls_file_state state;
    const char *why; /* of KEPT, a sentence; else "" */
};

/*
 * shs_tls_reload, and `each` (may be NULL) is called for every file when it is over, on this
 * thread. Views: during the call.
 */
SHS_API int shs_tls_reload_each(struct shs_server *self,
                                void (*each)(void *ctx, const struct shs_tls_file_result *result),
                                void *ctx, struct shs_error *err);

/* Reads and checks as shs_tls_reload does, with the same answer, and changes nothing. Safe from any
   thread. */
SHS_API int shs_tls_check(struct shs_server *self, struct shs_error *err);

/*
 * A reload in two steps, for who has more to read again than the TLS of one server: first all
 * is read and checked everywhere, then what can be used is taken, or nothing.
 *
 *   dry_run  it is only looked at: shs_tls_draft_commit is SHS_USAGE, and nothing is counted
 *
 * Returns 0 when all can be used. SHS_TLS when something stays as it is: *err (may be NULL) has the
 * first reason, shs_tls_draft_each has all, and a commit takes the rest, as shs_tls_reload does.
 * SHS_NOMEM, and SHS_USAGE (no TLSMixIn, a forked child): *out is NULL.
 *
 * Until shs_tls_draft_free other reloads of this server wait; who makes several drafts makes them
 * one after the other, on one thread. That one also commits and frees them. Any thread.
 */
struct shs_tls_draft;
SHS_API int shs_tls_draft_new(struct shs_tls_draft **out, struct shs_server *self, bool dry_run,
                              struct shs_error *err) SHS_MUST_CHECK;
/* What becomes of every file, or after the commit has become. Views: during the call. */
SHS_API void shs_tls_draft_each(const struct shs_tls_draft *self,
                                void (*each)(void *ctx, const struct shs_tls_file_result *result),
                                void *ctx);
/* New connections get what can be used; counted as shs_tls_reload, but what came of it is the
   caller's to log. Once. Returns 0; SHS_TLS as shs_tls_draft_new; SHS_USAGE or SHS_NOMEM, and then
   nothing has changed. */
SHS_API int shs_tls_draft_commit(struct shs_tls_draft *self, struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_tls_draft_free(struct shs_tls_draft *self); /* NULL is fine */

/*
 * Asks the mixin's thread (config.reload_thread) for a shs_tls_reload, and returns at once. Before
 * serving begins it is taken note of. Does nothing without that thread. Safe from any thread and
 * from a signal handler. `self` must have a TLSMixIn and not be closed.
 */
SHS_API void shs_tls_request_reload(struct shs_server *self);

/*
 * Keeps a client out from now on, whoever signed its certificate; also when it resumes a session.
 * Its open connections are cut off. `entry` is as a line of the file config.deny:
 *
 *   "cert HEX"            the SHA-256 of its certificate (DER)
 *   "spki HEX"            the SHA-256 of its public key: also when the certificate is renewed
 *   "serial HEX ISSUER"   serial number, and issuer as whoami says it (RFC 2253); the case of
 *                         letters and how a character is escaped make no difference
 *
 * It stays until shs_tls_undeny, whatever the file says. A forked child keeps to the list it
 * was forked with, and ends its connection at the next request when there is another.
 * Returns 0; SHS_USAGE with *err (may be NULL) for an entry that is none, or in a forked child;
 * SHS_LIMIT after a million; SHS_NOMEM. Safe from any thread.
 */
SHS_API int shs_tls_deny(struct shs_server *self, const char *entry, struct shs_error *err);

/*
 * Takes that back: from now on the client is let in again. What the file config.deny says, stays.
 * Returns 0, also when nobody had denied it; SHS_USAGE as above. Safe from any thread.
 */
SHS_API int shs_tls_undeny(struct shs_server *self, const char *entry, struct shs_error *err);

/* -- counters ---------------------------------------------------------------------------------- */

/* One list, three products. X(name, label) */
#define SHS_CLIENT_REASON_MAP(X)                                                                   \
    X(OK, "ok")                                                                                    \
    X(NONE, "none")                                                                                \
    X(EXPIRED, "expired")                                                                          \
    X(NOT_YET_VALID, "not-yet-valid")                                                              \
    X(UNKNOWN_CA, "unknown-ca")                                                                    \
    X(SELF_SIGNED, "self-signed")                                                                  \
    X(REVOKED, "revoked")                                                                          \
    X(WRONG_PURPOSE, "wrong-purpose")                                                              \
    X(CHAIN_TOO_DEEP, "chain-too-deep")                                                            \
    X(NO_CRL, "no-crl")                                                                            \
    X(CRL_EXPIRED, "crl-expired")                                                                  \
    X(BAD_SIGNATURE, "bad-signature")                                                              \
    X(WEAK, "weak")                                                                                \
    X(NOT_STRICT, "not-strict")                                                                    \
    X(AMBIGUOUS, "ambiguous-identity")                                                             \
    X(TOO_LARGE, "too-large")                                                                      \
    X(MALFORMED, "malformed")                                                                      \
    X(DENIED, "denied")                                                                            \
    X(UNDECIDED, "undecided") /* it could not be judged: our fault, memory; cause "internal" */    \
    X(UNSUPPORTED_KEY, "unsupported-key")                                                          \
    X(OTHER, "other")

/* Why a client certificate is not accepted. */
enum shs_client_reason {
#define SHS_CLIENT_REASON_ENUM(name, label) SHS_CLIENT_##name,
    SHS_CLIENT_REASON_MAP(SHS_CLIENT_REASON_ENUM)
#undef SHS_CLIENT_REASON_ENUM
        SHS_CLIENT_REASON_COUNT
};

#define SHS_TLS_CAUSE_MAP(X)                                                                       \
    X(NONE, "none")                                                                                \
    X(PROBE, "probe")           /* closed without a byte; no failure */                            \
    X(TIMEOUT, "timeout")       /* not complete within opt.handshake_ms */                         \
    X(PLAIN_HTTP, "plain-http") /* no TLS, but HTTP */                                             \
    X(VERSION, "version")       /* too old, or not TLS at all */                                   \
    X(NO_SHARED_CIPHER, "no-shared-cipher")                                                        \
    X(NO_SHARED_GROUP, "no-shared-group")                                                          \
    X(NO_SHARED_SIGNATURE, "no-shared-signature") /* none that our keys can make */                \
    X(NO_SHARED_PROTOCOL, "no-shared-protocol")   /* ALPN without http/1.1 */                      \
    X(NO_CERTIFICATE_FOR_NAME, "no-certificate-for-name")                                          \
    X(CLIENT_ALERT, "client-alert") /* the client refused us: ":" and the alert */                 \
    X(CLIENT_CERT, "client-cert")   /* we refused the client: ":" and the reason */                \
    X(RESET, "reset")               /* the connection ended in the middle */                       \
    X(PROTOCOL, "protocol")         /* what came breaks the rules of TLS */                        \
    X(OVERLOAD, "overload")         /* config.max_handshakes, or it came too late */               \
    X(GONE, "gone")         /* more came than can be served, and it had hung up before its turn */ \
    X(INTERNAL, "internal") /* it is our fault: memory, OpenSSL */

enum shs_tls_cause {
#define SHS_TLS_CAUSE_ENUM(name, label) SHS_TLS_CAUSE_##name,
    SHS_TLS_CAUSE_MAP(SHS_TLS_CAUSE_ENUM)
#undef SHS_TLS_CAUSE_ENUM
        SHS_TLS_CAUSE_COUNT
};

/* "client-cert", "expired"; static storage, never NULL. Any thread. */
SHS_API const char *shs_tls_cause_label(enum shs_tls_cause cause);
SHS_API const char *shs_client_reason_label(enum shs_client_reason reason);

#define SHS_TLS_STAYS_MAP(X)                                                                       \
    X(NO, "")                 /* it does not: its records are direct */                            \
    X(NOT_ASKED, "not-asked") /* config.records */                                                 \
    X(NOT_YET, "not-yet")     /* it has served no request, or is in the middle of something */     \
    X(VERSION, "tls1.2")                                                                           \
    X(SUITE, "suite")                   /* one that is not spoken here */                          \
    X(FIPS, "fips")                     /* OpenSSL runs in FIPS mode */                            \
    X(FRAGMENTS, "max-fragment-length") /* the client has asked for small records */               \
    X(PADDING, "record-padding")        /* openssl.cnf has records padded: RecordPadding */        \
    X(KEY_UPDATE, "key-update")         /* a key was changed before its time came */               \
    X(SECRETS, "no-secrets")            /* OpenSSL did not give them */                            \
    X(MEMORY, "memory")

/* Why the records of a connection stay with libssl. */
enum shs_tls_stays {
#define SHS_TLS_STAYS_ENUM(name, label) SHS_TLS_STAYS_##name,
    SHS_TLS_STAYS_MAP(SHS_TLS_STAYS_ENUM)
#undef SHS_TLS_STAYS_ENUM
        SHS_TLS_STAYS_COUNT
};

/* "tls1.2"; static storage, never NULL. Any thread. */
SHS_API const char *shs_tls_stays_label(enum shs_tls_stays why);

/* A handshake that failed. */
struct shs_tls_failure {
    enum shs_tls_cause cause;
    enum shs_client_reason client_reason; /* for CLIENT_CERT; else SHS_CLIENT_OK */
    int alert;         /* for CLIENT_ALERT: the number the client sent; else -1 */
    const char *label; /* the whole: "client-cert:expired", "timeout" */
    const char *text;  /* a sentence for a person */
    const char *sni;   /* the name asked for, as far as it is one; "" when there is none */
    const char *ja4;   /* with config.fingerprint, when a ClientHello came; else "" */
    struct shs_conn *conn;
    bool open; /* no handshake: an open connection whose client is no longer accepted */
    /* of the certificate that the client showed, when it was refused for it; else "" */
    const char *cert_subject; /* for people */
    const char *cert_sha256;
};

struct shs_tls_stats {
    uint64_t handshakes;      /* complete, of clients that are let in */
    uint64_t resumed;         /* of them, from a ticket */
    uint64_t reloads;         /* done, whole or in part */
    uint64_t reload_failures; /* in which something was kept back */
    uint64_t in_progress;     /* handshakes now */
    int64_t first_expiry;     /* Unix time when the first certificate served expires */
    /* Failures, one each; but [SHS_TLS_CAUSE_PROBE] counts probes, which are none. */
    uint64_t causes[SHS_TLS_CAUSE_COUNT];
    uint64_t client_reasons[SHS_CLIENT_REASON_COUNT]; /* of causes[CLIENT_CERT] */
    uint64_t client_alerts[256];                      /* of causes[CLIENT_ALERT] */
    uint64_t clients_ended[SHS_CLIENT_REASON_COUNT];  /* open connections, no failures */
    /* with config.records direct, connections: [SHS_TLS_STAYS_NO] whose records are direct, the
       others that cannot be; not those that end before it is known */
    uint64_t records[SHS_TLS_STAYS_COUNT];
};

/* Copies the counters: true, or false without TLSMixIn. Safe from any thread. */
SHS_API bool shs_tls_get_stats(struct shs_server *self, struct shs_tls_stats *out);

/* A certificate that is being served. Views: during the call. */
struct shs_tls_cert_info {
    const char *source;  /* the file, or "cert_pem" */
    const char *subject; /* for people */
    const char *serial;  /* hexadecimal */
    const char *sha256;  /* of the certificate, hexadecimal */
    const char *names;   /* that it answers for, a space between */
    int64_t not_before, not_after;
};

/* Calls `each` for every certificate that is being served now. SHS_USAGE without TLSMixIn. */
SHS_API int shs_tls_each_certificate(struct shs_server *self,
                                     void (*each)(void *ctx, const struct shs_tls_cert_info *cert),
                                     void *ctx);

/* What it is that has an end. */
enum shs_tls_end_kind {
    SHS_TLS_END_CERT,      /* a certificate that is served */
    SHS_TLS_END_CHAIN,     /* one behind it */
    SHS_TLS_END_OCSP,      /* its OCSP response */
    SHS_TLS_END_CLIENT_CA, /* a CA of clients */
    SHS_TLS_END_CRL
};

/* Something of the configuration that has an end. Views: during the call. */
struct shs_tls_end {
    int64_t since, when; /* Unix time: not good before, not good from then on; it may be over */
    const char *source;  /* the file, or "cert_pem" */
    const char *subject; /* whose, for people; "" */
    const char *text;    /* what breaks then, as part of a sentence; static storage */
    enum shs_tls_end_kind kind;
};

/*
 * Calls `each` for every certificate that is served, its chain, its OCSP response, every client CA
 * and every CRL, in no order. SHS_USAGE without TLSMixIn.
 */
SHS_API int shs_tls_each_end(struct shs_server *self,
                             void (*each)(void *ctx, const struct shs_tls_end *end), void *ctx);

/* -- one connection ---------------------------------------------------------------------------- */

/* What the handshake of a connection agreed on. Pointers live as long as the connection. */
struct shs_tls_info {
    const char *version;      /* "TLSv1.3" */
    const char *cipher;       /* "TLS_AES_256_GCM_SHA384" */
    const char *sni;          /* the name the client asked for; "" when it gave none */
    const char *alpn;         /* of config.alpn, "http/1.1"; "" when none was agreed */
    bool resumed;             /* from a ticket */
    const char *group;        /* "x25519"; "" when none was used */
    const char *signature;    /* of ours, "ecdsa_secp256r1_sha256"; "" when resumed */
    const char *ja4;          /* with config.fingerprint; else "" */
    enum shs_tls_stays stays; /* with libssl, and why; SHS_TLS_STAYS_NO: its records are direct */
};

/*
 * Fills *out: true; false for a connection without TLS or before its handshake is complete.
 * Owner thread only.
 */
SHS_API bool shs_conn_tls_info(struct shs_conn *conn, struct shs_tls_info *out);

enum shs_san_kind { SHS_SAN_DNS, SHS_SAN_EMAIL, SHS_SAN_URI, SHS_SAN_IP };

/* "dns", "email", "uri", "ip"; "" for none of them. Static storage. */
SHS_API const char *shs_san_kind_label(enum shs_san_kind kind);

struct shs_san {
    enum shs_san_kind kind;
    struct shs_str value; /* exact bytes; an IP address as text */
};

/*
 * Who a client is, by its certificate. Attributes are exact bytes, read by their number; what is
 * ambiguous (two common names, a NUL, two SPIFFE IDs, one in a CA certificate) never verifies.
 * Compare common_name, sans or spki_sha256; subject and issuer are for people.
 */
struct shs_client_identity {
    bool verified;                 /* by client_ca, crl and all; else trust nothing of it */
    enum shs_client_reason reason; /* SHS_CLIENT_OK when verified */
    int verify_code;               /* X509_V_OK (0) or OpenSSL's X509_V_ERR_* */
    struct shs_str subject;        /* RFC 2253 */
    struct shs_str issuer;
    struct shs_str serial;       /* hexadecimal */
    struct shs_str common_name;  /* ptr NULL when there is none */
    struct shs_str organization; /* the first O; ptr NULL when there is none */
    struct shs_str spiffe_id;    /* ptr NULL when there is none */
    const struct shs_san *sans;
    size_t san_count;
    char cert_sha256[65];                /* of the certificate (DER), hexadecimal */
    char spki_sha256[65];                /* of its SubjectPublicKeyInfo */
    int64_t not_before, not_after;       /* Unix time */
    const struct shs_str *organizations; /* every O of the subject, in its order */
    size_t organization_count;
    const struct shs_str *units; /* every OU */
    size_t unit_count;
    bool is_ca; /* it says that it may sign others: an authority, and nobody's */
    /* The SPKI digests of the CAs that vouch for it, as spki_sha256: of the chain by which it was
       verified, the issuer first and the root last. Also when the session was resumed. At most
       SHS_CLIENT_CAS_MAX: a longer chain is refused. */
    const char (*ca_spki_sha256)[65];
    size_t ca_count;
};
#define SHS_CLIENT_CAS_MAX 16

/*
 * The client's identity; NULL when it gave no certificate. Lives as long as the connection. Owner
 * thread only.
 */
SHS_API const struct shs_client_identity *shs_conn_client_identity(struct shs_conn *conn);

/*
 * The verified identity as the value of an X-Forwarded-Client-Cert field (Envoy's form), for those
 * who pass a request on: Hash=...;Subject="...";URI=...;DNS=...
 * Returns 0; SHS_USAGE when there is none (do not send the field, and delete one that came);
 * SHS_LIMIT when it does not fit `cap`.
 */
SHS_API int shs_conn_forwarded_client_cert(struct shs_conn *conn, char *buf, size_t cap);

#ifdef __cplusplus
}
#endif

#endif
