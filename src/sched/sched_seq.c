/* sched_seq.c - requests and sequences: arriving, holding pages, leaving. */
#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "sched_int.h"

enum {
    IDLE_FLOWS = 64, // flows remembered beyond those that have sequences
};

/* --- the scheduler itself --- */

/* Pages that n_swa positions in a row can touch. */
static int win_most(const struct sched_conf *c)
{
    if (c->n_swa <= 0 || c->page_tok <= 0) return 0;
    int n = (c->n_swa + c->page_tok - 2) / c->page_tok + 1, all = (c->n_ctx - 1) / c->page_tok + 1;
    return n < all ? n : all;
}

static int check_conf(const struct sched_conf *c, struct err *e)
{
    const struct {
        const char *name;
        int         val, min, max;
    } rows[] = {
        { "n_seq", c->n_seq, 1, 1 << 16 },
        { "n_queue", c->n_queue, 0, 1 << 16 },
        { "n_ctx", c->n_ctx, 2, LIM_CTX },
        { "n_page", c->n_page, 1, 1 << 24 },
        { "page_tok", c->page_tok, 1, 1 << 16 },
        { "n_swa", c->n_swa, 0, LIM_CTX },
        { "n_win", c->n_win, win_most(c), 1 << 24 },
        { "n_batch", c->n_batch, c->n_seq, 1 << 24 },
        { "n_prefill", c->n_prefill, 1, 1 << 24 },
        { "n_draft", c->n_draft, 0, 1 << 16 },
        { "n_draft_seq", c->n_draft_seq, 0, 1 << 16 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].val < rows[i].min || rows[i].val > rows[i].max)
            return err_param(e, ERR_INVALID_VALUE, rows[i].name, "%s is %d, it must be between %d and %d",
                             rows[i].name, rows[i].val, rows[i].min, rows[i].max);
    return 0;
}

int sched_new(const struct sched_conf *conf, struct sched **ret, struct err *e)
{
    int rc = check_conf(conf, e);
    if (rc) return rc;

    struct sched *s = mem_zalloc(sizeof *s);
    if (!s) return err_nomem(e, "making the scheduler");
    int64_t room = (int64_t)conf->n_page * conf->page_tok;
    s->conf    = *conf;
    s->win_most = win_most(conf);
    s->limit   = room < conf->n_ctx ? (int)room : conf->n_ctx;
    s->n_slot  = conf->n_seq + conf->n_queue;
    s->n_flow  = s->n_slot + IDLE_FLOWS;
    s->seq     = mem_array((size_t)s->n_slot, sizeof *s->seq);
    s->running = mem_array((size_t)conf->n_seq, sizeof *s->running);
    s->flow    = mem_array((size_t)s->n_flow, sizeof *s->flow);
    s->erun    = mem_array((size_t)conf->n_seq, sizeof *s->erun);
    s->srun    = mem_array((size_t)conf->n_seq, sizeof *s->srun);
    if (!s->seq || !s->running || !s->flow || !s->erun || !s->srun)
        rc = err_nomem(e, "making the scheduler");
    else
        rc = pages_new(conf->n_page, conf->n_swa ? conf->n_win : 0, conf->page_tok, &s->pages, e);
    if (rc) {
        sched_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void sched_free(struct sched *s)
{
    if (!s) return;
    for (int i = 0; s->seq && i < s->n_slot; i++) {
        mem_free(s->seq[i].tok);
        mem_free(s->seq[i].page);
        mem_free(s->seq[i].win);
    }
    mem_free(s->seq);
    mem_free(s->running);
    mem_free(s->flow);
    mem_free(s->erun);
    mem_free(s->srun);
    pages_free(s->pages);
    mem_free(s);
}

/* --- flows --- */

void sched_charge(struct sched *s, int flow, int n_tok)
{
    struct flow *f = &s->flow[flow];
    f->served += (uint64_t)n_tok << 2 * (SCHED_PRIORITY_MAX - f->priority);
}

void sched_wake_flow(struct sched *s, int flow)
{
    for (int i = 0; i < s->n_slot; i++) {
        const struct seq *q = &s->seq[i];
        if (q->flow != flow || q->awaits) continue;
        if (q->state == SEQ_WAIT || (q->state == SEQ_RUN && q->n_kv < q->n_prompt)) return; // is awake
    }
    if (s->flow[flow].served < s->level) s->flow[flow].served = s->level;
}

/* The flow of (key, priority). A new one takes the place of a sleeping one whose debt matters
 * least; there is one, as there are more places than sequences. */
static int find_flow(struct sched *s, uint64_t key, int priority)
{
    int free = -1;

    for (int i = 0; i < s->n_flow; i++) {
        struct flow *f = &s->flow[i];
        if (f->key == key && f->priority == priority) return i;
        if (f->n_seq == 0 && (free < 0 || f->served < s->flow[free].served)) free = i;
    }
    assert(free >= 0);
    s->flow[free] = (struct flow){ .key = key, .priority = priority, .served = s->level };
    return free;
}

/* --- sequences --- */

struct seq *sched_find_seq(const struct sched *s, sched_seq handle)
{
    struct seq *q = sched_slot(s, handle);
    return q && q->handle == handle && (q->state == SEQ_WAIT || q->state == SEQ_RUN) ? q : NULL;
}

/* Rank decides who gives way: priority (raised by each preemption suffered), then age. */
static bool ranks_above(const struct seq *a, const struct seq *b)
{
    int pa = a->priority + a->n_preempt, pb = b->priority + b->n_preempt;
    return pa != pb ? pa > pb : a->order < b->order;
}

void sched_enter(struct sched *s, struct seq *q)
{
    int at = s->n_running++;

    assert(q->state == SEQ_WAIT && s->n_running <= s->conf.n_seq);
    for (; at > 0 && ranks_above(q, &s->seq[s->running[at - 1]]); at--) s->running[at] = s->running[at - 1];
    s->running[at] = (int)(q - s->seq);
    q->state       = SEQ_RUN;
    if (q->n_preempt == 0) {
        s->n_tok_prompt += (uint64_t)q->n_prompt;
        s->n_tok_cached += (uint64_t)q->n_cached;
    }
    if (q->started) return;
    for (int i = 0; i < s->n_slot; i++)
        if (s->seq[i].state != SEQ_NONE && s->seq[i].id == q->id) s->seq[i].started = true;
}

static void stop_running(struct sched *s, struct seq *q)
{
    int at = 0, slot = (int)(q - s->seq);

    while (s->running[at] != slot) at++;
    s->n_running--;
    memmove(&s->running[at], &s->running[at + 1], sizeof *s->running * (size_t)(s->n_running - at));
}

static void drop_last_page(struct sched *s, struct seq *q)
{
    int i = --q->n_page;

    if (q->win && i >= q->win_from) pages_win_drop(s->pages, q->win[i]);
    pages_drop(s->pages, q->page[i]);
}

bool sched_take_page(struct sched *s, struct seq *q)
{
    int32_t page = pages_take(s->pages);

    if (page < 0) return false;
    if (q->win && (q->win[q->n_page] = pages_win_take(s->pages)) < 0) {
        pages_drop(s->pages, page);
        return false;
    }
    q->page[q->n_page++] = page;
    return true;
}

void sched_pass_window(struct sched *s, struct seq *q)
{
    for (int first = sched_win_first(s, q->n_kv); q->win && q->win_from < first; q->win_from++) {
        pages_win_drop(s->pages, q->win[q->win_from]);
        q->win[q->win_from] = -1;
    }
}

/* The last page first: see pages.h. */
void sched_drop_pages(struct sched *s, struct seq *q)
{
    while (q->n_page > 0) drop_last_page(s, q);
    q->n_kv = q->n_known = q->win_from = 0;
    q->n_draft = q->n_drafted = q->n_hit = 0;
}

void sched_leave(struct sched *s, struct seq *q)
{
    assert(q->state == SEQ_RUN && q->n_plan == 0);
    if (!q->awaits) sched_wake_flow(s, q->flow);
    stop_running(s, q);
    sched_drop_pages(s, q);
    q->state = SEQ_WAIT;
    q->n_preempt++;
    s->n_preempt++;
}

void sched_release(struct sched *s, struct seq *q)
{
    if (q->state == SEQ_RUN) stop_running(s, q);
    if (q->n_plan > 0) { // the engine may be reading it
        q->state = SEQ_DEAD;
        return;
    }
    sched_drop_pages(s, q);
    mem_free(q->tok);
    mem_free(q->page);
    mem_free(q->win);
    s->flow[q->flow].n_seq--;
    s->n_live--;
    *q = (struct seq){ 0 };
}

/* How many of the pages just found can be used: window pages are held up to page `from`, and of the others those
 * in the last window must be known. */
static int usable_pages(const struct sched *s, const struct seq *q, int from)
{
    int missing = -1, best = from;

    if (!q->win) return q->n_page;
    for (int i = from; i < q->n_page; i++) {
        if (!pages_win_known(s->pages, q->page[i])) missing = i;
        if (missing < sched_win_first(s, (i + 1) * s->conf.page_tok)) best = i + 1;
    }
    return best;
}

/* Window pages for those found from page `from` on. */
static void match_windows(struct sched *s, struct seq *q, int from)
{
    int first = sched_win_first(s, q->n_page * s->conf.page_tok);

    for (int i = from; i < q->n_page; i++) q->win[i] = i < first ? -1 : pages_win_hold(s->pages, q->page[i]);
    for (int i = q->win_from; i < from && i < first; i++) {
        pages_win_drop(s->pages, q->win[i]);
        q->win[i] = -1;
    }
    if (q->win_from < first) q->win_from = first;
}

void sched_match(struct sched *s, struct seq *q)
{
    const int pt = s->conf.page_tok, from = q->n_page;
    /* One token is always computed: its logits are the next token's. */
    int most = q->n_tok - 1;
    if (q->echo && q->n_echo < q->n_prompt) most = q->n_echo < most ? q->n_echo : most;

    if (!s->conf.prefix || q->n_kv != from * pt) return;
    while ((q->n_page + 1) * (int64_t)pt <= most) {
        struct pages_link at = { q->n_page == 0,
                                 q->n_page ? pages_serial(s->pages, q->page[q->n_page - 1]) : q->salt };
        int32_t page = pages_find(s->pages, at, q->tok + (size_t)q->n_page * (size_t)pt);
        if (page < 0) break;
        q->page[q->n_page++] = page;
    }
    for (int n = usable_pages(s, q, from); q->n_page > n;) pages_drop(s->pages, q->page[--q->n_page]);
    if (q->win) match_windows(s, q, from);
    q->n_known = q->n_page;
    q->n_kv    = q->n_page * pt;
    if (q->n_preempt > 0 || q->shifted) return;
    q->n_cached += (q->n_page - from) * pt;
    if (q->state == SEQ_RUN) s->n_tok_cached += (uint64_t)((q->n_page - from) * pt);
}

/* --- requests --- */

static int refuse(const struct sched *s, const struct sched_req *r, struct err *e)
{
    int answer = r->embed ? 0 : 1; // tokens that must fit behind the prompt

    if (r->n_tok < 1) return err_set(e, ERR_BAD_REQUEST, "the prompt has no tokens");
    if (r->n_choice < 1 || (!r->embed && (r->n_max == 0 || r->n_max < -1)))
        return err_set(e, ERR_BAD_REQUEST, "%d choices of at most %d tokens", r->n_choice, r->n_max);
    if (r->n_tok > s->conf.n_ctx - answer)
        return err_set(e, ERR_CONTEXT_LENGTH,
                       "the prompt has %d tokens, which leaves no room for an answer in a context of %d",
                       r->n_tok, s->conf.n_ctx);
    if (r->n_tok > s->limit - answer)
        return err_set(e, ERR_TOO_LARGE,
                       "the prompt has %d tokens, the whole KV cache holds %d (%d pages of %d)", r->n_tok,
                       s->limit, s->conf.n_page, s->conf.page_tok);
    if (r->n_choice > s->n_slot || r->n_choice > LIM_CHOICES)
        return err_set(e, ERR_TOO_LARGE, "%d choices, at most %d are served at once", r->n_choice,
                       s->n_slot < LIM_CHOICES ? s->n_slot : LIM_CHOICES);
    if (r->n_choice > s->n_slot - s->n_live)
        return err_set(e, ERR_QUEUE_FULL, "%d sequences run or wait, the limit is %d running and %d waiting",
                       s->n_live, s->conf.n_seq, s->conf.n_queue);
    for (int i = 0; i < s->n_slot; i++)
        if (s->seq[i].state != SEQ_NONE && s->seq[i].state != SEQ_DEAD && s->seq[i].id == r->id)
            return err_set(e, ERR_BAD_REQUEST, "request id %llu is in use", (unsigned long long)r->id);
    return 0;
}

static int priority_of(const struct sched_req *r)
{
    if (r->priority > SCHED_PRIORITY_MAX) return SCHED_PRIORITY_MAX;
    return r->priority < -SCHED_PRIORITY_MAX ? -SCHED_PRIORITY_MAX : r->priority;
}

static int add_seq(struct sched *s, const struct sched_req *r, int choice)
{
    int slot = 0, room = s->limit - r->n_tok;
    while (s->seq[slot].state != SEQ_NONE) slot++;
    struct seq *q = &s->seq[slot];

    int      n_max = r->embed ? 0 : r->n_max;
    bool     cut  = n_max < 0 || n_max > room, shift = r->shift && n_max > room;
    int      cap  = r->n_tok + (cut ? room : n_max);
    int      keep = r->n_keep < s->limit / 2 ? r->n_keep : s->limit / 2;
    int32_t *tok  = mem_alloc(sizeof *tok * (size_t)cap);
    int32_t *page = mem_alloc(sizeof *page * (size_t)sched_pages_for(s, cap));
    int32_t *win  = s->win_most ? mem_alloc(sizeof *win * (size_t)sched_pages_for(s, cap)) : NULL;
    if (!tok || !page || (s->win_most && !win)) {
        mem_free(tok);
        mem_free(page);
        mem_free(win);
        return -ERR_NO_MEMORY;
    }
    memcpy(tok, r->tok, sizeof *tok * (size_t)r->n_tok);

    int flow = find_flow(s, r->key, priority_of(r));
    sched_wake_flow(s, flow);
    s->flow[flow].n_seq++;
    s->n_live++;
    *q = (struct seq){
        .state = SEQ_WAIT, .handle = ++s->n_handle << SCHED_SLOT_BITS | (uint64_t)slot,
        .id = r->id, .salt = r->salt, .order = ++s->n_added, .choice = choice,
        .priority = priority_of(r), .flow = flow, .user = r->user,
        .tok = tok, .n_tok = r->n_tok, .cap_tok = cap, .n_prompt = r->n_tok,
        .n_more = shift ? r->n_max : cap - r->n_tok, .shift = shift, .n_keep = keep > 0 ? keep : 0,
        .page = page, .win = win, .echo = r->echo && choice == 0, .embed = r->embed,
    };
    return 0;
}

int sched_add(struct sched *s, const struct sched_req *req, struct err *e)
{
    int rc = refuse(s, req, e);

    for (int i = 0; !rc && i < req->n_choice; i++) rc = add_seq(s, req, i);
    if (rc == -ERR_NO_MEMORY) {
        sched_cancel(s, req->id); // the choices before
        return err_nomem(e, "queueing a request");
    }
    return rc;
}

/* Make room at the context's end. False: there is nothing to drop. */
static bool drop_oldest(struct sched *s, struct seq *q)
{
    int n = (q->n_tok - q->n_keep) / 2;

    if (!q->shift || n < 1) return false;
    q->n_tok -= n;
    memmove(q->tok + q->n_keep, q->tok + q->n_keep + n, sizeof *q->tok * (size_t)(q->n_tok - q->n_keep));
    if (q->n_prompt > q->n_tok) q->n_prompt = q->n_tok;
    sched_drop_pages(s, q);
    q->shifted = true;
    return true;
}

enum sched_more sched_token(struct sched *s, sched_seq seq, int32_t tok)
{
    struct seq *q = sched_find_seq(s, seq);

    if (!q || !q->awaits || q->n_more == 0 || q->n_tok >= q->cap_tok) return SCHED_GONE;
    bool hit = q->n_draft > 0 && q->tok[q->n_tok] == tok;
    q->tok[q->n_tok++] = tok;
    q->n_more--;
    if (hit) { // its keys and values are there already
        q->n_kv++;
        q->n_draft--;
        q->n_hit++;
        s->n_tok_decode++;
        s->n_tok_hit++;
        sched_publish(s, q);
        sched_pass_window(s, q);
        return SCHED_NEXT; // awaits still; drafts leave room for one more
    }
    sched_draft_learn(q);
    bool full = q->n_more == 0, end = q->n_tok == q->cap_tok;
    if (full || (end && !drop_oldest(s, q))) return SCHED_FULL; // awaits: the caller's sched_finish
    if (end || q->state == SEQ_WAIT) sched_wake_flow(s, q->flow);
    q->awaits = false;
    return SCHED_MORE;
}

bool sched_finish(struct sched *s, sched_seq seq)
{
    struct seq *q = sched_find_seq(s, seq);

    if (q) sched_release(s, q);
    return q != NULL;
}

bool sched_cancel(struct sched *s, uint64_t id)
{
    bool found = false;

    for (int i = 0; i < s->n_slot; i++) {
        struct seq *q = &s->seq[i];
        if (q->id != id || (q->state != SEQ_WAIT && q->state != SEQ_RUN)) continue;
        sched_release(s, q);
        found = true;
    }
    return found;
}

/* --- questions --- */

bool sched_is_running(const struct sched *s, uint64_t id)
{
    for (int i = 0; i < s->n_slot; i++) {
        const struct seq *q = &s->seq[i];
        if (q->id == id && (q->state == SEQ_WAIT || q->state == SEQ_RUN)) return q->started;
    }
    return false;
}

bool sched_next_waiting(const struct sched *s, uint64_t *it, uint64_t *id)
{
    const struct seq *next = NULL;

    for (int i = 0; i < s->n_slot; i++) {
        const struct seq *q = &s->seq[i];
        if (q->state != SEQ_WAIT || q->started || q->choice != 0 || q->order <= *it) continue;
        if (!next || q->order < next->order) next = q;
    }
    if (!next) return false;
    *it = next->order;
    *id = next->id;
    return true;
}

void sched_stats(const struct sched *s, struct sched_stats *ret)
{
    struct pages_stats p;

    pages_stats(s->pages, &p);
    *ret = (struct sched_stats){
        .n_running = s->n_running, .n_waiting = s->n_live - s->n_running,
        .n_page_free = p.n_free, .n_page_cached = p.n_cached, .n_page_used = p.n_used,
        .n_win_free = p.n_win_free, .n_win_cached = p.n_win_cached, .n_win_used = p.n_win_used,
        .n_preempt = s->n_preempt, .n_tok_prompt = s->n_tok_prompt, .n_tok_cached = s->n_tok_cached,
        .n_tok_prefill = s->n_tok_prefill, .n_tok_decode = s->n_tok_decode,
        .n_tok_draft = s->n_tok_draft, .n_tok_hit = s->n_tok_hit,
    };
}
