/* script.h - an engine that says what a text file tells it to, when it tells it to.
 *
 * For tests of everything above the engine, in milliseconds and without a model, and for dry runs of a
 * set-up. `--engine script:FILE`, or `--model NAME.script`, several if need be. The file is lines; '#'
 * begins a comment, "..." is a string with the escapes of C (\n \t \r \" \\ \xHH):
 *
 *     mode generate          it runs its own loop, as a vendor's runtime does (the default)
 *     mode forward           it gives logits over bytes: scheduled, batched and sampled by curlew
 *     ctx 4096               context, tokens (here: bytes)
 *     seqs 8                 sequences at once (forward)
 *     batch 512              most tokens of one forward
 *     load-wait 500          milliseconds that loading takes
 *     load-fail "why"        loading fails
 *     prefill-wait 5         milliseconds for each forward that holds prompt tokens, or each prompt
 *     embed mean             it embeds texts (first, last or mean): the state of a byte b is 4 values, of which
 *                            number b % 4 is 1 and the others are 0
 *
 *     on "weather"           what follows answers prompts that contain this ...
 *     on ""                  ... any other prompt (also where no `on` stands)
 *     say "Hello"            a piece of the answer
 *     repeat 100 "tok "      the same piece again and again
 *     wait 20                milliseconds before the next piece
 *     fail "why"             the engine reports an error here
 *     crash                  the process dies here
 *     hang                   nothing more ever comes
 *     end                    the answer ends (so it does after its last line)
 *     endless                the answer starts again instead of ending
 */
#ifndef CURLEW_ENGINES_SCRIPT_SCRIPT_H
#define CURLEW_ENGINES_SCRIPT_SCRIPT_H

#include "base/arena.h"
#include "base/err.h"
#include "engine.h"

enum script_op { SCRIPT_SAY, SCRIPT_WAIT, SCRIPT_FAIL, SCRIPT_CRASH, SCRIPT_HANG };

struct script_step {
    enum script_op op;
    struct str     text; // SAY: the piece; FAIL: the message
    int            n;    // SAY: how often; WAIT: milliseconds
};

struct script_reply {
    struct str          on; // the prompt contains it
    struct script_step *step;
    int                 n_step;
    bool                endless;
};

struct script {
    bool                 forward;
    int                  n_ctx, n_seq, n_batch;
    int                  load_wait_ms, prefill_wait_ms;
    bool                 embed;
    enum engine_pooling  pooling;
    struct str           load_fail; // or STR_NULL
    struct script_reply *reply;
    int                  n_reply; // at least 1
};

/* Parse a script's text. Everything is allocated from a. Error: BAD_FILE with name and line. */
NODISCARD int script_parse(struct str text, const char *name, struct arena *a, struct script *ret,
                           struct err *e);

/* The reply for a prompt: the first whose `on` is in it; none: the last one with an empty `on`. */
const struct script_reply *script_match(const struct script *s, struct str prompt);

/* The state of a byte, ret[SCRIPT_EMBD]. */
#define SCRIPT_EMBD 4
void script_state(int32_t byte, float *ret);

/* Two engines: the script's `mode` says which one a file is for. */
extern const struct engine_ops engine_script_forward;
extern const struct engine_ops engine_script_generate;

#endif
