#include "handler/mime.h"

#include <stdlib.h>

#include "handler/mime_table.h"

#define UTF8 "; charset=utf-8"
#define EXTENSION_MAX SHS_MIME_EXTENSION_MAX

/*
 * Sorted by extension, for bsearch. Text is UTF-8 on the web of today, and a type without a charset
 * lets a browser guess. XML and JSON carry their encoding themselves. Compressed files have the
 * types of CPython's extensions_map: they are files, not a content coding.
 */
static const struct shs_mime_entry mime_table[] = {
    {"7z", "application/x-7z-compressed"},
    {"aac", "audio/aac"},
    {"apng", "image/apng"},
    {"atom", "application/atom+xml"},
    {"avif", "image/avif"},
    {"bmp", "image/bmp"},
    {"br", "application/x-brotli"},
    {"bz2", "application/x-bzip2"},
    {"c", "text/plain" UTF8},
    {"cer", "application/pkix-cert"},
    {"conf", "text/plain" UTF8},
    {"cpp", "text/plain" UTF8},
    {"crl", "application/pkix-crl"},
    {"crt", "application/x-x509-ca-cert"},
    {"css", "text/css" UTF8},
    {"csv", "text/csv" UTF8},
    {"doc", "application/msword"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"eot", "application/vnd.ms-fontobject"},
    {"epub", "application/epub+zip"},
    {"flac", "audio/flac"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"h", "text/plain" UTF8},
    {"htm", "text/html" UTF8},
    {"html", "text/html" UTF8},
    {"ico", "image/vnd.microsoft.icon"},
    {"ics", "text/calendar" UTF8},
    {"ini", "text/plain" UTF8},
    {"jar", "application/java-archive"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript" UTF8},
    {"json", "application/json"},
    {"jsonld", "application/ld+json"},
    {"log", "text/plain" UTF8},
    {"m3u8", "application/vnd.apple.mpegurl"},
    {"m4a", "audio/mp4"},
    {"map", "application/json"},
    {"md", "text/markdown" UTF8},
    {"mjs", "text/javascript" UTF8},
    {"mkv", "video/matroska"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"mpd", "application/dash+xml"},
    {"mpeg", "video/mpeg"},
    {"odt", "application/vnd.oasis.opendocument.text"},
    {"oga", "audio/ogg"},
    {"ogg", "audio/ogg"},
    {"ogv", "video/ogg"},
    {"opus", "audio/ogg"},
    {"otf", "font/otf"},
    {"p12", "application/x-pkcs12"},
    {"p7b", "application/x-pkcs7-certificates"},
    {"pdf", "application/pdf"},
    {"pem", "application/x-pem-file"},
    {"png", "image/png"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"ps", "application/postscript"},
    {"py", "text/x-python" UTF8},
    {"rss", "application/rss+xml"},
    {"rtf", "application/rtf"},
    {"sh", "text/x-shellscript" UTF8},
    {"svg", "image/svg+xml"},
    {"svgz", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"toml", "application/toml"},
    {"ts", "video/mp2t"},
    {"tsv", "text/tab-separated-values" UTF8},
    {"ttf", "font/ttf"},
    {"txt", "text/plain" UTF8},
    {"vtt", "text/vtt" UTF8},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"weba", "audio/webm"},
    {"webm", "video/webm"},
    {"webmanifest", "application/manifest+json"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xhtml", "application/xhtml+xml"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"},
    {"xz", "application/x-xz"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"z", "application/octet-stream"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
};

static int compare_extension(const void *key, const void *entry)
{
    return strcmp(key, ((const struct shs_mime_entry *)entry)->extension);
}

/* The last extension in small letters; false when there is none that could be known. */
static bool extension_of(struct shs_str name, char extension[EXTENSION_MAX + 1])
{
    size_t dot = name.len, len;

    while (dot > 0 && name.ptr[dot - 1] != '.' && name.ptr[dot - 1] != '/')
        dot--;
    len = name.len - dot;
    /* ".profile" has no extension: what begins with the dot is the name. */
    if (dot < 2 || name.ptr[dot - 1] != '.' || name.ptr[dot - 2] == '/' || len > EXTENSION_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        extension[i] = (char)shs__lower((unsigned char)name.ptr[dot + i]);
    extension[len] = '\0';
    return true;
}

const char *shs__mime_type(struct shs_str name)
{
    return shs__mime_lookup(NULL, name);
}

const char *shs__mime_lookup(const struct shs_mime_map *map, struct shs_str name)
{
    const struct shs_mime_entry *entry = NULL;
    char extension[EXTENSION_MAX + 1];

    if (!extension_of(name, extension))
        return "application/octet-stream";
    if (map != NULL)
        entry = shs__mime_find(map, extension);
    if (entry == NULL)
        entry = bsearch(extension, mime_table, SHS_ARRAY_LEN(mime_table), sizeof mime_table[0],
                        compare_extension);
    return entry == NULL ? "application/octet-stream" : entry->type;
}

bool shs__mime_is_gzipped(struct shs_str name)
{
    static const char *const kinds[] = {"svgz", "x3dz", "x3dvz", "wrz"};
    char extension[EXTENSION_MAX + 1];

    if (!extension_of(name, extension))
        return false;
    for (size_t i = 0; i < SHS_ARRAY_LEN(kinds); i++) {
        if (strcmp(extension, kinds[i]) == 0)
            return true;
    }
    return false;
}

static bool ends_with(struct shs_str s, struct shs_str end)
{
    return s.len >= end.len && shs__str_eq((struct shs_str){s.ptr + s.len - end.len, end.len}, end);
}

bool shs__mime_compressible(const char *type)
{
    static const char *const types[] = {
        "application/json",
        "application/javascript",
        "application/xml",
        "application/wasm",
        "application/rtf",
        "application/toml",
        "application/yaml",
        "application/x-sh",
        "application/vnd.ms-fontobject",
        "application/postscript",
        "font/ttf",
        "font/otf",
        "image/bmp",
        "image/vnd.microsoft.icon",
    };
    struct shs_str s = {type, strcspn(type, ";")};

    if (s.len > 5 && memcmp(s.ptr, "text/", 5) == 0)
        return true;
    if (ends_with(s, SHS_STR("+json")) || ends_with(s, SHS_STR("+xml")))
        return true;
    for (size_t i = 0; i < SHS_ARRAY_LEN(types); i++) {
        if (shs__str_eq(s, shs__str(types[i])))
            return true;
    }
    return false;
}
