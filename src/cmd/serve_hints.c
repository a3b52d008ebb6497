#include "cmd/serve_hints.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"

#define TABLE_LINE_MAX 512
#define NAME_MAX_BYTES 64
#define PROCESSES_MAX 32768
#define HOLDERS_MAX 8

/* -- who has a port ---------------------------------------------------------------------------- */

/* The number of a socket that listens there, in the kernel's table; 0: none. A line is
   "sl local:PORT remote:PORT state tx:rx tr:when retrnsmt uid timeout inode ...", in hex. */
static unsigned long long listening_inode(const char *table, unsigned port, unsigned *uid)
{
    char line[TABLE_LINE_MAX];
    unsigned long long inode = 0, found = 0;
    unsigned at, state, owner;
    FILE *file = fopen(table, "re");

    while (file != NULL && found == 0 && fgets(line, sizeof line, file) != NULL) {
        /* NOLINTNEXTLINE: a line of the kernel's */
        if (sscanf(line, "%*s %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %u %*s %llu", &at, &state, &owner,
                   &inode) == 4 &&
            at == port && state == 0x0a) {
            found = inode;
            *uid = owner;
        }
    }
    if (file != NULL)
        fclose(file);
    return found;
}

static bool has_socket(const char *pid, const char *link)
{
    char path[300], to[64];
    struct dirent *entry;
    bool found = false;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%.16s/fd", pid);
    dir = opendir(path);
    while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, to, sizeof to - 1);

        if (n > 0) {
            to[n] = '\0';
            found = strcmp(to, link) == 0;
        }
    }
    if (dir != NULL)
        closedir(dir);
    return found;
}

/* "123 (nginx)"; false: it belongs to somebody whose processes we may not look into. */
static bool holder(unsigned long long inode, char *out, size_t cap)
{
    char link[64], path[300], name[NAME_MAX_BYTES] = "";
    struct dirent *entry;
    unsigned looked = 0;
    bool found = false;
    DIR *proc = opendir("/proc");
    int fd;

    snprintf(link, sizeof link, "socket:[%llu]", inode);
    while (proc != NULL && !found && looked++ < PROCESSES_MAX && (entry = readdir(proc)) != NULL) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || !has_socket(entry->d_name, link))
            continue;
        found = true;
        snprintf(path, sizeof path, "/proc/%.16s/comm", entry->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            ssize_t n = read(fd, name, sizeof name - 1);

            name[n > 0 ? (size_t)n : 0] = '\0';
            name[strcspn(name, "\n")] = '\0';
            close(fd);
        }
        snprintf(out, cap, "%.16s (%s)", entry->d_name, name);
    }
    if (proc != NULL)
        closedir(proc);
    return found;
}

/* The port that was asked for and is taken, of several. */
static unsigned taken_port(const struct serve_options *o, const struct shs_error *err)
{
    char words[32];
    unsigned port = 0;

    for (size_t i = 0; i < o->place_count; i++) {
        const char *text = o->places[i].port == NULL ? o->port : o->places[i].port;

        if (o->places[i].path != NULL || text == NULL)
            continue;
        snprintf(words, sizeof words, " port %s:", text);
        if (port == 0 || strstr(err->text, words) != NULL)
            port = (unsigned)strtoul(text, NULL, 10);
    }
    return port;
}

/* Who has had which port, at serve_hints_look. */
static struct {
    unsigned port, uid;
    char who[NAME_MAX_BYTES + 32]; /* "": it could not be seen */
} holders[HOLDERS_MAX];
static size_t holder_count;

static void look_at(unsigned port)
{
    unsigned uid = 0;
    unsigned long long inode = listening_inode("/proc/net/tcp", port, &uid);

    if (inode == 0)
        inode = listening_inode("/proc/net/tcp6", port, &uid);
    if (inode == 0 || holder_count == HOLDERS_MAX)
        return;
    holders[holder_count].port = port;
    holders[holder_count].uid = uid;
    if (!holder(inode, holders[holder_count].who, sizeof holders[0].who))
        holders[holder_count].who[0] = '\0';
    holder_count++;
}

void serve_hints_look(const struct serve_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct serve_options *o = &plan->listeners[i];

        for (size_t p = 0; p < o->place_count; p++) {
            const char *text = o->places[p].port == NULL ? o->port : o->places[p].port;
            unsigned port = (unsigned)strtoul(text, NULL, 10);

            if (o->places[p].path == NULL && o->places[p].fd < 0 && port != 0)
                look_at(port);
        }
    }
}

static void hint_in_use(const struct serve_options *o, const struct shs_error *err, char *out,
                        size_t cap)
{
    unsigned port = taken_port(o, err);
    size_t i = 0;

    while (i < holder_count && holders[i].port != port)
        i++;
    if (port == 0)
        return;
    if (i < holder_count && holders[i].who[0] != '\0')
        snprintf(out, cap,
                 "process %s has it: stop that, or choose another port with --port (--port 0: a "
                 "free one)",
                 holders[i].who);
    else if (i < holder_count)
        snprintf(out, cap,
                 "a process of user %u has it (sudo ss -ltnp 'sport = :%u' names it): choose "
                 "another port with --port (--port 0: a free one)",
                 holders[i].uid, port);
    else
        snprintf(out, cap, "choose another port with --port (--port 0: a free one)");
}

/* -- what may not be done ---------------------------------------------------------------------- */

static void hint_low_port(const struct serve_options *o, const struct shs_error *err, char *out,
                          size_t cap)
{
    char self[256] = "shs";
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    self[n > 0 ? (size_t)n : strlen("shs")] = '\0';
    snprintf(out, cap,
             "port %u is one of those that only root may open. Either sudo setcap "
             "cap_net_bind_service=+ep %s, or systemctl enable --now shs.socket, or start it as "
             "root with --user NAME, or choose a port from 1024 on",
             taken_port(o, err), self);
}

/* The first directory on the way that may not be entered, or the file itself. */
static bool blocked_at(const char *path, char *out, size_t cap)
{
    size_t len = strlen(path);

    for (size_t i = 1; i <= len; i++) {
        if ((path[i] != '/' && path[i] != '\0') || i >= cap)
            continue;
        snprintf(out, cap, "%.*s", (int)i, path);
        if (faccessat(AT_FDCWD, out, path[i] == '/' ? X_OK : R_OK, AT_EACCESS) != 0)
            return errno == EACCES;
    }
    return false;
}

/* A file that the user who serves may not read, and the line that mends it; false: it can be read,
   or is not there. */
static bool hint_of_file(const char *path, char *out, size_t cap)
{
    char at[512], room[4096];
    struct passwd user, *found = NULL;
    unsigned uid = (unsigned)geteuid(), gid = (unsigned)getegid();
    bool dir;
    struct stat st;

    if (path == NULL || !blocked_at(path, at, sizeof at))
        return false;
    dir = stat(at, &st) == 0 && S_ISDIR(st.st_mode);
    if (getpwuid_r(geteuid(), &user, room, sizeof room, &found) != 0)
        found = NULL;
    snprintf(out, cap,
             "the %s %s may not be %s by user %s (%u), who serves: sudo chgrp %u %s && sudo chmod "
             "g+%s %s",
             dir ? "directory" : "file", at, dir ? "entered" : "read",
             found == NULL ? "of number" : found->pw_name, uid, gid, at, dir ? "x" : "r", at);
    return true;
}

static void hint_unreadable(const struct serve_options *o, char *out, size_t cap)
{
    const char *files[SERVE_FILES_READ];

    for (size_t i = 0; i < o->cert_count; i++) {
        if (hint_of_file(o->certs[i].key, out, cap) || hint_of_file(o->certs[i].cert, out, cap) ||
            hint_of_file(o->certs[i].ocsp, out, cap))
            return;
    }
    serve_options_files(o, files);
    for (size_t i = 0; i < SERVE_FILES_READ; i++) {
        if (hint_of_file(files[i], out, cap))
            return;
    }
}

static void warn_of_file(const char *path)
{
    char hint[SERVE_HINT_MAX];

    if (hint_of_file(path, hint, sizeof hint))
        cmd_warn("SIGHUP will keep what was read now; %s", hint);
}

void serve_hints_warn_of_reload(const struct serve_plan *plan)
{
    const char *files[SERVE_FILES_READ], *first[SERVE_FILES_READ];

    serve_options_files(&plan->listeners[0], first);
    for (size_t i = 0; i < plan->count; i++) {
        const struct serve_options *o = &plan->listeners[i];

        for (size_t c = 0; c < o->cert_count; c++) {
            warn_of_file(o->certs[c].cert);
            warn_of_file(o->certs[c].key);
            warn_of_file(o->certs[c].ocsp);
        }
        serve_options_files(o, files);
        for (size_t f = 0; f < SERVE_FILES_READ; f++) {
            if (i == 0 || files[f] != first[f]) /* they share some: said once */
                warn_of_file(files[f]);
        }
    }
}

/* $CREDENTIALS_DIRECTORY of systemd, and a file in it that the unit does not load. */
static bool hint_credential(const struct serve_options *o, char *out, size_t cap)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    size_t len = dir == NULL ? 0 : strlen(dir);

    for (size_t i = 0; len > 0 && i < o->cert_count; i++) {
        const char *const files[] = {o->certs[i].cert, o->certs[i].key, o->certs[i].ocsp};

        for (size_t f = 0; f < SHS_ARRAY_LEN(files); f++) {
            if (files[f] == NULL || strncmp(files[f], dir, len) != 0 || files[f][len] != '/' ||
                access(files[f], F_OK) == 0)
                continue;
            snprintf(out, cap,
                     "the credential '%s' is missing: the unit needs LoadCredential=%s:PATH "
                     "(systemctl edit shs.service)",
                     files[f] + len + 1, files[f] + len + 1);
            return true;
        }
    }
    return false;
}

const char *serve_hint(const struct serve_options *o, const struct shs_error *err, char *out,
                       size_t cap)
{
    bool binding =
        strncmp(err->text, "cannot bind", 11) == 0 || strncmp(err->text, "cannot listen", 13) == 0;

    out[0] = '\0';
    if (err->sys_errno == EADDRINUSE)
        hint_in_use(o, err, out, cap);
    else if (binding && (err->sys_errno == EACCES || err->sys_errno == EPERM))
        hint_low_port(o, err, out, cap);
    else if (binding && err->sys_errno == EADDRNOTAVAIL)
        snprintf(out, cap,
                 "this computer does not have that address ('ip address' lists those it has; "
                 "--bind '' listens on all of them)");
    else if (!binding && !hint_credential(o, out, cap))
        hint_unreadable(o, out, cap);
    return out;
}

const char *serve_hint_state(const struct shs_error *err, char *out, size_t cap)
{
    out[0] = '\0';
    if (err->sys_errno == EROFS || err->sys_errno == EACCES || err->sys_errno == EPERM)
        snprintf(out, cap,
                 " Name a directory that can be written, XDG_STATE_HOME=/var/tmp/my-shs for "
                 "example, or give a certificate with --cert and --key.");
    return out;
}
