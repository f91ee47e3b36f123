/* sess_enc.c - encoders: whole texts in batches.
 *
 * Attention sees all of a text, so a text is computed in one piece and nothing is kept of it. A batch takes
 * one text of each request in turn until it is full: a short list waits for one batch, not for a long list.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "session/session_int.h"

#define RUNS 256 // texts of a batch

/* A text of the batch that is being made, or, without room in that, the first of the next. */
struct text {
    struct sess_req *rq;
    int              input;
    int              n_tok, n_first;
    size_t           at; // of its tokens in ids
};

struct enc {
    struct ids        ids; // tokens of the batch's texts
    int               n_text;
    struct text       text[RUNS];
    struct engine_run run[RUNS];
    struct pooling    pool;
    uint32_t          last; // request that was served last: the turn is with the one behind it
};

int enc_new(struct session *s, struct err *e)
{
    struct enc *c = mem_zalloc(sizeof *c);

    if (!c) return err_nomem(e, "starting a session");
    s->enc = c;
    ids_init(&c->ids, LIM_CTX * 2);
    return pooling_init(&c->pool, s->info.pooling, s->info.n_embd, e);
}

void enc_free(struct session *s)
{
    ids_release(&s->enc->ids);
    pooling_release(&s->enc->pool);
    mem_free(s->enc);
    s->enc = NULL;
}

int enc_submit(struct sess_req *rq, struct err *e)
{
    const struct session *s = rq->s;
    int                   n = 0;

    for (const struct sess_req *p = s->first; p; p = p->next) n += p != rq && !p->started;
    if (n > s->c.n_queue)
        return err_set(e, ERR_QUEUE_FULL, "%d requests wait for this model, the limit; retry later", n);
    return 0;
}

static void fail(struct sess_req *rq, const struct err *e)
{
    log_info("request_failed", "id=%u error=\"%s\"", rq->id, e->msg);
    sess_fail(rq, e);
}

/* One text of this request into the batch. False: the batch is full. */
static bool add_text(struct session *s, struct sess_req *rq)
{
    struct enc *c  = s->enc;
    size_t      at = c->ids.n;
    struct text t  = { .rq = rq, .input = rq->n_begun, .at = at };
    struct err  e;

    if (c->n_text == RUNS) return false;
    if (embd_tokens(rq, t.input, &c->ids, &t.n_first, &e) < 0) {
        c->ids.n = at;
        fail(rq, &e);
        return true;
    }
    t.n_tok = (int)(c->ids.n - at);
    if (c->ids.n > (size_t)s->info.n_batch && at > 0) { // it comes with the next batch
        c->ids.n = at;
        return false;
    }
    rq->n_begun++;
    c->text[c->n_text++] = t;
    return true;
}

static struct sess_req *behind(const struct session *s, const struct sess_req *rq)
{
    return rq && rq->next ? rq->next : s->first;
}

/* Whose turn it is. */
static struct sess_req *first_turn(const struct session *s)
{
    for (struct sess_req *rq = s->first; rq; rq = rq->next)
        if (rq->id == s->enc->last) return behind(s, rq);
    return s->first;
}

static void make_batch(struct session *s)
{
    struct enc      *c    = s->enc;
    struct sess_req *rq   = first_turn(s);
    int              idle = 0; // requests in a row that had nothing to add

    c->n_text = 0;
    c->ids.n  = 0;
    for (; rq && idle < s->n_req; rq = behind(s, rq)) {
        if (rq->dead || rq->n_begun == rq->r.n_input) {
            idle++;
            continue;
        }
        idle = 0;
        if (!add_text(s, rq)) return;
        c->last = rq->id;
        sess_start(rq);
    }
}

static void put_text(struct session *s, const struct text *t, int row)
{
    struct enc *c = s->enc;
    struct err  e;

    if (t->rq->dead) return;
    pooling_clear(&c->pool);
    for (int i = 0; i < t->n_tok; i++) pooling_add(&c->pool, s->c.ops->hidden(s->c.engine, row + i));
    if (embd_put(t->rq, t->input, &c->pool, t->n_tok, &e) < 0) fail(t->rq, &e);
}

bool enc_step(struct session *s)
{
    struct enc *c = s->enc;
    struct err  e;
    int         row = 0;

    make_batch(s);
    if (c->n_text == 0) return false;
    for (int i = 0; i < c->n_text; i++) {
        const struct text *t = &c->text[i];
        c->run[i] = (struct engine_run){ .tok = c->ids.id + t->at, .n_tok = t->n_tok, .n_logits = t->n_tok,
                                         .hidden = true, .n_first = t->n_first };
    }
    TRACE(TRACE_SCHED, "texts=%d tok=%zu", c->n_text, c->ids.n);
    int rc = s->c.ops->forward(s->c.engine, &(struct engine_batch){ c->run, c->n_text }, &e);
    for (int i = 0; i < c->n_text; i++) {
        if (rc == 0) put_text(s, &c->text[i], row);
        else if (!c->text[i].rq->dead) fail(c->text[i].rq, &e);
        row += c->text[i].n_tok;
    }
    return true;
}
