/* sample.h - from logits to the next token.
 *
 * A sampler belongs to one choice of one request: its parameters, its random numbers, its history
 * for penalties. The large working memory is a scratch, one per thread, shared by every sampler
 * used there.
 *
 * What happens to one row of logits, in this order:
 *
 *   1. NaN and -inf are impossible, and so is what the mask forbids. +inf counts as 1e30.
 *   2. logit_bias is added.
 *   3. The chain runs: params.order, or when that is empty penalties, dry, top_n_sigma, top_k,
 *      typical, top_p, min_p, xtc, temperature. A sampler that is not in the order does not run.
 *   4. One token is drawn from the softmax of what survived.
 *
 * Temperature 0 (anything under 1e-6, without dynamic range) is greedy: the largest logit after
 * bias, penalties and DRY, the lowest id among equals; the truncating samplers and XTC do not run.
 * Mirostat takes the place of the truncating samplers and XTC; penalties, DRY and temperature
 * still run.
 *
 * Where a sampler cuts between equal logits, lower ids stay. Each sum is made in one fixed order
 * with IEEE add, multiply and divide only (our own exp and log), so the same seed, parameters and
 * logits give the same tokens on every machine and with every compiler.
 *
 * Nothing is allocated after sampler_new. Not thread-safe for one sampler or one scratch.
 */
#ifndef CURLEW_SAMPLE_SAMPLE_H
#define CURLEW_SAMPLE_SAMPLE_H

#include "base/err.h"
#include "chat/params.h"

struct sample_scratch;
struct sampler;

/* Working memory for rows of up to n_vocab logits, about 22 bytes for each. Error: NO_MEMORY. */
NODISCARD int sample_scratch_new(int n_vocab, struct sample_scratch **ret, struct err *e);
void          sample_scratch_free(struct sample_scratch *sc); // NULL is fine

struct sampler_conf {
    const struct chat_params *params;  // copied; its bias list is borrowed for the sampler's life
    int                       n_vocab; // 1 .. LIM_VOCAB
    int                       n_ctx;   // what "the whole context" (last_n -1) means, >= 1
    uint64_t                  seed;    // of the request
    int                       choice;  // 0 .. n_choice - 1: each has random numbers of its own
    const int32_t            *breaker; // [n_breaker] DRY sequence breakers; copied
    int                       n_breaker; // at most LIM_DRY_BREAKERS
};

/* Errors: INVALID_VALUE when a bias names a token outside the vocabulary, TOO_LARGE for too many
 * breakers, NO_MEMORY. */
NODISCARD int sampler_new(const struct sampler_conf *conf, struct sampler **ret, struct err *e);
void          sampler_free(struct sampler *s); // NULL is fine

/* Choose the next token.
 *
 *   logits   [n_vocab], only read: sample_logprobs sees the same row before or after
 *   allowed  [ceil(n_vocab / 64)] bitmap, token i is bit i % 64 of word i / 64; NULL allows all
 *
 * Changes only the random state: calling again without sampler_accept draws again. A sampler's
 * scratch must have been made for at least its n_vocab (asserted).
 * Error: INTERNAL when no token is possible: all logits NaN or -inf, or none of the allowed is
 * left. */
NODISCARD int sampler_sample(struct sampler *s, struct sample_scratch *sc, const float *logits,
                             const uint64_t *allowed, int32_t *ret, struct err *e);

/* The token that follows in the answer, sampled or not: it enters the history of the penalties and
 * moves mirostat's target. */
void sampler_accept(struct sampler *s, int32_t tok);

/* A token of the prompt, in order and before the first sampler_accept: DRY and the repetition
 * penalty see it, presence and frequency penalties do not, which count what was sampled (OpenAI API
 * reference; vLLM does the same). Costs nothing when no penalty is on. */
void sampler_prompt(struct sampler *s, int32_t tok);

struct sample_prob {
    int32_t tok;
    float   p;
};

/* Like sampler_sample up to the draw: the tokens that survive the chain with their probabilities,
 * in order of id, at most `max` of them into `list`; *n is how many there are. For tests, and to
 * show what the sampler saw. Greedy gives one token; mirostat's cut is included; XTC draws its
 * chance. */
NODISCARD int sampler_dist(struct sampler *s, struct sample_scratch *sc, const float *logits,
                           const uint64_t *allowed, struct sample_prob *list, int max, int *n,
                           struct err *e);

#define SAMPLE_IMPOSSIBLE (-9999.0f) // logprob of what cannot happen; JSON has no -inf

struct sample_logprob {
    int32_t tok;
    float   logprob; // natural logarithm, or SAMPLE_IMPOSSIBLE
};

/* Log-probabilities of the model itself: the log-softmax of the row as the engine gave it, before
 * bias, penalties, mask, temperature and truncation, so that they do not depend on how the token
 * was chosen.
 *
 *   chosen  0 <= chosen < n; *ret is its logprob
 *   top     [n_top] receives the most probable tokens, best first, the lower id among equals
 *
 * Returns how many were written: n_top, or fewer when fewer tokens are possible. Cannot fail, any
 * thread, allocates nothing. 0 <= n_top <= LIM_TOP_LOGPROBS (asserted). */
int sample_logprobs(const float *logits, int n, int32_t chosen, struct sample_logprob *ret,
                    struct sample_logprob *top, int n_top);

#endif
