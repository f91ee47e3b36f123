/* axera_con.c - children that talk on a terminal: a ticket in, a marker out; the tokens take another way.
 *
 *     curlew            terminal              child                  tokenizer (axera_tok.c)
 *        "#7\n"  ------------------------->   reads a line
 *                                             POST /encode "#7"  -->  the ids of prompt 7
 *                                             generates
 *                                             POST /decode       -->  three ids each: the answer
 *                                             POST /decode       -->  all ids once more: the total
 *        ">> "   <-------------------------   waits for a line
 *
 * Facts about the children: notes in docs/npu-axera.md. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "engines/axera/axera_int.h"

#define CHUNK         3      // ids of a list that is not the last
#define MARKER_US     50000  // the marker has stood alone so long: it is one
#define INT_AGAIN_US  300000 // a child that is still encoding forgets SIGINT
#define TICK_MS       50

static void send_line(struct engine *en, const char *line)
{
    buf_clear(&en->log.line); // the marker before it is answered now
    en->con.marker_us = 0;
    en->con.sign_us   = clock_mono_us();
    TRACE(TRACE_ENGINE, "to child: %.20s", line);
    size_t  n    = strlen(line);
    ssize_t done = write(en->out, line, n);
    if (done != (ssize_t)n) axera_die(en, ERR_ENGINE_GONE, "the child's terminal takes no line: %s", err_errno(errno));
}

static void send_ticket(struct engine *en)
{
    char line[24];

    snprintf(line, sizeof line, "#%d\n", en->con.ticket);
    en->con.state = AXERA_CON_RUN;
    send_line(en, line);
}

/* --- ids --- */

static void put_all(struct ids *to, const int32_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++) ids_put(to, id[i]);
}

static void take_chunk(struct axera_con *c, const int32_t *id, size_t n)
{
    put_all(&c->out, id, n);
    c->n_chunk++;
    c->last_short = n < CHUNK;
}

static void take_total(struct axera_con *c, const int32_t *id, size_t n)
{
    c->has_total = true;
    put_all(&c->total, id, n);
}

/* Chunks hold three ids, the last before an end of text one or two; then comes the total, always. One case is
 * ambiguous: three ids equal to the only chunk so far. It waits for what comes next. */
void axera_con_ids(struct engine *en, const struct ids *ids)
{
    struct axera_con *c = &en->con;

    if (c->state != AXERA_CON_RUN) return;
    c->sign_us = clock_mono_us();
    if (c->has_held) {
        take_chunk(c, c->held, CHUNK);
        c->has_held = false;
    }
    if (c->has_total) {
        log_error("child_ids", "what=\"a list after the total\" n=%zu", ids->n);
    } else if (ids->n == 0 || ids->n > CHUNK || c->last_short) {
        take_total(c, ids->id, ids->n);
    } else if (ids->n == CHUNK && c->n_chunk == 1 && c->out.n == CHUNK &&
               !memcmp(c->out.id, ids->id, CHUNK * sizeof *ids->id)) {
        memcpy(c->held, ids->id, sizeof c->held);
        c->has_held = true;
    } else {
        take_chunk(c, ids->id, ids->n);
    }
    if (c->out.failed || c->total.failed) axera_die(en, ERR_NO_MEMORY, "no memory for the child's tokens");
    pthread_cond_broadcast(&en->cond);
}

/* The marker ends a run: the last list was the total. What no chunk brought comes from it. */
static void end_ids(struct engine *en)
{
    struct axera_con *c = &en->con;

    if (c->has_held) take_total(c, c->held, CHUNK);
    c->has_held = false;
    if (!c->has_total) return; // stopped before its third id: the short list was the total
    size_t same = c->total.n < c->out.n ? c->total.n : c->out.n;
    if (same < c->out.n || (same && memcmp(c->total.id, c->out.id, same * sizeof *c->out.id) != 0)) {
        log_error("child_ids", "what=\"the total is not what came in chunks\" chunks=%zu total=%zu", c->out.n,
                  c->total.n);
        return;
    }
    put_all(&c->out, c->total.id + same, c->total.n - same);
}

/* --- what a context-keeping child holds --- */

static void forget(struct axera_con *c)
{
    c->kv_known = false;
    ids_release(&c->kv);
    ids_init(&c->kv, LIM_CTX);
}

/* After a turn: prompt and answer, if the child's own count says so; builds differ in whether they keep the end. */
static void remember(struct engine *en)
{
    struct axera_con *c    = &en->con;
    int               n    = c->n_prompt + (int)c->out.n;
    bool              same = !c->stop && (c->precompute == n || c->precompute == n + 1);

    forget(c);
    if (en->kind != AXERA_CTX || en->o.history != AXERA_EXTEND || !same) return;
    put_all(&c->kv, c->prompt, (size_t)c->n_prompt);
    put_all(&c->kv, c->out.id, c->out.n);
    if (c->precompute == n + 1) ids_put(&c->kv, tok_eos(en->tok));
    c->kv_known = !c->kv.failed;
}

/* Does this conversation go on where the child's ends? */
static bool extends(const struct axera_con *c)
{
    return c->kv_known && c->kv.n < (size_t)c->n_prompt &&
           (c->kv.n == 0 || !memcmp(c->kv.id, c->prompt, c->kv.n * sizeof *c->prompt));
}

/* --- output --- */

void axera_con_line(struct engine *en, struct str line)
{
    struct axera_con *c = &en->con;
    int               n;

    if (str_find(line, STR("GetKVCache")) != SIZE_MAX && axera_log_number(line, "precompute_len", &n))
        c->precompute = n;
}

static bool at_marker(const struct engine *en)
{
    struct str s = buf_text(&en->log.line);

    return str_eq(s, STR(">> ")) || str_eq(s, STR("prompt >> "));
}

void axera_con_output(struct engine *en)
{
    en->con.marker_us = at_marker(en) ? clock_mono_us() : 0;
}

static void on_marker(struct engine *en)
{
    struct axera_con *c = &en->con;

    c->marker_us = 0;
    buf_clear(&en->log.line);
    switch (c->state) {
    case AXERA_CON_BOOT:
    case AXERA_CON_IDLE: c->state = AXERA_CON_IDLE; break;
    case AXERA_CON_RESET:
        if (c->stop) { // nobody waits any more
            c->ended = true;
            c->state = AXERA_CON_IDLE;
        } else {
            send_ticket(en);
        }
        break;
    case AXERA_CON_RUN:
        if (!c->encoded) {
            axera_die(en, ERR_ENGINE_GONE, "the child did not ask its tokenizer for the prompt: does its build use "
                      "the tokenizer of the command line?");
            break;
        }
        end_ids(en);
        remember(en);
        c->ended = true;
        c->state = AXERA_CON_IDLE;
        break;
    }
    pthread_cond_broadcast(&en->cond);
}

int axera_con_tick(struct engine *en)
{
    struct axera_con *c = &en->con;

    if (c->marker_us && clock_mono_us() - c->marker_us >= MARKER_US) on_marker(en);
    uint64_t now = clock_mono_us();
    if (c->state == AXERA_CON_BOOT || c->state == AXERA_CON_IDLE) return c->marker_us ? TICK_MS : -1;
    if (c->stop && c->stop_us == 0) c->stop_us = now;
    if (c->stop && now - c->int_us >= INT_AGAIN_US) {
        c->int_us = now;
        axera_signal(en, SIGINT);
    }
    if (c->stop && now - c->stop_us > (uint64_t)en->o.cancel_s * 1000000)
        axera_die(en, ERR_ENGINE_GONE, "the child did not stop within %d s", (int)en->o.cancel_s);
    else if (now - c->sign_us > (uint64_t)en->o.stall_s * 1000000)
        axera_die(en, ERR_ENGINE_GONE, "the child was silent for %d s in the middle of a run", (int)en->o.stall_s);
    return TICK_MS;
}

/* --- runs --- */

void axera_con_prepare(struct engine *en, const struct engine_gen *gen)
{
    struct axera_con *c = &en->con;

    c->ticket++;
    c->prompt     = gen->tok;
    c->n_prompt   = gen->n_tok;
    c->encoded    = false;
    c->stop       = false;
    c->ended      = false;
    c->out.n      = 0;
    c->total.n    = 0;
    c->n_chunk    = 0;
    c->last_short = false;
    c->has_held   = false;
    c->has_total  = false;
    c->int_us     = 0;
    c->stop_us    = 0;
    c->precompute = -1;
    if (en->tok) tok_stream_init(&c->stream, en->tok, false);
}

static void begin(struct engine *en, const struct engine_gen *gen)
{
    struct axera_con *c = &en->con;

    axera_con_prepare(en, gen);
    if (en->kind == AXERA_CTX && !(en->o.history == AXERA_EXTEND && extends(c))) {
        c->state = AXERA_CON_RESET;
        send_line(en, "reset\n");
    } else {
        send_ticket(en);
    }
    axera_wake(en);
}

int axera_con_generate(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn, void *ctx,
                       struct engine_gen_result *ret, struct err *e)
{
    struct axera_con *c     = &en->con;
    enum engine_end   end   = ENGINE_END_STOP;
    size_t            n     = 0;
    bool              enough = false; // what comes now is not wanted
    int               rc    = 0;

    if (en->n_prompt_max && gen->n_tok > en->n_prompt_max)
        return err_set(e, ERR_CONTEXT_LENGTH, "the prompt has %d tokens, this child takes %d", gen->n_tok,
                       en->n_prompt_max);
    pthread_mutex_lock(&en->lock);
    if (!en->dead) begin(en, gen);
    while (!en->dead) {
        if (!enough && c->stop) { // abort
            enough = true;
            end    = ENGINE_END_ABORTED;
        }
        if (!enough && n < c->out.n) {
            struct engine_piece piece = { "", 0, c->out.id[n++] };
            if (piece.tok >= tok_n(en->tok)) piece = (struct engine_piece){ "\xEF\xBF\xBD", 3, -1 }; // none that we know
            pthread_mutex_unlock(&en->lock);
            bool go_on = fn(ctx, &piece);
            pthread_mutex_lock(&en->lock);
            if (go_on && (int)n < gen->n_max) continue;
            enough = true;
            end    = go_on ? ENGINE_END_LENGTH : ENGINE_END_ABORTED;
            if (!c->ended) c->stop = true;
            axera_wake(en);
            continue;
        }
        if (c->ended) break;
        pthread_cond_wait(&en->cond, &en->lock);
    }
    c->prompt   = NULL;
    c->n_prompt = 0;
    if (!c->ended) {
        *e = en->why;
        rc = -(int)e->code;
    }
    pthread_mutex_unlock(&en->lock);
    if (rc < 0) return rc;
    if (end == ENGINE_END_STOP && gen->n_tok + (int)n >= en->n_ctx) end = ENGINE_END_LENGTH;
    *ret = (struct engine_gen_result){ .end = end, .n_prompt = gen->n_tok, .n_gen = (int)n };
    return 0;
}
