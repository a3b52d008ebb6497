/*
 * sse_channel.c - the same news for everybody who listens.
 *
 * An event is made into text once and counted: the ring has a reference, and so has each listener
 * that writes it just now, without the lock. A listener is woken by a descriptor of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "http/sse.h"

#define ID_MAX 48
#define AT_ONCE 32u /* events that a listener takes under the lock */
/* and no more of them once they have so many bytes: those that it writes are not counted by
   keep_bytes any more. */
#define BYTES_AT_ONCE 65536u
#define KEEP_MAX 1000000u
#define RETRY_S "5"

struct event {
    _Atomic unsigned refs;
    size_t len;
    char text[];
};

/* On the stack of the thread that serves it. */
struct listener {
    struct listener *prev, *next;
    int fd;
    bool told; /* the descriptor can be read */
};

struct shs_sse_channel {
    struct shs_sse_channel_options opt;
    uint64_t epoch; /* a number of another start is none of ours */
    pthread_mutex_t lock;
    struct event **ring; /* event n is at n % opt.keep */
    uint64_t first, next;
    size_t bytes; /* of those from `first` to before `next` */
    struct listener *listeners;
    unsigned count;
};

void shs_sse_channel_options_init_sized(struct shs_sse_channel_options *opt, size_t size)
{
    const struct shs_sse_channel_options defaults = {
        .size = size,
        .keep = 1000,
        .keep_bytes = (size_t)4 << 20,
        .max_listeners = 256,
        .comment_ms = 15000,
        .listen_ms = 600000,
    };

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

static void drop_event(struct event *event)
{
    if (event != NULL && atomic_fetch_sub(&event->refs, 1) == 1)
        shs__free(event);
}

/* -- life -------------------------------------------------------------------------------------- */

int shs_sse_channel_new(struct shs_sse_channel **out, const struct shs_sse_channel_options *opt,
                        struct shs_error *err)
{
    struct shs_sse_channel *self = shs__calloc(1, sizeof *self);
    int rc = SHS_OK;

    *out = NULL;
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for a channel of events");
    shs_sse_channel_options_init(&self->opt);
    if (opt != NULL)
        rc = shs__sized_copy(&self->opt, sizeof self->opt, opt, "shs_sse_channel_options", err);
    if (rc == SHS_OK && (self->opt.keep == 0 || self->opt.keep > KEEP_MAX))
        rc = shs_error_set(err, SHS_USAGE, 0, "a channel keeps 1 to %u events, not %u", KEEP_MAX,
                           self->opt.keep);
    if (rc == SHS_OK && getrandom(&self->epoch, sizeof self->epoch, 0) != sizeof self->epoch)
        rc = shs_error_set(err, SHS_IO, errno, "no random number for a channel of events");
    if (rc == SHS_OK) {
        self->ring = shs__calloc(self->opt.keep, sizeof *self->ring);
        if (self->ring == NULL)
            rc = shs_error_set(err, SHS_NOMEM, 0, "out of memory for a channel of events");
    }
    if (rc != SHS_OK) {
        shs__free(self);
        return rc;
    }
    pthread_mutex_init(&self->lock, NULL);
    self->first = self->next = 1;
    *out = self;
    return SHS_OK;
}

static struct event **place(struct shs_sse_channel *self, uint64_t n)
{
    return &self->ring[n % self->opt.keep];
}

static void forget_first(struct shs_sse_channel *self)
{
    struct event **at = place(self, self->first++);

    self->bytes -= (*at)->len;
    drop_event(*at);
    *at = NULL;
}

void shs_sse_channel_free(struct shs_sse_channel *self)
{
    if (self == NULL)
        return;
    while (self->first < self->next)
        forget_first(self);
    pthread_mutex_destroy(&self->lock);
    shs__free(self->ring);
    shs__free(self);
}

/* -- sending ----------------------------------------------------------------------------------- */

static const char *put_id(const struct shs_sse_channel *self, uint64_t n, char *buf)
{
    snprintf(buf, ID_MAX, "%" PRIx64 "-%" PRIu64, self->epoch, n);
    return buf;
}

static int make_event(struct event **out, const char *type, const char *id, struct shs_str data)
{
    struct event *event = NULL;
    struct shs_buf text;
    int rc;

    shs__buf_init(&text, SHS_SSE_EVENT_MAX);
    rc = shs__sse_event(&text, type, id, data);
    if (rc == SHS_OK) {
        event = shs__malloc(sizeof *event + text.len);
        rc = event == NULL ? SHS_NOMEM : SHS_OK;
    }
    if (rc == SHS_OK) {
        atomic_init(&event->refs, 1);
        event->len = text.len;
        memcpy(event->text, shs__buf_head(&text), text.len);
        *out = event;
    }
    shs__buf_free(&text);
    return rc;
}

/* Once until it has looked. */
static void wake(struct listener *listener)
{
    const uint64_t one = 1;

    if (!listener->told)
        listener->told = write(listener->fd, &one, sizeof one) == sizeof one;
}

static void keep(struct shs_sse_channel *self, struct event *event)
{
    while (self->first < self->next && (self->next - self->first == self->opt.keep ||
                                        self->bytes + event->len > self->opt.keep_bytes))
        forget_first(self);
    *place(self, self->next++) = event;
    self->bytes += event->len;
    for (struct listener *l = self->listeners; l != NULL; l = l->next)
        wake(l);
}

int shs_sse_channel_send_str(struct shs_sse_channel *self, const char *type, struct shs_str data)
{
    struct event *event;
    char id[ID_MAX];
    int rc;

    if (self == NULL || data.ptr == NULL || (type != NULL && !shs__sse_is_line(type)))
        return SHS_USAGE;
    pthread_mutex_lock(&self->lock); /* its number is its place in the order */
    rc = make_event(&event, type, put_id(self, self->next, id), data);
    if (rc == SHS_OK)
        keep(self, event);
    pthread_mutex_unlock(&self->lock);
    return rc;
}

int shs_sse_channel_send(struct shs_sse_channel *self, const char *event, const char *data)
{
    return shs_sse_channel_send_str(self, event, shs__str(data));
}

/* -- listening --------------------------------------------------------------------------------- */

/* True: it listens; false: too many do. */
static bool join(struct shs_sse_channel *self, struct listener *listener)
{
    bool fits;

    pthread_mutex_lock(&self->lock);
    fits = self->count < self->opt.max_listeners;
    if (fits) {
        listener->next = self->listeners;
        if (listener->next != NULL)
            listener->next->prev = listener;
        self->listeners = listener;
        self->count++;
    }
    pthread_mutex_unlock(&self->lock);
    return fits;
}

static void leave(struct shs_sse_channel *self, struct listener *listener)
{
    pthread_mutex_lock(&self->lock);
    if (listener->prev != NULL)
        listener->prev->next = listener->next;
    else
        self->listeners = listener->next;
    if (listener->next != NULL)
        listener->next->prev = listener->prev;
    self->count--;
    pthread_mutex_unlock(&self->lock);
}

/*
 * The event that the listener has to get next; 0: it has missed some.
 *
 *   Without Last-Event-ID: the next one that there will be. *next becomes that one's number,
 *   whoever comes.
 */
static uint64_t where_to_begin(struct shs_sse_channel *self, const struct shs_request *req,
                               uint64_t *next)
{
    char prefix[ID_MAX];
    struct shs_str last;
    uint64_t n, at = 0;
    size_t len;

    pthread_mutex_lock(&self->lock);
    *next = self->next;
    if (!shs_request_header(req, "Last-Event-ID", &last)) {
        at = self->next;
    } else {
        len = (size_t)snprintf(prefix, sizeof prefix, "%" PRIx64 "-", self->epoch);
        if (last.len > len && memcmp(last.ptr, prefix, len) == 0 &&
            shs_str_number((struct shs_str){last.ptr + len, last.len - len}, self->next - 1, &n) &&
            n + 1 >= self->first)
            at = n + 1;
    }
    pthread_mutex_unlock(&self->lock);
    return at;
}

static int64_t never_if_0(int64_t now, unsigned ms)
{
    return ms == 0 ? INT64_MAX : shs__deadline_after(now, ms);
}

/* Those from *at on, with a reference each. *at becomes 0 when some are no longer kept. */
static size_t take(struct shs_sse_channel *self, struct listener *listener, uint64_t *at,
                   struct event *events[AT_ONCE])
{
    uint64_t told;
    size_t count = 0, bytes = 0;

    pthread_mutex_lock(&self->lock);
    if (listener->told && read(listener->fd, &told, sizeof told) == sizeof told)
        listener->told = false;
    if (*at < self->first)
        *at = 0;
    while (*at != 0 && *at < self->next && count < AT_ONCE && bytes < BYTES_AT_ONCE) {
        events[count] = *place(self, (*at)++);
        bytes += events[count]->len;
        atomic_fetch_add(&events[count++]->refs, 1);
    }
    pthread_mutex_unlock(&self->lock);
    return count;
}

/* The number of the last event so far: what is read from now on is as new as that. */
static int say_where(struct shs_sse_channel *self, struct shs_response *res, uint64_t *at,
                     const char *type)
{
    char id[ID_MAX], text[ID_MAX + 48];

    if (type != NULL) {
        pthread_mutex_lock(&self->lock);
        *at = self->next;
        pthread_mutex_unlock(&self->lock);
        return shs_sse_send(res, type, put_id(self, *at - 1, id), "{}");
    }
    snprintf(text, sizeof text, ":\nid: %s\n\n", put_id(self, *at - 1, id));
    return shs__sse_write(res, shs__str(text));
}

static int write_events(struct shs_response *res, struct event *events[], size_t count)
{
    int rc = SHS_OK;

    for (size_t i = 0; i < count; i++) {
        if (rc == SHS_OK)
            rc = shs__sse_write(res, (struct shs_str){events[i]->text, events[i]->len});
        drop_event(events[i]);
    }
    return rc;
}

/* Events may come too often for a wait, in which it would be seen that the server stops or the
   client has gone. */
static int write_and_look(struct shs_response *res, struct event *events[], size_t count)
{
    int rc = write_events(res, events, count);

    return rc == SHS_OK ? shs__sse_wait(res, 0, -1) : rc;
}

/* What was there when he came he gets in any case: else who is slow would come again and again. */
static int listen_until(struct shs_sse_channel *self, struct listener *listener,
                        const struct shs_request *req, struct shs_response *res, int64_t until_ns)
{
    struct event *events[AT_ONCE];
    int64_t now, quiet_ns = shs_now_ns();
    uint64_t next, at = where_to_begin(self, req, &next);
    int rc = at == 0 ? SHS_OK : say_where(self, res, &at, NULL);

    while (rc == SHS_OK && ((now = shs_now_ns()) < until_ns || at < next)) {
        size_t count = take(self, listener, &at, events);
        int64_t comment_ns = never_if_0(quiet_ns, self->opt.comment_ms);

        if (count > 0)
            rc = write_and_look(res, events, count);
        else if (at == 0)
            rc = say_where(self, res, &at, "reset");
        else if (now >= comment_ns)
            rc = shs_sse_comment(res, NULL);
        else if ((rc = shs__sse_wait(
                      res,
                      (unsigned)shs__poll_ms(comment_ns < until_ns ? comment_ns : until_ns, now),
                      listener->fd)) == SHS_OK)
            continue;
        quiet_ns = shs_now_ns();
    }
    return rc;
}

static int too_many(struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Retry-After", RETRY_S));
    return shs_send_page(res, 503, "Too many clients listen already. Please try again later.");
}

int shs_sse_channel_serve(struct shs_sse_channel *self, struct shs_request *req,
                          struct shs_response *res)
{
    struct listener listener = {.fd = -1};
    int64_t until_ns;
    int rc;

    if (self == NULL)
        return shs_response_mistake(res, SHS_USAGE, "shs_sse_channel_serve", "the channel is NULL");
    until_ns = never_if_0(shs_now_ns(), self->opt.listen_ms);
    listener.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (listener.fd < 0 || !join(self, &listener)) {
        if (listener.fd >= 0)
            close(listener.fd);
        return too_many(res);
    }
    rc = shs_sse_start(res);
    if (rc == SHS_OK && !res->no_body)
        rc = listen_until(self, &listener, req, res, until_ns);
    leave(self, &listener);
    close(listener.fd);
    return shs_sse_end(res, rc);
}

unsigned shs_sse_channel_listeners(struct shs_sse_channel *self)
{
    unsigned count;

    if (self == NULL)
        return 0;
    pthread_mutex_lock(&self->lock);
    count = self->count;
    pthread_mutex_unlock(&self->lock);
    return count;
}
