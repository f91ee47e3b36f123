/* pooling.c - the first, the last or the mean of a text's hidden states. */
#include "session/pooling.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

int pooling_init(struct pooling *p, enum engine_pooling kind, int n_embd, struct err *e)
{
    *p = (struct pooling){ .kind = kind, .n_embd = n_embd };
    p->sum = mem_array((size_t)n_embd, sizeof *p->sum);
    return p->sum ? 0 : err_nomem(e, "embedding a text");
}

void pooling_release(struct pooling *p)
{
    mem_free(p->sum);
    *p = (struct pooling){ 0 };
}

void pooling_clear(struct pooling *p)
{
    p->n_row = 0;
    memset(p->sum, 0, (size_t)p->n_embd * sizeof *p->sum);
}

void pooling_add(struct pooling *p, const float *state)
{
    bool first = p->n_row++ == 0;

    switch (p->kind) {
    case ENGINE_POOL_FIRST:
        if (!first) return;
        break;
    case ENGINE_POOL_LAST: break;
    case ENGINE_POOL_MEAN:
        for (int i = 0; i < p->n_embd; i++) p->sum[i] += (double)state[i];
        return;
    }
    for (int i = 0; i < p->n_embd; i++) p->sum[i] = (double)state[i];
}

void pooling_vector(const struct pooling *p, float *ret)
{
    double n = p->kind == ENGINE_POOL_MEAN ? p->n_row : 1;

    assert(p->n_row > 0);
    for (int i = 0; i < p->n_embd; i++) ret[i] = (float)(p->sum[i] / n);
}

bool pooling_normalise(float *v, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++) sum += (double)v[i] * (double)v[i];
    if (!isfinite(sum)) return false;
    double length = sqrt(sum);
    for (int i = 0; i < n && length > 0; i++) v[i] = (float)((double)v[i] / length);
    return true;
}
