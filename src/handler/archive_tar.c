/*
 * archive_tar.c - POSIX.1-2001, pax interchange format: ustar headers, and before one an extended
 * header where a name is too long or not ASCII, or a file larger than eleven octal digits.
 */
#include <inttypes.h>
#include <stdio.h>

#include <shs/http.h>

#include "base/text.h"
#include "handler/archive.h"

#define BLOCK 512u
#define NAME_MAX_USTAR 100u
#define SIZE_MAX_USTAR (((uint64_t)1 << 33) - 1)

/* Where the members of a header are. */
enum { NAME = 0, MODE = 100, UID = 108, GID = 116, SIZE = 124, MTIME = 136, CHECKSUM = 148 };
enum { TYPE = 156, MAGIC = 257 };

static int pad(struct shs_archive *self, uint64_t len)
{
    static const char zeros[BLOCK];

    return shs__buf_append(&self->out, zeros, (size_t)((BLOCK - len % BLOCK) % BLOCK));
}

/* Digits up to the last byte, which stays NUL. The value is known to fit. */
static void octal(char *to, size_t cap, uint64_t value)
{
    for (size_t i = cap - 1; i > 0; i--, value >>= 3)
        to[i - 1] = (char)('0' + (int)(value & 7));
    to[cap - 1] = '\0';
}

static int header(struct shs_archive *self, struct shs_str name, char type, unsigned mode,
                  uint64_t size, int64_t mtime)
{
    char block[BLOCK] = "";
    unsigned sum = 0;

    memcpy(block + NAME, name.ptr, name.len < NAME_MAX_USTAR ? name.len : NAME_MAX_USTAR);
    octal(block + MODE, 8, mode);
    octal(block + UID, 8, 0);
    octal(block + GID, 8, 0);
    octal(block + SIZE, 12, size <= SIZE_MAX_USTAR ? size : 0);
    octal(block + MTIME, 12, mtime > 0 && mtime <= (int64_t)SIZE_MAX_USTAR ? (uint64_t)mtime : 0);
    memset(block + CHECKSUM, ' ', 8);
    block[TYPE] = type;
    memcpy(block + MAGIC, "ustar\00000", 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)block[i];
    octal(block + CHECKSUM, 7, sum);
    return shs__buf_append(&self->out, block, sizeof block);
}

/* "LEN key=value\n", where LEN counts itself. */
static int record(struct shs_buf *out, const char *key, struct shs_str value)
{
    size_t rest = strlen(key) + value.len + 3, len = rest + 1;
    char digits[24];

    while (len != rest + (size_t)snprintf(digits, sizeof digits, "%zu", len))
        len = rest + strlen(digits);
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%zu %s=", len, key));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, value));
    return shs__buf_append(out, "\n", 1);
}

static bool is_ascii(struct shs_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    }
    return true;
}

static int extended(struct shs_archive *self, const struct shs_archive_entry *entry, uint64_t size)
{
    struct shs_buf records;
    char digits[24];
    int rc = SHS_OK;

    shs__buf_init(&records, 2 * SHS_ARCHIVE_PATH);
    if (entry->name.len > NAME_MAX_USTAR || (!is_ascii(entry->name) && shs__is_utf8(entry->name)))
        rc = record(&records, "path", entry->name);
    if (rc == SHS_OK && size > SIZE_MAX_USTAR) {
        snprintf(digits, sizeof digits, "%" PRIu64, size);
        rc = record(&records, "size", shs__str(digits));
    }
    if (rc == SHS_OK && records.len > 0)
        rc = header(self, SHS_STR("pax"), 'x', 0644, records.len, entry->st->st_mtime);
    if (rc == SHS_OK && records.len > 0)
        rc = shs__buf_append(&self->out, shs__buf_head(&records), records.len);
    if (rc == SHS_OK && records.len > 0)
        rc = pad(self, records.len);
    shs__buf_free(&records);
    return rc;
}

static int begin(struct shs_archive *self)
{
    SHS_UNUSED(self);
    return SHS_OK;
}

static int begin_entry(struct shs_archive *self, const struct shs_archive_entry *entry)
{
    uint64_t size = entry->directory ? 0 : (uint64_t)entry->st->st_size;
    unsigned mode = entry->directory || (entry->st->st_mode & 0111) != 0 ? 0755 : 0644;

    SHS_RETURN_IF_ERROR(extended(self, entry, size));
    return header(self, entry->name, entry->directory ? '5' : '0', mode, size, entry->st->st_mtime);
}

static int data(struct shs_archive *self, const char *bytes, size_t len)
{
    return shs__buf_append(&self->out, bytes, len);
}

static int end_entry(struct shs_archive *self)
{
    return pad(self, self->file_size);
}

static int end(struct shs_archive *self)
{
    static const char two_blocks[2 * BLOCK];

    return shs__buf_append(&self->out, two_blocks, sizeof two_blocks);
}

static void free_tar(struct shs_archive *self)
{
    SHS_UNUSED(self);
}

const struct shs_archive_format shs__archive_tar = {".tar", "application/x-tar", begin, begin_entry,
                                                    data,   end_entry,           end,   free_tar};
