/*
 * base.h - floor 0: what every room uses and no library has in the shape we need.
 *
 *   struct shs_str helpers, the clock, struct shs_buf (a growing byte buffer born with a ceiling)
 *   and struct shs_arena (memory of one request, freed at once).
 *
 * Nothing here knows sockets, TLS or HTTP. malloc is called in this folder only.
 */
#ifndef SHS_BASE_H
#define SHS_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include <shs/error.h>
#include <shs/str.h>

#define SHS_NS_PER_MS 1000000
#define SHS_NS_PER_S 1000000000

#define SHS_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define SHS_UNUSED(x) ((void)(x))

/* The struct that has *p as its member, as in shs/server.h. */
#ifndef SHS_CONTAINER_OF
#define SHS_CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))
#endif

/* -- memory: the only callers of malloc, so that a test can make any allocation fail ----------- */

void *shs__malloc(size_t size) __attribute__((malloc));
void *shs__calloc(size_t count, size_t size) __attribute__((malloc));
/* memset(3) to zeros for what is large: a call costs less than what compilers put in its place. */
void shs__zero(void *ptr, size_t size);
void *shs__realloc(void *ptr, size_t size);
void shs__free(void *ptr);
char *shs__strdup(const char *text);               /* NULL gives NULL */
char *shs__strndup(const char *bytes, size_t len); /* always NUL-terminated */
/* sprintf into new memory, for shs__free; NULL when out of memory. */
char *shs__asprintf(const char *fmt, ...) SHS_PRINTF(1, 2);

/* -- errors ------------------------------------------------------------------------------------ */

int shs__error_vset(struct shs_error *err, int code, int sys_errno, const char *fmt, va_list ap)
    SHS_PRINTF(4, 0);
/* strerror, thread-safe, into a buffer of the caller's; returns the text. */
const char *shs__strerror(int sys_errno, char *buf, size_t cap);
/*
 * Puts `more` behind the message in text[cap], as much as there is room for. `more` begins with a
 * small letter: after the end of a sentence it is a sentence of its own, else it follows "; ".
 */
void shs__say_more(char *text, size_t cap, const char *more);

/* The peer sends no more, in order or not; our own end (SHS_STOPPED) is another matter. */
static inline bool shs__is_peers_end(int code)
{
    return code == SHS_CLOSED || code == SHS_RESET || code == SHS_TRUNCATED;
}

/* -- files ------------------------------------------------------------------------------------- */

/*
 * pwrite, or write where `at` is negative. A process that has reached RLIMIT_FSIZE, or whose pipe
 * nobody reads, would be killed by a signal: here it gets EFBIG (for the client of an upload) or
 * EPIPE (for the admin plane's client).
 */
ssize_t shs__pwrite_unsignalled(int fd, const void *bytes, size_t len, off_t at);
/* All of them, in the same way. SHS_OK, or SHS_IO with errno. */
int shs__write_all(int fd, const void *bytes, size_t len);

/* Does a file system that has no fsync, or no locks, fail with that? There is no more to do. */
bool shs__has_no_sync(int sys_errno);
bool shs__has_no_lock(int sys_errno);

/* -- structs that begin with their size --------------------------------------------------------
 *
 * A caller that was built with an older header has a shorter one, with a newer header a longer one.
 */

/* Writes the defaults, as much of them as the caller's struct has; zeros behind those we know. */
void shs__sized_init(void *to, size_t size, const void *defaults, size_t known);
/*
 * What both know of *from, over the defaults that are in *to; to's size becomes `known`. No byte of
 * *from behind its size is read. SHS_USAGE for NULL, and for a size that no such struct can have:
 * it was not initialised. `name` is the struct's, "shs_options".
 */
int shs__sized_copy(void *to, size_t known, const void *from, const char *name,
                    struct shs_error *err);

/* -- time -------------------------------------------------------------------------------------- */

/* ns of CLOCK_MONOTONIC; declared for the public in shs/server.h as well. */
SHS_API int64_t shs_now_ns(void);
/* ns of CLOCK_BOOTTIME, which goes on while the machine is suspended: for how long something lasts
   that a person was promised the end of. What waits for a peer has shs_now_ns. */
int64_t shs__elapsed_ns(void);
struct timespec;
/* Times of files are whatever somebody has set: beyond 285 years it is that. */
int64_t shs__ns_between(const struct timespec *from, const struct timespec *to);

/* Unix time by the system's clock, and `offset_s` from there: for dates, never for deadlines. */
int64_t shs__wall_s(int64_t offset_s);
/* A point `ms` from `now`, without overflow. */
static inline int64_t shs__deadline_after(int64_t now_ns, unsigned ms)
{
    return now_ns + (int64_t)ms * SHS_NS_PER_MS;
}

/* Until when the next of `left` attempts may take, so that the others have their part of the time
   to `end_ns`: one that hears nothing does not use it up. */
static inline int64_t shs__deadline_part(int64_t now_ns, int64_t end_ns, size_t left)
{
    return now_ns < end_ns ? now_ns + (end_ns - now_ns) / (int64_t)left : end_ns;
}

/* For poll(2): milliseconds until the deadline, rounded up, 0 when past, at most INT_MAX. */
int shs__poll_ms(int64_t deadline_ns, int64_t now_ns);

/*
 * The deadline of a transfer: `ms` from now, and again `ms` from the moment when `min_rate` bytes a
 * second have moved since it was set. A byte now and then does not push it on; a stall ends it
 * however much has moved before.
 *
 * It is the peer's time alone. While nobody waits for the peer (a handler is at work, the next
 * piece is made, others have their turn) the clock stands still: whoever begins to wait says so,
 * and whoever got on without waiting.
 */
struct shs_progress {
    int64_t deadline_ns;
    int64_t ours_since_ns; /* nobody has waited for the peer since then; INT64_MAX: we wait */
    uint64_t moved;
    uint64_t total; /* what shs__progress_total was told last; UINT64_MAX: nothing yet */
    unsigned ms, min_rate;
};
void shs__progress_start(struct shs_progress *p, int64_t now_ns, unsigned ms, unsigned min_rate);
void shs__progress_made(struct shs_progress *p, uint64_t bytes);
/* The same for a counter that somebody else keeps: what it grew by since the last call. */
void shs__progress_total(struct shs_progress *p, uint64_t total);
/* We wait for the peer now. The deadline is good until shs__progress_ours. */
void shs__progress_waits(struct shs_progress *p);
/* We wait no longer: it gave, or took, what was asked for. */
void shs__progress_ours(struct shs_progress *p);
/* We have waited, and the deadline has passed. */
bool shs__progress_is_late(const struct shs_progress *p);
/* It is we who were late, this process was stopped say: `ms` from now. */
void shs__progress_again(struct shs_progress *p);

/* -- strings ----------------------------------------------------------------------------------- */

#define SHS_STR(literal) ((struct shs_str){(literal), sizeof(literal) - 1})
/* Those of shs/str.h, by the names they have in here. */
#define shs__str shs_str_of
#define shs__str_eq shs_str_eq
#define shs__str_eq_nocase shs_str_eq_nocase
static inline unsigned char shs__lower(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') ? (unsigned char)(c | 0x20) : c;
}

/* -- struct shs_buf: bytes with a ceiling ---------------------------------------------------------
 *
 * data[start .. start+len) is the content: appended at the end, consumed at the front. Never larger
 * than `ceiling`: beyond it an append fails with SHS_LIMIT and leaves the content as it was.
 */
struct shs_buf {
    char *data;
    size_t start, len, cap;
    size_t ceiling;
};

void shs__buf_init(struct shs_buf *b, size_t ceiling); /* allocates nothing */
void shs__buf_free(struct shs_buf *b);                 /* gives the memory back; usable again */
int shs__buf_reserve_slow(struct shs_buf *b, size_t more);
/* Room for `more` bytes at the end: SHS_OK, SHS_LIMIT, SHS_NOMEM. May move the content. */
static inline int shs__buf_reserve(struct shs_buf *b, size_t more)
{
    return more <= b->cap - b->start - b->len ? SHS_OK : shs__buf_reserve_slow(b, more);
}
/* The same in a block of its own, whatever room there is: what points into the old one is good
   until the caller frees *old. */
int shs__buf_renew(struct shs_buf *b, size_t more, char **old);
int shs__buf_append_slow(struct shs_buf *b, const void *bytes, size_t len);
static inline int shs__buf_append(struct shs_buf *b, const void *bytes, size_t len)
{
    if (len == 0 || len > b->cap - b->start - b->len)
        return shs__buf_append_slow(b, bytes, len);
    memcpy(b->data + b->start + b->len, bytes, len);
    b->len += len;
    return SHS_OK;
}
static inline int shs__buf_append_str(struct shs_buf *b, struct shs_str s)
{
    return shs__buf_append(b, s.ptr, s.len);
}
int shs__buf_printf(struct shs_buf *b, const char *fmt, ...) SHS_PRINTF(2, 3);
/*
 * All that there is to be read, behind what is in `out`; of a regular file in one allocation, so
 * that no copy of a secret stays behind. SHS_OK; SHS_LIMIT when there is more than out->ceiling;
 * SHS_IO with errno; SHS_NOMEM.
 */
int shs__read_all(int fd, struct shs_buf *out);
void shs__buf_consume(struct shs_buf *b, size_t len); /* len <= b->len */
static inline char *shs__buf_head(const struct shs_buf *b)
{
    return b->data == NULL ? NULL : b->data + b->start; /* NULL + 0 is undefined in C */
}
static inline char *shs__buf_tail(const struct shs_buf *b)
{
    return b->data == NULL ? NULL : b->data + b->start + b->len;
}
static inline size_t shs__buf_room(const struct shs_buf *b) /* without moving or growing */
{
    return b->cap - b->start - b->len;
}

/* -- struct shs_arena: the memory of one request --------------------------------------------------
 *
 * Allocations are aligned for any type and freed together. Never more than `ceiling` bytes in all.
 */
struct shs_arena_chunk;
struct shs_arena {
    struct shs_arena_chunk *chunks;
    size_t used, ceiling;
};

void shs__arena_init(struct shs_arena *a, size_t ceiling); /* allocates nothing */
void *shs__arena_alloc(struct shs_arena *a, size_t size);  /* NULL: no memory, or the ceiling */
struct shs_str shs__arena_copy(struct shs_arena *a, struct shs_str s); /* ptr NULL when it failed */
void shs__arena_free(struct shs_arena *a); /* everything; usable again */

#endif
