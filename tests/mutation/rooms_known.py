"""Mutants of rooms.py that no test notices, and why: mostly, another line makes the same decision."""

NOTHING_THERE = "a shortcut: a search in nothing finds nothing"
ALWAYS_64 = "an identity has 64 digits, so it is always true"

NEVER_EMPTY = "the value of a field does not end with a blank: something is there"
EMPTY_IS_NONE = "an empty text is not an address for inet_pton either"
ONE_BYTE = "one byte behind the end of a text on the stack: ASan sees it"

BEHIND_THE_END = "reads a byte behind the end, which is none of those that count: ASan sees it"
NEXT_FAILS = "the next condition refuses what this one does"
SENT_BY_NOBODY = "shs_send_header refuses such a byte as well"

THE_BUFFER_REFUSES = "shs__buf_reserve refuses it as well"
BY_LIBSSL = "which version of libssl is there; the test expects what that one does"

THE_TREE_HAS = "what the tree finds for it overlaps with it"
NO_DEEPER = "no pattern is deeper, so nothing is behind it to be found"
BY_ONE_ATTRIBUTE = "lines that are compared have an attribute in common, and with one condition each it is theirs"
NO_SEGMENTS = "a value that is no pattern has no segments, and overlaps with nothing"

A_MINUTE_OLD = "what is forgotten after a minute or an hour: too slow for a unit test"
THE_CLOCK = "a wait that ends by its deadline, and the clock, say the same"

NOTHING_TO_KEEP = "a shortcut: no bytes are taken, or copied"

KNOWN = {
    "http/h1: never: lines == 0": NOTHING_TO_KEEP,
    "http/h1: never: x->body.phase == SHS_BODY_DONE (2)": "BODY finds the end of a body of no bytes at once",
    "http/h1: never: x->body.phase == SHS_BODY_DONE (3)": "DRAIN finds at once that nothing is left of it",
    "http/h1: always: h1->in.len > 2": BEHIND_THE_END,
    "http/h1: always: !req->body_failed": "may_keep asks as well whether the body has failed",
    "http/h1: gone: shs__progress_waits(&x->progress);":
    "shs__h1_drain_out has said so where the client is waited for; while others have their turn nobody waits",
    "http/h1_input: limit: there + shs__buf_room(in) >= need": "a new block, where the old one would just do",
    "http/h1_input: never: len == 0": NOTHING_TO_KEEP,
    "http/h1_output: never: x->base.req.body_failed": "the code of what failed is there, and says the same",
    "base/clock: never: p->ours_since_ns == INT64_MAX": "no time is after that one: it saves a look at the clock",
    "access/pattern: never: !covers_segment(&a->segs[i], &b->segs[i]) && "
    "!covers_segment(&b->segs[i], &a->segs[i])": THE_TREE_HAS,
    "access/pattern: always: a->count == b->count (2)": THE_TREE_HAS,
    "access/pattern: limit: self->count * 2 < count": "a table that grows one entry later",
    "access/pattern: never: i >= SHS_ACCESS_SEGMENTS": NO_DEEPER,
    "access/pattern: limit: i >= SHS_ACCESS_SEGMENTS": NO_DEEPER,
    "access/pattern: always: b->kind == SHS_SEGMENT_TEXT": "no text is '*', which a segment of another kind has",
    "access/read: never: rc == SHS_LIMIT": "the words of the error of a CA file with too many keys, and no more",
    "access/read: never: kept[i].is_pattern": "how often a value is used only decides which one finds a line",
    "access/read: never: (b->is_pattern && !a->is_pattern)": "a value without '*' is not equal to one with it",
    "access/read: never: x->attr != y->attr": BY_ONE_ATTRIBUTE,
    "access/read: never: !x->is_pattern": NO_SEGMENTS,
    "access/read: never: !y->is_pattern": NO_SEGMENTS,
    "handler/range: limit: c->at < c->end": "the caller has looked: it is not at the end",
    "handler/range: never: !read_number(c, &first)": NEXT_FAILS,
    "handler/range: never: !read_number(c, &last) (2)": "a digit is there, so it reads a number",
    "handler/range: limit: first >= size": "the range that begins at the end is one of no byte either way",
    "handler/range: never: c->at == c->end": BEHIND_THE_END,
    "handler/range: never: c->at == c->end (2)": BEHIND_THE_END,
    "http/cookie: limit: c >= 0x7f": SENT_BY_NOBODY,
    "http/cookie: limit: c >= 0x7f (2)": SENT_BY_NOBODY,
    "http/cookie: never: c < 0x20": SENT_BY_NOBODY,
    "http/cookie: never: s.len == 0": NEXT_FAILS,
    "http/cookie: always: s.len >= prefix.len": BEHIND_THE_END,
    "tls/config/pem: always: line.len >= len": BEHIND_THE_END,
    "access/decide: never: attr != SHS_ATTR_GID": "it is asked for what a line can ask of a process: a uid or a gid",
    "handler/basic_auth: limit: s.len / 4 * 3 + 3 > CREDENTIALS_MAX": "three divides it, and not the limit",
    "handler/basic_auth: never: !shs__authorization(req, \"Basic\", &token) (2)": "who was let in has sent one",
    "http/date: never: s->len < digits": "the length left becomes a huge one, and at the end it must be 0",
    "handler/authorization: always: found.len > 0": NEVER_EMPTY,
    "handler/authorization: limit: found.len > 0": NEVER_EMPTY,
    "handler/rate_limit: limit: o->max_keys > KEYS_MAX": "as many keys as there may be are 256 MiB",
    "server/proxy_header: limit: text.len >= sizeof copy": ONE_BYTE,
    "server/thread_pool_queue: never: !atomic_load(&line->held)": "a shortcut: it is looked at again under the lock",
    "server/thread_pool_queue: gone: let_go(line);":
    "a race: only when another one leaves in the middle of `hold`, before it can see that the line is held",
    "base/network: never: text.len == 0": EMPTY_IS_NONE,
    "base/network: limit: text.len >= sizeof copy": ONE_BYTE,
    "base/network: always: rest == 0": "the mask for no bits is 0, so all bytes are equal with it",
    "tls/clients/deny: never: n == left": "what is behind a name, a blank or NUL, is no '='",
    "tls/clients/deny: never: set->count == ENTRIES_MAX": "a million entries: too slow for a unit test",
    "tls/clients/deny: never: atomic_load(&self->count) == 0": NOTHING_THERE,
    "tls/clients/deny: always: key_of_digest(out->key[0], 'c', identity->cert_sha256, 64)": ALWAYS_64,
    "tls/clients/deny: always: key_of_digest(out->key[1], 's', identity->spki_sha256, 64)": ALWAYS_64,
    "tls/clients/deny: always: set->count > 0": NOTHING_THERE,
    "tls/clients/deny: limit: set->count > 0": NOTHING_THERE,
    "tls/wire/records: never: header[1] != 3 && is_before_3_2()": BY_LIBSSL,
    "tls/wire/records: never: header[1] != 3": BY_LIBSSL,
    "tls/wire/records: always: OpenSSL_version_num() < 0x30200000UL": BY_LIBSSL,
    "tls/wire/records: limit: OpenSSL_version_num() < 0x30200000UL": BY_LIBSSL,
    "tls/wire/records: always: OpenSSL_version_num() < 0x30500000UL": BY_LIBSSL,
    "tls/wire/records: limit: OpenSSL_version_num() < 0x30500000UL": BY_LIBSSL,
    "tls/wire/records: never: out->len > out->ceiling": THE_BUFFER_REFUSES,
    "tls/wire/records: limit: out->len > out->ceiling": THE_BUFFER_REFUSES,
    "tls/wire/records: never: whole > out->ceiling - out->len": THE_BUFFER_REFUSES,
    "tls/config/tickets: never: cached->used && cached->secret == secret && cached->epoch == epoch":
    "the key is made again, and is the same",
    "handler/auth_checks: always: k->verified_ns != 0": "the time of nobody's is long ago, on the second condition",
    "handler/auth_checks: always: now < shs__deadline_after(k->used_ns, SHS_CHECKS_KNOWN_MS)": A_MINUTE_OLD,
    "handler/auth_checks: always: now < shs__deadline_after(k->verified_ns, SHS_CHECKS_KNOWN_AGE_MS)": A_MINUTE_OLD,
    "handler/auth_checks: never: c == check": "it did not come before itself",
    "handler/auth_checks: always: pthread_cond_timedwait(&self->changed, &self->lock, &at) == 0": THE_CLOCK,
    "handler/auth_checks: always: shs_now_ns() < deadline_ns": THE_CLOCK,
    "tls/clients/verified: never: len != SHS_TLS_VERIFIED_KEY": "a SHA-256 has that length",
    "tls/clients/keys: never: !shs__client_key_digest(cert, key)":
    "what was read has a key; for memory see tests/faults",
    "handler/conditional: limit: value.len > 0": BEHIND_THE_END,
    "handler/conditional: always: shs_http_date_parse(value, now, &when)":
    "no time is set then, and it is that of the file by chance only",
    "handler/conditional: always: shs__etag_next(&left, &tag, &weak)": "where it finds none, all of it is left",
    "tls/config/names: never: len == 0 (2)": "no name is found; only what is not set is not read",
    "tls/config/names: never: name.len == 0": EMPTY_IS_NONE,
    "tls/config/names: limit: name.len >= sizeof text": ONE_BYTE,
    "http/file_name: never: len != 3": "what begins with that byte has three",
    "http/file_name: never: extension == 0": "the empty one is put behind what fits, which is all of it",
    "http/file_name: never: !clean((struct shs_str){s.ptr + s.len - extension, extension}, end, &end_len, sizeof end)":
    "there is room for twice the longest one",
}
