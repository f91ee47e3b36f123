/* rkllm_lib.c - load librkllmrt.so and find out which one it is. */
#include "engines/rkllm/rkllm_lib.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"

#define FAMILY(f) (1u << RKLLM_##f)
#define SDK_TEXT  "RKLLM SDK (version: "
#define FILE_MAX  GIB(1)

/* Every function: where its pointer goes, and whether all versions that we know have it. */
static const struct {
    const char *name;
    size_t      at;
    bool        needed;
} symbols[RKLLM_SYMBOLS] = {
#define SYMBOL(fn, sym, needed) { "rkllm_" sym, offsetof(struct rkllm_lib, fn), needed }
    SYMBOL(create_default, "createDefaultParam", true),
    SYMBOL(init, "init", true),
    SYMBOL(run, "run", true),
    SYMBOL(abort, "abort", true),
    SYMBOL(destroy, "destroy", true),
    SYMBOL(run_async, "run_async", false),
    SYMBOL(is_running, "is_running", false),
    SYMBOL(load_lora, "load_lora", false),
    SYMBOL(load_prompt_cache, "load_prompt_cache", false),
    SYMBOL(release_prompt_cache, "release_prompt_cache", false),
    SYMBOL(clear_kv_cache, "clear_kv_cache", false),
    SYMBOL(get_kv_cache_size, "get_kv_cache_size", false),
    SYMBOL(set_chat_template, "set_chat_template", false),
    SYMBOL(set_function_tools, "set_function_tools", false),
    SYMBOL(set_cross_attn_params, "set_cross_attn_params", false),
#undef SYMBOL
};

void rkllm_lib_symbols(const struct rkllm_lib *lib, struct rkllm_symbol ret[RKLLM_SYMBOLS])
{
    for (int i = 0; i < RKLLM_SYMBOLS; i++) {
        void *p;
        memcpy(&p, (const char *)lib + symbols[i].at, sizeof p);
        ret[i] = (struct rkllm_symbol){ symbols[i].name, p != NULL, symbols[i].needed };
    }
}

/* --- its text --- */

/* The version in the file's bytes, or nothing. */
static void read_version(const char *path, char *ret, size_t size)
{
    struct stat st;
    int         fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) return;
    if (fstat(fd, &st) == 0 && st.st_size > 0 && (uint64_t)st.st_size < FILE_MAX) {
        char *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED) {
            char  *end  = p + st.st_size;
            char  *text = memmem(p, (size_t)st.st_size, SDK_TEXT, sizeof SDK_TEXT - 1);
            size_t n    = 0;
            for (text = text ? text + sizeof SDK_TEXT - 1 : end; text < end && n + 1 < size; text++) {
                if (!(*text >= '0' && *text <= '9') && !(*text >= 'a' && *text <= 'z') && *text != '.') break;
                ret[n++] = *text;
            }
            ret[n] = 0;
            munmap(p, (size_t)st.st_size);
        }
    }
    close(fd);
}

unsigned rkllm_lib_by_text(struct str version)
{
    static const struct {
        const char *version;
        unsigned    set;
    } known[] = {
        { "1.1.0", FAMILY(1_1) }, { "1.1.1", FAMILY(1_1) }, { "1.1.2", FAMILY(1_1) }, { "1.1.3", FAMILY(1_1) },
        { "1.1.4", FAMILY(1_1) }, { "1.2.0", FAMILY(1_2_0) }, { "1.2.1b1", FAMILY(1_2_0) },
        { "1.2.1", FAMILY(1_2) }, { "1.2.2", FAMILY(1_2) }, { "1.2.3", FAMILY(1_2) }, { "1.3.0", FAMILY(1_3) },
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(version, str_c(known[i].version))) return known[i].set;
    return 0;
}

/* --- its symbols --- */

static unsigned by_symbol(const struct rkllm_lib *lib)
{
    if (!lib->run_async) return 0; // 1.0
    if (!lib->clear_kv_cache) return FAMILY(1_1);
    if (!lib->get_kv_cache_size) return FAMILY(1_2_0);
    return FAMILY(1_2) | FAMILY(1_3);
}

/* --- its defaults --- */

/* A pointer to a readable, empty C string? The kernel looks, so that a wild one is an error and no fault. */
static bool points_to_empty(const unsigned char *at)
{
    const char *p;
    char        c    = 1;
    int         fd[2];
    bool        good = false;

    memcpy(&p, at, sizeof p);
    if (!p || pipe2(fd, O_CLOEXEC) < 0) return false;
    if (write(fd[1], p, 1) == 1 && read(fd[0], &c, 1) == 1) good = c == 0;
    close(fd[0]);
    close(fd[1]);
    return good;
}

static float f32_at(const unsigned char *d, int at)
{
    float v;

    memcpy(&v, d + at, sizeof v);
    return v;
}

/* top_p is 0.9 in every version's defaults, and where it stands tells them apart. */
unsigned rkllm_lib_by_default(const void *defaults)
{
    const unsigned char *d     = defaults;
    const float          top_p = 0.9f;

    if (f32_at(d, 20) == top_p) return FAMILY(1_1);
    if (f32_at(d, 24) != top_p) return 0; // 1.0 has 40 at 20
    if (points_to_empty(d + 64) && points_to_empty(d + 72) && points_to_empty(d + 80))
        return FAMILY(1_2_0) | FAMILY(1_2);
    int32_t domain;
    memcpy(&domain, d + 60, sizeof domain);
    bool extend = domain == 0 && d[64] <= 1 && d[65] >= 1 && d[65] <= 8 && d[72] == 1;
    return extend ? FAMILY(1_3) : 0;
}

/* createDefaultParam returns a struct of a size that we do not know yet. The caller of such a function passes
 * a hidden pointer to the room for it: in the first argument's register on x86-64, in x8 on aarch64. Doing
 * that by hand gives room for any size, zeroed, so that what was left unwritten shows.
 * Source: System V psABI AMD64 sec. 3.2.3; AAPCS64 sec. 6.9. */
static void call_default(const struct rkllm_lib *lib, void *room)
{
#if defined(__aarch64__)
    register void *x8 __asm__("x8") = room;
    __asm__ volatile("blr %1"
                     : "+r"(x8)
                     : "r"(lib->create_default)
                     : "memory", "cc", "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x9", "x10", "x11", "x12",
                       "x13", "x14", "x15", "x16", "x17", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7",
                       "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20",
                       "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
#else
    void *(*by_hand)(void *room);

    memcpy(&by_hand, &lib->create_default, sizeof by_hand);
    by_hand(room);
#endif
}

/* --- together --- */

const char *rkllm_lib_families(unsigned set, char *buf, size_t size)
{
    size_t at = 0;

    snprintf(buf, size, "none that is known");
    for (int i = 0; i < RKLLM_FAMILIES; i++) {
        if (!(set & 1u << i) || at >= size) continue;
        int n = snprintf(buf + at, size - at, "%s%s", at ? " or " : "", rkllm_layout((enum rkllm_family)i)->name);
        if (n > 0) at += (size_t)n;
    }
    return buf;
}

int rkllm_lib_open(const char *path, struct rkllm_lib *ret, struct err *e)
{
    struct rkllm_lib lib = { 0 };
    struct link_map *map;

    lib.dl = dlopen(path, RTLD_NOW | RTLD_LOCAL); // local: it brings a ggml of its own
    if (!lib.dl) return err_set(e, ERR_UNSUPP_MODEL, "the Rockchip library does not load: %.380s", dlerror());
    if (dlinfo(lib.dl, RTLD_DI_LINKMAP, &map) == 0) read_version(map->l_name, lib.version, sizeof lib.version);
    for (int i = 0; i < RKLLM_SYMBOLS; i++) {
        void *p = dlsym(lib.dl, symbols[i].name);
        if (!p && symbols[i].needed)
            return err_set(e, ERR_UNSUPP_MODEL, "%.200s has no function %s: it is not Rockchip's " RKLLM_LIB_NAME,
                           path, symbols[i].name);
        memcpy((char *)&lib + symbols[i].at, &p, sizeof p);
    }
    lib.by_text   = rkllm_lib_by_text(str_c(lib.version));
    lib.by_symbol = by_symbol(&lib);
    /* 1.0 takes and returns its parameters in another way: it is not called */
    if (lib.by_symbol) call_default(&lib, lib.defaults);
    lib.by_default = rkllm_lib_by_default(lib.defaults);
    *ret = lib;
    return 0;
}

int rkllm_lib_choose(struct rkllm_lib *lib, const char *want, struct err *e)
{
    char     text[64], symbol[64], def[64];
    unsigned set = lib->by_text & lib->by_symbol & lib->by_default;

    if (strcmp(want, "auto") != 0) {
        lib->layout = rkllm_layout_find(str_c(want));
        return lib->layout ? 0 : err_set(e, ERR_BAD_CONFIG, "--rkllm-layout: \"%.20s\" is not known; auto, 1.1, "
                                         "1.2.0, 1.2 and 1.3 are", want);
    }
    for (int i = 0; i < RKLLM_FAMILIES; i++)
        if (set == 1u << i) {
            lib->layout = rkllm_layout((enum rkllm_family)i);
            return 0;
        }
    return err_set(e, ERR_UNSUPP_MODEL, "the Rockchip library's version is not known: its text says \"%s\" (layout "
                   "%s), its functions are those of %s, its defaults those of %s; use one of 1.1.0 to 1.3.0, or say "
                   "--rkllm-layout if you are sure", lib->version,
                   rkllm_lib_families(lib->by_text, text, sizeof text),
                   rkllm_lib_families(lib->by_symbol, symbol, sizeof symbol),
                   rkllm_lib_families(lib->by_default, def, sizeof def));
}
