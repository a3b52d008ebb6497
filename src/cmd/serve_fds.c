#include "cmd/serve_fds.h"

#include <errno.h>
#include <stdio.h>

#include "cmd/cmd.h"

/* Written while servers are made, by one thread. */
static struct serve_fds_note notes[SERVE_FDS_NOTES_MAX];
static size_t note_count;

static bool is_ours(const struct listen_fd *fd)
{
    return strncmp(fd->name, LISTEN_FDS_OURS, strlen(LISTEN_FDS_OURS)) == 0;
}

/* Names have no ':' and no control characters. */
static void append_name(char *name, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t used = strlen(name);

    for (; *text != '\0' && used + 4 < LISTEN_FD_NAME_MAX; text++) {
        unsigned char c = (unsigned char)*text;

        if (c > 0x20 && c < 0x7f && c != ':' && c != '%' && c != ',') {
            name[used++] = (char)c;
            continue;
        }
        name[used++] = '%';
        name[used++] = hex[c >> 4];
        name[used++] = hex[c & 15];
    }
    name[used] = '\0';
}

/* -- places ------------------------------------------------------------------------------------ */

static bool add_place(struct serve_options *o, struct listen_fd *fd, bool by_number,
                      struct setting_problem *problem)
{
    struct serve_place *place = &o->places[o->place_count];
    char text[64];

    if (o->place_count == SETTING_LIST_MAX) {
        snprintf(problem->text, sizeof problem->text, "names more than %d sockets",
                 SETTING_LIST_MAX);
        return false;
    }
    if (!listen_fds_look(fd)) {
        snprintf(problem->text, sizeof problem->text,
                 "names descriptor %d, which is not a socket: %s", fd->fd,
                 shs__strerror(errno, text, sizeof text));
        return false;
    }
    fd->taken = true;
    memset(place, 0, sizeof *place);
    place->fd = fd->fd;
    place->passed = by_number ? NULL : "";
    snprintf(place->host, sizeof place->host, "%s", fd->host);
    if (fd->path[0] != '\0')
        place->path = fd->path;
    else
        place->port = fd->port;
    o->place_count++;
    return true;
}

/* Of that name; NULL or "": whichever there are. A socket of the process before us is named after
   the --bind that it came by. */
static bool add_passed(struct serve_options *o, const char *name, struct setting_problem *problem)
{
    size_t before = o->place_count;
    char ours[LISTEN_FD_NAME_MAX] = LISTEN_FDS_OURS "passed,";

    if (name != NULL && name[0] != '\0')
        append_name(ours, name);
    for (size_t i = 0; i < listen_fds_count(); i++) {
        struct listen_fd *fd = listen_fds_at(i);
        bool fits = is_ours(fd)
                        ? strncmp(fd->name, ours, strlen(ours)) == 0 &&
                              (name == NULL || name[0] == '\0' || strlen(fd->name) == strlen(ours))
                        : name == NULL || name[0] == '\0' || strcmp(fd->name, name) == 0;

        if (!fd->taken && fits && !add_place(o, fd, false, problem))
            return false;
    }
    if (o->place_count > before || name == NULL)
        return true;
    snprintf(problem->text, sizeof problem->text,
             "systemd%s%s: no such socket was passed (LISTEN_FDS has %zu); is the .socket unit "
             "active%s?",
             name[0] == '\0' ? "" : ":", name, listen_fds_count(),
             name[0] == '\0' ? "" : ", and does it say FileDescriptorName=");
    return false;
}

static struct listen_fd *find_fd(int number)
{
    char ours[LISTEN_FD_NAME_MAX];

    snprintf(ours, sizeof ours, LISTEN_FDS_OURS "fd,%d", number);
    for (size_t i = 0; i < listen_fds_count(); i++) {
        if (strcmp(listen_fds_at(i)->name, ours) == 0 && !listen_fds_at(i)->taken)
            return listen_fds_at(i);
    }
    return listen_fds_add(number);
}

bool serve_fds_places(struct serve_options *o, struct setting_problem *problem)
{
    struct serve_place said[SETTING_LIST_MAX];
    size_t count = o->place_count;
    struct listen_fd *fd;

    if (o->binds.count == 0) { /* the default address, unless something was passed */
        o->place_count = 0;
        if (!add_passed(o, NULL, problem))
            return false;
        if (o->place_count == 0)
            o->place_count = count;
        else
            o->port = o->places[0].port != NULL ? o->places[0].port : o->port;
        return true;
    }
    memcpy(said, o->places, sizeof said);
    o->place_count = 0;
    for (size_t i = 0; i < count; i++) {
        bool good = true;

        if (said[i].passed != NULL) {
            good = add_passed(o, said[i].passed, problem);
        } else if (said[i].fd >= 0) {
            fd = find_fd(said[i].fd);
            good = fd != NULL && add_place(o, fd, true, problem);
        } else if (o->place_count < SETTING_LIST_MAX) {
            o->places[o->place_count++] = said[i];
        }
        if (!good)
            return false;
    }
    return true;
}

/* -- servers ----------------------------------------------------------------------------------- */

/* What the options ask of an address, as a name. */
static void name_of(const struct shs_options *opt, unsigned i, char *name)
{
    const struct shs_address *more = i == 0 ? NULL : &opt->more_addresses[i - 1];
    const char *path = more == NULL ? opt->path : more->path;
    const char *host = more == NULL ? opt->host : more->host;
    const char *port = more == NULL ? opt->port : more->port;

    snprintf(name, LISTEN_FD_NAME_MAX, LISTEN_FDS_OURS "%s,", path != NULL ? "path" : "host");
    append_name(name, path != NULL ? path : host == NULL ? "" : host);
    if (path == NULL && strlen(name) + 2 < LISTEN_FD_NAME_MAX) {
        name[strlen(name) + 1] = '\0';
        name[strlen(name)] = ',';
        append_name(name, port == NULL ? "" : port);
    }
}

/* One that was passed keeps the name by which it is found again. */
static void name_of_passed(const struct serve_place *place, char *name)
{
    for (size_t i = 0; i < listen_fds_count(); i++) {
        const struct listen_fd *fd = listen_fds_at(i);

        if (fd->fd != place->fd)
            continue;
        if (is_ours(fd)) {
            snprintf(name, LISTEN_FD_NAME_MAX, "%s", fd->name);
        } else if (place->passed == NULL) {
            snprintf(name, LISTEN_FD_NAME_MAX, LISTEN_FDS_OURS "fd,%d", fd->fd);
        } else {
            snprintf(name, LISTEN_FD_NAME_MAX, LISTEN_FDS_OURS "passed,");
            append_name(name, fd->name);
        }
    }
}

static int inherit(struct shs_server *server, unsigned i, const char *name)
{
    for (size_t n = 0; n < listen_fds_count(); n++) {
        struct listen_fd *fd = listen_fds_at(n);

        if (fd->taken || strcmp(fd->name, name) != 0)
            continue;
        fd->taken = true;
        return shs_server_inherit(server, i, fd->fd, true);
    }
    return SHS_OK;
}

int serve_fds_prepare(void *ctx, struct shs_server *server, struct shs_error *err)
{
    const struct shs_options *opt = shs_server_options(server);
    const struct serve_options *o = ctx;
    int rc = SHS_OK;

    for (unsigned i = 0; rc == SHS_OK && i <= opt->more_address_count; i++) {
        const struct serve_place *place = o != NULL && i < o->place_count ? &o->places[i] : NULL;
        struct serve_fds_note *note = &notes[note_count];

        if (note_count == SERVE_FDS_NOTES_MAX)
            return shs_error_set(err, SHS_LIMIT, 0, "more than %d sockets to listen on",
                                 SERVE_FDS_NOTES_MAX);
        *note = (struct serve_fds_note){.server = server, .address = i};
        name_of(opt, i, note->name);
        if (place != NULL && place->fd >= 0) {
            name_of_passed(place, note->name);
            rc = shs_server_inherit(server, i, place->fd, false);
        } else {
            rc = inherit(server, i, note->name);
        }
        note_count++;
    }
    if (rc != SHS_OK && err != NULL)
        *err = *shs_server_error(server);
    return rc;
}

const struct serve_fds_note *serve_fds_notes(size_t *count)
{
    *count = note_count;
    return notes;
}

void serve_fds_forget(const struct shs_server *server)
{
    size_t kept = 0;

    for (size_t i = 0; i < note_count; i++) {
        if (notes[i].server != server)
            notes[kept++] = notes[i];
    }
    note_count = kept;
}
