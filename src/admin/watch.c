#include "admin/watch.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include <shs/http.h>

#include "server/activity.h"
#include "server/server.h"
#include "tls/wire/mixin.h"

/* A connection, for who looks on. */
struct record {
    struct shs_conn_watch base;
    struct record *prev, *next; /* the oldest first; under the watch's lock */
    struct shs_admin_watch *watch;
    struct shs_conn *conn;
    uint64_t id;
    bool renamed; /* know_name is done */

    /* What its owner says again for each request, without the lock; copy_row says in which order it
       is read. */
    _Atomic int tid, state;
    _Atomic int64_t deadline_ns, request_ns; /* request_ns 0: none under way */
    _Atomic uint64_t requests, bytes_in, bytes_out;

    pthread_mutex_t lock; /* of the rest of `now`; taken after the watch's */
    struct shs_admin_row now;
};

struct shs_admin_watch {
    struct shs_layer layer;
    _Atomic unsigned refs;
    char name[SHS_SERVER_NAME_CAP];
    bool tls;
    pthread_rwlock_t told; /* of the two below: NULL once it is forgotten */
    struct shs_admin_denied *denied;
    const struct shs_admin_watch_events *events;
    struct shs_admin_tally tally;
    pthread_mutex_t lock; /* of the list; held for some records at a time */
    struct record *first, *last;
    size_t count;
    uint64_t next_id;
};

#define WATCH(l) SHS_CONTAINER_OF(l, struct shs_admin_watch, layer)

const char *shs__admin_state_name(enum shs_admin_state state)
{
    switch (state) {
    case SHS_ADMIN_HANDSHAKE:
        return "handshake";
    case SHS_ADMIN_WAITING:
        return "waiting";
    case SHS_ADMIN_IDLE:
        return "idle";
    case SHS_ADMIN_RUNNING:
        return "running";
    case SHS_ADMIN_STATES:
        break;
    }
    return "";
}

/* -- who a client is --------------------------------------------------------------------------- */

static void client_unref(struct shs_admin_client *client)
{
    if (client != NULL && atomic_fetch_sub(&client->refs, 1) == 1)
        shs__free(client);
}

struct keeper { /* copies strings behind a client, or only measures them */
    char *to;
    size_t used;
};

static const char *keep(struct keeper *k, struct shs_str s)
{
    char *copy = k->to == NULL ? NULL : k->to + k->used;

    if (s.ptr == NULL)
        return NULL;
    k->used += s.len + 1;
    if (copy == NULL)
        return NULL;
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

static void keep_all(struct shs_admin_client *to, struct keeper *k, const struct shs_tls_info *tls,
                     const struct shs_client_identity *id)
{
    if (to->tls) {
        to->version = keep(k, shs__str(tls->version));
        to->cipher = keep(k, shs__str(tls->cipher));
        to->sni = keep(k, shs__str(tls->sni));
        to->alpn = keep(k, shs__str(tls->alpn));
    }
    if (id == NULL || !id->verified)
        return;
    to->common_name = keep(k, id->common_name);
    to->organization = keep(k, id->organization);
    to->spiffe_id = keep(k, id->spiffe_id);
    to->spiffe_len = id->spiffe_id.len;
    to->subject = keep(k, id->subject);
    to->issuer = keep(k, id->issuer);
    to->serial = keep(k, id->serial);
    to->cert_sha256 = keep(k, shs__str(id->cert_sha256));
    to->spki_sha256 = keep(k, shs__str(id->spki_sha256));
}

static void look_at_peer(struct shs_admin_client *to, struct shs_conn *conn)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    if (conn->client.sa.sa_family != AF_UNIX || conn->borrowed ||
        getsockopt(shs_conn_fileno(conn), SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return;
    to->has_uid = true;
    to->uid = peer.uid;
    to->gid = peer.gid;
    to->pid = peer.pid;
}

/* One reference; NULL when there is no memory, and it is tried again. Owner thread. */
static struct shs_admin_client *client_new(struct shs_conn *conn)
{
    const struct shs_client_identity *id = shs_conn_client_identity(conn);
    struct shs_admin_client measure = {.tls = false}, *self;
    struct shs_tls_info tls;
    struct keeper k = {NULL, 0};

    measure.tls = shs_conn_tls_info(conn, &tls);
    keep_all(&measure, &k, &tls, id);
    self = shs__calloc(1, sizeof *self + k.used);
    if (self == NULL)
        return NULL;
    atomic_init(&self->refs, 1);
    self->tls = measure.tls;
    self->resumed = self->tls && tls.resumed;
    look_at_peer(self, conn);
    k = (struct keeper){self->text, 0};
    keep_all(self, &k, &tls, id);
    return self;
}

/* -- what is told ------------------------------------------------------------------------------ */

static void tell_handshake(struct shs_admin_watch *self, struct shs_conn *conn,
                           const struct shs_admin_client *client)
{
    pthread_rwlock_rdlock(&self->told);
    if (self->events != NULL && self->events->handshake != NULL)
        self->events->handshake(self->events->ctx, self, conn, client);
    pthread_rwlock_unlock(&self->told);
}

static void tell_failure(void *watch, const struct shs_tls_failure *failure)
{
    struct shs_admin_watch *self = watch;

    pthread_rwlock_rdlock(&self->told);
    if (self->events != NULL && self->events->failure != NULL)
        self->events->failure(self->events->ctx, self, failure);
    pthread_rwlock_unlock(&self->told);
}

static bool is_denied(struct shs_admin_watch *self, const struct shs_admin_client *client)
{
    struct shs_str id = {client->spiffe_id, client->spiffe_len};
    bool denied = false;

    pthread_rwlock_rdlock(&self->told);
    if (self->denied != NULL)
        denied = (client->has_uid && shs__admin_denied_has_uid(self->denied, client->uid)) ||
                 shs__admin_denied_has_spiffe(self->denied, id);
    pthread_rwlock_unlock(&self->told);
    return denied;
}

/* Of a certificate that verified, also when its session is resumed. */
static bool denies(void *watch, const struct shs_client_identity *identity)
{
    struct shs_admin_watch *self = watch;
    bool denied = false;

    pthread_rwlock_rdlock(&self->told);
    if (self->denied != NULL)
        denied = shs__admin_denied_has_spiffe(self->denied, identity->spiffe_id);
    pthread_rwlock_unlock(&self->told);
    return denied;
}

/* -- the records ------------------------------------------------------------------------------- */

static void add(struct shs_admin_watch *self, struct record *r)
{
    pthread_mutex_lock(&self->lock);
    self->next_id += SHS_ADMIN_ID_STEP;
    r->id = r->now.id = self->next_id;
    r->prev = self->last;
    if (self->last != NULL)
        self->last->next = r;
    else
        self->first = r;
    self->last = r;
    self->count++;
    pthread_mutex_unlock(&self->lock);
}

static void take_out(struct shs_admin_watch *self, struct record *r)
{
    pthread_mutex_lock(&self->lock);
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        self->first = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    else
        self->last = r->prev;
    self->count--;
    pthread_mutex_unlock(&self->lock);
}

/* A balancer has said who the client is. Owner thread. */
static void know_name(struct record *r)
{
    if (!r->conn->renamed || r->renamed)
        return;
    r->renamed = true;
    pthread_mutex_lock(&r->lock);
    snprintf(r->now.peer, sizeof r->now.peer, "%s", shs_conn_client_host(r->conn));
    r->now.port = shs_conn_client_port(r->conn);
    pthread_mutex_unlock(&r->lock);
}

/* What is known of the client goes into the record, once. Owner thread. */
static void know_client(struct record *r)
{
    struct shs_admin_client *client;

    if (r->now.client != NULL) /* only this thread writes it */
        return;
    client = client_new(r->conn);
    if (client == NULL)
        return;
    if (r->watch->tls && !client->tls) { /* not yet */
        client_unref(client);
        return;
    }
    pthread_mutex_lock(&r->lock);
    r->now.client = client;
    pthread_mutex_unlock(&r->lock);
    if (client->tls)
        tell_handshake(r->watch, r->conn, client);
    /* Who was denied between the check and now: whoever added him has looked, or we look. */
    if (is_denied(r->watch, client))
        (void)shs__admin_watch_end(r->watch, r->id, true, NULL);
}

/* As much as there is room for, before the NUL. */
static size_t put(char text[SHS_ADMIN_REQUEST_MAX], size_t at, struct shs_str s)
{
    size_t room = SHS_ADMIN_REQUEST_MAX - 1 - at;
    size_t len = s.len < room ? s.len : room;

    if (len > 0)
        memcpy(text + at, s.ptr, len);
    text[at + len] = '\0';
    return at + len;
}

static void begin_request(struct shs_conn_watch *base, struct shs_str method, struct shs_str path)
{
    struct record *r = SHS_CONTAINER_OF(base, struct record, base);
    size_t len;

    know_client(r);
    know_name(r);
    pthread_mutex_lock(&r->lock);
    len = put(r->now.request, 0, method);
    len = put(r->now.request, len, SHS_STR(" "));
    put(r->now.request, len, path);
    atomic_store_explicit(&r->request_ns, shs_now_ns(), memory_order_relaxed);
    pthread_mutex_unlock(&r->lock);
}

static void end_request(struct shs_conn_watch *base, const struct shs_access *access)
{
    struct record *r = SHS_CONTAINER_OF(base, struct record, base);
    uint64_t before = atomic_load_explicit(&r->requests, memory_order_relaxed);

    shs__admin_tally_count(&r->watch->tally, access->status, access->duration_ns);
    atomic_store_explicit(&r->requests, before + 1, memory_order_relaxed); /* no other writes */
    atomic_store_explicit(&r->request_ns, 0, memory_order_release);
}

/* Asking the kernel which thread this is costs as much as all the rest. */
static int own_tid(const struct shs_conn *conn)
{
    int tid = conn->activity == NULL
                  ? 0
                  : atomic_load_explicit(&conn->activity->tid, memory_order_relaxed);

    return tid != 0 ? tid : (int)gettid();
}

static void begin_turn(struct record *r)
{
    atomic_store_explicit(&r->tid, own_tid(r->conn), memory_order_relaxed);
    atomic_store_explicit(&r->state, SHS_ADMIN_RUNNING, memory_order_release);
}

static enum shs_admin_state state_after_turn(const struct record *r)
{
    if (r->watch->tls && r->now.client == NULL)
        return SHS_ADMIN_HANDSHAKE;
    return atomic_load(&r->conn->idle) ? SHS_ADMIN_IDLE : SHS_ADMIN_WAITING;
}

static void end_turn(struct record *r)
{
    const struct shs_conn *conn = r->conn;

    know_name(r);
    atomic_store_explicit(&r->deadline_ns, conn->deadline_ns, memory_order_relaxed);
    atomic_store_explicit(&r->bytes_in, conn->socket.bytes_in, memory_order_relaxed);
    atomic_store_explicit(&r->bytes_out, conn->socket.bytes_out, memory_order_relaxed);
    atomic_store_explicit(&r->state, (int)state_after_turn(r), memory_order_release);
}

static struct record *record_new(struct shs_admin_watch *self, struct shs_conn *conn)
{
    struct record *r = shs__calloc(1, sizeof *r);

    if (r == NULL)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    r->base = (struct shs_conn_watch){begin_request, end_request};
    r->watch = self;
    r->conn = conn;
    atomic_init(&r->state, self->tls ? SHS_ADMIN_HANDSHAKE : SHS_ADMIN_IDLE);
    atomic_init(&r->deadline_ns, INT64_MAX);
    r->now.accepted_ns = conn->accepted_ns;
    snprintf(r->now.peer, sizeof r->now.peer, "%s", shs_conn_client_host(conn));
    r->now.port = shs_conn_client_port(conn);
    return r;
}

/* -- the layer --------------------------------------------------------------------------------- */

static bool watch_verify_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct shs_admin_watch *self = WATCH(layer);
    struct record *r = record_new(self, conn);

    if (r == NULL) /* it is served all the same: who looks on is not that important */
        return shs_super_verify_request(layer, conn);
    shs_conn_set(conn, layer, r);
    conn->watch = &r->base;
    add(self, r);
    if (conn->client.sa.sa_family == AF_UNIX) {
        know_client(r);
        if (r->now.client != NULL && is_denied(self, r->now.client))
            return false;
    }
    return shs_super_verify_request(layer, conn);
}

static int watch_finish_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct record *r = shs_conn_get(conn, layer);
    int rc;

    if (r == NULL)
        return shs_super_finish_request(layer, conn);
    begin_turn(r);
    rc = shs_super_finish_request(layer, conn);
    if (r->now.client == NULL)
        know_client(r);
    end_turn(r);
    return rc;
}

static void watch_close_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct record *r = shs_conn_get(conn, layer);

    if (r != NULL) {
        conn->watch = NULL;
        shs_conn_set(conn, layer, NULL);
        take_out(WATCH(layer), r);
        client_unref(r->now.client);
        pthread_mutex_destroy(&r->lock);
        shs__free(r);
    }
    shs_super_close_request(layer, conn);
}

static void watch_service_actions(struct shs_layer *layer)
{
    struct shs_admin_watch *self = WATCH(layer);

    pthread_rwlock_rdlock(&self->told);
    if (self->events != NULL && self->events->turn != NULL)
        self->events->turn(self->events->ctx);
    pthread_rwlock_unlock(&self->told);
}

static void unref(struct shs_admin_watch *self)
{
    if (atomic_fetch_sub(&self->refs, 1) != 1)
        return;
    pthread_rwlock_destroy(&self->told);
    pthread_mutex_destroy(&self->lock);
    shs__free(self);
}

static void watch_layer_free(struct shs_layer *layer)
{
    unref(WATCH(layer));
}

static const struct shs_server_ops watch_ops = {
    .name = "AdminMixIn",
    .any_thread = true,
    .verify_request = watch_verify_request,
    .finish_request = watch_finish_request,
    .close_request = watch_close_request,
    .service_actions = watch_service_actions,
    .layer_free = watch_layer_free,
};

/* -- for who looks on -------------------------------------------------------------------------- */

static void observe_tls(struct shs_admin_watch *self, struct shs_server *server)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(server);

    if (mixin == NULL)
        return;
    self->tls = true;
    shs__tls_deny_ask(mixin->deny, denies, self);
    mixin->observe = tell_failure;
    mixin->observe_ctx = self;
}

int shs__admin_watch_new(struct shs_admin_watch **out, struct shs_server *server, const char *name,
                         unsigned number, struct shs_admin_denied *denied,
                         const struct shs_admin_watch_events *events, struct shs_error *err)
{
    struct shs_admin_watch *self;
    int rc;

    if (strlen(name) >= sizeof self->name)
        return shs_error_set(err, SHS_USAGE, 0, "a server's name has at most %d bytes",
                             SHS_SERVER_NAME_CAP - 1);
    if (shs_server_layer(server, watch_ops.name) != NULL)
        return shs_error_set(err, SHS_USAGE, 0, "%s is looked at already: %s", name,
                             shs_server_describe(server));
    if (shs_server_layer(server, "ForkingMixIn") != NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "a server that forks cannot be looked at, for its connections are in "
                             "other processes: use ThreadPoolMixIn or ThreadingMixIn");
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory");
    pthread_rwlock_init(&self->told, NULL);
    pthread_mutex_init(&self->lock, NULL);
    atomic_init(&self->refs, 2);
    snprintf(self->name, sizeof self->name, "%s", name);
    self->next_id = number;
    self->denied = denied;
    self->events = events;
    rc = shs_server_push(server, &self->layer, &watch_ops);
    if (rc != SHS_OK) {
        atomic_store(&self->refs, 1);
        unref(self);
        return shs_error_set(err, rc, 0, "%s cannot be looked at: %s", name,
                             rc == SHS_USAGE ? "it has served already" : shs_err_text(rc));
    }
    observe_tls(self, server);
    *out = self;
    return SHS_OK;
}

void shs__admin_watch_forget(struct shs_admin_watch *self)
{
    if (self == NULL)
        return;
    pthread_rwlock_wrlock(&self->told);
    self->denied = NULL;
    self->events = NULL;
    pthread_rwlock_unlock(&self->told);
    unref(self);
}

const char *shs__admin_watch_name(const struct shs_admin_watch *self)
{
    return self->name;
}

struct shs_server *shs__admin_watch_server(const struct shs_admin_watch *self)
{
    return self->layer.server;
}

/* The state is read before what was said before it, and that a request is over before how many
   there were. A text that is under way cannot change while the lock is held. */
static void copy_row(struct record *r, struct shs_admin_row *to)
{
    pthread_mutex_lock(&r->lock);
    *to = r->now;
    to->request_ns = atomic_load_explicit(&r->request_ns, memory_order_acquire);
    pthread_mutex_unlock(&r->lock);
    if (to->request_ns == 0)
        to->request[0] = '\0';
    to->requests = atomic_load_explicit(&r->requests, memory_order_relaxed);
    to->state = (enum shs_admin_state)atomic_load_explicit(&r->state, memory_order_acquire);
    to->tid =
        to->state == SHS_ADMIN_RUNNING ? atomic_load_explicit(&r->tid, memory_order_relaxed) : 0;
    to->deadline_ns = atomic_load_explicit(&r->deadline_ns, memory_order_relaxed);
    to->bytes_in = atomic_load_explicit(&r->bytes_in, memory_order_relaxed);
    to->bytes_out = atomic_load_explicit(&r->bytes_out, memory_order_relaxed);
    if (to->client != NULL)
        atomic_fetch_add(&to->client->refs, 1);
}

/* With the lock. Ids rise along the list. */
static struct record *first_after(struct shs_admin_watch *self, uint64_t after)
{
    struct record *r = self->first;

    while (r != NULL && r->id <= after)
        r = r->next;
    return r;
}

size_t shs__admin_watch_rows(struct shs_admin_watch *self, uint64_t after,
                             struct shs_admin_row *rows, size_t cap)
{
    size_t count = 0;

    pthread_mutex_lock(&self->lock);
    for (struct record *r = first_after(self, after); r != NULL && count < cap; r = r->next)
        copy_row(r, &rows[count++]);
    pthread_mutex_unlock(&self->lock);
    return count;
}

void shs__admin_row_free(struct shs_admin_row *row)
{
    client_unref(row->client);
    row->client = NULL;
}

void shs__admin_watch_add(struct shs_admin_watch *self, struct shs_admin_tally_sum *sum)
{
    shs__admin_tally_add(&self->tally, sum);
}

size_t shs__admin_watch_count(struct shs_admin_watch *self)
{
    size_t count;

    pthread_mutex_lock(&self->lock);
    count = self->count;
    pthread_mutex_unlock(&self->lock);
    return count;
}

/* With the lock: the descriptor is open as long as its record is in the list. */
static void end_record(struct record *r, bool now)
{
    pthread_mutex_lock(&r->lock);
    r->now.ending = true;
    pthread_mutex_unlock(&r->lock);
    /* As at the server's end: its owner sees the end of the peer's data, and says goodbye. */
    if (!r->conn->borrowed)
        shs__socket_stream_cut(&r->conn->socket, now ? SHUT_RDWR : SHUT_RD);
}

bool shs__admin_watch_end(struct shs_admin_watch *self, uint64_t id, bool now,
                          struct shs_admin_row *before)
{
    struct record *r;
    bool found;

    pthread_mutex_lock(&self->lock);
    r = first_after(self, id - 1);
    found = r != NULL && r->id == id;
    if (found && before != NULL)
        copy_row(r, before);
    if (found)
        end_record(r, now);
    pthread_mutex_unlock(&self->lock);
    return found;
}

bool shs__admin_watch_is_id_of(const struct shs_conn *conn, uint64_t id)
{
    return conn->watch != NULL && SHS_CONTAINER_OF(conn->watch, struct record, base)->id == id;
}

size_t shs__admin_watch_sweep(struct shs_admin_watch *self)
{
    struct shs_admin_row rows[64];
    uint64_t after = 0;
    size_t count, ended = 0;

    do {
        count = shs__admin_watch_rows(self, after, rows, SHS_ARRAY_LEN(rows));
        for (size_t i = 0; i < count; i++) {
            after = rows[i].id;
            if (rows[i].client != NULL && is_denied(self, rows[i].client))
                ended += shs__admin_watch_end(self, rows[i].id, true, NULL);
            shs__admin_row_free(&rows[i]);
        }
    } while (count == SHS_ARRAY_LEN(rows));
    return ended;
}
