/* pooling_test.c - hidden states to one vector: by hand, whatever the pieces; lengths. */
#include "unit.h"

#include <math.h>

#include "session/pooling.h"

static const float states[3][2] = { { 1, 2 }, { 3, -4 }, { 8, 0.5f } };

static void check(enum engine_pooling kind, float x, float y)
{
    struct pooling p;
    struct err     e;
    float          v[2];

    assert_ok(pooling_init(&p, kind, 2, &e));
    for (int round = 0; round < 2; round++) { // the second text knows nothing of the first
        pooling_clear(&p);
        for (int i = 0; i < 3; i++) pooling_add(&p, states[i]);
        pooling_vector(&p, v);
        assert_true(v[0] == x && v[1] == y);
    }
    pooling_clear(&p);
    pooling_add(&p, states[1]);
    pooling_vector(&p, v); // of one token every kind gives that token's
    assert_true(v[0] == 3 && v[1] == -4);
    pooling_release(&p);
}

static void kinds(void **state)
{
    (void)state;
    check(ENGINE_POOL_FIRST, 1, 2);
    check(ENGINE_POOL_LAST, 8, 0.5f);
    check(ENGINE_POOL_MEAN, 4, -0.5f);
}

/* 1 and many values of 2^-24 of it: in single precision each would be lost. */
static void sums_are_exact(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    struct pooling p;
    struct err     e;
    float          one = 1, little = 0x1p-24f, v;

    assert_ok(pooling_init(&p, ENGINE_POOL_MEAN, 1, &e));
    pooling_add(&p, &one);
    for (int i = 1; i < N; i++) pooling_add(&p, &little);
    pooling_vector(&p, &v);
    assert_true(v == (float)((1 + (N - 1) * 0x1p-24) / N));
    pooling_release(&p);
}

static void lengths(void **state)
{
    (void)state;
    float v[3] = { 3, -4, 12 }, zero[2] = { 0, 0 }, bad[2] = { 1, NAN }, far[2] = { INFINITY, 1 }, big[2] = { 3e38f, 3e38f };

    assert_true(pooling_normalise(v, 2)); // the first two values only
    assert_true(v[0] == 0.6f && v[1] == -0.8f && v[2] == 12);
    assert_true(pooling_normalise(zero, 2) && zero[0] == 0 && zero[1] == 0);
    assert_false(pooling_normalise(bad, 2));
    assert_false(pooling_normalise(far, 2));
    assert_true(pooling_normalise(big, 2) && fabsf(big[0] - 0.70710678f) < 1e-7f); // squares are beyond f32
}

static void out_of_memory(void **state)
{
    (void)state;
    struct pooling p;
    struct err     e;

    mem_fail_at(1);
    assert_err(pooling_init(&p, ENGINE_POOL_MEAN, 4, &e), ERR_NO_MEMORY, "embedding");
    mem_fail_at(0);
    pooling_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds), cmocka_unit_test(sums_are_exact), cmocka_unit_test(lengths), cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
