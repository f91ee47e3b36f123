/* rkllm_doctor.c - what a library is, in words. */
#include "engines/rkllm/rkllm_doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engines/rkllm/rkllm_int.h"

#define WORDS_MAX 16 // tokens of the trial answer
#define TRIAL     "Hello"

enum kind { I32, I8, F32, MASK, TEXT };

static const struct {
    const char      *name;
    enum rkllm_field field;
    enum kind        kind;
} defaults[] = {
#define ROW(name, kind) { #name, RKLLM_param_##name, kind }
    ROW(model_path, TEXT), ROW(max_context_len, I32), ROW(max_new_tokens, I32), ROW(top_k, I32), ROW(n_keep, I32),
    ROW(top_p, F32), ROW(temperature, F32), ROW(repeat_penalty, F32), ROW(frequency_penalty, F32),
    ROW(presence_penalty, F32), ROW(mirostat, I32), ROW(mirostat_tau, F32), ROW(mirostat_eta, F32),
    ROW(skip_special_token, I8), ROW(ignore_eos_token, I8), ROW(is_async, I8), ROW(img_start, TEXT),
    ROW(img_end, TEXT), ROW(img_content, TEXT), ROW(base_domain_id, I32), ROW(embed_flash, I8),
    ROW(enabled_cpus_num, I8), ROW(enabled_cpus_mask, MASK), ROW(n_batch, I8), ROW(use_cross_attn, I8),
#undef ROW
};

static void print_defaults(const struct rkllm_lib *lib, int out)
{
    const struct rkllm_layout *y = lib->layout;

    for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
        enum rkllm_field f = defaults[i].field;
        if (!rkllm_has(y, f)) continue;
        dprintf(out, "  %-20s at %3d  ", defaults[i].name, y->at[f]);
        switch (defaults[i].kind) {
        case I32: dprintf(out, "%d\n", (int)rkllm_get_i32(y, lib->defaults, f)); break;
        case I8: dprintf(out, "%d\n", rkllm_get_i8(y, lib->defaults, f)); break;
        case F32: dprintf(out, "%g\n", (double)rkllm_get_f32(y, lib->defaults, f)); break;
        case MASK: dprintf(out, "0x%02x\n", (unsigned)rkllm_get_i32(y, lib->defaults, f)); break;
        case TEXT: // not followed: the layout may be the wrong one
            dprintf(out, "%s\n", rkllm_get_ptr(y, lib->defaults, f) ? "(a text)" : "(none)");
            break;
        }
    }
}

/* The last byte of the defaults that was written: what a struct of unknown layout is long, at least. */
static int last_written(const struct rkllm_lib *lib)
{
    int n = RKLLM_PROBE_BYTES;

    while (n > 0 && lib->defaults[n - 1] == 0) n--;
    return n;
}

bool rkllm_doctor_library(const struct rkllm_conf *c, int out)
{
    struct rkllm_lib    *lib = mem_zalloc(sizeof *lib);
    struct rkllm_symbol  sym[RKLLM_SYMBOLS];
    const char          *path = c->library ? c->library : getenv("RKLLM_LIB_PATH");
    struct err           e;
    char                 set[64];

    if (!lib) return false;
    dprintf(out, "library    %s\n", path ? path : RKLLM_LIB_NAME);
    if (rkllm_lib_open(path ? path : RKLLM_LIB_NAME, lib, &e) < 0) {
        dprintf(out, "verdict    no: %s\n", e.msg);
        mem_free(lib);
        return false;
    }
    dprintf(out, "loads      yes\ntext       \"%s\": layout %s\n", lib->version,
            rkllm_lib_families(lib->by_text, set, sizeof set));
    dprintf(out, "functions  layout %s\n", rkllm_lib_families(lib->by_symbol, set, sizeof set));
    rkllm_lib_symbols(lib, sym);
    for (int i = 0; i < RKLLM_SYMBOLS; i++) dprintf(out, "  %-30s %s\n", sym[i].name, sym[i].there ? "yes" : "no");
    dprintf(out, "defaults   layout %s; %d bytes or more were written\n",
            rkllm_lib_families(lib->by_default, set, sizeof set), last_written(lib));
    bool good = rkllm_lib_choose(lib, c->layout, &e) == 0;
    if (good) print_defaults(lib, out);
    if (good) dprintf(out, "verdict    yes: layout %s\n", lib->layout->name);
    else dprintf(out, "verdict    no: %s\n", e.msg);
    mem_free(lib);
    return good;
}

static bool print_piece(void *ctx, const struct engine_piece *piece)
{
    const int *out = ctx;
    char       text[256];

    dprintf(*out, "  token %-8d %s\n", (int)piece->tok, str_quote(text, 200, (struct str){ piece->text, piece->n }));
    return true;
}

bool rkllm_doctor_model(const struct rkllm_conf *c, const struct engine_file *file, int n_ctx, int out)
{
    const struct engine_conf conf = { .file = file, .n_file = 1, .n_thread = 1, .n_ctx = n_ctx, .n_seq = 1,
                                      .n_batch = 1, .own = c };
    const struct engine_gen  gen  = { .text = TRIAL, .n_text = sizeof TRIAL - 1, .n_max = WORDS_MAX, .thinking = true,
                                      .sampling = { .top_p = 1, .repeat_penalty = 1, .seed = -1 } };
    struct engine_gen_result result;
    struct rkllm_facts       f;
    struct engine           *en;
    struct err               e;

    dprintf(out, "model      %s\n", file->name);
    int rc = engine_rkllm.open(&conf, &en, &e);
    rkllm_log_facts(&f);
    dprintf(out, "runtime    %s, driver %s, platform %s\n", f.runtime[0] ? f.runtime : "unknown",
            f.driver[0] ? f.driver : "unknown", f.platform[0] ? f.platform : "unknown");
    dprintf(out, "made with  toolkit %s, %s, %d cores, context at most %d\n", f.toolkit[0] ? f.toolkit : "unknown",
            f.dtype[0] ? f.dtype : "unknown", f.n_core, f.ctx_limit);
    if (rc < 0) {
        dprintf(out, "verdict    no: %s\n", e.msg);
        if (rkllm_retry_ctx(n_ctx)) dprintf(out, "           --ctx %d would fit\n", rkllm_retry_ctx(n_ctx));
        return false;
    }
    dprintf(out, "answer to \"" TRIAL "\", at most %d tokens\n", WORDS_MAX);
    rc = engine_rkllm.generate(en, &gen, print_piece, &out, &result, &e);
    if (rc < 0) dprintf(out, "verdict    no: %s\n", e.msg);
    else dprintf(out, "verdict    yes: %d tokens, %d of the prompt\n", result.n_gen, result.n_prompt);
    return rc == 0; // not closed: the process ends now
}
