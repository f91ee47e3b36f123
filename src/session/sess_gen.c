/* sess_gen.c - engines that run their own loop: one request at a time on a thread of its own.
 *
 * The thread only calls the engine and puts what it says into a box; everything else happens on the
 * worker's thread. A request with n > 1 choices runs one after the other.
 */
#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "json/json.h"
#include "session/session_int.h"

#define BOX_BYTES KIB(64) // text that the engine is ahead of the worker; then it waits. It bounds a step's events
#define PIECE_BYTES MIB(16) // one piece; it always fits into an empty box
#define PIECE_HEAD 8 // of a piece in the box: token and length
#define ABORT_AGAIN_MS 20

enum gen_state { GEN_IDLE, GEN_RUNNING, GEN_ENDED, GEN_QUIT };

struct gen {
    struct session *s;
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    int             event_fd;

    /* worker's thread only */
    struct sess_req *rq;     // who is being answered, NULL: nobody, or he has gone
    int              choice;
    int              n_wait; // requests that wait
    struct sess_req *reads;  // whose prompt the engine's run reads, NULL once that run or he is gone
    struct arena     kept;   // the prompt of one who went while the engine read it; until the run ends
    struct ids       kept_ids;

    /* under lock */
    enum gen_state           state;
    struct engine_gen        job;
    bool                     stop; // what comes now is not wanted
    struct buf               box;  // pieces: i32 token, str bytes
    struct engine_gen_result result;
    int                      rc;
    struct err               err;
};

static void signal_worker(struct gen *g)
{
    uint64_t one = 1;

    ssize_t done = write(g->event_fd, &one, sizeof one);
    (void)done; // full means it is readable already
}

/* --- the engine's thread --- */

static bool on_piece(void *ctx, const struct engine_piece *piece)
{
    struct gen *g = ctx;

    pthread_mutex_lock(&g->lock);
    size_t size = g->job.hidden ? sizeof(float) * (size_t)piece->n_hidden * (size_t)g->s->info.n_embd : piece->n;
    while (!g->stop && g->box.n && g->box.n + size + PIECE_HEAD > BOX_BYTES)
        pthread_cond_wait(&g->wake, &g->lock);
    bool go_on = !g->stop;
    if (go_on) {
        pack_i32(&g->box, g->job.hidden ? -1 : piece->tok);
        pack_u32(&g->box, (uint32_t)size);
        buf_put(&g->box, g->job.hidden ? (const void *)piece->hidden : piece->text, size);
        go_on = !g->box.failed;
    }
    pthread_mutex_unlock(&g->lock);
    signal_worker(g);
    return go_on;
}

static void *gen_thread(void *arg)
{
    struct gen     *g = arg;
    struct session *s = g->s;

    pthread_mutex_lock(&g->lock);
    for (;;) {
        while (g->state != GEN_RUNNING && g->state != GEN_QUIT) pthread_cond_wait(&g->wake, &g->lock);
        if (g->state == GEN_QUIT) break;
        struct engine_gen        job = g->job;
        struct engine_gen_result result = { 0 };
        struct err               e;
        pthread_mutex_unlock(&g->lock);
        int rc = s->c.ops->generate(s->c.engine, &job, on_piece, g, &result, &e);
        pthread_mutex_lock(&g->lock);
        g->rc     = rc;
        g->result = result;
        if (rc < 0) g->err = e;
        if (g->state == GEN_RUNNING) g->state = GEN_ENDED;
        signal_worker(g);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* --- the worker's thread --- */

int gen_new(struct session *s, struct err *e)
{
    struct gen *g = mem_zalloc(sizeof *g);

    if (!g) return err_nomem(e, "starting a session");
    g->s        = s;
    g->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    buf_init(&g->box, PIECE_BYTES + PIECE_HEAD);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->wake, NULL);
    if (g->event_fd < 0 || pthread_create(&g->thread, NULL, gen_thread, g) != 0) {
        if (g->event_fd >= 0) close(g->event_fd);
        mem_free(g);
        return err_set(e, ERR_IO, "cannot start the engine's thread");
    }
    s->gen = g;
    return 0;
}

int gen_wake_fd(const struct session *s)
{
    return s->gen->event_fd;
}

/* The engine reads the prompt until its run ends, and that is after the abort: keep it until then. */
static void keep_prompt(struct gen *g, struct sess_req *rq)
{
    if (g->reads != rq) return;
    g->reads    = NULL;
    g->kept     = rq->arena;
    g->kept_ids = rq->prompt;
    arena_init(&rq->arena, 0);
    ids_init(&rq->prompt, 0);
}

static void drop_prompt(struct gen *g)
{
    g->reads = NULL;
    arena_release(&g->kept);
    ids_release(&g->kept_ids);
}

static void stop_run(struct gen *g)
{
    pthread_mutex_lock(&g->lock);
    g->stop = true;
    pthread_cond_broadcast(&g->wake);
    pthread_mutex_unlock(&g->lock);
    g->s->c.ops->abort(g->s->c.engine);
}

void gen_free(struct session *s)
{
    struct gen *g = s->gen;

    stop_run(g);
    pthread_mutex_lock(&g->lock);
    g->state = GEN_QUIT;
    pthread_cond_broadcast(&g->wake);
    pthread_mutex_unlock(&g->lock);
    pthread_join(g->thread, NULL);
    drop_prompt(g);
    pthread_cond_destroy(&g->wake);
    pthread_mutex_destroy(&g->lock);
    close(g->event_fd);
    buf_release(&g->box);
    mem_free(g);
    s->gen = NULL;
}

int gen_submit(struct sess_req *rq, struct err *e)
{
    struct gen *g = rq->s->gen;

    if (g->n_wait >= rq->s->c.n_queue + !g->rq) // who comes to an idle engine does not wait
        return err_set(e, ERR_QUEUE_FULL, "%d requests wait for this model, the limit; retry later", g->n_wait);
    g->n_wait++;
    return 0;
}

/* An engine may miss an abort that comes just before its run: ask again until the run is over. */
int gen_wait_ms(const struct session *s)
{
    struct gen *g = s->gen;

    pthread_mutex_lock(&g->lock);
    bool again = g->stop && g->state == GEN_RUNNING;
    pthread_mutex_unlock(&g->lock);
    return again ? ABORT_AGAIN_MS : -1;
}

bool gen_waiting(const struct sess_req *rq)
{
    return !rq->started;
}

void gen_cancel(struct sess_req *rq)
{
    struct gen *g = rq->s->gen;

    if (!rq->started) g->n_wait--;
    keep_prompt(g, rq);
    if (g->rq != rq) return;
    g->rq = NULL;
    stop_run(g);
}

/* enable_thinking among the template's variables, for engines that render themselves; true when not said. */
static bool wants_thinking(const struct chat_req *r)
{
    struct json_doc *doc;
    bool             on = true;

    if (!r->template_kwargs.p || json_parse(r->template_kwargs, NULL, &doc, NULL) < 0) return true;
    const struct json *v = json_get(json_root(doc), "enable_thinking");
    if (json_kind(v) == JSON_T_BOOL) on = json_bool(v);
    json_free(doc);
    return on;
}

/* Start the next choice of g->rq (or its next text to embed) on the engine's thread. */
static void run(struct gen *g)
{
    struct sess_req          *rq = g->rq;
    const struct chat_params *p  = &rq->r.params;
    bool                      toks = g->s->info.caps & ENGINE_TOK_IN && rq->prompt.n;

    bool msgs = rq->r.kind == CHAT_KIND_CHAT && g->s->info.caps & ENGINE_CHAT_IN;

    if (rq->r.echo) choice_echo(&rq->choice[g->choice]);
    g->reads = rq;
    pthread_mutex_lock(&g->lock);
    assert(g->state == GEN_IDLE);
    g->job = (struct engine_gen){
        .msg = msgs ? rq->msg : NULL, .n_msg = msgs ? rq->r.n_msg : 0,
        .kwargs = msgs ? rq->r.template_kwargs.p : NULL, .n_kwargs = msgs ? rq->r.template_kwargs.n : 0,
        .tok = toks ? rq->prompt.id : NULL, .n_tok = toks ? (int)rq->prompt.n : 0,
        .text = toks ? NULL : rq->text.p, .n_text = toks ? 0 : rq->text.n,
        .hidden = rq->embd != NULL,
        .n_max = rq->r.n_max > 0 ? rq->r.n_max : g->s->info.n_ctx, .thinking = wants_thinking(&rq->r),
        .sampling = { .temperature = p->temperature, .top_p = p->top_p, .min_p = p->min_p,
                      .repeat_penalty = p->repeat_penalty, .frequency_penalty = p->frequency_penalty,
                      .presence_penalty = p->presence_penalty, .top_k = p->top_k,
                      .seed = p->has_seed ? (int64_t)(p->seed & INT64_MAX) : -1 },
    };
    g->stop  = false;
    g->state = GEN_RUNNING;
    pthread_cond_broadcast(&g->wake);
    pthread_mutex_unlock(&g->lock);
}

static void fail(struct gen *g, const struct err *e)
{
    struct sess_req *rq = g->rq;

    log_error("request_failed", "id=%u error=\"%s\"", rq->id, e->msg);
    g->rq = NULL;
    sess_fail(rq, e);
}

/* No token is wanted: the engine has nothing to do. */
static void nothing(struct gen *g)
{
    struct sess_req *rq = g->rq;
    struct err       e;

    for (int i = 0; i < rq->r.n_choice; i++) {
        if (rq->r.echo) choice_echo(&rq->choice[i]);
        if (choice_end(&rq->choice[i], CHAT_FINISH_LENGTH, &e) < 0) {
            fail(g, &e);
            return;
        }
    }
    g->rq = NULL;
}

static void begin_run(struct gen *g)
{
    struct err e;

    if (g->rq->embd && embd_begin(g->rq, g->choice, &e) < 0) fail(g, &e);
    else run(g);
}

static void begin_next(struct gen *g)
{
    for (struct sess_req *rq = g->s->first; rq && !g->rq; rq = rq->next) {
        if (rq->started || rq->dead) continue;
        g->n_wait--;
        g->rq     = rq;
        g->choice = 0;
        sess_start(rq);
        if (rq->r.n_max == 0 && !rq->embd) nothing(g); // and on to the next
        else begin_run(g);
    }
}

/* A runtime may call with no token: nothing was generated then. */
static int show_token(struct choice *ch, int32_t tok, bool *over, struct err *e)
{
    int n = tok_n(ch->rq->s->c.tok);

    if (tok < 0) return 0;
    if (tok >= n)
        return err_set(e, ERR_INTERNAL, "the engine gave token %d, the vocabulary has %d: the tokenizer beside the "
                       "model is another model's", tok, n);
    return choice_token(ch, tok, NULL, over, e);
}

/* Give the pieces in `box` to the choice that runs. */
static int show(struct gen *g, const struct buf *box, bool *over, struct err *e)
{
    struct unpack  u  = unpack_init(buf_text(box));
    struct choice *ch = &g->rq->choice[g->choice];

    while (u.n && !*over) {
        int32_t    tok  = unpack_i32(&u);
        struct str text = unpack_str(&u);
        int        rc   = 0;
        if (g->rq->embd) embd_states(g->rq, text);
        else if (g->s->tok_out && (tok >= 0 || text.n == 0)) rc = show_token(ch, tok, over, e);
        else rc = choice_bytes(ch, text, over, e);
        if (rc < 0) return rc;
    }
    return 0;
}

/* The engine's run is over: the choice ends, if it has not yet, and the next begins. */
static int end_choice(struct gen *g, const struct engine_gen_result *result, struct err *e)
{
    struct sess_req *rq = g->rq;

    if (rq->embd) {
        int rc = embd_end(rq, g->choice, result->n_prompt, e);
        if (rc < 0) return rc;
        if (++g->choice < rq->r.n_input) begin_run(g);
        else g->rq = NULL;
        return 0;
    }
    struct choice *ch = &rq->choice[g->choice];
    if (!ch->done) {
        if (result->n_prompt >= 0) rq->n_prompt = result->n_prompt; // who tokenises counts
        if (result->n_cached > 0) rq->n_cached = result->n_cached;
        bool full = result->end == ENGINE_END_LENGTH;
        int  rc   = choice_end(ch, full ? CHAT_FINISH_LENGTH : CHAT_FINISH_STOP, e);
        if (rc < 0) return rc;
    }
    if (++g->choice < rq->r.n_choice) run(g);
    else g->rq = NULL;
    return 0;
}

/* What the engine's run says is still wanted. */
static bool open_end(const struct gen *g)
{
    return g->rq->embd || !g->rq->choice[g->choice].done;
}

bool gen_step(struct session *s)
{
    struct gen              *g = s->gen;
    struct engine_gen_result result = { 0 };
    struct buf               box;
    struct err               e, engine_err;
    bool                     ended, over = false;
    int                      engine_rc;
    uint64_t                 n;

    ssize_t got = read(g->event_fd, &n, sizeof n);
    (void)got; // nothing there is fine
    pthread_mutex_lock(&g->lock);
    box = g->box; // take the box away, leave an empty one
    buf_init(&g->box, PIECE_BYTES + PIECE_HEAD);
    ended      = g->state == GEN_ENDED;
    result     = g->result;
    engine_rc  = g->rc;
    engine_err = g->err;
    if (ended) g->state = GEN_IDLE;
    bool idle  = g->state == GEN_IDLE;
    bool again = g->state == GEN_RUNNING && g->stop;
    pthread_cond_broadcast(&g->wake);
    pthread_mutex_unlock(&g->lock);
    if (ended) drop_prompt(g);
    if (ended && engine_rc == -ERR_ENGINE_GONE) s->broken = true;
    if (again) s->c.ops->abort(s->c.engine);

    if (g->rq && open_end(g)) {
        if (show(g, &box, &over, &e) < 0) {
            fail(g, &e);
            stop_run(g);
        } else if (over && !ended) {
            stop_run(g); // the rest is not wanted
        }
    }
    buf_release(&box);
    if (ended && g->rq) {
        if (engine_rc < 0 && open_end(g)) fail(g, &engine_err);
        else if (end_choice(g, &result, &e) < 0) fail(g, &e);
        idle = !g->rq;
    }
    if (idle && !g->rq) begin_next(g);
    return false; // the event descriptor says when there is more
}
