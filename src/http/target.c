#include "http/target.h"

#include <arpa/inet.h>

#include "base/chars.h"
#include "http/rules.h"

#define MAX_PORT 65535u

static bool is_port(const char *digits, size_t len) /* what follows ":"; may be empty */
{
    unsigned port = 0;

    if (len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!shs__is_digit(digits[i]))
            return false;
        port = port * 10 + (unsigned)(digits[i] - '0');
    }
    return port <= MAX_PORT;
}

/* inet_pton is only the grammar here: no name is looked up. */
static bool is_ipv6(const char *text, size_t len)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (len == 0 || len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return strlen(copy) == len && inet_pton(AF_INET6, copy, &address) == 1;
}

bool shs__is_host(struct shs_str s)
{
    size_t n = 0;

    if (s.len > 0 && s.ptr[0] == '[') {
        const char *close = memchr(s.ptr, ']', s.len);

        if (close == NULL || !is_ipv6(s.ptr + 1, (size_t)(close - s.ptr) - 1))
            return false;
        n = (size_t)(close - s.ptr) + 1;
    } else {
        while (n < s.len && shs__char_is(s.ptr[n], SHS_CHAR_HOST))
            n++;
    }
    if (n == 0)
        return false;
    if (n == s.len)
        return true;
    return s.ptr[n] == ':' && is_port(s.ptr + n + 1, s.len - n - 1);
}

static int refuse_char(char c, struct shs_refusal *why)
{
    if (c == '#')
        return shs__refuse(why, SHS_RULE_FRAGMENT);
    return shs__refuse(why, SHS_RULE_TARGET_CHAR);
}

/* Runs over a path and its percent-encoded characters, from *pos to the first other one. */
static int skip_path(struct shs_str s, size_t *pos, struct shs_refusal *why)
{
    size_t i = *pos;

    for (;;) {
        while (i < s.len && shs__char_is(s.ptr[i], SHS_CHAR_PATH))
            i++;
        if (i == s.len || s.ptr[i] != '%')
            break;
        if (s.len - i < 3 || !shs__char_is(s.ptr[i + 1], SHS_CHAR_HEX) ||
            !shs__char_is(s.ptr[i + 2], SHS_CHAR_HEX))
            return shs__refuse(why, SHS_RULE_BAD_PERCENT);
        i += 3;
    }
    *pos = i;
    return SHS_OK;
}

/* A query is for a program to read, if at all: a "%" in it may be only that ("?q=100%"). */
static size_t skip_query(struct shs_str s, size_t pos)
{
    while (pos < s.len && (shs__char_is(s.ptr[pos], SHS_CHAR_QUERY) || s.ptr[pos] == '%'))
        pos++;
    return pos;
}

/* absolute-path [ "?" query ] */
static int parse_path(struct shs_head *head, struct shs_str s, struct shs_refusal *why)
{
    size_t pos = 0, first = 0;
    int rc = skip_path(s, &pos, why);

    if (rc != SHS_OK)
        return rc;
    if (pos < s.len && s.ptr[pos] != '?')
        return refuse_char(s.ptr[pos], why);
    /* "//host/" as a path would make a redirect to it go to another server. */
    while (first + 1 < pos && s.ptr[first] == '/' && s.ptr[first + 1] == '/')
        first++;
    head->path = (struct shs_str){s.ptr + first, pos - first};
    if (pos == s.len)
        return SHS_OK;
    pos++;
    head->query = (struct shs_str){s.ptr + pos, s.len - pos};
    pos = skip_query(s, pos);
    return pos < s.len ? refuse_char(s.ptr[pos], why) : SHS_OK;
}

static size_t scheme_length(struct shs_str s) /* with its "://"; 0 when there is none */
{
    size_t n = 0;

    while (n < s.len && (shs__char_is(s.ptr[n], SHS_CHAR_HOST) || s.ptr[n] == '+'))
        n++;
    if (n == 0 || s.len - n < 3 || memcmp(s.ptr + n, "://", 3) != 0)
        return 0;
    return n + 3;
}

static int parse_absolute(struct shs_head *head, struct shs_refusal *why)
{
    struct shs_str s = head->target, rest;
    size_t pos = scheme_length(s), start = pos;

    if (pos == 0)
        return shs__refuse(why, SHS_RULE_TARGET_FORM);
    if (!shs__str_eq_nocase((struct shs_str){s.ptr, pos}, SHS_STR("http://")) &&
        !shs__str_eq_nocase((struct shs_str){s.ptr, pos}, SHS_STR("https://")))
        return shs__refuse(why, SHS_RULE_BAD_SCHEME);
    while (pos < s.len && s.ptr[pos] != '/' && s.ptr[pos] != '?' && s.ptr[pos] != '#')
        pos++;
    head->form = SHS_TARGET_ABSOLUTE;
    head->host = (struct shs_str){s.ptr + start, pos - start};
    if (memchr(head->host.ptr, '@', head->host.len) != NULL)
        return shs__refuse(why, SHS_RULE_USERINFO);
    if (!shs__is_host(head->host))
        return shs__refuse(why, SHS_RULE_TARGET_HOST);
    rest = (struct shs_str){s.ptr + pos, s.len - pos};
    if (rest.len > 0 && rest.ptr[0] == '/')
        return parse_path(head, rest, why);
    if (rest.len == 0) { /* RFC 9112 section 3.2.4: OPTIONS http://host is about the server */
        head->path = shs__str_eq(head->method, SHS_STR("OPTIONS")) ? SHS_STR("*") : SHS_STR("/");
        return SHS_OK;
    }
    /* "http://host?query": the path is empty, and an empty path is "/" (RFC 9110 section 4.2.3). */
    if (parse_path(head, rest, why) != SHS_OK)
        return SHS_PROTO;
    head->path = SHS_STR("/");
    return SHS_OK;
}

int shs__target_parse(struct shs_head *head, struct shs_refusal *why)
{
    struct shs_str s = head->target;

    head->form = SHS_TARGET_ORIGIN;
    if (s.ptr[0] == '/')
        return parse_path(head, s, why);
    if (s.ptr[0] != '*')
        return parse_absolute(head, why);
    if (s.len != 1 || !shs__str_eq(head->method, SHS_STR("OPTIONS")))
        return shs__refuse(why, SHS_RULE_ASTERISK);
    head->form = SHS_TARGET_ASTERISK;
    head->path = s;
    return SHS_OK;
}
