#include "testing/clients.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include <shs/certs.h>

#include "certs/files.h"
#include "testing/respell.h"

#define LONG_NAME_BYTES 200
#define ALERTS(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

const struct shs_client_case shs__client_cases[] = {
    {"alice", "sanity", "critical", SHS_CLIENT_LET_IN, 0, "", {0}, "", "alice", NULL},
    {"none", "chain", "critical", SHS_CLIENT_REFUSE, 0, "certificate required", ALERTS(116, 40),
     "none|no required ssl certificate", NULL, NULL},
    {"untrusted", "chain", "critical", SHS_CLIENT_REFUSE, 0, "unknown ca", ALERTS(48), "unknown-ca",
     NULL, NULL},
    {"self-signed", "chain", "critical", SHS_CLIENT_REFUSE, 0, "unknown ca", ALERTS(48),
     "self-signed", NULL, NULL},
    {"no-intermediate", "chain", "high", SHS_CLIENT_REFUSE, 0, "unknown ca", ALERTS(48),
     "unknown-ca", NULL, NULL},
    {"bad-signature", "chain", "critical", SHS_CLIENT_REFUSE, 0, "bad signature", ALERTS(51, 42),
     "bad-signature", NULL, NULL},
    {"expired", "dates", "critical", SHS_CLIENT_REFUSE, 0, "expired", ALERTS(45), "expired", NULL,
     NULL},
    {"not-yet-valid", "dates", "high", SHS_CLIENT_REFUSE, 0, "not yet valid", ALERTS(42, 45),
     "not-yet-valid", NULL, NULL},
    {"server-eku", "usage", "high", SHS_CLIENT_REFUSE, 0, "wrong usage", ALERTS(43),
     "wrong-purpose", NULL, NULL},
    {"ca-true", "usage", "low", SHS_CLIENT_EITHER, 0, "an authority", {0}, "", NULL, NULL},
    {"mismatched", "keys", "critical", SHS_CLIENT_REFUSE, 0, "not its key", ALERTS(51, 42), "",
     NULL, NULL},
    {"md5", "keys", "high", SHS_CLIENT_REFUSE, 0, "weak signature", ALERTS(42, 71, 46), "weak",
     NULL, NULL},
    {"rsa1024", "keys", "high", SHS_CLIENT_REFUSE, 0, "weak key", ALERTS(42, 71, 46), "weak", NULL,
     NULL},
    {"revoked", "revocation", "high", SHS_CLIENT_REFUSE, SHS_CLIENT_NEEDS_CRL, "revoked",
     ALERTS(44), "revoked", NULL, NULL},
    {"revoked-ica", "revocation", "high", SHS_CLIENT_REFUSE, SHS_CLIENT_NEEDS_CRL,
     "its authority is revoked", ALERTS(44), "revoked", NULL, NULL},
    {"spoof-o",
     "identity",
     "critical",
     SHS_CLIENT_LET_IN,
     SHS_CLIENT_NEEDS_IDENTITY,
     "",
     {0},
     "",
     "mallory",
     "admin"},
    {"spoof-ou",
     "identity",
     "critical",
     SHS_CLIENT_LET_IN,
     SHS_CLIENT_NEEDS_IDENTITY,
     "",
     {0},
     "",
     "mallory",
     "admin"},
    {"case-cn",
     "identity",
     "medium",
     SHS_CLIENT_LET_IN,
     SHS_CLIENT_NEEDS_IDENTITY,
     "",
     {0},
     "",
     "Admin",
     "admin"},
    {"utf8-cn",
     "identity",
     "low",
     SHS_CLIENT_EITHER,
     SHS_CLIENT_NEEDS_IDENTITY,
     "an odd name",
     {0},
     "",
     "J\xc3\xbcrgen \xe2\x82\xac",
     NULL},
    {"long-cn",
     "identity",
     "medium",
     SHS_CLIENT_EITHER,
     SHS_CLIENT_NEEDS_IDENTITY,
     "an odd name",
     {0},
     "",
     NULL,
     "admin"},
    {"nul-cn",
     "identity",
     "critical",
     SHS_CLIENT_EITHER,
     SHS_CLIENT_NEEDS_IDENTITY,
     "an odd name",
     {0},
     "",
     NULL,
     "admin"},
    {"empty-subject",
     "identity",
     "low",
     SHS_CLIENT_EITHER,
     SHS_CLIENT_NEEDS_IDENTITY,
     "no name",
     {0},
     "",
     NULL,
     "admin"},
    {"two-cn", "identity", "medium", SHS_CLIENT_REFUSE, SHS_CLIENT_NEEDS_IDENTITY, "two names",
     ALERTS(42, 46, 49), "ambiguous", NULL, NULL},
    {"two-spiffe", "spiffe", "high", SHS_CLIENT_REFUSE, SHS_CLIENT_NEEDS_SPIFFE, "two SPIFFE IDs",
     ALERTS(42, 46, 49), "ambiguous", NULL, NULL},
    {"spiffe-ca", "spiffe", "high", SHS_CLIENT_REFUSE, SHS_CLIENT_NEEDS_SPIFFE,
     "a SPIFFE ID in an authority", ALERTS(42, 46, 49), "ambiguous", NULL, NULL},
    {NULL, NULL, NULL, 0, 0, NULL, {0}, NULL, NULL, NULL},
};

/* -- how each is made -------------------------------------------------------------------------- */

/* Lists of words, ended by NULL. */
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

struct recipe {
    const char *id;
    struct shs_cert_options o;
    enum { BY_ICA, BY_RSA_ICA, BY_REVOKED_ICA, BY_HIDDEN_ICA, BY_OTHER } by;
};

static const char spiffe_alice[] = "uri:spiffe://lab.test/ns/ops/sa/alice";
static const char spiffe_bob[] = "uri:spiffe://lab.test/ns/ops/sa/bob";

struct authorities {
    struct shs_ca *root, *ica, *revoked_ica, *other;
    struct shs_ca *rsa_ica;    /* there is no ECDSA over MD5 */
    struct shs_ca *hidden_ica; /* that the server is not told of */
};

static int make_authorities(struct authorities *a, struct shs_error *err)
{
    const struct shs_ca_options ica = {.size = sizeof ica, .common_name = "lab clients CA 1"};
    const struct shs_ca_options revoked = {.size = sizeof revoked,
                                           .common_name = "lab clients CA 2 (revoked)"};
    const struct shs_ca_options rsa = {
        .size = sizeof rsa, .common_name = "lab clients CA 3", .key = "rsa2048"};
    const struct shs_ca_options hidden = {.size = sizeof hidden,
                                          .common_name = "lab clients CA 4 (not sent)"};
    const struct shs_ca_options other = {.size = sizeof other, .common_name = "lab other root"};
    const struct shs_ca_options root = {.size = sizeof root, .common_name = "lab clients root"};
    int rc = shs_ca_new(&a->root, &root, err);

    if (rc == SHS_OK)
        rc = shs_ca_new(&a->other, &other, err);
    if (rc == SHS_OK)
        rc = shs_ca_intermediate(&a->ica, a->root, &ica, err);
    if (rc == SHS_OK)
        rc = shs_ca_intermediate(&a->revoked_ica, a->root, &revoked, err);
    if (rc == SHS_OK)
        rc = shs_ca_intermediate(&a->rsa_ica, a->root, &rsa, err);
    if (rc == SHS_OK)
        rc = shs_ca_intermediate(&a->hidden_ica, a->root, &hidden, err);
    return rc;
}

static void free_authorities(struct authorities *a)
{
    shs_ca_free(a->root);
    shs_ca_free(a->ica);
    shs_ca_free(a->revoked_ica);
    shs_ca_free(a->rsa_ica);
    shs_ca_free(a->hidden_ica);
    shs_ca_free(a->other);
}

/* -- files ------------------------------------------------------------------------------------- */

/* A directory to write to, and all that was made so far, in any: paths, each with its NUL. */
struct place {
    const char *dir;
    struct shs_buf *made;
};

static int note(const struct place *to, const char *name, const char *suffix, struct shs_error *err)
{
    if (shs__buf_printf(to->made, "%s%s%s%s", to->dir, name[0] == '\0' ? "" : "/", name, suffix) ==
            SHS_OK &&
        shs__buf_append(to->made, "", 1) == SHS_OK)
        return SHS_OK;
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a name.");
}

/* The last one first: a directory is empty then. */
static void remove_made(const struct shs_buf *made)
{
    const char *all = shs__buf_head(made);

    for (size_t end = made->len; end > 0;) {
        size_t at = end - 1;

        while (at > 0 && all[at - 1] != '\0')
            at--;
        (void)remove(all + at);
        end = at;
    }
}

static int exists(const struct place *to, const char *name, const char *suffix,
                  struct shs_error *err)
{
    return shs_error_set(err, SHS_USAGE, EEXIST,
                         "%s/%s%s already exists: the certificates go into a directory that is new "
                         "or empty.",
                         to->dir, name, suffix);
}

/* All of it, or there is no file. */
static int write_text(const struct place *to, const char *name, const char *suffix,
                      const char *text, size_t len, struct shs_error *err)
{
    char *file = shs__asprintf("%s%s", name, suffix);
    int rc = file == NULL ? shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a name.")
                          : shs__file_write(to->dir, file, 0600, text, len, false, err);

    shs__free(file);
    if (rc == SHS_USAGE)
        return exists(to, name, suffix, err);
    return rc == SHS_OK ? note(to, name, suffix, err) : rc;
}

static int write_pair(const struct place *to, const char *name, const struct shs_issued_cert *cert,
                      struct shs_error *err)
{
    int rc = shs_issued_cert_save(cert, to->dir, name, false, err);

    if (rc == SHS_USAGE)
        return exists(to, name, ".pem", err);
    if (rc == SHS_OK)
        rc = note(to, name, ".pem", err);
    return rc == SHS_OK ? note(to, name, ".key", err) : rc;
}

static int make_directory(const struct place *to, struct shs_error *err)
{
    char why[96];
    int saved;

    if (mkdir(to->dir, 0700) == 0)
        return note(to, "", "", err);
    saved = errno;
    if (saved == EEXIST)
        return SHS_OK;
    return shs_error_set(err, SHS_IO, saved, "Cannot make the directory %s: %s.", to->dir,
                         shs__strerror(saved, why, sizeof why));
}

/* -- clients ----------------------------------------------------------------------------------- */

/* The client of the options, with another common name in its place. */
static int make_respelt(const struct place *to, const char *id, struct shs_str name,
                        const struct shs_ca *ica, struct shs_error *err)
{
    const struct shs_cert_options o = {.size = sizeof o, .client = true, .common_name = "x"};
    struct shs_issued_cert *cert = NULL;
    char *leaf = NULL, *chain = NULL;
    int rc = shs_ca_issue(&cert, ica, &o, err);

    if (rc == SHS_OK)
        rc = shs__respell(&leaf, shs_issued_cert_leaf_pem(cert), name, shs_ca_key_pem(ica), err);
    if (rc == SHS_OK && (chain = shs__asprintf("%s%s", leaf, shs_ca_pem(ica))) == NULL)
        rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a certificate.");
    if (rc == SHS_OK)
        rc = write_text(to, id, ".pem", chain, strlen(chain), err);
    if (rc == SHS_OK)
        rc = write_text(to, id, ".key", shs_issued_cert_key_pem(cert),
                        strlen(shs_issued_cert_key_pem(cert)), err);
    shs__free(leaf);
    shs__free(chain);
    shs_issued_cert_free(cert);
    return rc;
}

static int make_odd_names(const struct place *to, const struct shs_ca *ica, struct shs_error *err)
{
    char name[LONG_NAME_BYTES];
    int rc;

    memset(name, 'a', sizeof name);
    memcpy(name, "admin", 5);
    rc = make_respelt(to, "long-cn", (struct shs_str){name, sizeof name}, ica, err);
    return rc == SHS_OK ? make_respelt(to, "nul-cn", SHS_STR("admin\0.evil.example"), ica, err)
                        : rc;
}

static int make_one(const struct place *to, const struct recipe *r, const struct authorities *a,
                    char **serial, struct shs_error *err)
{
    const struct shs_ca *const who[] = {a->ica, a->rsa_ica, a->revoked_ica, a->hidden_ica,
                                        a->other};
    struct shs_cert_options o = r->o;
    struct shs_issued_cert *cert = NULL;
    int rc;

    o.size = sizeof o;
    o.client = true;
    if (o.common_name == NULL && o.subject == NULL)
        o.common_name = r->id;
    rc = shs_ca_issue(&cert, who[r->by], &o, err);
    if (rc == SHS_OK)
        rc = write_pair(to, r->id, cert, err);
    if (rc == SHS_OK && strcmp(r->id, "revoked") == 0)
        *serial = shs__strdup(shs_issued_cert_serial(cert));
    shs_issued_cert_free(cert);
    return rc;
}

static int make_clients(const struct place *to, const struct authorities *a, char **serial,
                        struct shs_error *err)
{
    const struct recipe recipes[] = {
        {"alice",
         {.subject = LIST("O=ops", "OU=oncall", "CN=alice"), .names = LIST(spiffe_alice)},
         BY_ICA},
        {"untrusted", {.common_name = "alice"}, BY_OTHER},
        {"self-signed", {.common_name = "alice", .fault = "self-signed"}, BY_ICA},
        {"no-intermediate", {.common_name = "alice", .chain = "none"}, BY_HIDDEN_ICA},
        {"bad-signature", {.common_name = "alice", .fault = "bad-signature"}, BY_ICA},
        {"expired", {.common_name = "alice", .fault = "expired"}, BY_ICA},
        {"not-yet-valid", {.common_name = "alice", .fault = "not-yet-valid"}, BY_ICA},
        {"server-eku", {.common_name = "alice", .usage = "serverAuth"}, BY_ICA},
        {"ca-true", {.common_name = "alice", .fault = "ca-true"}, BY_ICA},
        {"mismatched", {.common_name = "alice", .fault = "mismatched-key"}, BY_ICA},
        {"md5", {.common_name = "alice", .digest = "md5"}, BY_RSA_ICA},
        {"rsa1024", {.common_name = "alice", .key = "rsa1024"}, BY_ICA},
        {"revoked", {.common_name = "alice"}, BY_ICA},
        {"revoked-ica", {.common_name = "alice"}, BY_REVOKED_ICA},
        {"spoof-o", {.subject = LIST("O=ops/CN=admin", "CN=mallory")}, BY_ICA},
        {"spoof-ou", {.subject = LIST("OU=CN=admin", "CN=mallory")}, BY_ICA},
        {"case-cn", {.common_name = "Admin"}, BY_ICA},
        {"utf8-cn", {.common_name = "J\xc3\xbcrgen \xe2\x82\xac"}, BY_ICA},
        {"empty-subject",
         {.subject = (const char *const[]){NULL}, .names = LIST("email:a@b.test")},
         BY_ICA},
        {"two-cn", {.subject = LIST("CN=alice", "CN=admin")}, BY_ICA},
        {"two-spiffe", {.common_name = "alice", .names = LIST(spiffe_alice, spiffe_bob)}, BY_ICA},
        {"spiffe-ca",
         {.common_name = "alice", .names = LIST(spiffe_alice), .fault = "ca-true"},
         BY_ICA},
    };
    int rc = SHS_OK;

    for (size_t i = 0; i < SHS_ARRAY_LEN(recipes) && rc == SHS_OK; i++)
        rc = make_one(to, &recipes[i], a, serial, err);
    return rc == SHS_OK ? make_odd_names(to, a->ica, err) : rc;
}

/* -- the rest ---------------------------------------------------------------------------------- */

static int append_crl(struct shs_buf *out, struct shs_ca *ca, const char *serial,
                      struct shs_error *err)
{
    void *bytes = NULL;
    size_t len = 0;
    int rc = serial == NULL ? SHS_OK : shs_ca_revoke(ca, serial, "keyCompromise", NULL, err);

    if (rc == SHS_OK)
        rc = shs_ca_crl(ca, NULL, &bytes, &len, err);
    if (rc == SHS_OK && shs__buf_append(out, bytes, len) != SHS_OK)
        rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a CRL.");
    shs_bytes_free(bytes, len);
    return rc;
}

/* Every authority has a list of its own: who checks one has to have them all. */
static int write_crls(const struct place *to, const struct authorities *a, const char *serial,
                      struct shs_error *err)
{
    struct shs_buf all;
    size_t len = 0;
    const void *der = shs_ca_der(a->revoked_ica, &len);
    char *ica_serial = NULL;
    int rc = shs__serial_of(&ica_serial, der, len, err);

    shs__buf_init(&all, (size_t)1 << 20);
    if (rc == SHS_OK)
        rc = append_crl(&all, a->root, ica_serial, err);
    if (rc == SHS_OK)
        rc = append_crl(&all, a->ica, serial, err);
    if (rc == SHS_OK)
        rc = append_crl(&all, a->revoked_ica, NULL, err);
    if (rc == SHS_OK)
        rc = append_crl(&all, a->rsa_ica, NULL, err);
    if (rc == SHS_OK)
        rc = write_text(to, "crl", ".pem", shs__buf_head(&all), all.len, err);
    shs__buf_free(&all);
    shs__free(ica_serial);
    return rc;
}

/* The root alone; and with it those between that the server is told of, whose CRLs it reads. */
static int write_authorities(const struct place *to, const struct authorities *a,
                             struct shs_error *err)
{
    const char *root = shs_ca_pem(a->root);
    char *all = shs__asprintf("%s%s%s%s", root, shs_ca_pem(a->ica), shs_ca_pem(a->revoked_ica),
                              shs_ca_pem(a->rsa_ica));
    int rc = all == NULL ? shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a file.")
                         : write_text(to, "ca", ".pem", all, strlen(all), err);

    shs__free(all);
    return rc == SHS_OK ? write_text(to, "root", ".pem", root, strlen(root), err) : rc;
}

static int write_server(const struct place *to, const struct authorities *a, struct shs_error *err)
{
    const struct shs_cert_options o = {.size = sizeof o,
                                       .names = LIST("localhost", "127.0.0.1", "::1")};
    struct shs_issued_cert *cert = NULL;
    int rc = shs_ca_issue(&cert, a->root, &o, err);

    if (rc == SHS_OK)
        rc = write_pair(to, "server", cert, err);
    shs_issued_cert_free(cert);
    return rc;
}

/* Into the directory, and `clients`, which is below it. */
static int make_all(const struct place *to, const struct place *clients, struct shs_error *err)
{
    struct authorities a = {NULL, NULL, NULL, NULL, NULL, NULL};
    char *serial = NULL;
    int rc = make_directory(to, err);

    if (rc == SHS_OK)
        rc = make_directory(clients, err);
    if (rc == SHS_OK)
        rc = make_authorities(&a, err);
    if (rc == SHS_OK)
        rc = write_authorities(to, &a, err);
    if (rc == SHS_OK)
        rc = make_clients(clients, &a, &serial, err);
    if (rc == SHS_OK)
        rc = write_crls(to, &a, serial, err);
    if (rc == SHS_OK)
        rc = write_server(to, &a, err);
    free_authorities(&a);
    shs__free(serial);
    return rc;
}

int shs__clients_make(const char *dir, struct shs_error *err)
{
    char *below = shs__asprintf("%s/clients", dir);
    struct shs_buf made;
    const struct place to = {dir, &made}, clients = {below, &made};
    int rc;

    shs__buf_init(&made, (size_t)1 << 20);
    rc = below == NULL ? shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a name.")
                       : make_all(&to, &clients, err);
    if (rc != SHS_OK)
        remove_made(&made);
    shs__buf_free(&made);
    shs__free(below);
    return rc;
}
