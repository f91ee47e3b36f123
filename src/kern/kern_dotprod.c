/* kern_dotprod.c - the kernels for 64-bit Arm with byte dot products; the vectors are in kern_neon.h. */
#include "kern/kern_neon.h"

void kern_init_dotprod(struct kern *k)
{
    simd_fill(k, "dotprod");
}
