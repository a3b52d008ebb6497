#include "handler/auth_checks.h"

#include <time.h>

#define GUILT_ENTRIES 1024u

struct known {
    unsigned char digest[SHS_SHA256_LEN];
    int64_t used_ns, verified_ns; /* verified_ns 0: nobody's */
};

struct guilt {
    uint64_t address;
    int64_t since_ns;
    unsigned guesses;
};

struct shs_checks {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned wait_ms;
    uint64_t numbers, turns;
    unsigned running, guilty_running, waiting;
    struct shs_check *checks; /* that wait or run, in any order */
    struct known known[SHS_CHECKS_KNOWN];
    struct guilt guilt[GUILT_ENTRIES];
};

int shs__checks_new(struct shs_checks **out, unsigned wait_ms)
{
    struct shs_checks *self = shs__calloc(1, sizeof *self);
    pthread_condattr_t attr;

    if (self == NULL)
        return SHS_NOMEM;
    self->wait_ms = wait_ms;
    pthread_mutex_init(&self->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&self->changed, &attr);
    pthread_condattr_destroy(&attr);
    *out = self;
    return SHS_OK;
}

void shs__checks_free(struct shs_checks *self)
{
    if (self == NULL)
        return;
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    explicit_bzero(self->known, sizeof self->known);
    shs__free(self);
}

/* -- what is known ----------------------------------------------------------------------------- */

static bool is_fresh(const struct known *k, int64_t now)
{
    return k->verified_ns != 0 && now < shs__deadline_after(k->used_ns, SHS_CHECKS_KNOWN_MS) &&
           now < shs__deadline_after(k->verified_ns, SHS_CHECKS_KNOWN_AGE_MS);
}

/* A digest is not a secret that a comparison could tell: it is keyed. Its first byte finds its
   place. */
static size_t place_of(const unsigned char *digest)
{
    return ((size_t)digest[0] << 8 | digest[1]) % SHS_CHECKS_KNOWN;
}

#define PLACES 16u /* where a digest may be: as many from its own on */

static bool use_known(struct shs_checks *self, const unsigned char *digest, int64_t now)
{
    size_t at = place_of(digest);

    for (size_t i = 0; i < PLACES; i++) {
        struct known *k = &self->known[(at + i) % SHS_CHECKS_KNOWN];

        if (is_fresh(k, now) && shs_equal_secret(k->digest, digest, SHS_SHA256_LEN)) {
            k->used_ns = now;
            return true;
        }
    }
    return false;
}

static void keep_known(struct shs_checks *self, const unsigned char *digest, int64_t now)
{
    size_t at = place_of(digest);
    struct known *oldest = &self->known[at];

    for (size_t i = 1; i < PLACES; i++) {
        struct known *k = &self->known[(at + i) % SHS_CHECKS_KNOWN];

        if (k->used_ns < oldest->used_ns)
            oldest = k;
    }
    memcpy(oldest->digest, digest, SHS_SHA256_LEN);
    oldest->used_ns = oldest->verified_ns = now;
}

/* -- what is held against addresses ----------------------------------------------------------- */

static unsigned guesses_of(struct guilt *g, uint64_t address, int64_t now)
{
    if (g->address != address)
        return 0;
    while (g->guesses > 0 && now >= shs__deadline_after(g->since_ns, SHS_CHECKS_FORGET_MS)) {
        g->guesses /= 2;
        g->since_ns = shs__deadline_after(g->since_ns, SHS_CHECKS_FORGET_MS);
    }
    return g->guesses;
}

static bool is_guilty(struct shs_checks *self, uint64_t address, int64_t now)
{
    return guesses_of(&self->guilt[address % GUILT_ENTRIES], address, now) > SHS_CHECKS_FORGIVEN;
}

static void hold_against(struct shs_checks *self, uint64_t address, int64_t now)
{
    struct guilt *g = &self->guilt[address % GUILT_ENTRIES];
    unsigned guesses = guesses_of(g, address, now);

    if (guesses == 0)
        *g = (struct guilt){address, now, 0};
    if (g->guesses < 1000)
        g->guesses++;
}

/* -- turns ------------------------------------------------------------------------------------ */

static struct shs_check *find_equal(struct shs_checks *self, const unsigned char *digest)
{
    struct shs_check *c = self->checks;

    while (c != NULL && !shs_equal_secret(c->digest, digest, SHS_SHA256_LEN))
        c = c->next;
    return c;
}

static void unlink_check(struct shs_checks *self, struct shs_check *check)
{
    struct shs_check **at = &self->checks;

    while (*at != check)
        at = &(*at)->next;
    *at = check->next;
}

/* Who is next: the innocent first, then in the order they came. One place is never a guilty
   one's. */
static bool may_run(const struct shs_checks *self, const struct shs_check *check)
{
    if (self->running == SHS_CHECKS_RUNNING)
        return false;
    if (check->guilty && self->guilty_running + 1 >= SHS_CHECKS_RUNNING)
        return false;
    for (const struct shs_check *c = self->checks; c != NULL; c = c->next) {
        if (c->state != SHS_CHECK_WAITS || c == check)
            continue;
        if (c->guilty != check->guilty ? check->guilty : c->number < check->number)
            return false;
    }
    return true;
}

static bool wait_until(struct shs_checks *self, int64_t deadline_ns)
{
    struct timespec at = {(time_t)(deadline_ns / SHS_NS_PER_S), (long)(deadline_ns % SHS_NS_PER_S)};

    return pthread_cond_timedwait(&self->changed, &self->lock, &at) == 0 ||
           shs_now_ns() < deadline_ns;
}

/* Somebody else verifies the same: what comes out there. */
static enum shs_check_turn follow(struct shs_checks *self, struct shs_check *leader,
                                  int64_t deadline_ns, bool *again)
{
    bool in_time = true;
    enum shs_check_turn turn;

    *again = false;
    if (leader->followers == SHS_CHECKS_FOLLOWERS)
        return SHS_CHECK_TOO_MANY;
    leader->followers++;
    while (leader->state != SHS_CHECK_OVER && in_time)
        in_time = wait_until(self, deadline_ns);
    leader->followers--;
    *again = leader->state == SHS_CHECK_OVER && leader->failed;
    turn = leader->state != SHS_CHECK_OVER ? SHS_CHECK_TOO_MANY
           : leader->right                 ? SHS_CHECK_RIGHT
                                           : SHS_CHECK_WRONG;
    if (leader->followers == 0)
        pthread_cond_broadcast(&self->changed); /* the leader waits for that */
    return turn;
}

static bool has_room(const struct shs_checks *self, uint64_t address)
{
    unsigned same = 0;

    for (const struct shs_check *c = self->checks; c != NULL; c = c->next)
        same += c->address == address;
    return self->waiting < SHS_CHECKS_WAITING && same < SHS_CHECKS_WAITING_OF_ONE;
}

/* Its result is out: whoever follows reads it before it goes. */
static void leave(struct shs_checks *self, struct shs_check *check)
{
    unlink_check(self, check);
    check->state = SHS_CHECK_OVER;
    pthread_cond_broadcast(&self->changed);
    while (check->followers > 0)
        pthread_cond_wait(&self->changed, &self->lock);
}

static enum shs_check_turn lead(struct shs_checks *self, struct shs_check *check,
                                int64_t deadline_ns)
{
    bool in_time = true;

    if (!has_room(self, check->address))
        return SHS_CHECK_TOO_MANY;
    check->state = SHS_CHECK_WAITS;
    check->number = self->numbers++;
    check->guilty = is_guilty(self, check->address, shs_now_ns());
    check->next = self->checks;
    self->checks = check;
    self->waiting++;
    while (!may_run(self, check) && in_time)
        in_time = wait_until(self, deadline_ns);
    self->waiting--;
    if (!in_time) {
        check->failed = true; /* who followed has its own deadline */
        leave(self, check);
        return SHS_CHECK_TOO_MANY;
    }
    check->state = SHS_CHECK_RUNS;
    check->turn = self->turns++;
    self->running++;
    self->guilty_running += check->guilty;
    pthread_cond_broadcast(&self->changed); /* another one may be next */
    return SHS_CHECK_YOURS;
}

enum shs_check_turn shs__checks_enter(struct shs_checks *self, struct shs_check *check)
{
    int64_t now = shs_now_ns(), deadline_ns = shs__deadline_after(now, self->wait_ms);
    enum shs_check_turn turn = SHS_CHECK_RIGHT;
    bool again = true;

    check->followers = 0;
    check->right = check->failed = false;
    pthread_mutex_lock(&self->lock);
    while (again) {
        struct shs_check *leader;

        again = false;
        if (use_known(self, check->digest, shs_now_ns())) {
            turn = SHS_CHECK_RIGHT;
            break;
        }
        leader = find_equal(self, check->digest);
        turn = leader != NULL ? follow(self, leader, deadline_ns, &again)
                              : lead(self, check, deadline_ns);
    }
    pthread_mutex_unlock(&self->lock);
    return turn;
}

unsigned shs__checks_waiting(struct shs_checks *self)
{
    unsigned waiting;

    pthread_mutex_lock(&self->lock);
    waiting = self->waiting;
    pthread_mutex_unlock(&self->lock);
    return waiting;
}

void shs__checks_done(struct shs_checks *self, struct shs_check *check, bool right, bool failed)
{
    int64_t now = shs_now_ns();

    pthread_mutex_lock(&self->lock);
    self->running--;
    self->guilty_running -= check->guilty;
    check->right = right;
    check->failed = failed;
    if (right)
        keep_known(self, check->digest, now);
    else if (!failed)
        hold_against(self, check->address, now);
    leave(self, check);
    pthread_mutex_unlock(&self->lock);
}
