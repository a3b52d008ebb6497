/*
 * exec.c - `shs exec`: a server for the length of a command.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <shs/static_files.h>
#include <shs/testing.h>

#include "certs/truststore.h"
#include "cmd/cmd.h"
#include "cmd/env_list.h"
#include "cmd/exec_child.h"
#include "cmd/exec_options.h"
#include "cmd/trust_env.h"

#define TRUSTSTORE_MAX ((size_t)64 * 1024)

struct exec {
    struct exec_options o;
    struct shs_static_files *files;
    struct shs_test_server *server;
    char *p12_path, *wgetrc, *php_ini, *php_dir, *no_proxy;
    struct env_list env; /* of the command */
};

/* -- the server -------------------------------------------------------------------------------- */

static const char *temp_dir(void)
{
    const char *dir = getenv("TMPDIR");

    return dir != NULL && dir[0] == '/' ? dir : "/tmp";
}

static int start_server(struct exec *self)
{
    const struct shs_http_handler *handler = self->o.handler;
    struct shs_test_server_options opt;
    struct shs_static_options site;
    struct shs_options options;
    struct shs_error err;
    int rc = SHS_OK;

    shs_options_init(&options);
    options.stop_ms = self->o.drain_ms;
    shs_test_server_options_init(&opt);
    opt.options = &options;
    opt.names = self->o.names;
    opt.plain = self->o.plain;
    opt.client_auth = self->o.client_auth;
    opt.client_cert = true;
    opt.temp_dir = temp_dir();
    opt.fault = self->o.cert_fault;
    if (handler == NULL) {
        shs_static_options_init(&site);
        site.directory = self->o.directory;
        rc = shs_static_files_new(&self->files, &site, &err);
        if (rc == SHS_OK)
            handler = shs_static_files_handler(self->files);
    }
    if (rc == SHS_OK)
        rc = shs_test_server_start(&self->server, handler, &opt, &err);
    for (size_t i = 0; i < self->o.rule_count && rc == SHS_OK; i++)
        rc = shs_test_server_rule(self->server, &self->o.rules[i], &err);
    if (rc == SHS_OK)
        return CMD_OK;
    return cmd_fail(rc == SHS_USAGE ? CMD_USAGE : EXEC_NO_SERVER, "%s", err.text);
}

/* -- files for those that want another form ---------------------------------------------------- */

static int write_beside_ca(const struct exec *self, const char *name, const void *bytes, size_t len,
                           char **path)
{
    const char *ca = shs_test_server_ca_path(self->server), *slash = strrchr(ca, '/');
    char why[96];
    int fd, saved;
    bool done;

    *path = shs__asprintf("%.*s/%s", (int)(slash - ca), ca, name);
    if (*path == NULL)
        return cmd_fail(EXEC_NO_SERVER, "out of memory");
    fd = open(*path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    done = fd >= 0 && shs__write_all(fd, bytes, len) == SHS_OK;
    saved = errno;
    if (fd >= 0)
        close(fd);
    if (done)
        return CMD_OK;
    return cmd_fail(EXEC_NO_SERVER, "cannot write %s: %s", *path,
                    shs__strerror(saved, why, sizeof why));
}

static int write_files(struct exec *self)
{
    struct shs_buf p12;
    struct shs_error err;
    char *wgetrc, *php_ini;
    int code;

    shs__buf_init(&p12, TRUSTSTORE_MAX);
    if (shs__truststore_make(&p12, shs_test_server_ca_pem(self->server), &err) != SHS_OK) {
        shs__buf_free(&p12);
        return cmd_fail(EXEC_NO_SERVER, "%s", err.text);
    }
    code = write_beside_ca(self, "ca.p12", shs__buf_head(&p12), p12.len, &self->p12_path);
    shs__buf_free(&p12);
    if (code != CMD_OK)
        return code;
    wgetrc = shs__asprintf("ca_certificate = %s\n", shs_test_server_ca_path(self->server));
    if (wgetrc == NULL)
        return cmd_fail(EXEC_NO_SERVER, "out of memory");
    code = write_beside_ca(self, "wgetrc", wgetrc, strlen(wgetrc), &self->wgetrc);
    shs__free(wgetrc);
    if (code != CMD_OK)
        return code;
    php_ini = trust_env_php_ini(shs_test_server_ca_path(self->server));
    if (php_ini == NULL)
        return cmd_fail(EXEC_NO_SERVER, "out of memory");
    code = write_beside_ca(self, TRUST_ENV_PHP_INI, php_ini, strlen(php_ini), &self->php_ini);
    shs__free(php_ini);
    return code;
}

static void remove_file(char **path)
{
    if (*path != NULL)
        (void)unlink(*path);
    shs__free(*path);
    *path = NULL;
}

/* -- the environment --------------------------------------------------------------------------- */

static char *directory_of(const char *path)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');

    return shs__asprintf("%.*s", slash == NULL ? 0 : (int)(slash - path), path == NULL ? "" : path);
}

static int make_environment(struct exec *self)
{
    const struct shs_test_server *server = self->server;
    struct trust_env trust;
    char port[16];
    int code = env_list_init(&self->env);

    self->no_proxy = env_list_no_proxy();
    self->php_dir = directory_of(self->php_ini);
    if (code == CMD_OK && (self->no_proxy == NULL || self->php_dir == NULL))
        code = cmd_fail(CMD_FAILED, "out of memory");
    if (code != CMD_OK)
        return EXEC_NO_SERVER;
    snprintf(port, sizeof port, "%u", shs_test_server_port(server));
    code = env_list_set(&self->env, "SHS_URL", shs_test_server_url(server));
    if (code == CMD_OK)
        code = env_list_set(&self->env, "SHS_PORT", port);
    if (code == CMD_OK)
        code = env_list_set(&self->env, "SHS_CA", shs_test_server_ca_path(server));
    if (code == CMD_OK)
        code = env_list_set(&self->env, "SHS_CERT", shs_test_server_client_cert_path(server));
    if (code == CMD_OK)
        code = env_list_set(&self->env, "SHS_KEY", shs_test_server_client_key_path(server));
    trust = (struct trust_env){
        .ca_path = shs_test_server_ca_path(server),
        .p12_path = self->p12_path,
        .java_options = getenv("JAVA_TOOL_OPTIONS"),
        .wgetrc = self->wgetrc,
        .php_dir = self->php_ini == NULL ? NULL : self->php_dir,
        .php_dirs = getenv("PHP_INI_SCAN_DIR"),
        .no_proxy = self->no_proxy,
    };
    return code == CMD_OK ? trust_env_each(&trust, env_list_set, &self->env) : code;
}

/* -- life -------------------------------------------------------------------------------------- */

static void clean_up(struct exec *self)
{
    struct shs_error err;
    bool stuck;

    remove_file(&self->p12_path);
    remove_file(&self->wgetrc);
    remove_file(&self->php_ini);
    stuck = shs_test_server_stop(self->server, &err) != SHS_OK;
    if (stuck)
        fprintf(stderr, "shs: warning: %s\n", err.text);
    env_list_free(&self->env);
    shs__free(self->no_proxy);
    shs__free(self->php_dir);
    if (!stuck)
        shs_static_files_free(self->files);
}

int cmd_exec(int argc, char **argv)
{
    static struct exec self; /* static: a request that does not end may outlive this function */
    int code;

    if (!exec_options_parse(&self.o, argc, argv, &code))
        return code;
    exec_child_prepare();
    code = start_server(&self);
    if (code == CMD_OK && !self.o.plain)
        code = write_files(&self);
    if (code == CMD_OK)
        code = make_environment(&self);
    if (code == CMD_OK)
        code = exec_child_run(self.o.command, self.env.env, self.o.timeout_ms, self.o.grace_ms);
    clean_up(&self);
    return code;
}
