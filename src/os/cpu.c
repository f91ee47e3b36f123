/* cpu.c - see cpu.h. cpuid bits: Intel SDM volume 2A, AMD APM volume 3; quotas: cgroup-v2.rst and
 * sched-bwc.rst of the Linux documentation. */
#include "os/cpu.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* Which register files the system saves (XCR0). */
static uint64_t saved_state(void)
{
    uint32_t lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static unsigned detect(void)
{
    enum { SAVED_YMM = 0x6, SAVED_ZMM = 0xE6 };
    unsigned a, b, c, d, flags = 0;

    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    unsigned need = bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C;
    if ((c & need) != need) return 0;
    uint64_t saved = saved_state();
    if ((saved & SAVED_YMM) != SAVED_YMM) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (b & bit_AVX2) flags |= CPU_AVX2;

    need = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if ((flags & CPU_AVX2) && (b & need) == need && (c & bit_AVX512VNNI) &&
        (saved & SAVED_ZMM) == SAVED_ZMM)
        flags |= CPU_AVX512;
    return flags;
}
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

/* What the kernel tells every process: Documentation/arm64/elf_hwcaps.rst of Linux. */
static unsigned detect(void)
{
    unsigned flags = CPU_NEON;

    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) flags |= CPU_DOTPROD;
    if ((flags & CPU_DOTPROD) && (getauxval(AT_HWCAP2) & HWCAP2_I8MM)) flags |= CPU_I8MM;
    return flags;
}
#else
static unsigned detect(void)
{
    return 0;
}
#endif

static const struct {
    const char *name;
    unsigned    flags;
} levels[] = {
    { "ref", 0 },
    { "avx2", CPU_AVX2 },
    { "avx512", CPU_AVX2 | CPU_AVX512 },
    { "neon", CPU_NEON },
    { "dotprod", CPU_NEON | CPU_DOTPROD },
    { "i8mm", CPU_NEON | CPU_DOTPROD | CPU_I8MM },
};

int cpu_features(const char *level, unsigned *ret, struct err *e)
{
    unsigned have = detect();

    if (!level || !*level) {
        *ret = have;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (strcmp(level, levels[i].name)) continue;
        if (levels[i].flags & ~have)
            return err_set(e, ERR_BAD_CONFIG, "CPU=%s: this machine has no %s", level, level);
        *ret = levels[i].flags;
        return 0;
    }
    char q[LIM_QUOTE_BYTES];
    return err_set(e, ERR_BAD_CONFIG, "CPU=\"%s\" is unknown; there are ref, avx2, avx512, neon, dotprod and i8mm",
                   str_quote(q, sizeof q, str_c(level)));
}

/* --- how many --- */

/* The first `size` - 1 bytes of a small file, as a string; empty when it cannot be read. */
static struct str slurp(char *buf, size_t size, const char *path)
{
    FILE *f = fopen(path, "re");

    if (!f) return STR_NULL;
    size_t n = fread(buf, 1, size - 1, f);
    fclose(f);
    return str_trim((struct str){ buf, n });
}

static bool slurp_int(const char *path, int64_t *ret)
{
    char buf[64];
    return str_to_i64(slurp(buf, sizeof buf, path), ret);
}

/* Processors for `quota` of every `period` microseconds, rounded up; 0 when not limited. */
static int quota_cpus(int64_t quota, int64_t period)
{
    if (quota <= 0 || period <= 0) return 0;
    int64_t n = quota / period + (quota % period != 0);
    return n > 1 << 20 ? 1 << 20 : (int)n;
}

static int least(int a, int b) // of two limits, 0 for none
{
    return !a ? b : !b ? a : a < b ? a : b;
}

/* Quota of the group at `path` under the hierarchy `mount` and of its parents. */
static int group_quota(const char *root, const char *mount, struct str path, bool v2)
{
    int limit = 0;

    for (;;) {
        char file[4096], buf[64];
        int64_t quota = 0, period = 0;
        int  n = path.n > 2048 ? 2048 : (int)path.n;

        if (v2) {
            snprintf(file, sizeof file, "%s%s%.*s/cpu.max", root, mount, n, path.p ? path.p : "");
            struct str rest = slurp(buf, sizeof buf, file), q;
            if (str_cut(&rest, ' ', &q) && str_to_i64(q, &quota) && str_to_i64(rest, &period))
                limit = least(limit, quota_cpus(quota, period));
        } else {
            snprintf(file, sizeof file, "%s%s%.*s/cpu.cfs_quota_us", root, mount, n, path.p ? path.p : "");
            if (slurp_int(file, &quota)) {
                snprintf(file, sizeof file, "%s%s%.*s/cpu.cfs_period_us", root, mount, n,
                         path.p ? path.p : "");
                if (slurp_int(file, &period)) limit = least(limit, quota_cpus(quota, period));
            }
        }
        if (path.n == 0) return limit;
        while (path.n && path.p[path.n - 1] != '/') path.n--; // to the parent
        if (path.n) path.n--;
    }
}

int cpu_quota(const char *root)
{
    char        path[4096], buf[8192];
    int         limit = 0;
    struct str  line;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    /* lines of "number:controllers:path"; v2 has no controllers */
    for (struct str rest = slurp(buf, sizeof buf, path); str_cut(&rest, '\n', &line);) {
        struct str number, names, name;
        if (!str_cut(&line, ':', &number) || !str_cut(&line, ':', &names)) continue;
        if (line.n && line.p[line.n - 1] == '/') line.n--;
        if (!names.n) {
            limit = least(limit, group_quota(root, "/sys/fs/cgroup", line, true));
            continue;
        }
        while (str_cut(&names, ',', &name))
            if (str_eq(name, STR("cpu")))
                limit = least(limit, group_quota(root, "/sys/fs/cgroup/cpu", line, false));
    }
    return limit;
}

/* Is `cpu` in a list of the kernel's, "0,4-7"? */
static bool in_list(struct str list, int cpu)
{
    struct str part;

    while (str_cut(&list, ',', &part)) {
        struct str first;
        int64_t    lo, hi;
        if (!str_cut(&part, '-', &first) || !str_to_i64(first, &lo)) continue;
        if (!part.p || !str_to_i64(part, &hi)) hi = lo;
        if (cpu >= lo && cpu <= hi) return true;
    }
    return false;
}

/* How strong a processor is, of 1024: what Linux works out from the device tree or the firmware (sysfs-devices-system-cpu
 * of its documentation); else Intel's small cores, which are not in the list of the large ones' counters. */
static int64_t strength(const char *root, int cpu, struct str large)
{
    char    path[256];
    int64_t v;

    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/cpu_capacity", root, cpu);
    if (slurp_int(path, &v) && v > 0) return v;
    return large.n && !in_list(large, cpu) ? 512 : 1024;
}

/* The first processor of this one's core, of those that count. */
static int core_of(const char *root, int cpu, const bool *counts)
{
    char path[256], buf[4096];

    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", root, cpu);
    struct str list = slurp(buf, sizeof buf, path);
    for (int i = 0; i < cpu; i++)
        if (counts[i] && in_list(list, i)) return i;
    return cpu;
}

int cpu_strong(const char *root, const bool *allowed, int n, bool *strong)
{
    char       path[256], buf[4096];
    int64_t    best = 0, v;
    int        n_core = 0;

    snprintf(path, sizeof path, "%s/sys/devices/cpu_core/cpus", root);
    struct str large = slurp(buf, sizeof buf, path);
    for (int i = 0; i < n; i++)
        if (allowed[i] && (v = strength(root, i, large)) > best) best = v;
    for (int i = 0; i < n; i++) strong[i] = allowed[i] && 4 * strength(root, i, large) >= 3 * best;
    for (int i = 0; i < n; i++) n_core += strong[i] && core_of(root, i, strong) == i;
    return n_core;
}

#ifdef __linux__
enum { CPUS = 8192 };

/* This process' processors, as flags; false when the system does not tell. */
static bool get_allowed(bool allowed[CPUS])
{
    const size_t bytes = CPU_ALLOC_SIZE(CPUS);
    cpu_set_t   *set = CPU_ALLOC(CPUS);
    bool         got = set && sched_getaffinity(0, bytes, set) == 0;

    for (int i = 0; got && i < CPUS; i++) allowed[i] = CPU_ISSET_S(i, bytes, set);
    CPU_FREE(set);
    return got;
}

struct cpu_count cpu_count(void)
{
    struct cpu_count c = { 0, 0 };
    bool allowed[CPUS] = { false }, strong[CPUS];

    if (get_allowed(allowed)) {
        for (int i = 0; i < CPUS; i++) c.n_cpu += allowed[i];
        c.n_core = cpu_strong("", allowed, CPUS, strong);
    }
    c.n_cpu = least(c.n_cpu ? c.n_cpu : 1, cpu_quota(""));
    c.n_core = least(c.n_core ? c.n_core : 1, c.n_cpu);
    return c;
}

bool cpu_confine(int n_thread)
{
    const size_t bytes = CPU_ALLOC_SIZE(CPUS);
    bool allowed[CPUS] = { false }, strong[CPUS];
    int  n_weak = 0;

    if (!get_allowed(allowed) || n_thread > cpu_strong("", allowed, CPUS, strong)) return false;
    for (int i = 0; i < CPUS; i++) n_weak += allowed[i] && !strong[i];
    cpu_set_t *set = n_weak ? CPU_ALLOC(CPUS) : NULL;
    if (!set) return false;
    CPU_ZERO_S(bytes, set);
    for (int i = 0; i < CPUS; i++)
        if (strong[i]) CPU_SET_S(i, bytes, set);
    bool done = sched_setaffinity(0, bytes, set) == 0;
    CPU_FREE(set);
    return done;
}
#else
struct cpu_count cpu_count(void)
{
    return (struct cpu_count){ 1, 1 };
}

bool cpu_confine(int n_thread)
{
    (void)n_thread;
    return false;
}
#endif
