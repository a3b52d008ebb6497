#include "cmd/serve_options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/serve_admin.h"
#include "cmd/serve_fds.h"

#define DEFAULT_ADDRESS "127.0.0.1"
#define DEFAULT_PORT "8443"
#define DEFAULT_PLAIN_PORT "8080"
/* Who looks whether it is ready does so every few seconds. */
#define DEFAULT_DRAIN_GRACE_MS 5000
/* Docker kills after 10 s, systemd after 90. With the grace; a handler that does not return and a
   slow reader of the log may take 2 s more each. */
#define DEFAULT_STOP_MS 7000
#define LEAST_STOP_MS 2000

static const char help_above[] =
    "usage: shs serve [OPTION]... [DIR]\n"
    "\n"
    "Serves the files of DIR (the current directory) over HTTPS. Without --cert it makes a\n"
    "certificate for this computer and says how to trust it.\n";

static const char help_below[] =
    "SIGINT (Ctrl-C) and SIGTERM stop it: it goes on for --drain-grace, then requests under way\n"
    "have --stop-timeout. A second one ends the grace; after that, one cuts those requests, and\n"
    "another ends it at once. The last line of the log counts what was served, closed and cut\n"
    "since the first one. Exit status: 0 stopped, 1 a request was cut or it could not be done, 2 "
    "the\n"
    "command line is wrong.\n";

/* A mixin, and the member of struct shs_options that --threads sets. */
static const struct {
    int (*push)(struct shs_server *server, struct shs_error *err);
    size_t bound;
} threadings[] = {
    [SERVE_POOL] = {shs_thread_pool_mixin_push, offsetof(struct shs_options, threads)},
    [SERVE_THREAD] = {shs_threading_mixin_push, offsetof(struct shs_options, max_threads)},
    [SERVE_FORK] = {shs_forking_mixin_push, offsetof(struct shs_options, max_children)},
    [SERVE_NONE] = {NULL, 0},
};

int (*serve_threading_push(enum serve_threading threading))(struct shs_server *, struct shs_error *)
{
    return threadings[threading].push;
}

static bool given(const struct settings_given *said, const char *name)
{
    return settings_was_given(&serve_settings, said, name);
}

/* What --bind says, in parts; each has been looked at. */
static void read_places(struct serve_options *o)
{
    o->place_count = o->binds.count;
    for (size_t i = 0; i < o->binds.count; i++)
        (void)serve_place_read(&o->places[i], o->binds.items[i]);
    if (o->place_count == 0)
        (void)serve_place_read(&o->places[o->place_count++], DEFAULT_ADDRESS);
}

/* What one value means for others: before it is looked at what goes together. */
static void follow(struct serve_options *o, const struct settings_given *said)
{
    if (!given(said, "client-auth") && o->host.client_ca != NULL)
        o->host.client_auth = SHS_TLS_CLIENT_REQUIRED;
    if (given(said, "watch-interval"))
        o->tls.watch = true;
    if (o->log_level == 0) /* who wants no log wants no line for each failed connection either */
        o->log_level = o->log == SERVE_LOG_NONE ? SHS_LOG_WARNING : SHS_LOG_INFO;
    read_places(o);
    o->drain_grace_is_given = o->drain_grace_ms != UINT_MAX;
    if (!o->drain_grace_is_given) /* without probes nobody is told, and nobody waits */
        o->drain_grace_ms = o->health != NULL ? DEFAULT_DRAIN_GRACE_MS : 0;
    if (o->opt.stop_ms == 0)
        o->opt.stop_ms = o->drain_grace_ms + LEAST_STOP_MS < DEFAULT_STOP_MS
                             ? DEFAULT_STOP_MS - o->drain_grace_ms
                             : LEAST_STOP_MS;
    if (o->port == NULL)
        o->port = o->plain ? DEFAULT_PLAIN_PORT : DEFAULT_PORT;
}

static int blame(const struct serve_plan *plan, const struct serve_options *o, const char *name,
                 const char *what)
{
    size_t section = plan->file.sections == 0 ? 0 : (size_t)(o - plan->listeners) + 1;
    const struct setting *row = settings_find(&serve_settings, name);
    unsigned line = row == NULL ? 0 : settings_file_line(&plan->file, row, section);

    if (line > 0)
        return cmd_fail(CMD_USAGE, "%s:%u: %s %s", plan->file.path, line, name, what);
    return cmd_fail(CMD_USAGE, "--%s %s", name, what);
}

static bool has_port(const struct serve_options *o)
{
    for (size_t i = 0; i < o->place_count; i++) {
        if (o->places[i].path == NULL)
            return true;
    }
    return false;
}

static bool has_path(const struct serve_options *o)
{
    for (size_t i = 0; i < o->place_count; i++) {
        if (o->places[i].path != NULL)
            return true;
    }
    return false;
}

/* What is said of a Unix socket's file, when there is none. Of several listeners not each need have
   one, for a file may say it to all. */
static const char *lost_on_port(const struct serve_plan *plan, const struct serve_options *o)
{
    if (plan->count > 1 || has_path(o))
        return NULL;
    return o->socket_mode != NULL      ? "socket-mode"
           : o->opt.path_group != NULL ? "socket-group"
                                       : NULL;
}

/* What a directory of the listener is for, when a route has everything. */
static int check_routes(const struct serve_plan *plan, const struct serve_options *o,
                        const struct settings_given *said)
{
    const struct serve_route *all = serve_routes_all(o->routes, o->route_count);
    char where[SETTING_TEXT_MAX], what[2 * SETTING_TEXT_MAX];
    int code = serve_routes_check(o->routes, o->route_count);

    if (code != CMD_OK || all == NULL || !given(said, "directory"))
        return code;
    serve_route_say(all, where, sizeof where);
    snprintf(what, sizeof what, "is never reached: %s has every path", where);
    return blame(plan, o, "directory", what);
}

/* What the rows' `needs` cannot say, then what they say. */
static int check(const struct serve_plan *plan, const struct serve_options *o,
                 const struct settings_given *said)
{
    /* What the top of a file says to all listeners need not fit each of them. */
    enum settings_layer least = plan->count > 1 ? SETTINGS_SECTION : SETTINGS_FILE;
    const char *flag, *wrong;
    const struct setting *row;
    struct setting_problem problem;

    if (!o->plain && o->host.client_auth != SHS_TLS_CLIENT_NONE && o->host.client_ca == NULL)
        return blame(plan, o, "client-auth", "needs --client-ca, the CAs by which to judge");
    if (o->redirect != NULL && !has_port(o))
        return blame(plan, o, "redirect",
                     "has no port to send anybody to: --bind names Unix sockets "
                     "alone");
    flag = lost_on_port(plan, o);
    if (flag != NULL)
        return blame(plan, o, flag, "is for a Unix socket: --bind unix:PATH");
    if (!settings_check(&serve_settings, o, said, least, &row, &problem))
        return blame(plan, o, row->name, problem.text);
    if (!serve_admin_fits(o, &flag, &wrong))
        return blame(plan, o, flag, wrong);
    if (o->threading == SERVE_FORK &&
        (plan->count > 1 || o->redirect != NULL || o->health != NULL || o->admin.places.count > 0))
        return blame(plan, o, "threading",
                     "fork goes with one listener, without --redirect, --health and --admin: use "
                     "pool or thread");
    return check_routes(plan, o, said);
}

/* White space around the value is cut off as a receiver would. */
static int split_headers(struct serve_options *o)
{
    for (size_t i = 0; i < o->headers.count; i++) {
        const char *text = o->headers.items[i], *colon = strchr(text, ':');
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        size_t len = strlen(value);

        while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
            len--;
        o->fields[2 * i] = shs__strndup(text, (size_t)(colon - text));
        o->fields[2 * i + 1] = shs__strndup(value, len);
        if (o->fields[2 * i] == NULL || o->fields[2 * i + 1] == NULL)
            return cmd_fail(CMD_FAILED, "out of memory");
    }
    if (o->cache_control != NULL) {
        o->fields[2 * o->headers.count] = shs__strdup("Cache-Control");
        o->fields[2 * o->headers.count + 1] = shs__strdup(o->cache_control);
        if (o->fields[2 * o->headers.count] == NULL || o->fields[2 * o->headers.count + 1] == NULL)
            return cmd_fail(CMD_FAILED, "out of memory");
    }
    return CMD_OK;
}

/* The server's addresses; `port` for those that have none of their own. `more` is room for them. */
static void listen_at(struct shs_options *opt, const struct serve_place *places, size_t count,
                      const char *port, struct shs_address *more)
{
    for (size_t i = 0; i < count; i++) {
        const char *own = places[i].port == NULL ? port : places[i].port;

        if (i > 0) {
            more[i - 1] = (struct shs_address){places[i].host, own, places[i].path};
            continue;
        }
        opt->host = places[i].host;
        opt->port = own;
        opt->path = places[i].path;
    }
    opt->more_addresses = more;
    opt->more_address_count = (unsigned)count - 1;
}

/* In the place of sockets that were passed: where they are. */
static int find_passed(const struct serve_plan *plan, struct serve_options *o)
{
    struct setting_problem problem;

    return serve_fds_places(o, &problem) ? CMD_OK : blame(plan, o, "bind", problem.text);
}

/* The server's options, as far as they are not a row's own member. */
static void set_server(struct serve_options *o)
{
    listen_at(&o->opt, o->places, o->place_count, o->port, o->more);
    o->opt.unlink_on_bind = o->opt.unlink_on_close = true;
    if (o->socket_mode != NULL)
        o->opt.path_mode = (unsigned)strtoul(o->socket_mode, NULL, 8);
    if (o->threads > 0)
        memcpy((char *)&o->opt + threadings[o->threading].bound, &o->threads, sizeof o->threads);
    if (o->max_threads > 0)
        o->opt.max_threads = o->max_threads;
    if (o->request_id)
        o->opt.request_id_field = "X-Request-Id";
    /* An upload may be as large as --max-upload says, whatever other bodies may be. */
    if (o->opt.max_body_bytes < o->site.max_upload)
        o->opt.max_body_bytes = o->site.max_upload;
    for (size_t i = 0; i < o->route_count; i++) {
        if (o->opt.max_body_bytes < o->routes[i].max_upload)
            o->opt.max_body_bytes = o->routes[i].max_upload;
    }
}

/* -- the plan ---------------------------------------------------------------------------------- */

static void print_certs(const struct settings_group *group, const void *to, int indent)
{
    const struct serve_options *o = to;

    printf("%*s%s%s:%s\n", indent, "", o->cert_count == 0 ? "# " : "", group->name,
           o->cert_count == 0 ? " [{cert: FILE, key: FILE, ocsp: FILE}]" : "");
    for (size_t i = 0; i < o->cert_count; i++) {
        const struct {
            const char *key, *value;
        } parts[] = {
            {"cert", o->certs[i].cert}, {"key", o->certs[i].key}, {"ocsp", o->certs[i].ocsp}};

        for (size_t p = 0; p < SHS_ARRAY_LEN(parts); p++) {
            if (parts[p].value == NULL)
                continue;
            printf("%*s%s%s: ", indent + 2, "", p == 0 ? "- " : "  ", parts[p].key);
            settings_print_value(parts[p].value);
            putchar('\n');
        }
    }
}

static void print_plan(const struct serve_plan *plan, const struct settings_given *said)
{
    if (plan->count == 1) {
        settings_print(&serve_settings, &plan->listeners[0], &said[0], SETTINGS_ALL, 0,
                       print_certs);
        return;
    }
    settings_print(&serve_settings, &plan->listeners[0], &said[0], SETTINGS_SHARED, 0, NULL);
    printf("%s:\n", serve_settings.sections);
    for (size_t i = 0; i < plan->count; i++) {
        printf("  -\n");
        settings_print(&serve_settings, &plan->listeners[i], &said[i], SETTINGS_OF_SECTION, 4,
                       print_certs);
    }
}

static void init(struct serve_options *out)
{
    memset(out, 0, sizeof *out);
    shs_options_init(&out->opt);
    shs_tls_host_init(&out->host);
    shs_tls_config_init(&out->tls);
    out->proxy_max_header = 4096;
    out->drain_grace_ms = UINT_MAX;
    out->opt.stop_ms = 0;
}

/* The values of one listener, from the weakest to the strongest. */
static int fill(struct serve_plan *plan, size_t i, struct settings_given *said)
{
    struct serve_options *o = &plan->listeners[i];
    size_t section = plan->file.sections == 0 ? 0 : i + 1;
    int code;

    init(o);
    code = settings_file_apply(&serve_settings, &plan->file, section, o, said);
    if (code == CMD_OK)
        code = settings_apply_words(&serve_settings, &plan->words, o, said);
    if (code != CMD_OK)
        return code;
    follow(o, said);
    code = find_passed(plan, o);
    if (code == CMD_OK)
        code = check(plan, o, said);
    if (code == CMD_OK)
        code = split_headers(o);
    if (code == CMD_OK)
        set_server(o);
    return code;
}

/* A flag that names a socket can be one listener's only. */
static int check_words(const struct serve_plan *plan)
{
    for (size_t i = 0; plan->count > 1 && i < plan->words.count; i++) {
        const char *name = plan->words.items[i].row->name;

        if (strcmp(name, "bind") == 0 || strcmp(name, "port") == 0)
            return cmd_fail(CMD_USAGE, "--%s is for one listener, and %s has %zu", name,
                            plan->file.path, plan->count);
    }
    return CMD_OK;
}

/* But what fits none is a mistake. */
static int check_shared(const struct serve_plan *plan, const struct settings_given *said)
{
    struct setting_problem problem;

    for (size_t r = 0; plan->count > 1 && r < serve_settings.count; r++) {
        const struct setting *row = &serve_settings.rows[r];
        size_t given_at_top = 0, misfits = 0;

        for (size_t i = 0; i < plan->count; i++) {
            if (said[i].layer[r] != SETTINGS_FILE)
                continue;
            given_at_top++;
            misfits +=
                !settings_fits(&serve_settings, row, &plan->listeners[i], &said[i], &problem);
        }
        if (misfits > 0 && misfits == given_at_top)
            return blame(plan, &plan->listeners[0], row->name, problem.text);
    }
    return CMD_OK;
}

/* Every value of the file, whatever else is wrong with it: all mistakes are said at once. */
static void look_at_values(struct serve_plan *plan)
{
    struct serve_options *scratch = shs__malloc(sizeof *scratch);

    for (size_t i = 0; scratch != NULL && (i == 0 || i < plan->file.sections); i++) {
        struct settings_given said = {{0}};

        init(scratch);
        (void)settings_file_apply(&serve_settings, &plan->file, i + 1, scratch, &said);
    }
    shs__free(scratch);
}

/* A plain listener beside `from`, with its deadlines and bounds and nothing of its files. */
static struct serve_options *derive(struct serve_plan *plan, const struct serve_options *from,
                                    enum serve_handler handler)
{
    struct serve_options *o = &plan->listeners[plan->served++];

    *o = *from;
    memset(&o->site, 0, sizeof o->site);
    memset(&o->headers, 0, sizeof o->headers);
    memset(o->fields, 0, sizeof o->fields); /* they are the other one's */
    o->cert_count = 0;
    o->route_count = 0;
    o->plain = true;
    o->handler = handler;
    return o;
}

/* --redirect: on its port of each host that is listened on, once. */
static void listen_beside(struct serve_options *o)
{
    size_t count = 0;

    for (size_t i = 0; i < o->place_count; i++) {
        struct serve_place place = o->places[i];
        size_t known = 0;

        place.port = NULL;
        place.fd = -1;
        while (known < count && strcmp(o->places[known].host, place.host) != 0)
            known++;
        if (place.path == NULL && known == count)
            o->places[count++] = place;
    }
    o->place_count = count;
    listen_at(&o->opt, o->places, count, o->redirect, o->more);
}

/* What is served beside what was asked for. */
static void derive_all(struct serve_plan *plan)
{
    const struct serve_options *first = &plan->listeners[0];

    plan->served = plan->count;
    for (size_t i = 0; i < plan->count; i++) {
        struct serve_options *o;

        if (plan->listeners[i].redirect == NULL)
            continue;
        o = derive(plan, &plan->listeners[i], SERVE_REDIRECT);
        o->target = i;
        listen_beside(o);
    }
    if (first->health != NULL) {
        struct serve_options *o = derive(plan, first, SERVE_HEALTH);

        (void)serve_split_address(o->health, o->health_host, sizeof o->health_host, &o->opt.port);
        o->opt.host = o->health_host;
        o->opt.path = NULL;
        o->place_count = 0;
        o->opt.more_address_count = 0;
    }
}

static const char *config_of(const struct settings_words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        if (strcmp(words->items[i].row->name, "config") == 0)
            return words->items[i].value;
    }
    return NULL;
}

static int read_plan(struct serve_plan *plan)
{
    const char *config = config_of(&plan->words);
    struct settings_given *said;
    int code = CMD_OK;

    if (config != NULL)
        code = settings_file_read(&serve_settings, config, &plan->file);
    if (config != NULL && code != CMD_FAILED)
        look_at_values(plan);
    if (plan->file.errors > 0)
        code = CMD_USAGE;
    if (code != CMD_OK)
        return code;
    plan->count = plan->file.sections == 0 ? 1 : plan->file.sections;
    plan->listeners = shs__calloc(2 * plan->count + 1, sizeof *plan->listeners);
    said = shs__calloc(plan->count, sizeof *said);
    if (plan->listeners == NULL || said == NULL)
        code = cmd_fail(CMD_FAILED, "out of memory");
    if (code == CMD_OK)
        code = check_words(plan);
    for (size_t i = 0; code == CMD_OK && i < plan->count; i++)
        code = fill(plan, i, &said[i]);
    if (code == CMD_OK)
        code = check_shared(plan, said);
    if (code == CMD_OK)
        derive_all(plan);
    if (code == CMD_OK && plan->listeners[0].print_config)
        print_plan(plan, said);
    shs__free(said);
    return code;
}

static void print_help(void)
{
    struct command_page page = {
        .command = "serve", .about = help_above, .settings = &serve_settings, .below = help_below};
    struct serve_options *defaults = shs__malloc(sizeof *defaults);

    if (defaults == NULL)
        return;
    init(defaults);
    page.defaults = defaults;
    if (!commands_watched(&page)) {
        fputs(help_above, stdout);
        putchar('\n');
        settings_print_help(&serve_settings, defaults);
        fputs("\n  -h, --help                print this text\n\n", stdout);
        fputs(help_below, stdout);
    }
    shs__free(defaults);
}

bool serve_plan_read(struct serve_plan *out, int argc, char **argv, int *exit_code)
{
    memset(out, 0, sizeof *out);
    *exit_code = settings_read_words(&serve_settings, argc, argv, "directory", &out->words);
    if (out->words.help)
        print_help();
    else if (*exit_code == CMD_OK)
        *exit_code = read_plan(out);
    return *exit_code == CMD_OK && !out->words.help && !out->listeners[0].print_config;
}

void serve_plan_free(struct serve_plan *self)
{
    for (size_t i = 0; self->listeners != NULL && i < self->count; i++) {
        for (size_t f = 0; f < SHS_ARRAY_LEN(self->listeners[i].fields); f++)
            shs__free(self->listeners[i].fields[f]);
    }
    shs__free(self->listeners);
    settings_file_free(&self->file);
    shs__free(self->words.items);
    memset(self, 0, sizeof *self);
}

void serve_options_files(const struct serve_options *o, const char *files[SERVE_FILES_READ])
{
    const char *const all[SERVE_FILES_READ] = {
        o->config,      o->password_file,     o->host.client_ca,  o->host.crl,
        o->tls.deny,    o->tls.ticket_secret, o->site.auth_file,  o->site.access,
        o->admin.cert,  o->admin.key,         o->admin.client_ca, o->admin.crl,
        o->admin.rules,
    };

    memcpy(files, all, sizeof all);
}
