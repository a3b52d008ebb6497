#include "cmd/serve_admin.h"

#include <stdio.h>
#include <sys/un.h>

#include "admin/check.h"
#include "cmd/cmd.h"
#include "server/loopback.h"

#define SOCKET_PATH_MAX (sizeof((struct sockaddr_un *)NULL)->sun_path - 1)

bool serve_admin_place(const char *text, struct serve_admin_place *out)
{
    memset(out, 0, sizeof *out);
    if (strncmp(text, "unix:", 5) == 0) {
        out->path = text + 5;
        return text[5] != '\0';
    }
    out->tls = strncmp(text, "tls:", 4) == 0;
    if (!out->tls && strncmp(text, "tcp:", 4) != 0)
        return false;
    return serve_split_address(text + 4, out->host, sizeof out->host, &out->port);
}

bool serve_admin_fits(const struct serve_options *o, const char **flag, const char **problem)
{
    unsigned sockets = 0, addresses = 0;

    *flag = "admin";
    for (size_t i = 0; i < o->admin.places.count; i++) {
        struct serve_admin_place place;

        if (!serve_admin_place(o->admin.places.items[i], &place)) {
            *problem = "is not of the form unix:PATH, tls:ADDRESS:PORT or tcp:ADDRESS:PORT";
            return false;
        }
        if (place.path != NULL && strlen(place.path) > SOCKET_PATH_MAX) {
            *problem = "has a path of more than 107 bytes, and a Unix socket's is never longer";
            return false;
        }
        sockets += place.path != NULL;
        addresses += place.path == NULL;
        if (place.path == NULL && !place.tls && !shs__is_loopback(place.host)) {
            *problem = "with tcp: would be open to the network: use tls: with --admin-client-ca, "
                       "a loopback address, or unix:";
            return false;
        }
        if (place.tls && o->admin.client_ca == NULL) {
            *problem = "with tls: needs --admin-client-ca, the CAs whose clients may come in";
            return false;
        }
    }
    *problem = "can have one unix: and one tls: or tcp:";
    return sockets <= 1 && addresses <= 1;
}

/* -- GET config -------------------------------------------------------------------------------- */

static void each_setting(void *options, shs_admin_setting_fn *each, void *to)
{
    const struct serve_options *o = options;
    char value[4096];

    for (size_t r = 0; r < serve_settings.count; r++) {
        const struct setting *row = &serve_settings.rows[r];

        for (size_t n = 0; settings_show(row, o, n, value, sizeof value); n++) {
            each(to, row->name, value);
            if (row->kind != SETTING_TEXTS)
                break;
        }
    }
}

/* -- the plane --------------------------------------------------------------------------------- */

/* The certificate of --admin-cert, or else of the first listener. */
static void choose_certificate(const struct serve_options *o, struct shs_admin_options *opt)
{
    if (o->admin.cert != NULL) {
        opt->certfile = o->admin.cert;
        opt->keyfile = o->admin.key;
    } else if (o->cert_count > 0) {
        opt->certfile = o->certs[0].cert;
        opt->keyfile = o->certs[0].key;
    } else {
        opt->certfile = o->opt.certfile;
        opt->keyfile = o->opt.keyfile;
    }
}

/* Where it is to be: views of `o` and `place`. */
static int choose_places(const struct serve_options *o, struct serve_admin_place place[2],
                         struct shs_admin_options *opt)
{
    bool tls = false;

    for (size_t i = 0; i < o->admin.places.count; i++) {
        if (!serve_admin_place(o->admin.places.items[i], &place[i]))
            continue;
        if (place[i].path != NULL) {
            opt->path = place[i].path;
            continue;
        }
        opt->host = place[i].host;
        opt->port = place[i].port;
        tls = place[i].tls;
    }
    if (!tls)
        return CMD_OK;
    choose_certificate(o, opt);
    /* One of our own is made at the start: what is looked at before has none. */
    if (opt->certfile == NULL && o->check && !o->plain)
        opt->host = "localhost";
    else if (opt->certfile == NULL)
        return cmd_fail(CMD_USAGE, "--admin with tls: needs a certificate: --admin-cert");
    if (o->admin.rules == NULL)
        cmd_warn("--admin with tls: and no --admin-rules: who comes there has no role, and may ask "
                 "who he is (whoami), and nothing else");
    return CMD_OK;
}

int serve_admin_open(struct shs_admin **out, const struct serve_options *o,
                     const struct shs_admin_options *given)
{
    struct shs_admin_options opt = *given;
    struct serve_admin_place places[2];
    struct shs_error err;
    int rc;

    *out = NULL;
    if (o->admin.places.count == 0)
        return CMD_OK;
    rc = choose_places(o, places, &opt);
    if (rc != CMD_OK)
        return rc;
    opt.group = o->admin.group;
    opt.client_ca = o->admin.client_ca;
    opt.crl = o->admin.crl;
    opt.audit = o->admin.audit;
    opt.deny = o->admin.deny;
    opt.rules = o->admin.rules;
    opt.keylog = o->admin.keylog;
    opt.stuck_ms = o->opt.stuck_handler_ms;
    if (o->admin.per_minute > 0) {
        opt.per_minute = o->admin.per_minute;
        opt.burst = opt.per_minute / 30 + 1;
    }
    if (o->drain_grace_is_given)
        opt.drain_grace_ms = o->drain_grace_ms;
    opt.settings = each_setting;
    opt.settings_ctx = (void *)o;
    rc = o->check ? shs__admin_check(out, &opt, &err) : shs_admin_new(out, NULL, &opt, &err);
    if (rc != SHS_OK)
        return cmd_fail(err.code == SHS_USAGE ? CMD_USAGE : CMD_FAILED, "--admin: %s", err.text);
    return CMD_OK;
}

void serve_admin_say(const struct shs_admin *admin)
{
    struct shs_server *server;

    for (unsigned i = 0; (server = shs_admin_server(admin, i)) != NULL; i++) {
        const char *host = shs_server_host(server);

        if (shs_server_address_family(server) == AF_UNIX)
            printf("Admin at unix:%s\n", host);
        else
            printf("Admin at %s://%s%s%s:%u/admin/v1/\n",
                   shs_server_layer(server, "TLSMixIn") != NULL ? "https" : "http",
                   strchr(host, ':') != NULL ? "[" : "", host, strchr(host, ':') != NULL ? "]" : "",
                   shs_server_port(server));
    }
    cmd_flush_or_warn();
}
