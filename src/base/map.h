/* map.h - a hash map from byte strings to pointers, safe against chosen keys (SipHash-1-3 with a
 * random key: Aumasson and Bernstein, "SipHash", 2012). Not thread-safe. */
#ifndef CURLEW_BASE_MAP_H
#define CURLEW_BASE_MAP_H

#include "base/str.h"

struct map_slot;

struct map {
    struct map_slot *slot;
    size_t           cap; // power of two, or 0
    size_t           n;
    size_t           max;
    uint64_t         key[2];
};

void map_init(struct map *m, size_t n_max); // allocates nothing yet
void map_release(struct map *m);            // NULL is fine

/* Keys are borrowed and must live as long as their entry; values are the caller's, not NULL. */
NODISCARD int map_put(struct map *m, struct str key, void *val); // replaces; 0, -ERR_NO_MEMORY, -ERR_TOO_LARGE
void *map_get(const struct map *m, struct str key);              // NULL when absent
void *map_del(struct map *m, struct str key);                    // the value it had, or NULL
/* Entry by entry: *it starts at 0. False at the end. Deleting the entry just returned is allowed
 * only by starting again. */
bool  map_next(const struct map *m, size_t *it, struct str *key, void **val);

/* The keyed hash itself, for tables of other shapes. */
uint64_t map_hash(const uint64_t key[2], struct str s);

#endif
