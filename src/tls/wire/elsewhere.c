#include "tls/wire/elsewhere.h"

#include "tls/config/config.h"
#include "tls/config/names.h"
#include "tls/config/site.h"

/* "a.example:8443" -> "a.example", "[::1]:443" -> "[::1]". */
static struct shs_str without_port(struct shs_str host)
{
    size_t len = host.len;

    while (len > 0 && host.ptr[len - 1] >= '0' && host.ptr[len - 1] <= '9')
        len--;
    if (len > 0 && host.ptr[len - 1] == ':')
        host.len = len - 1;
    return host;
}

/* The number of the host that clients who ask for that name get; as on_client_hello finds it. */
static size_t host_of(const struct shs_tls_context *context, struct shs_str name)
{
    unsigned found, period = context->default_period;

    if (!shs__tls_name_is_address(name) && shs__tls_names_find(context->names, name, &found))
        period = context->period_of_name[found];
    return (size_t)(shs__tls_site_at(context, period, shs__tls_now(context))->host -
                    context->config->config.hosts);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Of clients by what they show, and of TLS by what is agreed on. */
static bool asks_the_same(const struct shs_tls_context *context, size_t one, size_t other)
{
    const struct shs_tls_host *a = &context->config->config.hosts[one],
                              *b = &context->config->config.hosts[other];

    return a->client_auth == b->client_auth && a->client_lax == b->client_lax &&
           a->client_partial == b->client_partial && a->client_depth == b->client_depth &&
           (a->crl == NULL) == (b->crl == NULL) &&
           memcmp(context->clients[one]->digest, context->clients[other]->digest,
                  sizeof context->clients[one]->digest) == 0 &&
           a->policy == b->policy && a->min_version == b->min_version &&
           same_text(a->ciphers, b->ciphers) && same_text(a->groups, b->groups);
}

bool shs__tls_is_elsewhere(const struct shs_tls_context *now, const struct shs_tls_stream *tls,
                           struct shs_str host)
{
    struct shs_str name = without_port(host);
    size_t here, there;

    if (name.len == 0)
        return false; /* it names none */
    here = (size_t)(tls->facts.site->host - tls->context->config->config.hosts);
    there = host_of(now, name);
    return here != there && !asks_the_same(now, here, there);
}
