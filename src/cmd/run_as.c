#include "cmd/run_as.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"

#define ENTRY_MAX 16384

static int no_such(const char *what, const char *name)
{
    return cmd_fail(CMD_FAILED, "--user: there is no %s '%s' on this machine", what, name);
}

static bool number_of(const char *text, unsigned long *out)
{
    char *end = NULL;

    if (text[0] < '0' || text[0] > '9')
        return false;
    *out = strtoul(text, &end, 10);
    return *end == '\0' && *out < UINT32_MAX;
}

static int find_user(struct run_as *self, char *room)
{
    struct passwd entry, *found = NULL;
    unsigned long number;

    if (number_of(self->name, &number))
        (void)getpwuid_r((uid_t)number, &entry, room, ENTRY_MAX, &found);
    else
        (void)getpwnam_r(self->name, &entry, room, ENTRY_MAX, &found);
    if (found == NULL)
        return no_such("user", self->name);
    self->uid = found->pw_uid;
    self->gid = found->pw_gid;
    snprintf(self->name, sizeof self->name, "%s", found->pw_name);
    return CMD_OK;
}

static int find_group(struct run_as *self, const char *name, char *room)
{
    struct group entry, *found = NULL;
    unsigned long number;

    if (number_of(name, &number)) {
        self->gid = (gid_t)number;
        return CMD_OK;
    }
    (void)getgrnam_r(name, &entry, room, ENTRY_MAX, &found);
    if (found == NULL)
        return no_such("group", name);
    self->gid = found->gr_gid;
    return CMD_OK;
}

int run_as_find(struct run_as *self, const char *text)
{
    size_t len = text == NULL ? 0 : strcspn(text, ":");
    char *room;
    int code;

    memset(self, 0, sizeof *self);
    if (text == NULL)
        return CMD_OK;
    if (len >= sizeof self->name)
        return no_such("user", text);
    snprintf(self->name, sizeof self->name, "%.*s", (int)len, text);
    room = shs__malloc(ENTRY_MAX);
    if (room == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    code = find_user(self, room);
    if (code == CMD_OK && text[len] == ':')
        code = find_group(self, text + len + 1, room);
    shs__free(room);
    if (code != CMD_OK)
        return code;
    if (self->uid == 0)
        return cmd_fail(CMD_USAGE, "--user must be another user than root");
    self->wanted = geteuid() == 0;
    if (!self->wanted && (geteuid() != self->uid || getegid() != self->gid))
        return cmd_fail(CMD_FAILED, "--user %s: only root can become another user", text);
    return CMD_OK;
}

/* None of the ways back may be open. */
static bool is_for_good(const struct run_as *self)
{
    uid_t real, effective, saved;
    gid_t real_group, effective_group, saved_group;

    return setuid(0) != 0 && seteuid(0) != 0 && (self->gid == 0 || setgid(0) != 0) &&
           getresuid(&real, &effective, &saved) == 0 &&
           getresgid(&real_group, &effective_group, &saved_group) == 0 && real == self->uid &&
           effective == self->uid && saved == self->uid && real_group == self->gid &&
           effective_group == self->gid && saved_group == self->gid;
}

int run_as_drop(const struct run_as *self)
{
    char text[64];

    if (!self->wanted)
        return CMD_OK;
    /* The C library does each of them for all threads. Groups first: a user may not. */
    if (initgroups(self->name, self->gid) != 0 || setresgid(self->gid, self->gid, self->gid) != 0 ||
        setresuid(self->uid, self->uid, self->uid) != 0)
        return cmd_fail(CMD_FAILED, "--user: cannot become %s: %s", self->name,
                        shs__strerror(errno, text, sizeof text));
    if (!is_for_good(self))
        return cmd_fail(CMD_FAILED,
                        "--user: as %s it could still become root again, so it does not serve",
                        self->name);
    return CMD_OK;
}
