#include "certs/alt_names.h"

#include <stdlib.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "certs/authority.h"
#include "certs/words.h"

#define DNS_MAX 253u
#define LABEL_MAX 63u

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Letters, digits, "-" inside, and "_", which host names have not and services do. */
static bool is_label(const char *at, size_t len)
{
    if (len == 0 || len > LABEL_MAX || at[0] == '-' || at[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_name_byte(at[i]))
            return false;
    }
    return true;
}

/* "a.example", "*.a.example", "*". One whose last label is a number is an address that was
   mistyped: "256.1.1.1". */
static bool is_dns_name(const char *name)
{
    size_t total = strlen(name), len;
    const char *at = name;

    if (total > DNS_MAX)
        return false;
    if (at[0] == '*' && (at[1] == '.' || at[1] == '\0'))
        at += at[1] == '.' ? 2 : 1;
    if (*at == '\0')
        return total == 1;
    for (;; at += len + 1) {
        len = strcspn(at, ".");
        if (!is_label(at, len))
            return false;
        if (at[len] == '\0')
            return at[strspn(at, "0123456789")] != '\0';
    }
}

static bool is_printable(const char *text)
{
    while (*text > ' ' && *text < 0x7f)
        text++;
    return *text == '\0';
}

static bool is_email(const char *text)
{
    const char *sign = strrchr(text, '@');

    return is_printable(text) && sign != NULL && sign > text && sign[1] != '\0';
}

/* With a scheme, and something behind it (RFC 3986, 3). */
static bool is_uri(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

    return is_printable(text) && len > 0 && text[len] == ':' && text[len + 1] != '\0' &&
           (text[0] < '0' || text[0] > '9') && text[0] != '+' && text[0] != '.' && text[0] != '-';
}

/* The kind a prefix gives; 0 without one. *text goes behind it. */
static int prefixed(const char **text)
{
    static const struct {
        const char *prefix;
        int kind;
    } all[] = {{"dns:", GEN_DNS}, {"email:", GEN_EMAIL}, {"uri:", GEN_URI}};

    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        size_t len = strlen(all[i].prefix);

        if (strncmp(*text, all[i].prefix, len) == 0) {
            *text += len;
            return all[i].kind;
        }
    }
    return 0;
}

static GENERAL_NAME *make_name(const char *name)
{
    int kind = prefixed(&name);
    GENERAL_NAME *gen = GENERAL_NAME_new();
    ASN1_OCTET_STRING *ip = kind == 0 ? a2i_IPADDRESS(name) : NULL;
    ASN1_IA5STRING *dns = NULL;

    ERR_clear_error(); /* it was not an address: no error */
    if (gen != NULL && ip != NULL) {
        GENERAL_NAME_set0_value(gen, GEN_IPADD, ip);
        return gen;
    }
    dns = ASN1_IA5STRING_new();
    if (gen == NULL || dns == NULL || ASN1_STRING_set(dns, name, (int)strlen(name)) != 1) {
        ASN1_OCTET_STRING_free(ip);
        ASN1_IA5STRING_free(dns);
        GENERAL_NAME_free(gen);
        return NULL;
    }
    GENERAL_NAME_set0_value(gen, kind == 0 ? GEN_DNS : kind, dns);
    return gen;
}

static bool is_name(const char *name)
{
    ASN1_OCTET_STRING *ip;
    bool good;

    switch (prefixed(&name)) {
    case GEN_DNS:
        return true; /* as it stands */
    case GEN_EMAIL:
        return is_email(name);
    case GEN_URI:
        return is_uri(name);
    default:
        break;
    }
    ip = a2i_IPADDRESS(name);
    good = ip != NULL || is_dns_name(name);
    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    return good;
}

/* -- what was meant ---------------------------------------------------------------------------- */

static bool is_url(const char *text)
{
    return strstr(text, "://") != NULL;
}

/* "localhost:8443", "127.0.0.1:80", "[::1]:443" */
static bool has_port(const char *text)
{
    const char *colon = strrchr(text, ':');

    return colon != NULL && colon > text && (colon[-1] == ']' || strchr(text, ':') == colon) &&
           colon[1] != '\0' && colon[1 + strspn(colon + 1, "0123456789")] == '\0';
}

static bool in_brackets(const char *text)
{
    return text[0] == '[';
}

/* As openssl's configuration has them: "DNS:a.example", "IP:1.2.3.4" */
static bool has_openssl_prefix(const char *text)
{
    return strncmp(text, "DNS:", 4) == 0 || strncmp(text, "IP:", 3) == 0;
}

static bool is_network(const char *text)
{
    const char *slash = strchr(text, '/');

    return slash != NULL && slash[1] != '\0' && slash[1 + strspn(slash + 1, "0123456789")] == '\0';
}

static bool is_list(const char *text)
{
    return strpbrk(text, ", ;") != NULL;
}

static bool has_other_letters(const char *text)
{
    while (*text != '\0' && (unsigned char)*text < 0x80)
        text++;
    return *text != '\0';
}

/* "fe80::1%eth0" */
static bool has_zone(const char *text)
{
    const char *percent = strchr(text, '%');

    return percent != NULL && memchr(text, ':', (size_t)(percent - text)) != NULL;
}

static bool ends_in_dot(const char *text)
{
    size_t len = strlen(text);

    return len > 1 && text[len - 1] == '.' && text[len - 2] != '.';
}

static bool is_too_long(const char *text)
{
    if (strlen(text) > 253)
        return true;
    while (strcspn(text, ".") <= 63 && strchr(text, '.') != NULL)
        text = strchr(text, '.') + 1;
    return strcspn(text, ".") > 63;
}

/* NULL: it is like nothing that is given by mistake. */
static const char *hint_for(const char *name)
{
    static const struct {
        bool (*fits)(const char *text);
        const char *hint;
    } all[] = {
        {is_url, "Of a URL give the name alone; all of it is given as uri:TEXT."},
        {is_email, "A mailbox is given as email:TEXT ('shs cert new': --email)."},
        {is_list, "Give each name by itself."},
        {has_port, "A certificate knows no ports: give the name without the port."},
        {in_brackets, "Give the address without brackets."},
        {has_openssl_prefix, "Give the name alone: whether it is an address shows by itself."},
        {is_network, "Give each address by itself; a network is for what a CA may sign."},
        {has_other_letters, "Give a name of other letters as xn--..., its form in the DNS."},
        {has_zone, "A zone (%...) is of one machine: give the address without it."},
        {is_too_long, "A name has 253 bytes at most, and 63 from dot to dot."},
        {ends_in_dot, "Give it without the dot at its end."},
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        if (all[i].fits(name))
            return all[i].hint;
    }
    return NULL;
}

static int refuse_name(const char *name, struct shs_error *err)
{
    const char *text = name, *hint = hint_for(name);
    int kind = prefixed(&text);

    if (kind == GEN_EMAIL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "'%.60s' is not an address of a mailbox: a@b.example.", text);
    if (kind == GEN_URI)
        return shs_error_set(err, SHS_USAGE, 0,
                             "'%.60s' is not a URI: give its scheme as well, as in spiffe://a/b.",
                             text);
    if (hint == NULL)
        hint = "Give the name alone, one of other letters as xn--..., or a wrong one as dns:TEXT.";
    return shs_error_set(err, SHS_USAGE, 0, "'%.60s' is neither a DNS name nor an IP address. %s",
                         name, hint);
}

/* Host names are the same in any case (RFC 4343), and 0::1 is ::1. */
static bool are_same(const GENERAL_NAME *a, const GENERAL_NAME *b)
{
    int kind_a, kind_b;
    const ASN1_STRING *one = GENERAL_NAME_get0_value(a, &kind_a);
    const ASN1_STRING *other = GENERAL_NAME_get0_value(b, &kind_b);

    if (kind_a != kind_b || ASN1_STRING_length(one) != ASN1_STRING_length(other))
        return false;
    if (kind_a == GEN_DNS)
        return strncasecmp((const char *)ASN1_STRING_get0_data(one),
                           (const char *)ASN1_STRING_get0_data(other),
                           (size_t)ASN1_STRING_length(one)) == 0;
    return ASN1_STRING_cmp(one, other) == 0;
}

/* Takes it. One that is there already is not put in twice, unless it is to be as it stands. False:
   out of memory. */
static bool add_name(GENERAL_NAMES *all, GENERAL_NAME *gen, bool as_it_stands)
{
    for (int i = 0; !as_it_stands && i < sk_GENERAL_NAME_num(all); i++) {
        if (are_same(sk_GENERAL_NAME_value(all, i), gen)) {
            GENERAL_NAME_free(gen);
            return true;
        }
    }
    if (sk_GENERAL_NAME_push(all, gen) > 0)
        return true;
    GENERAL_NAME_free(gen);
    return false;
}

int shs__add_names(X509 *cert, const char *const *names, bool critical, struct shs_error *err)
{
    GENERAL_NAMES *all;
    int rc = SHS_OK;
    size_t i;

    if (names == NULL || names[0] == NULL)
        return SHS_OK;
    all = sk_GENERAL_NAME_new_null();
    if (all == NULL)
        return shs__certs_nomem(err);
    for (i = 0; names[i] != NULL && rc == SHS_OK; i++) {
        const char *text = names[i];
        bool as_it_stands = prefixed(&text) == GEN_DNS;
        GENERAL_NAME *gen = NULL;

        if (!is_name(names[i])) {
            rc = refuse_name(names[i], err);
            break;
        }
        gen = make_name(names[i]);
        if (gen == NULL || !add_name(all, gen, as_it_stands))
            rc = shs__certs_nomem(err);
    }
    if (rc == SHS_OK &&
        X509_add1_ext_i2d(cert, NID_subject_alt_name, all, critical, X509V3_ADD_DEFAULT) != 1)
        rc = shs__certs_fail(err, "Adding the names to a certificate");
    sk_GENERAL_NAME_pop_free(all, GENERAL_NAME_free);
    return rc;
}

/* -- what a CA may sign for -------------------------------------------------------------------- */

/* "10.0.0.0/8" as address and mask, one after the other (RFC 5280, 4.2.1.10); NULL: it is none. */
static ASN1_OCTET_STRING *make_network(const char *text)
{
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    char address[64];
    unsigned char bytes[32] = {0};
    ASN1_OCTET_STRING *ip, *network;
    size_t size, bits, i;

    if (len >= sizeof address)
        return NULL;
    memcpy(address, text, len);
    address[len] = '\0';
    ip = a2i_IPADDRESS(address);
    ERR_clear_error(); /* a name is not an error */
    if (ip == NULL)
        return NULL;
    size = (size_t)ASN1_STRING_length(ip);
    memcpy(bytes, ASN1_STRING_get0_data(ip), size);
    ASN1_OCTET_STRING_free(ip);
    bits = slash == NULL ? size * 8 : strtoul(slash + 1, NULL, 10);
    for (i = 0; i < size * 8 && i < bits; i++)
        bytes[size + i / 8] |= (unsigned char)(0x80u >> i % 8);
    network = ASN1_OCTET_STRING_new();
    if (network != NULL && ASN1_OCTET_STRING_set(network, bytes, (int)(2 * size)) != 1) {
        ASN1_OCTET_STRING_free(network);
        network = NULL;
    }
    return network;
}

static GENERAL_SUBTREE *make_subtree(const char *name)
{
    GENERAL_SUBTREE *tree = GENERAL_SUBTREE_new();
    ASN1_OCTET_STRING *network = make_network(name);
    GENERAL_NAME *base = NULL;

    if (network == NULL) {
        base = make_name(name);
    } else {
        base = GENERAL_NAME_new();
        if (base != NULL)
            GENERAL_NAME_set0_value(base, GEN_IPADD, network);
        else
            ASN1_OCTET_STRING_free(network);
    }
    if (tree == NULL || base == NULL) {
        GENERAL_SUBTREE_free(tree);
        GENERAL_NAME_free(base);
        return NULL;
    }
    GENERAL_NAME_free(tree->base);
    tree->base = base;
    return tree;
}

static bool add_subtrees(STACK_OF(GENERAL_SUBTREE) * *list, const char *const *names)
{
    bool good = true;

    if (names == NULL)
        return true;
    *list = sk_GENERAL_SUBTREE_new_null();
    for (good = *list != NULL; good && *names != NULL; names++) {
        GENERAL_SUBTREE *tree = make_subtree(*names);

        good = tree != NULL && sk_GENERAL_SUBTREE_push(*list, tree) > 0;
        if (!good)
            GENERAL_SUBTREE_free(tree);
    }
    return good;
}

bool shs__add_constraints(X509 *cert, const char *const *permitted, const char *const *excluded)
{
    NAME_CONSTRAINTS *all;
    bool good;

    if (permitted == NULL && excluded == NULL)
        return true;
    all = NAME_CONSTRAINTS_new();
    good = all != NULL && add_subtrees(&all->permittedSubtrees, permitted) &&
           add_subtrees(&all->excludedSubtrees, excluded) &&
           X509_add1_ext_i2d(cert, NID_name_constraints, all, 1, X509V3_ADD_DEFAULT) == 1;
    NAME_CONSTRAINTS_free(all);
    return good;
}

/* With the hint for a name, but that of a network, which is right here. */
static int refuse_constraint(const char *name, struct shs_error *err)
{
    const char *hint = is_network(name) ? NULL : hint_for(name);

    return shs_error_set(err, SHS_USAGE, 0,
                         "An authority cannot be constrained to '%.60s'. Give a domain "
                         "(\"example.test\"), an address, or a network (\"10.0.0.0/8\").%s%s",
                         name, hint == NULL ? "" : " ", hint == NULL ? "" : hint);
}

int shs__check_constraints(const char *const *names, struct shs_error *err)
{
    for (; names != NULL && *names != NULL; names++) {
        const char *slash = strchr(*names, '/');
        ASN1_OCTET_STRING *network = make_network(*names);
        const char *text = *names;
        /* Of a mailbox or a URI the host alone may stand here; "*" in front is said of itself. */
        bool named = prefixed(&text) != 0 ? *text != '\0' : is_dns_name(text) && *text != '*';
        bool good = network != NULL || (slash == NULL && named);
        unsigned long bits = 0;

        if (network != NULL && slash != NULL) {
            bits = slash[1] >= '0' && slash[1] <= '9' ? strtoul(slash + 1, NULL, 10) : 1000;
            good = slash[1 + strspn(slash + 1, "0123456789")] == '\0' &&
                   bits <= (unsigned long)ASN1_STRING_length(network) * 4;
        }
        ASN1_OCTET_STRING_free(network);
        if (!good)
            return refuse_constraint(*names, err);
    }
    return SHS_OK;
}
