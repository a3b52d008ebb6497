#include "cmd/trust_env.h"

#include <stdio.h>

#include "certs/truststore.h"
#include "cmd/cmd.h"

#define QUOTED_MAX ((size_t)64 * 1024)

typedef int each_fn(void *ctx, const char *name, const char *value);

/* Those that want a file of PEM. */
static const char *const ca_variables[] = {
    "SSL_CERT_FILE",                    /* OpenSSL, and what stands on it; Go; Rust; Ruby; .NET */
    "CURL_CA_BUNDLE",                   /* curl, the tool; requests */
    "REQUESTS_CA_BUNDLE",               /* Python's requests, pip */
    "PIP_CERT",                         /* pip */
    "NODE_EXTRA_CA_CERTS",              /* Node.js, beside its own */
    "GIT_SSL_CAINFO",                   /* git */
    "AWS_CA_BUNDLE",                    /* AWS CLI and SDKs */
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", /* gRPC */
    "DENO_CERT",                        /* Deno, beside its own */
    "CARGO_HTTP_CAINFO",                /* cargo */
    "PERL_LWP_SSL_CA_FILE",             /* Perl's LWP */
    "NIX_SSL_CERT_FILE",                /* curl and others, of Nix */
};

static const char *const wgetrc_variables[] = {"WGETRC", "WGET2RC"};
static const char *const proxy_variables[] = {"https_proxy", "HTTPS_PROXY", "http_proxy"};
static const char *const no_proxy_variables[] = {"no_proxy", "NO_PROXY"};

static int set_all(const char *const *names, size_t count, const char *value, each_fn *each,
                   void *ctx)
{
    int code = CMD_OK;

    for (size_t i = 0; i < count && code == CMD_OK; i++)
        code = each(ctx, names[i], value);
    return code;
}

/* As the JVM reads it: blanks part options, and in quotes they do not. NULL: no memory. */
static char *quote_for_java(const char *path)
{
    struct shs_buf out;
    int rc = SHS_OK;

    shs__buf_init(&out, QUOTED_MAX);
    for (const char *at = path; rc == SHS_OK && *at != '\0'; at++) {
        if (*at == '"')
            rc = shs__buf_printf(&out, "'%c'", *at);
        else if (strchr(" \t\n'", *at) != NULL)
            rc = shs__buf_printf(&out, "\"%c\"", *at);
        else
            rc = shs__buf_append(&out, at, 1);
    }
    if (rc == SHS_OK)
        rc = shs__buf_append(&out, "", 1);
    if (rc == SHS_OK)
        return out.data;
    shs__buf_free(&out);
    return NULL;
}

/* Beside the options that are there: of two of a name the last one counts. */
static int set_java(const struct trust_env *self, each_fn *each, void *ctx)
{
    const char *there = self->java_options == NULL ? "" : self->java_options;
    char *value = NULL, *proxy = NULL, *store;
    int code = CMD_FAILED;

    if (self->p12_path == NULL)
        return CMD_OK;
    store = quote_for_java(self->p12_path);
    if (self->proxy_host != NULL)
        proxy = shs__asprintf(" -Dhttps.proxyHost=%s -Dhttps.proxyPort=%u -Dhttp.nonProxyHosts=",
                              self->proxy_host, self->proxy_port);
    if (store != NULL)
        value = shs__asprintf("%s%s-Djavax.net.ssl.trustStore=%s "
                              "-Djavax.net.ssl.trustStorePassword=" SHS_TRUSTSTORE_PASSWORD "%s",
                              there, *there == '\0' ? "" : " ", store, proxy == NULL ? "" : proxy);
    if (value != NULL)
        code = each(ctx, "JAVA_TOOL_OPTIONS", value);
    shs__free(proxy);
    shs__free(store);
    shs__free(value);
    return code;
}

/* As PHP reads it in a string with quotes. */
char *trust_env_php_ini(const char *ca_path)
{
    struct shs_buf path;
    char *text = NULL;
    int rc = SHS_OK;

    shs__buf_init(&path, QUOTED_MAX);
    for (const char *at = ca_path; rc == SHS_OK && *at != '\0'; at++)
        rc = shs__buf_printf(&path, *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
    if (rc == SHS_OK)
        rc = shs__buf_append(&path, "", 1);
    if (rc == SHS_OK)
        text = shs__asprintf("curl.cainfo = \"%s\"\n"
                             "openssl.cafile = \"%s\"\n",
                             path.data, path.data);
    shs__buf_free(&path);
    return text;
}

/* Behind the directories that are there: the last file counts. An empty name is the directory that
   PHP was built with, which it reads where the variable is not set. */
static int set_php(const struct trust_env *self, each_fn *each, void *ctx)
{
    const char *there = self->php_dirs == NULL ? "" : self->php_dirs;
    bool alone = self->php_dirs != NULL && *there == '\0'; /* none was to be read */
    char *value;
    int code = CMD_FAILED;

    if (self->php_dir == NULL)
        return CMD_OK;
    value = shs__asprintf("%s%s%s", there, alone ? "" : ":", self->php_dir);
    if (value != NULL)
        code = each(ctx, "PHP_INI_SCAN_DIR", value);
    shs__free(value);
    return code;
}

int trust_env_each(const struct trust_env *self, each_fn *each, void *ctx)
{
    int code = CMD_OK;

    if (self->ca_path != NULL) {
        code = set_all(ca_variables, SHS_ARRAY_LEN(ca_variables), self->ca_path, each, ctx);
        /* Authorities in a directory that was named would be trusted as well. */
        if (code == CMD_OK)
            code = each(ctx, "SSL_CERT_DIR", NULL);
        if (code == CMD_OK)
            code = set_java(self, each, ctx);
        if (code == CMD_OK)
            code = set_php(self, each, ctx);
    }
    if (code == CMD_OK && self->wgetrc != NULL)
        code = set_all(wgetrc_variables, SHS_ARRAY_LEN(wgetrc_variables), self->wgetrc, each, ctx);
    if (code == CMD_OK && self->proxy != NULL)
        code = set_all(proxy_variables, SHS_ARRAY_LEN(proxy_variables), self->proxy, each, ctx);
    if (code == CMD_OK && self->no_proxy != NULL)
        code = set_all(no_proxy_variables, SHS_ARRAY_LEN(no_proxy_variables), self->no_proxy, each,
                       ctx);
    return code;
}
