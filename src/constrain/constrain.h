/* constrain.h - hold what a model writes to a form: JSON by a schema, a grammar, a regular expression, a
 * tool call. Before each token the form says which tokens may come; the sampler chooses among them.
 *
 * The form is a context-free grammar over bytes, run by an automaton with a stack (pda_int.h), so tokens
 * may be cut anywhere, inside a character too. Tokens that end an answer are possible only where the
 * form is complete; special tokens only where a form names them. What leads nowhere is never allowed: as
 * long as the vocabulary has every byte, the form can always be completed.
 *
 * Compiling is bounded in rules, depth, repetitions and memory, and so is a step; no schema hangs or
 * crashes. All calls for one vocabulary come from one thread.
 *
 *     constrain_vocab_new, constrain_cache_get -> constrain_start
 *     for each token: constrain_mask -> sampler_sample -> constrain_token
 *
 * The idea of masks by automaton states: Willard and Louf, "Efficient Guided Generation for Large
 * Language Models", arXiv:2307.09702; the split of a vocabulary into tokens that a string of JSON always
 * takes and the rest is that of llguidance and of XGrammar (Dong et al., arXiv:2411.15100).
 */
#ifndef CURLEW_CONSTRAIN_CONSTRAIN_H
#define CURLEW_CONSTRAIN_CONSTRAIN_H

#include "base/err.h"
#include "chat/chat.h"
#include "token/tok.h"

/* --- a vocabulary, made ready --- */

struct constrain_vocab;

/* n_vocab is the length of a row of logits; tokens that `t` does not know are never allowed. `t` is
 * borrowed. Some 50 ms for 150,000 tokens. Error: NO_MEMORY. */
NODISCARD int constrain_vocab_new(const struct tok *t, int n_vocab, struct constrain_vocab **ret,
                                  struct err *e);
void          constrain_vocab_free(struct constrain_vocab *v); // NULL is fine

/* --- a form --- */

enum constrain_kind {
    CONSTRAIN_OBJECT,  // any JSON object
    CONSTRAIN_SCHEMA,  // text: JSON Schema
    CONSTRAIN_GBNF,    // text: a grammar in GBNF, from its rule `root`
    CONSTRAIN_REGEX,   // text: a regular expression that the whole answer matches
    CONSTRAIN_CALLS,   // the whole answer is calls of the tools
    CONSTRAIN_CALL,    // one call, from behind its opening mark to its end
};

struct constrain_conf {
    enum constrain_kind kind;
    struct str          text;
    const char         *param; // the request's field, for messages
    bool                loose; // what cannot be held is left free, not refused
    bool                open;  // objects that do not mention additionalProperties may have more

    /* calls; with another kind and n_tool > 0, calls are what may stand in its place */
    const char             *form; // split_form_name
    const struct chat_tool *tool; // [n_tool]
    int                     n_tool;
    struct str              only;     // this tool alone, or STR_NULL
    bool                    parallel; // more than one call
};

struct constrain; // compiled; may be shared by any number of sequences

/* Error: INVALID_SCHEMA or INVALID_VALUE, naming conf->param and the place; UNSUPP_VALUE when the calls'
 * format cannot be held; NO_MEMORY. The result has one reference. */
NODISCARD int     constrain_new(struct constrain_vocab *v, const struct constrain_conf *conf,
                                struct constrain **ret, struct err *e);
struct constrain *constrain_ref(struct constrain *c);
void              constrain_unref(struct constrain *c); // NULL is fine

/* Can calls in this format be held? */
bool        constrain_knows_form(const char *form);
/* The mark that opens them, "" where nothing does; NULL for an unknown form. */
const char *constrain_form_open(const char *form);

/* The last few that were compiled, found again by all of their conf. */
struct constrain_cache {
    struct constrain_kept *kept; // owned, the latest first
    int                    n;
};
/* *ret has a reference of its own. */
NODISCARD int constrain_cache_get(struct constrain_cache *k, struct constrain_vocab *v,
                                  const struct constrain_conf *conf, struct constrain **ret, struct err *e);
void          constrain_cache_clear(struct constrain_cache *k);

/* --- one sequence --- */

/* Held by the caller, who does not move it between start and stop. Small: its state is a number. */
struct constrain_run {
    struct constrain     *c; // NULL: none
    int32_t               conf;
    struct constrain_run *next, *prev; // of the same form
};

/* Takes a reference. Error: NO_MEMORY, INVALID_VALUE. */
NODISCARD int constrain_start(struct constrain_run *r, struct constrain *c, struct err *e);
NODISCARD int constrain_clone(struct constrain_run *r, const struct constrain_run *from, struct err *e);
void          constrain_stop(struct constrain_run *r); // zeroed is fine

/* Bit i % 64 of word i / 64: token i may come. At least one is set, or it is an error: the vocabulary
 * cannot write what the form wants next, or the form is too ambiguous. Valid until the next call for
 * this form. */
NODISCARD int constrain_mask(struct constrain_run *r, const uint64_t **ret, struct err *e);
/* The token was chosen. False: it does not fit, and nothing has changed. A token that ends the answer
 * fits where constrain_may_end. Error as for the mask. */
NODISCARD int constrain_token(struct constrain_run *r, int32_t tok, bool *fits, struct err *e);
/* The same for bytes. */
NODISCARD int constrain_bytes(struct constrain_run *r, struct str bytes, bool *fits, struct err *e);
bool constrain_may_end(const struct constrain_run *r);
bool constrain_must_end(const struct constrain_run *r); // complete, and nothing may follow

#endif
