/* unit.h - what every unit test includes: cmocka in the order it needs, and small helpers. */
#ifndef CURLEW_TESTS_UNIT_H
#define CURLEW_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define assert_str(s, lit)                                                                   \
    do {                                                                                     \
        struct str got_ = (s);                                                               \
        if (!str_eq(got_, str_c(lit)))                                                       \
            fail_msg("got \"" STR_FMT "\" (%zu bytes), want \"%s\"", STR_ARG(got_), got_.n, lit); \
    } while (0)

#define assert_ok(call)                                                           \
    do {                                                                          \
        if ((call) != 0) fail_msg("%s failed: %s", #call, e.msg);                 \
    } while (0)

/* The call fails with this code and its message holds this text. Needs a `struct err e` in scope. */
#define assert_err(call, want_code, text)                                                       \
    do {                                                                                        \
        memset(&e, 0, sizeof e);                                                                \
        int rc_ = (call);                                                                       \
        if (rc_ != -(int)(want_code) || e.code != (want_code))                                  \
            fail_msg("%s: got %d (%s), want -%d", #call, rc_, e.msg, (int)(want_code));         \
        if (!strstr(e.msg, text)) fail_msg("%s: message \"%s\" lacks \"%s\"", #call, e.msg, text); \
    } while (0)

/* Exit status that the runner counts as skipped; say why on stderr first. */
#define UNIT_SKIP 77

/* A path under the shared test material, or NULL when it is not there (then skip, and say so). */
static inline const char *unit_shared(const char *rel)
{
    static char path[4096];
    const char *root = getenv("CURLEW_SHARED");

    if (!root) return NULL;
    snprintf(path, sizeof path, "%s/%s", root, rel);
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fclose(f);
    return path;
}

/* A path under the project's own vectors (tests/data). */
static inline const char *unit_data(const char *rel)
{
    static char path[4096];
    const char *root = getenv("CURLEW_DATA");

    snprintf(path, sizeof path, "%s/%s", root ? root : "tests/data", rel);
    return path;
}

/* The whole file, NUL-terminated, to be freed; NULL when it cannot be read. */
static inline char *unit_read(const char *path, size_t *n)
{
    FILE *f = path ? fopen(path, "rb") : NULL;

    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *p = malloc((size_t)size + 1);
    *n = p ? fread(p, 1, (size_t)size, f) : 0;
    if (p) p[*n] = 0;
    fclose(f);
    return p;
}

#endif
