/*
 * threading_mixin.c - ThreadingMixIn: a thread per request.
 *
 * The trouble of its Python namesake was threads that never come back. Here none can: every wait in
 * a conversation has a deadline, a thread that ends is joined by the next one that ends (so at most
 * one is unjoined, ever), their number is bounded, and server_close wakes them all.
 *
 * Follows CPython Lib/socketserver.py ThreadingMixIn.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "server/activity.h"
#include "server/server.h"

struct threading_mixin {
    struct shs_scheduler scheduler;
    pthread_attr_t attr;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    unsigned alive;
    bool paused; /* accepting is stopped because `alive` is at its bound */
    bool have_last;
    pthread_t last;                 /* ended, or about to: not joined yet */
    uint64_t started;               /* for the threads' names: Thread-1, Thread-2 ... */
    struct request_thread *threads; /* the living */
    int64_t look_ns; /* of the loop: handlers that do not return are looked for then */
};

struct request_thread {
    struct threading_mixin *mixin;
    struct shs_conn *conn;
    uint64_t number;
    struct request_thread *prev, *next; /* under the mixin's lock */
    struct shs_activity activity;
};

/* Handlers that do not return which are reported at one look; the others at the next. */
#define REPORTS 4u

#define MIXIN(l) SHS_CONTAINER_OF(l, struct threading_mixin, scheduler.layer)

/* One thread fewer, or one that could not be made after all: there is room for another request. */
static void count_out(struct threading_mixin *self, struct request_thread *task)
{
    struct shs_server *server = self->scheduler.layer.server;
    bool resume;

    pthread_mutex_lock(&self->lock);
    if (task->prev != NULL)
        task->prev->next = task->next;
    else
        self->threads = task->next;
    if (task->next != NULL)
        task->next->prev = task->prev;
    self->alive--;
    resume = self->paused;
    self->paused = false;
    pthread_cond_broadcast(&self->ended);
    pthread_mutex_unlock(&self->lock);
    shs__free(task);
    shs_server_count_threads(server, -1);
    if (resume)
        shs_server_resume_accept(server);
}

/*
 * The thread leaves: joins the one that left before it, and counts itself out. In this order: a
 * thread that is counted out has none before it, so that also those which are on their way to the
 * end are bounded by max_threads.
 */
static void leave(struct threading_mixin *self, struct request_thread *task)
{
    pthread_t previous = pthread_self();
    bool have_previous;

    pthread_mutex_lock(&self->lock);
    have_previous = self->have_last;
    previous = self->last;
    self->last = pthread_self();
    self->have_last = true;
    pthread_mutex_unlock(&self->lock);
    if (have_previous)
        pthread_join(previous, NULL);
    count_out(self, task);
}

/* Python's process_request_thread. */
static void *process_request_thread(void *arg)
{
    struct request_thread *task = arg;
    struct threading_mixin *self = task->mixin;
    struct shs_conn *conn = task->conn;
    struct shs_server *server = self->scheduler.layer.server;
    char name[16];
    int rc;

    snprintf(name, sizeof name, "Thread-%llu", (unsigned long long)(task->number % 100000000));
    atomic_store_explicit(&task->activity.tid, (int)gettid(), memory_order_relaxed);
    task->activity.clocked = true;
    conn->activity = &task->activity;
    shs__thread_begin(name);
    rc = shs_server_converse(server, conn);
    shs_server_end_request(server, conn, rc);
    leave(self, task);
    shs__server_unref(server);
    return NULL;
}

/* Counts the thread in before it exists, and stops accepting when it is the last one allowed. */
static void enter(struct threading_mixin *self, struct request_thread *task)
{
    struct shs_server *server = self->scheduler.layer.server;

    pthread_mutex_lock(&self->lock);
    self->alive++;
    task->number = ++self->started;
    task->next = self->threads;
    if (self->threads != NULL)
        self->threads->prev = task;
    self->threads = task;
    if (self->alive >= server->opt.max_threads && !self->paused) {
        self->paused = true;
        shs_server_pause_accept(server);
    }
    pthread_mutex_unlock(&self->lock);
    shs_server_count_threads(server, 1);
}

static int threading_add(struct shs_scheduler *scheduler, struct shs_conn *conn)
{
    struct threading_mixin *self = MIXIN(&scheduler->layer);
    struct shs_server *server = scheduler->layer.server;
    struct request_thread *task = shs__calloc(1, sizeof *task);
    pthread_t thread;
    int rc;

    if (task == NULL)
        return shs_conn_fail(conn, SHS_NOMEM, 0, "out of memory for a request's thread");
    task->mixin = self;
    task->conn = conn;
    enter(self, task);
    shs__server_ref(server);
    rc = pthread_create(&thread, &self->attr, process_request_thread, task);
    if (rc == 0)
        return SHS_OK;
    count_out(self, task);
    shs__server_unref(server);
    return shs_conn_fail(conn, SHS_LIMIT, rc,
                         "no thread for a request: the system's limit on threads or memory is "
                         "reached");
}

/* Reports handlers that have run for longer than `limit_ns`. */
static void look_for_stuck(struct threading_mixin *self, int64_t now_ns, int64_t limit_ns)
{
    struct shs_server *server = self->scheduler.layer.server;
    struct shs_activity_report reports[REPORTS];
    struct request_thread *task;
    unsigned count = 0;

    pthread_mutex_lock(&self->lock);
    for (task = self->threads; task != NULL && count < REPORTS; task = task->next) {
        shs__activity_look(&task->activity, atomic_load(&task->activity.tid),
                           server->handler_class->name, now_ns, limit_ns, &reports[count]);
        count += reports[count].line[0] != '\0';
    }
    pthread_mutex_unlock(&self->lock);
    for (unsigned i = 0; i < count; i++)
        shs__activity_say(server, &reports[i]);
}

/* The loop's turn: a few looks within the time that is too long. */
static void threading_service_actions(struct shs_layer *layer)
{
    struct threading_mixin *self = MIXIN(layer);
    unsigned limit_ms = layer->server->opt.stuck_handler_ms;
    int64_t now = shs_now_ns();

    if (now < self->look_ns)
        return;
    self->look_ns = shs__deadline_after(now, limit_ms < 1000 ? limit_ms / 8 : 125);
    look_for_stuck(self, now, (int64_t)limit_ms * SHS_NS_PER_MS);
}

static int threading_server_close(struct shs_layer *layer)
{
    struct threading_mixin *self = MIXIN(layer);
    struct shs_server *server = layer->server;
    int rc = shs_super_server_close(layer);
    struct timespec ts = shs__timespec(shs_server_stop_deadline(server));
    bool have_last = false, left;
    pthread_t last = pthread_self();

    if (server->opt.daemon_threads || !server->opt.block_on_close)
        return rc;
    pthread_mutex_lock(&self->lock);
    while (self->alive > 0) {
        if (pthread_cond_timedwait(&self->ended, &self->lock, &ts) == ETIMEDOUT)
            break;
    }
    /* The last one to leave has joined the one before it, which has joined the one before that. */
    if (self->alive == 0 && self->have_last) {
        have_last = true;
        last = self->last;
        self->have_last = false;
    }
    left = self->alive > 0;
    pthread_mutex_unlock(&self->lock);
    if (left)
        look_for_stuck(self, shs_now_ns(), 0);
    if (have_last)
        pthread_join(last, NULL);
    return rc;
}

static void threading_layer_free(struct shs_layer *layer)
{
    struct threading_mixin *self = MIXIN(layer);

    if (self->have_last) {
        /* The last reference may be the last thread's own: it cannot join itself. */
        if (pthread_equal(self->last, pthread_self()))
            pthread_detach(self->last);
        else
            pthread_join(self->last, NULL);
    }
    pthread_attr_destroy(&self->attr);
    pthread_mutex_destroy(&self->lock);
    pthread_cond_destroy(&self->ended);
    shs__free(self);
}

static const struct shs_server_ops threading_mixin_ops = {
    .name = "ThreadingMixIn",
    .process_request = shs_schedule_request,
    .service_actions = threading_service_actions,
    .server_close = threading_server_close,
    .layer_free = threading_layer_free,
};

static const struct shs_scheduler_ops threading_scheduler_ops = {.add = threading_add};

int shs_threading_mixin_push(struct shs_server *server, struct shs_error *err)
{
    struct threading_mixin *self;
    pthread_condattr_t cond_attr;
    int rc = shs__server_may_serve(server, "ThreadingMixIn", err);

    if (rc != SHS_OK)
        return rc;
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for ThreadingMixIn");
    rc = shs__thread_attr_init(&self->attr, server->opt.thread_stack_size);
    if (rc != SHS_OK) {
        shs__free(self);
        return shs_error_set(err, rc, 0, "thread_stack_size %zu cannot be used",
                             server->opt.thread_stack_size);
    }
    pthread_condattr_init(&cond_attr);
    pthread_condattr_setclock(&cond_attr, CLOCK_MONOTONIC);
    pthread_cond_init(&self->ended, &cond_attr);
    pthread_condattr_destroy(&cond_attr);
    pthread_mutex_init(&self->lock, NULL);
    rc = shs_server_push_scheduler(server, &self->scheduler, &threading_mixin_ops,
                                   &threading_scheduler_ops, err);
    if (rc == SHS_OK)
        return SHS_OK;
    self->scheduler.layer.server = server;
    threading_layer_free(&self->scheduler.layer);
    return rc;
}
