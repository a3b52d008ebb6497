/*
 * shs/multipart.h - file uploads: multipart/form-data, part by part, as it arrives.
 *
 * Concept
 *
 *   A form with files comes as a sequence of parts: a few header lines, then bytes. A struct
 *   shs_multipart reads the request's body and gives one part after the other; nothing is kept in
 *   memory but a window of 16 KiB, so a file of any size goes straight to where you want it.
 *
 *       struct shs_multipart *form;
 *       const struct shs_part *part;
 *       SHS_RETURN_IF_ERROR(shs_multipart_new(&form, req, NULL));
 *       for (;;) {
 *           SHS_RETURN_IF_ERROR(shs_multipart_next(form, &part));
 *           if (part == NULL)
 *               break;
 *           if (part->filename.ptr != NULL)
 *               ... shs_multipart_save(form, fd, max, &written) ...
 *           else
 *               ... shs_multipart_value(form, 1000, &value) ...
 *       }
 *
 *   Parts that are not read are skipped. Where a slow client shall hold no thread, a sink feeds it
 *   (shs_multipart_new_fed). The memory is the request's: there is nothing to free.
 *
 * What is refused, with a code that the handler may return to have it answered
 *
 *   Another Content-Type (415); a boundary that is none, a part that is cut off, without
 *   Content-Disposition: form-data or without a name, with two names, with a transfer encoding,
 *   with a line end that is not CR LF (400); more parts, longer header lines or more bytes than the
 *   limits (413, 431). A line of a file that begins with the boundary and goes on is a doubt, and
 *   refused as well: no client chooses a boundary that its content has.
 *
 * The file name is the client's word
 *
 *   It may be "../../etc/passwd", a reserved name, or a name that is taken. Never open it. Make a
 *   name of your own, or take shs_safe_file_name for one to show, and create files with O_EXCL.
 *
 * Follows: RFC 7578, RFC 2046 section 5.1, RFC 8187 for filename*. All of it: owner thread only.
 */
#ifndef SHS_MULTIPART_H
#define SHS_MULTIPART_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_multipart;

struct shs_multipart_limits {
    size_t size;             /* set by shs_multipart_limits_init */
    unsigned max_parts;      /* 1000 */
    size_t max_header_bytes; /* of one part, at most 65536. 8192 */
    uint64_t max_bytes;      /* of the whole body. UINT64_MAX: opt.max_body_bytes holds anyway */
};

SHS_API void shs_multipart_limits_init_sized(struct shs_multipart_limits *limits, size_t size);
#define shs_multipart_limits_init(limits)                                                          \
    shs_multipart_limits_init_sized((limits), sizeof *(limits))

/* One part. Valid until the next shs_multipart_next. */
struct shs_part {
    struct shs_str name;     /* of the form's field; as the client wrote it, backslashes undone */
    struct shs_str filename; /* ptr NULL when it is not a file. filename* wins, decoded to UTF-8 */
    struct shs_str content_type; /* "text/plain" when the client did not say */
};

/*
 * Begins to read the body as multipart/form-data.
 *
 *   limits  copied; NULL = the defaults
 *
 * Returns 0, SHS_PROTO (see above), SHS_USAGE (limits that make no sense, or the body has been read
 * from), SHS_NOMEM.
 */
SHS_API int shs_multipart_new(struct shs_multipart **out, struct shs_request *req,
                              const struct shs_multipart_limits *limits) SHS_MUST_CHECK;

/*
 * The same for a sink (shs_request_sink), which is given the body as it comes: nothing is read.
 * Call it before shs_request_sink. All the functions below answer SHS_WAIT_READ when they need more
 * than was fed, and are called again when that is there; shs_multipart_value is not for this.
 */
SHS_API int shs_multipart_new_fed(struct shs_multipart **out, struct shs_request *req,
                                  const struct shs_multipart_limits *limits) SHS_MUST_CHECK;

/*
 * The next bytes of the body, borrowed until one of the functions below answers SHS_WAIT_READ; len
 * 0: its end. 0; SHS_USAGE while those before are not used up, behind the end, or when it reads.
 */
SHS_API int shs_multipart_feed(struct shs_multipart *self, const void *buf,
                               size_t len) SHS_MUST_CHECK;

/*
 * The next part; *part is NULL behind the last one. Returns 0, SHS_PROTO, SHS_LIMIT, or as
 * shs_request_read. After an error each call returns it again.
 */
SHS_API int shs_multipart_next(struct shs_multipart *self,
                               const struct shs_part **part) SHS_MUST_CHECK;

/* The first header field of this part with that name (any case): true and *value, or false. */
SHS_API bool shs_multipart_header(const struct shs_multipart *self, const char *name,
                                  struct shs_str *value);

/* Reads the part's data: 0 with *got > 0, 0 with *got == 0 at its end, or an error as above. */
SHS_API int shs_multipart_read(struct shs_multipart *self, void *buf, size_t cap,
                               size_t *got) SHS_MUST_CHECK;

/*
 * All that is left of the part, for a field without a file. Memory of the request's, which has 1
 * MiB in all. SHS_LIMIT beyond `max` (413), SHS_NOMEM, or as above. out->ptr is never NULL.
 */
SHS_API int shs_multipart_value(struct shs_multipart *self, size_t max,
                                struct shs_str *out) SHS_MUST_CHECK;

/*
 * Writes all that is left of the part to a file, from its present offset on. The file is not synced
 * and not closed, and on an error what was written stays: write to a temporary file and rename it.
 *
 *   written  may be NULL; set on an error, too
 *
 * SHS_LIMIT beyond `max` (413), SHS_IO with errno, or as above: after SHS_WAIT_READ `written` is
 * what this call has written.
 */
SHS_API int shs_multipart_save(struct shs_multipart *self, int fd, uint64_t max,
                               uint64_t *written) SHS_MUST_CHECK;

/*
 * A name that can be a file's on any system, from one that a client sent: what is behind its last
 * "/" or "\", without control characters, without what is special to shells or to Windows, not
 * hidden, not reserved, well-formed UTF-8; "upload" when nothing is left.
 *
 *   out  at least 16 bytes; a name that does not fit keeps its extension; NUL-terminated
 *
 * Returns its length, at most 255; 0 when cap < 16. The name may exist already: create with O_EXCL.
 * Safe from any thread.
 */
SHS_API size_t shs_safe_file_name(struct shs_str filename, char *out, size_t cap);

#ifdef __cplusplus
}
#endif

#endif
