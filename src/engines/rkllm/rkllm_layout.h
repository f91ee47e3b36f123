/* rkllm_layout.h - the structs of Rockchip's librkllmrt as tables of offsets.
 *
 * The library has no version function and changed its structs between versions, so a struct is bytes here
 * and a field is an offset that the version decides. A struct is zeroed RKLLM_STRUCT_BYTES, enough for all.
 * Source of the numbers: rkllm_layout.def.
 */
#ifndef CURLEW_ENGINES_RKLLM_RKLLM_LAYOUT_H
#define CURLEW_ENGINES_RKLLM_RKLLM_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum rkllm_family { RKLLM_1_1, RKLLM_1_2_0, RKLLM_1_2, RKLLM_1_3, RKLLM_FAMILIES };

enum rkllm_field {
#define RKLLM_FIELD(name, v1_1, v1_2_0, v1_2, v1_3) RKLLM_##name,
#include "engines/rkllm/rkllm_layout.def"
#undef RKLLM_FIELD
    RKLLM_FIELDS
};

#define RKLLM_STRUCT_BYTES 512 // more than the largest struct of any version
#define RKLLM_PROBE_BYTES  4096 // what an unknown version may write as its defaults

struct rkllm_layout {
    enum rkllm_family family;
    const char       *name;        // "1.2": what --rkllm-layout calls it
    bool              callback_set; // the third argument of init is a struct of callbacks, not a function
    bool              templates;   // has rkllm_set_chat_template
    int16_t           at[RKLLM_FIELDS]; // offset, -1: no such field
};

const struct rkllm_layout *rkllm_layout(enum rkllm_family f);
/* By its name, or NULL. */
const struct rkllm_layout *rkllm_layout_find(struct str name);

/* Values that cross the border. */
enum rkllm_state { RKLLM_RUN_NORMAL, RKLLM_RUN_WAITING, RKLLM_RUN_FINISH, RKLLM_RUN_ERROR };
enum rkllm_input { RKLLM_INPUT_PROMPT, RKLLM_INPUT_TOKEN, RKLLM_INPUT_EMBED, RKLLM_INPUT_MULTIMODAL };
enum rkllm_mode { RKLLM_GENERATE, RKLLM_HIDDEN_LAYER, RKLLM_LOGITS };

/* The nine numbers of 1.3's sampling per request; the struct replaces init's values, all of them. */
struct rkllm_sampling {
    int32_t top_k;
    float   top_p, temperature, repeat_penalty, frequency_penalty, presence_penalty;
    int32_t mirostat;
    float   mirostat_tau, mirostat_eta;
};

/* Write or read a field of a struct; writing one that the family lacks does nothing, reading it gives 0. */
bool    rkllm_has(const struct rkllm_layout *l, enum rkllm_field f);
void    rkllm_put_i32(const struct rkllm_layout *l, void *s, enum rkllm_field f, int32_t v);
void    rkllm_put_i8(const struct rkllm_layout *l, void *s, enum rkllm_field f, int v);
void    rkllm_put_f32(const struct rkllm_layout *l, void *s, enum rkllm_field f, float v);
void    rkllm_put_size(const struct rkllm_layout *l, void *s, enum rkllm_field f, size_t v);
void    rkllm_put_ptr(const struct rkllm_layout *l, void *s, enum rkllm_field f, const void *v);
int32_t rkllm_get_i32(const struct rkllm_layout *l, const void *s, enum rkllm_field f);
int     rkllm_get_i8(const struct rkllm_layout *l, const void *s, enum rkllm_field f);
float   rkllm_get_f32(const struct rkllm_layout *l, const void *s, enum rkllm_field f);
const void *rkllm_get_ptr(const struct rkllm_layout *l, const void *s, enum rkllm_field f);

#endif
