/*
 * testing_cpp.cpp - the same from C++17: what is started is stopped, whatever is thrown.
 *
 *     testing_cpp && echo fine
 */
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

#include <shs/shs.h>

namespace
{

void check(bool good, const std::string &what)
{
    if (!good)
        throw std::runtime_error(what);
}

struct answer_free {
    void operator()(shs_test_answer *a) const
    {
        shs_test_answer_free(a);
    }
};
using answer = std::unique_ptr<shs_test_answer, answer_free>;

class test_server
{
  public:
    explicit test_server(const shs_http_handler *handler, const char *fault = nullptr)
    {
        shs_test_server_options opt;
        shs_error err;

        shs_test_server_options_init(&opt);
        opt.fault = fault;
        check(shs_test_server_start(&self_, handler, &opt, &err) == SHS_OK, err.text);
    }
    ~test_server()
    {
        shs_test_server_stop(self_, nullptr);
    }
    test_server(const test_server &) = delete;
    test_server &operator=(const test_server &) = delete;

    answer get(const std::string &target)
    {
        shs_test_request ask;
        shs_test_answer *out = nullptr;
        shs_error err;

        shs_test_request_init(&ask);
        ask.target = target.c_str();
        check(shs_test_server_ask(&out, self_, &ask, &err) == SHS_OK, err.text);
        return answer(out);
    }
    void expect(shs_test_event_kind kind, const char *what)
    {
        shs_error err{};

        check(shs_test_server_expect(self_, kind, what, 1000, nullptr, &err) == SHS_OK, err.text);
    }

  private:
    shs_test_server *self_ = nullptr;
};

void a_good_server()
{
    test_server server(shs_status_handler());

    check(shs_test_answer_status(server.get("/status/418").get()) == 418, "a teapot");
    server.expect(SHS_TEST_REQUEST, "GET /status/418");
}

void one_that_has_expired()
{
    test_server server(shs_echo_handler(), "expired");
    bool refused = false;

    try {
        server.get("/");
    } catch (const std::runtime_error &) {
        refused = true;
    }
    check(refused, "an expired certificate was taken");
    server.expect(SHS_TEST_HANDSHAKE_FAILED, "client-alert:certificate_expired");
}

} /* namespace */

int main()
{
    try {
        a_good_server();
        one_that_has_expired();
    } catch (const std::exception &e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
    return 0;
}
