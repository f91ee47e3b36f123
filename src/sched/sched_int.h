/* sched_int.h - the scheduler's state. */
#ifndef CURLEW_SCHED_SCHED_INT_H
#define CURLEW_SCHED_SCHED_INT_H

#include "sched/pages.h"
#include "sched/sched.h"

enum seq_state {
    SEQ_NONE, // the slot is free
    SEQ_WAIT, // holds no page
    SEQ_RUN,  // holds pages
    SEQ_DEAD, // cancelled while planned: holds its memory until sched_done
};

struct seq {
    enum seq_state state;
    sched_seq      handle;
    uint64_t       id, salt;
    uint64_t       order; // of arrival, unique
    int            choice, priority, flow;
    void          *user;

    int32_t *tok;      // [cap_tok] owned: prompt, then what was generated
    int      n_tok;    // known
    int      cap_tok;  // n_prompt + n_max, within context and pages; with `shift` a shift comes here
    int      n_prompt; // what is left of it after shifts
    int      n_more;   // tokens that may still be generated
    bool     shift, shifted;
    int      n_keep;
    int      n_kv;     // positions computed; n_kv <= n_tok
    int      n_draft;  // guesses behind n_tok that are in the plan, or computed and not yet confirmed
    int      n_drafted, n_hit; // guesses of the last run with some, and how many came true
    int      draft_len; // guesses of the next try; 0: it had none yet
    bool     awaits;   // its next token was sampled by the caller, or is the caller's to give up

    int32_t *page;     // [pages_for(cap_tok)] owned
    int      n_page;   // held; covers n_kv at least
    int      n_known;  // of them known to the trie: all that are full and computed
    int32_t *win;      // [pages_for(cap_tok)] owned, NULL without windows: window pages, beside `page`
    int      win_from; // held are those from here to n_page - 1; before: -1

    int  n_plan;       // tokens in the plan that is out, else 0
    bool echo, embed;
    int  n_echo;       // prompt positions whose logits have been delivered
    int  n_cached;
    bool started;      // some choice of the request was admitted once
    int  n_preempt;
    uint64_t passed;   // number of the plan that left it out already
};

/* Whose service is measured together. */
struct flow {
    uint64_t key;
    int      priority;
    int      n_seq;  // living sequences; 0: remembered only for its debt
    uint64_t served; // tokens times 4^(SCHED_PRIORITY_MAX - priority)
};

struct sched {
    struct sched_conf conf;
    int               limit; // most tokens of a sequence: context and pages
    int               win_most; // pages that one window can touch; 0: there are no windows

    struct seq  *seq; // [n_slot]
    int          n_slot;
    int          n_live;    // slots not SEQ_NONE
    int         *running;   // [n_seq] slots, highest rank first
    int          n_running;
    struct flow *flow;      // [n_flow]
    int          n_flow;
    uint64_t     level;     // `served` of the flow that was picked last, before it was charged

    struct pages *pages;

    struct engine_run *erun; // [n_seq] the plan that is out
    struct sched_run  *srun; // [n_seq]
    int                n_run;
    bool               out;
    uint64_t           n_plan; // number of the plan being made

    uint64_t n_added, n_handle;
    uint64_t n_preempt, n_tok_prompt, n_tok_cached, n_tok_prefill, n_tok_decode, n_tok_draft, n_tok_hit;
};

/* A handle is a serial number over the slot. */
#define SCHED_SLOT_BITS 20

static inline struct seq *sched_slot(const struct sched *s, sched_seq handle)
{
    uint64_t slot = handle & ((1u << SCHED_SLOT_BITS) - 1);
    return slot < (uint64_t)s->n_slot ? &s->seq[slot] : NULL;
}

static inline int sched_pages_for(const struct sched *s, int n_tok)
{
    return n_tok / s->conf.page_tok + (n_tok % s->conf.page_tok != 0);
}

/* The first page that the window of a token at this position touches. */
static inline int sched_win_first(const struct sched *s, int pos)
{
    return pos >= s->conf.n_swa ? (pos + 1 - s->conf.n_swa) / s->conf.page_tok : 0;
}

/* sched_seq.c */
struct seq *sched_find_seq(const struct sched *s, sched_seq handle); // live, else NULL
void sched_release(struct sched *s, struct seq *q);  // pages, place, memory
void sched_drop_pages(struct sched *s, struct seq *q);
void sched_enter(struct sched *s, struct seq *q);    // waiting to running
void sched_leave(struct sched *s, struct seq *q);    // running to waiting, without its pages
void sched_wake_flow(struct sched *s, int flow);     // it has prefill to do again
void sched_charge(struct sched *s, int flow, int n_tok);
/* sched_draft.c: put up to `room` guesses behind the sequence's tokens; how many. And what is to be learnt from the
 * last ones. */
int  sched_draft(const struct sched *s, struct seq *q, int room);
void sched_draft_learn(struct seq *q);
void sched_publish(struct sched *s, struct seq *q); // sched.c: its full pages are known
/* Hold one page more, with its window page. False: there is none. */
bool sched_take_page(struct sched *s, struct seq *q);
/* Let go of window pages that the next token does not see. */
void sched_pass_window(struct sched *s, struct seq *q);
/* Append known pages that continue the sequence, while it stands at a page's border. */
void sched_match(struct sched *s, struct seq *q);

#endif
