/*
 * unix_server.c - UnixStreamServer and UnixDatagramServer: the same behaviour over AF_UNIX.
 *
 * What is different is the address: a path, which outlives the server that bound it. Python leaves
 * it there; so do we, unless opt.unlink_on_close. A path whose server is gone is only removed with
 * opt.unlink_on_bind, and only after nobody answered on it.
 *
 * Follows CPython Lib/socketserver.py UnixStreamServer, UnixDatagramServer.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/server.h"

/* Another starter that is replacing a stale socket holds its directory's lock, at most so long. */
#define LOCK_MS 5000u
#define LOCK_RETRY_MS 5
/* How often a server looks whether its path still leads to it. */
#define LOOK_MS 1000u

struct unix_server {
    struct shs_layer layer;
};

/* A path that is ours: this inode. */
struct shs_unix_place {
    dev_t dev;
    ino_t ino;
    int dir_fd;      /* where it is, whatever the current directory is when it goes */
    int64_t look_ns; /* when to look again whether it is there */
    bool lost;       /* it is not, and that was said */
    char name[sizeof((struct sockaddr_un *)NULL)->sun_path + 1]; /* in there */
};

#define UNIX(l) SHS_CONTAINER_OF(l, struct unix_server, layer)

/* "@name" is abstract; "@" alone lets the kernel choose one, as port 0 does. */
static int make_address(struct shs_server *self, const char *path, struct sockaddr_un *to,
                        socklen_t *len)
{
    size_t n = path == NULL ? 0 : strlen(path);

    if (n == 0)
        return shs_server_fail(
            self, SHS_USAGE, 0,
            "a Unix server needs a path: set opt.path, \"@name\" for an abstract "
            "name");
    if (n >= sizeof to->sun_path)
        return shs_server_fail(self, SHS_USAGE, ENAMETOOLONG,
                               "the socket's path has %zu bytes; at most %zu are possible", n,
                               sizeof to->sun_path - 1);
    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, path, n);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (path[0] != '@') {
        *len += 1; /* its NUL */
    } else {
        to->sun_path[0] = '\0';
        if (n == 1)
            *len = offsetof(struct sockaddr_un, sun_path);
    }
    return SHS_OK;
}

/* True if there is a socket at the path and nobody behind it. */
static bool is_stale(const struct sockaddr_un *address, socklen_t len, int type)
{
    struct stat st;
    bool refused;
    int fd;

    if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    refused = connect(fd, (const struct sockaddr *)address, len) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* -- its directory ----------------------------------------------------------------------------- */

/* The directory of a path, and the name in it; -1 with errno. */
static int open_directory(const char *path, int flags, const char **name)
{
    char dir[sizeof((struct sockaddr_un *)NULL)->sun_path + 1];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);

    *name = slash == NULL ? path : slash + 1;
    memcpy(dir, slash == NULL ? "." : path, len);
    dir[len] = '\0';
    return open(dir, flags | O_DIRECTORY | O_CLOEXEC);
}

/*
 * Who replaces a stale socket looks, removes and binds, and two at once would remove each other's,
 * or one that is bound and not listening yet: they take turns, by a lock on the directory, which
 * leaves nothing behind.
 */
static int lock_directory(const char *path)
{
    int64_t until = shs__deadline_after(shs_now_ns(), LOCK_MS);
    const char *name;
    int fd = open_directory(path, O_RDONLY, &name);

    if (fd < 0)
        return -1;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || shs_now_ns() >= until) {
            int saved = errno;

            close(fd);
            errno = saved;
            return -1;
        }
        poll(NULL, 0, LOCK_RETRY_MS);
    }
    return fd;
}

static int bind_failed(struct shs_server *self, const struct sockaddr_un *address, int sys_errno)
{
    bool abstract = address->sun_path[0] == '\0';
    struct stat st;
    char why[96];

    if (sys_errno == EADDRINUSE && !abstract && lstat(address->sun_path, &st) == 0 &&
        !S_ISSOCK(st.st_mode))
        return shs_server_fail(self, SHS_IO, sys_errno,
                               "cannot bind to %.107s: what is there is not a socket; remove it "
                               "or take another path",
                               address->sun_path);
    if (sys_errno == EADDRINUSE && !abstract && !self->opt.unlink_on_bind)
        return shs_server_fail(self, SHS_IO, sys_errno,
                               "%.107s is in use: a server has it, or left it behind (remove it "
                               "then, or set unlink_on_bind)",
                               address->sun_path);
    return shs_server_fail(self, SHS_IO, sys_errno, "cannot bind to %s%.106s: %s",
                           abstract ? "@" : "", address->sun_path + (abstract ? 1 : 0),
                           sys_errno == EADDRINUSE ? "a server has it"
                                                   : shs__strerror(sys_errno, why, sizeof why));
}

/* Which inode we have made, for the end. Without memory or a directory to look at it stays. */
static void remember(struct shs_listener *listener, const char *path)
{
    struct shs_unix_place *place = shs__calloc(1, sizeof *place);
    const char *name;
    struct stat st;

    if (place == NULL)
        return;
    place->dir_fd = open_directory(path, O_PATH, &name);
    if (place->dir_fd < 0 || fstatat(place->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (place->dir_fd >= 0)
            close(place->dir_fd);
        shs__free(place);
        return;
    }
    place->dev = st.st_dev;
    place->ino = st.st_ino;
    snprintf(place->name, sizeof place->name, "%s", name);
    listener->place = place;
}

static void drop_place(struct shs_listener *listener)
{
    if (listener->place == NULL)
        return;
    close(listener->place->dir_fd);
    shs__free(listener->place);
    listener->place = NULL;
}

/* Does the path lead to us? *taken: to somebody or something else. */
static bool is_ours(const struct shs_unix_place *place, bool *taken)
{
    struct stat st;

    *taken = fstatat(place->dir_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    return *taken && st.st_dev == place->dev && st.st_ino == place->ino;
}

static void look(struct shs_server *self, const struct shs_listener *listener,
                 struct shs_unix_place *place)
{
    bool taken, lost = !is_ours(place, &taken);

    if (lost && !taken && errno != ENOENT)
        return; /* it may not be looked at, by a user with fewer rights: nothing is known */
    if (lost && !place->lost)
        shs_server_log(self, SHS_LOG_WARNING,
                       "%.107s %s: nobody can connect to this server there any more, until it is "
                       "started again",
                       listener->host, taken ? "was replaced by another file" : "was removed");
    else if (!lost && place->lost)
        shs_server_log(self, SHS_LOG_WARNING, "%.107s is there again", listener->host);
    place->lost = lost;
}

void shs__unix_look(struct shs_server *self)
{
    for (unsigned i = 0; i < self->address_count; i++) {
        struct shs_unix_place *place = self->addresses[i].place;
        int64_t now;

        if (place == NULL || atomic_load(&self->handed_over))
            continue;
        now = shs_now_ns();
        if (now < place->look_ns)
            continue;
        place->look_ns = shs__deadline_after(now, LOOK_MS);
        look(self, &self->addresses[i], place);
    }
}

void shs__unix_forget(struct shs_server *self, struct shs_listener *listener)
{
    const struct shs_unix_place *place = listener->place;
    bool taken;

    /* Only if nobody has put his own there. */
    if (place != NULL && !atomic_load(&self->handed_over) &&
        (self->opt.unlink_on_close || self->undo) && is_ours(place, &taken))
        unlinkat(place->dir_fd, place->name, 0);
    drop_place(listener);
}

void shs__unix_settle(struct shs_server *self)
{
    for (unsigned i = 0; i < self->address_count && !self->opt.unlink_on_close; i++)
        drop_place(&self->addresses[i]);
}

/* server_address = socket.getsockname() */
static int learn_name(struct shs_server *self, struct shs_listener *listener)
{
    struct sockaddr_un address;
    socklen_t len = sizeof address;
    char *name;

    memset(&address, 0, sizeof address);
    if (getsockname(listener->fd, (struct sockaddr *)&address, &len) != 0)
        return shs_server_fail(self, SHS_IO, errno, "getsockname failed");
    name = shs__unix_name((struct sockaddr *)&address, len);
    if (name == NULL)
        return shs_server_fail(self, SHS_NOMEM, 0, "out of memory for the server's address");
    snprintf(listener->host, sizeof listener->host, "%s", name);
    shs__free(name);
    listener->port = 0;
    listener->family = AF_UNIX;
    return SHS_OK;
}

int shs__unix_learn(struct shs_server *self, struct shs_listener *listener)
{
    int rc = learn_name(self, listener);

    if (rc == SHS_OK && listener->inherited_ours && listener->host[0] != '\0' &&
        listener->host[0] != '@')
        remember(listener, listener->host);
    return rc;
}

int shs__unix_find_group(struct shs_server *self, const char *name, gid_t *gid)
{
    char *end = NULL, *room = NULL;
    struct group group, *found = NULL;
    unsigned long number = strtoul(name, &end, 10);
    int e = ERANGE;

    if (name[0] >= '0' && name[0] <= '9' && *end == '\0' && number < (gid_t)-1) {
        *gid = (gid_t)number;
        return SHS_OK;
    }
    /* A group with many members needs more room than any constant says. */
    for (size_t size = 4096; e == ERANGE && size <= ((size_t)1 << 20); size *= 4) {
        shs__free(room);
        room = shs__malloc(size);
        e = room == NULL ? ENOMEM : getgrnam_r(name, &group, room, size, &found);
    }
    if (found != NULL)
        *gid = found->gr_gid;
    shs__free(room);
    return found != NULL ? SHS_OK
                         : shs_server_fail(self, SHS_USAGE, e,
                                           "there is no group '%.100s' for the socket", name);
}

/* Bound and not yet listening: nobody comes in before its owner and its mode are right. */
static int set_owner(struct shs_server *self, const char *path)
{
    char why[96];
    gid_t gid = (gid_t)-1;
    int rc;

    if (self->opt.path_group != NULL) {
        rc = shs__unix_find_group(self, self->opt.path_group, &gid);
        if (rc != SHS_OK)
            return rc;
        if (lchown(path, (uid_t)-1, gid) != 0)
            return shs_server_fail(self, SHS_IO, errno, "cannot give %.107s to the group %.60s: %s",
                                   path, self->opt.path_group,
                                   shs__strerror(errno, why, sizeof why));
    }
    if (self->opt.path_mode != UINT_MAX && chmod(path, (mode_t)self->opt.path_mode) != 0)
        return shs_server_fail(self, SHS_IO, errno, "cannot give %.107s the mode %o: %s", path,
                               self->opt.path_mode, shs__strerror(errno, why, sizeof why));
    return SHS_OK;
}

/*
 * bind, and listen at once: a socket that is bound and does not listen refuses its clients, and
 * another starter would take it for stale. server_activate sets the backlog that was asked for.
 */
static int bind_and_be_there(struct shs_server *self, struct shs_listener *listener,
                             const struct sockaddr_un *address, socklen_t len)
{
    int rc = SHS_OK;

    if (bind(listener->fd, (const struct sockaddr *)address, len) != 0)
        return bind_failed(self, address, errno);
    if (address->sun_path[0] != '\0') {
        remember(listener, address->sun_path);
        rc = set_owner(self, address->sun_path);
    }
    if (rc == SHS_OK && self->socket_type == SOCK_STREAM &&
        listen(listener->fd, self->opt.request_queue_size) != 0)
        return bind_failed(self, address, errno);
    return rc;
}

/* In the place of a socket that nobody serves any more, if it may. */
static int take_path(struct shs_server *self, struct shs_listener *listener,
                     const struct sockaddr_un *address, socklen_t len)
{
    int lock = lock_directory(address->sun_path), rc;

    if (lock < 0 && self->opt.unlink_on_bind)
        return bind_failed(self, address, errno);
    if (self->opt.unlink_on_bind && is_stale(address, len, self->socket_type))
        unlink(address->sun_path);
    rc = bind_and_be_there(self, listener, address, len);
    if (lock >= 0)
        close(lock);
    return rc;
}

int shs__unix_bind(struct shs_server *self, struct shs_listener *listener, const char *path)
{
    struct sockaddr_un address;
    socklen_t len = 0;
    int rc;

    if (shs__server_take_inherited(self, listener, &rc))
        return rc;
    rc = make_address(self, path, &address, &len);
    if (rc != SHS_OK)
        return rc;
    listener->family = AF_UNIX;
    listener->fd = socket(AF_UNIX, self->socket_type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0)
        return shs_server_fail(self, SHS_IO, errno,
                               "no descriptor for a Unix socket: raise "
                               "ulimit -n");
    rc = address.sun_path[0] != '\0' ? take_path(self, listener, &address, len)
                                     : bind_and_be_there(self, listener, &address, len);
    return rc == SHS_OK ? learn_name(self, listener) : rc;
}

static int unix_server_bind(struct shs_layer *layer)
{
    struct shs_server *self = layer->server;
    const char *path = self->opt.path != NULL ? self->opt.path : self->opt.host;

    return shs__server_bind_others(self, shs__unix_bind(self, &self->addresses[0], path));
}

static void unix_layer_free(struct shs_layer *layer)
{
    shs__free(UNIX(layer));
}

static const struct shs_server_ops unix_stream_server_ops = {
    .name = "UnixStreamServer",
    .server_bind = unix_server_bind,
    .layer_free = unix_layer_free,
};

static const struct shs_server_ops unix_datagram_server_ops = {
    .name = "UnixDatagramServer",
    .server_bind = unix_server_bind,
    .layer_free = unix_layer_free,
};

static int push(struct shs_server *server, const struct shs_server_ops *ops)
{
    struct unix_server *self = shs__calloc(1, sizeof *self);
    int rc;

    if (self == NULL)
        return shs_server_fail(server, SHS_NOMEM, 0, "out of memory for %s", ops->name);
    rc = shs_server_push(server, &self->layer, ops);
    if (rc == SHS_OK)
        server->address_family = server->addresses[0].family = AF_UNIX;
    else
        shs__free(self);
    return rc;
}

int shs__unix_stream_server_push(struct shs_server *self)
{
    return push(self, &unix_stream_server_ops);
}

int shs__unix_datagram_server_push(struct shs_server *self)
{
    return push(self, &unix_datagram_server_ops);
}
