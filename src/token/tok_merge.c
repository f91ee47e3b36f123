/* tok_merge.c - byte pair merging: byte-level BPE and sentencepiece's, one algorithm.
 *
 * A piece begins as symbols (bytes, or characters); of all neighbours that may merge, the pair of the
 * best priority merges, the leftmost of equals, until none may (Sennrich et al., arXiv:1508.07909).
 * BPE's priority is the merge's rank, sentencepiece's the score of the token that results.
 *
 * A piece can be as long as the text (8 MiB of spaces are one), and a heap of that size would miss
 * the cache at every step. Long pieces are therefore done in windows, exactly:
 *
 *   Call tokens a|b compatible when merging the bytes of a and b, alone, gives back a and b. A
 *   sequence is the right one for its bytes if and only if all its neighbours are compatible: take
 *   the first merge that would cross a border; until then both sides went through the same merges,
 *   in the same order, as in the pair alone (the best pair of the whole is the best of any part that
 *   holds it), so the pair alone would cross there too. Hence any part of a right sequence is right
 *   for its bytes, and two right sequences that share a token where they meet join to a right one.
 *
 *     window 1   t1 t2 t3 t4 t5 | ? ? ?       the tail may change with what follows: dropped
 *     window 2               t5 t6 t7 t8 | ?  begins with t5 again, so they join there
 *
 * Should a window not begin with the token it must, the piece starts over with larger windows; one
 * that covers the piece needs no joint. (The lemma is also in van Antwerpen and Neubeck, "So many
 * tokens, so little time", 2024.)
 */
#include "base/mem.h"
#include "base/utf8.h"
#include "token/tok_int.h"

#define WINDOW    256  // symbols
#define SMALL     24   // symbols up to which an array is best
#define ROUNDS_MAX 2048 // symbols up to which rounds are
#define NO_ID     (UINT32_MAX - 2) // a symbol that is no token
#define SYM_MAX   ((size_t)1 << 30) // a text of LIM_PROMPT_BYTES, grown by normalisation

struct sym {
    uint32_t at, len; // bytes; len 0: merged away
    uint32_t id;
};

/* Scores in descending order as ascending integers. */
static uint32_t score_rank(float score)
{
    uint32_t u;

    if (score == 0) score = 0; // -0 is 0
    memcpy(&u, &score, 4);
    u ^= u >> 31 ? UINT32_MAX : 0x80000000u;
    return ~u;
}

/* What the pair becomes and its priority; false when it may not merge. */
static bool pair_find(const struct enc *c, const struct sym *l, const struct sym *r, uint32_t *rank,
                      uint32_t *id)
{
    const struct tok *t = c->t;

    if (t->model == TOK_SPM) {
        size_t len = (size_t)l->len + r->len;
        if (len > t->len_max) return false;
        int32_t found = text_find(&t->by_bytes, t->spelt, c->text + l->at, len);
        if (found < 0) return false;
        *id   = (uint32_t)found;
        *rank = score_rank(t->score[found]);
        return true;
    }
    if (t->byte_level && l->len == 1 && r->len == 1) {
        uint64_t m = t->pair_first[(unsigned char)c->text[l->at] << 8 | (unsigned char)c->text[r->at]];
        *rank      = (uint32_t)(m >> 32);
        *id        = (uint32_t)m;
        return m != UINT64_MAX;
    }
    const struct merge_slot *m = merge_find(t, l->id, r->id);
    if (!m) return false;
    *rank = m->rank;
    *id   = m->id;
    return true;
}

/* The symbol that begins at `at`. */
static struct sym symbol(const struct enc *c, size_t at, size_t end)
{
    const struct tok *t = c->t;
    struct sym        s = { .at = (uint32_t)at, .len = 1 };
    uint32_t          cp;

    if (t->byte_level) {
        int32_t id = t->byte_id[(unsigned char)c->text[at]];
        s.id       = id < 0 ? NO_ID : (uint32_t)id;
        return s;
    }
    s.len      = (uint32_t)uni_next(c->text, at, end, &cp);
    int32_t id = text_find(&t->by_bytes, t->spelt, c->text + at, s.len);
    s.id       = id < 0 ? NO_ID : (uint32_t)id;
    return s;
}

/* A symbol's ids: itself, or its bytes, or unknown. */
static int emit(struct enc *c, const struct sym *s, struct err *e)
{
    const struct tok *t     = c->t;
    bool              bytes = t->byte_fallback;

    if (s->id != NO_ID) {
        ids_put(c->out, (int32_t)s->id);
        c->unk_open = false;
        return 0;
    }
    for (uint32_t i = 0; i < s->len && bytes; i++)
        bytes = t->byte_id[(unsigned char)c->text[s->at + i]] >= 0;
    if (bytes) {
        for (uint32_t i = 0; i < s->len; i++)
            ids_put(c->out, t->byte_id[(unsigned char)c->text[s->at + i]]);
        c->unk_open = false;
        return 0;
    }
    if (t->unk < 0) {
        char q[32];
        return err_set(e, ERR_INVALID_VALUE, "the vocabulary has no token for \"%s\", and none for unknown text",
                       str_quote(q, sizeof q - 8, (struct str){ c->text + s->at, s->len }));
    }
    if (!(c->unk_open && t->fuse_unk)) ids_put(c->out, t->unk);
    c->unk_open = c->unk_seen = true;
    return 0;
}

/* --- few symbols: look at all pairs each time --- */

static int merge_small(struct enc *c, struct sym *s, int n, struct err *e)
{
    uint32_t rank[SMALL], id[SMALL];

    for (int i = 0; i + 1 < n; i++)
        if (!pair_find(c, &s[i], &s[i + 1], &rank[i], &id[i])) rank[i] = UINT32_MAX;
    while (n > 1) {
        int best = 0;
        for (int i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == UINT32_MAX) break;
        s[best].len += s[best + 1].len;
        s[best].id = id[best];
        n--;
        for (int i = best + 1; i < n; i++) {
            s[i]    = s[i + 1];
            rank[i] = rank[i + 1];
            id[i]   = id[i + 1];
        }
        if (best + 1 < n) {
            if (!pair_find(c, &s[best], &s[best + 1], &rank[best], &id[best])) rank[best] = UINT32_MAX;
        }
        if (best > 0 && !pair_find(c, &s[best - 1], &s[best], &rank[best - 1], &id[best - 1]))
            rank[best - 1] = UINT32_MAX;
        c->work++;
    }
    for (int i = 0; i < n; i++) {
        int rc = emit(c, &s[i], e);
        if (rc < 0) return rc;
    }
    return 0;
}

/* --- a window: symbols keep their places, a list links those alive --- */

/* What a window's pair becomes stands at its left symbol: rank UINT32_MAX where it may not merge. */
struct slot {
    struct sym s;
    int32_t    prev, next; // -1: none
    uint32_t   to;
};

static void pair_at(struct enc *c, int32_t l)
{
    struct slot *a = &c->slot[l];

    c->rank[l] = UINT32_MAX;
    if (a->next >= 0 && !pair_find(c, &a->s, &c->slot[a->next].s, &c->rank[l], &a->to))
        c->rank[l] = UINT32_MAX;
}

/* Merge the pair at l. */
static void merge_at(struct enc *c, int32_t l)
{
    struct slot *a = &c->slot[l], *b = &c->slot[a->next];

    a->s.len += b->s.len;
    a->s.id          = a->to;
    b->s.len         = 0;
    c->rank[a->next] = UINT32_MAX;
    a->next          = b->next;
    if (a->next >= 0) c->slot[a->next].prev = l;
    pair_at(c, l);
    if (a->prev >= 0) pair_at(c, a->prev);
    c->work++;
}

/* Merge all pairs of rank `best`, the lowest, from the left, until one appears that goes before the
 * next of them; the lowest rank then, or UINT32_MAX when it is not known. */
static uint32_t merge_round(struct enc *c, int32_t n, uint32_t best)
{
    for (int32_t i = 0; i < n; i++) {
        if (c->rank[i] != best) continue;
        merge_at(c, i);
        int32_t  p   = c->slot[i].prev;
        uint32_t low = p >= 0 && c->rank[p] < c->rank[i] ? c->rank[p] : c->rank[i];
        if (low <= best) return low;
    }
    return UINT32_MAX;
}

/* Text that repeats itself has few ranks, and short texts end soon: rounds over all places then cost
 * less than a heap's jumps. */
static void merge_rounds(struct enc *c, int32_t n)
{
    for (uint32_t best = UINT32_MAX;;) {
        if (best == UINT32_MAX)
            for (int32_t i = 0; i < n; i++) best = c->rank[i] < best ? c->rank[i] : best;
        if (best == UINT32_MAX) return;
        best = merge_round(c, n, best);
    }
}

static void sift_down(uint64_t *h, size_t n, size_t i)
{
    uint64_t x = h[i];

    for (size_t k; (k = 2 * i + 1) < n; i = k) {
        if (k + 1 < n && h[k + 1] < h[k]) k++;
        if (x <= h[k]) break;
        h[i] = h[k];
    }
    h[i] = x;
}

/* rank << 32 | left place: the smallest goes first. An entry is stale when its place has another rank
 * by now; a place that got the same rank again has two entries, and the second is stale or right. */
static void push(struct enc *c, size_t *n, int32_t left)
{
    uint64_t x = (uint64_t)c->rank[left] << 32 | (uint32_t)left;
    size_t   i = *n;

    if (c->rank[left] == UINT32_MAX) return;
    ++*n;
    for (; i && x < c->heap[(i - 1) / 2]; i = (i - 1) / 2) c->heap[i] = c->heap[(i - 1) / 2];
    c->heap[i] = x;
}

static int merge_heap(struct enc *c, int32_t n, struct err *e)
{
    size_t m = 0;

    /* A merge takes one entry away and adds two at most: fewer than twice the symbols at any time. */
    if (mem_grow(&c->heap, &c->heap_cap, (size_t)n * 2, sizeof *c->heap, 2 * SYM_MAX) < 0)
        return err_nomem(e, "tokenising");
    for (int32_t i = 0; i < n; i++) push(c, &m, i);
    while (m) {
        uint64_t x    = c->heap[0];
        int32_t  left = (int32_t)(uint32_t)x;
        c->heap[0]    = c->heap[--m];
        if (m) sift_down(c->heap, m, 0);
        c->work++;
        if (c->rank[left] != x >> 32) continue;
        merge_at(c, left);
        if (c->slot[left].prev >= 0) push(c, &m, c->slot[left].prev);
        push(c, &m, left);
    }
    return 0;
}

/* Merge the symbols from `at` on, at most `max` of them; *stop is where the last one ends. */
static int merge_window(struct enc *c, size_t at, size_t end, size_t max, size_t *stop, struct err *e)
{
    int32_t n = 0;

    if (max > end - at) max = end - at;
    if (mem_grow(&c->slot, &c->slot_cap, max, sizeof *c->slot, SYM_MAX) < 0 ||
        mem_grow(&c->rank, &c->rank_cap, max, sizeof *c->rank, SYM_MAX) < 0)
        return err_nomem(e, "tokenising");
    for (; (size_t)n < max && at < end; n++) {
        c->slot[n] = (struct slot){ .s = symbol(c, at, end), .prev = n - 1, .next = n + 1 };
        at += c->slot[n].s.len;
    }
    c->slot[n - 1].next = -1;
    *stop               = at;
    for (int32_t i = 0; i < n; i++) pair_at(c, i);
    c->work += (uint64_t)n;
    if ((size_t)n > ROUNDS_MAX) return merge_heap(c, n, e);
    merge_rounds(c, n);
    return 0;
}

/* All of [at, end) in windows of `max` symbols. 1: done, 0: a joint did not hold. */
static int merge_windows(struct enc *c, size_t at, size_t end, size_t max, struct err *e)
{
    uint32_t join_id = NO_ID, join_len = 0; // the token the next window must begin with

    for (;;) {
        size_t stop = at;
        int    rc   = merge_window(c, at, end, max, &stop, e);
        if (rc < 0) return rc;
        const struct sym *first = &c->slot[0].s;
        if (join_len && (first->len != join_len || first->id != join_id)) return 0;
        size_t  limit = stop == end ? end : at + (stop - at) * 3 / 4;
        int32_t last  = -1;
        for (int32_t i = join_len ? c->slot[0].next : 0; i >= 0; i = c->slot[i].next) {
            const struct sym *s = &c->slot[i].s;
            if (s->at + s->len > limit) break;
            if ((rc = emit(c, s, e)) < 0) return rc;
            last = i;
        }
        if (stop == end) return 1;
        if (last < 0) return 0; // a token of half a window: no progress
        at       = c->slot[last].s.at;
        join_len = c->slot[last].s.len;
        join_id  = c->slot[last].s.id;
    }
}

int merge_piece(struct enc *c, size_t at, size_t end, struct err *e)
{
    struct sym s[SMALL];
    int        n = 0;
    size_t     i = at;

    bool open = c->unk_open && c->t->model == TOK_SPM; // one text, whatever its cuts

    c->unk_open = open;
    for (; i < end && n < SMALL; n++) {
        s[n] = symbol(c, i, end);
        i += s[n].len;
    }
    c->work += (uint64_t)n;
    if (i == end) return merge_small(c, s, n, e);
    size_t mark = c->out->n;
    for (size_t max = WINDOW;; max *= 8) {
        int rc = merge_windows(c, at, end, max, e);
        if (rc) return rc < 0 ? rc : 0;
        c->out->n   = mark;
        c->unk_open = open;
    }
}
