/*
 * coding.h - content codings: which one a client wants, and making it.
 *
 * Follows: RFC 9110 section 12.5.3 (Accept-Encoding), RFC 1952 (gzip), RFC 7932 (br), RFC 8878
 * (zstd). The libraries are zlib, libbrotlienc and libzstd, each optional at build time.
 */
#ifndef SHS_HANDLER_CODING_H
#define SHS_HANDLER_CODING_H

#include <shs/http.h>

#include "base/base.h"

enum shs_coding {
    SHS_CODING_IDENTITY,
    SHS_CODING_BR,
    SHS_CODING_ZSTD,
    SHS_CODING_GZIP,
    SHS_CODING_COUNT
};

#define SHS_CODING_BIT(coding) (1u << (unsigned)(coding))

/* What is compressed at all; smaller ones do not gain, larger ones cost too much. */
#define SHS_COMPRESS_MIN 512
#define SHS_COMPRESS_MAX ((size_t)4 << 20)

/* Is that the beginning of a file that is compressed already (gzip, zstd, xz, zip ...)? */
bool shs__coding_is_packed(const char *data, size_t len);

/* "br", "zstd", "gzip"; and the end of the name of a file that has it: ".br", ".zst", ".gz". */
const char *shs__coding_name(enum shs_coding coding);
const char *shs__coding_suffix(enum shs_coding coding);

/* What Accept-Encoding says: thousandths for each coding. */
struct shs_coding_wishes {
    int weight[SHS_CODING_COUNT]; /* -1: not named */
    int any;                      /* of "*"; -1: not named */
};

/* Nothing is said: identity. */
void shs__coding_wishes_init(struct shs_coding_wishes *wishes);
/* Adds one field's value; members that cannot be read are skipped. */
void shs__coding_wishes_add(struct shs_coding_wishes *wishes, struct shs_str value);
/*
 * The coding with the highest weight among those of the mask `available`; of equal ones, the first
 * of `order` (ended by SHS_CODING_IDENTITY). IDENTITY when the client wants none of them.
 */
enum shs_coding shs__coding_choose(const struct shs_coding_wishes *wishes, unsigned available,
                                   const enum shs_coding *order);

/* Is the file as it is refused ("identity;q=0", or "*;q=0" without a word on identity)? */
bool shs__coding_refuses_identity(const struct shs_coding_wishes *wishes);

/* Codings that this build can make, as a mask of SHS_CODING_BIT. */
unsigned shs__coders(void);
/*
 * Appends the data in this coding. SHS_OK, SHS_NOMEM, SHS_LIMIT (out->ceiling), SHS_USAGE (not in
 * this build). The same data give the same bytes each time. Safe from any thread.
 */
int shs__compress(enum shs_coding coding, const void *data, size_t len, struct shs_buf *out);

/* What that takes beside the data and the result, at most; brotli has its own (br_arena.h). */
#define SHS_WHOLE_CODER_BYTES ((size_t)4 << 20)

/* The same in pieces, as a struct shs_content_coding: gzip and zstd. One thread at a time. */
struct shs_stream_coder;

/* Of the mask of shs__coders, those that there are here: brotli takes 16 MiB. */
unsigned shs__stream_coders(void);
/* What one takes, at most. */
#define SHS_STREAM_CODER_BYTES ((size_t)1 << 20)
/* SHS_OK, SHS_NOMEM, SHS_USAGE (not in this build). */
int shs__stream_coder_new(struct shs_stream_coder **out, enum shs_coding coding);
int shs__stream_coder_code(struct shs_stream_coder *self, enum shs_coding_step step,
                           struct shs_str *in, void *out, size_t cap, size_t *got);
void shs__stream_coder_free(struct shs_stream_coder *self); /* NULL is fine */
/* What it has taken by now; for tests. */
size_t shs__stream_coder_bytes(const struct shs_stream_coder *self);

#endif
