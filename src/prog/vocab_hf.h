/* vocab_hf.h - the vocabulary and template in a Hugging Face folder's files. */
#ifndef CURLEW_PROG_VOCAB_HF_H
#define CURLEW_PROG_VOCAB_HF_H

#include "base/arena.h"
#include "base/err.h"
#include "token/tok.h"

#define VOCAB_HF_BYTES  MIB(256) // a tokenizer.json; the largest known has 33 MiB
#define VOCAB_HF_CONFIG MIB(4)   // a tokenizer_config.json

struct vocab_hf {
    struct str tokenizer; // text of tokenizer.json; STR_NULL: the template is wanted only
    struct str config;    // of tokenizer_config.json, or STR_NULL
    struct str jinja;     // of chat_template.jinja, or STR_NULL
};

/* The vocabulary, and in *tmpl (allocated from a) its chat template, STR_NULL when the files have none. */
NODISCARD int vocab_hf_open(const struct vocab_hf *v, struct arena *a, struct tok **ret, struct str *tmpl,
                            struct err *e);

#endif
