/* sess_embd.c - requests that want vectors of texts, or scores of documents.
 *
 * With a decoder, texts are sequences like any other: they go through the scheduler, share its batches with
 * the answers that run beside them, and are cut in pieces so that no stream waits long. A request hands over
 * some texts at a time, so that a long list holds neither all places nor all tokens. Encoders, whose texts
 * cannot be cut, are in sess_enc.c.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "session/session_int.h"

#define FLOW       1       // the scheduler's key of all of them: beside answers they get half of the prefill
#define WINDOW     8       // texts of a request in the scheduler at once
#define STEP_BYTES KIB(32) // of text made tokens before one step, and one text in any case

/* A text that the scheduler has. */
struct place {
    int            input; // its index, -1: the place is free
    int            n_tok;
    struct pooling pool;
};

struct embd {
    int          n_done;  // inputs answered
    float       *vec;     // [n_embd] scratch
    struct place place[WINDOW];
};

/* --- what is asked --- */

static int check(const struct sess_req *rq, struct err *e)
{
    const struct session *s = rq->s;
    bool                  rank = rq->r.kind == CHAT_KIND_RANK;

    if (!(s->info.caps & ENGINE_EMBED))
        return err_param(e, ERR_UNSUPP_VALUE, "model", "this model's engine gives no %s", rank ? "scores" : "embeddings");
    if (rank && !(s->info.caps & ENGINE_RANK))
        return err_param(e, ERR_UNSUPP_VALUE, "model", "this model has no ranking head, it cannot compare documents "
                         "with a query: use a reranker, a model file whose pooling type is rank");
    if (!rank && s->info.caps & ENGINE_RANK)
        return err_param(e, ERR_UNSUPP_VALUE, "model", "this model compares documents with a query (/v1/rerank), it "
                         "gives no embeddings");
    for (int i = 0; !(s->info.caps & (ENGINE_FORWARD | ENGINE_TOK_IN)) && i < rq->r.n_input; i++)
        if (rq->r.input[i].n_tok)
            return err_param(e, ERR_UNSUPP_PARAM, "input", "this model's engine takes text, not token ids");
    if (rq->r.n_dim > s->info.n_embd)
        return err_param(e, ERR_ABOVE_MAX, "dimensions", "dimensions is %d, this model's embeddings have %d",
                         rq->r.n_dim, s->info.n_embd);
    return 0;
}

int embd_new(struct sess_req *rq, struct err *e)
{
    int rc = check(rq, e);

    if (rc < 0) return rc;
    struct embd *j = mem_zalloc(sizeof *j);
    if (!j) return err_nomem(e, "taking a request");
    rq->embd = j;
    for (int i = 0; i < WINDOW; i++) j->place[i].input = -1;
    j->vec = mem_array((size_t)rq->s->info.n_embd, sizeof *j->vec);
    return j->vec ? 0 : err_nomem(e, "taking a request");
}

void embd_free(struct embd *j)
{
    if (!j) return;
    for (int i = 0; i < WINDOW; i++) pooling_release(&j->place[i].pool);
    mem_free(j->vec);
    mem_free(j);
}

/* --- tokens --- */

static int too_long(const struct sess_req *rq, int i, int n, struct err *e)
{
    const char *param = rq->r.kind == CHAT_KIND_RANK ? "documents" : "input";
    int         n_ctx = rq->s->info.n_ctx;

    if (rq->r.kind == CHAT_KIND_RANK)
        return err_param(e, ERR_CONTEXT_LENGTH, param, "This model's maximum context length is %d tokens, however the "
                         "query and documents[%d] have %d tokens together. Please reduce their length.", n_ctx, i, n);
    /* OpenAI's wording: clients look for it and shorten the text */
    return err_param(e, ERR_CONTEXT_LENGTH, param, "This model's maximum context length is %d tokens, however you "
                     "requested %d tokens (%d in your prompt; 0 for the completion). Please reduce your prompt; or "
                     "completion length. (input %d)", n_ctx, n, n, i);
}

static int given_tokens(const struct sess_req *rq, int i, struct ids *ret, struct err *e)
{
    const struct chat_input *in = &rq->r.input[i];

    for (int k = 0; k < in->n_tok; k++) {
        if (in->tok[k] >= tok_n(rq->s->c.tok))
            return err_param(e, ERR_INVALID_VALUE, "input", "input %d: token id %d is out of range, the vocabulary has "
                             "%d", i, in->tok[k], tok_n(rq->s->c.tok));
        ids_put(ret, in->tok[k]);
    }
    return 0;
}

int embd_tokens(const struct sess_req *rq, int i, struct ids *ret, int *n_first, struct err *e)
{
    const struct chat_input *in = &rq->r.input[i];
    const struct tok        *t  = rq->s->c.tok;
    size_t                   at = ret->n;
    int                      rc;

    *n_first = 0;
    if (rq->r.kind == CHAT_KIND_RANK) rc = tok_encode_pair(t, rq->r.prompt, in->text, ret, n_first, e);
    else if (in->n_tok) rc = given_tokens(rq, i, ret, e);
    else rc = tok_encode(t, in->text, TOK_ADD_SPECIAL, ret, e);
    if (rc < 0) return rc;
    if (ret->failed) return err_nomem(e, "tokenising a request");
    size_t n = ret->n - at;
    if (n == 0) return err_param(e, ERR_INVALID_VALUE, "input", "input %d has no tokens", i);
    return n > (size_t)rq->s->info.n_ctx ? too_long(rq, i, (int)n, e) : 0;
}

/* --- vectors --- */

static int emit(struct sess_req *rq, int i, const float *v, int n, struct err *e)
{
    struct buf b;

    buf_init(&b, LIM_EMBD * sizeof *v);
    for (int k = 0; k < n; k++) pack_f32(&b, v[k]);
    struct chat_event ev = { .kind = CHAT_EV_VECTOR, .index = i, .text = buf_text(&b) };
    if (!b.failed) sess_emit(rq, &ev);
    int rc = b.failed ? err_nomem(e, "sending a vector") : 0;
    buf_release(&b);
    return rc;
}

int embd_put(struct sess_req *rq, int i, struct pooling *p, int n_tok, struct err *e)
{
    struct session *s = rq->s;
    struct embd    *j = rq->embd;
    int             n = rq->r.kind == CHAT_KIND_RANK ? 1 : rq->r.n_dim ? rq->r.n_dim : s->info.n_embd;

    if (p->n_row == 0) return err_set(e, ERR_INTERNAL, "the engine gave no hidden state of input %d", i);
    pooling_vector(p, j->vec);
    if (rq->r.kind == CHAT_KIND_RANK) j->vec[0] = s->c.ops->score(s->c.engine, j->vec);
    bool fine = rq->r.kind == CHAT_KIND_RANK ? j->vec[0] - j->vec[0] == 0 : pooling_normalise(j->vec, n);
    if (!fine) return err_set(e, ERR_INTERNAL, "the model gave values for input %d that are no numbers", i);
    int rc = emit(rq, i, j->vec, n, e);
    if (rc < 0) return rc;
    rq->n_prompt += n_tok;
    if (++j->n_done < rq->r.n_input) return 0;
    struct chat_event ev = { .kind = CHAT_EV_END, .usage = { .n_prompt = rq->n_prompt, .n_cached = rq->n_cached } };
    sess_emit(rq, &ev);
    rq->dead = true;
    return 0;
}

/* --- engines with a loop of their own --- */

int embd_begin(struct sess_req *rq, int i, struct err *e)
{
    struct pooling *p = &rq->embd->place[0].pool;
    int             n_first, rc = 0;

    if (!p->sum) rc = pooling_init(p, rq->s->info.pooling, rq->s->info.n_embd, e);
    if (rc < 0) return rc;
    pooling_clear(p);
    rq->text     = rq->r.input[i].text;
    rq->prompt.n = 0;
    return rq->s->c.tok ? embd_tokens(rq, i, &rq->prompt, &n_first, e) : 0;
}

void embd_states(struct sess_req *rq, struct str states)
{
    size_t n = (size_t)rq->s->info.n_embd * sizeof *rq->embd->vec;

    for (size_t at = 0; at + n <= states.n; at += n) {
        memcpy(rq->embd->vec, states.p + at, n); // they may lie anywhere
        pooling_add(&rq->embd->place[0].pool, rq->embd->vec);
    }
}

int embd_end(struct sess_req *rq, int i, int n_prompt, struct err *e)
{
    return embd_put(rq, i, &rq->embd->place[0].pool, n_prompt >= 0 ? n_prompt : (int)rq->prompt.n, e);
}

/* --- through the scheduler --- */

/* The scheduler's number for an input: the request's own has 33 bits. */
static uint64_t number_of(const struct sess_req *rq, int input)
{
    return (uint64_t)(input + 1) << 33 | ((uint64_t)rq->id + 1);
}

static struct place *place_of(struct embd *j, int input)
{
    for (int i = 0; i < WINDOW; i++)
        if (j->place[i].input == input) return &j->place[i];
    return NULL;
}

/* The next input to the scheduler. *bytes: what is left of a step's. */
static int begin_next(struct sess_req *rq, struct place *p, size_t *bytes, struct err *e)
{
    struct session *s = rq->s;
    int             i = rq->n_begun, n_first;
    struct ids      ids;

    ids_init(&ids, LIM_CTX);
    int rc = embd_tokens(rq, i, &ids, &n_first, e);
    if (rc == 0 && !p->pool.sum) rc = pooling_init(&p->pool, s->info.pooling, s->info.n_embd, e);
    if (rc == 0) {
        struct sched_req q = { .id = number_of(rq, i), .key = FLOW, .tok = ids.id, .n_tok = (int)ids.n, .n_choice = 1,
                               .echo = s->info.pooling != ENGINE_POOL_LAST, .embed = true, .user = rq };
        rc = sched_add(s->sched, &q, e);
    }
    if (rc == 0) {
        pooling_clear(&p->pool);
        p->input = i;
        p->n_tok = (int)ids.n;
        rq->n_begun++;
        size_t n = rq->r.input[i].text.n + 1;
        *bytes -= n < *bytes ? n : *bytes;
    }
    ids_release(&ids);
    return rc;
}

/* As many as there are places for. No room in the scheduler is no error while some are in it. */
static int fill(struct sess_req *rq, size_t *bytes, struct err *e)
{
    while (*bytes && rq->n_begun < rq->r.n_input) {
        struct place *p = place_of(rq->embd, -1);
        if (!p) return 0;
        int rc = begin_next(rq, p, bytes, e);
        if (rc == -ERR_QUEUE_FULL && rq->n_begun > 0) return 0;
        if (rc < 0) return rc;
    }
    return 0;
}

int embd_submit(struct sess_req *rq, struct err *e)
{
    size_t bytes = 1; // the first text: whether there is room at all

    return fill(rq, &bytes, e);
}

void embd_refill(struct session *s)
{
    size_t     bytes = STEP_BYTES;
    struct err e;

    for (struct sess_req *rq = s->first; rq && bytes; rq = rq->next) {
        if (!rq->embd || rq->dead) continue;
        if (fill(rq, &bytes, &e) < 0) {
            embd_cancel(rq);
            sess_fail(rq, &e);
        }
    }
}

void embd_cancel(struct sess_req *rq)
{
    for (int i = 0; i < WINDOW; i++)
        if (rq->embd->place[i].input >= 0) sched_cancel(rq->s->sched, number_of(rq, rq->embd->place[i].input));
}

void embd_rows(struct session *s, const struct sched_run *run, int row, int n_row)
{
    struct sess_req *rq    = run->user;
    int              input = (int)(run->id >> 33) - 1;
    struct place    *p     = place_of(rq->embd, input);
    struct err       e;

    if (!p) return;
    for (int i = 0; i < n_row; i++) pooling_add(&p->pool, s->c.ops->hidden(s->c.engine, row + i));
    if (!run->sample) return;
    sched_finish(s->sched, run->seq);
    p->input = -1;
    rq->n_cached += run->n_cached;
    if (embd_put(rq, input, &p->pool, p->n_tok, &e) < 0) {
        log_error("request_failed", "id=%u error=\"%s\"", rq->id, e.msg);
        embd_cancel(rq);
        sess_fail(rq, &e);
    }
}
