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
#elif defined(__aarch64__)
    if (!(flags & CPU_NEON)) return;
    kern_init_neon(k);
    if (flags & CPU_DOTPROD) kern_init_dotprod(k);
    if (flags & CPU_I8MM) kern_init_i8mm(k);
#else
    (void)flags;
#endif
}
