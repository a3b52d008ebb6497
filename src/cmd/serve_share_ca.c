#include "cmd/serve_share_ca.h"

#include <stdio.h>

#include "base/base.h"
#include "cmd/trust_install.h"

#define PAGE_MAX 16384

/* Nothing from elsewhere, no script, no frame, no form; the style is a resource of this server, as
   it is for listings. */
static const char policy[] = "default-src 'none'; style-src 'self'; base-uri 'none'; "
                             "form-action 'none'; frame-ancestors 'none'";

static const char style[] =
    ":root { color-scheme: light dark; --ink: #1c2530; --soft: #5d6b7a; --line: #dfe4ea;"
    " --link: #0b5cad; --page: #fff; --box: #f5f7fa; }\n"
    "@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --soft: #97a4b3;"
    " --line: #333c47; --link: #7db8f5; --page: #14181d; --box: #1d232a; } }\n"
    "body { margin: 1.5rem auto; max-width: 42rem; padding: 0 1rem; color: var(--ink);"
    " background: var(--page); font: 1rem/1.5 system-ui, sans-serif; }\n"
    "h1 { font-size: 1.4rem; margin: 0 0 .5rem; }\n"
    "h2 { font-size: 1.05rem; margin: 1.5rem 0 .25rem; }\n"
    "ol { margin: 0; padding-left: 1.5rem; }\n"
    "li { margin: .15rem 0; }\n"
    "code { overflow-wrap: anywhere; font-size: .875em; background: var(--box);"
    " padding: .1em .3em; border-radius: .2rem; }\n"
    ".print { display: block; padding: .6rem .75rem; border: 1px solid var(--line); }\n"
    ".get a { display: inline-block; margin: 0 .5rem .5rem 0; padding: .5rem 1rem;"
    " border: 1px solid var(--link); border-radius: .3rem; text-decoration: none; }\n"
    "a { color: var(--link); }\n"
    ".soft { color: var(--soft); font-size: .875rem; }\n";

/* Around the fingerprint. */
static const char page_above[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<title>Trust this server</title>\n"
    "<link rel=\"stylesheet\" href=\"" SERVE_SHARE_CA_PATH "?style\">\n"
    "</head>\n"
    "<body>\n"
    "<h1>Trust this server</h1>\n"
    "<p>Its certificate is from an authority that your device does not know yet, so the browser "
    "warns. This is how your device gets to know it.</p>\n"
    "<p class=\"get\"><a href=\"/ca.crt\">ca.crt</a><a href=\"/ca.pem\">ca.pem</a></p>\n"
    "<p>Its SHA-256 fingerprint, which whoever started the server sees in the terminal:</p>\n"
    "<p><code class=\"print\">";

static const char page_below[] =
    "</code></p>\n"
    "<p>Ask that person, and compare what your device shows of the file. If it is not the same, do "
    "not install it: somebody on the way has put another one in its place.</p>\n"

    "<h2>Android</h2>\n<ol>\n"
    "<li>Download <code>ca.crt</code>.</li>\n"
    "<li>Settings, Security and privacy, More security settings, Encryption and credentials, "
    "Install a certificate, CA certificate.</li>\n"
    "<li>Install anyway, and choose the file.</li>\n"
    "<li>In Trusted credentials, User, open it and compare the SHA-256 fingerprint; if it differs, "
    "remove it there.</li>\n"
    "<li>Firefox needs more: Settings, About Firefox, tap the logo seven times, then Secret "
    "settings, Use third party CA certificates.</li>\n</ol>\n"

    "<h2>iPhone and iPad</h2>\n<ol>\n"
    "<li>Open <code>ca.pem</code> in Safari and allow the download.</li>\n"
    "<li>Settings, General, VPN and Device Management, and the profile that was downloaded.</li>\n"
    "<li>More Details, the certificate: compare the SHA-256 fingerprint.</li>\n"
    "<li>Go back and choose Install.</li>\n"
    "<li>Settings, General, About, Certificate Trust Settings: switch it on.</li>\n</ol>\n"

    "<h2>Windows</h2>\n<ol>\n"
    "<li>Download <code>ca.crt</code>.</li>\n"
    "<li>In a terminal: <code>certutil -hashfile ca.crt SHA256</code> prints the fingerprint; "
    "compare.</li>\n"
    "<li><code>certutil -user -addstore Root ca.crt</code>, and answer Yes.</li>\n"
    "<li>Start Edge or Chrome again.</li>\n"
    "<li>To undo it: <code>certmgr.msc</code>, Trusted Root Certification Authorities.</li>\n"
    "</ol>\n"

    "<h2>macOS</h2>\n<ol>\n"
    "<li>Download <code>ca.pem</code> and open it; Keychain Access adds it to the login "
    "keychain.</li>\n"
    "<li>Open its entry there and compare the SHA-256 fingerprint.</li>\n"
    "<li>Trust, When using this certificate: Always Trust.</li>\n"
    "<li>Close the window and give your password.</li>\n"
    "<li>To undo it, delete the entry.</li>\n</ol>\n"

    "<h2>Firefox on a computer</h2>\n<ol>\n"
    "<li>Download <code>ca.pem</code>.</li>\n"
    "<li>Settings, Privacy and Security, Certificates, View Certificates, Authorities, "
    "Import.</li>\n"
    "<li>View: compare the SHA-256 fingerprint.</li>\n"
    "<li>Tick Trust this CA to identify websites, and OK.</li>\n"
    "<li>To undo it: Delete or Distrust in the same list.</li>\n</ol>\n"

    "<h2>Debian and Ubuntu</h2>\n<ol>\n"
    "<li>Download <code>ca.pem</code>.</li>\n"
    "<li><code>openssl x509 -in ca.pem -noout -fingerprint -sha256</code>; compare.</li>\n"
    "<li><code>sudo cp ca.pem /usr/local/share/ca-certificates/";

/* Behind the name that it has in stores. */
static const char page_end[] =
    ".crt</code></li>\n"
    "<li><code>sudo update-ca-certificates</code></li>\n"
    "<li>Browsers have stores of their own: <code>shs trust install ca.pem --only "
    "browsers</code></li>\n</ol>\n"

    "<p class=\"soft\">Whoever has the key of this authority can sign for that computer and for "
    "names of private networks. Remove it when you no longer need it.</p>\n"
    "</body>\n</html>\n";

static int send_bytes(struct shs_response *res, const char *type, const void *bytes, size_t len)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", type));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "X-Content-Type-Options", "nosniff"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Cache-Control", "no-cache"));
    SHS_RETURN_IF_ERROR(shs_send_length(res, len));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, bytes, len);
}

static int send_page(const struct serve_share_ca *self, struct shs_response *res)
{
    char page[PAGE_MAX], name[TRUST_NAME_MAX];
    int len;

    trust_name(self->local->fingerprint, name);
    len = snprintf(page, sizeof page, "%s%s%s%s%s", page_above, self->local->fingerprint,
                   page_below, name, page_end);
    if (len < 0 || (size_t)len >= sizeof page)
        return SHS_LIMIT;
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Content-Security-Policy", policy));
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Referrer-Policy", "no-referrer"));
    return send_bytes(res, "text/html; charset=utf-8", page, (size_t)len);
}

static int send_part(const struct serve_share_ca *self, struct shs_request *req,
                     struct shs_response *res)
{
    /* The type that phones offer to install. */
    static const char ca_type[] = "application/x-x509-ca-cert";
    struct shs_str path = shs_request_path(req);

    if (shs_str_is(path, "/ca.pem"))
        return send_bytes(res, ca_type, self->local->ca_pem, strlen(self->local->ca_pem));
    if (shs_str_is(path, "/ca.crt"))
        return send_bytes(res, ca_type, self->local->ca_der, self->local->ca_der_len);
    if (shs_str_is(shs_request_query(req), "style"))
        return send_bytes(res, "text/css; charset=utf-8", style, sizeof style - 1);
    return send_page(self, res);
}

static int answer(struct shs_request *req, struct shs_response *res)
{
    const struct serve_share_ca *self = shs_request_ctx(req);
    struct shs_str path = shs_request_path(req), method = shs_request_method(req);

    if (!shs_str_is(path, SERVE_SHARE_CA_PATH) && !shs_str_is(path, "/ca.pem") &&
        !shs_str_is(path, "/ca.crt"))
        return shs_handler_call(&self->inner, req, res);
    if (shs_str_is(method, "GET") || shs_str_is(method, "HEAD"))
        return send_part(self, req, res);
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Allow", "GET, HEAD"));
    return shs_send_page(res, 405, "This method is not allowed here.");
}

struct shs_http_handler serve_share_ca_handler(struct serve_share_ca *self,
                                               const struct shs_http_handler *inner,
                                               const struct shs_local_ca *local)
{
    self->inner = *inner;
    self->local = local;
    return (struct shs_http_handler){
        .name = inner->name, .do_HEAD = answer, .do_any = answer, .ctx = self};
}
