/*
 * queue_scheduler.c - a scheduler of your own in one file: a fixed number of threads, and a queue
 * in front of them. Each thread has one connection at a time, from its first byte to its last.
 *
 *   queue_scheduler [PORT]     two threads; each answer says which one made it
 *
 * When the queue is full nothing is accepted, so others wait in the kernel's. A client that keeps
 * its connection open keeps its thread as well: not to do that is what ThreadPoolMixIn is for,
 * which takes connections apart with shs_conn_advance (shs/scheduler.h).
 */
#include <shs/shs.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#define THREADS 2
#define QUEUE 16

/* -- the scheduler: a layer with a second table ------------------------------------------------ */

static struct queue_mixin {
    struct shs_scheduler scheduler;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct shs_conn *queue[QUEUE];
    unsigned first, count, started;
    bool full, closing;
    _Atomic unsigned running;
    pthread_t threads[THREADS];
} mixin = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static _Thread_local unsigned my_number;

/* The next one, if there is any; waits for it if `patient`. */
static struct shs_conn *take(struct queue_mixin *self, bool patient)
{
    struct shs_conn *conn = NULL;
    bool was_full = false;

    pthread_mutex_lock(&self->lock);
    while (patient && self->count == 0 && !self->closing)
        pthread_cond_wait(&self->changed, &self->lock);
    if (self->count > 0) {
        conn = self->queue[self->first];
        self->first = (self->first + 1) % QUEUE;
        self->count--;
        was_full = self->full;
        self->full = false;
    }
    pthread_mutex_unlock(&self->lock);
    if (was_full)
        shs_server_resume_accept(self->scheduler.layer.server);
    return conn;
}

static void *work(void *unused)
{
    struct shs_server *server = mixin.scheduler.layer.server;
    struct shs_conn *conn;

    my_number = atomic_fetch_add(&mixin.running, 1) + 1;
    while ((conn = take(&mixin, true)) != NULL)
        shs_server_end_request(server, conn, shs_server_converse(server, conn));
    return unused;
}

/* With the first connection, so that a process that forks before has lost none. With the lock. */
static void start_threads(struct queue_mixin *self)
{
    while (self->started < THREADS &&
           pthread_create(&self->threads[self->started], NULL, work, NULL) == 0)
        self->started++;
}

static int queue_add(struct shs_scheduler *scheduler, struct shs_conn *conn)
{
    struct queue_mixin *self = SHS_CONTAINER_OF(scheduler, struct queue_mixin, scheduler);
    bool taken;

    pthread_mutex_lock(&self->lock);
    start_threads(self);
    taken = self->started > 0 && self->count < QUEUE;
    if (taken) {
        self->queue[(self->first + self->count++) % QUEUE] = conn;
        if (self->count == QUEUE && !self->full) {
            self->full = true;
            shs_server_pause_accept(scheduler->layer.server);
        }
        pthread_cond_signal(&self->changed);
    }
    pthread_mutex_unlock(&self->lock);
    return taken ? 0 : shs_conn_fail(conn, SHS_LIMIT, 0, "there is no thread for it, or no room");
}

static int queue_server_close(struct shs_layer *layer)
{
    struct queue_mixin *self = SHS_CONTAINER_OF(layer, struct queue_mixin, scheduler.layer);
    int rc = shs_super_server_close(layer); /* first: it wakes and awaits every conversation */
    struct shs_conn *conn;

    while ((conn = take(self, false)) != NULL) /* those for which there was no time */
        shs_server_end_request(layer->server, conn, SHS_STOPPED);
    pthread_mutex_lock(&self->lock);
    self->closing = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    for (unsigned i = 0; i < self->started && rc == 0; i++) /* else a handler does not return */
        pthread_join(self->threads[i], NULL);
    return rc;
}

static const struct shs_server_ops layer_ops = {
    .name = "QueueMixIn",
    .process_request = shs_schedule_request,
    .server_close = queue_server_close,
};
static const struct shs_scheduler_ops ops = {.add = queue_add};

/* -- a server over it -------------------------------------------------------------------------- */

static int answer(struct shs_request *req, struct shs_response *res)
{
    char text[64];
    int len = snprintf(text, sizeof text, "thread %u of %u\n", my_number, THREADS);

    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    return shs_write(res, text, (size_t)len);
}

static const struct shs_http_handler handler = {.name = "answer", .do_GET = answer};
static struct shs_server *server;

static void on_stop(int sig)
{
    (void)sig;
    shs_shutdown(server);
}

int main(int argc, char **argv)
{
    static struct sigaction stop;
    struct shs_options opt;
    struct shs_error err;

    shs_options_init(&opt);
    opt.port = argc > 1 ? argv[1] : "0";
    opt.bind_and_activate = false; /* compose first */
    if (shs_http_server_new(&server, &opt, &handler, &err) != 0 ||
        shs_server_push_scheduler(server, &mixin.scheduler, &layer_ops, &ops, &err) != 0 ||
        shs_server_bind_and_activate(server, &err) != 0)
        return fprintf(stderr, "queue_scheduler: %s\n", err.text), 1;
    stop.sa_handler = on_stop;
    sigaction(SIGTERM, &stop, NULL);
    printf("Serving HTTP on 127.0.0.1 port %u (http://127.0.0.1:%u/) ...\n%s\n",
           shs_server_port(server), shs_server_port(server), shs_server_describe(server));
    fflush(stdout);
    int rc = shs_serve_forever(server);
    shs_server_free(server);
    return rc != 0;
}
