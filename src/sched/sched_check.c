/* sched_check.c - does everything add up? For tests, after every step. */
#include "base/mem.h"
#include "sched_int.h"

/* What is computed lies in held pages, what is known to the trie is full, and what this sequence
 * will write next is its own. */
static bool seq_good(const struct sched *s, const struct seq *q)
{
    const int pt = s->conf.page_tok;

    if (q->state == SEQ_WAIT) return q->n_page == 0 && q->n_kv == 0 && q->n_known == 0 && q->n_plan == 0;
    if (q->n_kv > q->n_tok || q->n_tok > q->cap_tok || q->cap_tok > s->limit) return false;
    if (q->n_kv + q->n_plan > q->n_tok + q->n_draft || q->n_tok + q->n_draft > q->cap_tok) return false;
    if (q->n_page < sched_pages_for(s, q->n_kv + q->n_plan)) return false;
    if (q->n_page > sched_pages_for(s, q->cap_tok)) return false;
    if (q->awaits && q->n_more > 0 && q->n_tok < q->cap_tok && q->n_kv != q->n_tok) return false;
    if (q->n_known != (s->conf.prefix ? q->n_kv / pt : 0)) return false;
    for (int i = 0; i < q->n_page; i++) {
        bool known = pages_serial(s->pages, q->page[i]) != 0;
        if (known != (i < q->n_known)) return false;
        if (!known && pages_refs(s->pages, q->page[i]) != 1) return false;
    }
    return true;
}

/* Held are the window pages from the next token's window on; those of known pages are known with them, the
 * others are its own. */
static bool windows_good(const struct sched *s, const struct seq *q)
{
    if (!q->win) return q->win_from == 0;
    if (q->state == SEQ_WAIT) return q->win_from == 0;
    int first = sched_win_first(s, q->n_kv);
    if (q->win_from != (first < q->n_page ? first : q->n_page)) return false;
    for (int i = 0; i < q->n_page; i++) {
        if ((q->win[i] == -1) != (i < q->win_from)) return false;
        if (i < q->win_from) continue;
        if (q->win[i] < 0 || q->win[i] >= s->conf.n_win) return false;
        if (i >= q->n_known && pages_win_refs(s->pages, q->win[i]) != 1) return false;
        if (i < q->n_known && !pages_win_known(s->pages, q->page[i])) return false;
    }
    return true;
}

static bool running_good(const struct sched *s)
{
    int n = 0;

    for (int i = 0; i < s->n_slot; i++) n += s->seq[i].state == SEQ_RUN;
    if (n != s->n_running || n > s->conf.n_seq) return false;
    for (int i = 0; i < n; i++) {
        if (s->seq[s->running[i]].state != SEQ_RUN) return false;
        for (int k = 0; k < i; k++)
            if (s->running[k] == s->running[i]) return false;
    }
    return true;
}

bool sched_check(const struct sched *s)
{
    int *refs = mem_array((size_t)s->conf.n_page, sizeof *refs);
    int *win  = mem_array((size_t)s->conf.n_win + 1, sizeof *win);
    int *flow = mem_array((size_t)s->n_flow, sizeof *flow);
    int  live = 0;
    bool good = refs && win && flow && running_good(s);

    for (int i = 0; good && i < s->n_slot; i++) {
        const struct seq *q = &s->seq[i];
        if (q->state == SEQ_NONE) continue;
        live++;
        flow[q->flow]++;
        for (int k = 0; good && k < q->n_page; k++) {
            good = q->page[k] >= 0 && q->page[k] < s->conf.n_page;
            if (good) refs[q->page[k]]++;
        }
        good = good && seq_good(s, q) && windows_good(s, q);
        for (int k = q->win_from; good && q->win && k < q->n_page; k++) win[q->win[k]]++;
    }
    for (int i = 0; good && i < s->n_flow; i++) good = flow[i] == s->flow[i].n_seq;
    good = good && live == s->n_live && pages_check(s->pages, refs, win);
    mem_free(refs);
    mem_free(win);
    mem_free(flow);
    return good;
}
