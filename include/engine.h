/* engine.h - what an engine implements; the one public header.
 *
 * An engine turns tokens into the next tokens. There are two ways to be one, and an engine says in
 * its `caps` which it has:
 *
 *   forward    A batch of tokens goes in, logits come out. curlew schedules, shares the KV cache,
 *              constrains and samples; every feature of the API is possible.
 *   generate   The vendor runs its own loop: text or tokens go in, pieces come out through a
 *              callback. One run at a time; what the runtime cannot do (masks, logprobs, seeds ...)
 *              is absent from `caps`, and a request that needs it is refused, never half served.
 *
 * An engine lives in a worker process of its own. It may crash, hang or leak there: the process is
 * the unit of repair. It is opened from file descriptors, after the worker gave up its rights, so it
 * opens no paths and no sockets.
 *
 * Threads: all calls come from one thread, one at a time, except `abort`, which may come from any
 * thread while `generate` runs. An engine may use threads of its own inside a call.
 */
#ifndef CURLEW_ENGINE_H
#define CURLEW_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;    // base/err.h: filled once on failure
struct tok;    // token/tok.h
struct engine; // an engine's own state; each engine defines its own

#define ENGINE_API 2 // changes when a struct below does

enum engine_cap {
    ENGINE_FORWARD  = 1 << 0, // has `forward`
    ENGINE_GENERATE = 1 << 1, // has `generate`
    ENGINE_TOK_IN   = 1 << 2, // generate takes token ids
    ENGINE_TEXT_IN  = 1 << 3, // generate takes text
    ENGINE_TOK_OUT  = 1 << 4, // pieces carry token ids
    ENGINE_SAMPLING = 1 << 5, // generate obeys engine_sampling per run, else only its own defaults
    ENGINE_SEED     = 1 << 6, // ... and its seed
    ENGINE_THINKING = 1 << 7, // generate can switch the model's thinking itself
    ENGINE_ABORT    = 1 << 8, // abort takes effect between tokens, else only at the run's end
    ENGINE_BYTES    = 1 << 9, // no vocabulary of its own: token ids are bytes, then end-of-text (256)
    ENGINE_EMBED    = 1 << 10, // gives hidden states, for embeddings: engine_run.hidden, engine_gen.hidden
    ENGINE_WHOLE    = 1 << 11, // an encoder: forward takes whole texts and gives hidden states, no logits
    ENGINE_RANK     = 1 << 12, // has `score`: what is embedded are pairs of a query and a document
    ENGINE_CHAT_IN  = 1 << 16, // generate takes conversations and nothing else: the runtime has the template
    ENGINE_KNOBS    = 1 << 17, // engine_info.knobs says what a request may set; it is refused when it sets more
};

/* Sampling that a runtime obeys for each run (ENGINE_KNOBS). */
enum engine_knob {
    ENGINE_KNOB_TEMPERATURE = 1 << 0,
    ENGINE_KNOB_TOP_P       = 1 << 1,
    ENGINE_KNOB_TOP_K       = 1 << 2,
    ENGINE_KNOB_MIN_P       = 1 << 3,
    ENGINE_KNOB_REPEAT      = 1 << 4,
    ENGINE_KNOB_FREQUENCY   = 1 << 5,
    ENGINE_KNOB_PRESENCE    = 1 << 6,
    ENGINE_KNOB_SEED        = 1 << 7,
};

/* How the hidden states of a text's tokens become the one vector of the text. */
enum engine_pooling {
    ENGINE_POOL_LAST,  // that of the last token
    ENGINE_POOL_FIRST, // that of the first token ("cls")
    ENGINE_POOL_MEAN,  // the mean of all
};

/* One open file of the model. The first is the model itself; others lie beside it. */
struct engine_file {
    const char *name; // base name: "model.gguf", "tokenizer.json"
    int         fd;   // open for reading, size fixed; borrowed, stays open while the engine lives
    uint64_t    size; // bytes
};

/* A file where an engine may keep what it made of the model, to start faster the next time. */
enum engine_cache_state {
    ENGINE_CACHE_NONE,
    ENGINE_CACHE_THERE,   // fd is open for reading, `size` bytes
    ENGINE_CACHE_WANTED,  // fd is open for writing, empty
    ENGINE_CACHE_USED,    // from here on what the engine's `open` says: it was there, and good
    ENGINE_CACHE_STALE,   // it was there, and of something else, or damaged
    ENGINE_CACHE_WRITTEN, // it was wanted, and is whole
    ENGINE_CACHE_FAILED,  // it was wanted, and could not be written
};

struct engine_cache {
    int                     fd; // borrowed until `open` returns
    uint64_t                size;
    enum engine_cache_state state;
};

/* What keys and values are kept as (forward). An engine that has no such type takes its own. */
enum engine_kv {
    ENGINE_KV_F16,  // 2 bytes a value
    ENGINE_KV_Q8_0, // 8 bits a value, a 16-bit scale for 32
};

struct engine_conf {
    const struct engine_file *file;
    int                       n_file;
    int                       n_thread; // compute threads, >= 1
    int                       n_ctx;    // tokens of one sequence wanted; 0: the model's own limit
    int                       n_seq;    // sequences that should run at once, >= 1
    int                       n_batch;  // most tokens of one forward, >= 1
    int64_t                   kv_bytes; // ceiling of the KV cache; 0: n_seq sequences of n_ctx
    const void               *own;      // options of this engine alone, as its header says; or NULL
    struct engine_cache      *cache;    // or NULL
    enum engine_kv            kv_type;
};

/* What the opened engine is. Strings are borrowed from the engine. */
struct engine_info {
    uint32_t    caps;         // enum engine_cap
    const char *arch;         // "llama"
    const char *quant;        // "Q8_0": the type of most weights
    int         n_ctx;        // most tokens of one sequence
    int         n_seq;        // most sequences at once; 1 for a vendor's loop
    int         n_vocab;      // logits of one row; 0 when unknown
    int         n_batch;      // most tokens of one forward
    int         kv_page_tok;  // tokens of one KV page (forward)
    int         n_kv_page;    // pages, numbered from 0 (forward)
    int         n_swa;        // layers with window pages attend to so many positions; 0: there are none
    int         n_win_page;   // window pages, numbered from 0
    uint64_t    n_param;      // parameters; 0 when unknown
    uint64_t    weight_bytes; // resident weights
    uint64_t    kv_bytes;     // the KV cache in all
    uint32_t    knobs;        // enum engine_knob, with ENGINE_KNOBS
    int         n_prompt;     // most tokens of a prompt where that is less than n_ctx; 0: it is not
    const struct tok *tok;    // a vocabulary that the engine found itself (token/tok.h); NULL: none
    const char *chat_template; // the template that came with it, or NULL
    const char *kv_type;      // "F16": type of keys and values, or NULL
    int         n_embd;       // values of a hidden state (ENGINE_EMBED)
    enum engine_pooling pooling; // what the model was trained for (ENGINE_EMBED)
};

/* --- forward --- */

/* A run: consecutive tokens of one sequence. A batch has at most one run of a sequence.
 *
 * The keys and values of position p go to slot p % kv_page_tok of page[p / kv_page_tok], and
 * attention reads positions 0 .. pos + n_tok - 1 through the same table. Which pages a sequence has,
 * and whether it shares them, is the scheduler's business; the engine never allocates or frees one.
 * A page that two sequences share is only read: its positions lie before both runs.
 *
 * Where info says n_swa, some layers attend to the last n_swa positions only (the token's own included), and their
 * keys and values lie in window pages, which are of the same size in positions: in win[] in the same way. Entries
 * for positions that no token of the run sees are not looked at, so memory does not grow with the context.
 *
 * With ENGINE_WHOLE every run is a whole text: pos 0, all its tokens, `hidden`, no pages; attention sees
 * all of the run and nothing else. */
struct engine_run {
    const int32_t *tok;      // [n_tok] ids, each 0 <= id < n_vocab
    int            n_tok;    // >= 1
    int            pos;      // position of tok[0] in its sequence, from 0; pos + n_tok <= n_ctx
    const int32_t *page;     // [ceil((pos + n_tok) / kv_page_tok)] KV pages in order of position
    int            n_logits; // logits wanted of the last n_logits tokens, 0 <= n_logits <= n_tok
    const int32_t *win;      // as page, window pages; NULL when n_swa is 0
    bool           hidden;   // with ENGINE_EMBED: their hidden states are wanted, not logits
    int            n_first;  // with ENGINE_WHOLE: tokens of the first segment of two, a query; 0: one segment
};

struct engine_batch {
    const struct engine_run *run;
    int                      n_run; // >= 1; all n_tok together at most n_batch
};

/* --- generate --- */

struct engine_sampling {
    float   temperature, top_p, min_p, repeat_penalty, frequency_penalty, presence_penalty;
    int32_t top_k;
    int64_t seed; // -1: none asked
};

struct engine_msg {
    const char *role; // "system", "user", "assistant"
    const char *text; // [n] UTF-8
    size_t      n;
};

struct engine_gen {
    const struct engine_msg *msg;   // [n_msg] with ENGINE_CHAT_IN, else NULL
    int                    n_msg;
    const char            *kwargs;  // [n_kwargs] with msg: the template's variables, a JSON object; or NULL
    size_t                 n_kwargs;
    const int32_t         *tok;      // [n_tok], or NULL
    int                    n_tok;
    const char            *text;     // [n_text] bytes of UTF-8, or NULL; one of the three is given
    size_t                 n_text;
    int                    n_max;    // most tokens to generate, >= 1
    bool                   thinking; // with ENGINE_THINKING
    struct engine_sampling sampling; // with ENGINE_SAMPLING
    bool                   hidden;   // with ENGINE_EMBED: no answer, pieces carry hidden states of the prompt
};

/* What comes out. Pointers are valid inside the callback only. */
struct engine_piece {
    const char *text; // [n] bytes; may end in half a character
    size_t      n;
    int32_t     tok; // its id with ENGINE_TOK_OUT, else -1
    const float *hidden;   // [n_hidden][n_embd] states of the prompt's next tokens (engine_gen.hidden); one that
    int          n_hidden; // gives only the last token's says so by its pooling
};

/* Called for each piece, on the thread that called `generate` or on one of the engine's own, never
 * two at once. False asks the engine to end the run; further pieces may still come and are ignored. */
typedef bool engine_piece_fn(void *ctx, const struct engine_piece *piece);

enum engine_end {
    ENGINE_END_STOP,    // the model ended its answer
    ENGINE_END_LENGTH,  // n_max or the context is used up
    ENGINE_END_ABORTED, // the callback or abort() ended it
};

struct engine_gen_result {
    enum engine_end end;
    int             n_prompt; // tokens of the prompt, -1 when the engine does not tell
    int             n_gen;    // tokens generated, -1 likewise
    int             n_cached; // tokens of the prompt that were not computed again
};

/* --- the engine --- */

struct engine_ops {
    int         api;  // ENGINE_API
    const char *name; // "cpu"

    /* Load. Returns 0 and the engine, or a negative error code with *e filled (which file, which
     * field, what was found, what the limit is). Files are borrowed until close. */
    int (*open)(const struct engine_conf *conf, struct engine **ret, struct err *e);
    void (*close)(struct engine *en); // NULL is fine
    void (*info)(const struct engine *en, struct engine_info *ret);

    /* One pass over the batch. Returns 0 or a negative code; after an error the KV slots of the
     * batch's positions are undefined, everything before them is as it was. The logits of one row
     * must not depend, bit for bit, on what else is in the batch or how prompts were cut. */
    int (*forward)(struct engine *en, const struct engine_batch *batch, struct err *e);
    /* Logits of row i of the last forward, [n_vocab]: rows in the order of the runs, and within a
     * run of its tokens. Owned by the engine, writable by the caller, valid until the next call. */
    float *(*logits)(struct engine *en, int i);
    /* With ENGINE_EMBED and ENGINE_FORWARD. Hidden state i of the last forward, [n_embd], as the output
     * matrix would see it (after the last norm): in the order of rows of logits, but counted apart from
     * them. Owned by the engine, valid until the next call. */
    const float *(*hidden)(struct engine *en, int i);
    /* With ENGINE_RANK. How well a document answers a query, larger is better, from the pooled hidden
     * state of both [n_embd]: the model's raw score, any number. */
    float (*score)(struct engine *en, const float *pooled);
    /* Copy the first n_tok positions of page src to page dst (n > 1 choices share a prompt whose
     * last page is not full). May be NULL: then the scheduler computes them again. */
    int (*page_copy)(struct engine *en, int32_t dst, int32_t src, int n_tok);
    int (*win_copy)(struct engine *en, int32_t dst, int32_t src, int n_tok); // the same of window pages

    /* Run to the end. Blocks. */
    int (*generate)(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn, void *ctx,
                    struct engine_gen_result *ret, struct err *e);
    /* End the run that `generate` is in, soon. Any thread; harmless when none runs. */
    void (*abort)(struct engine *en);
};

#endif
