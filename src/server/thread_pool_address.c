/*
 * thread_pool_address.c - how many connections one address has open.
 *
 * Only kept when opt.max_connections_per_address sets a bound for it. An IPv6 client owns the
 * lower half of its address, so a /64 counts as one.
 */
#include <arpa/inet.h>
#include <limits.h>
#include <sys/random.h>

#include "server/thread_pool.h"

#define BUCKETS 4096u

struct address {
    struct address *next;
    uint64_t key[2];
    unsigned count;
};

struct shs_pool_addresses {
    pthread_mutex_t lock;
    uint64_t seed; /* so that nobody can choose addresses that share a bucket */
    struct address *buckets[BUCKETS];
};

/* False: a peer without an address, as on a Unix socket. */
static bool key_of(const struct shs_conn *conn, uint64_t key[2])
{
    key[0] = key[1] = 0;
    switch (conn->client.sa.sa_family) {
    case AF_INET:
        memcpy(&key[1], &conn->client.in.sin_addr, sizeof conn->client.in.sin_addr);
        return true;
    case AF_INET6:
        memcpy(&key[0], &conn->client.in6.sin6_addr, sizeof key[0]);
        if (IN6_IS_ADDR_V4MAPPED(&conn->client.in6.sin6_addr))
            memcpy(&key[1], &conn->client.in6.sin6_addr.s6_addr[12], 4);
        return true;
    default:
        return false;
    }
}

static struct address **bucket_of(struct shs_pool_addresses *self, const uint64_t key[2])
{
    uint64_t h = (key[0] ^ self->seed) * 0x9e3779b97f4a7c15u;

    h = (h ^ h >> 32 ^ key[1]) * 0xd6e8feb86659fd93u;
    return &self->buckets[(h ^ h >> 29) % BUCKETS];
}

/* With the lock: the link to the entry, or to the end. */
static struct address **find(struct shs_pool_addresses *self, const uint64_t key[2])
{
    struct address **at = bucket_of(self, key);

    while (*at != NULL && ((*at)->key[0] != key[0] || (*at)->key[1] != key[1]))
        at = &(*at)->next;
    return at;
}

/* -- the default bound ------------------------------------------------------------------------- */

/* Of max_connections one address has a quarter; where there are few, not less than this. */
#define SHARE 4u
#define SHARE_LEAST 64u

static bool is_near_v4(uint32_t a)
{
    return a >> 24 == 127 || a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 ||
           a >> 16 == 0xa9fe;
}

/*
 * Loopback, link-local and private addresses (RFC 1918, RFC 4193): a proxy is there, and behind it
 * are all the clients. One that is elsewhere wants a bound of its own.
 */
static bool is_near(const struct shs_conn *conn)
{
    const struct in6_addr *a = &conn->client.in6.sin6_addr;

    if (conn->client.sa.sa_family == AF_INET)
        return is_near_v4(ntohl(conn->client.in.sin_addr.s_addr));
    if (conn->client.sa.sa_family != AF_INET6)
        return true; /* a Unix socket has no addresses */
    if (IN6_IS_ADDR_V4MAPPED(a))
        return is_near_v4(ntohl(a->s6_addr32[3]));
    return IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_LINKLOCAL(a) || (a->s6_addr[0] & 0xfe) == 0xfc;
}

unsigned shs__pool_address_bound(const struct shs_conn *conn)
{
    const struct shs_options *opt = &conn->server->opt;
    unsigned share = opt->max_connections / SHARE;

    if (opt->max_connections_per_address != SHS_ADDRESS_SHARE)
        return opt->max_connections_per_address;
    if (is_near(conn))
        return UINT_MAX;
    return share > SHARE_LEAST ? share : SHARE_LEAST;
}

struct shs_pool_addresses *shs__pool_addresses_new(void)
{
    struct shs_pool_addresses *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return NULL;
    if (getrandom(&self->seed, sizeof self->seed, 0) != (ssize_t)sizeof self->seed)
        self->seed = (uint64_t)shs_now_ns();
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

void shs__pool_addresses_free(struct shs_pool_addresses *self)
{
    if (self == NULL)
        return;
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (self->buckets[i] != NULL) {
            struct address *next = self->buckets[i]->next;

            shs__free(self->buckets[i]);
            self->buckets[i] = next;
        }
    }
    pthread_mutex_destroy(&self->lock);
    shs__free(self);
}

int shs__pool_addresses_add(struct shs_pool_addresses *self, const struct shs_conn *conn,
                            unsigned max)
{
    uint64_t key[2];
    struct address **at;
    int rc = SHS_OK;

    if (!key_of(conn, key))
        return SHS_OK;
    pthread_mutex_lock(&self->lock);
    at = find(self, key);
    if (*at == NULL) {
        *at = shs__calloc(1, sizeof **at);
        if (*at != NULL)
            memcpy((*at)->key, key, sizeof key);
        else
            rc = SHS_NOMEM;
    }
    if (rc == SHS_OK && (*at)->count >= max)
        rc = SHS_LIMIT;
    if (rc == SHS_OK)
        (*at)->count++;
    pthread_mutex_unlock(&self->lock);
    return rc;
}

void shs__pool_addresses_remove(struct shs_pool_addresses *self, const struct shs_conn *conn)
{
    uint64_t key[2];
    struct address **at;

    if (!key_of(conn, key))
        return;
    pthread_mutex_lock(&self->lock);
    at = find(self, key);
    if (*at != NULL && --(*at)->count == 0) {
        struct address *gone = *at;

        *at = gone->next;
        shs__free(gone);
    }
    pthread_mutex_unlock(&self->lock);
}
