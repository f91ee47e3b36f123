/* sample.c - one choice's sampler: the chain over a row of logits, and the draw. */
#include "sample/sample.h"

#include <assert.h>

#include "base/limits.h"
#include "base/mem.h"
#include "penal_int.h"
#include "smath_int.h"

struct sampler {
    struct chat_params params; // its bias is borrowed
    int                n_vocab;
    struct rng         rng;
    struct penal       penal;
    double             mu;      // mirostat's target surprise, bits
    int32_t            drawn;   // mirostat: the token of the last draw, or -1,
    double             bits;    // and its surprise
};

static const enum chat_sampler order_default[] = {
    CHAT_SAMPLER_PENALTIES, CHAT_SAMPLER_DRY,   CHAT_SAMPLER_TOP_N_SIGMA,
    CHAT_SAMPLER_TOP_K,     CHAT_SAMPLER_TYPICAL, CHAT_SAMPLER_TOP_P,
    CHAT_SAMPLER_MIN_P,     CHAT_SAMPLER_XTC,   CHAT_SAMPLER_TEMPERATURE,
};

int sample_scratch_new(int n_vocab, struct sample_scratch **ret, struct err *e)
{
    assert(n_vocab > 0 && n_vocab <= (int)LIM_VOCAB);
    size_t                 n = (size_t)n_vocab;
    struct sample_scratch *c = mem_zalloc(sizeof *c);
    if (!c) return err_nomem(e, "making room for sampling");

    c->cap  = n_vocab;
    c->id   = mem_array(n, sizeof *c->id);
    c->x    = mem_array(n, sizeof *c->x);
    c->w    = mem_array(n, sizeof *c->w);
    c->v    = mem_array(n, sizeof *c->v);
    c->idx  = mem_array(n, sizeof *c->idx);
    c->bkt  = mem_array(n, sizeof *c->bkt);
    c->bsum = mem_array(n / CAND_BLOCK + 1, sizeof *c->bsum);
    c->hist = mem_array(CAND_BUCKETS, sizeof *c->hist);
    if (!c->id || !c->x || !c->w || !c->v || !c->idx || !c->bkt || !c->bsum || !c->hist) {
        sample_scratch_free(c);
        return err_nomem(e, "making room for sampling");
    }
    *ret = c;
    return 0;
}

void sample_scratch_free(struct sample_scratch *sc)
{
    if (!sc) return;
    mem_free(sc->id);
    mem_free(sc->x);
    mem_free(sc->w);
    mem_free(sc->v);
    mem_free(sc->idx);
    mem_free(sc->bkt);
    mem_free(sc->bsum);
    mem_free(sc->hist);
    mem_free(sc);
}

/* The choice's own seed: number `choice` of the generator that the request's seed starts. */
static uint64_t choice_seed(uint64_t seed, int choice)
{
    struct rng r;
    uint64_t   own;

    rng_seed(&r, seed);
    do own = rng_u64(&r);
    while (choice-- > 0);
    return own;
}

int sampler_new(const struct sampler_conf *conf, struct sampler **ret, struct err *e)
{
    const struct chat_params *par = conf->params;

    assert(conf->n_vocab > 0 && conf->n_vocab <= (int)LIM_VOCAB && conf->n_ctx > 0 && conf->choice >= 0);
    assert(par->n_order >= 0 && par->n_order <= CHAT_SAMPLERS);
    for (int i = 0; i < par->n_bias; i++)
        if (par->bias[i].tok < 0 || par->bias[i].tok >= conf->n_vocab)
            return err_param(e, ERR_INVALID_VALUE, "logit_bias",
                             "token %d is not in the vocabulary, which has %d tokens",
                             (int)par->bias[i].tok, conf->n_vocab);
    if (conf->n_breaker > LIM_DRY_BREAKERS)
        return err_set(e, ERR_TOO_LARGE, "%d DRY sequence breakers, the limit is %d", conf->n_breaker,
                       LIM_DRY_BREAKERS);

    struct sampler *s = mem_zalloc(sizeof *s);
    if (!s) return err_nomem(e, "making a sampler");
    s->params  = *par;
    s->n_vocab = conf->n_vocab;
    s->mu      = 2 * (double)par->mirostat_tau;
    s->drawn   = -1;
    rng_seed(&s->rng, choice_seed(conf->seed, conf->choice));
    if (penal_init(&s->penal, par, conf->n_vocab, conf->n_ctx, conf->breaker, conf->n_breaker)) {
        sampler_free(s);
        return err_nomem(e, "making a sampler");
    }
    *ret = s;
    return 0;
}

void sampler_free(struct sampler *s)
{
    if (!s) return;
    penal_release(&s->penal);
    mem_free(s);
}

static bool truncates(enum chat_sampler kind)
{
    return kind != CHAT_SAMPLER_PENALTIES && kind != CHAT_SAMPLER_DRY && kind != CHAT_SAMPLER_TEMPERATURE;
}

static void run_one(struct sampler *s, struct sample_scratch *c, enum chat_sampler kind)
{
    const struct chat_params *p = &s->params;

    switch (kind) {
    case CHAT_SAMPLER_PENALTIES:   penal_apply(&s->penal, p, c); break;
    case CHAT_SAMPLER_DRY:         if (s->penal.n_dry) penal_dry(&s->penal, p, c); break;
    case CHAT_SAMPLER_TOP_N_SIGMA: cand_top_n_sigma(c, p->top_n_sigma); break;
    case CHAT_SAMPLER_TOP_K:       cand_top_k(c, p->top_k); break;
    case CHAT_SAMPLER_TYPICAL:     cand_typical(c, p->typical_p); break;
    case CHAT_SAMPLER_TOP_P:       cand_top_p(c, p->top_p); break;
    case CHAT_SAMPLER_MIN_P:       cand_min_p(c, p->min_p); break;
    case CHAT_SAMPLER_XTC:         cand_xtc(c, p->xtc_probability, p->xtc_threshold, &s->rng); break;
    case CHAT_SAMPLER_TEMPERATURE: cand_dyn_temp(c, p->temperature, p->dyn_temp_range,
                                                 p->dyn_temp_exponent); break;
    case CHAT_SAMPLERS:            break;
    }
}

/* Load the row and run the chain. */
static int survivors(struct sampler *s, struct sample_scratch *c, const float *logits,
                     const uint64_t *allowed, struct err *e)
{
    const struct chat_params *p = &s->params;
    const enum chat_sampler  *order = p->n_order ? p->order : order_default;
    int                       n     = p->n_order ? p->n_order : (int)ARRAY_LEN(order_default);

    assert(s->n_vocab <= c->cap);
    if (!cand_load(c, logits, s->n_vocab, allowed))
        return err_set(e, ERR_INTERNAL, allowed ? "none of the allowed tokens has a usable logit"
                                                : "none of the %d logits is usable", s->n_vocab);
    for (int i = 0; i < p->n_bias; i++) {
        int at = cand_find(c, p->bias[i].tok);
        if (at >= 0) c->x[at] = cand_clamp(c->x[at] + p->bias[i].bias);
    }

    bool heats = false;
    for (int i = 0; i < n; i++) heats |= order[i] == CHAT_SAMPLER_TEMPERATURE;
    bool greedy = heats && p->temperature < TEMP_MIN && (p->dyn_temp_range <= 0 || p->mirostat);
    for (int i = 0; i < n; i++)
        if (!truncates(order[i]) || (!greedy && !p->mirostat)) run_one(s, c, order[i]);
    if (greedy) return 0;
    if (p->mirostat == 1) cand_mirostat1(c, s->mu, s->n_vocab);
    if (p->mirostat == 2) cand_mirostat2(c, s->mu);
    return 0;
}

int sampler_sample(struct sampler *s, struct sample_scratch *sc, const float *logits,
                   const uint64_t *allowed, int32_t *ret, struct err *e)
{
    int rc = survivors(s, sc, logits, allowed, e);
    if (rc) return rc;

    int at = sc->n == 1 ? 0 : cand_draw(sc, &s->rng);
    *ret   = cand_id(sc, at);
    if (s->params.mirostat) {
        cand_weigh(sc);
        s->drawn = *ret;
        s->bits  = (smath_log(sc->total) + (double)sc->max - (double)sc->x[at]) / 0.69314718055994530942;
    }
    return 0;
}

void sampler_accept(struct sampler *s, int32_t tok)
{
    assert(tok >= 0 && tok < s->n_vocab);
    penal_accept(&s->penal, tok);
    if (s->drawn == tok) s->mu -= (double)s->params.mirostat_eta * (s->bits - (double)s->params.mirostat_tau);
    s->drawn = -1;
}

void sampler_prompt(struct sampler *s, int32_t tok)
{
    assert(tok >= 0 && tok < s->n_vocab);
    penal_prompt(&s->penal, tok);
}

int sampler_dist(struct sampler *s, struct sample_scratch *sc, const float *logits,
                 const uint64_t *allowed, struct sample_prob *list, int max, int *n, struct err *e)
{
    int rc = survivors(s, sc, logits, allowed, e);
    if (rc) return rc;

    cand_weigh(sc);
    for (int i = 0; i < sc->n && i < max; i++)
        list[i] = (struct sample_prob){ cand_id(sc, i), (float)((double)sc->w[i] / sc->total) };
    *n = sc->n;
    return 0;
}
