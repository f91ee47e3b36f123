/* cpu_load.c - from a GGUF file to a model ready to run.
 *
 * First everything is looked up and checked: tensors by name, dimensions and type, as tables say for each
 * family. Then sizes are known, the memory for all packed matrices is taken at once, and the lanes of the
 * pool pack it panel by panel. The file's own pages are let go; of the embeddings, rows are read
 * from the file as they are needed.
 */
#include "engines/cpu/cpu_int.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "os/huge.h"

/* --- which tensors there are --- */

enum dim { NONE, EMBD, HEAD, HEADS, Q, KV, QK, QKV, FF, FF2, EXPERTS };

static int64_t dim_of(const struct engine *en, enum dim d)
{
    const struct cpu_hparams *hp = &en->hp;

    switch (d) {
    case NONE: return 0;
    case EMBD: return hp->n_embd;
    case HEAD: return hp->head_dim;
    case HEADS: return hp->n_head;
    case Q: return hp->q_dim;
    case KV: return hp->kv_dim;
    case QK: return (int64_t)hp->q_dim + hp->kv_dim;
    case QKV: return (int64_t)hp->q_dim + 2 * (int64_t)hp->kv_dim;
    case FF: return hp->n_ff;
    case FF2: return 2 * (int64_t)hp->n_ff;
    case EXPERTS: return hp->n_expert;
    }
    return 0;
}

/* A row counts for a family with all traits of `with` and none of `without`. A matrix may be the rows from
 * `from` of a tensor of `total` rows (NONE: the whole). */
static const struct mat_row {
    const char     *name; // blk.N.
    enum cpu_mat_id id;
    enum dim        cols, rows, from, total;
    unsigned        with, without;
} mat_rows[] = {
    { "attn_q.weight", MAT_Q, EMBD, Q, NONE, NONE, 0, FAM_FUSED_QKV },
    { "attn_k.weight", MAT_K, EMBD, KV, NONE, NONE, 0, FAM_FUSED_QKV },
    { "attn_v.weight", MAT_V, EMBD, KV, NONE, NONE, 0, FAM_FUSED_QKV },
    { "attn_qkv.weight", MAT_Q, EMBD, Q, NONE, QKV, FAM_FUSED_QKV, 0 },
    { "attn_qkv.weight", MAT_K, EMBD, KV, Q, QKV, FAM_FUSED_QKV, 0 },
    { "attn_qkv.weight", MAT_V, EMBD, KV, QK, QKV, FAM_FUSED_QKV, 0 },
    { "attn_output.weight", MAT_O, Q, EMBD, NONE, NONE, 0, 0 },
    { "ffn_gate.weight", MAT_GATE, EMBD, FF, NONE, NONE, 0, FAM_FUSED_GATE | FAM_NO_GATE | FAM_EXPERTS },
    { "ffn_up.weight", MAT_UP, EMBD, FF, NONE, NONE, 0, FAM_FUSED_GATE | FAM_EXPERTS },
    { "ffn_up.weight", MAT_GATE, EMBD, FF, NONE, FF2, FAM_FUSED_GATE, FAM_EXPERTS },
    { "ffn_up.weight", MAT_UP, EMBD, FF, FF, FF2, FAM_FUSED_GATE, FAM_EXPERTS },
    { "ffn_down.weight", MAT_DOWN, FF, EMBD, NONE, NONE, 0, FAM_EXPERTS },
    { "ffn_gate_inp.weight", MAT_ROUTER, EMBD, EXPERTS, NONE, NONE, FAM_EXPERTS, 0 },
};

static const struct exp_row {
    const char *name;
    enum dim    cols, rows;
} exp_rows[EXPS] = {
    [EXP_GATE] = { "ffn_gate_exps.weight", EMBD, FF },
    [EXP_UP] = { "ffn_up_exps.weight", EMBD, FF },
    [EXP_DOWN] = { "ffn_down_exps.weight", FF, EMBD },
};

/* Vectors: as above, but of a family with any of `with` (0: of all); and where it has one of `may`, used if
 * the file has them. `rows`: so many vectors. */
static const struct vec_row {
    const char     *name;
    enum cpu_vec_id id;
    enum dim        n, from, total, rows;
    unsigned        with, may, without;
} vec_rows[] = {
    { "attn_norm.weight", VEC_ATTN_NORM, EMBD, NONE, NONE, NONE, 0, 0, FAM_ENCODER },
    { "attn_norm.bias", VEC_ATTN_NORM_B, EMBD, NONE, NONE, NONE, FAM_LAYER_NORM, 0, FAM_ENCODER },
    { "post_attention_norm.weight", VEC_ATTN_POST, EMBD, NONE, NONE, NONE, FAM_POST_NORMS, 0, 0 },
    { "ffn_norm.weight", VEC_FFN_NORM, EMBD, NONE, NONE, NONE, 0, 0, FAM_FFN_NORM_POST | FAM_ENCODER },
    { "post_attention_norm.weight", VEC_FFN_NORM, EMBD, NONE, NONE, NONE, FAM_FFN_NORM_POST, 0, 0 },
    { "ffn_norm.bias", VEC_FFN_NORM_B, EMBD, NONE, NONE, NONE, FAM_LAYER_NORM, 0, FAM_ENCODER },
    { "post_ffw_norm.weight", VEC_FFN_POST, EMBD, NONE, NONE, NONE, FAM_POST_NORMS, 0, 0 },
    { "attn_q_norm.weight", VEC_Q_NORM, HEAD, NONE, NONE, NONE, FAM_QK_NORM, 0, 0 },
    { "attn_k_norm.weight", VEC_K_NORM, HEAD, NONE, NONE, NONE, FAM_QK_NORM, 0, 0 },
    { "attn_sinks.weight", VEC_SINKS, HEADS, NONE, NONE, NONE, FAM_SINKS, 0, 0 },
    { "attn_q.bias", VEC_Q_B, Q, NONE, NONE, NONE, FAM_BIAS_QKV, FAM_MAY_BIAS_QKV, FAM_FUSED_QKV },
    { "attn_k.bias", VEC_K_B, KV, NONE, NONE, NONE, FAM_BIAS_QKV, FAM_MAY_BIAS_QKV, FAM_FUSED_QKV },
    { "attn_v.bias", VEC_V_B, KV, NONE, NONE, NONE, FAM_BIAS_QKV, FAM_MAY_BIAS_QKV, FAM_FUSED_QKV },
    { "attn_qkv.bias", VEC_Q_B, Q, NONE, QKV, NONE, FAM_BIAS_QKV, FAM_MAY_BIAS_QKV, 0 },
    { "attn_qkv.bias", VEC_K_B, KV, Q, QKV, NONE, FAM_BIAS_QKV, FAM_MAY_BIAS_QKV, 0 },
    { "attn_qkv.bias", VEC_V_B, KV, QK, QKV, NONE, FAM_BIAS_QKV, FAM_MAY_BIAS_QKV, 0 },
    { "attn_output.bias", VEC_O_B, EMBD, NONE, NONE, NONE, FAM_BIAS_O, FAM_MAY_BIAS_O, 0 },
    { "ffn_up.bias", VEC_UP_B, FF, NONE, NONE, NONE, FAM_BIAS_FFN, FAM_MAY_BIAS_FFN, 0 },
    { "ffn_down.bias", VEC_DOWN_B, EMBD, NONE, NONE, NONE, FAM_BIAS_FFN, FAM_MAY_BIAS_FFN, 0 },
    { "attn_output_norm.weight", VEC_ATTN_POST, EMBD, NONE, NONE, NONE, FAM_ENCODER, 0, 0 },
    { "attn_output_norm.bias", VEC_ATTN_POST_B, EMBD, NONE, NONE, NONE, FAM_ENCODER, 0, 0 },
    { "layer_output_norm.weight", VEC_FFN_POST, EMBD, NONE, NONE, NONE, FAM_ENCODER, 0, 0 },
    { "layer_output_norm.bias", VEC_FFN_POST_B, EMBD, NONE, NONE, NONE, FAM_ENCODER, 0, 0 },
    { "ffn_gate_inp.bias", VEC_ROUTER_B, EXPERTS, NONE, NONE, NONE, FAM_BIAS_EXPERTS, 0, 0 },
    { "ffn_gate_exps.bias", VEC_GATES_B, FF, NONE, NONE, EXPERTS, FAM_BIAS_EXPERTS, 0, 0 },
    { "ffn_up_exps.bias", VEC_UPS_B, FF, NONE, NONE, EXPERTS, FAM_BIAS_EXPERTS, 0, 0 },
    { "ffn_down_exps.bias", VEC_DOWNS_B, EMBD, NONE, NONE, EXPERTS, FAM_BIAS_EXPERTS, 0, 0 },
};

static bool mat_is(const struct engine *en, const struct mat_row *r)
{
    return (en->traits & r->with) == r->with && !(en->traits & r->without);
}

enum want { WANT_NOT, WANT_MAY, WANT_NEED };

static enum want vec_wanted(const struct engine *en, const struct vec_row *r)
{
    bool fused = r->total != NONE && !(en->traits & FAM_FUSED_QKV);

    if (en->traits & r->without || fused) return WANT_NOT;
    if ((!r->with && !r->may) || en->traits & r->with) return WANT_NEED;
    return en->traits & r->may ? WANT_MAY : WANT_NOT;
}

/* A tensor of a layer that no table knows would be left out of the sum: the file is of another model. */
static bool layer_name_known(const struct engine *en, struct str rest)
{
    for (size_t i = 0; i < ARRAY_LEN(mat_rows); i++)
        if (mat_is(en, &mat_rows[i]) && str_eq(rest, str_c(mat_rows[i].name))) return true;
    for (size_t i = 0; i < ARRAY_LEN(exp_rows); i++)
        if (en->traits & FAM_EXPERTS && str_eq(rest, str_c(exp_rows[i].name))) return true;
    for (size_t i = 0; i < ARRAY_LEN(vec_rows); i++)
        if (vec_wanted(en, &vec_rows[i]) != WANT_NOT && str_eq(rest, str_c(vec_rows[i].name))) return true;
    return false;
}

static int check_names(const struct engine *en, struct err *e)
{
    char       q[LIM_QUOTE_BYTES];
    struct str number;

    for (size_t i = 0; i < gguf_n_tensor(en->gguf); i++) {
        struct str name = gguf_tensor_at(en->gguf, i)->name;
        if (!str_starts(name, STR("blk."))) continue;
        struct str rest = str_from(name, 4);
        if (!str_cut(&rest, '.', &number) || !layer_name_known(en, rest))
            return err_set(e, ERR_UNSUPP_MODEL, "%s: tensor \"%s\" is not one that a %s model has", gguf_name(en->gguf),
                           str_quote(q, sizeof q, name), en->arch->name);
    }
    return 0;
}

/* --- tensors --- */

static int find(const struct engine *en, const char *name, int64_t d0, int64_t d1, int64_t d2,
                const struct tensor **ret, struct err *e)
{
    const int64_t dim[3] = { d0, d1, d2 };
    return gguf_need_tensor(en->gguf, name, dim, d2 ? 3 : d1 ? 2 : 1, ret, e);
}

static int unreadable(const struct engine *en, const struct tensor *t, struct err *e)
{
    return err_set(e, ERR_UNSUPP_MODEL, "%s: tensor " STR_FMT " has type %s, which the cpu engine cannot read",
                   gguf_name(en->gguf), STR_ARG(t->name), tensor_type_row(t->type)->name);
}

int cpu_load_vector(struct engine *en, const char *name, int64_t from, int64_t n, int64_t total, int64_t rows,
                    const float **ret, struct err *e)
{
    const struct tensor *t;
    size_t stride = cpu_pad16((size_t)n);

    int rc = find(en, name, total, rows > 1 ? rows : 0, 0, &t, e);
    if (rc) return rc;
    float *all = arena_array(&en->arena, (size_t)total, sizeof *all);
    float *v = arena_array(&en->arena, stride * (size_t)rows, sizeof *v);
    if (!all || !v) return err_nomem(e, "loading a vector");
    for (int64_t i = 0; i < rows; i++) {
        if (!dequant_row(t->type, t->data + (size_t)i * (size_t)tensor_row_bytes(t), all, total))
            return unreadable(en, t, e);
        memcpy(v + (size_t)i * stride, all + from, (size_t)n * sizeof *v);
    }
    en->n_param += rows > 1 ? 0 : (uint64_t)n; // tensors of several rows are counted with the matrices
    *ret = v;
    return 0;
}

static const struct {
    enum tensor_type file;
    enum kern_type   kern;
} packable[] = {
    { TENSOR_F32, KERN_F32 },   { TENSOR_F16, KERN_F16 },   { TENSOR_BF16, KERN_BF16 },
    { TENSOR_Q8_0, KERN_Q8_0 }, { TENSOR_Q4_0, KERN_Q4_0 }, { TENSOR_Q5_0, KERN_Q5_0 },
    { TENSOR_Q6_K, KERN_Q6_K }, { TENSOR_Q4_K, KERN_Q4_K },
    { TENSOR_MXFP4, KERN_MXFP4 },
};

/* The place of a matrix of `rows` outputs and `cols` inputs among the packed ones. */
static int use_matrix(struct engine *en, const struct tensor *t, int cols, int rows, int64_t row0, struct cpu_mat *ret,
                      struct err *e)
{
    float probe[256]; // one block of any type

    ret->src = t;
    ret->row0 = row0;
    ret->packed = (struct kern_mat){ .rows = rows, .cols = cols, .type = KERN_F32 };
    for (size_t i = 0; i < ARRAY_LEN(packable); i++) {
        if (packable[i].file != t->type) continue;
        ret->packed.type = packable[i].kern;
        ret->packed.panel_bytes = kern_panel_bytes(packable[i].kern, cols);
        en->weights_bytes += ret->packed.panel_bytes * (size_t)kern_panels(rows);
        return 0;
    }
    int block = tensor_type_row(t->type)->block_n;
    assert(block <= (int)ARRAY_LEN(probe));
    if (!dequant_row(t->type, t->data, probe, block)) return unreadable(en, t, e);
    return 0;
}

/* Name of tensor `what` of layer i. */
static const char *in_layer(char buf[64], int i, const char *what)
{
    snprintf(buf, 64, "blk.%d.%s", i, what);
    return buf;
}

static int find_experts(struct engine *en, int i, struct cpu_layer *l, struct err *e)
{
    int  n = en->hp.n_expert, rc;
    char b[64];

    for (size_t k = 0; k < ARRAY_LEN(exp_rows); k++) {
        const struct tensor *t;
        int cols = (int)dim_of(en, exp_rows[k].cols), rows = (int)dim_of(en, exp_rows[k].rows);
        if ((rc = find(en, in_layer(b, i, exp_rows[k].name), cols, rows, n, &t, e))) return rc;
        l->exp[k] = arena_array(&en->arena, (size_t)n, sizeof *l->exp[k]);
        if (!l->exp[k]) return err_nomem(e, "loading experts");
        for (int x = 0; x < n; x++)
            if ((rc = use_matrix(en, t, cols, rows, (int64_t)x * rows, &l->exp[k][x], e))) return rc;
    }
    return 0;
}

static int find_layer(struct engine *en, int i, struct err *e)
{
    struct cpu_layer *l = &en->layer[i];
    char b[64];
    int  rc;

    for (size_t k = 0; k < ARRAY_LEN(mat_rows); k++) {
        const struct mat_row *r = &mat_rows[k];
        const struct tensor  *t;
        if (!mat_is(en, r)) continue;
        int64_t cols = dim_of(en, r->cols), rows = dim_of(en, r->rows);
        if ((rc = find(en, in_layer(b, i, r->name), cols, r->total ? dim_of(en, r->total) : rows, 0, &t, e))) return rc;
        if ((rc = use_matrix(en, t, (int)cols, (int)rows, dim_of(en, r->from), &l->mat[r->id], e))) return rc;
    }
    for (size_t k = 0; k < ARRAY_LEN(vec_rows); k++) {
        const struct vec_row *r = &vec_rows[k];
        enum want             w = vec_wanted(en, r);
        if (w == WANT_NOT || (w == WANT_MAY && !gguf_tensor(en->gguf, in_layer(b, i, r->name)))) continue;
        int64_t n = dim_of(en, r->n);
        if ((rc = cpu_load_vector(en, in_layer(b, i, r->name), dim_of(en, r->from), n, r->total ? dim_of(en, r->total) : n,
                                  r->rows ? dim_of(en, r->rows) : 1, &l->vec[r->id], e)))
            return rc;
    }
    return en->traits & FAM_EXPERTS ? find_experts(en, i, l, e) : 0;
}

struct cpu_mat *cpu_layer_mat(const struct engine *en, struct cpu_layer *l, int i)
{
    int n = en->traits & FAM_EXPERTS ? en->hp.n_expert : 0;

    if (i < MATS) return &l->mat[i];
    i -= MATS;
    return i < EXPS * n ? &l->exp[i / n][i % n] : NULL;
}

/* Which layers have a window, and how each rotates. */
static void plan_layers(struct engine *en)
{
    const struct cpu_arch *a = en->arch;
    const struct hparams  *f = &en->file;
    char key[128];

    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", a->name);
    bool said = gguf_has(en->gguf, key);
    for (int i = 0; i < f->n_layer; i++) {
        struct cpu_layer *l = &en->layer[i];
        l->swa = f->n_swa && a->swa_every && (said ? f->layer[i].swa : (i + 1) % a->swa_every != 0);
        l->rope = en->traits & FAM_SWA_ROPE && l->swa;
        if (en->traits & FAM_LEARNED_POS || (a->nope_every && (i + 1) % a->nope_every == 0)) l->rope = -1;
    }
}

/* The type that most of the parameters have. */
static void find_quant(struct engine *en)
{
    uint64_t n[TENSOR_TYPES] = { 0 };
    int      best = 0;

    for (size_t i = 0; i < gguf_n_tensor(en->gguf); i++) {
        const struct tensor *t = gguf_tensor_at(en->gguf, i);
        n[t->type] += (uint64_t)t->dim[0] * (uint64_t)tensor_rows(t);
    }
    for (int i = 0; i < TENSOR_TYPES; i++)
        if (n[i] > n[best]) best = i;
    en->quant = tensor_type_row((enum tensor_type)best)->name;
}

/* Embeddings: read by rows from the file as they are needed, so only the type is tried here. */
static int find_embd(struct engine *en, const char *name, int rows, const struct tensor **ret, struct err *e)
{
    int    n = en->hp.n_embd, rc;
    float *row = arena_array(&en->arena, (size_t)n, sizeof *row);

    if (!row) return err_nomem(e, "loading embeddings");
    if ((rc = find(en, name, n, rows, 0, ret, e))) return rc;
    return dequant_row((*ret)->type, (*ret)->data, row, n) ? 0 : unreadable(en, *ret, e);
}

/* What turns hidden states into logits. */
static int find_output(struct engine *en, struct err *e)
{
    struct cpu_hparams  *hp = &en->hp;
    int                  n = hp->n_embd, rc;
    const struct tensor *out;

    /* The embeddings are also the output matrix where there is none of its own ("tied"). */
    const char *name = en->file.tied ? "token_embd.weight" : "output.weight";
    if ((rc = find(en, name, n, hp->n_vocab, 0, &out, e))) return rc;
    if ((rc = use_matrix(en, out, n, hp->n_vocab, 0, &en->output, e))) return rc;
    if ((rc = cpu_load_vector(en, "output_norm.weight", 0, n, n, 1, &en->output_norm, e))) return rc;
    return en->traits & FAM_LAYER_NORM ? cpu_load_vector(en, "output_norm.bias", 0, n, n, 1, &en->output_norm_b, e) : 0;
}

static int find_tensors(struct engine *en, struct err *e)
{
    struct cpu_hparams *hp = &en->hp;
    int                 rc;

    if ((rc = check_names(en, e))) return rc;
    if ((rc = find_embd(en, "token_embd.weight", hp->n_vocab, &en->embd, e))) return rc;
    if (en->traits & FAM_LEARNED_POS &&
        (rc = find_embd(en, "position_embd.weight", hp->n_ctx, &en->pos_embd, e))) return rc;
    if ((rc = en->traits & FAM_ENCODER ? cpu_enc_load(en, e) : find_output(en, e))) return rc;

    en->layer = arena_array(&en->arena, (size_t)hp->n_layer, sizeof *en->layer);
    if (!en->layer) return err_nomem(e, "loading layers");
    for (int i = 0; i < hp->n_layer; i++)
        if ((rc = find_layer(en, i, e))) return rc;
    plan_layers(en);
    find_quant(en);
    return 0;
}

/* --- packing --- */

struct pack_job {
    struct engine   *en;
    struct cpu_mat **mat; // [n]
    int              n;
};

enum { PANELS_AT_ONCE = 16 };

static size_t first_row(const struct cpu_mat *m, int panel)
{
    return (size_t)m->row0 + (size_t)panel * KERN_ROWS;
}

static void pack_panels(const struct cpu_mat *m, int first)
{
    size_t row_bytes = (size_t)tensor_row_bytes(m->src);
    int    n = kern_panels(m->packed.rows);

    for (int p = first; p < n && p < first + PANELS_AT_ONCE; p++) {
        int rows = m->packed.rows - p * KERN_ROWS;
        kern_pack(m->packed.type, m->packed.cols, m->src->data + first_row(m, p) * row_bytes, row_bytes,
                  rows < KERN_ROWS ? rows : KERN_ROWS,
                  (void *)(m->packed.data + (size_t)p * m->packed.panel_bytes));
    }
}

static void pack_lane(void *ctx, struct lane *l)
{
    const struct pack_job *job = ctx;

    for (int i = 0; i < job->n; i++) {
        const struct cpu_mat *m = job->mat[i];
        int chunks = (kern_panels(m->packed.rows) + PANELS_AT_ONCE - 1) / PANELS_AT_ONCE;
        for (int c; lane_next(l, chunks, &c);) pack_panels(m, c * PANELS_AT_ONCE);
        size_t row_bytes = (size_t)tensor_row_bytes(m->src);
        if (lane_id(l) == 0)
            huge_drop_file(m->src->data + (size_t)m->row0 * row_bytes, (size_t)m->packed.rows * row_bytes);
    }
}

static void place(struct pack_job *job, struct cpu_mat *m, size_t *at)
{
    if (!m->packed.panel_bytes) return; // has no kernel
    m->packed.data = job->en->weights + *at;
    *at += m->packed.panel_bytes * (size_t)kern_panels(m->packed.rows);
    job->mat[job->n++] = m;
}

static int pack_all(struct engine *en, const struct engine_conf *conf, struct err *e)
{
    struct pack_job job = { .en = en };
    size_t          at = 0, per_layer = MATS + EXPS * (size_t)en->hp.n_expert;

    job.mat = arena_array(&en->arena, (size_t)en->hp.n_layer * per_layer + 1, sizeof *job.mat);
    if (!job.mat) return err_nomem(e, "packing weights");
    if (!en->weights_bytes) return 0;
    bool packed = cpu_cache_read(en, conf->file, conf->cache);
    if (!packed) en->weights = huge_alloc(en->weights_bytes);
    if (!en->weights) return err_set(e, ERR_NO_MEMORY, "%s: no memory for %zu bytes of weights",
                                     gguf_name(en->gguf), en->weights_bytes);
    for (int i = 0; i < en->hp.n_layer; i++) {
        struct cpu_mat *m;
        for (int k = 0; (m = cpu_layer_mat(en, &en->layer[i], k)); k++) place(&job, m, &at);
    }
    place(&job, &en->output, &at);
    if (packed) return 0;
    pool_run(en->pool, pack_lane, &job);
    cpu_cache_write(en, conf->file, conf->cache);
    return 0;
}

int cpu_load(struct engine *en, const struct engine_conf *conf, struct err *e)
{
    int rc;

    if ((rc = find_tensors(en, e))) return rc;
    for (size_t i = 0; i < gguf_n_tensor(en->gguf); i++) {
        const struct tensor *t = gguf_tensor_at(en->gguf, i);
        en->n_param += t->n_dim > 1 ? (uint64_t)t->dim[0] * (uint64_t)tensor_rows(t) : 0;
    }
    return pack_all(en, conf, e);
}
