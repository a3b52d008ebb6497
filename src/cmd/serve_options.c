#include "cmd/serve_options.h"

#include <stdio.h>

#include "cmd/cmd.h"

#define DEFAULT_PORT "8443"
#define DEFAULT_PLAIN_PORT "8080"

static const char help_above[] =
    "usage: shs serve [OPTION]... [DIR]\n"
    "\n"
    "Serves the files of DIR (the current directory) over HTTPS. Without --cert it makes a\n"
    "certificate for this computer and says how to trust it.\n"
    "\n";

static const char help_below[] =
    "\n"
    "  -h, --help                print this text\n"
    "\n"
    "SIGINT (Ctrl-C) and SIGTERM stop it: requests under way are finished. A second one ends it\n"
    "at once. Exit status: 0 stopped, 1 it could not be done, 2 the command line is wrong.\n";

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

/* What one value means for others: before it is looked at what goes together. */
static void follow(struct serve_options *o, const struct settings_given *said)
{
    if (!given(said, "client-auth") && o->host.client_ca != NULL)
        o->host.client_auth = SHS_TLS_CLIENT_REQUIRED;
    if (given(said, "watch-interval"))
        o->tls.watch = true;
    if (o->log_level == 0) /* who wants no log wants no line for each failed connection either */
        o->log_level = o->log == SERVE_LOG_NONE ? SHS_LOG_WARNING : SHS_LOG_INFO;
    if (o->port == NULL)
        o->port = o->plain ? DEFAULT_PLAIN_PORT : DEFAULT_PORT;
}

/* What the rows' `needs` cannot say, then what they say. */
static int check(const struct serve_options *o, const struct settings_given *said)
{
    const struct setting *row;
    struct setting_problem problem;

    if (o->handler != SERVE_FILES && given(said, "directory"))
        return cmd_fail(CMD_USAGE, "--handler %s serves no directory, '%s' is one too many",
                        o->handler == SERVE_ECHO ? "echo" : "whoami", o->directory);
    if (!o->plain && o->host.client_auth != SHS_TLS_CLIENT_NONE && o->host.client_ca == NULL)
        return cmd_fail(CMD_USAGE, "--client-auth needs --client-ca, the CAs by which to judge");
    if (!settings_check(&serve_settings, o, said, &row, &problem))
        return cmd_fail(CMD_USAGE, "--%s %s", row->name, problem.text);
    return CMD_OK;
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
    return CMD_OK;
}

/* The server's options, as far as they are not a row's own member. */
static void set_server(struct serve_options *o)
{
    o->opt.host = o->bind;
    o->opt.port = o->port;
    if (o->threads > 0)
        memcpy((char *)&o->opt + threadings[o->threading].bound, &o->threads, sizeof o->threads);
    if (o->max_threads > 0)
        o->opt.max_threads = o->max_threads;
    if (o->request_id)
        o->opt.request_id_field = "X-Request-Id";
    /* An upload may be as large as --max-upload says, whatever other bodies may be. */
    if (o->opt.max_body_bytes < o->site.max_upload)
        o->opt.max_body_bytes = o->site.max_upload;
}

static void print_help(const struct serve_options *defaults)
{
    fputs(help_above, stdout);
    settings_print_help(&serve_settings, defaults);
    fputs(help_below, stdout);
}

static int parse(struct serve_options *out, const struct settings_words *words)
{
    struct settings_given said = {{0}};
    int code = settings_apply_words(&serve_settings, words, out, &said);

    if (code != CMD_OK)
        return code;
    follow(out, &said);
    code = check(out, &said);
    if (code == CMD_OK)
        code = split_headers(out);
    if (code == CMD_OK)
        set_server(out);
    return code;
}

bool serve_options_parse(struct serve_options *out, int argc, char **argv, int *exit_code)
{
    struct settings_words words;

    memset(out, 0, sizeof *out);
    shs_options_init(&out->opt);
    shs_tls_host_init(&out->host);
    shs_tls_config_init(&out->tls);
    *exit_code = settings_read_words(&serve_settings, argc, argv, "directory", &words);
    if (words.help)
        print_help(out);
    else if (*exit_code == CMD_OK)
        *exit_code = parse(out, &words);
    shs__free(words.items);
    return *exit_code == CMD_OK && !words.help;
}

void serve_options_free(struct serve_options *self)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(self->fields); i++) {
        shs__free(self->fields[i]);
        self->fields[i] = NULL;
    }
}
