/* rng.h - random numbers: reproducible ones from a seed, and real ones from the system. */
#ifndef CURLEW_BASE_RNG_H
#define CURLEW_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* xoshiro256++ (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2021),
 * seeded through splitmix64. The same seed gives the same numbers on every machine. */
struct rng {
    uint64_t s[4];
};

void     rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
/* 0 <= x < n without bias; n > 0. */
uint64_t rng_below(struct rng *r, uint64_t n);
/* 0 <= x < 1, 53 random bits. */
double   rng_f64(struct rng *r);

/* Bytes from getrandom(2). Cannot fail: a system without randomness aborts the process. */
void     rng_system(void *dst, size_t n);
uint64_t rng_system_u64(void);

#endif
