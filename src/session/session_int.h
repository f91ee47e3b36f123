/* session_int.h - a request and its choices, shared inside the room. */
#ifndef CURLEW_SESSION_SESSION_INT_H
#define CURLEW_SESSION_SESSION_INT_H

#include "base/limits.h"
#include "base/map.h"
#include "base/utf8.h"
#include "chat/chat.h"
#include "chat/stop.h"
#include "constrain/constrain.h"
#include "session/pooling.h"
#include "sample/sample.h"
#include "sched/sched.h"
#include "session/session.h"

struct gen;  // sess_gen.c
struct embd; // sess_embd.c
struct enc;  // sess_enc.c

/* The log-probability of a token whose text has not gone out yet. */
struct held_lp {
    uint64_t            end; // the stream position (bytes) at which the token's text is complete
    struct chat_logprob lp;  // text borrowed from the vocabulary
    int                 n_top;
    struct chat_logprob top[LIM_TOP_LOGPROBS];
};

/* Where an answer is with the form that it is held to (sess_hold.c). */
enum hold_state {
    HOLD_FREE,  // there is none
    HOLD_FIRST, // the first token, which may open reasoning instead
    HOLD_THINK, // free until reasoning, or the answer's header, is over
    HOLD_GAP,   // it is just over: line ends may come
    HOLD_ON,    // held
    HOLD_WAIT,  // free until a call begins
    HOLD_OUT,   // free until this call is over
};

/* One answer of a request: tokens in, events out. */
struct choice {
    struct sess_req  *rq;
    int               index;
    struct sampler   *sampler; // forward engines
    struct tok_stream  stream;  // engines that give tokens
    struct utf8_stream bytes;   // engines that give text
    struct stop       stop;
    struct split     *split;   // NULL: plain text
    struct buf        piece;   // text of the current token
    uint64_t          made;     // bytes that the token stream has given
    uint64_t          released; // of them let go by the stop matcher
    struct held_lp   *held;     // [n_held] waiting for their text
    size_t            n_held, cap_held;
    int               n_gen, n_reasoning;
    bool              in_bytes; // the engine gave text, though there is a vocabulary
    struct constrain_run hold; // the form it is held to now, if hold_state says so
    enum hold_state   hold_state;
    bool              begun; // its first sampled token has come
    bool              done;
};

struct sess_req {
    struct session   *s;
    uint32_t          id;
    struct sess_req  *next, *prev; // all requests, oldest first
    struct arena      arena;
    struct chat_req   r;
    struct ids        prompt;      // tokens; empty for text engines
    struct ids        breaker;     // DRY: tokens that it does not look across
    struct str        text;        // rendered prompt
    struct engine_msg *msg;        // [r.n_msg] the conversation, for engines that take it; else NULL
    int               n_bos;       // tokens at the head that are not the client's
    int               n_prompt, n_cached;
    bool              started;     // START went out
    bool              echo_lp;     // echo with logprobs: rows of the prompt are wanted
    bool              dead;        // to be freed at the end of the step
    uint64_t          since_us;
    struct embd      *embd;        // vectors or scores are wanted, not answers; else NULL
    int               n_begun;     // of its inputs, handed over to the engine or the scheduler
    int               n_done;      // choices
    int               n_gen, n_reasoning;
    struct constrain *form;        // what the answers are held to, or NULL
    bool              form_call;   // it is that of one call, which begins when the model begins one
    struct choice     choice[];    // [r.n_choice]
};

struct session {
    struct session_conf    c;
    struct engine_info     info;
    struct sess_req       *first, *last;
    int                    n_req;
    struct buf             out;
    void                 (*on_begin)(void *ctx); // or NULL
    void                  *on_begin_ctx;
    struct sched          *sched;   // forward engines
    struct sample_scratch *scratch; // forward engines
    int32_t               *eog;     // [n_eog] tokens that end an answer (forward engines)
    int                    n_eog;
    float                 *kept;    // [n_kept] logits of tokens that are muted now
    int                    n_kept;
    struct constrain_vocab *vocab;  // forward engines, made for the first form
    struct constrain_cache forms;
    int32_t                line_end[2]; // tokens that are one line end or two, -1: there is none
    uint64_t              *extra;   // [words of n_vocab] a mask with tokens that no form has
    struct map             salt;    // names of salts to their numbers (sess_salt.c)
    uint64_t               n_salt;  // numbers given
    struct gen            *gen;     // engines with a loop of their own
    bool                   tok_out; // answers come as token ids, not as text
    bool                   broken;  // session_broken
    struct enc            *enc;     // encoders
};

/* session.c */
void sess_emit(struct sess_req *rq, struct chat_event *ev); // choice and the rest as given
void sess_start(struct sess_req *rq);                       // START, once
void sess_fail(struct sess_req *rq, const struct err *why); // ERROR; rq is dead
void sess_choice_ended(struct choice *ch);                  // END after the last one; rq may be dead

/* sess_prompt.c: fill rq->text, rq->prompt, n_bos, n_prompt. Errors are the client's. */
NODISCARD int sess_prompt(struct sess_req *rq, struct err *e);
/* A conversation as the model sees it: its text, in a, and its tokens appended to *ids (NULL: not wanted). */
NODISCARD int sess_render(struct session *s, const struct chat_req *r, struct arena *a, struct ids *ids,
                          struct str *text, struct err *e);

/* sess_caps.c: what this engine cannot do is refused by name, never half served. Fills rq->msg for engines that
 * take conversations. */
NODISCARD int sess_check_caps(struct sess_req *rq, struct err *e);
/* sess_salt.c: what the request may share computed text with; 0 for what has no name. */
NODISCARD int sess_salt(struct session *s, const struct chat_req *r, uint64_t *ret, struct err *e);
void          sess_salts_release(struct session *s);

/* sess_choice.c */
NODISCARD int  choice_init(struct choice *ch, struct sess_req *rq, int index, struct err *e);
void           choice_release(struct choice *ch);
/* The next token of the answer with its row of logits, or a piece of bytes from an engine that gives
 * text. True: the answer is over (FINISH is out). Error: the request fails. */
NODISCARD int  choice_token(struct choice *ch, int32_t tok, const float *logits, bool *over, struct err *e);
NODISCARD int  choice_bytes(struct choice *ch, struct str bytes, bool *over, struct err *e);
/* The answer ends here, for this reason. */
NODISCARD int  choice_end(struct choice *ch, enum chat_finish why, struct err *e);
/* The prompt as text in front of the answer (echo). */
void           choice_echo(struct choice *ch);
/* A prompt token's log-probability (echo); logits NULL: there is none (the first). */
void           choice_prompt_lp(struct choice *ch, int32_t tok, const float *logits);

/* sess_sample.c: forward engines */
NODISCARD int sess_ends_new(struct session *s, struct err *e); // eog and kept
void          sess_ends_free(struct session *s);
NODISCARD int sess_sampler_new(struct choice *ch, struct err *e); // the prompt is known by now
/* Make the tokens impossible that may not come yet; true: some were, and sess_unmute puts the row back
 * as it was, before the choice takes its token. */
bool sess_mute(struct choice *ch, float *logits);
void sess_unmute(struct choice *ch, float *logits);
bool sess_ends(const struct choice *ch, int32_t tok); // this token ends the answer

/* sess_hold.c: the forms that answers are held to; forward engines only. */
NODISCARD int hold_request(struct sess_req *rq, struct err *e); // rq->form from what it asks for
NODISCARD int hold_begin(struct choice *ch, struct err *e);
void          hold_end(struct choice *ch);
NODISCARD int hold_mask(struct choice *ch, const uint64_t **ret, struct err *e); // *ret NULL: all tokens
/* The token was taken by choice_token. *over: the form is complete and nothing may follow. */
NODISCARD int hold_token(struct choice *ch, int32_t tok, bool *over, struct err *e);
void          hold_free(struct session *s);

/* sess_fwd.c */
NODISCARD int fwd_new(struct session *s, struct err *e);
void          fwd_free(struct session *s);
NODISCARD int fwd_submit(struct sess_req *rq, struct err *e);
void          fwd_cancel(struct sess_req *rq);
bool          fwd_step(struct session *s);
bool          fwd_waiting(const struct sess_req *rq); // nothing of it has run yet

/* sess_embd.c: requests that want vectors. They are cancelled and waited for by the three functions above;
 * `embd_row` takes them instead of sampling. */
NODISCARD int embd_new(struct sess_req *rq, struct err *e); // rq->embd; refuses what cannot be done
void          embd_free(struct embd *j);                    // NULL is fine
NODISCARD int embd_submit(struct sess_req *rq, struct err *e); // forward engines: its first texts to the scheduler
void          embd_refill(struct session *s);                  // ... and the next, before a plan is made
void          embd_cancel(struct sess_req *rq);
/* A planned run of it was computed; its hidden states begin at `row`. */
void          embd_rows(struct session *s, const struct sched_run *run, int row, int n_row);
/* Engines with a loop of their own, a text at a time: what rq->text and rq->prompt are for its run; a piece with some
 * states; the end of the run, of n_prompt tokens (-1: unknown). */
NODISCARD int embd_begin(struct sess_req *rq, int i, struct err *e);
void          embd_states(struct sess_req *rq, struct str states);
NODISCARD int embd_end(struct sess_req *rq, int i, int n_prompt, struct err *e);
/* Append the tokens of input i, with what the vocabulary puts around a text or a pair; *n_first as in engine_run. */
NODISCARD int embd_tokens(const struct sess_req *rq, int i, struct ids *ret, int *n_first, struct err *e);
/* The pooled vector of input i is there: its event; after the last one END, and rq is dead. */
NODISCARD int embd_put(struct sess_req *rq, int i, struct pooling *p, int n_tok, struct err *e);

/* sess_enc.c: encoders */
NODISCARD int enc_new(struct session *s, struct err *e);
void          enc_free(struct session *s);
NODISCARD int enc_submit(struct sess_req *rq, struct err *e);
bool          enc_step(struct session *s);

/* sess_gen.c */
NODISCARD int gen_new(struct session *s, struct err *e);
void          gen_free(struct session *s);
NODISCARD int gen_submit(struct sess_req *rq, struct err *e);
void          gen_cancel(struct sess_req *rq);
bool          gen_step(struct session *s);
bool          gen_waiting(const struct sess_req *rq);
int           gen_wake_fd(const struct session *s);
int           gen_wait_ms(const struct session *s); // until gen_step should come again, -1: when told

#endif
