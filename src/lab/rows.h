/*
 * rows.h - the conditions as a table: what each is, and how it is made.
 *
 * A row is data: the words of include/shs/lab.h, and a recipe. Only what options of a certificate
 * or a context cannot say is a function.
 */
#ifndef SHS_LAB_ROWS_H
#define SHS_LAB_ROWS_H

#include <shs/certs.h>
#include <shs/lab.h>

#include "base/base.h"

/* Who signs: authorities.c. */
enum shs__lab_ca {
    LAB_CA_ICA, /* an intermediate under the root, for all that say nothing */
    LAB_CA_ROOT,
    LAB_CA_ICA_B,
    LAB_CA_BELOW, /* under the intermediate of LAB_CA_UPPER */
    LAB_CA_UPPER,
    LAB_CA_ODD,      /* a root for names that no constraint permits; its key is thrown away */
    LAB_CA_STRANGER, /* a root that nobody trusts */
    LAB_CA_EXPIRED_ICA,
    LAB_CA_EXPIRED_ROOT, /* trusted, and expired */
    LAB_CA_RSA,
    LAB_CA_SHA1,
    LAB_CA_CA_FALSE,
    LAB_CA_NO_BC,
    LAB_CA_NO_CERTSIGN,
    LAB_CA_PATHLEN,
    LAB_CA_BELOW_PATHLEN,
    LAB_CA_NC_OK,
    LAB_CA_NC_PERMITTED,
    LAB_CA_NC_EXCLUDED,
    LAB_CA_NC_IP,
    LAB_CA_NC_WILDCARD,
    LAB_CA_CRITICAL,
    LAB_CA_EMAIL,
    LAB_CA_REVOKED, /* itself, by the root */
    LAB_CA_CRL_EXPIRED,
    LAB_CA_CRL_NONE,
    LAB_CA_CRL_WRONG_ISSUER,
    LAB_CA_CRL_BAD_SIGNATURE,
    LAB_CA_CRL_CRITICAL,
    LAB_CA_LONG_8,
    LAB_CA_LONG_101,
    LAB_CA_CLIENTS, /* a root of its own, for client certificates */
    LAB_CA_COUNT
};

/* What happens on the wire: wire.c. */
enum shs__lab_wire {
    LAB_WIRE_PLAIN, /* nothing */
    LAB_WIRE_CANNED,
    LAB_WIRE_ALERT, /* .arg: its number */
    LAB_WIRE_STALL_HELLO,
    LAB_WIRE_STALL_FLIGHT,
    LAB_WIRE_SLOW,
    LAB_WIRE_CLOSE_HELLO,
    LAB_WIRE_RST_HELLO,
    LAB_WIRE_CUT,
    LAB_WIRE_FLIP_FLIGHT,
    LAB_WIRE_FLOOD,
    LAB_WIRE_SNI_WARNING,
    LAB_WIRE_FLIP_ANSWER,
    LAB_WIRE_RST_ANSWER,
    LAB_WIRE_INTOLERANT /* an alert to all who offer TLS 1.3 */
};

/* Bytes that are sent whatever the client said: canned.c. */
enum shs__lab_canned {
    LAB_CANNED_SSL3,
    LAB_CANNED_RC4,
    LAB_CANNED_EXPORT,
    LAB_CANNED_DEFLATE,
    LAB_CANNED_HTTP,
    LAB_CANNED_SSH,
    LAB_CANNED_OVERSIZED
};

/* What is changed in the ClientHello before OpenSSL reads it: hello.c. */
enum shs__lab_edit { LAB_EDIT_NONE, LAB_EDIT_DOWNGRADE, LAB_EDIT_LEGACY };

/* What is answered to the request: app.c. */
enum shs__lab_app {
    LAB_APP_PAGE,
    LAB_APP_SHORT_LENGTH,
    LAB_APP_SHORT_CHUNKED,
    LAB_APP_SHORT_EOF,
    LAB_APP_NO_CLOSE_NOTIFY,
    LAB_APP_EOF,
    LAB_APP_EMPTY,
    LAB_APP_STALL,
    LAB_APP_STALL_BODY,
    LAB_APP_TINY,
    LAB_APP_FRAGMENTS,
    LAB_APP_PADDED,
    LAB_APP_KEY_UPDATE,
    LAB_APP_RENEGOTIATE,
    LAB_APP_HSTS, /* .arg: which */
    LAB_APP_REDIRECT,
    LAB_APP_POST_HANDSHAKE,
    LAB_APP_AFTER_CLOSE, /* data behind close_notify */
    LAB_APP_HALF_CLOSE   /* close_notify, and the answer is read on */
};

enum { LAB_HSTS_GOOD, LAB_HSTS_ZERO, LAB_HSTS_BAD };
enum shs__lab_alpn { LAB_ALPN_H1, LAB_ALPN_NONE, LAB_ALPN_H2, LAB_ALPN_UNOFFERED };
enum shs__lab_tickets {
    LAB_TICKETS_USUAL,
    LAB_TICKETS_NONE,
    LAB_TICKETS_MANY,
    LAB_TICKETS_ROTATED,
    LAB_TICKETS_BRIEF,
    LAB_TICKETS_IDS /* session ids instead */
};
enum shs__lab_clients {
    LAB_CLIENTS_NONE,
    LAB_CLIENTS_REQUIRED,
    LAB_CLIENTS_OPTIONAL,
    LAB_CLIENTS_ANY,
    LAB_CLIENTS_FOREIGN,
    LAB_CLIENTS_LATER
};
enum shs__lab_staple {
    LAB_STAPLE_NONE,
    LAB_STAPLE_GOOD,
    LAB_STAPLE_REVOKED,
    LAB_STAPLE_EXPIRED,
    LAB_STAPLE_UNKNOWN,
    LAB_STAPLE_TRY_LATER,
    LAB_STAPLE_GARBAGE,
    LAB_STAPLE_WRONG_CERT,
    LAB_STAPLE_WRONG_SIGNER,
    LAB_STAPLE_FUTURE,
    LAB_STAPLE_DELEGATED,
    LAB_STAPLE_DELEGATED_NO_EKU
};
enum shs__lab_dh {
    LAB_DH_NONE,
    LAB_DH_2048,
    LAB_DH_1024,
    LAB_DH_512,
    LAB_DH_COMPOSITE,
    LAB_DH_SUBGROUP
};

struct shs__lab_unit;

/*
 * A recipe. In names, the common name and extensions of `o`: "@" is the condition's host, "$" the
 * lab's domain, "^" its last label, "%" the URL of the lab's plain HTTP side, "&" the beginning
 * of an address of its own ("127.0.1.").
 */
struct shs__lab_make {
    struct shs_cert_options o;
    /* Makes the certificate instead of `o`, or changes what came of it. */
    int (*build)(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err);
    enum shs__lab_ca ca;
    enum shs__lab_wire wire;
    enum shs__lab_canned canned;
    enum shs__lab_edit edit;
    enum shs__lab_app app;
    enum shs__lab_alpn alpn;
    enum shs__lab_tickets tickets;
    enum shs__lab_clients clients;
    enum shs__lab_staple staple;
    enum shs__lab_dh dh;
    int min, max; /* 10 to 13; 0 = 12 and 13 */
    int arg;
    const char *ciphers, *suites, *groups; /* OpenSSL's words; NULL = the usual ones */
    const char *never;                     /* why it cannot be served anywhere */
    bool revoked;                          /* on its authority's CRL */
    bool retry; /* by a group that the client offers and sends no key for */
    bool psk, no_ems, no_etm, early_data;
};

/* A condition; the members are those of struct shs_condition. NULL = "". */
struct shs__lab_row {
    const char *id, *group, *served;
    const char *host; /* NULL = "ID.$" */
    enum shs_lab_expect expect;
    enum shs_lab_tier tier;
    const char *layer, *reason, *word, *go, *node, *chromium;
    int curl_exit;
    const char *differs, *accepts, *requires, *probe_first;
    bool verdict_from_server, hangs;
    const char *note, *refs, *refused_in;
    struct shs__lab_make make;
};

extern const struct shs__lab_row shs__lab_rows_names[], shs__lab_rows_chains[],
    shs__lab_rows_keys[], shs__lab_rows_handshakes[], shs__lab_rows_talks[];
extern const size_t shs__lab_rows_names_count, shs__lab_rows_chains_count, shs__lab_rows_keys_count,
    shs__lab_rows_handshakes_count, shs__lab_rows_talks_count;

/* The recipes that are functions: build.c. */
int shs__lab_build_san_nul(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err);
int shs__lab_build_many_names(struct shs_lab *lab, struct shs__lab_unit *unit,
                              struct shs_error *err);
int shs__lab_build_wrong_intermediate(struct shs_lab *lab, struct shs__lab_unit *unit,
                                      struct shs_error *err);
int shs__lab_build_reversed(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err);
int shs__lab_build_unordered(struct shs_lab *lab, struct shs__lab_unit *unit,
                             struct shs_error *err);
int shs__lab_build_thrice(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err);
int shs__lab_build_extra(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err);
int shs__lab_build_cross(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err);
int shs__lab_build_loop(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err);
int shs__lab_build_nc_dos(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err);
int shs__lab_build_policy_dos(struct shs_lab *lab, struct shs__lab_unit *unit,
                              struct shs_error *err);

#endif
