/* kern_neon.c - the kernels for every 64-bit Arm; the vectors are in kern_neon.h. */
#include "kern/kern_neon.h"

void kern_init_neon(struct kern *k)
{
    simd_fill(k, "neon");
}
