/* faults.c - certificates that are wrong in one thing, by word. */
#include <stdio.h>

#include "certs/faults.h"

#include "certs/authority.h"

static const char *const wrong_names[] = {"wrong.example", NULL};
static const char *const no_names[] = {NULL};

static const struct fault {
    const char *word, *text;
    struct shs_cert_options o; /* the members that it sets */
    const char *extension;
    struct shs__fault_how how;
} faults[] = {
    {"expired", "it expired 10 days ago", .o = {.not_before = "-100d", .not_after = "-10d"},
     .how = {.dates = SHS_FAULT_ENDED}},
    {"expired-1s", "it expired a second ago", .o = {.not_before = "-100d", .not_after = "-1s"},
     .how = {.dates = SHS_FAULT_ENDED}},
    {"not-yet-valid", "it begins in 10 days", .o = {.not_before = "+10d", .not_after = "+100d"},
     .how = {.dates = SHS_FAULT_LATER}},
    {"inverted-dates", "it ends before it begins", .o = {.not_before = "+10d", .not_after = "-10d"},
     .how = {.dates = SHS_FAULT_INVERTED}},
    {"wrong-name", "it is for wrong.example", .o = {.names = wrong_names}},
    {"no-san", "its only name is the common name", .extension = "subjectAltName=none"},
    {"no-subject", "the subject is empty; not wrong, but rare", .o = {.subject = no_names}},
    {"wrong-usage", "it is for e-mail", .o = {.usage = "emailProtection"}},
    {"client-usage", "its usage says that it is for clients", .o = {.usage = "clientAuth"},
     .how = {.of_server = true}},
    {"server-usage", "its usage says that it is for servers", .o = {.usage = "serverAuth"},
     .how = {.of_client = true}},
    {"certsign-only", "its key usage is keyCertSign alone", .o = {.key_usage = "keyCertSign"}},
    {"ca-true", "it says that it is an authority",
     .extension = "basicConstraints=critical,CA:TRUE"},
    {"self-signed", "it signs itself", .how = {.self_signed = true}},
    {"untrusted", "an authority that nobody trusts has signed it", .how = {.untrusted = true}},
    {"bad-signature", "the signature is of another key", .how = {.forged = true}},
    {"mismatched-key", "its key does not belong to it", .how = {.foreign_key = true}},
    {"incomplete-chain", "the authorities between are not sent", .o = {.chain = "none"},
     .how = {.chainless = true}},
    {"sha1", "the signature is over SHA-1", .o = {.digest = "sha1"}},
    {"md5", "the signature is over MD5", .o = {.digest = "md5"}},
    {"rsa1024", "an RSA key of 1024 bits", .o = {.key = "rsa1024"}},
    {"rsa512", "an RSA key of 512 bits", .o = {.key = "rsa512"}},
    {"explicit-curve", "the curve is spelled out", .o = {.key = "p256-explicit"}},
    {"version1", "X.509 version 1, without extensions", .o = {.version1 = true}},
    {"unknown-critical", "a critical extension that nobody knows",
     .extension = "1.3.6.1.4.1.55555.1=critical,DER:0500"},
    {"no-aki", "no authority key identifier", .extension = "authorityKeyIdentifier=none"},
    {"serial-zero", "serial number 0", .o = {.serial = "0"}},
    {"serial-negative", "a negative serial number", .o = {.serial = "-1000"}},
    {"serial-long", "a serial number of 21 bytes", .o = {.serial = "random21"}},
    {"must-staple", "it asks for an OCSP response in each handshake",
     .extension = "tlsfeature=status_request"},
};

const char *shs_cert_fault(size_t i, const char **text)
{
    if (i >= SHS_ARRAY_LEN(faults))
        return NULL;
    if (text != NULL)
        *text = faults[i].text;
    return faults[i].word;
}

static int unknown(const char *word, struct shs_error *err)
{
    char all[200] = "";
    size_t used = 0;

    for (size_t i = 0; i < SHS_ARRAY_LEN(faults) && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, " %s", faults[i].word);
    /* All of them are more than an error holds. */
    return shs_error_set(err, SHS_USAGE, 0,
                         "'%s' is not a fault; 'shs cert new --help' lists them:%.*s ...", word,
                         120, all);
}

const char *shs__fault_signer_key(const char *fault, const char *digest)
{
    bool md5 = (fault != NULL && strcmp(fault, "md5") == 0) ||
               (digest != NULL && strcmp(digest, "md5") == 0);

    return md5 ? "rsa2048" : NULL; /* OpenSSL signs over MD5 with RSA only */
}

#define TAKE(member)                                                                               \
    if (out->member == NULL)                                                                       \
    out->member = fault->o.member

/* What is the fault itself cannot be something else as well. */
static int check_contradiction(const struct shs_cert_options *own, const struct fault *fault,
                               struct shs_error *err)
{
    const struct {
        const char *name;
        bool twice;
    } members[] = {
        {"subject", own->subject != NULL && fault->o.subject != NULL},
        {"usage", own->usage != NULL && fault->o.usage != NULL},
        {"key usage", own->key_usage != NULL && fault->o.key_usage != NULL},
        {"key", own->key != NULL && fault->o.key != NULL},
        {"digest", own->digest != NULL && fault->o.digest != NULL},
        {"serial", own->serial != NULL && fault->o.serial != NULL},
        {"chain", own->chain != NULL && fault->o.chain != NULL},
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(members); i++) {
        if (members[i].twice)
            return shs_error_set(err, SHS_USAGE, 0,
                                 "The fault %s decides the %s: leave out yours, or the fault.",
                                 fault->word, members[i].name);
    }
    if ((fault->how.of_client && !own->client) || (fault->how.of_server && own->client))
        return shs_error_set(err, SHS_USAGE, 0,
                             "The fault %s is no fault for a %s: its certificate has this usage.",
                             fault->word, own->client ? "client" : "server");
    return SHS_OK;
}

static int merge(struct shs_cert_options *out, const struct fault *fault,
                 struct shs__fault_room *room, struct shs_error *err)
{
    const char *const *own = out->extensions;
    size_t count = 0;
    int rc = check_contradiction(out, fault, err);

    if (rc != SHS_OK)
        return rc;
    TAKE(not_before);
    TAKE(not_after);
    TAKE(subject);
    TAKE(usage);
    TAKE(key_usage);
    TAKE(key);
    TAKE(digest);
    TAKE(serial);
    TAKE(chain);
    if (fault->o.names != NULL) {
        out->names = fault->o.names;
        out->common_name = NULL;
    }
    out->version1 = out->version1 || fault->o.version1;
    if (fault->extension == NULL)
        return SHS_OK;
    room->extensions[count++] = fault->extension;
    for (; own != NULL && *own != NULL; own++) {
        if (count > SHS_EXTENSIONS_MAX)
            return shs_error_set(err, SHS_USAGE, 0, "A certificate has %d extensions at most.",
                                 SHS_EXTENSIONS_MAX);
        room->extensions[count++] = *own;
    }
    room->extensions[count] = NULL;
    out->extensions = room->extensions;
    return SHS_OK;
}

int shs__fault_apply(struct shs_cert_options *out, const struct shs_cert_options *opt,
                     struct shs__fault_room *room, struct shs__fault_how *how,
                     struct shs_error *err)
{
    memset(how, 0, sizeof *how);
    *out = *opt;
    if (opt->fault == NULL)
        return SHS_OK;
    for (size_t i = 0; i < SHS_ARRAY_LEN(faults); i++) {
        if (strcmp(opt->fault, faults[i].word) == 0) {
            *how = faults[i].how;
            return merge(out, &faults[i], room, err);
        }
    }
    return unknown(opt->fault, err);
}
