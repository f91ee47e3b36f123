/* kern_i8mm.c - the kernels for 64-bit Arm with dot products of mixed signs; the vectors are in kern_neon.h. */
#include "kern/kern_neon.h"

void kern_init_i8mm(struct kern *k)
{
    simd_fill(k, "i8mm");
}
