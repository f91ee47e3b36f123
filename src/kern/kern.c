/* kern.c - fill the kernel table for this machine. */
#include "kern/kern_int.h"

#include "os/cpu.h"

void kern_init(struct kern *k, unsigned flags)
{
    kern_init_ref(k);
#if defined(__x86_64__)
    if (!(flags & CPU_AVX2)) return;
    kern_init_avx2(k);
    if (!(flags & CPU_AVX512)) return;
    kern_init_avx512(k);
#else
    (void)flags;
#endif
}
