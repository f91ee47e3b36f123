/* balance_test.c - who gets a request: load, weights, preference, pauses. */
#include "unit.h"

#include "gateway/balance.h"

#define N   4
#define SEC 1000000u

static struct balance  b[N];
static struct balance *list[N];

static void fresh(void)
{
    for (int i = 0; i < N; i++) {
        b[i]    = (struct balance){ .hash = 0x9e3779b97f4a7c15u * (unsigned)(i + 1), .weight = 1 };
        list[i] = &b[i];
    }
}

static void load(void **state)
{
    (void)state;
    fresh();
    for (int i = 0; i < 8; i++) balance_begin(&b[balance_pick(list, N, 0, 0, 1)], 1);
    for (int i = 0; i < N; i++) assert_int_equal(b[i].n_running, 2); // 8 over 4
    fresh();
    b[1].weight = 3; // of 12 requests over weights 1, 3, 1, 1: 2, 6, 2, 2
    for (int i = 0; i < 12; i++) balance_begin(&b[balance_pick(list, N, 0, 0, 1)], 1);
    assert_int_equal(b[1].n_running, 6);
    assert_int_equal(b[0].n_running, 2);
    assert_int_equal(balance_pick(list, N, 0xf, 0, 1), -1); // all have been tried
    assert_int_equal(balance_pick(list, N, 0xf & ~4u, 0, 1), 2);
}

static void preference(void **state)
{
    int count[N] = { 0 }, moved = 0;
    (void)state;

    fresh();
    b[2].weight = 2;
    for (uint64_t p = 1; p <= 5000; p++) {
        int i = balance_pick(list, N, 0, p, 1);
        assert_int_equal(balance_pick(list, N, 0, p, 1), i); // the same prompt, the same server
        count[i]++;
        if (balance_pick(list, N, 1, p, 1) != i) moved++; // server 0 leaves
    }
    assert_int_equal(moved, count[0]); // only its own prompts move
    /* shares of 1:1:2:1 are 1000 and 2000; six standard deviations of a binomial are below 220 */
    for (int i = 0; i < N; i++) assert_in_range(count[i], (i == 2 ? 2000 : 1000) - 220, (i == 2 ? 2000 : 1000) + 220);
}

static void preferred_too_loaded(void **state)
{
    (void)state;
    fresh();
    int liked = balance_pick(list, N, 0, 7, 1);
    balance_begin(&b[liked], 1);
    assert_int_equal(balance_pick(list, N, 0, 7, 1), liked); // 2 with this one, against 1: not more than twice
    balance_begin(&b[liked], 1);
    assert_int_not_equal(balance_pick(list, N, 0, 7, 1), liked); // 3 against 1
    for (int i = 0; i < N; i++)
        if (i != liked) balance_begin(&b[i], 1);
    assert_int_equal(balance_pick(list, N, 0, 7, 1), liked); // 3 against 2
}

static void pauses(void **state)
{
    uint64_t t = SEC;
    (void)state;

    fresh();
    balance_begin(&b[0], t);
    balance_begin(&b[0], t);
    balance_fail(&b[0], BALANCE_UNREACHABLE, t);
    balance_end(&b[0]);
    balance_fail(&b[0], BALANCE_UNREACHABLE, t); // the same fall: no longer pause for it
    balance_end(&b[0]);
    assert_false(balance_usable(&b[0], t + 499999));
    assert_true(balance_usable(&b[0], t + 500000));
    t += 500000;
    balance_begin(&b[0], t); // the one that tries it
    assert_false(balance_usable(&b[0], t));
    balance_fail(&b[0], BALANCE_UNREACHABLE, t);
    balance_end(&b[0]);
    assert_false(balance_usable(&b[0], t + 999999)); // twice as long
    assert_true(balance_usable(&b[0], t + 1000000));
    t += 1000000;
    balance_begin(&b[0], t);
    balance_end(&b[0]); // cancelled: nobody knows, the next one tries
    assert_true(balance_usable(&b[0], t));
    balance_begin(&b[0], t);
    balance_good(&b[0]);
    balance_end(&b[0]);
    balance_begin(&b[0], t);
    assert_true(balance_usable(&b[0], t)); // all may come again
    for (int i = 0; i < 20; i++) {
        balance_fail(&b[0], BALANCE_UNREACHABLE, t);
        t = b[0].until_us;
    }
    assert_int_equal(b[0].pause_ms, BALANCE_PAUSE_MAX_MS);
}

static void bad_answers(void **state)
{
    (void)state;
    fresh();
    balance_fail(&b[0], BALANCE_BAD, SEC);
    balance_fail(&b[0], BALANCE_BAD, SEC);
    balance_good(&b[0]);
    balance_fail(&b[0], BALANCE_BAD, SEC);
    balance_fail(&b[0], BALANCE_BAD, SEC);
    assert_true(balance_usable(&b[0], SEC));
    balance_fail(&b[0], BALANCE_BAD, SEC); // the third in a row
    assert_false(balance_usable(&b[0], SEC));
}

static void probes(void **state)
{
    (void)state;
    fresh();
    balance_probe(&b[0], false);
    assert_false(balance_usable(&b[0], SEC));
    for (int i = 0; i < 100; i++) assert_int_not_equal(balance_pick(list, N, 0, (uint64_t)i, SEC), 0);
    balance_probe(&b[0], true);
    assert_true(balance_usable(&b[0], SEC));
    for (int i = 0; i < N; i++) balance_fail(&b[i], BALANCE_UNREACHABLE, SEC * (unsigned)(N - i));
    assert_int_equal(balance_pick(list, N, 0, 0, 1), 3); // nobody is well: the one whose pause ends first
    balance_probe(&b[1], true); // it answers again: one request tries it at once
    assert_int_equal(balance_pick(list, N, 0, 0, SEC), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load),   cmocka_unit_test(preference),  cmocka_unit_test(preferred_too_loaded),
        cmocka_unit_test(pauses), cmocka_unit_test(bad_answers), cmocka_unit_test(probes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
