/* penal_int.h - what the tokens so far do to the logits: penalties and DRY. */
#ifndef CURLEW_SAMPLE_PENAL_INT_H
#define CURLEW_SAMPLE_PENAL_INT_H

#include "cand_int.h"
#include "chat/params.h"

/* Token ids to small numbers: open addressing of fixed size, at most half full. */
struct penal_map {
    int32_t *tok; // [cap], -1 when empty
    int32_t *val; // [cap]
    int      cap; // power of two, or 0
};

struct penal {
    int32_t *hist;     // [2 * window]: the last tokens, newest last; slides when full
    int      n_hist;
    int      window;   // tokens that must stay, 0: no history is needed
    int      n_pen;    // window of the penalties
    int      n_dry;    // window of DRY
    uint64_t n_all;    // tokens so far
    uint64_t n_prompt; // of them, the first ones: the prompt's
    struct penal_map seen;   // token -> times in the window of the penalties
    struct penal_map said;   // token -> of these, times in the answer
    struct penal_map ends;   // DRY: token -> longest repetition it would continue
    int32_t         *match;  // [n_dry] DRY: Z values
    int32_t         *breaker; // [n_breaker] sorted
    int              n_breaker;
};

/* All memory the parameters call for, and none when they are neutral. 0 or -ERR_NO_MEMORY (then
 * release it). */
int  penal_init(struct penal *p, const struct chat_params *par, int n_vocab, int n_ctx,
                const int32_t *breaker, int n_breaker);
void penal_release(struct penal *p);
void penal_accept(struct penal *p, int32_t tok); // of the answer
void penal_prompt(struct penal *p, int32_t tok); // of the prompt, all before the answer's

void penal_apply(const struct penal *p, const struct chat_params *par, struct sample_scratch *c);
void penal_dry(struct penal *p, const struct chat_params *par, struct sample_scratch *c);

#endif
