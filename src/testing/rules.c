#include "testing/rules.h"

#include <stdio.h>
#include <stdlib.h>

#include <shs/text.h>

#include "base/chars.h"
#include "testing/answer.h"

#define RULE_MAX ((size_t)64 << 20)

void shs_test_rule_init_sized(struct shs_test_rule *rule, size_t size)
{
    struct shs_test_rule defaults = {.size = size};

    shs__sized_init(rule, size, &defaults, sizeof defaults);
}

void shs__test_rules_init(struct shs_test_rules *self, bool plain)
{
    memset(self, 0, sizeof *self);
    self->plain = plain;
    pthread_mutex_init(&self->lock, NULL);
    self->last = &self->first;
}

void shs__test_rules_free(struct shs_test_rules *self)
{
    shs__test_rules_clear(self);
    pthread_mutex_destroy(&self->lock);
}

/* -- making one -------------------------------------------------------------------------------- */

const char *shs_test_fault(size_t i, const char **text)
{
    for (size_t k = 0; k <= i; k++) {
        if (shs__test_faults[k].name == NULL)
            return NULL;
    }
    if (text != NULL)
        *text = shs__test_faults[i].text;
    return shs__test_faults[i].name;
}

static const struct shs_test_fault *find_fault(const char *name)
{
    size_t len = strcspn(name, ":");

    for (const struct shs_test_fault *f = shs__test_faults; f->name != NULL; f++) {
        if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
            return f;
    }
    return NULL;
}

/* Beside the rule, in its memory; moves *room on. */
static const char *put_text(char **room, const char *text)
{
    char *copy = *room;
    size_t len;

    if (text == NULL)
        return NULL;
    len = strlen(text) + 1;
    memcpy(copy, text, len);
    *room += len;
    return copy;
}

static size_t length_of(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 1;
}

static struct shs_test_kept_rule *copy_rule(const struct shs_test_rule *rule)
{
    size_t size = length_of(rule->method) + length_of(rule->path) + length_of(rule->sni) +
                  length_of(rule->header) + length_of(rule->fault) + rule->body_len;
    struct shs_test_kept_rule *kept;
    const char **fields;
    size_t count = 0;
    char *room;

    while (rule->fields != NULL && rule->fields[count] != NULL)
        size += length_of(rule->fields[count++]);
    kept = shs__calloc(1, sizeof *kept + (count + 2) * sizeof *fields + size);
    if (kept == NULL)
        return NULL;
    fields = (const char **)(void *)(kept + 1);
    room = (char *)(fields + count + 2);
    kept->rule = *rule;
    kept->rule.method = put_text(&room, rule->method);
    kept->rule.path = put_text(&room, rule->path);
    kept->rule.sni = put_text(&room, rule->sni);
    kept->rule.header = put_text(&room, rule->header);
    kept->rule.fault = put_text(&room, rule->fault);
    for (size_t i = 0; i < count; i++)
        fields[i] = put_text(&room, rule->fields[i]);
    kept->rule.fields = rule->fields == NULL ? NULL : fields;
    if (rule->body != NULL)
        kept->rule.body = memcpy(room, rule->body, rule->body_len);
    return kept;
}

/* Those of which there is nothing without TLS. */
static bool needs_tls(const struct shs_test_fault *fault)
{
    static const char *const names[] = {
        "alert-hello", "plain-hello",    "garbage-hello", "stall-flight", "cut-flight",
        "rst-flight",  "corrupt-flight", "alert-body",    "close-cut",    "corrupt"};

    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++) {
        if (strcmp(fault->name, names[i]) == 0)
            return true;
    }
    return false;
}

/* What others call it, and what it is called here. NULL: nothing comes to mind. */
static const char *other_word(const char *fault)
{
    static const char *const words[][2] = {
        {"reset", "rst"},
        {"timeout", "stall"},
        {"hang", "stall"},
        {"slow", "drip"},
        {"close", "cut"},
        {"empty", "end"},
        {"trunc", "cut-body"},
        {"short", "cut-body"},
        {"alert", "alert-hello"},
        {"refuse", "rst-hello"},
        {"wrong-host", "wrong-name"},
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(words); i++) {
        if (strcasestr(fault, words[i][0]) != NULL)
            return words[i][1];
    }
    return NULL;
}

static int refuse_fault(const char *fault, struct shs_error *err)
{
    const char *word = other_word(fault);

    return shs_error_set(
        err, SHS_USAGE, 0,
        "'%.60s' is not a fault.%s%s%s shs_test_fault and 'shs exec --help' list them.", fault,
        word == NULL ? "" : " Is it '", word == NULL ? "" : word, word == NULL ? "" : "'?");
}

static int check_fault(const struct shs_test_rule *rule, bool plain, struct shs_error *err)
{
    const struct shs_test_fault *fault = find_fault(rule->fault);
    const char *argument = strchr(rule->fault, ':');

    if (fault == NULL || (argument != NULL && strcmp(fault->name, "alert-hello") != 0))
        return refuse_fault(rule->fault, err);
    if (argument != NULL && !shs__test_is_alert(argument + 1))
        return shs_error_set(err, SHS_USAGE, 0,
                             "'%.60s' is not an alert: give its name, such as unknown_ca, or its "
                             "number, 0 to 255.",
                             argument + 1);
    if (fault->connect != NULL &&
        (rule->method != NULL || rule->path != NULL || rule->header != NULL))
        return shs_error_set(err, SHS_USAGE, 0,
                             "'%s' is for a connection, which has no path, method or header yet.",
                             rule->fault);
    if (plain && needs_tls(fault))
        return shs_error_set(err, SHS_USAGE, 0, "'%s' needs TLS, and this server is plain.",
                             rule->fault);
    return SHS_OK;
}

/* A rule that can be for nobody is a mistake: the test would pass without its fault. */
static int refuse_path(const char *path, const char *at, struct shs_error *err)
{
    if (*at == '?')
        return shs_error_set(err, SHS_USAGE, 0,
                             "The path '%.60s' has a query, which no path has: leave it out, a "
                             "rule is for all queries.",
                             path);
    return shs_error_set(err, SHS_USAGE, 0,
                         "The path '%.60s' has a character that no request's path has: write it "
                         "as clients send it, such as %%%02X.",
                         path, (unsigned)(unsigned char)*at);
}

static int check_path(const char *path, struct shs_error *err)
{
    if (path[0] != '/' && strcmp(path, "*") != 0)
        return shs_error_set(err, SHS_USAGE, 0,
                             "No path is '%.60s': it begins with '/', or is '*' for all.", path);
    for (const char *c = path; *c != '\0'; c++) {
        if (!shs__char_is(*c, SHS_CHAR_PATH) && *c != '%')
            return refuse_path(path, c, err);
    }
    return SHS_OK;
}

static int check_header(const char *header, struct shs_error *err)
{
    size_t name = strcspn(header, ":"), len = strlen(header);

    if (!shs_is_token((struct shs_str){header, name}))
        return shs_error_set(err, SHS_USAGE, 0,
                             "'%.60s' names no header field: give \"Name\" or \"Name: value\".",
                             header);
    if (shs__is_blank(header[len - 1]) || !shs_is_field_value(shs__str(header + name)))
        return shs_error_set(err, SHS_USAGE, 0,
                             "No field has the value in '%.60s': it has no line end, and no "
                             "space at its end.",
                             header);
    return SHS_OK;
}

static int check_whom(const struct shs_test_rule *rule, bool plain, struct shs_error *err)
{
    int rc = rule->path == NULL ? SHS_OK : check_path(rule->path, err);

    if (rc == SHS_OK && rule->header != NULL)
        rc = check_header(rule->header, err);
    if (rc != SHS_OK)
        return rc;
    if (rule->method != NULL && !shs_is_token(shs__str(rule->method)))
        return shs_error_set(err, SHS_USAGE, 0,
                             "'%.60s' is not a method: give \"GET\", or the like.", rule->method);
    if (rule->sni != NULL && strchr(rule->sni + (strncmp(rule->sni, "*.", 2) == 0), '*') != NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "No client asks for the name '%.60s': give \"a.test\", or \"*.test\" "
                             "for all below it.",
                             rule->sni);
    if (plain && rule->sni != NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "A rule is for the name '%.60s', and this server is plain: nobody "
                             "asks it for a name.",
                             rule->sni);
    return SHS_OK;
}

/* The server frames its answers itself: what contradicts it would be 500, each time. */
static int check_framing(const struct shs_test_rule *rule, const char *name, const char *value,
                         struct shs_error *err)
{
    bool bodiless = rule->status == 204 || rule->status == 304 ||
                    (rule->method != NULL && strcmp(rule->method, "HEAD") == 0);
    char right[24];

    if (shs__str_eq_nocase(shs__str(name), SHS_STR("Transfer-Encoding")))
        return shs_error_set(err, SHS_USAGE, 0,
                             "A rule cannot set Transfer-Encoding: the server sends the body's "
                             "length. The fault \"length-and-chunked\" sends both.");
    if (!shs__str_eq_nocase(shs__str(name), SHS_STR("Content-Length")) || bodiless)
        return SHS_OK;
    snprintf(right, sizeof right, "%zu", rule->body_len);
    if (strcmp(value, right) == 0)
        return SHS_OK;
    return shs_error_set(err, SHS_USAGE, 0,
                         "A rule has \"Content-Length: %.20s\" and a body of %s bytes: leave the "
                         "field out, or take the fault \"length-long\" or \"length-short\".",
                         value, right);
}

/* A fault may have wrong fields; an answer would be 500 instead, each time. */
static int check_fields(const struct shs_test_rule *rule, struct shs_error *err)
{
    int rc = shs__test_list_is_paired(rule->fields, "a rule", err);

    for (size_t i = 0;
         rc == SHS_OK && rule->fault == NULL && rule->fields != NULL && rule->fields[i] != NULL;
         i += 2) {
        if (!shs_is_token(shs__str(rule->fields[i])) ||
            !shs_is_field_value(shs__str(rule->fields[i + 1])))
            rc = shs_error_set(err, SHS_USAGE, 0, "'%.60s: %.60s' is not a header field.",
                               rule->fields[i], rule->fields[i + 1]);
        else
            rc = check_framing(rule, rule->fields[i], rule->fields[i + 1], err);
    }
    return rc;
}

static int check_size(const struct shs_test_rule *rule, struct shs_error *err)
{
    size_t size = length_of(rule->method) + length_of(rule->path) + length_of(rule->sni) +
                  length_of(rule->header) + length_of(rule->fault);

    for (size_t i = 0; rule->fields != NULL && rule->fields[i] != NULL; i++)
        size += length_of(rule->fields[i]);
    if (size <= RULE_MAX && rule->body_len <= RULE_MAX - size)
        return SHS_OK;
    return shs_error_set(err, SHS_LIMIT, 0,
                         "A rule has at most %zu MiB, its body and all: a handler can answer with "
                         "more.",
                         RULE_MAX >> 20);
}

static int check(const struct shs_test_rule *rule, bool plain, struct shs_error *err)
{
    int rc = rule->fault == NULL ? SHS_OK : check_fault(rule, plain, err);

    if (rc == SHS_OK)
        rc = check_whom(rule, plain, err);
    if (rc == SHS_OK)
        rc = check_fields(rule, err);
    if (rc == SHS_OK)
        rc = check_size(rule, err);
    if (rc != SHS_OK)
        return rc;
    if (rule->status != 0 && (rule->status < 200 || rule->status > 999))
        return shs_error_set(err, SHS_USAGE, 0, "%d is not a status from 200 to 999.",
                             rule->status);
    if (rule->body == NULL && rule->body_len > 0)
        return shs_error_set(err, SHS_USAGE, 0, "A rule has the length of a body, and no body.");
    return SHS_OK;
}

int shs__test_rules_add(struct shs_test_rules *self, const struct shs_test_rule *rule,
                        struct shs_error *err)
{
    struct shs_test_kept_rule *kept;
    struct shs_test_rule whole;
    int rc;

    shs_test_rule_init(&whole);
    rc = shs__sized_copy(&whole, sizeof whole, rule, "shs_test_rule", err);
    if (rc == SHS_OK)
        rc = check(&whole, self->plain, err);
    if (rc != SHS_OK)
        return rc;
    kept = copy_rule(&whole);
    if (kept == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a rule.");
    kept->references = 1;
    kept->fault = kept->rule.fault == NULL ? NULL : find_fault(kept->rule.fault);
    kept->argument = "";
    if (kept->rule.fault != NULL && strchr(kept->rule.fault, ':') != NULL)
        kept->argument = strchr(kept->rule.fault, ':') + 1;
    if (kept->fault != NULL && kept->rule.ms == 0)
        kept->rule.ms = kept->fault->ms;
    pthread_mutex_lock(&self->lock);
    if (self->count == SHS_TEST_RULES_MAX) {
        rc = shs_error_set(err, SHS_LIMIT, 0, "A test server has at most %u rules.",
                           SHS_TEST_RULES_MAX);
        shs__free(kept);
    } else {
        *self->last = kept;
        self->last = &kept->next;
        self->count++;
        self->for_connections =
            self->for_connections || (kept->fault != NULL && kept->fault->connect != NULL);
    }
    pthread_mutex_unlock(&self->lock);
    return rc;
}

/* Under the lock. */
static void put(struct shs_test_kept_rule *rule)
{
    if (--rule->references == 0)
        shs__free(rule);
}

void shs__test_rules_clear(struct shs_test_rules *self)
{
    pthread_mutex_lock(&self->lock);
    while (self->first != NULL) {
        struct shs_test_kept_rule *rule = self->first;

        self->first = rule->next;
        put(rule);
    }
    self->last = &self->first;
    self->count = 0;
    self->for_connections = false;
    pthread_mutex_unlock(&self->lock);
}

/* -- whom it is for ---------------------------------------------------------------------------- */

static bool path_is(const char *wanted, struct shs_str path)
{
    size_t len = strlen(wanted);

    if (len > 0 && wanted[len - 1] == '*')
        return path.len >= len - 1 && memcmp(path.ptr, wanted, len - 1) == 0;
    return shs__str_eq(path, shs__str(wanted));
}

static bool name_is(const char *wanted, const char *sni)
{
    struct shs_str name = shs__str(sni), w = shs__str(wanted);

    if (strncmp(wanted, "*.", 2) != 0)
        return shs__str_eq_nocase(name, w);
    w.ptr++;
    w.len--;
    if (name.len <= w.len)
        return false;
    name.ptr += name.len - w.len;
    name.len = w.len;
    return shs__str_eq_nocase(name, w);
}

/* "Name", or "Name: value". */
static bool header_is(const char *wanted, const struct shs_request *req)
{
    size_t len = strcspn(wanted, ":");
    const char *value = wanted[len] == '\0' ? NULL : wanted + len + 1;

    while (value != NULL && *value == ' ')
        value++;
    for (size_t i = 0; i < shs_request_header_count(req); i++) {
        struct shs_str name, there;

        (void)shs_request_header_at(req, i, &name, &there);
        if (shs__str_eq_nocase(name, (struct shs_str){wanted, len}) &&
            (value == NULL || shs__str_eq(there, shs__str(value))))
            return true;
    }
    return false;
}

static bool is_for(const struct shs_test_kept_rule *kept, const char *sni,
                   const struct shs_request *req)
{
    const struct shs_test_rule *rule = &kept->rule;

    if ((req == NULL) != (kept->fault != NULL && kept->fault->connect != NULL))
        return false;
    if (rule->sni != NULL && !name_is(rule->sni, sni))
        return false;
    if (req == NULL)
        return true;
    return (rule->method == NULL || shs__str_eq(shs_request_method(req), shs__str(rule->method))) &&
           (rule->path == NULL || path_is(rule->path, shs_request_path(req))) &&
           (rule->header == NULL || header_is(rule->header, req));
}

bool shs__test_rules_for_connections(struct shs_test_rules *self)
{
    bool are;

    pthread_mutex_lock(&self->lock);
    are = self->for_connections;
    pthread_mutex_unlock(&self->lock);
    return are;
}

struct shs_test_kept_rule *shs__test_rules_take(struct shs_test_rules *self, const char *sni,
                                                const struct shs_request *req)
{
    struct shs_test_kept_rule *r;

    pthread_mutex_lock(&self->lock);
    for (r = self->first; r != NULL; r = r->next) {
        unsigned before;

        if (!is_for(r, sni, req))
            continue;
        before = r->matched++;
        if (before >= r->rule.after &&
            (r->rule.times == 0 || before - r->rule.after < r->rule.times))
            break;
    }
    if (r != NULL)
        r->references++;
    pthread_mutex_unlock(&self->lock);
    return r;
}

void shs__test_rule_put(struct shs_test_rules *self, struct shs_test_kept_rule *rule)
{
    pthread_mutex_lock(&self->lock);
    put(rule);
    pthread_mutex_unlock(&self->lock);
}
