/* fake_abi.h - the structs of librkllmrt as C declares them, for LAYOUT 11, 120, 12 or 13.
 *
 * Written from the field lists of the releases' headers and on purpose not from the engine's offset tables:
 * a test compares the two.
 */
#ifndef FAKE_ABI_H
#define FAKE_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_extend {
    int32_t base_domain_id;
#if LAYOUT == 11
    uint8_t reserved[112];
#else
    int8_t   embed_flash;
    int8_t   enabled_cpus_num;
    uint32_t enabled_cpus_mask;
#if LAYOUT == 120
    uint8_t reserved[106];
#else
    uint8_t n_batch;
    int8_t  use_cross_attn;
    uint8_t reserved[104];
#endif
#endif
};

struct fake_param {
    const char *model_path;
    int32_t     max_context_len, max_new_tokens, top_k;
#if LAYOUT != 11
    int32_t n_keep;
#endif
    float   top_p, temperature, repeat_penalty, frequency_penalty, presence_penalty;
    int32_t mirostat;
    float   mirostat_tau, mirostat_eta;
    bool    skip_special_token;
#if LAYOUT == 13
    bool ignore_eos_token;
#endif
    bool is_async;
#if LAYOUT != 13
    const char *img_start, *img_end, *img_content;
#endif
    struct fake_extend extend_param;
};

struct fake_embed { // three of the union's members look like this
    const void *data;
    size_t      n;
};

struct fake_multimodal {
    const char *prompt;
    float      *image_embed;
    size_t      n_image_tokens;
#if LAYOUT >= 12 && LAYOUT != 120
    size_t n_image;
#endif
#if LAYOUT == 12
    size_t image_width, image_height;
#elif LAYOUT == 13
    const char *image_start, *image_end, *image_content;
    size_t      image_width, image_height;
    float      *video_embed;
    size_t      n_frame_tokens, n_frame_per_video, n_video;
    const char *video_start, *video_end, *video_content;
    size_t      frame_width, frame_height;
#elif LAYOUT == 120
    size_t n_image, image_width, image_height; // 1.2.1b1; 1.2.0 ends before
#endif
};

struct fake_input {
#if LAYOUT == 12 || LAYOUT == 13
    const char *role;
    bool        enable_thinking;
#endif
    int32_t input_type;
    union {
        const char            *prompt;
        struct fake_embed      embed, token;
        struct fake_multimodal multimodal;
    } u;
};

struct fake_lora_param {
    const char *name;
};

struct fake_cache_param {
    int32_t     save;
    const char *path;
};

struct fake_sampling {
    int32_t top_k;
    float   top_p, temperature, repeat_penalty, frequency_penalty, presence_penalty;
    int32_t mirostat;
    float   mirostat_tau, mirostat_eta;
};

struct fake_infer {
    int32_t                  mode;
    struct fake_lora_param  *lora_params;
    struct fake_cache_param *prompt_cache_params;
#if LAYOUT == 13
    struct fake_sampling *sampling_params;
#endif
#if LAYOUT != 11
    int32_t keep_history;
#endif
#if LAYOUT == 13
    int32_t max_new_tokens;
#endif
};

struct fake_lora_adapter {
    const char *path, *name;
    float       scale;
};

struct fake_result {
    const char *text;
    int32_t     token_id;
    struct {
        const float *hidden_states;
        int32_t      embd_size, num_tokens;
    } hidden;
#if LAYOUT != 11
    struct {
        const float *logits;
        int32_t      vocab_size, num_tokens;
    } logits;
#endif
#if LAYOUT == 12 || LAYOUT == 13
    struct {
        float   prefill_time_ms;
        int32_t prefill_tokens;
        float   generate_time_ms;
        int32_t generate_tokens;
        float   memory_usage_mb;
    } perf;
#endif
};

enum { FAKE_NORMAL, FAKE_WAITING, FAKE_FINISH, FAKE_ERROR };
enum { FAKE_PROMPT, FAKE_TOKEN, FAKE_EMBED, FAKE_MULTIMODAL };

#if LAYOUT == 12 || LAYOUT == 13
typedef int fake_result_fn(struct fake_result *r, void *userdata, int state);
#else
typedef void fake_result_fn(struct fake_result *r, void *userdata, int state);
#endif

struct fake_callbacks { // 1.3
    fake_result_fn *result_callback;
    void           *result_userdata;
    void           *tokenizer_callback, *tokenizer_userdata;
    void           *embed_callback, *embed_userdata;
};

#endif
