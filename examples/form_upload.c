/*
 * form_upload.c - a page with a form, and what becomes of it: fields are shown, files are saved.
 *
 *   form_upload DIRECTORY [PORT [CERT.pem [KEY.pem]]]     without a certificate: plain HTTP
 *   curl -F note=hi -F file=@photo.jpg http://127.0.0.1:8080/
 *
 * A file goes straight to a temporary one in DIRECTORY, is synced, and only then gets its name:
 * what is cut off leaves nothing behind. The name is made of the client's, and never replaces
 * another.
 */
#include <shs/shs.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE ((uint64_t)100 * 1024 * 1024)

static struct shs_server *running;

static const char page[] = "<!DOCTYPE html><html lang=\"en\"><title>Upload</title>\n"
                           "<form method=\"post\" enctype=\"multipart/form-data\">\n"
                           "<p><label>Note <input name=\"note\"></label>\n"
                           "<p><label>Files <input type=\"file\" name=\"file\" multiple></label>\n"
                           "<p><button>Send</button></form></html>\n";

static int get(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/html;charset=utf-8"));
    return shs_write(res, page, sizeof page - 1);
}

/* Gives the temporary file its name: NAME, or 2-NAME, 3-NAME ... linkat never replaces a file. */
static int give_name(int dir, const char *temporary, const char *name, char *out, size_t cap)
{
    for (unsigned n = 1; n < 1000; n++) {
        if (n == 1)
            snprintf(out, cap, "%s", name);
        else
            snprintf(out, cap, "%u-%s", n, name);
        if (linkat(dir, temporary, dir, out, 0) == 0)
            return SHS_OK;
        if (errno != EEXIST)
            return SHS_IO;
    }
    return SHS_LIMIT;
}

static int save(struct shs_multipart *form, const struct shs_part *part, int dir, char *name,
                size_t cap, uint64_t *size)
{
    char wanted[200], temporary[64];
    int fd, rc;

    shs_safe_file_name(part->filename, wanted, sizeof wanted);
    snprintf(temporary, sizeof temporary, ".upload-%lld-%p", (long long)shs_now_ns(), (void *)form);
    fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return SHS_IO;
    rc = shs_multipart_save(form, fd, MAX_FILE, size);
    if (rc == SHS_OK && fsync(fd) != 0)
        rc = SHS_IO;
    if (rc == SHS_OK)
        rc = give_name(dir, temporary, wanted, name, cap);
    unlinkat(dir, temporary, 0);
    close(fd);
    return rc;
}

/* One line of text for each part. An error code becomes the right answer: 400, 413, 415, 500. */
static int post(struct shs_request *req, struct shs_response *res)
{
    int dir = *(int *)shs_request_ctx(req);
    const struct shs_part *part;
    struct shs_multipart *form;

    SHS_RETURN_IF_ERROR(shs_multipart_new(&form, req, NULL));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain;charset=utf-8"));
    for (;;) {
        char name[256], line[400];
        struct shs_str value;
        uint64_t size = 0;

        SHS_RETURN_IF_ERROR(shs_multipart_next(form, &part));
        if (part == NULL)
            return SHS_OK;
        if (part->filename.ptr == NULL) {
            SHS_RETURN_IF_ERROR(shs_multipart_value(form, 1000, &value));
            SHS_RETURN_IF_ERROR(shs_write(res, "field ", 6));
            SHS_RETURN_IF_ERROR(shs_write(res, part->name.ptr, part->name.len));
            SHS_RETURN_IF_ERROR(shs_write(res, ": ", 2));
            SHS_RETURN_IF_ERROR(shs_write(res, value.ptr, value.len));
            SHS_RETURN_IF_ERROR(shs_write(res, "\n", 1));
        } else if (part->filename.len > 0) { /* empty: no file was chosen */
            SHS_RETURN_IF_ERROR(save(form, part, dir, name, sizeof name, &size));
            snprintf(line, sizeof line, "saved %s: %llu bytes\n", name, (unsigned long long)size);
            SHS_RETURN_IF_ERROR(shs_write(res, line, strlen(line)));
        }
    }
}

static void on_stop(int number)
{
    (void)number;
    shs_shutdown(running);
}

int main(int argc, char **argv)
{
    struct sigaction stop = {.sa_handler = on_stop};
    int dir = open(argc > 1 ? argv[1] : ".", O_DIRECTORY | O_CLOEXEC), rc;
    const struct shs_http_handler handler = {
        .name = "form_upload", .do_GET = get, .do_POST = post, .ctx = &dir};
    struct shs_options opt;
    struct shs_error err;

    if (dir < 0)
        return perror(argc > 1 ? argv[1] : "."), 1;
    shs_options_init(&opt);
    opt.port = argc > 2 ? argv[2] : "8080";
    opt.certfile = argc > 3 ? argv[3] : NULL;
    opt.keyfile = argc > 4 ? argv[4] : NULL;
    opt.bind_and_activate = opt.certfile != NULL;
    rc = opt.certfile != NULL ? shs_secure_http_server_new(&running, &opt, &handler, &err)
                              : shs_http_server_new(&running, &opt, &handler, &err);
    if (rc == SHS_OK && opt.certfile == NULL) { /* compose by hand: threads, but no TLS */
        rc = shs_threading_mixin_push(running, &err);
        if (rc == SHS_OK)
            rc = shs_server_bind_and_activate(running, &err);
    }
    if (rc != SHS_OK)
        return fprintf(stderr, "form_upload: %s\n", err.text), 1;
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    printf("Serving %s on 127.0.0.1 port %u (%s://127.0.0.1:%u/) ...\n",
           opt.certfile != NULL ? "HTTPS" : "HTTP", shs_server_port(running),
           opt.certfile != NULL ? "https" : "http", shs_server_port(running));
    fflush(stdout);
    rc = shs_serve_forever(running);
    shs_server_free(running);
    close(dir);
    return rc != SHS_OK;
}
