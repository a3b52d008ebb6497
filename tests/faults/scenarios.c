#include "scenario.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <shs/handler.h>
#include <shs/shs.h>

#include "cmd/cmd.h"
#include "inject.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define GET_WITH(path, fields) "GET " path " HTTP/1.1\r\nHost: localhost\r\n" fields "\r\n\r\n"
#define POST(path, length)                                                                         \
    "POST " path " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " length "\r\n\r\n"
#define FORM                                                                                       \
    "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n"                             \
    "--x\r\nContent-Disposition: form-data; name=\"b\"; "                                          \
    "filename=\"b.txt\"\r\n\r\ntwo\r\n--x--\r\n"

/* -- of a certificate authority, and other calls ----------------------------------------------- */

/* An error with a sentence is an answer; one without is not. */
static enum verdict refused(int rc, const struct shs_error *err, char text[200])
{
    if (rc < 0 && err->text[0] != '\0') {
        snprintf(text, 200, "%.199s", err->text);
        return BROKEN;
    }
    snprintf(text, 200, "error %d without a word", rc);
    return WRONG;
}

static enum verdict call_certs(struct world *world, char text[200])
{
    struct shs_cert_options opt = {SHS_CERT_FOR("a.test")};
    struct shs_ca *ca = NULL, *below = NULL;
    struct shs_issued_cert *cert = NULL;
    void *crl = NULL, *ocsp = NULL, *p12 = NULL;
    size_t crl_len = 0, ocsp_len = 0, p12_len = 0;
    struct shs_error err = {.code = SHS_OK};
    int rc;

    (void)world;
    rc = shs_ca_new(&ca, NULL, &err);
    if (rc == SHS_OK)
        rc = shs_ca_intermediate(&below, ca, NULL, &err);
    if (rc == SHS_OK)
        rc = shs_ca_issue(&cert, below, &opt, &err);
    if (rc == SHS_OK)
        rc = shs_ca_revoke(below, shs_issued_cert_serial(cert), "superseded", NULL, &err);
    if (rc == SHS_OK)
        rc = shs_ca_crl(below, NULL, &crl, &crl_len, &err);
    if (rc == SHS_OK)
        rc = shs_ca_ocsp(below, cert, NULL, &ocsp, &ocsp_len, &err);
    if (rc == SHS_OK)
        rc = shs_issued_cert_pkcs12(cert, "password", &p12, &p12_len, &err);
    shs_bytes_free(p12, p12_len);
    shs_bytes_free(ocsp, ocsp_len);
    shs_bytes_free(crl, crl_len);
    shs_issued_cert_free(cert);
    shs_ca_free(below);
    shs_ca_free(ca);
    return rc == SHS_OK ? WHOLE : refused(rc, &err, text);
}

static enum verdict call_files_of_certs(struct world *world, char text[200])
{
    struct shs_ca *ca = NULL;
    struct shs_issued_cert *cert = NULL;
    struct shs_error err = {.code = SHS_OK};
    char pair[16384];
    FILE *f = fopen(leaf_path, "r");
    size_t len = f == NULL ? 0 : fread(pair, 1, sizeof pair, f);
    int rc;

    (void)world;
    if (f != NULL)
        fclose(f);
    rc = shs_issued_cert_load(&cert, pair, len, &err);
    if (rc == SHS_OK)
        rc = shs_issued_cert_save(cert, place_dir, "saved", true, &err);
    if (rc == SHS_OK)
        rc = shs_ca_new(&ca, NULL, &err);
    if (rc == SHS_OK && shs_ca_tempfile(ca, place_dir, &err) == NULL)
        rc = err.code == SHS_OK ? SHS_USAGE : err.code;
    if (rc == SHS_OK)
        rc = shs_ca_save(ca, place_dir, "saved-ca", true, &err);
    shs_issued_cert_free(cert);
    shs_ca_free(ca);
    return rc == SHS_OK ? WHOLE : refused(rc, &err, text);
}

static const struct shs_http_handler nothing = {.name = "nothing"};

static enum verdict start_and_free(bool pool, bool tls, char text[200])
{
    struct shs_options opt;
    struct shs_server *server = NULL;
    struct shs_error err = {.code = SHS_OK};
    int rc;

    shs_options_init(&opt);
    opt.bind_and_activate = false;
    opt.certfile = tls ? leaf_path : NULL;
    opt.threads = 2;
    rc = shs_http_server_new(&server, &opt, &nothing, &err);
    if (rc == SHS_OK && tls)
        rc = shs_tls_mixin_push(server, &err);
    if (rc == SHS_OK && pool)
        rc = shs_thread_pool_mixin_push(server, &err);
    if (rc == SHS_OK)
        rc = shs_server_bind_and_activate(server, &err);
    shs_server_free(server);
    return rc == SHS_OK ? WHOLE : refused(rc, &err, text);
}

static enum verdict call_start_plain(struct world *world, char text[200])
{
    (void)world;
    return start_and_free(true, false, text);
}

static enum verdict call_start_tls(struct world *world, char text[200])
{
    (void)world;
    return start_and_free(false, true, text);
}

static enum verdict call_reload(struct world *world, char text[200])
{
    struct shs_error err = {.code = SHS_OK};
    int rc = shs_tls_reload(world->server, &err);

    return rc == SHS_OK ? WHOLE : refused(rc, &err, text);
}

static enum verdict call_lab(struct world *world, char text[200])
{
    static const char *const only[] = {"expired", "wrong-host", NULL};
    struct shs_lab_options opt;
    struct shs_lab *lab = NULL;
    struct shs_error err = {.code = SHS_OK};
    int rc;

    (void)world;
    shs_lab_options_init(&opt);
    opt.only = only;
    opt.temp_dir = place_dir;
    rc = shs_lab_start(&lab, &opt, &err);
    shs_lab_stop(lab);
    return rc == SHS_OK ? WHOLE : refused(rc, &err, text);
}

/* What the client in it is told is an error as well, and has a sentence of its own. */
static enum verdict call_test_server(struct world *world, char text[200])
{
    struct shs_test_server_options opt;
    struct shs_test_server *server = NULL;
    struct shs_test_answer *answer = NULL;
    struct shs_error err = {.code = SHS_OK};
    int rc, status = 0;

    (void)world;
    shs_test_server_options_init(&opt);
    opt.temp_dir = place_dir;
    rc = shs_test_server_start(&server, NULL, &opt, &err);
    if (rc == SHS_OK)
        rc = shs_test_server_ask(&answer, server, NULL, &err);
    if (rc == SHS_OK)
        status = shs_test_answer_status(answer);
    shs_test_answer_free(answer);
    (void)shs_test_server_stop(server, NULL);
    if (rc != SHS_OK)
        return refused(rc, &err, text);
    if (status == 404)
        return WHOLE;
    snprintf(text, 200, "status %d", status);
    return status == 500 || status == 503 || status == 0 ? BROKEN : WRONG;
}

static int answer_hello(struct shs_request *req, struct shs_response *res)
{
    struct shs_str body;

    SHS_RETURN_IF_ERROR(shs_request_body(req, 1000, &body));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    return shs_write(res, body.ptr, body.len);
}

static enum verdict call_without_socket(struct world *world, char text[200])
{
    static const struct shs_http_handler hello = {.name = "hello", .do_POST = answer_hello};
    struct shs_test_request request;
    struct shs_test_answer *answer = NULL;
    struct shs_error err = {.code = SHS_OK};
    enum verdict verdict = WHOLE;
    int rc;

    (void)world;
    shs_test_request_init(&request);
    request.method = "POST";
    request.body = "a body";
    request.body_len = 6;
    request.chunked = true;
    rc = shs_test_call(&answer, &hello, &request, &err);
    if (rc != SHS_OK) {
        verdict = refused(rc, &err, text);
    } else if (shs_test_answer_status(answer) != 200) {
        verdict = BROKEN;
    } else if (shs_test_answer_complete(answer) && shs_test_answer_body(answer).len != 6) {
        snprintf(text, 200, "another body");
        verdict = WRONG;
    }
    shs_test_answer_free(answer);
    return verdict;
}

static enum verdict call_rules(struct world *world, char text[200])
{
    struct shs_access_rules *rules = NULL;
    struct shs_access_decision decision;
    struct shs_identity nobody;
    struct shs_error err = {.code = SHS_OK};
    int rc = shs_access_new(&rules, rules_path, &err);

    (void)world;
    if (rc == SHS_OK)
        rc = shs_access_reload(rules, &err);
    if (rules != NULL) {
        shs_identity_init(&nobody);
        shs_access_decide(rules, &nobody, SHS_STR("GET"), SHS_STR("/a/b"), &decision);
        if (decision.allowed) {
            snprintf(text, 200, "nobody is let in");
            shs_access_free(rules);
            return WRONG;
        }
    }
    shs_access_free(rules);
    return rc == SHS_OK ? WHOLE : refused(rc, &err, text);
}

static enum verdict call_handlers(struct world *world, char text[200])
{
    static const struct shs_route routes[] = {
        SHS_ROUTE("GET", "/a/{b}", answer_hello), SHS_ROUTE("GET", "/a/b", answer_hello),
        SHS_ROUTE("POST", "/{all...}", answer_hello), SHS_ROUTES_END};
    struct shs_static_options files;
    struct shs_static_files *site = NULL;
    struct shs_router *router = NULL;
    struct shs_error err = {.code = SHS_OK};
    int rc;

    (void)world;
    shs_static_options_init(&files);
    files.directory = site_dir;
    rc = shs_static_files_new(&site, &files, &err);
    if (rc == SHS_OK)
        rc = shs_router_new(&router, routes, NULL, &err);
    shs_router_free(router);
    shs_static_files_free(site);
    return rc == SHS_OK ? WHOLE : refused(rc, &err, text);
}

static int admin_options(struct shs_admin_options *opt, char path[96])
{
    snprintf(path, 96, "%s/a%d", place_dir, (int)getpid());
    shs_admin_options_init(opt);
    opt->path = path;
    return SHS_OK;
}

static enum verdict call_admin(struct world *world, char text[200])
{
    struct shs_admin_options opt;
    struct shs_admin *admin = NULL;
    struct shs_server *server = NULL;
    struct shs_options plain;
    struct shs_error err = {.code = SHS_OK};
    char path[96];
    int rc = admin_options(&opt, path);

    (void)world;
    shs_options_init(&plain);
    plain.bind_and_activate = false;
    rc = shs_http_server_new(&server, &plain, &nothing, &err);
    if (rc == SHS_OK)
        rc = shs_admin_new(&admin, server, &opt, &err);
    (void)shs_admin_free(admin);
    shs_server_free(server);
    return rc == SHS_OK ? WHOLE : refused(rc, &err, text);
}

/* From a stop that comes before it runs, to its end: every server, its threads and its signals. */
static enum verdict call_service(struct world *world, char text[200])
{
    static const struct shs_route routes[] = {SHS_ROUTE("GET", "/", answer_hello), SHS_ROUTES_END};
    static const int until[] = {SIGUSR1, 0};
    char path[96], admin[112];
    const struct shs_place places[] = {{.name = "net"},
                                       {.name = "local", .path = path},
                                       {.name = "admin", .path = admin, .admin = true}};
    struct shs_service_options opt;
    struct shs_service *service = NULL;
    struct shs_error err = {.code = SHS_OK};
    int rc;

    (void)world;
    snprintf(path, sizeof path, "%s/s%d", place_dir, (int)getpid());
    snprintf(admin, sizeof admin, "%s.admin", path);
    shs_service_options_init(&opt);
    opt.routes = routes;
    opt.rules = rules_path;
    opt.until = until;
    rc = shs_service_new(&service, places, shs_json_available() ? 3 : 2, &opt, &err);
    if (rc == SHS_OK) {
        shs_service_stop(service);
        rc = shs_service_run(service, &err);
    }
    shs_service_free(service);
    return rc == SHS_OK ? WHOLE : refused(rc, &err, text);
}

/* -- the command ------------------------------------------------------------------------------- */

/*
 * In a child: all that it writes goes to a file. 0 is whole; what was refused says why.
 */
static void run_here(int (*command)(int argc, char **argv), const char *const *words,
                     const char *out)
{
    int argc = 0, fd = open(out, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), rc;
    char *argv[16] = {NULL};

    for (; words[argc] != NULL; argc++)
        argv[argc] = strdup(words[argc]);
    (void)dup2(fd, 1);
    (void)dup2(fd, 2);
    faults_mine(true);
    rc = command(argc, argv);
    faults_mine(false);
    fflush(stdout);
    _exit(rc);
}

static bool said_something(const char *path, char text[200])
{
    FILE *f = fopen(path, "r");
    size_t len = f == NULL ? 0 : fread(text, 1, 199, f);

    text[len] = '\0';
    if (f != NULL)
        fclose(f);
    return len > 0;
}

static enum verdict verdict_of_child(pid_t pid, const char *out, char text[200])
{
    int status;

    if (waitpid(pid, &status, 0) != pid)
        return BROKEN;
    if (WIFSIGNALED(status)) {
        snprintf(text, 200, "signal %d", WTERMSIG(status));
        return WRONG;
    }
    if (WEXITSTATUS(status) == 0)
        return WHOLE;
    if (said_something(out, text))
        return BROKEN;
    snprintf(text, 200, "exit code %d without a word", WEXITSTATUS(status));
    return WRONG;
}

static enum verdict command_of(int (*command)(int argc, char **argv), const char *const *argv,
                               char text[200])
{
    char out[96];
    pid_t pid;

    snprintf(out, sizeof out, "%s/o%d", place_dir, (int)getpid());
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        run_here(command, argv, out);
    return pid < 0 ? BROKEN : verdict_of_child(pid, out, text);
}

static enum verdict command_check(struct world *world, char text[200])
{
    const char *const argv[] = {"check", "--at", "+1d", "--config", config_path, NULL};

    (void)world;
    return command_of(cmd_check, argv, text);
}

static enum verdict command_cert(struct world *world, char text[200])
{
    char dir[96];
    const char *const argv[] = {"cert", "new", "a.test", "--force", "--dir", dir, NULL};

    (void)world;
    snprintf(dir, sizeof dir, "%s/c%d", place_dir, (int)getpid());
    return command_of(cmd_cert, argv, text);
}

static enum verdict command_acl(struct world *world, char text[200])
{
    const char *const argv[] = {"acl", "explain", "--policy", rules_path, "--uid",
                                "0",   "GET",     "/a",       NULL};
    enum verdict verdict = command_of(cmd_acl, argv, text);

    (void)world;
    if (verdict == WHOLE)
        snprintf(text, 200, "a process is let in where only a certificate is");
    /* Whom nothing lets in is exit code 1, with the reason. */
    return verdict == WHOLE ? WRONG : verdict == BROKEN && strstr(text, "denied") ? WHOLE : verdict;
}

static enum verdict command_exec(struct world *world, char text[200])
{
    const char *const argv[] = {"exec", "--", "/bin/true", NULL};

    (void)world;
    return command_of(cmd_exec, argv, text);
}

static bool wait_for_text(const char *path, const char *part, pid_t pid, char text[200])
{
    struct timespec moment = {.tv_nsec = 2000000};

    for (int i = 0; i < FAULTS_PATIENCE_MS / 2; i++) {
        siginfo_t info = {.si_pid = 0};

        if (said_something(path, text) && strstr(text, part) != NULL)
            return true;
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid)
            return false;
        nanosleep(&moment, NULL);
    }
    return false;
}

/* Starts `shs serve` and ends it by SIGTERM once it says where it serves. */
static enum verdict command_serve(struct world *world, char text[200])
{
    char out[96];
    const char *const argv[] = {"serve", "--config", config_path, "--no-sandbox", site_dir, NULL};
    pid_t pid;

    (void)world;
    snprintf(out, sizeof out, "%s/o%d", place_dir, (int)getpid());
    (void)unlink(out);
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        run_here(cmd_serve, argv, out);
    if (pid < 0)
        return BROKEN;
    if (!wait_for_text(out, "Serving ", pid, text)) {
        siginfo_t info = {.si_pid = 0};

        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
            info.si_pid != pid) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
            return HANGS;
        }
    } else {
        (void)kill(pid, SIGTERM);
    }
    return verdict_of_child(pid, out, text);
}

/* -- servers of other kinds -------------------------------------------------------------------- */

static int echo_packet(struct shs_request_handler *base)
{
    struct shs_datagram_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_datagram_request_handler, base);

    return shs_wfile_write(self->wfile, self->packet.ptr, self->packet.len);
}

static int echo_line(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_stream_request_handler, base);
    char line[256];
    size_t len;
    int rc = shs_rfile_readline(self->rfile, line, sizeof line, &len);

    return rc == SHS_OK ? shs_wfile_write(self->wfile, line, len) : rc;
}

static const struct shs_request_handler_class packets = {
    .name = "Packets",
    .instance_size = sizeof(struct shs_datagram_request_handler),
    .setup = shs_datagram_request_handler_setup,
    .handle = echo_packet,
    .finish = shs_datagram_request_handler_finish,
};

static const struct shs_stream_request_handler_class lines = {
    .base = {.name = "Lines",
             .instance_size = sizeof(struct shs_stream_request_handler),
             .setup = shs_stream_request_handler_setup,
             .handle = echo_line,
             .finish = shs_stream_request_handler_finish},
    .rbufsize = -1,
};

static int open_udp(struct world *world)
{
    return world_open_with(world, &packets, true);
}

static int open_lines(struct world *world)
{
    return world_open_with(world, &lines.base, false);
}

/* A datagram may be lost: no answer within a moment is one. */
static enum verdict talk_udp(const struct scenario *scenario, struct world *world, char text[200])
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    char got[64];
    ssize_t len = -1;

    (void)scenario;
    if (connect(fd, (struct sockaddr *)&world->place.address, world->place.len) == 0 &&
        send(fd, "packet", 6, 0) == 6 &&
        poll(&ready, 1, atomic_load(&faults->armed) ? 200 : 5000) > 0)
        len = recv(fd, got, sizeof got, 0);
    close(fd);
    if (len < 0)
        return BROKEN;
    if (len == 6 && memcmp(got, "packet", 6) == 0)
        return WHOLE;
    snprintf(text, 200, "%zd other bytes", len);
    return WRONG;
}

static enum verdict talk_lines(const struct scenario *scenario, struct world *world, char text[200])
{
    struct line line;
    char got[64];
    size_t len = 0;
    enum verdict verdict = line_open(&line, &world->place, NULL);

    (void)scenario;
    if (verdict == WHOLE)
        verdict = line_say(&line, "one line\n", 9);
    while (verdict == WHOLE) {
        ssize_t n = recv(line.fd, got + len, sizeof got - len, 0);

        if (n < 0)
            verdict = errno == EAGAIN ? HANGS : BROKEN;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    line_close(&line);
    if (verdict != WHOLE || len == 0)
        return verdict == WHOLE ? BROKEN : verdict;
    if (len == 9 && memcmp(got, "one line\n", 9) == 0)
        return WHOLE;
    /* The end of a stream says nothing of what was to come: only other bytes are wrong. */
    snprintf(text, 200, "%zu other bytes", len);
    return memcmp(got, "one line\n", len) == 0 ? BROKEN : WRONG;
}

static int open_admin(struct world *world)
{
    struct shs_admin_options opt;
    char path[96];
    struct sockaddr_un *to = (struct sockaddr_un *)&world->place.address;
    int rc;

    (void)admin_options(&opt, path);
    opt.burst = opt.per_minute = 1000000;
    world->admin_options = &opt;
    rc = world_open(world);
    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    snprintf(to->sun_path, sizeof to->sun_path, "%s", path);
    world->place.len = sizeof *to;
    return rc;
}

/* -- the table --------------------------------------------------------------------------------- */

#define HTTP(n, t, o, request, code)                                                               \
    .name = n, .threading = t, .over = o, .ask = request, .status = code

const struct scenario scenarios[] = {
    {HTTP("get, no threads", NONE, PLAIN, GET("/"), 200)},
    {HTTP("get, a thread each", THREAD, PLAIN, GET("/"), 200)},
    {HTTP("get, pool", POOL, PLAIN, GET("/"), 200)},
    {HTTP("get, a process each", FORK, PLAIN, GET("/"), 200)},
    {HTTP("head", POOL, PLAIN, "HEAD /files/page.html HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
     .flags = IS_HEAD},
    {HTTP("pipeline of three", POOL, PLAIN, GET("/") GET("/query/x?a=7") GET("/nothing"), 0),
     .answers = 3},
    {HTTP("post", POOL, PLAIN, POST("/echo", "1000"), 200), .body = 1000},
    {HTTP("post in chunks", POOL, PLAIN,
          "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
          "5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nT: x\r\n\r\n",
          200)},
    {HTTP("post, pulled", POOL, PLAIN, POST("/pull", "200000"), 200), .body = 200000},
    {HTTP("post to a sink", POOL, PLAIN, POST("/sink", "200000"), 200), .body = 200000},
    {HTTP("expect 100-continue", POOL, PLAIN,
          "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
          "Content-Length: 10\r\n\r\n0123456789",
          200)},
    {HTTP("streamed answer, trailer", POOL, PLAIN, GET("/stream"), 200)},
    {HTTP("source", POOL, PLAIN, GET("/source"), 200)},
    {HTTP("interim answer", POOL, PLAIN, GET("/interim"), 200)},
    {HTTP("server-sent events", POOL, PLAIN, GET("/events"), 200)},
    {HTTP("multipart", POOL, PLAIN,
          "POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: 133\r\n"
          "Content-Type: multipart/form-data; boundary=x\r\n\r\n" FORM,
          200)},
    {HTTP("query, cookie, standing field", POOL, PLAIN, GET("/query/x?a=7"), 200)},
#ifdef SHS_HAVE_JANSSON
    {HTTP("JSON in and out", POOL, PLAIN,
          "POST /json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
          "Content-Length: 14\r\n\r\n{\"name\":\"tea\"}",
          201)},
    {HTTP("JSON array", POOL, PLAIN, GET("/json"), 200)},
#endif
    {HTTP("whoami", POOL, PLAIN, GET("/whoami"), 200), .flags = CHANGES},
    {HTTP("bearer", POOL, PLAIN, GET_WITH("/guarded/", "Authorization: Bearer token"), 200)},
    {HTTP("bearer, refused", POOL, PLAIN, GET_WITH("/guarded/", "Authorization: Bearer tokem"),
          401)},
    {HTTP("rate limit", POOL, PLAIN, GET("/limited/"), 200)},
    {HTTP("CORS", POOL, PLAIN, GET_WITH("/cors/", "Origin: https://a.test"), 200)},
    {HTTP("three middleware", POOL, PLAIN, GET("/several/"), 200)},
    {HTTP("compressed, br", POOL, PLAIN, GET_WITH("/coded/whole", "Accept-Encoding: br"), 200),
     .flags = MAY_CODE},
    {HTTP("compressed, gzip, streamed", POOL, PLAIN,
          GET_WITH("/coded/stream", "Accept-Encoding: gzip"), 200),
     .flags = MAY_CODE},
    {HTTP("compressed, zstd, source", POOL, PLAIN,
          GET_WITH("/coded/source", "Accept-Encoding: zstd"), 200),
     .flags = MAY_CODE},
    {HTTP("file sent by a handler", POOL, PLAIN, GET("/file"), 200)},
    {HTTP("small file", POOL, PLAIN, GET("/files/small.txt"), 200), .flags = TOUCHES},
    {HTTP("large file", POOL, PLAIN, GET("/files/large.bin"), 200), .flags = TOUCHES},
    {HTTP("file, no threads", NONE, PLAIN, GET("/files/large.bin"), 200), .flags = TOUCHES},
    {HTTP("range", POOL, PLAIN, GET_WITH("/files/page.html", "Range: bytes=100-199"), 206),
     .flags = TOUCHES},
    {HTTP("several ranges", POOL, PLAIN,
          GET_WITH("/files/page.html", "Range: bytes=0-9,5000-5099,-7"), 206),
     .flags = TOUCHES | CHANGES},
    {HTTP("index page", POOL, PLAIN, GET("/files/index/"), 200), .flags = TOUCHES},
    {HTTP("redirect to a directory", POOL, PLAIN, GET("/files/list"), 301)},
    {HTTP("listing", POOL, PLAIN, GET("/files/list/"), 200), .flags = MAY_LACK},
    {HTTP("not found", POOL, PLAIN, GET("/files/none"), 404)},
    {HTTP("file, compressed", POOL, PLAIN, GET_WITH("/files/page.html", "Accept-Encoding: gzip"),
          200),
     .flags = TOUCHES | MAY_CODE},
    {HTTP("file, compressed before", POOL, PLAIN,
          GET_WITH("/files/app.js", "Accept-Encoding: gzip"), 200),
     .flags = MAY_CODE},
    {HTTP("archive, zip", POOL, PLAIN, GET("/files/list/?archive=zip"), 200), .flags = MAY_OMIT},
    {HTTP("archive, tar", POOL, PLAIN, GET("/files/list/?archive=tar"), 200), .flags = MAY_OMIT},
    {HTTP("upload by put", POOL, PLAIN,
          "PUT /files/up/new.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
          201),
     .body = 100000, .flags = STORES},
    {HTTP("upload by form", POOL, PLAIN,
          "POST /files/up/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 106\r\n"
          "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
          "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"new.txt\"\r\n\r\n"
          "0123456789012345678901234567\r\n--x--\r\n",
          201),
     .flags = STORES},
    {HTTP("Unix socket", POOL, UNIX, GET("/"), 200)},
    {HTTP("PROXY header", POOL, PROXY, "PROXY TCP4 192.0.2.1 127.0.0.1 1000 80\r\n" GET("/whoami"),
          200),
     .flags = CHANGES},
    {HTTP("TLS 1.2", POOL, TLS12, GET("/"), 200)},
    {HTTP("TLS 1.3", POOL, TLS13, GET("/"), 200)},
    {HTTP("TLS 1.3, no threads", NONE, TLS13, GET("/"), 200)},
    {HTTP("TLS 1.3, a thread each", THREAD, TLS13, GET("/"), 200)},
    {HTTP("TLS 1.3, a process each", FORK, TLS13, GET("/"), 200)},
    {HTTP("TLS 1.2, resumed", POOL, TLS12, GET("/"), 200), .flags = RESUMES},
    {HTTP("TLS 1.3, resumed", POOL, TLS13, GET("/"), 200), .flags = RESUMES},
    {HTTP("TLS by name", POOL, HOSTS, GET("/"), 200)},
    {HTTP("TLS, records of our own", POOL, DIRECT, GET("/file"), 200)},
    {HTTP("TLS, post and file", POOL, TLS13, POST("/echo", "3000"), 200), .body = 3000},
    {HTTP("client certificate", POOL, MTLS, GET("/whoami"), 200), .flags = CHANGES},
    {HTTP("client certificate, explained", POOL, EXPLAIN, GET("/"), 200), .flags = MAY_REFUSE},
    {HTTP("access rules", POOL, MTLS, GET("/ruled/"), 200), .flags = MAY_REFUSE},
    {HTTP("access rules, refused", POOL, PLAIN, GET("/ruled/"), 403)},
    {HTTP("admin, status", POOL, PLAIN, GET("/admin/v1/status"), 200),
     .flags = CHANGES | MAY_REFUSE, /* who cannot be told is nobody */
     .open = open_admin},
    {HTTP("admin, whoami", POOL, PLAIN, GET("/admin/v1/whoami"), 200), .flags = CHANGES,
     .open = open_admin},
    {.name = "UDP server", .threading = NONE, .talk = talk_udp, .open = open_udp},
    {.name = "TCP server of lines", .threading = THREAD, .talk = talk_lines, .open = open_lines},
    {.name = "start, pool", .call = call_start_plain},
    {.name = "start, TLS", .call = call_start_tls},
    {.name = "reload",
     .threading = POOL,
     .over = MTLS,
     .call = call_reload,
     .serves = true,
     .ask = GET("/"),
     .status = 200},
    {.name = "start of the admin plane", .call = call_admin},
    {.name = "service", .call = call_service},
    {.name = "files, router", .call = call_handlers},
    {.name = "access rules, read", .call = call_rules},
    {.name = "certificates", .call = call_certs},
    {.name = "certificates in files", .call = call_files_of_certs},
    /* OSSL_LIB_CTX_new (3.0) that fails inside keeps what it has made by then: valgrind shows those
       blocks in it alone. */
    {.name = "lab", .call = call_lab, .openssl_keeps = 60},
    {.name = "test server", .call = call_test_server},
    {.name = "test without a socket", .call = call_without_socket},
    {.name = "shs check --config", .call = command_check, .forks = true},
    {.name = "shs cert new", .call = command_cert, .forks = true},
    {.name = "shs acl explain", .call = command_acl, .forks = true},
    {.name = "shs exec", .call = command_exec, .forks = true},
    {.name = "shs serve", .call = command_serve, .forks = true},
};
const size_t scenario_count = sizeof scenarios / sizeof scenarios[0];
