/* rkllm_test.c - the Rockchip engine's tables: offsets against the compiler, versions, names of files. */
#include "conf/opt.h"
#include "engines/rkllm/rkllm_layout.h"
#include "engines/rkllm/rkllm_lib.h"
#include "engines/rkllm/rkllm_name.h"
#include "unit.h"

extern const int16_t fake_offsets_11[RKLLM_FIELDS], fake_offsets_120[RKLLM_FIELDS], fake_offsets_12[RKLLM_FIELDS],
    fake_offsets_13[RKLLM_FIELDS];

static void test_offsets(void **state)
{
    static const int16_t *const compiled[RKLLM_FAMILIES] = {
        [RKLLM_1_1] = fake_offsets_11, [RKLLM_1_2_0] = fake_offsets_120, [RKLLM_1_2] = fake_offsets_12,
        [RKLLM_1_3] = fake_offsets_13,
    };
    static const char *const names[] = {
#define RKLLM_FIELD(name, v1_1, v1_2_0, v1_2, v1_3) #name,
#include "engines/rkllm/rkllm_layout.def"
#undef RKLLM_FIELD
    };
    (void)state;

    for (int f = 0; f < RKLLM_FAMILIES; f++)
        for (int i = 0; i < RKLLM_FIELDS; i++) {
            int ours = rkllm_layout((enum rkllm_family)f)->at[i];
            if (ours != compiled[f][i])
                fail_msg("%s of %s: %d, the compiler says %d", names[i], rkllm_layout((enum rkllm_family)f)->name, ours,
                         compiled[f][i]);
        }
    assert_int_equal(sizeof(struct rkllm_sampling), 36); // the header's size
}

static void test_fields(void **state)
{
    const struct rkllm_layout *l = rkllm_layout(RKLLM_1_1);
    unsigned char              s[RKLLM_STRUCT_BYTES] = { 0 };
    (void)state;

    rkllm_put_f32(l, s, RKLLM_param_top_p, 0.5f);
    rkllm_put_i32(l, s, RKLLM_param_n_keep, 7); // 1.1 has none: nothing is written
    rkllm_put_i8(l, s, RKLLM_param_skip_special_token, 1);
    assert_int_equal(s[52], 1);
    assert_true(rkllm_get_f32(l, s, RKLLM_param_top_p) == 0.5f);
    assert_int_equal(rkllm_get_i32(l, s, RKLLM_param_n_keep), 0);
    for (int i = 0; i < RKLLM_STRUCT_BYTES; i++)
        if (i != 52 && (i < 20 || i > 23)) assert_int_equal(s[i], 0);
}

static void test_versions(void **state)
{
    static const struct {
        const char *version;
        unsigned    set;
    } rows[] = {
        { "1.1.0", 1 << RKLLM_1_1 }, { "1.1.4", 1 << RKLLM_1_1 }, { "1.2.0", 1 << RKLLM_1_2_0 },
        { "1.2.1b1", 1 << RKLLM_1_2_0 }, { "1.2.1", 1 << RKLLM_1_2 }, { "1.2.3", 1 << RKLLM_1_2 },
        { "1.3.0", 1 << RKLLM_1_3 }, { "1.0.1", 0 }, { "1.2.4", 0 }, { "1.3.1", 0 }, { "2.0.0", 0 }, { "", 0 },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(rkllm_lib_by_text(str_c(rows[i].version)), rows[i].set);
    assert_null(rkllm_layout_find(STR("1.4")));
    assert_ptr_equal(rkllm_layout_find(STR("1.2.0")), rkllm_layout(RKLLM_1_2_0));
}

static void put(unsigned char *d, int at, const void *v, size_t n)
{
    memcpy(d + at, v, n);
}

static void test_defaults(void **state)
{
    const float          top_p = 0.9f;
    const int32_t        forty = 40;
    const char          *empty = "", *text = "x", *wild = (const char *)(uintptr_t)0x10;
    const unsigned char  ext[] = { 1, 4 }, batch = 1;
    unsigned char        d[RKLLM_PROBE_BYTES] = { 0 };
    const unsigned       both = 1u << RKLLM_1_2_0 | 1u << RKLLM_1_2;
    (void)state;

    assert_int_equal(rkllm_lib_by_default(d), 0);
    put(d, 20, &forty, 4); // 1.0
    assert_int_equal(rkllm_lib_by_default(d), 0);
    put(d, 20, &top_p, 4);
    assert_int_equal(rkllm_lib_by_default(d), 1 << RKLLM_1_1);

    memset(d, 0, sizeof d);
    put(d, 24, &top_p, 4);
    assert_int_equal(rkllm_lib_by_default(d), 0); // neither pointers nor an extend block
    for (int at = 64; at <= 80; at += 8) put(d, at, &empty, sizeof empty);
    assert_int_equal(rkllm_lib_by_default(d), both);
    put(d, 72, &text, sizeof text);
    assert_int_equal(rkllm_lib_by_default(d), 0);
    put(d, 72, &wild, sizeof wild); // looked at without being touched
    assert_int_equal(rkllm_lib_by_default(d), 0);

    memset(d, 0, sizeof d);
    put(d, 24, &top_p, 4);
    put(d, 64, ext, 2);
    put(d, 72, &batch, 1);
    assert_int_equal(rkllm_lib_by_default(d), 1 << RKLLM_1_3);
    d[65] = 9; // more CPUs than there are
    assert_int_equal(rkllm_lib_by_default(d), 0);
}

static void test_names(void **state)
{
    static const struct {
        const char *name, *model, *quant, *platform;
        int         n_ctx, n_core, opt;
    } rows[] = {
        { "gemma-3-1b-it_w8a8", "gemma-3-1b-it", "w8a8", NULL, 0, 0, -1 },
        { "Qwen_Qwen3-0.6B-w8a8-opt0-hybrid0-npu3-ctx16384-rk3588", "Qwen3-0.6B", "w8a8", "rk3588", 16384, 3, 0 },
        { "google_gemma-3-270m-w8a8-opt0-hybrid0-npu3-ctx16384-rk3588.rkllm", "gemma-3-270m", "w8a8", "rk3588", 16384,
          3, 0 },
        { "DeepSeek-R1-Distill-Qwen-1.5B_W8A8_RK3588.rkllm", "DeepSeek-R1-Distill-Qwen-1.5B", "W8A8", "rk3588", 0, 0,
          -1 },
        { "Qwen2.5-1.5B-Instruct-rk3576-w4a16_g128-opt-1-hybrid-ratio-0.5.rkllm", "Qwen2.5-1.5B-Instruct",
          "w4a16_g128", "rk3576", 0, 0, 1 },
        { "phi-w4a8-g32-ctx4k-npu1-rk3562.rkllm", "phi", "w4a8-g32", "rk3562", 4096, 1, -1 },
        { "model-RK3588S.rkllm", "model", "", "rk3588", 0, 0, -1 },
        { "m.rkllm", "m", "", NULL, 0, 0, -1 },
        { "w8a8.rkllm", "", "w8a8", NULL, 0, 0, -1 },
        { "ctx-ctx99999999999999999999-npu9-rk35888-w8-w8a-wa8.rkllm",
          "ctx-ctx99999999999999999999", "", NULL, 0, 0, -1 },
        { "", "", "", NULL, 0, 0, -1 },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rkllm_name n = rkllm_name_parse(str_c(rows[i].name));
        if (!str_eq(n.model, str_c(rows[i].model)) || !str_eq(n.quant, str_c(rows[i].quant)))
            fail_msg("%s: model \"" STR_FMT "\" quant \"" STR_FMT "\"", rows[i].name, STR_ARG(n.model), STR_ARG(n.quant));
        assert_int_equal(n.n_ctx, rows[i].n_ctx);
        assert_int_equal(n.n_core, rows[i].n_core);
        assert_int_equal(n.opt, rows[i].opt);
        if (rows[i].platform) assert_string_equal(n.platform, rows[i].platform);
        else assert_null(n.platform);
    }
}

static void test_platforms(void **state)
{
    static const char tree[] = "radxa,rock-5b\0rockchip,rk3588";
    (void)state;

    assert_string_equal(rkllm_platform_of_tree((struct str){ tree, sizeof tree })->name, "rk3588");
    assert_string_equal(rkllm_platform_of_tree(STR("x,y\0rockchip,rk3588s\0"))->name, "rk3588");
    assert_null(rkllm_platform_of_tree(STR("rockchip,rk3399\0")));
    assert_null(rkllm_platform_of_tree(STR("vendor,rk3588\0")));
    assert_null(rkllm_platform_of_tree(STR("")));
    assert_int_equal(rkllm_platform_find(STR("RK3576"))->n_core, 2);
    assert_null(rkllm_platform_find(STR("rk35881")));
    assert_null(rkllm_platform_find(STR("rk358")));
}

/* What another server's flags mean here must be options that there are. */
static void test_compat(void **state)
{
    static const char *const options[] = {
#define COMPAT_RKLLM(old, opt) opt,
#include "conf/compat_rkllm.def"
#undef COMPAT_RKLLM
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        bool there = false;
        for (size_t k = 0; k < opt_count; k++)
            there |= !strcmp(opt_table[k].name, options[i]) && opt_table[k].roles & OPT_SERVE;
        if (!there) fail_msg("no option --%s", options[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets),  cmocka_unit_test(test_fields), cmocka_unit_test(test_versions),
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_names),  cmocka_unit_test(test_platforms),
        cmocka_unit_test(test_compat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
