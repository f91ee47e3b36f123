/* tok_scan_test.c - every hand-written scanner against its pattern under PCRE2. */
#include "unit.h"

#include "base/rng.h"
#include "base/utf8.h"
#include "token/tok_pre.h"

/* Characters whose classes PCRE2's Unicode version knows as ours does. */
static uint32_t good[0x30000];
static size_t   n_good;

static bool matches(const struct tok_re *re, const char *s, size_t n)
{
    struct tok_re_run run = { .data = NULL };
    struct err        e   = { 0 };
    size_t            from, to;

    assert_ok(tok_re_start(re, n, &run, &e));
    int rc = tok_re_next(re, &run, s, 0, n, &from, &to, &e);
    tok_re_stop(&run);
    return rc == 1 && from == 0 && to == n;
}

static void classes(void **state)
{
    (void)state;
    static const struct { const char *re; uint8_t set; } row[] = {
        { "[\\p{Lu}\\p{Lt}]", UNI_UPPER }, { "\\p{Ll}", UNI_LOWER }, { "[\\p{Lm}\\p{Lo}]", UNI_OTHER },
        { "\\p{M}", UNI_MARK }, { "\\p{N}", UNI_NUM }, { "\\p{P}", UNI_PUNCT }, { "\\p{S}", UNI_SYM },
        { "\\s", UNI_SPACE }, { "\\p{Cn}", 0 }, { "\\p{Han}", 0 },
    };
    struct tok_re *re[ARRAY_LEN(row)];
    struct err     e = { 0 };
    size_t         newer = 0;

    for (size_t i = 0; i < ARRAY_LEN(row); i++) assert_ok(tok_re_new(str_c(row[i].re), &re[i], &e));
    for (uint32_t cp = 0; cp < ARRAY_LEN(good); cp++) {
        char b[UTF8_MAX];
        if (cp >= 0xD800 && cp < 0xE000) continue;
        size_t  n   = (size_t)utf8_encode(cp, b);
        uint8_t got = uni_class_of(cp), want = 0;
        for (size_t i = 0; i < ARRAY_LEN(row); i++)
            if (row[i].set && matches(re[i], b, n)) want |= row[i].set;
        if (got != want && matches(re[8], b, n)) {
            newer++;
            continue; // assigned since
        }
        if (got != want) fail_msg("U+%04X: class %02x, PCRE2 has %02x", (unsigned)cp, got, want);
        if (uni_is_han(cp) != matches(re[9], b, n)) {
            newer++;
            continue;
        }
        good[n_good++] = cp;
    }
    print_message("%zu characters, %zu are newer than PCRE2's tables\n", n_good, newer);
    assert_true(newer < 6000);
    for (size_t i = 0; i < ARRAY_LEN(row); i++) tok_re_free(re[i]);
}

struct cuts {
    size_t at[4096];
    size_t n;
};

static int note(void *ctx, size_t at, size_t end, struct err *e)
{
    (void)e;
    struct cuts *c = ctx;
    assert_true(at < end && c->n + 2 < ARRAY_LEN(c->at));
    c->at[c->n++] = at;
    c->at[c->n++] = end;
    return 0;
}

/* What decides in patterns: letters of all cases, marks, digits, quotes, signs, every white space. */
static const char *const bits[] = {
    " ", " ", " ", "  ", "\t", "\n", "\n", "\r", "\r\n", "\xC2\xA0", "\xE3\x80\x80", "\xE2\x80\xA8", "\xC2\x85", "\xE1\xA0\x8E",
    "a", "b", "Z", "A", "hello", "World", "s", "t", "re", "LL", "S", "\xC5\xBF", "'", "'s", "'Re", "'ll", "\xE2\x80\x99",
    "1", "2", "345", "1234567", "\xC2\xBD", "\xD9\xA3", "\xE2\x85\xA7", "\xE0\xA5\xA7", ".", ",", "!", "/", "//", "_", "-", "$", "+",
    "<", "|", "`", "~", "^", "(", ")", "\xE3\x80\x82", "\xEF\xBC\x8C", "\xE2\x80\xA6", "\xD8\x8C", "\xE0\xA5\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
    "\xE2\x80\x8D", "\x01", "\x7F", "\xEF\xBF\xBD", "\xC3\xA9", "\xC3\x89", "e\xCC\x81", "\xCC\x81", "\xCC\x88", "\xC7\x85", "\xCA\xB0", "\xCA\xBB",
    "\xE4\xB8\xAD", "\xE6\x96\x87", "\xE3\x80\x85", "\xE3\x80\x87", "\xE2\xBA\x80", "\xE3\x81\x82", "\xE3\x82\xA2", "\xED\x95\x9C", "\xE3\x84\xB1", "\xE3\x84\x85",
    "\xE0\xB8\x81", "\xE0\xA4\xA8\xE0\xA5\x8D", "\xD7\xA9", "\xD9\x85", "\xD0\x96", "\xD0\xB6", "\xEF\xBC\xA1", "\xEF\xBC\x91", "\xF0\xA0\x80\x80", "\xEE\x80\x80",
    "<sentinel:12>", "IMGIMGABZ", "    ", "\xCE\xA9", "\xE2\x84\xAA", "\xEF\xAC\x81", "\xE1\x9A\x80",
};

static size_t random_text(struct rng *r, char *dst, size_t max)
{
    size_t n = 0, want = 1 + rng_below(r, max - 32);
    /* few different parts repeat more, and repetition is where patterns backtrack */
    size_t base = rng_below(r, ARRAY_LEN(bits)), few = rng_below(r, 3) ? 0 : 1 + rng_below(r, 4);

    while (n < want) {
        if (rng_below(r, 6) == 0) {
            n += (size_t)utf8_encode(good[rng_below(r, n_good)], dst + n);
            continue;
        }
        size_t      i = few ? (base + 7 * rng_below(r, few)) % ARRAY_LEN(bits) : rng_below(r, ARRAY_LEN(bits));
        const char *s = bits[i];
        size_t      k = strlen(s);
        memcpy(dst + n, s, k);
        n += k;
    }
    return n;
}

static void compare(const struct pre *a, const struct pre *b, const char *what, const char *text, size_t n)
{
    static struct cuts x, y;
    struct err         e = { 0 };

    x.n = y.n = 0;
    assert_ok(pre_walk(a, text, n, note, &x, NULL, &e));
    assert_ok(pre_walk(b, text, n, note, &y, NULL, &e));
    size_t k = 0;
    while (k < x.n && k < y.n && x.at[k] == y.at[k]) k++;
    if (k == x.n && k == y.n) return;
    char q[400];
    fail_msg("%s: \"%s\" (%zu bytes): scanner cuts at %zu, the pattern at %zu", what,
             str_quote(q, 390, (struct str){ text, n }), n, k < x.n ? x.at[k] : n, k < y.n ? y.at[k] : n);
}

static void scanners(void **state)
{
    (void)state;
    struct rng           r;
    const struct pre_row *row;
    char                 text[512], *env = getenv("TOK_ROUNDS");
    int64_t              rounds = 1500;
    int                  stages = 0;

    if (env) assert_true(str_to_i64(str_c(env), &rounds));
    rng_seed(&r, 20);
    for (size_t i = 0; (row = pre_row_at(i)); i++) {
        struct pre  hand = { .n_stage = 0 }, re = { .n_stage = 0 };
        struct err  e = { 0 };
        assert_ok(pre_init(&hand, row->stage, row->n_stage, &e));
        for (int k = 0; k < row->n_stage; k++) {
            struct scan_stage st = row->stage[k];
            /* pieces from cut to cut, for a pattern that matches nothing but places */
            if (st.kind == SCAN_DIGITS3 && st.flags & SCAN_POINTS)
                st.re = "(?=(?:\\d{3})+(?!\\d))(?s:.)(?:(?!(?<!\\d)(?:\\d{3})+(?!\\d)|(?<=\\d)(?:\\d{3})+(?!\\d))(?s:.))*";
            stages += st.kind != SCAN_REGEX;
            st.kind = SCAN_REGEX;
            assert_ok(pre_add_scan(&re, &st, PRE_ISOLATE, false, &e));
        }
        for (int64_t k = 0; k < rounds; k++) compare(&hand, &re, row->names, text, random_text(&r, text, k % 4 ? 60 : 300));
        pre_release(&hand);
        pre_release(&re);
    }
    print_message("%d scanners, %d texts each\n", stages, (int)rounds);
}

/* The names real files have; a typo in the table would refuse a model. */
static void names(void **state)
{
    (void)state;
    static const char *const want[] = {
        "default", "llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral", "deepseek-llm", "deepseek-coder",
        "deepseek-v3", "falcon", "mpt", "starcoder", "gpt-2", "phi-2", "jina-es", "refact", "command-r", "qwen2",
        "qwen35", "stablelm2", "olmo", "dbrx", "smaug-bpe", "poro-chat", "glm4", "chatglm-bpe", "viking", "jais",
        "tekken", "smollm", "codeshell", "bloom", "gpt3-finnish", "exaone", "exaone4", "chameleon", "minerva-7b",
        "gpt-4o", "llama4", "superbpe", "trillion", "bailingmoe", "seed-coder", "hunyuan", "hunyuan-dense",
        "kimi-k2", "grok-2", "gemma4", "modern-bert", "minimax-m2", "deepseek-r1-qwen", "megrez", "roberta-bpe",
    };

    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        if (!pre_find(str_c(want[i]))) fail_msg("no row for %s", want[i]);
    assert_null(pre_find(STR("llama")));
    assert_null(pre_find(STR("")));
    assert_null(pre_find(STR("llama3 llama-v3")));
}

/* Patterns that would run for hours end with an error, and ordinary ones with long matches do not. */
static void bounded(void **state)
{
    (void)state;
    struct tok_re    *re  = NULL;
    struct tok_re_run run = { .data = NULL };
    struct err        e   = { 0 };
    size_t            n   = 4 << 20, from, to, at = 0;
    char             *s   = malloc(n);

    memset(s, '1', n);
    assert_ok(tok_re_new(STR("\\d{1,3}(?=(?:\\d{3})*\\b)"), &re, &e)); // looks to the end each time
    assert_ok(tok_re_start(re, n, &run, &e));
    int rc;
    while ((rc = tok_re_next(re, &run, s, at, n, &from, &to, &e)) == 1) at = to;
    assert_int_equal(rc, -ERR_TOO_LARGE);
    assert_non_null(strstr(e.msg, "on this text"));
    tok_re_stop(&run);
    tok_re_free(re);

    assert_ok(tok_re_new(STR("\\p{L}+|\\p{N}+"), &re, &e)); // one match of 4 MiB
    assert_ok(tok_re_start(re, n, &run, &e));
    assert_int_equal(tok_re_next(re, &run, s, 0, n, &from, &to, &e), 1);
    assert_true(from == 0 && to == n);
    tok_re_stop(&run);
    tok_re_free(re);

    memset(s, ' ', n);
    s[n - 1] = 'x';
    assert_ok(tok_re_new(STR("\\s+$"), &re, &e)); // quadratic for a backtracking search
    assert_ok(tok_re_start(re, n, &run, &e));
    rc = tok_re_next(re, &run, s, 0, n, &from, &to, &e);
    assert_true(rc == 0 || rc == -ERR_TOO_LARGE);
    tok_re_stop(&run);
    tok_re_free(re);
    free(s);
}

static void translation(void **state)
{
    (void)state;
    struct err     e = { 0 };
    struct buf     b;
    struct tok_re *re = NULL;

    buf_init(&b, 1 << 16);
    assert_ok(tok_re_translate(STR("[a-z&&[^b]]+$"), &b, &e));
    assert_str(buf_text(&b), "(?:(?=[a-z])(?=[^b])(?s:.))+\\z");
    buf_release(&b);
    buf_init(&b, 1 << 16);
    assert_ok(tok_re_translate(STR("\\p{Han}[^\\P{^Thai}]\\p{L}"), &b, &e));
    assert_str(buf_text(&b), "\\p{sc:Han}[^\\P{^sc:Thai}]\\p{L}");
    buf_release(&b);
    /* Mongolian vowel separator is no White_Space, and a mark is part of a word */
    assert_ok(tok_re_new(STR("\\s"), &re, &e));
    assert_false(matches(re, "\xE1\xA0\x8E", 3));
    tok_re_free(re);
    assert_ok(tok_re_new(STR("\\w"), &re, &e));
    assert_true(matches(re, "\xCC\x81", 2));
    tok_re_free(re);
    assert_err(tok_re_new(STR("(unclosed"), &re, &e), ERR_UNSUPP_MODEL, "unclosed");
    assert_err(tok_re_new(STR("[unclosed"), &re, &e), ERR_UNSUPP_MODEL, "without its end");
    assert_err(tok_re_new(STR("a\\"), &re, &e), ERR_UNSUPP_MODEL, "backslash");
    assert_err(tok_re_new(STR("\\C"), &re, &e), ERR_UNSUPP_MODEL, "not supported");
    assert_err(tok_re_new(STR("\xFF"), &re, &e), ERR_UNSUPP_MODEL, "UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes),  cmocka_unit_test(scanners), cmocka_unit_test(names),
        cmocka_unit_test(bounded),  cmocka_unit_test(translation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
