/* hparams.h - the shape of a model: hyperparameters from metadata, held against the tensors.
 *
 * For the llama family and its kin: token embedding, n_layer blocks of attention and feed-forward
 * (dense or experts), output norm, output. What passes here has sane numbers that agree with each
 * other and with the dimensions of the usual tensors where these are present. Which tensors an
 * architecture needs, and their types, is its engine's knowledge (gguf_need_tensor).
 *
 * Errors are BAD_FILE (or UNSUPP_MODEL for a name that nobody here knows) and name file, key or
 * tensor, the value found, the range allowed and the offset.
 * Keys: GGUF specification, "LLM" and "Tokenizer" sections.
 */
#ifndef CURLEW_MODEL_HPARAMS_H
#define CURLEW_MODEL_HPARAMS_H

#include "model/gguf.h"

enum rope_scaling { ROPE_NONE, ROPE_LINEAR, ROPE_YARN, ROPE_LONGROPE };

/* How a text's vector is made of its tokens'; the numbers are those in files. */
enum pooling_type { POOLING_NONE, POOLING_MEAN, POOLING_CLS, POOLING_LAST, POOLING_RANK };

/* What may differ from layer to layer. */
struct hparams_layer {
    int  n_head, n_head_kv;
    int  n_ff; // dense feed-forward width, 0 when the file does not say one
    bool swa;  // attends to the last n_swa positions only; set only where the file says so
};

struct hparams {
    const char           *arch;  // the caller's string
    struct hparams_layer *layer; // [n_layer], in the arena
    int                   n_vocab, n_ctx_train, n_embd, n_layer;
    int                   n_head, n_head_kv, n_ff; // the largest of any layer
    int                   head_dim;                // of queries and keys, even
    int                   head_dim_v;              // of values
    bool                  tied; // no output.weight: the token embedding serves as output

    int               n_rot; // dimensions of a head that rotate, even, <= head_dim
    double            rope_base;
    double            rope_base_swa; // of layers with a window; rope_base when not said
    enum rope_scaling rope_scaling;
    double            rope_factor;      // 1 when not said
    double            rope_attn_factor; // 1 when not said
    int               rope_ctx_orig;    // context before scaling, n_ctx_train when not said

    double norm_eps;
    bool   norm_rms;    // the epsilon given is that of RMS norm, else of layer norm
    int    n_swa;       // sliding window in positions, 0: none
    int    swa_pattern; // every so many-th layer has no window; 0 when not said
    bool   causal;
    enum pooling_type pooling;

    /* Factors and caps; 0 when not said, which means none. */
    double attn_scale, attn_softcap, final_softcap, logit_scale, embd_scale, residual_scale;

    int n_token_type; // kinds of segments; 0 when not said
    int n_expert, n_expert_used, n_expert_shared; // 0: a dense model
    int n_ff_expert, n_ff_expert_shared;          // 0 when not said
};

/* Read and check. `archs` are the names that the caller knows, NULL at the end. ret->layer is
 * allocated from a, with some working space. */
NODISCARD int hparams_read(const struct gguf *g, const char *const *archs, struct arena *a,
                           struct hparams *ret, struct err *e);

/* The tokenizer's part of the metadata, held against hp: its kind is one of `models` (NULL at the
 * end), the arrays are as long as the vocabulary, ids of special tokens are in it (but for padding,
 * which nothing uses: whoever reads that id checks it), templates are text of at most
 * LIM_CHAT_TEMPLATE bytes. An id of 2^32 - 1 in a file means "none". */
NODISCARD int hparams_check_vocab(const struct gguf *g, const struct hparams *hp,
                                  const char *const *models, struct err *e);

#endif
