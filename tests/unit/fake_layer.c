#include "fake_layer.h"

#include "base/base.h"

#define FAKE(l) SHS_CONTAINER_OF(l, struct fake_layer, layer)

static int fake_bind(struct shs_layer *l)
{
    FAKE(l)->bind++;
    return shs_super_server_bind(l);
}
static int fake_activate(struct shs_layer *l)
{
    FAKE(l)->activate++;
    return shs_super_server_activate(l);
}
static int fake_get(struct shs_layer *l, struct shs_conn **out)
{
    int rc = shs_super_get_request(l, out);

    FAKE(l)->get += rc == SHS_OK;
    return rc;
}
static bool fake_verify(struct shs_layer *l, struct shs_conn *conn)
{
    FAKE(l)->verify++;
    return !FAKE(l)->refuse && shs_super_verify_request(l, conn);
}
static int fake_process(struct shs_layer *l, struct shs_conn *conn)
{
    FAKE(l)->process++;
    return shs_super_process_request(l, conn);
}
static int fake_finish(struct shs_layer *l, struct shs_conn *conn)
{
    int rc = shs_super_finish_request(l, conn);

    FAKE(l)->finish += rc <= 0; /* the conversation ended: once per connection */
    return rc;
}
static int fake_wait(struct shs_layer *l, struct shs_conn *conn, int what)
{
    FAKE(l)->wait++;
    return shs_super_wait_request(l, conn, what);
}
static void fake_shutdown(struct shs_layer *l, struct shs_conn *conn)
{
    FAKE(l)->shutdown++;
    shs_super_shutdown_request(l, conn);
}
static void fake_close(struct shs_layer *l, struct shs_conn *conn)
{
    FAKE(l)->close++;
    shs_super_close_request(l, conn);
}
static void fake_error(struct shs_layer *l, struct shs_conn *conn, const struct shs_error *err)
{
    FAKE(l)->error++;
    shs_super_handle_error(l, conn, err);
}
static void fake_service(struct shs_layer *l)
{
    FAKE(l)->service++;
}
static int fake_server_close(struct shs_layer *l)
{
    FAKE(l)->server_close++;
    return shs_super_server_close(l);
}
static void fake_free(struct shs_layer *l)
{
    FAKE(l)->freed++;
}

const struct shs_server_ops fake_layer_ops = {
    .name = "FakeMixIn",
    .server_bind = fake_bind,
    .server_activate = fake_activate,
    .get_request = fake_get,
    .verify_request = fake_verify,
    .process_request = fake_process,
    .finish_request = fake_finish,
    .wait_request = fake_wait,
    .shutdown_request = fake_shutdown,
    .close_request = fake_close,
    .handle_error = fake_error,
    .service_actions = fake_service,
    .server_close = fake_server_close,
    .layer_free = fake_free,
};

const struct shs_server_ops fake_layer_request_ops = {
    .name = "FakeMixIn",
    .process_request = fake_process,
    .finish_request = fake_finish,
    .shutdown_request = fake_shutdown,
    .close_request = fake_close,
    .server_close = fake_server_close,
    .layer_free = fake_free,
};
