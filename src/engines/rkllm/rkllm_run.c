/* rkllm_run.c - one answer: the library calls back for each token, we count, watch and stop it.
 *
 * Lessons that the library taught others: the end of rkllm_run is the end, FINISH does not always come;
 * an abort in the middle of a prompt works only after it; a late callback may come when nobody runs; inside
 * a callback no function of the library may be called; its own is_running says opposite things in different
 * versions.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/rkllm/rkllm_int.h"

#define TICK_MS        50
#define ABORT_AGAIN_MS 500 // an abort that came before the run began is lost
#define PREFILL_TOK_MS 20  // a slow chip's time for a token of the prompt

enum stop { GOES_ON, STOP_FULL, STOP_CALLER, STOP_ABORT };

/* On the heap: a library that does not come back goes on using it. */
struct rkllm_run {
    struct engine        *en;
    engine_piece_fn      *fn;
    void                 *ctx;
    int                   n_gen, n_max;
    int                   n_prompt; // as the library counts, -1: not told
    enum stop             stop;
    bool                  in_callback, begun, finished, error;
    uint64_t              alive_us; // when the library was last seen to do something
    int                   rc;
    struct rkllm_sampling sampling;
    const char           *lora; // RKLLMLoraParam: one pointer
    void                 *userdata;
    unsigned char         input[RKLLM_STRUCT_BYTES], infer[RKLLM_STRUCT_BYTES];
    char                 *text; // owned, NUL-terminated
    int32_t              *tok;  // [n_tok] owned
    size_t                n_tok, n_cached;
    bool                  reuse; // the cache is kept, rkllm_reuse.c
};

static void run_free(struct rkllm_run *r)
{
    if (!r) return;
    mem_free(r->text);
    mem_free(r->tok);
    mem_free(r);
}

/* --- on the library's thread --- */

/* A token. What of it is text: nothing while half a character is held back. */
static void on_token(struct rkllm_run *r, const struct rkllm_layout *y, const void *result, int state)
{
    struct engine      *en    = r->en;
    const char         *text  = rkllm_get_ptr(y, result, RKLLM_result_text);
    struct engine_piece piece = { .text = "", .tok = rkllm_get_i32(y, result, RKLLM_result_token_id) };

    if (state == RKLLM_RUN_NORMAL && text) piece = (struct engine_piece){ text, strlen(text), piece.tok };
    r->n_gen++;
    if (r->reuse && piece.tok >= 0) rkllm_reuse_put(en, &piece.tok, 1);
    r->in_callback = true; // the caller may make us wait: that is not the library's silence
    pthread_mutex_unlock(&en->work.lock);
    bool more = r->fn(r->ctx, &piece);
    pthread_mutex_lock(&en->work.lock);
    r->in_callback = false;
    if (!more && r->stop == GOES_ON) r->stop = STOP_CALLER;
    if (r->n_gen >= r->n_max && r->stop == GOES_ON) r->stop = STOP_FULL;
}

int rkllm_on_result(void *result, void *userdata, int state)
{
    const struct rkllm_tag    *tag = userdata;
    struct engine             *en  = tag ? tag->en : NULL;

    if (!en) return 0;
    const struct rkllm_layout *y = en->lib.layout;
    pthread_mutex_lock(&en->work.lock);
    struct rkllm_run *r = en->run;
    if (!r || tag->serial != en->serial) {
        pthread_mutex_unlock(&en->work.lock);
        log_warn("late_callback", "state=%d", state);
        return 0;
    }
    r->begun = true;
    if (state == RKLLM_RUN_FINISH) {
        r->finished = true;
        if (result && rkllm_has(y, RKLLM_result_prefill_tok))
            r->n_prompt = rkllm_get_i32(y, result, RKLLM_result_prefill_tok);
    } else if (state == RKLLM_RUN_ERROR) {
        r->error = true;
    } else if (result && r->stop == GOES_ON && !r->finished &&
               (state == RKLLM_RUN_NORMAL || state == RKLLM_RUN_WAITING)) {
        on_token(r, y, result, state);
    }
    r->alive_us = clock_mono_us();
    if (r->stop != GOES_ON) pthread_cond_broadcast(&en->work.wake);
    pthread_mutex_unlock(&en->work.lock);
    return 0; // 1 would pause the run, which keeps its cache and waits for more
}

static void run_job(void *ctx)
{
    struct rkllm_run          *r  = ctx;
    struct engine             *en = r->en;
    const struct rkllm_layout *y  = en->lib.layout;

    if (r->reuse) {
        r->n_cached = rkllm_reuse_begin(en, r->tok, r->n_tok);
        rkllm_put_ptr(y, r->input, RKLLM_input_tok, r->tok + r->n_cached);
        rkllm_put_size(y, r->input, RKLLM_input_n_tok, r->n_tok - r->n_cached);
        rkllm_put_i32(y, r->infer, RKLLM_infer_keep_history, 1);
        rkllm_reuse_put(en, r->tok + r->n_cached, r->n_tok - r->n_cached);
    }
    r->rc = r->en->lib.run(r->en->handle, r->input, r->infer, r->userdata);
}

/* --- on the caller's thread --- */

static int fill_input(struct rkllm_run *r, const struct engine_gen *gen, struct err *e)
{
    const struct rkllm_layout *y = r->en->lib.layout;

    rkllm_put_ptr(y, r->input, RKLLM_input_role, "user");
    rkllm_put_i8(y, r->input, RKLLM_input_enable_thinking, gen->thinking);
    if (gen->tok) {
        r->tok = mem_array((size_t)gen->n_tok, sizeof *r->tok);
        if (!r->tok) return err_nomem(e, "starting a run");
        memcpy(r->tok, gen->tok, sizeof *r->tok * (size_t)gen->n_tok);
        r->n_tok = (size_t)gen->n_tok;
        r->reuse = rkllm_reuse_can(r->en);
        rkllm_put_i32(y, r->input, RKLLM_input_type, RKLLM_INPUT_TOKEN);
        rkllm_put_ptr(y, r->input, RKLLM_input_tok, r->tok);
        rkllm_put_size(y, r->input, RKLLM_input_n_tok, (size_t)gen->n_tok);
        return 0;
    }
    if (memchr(gen->text, 0, gen->n_text))
        return err_set(e, ERR_INVALID_VALUE, "the prompt has a NUL character, which this model's library cannot take");
    r->text = mem_alloc(gen->n_text + 1);
    if (!r->text) return err_nomem(e, "starting a run");
    memcpy(r->text, gen->text, gen->n_text);
    r->text[gen->n_text] = 0;
    rkllm_put_i32(y, r->input, RKLLM_input_type, RKLLM_INPUT_PROMPT);
    rkllm_put_ptr(y, r->input, RKLLM_input_prompt, r->text);
    return 0;
}

/* The request's numbers over those of init: the struct replaces them all. */
static void fill_sampling(struct rkllm_run *r, const struct engine_sampling *s)
{
    struct rkllm_sampling *d = &r->sampling;

    *d                   = r->en->sampling;
    d->top_p             = s->top_p;
    d->repeat_penalty    = s->repeat_penalty;
    d->frequency_penalty = s->frequency_penalty;
    d->presence_penalty  = s->presence_penalty;
    if (s->top_k > 0) d->top_k = s->top_k;
    if (s->temperature > 0) d->temperature = s->temperature;
    else d->top_k = 1; // the likeliest, always
}

static void fill_infer(struct rkllm_run *r, const struct engine_gen *gen)
{
    struct engine             *en = r->en;
    const struct rkllm_layout *y  = en->lib.layout;

    rkllm_put_i32(y, r->infer, RKLLM_infer_mode, RKLLM_GENERATE);
    rkllm_put_i32(y, r->infer, RKLLM_infer_keep_history, 0);
    rkllm_put_i32(y, r->infer, RKLLM_infer_max_new_tokens, r->n_max);
    if (en->lora_name[0]) {
        r->lora = en->lora_name;
        rkllm_put_ptr(y, r->infer, RKLLM_infer_lora, &r->lora);
    }
    if (en->caps & ENGINE_SAMPLING) {
        fill_sampling(r, &gen->sampling);
        rkllm_put_ptr(y, r->infer, RKLLM_infer_sampling, &r->sampling);
    }
}

/* Wait for the run's end, under lock. False: the library does not come back. */
static bool watch(struct engine *en, struct rkllm_run *r, int n_prompt)
{
    int64_t  stall_us   = (int64_t)en->conf.stall_ms * 1000;
    int64_t  prefill_us = (int64_t)n_prompt * PREFILL_TOK_MS * 1000;
    uint64_t abort_us   = 0, again_us = 0; // when it was first asked, when to ask again

    while (en->work.job) {
        rkllm_work_wait(&en->work, TICK_MS);
        uint64_t now = clock_mono_us();
        if (en->aborted && r->stop == GOES_ON) r->stop = STOP_ABORT;
        if (en->work.job && r->stop != GOES_ON && now >= again_us) {
            bool itself = !abort_us && r->stop == STOP_FULL && rkllm_has(en->lib.layout, RKLLM_infer_max_new_tokens);
            if (!abort_us) abort_us = now;
            again_us = now + (uint64_t)ABORT_AGAIN_MS * 1000;
            if (itself) continue; // it counts, too, and is about to end
            pthread_mutex_unlock(&en->work.lock);
            en->lib.abort(en->handle);
            pthread_mutex_lock(&en->work.lock);
        }
        if (r->in_callback) r->alive_us = now;
        int64_t extra = r->begun ? 0 : prefill_us; // nothing comes while it reads the prompt
        if ((int64_t)(now - r->alive_us) > stall_us + extra) return false;
        if (abort_us && (int64_t)(now - abort_us) > stall_us + extra) return false;
    }
    return true;
}

static int failure(struct rkllm_run *r, struct err *e)
{
    struct rkllm_facts f;

    rkllm_log_facts(&f);
    struct str last = str_c(f.error);
    if (str_find(last, STR("length of prompt")) != SIZE_MAX || str_find(last, STR("prompt is greater")) != SIZE_MAX)
        return err_param(e, ERR_CONTEXT_LENGTH, "messages", "This model's maximum context length is %d tokens. However, "
                         "your messages resulted in more. Please reduce the length of the messages.", r->en->n_ctx);
    return err_set(e, ERR_INTERNAL, "the NPU library failed to answer (%s %d)%s%s", r->error ? "state" : "code",
                   r->error ? RKLLM_RUN_ERROR : r->rc, last.n ? ": " : "", f.error);
}

static enum engine_end end_of(const struct rkllm_run *r)
{
    switch (r->stop) {
    case GOES_ON: return r->n_gen >= r->n_max ? ENGINE_END_LENGTH : ENGINE_END_STOP;
    case STOP_FULL: return ENGINE_END_LENGTH;
    case STOP_CALLER:
    case STOP_ABORT: break;
    }
    return ENGINE_END_ABORTED;
}

int rkllm_generate(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn, void *ctx,
                   struct engine_gen_result *ret, struct err *e)
{
    struct rkllm_run *r = en->work.lost ? NULL : mem_zalloc(sizeof *r);

    if (en->work.lost) return err_set(e, ERR_ENGINE_GONE, "the NPU library hangs");
    if (!r) return err_nomem(e, "starting a run");
    r->en       = en;
    r->fn       = fn;
    r->ctx      = ctx;
    r->n_prompt = gen->tok ? gen->n_tok : -1;
    /* never so long that the library would shift its context, which drops the conversation's middle */
    r->n_max = gen->tok && gen->n_max > en->n_ctx - gen->n_tok ? en->n_ctx - gen->n_tok : gen->n_max;
    int rc = r->n_max < 1 ? err_set(e, ERR_CONTEXT_LENGTH, "the prompt has %d tokens, the context %d", gen->n_tok,
                                    en->n_ctx)
                          : fill_input(r, gen, e);
    if (rc < 0) goto out;
    fill_infer(r, gen);
    rkllm_log_clear_error();

    pthread_mutex_lock(&en->work.lock);
    en->aborted   = false;
    en->serial++;
    struct rkllm_tag *tag = &en->tag[en->serial % RKLLM_TAGS];
    *tag        = (struct rkllm_tag){ en, en->serial };
    r->userdata = tag;
    r->alive_us = clock_mono_us();
    en->run     = r;
    rkllm_work_begin(&en->work, run_job, r);
    bool back = watch(en, r, gen->tok ? gen->n_tok : (int)(gen->n_text / 3));
    en->run       = NULL;
    en->work.lost = !back;
    pthread_mutex_unlock(&en->work.lock);
    if (!back) {
        log_error("library_hangs", "silent_ms=%d tokens=%d the worker ends", en->conf.stall_ms, r->n_gen);
        return err_set(e, ERR_ENGINE_GONE, "the NPU library stopped answering; it is started again"); // r is its own
    }
    if (r->reuse) rkllm_reuse_end(en, r->rc == 0 && !r->error && r->stop == GOES_ON);
    if ((r->rc != 0 || r->error) && r->stop == GOES_ON) {
        rc = failure(r, e);
        goto out;
    }
    *ret = (struct engine_gen_result){ .end = end_of(r), .n_gen = r->n_gen,
                                       .n_prompt = gen->tok ? gen->n_tok : r->n_prompt,
                                       .n_cached = (int)r->n_cached };
out:
    run_free(r);
    return rc;
}

void rkllm_abort(struct engine *en)
{
    pthread_mutex_lock(&en->work.lock);
    en->aborted = true;
    pthread_cond_broadcast(&en->work.wake);
    pthread_mutex_unlock(&en->work.lock);
}
