/* cert_revoke.c - `shs cert crl` and `shs cert ocsp`. */
#include <stdio.h>
#include <time.h>

#include "certs/look.h"
#include "cmd/cert.h"

/* -- crl --------------------------------------------------------------------------------------- */

static const char crl_about[] =
    "usage: shs cert crl --ca CA [--revoke WHAT]... [OPTION]...\n"
    "\n"
    "Makes a certificate revocation list of an authority, made and signed each time: name all "
    "that\n"
    "is revoked. WHAT is a certificate's file or a serial number in hexadecimal, and may have\n"
    "=REASON after it: keyCompromise CACompromise affiliationChanged superseded\n"
    "cessationOfOperation certificateHold removeFromCRL.\n";

static int read_serial(char **out, const char *place, const char *text, size_t len,
                       const struct shs_ca *ca)
{
    struct shs_error err = {.code = SHS_OK};
    size_t ca_len = 0;
    const void *ca_der = shs_ca_der(ca, &ca_len);

    if (shs__look_serial(out, text, len, ca_der, ca_len, &err) == SHS_OK)
        return CMD_OK;
    return cmd_fail(err.code == SHS_USAGE ? CMD_USAGE : CMD_FAILED, "%s: %s", place, err.text);
}

/* Revokes "WHAT=REASON". */
static int revoke(struct shs_ca *ca, const char *what)
{
    struct shs_error err = {.code = SHS_OK};
    const char *reason = strrchr(what, '=');
    char *place = reason == NULL ? shs__strdup(what) : shs__strndup(what, (size_t)(reason - what));
    char *text = NULL, *serial = NULL;
    size_t len = 0;
    int code = CMD_OK;

    if (place == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    if (place[0] != '\0' && place[strspn(place, "-0123456789abcdefABCDEF")] == '\0') {
        serial = shs__strdup(place);
    } else {
        code = cert_read(place, &text, &len);
        if (code == CMD_OK)
            code = read_serial(&serial, place, text, len, ca);
    }
    if (code == CMD_OK &&
        shs_ca_revoke(ca, serial, reason == NULL ? NULL : reason + 1, NULL, &err) != SHS_OK)
        code = cert_fail(&err);
    shs_bytes_free(text, len);
    shs__free(serial);
    shs__free(place);
    return code;
}

int cert_crl(int argc, char **argv)
{
    static struct flag_list revoked, operands;
    struct shs_crl_options o = {.size = sizeof o};
    const char *ca_path = NULL, *signer_path = NULL, *out = NULL;
    bool force = false;
    const struct flag flags[] = {
        {"ca", FLAG_TEXT, &ca_path, "CA",
         "whose list it is: a directory with ca.pem and ca.key,\nor a file"},
        {"revoke", FLAG_LIST, &revoked, "WHAT", "may be repeated"},
        {"out", FLAG_TEXT, &out, "FILE", "where it goes (standard output)"},
        {"der", FLAG_SET, &o.der, NULL, "DER instead of PEM"},
        {"this-update", FLAG_TEXT, &o.this_update, "DATE", "as for 'cert new' (-1h)"},
        {"next-update", FLAG_TEXT, &o.next_update, "DATE", "(+30d); none: not said"},
        {"number", FLAG_TEXT, &o.number, "NUMBER", "(1); none: not said"},
        {"delta-base", FLAG_TEXT, &o.delta_base, "NUMBER", "a delta to the list of that number"},
        {"idp", FLAG_TEXT, &o.idp, "TEXT",
         "issuingDistributionPoint in OpenSSL's words, such as\nonlyuser:TRUE"},
        {"digest", FLAG_TEXT, &o.digest, "NAME", "sha256 (default) sha384 sha512 sha224 sha1 md5"},
        {"signer", FLAG_TEXT, &signer_path, "CA", "who signs instead, under the authority's name"},
        {"force", FLAG_SET, &force, NULL, "replace a file that is there"},
    };
    struct shs_error err = {.code = SHS_OK};
    struct shs_ca *ca = NULL, *signer = NULL;
    void *bytes = NULL;
    size_t len = 0;
    int code;

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 0, crl_about, NULL, &code))
        return code;
    if (ca_path == NULL)
        return cmd_fail(CMD_USAGE, "shs cert crl needs --ca");
    code = cert_load_ca(&ca, ca_path);
    if (code == CMD_OK && signer_path != NULL)
        code = cert_load_ca(&signer, signer_path);
    for (size_t i = 0; code == CMD_OK && i < revoked.count; i++)
        code = revoke(ca, revoked.items[i]);
    o.signer = signer;
    if (code == CMD_OK && shs_ca_crl(ca, &o, &bytes, &len, &err) != SHS_OK)
        code = cert_fail(&err);
    if (code == CMD_OK)
        code = cert_write(out, bytes, len, 0644, force);
    shs_bytes_free(bytes, len);
    shs_ca_free(ca);
    shs_ca_free(signer);
    return code;
}

/* -- ocsp -------------------------------------------------------------------------------------- */

static const char ocsp_about[] =
    "usage: shs cert ocsp --ca CA FILE [OPTION]...\n"
    "\n"
    "Makes the OCSP response (DER) about the certificate in FILE, as a server staples it\n"
    "('shs serve --ocsp').\n";

/* "expired" is a good answer that was good for a week, a while ago. */
static void apply_expired(struct shs_ocsp_options *o)
{
    if (o->status == NULL || strcmp(o->status, "expired") != 0)
        return;
    o->status = "good";
    if (o->this_update == NULL)
        o->this_update = "-20d";
    if (o->next_update == NULL)
        o->next_update = "-13d";
}

static int find_serial(const char *file, const char *serial, const struct shs_ca *ca, char **out)
{
    char *text = NULL;
    size_t len = 0;
    int code = CMD_OK;

    if (serial != NULL) {
        *out = shs__strdup(serial);
        return *out != NULL ? CMD_OK : cmd_fail(CMD_FAILED, "out of memory");
    }
    code = cert_read(file, &text, &len);
    if (code == CMD_OK)
        code = read_serial(out, file, text, len, ca);
    shs_bytes_free(text, len);
    return code;
}

int cert_ocsp(int argc, char **argv)
{
    static struct flag_list operands;
    struct shs_ocsp_options o = {.size = sizeof o};
    const char *ca_path = NULL, *signer_path = NULL, *responder_path = NULL, *out = NULL;
    const char *serial_text = NULL;
    bool force = false;
    const struct flag flags[] = {
        {"ca", FLAG_TEXT, &ca_path, "CA",
         "who issued it: a directory with ca.pem and ca.key,\nor a file"},
        {"serial", FLAG_TEXT, &serial_text, "HEX", "its serial number, instead of FILE"},
        {"status", FLAG_TEXT, &o.status, "STATUS",
         "good (default) revoked unknown expired; or no answer:\nmalformedRequest internalError "
         "tryLater sigRequired\nunauthorized"},
        {"reason", FLAG_TEXT, &o.reason, "REASON", "of a revocation, as for 'cert crl'"},
        {"this-update", FLAG_TEXT, &o.this_update, "DATE", "as for 'cert new' (-1h)"},
        {"next-update", FLAG_TEXT, &o.next_update, "DATE", "(+7d); none: not said"},
        {"signer", FLAG_TEXT, &signer_path, "CA", "an authority that signs it instead"},
        {"responder", FLAG_TEXT, &responder_path, "CERT",
         "a certificate that signs it and is sent along:\nFILE.pem with FILE.key beside it"},
        {"digest", FLAG_TEXT, &o.digest, "NAME", "sha256 (default) sha384 sha512 sha224 sha1 md5"},
        {"out", FLAG_TEXT, &out, "FILE", "where it goes (standard output)"},
        {"force", FLAG_SET, &force, NULL, "replace a file that is there"},
    };
    struct shs_error err = {.code = SHS_OK};
    struct shs_ca *ca = NULL, *signer = NULL;
    struct shs_issued_cert *responder = NULL;
    char *serial = NULL;
    void *bytes = NULL;
    size_t len = 0;
    int code;

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 1, ocsp_about, NULL,
                     &code))
        return code;
    if (ca_path == NULL)
        return cmd_fail(CMD_USAGE, "shs cert ocsp needs --ca");
    if ((operands.count == 0) == (serial_text == NULL))
        return cmd_fail(CMD_USAGE,
                        "shs cert ocsp needs a certificate's file or --serial, and not both");
    if (o.reason != NULL && (o.status == NULL || strcmp(o.status, "revoked") != 0))
        return cmd_fail(CMD_USAGE, "--reason goes with --status revoked");
    apply_expired(&o);
    code = cert_load_ca(&ca, ca_path);
    if (code == CMD_OK && signer_path != NULL)
        code = cert_load_ca(&signer, signer_path);
    if (code == CMD_OK && responder_path != NULL)
        code = cert_load_issued(&responder, responder_path);
    if (code == CMD_OK)
        code = find_serial(operands.items[0], serial_text, ca, &serial);
    o.signer = signer;
    o.responder = responder;
    if (code == CMD_OK && shs_ca_ocsp_serial(ca, serial, &o, &bytes, &len, &err) != SHS_OK)
        code = cert_fail(&err);
    if (code == CMD_OK)
        code = cert_write(out, bytes, len, 0644, force);
    shs_bytes_free(bytes, len);
    shs__free(serial);
    shs_issued_cert_free(responder);
    shs_ca_free(ca);
    shs_ca_free(signer);
    return code;
}
