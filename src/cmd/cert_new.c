/* cert_new.c - `shs cert new` and `shs cert ca`: certificates and authorities as files. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "certs/faults.h"
#include "certs/look.h"
#include "cmd/cert.h"

/* The wishes that both have. */
struct wishes {
    const char *not_before, *not_after, *now, *key, *digest, *serial, *usage, *key_usage;
    struct flag_list extensions;
    unsigned days;
    bool force;
};

#define WISH_FLAGS(w)                                                                              \
    {"not-before", FLAG_TEXT, &(w)->not_before, "DATE",                                            \
     "+30d, -1s (units s m h d w y), now, 2026-11-28,\n2026-11-28T08:30:00Z or @UNIXTIME "         \
     "(2000-01-01)"},                                                                              \
        {"not-after", FLAG_TEXT, &(w)->not_after, "DATE", "likewise (2049-12-31T23:59:59Z)"},      \
        {"days", FLAG_NUMBER, &(w)->days, "N", "valid from now, for N days"},                      \
        {"now", FLAG_TEXT, &(w)->now, "DATE", "what now is for the dates above"},                  \
        {"key", FLAG_TEXT, &(w)->key, "KIND",                                                      \
         "p256 (default) p384 p521 p224 p192 secp256k1\nbrainpool256 p256-explicit ed25519 ed448 " \
         "rsa2048\n(512 to 16384) rsa-e3 rsa-pss dsa"},                                            \
        {"digest", FLAG_TEXT, &(w)->digest, "NAME",                                                \
         "sha256 (default) sha384 sha512 sha224 sha1 md5"},                                        \
        {"serial", FLAG_TEXT, &(w)->serial, "NUMBER",                                              \
         "decimal or 0x..., also 0 or negative; random21: of\n21 bytes"},                          \
        {"usage", FLAG_TEXT, &(w)->usage, "LIST",                                                  \
         "serverAuth clientAuth emailProtection codeSigning\ntimeStamping OCSPSigning any, or "    \
         "OIDs; none"},                                                                            \
        {"key-usage", FLAG_TEXT, &(w)->key_usage, "LIST",                                          \
         "digitalSignature keyEncipherment keyCertSign ...; none"},                                \
        {"ext", FLAG_LIST, &(w)->extensions, "NAME=VALUE",                                         \
         "an extension in OpenSSL's words, such as\ntlsfeature=status_request or "                 \
         "1.2.3.4=critical,DER:0500;\nNAME=none leaves one out; may be repeated"},                 \
    {                                                                                              \
        "force", FLAG_SET, &(w)->force, NULL, "replace files that are there"                       \
    }

/* --days and --now, which are not words of the library's. */
static int settle(struct wishes *w, char span[16], int64_t *now)
{
    struct shs_error err = {.code = SHS_OK};
    int64_t end;

    *now = 0;
    if (w->now != NULL && shs_parse_date(now, w->now, (int64_t)time(NULL), &err) != SHS_OK)
        return cert_fail(&err);
    if (w->days == 0)
        return CMD_OK;
    if (w->not_before != NULL || w->not_after != NULL)
        return cmd_fail(CMD_USAGE, "--days goes without --not-before and --not-after");
    snprintf(span, 16, "+%ud", w->days);
    if (shs_parse_date(&end, span, *now == 0 ? (int64_t)time(NULL) : *now, &err) != SHS_OK)
        return cmd_fail(CMD_USAGE, "--days %u goes beyond the year 9999", w->days);
    w->not_before = "now";
    w->not_after = span;
    return CMD_OK;
}

/* The authority at a path, as cert_load_ca finds it: would DIR/NAME.pem take its place? */
static bool is_its_file(const char *ca, const char *dir, const char *name)
{
    char *there = shs__asprintf("%s/%s.pem", dir, name), *of_dir = shs__asprintf("%s/ca.pem", ca);
    struct stat one, two;
    bool same = there != NULL && of_dir != NULL && stat(there, &one) == 0 &&
                (stat(of_dir, &two) == 0 || stat(ca, &two) == 0) && one.st_dev == two.st_dev &&
                one.st_ino == two.st_ino;

    shs__free(there);
    shs__free(of_dir);
    return same;
}

static int keep_authority(const char *dir, const char *name)
{
    return cmd_fail(CMD_USAGE,
                    "%s/%s.pem is the authority that signs it: give the new one another --name",
                    dir, name);
}

static void said(const char *what, const char *dir, const char *name, const char *suffix)
{
    printf("%-12s %s/%s%s\n", what, dir, name, suffix);
}

/* -- ca ---------------------------------------------------------------------------------------- */

static const char ca_about[] =
    "usage: shs cert ca [OPTION]...\n"
    "\n"
    "Makes an authority: DIR/NAME.pem and DIR/NAME.key. Nobody trusts it until told to\n"
    "('shs trust print'); with --constrain, who does risks little.\n";

int cert_ca(int argc, char **argv)
{
    static struct flag_list constrain, exclude, operands;
    static struct wishes w;
    struct shs_ca_options o = {.size = sizeof o};
    const char *dir = ".", *name = "ca", *below = NULL, *cn = NULL;
    unsigned levels = 0;
    const struct flag flags[] = {
        {"dir", FLAG_TEXT, &dir, "DIR", "where the files go (.); made if it is missing"},
        {"name", FLAG_TEXT, &name, "NAME", "of the files (ca)"},
        {"cn", FLAG_TEXT, &cn, "TEXT", "its common name ('shs test CA' and a random number)"},
        {"below", FLAG_TEXT, &below, "CA",
         "signed by this authority: a directory with ca.pem\nand "
         "ca.key, or a file"},
        {"constrain", FLAG_COMMAS, &constrain, "LIST",
         "it may sign for these domains, addresses and\nnetworks only: badssl.test,127.0.0.0/8"},
        {"exclude", FLAG_COMMAS, &exclude, "LIST", "it may not sign for these"},
        {"depth", FLAG_NUMBER, &levels, "N",
         "levels of certificates below it: 1 = no authority\n(any number)"},
        WISH_FLAGS(&w),
    };
    struct shs_error err = {.code = SHS_OK};
    struct shs_ca *issuer = NULL, *ca = NULL;
    char span[16];
    int code;

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 0, ca_about, NULL, &code))
        return code;
    code = settle(&w, span, &o.now);
    if (code != CMD_OK)
        return code;
    if (levels > 100)
        return cmd_fail(CMD_USAGE, "--depth takes 1 to 100, not %u", levels);
    o.common_name = cn;
    o.constrain = constrain.count == 0 ? NULL : constrain.items;
    o.exclude = exclude.count == 0 ? NULL : exclude.items;
    o.key = w.key;
    o.digest = w.digest;
    o.serial = w.serial;
    o.not_before = w.not_before;
    o.not_after = w.not_after;
    o.usage = w.usage;
    o.key_usage = w.key_usage;
    o.extensions = w.extensions.count == 0 ? NULL : w.extensions.items;
    o.levels = (int)levels;
    if (below != NULL && is_its_file(below, dir, name))
        return keep_authority(dir, name);
    if (below != NULL)
        code = cert_load_ca(&issuer, below);
    if (code == CMD_OK && (issuer == NULL ? shs_ca_new(&ca, &o, &err)
                                          : shs_ca_intermediate(&ca, issuer, &o, &err)) != SHS_OK)
        code = cert_fail(&err);
    if (code == CMD_OK && shs_ca_save(ca, dir, name, w.force, &err) != SHS_OK)
        code = cert_fail(&err);
    if (code == CMD_OK) {
        said("certificate", dir, name, ".pem");
        said("key", dir, name, ".key");
    }
    shs_ca_free(ca);
    shs_ca_free(issuer);
    return code;
}

/* -- new --------------------------------------------------------------------------------------- */

static const char new_about[] =
    "usage: shs cert new NAME... [OPTION]...\n"
    "\n"
    "Makes a certificate for the names (DNS names, IP addresses): DIR/FIRST-NAME.pem, which has\n"
    "its chain as well, and DIR/FIRST-NAME.key. Without --ca the authority in DIR signs it, and\n"
    "is made if there is none.\n";

struct new_args {
    struct wishes w;
    struct flag_list names, emails, uris, subject, ou, all_names, faults;
    const char *dir, *name, *ca, *cn, *o, *p12, *chain, *fault;
    bool client, version1, fresh_ca;
    bool beaten;                    /* somebody else has made the authority meanwhile */
    char *made[2 * FLAGS_LIST_MAX]; /* names with a prefix */
    size_t made_count;
};

/* "faults: ..." for the help. */
static char *list_faults(void)
{
    const char *word, *text;
    struct shs_buf out;

    shs__buf_init(&out, 16384);
    (void)shs__buf_printf(&out, "Faults: the certificate is good but for this.\n\n");
    for (size_t i = 0; (word = shs_cert_fault(i, &text)) != NULL; i++)
        (void)shs__buf_printf(&out, "  %-18s %s\n", word, text);
    (void)shs__buf_append(&out, "", 1);
    return out.data;
}

static bool add_prefixed(struct new_args *a, const char *prefix, const struct flag_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        char *text = shs__asprintf("%s%s", prefix, list->items[i]);

        if (text == NULL || a->all_names.count == FLAGS_LIST_MAX) {
            shs__free(text);
            return false;
        }
        a->made[a->made_count++] = text;
        a->all_names.items[a->all_names.count++] = text;
    }
    return true;
}

static bool add_part(struct new_args *a, const char *type, const char *text)
{
    char *part;

    if (text == NULL)
        return true;
    part = shs__asprintf("%s=%s", type, text);
    if (part == NULL || a->subject.count == FLAGS_LIST_MAX) {
        shs__free(part);
        return false;
    }
    a->made[a->made_count++] = part;
    a->subject.items[a->subject.count++] = part;
    return true;
}

/* The first name that is a host's, as the library has it: an address is not a common name. */
static const char *first_dns_name(const struct flag_list *names)
{
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->items[i];

        if (strchr(name, ':') == NULL && name[strspn(name, "0123456789.")] != '\0' &&
            strlen(name) <= 64)
            return name;
    }
    return NULL;
}

/* With --o or --ou the subject is made here; the library would have a common name alone. */
static bool make_subject(struct new_args *a)
{
    const char *cn = a->cn;
    bool good = true;

    if (a->subject.count > 0 || (a->o == NULL && a->ou.count == 0))
        return true;
    if (cn == NULL)
        cn = first_dns_name(&a->names);
    good = add_part(a, "O", a->o);
    for (size_t i = 0; good && i < a->ou.count; i++)
        good = add_part(a, "OU", a->ou.items[i]);
    return good && add_part(a, "CN", cn);
}

static int write_p12(const struct new_args *a, const struct shs_issued_cert *cert, const char *name)
{
    struct shs_error err = {.code = SHS_OK};
    char *path = shs__asprintf("%s/%s.p12", a->dir, name);
    void *bytes = NULL;
    size_t len = 0;
    int code = CMD_OK;

    if (path == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    if (shs_issued_cert_pkcs12(cert, a->p12, &bytes, &len, &err) != SHS_OK)
        code = cert_fail(&err);
    else
        code = cert_write(path, bytes, len, 0600, a->w.force);
    shs_bytes_free(bytes, len);
    shs__free(path);
    return code;
}

static bool has_ca(const struct new_args *a)
{
    char path[4096];
    struct stat info;

    snprintf(path, sizeof path, "%s/ca.pem", a->dir);
    return stat(path, &info) == 0;
}

/* The authority of --ca, or the one in the directory, or a new one there. */
static int find_ca(struct new_args *a, struct shs_ca **out)
{
    struct shs_ca_options o = {.size = sizeof o};
    struct shs_error err = {.code = SHS_OK};

    if (a->ca != NULL)
        return cert_load_ca(out, a->ca);
    if (has_ca(a))
        return cert_load_ca(out, a->dir);
    a->fresh_ca = true; /* written when all that was asked for turned out to be possible */
    o.key = shs__fault_signer_key(a->fault, a->w.digest);
    return shs_ca_new(out, &o, &err) == SHS_OK ? CMD_OK : cert_fail(&err);
}

static int save_ca(struct new_args *a, const struct shs_ca *ca)
{
    struct shs_error err = {.code = SHS_OK};
    int rc = shs_ca_save(ca, a->dir, "ca", false, &err);

    a->beaten = rc != SHS_OK && err.sys_errno == EEXIST && has_ca(a);
    if (a->beaten)
        return CMD_FAILED; /* make_both says no more about it */
    if (rc != SHS_OK)
        return cert_fail(&err);
    said("authority", a->dir, "ca", ".pem");
    return CMD_OK;
}

/* Nobody has asked for a certificate that its own authority's clients refuse: one with a name that
   the authority is not for. */
static void warn_if_refused(const struct new_args *a, const struct shs_ca *ca,
                            const struct shs_issued_cert *cert, int64_t now, const char *name)
{
    const char *root = shs_ca_root_pem(ca), *pem = shs_issued_cert_pem(cert);
    const struct shs__look_wish wish = {
        .ca_pem = root,
        .ca_pem_len = strlen(root),
        .now = now != 0 ? now : (int64_t)time(NULL),
        .client = a->client,
    };
    struct shs__finding list[8];
    struct shs__look *look = NULL;
    size_t count = 0;

    if (a->fault == NULL && shs__look_bytes(&look, pem, strlen(pem), NULL) == SHS_OK)
        count = shs__look_judge(look, &wish, list, SHS_ARRAY_LEN(list));
    for (size_t i = 0; i < count; i++) {
        if (list[i].level == SHS_FINDING_ERROR && strcmp(list[i].word, "chain") == 0)
            fprintf(stderr, "shs: warning: clients will refuse %s/%s.pem: %s\n", a->dir, name,
                    list[i].text);
    }
    shs__look_free(look);
}

static int issue(struct new_args *a, const struct shs_ca *ca, int64_t now)
{
    struct shs_cert_options o = {
        .size = sizeof o,
        .names = a->all_names.items,
        .client = a->client,
        .common_name = a->cn,
        .subject = a->subject.count == 0 ? NULL : a->subject.items,
        .key = a->w.key,
        .digest = a->w.digest,
        .serial = a->w.serial,
        .not_before = a->w.not_before,
        .not_after = a->w.not_after,
        .usage = a->w.usage,
        .key_usage = a->w.key_usage,
        .extensions = a->w.extensions.count == 0 ? NULL : a->w.extensions.items,
        .chain = a->chain,
        .version1 = a->version1,
        .fault = a->fault,
        .now = now,
    };
    struct shs_error err = {.code = SHS_OK};
    struct shs_issued_cert *cert = NULL;
    char name[120];
    int code = CMD_OK;

    cert_file_name(name, sizeof name,
                   a->name != NULL           ? a->name
                   : a->all_names.count > 0  ? a->all_names.items[0]
                   : a->cn != NULL && *a->cn ? a->cn
                                             : "cert");
    if ((a->fresh_ca && strcmp(name, "ca") == 0) ||
        is_its_file(a->ca != NULL ? a->ca : a->dir, a->dir, name))
        return keep_authority(a->dir, name);
    if (shs_ca_issue(&cert, ca, &o, &err) != SHS_OK)
        code = cert_fail(&err);
    if (code == CMD_OK && a->fresh_ca)
        code = save_ca(a, ca);
    if (code == CMD_OK && shs_issued_cert_save(cert, a->dir, name, a->w.force, &err) != SHS_OK)
        code = cert_fail(&err);
    if (code == CMD_OK) {
        said("certificate", a->dir, name, ".pem");
        said("key", a->dir, name, ".key");
    }
    if (code == CMD_OK && a->p12 != NULL) {
        code = write_p12(a, cert, name);
        if (code == CMD_OK)
            said("PKCS #12", a->dir, name, ".p12");
    }
    if (code == CMD_OK)
        warn_if_refused(a, ca, cert, now, name);
    shs_issued_cert_free(cert);
    return code;
}

/*
 * The authority, if there is none, and the certificate. Of several at once in a new directory one
 * makes the authority, and the others use it: one saves both of its files before another may save.
 */
static int make_both(struct new_args *a, int64_t now)
{
    struct shs_ca *ca = NULL;
    int code;

    do {
        a->beaten = a->fresh_ca = false;
        code = find_ca(a, &ca);
        if (code == CMD_OK)
            code = issue(a, ca, now);
        shs_ca_free(ca);
        ca = NULL;
    } while (a->beaten && code == CMD_FAILED);
    return code;
}

static bool parse_new(struct new_args *a, int argc, char **argv, int *code)
{
    const struct flag flags[] = {
        {"client", FLAG_SET, &a->client, NULL, "for a client: clientAuth, and no name is needed"},
        {"ca", FLAG_TEXT, &a->ca, "CA", "who signs: a directory with ca.pem and ca.key, or a file"},
        {"dir", FLAG_TEXT, &a->dir, "DIR", "where the files go (.); made if it is missing"},
        {"name", FLAG_TEXT, &a->name, "NAME", "of the files (the first name)"},
        {"fault", FLAG_LIST, &a->faults, "FAULT", "wrong in one thing: see below"},
        {"cn", FLAG_TEXT, &a->cn, "TEXT", "common name (the first name)"},
        {"o", FLAG_TEXT, &a->o, "TEXT", "organisation"},
        {"ou", FLAG_LIST, &a->ou, "TEXT", "organisational unit; may be repeated"},
        {"subject", FLAG_LIST, &a->subject, "TYPE=TEXT",
         "a part of the subject, instead of --cn, --o and --ou;\nmay be repeated: CN=a CN=b"},
        {"email", FLAG_LIST, &a->emails, "ADDRESS", "a further name; may be repeated"},
        {"uri", FLAG_LIST, &a->uris, "URI", "likewise: spiffe://corp.test/sa/bob"},
        {"chain", FLAG_TEXT, &a->chain, "ORDER",
         "what follows it: normal, none, root (with it),\nreversed, double"},
        {"p12", FLAG_TEXT, &a->p12, "PASSWORD", "PKCS #12 as well: DIR/NAME.p12"},
        {"version1", FLAG_SET, &a->version1, NULL, "X.509 version 1, without extensions"},
        WISH_FLAGS(&a->w),
    };
    char *below = list_faults();
    bool good = flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &a->names, FLAGS_LIST_MAX,
                            new_about, below, code);

    shs__free(below);
    return good;
}

int cert_new(int argc, char **argv)
{
    static struct new_args a; /* large */
    char span[16];
    int64_t now = 0;
    int code = CMD_OK;

    memset(&a, 0, sizeof a);
    a.dir = ".";
    if (!parse_new(&a, argc, argv, &code))
        return code;
    a.all_names = a.names;
    if (a.faults.count > 1)
        return cmd_fail(CMD_USAGE,
                        "a certificate has one --fault: a client that refuses one with two "
                        "has not shown which it looks at");
    a.fault = a.faults.items[0];
    code = settle(&a.w, span, &now);
    if (code == CMD_OK && (!add_prefixed(&a, "email:", &a.emails) ||
                           !add_prefixed(&a, "uri:", &a.uris) || !make_subject(&a)))
        code = cmd_fail(CMD_USAGE, "a certificate has %d names at most", FLAGS_LIST_MAX);
    if (code == CMD_OK && a.names.count == 0 && !a.client && a.cn == NULL && a.subject.count == 0)
        code = cmd_fail(CMD_USAGE, "a server's certificate needs a name, such as localhost; for a "
                                   "client's give --client");
    if (code == CMD_OK)
        code = make_both(&a, now);
    for (size_t i = 0; i < a.made_count; i++)
        shs__free(a.made[i]);
    return code;
}
