/* tensor_test.c - tensor types and 16-bit floats. */
#include "unit.h"

#include <math.h>

#include "base/half.h"
#include "base/rng.h"
#include "model/tensor.h"

/* binary16 by its definition: (-1)^s * 1.f * 2^(e-15), or 0.f * 2^-14 when e is 0. */
static double half_value(unsigned h)
{
    int    exp = (int)(h >> 10 & 31), frac = (int)(h & 0x3ff);
    double v = exp ? ldexp(1024 + frac, exp - 25) : ldexp(frac, -24);

    return h & 0x8000 ? -v : v;
}

static void half_widens_exactly(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x10000; h++) {
        float f = half_to_f32((uint16_t)h);
        if ((h & 0x7c00) == 0x7c00) {
            assert_true((h & 0x3ff) ? isnan(f) : isinf(f));
            assert_int_equal(!!signbit(f), h >> 15);
        } else {
            assert_true((double)f == half_value(h));
            assert_int_equal(!!signbit(f), h >> 15); // -0 too
        }
    }
}

static void half_narrows_to_nearest_even(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x7c00; h++) {
        double lo = half_value(h), hi = h + 1 < 0x7c00 ? half_value(h + 1) : 65536;
        float  mid = (float)((lo + hi) / 2); // exact: one bit more than binary16 has
        assert_int_equal(half_from_f32((float)lo), h);
        assert_int_equal(half_from_f32(mid), h & 1 ? h + 1 : h);
        assert_int_equal(half_from_f32(nextafterf(mid, 0)), h);
        assert_int_equal(half_from_f32(nextafterf(mid, INFINITY)),
                         h + 1); // past 65520: 0x7c00, infinity
        assert_int_equal(half_from_f32(-(float)lo), h | 0x8000);
    }
    assert_int_equal(half_from_f32(INFINITY), 0x7c00);
    assert_int_equal(half_from_f32(-1e30f), 0xfc00);
    assert_int_equal(half_from_f32(1e-30f), 0);
    assert_int_equal(half_from_f32(NAN) & 0x7e00, 0x7e00);
}

static void bf16_both_ways(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x10000; h++) {
        float f = bf16_to_f32((uint16_t)h);
        if (isnan(f))
            assert_true(isnan(bf16_to_f32(bf16_from_f32(f))));
        else
            assert_int_equal(bf16_from_f32(f), h);
    }
    assert_int_equal(bf16_from_f32(1.00390625f), 0x3f80); // 1 + 2^-8: tie, to even
    assert_int_equal(bf16_from_f32(1.01171875f), 0x3f82); // 1 + 3 * 2^-8: tie, to even
    assert_int_equal(bf16_from_f32(nextafterf(1.00390625f, 2)), 0x3f81);
    assert_int_equal(bf16_from_f32(3.4e38f), 0x7f80); // above the largest: infinity
}

static void types(void **state)
{
    (void)state;
    enum tensor_type t;
    float            y[256];
    unsigned char    zero[512] = { 0 };

    for (unsigned i = 0; i < TENSOR_TYPES; i++) {
        const struct tensor_type_row *row = tensor_type_row((enum tensor_type)i);
        assert_true(tensor_type_by_number((uint32_t)row->number, &t));
        assert_int_equal(t, i);
        assert_null(tensor_type_gone((uint32_t)row->number));
        assert_true(row->block_n > 0 && row->block_n <= 256 && row->block_bytes <= 512);
    }
    for (uint32_t n = 31; n < 34; n++) assert_false(tensor_type_by_number(n, &t));
    assert_string_equal(tensor_type_gone(4), "Q4_2");
    assert_null(tensor_type_gone(200));
    assert_false(dequant_row(TENSOR_TYPES, zero, y, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_widens_exactly),
        cmocka_unit_test(half_narrows_to_nearest_even),
        cmocka_unit_test(bf16_both_ways),
        cmocka_unit_test(types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
