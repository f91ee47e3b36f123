/* mem.h - the one door to the heap.
 *
 * Everything allocates through here so that a test can make any allocation fail (mem_fail_at) and
 * count them (mem_count). Failing returns NULL; sizes are products checked for overflow.
 */
#ifndef CURLEW_BASE_MEM_H
#define CURLEW_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/cc.h"

NODISCARD void *mem_alloc(size_t size);               // uninitialised
NODISCARD void *mem_zalloc(size_t size);              // zeroed
NODISCARD void *mem_array(size_t n, size_t size);     // zeroed, n * size checked
NODISCARD void *mem_realloc(void *p, size_t size);    // p stays valid on failure
void            mem_free(void *p);                    // NULL is fine

/* Make room for `need` elements in the array *p of *cap elements of `size` bytes, growing by half
 * as much again, never above `max` elements. Returns 0, or -ERR_NO_MEMORY / -ERR_TOO_LARGE with
 * everything unchanged. */
NODISCARD int mem_grow(void *p_ptr, size_t *cap, size_t need, size_t size, size_t max);

/* For tests, process-wide: let the n-th allocation from now (1 = the next) fail, 0 for none; and the
 * number of allocations (growths included) since start. Thread-safe. */
void     mem_fail_at(uint64_t n);
uint64_t mem_count(void);

#endif
