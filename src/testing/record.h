/*
 * record.h - what a test server has seen, in order.
 *
 * Entries are made once and never changed or moved, so that a test may look at one while others are
 * written. They, and all that they point to, are in one arena with a ceiling.
 */
#ifndef SHS_TESTING_RECORD_H
#define SHS_TESTING_RECORD_H

#include <pthread.h>

#include <shs/testing.h>

#include "base/base.h"

#define SHS_TEST_EVENTS_MAX 4096u
#define SHS_TEST_EVENT_BODY ((size_t)65536)

struct shs_test_record {
    pthread_mutex_t lock; /* all of it */
    pthread_cond_t changed;
    struct shs_arena arena;
    struct shs_test_event *events[SHS_TEST_EVENTS_MAX];
    bool taken[SHS_TEST_EVENTS_MAX];
    size_t count;
    uint64_t lost; /* for which there was no room */
};

void shs__test_record_init(struct shs_test_record *self);
void shs__test_record_free(struct shs_test_record *self);

/* Copies the entry with all its texts (NULL is ""), and wakes who waits. Any thread. */
void shs__test_record_add(struct shs_test_record *self, const struct shs_test_event *event,
                          const struct shs_request *req);

const struct shs_test_event *shs__test_record_get(struct shs_test_record *self, size_t i);
int shs__test_record_expect(struct shs_test_record *self, enum shs_test_event_kind kind,
                            const char *what, unsigned within_ms, const struct shs_test_event **out,
                            struct shs_error *err);
int shs__test_record_expect_no_more(struct shs_test_record *self, struct shs_error *err);

#endif
