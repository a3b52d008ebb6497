#include "contract_lab.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loopback.h"
#include "tls_lab.h"

struct contract_seen *contract_seen;

/* -- the server -------------------------------------------------------------------------------- */

static void keep_error(struct shs_layer *layer, struct shs_conn *conn, const struct shs_error *err)
{
    SHS_UNUSED(layer);
    SHS_UNUSED(conn);
    atomic_store(&contract_seen->told, (int)err->code);
    atomic_fetch_add(&contract_seen->errors, 1);
}

static void count_shutdown(struct shs_layer *layer, struct shs_conn *conn)
{
    atomic_fetch_add(&contract_seen->shutdowns, 1);
    shs_super_shutdown_request(layer, conn);
}

static const struct shs_server_ops keeper_ops = {
    .name = "Keeper",
    .handle_error = keep_error,
    .shutdown_request = count_shutdown,
};

void contract_options(const struct contract_variant *v, struct shs_options *opt)
{
    if (v->tls)
        *opt = group_lab.opt;
    else
        shs_options_init(opt);
    opt->bind_and_activate = false;
    opt->poll_interval_ms = 20;
    opt->handshake_ms = opt->head_ms = opt->idle_ms = opt->write_ms = opt->stop_ms = 60000;
    /* server_close fails after it: on a busy machine a thread needs more than half a second. */
    opt->close_ms = (unsigned)patience_ms();
}

static int push_mixin(struct shs_server *server, enum contract_mixin mixin, struct shs_error *err)
{
    switch (mixin) {
    case CONTRACT_NONE:
        return SHS_OK;
    case CONTRACT_THREAD:
        return shs_threading_mixin_push(server, err);
    case CONTRACT_POOL:
        return shs_thread_pool_mixin_push(server, err);
    case CONTRACT_FORK:
        return shs_forking_mixin_push(server, err);
    }
    return SHS_USAGE;
}

void contract_start(struct contract_server *s, const struct contract_variant *v,
                    const struct shs_options *opt, const struct shs_request_handler_class *cls)
{
    struct shs_error err = {.code = SHS_OK};

    if (contract_seen == NULL)
        contract_seen = mmap(NULL, sizeof *contract_seen, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(contract_seen != MAP_FAILED);
    memset(contract_seen, 0, sizeof *contract_seen);
    memset(s, 0, sizeof *s);
    contract_seen->test_pid = getpid();
    contract_seen->client_fd = -1;
    s->variant = v;
    assert_int_equal(shs_tcp_server_new(&s->server, opt, cls, &err), SHS_OK);
    if (v->tls)
        assert_int_equal(shs_tls_mixin_push(s->server, &err), SHS_OK);
    assert_int_equal(push_mixin(s->server, v->mixin, &err), SHS_OK);
    assert_int_equal(shs_server_push(s->server, &s->layer, &keeper_ops), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(s->server, &err), SHS_OK);
    assert_int_equal(pthread_create(&s->thread, NULL, loopback_serve, s->server), 0);
}

void contract_end(struct contract_server *s)
{
    void *rc = NULL;

    if (s->ended)
        return;
    assert_int_equal(shs_shutdown_wait(s->server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(s->thread, &rc);
    s->ended = true;
    assert_int_equal((intptr_t)rc, SHS_OK);
    assert_int_equal(shs_server_close(s->server), SHS_OK);
}

void contract_free(struct contract_server *s)
{
    contract_end(s);
    shs_server_free(s->server);
}

/* -- the handler ------------------------------------------------------------------------------- */

void contract_called(struct shs_request_handler *self)
{
    if (getpid() != contract_seen->test_pid && atomic_load(&contract_seen->calls) == 0)
        close(contract_seen->client_fd);
    if (atomic_load(&contract_seen->calls) == 0)
        atomic_store(&contract_seen->begin_deadline_ns, shs_conn_deadline(self->request));
    atomic_store(&contract_seen->at_ns, shs_now_ns());
    atomic_fetch_add(&contract_seen->calls, 1);
}

int contract_ended(struct shs_request_handler *self, int rc)
{
    atomic_store(&contract_seen->rc, rc);
    atomic_store(&contract_seen->error, (int)shs_conn_error(self->request)->code);
    return rc;
}

void contract_finish(struct shs_request_handler *self)
{
    SHS_UNUSED(self);
    atomic_store(&contract_seen->end_ns, shs_now_ns());
}

void contract_await_finish(void)
{
    for (int i = 0; i < patience_ms() && atomic_load(&contract_seen->end_ns) == 0; i++)
        poll(NULL, 0, 1);
    assert_true(atomic_load(&contract_seen->end_ns) != 0);
}

/* -- the client -------------------------------------------------------------------------------- */

/* A child must not be forked while this thread is in OpenSSL: server.h says why. */
static void await_child(const struct contract_server *s)
{
    for (int i = 0; i < patience_ms() && shs_server_active_children(s->server) == 0; i++)
        poll(NULL, 0, 1);
    assert_true(shs_server_active_children(s->server) > 0);
}

/* OpenSSL writes without MSG_NOSIGNAL, also when it connects, reads or shuts down: this thread gets
   no SIGPIPE meanwhile. That the server raises none is still seen. */
static void begin_quiet(sigset_t *before)
{
    sigset_t pipe_only;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &pipe_only, before), 0);
}

static int end_quiet(const sigset_t *before, int ret)
{
    const struct timespec at_once = {0, 0};
    sigset_t pipe_only;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    (void)sigtimedwait(&pipe_only, NULL, &at_once);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, before, NULL), 0);
    return ret;
}

void contract_dial(struct contract_client *c, const struct contract_server *s)
{
    struct timeval limit = {.tv_sec = patience_ms() / 1000};
    struct shs_tls_context *context;
    sigset_t before;
    int ret;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(c->fd >= 0);
    c->ssl = NULL;
    contract_seen->client_fd = c->fd;
    loopback_connect(c->fd, shs_server_port(s->server));
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (!s->variant->tls)
        return;
    if (s->variant->mixin == CONTRACT_FORK)
        await_child(s);
    context = lab_client(&group_lab, 0);
    c->ssl = SSL_new(context->ssl_ctx);
    shs__tls_context_free(context);
    assert_non_null(c->ssl);
    assert_int_equal(SSL_set_fd(c->ssl, c->fd), 1);
    begin_quiet(&before);
    do {
        errno = 0;
        ret = SSL_connect(c->ssl);
    } while (ret < 0 && errno == EINTR);
    assert_int_equal(end_quiet(&before, ret), 1);
}

bool contract_try_to_say(struct contract_client *c, const void *bytes, size_t len)
{
    sigset_t before;

    if (c->ssl == NULL)
        return send(c->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
    begin_quiet(&before);
    return end_quiet(&before, SSL_write(c->ssl, bytes, (int)len)) == (int)len;
}

void contract_say(struct contract_client *c, const void *bytes, size_t len)
{
    assert_true(contract_try_to_say(c, bytes, len));
}

size_t contract_hear(struct contract_client *c, void *buf, size_t cap)
{
    sigset_t before;
    ssize_t n;

    begin_quiet(&before);
    do { /* with SO_RCVTIMEO a stop of the process ends a recv, which is not begun again */
        errno = 0;
        n = c->ssl != NULL ? SSL_read(c->ssl, buf, (int)cap) : recv(c->fd, buf, cap, 0);
    } while (n < 0 && errno == EINTR);
    (void)end_quiet(&before, 0);
    return n < 0 ? 0 : (size_t)n;
}

void contract_end_data(struct contract_client *c)
{
    sigset_t before;

    begin_quiet(&before);
    if (c->ssl != NULL)
        (void)SSL_shutdown(c->ssl);
    (void)end_quiet(&before, 0);
    contract_fin(c);
}

void contract_fin(struct contract_client *c)
{
    assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
}

void contract_reset_it(struct contract_client *c)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    contract_hang_up(c);
}

void contract_hang_up(struct contract_client *c)
{
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
}

/* -- both -------------------------------------------------------------------------------------- */

void contract_prepare(struct contract_meeting *m, const struct contract_variant *v)
{
    m->variant = v;
    contract_options(v, &m->opt);
}

void contract_meet(struct contract_meeting *m, const struct shs_request_handler_class *cls)
{
    contract_start(&m->s, m->variant, &m->opt, cls);
    contract_dial(&m->c, &m->s);
}

void contract_part(struct contract_meeting *m)
{
    contract_hang_up(&m->c);
    contract_free(&m->s);
}
