#include "tls/config/config.h"

#include <limits.h>

/* All names, paths and PEM of a configuration. */
#define CONFIG_MAX ((size_t)64 * 1024 * 1024)
#define DEFAULT_DEPTH 4
#define DEFAULT_EPOCH 3600
#define DEFAULT_AGE 7200
#define MAX_ALPN 32
#define DEFAULT_WATCH_MS 30000

void shs_tls_host_init_sized(struct shs_tls_host *host, size_t size)
{
    struct shs_tls_host defaults = {.size = size, .client_depth = DEFAULT_DEPTH};

    shs__sized_init(host, size, &defaults, sizeof defaults);
}

void shs_tls_config_init_sized(struct shs_tls_config *config, size_t size)
{
    struct shs_tls_config defaults = {
        .size = size,
        .ticket_epoch_s = DEFAULT_EPOCH,
        .session_age_s = DEFAULT_AGE,
        .max_handshakes = UINT_MAX,
        .watch_interval_ms = DEFAULT_WATCH_MS,
    };

    shs__sized_init(config, size, &defaults, sizeof defaults);
}

/* -- copying: each false when out of memory ---------------------------------------------------- */

static bool copy_bytes(struct shs_arena *arena, const void **bytes, size_t len)
{
    void *copy;

    if (*bytes == NULL)
        return true;
    copy = shs__arena_alloc(arena, len + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, *bytes, len);
    ((char *)copy)[len] = '\0';
    *bytes = copy;
    return true;
}

static bool copy_text(struct shs_arena *arena, const char **text)
{
    const void *bytes = *text;

    if (bytes == NULL)
        return true;
    if (!copy_bytes(arena, &bytes, strlen(*text)))
        return false;
    *text = bytes;
    return true;
}

static bool copy_names(struct shs_arena *arena, const char *const **names)
{
    const char **copy;
    size_t count = 0, i;

    if (*names == NULL)
        return true;
    while ((*names)[count] != NULL)
        count++;
    copy = shs__arena_alloc(arena, (count + 1) * sizeof *copy);
    if (copy == NULL)
        return false;
    for (i = 0; i < count; i++) {
        copy[i] = (*names)[i];
        if (!copy_text(arena, &copy[i]))
            return false;
    }
    copy[count] = NULL;
    *names = copy;
    return true;
}

static bool copy_certs(struct shs_arena *arena, struct shs_tls_host *host)
{
    struct shs_tls_cert *copy = shs__arena_alloc(arena, (host->cert_count + 1) * sizeof *copy);
    size_t i;

    if (copy == NULL)
        return false;
    for (i = 0; i < host->cert_count; i++) {
        copy[i] = host->certs[i];
        if (!copy_text(arena, &copy[i].certfile) || !copy_text(arena, &copy[i].keyfile) ||
            !copy_text(arena, &copy[i].ocspfile) ||
            !copy_bytes(arena, &copy[i].cert_pem, copy[i].cert_pem_len) ||
            !copy_bytes(arena, &copy[i].key_pem, copy[i].key_pem_len))
            return false;
    }
    host->certs = copy;
    return true;
}

static bool copy_host(struct shs_arena *arena, struct shs_tls_host *to,
                      const struct shs_tls_host *from)
{
    shs_tls_host_init(to);
    return shs__sized_copy(to, sizeof *to, from, "shs_tls_host", NULL) == SHS_OK &&
           copy_names(arena, &to->names) && copy_certs(arena, to) &&
           copy_text(arena, &to->ciphers) && copy_text(arena, &to->groups) &&
           copy_text(arena, &to->client_ca) && copy_text(arena, &to->crl);
}

/* An array of hosts is stepped by the size its caller was built with. */
static bool copy_hosts(struct shs_arena *arena, struct shs_tls_config *config)
{
    const struct shs_tls_host *from = config->hosts;
    struct shs_tls_host *copy = shs__arena_alloc(arena, config->host_count * sizeof *copy);
    size_t i;

    if (copy == NULL)
        return false;
    for (i = 0; i < config->host_count; i++) {
        if (!copy_host(arena, &copy[i], from))
            return false;
        from = (const void *)((const char *)from + from->size);
    }
    config->hosts = copy;
    return true;
}

/* -- checking ---------------------------------------------------------------------------------- */

static int check_host(const struct shs_tls_host *host, struct shs_error *err)
{
    if (host->cert_count == 0)
        return shs_error_set(err, SHS_USAGE, 0, "A TLS host needs a certificate.");
    if (host->min_version != 0 && host->min_version != 12 && host->min_version != 13)
        return shs_error_set(err, SHS_USAGE, 0,
                             "The lowest TLS version is %d; it must be 12 (TLS 1.2) or 13.",
                             host->min_version);
    if (host->client_auth != SHS_TLS_CLIENT_NONE && host->client_ca == NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "Client certificates are asked for, but no CA is named by which to "
                             "judge them: set client_ca.");
    if (host->client_auth == SHS_TLS_CLIENT_NONE && (host->client_ca != NULL || host->crl != NULL))
        return shs_error_set(err, SHS_USAGE, 0,
                             "client_ca and crl are set, but client_auth is none: clients would "
                             "not be asked.");
    return SHS_OK;
}

static int check_alpn(const char *const *names, struct shs_error *err)
{
    size_t i;

    for (i = 0; names != NULL && names[i] != NULL; i++) {
        size_t len = strlen(names[i]);

        if (len == 0 || len > 255)
            return shs_error_set(err, SHS_USAGE, 0,
                                 "A protocol name for ALPN has %zu bytes; it must have 1 to 255.",
                                 len);
        if (i == MAX_ALPN)
            return shs_error_set(err, SHS_USAGE, 0,
                                 "There are more than %d protocol names for ALPN.", MAX_ALPN);
    }
    return SHS_OK;
}

static int check(const struct shs_tls_config *config, struct shs_error *err)
{
    bool asks = false;
    size_t i;
    int rc;

    if (config->host_count == 0 || config->hosts == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "TLS needs at least one host.");
    if (config->ticket_epoch_s == 0 || config->session_age_s == 0)
        return shs_error_set(err, SHS_USAGE, 0,
                             "ticket_epoch_s and session_age_s must be at least 1.");
    if ((unsigned)config->records > SHS_TLS_RECORDS_DIRECT)
        return shs_error_set(err, SHS_USAGE, 0,
                             "records must be SHS_TLS_RECORDS_LIBSSL or SHS_TLS_RECORDS_DIRECT.");
    if (config->watch && config->watch_interval_ms == 0)
        return shs_error_set(err, SHS_USAGE, 0, "watch_interval_ms must be at least 1.");
    for (i = 0; i < config->host_count; i++) {
        rc = check_host(&config->hosts[i], err);
        if (rc != SHS_OK)
            return rc;
        asks = asks || config->hosts[i].client_auth != SHS_TLS_CLIENT_NONE;
    }
    if (config->deny != NULL && !asks)
        return shs_error_set(err, SHS_USAGE, 0,
                             "deny is set, but clients are asked for no certificate: set "
                             "client_auth.");
    return check_alpn(config->alpn, err);
}

/* Before anything is taken from them: the first that has no size hides where the next begins. */
static int check_host_sizes(const struct shs_tls_config *config, struct shs_error *err)
{
    const struct shs_tls_host *from = config->hosts;

    for (size_t i = 0; from != NULL && i < config->host_count; i++) {
        struct shs_tls_host scratch;
        int rc = shs__sized_copy(&scratch, sizeof scratch, from, "shs_tls_host", err);

        if (rc != SHS_OK)
            return rc;
        from = (const void *)((const char *)from + from->size);
    }
    return SHS_OK;
}

int shs__tls_config_copy(struct shs_tls_config_copy *to, const struct shs_tls_config *from,
                         struct shs_error *err)
{
    struct shs_tls_config *config = &to->config;
    int rc;

    shs__arena_init(&to->memory, CONFIG_MAX);
    shs_tls_config_init(config);
    rc = shs__sized_copy(config, sizeof *config, from, "shs_tls_config", err);
    if (rc == SHS_OK)
        rc = check_host_sizes(config, err);
    if (rc != SHS_OK) {
        shs__tls_config_free(to);
        return rc;
    }
    if (config->host_count > 0 && config->hosts != NULL && !copy_hosts(&to->memory, config))
        goto nomem;
    if (!copy_text(&to->memory, &config->ticket_secret) ||
        !copy_text(&to->memory, &config->keylog) || !copy_text(&to->memory, &config->deny) ||
        !copy_names(&to->memory, &config->alpn))
        goto nomem;
    rc = check(config, err);
    if (rc != SHS_OK)
        shs__tls_config_free(to);
    return rc;
nomem:
    shs__tls_config_free(to);
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the TLS configuration.");
}

void shs__tls_config_free(struct shs_tls_config_copy *copy)
{
    shs__arena_free(&copy->memory);
}

void shs__tls_simple_config(struct shs_tls_simple_config *to, const struct shs_options *opt)
{
    memset(to, 0, sizeof *to);
    shs_tls_config_init(&to->config);
    shs_tls_host_init(&to->host);
    to->cert = (struct shs_tls_cert){
        .certfile = opt->certfile,
        .keyfile = opt->keyfile,
        .cert_pem = opt->cert_pem,
        .cert_pem_len = opt->cert_pem_len,
        .key_pem = opt->key_pem,
        .key_pem_len = opt->key_pem_len,
        .password = opt->password,
        .password_ctx = opt->password_ctx,
    };
    to->host.certs = &to->cert;
    to->host.cert_count = 1;
    to->config.hosts = &to->host;
    to->config.host_count = 1;
    to->config.clock_offset_s = opt->clock_offset_s;
}
