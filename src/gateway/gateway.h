/* gateway.h - models by name, and requests on their way to the process that answers them.
 *
 * The front's side of the channels to the workers. A request is submitted with a chat_req and answered
 * by chat_events; when its worker dies, or breaks the protocol, its requests get one error event and
 * everybody else notices nothing. Single-threaded: all calls from the loop's thread.
 */
#ifndef CURLEW_GATEWAY_GATEWAY_H
#define CURLEW_GATEWAY_GATEWAY_H

#include "chat/chat.h"
#include "chat/info.h"
#include "chat/query.h"
#include "gateway/state.h"

struct event_base;
struct gateway;
struct gateway_req; // a request in flight

struct gateway_model {
    struct str        id;
    const struct str *alias;   // [n_alias] other names
    int               n_alias;
    int               reasoning_field; // conf/options.h: THINK_...
    int64_t          created;    // when the server took it on, seconds since 1970
    uint64_t         file_bytes;
    enum model_state state;
    struct str       why;        // of FAILED and RESTARTING, for people
    bool             has_info;
    struct chat_info info;       // while READY
    int              n_running;  // requests in flight
    uint64_t         n_done;     // requests ended, in whatever way
    unsigned         restarts;   // links lost
};

/* What the supervisor wants to hear: a model's worker is there and has said what it is; the last request of a
 * model that was dropped is over. */
struct gateway_calls {
    void (*ready)(void *ctx, uint32_t index);
    void (*dropped)(void *ctx, uint32_t index);
};

NODISCARD int gateway_new(struct event_base *base, const struct gateway_calls *calls, void *ctx, struct gateway **ret,
                          struct err *e);
void          gateway_free(struct gateway *g); // every request in flight gets its error event

/* What the supervisor tells: a model under an index (below LIM_MODELS) of its own, again when its names change;
 * a new channel to its worker (fd is taken over), how it fares. `place` orders the list of models. One that
 * replaces another is not seen until its worker has said what it is: then the other one is dropped. A model that
 * is dropped has no name from then on, its requests go on, and an index is free for another model when the last
 * of them is over. Texts are copied. Errors: PROTOCOL, NO_MEMORY. */
struct gateway_spec {
    uint32_t          index, place;
    struct str        id;
    const struct str *alias; // [n_alias]
    int               n_alias;
    int64_t           created;
    uint64_t          file_bytes;
    int               reasoning_field;
    uint32_t          replaces; // index, and one, of the model that keeps the name until this one is there; 0: none
};
NODISCARD int gateway_add(struct gateway *g, const struct gateway_spec *s, struct err *e);
NODISCARD int gateway_drop(struct gateway *g, uint32_t index, struct err *e);
NODISCARD int gateway_link(struct gateway *g, uint32_t index, int fd, struct err *e);
NODISCARD int gateway_state(struct gateway *g, uint32_t index, enum model_state state, struct str why,
                            struct err *e);

size_t                      gateway_n_model(const struct gateway *g);
const struct gateway_model *gateway_model_at(const struct gateway *g, size_t i);
/* By id, another name of it, the beginning of one, or its short form (gateway/name.h), the first of these that
 * fits any. Error: MODEL_NOT_FOUND naming it and the models there are, or those it may mean, with param "model". */
NODISCARD int gateway_find(const struct gateway *g, struct str name, const struct gateway_model **ret,
                           struct err *e);
int gateway_running(const struct gateway *g); // requests in flight, all models

/* One event of a request; the last one is END or ERROR, and the request is gone after that. */
typedef void gateway_event_fn(void *ctx, const struct chat_event *ev);

/* A request for its model's worker, sent by gateway_flush: what is submitted before one flush is there
 * together when the worker takes its next step, so all of it is checked before any of it runs. On success exactly one END or ERROR event follows, unless it
 * is cancelled before. fn is never called from inside. Errors: MODEL_LOADING, ENGINE_GONE (nobody
 * there to answer), QUEUE_FULL (LIM_REQS in flight), OVERLOADED, NO_MEMORY, TOO_LARGE. */
NODISCARD int gateway_submit(struct gateway *g, const struct gateway_model *m,
                             const struct chat_req *req, gateway_event_fn *fn, void *ctx,
                             struct gateway_req **ret, struct err *e);
/* Ask a question of the model's worker: exactly one call of fn follows, unless it is cancelled before.
 * The answer is borrowed for the call. Errors as gateway_submit. */
typedef void gateway_answer_fn(void *ctx, const struct chat_answer *an);
NODISCARD int gateway_query(struct gateway *g, const struct gateway_model *m, const struct chat_query *q,
                            gateway_answer_fn *fn, void *ctx, struct gateway_req **ret, struct err *e);
void gateway_flush(struct gateway *g, const struct gateway_model *m);
/* Nobody wants the answer any more: the worker hears of it at once, no more events come. */
void gateway_cancel(struct gateway_req *r);

/* No new requests from now on: SHUTTING_DOWN. */
void gateway_drain(struct gateway *g);

#endif
