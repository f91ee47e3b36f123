/* axera_nw1.c - programs that speak "nw1": one JSON object a line, on a socket. docs/npu-children.md is the contract.
 *
 *     curlew                                   program
 *     {"type":"hello","proto":"nw1"}   -->
 *                                      <--     {"type":"hello","proto":"nw1","caps":["cancel"]}
 *     {"type":"load","id":"load"}      -->
 *                                      <--     {"type":"loaded","id":"load","ctx":4096}
 *     {"type":"generate","id":"r1"..}  -->
 *                                      <--     {"type":"token","id":"r1","text":"Hel"} ...
 *                                      <--     {"type":"done","id":"r1","finish":"stop"}
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/pack.h"
#include "engines/axera/axera_int.h"
#include "json/json.h"
#include "os/fd.h"

#define LINE_BYTES  MIB(1)
#define AHEAD_BYTES KIB(256) // text that the program is ahead of the run; then it is not read
#define OUT_BYTES   MIB(32)  // of requests not yet written: a prompt as JSON
#define PONG_US     5000000  // a program that does not answer a ping for so long is at its end
#define TICK_MS     100

void axera_nw1_init(struct axera_nw1 *n)
{
    n->fd = -1;
    buf_init(&n->line, LINE_BYTES);
    buf_init(&n->out, OUT_BYTES);
    buf_init(&n->ahead, MIB(4));
}

void axera_nw1_release(struct axera_nw1 *n)
{
    fd_close(&n->fd);
    buf_release(&n->line);
    buf_release(&n->out);
    buf_release(&n->ahead);
}

/* --- to the program --- */

/* As much as it takes now; the rest when it is writable. */
void axera_nw1_write(struct engine *en)
{
    struct axera_nw1 *n = &en->nw1;

    while (n->out.n && n->fd >= 0) {
        ssize_t done = write(n->fd, n->out.p, n->out.n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0 && errno == EAGAIN) return;
        if (done < 0) {
            axera_die(en, ERR_ENGINE_GONE, "the program's socket: %s", err_errno(errno));
            return;
        }
        buf_drop(&n->out, (size_t)done);
    }
    if (n->out.failed) axera_die(en, ERR_NO_MEMORY, "no memory for a request to the program");
}

static void say(struct engine *en, const char *line)
{
    buf_str(&en->nw1.out, str_c(line));
    buf_byte(&en->nw1.out, '\n');
    axera_nw1_write(en);
}

void axera_nw1_up(struct engine *en, int fd)
{
    en->nw1.fd = fd;
    fd_nonblock(fd);
    say(en, "{\"type\":\"hello\",\"proto\":\"nw1\"}");
}

static void send_load(struct engine *en)
{
    struct buf *b = &en->nw1.out;

    buf_str(b, STR("{\"type\":\"load\",\"id\":\"load\",\"model\":"));
    json_put_str(b, str_c(en->o.model ? en->o.model : ""));
    buf_printf(b, ",\"ctx\":%lld,\"options\":{}}\n", (long long)en->o.ctx);
    axera_nw1_write(en);
}

/* --- from the program --- */

static void on_hello(struct engine *en, const struct json *m)
{
    struct axera_nw1  *n    = &en->nw1;
    const struct json *caps = json_get(m, "caps");
    char               q[64];

    if (!str_eq(json_str(json_get(m, "proto")), STR("nw1"))) {
        axera_die(en, ERR_ENGINE_GONE, "the program speaks %s, this server nw1",
                  str_quote(q, sizeof q, json_str(json_get(m, "proto"))));
        return;
    }
    for (size_t i = 0; i < json_len(caps); i++) {
        struct str c = json_str(json_at(caps, i));
        if (str_eq(c, STR("tokens_in"))) n->tokens_in = true;
        if (str_eq(c, STR("messages_in"))) n->messages_in = true;
        if (str_eq(c, STR("cancel"))) n->cancel = true;
        if (str_eq(c, STR("sampling"))) n->sampling = true;
    }
    if (n->sampling)
        en->knobs = ENGINE_KNOB_TEMPERATURE | ENGINE_KNOB_TOP_P | ENGINE_KNOB_TOP_K | ENGINE_KNOB_REPEAT |
                    ENGINE_KNOB_FREQUENCY | ENGINE_KNOB_PRESENCE | ENGINE_KNOB_SEED;
    str_copy_z(en->model, sizeof en->model, json_str(json_get(m, "name")));
    n->hello = true;
    send_load(en);
}

static void on_loaded(struct engine *en, const struct json *m)
{
    int64_t v;

    if (json_whole(json_get(m, "ctx"), &v) && v > 0 && v <= LIM_CTX) en->n_ctx = (int)v;
    en->nw1.loaded = true;
    en->con.state  = AXERA_CON_IDLE;
    pthread_cond_broadcast(&en->cond);
}

static bool is_current(const struct engine *en, const struct json *m)
{
    return en->nw1.busy && str_eq(json_str(json_get(m, "id")), str_c(en->nw1.id));
}

static void on_token(struct engine *en, const struct json *m)
{
    struct str text = json_str(json_get(m, "text"));

    if (!is_current(en, m)) return;
    en->nw1.n_token++;
    if (!en->con.stop) pack_str(&en->nw1.ahead, text);
    if (en->nw1.ahead.failed) axera_die(en, ERR_NO_MEMORY, "no memory for the program's answer");
    pthread_cond_broadcast(&en->cond);
}

static void on_done(struct engine *en, const struct json *m)
{
    struct axera_nw1  *n      = &en->nw1;
    const struct json *usage  = json_get(m, "usage");
    struct str         finish = json_str(json_get(m, "finish"));
    int64_t            v;

    if (!is_current(en, m)) return;
    n->end = str_eq(finish, STR("length")) ? ENGINE_END_LENGTH
           : str_eq(finish, STR("cancel")) ? ENGINE_END_ABORTED : ENGINE_END_STOP;
    if (json_whole(json_get(usage, "prompt"), &v) && v >= 0 && v <= LIM_CTX) n->n_prompt = (int)v;
    if (json_whole(json_get(usage, "completion"), &v) && v >= 0 && v <= LIM_CTX) n->n_gen = (int)v;
    n->busy = false;
    pthread_cond_broadcast(&en->cond);
}

static enum err_code code_of(struct str s)
{
    static const struct {
        const char   *name;
        enum err_code code;
    } rows[] = {
        { "busy", ERR_OVERLOADED },        { "bad_request", ERR_BAD_REQUEST }, { "context_length", ERR_CONTEXT_LENGTH },
        { "unsupported", ERR_UNSUPP_VALUE }, { "oom", ERR_NO_MEMORY },         { "no_model", ERR_ENGINE_GONE },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(s, str_c(rows[i].name))) return rows[i].code;
    return ERR_INTERNAL;
}

static void on_error(struct engine *en, const struct json *m)
{
    struct axera_nw1 *n    = &en->nw1;
    struct str        why  = json_str(json_get(m, "message")), code = json_str(json_get(m, "code"));
    bool              mine = is_current(en, m);

    if (mine && str_eq(code, STR("cancelled"))) {
        n->end  = ENGINE_END_ABORTED;
        n->busy = false;
    } else if (mine) {
        err_set(&n->err, code_of(code), STR_FMT, STR_ARG(why.n ? why : STR("the program reports an error")));
        n->failed = true;
        n->busy   = false;
    } else {
        log_warn("child_error", "message=\"" STR_FMT "\"", STR_ARG(why));
    }
    if (!n->loaded || json_bool(json_get(m, "fatal")))
        axera_die(en, ERR_ENGINE_GONE, "the program reports: " STR_FMT, STR_ARG(why));
    pthread_cond_broadcast(&en->cond);
}

static void on_message(struct engine *en, const struct json *m)
{
    struct str type = json_str(json_get(m, "type"));

    en->con.sign_us = clock_mono_us();
    if (str_eq(type, STR("hello"))) on_hello(en, m);
    else if (!en->nw1.hello) axera_die(en, ERR_ENGINE_GONE, "the program did not begin with hello");
    else if (str_eq(type, STR("loaded"))) on_loaded(en, m);
    else if (str_eq(type, STR("token"))) on_token(en, m);
    else if (str_eq(type, STR("done"))) on_done(en, m);
    else if (str_eq(type, STR("error"))) on_error(en, m);
    else if (str_eq(type, STR("pong"))) en->nw1.ping_us = 0;
    else if (str_eq(type, STR("log"))) log_info("child_log", "text=\"" STR_FMT "\"", STR_ARG(json_str(json_get(m, "text"))));
    else if (!str_eq(type, STR("progress")))
        say(en, "{\"type\":\"error\",\"id\":null,\"code\":\"unknown_type\",\"message\":\"unknown type\",\"fatal\":false}");
}

static void protocol(struct engine *en, const char *what)
{
    say(en, "{\"type\":\"error\",\"id\":null,\"code\":\"protocol\",\"message\":\"not a line of JSON\",\"fatal\":true}");
    axera_die(en, ERR_ENGINE_GONE, "the program sent %s", what);
}

static void take_line(struct engine *en)
{
    struct str       s   = str_trim(buf_text(&en->nw1.line));
    struct json_doc *doc = NULL;
    struct err       e;

    if (en->nw1.line.failed) {
        protocol(en, "a line of more than 1 MiB");
    } else if (s.n && json_parse(s, NULL, &doc, &e) < 0) {
        protocol(en, "a line that is no JSON");
    } else if (s.n) {
        on_message(en, json_root(doc));
        json_free(doc);
    }
    buf_clear(&en->nw1.line);
}

void axera_nw1_read(struct engine *en)
{
    char    bytes[16384];
    ssize_t n = read(en->nw1.fd, bytes, sizeof bytes);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        fd_close(&en->nw1.fd);
        en->nw1.lost_us = clock_mono_us(); // how it ended comes from the keeper
        return;
    }
    for (ssize_t i = 0; i < n && !en->dead; i++) {
        if (bytes[i] == '\n') take_line(en);
        else buf_byte(&en->nw1.line, bytes[i]);
    }
}

bool axera_nw1_may_read(const struct engine *en)
{
    return en->nw1.ahead.n < AHEAD_BYTES;
}

/* --- time --- */

int axera_nw1_tick(struct engine *en)
{
    struct axera_nw1 *n   = &en->nw1;
    uint64_t          now = clock_mono_us();
    char              line[80];

    if (n->lost_us && now - n->lost_us > 500000) axera_die(en, ERR_ENGINE_GONE, "the program closed its socket");
    if (!n->loaded) return TICK_MS;
    if (n->busy && en->con.stop) {
        if (en->con.stop_us == 0) {
            en->con.stop_us = now;
            snprintf(line, sizeof line, "{\"type\":\"cancel\",\"id\":\"%s\"}", n->id);
            if (n->cancel) say(en, line);
        }
        if (now - en->con.stop_us > (uint64_t)en->o.cancel_s * 1000000)
            axera_die(en, ERR_ENGINE_GONE, "the program did not stop within %d s", (int)en->o.cancel_s);
    }
    if (n->busy && now - en->con.sign_us > (uint64_t)en->o.stall_s * 1000000 && axera_nw1_may_read(en))
        axera_die(en, ERR_ENGINE_GONE, "the program was silent for %d s in the middle of a run", (int)en->o.stall_s);
    if (n->ping_us && now - n->ping_us > PONG_US)
        axera_die(en, ERR_ENGINE_GONE, "the idle program did not answer a ping");
    if (!n->busy && !n->ping_us && now - en->con.sign_us > (uint64_t)en->o.health_s * 1000000) {
        n->ping_us = now;
        say(en, "{\"type\":\"ping\",\"id\":\"ping\"}");
    }
    if (n->busy) n->ping_us = 0;
    return TICK_MS;
}

/* --- a run --- */

static void put_input(struct engine *en, const struct engine_gen *gen, struct buf *b)
{
    if (gen->msg) {
        buf_str(b, STR(",\"messages\":"));
        for (int i = 0; i < gen->n_msg; i++) {
            buf_printf(b, "%c{\"role\":\"%s\",\"content\":", i ? ',' : '[', gen->msg[i].role);
            json_put_str(b, (struct str){ gen->msg[i].text, gen->msg[i].n });
            buf_byte(b, '}');
        }
        buf_byte(b, ']');
    } else if (gen->tok) {
        buf_str(b, STR(",\"tokens\":"));
        for (int i = 0; i < gen->n_tok; i++) {
            buf_byte(b, i ? ',' : '[');
            buf_i64(b, gen->tok[i]);
        }
        buf_printf(b, "],\"stop_ids\":[%d]", tok_eos(en->tok));
    } else {
        buf_str(b, STR(",\"prompt\":"));
        json_put_str(b, (struct str){ gen->text, gen->n_text });
    }
}

static void put_number(struct buf *b, const char *key, double v)
{
    buf_printf(b, "\"%s\":", key);
    json_put_f64(b, v);
    buf_byte(b, ',');
}

static void send_run(struct engine *en, const struct engine_gen *gen)
{
    struct axera_nw1             *n = &en->nw1;
    const struct engine_sampling *s = &gen->sampling;
    struct buf                   *b = &n->out;

    snprintf(n->id, sizeof n->id, "r%d", ++n->n_run);
    n->busy   = true;
    n->failed = false;
    n->end    = ENGINE_END_STOP;
    n->n_prompt = n->n_gen = -1;
    n->n_token      = 0;
    en->con.stop    = false;
    en->con.stop_us = 0;
    en->con.sign_us = clock_mono_us();
    buf_clear(&n->ahead);
    buf_printf(b, "{\"type\":\"generate\",\"id\":\"%s\",\"max_tokens\":%d", n->id, gen->n_max);
    put_input(en, gen, b);
    if (n->sampling) {
        buf_str(b, STR(",\"sampling\":{"));
        put_number(b, "temperature", (double)s->temperature);
        put_number(b, "top_p", (double)s->top_p);
        put_number(b, "repeat_penalty", (double)s->repeat_penalty);
        put_number(b, "frequency_penalty", (double)s->frequency_penalty);
        put_number(b, "presence_penalty", (double)s->presence_penalty);
        buf_printf(b, "\"top_k\":%d", (int)s->top_k);
        if (s->seed >= 0) buf_printf(b, ",\"seed\":%lld", (long long)s->seed);
        buf_byte(b, '}');
    }
    buf_str(b, STR("}\n"));
    axera_nw1_write(en);
    axera_wake(en);
}

/* What has come, given on without the lock. False: nothing more is wanted. */
static bool give_ahead(struct engine *en, engine_piece_fn *fn, void *ctx)
{
    struct buf    mine = en->nw1.ahead;
    struct unpack u;
    bool          go_on = true;

    buf_init(&en->nw1.ahead, mine.max);
    pthread_mutex_unlock(&en->lock);
    u = unpack_init(buf_text(&mine));
    while (go_on && u.n && !u.failed) {
        struct str          text  = unpack_str(&u);
        struct engine_piece piece = { text.p, text.n, -1 };
        if (text.n) go_on = fn(ctx, &piece);
    }
    buf_release(&mine);
    pthread_mutex_lock(&en->lock);
    axera_wake(en); // it may be read again
    return go_on;
}

int axera_nw1_generate(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn, void *ctx,
                       struct engine_gen_result *ret, struct err *e)
{
    struct axera_nw1 *n       = &en->nw1;
    bool              aborted = false;
    int               rc      = 0;

    pthread_mutex_lock(&en->lock);
    if (!en->dead) send_run(en, gen);
    while (!en->dead) {
        aborted |= en->con.stop;
        if (n->ahead.n && !aborted) {
            if (give_ahead(en, fn, ctx)) continue;
            aborted      = true;
            en->con.stop = true;
            axera_wake(en);
        }
        if (!n->busy) break;
        pthread_cond_wait(&en->cond, &en->lock);
    }
    if (n->failed || n->busy) {
        *e = n->failed ? n->err : en->why;
        rc = -(int)e->code;
    } else {
        *ret = (struct engine_gen_result){ .end = aborted ? ENGINE_END_ABORTED : n->end, .n_prompt = n->n_prompt,
                                           .n_gen = n->n_gen >= 0 ? n->n_gen : n->n_token };
    }
    n->busy = false;
    pthread_mutex_unlock(&en->lock);
    return rc;
}
