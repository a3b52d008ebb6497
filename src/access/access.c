/*
 * access.c - <shs/access.h>: the life of rules, their exchange while requests are decided, and the
 * middleware.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "access/policy.h"
#include "base/text.h"

struct shs_access_rules {
    struct shs_middleware middleware;
    char *file;          /* its name; of rules from memory, the name that stands for it */
    struct shs_buf text; /* of rules from memory */
    bool from_memory;
    pthread_mutex_t reading; /* one reload after the other */
    _Atomic(struct shs_access_policy *) policy;
    _Atomic unsigned takers; /* threads that are about to count a reference */
    _Atomic uint64_t reloads, failures;
};

static const char slot_key;

/* -- reading ----------------------------------------------------------------------------------- */

static int read_file(const char *file, struct shs_access_policy **out, struct shs_error *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct shs_buf bytes;
    int rc, sys;

    if (fd < 0)
        return shs_error_set(err, SHS_IO, errno, "The rules in '%.100s' cannot be opened: %s.",
                             file, shs__strerror(errno, (char[96]){0}, 96));
    shs__buf_init(&bytes, SHS_ACCESS_FILE_MAX);
    rc = shs__read_all(fd, &bytes);
    sys = errno;
    (void)close(fd);
    if (rc == SHS_LIMIT)
        rc = shs_error_set(err, SHS_LIMIT, 0, "The rules in '%.100s' are longer than %zu MiB.",
                           file, SHS_ACCESS_FILE_MAX >> 20);
    else if (rc == SHS_IO)
        rc = shs_error_set(err, SHS_IO, sys, "The rules in '%.100s' cannot be read: %s.", file,
                           shs__strerror(sys, (char[96]){0}, 96));
    else if (rc != SHS_OK)
        rc = shs_error_set(err, rc, 0, "Out of memory for rules.");
    else
        rc = shs__policy_read(out, file, (struct shs_str){shs__buf_head(&bytes), bytes.len}, err);
    shs__buf_free(&bytes);
    return rc;
}

/*
 * No lock: a child that is forked while another thread holds one would wait for ever. Who has seen
 * the policy of before is counted in `takers` until he has his reference, and so keeps it alive.
 */
struct shs_access_policy *shs__access_policy(struct shs_access_rules *self)
{
    struct shs_access_policy *policy;

    atomic_fetch_add(&self->takers, 1);
    policy = shs__policy_ref(atomic_load(&self->policy));
    atomic_fetch_sub(&self->takers, 1);
    return policy;
}

/* Who takes one from here on takes the new one; those who might not have are waited for: a few
   instructions of theirs, which wait for nothing. */
static struct shs_access_policy *exchange(struct shs_access_rules *self,
                                          struct shs_access_policy *policy)
{
    struct shs_access_policy *before = atomic_exchange(&self->policy, policy);

    while (atomic_load(&self->takers) != 0)
        (void)sched_yield();
    return before;
}

/* Rules from memory stay as they are; the certificates of their CAs are read again. */
static int read_again(const struct shs_access_rules *self, struct shs_access_policy **out,
                      struct shs_error *err)
{
    if (!self->from_memory)
        return read_file(self->file, out, err);
    return shs__policy_read(out, self->file,
                            (struct shs_str){shs__buf_head(&self->text), self->text.len}, err);
}

int shs_access_reload(struct shs_access_rules *self, struct shs_error *err)
{
    struct shs_access_policy *policy = NULL;
    int rc;

    if (self == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "The rules are NULL.");
    pthread_mutex_lock(&self->reading);
    rc = read_again(self, &policy, err);
    if (rc == SHS_OK)
        policy = exchange(self, policy);
    atomic_fetch_add(rc == SHS_OK ? &self->reloads : &self->failures, 1);
    pthread_mutex_unlock(&self->reading);
    shs__policy_free(policy);
    return rc;
}

/* -- in two steps ------------------------------------------------------------------------------ */

struct shs_access_draft {
    struct shs_access_rules *rules;
    struct shs_access_policy *policy; /* NULL: it is taken */
    bool is_news;
};

/* What is in force by another mark. */
static bool says_something_new(struct shs_access_rules *rules,
                               const struct shs_access_policy *policy)
{
    struct shs_access_policy *now = shs__access_policy(rules);
    bool other = now->mark != policy->mark;

    shs__policy_free(now);
    return other;
}

int shs_access_draft_new(struct shs_access_draft **out, struct shs_access_rules *rules,
                         bool dry_run, struct shs_error *err)
{
    struct shs_access_draft *self;
    int rc;

    *out = NULL;
    if (rules == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "The rules are NULL.");
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for rules.");
    rc = read_again(rules, &self->policy, err);
    if (rc != SHS_OK) {
        shs__free(self);
        if (!dry_run)
            atomic_fetch_add(&rules->failures, 1);
        return rc;
    }
    self->rules = rules;
    self->is_news = says_something_new(rules, self->policy);
    *out = self;
    return SHS_OK;
}

bool shs__access_draft_is_news(const struct shs_access_draft *self)
{
    return self->is_news;
}

void shs_access_draft_commit(struct shs_access_draft *self)
{
    struct shs_access_rules *rules = self->rules;

    if (self->policy == NULL)
        return;
    pthread_mutex_lock(&rules->reading);
    shs__policy_free(exchange(rules, self->policy));
    self->policy = NULL;
    atomic_fetch_add(&rules->reloads, 1);
    pthread_mutex_unlock(&rules->reading);
}

void shs_access_draft_free(struct shs_access_draft *self)
{
    if (self == NULL)
        return;
    shs__policy_free(self->policy);
    shs__free(self);
}

/* -- deciding ---------------------------------------------------------------------------------- */

void shs_access_decide(struct shs_access_rules *self, const struct shs_identity *identity,
                       struct shs_str method, struct shs_str path, struct shs_access_decision *out)
{
    struct shs_access_policy *policy = shs__access_policy(self);

    shs__policy_decide(policy, identity, method, path, out);
    shs__policy_free(policy);
}

void shs_access_count(struct shs_access_rules *self, struct shs_access_counts *out)
{
    struct shs_access_policy *policy = shs__access_policy(self);

    out->rules = policy->rule_count;
    out->roles = policy->role_count;
    out->grants = policy->grant_count;
    out->reloads = atomic_load(&self->reloads);
    out->reload_failures = atomic_load(&self->failures);
    shs__policy_free(policy);
}

/* -- the middleware ---------------------------------------------------------------------------- */

const struct shs_access_decision *shs_request_access(const struct shs_request *req)
{
    return shs_request_slot(req, &slot_key);
}

static bool wants_a_page(const struct shs_request *req)
{
    struct shs_str accept;

    return shs_request_header(req, "Accept", &accept) &&
           memmem(accept.ptr, accept.len, "text/html", 9) != NULL;
}

static int append_role(struct shs_buf *out, const char *key, const char *role)
{
    /* Names of roles have no character that would have to be escaped. */
    return role[0] == '\0' ? shs__buf_printf(out, ",\"%s\":null", key)
                           : shs__buf_printf(out, ",\"%s\":\"%s\"", key, role);
}

static int write_refusal(struct shs_buf *out, const struct shs_access_decision *d)
{
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("{\"error\":\"forbidden\"")));
    SHS_RETURN_IF_ERROR(append_role(out, "need", d->need));
    SHS_RETURN_IF_ERROR(append_role(out, "have", d->role));
    return shs__buf_append_str(out, SHS_STR("}\n"));
}

static int refuse(struct shs_request *req, struct shs_response *res,
                  const struct shs_access_decision *d)
{
    struct shs_buf body;
    int rc;

    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Cache-Control", "no-store"));
    if (wants_a_page(req))
        return shs_send_page(res, 403, "You may not do this here.");
    SHS_RETURN_IF_ERROR(shs_send_response(res, 403));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "application/json"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    shs__buf_init(&body, 1024);
    rc = write_refusal(&body, d);
    if (rc == SHS_OK)
        rc = shs_write(res, shs__buf_head(&body), body.len);
    shs__buf_free(&body);
    return rc;
}

/* A leading run of "/" was made one; what was before the path tells it. */
static bool began_with_a_run(const struct shs_request *req, struct shs_str path)
{
    struct shs_str target = shs_request_target(req);

    return path.ptr > target.ptr && path.ptr <= target.ptr + target.len && path.len > 0 &&
           path.ptr[0] == '/' && path.ptr[-1] == '/';
}

static int access_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                         const struct shs_next *next)
{
    struct shs_access_decision *d = shs_request_alloc(req, sizeof *d);
    struct shs_str path = shs_request_full_path(req);
    struct shs_identity identity;

    if (d == NULL)
        return SHS_NOMEM;
    if (began_with_a_run(req, path))
        path.len = 0; /* as the router: it reads as nothing */
    shs_request_identity(req, &identity);
    shs_access_decide(ctx, &identity, shs_request_method(req), path, d);
    SHS_RETURN_IF_ERROR(shs_request_set_slot(req, &slot_key, d));
    return d->allowed ? shs_next_call(next, req, res) : refuse(req, res, d);
}

const struct shs_middleware *shs_access_middleware(const struct shs_access_rules *self)
{
    return &self->middleware;
}

/* -- life -------------------------------------------------------------------------------------- */

static void rules_free(struct shs_access_rules *self)
{
    shs__free(self->file);
    shs__buf_free(&self->text);
    shs__free(self);
}

/* Takes the policy. `text` NULL: they are from a file. */
static int create(struct shs_access_rules **out, const char *file, const struct shs_str *text,
                  struct shs_access_policy *policy, struct shs_error *err)
{
    struct shs_access_rules *self = shs__calloc(1, sizeof *self);
    int rc = SHS_NOMEM;

    if (self != NULL) {
        shs__buf_init(&self->text, SHS_ACCESS_FILE_MAX);
        self->from_memory = text != NULL;
        self->file = shs__strdup(file);
        rc = self->file == NULL ? SHS_NOMEM
             : text == NULL     ? SHS_OK
                                : shs__buf_append_str(&self->text, *text);
    }
    if (rc != SHS_OK) {
        if (self != NULL)
            rules_free(self);
        shs__policy_free(policy);
        return shs_error_set(err, rc, 0, "Out of memory for rules.");
    }
    self->middleware = (struct shs_middleware){"Access", access_handle, self};
    pthread_mutex_init(&self->reading, NULL);
    atomic_init(&self->policy, policy);
    *out = self;
    return SHS_OK;
}

int shs_access_new(struct shs_access_rules **out, const char *file, struct shs_error *err)
{
    struct shs_access_policy *policy = NULL;

    if (file == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "The file of the rules is NULL.");
    SHS_RETURN_IF_ERROR(read_file(file, &policy, err));
    return create(out, file, NULL, policy, err);
}

int shs_access_new_text(struct shs_access_rules **out, const char *name, struct shs_str text,
                        struct shs_error *err)
{
    struct shs_access_policy *policy = NULL;

    if (name == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "The name of the rules is NULL.");
    SHS_RETURN_IF_ERROR(shs__policy_read(&policy, name, text, err));
    return create(out, name, &text, policy, err);
}

void shs_access_free(struct shs_access_rules *self)
{
    if (self == NULL)
        return;
    shs__policy_free(atomic_load(&self->policy));
    pthread_mutex_destroy(&self->reading);
    rules_free(self);
}

const char *shs_access_file(const struct shs_access_rules *self)
{
    return self->file;
}
