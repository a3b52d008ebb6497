/*
 * ctl.c - `shs ctl`: the client of the admin plane (shs/admin.h).
 */
#include "cmd/ctl.h"

#include <inttypes.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/flags.h"

#ifdef SHS_HAVE_JANSSON
#include "cmd/ctl_where.h"

#define PREFIX "/admin/v1/"
#define TARGET_MAX ((size_t)4096)
#define BODY_MAX ((size_t)4096)
#define WAIT_S 30

static const char about[] =
    "usage: shs ctl [--socket PATH] COMMAND [OPTION]...\n"
    "       shs ctl --url https://HOST:PORT --cacert FILE --cert FILE COMMAND [OPTION]...\n"
    "\n"
    "Asks the admin plane of a server that runs (shs serve --admin unix:PATH or tls:PORT), or "
    "tells\n"
    "it something.\n"
    "Exit status: 0 done, 1 refused or failed, 2 the command line is wrong, also where it is the\n"
    "server that says so.\n";

static const char below[] =
    "The NAME=VALUE of 'deny': spki=SHA256, cert=SHA256, spiffe=PREFIX, uid=N, or serial=HEX\n"
    "issuer=NAME. Without --socket and --url it is the environment's SHS_ADMIN_SOCKET.\n";

struct ctl {
    struct ctl_where where;
    const char *identity, *state, *older, *limit, *server, *within, *timeout, *grace;
    const char *time, *only;
    bool json, failed, now, dry_run, show, force;
    struct flag_list operands; /* the command first */
};

/* -- the commands ------------------------------------------------------------------------------ */

struct ctl_command {
    struct command word; /* `run` is not used: all are asked in one way */
    const char *method, *path;
    size_t max_operands;
    const char *rows; /* the member that has the rows; "": the answer is it. NULL: no table */
    const struct ctl_column *columns;
};

static const struct ctl_column connection_columns[] = {
    {"ID", "id"},
    {"SERVER", "server"},
    {"PEER", "peer"},
    {"PORT", "port"},
    {"WHO", "identity.cn|identity.spiffe_id|identity.subject|identity.uid"},
    {"TLS", "tls.version"},
    {"STATE", "state"},
    {"AGE", "age_s"},
    {"REQUESTS", "requests"},
    {"OUT", "bytes_out"},
    {"REQUEST", "request.line"},
    {NULL, NULL}};
static const struct ctl_column handshake_columns[] = {
    {"TIME", "time"},     {"SERVER", "server"},   {"PEER", "peer"},
    {"TLS", "version"},   {"SNI", "sni"},         {"FAILED", "failed"},
    {"REASON", "reason"}, {"SUBJECT", "subject"}, {NULL, NULL}};
static const struct ctl_column cert_columns[] = {
    {"KIND", "kind"},   {"DAYS", "days_left"}, {"UNTIL", "not_after"}, {"EARLY", "early"},
    {"STALE", "stale"}, {"FILE", "file"},      {"SUBJECT", "subject"}, {NULL, NULL}};
static const struct ctl_column thread_columns[] = {
    {"THREAD", "thread"},  {"NAME", "name"},
    {"STATE", "state"},    {"CPU", "cpu_s"},
    {"STUCK", "stuck"},    {"SERVER", "work.server"},
    {"AGE", "work.age_s"}, {"REQUEST", "work.request"},
    {NULL, NULL}};
static const struct ctl_column drain_columns[] = {
    {"SERVER", "@"},      {"STATE", "state"}, {"GRACE LEFT", "grace_left_s"},
    {"OPEN", "open"},     {"BUSY", "busy"},   {"SERVED", "served"},
    {"CLOSED", "closed"}, {"CUT", "cut"},     {NULL, NULL}};
static const struct ctl_column log_columns[] = {{"SERVER", "@"},
                                                {"LEVEL", "level"},
                                                {"USUAL", "usual"},
                                                {"RETURNS IN", "returns_in_s"},
                                                {NULL, NULL}};
static const struct ctl_column file_columns[] = {
    {"SERVER", "server"}, {"STATE", "state"}, {"FILE", "file"}, {"WHY", "why"}, {NULL, NULL}};
static const struct ctl_column server_columns[] = {
    {"NAME", "name"},       {"CONNECTIONS", "connections"}, {"ACCEPTED", "accepted"},
    {"REFUSED", "refused"}, {"ERRORS", "errors"},           {"TIMEOUTS", "timeouts"},
    {"THREADS", "threads"}, {"ADDRESSES", "addresses"},     {NULL, NULL}};
static const struct ctl_column route_columns[] = {
    {"METHOD", "method"}, {"PATH", "path"}, {"CHANGES", "changes"}, {"DOES", "does"}, {NULL, NULL}};

static const struct ctl_command commands[] = {
    {{"whoami", NULL, "who you are to it, and what that lets you do", NULL, true},
     "GET",
     "whoami",
     0,
     NULL,
     NULL},
    {{"servers", NULL, "what it looks at", NULL, true}, "GET", "servers", 0, "", server_columns},
    {{"routes", NULL, "what can be asked", NULL, true}, "GET", "routes", 0, "", route_columns},
    {{"status", NULL, "how the servers are doing", NULL, true}, "GET", "status", 0, NULL, NULL},
    {{"connections", NULL, "who is connected", NULL, true},
     "GET",
     "connections",
     0,
     "",
     connection_columns},
    {{"close", "ID", "end that connection after what is under way", NULL, true},
     "DELETE",
     "connections/",
     1,
     NULL,
     NULL},
    {{"handshakes", NULL, "the last of them, and why they failed", NULL, true},
     "GET",
     "handshakes",
     0,
     "",
     handshake_columns},
    {{"certs", NULL, "certificates, CAs and CRLs, and how long they last", NULL, true},
     "GET",
     "certs",
     0,
     "",
     cert_columns},
    {{"reload", NULL, "read certificates, CAs, CRLs and rules again; what cannot be used is kept",
      NULL, true},
     "POST",
     "reload",
     0,
     "servers",
     file_columns},
    {{"deny", "[NAME=VALUE]...", "keep a client out; without an operand, who is kept out", NULL,
      true},
     "POST",
     "deny",
     2,
     NULL,
     NULL},
    {{"undeny", "ID", "let one in again, by the ID that deny shows", NULL, true},
     "DELETE",
     "deny/",
     1,
     NULL,
     NULL},
    {{"drain", NULL, "the servers say that they will end, and end", NULL, true},
     "POST",
     "drain",
     0,
     "servers",
     drain_columns},
    {{"undrain", NULL, "take that back, while the grace lasts", NULL, true},
     "POST",
     "undrain",
     0,
     "servers",
     drain_columns},
    {{"log", "[LEVEL]", "the level of the log: error, warning, info, debug", NULL, true},
     "PUT",
     "log",
     1,
     "",
     log_columns},
    {{"threads", NULL, "what each thread is at", NULL, true},
     "GET",
     "threads",
     0,
     "",
     thread_columns},
    {{"keylog", NULL, "have secrets of TLS sessions written, for a time", NULL, true},
     "POST",
     "keylog",
     0,
     NULL,
     NULL},
    {{"config", NULL, "the settings in force", NULL, true}, "GET", "config", 0, NULL, NULL},
};

static const struct ctl_command *find_command(const char *name)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].word.name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

/* Only asks: a command that would change something, without what it needs for that. */
static bool is_question(const struct ctl *self, const struct ctl_command *command)
{
    if (strcmp(command->word.name, "drain") == 0 || strcmp(command->word.name, "keylog") == 0)
        return self->show;
    return strcmp(command->method, "GET") == 0 ||
           (self->operands.count == 1 &&
            (strcmp(command->word.name, "deny") == 0 || strcmp(command->word.name, "log") == 0));
}

/* -- the request ------------------------------------------------------------------------------- */

struct call {
    const struct ctl_command *command;
    const char *method;
    struct shs_buf target;
    struct {
        const char *flag, *name; /* a flag that was given, and its parameter in `target` */
    } said[8];
    size_t said_count;
    size_t body_len; /* 0: there is none */
    char body[BODY_MAX];
};

static int put_parameter(struct shs_buf *out, char between, const char *name, const char *value)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%c%s=", between, name));
    for (const unsigned char *c = (const unsigned char *)value; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '-' || *c == '.' || *c == '_';

        SHS_RETURN_IF_ERROR(shs__buf_printf(out, plain ? "%c" : "%%%02X", *c));
    }
    return SHS_OK;
}

/* Of a flag that was given, how the server calls it: see bad_request. */
static void remember(struct call *call, const char *flag, const char *name)
{
    if (call->said_count == SHS_ARRAY_LEN(call->said))
        return;
    call->said[call->said_count].flag = flag;
    call->said[call->said_count++].name = name;
}

/* What goes into the query, and with which command. */
static int put_query(const struct ctl *self, struct call *call)
{
    bool keylog = strcmp(call->command->word.name, "keylog") == 0;
    const struct {
        const char *value, *flag, *name, *command;
    } rows[] = {
        {self->server, "server", "server", "connections"},
        {self->identity, "identity", "identity", "connections"},
        {self->state, "state", "state", "connections"},
        {self->older, "older-than", "older_than", "connections"},
        {self->limit, "limit", "limit", "connections"},
        {self->failed ? "1" : NULL, "failed", "failed", "handshakes"},
        {self->within, "within", "expires_within", "certs"},
        {self->now ? "1" : NULL, "now", "now", "close"},
        {self->dry_run ? "1" : NULL, "dry-run", "dry_run", "reload"},
        {self->force ? "1" : NULL, "force", "force", "deny"},
        {self->timeout, "timeout", "timeout", "drain"},
        {self->grace, "grace", "grace", "drain"},
        {self->show ? "" : NULL, "show", NULL, keylog ? "keylog" : "drain"},
        {self->time, "for", keylog ? "for" : NULL, keylog ? "keylog" : "log"},
        {self->only, "only", NULL, "log"},
    };
    char between = '?';

    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        if (rows[i].value == NULL)
            continue;
        if (strcmp(rows[i].command, call->command->word.name) != 0)
            return cmd_fail(CMD_USAGE, "--%s goes with 'shs ctl %s'", rows[i].flag,
                            rows[i].command);
        if (rows[i].name == NULL)
            continue;
        if (put_parameter(&call->target, between, rows[i].name, rows[i].value) != SHS_OK)
            return cmd_fail(CMD_USAGE, "the value of --%s is too long", rows[i].flag);
        between = '&';
        remember(call, rows[i].flag, rows[i].name);
    }
    return CMD_OK;
}

/* NAME=VALUE of `deny`. */
static int add_member(json_t *object, const char *text)
{
    const char *equals = strchr(text, '=');
    char name[32];
    uint64_t number;
    json_t *value;

    if (equals == NULL || equals == text || equals[1] == '\0')
        return cmd_fail(CMD_USAGE, "'%s' is not NAME=VALUE, such as uid=1000", text);
    if (strncmp(text, "uid=", 4) != 0)
        value = json_string(equals + 1);
    else if (shs_str_number(shs_str_of(equals + 1), UINT32_MAX, &number))
        value = json_integer((json_int_t)number);
    else
        return cmd_fail(CMD_USAGE, "'%s': a uid is a number", text);
    if (value == NULL)
        return cmd_fail(CMD_USAGE, "'%s' is not UTF-8", text);
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    return json_object_set_new(object, name, value) == 0
               ? CMD_OK
               : cmd_fail(CMD_USAGE, "'%s': the name is not UTF-8", text);
}

static json_t *deny_body(const struct ctl *self, int *code)
{
    json_t *object = json_object();

    for (size_t i = 1; i < self->operands.count && *code == CMD_OK; i++)
        *code = add_member(object, self->operands.items[i]);
    return object;
}

static json_t *log_body(const struct ctl *self)
{
    return json_pack("{s:s, s:s*, s:s*}", "level", self->operands.items[1], "for", self->time,
                     "only", self->only);
}

static int put_body(const struct ctl *self, struct call *call)
{
    bool deny = strcmp(call->command->word.name, "deny") == 0;
    int code = CMD_OK;
    json_t *object;

    if (!deny && strcmp(call->command->word.name, "log") != 0)
        return CMD_OK;
    if (!deny && self->time != NULL)
        remember(call, "for", "for");
    object = deny ? deny_body(self, &code) : log_body(self);
    if (code == CMD_OK) {
        call->body_len = json_dumpb(object, call->body, BODY_MAX, JSON_COMPACT | JSON_ENSURE_ASCII);
        if (call->body_len == 0)
            code = cmd_fail(CMD_USAGE, "what was given is not UTF-8");
        else if (call->body_len > BODY_MAX)
            code = cmd_fail(CMD_USAGE, "what was given is too long");
    }
    json_decref(object);
    return code;
}

/* The ID of an entry: what is none would be another address. */
static int put_entry(const struct ctl *self, struct call *call)
{
    const char *id = self->operands.count < 2 ? "" : self->operands.items[1];

    if (strlen(id) != 16 || strspn(id, "0123456789abcdef") != 16)
        return cmd_fail(CMD_USAGE, "'shs ctl undeny' takes the ID of an entry: see 'shs ctl deny'");
    return shs__buf_printf(&call->target, "%s", id) == SHS_OK
               ? CMD_OK
               : cmd_fail(CMD_FAILED, "out of memory");
}

static int put_path(const struct ctl *self, struct call *call)
{
    uint64_t id;

    if (shs__buf_printf(&call->target, PREFIX "%s", call->command->path) != SHS_OK)
        return cmd_fail(CMD_FAILED, "out of memory");
    if (strcmp(call->command->word.name, "undeny") == 0)
        return put_entry(self, call);
    if (strcmp(call->command->word.name, "close") != 0)
        return CMD_OK;
    if (self->operands.count < 2 ||
        !shs_str_number(shs_str_of(self->operands.items[1]), UINT64_MAX, &id))
        return cmd_fail(CMD_USAGE, "'shs ctl close' takes the ID of a connection: see 'shs ctl "
                                   "connections'");
    return shs__buf_printf(&call->target, "%" PRIu64, id) == SHS_OK
               ? CMD_OK
               : cmd_fail(CMD_FAILED, "out of memory");
}

static int make_call(const struct ctl *self, struct call *call)
{
    bool asks = is_question(self, call->command);
    int code;

    if (self->operands.count - 1 > call->command->max_operands)
        return cmd_fail(CMD_USAGE, "'%s' is one argument too many; see 'shs ctl --help'",
                        self->operands.items[call->command->max_operands + 1]);
    if (asks && (self->time != NULL || self->only != NULL) &&
        strcmp(call->command->word.name, "log") == 0)
        return cmd_fail(CMD_USAGE, "--for and --only go with a level: shs ctl log debug --for 10m");
    if (self->show && (self->timeout != NULL || self->grace != NULL || self->time != NULL))
        return cmd_fail(CMD_USAGE,
                        "--show only looks: --timeout, --grace and --for do not go with it");
    call->method = asks ? "GET" : call->command->method;
    code = put_path(self, call);
    if (code == CMD_OK)
        code = put_query(self, call);
    if (code == CMD_OK && !asks)
        code = put_body(self, call);
    if (code == CMD_OK && shs__buf_append(&call->target, "", 1) != SHS_OK)
        code = cmd_fail(CMD_USAGE, "the request is too long");
    return code;
}

/* -- the answer -------------------------------------------------------------------------------- */

/* Rows for each file of each server. */
static json_t *files_of(const json_t *servers)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < json_array_size(servers); i++) {
        const json_t *server = json_array_get(servers, i),
                     *files = json_object_get(server, "files");

        for (size_t k = 0; k < json_array_size(files); k++) {
            json_t *row = json_copy(json_array_get(files, k));

            (void)json_object_set(row, "server", json_object_get(server, "server"));
            (void)json_array_append_new(rows, row);
        }
    }
    return rows;
}

static size_t count_columns(const struct ctl_column *columns)
{
    size_t count = 0;

    while (columns[count].title != NULL)
        count++;
    return count;
}

static void print_entry(const json_t *entry)
{
    const char *id = json_string_value(json_object_get(entry, "id"));
    const char *text = json_string_value(json_object_get(entry, "entry"));
    char line[2048];

    snprintf(line, sizeof line, "%s  %s", id == NULL ? "-" : id, text == NULL ? "-" : text);
    ctl_print_line(line);
}

/* What is in a page of its own is left out: lists of hundreds of numbers. */
static void print_status(json_t *value)
{
    (void)json_object_del(value, "history");
    (void)json_object_del(value, "certificates");
    (void)json_object_del(value, "servers");
    ctl_print_members(value);
}

static void print_answer(const struct call *call, json_t *value)
{
    const struct ctl_command *command = call->command;
    const json_t *rows = value, *denied = json_object_get(value, "denied");
    json_t *files = NULL;

    if (strcmp(command->word.name, "deny") == 0 && json_is_array(denied)) {
        for (size_t i = 0; i < json_array_size(denied); i++)
            print_entry(json_array_get(denied, i));
        return;
    }
    if (strcmp(command->word.name, "status") == 0) {
        print_status(value);
        return;
    }
    if (command->rows == NULL) {
        ctl_print_members(value);
        return;
    }
    /* What was done has its rows in a member; what is only asked for is the rows. */
    if (command->rows[0] != '\0' && strcmp(call->method, "GET") != 0)
        rows = json_object_get(value, command->rows);
    if (command->columns == file_columns)
        rows = files = files_of(rows);
    ctl_print_table(rows, command->columns, count_columns(command->columns));
    json_decref(files);
}

/* Of the admin plane, or of the library below it, which answers as RFC 9457 has it. */
static const char *error_of(const json_t *value)
{
    static const char *const names[] = {"error", "detail", "title"};
    const char *text = NULL;

    for (size_t i = 0; text == NULL && i < SHS_ARRAY_LEN(names); i++)
        text = json_string_value(json_object_get(value, names[i]));
    return text;
}

/* Where the server says what to ask it for, who is at a terminal reads what to type: "GET servers"
   is 'shs ctl servers'. */
static const char *as_typed(const char *error, char *buf, size_t cap)
{
    struct shs_buf out = {.data = buf, .cap = cap, .ceiling = cap};
    const char *at = error, *get;
    char name[32];

    while ((get = strstr(at, "GET ")) != NULL) {
        size_t len = strspn(get + 4, "abcdefghijklmnopqrstuvwxyz");
        bool known;

        snprintf(name, sizeof name, "%.*s", (int)len, get + 4);
        known = (get == error || get[-1] == ' ') && find_command(name) != NULL;
        if (shs__buf_printf(&out, known ? "%.*s'shs ctl %s'" : "%.*sGET %s", (int)(get - at), at,
                            name) != SHS_OK)
            return error;
        at = get + 4 + strlen(name);
    }
    return shs__buf_printf(&out, "%s", at) == SHS_OK && shs__buf_append(&out, "", 1) == SHS_OK
               ? buf
               : error;
}

/* The server names a parameter; who has typed a flag is told of the flag. With 400 and 422 the
   command line is wrong: only the server knows all that a value may be. */
static int bad_request(const struct call *call, int status, const char *error)
{
    static const char of_library[] = "The parameter ";
    const int code = status == 400 || status == 422 ? CMD_USAGE : CMD_FAILED;
    const char *rest = error;

    if (strncmp(rest, of_library, sizeof of_library - 1) == 0)
        rest += sizeof of_library - 1;
    for (size_t i = 0; i < call->said_count; i++) {
        size_t len = strlen(call->said[i].name);

        if (strncmp(rest, call->said[i].name, len) == 0 && rest[len] == ' ')
            return cmd_fail(code, "--%s%s", call->said[i].flag, rest + len);
    }
    return cmd_fail(code, "%s", error);
}

static int refused(const struct call *call, const struct shs_test_answer *answer,
                   const json_t *value)
{
    const char *error = error_of(value);
    const char *need = json_string_value(json_object_get(value, "need"));
    const char *have = json_string_value(json_object_get(value, "have"));
    const char *server = json_string_value(json_object_get(value, "server"));
    const char *later = shs_test_answer_header(answer, "Retry-After");
    const char *detail = json_string_value(json_object_get(value, "detail"));
    char said[1024], more[64], whole[800], typed[800];

    if (error == NULL)
        return cmd_fail(CMD_FAILED, "the server answered with HTTP %d", answer->status);
    if (detail != NULL && strcmp(detail, error) != 0) {
        snprintf(whole, sizeof whole, "%s: %s", error, detail);
        error = whole;
    }
    error = as_typed(error, typed, sizeof typed);
    if (answer->status == 403)
        return cmd_fail(CMD_FAILED, "%s: that needs %s%s, and you have %s%s", error,
                        need == NULL ? "a role that no rule gives" : "the role ",
                        need == NULL ? "" : need, have == NULL ? "no role" : "the role ",
                        have == NULL ? "; see 'shs ctl whoami'" : have);
    if (later != NULL) {
        snprintf(said, sizeof said, "%s", error);
        snprintf(more, sizeof more, "try again in %s s", later);
        shs__say_more(said, sizeof said, more);
        return cmd_fail(CMD_FAILED, "%s", said);
    }
    if (server != NULL) {
        snprintf(said, sizeof said, "%s: %s", server, error);
        shs__say_more(said, sizeof said, "nothing was changed");
        return cmd_fail(CMD_FAILED, "%s", said);
    }
    return bad_request(call, answer->status, error);
}

static bool has_objects_only(const json_t *rows)
{
    const char *key;
    json_t *row;

    for (size_t i = 0; i < json_array_size(rows); i++) {
        if (!json_is_object(json_array_get(rows, i)))
            return false;
    }
    json_object_foreach((json_t *)rows, key, row)
    {
        if (!json_is_object(row))
            return false;
    }
    return true;
}

/* Is it what that command is answered with? Something else that speaks JSON may have the port. */
static bool fits(const struct call *call, const json_t *value)
{
    const struct ctl_command *command = call->command;
    const json_t *rows = value;

    if (command->rows == NULL)
        return json_is_object(value) && json_object_size(value) > 0;
    if (command->rows[0] != '\0' && strcmp(call->method, "GET") != 0)
        rows = json_object_get(value, command->rows);
    return (json_is_array(rows) || json_is_object(rows)) && has_objects_only(rows);
}

static int show(const struct ctl *self, const struct call *call,
                const struct shs_test_answer *answer)
{
    const char *body = shs__buf_head(&answer->body);
    json_error_t wrong;
    json_t *value;
    int code = CMD_OK;

    if (!answer->complete)
        return cmd_fail(CMD_FAILED, "the answer broke off: %s", answer->error.text);
    value = json_loadb(body, answer->body.len, JSON_DECODE_ANY, &wrong);
    if (value == NULL)
        return cmd_fail(CMD_FAILED,
                        "HTTP %d, and no JSON: what serves %s does not look like an admin plane",
                        answer->status, self->where.text);
    if (self->json) {
        fwrite(body, 1, answer->body.len, stdout);
        if (answer->body.len == 0 || body[answer->body.len - 1] != '\n')
            putchar('\n');
    }
    if (answer->status >= 300)
        code = refused(call, answer, value);
    else if (!fits(call, value))
        code = cmd_fail(
            CMD_FAILED,
            "HTTP %d, and JSON that is not an answer to '%s': what serves %s does not look "
            "like an admin plane",
            answer->status, call->command->word.name, self->where.text);
    else if (!self->json)
        print_answer(call, value);
    json_decref(value);
    return code;
}

static int ask(const struct ctl *self, const struct call *call)
{
    struct shs_test_answer *answer = NULL;
    int code = ctl_where_ask(&self->where, call->method, shs__buf_head(&call->target), call->body,
                             call->body_len, &answer);

    if (code == CMD_OK)
        code = show(self, call, answer);
    shs_test_answer_free(answer);
    return code;
}

static int run(struct ctl *self)
{
    struct call call = {.body_len = 0};
    int code;

    if (self->operands.count == 0)
        return cmd_fail(CMD_USAGE, "a command is missing, such as: shs ctl connections; see 'shs "
                                   "ctl --help'");
    call.command = find_command(self->operands.items[0]);
    if (call.command == NULL)
        return cmd_fail(CMD_USAGE, "unknown command '%s'; see 'shs ctl --help'",
                        self->operands.items[0]);
    shs__buf_init(&call.target, TARGET_MAX);
    code = make_call(self, &call);
    if (code == CMD_OK)
        code = ctl_where_check(&self->where);
    if (code == CMD_OK)
        code = ask(self, &call);
    shs__buf_free(&call.target);
    return code;
}

int cmd_ctl(int argc, char **argv)
{
    static struct ctl self = {.where.wait_s = WAIT_S};
    const struct flag flags[] = {
        {"socket", FLAG_TEXT, &self.where.socket, "PATH", "the Unix socket of the admin plane"},
        {"url", FLAG_TEXT, &self.where.url, "URL", "its address over TLS, https://HOST:PORT"},
        {"cert", FLAG_TEXT, &self.where.cert, "FILE", "PEM: your certificate for it"},
        {"key", FLAG_TEXT, &self.where.key, "FILE", "its key, when it is not in the same file"},
        {"cacert", FLAG_TEXT, &self.where.cacert, "FILE",
         "PEM: the CA of the server's certificate"},
        {"json", FLAG_SET, &self.json, NULL, "the answer as it came, for programs"},
        {"wait", FLAG_SPAN, &self.where.wait_s, "TIME", "for an answer; 30s"},
        {"server", FLAG_TEXT, &self.server, "NAME", "connections: of that server"},
        {"identity", FLAG_TEXT, &self.identity, "NAME",
         "connections: of that client: a CN, a SPIFFE ID, uid=N"},
        {"state", FLAG_TEXT, &self.state, "STATE",
         "connections: handshake, waiting, idle or running"},
        {"older-than", FLAG_TEXT, &self.older, "TIME", "connections: open for longer than that"},
        {"limit", FLAG_TEXT, &self.limit, "N", "connections: at most so many"},
        {"now", FLAG_SET, &self.now, NULL, "close: in the middle of a request"},
        {"failed", FLAG_SET, &self.failed, NULL, "handshakes: that failed"},
        {"within", FLAG_TEXT, &self.within, "TIME", "certs: that expire within this time, 30d"},
        {"dry-run", FLAG_SET, &self.dry_run, NULL, "reload: only look at the files"},
        {"timeout", FLAG_TEXT, &self.timeout, "TIME",
         "drain: then requests that are under way are cut"},
        {"grace", FLAG_TEXT, &self.grace, "TIME",
         "drain: connections are taken for this long, a part\nof --timeout"},
        {"force", FLAG_SET, &self.force, NULL, "deny: even if it keeps you out"},
        {"show", FLAG_SET, &self.show, NULL, "drain, keylog: only show the state"},
        {"for", FLAG_TEXT, &self.time, "TIME",
         "log: then the level returns, 10m;\nkeylog: for this long, 60s"},
        {"only", FLAG_TEXT, &self.only, "NAME", "log: of that server"},
    };
    const struct command_page page = {
        .command = "ctl",
        .about = about,
        .flags = flags,
        .flag_count = SHS_ARRAY_LEN(flags),
        .words = &commands[0].word,
        .word_count = SHS_ARRAY_LEN(commands),
        .word_size = sizeof commands[0],
        .below = below,
    };
    int code;

    if (!flags_parse_page(argc, argv, &page, &self.operands, 4, NULL, &code))
        return code;
    return run(&self);
}

#else

int cmd_ctl(int argc, char **argv)
{
    SHS_UNUSED(argc);
    SHS_UNUSED(argv);
    return cmd_fail(CMD_FAILED, "this build has no JSON: build it with libjansson-dev");
}

#endif
