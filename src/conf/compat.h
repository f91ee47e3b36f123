/* compat.h - the servers that --compat stands in for: their flags and variables, in our terms.
 *
 * One row for each name that one of them had. What a name means here, or why it means nothing here, is in the
 * row; docs/switching.md shows the same table. */
#ifndef CURLEW_CONF_COMPAT_H
#define CURLEW_CONF_COMPAT_H

#include "base/str.h"

enum compat_who { // order of --compat's words
    COMPAT_NONE,
    COMPAT_RKLLM_OPENAI,
    COMPAT_QWEN_AXCL,
    COMPAT_FAST_INFERENCE,
    COMPAT_GEMMA_GATEWAY,
    COMPAT_SIMPLE_RKLLM,
};

enum compat_kind { COMPAT_FLAG, COMPAT_ENV, COMPAT_DEFAULT };

struct compat_row {
    enum compat_who  who;
    enum compat_kind kind;
    const char      *old;   // "--rkllm_model_path", "SGLANG_URL"; DEFAULT: our option
    const char      *opt;   // our option, or NULL: see `why`
    const char      *words; // values that are accepted, "a|b"; NULL: any
    const char      *value; // DEFAULT: what it is
    bool             refused; // asking for it is an error; else it is accepted without effect
    const char      *why;   // NULL when it means an option
};

extern const struct compat_row compat_table[];
extern const size_t            compat_count;

/* The row of a flag's name (without dashes), or NULL. */
const struct compat_row *compat_flag(enum compat_who who, struct str name);

const char *compat_name(enum compat_who who); // "simple-rkllm"

#endif
