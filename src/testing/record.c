#include "testing/record.h"

#include <stdio.h>
#include <time.h>

#define ARENA_MAX ((size_t)16 << 20)

void shs__test_record_init(struct shs_test_record *self)
{
    pthread_condattr_t attr;

    memset(self, 0, sizeof *self);
    pthread_mutex_init(&self->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&self->changed, &attr);
    pthread_condattr_destroy(&attr);
    shs__arena_init(&self->arena, ARENA_MAX);
}

void shs__test_record_free(struct shs_test_record *self)
{
    shs__arena_free(&self->arena);
    pthread_mutex_destroy(&self->lock);
    pthread_cond_destroy(&self->changed);
}

/* -- writing ----------------------------------------------------------------------------------- */

/* NUL-terminated; "" when there is no room. */
static const char *keep(struct shs_arena *arena, struct shs_str s)
{
    char *copy = s.ptr == NULL || s.len == 0 ? NULL : shs__arena_alloc(arena, s.len + 1);

    if (copy == NULL)
        return "";
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

static struct shs_str keep_body(struct shs_arena *arena, struct shs_str body)
{
    struct shs_str copy = body.len == 0 ? (struct shs_str){NULL, 0} : shs__arena_copy(arena, body);

    return copy.ptr == NULL ? (struct shs_str){"", 0} : copy;
}

static const char *const *keep_fields(struct shs_arena *arena, const struct shs_request *req)
{
    static const char *const none[] = {NULL};
    size_t count = req == NULL ? 0 : shs_request_header_count(req);
    const char **fields = shs__arena_alloc(arena, (2 * count + 1) * sizeof *fields);

    if (fields == NULL)
        return none;
    for (size_t i = 0; i < count; i++) {
        struct shs_str name, value;

        (void)shs_request_header_at(req, i, &name, &value);
        fields[2 * i] = keep(arena, name);
        fields[2 * i + 1] = keep(arena, value);
    }
    fields[2 * count] = NULL;
    return fields;
}

static void fill(struct shs_arena *arena, struct shs_test_event *to,
                 const struct shs_test_event *from, const struct shs_request *req)
{
    *to = *from;
    to->at_ns = shs_now_ns();
    to->reason = keep(arena, shs__str(from->reason));
    to->text = keep(arena, shs__str(from->text));
    to->sni = keep(arena, shs__str(from->sni));
    to->version = keep(arena, shs__str(from->version));
    to->client = keep(arena, shs__str(from->client));
    to->method = req == NULL ? "" : keep(arena, shs_request_method(req));
    to->target = req == NULL ? "" : keep(arena, shs_request_target(req));
    to->fields = keep_fields(arena, req);
    to->body = keep_body(arena, from->body);
}

void shs__test_record_add(struct shs_test_record *self, const struct shs_test_event *event,
                          const struct shs_request *req)
{
    struct shs_test_event *kept = NULL;

    pthread_mutex_lock(&self->lock);
    if (self->count < SHS_TEST_EVENTS_MAX)
        kept = shs__arena_alloc(&self->arena, sizeof *kept);
    if (kept != NULL) {
        fill(&self->arena, kept, event, req);
        self->events[self->count++] = kept;
    } else {
        self->lost++;
    }
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

/* -- looking ----------------------------------------------------------------------------------- */

const struct shs_test_event *shs__test_record_get(struct shs_test_record *self, size_t i)
{
    const struct shs_test_event *event;

    pthread_mutex_lock(&self->lock);
    event = i < self->count ? self->events[i] : NULL;
    pthread_mutex_unlock(&self->lock);
    return event;
}

/* "GET /a", or "/a". */
static bool is_request(const struct shs_test_event *event, const char *what)
{
    size_t len = strlen(event->method);

    if (strcmp(event->target, what) == 0)
        return true;
    return strncmp(event->method, what, len) == 0 && what[len] == ' ' &&
           strcmp(event->target, what + len + 1) == 0;
}

static bool is_what(const struct shs_test_event *event, const char *what)
{
    size_t len;

    if (what == NULL)
        return true;
    switch (event->kind) {
    case SHS_TEST_REQUEST:
        return is_request(event, what);
    case SHS_TEST_HANDSHAKE:
        return strcmp(event->sni, what) == 0;
    case SHS_TEST_HANDSHAKE_FAILED:
    case SHS_TEST_FAULT:
        len = strlen(what);
        return strncmp(event->reason, what, len) == 0 &&
               (event->reason[len] == '\0' || event->reason[len] == ':');
    }
    return false;
}

static size_t find(const struct shs_test_record *self, enum shs_test_event_kind kind,
                   const char *what)
{
    size_t i;

    for (i = 0; i < self->count; i++) {
        if (!self->taken[i] && self->events[i]->kind == kind && is_what(self->events[i], what))
            break;
    }
    return i;
}

static int describe(const struct shs_test_event *e, char *buf, size_t cap)
{
    switch (e->kind) {
    case SHS_TEST_HANDSHAKE:
        return snprintf(buf, cap, "handshake %s%s%s", e->sni, e->sni[0] == '\0' ? "" : " ",
                        e->version);
    case SHS_TEST_HANDSHAKE_FAILED:
        return snprintf(buf, cap, "failed handshake %s", e->reason);
    case SHS_TEST_REQUEST:
        return snprintf(buf, cap, "%s %.60s %d%s%s", e->method, e->target, e->status,
                        e->reason[0] == '\0' ? "" : " ", e->reason);
    case SHS_TEST_FAULT:
        return snprintf(buf, cap, "fault %s", e->reason);
    }
    return 0;
}

/* What nobody has taken, as far as there is room; returns how much that is. */
static size_t list_seen(const struct shs_test_record *self, char *buf, size_t cap)
{
    size_t used = 0, left = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < self->count; i++) {
        if (self->taken[i])
            continue;
        left++;
        if (used + 3 >= cap)
            continue;
        if (used > 0)
            used += (size_t)snprintf(buf + used, cap - used, "; ");
        used += (size_t)describe(self->events[i], buf + used, cap - used);
    }
    return left;
}

static const char *kind_text(enum shs_test_event_kind kind)
{
    switch (kind) {
    case SHS_TEST_HANDSHAKE:
        return "handshake";
    case SHS_TEST_HANDSHAKE_FAILED:
        return "failed handshake";
    case SHS_TEST_REQUEST:
        return "request";
    case SHS_TEST_FAULT:
        return "fault";
    }
    return "event";
}

static int not_seen(const struct shs_test_record *self, enum shs_test_event_kind kind,
                    const char *what, unsigned within_ms, struct shs_error *err)
{
    char seen[sizeof err->text];
    size_t left = list_seen(self, seen, sizeof seen);

    return shs_error_set(err, SHS_TIMEOUT, 0, "No %s%s%s within %u ms. %s%s", kind_text(kind),
                         what == NULL ? "" : " ", what == NULL ? "" : what, within_ms,
                         left == 0 ? "Nothing else was seen." : "Seen: ", seen);
}

int shs__test_record_expect(struct shs_test_record *self, enum shs_test_event_kind kind,
                            const char *what, unsigned within_ms, const struct shs_test_event **out,
                            struct shs_error *err)
{
    int64_t deadline = shs__deadline_after(shs_now_ns(), within_ms);
    struct timespec until = {.tv_sec = deadline / SHS_NS_PER_S, .tv_nsec = deadline % SHS_NS_PER_S};
    int rc = SHS_OK;
    size_t i;

    pthread_mutex_lock(&self->lock);
    while ((i = find(self, kind, what)) == self->count && shs_now_ns() < deadline)
        (void)pthread_cond_timedwait(&self->changed, &self->lock, &until);
    if (i < self->count) {
        self->taken[i] = true;
        if (out != NULL)
            *out = self->events[i];
    } else {
        rc = not_seen(self, kind, what, within_ms, err);
    }
    pthread_mutex_unlock(&self->lock);
    return rc;
}

int shs__test_record_expect_no_more(struct shs_test_record *self, struct shs_error *err)
{
    char seen[sizeof err->text];
    int rc = SHS_OK;

    pthread_mutex_lock(&self->lock);
    if (list_seen(self, seen, sizeof seen) > 0)
        rc = shs_error_set(err, SHS_USAGE, 0, "More was seen: %s", seen);
    else if (self->lost > 0)
        rc = shs_error_set(err, SHS_USAGE, 0, "More was seen than there is room for.");
    pthread_mutex_unlock(&self->lock);
    return rc;
}
