/* stop_test.c - stop sequences against a search that looks at the whole text at once. */
#include "unit.h"

#include "base/limits.h"
#include "base/rng.h"
#include "chat/stop.h"

/* By the words of stop.h: the earliest end; on the same end the earliest begin. */
static int naive(struct str text, const struct str *seq, int n, size_t *before)
{
    for (size_t end = 1; end <= text.n; end++) {
        int best = -1;
        for (int i = 0; i < n; i++)
            if (seq[i].n <= end && !memcmp(text.p + end - seq[i].n, seq[i].p, seq[i].n)
                && (best < 0 || seq[i].n > seq[best].n))
                best = i;
        if (best < 0) continue;
        *before = end - seq[best].n;
        return best;
    }
    *before = text.n;
    return -1;
}

/* Put text in pieces of `piece` bytes; what came out, and which sequence hit. `least`: text must
 * not be held longer than a head of a sequence can explain. */
static int run(struct str text, const struct str *seq, int n, size_t piece, struct buf *out)
{
    struct stop st;
    struct err  e = { 0 };
    int         hit = -1;

    assert_ok(stop_init(&st, seq, n, &e));
    buf_clear(out);
    for (size_t at = 0; at < text.n && hit < 0; at += piece) {
        struct stop_out o = stop_put(&st, str_sub(text, at, piece));
        buf_str(out, o.head);
        buf_str(out, o.text);
        hit = o.hit;
        if (hit >= 0) continue;
        size_t seen = at + piece < text.n ? at + piece : text.n;
        assert_int_equal(out->n + st.n_held, seen);
        /* what is held is the head of a sequence, and nothing longer would be */
        bool head = st.n_held == 0;
        for (int i = 0; i < n; i++) {
            for (size_t k = seq[i].n - 1; k > st.n_held; k--)
                if (k <= seen && !memcmp(text.p + seen - k, seq[i].p, k)) fail_msg("held too little");
            if (st.n_held < seq[i].n && !memcmp(seq[i].p, text.p + out->n, st.n_held)) head = true;
        }
        assert_true(head);
    }
    if (hit < 0) buf_str(out, stop_end(&st));
    assert_int_equal(stop_put(&st, STR("more")).text.n, 0); // after a hit and after the end
    stop_release(&st);
    return hit;
}

static void stop_examples(void **state)
{
    (void)state;
    static const struct {
        const char *text, *seq[3], *out;
        int         hit;
    } rows[] = {
        { "one\ntwo", { "\n" }, "one", 0 },
        { "a###b", { "####", "###" }, "a", 1 },
        { "xxabcd", { "abcd", "bc" }, "xxa", 1 }, // ends first
        { "xabc", { "bc", "abc" }, "x", 1 },      // same end: began first
        { "aaab", { "aab" }, "a", 0 },
        { "no stop at all ##", { "###" }, "no stop at all ##", -1 },
        { "STOP", { "STOP" }, "", 0 },
        { "h\xC3\xA9llo", { "\xA9l" }, "h\xC3", 0 }, // bytes, not characters
        { "ab", { "b", "b" }, "a", 0 },
        { "ababac", { "abac", "babb" }, "ab", 0 },
    };
    struct buf out;

    buf_init(&out, 1000);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str seq[3];
        int        n = 0;
        while (n < 3 && rows[i].seq[n]) seq[n] = str_c(rows[i].seq[n]), n++;
        for (size_t piece = 1; piece < 20; piece++) {
            assert_int_equal(run(str_c(rows[i].text), seq, n, piece, &out), rows[i].hit);
            assert_str(buf_text(&out), rows[i].out);
        }
    }
    buf_release(&out);
}

static void stop_random(void **state)
{
    (void)state;
    struct rng r;
    struct buf out;

    rng_seed(&r, 7);
    buf_init(&out, 1000);
    for (int round = 0; round < 20000; round++) {
        char       text[60], mem[6][8];
        struct str seq[6];
        int        n = (int)rng_below(&r, 6) + 1;
        for (int i = 0; i < n; i++) {
            seq[i] = (struct str){ mem[i], rng_below(&r, 8) + 1 };
            for (size_t k = 0; k < seq[i].n; k++) mem[i][k] = (char)('a' + rng_below(&r, 2));
        }
        for (size_t k = 0; k < sizeof text; k++)
            text[k] = (char)('a' + (rng_below(&r, 12) ? rng_below(&r, 2) : 2));
        struct str t = { text, rng_below(&r, sizeof text + 1) };
        size_t     before;
        int        want = naive(t, seq, n, &before);
        int        got = run(t, seq, n, rng_below(&r, 9) + 1, &out);
        if ((want < 0) != (got < 0) || (want >= 0 && !str_eq(seq[want], seq[got])))
            fail_msg("round %d: hit %d, want %d", round, got, want);
        assert_true(str_eq(buf_text(&out), str_sub(t, 0, before)));
    }
    buf_release(&out);
}

static void stop_limits(void **state)
{
    (void)state;
    static char long_[LIM_STOP_BYTES + 1];
    struct str  seq[LIM_STOPS + 1];
    struct stop st;
    struct err  e;

    memset(long_, 'a', sizeof long_);
    for (int i = 0; i <= LIM_STOPS; i++) seq[i] = (struct str){ long_, LIM_STOP_BYTES - (size_t)i };
    assert_err(stop_init(&st, seq, LIM_STOPS + 1, &e), ERR_INVALID_VALUE, "the limit is 16");
    stop_release(&st);
    seq[3].n = 0;
    assert_err(stop_init(&st, seq, 4, &e), ERR_INVALID_VALUE, "stop sequence 3 has 0 bytes");
    seq[3].n = LIM_STOP_BYTES + 1;
    assert_err(stop_init(&st, seq, 4, &e), ERR_INVALID_VALUE, "1025 bytes");
    for (uint64_t i = 1; i <= 3; i++) {
        mem_fail_at(i);
        assert_err(stop_init(&st, seq, 3, &e), ERR_NO_MEMORY, "stop");
        stop_release(&st);
    }
    mem_fail_at(0);

    assert_ok(stop_init(&st, NULL, 0, &e)); // nothing to stop at: all goes straight through
    assert_str(stop_put(&st, STR("text")).text, "text");
    assert_int_equal(stop_end(&st).n, 0);
    stop_release(&st);

    /* the longest sequence, nearly, a thousand times over: linear or this does not end */
    assert_ok(stop_init(&st, seq, 1, &e));
    size_t n = 0;
    for (int i = 0; i < 2000; i++) {
        struct stop_out o = stop_put(&st, (struct str){ long_, LIM_STOP_BYTES - 1 });
        n += o.head.n + o.text.n;
        if (o.hit >= 0) break;
        o = stop_put(&st, STR("b"));
        n += o.head.n + o.text.n;
        assert_int_equal(o.hit, -1);
    }
    assert_int_equal(n, 2000 * LIM_STOP_BYTES);
    stop_release(&st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_examples),
        cmocka_unit_test(stop_random),
        cmocka_unit_test(stop_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
