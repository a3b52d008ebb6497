#include "server_lab.h"

#include <string.h>

#include "patience.h"

/* -- an echo handler with its own state -------------------------------------------------------- */

struct echo {
    struct shs_request_handler base;
    int calls;
};

_Atomic int server_lab_setups, server_lab_finishes, server_lab_result;

static int echo_setup(struct shs_request_handler *self)
{
    struct echo *me = SHS_CONTAINER_OF(self, struct echo, base);

    assert_int_equal(me->calls, 0); /* fresh */
    me->calls = 1;
    server_lab_setups++;
    return SHS_OK;
}

static int echo_handle(struct shs_request_handler *self)
{
    int rc = sst_echo.handle(self);

    server_lab_result = rc;
    return rc;
}

static void echo_finish(struct shs_request_handler *self)
{
    assert_int_equal(SHS_CONTAINER_OF(self, struct echo, base)->calls, 1);
    server_lab_finishes++;
}

const struct shs_request_handler_class server_lab_echo = {
    .name = "Echo",
    .instance_size = sizeof(struct echo),
    .setup = echo_setup,
    .handle = echo_handle,
    .finish = echo_finish,
};

/* -- the server -------------------------------------------------------------------------------- */

void server_lab_defaults(struct shs_options *opt)
{
    shs_options_init(opt);
    opt->bind_and_activate = false;
    opt->poll_interval_ms = 20;
    opt->stop_ms = 60000;
    opt->close_ms = 500;
}

void server_lab_start(struct server_lab *f, const struct shs_options *opt, bool threads)
{
    struct shs_error err = {.code = SHS_OK};

    memset(f, 0, sizeof *f);
    server_lab_setups = server_lab_finishes = 0;
    assert_int_equal(shs_tcp_server_new(&f->server, opt, &server_lab_echo, &err), SHS_OK);
    assert_int_equal(shs_server_push(f->server, &f->below.layer, &fake_layer_ops), SHS_OK);
    if (threads)
        assert_int_equal(shs_threading_mixin_push(f->server, &err), SHS_OK);
    else
        assert_int_equal(sst_compose(f->server, &err), SHS_OK);
    assert_int_equal(shs_server_push(f->server, &f->above.layer, &fake_layer_ops), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(f->server, &err), SHS_OK);
    assert_int_equal(pthread_create(&f->thread, NULL, loopback_serve, f->server), 0);
}

int server_lab_stop(struct server_lab *f)
{
    void *rc = NULL;

    assert_int_equal(shs_shutdown_wait(f->server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(f->thread, &rc);
    return (int)(intptr_t)rc;
}
