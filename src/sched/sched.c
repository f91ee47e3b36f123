/* sched.c - decide which tokens go into the next forward pass.
 *
 * Bookkeeping only: no I/O, no clock, no threads. The worker reports what happened and asks what
 * to run; the same calls always give the same plan, so a test replays a day of traffic in seconds.
 * The policy is told in sched.h.
 */
#include "sched/sched.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "sched_int.h"

static int pending(const struct seq *q)
{
    return q->n_tok - q->n_kv;
}

static bool decodes(const struct seq *q)
{
    return q->n_kv >= q->n_prompt && pending(q) == 1;
}

/* Hold pages for n_tok positions, or for as many as there are. */
static void take_pages(struct sched *s, struct seq *q, int n_tok)
{
    for (int want = sched_pages_for(s, n_tok); q->n_page < want;)
        if (!sched_take_page(s, q)) return;
}

static void put_run(struct sched *s, struct seq *q, int n, bool decode)
{
    int  end    = q->n_kv + n, last = end < q->n_prompt ? end : q->n_prompt;
    int  from   = q->n_kv > q->n_echo ? q->n_kv : q->n_echo;
    int  n_echo = q->echo && last > from ? last - from : 0;
    bool sample = n == pending(q);
    int  i      = s->n_run++;
    int  draft  = decode ? q->n_draft : 0;

    q->n_plan  = n + draft;
    s->erun[i] = (struct engine_run){
        .tok = q->tok + q->n_kv, .n_tok = n + draft, .pos = q->n_kv, .page = q->page, .win = q->win,
        .n_logits = n_echo ? n_echo : sample + draft, .hidden = q->embed,
    };
    s->srun[i] = (struct sched_run){
        .seq = q->handle, .id = q->id, .choice = q->choice, .user = q->user,
        .sample = sample, .decode = decode, .n_draft = draft, .n_echo = n_echo, .pos_echo = from,
        .n_prompt = q->n_prompt, .n_cached = q->n_cached,
    };
    sched_charge(s, q->flow, n + draft);
}

/* --- decode --- */

/* The lowest ranked running sequence gives its pages back. */
static struct seq *preempt(struct sched *s)
{
    struct seq *q = &s->seq[s->running[s->n_running - 1]];
    sched_leave(s, q);
    return q;
}

/* Guesses, as far as free pages go: nobody gives way for them. */
static int add_draft(struct sched *s, struct seq *q, int room)
{
    int n = sched_draft(s, q, room);

    if (n == 0) return 0;
    if (pages_avail(s->pages) > s->n_running) take_pages(s, q, q->n_kv + 1 + n);
    int64_t fits = q->n_page * (int64_t)s->conf.page_tok - q->n_kv - 1;
    return n < fits ? n : (int)fits;
}

/* One token for everybody who decodes, highest rank first: then whoever has to give way is not in
 * the plan yet, or is the one who needs the page. */
static void plan_decode(struct sched *s)
{
    int draft_room = s->n_running <= s->conf.n_draft_seq ? s->conf.n_batch - s->n_running : 0;

    for (int i = 0; i < s->n_running; i++) {
        struct seq *q = &s->seq[s->running[i]];
        if (q->awaits || !decodes(q)) continue;
        for (;;) {
            take_pages(s, q, q->n_kv + 1);
            if (q->n_page * (int64_t)s->conf.page_tok > q->n_kv) {
                q->n_draft = q->n_drafted = add_draft(s, q, draft_room);
                draft_room -= q->n_draft;
                put_run(s, q, 1, true);
                break;
            }
            if (preempt(s) == q) break;
        }
    }
}

/* --- prefill --- */

/* Pages that a running sequence still takes for its tokens so far, and one for those to come. */
static int outstanding(const struct sched *s, const struct seq *q)
{
    int64_t n_tok = (int64_t)q->n_tok + s->conf.page_tok;
    int     want  = sched_pages_for(s, n_tok < q->cap_tok ? (int)n_tok : q->cap_tok);
    return want > q->n_page ? want - q->n_page : 0;
}

/* The same of window pages, of which it never needs more than a window's to go on. */
static int outstanding_win(const struct sched *s, const struct seq *q)
{
    int want = q->n_page + outstanding(s, q), held = q->n_page - q->win_from;

    if (want > s->win_most) want = s->win_most;
    return want > held ? want - held : 0;
}

/* Somebody of no lower priority is about to compute the page that q needs next. */
static bool page_is_coming(const struct sched *s, const struct seq *q)
{
    const int    pt = s->conf.page_tok;
    const size_t n  = sizeof *q->tok * (size_t)pt;

    if (!s->conf.prefix || q->n_kv + pt > q->n_tok - 1 || (q->echo && q->n_echo < q->n_prompt)) return false;
    for (int i = 0; i < s->n_running; i++) {
        const struct seq *r = &s->seq[s->running[i]];
        if (r->salt != q->salt || r->priority < q->priority || r->awaits) continue;
        if (r->n_kv < q->n_kv || r->n_kv >= q->n_kv + pt || r->n_tok < q->n_kv + pt) continue;
        if (q->n_page && r->page[q->n_page - 1] != q->page[q->n_page - 1]) continue;
        if (!memcmp(r->tok + q->n_kv, q->tok + q->n_kv, n)) return true;
    }
    return false;
}

enum admit { ADMITTED, LATER, NO_ROOM };

static enum admit admit(struct sched *s, struct seq *q)
{
    if (s->n_running == s->conf.n_seq) return NO_ROOM;

    int  n_cached = q->n_cached;
    bool coming;
    sched_match(s, q);
    int64_t need = outstanding(s, q), need_win = outstanding_win(s, q);
    for (int i = 0; i < s->n_running; i++) {
        need += outstanding(s, &s->seq[s->running[i]]);
        need_win += outstanding_win(s, &s->seq[s->running[i]]);
    }
    coming = page_is_coming(s, q);
    if (!coming && need <= pages_avail(s->pages) && need_win <= pages_win_avail(s->pages)) {
        sched_enter(s, q);
        return ADMITTED;
    }
    sched_drop_pages(s, q);
    q->n_cached = n_cached;
    return coming ? LATER : NO_ROOM;
}

/* Who is to be served next: the least served flow; in it, what has begun, then what came first. */
static struct seq *pick(const struct sched *s, bool admitting)
{
    struct seq *best = NULL;

    for (int i = 0; i < s->n_slot; i++) {
        struct seq *q = &s->seq[i];
        if (q->awaits || q->n_plan || q->passed == s->n_plan) continue;
        if (q->state != SEQ_RUN && (q->state != SEQ_WAIT || !admitting)) continue;
        if (!best) {
            best = q;
            continue;
        }
        const struct flow *a = &s->flow[q->flow], *b = &s->flow[best->flow];
        if (a->served != b->served) {
            if (a->served < b->served) best = q;
        } else if (a->priority != b->priority) {
            if (a->priority > b->priority) best = q;
        } else if (q->state != best->state) {
            if (q->state == SEQ_RUN) best = q;
        } else if (q->order < best->order) best = q;
    }
    return best;
}

static void plan_prefill(struct sched *s, int budget)
{
    bool        admitting = true;
    struct seq *q;

    while (budget > 0 && (q = pick(s, admitting))) {
        if (q->state == SEQ_WAIT) {
            enum admit a = admit(s, q);
            if (a == NO_ROOM) admitting = false; // for all: nobody overtakes by being smaller
            if (a == LATER) q->passed = s->n_plan;
            if (a != ADMITTED) continue;
        } else sched_match(s, q);

        int n = pending(q) < budget ? pending(q) : budget;
        take_pages(s, q, q->n_kv + n);
        int64_t room = (int64_t)q->n_page * s->conf.page_tok - q->n_kv;
        if (room < n) n = (int)room;
        if (n <= 0) {
            q->passed = s->n_plan;
            continue;
        }
        if (s->flow[q->flow].served > s->level) s->level = s->flow[q->flow].served;
        put_run(s, q, n, false);
        budget -= n;
    }
}

static bool someone_could_run(const struct sched *s)
{
    for (int i = 0; i < s->n_running; i++)
        if (!s->seq[s->running[i]].awaits) return true;
    return false;
}

void sched_plan(struct sched *s, struct sched_plan *ret)
{
    int n_decode;

    assert(!s->out);
    s->n_run = 0;
    do {
        s->n_plan++;
        plan_decode(s);
        n_decode = s->n_run;
        int left = s->conf.n_batch;
        for (int i = 0; i < n_decode; i++) left -= s->erun[i].n_tok;
        plan_prefill(s, n_decode && left > s->conf.n_prefill ? s->conf.n_prefill : left);
        /* All pages are held by sequences in the middle of their prefill: one has to give way. */
    } while (s->n_run == 0 && someone_could_run(s) && (preempt(s), true));

    *ret = (struct sched_plan){ .batch = { s->erun, s->n_run }, .run = s->srun, .n_decode = n_decode };
    for (int i = 0; i < s->n_run; i++) {
        ret->n_tok += s->erun[i].n_tok;
        ret->n_logits += s->erun[i].n_logits;
    }
    s->out = s->n_run > 0;
}

/* --- after the pass --- */

void sched_publish(struct sched *s, struct seq *q)
{
    const int pt = s->conf.page_tok;

    if (!s->conf.prefix) return;
    for (; (q->n_known + 1) * (int64_t)pt <= q->n_kv; q->n_known++) {
        int i = q->n_known;
        struct pages_link at = { i == 0, i ? pages_serial(s->pages, q->page[i - 1]) : q->salt };
        q->page[i] = pages_publish(s->pages, q->page[i], at, q->tok + (size_t)i * (size_t)pt);
        if (q->win) q->win[i] = pages_win_publish(s->pages, q->page[i], q->win[i]);
    }
}

void sched_done(struct sched *s, bool ok)
{
    assert(s->out);
    s->out = false;
    for (int i = 0; i < s->n_run; i++) {
        struct seq *q = sched_slot(s, s->srun[i].seq);
        int         n = q->n_plan - q->n_draft;

        q->n_plan = 0;
        if (q->state == SEQ_DEAD) {
            sched_release(s, q);
            continue;
        }
        if (!ok) {
            q->n_draft = q->n_drafted = 0;
            continue;
        }
        q->n_kv += n;
        s->n_tok_draft += (uint64_t)q->n_draft;
        q->awaits = q->n_kv == q->n_tok;
        if (q->echo) {
            int reached = q->n_kv < q->n_prompt ? q->n_kv : q->n_prompt;
            if (reached > q->n_echo) q->n_echo = reached;
        }
        if (s->srun[i].decode) s->n_tok_decode++;
        else s->n_tok_prefill += (uint64_t)n;
        sched_publish(s, q);
        sched_pass_window(s, q);
    }
    s->n_run = 0;
}
