/* sched_sim_test.c - a day of traffic through the scheduler, with an engine that only remembers.
 *
 * The engine has a shadow of the KV cache: for each slot the hash of all tokens up to and including
 * its position. A run must find the hash of its own text in every slot before it, so a page that
 * was overwritten, mixed up or shared wrongly shows at once; where there is a window, the same of window pages
 * for the positions that it covers. The next token is a function of the
 * text, so every answer can be computed alone and compared: preempted, shared or cut in pieces, it
 * is the same.
 *
 *     SIM_SEED=7 SIM_STEPS=100000 sched_sim_test
 */
#include "unit.h"

#include "base/rng.h"
#include "sched/sched.h"

enum { MAX_TOK = 512, MAX_GEN = 512, MAX_CHOICE = 4, VOCAB = 50, MAX_ALIVE = 512, MAX_LATE = 64 };

/* What the machine and the traffic are like. */
struct world {
    const char       *name;
    struct sched_conf conf;
    int  n_key;                  // tenants; the first sends half of all
    int  arrive, cancel;         // in 1000 steps
    int  fail;                   // in 1000 passes
    int  late;                   // in 1000 sampled tokens: comes a few steps later
    int  prompt_max, answer_max; // tokens
    int  priorities;             // from -p to p
    bool copies;                 // answers repeat what was said
};

static const struct world worlds[] = {
    { "roomy", { .n_seq = 16, .n_queue = 64, .n_ctx = 400, .n_page = 400, .page_tok = 16, .n_batch = 128,
                 .n_prefill = 32, .prefix = true },
      .n_key = 5, .arrive = 150, .cancel = 20, .late = 30, .prompt_max = 250, .answer_max = 100, .priorities = 1 },
    { "tight", { .n_seq = 24, .n_queue = 40, .n_ctx = 200, .n_page = 40, .page_tok = 8, .n_batch = 64,
                 .n_prefill = 16, .prefix = true },
      .n_key = 3, .arrive = 120, .cancel = 30, .fail = 20, .late = 50, .prompt_max = 120, .answer_max = 120,
      .priorities = 3 },
    { "tokens", { .n_seq = 6, .n_queue = 20, .n_ctx = 100, .n_page = 120, .page_tok = 1, .n_batch = 20,
                  .n_prefill = 7, .prefix = true },
      .n_key = 2, .arrive = 60, .cancel = 10, .fail = 5, .late = 0, .prompt_max = 110, .answer_max = 60 },
    { "unshared", { .n_seq = 8, .n_queue = 30, .n_ctx = 300, .n_page = 30, .page_tok = 16, .n_batch = 50,
                    .n_prefill = 50, .prefix = false },
      .n_key = 4, .arrive = 60, .cancel = 10, .late = 10, .prompt_max = 200, .answer_max = 80, .priorities = 1 },
    { "drafts", { .n_seq = 6, .n_queue = 30, .n_ctx = 400, .n_page = 60, .page_tok = 8, .n_batch = 40, .n_prefill = 16,
                  .prefix = true, .n_draft = 7, .n_draft_seq = 4 },
      .n_key = 3, .arrive = 40, .cancel = 15, .fail = 20, .late = 20, .prompt_max = 150, .answer_max = 150, .priorities = 1,
      .copies = true },
    { "one", { .n_seq = 1, .n_queue = 10, .n_ctx = 512, .n_page = 3, .page_tok = 64, .n_batch = 10,
               .n_prefill = 1, .prefix = true },
      .n_key = 1, .arrive = 8, .cancel = 2, .prompt_max = 200, .answer_max = 40 },
    /* windows: room for all; of one position; hardly room for two windows; pages of one position */
    { "windows", { .n_seq = 16, .n_queue = 64, .n_ctx = 400, .n_page = 400, .page_tok = 16, .n_batch = 128,
                   .n_prefill = 32, .n_swa = 40, .n_win = 150, .prefix = true },
      .n_key = 5, .arrive = 150, .cancel = 20, .late = 30, .prompt_max = 250, .answer_max = 100, .priorities = 1 },
    { "narrow", { .n_seq = 8, .n_queue = 30, .n_ctx = 300, .n_page = 90, .page_tok = 8, .n_batch = 50,
                  .n_prefill = 16, .n_swa = 1, .n_win = 12, .prefix = true },
      .n_key = 2, .arrive = 60, .cancel = 10, .fail = 10, .late = 10, .prompt_max = 200, .answer_max = 80 },
    { "squeezed", { .n_seq = 24, .n_queue = 40, .n_ctx = 200, .n_page = 70, .page_tok = 8, .n_batch = 64,
                    .n_prefill = 16, .n_swa = 30, .n_win = 12, .prefix = true },
      .n_key = 3, .arrive = 120, .cancel = 30, .fail = 20, .late = 50, .prompt_max = 120, .answer_max = 120,
      .priorities = 3 },
    { "slots", { .n_seq = 6, .n_queue = 20, .n_ctx = 100, .n_page = 120, .page_tok = 1, .n_batch = 20,
                 .n_prefill = 7, .n_swa = 5, .n_win = 30, .prefix = true },
      .n_key = 2, .arrive = 60, .cancel = 10, .fail = 5, .prompt_max = 110, .answer_max = 60 },
    { "no cache", { .n_seq = 8, .n_queue = 30, .n_ctx = 300, .n_page = 150, .page_tok = 16, .n_batch = 50,
                    .n_prefill = 50, .n_swa = 100, .n_win = 30, .prefix = false },
      .n_key = 4, .arrive = 60, .cancel = 10, .late = 10, .prompt_max = 200, .answer_max = 80, .priorities = 1 },
    { "all of it", { .n_seq = 8, .n_queue = 30, .n_ctx = 300, .n_page = 90, .page_tok = 16, .n_batch = 50,
                     .n_prefill = 50, .n_swa = 290, .n_win = 60, .prefix = true },
      .n_key = 4, .arrive = 60, .cancel = 10, .late = 10, .prompt_max = 200, .answer_max = 80, .priorities = 1 },
};

struct answer {
    int32_t   tok[MAX_TOK];      // prompt and answer
    uint64_t  hash[MAX_TOK + 1]; // of the first i tokens
    int       n;
    int32_t   draft[16]; // of its last run
    int       n_draft;
    int32_t   gen[MAX_GEN];      // all that was generated
    int       n_gen;
    bool      ended;
    bool      ready;             // its token was fed: it must decode in the next plan
};

struct request {
    uint64_t      id, salt, born; // born: step
    int           n_prompt, n_max, n_choice, n_echo;
    bool          echo, ran, shift;
    int           n_keep;
    int32_t       prompt[MAX_TOK];
    struct answer a[MAX_CHOICE];
};

struct late {
    uint64_t  id, due;
    sched_seq seq;
    int       choice;
    int32_t   tok;
};

struct sim {
    const struct world *w;
    struct sched       *s;
    struct rng          rng;
    uint64_t            step, n_id, digest;
    struct request     *alive[MAX_ALIVE];
    int                 n_alive;
    uint64_t           *kv;      // [n_page][page_tok] hash, 0: garbage
    uint64_t           *writer;  // [n_page] pass in which it was last written
    uint64_t           *win_kv, *win_writer; // the same of window pages
    struct late         late[MAX_LATE];
    int                 n_late;
    int                 n_lost; // what is fed now may belong to a sequence without pages
    int32_t             talk[8][MAX_TOK]; // conversations that later requests continue
    int                 n_talk[8];
    uint64_t            n_done, n_refused, n_full, n_cancel, n_token, n_cached, n_failed, n_shift, max_wait, max_life;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static int below(struct sim *m, int n)
{
    return n > 0 ? (int)rng_below(&m->rng, (uint64_t)n) : 0;
}

static bool chance(struct sim *m, int in_1000)
{
    return below(m, 1000) < in_1000;
}

/* The model: after the first n tokens, for this choice. -1 ends the answer. One that copies mostly says what it said a
 * while ago. */
static int32_t next_token(const struct world *w, const int32_t *tok, int n, uint64_t hash, int choice)
{
    uint64_t h = mix(hash, (uint64_t)choice + 77);
    if (w->copies && n >= 9 && h % 12 > 0) return tok[n - 9];
    return h % 61 == 0 ? -1 : (int32_t)(h / 61 % VOCAB);
}

static void say(struct answer *a, int32_t tok)
{
    a->tok[a->n]      = tok;
    a->hash[a->n + 1] = mix(a->hash[a->n], (uint64_t)tok + 1);
    a->n++;
}

/* The context's end: half of what is behind the first `keep` tokens goes, and all positions are new. */
static bool drop_oldest(struct answer *a, int keep, uint64_t salt)
{
    int n = a->n, from = keep + (n - keep) / 2;

    if (from == keep) return false;
    a->hash[0] = mix(salt, 12345);
    a->n = 0;
    for (int i = 0; i < keep; i++) say(a, a->tok[i]);
    for (int i = from; i < n; i++) say(a, a->tok[i]);
    return true;
}

/* Tokens that a sequence can have. */
static int room_of(const struct sched_conf *c)
{
    return c->n_page * c->page_tok < c->n_ctx ? c->n_page * c->page_tok : c->n_ctx;
}

static int keep_of(const struct sched_conf *c, const struct request *r)
{
    return r->n_keep < room_of(c) / 2 ? r->n_keep : room_of(c) / 2;
}

static bool shifts(const struct sched_conf *c, const struct request *r)
{
    return r->shift && r->n_max > room_of(c) - r->n_prompt;
}

static struct request *find(const struct sim *m, uint64_t id)
{
    for (int i = 0; i < m->n_alive; i++)
        if (m->alive[i]->id == id) return m->alive[i];
    return NULL;
}

static void bury(struct sim *m, struct request *r)
{
    int i = 0;
    while (m->alive[i] != r) i++;
    m->alive[i] = m->alive[--m->n_alive];
    free(r);
}

/* --- arrivals --- */

static int make_prompt(struct sim *m, int32_t *tok)
{
    int talk = below(m, 8), n = 0, max = 1 + below(m, m->w->prompt_max);

    if (chance(m, 700)) { // goes on from what was said before, or from a part of it
        n = m->n_talk[talk] < max ? m->n_talk[talk] : max;
        memcpy(tok, m->talk[talk], sizeof *tok * (size_t)n);
    }
    while (n < max) tok[n++] = below(m, VOCAB);
    if (chance(m, 300)) {
        memcpy(m->talk[talk], tok, sizeof *tok * (size_t)n);
        m->n_talk[talk] = n;
    }
    return n;
}

static void arrive(struct sim *m)
{
    const struct world *w = m->w;
    struct request     *r = calloc(1, sizeof *r);
    int32_t             prompt[MAX_TOK];
    struct err          e;
    int                 key = below(m, 2) ? 0 : below(m, w->n_key);

    r->id       = ++m->n_id;
    r->salt     = (uint64_t)key / 2; // some tenants share, others do not
    r->born     = m->step;
    r->n_prompt = make_prompt(m, prompt);
    r->n_max    = chance(m, 100) ? -1 : 1 + below(m, w->answer_max);
    r->n_choice = chance(m, 200) ? 1 + below(m, MAX_CHOICE) : 1;
    r->echo     = chance(m, 50);
    r->shift    = chance(m, 100);
    r->n_keep   = below(m, 40);
    if (r->shift) r->n_max = 1 + below(m, MAX_GEN - 1);
    memcpy(r->prompt, prompt, sizeof *prompt * (size_t)r->n_prompt);
    for (int c = 0; c < r->n_choice; c++) {
        r->a[c].hash[0] = mix(r->salt, 12345);
        for (int i = 0; i < r->n_prompt; i++) say(&r->a[c], prompt[i]);
    }
    struct sched_req req = {
        .id = r->id, .key = (uint64_t)key, .salt = r->salt, .priority = below(m, 2 * w->priorities + 1) - w->priorities,
        .tok = prompt, .n_tok = r->n_prompt, .n_max = r->n_max, .n_choice = r->n_choice, .echo = r->echo,
        .shift = r->shift, .n_keep = r->n_keep, .user = r,
    };
    int rc = m->n_alive < MAX_ALIVE ? sched_add(m->s, &req, &e) : -ERR_QUEUE_FULL;
    if (rc == 0) {
        m->alive[m->n_alive++] = r;
        return;
    }
    if (rc == -ERR_QUEUE_FULL) m->n_full++;
    else {
        int room = w->conf.n_page * w->conf.page_tok;
        assert_true(rc == -ERR_TOO_LARGE || rc == -ERR_CONTEXT_LENGTH);
        assert_true(r->n_prompt + 1 > w->conf.n_ctx || r->n_prompt + 1 > room ||
                    r->n_choice > w->conf.n_seq + w->conf.n_queue);
        m->n_refused++;
    }
    free(r);
}

static void hang_up(struct sim *m)
{
    if (m->n_alive == 0) return;
    struct request *r = m->alive[below(m, m->n_alive)];
    assert_true(sched_cancel(m->s, r->id));
    assert_false(sched_cancel(m->s, r->id));
    bury(m, r);
    m->n_cancel++;
}

/* --- the engine --- */

static uint64_t *slot(struct sim *m, const struct engine_run *run, int pos)
{
    int pt = m->w->conf.page_tok;
    int page = run->page[pos / pt];
    assert_true(page >= 0 && page < m->w->conf.n_page);
    return &m->kv[(size_t)page * (size_t)pt + (size_t)(pos % pt)];
}

static uint64_t *win_slot(struct sim *m, const struct engine_run *run, int pos)
{
    int pt = m->w->conf.page_tok;
    int win = run->win[pos / pt];
    assert_true(win >= 0 && win < m->w->conf.n_win);
    return &m->win_kv[(size_t)win * (size_t)pt + (size_t)(pos % pt)];
}

/* The layers with a window: what the run's first token sees, then what the run writes. */
static void forward_windows(struct sim *m, const struct engine_run *run, const struct answer *a, bool ok)
{
    const struct sched_conf *c = &m->w->conf;
    int first = run->pos + 1 > c->n_swa ? run->pos + 1 - c->n_swa : 0;

    assert_true(run->win);
    for (int p = first; p < run->pos; p++)
        if (*win_slot(m, run, p) != a->hash[p + 1])
            fail_msg("%s step %llu: window position %d of %d holds foreign text", m->w->name,
                     (unsigned long long)m->step, p, run->pos);
    for (int p = run->pos; p < run->pos + run->n_tok; p++) {
        uint64_t *w = &m->win_writer[run->win[p / c->page_tok]];
        if (*w == m->step && p % c->page_tok == 0) fail_msg("window page %d is written twice", run->win[p / c->page_tok]);
        *win_slot(m, run, p) = ok ? a->hash[p + 1] : 0;
        *w = m->step;
    }
}

static void forward_run(struct sim *m, const struct engine_run *run, const struct sched_run *sr, bool ok)
{
    const int       pt = m->w->conf.page_tok;
    struct request *r  = sr->user;
    struct answer  *a  = &r->a[sr->choice];

    int own = run->n_tok - sr->n_draft; // not guessed
    assert_true(own >= 1 && run->pos >= 0 && run->pos + own <= a->n);
    assert_true(run->pos + run->n_tok <= m->w->conf.n_ctx && sr->n_draft <= m->w->conf.n_draft);
    assert_true(sr->n_draft == 0 || (sr->decode && own == 1));
    assert_true(r->id == sr->id && !a->ended);
    for (int i = 0; i < own; i++) assert_true(run->tok[i] == a->tok[run->pos + i]);
    for (int p = 0; p < run->pos; p++)
        if (*slot(m, run, p) != a->hash[p + 1])
            fail_msg("%s step %llu: request %llu reads foreign text at position %d of %d", m->w->name,
                     (unsigned long long)m->step, (unsigned long long)r->id, p, run->pos);
    for (int p = run->pos; p < run->pos + run->n_tok; p++) {
        uint64_t *w = &m->writer[run->page[p / pt]];
        if (*w == m->step * 1000 + 999) fail_msg("two runs write page %d", run->page[p / pt]);
        *slot(m, run, p) = !ok ? 0 : p < run->pos + own ? a->hash[p + 1]
                                 : mix(*slot(m, run, p - 1), (uint64_t)run->tok[p - run->pos] + 1);
    }
    if (m->w->conf.n_swa) forward_windows(m, run, a, ok);
    else assert_true(run->win == NULL);
    m->writer[run->page[(run->pos + run->n_tok - 1) / pt]] = m->step * 1000 + 999;
    m->writer[run->page[run->pos / pt]] = m->step * 1000 + 999;

    assert_true(sr->sample == (run->pos + own == a->n));
    assert_true(run->n_logits == (sr->n_echo ? sr->n_echo : sr->sample + sr->n_draft));
    a->n_draft = sr->n_draft;
    memcpy(a->draft, run->tok + own, sizeof *a->draft * (size_t)sr->n_draft);
    if (!ok) return;
    if (sr->n_echo) { // each position of the prompt once, in order
        assert_true(r->echo && sr->choice == 0 && sr->pos_echo == r->n_echo);
        assert_true(sr->pos_echo + sr->n_echo == run->pos + run->n_tok);
        r->n_echo += sr->n_echo;
    }
    if (r->echo && sr->choice == 0 && sr->sample) assert_true(r->n_echo == r->n_prompt && sr->n_cached == 0);
    if (sr->sample) assert_true(sr->n_cached < r->n_prompt && sr->n_cached % pt == 0);
}

static void check_plan(struct sim *m, const struct sched_plan *plan, uint64_t preempted)
{
    const struct sched_conf *c = &m->w->conf;
    int n = 0, n_decode = 0, n_draft = 0, n_ready = 0;

    for (int i = 0; i < plan->batch.n_run; i++) {
        const struct sched_run *sr = &plan->run[i];
        n += plan->batch.run[i].n_tok;
        n_decode += sr->decode;
        n_draft += sr->n_draft;
        for (int k = 0; k < i; k++) assert_true(plan->run[k].seq != sr->seq);
        ((struct request *)sr->user)->a[sr->choice].ready = false;
        m->digest = mix(m->digest, sr->id * 64 + (uint64_t)plan->batch.run[i].n_tok);
        m->digest = mix(m->digest, (uint64_t)plan->batch.run[i].page[0]);
    }
    assert_true(n == plan->n_tok && n_decode == plan->n_decode && n <= c->n_batch);
    if (n_decode) assert_true(n - n_decode - n_draft <= c->n_prefill);

    /* Everybody whose token came has his turn, unless somebody had to give way. */
    for (int i = 0; i < m->n_alive; i++)
        for (int k = 0; k < m->alive[i]->n_choice; k++) {
            n_ready += m->alive[i]->a[k].ready;
            m->alive[i]->a[k].ready = false;
        }
    struct sched_stats st;
    sched_stats(m->s, &st);
    if (st.n_preempt == preempted) assert_true(n_ready == 0);
}

/* --- what comes after a pass --- */

static void end_choice(struct sim *m, struct request *r, int choice, sched_seq seq)
{
    struct answer *a = &r->a[choice];
    const struct sched_conf *conf = &m->w->conf;
    static struct answer alone;

    /* The answer that this prompt gets alone. */
    alone.n = 0;
    alone.hash[0] = mix(r->salt, 12345);
    for (int i = 0; i < r->n_prompt; i++) say(&alone, r->prompt[i]);
    for (int i = 0; i < a->n_gen; i++) {
        assert_true(next_token(m->w, alone.tok, alone.n, alone.hash[alone.n], choice) == a->gen[i]);
        say(&alone, a->gen[i]);
        if (alone.n == room_of(conf) && i + 1 < a->n_gen) {
            m->n_shift++;
            assert_true(shifts(conf, r) && drop_oldest(&alone, keep_of(conf, r), r->salt));
        }
    }
    assert_true(sched_finish(m->s, seq));
    assert_false(sched_finish(m->s, seq));
    assert_true(sched_token(m->s, seq, 0) == SCHED_GONE);
    a->ended = true;
    for (int c = 0; c < r->n_choice; c++)
        if (!r->a[c].ended) return;
    if (m->step - r->born > m->max_life) m->max_life = m->step - r->born;
    if (below(m, 4) == 0) { // somebody goes on from here
        int t = below(m, 8);
        memcpy(m->talk[t], a->tok, sizeof *a->tok * (size_t)a->n);
        m->n_talk[t] = a->n;
    }
    m->n_done++;
    bury(m, r);
}

static void feed(struct sim *m, struct request *r, int choice, sched_seq seq, int32_t tok)
{
    if (tok < 0) {
        end_choice(m, r, choice, seq);
        return;
    }
    struct answer  *a    = &r->a[choice];
    enum sched_more more = sched_token(m->s, seq, tok);
    assert_true(more != SCHED_GONE);
    say(a, tok);
    a->gen[a->n_gen++] = tok;
    m->n_token++;
    /* a guess that came true: unless it has lost its pages, the next row is there, and is sampled as any other */
    bool hit = a->n_draft > 0 && a->draft[0] == tok && m->n_lost == 0;
    if (m->n_lost == 0) assert_true((more == SCHED_NEXT) == hit);
    if (more == SCHED_NEXT) {
        memmove(a->draft, a->draft + 1, sizeof *a->draft * (size_t)--a->n_draft);
        assert_true(sched_check(m->s));
        feed(m, r, choice, seq, next_token(m->w, a->tok, a->n, a->hash[a->n], choice));
        return;
    }
    a->n_draft = 0;
    assert_true(sched_token(m->s, seq, tok) == SCHED_GONE); // one token for one row

    const struct sched_conf *c = &m->w->conf;
    int room = room_of(c);
    if (shifts(c, r)) {
        bool end = a->n_gen == r->n_max, moved = !end && a->n == room && drop_oldest(a, keep_of(c, r), r->salt);
        assert_true((more == SCHED_FULL) == (end || (a->n == room && !moved)));
        if (more == SCHED_FULL) end_choice(m, r, choice, seq);
        else a->ready = !moved;
        return;
    }
    int most = r->n_max < 0 || r->n_prompt + r->n_max > room ? room : r->n_prompt + r->n_max;
    assert_true((more == SCHED_FULL) == (a->n == most));
    if (more == SCHED_FULL) end_choice(m, r, choice, seq);
    else a->ready = true;
}

static void feed_late(struct sim *m, bool all)
{
    for (int i = 0; i < m->n_late;) {
        struct late l = m->late[i];
        if (!all && l.due > m->step) {
            i++;
            continue;
        }
        m->late[i] = m->late[--m->n_late];
        struct request *r = find(m, l.id);
        if (r) {
            m->n_lost = 1; // it may have lost its pages meanwhile
            feed(m, r, l.choice, l.seq, l.tok);
            m->n_lost = 0;
            if (find(m, l.id)) r->a[l.choice].ready = false;
        } else assert_true(sched_token(m->s, l.seq, 1) == SCHED_GONE);
    }
}

static bool one_step(struct sim *m, bool traffic)
{
    struct sched_plan  plan;
    struct sched_stats st;

    m->step++;
    if (traffic) {
        int burst = below(m, 1000) < m->w->arrive ? 1 + below(m, 3) : 0;
        for (int i = 0; i < burst; i++) arrive(m);
        if (chance(m, m->w->cancel)) hang_up(m);
    }
    feed_late(m, false);

    sched_stats(m->s, &st);
    sched_plan(m->s, &plan);
    check_plan(m, &plan, st.n_preempt);
    assert_true(sched_check(m->s));
    if (plan.batch.n_run == 0) {
        assert_true(m->n_alive == 0 || m->n_late > 0);
        feed_late(m, true);
        return m->n_alive > 0;
    }

    bool ok = !chance(m, m->w->fail);
    m->n_failed += !ok;
    for (int i = 0; i < plan.batch.n_run; i++) {
        struct request *r = plan.run[i].user;
        forward_run(m, &plan.batch.run[i], &plan.run[i], ok);
        if (!r->ran && m->step - r->born > m->max_wait) m->max_wait = m->step - r->born;
        r->ran = true;
        assert_true(sched_is_running(m->s, r->id));
    }
    /* What is to be sampled is noted before somebody hangs up in the middle. */
    static struct late got[64];
    int                n = 0;
    for (int i = 0; ok && i < plan.batch.n_run; i++) {
        const struct sched_run *sr = &plan.run[i];
        const struct answer    *a  = &((struct request *)sr->user)->a[sr->choice];
        if (!sr->sample) continue;
        assert_true(n < 64);
        got[n++] = (struct late){ sr->id, m->step + 1 + (uint64_t)below(m, 20), sr->seq, sr->choice,
                                  next_token(m->w, a->tok, a->n, a->hash[a->n], sr->choice) };
    }
    if (traffic && chance(m, m->w->cancel)) {
        hang_up(m);
        assert_true(sched_check(m->s));
    }
    sched_done(m->s, ok);
    assert_true(sched_check(m->s));
    for (int i = 0; i < n; i++) {
        struct request *r = find(m, got[i].id);
        if (!r) assert_true(sched_token(m->s, got[i].seq, 1) == SCHED_GONE);
        else if (chance(m, m->w->late) && m->n_late < MAX_LATE) m->late[m->n_late++] = got[i];
        else feed(m, r, got[i].choice, got[i].seq, got[i].tok);
    }
    return m->n_alive > 0;
}

static uint64_t simulate(const struct world *w, uint64_t seed, uint64_t n_step, bool tell)
{
    static struct sim m;
    struct err        e;
    size_t            n_page = (size_t)w->conf.n_page;

    m = (struct sim){ .w = w };
    rng_seed(&m.rng, seed);
    assert_ok(sched_new(&w->conf, &m.s, &e));
    m.kv     = calloc(n_page * (size_t)w->conf.page_tok, sizeof *m.kv);
    m.writer = calloc(n_page, sizeof *m.writer);
    m.win_kv = calloc((size_t)w->conf.n_win * (size_t)w->conf.page_tok + 1, sizeof *m.win_kv);
    m.win_writer = calloc((size_t)w->conf.n_win + 1, sizeof *m.win_writer);
    for (uint64_t i = 0; i < n_step; i++) one_step(&m, true);

    /* Nobody comes any more: all that is left is served. Each pass computes something, so the work
     * that is there bounds the passes. */
    uint64_t end = m.step;
    while (one_step(&m, false))
        if (m.step - end > 200000) fail_msg("%s: %d requests are never served", w->name, m.n_alive);

    struct sched_stats st;
    sched_stats(m.s, &st);
    assert_true(st.n_running == 0 && st.n_waiting == 0 && st.n_page_used == 0);
    assert_true(st.n_page_free + st.n_page_cached == w->conf.n_page);
    assert_true(st.n_win_used == 0 && st.n_win_free + st.n_win_cached == w->conf.n_win);
    if (tell)
        print_message("%-9s %llu done, %llu cancelled, %llu refused, %llu queue full, %llu tokens, "
                      "%llu preempted, %llu of %llu prompt tokens cached, %llu passes failed, "
                      "%llu shifts, longest wait %llu, life %llu steps\n",
                      w->name, (unsigned long long)m.n_done, (unsigned long long)m.n_cancel,
                      (unsigned long long)m.n_refused, (unsigned long long)m.n_full, (unsigned long long)m.n_token,
                      (unsigned long long)st.n_preempt, (unsigned long long)st.n_tok_cached,
                      (unsigned long long)st.n_tok_prompt, (unsigned long long)m.n_failed,
                      (unsigned long long)m.n_shift, (unsigned long long)m.max_wait, (unsigned long long)m.max_life);
    if (w->conf.n_draft && n_step > 5000) assert_true(st.n_tok_hit > 1000 && st.n_tok_hit < st.n_tok_draft);
    if (!w->conf.n_draft) assert_true(st.n_tok_draft == 0);
    assert_true(m.n_done > 0);
    sched_free(m.s);
    free(m.kv);
    free(m.writer);
    free(m.win_kv);
    free(m.win_writer);
    return m.digest;
}

static uint64_t env_u64(const char *name, uint64_t def)
{
    uint64_t v;
    return getenv(name) && str_to_u64(str_c(getenv(name)), &v) ? v : def;
}

static void a_day(void **state)
{
    uint64_t seed = env_u64("SIM_SEED", 1), steps = env_u64("SIM_STEPS", 15000);
    (void)state;

    print_message("SIM_SEED=%llu SIM_STEPS=%llu\n", (unsigned long long)seed, (unsigned long long)steps);
    for (size_t i = 0; i < ARRAY_LEN(worlds); i++) simulate(&worlds[i], seed, steps, true);
}

static void same_calls_same_plans(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(worlds); i++) {
        uint64_t a = simulate(&worlds[i], 5, 800, false);
        assert_true(a == simulate(&worlds[i], 5, 800, false));
        assert_true(a != simulate(&worlds[i], 6, 800, false));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_calls_same_plans),
        cmocka_unit_test(a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
