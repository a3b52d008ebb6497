/*
 * keyed_hash.h - SipHash-1-3 (Aumasson and Bernstein): a table that strangers fill needs a hash
 * that they cannot steer.
 */
#ifndef SHS_KEYED_HASH_H
#define SHS_KEYED_HASH_H

#include "base/base.h"

/* Not a secret's digest: 64 bits are for places in a table. */
uint64_t shs__keyed_hash(const uint64_t key[2], const void *bytes, size_t len);

#endif
