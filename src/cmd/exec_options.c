#include "cmd/exec_options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <shs/echo.h>
#include <shs/whoami.h>

#include "cmd/cmd.h"
#include "cmd/flags.h"

#define GRACE_MS 5000
#define DRAIN_MS 2000

static const char about[] =
    "usage: shs exec [OPTION]... [--] CMD [ARG]...\n"
    "\n"
    "Starts an HTTPS server on a free port of 127.0.0.1 with a throw-away certificate authority,\n"
    "runs CMD with all that it needs to get there in its environment, and ends with CMD's status.\n"
    "Nothing is left behind: no file, no process, no port; after a SIGKILL the next shs exec\n"
    "clears the files away. A single argument with a space in it is a line for the shell:\n"
    "\n"
    "    shs exec 'curl -fsS \"$SHS_URL/\"'\n"
    "    shs exec --mtls -- pytest tests/\n";

static const char below[] =
    "Set for CMD:\n"
    "  SHS_URL SHS_PORT          https://127.0.0.1:PORT, and its port\n"
    "  SHS_CA                    a file: the authority (PEM)\n"
    "  SHS_CERT SHS_KEY          files: a client certificate of that authority, and its key (PEM)\n"
    "  SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE PIP_CERT NODE_EXTRA_CA_CERTS "
    "GIT_SSL_CAINFO\n"
    "  AWS_CA_BUNDLE GRPC_DEFAULT_SSL_ROOTS_FILE_PATH DENO_CERT CARGO_HTTP_CAINFO WGETRC\n"
    "  WGET2RC PHP_INI_SCAN_DIR\n"
    "  JAVA_TOOL_OPTIONS ...     so that what CMD runs trusts the authority without being told\n"
    "  NO_PROXY                  127.0.0.1 and localhost are asked directly\n"
    "\n"
    "SIGINT, SIGTERM, SIGHUP and SIGQUIT go to CMD. Exit status: CMD's; 128 and the number of the\n"
    "signal that ended it; 124 --timeout; 125 there is no server; 126 CMD cannot be started; 127\n"
    "there is no CMD; 2 the command line is wrong.\n";

/* "5", "0.25", ".5": digits, as numbers elsewhere, and not all that strtod knows: "0x10", "1e3". */
static int parse_seconds(const char *flag, const char *text, unsigned *ms)
{
    char *end = NULL;
    bool digits = text[0] != '\0' && text[strspn(text, "0123456789.")] == '\0';
    double seconds = strtod(text, &end);

    if (!digits || end == text || *end != '\0' || seconds > 86400)
        return cmd_fail(CMD_USAGE, "--%s '%s' is not a number of seconds from 0 to 86400", flag,
                        text);
    *ms = (unsigned)(seconds * 1000);
    if (*ms == 0 && seconds > 0) /* little is not nothing, which may mean no limit */
        *ms = 1;
    return CMD_OK;
}

static int parse_handler(struct exec_options *self, const char *name)
{
    if (strcmp(name, "echo") == 0)
        self->handler = shs_echo_handler();
    else if (strcmp(name, "whoami") == 0)
        self->handler = shs_whoami_handler();
    else if (strcmp(name, "status") == 0)
        self->handler = shs_status_handler();
    else if (strcmp(name, "delay") == 0)
        self->handler = shs_delay_handler();
    else if (strcmp(name, "files") == 0)
        self->handler = NULL;
    else
        return cmd_fail(CMD_USAGE,
                        "--handler '%s' is not one of echo, whoami, status, delay and files", name);
    return CMD_OK;
}

static int parse_mtls(struct exec_options *self, const char *mode)
{
    if (mode == NULL || strcmp(mode, "required") == 0)
        self->client_auth = SHS_TLS_CLIENT_REQUIRED;
    else if (strcmp(mode, "optional") == 0)
        self->client_auth = SHS_TLS_CLIENT_OPTIONAL;
    else if (strcmp(mode, "explain") == 0)
        self->client_auth = SHS_TLS_CLIENT_EXPLAIN;
    else
        return cmd_fail(CMD_USAGE, "--mtls '%s' is not one of required, optional and explain",
                        mode);
    return CMD_OK;
}

static int add_name(struct exec_options *self, const char *name)
{
    if (self->name_count == EXEC_NAMES_MAX + 3)
        return cmd_fail(CMD_USAGE, "more than %d --name", EXEC_NAMES_MAX);
    self->names[self->name_count++] = name;
    return CMD_OK;
}

static bool parse_count(const char *text, unsigned *out)
{
    char *end = NULL;
    unsigned long n = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n > 1000000000)
        return false;
    *out = (unsigned)n;
    return true;
}

/* "path=/a". */
static int parse_fault_key(struct shs_test_rule *rule, const char *word)
{
    const char *value = strchr(word, '=') == NULL ? "" : strchr(word, '=') + 1;
    const struct {
        const char *key;
        const char **text;
        unsigned *count;
    } keys[] = {
        {"path=", &rule->path, NULL},   {"method=", &rule->method, NULL},
        {"sni=", &rule->sni, NULL},     {"header=", &rule->header, NULL},
        {"after=", NULL, &rule->after}, {"times=", NULL, &rule->times},
        {"ms=", NULL, &rule->ms},
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(keys); i++) {
        if (strncmp(word, keys[i].key, strlen(keys[i].key)) != 0)
            continue;
        if (keys[i].text != NULL)
            *keys[i].text = value;
        else if (!parse_count(value, keys[i].count))
            return cmd_fail(CMD_USAGE, "--fault: '%s' is not a number", word);
        return CMD_OK;
    }
    return cmd_fail(CMD_USAGE,
                    "--fault: '%s' is not one of path=, method=, sni=, header=, after=, "
                    "times= and ms=",
                    word);
}

static bool is_of_certificate(const char *text)
{
    const char *word;

    for (size_t i = 0; (word = shs_cert_fault(i, NULL)) != NULL; i++) {
        if (strcmp(word, text) == 0)
            return true;
    }
    return false;
}

/* The words of argv are cut in place. */
static int parse_fault(struct exec_options *self, char *text)
{
    struct shs_test_rule *rule = &self->rules[self->rule_count];
    int code = CMD_OK;

    if (is_of_certificate(text)) {
        if (self->cert_fault != NULL)
            return cmd_fail(CMD_USAGE, "a certificate has one --fault: it is %s, or %s",
                            self->cert_fault, text);
        self->cert_fault = text;
        return CMD_OK;
    }
    if (self->rule_count == EXEC_RULES_MAX)
        return cmd_fail(CMD_USAGE, "more than %d --fault", EXEC_RULES_MAX);
    shs_test_rule_init(rule);
    rule->fault = text;
    for (char *comma = strchr(text, ','); comma != NULL && code == CMD_OK;) {
        char *word = comma + 1;

        *comma = '\0';
        comma = strchr(word, ',');
        if (comma != NULL)
            *comma = '\0';
        code = parse_fault_key(rule, word);
        if (comma != NULL)
            *comma = ','; /* where the next word is looked for */
    }
    self->rule_count++;
    return code;
}

/* -- the options as flags take them ------------------------------------------------------------ */

static int take_handler(void *ctx, char *value)
{
    return parse_handler(ctx, value);
}

static int take_dir(void *ctx, char *value)
{
    struct exec_options *self = ctx;

    self->directory = value;
    self->handler = NULL;
    return CMD_OK;
}

static int take_mtls(void *ctx, char *value)
{
    return parse_mtls(ctx, value);
}

static int take_name(void *ctx, char *value)
{
    return add_name(ctx, value);
}

static int take_fault(void *ctx, char *value)
{
    return parse_fault(ctx, value);
}

static int take_timeout(void *ctx, char *value)
{
    return parse_seconds("timeout", value, &((struct exec_options *)ctx)->timeout_ms);
}

static int take_grace(void *ctx, char *value)
{
    return parse_seconds("grace", value, &((struct exec_options *)ctx)->grace_ms);
}

static int take_drain(void *ctx, char *value)
{
    return parse_seconds("drain", value, &((struct exec_options *)ctx)->drain_ms);
}

/* A line of blanks is a variable that was empty: nothing would be run, and all be well. */
static bool has_no_command(const struct exec_options *self)
{
    const char *line = self->command == self->shell ? self->shell[2] : self->command[0];

    return line == NULL || line[strspn(line, " \t\n")] == '\0';
}

static int check(const struct exec_options *self)
{
    if (self->directory != NULL && self->handler != NULL)
        return cmd_fail(CMD_USAGE, "--dir goes with --handler files only");
    if (self->plain && self->client_auth != SHS_TLS_CLIENT_NONE)
        return cmd_fail(CMD_USAGE, "--mtls needs TLS, and --plain is without");
    if (has_no_command(self))
        return cmd_fail(CMD_USAGE, "the command to run is missing; try 'shs exec --help'");
    return CMD_OK;
}

static void print_cert_faults(FILE *to)
{
    const char *word;
    size_t column = 0;

    fputs("\nFaults of the server's certificate (shs cert new --help):", to);
    for (size_t i = 0; (word = shs_cert_fault(i, NULL)) != NULL; i++) {
        if (strcmp(word, "server-usage") == 0)
            continue; /* of clients */
        column = column == 0 || column + strlen(word) > 90 ? 0 : column;
        column += (size_t)fprintf(to, "%s%s", column == 0 ? "\n  " : " ", word);
    }
    fputc('\n', to);
}

static void print_faults(FILE *to)
{
    const char *name, *text;

    print_cert_faults(to);
    fputs("\nFaults: -hello and -flight for connections, the others for requests.\n", to);
    for (size_t i = 0; (name = shs_test_fault(i, &text)) != NULL; i++)
        fprintf(to, "  %-19s %s\n", name, text);
}

/* One argument with a blank in it is a line for the shell, unless there is a file of that name. */
static void find_command(struct exec_options *self, char **words)
{
    static char shell[] = "/bin/sh", flag[] = "-c";

    self->command = words;
    if (words[0] == NULL || words[1] != NULL || strpbrk(words[0], " \t\n") == NULL ||
        (words[0][0] == '/' && access(words[0], F_OK) == 0))
        return;
    self->shell[0] = shell;
    self->shell[1] = flag;
    self->shell[2] = words[0];
    self->command = self->shell;
}

static void init(struct exec_options *self)
{
    memset(self, 0, sizeof *self);
    self->handler = shs_echo_handler();
    self->grace_ms = GRACE_MS;
    self->drain_ms = DRAIN_MS;
    self->names[0] = "localhost";
    self->names[1] = "127.0.0.1";
    self->names[2] = "::1";
    self->name_count = 3;
}

bool exec_options_parse(struct exec_options *self, int argc, char **argv, int *code)
{
    struct flag_own handler = {take_handler, self, false}, dir = {take_dir, self, false},
                    mtls = {take_mtls, self, true}, fault = {take_fault, self, false},
                    name = {take_name, self, false}, timeout = {take_timeout, self, false},
                    grace = {take_grace, self, false}, drain = {take_drain, self, false};
    const struct flag flags[] = {
        {"handler", FLAG_OWN, &handler, "NAME",
         "echo (default): answers with the request; whoami: with the\n"
         "connection; status: /status/418 has that status; delay: /delay/250\n"
         "is answered after as many milliseconds; files"},
        {"dir", FLAG_OWN, &dir, "DIR", "the files of DIR (--handler files: the current directory)"},
        {"mtls", FLAG_OWN, &mtls, "MODE",
         "clients need a certificate: required (default), optional, or\n"
         "explain: a client without one gets 403 and JSON that says why"},
        {"fault", FLAG_OWN, &fault, "FAULT[,KEY=VALUE]...",
         "what goes wrong (below), and for whom: path=/a or path=/a*,\n"
         "method=GET, sni=NAME, header=NAME or header=NAME:VALUE, after=N\n"
         "(not for the first N), times=N (for so many), ms=N (how long it\n"
         "takes). May be repeated; the first that is for a request counts"},
        {"name", FLAG_OWN, &name, "NAME",
         "another name or address in the certificate; may be repeated"},
        {"plain", FLAG_SET, &self->plain, NULL, "plain HTTP, without TLS"},
        {"timeout", FLAG_OWN, &timeout, "SECONDS",
         "CMD is ended after this, and the status is 124 (0: never)"},
        {"grace", FLAG_OWN, &grace, "SECONDS", "for CMD to end after a signal; then SIGKILL (5)"},
        {"drain", FLAG_OWN, &drain, "SECONDS", "for requests under way when CMD has ended (2)"},
    };
    const struct command_page page = {
        .command = "exec",
        .about = about,
        .flags = flags,
        .flag_count = SHS_ARRAY_LEN(flags),
        .below = below,
        .more = print_faults,
    };
    int rest;

    init(self);
    /* What stands behind CMD is CMD's. */
    if (!flags_parse_page(argc, argv, &page, NULL, 0, &rest, code))
        return false;
    find_command(self, argv + rest);
    *code = check(self);
    return *code == CMD_OK;
}
