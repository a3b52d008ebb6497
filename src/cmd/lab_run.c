/*
 * lab_run.c - `shs lab run`: a client through all conditions of a lab, and its score.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shs/lab.h>

#include "certs/throwaway.h"
#include "certs/truststore.h"
#include "cmd/cmd.h"
#include "cmd/env_list.h"
#include "cmd/flags.h"
#include "cmd/lab.h"
#include "cmd/lab_clients.h"
#include "cmd/lab_pool.h"
#include "cmd/lab_reasons.h"
#include "cmd/lab_score.h"
#include "cmd/trust_env.h"

#define SANITY "good"
#define NOT_FOUND 127
/* A client that ends at its own limit, {limit}, has so long to start and to end. */
#define ROOM_S 10
#define LIMIT_S 5        /* for a client, unless --timeout says something else; */
#define LIMIT_HEAVY_S 15 /* ... for a browser */
/* So many that are late alone too, one after the other: it is not for want of a free core. */
#define LATE_IN_A_ROW 5

static const char about[] =
    "usage: shs lab run --preset NAME [OPTION]...\n"
    "       shs lab run [OPTION]... -- CMD [ARG]...\n"
    "\n"
    "Sends a client through every condition of a lab of its own, and scores what it does: the\n"
    "verdict and the reason. CMD is run for each: {url} {host} {port} {ca} {proxy} {id} are put\n"
    "in, and {limit}: the seconds that CMD should give itself; it has a few more before it is\n"
    "ended. Its environment has every trust and proxy variable. Exit status 0 is 'accepted', any\n"
    "other 'rejected', longer than the limit 'hangs', a signal 'crashes' (or 128 and its number,\n"
    "from a shell). With --verdict last-line the last line it writes is the verdict: ACCEPT,\n"
    "REJECT or UNSUPPORTED.\n";

static const char below[] =
    "In the table, other: refused, but for another reason; either: good clients differ, so "
    "neither\n"
    "is wrong; n/a: it does not apply to this client. Firm cases are the ones that were judged.\n"
    "\n"
    "Exit status: 0 as it should be, or as in the baseline; 3 something bad was accepted; 4\n"
    "something good was refused; 5 it hung or crashed; 6 the client never came, or does not take\n"
    "the good one; 127 there is no such command; 1 it could not be done, 2 the command line is\n"
    "wrong.\n";

struct lab_run {
    const char *preset, *profile, *verdict, *tier, *format_name, *baseline, *report;
    struct flag_list only, except, groups, command;
    unsigned jobs, limit_s;
    bool update, strict, quiet;
    enum score_format format;

    struct shs_lab *lab;
    const struct lab_client *client; /* NULL: CMD */
    const char *const *words;        /* of the command, with places */
    struct shs__throwaway place;
    char *p12_path, *wgetrc, *proxy_text;
    struct env_list env;
    struct lab_places places;
    struct lab_words now; /* of the command that is being started */
    const struct shs_condition **conditions;
    struct score_case *cases;
    size_t count, next, done;
    bool again; /* the second time: those that were late, alone */
    unsigned late_in_a_row;
    unsigned hang_limit_s; /* where a client has nothing to do but wait */
    int not_started;       /* errno */
    bool progress;
};

/* -- what is asked ----------------------------------------------------------------------------- */

static const char *const tiers[] = {"critical", "high", "medium", "low"};

static bool matches_any(const struct flag_list *globs, const char *text)
{
    for (size_t i = 0; i < globs->count; i++) {
        if (fnmatch(globs->items[i], text, 0) == 0)
            return true;
    }
    return false;
}

static bool is_chosen(const struct lab_run *self, const struct shs_condition *c)
{
    size_t most = 0;

    while (self->tier != NULL && strcmp(tiers[most], self->tier) != 0)
        most++;
    if (!c->servable || (self->tier != NULL && (size_t)c->tier > most))
        return false;
    if (self->groups.count > 0 && !matches_any(&self->groups, c->group))
        return false;
    return (self->only.count == 0 || matches_any(&self->only, c->id)) &&
           !matches_any(&self->except, c->id);
}

/* What is right: of itself, or by the profile. */
static enum score_expect expectation(const struct lab_run *self, const struct shs_condition *c)
{
    enum shs_lab_expect expect = c->expect;

    if (self->profile != NULL)
        (void)shs_lab_expect_in(c, self->profile, &expect);
    return expect == SHS_LAB_EITHER   ? SCORE_EITHER
           : expect == SHS_LAB_ACCEPT ? SCORE_ACCEPT
                                      : SCORE_REJECT;
}

static int choose(struct lab_run *self)
{
    size_t all = shs_lab_count(self->lab);

    self->conditions = shs__calloc(all + 1, sizeof(void *));
    self->cases = shs__calloc(all + 1, sizeof *self->cases);
    if (self->conditions == NULL || self->cases == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    /* Those that only wait go first: they keep nobody waiting. */
    for (int hangs = 1; hangs >= 0; hangs--) {
        for (const struct shs_condition *c = shs_lab_first(self->lab); c != NULL;
             c = shs_lab_next(self->lab, c)) {
            if (c->hangs != (hangs == 1) || !is_chosen(self, c))
                continue;
            self->cases[self->count] = (struct score_case){
                .id = c->id,
                .group = c->group,
                .tier = tiers[c->tier],
                .expect = expectation(self, c),
                .reason = c->reason,
            };
            self->conditions[self->count++] = c;
        }
    }
    if (self->count > 0)
        return CMD_OK;
    return cmd_fail(CMD_USAGE, "no condition is asked for: all that --only, --group and --tier "
                               "name are left out, or are not servable here");
}

/* A filter that fits nothing is a typing error, and what it names would go untested. */
static int check_filter(const struct lab_run *self, const char *flag, const struct flag_list *globs,
                        bool of_groups)
{
    for (size_t i = 0; i < globs->count; i++) {
        const struct shs_condition *c = shs_lab_first(self->lab);

        while (c != NULL && fnmatch(globs->items[i], of_groups ? c->group : c->id, 0) != 0)
            c = shs_lab_next(self->lab, c);
        if (c == NULL)
            return cmd_fail(CMD_USAGE, "%s '%s' is no %s; 'shs lab list' has them all", flag,
                            globs->items[i], of_groups ? "group" : "condition");
    }
    return CMD_OK;
}

static int check_filters(const struct lab_run *self)
{
    int code = check_filter(self, "--only", &self->only, false);

    if (code == CMD_OK)
        code = check_filter(self, "--except", &self->except, false);
    if (code == CMD_OK)
        code = check_filter(self, "--group", &self->groups, true);
    return code;
}

/* -- what came of it --------------------------------------------------------------------------- */

static const char *last_line(const char *text, size_t len, size_t *line_len)
{
    size_t end = len, begin;

    while (end > 0 && (unsigned char)text[end - 1] <= ' ')
        end--;
    begin = end;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    *line_len = end - begin;
    return text + begin;
}

static void judge(const struct lab_run *self, struct score_case *c,
                  const struct pool_result *result)
{
    size_t len = 0;
    const char *line = last_line(result->output, result->output_len, &len);

    c->verdict = result->timed_out     ? SCORE_HUNG
                 : result->crashed     ? SCORE_CRASHED
                 : result->status == 0 ? SCORE_ACCEPTED
                                       : SCORE_REJECTED;
    if (result->timed_out || result->crashed || self->verdict == NULL ||
        strcmp(self->verdict, "exit") == 0)
        return;
    if (len == 6 && memcmp(line, "ACCEPT", 6) == 0)
        c->verdict = SCORE_ACCEPTED;
    else if (len == 6 && memcmp(line, "REJECT", 6) == 0)
        c->verdict = SCORE_REJECTED;
    else
        c->verdict = len == 11 && memcmp(line, "UNSUPPORTED", 11) == 0 ? SCORE_NOT_APPLICABLE
                                                                       : SCORE_NOT_RUN;
}

static bool contains(const char *text, const char *word)
{
    return strcasestr(text, word) != NULL;
}

/* Something that this client cannot do. */
static bool is_out_of_reach(const struct lab_run *self, const struct shs_condition *condition)
{
    if (self->client == NULL)
        return false;
    return (contains(condition->needs, "client-speaks-http") && !self->client->knows_http) ||
           (contains(condition->needs, "visit-by-address") && self->client->direct);
}

/* What the server saw counts where the client's word does not tell, and where it never came. */
static void ask_the_lab(const struct lab_run *self, struct score_case *c,
                        const struct shs_condition *condition)
{
    struct shs_lab_seen seen;
    bool offers_alpn;

    if (shs_lab_get_seen(self->lab, condition, &seen) != SHS_OK)
        return;
    if (seen.connections == 0) {
        c->verdict = SCORE_NOT_APPLICABLE;
        score_say(c, "the client never came", 21);
        return;
    }
    offers_alpn = seen.no_alpn < seen.connections;
    if (contains(condition->needs, "client-offers-alpn") && !offers_alpn)
        c->verdict = SCORE_NOT_APPLICABLE;
    if (is_out_of_reach(self, condition))
        c->verdict = SCORE_NOT_APPLICABLE;
    if (contains(condition->needs, "client-checks-crls") && c->verdict == SCORE_ACCEPTED)
        c->verdict = SCORE_NOT_APPLICABLE;
    if (condition->verdict_from_server && c->verdict != SCORE_HUNG && c->verdict != SCORE_CRASHED &&
        c->verdict != SCORE_NOT_APPLICABLE)
        c->verdict = seen.went_on > 0 ? SCORE_ACCEPTED : SCORE_REJECTED;
}

static void compare_reason(const struct lab_run *self, struct score_case *c,
                           const struct shs_condition *condition, const struct pool_result *result)
{
    const char *word = self->client == NULL ? "" : self->client->word(condition);
    bool by_curl = self->client != NULL && strcmp(self->client->name, "curl") == 0;

    if (c->verdict != SCORE_REJECTED || c->expect != SCORE_REJECT || word[0] == '\0' ||
        condition->verdict_from_server)
        return;
    c->other_reason = !contains(result->output, word) &&
                      !lab_reason_is_said(c->reason, result->output) &&
                      !(by_curl && condition->curl_exit != 0 && condition->curl_exit != 60 &&
                        result->status == condition->curl_exit);
}

/* What it said, without what Java says of its environment. */
static void say_it(struct score_case *c, const char *output)
{
    static const char noise[] = "Picked up JAVA_TOOL_OPTIONS";

    if (strncmp(output, noise, sizeof noise - 1) == 0)
        output += strcspn(output, "\n");
    score_say(c, output, strlen(output));
}

static bool says_why(const struct score_case *c, const struct shs_condition *condition,
                     const char *said)
{
    const char *const words[] = {condition->word, condition->go, condition->node,
                                 condition->chromium};

    for (size_t i = 0; i < SHS_ARRAY_LEN(words); i++) {
        if (words[i][0] != '\0' && contains(said, words[i]))
            return true;
    }
    return lab_reason_is_said(c->reason, said);
}

/*
 * Was its time over, where the condition is not about time? Then the client was waiting for a core,
 * not for the lab, and what came of it is not a verdict. A client may also have a limit of its own
 * that is shorter than ours: then it says so.
 */
static bool is_late(const struct lab_run *self, const struct score_case *c,
                    const struct shs_condition *condition, const struct pool_result *result)
{
    struct shs_lab_seen seen = {.connections = 1};

    (void)shs_lab_get_seen(self->lab, condition, &seen);
    if (condition->hangs)
        return c->verdict != SCORE_CRASHED && seen.connections == 0;
    if (c->verdict == SCORE_HUNG)
        return true;
    if (c->verdict != SCORE_REJECTED)
        return false;
    if (c->expect == SCORE_ACCEPT && lab_reason_is_said(LAB_REASON_TIMEOUT, result->output))
        return true;
    return result->seconds >= (double)self->limit_s && !says_why(c, condition, result->output);
}

static void done(void *ctx, size_t index, const struct pool_result *result)
{
    struct lab_run *self = ctx;
    struct score_case *c = &self->cases[index];

    self->done += !self->again;
    c->said[0] = '\0';
    c->other_reason = c->late = false;
    c->seconds = result->seconds;
    if (!result->started) {
        self->not_started = result->status;
        c->verdict = SCORE_NOT_RUN;
        return;
    }
    judge(self, c, result);
    say_it(c, result->output);
    c->late = is_late(self, c, self->conditions[index], result);
    self->late_in_a_row = c->late ? self->late_in_a_row + 1 : 0;
    ask_the_lab(self, c, self->conditions[index]);
    compare_reason(self, c, self->conditions[index], result);
    if (c->late)
        c->verdict = SCORE_HUNG;
    if (self->progress)
        fprintf(stderr, "\r[%3zu/%zu] %-40.40s", self->done, self->count, c->id);
}

static bool is_over(struct lab_run *self)
{
    /* A busy machine makes a client late, and so does a key that is made when somebody first asks
       for it: both are over when it comes again, alone. */
    while (self->again && self->next < self->count && !self->cases[self->next].late)
        self->next++;
    return self->next == self->count || self->not_started != 0 ||
           (self->again && self->late_in_a_row >= LATE_IN_A_ROW);
}

static char *const *next(void *ctx, size_t *index)
{
    struct lab_run *self = ctx;
    struct lab_places places = self->places;
    const struct shs_issued_cert *cert;

    lab_words_free(&self->now);
    if (is_over(self))
        return NULL;
    *index = self->next++;
    /* A slow key is made before the client's time begins: it may have been late for that alone. */
    if (self->again)
        (void)shs_lab_get_cert(self->lab, self->conditions[*index], &cert, NULL);
    if (self->conditions[*index]->hangs && !self->again)
        places.limit_s = self->hang_limit_s;
    if (!lab_words_make(&self->now, self->words, &places, self->conditions[*index]))
        return NULL;
    return self->now.words;
}

static bool has_own_limit(const struct lab_run *self)
{
    for (size_t i = 0; self->words[i] != NULL; i++) {
        if (strstr(self->words[i], "{limit}") != NULL)
            return true;
    }
    return false;
}

/* Those that were late in the first round. */
static void tell_of_late(const struct lab_run *self)
{
    size_t late = 0;

    for (size_t i = 0; i < self->count; i++)
        late += self->cases[i].late;
    if (late > 0 && self->jobs > 1 && self->count > 1)
        fprintf(
            stderr,
            "%s%zu of %zu were late beside others, %u at once with %u s each; they are run again "
            "alone (--jobs, --timeout)\n",
            self->progress ? "\r" : "", late, self->count, self->jobs, self->limit_s);
}

static int run_conditions(struct lab_run *self)
{
    const struct pool_caller caller = {.ctx = self, .next = next, .done = done};
    char why[96];
    unsigned limit_ms = (self->limit_s + (has_own_limit(self) ? ROOM_S : 0)) * 1000;
    int code = pool_run(&caller, self->env.env, self->jobs, limit_ms);

    if (code == CMD_OK && self->not_started == 0) {
        tell_of_late(self);
        self->again = true;
        self->next = self->late_in_a_row = 0;
        code = pool_run(&caller, self->env.env, 1, limit_ms);
        self->again = false;
    }
    lab_words_free(&self->now);
    if (self->progress)
        fprintf(stderr, "\r%60s\r", "");
    if (self->not_started != 0)
        return cmd_fail(self->not_started == ENOENT ? NOT_FOUND : CMD_FAILED,
                        "cannot start '%s': %s", self->words[0],
                        shs__strerror(self->not_started, why, sizeof why));
    return code;
}

/* -- first of all: does it come, and does it take what is good? -------------------------------- */

static int check_sanity(struct lab_run *self)
{
    const struct shs_condition *good = shs_lab_find(self->lab, SANITY);
    const struct shs_condition **all = self->conditions;
    struct score_case *cases = self->cases,
                      one = {.id = SANITY, .expect = SCORE_ACCEPT, .reason = ""};
    size_t count = self->count;
    struct shs_lab_seen seen;
    bool progress = self->progress;
    int code;

    if (good == NULL || !good->servable)
        return CMD_OK;
    self->conditions = &good;
    self->cases = &one;
    self->count = 1;
    self->progress = false;
    code = run_conditions(self);
    self->conditions = all;
    self->cases = cases;
    self->count = count;
    self->next = self->done = 0;
    self->progress = progress;
    if (code != CMD_OK)
        return code;
    if (shs_lab_get_seen(self->lab, good, &seen) == SHS_OK && seen.connections == 0)
        return cmd_fail(SCORE_NO_SANITY,
                        "the client never came to %s: it knows neither the proxy %s nor where the "
                        "name is; see 'shs lab hosts --help'. It said: %s",
                        good->url, shs_lab_proxy_url(self->lab), one.said);
    if (one.verdict == SCORE_HUNG)
        return cmd_fail(SCORE_NO_SANITY,
                        "the client came to %s, which is good, and did not end within %u s; "
                        "--timeout gives it more. It said: %s",
                        good->url, self->limit_s, one.said);
    if (one.verdict == SCORE_CRASHED)
        return cmd_fail(SCORE_NO_SANITY, "the client crashed at %s, which is good. It said: %s",
                        good->url, one.said);
    if (one.verdict != SCORE_ACCEPTED)
        return cmd_fail(SCORE_NO_SANITY,
                        "the client does not take what is good (%s): does it trust %s? It said: %s",
                        good->url, shs_lab_ca_path(self->lab), one.said);
    return CMD_OK;
}

/* Half of them or more never came: it lost the way somewhere. */
static int check_came(const struct lab_run *self)
{
    size_t never = 0;

    for (size_t i = 0; i < self->count; i++) {
        struct shs_lab_seen seen;

        if (shs_lab_get_seen(self->lab, self->conditions[i], &seen) == SHS_OK &&
            seen.connections == 0)
            never++;
    }
    if (never * 2 < self->count || self->count < 4)
        return CMD_OK;
    return cmd_fail(SCORE_NO_SANITY, "the client came to the good one, and to %zu of %zu never",
                    never, self->count);
}

/* -- a place for its files --------------------------------------------------------------------- */

static int write_in(const struct lab_run *self, const char *name, const void *bytes, size_t len,
                    char **path)
{
    char *file = shs__asprintf("%s/%s", self->place.path, name), why[96];
    int fd = file == NULL ? -1 : open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && shs__write_all(fd, bytes, len) == SHS_OK;
    int saved = errno;

    if (fd >= 0)
        close(fd);
    if (path != NULL)
        *path = file;
    if (!good)
        cmd_fail(CMD_FAILED, "cannot write %s: %s", file == NULL ? name : file,
                 shs__strerror(saved, why, sizeof why));
    if (path == NULL)
        shs__free(file);
    return good ? CMD_OK : CMD_FAILED;
}

static const char *temp_dir(void)
{
    const char *dir = getenv("TMPDIR");

    return dir != NULL && dir[0] == '/' ? dir : "/tmp";
}

static int make_place(struct lab_run *self)
{
    struct shs_error err;

    return shs__throwaway_dir(&self->place, temp_dir(), "shs-lab-client", &err) == SHS_OK
               ? CMD_OK
               : cmd_fail(CMD_FAILED, "%s", err.text);
}

static int write_trust(struct lab_run *self)
{
    const char *ca = shs_lab_ca_path(self->lab);
    struct shs_error err;
    struct shs_buf p12;
    char *text = shs__asprintf("ca_certificate = %s\n", ca), *php_ini = trust_env_php_ini(ca);
    int code;

    shs__buf_init(&p12, (size_t)64 * 1024);
    if (text == NULL || php_ini == NULL ||
        shs__truststore_make(&p12, shs_lab_ca_pem(self->lab), &err) != SHS_OK)
        code = cmd_fail(CMD_FAILED, "a trust store cannot be made");
    else
        code = write_in(self, "ca.p12", shs__buf_head(&p12), p12.len, &self->p12_path);
    if (code == CMD_OK)
        code = write_in(self, "wgetrc", text, strlen(text), &self->wgetrc);
    if (code == CMD_OK)
        code = write_in(self, TRUST_ENV_PHP_INI, php_ini, strlen(php_ini), NULL);
    shs__buf_free(&p12);
    shs__free(text);
    shs__free(php_ini);
    return code;
}

static int make_environment(struct lab_run *self)
{
    const struct trust_env trust = {
        .ca_path = shs_lab_ca_path(self->lab),
        .p12_path = self->p12_path,
        .java_options = getenv("JAVA_TOOL_OPTIONS"),
        .wgetrc = self->wgetrc,
        .php_dir = self->place.path,
        .php_dirs = getenv("PHP_INI_SCAN_DIR"),
        .proxy = shs_lab_proxy_url(self->lab),
        .proxy_host = shs_lab_host(self->lab),
        .proxy_port = shs_lab_port(self->lab),
        .no_proxy = "", /* the lab's own names least of all */
    };
    int code = env_list_init(&self->env);

    return code == CMD_OK ? trust_env_each(&trust, env_list_set, &self->env) : code;
}

/* The client's script, and what has to be done with it once. */
static int prepare_client(struct lab_run *self)
{
    const struct lab_client *client = self->client;
    char *line = NULL, *dir, *ca;
    int rc;

    if (client == NULL)
        return CMD_OK;
    if (client->script != NULL &&
        write_in(self, client->script, client->text, strlen(client->text), NULL) != CMD_OK)
        return CMD_FAILED;
    if (client->prepare == NULL)
        return CMD_OK;
    dir = cmd_shell_quote(self->place.path);
    ca = cmd_shell_quote(shs_lab_ca_path(self->lab));
    if (dir != NULL && ca != NULL)
        line = shs__asprintf("cd %s && export HOME=%s SSL_CERT_FILE=%s && { %s; } >&2", dir, dir,
                             ca, client->prepare);
    shs__free(dir);
    shs__free(ca);
    if (line == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    rc = system(line);
    shs__free(line);
    return rc == 0 ? CMD_OK : cmd_fail(CMD_FAILED, "the client '%s' cannot be made", client->name);
}

/* -- telling ----------------------------------------------------------------------------------- */

static int tell(struct lab_run *self, double seconds)
{
    const char *name = self->client != NULL ? self->client->name : self->words[0];
    char title[SCORE_SAID_MAX];
    struct score score = {.title = title,
                          .profile = self->profile,
                          .cases = self->cases,
                          .count = self->count,
                          .seconds = seconds,
                          .filtered = self->only.count > 0 || self->except.count > 0 ||
                                      self->groups.count > 0 || self->tier != NULL};
    int code = score_exit_code(&score), made;

    score_line(title, name, strlen(name));
    if (self->strict && code == CMD_OK) {
        for (size_t i = 0; i < self->count; i++)
            code = self->cases[i].other_reason ? SCORE_ACCEPTED_BAD : code;
    }
    if (self->baseline != NULL && self->update)
        return score_write_baseline(self->baseline, &score);
    if (self->baseline != NULL) {
        made = score_compare(stderr, self->baseline, &score, &code);
        if (made != CMD_OK)
            return made;
    }
    score_print(stdout, &score, self->format, code);
    if (self->report != NULL && score_write_page(self->report, &score) != CMD_OK)
        return CMD_FAILED;
    return code;
}

/* -- life -------------------------------------------------------------------------------------- */

static int start(struct lab_run *self)
{
    struct shs_lab_options opt;
    struct shs_error err;
    int code;

    pool_prepare();
    shs_lab_options_init(&opt);
    opt.temp_dir = temp_dir();
    opt.stall_ms = (self->limit_s + 2 * ROOM_S) * 1000; /* it outlasts whoever waits */
    if (shs_lab_start(&self->lab, &opt, &err) != SHS_OK)
        return cmd_fail(CMD_FAILED, "%s", err.text);
    code = check_filters(self);
    if (code == CMD_OK)
        code = make_place(self);
    if (code == CMD_OK)
        code = write_trust(self);
    if (code == CMD_OK)
        code = make_environment(self);
    if (code == CMD_OK)
        code = prepare_client(self);
    self->places = (struct lab_places){
        .ca = shs_lab_ca_path(self->lab),
        .proxy = shs_lab_proxy_url(self->lab),
        .dir = self->place.path,
        .port = shs_lab_port(self->lab),
        .limit_s = self->limit_s,
    };
    return code == CMD_OK ? choose(self) : code;
}

static int run_all(struct lab_run *self)
{
    int64_t began = shs_now_ns();
    int code = start(self);

    if (code == CMD_OK)
        code = check_sanity(self);
    if (code == CMD_OK)
        code = run_conditions(self);
    if (code == CMD_OK)
        code = check_came(self);
    if (code == CMD_OK)
        code = tell(self, (double)(shs_now_ns() - began) / SHS_NS_PER_S);
    shs__throwaway_remove(&self->place);
    env_list_free(&self->env);
    shs_lab_stop(self->lab);
    shs__free(self->conditions);
    shs__free(self->cases);
    shs__free(self->p12_path);
    shs__free(self->wgetrc);
    return code;
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words != NULL && strcmp(word, *words) != 0)
        words++;
    return *words != NULL;
}

static int check(struct lab_run *self)
{
    static const char *const verdicts[] = {"exit", "last-line", NULL};

    if ((self->preset != NULL) == (self->command.count > 0))
        return cmd_fail(CMD_USAGE, "shs lab run needs either --preset or a command after '--'");
    if (self->preset != NULL && (self->client = lab_client_find(self->preset)) == NULL)
        return cmd_fail(CMD_USAGE, "--preset '%s' is not one of %s", self->preset,
                        lab_client_names());
    if (self->command.count > LAB_WORDS_MAX - 1)
        return cmd_fail(CMD_USAGE, "the command has more than %d words", LAB_WORDS_MAX - 1);
    if (self->profile != NULL && !is_one_of(self->profile, shs_lab_profiles()))
        return cmd_fail(CMD_USAGE,
                        "--profile '%s' is not one of strict, rfc9525, webpki, openssl, curl, "
                        "py311, py313, node, go, java and gnutls",
                        self->profile);
    if (self->verdict != NULL && !is_one_of(self->verdict, verdicts))
        return cmd_fail(CMD_USAGE, "--verdict '%s' is neither exit nor last-line", self->verdict);
    if (self->tier != NULL && strcmp(self->tier, "critical") != 0 &&
        strcmp(self->tier, "high") != 0 && strcmp(self->tier, "medium") != 0 &&
        strcmp(self->tier, "low") != 0)
        return cmd_fail(CMD_USAGE, "--tier '%s' is not one of critical, high, medium and low",
                        self->tier);
    if (self->format_name != NULL && !score_format_parse(self->format_name, &self->format))
        return cmd_fail(CMD_USAGE, "--format '%s' is not one of table, json, junit, tap and github",
                        self->format_name);
    if (self->update && self->baseline == NULL)
        return cmd_fail(CMD_USAGE, "--update-baseline needs --baseline");
    if (self->limit_s > 600)
        return cmd_fail(CMD_USAGE, "--timeout is from 1 to 600 seconds");
    if (self->jobs > POOL_JOBS_MAX)
        return cmd_fail(CMD_USAGE, "--jobs is from 1 to %d", POOL_JOBS_MAX);
    return CMD_OK;
}

/* What was not said. A browser keeps a core busy for as long as it starts: more of them at once
   would be late, and no sooner at the end. */
static void set_defaults(struct lab_run *self)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned cores = online > 0 ? (unsigned)online : 1;
    bool heavy = self->client != NULL && self->client->heavy;

    self->hang_limit_s = self->limit_s == 0 ? LIMIT_S : self->limit_s;
    if (self->limit_s == 0)
        self->limit_s = heavy ? LIMIT_HEAVY_S : LIMIT_S;
    if (self->jobs == 0)
        self->jobs = heavy ? cores + 1 : 2 * cores + 4;
}

int lab_run(int argc, char **argv)
{
    static struct lab_run self;
    const struct flag flags[] = {
        {"preset", FLAG_TEXT, &self.preset, "NAME",
         "curl, wget, python, node, go, java, openssl,\ngnutls-cli or chromium"},
        {"profile", FLAG_TEXT, &self.profile, "NAME",
         "what is right where good clients differ: strict: to\nrefuse; rfc9525: names as that RFC "
         "has them; webpki:\nas browsers and public authorities; openssl, curl,\npy311, py313, "
         "node, go, "
         "java, gnutls: as that one was\nmeasured to do"},
        {"only", FLAG_LIST, &self.only, "GLOB", "these conditions; may be repeated"},
        {"except", FLAG_LIST, &self.except, "GLOB", "not these; may be repeated"},
        {"group", FLAG_LIST, &self.groups, "NAME", "these groups; may be repeated"},
        {"tier", FLAG_TEXT, &self.tier, "NAME",
         "critical, high, medium or low: those that matter so\nmuch, or more"},
        {"timeout", FLAG_NUMBER, &self.limit_s, "SECONDS", "for each (5; chromium: 15)"},
        {"jobs", FLAG_NUMBER, &self.jobs, "N",
         "at once (two for each core, and 4; chromium: one\nfor each core, and 1)"},
        {"verdict", FLAG_TEXT, &self.verdict, "HOW", "exit (default), or last-line"},
        {"strict-reasons", FLAG_SET, &self.strict, NULL, "a refusal for another reason fails"},
        {"format", FLAG_TEXT, &self.format_name, "NAME",
         "table (default), json, junit, tap, github"},
        {"baseline", FLAG_TEXT, &self.baseline, "FILE", "what is known: only what is new counts"},
        {"update-baseline", FLAG_SET, &self.update, NULL, "write it"},
        {"report", FLAG_TEXT, &self.report, "FILE", "write a page (HTML)"},
        {"quiet", FLAG_SET, &self.quiet, NULL, "no progress on the terminal"},
    };
    int code = CMD_OK;

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &self.command, LAB_WORDS_MAX, about,
                     below, &code))
        return code;
    code = check(&self);
    if (code != CMD_OK)
        return code;
    set_defaults(&self);
    self.words = self.client != NULL ? self.client->command : self.command.items;
    self.progress = !self.quiet && isatty(STDERR_FILENO) == 1;
    return run_all(&self);
}
