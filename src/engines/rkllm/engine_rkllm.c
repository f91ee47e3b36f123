/* engine_rkllm.c - the engine's table, and what it says about itself. */
#include "engines/rkllm/engine_rkllm.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "engines/rkllm/rkllm_int.h"

#define DESTROY_MS 5000

static void destroy_job(void *ctx)
{
    struct engine *en = ctx;

    en->lib.destroy(en->handle);
}

static void close_engine(struct engine *en)
{
    if (!en) return;
    if (en->handle && !en->work.lost && !rkllm_work_do(&en->work, destroy_job, en, DESTROY_MS))
        log_warn("library_hangs", "in=rkllm_destroy");
    if (en->work.lost) return; // its thread goes on using all this; the process ends
    rkllm_work_stop(&en->work);
    rkllm_reuse_free(en);
    mem_free(en);
}

/* Token ids need a vocabulary beside the model. */
static bool has_tokenizer(const struct engine_conf *conf)
{
    for (int i = 1; i < conf->n_file; i++)
        if (str_ends(str_c(conf->file[i].name), STR("tokenizer.json"))) return true;
    return false;
}

static uint32_t caps(const struct engine *en, const struct engine_conf *conf)
{
    uint32_t c = ENGINE_GENERATE | ENGINE_TEXT_IN | ENGINE_ABORT | ENGINE_THINKING;

    if (!has_tokenizer(conf)) return c;
    if (!en->conf.text_in) c |= ENGINE_TOK_IN;
    if (!en->conf.text_out) c |= ENGINE_TOK_OUT;
    return c;
}

static void describe(struct engine *en)
{
    struct rkllm_facts f;

    rkllm_log_facts(&f);
    if (f.ctx_limit && f.ctx_limit < en->n_ctx) en->n_ctx = f.ctx_limit;
    str_copy_z(en->quant, sizeof en->quant, f.dtype[0] ? str_c(f.dtype) : en->name.quant);
    if (!en->quant[0]) str_copy_z(en->quant, sizeof en->quant, STR("unknown"));
    str_copy_z(en->arch, sizeof en->arch, STR("rkllm"));
    log_info("rkllm", "library=%s layout=%s driver=%s platform=%s toolkit=%s cores=%d ctx=%d domain=%d input=%s",
             en->lib.version[0] ? en->lib.version : "unknown", en->lib.layout->name,
             f.driver[0] ? f.driver : "unknown", f.platform[0] ? f.platform : "unknown",
             f.toolkit[0] ? f.toolkit : "unknown", f.n_core, en->n_ctx, en->conf.domain,
             en->caps & ENGINE_TOK_IN ? "tokens" : "text");
}

static int open_engine(const struct engine_conf *conf, struct engine **ret, struct err *e)
{
    struct engine *en = mem_zalloc(sizeof *en);

    if (!en) return err_nomem(e, "opening a model");
    en->conf         = *(const struct rkllm_conf *)conf->own;
    en->name         = rkllm_name_parse(str_c(conf->file[0].name));
    en->n_ctx        = conf->n_ctx;
    en->weight_bytes = conf->file[0].size;
    en->caps         = caps(en, conf);
    int rc = rkllm_work_start(&en->work, e);
    if (rc == 0) rc = rkllm_load(en, conf, e);
    if (rc < 0) {
        close_engine(en);
        return rc;
    }
    if (rkllm_has(en->lib.layout, RKLLM_infer_sampling)) en->caps |= ENGINE_SAMPLING;
    describe(en);
    *ret = en;
    return 0;
}

static void info(const struct engine *en, struct engine_info *ret)
{
    *ret = (struct engine_info){ .caps = en->caps, .arch = en->arch, .quant = en->quant, .n_ctx = en->n_ctx,
                                 .n_seq = 1, .weight_bytes = en->weight_bytes };
}

/* Vectors and rows of logits are there in the library (RKLLM_HIDDEN_LAYER, RKLLM_LOGITS) and would be two more
 * jobs of rkllm_run.c beside run_job, their rows copied inside the callback: they hang on what engine_ops
 * offers for them. */
const struct engine_ops engine_rkllm = {
    .api = ENGINE_API, .name = "rkllm", .open = open_engine, .close = close_engine, .info = info,
    .generate = rkllm_generate, .abort = rkllm_abort,
};
