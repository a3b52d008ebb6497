/* lab_list.c - `shs lab list`: the conditions, from a lab that is not served. */
#include <stdio.h>

#include <shs/lab.h>

#include "cmd/cmd.h"
#include "cmd/flags.h"
#include "cmd/lab.h"

static const char about[] =
    "usage: shs lab list [OPTION]...\n"
    "\n"
    "Lists the conditions of the lab: what a careful client does with each (A accept, R reject,\n"
    "E good clients differ), how much it matters, and what is served.\n";

static const char *const tiers[] = {"critical", "high", "medium", "low"};

static char letter(enum shs_lab_expect expect)
{
    return expect == SHS_LAB_ACCEPT ? 'A' : expect == SHS_LAB_REJECT ? 'R' : 'E';
}

static void print_line(const struct shs_condition *c)
{
    printf("%-16s %-28s %c %-8s  %s%s%s\n", c->group, c->id, letter(c->expect), tiers[c->tier],
           c->served, c->servable ? "" : "   NOT SERVABLE: ", c->why);
}

static void print_part(const char *label, const char *text)
{
    if (text[0] != '\0')
        printf("  %-12s %s\n", label, text);
}

static void print_whole(const struct shs_condition *c)
{
    static const char *const words[] = {"accepts it", "rejects it", "may do either"};

    printf("%s\n", c->id);
    print_part("served", c->served);
    printf("  %-12s a careful client %s; %s when not\n", "expected", words[c->expect],
           tiers[c->tier]);
    print_part("group", c->group);
    print_part("fault in", c->layer);
    print_part("reason", c->reason);
    print_part("host", c->host);
    print_part("openssl says", c->word);
    if (c->curl_exit != 0)
        printf("  %-12s %d\n", "curl exits", c->curl_exit);
    print_part("go says", c->go);
    print_part("node says", c->node);
    print_part("chromium", c->chromium);
    print_part("do otherwise", c->differs);
    print_part("accept it", c->accepts);
    print_part("needs", c->needs);
    print_part("note", c->note);
    print_part("see", c->refs);
    print_part("NOT SERVABLE", c->why);
}

static int explain(const struct shs_lab *lab, const char *id)
{
    const struct shs_condition *c = shs_lab_find(lab, id);

    if (c == NULL)
        return cmd_fail(CMD_USAGE, "'%s' is not a condition; 'shs lab list' lists them", id);
    print_whole(c);
    return CMD_OK;
}

static int print_group(const struct shs_lab *lab, const char *group)
{
    bool any = false;

    for (const struct shs_condition *c = shs_lab_first(lab); c != NULL; c = shs_lab_next(lab, c)) {
        if (group != NULL && strcmp(c->group, group) != 0)
            continue;
        print_line(c);
        any = true;
    }
    return any ? CMD_OK : cmd_fail(CMD_USAGE, "there is no group '%s'", group);
}

int lab_list(int argc, char **argv)
{
    static struct flag_list operands;
    struct shs_lab_options o;
    const char *group = NULL, *why = NULL;
    bool json = false;
    const struct flag flags[] = {
        {"group", FLAG_TEXT, &group, "NAME", "these only: names, chain, handshake ..."},
        {"why", FLAG_TEXT, &why, "ID", "all about one"},
        {"json", FLAG_SET, &json, NULL, "the manifest"},
        {"domain", FLAG_TEXT, &o.domain, "NAME", "of the names (badssl.test)"},
    };
    struct shs_error err = {.code = SHS_OK};
    struct shs_lab *lab = NULL;
    int code;

    shs_lab_options_init(&o);
    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 0, about, NULL, &code))
        return code;
    if (shs_lab_start(&lab, &o, &err) != SHS_OK)
        return cmd_fail(err.code == SHS_USAGE ? CMD_USAGE : CMD_FAILED, "%s", err.text);
    if (json)
        fputs(shs_lab_manifest(lab), stdout);
    else if (why != NULL)
        code = explain(lab, why);
    else
        code = print_group(lab, group);
    shs_lab_stop(lab);
    return code;
}
