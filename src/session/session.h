/* session.h - requests inside a worker: template, tokens, steps, sampling, answer. The same for every
 * engine.
 *
 * The worker's one loop feeds it frames and asks it to step; it answers with packed events. One
 * thread; an engine that runs its own loop gets a thread of its own inside.
 */
#ifndef CURLEW_SESSION_SESSION_H
#define CURLEW_SESSION_SESSION_H

#include "base/buf.h"
#include "chat/info.h"
#include "chat/split.h"
#include "chat/tmpl.h"
#include "engine.h"
#include "token/tok.h"

struct session;

/* What is served; all borrowed, outlives the session. */
struct session_conf {
    const struct engine_ops *ops;
    struct engine           *engine;
    const struct tok        *tok;  // NULL: the engine takes text only
    const struct tmpl       *tmpl; // never NULL
    struct tmpl_caps         caps;
    struct split_form        form;
    int                      n_queue;  // requests that may wait
    int                      queue_ms; // how long
    bool                     spec;     // guess tokens from the text so far (sched_draft.c); forward engines
    bool                     context_shift; // for requests that do not say
};

NODISCARD int session_new(const struct session_conf *c, struct session **ret, struct err *e);
void          session_free(struct session *s); // NULL is fine

/* A request's frame (chat_req_pack) under a number of the caller's. Whatever is wrong with it comes as
 * its ERROR event. */
void session_submit(struct session *s, uint32_t id, struct str frame);
/* A question (chat/query.h): its answer's frame is appended to *ret. */
void session_query(struct session *s, struct str frame, struct buf *ret);
/* Nobody waits for it any more: no event of it comes from now on. */
void session_cancel(struct session *s, uint32_t id);
void session_cancel_all(struct session *s);

/* fn is called inside a step, before the engine runs, when a request has just begun: what session_out holds
 * by then need not wait for the engine. It calls nothing of the session but session_out and session_sent. */
void session_on_begin(struct session *s, void (*fn)(void *ctx), void *ctx);

/* One step of the engine for all who run, at most. True: call again at once. */
bool session_step(struct session *s);
/* Milliseconds until session_step has something to do without being told, -1: never. */
int session_wait_ms(const struct session *s);
/* A descriptor that becomes readable when an engine's own loop has said something; -1: there is none. */
int session_wake_fd(const struct session *s);

/* Packed events since the last call of session_sent: (u32 request, chat_event)... */
const struct buf *session_out(const struct session *s);
void              session_sent(struct session *s);

/* The engine will not answer again (it hangs): the process must end. Its events are out by then. */
bool session_broken(const struct session *s);

int session_running(const struct session *s); // requests not yet ended

#endif
