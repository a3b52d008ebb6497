/*
 * shs/forwarded.h - what a proxy that speaks HTTP says of its client: Forwarded, X-Forwarded-*.
 *
 * Concept
 *
 *   A proxy in front (nginx, Envoy, a cloud's load balancer) asks with its own address, and writes
 *   into fields for whom. Anybody can write such fields. So an HTTP server deletes them from every
 *   request before a handler sees it - Forwarded, X-Real-IP, and all that begin with X-Forwarded- -
 *   unless it was told which proxies to believe, and which fields these write:
 *
 *       static const char *const proxies[] = {"10.0.0.0/24", NULL};
 *
 *       shs_trusted_proxies_init(&opt);
 *       opt.networks = proxies;
 *       opt.fields = SHS_FORWARDED_FOR | SHS_FORWARDED_PROTO;
 *       shs_server_trust_proxies(server, &opt, &err);
 *
 *   Then shs_request_client_host, _client_port, _scheme and _public_host are the true client's; the
 *   access log, rate limits and bounds for guesses of passwords go by them. For every other request
 *   they are those of the connection (behind a balancer of the PROXY protocol, see proxy.h, too).
 *
 * Which address counts
 *
 *   Each proxy adds the address it was asked from at the end; what stands in front may be the
 *   client's own invention. So the list is read from the right: the peer must be trusted; as long
 *   as an entry is a trusted proxy's, the one before it is looked at; the first that is none is the
 *   client. Where an entry is not an address, the one behind it stays the client; "unknown" and the
 *   obfuscated names of RFC 7239 ("_gazonk") are taken as they are, from a trusted proxy. At most
 *   32 entries are looked at; a trusted proxy that is the 32nd is the client.
 *
 * Which fields count
 *
 *   Only say what your proxies really set. A proxy that sets X-Forwarded-For and passes on whatever
 *   Forwarded its client sent is usual, and so is one that does so with X-Forwarded-Host. Fields
 *   that are not in `fields` are deleted, from trusted proxies too. Those that are stay to be seen;
 *   believe the functions rather than them.
 *
 *   A Forwarded or X-Forwarded-Client-Cert field of a trusted proxy that cannot be read (an open
 *   quote) is answered 400: a client that has put a quote in front of what the proxy adds must not
 *   hide it.
 *
 * Threads: compose, then serve. The functions of a request: its owner thread.
 *
 * Follows: RFC 7239; Envoy's X-Forwarded-Client-Cert.
 */
#ifndef SHS_FORWARDED_H
#define SHS_FORWARDED_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fields that the proxies set, for shs_trusted_proxies.fields. */
#define SHS_FORWARDED_FOR 1u      /* X-Forwarded-For: adds to it */
#define SHS_FORWARDED_PROTO 2u    /* X-Forwarded-Proto: sets it, or adds to it */
#define SHS_FORWARDED_HOST 4u     /* X-Forwarded-Host: likewise */
#define SHS_FORWARDED_CERT 8u     /* X-Forwarded-Client-Cert: sets it, or adds to it */
#define SHS_FORWARDED_RFC7239 16u /* Forwarded: adds to it. Not with the first three */
#define SHS_FORWARDED_REAL_IP 32u /* X-Real-IP: sets it. Not with FOR and RFC7239 */

struct shs_trusted_proxies {
    size_t size;                 /* set by shs_trusted_proxies_init */
    const char *const *networks; /* of the proxies, ended by NULL: "10.0.0.0/8", "192.0.2.7".
                                    Copied. NULL: none */
    bool unix_peers;             /* peers at a Unix socket are proxies. false */
    /* Certificates of proxies, ended by NULL: "uri=spiffe://corp/lb", "dns=lb.corp", "cn=lb"; exact
       bytes, of one that TLSMixIn has verified. Whoever comes with one is trusted, from anywhere.
       Copied. NULL: none */
    const char *const *identities;
    unsigned fields; /* SHS_FORWARDED_...; FOR and PROTO */
};

/* Fills *opt with the defaults above. Any thread. */
SHS_API void shs_trusted_proxies_init_sized(struct shs_trusted_proxies *opt, size_t size);
#define shs_trusted_proxies_init(opt) shs_trusted_proxies_init_sized((opt), sizeof *(opt))

/*
 * Says which proxies a server of HTTP believes, once, before it serves.
 *
 * Returns 0, or < 0 with *err (may be NULL): SHS_USAGE (no HTTP server; it was said already; nobody
 * is trusted; a network or identity that is none; no fields, or two that say the same), SHS_LIMIT,
 * SHS_NOMEM. Composing thread only.
 */
SHS_API int shs_server_trust_proxies(struct shs_server *self, const struct shs_trusted_proxies *opt,
                                     struct shs_error *err) SHS_MUST_CHECK;

/* True when a trusted proxy has said something of this request. */
SHS_API bool shs_request_is_forwarded(const struct shs_request *req);

/* The client: its address as text, or what a proxy calls it; else as shs_conn_client_host. "" when
   there is no connection. Valid as long as the request. */
SHS_API const char *shs_request_client_host(const struct shs_request *req);
/* Its port; 0 where that was not said. */
SHS_API unsigned shs_request_client_port(const struct shs_request *req);

/* "https" or "http": what the client speaks, to the first of the proxies if there are any. */
SHS_API struct shs_str shs_request_scheme(const struct shs_request *req);
/* The host that the client has asked for; else as shs_request_host. May be empty. */
SHS_API struct shs_str shs_request_public_host(const struct shs_request *req);

/* A certificate that a proxy has seen: the last element of X-Forwarded-Client-Cert. What was not
   there has ptr NULL; of several URIs or names the first, and how many there were. */
struct shs_forwarded_cert {
    struct shs_str by;      /* the proxy's own URI */
    struct shs_str hash;    /* SHA-256 of the certificate, hexadecimal */
    struct shs_str subject; /* one line; for people */
    struct shs_str uri, dns;
    unsigned uri_count, dns_count;
};

/* False: no trusted proxy has said so. Views; valid as long as the request. */
SHS_API bool shs_request_forwarded_cert(const struct shs_request *req,
                                        struct shs_forwarded_cert *out);

#ifdef __cplusplus
}
#endif

#endif
