/* sess_fwd.c - engines that give logits: schedule, forward, sample. */
#include <assert.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "session/session_int.h"

/* While streams run, at most this many prompt tokens join a batch: a stream's step stays within a
 * small multiple of its usual length whatever arrives. */
#define PREFILL_BESIDE_DECODE 64

/* Guessed tokens: a pass with a dozen tokens reads the weights once, as a pass with one does. While more sequences run,
 * their tokens fill the pass. */
#define DRAFT_MAX  11
#define DRAFT_SEQS 4

int fwd_new(struct session *s, struct err *e)
{
    const struct engine_info *i = &s->info;
    struct sched_conf         c = { .n_seq = i->n_seq, .n_queue = s->c.n_queue, .n_ctx = i->n_ctx,
                                    .n_page = i->n_kv_page, .page_tok = i->kv_page_tok, .n_batch = i->n_batch,
                                    .n_swa = i->n_swa, .n_win = i->n_win_page, .prefix = true,
                                    .n_draft = s->c.spec ? DRAFT_MAX : 0, .n_draft_seq = DRAFT_SEQS };

    if (c.n_seq > c.n_batch) c.n_seq = c.n_batch;
    c.n_prefill = PREFILL_BESIDE_DECODE < c.n_batch ? PREFILL_BESIDE_DECODE : c.n_batch;
    int rc = sched_new(&c, &s->sched, e);
    if (rc == 0) rc = sess_ends_new(s, e);
    return rc < 0 ? rc : sample_scratch_new(i->n_vocab, &s->scratch, e);
}

void fwd_free(struct session *s)
{
    sched_free(s->sched);
    s->sched = NULL;
    sess_ends_free(s);
}

/* What begins every text of the model stays at its head. */
static int keep_of(const struct sess_req *rq)
{
    bool bos = rq->prompt.n && rq->s->c.tok && rq->prompt.id[0] == tok_bos(rq->s->c.tok);

    if (rq->r.n_keep < 0) return rq->n_prompt;
    return bos && rq->r.n_keep == 0 ? 1 : rq->r.n_keep;
}

int fwd_submit(struct sess_req *rq, struct err *e)
{
    struct chat_req *r = &rq->r;
    uint64_t         salt;
    int              rc = sess_salt(rq->s, r, &salt, e);

    if (rc < 0) return rc;
    rq->echo_lp = r->echo && r->logprobs;
    struct sched_req q = { .id = (uint64_t)rq->id + 1, .tok = rq->prompt.id, .n_tok = (int)rq->prompt.n,
                           .n_max = r->n_max == 0 ? 1 : r->n_max, .n_choice = r->n_choice,
                           .key = r->client, .salt = salt, .n_keep = keep_of(rq),
                           .shift = r->context_shift == CHAT_SHIFT_DEFAULT ? rq->s->c.context_shift
                                                                           : r->context_shift == CHAT_SHIFT_ON,
                           .echo = rq->echo_lp, .user = rq };
    return sched_add(rq->s->sched, &q, e);
}

void fwd_cancel(struct sess_req *rq)
{
    if (!rq->s->sched) return; // encoders: nothing of it is outside its own memory
    if (rq->embd) embd_cancel(rq);
    else sched_cancel(rq->s->sched, (uint64_t)rq->id + 1);
}

bool fwd_waiting(const struct sess_req *rq)
{
    return !rq->started && !sched_is_running(rq->s->sched, (uint64_t)rq->id + 1);
}

/* Rows of prompt positions: the row at position p tells of token p + 1. */
static void echo_rows(struct session *s, const struct sched_run *run, int row)
{
    struct sess_req *rq = run->user;

    for (int i = 0; i < run->n_echo; i++) {
        int pos = run->pos_echo + i;
        if (pos == 0 && rq->n_bos == 0) choice_prompt_lp(&rq->choice[0], rq->prompt.id[0], NULL);
        if (pos + 1 >= rq->n_prompt) break;
        const float *logits = s->c.ops->logits(s->c.engine, row + i);
        choice_prompt_lp(&rq->choice[0], rq->prompt.id[pos + 1], pos + 1 == rq->n_bos ? NULL : logits);
    }
}

/* The first sampled row of a choice is there: its prompt is done. */
static void begin(struct choice *ch)
{
    ch->begun = true;
    if (ch->rq->r.echo) choice_echo(ch);
}

/* The next token by this row of logits: sampled, told, and given to the scheduler. SCHED_NEXT: the row behind it is there,
 * too; SCHED_GONE: the choice has ended. */
static int take_row(struct session *s, const struct sched_run *run, int row, enum sched_more *more, struct err *e)
{
    struct sess_req *rq     = run->user;
    struct choice   *ch     = &rq->choice[run->choice];
    float           *logits = s->c.ops->logits(s->c.engine, row);
    int32_t          tok;
    bool             over = false, complete = false;
    const uint64_t  *mask;

    *more = SCHED_GONE;
    int rc = hold_mask(ch, &mask, e);
    if (rc < 0) return rc;
    for (bool muted = sess_mute(ch, logits);; muted = false) { // again when nothing else was possible
        rc = sampler_sample(ch->sampler, s->scratch, logits, mask, &tok, e);
        if (muted) sess_unmute(ch, logits);
        if (rc == 0 || !muted) break;
    }
    if (rc == 0) rc = choice_token(ch, tok, logits, &over, e);
    if (rc == 0 && !over) rc = hold_token(ch, tok, &complete, e);
    if (rc < 0) return rc;
    if (over || complete) { // complete: no token can follow, not worth a pass for the end-of-text
        sched_finish(s->sched, run->seq);
        return over ? 0 : choice_end(ch, CHAT_FINISH_STOP, e);
    }
    sampler_accept(ch->sampler, tok);
    *more = sched_token(s->sched, run->seq, tok);
    if (*more == SCHED_MORE || *more == SCHED_NEXT) return 0;
    *more = SCHED_GONE;
    sched_finish(s->sched, run->seq);
    return choice_end(ch, CHAT_FINISH_LENGTH, e);
}

/* Row `row` is the next token's; with guesses, those that follow are of the tokens after it. */
static int advance(struct session *s, const struct sched_run *run, int row, struct err *e)
{
    struct sess_req *rq   = run->user;
    struct choice   *ch   = &rq->choice[run->choice];
    enum sched_more  more = SCHED_NEXT;

    if (!ch->begun) begin(ch);
    if (rq->r.n_max == 0) { // only the prompt was asked for
        sched_finish(s->sched, run->seq);
        return choice_end(ch, CHAT_FINISH_LENGTH, e);
    }
    for (; more == SCHED_NEXT; row++) { // on while guesses come true
        int rc = take_row(s, run, row, &more, e);
        if (rc < 0) return rc;
    }
    return 0;
}

static void after_forward(struct session *s, const struct sched_plan *plan)
{
    int row = 0, row_hidden = 0;

    for (int i = 0; i < plan->batch.n_run; i++) {
        const struct sched_run *run = &plan->run[i];
        struct sess_req        *rq  = run->user;
        int                     n   = plan->batch.run[i].n_logits;
        struct err              e;

        if (rq->embd) {
            if (!rq->dead) embd_rows(s, run, row_hidden, n);
            row_hidden += n;
            continue;
        }
        rq->n_cached = run->n_cached;
        if (!rq->dead && run->n_echo) echo_rows(s, run, row);
        if (!rq->dead && run->sample && advance(s, run, row + n - 1 - run->n_draft, &e) < 0) {
            log_error("request_failed", "id=%u error=\"%s\"", rq->id, e.msg);
            sess_fail(rq, &e);
        }
        row += n;
    }
}

/* The engine could not do it: everybody in the batch hears why. */
static void failed(const struct sched_plan *plan, const struct err *e)
{
    log_error("forward_failed", "runs=%d error=\"%s\"", plan->batch.n_run, e->msg);
    for (int i = 0; i < plan->batch.n_run; i++) {
        struct sess_req *rq = plan->run[i].user;
        if (!rq->dead) sess_fail(rq, e);
    }
}

bool fwd_step(struct session *s)
{
    struct sched_plan plan;
    struct err        e;

    embd_refill(s);
    sched_plan(s->sched, &plan);
    if (plan.batch.n_run == 0) return false;
    TRACE(TRACE_SCHED, "plan runs=%d tok=%d decode=%d rows=%d", plan.batch.n_run, plan.n_tok, plan.n_decode,
          plan.n_logits);
    bool begun = false;
    for (int i = 0; i < plan.batch.n_run; i++) { // accepted for good: now a stream may begin
        struct sess_req *rq = plan.run[i].user;
        if (!rq->embd) rq->n_cached = plan.run[i].n_cached;
        begun |= !rq->started;
        sess_start(rq);
    }
    if (begun && s->on_begin) s->on_begin(s->on_begin_ctx); // a long prompt takes its time
    int rc = s->c.ops->forward(s->c.engine, &plan.batch, &e);
    sched_done(s->sched, rc == 0);
    if (rc == 0) after_forward(s, &plan);
    else failed(&plan, &e);
    return true;
}
