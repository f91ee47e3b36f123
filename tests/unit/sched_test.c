/* sched_test.c - each rule of the scheduler by itself; sched_sim_test has them all at once. */
#include "unit.h"

#include "base/limits.h"
#include "base/rng.h"
#include "sched/pages.h"
#include "sched/sched.h"

static const struct sched_conf small = { .n_seq = 4, .n_queue = 12, .n_ctx = 256, .n_page = 64, .page_tok = 8,
                                         .n_batch = 64, .n_prefill = 16, .prefix = true };

static struct sched *start(const struct sched_conf *c)
{
    struct sched *s;
    struct err    e;
    assert_ok(sched_new(c, &s, &e));
    return s;
}

/* A prompt of n tokens that starts with `base`, `base` + 1 ... */
static const int32_t *prompt(int base, int n)
{
    static int32_t tok[100000];
    for (int i = 0; i < n; i++) tok[i] = base + i;
    return tok;
}

static struct sched_req req(uint64_t id, int base, int n, int n_max)
{
    return (struct sched_req){ .id = id, .tok = prompt(base, n), .n_tok = n, .n_max = n_max, .n_choice = 1 };
}

static void add(struct sched *s, struct sched_req r)
{
    struct err e;
    assert_ok(sched_add(s, &r, &e));
}

static void add_key(struct sched *s, uint64_t id, uint64_t key, int priority, int base, int n, int n_max)
{
    struct sched_req r = req(id, base, n, n_max);
    r.key = r.salt = key;
    r.priority = priority;
    add(s, r);
}

/* The plan's run of a request's choice, or -1. */
static int run_of(const struct sched_plan *p, uint64_t id, int choice)
{
    for (int i = 0; i < p->batch.n_run; i++)
        if (p->run[i].id == id && p->run[i].choice == choice) return i;
    return -1;
}

static int tokens_of(const struct sched_plan *p, uint64_t id)
{
    int n = 0;
    for (int i = 0; i < p->batch.n_run; i++)
        if (p->run[i].id == id) n += p->batch.run[i].n_tok;
    return n;
}

/* The pass worked; who is sampled goes on with token 7, and ends when it is full. */
static void go_on(struct sched *s, const struct sched_plan *p)
{
    sched_seq seq[256];
    int       n = 0;

    for (int i = 0; i < p->batch.n_run; i++)
        if (p->run[i].sample) seq[n++] = p->run[i].seq;
    assert_true(sched_check(s));
    sched_done(s, true);
    assert_true(sched_check(s));
    for (int i = 0; i < n; i++)
        if (sched_token(s, seq[i], 7) == SCHED_FULL) assert_true(sched_finish(s, seq[i]));
    assert_true(sched_check(s));
}

static bool step(struct sched *s, struct sched_plan *p)
{
    sched_plan(s, p);
    if (p->batch.n_run == 0) return false;
    struct sched_plan copy = *p;
    go_on(s, &copy);
    return true;
}

static int drain(struct sched *s)
{
    struct sched_plan p;
    int               n = 0;
    while (step(s, &p)) assert_true(++n < 100000);
    return n;
}

static struct sched_stats stats(const struct sched *s)
{
    struct sched_stats st;
    sched_stats(s, &st);
    return st;
}

/* --- requests --- */

static void refusals_have_numbers(void **state)
{
    struct sched_conf c = small;
    struct sched     *s;
    struct err        e;
    struct sched_req  r;
    (void)state;

    c.n_batch = 3;
    assert_err(sched_new(&c, &s, &e), ERR_INVALID_VALUE, "n_batch is 3, it must be between 4");
    assert_string_equal(e.param, "n_batch");
    c        = small;
    c.n_page = 0;
    assert_err(sched_new(&c, &s, &e), ERR_INVALID_VALUE, "n_page is 0");

    s = start(&small);
    r = req(1, 0, 256, 1);
    assert_err(sched_add(s, &r, &e), ERR_CONTEXT_LENGTH, "256 tokens, which leaves no room for an answer in a context of 256");
    r = req(1, 0, 0, 1);
    assert_err(sched_add(s, &r, &e), ERR_BAD_REQUEST, "no tokens");
    r = req(1, 0, 5, 0);
    assert_err(sched_add(s, &r, &e), ERR_BAD_REQUEST, "at most 0 tokens");
    r          = req(1, 0, 5, 1);
    r.n_choice = 17;
    assert_err(sched_add(s, &r, &e), ERR_TOO_LARGE, "17 choices, at most 16");
    add(s, req(1, 0, 255, -1));
    r = req(1, 0, 5, 1);
    assert_err(sched_add(s, &r, &e), ERR_BAD_REQUEST, "id 1 is in use");
    r          = req(2, 0, 5, 1);
    r.n_choice = 16;
    assert_err(sched_add(s, &r, &e), ERR_QUEUE_FULL, "1 sequences run or wait, the limit is 4 running and 12 waiting");
    for (uint64_t id = 2; id <= 16; id++) add(s, req(id, 0, 5, 1));
    r = req(17, 0, 5, 1);
    assert_err(sched_add(s, &r, &e), ERR_QUEUE_FULL, "16 sequences");
    assert_true(sched_check(s));
    drain(s);
    assert_int_equal(stats(s).n_waiting, 0);
    sched_free(s);

    c        = small;
    c.n_page = 4; // 32 tokens in all
    s        = start(&c);
    r        = req(1, 0, 32, 1);
    assert_err(sched_add(s, &r, &e), ERR_TOO_LARGE, "32 tokens, the whole KV cache holds 32 (4 pages of 8)");
    add(s, req(1, 0, 31, 100)); // the answer is cut to what fits
    drain(s);
    assert_true(sched_check(s));
    sched_free(s);
    sched_free(NULL);
}

static void prompts_are_cut_in_pieces(void **state)
{
    struct sched     *s = start(&small);
    struct sched_plan p;
    (void)state;

    add(s, req(1, 0, 150, 2));
    const int want[] = { 64, 64, 22, 1 };
    for (int i = 0, pos = 0; i < 4; pos += want[i++]) {
        sched_plan(s, &p);
        assert_int_equal(p.batch.n_run, 1);
        assert_int_equal(p.batch.run[0].n_tok, want[i]);
        assert_int_equal(p.batch.run[0].pos, pos);
        assert_int_equal(p.batch.run[0].tok[0], i < 3 ? pos : 7);
        assert_int_equal(p.batch.run[0].n_logits, i >= 2);
        assert_int_equal(p.run[0].sample, i >= 2);
        assert_int_equal(p.run[0].decode, i == 3);
        assert_int_equal(p.n_tok, want[i]);
        go_on(s, &p);
    }
    assert_false(step(s, &p)); // n_max 2: full and finished
    assert_int_equal(stats(s).n_running, 0);
    sched_free(s);
}

/* A stream decodes in every batch, and beside it there are at most n_prefill tokens. */
static void decoding_comes_first(void **state)
{
    struct sched     *s = start(&small);
    struct sched_plan p;
    (void)state;

    add(s, req(1, 0, 10, 100));
    step(s, &p);
    add(s, req(2, 1000, 200, 5));
    add(s, req(3, 2000, 200, 5));
    for (int i = 0; i < 25; i++) { // 400 tokens in pieces of 16
        sched_plan(s, &p);
        int k = run_of(&p, 1, 0);
        assert_true(k >= 0 && p.run[k].decode && p.batch.run[k].n_tok == 1);
        assert_true(p.n_tok - p.n_decode <= small.n_prefill);
        go_on(s, &p);
    }
    assert_int_equal(stats(s).n_tok_prefill, 10 + 400);
    drain(s);
    sched_free(s);
}

static void tokens_follow_the_protocol(void **state)
{
    struct sched     *s = start(&small);
    struct sched_plan p;
    (void)state;

    add(s, req(1, 0, 10, 2));
    sched_plan(s, &p);
    sched_seq seq = p.run[0].seq;
    assert_int_equal(sched_token(s, seq, 1), SCHED_GONE); // not computed yet
    sched_done(s, true);
    sched_plan(s, &p);
    assert_int_equal(p.batch.n_run, 0); // sits out until its token comes
    assert_int_equal(sched_token(s, seq, 1), SCHED_MORE);
    assert_int_equal(sched_token(s, seq, 1), SCHED_GONE);
    sched_plan(s, &p);
    assert_int_equal(p.batch.run[0].pos, 10);
    assert_int_equal(p.batch.run[0].tok[0], 1);
    sched_done(s, true);
    assert_int_equal(sched_token(s, seq, 2), SCHED_FULL);
    assert_int_equal(sched_token(s, seq, 2), SCHED_GONE);
    sched_plan(s, &p);
    assert_int_equal(p.batch.n_run, 0);
    assert_true(sched_finish(s, seq));
    assert_false(sched_finish(s, seq));
    assert_int_equal(sched_token(s, seq, 2), SCHED_GONE);

    add(s, req(1, 0, 10, 2)); // the same slot, another sequence
    sched_plan(s, &p);
    assert_true(p.run[0].seq != seq);
    assert_false(sched_finish(s, seq));
    assert_false(sched_finish(s, 0));
    assert_false(sched_finish(s, UINT64_MAX));
    sched_done(s, true);
    assert_true(sched_finish(s, p.run[0].seq));
    sched_free(s);
}

/* A failed pass has not happened: the same plan again. */
static void a_failed_pass_is_repeated(void **state)
{
    struct sched     *s = start(&small);
    struct sched_plan p;
    (void)state;

    add(s, req(1, 0, 100, 5));
    step(s, &p);
    for (int i = 0; i < 3; i++) {
        sched_plan(s, &p);
        assert_int_equal(p.batch.run[0].pos, 64);
        assert_int_equal(p.batch.run[0].n_tok, 36);
        sched_done(s, false);
        assert_true(sched_check(s));
    }
    drain(s);
    sched_free(s);
}

static void echo_wants_every_position(void **state)
{
    struct sched     *s = start(&small);
    struct sched_plan p;
    (void)state;

    add(s, req(1, 0, 100, 3));
    drain(s);
    struct sched_req r = req(2, 0, 100, 3);
    r.echo             = true;
    r.n_choice         = 2;
    add(s, r);
    sched_plan(s, &p); // nothing from the cache for choice 0, everything for choice 1
    int k = run_of(&p, 2, 0), other = run_of(&p, 2, 1);
    assert_int_equal(p.batch.run[k].pos, 0);
    assert_int_equal(p.batch.run[k].n_tok, p.batch.run[k].n_logits);
    assert_int_equal(p.run[k].n_echo, 64);
    assert_int_equal(other, -1); // the batch is full
    go_on(s, &p);
    sched_plan(s, &p);
    k     = run_of(&p, 2, 0);
    other = run_of(&p, 2, 1);
    assert_int_equal(p.run[k].pos_echo, 64);
    assert_int_equal(p.run[k].n_echo, 36);
    assert_int_equal(p.batch.run[k].n_logits, 36);
    assert_true(p.run[k].sample);
    assert_int_equal(p.batch.run[other].pos, 96);
    assert_int_equal(p.run[other].n_echo, 0);
    go_on(s, &p);
    drain(s);
    sched_free(s);
}

/* Texts to embed generate nothing: they may fill the context, their rows are hidden states, and they end with the
 * run that computes their last token. They find prefixes, unless every position is wanted. */
static void texts_are_only_read(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    struct err        e;
    (void)state;

    c.n_ctx = 100;
    struct sched *s = start(&c);
    struct sched_req r = req(1, 0, 101, 0);
    r.embed = true;
    assert_err(sched_add(s, &r, &e), ERR_CONTEXT_LENGTH, "101 tokens");
    r.n_tok = 100;
    add(s, r);
    add(s, req(2, 500, 10, 3)); // an answer beside it
    sched_plan(s, &p);
    int k = run_of(&p, 1, 0);
    assert_true(p.batch.run[k].hidden && p.batch.run[k].n_logits == 0 && !p.run[k].sample);
    sched_done(s, true);
    sched_plan(s, &p);
    k = run_of(&p, 1, 0);
    assert_true(p.run[k].sample && p.batch.run[k].hidden && p.batch.run[k].n_logits == 1);
    assert_false(p.batch.run[run_of(&p, 2, 0)].hidden);
    sched_seq seq = p.run[k].seq;
    sched_done(s, true);
    assert_int_equal(sched_token(s, seq, 7), SCHED_GONE); // has no room for one
    assert_true(sched_finish(s, seq) && sched_check(s));
    sched_cancel(s, 2);

    r.id  = 3;
    r.tok = prompt(0, 100);
    add(s, r);
    r.id   = 4;
    r.echo = true;
    add(s, r);
    sched_plan(s, &p);
    assert_int_equal(p.batch.run[run_of(&p, 3, 0)].pos, 96);
    k = run_of(&p, 4, 0);
    assert_true(p.batch.run[k].pos == 0 && p.batch.run[k].n_logits == p.batch.run[k].n_tok);
    sched_done(s, true);
    sched_free(s);
}

/* --- prefixes --- */

static int cached_of(struct sched *s, struct sched_req r)
{
    struct sched_plan p;
    add(s, r);
    sched_plan(s, &p);
    int n = p.run[run_of(&p, r.id, 0)].n_cached;
    assert_int_equal(p.batch.run[run_of(&p, r.id, 0)].pos, n);
    go_on(s, &p);
    drain(s);
    return n;
}

static void prefixes_are_shared(void **state)
{
    struct sched *s = start(&small);
    (void)state;

    assert_int_equal(cached_of(s, req(1, 0, 40, 20)), 0);
    assert_int_equal(cached_of(s, req(2, 0, 40, 1)), 32); // 40 is known, but one token is computed
    assert_int_equal(cached_of(s, req(3, 0, 41, 1)), 40);
    assert_int_equal(cached_of(s, req(4, 0, 30, 1)), 24); // full pages only
    assert_int_equal(cached_of(s, req(5, 1, 40, 1)), 0);
    struct sched_req r = req(6, 0, 41, 1); // position 20 differs
    int32_t          tok[100];
    memcpy(tok, r.tok, sizeof *tok * 41);
    tok[20] = 9999;
    r.tok   = tok;
    assert_int_equal(cached_of(s, r), 16);

    /* The answer is part of the prefix: 40 + 20 tokens, of which the last was never computed. */
    memcpy(tok, prompt(0, 40), sizeof *tok * 40);
    for (int i = 40; i < 100; i++) tok[i] = 7;
    r     = req(7, 0, 70, 1);
    r.tok = tok;
    assert_int_equal(cached_of(s, r), 56);

    r      = req(8, 0, 40, 1); // another tenant's pages are not seen
    r.salt = 5;
    assert_int_equal(cached_of(s, r), 0);
    r.id = 9;
    assert_int_equal(cached_of(s, r), 32);
    sched_free(s);

    struct sched_conf c = small;
    c.prefix            = false;
    s                   = start(&c);
    cached_of(s, req(1, 0, 40, 20));
    assert_int_equal(cached_of(s, req(2, 0, 40, 1)), 0);
    assert_int_equal(stats(s).n_page_cached, 0);
    sched_free(s);
}

/* Pages of a running sequence are good for others, and three who come together compute them
 * once. */
static void who_comes_together_computes_once(void **state)
{
    struct sched     *s = start(&small);
    struct sched_plan p;
    (void)state;

    for (uint64_t id = 1; id <= 3; id++) add(s, req(id, 0, 200, 10));
    for (int i = 0; i < 3; i++) {
        sched_plan(s, &p);
        assert_int_equal(p.batch.n_run, 1); // the others wait for what is being computed
        assert_int_equal(p.run[0].id, 1);
        go_on(s, &p);
    }
    sched_plan(s, &p);
    assert_int_equal(p.batch.n_run, 3);
    int shared = 0, a = run_of(&p, 1, 0), b = run_of(&p, 2, 0);
    while (shared < 24 && p.batch.run[a].page[shared] == p.batch.run[b].page[shared]) shared++;
    assert_int_equal(shared, 24);
    assert_true(p.batch.run[a].page[24] != p.batch.run[b].page[24]);
    go_on(s, &p);
    drain(s);
    assert_int_equal(stats(s).n_tok_prefill, 200 + 2 * 8);
    sched_free(s);

    /* n choices are the same thing. */
    s                  = start(&small);
    struct sched_req r = req(1, 0, 100, 10);
    r.n_choice         = 4;
    add(s, r);
    drain(s);
    assert_int_equal(stats(s).n_tok_prefill, 100 + 3 * 4);
    assert_int_equal(stats(s).n_tok_decode, 4 * 9);
    sched_free(s);

    /* Another tenant has nothing to wait for, nor has who shares the page's tokens but not what is
     * before them. */
    s = start(&small);
    add_key(s, 1, 1, 0, 0, 20, 1);
    add_key(s, 2, 2, 0, 0, 20, 1);
    step(s, &p);
    assert_int_equal(p.batch.n_run, 2);
    drain(s);
    int32_t tok[2][24];
    for (int i = 0; i < 24; i++) {
        tok[0][i] = i < 8 ? i : 500 + i;
        tok[1][i] = i < 8 ? 700 + i : 500 + i;
    }
    sched_free(s);
    struct sched_conf c = small;
    c.n_batch           = 12;
    s                   = start(&c);
    cached_of(s, req(3, 0, 9, 1)); // the first page of `known`
    struct sched_req known = req(4, 0, 24, 1), other = req(5, 0, 24, 1);
    known.tok = tok[0];
    known.key = 2;
    other.tok = tok[1];
    add(s, other);
    step(s, &p); // now in the middle of the page that both have
    add(s, known);
    step(s, &p);
    assert_int_equal(tokens_of(&p, 4), 12);
    drain(s);
    sched_free(s);

    /* A shorter one need not wait for what it does not share; a more important one waits for
     * nobody. */
    s = start(&small);
    add_key(s, 1, 0, 0, 0, 200, 1);
    add_key(s, 2, 0, 1, 0, 200, 1);
    step(s, &p);
    assert_int_equal(tokens_of(&p, 2), 64);
    drain(s);
    sched_free(s);
}

/* When room is needed, the prefix used least recently goes first, its last page before its
 * first. */
static void least_recently_used_goes_first(void **state)
{
    struct sched_conf c = small;
    struct sched     *s;
    (void)state;

    c.n_page = 12;
    s        = start(&c);
    cached_of(s, req(1, 0, 32, 1));       // 4 pages
    cached_of(s, req(2, 1000, 32, 1));    // 4 pages
    assert_int_equal(cached_of(s, req(3, 0, 33, 1)), 32); // the first is used again; one page more for a moment
    assert_int_equal(stats(s).n_page_cached, 8);
    cached_of(s, req(4, 2000, 48, 1));    // 6 pages: 4 are free, 2 of request 2 have to go
    assert_int_equal(cached_of(s, req(5, 0, 33, 1)), 32);
    assert_int_equal(cached_of(s, req(6, 1000, 17, 1)), 8); // ... and request 5 took a third
    sched_free(s);
}

/* --- fairness --- */

/* A tenant with a long queue does not delay another's first request: it is the next one
 * admitted. */
static void a_flood_does_not_drown_others(void **state)
{
    struct sched     *s = start(&small);
    struct sched_plan p;
    uint64_t          id = 1;
    int               waited = 0;
    (void)state;

    for (; id <= 15; id++) add_key(s, id, 1, 0, (int)id * 1000, 60, 40);
    for (int i = 0; i < 60; i++) step(s, &p); // well under way
    add_key(s, 100, 2, 0, 500, 60, 5);
    do waited++;
    while (step(s, &p) && run_of(&p, 100, 0) < 0);
    /* A place is free when the next of the running ends: at most its prompt in pieces and 40
     * tokens. */
    assert_true(waited <= 4 * 4 + 40);
    drain(s);
    sched_free(s);
}

/* Two tenants who always have work: equal service, whatever the number and size of their
 * requests. */
static void service_is_equal(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    int64_t           served[3] = { 0 };
    uint64_t          id = 1, low = 0;
    (void)state;

    c.n_queue       = 40;
    c.prefix        = false;
    struct sched *s = start(&c);
    for (int i = 0; i < 4000; i++) {
        if (i % 2 == 0) // tenant 1: many small ones, with answers
            for (int k = 0; k < 3 && stats(s).n_waiting < 30; k++) add_key(s, id++, 1, 0, 0, 20, 30);
        uint64_t it = 0, one;
        for (low = 0; sched_next_waiting(s, &it, &one);) low += one > 1000000;
        if (low < 2) add_key(s, 1000000 + id++, 2, 0, 0, 200, 2); // tenant 2: a few long ones
        assert_true(step(s, &p));
        for (int k = 0; k < p.batch.n_run; k++) served[p.run[k].id > 1000000 ? 2 : 1] += p.batch.run[k].n_tok;
        /* One batch, and what one admitted sequence of each still takes. */
        int64_t gap = served[1] - served[2];
        if (i > 100 && (gap < 0 ? -gap : gap) > c.n_batch + c.n_seq * 250) fail_msg("gap %d", (int)gap);
    }
    assert_true(served[1] > 10000 && served[2] > 10000);
    sched_free(s);
}

/* One level of priority is four times the service, and the lower one is served all the same. */
static void priorities_are_weights(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    double            served[2] = { 0 };
    uint64_t          id = 1;
    (void)state;

    c.n_queue       = 40;
    c.prefix        = false;
    struct sched *s = start(&c);
    for (int i = 0; i < 3000; i++) {
        uint64_t it = 0, one, n[2] = { 0 };
        while (sched_next_waiting(s, &it, &one)) n[one % 2]++;
        for (uint64_t k = 0; k < 2; k++)
            if (n[k] < 3) {
                add_key(s, 2 * id + k, 1, (int)k, 0, 40, 20);
                id++;
            }
        assert_true(step(s, &p));
        for (int k = 0; k < p.batch.n_run; k++) served[p.run[k].id % 2] += p.batch.run[k].n_tok;
    }
    double ratio = served[1] / served[0];
    if (ratio < 3.8 || ratio > 4.2) fail_msg("the ratio is %g", ratio);
    sched_free(s);
}

/* Having been idle is no credit: a tenant who comes back starts level. */
static void idleness_is_no_credit(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    int               first = 0, total = 0;
    (void)state;

    c.n_queue       = 100;
    c.prefix        = false;
    struct sched *s = start(&c);
    add_key(s, 1, 2, 0, 0, 20, 1); // tenant 2 is known, and idle while 1 is served a lot
    for (uint64_t id = 2; id < 80; id++) add_key(s, id, 1, 0, 0, 200, 2);
    for (int i = 0; i < 100; i++) step(s, &p);
    for (uint64_t id = 100; id < 130; id++) add_key(s, id, 2, 0, 0, 200, 2);
    for (int i = 0; i < 60; i++) {
        step(s, &p);
        total += p.n_tok;
        for (int k = 0; k < p.batch.n_run; k++) first += p.run[k].id < 100 ? p.batch.run[k].n_tok : 0;
    }
    assert_true(first > total * 4 / 10 && first < total * 6 / 10);
    sched_free(s);
}

/* --- pages run out --- */

static void the_lowest_gives_way(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    (void)state;

    /* Three sequences of 24 + 40 tokens, 8 pages each in the end, in 16 pages. */
    for (int low = 1; low <= 3; low++) {
        c.n_page        = 16;
        c.n_prefill     = 64;
        struct sched *s = start(&c);
        for (int id = 1; id <= 3; id++) {
            add_key(s, (uint64_t)id, (uint64_t)id, id == low ? -1 : 0, id * 1000, 24, 40);
            step(s, &p);
        }
        while (stats(s).n_preempt == 0) assert_true(step(s, &p));
        assert_int_equal(run_of(&p, (uint64_t)low, 0), -1); // with equal priorities (low 3) the youngest
        assert_int_equal(p.batch.n_run, 2);
        assert_true(sched_is_running(s, (uint64_t)low)); // it has begun, for deadlines
        drain(s);
        /* The first token of each comes from prefill, and so does the one after each preemption. */
        assert_int_equal(stats(s).n_tok_decode + stats(s).n_preempt, 3 * 39);
        sched_free(s);
    }
}

/* One alone can use every page; two of that size take turns, and both end. */
static void the_largest_that_fits_always_ends(void **state)
{
    struct sched_conf c = small;
    (void)state;

    for (int prefix = 0; prefix < 2; prefix++)
        for (int n = 1; n <= 6; n++) {
            c.n_page        = 8;
            c.prefix        = prefix;
            struct sched *s = start(&c);
            for (int id = 1; id <= n; id++) add_key(s, (uint64_t)id, (uint64_t)id, id % 3, id * 100, 3 + 9 * id, -1);
            drain(s);
            assert_int_equal(stats(s).n_running + stats(s).n_waiting + stats(s).n_page_used, 0);
            sched_free(s);
        }
}

/* Whoever is next and too large for now is not overtaken by those behind. */
static void nobody_overtakes_by_being_smaller(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    (void)state;

    c.n_page        = 20; // 160 tokens
    struct sched *s = start(&c);
    add_key(s, 1, 1, 0, 0, 80, 40);
    step(s, &p);
    step(s, &p);
    add_key(s, 2, 1, 0, 1000, 100, 5);
    add_key(s, 3, 1, 0, 2000, 8, 5);
    for (int i = 0; i < 30; i++) {
        assert_true(step(s, &p));
        assert_int_equal(p.batch.n_run, 1);
    }
    while (run_of(&p, 2, 0) < 0) {
        assert_int_equal(run_of(&p, 3, 0), -1);
        assert_true(step(s, &p));
    }
    drain(s);
    sched_free(s);
}

/* What a running prompt still needs is not given away: nobody is let in only to be thrown out. */
static void admission_reserves(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    (void)state;

    c.n_page        = 16; // 128 tokens
    c.n_batch       = 16;
    struct sched *s = start(&c);
    add_key(s, 1, 1, 0, 0, 100, 4);
    step(s, &p);
    add_key(s, 2, 2, 0, 1000, 40, 4); // less served, and 14 pages are free, but 12 of them are promised
    while (run_of(&p, 2, 0) < 0) assert_true(step(s, &p));
    assert_false(sched_is_running(s, 1)); // together they do not fit, so the first has ended
    drain(s);
    assert_int_equal(stats(s).n_preempt, 0);
    sched_free(s);
}

/* Two prompts hold all pages between them, half done, while a stream waits for its caller: one
 * gives way, and the other goes on. */
static void prompts_do_not_block_each_other(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    bool              done = false;
    (void)state;

    c.n_page        = 20;
    c.n_prefill     = 1;
    struct sched *s = start(&c);
    add_key(s, 1, 1, 0, 0, 8, 100);
    step(s, &p); // from now on it decodes, and prefill is slow
    add_key(s, 2, 2, 0, 1000, 56, 1);
    add_key(s, 3, 3, 0, 2000, 56, 1);
    for (int i = 0; i < 10000 && !done; i++) {
        sched_plan(s, &p);
        assert_true(p.batch.n_run > 0);
        for (int k = 0; k < p.batch.n_run; k++) done |= p.run[k].sample && p.run[k].id != 1;
        int k = run_of(&p, 1, 0);
        if (k < 0 || stats(s).n_page_used < 20) {
            go_on(s, &p);
            continue;
        }
        sched_done(s, true); // and the stream's token does not come
        assert_true(sched_check(s));
    }
    assert_true(done);
    assert_true(stats(s).n_preempt > 0);
    sched_free(s);
}

/* Each time it gives way it counts for more: a low priority ends while more important ones come
 * and come. */
static void giving_way_has_an_end(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    uint64_t          id = 2;
    int               n_back = 0, pos = 0, steps = 0;
    bool              begun = false;
    (void)state;

    c.n_page        = 30;
    c.prefix        = false;
    struct sched *s = start(&c);
    add_key(s, 1, 1, -2, 0, 20, 200);
    for (; !begun || sched_is_running(s, 1); steps++) {
        uint64_t it = 0, one, n = 0;
        while (sched_next_waiting(s, &it, &one)) n++;
        for (; n < 2; n++, id++) add_key(s, id, 1, 0, 0, 20, 60);
        assert_true(steps < 20000 && step(s, &p));
        int k = run_of(&p, 1, 0);
        if (k < 0) continue;
        begun = true;
        n_back += p.batch.run[k].pos < pos;
        pos = p.batch.run[k].pos + 1;
    }
    /* Twice to be level with priority 0; after that it yields only to the older ones, of which at
     * most three run beside it. */
    assert_true(n_back >= 1 && n_back <= 2 + 3);
    drain(s);
    sched_free(s);
}

/* --- cancelling --- */

static void cancel_at_any_moment(void **state)
{
    struct sched_plan p;
    struct rng        r;
    (void)state;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sched_conf c = { .n_seq = 32, .n_queue = 96, .n_ctx = 200, .n_page = 150, .page_tok = 8,
                                .n_batch = 64, .n_prefill = 20, .prefix = true };
        struct sched *s = start(&c);
        int           gone = 0;
        rng_seed(&r, seed);
        for (uint64_t id = 1; id <= 128; id++)
            add_key(s, id, id % 5, 0, (int)rng_below(&r, 3) * 10, 10 + (int)rng_below(&r, 100), 60);
        while (gone < 100 && stats(s).n_running + stats(s).n_waiting > 0) {
            sched_plan(s, &p);
            for (int k = (int)rng_below(&r, 4); k > 0 && gone < 100; k--) { // while the engine computes
                uint64_t id = 1 + rng_below(&r, 128);
                if (sched_cancel(s, id)) gone++;
                assert_false(sched_cancel(s, id));
                assert_true(sched_check(s));
            }
            if (p.batch.n_run) go_on(s, &p);
            uint64_t id = 1 + rng_below(&r, 128);
            if (gone < 100 && sched_cancel(s, id)) gone++;
            assert_true(sched_check(s));
        }
        assert_int_equal(gone, 100);
        drain(s);
        assert_int_equal(stats(s).n_page_used, 0);
        assert_int_equal(stats(s).n_running + stats(s).n_waiting, 0);
        sched_free(s);
    }
}

/* What the engine may be reading is not given away before sched_done, everything else is at
 * once. */
static void planned_memory_stays(void **state)
{
    struct sched     *s = start(&small);
    struct sched_plan p;
    (void)state;

    add(s, req(1, 0, 60, 10));
    step(s, &p);
    add(s, req(2, 1000, 60, 10));
    sched_plan(s, &p);
    int n_used = stats(s).n_page_used, k = run_of(&p, 1, 0);
    assert_true(sched_cancel(s, 1));
    assert_int_equal(stats(s).n_page_used, n_used);
    assert_int_equal(p.batch.run[k].tok[0], 7);
    add(s, req(1, 0, 60, 10)); // the id is free again, the slot is not
    assert_true(sched_check(s));
    go_on(s, &p);
    assert_true(stats(s).n_page_used < n_used);
    assert_true(sched_cancel(s, 2)); // between passes: at once
    assert_int_equal(stats(s).n_page_used, 0);
    drain(s);
    sched_free(s);
}

/* A scheduler freed with everything still in it leaks nothing (the address sanitizer sees). */
static void freed_while_busy(void **state)
{
    struct sched     *s = start(&small);
    struct sched_plan p;
    (void)state;

    for (uint64_t id = 1; id <= 10; id++) add(s, req(id, (int)id * 1000, 50, 10));
    step(s, &p);
    sched_plan(s, &p);
    assert_true(sched_cancel(s, p.run[0].id));
    sched_free(s);
}

static void deadlines_are_the_callers(void **state)
{
    struct sched     *s = start(&small);
    struct sched_plan p;
    uint64_t          it = 0, id;
    (void)state;

    for (uint64_t k = 1; k <= 7; k++) add_key(s, k, 0, 0, (int)k * 1000, 16, 50);
    assert_false(sched_is_running(s, 1));
    step(s, &p); // four fit
    assert_true(sched_is_running(s, 1));
    assert_false(sched_is_running(s, 5));
    assert_false(sched_is_running(s, 99));
    for (uint64_t want = 5; want <= 7; want++) {
        assert_true(sched_next_waiting(s, &it, &id));
        assert_int_equal(id, want);
    }
    assert_false(sched_next_waiting(s, &it, &id));
    assert_true(sched_cancel(s, 6));
    it = 0;
    assert_true(sched_next_waiting(s, &it, &id) && id == 5);
    assert_true(sched_next_waiting(s, &it, &id) && id == 7);
    drain(s);
    sched_free(s);
}

/* --- memory --- */

static void every_allocation_fails_once(void **state)
{
    struct sched *s;
    struct err    e;
    int           failed = 0;
    (void)state;

    for (uint64_t at = 1;; at++, failed++) {
        mem_fail_at(at);
        int rc = sched_new(&small, &s, &e);
        mem_fail_at(0);
        if (rc == 0) break;
        assert_int_equal(rc, -ERR_NO_MEMORY);
    }
    assert_int_equal(failed, 11);
    struct sched_req r = req(1, 0, 50, 10);
    r.n_choice         = 3;
    for (uint64_t at = 1;; at++) {
        mem_fail_at(at);
        int rc = sched_add(s, &r, &e);
        mem_fail_at(0);
        assert_true(sched_check(s));
        if (rc == 0) {
            assert_int_equal(at, 7);
            break;
        }
        assert_int_equal(rc, -ERR_NO_MEMORY);
        assert_int_equal(stats(s).n_waiting, 0); // none of the choices stays
    }
    drain(s);
    sched_free(s);
}

static void no_malloc_after_adding(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    (void)state;

    c.n_page        = 16;
    struct sched *s = start(&c);
    for (uint64_t id = 1; id <= 10; id++) add(s, req(id, (int)id % 3 * 1000, 50, 30));
    uint64_t before = mem_count();
    for (;;) {
        sched_plan(s, &p);
        if (p.batch.n_run == 0) break;
        sched_seq seq[64];
        int       n = 0;
        for (int i = 0; i < p.batch.n_run; i++)
            if (p.run[i].sample) seq[n++] = p.run[i].seq;
        sched_done(s, true);
        for (int i = 0; i < n; i++)
            if (sched_token(s, seq[i], 7) == SCHED_FULL) sched_finish(s, seq[i]);
    }
    assert_true(mem_count() == before);
    assert_true(stats(s).n_preempt > 0);
    sched_free(s);
}

/* --- pages by themselves --- */

/* --- leaving --- */

/* 128 sequences, some with shared beginnings and a window; 100 of them go at random moments: before a plan, while it
 * is out, after it, and before their token comes. All pages come back, and those who stay get what they were owed. */
static void cancelling_leaks_no_page(void **state)
{
    enum { ALL = 128, GO = 100 };
    struct rng r;
    (void)state;

    for (int windows = 0; windows < 2; windows++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct sched_conf c = small;
            struct sched_plan p;
            int order[ALL], n_gone = 0, n_got[ALL + 1] = { 0 };
            bool gone[ALL + 1] = { 0 };
            rng_seed(&r, seed);
            c.n_seq = c.n_batch = ALL;
            c.n_page = seed & 1 ? 300 : 4096;
            if (windows) c.n_swa = 20, c.n_win = seed & 1 ? 150 : 1000;
            struct sched *s = start(&c);
            for (int i = 0; i < ALL; i++) {
                add(s, req((uint64_t)i + 1, i % 3 * 1000, 30 + i % 50, 40));
                order[i] = i + 1;
            }
            for (int i = ALL - 1; i > 0; i--) {
                int j = (int)rng_below(&r, (uint64_t)i + 1), id = order[i];
                order[i] = order[j];
                order[j] = id;
            }
            for (bool runs = true; runs;) {
                static struct { sched_seq seq; uint64_t id; } took[ALL];
                int n = 0;
#define SOME_GO                                                                                \
    for (; n_gone < GO && rng_below(&r, 3) == 0; n_gone++) {                                   \
        assert_true(sched_cancel(s, (uint64_t)order[n_gone]) || n_got[order[n_gone]] == 40);   \
        gone[order[n_gone]] = true;                                                            \
        assert_true(sched_check(s));                                                           \
    }
                SOME_GO
                sched_plan(s, &p);
                runs = p.batch.n_run > 0;
                if (!runs) break;
                for (int i = 0; i < p.batch.n_run; i++)
                    if (p.run[i].sample) took[n].seq = p.run[i].seq, took[n++].id = p.run[i].id;
                SOME_GO
                sched_done(s, rng_below(&r, 8) != 0);
                SOME_GO
                for (int i = 0; i < n; i++) {
                    SOME_GO
                    enum sched_more more = sched_token(s, took[i].seq, 7);
                    if (gone[took[i].id]) assert_true(more == SCHED_GONE);
                    if (more == SCHED_GONE) continue; // or its pass failed
                    n_got[took[i].id]++;
                    if (more == SCHED_FULL) sched_finish(s, took[i].seq);
                }
            }
            struct sched_stats st = stats(s);
            assert_int_equal(n_gone, GO);
            for (int i = 1; i <= ALL; i++) assert_true(gone[i] || n_got[i] == 40);
            assert_int_equal(st.n_page_used + st.n_win_used + st.n_running + st.n_waiting, 0);
            assert_int_equal(st.n_page_free + st.n_page_cached, c.n_page);
            assert_int_equal(st.n_win_free + st.n_win_cached, c.n_win);
            sched_free(s);
        }
}

/* --- salts --- */

/* Whatever the salts, and whoever is served beside or before whom: what one salt computed, another does not find. */
static void salts_never_share(void **state)
{
    static const uint64_t salts[] = { 0, 1, 2, UINT64_MAX };
    struct sched_conf c = small;
    struct sched_plan p;
    struct sched     *s;
    (void)state;

    c.n_page = 256;
    s = start(&c);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < ARRAY_LEN(salts); i++) {
            struct sched_req r = req(10 * i + (uint64_t)round + 1, 0, 100, 2);
            r.salt = salts[i];
            add(s, r);
            sched_plan(s, &p);
            assert_int_equal(p.run[0].n_cached, round ? 96 : 0);
            go_on(s, &p);
            drain(s);
        }
    /* at once, too: nobody waits for another salt's pages or gets one */
    for (size_t i = 0; i < ARRAY_LEN(salts); i++) {
        struct sched_req r = req(100 + i, 500, 60, 2);
        r.salt = salts[i];
        add(s, r);
    }
    for (sched_plan(s, &p); p.batch.n_run; go_on(s, &p), sched_plan(s, &p))
        for (int i = 0; i < p.batch.n_run; i++)
            for (int k = 0; k < i; k++) assert_true(p.batch.run[i].page[0] != p.batch.run[k].page[0]);
    sched_free(s);
}

/* --- context shift --- */

/* Context 64, 50 tokens of prompt of which 10 stay: at the end (64 - 10) / 2 go, so 37 are left, and again each 27
 * tokens. Everything is computed again, and what was known of the head is used. */
static void context_shift(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    struct sched     *s;
    int32_t           want[64];
    int               n = 50, n_gen = 0;
    (void)state;

    c.n_ctx = 64;
    s = start(&c);
    struct sched_req r = req(1, 0, 50, 100);
    r.shift  = true;
    r.n_keep = 10;
    add(s, r);
    for (int i = 0; i < n; i++) want[i] = i;
    for (enum sched_more more = SCHED_MORE; more == SCHED_MORE;) {
        sched_plan(s, &p);
        assert_int_equal(p.batch.n_run, 1);
        const struct engine_run *run = &p.batch.run[0];
        for (int i = 0; i < run->n_tok; i++) assert_int_equal(run->tok[i], want[run->pos + i]);
        assert_true(run->pos + run->n_tok <= n && p.run[0].n_cached == 0);
        bool      sample = p.run[0].sample;
        sched_seq seq = p.run[0].seq;
        assert_int_equal(sample, run->pos + run->n_tok == n);
        if (n == 37 && n_gen > 14 && run->n_tok > 1) assert_int_equal(run->pos, 8); // the page of what stayed
        sched_done(s, true);
        if (!sample) continue;
        more = sched_token(s, seq, 1000 + n_gen);
        want[n++] = 1000 + n_gen++;
        assert_true(sched_check(s));
        if (n < 64) continue;
        memmove(want + 10, want + 37, 27 * sizeof *want);
        n = 37;
        if (more != SCHED_FULL) assert_true(sched_token(s, seq, 1) == SCHED_GONE);
    }
    assert_int_equal(n_gen, 100);
    sched_free(s);
}

/* Without being asked for, or without a number of tokens, an answer ends with the context. */
static void no_shift(void **state)
{
    struct sched_conf c = small;
    struct sched_plan p;
    (void)state;

    c.n_ctx = 64;
    for (int i = 0; i < 2; i++) {
        struct sched    *s = start(&c);
        struct sched_req r = req(1, 0, 50, i ? -1 : 100);
        r.shift = i;
        add(s, r);
        int n = 0;
        while (step(s, &p)) n += p.run[0].decode;
        assert_int_equal(n, 13); // the first of 14 comes with the prompt
        sched_free(s);
    }
}

/* --- windows --- */

/* A window of 20 positions touches at most 4 pages of 8. */
static struct sched_conf windowed(int n_win)
{
    struct sched_conf c = small;
    c.n_swa = 20;
    c.n_win = n_win;
    return c;
}

static void window_pages_do_not_grow(void **state)
{
    struct sched_conf  c = windowed(3);
    struct sched_plan  p;
    struct sched      *s;
    struct err         e;
    int                most_full = 0;
    (void)state;

    assert_err(sched_new(&c, &s, &e), ERR_INVALID_VALUE, "n_win is 3, it must be between 4");
    c = windowed(40);
    s = start(&c);
    add(s, req(1, 0, 150, 90));
    while (step(s, &p)) {
        struct sched_stats st = stats(s);
        assert_true(st.n_win_used <= 4);
        if (st.n_page_used > most_full) most_full = st.n_page_used;
    }
    assert_int_equal(most_full, (150 + 89 - 1) / 8 + 1);
    assert_int_equal(stats(s).n_win_used, 0);
    sched_free(s);
}

/* Tokens found in the cache by a request that is then served alone. */
static int cached_alone(struct sched *s, uint64_t id, int base, int n)
{
    struct sched_plan p;
    int n_cached = -1;

    add(s, req(id, base, n, 1));
    do {
        sched_plan(s, &p);
        if (p.batch.n_run == 0) break;
        n_cached = p.run[0].n_cached;
        go_on(s, &p);
    } while (true);
    return n_cached;
}

static void prefix_needs_its_window(void **state)
{
    struct sched_conf c = windowed(14);
    struct sched     *s;
    (void)state;

    c.n_page = 200;
    s = start(&c);
    assert_int_equal(cached_alone(s, 1, 0, 100), 0);
    assert_int_equal(cached_alone(s, 2, 0, 100), 96);
    /* a shorter part of it: that window was passed and is still known */
    assert_int_equal(cached_alone(s, 3, 0, 70), 64);
    /* 13 pages of another text push all windows out, but not the pages */
    assert_int_equal(cached_alone(s, 4, 1000, 112), 0);
    assert_int_equal(stats(s).n_page_cached, 12 + 14);
    assert_int_equal(cached_alone(s, 5, 0, 100), 0);
    assert_int_equal(cached_alone(s, 6, 0, 100), 96);
    assert_int_equal(stats(s).n_page_cached, 12 + 14); // computed again, kept once
    sched_free(s);
}

/* Two need 4 window pages each to go on; where there are 6, one waits although there are pages. */
static void windows_bound_admission(void **state)
{
    struct sched_conf c = windowed(6);
    struct sched_plan p;
    struct sched     *s = start(&c);
    (void)state;

    add(s, req(1, 0, 60, 20));
    add(s, req(2, 500, 60, 20));
    for (bool ended = false; step(s, &p);) {
        ended = ended || run_of(&p, 2, 0) >= 0;
        assert_true(ended == (run_of(&p, 1, 0) < 0));
    }
    assert_int_equal(stats(s).n_preempt, 0);
    sched_free(s);
}

static void pages_by_themselves(void **state)
{
    struct pages     *p;
    struct err        e;
    struct pages_stats st;
    const int32_t     ab[] = { 1, 2 }, cd[] = { 3, 4 };
    int               refs[4] = { 0 };
    (void)state;

    assert_ok(pages_new(4, 0, 2, &p, &e));
    int32_t a = pages_take(p), b = pages_take(p), c = pages_take(p), d = pages_take(p);
    assert_true(a >= 0 && b >= 0 && c >= 0 && d >= 0 && pages_take(p) == -1);
    struct pages_link root = { true, 9 }, other = { true, 8 };
    assert_int_equal(pages_publish(p, a, root, ab), a);
    struct pages_link under = { false, pages_serial(p, a) };
    assert_int_equal(pages_publish(p, b, under, cd), b);
    assert_int_equal(pages_publish(p, c, root, ab), a); // known already: c is free again
    assert_int_equal(pages_refs(p, a), 2);
    assert_int_equal(pages_avail(p), 1);
    refs[a] = 2, refs[b] = 1, refs[d] = 1;
    assert_true(pages_check(p, refs, NULL));
    refs[a] = 1;
    assert_false(pages_check(p, refs, NULL)); // the check can fail

    assert_int_equal(pages_find(p, other, ab), -1);
    assert_int_equal(pages_find(p, root, cd), -1);
    /* a salt that is the number of a page, and a page's number taken for a salt */
    assert_int_equal(pages_find(p, (struct pages_link){ true, pages_serial(p, a) }, cd), -1);
    assert_int_equal(pages_find(p, (struct pages_link){ false, 9 }, ab), -1);

    pages_drop(p, b);
    pages_drop(p, a);
    pages_drop(p, a);
    pages_drop(p, d);
    pages_stats(p, &st);
    assert_true(st.n_free == 2 && st.n_cached == 2 && st.n_used == 0);
    assert_int_equal(pages_find(p, root, ab), a);
    assert_int_equal(pages_find(p, under, cd), b);
    pages_drop(p, b);
    pages_drop(p, a);
    for (int i = 0; i < 3; i++) assert_true(pages_take(p) != a); // the child goes before the parent
    assert_int_equal(pages_find(p, under, cd), -1);
    assert_int_equal(pages_find(p, root, ab), a);
    pages_free(p);
    pages_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_have_numbers),
        cmocka_unit_test(prompts_are_cut_in_pieces),
        cmocka_unit_test(decoding_comes_first),
        cmocka_unit_test(tokens_follow_the_protocol),
        cmocka_unit_test(a_failed_pass_is_repeated),
        cmocka_unit_test(echo_wants_every_position),
        cmocka_unit_test(prefixes_are_shared),
        cmocka_unit_test(who_comes_together_computes_once),
        cmocka_unit_test(least_recently_used_goes_first),
        cmocka_unit_test(a_flood_does_not_drown_others),
        cmocka_unit_test(service_is_equal),
        cmocka_unit_test(priorities_are_weights),
        cmocka_unit_test(idleness_is_no_credit),
        cmocka_unit_test(the_lowest_gives_way),
        cmocka_unit_test(the_largest_that_fits_always_ends),
        cmocka_unit_test(nobody_overtakes_by_being_smaller),
        cmocka_unit_test(admission_reserves),
        cmocka_unit_test(prompts_do_not_block_each_other),
        cmocka_unit_test(giving_way_has_an_end),
        cmocka_unit_test(cancel_at_any_moment),
        cmocka_unit_test(planned_memory_stays),
        cmocka_unit_test(freed_while_busy),
        cmocka_unit_test(deadlines_are_the_callers), cmocka_unit_test(texts_are_only_read),
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(no_malloc_after_adding),
        cmocka_unit_test(cancelling_leaks_no_page),
        cmocka_unit_test(salts_never_share),
        cmocka_unit_test(context_shift),
        cmocka_unit_test(no_shift),
        cmocka_unit_test(window_pages_do_not_grow),
        cmocka_unit_test(prefix_needs_its_window),
        cmocka_unit_test(windows_bound_admission),
        cmocka_unit_test(pages_by_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
