/* cli_tok_server.c - `curlew tokenizer-server`: the tokenizer that programs for NPUs ask over HTTP.
 *
 * Two generations of one protocol, told apart by "uid". Without one each text is a conversation of its own;
 * with one the server remembers the conversation and tells which ids are new, so that the program can keep
 * what its NPU has computed.
 *
 *     GET  /get_uid                                  {"uid": s}; a ?tokenizer_type= does not matter
 *     GET  /bos_id  /eos_id  [?uid=]                 {"bos_id": n or -1}
 *     POST /encode {"text"}                          {"token_ids": [...]}
 *     POST /encode {"uid", "text", "last_reply"?}    {"token_ids": [all], "diff": [new]}
 *     POST /decode {"uid"?, "token_ids"}             {"text": s}
 *     POST /reset  {"uid", "system_prompt"?}         {"token_ids": [of the system message]}
 *     GET  /reset?uid=                               {"success": true}
 *     anything wrong                                 {"error": s}; "Invalid uid" with 400
 *
 * One process without rights: the vocabulary is read and the port is open before it gives them up.
 * Source: the AXERA-TECH programs' own tokenizer scripts, as their clients use them. */
#include <event2/event.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/rng.h"
#include "chat/tmpl.h"
#include "http/http.h"
#include "json/json.h"
#include "os/fd.h"
#include "os/sandbox.h"
#include "prog/cli.h"

#define COMMAND   "tokenizer-server"
#define SEATS     64 // conversations remembered; the one unused longest makes room
#define BODY_MAX  MIB(4)
#define UID_BYTES 32

struct seat {
    char            uid[UID_BYTES + 1]; // "": free
    uint64_t        used;               // of server.turn
    struct cli_talk talk;
    struct ids      ids; // what the program has computed, as far as we know
};

struct server {
    const struct settings *s;
    struct cli_vocab       vocab;
    struct tmpl           *tmpl;
    struct tmpl_caps       caps;
    struct event_base     *base;
    struct http_serv      *http;
    struct http_guard      guard;
    struct arena           arena;
    struct seat            seat[SEATS];
    uint64_t               turn;
    struct buf             out;
};

/* --- conversations to ids --- */

/* The ids of a conversation; `open`: up to where the model is to answer. */
static int render(struct server *sv, const struct cli_talk *t, bool open, struct ids *ret, struct err *e)
{
    const struct tok *tok = sv->vocab.tok;
    struct chat_req   req;
    struct arena      a;
    struct tmpl_out   out;
    struct str        bos = tok_bos(tok) >= 0 ? tok_name(tok, tok_bos(tok)) : STR("");
    struct str        eos = tok_eos(tok) >= 0 ? tok_name(tok, tok_eos(tok)) : STR("");
    struct tmpl_var   var[2] = { { .name = STR("bos_token"), .kind = TMPL_VAR_STR, .s = bos },
                                 { .name = STR("eos_token"), .kind = TMPL_VAR_STR, .s = eos } };

    chat_req_init(&req);
    req.msg           = t->msg;
    req.n_msg         = (int)t->n;
    struct tmpl_in in = { .req = &req, .var = var, .n_var = 2, .add_prompt = open, .now_s = clock_wall_s() };
    arena_init(&a, LIM_TMPL_ARENA);
    int rc = tmpl_render_chat(sv->tmpl, &sv->caps, &in, &a, &out, e);
    if (rc == 0) {
        if (tok_adds_bos(tok) && tok_bos(tok) >= 0) ids_put(ret, tok_bos(tok));
        size_t n = ret->n;
        rc       = tok_encode_pieces(tok, out.piece, out.n_piece, 0, ret, e);
        /* templates differ in whether they write BOS themselves; it stands there once */
        if (n && ret->n > n && ret->id[n] == ret->id[0]) memmove(ret->id, ret->id + 1, --ret->n * sizeof *ret->id);
    }
    if (rc == 0 && ret->failed) rc = err_nomem(e, "tokenising");
    arena_release(&a);
    return rc;
}

static void put_ids(struct buf *b, const char *key, const struct ids *v, size_t from)
{
    buf_printf(b, "\"%s\": [", key);
    for (size_t i = from; i < v->n; i++) {
        if (i > from) buf_str(b, STR(", "));
        buf_i64(b, v->id[i]);
    }
    buf_byte(b, ']');
}

static size_t common(const struct ids *a, const struct ids *b)
{
    size_t n = 0;

    while (n < a->n && n < b->n && a->id[n] == b->id[n]) n++;
    return n;
}

static void replace(struct ids *dst, struct ids *src)
{
    ids_release(dst);
    *dst = *src;
    ids_init(src, LIM_CTX);
}

/* --- seats --- */

static struct seat *seat_find(struct server *sv, struct str uid)
{
    for (int i = 0; i < SEATS; i++) {
        struct seat *s = &sv->seat[i];
        if (!s->uid[0] || !str_eq(str_c(s->uid), uid)) continue;
        s->used = ++sv->turn;
        return s;
    }
    return NULL;
}

static void seat_clear(struct seat *s)
{
    cli_talk_release(&s->talk);
    cli_talk_init(&s->talk);
    ids_release(&s->ids);
    ids_init(&s->ids, LIM_CTX);
}

static struct seat *seat_new(struct server *sv)
{
    struct seat *s = &sv->seat[0];

    for (int i = 1; i < SEATS && s->uid[0]; i++)
        if (sv->seat[i].used < s->used) s = &sv->seat[i];
    seat_clear(s);
    snprintf(s->uid, sizeof s->uid, "%016llx%016llx", (unsigned long long)rng_system_u64(),
             (unsigned long long)rng_system_u64());
    s->used = ++sv->turn;
    return s;
}

/* --- requests: each writes its reply to sv->out or fails --- */

struct ask {
    struct str         query_uid; // of ?uid=, or STR_NULL
    const struct json *body;      // POST, else NULL
    struct seat       *seat;      // of its uid; NULL: it named none
};

static int get_uid(struct server *sv, const struct ask *k, struct err *e)
{
    (void)k, (void)e;
    buf_printf(&sv->out, "{\"uid\": \"%s\"}", seat_new(sv)->uid);
    return 0;
}

static int bos_id(struct server *sv, const struct ask *k, struct err *e)
{
    (void)k, (void)e;
    buf_printf(&sv->out, "{\"bos_id\": %d}", tok_bos(sv->vocab.tok));
    return 0;
}

static int eos_id(struct server *sv, const struct ask *k, struct err *e)
{
    (void)k, (void)e;
    buf_printf(&sv->out, "{\"eos_id\": %d}", tok_eos(sv->vocab.tok));
    return 0;
}

static int get_str(const struct ask *k, const char *key, bool must, struct str *ret, struct err *e)
{
    const struct json *v = json_get(k->body, key);

    *ret = json_str(v);
    if (json_kind(v) == JSON_T_STR || (!must && json_kind(v) == JSON_T_NULL)) return 0;
    return err_set(e, v ? ERR_INVALID_TYPE : ERR_MISSING_PARAM, "%s is %s, a string is wanted", key,
                   v ? json_kind_name(json_kind(v)) : "missing");
}

/* A text without a uid: one question to the system message of --system. */
static int encode_one(struct server *sv, struct str text, struct err *e)
{
    struct cli_talk t;
    struct ids      ids;

    cli_talk_init(&t);
    ids_init(&ids, LIM_CTX);
    int rc = cli_talk_system(&t, str_c(sv->s->system), e);
    if (rc == 0) rc = cli_talk_add(&t, CHAT_USER, text, e);
    if (rc == 0) rc = render(sv, &t, true, &ids, e);
    if (rc == 0) {
        buf_byte(&sv->out, '{');
        put_ids(&sv->out, "token_ids", &ids, 0);
        buf_byte(&sv->out, '}');
    }
    ids_release(&ids);
    cli_talk_release(&t);
    return rc;
}

/* The program has computed the last reply itself: what it holds is the conversation up to that reply's end. */
static int take_reply(struct server *sv, struct seat *s, struct str reply, struct err *e)
{
    struct ids held;

    if (!reply.p || !s->talk.n || s->talk.msg[s->talk.n - 1].role != CHAT_USER) return 0;
    int rc = cli_talk_add(&s->talk, CHAT_ASSISTANT, reply, e);
    if (rc < 0) return rc;
    ids_init(&held, LIM_CTX);
    rc = render(sv, &s->talk, false, &held, e);
    if (rc == 0) replace(&s->ids, &held);
    ids_release(&held);
    return rc;
}

static int encode_next(struct server *sv, struct seat *s, struct str text, struct str reply, struct err *e)
{
    struct ids all;
    size_t     n = s->talk.n;

    ids_init(&all, LIM_CTX);
    int rc = n == 0 ? cli_talk_system(&s->talk, str_c(sv->s->system), e) : take_reply(sv, s, reply, e);
    if (rc == 0) rc = cli_talk_add(&s->talk, CHAT_USER, text, e);
    if (rc == 0) rc = render(sv, &s->talk, true, &all, e);
    if (rc == 0) {
        buf_byte(&sv->out, '{');
        put_ids(&sv->out, "token_ids", &all, 0);
        buf_str(&sv->out, STR(", "));
        put_ids(&sv->out, "diff", &all, common(&s->ids, &all));
        buf_byte(&sv->out, '}');
        replace(&s->ids, &all);
    } else {
        s->talk.n = n; // a refused question leaves no trace
    }
    ids_release(&all);
    return rc;
}

static int encode(struct server *sv, const struct ask *k, struct err *e)
{
    struct str text, reply;
    int        rc = get_str(k, "text", true, &text, e);

    if (rc == 0) rc = get_str(k, "last_reply", false, &reply, e);
    if (rc < 0) return rc;
    if (json_bool(json_get(k->body, "img_prompt")))
        return err_set(e, ERR_UNSUPP_VALUE, "img_prompt: this server knows text only");
    return k->seat ? encode_next(sv, k->seat, text, reply, e) : encode_one(sv, text, e);
}

static int decode(struct server *sv, const struct ask *k, struct err *e)
{
    const struct tok  *t    = sv->vocab.tok;
    const struct json *list = json_get(k->body, "token_ids");
    struct ids         ids;
    struct buf         text;
    int                rc = 0;

    if (json_kind(list) != JSON_T_ARR)
        return err_set(e, list ? ERR_INVALID_TYPE : ERR_MISSING_PARAM, "token_ids is %s, an array is wanted",
                       list ? json_kind_name(json_kind(list)) : "missing");
    ids_init(&ids, LIM_JSON_VALUES);
    buf_init(&text, MIB(16));
    for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
        int64_t id;
        if (json_whole(json_at(list, i), &id) && id >= 0 && id < tok_n(t)) ids_put(&ids, (int32_t)id);
        else rc = err_set(e, ERR_INVALID_VALUE, "token_ids[%zu] is not one of the ids 0 to %d", i, tok_n(t) - 1);
    }
    if (rc == 0 && ids.failed) rc = err_nomem(e, "reading ids");
    if (rc == 0) rc = tok_decode(t, ids.id, ids.n, false, &text, e);
    if (rc == 0) {
        buf_str(&sv->out, STR("{\"text\": "));
        json_put_str(&sv->out, buf_text(&text));
        buf_byte(&sv->out, '}');
    }
    buf_release(&text);
    ids_release(&ids);
    return rc;
}

/* Templates that show no system message alone give no prefix; the next question then brings all. */
static int reset(struct server *sv, const struct ask *k, struct err *e)
{
    struct str   text = STR_NULL;
    struct err   why;
    struct seat *s = k->seat;

    if (k->body) {
        int rc = get_str(k, "system_prompt", false, &text, e);
        if (rc < 0) return rc;
    }
    seat_clear(s);
    int rc = cli_talk_system(&s->talk, text.n ? text : str_c(sv->s->system), e);
    if (rc < 0) return rc;
    if (!k->body) {
        buf_str(&sv->out, STR("{\"success\": true}"));
        return 0;
    }
    if (s->talk.n && (render(sv, &s->talk, false, &s->ids, &why) < 0 || s->ids.failed)) {
        ids_release(&s->ids);
        ids_init(&s->ids, LIM_CTX);
    }
    buf_byte(&sv->out, '{');
    put_ids(&sv->out, "token_ids", &s->ids, 0);
    buf_byte(&sv->out, '}');
    return 0;
}

static const struct route {
    const char *path;
    bool        get, post, need_uid;
    int (*answer)(struct server *sv, const struct ask *k, struct err *e);
} routes[] = {
    { "/get_uid", true, false, false, get_uid }, { "/bos_id", true, false, false, bos_id },
    { "/eos_id", true, false, false, eos_id },   { "/encode", false, true, false, encode },
    { "/decode", false, true, false, decode },   { "/reset", true, true, true, reset },
};

/* --- HTTP --- */

static void refuse(struct server *sv, struct http_req *r, const struct err *e)
{
    buf_clear(&sv->out);
    buf_str(&sv->out, STR("{\"error\": "));
    json_put_str(&sv->out, str_c(e->msg));
    buf_byte(&sv->out, '}');
    http_reply(r, err_row(e->code)->status, STR("application/json"), buf_text(&sv->out));
}

static const struct route *find_route(const struct http_head *h, struct err *e)
{
    char q[LIM_QUOTE_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct route *r = &routes[i];
        if (!str_eq(h->path, str_c(r->path))) continue;
        if ((h->method == HTTP_GET && r->get) || (h->method == HTTP_POST && r->post)) return r;
        err_set(e, ERR_BAD_METHOD, "%s takes %s%s%s", r->path, r->get ? "GET" : "", r->get && r->post ? " and " : "",
                r->post ? "POST" : "");
        return NULL;
    }
    err_set(e, ERR_UNKNOWN_URL, "there is no %s here", str_quote(q, sizeof q, h->path));
    return NULL;
}

static void on_head(void *ctx, struct http_req *r)
{
    struct server *sv = ctx;
    struct err     e;

    if (find_route(http_req_head(r), &e)) http_req_read(r, BODY_MAX);
    else refuse(sv, r, &e);
}

static struct str query_value(struct str query, const char *key)
{
    for (struct str item; str_cut(&query, '&', &item);) {
        struct str name;
        if (str_cut(&item, '=', &name) && str_eq(name, str_c(key))) return item.p ? item : STR("");
    }
    return STR_NULL;
}

/* The conversation it is about: ?uid= or "uid". */
static int find_seat(struct server *sv, const struct route *rt, struct ask *k, struct err *e)
{
    const struct json *v   = json_get(k->body, "uid");
    struct str         uid = json_kind(v) == JSON_T_STR ? json_str(v) : k->query_uid;

    if (uid.p) k->seat = seat_find(sv, uid);
    if (k->seat) return 0;
    return uid.p || json_kind(v) != JSON_T_NULL || rt->need_uid ? err_set(e, ERR_BAD_REQUEST, "Invalid uid") : 0;
}

static void on_body(void *ctx, struct http_req *r)
{
    struct server          *sv  = ctx;
    const struct http_head *h   = http_req_head(r);
    struct err              e   = { 0 };
    struct json_doc        *doc = NULL;
    struct ask              k   = { .query_uid = query_value(h->query, "uid") };
    const struct route     *rt  = find_route(h, &e);
    int                     rc  = rt ? 0 : -(int)e.code;

    buf_clear(&sv->out);
    if (rc == 0 && h->method == HTTP_POST) {
        rc     = json_parse(http_req_body(r), NULL, &doc, &e);
        k.body = rc == 0 ? json_root(doc) : NULL;
        if (rc == 0 && json_kind(k.body) != JSON_T_OBJ) rc = err_set(&e, ERR_INVALID_TYPE, "the body is not an object");
    }
    if (rc == 0) rc = find_seat(sv, rt, &k, &e);
    if (rc == 0) rc = rt->answer(sv, &k, &e);
    if (rc == 0 && sv->out.failed) rc = err_nomem(&e, "writing a reply");
    if (rc == 0) http_reply(r, 200, STR("application/json"), buf_text(&sv->out));
    else refuse(sv, r, &e);
    json_free(doc);
}

static void on_gone(void *ctx, struct http_req *r)
{
    (void)ctx, (void)r;
}

static const struct http_calls calls = { .head = on_head, .body = on_body, .gone = on_gone, .done = on_gone };

/* --- start and end --- */

static void on_signal(evutil_socket_t sig, short what, void *ctx)
{
    struct server *sv = ctx;

    (void)sig, (void)what;
    event_base_loopbreak(sv->base);
}

static int make_guard(struct server *sv, struct err *e)
{
    const struct settings *s    = sv->s;
    size_t                 n    = (size_t)s->allow_host.n;
    struct str            *host = arena_array(&sv->arena, n + 1, sizeof *host);

    if (!host) return err_nomem(e, "starting the server");
    for (size_t i = 0; i < n; i++) host[i] = str_c(s->allow_host.v[i]);
    host[n]   = str_c(s->host);
    sv->guard = (struct http_guard){ .host = host, .n_host = n + 1, .any_ip = !fd_host_is_loopback(s->host) };
    return 0;
}

static int start(struct server *sv, struct event *sig[2], int *port, struct err *e)
{
    struct http_conf c = http_conf_default;
    const char      *path = sv->s->model.v[0];
    int              fd, rc = cli_vocab_open(path, false, &sv->vocab, e);

    if (rc == 0) rc = cli_vocab_tmpl(&sv->vocab, &sv->tmpl, e);
    if (rc == 0) rc = make_guard(sv, e);
    if (rc < 0) return rc;
    tmpl_caps(sv->tmpl, &sv->caps);
    sv->base = event_base_new();
    if (!sv->base) return err_nomem(e, "starting the server");
    c.guard = &sv->guard;
    rc      = http_serv_new(sv->base, &c, &calls, sv, &sv->http, e);
    if (rc == 0) rc = fd_listen(sv->s->host, (int)sv->s->tok_port, &fd, port, e);
    if (rc == 0) rc = http_serv_listen(sv->http, fd, NULL, e);
    for (int i = 0; rc == 0 && i < 2; i++) {
        sig[i] = evsignal_new(sv->base, i ? SIGTERM : SIGINT, on_signal, sv);
        if (!sig[i] || event_add(sig[i], NULL) < 0) rc = err_nomem(e, "starting the server");
    }
    return rc == 0 ? sandbox_enter(SANDBOX_FRONT, NULL, e) : rc;
}

static void banner(const struct server *sv, int port)
{
    const char *host = sv->s->host;

    if (host[0] == '/') printf("curlew %s: %s on %s\n", COMMAND, tok_kind(sv->vocab.tok), host);
    else
        printf("curlew %s: %s on http://%s%s%s:%d\n", COMMAND, tok_kind(sv->vocab.tok), strchr(host, ':') ? "[" : "",
               host, strchr(host, ':') ? "]" : "", port);
    fflush(stdout);
}

int cli_tok_server(const struct settings *s)
{
    static struct server sv; // large
    struct event        *sig[2] = { NULL, NULL };
    struct err           e;
    int                  port = 0;

    if (!cli_model(COMMAND, s)) return PROG_USAGE;
    log_init(LOG_LVL_WARN, COMMAND);
    signal(SIGPIPE, SIG_IGN);
    sv.s = s;
    arena_init(&sv.arena, MIB(1));
    buf_init(&sv.out, MIB(64));
    for (int i = 0; i < SEATS; i++) {
        cli_talk_init(&sv.seat[i].talk);
        ids_init(&sv.seat[i].ids, LIM_CTX);
    }
    int rc = start(&sv, sig, &port, &e);
    if (rc == 0) {
        banner(&sv, port);
        event_base_dispatch(sv.base);
        /* a Unix socket stays: the right to remove it is gone, and the next start replaces it */
    }
    http_serv_free(sv.http);
    for (int i = 0; i < 2; i++)
        if (sig[i]) event_free(sig[i]);
    if (sv.base) event_base_free(sv.base);
    for (int i = 0; i < SEATS; i++) {
        cli_talk_release(&sv.seat[i].talk);
        ids_release(&sv.seat[i].ids);
    }
    tmpl_free(sv.tmpl);
    cli_vocab_close(&sv.vocab);
    buf_release(&sv.out);
    arena_release(&sv.arena);
    return rc < 0 ? cli_failed(COMMAND, &e) : PROG_OK;
}
