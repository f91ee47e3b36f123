/* mem.c - the heap, with a failure switch for tests. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static _Atomic uint64_t n_alloc;
static _Atomic uint64_t fail_at; // value of n_alloc that fails, 0 for none

static int counted_ok(void)
{
    uint64_t n = atomic_fetch_add_explicit(&n_alloc, 1, memory_order_relaxed) + 1;
    return n != atomic_load_explicit(&fail_at, memory_order_relaxed);
}

void *mem_alloc(size_t size)
{
    return counted_ok() ? malloc(size ? size : 1) : NULL;
}

void *mem_zalloc(size_t size)
{
    return counted_ok() ? calloc(1, size ? size : 1) : NULL;
}

void *mem_array(size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total)) return NULL;
    return mem_zalloc(total);
}

void *mem_realloc(void *p, size_t size)
{
    return counted_ok() ? realloc(p, size ? size : 1) : NULL;
}

void mem_free(void *p)
{
    free(p);
}

int mem_grow(void *p_ptr, size_t *cap, size_t need, size_t size, size_t max)
{
    if (need <= *cap) return 0;
    if (need > max) return -ERR_TOO_LARGE;

    size_t want = *cap + *cap / 2;
    if (want < 8) want = 8;
    if (want < need) want = need;
    if (want > max) want = max;

    size_t bytes;
    if (__builtin_mul_overflow(want, size, &bytes)) return -ERR_NO_MEMORY;

    void *old;
    memcpy(&old, p_ptr, sizeof old);
    void *p = mem_realloc(old, bytes);
    if (!p) return -ERR_NO_MEMORY;
    memcpy(p_ptr, &p, sizeof p);
    *cap = want;
    return 0;
}

void mem_fail_at(uint64_t n)
{
    uint64_t now = atomic_load_explicit(&n_alloc, memory_order_relaxed);
    atomic_store_explicit(&fail_at, n ? now + n : 0, memory_order_relaxed);
}

uint64_t mem_count(void)
{
    return atomic_load_explicit(&n_alloc, memory_order_relaxed);
}
