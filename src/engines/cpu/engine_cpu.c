/* engine_cpu.c - the native engine's door: open, close, and batches cut into micro-batches. */
#include "engines/cpu/engine_cpu.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "engines/cpu/cpu_int.h"
#include "os/cpu.h"
#include "os/huge.h"

/* Tokens that go through the layers together: enough that weights are read for many at once, few enough
 * that what lies between two phases stays in the cache. */
#define UBATCH_MAX 512

static void engine_close(struct engine *en)
{
    if (!en) return;
    pool_close(en->pool);
    if (en->map)
        huge_free(en->map, en->map_bytes);
    else
        huge_free(en->weights, en->weights_bytes);
    cpu_free_kv(en);
    huge_free(en->scratch, en->scratch_bytes);
    huge_free(en->hidden, en->hidden_bytes);
    huge_free(en->logits, en->logits_bytes);
    gguf_close(en->gguf);
    arena_release(&en->arena);
    mem_free(en);
}

/* --- memory --- */

/* Lay out what a micro-batch needs; called once to measure (base NULL) and once to place. */
static size_t lay_out(struct engine *en, unsigned char *base)
{
    const struct cpu_hparams *hp = &en->hp;
    struct cpu_moe *moe = &en->moe;
    size_t n = (size_t)en->n_ubatch, rot = (size_t)hp->n_rot, used = (size_t)hp->n_expert_used, slots = n * used, at = 0;
    struct {
        void  *field; // a pointer to place
        size_t bytes;
    } part[] = {
        { &en->x, n * en->s_embd * sizeof(float) },
        { &en->xn, n * en->s_embd * sizeof(float) },
        { &en->y, n * en->s_embd * sizeof(float) },
        { &en->q, n * en->s_q * sizeof(float) },
        { &en->k, n * en->s_kv * sizeof(float) },
        { &en->v, n * en->s_kv * sizeof(float) },
        { &en->att, n * en->s_q * sizeof(float) },
        { &en->gate, n * en->s_ff * sizeof(float) },
        { &en->up, n * en->s_ff * sizeof(float) },
        { &en->cs[0], n * rot * sizeof(float) },
        { &en->cs[1], n * rot * (en->n_rope > 1 ? sizeof(float) : 0) },
        { &en->xq, n * en->xq_bytes },
        { &en->lane_mem, (size_t)en->lanes * en->lane_floats * sizeof(float) },
        { &en->tok, n * sizeof *en->tok },
        { &en->span, n * sizeof *en->span },
        { &moe->score, n * moe->s_router * sizeof(float) },
        { &moe->expert, slots * sizeof *moe->expert },
        { &moe->weight, slots * sizeof *moe->weight },
        { &moe->slot, slots * sizeof *moe->slot },
        { &moe->token, slots * sizeof *moe->token },
        { &moe->first, ((size_t)hp->n_expert + 1) * sizeof *moe->first },
        { &moe->x, slots * en->s_embd * sizeof(float) },
        { &moe->gate, slots * moe->s_ff * sizeof(float) },
        { &moe->up, slots * moe->s_ff * sizeof(float) },
        { &moe->y, slots * en->s_embd * sizeof(float) },
        { &moe->xq, slots * en->xq_bytes },
        { &en->enc.text, n * (en->traits & FAM_ENCODER ? sizeof *en->enc.text : 0) },
        { &en->enc.k, cpu_enc_kv_floats(en) * sizeof(float) },
        { &en->enc.v, cpu_enc_kv_floats(en) * sizeof(float) },
    };
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        unsigned char *p = base ? base + at : NULL;
        if (base) memcpy(part[i].field, &p, sizeof p);
        at += (part[i].bytes + 63) & ~(size_t)63;
    }
    return at;
}

/* Floats of a lane's own memory: accumulators of attention, or 16 rows of an unpacked matrix and the
 * panel made of them; then inputs it prepares for itself. */
static size_t lane_floats(struct engine *en)
{
    const struct cpu_hparams *hp = &en->hp;
    size_t n = en->traits & FAM_ENCODER ? cpu_enc_lane_floats(en) : kern_attn_floats(KERN_ATTN_Q, hp->head_dim, en->kv_type);
    int    cols = 0;

    if (!en->output.packed.data) cols = hp->n_embd;
    for (int i = 0; i < hp->n_layer; i++) {
        const struct cpu_mat *m;
        for (int k = 0; (m = cpu_layer_mat(en, &en->layer[i], k)); k++)
            if (!m->packed.data && m->packed.cols > cols) cols = m->packed.cols;
    }
    size_t rows = 2 * (size_t)KERN_ROWS * (size_t)cols;
    en->lane_xn = cpu_pad16(n > rows ? n : rows);
    en->lane_xq = en->lane_xn + CPU_ALONE * en->s_embd;
    return en->lane_xq + CPU_ALONE * en->xq_bytes / sizeof(float);
}

static int alloc_scratch(struct engine *en, struct err *e)
{
    const struct cpu_hparams *hp = &en->hp;
    int widest = hp->n_ff > hp->n_embd ? hp->n_ff : hp->n_embd;

    if (hp->q_dim > widest) widest = hp->q_dim;
    en->lanes = pool_lanes(en->pool);
    if (en->traits & FAM_ENCODER && en->n_batch < en->n_ctx) en->n_batch = en->n_ctx; // no text is cut
    en->n_ubatch = en->n_batch < UBATCH_MAX ? en->n_batch : UBATCH_MAX;
    if (en->traits & FAM_ENCODER && en->n_ubatch < en->n_ctx) en->n_ubatch = en->n_ctx;
    en->s_embd = cpu_pad16((size_t)hp->n_embd);
    en->s_q = cpu_pad16((size_t)hp->q_dim);
    en->s_kv = cpu_pad16((size_t)hp->kv_dim);
    en->s_ff = hp->n_expert ? 0 : cpu_pad16((size_t)hp->n_ff);
    en->moe.s_ff = hp->n_expert ? cpu_pad16((size_t)hp->n_ff) : 0;
    en->moe.s_router = cpu_pad16((size_t)hp->n_expert);
    en->s_vocab = cpu_pad16((size_t)hp->n_vocab);
    en->xq_bytes = (kern_q8_bytes(widest) + 63) & ~(size_t)63;
    en->lane_floats = lane_floats(en);
    en->scratch_bytes = lay_out(en, NULL);
    en->hidden_bytes = (size_t)en->n_batch * en->s_embd * sizeof(float);
    en->logits_bytes = (size_t)en->n_batch * en->s_vocab * sizeof(float);
    if (en->traits & FAM_ENCODER) en->logits_bytes = KERN_ALIGN; // has none

    en->scratch = huge_alloc(en->scratch_bytes);
    en->hidden = en->scratch ? huge_alloc(en->hidden_bytes) : NULL;
    en->logits = en->hidden ? huge_alloc(en->logits_bytes) : NULL;
    if (!en->logits)
        return err_set(e, ERR_NO_MEMORY, "%s: no memory for batches of %d tokens", gguf_name(en->gguf), en->n_batch);
    lay_out(en, en->scratch);
    return 0;
}

static int open_parts(struct engine *en, const struct engine_conf *conf, struct err *e)
{
    const struct engine_file *f = &conf->file[0];
    unsigned flags;
    int      rc;

    if ((rc = cpu_features(getenv("CPU"), &flags, e))) return rc;
    kern_init(&en->kern, flags);
    if ((rc = pool_open(conf->n_thread < POOL_LANES_MAX ? conf->n_thread : POOL_LANES_MAX, &en->pool, e)))
        return rc;
    if ((rc = gguf_open(f->fd, f->size, f->name, &en->gguf, e))) return rc;
    if ((rc = cpu_read_hparams(en, e))) return rc;
    if ((rc = cpu_load(en, conf, e))) return rc;
    en->n_batch = conf->n_batch;
    if ((rc = cpu_alloc_kv(en, conf, e))) return rc;
    if ((rc = cpu_load_rope(en, e))) return rc;
    return alloc_scratch(en, e);
}

static int engine_open(const struct engine_conf *conf, struct engine **ret, struct err *e)
{
    assert(conf->n_file >= 1 && conf->n_thread >= 1 && conf->n_seq >= 1 && conf->n_batch >= 1);
    struct engine *en = mem_zalloc(sizeof *en);
    if (!en) return err_nomem(e, "opening the cpu engine");

    arena_init(&en->arena, GIB(1));
    int rc = open_parts(en, conf, e);
    if (rc) {
        engine_close(en);
        return rc;
    }
    *ret = en;
    return 0;
}

static void engine_info(const struct engine *en, struct engine_info *ret)
{
    *ret = (struct engine_info){
        .caps = ENGINE_FORWARD | ENGINE_EMBED | (en->traits & FAM_ENCODER ? ENGINE_WHOLE : 0) |
                (en->enc.rank ? ENGINE_RANK : 0),
        .arch = en->arch->name,
        .quant = en->quant,
        .n_ctx = en->n_ctx,
        .n_seq = en->n_seq,
        .n_vocab = en->hp.n_vocab,
        .n_batch = en->n_batch,
        .kv_page_tok = KERN_PAGE_TOK,
        .n_kv_page = en->kv[CPU_PAGES].n_page,
        .n_swa = en->kv[CPU_WIN_PAGES].n_layer ? en->hp.n_swa : 0,
        .n_win_page = en->kv[CPU_WIN_PAGES].n_page,
        .n_param = en->n_param,
        .weight_bytes = en->weights_bytes,
        .kv_bytes = en->kv[CPU_PAGES].bytes + en->kv[CPU_WIN_PAGES].bytes,
        .kv_type = cpu_kv_type_name(en),
        .n_embd = en->hp.n_embd,
        .pooling = en->hp.pooling,
    };
}

/* --- forward --- */

static void clear(struct engine *en)
{
    en->n_tok = en->n_span = 0;
    en->single_spans = true;
}

/* Add tokens of a run from its token `at` on, as many as fit; returns how many. Tokens whose logits are
 * wanted get the next rows. */
static int add_run(struct engine *en, const struct engine_run *r, int at, int *row)
{
    int span_max = cpu_span_max(en), i = at;

    for (; i < r->n_tok && en->n_tok < en->n_ubatch; i++) {
        assert(r->tok[i] >= 0 && r->tok[i] < en->hp.n_vocab);
        if (i > at && en->span[en->n_span - 1].n == span_max) en->single_spans = false;
        if (i == at || en->span[en->n_span - 1].n == span_max)
            en->span[en->n_span++] = (struct cpu_span){ .first = en->n_tok };
        en->span[en->n_span - 1].n++;
        bool wanted = i >= r->n_tok - r->n_logits;
        int  at_row = !wanted ? -1 : r->hidden ? en->n_batch - ++en->n_hidden : (*row)++;
        en->tok[en->n_tok++] = (struct cpu_tok){
            .id = r->tok[i],
            .pos = r->pos + i,
            .page = { r->page, r->win },
            .row = at_row,
        };
    }
    return i - at;
}

static void check_run(const struct engine *en, const struct engine_run *r)
{
    assert(r->n_tok >= 1 && r->pos >= 0 && r->n_logits >= 0 && r->n_logits <= r->n_tok);
    assert(r->n_tok <= en->n_ctx && r->pos <= en->n_ctx - r->n_tok);
    int n = (r->pos + r->n_tok - 1) / KERN_PAGE_TOK + 1, n_swa = en->hp.n_swa;
    for (int i = 0; i < n; i++) assert(r->page[i] >= 0 && r->page[i] < en->kv[CPU_PAGES].n_page);
    if (!en->kv[CPU_WIN_PAGES].n_layer) return;
    for (int i = r->pos >= n_swa ? (r->pos + 1 - n_swa) / KERN_PAGE_TOK : 0; i < n; i++)
        assert(r->win[i] >= 0 && r->win[i] < en->kv[CPU_WIN_PAGES].n_page);
}

static int engine_forward(struct engine *en, const struct engine_batch *batch, struct err *e)
{
    (void)e;
    int row = 0, all = 0;

    if (en->traits & FAM_ENCODER) {
        cpu_enc_forward(en, batch);
        return 0;
    }
    for (int i = 0; i < batch->n_run; i++) {
        check_run(en, &batch->run[i]);
        all += batch->run[i].n_tok;
    }
    assert(all <= en->n_batch);
    en->n_hidden = 0;
    clear(en);
    for (int i = 0; i < batch->n_run; i++) {
        const struct engine_run *r = &batch->run[i];
        for (int at = 0; at < r->n_tok;) {
            at += add_run(en, r, at, &row);
            if (en->n_tok < en->n_ubatch) break; // the run is in, there is room for more
            pool_run(en->pool, cpu_layers_job, en);
            clear(en);
        }
    }
    if (en->n_tok) pool_run(en->pool, cpu_layers_job, en);
    en->n_row = row;
    if (row) pool_run(en->pool, cpu_output_job, en);
    return 0;
}

static float *engine_logits(struct engine *en, int i)
{
    assert(i >= 0 && i < en->n_row);
    return en->logits + (size_t)i * en->s_vocab;
}

static const float *engine_hidden(struct engine *en, int i)
{
    assert(i >= 0 && i < en->n_hidden);
    return en->hidden + (size_t)(en->n_batch - 1 - i) * en->s_embd;
}

static float engine_score(struct engine *en, const float *pooled)
{
    return cpu_enc_score(en, pooled);
}

static int copy(struct cpu_kv *kv, int32_t dst, int32_t src)
{
    assert(dst >= 0 && dst < kv->n_page && src >= 0 && src < kv->n_page);
    if (dst != src && kv->mem)
        memcpy(kv->mem + (size_t)dst * kv->page_bytes, kv->mem + (size_t)src * kv->page_bytes, kv->page_bytes);
    return 0;
}

/* Keys of a page are interleaved: the whole page costs the same, and what is behind n_tok is not read. */
static int engine_page_copy(struct engine *en, int32_t dst, int32_t src, int n_tok)
{
    (void)n_tok;
    return copy(&en->kv[CPU_PAGES], dst, src);
}

static int engine_win_copy(struct engine *en, int32_t dst, int32_t src, int n_tok)
{
    (void)n_tok;
    return copy(&en->kv[CPU_WIN_PAGES], dst, src);
}

const struct engine_ops engine_cpu = {
    .api = ENGINE_API,
    .name = "cpu",
    .open = engine_open,
    .close = engine_close,
    .info = engine_info,
    .forward = engine_forward,
    .logits = engine_logits,
    .page_copy = engine_page_copy,
    .win_copy = engine_win_copy,
    .hidden = engine_hidden,
    .score = engine_score,
};
