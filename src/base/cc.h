/* cc.h - the few compiler extensions the project uses, in one place. */
#ifndef CURLEW_BASE_CC_H
#define CURLEW_BASE_CC_H

#include <stddef.h>

#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define NODISCARD               __attribute__((warn_unused_result))
#define NORETURN                __attribute__((noreturn))
#define COLD                    __attribute__((cold))
#define MAY_ALIAS               __attribute__((may_alias))
#define ALIGNED(n)              __attribute__((aligned(n)))

/* Of a function with long loops: also compile it for wider vectors; which one runs is decided when the program
 * starts. Same operations, same bits (the build forbids contraction). Only where the C library can do that (ifunc), and
 * not under sanitizers, which are not awake yet when it decides. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define WIDE_VECTORS __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define WIDE_VECTORS
#endif

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof(0[a]))

#endif
