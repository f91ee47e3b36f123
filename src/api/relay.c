/* relay.c - a request that another server answers: body there, reply back, in our own frame.
 *
 *     body ── read (large ones on the job thread) ── whose model? ── ours: the route's own function
 *                                                         │
 *                                     an upstream ── head ── events or the whole ── done
 *                                          └── failed before the first byte: the next upstream
 *
 * The fields of the body are the upstream's to check. What comes back is as hostile as any client (reframe.h). The
 * client's authorization is never passed on, and no field of the upstream's head but retry-after is passed back. A
 * client that takes its time stops the reading from the upstream; one that goes away ends it.
 */
#include <event2/event.h>

#include "api/api_int.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/reframe.h"
#include "gateway/sse_read.h"

enum phase {
    ASKED,  // no head yet
    STREAM, // events come
    WHOLE,  // a reply that is read to its end
    FAULT,  // likewise, but it is an error
};

struct relay {
    struct api_user             user;
    struct api                 *a;
    struct http_req            *http; // NULL: the client is gone
    const struct route         *route;
    struct str                  rest;
    const struct gateway_model *m; // NULL: not begun, or over
    struct arena                arena;
    struct str                  text; // the body, until read
    struct relay_body           body;
    bool                        parsing, has_body;
    int                         parse_rc;
    char                        id[48];
    struct str                  model; // our name of it
    struct event               *again; // the next upstream, but not from inside libcurl
    /* the upstream that is asked */
    uint64_t                    tried; // bit of each one
    int                         at;
    struct http_call           *call; // NULL: none
    bool                        open; // remote_end is still to come
    enum phase                  phase;
    int                         status;
    char                        retry_after[32];
    struct sse_read             sse;
    struct buf                  in; // WHOLE, FAULT
    struct reframe              frame;
    bool                        begun;  // the client has a part of the answer
    bool                        paused;
    bool                        over;   // replied for good
    /* what the client hears when nobody is left: the first refusal that is about its request, or the last error */
    struct err                  last;
    bool                        waits; // the head of this try says when to come again
    bool                        busy;  // one that was asked is busy, and says when to come again
    int                         pass; // status of such a refusal, 0: none
    struct reframe_fault        fault;
};

/* --- its life --- */

static void relay_free(struct relay *y)
{
    if (y->again) event_free(y->again);
    if (y->has_body) buf_release(&y->body.tail);
    sse_read_release(&y->sse);
    buf_release(&y->in);
    arena_release(&y->arena);
    mem_free(y);
}

static void end_try(struct relay *y, enum remote_verdict v)
{
    if (y->open) remote_end(y->m->remote, y->at, v);
    y->open = false;
}

static void leave_model(struct relay *y)
{
    end_try(y, REMOTE_UNKNOWN);
    if (y->m) gateway_relay_end(y->a->gw, y->m);
    y->m = NULL;
}

static void relay_gone(struct api_user *u)
{
    struct relay *y = (struct relay *)u;

    if (y->call) http_call_cancel(y->call);
    y->call = NULL;
    leave_model(y);
    if (y->again) event_del(y->again);
    y->over = true;
}

static void relay_detach(struct api_user *u)
{
    struct relay *y = (struct relay *)u;

    relay_gone(u);
    y->http = NULL;
    if (!y->parsing) relay_free(y);
}

static void relay_room(struct api_user *u)
{
    struct relay *y = (struct relay *)u;

    if (!y->paused) return;
    y->paused = false;
    if (y->call) http_call_resume(y->call);
}

/* --- errors to the client --- */

static void put_fault(struct buf *b, const struct reframe_fault *f)
{
    buf_str(b, STR("{\"error\":{\"message\":"));
    json_put_str(b, f->msg[0] ? str_c(f->msg) : STR("the request was refused"));
    buf_str(b, STR(",\"type\":"));
    json_put_str(b, f->type[0] ? str_c(f->type) : STR("invalid_request_error"));
    buf_str(b, STR(",\"param\":"));
    if (f->param[0]) json_put_str(b, str_c(f->param));
    else buf_str(b, STR("null"));
    buf_str(b, STR(",\"code\":"));
    if (f->code[0]) json_put_str(b, str_c(f->code));
    else buf_str(b, STR("null"));
    buf_str(b, STR("}}"));
}

/* The one error that a request gets. */
static void fail(struct relay *y)
{
    struct buf *b = &y->a->text;

    leave_model(y);
    if (y->over) return;
    y->over = true;
    if (y->busy)
        err_set(&y->last, ERR_OVERLOADED, "the server that answers for the model " STR_FMT " is busy; retry", STR_ARG(y->model));
    buf_clear(b);
    if (y->pass) put_fault(b, &y->fault);
    else http_err_body(b, &y->last);
    if (http_req_started(y->http)) {
        http_sse_data(y->http, buf_text(b));
        http_stream_end(y->http);
    } else if (y->pass || y->busy) {
        if (y->retry_after[0]) http_reply_field(y->http, "retry-after", str_c(y->retry_after));
        if (!y->pass) http_reply_err(y->http, &y->last);
        else http_reply(y->http, y->pass, STR("application/json"), buf_text(b));
    } else {
        http_reply_err(y->http, &y->last);
    }
}

/* What a client may know of an upstream's failure: not where it is, nor what it said. */
static void set_last(struct relay *y, const struct err *why)
{
    if (why->code == ERR_NO_MEMORY)
        y->last = *why;
    else if (why->code == ERR_UPSTREAM_TIMEOUT)
        err_set(&y->last, ERR_UPSTREAM_TIMEOUT, "the server that answers for the model " STR_FMT " took too long",
                STR_ARG(y->model));
    else
        err_set(&y->last, ERR_UPSTREAM, "the server that answers for the model " STR_FMT " %s", STR_ARG(y->model),
                y->begun ? "broke off its answer" : "could not be reached or gave no proper answer");
}

/* This upstream failed: another one, or the end. Fine inside libcurl's callbacks. */
static void try_failed(struct relay *y, enum remote_verdict v, const struct err *why)
{
    const struct timeval now = { 0, 0 };

    log_warn("relay_failed", "model=" STR_FMT " upstream=" STR_FMT " begun=%s error=\"%s\"", STR_ARG(y->model),
             STR_ARG(remote_name(y->m->remote, y->at)), y->begun ? "yes" : "no", why->msg);
    if (y->call) http_call_cancel(y->call);
    y->call = NULL;
    end_try(y, v);
    if (v == REMOTE_UNREACHABLE) gateway_relay_lost(y->a->gw);
    set_last(y, why);
    if (y->begun) {
        y->pass = 0;
        y->busy = false;
        fail(y);
    } else {
        evtimer_add(y->again, &now);
    }
}

/* --- what comes back --- */

static void on_head(void *ctx, const struct http_answer *a)
{
    struct relay *y    = ctx;
    struct str    rest = a->type, type = STR("");

    str_cut(&rest, ';', &type);
    type      = str_trim(type);
    y->status = a->status;
    if (a->status == 200 && str_eq_nocase(type, y->body.stream ? STR("text/event-stream") : STR("application/json")))
        y->phase = y->body.stream ? STREAM : WHOLE;
    else
        y->phase = FAULT;
    y->waits = a->retry_after.n > 0;
    if ((a->status == 429 || a->status == 503) && !y->retry_after[0]) str_copy_z(y->retry_after, sizeof y->retry_after, a->retry_after);
}

static void finish_stream(struct relay *y)
{
    struct err e;

    if (reframe_end(&y->frame, &e) < 0) {
        try_failed(y, REMOTE_BAD, &e);
        return;
    }
    end_try(y, REMOTE_GOOD);
    leave_model(y);
    y->over = true; // what it may still send is let pass
    http_sse_done(y->http);
    http_stream_end(y->http);
}

/* One event of the stream. */
static bool on_event(void *ctx, struct str name, struct str data)
{
    struct relay *y = ctx;
    struct buf   *b = &y->a->text;
    struct err    e;
    (void)name;

    if (str_eq(str_trim(data), STR("[DONE]"))) {
        finish_stream(y);
        return false;
    }
    if (reframe_event(&y->frame, data, b, &e) < 0) {
        try_failed(y, e.code == ERR_NO_MEMORY ? REMOTE_UNKNOWN : REMOTE_BAD, &e);
        return false;
    }
    if (!y->begun) http_sse_start(y->http);
    y->begun = true;
    if (b->n) http_sse_data(y->http, buf_text(b));
    return true;
}

static void on_data(void *ctx, struct str bytes)
{
    struct relay *y = ctx;
    struct err    e;

    if (y->over) return;
    if (y->phase == FAULT) { // its beginning says enough
        buf_str(&y->in, str_sub(bytes, 0, LIM_UPSTREAM_ERROR_BYTES - y->in.n));
        return;
    }
    if (y->phase == WHOLE) {
        buf_str(&y->in, bytes);
        return;
    }
    if (sse_read_put(&y->sse, bytes, on_event, y, &e) < 0 && y->call) {
        try_failed(y, REMOTE_BAD, &e);
        return;
    }
    if (!y->over && y->call && http_req_pending(y->http) > http_conf_default.out_mark) {
        y->paused = true;
        http_call_pause(y->call);
    }
}

/* A reply that is no answer: whose fault is it? */
static void refused(struct relay *y)
{
    struct reframe_fault f;
    struct err           e;
    bool                 said  = reframe_fault(buf_text(&y->in), &f);
    bool                 ours  = y->status == 401 || y->status == 403 || y->status == 404 || y->status == 405 || y->status == 407;
    bool                 limit = y->status == 429;

    err_set(&e, ERR_UPSTREAM, "status %d%s%.200s", y->status, said ? ": " : y->status == 200 ? " and another content type" : "",
            f.msg);
    if (y->status == 503 && y->waits) { // not broken, only full
        y->busy = true;
        try_failed(y, REMOTE_UNKNOWN, &e);
        return;
    }
    if (y->status < 400 || y->status > 499 || ours) {
        try_failed(y, REMOTE_BAD, &e);
        return;
    }
    if (!y->pass || !limit) {
        y->pass  = y->status;
        y->fault = f;
    }
    if (limit) { // another one may have room
        try_failed(y, REMOTE_UNKNOWN, &e);
        return;
    }
    end_try(y, REMOTE_GOOD);
    fail(y);
}

static void whole(struct relay *y)
{
    struct buf b;
    struct err e;
    int        rc;

    buf_init(&b, LIM_REPLY_BYTES);
    rc = y->in.failed ? err_nomem(&e, "reading a reply") : reframe_whole(&y->frame, buf_text(&y->in), &b, &e);
    if (rc == 0) {
        end_try(y, REMOTE_GOOD);
        leave_model(y);
        y->over = true;
        http_reply(y->http, 200, STR("application/json"), buf_text(&b));
    } else {
        try_failed(y, e.code == ERR_NO_MEMORY ? REMOTE_UNKNOWN : REMOTE_BAD, &e);
    }
    buf_release(&b);
}

static void on_done(void *ctx, const struct err *why)
{
    struct relay *y = ctx;
    struct err    e;

    y->call = NULL;
    if (y->over) return;
    if (why) {
        try_failed(y, why->code == ERR_UPSTREAM ? REMOTE_UNREACHABLE : why->code == ERR_NO_MEMORY ? REMOTE_UNKNOWN : REMOTE_BAD,
                   why);
        return;
    }
    switch (y->phase) {
    case ASKED:
    case STREAM:
        err_set(&e, ERR_UPSTREAM, "the stream ended without [DONE]");
        try_failed(y, REMOTE_BAD, &e);
        break;
    case WHOLE: whole(y); break;
    case FAULT: refused(y); break;
    }
}

/* --- asking --- */

static const struct http_call_fns call_fns = { on_head, on_data, on_done };

static struct str path_of(enum api_kind k)
{
    if (k == API_CHAT) return STR("/chat/completions");
    if (k == API_COMPLETION) return STR("/completions");
    return k == API_EMBED ? STR("/embeddings") : STR("/rerank");
}

static void begin_try(struct relay *y)
{
    y->phase = ASKED;
    sse_read_release(&y->sse);
    sse_read_init(&y->sse, LIM_UPSTREAM_EVENT_BYTES);
    buf_clear(&y->in);
    struct reframe f = { .id = y->frame.id, .model = y->model, .kind = y->frame.kind, .created = y->frame.created,
                         .usage = y->frame.usage };
    y->frame = f;
}

/* Ask the next upstream; when none is left, the client hears of it. */
static void ask_next(struct relay *y)
{
    struct buf b;
    struct err e;
    int        i  = remote_pick(y->m->remote, y->tried, y->body.prefix);
    int        rc = 0;

    if (i < 0) {
        fail(y);
        return;
    }
    y->at = i;
    y->tried |= (uint64_t)1 << i;
    begin_try(y);
    buf_init(&b, LIM_REQ_ARENA);
    buf_str(&b, STR("{\"model\":"));
    json_put_str(&b, remote_model(y->m->remote, i));
    buf_str(&b, buf_text(&y->body.tail));
    y->open = true;
    rc      = remote_begin(y->m->remote, i, path_of(y->route->kind), buf_text(&b), y->body.stream, &call_fns, y, &y->call, &e);
    if (rc == 0 && b.failed) {
        http_call_cancel(y->call);
        y->call = NULL;
        rc      = err_nomem(&e, "asking another server");
    }
    buf_release(&b);
    if (rc < 0) {
        y->call = NULL;
        try_failed(y, rc == -ERR_NO_MEMORY ? REMOTE_UNKNOWN : REMOTE_UNREACHABLE, &e);
    }
}

static void on_again(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    ask_next(ctx);
}

static int prepare(struct relay *y, const struct gateway_model *m, struct err *e)
{
    static const struct {
        enum api_kind     kind;
        enum reframe_kind frame;
        const char       *id;
    } kinds[] = { { API_CHAT, REFRAME_CHAT, "chatcmpl" }, { API_COMPLETION, REFRAME_TEXT, "cmpl" },
                  { API_EMBED, REFRAME_EMBED, "embd" }, { API_RERANK, REFRAME_RANK, "rerank" } };
    uint64_t r[2];
    size_t   k = 0;

    while (kinds[k].kind != y->route->kind) k++;
    if (y->route->kind == API_EMBED || y->route->kind == API_RERANK) y->body.stream = false;
    rng_system(r, sizeof r);
    snprintf(y->id, sizeof y->id, "%s-%016llx%08x", kinds[k].id, (unsigned long long)r[0], (unsigned)(r[1] & 0xffffffff));
    y->model = arena_str(&y->arena, m->id);
    y->again = evtimer_new(y->a->base, on_again, y);
    if (!y->model.p || !y->again) return err_nomem(e, "taking a request");
    y->frame = (struct reframe){ .id = str_c(y->id), .kind = kinds[k].frame, .created = clock_wall_s(), .usage = y->body.usage };
    buf_init(&y->in, LIM_UPSTREAM_REPLY_BYTES);
    int rc = gateway_relay_begin(y->a->gw, m, e);
    if (rc == 0) y->m = m;
    return rc;
}

/* Not a model of another server, or nothing that says so: the route's own function answers. */
static void give_back(struct relay *y)
{
    struct api         *a    = y->a;
    struct http_req    *h    = y->http;
    const struct route *r    = y->route;
    struct str          rest = y->rest;

    http_req_set_user(h, NULL);
    relay_free(y);
    r->fn(a, h, r, rest);
}

static void parse(void *ctx)
{
    struct relay *y = ctx;
    struct err    e;

    y->parse_rc = relay_body_read(y->text, &y->arena, &y->body, &e);
    y->has_body = y->parse_rc == 0;
}

static void parsed(void *ctx)
{
    struct relay               *y = ctx;
    const struct gateway_model *m;
    struct err                  e;

    y->parsing = false;
    if (!y->http) { // the client did not wait
        relay_free(y);
        return;
    }
    if (y->over) return;
    if (y->parse_rc < 0 || gateway_find(y->a->gw, y->body.model, &m, &e) < 0 || !m->remote) {
        give_back(y);
        return;
    }
    http_req_free_body(y->http);
    if (prepare(y, m, &y->last) < 0) {
        fail(y);
        return;
    }
    if (y->body.stream) http_sse_expect(y->http);
    ask_next(y);
}

bool relay_may(const struct api *a, const struct route *r)
{
    return gateway_has_remote(a->gw) && (r->kind & (API_CHAT | API_COMPLETION | API_EMBED | API_RERANK));
}

void relay_begin(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    struct relay *y = mem_zalloc(sizeof *y);
    struct err    e;

    if (!y) {
        err_nomem(&e, "taking a request");
        http_reply_err(h, &e);
        return;
    }
    *y = (struct relay){ .user = { .gone = relay_gone, .detach = relay_detach, .room = relay_room }, .a = a, .http = h,
                         .route = r, .rest = rest };
    arena_init(&y->arena, LIM_REQ_ARENA);
    http_req_set_user(h, &y->user);
    y->text = http_req_body(h);
    if (y->text.n <= LIM_BODY_INLINE) {
        parse(y);
        parsed(y);
        return;
    }
    y->text    = arena_str(&y->arena, y->text); // the job must not depend on the connection
    y->parsing = true;
    if (!y->text.p) err_nomem(&y->last, "taking a request");
    else if (jobs_run(a->jobs, parse, parsed, y, &y->last) == 0) return;
    y->parsing = false;
    fail(y);
}
