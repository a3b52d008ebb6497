/* profiles.c - what is right for whom, where good clients differ. */
#include "lab/lab.h"

/* Clients that were measured; a row says which of them do otherwise. */
static const char *const profiles[] = {"strict", "rfc9525", "webpki", "openssl", "curl",   "py311",
                                       "py313",  "node",    "go",     "java",    "gnutls", NULL};

enum { FIRST_RULE = 1, FIRST_CLIENT = 3 };

const char *const *shs_lab_profiles(void)
{
    return profiles;
}

/* Is the word one of a list with blanks between? */
static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = list; (at = strstr(at, word)) != NULL; at += len) {
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    }
    return false;
}

static enum shs_lab_expect of_client(const struct shs_condition *c, const char *client)
{
    if (c->expect == SHS_LAB_EITHER)
        return has_word(c->accepts, client) ? SHS_LAB_ACCEPT : SHS_LAB_REJECT;
    return (c->expect == SHS_LAB_ACCEPT) != has_word(c->differs, client) ? SHS_LAB_ACCEPT
                                                                         : SHS_LAB_REJECT;
}

bool shs_lab_expect_in(const struct shs_condition *condition, const char *profile,
                       enum shs_lab_expect *out)
{
    size_t i = 0;

    while (profiles[i] != NULL && strcmp(profiles[i], profile) != 0)
        i++;
    if (profiles[i] == NULL)
        return false;
    if (i >= FIRST_CLIENT)
        *out = of_client(condition, profile);
    else if (condition->expect == SHS_LAB_EITHER &&
             (i < FIRST_RULE || has_word(condition->refused_in, profile)))
        *out = SHS_LAB_REJECT;
    else
        *out = condition->expect;
    return true;
}
