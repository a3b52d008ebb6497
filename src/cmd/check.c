/* check.c - `shs check`: what of a `shs serve` command line breaks until some day, and when. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <shs/certs.h>
#include <shs/tls.h>

#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/flags.h"
#include "cmd/serve.h"
#include "cmd/serve_options.h"

#define DAY 86400
#define ENDS_MAX 4096
/* As `shs cert check` has them. */
#define CHECK_SOON 1
#define CHECK_BROKEN 2
#define CHECK_NOT_LOOKED 3

static const char about[] =
    "usage: shs check [--at DATE] [--json] [--] SERVE-OPTION...\n"
    "\n"
    "Takes the options of 'shs serve', reads what it would read, serves nothing, and says what "
    "breaks\n"
    "by DATE, and when: certificates and their chains, client CAs, CRLs, OCSP responses.\n"
    "\n"
    "    shs check --at +60d --cert site.pem --client-ca ca.pem --crl crl.pem\n";

static const char below[] =
    "With --now of 'shs serve' it begins there and not today. To try that day: 'shs serve --now "
    "DATE'.\n"
    "Exit status: 0 nothing breaks by then, 1 something does, 2 something is broken at the "
    "beginning\nor the command line is wrong, 3 a file cannot be used.\n";

struct end {
    int64_t since, when;
    char *source, *subject;
    const char *text; /* static */
};

struct check {
    const char *at_text;
    bool json;
    int64_t now, at;
    struct end ends[ENDS_MAX];
    size_t count;
    bool too_many;
    int code;
};

static bool is_same(const struct end *a, const struct shs_tls_end *b)
{
    return a->when == b->when && a->since == b->since && strcmp(a->source, b->source) == 0 &&
           strcmp(a->subject, b->subject) == 0 && strcmp(a->text, b->text) == 0;
}

static void keep(void *ctx, const struct shs_tls_end *end)
{
    struct check *self = ctx;
    struct end *to = &self->ends[self->count];

    if (strcmp(end->source, "cert_pem") == 0)
        return; /* what stands for a certificate that is still to be made */
    for (size_t i = 0; i < self->count; i++) {
        if (is_same(&self->ends[i], end))
            return; /* of another listener, or of the admin plane */
    }
    if (self->count == ENDS_MAX) {
        self->too_many = true;
        return;
    }
    to->source = shs__strdup(end->source);
    to->subject = shs__strdup(end->subject);
    to->since = end->since;
    to->when = end->when;
    to->text = end->text;
    if (to->source != NULL && to->subject != NULL)
        self->count++;
    else
        self->too_many = true;
}

static int by_date(const void *a, const void *b)
{
    const struct end *x = a, *y = b;

    return x->when < y->when ? -1 : x->when > y->when;
}

static void format_date(int64_t when, char out[40])
{
    time_t t = (time_t)when;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(out, 40, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, 40, "@%" PRId64, when);
}

/* "in 12 days", "3 days ago" */
static void format_distance(int64_t seconds, char out[48])
{
    int64_t size = seconds < 0 ? -seconds : seconds;
    const char *unit = size >= 2 * DAY ? "days" : size >= 2 * 3600 ? "hours" : "minutes";
    int64_t n = size >= 2 * DAY ? size / DAY : size >= 2 * 3600 ? size / 3600 : size / 60;

    snprintf(out, 48, seconds < 0 ? "%" PRId64 " %s ago" : "in %" PRId64 " %s", n, unit);
}

/* Not good yet: what breaks at its end is broken until then. */
static void print_beginning(const struct check *self, const struct end *end)
{
    char when[40], distance[48];

    format_date(end->since, when);
    format_distance(end->since - self->now, distance);
    printf("%s  %-12s  %s: is good from then on only%s%s%s\n", when, distance, end->source,
           end->subject[0] == '\0' ? "" : " (", end->subject, end->subject[0] == '\0' ? "" : ")");
}

static void print_end(const struct check *self, const struct end *end)
{
    char when[40], distance[48];

    format_date(end->when, when);
    format_distance(end->when - self->now, distance);
    printf("%s  %-12s  %s: %s%s%s%s\n", when, distance, end->source, end->text,
           end->subject[0] == '\0' ? "" : " (", end->subject, end->subject[0] == '\0' ? "" : ")");
}

static int print_json(const struct check *self)
{
    struct shs_buf out;
    char when[40], since[40];
    int rc;

    shs__buf_init(&out, (size_t)8 << 20);
    format_date(self->at, when);
    rc = shs__buf_printf(&out, "{\"at\":\"%s\",\"exit\":%d,\"ends\":[", when, self->code);
    for (size_t i = 0; i < self->count && rc == SHS_OK; i++) {
        const struct end *end = &self->ends[i];
        const char *const texts[][2] = {{",\"file\":\"", end->source},
                                        {",\"subject\":\"", end->subject},
                                        {",\"text\":\"", end->text}};

        format_date(end->when, when);
        format_date(end->since, since);
        rc = shs__buf_printf(&out, "%s\n{\"since\":\"%s\",\"when\":\"%s\",\"breaks\":%s",
                             i == 0 ? "" : ",", since, when,
                             end->when <= self->at || end->since > self->now ? "true" : "false");
        for (size_t k = 0; k < SHS_ARRAY_LEN(texts) && rc == SHS_OK; k++) {
            rc = shs__buf_append_str(&out, shs__str(texts[k][0]));
            if (rc == SHS_OK)
                rc = shs__json_escape(&out, shs__str(texts[k][1]));
            if (rc == SHS_OK)
                rc = shs__buf_append_str(&out, SHS_STR("\""));
        }
        if (rc == SHS_OK)
            rc = shs__buf_append_str(&out, SHS_STR("}"));
    }
    if (rc == SHS_OK)
        printf("%.*s\n]}\n", (int)out.len, shs__buf_head(&out));
    shs__buf_free(&out);
    return rc == SHS_OK ? self->code : cmd_fail(CHECK_NOT_LOOKED, "there is too much to print");
}

static int print_all(const struct check *self)
{
    char at[40];
    size_t i = 0, early = 0;

    if (self->json)
        return print_json(self);
    format_date(self->at, at);
    for (size_t k = 0; k < self->count; k++) {
        if (self->ends[k].since > self->now) {
            print_beginning(self, &self->ends[k]);
            early++;
        }
    }
    for (; i < self->count && self->ends[i].when <= self->at; i++)
        print_end(self, &self->ends[i]);
    printf("%s breaks until %s.\n", i + early == 0 ? "Nothing" : "Nothing else", at);
    if (i < self->count) {
        printf("Next: ");
        print_end(self, &self->ends[i]);
    }
    return self->code;
}

/* Of each listener. */
static int look(void *ctx, struct shs_server *server)
{
    struct check *self = ctx;

    self->now = shs_server_time(server);
    (void)shs_tls_each_end(server, keep, self); /* without TLS there is nothing that ends */
    return CMD_OK;
}

static int judge(struct check *self)
{
    struct shs_error err;

    if (shs_parse_date(&self->at, self->at_text, self->now, &err) != SHS_OK)
        return cmd_fail(CMD_USAGE, "--at: %s", err.text);
    if (self->at < self->now)
        return cmd_fail(CMD_USAGE, "--at '%s' is in the past", self->at_text);
    if (self->too_many)
        return cmd_fail(CHECK_NOT_LOOKED, "there are more than %d certificates and CRLs", ENDS_MAX);
    qsort(self->ends, self->count, sizeof *self->ends, by_date);
    if (self->count > 0 && self->ends[0].when <= self->at)
        self->code = self->ends[0].when <= self->now ? CHECK_BROKEN : CHECK_SOON;
    for (size_t i = 0; i < self->count; i++)
        self->code = self->ends[i].since > self->now ? CHECK_BROKEN : self->code;
    return print_all(self);
}

int cmd_check(int argc, char **argv)
{
    static struct check self;
    static char serve[] = "serve";
    const struct flag flags[] = {
        {"at", FLAG_TEXT, &self.at_text, "DATE",
         "how far to look ahead (+30d): +60d, 2027-01-31, @UNIXTIME"},
        {"json", FLAG_SET, &self.json, NULL, "as JSON"},
    };
    const struct command_page page = {
        .command = "check",
        .about = about,
        .flags = flags,
        .flag_count = SHS_ARRAY_LEN(flags),
        .settings = &serve_settings,
        .below = below,
    };
    int taken, code;

    self.at_text = "+30d";
    if (!flags_parse_leading(argc, argv, &page, &taken, &code))
        return code;
    if (taken < argc && strcmp(argv[taken], "--") == 0)
        taken++;
    if (taken < argc && strcmp(argv[taken], "serve") == 0)
        taken++;
    argv[taken - 1] = serve;
    self.now = (int64_t)time(NULL);
    code = serve_check(argc - taken + 1, argv + taken - 1, look, &self, CHECK_NOT_LOOKED);
    if (code == CMD_OK)
        code = judge(&self);
    while (self.count > 0) {
        self.count--;
        shs__free(self.ends[self.count].source);
        shs__free(self.ends[self.count].subject);
    }
    return code;
}
