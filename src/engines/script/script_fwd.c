/* script_fwd.c - the scripted engine that gives logits: bytes are tokens, and curlew schedules,
 * batches and samples as with a real model.
 *
 * Its KV cache holds, for each position, the token and how far the script had come after it. So the
 * engine finds its place in an answer through the page table alone, as a model does: a wrong page, a
 * page shared too far or overwritten shows as a wrong answer.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "engine.h"
#include "engines/script/script.h"
#include "os/fd.h"

#define PAGE_TOK 16
#define N_VOCAB  257 // the bytes and end-of-text
#define EOT      256

/* Where an answer stands: `reply` < 0 before it began, else the step, which repetition of it and
 * which byte of the piece comes next. */
struct place {
    int32_t reply, step, rep, at;
};

struct slot {
    int32_t      tok;
    int32_t      said; // after it, -1 when not asked
    struct place next; // what is said after this position, if logits were asked here
};

struct engine {
    struct arena  arena;
    struct script script;
    int           n_page;
    struct slot  *kv;     // [n_page][PAGE_TOK]
    float        *logits; // [n_batch][N_VOCAB]
    float        *hidden; // [n_batch][SCRIPT_EMBD]
    int           n_hidden;
    char         *prompt; // [n_ctx] scratch
};

static void fwd_close(struct engine *en)
{
    if (!en) return;
    arena_release(&en->arena);
    mem_free(en->kv);
    mem_free(en->logits);
    mem_free(en->hidden);
    mem_free(en->prompt);
    mem_free(en);
}

static void sleep_ms(int ms)
{
    struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

    while (ms > 0 && nanosleep(&t, &t) != 0) continue;
}

static int fwd_open(const struct engine_conf *conf, struct engine **ret, struct err *e)
{
    struct engine *en = mem_zalloc(sizeof *en);
    struct str     text;

    if (!en) return err_nomem(e, "opening a script");
    arena_init(&en->arena, MIB(64));
    struct script *s  = &en->script;
    int            rc = fd_read_all(conf->file[0].fd, conf->file[0].name, MIB(4), &en->arena, &text, e);
    if (rc == 0) rc = script_parse(text, conf->file[0].name, &en->arena, s, e);
    if (rc < 0) goto fail;

    sleep_ms(s->load_wait_ms);
    if (s->load_fail.p) {
        rc = err_set(e, ERR_BAD_FILE, STR_FMT, STR_ARG(s->load_fail));
        goto fail;
    }
    if (conf->n_ctx && conf->n_ctx < s->n_ctx) s->n_ctx = conf->n_ctx;
    if (conf->n_batch < s->n_batch) s->n_batch = conf->n_batch;
    en->n_page = s->n_seq * ((s->n_ctx + PAGE_TOK - 1) / PAGE_TOK);
    en->kv     = mem_array((size_t)en->n_page * PAGE_TOK, sizeof *en->kv);
    en->logits = mem_array((size_t)s->n_batch * N_VOCAB, sizeof *en->logits);
    en->hidden = mem_array((size_t)s->n_batch * SCRIPT_EMBD, sizeof *en->hidden);
    en->prompt = mem_alloc((size_t)s->n_ctx);
    if (!en->kv || !en->logits || !en->hidden || !en->prompt) {
        rc = err_nomem(e, "opening a script");
        goto fail;
    }
    *ret = en;
    return 0;

fail:
    fwd_close(en);
    return rc;
}

static void fwd_info(const struct engine *en, struct engine_info *ret)
{
    *ret = (struct engine_info){
        .caps = ENGINE_FORWARD | ENGINE_BYTES | (en->script.embed ? ENGINE_EMBED : 0), .arch = "script", .quant = "none",
        .n_ctx = en->script.n_ctx, .n_seq = en->script.n_seq, .n_vocab = N_VOCAB,
        .n_batch = en->script.n_batch, .kv_page_tok = PAGE_TOK, .n_kv_page = en->n_page,
        .kv_bytes = (uint64_t)en->n_page * PAGE_TOK * sizeof *en->kv,
        .n_embd = en->script.embed ? SCRIPT_EMBD : 0, .pooling = en->script.pooling,
    };
}

static struct slot *slot_at(struct engine *en, const struct engine_run *run, int pos)
{
    return &en->kv[(size_t)run->page[pos / PAGE_TOK] * PAGE_TOK + pos % PAGE_TOK];
}

/* The text of positions 0..pos, read through the page table. */
static struct str text_to(struct engine *en, const struct engine_run *run, int pos)
{
    for (int i = 0; i <= pos; i++) {
        int32_t tok   = slot_at(en, run, i)->tok;
        en->prompt[i] = (char)(tok < 256 ? tok : 0);
    }
    return (struct str){ en->prompt, (size_t)pos + 1 };
}

/* The next token at *pl, moving past waits. Sets *pl to the place after it. */
static int next_tok(struct engine *en, struct place *pl, int32_t *ret, struct err *e)
{
    const struct script_reply *r = &en->script.reply[pl->reply];

    for (;;) {
        if (pl->step >= r->n_step) {
            if (!r->endless) {
                *ret = EOT;
                return 0;
            }
            *pl = (struct place){ .reply = pl->reply };
        }
        const struct script_step *st = &r->step[pl->step];
        switch (st->op) {
        case SCRIPT_SAY:
            *ret = (unsigned char)st->text.p[pl->at];
            if ((size_t)++pl->at < st->text.n) return 0;
            pl->at = 0;
            if (++pl->rep < st->n) return 0;
            pl->rep = 0;
            pl->step++;
            return 0;
        case SCRIPT_WAIT: sleep_ms(st->n); break;
        case SCRIPT_FAIL: return err_set(e, ERR_INTERNAL, STR_FMT, STR_ARG(st->text));
        case SCRIPT_CRASH: abort();
        case SCRIPT_HANG:
            for (;;) sleep_ms(1000);
        }
        pl->step++;
    }
}

/* Logits that make `tok` all but certain, with a fixed order of runners-up. */
static void fill_logits(float *row, int32_t tok)
{
    for (int i = 0; i < N_VOCAB; i++) row[i] = -(float)abs(i - tok) * 0.125f;
    row[tok] = 20;
}

static int run_one(struct engine *en, const struct engine_run *run, int *row, struct err *e)
{
    for (int i = 0; i < run->n_tok; i++) {
        int          pos  = run->pos + i;
        struct slot *slot = slot_at(en, run, pos);
        struct place pl   = { .reply = -1 };
        int32_t      tok;

        /* mid-answer: one token, or one and guesses, each of which is what was said */
        const struct slot *before = pos > 0 ? slot_at(en, run, pos - 1) : NULL;
        if (before && (run->n_tok == 1 || (run->n_logits == run->n_tok && before->said == run->tok[i]))) pl = before->next;
        *slot = (struct slot){ .tok = run->tok[i], .said = -1, .next = { .reply = -1 } };
        if (run->n_tok - i > run->n_logits) continue;
        if (run->hidden) {
            script_state(slot->tok, en->hidden + (size_t)en->n_hidden++ * SCRIPT_EMBD);
            continue;
        }

        if (pl.reply < 0) {
            const struct script_reply *r = script_match(&en->script, text_to(en, run, pos));
            pl = (struct place){ .reply = (int32_t)(r - en->script.reply) };
        }
        int rc = next_tok(en, &pl, &tok, e);
        if (rc < 0) return rc;
        slot->next = pl;
        slot->said = tok;
        fill_logits(en->logits + (size_t)(*row)++ * N_VOCAB, tok);
    }
    return 0;
}

static int fwd_forward(struct engine *en, const struct engine_batch *batch, struct err *e)
{
    int  row     = 0;
    bool prefill = false;

    en->n_hidden = 0;
    for (int i = 0; i < batch->n_run; i++) {
        assert(batch->run[i].pos + batch->run[i].n_tok <= en->script.n_ctx);
        prefill |= batch->run[i].n_tok > 1;
        int rc = run_one(en, &batch->run[i], &row, e);
        if (rc < 0) return rc;
    }
    if (prefill) sleep_ms(en->script.prefill_wait_ms);
    return 0;
}

static float *fwd_logits(struct engine *en, int i)
{
    return en->logits + (size_t)i * N_VOCAB;
}

static const float *fwd_hidden(struct engine *en, int i)
{
    return en->hidden + (size_t)i * SCRIPT_EMBD;
}

static int fwd_page_copy(struct engine *en, int32_t dst, int32_t src, int n_tok)
{
    memcpy(&en->kv[(size_t)dst * PAGE_TOK], &en->kv[(size_t)src * PAGE_TOK],
           sizeof *en->kv * (size_t)n_tok);
    return 0;
}

const struct engine_ops engine_script_forward = {
    .api = ENGINE_API, .name = "script", .open = fwd_open, .close = fwd_close, .info = fwd_info,
    .forward = fwd_forward, .logits = fwd_logits, .page_copy = fwd_page_copy, .hidden = fwd_hidden,
};
