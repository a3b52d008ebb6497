/*
 * server.c - the object: composing, its references, its statistics and its words.
 */
#include "server/server.h"

#include <errno.h>
#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"

static int init_cond(struct shs_server *self)
{
    pthread_condattr_t attr;
    int rc;

    /* The deadlines are CLOCK_MONOTONIC, so the condition variable must be as well. */
    if (pthread_condattr_init(&attr) != 0)
        return SHS_NOMEM;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc = pthread_cond_init(&self->changed, &attr);
    pthread_condattr_destroy(&attr);
    return rc == 0 ? SHS_OK : SHS_NOMEM;
}

static int init_sync(struct shs_server *self)
{
    if (init_cond(self) != SHS_OK)
        return SHS_NOMEM;
    if (pthread_mutex_init(&self->lock, NULL) != 0) {
        pthread_cond_destroy(&self->changed);
        return SHS_NOMEM;
    }
    if (pthread_mutex_init(&self->fork_lock, NULL) != 0) {
        pthread_mutex_destroy(&self->lock);
        pthread_cond_destroy(&self->changed);
        return SHS_NOMEM;
    }
    return SHS_OK;
}

static int check_handler(const struct shs_request_handler_class *handler, struct shs_error *err)
{
    if (handler == NULL || handler->handle == NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "the request handler class needs a `handle`: without it every request "
                             "would be answered by silence");
    if (handler->name == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "the request handler class needs a name");
    if (handler->instance_size < sizeof(struct shs_request_handler))
        return shs_error_set(err, SHS_USAGE, 0,
                             "instance_size of handler %s is smaller than struct "
                             "shs_request_handler: begin your struct with one",
                             handler->name);
    return SHS_OK;
}

/* Values that can only be mistakes: a server made of them would never answer anybody. */
static int check_options(const struct shs_options *opt, struct shs_error *err)
{
    if (opt->max_connections == 0)
        return shs_error_set(err, SHS_USAGE, 0, "max_connections must be at least 1");
    if (opt->path_mode > 0777 && opt->path_mode != UINT_MAX)
        return shs_error_set(err, SHS_USAGE, 0, "path_mode must be at most 0777, not %o",
                             opt->path_mode);
    if (opt->max_threads == 0)
        return shs_error_set(err, SHS_USAGE, 0, "max_threads must be at least 1");
    if ((opt->cert_pem == NULL && opt->cert_pem_len > 0) ||
        (opt->key_pem == NULL && opt->key_pem_len > 0))
        return shs_error_set(err, SHS_USAGE, 0,
                             "cert_pem_len or key_pem_len is set, but the PEM is NULL");
    return SHS_OK;
}

static void init_members(struct shs_server *self, const struct shs_request_handler_class *handler)
{
    self->wake_fd = self->parents_wake_fd = -1;
    self->address_family = AF_UNSPEC;
    self->socket_type = SOCK_STREAM;
    self->pid = getpid();
    atomic_init(&self->references, 1);
    atomic_init(&self->stop_deadline_ns, INT64_MAX);
    self->handler_class = handler;
    self->base.layer.ops = &shs__base_server_ops;
    self->base.layer.server = self;
    self->base.ops = &shs__loop_ops;
    self->base.fd = -1;
    self->scheduler = &self->base;
    self->top = &self->base.layer;
    self->layer_count = 1;
}

/* The places for the listening sockets: none is open yet. */
static int make_addresses(struct shs_server *self, struct shs_error *err)
{
    unsigned count = 1 + self->opt.more_address_count;

    self->addresses = shs__calloc(count, sizeof *self->addresses);
    if (self->addresses == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for a server's addresses");
    self->address_count = count;
    self->listeners = self->addresses;
    for (unsigned i = 0; i < count; i++) {
        atomic_init(&self->addresses[i].fd, -1);
        self->addresses[i].late_fd = -1;
        self->addresses[i].address = i;
        self->addresses[i].next = i + 1 < count ? &self->addresses[i + 1] : NULL;
    }
    return SHS_OK;
}

int shs__server_new(struct shs_server **out, const struct shs_options *opt,
                    const struct shs_request_handler_class *handler, struct shs_error *err)
{
    struct shs_server *self;
    int rc;

    if (out == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "there is no place for the server: out is NULL");
    rc = check_handler(handler, err);
    if (rc != SHS_OK)
        return rc;
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for a server");
    if (init_sync(self) != SHS_OK) {
        shs__free(self);
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for a server's lock");
    }
    init_members(self, handler);
    rc = shs__options_copy(&self->opt, opt, &self->opt_strings, err);
    if (rc == SHS_OK)
        rc = check_options(&self->opt, err);
    if (rc == SHS_OK)
        rc = make_addresses(self, err);
    if (rc == SHS_OK) {
        self->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (self->wake_fd < 0)
            rc = shs_error_set(err, SHS_IO, errno,
                               "no descriptor for the server's eventfd: raise ulimit -n");
    }
    if (rc != SHS_OK) {
        shs_server_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

int shs__server_adopt(struct shs_server *self)
{
    int wake_fd, rc = SHS_OK;

    if (self->pid == getpid() || self->forked)
        return SHS_OK;
    if (atomic_load(&self->frozen))
        return shs_server_fail(self, SHS_USAGE, 0,
                               "this process was forked from one in which the server has served, "
                               "and its threads are there: make a new server here");
    /* The parent has the same ones: who wakes, or watches, would do it for both. */
    wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_fd < 0)
        return shs_server_fail(self, SHS_IO, errno,
                               "no descriptor for the server's eventfd: raise ulimit -n");
    if (self->scheduler->ops->adopt != NULL)
        rc = self->scheduler->ops->adopt(self->scheduler);
    if (rc != SHS_OK) {
        close(wake_fd);
        return rc;
    }
    if (self->parents_wake_fd >= 0)
        close(self->parents_wake_fd);
    self->parents_wake_fd = atomic_exchange(&self->wake_fd, wake_fd);
    self->pid = getpid();
    return SHS_OK;
}

void shs__server_after_fork(struct shs_server *self, int leave_fd)
{
    int wake_fd = self->wake_fd;

    self->forked = true;
    self->leave_fd = leave_fd;
    pthread_mutex_unlock(&self->lock);
    pthread_mutex_unlock(&self->fork_lock);
    /* Threads that waited for it are not here, and it must not wait for them. */
    init_cond(self);
    /* shs_shutdown in the child, from a signal handler it inherited, is the child's own affair. */
    self->wake_fd = -1;
    close(wake_fd);
    self->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

int shs__server_finish_new(struct shs_server **server, struct shs_error *err)
{
    int rc;

    if (!(*server)->opt.bind_and_activate)
        return SHS_OK;
    rc = shs_server_bind_and_activate(*server, err);
    if (rc == SHS_OK)
        return SHS_OK;
    shs_server_free(*server);
    *server = NULL;
    return rc;
}

int shs_server_push(struct shs_server *self, struct shs_layer *layer,
                    const struct shs_server_ops *ops)
{
    /* A connection has a place for each layer that there was when it came. Not shs_server_fail:
       the error belongs to the thread that serves. */
    if (atomic_load(&self->frozen))
        return SHS_USAGE;
    if (self->layer_count == SHS_MAX_LAYERS)
        return shs_server_fail(self, SHS_LIMIT, 0, "a server has at most %u layers",
                               SHS_MAX_LAYERS);
    for (struct shs_layer *l = self->top; l != NULL; l = l->super) {
        if (l == layer)
            return shs_server_fail(self, SHS_USAGE, 0, "this %s is in the chain already",
                                   ops->name);
    }
    if (self->bound && (ops->server_bind != NULL || ops->server_activate != NULL))
        return shs_server_fail(self, SHS_USAGE, 0,
                               "%s changes how the server binds, and the server is bound: set "
                               "opt.bind_and_activate = false, push, then bind",
                               ops->name);
    layer->ops = ops;
    layer->super = self->top;
    layer->server = self;
    layer->index = self->layer_count++;
    self->top = layer;
    shs__free(atomic_exchange(&self->description, NULL));
    return SHS_OK;
}

int shs__server_may_serve(struct shs_server *self, const char *mixin, struct shs_error *err)
{
    if (atomic_load(&self->frozen))
        return shs_error_set(err, SHS_USAGE, 0,
                             "%s pushed on a server that has served already: compose first", mixin);
    if (self->scheduler != &self->base)
        return shs_error_set(err, SHS_USAGE, 0,
                             "%s cannot be pushed on %s: %s serves its requests already", mixin,
                             shs_server_describe(self), self->scheduler->layer.ops->name);
    return SHS_OK;
}

const char *shs_server_describe(struct shs_server *self)
{
    char *made, *known = atomic_load(&self->description);
    struct shs_buf text;

    if (known != NULL)
        return known;
    shs__buf_init(&text, 4096);
    for (struct shs_layer *l = self->top; l != NULL; l = l->super) {
        if (shs__buf_printf(&text, "%s%s", l == self->top ? "" : " > ", l->ops->name) != SHS_OK) {
            shs__buf_free(&text);
            return "(out of memory)";
        }
    }
    made = shs__buf_append(&text, "", 1) == SHS_OK ? shs__strdup(shs__buf_head(&text)) : NULL;
    shs__buf_free(&text);
    if (made == NULL)
        return "(out of memory)";
    if (atomic_compare_exchange_strong(&self->description, &known, made))
        return made;
    shs__free(made); /* another thread has asked at the same time */
    return known;
}

struct shs_layer *shs_server_layer(struct shs_server *self, const char *name)
{
    for (struct shs_layer *l = self->top; l != NULL; l = l->super) {
        if (strcmp(l->ops->name, name) == 0)
            return l;
    }
    return NULL;
}

int shs_server_bind_and_activate(struct shs_server *self, struct shs_error *err)
{
    int rc;

    if (self->closed || self->activated) {
        rc = shs_server_fail(self, SHS_USAGE, 0, "the server is %s",
                             self->closed ? "closed" : "bound already");
        if (err != NULL)
            *err = self->error;
        return rc;
    }
    rc = self->bound ? SHS_OK : shs_server_bind(self);
    if (rc == SHS_OK)
        rc = shs_server_activate(self);
    if (rc == SHS_OK)
        return SHS_OK;
    if (self->error.code == SHS_OK)
        shs_server_fail(self, rc, 0, "%s", shs_err_text(rc));
    if (err != NULL)
        *err = self->error;
    shs_server_close(self);
    return rc;
}

/* -- references -------------------------------------------------------------------------------- */

void shs__server_ref(struct shs_server *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
}

bool shs__server_try_ref(struct shs_server *self)
{
    unsigned references = atomic_load(&self->references);

    while (references > 0) {
        if (atomic_compare_exchange_weak(&self->references, &references, references + 1))
            return true;
    }
    return false;
}

void shs__server_unref(struct shs_server *self)
{
    struct shs_layer *layer, *super;

    if (atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) != 1)
        return;
    for (layer = self->top; layer != NULL; layer = super) {
        super = layer->super; /* layer_free may free the layer */
        if (layer->ops->layer_free != NULL)
            layer->ops->layer_free(layer);
    }
    if (self->wake_fd >= 0)
        close(self->wake_fd);
    if (self->parents_wake_fd >= 0)
        close(self->parents_wake_fd);
    pthread_mutex_destroy(&self->lock);
    pthread_mutex_destroy(&self->fork_lock);
    pthread_cond_destroy(&self->changed);
    shs__free(atomic_load(&self->description));
    shs__free(self->opt_strings);
    shs__free(self->addresses);
    shs__free(self);
}

/*
 * True: nobody serves it any more, and it can be closed here. False: its loop did not end in time,
 * or is the caller's own; it closes and frees the server when it does.
 */
static bool end_loop(struct shs_server *self)
{
    int64_t until = shs__deadline_after(shs_now_ns(), self->opt.stop_ms);
    struct timespec ts;
    bool ended;

    until = shs__deadline_after(until, self->opt.close_ms);
    ts = shs__timespec(until);
    pthread_mutex_lock(&self->lock);
    if (atomic_load(&self->serving)) {
        shs_shutdown(self);
        while (atomic_load(&self->serving) && !pthread_equal(self->loop_thread, pthread_self()) &&
               pthread_cond_timedwait(&self->changed, &self->lock, &ts) != ETIMEDOUT)
            ;
    }
    ended = !atomic_load(&self->serving);
    self->orphaned = !ended;
    pthread_mutex_unlock(&self->lock);
    return ended;
}

void shs_server_free(struct shs_server *self)
{
    if (self == NULL || !end_loop(self))
        return;
    shs__server_close_and_wait(self);
    shs__server_unref(self);
}

/* -- the live list ----------------------------------------------------------------------------- */

void shs__server_add_conn(struct shs_server *self, struct shs_conn *conn)
{
    shs__server_ref(self);
    pthread_mutex_lock(&self->lock);
    conn->prev = NULL;
    conn->next = self->live;
    if (self->live != NULL)
        self->live->prev = conn;
    self->live = conn;
    self->live_count++;
    if (self->live_count > self->most_live)
        self->most_live = self->live_count;
    atomic_store_explicit(&self->open_count, self->live_count, memory_order_relaxed);
    pthread_mutex_unlock(&self->lock);
}

void shs__server_remove_conn(struct shs_server *self, struct shs_conn *conn)
{
    pthread_mutex_lock(&self->lock);
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        self->live = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    self->leaving_count -= conn->leaving;
    pthread_mutex_unlock(&self->lock);
    if (!conn->was_cut && !conn->handed_on)
        shs__drain_closed(self);
}

/* -- room for others --------------------------------------------------------------------------- */

/* To find one costs a look at each: so of many, several are told at once. */
#define ROOM_SHARE 256u
#define ROOM_MOST 32u
/* One that was told to end and does not holds up others for no longer. */
#define ROOM_AGAIN_MS 50u

/* Puts it where it belongs among the longest idle ones; how many there are then. */
static unsigned keep_longest(struct shs_conn **longest, unsigned count, unsigned most,
                             struct shs_conn *conn, int64_t since_ns)
{
    unsigned at = count;

    while (at > 0 &&
           since_ns < atomic_load_explicit(&longest[at - 1]->idle_ns, memory_order_relaxed))
        at--;
    if (at == most)
        return count;
    count -= count == most;
    memmove(longest + at + 1, longest + at, (count - at) * sizeof(struct shs_conn *));
    longest[at] = conn;
    return count + 1;
}

/* A request is there, and will be looked at in a moment: that is not idle. */
static bool has_sent(const struct shs_conn *conn)
{
    int bytes = 0;

    return ioctl(conn->socket.fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

/* With the lock. */
static void end_longest_idle(struct shs_server *self)
{
    struct shs_conn *longest[ROOM_MOST + 1];
    unsigned count = 0, told = 0, most = 1 + self->opt.max_connections / ROOM_SHARE;

    if (most > ROOM_MOST)
        most = ROOM_MOST;
    for (struct shs_conn *c = self->live; c != NULL; c = c->next) {
        int64_t since = atomic_load_explicit(&c->idle_ns, memory_order_relaxed);

        if (since != INT64_MAX && !c->leaving && !c->borrowed && atomic_load(&c->idle))
            count = keep_longest(longest, count, most, c, since);
    }
    for (unsigned i = 0; i < count; i++) {
        if (has_sent(longest[i]))
            continue;
        longest[i]->leaving = true;
        told++;
        /* As at the end of the server: it sees the end of its peer's data, and says goodbye. */
        shs__socket_stream_cut(&longest[i]->socket, SHUT_RD);
    }
    self->leaving_count += told;
    atomic_fetch_add_explicit(&self->stats.made_room, told, memory_order_relaxed);
}

void shs__server_make_room(struct shs_server *self)
{
    int64_t now = shs_now_ns();

    pthread_mutex_lock(&self->lock);
    if (self->live_count >= self->opt.max_connections &&
        (self->leaving_count == 0 || now >= self->room_ns)) {
        end_longest_idle(self);
        self->room_ns = shs__deadline_after(now, ROOM_AGAIN_MS);
    }
    pthread_mutex_unlock(&self->lock);
}

/* -- memory ------------------------------------------------------------------------------------ */

/* Fewer have been no wave. */
#define WAVE_LEAST 128u
/* It is over when so many of the most are left. */
#define WAVE_LEFT 4u
/* Then others may be about to go as well. */
#define TRIM_AFTER_MS 1000u
/* It takes some milliseconds, in which who allocates may wait: not again before this. */
#define TRIM_AGAIN_MS 10000u

/* With the lock. True: the loop has to know of a moment. */
static bool wave_is_over(struct shs_server *self)
{
    int64_t now, last = self->trimmed_ns;

    if (self->most_live < WAVE_LEAST || self->live_count > self->most_live / WAVE_LEFT ||
        atomic_load_explicit(&self->trim_ns, memory_order_relaxed) != 0)
        return false;
    now = shs_now_ns();
    last = last == 0 ? now : shs__deadline_after(last, TRIM_AGAIN_MS);
    atomic_store(&self->trim_ns, shs__deadline_after(now > last ? now : last, TRIM_AFTER_MS));
    return true;
}

void shs__server_give_memory_back(struct shs_server *self, int64_t now_ns)
{
    pthread_mutex_lock(&self->lock);
    self->most_live = self->live_count;
    self->trimmed_ns = now_ns;
    atomic_store(&self->trim_ns, 0);
    pthread_mutex_unlock(&self->lock);
#ifdef __GLIBC__
    /* What was freed in the middle of its arenas glibc keeps for ever. */
    (void)malloc_trim(0);
#endif
}

void shs__server_conn_gone(struct shs_server *self)
{
    bool full, over;

    pthread_mutex_lock(&self->lock);
    full = self->live_count >= self->opt.max_connections;
    self->live_count--;
    over = wave_is_over(self);
    atomic_store_explicit(&self->open_count, self->live_count, memory_order_relaxed);
    if (self->live_count == 0)
        pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    if (full || over)
        shs__server_wake(self);
    shs__server_unref(self);
}

/* -- what it says ------------------------------------------------------------------------------ */

static uint64_t counter(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

int shs_server_fileno(const struct shs_server *self)
{
    return atomic_load(&self->addresses[0].fd);
}

const char *shs_server_host(const struct shs_server *self)
{
    return self->addresses[0].host;
}

unsigned shs_server_port(const struct shs_server *self)
{
    return self->addresses[0].port;
}

int shs_server_address_family(const struct shs_server *self)
{
    return self->address_family;
}

int shs_server_socket_type(const struct shs_server *self)
{
    return self->socket_type;
}

unsigned shs_server_active_children(const struct shs_server *self)
{
    return (unsigned)counter(&self->stats.children);
}

const struct shs_error *shs_server_error(const struct shs_server *self)
{
    return &self->error;
}

const struct shs_options *shs_server_options(const struct shs_server *self)
{
    return &self->opt;
}

int64_t shs_server_time(const struct shs_server *self)
{
    return shs__wall_s(self->opt.clock_offset_s);
}

int shs_server_fail(struct shs_server *self, int code, int sys_errno, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    shs__error_vset(&self->error, code, sys_errno, fmt, ap);
    va_end(ap);
    return code;
}

/* Nobody can set `stopping` in a child of ForkingMixIn, nor wake it while its client is busy: it
   asks. Nothing but shs_shutdown writes to its wake_fd. */
static bool child_has_to_go(const struct shs_server *self)
{
    struct pollfd fds[2] = {
        {.fd = self->leave_fd, .events = POLLIN},
        {.fd = self->wake_fd, .events = POLLIN},
    };

    return poll(fds, SHS_ARRAY_LEN(fds), 0) > 0;
}

bool shs_server_stopping(const struct shs_server *self)
{
    return atomic_load(&self->stopping) || (self->forked && child_has_to_go(self));
}

int64_t shs_server_stop_deadline(const struct shs_server *self)
{
    return atomic_load(&self->stop_deadline_ns);
}

void shs_server_count_threads(struct shs_server *self, int delta)
{
    atomic_fetch_add_explicit(&self->stats.threads, delta, memory_order_relaxed);
}

void shs_server_get_stats(const struct shs_server *self, struct shs_server_stats *out)
{
    int64_t threads = atomic_load_explicit(&self->stats.threads, memory_order_relaxed);

    out->accepted = counter(&self->stats.accepted);
    out->refused = counter(&self->stats.refused);
    out->accept_errors = counter(&self->stats.accept_errors);
    out->accept_pauses = counter(&self->stats.accept_pauses);
    out->errors = counter(&self->stats.errors);
    out->timeouts = counter(&self->stats.timeouts);
    out->connections = atomic_load_explicit(&self->open_count, memory_order_relaxed);
    out->threads = threads < 0 ? 0 : (uint64_t)threads;
    out->children = counter(&self->stats.children);
    out->stuck_handlers = counter(&self->stats.stuck_handlers);
    out->made_room = counter(&self->stats.made_room);
    out->refused_addresses = counter(&self->stats.refused_addresses);
    out->refused_late = counter(&self->stats.refused_late);
}

void shs_server_set_log_level(struct shs_server *self, enum shs_log_level level, unsigned for_ms)
{
    int64_t until = for_ms == UINT_MAX ? INT64_MAX : shs__deadline_after(shs_now_ns(), for_ms);

    atomic_store(&self->log_level, (int)level);
    atomic_store(&self->log_level_until_ns, until);
}

enum shs_log_level shs_server_log_level(const struct shs_server *self, unsigned *left_ms)
{
    int64_t until = atomic_load_explicit(&self->log_level_until_ns, memory_order_acquire), now;

    if (left_ms != NULL)
        *left_ms = UINT_MAX;
    if (until == 0) /* nobody has set another */
        return self->opt.log_level;
    now = until == INT64_MAX ? 0 : shs_now_ns();
    if (now >= until)
        return self->opt.log_level;
    if (left_ms != NULL && until != INT64_MAX)
        *left_ms = (unsigned)((until - now + SHS_NS_PER_MS - 1) / SHS_NS_PER_MS);
    return (enum shs_log_level)atomic_load_explicit(&self->log_level, memory_order_relaxed);
}

void shs_server_log(struct shs_server *self, enum shs_log_level level, const char *fmt, ...)
{
    char line[512], escaped[4 * sizeof line];
    size_t len = 0;
    va_list ap;

    if (self->opt.log == NULL || level > shs_server_log_level(self, NULL))
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    /* A client's bytes may be in it: no line may end or colour another. */
    if (shs_log_escape((struct shs_str){line, shs__utf8_trim(shs__str(line))}, escaped,
                       sizeof escaped - 1, &len) != SHS_OK)
        return; /* cannot be: four times is always enough */
    escaped[len] = '\0';
    self->opt.log(self->opt.log_ctx, level, escaped);
}
