/* tok_trie.h - longest match among a fixed set of byte strings.
 *
 * A node is a range of the sorted strings; its children are found by binary search in the list of
 * edges, the root's by table. Built once from strings that outlive it.
 */
#ifndef CURLEW_TOKEN_TOK_TRIE_H
#define CURLEW_TOKEN_TOK_TRIE_H

#include "base/arena.h"

struct trie_key {
    struct str s;
    int32_t    id;
};

struct trie;

/* From n keys (reordered); of equal ones the lowest id stays. NULL when out of memory (temporary or
 * in a) or when they have more than INT32_MAX bytes. */
NODISCARD struct trie *trie_new(struct arena *a, struct trie_key *key, size_t n);

/* The node behind `node` (0: the root) by byte c, or 0. */
uint32_t trie_step(const struct trie *t, uint32_t node, unsigned char c);
int32_t  trie_id(const struct trie *t, uint32_t node); // -1: no key ends here

#endif
