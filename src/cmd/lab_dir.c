/* lab_dir.c - see lab_dir.h. */
#include "cmd/lab_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shs/certs.h>

#include "certs/files.h"
#include "certs/truststore.h"
#include "cmd/cmd.h"
#include "cmd/lab_env.h"

#define P12_PASSWORD "changeit"

static const char *const below[] = {"server", "clients"};

static int no_memory(void)
{
    return cmd_fail(CMD_FAILED, "out of memory");
}

/* Takes the path of a file that was made. */
static int keep(struct lab_dir *self, char *file)
{
    if (file != NULL && self->count < LAB_DIR_FILES_MAX) {
        self->files[self->count++] = file;
        return CMD_OK;
    }
    if (file != NULL)
        (void)unlink(file);
    shs__free(file);
    return no_memory();
}

static int make_directory(const char *path)
{
    char why[96];

    if (mkdir(path, 0700) == 0)
        return CMD_OK;
    if (errno == EEXIST && rmdir(path) == 0 && mkdir(path, 0700) == 0)
        return CMD_OK; /* it was empty */
    return cmd_fail(CMD_FAILED, "--dir %s: %s; it has to be a directory that is not there yet",
                    path, shs__strerror(errno, why, sizeof why));
}

/* An empty file, 0600, whose name is kept. */
static int make_file(struct lab_dir *self, const char *name, char **path)
{
    char *file = shs__asprintf("%s/%s", self->path, name), why[96];
    int fd =
        file == NULL ? -1 : open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);

    *path = file;
    if (fd >= 0) {
        close(fd);
        return keep(self, file);
    }
    cmd_fail(CMD_FAILED, "cannot make %s/%s: %s", self->path, name,
             shs__strerror(errno, why, sizeof why));
    shs__free(file);
    *path = NULL;
    return CMD_FAILED;
}

int lab_dir_make(struct lab_dir *self, const char *path)
{
    char real[PATH_MAX], *log = NULL;
    int code;

    memset(self, 0, sizeof *self);
    code = make_directory(path);
    if (code != CMD_OK)
        return code;
    /* Programs that are told of the files may be somewhere else. */
    self->path = realpath(path, real) == NULL ? NULL : shs__strdup(real);
    if (self->path == NULL) {
        (void)rmdir(path);
        return no_memory();
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(below) && code == CMD_OK; i++) {
        char *name = shs__asprintf("%s/%s", self->path, below[i]);

        code = name == NULL ? no_memory() : make_directory(name);
        shs__free(name);
    }
    if (code == CMD_OK)
        code = make_file(self, "keylog.txt", &self->keylog);
    if (code == CMD_OK)
        code = make_file(self, "connections.jsonl", &log);
    if (code == CMD_OK && (self->log = fopen(log, "ae")) == NULL)
        code = cmd_fail(CMD_FAILED, "cannot open %s", log);
    return code;
}

/* -- files ------------------------------------------------------------------------------------- */

/* `name` may be one of a directory below. */
static int put(struct lab_dir *self, const char *name, const void *bytes, size_t len)
{
    const char *slash = strrchr(name, '/');
    char *place =
        shs__asprintf("%s/%.*s", self->path, slash == NULL ? 0 : (int)(slash - name), name);
    struct shs_error err;
    int rc;

    if (place == NULL)
        return no_memory();
    rc = shs__file_write(place, slash == NULL ? name : slash + 1, 0600, bytes, len, false, &err);
    shs__free(place);
    if (rc != SHS_OK)
        return cmd_fail(CMD_FAILED, "%s", err.text);
    return keep(self, shs__asprintf("%s/%s", self->path, name));
}

static int put_text(struct lab_dir *self, const char *name, const char *text)
{
    return put(self, name, text, strlen(text));
}

/* The rest of a chain behind its first certificate. */
static const char *behind_leaf(const char *pem)
{
    static const char end[] = "-----END CERTIFICATE-----\n";
    const char *at = strstr(pem, end);

    return at == NULL ? "" : at + sizeof end - 1;
}

static int put_chain(struct lab_dir *self, struct shs_lab *lab)
{
    const struct shs_issued_cert *good = NULL;
    struct shs_error err;

    if (shs_lab_get_cert(lab, shs_lab_find(lab, "good"), &good, &err) != SHS_OK)
        return cmd_fail(CMD_FAILED, "%s", err.text);
    return put_text(self, "intermediate.pem", behind_leaf(shs_issued_cert_pem(good)));
}

static int put_fetched(struct lab_dir *self, const struct shs_lab *lab, const char *path,
                       const char *name)
{
    struct shs_test_answer *answer = NULL;
    struct shs_str body;
    int code = lab_fetch(shs_lab_host(lab), shs_lab_port(lab), path, &answer);

    if (code != CMD_OK)
        return code;
    body = shs_test_answer_body(answer);
    code = put(self, name, body.ptr, body.len);
    shs_test_answer_free(answer);
    return code;
}

/* A file to be printed to; its end says whether all of it came there. */
static int begin_file(struct lab_dir *self, const char *name, FILE **to)
{
    char *path;
    int code = make_file(self, name, &path);

    *to = code == CMD_OK ? fopen(path, "we") : NULL;
    return code == CMD_OK && *to == NULL ? cmd_fail(CMD_FAILED, "cannot write %s", path) : code;
}

static bool written(FILE *to)
{
    bool good = ferror(to) == 0;

    return fclose(to) == 0 && good;
}

static int end_file(const char *name, FILE *to, int code)
{
    bool good = to == NULL || written(to);

    return code == CMD_OK && !good ? cmd_fail(CMD_FAILED, "cannot write all of %s", name) : code;
}

static int put_env(struct lab_dir *self, const struct shs_lab *lab, const char *shell,
                   const char *name)
{
    char *ca = shs__asprintf("%s/ca.pem", self->path);
    char *p12 = shs__asprintf("%s/ca.p12", self->path);
    char *wgetrc = shs__asprintf("%s/wgetrc", self->path);
    const struct trust_env trust = {
        .ca_path = ca,
        .p12_path = p12,
        .wgetrc = wgetrc,
        .php_dir = self->path,
        .proxy = shs_lab_proxy_url(lab),
        .proxy_host = shs_lab_host(lab),
        .proxy_port = shs_lab_port(lab),
        .no_proxy = "",
    };
    FILE *to = NULL;
    int code =
        ca == NULL || p12 == NULL || wgetrc == NULL ? no_memory() : begin_file(self, name, &to);

    if (code == CMD_OK)
        code = lab_env_write(to, &trust, shell);
    shs__free(ca);
    shs__free(p12);
    shs__free(wgetrc);
    return end_file(name, to, code);
}

static int put_hosts(struct lab_dir *self, const struct shs_lab *lab, const char *format,
                     const char *name)
{
    FILE *to = NULL;
    int code = begin_file(self, name, &to);

    if (code == CMD_OK)
        code = lab_hosts_write(to, format, shs_lab_manifest(lab), shs_lab_port(lab));
    return end_file(name, to, code);
}

static int put_pair(struct lab_dir *self, const char *place, const char *name, const char *pem,
                    const char *key)
{
    char *file = shs__asprintf("%s/%s.pem", place, name);
    char *key_file = shs__asprintf("%s/%s.key", place, name);
    int code = file == NULL || key_file == NULL ? no_memory() : put_text(self, file, pem);

    if (code == CMD_OK)
        code = put_text(self, key_file, key);
    shs__free(file);
    shs__free(key_file);
    return code;
}

static int put_servers(struct lab_dir *self, struct shs_lab *lab)
{
    int code = CMD_OK;

    for (const struct shs_condition *c = shs_lab_first(lab); c != NULL && code == CMD_OK;
         c = shs_lab_next(lab, c)) {
        const struct shs_issued_cert *cert = NULL;
        struct shs_error err;
        int rc = c->servable ? shs_lab_get_cert(lab, c, &cert, &err) : SHS_CLOSED;

        if (rc == SHS_OK)
            code = put_pair(self, "server", c->id, shs_issued_cert_pem(cert),
                            shs_issued_cert_key_pem(cert));
        else if (rc != SHS_CLOSED)
            code = cmd_fail(CMD_FAILED, "%s: %s", c->id, err.text);
    }
    return code;
}

static int put_alice(struct lab_dir *self, const struct shs_lab *lab)
{
    const char *pem = shs_lab_client_pem(lab);
    struct shs_issued_cert *cert = NULL;
    struct shs_error err;
    void *p12 = NULL;
    size_t len = 0;
    int code;

    if (shs_issued_cert_load(&cert, pem, strlen(pem), &err) != SHS_OK ||
        shs_issued_cert_pkcs12(cert, P12_PASSWORD, &p12, &len, &err) != SHS_OK) {
        shs_issued_cert_free(cert);
        return cmd_fail(CMD_FAILED, "%s", err.text);
    }
    code = put_pair(self, "clients", "alice", shs_issued_cert_pem(cert),
                    shs_issued_cert_key_pem(cert));
    if (code == CMD_OK)
        code = put(self, "clients/alice.p12", p12, len);
    shs_bytes_free(p12, len);
    shs_issued_cert_free(cert);
    return code;
}

static int put_php_ini(struct lab_dir *self)
{
    char *ca = shs__asprintf("%s/ca.pem", self->path);
    char *text = ca == NULL ? NULL : trust_env_php_ini(ca);
    int code = text == NULL ? no_memory() : put_text(self, TRUST_ENV_PHP_INI, text);

    shs__free(ca);
    shs__free(text);
    return code;
}

int lab_dir_fill(struct lab_dir *self, struct shs_lab *lab)
{
    char *wgetrc = shs__asprintf("ca_certificate = %s/ca.pem\n", self->path);
    int code = wgetrc == NULL ? no_memory() : put_text(self, "wgetrc", wgetrc);

    shs__free(wgetrc);
    if (code == CMD_OK)
        code = put_php_ini(self);
    if (code == CMD_OK)
        code = put_text(self, "ca.pem", shs_lab_ca_pem(lab));
    if (code == CMD_OK)
        code = put_fetched(self, lab, "/ca.p12", "ca.p12");
    if (code == CMD_OK)
        code = put_fetched(self, lab, "/crl/ica.pem", "crl.pem");
    if (code == CMD_OK)
        code = put_chain(self, lab);
    if (code == CMD_OK)
        code = put_text(self, "manifest.json", shs_lab_manifest(lab));
    if (code == CMD_OK)
        code = put_env(self, lab, "sh", "env.sh");
    if (code == CMD_OK)
        code = put_env(self, lab, "pwsh", "env.ps1");
    if (code == CMD_OK)
        code = put_hosts(self, lab, "hosts", "hosts");
    if (code == CMD_OK)
        code = put_hosts(self, lab, "curl", "curl.cfg");
    if (code == CMD_OK)
        code = put_alice(self, lab);
    return code == CMD_OK ? put_servers(self, lab) : code;
}

void lab_dir_log(struct lab_dir *self, const char *line)
{
    char why[96];

    if (fprintf(self->log, "%s\n", line) > 0 && fflush(self->log) == 0)
        return;
    if (!atomic_exchange(&self->log_lost, true))
        cmd_warn("cannot write %s/connections.jsonl: %s", self->path,
                 shs__strerror(errno, why, sizeof why));
}

void lab_dir_remove(struct lab_dir *self)
{
    if (self->log != NULL)
        (void)fclose(self->log);
    while (self->count > 0) {
        (void)unlink(self->files[--self->count]);
        shs__free(self->files[self->count]);
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(below) && self->path != NULL; i++) {
        char *name = shs__asprintf("%s/%s", self->path, below[i]);

        if (name != NULL)
            (void)rmdir(name);
        shs__free(name);
    }
    if (self->path != NULL)
        (void)rmdir(self->path);
    shs__free(self->path);
    self->path = NULL;
}
