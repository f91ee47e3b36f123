/* embed.c - embeddings and rerank: parse, submit, collect vectors or scores, reply.
 *
 * One request of the worker carries all texts; their vectors come one by one in any order. Each is written as
 * JSON when it comes, so that no single moment writes megabytes of numbers while streams wait; the reply then
 * joins them in the order of the texts.
 */
#include <stdlib.h>
#include <string.h>

#include "api/api_int.h"
#include "base/limits.h"
#include "base/mem.h"

#define FLOAT_BYTES 16 // "-1.23456789e-10," at most

struct embed {
    struct api_user     user;
    struct api         *a;
    struct http_req    *http; // NULL: the client is gone
    struct gateway_req *req;  // NULL: not begun, or over
    struct arena        arena;
    struct str          body; // until parsed
    enum api_kind       kind;
    struct api_req      q;
    bool                parsing; // a job holds it
    int                 parse_rc;
    struct err          parse_err;
    bool                over;    // replied, or nobody is left
    struct arena        texts;   // of vectors
    struct str         *vec;     // [n_input] embeddings: JSON of each vector; p NULL: not there yet
    struct score       *score;   // [n_input] rerank
    int                 n_vec;
};

struct score {
    float value;
    int   index;
    bool  there;
};

static void embed_free(struct embed *m)
{
    arena_release(&m->texts);
    arena_release(&m->arena);
    mem_free(m);
}

static void stop(struct embed *m)
{
    if (m->req) gateway_cancel(m->req);
    m->req  = NULL;
    m->over = true;
}

static void embed_gone(struct api_user *u)
{
    stop((struct embed *)u);
}

static void embed_detach(struct api_user *u)
{
    struct embed *m = (struct embed *)u;

    stop(m);
    m->http = NULL;
    if (!m->parsing) embed_free(m);
}

static void fail(struct embed *m, const struct err *e)
{
    if (m->over) return;
    stop(m);
    http_reply_err(m->http, e);
}

/* --- vectors --- */

/* Source of the alphabet: RFC 4648, sec. 4. */
static void put_base64(struct buf *b, struct str s)
{
    static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    buf_byte(b, '"');
    for (size_t i = 0; i < s.n; i += 3) {
        const unsigned char *p = (const unsigned char *)s.p + i;
        size_t   n = s.n - i < 3 ? s.n - i : 3;
        unsigned v = (unsigned)p[0] << 16 | (n > 1 ? (unsigned)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
        char     out[4] = { abc[v >> 18], abc[v >> 12 & 63], n > 1 ? abc[v >> 6 & 63] : '=', n > 2 ? abc[v & 63] : '=' };
        buf_put(b, out, sizeof out);
    }
    buf_byte(b, '"');
}

/* Nine digits are enough for a reader to get the same float back. */
static void put_floats(struct buf *b, struct str s)
{
    struct unpack u = unpack_init(s);

    buf_byte(b, '[');
    for (bool first = true; u.n; first = false) buf_printf(b, first ? "%.9g" : ",%.9g", (double)unpack_f32(&u));
    buf_byte(b, ']');
}

static void take_vector(struct embed *m, const struct chat_event *ev)
{
    struct buf   *b = &m->a->text;
    struct unpack u = unpack_init(ev->text);
    struct err    e;

    if (ev->index >= m->q.r.n_input) return;
    if (m->kind == API_RERANK) {
        struct score *s = &m->score[ev->index];
        m->n_vec += !s->there;
        *s = (struct score){ .value = unpack_f32(&u), .index = ev->index, .there = true };
        return;
    }
    struct str *vec = &m->vec[ev->index];
    buf_clear(b);
    if (m->q.base64) put_base64(b, ev->text);
    else put_floats(b, ev->text);
    m->n_vec += !vec->p;
    if (!b->failed) *vec = arena_str(&m->texts, buf_text(b));
    if (b->failed || !vec->p) {
        err_nomem(&e, "keeping a vector");
        fail(m, &e);
    }
}

/* --- replies --- */

static void put_usage(struct buf *b, const struct embed *m, const struct chat_usage *u)
{
    buf_str(b, STR("\"model\":"));
    json_put_str(b, m->q.model);
    buf_printf(b, ",\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d}", u->n_prompt, u->n_prompt);
}

static void put_embeddings(struct buf *b, const struct embed *m, const struct chat_usage *u)
{
    buf_str(b, STR("{\"object\":\"list\",\"data\":["));
    for (int i = 0; i < m->q.r.n_input; i++) {
        buf_printf(b, "%s{\"object\":\"embedding\",\"index\":%d,\"embedding\":", i ? "," : "", i);
        buf_str(b, m->vec[i]);
        buf_byte(b, '}');
    }
    buf_str(b, STR("],"));
    put_usage(b, m, u);
    buf_byte(b, '}');
}

/* Best first; equals in the order of the request. */
static int by_score(const void *a, const void *b)
{
    const struct score *x = a, *y = b;

    if (x->value != y->value) return x->value < y->value ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

static void put_ranking(struct buf *b, struct embed *m, const struct chat_usage *u)
{
    int n = m->q.r.n_input;

    qsort(m->score, (size_t)n, sizeof *m->score, by_score);
    if (m->q.top_n && m->q.top_n < n) n = m->q.top_n;
    buf_str(b, STR("{\"object\":\"list\",\"results\":["));
    for (int i = 0; i < n; i++) {
        const struct score *s = &m->score[i];
        buf_printf(b, "%s{\"index\":%d,\"relevance_score\":%.9g", i ? "," : "", s->index, (double)s->value);
        if (m->q.with_documents) {
            buf_str(b, STR(",\"document\":{\"text\":"));
            json_put_str(b, m->q.r.input[s->index].text);
            buf_byte(b, '}');
        }
        buf_byte(b, '}');
    }
    buf_str(b, STR("],"));
    put_usage(b, m, u);
    buf_byte(b, '}');
}

static void end(struct embed *m, const struct chat_usage *u)
{
    struct buf *b = &m->a->text;
    struct err  e;

    if (m->over) return;
    buf_clear(b);
    if (m->n_vec == m->q.r.n_input) {
        if (m->kind == API_RERANK) put_ranking(b, m, u);
        else put_embeddings(b, m, u);
    }
    if (b->n && !b->failed) {
        m->over = true;
        http_reply(m->http, 200, STR("application/json"), buf_text(b));
    } else {
        err_set(&e, b->failed ? ERR_NO_MEMORY : ERR_INTERNAL,
                b->failed ? "no memory for a reply" : "the model's process gave fewer vectors than texts");
        fail(m, &e);
    }
    if (b->cap > MIB(1)) { // one huge reply keeps no memory
        buf_release(b);
        buf_init(b, LIM_REQ_ARENA);
    }
}

static void on_event(void *ctx, const struct chat_event *ev)
{
    struct embed *m = ctx;

    switch (ev->kind) {
    case CHAT_EV_VECTOR:
        if (!m->over) take_vector(m, ev);
        break;
    case CHAT_EV_END:
        m->req = NULL;
        end(m, &ev->usage);
        break;
    case CHAT_EV_ERROR:
        m->req = NULL;
        fail(m, &ev->err);
        break;
    case CHAT_EV_START:
    case CHAT_EV_TEXT:
    case CHAT_EV_REASONING:
    case CHAT_EV_CALL:
    case CHAT_EV_ARGS:
    case CHAT_EV_LOGPROB:
    case CHAT_EV_FINISH: break;
    }
}

/* --- submit --- */

/* A reply that could not be written is refused before the work. */
static int check_reply(const struct embed *m, const struct gateway_model *model, struct err *e)
{
    size_t dim   = (size_t)(m->q.r.n_dim ? m->q.r.n_dim : model->has_info ? model->info.n_embd : 0);
    size_t bytes = m->q.base64 ? (dim * 4 + 2) / 3 * 4 + 2 : dim * FLOAT_BYTES;

    bytes *= (size_t)m->q.r.n_input;
    if (m->kind == API_RERANK || bytes <= LIM_REPLY_BYTES / 8 * 7) return 0;
    return err_param(e, ERR_ARRAY_TOO_LONG, "input", "%d vectors of %zu values would make a reply of up to %zu bytes, "
                     "the limit is %zu: send fewer texts at once%s", m->q.r.n_input, dim, bytes, LIM_REPLY_BYTES / 8 * 7,
                     m->q.base64 ? "" : ", or ask for encoding_format base64");
}

static void submit(struct embed *m)
{
    const struct gateway_model *model;
    struct err                  e;
    size_t                      n  = (size_t)m->q.r.n_input;
    int                         rc = gateway_find(m->a->gw, m->q.model, &model, &e);

    if (rc == 0) rc = check_reply(m, model, &e);
    if (rc == 0) {
        m->q.model = arena_str(&m->arena, model->id); // the one that answers, whatever it was called
        if (m->kind == API_RERANK) m->score = arena_array(&m->arena, n, sizeof *m->score);
        else m->vec = arena_array(&m->arena, n, sizeof *m->vec);
        if (!m->q.model.p || (!m->score && !m->vec)) rc = err_nomem(&e, "taking a request");
    }
    if (rc == 0) rc = gateway_submit(m->a->gw, model, &m->q.r, on_event, m, &m->req, &e);
    if (rc == 0) gateway_flush(m->a->gw, model);
    else fail(m, &e);
}

/* --- parse --- */

static void parse(void *ctx)
{
    struct embed *m = ctx;

    m->parse_rc = api_req_parse(m->body, m->kind, &m->arena, &m->q, &m->parse_err);
}

static void parsed(void *ctx)
{
    struct embed *m = ctx;

    m->parsing = false;
    if (!m->http) { // the client did not wait
        embed_free(m);
        return;
    }
    if (m->over) return;
    if (m->q.ignored[0]) http_reply_field(m->http, "x-curlew-ignored", str_c(m->q.ignored));
    if (m->parse_rc < 0) fail(m, &m->parse_err);
    else submit(m);
}

void embed_begin(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    struct str    body = http_req_body(h);
    struct embed *m    = mem_zalloc(sizeof *m);
    struct err    e;
    (void)rest;

    if (!m) {
        err_nomem(&e, "taking a request");
        http_reply_err(h, &e);
        return;
    }
    *m = (struct embed){ .user = { .gone = embed_gone, .detach = embed_detach }, .a = a, .http = h, .kind = r->kind };
    arena_init(&m->arena, LIM_REQ_ARENA);
    arena_init(&m->texts, LIM_REPLY_BYTES);
    http_req_set_user(h, &m->user);
    if (body.n <= LIM_BODY_INLINE) {
        m->body = body;
        parse(m);
        http_req_free_body(h);
        parsed(m);
        return;
    }
    m->body    = arena_str(&m->arena, body); // the job must not depend on the connection
    m->parsing = true;
    http_req_free_body(h);
    if (!m->body.p) err_nomem(&e, "taking a request");
    else if (jobs_run(a->jobs, parse, parsed, m, &e) == 0) return;
    m->parsing = false;
    fail(m, &e);
}
