/* cpu_window_test.c - window pages with the real scheduler and the real engine: what is let go was not needed.
 *
 * Each text is first run alone, token by token, with a window page of its own for every page of its positions: nothing
 * is ever let go, so that is a cache without windows. Then texts that share their beginnings go through the
 * scheduler with few window pages: cut in pieces, side by side, preempted, continued from known prefixes. Every row
 * of logits must have the same bits. */
#include "cpu_rig.h"

#include "base/rng.h"

enum { TEXTS = 3, LEN = 420, SHARED = 230, PAGES = (LEN + 31) / 32 };

static struct rig open_model(const char *name, int n_thread, int n_seq, int n_batch)
{
    return rig_open(name, NULL, (struct engine_conf){ .n_thread = n_thread, .n_seq = n_seq, .n_batch = n_batch });
}

static int32_t text[TEXTS][LEN];

/* The last two texts begin as the first does, the third for a while longer. */
static void make_texts(struct rng *r, int n_vocab)
{
    for (int t = 0; t < TEXTS; t++)
        for (int i = 0; i < LEN; i++)
            text[t][i] = t && i < SHARED / (3 - t) ? text[0][i] : (int32_t)rng_below(r, (uint64_t)n_vocab);
}

static float *row_of(float *all, int t, int pos, int n_vocab)
{
    return all + (size_t)(t * LEN + pos) * (size_t)n_vocab;
}

/* Rows of all positions of all texts, with a cache that lets nothing go. */
static float *unwindowed(const char *name, int len)
{
    struct err   e = { 0 };
    struct rig m = open_model(name, 1, 1, 640); // a batch of the whole context: so many window pages
    int32_t      page[PAGES];
    int          n = m.info.n_vocab;
    float       *all = malloc((size_t)(TEXTS * LEN * n) * sizeof *all);

    assert_true(m.info.n_swa > 0 && m.info.n_win_page >= (len + 31) / 32);
    for (int i = 0; i < PAGES; i++) page[i] = i;
    for (int t = 0; t < TEXTS; t++)
        for (int p = 0; p < len; p++) {
            const struct engine_run   run = { &text[t][p], 1, p, page, 1, page };
            const struct engine_batch batch = { &run, 1 };
            assert_ok(engine_cpu.forward(m.en, &batch, &e));
            memcpy(row_of(all, t, p, n), engine_cpu.logits(m.en, 0), (size_t)n * sizeof *all);
        }
    rig_close(&m);
    return all;
}

struct told {
    uint64_t cached, preempted;
    int      win_used; // most at once
};

/* One text after another arrives, some twice; each is a prompt of some length and then goes on as it was written. */
static void through_scheduler(const char *name, float *want, int len, int n_thread, int n_seq, int n_batch, int n_page,
                              int n_win, struct rng *r, struct told *told)
{
    struct err    e = { 0 };
    struct rig    m = open_model(name, n_thread, n_seq, n_batch);
    struct sched *s;
    n_page = n_page < m.info.n_kv_page ? n_page : m.info.n_kv_page;
    n_win = n_win < m.info.n_win_page ? n_win : m.info.n_win_page;
    int           n = m.info.n_vocab, left = 30;
    s = rig_sched(&m, (struct sched_conf){ .n_seq = n_seq, .n_queue = 4, .n_ctx = len, .n_page = n_page,
                                           .n_batch = n_batch, .n_prefill = n_batch, .n_win = n_win, .prefix = true });
    for (uint64_t id = 0;;) {
        struct sched_plan plan;
        struct sched_stats st;
        sched_seq took[8];
        int32_t   next[8];
        int       n_took = 0, row = 0;
        if (left && rng_below(r, 3) == 0) {
            int t = (int)rng_below(r, TEXTS);
            int n_tok = 1 + (int)rng_below(r, rng_below(r, 2) ? 20 : (uint64_t)len - 2);
            struct sched_req req = { .id = ++id, .tok = text[t], .n_tok = n_tok, .n_max = 1 + (int)rng_below(r, 150),
                                     .n_choice = 1, .user = text[t] };
            req.echo = left == 5; // the rows of its whole prompt
            if (sched_add(s, &req, &e) == 0) left--;
        }
        sched_plan(s, &plan);
        if (!plan.batch.n_run) {
            if (!left) break;
            continue;
        }
        assert_ok(engine_cpu.forward(m.en, &plan.batch, &e));
        for (int i = 0; i < plan.batch.n_run; i++) {
            const struct engine_run *run = &plan.batch.run[i];
            const struct sched_run  *sr = &plan.run[i];
            int t = (int)((const int32_t(*)[LEN])sr->user - text), end = run->pos + run->n_tok;
            for (int k = 0; k < run->n_logits; k++, row++) {
                int pos = sr->n_echo ? sr->pos_echo + k : end - 1;
                if (memcmp(engine_cpu.logits(m.en, row), row_of(want, t, pos, n), (size_t)n * sizeof(float)))
                    fail_msg("%s, %d window pages: text %d, position %d, run from %d: other bits", name, n_win, t, pos,
                             run->pos);
            }
            if (!sr->sample) continue;
            took[n_took] = sr->seq;
            next[n_took++] = text[t][end < len ? end : 0];
        }
        sched_done(s, true);
        for (int i = 0; i < n_took; i++)
            if (sched_token(s, took[i], next[i]) == SCHED_FULL) sched_finish(s, took[i]);
        assert_true(sched_check(s));
        sched_stats(s, &st);
        if (st.n_win_used > told->win_used) told->win_used = st.n_win_used;
        told->cached = st.n_tok_cached;
        told->preempted = st.n_preempt;
    }
    sched_free(s);
    rig_close(&m);
}

static void windows_of(const char *name, struct told *all)
{
    struct rng   r;
    struct rig m = open_model(name, 1, 1, 8);
    int n_vocab = m.info.n_vocab, len = m.info.n_ctx < LEN ? m.info.n_ctx : LEN;
    int least = (m.info.n_swa + 30) / 32 + 1, pages = (len + 31) / 32;

    rig_close(&m);
    rng_seed(&r, 11);
    make_texts(&r, n_vocab);
    float *want = unwindowed(name, len);
    for (int round = 0; round < 8; round++) {
        static const int batch[] = { 3, 40, 64, 200 };
        struct told told = { 0 };
        int  n_seq = 1 + round % 3;
        bool tight = round & 1;
        through_scheduler(name, want, len, 1 + round % 2, n_seq, batch[round % 4], tight ? pages + 1 : pages * n_seq,
                          tight ? least + (n_seq > 1) : least * n_seq + 1, &r, &told);
        all->cached += told.cached;
        all->preempted += told.preempted;
    }
    free(want);
}

static void same_bits(void **state)
{
    (void)state;
    static const char *const names[] = {
        "gemma3-window", "gemma3-f32", "gemma2-blocks", "gemma2-kvq8", "llama-yarn", "phi3-long", "starcoder2-blocks",
        "gpt-oss-half",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct told told = { 0 };
        windows_of(names[i], &told);
        print_message("%s: %llu tokens from the cache, %llu preempted\n", names[i], (unsigned long long)told.cached,
                      (unsigned long long)told.preempted);
        if (!strcmp(names[i], "gemma3-window")) assert_true(told.cached > 0 && told.preempted > 0);
    }
}

/* Five of six layers keep a window of 40 positions, two or three pages, however long the context is; f32, two heads
 * of 8, values padded to 16. A page of one layer takes 2 * 32 * (8 + 16) * 4 = 6144 bytes. */
enum { LAYER_PAGE = 6144 };

static void memory(void **state)
{
    (void)state;
    struct rig m = open_model("gemma3-window", 1, 4, 32);

    assert_int_equal(m.info.n_swa, 40);
    assert_int_equal(m.info.n_kv_page, 4 * 20);
    assert_int_equal(m.info.n_win_page, 4 * (2 * 3 + 1) + 1);
    assert_int_equal(m.info.kv_bytes, 80 * 1 * LAYER_PAGE + 29 * 5 * LAYER_PAGE);
    rig_close(&m);
}

/* A ceiling cuts both kinds alike, down to one window; below that the file is refused with numbers. */
static void ceiling(void **state)
{
    (void)state;
    struct err     e = { 0 };
    struct engine *en;
    struct engine_info info;
    struct stat    st;
    int fd = open(unit_data("model/gemma3-window.gguf"), O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    const struct engine_file file = { "window.gguf", fd, (uint64_t)st.st_size };
    struct engine_conf conf = { .file = &file, .n_file = 1, .n_thread = 1, .n_seq = 4, .n_batch = 32 };
    for (conf.kv_bytes = LAYER_PAGE * (80 + 29 * 5); conf.kv_bytes >= LAYER_PAGE * 16; conf.kv_bytes -= LAYER_PAGE) {
        assert_ok(engine_cpu.open(&conf, &en, &e));
        engine_cpu.info(en, &info);
        assert_true(info.kv_bytes <= (uint64_t)conf.kv_bytes && info.n_win_page >= 3 && info.n_kv_page >= 1);
        assert_true(info.kv_bytes + 6 * LAYER_PAGE > (uint64_t)conf.kv_bytes);
        engine_cpu.close(en);
    }
    assert_err(engine_cpu.open(&conf, &en, &e), ERR_BAD_CONFIG, "the window 3 of 30720 bytes, the KV cache may have 92160");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory),
        cmocka_unit_test(ceiling),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
