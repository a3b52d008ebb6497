#include "access/values.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include <arpa/inet.h>

#include "base/chars.h"
#include "base/network.h"
#include "base/text.h"

#define ALTERNATIVES_MAX 1000u
#define NAME_BUFFER ((size_t)64 * 1024)

static int no_memory(struct shs_error *err)
{
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for rules.");
}

static int keep(struct shs_words *words, struct shs_str bytes, struct shs_str *out,
                struct shs_error *err)
{
    *out = shs__arena_copy(words->memory, bytes);
    return out->ptr == NULL ? no_memory(err) : SHS_OK;
}

/* -- digests and numbers ----------------------------------------------------------------------- */

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

/* 43 digits and "=": 32 bytes, whose last two bits are none. */
static bool from_base64(struct shs_str s, char out[65])
{
    unsigned bits = 0;
    uint32_t word = 0;
    size_t n = 0;

    for (size_t i = 0; i < 43; i++) {
        int value = base64_value(s.ptr[i]);

        if (value < 0)
            return false;
        word = word << 6 | (uint32_t)value;
        bits += 6;
        for (; bits >= 8; bits -= 8)
            n += (size_t)snprintf(out + n, 3, "%02x", word >> (bits - 8) & 0xff);
    }
    return s.ptr[43] == '=' && (word & 3) == 0;
}

int shs__value_digest(struct shs_words *words, struct shs_str text, struct shs_str *out,
                      struct shs_error *err)
{
    char hex[65] = "";
    struct shs_str s = text;
    bool good = false;

    if (shs_str_starts_with(s, "sha256:")) {
        s.ptr += 7;
        s.len -= 7;
    }
    if (s.len == 64) {
        good = true;
        for (size_t i = 0; i < 64; i++) {
            good = good && shs__hex_value(s.ptr[i]) < 16;
            hex[i] = (char)shs__lower((unsigned char)s.ptr[i]);
        }
    } else if (s.len == 44) {
        good = from_base64(s, hex);
    }
    if (!good)
        return shs__words_fault(
            words, err,
            "'%.70s' is not a SHA-256 digest: 64 hexadecimal digits, or 44 characters of "
            "base64.",
            text.ptr);
    return keep(words, (struct shs_str){hex, 64}, out, err);
}

/* As the identity has it: lower case, without zeros before it. */
static int read_serial(struct shs_words *words, struct shs_str text, struct shs_str *out,
                       struct shs_error *err)
{
    struct shs_str s = text;
    char hex[64];

    if (shs_str_starts_with(s, "0x") || shs_str_starts_with(s, "0X")) {
        s.ptr += 2;
        s.len -= 2;
    }
    while (s.len > 1 && s.ptr[0] == '0') {
        s.ptr++;
        s.len--;
    }
    for (size_t i = 0; i < s.len && i < sizeof hex; i++) {
        if (shs__hex_value(s.ptr[i]) > 15)
            s.len = 0;
        hex[i] = (char)shs__lower((unsigned char)s.ptr[i]);
    }
    if (s.len == 0 || s.len > sizeof hex)
        return shs__words_fault(words, err, "'%.70s' is not a serial number in hexadecimal.",
                                text.ptr);
    return keep(words, (struct shs_str){hex, s.len}, out, err);
}

static int look_up_user(const char *name, char *buf, uint64_t *id)
{
    struct passwd entry, *found = NULL;
    int sys = getpwnam_r(name, &entry, buf, NAME_BUFFER, &found);

    if (found != NULL)
        *id = entry.pw_uid;
    return found != NULL ? 0 : sys == 0 ? ENOENT : sys;
}

static int look_up_group(const char *name, char *buf, uint64_t *id)
{
    struct group entry, *found = NULL;
    int sys = getgrnam_r(name, &entry, buf, NAME_BUFFER, &found);

    if (found != NULL)
        *id = entry.gr_gid;
    return found != NULL ? 0 : sys == 0 ? ENOENT : sys;
}

/* A uid or gid, by number or by name. */
static int read_id(struct shs_words *words, enum shs_attr attr, struct shs_str text,
                   struct shs_str *out, struct shs_error *err)
{
    bool is_user = attr == SHS_ATTR_UID;
    char number[24], *buf;
    uint64_t id = 0;
    int sys, len;

    /* The largest is not an id: it stands for "none" (chown(2)). */
    if (!shs_str_number(text, UINT32_MAX - 1, &id)) {
        if (text.len == 0 || shs__is_digit(text.ptr[0]) || text.ptr[0] == '-')
            return shs__words_fault(words, err, "'%.70s' is no %s.", text.ptr,
                                    shs__attr_kinds[attr].word);
        buf = shs__malloc(NAME_BUFFER);
        if (buf == NULL)
            return no_memory(err);
        sys = is_user ? look_up_user(text.ptr, buf, &id) : look_up_group(text.ptr, buf, &id);
        shs__free(buf);
        if (sys != 0)
            return shs__words_fault(words, err, "there is no %s '%.70s' on this system.",
                                    is_user ? "user" : "group", text.ptr);
    }
    len = snprintf(number, sizeof number, "%llu", (unsigned long long)id);
    return keep(words, (struct shs_str){number, (size_t)len}, out, err);
}

/* As the identity has it: what inet_ntop makes. */
static int read_ip(struct shs_words *words, struct shs_str text, struct shs_str *out,
                   struct shs_error *err)
{
    char canonical[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    int family = strchr(text.ptr, ':') != NULL ? AF_INET6 : AF_INET;

    if (inet_pton(family, text.ptr, bytes) != 1 ||
        inet_ntop(family, bytes, canonical, sizeof canonical) == NULL)
        return shs__words_fault(words, err, "'%.70s' is not an IP address.", text.ptr);
    return keep(words, shs_str_of(canonical), out, err);
}

/* -- patterns ---------------------------------------------------------------------------------- */

static int too_many_segments(const struct shs_words *words, struct shs_str text,
                             struct shs_error *err)
{
    return shs__words_fault(words, err, "'%.70s' has more than %d segments.", text.ptr,
                            SHS_ACCESS_SEGMENTS);
}

/* Cut at the separator; "*" and "**" are what they stand for. */
static int cut(struct shs_words *words, struct shs_str text, char separator,
               struct shs_pattern *out, struct shs_error *err)
{
    struct shs_segments segs;

    shs__segments_cut(&segs, text, separator);
    if (segs.count > SHS_ACCESS_SEGMENTS)
        return too_many_segments(words, text, err);
    out->count = segs.count;
    out->segs = shs__arena_alloc(words->memory, segs.count * sizeof *out->segs);
    if (out->segs == NULL)
        return no_memory(err);
    for (size_t i = 0; i < segs.count; i++) {
        struct shs_segment *seg = &out->segs[i];

        *seg = (struct shs_segment){SHS_SEGMENT_TEXT, segs.at[i]};
        if (shs_str_is(seg->text, "*"))
            seg->kind = SHS_SEGMENT_ONE;
        else if (shs_str_is(seg->text, "**"))
            seg->kind = SHS_SEGMENT_REST;
        else if (seg->text.len > 0 && memchr(seg->text.ptr, '*', seg->text.len) != NULL)
            return shs__words_fault(words, err,
                                    "'%.70s': a '*' stands for a whole segment, '%.*s' has more.",
                                    text.ptr, (int)seg->text.len, seg->text.ptr);
        if (seg->kind == SHS_SEGMENT_REST && (i + 1 < segs.count || separator != '/'))
            return shs__words_fault(
                words, err, "'%.70s': '**' is the rest of a path or a URI, at its end.", text.ptr);
    }
    return SHS_OK;
}

/* Is enough of it said that it does not fit everybody's? */
static bool tells_somebody(enum shs_attr attr, const struct shs_pattern *p)
{
    size_t said = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct shs_segment *seg = &p->segs[i];

        if (seg->kind != SHS_SEGMENT_TEXT || seg->text.len == 0)
            continue;
        if ((attr != SHS_ATTR_URI && attr != SHS_ATTR_VIA_URI) ||
            seg->text.ptr[seg->text.len - 1] != ':') /* a scheme */
            said++;
    }
    return said >= (attr == SHS_ATTR_DNS || attr == SHS_ATTR_VIA_DNS ? 2 : 1);
}

static int admits_everybody(const struct shs_words *words, enum shs_attr attr, struct shs_str text,
                            struct shs_error *err)
{
    return shs__words_fault(words, err,
                            "%s '%.60s' would fit every certificate of a CA. If that is meant, "
                            "write 'any' in its place.",
                            shs__attr_kinds[attr].word, text.ptr);
}

/* What no certificate can have is a mistake; and who reads it, one way or another, is misled. */
static int check_spiffe(const struct shs_words *words, enum shs_attr attr, struct shs_str text,
                        struct shs_error *err)
{
    if ((attr != SHS_ATTR_URI && attr != SHS_ATTR_VIA_URI) || !shs__is_spiffe(text) ||
        shs__spiffe_is_good(text, true))
        return SHS_OK;
    return shs__words_fault(words, err,
                            "'%.90s' is not a SPIFFE ID: between its '/' are letters, digits, '.', "
                            "'-' and '_', and neither nothing nor '.' nor '..' alone.",
                            text.ptr);
}

static int read_name(struct shs_words *words, enum shs_attr attr, struct shs_str text,
                     struct shs_access_condition *out, struct shs_error *err)
{
    char separator = shs__attr_kinds[attr].separator;
    bool star = memchr(text.ptr, '*', text.len) != NULL;

    if (text.len == 0)
        return shs__words_fault(words, err, "%s has an empty value.", shs__attr_kinds[attr].word);
    if (!star)
        SHS_RETURN_IF_ERROR(check_spiffe(words, attr, text, err));
    if (!star)
        return keep(words, text, &out->value, err);
    if (text.ptr[strspn(text.ptr, "*")] == '\0')
        return attr == SHS_ATTR_USER
                   ? shs__words_fault(words, err, "user '*' is not a user; 'anyone' is everybody.")
                   : admits_everybody(words, attr, text, err);
    if (separator == 0)
        return shs__words_fault(words, err,
                                "%s '%.70s': there are no patterns for it; it is compared as it "
                                "is.",
                                shs__attr_kinds[attr].word, text.ptr);
    out->is_pattern = true;
    out->value = text;
    SHS_RETURN_IF_ERROR(cut(words, text, separator, &out->pattern, err));
    SHS_RETURN_IF_ERROR(check_spiffe(words, attr, text, err));
    return tells_somebody(attr, &out->pattern) ? SHS_OK : admits_everybody(words, attr, text, err);
}

/* The address of a proxy, as it is compared; or "unix". */
static int read_proxy(struct shs_words *words, struct shs_str text, struct shs_str *out,
                      struct shs_error *err)
{
    char buf[SHS_ADDRESS_TEXT_MAX];
    struct shs__address address;

    if (shs_str_is(text, "unix"))
        return keep(words, text, out, err);
    if (!shs__address_read(&address, text))
        return shs__words_fault(
            words, err,
            "via '%.60s' is not a proxy: give its address, or 'unix' for a peer "
            "at a Unix socket.",
            text.ptr);
    shs__address_text(&address, buf);
    return keep(words, shs_str_of(buf), out, err);
}

int shs__value_read(struct shs_words *words, enum shs_attr attr, struct shs_str text,
                    struct shs_access_condition *out, struct shs_error *err)
{
    *out = (struct shs_access_condition){.attr = attr};
    switch (attr) {
    case SHS_ATTR_CN:
    case SHS_ATTR_O:
    case SHS_ATTR_OU:
    case SHS_ATTR_DNS:
    case SHS_ATTR_URI:
    case SHS_ATTR_EMAIL:
    case SHS_ATTR_USER:
    case SHS_ATTR_VIA_URI:
    case SHS_ATTR_VIA_DNS:
    case SHS_ATTR_VIA_CN:
        return read_name(words, attr, text, out, err);
    case SHS_ATTR_IP:
        return shs_str_is(text, "*") ? admits_everybody(words, attr, text, err)
                                     : read_ip(words, text, &out->value, err);
    case SHS_ATTR_SERIAL:
        return shs_str_is(text, "*") ? admits_everybody(words, attr, text, err)
                                     : read_serial(words, text, &out->value, err);
    case SHS_ATTR_VIA:
        return read_proxy(words, text, &out->value, err);
    case SHS_ATTR_SPKI:
    case SHS_ATTR_CERT:
    case SHS_ATTR_VIA_CERT:
        return shs__value_digest(words, text, &out->value, err);
    case SHS_ATTR_UID:
    case SHS_ATTR_GID:
        return read_id(words, attr, text, &out->value, err);
    case SHS_ATTR_ANY:
    case SHS_ATTR_ANYONE:
    case SHS_ATTR_CA:
    case SHS_ATTR_COUNT:
        break;
    }
    return shs__words_fault(words, err, "'%s' has no value.", shs__attr_kinds[attr].word);
}

/* -- paths ------------------------------------------------------------------------------------- */

struct paths {
    struct shs_words *words;
    struct shs_str text; /* as it stands in the file */
    shs_pattern_fn *each;
    void *ctx;
    struct shs_error *err;
    unsigned count;
};

/* The segment of a path that the router matches with nothing. */
static bool is_unreachable(const struct shs_segment *seg, bool last)
{
    struct shs_str s = seg->text;

    if (seg->kind != SHS_SEGMENT_TEXT)
        return false;
    if ((s.len == 0 && !last) || shs_str_is(s, ".") || shs_str_is(s, ".."))
        return true;
    return s.len > 0 && memchr(s.ptr, '#', s.len) != NULL;
}

static bool is_encoded(struct shs_str s)
{
    for (size_t i = 0; i + 2 < s.len; i++) {
        if (s.ptr[i] == '%' && shs__hex_value(s.ptr[i + 1]) < 16 &&
            shs__hex_value(s.ptr[i + 2]) < 16)
            return true;
    }
    return false;
}

static int take_path(struct paths *p, struct shs_str text)
{
    struct shs_pattern pattern;

    if (++p->count > ALTERNATIVES_MAX)
        return shs__words_fault(p->words, p->err, "'%.70s' stands for more than %u paths.",
                                p->text.ptr, ALTERNATIVES_MAX);
    if (text.ptr[0] != '/')
        return shs__words_fault(p->words, p->err, "the path '%.70s' does not begin with '/'.",
                                text.ptr);
    if (is_encoded(text))
        return shs__words_fault(p->words, p->err,
                                "the path '%.70s' is encoded: write it as it reads when it is "
                                "decoded.",
                                text.ptr);
    SHS_RETURN_IF_ERROR(
        cut(p->words, (struct shs_str){text.ptr + 1, text.len - 1}, '/', &pattern, p->err));
    for (size_t i = 0; i < pattern.count; i++) {
        if (is_unreachable(&pattern.segs[i], i + 1 == pattern.count))
            return shs__words_fault(p->words, p->err,
                                    "no request reaches the path '%.70s': '//', '/./', '/../' and "
                                    "'#' match nothing.",
                                    text.ptr);
    }
    return p->each(p->ctx, &pattern);
}

/* The "}" for the "{" at s.ptr[0]; *commas: between alternatives. */
static size_t closing(struct shs_str s, size_t *commas)
{
    size_t depth = 0;

    *commas = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '{')
            depth++;
        else if (s.ptr[i] == ',' && depth == 1)
            ++*commas;
        else if (s.ptr[i] == '}' && --depth == 0)
            return i;
    }
    return 0;
}

static int expand(struct paths *p, struct shs_str text, unsigned depth);

/* `before`, one of the alternatives, and what comes behind them. */
static int expand_one(struct paths *p, struct shs_str before, struct shs_str one,
                      struct shs_str behind, unsigned depth)
{
    size_t len = before.len + one.len + behind.len;
    char *whole = shs__arena_alloc(p->words->memory, len + 1);

    if (whole == NULL)
        return no_memory(p->err);
    memcpy(whole, before.ptr, before.len);
    memcpy(whole + before.len, one.ptr, one.len);
    memcpy(whole + before.len + one.len, behind.ptr, behind.len);
    whole[len] = '\0';
    return expand(p, (struct shs_str){whole, len}, depth + 1);
}

static int expand_group(struct paths *p, struct shs_str text, size_t open, size_t close,
                        unsigned depth)
{
    struct shs_str before = {text.ptr, open}, behind = {text.ptr + close + 1, text.len - close - 1};
    size_t from = open + 1, nested = 0;

    for (size_t i = from; i <= close; i++) {
        if (text.ptr[i] == '{')
            nested++;
        else if (text.ptr[i] == '}' && i < close)
            nested--;
        if (i < close && (text.ptr[i] != ',' || nested > 0))
            continue;
        if (i == from)
            return shs__words_fault(p->words, p->err, "'%.70s' has an empty alternative.",
                                    p->text.ptr);
        SHS_RETURN_IF_ERROR(
            expand_one(p, before, (struct shs_str){text.ptr + from, i - from}, behind, depth));
        from = i + 1;
    }
    return SHS_OK;
}

static int expand(struct paths *p, struct shs_str text, unsigned depth)
{
    size_t open = strcspn(text.ptr, "{}"), close, commas;
    bool rest;

    if (open == text.len)
        return take_path(p, text);
    close = closing((struct shs_str){text.ptr + open, text.len - open}, &commas);
    if (text.ptr[open] == '}' || close == 0 || depth > 16)
        return shs__words_fault(p->words, p->err, "'%.70s' has a '{' or '}' without the other.",
                                p->text.ptr);
    close += open;
    if (commas > 0)
        return expand_group(p, text, open, close, depth);
    /* {name}, {name...}: as in the router */
    if (close == open + 1 || open == 0 || text.ptr[open - 1] != '/' ||
        (close + 1 < text.len && text.ptr[close + 1] != '/'))
        return shs__words_fault(p->words, p->err,
                                "'%.70s': {name} is a whole segment, and {a,b} has a comma.",
                                p->text.ptr);
    rest = close > open + 4 && memcmp(text.ptr + close - 3, "...", 3) == 0;
    return expand_one(p, (struct shs_str){text.ptr, open}, rest ? SHS_STR("**") : SHS_STR("*"),
                      (struct shs_str){text.ptr + close + 1, text.len - close - 1}, depth);
}

int shs__value_paths(struct shs_words *words, struct shs_str text, shs_pattern_fn *each, void *ctx,
                     struct shs_error *err)
{
    struct paths p = {words, text, each, ctx, err, 0};

    return expand(&p, text, 0);
}
