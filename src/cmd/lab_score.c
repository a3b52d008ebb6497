#include "cmd/lab_score.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <shs/text.h>

#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/whole_file.h"

#define GROUPS_MAX 64
#define ESCAPED_MAX (SCORE_SAID_MAX * 6)
#define LINE_MAX_BYTES 256

static const char *verdict_word(const struct score_case *c)
{
    switch (c->verdict) {
    case SCORE_NOT_RUN:
        return "not-run";
    case SCORE_ACCEPTED:
        return "accept";
    case SCORE_REJECTED:
        return c->other_reason ? "reject-other-reason" : "reject";
    case SCORE_HUNG:
        return "hang";
    case SCORE_CRASHED:
        return "crash";
    case SCORE_NOT_APPLICABLE:
        return "n/a";
    }
    return "?";
}

static const char *expect_word(const struct score_case *c)
{
    return c->expect == SCORE_ACCEPT ? "accept" : c->expect == SCORE_REJECT ? "reject" : "either";
}

bool score_format_parse(const char *name, enum score_format *out)
{
    static const char *const names[] = {"table", "json", "junit", "tap", "github"};

    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum score_format)i;
            return true;
        }
    }
    return false;
}

/* What XML has no place for, a terminal obeys, or turns what is beside it. */
static bool is_no_text(const unsigned char *sequence, struct shs_str all, size_t at, size_t len)
{
    if (len == 2 && sequence[0] == 0xc2 && sequence[1] < 0xa0) /* U+0080 to U+009F */
        return true;
    if (len == 3 && memcmp(sequence, "\xef\xbf", 2) == 0 && sequence[2] >= 0xbe)
        return true; /* U+FFFE, U+FFFF */
    return shs__utf8_turns(all, at);
}

void score_line(char line[SCORE_SAID_MAX], const char *text, size_t len)
{
    struct shs_str all = {text, len};
    size_t used = 0, i = 0;

    while (i < len && used < SCORE_SAID_MAX - 1) {
        unsigned char ch = (unsigned char)text[i];
        size_t n = shs__utf8_length(all, i);

        if (n > 1) { /* whole or not at all: XML and JSON have no halves */
            bool bad = is_no_text((const unsigned char *)text + i, all, i, n);
            size_t room = bad ? 1 : n;

            if (used + room > SCORE_SAID_MAX - 1)
                break;
            memcpy(line + used, bad ? "?" : text + i, room);
            used += room;
            i += n;
            continue;
        }
        i++;
        if (ch == '\n' || ch == '\r' || ch == '\t')
            ch = ' ';
        if (ch == ' ' && (used == 0 || line[used - 1] == ' '))
            continue;
        line[used++] = n == 0 || ch < 0x20 || ch == 0x7f ? '?' : (char)ch;
    }
    while (used > 0 && line[used - 1] == ' ')
        used--;
    line[used] = '\0';
}

void score_say(struct score_case *c, const char *text, size_t len)
{
    score_line(c->said, text, len);
}

/* -- what it comes to -------------------------------------------------------------------------- */

static bool accepts_bad(const struct score_case *c)
{
    return c->expect == SCORE_REJECT && c->verdict == SCORE_ACCEPTED;
}

static bool refuses_good(const struct score_case *c)
{
    return c->expect == SCORE_ACCEPT && c->verdict == SCORE_REJECTED;
}

/* Neither yes nor no. */
static bool has_no_verdict(const struct score_case *c)
{
    return c->verdict == SCORE_HUNG || c->verdict == SCORE_CRASHED || c->verdict == SCORE_NOT_RUN;
}

bool score_is_bad(const struct score_case *c)
{
    return accepts_bad(c) || refuses_good(c) || has_no_verdict(c);
}

int score_exit_code(const struct score *score)
{
    bool hangs = false, refuses = false;

    for (size_t i = 0; i < score->count; i++) {
        const struct score_case *c = &score->cases[i];

        if (accepts_bad(c))
            return SCORE_ACCEPTED_BAD;
        refuses = refuses || refuses_good(c);
        hangs = hangs || has_no_verdict(c);
    }
    return refuses ? SCORE_REFUSED_GOOD : hangs ? SCORE_HANGS : CMD_OK;
}

struct group {
    const char *name;
    unsigned cases, pass, fail, other, either, na;
};

static void count_case(struct group *g, const struct score_case *c)
{
    g->cases++;
    if (c->verdict == SCORE_NOT_APPLICABLE)
        g->na++;
    else if (score_is_bad(c))
        g->fail++;
    else if (c->expect == SCORE_EITHER)
        g->either++;
    else if (c->other_reason)
        g->other++;
    else
        g->pass++;
}

static size_t make_groups(const struct score *score, struct group *groups)
{
    size_t count = 0;

    for (size_t i = 0; i < score->count; i++) {
        const struct score_case *c = &score->cases[i];
        size_t k = 0;

        while (k < count && strcmp(groups[k].name, c->group) != 0)
            k++;
        if (k == count) {
            if (count == GROUPS_MAX)
                continue;
            groups[count++] = (struct group){.name = c->group};
        }
        count_case(&groups[k], c);
    }
    return count;
}

static struct group sum_up(const struct score *score)
{
    struct group all = {.name = "all"};

    for (size_t i = 0; i < score->count; i++)
        count_case(&all, &score->cases[i]);
    return all;
}

/* -- a table ----------------------------------------------------------------------------------- */

static const char *what_is_wrong(const struct score_case *c)
{
    if (c->verdict == SCORE_HUNG)
        return "hangs";
    if (c->verdict == SCORE_CRASHED)
        return "crashes";
    if (c->verdict == SCORE_NOT_RUN)
        return "was not run";
    if (refuses_good(c))
        return "refused";
    if (c->other_reason)
        return "refused for another reason";
    return "accepted";
}

static void print_faults_of(FILE *to, const struct score *score, const char *group)
{
    const char *before = "";

    for (size_t i = 0; i < score->count; i++) {
        const struct score_case *c = &score->cases[i];

        if (strcmp(c->group, group) != 0 || !score_is_bad(c))
            continue;
        fprintf(to, "%s%s (%s, %s)", before, c->id, what_is_wrong(c), c->tier);
        before = ", ";
    }
}

static void print_table(FILE *to, const struct score *score, int code)
{
    static const char *const tiers[] = {"critical", "high", "medium", "low"};
    struct group groups[GROUPS_MAX], all = sum_up(score);
    size_t count = make_groups(score, groups);

    fprintf(to, "%s%s%s\n", score->title, score->profile == NULL ? "" : "   profile ",
            score->profile == NULL ? "" : score->profile);
    fprintf(to, "%-16s cases  pass  FAIL other either   n/a\n", "group");
    for (size_t i = 0; i < count; i++) {
        const struct group *g = &groups[i];

        fprintf(to, "%-16s %5u %5u %5u %5u %6u %5u", g->name, g->cases, g->pass, g->fail, g->other,
                g->either, g->na);
        if (g->fail > 0)
            fputs("   FAIL ", to);
        print_faults_of(to, score, g->name);
        fputc('\n', to);
    }
    for (size_t i = 0; i < score->count; i++) {
        const struct score_case *c = &score->cases[i];

        if (c->other_reason && c->verdict == SCORE_REJECTED)
            fprintf(to, "other reason: %s, meant: %s, said: %s\n", c->id, c->reason, c->said);
    }
    fprintf(to, "score  %u of %u firm cases", all.pass + all.other,
            all.cases - all.na - all.either);
    for (size_t t = 0; t < SHS_ARRAY_LEN(tiers); t++) {
        unsigned n = 0;

        for (size_t i = 0; i < score->count; i++)
            n += score_is_bad(&score->cases[i]) && strcmp(score->cases[i].tier, tiers[t]) == 0;
        if (n > 0)
            fprintf(to, "   %s %u", tiers[t], n);
    }
    fprintf(to, "   time %.1f s   exit %d\n", score->seconds, code);
}

/* -- for programs ------------------------------------------------------------------------------ */

static void print_json_text(FILE *to, const char *text)
{
    char out[ESCAPED_MAX];
    size_t len = 0;

    if (shs_json_escape(shs__str(text), out, sizeof out, &len) != SHS_OK)
        len = 0;
    fprintf(to, "\"%.*s\"", (int)len, out);
}

static void print_json(FILE *to, const struct score *score, int code)
{
    struct group all = sum_up(score);

    fputs("{\"client\": ", to);
    print_json_text(to, score->title);
    fprintf(to, ", \"cases\": %u, \"pass\": %u, \"fail\": %u, \"other_reason\": %u, ", all.cases,
            all.pass, all.fail, all.other);
    fprintf(to, "\"either\": %u, \"not_applicable\": %u, \"seconds\": %.2f, \"exit\": %d,\n",
            all.either, all.na, score->seconds, code);
    fputs(" \"results\": [", to);
    for (size_t i = 0; i < score->count; i++) {
        const struct score_case *c = &score->cases[i];

        fprintf(to,
                "%s\n  {\"id\": \"%s\", \"group\": \"%s\", \"tier\": \"%s\", \"expect\": \"%s\"",
                i == 0 ? "" : ",", c->id, c->group, c->tier, expect_word(c));
        fprintf(to, ", \"verdict\": \"%s\", \"ok\": %s, \"seconds\": %.3f, \"reason\": ",
                verdict_word(c), score_is_bad(c) ? "false" : "true", c->seconds);
        print_json_text(to, c->reason);
        fputs(", \"said\": ", to);
        print_json_text(to, c->said);
        fputc('}', to);
    }
    fputs("\n ]}\n", to);
}

static void print_html_text(FILE *to, const char *text)
{
    char out[ESCAPED_MAX];
    size_t len = 0;

    if (shs_html_escape(shs__str(text), out, sizeof out, &len) != SHS_OK)
        len = 0;
    fprintf(to, "%.*s", (int)len, out);
}

/* For the formats that machines decide by: as the exit code, they let pass what is known. */
static bool is_known_bad(const struct score_case *c)
{
    return c->known && score_is_bad(c);
}

static void print_junit(FILE *to, const struct score *score)
{
    struct group all = sum_up(score);
    unsigned known = 0;

    for (size_t i = 0; i < score->count; i++)
        known += is_known_bad(&score->cases[i]);

    fprintf(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"");
    print_html_text(to, score->title);
    fprintf(to, "\" tests=\"%u\" failures=\"%u\" skipped=\"%u\" time=\"%.2f\">\n", all.cases,
            all.fail - known, all.na + known, score->seconds);
    for (size_t i = 0; i < score->count; i++) {
        const struct score_case *c = &score->cases[i];

        fprintf(to, "<testcase classname=\"%s\" name=\"%s\" time=\"%.3f\">", c->group, c->id,
                c->seconds);
        if (c->verdict == SCORE_NOT_APPLICABLE) {
            fputs("<skipped/>", to);
        } else if (is_known_bad(c)) {
            fprintf(to, "<skipped message=\"as in the baseline: %s, and it should %s\"/>",
                    what_is_wrong(c), expect_word(c));
        } else if (score_is_bad(c)) {
            fprintf(to, "<failure type=\"%s\" message=\"%s, and it should %s\">", c->tier,
                    what_is_wrong(c), expect_word(c));
            print_html_text(to, c->said);
            fputs("</failure>", to);
        }
        fputs("</testcase>\n", to);
    }
    fputs("</testsuite>\n", to);
}

static void print_tap(FILE *to, const struct score *score)
{
    fprintf(to, "TAP version 13\n1..%zu\n", score->count);
    for (size_t i = 0; i < score->count; i++) {
        const struct score_case *c = &score->cases[i];
        bool fails = score_is_bad(c) && !c->known;
        const char *skip = c->verdict == SCORE_NOT_APPLICABLE ? " # SKIP n/a"
                           : is_known_bad(c)                  ? " # SKIP as in the baseline"
                                                              : "";

        fprintf(to, "%s %zu - %s: %s%s\n", fails ? "not ok" : "ok", i + 1, c->id, verdict_word(c),
                skip);
        if (score_is_bad(c))
            fprintf(to, "# %s, %s: it should %s. %s\n", c->tier, what_is_wrong(c), expect_word(c),
                    c->said);
    }
}

/* In a workflow command %25 is a per cent sign, and %0A would be a line's end. */
static void print_github_text(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '%')
            fputs("%25", to);
        else
            fputc(*text, to);
    }
}

static void print_github(FILE *to, const struct score *score)
{
    for (size_t i = 0; i < score->count; i++) {
        const struct score_case *c = &score->cases[i];

        if (c->known || (!score_is_bad(c) && !c->other_reason))
            continue;
        fprintf(to, "::%s title=%s::%s %s, and should %s. ", score_is_bad(c) ? "error" : "warning",
                c->id, c->id, what_is_wrong(c), expect_word(c));
        print_github_text(to, c->said);
        fputc('\n', to);
    }
}

void score_print(FILE *to, const struct score *score, enum score_format format, int code)
{
    switch (format) {
    case SCORE_TABLE:
        print_table(to, score, code);
        break;
    case SCORE_JSON:
        print_json(to, score, code);
        break;
    case SCORE_JUNIT:
        print_junit(to, score);
        break;
    case SCORE_TAP:
        print_tap(to, score);
        break;
    case SCORE_GITHUB:
        print_github(to, score);
        break;
    }
}

/* -- a page ------------------------------------------------------------------------------------ */

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<style>\n"
    ":root{color-scheme:light dark;--ink:#1c2024;--paper:#fff;--line:#d8dee4;--pass:#2a7d4f;\n"
    "--fail:#c02b2b;--other:#b7791f;--rest:#8a949e}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--paper:#16191d;--line:#363d45;\n"
    "--pass:#4cb97a;--fail:#f0675f;--other:#e0a84a;--rest:#76808a}}\n"
    "body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);\n"
    "max-width:60rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}\n"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .5rem;\n"
    "border-bottom:1px solid var(--line);vertical-align:top}\n"
    ".said{overflow-wrap:anywhere}\n"
    ".bar{display:flex;height:1rem;border-radius:3px;overflow:hidden;min-width:8rem;\n"
    "background:var(--line)}.bar i{display:block}\n"
    ".p{background:var(--pass)}.f{background:var(--fail)}.o{background:var(--other)}\n"
    ".r{background:var(--rest)}.key i{display:inline-block;width:.8rem;height:.8rem;\n"
    "border-radius:2px;margin:0 .3rem 0 .9rem}b.bad{color:var(--fail)}\n"
    "@media(max-width:40rem){.wide,.miss th{display:none}.miss td{display:block;border:0;\n"
    "padding:0 .5rem}.miss tr{display:block;border-bottom:1px solid var(--line);padding:.5rem 0}}\n"
    "</style>\n";

static void print_bar(FILE *to, const struct group *g)
{
    const struct {
        char kind;
        unsigned n;
    } parts[] = {{'p', g->pass}, {'o', g->other}, {'f', g->fail}, {'r', g->either + g->na}};

    fprintf(to, "<tr><td>%s<td><div class=bar role=img aria-label=\"%u of %u fail\">", g->name,
            g->fail, g->cases);
    for (size_t i = 0; i < SHS_ARRAY_LEN(parts); i++) {
        if (parts[i].n > 0)
            fprintf(to, "<i class=%c style=\"width:%.2f%%\"></i>", parts[i].kind,
                    100.0 * parts[i].n / g->cases);
    }
    fprintf(to, "</div><td>%u<td>%u<td class=wide>%u\n", g->pass + g->other, g->fail,
            g->either + g->na);
}

static void print_chart(FILE *to, const struct score *score)
{
    struct group groups[GROUPS_MAX];
    size_t count = make_groups(score, groups);

    fputs("<p class=key><i class=p></i>pass<i class=o></i>pass, for another reason"
          "<i class=f></i>fail<i class=r></i>either, or n/a</p>\n"
          "<table><tr><th>group<th>score<th>pass<th>fail<th class=wide>other\n",
          to);
    for (size_t i = 0; i < count; i++)
        print_bar(to, &groups[i]);
    fputs("</table>\n", to);
}

static void print_mismatches(FILE *to, const struct score *score)
{
    fputs("<h2>What is not as it should be</h2>\n"
          "<table class=miss><tr><th>label<th>tier<th>should<th>did<th>said\n",
          to);
    for (size_t i = 0; i < score->count; i++) {
        const struct score_case *c = &score->cases[i];

        if (!score_is_bad(c) && !c->other_reason)
            continue;
        fprintf(to, "<tr><td>%s<td>%s<td>%s%s%s<td><b class=%s>%s</b><td class=said>", c->id,
                c->tier, expect_word(c), c->reason[0] == '\0' ? "" : ": ", c->reason,
                score_is_bad(c) ? "bad" : "other", verdict_word(c));
        print_html_text(to, c->said);
        fputc('\n', to);
    }
    fputs("</table>\n", to);
}

int score_write_page(const char *path, const struct score *score)
{
    struct group all = sum_up(score);
    struct whole_file file;
    int code = whole_file_open(&file, path);
    FILE *to = file.to;

    if (code != CMD_OK)
        return code;
    fputs(page_head, to);
    fputs("<title>", to);
    print_html_text(to, score->title);
    fputs("</title>\n<h1>", to);
    print_html_text(to, score->title);
    fprintf(to, "</h1>\n<p>%u of %u firm cases, in %.1f s.</p>\n", all.pass + all.other,
            all.cases - all.na - all.either, score->seconds);
    print_chart(to, score);
    print_mismatches(to, score);
    fputs("</html>\n", to);
    return whole_file_close(&file);
}

/* -- a baseline -------------------------------------------------------------------------------- */

static bool is_deviation(const struct score_case *c)
{
    return score_is_bad(c) || c->other_reason;
}

static const char head_of_baseline[] =
    "# What it does otherwise than it should, and somebody has looked at. Written by\n"
    "# --update-baseline; a line is a label and a verdict.\n";

/* The case that a line is about: its index, or score->count. */
static size_t find_case(const struct score *score, const char *line)
{
    size_t len = strcspn(line, " \r\n"), i = 0;

    while (i < score->count &&
           (strncmp(score->cases[i].id, line, len) != 0 || score->cases[i].id[len] != '\0'))
        i++;
    return i;
}

/* What was there and still counts: comments, what is as it was, and what was not run. `written`
   notes the cases. */
static void keep_lines(FILE *to, FILE *from, const struct score *score, bool *written)
{
    char line[LINE_MAX_BYTES];

    while (fgets(line, sizeof line, from) != NULL) {
        size_t i = find_case(score, line);

        if (line[0] == '#' || line[strspn(line, " \r\n")] == '\0' ||
            (i == score->count && score->filtered)) {
            fputs(line, to);
        } else if (i < score->count && !written[i] && is_deviation(&score->cases[i])) {
            fprintf(to, "%s %s\n", score->cases[i].id, verdict_word(&score->cases[i]));
            written[i] = true;
        }
    }
}

static void write_lines(FILE *to, FILE *from, const struct score *score, bool *written)
{
    if (from == NULL)
        fprintf(to, "# %s\n%s", score->title, head_of_baseline);
    else
        keep_lines(to, from, score, written);
    for (size_t i = 0; i < score->count; i++) {
        if (is_deviation(&score->cases[i]) && !written[i])
            fprintf(to, "%s %s\n", score->cases[i].id, verdict_word(&score->cases[i]));
    }
}

/* The old one is there until the new one is complete. */
int score_write_baseline(const char *path, const struct score *score)
{
    bool *written = shs__calloc(score->count + 1, sizeof *written), unread;
    FILE *from = fopen(path, "re");
    struct whole_file file;
    struct stat info;
    char why[96];
    int code = CMD_OK;

    if (written == NULL) {
        code = cmd_fail(CMD_FAILED, "out of memory");
    } else if (from != NULL && (fstat(fileno(from), &info) != 0 || !S_ISREG(info.st_mode))) {
        code = cmd_fail(CMD_FAILED, "cannot write %s: it is not a file", path);
    } else if (from == NULL && errno != ENOENT) {
        code = cmd_fail(CMD_FAILED, "cannot write %s: %s", path,
                        shs__strerror(errno, why, sizeof why));
    } else if ((code = whole_file_open(&file, path)) == CMD_OK) {
        write_lines(file.to, from, score, written);
        unread = from != NULL && ferror(from) != 0;
        if (unread)
            whole_file_drop(&file);
        code = unread ? cmd_fail(CMD_FAILED, "cannot read %s", path) : whole_file_close(&file);
    }
    if (from != NULL)
        fclose(from);
    shs__free(written);
    return code;
}

/* The verdict that a baseline has for a label; "" when it has none. */
static void find_known(FILE *from, const char *id, char verdict[LINE_MAX_BYTES])
{
    char line[LINE_MAX_BYTES];
    size_t len = strlen(id);

    verdict[0] = '\0';
    rewind(from);
    while (fgets(line, sizeof line, from) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (strncmp(line, id, len) == 0 && line[len] == ' ')
            snprintf(verdict, LINE_MAX_BYTES, "%s", line + len + 1);
    }
}

/* Labels of the baseline that no case has: a typing error, or a condition that is gone. */
static bool find_strangers(FILE *to, FILE *from, const struct score *score)
{
    char line[LINE_MAX_BYTES];
    bool found = false;

    rewind(from);
    while (fgets(line, sizeof line, from) != NULL) {
        line[strcspn(line, " \r\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#' || find_case(score, line) < score->count)
            continue;
        fprintf(to, "unknown     %s: the baseline has it, and it was not run\n", line);
        found = true;
    }
    return found;
}

int score_compare(FILE *to, const char *path, const struct score *score, int *code)
{
    FILE *from = fopen(path, "re");
    struct score_case *fresh;
    struct score only_new = *score;
    char known[LINE_MAX_BYTES], why[96];
    bool different;

    if (from == NULL && errno == ENOENT)
        return cmd_fail(CMD_FAILED, "there is no baseline %s: --update-baseline makes it", path);
    if (from == NULL)
        return cmd_fail(CMD_FAILED, "cannot read the baseline %s: %s", path,
                        shs__strerror(errno, why, sizeof why));
    fresh = shs__calloc(score->count + 1, sizeof *fresh);
    if (fresh == NULL) {
        fclose(from);
        return cmd_fail(CMD_FAILED, "out of memory");
    }
    only_new.cases = fresh;
    only_new.count = 0;
    different = !score->filtered && find_strangers(to, from, score);
    for (size_t i = 0; i < score->count; i++) {
        struct score_case *c = &score->cases[i];
        const char *now = is_deviation(c) ? verdict_word(c) : "";

        find_known(from, c->id, known);
        c->known = now[0] != '\0' && strcmp(now, known) == 0;
        if (strcmp(now, known) == 0)
            continue;
        different = true;
        if (now[0] == '\0')
            fprintf(to, "mended      %s: %s, and the baseline has %s\n", c->id, verdict_word(c),
                    known);
        else
            fprintf(to, "new         %s: %s, and it should %s%s%s\n", c->id, now, expect_word(c),
                    known[0] == '\0' ? "" : "; the baseline has ", known);
        if (now[0] != '\0')
            fresh[only_new.count++] = *c;
    }
    *code = !different ? CMD_OK : score_exit_code(&only_new);
    if (different && *code == CMD_OK)
        *code = CMD_FAILED;
    different = ferror(from) != 0;
    shs__free(fresh);
    fclose(from);
    return different ? cmd_fail(CMD_FAILED, "cannot read the baseline %s: is it a file?", path)
                     : CMD_OK;
}
