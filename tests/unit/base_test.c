/* base_test.c - the base room: slices, UTF-8, arenas, buffers, maps, frames. */
#include "unit.h"

#include "base/map.h"
#include "base/pack.h"
#include "base/rng.h"
#include "base/utf8.h"

static void str_numbers(void **state)
{
    (void)state;
    int64_t  i;
    uint64_t u;
    double   d;

    assert_true(str_to_i64(STR("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_false(str_to_i64(STR("9223372036854775808"), &i));
    assert_false(str_to_i64(STR("-+1"), &i));
    assert_false(str_to_i64(STR(""), &i));
    assert_false(str_to_i64(STR("12 "), &i));
    assert_true(str_to_u64(STR("18446744073709551615"), &u));
    assert_false(str_to_u64(STR("18446744073709551616"), &u));
    assert_true(str_to_f64(STR("-1.5e3"), &d));
    assert_true(d == -1500);
    assert_false(str_to_f64(STR("0x10"), &d));
    assert_false(str_to_f64(STR("nan"), &d));
    assert_false(str_to_f64(STR("1e999"), &d));
}

static void str_pieces(void **state)
{
    (void)state;
    struct str rest = STR("a,,b"), item;
    char       q[32];

    assert_true(str_cut(&rest, ',', &item));
    assert_str(item, "a");
    assert_true(str_cut(&rest, ',', &item));
    assert_str(item, "");
    assert_true(str_cut(&rest, ',', &item));
    assert_str(item, "b");
    assert_false(str_cut(&rest, ',', &item));

    assert_string_equal(str_quote(q, sizeof q, STR("a\n\x01\xff")), "a\\n\\x01\\xff");
    str_quote(q, 12, STR("abcdefghijklmnop"));
    assert_string_equal(q, "abcdefgh...");
    /* never cut inside a character */
    assert_string_equal(str_copy_z(q, 3, STR("a\xC3\xA9")), "a");
    assert_int_equal(str_find(STR("abcabd"), STR("abd")), 3);
    assert_true(str_find(STR("ab"), STR("abc")) == SIZE_MAX);
    assert_str(str_trim(STR(" \t x y\r\n")), "x y");
}

/* Unicode 15, table 3-7 and the text on maximal ill-formed parts around table 3-8. */
static void utf8_edges(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        int         len;
    } rows[] = {
        { "\x7f", 1 },          { "\xC2\x80", 2 },         { "\xC1\x80", -1 },
        { "\xE0\xA0\x80", 3 },  { "\xE0\x9F\x80", -1 },    { "\xED\x9F\xBF", 3 },
        { "\xED\xA0\x80", -1 }, { "\xF0\x90\x80\x80", 4 }, { "\xF0\x8F\xBF\xBF", -1 },
        { "\xF4\x8F\xBF\xBF", 4 }, { "\xF4\x90\x80\x80", -1 }, { "\xF5\x80\x80\x80", -1 },
        { "\xE1\x80" "A", -2 }, { "\xF1\x80\x80", -3 },    { "\x80", -1 },
    };
    uint32_t cp;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (utf8_decode(str_c(rows[i].bytes), &cp) != rows[i].len) fail_msg("row %zu", i);

    for (cp = 0; cp <= 0x10FFFF; cp++) { // every scalar value, there and back
        char     b[UTF8_MAX];
        uint32_t back;
        if (cp >= 0xD800 && cp < 0xE000) continue;
        int n = utf8_encode(cp, b);
        assert_int_equal(utf8_decode((struct str){ b, (size_t)n }, &back), n);
        assert_int_equal(back, cp);
        for (int k = 1; k < n; k++) // a head of it waits, and nothing else does
            assert_int_equal(utf8_tail((struct str){ b, (size_t)k }), k);
        assert_int_equal(utf8_tail((struct str){ b, (size_t)n }), 0);
    }
    assert_int_equal(utf8_tail(STR("a\xE0\x9F")), 0); // can never be completed
    assert_int_equal(utf8_tail(STR("\xF0\x90\x80")), 3);
    assert_int_equal(utf8_count(STR("a\xC3\xA9\xFF")), 3);
}

static void arena_ceiling_and_failure(void **state)
{
    (void)state;
    struct arena a;

    arena_init(&a, 1000);
    assert_non_null(arena_alloc(&a, 500));
    assert_null(arena_alloc(&a, 500)); // 512 are used
    assert_non_null(arena_alloc(&a, 400));
    assert_null(arena_array(&a, SIZE_MAX / 2, 3));
    arena_clear(&a);
    uint64_t before = mem_count();
    assert_non_null(arena_alloc(&a, 400)); // the kept block serves again
    assert_int_equal(mem_count(), before);
    arena_release(&a);

    arena_init(&a, 100000);
    mem_fail_at(1);
    assert_null(arena_alloc(&a, 10));
    assert_non_null(arena_alloc(&a, 10));
    assert_str(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    arena_release(&a);
}

static void buf_sticky(void **state)
{
    (void)state;
    struct buf b;

    buf_init(&b, 10);
    buf_str(&b, STR("12345"));
    buf_i64(&b, INT64_MIN); // 20 bytes: over the ceiling
    assert_true(b.failed);
    buf_byte(&b, 'x');
    assert_true(str_starts(buf_text(&b), STR("12345")));
    buf_clear(&b);
    buf_u64(&b, 9876543210u);
    assert_str(buf_text(&b), "9876543210");
    assert_false(b.failed);
    buf_drop(&b, 8);
    assert_str(buf_text(&b), "10");
    buf_release(&b);

    buf_init(&b, 1 << 20);
    for (int i = 0; i < 300; i++) buf_printf(&b, "%0300d,", i);
    assert_int_equal(b.n, 300 * 301);
    buf_release(&b);
}

/* A map against a plain array, through growth and deletion. */
static void map_model(void **state)
{
    (void)state;
    enum { N = 500 };
    static char key[N][8];
    bool        in[N] = { false };
    struct map  m;
    struct rng  r;

    map_init(&m, N);
    rng_seed(&r, 42);
    for (int i = 0; i < N; i++) snprintf(key[i], sizeof key[i], "k%d", i);
    for (int step = 0; step < 20000; step++) {
        size_t i = rng_below(&r, N);
        if (rng_below(&r, 2)) {
            assert_int_equal(map_put(&m, str_c(key[i]), key[i]), 0);
            in[i] = true;
        } else {
            assert_true((map_del(&m, str_c(key[i])) != NULL) == in[i]);
            in[i] = false;
        }
        i = rng_below(&r, N);
        assert_ptr_equal(map_get(&m, str_c(key[i])), in[i] ? key[i] : NULL);
    }
    size_t     n = 0, it = 0;
    struct str k;
    void      *v;
    while (map_next(&m, &it, &k, &v)) n++;
    assert_int_equal(n, m.n);
    map_release(&m);
}

/* The SipHash paper has no 1-3 vectors; what matters here: keys and every byte change the result. */
static void map_hash_spreads(void **state)
{
    (void)state;
    uint64_t k1[2] = { 1, 2 }, k2[2] = { 1, 3 };
    char     text[17] = "0123456789abcdef";
    uint64_t h = map_hash(k1, str_c(text));

    assert_true(h != map_hash(k2, str_c(text)));
    for (size_t i = 0; i < 16; i++) {
        text[i] ^= 1;
        assert_true(h != map_hash(k1, str_c(text)));
        text[i] ^= 1;
    }
    assert_true(h == map_hash(k1, str_c(text)));
}

static void pack_there_and_cut(void **state)
{
    (void)state;
    struct buf b;

    buf_init(&b, 1000);
    pack_u8(&b, 1);
    pack_i32(&b, -5);
    pack_u64(&b, UINT64_MAX - 1);
    pack_f32(&b, 1.5f);
    pack_f64(&b, -0.1);
    pack_str(&b, STR("hi"));
    for (size_t n = 0; n <= b.n; n++) { // cut at every byte: fails unless whole
        struct unpack u = unpack_init((struct str){ b.p, n });
        bool          one = unpack_bool(&u);
        int32_t       i   = unpack_i32(&u);
        uint64_t      q   = unpack_u64(&u);
        float         f   = unpack_f32(&u);
        double        d   = unpack_f64(&u);
        struct str    s   = unpack_str(&u);
        assert_true(unpack_done(&u) == (n == b.n));
        if (n == b.n) {
            assert_true(one && i == -5 && q == UINT64_MAX - 1 && f == 1.5f && d == -0.1);
            assert_str(s, "hi");
        }
    }
    struct unpack u = unpack_init(STR("\xff\xff\xff\x7f"));
    assert_int_equal(unpack_count(&u, 1u << 31, 4), 0); // more than the bytes can hold
    assert_true(u.failed);
    buf_release(&b);
}

static void rng_is_fixed_and_fair(void **state)
{
    (void)state;
    struct rng r;
    int        seen[3] = { 0 };

    rng_seed(&r, 1);
    for (int i = 0; i < 30000; i++) seen[rng_below(&r, 3)]++;
    for (int i = 0; i < 3; i++) assert_in_range(seen[i], 9500, 10500);
    for (int i = 0; i < 1000; i++) {
        double d = rng_f64(&r);
        assert_true(d >= 0 && d < 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(str_numbers),  cmocka_unit_test(str_pieces),
        cmocka_unit_test(utf8_edges),   cmocka_unit_test(arena_ceiling_and_failure),
        cmocka_unit_test(buf_sticky),   cmocka_unit_test(map_model),
        cmocka_unit_test(map_hash_spreads), cmocka_unit_test(pack_there_and_cut),
        cmocka_unit_test(rng_is_fixed_and_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
