#include "tls/openssl.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/base.h"

/* More than it needs to set itself up: 3.5 some 120 KiB, with its configuration. */
#define ENOUGH ((size_t)512 * 1024)

bool shs__openssl_ready(void)
{
    /* Without memory OpenSSL 3.5 waits for itself for ever at its first lock of all, and ends the
       process where a thread reads its configuration for the first time. */
    void *probe = shs__malloc(ENOUGH);
    bool ready = probe != NULL;

    shs__free(probe);
    if (!ready)
        return false;
    /* The second is what it looks algorithms up in: it is made at the first use of it. */
    ready = OPENSSL_init_ssl(0, NULL) == 1 && OSSL_LIB_CTX_get0_global_default() != NULL;
    if (!ready)
        ERR_clear_error();
    return ready;
}

const char *shs__openssl_modules(void)
{
    return OPENSSL_info(OPENSSL_INFO_MODULES_DIR);
}
