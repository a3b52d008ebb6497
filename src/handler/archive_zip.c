/*
 * archive_zip.c - APPNOTE.TXT: local headers without sizes, data descriptors, a central directory.
 *
 * Everything is deflated: what is compressed already goes in stored blocks of deflate, which say
 * where they end. A file that may reach 4 GiB is zip64 from its local header on.
 */
#include "handler/archive.h"

#include <time.h>

#include <shs/http.h>

#include "base/text.h"

#ifdef SHS_HAVE_ZLIB
#define ZLIB_CONST
#include <zlib.h>

/* Whoever waits for it waits for the network mostly. */
#define LEVEL 3
#define CENTRAL_MAX ((size_t)48 << 20)
#define LARGE ((uint64_t)0xffffffff)
/* Flags: the sizes follow the data; the name is UTF-8. */
#define SIZES_FOLLOW 0x0008u
#define NAME_IS_UTF8 0x0800u
#define DEFLATED 8u

struct shs_zip {
    z_stream z;
    bool open;
    uint64_t offset, packed, size; /* of the entry */
    uint32_t crc;
    bool large;
    struct shs_buf central;
    uint64_t count;
    /* of the entry, for the central directory */
    uint16_t dos_time, dos_date, method, flags;
    uint32_t attributes;
};

static int put(struct shs_buf *out, uint64_t value, size_t bytes)
{
    char le[8];

    for (size_t i = 0; i < bytes; i++)
        le[i] = (char)(value >> (8 * i));
    return shs__buf_append(out, le, bytes);
}

/* Pairs of a value and its bytes, ended by 0 bytes. */
struct number {
    uint64_t value;
    size_t bytes;
};

static int put_all(struct shs_buf *out, const struct number *numbers)
{
    for (; numbers->bytes > 0; numbers++)
        SHS_RETURN_IF_ERROR(put(out, numbers->value, numbers->bytes));
    return SHS_OK;
}

static voidpf zip_alloc(voidpf opaque, uInt count, uInt size)
{
    SHS_UNUSED(opaque);
    return shs__calloc(count, size);
}

static void zip_free(voidpf opaque, voidpf address)
{
    SHS_UNUSED(opaque);
    shs__free(address);
}

static int begin(struct shs_archive *self)
{
    struct shs_zip *zip = shs__calloc(1, sizeof *zip);

    if (zip == NULL)
        return SHS_NOMEM;
    shs__buf_init(&zip->central, CENTRAL_MAX);
    self->zip = zip;
    zip->z.zalloc = zip_alloc;
    zip->z.zfree = zip_free;
    if (deflateInit2(&zip->z, LEVEL, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return SHS_NOMEM;
    zip->open = true;
    return SHS_OK;
}

static void set_time(struct shs_zip *zip, time_t when)
{
    struct tm tm;

    zip->dos_time = 0;
    zip->dos_date = 1 << 5 | 1; /* 1980-01-01, the first there is */
    if (gmtime_r(&when, &tm) == NULL || tm.tm_year < 80 || tm.tm_year > 207)
        return;
    zip->dos_time = (uint16_t)(tm.tm_hour << 11 | tm.tm_min << 5 | tm.tm_sec / 2);
    zip->dos_date = (uint16_t)((tm.tm_year - 80) << 9 | (tm.tm_mon + 1) << 5 | tm.tm_mday);
}

/* The record of the entry in the central directory. */
static int add_central(struct shs_zip *zip, struct shs_str name)
{
    bool large = zip->large || zip->packed >= LARGE || zip->offset >= LARGE;
    const struct number numbers[] = {
        {0x02014b50, 4},
        {0x0300 | (large ? 45 : 20), 2}, /* made on Unix: the attributes are a mode */
        {large ? 45 : 20, 2},
        {zip->flags, 2},
        {zip->method, 2},
        {zip->dos_time, 2},
        {zip->dos_date, 2},
        {zip->crc, 4},
        {large ? LARGE : zip->packed, 4},
        {large ? LARGE : zip->size, 4},
        {name.len, 2},
        {large ? 28 : 0, 2},
        {0, 2},
        {0, 2},
        {0, 2},
        {zip->attributes, 4},
        {large ? LARGE : zip->offset, 4},
        {0, 0},
    };
    const struct number extra[] = {{1, 2},           {24, 2},          {zip->size, 8},
                                   {zip->packed, 8}, {zip->offset, 8}, {0, 0}};

    SHS_RETURN_IF_ERROR(put_all(&zip->central, numbers));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(&zip->central, name));
    zip->count++;
    return large ? put_all(&zip->central, extra) : SHS_OK;
}

/* Of a name that is not UTF-8 nothing is said: readers that were told so refuse the archive. */
static uint16_t flags_of(const struct shs_archive_entry *entry)
{
    unsigned flags = entry->directory ? 0 : SIZES_FOLLOW;

    return (uint16_t)(shs__is_utf8(entry->name) ? flags | NAME_IS_UTF8 : flags);
}

static int begin_entry(struct shs_archive *self, const struct shs_archive_entry *entry)
{
    struct shs_zip *zip = self->zip;
    bool executable = (entry->st->st_mode & 0111) != 0;

    zip->offset = self->given + self->out.len;
    zip->packed = zip->size = 0;
    zip->crc = (uint32_t)crc32(0, NULL, 0);
    zip->method = entry->directory ? 0 : DEFLATED;
    zip->flags = flags_of(entry);
    /* Deflate adds a few bytes to what does not get smaller. */
    zip->large = !entry->directory && (uint64_t)entry->st->st_size >= LARGE - (LARGE >> 8);
    zip->attributes =
        entry->directory ? 040755u << 16 | 0x10 : (executable ? 0100755u : 0100644u) << 16;
    set_time(zip, entry->st->st_mtime);
    {
        const struct number numbers[] = {
            {0x04034b50, 4},
            {zip->large ? 45 : 20, 2},
            {zip->flags, 2},
            {zip->method, 2},
            {zip->dos_time, 2},
            {zip->dos_date, 2},
            {0, 4},
            {zip->large ? LARGE : 0, 4},
            {zip->large ? LARGE : 0, 4},
            {entry->name.len, 2},
            {zip->large ? 20 : 0, 2},
            {0, 0},
        };
        const struct number extra[] = {{1, 2}, {16, 2}, {0, 8}, {0, 8}, {0, 0}};

        SHS_RETURN_IF_ERROR(put_all(&self->out, numbers));
        SHS_RETURN_IF_ERROR(shs__buf_append_str(&self->out, entry->name));
        if (zip->large)
            SHS_RETURN_IF_ERROR(put_all(&self->out, extra));
    }
    if (entry->directory)
        return add_central(zip, entry->name);
    if (deflateReset(&zip->z) != Z_OK ||
        deflateParams(&zip->z, entry->compressible ? LEVEL : 0, Z_DEFAULT_STRATEGY) != Z_OK)
        return SHS_NOMEM;
    return SHS_OK;
}

/* Deflates these bytes, and to the end with Z_FINISH. */
static int pump(struct shs_archive *self, const char *bytes, size_t len, int flush)
{
    struct shs_zip *zip = self->zip;
    int rc;

    zip->z.next_in = (const Bytef *)bytes;
    zip->z.avail_in = (uInt)len;
    do {
        size_t room;

        SHS_RETURN_IF_ERROR(shs__buf_reserve(&self->out, SHS_ARCHIVE_PIECE));
        room = shs__buf_room(&self->out);
        zip->z.next_out = (Bytef *)shs__buf_tail(&self->out);
        zip->z.avail_out = (uInt)room;
        rc = deflate(&zip->z, flush);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return SHS_NOMEM;
        room -= zip->z.avail_out;
        self->out.len += room;
        zip->packed += room;
    } while (zip->z.avail_out == 0 || (flush == Z_FINISH && rc != Z_STREAM_END));
    return SHS_OK;
}

static int data(struct shs_archive *self, const char *bytes, size_t len)
{
    self->zip->crc = (uint32_t)crc32(self->zip->crc, (const Bytef *)bytes, (uInt)len);
    self->zip->size += len;
    return pump(self, bytes, len, Z_NO_FLUSH);
}

static int end_entry(struct shs_archive *self)
{
    struct shs_zip *zip = self->zip;
    size_t bytes = zip->large ? 8 : 4;

    SHS_RETURN_IF_ERROR(pump(self, NULL, 0, Z_FINISH));
    {
        const struct number numbers[] = {
            {0x08074b50, 4}, {zip->crc, 4}, {zip->packed, bytes}, {zip->size, bytes}, {0, 0}};

        SHS_RETURN_IF_ERROR(put_all(&self->out, numbers));
    }
    return add_central(zip, (struct shs_str){self->path, self->path_len});
}

static int end(struct shs_archive *self)
{
    struct shs_zip *zip = self->zip;
    uint64_t at = self->given + self->out.len, len = zip->central.len;
    bool large = zip->count >= 0xffff || at >= LARGE || len >= LARGE;
    const struct number zip64[] = {{0x06064b50, 4}, {44, 8}, {45, 2},         {45, 2},
                                   {0, 4},          {0, 4},  {zip->count, 8}, {zip->count, 8},
                                   {len, 8},        {at, 8}, {0x07064b50, 4}, {0, 4},
                                   {at + len, 8},   {1, 4},  {0, 0}};
    const struct number last[] = {{0x06054b50, 4},
                                  {0, 2},
                                  {0, 2},
                                  {large ? 0xffff : zip->count, 2},
                                  {large ? 0xffff : zip->count, 2},
                                  {large ? LARGE : len, 4},
                                  {large ? LARGE : at, 4},
                                  {0, 2},
                                  {0, 0}};

    SHS_RETURN_IF_ERROR(shs__buf_append(&self->out, shs__buf_head(&zip->central), (size_t)len));
    if (large)
        SHS_RETURN_IF_ERROR(put_all(&self->out, zip64));
    return put_all(&self->out, last);
}

static void free_zip(struct shs_archive *self)
{
    if (self->zip == NULL)
        return;
    if (self->zip->open)
        deflateEnd(&self->zip->z);
    shs__buf_free(&self->zip->central);
    shs__free(self->zip);
}
#else
static int begin(struct shs_archive *self)
{
    SHS_UNUSED(self);
    return SHS_USAGE;
}

/* Of a name that is not UTF-8 nothing is said: readers that were told so refuse the archive. */
static uint16_t flags_of(const struct shs_archive_entry *entry)
{
    unsigned flags = entry->directory ? 0 : SIZES_FOLLOW;

    return (uint16_t)(shs__is_utf8(entry->name) ? flags | NAME_IS_UTF8 : flags);
}

static int begin_entry(struct shs_archive *self, const struct shs_archive_entry *entry)
{
    SHS_UNUSED(self);
    SHS_UNUSED(entry);
    return SHS_USAGE;
}

static int data(struct shs_archive *self, const char *bytes, size_t len)
{
    SHS_UNUSED(self);
    SHS_UNUSED(bytes);
    SHS_UNUSED(len);
    return SHS_USAGE;
}

static int end_entry(struct shs_archive *self)
{
    SHS_UNUSED(self);
    return SHS_USAGE;
}

static int end(struct shs_archive *self)
{
    SHS_UNUSED(self);
    return SHS_USAGE;
}

static void free_zip(struct shs_archive *self)
{
    SHS_UNUSED(self);
}
#endif

const struct shs_archive_format shs__archive_zip = {".zip", "application/zip", begin, begin_entry,
                                                    data,   end_entry,         end,   free_zip};
