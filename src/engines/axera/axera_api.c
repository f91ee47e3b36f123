/* axera_api.c - children that speak HTTP: generation 3 in its two forms, and axllm.
 *
 *     form          start                          answer                             stop
 *     generate      POST /api/generate             GET /api/content, polled           GET /api/stop
 *     openai        POST /v1/chat/completions      events                             GET /v1/stop
 *     axllm         POST /v1/chat/completions      events                             none: it goes on
 *
 * Generation 3 still asks a tokenizer: it gets a ticket as its user's text, and the prompt's ids when it encodes
 * that. axllm has a tokenizer and a template; it gets the conversation. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/utf8.h"
#include "engines/axera/axera_call.h"
#include "json/json.h"
#include "os/fd.h"

#define ASK_MS     3000
#define POLL_MS    20
#define READY_US   200000
#define MISSES     3
#define GONE_US    500000 // from a connection's end to the news that its child has ended
#define DRAIN_S    10 // what is left of a cancelled answer may hold the next one for so long
#define FAILED_TEXT "\xe6\xa8\xa1\xe5\x9e\x8b\xe8\xbf\x90\xe8\xa1\x8c\xe5\xa4\xb1\xe8\xb4\xa5" // "running the model failed"

/* A run's answer on its way. */
struct talk {
    struct engine           *en;
    const struct engine_gen *gen;
    engine_piece_fn         *fn;
    void                    *ctx;
    struct buf               line; // of an event stream
    struct buf               held; // text that may turn out to say that the run failed
    size_t                   n_byte; // given on
    int                      n_piece, n_prompt, n_gen;
    bool                     begun;  // past the place where a failure could stand
    bool                     enough; // nothing more is wanted
    bool                     over;   // the child says so
    enum engine_end          end;
    bool                     failed;
    struct err               err;
};

/* --- text --- */

/* Bytes of the first n_max tokens, when the child has gone past them: its chunks are of three. */
static size_t limit_bytes(struct talk *t)
{
    struct engine *en = t->en;
    size_t         n  = SIZE_MAX;
    struct buf     b;
    struct err     e;

    pthread_mutex_lock(&en->lock);
    bool past = en->kind == AXERA_API && en->con.out.n >= (size_t)t->gen->n_max;
    if (past) {
        buf_init(&b, MIB(16));
        if (tok_decode(en->tok, en->con.out.id, (size_t)t->gen->n_max, false, &b, &e) == 0) n = b.n;
        buf_release(&b);
    }
    pthread_mutex_unlock(&en->lock);
    return n;
}

static void finish(struct talk *t, enum engine_end end)
{
    if (t->enough) return;
    t->enough = true;
    t->end    = end;
}

static void give(struct talk *t, struct str s)
{
    size_t max = limit_bytes(t);

    if (t->enough || s.n == 0) return;
    if (t->n_byte + s.n > max) s.n = max > t->n_byte ? max - t->n_byte : 0;
    t->n_byte += s.n;
    t->n_piece++;
    struct engine_piece piece = { s.p, s.n, -1 };
    if (s.n && !t->fn(t->ctx, &piece)) finish(t, ENGINE_END_ABORTED);
    else if (t->n_byte >= max || (max == SIZE_MAX && t->n_piece >= t->gen->n_max)) finish(t, ENGINE_END_LENGTH);
}

static void fail(struct talk *t, enum err_code code, struct str why)
{
    if (t->failed) return;
    t->failed = true;
    err_set(&t->err, code, "the child: " STR_FMT, STR_ARG(why));
}

/* Text of the answer. A failed run is an answer that begins with the vendor's words for it. */
static void take_text(struct talk *t, struct str s)
{
    if (t->begun) {
        give(t, s);
        return;
    }
    buf_str(&t->held, s);
    struct str held = buf_text(&t->held), bad = STR(FAILED_TEXT);
    if (held.n < bad.n && str_starts(bad, held)) return;
    t->begun = true;
    if (str_starts(held, bad)) fail(t, ERR_INTERNAL, held);
    else give(t, held);
}

/* --- events --- */

static void take_usage(struct talk *t, const struct json *usage)
{
    int64_t n;

    if (t->en->kind != AXERA_AXLLM) return; // generation 3 counts bytes
    if (json_whole(json_get(usage, "prompt_tokens"), &n) && n >= 0 && n <= LIM_CTX) t->n_prompt = (int)n;
    if (json_whole(json_get(usage, "completion_tokens"), &n) && n >= 0 && n <= LIM_CTX) t->n_gen = (int)n;
}

static struct str error_text(const struct json *root)
{
    const struct json *error = json_get(root, "error");
    struct str         s     = json_str(error);

    if (!s.p) s = json_str(json_get(error, "message"));
    return s.p ? s : json_str(json_get(root, "message"));
}

/* A chunk of a stream, or a whole completion. */
static void take_object(struct talk *t, const struct json *root)
{
    const struct json *choice = json_at(json_get(root, "choices"), 0);
    const struct json *delta  = json_get(choice, "delta");
    struct str         why    = error_text(root), text = json_str(json_get(delta, "content"));

    if (why.p) {
        fail(t, ERR_INTERNAL, why);
        return;
    }
    if (!text.p) text = json_str(json_get(json_get(choice, "message"), "content"));
    if (text.n) take_text(t, text);
    take_usage(t, json_get(root, "usage"));
    struct str end = json_str(json_get(choice, "finish_reason"));
    if (end.n) t->over = true;
    if (str_eq(end, STR("length"))) finish(t, ENGINE_END_LENGTH);
}

/* Pieces may be cut inside a character: what is no UTF-8 becomes U+FFFD instead of failing the answer. */
static int parse_event(struct str s, struct json_doc **ret, struct err *e)
{
    struct utf8_stream u = { 0 };
    struct buf         b;

    if (utf8_valid(s)) return json_parse(s, NULL, ret, e);
    buf_init(&b, MIB(4));
    utf8_stream_put(&u, s, &b);
    utf8_stream_end(&u, &b);
    int rc = b.failed ? err_nomem(e, "reading an event") : json_parse(buf_text(&b), NULL, ret, e);
    buf_release(&b);
    return rc;
}

static void take_line(struct talk *t)
{
    struct str       s   = str_trim(buf_text(&t->line));
    struct json_doc *doc = NULL;
    struct err       e;

    if (str_starts(s, STR("data:"))) {
        s = str_trim(str_from(s, 5));
        if (str_eq(s, STR("[DONE]"))) {
            t->over = true;
        } else if (s.n && parse_event(s, &doc, &e) < 0) {
            fail(t, ERR_UPSTREAM, STR("an event of its stream is no JSON"));
        } else if (s.n) {
            take_object(t, json_root(doc));
            json_free(doc);
        }
    }
    buf_clear(&t->line);
}

static void take_events(struct talk *t, struct buf *body)
{
    for (size_t i = 0; i < body->n && !t->failed; i++) {
        if (body->p[i] == '\n') take_line(t);
        else buf_byte(&t->line, body->p[i]);
    }
    buf_clear(body);
    if (t->line.failed) fail(t, ERR_UPSTREAM, STR("a line of its stream is too long"));
}

/* A reply that is not 200, or a question of ours that got one. */
static void take_refusal(struct talk *t, const struct axera_call *c)
{
    struct json_doc *doc = NULL;
    struct err       e;
    struct str       body = buf_text(&c->in.body), why = STR_NULL;
    int              status = c->in.status;

    if (json_parse(body, NULL, &doc, &e) == 0) why = error_text(json_root(doc));
    if (!why.p) why = str_sub(body, 0, 200);
    bool busy = status == 429 || status == 503 || str_find(body, STR("running")) != SIZE_MAX ||
                str_find(body, STR("init")) != SIZE_MAX;
    fail(t, busy ? ERR_OVERLOADED : status == 400 ? ERR_BAD_REQUEST : ERR_UPSTREAM, why);
    json_free(doc);
}

/* --- requests --- */

static void put_number(struct buf *b, const char *key, double v)
{
    buf_printf(b, ",\"%s\":", key);
    json_put_f64(b, v);
}

/* What generation 3 gets as its user's text: the ticket, or the rendered conversation. */
static int put_prompt(struct engine *en, const struct engine_gen *gen, struct buf *b, struct err *e)
{
    char       ticket[24];
    struct buf text;
    int        rc = 0;

    buf_init(&text, LIM_PROMPT_BYTES);
    snprintf(ticket, sizeof ticket, "#%d", en->con.ticket);
    if (en->o.send == AXERA_TICKET) buf_str(&text, str_c(ticket));
    else rc = tok_decode(en->tok, gen->tok, (size_t)gen->n_tok, true, &text, e);
    json_put_str(b, buf_text(&text));
    buf_release(&text);
    return rc;
}

static int generate_body(struct engine *en, const struct engine_gen *gen, struct buf *b, struct err *e)
{
    const struct engine_sampling *s = &gen->sampling;

    buf_str(b, STR("{\"prompt\":"));
    int rc = put_prompt(en, gen, b, e);
    put_number(b, "temperature", (double)s->temperature);
    put_number(b, "repetition_penalty", (double)s->repeat_penalty);
    put_number(b, "top-p", (double)s->top_p);
    buf_printf(b, ",\"top-k\":%d}", (int)s->top_k);
    return rc;
}

static int chat_body(struct engine *en, const struct engine_gen *gen, struct buf *b, struct err *e)
{
    const struct engine_sampling *s  = &gen->sampling;
    int                           rc = 0;

    buf_str(b, STR("{\"model\":"));
    json_put_str(b, str_c(en->model));
    buf_str(b, STR(",\"stream\":true,\"messages\":"));
    if (en->kind == AXERA_API) {
        bool array = en->o.messages == AXERA_ARRAY;
        buf_str(b, array ? STR("[{\"role\":\"user\",\"content\":") : STR("{\"role\":\"user\",\"content\":"));
        rc = put_prompt(en, gen, b, e);
        buf_str(b, array ? STR("}]") : STR("}"));
        put_number(b, "temperature", (double)s->temperature);
        put_number(b, "repetition_penalty", (double)s->repeat_penalty);
        put_number(b, "top-p", (double)s->top_p);
        buf_printf(b, ",\"top-k\":%d}", (int)s->top_k);
        return rc;
    }
    for (int i = 0; i < gen->n_msg; i++) {
        buf_printf(b, "%c{\"role\":\"%s\",\"content\":", i ? ',' : '[', gen->msg[i].role);
        json_put_str(b, (struct str){ gen->msg[i].text, gen->msg[i].n });
        buf_byte(b, '}');
    }
    buf_printf(b, "],\"max_tokens\":%d", gen->n_max);
    put_number(b, "temperature", (double)s->temperature);
    put_number(b, "top_p", (double)s->top_p);
    if (gen->n_kwargs) {
        buf_str(b, STR(",\"chat_template_kwargs\":"));
        buf_put(b, gen->kwargs, gen->n_kwargs);
    }
    buf_byte(b, '}');
    return rc;
}

/* A question whose reply does not matter. */
static void tell(struct engine *en, const char *method, const char *path, const char *body)
{
    struct axera_call c;
    struct err        e;

    if (axera_call_whole(&c, en, method, path, body ? str_c(body) : STR_NULL, ASK_MS, &e) < 0) {
        log_debug("child_ask", "path=%s error=\"%s\"", path, e.msg);
        return;
    }
    axera_call_end(&c);
}

static void die(struct engine *en, const char *why)
{
    pthread_mutex_lock(&en->lock);
    axera_die(en, ERR_ENGINE_GONE, "%s", why);
    pthread_mutex_unlock(&en->lock);
}

static bool aborted(struct engine *en)
{
    pthread_mutex_lock(&en->lock);
    bool is = en->con.stop;
    pthread_mutex_unlock(&en->lock);
    return is;
}

/* --- the streams --- */

/* The rest of an answer that nobody wants: read beside, so that the child does not stop at a full pipe. */
static void drain(struct talk *t, struct axera_call *c)
{
    struct engine *en = t->en;

    pthread_mutex_lock(&en->lock);
    en->drain    = c->fd;
    en->drain_us = clock_mono_us();
    c->fd        = -1;
    axera_wake(en);
    pthread_mutex_unlock(&en->lock);
}

/* A cancelled answer of axllm still runs: nothing can end it but its own end, or the child's. */
static int wait_drained(struct engine *en, struct err *e)
{
    uint64_t until = clock_mono_us() + DRAIN_S * 1000000;
    int      rc    = 0;

    pthread_mutex_lock(&en->lock);
    while (en->drain >= 0 && !en->dead && !en->con.stop)
        if (!axera_wait(en, until))
            axera_die(en, ERR_ENGINE_GONE, "the child went on with a cancelled answer for %d s more: it is started "
                      "again", DRAIN_S);
    if (en->dead) {
        *e = en->why;
        rc = -(int)e->code;
    }
    pthread_mutex_unlock(&en->lock);
    return rc;
}

/* A stream without its end: the child has crashed, and the keeper says so in a moment. */
static int ended_early(struct engine *en, struct err *e)
{
    uint64_t until = clock_mono_us() + GONE_US;
    int      rc;

    pthread_mutex_lock(&en->lock);
    while (!en->dead && axera_wait(en, until)) continue;
    rc = en->dead ? -(int)en->why.code : err_set(e, ERR_UPSTREAM, "the child ended its answer without its end mark");
    if (en->dead) *e = en->why;
    pthread_mutex_unlock(&en->lock);
    return rc;
}

static int events(struct talk *t, struct err *e)
{
    struct engine    *en = t->en;
    struct axera_call c;
    struct buf        body;
    uint64_t          stop_us = 0;

    buf_init(&body, LIM_PROMPT_BYTES + KIB(64));
    int rc = chat_body(en, t->gen, &body, e);
    if (rc == 0 && body.failed) rc = err_nomem(e, "asking a child");
    if (rc == 0) rc = axera_call_start(&c, en, "POST", "/v1/chat/completions", buf_text(&body), e);
    buf_release(&body);
    if (rc < 0) return rc;
    do {
        c.abortable = stop_us == 0;
        rc          = axera_call_more(&c, stop_us ? 300 : (int)en->o.stall_s * 1000, e);
        if (rc == -ERR_CANCELLED) {
            finish(t, ENGINE_END_ABORTED);
            rc = 1;
        }
        if (rc >= 0 && c.in.status == 200) take_events(t, &c.in.body);
        if (t->failed) break;
        if (t->enough && !t->over && rc != 0 && en->kind == AXERA_AXLLM) {
            if (rc > 0) drain(t, &c);
            break;
        }
        if (t->enough && !t->over && rc != 0) { // generation 3 can be told
            if (stop_us == 0) stop_us = clock_mono_us();
            if (clock_mono_us() - stop_us > (uint64_t)en->o.cancel_s * 1000000) {
                die(en, "the child did not stop");
                break;
            }
            tell(en, "GET", "/v1/stop", NULL);
            if (rc == -ERR_UPSTREAM_TIMEOUT) rc = 1;
        }
    } while (rc > 0);
    if (rc == 0 && c.in.status != 200) take_refusal(t, &c);
    if (rc == 0 && t->line.n) take_line(t);
    if (rc == 0 && c.in.status == 200 && !t->over && !t->enough && !t->failed) rc = ended_early(en, e);
    axera_call_end(&c);
    if (rc == -ERR_UPSTREAM_TIMEOUT) die(en, "the child was silent in the middle of an answer");
    return t->failed || t->enough ? 0 : rc;
}

/* One poll of the answer. *done: it says so. */
static int content(struct talk *t, bool *done, size_t *n, struct err *e)
{
    struct axera_call c;
    struct json_doc  *doc = NULL;
    int               rc  = axera_call_whole(&c, t->en, "GET", "/api/content", STR_NULL, (int)t->en->o.stall_s * 1000, e);

    if (rc < 0) return rc;
    if (c.in.status != 200) {
        take_refusal(t, &c);
    } else if (json_parse(buf_text(&c.in.body), NULL, &doc, e) < 0) {
        fail(t, ERR_UPSTREAM, STR("its content is no JSON"));
    } else {
        struct str s = json_str(json_get(json_root(doc), "response"));
        *done        = json_bool(json_get(json_root(doc), "done"));
        *n           = s.n;
        if (s.n) take_text(t, s);
    }
    json_free(doc);
    axera_call_end(&c);
    return 0;
}

static int polled(struct talk *t, struct err *e)
{
    struct engine    *en = t->en;
    struct axera_call c;
    struct buf        body;
    bool              done = false;
    uint64_t          sign_us = clock_mono_us(), stop_us = 0;

    buf_init(&body, LIM_PROMPT_BYTES + KIB(64));
    int rc = generate_body(en, t->gen, &body, e);
    if (rc == 0 && body.failed) rc = err_nomem(e, "asking a child");
    if (rc == 0) rc = axera_call_whole(&c, en, "POST", "/api/generate", buf_text(&body), ASK_MS * 10, e);
    buf_release(&body);
    if (rc < 0) return rc;
    if (c.in.status != 200) take_refusal(t, &c);
    axera_call_end(&c);
    while (rc == 0 && !done && !t->failed) {
        size_t        n = 0;
        struct pollfd p = { .fd = t->enough ? -1 : en->abort_fd, .events = POLLIN };
        poll(&p, 1, POLL_MS);
        if (aborted(en)) finish(t, ENGINE_END_ABORTED);
        rc           = content(t, &done, &n, e);
        uint64_t now = clock_mono_us();
        if (n) sign_us = now;
        if (t->enough && !done) {
            tell(en, "GET", "/api/stop", NULL);
            if (stop_us == 0) stop_us = now;
            if (now - stop_us > (uint64_t)en->o.cancel_s * 1000000) die(en, "the child did not stop");
        }
        if (now - sign_us > (uint64_t)en->o.stall_s * 1000000) die(en, "the child was silent in the middle of an answer");
        pthread_mutex_lock(&en->lock);
        if (en->dead) {
            *e = en->why;
            rc = -(int)e->code;
        }
        pthread_mutex_unlock(&en->lock);
    }
    return t->enough || t->failed ? 0 : rc;
}

/* --- a run --- */

static int check_length(const struct engine *en, const struct engine_gen *gen, struct err *e)
{
    int most = en->n_prompt_max ? en->n_prompt_max : en->n_ctx - 1;

    if (gen->n_tok <= most) return 0;
    return err_set(e, ERR_CONTEXT_LENGTH, "the prompt has %d tokens, this child takes %d", gen->n_tok, most);
}

int axera_api_generate(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn, void *ctx,
                       struct engine_gen_result *ret, struct err *e)
{
    struct talk t = { .en = en, .gen = gen, .fn = fn, .ctx = ctx, .n_prompt = -1, .n_gen = -1,
                      .end = ENGINE_END_STOP };
    int         rc = check_length(en, gen, e);

    if (rc == 0) rc = wait_drained(en, e);
    if (rc < 0) return rc;
    buf_init(&t.line, MIB(1));
    buf_init(&t.held, MIB(1));
    if (en->kind == AXERA_API) {
        tell(en, "POST", en->openai ? "/v1/reset" : "/api/reset", "{\"system_prompt\":\"\"}");
        t.n_prompt = gen->n_tok;
        pthread_mutex_lock(&en->lock);
        bool stop = en->con.stop;
        axera_con_prepare(en, gen);
        en->con.stop  = stop;
        en->con.state = AXERA_CON_RUN;
        pthread_mutex_unlock(&en->lock);
    }
    if (aborted(en)) finish(&t, ENGINE_END_ABORTED);
    else rc = en->kind == AXERA_API && !en->openai ? polled(&t, e) : events(&t, e);
    if (rc == 0 && !t.begun && t.held.n && !t.failed) { // shorter than the words of failure
        t.begun = true;
        give(&t, buf_text(&t.held));
    }
    if (rc == 0 && !t.failed && !t.begun && !t.enough)
        fail(&t, ERR_INTERNAL, STR("an empty answer, as some builds give when the prompt is too long for them"));

    pthread_mutex_lock(&en->lock);
    en->con.state    = AXERA_CON_IDLE;
    en->con.prompt   = NULL;
    en->con.n_prompt = 0;
    if (en->kind == AXERA_API) t.n_gen = (int)en->con.out.n;
    if (en->dead && !t.enough) {
        *e = en->why;
        rc = -(int)e->code;
    }
    pthread_mutex_unlock(&en->lock);
    if (rc == 0 && t.failed) {
        *e = t.err;
        rc = -(int)e->code;
    }
    if (t.failed && en->kind == AXERA_API) tell(en, "GET", en->openai ? "/v1/stop" : "/api/stop", NULL);
    if (rc == 0 && t.end == ENGINE_END_STOP && t.n_prompt > 0 && t.n_gen > 0 && t.n_prompt + t.n_gen >= en->n_ctx)
        t.end = ENGINE_END_LENGTH;
    if (rc == 0) *ret = (struct engine_gen_result){ .end = t.end, .n_prompt = t.n_prompt, .n_gen = t.n_gen };
    buf_release(&t.line);
    buf_release(&t.held);
    return rc;
}

/* --- readiness and health --- */

static void learn(struct engine *en, const struct json *root)
{
    const struct json *m = json_at(json_get(root, "data"), 0);
    int64_t            n;

    if (!m) m = json_at(root, 0);
    pthread_mutex_lock(&en->lock);
    if (json_whole(json_get(m, "max_token_len"), &n) && n > 0 && n <= LIM_CTX) en->n_ctx = (int)n;
    if (json_whole(json_get(m, "prefill_max_token_num"), &n) && n > 0 && n <= LIM_CTX) en->n_prompt_max = (int)n;
    str_copy_z(en->model, sizeof en->model, json_str(json_get(m, "id")).p ? json_str(json_get(m, "id")) : STR("m"));
    pthread_mutex_unlock(&en->lock);
}

/* Does it answer there with 200? */
static bool answers(struct engine *en, const char *path, bool models)
{
    struct axera_call c;
    struct json_doc  *doc = NULL;
    struct err        e;

    if (axera_call_whole(&c, en, "GET", path, STR_NULL, ASK_MS, &e) < 0) return false;
    bool fine = c.in.status == 200 && str_find(buf_text(&c.in.body), STR("initing")) == SIZE_MAX;
    if (fine && models) {
        fine = json_parse(buf_text(&c.in.body), NULL, &doc, &e) == 0;
        if (fine) learn(en, json_root(doc));
        json_free(doc);
    }
    axera_call_end(&c);
    return fine;
}

static bool is_ready(struct engine *en)
{
    bool guess = en->kind == AXERA_API && en->o.api == AXERA_GUESS;

    if (en->kind == AXERA_AXLLM || en->o.api == AXERA_OPENAI || guess) {
        en->openai = answers(en, "/v1/models", true);
        if (en->openai || !guess) return en->openai;
    }
    return answers(en, "/api/content", false);
}

int axera_api_open(struct engine *en, struct err *e)
{
    uint64_t until = clock_mono_us() + (uint64_t)en->start_s * 1000000;
    int      rc    = 0;

    en->knobs = ENGINE_KNOB_TEMPERATURE | ENGINE_KNOB_TOP_P;
    if (en->kind == AXERA_API) en->knobs |= ENGINE_KNOB_TOP_K | ENGINE_KNOB_REPEAT;
    while (!is_ready(en)) {
        pthread_mutex_lock(&en->lock);
        if (clock_mono_us() > until)
            axera_die(en, ERR_ENGINE_GONE, "the child was not ready within %d s", en->start_s);
        uint64_t next = clock_mono_us() + READY_US;
        while (!en->dead && axera_wait(en, next)) continue;
        bool dead = en->dead;
        if (dead) {
            *e = en->why;
            rc = -(int)e->code;
        }
        pthread_mutex_unlock(&en->lock);
        if (dead) return rc;
    }
    log_info("child_listens", "port=\"its own\" why=\"this program binds all addresses: keep its port from other "
             "machines\"");
    return 0;
}

static void *health_thread(void *arg)
{
    struct engine *en     = arg;
    int            misses = 0;

    pthread_mutex_lock(&en->lock);
    while (!en->quit && !en->dead) {
        uint64_t until = clock_mono_us() + (uint64_t)en->o.health_s * 1000000;
        while (!en->quit && !en->dead && axera_wait(en, until)) continue;
        if (en->quit || en->dead || en->running || en->drain >= 0) continue;
        pthread_mutex_unlock(&en->lock);
        misses = answers(en, en->openai || en->kind == AXERA_AXLLM ? "/v1/models" : "/api/content", false) ? 0 : misses + 1;
        pthread_mutex_lock(&en->lock);
        if (misses == MISSES && !en->running)
            axera_die(en, ERR_ENGINE_GONE, "the idle child did not answer %d times", MISSES);
    }
    pthread_mutex_unlock(&en->lock);
    return NULL;
}

int axera_api_watch(struct engine *en, struct err *e)
{
    if (pthread_create(&en->health, NULL, health_thread, en) != 0) return err_set(e, ERR_IO, "cannot start a thread");
    en->has_health = true;
    return 0;
}
