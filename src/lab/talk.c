/* talk.c - one connection, from its first byte to its end. */
#include "lab/talk.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include <openssl/err.h>

#include "base/text.h"

#define OUT_CEILING ((size_t)1 << 20) /* the flight with 10,000 names has 251 kB */
#define CHUNK 16384u
#define LINE_CEILING 4096u

/* -- bytes ------------------------------------------------------------------------------------- */

static void limit_phase(struct shs__lab_talk *talk, unsigned ms)
{
    shs_conn_set_deadline(talk->conn, shs__deadline_after(shs_now_ns(), ms));
}

int shs__lab_talk_read(struct shs__lab_talk *talk)
{
    size_t got = 0;
    int rc = shs__buf_reserve(&talk->in, CHUNK);

    if (rc != SHS_OK)
        return rc;
    rc = shs_conn_read(talk->conn, shs__buf_tail(&talk->in), shs__buf_room(&talk->in), &got);
    if (rc == SHS_OK)
        talk->in.len += got;
    return rc;
}

int shs__lab_talk_send(struct shs__lab_talk *talk, const void *bytes, size_t len)
{
    return len == 0 ? SHS_OK : shs_conn_write(talk->conn, bytes, len);
}

void shs__lab_talk_nap(struct shs__lab_talk *talk, unsigned ms)
{
    const struct timespec step = {.tv_nsec = (long)ms * SHS_NS_PER_MS};

    if (!shs_server_stopping(talk->lab->server))
        nanosleep(&step, NULL);
}

int shs__lab_talk_stall(struct shs__lab_talk *talk)
{
    int rc = SHS_OK;

    talk->fault_made = true;
    talk->over = true;
    talk->outcome = "stalled";
    limit_phase(talk, talk->lab->stall_ms);
    while (rc == SHS_OK) {
        shs__buf_consume(&talk->in, talk->in.len); /* it may say what it likes */
        rc = shs__lab_talk_read(talk);
    }
    return SHS_CLOSED;
}

/* connect(2): AF_UNSPEC dissolves a connection, and TCP says RST. */
int shs__lab_talk_reset(struct shs__lab_talk *talk)
{
    const struct sockaddr none = {.sa_family = AF_UNSPEC};

    talk->over = true;
    (void)connect(shs_conn_fileno(talk->conn), &none, sizeof none);
    return SHS_CLOSED;
}

/* -- which condition --------------------------------------------------------------------------- */

static struct shs__lab_unit *find_id(struct shs_lab *lab, const char *id)
{
    for (size_t i = 0; i < lab->count; i++) {
        if (strcmp(lab->units[i].row->id, id) == 0)
            return &lab->units[i];
    }
    return NULL;
}

static struct shs__lab_unit *find_unit(struct shs_lab *lab, const char *sni)
{
    for (size_t i = 0; i < lab->count; i++) {
        if (strcmp(lab->units[i].public.host, sni) == 0)
            return &lab->units[i];
    }
    return NULL;
}

/* Who says no name comes by an address: the one that CONNECT named, or that of this end. */
static struct shs__lab_unit *find_by_address(struct shs__lab_talk *talk)
{
    struct sockaddr_storage own = {.ss_family = AF_UNSPEC};
    struct shs__lab_unit *unit;
    socklen_t len = sizeof own;

    if (!talk->proxied &&
        (getsockname(shs_conn_fileno(talk->conn), (struct sockaddr *)&own, &len) != 0 ||
         getnameinfo((struct sockaddr *)&own, len, talk->target, sizeof talk->target, NULL, 0,
                     NI_NUMERICHOST) != 0))
        talk->target[0] = '\0';
    unit = find_unit(talk->lab, talk->target);
    return unit != NULL ? unit : find_id(talk->lab, "sni-missing");
}

static void count(struct shs__lab_talk *talk, struct shs__lab_unit *unit)
{
    if (unit != talk->counted)
        atomic_fetch_add(&unit->connections, 1);
    talk->counted = unit;
}

void shs__lab_talk_came(struct shs__lab_talk *talk, const char *name)
{
    struct shs__lab_unit *unit = find_unit(talk->lab, name);

    if (unit != NULL)
        count(talk, unit);
}

static struct shs__lab_unit *choose(struct shs__lab_talk *talk)
{
    struct shs_lab *lab = talk->lab;
    struct shs__lab_unit *unit =
        talk->hello.sni[0] == '\0' ? find_by_address(talk) : find_unit(lab, talk->hello.sni);

    if (unit == NULL) {
        atomic_fetch_add(&lab->strangers, 1);
        return &lab->stranger;
    }
    count(talk, unit);
    if (!talk->hello.has_alpn)
        atomic_fetch_add(&unit->no_alpn, 1);
    return unit;
}

/* -- the handshake ----------------------------------------------------------------------------- */

/* Alerts of the client, wherever they come. */
static void watch(const SSL *ssl, int where, int value)
{
    struct shs__lab_talk *talk = SSL_get_app_data(ssl);

    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value & 0xff) != 0) {
        talk->alert = value & 0xff;
        atomic_store(&talk->unit->last_alert, talk->alert);
    }
}

/* What has come goes to OpenSSL; what it says in a record's type tells whether it went on. */
static int feed(struct shs__lab_talk *talk)
{
    size_t len = talk->in.len;

    if (len > 0) {
        const char *head = shs__buf_head(&talk->in);

        if (talk->flight > 0 && !talk->handshake_done && (head[0] == 22 || head[0] == 20))
            talk->went_on = true;
        if (BIO_write(talk->rbio, head, (int)len) != (int)len)
            return SHS_NOMEM;
        shs__buf_consume(&talk->in, len);
    }
    return SHS_OK;
}

/* What OpenSSL wants is brought: SHS_OK to try again. */
static int serve_want(struct shs__lab_talk *talk, int result)
{
    int why = SSL_get_error(talk->ssl, result);
    int rc = shs__lab_wire_flush(talk);

    if (rc != SHS_OK)
        return rc;
    if (why == SSL_ERROR_ZERO_RETURN)
        return SHS_CLOSED;
    if (why != SSL_ERROR_WANT_READ)
        return SHS_TLS;
    rc = shs__lab_talk_read(talk);
    return rc == SHS_OK ? feed(talk) : rc;
}

int shs__lab_app_handshake(struct shs__lab_talk *talk)
{
    int rc = SHS_OK, done;

    do {
        ERR_clear_error();
        done = SSL_do_handshake(talk->ssl);
        if (done == 1)
            return shs__lab_wire_flush(talk);
        rc = serve_want(talk, done);
    } while (rc == SHS_OK);
    return rc;
}

/* With data that comes before the client has heard of us, which is thrown away: the answer to it
   comes in its time. */
static int handshake_early(struct shs__lab_talk *talk)
{
    char waste[4096];
    size_t got = 0;
    int rc = SHS_OK;

    while (rc == SHS_OK) {
        ERR_clear_error();
        switch (SSL_read_early_data(talk->ssl, waste, sizeof waste, &got)) {
        case SSL_READ_EARLY_DATA_FINISH:
            return shs__lab_app_handshake(talk);
        case SSL_READ_EARLY_DATA_SUCCESS:
            if (shs__buf_append(&talk->early, waste, got) != SHS_OK)
                return SHS_LIMIT;
            break;
        default:
            rc = serve_want(talk, 0);
        }
    }
    return rc;
}

int shs__lab_app_read(struct shs__lab_talk *talk, void *buf, size_t cap, size_t *got)
{
    int rc = SHS_OK, done;

    if (talk->early.len > 0) {
        *got = talk->early.len < cap ? talk->early.len : cap;
        memcpy(buf, shs__buf_head(&talk->early), *got);
        shs__buf_consume(&talk->early, *got);
        return SHS_OK;
    }
    do {
        ERR_clear_error();
        done = SSL_read(talk->ssl, buf, (int)cap);
        if (done > 0) {
            *got = (size_t)done;
            return shs__lab_wire_flush(talk);
        }
        rc = serve_want(talk, done);
    } while (rc == SHS_OK);
    return rc;
}

int shs__lab_app_write(struct shs__lab_talk *talk, const void *bytes, size_t len)
{
    int rc = SHS_OK, done;

    do {
        ERR_clear_error();
        done = SSL_write(talk->ssl, bytes, (int)len);
        if (done > 0)
            return shs__lab_wire_flush(talk);
        rc = serve_want(talk, done);
    } while (rc == SHS_OK);
    return rc;
}

/* Where the client is to be asked again: which group makes it so depends on what it has sent. */
static bool set_spare_group(struct shs__lab_talk *talk)
{
    const char *group =
        talk->unit->row->make.retry ? shs__lab_hello_spare_group(&talk->hello) : NULL;

    return group == NULL || SSL_set1_groups_list(talk->ssl, group) == 1;
}

static int make_ssl(struct shs__lab_talk *talk, SSL_CTX *ctx, const struct shs_buf *message)
{
    struct shs_buf records;
    int rc = SHS_OK;

    talk->ssl = SSL_new(ctx);
    talk->rbio = BIO_new(BIO_s_mem());
    talk->wbio = BIO_new(BIO_s_mem());
    if (talk->ssl == NULL || talk->rbio == NULL || talk->wbio == NULL) {
        BIO_free(talk->rbio);
        BIO_free(talk->wbio);
        return SHS_NOMEM;
    }
    BIO_set_mem_eof_return(talk->rbio, -1);
    BIO_set_mem_eof_return(talk->wbio, -1);
    SSL_set_bio(talk->ssl, talk->rbio, talk->wbio);
    SSL_set_accept_state(talk->ssl);
    SSL_set_app_data(talk->ssl, talk);
    SSL_set_info_callback(talk->ssl, watch);
    if (!set_spare_group(talk))
        return SHS_NOMEM;
    if (talk->unit->row->make.edit == LAB_EDIT_NONE)
        return feed(talk);
    shs__buf_init(&records, 2 * LAB_HELLO_MAX);
    rc = shs__lab_hello_frame(message, &records);
    if (rc == SHS_OK &&
        BIO_write(talk->rbio, shs__buf_head(&records), (int)records.len) != (int)records.len)
        rc = SHS_NOMEM;
    shs__buf_consume(&talk->in, talk->in.len);
    shs__buf_free(&records);
    return rc;
}

/* -- the journal ------------------------------------------------------------------------------- */

static void write_down(struct shs__lab_talk *talk, int rc)
{
    const char *host = shs_conn_client_host(talk->conn);
    char when[40] = "";
    time_t now = time(NULL);
    struct shs_buf line;
    struct tm tm;

    shs__buf_init(&line, LINE_CEILING);
    if (gmtime_r(&now, &tm) != NULL)
        (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)shs__buf_printf(&line, "{\"time\":\"%s\",\"client\":\"%s\",\"port\":%u,\"id\":\"%s\"",
                          when, host, shs_conn_client_port(talk->conn), talk->unit->row->id);
    (void)shs__buf_printf(&line, ",\"sni\":\"");
    (void)shs__json_escape(&line, shs__str(talk->hello.sni));
    (void)shs__buf_printf(&line, "\",\"offers_tls13\":%s,\"alpn\":\"",
                          talk->hello.offers_13 ? "true" : "false");
    (void)shs__json_escape(&line, shs__str(talk->hello.alpn));
    (void)shs__buf_printf(
        &line,
        "\",\"proxy\":%s,\"handshake\":%s,\"request\":%s,\"went_on\":%s,"
        "\"alert\":%d,\"version\":\"%s\",\"outcome\":\"%s\"}",
        talk->proxied ? "true" : "false", talk->handshake_done ? "true" : "false",
        talk->answering ? "true" : "false", talk->went_on ? "true" : "false", talk->alert,
        talk->ssl != NULL && talk->handshake_done ? SSL_get_version(talk->ssl) : "",
        talk->outcome != NULL              ? talk->outcome
        : rc == SHS_OK || rc == SHS_CLOSED ? "done"
                                           : shs_err_name(rc));
    if (shs__buf_append(&line, "", 1) == SHS_OK) {
        if (talk->lab->log != NULL)
            talk->lab->log(talk->lab->log_ctx, SHS_LOG_INFO, shs__buf_head(&line));
        shs__lab_journal(talk->lab, line.data);
        line.data = NULL;
    }
    shs__buf_free(&line);
}

static void keep_hello(struct shs__lab_talk *talk)
{
    struct shs_buf text;

    shs__buf_init(&text, 16384);
    if (shs__lab_hello_print(&talk->hello, shs_conn_client_host(talk->conn), &text) != SHS_OK ||
        shs__buf_append(&text, "", 1) != SHS_OK) {
        shs__buf_free(&text);
        return;
    }
    pthread_mutex_lock(&talk->lab->log_lock);
    shs__free(talk->lab->last_hello);
    talk->lab->last_hello = text.data;
    pthread_mutex_unlock(&talk->lab->log_lock);
}

/* -- the whole --------------------------------------------------------------------------------- */

static int read_hello(struct shs__lab_talk *talk, struct shs_buf *message)
{
    int rc;

    for (;;) {
        struct shs_str records = {shs__buf_head(&talk->in), talk->in.len};

        rc = records.len == 0 ? SHS_WAIT_READ : shs__lab_hello_read(&talk->hello, records, message);
        if (rc != SHS_WAIT_READ)
            return rc;
        rc = shs__lab_talk_read(talk);
        if (rc != SHS_OK)
            return rc;
    }
}

static int fail_to_serve(struct shs__lab_talk *talk, const struct shs_error *err)
{
    static const unsigned char internal_error[] = {21, 3, 3, 0, 2, 2, 80};

    talk->outcome = "not served";
    if (err->code != SHS_STOPPED)
        shs_server_log(talk->lab->server, SHS_LOG_ERROR, "%s cannot be served: %s",
                       talk->unit->row->id, err->text);
    (void)shs__lab_talk_send(talk, internal_error, sizeof internal_error);
    return SHS_CLOSED;
}

static int talk_tls(struct shs__lab_talk *talk, struct shs_buf *message)
{
    static const unsigned char unrecognized_name[] = {21, 3, 3, 0, 2, 2, 112};
    const struct shs__lab_make *make = &talk->unit->row->make;
    struct shs_error err = {.code = SHS_OK};
    SSL_CTX *ctx = NULL;
    int rc;

    if (talk->unit == &talk->lab->stranger && talk->lab->strict) {
        talk->outcome = "unknown name";
        (void)shs__lab_talk_send(talk, unrecognized_name, sizeof unrecognized_name);
        return SHS_CLOSED;
    }
    if (!talk->unit->public.servable) {
        shs_error_set(&err, SHS_USAGE, 0, "%s", talk->unit->public.why);
        return fail_to_serve(talk, &err);
    }
    rc = shs__lab_wire_hello(talk);
    if (rc != SHS_OK)
        return rc;
    if (shs__lab_context(talk->lab, talk->unit, &ctx, &err) != SHS_OK)
        return fail_to_serve(talk, &err);
    limit_phase(talk, LAB_PHASE_MS); /* a key may have been in the making: not the client's fault */
    shs__lab_hello_edit(message, make->edit);
    rc = make_ssl(talk, ctx, message);
    if (rc == SHS_OK)
        rc = make->early_data && make->arg == 1 ? handshake_early(talk)
                                                : shs__lab_app_handshake(talk);
    if (rc != SHS_OK)
        return rc;
    talk->handshake_done = true;
    atomic_fetch_add(&talk->unit->handshakes, 1);
    limit_phase(talk, LAB_PHASE_MS);
    return shs__lab_app(talk);
}

static int converse(struct shs__lab_talk *talk)
{
    struct shs_buf message;
    int rc = shs__lab_talk_read(talk);

    if (rc != SHS_OK)
        return rc; /* a probe */
    if (shs__buf_head(&talk->in)[0] != 22) {
        rc = shs__lab_plain(talk);
        if (rc != SHS_OK)
            return rc;
        talk->proxied = true;
        limit_phase(talk, LAB_PHASE_MS);
    }
    shs__buf_init(&message, LAB_HELLO_MAX);
    rc = read_hello(talk, &message);
    if (rc == SHS_OK) {
        talk->unit = choose(talk);
        keep_hello(talk);
        rc = talk_tls(talk, &message);
        if (talk->went_on)
            atomic_fetch_add(&talk->unit->went_on, 1);
        write_down(talk, rc);
    }
    shs__buf_free(&message);
    return rc;
}

/* A connection that goes wrong is what the lab is for: no error of the server's. */
int shs__lab_handle(struct shs_request_handler *handler)
{
    const int one = 1;
    struct shs__lab_talk talk = {
        .lab =
            (struct shs_lab *)((char *)(uintptr_t)handler->cls - offsetof(struct shs_lab, handler)),
        .conn = handler->request,
        .alert = -1,
    };

    atomic_fetch_add(&talk.lab->connections, 1);
    (void)setsockopt(shs_conn_fileno(talk.conn), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    shs__buf_init(&talk.in, 4 * LAB_HELLO_MAX);
    shs__buf_init(&talk.out, OUT_CEILING);
    shs__buf_init(&talk.early, LAB_REQUEST_MAX);
    limit_phase(&talk, LAB_PHASE_MS);
    (void)converse(&talk);
    SSL_free(talk.ssl);
    ERR_clear_error();
    shs__buf_free(&talk.in);
    shs__buf_free(&talk.out);
    shs__buf_free(&talk.early);
    return SHS_OK;
}
