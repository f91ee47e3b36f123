/* text.c - tokenize, detokenize, apply-template: questions that a model's worker answers at once.
 *
 * Requests: ours, llama-server's (content, with_pieces) and vLLM's (prompt, add_special_tokens,
 * return_token_strs); replies carry the members that the clients of each look for. */
#include "api/api_int.h"
#include "api/caps.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

struct ask {
    struct api_user             user;
    struct api                 *a;
    struct http_req            *http; // NULL: the client is gone
    struct gateway_req         *req;  // NULL: not begun, or answered
    const struct gateway_model *model;
    enum chat_query_kind        kind;
    struct arena                arena;
    struct api_req              q;
};

static void ask_gone(struct api_user *u)
{
    struct ask *k = (struct ask *)u;

    if (k->req) gateway_cancel(k->req);
    k->req = NULL;
}

static void ask_detach(struct api_user *u)
{
    struct ask *k = (struct ask *)u;

    ask_gone(u);
    arena_release(&k->arena);
    mem_free(k);
}

static void put_ids(struct buf *b, const struct chat_answer *an)
{
    buf_byte(b, '[');
    for (int i = 0; i < an->n_tok; i++) {
        if (i) buf_byte(b, ',');
        if (!an->piece) {
            buf_i64(b, an->tok[i]);
            continue;
        }
        buf_printf(b, "{\"id\":%d,\"piece\":", an->tok[i]);
        if (utf8_valid(an->piece[i])) {
            json_put_str(b, an->piece[i]);
        } else { // half a character: its bytes
            buf_byte(b, '[');
            for (size_t k = 0; k < an->piece[i].n; k++)
                buf_printf(b, "%s%u", k ? "," : "", (unsigned)(unsigned char)an->piece[i].p[k]);
            buf_byte(b, ']');
        }
        buf_byte(b, '}');
    }
    buf_byte(b, ']');
}

static void put_offsets(struct buf *b, const struct chat_answer *an)
{
    buf_str(b, STR(",\"offsets\":["));
    for (int i = 0; i < an->n_tok; i++)
        buf_printf(b, "%s[%d,%d]", i ? "," : "", an->offset[2 * i], an->offset[2 * i + 1]);
    buf_byte(b, ']');
}

static void on_answer(void *ctx, const struct chat_answer *an)
{
    struct ask *k = ctx;
    struct buf *b = &k->a->text;
    struct err  e;

    k->req = NULL;
    if (an->err.code) {
        http_reply_err(k->http, &an->err);
        return;
    }
    buf_clear(b);
    switch (k->kind) {
    case CHAT_QUERY_TOKENIZE:
        buf_str(b, STR("{\"tokens\":"));
        put_ids(b, an);
        if (an->offset) put_offsets(b, an);
        buf_printf(b, ",\"count\":%d,\"max_model_len\":%d}", an->n_tok, k->model->has_info ? k->model->info.n_ctx : 0);
        break;
    case CHAT_QUERY_DETOKENIZE: // clients look for one of the three
        buf_str(b, STR("{\"content\":"));
        json_put_str(b, an->text);
        buf_str(b, STR(",\"text\":"));
        json_put_str(b, an->text);
        buf_str(b, STR(",\"prompt\":"));
        json_put_str(b, an->text);
        buf_byte(b, '}');
        break;
    case CHAT_QUERY_TEMPLATE:
        buf_str(b, STR("{\"prompt\":"));
        json_put_str(b, an->text);
        buf_byte(b, '}');
        break;
    }
    if (b->failed) {
        err_nomem(&e, "writing a reply");
        http_reply_err(k->http, &e);
    } else {
        http_reply(k->http, 200, STR("application/json"), buf_text(b));
    }
}

/* The model named; when none is and there is only one, that one. */
static int find_model(struct ask *k, struct err *e)
{
    if (k->q.model.p) return gateway_find(k->a->gw, k->q.model, &k->model, e);
    if (gateway_n_model(k->a->gw) != 1) return err_param(e, ERR_MISSING_PARAM, "model", "model is missing");
    k->model = gateway_model_at(k->a->gw, 0);
    return 0;
}

static int ask(struct ask *k, struct str body, struct err *e)
{
    struct api_req *q = &k->q;
    int             rc = api_req_parse(body, API_TEXT, &k->arena, q, e);

    if (rc == 0) rc = find_model(k, e);
    if (rc == 0) rc = caps_check(k->a, k->http, q, NULL, e);
    else if (q->ignored[0]) http_reply_field(k->http, "x-curlew-ignored", str_c(q->ignored));
    if (rc < 0) return rc;
    struct chat_query query = { .kind = k->kind, .add_special = q->add_special, .parse_special = q->parse_special,
                                .pieces = q->pieces, .offsets = q->offsets, .text = q->text, .chat = q->r.n_msg > 0, .req = q->r,
                                .tok = q->tok, .n_tok = q->n_tok };
    switch (k->kind) {
    case CHAT_QUERY_TOKENIZE:
        if (!q->text.p && !query.chat)
            return err_param(e, ERR_MISSING_PARAM, "content", "content (or text, prompt, messages) is missing");
        break;
    case CHAT_QUERY_DETOKENIZE:
        if (!q->tok) return err_param(e, ERR_MISSING_PARAM, "tokens", "tokens is missing");
        break;
    case CHAT_QUERY_TEMPLATE:
        if (!query.chat) return err_param(e, ERR_MISSING_PARAM, "messages", "messages is missing");
        break;
    }
    return gateway_query(k->a->gw, k->model, &query, on_answer, k, &k->req, e);
}

static void begin(struct api *a, struct http_req *h, enum chat_query_kind kind)
{
    struct ask *k = mem_zalloc(sizeof *k);
    struct err  e;

    if (!k) {
        err_nomem(&e, "taking a request");
        http_reply_err(h, &e);
        return;
    }
    *k = (struct ask){ .user = { ask_gone, ask_detach }, .a = a, .http = h, .kind = kind };
    arena_init(&k->arena, LIM_REQ_ARENA);
    http_req_set_user(h, &k->user);
    int rc = ask(k, http_req_body(h), &e);
    if (rc < 0) http_reply_err(h, &e);
}

void text_tokenize(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    (void)r;
    (void)rest;
    begin(a, h, CHAT_QUERY_TOKENIZE);
}

void text_detokenize(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    (void)r;
    (void)rest;
    begin(a, h, CHAT_QUERY_DETOKENIZE);
}

void text_template(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    (void)r;
    (void)rest;
    begin(a, h, CHAT_QUERY_TEMPLATE);
}
