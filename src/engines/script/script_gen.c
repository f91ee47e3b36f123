/* script_gen.c - the scripted engine that runs its own loop, as a vendor's runtime does: text in,
 * pieces out, one run at a time, abort between pieces. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "engine.h"
#include "engines/script/script.h"
#include "os/fd.h"

struct engine {
    struct arena    arena;
    struct script   script;
    pthread_mutex_t lock;
    pthread_cond_t  wake; // abort came
    bool            aborted;
};

static void gen_close(struct engine *en)
{
    if (!en) return;
    pthread_cond_destroy(&en->wake);
    pthread_mutex_destroy(&en->lock);
    arena_release(&en->arena);
    mem_free(en);
}

/* Sleep unless aborted; ms < 0: for ever. True when aborted. */
static bool wait_ms(struct engine *en, int ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&en->lock);
    int rc = 0;
    while (!en->aborted && rc != ETIMEDOUT)
        rc = ms < 0 ? pthread_cond_wait(&en->wake, &en->lock)
                    : pthread_cond_timedwait(&en->wake, &en->lock, &until);
    bool aborted = en->aborted;
    pthread_mutex_unlock(&en->lock);
    return aborted;
}

static int gen_open(const struct engine_conf *conf, struct engine **ret, struct err *e)
{
    pthread_condattr_t attr;
    struct str         text;
    struct engine     *en = mem_zalloc(sizeof *en);

    if (!en) return err_nomem(e, "opening a script");
    pthread_mutex_init(&en->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&en->wake, &attr);
    pthread_condattr_destroy(&attr);
    arena_init(&en->arena, MIB(64));

    int rc = fd_read_all(conf->file[0].fd, conf->file[0].name, MIB(4), &en->arena, &text, e);
    if (rc == 0) rc = script_parse(text, conf->file[0].name, &en->arena, &en->script, e);
    if (rc == 0 && conf->n_ctx && conf->n_ctx < en->script.n_ctx) en->script.n_ctx = conf->n_ctx;
    if (rc == 0) wait_ms(en, en->script.load_wait_ms);
    if (rc == 0 && en->script.load_fail.p)
        rc = err_set(e, ERR_BAD_FILE, STR_FMT, STR_ARG(en->script.load_fail));
    if (rc < 0) {
        gen_close(en);
        return rc;
    }
    *ret = en;
    return 0;
}

static void gen_info(const struct engine *en, struct engine_info *ret)
{
    *ret = (struct engine_info){
        .caps = ENGINE_GENERATE | ENGINE_TEXT_IN | ENGINE_ABORT | (en->script.embed ? ENGINE_EMBED : 0),
        .arch = "script", .quant = "none", .n_ctx = en->script.n_ctx, .n_seq = 1,
        .n_embd = en->script.embed ? SCRIPT_EMBD : 0, .pooling = en->script.pooling,
    };
}

/* One run's progress. */
struct run {
    struct engine   *en;
    engine_piece_fn *fn;
    void            *ctx;
    int              n_gen, n_max;
    bool             ended;
    enum engine_end  end;
};

static void finish(struct run *r, enum engine_end end)
{
    r->ended = true;
    r->end   = end;
}

static void say(struct run *r, const struct script_step *st)
{
    for (int i = 0; i < st->n && !r->ended; i++) {
        struct engine_piece piece = { st->text.p, st->text.n, -1 };
        pthread_mutex_lock(&r->en->lock);
        bool aborted = r->en->aborted;
        pthread_mutex_unlock(&r->en->lock);
        r->n_gen++;
        if (aborted || !r->fn(r->ctx, &piece)) finish(r, ENGINE_END_ABORTED);
        else if (r->n_gen >= r->n_max) finish(r, ENGINE_END_LENGTH);
    }
}

static int play(struct run *r, const struct script_step *st, struct err *e)
{
    switch (st->op) {
    case SCRIPT_SAY: say(r, st); break;
    case SCRIPT_WAIT:
        if (wait_ms(r->en, st->n)) finish(r, ENGINE_END_ABORTED);
        break;
    case SCRIPT_HANG:
        wait_ms(r->en, -1);
        finish(r, ENGINE_END_ABORTED);
        break;
    case SCRIPT_FAIL: return err_set(e, ERR_INTERNAL, STR_FMT, STR_ARG(st->text));
    case SCRIPT_CRASH: abort();
    }
    return 0;
}

/* The states of a prompt, three at a time. */
static void embed(struct run *r, struct str prompt)
{
    enum { STATES = 3 };
    float state[STATES * SCRIPT_EMBD];

    for (size_t i = 0; i < prompt.n && !r->ended;) {
        struct engine_piece piece = { .tok = -1, .hidden = state };
        for (; piece.n_hidden < STATES && i < prompt.n; i++)
            script_state((unsigned char)prompt.p[i], state + SCRIPT_EMBD * piece.n_hidden++);
        if (!r->fn(r->ctx, &piece)) finish(r, ENGINE_END_ABORTED);
    }
}

static int gen_generate(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn,
                        void *ctx, struct engine_gen_result *ret, struct err *e)
{
    struct str                 prompt = { gen->text, gen->n_text };
    const struct script_reply *reply  = script_match(&en->script, prompt);
    struct run r = { .en = en, .fn = fn, .ctx = ctx, .n_max = gen->n_max, .end = ENGINE_END_STOP };

    pthread_mutex_lock(&en->lock);
    en->aborted = false;
    pthread_mutex_unlock(&en->lock);
    if (wait_ms(en, en->script.prefill_wait_ms)) finish(&r, ENGINE_END_ABORTED);
    if (gen->hidden) embed(&r, prompt);
    while (!gen->hidden) {
        for (int i = 0; i < reply->n_step && !r.ended; i++) {
            int rc = play(&r, &reply->step[i], e);
            if (rc < 0) return rc;
        }
        if (!reply->endless || r.ended) break;
    }
    *ret = (struct engine_gen_result){ .end = r.end, .n_prompt = (int)prompt.n, .n_gen = r.n_gen };
    return 0;
}

static void gen_abort(struct engine *en)
{
    pthread_mutex_lock(&en->lock);
    en->aborted = true;
    pthread_cond_broadcast(&en->wake);
    pthread_mutex_unlock(&en->lock);
}

const struct engine_ops engine_script_generate = {
    .api = ENGINE_API, .name = "script", .open = gen_open, .close = gen_close, .info = gen_info,
    .generate = gen_generate, .abort = gen_abort,
};
