#include "tls/config/pem.h"

#include <stdio.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "tls/config/identity.h"

#define DASHES "-----"
#define DASHES_LEN 5
#define LABEL_MAX 64
/* A line of base64 that nobody writes as a comment; lines in PEM have 64, few have less. */
#define LOST_LINE 48

void shs__tls_pem_begin(struct shs_tls_pem *self, const char *bytes, size_t len, const char *name)
{
    *self = (struct shs_tls_pem){.at = bytes, .end = bytes + len, .name = name, .line = 1};
}

/* -- lines ------------------------------------------------------------------------------------- */

/* The length of a blank at `at`: a space, a tab, NBSP, a byte order mark, a zero width space. */
static size_t blank_at(const char *at, size_t left)
{
    static const char *const wide[] = {"\xc2\xa0", "\xef\xbb\xbf", "\xe2\x80\x8b", "\xe2\x80\xaf",
                                       "\xe3\x80\x80"};

    if (left > 0 && strchr(" \t\r\v\f\xa0", *at) != NULL && *at != '\0')
        return 1;
    for (size_t i = 0; i < SHS_ARRAY_LEN(wide); i++) {
        size_t len = strlen(wide[i]);

        if (left >= len && memcmp(at, wide[i], len) == 0)
            return len;
    }
    return 0;
}

/* Without blanks at both ends. */
static struct shs_str trim(struct shs_str line)
{
    size_t n;

    while ((n = blank_at(line.ptr, line.len)) > 0) {
        line.ptr += n;
        line.len -= n;
    }
    /* The longest first: the last byte of one alone is a blank of Latin-1. */
    for (n = 3; n > 0; n--) {
        if (n <= line.len && blank_at(line.ptr + line.len - n, n) == n) {
            line.len -= n;
            n = 4; /* from the start again */
        }
    }
    return line;
}

/* The next line, trimmed, without its end. False at the end of the file. */
static bool next_line(struct shs_tls_pem *self, struct shs_str *line)
{
    const char *stop;

    if (self->at >= self->end)
        return false;
    for (stop = self->at; stop < self->end && *stop != '\n' && *stop != '\r'; stop++)
        ;
    *line = trim((struct shs_str){self->at, (size_t)(stop - self->at)});
    if (stop < self->end && *stop == '\r' && stop + 1 < self->end && stop[1] == '\n')
        stop++;
    self->at = stop < self->end ? stop + 1 : stop;
    self->line++;
    return true;
}

static bool has_prefix(struct shs_str line, const char *text)
{
    size_t len = strlen(text);

    return line.len >= len && memcmp(line.ptr, text, len) == 0;
}

/* "-----BEGIN X-----" with `word` BEGIN: its X. */
static bool boundary(struct shs_str line, const char *word, struct shs_str *label)
{
    char start[16];
    size_t len = (size_t)snprintf(start, sizeof start, DASHES "%s ", word);

    if (!has_prefix(line, start) || line.len < len + 1 + DASHES_LEN ||
        memcmp(line.ptr + line.len - DASHES_LEN, DASHES, DASHES_LEN) != 0)
        return false;
    *label = (struct shs_str){line.ptr + len, line.len - len - DASHES_LEN};
    return label->len <= LABEL_MAX && memchr(label->ptr, '-', label->len) == NULL;
}

static bool has_word(struct shs_str line, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= line.len; i++) {
        size_t k = 0;

        while (k < len &&
               shs__lower((unsigned char)line.ptr[i + k]) == shs__lower((unsigned char)word[k]))
            k++;
        if (k == len)
            return true;
    }
    return false;
}

/* A hyphen, or one of the dashes that word processors make of two. */
static bool has_dashes(struct shs_str line)
{
    return has_word(line, "--") || has_word(line, "\xe2\x80\x93") ||
           has_word(line, "\xe2\x80\x94") || has_word(line, "\xe2\x80\x90");
}

/* The word where a boundary has it: after a dash, or first in a line. */
static bool has_mark(struct shs_str line, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= line.len; i++) {
        struct shs_str rest = {line.ptr + i, len};

        if (has_word(rest, word) && (i == 0 || line.ptr[i - 1] == '-' || (line.ptr[i - 1] & 0x80)))
            return true;
    }
    return false;
}

static bool in_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/' || c == '=';
}

static bool only_base64(struct shs_str line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (!in_base64(line.ptr[i]))
            return false;
    }
    return true;
}

/* A line outside of blocks that is not a comment: what a BEGIN was, or what follows one. */
static int look_for_losses(const struct shs_tls_pem *self, struct shs_str line,
                           struct shs_error *err)
{
    unsigned number = self->line - 1;
    bool named = has_word(line, "CERTIFICATE") || has_word(line, "KEY-") ||
                 has_word(line, "CRL-") || has_word(line, "PKCS7");

    if (has_dashes(line) && has_mark(line, "BEGIN") && named)
        return shs_error_set(err, SHS_TLS, 0,
                             "Line %u of %s is a damaged BEGIN line: '%.*s'. It must be "
                             "'-----BEGIN CERTIFICATE-----' or the like, and nothing else.",
                             number, self->name, (int)(line.len < 48 ? line.len : 48), line.ptr);
    if (has_dashes(line) && has_mark(line, "END ") && named)
        return shs_error_set(err, SHS_TLS, 0,
                             "Line %u of %s is an END line, and no BEGIN line comes before it: is "
                             "that one damaged?",
                             number, self->name);
    /* Longer than a serial number or fingerprint, which openssl writes beside certificates. */
    if (line.len >= LOST_LINE && only_base64(line))
        return shs_error_set(err, SHS_TLS, 0,
                             "Line %u of %s looks like a part of a certificate or key (base64), "
                             "and no BEGIN line comes before it.",
                             number, self->name);
    return SHS_OK;
}

/* Something that no editor writes: of DER, of UTF-16, of an archive. Ctrl-Z ends files of DOS. */
static bool is_text(struct shs_str line)
{
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.ptr[i];

        if (c < ' ' && c != '\t' && c != '\v' && c != '\f' && c != 0x1a)
            return false;
    }
    return true;
}

static int check_text(const struct shs_tls_pem *self, struct shs_error *err)
{
    if (!self->has_block || self->no_text == 0)
        return SHS_OK;
    return shs_error_set(err, SHS_TLS, 0,
                         "Line %u of %s is not text (DER? UTF-16?), but beside it is PEM: what is "
                         "there would be lost. Give it a file of its own, or convert it to PEM.",
                         self->no_text, self->name);
}

/* -- blocks ------------------------------------------------------------------------------------ */

static int malformed(const struct shs_tls_pem *self, const struct shs_tls_pem_block *block,
                     unsigned line, const char *why, struct shs_error *err)
{
    return shs_error_set(err, SHS_TLS, 0,
                         "The block '%.*s' on line %u of %s is malformed: %s (line %u). Is the "
                         "file whole?",
                         (int)block->label.len, block->label.ptr, block->line, self->name, why,
                         line);
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

struct decoder {
    uint32_t bits;
    unsigned have, padding;
};

/* One line of base64 into the block, which has room. NULL, or what is wrong. */
static const char *decode_line(struct decoder *d, struct shs_tls_pem_block *block,
                               struct shs_str line)
{
    for (size_t i = 0; i < line.len; i++) {
        int value = value_of(line.ptr[i]);

        if (line.ptr[i] == '=') {
            if (++d->padding > 2)
                return "too many '='";
            value = 0;
        } else if (value < 0) {
            return "a character that is not base64";
        } else if (d->padding > 0) {
            return "something after the '=' that ends base64";
        }
        d->bits = d->bits << 6 | (uint32_t)value;
        if (++d->have < 4)
            continue;
        for (unsigned k = 0; k < 3 - d->padding; k++)
            block->der[block->len++] = (unsigned char)(d->bits >> (16 - 8 * k));
        d->have = 0;
        d->bits = 0;
    }
    return NULL;
}

/* The lines of a block that has a head (RFC 1421), which ends with an empty line. */
static bool skip_head(struct shs_tls_pem *self, struct shs_tls_pem_block *block,
                      struct shs_str *line)
{
    bool more = true;

    if (memchr(line->ptr, ':', line->len) == NULL)
        return true;
    block->locked = true;
    while (more && line->len > 0 && !has_prefix(*line, DASHES))
        more = next_line(self, line);
    return more;
}

static int read_block(struct shs_tls_pem *self, struct shs_tls_pem_block *block,
                      struct shs_error *err)
{
    struct decoder decoder = {0};
    struct shs_str line, label;
    const char *why = NULL;
    bool first = true;

    for (;;) {
        if (!next_line(self, &line) || (first && !skip_head(self, block, &line)))
            return malformed(self, block, self->line, "it has no END", err);
        first = false;
        if (boundary(line, "END", &label))
            break;
        /* Base64 spells the word by chance, in one of 34 million characters. */
        if (has_prefix(line, DASHES) || (has_word(line, "BEGIN") && !only_base64(line)))
            return malformed(self, block, self->line - 1, "it has no END", err);
        why = decode_line(&decoder, block, line);
        if (why != NULL)
            return malformed(self, block, self->line - 1, why, err);
    }
    block->text.len = (size_t)(line.ptr + line.len - block->text.ptr);
    if (!shs__str_eq(label, block->label))
        return malformed(self, block, self->line - 1, "its END names something else", err);
    if (decoder.have != 0)
        return malformed(self, block, self->line - 1, "its base64 is cut off", err);
    return block->len > 0 ? SHS_OK : malformed(self, block, self->line - 1, "it is empty", err);
}

/* Room for what stands before the next END. */
static size_t most_bytes(const struct shs_tls_pem *self)
{
    size_t left = (size_t)(self->end - self->at);
    const char *stop = memmem(self->at, left, DASHES "END", DASHES_LEN + 3);

    return (stop == NULL ? left : (size_t)(stop - self->at)) / 4 * 3 + 4;
}

int shs__tls_pem_next(struct shs_tls_pem *self, struct shs_tls_pem_block *block,
                      struct shs_error *err)
{
    struct shs_str line;
    int rc = SHS_OK;

    memset(block, 0, sizeof *block);
    while (rc == SHS_OK && next_line(self, &line)) {
        if (boundary(line, "BEGIN", &block->label)) {
            block->text.ptr = line.ptr;
            block->line = self->line - 1;
            block->der = shs__malloc(most_bytes(self));
            if (block->der == NULL)
                return shs_error_set(err, SHS_NOMEM, 0, "Out of memory while reading %s.",
                                     self->name);
            self->has_block = true;
            rc = check_text(self, err);
            if (rc == SHS_OK)
                rc = read_block(self, block, err);
            if (rc != SHS_OK)
                shs__tls_pem_drop(block);
            return rc;
        }
        if (self->no_text == 0 && !is_text(line))
            self->no_text = self->line - 1;
        rc = check_text(self, err);
        if (rc == SHS_OK)
            rc = look_for_losses(self, line, err);
    }
    return rc == SHS_OK ? SHS_CLOSED : rc;
}

void shs__tls_pem_drop(struct shs_tls_pem_block *block)
{
    if (block->der != NULL)
        OPENSSL_cleanse(block->der, block->len);
    shs__free(block->der);
    block->der = NULL;
}

/* -- what a block is --------------------------------------------------------------------------- */

bool shs__tls_is_der(const struct shs_buf *bytes)
{
    const char *at = shs__buf_head(bytes);

    return bytes->len > 1 && at[0] == 0x30 && (at[1] & 0x80) != 0;
}

int shs__tls_pem_text(const struct shs_tls_pem_block *block, struct shs_buf *out)
{
    struct shs_tls_pem lines;
    struct shs_str line;
    int rc = shs__buf_reserve(out, block->text.len + 1);

    shs__tls_pem_begin(&lines, block->text.ptr, block->text.len, "");
    while (rc == SHS_OK && next_line(&lines, &line)) {
        rc = shs__buf_append_str(out, line);
        if (rc == SHS_OK)
            rc = shs__buf_append(out, "\n", 1);
    }
    return rc;
}

bool shs__tls_pem_is(const struct shs_tls_pem_block *block, const char *label)
{
    return shs__str_eq(block->label, shs__str(label));
}

bool shs__tls_pem_is_certificate(const struct shs_tls_pem_block *block)
{
    return shs__tls_pem_is(block, PEM_STRING_X509) || shs__tls_pem_is(block, PEM_STRING_X509_OLD) ||
           shs__tls_pem_is(block, PEM_STRING_X509_TRUSTED);
}

bool shs__tls_pem_is_key(const struct shs_tls_pem_block *block)
{
    return has_word(block->label, PEM_STRING_PKCS8INF);
}

int shs__tls_pem_certificate(X509 **out, const struct shs_tls_pem *self,
                             const struct shs_tls_pem_block *block, struct shs_error *err)
{
    const unsigned char *at = block->der;
    char what[64];

    ERR_clear_error();
    if (shs__tls_pem_is(block, PEM_STRING_X509_TRUSTED))
        *out = d2i_X509_AUX(NULL, &at, (long)block->len);
    else
        *out = d2i_X509(NULL, &at, (long)block->len);
    if (*out != NULL && at == block->der + block->len)
        return SHS_OK;
    snprintf(what, sizeof what,
             *out == NULL ? "is malformed" : "is malformed: it goes on after it");
    X509_free(*out);
    *out = NULL;
    return shs__tls_error(err, SHS_TLS, "The certificate on line %u of %s %s", block->line,
                          self->name, what);
}

int shs__tls_pem_stray(const struct shs_tls_pem *self, const struct shs_tls_pem_block *block,
                       const char *what, struct shs_error *err)
{
    const char *remedy = "Take it out";

    if (shs__tls_pem_is(block, PEM_STRING_PKCS7) || shs__tls_pem_is(block, "CMS"))
        remedy = "Convert it with openssl pkcs7 -print_certs";
    else if (shs__tls_pem_is(block, PEM_STRING_X509_CRL))
        remedy = "CRLs go into a file of their own (crl)";
    else if (shs__tls_pem_is(block, PEM_STRING_X509_REQ) ||
             shs__tls_pem_is(block, PEM_STRING_X509_REQ_OLD))
        remedy = "That is a request: have its CA sign it";
    return shs_error_set(
        err, SHS_TLS, 0, "The block '%.*s' on line %u of %s has no place in a %s file. %s.",
        (int)block->label.len, block->label.ptr, block->line, self->name, what, remedy);
}
