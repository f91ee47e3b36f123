/* fake_offsets.c - where the compiler puts the fields of fake_abi.h: what the engine's table must say. */
#include "engines/rkllm/rkllm_layout.h"
#include "fake_abi.h"

#define NAME_(layout) fake_offsets_##layout
#define NAME(layout)  NAME_(layout)
#define AT(field, type, member) [RKLLM_##field] = offsetof(struct fake_##type, member)
#define PARAM(member)  AT(param_##member, param, member)
#define EXTEND(member) AT(param_##member, param, extend_param.member)

extern const int16_t NAME(LAYOUT)[RKLLM_FIELDS];
const int16_t NAME(LAYOUT)[RKLLM_FIELDS] = {
    [RKLLM_param_size] = sizeof(struct fake_param),
    PARAM(model_path), PARAM(max_context_len), PARAM(max_new_tokens), PARAM(top_k), PARAM(top_p), PARAM(temperature),
    PARAM(repeat_penalty), PARAM(frequency_penalty), PARAM(presence_penalty), PARAM(mirostat), PARAM(mirostat_tau),
    PARAM(mirostat_eta), PARAM(skip_special_token), PARAM(is_async), EXTEND(base_domain_id),
    [RKLLM_input_size] = sizeof(struct fake_input),
    AT(input_type, input, input_type), AT(input_prompt, input, u.prompt), AT(input_tok, input, u.token.data),
    AT(input_n_tok, input, u.token.n),
    [RKLLM_infer_size] = sizeof(struct fake_infer),
    AT(infer_mode, infer, mode), AT(infer_lora, infer, lora_params), AT(infer_prompt_cache, infer, prompt_cache_params),
    [RKLLM_result_size] = sizeof(struct fake_result),
    AT(result_text, result, text), AT(result_token_id, result, token_id),
    AT(result_hidden, result, hidden.hidden_states), AT(result_hidden_n_embd, result, hidden.embd_size),
    AT(result_hidden_n_tok, result, hidden.num_tokens),
    [RKLLM_adapter_size] = sizeof(struct fake_lora_adapter),
    AT(adapter_path, lora_adapter, path), AT(adapter_name, lora_adapter, name), AT(adapter_scale, lora_adapter, scale),

#if LAYOUT == 11
    [RKLLM_param_n_keep] = -1, [RKLLM_param_embed_flash] = -1, [RKLLM_param_enabled_cpus_num] = -1,
    [RKLLM_param_enabled_cpus_mask] = -1, [RKLLM_infer_keep_history] = -1, [RKLLM_result_logits] = -1,
    [RKLLM_result_logits_n_vocab] = -1, [RKLLM_result_logits_n_tok] = -1,
#else
    PARAM(n_keep), EXTEND(embed_flash), EXTEND(enabled_cpus_num), EXTEND(enabled_cpus_mask),
    AT(infer_keep_history, infer, keep_history), AT(result_logits, result, logits.logits),
    AT(result_logits_n_vocab, result, logits.vocab_size), AT(result_logits_n_tok, result, logits.num_tokens),
#endif
#if LAYOUT == 12 || LAYOUT == 13
    EXTEND(n_batch), EXTEND(use_cross_attn), AT(input_role, input, role),
    AT(input_enable_thinking, input, enable_thinking), AT(result_prefill_ms, result, perf.prefill_time_ms),
    AT(result_prefill_tok, result, perf.prefill_tokens), AT(result_generate_ms, result, perf.generate_time_ms),
    AT(result_generate_tok, result, perf.generate_tokens), AT(result_memory_mb, result, perf.memory_usage_mb),
#else
    [RKLLM_param_n_batch] = -1, [RKLLM_param_use_cross_attn] = -1, [RKLLM_input_role] = -1,
    [RKLLM_input_enable_thinking] = -1, [RKLLM_result_prefill_ms] = -1, [RKLLM_result_prefill_tok] = -1,
    [RKLLM_result_generate_ms] = -1, [RKLLM_result_generate_tok] = -1, [RKLLM_result_memory_mb] = -1,
#endif
#if LAYOUT == 13
    PARAM(ignore_eos_token), AT(infer_sampling, infer, sampling_params), AT(infer_max_new_tokens, infer, max_new_tokens),
    [RKLLM_param_img_start] = -1, [RKLLM_param_img_end] = -1, [RKLLM_param_img_content] = -1,
#else
    [RKLLM_param_ignore_eos_token] = -1, [RKLLM_infer_sampling] = -1, [RKLLM_infer_max_new_tokens] = -1,
    PARAM(img_start), PARAM(img_end), PARAM(img_content),
#endif
};
