/* gateway.c - the table of models and of requests in flight. */
#include "gateway/gateway.h"

#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/name.h"
#include "os/chan.h"
#include "os/watch.h"

/* A request's number on the channel: its place in the table and how often the place was used, so that
 * late events of a cancelled request find nobody. */
#define SLOT_BITS 12
#define SLOT_MASK ((1u << SLOT_BITS) - 1)
_Static_assert(LIM_REQS <= 1 << SLOT_BITS, "a request's number has SLOT_BITS for its place");

struct gateway_req {
    struct gateway   *g;
    struct backend   *b;  // NULL: free
    uint32_t          id;
    gateway_event_fn  *fn;        // of a request
    gateway_answer_fn *answer_fn; // of a question
    void              *ctx;
    uint32_t           next_free;
};

struct backend {
    struct gateway_model m; // first: a model's address is its backend's
    struct gateway      *g;
    uint32_t             index, place;
    uint32_t             replaces; // index, and one, of the one that is seen in its place; 0: it is seen itself
    bool                 dropped; // nobody finds it any more
    bool                 told;    // the supervisor knows that its last request is over
    struct arena         arena; // the names
    struct arena         why_arena;
    struct arena         info_arena;
    struct chan         *chan; // NULL: no worker
    struct watch        *watch;
    bool                 hello; // the worker said what it is
};

struct gateway {
    struct event_base   *base;
    struct backend      *slot[LIM_MODELS];    // by index; NULL: free
    struct backend      *backend[LIM_MODELS]; // [n_backend] those not dropped, by place
    size_t               n_backend;
    struct gateway_req  *req; // [LIM_REQS]
    uint32_t             free_req; // index of the first free one, LIM_REQS: none
    int                  n_running;
    bool                 draining;
    struct gateway_calls calls;
    void                *calls_ctx;
    struct buf           frame; // scratch for sending
    struct chat_logprob  top[LIM_TOP_LOGPROBS];
};

int gateway_new(struct event_base *base, const struct gateway_calls *calls, void *ctx, struct gateway **ret,
                struct err *e)
{
    struct gateway *g = mem_zalloc(sizeof *g);

    if (!g) return err_nomem(e, "starting the gateway");
    g->base      = base;
    g->calls     = *calls;
    g->calls_ctx = ctx;
    g->req  = mem_array(LIM_REQS, sizeof *g->req);
    if (!g->req) {
        mem_free(g);
        return err_nomem(e, "starting the gateway");
    }
    for (uint32_t i = 0; i < LIM_REQS; i++) g->req[i] = (struct gateway_req){ .g = g, .id = i, .next_free = i + 1 };
    buf_init(&g->frame, LIM_FRAME_BYTES);
    *ret = g;
    return 0;
}

static struct backend *at_index(const struct gateway *g, uint32_t index)
{
    return index < LIM_MODELS ? g->slot[index] : NULL;
}

/* --- requests in flight --- */

static struct gateway_req *take_req(struct gateway *g)
{
    if (g->free_req >= LIM_REQS) return NULL;
    struct gateway_req *r = &g->req[g->free_req];
    g->free_req = r->next_free;
    return r;
}

/* A dropped model whose last request is over: its worker is not needed any more. */
static void check_dropped(struct backend *b)
{
    if (!b->dropped || b->told || b->m.n_running) return;
    b->told = true;
    b->g->calls.dropped(b->g->calls_ctx, b->index);
}

static void drop_req(struct gateway_req *r)
{
    struct gateway *g = r->g;
    struct backend *b = r->b;

    b->m.n_running--;
    b->m.n_done++;
    g->n_running--;
    r->b         = NULL;
    r->fn        = NULL;
    r->answer_fn = NULL;
    r->id       += 1u << SLOT_BITS; // numbers of the past mean nothing from now on
    r->next_free = g->free_req;
    g->free_req  = r->id & SLOT_MASK;
    check_dropped(b);
}

static void give(struct gateway_req *r, const struct chat_event *ev)
{
    gateway_event_fn *fn  = r->fn;
    void             *ctx = r->ctx;

    if (ev->kind == CHAT_EV_END || ev->kind == CHAT_EV_ERROR) drop_req(r);
    fn(ctx, ev);
}

static void give_answer(struct gateway_req *r, const struct chat_answer *an)
{
    gateway_answer_fn *fn  = r->answer_fn;
    void              *ctx = r->ctx;

    drop_req(r);
    fn(ctx, an);
}

static void fail_all(struct backend *b, enum err_code code, const char *text)
{
    struct chat_event  ev = { .kind = CHAT_EV_ERROR };
    struct chat_answer an = { .text = STR("") };

    err_set(&ev.err, code, "%s", text);
    an.err = ev.err;
    for (uint32_t i = 0; i < LIM_REQS; i++) {
        struct gateway_req *r = &b->g->req[i];
        if (r->b == b && r->fn) give(r, &ev);
        else if (r->b == b) give_answer(r, &an);
    }
}

/* --- a worker's channel --- */

static void unlink_worker(struct backend *b)
{
    watch_free(b->watch);
    chan_close(b->chan);
    b->watch      = NULL;
    b->chan       = NULL;
    b->hello      = false;
    b->m.has_info = false;
}

/* The request of this number, if it is still wanted and this worker's. */
static int find_req(struct backend *b, uint32_t id, struct gateway_req **ret, struct err *e)
{
    struct gateway_req *r = (id & SLOT_MASK) < LIM_REQS ? &b->g->req[id & SLOT_MASK] : NULL;

    *ret = r && r->id == id && r->b ? r : NULL;
    if (*ret && r->b != b) return err_set(e, ERR_PROTOCOL, "an answer to a request of another model");
    return 0;
}

static int on_answer(struct backend *b, const struct chan_msg *m, struct err *e)
{
    struct gateway_req *r;
    struct chat_answer  an;
    struct arena        a;
    int                 rc = find_req(b, m->id, &r, e);

    if (rc < 0 || !r) return rc;
    if (!r->answer_fn) return err_set(e, ERR_PROTOCOL, "an answer to what is no question");
    arena_init(&a, LIM_REQ_ARENA * 2);
    rc = chat_answer_unpack(m->body, &a, &an, e);
    if (rc == 0) give_answer(r, &an);
    arena_release(&a);
    return rc;
}

static int on_events(struct backend *b, struct str body, struct err *e)
{
    struct gateway *g = b->g;
    struct unpack   u = unpack_init(body);

    while (u.n && !u.failed) {
        struct chat_event ev;
        uint32_t          id = unpack_u32(&u);
        if (!chat_event_unpack(&u, &ev, g->top, LIM_TOP_LOGPROBS)) break;
        struct gateway_req *r;
        int                 rc = find_req(b, id, &r, e);
        if (rc < 0) return rc;
        if (!r) continue; // cancelled meanwhile
        if (!r->fn) return err_set(e, ERR_PROTOCOL, "events for a question");
        give(r, &ev);
    }
    return u.failed ? err_set(e, ERR_PROTOCOL, "malformed events") : 0;
}

static void unlist(struct gateway *g, const struct backend *b)
{
    size_t n = 0;

    for (size_t i = 0; i < g->n_backend; i++)
        if (g->backend[i] != b) g->backend[n++] = g->backend[i];
    g->n_backend = n;
}

static void enlist(struct gateway *g, struct backend *b)
{
    size_t i = g->n_backend++; // there is a place in the list for each index

    for (; i > 0 && g->backend[i - 1]->place > b->place; i--) g->backend[i] = g->backend[i - 1];
    g->backend[i] = b;
}

static void drop(struct backend *b)
{
    b->replaces = 0;
    if (b->dropped) return;
    b->dropped = true;
    unlist(b->g, b);
    check_dropped(b);
}

/* From one request to the next: the new one answers to the name, the old one ends what it has begun. */
static void take_over(struct backend *b)
{
    uint32_t next = b->replaces;

    b->replaces = 0;
    enlist(b->g, b);
    while (next) { // one that it replaces may itself have waited for its turn
        struct backend *old = at_index(b->g, next - 1);
        if (!old || old == b) return;
        next = old->replaces;
        drop(old);
    }
}

static int on_msg(void *ctx, struct chan *c, const struct chan_msg *m, struct err *e)
{
    struct backend *b = ctx;
    (void)c;

    if (m->type == MSG_EVENTS) return on_events(b, m->body, e);
    if (m->type == MSG_ANSWER) return on_answer(b, m, e);
    arena_clear(&b->info_arena);
    int rc = chat_info_unpack(m->body, &b->info_arena, &b->m.info, e); // HELLO: nothing else is legal
    if (rc < 0) return rc;
    b->hello      = true;
    b->m.has_info = true;
    b->m.state    = MODEL_READY;
    log_info("model_linked", "model=" STR_FMT, STR_ARG(b->m.id));
    b->g->calls.ready(b->g->calls_ctx, b->index);
    if (b->replaces && !b->dropped) take_over(b);
    return 0;
}

static void on_gone(void *ctx, const struct err *why)
{
    struct backend *b = ctx;

    if (!b->told) // else it was meant to go
        log_warn("worker_gone", "model=" STR_FMT " running=%d why=\"%s\"", STR_ARG(b->m.id),
                 b->m.n_running, why->msg);
    unlink_worker(b);
    b->m.state = MODEL_RESTARTING;
    b->m.restarts++;
    fail_all(b, ERR_ENGINE_GONE, "the process that runs this model ended unexpectedly; it is being "
             "started again");
}

int gateway_link(struct gateway *g, uint32_t index, int fd, struct err *e)
{
    struct chan *c;

    struct backend *b = at_index(g, index);
    if (!b) return err_set(e, ERR_PROTOCOL, "model %u is not known", index);
    int             rc = chan_open(fd, CHAN_FRONT, CHAN_WORKER, &c, e);
    if (rc < 0) return rc;
    if (b->chan) { // the old worker is gone, and this is how we hear of it
        unlink_worker(b);
        fail_all(b, ERR_ENGINE_GONE, "the process that runs this model was replaced");
    }
    b->chan = c;
    rc      = watch_new(g->base, c, on_msg, on_gone, b, &b->watch, e);
    if (rc < 0) unlink_worker(b);
    return rc;
}

/* --- models --- */

static void backend_free(struct backend *b)
{
    if (!b) return;
    unlink_worker(b);
    arena_release(&b->arena);
    arena_release(&b->why_arena);
    arena_release(&b->info_arena);
    mem_free(b);
}

/* Names into the backend's arena, in place of those it has. */
static int set_names(struct backend *b, const struct gateway_spec *s, struct err *e)
{
    struct arena fresh;
    bool         ok;

    arena_init(&fresh, KIB(64));
    struct str  id    = arena_str(&fresh, s->id);
    struct str *alias = arena_array(&fresh, (size_t)s->n_alias + 1, sizeof *alias);
    ok                = id.p && alias;
    for (int i = 0; ok && i < s->n_alias; i++) {
        alias[i] = arena_str(&fresh, s->alias[i]);
        ok       = alias[i].p != NULL;
    }
    if (!ok) {
        arena_release(&fresh);
        return err_nomem(e, "adding a model");
    }
    arena_release(&b->arena);
    b->arena             = fresh;
    b->m.id              = id;
    b->m.alias           = alias;
    b->m.n_alias         = s->n_alias;
    b->m.reasoning_field = s->reasoning_field;
    b->place             = s->place;
    return 0;
}

int gateway_add(struct gateway *g, const struct gateway_spec *s, struct err *e)
{
    struct backend *b = at_index(g, s->index);

    if (s->index >= LIM_MODELS || (b && b->dropped && !b->told) || s->n_alias > LIM_ALIASES)
        return err_set(e, ERR_PROTOCOL, "model %u is out of range or still busy", s->index);
    if (b && !b->dropped) { // it stays, with new names or at a new place
        int rc = set_names(b, s, e);
        if (rc < 0) return rc;
        if (b->replaces && s->replaces) return 0; // its turn is still to come
        b->replaces = 0;
        unlist(g, b);
        enlist(g, b);
        return 0;
    }
    struct backend *fresh = mem_zalloc(sizeof *fresh);
    if (!fresh) return err_nomem(e, "adding a model");
    fresh->g     = g;
    fresh->index = s->index;
    fresh->m     = (struct gateway_model){ .created = s->created, .file_bytes = s->file_bytes, .state = MODEL_LOADING };
    arena_init(&fresh->arena, KIB(64));
    arena_init(&fresh->why_arena, KIB(4));
    arena_init(&fresh->info_arena, KIB(64));
    int rc = set_names(fresh, s, e);
    if (rc < 0) {
        backend_free(fresh);
        return rc;
    }
    backend_free(b); // of the index's last model
    g->slot[s->index] = fresh;
    fresh->replaces   = s->replaces;
    if (!fresh->replaces) enlist(g, fresh);
    return 0;
}

int gateway_drop(struct gateway *g, uint32_t index, struct err *e)
{
    struct backend *b = at_index(g, index);

    if (!b) return err_set(e, ERR_PROTOCOL, "model %u is not known", index);
    drop(b); // it may be dropped already: its successor was faster than this message
    return 0;
}

int gateway_state(struct gateway *g, uint32_t index, enum model_state state, struct str why,
                  struct err *e)
{
    struct backend *b = at_index(g, index);
    if (!b || state >= MODEL_STATES)
        return err_set(e, ERR_PROTOCOL, "model %u or state %d is not known", index, (int)state);
    if (b->hello && b->chan && state != MODEL_FAILED) return 0; // its channel knows better
    arena_clear(&b->why_arena);
    struct str text = arena_str(&b->why_arena, why);
    b->m.why        = text.p ? text : STR("");
    b->m.state      = state;
    return 0;
}

size_t gateway_n_model(const struct gateway *g)
{
    return g->n_backend;
}

const struct gateway_model *gateway_model_at(const struct gateway *g, size_t i)
{
    return &g->backend[i]->m;
}

int gateway_running(const struct gateway *g)
{
    return g->n_running;
}

/* --- names --- */

/* How well a name fits a model: that of the best of the model's names. */
static enum name_fit fit(const struct gateway_model *m, struct str name)
{
    enum name_fit best = name_fits(name, m->id, false);

    for (int i = 0; i < m->n_alias; i++) {
        enum name_fit f = name_fits(name, m->alias[i], true);
        if (f > best) best = f;
    }
    return best;
}

/* The one that has this very name, the usual case: no other name can fit better. */
static const struct backend *find_exact(const struct gateway *g, struct str name)
{
    for (size_t i = 0; i < g->n_backend; i++)
        if (str_eq(g->backend[i]->m.id, name)) return g->backend[i];
    for (size_t i = 0; i < g->n_backend; i++)
        for (int k = 0; k < g->backend[i]->m.n_alias; k++)
            if (str_eq(g->backend[i]->m.alias[k], name)) return g->backend[i];
    return NULL;
}

/* "a, b, c" of the models that fit so well. */
static void list_models(const struct gateway *g, struct str name, enum name_fit want, char *dst, size_t size)
{
    size_t at = 0;

    dst[0] = 0;
    for (size_t i = 0; i < g->n_backend && at < size; i++) {
        if (want != NAME_OTHER && fit(&g->backend[i]->m, name) != want) continue;
        int n = snprintf(dst + at, size - at, "%s" STR_FMT, at ? ", " : "", STR_ARG(g->backend[i]->m.id));
        at += n > 0 ? (size_t)n : 0;
    }
}

int gateway_find(const struct gateway *g, struct str name, const struct gateway_model **ret,
                 struct err *e)
{
    const struct backend *b    = find_exact(g, name);
    enum name_fit         best = NAME_OTHER;
    int                   n    = 0; // models that fit best
    char                  list[300], q[LIM_QUOTE_BYTES];

    if (b) {
        *ret = &b->m;
        return 0;
    }
    for (size_t i = 0; i < g->n_backend; i++) {
        enum name_fit f = fit(&g->backend[i]->m, name);
        if (f < best || f == NAME_OTHER) continue;
        n    = f > best ? 1 : n + 1;
        best = f;
        b    = g->backend[i];
    }
    if (n == 1) {
        *ret = &b->m;
        return 0;
    }
    list_models(g, name, best, list, sizeof list);
    str_quote(q, sizeof q, name);
    if (n > 1)
        return err_param(e, ERR_MODEL_NOT_FOUND, "model", "the model name \"%s\" is ambiguous; it may mean %s", q, list);
    return err_param(e, ERR_MODEL_NOT_FOUND, "model", "the model \"%s\" does not exist; this server has %s", q, list);
}

/* --- submit and cancel --- */

static struct backend *backend_of(const struct gateway_model *m)
{
    return (struct backend *)(uintptr_t)m; // ours to change, shown to others as const
}

static int can_answer(const struct backend *b, struct err *e)
{
    if (b->g->draining) return err_set(e, ERR_SHUTTING_DOWN, "the server is shutting down");
    if (b->chan && b->hello) return 0;
    switch (b->m.state) {
    case MODEL_FAILED:
        return err_set(e, ERR_ENGINE_GONE, "the model " STR_FMT " could not be loaded: " STR_FMT,
                       STR_ARG(b->m.id), STR_ARG(b->m.why));
    case MODEL_RESTARTING:
        return err_set(e, ERR_MODEL_LOADING, "the model " STR_FMT " is being started again; retry",
                       STR_ARG(b->m.id));
    case MODEL_LOADING:
    case MODEL_READY:
    case MODEL_STATES: break;
    }
    return err_set(e, ERR_MODEL_LOADING, "the model " STR_FMT " is still loading; retry", STR_ARG(b->m.id));
}

/* Queue what lies in g->frame for the model's worker, under the number of a new request. */
static int send_frame(struct gateway *g, struct backend *b, enum msg_type type, void *ctx,
                      struct gateway_req **ret, struct err *e)
{
    struct gateway_req *r;

    if (g->frame.failed)
        return err_set(e, ERR_TOO_LARGE, "the request is larger than %zu bytes", LIM_FRAME_BYTES);
    r = take_req(g);
    if (!r) return err_set(e, ERR_QUEUE_FULL, "%d requests are in flight, the limit", LIM_REQS);
    int rc = chan_send(b->chan, type, r->id, buf_text(&g->frame), -1, e);
    if (rc < 0) {
        r->next_free = g->free_req;
        g->free_req  = r->id & SLOT_MASK;
        return rc;
    }
    if (g->frame.cap > MIB(1)) buf_release(&g->frame); // one huge request keeps no memory
    r->b   = b;
    r->ctx = ctx;
    b->m.n_running++;
    g->n_running++;
    *ret = r;
    return 0;
}

void gateway_flush(struct gateway *g, const struct gateway_model *m)
{
    struct backend *b = backend_of(m);
    (void)g;

    if (b->watch) watch_flush(b->watch);
}

int gateway_submit(struct gateway *g, const struct gateway_model *m, const struct chat_req *req,
                   gateway_event_fn *fn, void *ctx, struct gateway_req **ret, struct err *e)
{
    struct backend *b  = backend_of(m);
    int             rc = can_answer(b, e);

    if (rc < 0) return rc;
    buf_clear(&g->frame);
    chat_req_pack(&g->frame, req);
    rc = send_frame(g, b, MSG_SUBMIT, ctx, ret, e);
    if (rc == 0) (*ret)->fn = fn;
    return rc;
}

int gateway_query(struct gateway *g, const struct gateway_model *m, const struct chat_query *q,
                  gateway_answer_fn *fn, void *ctx, struct gateway_req **ret, struct err *e)
{
    struct backend *b  = backend_of(m);
    int             rc = can_answer(b, e);

    if (rc < 0) return rc;
    buf_clear(&g->frame);
    chat_query_pack(&g->frame, q);
    rc = send_frame(g, b, MSG_QUERY, ctx, ret, e);
    if (rc < 0) return rc;
    (*ret)->answer_fn = fn;
    watch_flush(b->watch);
    return 0;
}

void gateway_cancel(struct gateway_req *r)
{
    struct backend *b = r->b;
    struct err      e;

    if (r->fn && b->chan && b->hello) { // a question is answered at once: nothing to stop
        if (chan_send(b->chan, MSG_CANCEL, r->id, STR(""), -1, &e) < 0)
            log_warn("cancel_not_sent", "model=" STR_FMT " error=\"%s\"", STR_ARG(b->m.id), e.msg);
        watch_flush(b->watch);
    }
    drop_req(r);
}

void gateway_drain(struct gateway *g)
{
    g->draining = true;
}

static void no_drop(void *ctx, uint32_t index)
{
    (void)ctx;
    (void)index;
}

void gateway_free(struct gateway *g)
{
    if (!g) return;
    g->calls.dropped = no_drop;
    for (size_t i = 0; i < LIM_MODELS; i++) {
        struct backend *b = g->slot[i];
        if (!b) continue;
        unlink_worker(b);
        fail_all(b, ERR_SHUTTING_DOWN, "the server is shutting down");
        backend_free(b);
    }
    mem_free(g->req);
    buf_release(&g->frame);
    mem_free(g);
}
