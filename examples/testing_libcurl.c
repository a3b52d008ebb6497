/*
 * testing_libcurl.c - a program that uses libcurl, tested with servers that go wrong.
 *
 * `fetch` is the code under test: it has to bring the whole body, or an error, in bounded time.
 */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>
#include <shs/shs.h>

/* -- what is tested ---------------------------------------------------------------------------- */

struct text {
    char bytes[4096];
    size_t len;
};

static size_t keep(char *bytes, size_t size, size_t count, void *arg)
{
    struct text *text = arg;
    size_t len = size * count;

    if (len > sizeof text->bytes - text->len)
        return 0;
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
    return len;
}

static CURLcode fetch(const char *url, const char *ca_path, struct text *text)
{
    CURL *curl = curl_easy_init();
    CURLcode rc;

    text->len = 0;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CAINFO, ca_path);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, text);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 1500L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    rc = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    return rc;
}

/* -- the tests --------------------------------------------------------------------------------- */

/* What comes of it when this happens to its request. */
static CURLcode with_fault(const char *fault, struct text *text)
{
    struct shs_test_server *server;
    struct shs_test_rule rule;
    struct shs_error err;
    CURLcode rc;

    assert(shs_test_server_start(&server, shs_echo_handler(), NULL, &err) == SHS_OK);
    shs_test_rule_init(&rule);
    rule.fault = fault;
    if (fault != NULL)
        assert(shs_test_server_rule(server, &rule, &err) == SHS_OK);
    rc = fetch(shs_test_server_url(server), shs_test_server_ca_path(server), text);
    if (fault != NULL)
        assert(shs_test_server_expect(server, SHS_TEST_FAULT, fault, 1000, NULL, &err) == SHS_OK);
    else
        assert(shs_test_server_expect(server, SHS_TEST_REQUEST, "/", 0, NULL, &err) == SHS_OK);
    assert(shs_test_server_stop(server, &err) == SHS_OK);
    return rc;
}

int main(void)
{
    struct text text;

    curl_global_init(CURL_GLOBAL_DEFAULT);
    assert(with_fault(NULL, &text) == CURLE_OK && text.len > 0);
    assert(with_fault("stall-body", &text) == CURLE_OPERATION_TIMEDOUT);
    assert(with_fault("end-body", &text) == CURLE_PARTIAL_FILE);
    assert(with_fault("rst-body", &text) == CURLE_RECV_ERROR);
    assert(with_fault("chunk-bad", &text) == CURLE_RECV_ERROR);
    assert(with_fault("alert-hello:handshake_failure", &text) == CURLE_SSL_CONNECT_ERROR);
    curl_global_cleanup();
    return 0;
}
