/* sched.h - which tokens go into the next forward pass, and where their keys and values lie.
 *
 * The scheduler owns the sequences and the KV pages, and nothing else: no I/O, no clock, no
 * threads. The same calls give the same plans. One thread.
 *
 *     sched_add          a request; refused at once when it can never run
 *     loop: sched_plan   the batch for engine_ops.forward
 *           forward
 *           sched_done   it worked, or not
 *           for each run with `sample`: sample its last row, then
 *               sched_token   the sequence goes on with this token, or
 *               sched_finish  it has ended
 *     sched_cancel       at any time
 *
 * Policy
 *   - Every decoding sequence gets its token in every batch. What is left is prefill, in pieces;
 *     while any sequence decodes, at most n_prefill tokens a batch, so that no stream's step grows
 *     beyond that.
 *   - Prefill and admission go to the flow (key, priority) that has been served least, in tokens
 *     computed for it over its weight; a weight is 4^priority. Within a flow the oldest request
 *     goes first. A flow that was idle starts level with the least served. (Sheng et al., Fairness
 *     in Serving Large Language Models, arXiv:2401.00588: the virtual token counter.)
 *   - No starvation: when a place is free, the least served flow has it or nobody; nobody
 *     overtakes it for being smaller. Two flows that both always wait differ in service by at most
 *     one batch and what the sequences admitted for them still take, each over its weight.
 *   - Full pages whose tokens are computed are shared by whoever has the same salt and the same
 *     tokens from position 0 on; tokens are compared, not only hashes. Unused ones stay until the
 *     room is needed, least recently used first. A request whose next page a running one is about
 *     to compute waits for that page.
 *   - A sequence is admitted when its tokens so far and one page more fit beside what the running
 *     ones still need for theirs. When decoding runs out of pages all the same, the sequence of
 *     lowest priority, among those the youngest, gives its pages back and waits again with all its
 *     tokens. Each time that happens it counts as one priority higher for this purpose, so it does
 *     not happen for ever. The highest ranked sequence is never touched and fits alone, so there
 *     is always progress.
 *   - Models with windows: besides its pages a sequence holds window pages (pages.h), those that the window of its
 *     next token touches, and while a piece of its prompt is computed those of that piece. Older ones stay known
 *     with their pages until the room is needed. A known prefix is used up to where all window pages of its last
 *     window are known too, and the rest is computed again.
 *   - Context shift, where a request asks for it: a sequence that reaches the end of the context drops half of its
 *     tokens behind the first n_keep. Its positions are others then, so it is computed again like a prompt, and is
 *     exactly what that text gives by itself.
 *   - Choices of one request share the full pages of its prompt; what is left, less than a page,
 *     each computes itself (engine_ops.page_copy is not used).
 */
#ifndef CURLEW_SCHED_SCHED_H
#define CURLEW_SCHED_SCHED_H

#include "base/err.h"
#include "engine.h"

struct sched;

/* A sequence: one choice of one request. Never 0, never reused: a stale one is known as such. */
typedef uint64_t sched_seq;

struct sched_conf {
    int  n_seq;     // most sequences running at once, >= 1
    int  n_queue;   // sequences that may wait beyond those, >= 0
    int  n_ctx;     // most tokens of one sequence, >= 2
    int  n_page;    // KV pages, numbered from 0, >= 1
    int  page_tok;  // tokens of a page, >= 1
    int  n_swa;     // positions of the window, its own included, of layers with window pages; 0: no such layers
    int  n_win;     // window pages, numbered from 0; enough for one window (sched_new says how many that is)
    int  n_batch;   // most tokens of one batch, >= n_seq
    int  n_prefill; // most prefill tokens of a batch that also decodes, >= 1
    bool prefix;    // share pages between equal prefixes
    int  n_draft;   // most guessed tokens that a decoding run may carry, 0: none (sched_draft.c)
    int  n_draft_seq; // only while at most so many sequences run
};

/* Errors: INVALID_VALUE (which field), NO_MEMORY. */
NODISCARD int sched_new(const struct sched_conf *conf, struct sched **ret, struct err *e);
void          sched_free(struct sched *s); // NULL is fine

#define SCHED_PRIORITY_MAX 3 // priorities are cut to -3 .. 3

struct sched_req {
    uint64_t       id;       // of the caller's choice, unique among the living
    uint64_t       key;      // whose it is: fairness is between keys
    uint64_t       salt;     // pages are shared only within one salt
    int            priority; // 0 is normal; higher is sooner
    const int32_t *tok;      // [n_tok] the prompt, copied
    int            n_tok;    // >= 1
    int            n_max;    // most tokens to generate, >= 1; -1: to the end of the context
    int            n_choice; // 1 .. LIM_CHOICES
    bool           echo;     // choice 0 wants the logits of every prompt position: nothing of it comes
                             // from the cache
    bool           embed;    // nothing is generated: rows are hidden states, n_max means nothing, and after
                             // the run with `sample` only sched_finish is legal
    bool           shift;    // n_max may go beyond the context: at its end the oldest text is dropped
    int            n_keep;   // shift: tokens at the head that stay, at most half of the context
    void          *user;     // borrowed, handed back with each run
};

/* Queue a request. n_max is cut to what the context and the pages hold (with `shift` only where it is -1).
 * Errors: CONTEXT_LENGTH (prompt and one token exceed n_ctx), TOO_LARGE (exceed all pages
 * together, or more choices than places), QUEUE_FULL, BAD_REQUEST (empty prompt, id in use),
 * NO_MEMORY. */
NODISCARD int sched_add(struct sched *s, const struct sched_req *req, struct err *e);

/* A run of the plan. Rows of logits: engine.h; with `sample` the last row is the next token's. */
struct sched_run {
    sched_seq seq;
    uint64_t  id;
    int       choice;
    void     *user;
    bool      sample;   // its tokens are complete: sample, then sched_token or sched_finish
    bool      decode;   // an answer's token, not prefill
    int       n_draft;  // guesses behind it: so many more rows, of the tokens that follow
    int       n_echo;   // the first n_echo rows are the prompt positions pos_echo and following (echo)
    int       pos_echo;
    int       n_prompt; // tokens of the prompt
    int       n_cached; // of them found in the cache when first admitted; final once `sample` is set
};

struct sched_plan {
    struct engine_batch     batch; // n_run 0: nothing to do
    const struct sched_run *run;   // [batch.n_run], beside batch.run
    int                     n_tok; // in all
    int                     n_decode; // of them decode
    int                     n_logits; // rows in all
};

/* The next batch; empty when nobody can run. Pointers are the scheduler's and good until
 * sched_done, which must follow unless the plan is empty (asserted). A sequence whose sampled
 * token has not come yet sits out. Allocates nothing. */
void sched_plan(struct sched *s, struct sched_plan *ret);

/* The planned batch was computed (ok), or failed: then nothing has happened, and the next plan
 * starts from the same positions unless the caller cancels. */
void sched_done(struct sched *s, bool ok);

enum sched_more {
    SCHED_MORE, // goes on
    SCHED_NEXT, // goes on, and the token was the guessed one: the run's next row is for the next token
    SCHED_FULL, // that was the last token that n_max, context or pages allow: sched_finish it
    SCHED_GONE, // no such sequence (any more)
};

/* The sampled token of a sequence. Once after each run with `sample` (else SCHED_GONE), and again after each SCHED_NEXT. */
enum sched_more sched_token(struct sched *s, sched_seq seq, int32_t tok);
/* The sequence has ended; its place and pages are free, its full pages stay known. False: gone. */
bool sched_finish(struct sched *s, sched_seq seq);
/* All choices of the request, running or waiting, are gone at once. Between sched_plan and
 * sched_done the memory of planned runs stays until sched_done. False: no such request. */
bool sched_cancel(struct sched *s, uint64_t id);

/* Some sequence of the request has been admitted once (it may wait again after preemption). */
bool sched_is_running(const struct sched *s, uint64_t id);
/* Requests of which nothing has run yet, oldest first, for deadlines: *it starts at 0. False at the
 * end. A request may be cancelled between two calls. */
bool sched_next_waiting(const struct sched *s, uint64_t *it, uint64_t *id);

struct sched_stats {
    int      n_running, n_waiting;      // sequences
    int      n_page_free;               // hold nothing
    int      n_page_cached;             // hold a known prefix, used by nobody
    int      n_page_used;
    int      n_win_free, n_win_cached, n_win_used; // window pages likewise
    uint64_t n_preempt;                 // since start
    uint64_t n_tok_prompt, n_tok_cached; // prompt tokens admitted, and of them found in the cache
    uint64_t n_tok_prefill, n_tok_decode; // computed
    uint64_t n_tok_draft, n_tok_hit;      // guessed, and of them right
};
void sched_stats(const struct sched *s, struct sched_stats *ret);

/* Everything adds up: each page is free, cached or used by exactly as many as refer to it, nothing
 * that is written is shared, every count is right. For tests; O(pages + tokens). */
bool sched_check(const struct sched *s);

#endif
