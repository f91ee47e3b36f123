/* stop.c - the automaton of stop.h.
 *
 * A trie of all sequences; each node also knows where to go on when the next byte does not fit
 * (`fail`: the longest proper tail of its path that is a path too) and which sequence ends here. The
 * depth of the state is exactly how many bytes must be held. Children are a list: a node has at most
 * LIM_STOPS of them, and beyond the root almost always one.
 */
#include "chat/stop.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

struct stop_node {
    int     child, next; // first child, next sibling; 0: none
    int     fail;
    int     depth;
    int     hit;         // sequence that ends here, or -1
    int     hit_n;       // its length
    uint8_t byte;
};

static int stop_child(const struct stop *s, int at, uint8_t byte)
{
    int k = s->node[at].child;

    while (k && s->node[k].byte != byte) k = s->node[k].next;
    return k;
}

static void stop_add(struct stop *s, struct str seq, int index)
{
    int at = 0;

    for (size_t i = 0; i < seq.n; i++) {
        int k = stop_child(s, at, (uint8_t)seq.p[i]);
        if (!k) {
            k = s->n_node++;
            s->node[k] = (struct stop_node){
                .byte = (uint8_t)seq.p[i], .depth = (int)i + 1, .hit = -1, .next = s->node[at].child
            };
            s->node[at].child = k;
        }
        at = k;
    }
    if (s->node[at].hit < 0) {
        s->node[at].hit = index;
        s->node[at].hit_n = (int)seq.n;
    }
}

static int stop_next(const struct stop *s, int at, uint8_t byte)
{
    for (;;) {
        int k = stop_child(s, at, byte);
        if (k || !at) return k;
        at = s->node[at].fail;
    }
}

/* Fail links, level by level: a node's link needs those of all shallower nodes. */
static void stop_link(struct stop *s, int *queue)
{
    int n = 0;

    for (int k = s->node[0].child; k; k = s->node[k].next) queue[n++] = k;
    for (int i = 0; i < n; i++) {
        struct stop_node *p = &s->node[queue[i]];
        if (p->hit < 0) { // the longest tail that is a sequence: the one that began first
            p->hit = s->node[p->fail].hit;
            p->hit_n = s->node[p->fail].hit_n;
        }
        for (int k = p->child; k; k = s->node[k].next) {
            s->node[k].fail = stop_next(s, p->fail, s->node[k].byte);
            queue[n++] = k;
        }
    }
}

int stop_init(struct stop *s, const struct str *seq, int n, struct err *e)
{
    size_t all = 1, longest = 0;

    memset(s, 0, sizeof *s);
    if (n < 0 || n > LIM_STOPS)
        return err_set(e, ERR_INVALID_VALUE, "%d stop sequences, the limit is %d", n, LIM_STOPS);
    for (int i = 0; i < n; i++) {
        if (seq[i].n == 0 || seq[i].n > LIM_STOP_BYTES)
            return err_set(e, ERR_INVALID_VALUE, "stop sequence %d has %zu bytes, not 1 to %d", i,
                           seq[i].n, LIM_STOP_BYTES);
        all += seq[i].n;
        if (seq[i].n > longest) longest = seq[i].n;
    }
    if (n == 0) return 0;

    int *queue = mem_array(all, sizeof *queue);
    s->node = mem_array(all, sizeof *s->node);
    s->held = mem_alloc(2 * longest);
    if (!queue || !s->node || !s->held) {
        mem_free(queue);
        stop_release(s);
        return err_nomem(e, "stop sequences");
    }
    s->depth = longest;
    s->n_node = 1;
    s->node[0].hit = -1;
    for (int i = 0; i < n; i++) stop_add(s, seq[i], i);
    stop_link(s, queue);
    mem_free(queue);
    return 0;
}

void stop_release(struct stop *s)
{
    if (!s) return;
    mem_free(s->node);
    mem_free(s->held);
    memset(s, 0, sizeof *s);
}

/* Of the stream `held, piece[0 .. used)` let go all but the last `keep` bytes. */
static struct stop_out stop_release_but(struct stop *s, struct str piece, size_t used, size_t keep)
{
    struct stop_out o = { .hit = -1 };
    char           *old = s->held + s->depth; // second half: what goes out
    size_t          go = s->n_held + used - keep;
    size_t          head = go < s->n_held ? go : s->n_held;

    memcpy(old, s->held, head);
    o.head = (struct str){ old, head };
    o.text = str_sub(piece, 0, go - head);
    return o;
}

struct stop_out stop_put(struct stop *s, struct str piece)
{
    if (s->over) return (struct stop_out){ .hit = -1 };
    if (!s->node) return (struct stop_out){ .text = piece, .hit = -1 };

    for (size_t i = 0; i < piece.n; i++) {
        s->at = stop_next(s, s->at, (uint8_t)piece.p[i]);
        const struct stop_node *at = &s->node[s->at];
        if (at->hit < 0) continue;
        struct stop_out o = stop_release_but(s, piece, i + 1, (size_t)at->hit_n);
        o.hit = at->hit;
        s->over = true;
        s->n_held = 0;
        return o;
    }

    size_t          keep = (size_t)s->node[s->at].depth;
    struct stop_out o = stop_release_but(s, piece, piece.n, keep);
    size_t          stay = s->n_held - o.head.n; // of the old held bytes; then the piece is all held
    assert(keep < s->depth || keep == 0);
    memmove(s->held, s->held + o.head.n, stay);
    if (keep > stay) memcpy(s->held + stay, piece.p + piece.n - (keep - stay), keep - stay);
    s->n_held = keep;
    return o;
}

struct str stop_end(struct stop *s)
{
    size_t n = s->n_held;

    s->n_held = 0;
    s->over = true;
    return (struct str){ s->held, n };
}
