#include "tls/clients/client.h"

#include <arpa/inet.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/text.h"
#include "tls/config/identity.h"
#include "tls/config/ocsp.h"

#define MEMORY_MAX ((size_t)512 * 1024)
#define TEXT_MAX 512
#define SERIAL_MAX 32 /* bytes; RFC 5280 allows 20 */

/* The first reason that was found stays. */
static void refuse(struct shs_client_record *self, enum shs_client_reason reason, const char *why)
{
    if (self->identity.reason != SHS_CLIENT_OK)
        return;
    self->identity.reason = reason;
    self->why = why;
}

#define TOO_MANY "it has too many names: more than 256 of a kind"

bool shs__client_name_text(const X509_NAME *name, char *buf, size_t cap)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool good = bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0;
    char *data = NULL;
    long len = 0;

    buf[0] = '\0';
    if (good)
        len = BIO_get_mem_data(bio, &data);
    if (len > 0) {
        if ((size_t)len > cap - 1)
            len = (long)cap - 1;
        memcpy(buf, data, (size_t)len);
        buf[len] = '\0';
    }
    BIO_free(bio);
    return good;
}

static bool copy_name(struct shs_client_record *self, const X509_NAME *name, struct shs_str *out)
{
    char text[TEXT_MAX];

    if (!shs__client_name_text(name, text, sizeof text))
        return false;
    *out = shs__arena_copy(&self->memory, shs__str(text));
    return out->ptr != NULL;
}

/* Exact bytes where they are text as they are; UTF-8 of the wide kinds. */
static bool copy_string(struct shs_client_record *self, const ASN1_STRING *s, struct shs_str *out)
{
    unsigned char *utf8 = NULL;
    struct shs_str bytes;
    int len;

    *out = (struct shs_str){NULL, 0};
    switch (ASN1_STRING_type(s)) {
    case V_ASN1_UTF8STRING:
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_IA5STRING:
        bytes =
            (struct shs_str){(const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)};
        break;
    default:
        len = ASN1_STRING_to_UTF8(&utf8, s);
        if (len < 0) {
            refuse(self, SHS_CLIENT_MALFORMED,
                   "a name in it has bytes that its type does not allow");
            return !shs__tls_was_nomem();
        }
        bytes = (struct shs_str){(const char *)utf8, (size_t)len};
    }
    if (bytes.len > SHS_CLIENT_NAME_MAX)
        refuse(self, SHS_CLIENT_TOO_LARGE, "a name in it is longer than 1024 bytes");
    else if (memchr(bytes.ptr, '\0', bytes.len) != NULL)
        refuse(self, SHS_CLIENT_AMBIGUOUS, "a name in it has a NUL inside");
    else
        *out = shs__arena_copy(&self->memory, bytes);
    OPENSSL_free(utf8);
    return out->ptr != NULL || self->identity.reason != SHS_CLIENT_OK;
}

static bool copy_attribute(struct shs_client_record *self, const X509_NAME *name, int nid,
                           bool only_one, struct shs_str *out)
{
    int at = X509_NAME_get_index_by_NID(name, nid, -1);

    if (at < 0)
        return true;
    if (only_one && X509_NAME_get_index_by_NID(name, nid, at) >= 0)
        refuse(self, SHS_CLIENT_AMBIGUOUS, "it names its owner twice, by two common names");
    return copy_string(self, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)), out);
}

/* All that there are of a kind. */
static bool copy_attributes(struct shs_client_record *self, const X509_NAME *name, int nid,
                            const struct shs_str **out, size_t *count)
{
    struct shs_str *values;
    size_t n = 0;

    for (int at = -1; (at = X509_NAME_get_index_by_NID(name, nid, at)) >= 0;)
        n++;
    if (n > SHS_CLIENT_SANS_MAX) {
        refuse(self, SHS_CLIENT_TOO_LARGE, TOO_MANY);
        return true;
    }
    values = shs__arena_alloc(&self->memory, (n + 1) * sizeof *values);
    *out = values;
    *count = 0;
    for (int at = -1; values != NULL && (at = X509_NAME_get_index_by_NID(name, nid, at)) >= 0;) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, at);

        if (!copy_string(self, X509_NAME_ENTRY_get_data(entry), &values[*count]))
            return false;
        if (values[*count].ptr != NULL)
            ++*count;
    }
    return values != NULL;
}

static bool copy_ip(struct shs_client_record *self, const ASN1_OCTET_STRING *ip,
                    struct shs_str *out)
{
    char text[INET6_ADDRSTRLEN];
    int len = ASN1_STRING_length(ip);

    const unsigned char *bytes = ASN1_STRING_get0_data(ip);

    if ((len != 4 && len != 16) ||
        inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, text, sizeof text) == NULL) {
        refuse(self, SHS_CLIENT_MALFORMED, "an IP address in it is neither of 4 nor of 16 bytes");
        return true;
    }
    *out = shs__arena_copy(&self->memory, shs__str(text));
    return out->ptr != NULL;
}

/* One name; kinds that nobody here can use are passed over. */
static bool add_san(struct shs_client_record *self, const GENERAL_NAME *name, struct shs_san *sans)
{
    struct shs_san *san = &sans[self->identity.san_count];
    bool good;

    *san = (struct shs_san){.value = {NULL, 0}};
    switch (name->type) {
    case GEN_DNS:
        san->kind = SHS_SAN_DNS;
        good = copy_string(self, name->d.dNSName, &san->value);
        break;
    case GEN_EMAIL:
        san->kind = SHS_SAN_EMAIL;
        good = copy_string(self, name->d.rfc822Name, &san->value);
        break;
    case GEN_URI:
        san->kind = SHS_SAN_URI;
        good = copy_string(self, name->d.uniformResourceIdentifier, &san->value);
        break;
    case GEN_IPADD:
        san->kind = SHS_SAN_IP;
        good = copy_ip(self, name->d.iPAddress, &san->value);
        break;
    default:
        return true;
    }
    if (good && san->value.ptr != NULL)
        self->identity.san_count++;
    return good;
}

static bool add_sans(struct shs_client_record *self, X509 *cert)
{
    int critical = 0, i, count;
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
    struct shs_san *sans;
    bool good = true;

    if (names == NULL) {
        if (critical != -1) /* not "there is none", but unreadable or there twice */
            refuse(self, SHS_CLIENT_MALFORMED, "its subjectAltName is unreadable, or there twice");
        return !shs__tls_was_nomem();
    }
    count = sk_GENERAL_NAME_num(names);
    if (count > SHS_CLIENT_SANS_MAX) {
        refuse(self, SHS_CLIENT_TOO_LARGE, TOO_MANY);
        count = 0;
    }
    sans = shs__arena_alloc(&self->memory, ((size_t)count + 1) * sizeof *sans);
    self->identity.sans = sans;
    for (i = 0; sans != NULL && good && i < count; i++)
        good = add_san(self, sk_GENERAL_NAME_value(names, i), sans);
    GENERAL_NAMES_free(names);
    return good && sans != NULL;
}

/* Says it of itself, or may sign: X509_check_ca alone says no when keyUsage lacks keyCertSign. */
static bool is_authority(X509 *cert)
{
    return (X509_get_extension_flags(cert) & EXFLAG_CA) != 0 || X509_check_ca(cert) != 0;
}

/* X509-SVID, 2: exactly one URI, and no CA; and an ID that everybody reads alike. */
static void find_spiffe(struct shs_client_record *self, X509 *cert)
{
    struct shs_client_identity *id = &self->identity;
    const char *why = NULL;
    size_t uris = 0;

    for (size_t i = 0; i < id->san_count; i++) {
        if (id->sans[i].kind != SHS_SAN_URI)
            continue;
        uris++;
        if (shs__is_spiffe(id->sans[i].value))
            id->spiffe_id = id->sans[i].value;
    }
    if (id->spiffe_id.ptr == NULL)
        return;
    if (uris > 1)
        why = "it names its owner twice: beside its SPIFFE ID it has another URI";
    else if (is_authority(cert))
        why = "it has a SPIFFE ID, and is a CA's certificate: a CA is no client";
    else if (!shs__spiffe_is_good(id->spiffe_id, false))
        why = "its SPIFFE ID is not spelled as one: words of letters, digits, '.', '-' and '_' "
              "between '/', and no port";
    if (why == NULL)
        return;
    id->spiffe_id = (struct shs_str){NULL, 0};
    refuse(self, SHS_CLIENT_AMBIGUOUS, why);
}

/* By hand: with snprintf it was a quarter of what a client's certificate costs here. */
static void hex(const unsigned char *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

static bool add_digests(struct shs_client_record *self, X509 *cert)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (X509_digest(cert, EVP_sha256(), digest, &len) != 1 || len != 32)
        return false;
    hex(digest, len, self->identity.cert_sha256);
    if (!shs__client_key_digest(cert, digest))
        return false;
    hex(digest, SHS_CLIENT_KEY_LEN, self->identity.spki_sha256);
    return true;
}

static bool add_serial(struct shs_client_record *self, X509 *cert)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    size_t len = (size_t)ASN1_STRING_length(serial);
    char text[2 * SERIAL_MAX + 1] = "";

    if (len > SERIAL_MAX)
        refuse(self, SHS_CLIENT_MALFORMED, "its serial number is longer than 32 bytes");
    else
        hex(ASN1_STRING_get0_data(serial), len, text);
    self->identity.serial = shs__arena_copy(&self->memory, shs__str(text));
    return self->identity.serial.ptr != NULL;
}

int shs__client_record_new(struct shs_client_record **out, X509 *cert)
{
    struct shs_client_record *self = shs__calloc(1, sizeof *self);
    const X509_NAME *subject = X509_get_subject_name(cert);
    struct shs_client_identity *id;
    bool good;

    if (self == NULL)
        return SHS_NOMEM;
    id = &self->identity;
    shs__arena_init(&self->memory, MEMORY_MAX);
    good =
        copy_name(self, subject, &id->subject) &&
        copy_name(self, X509_get_issuer_name(cert), &id->issuer) && add_serial(self, cert) &&
        copy_attribute(self, subject, NID_commonName, true, &id->common_name) &&
        copy_attribute(self, subject, NID_organizationName, false, &id->organization) &&
        copy_attributes(self, subject, NID_organizationName, &id->organizations,
                        &id->organization_count) &&
        copy_attributes(self, subject, NID_organizationalUnitName, &id->units, &id->unit_count) &&
        add_sans(self, cert) && add_digests(self, cert);
    ERR_clear_error();
    if (!good) {
        shs__client_record_free(self);
        return SHS_NOMEM;
    }
    find_spiffe(self, cert);
    id->is_ca = is_authority(cert);
    id->not_before = shs__tls_time(X509_get0_notBefore(cert));
    id->not_after = shs__tls_time(X509_get0_notAfter(cert));
    *out = self;
    return SHS_OK;
}

bool shs__client_record_set_cas(struct shs_client_record *self, const struct shs_client_keys *keys)
{
    char(*text)[65] = shs__arena_alloc(&self->memory, (keys->count + 1) * sizeof *text);

    if (text == NULL)
        return false;
    for (size_t i = 0; i < keys->count; i++)
        hex(keys->at[i], SHS_CLIENT_KEY_LEN, text[i]);
    self->identity.ca_spki_sha256 = (const char(*)[65])text;
    self->identity.ca_count = keys->count;
    return true;
}

void shs__client_record_free(struct shs_client_record *self)
{
    if (self == NULL)
        return;
    shs__arena_free(&self->memory);
    shs__free(self);
}

const char *shs_san_kind_label(enum shs_san_kind kind)
{
    switch (kind) {
    case SHS_SAN_DNS:
        return "dns";
    case SHS_SAN_EMAIL:
        return "email";
    case SHS_SAN_URI:
        return "uri";
    case SHS_SAN_IP:
        return "ip";
    }
    return "";
}
