/* cpu_int.h - shared inside engines/cpu: the loaded model and the memory of a forward pass. */
#ifndef CURLEW_ENGINES_CPU_INT_H
#define CURLEW_ENGINES_CPU_INT_H

#include "base/arena.h"
#include "engine.h"
#include "kern/kern.h"
#include "model/hparams.h"
#include "os/pool.h"

/* --- families --- */

/* What a family does differently. MAY: the tensors are used where the file has them. */
enum cpu_trait {
    FAM_NEOX          = 1 << 0,  // rotary pairs are (i, i + n/2), else neighbours
    FAM_LEARNED_POS   = 1 << 1,  // position_embd is added to the embeddings, nothing rotates
    FAM_EMBD_SQRT     = 1 << 2,  // embeddings count sqrt(n_embd) times
    FAM_LAYER_NORM    = 1 << 3,  // norms are LayerNorm with biases, else RMSNorm
    FAM_QK_NORM       = 1 << 4,  // RMSNorm over each head of q and k
    FAM_POST_NORMS    = 1 << 5,  // norms of what attention and feed-forward add to the residual
    FAM_FFN_NORM_POST = 1 << 6,  // the feed-forward's norm has the name of the attention's post-norm
    FAM_FUSED_QKV     = 1 << 7,  // q, k and v are rows of attn_qkv
    FAM_FUSED_GATE    = 1 << 8,  // gate and up are rows of ffn_up
    FAM_NO_GATE       = 1 << 9,  // feed-forward is act(up), else act(gate) * up
    FAM_BIAS_QKV      = 1 << 10,
    FAM_MAY_BIAS_QKV  = 1 << 11,
    FAM_BIAS_O        = 1 << 12,
    FAM_MAY_BIAS_O    = 1 << 13,
    FAM_BIAS_FFN      = 1 << 14, // of up and down
    FAM_SINKS         = 1 << 15, // each head has a score that takes part in the softmax and gives no value
    FAM_SWA_ROPE      = 1 << 16, // layers with a window rotate by rope_base_swa, unscaled
    FAM_EXPERTS       = 1 << 17, // a router chooses among feed-forwards
    FAM_MAY_EXPERTS   = 1 << 18, // ... where the file says so
    FAM_BIAS_EXPERTS  = 1 << 19, // of the router and of each expert
    FAM_ENCODER       = 1 << 26, // attention sees the whole text, norms behind each half of a layer: cpu_enc.c
    FAM_ALIBI         = 1 << 27, // nothing rotates: scores shrink with the distance
    FAM_MAY_BIAS_FFN  = 1 << 28,
};

enum cpu_act { CPU_ACT_SILU, CPU_ACT_GELU, CPU_ACT_SWIGLU_OAI };

#define FAM_SWA_ALL (1 << 20) // more than there are layers: all have a window

struct cpu_arch {
    const char  *name;   // general.architecture, and the prefix of its keys
    unsigned     traits; // of enum cpu_trait
    enum cpu_act act;
    int          swa_every;  // where the file has a window and no pattern: every so many-th layer has none;
                             // 0: the family has no windows, whatever the file says
    int          nope_every; // every so many-th layer does not rotate; 0: all do
    float        attn_softcap, final_softcap; // when the file does not say; 0: none
    int          narrow_scale_layers; // a model of so many layers scales scores by 1 / sqrt(n_embd / n_head)
};
int cpu_arch_count(void);
const struct cpu_arch *cpu_arch_at(int i);

/* --- the model --- */

struct cpu_hparams {
    int   n_layer, n_embd, n_head, n_head_kv, head_dim, n_rot, n_ff, n_vocab, n_ctx;
    int   q_dim, kv_dim;             // n_head * head_dim, n_head_kv * head_dim
    int   n_expert, n_expert_used;   // 0: dense
    int   n_swa;
    float eps;                       // of norms
    float attn_scale, attn_softcap;  // of scores; softcap 0: none
    float embd_scale, residual_scale, logit_scale, final_softcap; // scales 1: none; logits are divided
    enum engine_pooling pooling;
};

/* A weight matrix: packed for kernels, or, for types without one, as in the file (packed.data NULL): then
 * 16 rows at a time are read as f32 whenever they are needed. It may be some rows of a larger tensor. */
struct cpu_mat {
    struct kern_mat      packed;
    const struct tensor *src;
    int64_t              row0; // of src
};

enum cpu_mat_id { MAT_Q, MAT_K, MAT_V, MAT_O, MAT_GATE, MAT_UP, MAT_DOWN, MAT_ROUTER, MATS };

enum cpu_vec_id {
    VEC_ATTN_NORM, VEC_ATTN_NORM_B, VEC_ATTN_POST, // [n_embd]
    VEC_FFN_NORM, VEC_FFN_NORM_B, VEC_FFN_POST,    // [n_embd]
    VEC_Q_NORM, VEC_K_NORM,                        // [head_dim]
    VEC_SINKS,                                     // [n_head]
    VEC_Q_B, VEC_K_B, VEC_V_B, VEC_O_B,            // biases of the matrices
    VEC_UP_B, VEC_DOWN_B, VEC_ROUTER_B,
    VEC_GATES_B, VEC_UPS_B, VEC_DOWNS_B,           // of each expert in turn
    VEC_ATTN_POST_B, VEC_FFN_POST_B,               // encoders
    VECS
};

enum { EXP_GATE, EXP_UP, EXP_DOWN, EXPS };

/* Pages, and window pages for layers with a window (engine.h), each [n_page][layers][n_head_kv][K, V]. */
enum cpu_pages { CPU_PAGES, CPU_WIN_PAGES, CPU_PAGE_KINDS };

struct cpu_kv {
    unsigned char *mem;        // huge_alloc, or NULL: no layer has its keys and values here
    size_t         bytes, page_bytes;
    int            n_layer, n_page;
};

struct cpu_layer {
    struct cpu_mat  mat[MATS];   // packed.rows 0: the family has none
    struct cpu_mat *exp[EXPS];   // [n_expert] each, or NULL
    const float    *vec[VECS];   // rows padded to 16 with zeros, or NULL
    bool            swa;         // attends to the last n_swa positions only
    int             rope;        // of engine.rope, or -1
    enum cpu_pages  pages;       // where its keys and values lie
    int             kv_at;       // which layer of those pages it is
};

/* Angles of rotation: radians a position of each of n_rot / 2 pairs, and a factor of cosine and sine. */
struct cpu_rope {
    const float *inv_freq;
    float        mag;
};
enum { ROPES = 2 }; // of layers without a window, and with one where that differs

/* --- a micro-batch --- */

/* Up to so many tokens every lane prepares inputs for itself. */
#define CPU_ALONE 2

struct cpu_tok {
    int32_t        id;
    int            pos;
    const int32_t *page[CPU_PAGE_KINDS]; // of its sequence
    int            row;  // of the logits, or -1
};

/* Neighbouring tokens of one run that attend together. */
struct cpu_span {
    int first; // token of the micro-batch
    int n;
};

/* Which experts a token goes to, and the other way round. A slot is a token at an expert; those of one
 * expert are neighbours. */
struct cpu_moe {
    size_t         s_router, s_ff; // strides of floats
    float         *score;  // [n_ubatch][s_router]
    int32_t       *expert; // [n_ubatch][used], best first
    float         *weight; // [n_ubatch][used]
    int32_t       *slot;   // [n_ubatch][used]
    int32_t       *token;  // [slots]
    int32_t       *first;  // [n_expert + 1] slots of an expert
    float         *x;      // [slots][s_embd] inputs
    float         *gate, *up; // [slots][s_ff]
    float         *y;      // [slots][s_embd]
    unsigned char *xq;     // [slots][xq_bytes]
};

/* A whole text of an encoder's micro-batch. Its keys and values take n tokens rounded up to 16. */
struct cpu_text {
    int first, n;
    int n_first; // tokens of its first segment, or 0
    int at;      // its first place among the keys and values
};

/* What only an encoder has. Rows are [s_embd]. */
struct cpu_enc {
    const float *type;            // [n_type][s_embd] added to each token by its segment; NULL: none
    int          n_type;
    const float *norm, *norm_b;   // of the embeddings
    const float *slope;           // [n_head] of FAM_ALIBI, or NULL
    const float *dense, *dense_b; // [n_embd][s_embd], [n_embd] of a ranking head; NULL: none
    const float *out;             // [s_embd] of a ranking head; NULL: there is no head, or it ends with dense
    float        out_b;
    bool         rank;

    struct cpu_text *text;  // [n_ubatch]
    int              n_text;
    float           *k, *v; // [n_ubatch + 16][kv_dim in heads of 16] of a layer, as panels of F32 matrices
};

struct engine {
    struct gguf           *gguf; // owned
    struct arena           arena;
    const struct cpu_arch *arch;
    unsigned               traits; // the family's, with what the file decides
    struct hparams         file;   // as the file has them
    struct cpu_hparams     hp;
    struct kern            kern;
    struct pool           *pool; // owned

    const struct tensor *embd, *pos_embd; // pos_embd: or NULL
    struct cpu_mat       output;
    const float         *output_norm, *output_norm_b;
    struct cpu_rope      rope[ROPES];
    int                  n_rope;
    struct cpu_layer    *layer; // [n_layer], in arena

    unsigned char *weights; // packed, huge_alloc; or in the cache's mapping
    unsigned char *map;     // of the cache, or NULL
    size_t         map_bytes;
    size_t         weights_bytes;
    uint64_t       n_param;
    const char    *quant;

    struct cpu_kv  kv[CPU_PAGE_KINDS];
    size_t         kv_head_bytes, kv_layer_bytes;
    enum kern_kv   kv_type;
    int            n_ctx, n_seq, n_batch;

    /* Scratch of a micro-batch of up to n_ubatch tokens; strides in floats, padded to 16. */
    int              n_ubatch;
    int              lanes;
    unsigned char   *scratch; // huge_alloc; the rest points into it
    size_t           scratch_bytes;
    float           *x, *xn, *y, *q, *k, *v, *att, *gate, *up, *cs[ROPES];
    size_t           s_embd, s_q, s_kv, s_ff;
    unsigned char   *xq;       // inputs as kern_q8
    size_t           xq_bytes; // of a token
    float           *lane_mem; // [lanes][lane_floats]: attention and rows of unpacked matrices
    size_t           lane_floats;
    size_t           lane_xn, lane_xq; // in it: inputs of up to CPU_ALONE tokens
    struct cpu_tok  *tok;  // [n_ubatch]
    struct cpu_span *span; // [n_ubatch]
    int              n_tok, n_span;
    bool             single_spans; // no run has two
    struct cpu_moe   moe;
    struct cpu_enc   enc;

    float *hidden; // [n_batch][s_embd] inputs of the output matrix
    float *logits; // [n_batch][s_vocab]
    size_t hidden_bytes, logits_bytes, s_vocab;
    int    n_row;  // logits rows of this forward
    int    n_hidden; // hidden states wanted of it: in `hidden` from its end backwards
};

static inline size_t cpu_pad16(size_t n) { return (n + 15) & ~(size_t)15; }

/* cpu_hparams.c: architecture and hyperparameters, from en->gguf. */
NODISCARD int cpu_read_hparams(struct engine *en, struct err *e);
/* cpu_load.c: tensors, packed weights (in parallel, or from the cache), after cpu_read_hparams. */
NODISCARD int cpu_load(struct engine *en, const struct engine_conf *conf, struct err *e);
/* cpu_cache.c: en->weights and en->map from the cache, when the matrices are known; false: they have to be packed. And
 * packed weights into it. Both do nothing unless the cache is of that kind (NULL: none), and set its state. */
bool cpu_cache_read(struct engine *en, const struct engine_file *src, struct engine_cache *c);
void cpu_cache_write(struct engine *en, const struct engine_file *src, struct engine_cache *c);
/* cpu_load.c: a vector of n values, or n of each of `rows`, that starts at value `from` of a tensor of `total`
 * values a row, as f32 in the arena, each row padded to 16 with zeros. */
NODISCARD int cpu_load_vector(struct engine *en, const char *name, int64_t from, int64_t n, int64_t total, int64_t rows,
                              const float **ret, struct err *e);
/* cpu_kv.c: the cache, for what conf asks; after cpu_load. Sets n_ctx and n_seq. */
NODISCARD int  cpu_alloc_kv(struct engine *en, const struct engine_conf *conf, struct err *e);
void           cpu_free_kv(struct engine *en);
const char    *cpu_kv_type_name(const struct engine *en);
/* cpu_rope.c: en->rope, after the context's length is known. */
NODISCARD int cpu_load_rope(struct engine *en, struct err *e);

/* Every matrix of a layer in turn: NULL behind the last. */
struct cpu_mat *cpu_layer_mat(const struct engine *en, struct cpu_layer *l, int i);

/* Jobs for the pool, ctx is the engine: one micro-batch through all layers (rows wanted go to
 * en->hidden), and the output matrix over en->hidden. */
void cpu_layers_job(void *ctx, struct lane *l);
void cpu_output_job(void *ctx, struct lane *l);
/* Query tokens that attend together, so that with all heads of a group they fill the kernel. */
int  cpu_span_max(const struct engine *en);

/* --- cpu_mul.c: products, as phases of a job --- */

/* The inputs of one or several matrices, in one form or both. */
struct cpu_inputs {
    const float         *f32;
    size_t               stride; // floats from a token to the next
    const unsigned char *q8;
    size_t               q8_bytes; // from a token to the next
};

/* out[n_tok][rows] (+)= mat * inputs + bias */
struct cpu_product {
    const struct cpu_mat *mat;
    float                *out;
    size_t                stride;
    const float          *bias; // or NULL
};

struct cpu_norm {
    const float *w, *b; // w NULL: no norm; b NULL: RMSNorm
};

bool cpu_wants_q8(const struct cpu_mat *m);
/* Rows of panels panel .. panel + n_panel - 1 of a product, by the lane that calls. */
void cpu_panels(const struct engine *en, struct lane *l, const struct cpu_product *p, const struct cpu_inputs *in,
                int panel, int n_panel, int n_tok, bool add);
/* Panels of an item of work, so that each lane gets several of `total`; even, as kernels take two at a time. And
 * how many items that makes. */
int  cpu_panels_at_once(const struct engine *en, int total);
int  cpu_chunks(int n, int at_once);
/* One phase for some products of the same inputs. */
void cpu_multiply(struct engine *en, struct lane *l, const struct cpu_product *p, int n, const struct cpu_inputs *in,
                  int n_tok, bool add);
void cpu_norm_row(const struct engine *en, struct cpu_norm norm, const float *x, int n, float *out);
/* Norm (or none) of n_tok rows of n values into en->xn, and those in 8 bits into xq unless that is NULL; or both
 * into the lane's own memory. One phase or none. Returns what to multiply. */
struct cpu_inputs cpu_prepare(struct engine *en, struct lane *l, const float *x, size_t stride, int n_tok, int n,
                              struct cpu_norm norm, unsigned char *xq);
/* Of the lane that calls: lane_floats of scratch. */
float *cpu_lane_mem(const struct engine *en, const struct lane *l);
/* gate = act(gate) * up of n values; up NULL: of gate alone. */
void cpu_activate(const struct engine *en, float *gate, const float *up, int n);

/* cpu_rope.c: cosine and sine of each pair, cs[n_rot]. */
void cpu_rope_angles(const struct engine *en, const struct cpu_rope *r, int pos, float *cs);

/* cpu_enc_load.c: what an encoder has beside its layers and embeddings. */
NODISCARD int cpu_enc_load(struct engine *en, struct err *e);
/* cpu_enc.c: a batch of whole texts; rows of hidden states are counted in en->n_hidden. */
void   cpu_enc_forward(struct engine *en, const struct engine_batch *batch);
float  cpu_enc_score(const struct engine *en, const float *pooled);
size_t cpu_enc_lane_floats(const struct engine *en);    // of a lane, for attention
size_t cpu_enc_kv_floats(const struct engine *en);      // of k, and of v

/* cpu_moe.c: the experts' feed-forward of en->x, into en->y. */
void cpu_experts(struct engine *en, struct lane *l, const struct cpu_layer *w);

#endif
