/* sess_choice.c - one answer: tokens to text, text to events.
 *
 *     token -> token stream -> stop matcher -> splitter -> events
 *              (whole           (holds what     (content,
 *               characters)      may be a stop)  reasoning, calls)
 *
 * A token's log-probability goes out once its text has passed the stop matcher, so that what a client
 * adds up over a stream is what the whole answer would have carried.
 */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "session/session_int.h"

static bool makes_calls(const struct chat_req *r)
{
    return r->n_tool > 0 && r->choice != CHAT_CHOICE_NONE;
}

static int init_split(struct choice *ch, struct err *e)
{
    const struct session *s = ch->rq->s;
    struct chat_req      *r = &ch->rq->r;
    struct split_conf     c;

    if (r->kind != CHAT_KIND_CHAT) return 0;
    split_conf_init(&c);
    c.form     = s->c.form;
    c.tool     = r->tool;
    c.n_tool   = r->n_tool;
    c.calls    = makes_calls(r);
    c.parallel = r->parallel_calls;
    c.prompt   = ch->rq->text;
    c.choice   = ch->index;
    c.seed     = r->params.seed + (uint64_t)ch->index;
    c.turn_marks = !s->tok_out; // text engines may let them through
    return split_new(&c, &ch->split, e);
}

int choice_init(struct choice *ch, struct sess_req *rq, int index, struct err *e)
{
    struct session *s = rq->s;

    ch->rq    = rq;
    ch->index = index;
    buf_init(&ch->piece, MIB(1));
    /* the marks that the splitter looks for are special tokens in many vocabularies */
    if (s->c.tok) tok_stream_init(&ch->stream, s->c.tok, rq->r.kind == CHAT_KIND_CHAT);
    ch->stream.started = rq->r.kind == CHAT_KIND_TEXT; // its text goes on: the first blank belongs to it
    int rc = stop_init(&ch->stop, rq->r.stop, rq->r.n_stop, e);
    if (rc == 0) rc = init_split(ch, e);
    if (rc < 0 || !(s->info.caps & ENGINE_FORWARD)) return rc;
    rc = sess_sampler_new(ch, e);
    return rc < 0 ? rc : hold_begin(ch, e);
}

void choice_release(struct choice *ch)
{
    if (!ch->rq) return; // never initialised
    hold_end(ch);
    sampler_free(ch->sampler);
    stop_release(&ch->stop);
    split_free(ch->split);
    buf_release(&ch->piece);
    mem_free(ch->held);
}

/* --- log-probabilities --- */

static struct chat_logprob named(const struct session *s, struct sample_logprob lp)
{
    struct str text = tok_bytes(s->c.tok, lp.tok, true);

    return (struct chat_logprob){ .tok = lp.tok, .logprob = lp.logprob, .text = text.p ? text : STR("") };
}

static int hold_lp(struct choice *ch, int32_t tok, const float *logits, struct err *e)
{
    const struct session *s = ch->rq->s;
    struct sample_logprob one, top[LIM_TOP_LOGPROBS];

    if (mem_grow(&ch->held, &ch->cap_held, ch->n_held + 1, sizeof *ch->held, LIM_CTX) < 0)
        return err_nomem(e, "keeping log-probabilities");
    struct held_lp *h = &ch->held[ch->n_held++];
    int             n = sample_logprobs(logits, s->info.n_vocab, tok, &one, top, ch->rq->r.n_top);
    *h = (struct held_lp){ .end = ch->made + (ch->stream.n_held > 0), .lp = named(s, one), .n_top = n };
    for (int i = 0; i < n; i++) h->top[i] = named(s, top[i]);
    return 0;
}

/* Send those whose text is out; at the very end of an answer, `all` of them. */
static void release_lps(struct choice *ch, bool all)
{
    size_t n = 0;

    for (; n < ch->n_held && (all || ch->held[n].end <= ch->released); n++) {
        struct held_lp   *h  = &ch->held[n];
        struct chat_event ev = { .kind = CHAT_EV_LOGPROB, .choice = ch->index, .lp = h->lp, .top = h->top,
                                 .n_top = h->n_top };
        sess_emit(ch->rq, &ev);
    }
    ch->n_held -= n;
    if (n && ch->n_held) memmove(ch->held, ch->held + n, ch->n_held * sizeof *ch->held);
}

void choice_prompt_lp(struct choice *ch, int32_t tok, const float *logits)
{
    const struct session *s = ch->rq->s;
    struct sample_logprob one = { tok, NAN }, top[LIM_TOP_LOGPROBS];
    struct chat_logprob   named_top[LIM_TOP_LOGPROBS];
    int                   n = 0;

    if (logits) n = sample_logprobs(logits, s->info.n_vocab, tok, &one, top, ch->rq->r.n_top);
    for (int i = 0; i < n; i++) named_top[i] = named(s, top[i]);
    struct chat_event ev = { .kind = CHAT_EV_LOGPROB, .choice = ch->index, .lp = named(s, one),
                             .top = named_top, .n_top = n, .prompt_lp = true };
    sess_emit(ch->rq, &ev);
}

/* --- text --- */

/* The prompt comes back as text in front of each answer. */
void choice_echo(struct choice *ch)
{
    struct sess_req  *rq = ch->rq;
    struct buf        b;
    struct err        e;
    struct chat_event ev = { .kind = CHAT_EV_TEXT, .choice = ch->index, .text = rq->text };

    buf_init(&b, LIM_PROMPT_BYTES * 4);
    if (rq->r.n_prompt_tok && tok_decode(rq->s->c.tok, rq->prompt.id, rq->prompt.n, false, &b, &e) == 0)
        ev.text = buf_text(&b);
    if (ev.text.n) sess_emit(rq, &ev);
    buf_release(&b);
}

static void on_split(void *ctx, const struct chat_event *ev)
{
    struct choice    *ch   = ctx;
    struct chat_event copy = *ev;

    copy.choice = ch->index;
    sess_emit(ch->rq, &copy);
}

static int show(struct choice *ch, struct str text, struct err *e)
{
    struct chat_event ev = { .kind = CHAT_EV_TEXT, .choice = ch->index, .text = text };

    if (text.n == 0) return 0;
    if (ch->split) return split_put(ch->split, text, on_split, ch, e);
    sess_emit(ch->rq, &ev);
    return 0;
}

/* The sequence that matched is wanted in the text; its tokens' log-probabilities with it. */
static int show_stop(struct choice *ch, struct str stop, struct err *e)
{
    ch->released += stop.n;
    release_lps(ch, false);
    return show(ch, stop, e);
}

/* Whole characters on their way through the stop matcher. *hit: index of the sequence, or -1. */
static int pass(struct choice *ch, struct str text, int *hit, struct err *e)
{
    ch->made += text.n;
    struct stop_out o = stop_put(&ch->stop, text);
    ch->released += o.head.n; // was held back; scores leave with the end of their token's text, not before
    release_lps(ch, false);
    int rc = show(ch, o.head, e);
    ch->released += o.text.n;
    release_lps(ch, false);
    if (rc == 0) rc = show(ch, o.text, e);
    *hit = o.hit;
    return rc == 0 && o.hit >= 0 && ch->rq->r.keep_stop ? show_stop(ch, ch->rq->r.stop[o.hit], e) : rc;
}

static int finish(struct choice *ch, enum chat_finish why, struct str stop, struct err *e)
{
    bool cut = why == CHAT_FINISH_LENGTH || stop.p;
    int  rc  = ch->split ? split_end(ch->split, cut, on_split, ch, e) : 0;

    if (rc < 0) return rc;
    if (why == CHAT_FINISH_STOP && ch->split && split_calls(ch->split) > 0) why = CHAT_FINISH_CALLS;
    struct chat_event ev = { .kind = CHAT_EV_FINISH, .choice = ch->index, .finish = why, .stop = stop };
    sess_emit(ch->rq, &ev);
    ch->done = true;
    sess_choice_ended(ch);
    return 0;
}

int choice_end(struct choice *ch, enum chat_finish why, struct err *e)
{
    int hit = -1, rc = 0;

    buf_clear(&ch->piece);
    if (ch->rq->s->tok_out && !ch->in_bytes) tok_stream_end(&ch->stream, &ch->piece);
    else utf8_stream_end(&ch->bytes, &ch->piece);
    if (ch->piece.failed) return err_nomem(e, "ending an answer");
    rc = pass(ch, buf_text(&ch->piece), &hit, e);
    if (rc == 0 && hit >= 0) return finish(ch, CHAT_FINISH_STOP, ch->rq->r.stop[hit], e);
    if (rc < 0) return rc;
    struct str rest = stop_end(&ch->stop);
    release_lps(ch, true);
    rc = show(ch, rest, e);
    return rc < 0 ? rc : finish(ch, why, STR_NULL, e);
}

/* After text went through: is the answer over? */
static int after(struct choice *ch, int hit, bool *over, struct err *e)
{
    *over = true;
    if (hit >= 0) return finish(ch, CHAT_FINISH_STOP, ch->rq->r.stop[hit], e);
    if (ch->split && split_done(ch->split)) return choice_end(ch, CHAT_FINISH_STOP, e);
    *over = false;
    return 0;
}

int choice_token(struct choice *ch, int32_t tok, const float *logits, bool *over, struct err *e)
{
    const struct session *s   = ch->rq->s;
    int                   hit = -1;

    ch->n_gen++;
    if (ch->split && split_in_reasoning(ch->split)) ch->n_reasoning++;
    bool ends = sess_ends(ch, tok);
    if (ends && (tok_is_eog(s->c.tok, tok) || !ch->rq->r.keep_stop)) {
        *over = true;
        return choice_end(ch, CHAT_FINISH_STOP, e);
    }
    buf_clear(&ch->piece);
    if (tok != tok_bos(s->c.tok)) tok_stream_put(&ch->stream, tok, &ch->piece);
    if (ch->piece.failed) return err_nomem(e, "decoding a token");
    uint64_t before = ch->made;
    ch->made += ch->piece.n; // hold_lp needs where this token's text ends
    int rc = ch->rq->r.logprobs ? hold_lp(ch, tok, logits, e) : 0;
    ch->made = before;
    if (rc == 0) rc = pass(ch, buf_text(&ch->piece), &hit, e);
    if (rc == 0 && ends && hit < 0) {
        *over = true;
        return choice_end(ch, CHAT_FINISH_STOP, e);
    }
    return rc < 0 ? rc : after(ch, hit, over, e);
}

int choice_bytes(struct choice *ch, struct str bytes, bool *over, struct err *e)
{
    int hit = -1;

    ch->n_gen++;
    ch->in_bytes = true;
    if (ch->split && split_in_reasoning(ch->split)) ch->n_reasoning++;
    buf_clear(&ch->piece);
    utf8_stream_put(&ch->bytes, bytes, &ch->piece);
    if (ch->piece.failed) return err_nomem(e, "reading an engine's text");
    int rc = pass(ch, buf_text(&ch->piece), &hit, e);
    return rc < 0 ? rc : after(ch, hit, over, e);
}
