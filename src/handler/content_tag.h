/*
 * content_tag.h - what the bytes of a file are called: SHA-256 in hexadecimal, cut to 128 bits.
 *
 * A strong entity tag changes when the bytes do (RFC 9110 section 8.8.1), and servers that have the
 * same tree agree on it. Size and time do neither: builds fix the times of what they make, cp -p
 * and tar -x put them back, and an inode is of one machine. So the bytes are asked, once for each
 * state of a file: device, inode, size, and both times to the nanosecond. A change always sets the
 * second of them (ctime), and nobody can set it back. A file that was changed within the last
 * second may change again with the same times: its tag is made again each time, but once for all
 * who have asked before it was begun.
 *
 * Reading a large file takes a while. What is beyond SHS_TAG_AT_ONCE is read by a thread, one file
 * at a time, and has no tag until then: its answers say a weak one, and so do those of a smaller
 * file that another thread is reading. Only when an answer depends on the tag does the answer wait
 * for it.
 */
#ifndef SHS_HANDLER_CONTENT_TAG_H
#define SHS_HANDLER_CONTENT_TAG_H

#include <sys/stat.h>

#include <shs/digest.h>

#include "base/base.h"

#define SHS_CONTENT_TAG_LEN 32u
#define SHS_TAG_AT_ONCE ((uint64_t)32 << 20)

struct shs_content_tags;

int shs__content_tags_new(struct shs_content_tags **out);   /* SHS_OK, SHS_NOMEM */
void shs__content_tags_free(struct shs_content_tags *self); /* NULL is fine; ends the thread */

enum shs_tag_need {
    SHS_TAG_AT_HAND, /* a small file's that nobody reads just now, or one that is known */
    SHS_TAG_MUST     /* whatever it takes, within SHS_TAG_WAIT_MS of waiting for others */
};
#define SHS_TAG_WAIT_MS 10000

/*
 * The tag of the open file `fd`, whose state was *st, NUL-terminated. False: it is not known (yet),
 * cannot be read, or the file was changed meanwhile. Any thread.
 */
bool shs__content_tag(struct shs_content_tags *self, int fd, const struct stat *st,
                      enum shs_tag_need need, char tag[SHS_CONTENT_TAG_LEN + 1]);

/* The same of bytes in memory, and of bytes that went into a digest. False: OpenSSL failed. */
bool shs__content_tag_of(const void *data, size_t len, char tag[SHS_CONTENT_TAG_LEN + 1]);
bool shs__content_tag_end(struct shs_sha256 *digest, char tag[SHS_CONTENT_TAG_LEN + 1]);

/* Is the file in the same state, as far as the file system tells? */
bool shs__same_state(const struct stat *a, const struct stat *b);
/* Was it left alone for a second, so that its next change has another time? */
bool shs__is_settled(const struct stat *st);

#endif
