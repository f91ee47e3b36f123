/* rng.c - seeded and system random numbers. */
#include "base/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

void rng_seed(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        r->s[i] = z ^ z >> 31;
    }
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t *s   = r->s;
    uint64_t  ret = rotl(s[0] + s[3], 23) + s[0];
    uint64_t  t   = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return ret;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    uint64_t floor = (0 - n) % n; // 2^64 mod n: values below it would be counted once too often

    for (;;) {
        uint64_t x = rng_u64(r);
        if (x >= floor) return x % n;
    }
}

double rng_f64(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

void rng_system(void *dst, size_t n)
{
    char *p = dst;

    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno != EINTR) abort();
        if (got > 0) {
            p += got;
            n -= (size_t)got;
        }
    }
}

uint64_t rng_system_u64(void)
{
    uint64_t v;

    rng_system(&v, sizeof v);
    return v;
}
