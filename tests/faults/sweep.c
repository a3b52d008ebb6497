/*
 * sweep.c - everything that can fail fails, one thing at a time, in every scenario; each time the
 * answer is right or visibly none, the next one is right, and nothing is left behind.
 *
 *   sweep [--every N] [--most N] [--only TEXT]    all scenarios (with TEXT in their name), each
 *                                       N-th fault, or so many of a scenario, evenly spread
 *   sweep --only TEXT --at KIND ERROR K RUN      one fault, to look at
 *
 * A scenario is a process of its own. When it dies or hangs, that is counted, and the next one goes
 * on behind that fault. The table goes to stdout, what went wrong to stderr.
 */
#include "scenario.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#ifdef SHS_HAVE_ZLIB
#include <zlib.h>
#endif

#include "base/base.h"
#include "inject.h"

#define ROW 5      /* that fail in a row, the second time */
#define STUCK_S 90 /* a fault that takes so long hangs */
#define WARM 6     /* what is set up once is set up then */
#define GROWTH 40  /* allocations that a server may have kept after a step */
/* OpenSSL keeps something for each thread that has used it: 22 for its random generators, and what
   its last errors said. On a busy machine a worker may come to its first handshake at any step. */
#define OF_A_THREAD 48
#define LATE_THREADS 4 /* of a run */
/*
 * What OpenSSL 3.0 itself may lose for one fault: two for a name that it could not enter. An object
 * of OpenSSL's that the library forgot would be more: an X509 is dozens.
 */
#define OPENSSL_OWN 4
#define BY_BYTES 1000 /* of a request, when things are of one byte */
#define MOST_BAD 12   /* of one step; then it goes on with the next */

/* -- what came of it, shared with the processes ------------------------------------------------ */

enum column { ONCE, IN_A_ROW, CALLS, ONE_BYTE, COLUMNS };

struct row {
    atomic_long tried[COLUMNS], bad[COLUMNS];
    atomic_bool broken; /* it does not even work without faults */
};

struct table {
    atomic_long heartbeat;
    atomic_long number; /* of the fault in this scenario, for --every */
    struct row rows[128];
};
static struct table *table;

static long every = 1, most; /* most: 0 is all of them */
static const char *only;
static const char *at_kind; /* --at */
static int at_error;
static long at_k, at_run;

/* -- one conversation -------------------------------------------------------------------------- */

static struct answer golden[4], plain_golden[4];
static unsigned golden_count;

/* The names of the entries, each in its link, to the end of the page. */
static bool lists_all(const char *page)
{
    static const char *const names[] = {"\"a.txt\"", "\"b%20%26%20c.txt\"", "\"d.bin\"", "</html>"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strstr(page, names[i]) == NULL)
            return false;
    }
    return true;
}

/* Is this what is being failed, and has it? */
static bool failed_by(int error)
{
    return atomic_load(&faults->armed) && !atomic_load(&faults->counting) &&
           atomic_load(&faults->fired) && atomic_load(&faults->error) == error;
}

/* The same bytes may be coded in more than one way. */
static bool is_gzip_of(const struct answer *got, const struct answer *plain)
{
#ifdef SHS_HAVE_ZLIB
    z_stream z = {.next_in = (unsigned char *)got->body, .avail_in = (unsigned)got->len};
    unsigned char *out = malloc(plain->len + 1);
    bool same = false;

    z.next_out = out;
    z.avail_out = (unsigned)plain->len + 1;
    if (out != NULL && inflateInit2(&z, 15 + 16) == Z_OK) {
        same = inflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out == plain->len &&
               memcmp(out, plain->body, plain->len) == 0;
        (void)inflateEnd(&z);
    }
    free(out);
    return same;
#else
    (void)got;
    (void)plain;
    return false;
#endif
}

/* `plain`: what it is without a coding; NULL: not known. */
static enum verdict compare(const struct scenario *scenario, const struct answer *got,
                            const struct answer *want, const struct answer *plain, char text[200])
{
    if (got->status == 500 || got->status == 503 || got->status == 507)
        return BROKEN;
    if ((scenario->flags & MAY_REFUSE) != 0 && got->status == 403)
        return BROKEN;
    /* What may not be read is not there, as for Python's; and nothing is stored there. */
    if ((got->status == 404 || got->status == 403) && failed_by(EACCES))
        return BROKEN;
    if (got->status != want->status) {
        snprintf(text, 200, "status %d: %.150s", got->status, got->len > 0 ? got->body : "");
        return WRONG;
    }
    if (strcmp(got->type, want->type) != 0 || strcmp(got->range, want->range) != 0 ||
        strcmp(got->location, want->location) != 0 || strcmp(got->coding, want->coding) != 0) {
        snprintf(text, 200, "other fields: %.40s|%.40s|%.40s|%.40s", got->type, got->coding,
                 got->range, got->location);
        return WRONG;
    }
    if ((scenario->flags & MAY_LACK) != 0 && lists_all(got->body))
        return WHOLE;
    /* An archive leaves out what may not be read, on purpose: handler/archive.c. */
    if ((scenario->flags & MAY_OMIT) != 0 && failed_by(EACCES) && got->len > 0)
        return WHOLE;
    /* Without memory for the names of what it has stored it has stored them all the same. */
    if ((scenario->flags & STORES) != 0 && failed_by(ENOMEM) && got->len == 0)
        return WHOLE;
    if (strcmp(got->coding, "gzip") == 0 && plain != NULL && is_gzip_of(got, plain))
        return WHOLE;
    if ((scenario->flags & CHANGES) != 0) {
        if (got->len > 0 && (want->body[0] != '{' || got->body[0] == '{') &&
            want->body[want->len - 1] == got->body[got->len - 1])
            return WHOLE;
    } else if (got->len == want->len &&
               (want->len == 0 || memcmp(got->body, want->body, want->len) == 0)) {
        return WHOLE;
    }
    snprintf(text, 200, "another body, %zu bytes for %zu", got->len, want->len);
    return WRONG;
}

static size_t body_at(unsigned char *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (unsigned char)('a' + i % 23);
    return len;
}

static enum verdict say_all(const struct scenario *scenario, struct line *line)
{
    bool by_bytes = atomic_load(&faults->armed) && !atomic_load(&faults->counting) &&
                    atomic_load(&faults->what) == FAULTS_ONE_BYTE;
    enum verdict verdict;

    line->by_bytes = by_bytes ? BY_BYTES : 0;
    verdict = line_say(line, scenario->ask, strlen(scenario->ask));

    if (verdict == WHOLE && scenario->body > 0) {
        unsigned char *body = malloc(scenario->body);

        verdict = line_say(line, body, body_at(body, scenario->body));
        free(body);
    }
    return verdict;
}

static unsigned answers_of(const struct scenario *scenario)
{
    return scenario->answers == 0 ? 1 : scenario->answers;
}

/* Reads the answers; the first time they are what all others are to be. */
static enum verdict hear_all(const struct scenario *scenario, struct line *line, char text[200])
{
    struct reader reader = {.bytes = NULL};
    enum verdict verdict = WHOLE;

    for (unsigned i = 0; i < answers_of(scenario) && verdict == WHOLE; i++) {
        struct answer answer;

        verdict = answer_read(&answer, line, &reader, (scenario->flags & IS_HEAD) != 0);
        if (verdict == WRONG)
            snprintf(text, 200, "no HTTP");
        if (verdict == WHOLE && golden_count <= i) {
            golden[golden_count++] = answer;
            if (scenario->status != 0 && answer.status != scenario->status) {
                snprintf(text, 200, "status %d at first", answer.status);
                verdict = WRONG;
            }
            continue;
        }
        if (verdict == WHOLE && (scenario->flags & MAY_CODE) != 0 && answer.coding[0] == '\0' &&
            plain_golden[i].status != 0)
            verdict = compare(scenario, &answer, &plain_golden[i], NULL, text);
        else if (verdict == WHOLE)
            verdict = compare(scenario, &answer, &golden[i],
                              plain_golden[i].status != 0 ? &plain_golden[i] : NULL, text);
        answer_free(&answer);
    }
    reader_free(&reader);
    return verdict;
}

/*
 * Of a server that forks: until there is the child, whose OpenSSL is to be in no use of this one.
 */
static void until_forked(void *ctx)
{
    struct world *world = ctx;
    struct timespec moment = {.tv_nsec = 100000};
    struct shs_server_stats stats = {.children = 0};

    for (int i = 0; i < 5000 && stats.children == 0; i++) {
        shs_server_get_stats(world->server, &stats);
        nanosleep(&moment, NULL);
    }
}

static enum verdict talk_http(const struct scenario *scenario, struct world *world, char text[200])
{
    struct line line;
    bool resumes = (scenario->flags & RESUMES) != 0;
    struct line_options options = {
        .tls = world->client,
        .name = "localhost",
        .session = resumes ? world->session : NULL,
        .connected = world->threading == FORK && world->client != NULL ? until_forked : NULL,
        .ctx = world,
    };
    enum verdict verdict = line_open(&line, &world->place, &options);

    /* A server that answers before it has read all may be heard although it cannot be told. */
    if (verdict == WHOLE)
        verdict = say_all(scenario, &line);
    if (verdict == WHOLE || (verdict == BROKEN && line.ssl == NULL)) {
        enum verdict heard = hear_all(scenario, &line, text);

        verdict = verdict == BROKEN && heard == WHOLE ? BROKEN : heard;
    }
    line_close(&line);
    return verdict;
}

/* -- files, before and after ------------------------------------------------------------------- */

static void touch_all(void)
{
    static const char *const names[] = {"small.txt", "large.bin", "page.html", "app.js",
                                        "index/index.html"};
    static long tick;
    struct timespec times[2];
    char path[160];

    tick++;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        times[0].tv_sec = times[1].tv_sec = 1700000000 + tick;
        times[0].tv_nsec = times[1].tv_nsec = 0;
        snprintf(path, sizeof path, "%s/%s", site_dir, names[i]);
        (void)utimensat(AT_FDCWD, path, times, 0);
    }
}

static void empty_up(void)
{
    char path[400];
    DIR *dir;

    snprintf(path, sizeof path, "%s/up", site_dir);
    dir = opendir(path);
    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        snprintf(path, sizeof path, "%s/up/%s", site_dir, e->d_name);
        if (e->d_name[0] != '.' || strlen(e->d_name) > 2)
            (void)unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
}

/* A stored file is whole, and there is no other. */
static enum verdict look_at_up(bool stored, char text[200])
{
    char path[400];
    unsigned seen = 0;
    DIR *dir;

    snprintf(path, sizeof path, "%s/up", site_dir);
    dir = opendir(path);
    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        struct stat st = {.st_size = 0};

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        seen++;
        snprintf(path, sizeof path, "%s/up/%s", site_dir, e->d_name);
        (void)stat(path, &st);
        if (strcmp(e->d_name, "new.txt") != 0 || (st.st_size != 100000 && st.st_size != 28)) {
            snprintf(text, 200, "a file %.100s of %ld bytes", e->d_name, (long)st.st_size);
            seen = 99;
            break;
        }
    }
    if (dir != NULL)
        closedir(dir);
    if (stored && seen == 0)
        snprintf(text, 200, "a file was stored, and is not there");
    return seen == 99 || (stored && seen == 0) ? WRONG : WHOLE;
}

/* -- what a process holds ---------------------------------------------------------------------- */

struct holds {
    unsigned descriptors, threads;
    long live, openssl;
};

static struct holds holds_now(void)
{
    OPENSSL_thread_stop(); /* the queue of errors keeps the texts of the last sixteen */
    return (struct holds){entries("/proc/self/fd"), entries("/proc/self/task"), faults_live(),
                          faults_live_in_openssl()};
}

/* -- one fault --------------------------------------------------------------------------------- */

struct run {
    const struct scenario *scenario;
    struct world world;
    struct row *row;
    int index;
    long bad_here; /* in this step */
    unsigned late_threads;
    struct holds before;
};

static enum verdict do_it(struct run *run, bool armed, char text[200])
{
    const struct scenario *s = run->scenario;
    enum verdict verdict;

    text[0] = '\0';
    if (s->call != NULL && armed) {
        if (!s->forks)
            faults_mine(true);
        verdict = s->call(&run->world, text);
        faults_mine(false);
        ERR_clear_error();
        return verdict;
    }
    if (s->call != NULL && !s->serves) {
        verdict = s->call(&run->world, text);
        ERR_clear_error();
        return verdict;
    }
    if (s->flags & TOUCHES)
        touch_all();
    if (s->flags & STORES)
        empty_up();
    verdict = s->talk != NULL ? s->talk(s, &run->world, text) : talk_http(s, &run->world, text);
    if (verdict == BROKEN && text[0] == '\0')
        snprintf(text, 200, "no answer");
    if (run->world.server != NULL && !world_is_quiet(&run->world) && verdict != WRONG) {
        snprintf(text, 200, "the connection is never over");
        verdict = HANGS;
    }
    if ((s->flags & STORES) != 0 && verdict != WRONG) {
        char more[200] = "";

        if (look_at_up(verdict == WHOLE, more) == WRONG) {
            snprintf(text, 200, "%s", more);
            verdict = WRONG;
        }
    }
    return verdict;
}

static const char *const verdict_names[] = {"whole", "broken", "wrong", "hangs"};

static void complain(struct run *run, const char *kind, int error, long k, long run_length,
                     const char *when, enum verdict verdict, const char *text)
{
    run->bad_here++;
    fprintf(stderr, "%s: %s %d, call %ld (%ld): %s%s: %.150s\n", run->scenario->name, kind, error,
            k, run_length, when, verdict_names[verdict], text);
}

/* What calls may leave behind is nothing; servers are looked at when they end. */
static bool left_something(struct run *run, char text[200])
{
    long openssl_own = OPENSSL_OWN;
    struct holds now;

    if (run->world.server != NULL)
        return false;
    now = holds_now();
    snprintf(text, 200, "%u descriptors for %u, %u threads for %u, %ld allocations for %ld",
             now.descriptors, run->before.descriptors, now.threads, run->before.threads,
             now.live + now.openssl, run->before.live + run->before.openssl);
    if (run->scenario->openssl_keeps > 0)
        openssl_own = run->scenario->openssl_keeps;
    if (now.threads != run->before.threads && threads_come_to(run->before.threads))
        now.threads = run->before.threads;
    if (now.descriptors == run->before.descriptors && now.threads == run->before.threads &&
        now.live == run->before.live && now.openssl <= run->before.openssl + openssl_own)
        return false;
    run->before = now; /* each leak is told once */
    return true;
}

/*
 * OpenSSL learns names when it needs them, and keeps them: what is left behind once is that. A leak
 * is there again whenever the same call fails.
 */
static bool again_each_time(struct run *run, enum faults_what what, int error, long k, long length,
                            char text[200])
{
    char ignored[200];

    for (int i = 0; i < 3; i++) {
        faults_arm(what, error, k, k + length - 1);
        (void)do_it(run, true, ignored);
        if (!faults_disarm() || !left_something(run, text))
            return false;
    }
    return true;
}

/* Returns whether there was such a call. */
static bool try_fault(struct run *run, enum column column, enum faults_what what, int error, long k,
                      long length)
{
    const char *kind = faults_kinds[what].name;
    enum verdict verdict;
    char text[200];
    bool fired;

    atomic_store(&faults->now_k, k);
    atomic_fetch_add(&table->heartbeat, 1);
    faults_arm(what, error, k, k + length - 1);
    verdict = do_it(run, true, text);
    fired = faults_disarm();
    if (!fired)
        return false;
    atomic_fetch_add(&run->row->tried[column], 1);
    if (atomic_exchange(&faults->crashed, 0) != 0) {
        verdict = WRONG;
        snprintf(text, sizeof text, "a child crashed");
    }
    if (at_kind != NULL)
        fprintf(stderr, "%s: %.150s\n", verdict_names[verdict], text);
    if (verdict == WRONG || verdict == HANGS) {
        atomic_fetch_add(&run->row->bad[column], 1);
        complain(run, kind, error, k, length, "", verdict, text);
        (void)do_it(run, false, text);
        return true;
    }
    if (left_something(run, text) && again_each_time(run, what, error, k, length, text)) {
        atomic_fetch_add(&run->row->bad[column], 1);
        complain(run, kind, error, k, length, "left behind: ", WRONG, text);
        return true;
    }
    if (run->scenario->forks)
        return true;
    verdict = do_it(run, false, text);
    if (verdict == WHOLE)
        return true;
    atomic_fetch_add(&run->row->bad[column], 1);
    complain(run, kind, error, k, length, "the next one: ", verdict, text);
    return true;
}

static void sweep_kind(struct run *run, enum column column, enum faults_what what, int error,
                       long from, long length)
{
    long count = atomic_load(&faults->counts[what]);

    run->bad_here = 0;
    for (long k = from; run->bad_here < MOST_BAD; k++) {
        long number = atomic_fetch_add(&table->number, 1);

        if (number % every != run->index % every) {
            if (k >= count)
                break;
            continue;
        }
        if (!try_fault(run, column, what, error, k, length) && k >= count)
            break;
    }
    if (run->bad_here >= MOST_BAD)
        fprintf(stderr, "%s: %s %d: and so on\n", run->scenario->name, faults_kinds[what].name,
                error);
}

/* -- one scenario ------------------------------------------------------------------------------ */

static void forget_golden(void)
{
    for (unsigned i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        answer_free(&golden[i]);
        answer_free(&plain_golden[i]);
        golden[i] = plain_golden[i] = (struct answer){.status = 0};
    }
    golden_count = 0;
}

/* Without the wish for it, what is compressed is plain: that is right, too. */
static enum verdict hear_plain(struct run *run, char text[200])
{
    struct scenario plain = *run->scenario;
    char ask[400], *field;
    enum verdict verdict;

    snprintf(ask, sizeof ask, "%s", run->scenario->ask);
    field = strstr(ask, "Accept-Encoding");
    if (field == NULL)
        return WHOLE;
    memcpy(field, "X-Nothing-of-it", 15);
    plain.ask = ask;
    golden_count = 0;
    verdict = talk_http(&plain, &run->world, text);
    memcpy(plain_golden, golden, sizeof golden);
    memset(golden, 0, sizeof golden);
    golden_count = 0;
    return verdict;
}

static bool warm_up(struct run *run)
{
    const struct scenario *s = run->scenario;
    enum verdict verdict = WHOLE;
    char text[200] = "";

    forget_golden();
    if (s->call == NULL || s->serves) {
        int rc;

        run->world = (struct world){.threading = s->threading, .over = s->over};
        rc = s->open != NULL ? s->open(&run->world) : world_open(&run->world);
        if (rc != SHS_OK)
            return false;
        if ((s->flags & MAY_CODE) != 0)
            verdict = hear_plain(run, text);
    }
    for (int i = 0; i < WARM && verdict == WHOLE; i++) {
        faults_count(); /* the last one counts */
        verdict = do_it(run, true, text);
        (void)faults_disarm();
    }
    if (verdict == WHOLE && s->serves)
        verdict = do_it(run, false, text);
    if (verdict != WHOLE)
        fprintf(stderr, "%s: without any fault: %s: %s\n", s->name, verdict_names[verdict], text);
    run->before = holds_now();
    return verdict == WHOLE;
}

struct step {
    enum column column;
    enum faults_what what;
    int error;
    long length;
};

/* Number `n` of all that is swept; false behind the last. */
static bool nth_step(int n, struct step *out)
{
    if (n < 2) {
        *out = (struct step){n == 0 ? ONCE : IN_A_ROW, FAULTS_MEMORY, ENOMEM, n == 0 ? 1 : ROW};
        return true;
    }
    n -= 2;
    for (int what = FAULTS_MEMORY + 1; what < FAULTS_ONE_BYTE; what++) {
        for (int e = 0; faults_kinds[what].errors[e] != 0; e++) {
            if (n-- == 0) {
                *out =
                    (struct step){CALLS, (enum faults_what)what, faults_kinds[what].errors[e], 1};
                return true;
            }
        }
    }
    if (n > 1)
        return false;
    *out = (struct step){ONE_BYTE, FAULTS_ONE_BYTE, 1, n == 0 ? 1 : 1L << 40};
    return true;
}

static void check_growth(struct run *run, int n)
{
    char text[200];
    struct holds now;
    long grown;

    if (run->world.server == NULL)
        return;
    for (int i = 0; i < 2; i++)
        (void)do_it(run, false, text);
    atomic_fetch_add(&table->heartbeat, 1);
    now = holds_now();
    grown = now.live + now.openssl - run->before.live - run->before.openssl;
    if (grown <= GROWTH)
        return;
    if (grown <= GROWTH + OF_A_THREAD && run->late_threads < LATE_THREADS) {
        run->late_threads++;
        run->before.live += grown;
        return;
    }
    fprintf(stderr, "%s: after step %d: %ld allocations more than before\n", run->scenario->name, n,
            grown);
    run->before.live += grown;
    atomic_fetch_add(&run->row->bad[ONCE], 1);
}

static void end_world(struct run *run, const struct holds *at_first)
{
    struct holds now;
    bool gone;

    if (run->world.server == NULL)
        return;
    world_close(&run->world);
    gone = threads_come_to(at_first->threads);
    now = holds_now();
    if (gone && now.descriptors == at_first->descriptors && now.live <= at_first->live &&
        now.openssl <= at_first->openssl + GROWTH)
        return;
    fprintf(stderr,
            "%s: at the end: %u descriptors for %u, %u threads for %u, %ld allocations for %ld\n",
            run->scenario->name, now.descriptors, at_first->descriptors, now.threads,
            at_first->threads, now.live, at_first->live);
    atomic_fetch_add(&run->row->bad[ONCE], 1);
}

/* By how many they are to be thinned out. */
static void choose_every(void)
{
    struct step what;
    long total = 0;

    for (int n = 0; most > 0 && nth_step(n, &what); n++)
        total += 1 + atomic_load(&faults->counts[what.what]);
    if (most > 0)
        every = total / most + 1;
}

static void one_fault(struct run *run)
{
    for (int what = 0; what < FAULTS_KINDS; what++) {
        if (strcmp(faults_kinds[what].name, at_kind) == 0)
            (void)try_fault(run, ONCE, (enum faults_what)what, at_error, at_k, at_run);
    }
}

/* In a child. Goes on behind the fault that killed the one before, if there was one. */
static void scenario_child(int index, int step, long k)
{
    struct run run = {.scenario = &scenarios[index], .row = &table->rows[index], .index = index};
    struct holds at_first;
    struct step what;

    /* Once for nothing: what OpenSSL sets up, it keeps. */
    if (warm_up(&run) && run.world.server != NULL)
        world_close(&run.world);
    (void)threads_come_to(1);
    at_first = holds_now();
    if (atomic_load(&run.row->broken) || !warm_up(&run)) {
        atomic_store(&run.row->broken, true);
        _exit(1);
    }
    choose_every();
    if (at_kind != NULL) {
        one_fault(&run);
    } else {
        for (; nth_step(step, &what); step++, k = 0) {
            atomic_store(&faults->now_step, step);
            sweep_kind(&run, what.column, what.what, what.error, k, what.length);
            check_growth(&run, step);
        }
    }
    end_world(&run, &at_first);
    forget_golden();
    _exit(0);
}

/* Waits for the child as long as it gets on; -1: it hung, and was killed. */
static int watch(pid_t pid)
{
    struct timespec moment = {.tv_nsec = 5000000};
    long beat = -1;
    time_t since = time(NULL);
    int status;

    for (;;) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        if (atomic_load(&table->heartbeat) != beat) {
            beat = atomic_load(&table->heartbeat);
            since = time(NULL);
        } else if (time(NULL) - since > STUCK_S) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            return -1;
        }
        nanosleep(&moment, NULL);
    }
}

static void run_scenario(int index)
{
    struct row *row = &table->rows[index];
    int step = 0;
    long k = 0;

    atomic_store(&table->number, 0);
    for (;;) {
        pid_t pid;
        struct step what;
        int status;

        fflush(NULL);
        pid = fork();
        if (pid == 0)
            scenario_child(index, step, k);
        status = watch(pid);
        if (status == 0 || atomic_load(&row->broken))
            return;
        step = atomic_load(&faults->now_step);
        k = atomic_load(&faults->now_k) + 1;
        (void)faults_disarm();
        (void)nth_step(step, &what);
        atomic_fetch_add(&row->tried[what.column], 1);
        atomic_fetch_add(&row->bad[what.column], 1);
        fprintf(stderr, "%s: %s %d, call %ld (%ld): %s %d\n", scenarios[index].name,
                faults_kinds[what.what].name, what.error, k - 1, what.length,
                status == -1 ? "hangs" : "ended by",
                status == -1          ? 0
                : WIFSIGNALED(status) ? WTERMSIG(status)
                                      : WEXITSTATUS(status));
        if (at_kind != NULL)
            return;
    }
}

/* -- the table --------------------------------------------------------------------------------- */

static void print_cell(const struct row *row, enum column column)
{
    long tried = atomic_load(&row->tried[column]);

    printf(" %ld of %ld |", tried - atomic_load(&row->bad[column]), tried);
}

static bool run_all(void)
{
    struct row sum = {.broken = false};
    bool good = true;
    unsigned ran = 0;
    time_t began = time(NULL);

    printf("| scenario | an allocation | %d in a row | a system call | one byte at a time |\n",
           ROW);
    printf("| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < scenario_count; i++) {
        struct row *row = &table->rows[i];

        if (only != NULL && strstr(scenarios[i].name, only) == NULL)
            continue;
        run_scenario((int)i);
        ran++;
        printf("| %s |", scenarios[i].name);
        for (int c = 0; c < COLUMNS; c++) {
            print_cell(row, (enum column)c);
            atomic_fetch_add(&sum.tried[c], atomic_load(&row->tried[c]));
            atomic_fetch_add(&sum.bad[c], atomic_load(&row->bad[c]));
            good = good && atomic_load(&row->bad[c]) == 0;
        }
        printf("%s\n", atomic_load(&row->broken) ? " does not work without faults" : "");
        fflush(stdout);
        good = good && !atomic_load(&row->broken);
    }
    printf("| **%u scenarios** |", ran);
    for (int c = 0; c < COLUMNS; c++)
        print_cell(&sum, (enum column)c);
    printf("\n\n%ld seconds\n", (long)(time(NULL) - began));
    return good && ran > 0;
}

static bool take_args(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--every") == 0 && i + 1 < argc) {
            every = strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--most") == 0 && i + 1 < argc) {
            most = strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else if (strcmp(argv[i], "--at") == 0 && i + 4 < argc) {
            at_kind = argv[++i];
            at_error = (int)strtol(argv[++i], NULL, 10);
            at_k = strtol(argv[++i], NULL, 10);
            at_run = strtol(argv[++i], NULL, 10);
        } else {
            return false;
        }
    }
    return every > 0;
}

int main(int argc, char **argv)
{
    bool good;

    if (!take_args(argc, argv)) {
        fprintf(stderr,
                "usage: sweep [--every N] [--most N] [--only TEXT] [--at KIND ERROR K RUN]\n");
        return 2;
    }
    table = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED || !faults_setup())
        return 2;
    if (!place_make()) {
        fprintf(stderr, "cannot make the files\n");
        place_remove();
        return 2;
    }
    good = run_all();
    place_remove();
    return good ? 0 : 1;
}
