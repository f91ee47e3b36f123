/* engine_rkllm.h - Rockchip's NPUs (RK3588, RK3576, RK3562, RV1126B) through librkllmrt.so.
 *
 * The library is the vendor's: it may crash, hang, print and leak, so it runs in a worker of its own and the
 * worker is what is repaired. It opens its model and its devices by path: rkllm_prepare gives up all other
 * rights. docs/npu.md is the page for users.
 */
#ifndef CURLEW_ENGINES_RKLLM_ENGINE_RKLLM_H
#define CURLEW_ENGINES_RKLLM_ENGINE_RKLLM_H

#include "base/arena.h"
#include "base/err.h"
#include "engine.h"

/* What the options say; strings are borrowed, NULL where not said. It is engine_conf's `own`. */
struct rkllm_conf {
    const char  *library;      // path; NULL: RKLLM_LIB_PATH, else where the loader looks
    const char  *layout;       // "auto" or a name of rkllm_layout.def
    const char  *lora;         // an adapter's file
    const char  *prompt_cache; // a file that rkllm_load_prompt_cache reads
    const char  *sampling;     // "top_k=20,temperature=0.6": the library's values at init
    const char **allow;        // [n_allow] more paths that the library may open, for writing too
    int          n_allow;
    int          domain;       // NPU address space, 0, 1, 2 ...
    unsigned     cpu_mask;     // 0: the platform's fast CPUs
    int          n_core;       // NPU cores, 0: as the file's name says, else the platform's
    const char  *platform;     // "rk3588", or NULL: not known
    int          stall_ms;     // silence of the library before it counts as stuck
    bool         text_in;      // give it text even where there is a tokenizer
    bool         text_out;     // take its text even where it gives token ids
    bool         own_template; // text input: its own template is switched off
    bool         fd_path;      // name the model /proc/self/fd/N
    bool         reuse;        // keep the KV cache of a conversation that goes on
};

/* In the worker, before it reads a byte of the model: the descriptor limit, the capture of what the library
 * prints, and then only the rights that the library needs (os/sandbox.h). `file` are those of engine_conf. */
NODISCARD int rkllm_prepare(const struct rkllm_conf *c, const struct engine_file *file, int n_file, bool *landlock,
                            struct err *e);

/* The file of engine_conf whose lock makes the machine's loads go one after the other; may be absent. */
#define RKLLM_LOCK_NAME "npu.lock"

/* The context to load a model with: what was asked for (0: nothing was), else what its file's name says. */
int rkllm_ctx_wanted(const char *name, int asked);
/* After a failed open with that context: the smaller one that the library said the model has, or 0. The
 * library cannot be asked twice: try it in a fresh worker. */
int rkllm_retry_ctx(int wanted);

extern const struct engine_ops engine_rkllm;

#endif
