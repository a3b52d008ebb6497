#include "http/rules.h"

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
