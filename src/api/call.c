/* call.c - a generation request: parse, submit, collect, reply.
 *
 *     body ── parse (large ones on the job thread) ── submit each prompt ── events ── reply
 *
 * A call lives until the HTTP side has let go of it and no job and no gateway request holds it any
 * more. When the client goes away, its work is cancelled at once wherever it is.
 */
#include <string.h>

#include "api/api_int.h"
#include "api/caps.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"

static void call_free(struct call *c)
{
    for (int i = 0; i < c->n_answer; i++) {
        struct answer *an = &c->answer[i];
        buf_release(&an->text);
        buf_release(&an->reasoning);
        buf_release(&an->calls);
        buf_release(&an->lps);
        for (size_t k = 0; k < ARRAY_LEN(an->lp_parts); k++) buf_release(&an->lp_parts[k]);
    }
    buf_release(&c->head);
    arena_release(&c->arena);
    mem_free(c);
}

static void cancel_all(struct call *c)
{
    for (int i = 0; i < c->n_flight; i++) {
        if (c->flight[i].req) gateway_cancel(c->flight[i].req);
        c->flight[i].req = NULL;
    }
}

static void call_gone(struct api_user *u)
{
    struct call *c = (struct call *)u;

    cancel_all(c);
    c->over = true;
}

static void call_detach(struct api_user *u)
{
    struct call *c = (struct call *)u;

    cancel_all(c);
    c->over = true;
    c->http = NULL;
    if (!c->parsing) call_free(c);
}

/* --- events --- */

static void fail(struct call *c, const struct err *e)
{
    if (c->over) return;
    cancel_all(c);
    c->over = true;
    reply_error(c, e);
}

/* The first prompt's turn starts the reply: what is wrong with another one was found when it was taken in,
 * and one that still waits for its turn may wait long. */
static void start(struct call *c)
{
    if (c->streaming || !c->q.stream) return;
    c->streaming = true;
    reply_stream_start(c);
}

static void end(struct call *c, const struct chat_usage *u)
{
    c->usage.n_prompt += u->n_prompt;
    c->usage.n_cached += u->n_cached;
    c->usage.n_gen += u->n_gen;
    c->usage.n_reasoning += u->n_reasoning;
    if (++c->n_ended < c->n_flight) return;
    c->over = true;
    if (c->q.stream) reply_stream_end(c);
    else reply_whole(c);
}

static void on_event(void *ctx, const struct chat_event *ev)
{
    struct flight *f = ctx;
    struct call   *c = f->call;

    switch (ev->kind) {
    case CHAT_EV_START: start(c); break;
    case CHAT_EV_END:
        f->req = NULL;
        end(c, &ev->usage);
        break;
    case CHAT_EV_ERROR:
        f->req = NULL;
        fail(c, &ev->err);
        break;
    case CHAT_EV_TEXT:
    case CHAT_EV_REASONING:
    case CHAT_EV_CALL:
    case CHAT_EV_ARGS:
    case CHAT_EV_LOGPROB:
    case CHAT_EV_FINISH:
        if (ev->choice < c->q.r.n_choice) reply_event(c, f->first + ev->choice, ev);
        break;
    case CHAT_EV_VECTOR: break; // asked for by embed.c only
    }
}

/* --- submit --- */

static int prepare(struct call *c, const struct gateway_model *m, struct err *e)
{
    uint64_t r[2];

    c->n_flight = c->kind == API_CHAT ? 1 : c->q.n_prompt;
    c->n_answer = c->n_flight * c->q.r.n_choice;
    if (c->n_answer > LIM_CHOICES * LIM_PROMPTS)
        return err_param(e, ERR_ABOVE_MAX, "n", "%d answers are asked for, the limit is %d", c->n_answer,
                         LIM_CHOICES * LIM_PROMPTS);
    c->flight = arena_array(&c->arena, (size_t)c->n_flight, sizeof *c->flight);
    struct answer *an = arena_array(&c->arena, (size_t)c->n_answer, sizeof *an);
    c->fingerprint = m->has_info ? arena_str(&c->arena, m->info.fingerprint) : STR("");
    c->model       = arena_str(&c->arena, m->id);
    c->q.model     = c->model; // the one that answers, whatever it was called
    c->submit_us   = clock_mono_us();
    c->reasoning_field = m->reasoning_field;
    if (!c->flight || !an || !c->fingerprint.p || !c->model.p) {
        c->n_flight = c->n_answer = 0;
        return err_nomem(e, "starting a request");
    }
    c->answer = an;
    for (int i = 0; i < c->n_answer; i++) {
        buf_init(&an[i].text, LIM_REQ_ARENA);
        buf_init(&an[i].reasoning, LIM_REQ_ARENA);
        buf_init(&an[i].calls, LIM_REQ_ARENA);
        buf_init(&an[i].lps, LIM_REQ_ARENA);
        for (size_t k = 0; k < ARRAY_LEN(an[i].lp_parts); k++) buf_init(&an[i].lp_parts[k], LIM_REQ_ARENA);
    }
    rng_system(r, sizeof r);
    snprintf(c->id, sizeof c->id, "%s-%016llx%08x", c->kind == API_CHAT ? "chatcmpl" : "cmpl",
             (unsigned long long)r[0], (unsigned)(r[1] & 0xffffffff));
    c->created = clock_wall_s();
    rng_seed(&c->rng, r[0] ^ r[1]);
    if (!c->q.r.params.has_seed) c->q.r.params.seed = r[1]; // drawn here: the worker draws nothing
    return 0;
}

/* The model named; /infill may leave it out when there is only one. */
static int find_model(struct call *c, const struct gateway_model **ret, struct err *e)
{
    if (c->q.model.p) return gateway_find(c->a->gw, c->q.model, ret, e);
    if (gateway_n_model(c->a->gw) != 1) return err_param(e, ERR_MISSING_PARAM, "model", "model is missing");
    *ret = gateway_model_at(c->a->gw, 0);
    return 0;
}

static void submit(struct call *c)
{
    const struct gateway_model *m = NULL;
    struct err                  e, why;
    int                         rc = find_model(c, &m, &e);

    if (caps_check(c->a, c->http, &c->q, m, &why) < 0 && rc == 0) {
        e  = why;
        rc = -(int)why.code;
    }
    if (rc == 0) rc = prepare(c, m, &e);
    for (int i = 0; rc == 0 && i < c->n_flight; i++) {
        struct flight *f = &c->flight[i];
        *f = (struct flight){ .call = c, .first = i * c->q.r.n_choice };
        if (c->kind != API_CHAT) {
            c->q.r.prompt       = c->q.prompt[i].text;
            c->q.r.prompt_tok   = c->q.prompt[i].tok;
            c->q.r.n_prompt_tok = c->q.prompt[i].n_tok;
        }
        rc = gateway_submit(c->a->gw, m, &c->q.r, on_event, f, &f->req, &e);
    }
    if (rc == 0 && c->q.stream) http_sse_expect(c->http);
    if (rc == 0) gateway_flush(c->a->gw, m);
    else fail(c, &e);
}

/* --- parse --- */

static void parse(void *ctx)
{
    struct call *c = ctx;

    c->parse_rc = api_req_parse(c->body, c->kind, &c->arena, &c->q, &c->parse_err);
}

static void parsed(void *ctx)
{
    struct call *c = ctx;

    c->parsing = false;
    if (!c->http) { // the client did not wait
        call_free(c);
        return;
    }
    if (c->over) return;
    if (c->parse_rc == 0) {
        submit(c);
        return;
    }
    if (c->q.ignored[0]) http_reply_field(c->http, "x-curlew-ignored", str_c(c->q.ignored));
    fail(c, &c->parse_err);
}

void call_begin(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    struct str   body = http_req_body(h);
    struct call *c    = mem_zalloc(sizeof *c);
    struct err   e;
    (void)rest;

    if (!c) {
        err_nomem(&e, "taking a request");
        http_reply_err(h, &e);
        return;
    }
    *c = (struct call){ .user = { call_gone, call_detach }, .a = a, .http = h, .kind = r->kind };
    arena_init(&c->arena, LIM_REQ_ARENA);
    buf_init(&c->head, KIB(4));
    http_req_set_user(h, &c->user);
    if (body.n <= LIM_BODY_INLINE) {
        c->body = body;
        parse(c);
        http_req_free_body(h);
        parsed(c);
        return;
    }
    c->body    = arena_str(&c->arena, body); // the job must not depend on the connection
    c->parsing = true;
    http_req_free_body(h);
    if (!c->body.p) err_nomem(&e, "taking a request");
    else if (jobs_run(a->jobs, parse, parsed, c, &e) == 0) return;
    c->parsing = false;
    fail(c, &e);
}
