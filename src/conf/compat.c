/* compat.c - what the replaced servers called things. */
#include "conf/compat.h"

#include "base/cc.h"

const struct compat_row compat_table[] = {
    { COMPAT_RKLLM_OPENAI, COMPAT_DEFAULT, .old = "port", .value = "8080" },

    { COMPAT_QWEN_AXCL, COMPAT_DEFAULT, .old = "port", .value = "8000" },

    { COMPAT_FAST_INFERENCE, COMPAT_DEFAULT, .old = "port", .value = "8000" },
    { COMPAT_FAST_INFERENCE, COMPAT_FLAG, .old = "--model-path", .opt = "model" },
    { COMPAT_FAST_INFERENCE, COMPAT_FLAG, .old = "--tokenizer-path",
      .why = "a GGUF file carries its own tokenizer" },
    { COMPAT_FAST_INFERENCE, COMPAT_FLAG, .old = "--host", .opt = "host" },
    { COMPAT_FAST_INFERENCE, COMPAT_FLAG, .old = "--port", .opt = "port" },

    { COMPAT_GEMMA_GATEWAY, COMPAT_ENV, .old = "SGLANG_URL", .opt = "upstream" },
    { COMPAT_GEMMA_GATEWAY, COMPAT_ENV, .old = "MODEL_NAME", .opt = "alias" },
    { COMPAT_GEMMA_GATEWAY, COMPAT_ENV, .old = "HOST", .opt = "host" },
    { COMPAT_GEMMA_GATEWAY, COMPAT_ENV, .old = "PORT", .opt = "port" },
    { COMPAT_GEMMA_GATEWAY, COMPAT_ENV, .old = "ENABLE_AUDIO", .words = "false|0|no|",
      .why = "there is no audio yet" },
    { COMPAT_GEMMA_GATEWAY, COMPAT_ENV, .old = "HF_TOKEN", .why = "nothing is downloaded" },

    { COMPAT_SIMPLE_RKLLM, COMPAT_DEFAULT, .old = "port", .value = "5000" },
#define COMPAT_RKLLM(flag, to) { COMPAT_SIMPLE_RKLLM, COMPAT_FLAG, .old = flag, .opt = to },
#include "conf/compat_rkllm.def"
#undef COMPAT_RKLLM
};
const size_t compat_count = ARRAY_LEN(compat_table);

const struct compat_row *compat_flag(enum compat_who who, struct str name)
{
    for (size_t i = 0; i < compat_count; i++) {
        const struct compat_row *r = &compat_table[i];
        if (r->who == who && r->kind == COMPAT_FLAG && str_eq(name, str_c(r->old + 2))) return r;
    }
    return NULL;
}

const char *compat_name(enum compat_who who)
{
    static const char *const names[] = { "none", "rkllm-openai", "qwen-axcl", "fast-inference", "gemma-gateway",
                                         "simple-rkllm" };
    return names[who];
}
