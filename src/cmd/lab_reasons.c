#include "cmd/lab_reasons.h"

#include <string.h>

#define WORDS_MAX 16

/* Only what clients word each in their own way; the rest is in the conditions' rows. */
static const struct {
    const char *reason;
    const char *words[WORDS_MAX];
} vocabulary[] = {
    {"name",
     {"alternative certificate subject name", "does not match", "doesn't match",
      "hostname mismatch", "ALTNAME_INVALID", "certificate is not valid for",
      "certificate is valid for", "NAME_INVALID"}},
    {"truncated",
     {"unexpected EOF",          /* Go */
      "IncompleteRead",          /* Python */
      "transfer closed with",    /* curl */
      "Premature EOF",           /* Java */
      "CONTENT_LENGTH_MISMATCH", /* Chromium */
      "INCOMPLETE_CHUNKED_ENCODING"}},
    /* The word alone is no reason: a trace of Python quotes "timeout=5", one of Ruby timeout.rb. */
    {LAB_REASON_TIMEOUT,
     {"timed out", "TIMED_OUT", "TIMEDOUT", /* curl, Chromium, Node */
      "TimeoutError", "TimeoutException",   /* Python, Java */
      "ReadTimeout", "OpenTimeout", "ConnectTimeout", "execution expired", /* Ruby, requests */
      "i/o timeout", "handshake timeout", "Client.Timeout exceeded", "deadline exceeded", /* Go */
      "connection timeout", "read timeout"}}, /* curl, Perl's LWP */
    {"closed",
     {"EOF occurred in violation of protocol", /* Python */
      "unexpected EOF", "CONNECTION_CLOSED", "EMPTY_RESPONSE",
      "Remote host terminated the handshake" /* Java */}},
    {"version", {"protocol version", "PROTOCOL_VERSION", "unsupported protocol"}},
};

bool lab_reason_is_said(const char *reason, const char *said)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(vocabulary); i++) {
        for (size_t k = 0; strcmp(vocabulary[i].reason, reason) == 0 && k < WORDS_MAX; k++) {
            if (vocabulary[i].words[k] != NULL && strcasestr(said, vocabulary[i].words[k]) != NULL)
                return true;
        }
    }
    return false;
}
