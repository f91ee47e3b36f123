/* sess_sample.c - what a choice's sampler is told beyond its parameters: the prompt, where DRY stops
 * looking, and which tokens may not come yet.
 */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "session/session_int.h"

/* What DRY does not look across unless the request says otherwise: the list its author proposes. */
static const struct str usual_breakers[] = {
    { "\n", 1 },
    { ":", 1 },
    { "\"", 1 },
    { "*", 1 },
};

int sess_ends_new(struct session *s, struct err *e)
{
    const struct tok *t = s->c.tok;
    int               n = 0;

    if (!t) return 0;
    for (int32_t id = 0; id < tok_n(t) && id < s->info.n_vocab; id++) n += tok_is_eog(t, id);
    s->eog  = mem_array((size_t)n + 1, sizeof *s->eog);
    s->kept = mem_array((size_t)n + LIM_STOP_TOKENS, sizeof *s->kept);
    if (!s->eog || !s->kept) return err_nomem(e, "starting a session");
    for (int32_t id = 0; id < tok_n(t) && id < s->info.n_vocab; id++)
        if (tok_is_eog(t, id)) s->eog[s->n_eog++] = id;
    return 0;
}

void sess_ends_free(struct session *s)
{
    mem_free(s->eog);
    mem_free(s->kept);
}

/* --- DRY's breakers: every token whose text holds one of the texts --- */

static bool holds(struct str text, const struct str *find, int n, const bool first[256])
{
    for (size_t i = 0; i < text.n; i++) {
        if (!first[(unsigned char)text.p[i]]) continue;
        for (int k = 0; k < n; k++)
            if (str_starts(str_from(text, i), find[k])) return true;
    }
    return false;
}

/* A text that no token holds whole ends in some token: that one breaks. */
static int add_last(const struct tok *t, struct str text, struct ids *ret, struct err *e)
{
    struct ids own;

    ids_init(&own, LIM_BREAKER_BYTES * 4);
    int rc = tok_encode(t, text, 0, &own, e);
    if (rc == 0 && own.n) ids_put(ret, own.id[own.n - 1]);
    ids_release(&own);
    return rc;
}

static int find_breakers(struct sess_req *rq, struct err *e)
{
    struct ids       *ret   = &rq->breaker;
    const struct tok *t     = rq->s->c.tok;
    const struct str *find  = rq->r.own_breakers ? rq->r.breaker : usual_breakers;
    int               n     = rq->r.own_breakers ? rq->r.n_breaker : (int)ARRAY_LEN(usual_breakers);
    bool              first[256] = { false };
    int               rc = 0;

    if (!t || n == 0) return 0;
    for (int k = 0; k < n; k++) first[(unsigned char)find[k].p[0]] = true;
    for (int32_t id = 0; id < tok_n(t) && id < rq->s->info.n_vocab; id++)
        if (holds(tok_bytes(t, id, false), find, n, first)) ids_put(ret, id);
    for (int k = 0; rc == 0 && k < n; k++) rc = add_last(t, find[k], ret, e);
    return rc == 0 && ret->failed ? err_nomem(e, "making a sampler") : rc;
}

/* --- the sampler --- */

int sess_sampler_new(struct choice *ch, struct err *e)
{
    struct sess_req          *rq = ch->rq;
    const struct chat_params *p  = &rq->r.params;
    int                       rc = 0;

    if (p->dry_multiplier != 0 && ch->index == 0) rc = find_breakers(rq, e); // for all its choices
    struct sampler_conf c = { .params = p, .n_vocab = rq->s->info.n_vocab, .n_ctx = rq->s->info.n_ctx,
                              .seed = p->seed, .choice = ch->index, .breaker = rq->breaker.id,
                              .n_breaker = (int)rq->breaker.n };
    if (rc == 0) rc = sampler_new(&c, &ch->sampler, e);
    for (size_t i = 0; rc == 0 && i < rq->prompt.n; i++) // a vocabulary may be larger than the model's output
        if (rq->prompt.id[i] < c.n_vocab) sampler_prompt(ch->sampler, rq->prompt.id[i]);
    return rc;
}

/* --- tokens that may not come yet --- */

static void mute(struct session *s, float *logits, const int32_t *tok, int n)
{
    for (int i = 0; i < n; i++) {
        if (tok[i] >= s->info.n_vocab) continue;
        s->kept[s->n_kept++] = logits[tok[i]];
        logits[tok[i]]       = -INFINITY;
    }
}

static void unmute(struct session *s, float *logits, const int32_t *tok, int n)
{
    for (int i = n - 1; i >= 0; i--) // backwards: a token named twice gets its first value
        if (tok[i] < s->info.n_vocab) logits[tok[i]] = s->kept[--s->n_kept];
}

bool sess_mute(struct choice *ch, float *logits)
{
    const struct chat_req *r = &ch->rq->r;
    struct session        *s = ch->rq->s;
    bool                   early = ch->n_gen < r->n_min;

    if (!early && !r->ignore_eos) return false;
    s->n_kept = 0;
    mute(s, logits, s->eog, s->n_eog);
    if (early) mute(s, logits, r->stop_tok, r->n_stop_tok);
    return true;
}

void sess_unmute(struct choice *ch, float *logits)
{
    const struct chat_req *r = &ch->rq->r;
    struct session        *s = ch->rq->s;

    if (ch->n_gen < r->n_min) unmute(s, logits, r->stop_tok, r->n_stop_tok);
    unmute(s, logits, s->eog, s->n_eog);
}

bool sess_ends(const struct choice *ch, int32_t tok)
{
    const struct chat_req *r = &ch->rq->r;

    if (tok_is_eog(ch->rq->s->c.tok, tok)) return true;
    for (int i = 0; i < r->n_stop_tok; i++)
        if (r->stop_tok[i] == tok) return true;
    return false;
}
