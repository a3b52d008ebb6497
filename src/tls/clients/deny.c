#include "tls/clients/deny.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/chars.h"
#include "tls/config/source.h"

#define FILE_MAX ((size_t)64 * 1024 * 1024)
#define ENTRIES_MAX ((size_t)1000000)
#define LINE_CAP 2048
/* As much of an issuer as an identity has of it (client.c): longer ones agree to that length. */
#define ISSUER_MAX 511
#define SERIAL_DIGITS_MAX 64

struct shs_tls_deny_set {
    size_t count, room;
    unsigned char (*keys)[SHS_DENY_KEY_LEN]; /* in order */
};

struct shs_tls_deny {
    _Atomic unsigned refs;
    _Atomic size_t count; /* of both: nearly always 0 */
    pthread_mutex_t lock; /* guards what follows; held for a search */
    struct shs_tls_deny_set *of_file;
    struct shs_tls_deny_set added;
    shs__tls_denies_fn *denies; /* what this list has no words for; NULL: nothing */
    void *denies_ctx;
};

/* -- keys -------------------------------------------------------------------------------------- */

/*
 * The hexadecimal digits at *at, without colons, lower case; how many, or 0 when they do not fit.
 */
static size_t take_digits(const char **at, char *out, size_t cap)
{
    static const char digits[] = "0123456789abcdef";
    size_t count = 0;

    for (; shs__hex_value(**at) < 16 || **at == ':'; (*at)++) {
        if (**at == ':')
            continue;
        if (count == cap)
            return 0;
        out[count++] = digits[shs__hex_value(**at)];
    }
    return count;
}

static bool key_of_digest(unsigned char key[SHS_DENY_KEY_LEN], char kind, const char *hex,
                          size_t len)
{
    if (len != 64)
        return false;
    key[0] = (unsigned char)kind;
    for (size_t i = 0; i < 32; i++)
        key[1 + i] =
            (unsigned char)(shs__hex_value(hex[2 * i]) << 4 | shs__hex_value(hex[2 * i + 1]));
    return true;
}

/* -- names ------------------------------------------------------------------------------------- */

/* What ends an attribute's type, an attribute, and a part of a name that has several. */
enum { IS = 1, NEXT_PART, NEXT_TOO, ESCAPED };

/* Types that go by several names, the shortest last. */
static struct shs_str common_type(const char *type, size_t len)
{
    static const char *const many[][2] = {
        {"emailaddress", "e"}, {"email", "e"},    {"1.2.840.113549.1.9.1", "e"},
        {"st", "s"},           {"2.5.4.3", "cn"}, {"2.5.4.6", "c"},
        {"2.5.4.8", "s"},      {"2.5.4.7", "l"},  {"2.5.4.10", "o"},
        {"2.5.4.11", "ou"},
    };

    if (len > 4 && memcmp(type, "oid.", 4) == 0) {
        type += 4;
        len -= 4;
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(many); i++) {
        if (strlen(many[i][0]) == len && memcmp(many[i][0], type, len) == 0)
            return shs__str(many[i][1]);
    }
    return (struct shs_str){type, len};
}

/* The byte at *at of a value; *at is behind it then. */
static unsigned char take_byte(const char **at, const char *end, bool *escaped)
{
    const char *p = *at;

    *escaped = p[0] == '\\' && end - p > 1;
    if (!*escaped) {
        *at = p + 1;
        return (unsigned char)p[0];
    }
    if (end - p > 2 && shs__hex_value(p[1]) < 16 && shs__hex_value(p[2]) < 16) {
        *at = p + 3;
        return (unsigned char)(shs__hex_value(p[1]) << 4 | shs__hex_value(p[2]));
    }
    *at = p + 2;
    return (unsigned char)p[1];
}

/*
 * A name in the one form that all its spellings have (RFC 4514; RFC 5280, 7.1): types and ASCII
 * letters in lower case, one blank for several, bytes as they are instead of escapes. An entry that
 * is not the client's by its spelling alone would let it in. Never longer than `name`.
 */
static size_t common_form(struct shs_str name, char *out)
{
    const char *at = name.ptr, *end = name.ptr + name.len;
    size_t len = 0, begin = 0;
    bool in_value = false, blank = true, escaped; /* blank: one more says nothing */

    while (at < end) {
        unsigned char c = take_byte(&at, end, &escaped);

        if (escaped || !(c == ' ' || c == ',' || c == '+' || (c == '=' && !in_value))) {
            if (c <= ESCAPED && escaped) {
                out[len++] = ESCAPED;
                c += '@';
            }
            out[len++] = (char)shs__lower(c);
            blank = false;
            continue;
        }
        if (c == '=') {
            struct shs_str type = common_type(out + begin, len - begin);

            memmove(out + begin, type.ptr, type.len);
            len = begin + type.len;
        }
        if (blank && c == ' ')
            continue;
        if (c != ' ' && blank && len > begin)
            len--; /* the blank before it */
        out[len++] = c == ' ' ? ' ' : c == '=' ? IS : c == ',' ? NEXT_PART : NEXT_TOO;
        blank = true;
        in_value = c == '=' || (c == ' ' && in_value);
        begin = c == ' ' ? begin : len;
    }
    return len - (blank && len > begin);
}

/* A number and a name become one digest: all keys are of one length. SHS_NOMEM, or SHS_USAGE. */
static int key_of_serial(unsigned char key[SHS_DENY_KEY_LEN], struct shs_str serial,
                         struct shs_str issuer)
{
    char text[SERIAL_DIGITS_MAX + 1 + ISSUER_MAX];
    unsigned len = 0;

    while (serial.len > 1 && serial.ptr[0] == '0') {
        serial.ptr++;
        serial.len--;
    }
    if (serial.len > SERIAL_DIGITS_MAX)
        return SHS_USAGE;
    if (issuer.len > ISSUER_MAX)
        issuer.len = ISSUER_MAX;
    memcpy(text, serial.ptr, serial.len);
    text[serial.len] = '\n';
    issuer.len = common_form(issuer, text + serial.len + 1);
    key[0] = 'n';
    if (EVP_Digest(text, serial.len + 1 + issuer.len, key + 1, &len, EVP_sha256(), NULL) == 1 &&
        len == SHS_DENY_KEY_LEN - 1)
        return SHS_OK;
    ERR_clear_error();
    return SHS_NOMEM;
}

bool shs__tls_deny_keys_of(struct shs_tls_deny_keys *out,
                           const struct shs_client_identity *identity)
{
    return key_of_digest(out->key[0], 'c', identity->cert_sha256, 64) &&
           key_of_digest(out->key[1], 's', identity->spki_sha256, 64) &&
           key_of_serial(out->key[2], identity->serial, identity->issuer) == SHS_OK;
}

/* -- entries ----------------------------------------------------------------------------------- */

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t\r");
}

static int bad_entry(struct shs_error *err, const char *text)
{
    return shs_error_set(err, SHS_USAGE, 0,
                         "'%.80s' is neither 'cert SHA256', 'spki SHA256' nor 'serial NUMBER "
                         "ISSUER' (see whoami, or openssl x509 -noout -serial -issuer -nameopt "
                         "RFC2253).",
                         text);
}

/* The length of TYPE=VALUE at `at`; 0 when that is none. A backslash takes the next one along. */
static size_t attribute_len(const char *at, size_t left)
{
    size_t n = 0;

    while (n < left && shs__char_is(at[n], SHS_CHAR_HOST))
        n++;
    if (n == 0 || n == left || at[n] != '=')
        return 0;
    n++;
    if (n < left && at[n] == ' ') /* "CN = x": one that begins with a blank is escaped */
        return 0;
    while (n < left && at[n] != ',' && at[n] != '+')
        n += at[n] == '\\' ? 2 : 1;
    return n;
}

/*
 * A name as whoami says it. In another form ("C = DE, CN = x", "/C=DE/CN=x") it would be nobody's,
 * and who is meant would be let in.
 */
static bool is_rfc2253(const char *name, size_t len)
{
    size_t at = 0, n;

    while (at < len && (n = attribute_len(name + at, len - at)) > 0) {
        at += n;
        if (at >= len)
            return true;
        at++;
    }
    return len >= ISSUER_MAX && at > 0; /* cut off */
}

/* Without the blanks at its end, but for one that belongs to it. */
static size_t trimmed_len(const char *text)
{
    size_t len = strlen(text), slashes = 0;

    while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
        len--;
    while (slashes < len && text[len - 1 - slashes] == '\\')
        slashes++;
    return slashes % 2 == 1 && text[len] != '\0' ? len + 1 : len;
}

static int parse_entry(unsigned char key[SHS_DENY_KEY_LEN], const char *text, struct shs_error *err)
{
    static const struct {
        const char *word;
        char kind;
    } kinds[] = {{"cert", 'c'}, {"spki", 's'}, {"serial", 'n'}};
    char digits[SERIAL_DIGITS_MAX];
    size_t count, len, word = strcspn(text, " \t");
    const char *at = skip_blanks(text + word);
    int rc = SHS_USAGE;
    size_t i = 0;

    while (i < SHS_ARRAY_LEN(kinds) &&
           (strlen(kinds[i].word) != word || memcmp(kinds[i].word, text, word) != 0))
        i++;
    if (i == SHS_ARRAY_LEN(kinds))
        return bad_entry(err, text);
    if (kinds[i].kind == 'n' && *at == '-')
        at++; /* openssl writes one; whoami, and so the key, has no sign */
    count = take_digits(&at, digits, sizeof digits);
    if (count == 0 || (*at != '\0' && strchr(" \t\r", *at) == NULL))
        return bad_entry(err, text);
    at = skip_blanks(at);
    if (strncmp(at, "issuer=", strlen("issuer=")) == 0)
        at += strlen("issuer="); /* as openssl prints it */
    len = trimmed_len(at);
    if (kinds[i].kind == 'n') {
        if (is_rfc2253(at, len))
            rc = key_of_serial(key, (struct shs_str){digits, count}, (struct shs_str){at, len});
        if (rc == SHS_NOMEM)
            return shs_error_set(err, rc, 0, "Out of memory for the deny list.");
        if (rc == SHS_OK)
            return rc;
    } else if (len == 0 && key_of_digest(key, kinds[i].kind, digits, count)) {
        return SHS_OK;
    }
    return bad_entry(err, text);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, SHS_DENY_KEY_LEN);
}

static bool set_has(const struct shs_tls_deny_set *set, const unsigned char key[SHS_DENY_KEY_LEN])
{
    return set->count > 0 &&
           bsearch(key, set->keys, set->count, SHS_DENY_KEY_LEN, by_bytes) != NULL;
}

static int set_append(struct shs_tls_deny_set *set, const unsigned char key[SHS_DENY_KEY_LEN])
{
    if (set->count == ENTRIES_MAX)
        return SHS_LIMIT;
    if (set->count == set->room) {
        size_t room = set->room == 0 ? 16 : set->room * 2;
        void *keys = shs__realloc(set->keys, room * SHS_DENY_KEY_LEN);

        if (keys == NULL)
            return SHS_NOMEM;
        set->keys = keys;
        set->room = room;
    }
    memcpy(set->keys[set->count++], key, SHS_DENY_KEY_LEN);
    return SHS_OK;
}

/* -- the file ---------------------------------------------------------------------------------- */

static int read_line(struct shs_tls_deny_set *set, struct shs_str line, unsigned number,
                     const char *path, struct shs_error *err)
{
    unsigned char key[SHS_DENY_KEY_LEN];
    char text[LINE_CAP];
    struct shs_error why;
    const char *at;
    int rc;

    if (line.len >= sizeof text || memchr(line.ptr, '\0', line.len) != NULL)
        return shs_error_set(err, SHS_TLS, 0,
                             "Line %u of the deny list '%s' is too long, or not text.", number,
                             path);
    memcpy(text, line.ptr, line.len);
    text[line.len] = '\0';
    at = skip_blanks(text);
    if (*at == '\0' || *at == '#')
        return SHS_OK;
    rc = parse_entry(key, at, &why);
    if (rc == SHS_NOMEM)
        return shs_error_set(err, rc, 0, "Out of memory for the deny list '%s'.", path);
    if (rc != SHS_OK)
        return shs_error_set(err, SHS_TLS, 0, "Line %u of the deny list '%.80s': %.300s", number,
                             path, why.text);
    rc = set_append(set, key);
    if (rc == SHS_NOMEM)
        return shs_error_set(err, rc, 0, "Out of memory for the deny list '%s'.", path);
    if (rc != SHS_OK)
        return shs_error_set(err, rc, 0, "The deny list '%s' has more than %zu entries.", path,
                             ENTRIES_MAX);
    return rc;
}

int shs__tls_deny_read(struct shs_tls_deny_set **out, const char *path, struct shs_error *err)
{
    struct shs_tls_deny_set *set = shs__calloc(1, sizeof *set);
    const char *at, *end, *line_end;
    struct shs_buf bytes;
    unsigned number = 0;
    int rc = shs__tls_read_file(&bytes, path, FILE_MAX, "deny list", err);

    if (rc == SHS_OK && set == NULL)
        rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the deny list.");
    at = bytes.len == 0 ? "" : shs__buf_head(&bytes);
    end = at + bytes.len;
    while (rc == SHS_OK && at < end) {
        line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL)
            line_end = end;
        rc = read_line(set, (struct shs_str){at, (size_t)(line_end - at)}, ++number, path, err);
        at = line_end + (line_end < end);
    }
    shs__buf_free(&bytes);
    if (rc != SHS_OK) {
        shs__tls_deny_set_free(set);
        return rc;
    }
    if (set->count > 0)
        qsort(set->keys, set->count, SHS_DENY_KEY_LEN, by_bytes);
    *out = set;
    return SHS_OK;
}

void shs__tls_deny_set_free(struct shs_tls_deny_set *self)
{
    if (self == NULL)
        return;
    shs__free(self->keys);
    shs__free(self);
}

/* -- what is denied now ------------------------------------------------------------------------ */

int shs__tls_deny_new(struct shs_tls_deny **out)
{
    struct shs_tls_deny *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return SHS_NOMEM;
    atomic_init(&self->refs, 1);
    pthread_mutex_init(&self->lock, NULL);
    *out = self;
    return SHS_OK;
}

struct shs_tls_deny *shs__tls_deny_ref(struct shs_tls_deny *self)
{
    atomic_fetch_add_explicit(&self->refs, 1, memory_order_relaxed);
    return self;
}

void shs__tls_deny_free(struct shs_tls_deny *self)
{
    if (self == NULL || atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) != 1)
        return;
    shs__tls_deny_set_free(self->of_file);
    shs__free(self->added.keys);
    pthread_mutex_destroy(&self->lock);
    shs__free(self);
}

/* With the lock. */
static void count_entries(struct shs_tls_deny *self)
{
    size_t of_file = self->of_file == NULL ? 0 : self->of_file->count;

    atomic_store(&self->count, of_file + self->added.count);
}

static bool same(const struct shs_tls_deny_set *a, const struct shs_tls_deny_set *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->keys, b->keys, a->count * SHS_DENY_KEY_LEN) == 0);
}

bool shs__tls_deny_replace(struct shs_tls_deny *self, struct shs_tls_deny_set *set)
{
    struct shs_tls_deny_set *old;
    bool changed;

    pthread_mutex_lock(&self->lock);
    old = self->of_file;
    self->of_file = set;
    count_entries(self);
    pthread_mutex_unlock(&self->lock);
    changed = !same(old, set);
    shs__tls_deny_set_free(old);
    return changed;
}

int shs__tls_deny_add(struct shs_tls_deny *self, const char *entry, struct shs_error *err)
{
    unsigned char key[SHS_DENY_KEY_LEN];
    int rc = parse_entry(key, skip_blanks(entry), err);

    if (rc != SHS_OK)
        return rc;
    pthread_mutex_lock(&self->lock);
    if (!set_has(&self->added, key)) {
        rc = set_append(&self->added, key);
        if (rc == SHS_OK)
            qsort(self->added.keys, self->added.count, SHS_DENY_KEY_LEN, by_bytes);
    }
    count_entries(self);
    pthread_mutex_unlock(&self->lock);
    if (rc == SHS_NOMEM)
        return shs_error_set(err, rc, 0, "Out of memory for the deny list.");
    if (rc != SHS_OK)
        return shs_error_set(err, rc, 0, "The deny list has no room for another entry.");
    return SHS_OK;
}

int shs__tls_deny_remove(struct shs_tls_deny *self, const char *entry, struct shs_error *err)
{
    struct shs_tls_deny_set *set = &self->added;
    unsigned char key[SHS_DENY_KEY_LEN], *found;
    int rc = parse_entry(key, skip_blanks(entry), err);

    if (rc != SHS_OK)
        return rc;
    pthread_mutex_lock(&self->lock);
    found =
        set->count == 0 ? NULL : bsearch(key, set->keys, set->count, SHS_DENY_KEY_LEN, by_bytes);
    if (found != NULL) {
        unsigned char *end = set->keys[--set->count];

        memmove(found, found + SHS_DENY_KEY_LEN, (size_t)(end - found));
    }
    count_entries(self);
    pthread_mutex_unlock(&self->lock);
    return SHS_OK;
}

bool shs__tls_deny_is_empty(const struct shs_tls_deny *self)
{
    return atomic_load(&self->count) == 0 && self->denies == NULL;
}

void shs__tls_deny_ask(struct shs_tls_deny *self, shs__tls_denies_fn *denies, void *ctx)
{
    self->denies = denies;
    self->denies_ctx = ctx;
}

bool shs__tls_deny_has(struct shs_tls_deny *self, const struct shs_tls_deny_keys *keys)
{
    bool found = false;

    if (atomic_load(&self->count) == 0)
        return false;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; !found && i < SHS_ARRAY_LEN(keys->key); i++)
        found = set_has(&self->added, keys->key[i]) ||
                (self->of_file != NULL && set_has(self->of_file, keys->key[i]));
    pthread_mutex_unlock(&self->lock);
    return found;
}

int shs__tls_deny_denies(struct shs_tls_deny *self, const struct shs_client_identity *identity)
{
    struct shs_tls_deny_keys keys;

    if (self->denies != NULL && self->denies(self->denies_ctx, identity))
        return 1;
    if (atomic_load(&self->count) == 0)
        return 0;
    if (!shs__tls_deny_keys_of(&keys, identity))
        return -1;
    return shs__tls_deny_has(self, &keys);
}
