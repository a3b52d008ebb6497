#include "server/activity.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "server/server.h"

#define MAX_DOUBLINGS 20u

/* -- writing -----------------------------------------------------------------------------------
 *
 * Each word is stored with release and loaded with acquire, and `turn` leaves its old odd value
 * before the first of them: a watcher that has read a newer word reads a newer turn after it.
 */

static void store_words(_Atomic uint64_t *words, const uint64_t *from, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        atomic_store_explicit(&words[i], from[i], memory_order_release);
}

void shs__activity_begin(struct shs_conn *conn)
{
    struct shs_activity *self = conn->activity;
    uint64_t client[SHS_ACTIVITY_CLIENT_WORDS] = {0};
    uint32_t turn;

    if (self == NULL)
        return;
    turn = atomic_load_explicit(&self->turn, memory_order_relaxed);
    _Static_assert(sizeof conn->client <= sizeof client, "a client's address fits");
    memcpy(client, &conn->client, sizeof conn->client);
    store_words(self->client, client, SHS_ACTIVITY_CLIENT_WORDS);
    atomic_store_explicit(&self->text[0], 0, memory_order_release);
    if (self->clocked)
        atomic_store_explicit(&self->began_ns, shs_now_ns(), memory_order_release);
    atomic_store_explicit(&self->turn, turn + 1, memory_order_release);
}

static size_t put(char *text, size_t at, struct shs_str s)
{
    size_t len = s.len < SHS_ACTIVITY_TEXT - at ? s.len : SHS_ACTIVITY_TEXT - at;

    memcpy(text + at, s.ptr, len);
    return at + len;
}

void shs__activity_name(struct shs_activity *self, struct shs_str method, struct shs_str path)
{
    uint64_t words[SHS_ACTIVITY_TEXT_WORDS + 1];
    unsigned used;
    uint32_t turn;
    size_t len;

    if (self == NULL)
        return;
    len = put((char *)words, 0, method);
    len = put((char *)words, len, SHS_STR(" "));
    len = put((char *)words, len, path);
    memset((char *)words + len, 0, sizeof words[0]); /* it ends there, whatever is behind it */
    used = (unsigned)(len / sizeof words[0]) + 1;
    turn = atomic_load_explicit(&self->turn, memory_order_relaxed);
    atomic_store_explicit(&self->turn, turn + 1, memory_order_relaxed);
    store_words(self->text, words, used < SHS_ACTIVITY_TEXT_WORDS ? used : SHS_ACTIVITY_TEXT_WORDS);
    atomic_store_explicit(&self->turn, turn + 2, memory_order_release);
}

uint64_t shs__activity_route(struct shs_str method, struct shs_str path)
{
    uint64_t head = 0, tail = 0, hash;
    size_t len = 1;

    while (len < path.len && len < 64 && path.ptr[len] != '/')
        len++;
    if (len > path.len)
        len = path.len;
    memcpy(&head, path.ptr, len < sizeof head ? len : sizeof head);
    if (len > sizeof tail)
        memcpy(&tail, path.ptr + len - sizeof tail, sizeof tail);
    hash = (head ^ tail * 31) + len;
    if (method.len > 0)
        hash += (uint64_t)(unsigned char)method.ptr[0] << 32 | method.len << 40;
    hash *= 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

/* -- reading ----------------------------------------------------------------------------------- */

static void load_words(const _Atomic uint64_t *words, uint64_t *to, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        to[i] = atomic_load_explicit(&words[i], memory_order_acquire);
}

/* A client's bytes in a line of ours: printable ASCII as it is, the rest as \xHH. */
static void escape(const char *bytes, size_t len, char *out, size_t cap)
{
    size_t at = 0;

    for (size_t i = 0; i < len && bytes[i] != '\0' && at + 5 < cap; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (c >= 0x20 && c < 0x7f && c != '\\')
            out[at++] = (char)c;
        else
            at += (size_t)snprintf(out + at, cap - at, "\\x%02X", c);
    }
    out[at] = '\0';
}

static void client_text(const uint64_t *words, char *out, size_t cap)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        uint64_t words[SHS_ACTIVITY_CLIENT_WORDS];
    } client;
    char host[INET6_ADDRSTRLEN] = "?";

    memcpy(client.words, words, sizeof client.words);
    if (client.sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &client.in.sin_addr, host, sizeof host);
        snprintf(out, cap, "%s:%u", host, ntohs(client.in.sin_port));
    } else if (client.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&client.in6.sin6_addr)) {
        inet_ntop(AF_INET, &client.in6.sin6_addr.s6_addr[12], host, sizeof host);
        snprintf(out, cap, "%s:%u", host, ntohs(client.in6.sin6_port));
    } else if (client.sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &client.in6.sin6_addr, host, sizeof host);
        snprintf(out, cap, "[%s]:%u", host, ntohs(client.in6.sin6_port));
    } else {
        snprintf(out, cap, "a Unix socket");
    }
}

/* What the handler is doing, as of this turn; false when it has gone on meanwhile. */
static bool read_words(const struct shs_activity *self, uint32_t turn, const char *name, char *what,
                       size_t what_cap, char *client, size_t client_cap)
{
    uint64_t words[SHS_ACTIVITY_CLIENT_WORDS], text[SHS_ACTIVITY_TEXT_WORDS];

    load_words(self->client, words, SHS_ACTIVITY_CLIENT_WORDS);
    load_words(self->text, text, SHS_ACTIVITY_TEXT_WORDS);
    if (atomic_load_explicit(&self->turn, memory_order_relaxed) != turn)
        return false;
    client_text(words, client, client_cap);
    if (text[0] == 0)
        snprintf(what, what_cap, "handler %.80s", name);
    else
        escape((const char *)text, sizeof text, what, what_cap);
    return true;
}

static void begin_watch(struct shs_activity *self, uint32_t turn, int64_t now_ns)
{
    int64_t began = atomic_load_explicit(&self->began_ns, memory_order_relaxed);

    self->watch.turn = turn;
    self->watch.reports = 0;
    self->watch.began_ns = self->watch.still_ns = began == 0 ? now_ns : began;
}

void shs__activity_look(struct shs_activity *self, int tid, const char *name, int64_t now_ns,
                        int64_t limit_ns, struct shs_activity_report *report)
{
    uint32_t turn = atomic_load_explicit(&self->turn, memory_order_acquire);
    uint32_t waits = atomic_load_explicit(&self->waits, memory_order_relaxed);
    char what[4 * SHS_ACTIVITY_TEXT + 8], client[64];

    report->line[0] = '\0';
    if (turn != self->watch.turn)
        begin_watch(self, turn, now_ns);
    if (waits != self->watch.waits || waits % 2 == 1) { /* it is not stuck: its peer is slow */
        self->watch.waits = waits;
        self->watch.still_ns = now_ns;
        self->watch.reports = 0;
    }
    if (turn % 2 == 0 || waits % 2 == 1 || self->watch.reports > MAX_DOUBLINGS ||
        (now_ns - self->watch.still_ns) >> self->watch.reports < limit_ns)
        return;
    if (!read_words(self, turn, name, what, sizeof what, client, sizeof client))
        return;
    report->first = self->watch.reports++ == 0;
    snprintf(report->line, sizeof report->line,
             "a handler does not return: %.300s for %.1f s, thread %d, client %s", what,
             (double)(now_ns - self->watch.began_ns) / SHS_NS_PER_S, tid, client);
}

void shs__activity_say(struct shs_server *server, const struct shs_activity_report *report)
{
    if (report->line[0] == '\0')
        return;
    if (report->first)
        atomic_fetch_add_explicit(&server->stats.stuck_handlers, 1, memory_order_relaxed);
    shs_server_log(server, SHS_LOG_WARNING, "%s", report->line);
}
