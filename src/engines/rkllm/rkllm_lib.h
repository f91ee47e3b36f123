/* rkllm_lib.h - librkllmrt.so: loaded, its version found out, its functions.
 *
 * Nothing in the library says which version it is, and structs of the wrong version crash it in the middle
 * of a run. Three things are looked at, and they must agree:
 *
 *   text      "RKLLM SDK (version: X.Y.Z" somewhere in the file
 *   symbols   which functions it exports (1.2.1 and 1.3.0 export the same)
 *   defaults  what rkllm_createDefaultParam writes, and where
 *
 * Each gives a set of families; exactly one must be in all of them, or the library is refused with what was
 * found. Loading runs the vendor's code: do it in a process that may die of it.
 */
#ifndef CURLEW_ENGINES_RKLLM_RKLLM_LIB_H
#define CURLEW_ENGINES_RKLLM_RKLLM_LIB_H

#include "base/err.h"
#include "engines/rkllm/rkllm_layout.h"

#define RKLLM_LIB_NAME "librkllmrt.so"

typedef int rkllm_callback(void *result, void *userdata, int state); // earlier versions ignore its value

struct rkllm_lib {
    void                      *dl;     // owned; never closed: the library has threads of its own
    const struct rkllm_layout *layout; // what to use
    char                       version[32]; // of the text, or ""
    unsigned                   by_text, by_symbol, by_default; // 1 << enum rkllm_family
    unsigned char              defaults[RKLLM_PROBE_BYTES]; // as createDefaultParam wrote them, over zeros

    /* pointers of init, run ... are void * here; NULL: this version has no such function */
    void *(*create_default)(void);
    int (*init)(void **handle, void *param, void *callback);
    int (*run)(void *handle, void *input, void *infer, void *userdata);
    int (*run_async)(void *handle, void *input, void *infer, void *userdata);
    int (*abort)(void *handle);
    int (*is_running)(void *handle);
    int (*destroy)(void *handle);
    int (*load_lora)(void *handle, void *adapter);
    int (*load_prompt_cache)(void *handle, const char *path);
    int (*release_prompt_cache)(void *handle);
    int (*clear_kv_cache)(void *handle, int keep_system, int *start, int *end);
    int (*get_kv_cache_size)(void *handle, int *sizes);
    int (*set_chat_template)(void *handle, const char *system, const char *prefix, const char *postfix);
    int (*set_function_tools)(void *handle, const char *system, const char *tools, const char *tag);
    int (*set_cross_attn_params)(void *handle, void *params);
};

/* The functions that are looked for, with whether each was found: for reports. */
struct rkllm_symbol {
    const char *name;
    bool        there, needed;
};
#define RKLLM_SYMBOLS 15

/* Load the library at path (a bare name: where the loader looks) and read its defaults. Fills what was found
 * even where no layout fits (*layout stays NULL). Error: what dlopen said, or which function is missing. */
NODISCARD int rkllm_lib_open(const char *path, struct rkllm_lib *ret, struct err *e);
/* Choose the layout: `want` is "auto" or a name from rkllm_layout.def that overrides. Error: the three
 * findings. */
NODISCARD int rkllm_lib_choose(struct rkllm_lib *lib, const char *want, struct err *e);
void rkllm_lib_symbols(const struct rkllm_lib *lib, struct rkllm_symbol ret[RKLLM_SYMBOLS]);
/* The families of a set as text: "1.2.0 or 1.2", "none". */
const char *rkllm_lib_families(unsigned set, char *buf, size_t size);

/* For tests: the set that a version's text and a block of defaults give. */
unsigned rkllm_lib_by_text(struct str version);
unsigned rkllm_lib_by_default(const void *defaults);

#endif
