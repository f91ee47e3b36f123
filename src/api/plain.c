/* plain.c - /generate and /chat, as simple-rkllm has them.
 *
 *     /generate {"prompt", "role", "enable_thinking", "stream"}  ->  {"text": ..., "status": "success"}
 *     /chat     {"messages", "stream"}                           ->  {"choices": [{"message": {...}}]}
 *     streams of both: data: {"content": "piece"} ... data: {"content": "[DONE]"}
 *
 * A body is turned into one of chat completions, so that all fields of those may stand in it and are read in one
 * place. Thinking is part of the text there, between <think> and </think>. Without a model's name the first one of
 * the list answers.
 */
#include "api/api_int.h"
#include "api/caps.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"

struct plain {
    struct api_user     user;
    struct api         *a;
    struct http_req    *http; // NULL: the client is gone
    struct gateway_req *req;  // NULL: not begun, or over
    bool                chat; // /chat, else /generate
    bool                parsing; // a job holds it
    bool                streaming, thinking;
    bool                over; // nobody waits for the answer
    int                 parse_rc;
    struct err          parse_err;
    struct arena        arena;
    struct str          body; // until parsed
    struct str          model; // that answers when none is named, or STR_NULL
    struct api_req      q;
    struct buf          text;
};

static void plain_free(struct plain *p)
{
    arena_release(&p->arena);
    buf_release(&p->text);
    mem_free(p);
}

static void plain_gone(struct api_user *u)
{
    struct plain *p = (struct plain *)u;

    if (p->req) gateway_cancel(p->req);
    p->req  = NULL;
    p->over = true;
}

static void plain_detach(struct api_user *u)
{
    struct plain *p = (struct plain *)u;

    plain_gone(u);
    p->http = NULL;
    if (!p->parsing) plain_free(p);
}

/* --- the answer --- */

static void fail(struct plain *p, const struct err *e)
{
    struct buf *b = &p->a->text;

    if (!http_req_started(p->http)) {
        http_reply_err(p->http, e);
        return;
    }
    buf_clear(b);
    http_err_body(b, e);
    http_sse_data(p->http, buf_text(b));
    http_stream_end(p->http);
}

static void put(struct plain *p, struct str s)
{
    struct buf *b = &p->a->text;

    if (s.n == 0) return;
    if (!p->streaming) {
        buf_str(&p->text, s);
        return;
    }
    buf_clear(b);
    buf_str(b, STR("{\"content\":"));
    json_put_str(b, s);
    buf_byte(b, '}');
    http_sse_data(p->http, buf_text(b));
}

/* Thinking opens with its mark and closes before anything else comes. */
static void put_thinking(struct plain *p, bool thinking)
{
    if (p->thinking == thinking) return;
    p->thinking = thinking;
    put(p, thinking ? STR("<think>\n") : STR("\n</think>\n\n"));
}

static void end(struct plain *p)
{
    struct buf b;
    struct err e;

    put_thinking(p, false);
    if (p->streaming) {
        http_sse_data(p->http, STR("{\"content\":\"[DONE]\"}"));
        http_stream_end(p->http);
        return;
    }
    buf_init(&b, LIM_REQ_ARENA);
    buf_str(&b, p->chat ? STR("{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":") : STR("{\"text\":"));
    json_put_str(&b, buf_text(&p->text));
    buf_str(&b, p->chat ? STR("}}]}") : STR(",\"status\":\"success\"}"));
    if (b.failed || p->text.failed) {
        err_nomem(&e, "writing a reply");
        fail(p, &e);
    } else {
        http_reply(p->http, 200, STR("application/json"), buf_text(&b));
    }
    buf_release(&b);
}

static void on_event(void *ctx, const struct chat_event *ev)
{
    struct plain *p = ctx;

    switch (ev->kind) {
    case CHAT_EV_START:
        p->streaming = p->q.stream;
        if (p->streaming) http_sse_start(p->http);
        break;
    case CHAT_EV_REASONING:
        put_thinking(p, true);
        put(p, ev->text);
        break;
    case CHAT_EV_TEXT:
        put_thinking(p, false);
        put(p, ev->text);
        break;
    case CHAT_EV_END:
        p->req = NULL;
        end(p);
        break;
    case CHAT_EV_ERROR:
        p->req = NULL;
        fail(p, &ev->err);
        break;
    case CHAT_EV_CALL:
    case CHAT_EV_ARGS:
    case CHAT_EV_LOGPROB:
    case CHAT_EV_VECTOR:
    case CHAT_EV_FINISH: break;
    }
}

/* --- the request --- */

static int put_prompt(struct buf *b, const struct json *o, struct err *e)
{
    const struct json *prompt = json_get(o, "prompt"), *role = json_get(o, "role");
    enum json_kind     is = json_kind(prompt);

    if (is == JSON_T_NULL) return err_param(e, ERR_MISSING_PARAM, "prompt", "prompt is missing");
    if (is != JSON_T_STR)
        return err_param(e, ERR_INVALID_TYPE, "prompt", "prompt is %s, it must be a string", json_kind_name(is));
    if (json_get(o, "messages")) return err_param(e, ERR_UNSUPP_PARAM, "messages", "messages is for /chat");
    if (json_kind(role) != JSON_T_STR && json_kind(role) != JSON_T_NULL)
        return err_param(e, ERR_INVALID_TYPE, "role", "role is %s, it must be a string", json_kind_name(json_kind(role)));
    buf_str(b, STR(",\"messages\":[{\"role\":"));
    json_put_str(b, json_kind(role) == JSON_T_STR ? json_str(role) : STR("user"));
    buf_str(b, STR(",\"content\":"));
    json_put_str(b, json_str(prompt));
    buf_str(b, STR("}]"));
    if (!json_get(o, "enable_thinking")) buf_str(b, STR(",\"enable_thinking\":true"));
    return 0;
}

static bool is_own(const struct plain *p, struct str key)
{
    if (str_eq(key, STR("model"))) return true;
    return !p->chat && (str_eq(key, STR("prompt")) || str_eq(key, STR("role")));
}

/* The body as chat completions have it. */
static int translate(struct plain *p, const struct json *o, struct buf *b, struct err *e)
{
    const struct json *model = json_get(o, "model");
    int                rc    = 0;

    if (json_kind(o) != JSON_T_OBJ)
        return err_set(e, ERR_INVALID_TYPE, "the body is %s, it must be an object", json_kind_name(json_kind(o)));
    buf_str(b, STR("{\"model\":"));
    if (json_kind(model) != JSON_T_NULL) json_write(b, model, JSON_TIGHT);
    else if (p->model.p) json_put_str(b, p->model);
    else buf_str(b, STR("null"));
    if (!p->chat) rc = put_prompt(b, o, e);
    for (struct json_it it = json_it(o); rc == 0 && json_next(&it);) {
        if (is_own(p, it.key)) continue;
        buf_byte(b, ',');
        json_put_str(b, it.key);
        buf_byte(b, ':');
        json_write(b, it.val, JSON_TIGHT);
    }
    buf_byte(b, '}');
    return rc;
}

/* What these replies have no place for. */
static int check_plain(const struct api_req *q, struct err *e)
{
    if (q->r.n_choice > 1) return err_param(e, ERR_UNSUPP_VALUE, "n", "one answer is given here; /v1/chat/completions takes n");
    if (q->r.n_tool) return err_param(e, ERR_UNSUPP_PARAM, "tools", "tools are for /v1/chat/completions");
    if (q->r.logprobs) return err_param(e, ERR_UNSUPP_PARAM, "logprobs", "logprobs are for /v1/chat/completions");
    return 0;
}

static int parse_body(struct plain *p, struct err *e)
{
    struct json_doc *doc;
    struct buf       b;
    int              rc = json_parse(p->body, NULL, &doc, e);

    if (rc < 0) return rc;
    buf_init(&b, LIM_REQ_ARENA);
    rc = translate(p, json_root(doc), &b, e);
    json_free(doc);
    if (rc == 0 && b.failed) rc = err_nomem(e, "reading a request");
    if (rc == 0) rc = api_req_parse(buf_text(&b), API_CHAT, &p->arena, &p->q, e);
    buf_release(&b);
    return rc < 0 ? rc : check_plain(&p->q, e);
}

static int submit(struct plain *p, struct err *e)
{
    const struct gateway_model *m;
    int                         rc = gateway_find(p->a->gw, p->q.model, &m, e);

    if (rc == 0) rc = caps_check(p->a, p->http, &p->q, m, e);
    if (rc < 0) return rc;
    if (!p->q.r.params.has_seed) rng_system(&p->q.r.params.seed, sizeof p->q.r.params.seed);
    rc = gateway_submit(p->a->gw, m, &p->q.r, on_event, p, &p->req, e);
    if (rc == 0) gateway_flush(p->a->gw, m);
    return rc;
}

static void parse(void *ctx)
{
    struct plain *p = ctx;

    p->parse_rc = parse_body(p, &p->parse_err);
}

static void parsed(void *ctx)
{
    struct plain *p = ctx;
    struct err    e;

    p->parsing = false;
    if (!p->http) { // the client did not wait
        plain_free(p);
        return;
    }
    if (p->over) return;
    if (p->parse_rc < 0) fail(p, &p->parse_err);
    else if (submit(p, &e) < 0) fail(p, &e);
}

static void begin(struct api *a, struct http_req *h, bool chat)
{
    struct str    body = http_req_body(h);
    struct plain *p    = mem_zalloc(sizeof *p);
    struct err    e;

    if (!p) {
        err_nomem(&e, "taking a request");
        http_reply_err(h, &e);
        return;
    }
    *p = (struct plain){ .user = { plain_gone, plain_detach }, .a = a, .http = h, .chat = chat };
    arena_init(&p->arena, LIM_REQ_ARENA);
    buf_init(&p->text, LIM_REQ_ARENA);
    http_req_set_user(h, &p->user);
    if (gateway_n_model(a->gw)) p->model = arena_str(&p->arena, gateway_model_at(a->gw, 0)->id);
    p->body = arena_str(&p->arena, body); // a job must not depend on the connection
    http_req_free_body(h);
    if (!p->body.p) {
        err_nomem(&e, "taking a request");
        fail(p, &e);
    } else if (p->body.n <= LIM_BODY_INLINE) {
        parse(p);
        parsed(p);
    } else {
        p->parsing = true;
        if (jobs_run(a->jobs, parse, parsed, p, &e) == 0) return;
        p->parsing = false;
        fail(p, &e);
    }
}

void plain_generate(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    (void)r;
    (void)rest;
    begin(a, h, false);
}

void plain_chat(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    (void)r;
    (void)rest;
    begin(a, h, true);
}
