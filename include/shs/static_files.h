/*
 * shs/static_files.h - SimpleHTTPRequestHandler: a directory of files over HTTP.
 *
 * Concept
 *
 *   A handler that serves the files under one directory, and nothing else: every open goes through
 *   openat2(2) with RESOLVE_BENEATH, so neither "..", nor a symbolic link, nor a rename under way
 *   leads out of it. The directory is looked up by its name for each request: a link that is
 *   swapped to another release, or a directory that is built again, is served at once. GET and
 *   HEAD; types by file name; index pages; a listing for a directory without one, sorted by name,
 *   size or time (?C=N|S|M;O=A|D); 301 to "dir/" for "dir".
 *
 *   Validators and preconditions (an ETag, Last-Modified, If-Match and the others), single and
 *   multiple ranges, and content codings: a sibling "app.js.br", ".zst" or ".gz" that is not older
 *   than "app.js" is sent to who accepts it; text is compressed on the fly otherwise, as long as no
 *   more than two files are. An entity tag is a digest of the bytes: it changes when they do,
 *   whatever a file's time says, and is the same on all servers with the same tree. A file beyond
 *   32 MiB has a weak one until it has been read, once, by a thread.
 *
 *   Replace a file by writing the new one beside it and renaming it: who is being sent the old one
 *   gets all of it. Who overwrites a file breaks off the answers that are under way (shs_send_file
 *   says how that is seen), for nobody could tell them from whole ones.
 *
 *   Its own pages, a listing and the 404 that a browser gets, name their style and their script by
 *   their own address, "?listing.css=..." and "?listing.js=...": a Content-Security-Policy with
 *   'self' lets them through.
 *
 *   With `upload`, PUT stores one file and a POST of multipart/form-data to a directory stores
 *   those of a form. A file appears under its name when it is complete and on the disk, or never.
 *   PUT replaces, and the mode of the file stays; POST does not, but finds a free name. Pages of
 *   other sites may do neither.
 *
 * Follows: CPython Lib/http/server.py SimpleHTTPRequestHandler; RFC 9110 sections 8.8, 12.5.3, 13,
 * 14, 9.3.4 (PUT); RFC 7578 (forms).
 */
#ifndef SHS_STATIC_FILES_H
#define SHS_STATIC_FILES_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_static_options {
    size_t size;                      /* set by shs_static_options_init */
    const char *directory;            /* "." (NULL) */
    const char *const *index_pages;   /* NULL-terminated; NULL = index.html, index.htm */
    bool listing;                     /* true: a directory without an index page is listed */
    const char *const *extra_headers; /* name, value, name, value ..., NULL: added to files and
                                listings (Python 3.15's extra_response_headers) */
    const char *mime_types; /* the system's table of types; "" = none. NULL = /etc/mime.types, if
                               it is there */
    bool precompressed;     /* true: siblings .br, .zst and .gz are used */
    bool compress;          /* true: text of 512 bytes to 4 MiB is compressed for the answer */
    bool spa;               /* false. true: a page that does not exist is the root's index page, for
                               applications whose routes are made in the browser; no listings */
    bool upload;            /* false. true: PUT, and POST of a form, store files */
    uint64_t max_upload;    /* bytes of one request's files; more is 413. 1 GiB. (The server's
                               max_body_bytes holds as well.) */
    bool keep_small_files;  /* true: files of at most 16 KiB are kept in memory, up to 1,024 of
                               them. Each request still asks the file system whether the file has
                               changed (inode, size, times), so a change is seen at once */
    /* Pages of other origins may not store files: a browser says where a request comes from, and
       what is not from here is 403. Both lists end with NULL and hold origins, as
       "https://app.example:8443". */
    const char *const *write_origins; /* whose pages may all the same; NULL: nobody's. (For PUT
                                         they ask first: shs_cors_set_writers.) */
    const char *const *own_origins;   /* this server as browsers name it, where a proxy in front
                                         changes Host; NULL: Host is right */
    bool
        archive; /* false. true: a directory that is listed is to be had in one file: "?archive=zip"
                     and "?archive=tar", with links to them in the listing. Hidden names and links
                     are left out. Made while it is sent; four at a time, 503 beyond */
    uint64_t max_archive; /* bytes of files in one archive; more is 403. 4 GiB */
};

SHS_API void shs_static_options_init_sized(struct shs_static_options *opt, size_t size);
#define shs_static_options_init(opt) shs_static_options_init_sized((opt), sizeof *(opt))

struct shs_static_files;

/*
 * Opens the directory and makes the handler.
 *
 *   opt  copied
 *   err  may be NULL
 *
 * Returns 0, SHS_IO (with errno: no such directory, not a directory, no openat2), SHS_USAGE (an
 * extra header that cannot be sent), SHS_NOMEM. Free it after the server.
 */
SHS_API int shs_static_files_new(struct shs_static_files **out,
                                 const struct shs_static_options *opt,
                                 struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_static_files_free(struct shs_static_files *self); /* NULL is fine */

/* Its handler table, to give to a server; copy it to set log_request. Owned by *self. */
SHS_API const struct shs_http_handler *shs_static_files_handler(
    const struct shs_static_files *self);

/*
 * Answers one request from the directory: for a handler of your own that serves files for some
 * paths. Owner thread only.
 */
SHS_API int shs_static_files_serve(struct shs_static_files *self, struct shs_request *req,
                                   struct shs_response *res);

#ifdef __cplusplus
}
#endif

#endif
