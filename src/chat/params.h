/* params.h - how a request wants its tokens chosen and its answer ended.
 *
 * The same in every dialect and for every engine. Each value is valid by the time it is here: the
 * dialect checked its range and named the field at fault. */
#ifndef CURLEW_CHAT_PARAMS_H
#define CURLEW_CHAT_PARAMS_H

#include "base/str.h"

struct chat_bias {
    int32_t tok;
    float   bias; // -100 .. 100, added to the logit; -100 forbids, 100 forces
};

/* Samplers that may stand in a chain. */
enum chat_sampler {
    CHAT_SAMPLER_PENALTIES,
    CHAT_SAMPLER_DRY,
    CHAT_SAMPLER_TOP_N_SIGMA,
    CHAT_SAMPLER_TOP_K,
    CHAT_SAMPLER_TYPICAL,
    CHAT_SAMPLER_TOP_P,
    CHAT_SAMPLER_MIN_P,
    CHAT_SAMPLER_XTC,
    CHAT_SAMPLER_TEMPERATURE,
    CHAT_SAMPLERS
};

struct chat_params {
    float temperature;       // 0: greedy
    float dyn_temp_range;    // 0: off; temperature +- range by entropy
    float dyn_temp_exponent; // 1
    int   top_k;             // 0: off
    float top_p;             // 1: off
    float min_p;             // 0: off
    float typical_p;         // 1: off
    float top_n_sigma;       // <= 0: off
    float xtc_probability;   // 0: off
    float xtc_threshold;     // 0.1

    float repeat_penalty;    // 1: off; divides or multiplies logits of tokens in prompt and answer
    float frequency_penalty; // 0: off; per occurrence in the answer
    float presence_penalty;  // 0: off; once, for those in the answer
    int   penalty_last_n;    // tokens of prompt and answer looked back at; -1: all

    float dry_multiplier;     // 0: off
    float dry_base;           // 1.75
    int   dry_allowed_length; // 2
    int   dry_last_n;         // -1: the whole context

    int   mirostat; // 0: off, 1, 2; replaces the chain's truncating samplers
    float mirostat_tau;
    float mirostat_eta;

    uint64_t seed;     // when has_seed
    bool     has_seed; // else a random one is drawn

    const struct chat_bias *bias; // [n_bias] in the request's arena
    int                     n_bias;

    enum chat_sampler order[CHAT_SAMPLERS]; // samplers in the order they run
    int               n_order;              // 0: the default order
};

/* Values that leave the model's distribution as it is, temperature 1. */
void chat_params_init(struct chat_params *p);

#endif
