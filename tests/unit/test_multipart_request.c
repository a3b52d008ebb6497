/* test_multipart_request.c - multipart/form-data of a request, saved or fed by a sink. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <shs/query.h>

#include "h1_lab.h"
#include "http/multipart.h"

#define TYPE "multipart/form-data; boundary=B"
#define PART "--B\r\nContent-Disposition: form-data; "
#define END "\r\n--B--\r\n"

static int uploads(struct shs_request *req, struct shs_response *res)
{
    char name[] = "/tmp/shs-test-multipart-XXXXXX", line[200];
    const struct shs_part *part;
    struct shs_multipart *form;
    struct shs_str value;
    uint64_t written;

    SHS_RETURN_IF_ERROR(shs_multipart_new(&form, req, NULL));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    for (;;) {
        int rc, fd;

        SHS_RETURN_IF_ERROR(shs_multipart_next(form, &part));
        if (part == NULL)
            break;
        if (part->filename.ptr == NULL) {
            SHS_RETURN_IF_ERROR(shs_multipart_value(form, 10, &value));
            snprintf(line, sizeof line, "%.*s=%.*s;", (int)part->name.len, part->name.ptr,
                     (int)value.len, value.ptr);
            SHS_RETURN_IF_ERROR(shs_write(res, line, strlen(line)));
            continue;
        }
        if (shs_multipart_header(form, "x-skip", &value))
            continue;
        fd = mkstemp(name);
        assert_true(fd >= 0);
        unlink(name);
        rc = shs_multipart_save(form, fd, 200000, &written);
        snprintf(line, sizeof line, "%.*s %llu %lld;", (int)part->filename.len, part->filename.ptr,
                 (unsigned long long)written, (long long)lseek(fd, 0, SEEK_END));
        close(fd);
        if (rc != SHS_OK)
            return rc;
        SHS_RETURN_IF_ERROR(shs_write(res, line, strlen(line)));
        memcpy(name + sizeof name - 7, "XXXXXX", 6);
    }
    return SHS_OK;
}

static int saves_badly(struct shs_request *req, struct shs_response *res)
{
    const struct shs_part *part;
    struct shs_multipart *form;
    uint64_t written = 77;
    char byte;
    size_t got;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC), rc;

    (void)res;
    assert_true(fd >= 0);
    SHS_RETURN_IF_ERROR(shs_multipart_new(&form, req, NULL));
    assert_int_equal(shs_multipart_read(form, &byte, 1, &got), SHS_USAGE); /* no part yet */
    SHS_RETURN_IF_ERROR(shs_multipart_next(form, &part));
    assert_non_null(part);
    rc = shs_multipart_save(form, fd, UINT64_MAX, &written);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(written, 0);
    close(fd);
    return rc;
}

static void post(shs_method_fn *fn, const char *type, const char *body, size_t len,
                 const char *part)
{
    const struct shs_http_handler handler = {.name = "t", .do_POST = fn};
    char *request = malloc(len + 1000);
    size_t head = (size_t)snprintf(request, 1000,
                                   "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\n"
                                   "Content-Length: %zu\r\n\r\n",
                                   type, len);

    memcpy(request + head, body, len);
    for (int way = 0; way < 3; way++) {
        struct h1_lab lab;

        h1_lab_open(&lab, &handler);
        lab.opt.max_buffered_body = way == 0 ? 65536 : 0;
        lab.piece = way == 1 ? h1_lab_random_piece : NULL;
        h1_lab_talk(&lab, request, head + len);
        if (strstr(h1_lab_text(&lab), part) == NULL)
            fail_msg("way %d: \"%s\" is not in:\n%s", way, part, h1_lab_text(&lab));
        h1_lab_close(&lab);
    }
    free(request);
}

/* -- fed by a sink ----------------------------------------------------------------------------- */

struct fed {
    struct shs_multipart *form;
    bool in_part;
    size_t bytes;
    char text[200];
};

static int fed_goes_on(struct fed *self)
{
    const struct shs_part *part = NULL;
    char buf[7];
    size_t got = 0;
    int rc = SHS_OK;

    while (rc == SHS_OK) {
        if (!self->in_part) {
            rc = shs_multipart_next(self->form, &part);
            if (rc != SHS_OK || part == NULL)
                return rc;
            snprintf(self->text + strlen(self->text), 50, "%.*s", (int)part->name.len,
                     part->name.ptr);
            self->in_part = true;
            self->bytes = 0;
        }
        rc = shs_multipart_read(self->form, buf, sizeof buf, &got);
        if (rc == SHS_OK && got == 0) {
            snprintf(self->text + strlen(self->text), 50, " %zu;", self->bytes);
            self->in_part = false;
        }
        self->bytes += rc == SHS_OK ? got : 0;
    }
    return rc;
}

static int fed_write(void *ctx, const void *data, size_t len)
{
    struct fed *self = ctx;
    struct shs_str value;
    int rc;

    assert_int_equal(shs_multipart_feed(self->form, data, len), SHS_OK);
    assert_int_equal(shs_multipart_feed(self->form, data, len), SHS_USAGE); /* not used up */
    assert_int_equal(shs_multipart_value(self->form, 1, &value), SHS_USAGE);
    rc = fed_goes_on(self);
    return rc == SHS_WAIT_READ ? SHS_OK : rc;
}

static int fed_done(void *ctx, struct shs_request *req, struct shs_response *res, int rc)
{
    struct fed *self = ctx;

    (void)req;
    if (rc == SHS_OK) {
        assert_int_equal(shs_multipart_feed(self->form, NULL, 0), SHS_OK);
        assert_int_equal(shs_multipart_feed(self->form, "x", 1), SHS_USAGE); /* that was all */
        rc = fed_goes_on(self);
    }
    SHS_RETURN_IF_ERROR(rc);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, self->text, strlen(self->text));
}
static const struct shs_sink fed_sink = {.write = fed_write, .done = fed_done};

static int feeds(struct shs_request *req, struct shs_response *res)
{
    struct fed *self = shs_request_alloc(req, sizeof *self);

    (void)res;
    assert_non_null(self);
    memset(self, 0, sizeof *self);
    SHS_RETURN_IF_ERROR(shs_multipart_new_fed(&self->form, req, NULL));
    return shs_request_sink(req, &fed_sink, self);
}

static int feeds_what_reads(struct shs_request *req, struct shs_response *res)
{
    struct shs_multipart *form;

    SHS_RETURN_IF_ERROR(shs_multipart_new(&form, req, NULL));
    assert_int_equal(shs_multipart_feed(form, "x", 1), SHS_USAGE);
    return shs_send_error(res, 418, NULL);
}

static void test_sinks(void **state)
{
    static const char small[] =
        PART "name=t\r\n\r\n0123456789\r\n" PART "name=f; filename=f.bin\r\n\r\nabc\r\n" PART
             "name=e; filename=e\r\n\r\n" END;
    static const char twice[] = PART "name=t; name=t\r\n\r\n0" END;
    char *body = malloc(200200);
    size_t len = (size_t)snprintf(body, 200, PART "name=big\r\n\r\n");

    (void)state;
    post(feeds, TYPE, small, sizeof small - 1, "\r\n\r\nt 10;f 3;e 0;");
    post(feeds, TYPE, twice, sizeof twice - 1, "HTTP/1.1 400 ");
    post(feeds, TYPE, small, sizeof small - 5, "HTTP/1.1 400 "); /* cut off */
    post(feeds, "text/plain", small, sizeof small - 1, "HTTP/1.1 415 ");
    post(feeds_what_reads, TYPE, small, sizeof small - 1, " 418 ");
    for (size_t k = 0; k < 200000; k++)
        body[len++] = "\r\n--A"[k % 5];
    memcpy(body + len, END, sizeof END - 1);
    post(feeds, TYPE, body, len + sizeof END - 1, "big 200000;");
    free(body);
}

static void test_requests(void **state)
{
    static const char small[] =
        PART "name=t\r\n\r\n0123456789\r\n" PART "name=f; filename=f.bin\r\n\r\nabc\r\n" PART
             "name=f; filename=skipped\r\nX-Skip: 1\r\n\r\nabc\r\n" PART
             "name=e; filename=e\r\n\r\n" END;
    static const char long_value[] = PART "name=t\r\n\r\n0123456789x" END;
    static const char twice[] = PART "name=t; name=t\r\n\r\n0" END;
    size_t sizes[] = {200000, 200001};

    (void)state;
    post(uploads, TYPE, small, sizeof small - 1, "\r\n\r\nt=0123456789;f.bin 3 3;e 0 0;");
    post(uploads, TYPE, long_value, sizeof long_value - 1, "HTTP/1.1 413 ");
    post(uploads, TYPE, twice, sizeof twice - 1, "HTTP/1.1 400 ");
    post(uploads, TYPE, small, sizeof small - 5, "HTTP/1.1 400 ");
    post(uploads, "text/plain", small, sizeof small - 1, "HTTP/1.1 415 ");
    post(saves_badly, TYPE, long_value, sizeof long_value - 1, "HTTP/1.1 500 ");
    for (size_t i = 0; i < SHS_ARRAY_LEN(sizes); i++) {
        char *body = malloc(sizes[i] + 200);
        size_t len = (size_t)snprintf(body, 200, PART "name=f; filename=big\r\n\r\n");

        for (size_t k = 0; k < sizes[i]; k++)
            body[len++] = "\r\n--A"[k % 5];
        memcpy(body + len, END, sizeof END - 1);
        post(uploads, TYPE, body, len + sizeof END - 1,
             i == 0 ? "big 200000 200000;" : "HTTP/1.1 413 ");
        free(body);
    }
}

static int bad_limits(struct shs_request *req, struct shs_response *res)
{
    struct shs_multipart_limits limits;
    struct shs_multipart *form;
    char byte;
    size_t got;

    shs_multipart_limits_init(&limits);
    limits.max_header_bytes = 63;
    assert_int_equal(shs_multipart_new(&form, req, &limits), SHS_USAGE);
    limits.max_header_bytes = 65537;
    assert_int_equal(shs_multipart_new(&form, req, &limits), SHS_USAGE);
    limits.max_header_bytes = 65536;
    assert_int_equal(shs_multipart_new(&form, req, &limits), SHS_OK);
    SHS_RETURN_IF_ERROR(shs_request_read(req, &byte, 1, &got));
    assert_int_equal(shs_multipart_new(&form, req, NULL), SHS_USAGE);
    return shs_send_error(res, 418, NULL);
}

/* The request's memory is used up: each helper says so, and nothing is broken. */
static int no_memory(struct shs_request *req, struct shs_response *res)
{
    struct shs_multipart *form = NULL;
    struct shs_params params;
    struct shs_str value;
    size_t size = 65536;

    (void)res;
    while (size > 0) {
        if (shs_request_alloc(req, size) == NULL)
            size /= 2;
    }
    assert_int_equal(shs_request_query_params(req, &params), SHS_NOMEM);
    assert_int_equal(shs_request_form(req, 100, &params), SHS_NOMEM);
    assert_int_equal(shs_request_body(req, 100, &value), SHS_NOMEM);
    return shs_multipart_new(&form, req, NULL);
}

static int no_memory_for_a_value(struct shs_request *req, struct shs_response *res)
{
    const struct shs_part *part;
    struct shs_multipart *form;
    struct shs_str value;
    size_t size = 65536;

    (void)res;
    SHS_RETURN_IF_ERROR(shs_multipart_new(&form, req, NULL));
    while (size > 0) {
        if (shs_request_alloc(req, size) == NULL)
            size /= 2;
    }
    SHS_RETURN_IF_ERROR(shs_multipart_next(form, &part));
    assert_non_null(part);
    assert_int_equal(shs_multipart_value(form, 1000, &value), SHS_NOMEM);
    return shs_multipart_next(form, &part);
}

static void test_usage(void **state)
{
    static const char one[] = PART "name=t\r\n\r\n0123456789" END;

    (void)state;
    post(no_memory, TYPE, one, sizeof one - 1, "HTTP/1.1 500 ");
    post(no_memory_for_a_value, TYPE, one, sizeof one - 1, "HTTP/1.1 500 ");
    post(bad_limits, TYPE, "--B--", 5, " 418 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_sinks),
        cmocka_unit_test(test_usage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
