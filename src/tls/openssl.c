#include "tls/openssl.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/base.h"

/* More than it needs to set itself up. */
#define ENOUGH ((size_t)64 * 1024)

bool shs__openssl_ready(void)
{
    /* OpenSSL 3.5 waits for itself for ever when its first lock of all finds no memory. */
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
