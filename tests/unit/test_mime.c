#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "handler/mime.h"

static const struct {
    const char *name, *type;
} cases[] = {
    {"index.html", "text/html; charset=utf-8"},
    {"a/b/INDEX.HTM", "text/html; charset=utf-8"},
    {"style.css", "text/css; charset=utf-8"},
    {"app.min.js", "text/javascript; charset=utf-8"},
    {"logo.svg", "image/svg+xml"},
    {"data.json", "application/json"},
    {"p.jpg", "image/jpeg"},
    {"p.JPEG", "image/jpeg"},
    {"f.woff2", "font/woff2"},
    {"m.wasm", "application/wasm"},
    {"site.webmanifest", "application/manifest+json"},
    /* files, not codings: CPython's extensions_map */
    {"a.tar.gz", "application/gzip"},
    {"a.Z", "application/octet-stream"},
    {"a.bz2", "application/x-bzip2"},
    {"a.xz", "application/x-xz"},
    /* no extension, or none that is known */
    {"README", "application/octet-stream"},
    {"a.d/README", "application/octet-stream"},
    {".html", "application/octet-stream"},
    {"a/.html", "application/octet-stream"},
    {"x.", "application/octet-stream"},
    {"x.unheard-of-extension", "application/octet-stream"},
    {"x.htmlx", "application/octet-stream"},
    {"", "application/octet-stream"},
    {"x.ht\xffml", "application/octet-stream"},
};

static void test_types(void **state)
{
    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++)
        assert_string_equal(shs__mime_type(shs__str(cases[i].name)), cases[i].type);
}

/* bsearch finds every entry only in a sorted table: each of these stands in another part of it. */
static void test_table_is_sorted(void **state)
{
    static const char *const known[] = {
        "7z",    "aac",  "apng", "atom", "avif", "bmp", "br",   "c",      "cer",  "conf", "cpp",
        "crl",   "crt",  "csv",  "doc",  "docx", "eot", "epub", "flac",   "gif",  "h",    "ico",
        "ics",   "ini",  "jar",  "log",  "m3u8", "m4a", "map",  "md",     "mjs",  "mkv",  "mov",
        "mp3",   "mp4",  "mpd",  "mpeg", "odt",  "oga", "ogg",  "ogv",    "opus", "otf",  "p12",
        "p7b",   "pdf",  "pem",  "png",  "pptx", "ps",  "py",   "rss",    "rtf",  "sh",   "tar",
        "tif",   "ts",   "tsv",  "ttf",  "txt",  "vtt", "wav",  "weba",   "webm", "webp", "woff",
        "xhtml", "xlsx", "xml",  "yaml", "yml",  "zip", "zst",  "jsonld", "tiff", "toml"};
    char name[32];

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(known); i++) {
        snprintf(name, sizeof name, "file.%.11s", known[i]);
        if (strcmp(shs__mime_type(shs__str(name)), "application/octet-stream") == 0)
            fail_msg("%s is not found", known[i]);
    }
}

/* A system's table is above our own; what cannot be read in it is skipped. */
static void test_map(void **state)
{
    static const char text[] = "# types\n"
                               "text/x-test\t\tTST tst2   tst3\r\n"
                               "application/x-none\n"
                               "image/x-test png # not ours\n"
                               "no-slash bad1\n"
                               "a/b/c bad2\n"
                               "text/evil;x bad3\n"
                               "application/x-long waytoolongextension\n"
                               "application/x-last last";
    struct shs_mime_map *map;

    SHS_UNUSED(state);
    assert_int_equal(shs__mime_parse(&map, shs__str(text)), SHS_OK);
    assert_string_equal(shs__mime_lookup(map, SHS_STR("a.tst")), "text/x-test; charset=utf-8");
    assert_string_equal(shs__mime_lookup(map, SHS_STR("a.Tst3")), "text/x-test; charset=utf-8");
    assert_string_equal(shs__mime_lookup(map, SHS_STR("a.png")), "image/x-test");
    assert_string_equal(shs__mime_lookup(map, SHS_STR("a.last")), "application/x-last");
    assert_string_equal(shs__mime_lookup(map, SHS_STR("a.css")), "text/css; charset=utf-8");
    assert_string_equal(shs__mime_lookup(map, SHS_STR("a.ours")), "application/octet-stream");
    assert_string_equal(shs__mime_lookup(map, SHS_STR("a.bad1")), "application/octet-stream");
    assert_string_equal(shs__mime_lookup(map, SHS_STR("a.bad2")), "application/octet-stream");
    assert_string_equal(shs__mime_lookup(map, SHS_STR("a.bad3")), "application/octet-stream");
    shs__mime_free(map);
    assert_int_equal(shs__mime_parse(&map, SHS_STR("")), SHS_OK);
    assert_string_equal(shs__mime_lookup(map, SHS_STR("a.png")), "image/png");
    shs__mime_free(map);
    shs__mime_free(NULL);
    assert_int_equal(shs__mime_load(&map, "/nonexistent"), SHS_IO);
}

static void test_compressible(void **state)
{
    SHS_UNUSED(state);
    assert_true(shs__mime_compressible("text/html; charset=utf-8"));
    assert_true(shs__mime_compressible("application/json"));
    assert_true(shs__mime_compressible("image/svg+xml"));
    assert_true(shs__mime_compressible("application/ld+json"));
    assert_false(shs__mime_compressible("image/png"));
    assert_false(shs__mime_compressible("application/octet-stream"));
    assert_false(shs__mime_compressible("application/zip"));
    assert_false(shs__mime_compressible("font/woff2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_table_is_sorted),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_compressible),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
