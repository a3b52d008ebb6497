#include "certs/words.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include <shs/certs.h>

#define RANDOM_SERIAL_LEN 16
#define LONG_SERIAL_LEN 21
#define SERIAL_MAX_LEN (SHS_SERIAL_DIGITS / 2)
#define DAY ((int64_t)86400)

int shs__certs_fail(struct shs_error *err, const char *what)
{
    unsigned long tls_code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(tls_code);

    shs_error_set(err, SHS_TLS, 0, "%s failed: %s.", what, reason == NULL ? "no reason" : reason);
    if (err != NULL)
        err->tls_code = tls_code;
    ERR_clear_error();
    return SHS_TLS;
}

int shs__certs_nomem(struct shs_error *err)
{
    ERR_clear_error();
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a certificate.");
}

bool shs__word_next(const char **at, char word[SHS_WORD_MAX])
{
    const char *from = *at, *end;
    size_t len;

    while (*from == ' ' || *from == ',')
        from++;
    if (*from == '\0')
        return false;
    end = from + strcspn(from, ",");
    *at = end;
    while (end > from && end[-1] == ' ')
        end--;
    len = (size_t)(end - from);
    if (len > SHS_WORD_MAX - 1)
        len = SHS_WORD_MAX - 1;
    memcpy(word, from, len);
    word[len] = '\0';
    return true;
}

int shs__digest_word(const char **out, const char *word, struct shs_error *err)
{
    static const struct {
        const char *word, *name;
    } all[] = {{"sha256", "SHA2-256"}, {"sha384", "SHA2-384"}, {"sha512", "SHA2-512"},
               {"sha224", "SHA2-224"}, {"sha1", "SHA1"},       {"md5", "MD5"}};

    if (word == NULL)
        word = "sha256";
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        if (strcmp(word, all[i].word) == 0) {
            *out = all[i].name;
            return SHS_OK;
        }
    }
    return shs_error_set(
        err, SHS_USAGE, 0,
        "'%.60s' is not a digest. Use one of: sha256, sha384, sha512, sha224, sha1, md5.", word);
}

/* -- serial numbers ---------------------------------------------------------------------------- */

static int random_serial(ASN1_INTEGER *out, size_t len)
{
    unsigned char bytes[LONG_SERIAL_LEN];
    BIGNUM *bn;
    bool good;

    if (RAND_bytes(bytes, (int)len) != 1)
        return SHS_TLS;
    /* Positive (top bit 0), and always of the same length. */
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
    bn = BN_bin2bn(bytes, (int)len, NULL);
    good = bn != NULL && BN_to_ASN1_INTEGER(bn, out) != NULL;
    BN_free(bn);
    return good ? SHS_OK : SHS_NOMEM;
}

int shs__number_word(ASN1_INTEGER *out, const char *word, const char *what, const char *also,
                     struct shs_error *err)
{
    const char *digits = word, *allowed = "0123456789";
    BIGNUM *bn = NULL;
    int rc = SHS_OK;

    if (word == NULL || strcmp(word, "random21") == 0) {
        rc = random_serial(out, word == NULL ? RANDOM_SERIAL_LEN : LONG_SERIAL_LEN);
        return rc == SHS_OK ? rc : shs__certs_fail(err, "Making a serial number");
    }
    if (digits[0] == '-')
        digits++;
    if (digits[0] == '0' && digits[1] == 'x') {
        digits += 2;
        allowed = "0123456789abcdefABCDEF";
    }
    if (digits[0] == '\0' || digits[strspn(digits, allowed)] != '\0' ||
        strlen(digits) > 2 * (size_t)SERIAL_MAX_LEN || BN_asc2bn(&bn, word) == 0 ||
        BN_num_bytes(bn) > SERIAL_MAX_LEN)
        rc = shs_error_set(
            err, SHS_USAGE, 0,
            "'%.60s' is not %s. Give a decimal number, 0x and digits (either may have a - before "
            "it, and %d bytes at most), %s.",
            word, what, SERIAL_MAX_LEN, also);
    else if (BN_to_ASN1_INTEGER(bn, out) == NULL)
        rc = shs__certs_nomem(err);
    BN_free(bn);
    return rc;
}

char *shs__serial_text(const ASN1_INTEGER *serial)
{
    BIGNUM *bn = ASN1_INTEGER_to_BN(serial, NULL);
    char *hex = bn == NULL ? NULL : BN_bn2hex(bn);
    char *text = shs__strdup(hex);

    OPENSSL_free(hex);
    BN_free(bn);
    return text;
}

ASN1_INTEGER *shs__serial_parse(const char *text)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    ASN1_INTEGER *serial = NULL;
    BIGNUM *bn = NULL;

    if (digits[0] != '\0' && digits[strspn(digits, "0123456789abcdefABCDEF")] == '\0' &&
        strlen(digits) <= 2 * (size_t)SERIAL_MAX_LEN && BN_hex2bn(&bn, text) != 0)
        serial = BN_to_ASN1_INTEGER(bn, NULL);
    BN_free(bn);
    return serial;
}

int shs__serial_word(ASN1_INTEGER *out, const char *word, struct shs_error *err)
{
    return shs__number_word(out, word, "a serial number", "or random21", err);
}

/* -- dates ------------------------------------------------------------------------------------- */

/* "30d" in seconds; false: it is none. */
static bool parse_span(const char *text, int64_t *out)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', DAY}, {'w', 7 * DAY}, {'y', 365 * DAY}};
    char *end;
    long long number;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    number = strtoll(text, &end, 10);
    if (errno != 0 || end[0] == '\0' || end[1] != '\0' || number > 400000000000)
        return false;
    for (size_t i = 0; i < SHS_ARRAY_LEN(units); i++) {
        if (end[0] == units[i].unit && number <= 400000000000 / units[i].seconds) {
            *out = number * units[i].seconds;
            return true;
        }
    }
    return false;
}

/* "2026-11-28" or "2026-11-28T08:30:00Z". */
static bool parse_calendar(const char *text, int64_t *out)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    struct tm tm = {.tm_mday = 0}, back;
    size_t len = strlen(text);
    time_t when;

    if (len != 10 && len != sizeof shape - 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (shape[i] == 'd' ? !isdigit((unsigned char)text[i]) : shape[i] != text[i])
            return false;
    }
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec) < 3)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    back = tm;
    when = timegm(&back);
    /* The 31st of June would have become the 1st of July. */
    if (back.tm_mday != tm.tm_mday || back.tm_mon != tm.tm_mon || back.tm_hour != tm.tm_hour ||
        back.tm_min != tm.tm_min || back.tm_sec != tm.tm_sec)
        return false;
    *out = (int64_t)when;
    return true;
}

static bool parse_date(int64_t *out, const char *text, int64_t now)
{
    int64_t span;
    char *end;

    if (strcmp(text, "now") == 0) {
        *out = now;
        return true;
    }
    if (text[0] == '@' && isdigit((unsigned char)text[text[1] == '-' ? 2 : 1])) {
        errno = 0;
        *out = strtoll(text + 1, &end, 10);
        return errno == 0 && *end == '\0';
    }
    if (text[0] == '+' || text[0] == '-') {
        if (!parse_span(text + 1, &span))
            return false;
        *out = text[0] == '+' ? now + span : now - span;
        return true;
    }
    return parse_calendar(text, out);
}

int shs_parse_date(int64_t *out, const char *text, int64_t now, struct shs_error *err)
{
    /* What a certificate can say: the years 0 to 9999. */
    static const int64_t first = -62167219200, last = 253402300799;
    int64_t when = 0;

    if (!parse_date(&when, text, now) || when < first || when > last)
        return shs_error_set(
            err, SHS_USAGE, 0,
            "'%.60s' is not a date of the years 0 to 9999. Give +30d or -1s (units s m "
            "h d w y), now, 2026-11-28, 2026-11-28T08:30:00Z or @ and Unix time.",
            text);
    *out = when;
    return SHS_OK;
}
