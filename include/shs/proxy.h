/*
 * shs/proxy.h - ProxyProtocolMixIn: who the client is, behind a balancer that passes bytes on.
 *
 * Concept
 *
 *   A balancer that only passes bytes on (haproxy in TCP mode, AWS NLB, stunnel) hides its clients:
 *   every connection comes from the balancer. With the PROXY protocol it says first, before TLS or
 *   HTTP, for whom it connects: a line of text (version 1) or some bytes (version 2).
 *   ProxyProtocolMixIn reads that header, takes not a byte of what follows, and from then on the
 *   connection's client is the one in the header:
 *
 *       static const char *const balancers[] = {"10.0.0.0/24", NULL};
 *
 *       shs_proxy_options_init(&opt);
 *       opt.trusted = balancers;
 *       shs_proxy_protocol_mixin_push(server, &opt, &err);     after TLSMixIn
 *
 *   shs_conn_client_host and _port, and with them the access log, rules, rate limits and lists of
 *   connections, speak of the true client; shs_conn_proxy has the balancer, and what else it said.
 *
 * Who may say so
 *
 *   Whoever may send a header can pretend to be anybody. So it is taken from peers in `trusted`
 *   only, and there it must be: nothing is guessed (proxy-protocol.txt, 2). Others are closed
 *   before a byte is read, or with `direct_clients` are served as who they are; a header from them
 *   is refused. Behind the header there may be no second one.
 *
 *   A connection that is refused is closed, counted by its cause, and logged with what to do. One
 *   that is opened and closed without a byte is a balancer's probe: counted, not logged.
 *
 *   On a server whose handler speaks first (not HTTP, not TLS), a second header, or one of a direct
 *   client, is noticed only if it is there at once and whole: such a server waits for nobody.
 *
 * Bounds
 *
 *   The header has handshake_ms (options.h) from the moment of accept. Version 1 has 107 bytes at
 *   most, version 2 max_header_bytes. Nobody is held up meanwhile: under ThreadPoolMixIn a peer
 *   that sends a byte now and then holds no thread.
 *
 *   max_connections_per_address counts the true client, once it is known, and not the balancer. The
 *   balancer's own connections (LOCAL, UNKNOWN: probes) are not counted.
 *
 * What is read of version 2
 *
 *   LOCAL and UNSPEC (the client stays the peer, all else is skipped), TCP and UDP over IPv4 and
 *   IPv6, UNIX. ALPN, AUTHORITY, UNIQUE_ID, NETNS, SSL with its parts; CRC32C is verified; NOOP and
 *   unknown ones are skipped, and can be looked at with shs_proxy_tlv.
 *
 * Threads: compose, then serve. What a connection's functions return belongs to it; owner thread.
 *
 * Follows: haproxy's proxy-protocol.txt, versions 1 and 2 (2020/03/05, with the later types).
 */
#ifndef SHS_PROXY_H
#define SHS_PROXY_H

#include <shs/server.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_proxy_options {
    size_t size;                /* set by shs_proxy_options_init */
    const char *const *trusted; /* networks, ended by NULL: "10.0.0.0/8", "fd00::/8", "192.0.2.7".
                                   Copied. NULL: none */
    bool trust_unix;            /* peers at a Unix socket are trusted: its file's mode says who may
                                   connect. false */
    bool direct_clients;        /* who is not trusted is served without a header. false: closed */
    size_t max_header_bytes;    /* of version 2, with its 16 first ones; 232 to 65551. 4096 */
};

/* Fills *opt with the defaults above. Any thread. */
SHS_API void shs_proxy_options_init_sized(struct shs_proxy_options *opt, size_t size);
#define shs_proxy_options_init(opt) shs_proxy_options_init_sized((opt), sizeof *(opt))

/*
 * ProxyProtocolMixIn, on top of a server of streams. TLSMixIn is to be there already, for its
 * handshake comes after the header; a threading mixin may come before or after.
 *
 * Returns 0, or < 0 with *err (may be NULL): SHS_USAGE (datagrams; it is there already; nobody is
 * trusted; a network that is none; a value out of its range), SHS_LIMIT (more than 1024 networks),
 * SHS_NOMEM, or what shs_server_push returns. Composing thread only.
 */
SHS_API int shs_proxy_protocol_mixin_push(struct shs_server *self,
                                          const struct shs_proxy_options *opt,
                                          struct shs_error *err) SHS_MUST_CHECK;

/* Why a connection was closed. */
enum shs_proxy_cause {
    SHS_PROXY_PEER,      /* "peer": it is not trusted, and direct clients are not served */
    SHS_PROXY_FORGED,    /* "forged": a header from a peer that is not trusted */
    SHS_PROXY_MISSING,   /* "missing": something else came from a trusted peer */
    SHS_PROXY_MALFORMED, /* "malformed" */
    SHS_PROXY_TOO_LONG,  /* "too-long" */
    SHS_PROXY_CHECKSUM,  /* "checksum": not the CRC32C that it names */
    SHS_PROXY_SECOND,    /* "second": one header behind the other */
    SHS_PROXY_TORN,      /* "torn": it ended in the middle */
    SHS_PROXY_TIMEOUT,   /* "timeout": it was not complete in time */
    SHS_PROXY_CAUSE_COUNT
};

/* The word in the list above; "" for a number that is none. Static storage. Any thread. */
SHS_API const char *shs_proxy_cause_label(enum shs_proxy_cause cause);

/* Counters since construction, of forked children too. Each is exact; together they are not one
   instant. */
struct shs_proxy_stats {
    uint64_t headers; /* taken */
    uint64_t local;   /* of them, those of connections of the balancer itself */
    uint64_t direct;  /* clients served without */
    uint64_t probes;  /* trusted peers that closed without a byte */
    uint64_t causes[SHS_PROXY_CAUSE_COUNT];
};

/* False: the server has no ProxyProtocolMixIn, and *out is all zeros. Any thread. */
SHS_API bool shs_proxy_get_stats(const struct shs_server *self, struct shs_proxy_stats *out);

/* What the header of a connection said. Views: valid as long as the connection. A text that was not
   there has ptr NULL. They are the balancer's words, and some of them its client's: not escaped. */
struct shs_proxy_info {
    unsigned version;    /* 1 or 2 */
    bool local;          /* LOCAL, UNSPEC or UNKNOWN: the client is the balancer */
    const char *host;    /* the balancer: the peer of the connection; "" for a nameless one */
    unsigned port;       /* 0 for a Unix socket */
    const char *to_host; /* where the client had connected to; "" when local */
    unsigned to_port;
    struct shs_str alpn, authority, unique_id, netns;
    /* of the SSL type: how the client had connected to the balancer */
    bool tls;           /* with TLS */
    bool has_cert;      /* with a certificate, on this connection or in its session */
    bool cert_verified; /* and the balancer had verified it */
    struct shs_str tls_version, common_name, cipher, signature, key;
    struct shs_str client_cert; /* DER */
    struct shs_str tlvs;        /* all types, as they came: shs_proxy_tlv */
};

/* NULL: a connection without a header. Owner thread only. */
SHS_API const struct shs_proxy_info *shs_conn_proxy(const struct shs_conn *conn);

/* The first value of that type (0 to 255); ptr NULL: there is none. */
SHS_API struct shs_str shs_proxy_tlv(const struct shs_proxy_info *info, unsigned type);

#ifdef __cplusplus
}
#endif

#endif
