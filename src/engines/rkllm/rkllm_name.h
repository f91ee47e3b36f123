/* rkllm_name.h - what a model file's name says about it, and which machine this is.
 *
 * A `.rkllm` file does not tell its context length or its chip before the library has loaded it, but who
 * converts models writes both into the name: Qwen_Qwen3-0.6B-w8a8-opt0-hybrid0-npu3-ctx16384-rk3588.rkllm.
 */
#ifndef CURLEW_ENGINES_RKLLM_RKLLM_NAME_H
#define CURLEW_ENGINES_RKLLM_RKLLM_NAME_H

#include <stdbool.h>

#include "base/str.h"

struct rkllm_name {
    struct str  model;    // "Qwen3-0.6B": who published it and all that follows left out; borrowed
    struct str  quant;    // "w8a8", "w4a16_g128", or empty; borrowed, as it was written
    int         n_ctx;    // 16384, 0: not said
    int         n_core;   // NPU cores it was made for, 0: not said
    int         opt;      // optimisation level, -1: not said
    const char *platform; // "rk3588", or NULL
};

/* Read the base name of a file, with or without its ending. Words that mean nothing here are passed over;
 * nothing can fail. */
struct rkllm_name rkllm_name_parse(struct str name);

/* The chips that there are libraries for. */
struct rkllm_platform {
    const char *name;     // "rk3588"
    int         n_core;   // NPU cores
    unsigned    cpu_mask; // its fast CPUs, bit n: CPU n
};
/* By name, also in capitals and with a letter after it ("RK3588S"); NULL when not known. */
const struct rkllm_platform *rkllm_platform_find(struct str name);
/* From the device tree's "compatible" (names with a NUL after each: "vendor,board\0rockchip,rk3588\0"). */
const struct rkllm_platform *rkllm_platform_of_tree(struct str compatible);

#endif
