/*
 * standing.c - fields that stand on whatever answer there will be.
 *
 * A field is on an answer once (RFC 9110 section 5.3), unless its values add up. The answer's own
 * one is better informed than one that was said before it, and of two that stand the later one is:
 * who stands nearer to the handler says it later.
 */
#include "http/exchange.h"
#include "http/mistake.h"

#include <shs/text.h>

static bool adds_up(struct shs_str name)
{
    static const char *const lists[] = {
        "Set-Cookie",         "Vary", "Link",          "WWW-Authenticate",
        "Proxy-Authenticate", "Via",  "Server-Timing", "Access-Control-Expose-Headers",
    };

    return shs__is_one_of(name, lists, SHS_ARRAY_LEN(lists));
}

static struct shs_field *find(const struct shs_response *res, struct shs_str name)
{
    for (size_t i = 0; i < res->standing_count; i++) {
        if (shs__str_eq_nocase(res->standing[i].name, name))
            return &res->standing[i];
    }
    return NULL;
}

bool shs__response_says(const struct shs_response *res, struct shs_str name)
{
    for (size_t i = 0; i < res->field_count; i++) {
        if (shs__str_eq_nocase(res->fields[i].name, name))
            return true;
    }
    return false;
}

bool shs__response_stands(const struct shs_response *res, struct shs_str name)
{
    return find(res, name) != NULL;
}

bool shs__standing_is_sent(const struct shs_response *res, const struct shs_field *field)
{
    return !shs__response_says(res, field->name) || adds_up(field->name);
}

static int mistake(struct shs_response *res, struct shs_str name, const char *what)
{
    return shs__mistake(res->x, "shs_response_stand", "\"%.*s\": %s",
                        name.len > 40 ? 40 : (int)name.len, name.ptr == NULL ? "" : name.ptr, what);
}

static int check(struct shs_response *res, struct shs_str name, struct shs_str value)
{
    if (res->head_sent)
        return mistake(res, name, "the head of the answer has been sent already");
    if (name.ptr == NULL || !shs_is_token(name))
        return mistake(res, name, "that is not a field name");
    if (value.ptr == NULL)
        return mistake(res, name, "the value is NULL");
    if (!shs_is_field_value(value))
        return mistake(res, name, "the value has a control character, as CR, LF or NUL");
    if (shs__is_framing_field(name))
        return mistake(res, name, "the server sets it, as a part of the framing");
    return SHS_OK;
}

/* One more of them, with nothing in it. */
static int add_place(struct shs_response *res, struct shs_str name, struct shs_field **out)
{
    struct shs_arena *arena = &res->x->arena;

    if (res->standing_count == SHS_MAX_STANDING_FIELDS)
        return shs__over_limit(
            res->x, "shs_response_stand", "\"%.*s\" is one too many: at most %u stand",
            name.len > 40 ? 40 : (int)name.len, name.ptr, SHS_MAX_STANDING_FIELDS);
    if (res->standing == NULL)
        res->standing = shs__arena_alloc(arena, SHS_MAX_STANDING_FIELDS * sizeof *res->standing);
    if (res->standing == NULL)
        return SHS_NOMEM;
    *out = &res->standing[res->standing_count];
    **out = (struct shs_field){shs__arena_copy(arena, name), {NULL, 0}};
    return (*out)->name.ptr == NULL ? SHS_NOMEM : SHS_OK;
}

int shs_response_stand(struct shs_response *res, const char *name, const char *text)
{
    struct shs_str n = shs__str(name), value = shs__str(text);
    struct shs_field *field;
    size_t room;

    SHS_RETURN_IF_ERROR(check(res, n, value));
    field = adds_up(n) ? NULL : find(res, n);
    room = SHS_MAX_RESPONSE_HEAD - res->standing_bytes + (field == NULL ? 0 : field->value.len);
    if ((field == NULL ? n.len + 4 : 0) + value.len > room)
        return shs__over_limit(res->x, "shs_response_stand",
                               "the fields that stand are too long, %zu bytes already",
                               res->standing_bytes);
    value = shs__arena_copy(&res->x->arena, value);
    if (value.ptr == NULL)
        return SHS_NOMEM;
    if (field != NULL) {
        res->standing_bytes -= field->value.len;
    } else {
        SHS_RETURN_IF_ERROR(add_place(res, n, &field));
        res->standing_count++;
        res->standing_bytes += n.len + 4;
    }
    field->value = value;
    res->standing_bytes += value.len;
    return SHS_OK;
}
