#include "cmd/serve_sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/credentials.h"
#include "cmd/notify.h"
#include "tls/openssl.h"

/* Links in a directory of CRLs that are followed. */
#define FARM_MAX 256u

/* What every process reads: its libraries (names of users are looked up by some that are loaded
   when they are needed), its configuration, and what the kernel says of it. */
static const char *const usual[] = {"/usr/lib",
                                    "/usr/lib64",
                                    "/usr/local/lib",
                                    "/lib",
                                    "/lib64",
                                    "/nix/store",
                                    "/usr/share",
                                    "/etc/ld.so.cache",
                                    "/etc/ssl",
                                    "/etc/pki",
                                    "/etc/mime.types",
                                    "/etc/localtime",
                                    "/etc/passwd",
                                    "/etc/group",
                                    "/etc/nsswitch.conf",
                                    "/etc/hosts",
                                    "/etc/resolv.conf",
                                    "/etc/gai.conf",
                                    "/etc/host.conf",
                                    "/etc/services",
                                    "/proc",
                                    "/sys/fs/cgroup",
                                    "/sys/devices/system",
                                    "/dev/urandom",
                                    "/dev/random",
                                    "/dev/zero"};

/* By what they are, for "." may be "/". */
static bool same_place(const char *a, const char *b)
{
    struct stat a_st, b_st;

    return stat(a, &a_st) == 0 && stat(b, &b_st) == 0 && a_st.st_dev == b_st.st_dev &&
           a_st.st_ino == b_st.st_ino;
}

/* The directory above, which is what a rename of a directory needs; but not all of a machine, or of
   somebody's home. Of /srv it may be all: what is there is there to be served. */
static bool is_too_much(const char *path)
{
    static const char *const wide[] = {"/",    "/etc", "/home", "/root",    "/var",
                                       "/usr", "/tmp", "/run",  "/var/tmp", "/opt"};
    const char *home = getenv("HOME");

    for (size_t i = 0; i < SHS_ARRAY_LEN(wide); i++) {
        if (same_place(path, wide[i]))
            return true;
    }
    return home != NULL && same_place(path, home);
}

/* So many directories above the path, the nearest in any case if `nearest`. */
static void climb(struct sandbox *box, const char *path, unsigned levels, bool nearest,
                  unsigned access)
{
    char room[PATH_MAX];
    size_t len = strlen(path);

    if (len >= sizeof room)
        return;
    memcpy(room, path, len + 1);
    for (unsigned i = 0; i < levels; i++) {
        const char *above = dirname(room);

        if (!(nearest && i == 0) && is_too_much(above))
            return;
        sandbox_allow(box, above, access);
        if (above != room)
            return; /* "." or "/", which are not in there */
    }
}

/* For each link on the way, "current" in /srv/app/current/public: where it leads to, and what is
   beside that, which is where it leads to next. */
static void allow_links(struct sandbox *box, const char *path, unsigned access)
{
    char room[PATH_MAX], real[PATH_MAX];
    size_t len = strlen(path);
    struct stat st;

    if (len >= sizeof room)
        return;
    memcpy(room, path, len + 1);
    for (char *c = room + 1; len > 0; c++) {
        bool last = *c == '\0';

        if (!last && *c != '/')
            continue;
        *c = '\0';
        if (lstat(room, &st) == 0 && S_ISLNK(st.st_mode)) {
            climb(box, room, 1, false, access);
            if (realpath(room, real) != NULL)
                climb(box, real, 1, false, access);
        }
        if (last)
            return;
        *c = '/';
    }
}

/* What is replaced by a rename, whole directories included (certificates, deployments), and what a
   link leads to. */
static void allow_replaced(struct sandbox *box, const char *path, unsigned levels, bool nearest,
                           unsigned access)
{
    struct stat st;
    char real[PATH_MAX];

    if (box->ruleset < 0 || path == NULL || path[0] == '\0')
        return;
    if (path[0] == '/')
        climb(box, path, lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? 1 : levels, nearest,
              access);
    else
        climb(box, path, 1, nearest, access);
    if (realpath(path, real) != NULL)
        climb(box, real, levels, nearest, access);
    allow_links(box, path, access & ~(unsigned)(SANDBOX_CHANGE | SANDBOX_SOCKET));
}

static void allow_site(struct sandbox *box, const struct serve_options *o)
{
    const char *dir = o->directory == NULL ? "." : o->directory;
    unsigned access = SANDBOX_READ | (o->site.upload ? SANDBOX_CHANGE : 0u);

    if (o->handler != SERVE_FILES)
        return;
    sandbox_allow(box, dir, access);
    allow_replaced(box, dir, 1, false, access);
}

static void allow_routes(struct sandbox *box, const struct serve_options *o)
{
    for (size_t i = 0; i < o->route_count; i++) {
        const struct serve_route *route = &o->routes[i];
        unsigned access = SANDBOX_READ | (route->upload ? SANDBOX_CHANGE : 0u);

        if (route->directory == NULL)
            continue;
        sandbox_allow(box, route->directory, access);
        allow_replaced(box, route->directory, 1, false, access);
    }
}

/* A directory of links, as those of CRLs often are: what is beside each file that one leads to. */
static void allow_farm(struct sandbox *box, const char *path)
{
    DIR *dir = path == NULL ? NULL : opendir(path);
    char name[PATH_MAX];
    struct dirent *entry;

    for (unsigned left = FARM_MAX; dir != NULL && left > 0 && (entry = readdir(dir)) != NULL;) {
        if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
            continue;
        left--;
        if (snprintf(name, sizeof name, "%s/%s", path, entry->d_name) < (int)sizeof name)
            allow_replaced(box, name, 1, true, SANDBOX_READ);
    }
    if (dir != NULL)
        closedir(dir);
}

static void allow_files(struct sandbox *box, const struct serve_options *o)
{
    const char *read[SERVE_FILES_READ];
    const char *const written[] = {o->log_file,   o->tls.keylog,   o->admin.audit,
                                   o->admin.deny, o->admin.keylog, o->pid_file};
    /* A reload may bring a certificate and its key, which change places with the files. */
    unsigned brought = o->admin.places.count > 0 ? SANDBOX_CHANGE : 0u;

    for (size_t i = 0; i < o->cert_count; i++) {
        allow_replaced(box, o->certs[i].cert, 3, true, SANDBOX_READ);
        allow_replaced(box, o->certs[i].key, 3, true, SANDBOX_READ);
        allow_replaced(box, o->certs[i].ocsp, 3, true, SANDBOX_READ);
        allow_replaced(box, o->certs[i].cert, 1, true, SANDBOX_READ | brought);
        allow_replaced(box, o->certs[i].key, 1, true, SANDBOX_READ | brought);
    }
    serve_options_files(o, read);
    for (size_t i = 0; i < SERVE_FILES_READ; i++)
        allow_replaced(box, read[i], 3, true, SANDBOX_READ);
    allow_farm(box, o->host.crl);
    allow_farm(box, o->admin.crl);
    /* A directory of CRLs, and pipes: --password-file <(command). */
    sandbox_allow(box, o->host.crl, SANDBOX_READ);
    sandbox_allow(box, o->admin.crl, SANDBOX_READ);
    sandbox_allow(box, o->password_file, SANDBOX_READ);
    for (size_t i = 0; i < SHS_ARRAY_LEN(written); i++) {
        allow_replaced(box, written[i], 1, true, SANDBOX_READ | SANDBOX_CHANGE);
        sandbox_allow(box, written[i], SANDBOX_READ | SANDBOX_DEVICE); /* /dev/stdout, a pipe */
    }
}

static void allow_sockets(struct sandbox *box, const struct serve_options *o)
{
    for (size_t i = 0; i < o->place_count; i++)
        allow_replaced(box, o->places[i].path, 1, true, SANDBOX_READ | SANDBOX_SOCKET);
    for (size_t i = 0; i < o->admin.places.count; i++) {
        if (strncmp(o->admin.places.items[i], "unix:", 5) == 0)
            allow_replaced(box, o->admin.places.items[i] + 5, 1, true,
                           SANDBOX_READ | SANDBOX_SOCKET);
    }
}

/* mkdir -p, for its owner alone: a rule needs something that is there. */
static void make_directories(char *path)
{
    for (char *c = path + 1; *c != '\0'; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        (void)mkdir(path, 0700);
        *c = '/';
    }
    (void)mkdir(path, 0700);
}

/* Where the local authority is. */
static void allow_state(struct sandbox *box, const struct serve_options *o)
{
    char *dir = o->plain || o->cert_count > 0 ? NULL : credentials_state_directory();

    if (dir == NULL)
        return;
    make_directories(dir); /* what is wrong with it is said when it is used */
    sandbox_allow(box, dir, SANDBOX_READ | SANDBOX_CHANGE);
    shs__free(dir);
}

/* Libraries lie where those do that are loaded: one may be loaded when it is needed first. */
static int allow_library(struct dl_phdr_info *info, size_t size, void *box)
{
    SHS_UNUSED(size);
    if (info->dlpi_name != NULL && info->dlpi_name[0] == '/')
        climb(box, info->dlpi_name, 1, false, SANDBOX_READ);
    return 0;
}

/* OpenSSL reads its configuration, wherever that is and what it includes, at its first use: now.
   Left for later it would not be found, and OpenSSL would go on without and say nothing. Its
   modules are loaded when an algorithm is asked for. */
static void allow_libraries(struct sandbox *box)
{
    (void)shs__openssl_ready(); /* whoever needs it asks again, and says so */
    sandbox_allow(box, shs__openssl_modules(), SANDBOX_READ);
    sandbox_allow(box, getenv("OPENSSL_MODULES"), SANDBOX_READ);
    sandbox_allow(box, "/proc/self/exe", SANDBOX_READ);
    (void)dl_iterate_phdr(allow_library, box);
}

static int failed(const struct sandbox *self)
{
    char text[64];

    return cmd_fail(CMD_FAILED, "the sandbox cannot be closed: %s. --no-sandbox serves without one",
                    shs__strerror(self->error, text, sizeof text));
}

int serve_sandbox_close(struct sandbox *self, const struct serve_plan *plan)
{
    self->ruleset = -1;
    if (plan->listeners[0].no_sandbox) {
        snprintf(self->text, sizeof self->text, "none: --no-sandbox");
        return CMD_OK;
    }
    if (!sandbox_open(self))
        return CMD_OK;
    for (size_t i = 0; i < SHS_ARRAY_LEN(usual); i++)
        sandbox_allow(self, usual[i], SANDBOX_READ);
    sandbox_allow(self, "/dev/null", SANDBOX_READ | SANDBOX_DEVICE);
    allow_libraries(self);
    for (size_t i = 0; i < plan->count; i++) {
        const struct serve_options *o = &plan->listeners[i];

        allow_site(self, o);
        allow_routes(self, o);
        allow_files(self, o);
        allow_sockets(self, o);
        allow_state(self, o);
    }
    return sandbox_close(self) ? CMD_OK : failed(self);
}

int serve_sandbox_filter(struct sandbox *self, const struct serve_plan *plan)
{
    const struct serve_options *o = &plan->listeners[0];
    unsigned needs = 0;

    if (o->no_sandbox || strncmp(self->text, "none", 4) == 0)
        return CMD_OK;
    for (size_t i = 0; i < plan->served; i++) {
        if (plan->listeners[i].opt.thread_groups > 1)
            needs |= SANDBOX_SOCKETS;
        if (plan->listeners[i].site.proxies.count > 0)
            needs |= SANDBOX_SOCKETS;
    }
    if (notify_watchdog_ms() > 0)
        needs |= SANDBOX_SOCKETS;
    if (o->threading == SERVE_FORK)
        needs |= SANDBOX_CHILDREN;
    if (!sandbox_filter(self, needs))
        return failed(self);
    if (self->refused)
        cmd_warn("not all of the sandbox can be had here: %s. That is so in some containers; "
                 "--no-sandbox serves without any, and without this line",
                 self->text);
    return CMD_OK;
}

static bool cannot_be_opened(const char *directory, int flags, unsigned mode)
{
    int fd = open(directory, flags | O_CLOEXEC, 0600);

    if (fd >= 0)
        (void)close(fd);
    /* What its mode allows and is refused all the same, the sandbox has refused. */
    return fd < 0 && errno == EACCES && faccessat(AT_FDCWD, directory, (int)mode, AT_EACCESS) == 0;
}

bool serve_sandbox_hides(const char *directory, bool written)
{
    return cannot_be_opened(directory, O_RDONLY | O_DIRECTORY, R_OK) ||
           (written && cannot_be_opened(directory, O_WRONLY | O_TMPFILE, W_OK | X_OK));
}
