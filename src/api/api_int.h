/* api_int.h - routes, and a generation request from its body to the end of its reply. */
#ifndef CURLEW_API_API_INT_H
#define CURLEW_API_API_INT_H

#include "api/api.h"
#include "api/request.h"
#include "base/rng.h"
#include "os/jobs.h"

struct api {
    struct event_base *base;
    struct gateway    *gw;
    struct api_conf    conf;
    struct jobs       *jobs;
    uint64_t           start_us;
    struct buf         text; // scratch for one event or reply
    struct admin_question *asked; // of administrators, on their way to the supervisor
    int                    n_asked;
    uint32_t               last_ask;
};

/* --- routes (route.c) --- */

struct route;
typedef void route_fn(struct api *a, struct http_req *h, const struct route *r, struct str rest);

struct route {
    enum http_method method; // GET answers HEAD as well
    const char      *path;   // a '*' at its end takes one more segment, "**" all, handed over undecoded
    route_fn        *fn;     // GET: at once. POST: once the body is there
    enum api_kind    kind;
};

/* The route of a head. Errors: UNKNOWN_URL, BAD_METHOD (*allow gets the methods that are there). */
NODISCARD int route_find(const struct http_head *h, const struct route **ret, struct str *rest,
                         char *allow, size_t allow_size, struct err *e);

const struct route *route_at(size_t i); // the table, NULL at its end

/* The API's description (page_docs.c). */
route_fn page_openapi, page_docs, page_docs_js;

/* The pages (page.c): /, /health, /ping, /v1/models. */
route_fn page_root, page_health, page_ping, page_models, page_model;

/* What a request's user pointer points to: how its owner hears that the client is gone, and that the
 * HTTP request is over. */
struct api_user {
    void (*gone)(struct api_user *u);
    void (*detach)(struct api_user *u);
};

/* Questions about text (text.c). */
route_fn text_tokenize, text_detokenize, text_template;

/* Embeddings and rerank (embed.c). */
route_fn embed_begin;
/* simple-rkllm's own routes (plain.c). */
route_fn plain_generate, plain_chat;

/* Administration (admin.c). */
route_fn admin_reload, admin_shutdown;

/* --- generation (call.c): chat completions and completions --- */

struct call;
route_fn call_begin; // the body is complete

/* One choice's answer, as far as it has come. */
struct answer {
    struct buf       text;      // content; completions: text
    struct buf       reasoning;
    struct buf       calls;     // JSON of the tool calls, without brackets, the last one open
    int              n_call;    // begun
    struct buf       lps;       // JSON of the log-probabilities not yet sent
    int              n_lp;
    double           sum_lp; // completions: of n_summed tokens, for best_of
    int              n_summed;
    struct buf       lp_parts[3]; // completions: token_logprobs, top_logprobs, text_offset beside lps
    size_t           n_char;    // completions: characters of text so far, for text_offset
    bool             finished;
    enum chat_finish finish;
    struct str       stop; // the sequence that ended it, or STR_NULL
};

/* A prompt in flight; a chat request has one. */
struct flight {
    struct call        *call;
    int                 first; // index of its first choice
    struct gateway_req *req;   // NULL: not begun, or over
};

struct call {
    struct api_user   user;
    struct api       *a;
    struct http_req  *http; // NULL: the client is gone
    enum api_kind     kind;
    struct arena      arena;
    struct str        body; // until parsed
    struct api_req    q;
    bool              parsing; // a job holds it
    int               parse_rc;
    struct err        parse_err;
    char              id[48];
    int64_t           created;
    struct buf        head;      // JSON of a chunk up to its choices
    struct flight    *flight;    // [q.n_prompt or 1]
    int               n_flight, n_ended;
    struct answer    *answer; // [n_answer]
    int               n_answer;
    struct chat_usage usage;
    struct str        fingerprint;
    struct str        model;     // its id, also when the request did not say
    uint64_t          submit_us, first_us; // the request left; its first text came, or 0
    struct rng        rng;       // of obfuscation
    int               reasoning_field; // THINK_...
    bool              streaming; // the reply has begun
    bool              over;      // replied for good
};

/* --- replies (reply.c): events to JSON --- */

void reply_stream_start(struct call *c); // first chunk of each choice
void reply_event(struct call *c, int choice, const struct chat_event *ev); // streamed or kept
void reply_stream_end(struct call *c);   // usage chunk and [DONE]
void reply_whole(struct call *c);
void reply_error(struct call *c, const struct err *e);

/* llama.cpp's shape (reply_fill.c), appended to b. */
void reply_fill_end(struct buf *b, const struct call *c, struct str content);
void reply_fill_chunk(struct buf *b, struct str content);

#endif
