/*
 * rules.h - whom something happens to: the list of rules of a test server, and the faults there
 * are.
 */
#ifndef SHS_TESTING_RULES_H
#define SHS_TESTING_RULES_H

#include <pthread.h>

#include <shs/testing.h>

#include "base/base.h"

#define SHS_TEST_RULES_MAX 256u

struct shs_test_server;
struct shs_test_conn;

/* A fault: of a connection (`connect`), or of an answer (`answer`). */
struct shs_test_fault {
    const char *name;
    const char *text;
    unsigned ms; /* the default of rule.ms */
    /* Before TLS; the ClientHello has come. SHS_OK: go on, the fault comes later; SHS_WAIT_*; or
       how the connection ends. Called again after a wait. */
    int (*connect)(struct shs_test_conn *c, const char *argument, unsigned ms);
    /* In place of the handler: writes to the connection what it likes. */
    int (*answer)(struct shs_test_conn *c, struct shs_request *req,
                  const struct shs_test_rule *rule);
};

extern const struct shs_test_fault shs__test_faults[]; /* ended by a NULL name */

/* Is it what "alert-hello:" may have behind it? */
bool shs__test_is_alert(const char *text);

/* A rule that was taken for somebody: it stays as it is until it is given back. */
struct shs_test_kept_rule {
    struct shs_test_kept_rule *next;
    struct shs_test_rule rule;          /* what it points to is behind it, in one piece of memory */
    const struct shs_test_fault *fault; /* NULL: the answer */
    const char *argument;               /* behind the fault's ":"; or "" */
    unsigned matched;                   /* so many, so far */
    unsigned references;                /* the list's, and those of who uses it */
};

struct shs_test_rules {
    pthread_mutex_t lock;
    struct shs_test_kept_rule *first, **last;
    unsigned count;
    bool for_connections; /* one of them is: the ClientHello has to be looked at */
    bool plain;           /* there is no TLS */
};

void shs__test_rules_init(struct shs_test_rules *self, bool plain);
void shs__test_rules_free(struct shs_test_rules *self);
int shs__test_rules_add(struct shs_test_rules *self, const struct shs_test_rule *rule,
                        struct shs_error *err);
void shs__test_rules_clear(struct shs_test_rules *self);

/* Is there one that a connection's beginning has to be looked at for? */
bool shs__test_rules_for_connections(struct shs_test_rules *self);

/*
 * The rule for a connection (req NULL) or for a request, counted; NULL when there is none. Give it
 * back with shs__test_rule_put.
 */
struct shs_test_kept_rule *shs__test_rules_take(struct shs_test_rules *self, const char *sni,
                                                const struct shs_request *req);
void shs__test_rule_put(struct shs_test_rules *self, struct shs_test_kept_rule *rule);

#endif
