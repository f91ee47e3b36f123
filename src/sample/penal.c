/* penal.c - repetition, frequency and presence penalties, and DRY.
 *
 * The counts of the penalties' window are kept up to date as tokens come and go, so a step touches
 * the distinct tokens of the window, not the vocabulary. DRY looks at its window once a step.
 */
#include "penal_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "smath_int.h"

/* --- map --- */

static int map_slot(const struct penal_map *m, int32_t tok)
{
    uint32_t mask = (uint32_t)m->cap - 1, at = (uint32_t)tok * 2654435769u >> 7 & mask;

    while (m->tok[at] >= 0 && m->tok[at] != tok) at = (at + 1) & mask;
    return (int)at;
}

static int32_t map_val(const struct penal_map *m, int32_t tok)
{
    int at = map_slot(m, tok);
    return m->tok[at] == tok ? m->val[at] : 0;
}

static void map_drop(struct penal_map *m, int at)
{
    uint32_t mask = (uint32_t)m->cap - 1, hole = (uint32_t)at;

    /* Close the gap: whoever was pushed past the hole by it moves back into it. */
    m->tok[hole] = -1;
    for (uint32_t i = (hole + 1) & mask; m->tok[i] >= 0; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)m->tok[i] * 2654435769u >> 7 & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        m->tok[hole] = m->tok[i];
        m->val[hole] = m->val[i];
        m->tok[i]    = -1;
        hole         = i;
    }
}

static void map_add(struct penal_map *m, int32_t tok, int32_t add)
{
    int at = map_slot(m, tok);

    if (m->tok[at] < 0) {
        m->tok[at] = tok;
        m->val[at] = 0;
    }
    m->val[at] += add;
    if (m->val[at] == 0) map_drop(m, at);
}

static int map_init_for(struct penal_map *m, int n_tok)
{
    int cap = 16;

    while (cap < 2 * n_tok) cap *= 2;
    m->tok = mem_array((size_t)cap, sizeof *m->tok);
    m->val = mem_array((size_t)cap, sizeof *m->val);
    if (!m->tok || !m->val) return -ERR_NO_MEMORY;
    memset(m->tok, 0xff, (size_t)cap * sizeof *m->tok);
    m->cap = cap;
    return 0;
}

/* --- history --- */

static int by_value(const void *a, const void *b)
{
    const int32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

int penal_init(struct penal *p, const struct chat_params *par, int n_vocab, int n_ctx,
               const int32_t *breaker, int n_breaker)
{
    bool pen = par->repeat_penalty != 1 || par->frequency_penalty != 0 || par->presence_penalty != 0;
    bool dry = par->dry_multiplier != 0 && par->dry_base >= 1;

    *p = (struct penal){ 0 };
    if (pen) p->n_pen = par->penalty_last_n < 0 || par->penalty_last_n > n_ctx ? n_ctx : par->penalty_last_n;
    if (dry) p->n_dry = par->dry_last_n < 0 || par->dry_last_n > n_ctx ? n_ctx : par->dry_last_n;
    p->window = p->n_pen > p->n_dry ? p->n_pen : p->n_dry;
    if (p->window == 0) return 0;

    p->hist = mem_array(2 * (size_t)p->window, sizeof *p->hist);
    if (!p->hist) return -ERR_NO_MEMORY;
    int n_distinct = p->n_pen < n_vocab ? p->n_pen : n_vocab;
    if (p->n_pen && (map_init_for(&p->seen, n_distinct) || map_init_for(&p->said, n_distinct)))
        return -ERR_NO_MEMORY;
    if (!p->n_dry) return 0;

    p->match   = mem_array((size_t)p->n_dry, sizeof *p->match);
    p->breaker = mem_array((size_t)n_breaker, sizeof *p->breaker);
    if (!p->match || !p->breaker) return -ERR_NO_MEMORY;
    if (n_breaker) memcpy(p->breaker, breaker, (size_t)n_breaker * sizeof *breaker);
    qsort(p->breaker, (size_t)n_breaker, sizeof *p->breaker, by_value);
    p->n_breaker = n_breaker;
    return map_init_for(&p->ends, p->n_dry < n_vocab ? p->n_dry : n_vocab);
}

void penal_release(struct penal *p)
{
    mem_free(p->hist);
    mem_free(p->seen.tok);
    mem_free(p->seen.val);
    mem_free(p->said.tok);
    mem_free(p->said.val);
    mem_free(p->ends.tok);
    mem_free(p->ends.val);
    mem_free(p->match);
    mem_free(p->breaker);
    *p = (struct penal){ 0 };
}

/* The counts of the window, once tok has come to it and the oldest has left. */
static void count(struct penal *p, int32_t tok, bool said)
{
    if (p->n_hist >= p->n_pen) {
        int32_t gone = p->hist[p->n_hist - p->n_pen];
        map_add(&p->seen, gone, -1);
        if (p->n_all - (uint64_t)p->n_pen >= p->n_prompt) map_add(&p->said, gone, -1);
    }
    map_add(&p->seen, tok, 1);
    if (said) map_add(&p->said, tok, 1);
}

static void add(struct penal *p, int32_t tok, bool said)
{
    if (p->window == 0) return;
    if (p->n_pen) count(p, tok, said);
    if (p->n_hist == 2 * p->window) {
        memmove(p->hist, p->hist + p->window, (size_t)p->window * sizeof *p->hist);
        p->n_hist = p->window;
    }
    p->hist[p->n_hist++] = tok;
    p->n_all++;
}

void penal_accept(struct penal *p, int32_t tok)
{
    add(p, tok, true);
}

void penal_prompt(struct penal *p, int32_t tok)
{
    p->n_prompt++;
    add(p, tok, false);
}

/* --- penalties --- */

/* Repetition: Keskar et al., CTRL, arXiv:1909.05858, sec. 4.1, in the form everybody uses: divide a
 * positive logit, multiply another. Frequency and presence: the OpenAI API's formula. */
static void penalise(const struct chat_params *par, struct sample_scratch *c, int i, int32_t said)
{
    float x = c->x[i];

    x = x > 0 ? x / par->repeat_penalty : x * par->repeat_penalty;
    if (said) x -= (float)said * par->frequency_penalty + par->presence_penalty;
    c->x[i] = cand_clamp(x);
}

void penal_apply(const struct penal *p, const struct chat_params *par, struct sample_scratch *c)
{
    if (p->n_pen == 0) return;
    for (int s = 0; s < p->seen.cap; s++) {
        if (p->seen.tok[s] < 0) continue;
        int i = cand_find(c, p->seen.tok[s]);
        if (i >= 0) penalise(par, c, i, map_val(&p->said, p->seen.tok[s]));
    }
    c->weighed = false;
}

/* --- DRY: P. E. Weidmann, text-generation-webui pull request 5677 (2024) --- */

static bool is_breaker(const struct penal *p, int32_t tok)
{
    return p->n_breaker && bsearch(&tok, p->breaker, (size_t)p->n_breaker, sizeof tok, by_value);
}

/* match[j]: how many tokens that end j before the newest equal the newest ones, at most `most`.
 * That is the Z function (Gusfield, 1997) of the history read backwards: one pass. */
static void suffix_matches(const int32_t *newest, int n, int most, int32_t *match)
{
    int lo = 0, hi = 0; // the match that reaches furthest back so far is [lo, hi)

    for (int j = 1; j < n; j++) {
        int z = 0;
        if (j < hi) z = match[j - lo] < hi - j ? match[j - lo] : hi - j;
        while (j + z < n && newest[-z] == newest[-(j + z)]) z++;
        match[j] = z;
        if (j + z > hi) {
            lo = j;
            hi = j + z;
        }
    }
    for (int j = 1; j < n; j++)
        if (match[j] > most) match[j] = most;
}

void penal_dry(struct penal *p, const struct chat_params *par, struct sample_scratch *c)
{
    int n = p->n_hist < p->n_dry ? p->n_hist : p->n_dry, most = 0;

    if (n < 2) return;
    const int32_t *newest = p->hist + p->n_hist - 1;
    while (most < n && !is_breaker(p, newest[-most])) most++;
    int allowed = par->dry_allowed_length > 1 ? par->dry_allowed_length : 1;
    if (most < allowed) return;

    suffix_matches(newest, n, most, p->match);
    for (int j = 1; j < n; j++) {
        int32_t next = newest[-(j - 1)]; // what came after that earlier occurrence
        if (p->match[j] < allowed || is_breaker(p, next)) continue;
        int32_t had = map_val(&p->ends, next);
        if (p->match[j] > had) map_add(&p->ends, next, p->match[j] - had);
    }

    double base = smath_log((double)par->dry_base);
    for (int s = 0; s < p->ends.cap; s++) {
        if (p->ends.tok[s] < 0) continue;
        int    i    = cand_find(c, p->ends.tok[s]);
        int    over = p->ends.val[s] - par->dry_allowed_length;
        double pen  = (double)par->dry_multiplier * smath_exp(base * over);
        if (i >= 0) c->x[i] = cand_clamp((float)((double)c->x[i] - (pen < 1e30 ? pen : 1e30)));
        p->ends.tok[s] = -1;
    }
    c->weighed = false;
}
