/* cpu_pool_test.c - the os room's compute parts: CPU levels and quotas, and the thread pool. */
#include "unit.h"

#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/cpu.h"
#include "os/huge.h"
#include "os/pool.h"

static void levels(void **state)
{
    (void)state;
    struct err e = { 0 };
    unsigned   all, flags = 99;

    assert_ok(cpu_features(NULL, &all, &e));
    assert_ok(cpu_features("ref", &flags, &e));
    assert_int_equal(flags, 0);
    assert_ok(cpu_features("", &flags, &e));
    assert_int_equal(flags, all);
    assert_err(cpu_features("avx9", &flags, &e), ERR_BAD_CONFIG, "\"avx9\" is unknown");
    if (all & CPU_AVX2) {
        assert_ok(cpu_features("avx2", &flags, &e));
        assert_int_equal(flags, CPU_AVX2);
    } else {
        assert_err(cpu_features("avx2", &flags, &e), ERR_BAD_CONFIG, "has no avx2");
    }
    struct cpu_count n = cpu_count();
    assert_true(n.n_cpu >= 1 && n.n_core >= 1 && n.n_core <= n.n_cpu);
    assert_true(n.n_cpu <= sysconf(_SC_NPROCESSORS_CONF));
}

static void put(const char *root, const char *path, const char *text)
{
    char full[512];

    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *p = full + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* cpu0 and cpu4 are threads of one core, and so on to cpu3 and cpu7. */
static void put_pairs(const char *root)
{
    char path[96], text[32];

    for (int i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
        snprintf(text, sizeof text, "%d,%d\n", i % 4, i % 4 + 4);
        put(root, path, text);
    }
}

static void put_capacity(const char *root, int cpu, const char *text)
{
    char path[96];

    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpu_capacity", cpu);
    put(root, path, text);
}

/* "11110000" of allowed processors: how many cores, and which are strong. */
static int strong_of(const char *root, const char *allowed, const char *want)
{
    bool in[8], out[8];

    for (int i = 0; i < 8; i++) in[i] = allowed[i] == '1';
    int n = cpu_strong(root, in, 8, out);
    for (int i = 0; i < 8; i++) assert_int_equal(out[i], want[i] == '1');
    return n;
}

static void cores(void **state)
{
    (void)state;
    char dir[] = "/tmp/curlew-cores-XXXXXX", cmd[128];

    assert_non_null(mkdtemp(dir));
    assert_int_equal(strong_of(dir, "11111111", "11111111"), 8); // nothing is told: each is a core
    put_pairs(dir);
    assert_int_equal(strong_of(dir, "11111111", "11111111"), 4);
    assert_int_equal(strong_of(dir, "00001111", "00001111"), 4); // second threads, but the first are not ours
    assert_int_equal(strong_of(dir, "10001100", "10001100"), 2);
    assert_int_equal(strong_of(dir, "00000001", "00000001"), 1);
    assert_int_equal(strong_of(dir, "00000000", "00000000"), 0);
    put(dir, "/sys/devices/cpu_core/cpus", "0,4-5\n"); // Intel: cores 0 and 1 are large
    assert_int_equal(strong_of(dir, "11111111", "10001100"), 2);
    assert_int_equal(strong_of(dir, "01110011", "01110011"), 3); // only small ones: they are the strongest
    for (int i = 0; i < 8; i++) // three clusters: 1024, 900, 300
        put_capacity(dir, i, i == 3 || i == 7 ? "1024\n" : i == 2 || i == 6 ? "900\n" : "300\n");
    assert_int_equal(strong_of(dir, "11111111", "00110011"), 2);
    assert_int_equal(strong_of(dir, "11101110", "00100010"), 1);
    assert_int_equal(strong_of(dir, "11001100", "11001100"), 2);
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    assert_int_equal(system(cmd), 0);
}

/* What the process is allowed is what counts; a machine of equal cores is left alone. */
static void affinity(void **state)
{
    (void)state;
    cpu_set_t all, one;

    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    int last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &all)) last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    struct cpu_count n = cpu_count();
    assert_int_equal(n.n_cpu, 1);
    assert_int_equal(n.n_core, 1);
    assert_false(cpu_confine(1));
    assert_false(cpu_confine(2));
    CPU_ZERO(&one);
    assert_int_equal(sched_getaffinity(0, sizeof one, &one), 0);
    assert_true(CPU_COUNT(&one) == 1 && CPU_ISSET(last, &one));
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

static void quotas(void **state)
{
    (void)state;
    char dir[] = "/tmp/curlew-quota-XXXXXX", cmd[128];

    assert_non_null(mkdtemp(dir));
    assert_int_equal(cpu_quota(dir), 0); // nothing there
    put(dir, "/proc/self/cgroup", "0::/a/b\n");
    put(dir, "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(cpu_quota(dir), 0);
    put(dir, "/sys/fs/cgroup/a/cpu.max", "250000 100000\n"); // of the parent
    assert_int_equal(cpu_quota(dir), 3);
    put(dir, "/sys/fs/cgroup/a/b/cpu.max", "100000 100000\n");
    assert_int_equal(cpu_quota(dir), 1);
    put(dir, "/sys/fs/cgroup/a/b/cpu.max", "rubbish");
    assert_int_equal(cpu_quota(dir), 3);
    put(dir, "/sys/fs/cgroup/a/b/cpu.max", "-5 0");
    assert_int_equal(cpu_quota(dir), 3);

    put(dir, "/proc/self/cgroup", "12:cpuset:/\n4:cpu,cpuacct:/x\n0::/\n");
    put(dir, "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n");
    put(dir, "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cpu_quota(dir), 0);
    put(dir, "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "150000\n");
    assert_int_equal(cpu_quota(dir), 2);
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    assert_int_equal(system(cmd), 0);
}

/* Phases where each needs everything of the one before: item i of phase p is the sum of its neighbours
 * in phase p - 1. Any lane that runs ahead or is left behind shows as a wrong sum. */
enum { N = 37, PHASES = 200 };
struct sums {
    uint64_t    cell[2][N];
    atomic_uint calls;
    atomic_int  ended[PHASES]; // items of the phase
    atomic_int  early;         // times that a lane left a phase before its end
    int         lanes;
    bool        slow; // lane 1 sleeps now and then
};

static void sums_job(void *ctx, struct lane *l)
{
    struct sums *s = ctx;

    for (int p = 0; p < PHASES; p++) {
        int n = p % 5 == 4 ? 0 : N; // empty phases too
        if (s->slow && lane_id(l) == 1 && p % 50 == 7) usleep(2000);
        for (int i; lane_next(l, n, &i);) {
            assert(i >= 0 && i < N && lane_id(l) < s->lanes);
            const uint64_t *from = s->cell[p & 1];
            uint64_t x = from[(i + N - 1) % N] * 3 + from[i] + from[(i + 1) % N] * 7;
            s->cell[!(p & 1)][i] = x;
            atomic_fetch_add(&s->calls, 1);
            atomic_fetch_add(&s->ended[p], 1);
        }
        if (atomic_load(&s->ended[p]) != n) atomic_fetch_add(&s->early, 1);
        if (n == 0)
            for (int i; lane_next(l, N, &i);) s->cell[!(p & 1)][i] = s->cell[p & 1][i];
    }
}

static void sums_start(struct sums *s)
{
    for (int i = 0; i < N; i++) s->cell[0][i] = s->cell[1][i] = (uint64_t)i * i + 1;
    atomic_store(&s->calls, 0);
    for (int p = 0; p < PHASES; p++) atomic_store(&s->ended[p], 0);
}

static void phases(void **state)
{
    (void)state;
    static struct sums want, got;
    struct err   e = { 0 };
    struct pool *p;

    for (int lanes = 1; lanes <= 5; lanes++) {
        assert_ok(pool_open(lanes, &p, &e));
        assert_int_equal(pool_lanes(p), lanes);
        for (int round = 0; round < 20; round++) {
            struct sums *s = lanes == 1 ? &want : &got;
            sums_start(s);
            s->lanes = lanes;
            s->slow = round % 7 == 3;
            if (round % 5 == 2) usleep(3000); // long enough to fall asleep
            pool_run(p, sums_job, s);
            assert_int_equal(atomic_load(&s->calls), N * (PHASES - PHASES / 5));
            assert_int_equal(atomic_load(&s->early), 0);
            assert_memory_equal(s->cell, want.cell, sizeof want.cell);
        }
        pool_close(p);
    }
    pool_close(NULL);
}

static void failures(void **state)
{
    (void)state;
    struct err   e = { 0 };
    struct pool *p = NULL;

    mem_fail_at(1);
    assert_err(pool_open(2, &p, &e), ERR_NO_MEMORY, "threads");
    mem_fail_at(1);
    assert_null(huge_alloc(100));
    char *big = huge_alloc((size_t)5 << 20);
    assert_non_null(big);
    assert_int_equal(big[((size_t)5 << 20) - 1], 0);
    huge_free(big, (size_t)5 << 20);
    huge_free(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(cores),
        cmocka_unit_test(affinity),
        cmocka_unit_test(quotas),
        cmocka_unit_test(phases),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
