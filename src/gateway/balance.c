/* balance.c - see balance.h. */
#include "gateway/balance.h"

#include <math.h>
#include <stddef.h>

bool balance_usable(const struct balance *b, uint64_t now_us)
{
    if (b->sick || now_us < b->until_us) return false;
    return b->pause_ms == 0 || !b->trial; // after a pause, one at a time
}

/* Finalizer of SplitMix64 (Steele, Lea and Flood, 2014): every bit depends on every bit. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* The larger, the more this prefix belongs there. */
static double liking(const struct balance *b, uint64_t prefix)
{
    double u = ((double)(mix(b->hash ^ mix(prefix)) >> 11) + 0.5) * 0x1p-53; // in (0, 1)

    return -b->weight / log(u);
}

/* Is x less loaded than y, one more request counted in? */
static bool lighter(const struct balance *x, const struct balance *y, int times)
{
    return (int64_t)(x->n_running + 1) * y->weight * times < (int64_t)(y->n_running + 1) * x->weight;
}

static bool was_tried(uint64_t tried, int i)
{
    return tried >> i & 1;
}

int balance_pick(struct balance *const *b, int n, uint64_t tried, uint64_t prefix, uint64_t now_us)
{
    int    least = -1, liked = -1, soonest = -1;
    double best  = 0;

    for (int i = 0; i < n; i++) {
        if (was_tried(tried, i)) continue;
        if (soonest < 0 || b[i]->until_us < b[soonest]->until_us) soonest = i;
        if (!balance_usable(b[i], now_us)) continue;
        if (least < 0 || lighter(b[i], b[least], 1)) least = i;
        double l = prefix ? liking(b[i], prefix) : 0;
        if (liked < 0 || l > best) {
            liked = i;
            best  = l;
        }
    }
    if (least < 0) return soonest;
    return prefix && !lighter(b[least], b[liked], 2) ? liked : least;
}

void balance_begin(struct balance *b, uint64_t now_us)
{
    b->n_running++;
    if (b->pause_ms && now_us >= b->until_us) b->trial = true;
}

void balance_good(struct balance *b)
{
    b->asked    = true;
    b->sick     = false;
    b->n_bad    = 0;
    b->pause_ms = 0;
    b->until_us = 0;
    b->trial    = false;
}

void balance_fail(struct balance *b, enum balance_fault f, uint64_t now_us)
{
    bool trial = b->trial;

    b->trial = false;
    if (f == BALANCE_BAD && ++b->n_bad < BALANCE_BAD_MAX && !trial) return;
    if (now_us < b->until_us) return; // requests of the same fall: one pause for all of them
    b->pause_ms = b->pause_ms ? b->pause_ms * 2 : BALANCE_PAUSE_MS;
    if (b->pause_ms > BALANCE_PAUSE_MAX_MS) b->pause_ms = BALANCE_PAUSE_MAX_MS;
    b->until_us = now_us + (uint64_t)b->pause_ms * 1000;
}

void balance_end(struct balance *b)
{
    b->n_running--;
    if (b->n_running == 0) b->trial = false; // it was cancelled: the next one tries
}

void balance_probe(struct balance *b, bool well)
{
    b->asked = true;
    b->sick  = !well;
    if (well) b->until_us = 0; // a request may try it
}
