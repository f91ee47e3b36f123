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
 *
 * Window pages are a second kind, with numbers of their own: they hold the same positions for the layers of a
 * model that attend to the last few positions only. A sequence holds those of its window and lets go of older
 * ones. A window page may be known with one known page, then it has that page's positions after that page's
 * prefix. It is forgotten before that page, or with it, and found through it: a known page may have none.
 */
#ifndef CURLEW_SCHED_PAGES_H
#define CURLEW_SCHED_PAGES_H

#include <stdint.h>

#include "base/err.h"

struct pages;

/* n_win: window pages, 0: none are used. */
NODISCARD int pages_new(int n_page, int n_win, int page_tok, struct pages **ret, struct err *e);
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

/* Window pages, in the same way. */
int32_t pages_win_take(struct pages *p);
void    pages_win_drop(struct pages *p, int32_t win);
int     pages_win_avail(const struct pages *p);
/* A known page has a window page. */
bool    pages_win_known(const struct pages *p, int32_t page);
/* That one, now held once more. */
int32_t pages_win_hold(struct pages *p, int32_t page);
/* A held window page is as full and computed as this held known page: make it known with it. Returns the one to
 * hold from now on, as pages_publish does. */
int32_t pages_win_publish(struct pages *p, int32_t page, int32_t win);
int     pages_win_refs(const struct pages *p, int32_t win);

struct pages_stats {
    int n_free, n_cached, n_used;
    int n_win_free, n_win_cached, n_win_used;
};
void pages_stats(const struct pages *p, struct pages_stats *ret);

/* All lists, counts and the trie are consistent, page i is held exactly refs[i] times and window page i
 * win_refs[i] times (NULL where there are none). */
bool pages_check(const struct pages *p, const int *refs, const int *win_refs);

#endif
