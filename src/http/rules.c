#include "http/rules.h"

#include <string.h>

const struct shs_refusal shs__rules[SHS_RULE_COUNT] = {
#define RULE_ROW(symbol, status, rule, text) [SHS_RULE_##symbol] = {(status), (rule), (text)},
    SHS_RULE_MAP(RULE_ROW)
#undef RULE_ROW
};

int shs__refuse(struct shs_refusal *why, enum shs_rule rule)
{
    *why = shs__rules[rule];
    return SHS_PROTO;
}

const char *shs__rule_option(const char *rule)
{
    static const struct {
        enum shs_rule rule;
        const char *option;
    } bounds[] = {
        {SHS_RULE_REQUEST_LINE_TOO_LONG, "max_request_line"},
        {SHS_RULE_HEAD_TOO_LARGE, "max_head_bytes"},
        {SHS_RULE_TOO_MANY_FIELDS, "max_headers"},
        {SHS_RULE_LENGTH_TOO_LARGE, "max_body_bytes"},
        {SHS_RULE_BODY_TOO_LARGE, "max_body_bytes"},
        {SHS_RULE_TOO_MANY_TRAILERS, "max_headers"},
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(bounds); i++) {
        if (strcmp(shs__rules[bounds[i].rule].rule, rule) == 0)
            return bounds[i].option;
    }
    return NULL;
}
