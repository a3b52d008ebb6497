/*
 * shs/access.h - who may do what: one file of rules for certificates, Unix sockets and users.
 *
 * Concept
 *
 *       shs_access_new(&rules, "app.rules", &err);
 *       const struct shs_middleware *const in_front[] = {shs_access_middleware(rules), NULL};
 *       shs_chain_new(&chain, in_front, handler, &err);       and serve shs_chain_handler(chain)
 *
 *   With this in app.rules, who may do what:
 *
 *       ca corp file "corp-ca.pem"
 *
 *       role viewer    GET /admin/v1/{path...}
 *       role operator  viewer + POST /admin/v1/{drain,undrain} + DELETE /admin/v1/connections/{id}
 *       role admin     operator + * /admin/v1/{path...}
 *
 *       deny serial 0x1F3A ca corp
 *       map cn "alice" ca corp                      admin
 *       map dns "*.ops.test" ca corp                operator
 *       map gid ops                                 operator
 *       map uid 0                                   admin
 *
 *   A struct shs_identity is what is known of a client: the attributes of its certificate and the
 *   CAs that vouch for them, the uid and gids of its process on a Unix socket, the name that Basic
 *   or Bearer authentication verified. Rules make a role of it, and a role may use some methods on
 *   some paths. What no rule lets in is kept out.
 *
 *   Of the lines with map and deny the first that fits decides; then the role must have the method
 *   and the path. shs_access_middleware asks for every request, before its handler, and answers 403
 *   to whom it keeps out. The file is read again by shs_access_reload, as one transaction.
 *
 * The lines
 *
 *   A line is words, a blank between; a word with blanks stands in "...", with \" and \\ in it; "#"
 *   begins a comment. A line that ends with "\" goes on in the next one.
 *
 *   ca NAME file FILE ...      certificates (PEM), relative to the rules' own file
 *   ca NAME spki SHA256 ...    or the digests of their keys
 *   role NAME TERM + TERM ...  a TERM is a role above it, all that it may; or METHODS PATTERN,
 *                              METHODS being "GET", "GET,POST" or "*". HEAD goes with GET
 *   map CONDITION ... [ca NAME] ROLE
 *   deny CONDITION ... [ca NAME]
 *
 *   Conditions; of several in one line all must hold:
 *
 *   cn, o, ou VALUE    of the subject; of several O or OU, one of them
 *   dns, email, ip     a name of the certificate. dns "*.ops.test": one label in place of the "*";
 *                      email "*@ops.test"
 *   uri                the same; "*" is one segment, "**" at the end the rest
 *   spki, cert SHA256  of the public key, of the certificate: hexadecimal or base64, "sha256:"
 *                      before it or not
 *   serial HEX         with the CA that issued it: the number means nothing without
 *   uid, gid NUMBER or NAME  of the process at the other end of a Unix socket; gid also one of its
 *                      supplementary groups. A NAME is looked up when the file is read
 *   user NAME          shs_request_user: from Basic or Bearer
 *   via ADDRESS        a proxy that says who its client is; "unix": one at a Unix socket
 *   via-uri, via-dns, via-cert  what X-Forwarded-Client-Cert says: a URI, a name, the SHA-256
 *   via-cn             the CN in a PROXY protocol header
 *   any                every certificate of the CA. That is said outright, or refused
 *   anyone             every client, also one of whom nothing is known
 *
 *   What a certificate says is only as good as who signed it. So a map by one of its attributes
 *   names the CA that may assert it ("ca any": any CA that the listener accepts); a key, spki or
 *   cert, needs none. A CA is known by its key, wherever it is in the verified chain; for `map
 *   serial` it must be the issuer itself. deny without ca holds for all of them.
 *
 *   What a proxy says is only as good as the proxy. So a map by one of the via-... names the proxy
 *   that may assert it, with `via` or by the proxy's own certificate:
 *
 *       map via 10.0.0.5 via-uri "spiffe://corp.test/app"                   viewer
 *       map uri "spiffe://corp.test/lb" ca corp via-uri "spiffe://corp.test/deploy"  operator
 *
 *   And the proxy must be one that the server trusts at all (forwarded.h, proxy.h). Of a header
 *   with several URIs or names nothing is taken: which of them counts? Where a line denies by URIs
 *   (or names), such a request is kept out, for one of them may be meant.
 *
 *   Comparison is of exact bytes: no case is folded, and nothing is read from a one-line name.
 *
 * Paths
 *
 *   A pattern begins with "/". "*" or {name} is a segment that is not empty; "**" or {name...} at
 *   the end is the rest, perhaps empty; "{a,b/c}" stands for "a" and "b/c". A request's path is
 *   read as the router reads it (shs/router.h): cut at "/", each segment decoded once. What the
 *   router matches with nothing ("//", "..", however encoded) is kept out here as well, and so is a
 *   path of more than 32 segments.
 *
 * What is refused when the file is read
 *
 *   Words that are none, a name twice, a role or CA that is not there; a line that can never decide
 *   because one before it fits all that it does; two patterns of one kind that overlap, neither
 *   being the narrower one; two grants of one role for the same requests; a file that lets nobody
 *   in (a line "deny anyone" says that it is meant), or everybody, unless the line says `any` or
 *   `anyone`. The text names the file and both lines.
 *
 * Identities that are none
 *
 *   A certificate that did not verify is not a certificate here. One that names its owner twice,
 *   has a NUL in a name or more than one SPIFFE ID does not verify (shs/tls.h); that of a CA is
 *   refused here, whatever the rules say.
 *
 * Follows: RFC 5280, SPIFFE X.509-SVID, unix(7) SO_PEERCRED.
 */
#ifndef SHS_ACCESS_H
#define SHS_ACCESS_H

#include <sys/types.h>

#include <shs/chain.h>
#include <shs/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- an identity ------------------------------------------------------------------------------- */

#define SHS_IDENTITY_GROUPS 64

/* Views: as long as the request that it is of. */
struct shs_identity {
    size_t size;                            /* set by shs_identity_init */
    const struct shs_client_identity *cert; /* NULL: none; one that did not verify does not count */
    bool has_process;                       /* a Unix socket: what follows is of its other end */
    uid_t uid;
    gid_t gid;
    pid_t pid;
    gid_t groups[SHS_IDENTITY_GROUPS]; /* the supplementary ones */
    size_t group_count;
    bool group_cut;      /* it has more: a deny may concern one of them, so nothing is allowed */
    struct shs_str user; /* ptr NULL: none */
    /* What a proxy says of the certificate of its client: X-Forwarded-Client-Cert of a trusted one
       (forwarded.h), or the SSL part of a PROXY protocol header (proxy.h). ptr NULL: nothing */
    struct shs_str via; /* the proxy's address; "unix" at a Unix socket */
    struct shs_str via_uri, via_dns, via_cn, via_cert;
    bool via_uri_cut; /* it says several, and none is taken: a deny by URI may concern one of them,
                         so with rules that have such a line nothing is allowed */
    bool via_dns_cut; /* the same of names */
};
SHS_API void shs_identity_init_sized(struct shs_identity *identity, size_t size);
#define shs_identity_init(i) shs_identity_init_sized((i), sizeof *(i))

/* Who sends this request. Owner thread only. */
SHS_API void shs_request_identity(const struct shs_request *req, struct shs_identity *out);

/*
 * A name for people and for logs: "cn=alice", "uid=1000", "user=bob", "nobody"; what tells most
 * comes first. Control characters are escaped; cut at `cap` - 1. Any thread.
 */
SHS_API void shs_identity_text(const struct shs_identity *identity, char *buf, size_t cap);

/* -- rules ------------------------------------------------------------------------------------- */

#define SHS_ACCESS_NAME_MAX 63  /* bytes of the name of a role or CA */
#define SHS_ACCESS_RULE_MAX 255 /* of a line, as a decision has it */

struct shs_access_rules;

/*
 * Reads a file of rules.
 *
 *   file  copied; read again by shs_access_reload
 *
 * Returns 0; SHS_IO when it cannot be read; SHS_USAGE with *err (may be NULL) naming file, line and
 * fault; SHS_LIMIT beyond 4 MiB, 100,000 lines that decide, 20,000 grants, 64 roles or 64 CAs;
 * SHS_NOMEM. Free it after the server.
 */
SHS_API int shs_access_new(struct shs_access_rules **out, const char *file,
                           struct shs_error *err) SHS_MUST_CHECK;
/* The same from memory; `text` is copied, `name` stands for the file in texts, and says where `ca`
   looks for files: those alone are read again by shs_access_reload. */
SHS_API int shs_access_new_text(struct shs_access_rules **out, const char *name,
                                struct shs_str text, struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_access_free(struct shs_access_rules *self); /* NULL is fine */
/* Its file, or the name that stands for it. Owned by the rules. Any thread. */
SHS_API const char *shs_access_file(const struct shs_access_rules *self);

/*
 * Reads the file again, and the files of its CAs. What is wrong changes nothing: the rules stay as
 * they were, all of them. A request is decided by the old ones or by the new ones, never by both.
 * As shs_access_new. Safe from any thread, while requests are decided.
 */
SHS_API int shs_access_reload(struct shs_access_rules *self, struct shs_error *err);

/*
 * The same in two steps, for who has more to read again than these rules: what was read and checked
 * is taken by the commit, or not at all.
 *
 *   dry_run  it is only looked at: a fault is not counted
 *
 * Returns as shs_access_reload. Any thread; the rules outlive the draft.
 */
struct shs_access_draft;
SHS_API int shs_access_draft_new(struct shs_access_draft **out, struct shs_access_rules *rules,
                                 bool dry_run, struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_access_draft_commit(struct shs_access_draft *self); /* once; it cannot fail */
SHS_API void shs_access_draft_free(struct shs_access_draft *self);   /* NULL is fine */

/* What was decided, and by what. Its own memory: copy it as you like. */
struct shs_access_decision {
    bool allowed;
    char role[SHS_ACCESS_NAME_MAX + 1]; /* that the client has; "" = none */
    char need[SHS_ACCESS_NAME_MAX + 1]; /* the first role of the file that has the method and the
                                           path; "" = none has */
    char ca[SHS_ACCESS_NAME_MAX + 1];   /* that the deciding line names; "" = none */
    unsigned line;                      /* of the file; 0 = none fits, or the identity is none */
    char rule[SHS_ACCESS_RULE_MAX + 1]; /* that line, a blank between words; or why there is none,
                                           "no rule fits" */
};

/*
 * Decides.
 *
 *   method  "GET"
 *   path    as a request has it, not decoded: shs_request_full_path
 *
 * Always fills *out. Nothing is allocated; with 10,000 rules it takes below 2 us. Safe from any
 * thread.
 */
SHS_API void shs_access_decide(struct shs_access_rules *self, const struct shs_identity *identity,
                               struct shs_str method, struct shs_str path,
                               struct shs_access_decision *out);

/* How much there is, and how often it was read again. Any thread. */
struct shs_access_counts {
    size_t rules, roles, grants; /* lines with map or deny; roles; their paths */
    uint64_t reloads, reload_failures;
};
SHS_API void shs_access_count(struct shs_access_rules *self, struct shs_access_counts *out);

/*
 * For a chain: decides every request, and lets the next one answer it or answers 403:
 *
 *   {"error":"forbidden","need":"operator","have":"viewer"}
 *
 * null where there is no role; for a browser, that asks for text/html, a page. Put authentication
 * before it: the user counts if he is known by then.
 */
SHS_API const struct shs_middleware *shs_access_middleware(const struct shs_access_rules *self);

/* What the middleware decided of this request: for handlers and log_request. NULL: it was not
   asked. As long as the request. */
SHS_API const struct shs_access_decision *shs_request_access(const struct shs_request *req);

#ifdef __cplusplus
}
#endif

#endif
