#include "cmd/ctl_where.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "testing/client.h"

#define PEM_MAX ((size_t)1024 * 1024)
#define SCHEME "https://"
/* 31 years: what is longer does not fit a deadline. */
#define WAIT_MAX_S ((int64_t)1000000000)

/* -- where ------------------------------------------------------------------------------------- */

static int bad_url(const struct ctl_where *self)
{
    return cmd_fail(CMD_USAGE,
                    "--url '%s' is not of the form https://HOST:PORT: the address of shs serve "
                    "--admin tls:PORT",
                    self->url);
}

/* "HOST:PORT" or "[::1]:PORT", and nothing behind it but a slash. */
static int read_url(struct ctl_where *self)
{
    const char *at = self->url, *end, *colon;
    uint64_t port = 0;
    size_t len;

    if (strncmp(at, SCHEME, strlen(SCHEME)) != 0)
        return bad_url(self);
    at += strlen(SCHEME);
    end = at[0] == '[' ? strchr(at, ']') : at + strcspn(at, ":/");
    if (end == NULL)
        return bad_url(self);
    colon = at[0] == '[' ? end + 1 : end;
    at += at[0] == '[';
    len = (size_t)(end - at);
    if (*colon != ':' || len == 0 || len >= sizeof self->host)
        return bad_url(self);
    end = colon + 1 + strcspn(colon + 1, "/");
    if ((end[0] == '/' && end[1] != '\0') ||
        !shs_str_number((struct shs_str){colon + 1, (size_t)(end - colon - 1)}, 65535, &port) ||
        port == 0)
        return bad_url(self);
    snprintf(self->host, sizeof self->host, "%.*s", (int)len, at);
    self->port = (unsigned)port;
    snprintf(self->field, sizeof self->field, "%s%s%s", strchr(self->host, ':') == NULL ? "" : "[",
             self->host, strchr(self->host, ':') == NULL ? "" : "]");
    snprintf(self->text, sizeof self->text, "%s:%u", self->field, self->port);
    return CMD_OK;
}

static int check_url(struct ctl_where *self)
{
    if (self->socket != NULL)
        return cmd_fail(CMD_USAGE, "--socket and --url are two servers: give one of them");
    if (self->cacert == NULL)
        return cmd_fail(CMD_USAGE, "--url needs --cacert: the CA that the server's certificate is "
                                   "from");
    if (self->key != NULL && self->cert == NULL)
        return cmd_fail(CMD_USAGE, "--key needs --cert");
    return read_url(self);
}

static int check_socket(struct ctl_where *self)
{
    struct sockaddr_un address;

    if (self->cert != NULL || self->key != NULL || self->cacert != NULL)
        return cmd_fail(CMD_USAGE, "--cert, --key and --cacert go with --url");
    if (self->socket == NULL)
        self->socket = getenv("SHS_ADMIN_SOCKET");
    if (self->socket == NULL || self->socket[0] == '\0')
        return cmd_fail(CMD_USAGE, "which server? --socket PATH, or SHS_ADMIN_SOCKET in the "
                                   "environment: the PATH of shs serve --admin unix:PATH; or --url "
                                   "https://HOST:PORT");
    if (strncmp(self->socket, "unix:", 5) == 0)
        self->socket += 5;
    if (strlen(self->socket) >= sizeof address.sun_path)
        return cmd_fail(CMD_USAGE, "the path of a Unix socket has at most %zu bytes",
                        sizeof address.sun_path - 1);
    snprintf(self->text, sizeof self->text, "%s", self->socket);
    return CMD_OK;
}

int ctl_where_check(struct ctl_where *self)
{
    return self->url != NULL ? check_url(self) : check_socket(self);
}

/* -- what went wrong --------------------------------------------------------------------------- */

static int cannot_ask_socket(const struct ctl_where *self, const struct shs_error *err)
{
    struct stat st;

    switch (err->sys_errno) {
    case ENOENT:
        return cmd_fail(CMD_FAILED,
                        "there is no socket at %s: start the server with --admin unix:%s, or say "
                        "with --socket where it is",
                        self->socket, self->socket);
    case ECONNREFUSED:
        if (stat(self->socket, &st) == 0 && !S_ISSOCK(st.st_mode))
            return cmd_fail(CMD_FAILED,
                            "%s is not a socket: --socket takes the PATH of shs serve --admin "
                            "unix:PATH",
                            self->socket);
        return cmd_fail(CMD_FAILED, "nobody serves %s: the server has ended; start it again",
                        self->socket);
    case EAGAIN:
        return cmd_fail(CMD_FAILED, "too many wait at %s: try again", self->socket);
    case EACCES:
    case EPERM:
        return cmd_fail(CMD_FAILED,
                        "you may not open %s: be its owner, or in its group (shs serve "
                        "--admin-group)",
                        self->socket);
    default:
        return cmd_fail(CMD_FAILED, "%s: %s", self->socket, err->text);
    }
}

static int cannot_ask(const struct ctl_where *self, const struct shs_test_client *client,
                      const struct shs_error *err)
{
    if (self->url == NULL)
        return cannot_ask_socket(self, err);
    if (err->sys_errno == ECONNREFUSED)
        return cmd_fail(CMD_FAILED, "nobody serves %s: is it the address of --admin tls:PORT?",
                        self->text);
    if (client->alert >= 0 && self->cert == NULL)
        return cmd_fail(CMD_FAILED,
                        "%s wants to know who you are: give --cert and --key, of a CA in its "
                        "--admin-client-ca (%s)",
                        self->text, err->text);
    if (client->alert < 0 && strstr(err->text, "set up") != NULL)
        return cmd_fail(CMD_FAILED, "--cacert %s, --cert %s or its key cannot be used: %s",
                        self->cacert, self->cert == NULL ? "(none)" : self->cert, err->text);
    if (client->alert >= 0)
        return cmd_fail(CMD_FAILED, "%s does not let you in: %s", self->text, err->text);
    return cmd_fail(CMD_FAILED, "%s: %s", self->text, err->text);
}

/* -- asking ------------------------------------------------------------------------------------ */

/* All of the file as text, for shs__buf_free. An exit code. */
static int read_pem(const char *flag, const char *path, struct shs_buf *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
    char why[96];

    if (fd < 0)
        return cmd_fail(CMD_FAILED, "cannot read --%s %s: %s", flag, path,
                        shs__strerror(errno, why, sizeof why));
    rc = shs__read_all(fd, text);
    if (rc == SHS_OK)
        rc = shs__buf_append(text, "", 1);
    (void)close(fd);
    if (rc != SHS_OK)
        return cmd_fail(CMD_FAILED, "cannot read --%s %s: %s", flag, path,
                        rc == SHS_IO ? shs__strerror(errno, why, sizeof why) : shs_err_text(rc));
    return CMD_OK;
}

/* What the files of the flags say. */
struct pems {
    struct shs_buf ca, cert, key;
};

static int read_pems(const struct ctl_where *self, struct pems *pems)
{
    int code = CMD_OK;

    if (self->cacert != NULL)
        code = read_pem("cacert", self->cacert, &pems->ca);
    if (code == CMD_OK && self->cert != NULL)
        code = read_pem("cert", self->cert, &pems->cert);
    if (code == CMD_OK && self->cert != NULL)
        code = read_pem("key", self->key == NULL ? self->cert : self->key, &pems->key);
    return code;
}

static int send_it(const struct ctl_where *self, const struct shs_test_request *request,
                   const struct pems *pems, struct shs_test_answer **out)
{
    struct shs_test_client_spec spec = {.host = "admin", .path = self->socket};
    struct shs_error err = {.text = ""};
    struct shs_test_client client;

    if (self->url != NULL) {
        spec.path = NULL;
        spec.host = self->host;
        spec.port = self->port;
        spec.tls = true;
        spec.ca_pem = shs__buf_head(&pems->ca);
        spec.cert_pem = self->cert == NULL ? NULL : shs__buf_head(&pems->cert);
        spec.key_pem = self->cert == NULL ? NULL : shs__buf_head(&pems->key);
    }
    spec.deadline_ns =
        shs_now_ns() + (self->wait_s < WAIT_MAX_S ? self->wait_s : WAIT_MAX_S) * SHS_NS_PER_S;
    memset(&client, 0, sizeof client);
    client.fd = -1;
    client.alert = -1;
    return shs__test_client_ask(out, &spec, request, &client, &err) == SHS_OK
               ? CMD_OK
               : cannot_ask(self, &client, &err);
}

int ctl_where_ask(const struct ctl_where *self, const char *method, const char *target,
                  const char *body, size_t body_len, struct shs_test_answer **out)
{
    const char *const fields[] = {
        "Host",  self->url == NULL ? "admin" : self->field, "Connection",
        "close", body_len == 0 ? NULL : "Content-Type",     "application/json",
        NULL};
    struct shs_test_request request;
    struct pems pems;
    int code;

    *out = NULL;
    shs_test_request_init(&request);
    request.method = method;
    request.target = target;
    request.fields = fields;
    request.body = body_len == 0 ? NULL : body;
    request.body_len = body_len;
    shs__buf_init(&pems.ca, PEM_MAX);
    shs__buf_init(&pems.cert, PEM_MAX);
    shs__buf_init(&pems.key, PEM_MAX);
    code = read_pems(self, &pems);
    if (code == CMD_OK)
        code = send_it(self, &request, &pems, out);
    shs__buf_free(&pems.ca);
    shs__buf_free(&pems.cert);
    shs__buf_free(&pems.key);
    return code;
}
