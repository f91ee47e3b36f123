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

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof(0[a]))

#endif
