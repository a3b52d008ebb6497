#include "http_server/trusted_proxies.h"

#include <shs/proxy.h>
#include <shs/tls.h>

#include "server/server.h"

#define IDENTITIES_MAX 64u
#define X_FIELDS (SHS_FORWARDED_FOR | SHS_FORWARDED_PROTO | SHS_FORWARDED_HOST)
#define ALL_FIELDS (X_FIELDS | SHS_FORWARDED_CERT | SHS_FORWARDED_RFC7239 | SHS_FORWARDED_REAL_IP)

enum identity_kind { BY_URI, BY_DNS, BY_CN };

struct identity {
    enum identity_kind kind;
    char *value;
};

struct shs__trusted_proxies {
    struct shs__networks networks;
    bool unix_peers;
    unsigned fields;
    struct identity identities[IDENTITIES_MAX];
    size_t identity_count;
};

void shs__trusted_proxies_free(struct shs__trusted_proxies *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->identity_count; i++)
        shs__free(self->identities[i].value);
    shs__networks_free(&self->networks);
    shs__free(self);
}

/* -- who is believed --------------------------------------------------------------------------- */

static bool has_san(const struct shs_client_identity *id, enum shs_san_kind kind,
                    struct shs_str value)
{
    for (size_t i = 0; i < id->san_count; i++) {
        if (id->sans[i].kind == kind && shs__str_eq(id->sans[i].value, value))
            return true;
    }
    return false;
}

static bool is_that(const struct identity *wanted, const struct shs_client_identity *id)
{
    struct shs_str value = shs__str(wanted->value);

    switch (wanted->kind) {
    case BY_URI:
        return has_san(id, SHS_SAN_URI, value);
    case BY_DNS:
        return has_san(id, SHS_SAN_DNS, value);
    case BY_CN:
        return id->common_name.ptr != NULL && shs__str_eq(id->common_name, value);
    }
    return false;
}

static bool has_identity(const struct shs__trusted_proxies *self, struct shs_conn *conn)
{
    const struct shs_client_identity *id =
        self->identity_count == 0 ? NULL : shs_conn_client_identity(conn);

    for (size_t i = 0; id != NULL && id->verified && i < self->identity_count; i++) {
        if (is_that(&self->identities[i], id))
            return true;
    }
    return false;
}

static bool is_in_networks(const void *ctx, const struct shs__address *address)
{
    const struct shs__trusted_proxies *self = ctx;

    return shs__networks_have(&self->networks, address);
}

/* What a balancer's header says of a Unix client is not a peer of ours at a Unix socket. */
static bool is_unix_peer(const struct shs_conn *conn)
{
    return conn->client.sa.sa_family == AF_UNIX && !conn->renamed;
}

static bool is_believed(const struct shs__trusted_proxies *self, struct shs_conn *conn)
{
    struct shs__address address;

    if (is_unix_peer(conn) && self->unix_peers)
        return true;
    if (shs__conn_address(conn, &address) && is_in_networks(self, &address))
        return true;
    return has_identity(self, conn);
}

int shs__trusted_proxies_take(const struct shs__trusted_proxies *self, struct shs_conn *conn,
                              struct shs_request *req, const char **why)
{
    bool believed = self != NULL && is_believed(self, conn);

    shs__forwarded_delete(&req->head, believed ? self->fields : 0);
    return believed ? shs__forwarded_read(req, self->fields, is_in_networks, self, why) : SHS_OK;
}

/* -- saying it --------------------------------------------------------------------------------- */

void shs_trusted_proxies_init_sized(struct shs_trusted_proxies *opt, size_t size)
{
    struct shs_trusted_proxies defaults = {.size = size,
                                           .fields = SHS_FORWARDED_FOR | SHS_FORWARDED_PROTO};

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

static int read_identity(struct shs__trusted_proxies *self, const char *text, struct shs_error *err)
{
    static const struct {
        const char *prefix;
        enum identity_kind kind;
    } kinds[] = {{"uri=", BY_URI}, {"dns=", BY_DNS}, {"cn=", BY_CN}};

    for (size_t i = 0; i < SHS_ARRAY_LEN(kinds); i++) {
        size_t len = strlen(kinds[i].prefix);
        struct identity *identity = &self->identities[self->identity_count];

        if (strncmp(text, kinds[i].prefix, len) != 0 || text[len] == '\0')
            continue;
        identity->kind = kinds[i].kind;
        identity->value = shs__strndup(text + len, strlen(text + len));
        if (identity->value == NULL)
            return shs_error_set(err, SHS_NOMEM, 0, "out of memory for trusted proxies");
        self->identity_count++;
        return SHS_OK;
    }
    return shs_error_set(err, SHS_USAGE, 0,
                         "'%s' does not name a certificate: give uri=..., dns=... or cn=...", text);
}

static int read_identities(struct shs__trusted_proxies *self, const char *const *texts,
                           struct shs_error *err)
{
    int rc = SHS_OK;

    for (size_t i = 0; texts != NULL && texts[i] != NULL && rc == SHS_OK; i++)
        rc = i == IDENTITIES_MAX
                 ? shs_error_set(err, SHS_LIMIT, 0, "more than %u certificates of proxies",
                                 IDENTITIES_MAX)
                 : read_identity(self, texts[i], err);
    return rc;
}

static int check(const struct shs_trusted_proxies *opt, struct shs_error *err)
{
    unsigned fields = opt->fields;
    bool rfc7239 = (fields & SHS_FORWARDED_RFC7239) != 0;
    bool real_ip = (fields & SHS_FORWARDED_REAL_IP) != 0;

    if ((opt->networks == NULL || opt->networks[0] == NULL) && !opt->unix_peers &&
        (opt->identities == NULL || opt->identities[0] == NULL))
        return shs_error_set(err, SHS_USAGE, 0,
                             "no proxy is trusted: name networks, certificates, or peers at the "
                             "Unix socket");
    if (fields == 0 || (fields & ~ALL_FIELDS) != 0)
        return shs_error_set(err, SHS_USAGE, 0,
                             "fields is %u: it is made of SHS_FORWARDED_..., those that the "
                             "proxies set",
                             fields);
    if ((rfc7239 && (fields & X_FIELDS) != 0) ||
        (real_ip && (rfc7239 || (fields & SHS_FORWARDED_FOR) != 0)))
        return shs_error_set(err, SHS_USAGE, 0,
                             "two fields would say who the client is: choose one of "
                             "X-Forwarded-For, Forwarded and X-Real-IP, the one that the proxies "
                             "set");
    return SHS_OK;
}

int shs_server_trust_proxies(struct shs_server *self, const struct shs_trusted_proxies *opt,
                             struct shs_error *err)
{
    struct shs__trusted_proxies **place = shs__trusted_proxies_of(self), *mine;
    struct shs_trusted_proxies taken;
    int rc;

    shs_trusted_proxies_init(&taken);
    rc = shs__sized_copy(&taken, sizeof taken, opt, "shs_trusted_proxies", err);
    if (rc == SHS_OK)
        rc = check(&taken, err);
    if (rc != SHS_OK)
        return rc;
    if (place == NULL || *place != NULL || atomic_load(&self->frozen))
        return shs_error_set(err, SHS_USAGE, 0,
                             "proxies are named once, before it serves, of an "
                             "HTTP server: %s",
                             shs_server_describe(self));
    mine = shs__calloc(1, sizeof *mine);
    if (mine == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for trusted proxies");
    mine->unix_peers = taken.unix_peers;
    mine->fields = taken.fields;
    rc = shs__networks_read(&mine->networks, taken.networks, err);
    if (rc == SHS_OK)
        rc = read_identities(mine, taken.identities, err);
    if (rc != SHS_OK) {
        shs__trusted_proxies_free(mine);
        return rc;
    }
    *place = mine;
    return SHS_OK;
}

/* -- looking ----------------------------------------------------------------------------------- */

bool shs_request_is_forwarded(const struct shs_request *req)
{
    return shs__forwarded_of(req) != NULL;
}

const char *shs_request_client_host(const struct shs_request *req)
{
    const struct shs__forwarded *said = shs__forwarded_of(req);
    struct shs_conn *conn = req->x->conn;

    if (said != NULL && said->client != NULL)
        return said->client;
    return conn == NULL ? "" : shs_conn_client_host(conn);
}

unsigned shs_request_client_port(const struct shs_request *req)
{
    const struct shs__forwarded *said = shs__forwarded_of(req);
    const struct shs_conn *conn = req->x->conn;

    if (said != NULL && said->client != NULL)
        return said->port;
    return conn == NULL ? 0 : shs_conn_client_port(conn);
}

struct shs_str shs_request_scheme(const struct shs_request *req)
{
    const struct shs__forwarded *said = shs__forwarded_of(req);
    const struct shs_conn *conn = req->x->conn;
    const struct shs_proxy_info *proxy = conn == NULL ? NULL : shs_conn_proxy(conn);

    if (said != NULL && said->scheme.ptr != NULL)
        return said->scheme;
    if (conn != NULL && (conn->server->handshakes || (proxy != NULL && proxy->tls)))
        return SHS_STR("https");
    return SHS_STR("http");
}

struct shs_str shs_request_public_host(const struct shs_request *req)
{
    const struct shs__forwarded *said = shs__forwarded_of(req);

    return said != NULL && said->host.ptr != NULL ? said->host : shs_request_host(req);
}

bool shs_request_forwarded_cert(const struct shs_request *req, struct shs_forwarded_cert *out)
{
    const struct shs__forwarded *said = shs__forwarded_of(req);

    if (said == NULL || !said->has_cert)
        return false;
    *out = said->cert;
    return true;
}
