/* cpu_arch.c - the families of models the engine knows, one row each.
 *
 * A row says only what the file does not: how HACKING.md, "add a family", tells. Facts are from the
 * models' own papers and published configurations, tensor names from the GGUF specification.
 */
#include "engines/cpu/cpu_int.h"

static const struct cpu_arch archs[] = {
    /* Llama 1 to 3, Mistral, TinyLlama, SmolLM, SmolLM2 */
    { .name = "llama", .traits = FAM_MAY_BIAS_QKV | FAM_MAY_BIAS_O | FAM_MAY_EXPERTS, .swa_every = FAM_SWA_ALL },
    { .name = "qwen2", .traits = FAM_NEOX | FAM_MAY_BIAS_QKV },
    { .name = "qwen3", .traits = FAM_NEOX | FAM_QK_NORM },
    { .name = "qwen3moe", .traits = FAM_NEOX | FAM_QK_NORM | FAM_EXPERTS },
    { .name = "gemma2", .traits = FAM_NEOX | FAM_POST_NORMS | FAM_EMBD_SQRT, .act = CPU_ACT_GELU, .swa_every = 2,
      .attn_softcap = 50, .final_softcap = 30, .narrow_scale_layers = 46 }, // the 27B model
    { .name = "gemma3", .traits = FAM_NEOX | FAM_QK_NORM | FAM_POST_NORMS | FAM_EMBD_SQRT | FAM_SWA_ROPE,
      .act = CPU_ACT_GELU, .swa_every = 6, .narrow_scale_layers = 62 },
    /* Phi 3, 3.5 and 4 */
    { .name = "phi3", .traits = FAM_NEOX | FAM_FUSED_QKV | FAM_FUSED_GATE, .swa_every = FAM_SWA_ALL },
    { .name = "granite", .traits = FAM_MAY_BIAS_QKV | FAM_MAY_BIAS_O },
    { .name = "smollm3", .traits = FAM_MAY_BIAS_QKV | FAM_MAY_BIAS_O, .nope_every = 4 },
    { .name = "gpt2", .act = CPU_ACT_GELU,
      .traits = FAM_LAYER_NORM | FAM_LEARNED_POS | FAM_FUSED_QKV | FAM_BIAS_QKV | FAM_BIAS_O | FAM_BIAS_FFN | FAM_NO_GATE },
    { .name = "starcoder2", .act = CPU_ACT_GELU, .swa_every = FAM_SWA_ALL,
      .traits = FAM_NEOX | FAM_LAYER_NORM | FAM_MAY_BIAS_QKV | FAM_MAY_BIAS_O | FAM_BIAS_FFN | FAM_NO_GATE },
    { .name = "gpt-oss", .act = CPU_ACT_SWIGLU_OAI, .swa_every = 2,
      .traits = FAM_NEOX | FAM_BIAS_QKV | FAM_BIAS_O | FAM_EXPERTS | FAM_BIAS_EXPERTS | FAM_SINKS | FAM_FFN_NORM_POST },

    /* Encoders. BERT, MiniLM, BGE, E5, XLM-RoBERTa (bge-m3 and its reranker) */
    { .name = "bert", .act = CPU_ACT_GELU,
      .traits = FAM_ENCODER | FAM_LAYER_NORM | FAM_LEARNED_POS | FAM_BIAS_QKV | FAM_BIAS_O | FAM_BIAS_FFN | FAM_NO_GATE },
    { .name = "nomic-bert",
      .traits = FAM_ENCODER | FAM_LAYER_NORM | FAM_NEOX | FAM_MAY_BIAS_QKV | FAM_MAY_BIAS_O | FAM_MAY_BIAS_FFN },
    { .name = "jina-bert-v2", .act = CPU_ACT_GELU,
      .traits = FAM_ENCODER | FAM_LAYER_NORM | FAM_ALIBI | FAM_BIAS_QKV | FAM_BIAS_O | FAM_MAY_BIAS_FFN },
};

int cpu_arch_count(void)
{
    return (int)ARRAY_LEN(archs);
}

const struct cpu_arch *cpu_arch_at(int i)
{
    return &archs[i];
}
