#include "handler/client_key.h"

#include <arpa/inet.h>

#include <shs/forwarded.h>

#include "base/keyed_hash.h"

uint64_t shs__client_key(const uint64_t key[2], const struct shs_request *req)
{
    const char *host = shs_request_conn(req) == NULL ? NULL : shs_request_client_host(req);
    char plain[INET6_ADDRSTRLEN];
    struct in6_addr address;
    size_t len;

    if (host == NULL)
        return 0;
    len = strcspn(host, "%"); /* without the zone */
    if (len < sizeof plain) {
        memcpy(plain, host, len);
        plain[len] = '\0';
        if (inet_pton(AF_INET6, plain, &address) == 1)
            return shs__keyed_hash(key, &address,
                                   IN6_IS_ADDR_V4MAPPED(&address) ? sizeof address : 8);
    }
    return shs__keyed_hash(key, host, len);
}
