/* cpu.h - what this processor and its system let us use.
 *
 * Instruction sets count only when the system saves their registers too. The environment variable
 * CPU lowers what is used (CPU=ref, CPU=avx2, CPU=dotprod, ...), so that every path can be run on one machine.
 */
#ifndef CURLEW_OS_CPU_H
#define CURLEW_OS_CPU_H

#include <stdbool.h>

#include "base/err.h"

enum cpu_flag {
    CPU_AVX2    = 1 << 0, // AVX2, FMA and F16C
    CPU_AVX512  = 1 << 1, // AVX-512 F, BW, DQ, VL and VNNI, on top of CPU_AVX2
    CPU_NEON    = 1 << 2, // every 64-bit Arm
    CPU_DOTPROD = 1 << 3, // byte dot products, on top of CPU_NEON
    CPU_I8MM    = 1 << 4, // the same with mixed signs, on top of CPU_DOTPROD
};

/* The instruction sets to use, of enum cpu_flag. `level` is the value of CPU, NULL or "" for all
 * there are; "ref" is plain C. BAD_CONFIG when the level is unknown or this machine lacks it. */
NODISCARD int cpu_features(const char *level, unsigned *ret, struct err *e);

/* Processors this process may use: its affinity mask, and no more than its control group's quota
 * rounded up; at least 1. `n_core` counts the strong ones (cpu_strong), each core once: so many compute
 * threads are best. Reads /proc and /sys: call before rights are dropped. */
struct cpu_count {
    int n_cpu;
    int n_core;
};
struct cpu_count cpu_count(void);

/* Which of n processors are strong: of those allowed, all with three quarters of the strongest one's capacity, where the
 * system tells big from little. Returns how many cores they are: threads of one core share what a dot product needs, and
 * a phase ends when its slowest thread does. `root` as below. */
int cpu_strong(const char *root, const bool *allowed, int n, bool *strong);

/* Keep this thread, and those it starts, off the weak cores, when there are some and the strong ones are as many as
 * threads. True when that was done. Not one core for each thread: a machine is seldom ours alone, and a thread tied to a
 * core that is taken stands still beside one that is free. */
bool cpu_confine(int n_thread);

/* The quota alone, in processors rounded up, 0 for none; `root` is put in front of the paths of
 * /proc and /sys ("" for the real ones). cgroup v2 and v1; parents count. */
int cpu_quota(const char *root);

#endif
