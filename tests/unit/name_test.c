/* name_test.c - names of models as clients write them. */
#include "unit.h"

#include "gateway/name.h"

#define GEMMA "google_gemma-3-270m-w8a8-opt0-hybrid0-npu3-ctx16384-rk3588"
#define QWEN  "Qwen_Qwen3-0.6B-w8a8-opt0-hybrid0-npu3-ctx16384-rk3588"

/* Names as publishers write them, and what a person would call the model. */
static void short_forms(void **state)
{
    (void)state;
    static const struct {
        const char *name, *want;
    } names[] = {
        { GEMMA, "gemma-3-270m" },
        { QWEN, "qwen3-0.6b" },
        { "gemma-3-1b-it_w8a8", "gemma-3-1b-it" }, // no publisher: - comes before _
        { "Qwen/Qwen3-0.6B", "qwen3-0.6b" },
        { "a/b/Model-7B.Q4_K_M.gguf", "model-7b" },
        { "Meta-Llama-3.1-8B-Instruct-IQ4_XS", "meta-llama-3.1-8b-instruct" },
        { "Llama-3.2-1B-Instruct-UD-Q4_K_XL", "llama-3.2-1b-instruct" },
        { "qwen2.5-1.5b-gptq-int4-ax650", "qwen2.5-1.5b" },
        { "smollm2:latest", "smollm2" },
        { "bartowski_SmolLM2-135M-Instruct-f16", "smollm2-135m-instruct" },
        { "gpt-oss-20b-mxfp4", "gpt-oss-20b" },
        { "my model", "my-model" },
        { "q8_0", "q8-0" }, // nothing but a quantisation is a name after all
        { "rk3588", "rk3588" },
        { "phi-3.5-mini", "phi-3.5-mini" },
        { "", "" },
        { "/", "" },
    };
    char dst[NAME_SHORT_MAX];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) assert_str(name_short(str_c(names[i].name), dst), names[i].want);
}

static void fits(void **state)
{
    (void)state;
    static const struct {
        const char   *asked, *have;
        enum name_fit want;
    } pairs[] = {
        { GEMMA, GEMMA, NAME_ID },
        { "GOOGLE_gemma-3-270M-w8a8-opt0-hybrid0-npu3-ctx16384-rk3588", GEMMA, NAME_NOCASE },
        { "gemma-3-270m", GEMMA, NAME_SHORT },
        { "google/gemma-3-270m", GEMMA, NAME_SHORT },
        { "Gemma-3-270M-W8A8", GEMMA, NAME_SHORT },
        { "gemma-3-270m-rk3588", GEMMA, NAME_SHORT },
        { "gemma-3-270m.gguf", GEMMA, NAME_SHORT },
        { "google_gemma", GEMMA, NAME_HEAD },
        { "g", GEMMA, NAME_HEAD },
        { "gemma-3", GEMMA, NAME_HEAD },
        { "gemma", GEMMA, NAME_HEAD },
        { "gemma-3-27", GEMMA, NAME_OTHER }, // another model's name, not the beginning of this one's
        { "gemm", GEMMA, NAME_OTHER },
        { "gemma-3-270m-rk3576", GEMMA, NAME_OTHER }, // for another chip
        { "gemma-3-270m-q4_0", GEMMA, NAME_OTHER },
        { "gemma-3-270m-it", GEMMA, NAME_OTHER },
        { "270m", GEMMA, NAME_OTHER },
        { "Qwen3-0.6B-Q4_0", "Qwen3-0.6B-Q8_0", NAME_OTHER },
        { "Qwen3-0.6B-Q8", "Qwen3-0.6B-Q8_0", NAME_HEAD },
        { "", "m", NAME_OTHER },
        { "m", "", NAME_OTHER },
        { "/", "m", NAME_OTHER },
    };

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (name_fits(str_c(pairs[i].asked), str_c(pairs[i].have), false) != pairs[i].want)
            fail_msg("%s for %s: %d, want %d", pairs[i].asked, pairs[i].have,
                     name_fits(str_c(pairs[i].asked), str_c(pairs[i].have), false), pairs[i].want);
    assert_int_equal(name_fits(STR("a"), STR("a"), true), NAME_ALIAS);

    static char huge[1 << 24]; // a name that would take hours if it were looked at
    for (size_t i = 0; i < sizeof huge; i++) huge[i] = "-f1"[i % 3];
    assert_int_equal(name_fits((struct str){ huge, sizeof huge }, STR("m"), false), NAME_OTHER);
}

static void facts(void **state)
{
    (void)state;
    struct name_facts f;

    name_read(STR(QWEN), &f);
    assert_str(f.quant, "w8a8");
    assert_str(f.params, "0.6B");
    assert_str(f.platform, "rk3588");
    assert_int_equal(f.n_ctx, 16384);
    assert_int_equal(f.n_npu, 3);
    name_read(STR("Meta-Llama-3.1-8B-Instruct-Q4_K_M"), &f);
    assert_str(f.quant, "Q4_K_M");
    assert_str(f.params, "8B");
    assert_null(f.platform.p);
    assert_int_equal(f.n_ctx, 0);
    name_read(STR("x-ctx99999999999999999999-npu0"), &f); // no numbers that mean anything
    assert_int_equal(f.n_ctx, 0);
    assert_int_equal(f.n_npu, 0);
    name_read(STR(""), &f);
    assert_null(f.quant.p);
}

/* Any bytes: no crash, nothing longer than its place. */
static void any_bytes(void **state)
{
    (void)state;
    char              dst[NAME_SHORT_MAX], name[300];
    struct name_facts f;

    for (unsigned seed = 1; seed < 20000; seed++) {
        unsigned r = seed * 2654435761u;
        size_t   n = r % sizeof name;
        for (size_t i = 0; i < n; i++) {
            static const char some[] = "-_./:aAqwk018m ";
            r       = r * 1664525 + 1013904223;
            name[i] = r >> 24 < 200 ? some[(r >> 16) % (sizeof some - 1)] : (char)(r >> 16);
        }
        struct str s = { name, n };
        assert_true(name_short(s, dst).n <= NAME_SHORT_MAX);
        name_read(s, &f);
        assert_true(name_fits(s, s, false) == (n && n <= NAME_SHORT_MAX ? NAME_ID : NAME_OTHER));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_forms),
        cmocka_unit_test(fits),
        cmocka_unit_test(facts),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
