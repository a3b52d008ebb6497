#include "lab/hello.h"

#include "base/text.h"

#define RECORD_MAX 16384u
#define TYPE_HANDSHAKE 22u
#define CLIENT_HELLO 1u
#define SCSV_RENEGOTIATION 0x00ffu
#define EXT_SNI 0u
#define EXT_GROUPS 10u
#define EXT_SIGNATURES 13u
#define EXT_ALPN 16u
#define EXT_VERSIONS 43u
#define EXT_KEY_SHARE 51u
#define EXT_RENEGOTIATION 0xff01u
#define NOBODYS_EXTENSION 0x6a6au /* RFC 8701: to be ignored */
#define NOBODYS_CIPHER 0x6a6au
#define TLS13 0x0304u

/* -- reading ----------------------------------------------------------------------------------- */

struct reader {
    unsigned char *at;
    size_t left;
    bool bad;
};

static unsigned take(struct reader *r, size_t bytes)
{
    unsigned value = 0;

    if (r->left < bytes) {
        r->bad = true;
        r->left = 0;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | r->at[i];
    r->at += bytes;
    r->left -= bytes;
    return value;
}

/* What a length of that many bytes is before. */
static struct reader inside(struct reader *r, size_t length_bytes)
{
    size_t len = take(r, length_bytes);
    struct reader sub = {r->at, len, false};

    if (r->bad || r->left < len) {
        r->bad = true;
        sub.left = 0;
        return sub;
    }
    r->at += len;
    r->left -= len;
    return sub;
}

static void add(struct shs__lab_list *list, unsigned value)
{
    if (list->count < LAB_HELLO_LIST)
        list->items[list->count++] = (uint16_t)value;
}

static void read_list(struct shs__lab_list *list, struct reader r)
{
    while (r.left >= 2)
        add(list, take(&r, 2));
}

static void read_sni(struct shs__lab_hello *out, struct reader r)
{
    struct reader names = inside(&r, 2), name;

    if (take(&names, 1) != 0)
        return;
    name = inside(&names, 2);
    if (names.bad || name.left >= sizeof out->sni || memchr(name.at, '\0', name.left) != NULL)
        return;
    for (size_t i = 0; i < name.left; i++)
        out->sni[i] = (char)shs__lower(name.at[i]);
    out->sni[name.left] = '\0';
}

static void read_alpn(struct shs__lab_hello *out, struct reader r)
{
    struct reader names = inside(&r, 2);
    size_t used = 0;

    out->has_alpn = true;
    while (names.left > 0 && !names.bad) {
        struct reader name = inside(&names, 1);

        if (used + name.left + 2 > sizeof out->alpn)
            break;
        if (used > 0)
            out->alpn[used++] = ',';
        memcpy(out->alpn + used, name.at, name.left);
        used += name.left;
    }
    out->alpn[used] = '\0';
}

static void read_shares(struct shs__lab_list *list, struct reader r)
{
    while (r.left >= 4 && !r.bad) {
        add(list, take(&r, 2));
        (void)inside(&r, 2); /* the key */
    }
}

static void read_extension(struct shs__lab_hello *out, unsigned type, struct reader body)
{
    struct reader list = body;

    add(&out->extensions, type);
    if (type == EXT_SNI) {
        read_sni(out, body);
    } else if (type == EXT_ALPN) {
        read_alpn(out, body);
    } else if (type == EXT_GROUPS) {
        read_list(&out->groups, inside(&list, 2));
    } else if (type == EXT_KEY_SHARE) {
        read_shares(&out->shares, inside(&list, 2));
    } else if (type == EXT_SIGNATURES) {
        read_list(&out->signatures, inside(&list, 2));
    } else if (type == EXT_VERSIONS) {
        read_list(&out->versions, inside(&list, 1));
        for (size_t i = 0; i < out->versions.count; i++)
            out->offers_13 = out->offers_13 || out->versions.items[i] == TLS13;
    }
}

static int read_message(struct shs__lab_hello *out, struct reader r)
{
    struct reader body, list, extensions;

    if (take(&r, 1) != CLIENT_HELLO)
        return SHS_PROTO;
    body = inside(&r, 3);
    out->legacy_version = take(&body, 2);
    for (int i = 0; i < 32; i++)
        (void)take(&body, 1); /* random */
    (void)inside(&body, 1);   /* session id */
    list = inside(&body, 2);
    read_list(&out->ciphers, list);
    (void)inside(&body, 1); /* compression */
    if (r.bad || body.bad)
        return SHS_PROTO;
    if (body.left == 0)
        return SHS_OK;
    extensions = inside(&body, 2);
    while (extensions.left > 0 && !extensions.bad) {
        unsigned type = take(&extensions, 2);
        struct reader one = inside(&extensions, 2);

        if (!extensions.bad)
            read_extension(out, type, one);
    }
    return body.bad || extensions.bad ? SHS_PROTO : SHS_OK;
}

int shs__lab_hello_read(struct shs__lab_hello *out, struct shs_str records, struct shs_buf *message)
{
    const unsigned char *at = (const unsigned char *)records.ptr;
    size_t left = records.len, wanted = 4;

    memset(out, 0, sizeof *out);
    message->len = 0;
    message->start = 0;
    while (message->len < wanted) {
        size_t len;

        if (left < 5)
            return left > 0 && at[0] != TYPE_HANDSHAKE ? SHS_PROTO : SHS_WAIT_READ;
        len = (size_t)at[3] << 8 | at[4];
        if (at[0] != TYPE_HANDSHAKE || at[1] != 3 || len == 0 || len > RECORD_MAX)
            return SHS_PROTO;
        if (left < 5 + len)
            return SHS_WAIT_READ;
        if (shs__buf_append(message, at + 5, len) != SHS_OK)
            return SHS_PROTO;
        at += 5 + len;
        left -= 5 + len;
        if (message->len >= 4) {
            const unsigned char *head = (const unsigned char *)shs__buf_head(message);

            wanted = 4 + ((size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]);
            if (wanted > LAB_HELLO_MAX)
                return SHS_PROTO;
        }
    }
    return read_message(
        out, (struct reader){(unsigned char *)shs__buf_head(message), message->len, false});
}

/* -- choosing ---------------------------------------------------------------------------------- */

static bool has(const struct shs__lab_list *list, uint16_t value)
{
    size_t i = 0;

    while (i < list->count && list->items[i] != value)
        i++;
    return i < list->count;
}

const char *shs__lab_hello_spare_group(const struct shs__lab_hello *hello)
{
    static const struct {
        uint16_t number;
        const char *name;
    } groups[] = {
        {0x19, "P-521"}, {0x18, "P-384"}, {0x17, "P-256"}, {0x1d, "X25519"}, {0x1e, "X448"}};

    for (size_t i = 0; i < SHS_ARRAY_LEN(groups); i++) {
        if (has(&hello->groups, groups[i].number) && !has(&hello->shares, groups[i].number))
            return groups[i].name;
    }
    return NULL;
}

/* -- changing ---------------------------------------------------------------------------------- */

static void rename_extension(unsigned char *type, enum shs__lab_edit edit)
{
    unsigned number = (unsigned)type[0] << 8 | type[1];

    if (number == (edit == LAB_EDIT_DOWNGRADE ? EXT_VERSIONS : EXT_RENEGOTIATION)) {
        type[0] = (unsigned char)(NOBODYS_EXTENSION >> 8);
        type[1] = (unsigned char)(NOBODYS_EXTENSION & 0xff);
    }
}

/* The message was read before: its lengths are right. */
void shs__lab_hello_edit(struct shs_buf *message, enum shs__lab_edit edit)
{
    struct reader r = {(unsigned char *)shs__buf_head(message), message->len, false};
    struct reader body, list, extensions;

    if (edit == LAB_EDIT_NONE)
        return;
    (void)take(&r, 1);
    body = inside(&r, 3);
    for (int i = 0; i < 34; i++)
        (void)take(&body, 1);
    (void)inside(&body, 1);
    list = inside(&body, 2);
    for (; edit == LAB_EDIT_LEGACY && list.left >= 2; (void)take(&list, 2)) {
        if (((unsigned)list.at[0] << 8 | list.at[1]) == SCSV_RENEGOTIATION) {
            list.at[0] = (unsigned char)(NOBODYS_CIPHER >> 8);
            list.at[1] = (unsigned char)(NOBODYS_CIPHER & 0xff);
        }
    }
    (void)inside(&body, 1);
    extensions = inside(&body, 2);
    while (extensions.left >= 4 && !extensions.bad) {
        rename_extension(extensions.at, edit);
        (void)take(&extensions, 2);
        (void)inside(&extensions, 2);
    }
}

int shs__lab_hello_frame(const struct shs_buf *message, struct shs_buf *records)
{
    const char *at = shs__buf_head(message);
    size_t left = message->len;
    int rc = SHS_OK;

    while (left > 0 && rc == SHS_OK) {
        size_t len = left < RECORD_MAX ? left : RECORD_MAX;
        const unsigned char head[5] = {TYPE_HANDSHAKE, 3, 1, (unsigned char)(len >> 8),
                                       (unsigned char)(len & 0xff)};

        rc = shs__buf_append(records, head, sizeof head);
        if (rc == SHS_OK)
            rc = shs__buf_append(records, at, len);
        at += len;
        left -= len;
    }
    return rc;
}

/* -- printing ---------------------------------------------------------------------------------- */

static int print_list(struct shs_buf *out, const char *name, const struct shs__lab_list *list)
{
    int rc = shs__buf_printf(out, ",\"%s\":[", name);

    for (size_t i = 0; i < list->count && rc == SHS_OK; i++)
        rc = shs__buf_printf(out, "%s\"0x%04x\"", i == 0 ? "" : ",", list->items[i]);
    return rc == SHS_OK ? shs__buf_append(out, "]", 1) : rc;
}

static int print_text(struct shs_buf *out, const char *name, const char *text)
{
    int rc = shs__buf_printf(out, ",\"%s\":\"", name);

    if (rc == SHS_OK)
        rc = shs__json_escape(out, shs__str(text));
    return rc == SHS_OK ? shs__buf_append(out, "\"", 1) : rc;
}

int shs__lab_hello_print(const struct shs__lab_hello *hello, const char *client,
                         struct shs_buf *out)
{
    int rc = shs__buf_printf(out, "{\"legacy_version\":\"0x%04x\"", hello->legacy_version);

    if (rc == SHS_OK)
        rc = print_text(out, "client", client);
    if (rc == SHS_OK)
        rc = print_text(out, "sni", hello->sni);
    if (rc == SHS_OK)
        rc = print_text(out, "alpn", hello->alpn);
    if (rc == SHS_OK)
        rc = print_list(out, "versions", &hello->versions);
    if (rc == SHS_OK)
        rc = print_list(out, "cipher_suites", &hello->ciphers);
    if (rc == SHS_OK)
        rc = print_list(out, "groups", &hello->groups);
    if (rc == SHS_OK)
        rc = print_list(out, "signature_algorithms", &hello->signatures);
    if (rc == SHS_OK)
        rc = print_list(out, "extensions", &hello->extensions);
    return rc == SHS_OK ? shs__buf_append(out, "}\n", 2) : rc;
}
