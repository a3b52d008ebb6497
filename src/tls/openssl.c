#include "tls/openssl.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

bool shs__openssl_ready(void)
{
    /* The second is what it looks algorithms up in: it is made at the first use of it. */
    bool ready = OPENSSL_init_ssl(0, NULL) == 1 && OSSL_LIB_CTX_get0_global_default() != NULL;

    if (!ready)
        ERR_clear_error();
    return ready;
}
