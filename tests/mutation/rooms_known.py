"""Mutants of rooms.py that no test notices, and why: mostly, another line makes the same decision."""

NOTHING_THERE = "a shortcut: a search in nothing finds nothing"
ALWAYS_64 = "an identity has 64 digits, so it is always true"

KNOWN = {
    "tls/clients/deny: never: n == left": "what is behind a name, a blank or NUL, is no '='",
    "tls/clients/deny: never: set->count == ENTRIES_MAX": "a million entries: too slow for a unit test",
    "tls/clients/deny: never: atomic_load(&self->count) == 0": NOTHING_THERE,
    "tls/clients/deny: always: key_of_digest(out->key[0], 'c', identity->cert_sha256, 64)": ALWAYS_64,
    "tls/clients/deny: always: key_of_digest(out->key[1], 's', identity->spki_sha256, 64)": ALWAYS_64,
    "tls/clients/deny: always: set->count > 0": NOTHING_THERE,
    "tls/clients/deny: limit: set->count > 0": NOTHING_THERE,
}
