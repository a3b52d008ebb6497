/*
 * log_queue.h - lines on their way to a descriptor, written by a thread of their own.
 *
 * Concept
 *
 *   Who serves a request must not wait for a disk, a terminal or a pipe whose reader has stopped. A
 *   line is copied into a bounded buffer; one thread writes what has gathered. A full buffer drops
 *   the line and counts it, and as soon as there is room again a line says how many are missing. A
 *   producer takes a mutex for the time of a memcpy, and never waits for I/O.
 *
 *   Lines come out whole and in the order they went in. The first line after a pause is written at
 *   once; under load the writer gathers for LINGER_MS, so that a thousand lines cost one write(2).
 *
 *   Where a write fails, because the disk is full, the lines that it was for are lost. The next one
 *   that goes through begins with a newline, if a piece of a line has come out and is still there,
 *   and with a line that says how many are missing, and why.
 */
#ifndef SHS_LOG_QUEUE_H
#define SHS_LOG_QUEUE_H

#include "base/base.h"

/* A line is cut beyond this; a queue is not smaller. */
#define SHS_LOG_LINE_MAX 32768

struct shs_log_queue;

/*
 * Makes the line that says how many lines were dropped; returns its length, at most `cap`. Runs on
 * the writer's thread.
 *
 *   why  "the reader is too slow", or what the system said of a write
 */
typedef size_t shs_log_dropped_fn(char *buf, size_t cap, uint64_t dropped, const char *why);

/*
 * Makes the queue and starts its thread, with every signal blocked.
 *
 *   fd       borrowed until shs__log_queue_free; its flags stay as they are
 *   cap      bytes that may wait, at least SHS_LOG_LINE_MAX
 *   dropped  NULL = "N log lines dropped: WHY"
 *
 * Returns SHS_OK, SHS_NOMEM, or SHS_IO when there is no thread to be had.
 */
int shs__log_queue_new(struct shs_log_queue **out, int fd, size_t cap, shs_log_dropped_fn *dropped);

/*
 * Takes a line, without its newline: false when it was dropped, or after shs__log_queue_stop. Safe
 * from any thread, and from a forked child, which has no writer and writes it itself.
 */
bool shs__log_queue_push(struct shs_log_queue *self, const char *line, size_t len);

/*
 * Writes what is waiting, within timeout_ms, and ends the thread. Lines pushed from now on may be
 * lost. Once; not thread-safe.
 *
 *   *lost  NULL, or how many lines were never written since the queue was made
 *
 * Returns SHS_OK; SHS_TIMEOUT when the reader did not take it all; SHS_IO when writing failed.
 */
int shs__log_queue_stop(struct shs_log_queue *self, unsigned timeout_ms, uint64_t *lost);

/* Stops without waiting, if nobody has stopped it, and frees: nobody may push now. NULL is fine. */
void shs__log_queue_free(struct shs_log_queue *self);

#endif
