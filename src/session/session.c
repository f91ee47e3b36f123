/* session.c - the requests of a worker: take them, end them, tell the front. */
#include "session/session.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "session/session_int.h"

static bool encodes(const struct session *s)
{
    return s->info.caps & ENGINE_WHOLE;
}

static bool forwards(const struct session *s)
{
    return s->info.caps & ENGINE_FORWARD;
}

int session_new(const struct session_conf *c, struct session **ret, struct err *e)
{
    struct session *s = mem_zalloc(sizeof *s);

    if (!s) return err_nomem(e, "starting a session");
    s->c = *c;
    c->ops->info(c->engine, &s->info);
    buf_init(&s->out, LIM_CHAN_OUT);
    map_init(&s->salt, LIM_SALTS);
    s->tok_out = forwards(s) || (s->info.caps & ENGINE_TOK_OUT && c->tok);
    int rc = encodes(s) ? enc_new(s, e) : forwards(s) ? fwd_new(s, e) : gen_new(s, e);
    if (rc < 0) {
        session_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

static void free_req(struct sess_req *rq)
{
    struct session *s = rq->s;

    if (rq->prev) rq->prev->next = rq->next;
    else s->first = rq->next;
    if (rq->next) rq->next->prev = rq->prev;
    else s->last = rq->prev;
    s->n_req--;
    for (int i = 0; i < rq->r.n_choice; i++) choice_release(&rq->choice[i]);
    embd_free(rq->embd);
    constrain_unref(rq->form);
    ids_release(&rq->prompt);
    ids_release(&rq->breaker);
    arena_release(&rq->arena);
    mem_free(rq);
}

void session_free(struct session *s)
{
    if (!s) return;
    session_cancel_all(s);
    if (s->gen) gen_free(s);
    if (s->sched) fwd_free(s);
    if (s->enc) enc_free(s);
    sample_scratch_free(s->scratch);
    hold_free(s);
    sess_salts_release(s);
    map_release(&s->salt);
    buf_release(&s->out);
    mem_free(s);
}

/* --- events --- */

static void emit(struct session *s, uint32_t id, const struct chat_event *ev)
{
    pack_u32(&s->out, id);
    chat_event_pack(&s->out, ev);
}

void sess_emit(struct sess_req *rq, struct chat_event *ev)
{
    emit(rq->s, rq->id, ev);
}

void sess_start(struct sess_req *rq)
{
    struct chat_event ev = { .kind = CHAT_EV_START, .usage = { .n_prompt = rq->n_prompt, .n_cached = rq->n_cached } };

    if (rq->started) return;
    rq->started = true;
    sess_emit(rq, &ev);
}

void sess_fail(struct sess_req *rq, const struct err *why)
{
    struct chat_event ev = { .kind = CHAT_EV_ERROR, .err = *why };

    sess_emit(rq, &ev);
    rq->dead = true;
}

void sess_choice_ended(struct choice *ch)
{
    struct sess_req *rq = ch->rq;

    rq->n_gen += ch->n_gen;
    rq->n_reasoning += ch->n_reasoning;
    if (++rq->n_done < rq->r.n_choice) return;
    struct chat_event ev = { .kind = CHAT_EV_END,
                             .usage = { .n_prompt = rq->n_prompt, .n_cached = rq->n_cached,
                                        .n_gen = rq->n_gen, .n_reasoning = rq->n_reasoning } };
    sess_emit(rq, &ev);
    rq->dead = true;
}

/* --- coming and going --- */

static bool vectors_wanted(const struct chat_req *r)
{
    return r->kind == CHAT_KIND_EMBED || r->kind == CHAT_KIND_RANK;
}

static int begin_vectors(struct sess_req *rq, struct err *e)
{
    int rc = embd_new(rq, e);

    if (rc < 0) return rc;
    return encodes(rq->s) ? enc_submit(rq, e) : forwards(rq->s) ? embd_submit(rq, e) : gen_submit(rq, e);
}

static int begin_answer(struct sess_req *rq, struct err *e)
{
    int rc = sess_check_caps(rq, e);

    if (rc == 0) rc = sess_prompt(rq, e);
    if (rc == 0 && forwards(rq->s)) rc = hold_request(rq, e);
    for (int i = 0; rc == 0 && i < rq->r.n_choice; i++) rc = choice_init(&rq->choice[i], rq, i, e);
    if (rc == 0) rc = forwards(rq->s) ? fwd_submit(rq, e) : gen_submit(rq, e);
    return rc;
}

static int take(struct session *s, uint32_t id, const struct chat_req *r, struct arena *a, struct err *e)
{
    struct sess_req *rq = mem_zalloc(sizeof *rq + sizeof rq->choice[0] * (size_t)r->n_choice);

    if (!rq) {
        arena_release(a);
        return err_nomem(e, "taking a request");
    }
    rq->s     = s;
    rq->id    = id;
    rq->arena = *a;
    rq->r     = *r;
    rq->prev  = s->last;
    if (s->last) s->last->next = rq;
    else s->first = rq;
    s->last = rq;
    s->n_req++;
    rq->since_us = clock_mono_us();
    ids_init(&rq->prompt, LIM_CTX);
    ids_init(&rq->breaker, LIM_DRY_BREAKERS);

    int rc = vectors_wanted(r) ? begin_vectors(rq, e) : begin_answer(rq, e);
    if (rc < 0) free_req(rq);
    return rc;
}

void session_submit(struct session *s, uint32_t id, struct str frame)
{
    struct arena    a;
    struct chat_req r;
    struct err      e = { .code = ERR_INTERNAL };

    arena_init(&a, LIM_REQ_ARENA);
    int rc = chat_req_unpack(frame, &a, &r, &e);
    if (rc < 0) arena_release(&a);
    else rc = take(s, id, &r, &a, &e);
    TRACE(TRACE_SESSION, "submit id=%u rc=%d", id, rc);
    if (rc == 0) return;
    struct chat_event ev = { .kind = CHAT_EV_ERROR, .err = e };
    emit(s, id, &ev);
}

static void cancel(struct sess_req *rq)
{
    if (forwards(rq->s)) fwd_cancel(rq);
    else gen_cancel(rq);
    free_req(rq);
}

void session_cancel(struct session *s, uint32_t id)
{
    for (struct sess_req *rq = s->first; rq; rq = rq->next) {
        if (rq->id != id) continue;
        TRACE(TRACE_SESSION, "cancel id=%u", id);
        cancel(rq);
        return;
    }
}

void session_cancel_all(struct session *s)
{
    while (s->first) cancel(s->first);
}

/* --- steps --- */

static uint64_t deadline_us(const struct sess_req *rq)
{
    return rq->since_us + (uint64_t)rq->s->c.queue_ms * 1000;
}

static bool waiting(const struct sess_req *rq)
{
    if (encodes(rq->s)) return !rq->started;
    return forwards(rq->s) ? fwd_waiting(rq) : gen_waiting(rq);
}

/* Requests that nothing was done for in time. The list is in order of age, so the first that is young
 * enough ends the search. */
static void expire(struct session *s)
{
    uint64_t   now = clock_mono_us();
    struct err e;

    for (struct sess_req *rq = s->first; rq && deadline_us(rq) <= now; rq = rq->next) {
        if (rq->dead || !waiting(rq)) continue;
        err_set(&e, ERR_OVERLOADED, "the request waited %d ms for its turn, the limit; retry later", s->c.queue_ms);
        sess_fail(rq, &e);
    }
}

static void bury(struct session *s)
{
    struct sess_req *next;

    for (struct sess_req *rq = s->first; rq; rq = next) {
        next = rq->next;
        if (rq->dead) cancel(rq);
    }
}

bool session_step(struct session *s)
{
    if (!s->first && forwards(s)) return false;
    expire(s);
    bool more = encodes(s) ? enc_step(s) : forwards(s) ? fwd_step(s) : gen_step(s);
    bury(s);
    return more;
}

int session_wait_ms(const struct session *s)
{
    uint64_t now = clock_mono_us();
    int      ms  = forwards(s) ? -1 : gen_wait_ms(s);

    for (const struct sess_req *rq = s->first; rq; rq = rq->next) {
        if (!waiting(rq)) continue;
        uint64_t at   = deadline_us(rq);
        int      left = at <= now ? 0 : (int)((at - now) / 1000) + 1;
        return ms < 0 || left < ms ? left : ms;
    }
    return ms;
}

void session_on_begin(struct session *s, void (*fn)(void *ctx), void *ctx)
{
    s->on_begin     = fn;
    s->on_begin_ctx = ctx;
}

int session_wake_fd(const struct session *s)
{
    return s->gen ? gen_wake_fd(s) : -1;
}

const struct buf *session_out(const struct session *s)
{
    return &s->out;
}

void session_sent(struct session *s)
{
    buf_clear(&s->out);
}

bool session_broken(const struct session *s)
{
    return s->broken;
}

int session_running(const struct session *s)
{
    return s->n_req;
}
