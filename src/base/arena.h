/* arena.h - memory that is freed all at once.
 *
 * Three lifetimes, three arenas: a model's (load to unload), a request's (first byte in to last byte
 * out), a step's (one forward pass). A function that allocates its result takes the arena it
 * allocates from, and the result lives as long as that arena. Not thread-safe.
 */
#ifndef CURLEW_BASE_ARENA_H
#define CURLEW_BASE_ARENA_H

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *head;      // newest block
    size_t              used;      // bytes handed out since init or clear, padding included
    size_t              bytes_max; // ceiling of `used`
};

/* An arena that hands out at most bytes_max bytes. Allocates nothing yet. */
void arena_init(struct arena *a, size_t bytes_max);
/* Free all. The arena may be used again. NULL is fine. */
void arena_release(struct arena *a);
/* Forget all but keep the largest block: ready again without malloc. */
void arena_clear(struct arena *a);

/* 16-byte aligned; NULL when out of memory or over the ceiling. */
NODISCARD void *arena_alloc(struct arena *a, size_t size);               // uninitialised
NODISCARD void *arena_zalloc(struct arena *a, size_t size);              // zeroed
NODISCARD void *arena_array(struct arena *a, size_t n, size_t size);     // zeroed, product checked

/* A copy of s with a NUL after it (not counted in n). p is NULL on failure. */
NODISCARD struct str arena_str(struct arena *a, struct str s);
/* Formatted text, NUL-terminated, or p NULL on failure. */
NODISCARD struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
