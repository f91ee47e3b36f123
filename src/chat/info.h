/* info.h - what a loaded model is and can do, as the API shows it.
 *
 * Written by the worker that loaded it, read by the front; strings come from a model file and are as
 * little trusted as the worker. */
#ifndef CURLEW_CHAT_INFO_H
#define CURLEW_CHAT_INFO_H

#include "base/arena.h"
#include "base/err.h"
#include "base/pack.h"

enum chat_can {
    CHAT_CAN_CHAT      = 1 << 0, // has a chat template, of its own or built in
    CHAT_CAN_TOOLS     = 1 << 1, // the template shows tools
    CHAT_CAN_THINK     = 1 << 2, // the template has a thinking switch or opens thinking
    CHAT_CAN_LOGPROBS  = 1 << 3,
    CHAT_CAN_SEED      = 1 << 4,
    CHAT_CAN_SAMPLING  = 1 << 5, // temperature and the like are obeyed per request
    CHAT_CAN_BIAS      = 1 << 6, // logit_bias, penalties, masks
    CHAT_CAN_TOK_IN    = 1 << 7, // prompts as token ids
    CHAT_CAN_CHOICES   = 1 << 8, // n > 1
    CHAT_CAN_EMBED     = 1 << 9,
    CHAT_CAN_RANK      = 1 << 20, // compares documents with a query
    CHAT_CAN_GENERATE  = 1 << 21, // text at all: an encoder does not
};

struct chat_info {
    struct str engine; // "cpu"
    struct str arch;   // "llama"
    struct str quant;  // "Q8_0"
    struct str tokenizer;
    int        n_ctx;
    int        n_ctx_train;
    int        n_seq; // sequences at once
    int        n_vocab;
    uint64_t   n_param;
    uint64_t   weight_bytes;
    uint64_t   kv_bytes;
    unsigned   can; // enum chat_can
    struct str fingerprint; // of model and engine, "fp_" and 10 hex digits
    int        n_embd; // values of a vector, 0: it gives none
};

void          chat_info_pack(struct buf *b, const struct chat_info *i);
NODISCARD int chat_info_unpack(struct str bytes, struct arena *a, struct chat_info *ret, struct err *e);

#endif
