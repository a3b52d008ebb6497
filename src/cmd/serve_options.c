#include "cmd/serve_options.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>

#include "cmd/cmd.h"

#define DEFAULT_PORT "8443"
#define DEFAULT_PLAIN_PORT "8080"

static const char help[] =
    "usage: shs serve [OPTION]... [DIR]\n"
    "\n"
    "Serves the files of DIR (the current directory) over HTTPS. Without --cert it makes a\n"
    "certificate for this computer and says how to trust it.\n"
    "\n"
    "  -b, --bind ADDRESS        address or name to listen on (127.0.0.1); '' = every interface\n"
    "  -p, --port PORT           port (8443, or 8080 with --plain); 0 = one that is free\n"
    "  -d, --directory DIR       the same as DIR\n"
    "\n"
    "      --cert FILE           PEM: the certificate, then its chain; may have the key as well; "
    "or\n"
    "                            PKCS #12. May be repeated: which one is used depends on the name\n"
    "                            a client asks for, and on the kind of key\n"
    "      --key FILE            PEM: the private key of the --cert before it\n"
    "      --ocsp FILE           DER: OCSP response to staple, for the --cert before it\n"
    "      --password-file FILE  the password of the key, without its newline\n"
    "      --plain               plain HTTP, without TLS\n"
    "\n"
    "      --client-ca FILE      PEM: ask clients for a certificate of these CAs\n"
    "      --client-auth MODE    none, optional, required (default with --client-ca), or explain:\n"
    "                            who has no good one gets 403 and JSON that says why\n"
    "      --client-depth N      intermediates in a client's chain, at most (4)\n"
    "      --client-lax          accept client chains that break rules old private CAs break\n"
    "      --client-ca-partial   trust each CA in --client-ca as it is, also without its root\n"
    "      --client-no-ca-names  do not send clients the names of those CAs\n"
    "      --crl FILE|DIR        refuse revoked clients; every CA of a chain needs a fresh CRL\n"
    "      --deny FILE           refuse clients listed in it, and end their connections:\n"
    "                            'cert SHA256', 'spki SHA256' or 'serial HEX ISSUER' a line\n"
    "      --tls-policy NAME     intermediate (default): TLS 1.2 and 1.3; or modern: TLS 1.3\n"
    "      --tls-min VERSION     1.2 or 1.3\n"
    "      --ciphers LIST        OpenSSL's names, ':' between\n"
    "      --groups LIST         likewise; X25519:P-256:P-384\n"
    "      --strict-sni          refuse names that no certificate has\n"
    "      --ticket-secret FILE  32 bytes or more: servers with the same resume each other's\n"
    "                            sessions\n"
    "      --ticket-epoch SECONDS  new ticket keys that often (3600)\n"
    "      --keylog FILE         append the secrets of all sessions, to decrypt captures\n"
    "      --watch               reload certificates, CAs, CRLs ... when their files change; "
    "SIGHUP\n"
    "                            reloads them at any time. A bad file stays as it was, and is\n"
    "                            tried again\n"
    "      --watch-interval MS   look at all of them that often, too (30000); implies --watch\n"
    "\n";

static const char help_more[] =
    "      --handler NAME        files (default); echo: answers with the request; whoami:\n"
    "                            with the connection: TLS, client certificate, JA4\n"
    "  -H, --header 'NAME: VALUE'\n"
    "                            add a field to files and listings; may be repeated\n"
    "      --index NAME          the page of a directory (index.html, index.htm); may be repeated\n"
    "      --no-listing          a directory without such a page is 404\n"
    "      --spa                 for applications that make their routes in the browser: a page\n"
    "                            that does not exist is the one of DIR; no listings\n"
    "      --no-compress         nothing is compressed on the fly; files .br, .zst and .gz beside\n"
    "                            the one that is asked for are used all the same\n"
    "      --upload              PUT stores a file, and so does a form sent to a directory\n"
    "      --max-upload BYTES    of one request (1g)\n"
    "      --archive             a listing offers its directory as .zip and .tar\n"
    "      --cors[=ORIGIN]       pages of other origins (*) may read the answers; never write\n"
    "      --cors-write ORIGIN   pages of this origin may store files too; may be repeated\n"
    "      --public-origin ORIGIN  this server as browsers name it, where a proxy changes Host;\n"
    "                            may be repeated\n"
    "      --auth-file FILE      lines 'user:hash' of crypt(5): nobody else is answered\n"
    "      --log FORMAT          access log on stderr: combined (default), common, json, none\n"
    "      --log-file FILE       all that is logged goes there; opened again on SIGUSR1\n"
    "      --log-level LEVEL     what the server says of itself: error, warning, info, debug;\n"
    "                            info, or with --log none: warning\n"
    "      --request-id          answers say the request's number of the log: X-Request-Id\n"
    "\n"
    "      --threading NAME      pool (default): a few threads, none for a client that waits;\n"
    "                            thread: one for each connection; fork: a process for each;\n"
    "                            none: one connection after the other\n"
    "      --threads N           pool: threads that run at once (one per core); thread: at most\n"
    "                            (1024); fork: processes at most (40)\n"
    "      --max-threads N       pool: with those whose handler waits (1024)\n"
    "\n"
    "  -h, --help                print this text\n"
    "\n";

static const char help_end[] =
    "SIGINT (Ctrl-C) and SIGTERM stop it: requests under way are finished. A second one ends it\n"
    "at once. Exit status: 0 stopped, 1 it could not be done, 2 the command line is wrong.\n";

static const struct serve_threading threadings[] = {
    {"pool", shs_thread_pool_mixin_push, offsetof(struct shs_options, threads)},
    {"thread", shs_threading_mixin_push, offsetof(struct shs_options, max_threads)},
    {"fork", shs_forking_mixin_push, offsetof(struct shs_options, max_children)},
    {"none", NULL, 0},
};

enum {
    OPT_CERT = 256,
    OPT_KEY,
    OPT_OCSP,
    OPT_PASSWORD_FILE,
    OPT_PLAIN,
    OPT_CLIENT_CA,
    OPT_CLIENT_AUTH,
    OPT_CLIENT_DEPTH,
    OPT_CLIENT_LAX,
    OPT_CLIENT_CA_PARTIAL,
    OPT_CLIENT_NO_CA_NAMES,
    OPT_CRL,
    OPT_DENY,
    OPT_TLS_POLICY,
    OPT_TLS_MIN,
    OPT_CIPHERS,
    OPT_GROUPS,
    OPT_STRICT_SNI,
    OPT_TICKET_SECRET,
    OPT_TICKET_EPOCH,
    OPT_KEYLOG,
    OPT_WATCH,
    OPT_WATCH_INTERVAL,
    OPT_HANDLER,
    OPT_LOG,
    OPT_THREADING,
    OPT_THREADS,
    OPT_MAX_THREADS,
    OPT_LOG_FILE,
    OPT_REQUEST_ID,
    OPT_LOG_LEVEL,
    OPT_LIMIT_FIRST = 1024 /* the flags of serve_limits.h */
};

/* Room for all of them, in every table. */
#define FLAGS_MAX 96

static const struct option long_options[] = {
    {"bind", required_argument, NULL, 'b'},
    {"port", required_argument, NULL, 'p'},
    {"directory", required_argument, NULL, 'd'},
    {"cert", required_argument, NULL, OPT_CERT},
    {"key", required_argument, NULL, OPT_KEY},
    {"ocsp", required_argument, NULL, OPT_OCSP},
    {"password-file", required_argument, NULL, OPT_PASSWORD_FILE},
    {"plain", no_argument, NULL, OPT_PLAIN},
    {"client-ca", required_argument, NULL, OPT_CLIENT_CA},
    {"client-auth", required_argument, NULL, OPT_CLIENT_AUTH},
    {"client-depth", required_argument, NULL, OPT_CLIENT_DEPTH},
    {"client-lax", no_argument, NULL, OPT_CLIENT_LAX},
    {"client-ca-partial", no_argument, NULL, OPT_CLIENT_CA_PARTIAL},
    {"client-no-ca-names", no_argument, NULL, OPT_CLIENT_NO_CA_NAMES},
    {"crl", required_argument, NULL, OPT_CRL},
    {"deny", required_argument, NULL, OPT_DENY},
    {"tls-policy", required_argument, NULL, OPT_TLS_POLICY},
    {"tls-min", required_argument, NULL, OPT_TLS_MIN},
    {"ciphers", required_argument, NULL, OPT_CIPHERS},
    {"groups", required_argument, NULL, OPT_GROUPS},
    {"strict-sni", no_argument, NULL, OPT_STRICT_SNI},
    {"ticket-secret", required_argument, NULL, OPT_TICKET_SECRET},
    {"ticket-epoch", required_argument, NULL, OPT_TICKET_EPOCH},
    {"keylog", required_argument, NULL, OPT_KEYLOG},
    {"watch", no_argument, NULL, OPT_WATCH},
    {"watch-interval", required_argument, NULL, OPT_WATCH_INTERVAL},
    {"handler", required_argument, NULL, OPT_HANDLER},
    {"header", required_argument, NULL, 'H'},
    {"log", required_argument, NULL, OPT_LOG},
    {"threading", required_argument, NULL, OPT_THREADING},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"max-threads", required_argument, NULL, OPT_MAX_THREADS},
    {"log-file", required_argument, NULL, OPT_LOG_FILE},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"request-id", no_argument, NULL, OPT_REQUEST_ID},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* -- values: each CMD_OK, or a failure already said -------------------------------------------- */

/* Digits and nothing else, from min to max. */
static bool parse_number(const char *text, unsigned min, unsigned max, unsigned *out)
{
    unsigned value = 0, digit;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        digit = (unsigned)(*text - '0');
        if (value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (value < min)
        return false;
    *out = value;
    return true;
}

static int parse_port(struct serve_options *o, const char *text)
{
    unsigned port;

    if (!parse_number(text, 0, 65535, &port))
        return cmd_fail(CMD_USAGE, "port '%s' is not a number from 0 to 65535", text);
    o->port = text;
    return CMD_OK;
}

static int parse_unsigned(const char *option, const char *text, unsigned max, unsigned *out,
                          bool *has)
{
    if (!parse_number(text, 1, max, out))
        return cmd_fail(CMD_USAGE, "%s '%s' is not a number from 1 to %u", option, text, max);
    *has = true;
    return CMD_OK;
}

static int parse_threading(struct serve_options *o, const char *text)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(threadings); i++) {
        if (strcmp(text, threadings[i].name) == 0) {
            o->threading = &threadings[i];
            return CMD_OK;
        }
    }
    return cmd_fail(CMD_USAGE, "--threading '%s' is not one of: pool, thread, fork, none", text);
}

static int parse_handler(struct serve_options *o, const char *text)
{
    if (strcmp(text, "files") == 0)
        o->handler = SERVE_FILES;
    else if (strcmp(text, "echo") == 0)
        o->handler = SERVE_ECHO;
    else if (strcmp(text, "whoami") == 0)
        o->handler = SERVE_WHOAMI;
    else
        return cmd_fail(CMD_USAGE, "--handler '%s' is not one of: files, echo, whoami", text);
    return CMD_OK;
}

static int parse_log(struct serve_options *o, const char *text)
{
    static const struct {
        const char *name;
        bool log;
        enum shs_access_style style;
    } logs[] = {
        {"combined", true, SHS_ACCESS_COMBINED},
        {"common", true, SHS_ACCESS_COMMON},
        {"json", true, SHS_ACCESS_JSON},
        {"none", false, SHS_ACCESS_COMBINED},
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(logs); i++) {
        if (strcmp(text, logs[i].name) == 0) {
            o->log = logs[i].log;
            o->log_style = logs[i].style;
            return CMD_OK;
        }
    }
    return cmd_fail(CMD_USAGE, "--log '%s' is not one of: combined, common, json, none", text);
}

static int parse_log_level(struct serve_options *o, const char *text)
{
    static const struct {
        const char *name;
        enum shs_log_level level;
    } levels[] = {
        {"error", SHS_LOG_ERROR},
        {"warning", SHS_LOG_WARNING},
        {"info", SHS_LOG_INFO},
        {"debug", SHS_LOG_DEBUG},
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(levels); i++) {
        if (strcmp(text, levels[i].name) == 0) {
            o->log_level = levels[i].level;
            return CMD_OK;
        }
    }
    return cmd_fail(CMD_USAGE, "--log-level '%s' is not one of: error, warning, info, debug", text);
}

/*
 * "Name: value", white space around the value cut off as a receiver would. Whether they can be
 * sent is for the handler to say.
 */
static int parse_header(struct serve_options *o, const char *text)
{
    const char *colon = strchr(text, ':'), *value;
    size_t len;

    if (colon == NULL || colon == text)
        return cmd_fail(CMD_USAGE, "header '%s' is not of the form 'Name: value'", text);
    value = colon + 1 + strspn(colon + 1, " \t");
    len = strlen(value);
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        len--;
    if (o->header_count == 2 * SERVE_HEADERS_MAX)
        return cmd_fail(CMD_USAGE, "more than %d headers", SERVE_HEADERS_MAX);
    o->headers[o->header_count] = shs__strndup(text, (size_t)(colon - text));
    o->headers[o->header_count + 1] = shs__strndup(value, len);
    o->header_count += 2;
    if (o->headers[o->header_count - 2] == NULL || o->headers[o->header_count - 1] == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    return CMD_OK;
}

static int parse_directory(struct serve_options *o, const char *text)
{
    if (o->directory != NULL)
        return cmd_fail(CMD_USAGE, "two directories to serve: '%s' and '%s'", o->directory, text);
    o->directory = text;
    return CMD_OK;
}

static int parse_limit(struct serve_options *o, int option, const char *text)
{
    switch (option) {
    case OPT_THREADS:
        return parse_unsigned("--threads", text, 100000, &o->threads, &o->has_threads);
    case OPT_MAX_THREADS:
        return parse_unsigned("--max-threads", text, 100000, &o->max_threads, &o->has_max_threads);
    default:
        if (option >= SERVE_SITE_FIRST)
            return serve_site_parse(&o->site, option, text);
        return serve_limit_parse(&o->limits, (size_t)(option - OPT_LIMIT_FIRST), text);
    }
}

/* -- TLS --------------------------------------------------------------------------------------- */

static int parse_cert(struct serve_options *o, const char *text)
{
    /* A --key that came first is waiting in certs[0]. */
    if (o->cert_count == SERVE_CERTS_MAX)
        return cmd_fail(CMD_USAGE, "more than %d certificates", SERVE_CERTS_MAX);
    o->certs[o->cert_count++].cert = text;
    return CMD_OK;
}

/* The one that --key and --ocsp belong to; before any --cert, the first that will come. */
static struct serve_cert *last_cert(struct serve_options *o)
{
    return &o->certs[o->cert_count == 0 ? 0 : o->cert_count - 1];
}

/* What belongs to the --cert before it, once. */
static int parse_of_cert(const char *option, const char **member, const char *text)
{
    if (*member != NULL)
        return cmd_fail(CMD_USAGE,
                        "%s '%s' and '%s' for one certificate: each belongs to the --cert before "
                        "it",
                        option, *member, text);
    *member = text;
    return CMD_OK;
}

static int parse_client_auth(struct serve_options *o, const char *text)
{
    static const char *const names[] = {"none", "optional", "required", "explain"};

    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            o->host.client_auth = (enum shs_tls_client_auth)i;
            o->has_client_auth = true;
            return CMD_OK;
        }
    }
    return cmd_fail(CMD_USAGE,
                    "--client-auth '%s' is not one of: none, optional, required, explain", text);
}

static int parse_policy(struct serve_options *o, const char *text)
{
    if (strcmp(text, "modern") == 0)
        o->host.policy = SHS_TLS_MODERN;
    else if (strcmp(text, "intermediate") == 0)
        o->host.policy = SHS_TLS_INTERMEDIATE;
    else
        return cmd_fail(CMD_USAGE, "--tls-policy '%s' is not one of: modern, intermediate", text);
    return CMD_OK;
}

static int parse_tls_min(struct serve_options *o, const char *text)
{
    if (strcmp(text, "1.2") == 0)
        o->host.min_version = 12;
    else if (strcmp(text, "1.3") == 0)
        o->host.min_version = 13;
    else
        return cmd_fail(CMD_USAGE, "--tls-min '%s' is not one of: 1.2, 1.3", text);
    return CMD_OK;
}

/* Options that only make sense with TLS. */
static int parse_tls(struct serve_options *o, int option, const char *value)
{
    bool ignored;

    switch (option) {
    case OPT_CLIENT_CA:
        o->host.client_ca = value;
        return CMD_OK;
    case OPT_CLIENT_AUTH:
        return parse_client_auth(o, value);
    case OPT_CLIENT_DEPTH:
        if (!parse_number(value, 0, 100, &o->host.client_depth))
            return cmd_fail(CMD_USAGE, "--client-depth '%s' is not a number from 0 to 100", value);
        return CMD_OK;
    case OPT_CLIENT_LAX:
        o->host.client_lax = true;
        return CMD_OK;
    case OPT_CLIENT_CA_PARTIAL:
        o->host.client_partial = true;
        return CMD_OK;
    case OPT_CLIENT_NO_CA_NAMES:
        o->host.client_no_ca_names = true;
        return CMD_OK;
    case OPT_CRL:
        o->host.crl = value;
        return CMD_OK;
    case OPT_DENY:
        o->tls.deny = value;
        return CMD_OK;
    case OPT_TLS_POLICY:
        return parse_policy(o, value);
    case OPT_TLS_MIN:
        return parse_tls_min(o, value);
    case OPT_CIPHERS:
        o->host.ciphers = value;
        return CMD_OK;
    case OPT_GROUPS:
        o->host.groups = value;
        return CMD_OK;
    case OPT_STRICT_SNI:
        o->tls.strict_sni = true;
        return CMD_OK;
    case OPT_TICKET_SECRET:
        o->tls.ticket_secret = value;
        return CMD_OK;
    case OPT_TICKET_EPOCH:
        return parse_unsigned("--ticket-epoch", value, INT_MAX, &o->tls.ticket_epoch_s, &ignored);
    case OPT_KEYLOG:
        o->tls.keylog = value;
        return CMD_OK;
    case OPT_WATCH_INTERVAL:
        o->tls.watch = true;
        return parse_unsigned("--watch-interval", value, INT_MAX, &o->tls.watch_interval_ms,
                              &ignored);
    default:
        o->tls.watch = true;
        return CMD_OK;
    }
}

/* One option of the command line. */
static int parse_option(struct serve_options *o, int option, const char *value)
{
    switch (option) {
    case 'b':
        o->bind = value;
        return CMD_OK;
    case 'p':
        return parse_port(o, value);
    case 'd':
        return parse_directory(o, value);
    case 'H':
        return parse_header(o, value);
    case OPT_CERT:
        return parse_cert(o, value);
    case OPT_KEY:
        return parse_of_cert("--key", &last_cert(o)->key, value);
    case OPT_OCSP:
        return parse_of_cert("--ocsp", &last_cert(o)->ocsp, value);
    case OPT_PASSWORD_FILE:
        o->password_file = value;
        return CMD_OK;
    case OPT_PLAIN:
        o->plain = true;
        return CMD_OK;
    case OPT_HANDLER:
        return parse_handler(o, value);
    case OPT_LOG:
        return parse_log(o, value);
    case OPT_LOG_FILE:
        o->log_file = value;
        return CMD_OK;
    case OPT_LOG_LEVEL:
        return parse_log_level(o, value);
    case OPT_REQUEST_ID:
        o->request_id = true;
        return CMD_OK;
    case OPT_THREADING:
        return parse_threading(o, value);
    case OPT_THREADS:
    case OPT_MAX_THREADS:
        return parse_limit(o, option, value);
    default:
        if (option >= OPT_LIMIT_FIRST)
            return parse_limit(o, option, value);
        o->tls_given = true;
        return parse_tls(o, option, value);
    }
}

/* Client certificates: asked for when there is somebody to judge them by. */
static int check_clients(struct serve_options *o)
{
    if (!o->has_client_auth && o->host.client_ca != NULL)
        o->host.client_auth = SHS_TLS_CLIENT_REQUIRED;
    if (o->host.client_auth != SHS_TLS_CLIENT_NONE && o->host.client_ca == NULL)
        return cmd_fail(CMD_USAGE, "--client-auth needs --client-ca, the CAs by which to judge");
    if (o->host.client_auth == SHS_TLS_CLIENT_NONE &&
        (o->host.client_ca != NULL || o->host.crl != NULL || o->tls.deny != NULL ||
         o->host.client_partial || o->host.client_no_ca_names))
        return cmd_fail(CMD_USAGE, "%s goes with --client-auth optional, required or explain",
                        o->host.client_ca != NULL ? "--client-ca"
                        : o->host.crl != NULL     ? "--crl (and --client-ca)"
                        : o->tls.deny != NULL     ? "--deny (and --client-ca)"
                        : o->host.client_partial  ? "--client-ca-partial (and --client-ca)"
                                                  : "--client-no-ca-names (and --client-ca)");
    return CMD_OK;
}

/* What each option allows may still not go together. */
static int check_together(struct serve_options *o)
{
    const struct serve_cert *first = &o->certs[0];

    if (o->plain && (first->cert != NULL || first->key != NULL || o->password_file != NULL ||
                     first->ocsp != NULL))
        return cmd_fail(CMD_USAGE, "--plain is without TLS: it takes no --cert, --key, --ocsp or "
                                   "--password-file");
    if (o->plain && o->tls_given)
        return cmd_fail(CMD_USAGE, "--plain is without TLS: it takes none of its options");
    if (first->key != NULL && first->cert == NULL)
        return cmd_fail(CMD_USAGE, "--key '%s' needs --cert, the certificate it belongs to",
                        first->key);
    if (first->ocsp != NULL && first->cert == NULL)
        return cmd_fail(CMD_USAGE, "--ocsp '%s' needs --cert, the certificate it is about",
                        first->ocsp);
    if (check_clients(o) != CMD_OK)
        return CMD_USAGE;
    if (o->password_file != NULL && first->cert == NULL)
        return cmd_fail(CMD_USAGE, "--password-file '%s' needs --cert", o->password_file);
    if (o->handler != SERVE_FILES && o->directory != NULL)
        return cmd_fail(CMD_USAGE, "--handler %s serves no directory, '%s' is one too many",
                        o->handler == SERVE_ECHO ? "echo" : "whoami", o->directory);
    if (o->handler != SERVE_FILES && o->header_count > 0)
        return cmd_fail(CMD_USAGE, "--header goes with --handler files only");
    if (o->has_threads && o->threading->push == NULL)
        return cmd_fail(CMD_USAGE, "--threads goes with --threading pool, thread or fork only");
    if (o->has_max_threads && o->threading->push != shs_thread_pool_mixin_push)
        return cmd_fail(CMD_USAGE, "--max-threads goes with --threading pool only");
    if (serve_site_check(&o->site, o->handler == SERVE_FILES) != CMD_OK)
        return CMD_USAGE;
    if (o->port == NULL)
        o->port = o->plain ? DEFAULT_PLAIN_PORT : DEFAULT_PORT;
    return CMD_OK;
}

/* All flags for getopt: those of this file, the limits, and those of the site. */
static void all_flags(struct option flags[FLAGS_MAX + 1])
{
    size_t count = 0;

    for (size_t i = 0; long_options[i].name != NULL; i++)
        flags[count++] = long_options[i];
    for (size_t i = 0; serve_limit_name(i) != NULL; i++)
        flags[count++] =
            (struct option){serve_limit_name(i), required_argument, NULL, OPT_LIMIT_FIRST + (int)i};
    for (size_t i = 0; serve_site_flags[i].name != NULL; i++)
        flags[count++] = serve_site_flags[i];
    flags[count] = (struct option){NULL, 0, NULL, 0};
}

static int parse_all(struct serve_options *out, int argc, char **argv, bool *help_wanted)
{
    struct option flags[FLAGS_MAX + 1];
    int option, rc = CMD_OK;

    all_flags(flags);

    optind = 1;
    opterr = 0; /* getopt's own messages name argv[0], and are not ours */
    while (rc == CMD_OK && (option = getopt_long(argc, argv, ":b:p:d:H:h", flags, NULL)) != -1) {
        if (option == 'h') {
            *help_wanted = true;
            return CMD_OK;
        }
        if (option == ':')
            return cmd_fail(CMD_USAGE, "option '%s' needs a value; try 'shs serve --help'",
                            argv[optind - 1]);
        if (option == '?' && optopt > 0 && optopt < 256)
            return cmd_fail(CMD_USAGE, "unknown option '-%c'; try 'shs serve --help'", optopt);
        if (option == '?')
            return cmd_fail(CMD_USAGE, "unknown option '%s'; try 'shs serve --help'",
                            argv[optind - 1]);
        rc = parse_option(out, option, optarg);
    }
    for (; rc == CMD_OK && optind < argc; optind++)
        rc = parse_directory(out, argv[optind]);
    if (out->log_level == 0) /* who wants no log wants no line for each failed connection either */
        out->log_level = out->log ? SHS_LOG_INFO : SHS_LOG_WARNING;
    return rc == CMD_OK ? check_together(out) : rc;
}

bool serve_options_parse(struct serve_options *out, int argc, char **argv, int *exit_code)
{
    bool help_wanted = false;

    memset(out, 0, sizeof *out);
    shs_tls_host_init(&out->host);
    shs_tls_config_init(&out->tls);
    out->threading = &threadings[0];
    out->log = true;
    out->log_style = SHS_ACCESS_COMBINED;
    *exit_code = parse_all(out, argc, argv, &help_wanted);
    if (help_wanted) {
        fputs(help, stdout);
        fputs(help_more, stdout);
        serve_limits_help();
        fputs(help_end, stdout);
    }
    return *exit_code == CMD_OK && !help_wanted;
}

void serve_options_free(struct serve_options *self)
{
    for (size_t i = 0; i < self->header_count; i++)
        shs__free(self->headers[i]);
    self->header_count = 0;
}
