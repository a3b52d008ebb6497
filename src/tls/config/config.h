/*
 * config.h - a struct shs_tls_config of our own: a copy with everything it points to.
 */
#ifndef SHS_TLS_CONFIG_H
#define SHS_TLS_CONFIG_H

#include <shs/tls.h>

#include "base/base.h"

struct shs_tls_config_copy {
    struct shs_tls_config config;
    struct shs_arena memory;
};

/* Copies and checks: SHS_OK; SHS_USAGE with *err when it contradicts itself; SHS_NOMEM. */
int shs__tls_config_copy(struct shs_tls_config_copy *to, const struct shs_tls_config *from,
                         struct shs_error *err);
void shs__tls_config_free(struct shs_tls_config_copy *copy);

/* The configuration that a server's options stand for, as views of *opt. */
struct shs_tls_simple_config {
    struct shs_tls_config config;
    struct shs_tls_host host;
    struct shs_tls_cert cert;
};
void shs__tls_simple_config(struct shs_tls_simple_config *to, const struct shs_options *opt);

#endif
