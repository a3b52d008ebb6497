/*
 * serve_settings.c - the settings of `shs serve`: a new one is a row here.
 *
 * The order of the rows is that of --help, within their groups.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <shs/certs.h>
#include <shs/forwarded.h>
#include <shs/text.h>

#include "base/network.h"
#include "cmd/proxy_target.h"
#include "cmd/serve_admin.h"
#include "cmd/serve_here.h"
#include "cmd/serve_options.h"

#define AT(member)                                                                                 \
    .offset = offsetof(struct serve_options, member),                                              \
    .size = sizeof(((struct serve_options *)0)->member)
/* Of an entry of `routes`. */
#define IN_ROUTE(member)                                                                           \
    .group = "routes", .entries = &route_entries, .offset = offsetof(struct serve_route, member),  \
    .size = sizeof(((struct serve_route *)0)->member)
#define GIB ((uint64_t)1 << 30)
#define THREADS_MAX 100000
#define NOW_MOST INT64_C(253402300799)

/* -- names of values --------------------------------------------------------------------------- */

static const struct setting_choice handlers[] = {
    {"files", SERVE_FILES}, {"echo", SERVE_ECHO}, {"whoami", SERVE_WHOAMI}, {NULL, 0}};

static const struct setting_choice client_auths[] = {{"none", SHS_TLS_CLIENT_NONE},
                                                     {"optional", SHS_TLS_CLIENT_OPTIONAL},
                                                     {"required", SHS_TLS_CLIENT_REQUIRED},
                                                     {"explain", SHS_TLS_CLIENT_EXPLAIN},
                                                     {NULL, 0}};

static const struct setting_choice policies[] = {
    {"intermediate", SHS_TLS_INTERMEDIATE}, {"modern", SHS_TLS_MODERN}, {NULL, 0}};

static const struct setting_choice records[] = {
    {"libssl", SHS_TLS_RECORDS_LIBSSL}, {"direct", SHS_TLS_RECORDS_DIRECT}, {NULL, 0}};

static const struct setting_choice versions[] = {{"1.2", 12}, {"1.3", 13}, {NULL, 0}};

static const struct setting_choice logs[] = {{"combined", SERVE_LOG_COMBINED},
                                             {"common", SERVE_LOG_COMMON},
                                             {"json", SERVE_LOG_JSON},
                                             {"none", SERVE_LOG_NONE},
                                             {NULL, 0}};

static const struct setting_choice levels[] = {{"error", SHS_LOG_ERROR},
                                               {"warning", SHS_LOG_WARNING},
                                               {"info", SHS_LOG_INFO},
                                               {"debug", SHS_LOG_DEBUG},
                                               {NULL, 0}};

static const struct setting_choice threadings[] = {{"pool", SERVE_POOL},
                                                   {"thread", SERVE_THREAD},
                                                   {"fork", SERVE_FORK},
                                                   {"none", SERVE_NONE},
                                                   {NULL, 0}};

/* -- looks at values, and values of more than one part ----------------------------------------- */

static void say(struct setting_problem *problem, const char *text)
{
    snprintf(problem->text, sizeof problem->text, "%s", text);
}

static bool look_at_port(void *to, const struct setting *row, const char *value,
                         struct setting_problem *problem)
{
    SHS_UNUSED(to);
    SHS_UNUSED(row);
    if (serve_is_port(value))
        return true;
    say(problem, "is not a number from 0 to 65535");
    return false;
}

static bool look_at_mode(void *to, const struct setting *row, const char *value,
                         struct setting_problem *problem)
{
    SHS_UNUSED(to);
    SHS_UNUSED(row);
    if (value[0] != '\0' && strlen(value) <= 4 && value[strspn(value, "01234567")] == '\0' &&
        strtoul(value, NULL, 8) <= 0777)
        return true;
    say(problem, "is not a mode from 0 to 0777, such as 0660");
    return false;
}

static bool look_at_bind(void *to, const struct setting *row, const char *value,
                         struct setting_problem *problem)
{
    struct serve_place place;

    SHS_UNUSED(to);
    SHS_UNUSED(row);
    if (serve_place_read(&place, value))
        return true;
    say(problem, "is not an address: 10.0.0.5, ::1 or a name, with a port of its own 10.0.0.5:8443 "
                 "or [::1]:8443, unix:PATH, fd:N from 3 on, systemd or systemd:NAME");
    return false;
}

static bool look_at_network(void *to, const struct setting *row, const char *value,
                            struct setting_problem *problem)
{
    struct shs__network network;
    struct shs_error err;

    SHS_UNUSED(to);
    SHS_UNUSED(row);
    if (strcmp(value, "unix") == 0 || shs__network_read(&network, value, &err) == SHS_OK)
        return true;
    snprintf(problem->text, sizeof problem->text, "cannot be used: %.200s", err.text);
    return false;
}

static bool look_at_proxy(void *to, const struct setting *row, const char *value,
                          struct setting_problem *problem)
{
    static const char *const kinds[] = {"uri=", "dns=", "cn="};

    for (size_t i = 0; i < SHS_ARRAY_LEN(kinds); i++) {
        size_t len = strlen(kinds[i]);

        if (strncmp(value, kinds[i], len) == 0 && value[len] != '\0')
            return true;
    }
    return look_at_network(to, row, value, problem);
}

bool serve_forwarded_fields(const char *text, unsigned *out)
{
    static const struct {
        const char *name;
        unsigned field;
    } fields[] = {{"for", SHS_FORWARDED_FOR},         {"proto", SHS_FORWARDED_PROTO},
                  {"host", SHS_FORWARDED_HOST},       {"cert", SHS_FORWARDED_CERT},
                  {"real-ip", SHS_FORWARDED_REAL_IP}, {"rfc7239", SHS_FORWARDED_RFC7239}};

    *out = 0;
    for (const char *word = text; word != NULL; word = strchr(word, ',')) {
        size_t len, i = 0;

        word += *word == ',' ? 1 : 0;
        len = strcspn(word, ",");
        while (i < SHS_ARRAY_LEN(fields) &&
               (strlen(fields[i].name) != len || strncmp(fields[i].name, word, len) != 0))
            i++;
        if (i == SHS_ARRAY_LEN(fields))
            return false;
        *out |= fields[i].field;
    }
    return true;
}

static bool look_at_forwarded(void *to, const struct setting *row, const char *value,
                              struct setting_problem *problem)
{
    unsigned fields;

    SHS_UNUSED(to);
    SHS_UNUSED(row);
    if (serve_forwarded_fields(value, &fields))
        return true;
    say(problem, "is not a list of: for, proto, host, cert, real-ip, rfc7239");
    return false;
}

/* "9101", "10.0.0.5:9101", "[::1]:9101", ":9101" for every interface. */
bool serve_split_address(const char *text, char *host, size_t cap, const char **port)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);

    *port = colon == NULL ? text : colon + 1;
    if (colon == NULL)
        return snprintf(host, cap, "127.0.0.1") < (int)cap;
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len) != NULL) {
        return false;
    }
    return snprintf(host, cap, "%.*s", (int)len, text) < (int)cap;
}

static bool look_at_health(void *to, const struct setting *row, const char *value,
                           struct setting_problem *problem)
{
    char host[SERVE_HOST_MAX];
    const char *port;

    if (serve_split_address(value, host, sizeof host, &port) &&
        look_at_port(to, row, port, problem))
        return true;
    say(problem, "is not of the form ADDRESS:PORT, or a port: 127.0.0.1:9101, [::1]:9101, 9101");
    return false;
}

static bool look_at_admin(void *to, const struct setting *row, const char *value,
                          struct setting_problem *problem)
{
    struct serve_admin_place place;

    if (serve_admin_place(value, &place) &&
        (place.path != NULL || look_at_port(to, row, place.port, problem)))
        return true;
    say(problem, "is not of the form unix:PATH, tls:[ADDRESS:]PORT or tcp:[ADDRESS:]PORT");
    return false;
}

/* Whether the two parts can be sent is for the handler to say. */
static bool look_at_header(void *to, const struct setting *row, const char *value,
                           struct setting_problem *problem)
{
    const char *colon = strchr(value, ':');

    SHS_UNUSED(to);
    SHS_UNUSED(row);
    if (colon != NULL && colon != value)
        return true;
    say(problem, "is not of the form 'Name: value'");
    return false;
}

static bool look_at_upstream(void *to, const struct setting *row, const char *value,
                             struct setting_problem *problem)
{
    const char *why = "";

    SHS_UNUSED(to);
    SHS_UNUSED(row);
    if (proxy_target_looks_right(value, &why))
        return true;
    say(problem, why);
    return false;
}

static bool look_at_field_value(void *to, const struct setting *row, const char *value,
                                struct setting_problem *problem)
{
    SHS_UNUSED(to);
    SHS_UNUSED(row);
    if (value[0] != '\0' && shs_is_field_value(shs_str_of(value)))
        return true;
    say(problem, "is empty, or has a control character in it");
    return false;
}

static bool look_at_name(void *to, const struct setting *row, const char *value,
                         struct setting_problem *problem)
{
    SHS_UNUSED(to);
    SHS_UNUSED(row);
    if (serve_is_name(value))
        return true;
    say(problem, "is not the name of a host or an address: write app.test or 192.168.1.5, without "
                 "https:// and without a port");
    return false;
}

static bool look_at_index(void *to, const struct setting *row, const char *value,
                          struct setting_problem *problem)
{
    SHS_UNUSED(to);
    SHS_UNUSED(row);
    if (value[0] != '\0' && strchr(value, '/') == NULL)
        return true;
    say(problem, "is not the name of a file: a name has no '/'");
    return false;
}

static bool look_at_user(void *to, const struct setting *row, const char *value,
                         struct setting_problem *problem)
{
    size_t name = strcspn(value, ":");

    SHS_UNUSED(to);
    SHS_UNUSED(row);
    if (name > 0 && (value[name] == '\0' || value[name + 1] != '\0'))
        return true;
    say(problem, "is not of the form NAME or NAME:GROUP");
    return false;
}

static void forget_certs(void *to, const struct setting *row)
{
    struct serve_options *o = to;

    SHS_UNUSED(row);
    for (size_t i = 1; i < o->cert_count; i++)
        o->certs[i] = (struct serve_cert){NULL, NULL, NULL};
    if (o->cert_count > 0) /* a --key that came before the first --cert stays */
        o->certs[0] = (struct serve_cert){NULL, NULL, NULL};
    o->cert_count = 0;
}

static bool take_cert(void *to, const struct setting *row, const char *value,
                      struct setting_problem *problem)
{
    struct serve_options *o = to;

    SHS_UNUSED(row);
    if (o->cert_count == SERVE_CERTS_MAX) {
        snprintf(problem->text, sizeof problem->text, "is one too many: at most %d",
                 SERVE_CERTS_MAX);
        return false;
    }
    o->certs[o->cert_count++].cert = value;
    return true;
}

/* What belongs to the --cert before it, once; before any --cert, to the first that will come. */
static bool take_of_cert(void *to, const struct setting *row, const char *value,
                         struct setting_problem *problem)
{
    struct serve_options *o = to;
    struct serve_cert *last = &o->certs[o->cert_count == 0 ? 0 : o->cert_count - 1];
    const char **member = strcmp(row->name, "key") == 0 ? &last->key : &last->ocsp;

    if (*member != NULL) {
        snprintf(problem->text, sizeof problem->text,
                 "and '%s' are for one certificate: each belongs to the --cert before it", *member);
        return false;
    }
    *member = value;
    return true;
}

static bool take_now(void *to, const struct setting *row, const char *value,
                     struct setting_problem *problem)
{
    int64_t now = (int64_t)time(NULL), when;
    struct serve_options *o = to;

    SHS_UNUSED(row);
    if (shs_parse_date(&when, value, now, NULL) != SHS_OK || when < 0 || when > NOW_MOST) {
        snprintf(
            problem->text, sizeof problem->text,
            "is not a date of the years 1970 to 9999, such as +30d, -1h, 2027-01-31 or @UNIXTIME");
        return false;
    }
    o->opt.clock_offset_s = when - now;
    return true;
}

static void forget_nothing(void *to, const struct setting *row)
{
    SHS_UNUSED(to);
    SHS_UNUSED(row);
}

/* -- the rows ---------------------------------------------------------------------------------- */

static const struct settings_group groups[] = {
    {NULL, "Where it listens, and what it serves", NULL, false},
    {"balancers", "Behind a balancer", NULL, false},
    {"certificates", "Certificates of the server. Without any, it makes one for this computer",
     "cert key ocsp", false},
    {"clients", "Certificates of clients", NULL, false},
    {"tls", "TLS", NULL, false},
    {"files", "Files, and what stands in front of them", NULL, false},
    {"routes", "Paths with something of their own; DIR has all others",
     "path host directory redirect answer status type methods cache-control index no-listing spa "
     "no-compress archive upload max-upload",
     false},
    {"deadlines", "Deadlines. MS is milliseconds", NULL, false},
    {"limits", "Bounds. BYTES may end in k, m or g", NULL, false},
    {"workers", "Requests side by side", NULL, true},
    {"log", "Log", NULL, true},
    {"operators", "For operators", NULL, true},
    {"configuration", "Configuration", NULL, true},
};

static const struct setting_entries route_entries = {
    .items = offsetof(struct serve_options, routes),
    .count = offsetof(struct serve_options, route_count),
    .size = sizeof(struct serve_route),
    .max = SERVE_ROUTES_MAX,
    .place = offsetof(struct serve_route, place),
};

#define TLS "!plain"
#define FILES "handler=files"
#define ASKED "client-auth=optional,required,explain"
#define CLIENTS TLS " client-ca " ASKED
#define ADMIN_TLS "admin=tls:"

static const struct setting rows[] = {
    {.name = "bind",
     .letter = 'b',
     .kind = SETTING_TEXTS,
     .lone = true,
     AT(binds),
     .value = "ADDRESS[:PORT]",
     .take = look_at_bind,
     .preset = "127.0.0.1",
     .help = "address or name to listen on, [::1]:PORT for IPv6 with a port;\n"
             "'' = every interface; unix:PATH; fd:N, systemd or systemd:NAME for\n"
             "sockets it is started with (without any --bind all that systemd\n"
             "passes). May be repeated"},
    {.name = "port",
     .letter = 'p',
     .kind = SETTING_TEXT,
     AT(port),
     .value = "PORT",
     .take = look_at_port,
     .preset = "8443, or 8080 with --plain",
     .help = "where --bind has none; 0 = a free one"},
    {.name = "socket-mode",
     .kind = SETTING_TEXT,
     AT(socket_mode),
     .value = "MODE",
     .take = look_at_mode,
     .help = "permissions of the socket unix:PATH, in octal: who may write may\n"
             "connect; 0660: its user and its group. Without it the umask\n"
             "decides"},
    {.name = "socket-group",
     .kind = SETTING_TEXT,
     AT(opt.path_group),
     .value = "GROUP",
     .help = "group of the socket unix:PATH, a name or a number"},
    {.name = "plain", .kind = SETTING_FLAG, AT(plain), .help = "plain HTTP, without TLS"},
    {.name = "no-qr",
     .kind = SETTING_FLAG,
     AT(no_qr),
     .help = "no QR code of the URL for other devices; it is only drawn on a\n"
             "terminal"},
    {.name = "open",
     .kind = SETTING_FLAG,
     AT(open),
     .needs = "!user !hand-over",
     .help = "open the URL in the browser of this desktop, by xdg-open"},
    {.name = "redirect",
     .kind = SETTING_TEXT,
     AT(redirect),
     .value = "PORT",
     .needs = TLS,
     .take = look_at_port,
     .help = "plain HTTP on this port as well, which sends everybody to https"},
    {.name = "handler",
     .kind = SETTING_CHOICE,
     AT(handler),
     .choices = handlers,
     .preset = "files",
     .help = "files; echo: answers with the request; whoami: with the\n"
             "connection: TLS, client certificate, JA4"},
    {.name = "directory",
     .letter = 'd',
     .kind = SETTING_TEXT,
     AT(directory),
     .once = true,
     .value = "DIR",
     .needs = FILES,
     .preset = "the current one",
     .help = "the directory to serve; the same as DIR"},
    {.group = "balancers",
     .name = "proxy-protocol",
     .kind = SETTING_TEXTS,
     .lone = true,
     AT(proxies),
     .value = "NETWORK",
     .take = look_at_network,
     .help = "peers of this network, 10.0.0.0/8 or an address, are balancers\n"
             "that begin with a PROXY protocol header (1 or 2), and no\n"
             "others are let in; 'unix': peers at a Unix socket. May be\n"
             "repeated"},
    {.group = "balancers",
     .name = "proxy-direct",
     .kind = SETTING_FLAG,
     AT(proxy_direct),
     .needs = "proxy-protocol",
     .help = "others are let in as well; a header from them is refused"},
    {.group = "balancers",
     .name = "proxy-max-header",
     .kind = SETTING_BYTES,
     AT(proxy_max_header),
     .min = 232,
     .max = 65551,
     .needs = "proxy-protocol",
     .help = "the longest PROXY protocol header of version 2"},
    {.group = "balancers",
     .name = "trusted-proxy",
     .kind = SETTING_TEXTS,
     .lone = true,
     AT(trusted_proxies),
     .value = "WHO",
     .take = look_at_proxy,
     .help = "believe what this proxy says of its client: a network, 'unix',\n"
             "or of its certificate uri=..., dns=... or cn=.... From all\n"
             "others Forwarded, X-Forwarded-* and X-Real-IP are deleted. May\n"
             "be repeated"},
    {.group = "balancers",
     .name = "forwarded-fields",
     .kind = SETTING_TEXT,
     AT(forwarded_fields),
     .value = "FIELDS",
     .needs = "trusted-proxy",
     .take = look_at_forwarded,
     .preset = "for,proto",
     .help = "fields that this proxy sets, ',' between: for, proto, host, cert\n"
             "(X-Forwarded-For, -Proto, -Host, -Client-Cert), real-ip\n"
             "(X-Real-IP), rfc7239 (Forwarded); the others are deleted"},
    {.group = "certificates",
     .name = "cert",
     .kind = SETTING_OWN,
     .value = "FILE",
     .needs = TLS,
     .take = take_cert,
     .reset = forget_certs,
     .help = "PEM: the certificate, then its chain; may have the key as well;\n"
             "or PKCS #12. May be repeated: which one is used depends on the\n"
             "name a client asks for, and on the kind of key"},
    {.group = "certificates",
     .name = "key",
     .kind = SETTING_OWN,
     .value = "FILE",
     .needs = TLS " cert",
     .take = take_of_cert,
     .reset = forget_nothing,
     .help = "PEM: the private key of the --cert before it"},
    {.group = "certificates",
     .name = "ocsp",
     .kind = SETTING_OWN,
     .value = "FILE",
     .needs = TLS " cert",
     .take = take_of_cert,
     .reset = forget_nothing,
     .help = "DER: OCSP response to staple, for the --cert before it"},
    {.group = "certificates",
     .name = "name",
     .kind = SETTING_TEXTS,
     .lone = true,
     AT(names),
     .value = "NAME",
     .needs = TLS " !cert",
     .take = look_at_name,
     .help = "the certificate that it makes names this host or address too,\n"
             "beside localhost and where it listens; may be repeated"},
    {.group = "certificates",
     .name = "share-ca",
     .kind = SETTING_FLAG,
     AT(share_ca),
     .needs = TLS " !cert",
     .help = "let other devices have the authority that it makes: /ca is a page\n"
             "that says how each is told to trust it, /ca.pem and /ca.crt the\n"
             "certificate; with --redirect there as well"},
    {.group = "certificates",
     .name = "password-file",
     .kind = SETTING_TEXT,
     AT(password_file),
     .value = "FILE",
     .needs = TLS " cert",
     .help = "the password of the keys; a newline at its end is left out"},
    {.group = "certificates",
     .name = "strict-sni",
     .kind = SETTING_FLAG,
     AT(tls.strict_sni),
     .needs = TLS,
     .help = "refuse names that no certificate has"},
    {.group = "certificates",
     .name = "watch",
     .kind = SETTING_FLAG,
     AT(tls.watch),
     .needs = TLS,
     .help = "reload certificates, CAs, CRLs ... when their files change;\n"
             "a bad file stays as it was, and is tried again. SIGHUP reads\n"
             "everything at any time: what can be used is taken"},
    {.group = "certificates",
     .name = "watch-interval",
     .kind = SETTING_MS,
     AT(tls.watch_interval_ms),
     .min = 1,
     .max = INT_MAX,
     .needs = TLS,
     .help = "look at all of them this often as well; implies --watch"},
    {.group = "clients",
     .name = "client-ca",
     .kind = SETTING_TEXT,
     AT(host.client_ca),
     .value = "FILE",
     .needs = TLS " " ASKED,
     .help = "PEM: ask clients for a certificate of these CAs"},
    {.group = "clients",
     .name = "client-auth",
     .kind = SETTING_CHOICE,
     AT(host.client_auth),
     .choices = client_auths,
     .value = "MODE",
     .needs = TLS,
     .help = "none, optional, required (default with --client-ca), or\n"
             "explain: a client without a good one gets 403 and JSON that\n"
             "says why"},
    {.group = "clients",
     .name = "client-depth",
     .kind = SETTING_NUMBER,
     AT(host.client_depth),
     .min = 0,
     .max = 100,
     .needs = CLIENTS,
     .help = "intermediates in a client's chain, at most"},
    {.group = "clients",
     .name = "client-lax",
     .kind = SETTING_FLAG,
     AT(host.client_lax),
     .needs = CLIENTS,
     .help = "accept client chains that break the rules as old private CAs do"},
    {.group = "clients",
     .name = "client-ca-partial",
     .kind = SETTING_FLAG,
     AT(host.client_partial),
     .needs = CLIENTS,
     .help = "trust each CA in --client-ca as it is, also without its root"},
    {.group = "clients",
     .name = "client-no-ca-names",
     .kind = SETTING_FLAG,
     AT(host.client_no_ca_names),
     .needs = CLIENTS,
     .help = "do not send clients the names of those CAs"},
    {.group = "clients",
     .name = "crl",
     .kind = SETTING_TEXT,
     AT(host.crl),
     .value = "FILE|DIR",
     .needs = CLIENTS,
     .help = "refuse revoked clients; every CA of a chain needs a fresh CRL"},
    {.group = "clients",
     .name = "deny",
     .kind = SETTING_TEXT,
     AT(tls.deny),
     .value = "FILE",
     .needs = CLIENTS,
     .help = "refuse clients listed in it, and end their connections:\n"
             "'cert SHA256', 'spki SHA256' or 'serial HEX ISSUER' a line"},
    {.group = "tls",
     .name = "tls-policy",
     .kind = SETTING_CHOICE,
     AT(host.policy),
     .choices = policies,
     .needs = TLS,
     .preset = "intermediate",
     .help = "intermediate: TLS 1.2 and 1.3; or modern: TLS 1.3"},
    {.group = "tls",
     .name = "tls-records",
     .kind = SETTING_CHOICE,
     AT(tls.records),
     .choices = records,
     .needs = TLS,
     .preset = "libssl",
     .help = "libssl, or direct: from the end of the first request on the\n"
             "library itself reads and writes the records of TLS 1.3, in\n"
             "a tenth of the memory per idle connection; not with FIPS;\n"
             "whoami says which, and why"},
    {.group = "tls",
     .name = "tls-min",
     .kind = SETTING_CHOICE,
     AT(host.min_version),
     .choices = versions,
     .value = "VERSION",
     .needs = TLS,
     .help = "the oldest version of TLS that is accepted: 1.2 or 1.3"},
    {.group = "tls",
     .name = "ciphers",
     .kind = SETTING_TEXT,
     AT(host.ciphers),
     .value = "LIST",
     .needs = TLS,
     .help = "cipher suites, by OpenSSL's names, ':' between"},
    {.group = "tls",
     .name = "groups",
     .kind = SETTING_TEXT,
     AT(host.groups),
     .value = "LIST",
     .needs = TLS,
     .preset = "X25519:P-256:P-384",
     .help = "key exchange groups, likewise"},
    {.group = "tls",
     .name = "ticket-secret",
     .kind = SETTING_TEXT,
     AT(tls.ticket_secret),
     .value = "FILE",
     .needs = TLS,
     .help = "32 bytes or more: servers that have the same secret resume each\n"
             "other's sessions"},
    {.group = "tls",
     .name = "ticket-epoch",
     .kind = SETTING_S,
     AT(tls.ticket_epoch_s),
     .min = 1,
     .max = INT_MAX,
     .needs = TLS,
     .help = "make new ticket keys this often"},
    {.group = "tls",
     .name = "keylog",
     .kind = SETTING_TEXT,
     AT(tls.keylog),
     .value = "FILE",
     .needs = TLS,
     .help = "append the secrets of all sessions, to decrypt captures"},
    {.group = "files",
     .name = "header",
     .letter = 'H',
     .kind = SETTING_TEXTS,
     .pairs = true,
     AT(headers),
     .value = "'NAME: VALUE'",
     .needs = FILES,
     .take = look_at_header,
     .help = "add a field to files and listings; may be repeated"},
    {.group = "files",
     .name = "cache-control",
     .kind = SETTING_TEXT,
     AT(cache_control),
     .value = "VALUE",
     .needs = FILES,
     .take = look_at_field_value,
     .help = "the Cache-Control field of files and listings, such as no-store\n"
             "or max-age=3600; a route may have its own"},
    {.group = "files",
     .name = "proxy",
     .kind = SETTING_TEXTS,
     .lone = true,
     AT(site.proxies),
     .value = "PATH=URL",
     .take = look_at_upstream,
     .help = "another server answers PATH and all that is under it:\n"
             "/api=http://127.0.0.1:3000 leaves the path as it is,\n"
             "/api=http://127.0.0.1:3000/v1 puts /v1 in its place;\n"
             "/app=unix:FILE is a Unix socket. May be repeated"},
    {.group = "files",
     .name = "proxy-timeout",
     .kind = SETTING_MS,
     AT(site.proxy_timeout_ms),
     .min = 1,
     .max = INT_MAX,
     .needs = "proxy",
     .preset = "60000",
     .help = "for the next byte of that server; then 504"},
    {.group = "files",
     .name = "index",
     .kind = SETTING_TEXTS,
     AT(site.index),
     .needs = FILES,
     .take = look_at_index,
     .preset = "index.html, index.htm",
     .help = "the page of a directory; may be repeated"},
    {.group = "files",
     .name = "no-listing",
     .kind = SETTING_FLAG,
     AT(site.no_listing),
     .needs = FILES,
     .help = "a directory without such a page is 404"},
    {.group = "files",
     .name = "spa",
     .kind = SETTING_FLAG,
     AT(site.spa),
     .needs = FILES,
     .help = "for applications that make their routes in the browser: a\n"
             "page that does not exist is the one of DIR; no listings"},
    {.group = "files",
     .name = "no-compress",
     .kind = SETTING_FLAG,
     AT(site.no_compress),
     .needs = FILES,
     .help = "nothing is compressed on the fly; files .br, .zst and .gz\n"
             "beside the one that is asked for are used all the same"},
    {.group = "files",
     .name = "upload",
     .kind = SETTING_FLAG,
     AT(site.upload),
     .needs = FILES,
     .help = "PUT stores a file, and so does a form sent to a directory"},
    {.group = "files",
     .name = "max-upload",
     .kind = SETTING_BYTES,
     AT(site.max_upload),
     .min = 1,
     .max = 1024 * 1024 * GIB,
     .needs = FILES " upload",
     .preset = "1g",
     .help = "the largest upload of one request"},
    {.group = "files",
     .name = "archive",
     .kind = SETTING_FLAG,
     AT(site.archive),
     .needs = FILES,
     .help = "a listing offers its directory as .zip and .tar"},
    {.group = "files",
     .name = "cors",
     .kind = SETTING_TEXT,
     AT(site.cors),
     .alone = "*",
     .value = "ORIGIN",
     .help = "pages of other origins (*) may read the answers; never write"},
    {.group = "files",
     .name = "cors-write",
     .kind = SETTING_TEXTS,
     AT(site.write_origins),
     .value = "ORIGIN",
     .needs = FILES " upload",
     .help = "pages of this origin may store files too; may be repeated"},
    {.group = "files",
     .name = "public-origin",
     .kind = SETTING_TEXTS,
     AT(site.own_origins),
     .value = "ORIGIN",
     .needs = FILES " upload",
     .help = "this server as browsers name it, where a proxy changes Host;\n"
             "may be repeated"},
    {.group = "files",
     .name = "auth-file",
     .kind = SETTING_TEXT,
     AT(site.auth_file),
     .value = "FILE",
     .help = "lines 'user:hash' of crypt(5): nobody else is answered"},
    {.group = "files",
     .name = "access",
     .kind = SETTING_TEXT,
     AT(site.access),
     .value = "FILE",
     .help = "rules: who may do what, by certificate, user or process; read\n"
             "again with SIGHUP. 'shs acl explain' says what they decide"},
    {IN_ROUTE(path), .name = "route", .key = "path", .kind = SETTING_TEXT, .begins = true,
     .value = "PATH[=DIR]",
     .help = "a path, and all that is under it if it is a directory's; in\n"
             "others {NAME} is a segment, {NAME...} at the end the rest. What\n"
             "follows is of the --route before it. May be repeated"},
    {IN_ROUTE(host), .name = "route-host", .key = "host", .kind = SETTING_TEXT,
     .help = "only where the Host field has this name"},
    {IN_ROUTE(directory), .name = "route-directory", .key = "directory", .kind = SETTING_TEXT,
     .value = "DIR", .help = "the same as =DIR"},
    {IN_ROUTE(redirect), .name = "route-redirect", .key = "redirect", .kind = SETTING_TEXT,
     .value = "TARGET", .help = "send everybody there: /PATH or a URL, {NAME} as in the path"},
    {IN_ROUTE(answer), .name = "route-answer", .key = "answer", .kind = SETTING_TEXT,
     .value = "TEXT", .help = "answer with this text"},
    {IN_ROUTE(status), .name = "route-status", .key = "status", .kind = SETTING_NUMBER, .min = 200,
     .max = 599, .preset = "308, 200",
     .help = "of a redirect, or of an answer, which needs no text then"},
    {IN_ROUTE(type), .name = "route-type", .key = "type", .kind = SETTING_TEXT, .value = "TYPE",
     .preset = "text/plain", .help = "of the answer's text"},
    {IN_ROUTE(methods), .name = "route-method", .key = "methods", .kind = SETTING_TEXTS,
     .lone = true, .preset = "all of them",
     .help = "for this method only, others are 405; may be repeated"},
    {IN_ROUTE(cache_control), .name = "route-cache-control", .key = "cache-control",
     .kind = SETTING_TEXT, .value = "TEXT", .help = "that field of what it answers: max-age=3600"},
    {IN_ROUTE(index), .name = "route-index", .key = "index", .kind = SETTING_TEXTS, .lone = true,
     .take = look_at_index, .help = "as --index, for the route's directory"},
    {IN_ROUTE(no_listing), .name = "route-no-listing", .key = "no-listing", .kind = SETTING_FLAG,
     .help = "as --no-listing, for the route's directory"},
    {IN_ROUTE(spa), .name = "route-spa", .key = "spa", .kind = SETTING_FLAG,
     .help = "as --spa, for the route's directory"},
    {IN_ROUTE(no_compress), .name = "route-no-compress", .key = "no-compress", .kind = SETTING_FLAG,
     .help = "as --no-compress, for the route's directory"},
    {IN_ROUTE(archive), .name = "route-archive", .key = "archive", .kind = SETTING_FLAG,
     .help = "as --archive, for the route's directory"},
    {IN_ROUTE(upload), .name = "route-upload", .key = "upload", .kind = SETTING_FLAG,
     .help = "files may be stored there: mind who can come in"},
    {IN_ROUTE(max_upload), .name = "route-max-upload", .key = "max-upload", .kind = SETTING_BYTES,
     .min = 1, .max = 1024 * 1024 * GIB, .preset = "1g",
     .help = "the largest upload of one request"},
    {.group = "operators",
     .name = "health",
     .kind = SETTING_TEXT,
     AT(health),
     .value = "[ADDRESS:]PORT",
     .take = look_at_health,
     .help = "plain HTTP for probes, with threads of its own: /livez, /readyz\n"
             "and /metrics (Prometheus). Without ADDRESS on 127.0.0.1; keep it\n"
             "away from the Internet"},
    {.group = "operators",
     .name = "admin",
     .kind = SETTING_TEXTS,
     AT(admin.places),
     .value = "PLACE",
     .take = look_at_admin,
     .help = "the admin plane, with threads of its own: unix:PATH,\n"
             "tls:[ADDRESS:]PORT for client certificates, or on loopback\n"
             "tcp:[ADDRESS:]PORT; may be repeated once"},
    {.group = "operators",
     .name = "admin-client-ca",
     .kind = SETTING_TEXT,
     AT(admin.client_ca),
     .value = "FILE",
     .needs = ADMIN_TLS,
     .help = "PEM: CAs whose clients may come to tls:"},
    {.group = "operators",
     .name = "admin-crl",
     .kind = SETTING_TEXT,
     AT(admin.crl),
     .value = "PATH",
     .needs = ADMIN_TLS " admin-client-ca",
     .help = "the CRLs of these CAs, a file or a directory"},
    {.group = "operators",
     .name = "admin-cert",
     .kind = SETTING_TEXT,
     AT(admin.cert),
     .value = "FILE",
     .needs = ADMIN_TLS,
     .help = "PEM: the certificate for tls:, when it is not the listener's"},
    {.group = "operators",
     .name = "admin-key",
     .kind = SETTING_TEXT,
     AT(admin.key),
     .value = "FILE",
     .needs = ADMIN_TLS " admin-cert",
     .help = "its key, when it is not in the same file"},
    {.group = "operators",
     .name = "admin-group",
     .kind = SETTING_TEXT,
     AT(admin.group),
     .value = "GROUP",
     .needs = "admin=unix:",
     .help = "group of the Unix socket, a name or a number; its mode is 0660"},
    {.group = "operators",
     .name = "admin-rules",
     .kind = SETTING_TEXT,
     AT(admin.rules),
     .value = "FILE",
     .needs = "admin",
     .help = "who has which role, and what it may (see shs/access.h). Without\n"
             "it, who runs this and root may do everything at unix:, and\n"
             "nobody else anything"},
    {.group = "operators",
     .name = "admin-audit",
     .kind = SETTING_TEXT,
     AT(admin.audit),
     .value = "FILE",
     .needs = "admin",
     .help = "a line of JSON for each request of the admin plane; when it\n"
             "cannot be written, nothing is changed. Without it in the log"},
    {.group = "operators",
     .name = "admin-deny",
     .kind = SETTING_TEXT,
     AT(admin.deny),
     .value = "FILE",
     .needs = "admin",
     .help = "the deny list is kept there for the next start"},
    {.group = "operators",
     .name = "admin-keylog",
     .kind = SETTING_TEXT,
     AT(admin.keylog),
     .value = "FILE",
     .needs = "admin",
     .help = "the role admin may have the secrets of TLS sessions written\n"
             "there for a time (POST keylog), to decrypt captures"},
    {.group = "operators",
     .name = "admin-rate",
     .kind = SETTING_NUMBER,
     AT(admin.per_minute),
     .min = 1,
     .max = 1000000,
     .needs = "admin",
     .preset = "3000",
     .help = "requests per minute of one identity; more are 429"},
    {.group = "operators",
     .name = "drain-grace",
     .kind = SETTING_MS,
     AT(drain_grace_ms),
     .min = 0,
     .max = INT_MAX,
     .preset = "0, or 5000 with --health",
     .help = "after SIGTERM: /readyz fails and answers say Connection: close,\n"
             "and it goes on serving for so long"},
    {.group = "operators",
     .name = "user",
     .kind = SETTING_TEXT,
     AT(user),
     .value = "NAME[:GROUP]",
     .take = look_at_user,
     .help = "as root: open ports and read keys, then be this user for good.\n"
             "SIGHUP reads again only what that user may read"},
    {.group = "operators",
     .name = "pid-file",
     .kind = SETTING_TEXT,
     AT(pid_file),
     .value = "FILE",
     .help = "its process ID is in this file while it serves"},
    {.group = "operators",
     .name = "hand-over",
     .kind = SETTING_FLAG,
     AT(hand_over),
     .needs = "!user threading=pool,thread,none",
     .help = "SIGUSR2 starts the program again, with the same command line,\n"
             "and gives it the open ports; this one then ends like after\n"
             "SIGTERM. If the new one cannot serve, this one goes on"},
    {.group = "operators",
     .name = "no-sandbox",
     .kind = SETTING_FLAG,
     AT(no_sandbox),
     .help = "serve without the sandbox. It keeps the server from what serving\n"
             "does not need: other files, other system calls, new privileges"},
    {.group = "configuration",
     .name = "config",
     .kind = SETTING_TEXT,
     AT(config),
     .flag_only = true,
     .once = true,
     .value = "FILE",
     .help = "YAML: the same as flags, by their names, and 'listeners', each\n"
             "with its own. Flags win"},
    {.group = "configuration",
     .name = "check",
     .kind = SETTING_FLAG,
     AT(check),
     .flag_only = true,
     .help = "look at everything, say what is wrong, and do not serve"},
    {.group = "configuration",
     .name = "print-config",
     .kind = SETTING_FLAG,
     AT(print_config),
     .flag_only = true,
     .help = "print all settings as such a file, the defaults as comments"},
    {.group = "log",
     .name = "log",
     .kind = SETTING_CHOICE,
     AT(log),
     .choices = logs,
     .value = "FORMAT",
     .preset = "combined",
     .help = "access log on stderr: combined, common, json or none"},
    {.group = "log",
     .name = "log-file",
     .kind = SETTING_TEXT,
     AT(log_file),
     .value = "FILE",
     .help = "all that is logged goes there; opened again on SIGUSR1"},
    {.group = "log",
     .name = "log-level",
     .kind = SETTING_CHOICE,
     AT(log_level),
     .choices = levels,
     .value = "LEVEL",
     .preset = "info",
     .help = "how much the server says of itself: error, warning, info or debug;\n"
             "with --log none: warning"},
    {.group = "log",
     .name = "now",
     .kind = SETTING_OWN,
     .flag_only = true,
     .value = "DATE",
     .take = take_now,
     .reset = forget_nothing,
     .help = "what the time is for certificates, CRLs, tickets, Date and log:\n"
             "+30d, -1h, 2027-01-31, @UNIXTIME; it goes on from there. The\n"
             "local authority keeps to the system's clock"},
    {.group = "log",
     .name = "request-id",
     .kind = SETTING_FLAG,
     AT(request_id),
     .help = "answers carry the request's number in the log: X-Request-Id"},
    {.group = "workers",
     .name = "threading",
     .kind = SETTING_CHOICE,
     AT(threading),
     .choices = threadings,
     .preset = "pool",
     .help = "pool: a few threads, none for a client that waits; thread: one\n"
             "for each connection; fork: a process for each; none: one\n"
             "connection after the other"},
    {.group = "workers",
     .name = "threads",
     .kind = SETTING_NUMBER,
     AT(threads),
     .min = 1,
     .max = THREADS_MAX,
     .needs = "threading=pool,thread,fork",
     .help = "pool: threads that run at once (one per core); thread: at most\n"
             "(1024); fork: processes at most (40)"},
    {.group = "workers",
     .name = "max-threads",
     .kind = SETTING_NUMBER,
     AT(max_threads),
     .min = 1,
     .max = THREADS_MAX,
     .needs = "threading=pool",
     .preset = "1024",
     .help = "pool: threads in all, with those whose handler waits"},
    {.group = "workers",
     .name = "thread-groups",
     .kind = SETTING_NUMBER,
     AT(opt.thread_groups),
     .min = 1,
     .max = 64,
     .needs = "threading=pool",
     .help = "sets of pool threads that share nothing; for many cores"},
    {.group = "deadlines",
     .name = "handshake-timeout",
     .kind = SETTING_MS,
     AT(opt.handshake_ms),
     .min = 1,
     .max = INT_MAX,
     .help = "from accepting to the end of the TLS handshake"},
    {.group = "deadlines",
     .name = "head-timeout",
     .kind = SETTING_MS,
     AT(opt.head_ms),
     .min = 1,
     .max = INT_MAX,
     .help = "for the head of a request"},
    {.group = "deadlines",
     .name = "body-timeout",
     .kind = SETTING_MS,
     AT(opt.body_ms),
     .min = 1,
     .max = INT_MAX,
     .help = "for its body, again whenever --min-rate is kept"},
    {.group = "deadlines",
     .name = "write-timeout",
     .kind = SETTING_MS,
     AT(opt.write_ms),
     .min = 1,
     .max = INT_MAX,
     .help = "for the answer, likewise"},
    {.group = "deadlines",
     .name = "min-rate",
     .kind = SETTING_NUMBER,
     AT(opt.min_rate),
     .min = 1,
     .max = INT_MAX,
     .help = "bytes per second that a client must send and read"},
    {.group = "deadlines",
     .name = "idle-timeout",
     .kind = SETTING_MS,
     AT(opt.idle_ms),
     .min = 1,
     .max = INT_MAX,
     .help = "between two requests of a connection"},
    {.group = "deadlines",
     .name = "close-timeout",
     .kind = SETTING_MS,
     AT(opt.close_ms),
     .min = 1,
     .max = INT_MAX,
     .help = "at the end of a connection, for the client's end"},
    {.group = "deadlines",
     .name = "queue-timeout",
     .kind = SETTING_MS,
     AT(opt.queue_ms),
     .min = 1,
     .max = INT_MAX,
     .needs = "threading=pool",
     .help = "for a thread, when all are taken; then 503"},
    {.group = "deadlines",
     .name = "late-timeout",
     .kind = SETTING_MS,
     AT(opt.late_ms),
     .min = 1,
     .max = INT_MAX,
     .needs = "threading=pool",
     .help = "under overload, who would wait longer than this is refused"},
    {.group = "deadlines",
     .name = "connection-age",
     .kind = SETTING_MS,
     AT(opt.connection_age_ms),
     .min = 1,
     .max = INT_MAX,
     .help = "a connection that is older ends after its next answer"},
    {.group = "deadlines",
     .name = "stop-timeout",
     .kind = SETTING_MS,
     AT(opt.stop_ms),
     .min = 1,
     .max = INT_MAX,
     .preset = "7000",
     .help = "for requests under way when it is stopped. By default\n"
             "--drain-grace is taken off it, down to 2000"},
    {.group = "deadlines",
     .name = "stuck-handler",
     .kind = SETTING_MS,
     AT(opt.stuck_handler_ms),
     .min = 1,
     .max = INT_MAX,
     .needs = "threading=pool,thread",
     .help = "a handler that runs longer is logged"},
    {.group = "limits",
     .name = "max-connections",
     .kind = SETTING_NUMBER,
     AT(opt.max_connections),
     .min = 1,
     .max = 10000000,
     .help = "connections at once"},
    {.group = "limits",
     .name = "max-connections-per-address",
     .kind = SETTING_NUMBER,
     AT(opt.max_connections_per_address),
     .min = 1,
     .max = 10000000,
     .preset = "a quarter",
     .help = "connections at once from one address"},
    {.group = "limits",
     .name = "backlog",
     .kind = SETTING_NUMBER,
     AT(opt.request_queue_size),
     .min = 1,
     .max = INT_MAX,
     .help = "connections that wait to be accepted"},
    {.group = "limits",
     .name = "max-requests",
     .kind = SETTING_NUMBER,
     AT(opt.max_requests_per_connection),
     .min = 1,
     .max = UINT_MAX,
     .help = "requests on one connection"},
    {.group = "limits",
     .name = "max-queue",
     .kind = SETTING_NUMBER,
     AT(opt.max_queue),
     .min = 1,
     .max = 10000000,
     .needs = "threading=pool",
     .help = "requests that wait for a thread; more are 503"},
    {.group = "limits",
     .name = "max-request-line",
     .kind = SETTING_BYTES,
     AT(opt.max_request_line),
     .min = 16,
     .max = 1024 * 1024,
     .help = "the longest request line; a longer one is 414"},
    {.group = "limits",
     .name = "max-head",
     .kind = SETTING_BYTES,
     AT(opt.max_head_bytes),
     .min = 64,
     .max = 16 * 1024 * 1024,
     .help = "the longest head, line and fields together; more is 431"},
    {.group = "limits",
     .name = "max-headers",
     .kind = SETTING_NUMBER,
     AT(opt.max_headers),
     .min = 1,
     .max = 10000,
     .help = "fields of a head; more is 431"},
    {.group = "limits",
     .name = "max-body",
     .kind = SETTING_BYTES,
     AT(opt.max_body_bytes),
     .min = 1,
     .max = 1024 * 1024 * GIB,
     .help = "the longest body; a longer one is 413"},
};

const struct settings serve_settings = {
    .rows = rows,
    .count = SHS_ARRAY_LEN(rows),
    .groups = groups,
    .group_count = SHS_ARRAY_LEN(groups),
    .command = "shs serve",
    .sections = "listeners",
};
