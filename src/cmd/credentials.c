#include "cmd/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/serve_hints.h"

#define PASSWORD_WAIT_MS 5000

/* A shs_password_fn. */
static int give_password(void *password_ctx, char *buf, size_t cap)
{
    const struct credentials *self = password_ctx;

    if (self->password_len > cap)
        return -1;
    memcpy(buf, self->password, self->password_len);
    return (int)self->password_len;
}

/* Until there is something to read, or the end; a pipe may take a while, but not for ever. */
static bool wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t deadline = shs__deadline_after(shs_now_ns(), PASSWORD_WAIT_MS);
    int n;

    do
        n = poll(&p, 1, shs__poll_ms(deadline, shs_now_ns()));
    while (n < 0 && errno == EINTR);
    errno = ETIMEDOUT;
    return n > 0;
}

static bool again(ssize_t n)
{
    return n < 0 && (errno == EINTR || errno == EAGAIN);
}

/* The file's content, without the newline that editors put at its end. It is read once, so it may
   be a pipe: --password-file <(command). */
static int read_password(struct credentials *self, const char *path)
{
    char text[96];
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), saved;

    while (fd >= 0 && self->password_len < sizeof self->password && wait_readable(fd)) {
        n = read(fd, self->password + self->password_len,
                 sizeof self->password - self->password_len);
        if (n == 0 || (n < 0 && !again(n)))
            break;
        if (n > 0)
            self->password_len += (size_t)n;
        n = -1;
    }
    saved = errno;
    if (fd >= 0)
        close(fd);
    if (self->password_len == sizeof self->password)
        return cmd_fail(CMD_FAILED,
                        "the password file %s is longer than a password may be (%d bytes): is the "
                        "path right?",
                        path, CREDENTIALS_PASSWORD_MAX - 1);
    if (fd < 0 || n < 0)
        return cmd_fail(CMD_FAILED, "cannot read the password file %s: %s", path,
                        shs__strerror(saved, text, sizeof text));
    while (self->password_len > 0 && (self->password[self->password_len - 1] == '\n' ||
                                      self->password[self->password_len - 1] == '\r'))
        self->password_len--;
    return CMD_OK;
}

/* $XDG_STATE_HOME/shs, or ~/.local/state/shs; for shs__free. XDG's rules ignore a relative path. */
char *credentials_state_directory(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (state != NULL && state[0] == '/')
        return shs__asprintf("%s/shs", state);
    if (home != NULL && home[0] == '/')
        return shs__asprintf("%s/.local/state/shs", home);
    return NULL;
}

/* The addresses that it is bound to, each once, and --name. Those that are every interface's are
   in `here`. A zone (fe80::1%eth0) is nothing that a certificate can have. */
static void gather_names(const struct serve_options *o, const char **names)
{
    size_t count = 0;

    for (size_t i = 0; i < o->place_count; i++) {
        const struct serve_place *place = &o->places[i];
        const char *name = place->path == NULL && serve_is_name(place->host) ? place->host : NULL;

        if (name != NULL && serve_is_everywhere(name))
            name = NULL;
        for (size_t n = 0; n < count && name != NULL; n++)
            name = strcmp(names[n], name) == 0 ? NULL : name;
        if (name != NULL)
            names[count++] = name;
    }
    for (size_t i = 0; i < o->names.count; i++)
        names[count++] = o->names.items[i];
    names[count] = NULL;
}

/* What the certificate has to have, and what it has if it may. */
struct local_names {
    const char *wanted[2 * SETTING_LIST_MAX + 1], *also[SERVE_HERE_MAX + 1];
};

static void gather(const struct serve_options *o, const struct serve_here *here,
                   struct local_names *names)
{
    gather_names(o, names->wanted);
    for (size_t i = 0; i < here->count; i++)
        names->also[i] = here->names[i];
    names->also[here->count] = NULL;
}

static int load_local(struct credentials *self, const struct serve_options *o,
                      const struct serve_here *here, struct shs_options *opt)
{
    char hint[SERVE_HINT_MAX], *dir = credentials_state_directory();
    struct local_names names;
    struct shs_error err;
    int rc;

    if (dir == NULL)
        return cmd_fail(CMD_FAILED, "there is no place for a local certificate authority: set HOME "
                                    "or XDG_STATE_HOME, or give --cert");
    gather(o, here, &names);
    rc = shs__local_ca_open_also(&self->local, dir, names.wanted, names.also, (int64_t)time(NULL),
                                 &err);
    shs__free(dir);
    if (rc != SHS_OK)
        return cmd_fail(CMD_FAILED, "%s%s", err.text, serve_hint_state(&err, hint, sizeof hint));
    opt->certfile = self->local.leaf_path;
    return CMD_OK;
}

int credentials_load(struct credentials *self, const struct serve_options *o,
                     const struct serve_here *here, struct shs_options *opt)
{
    if (o->cert_count == 0)
        return load_local(self, o, here, opt);
    if (o->password_file == NULL)
        return CMD_OK;
    opt->password = give_password;
    opt->password_ctx = self;
    return read_password(self, o->password_file);
}

bool credentials_renew(struct credentials *self, const struct serve_options *o,
                       const struct serve_here *here, struct shs_error *err)
{
    int64_t now = (int64_t)time(NULL);
    struct local_names names;
    bool changed = false;
    char *dir;

    err->text[0] = '\0';
    if (self->local.leaf_path == NULL || !shs__local_ca_due(&self->local, now))
        return false;
    dir = credentials_state_directory();
    gather(o, here, &names);
    if (dir != NULL)
        (void)shs__local_ca_renew(&self->local, dir, names.wanted, names.also, now, &changed, err);
    shs__free(dir);
    return changed;
}

static int make_stand_in(struct credentials *self)
{
    /* Good on whatever day is looked at. */
    const struct shs_cert_options leaf = {SHS_CERT_FOR("localhost"), .not_after = "9999-12-31"};
    struct shs_ca *ca = NULL;
    struct shs_error err;
    int rc = shs_ca_new(&ca, NULL, &err);

    if (rc == SHS_OK)
        rc = shs_ca_issue(&self->stand_in, ca, &leaf, &err);
    shs_ca_free(ca);
    return rc == SHS_OK ? CMD_OK : cmd_fail(CMD_FAILED, "%s", err.text);
}

int credentials_look(struct credentials *self, struct shs_options *opt)
{
    char *dir = credentials_state_directory();

    self->found = dir == NULL ? NULL : shs__asprintf("%s/localhost.pem", dir);
    shs__free(dir);
    if (self->found == NULL || access(self->found, R_OK) != 0)
        return make_stand_in(self);
    opt->certfile = self->found;
    return CMD_OK;
}

void credentials_advise(const struct credentials *self, const struct serve_options *o)
{
    struct stat st;

    if (self->local.warning[0] != '\0')
        cmd_warn("%s", self->local.warning);
    if (self->local.left_out[0] != '\0')
        cmd_warn("the certificate does not name %s: the local authority was not made for that. "
                 "Remove ca.key beside %s to have one made that names it; it must be trusted again",
                 self->local.left_out, self->local.ca_path);
    if (o->password_file != NULL && stat(o->password_file, &st) == 0 && S_ISREG(st.st_mode) &&
        (st.st_mode & 06) != 0)
        cmd_warn("others may read or write the password file: chmod o= %s", o->password_file);
}

void credentials_warn_of_renewal(const struct credentials *self, const char *user)
{
    const char *leaf = self->local.leaf_path;
    const char *slash = leaf == NULL ? NULL : strrchr(leaf, '/');
    int64_t due = self->local.leaf_due;
    char *dir =
        slash == NULL || due == INT64_MAX ? NULL : shs__strndup(leaf, (size_t)(slash - leaf));

    if (dir != NULL && faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) != 0)
        cmd_warn("user %s may not write in %s, so the certificate of the local authority is not "
                 "made again while this runs. Start it again within %lld days, or give that user "
                 "a --cert of its own",
                 user, dir, (long long)(due - (int64_t)time(NULL)) / 86400);
    shs__free(dir);
}

void credentials_free(struct credentials *self)
{
    explicit_bzero(self->password, sizeof self->password);
    self->password_len = 0;
    shs__local_ca_free(&self->local);
    shs__free(self->found);
    shs_issued_cert_free(self->stand_in);
}
