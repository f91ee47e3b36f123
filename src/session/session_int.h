/* session_int.h - a request and its choices, shared inside the room. */
#ifndef CURLEW_SESSION_SESSION_INT_H
#define CURLEW_SESSION_SESSION_INT_H

#include "base/limits.h"
#include "base/utf8.h"
#include "chat/chat.h"
#include "chat/stop.h"
#include "sample/sample.h"
#include "sched/sched.h"
#include "session/session.h"

struct gen; // sess_gen.c

/* The log-probability of a token whose text has not gone out yet. */
struct held_lp {
    uint64_t            end; // the stream position (bytes) at which the token's text is complete
    struct chat_logprob lp;  // text borrowed from the vocabulary
    int                 n_top;
    struct chat_logprob top[LIM_TOP_LOGPROBS];
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
    struct str        text;        // rendered prompt
    struct engine_msg *msg;        // [r.n_msg] the conversation, for engines that take it; else NULL
    int               n_bos;       // tokens at the head that are not the client's
    int               n_prompt, n_cached;
    bool              started;     // START went out
    bool              echo_lp;     // echo with logprobs: rows of the prompt are wanted
    bool              dead;        // to be freed at the end of the step
    uint64_t          since_us;
    int               n_done;      // choices
    int               n_gen, n_reasoning;
    struct choice     choice[];    // [r.n_choice]
};

struct session {
    struct session_conf    c;
    struct engine_info     info;
    struct sess_req       *first, *last;
    int                    n_req;
    struct buf             out;
    struct sched          *sched;   // forward engines
    struct sample_scratch *scratch; // forward engines
    struct gen            *gen;     // engines with a loop of their own
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

/* sess_choice.c */
NODISCARD int  choice_init(struct choice *ch, struct sess_req *rq, int index, struct err *e);
void           choice_release(struct choice *ch);
/* The next token of the answer with its row of logits, or a piece of bytes from an engine that gives
 * text. True: the answer is over (FINISH is out). Error: the request fails. */
NODISCARD int  choice_token(struct choice *ch, int32_t tok, const float *logits, bool *over, struct err *e);
NODISCARD int  choice_bytes(struct choice *ch, struct str bytes, bool *over, struct err *e);
/* The answer ends here, for this reason. */
NODISCARD int  choice_end(struct choice *ch, enum chat_finish why, struct err *e);
/* A prompt token's log-probability (echo); logits NULL: there is none (the first). */
void           choice_prompt_lp(struct choice *ch, int32_t tok, const float *logits);

/* sess_fwd.c */
NODISCARD int fwd_new(struct session *s, struct err *e);
void          fwd_free(struct session *s);
NODISCARD int fwd_submit(struct sess_req *rq, struct err *e);
void          fwd_cancel(struct sess_req *rq);
bool          fwd_step(struct session *s);
bool          fwd_waiting(const struct sess_req *rq); // nothing of it has run yet

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
