#include "testing/hello.h"

#define RECORD_HEADER 5u
#define HANDSHAKE 22u
#define CLIENT_HELLO 1u
#define HELLO_MAX ((size_t)32768)

/* Bytes that are taken from the front; `bad` once there were too few. */
struct view {
    const unsigned char *at;
    size_t len;
    bool bad;
};

static struct view take(struct view *v, size_t n)
{
    struct view part = {v->at, n, v->bad || n > v->len};

    if (part.bad) {
        v->bad = true;
        part.len = 0;
        return part;
    }
    v->at += n;
    v->len -= n;
    return part;
}

static size_t number(struct view *v, size_t bytes)
{
    struct view part = take(v, bytes);
    size_t n = 0;

    for (size_t i = 0; i < part.len; i++)
        n = n << 8 | part.at[i];
    return n;
}

/* RFC 6066, section 3. */
static void read_names(struct view list, char name[SHS_HELLO_NAME_MAX])
{
    struct view names = take(&list, number(&list, 2));

    while (names.len > 0 && !names.bad) {
        size_t kind = number(&names, 1);
        struct view host = take(&names, number(&names, 2));

        if (kind != 0 || host.bad || host.len >= SHS_HELLO_NAME_MAX)
            continue;
        for (size_t i = 0; i < host.len; i++)
            name[i] = (char)shs__lower(host.at[i]);
        name[host.len] = '\0';
        return;
    }
}

/* RFC 8446, section 4.1.2. */
static void read_hello(struct view hello, char name[SHS_HELLO_NAME_MAX])
{
    struct view extensions;

    (void)take(&hello, 2 + 32); /* version, random */
    (void)take(&hello, number(&hello, 1));
    (void)take(&hello, number(&hello, 2));
    (void)take(&hello, number(&hello, 1));
    extensions = take(&hello, number(&hello, 2));
    while (extensions.len > 0 && !extensions.bad) {
        size_t kind = number(&extensions, 2);
        struct view body = take(&extensions, number(&extensions, 2));

        if (kind == 0 && !body.bad)
            read_names(body, name);
    }
}

int shs__hello_name(const void *bytes, size_t len, char name[SHS_HELLO_NAME_MAX])
{
    struct view in = {bytes, len, false};
    unsigned char hello[HELLO_MAX];
    size_t have = 0, need = 4;

    name[0] = '\0';
    while (have < need) {
        struct view record;

        if (in.len > 0 && in.at[0] != HANDSHAKE)
            return SHS_OK;
        if (in.len < RECORD_HEADER)
            return SHS_WAIT_READ;
        (void)take(&in, 3);
        record = take(&in, number(&in, 2));
        if (record.bad)
            return SHS_WAIT_READ;
        if (record.len == 0 || record.len > sizeof hello - have)
            return SHS_OK;
        memcpy(hello + have, record.at, record.len);
        have += record.len;
        if (have >= 4)
            need = 4 + ((size_t)hello[1] << 16 | (size_t)hello[2] << 8 | hello[3]);
        if (hello[0] != CLIENT_HELLO || need > sizeof hello)
            return SHS_OK;
    }
    read_hello((struct view){hello + 4, need - 4, false}, name);
    return SHS_OK;
}
