/*
 * serve_options.h - what `shs serve` is asked to do, as values. The table that fills them from the
 * command line is serve_settings.c.
 */
#ifndef SHS_CMD_SERVE_OPTIONS_H
#define SHS_CMD_SERVE_OPTIONS_H

#include <shs/server.h>
#include <shs/tls.h>

#include "cmd/serve_place.h"
#include "cmd/serve_routes.h"
#include "cmd/serve_site.h"
#include "cmd/settings.h"
#include "cmd/settings_file.h"
#include "handler/access_format.h"

#define SERVE_CERTS_MAX 1024

extern const struct settings serve_settings;

/* How requests are served side by side. */
enum serve_threading { SERVE_POOL, SERVE_THREAD, SERVE_FORK, SERVE_NONE };
/* The last two are of listeners that the command makes by itself. */
enum serve_handler { SERVE_FILES, SERVE_ECHO, SERVE_WHOAMI, SERVE_REDIRECT, SERVE_HEALTH };
enum serve_log { SERVE_LOG_COMBINED, SERVE_LOG_COMMON, SERVE_LOG_JSON, SERVE_LOG_NONE };

/* A certificate of the command line. */
struct serve_cert {
    const char *cert, *key, *ocsp;
};

/* What is said of the admin plane. */
struct serve_admin_options {
    struct setting_list places; /* "unix:PATH", ... */
    const char *cert, *key, *client_ca, *crl;
    const char *group, *audit, *deny, *rules, *keylog;
    unsigned per_minute; /* 0: not given */
};

struct serve_options {
    const char *directory;
    struct setting_list binds;                   /* as they were given; none = loopback */
    struct serve_place places[SETTING_LIST_MAX]; /* the same, read; at least one */
    size_t place_count;
    struct shs_address more[SETTING_LIST_MAX]; /* those behind the first one, for opt */
    const char *port;                          /* digits, for who has none of his own */
    struct serve_cert certs[SERVE_CERTS_MAX];  /* certs[0].cert NULL: none was given */
    size_t cert_count;
    const char *password_file;
    struct setting_list names; /* for the certificate that the command makes */
    bool no_qr, share_ca, open;
    const char *socket_mode; /* of a Unix socket's file, octal digits; NULL: as the umask has it */
    bool plain;
    struct setting_list proxies; /* networks that send a PROXY protocol header, and "unix" */
    bool proxy_direct;
    size_t proxy_max_header;
    struct setting_list trusted_proxies; /* networks, "unix", "uri=..." */
    const char *forwarded_fields;        /* "for,proto"; NULL: not given */
    struct shs_tls_host host;  /* what --tls-policy and the like say; no certificates in it */
    struct shs_tls_config tls; /* and the rest of TLS; no hosts in it */
    enum serve_threading threading;
    enum serve_handler handler;
    enum serve_log log;
    const char *log_file; /* NULL: stderr */
    enum shs_log_level log_level;
    bool request_id;
    struct setting_list headers; /* as they were given: "Name: value" */
    const char *cache_control;
    char *fields[2 * SETTING_LIST_MAX + 3]; /* both as name, value, ..., NULL: ours */
    unsigned threads, max_threads;          /* 0: not given */
    struct shs_options opt;                 /* the server's, with deadlines and bounds */
    struct serve_site_options site;
    struct serve_route routes[SERVE_ROUTES_MAX];
    size_t route_count;
    const char *redirect; /* a port; NULL: none */
    size_t target;        /* SERVE_REDIRECT: the listener to go to */
    const char *health;   /* where, or NULL */
    char health_host[SERVE_HOST_MAX];
    struct serve_admin_options admin;
    const char *user;     /* NAME[:GROUP]; NULL: who has started it */
    const char *pid_file; /* NULL: none */
    bool no_sandbox, hand_over;
    unsigned drain_grace_ms; /* UINT_MAX: not given, and not looked at yet */
    bool drain_grace_is_given;
    const char *config;
    bool check, print_config;
};

/* All that is served: a listener, or those of the file. They share log and threading. */
struct serve_plan {
    struct serve_options *listeners;
    size_t count;  /* those that were asked for: at least 1, once it has been read */
    size_t served; /* and those that come of them: redirects, the one for probes */
    struct settings_file file;
    struct settings_words words;
};

/*
 * Reads the command line, and the file that it names. True: go on with *out. False: it is done,
 * with *exit_code (--help or --print-config was printed, or it has been said what is wrong).
 * serve_plan_free in either case.
 */
bool serve_plan_read(struct serve_plan *out, int argc, char **argv, int *exit_code);
void serve_plan_free(struct serve_plan *self);

/* What is read at the start and again with SIGHUP, beside `certs`; NULL for what was not given. */
#define SERVE_FILES_READ 13u
void serve_options_files(const struct serve_options *o, const char *files[SERVE_FILES_READ]);

/* The two parts of ADDRESS:PORT; false: it is none. *port points into `text`. */
bool serve_split_address(const char *text, char *host, size_t cap, const char **port);

/* "for,proto" as SHS_FORWARDED_...; false: it is not such a list. */
bool serve_forwarded_fields(const char *text, unsigned *out);

/* The mixin of that threading; NULL: one connection after the other. */
int (*serve_threading_push(enum serve_threading threading))(struct shs_server *,
                                                            struct shs_error *);

#endif
