/*
 * acl_test.c - `shs acl test`: a table of expectations, kept beside the rules.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "access/policy.h"
#include "access/values.h"
#include "access/words.h"
#include "cmd/acl.h"
#include "cmd/cmd.h"
#include "cmd/flags.h"

#define TABLE_MAX ((size_t)4 * 1024 * 1024)
#define VALUES_MAX 16

static const char about[] =
    "usage: shs acl test TABLE [OPTION]...\n"
    "\n"
    "Checks that the rules decide as TABLE says. Its lines:\n"
    "\n"
    "  policy FILE                      the rules; relative to TABLE\n"
    "  allow [ROLE] WHO METHOD PATH     WHO has that role, and may do this\n"
    "  deny  [ROLE] WHO METHOD PATH\n"
    "\n"
    "WHO is made of what rules are made of: 'cn alice ca corp', 'uid 1000 gid 27', 'user bob'; or\n"
    "'file FILE', a certificate; or 'nobody'. Words with spaces stand in quotes, '#' begins a\n"
    "comment. Exit status: 0 all is as expected, 1 something is not, 2 the table or the rules\n"
    "cannot be read.\n";

struct table {
    struct shs_words words;
    struct shs_arena memory;
    const char *file, *policy;
    struct shs_access_rules *rules;
    unsigned lines, wrong;
};

/* What an identity is made of in a line. */
struct made {
    struct acl_who who;
    struct shs_client_identity cert;
    struct shs_str o[VALUES_MAX], ou[VALUES_MAX];
    struct shs_san sans[VALUES_MAX];
    char cas[VALUES_MAX][65];
    bool any_gid;
};

static int fault(const struct table *t, const char *fmt, ...) SHS_PRINTF(2, 3);

static int fault(const struct table *t, const char *fmt, ...)
{
    char text[240];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return cmd_fail(CMD_USAGE, "%s:%u: %s", t->file, t->words.line, text);
}

/* Relative to the table. For shs__free. */
static char *beside(const struct table *t, const char *file)
{
    const char *slash = strrchr(t->file, '/');

    if (file[0] == '/' || slash == NULL)
        return shs__strdup(file);
    return shs__asprintf("%.*s/%s", (int)(slash - t->file), t->file, file);
}

static int open_rules(struct table *t, const char *file)
{
    struct shs_error err = {.text = ""};

    if (t->rules != NULL)
        return fault(t, "there are rules already");
    if (shs_access_new(&t->rules, file, &err) != SHS_OK)
        return cmd_fail(CMD_USAGE, "%s", err.text);
    return CMD_OK;
}

static int read_policy(struct table *t)
{
    char *path;
    int code;

    if (t->words.count != 2)
        return fault(t, "a line with policy is 'policy FILE'");
    if (t->policy != NULL)
        return CMD_OK; /* --policy counts instead */
    path = beside(t, t->words.at[1].ptr);
    code = path == NULL ? cmd_fail(CMD_FAILED, "out of memory") : open_rules(t, path);
    shs__free(path);
    return code;
}

/* -- who --------------------------------------------------------------------------------------- */

static int add_san(const struct table *t, struct made *m, enum shs_san_kind kind, struct shs_str s)
{
    if (m->cert.san_count == VALUES_MAX)
        return fault(t, "more than %d names", VALUES_MAX);
    m->sans[m->cert.san_count++] = (struct shs_san){kind, s};
    return CMD_OK;
}

static int add_value(const struct table *t, struct shs_str *list, size_t *count, struct shs_str s)
{
    if (*count == VALUES_MAX)
        return fault(t, "more than %d values of a kind", VALUES_MAX);
    list[(*count)++] = s;
    return CMD_OK;
}

static int add_gid(const struct table *t, struct made *m, gid_t gid)
{
    struct shs_identity *id = &m->who.identity;

    if (!m->any_gid) {
        m->any_gid = true;
        id->gid = gid;
        return CMD_OK;
    }
    if (id->group_count == SHS_IDENTITY_GROUPS)
        return fault(t, "more than %d groups", SHS_IDENTITY_GROUPS);
    id->groups[id->group_count++] = gid;
    return CMD_OK;
}

static int take_value(const struct table *t, struct made *m, enum shs_attr attr, struct shs_str s)
{
    struct shs_client_identity *cert = &m->cert;
    uint64_t number = 0;

    if (shs__attr_is_of_cert(attr))
        m->who.identity.cert = cert;
    switch (attr) {
    case SHS_ATTR_CN:
        cert->common_name = s;
        return CMD_OK;
    case SHS_ATTR_O:
        return add_value(t, m->o, &cert->organization_count, s);
    case SHS_ATTR_OU:
        return add_value(t, m->ou, &cert->unit_count, s);
    case SHS_ATTR_DNS:
        return add_san(t, m, SHS_SAN_DNS, s);
    case SHS_ATTR_URI:
        if (shs_str_starts_with(s, "spiffe://"))
            cert->spiffe_id = s;
        return add_san(t, m, SHS_SAN_URI, s);
    case SHS_ATTR_EMAIL:
        return add_san(t, m, SHS_SAN_EMAIL, s);
    case SHS_ATTR_IP:
        return add_san(t, m, SHS_SAN_IP, s);
    case SHS_ATTR_SERIAL:
        cert->serial = s;
        return CMD_OK;
    case SHS_ATTR_SPKI:
        memcpy(cert->spki_sha256, s.ptr, s.len + 1);
        return CMD_OK;
    case SHS_ATTR_CERT:
        memcpy(cert->cert_sha256, s.ptr, s.len + 1);
        return CMD_OK;
    case SHS_ATTR_UID:
        (void)shs_str_number(s, UINT32_MAX, &number);
        m->who.identity.has_process = true;
        m->who.identity.uid = (uid_t)number;
        return CMD_OK;
    case SHS_ATTR_GID:
        (void)shs_str_number(s, UINT32_MAX, &number);
        return add_gid(t, m, (gid_t)number);
    case SHS_ATTR_USER:
        m->who.identity.user = s;
        return CMD_OK;
    case SHS_ATTR_VIA:
        m->who.identity.via = s;
        return CMD_OK;
    case SHS_ATTR_VIA_URI:
        m->who.identity.via_uri = s;
        return CMD_OK;
    case SHS_ATTR_VIA_DNS:
        m->who.identity.via_dns = s;
        return CMD_OK;
    case SHS_ATTR_VIA_CN:
        m->who.identity.via_cn = s;
        return CMD_OK;
    case SHS_ATTR_VIA_CERT:
        m->who.identity.via_cert = s;
        return CMD_OK;
    case SHS_ATTR_ANY:
    case SHS_ATTR_ANYONE:
    case SHS_ATTR_CA:
    case SHS_ATTR_COUNT:
        break;
    }
    return CMD_OK;
}

static int take_ca(const struct table *t, struct made *m, struct shs_str name)
{
    struct shs_access_policy *policy = shs__access_policy(t->rules);
    int ca = shs__policy_ca(policy, name);
    int code = CMD_OK;

    if (ca < 0 || policy->cas[ca].key == NULL)
        code = fault(t, "the rules have no CA '%s'", name.ptr);
    else if (m->cert.ca_count == VALUES_MAX)
        code = fault(t, "more than %d CAs", VALUES_MAX);
    else
        memcpy(m->cas[m->cert.ca_count++], policy->cas[ca].key, 65);
    shs__policy_free(policy);
    return code;
}

static int take_file(const struct table *t, struct made *m, const char *file)
{
    char *path = beside(t, file);
    struct shs_tls_host host;
    int code;

    if (path == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    shs_tls_host_init(&host);
    host.client_auth = SHS_TLS_CLIENT_REQUIRED;
    code = acl_take_cert(&m->who, t->rules, path, &host);
    shs__free(path);
    return code;
}

static int attr_of(struct shs_str word)
{
    for (int i = 0; i < SHS_ATTR_CA; i++) {
        if (i != SHS_ATTR_ANY && i != SHS_ATTR_ANYONE && shs_str_is(word, shs__attr_kinds[i].word))
            return i;
    }
    return -1;
}

static bool begins_who(struct shs_str word)
{
    return attr_of(word) >= 0 || shs_str_is(word, "file") || shs_str_is(word, "nobody");
}

/* Words [from, to). */
static int take_who(struct table *t, struct made *m, size_t from, size_t to)
{
    const struct shs_words *w = &t->words;
    struct shs_access_condition c;
    struct shs_error err = {.text = ""};
    int code = CMD_OK;

    if (to == from + 1 && shs_str_is(w->at[from], "nobody"))
        return CMD_OK;
    if (from == to || (to - from) % 2 != 0)
        return fault(t,
                     "a line is 'allow [ROLE] WHO METHOD PATH', and WHO 'cn alice ca corp', 'uid "
                     "0', 'user bob', 'file alice.pem', or 'nobody'");
    for (size_t i = from; code == CMD_OK && i < to; i += 2) {
        int attr = attr_of(w->at[i]);

        if (shs_str_is(w->at[i], "ca")) {
            code = take_ca(t, m, w->at[i + 1]);
        } else if (shs_str_is(w->at[i], "file")) {
            code = take_file(t, m, w->at[i + 1].ptr);
        } else if (attr < 0) {
            code = fault(t, "'%.60s' is not something that an identity has", w->at[i].ptr);
        } else if (shs__value_read(&t->words, (enum shs_attr)attr, w->at[i + 1], &c, &err) !=
                   SHS_OK) {
            code = cmd_fail(CMD_USAGE, "%s", err.text);
        } else if (c.is_pattern) {
            code = fault(t, "'%.60s' is a pattern, and nobody's name", w->at[i + 1].ptr);
        } else {
            code = take_value(t, m, (enum shs_attr)attr, c.value);
        }
    }
    return code;
}

/* -- a line ------------------------------------------------------------------------------------ */

static void compare(struct table *t, const struct made *m, bool allow, const char *role)
{
    const struct shs_words *w = &t->words;
    struct shs_access_decision d;
    bool same;

    shs_access_decide(t->rules, &m->who.identity, w->at[w->count - 2], w->at[w->count - 1], &d);
    if (m->who.refused != NULL)
        d.allowed = false;
    same = d.allowed == allow && (role == NULL || strcmp(role, d.role) == 0);
    t->lines++;
    if (same)
        return;
    t->wrong++;
    printf("%s:%u: expected %s%s%s, and it is %s with %s%s", t->file, w->line,
           allow ? "allow" : "deny", role == NULL ? "" : " ", role == NULL ? "" : role,
           d.allowed ? "allowed" : "denied", d.role[0] == '\0' ? "no role" : "role ", d.role);
    if (d.line > 0)
        printf(" by line %u of the rules, '%s'", d.line, d.rule);
    else
        printf(": %s", d.rule);
    printf("%s%s\n", m->who.refused == NULL ? "" : "; the certificate counts for nothing: ",
           m->who.refused == NULL ? "" : m->who.refused);
}

static int check_role(const struct table *t, const char *role)
{
    struct shs_access_policy *policy = shs__access_policy(t->rules);
    int found = shs__policy_role(policy, shs_str_of(role));

    shs__policy_free(policy);
    return found >= 0 ? CMD_OK : fault(t, "the rules have no role '%.60s'", role);
}

static int read_expectation(struct table *t, bool allow)
{
    struct made m = {.who = {.look = NULL}};
    const struct shs_words *w = &t->words;
    const char *role = NULL;
    size_t from = 1;
    int code = CMD_OK;

    if (t->rules == NULL)
        return fault(t, "a line 'policy FILE' comes first, or --policy FILE");
    if (w->count < 4)
        return fault(t, "a line is 'allow [ROLE] WHO METHOD PATH'");
    if (!begins_who(w->at[1])) {
        role = w->at[from++].ptr;
        code = check_role(t, role);
    }
    shs_identity_init(&m.who.identity);
    m.cert.verified = true;
    m.cert.organizations = m.o;
    m.cert.units = m.ou;
    m.cert.sans = m.sans;
    m.cert.ca_spki_sha256 = (const char(*)[65])m.cas;
    if (code == CMD_OK)
        code = take_who(t, &m, from, w->count - 2);
    if (code == CMD_OK && w->at[w->count - 1].ptr[0] != '/')
        code = fault(t, "the path '%.60s' does not begin with '/'", w->at[w->count - 1].ptr);
    if (code == CMD_OK)
        compare(t, &m, allow, role);
    acl_who_free(&m.who);
    return code;
}

static int read_line(struct table *t)
{
    struct shs_str word = t->words.at[0];

    if (shs_str_is(word, "policy"))
        return read_policy(t);
    if (shs_str_is(word, "allow") || shs_str_is(word, "deny"))
        return read_expectation(t, shs_str_is(word, "allow"));
    return fault(t, "a line begins with policy, allow or deny, not with '%.60s'", word.ptr);
}

/* -- the table --------------------------------------------------------------------------------- */

static int read_lines(struct table *t, struct shs_str text)
{
    struct shs_error err = {.text = ""};
    int rc, code = CMD_OK;

    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL)
        return cmd_fail(CMD_USAGE, "%s: there is a NUL in it: it is not text", t->file);
    shs__words_begin(&t->words, t->file, text, &t->memory);
    while (code == CMD_OK && (rc = shs__words_next(&t->words, &err)) != SHS_CLOSED)
        code = rc == SHS_OK ? read_line(t) : cmd_fail(CMD_USAGE, "%s", err.text);
    if (code == CMD_OK && t->lines == 0)
        code = cmd_fail(CMD_USAGE, "%s: there is no expectation in it", t->file);
    return code;
}

static int read_table(struct table *t)
{
    struct shs_buf bytes;
    int fd = open(t->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), code;

    if (fd < 0)
        return cmd_fail(CMD_USAGE, "%s cannot be opened", t->file);
    shs__buf_init(&bytes, TABLE_MAX);
    code = shs__read_all(fd, &bytes) != SHS_OK
               ? cmd_fail(CMD_USAGE, "%s cannot be read, or is longer than %zu MiB", t->file,
                          TABLE_MAX >> 20)
               : read_lines(t, (struct shs_str){shs__buf_head(&bytes), bytes.len});
    (void)close(fd);
    shs__buf_free(&bytes);
    return code;
}

int acl_test(int argc, char **argv)
{
    static struct flag_list operands;
    static struct table t;
    const struct flag flags[] = {
        {"policy", FLAG_TEXT, &t.policy, "FILE", "these rules, not those that TABLE names"},
    };
    int code;

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 1, about, NULL, &code))
        return code;
    if (operands.count == 0)
        return cmd_fail(CMD_USAGE, "shs acl test needs a table; try 'shs acl test --help'");
    t.file = operands.items[0];
    shs__arena_init(&t.memory, (size_t)64 * 1024 * 1024);
    code = t.policy == NULL ? CMD_OK : open_rules(&t, t.policy);
    if (code == CMD_OK)
        code = read_table(&t);
    if (code == CMD_OK) {
        printf("%u of %u as expected\n", t.lines - t.wrong, t.lines);
        code = t.wrong == 0 ? CMD_OK : CMD_FAILED;
    } else {
        code = CMD_USAGE;
    }
    shs_access_free(t.rules);
    shs__arena_free(&t.memory);
    return code;
}
