/*
 * stream_contract.h - what stream/stream.h promises, checked for any class of stream.
 *
 * A test gives two connected ends whose other peculiarities are its own business; each check looks
 * at `a` and uses `b` as its peer. Everything between the two is bounded, so a writer whose peer
 * does not read must be told to wait.
 */
#ifndef STREAM_CONTRACT_H
#define STREAM_CONTRACT_H

#include "stream/stream.h"

struct contract_pair {
    struct shs_stream *a, *b;
    void *own;
    void (*close)(struct contract_pair *pair);   /* frees what is left of both */
    void (*close_b)(struct contract_pair *pair); /* ends b without a word */
    void (*reset_b)(struct contract_pair *pair); /* b goes by a reset */
};
typedef void contract_open_fn(struct contract_pair *pair);

#define CONTRACT_TURNS 1000000

static inline unsigned char contract_byte(size_t at)
{
    return (unsigned char)(at * 31 + (at >> 8) * 7 + 5);
}

/* One read that must not fail: bytes, or 0 when it has to wait. */
static inline size_t contract_read(struct shs_stream *s, void *buf, size_t cap)
{
    size_t got = 0;
    bool ready = shs__stream_ready(s) == SHS_OK;
    int rc = shs__stream_read(s, buf, cap, &got);

    assert_true(ready || rc != SHS_OK); /* both ends are in this thread */
    if (rc == SHS_WAIT_READ || rc == SHS_WAIT_WRITE) {
        assert_true(s->cls->ready == NULL || s->cls->ready(s) == rc);
        if (rc == SHS_WAIT_READ) /* who waits to read was told that there is nothing */
            assert_false(shs__stream_pending(s));
        return 0;
    }
    assert_int_equal(rc, SHS_OK);
    assert_true(got >= 1 && got <= cap);
    return got;
}

/* Writes all of it, to a peer that has room. */
static inline void contract_write(struct shs_stream *s, const char *text, size_t len)
{
    size_t put = 0;

    for (; len > 0; text += put, len -= put)
        assert_int_equal(shs__stream_write(s, text, len, &put), SHS_OK);
}

/* Moves `total` patterned bytes from one end to the other; `cap` is the most of one call. */
static inline void contract_move(struct shs_stream *from, struct shs_stream *to, size_t total,
                                 size_t cap)
{
    size_t sent = 0, seen = 0, put, got, i;
    int turn, rc;
    unsigned char *out = shs__malloc(total), *in = shs__malloc(cap);

    assert_non_null(out);
    assert_non_null(in);
    for (i = 0; i < total; i++)
        out[i] = contract_byte(i);
    for (turn = 0; turn < CONTRACT_TURNS && seen < total; turn++) {
        while (sent < total) {
            size_t len = total - sent < cap ? total - sent : cap;

            put = 0;
            rc = shs__stream_write(from, out + sent, len, &put);
            if (rc == SHS_WAIT_READ || rc == SHS_WAIT_WRITE)
                break;
            assert_int_equal(rc, SHS_OK);
            assert_true(put >= 1 && put <= len);
            sent += put;
        }
        rc = shs__stream_flush(from);
        assert_true(rc == SHS_OK || rc == SHS_WAIT_WRITE || rc == SHS_WAIT_READ);
        while ((got = contract_read(to, in, cap)) > 0) {
            assert_true(seen + got <= total);
            assert_memory_equal(in, out + seen, got);
            seen += got;
        }
    }
    assert_int_equal(seen, total);
    shs__free(out);
    shs__free(in);
}

/* Lets both say what they hold, until there is nothing under way. */
static inline void contract_settle(struct contract_pair *pair)
{
    char buf[64];
    int turn, quiet = 0;

    for (turn = 0; turn < CONTRACT_TURNS && quiet < 3; turn++, quiet++) {
        assert_int_equal(contract_read(pair->a, buf, sizeof buf), 0);
        assert_int_equal(contract_read(pair->b, buf, sizeof buf), 0);
        if (shs__stream_flush(pair->a) != SHS_OK || shs__stream_flush(pair->b) != SHS_OK)
            quiet = 0;
    }
    assert_int_equal(quiet, 3);
}

static inline void contract_slots(struct shs_stream *s)
{
    assert_non_null(s->cls->name);
    assert_non_null(s->cls->read);
    assert_non_null(s->cls->write);
    assert_non_null(s->cls->flush);
    assert_non_null(s->cls->shutdown);
    assert_non_null(s->cls->pending);
    assert_non_null(s->cls->idle);
    assert_non_null(s->cls->free);
}

/* Nothing there: wait, again and again; idle changes nothing. */
static inline void contract_empty(contract_open_fn *open)
{
    struct contract_pair pair = {0};
    char buf[16];
    size_t got = 99;
    int i;

    open(&pair);
    contract_slots(pair.a);
    contract_settle(&pair);
    for (i = 0; i < 3; i++) {
        assert_int_equal(shs__stream_read(pair.a, buf, sizeof buf, &got), SHS_WAIT_READ);
        assert_int_equal(got, 99); /* data leaves on success only */
        assert_false(shs__stream_pending(pair.a));
        shs__stream_idle(pair.a);
        assert_int_equal(shs__stream_flush(pair.a), SHS_OK);
    }
    pair.close(&pair);
}

/* Everything arrives, in order, both ways, whatever the sizes; memory given back in between. */
static inline void contract_transfer(contract_open_fn *open)
{
    static const size_t caps[] = {1, 13, 1000, 16384, 65536};
    struct contract_pair pair = {0};
    size_t i;

    open(&pair);
    for (i = 0; i < SHS_ARRAY_LEN(caps); i++) {
        contract_move(pair.a, pair.b, caps[i] * 5 + 1, caps[i]);
        shs__stream_idle(pair.a);
        shs__stream_idle(pair.b);
        contract_move(pair.b, pair.a, caps[i] * 5 + 1, caps[i]);
    }
    contract_move(pair.a, pair.b, 300000, 65536);
    pair.close(&pair);
}

/* A peer that does not read: the writer is told to wait, nothing is lost, and it may come again
   with the bytes at another address. What the peer has not read is not delivered. */
static inline void contract_backpressure(contract_open_fn *open)
{
    struct contract_pair pair = {0};
    unsigned char one[5000], two[5000], in[7000];
    size_t sent = 0, seen = 0, put = 0, got, i;
    uint64_t before, stuck;
    int rc = SHS_OK, turn;

    open(&pair);
    contract_settle(&pair);
    before = shs__stream_delivered(pair.a);
    for (turn = 0; turn < CONTRACT_TURNS && rc == SHS_OK; turn++) {
        for (i = 0; i < sizeof one; i++)
            one[i] = contract_byte(sent + i);
        rc = shs__stream_write(pair.a, one, sizeof one, &put);
        if (rc == SHS_OK)
            sent += put;
    }
    assert_int_equal(rc, SHS_WAIT_WRITE);
    assert_int_equal(shs__stream_flush(pair.a), SHS_WAIT_WRITE * (pair.a->lower != NULL));
    stuck = shs__stream_delivered(pair.a);
    assert_true(stuck < before + sent);
    assert_int_equal(shs__stream_write(pair.a, one, sizeof one, &put), SHS_WAIT_WRITE);
    assert_int_equal(shs__stream_delivered(pair.a), stuck);
    memcpy(two, one, sizeof two);
    memset(one, 0, sizeof one);
    for (turn = 0; turn < CONTRACT_TURNS && (rc != SHS_OK || seen < sent); turn++) {
        while ((got = contract_read(pair.b, in, sizeof in)) > 0) {
            for (i = 0; i < got; i++)
                assert_int_equal(in[i], contract_byte(seen + i));
            seen += got;
        }
        if (rc == SHS_OK) {
            assert_true(shs__stream_flush(pair.a) >= 0);
            continue;
        }
        rc = shs__stream_write(pair.a, two, sizeof two, &put);
        assert_true(rc == SHS_OK || rc == SHS_WAIT_WRITE);
        if (rc == SHS_OK)
            sent += put;
    }
    assert_int_equal(seen, sent);
    assert_true(shs__stream_delivered(pair.a) >= before + sent);
    pair.close(&pair);
}

/* `pending` is true only when a read gives something at once. */
static inline void contract_pending(contract_open_fn *open)
{
    struct contract_pair pair = {0};
    char buf[3];
    size_t got, seen = 0;
    int turn;

    open(&pair);
    contract_settle(&pair);
    contract_write(pair.b, "hello, world", 12);
    assert_int_equal(shs__stream_flush(pair.b), SHS_OK);
    for (turn = 0; turn < CONTRACT_TURNS && seen < 12; turn++) {
        bool pending = shs__stream_pending(pair.a);

        got = contract_read(pair.a, buf, sizeof buf);
        assert_true(!pending || got > 0);
        seen += got;
    }
    assert_int_equal(seen, 12);
    assert_false(shs__stream_pending(pair.a));
    pair.close(&pair);
}

/* The peer's end arrives after its data, stays, and leaves our own direction open. */
static inline void contract_shutdown(contract_open_fn *open)
{
    struct contract_pair pair = {0};
    char buf[64];
    size_t got = 0, seen = 0;
    int i, rc = SHS_OK;

    open(&pair);
    contract_settle(&pair);
    contract_write(pair.b, "last words", 10);
    assert_int_equal(shs__stream_shutdown(pair.b), SHS_OK);
    assert_int_equal(shs__stream_shutdown(pair.b), SHS_OK);
    for (i = 0; i < CONTRACT_TURNS && (rc == SHS_OK || rc == SHS_WAIT_READ); i++) {
        rc = shs__stream_read(pair.a, buf + seen, sizeof buf - seen, &got);
        seen += rc == SHS_OK ? got : 0;
    }
    assert_int_equal(rc, SHS_CLOSED);
    assert_int_equal(seen, 10);
    assert_memory_equal(buf, "last words", 10);
    for (i = 0; i < 3; i++)
        assert_int_equal(shs__stream_read(pair.a, buf, sizeof buf, &got), SHS_CLOSED);
    assert_false(shs__stream_pending(pair.a));
    contract_move(pair.a, pair.b, 3000, 700);
    assert_int_equal(shs__stream_shutdown(pair.a), SHS_OK);
    for (rc = SHS_WAIT_READ, i = 0; i < CONTRACT_TURNS && rc > 0; i++)
        rc = shs__stream_read(pair.b, buf, sizeof buf, &got);
    assert_int_equal(rc, SHS_CLOSED);
    pair.close(&pair);
}

/* The peer is gone: a write that is flushed is told so, and says why in words. */
static inline void contract_peer_gone(contract_open_fn *open)
{
    struct contract_pair pair = {0};
    struct shs_error err = {.code = SHS_OK};
    char buf[16];
    size_t put, got;
    int i, rc = SHS_OK;

    open(&pair);
    pair.close_b(&pair);
    for (i = 0; i < 100 && rc == SHS_OK; i++) {
        rc = shs__stream_write(pair.a, "anybody?", 8, &put);
        if (rc == SHS_OK)
            rc = shs__stream_flush(pair.a);
    }
    assert_int_equal(rc, SHS_RESET);
    assert_int_equal(shs__stream_describe(pair.a, rc, &err), SHS_RESET);
    assert_int_equal(err.code, SHS_RESET);
    assert_true(strlen(err.text) > 10);
    assert_true(shs__is_peers_end(shs__stream_read(pair.a, buf, sizeof buf, &got)));
    pair.close(&pair);
}

/* The peer resets: no orderly end, whoever asks and however often; also if a write saw it first. */
static inline void contract_reset(contract_open_fn *open)
{
    struct contract_pair pair = {0};
    struct shs_error err = {.code = SHS_OK};
    char buf[16];
    size_t put, got;

    for (int write_first = 0; write_first < 2; write_first++) {
        int i, rc = SHS_OK;

        open(&pair);
        contract_settle(&pair);
        pair.reset_b(&pair);
        for (i = 0; i < 100 && rc == SHS_OK && write_first == 1; i++) {
            rc = shs__stream_write(pair.a, "anybody?", 8, &put);
            if (rc == SHS_OK)
                rc = shs__stream_flush(pair.a);
        }
        assert_int_equal(rc, write_first == 1 ? SHS_RESET : SHS_OK);
        for (i = 0; i < 3; i++)
            assert_int_equal(shs__stream_read(pair.a, buf, sizeof buf, &got), SHS_RESET);
        assert_int_equal(shs__stream_describe(pair.a, SHS_RESET, &err), SHS_RESET);
        assert_int_equal(err.code, SHS_RESET);
        assert_false(shs__stream_pending(pair.a));
        pair.close(&pair);
    }
}

static inline void contract_all(contract_open_fn *open)
{
    contract_empty(open);
    contract_transfer(open);
    contract_backpressure(open);
    contract_pending(open);
    contract_shutdown(open);
    contract_peer_gone(open);
    contract_reset(open);
}

#endif
