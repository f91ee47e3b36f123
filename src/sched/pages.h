/* pages.h - KV pages: who holds them, and what known text they contain.
 *
 * A page holds the keys and values of page_tok consecutive positions. It is free, or held by one or
 * more sequences, or held by none but remembered because it is the continuation of a known prefix.
 *
 * Known pages form a trie: a page is found by its parent (the page before it, or the tenant's salt
 * for the first) and its own tokens. A parent is named by a serial number given when its content
 * became known and never reused, and the tokens themselves are compared: equal hashes cannot show
 * one request's text to another.
 *
 * Whoever holds a page holds its parents, and a sequence lets go of its last page first. So a
 * parent is never forgotten before its children, and no page is remembered that cannot be found.
 */
#ifndef CURLEW_SCHED_PAGES_H
#define CURLEW_SCHED_PAGES_H

#include <stdint.h>

#include "base/err.h"

struct pages;

NODISCARD int pages_new(int n_page, int page_tok, struct pages **ret, struct err *e);
void          pages_free(struct pages *p); // NULL is fine

/* A page for writing, held once: a free one, else the least recently used of the remembered. -1:
 * all are held. */
int32_t pages_take(struct pages *p);
void    pages_drop(struct pages *p, int32_t page); // hold it once less
/* How many times pages_take would succeed. */
int     pages_avail(const struct pages *p);

/* The place of a page in the trie: what came before it. */
struct pages_link {
    bool     first; // position 0
    uint64_t up;    // the salt when first, else pages_serial of the page before
};

/* The known page with these page_tok tokens, now held once more, or -1. */
int32_t pages_find(struct pages *p, struct pages_link at, const int32_t *tok);
/* A held page is full and computed: make it known. Returns the page itself, or another one with the
 * same content that was known already: then that one is held instead and this one is free. */
int32_t pages_publish(struct pages *p, int32_t page, struct pages_link at, const int32_t *tok);
/* Serial number of a known page; 0 when its content is not known. */
uint64_t pages_serial(const struct pages *p, int32_t page);
int      pages_refs(const struct pages *p, int32_t page);

struct pages_stats {
    int n_free, n_cached, n_used;
};
void pages_stats(const struct pages *p, struct pages_stats *ret);

/* All lists, counts and the trie are consistent, and page i is held exactly refs[i] times. */
bool pages_check(const struct pages *p, const int *refs);

#endif
