/*
 * acl.c - `shs acl`: what rules decide, with no server running.
 */
#include "cmd/acl.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

#include "access/policy.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/flags.h"

#define JSON_MAX ((size_t)64 * 1024)

static const char explain_about[] =
    "usage: shs acl explain --policy FILE [OPTION]... METHOD PATH\n"
    "\n"
    "Prints the line that decides, and what it comes to. Exit status: 0 allowed, 1 denied, 2 the\n"
    "command line is wrong, or the rules cannot be read.\n"
    "\n"
    "  shs acl explain --policy admin.rules --cert alice.pem POST /admin/v1/drain\n"
    "  shs acl explain --policy admin.rules --uid 1000 GET /admin/v1/whoami\n";

/* -- who --------------------------------------------------------------------------------------- */

static int judge(struct acl_who *who, const char *file, const struct shs_tls_host *host)
{
    struct shs_error err = {.text = ""};

    shs__client_look_free(who->look);
    who->look = NULL;
    if (shs__client_look_new(&who->look, file, host, &err) != SHS_OK)
        return cmd_fail(CMD_USAGE, "%s", err.text);
    who->identity.cert = shs__client_look_identity(who->look, &who->refused);
    if (who->identity.cert != NULL)
        who->refused = NULL;
    return CMD_OK;
}

int acl_take_cert(struct acl_who *who, struct shs_access_rules *rules, const char *file,
                  const struct shs_tls_host *host)
{
    struct shs_access_policy *policy;
    struct shs_tls_host each = *host;
    int code = CMD_OK;
    bool any = false;

    if (host->client_ca != NULL)
        return judge(who, file, host);
    policy = shs__access_policy(rules);
    each.client_partial = true; /* it may be the file of an issuing CA */
    for (size_t i = 0; code == CMD_OK && i < policy->ca_count; i++) {
        if (policy->cas[i].file == NULL || who->identity.cert != NULL)
            continue;
        any = true;
        each.client_ca = policy->cas[i].file;
        code = judge(who, file, &each);
    }
    shs__policy_free(policy);
    if (!any && code == CMD_OK)
        return cmd_fail(CMD_USAGE,
                        "the rules have no file of a CA: say with --client-ca FILE which "
                        "certificates the server accepts");
    return code;
}

static bool number_of(const char *text, uint64_t *out)
{
    return shs_str_number(shs_str_of(text), UINT32_MAX - 1, out);
}

static int take_gids(struct shs_identity *id, const char *gids)
{
    char *list = shs__strdup(gids), *at = list, *comma;
    int code = list == NULL ? cmd_fail(CMD_FAILED, "out of memory") : CMD_OK;
    bool first = true;

    while (code == CMD_OK && at != NULL) {
        const struct group *group;
        uint64_t gid = 0;

        comma = strchr(at, ',');
        if (comma != NULL)
            *comma++ = '\0';
        group = getgrnam(at);
        if (group != NULL)
            gid = group->gr_gid;
        else if (!number_of(at, &gid))
            code = cmd_fail(CMD_USAGE, "--gid: there is no group '%s' on this system", at);
        if (code == CMD_OK && first)
            id->gid = (gid_t)gid;
        else if (code == CMD_OK && id->group_count == SHS_IDENTITY_GROUPS)
            code = cmd_fail(CMD_USAGE, "--gid: more than %d groups", SHS_IDENTITY_GROUPS);
        else if (code == CMD_OK)
            id->groups[id->group_count++] = (gid_t)gid;
        first = false;
        at = comma;
    }
    shs__free(list);
    return code;
}

int acl_take_uid(struct acl_who *who, const char *uid, const char *gids)
{
    struct shs_identity *id = &who->identity;
    const struct passwd *user = getpwnam(uid);
    int count = SHS_IDENTITY_GROUPS;
    uint64_t number = 0;

    if (user == NULL && !number_of(uid, &number))
        return cmd_fail(CMD_USAGE, "--uid: there is no user '%s' on this system", uid);
    if (user == NULL)
        user = getpwuid((uid_t)number);
    id->has_process = true;
    id->uid = user == NULL ? (uid_t)number : user->pw_uid;
    if (gids != NULL)
        return take_gids(id, gids);
    if (user == NULL)
        return cmd_fail(CMD_USAGE, "user %s is not on this system: say its groups with --gid", uid);
    id->gid = user->pw_gid;
    if (getgrouplist(user->pw_name, user->pw_gid, id->groups, &count) < 0)
        id->group_cut = true;
    else
        id->group_count = (size_t)count;
    return CMD_OK;
}

void acl_who_free(struct acl_who *who)
{
    shs__client_look_free(who->look);
    who->look = NULL;
}

/* -- explain ----------------------------------------------------------------------------------- */

struct explain {
    const char *policy, *cert, *uid, *gid, *user, *client_ca, *crl;
    const char *via, *via_uri, *via_dns, *via_cn, *via_cert;
    bool nobody, json, lax, partial;
    struct flag_list operands;
};

static int member(struct shs_buf *out, const char *key, const char *text)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, ",\"%s\":", key));
    if (text[0] == '\0')
        return shs__buf_append_str(out, SHS_STR("null"));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("\"")));
    SHS_RETURN_IF_ERROR(shs__json_escape(out, shs_str_of(text)));
    return shs__buf_append_str(out, SHS_STR("\""));
}

static int write_json(struct shs_buf *out, const struct shs_access_decision *d, const char *name,
                      const char *refused)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "{\"allowed\":%s", d->allowed ? "true" : "false"));
    SHS_RETURN_IF_ERROR(member(out, "identity", name));
    SHS_RETURN_IF_ERROR(member(out, "role", d->role));
    SHS_RETURN_IF_ERROR(member(out, "need", d->need));
    SHS_RETURN_IF_ERROR(member(out, "ca", d->ca));
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, ",\"line\":%u", d->line));
    SHS_RETURN_IF_ERROR(member(out, "rule", d->rule));
    SHS_RETURN_IF_ERROR(member(out, "refused", refused == NULL ? "" : refused));
    return shs__buf_append_str(out, SHS_STR("}\n"));
}

static int print_json(const struct shs_access_decision *d, const char *name, const char *refused)
{
    struct shs_buf out;
    int rc;

    shs__buf_init(&out, JSON_MAX);
    rc = write_json(&out, d, name, refused);
    if (rc == SHS_OK)
        fwrite(shs__buf_head(&out), 1, out.len, stdout);
    shs__buf_free(&out);
    return rc == SHS_OK ? CMD_OK : cmd_fail(CMD_USAGE, "out of memory");
}

static void print_text(const struct explain *e, const struct shs_access_decision *d,
                       const char *name, const char *refused)
{
    if (refused != NULL)
        printf("the certificate is not used: %s\n", refused);
    if (d->line != 0)
        printf("%s:%u: %s\n", e->policy, d->line, d->rule);
    else
        printf("%s: %s\n", e->policy, d->rule);
    printf("%s: %s has %s%s; ", d->allowed ? "allowed" : "denied", name,
           d->role[0] == '\0' ? "no role" : "the role ", d->role);
    if (d->need[0] == '\0')
        printf("no role has %s %s\n", e->operands.items[0], e->operands.items[1]);
    else
        printf("%s %s is for %s\n", e->operands.items[0], e->operands.items[1], d->need);
}

static int take_who(const struct explain *e, struct acl_who *who, struct shs_access_rules *rules)
{
    struct shs_tls_host host;
    int code = CMD_OK;

    shs_tls_host_init(&host);
    host.client_auth = SHS_TLS_CLIENT_REQUIRED;
    host.client_ca = e->client_ca;
    host.crl = e->crl;
    host.client_lax = e->lax;
    host.client_partial = e->partial;
    shs_identity_init(&who->identity);
    who->identity.user = shs_str_of(e->user);
    who->identity.via = shs_str_of(e->via);
    who->identity.via_uri = shs_str_of(e->via_uri);
    who->identity.via_dns = shs_str_of(e->via_dns);
    who->identity.via_cn = shs_str_of(e->via_cn);
    who->identity.via_cert = shs_str_of(e->via_cert);
    if (e->cert != NULL)
        code = acl_take_cert(who, rules, e->cert, &host);
    if (code == CMD_OK && e->uid != NULL)
        code = acl_take_uid(who, e->uid, e->gid);
    return code;
}

static int decide(const struct explain *e, struct shs_access_rules *rules)
{
    struct acl_who who = {.look = NULL};
    struct shs_access_decision d;
    char name[256];
    int code = take_who(e, &who, rules);

    if (code == CMD_OK) {
        shs_access_decide(rules, &who.identity, shs_str_of(e->operands.items[0]),
                          shs_str_of(e->operands.items[1]), &d);
        shs_identity_text(&who.identity, name, sizeof name);
        if (e->json)
            code = print_json(&d, name, who.refused);
        else
            print_text(e, &d, name, who.refused);
        /* The server ends the handshake of one that is refused; here nothing it asks is allowed. */
        if (code == CMD_OK && (!d.allowed || who.refused != NULL))
            code = CMD_FAILED;
    } else {
        code = CMD_USAGE;
    }
    acl_who_free(&who);
    return code;
}

static int check_args(const struct explain *e)
{
    bool said =
        e->via_uri != NULL || e->via_dns != NULL || e->via_cn != NULL || e->via_cert != NULL;
    bool known = e->cert != NULL || e->uid != NULL || e->user != NULL || e->via != NULL;

    if (e->policy == NULL)
        return cmd_fail(CMD_USAGE, "--policy FILE is missing: the rules");
    if (e->operands.count != 2)
        return cmd_fail(CMD_USAGE, "METHOD and PATH are missing, such as: GET /admin/v1/whoami");
    if (e->operands.items[1][0] != '/')
        return cmd_fail(CMD_USAGE, "the path '%s' does not begin with '/'", e->operands.items[1]);
    if (!known && !e->nobody)
        return cmd_fail(CMD_USAGE, "say who asks: --cert FILE, --uid N, --user NAME or --nobody");
    if (e->nobody && known)
        return cmd_fail(CMD_USAGE,
                        "--nobody is a client of whom nothing is known: leave out what says more");
    if (said && e->via == NULL)
        return cmd_fail(CMD_USAGE,
                        "--via-uri and the like are what a proxy says: add --via ADDRESS");
    if (e->gid != NULL && e->uid == NULL)
        return cmd_fail(CMD_USAGE, "--gid goes with --uid");
    if ((e->client_ca != NULL || e->crl != NULL || e->lax || e->partial) && e->cert == NULL)
        return cmd_fail(CMD_USAGE, "--client-ca, --crl and the like go with --cert");
    if (e->partial && e->client_ca == NULL)
        return cmd_fail(CMD_USAGE, "--client-ca-partial goes with --client-ca");
    return CMD_OK;
}

static int acl_explain(int argc, char **argv)
{
    static struct explain e;
    const struct flag flags[] = {
        {"policy", FLAG_TEXT, &e.policy, "FILE", "the rules"},
        {"cert", FLAG_TEXT, &e.cert, "FILE",
         "PEM: a client's certificate, then the CAs that it sends along"},
        {"client-ca", FLAG_TEXT, &e.client_ca, "FILE",
         "the CAs that the server accepts, as of shs serve; without it\n"
         "the files of the rules' CAs, the first that fits"},
        {"client-ca-partial", FLAG_SET, &e.partial, NULL, "as of shs serve"},
        {"client-lax", FLAG_SET, &e.lax, NULL, "as of shs serve"},
        {"crl", FLAG_TEXT, &e.crl, "FILE", "as of shs serve: CRLs, or a directory of them"},
        {"uid", FLAG_TEXT, &e.uid, "N", "a process at a Unix socket: its user, by number or name"},
        {"gid", FLAG_TEXT, &e.gid, "N,...",
         "its group, then its supplementary ones; without it, those\nthat the user has here"},
        {"user", FLAG_TEXT, &e.user, "NAME", "a user of Basic or Bearer authentication"},
        {"via", FLAG_TEXT, &e.via, "ADDRESS",
         "a proxy that says who its client is; 'unix': at a Unix socket"},
        {"via-uri", FLAG_TEXT, &e.via_uri, "URI", "what it says in X-Forwarded-Client-Cert"},
        {"via-dns", FLAG_TEXT, &e.via_dns, "NAME", "likewise"},
        {"via-cert", FLAG_TEXT, &e.via_cert, "SHA256", "likewise"},
        {"via-cn", FLAG_TEXT, &e.via_cn, "NAME", "what it says in a PROXY protocol header"},
        {"nobody", FLAG_SET, &e.nobody, NULL, "a client of whom nothing is known"},
        {"json", FLAG_SET, &e.json, NULL, "JSON instead of text"},
    };
    struct shs_access_rules *rules = NULL;
    struct shs_error err = {.text = ""};
    int code;

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &e.operands, 2, explain_about, NULL,
                     &code))
        return code;
    code = check_args(&e);
    if (code != CMD_OK)
        return code;
    if (shs_access_new(&rules, e.policy, &err) != SHS_OK)
        return cmd_fail(CMD_USAGE, "%s", err.text);
    code = decide(&e, rules);
    shs_access_free(rules);
    return code;
}

int cmd_acl(int argc, char **argv)
{
    static const struct command rows[] = {
        {"explain", "METHOD PATH", "what rules decide for a client, and by which line", acl_explain,
         false},
        {"test", "TABLE", "whether rules decide as a table expects", acl_test, false},
    };
    static const struct command_list list = {
        "acl", "Looks at a file of rules (shs serve --access). No server is needed.\n", rows,
        SHS_ARRAY_LEN(rows)};

    return commands_run(&list, argc, argv);
}
