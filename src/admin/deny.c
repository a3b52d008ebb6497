/*
 * deny.c - who is kept out from now on. What is said by certificate is TLSMixIn's own list (of
 * every server); the rest is denied.h's. All of it is kept in one file, for the next start.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shs/digest.h>
#include <shs/json.h>
#include <shs/query.h>

#include "base/chars.h"
#include "tls/clients/deny.h"

#define ENTRY_MAX 1024
#define FILE_MAX ((size_t)16 * 1024 * 1024)
#define ID_LEN 16
#define SERIAL_MAX 64 /* digits; of one that is cut, another client would be kept out */

/* -- what is asked for ------------------------------------------------------------------------- */

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

/* 44 characters of base64 are 32 bytes. */
static bool hex_of_base64(const char *text, char *hex)
{
    unsigned bits = 0, have = 0, at = 0;

    if (strlen(text) != 44 || text[43] != '=')
        return false;
    for (size_t i = 0; i < 43; i++) {
        int value = base64_value(text[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (unsigned)value;
        have += 6;
        if (have >= 8 && at < 64) {
            have -= 8;
            snprintf(hex + at, 3, "%02x", bits >> have & 0xff);
            at += 2;
        }
    }
    return at == 64;
}

/* "sha256:" before it or not; hexadecimal, with colons or not, or base64. */
static bool hex_of_digest(const char *text, char hex[65])
{
    size_t at = 0;

    if (strncmp(text, "sha256:", 7) == 0)
        text += 7;
    if (hex_of_base64(text, hex))
        return true;
    for (; *text != '\0'; text++) {
        char c = *text >= 'A' && *text <= 'F' ? (char)(*text + 32) : *text;

        if (c == ':')
            continue;
        if (at == 64 || !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        hex[at++] = c;
    }
    hex[at] = '\0';
    return at == 64;
}

static bool is_line(const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || len > ENTRY_MAX / 2)
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    }
    return true;
}

/* The entry that an object stands for. NULL, or what is wrong with it. */
static const char *entry_of(json_t *object, char *entry)
{
    const char *text, *issuer;
    json_int_t uid;
    char hex[65];

    if (json_unpack(object, "{s:s!}", "spki", &text) == 0 ||
        json_unpack(object, "{s:s!}", "cert", &text) == 0) {
        if (!hex_of_digest(text, hex))
            return "a digest is 64 hexadecimal digits, or base64";
        snprintf(entry, ENTRY_MAX, "%s %s",
                 json_object_get(object, "spki") != NULL ? "spki" : "cert", hex);
        return NULL;
    }
    if (json_unpack(object, "{s:s, s:s!}", "serial", &text, "issuer", &issuer) == 0) {
        if (strncmp(text, "0x", 2) == 0 || strncmp(text, "0X", 2) == 0)
            text += 2;
        if (!is_line(text) || !is_line(issuer) || strlen(text) > SERIAL_MAX ||
            strchr(text, ' ') != NULL)
            return "serial is hexadecimal, and issuer as whoami has it";
        snprintf(entry, ENTRY_MAX, "serial %.*s %.600s", SERIAL_MAX, text, issuer);
        return NULL;
    }
    if (json_unpack(object, "{s:s!}", "spiffe", &text) == 0) {
        /* Not everybody at once: at least the trust domain is named. */
        if (!is_line(text) || strncmp(text, "spiffe://", 9) != 0 || strchr(text, ' ') != NULL ||
            text[9] == '\0' || text[9] == '/')
            return "a SPIFFE ID, or its beginning, is spiffe:// and at least a trust domain";
        snprintf(entry, ENTRY_MAX, "spiffe %s", text);
        return NULL;
    }
    if (json_unpack(object, "{s:I!}", "uid", &uid) == 0) {
        if (uid < 0 || uid >= UINT32_MAX)
            return "a uid is a number";
        snprintf(entry, ENTRY_MAX, "uid %lld", (long long)uid);
        return NULL;
    }
    return "who is denied is said by spki, cert, serial with issuer, spiffe or uid, and nothing "
           "else";
}

static bool is_tls_entry(const char *entry)
{
    return strncmp(entry, "spiffe ", 7) != 0 && strncmp(entry, "uid ", 4) != 0;
}

/* -- the file ---------------------------------------------------------------------------------- */

/* "cannot WHAT PATH: why", of errno. */
static int cannot(const char *what, const char *path, struct shs_error *err)
{
    int code = errno;
    char why[96];

    return shs_error_set(err, SHS_IO, code, "cannot %s %s: %s", what, path,
                         shs__strerror(code, why, sizeof why));
}

static int write_whole(const char *path, const struct shs_buf *text, struct shs_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    int rc;

    if (fd < 0)
        return cannot("write", path, err);
    rc = text->len == 0 ? SHS_OK : shs__write_all(fd, shs__buf_head(text), text->len);
    if (rc == SHS_OK && fsync(fd) != 0 && !shs__has_no_sync(errno))
        rc = SHS_IO;
    if (rc != SHS_OK)
        rc = cannot("write", path, err);
    if (close(fd) != 0 && rc == SHS_OK)
        rc = cannot("write", path, err);
    return rc;
}

/* Another file in its place, at once: one that is read is always whole. */
static int save(struct shs_admin *self, struct shs_error *err)
{
    struct shs_buf text;
    char *path;
    int rc;

    if (self->opt.deny == NULL)
        return SHS_OK;
    shs__buf_init(&text, FILE_MAX);
    path = shs__asprintf("%s.new", self->opt.deny);
    rc = path == NULL ? SHS_NOMEM : shs__admin_denied_text(self->denied, &text);
    if (rc != SHS_OK)
        shs_error_set(err, rc, 0, "cannot write %s: %s", self->opt.deny, shs_err_text(rc));
    if (rc == SHS_OK)
        rc = write_whole(path, &text, err);
    if (rc == SHS_OK && rename(path, self->opt.deny) != 0)
        rc = cannot("replace", self->opt.deny, err);
    if (rc != SHS_OK && path != NULL)
        (void)unlink(path);
    shs__buf_free(&text);
    shs__free(path);
    return rc;
}

static int load_lines(struct shs_admin *self, char *text)
{
    bool added;
    int rc = SHS_OK;

    for (char *line = text, *end; rc == SHS_OK && *line != '\0'; line = end) {
        size_t len = strcspn(line, "\n");

        end = line + len + (line[len] == '\n');
        while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL) /* an editor's line end */
            len--;
        line[len] = '\0';
        if (len > 0 && line[0] != '#')
            rc = shs__admin_denied_add(self->denied, line, &added);
    }
    return rc;
}

/* The list as text. Each change replaces its file, so a pipe or a device cannot be one. */
static int read_list(const char *path, struct shs_buf *text, struct shs_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? SHS_OK : cannot("read the deny list", path, err);
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        rc = shs_error_set(err, SHS_USAGE, 0,
                           "the deny list %s is not a file, which each change can replace", path);
    } else {
        rc = shs__read_all(fd, text);
        if (rc == SHS_IO)
            rc = cannot("read the deny list", path, err);
        else if (rc != SHS_OK)
            shs_error_set(err, rc, 0, "the deny list %s: %s", path, shs_err_text(rc));
    }
    close(fd);
    return rc;
}

int shs__admin_deny_load(struct shs_admin *self, struct shs_error *err)
{
    struct shs_buf text;
    int rc;

    if (self->opt.deny == NULL)
        return SHS_OK;
    shs__buf_init(&text, FILE_MAX);
    rc = read_list(self->opt.deny, &text, err);
    if (rc == SHS_OK) {
        rc = shs__buf_append(&text, "", 1);
        if (rc == SHS_OK)
            rc = load_lines(self, shs__buf_head(&text));
        if (rc != SHS_OK)
            shs_error_set(err, rc, 0, "the deny list %s: %s", self->opt.deny, shs_err_text(rc));
    }
    shs__buf_free(&text);
    return rc;
}

int shs__admin_deny_tell(struct shs_admin *self, struct shs_server *server, struct shs_error *err)
{
    struct shs_buf text;
    int rc;

    shs__buf_init(&text, FILE_MAX);
    rc = shs__admin_denied_text(self->denied, &text);
    if (rc == SHS_OK)
        rc = shs__buf_append(&text, "", 1);
    if (rc != SHS_OK)
        shs_error_set(err, rc, 0, "the deny list: %s", shs_err_text(rc));
    for (char *line = shs__buf_head(&text), *end; rc == SHS_OK && *line != '\0'; line = end) {
        end = line + strcspn(line, "\n");
        *end++ = '\0';
        if (is_tls_entry(line) && shs_server_layer(server, "TLSMixIn") != NULL)
            rc = shs_tls_deny(server, line, err);
    }
    shs__buf_free(&text);
    return rc;
}

/* -- the routes -------------------------------------------------------------------------------- */

/* What an entry is called in an address: the beginning of its SHA-256, the same at every start. */
static void id_of(const char *entry, char id[ID_LEN + 1])
{
    unsigned char digest[SHS_SHA256_LEN];
    struct shs_sha256 *sha = NULL;
    int rc = shs_sha256_new(&sha);

    if (rc == SHS_OK)
        rc = shs_sha256_update(sha, entry, strlen(entry));
    if (rc == SHS_OK)
        rc = shs_sha256_final(sha, digest);
    shs_sha256_free(sha);
    id[0] = '\0'; /* nothing is called so */
    for (size_t i = 0; rc == SHS_OK && i < ID_LEN / 2; i++)
        snprintf(id + 2 * i, 3, "%02x", digest[i]);
}

/* Each entry, with its end cut off: until `each` returns false. */
static int each_entry(struct shs_admin *self, bool (*each)(void *ctx, const char *entry), void *ctx)
{
    struct shs_buf text;
    bool go_on = true;
    int rc;

    shs__buf_init(&text, FILE_MAX);
    rc = shs__admin_denied_text(self->denied, &text);
    if (rc == SHS_OK)
        rc = shs__buf_append(&text, "", 1);
    for (char *line = shs__buf_head(&text), *end; rc == SHS_OK && go_on && *line != '\0';
         line = end) {
        end = line + strcspn(line, "\n");
        *end++ = '\0';
        go_on = each(ctx, line);
    }
    shs__buf_free(&text);
    return rc;
}

static bool add_entry(void *list, const char *entry)
{
    char id[ID_LEN + 1];

    id_of(entry, id);
    (void)json_array_append_new(list,
                                json_pack("{s:s, s:o}", "id", id, "entry", shs__admin_text(entry)));
    return true;
}

static json_t *list_of(struct shs_admin *self)
{
    json_t *list = json_array();

    (void)each_entry(self, add_entry, list);
    return list;
}

int shs__admin_get_deny(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin *self = shs_request_ctx(req);

    return shs_send_json(res, 200,
                         json_pack("{s:o, s:o}", "kept_in", shs__admin_text(self->opt.deny),
                                   "denied", list_of(self)));
}

struct denial {
    struct shs_admin *admin;
    const char *entry;
    bool tls;
    size_t servers, ended;
    int rc;
    struct shs_error err;
};

/* Every server, also those for operators. */
static bool deny_at(void *denial, struct shs_admin_watch *watch, bool own)
{
    struct shs_server *server = shs__admin_watch_server(watch);
    struct denial *d = denial;

    SHS_UNUSED(own);
    if (!d->tls) {
        d->servers++;
        d->ended += shs__admin_watch_sweep(watch);
    } else if (shs_server_layer(server, "TLSMixIn") != NULL) {
        d->servers++;
        d->rc = shs_tls_deny(server, d->entry, &d->err);
    }
    return d->rc == SHS_OK;
}

/* Would it keep out who asks for it? */
static bool denies_who_asks(const char *entry, bool tls, const struct shs_identity *who)
{
    struct shs_admin_denied *others = NULL;
    struct shs_tls_deny *list = NULL;
    bool added, denies = false;

    if (tls && who->cert != NULL && shs__tls_deny_new(&list) == SHS_OK)
        denies = shs__tls_deny_add(list, entry, NULL) == SHS_OK &&
                 shs__tls_deny_denies(list, who->cert) != 0;
    if (!tls && shs__admin_denied_new(&others) == SHS_OK &&
        shs__admin_denied_add(others, entry, &added) == SHS_OK)
        denies = (who->has_process && shs__admin_denied_has_uid(others, who->uid)) ||
                 (who->cert != NULL && shs__admin_denied_has_spiffe(others, who->cert->spiffe_id));
    shs__tls_deny_free(list);
    shs__admin_denied_free(others);
    return denies;
}

/* The whole answer is out when this returns: what follows may end the connection that it is for. */
static int send_whole(struct shs_response *res, json_t *value)
{
    struct shs_buf text;
    int rc;

    shs__buf_init(&text, FILE_MAX);
    rc = shs__admin_dump(value, &text);
    if (rc == SHS_OK)
        rc = shs_send_response(res, 200);
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Content-Type", "application/json");
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Connection", "close");
    if (rc == SHS_OK)
        rc = shs_send_length(res, text.len);
    if (rc == SHS_OK)
        rc = shs_end_headers(res);
    if (rc == SHS_OK)
        rc = shs_write(res, shs__buf_head(&text), text.len);
    if (rc == SHS_OK)
        rc = shs_flush(res);
    shs__buf_free(&text);
    return rc;
}

static json_t *answer_of(struct shs_admin *self, const struct denial *d, bool added)
{
    char id[ID_LEN + 1];

    id_of(d->entry, id);
    return json_pack("{s:s, s:s, s:b, s:I, s:b}", "denied", d->entry, "id", id, "new", (int)added,
                     "servers", (json_int_t)d->servers, "kept", (int)(self->opt.deny != NULL));
}

static bool count_at(void *denial, struct shs_admin_watch *watch, bool own)
{
    struct denial *d = denial;

    SHS_UNUSED(own);
    d->servers += !d->tls || shs_server_layer(shs__admin_watch_server(watch), "TLSMixIn") != NULL;
    return true;
}

/* What is not an entry for TLSMixIn is none at the next start. */
static int cannot_deny(struct shs_admin *self, struct shs_response *res, const struct denial *d,
                       bool added)
{
    if (added) {
        shs__admin_denied_drop_last(self->denied);
        (void)save(self, NULL);
    }
    return shs__admin_refuse(res, d->rc == SHS_USAGE ? 422 : 500, d->err.text, NULL);
}

/* It is on the list, and kept: now it counts. `self_denied`: who asks is answered first, for it is
   the end of his connection. */
static int enforce(struct shs_admin *self, struct shs_request *req, struct shs_response *res,
                   struct denial *d, bool added, bool self_denied)
{
    int rc = SHS_OK;

    if (self_denied) {
        shs__admin_each(self, count_at, d);
        rc = send_whole(res, answer_of(self, d, added));
        d->servers = 0;
    }
    shs__admin_each(self, deny_at, d);
    if (d->rc != SHS_OK)
        return self_denied ? d->rc : cannot_deny(self, res, d, added);
    shs__admin_changed(req, json_boolean(!added), json_string(d->entry));
    return self_denied ? rc : shs_send_json(res, 200, answer_of(self, d, added));
}

int shs__admin_post_deny(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin *self = shs_request_ctx(req);
    char entry[ENTRY_MAX];
    struct denial d = {.entry = entry};
    const char *wrong;
    struct shs_str force;
    json_t *object;
    bool added, self_denied;

    SHS_RETURN_IF_ERROR(shs_request_json(req, NULL, &object));
    wrong = entry_of(object, entry);
    if (wrong != NULL)
        return shs__admin_refuse(res, 422, wrong, NULL);
    d.tls = is_tls_entry(entry);
    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "force", &force));
    self_denied = denies_who_asks(entry, d.tls, &shs__admin_call(req)->who);
    if (self_denied && !shs__admin_is_on(force))
        return shs__admin_refuse(res, 409,
                                 "that is you: you would be kept out from now on. If it is meant: "
                                 "?force=1, or shs ctl deny --force",
                                 NULL);
    if (shs__admin_denied_add(self->denied, entry, &added) != SHS_OK)
        return shs__admin_refuse(res, 507, "the deny list is full", NULL);
    /* Also what is on it already: its file may have been lost. */
    if (save(self, &d.err) != SHS_OK) {
        if (added)
            shs__admin_denied_drop_last(self->denied);
        return shs__admin_refuse(res, 500, d.err.text, NULL);
    }
    return enforce(self, req, res, &d, added, self_denied);
}

/* -- DELETE deny/ID ---------------------------------------------------------------------------- */

struct wanted {
    struct shs_str id;
    char entry[ENTRY_MAX]; /* "": there is none of that name */
};

static bool find_entry(void *wanted, const char *entry)
{
    struct wanted *w = wanted;
    char id[ID_LEN + 1];

    id_of(entry, id);
    if (w->id.len != ID_LEN || !shs_str_is(w->id, id))
        return true;
    snprintf(w->entry, sizeof w->entry, "%s", entry);
    return false;
}

/* And what else the list says is said again: it may mean the same client by other letters. */
static bool let_in_at(void *denial, struct shs_admin_watch *watch, bool own)
{
    struct shs_server *server = shs__admin_watch_server(watch);
    struct denial *d = denial;

    SHS_UNUSED(own);
    if (d->tls && shs_server_layer(server, "TLSMixIn") != NULL) {
        d->rc = shs_tls_undeny(server, d->entry, &d->err);
        if (d->rc == SHS_OK)
            d->rc = shs__admin_deny_tell(d->admin, server, &d->err);
    }
    return d->rc == SHS_OK;
}

int shs__admin_delete_deny(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin *self = shs_request_ctx(req);
    struct wanted w = {.entry = ""};
    struct denial d = {.admin = self, .entry = w.entry};
    bool added;

    if (!shs_request_param(req, "id", &w.id) || each_entry(self, find_entry, &w) != SHS_OK ||
        w.entry[0] == '\0')
        return shs__admin_refuse(res, 404, "nobody is denied by that id: GET deny", NULL);
    d.tls = is_tls_entry(w.entry);
    (void)shs__admin_denied_remove(self->denied, w.entry);
    if (save(self, &d.err) != SHS_OK) {
        (void)shs__admin_denied_add(self->denied, w.entry, &added);
        return shs__admin_refuse(res, 500, d.err.text, NULL);
    }
    shs__admin_each(self, let_in_at, &d);
    if (d.rc != SHS_OK)
        return shs__admin_refuse(res, 500, d.err.text, NULL);
    shs__admin_changed(req, shs__admin_text(w.entry), NULL);
    return shs_send_json(res, 200,
                         json_pack("{s:o, s:o}", "let_in", shs__admin_text(w.entry), "id",
                                   shs__admin_text_str(w.id)));
}

#endif
