/*
 * reload_pair.c - a certificate and its key, as they come with POST reload, in the place of files.
 *
 * They are tried first, by a server that nobody can reach. Then they are written beside the files
 * that they replace, and change places with them, each at once; where anything cannot be used, they
 * change back. So the next start has what is served now.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shs/http.h>

#include "certs/look.h"
#include "tls/wire/mixin.h"

#define CHAIN_MAX 10
#define FINDINGS_MAX 32

/* What a server is configured with. */
struct target {
    const char *file; /* which one is asked for; NULL: the only one */
    struct shs_tls_mixin *mixin;
    const struct shs_tls_host *host;
    const struct shs_tls_cert *cert;
    size_t count; /* of different files that it might be */
};

/* A file, and what is to be in its place. */
struct change {
    char path[PATH_MAX], *fresh; /* what it is when links are followed; beside it */
    bool written, swapped;
};

/* -- which one --------------------------------------------------------------------------------- */

static bool is_same_file(const struct shs_tls_cert *a, const struct shs_tls_cert *b)
{
    return a != NULL && strcmp(a->certfile, b->certfile) == 0;
}

static bool find_cert(void *target, struct shs_admin_watch *watch, bool own)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(shs__admin_watch_server(watch));
    struct target *t = target;

    SHS_UNUSED(own);
    for (size_t h = 0; mixin != NULL && h < mixin->config.config.host_count; h++) {
        const struct shs_tls_host *host = &mixin->config.config.hosts[h];

        for (size_t c = 0; c < host->cert_count; c++) {
            const struct shs_tls_cert *cert = &host->certs[c];

            if (cert->certfile == NULL || is_same_file(t->cert, cert) ||
                (t->file != NULL && strcmp(t->file, cert->certfile) != 0))
                continue;
            t->mixin = mixin;
            t->host = host;
            t->cert = cert;
            t->count++;
        }
    }
    return true;
}

/* -- looking at it ----------------------------------------------------------------------------- */

static const struct shs_http_handler nothing = {.name = "Nothing"};

/* The loader speaks of the options that the text came by; who asks has sent an object. */
static void say_as_sent(struct shs_error *err)
{
    static const struct {
        const char *ours, *theirs;
    } words[] = {{"opt.cert_pem", "'certificate'"},
                 {"opt.key_pem", "'key'"},
                 {"opt.certfile", "'certificate'"},
                 {"opt.keyfile", "'key'"}};
    char before[sizeof err->text], *found;

    for (size_t i = 0; i < SHS_ARRAY_LEN(words); i++) {
        while ((found = strstr(err->text, words[i].ours)) != NULL) {
            memcpy(before, err->text, sizeof before);
            snprintf(found, sizeof err->text - (size_t)(found - err->text), "%s%s", words[i].theirs,
                     before + (found - err->text) + strlen(words[i].ours));
        }
    }
}

#define BEGIN_PEM "-----BEGIN CERTIFICATE-----"
#define END_PEM "-----END CERTIFICATE-----"

/* The next certificate in a text; ptr NULL: there is none. */
static struct shs_str next_pem(const char *text)
{
    const char *begin = strstr(text, BEGIN_PEM);
    const char *end = begin == NULL ? NULL : strstr(begin, END_PEM);

    return end == NULL ? (struct shs_str){NULL, 0}
                       : (struct shs_str){begin, (size_t)(end - begin) + sizeof END_PEM - 1};
}

/* Each client is sent all of them, in every handshake. */
static int check_chain(const char *text, struct shs_error *err)
{
    struct shs_str seen[CHAIN_MAX], pem;
    size_t count = 0;

    for (; (pem = next_pem(text)).ptr != NULL; text = pem.ptr + pem.len) {
        if (count == CHAIN_MAX)
            return shs_error_set(err, SHS_USAGE, 0,
                                 "'certificate' has more than %d certificates: send the server's "
                                 "and those between it and its root",
                                 CHAIN_MAX);
        for (size_t i = 0; i < count; i++) {
            if (shs_str_eq(seen[i], pem))
                return shs_error_set(err, SHS_USAGE, 0,
                                     "'certificate' has one certificate twice: number %zu is "
                                     "number %zu again",
                                     count + 1, i + 1);
        }
        seen[count++] = pem;
    }
    return SHS_OK;
}

/* One that is for clients can be loaded, and no client would accept it. */
static int check_use(const struct target *t, const char *cert, struct shs_error *err)
{
    struct shs__look_wish wish = {.now = shs__wall_s(t->mixin->config.config.clock_offset_s)};
    struct shs__finding found[FINDINGS_MAX];
    struct shs__look *look;
    size_t count;
    int rc = shs__look_bytes(&look, cert, strlen(cert), err);

    if (rc != SHS_OK)
        return rc;
    count = shs__look_judge(look, &wish, found, FINDINGS_MAX);
    for (size_t i = 0; rc == SHS_OK && i < count; i++) {
        if (found[i].level == SHS_FINDING_ERROR && strcmp(found[i].word, "usage") == 0)
            rc = shs_error_set(err, SHS_USAGE, 0, "'certificate': %s", found[i].text);
    }
    shs__look_free(look);
    return rc;
}

/* A server of the same kind that has only this one: what it takes, the others take. */
static int try_pair(const struct target *t, const char *cert, const char *key,
                    struct shs_error *err)
{
    const struct shs_tls_cert pair = {
        .cert_pem = cert,
        .cert_pem_len = strlen(cert),
        .key_pem = key,
        .key_pem_len = strlen(key),
        .password = t->cert->password,
        .password_ctx = t->cert->password_ctx,
    };
    struct shs_server *server = NULL;
    struct shs_tls_config config;
    struct shs_tls_host host;
    struct shs_options opt;
    int rc;

    shs_options_init(&opt);
    opt.bind_and_activate = false;
    shs_tls_host_init(&host);
    host.certs = &pair;
    host.cert_count = 1;
    host.policy = t->host->policy;
    host.min_version = t->host->min_version;
    host.ciphers = t->host->ciphers;
    host.groups = t->host->groups;
    shs_tls_config_init(&config);
    config.hosts = &host;
    config.host_count = 1;
    config.clock_offset_s = t->mixin->config.config.clock_offset_s;
    rc = shs_http_server_new(&server, &opt, &nothing, err);
    if (rc == SHS_OK)
        rc = shs_tls_mixin_push_config(server, &config, err);
    shs_server_free(server);
    return rc;
}

/* -- files ------------------------------------------------------------------------------------- */

static int write_text(int fd, const char *a, const char *b)
{
    int rc = shs__write_all(fd, a, strlen(a));

    if (rc == SHS_OK)
        rc = shs__write_all(fd, "\n", 1);
    if (rc == SHS_OK && b != NULL)
        rc = shs__write_all(fd, b, strlen(b));
    return rc == SHS_OK && fsync(fd) != 0 && !shs__has_no_sync(errno) ? SHS_IO : rc;
}

/* Beside `file`, with its owner and mode: `a`, and behind it `b` (may be NULL). */
static int write_change(struct change *c, const char *file, const char *a, const char *b,
                        struct shs_error *err)
{
    struct stat st;
    int fd, rc;

    c->fresh = realpath(file, c->path) == NULL ? NULL : shs__asprintf("%s.new", c->path);
    if (c->fresh == NULL || stat(c->path, &st) != 0)
        return shs_error_set(err, SHS_IO, errno, "cannot replace %s", file);
    (void)unlink(c->fresh); /* of an attempt that was cut off */
    fd = open(c->fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return shs_error_set(err, SHS_IO, errno, "cannot write %s", c->fresh);
    c->written = true;
    rc = write_text(fd, a, b);
    if (rc == SHS_OK && ((geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) != 0) ||
                         fchmod(fd, st.st_mode & 0777) != 0))
        rc = SHS_IO;
    if (rc != SHS_OK)
        shs_error_set(err, rc, errno, "cannot write %s", c->fresh);
    if (close(fd) != 0 && rc == SHS_OK)
        rc = shs_error_set(err, SHS_IO, errno, "cannot write %s", c->fresh);
    return rc;
}

/* The two change places, which is done at once or not at all. */
static int swap_change(struct change *c, struct shs_error *err)
{
    if (renameat2(AT_FDCWD, c->fresh, AT_FDCWD, c->path, RENAME_EXCHANGE) != 0)
        return shs_error_set(err, SHS_IO, errno, "cannot replace %s", c->path);
    c->swapped = !c->swapped;
    return SHS_OK;
}

/* Beside the file is the old one now, or the one that was not taken. */
static void end_change(struct change *c)
{
    if (c->written)
        (void)unlink(c->fresh);
    shs__free(c->fresh);
}

static int write_pair(const struct target *t, struct change changes[2], const char *cert,
                      const char *key, struct shs_error *err)
{
    bool together = t->cert->keyfile == NULL || strcmp(t->cert->keyfile, t->cert->certfile) == 0;

    SHS_RETURN_IF_ERROR(
        write_change(&changes[0], t->cert->certfile, cert, together ? key : NULL, err));
    return together ? SHS_OK : write_change(&changes[1], t->cert->keyfile, key, NULL, err);
}

static int swap_pair(struct change changes[2], struct shs_error *err)
{
    for (size_t i = 0; i < 2; i++) {
        if (changes[i].written)
            SHS_RETURN_IF_ERROR(swap_change(&changes[i], err));
    }
    return SHS_OK;
}

/* Everything as it was: the files, and what is served. */
static void swap_back(struct shs_admin *admin, struct change changes[2], bool reloaded)
{
    struct shs_admin_reload again = {.admin = admin};
    struct shs_error err;

    for (size_t i = 0; i < 2; i++) {
        if (changes[i].swapped)
            (void)swap_change(&changes[i], &err);
    }
    if (!reloaded)
        return;
    shs__admin_reload_run(&again);
    json_decref(again.servers);
}

/* -- the transaction --------------------------------------------------------------------------- */

static int fail(struct shs_admin_reload *self, int status, const char *at)
{
    self->failed = true;
    self->at = at;
    if (self->servers == NULL)
        self->servers = json_array();
    return status;
}

static int replace(struct shs_admin_reload *self, const struct target *t, const char *cert,
                   const char *key)
{
    struct change changes[2] = {{.fresh = NULL}, {.fresh = NULL}};
    int rc = write_pair(t, changes, cert, key, &self->err), status = 422;

    if (rc == SHS_OK)
        rc = swap_pair(changes, &self->err);
    if (rc != SHS_OK) {
        swap_back(self->admin, changes, false);
        status = fail(self, 500, "the files");
    } else {
        shs__admin_reload_run(self);
        if (self->failed)
            swap_back(self->admin, changes, true);
    }
    end_change(&changes[0]);
    end_change(&changes[1]);
    return status;
}

int shs__admin_reload_pair(struct shs_admin_reload *self, json_t *pair)
{
    struct target t = {.file = NULL};
    const char *cert, *key;

    self->whole = true;
    if (json_unpack(pair, "{s:s, s:s, s?s!}", "certificate", &cert, "key", &key, "file", &t.file) !=
        0) {
        shs_error_set(&self->err, SHS_USAGE, 0,
                      "{\"certificate\": PEM, \"key\": PEM}, and \"file\": one of GET certs, where "
                      "there are several");
        return fail(self, 422, "the request");
    }
    shs__admin_each(self->admin, find_cert, &t);
    if (t.count != 1) {
        shs_error_set(&self->err, SHS_USAGE, 0,
                      t.count == 0 ? "no server has its certificate in that file: GET certs"
                                   : "there are several certificates: say with \"file\" which one");
        return fail(self, 422, "the request");
    }
    if (check_chain(cert, &self->err) != SHS_OK || try_pair(&t, cert, key, &self->err) != SHS_OK ||
        check_use(&t, cert, &self->err) != SHS_OK) {
        say_as_sent(&self->err);
        return fail(self, 422, "the request");
    }
    if (!self->dry_run)
        return replace(self, &t, cert, key);
    self->servers = json_array();
    return 200;
}

#endif
