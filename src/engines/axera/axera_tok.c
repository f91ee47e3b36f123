/* axera_tok.c - the tokenizer that a child asks, and the way its tokens reach us.
 *
 * The protocol is that of the vendor's tokenizer scripts (cli_tok_server.c has the table), but the answers are
 * ours: a ticket "#7" is encoded as the prompt of run 7, whatever its length and content, and each list to decode
 * is what the model has generated. The child's terminal never sees a text. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "engines/axera/axera_int.h"
#include "json/json.h"
#include "os/fd.h"

#define REPLY_MS 500 // a child that does not read its reply is not waited for longer

void axera_tok_close(struct axera_conn *c)
{
    if (c->fd < 0) return;
    fd_close(&c->fd);
    axera_http_release(&c->in);
}

void axera_tok_caller(struct engine *en, int fd)
{
    for (int i = 0; i < AXERA_CONNS; i++) {
        struct axera_conn *c = &en->conn[i];
        if (c->fd >= 0) continue;
        c->fd = fd;
        axera_http_init(&c->in, true);
        return;
    }
    log_warn("tokenizer_busy", "connections=%d", AXERA_CONNS);
    close(fd);
}

static void put_ids(struct buf *b, const char *key, const int32_t *id, size_t n)
{
    buf_printf(b, "\"%s\": [", key);
    for (size_t i = 0; i < n; i++) {
        if (i) buf_byte(b, ',');
        buf_i64(b, id[i]);
    }
    buf_byte(b, ']');
}

/* --- questions: each appends its reply to b; false: refused --- */

struct ask {
    const struct json *body;
    bool               post;
    bool               uid; // it named one, and it is the child's
};

static void encode(struct engine *en, const struct ask *k, struct buf *b)
{
    struct axera_con *c    = &en->con;
    struct str        text = json_str(json_get(k->body, "text"));
    char              ticket[24];
    const int32_t    *id = c->prompt;
    size_t            n  = (size_t)c->n_prompt, kv = k->uid && c->kv_known ? c->kv.n : 0;
    int32_t           harmless = tok_eos(en->tok) >= 0 ? tok_eos(en->tok) : 0;

    snprintf(ticket, sizeof ticket, "#%d", c->ticket);
    bool ours = c->state == AXERA_CON_RUN && !c->encoded && (str_eq(str_trim(text), str_c(ticket)) || en->o.send == AXERA_TEXT);
    if (!ours) {
        log_error("tokenizer_stranger", "what=\"somebody else gives this child its prompts\"");
        id = &harmless;
        n  = 1;
        kv = 0;
    }
    c->encoded |= ours;
    buf_byte(b, '{');
    put_ids(b, "token_ids", id, n);
    if (k->uid) {
        buf_str(b, STR(", "));
        put_ids(b, "diff", id + (kv < n ? kv : 0), n - (kv < n ? kv : 0));
    }
    buf_byte(b, '}');
}

static bool decode(struct engine *en, const struct ask *k, struct buf *b)
{
    const struct json *list = json_get(k->body, "token_ids");
    struct ids         ids;
    struct buf         text;
    struct err         e;
    int64_t            id;

    ids_init(&ids, LIM_CTX);
    for (size_t i = 0; i < json_len(list); i++) {
        bool is = json_whole(json_at(list, i), &id) && id >= 0 && id < INT32_MAX;
        if (is) ids_put(&ids, (int32_t)id);
        ids.failed |= !is;
    }
    bool fine = !ids.failed && json_kind(list) == JSON_T_ARR;
    buf_init(&text, AXERA_HTTP_BODY);
    if (fine && en->kind != AXERA_API) {
        axera_con_ids(en, &ids);
        buf_byte(&text, '.');
    } else if (fine) {
        bool told = en->con.has_total;
        axera_con_ids(en, &ids);
        bool total = en->con.has_total && !told;
        if (en->con.state != AXERA_CON_RUN || total) fine = tok_decode(en->tok, ids.id, ids.n, false, &text, &e) == 0;
        else // a chunk may end inside a character: what is left of it comes with the next
            for (size_t i = 0; i < ids.n; i++) tok_stream_put(&en->con.stream, ids.id[i], &text);
    }
    buf_str(b, STR("{\"text\": "));
    json_put_str(b, buf_text(&text));
    buf_byte(b, '}');
    buf_release(&text);
    ids_release(&ids);
    return fine;
}

/* What the child holds is thrown away. Some builds cannot begin from nothing: they get the first id. */
static void reset(struct engine *en, const struct ask *k, struct buf *b)
{
    struct axera_con *c     = &en->con;
    int32_t           first = tok_bos(en->tok) >= 0 ? tok_bos(en->tok) : tok_eos(en->tok);

    ids_release(&c->kv);
    ids_init(&c->kv, LIM_CTX);
    c->kv_known = true;
    if (!k->post) {
        buf_str(b, STR("{\"success\": true}"));
        return;
    }
    if (c->state == AXERA_CON_RESET) first = c->prompt[0];
    if (en->o.reset_ids == AXERA_FIRST && first >= 0) ids_put(&c->kv, first);
    buf_byte(b, '{');
    put_ids(b, "token_ids", c->kv.id, c->kv.n);
    buf_byte(b, '}');
}

static bool answer(struct engine *en, struct str path, const struct ask *k, struct buf *b)
{
    if (str_eq(path, STR("/get_uid"))) {
        snprintf(en->uid, sizeof en->uid, "curlew-%d", ++en->n_uid);
        buf_printf(b, "{\"uid\": \"%s\"}", en->uid);
    } else if (str_eq(path, STR("/bos_id"))) {
        buf_printf(b, "{\"bos_id\": %d}", tok_bos(en->tok));
    } else if (str_eq(path, STR("/eos_id"))) {
        buf_printf(b, "{\"eos_id\": %d}", tok_eos(en->tok));
    } else if (str_eq(path, STR("/reset"))) {
        reset(en, k, b);
    } else if (k->post && str_eq(path, STR("/encode"))) {
        encode(en, k, b);
    } else if (k->post && str_eq(path, STR("/decode"))) {
        return decode(en, k, b);
    } else {
        return false;
    }
    return true;
}

/* --- HTTP --- */

static bool send_all(int fd, struct str s)
{
    uint64_t until = clock_mono_us() + REPLY_MS * 1000;

    while (s.n) {
        ssize_t n = write(fd, s.p, s.n); // it does not block; send is not among the calls of a worker
        if (n >= 0) {
            s = str_from(s, (size_t)n);
            continue;
        }
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        if (errno != EAGAIN || clock_mono_us() > until || poll(&p, 1, REPLY_MS) <= 0) return false;
    }
    return true;
}

static bool reply(struct axera_conn *c, int status, struct str body)
{
    struct buf b;

    buf_init(&b, AXERA_HTTP_BODY + KIB(1));
    buf_printf(&b, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n", status,
               status == 200 ? "OK" : "Bad Request", body.n, c->in.close ? "Connection: close\r\n" : "");
    buf_str(&b, body);
    bool sent = !b.failed && send_all(c->fd, buf_text(&b));
    buf_release(&b);
    return sent && !c->in.close;
}

static struct str query_uid(struct str query)
{
    for (struct str item; str_cut(&query, '&', &item);)
        if (str_starts(item, STR("uid="))) return str_from(item, 4);
    return STR_NULL;
}

/* One whole question. False: the connection is over. */
static bool serve(struct engine *en, struct axera_conn *c)
{
    struct str       query, path = axera_http_path(&c->in, &query);
    struct json_doc *doc = NULL;
    struct ask       k   = { .post = str_eq(axera_http_method(&c->in), STR("POST")) };
    struct err       e;
    struct buf       b;
    int              status = 200;

    buf_init(&b, AXERA_HTTP_BODY);
    if (c->in.body.n && json_parse(buf_text(&c->in.body), NULL, &doc, &e) == 0) k.body = json_root(doc);
    const struct json *v   = json_get(k.body, "uid");
    struct str         uid = v ? json_str(v) : query_uid(query);
    k.uid                  = uid.p && en->uid[0] && str_eq(uid, str_c(en->uid));
    TRACE(TRACE_ENGINE, "tokenizer path=" STR_FMT " bytes=%zu", STR_ARG(path), c->in.body.n);
    if ((v || uid.p) && !k.uid) {
        status = en->o.old_uid_error ? 200 : 400;
        buf_str(&b, STR("{\"error\": \"Invalid uid\"}"));
    } else if ((k.post && !k.body) || !answer(en, path, &k, &b)) {
        status = 400;
        buf_clear(&b);
        buf_str(&b, STR("{\"error\": \"not a question that this tokenizer answers\"}"));
        log_warn("tokenizer_question", "path=\"" STR_FMT "\"", STR_ARG(path));
    }
    json_free(doc);
    bool go_on = reply(c, status, buf_text(&b));
    buf_release(&b);
    return go_on;
}

void axera_tok_read(struct engine *en, struct axera_conn *c)
{
    char       bytes[16384];
    struct err e;
    ssize_t    n = read(c->fd, bytes, sizeof bytes);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        axera_tok_close(c);
        return;
    }
    for (struct str rest = { bytes, (size_t)n }; rest.n && c->fd >= 0;) {
        size_t used;
        if (axera_http_feed(&c->in, rest, &used, &e) < 0) {
            log_warn("tokenizer_protocol", "error=\"%s\"", e.msg);
            axera_tok_close(c);
            return;
        }
        rest = str_from(rest, used);
        if (c->in.state != AXERA_HTTP_DONE) continue;
        if (!serve(en, c)) axera_tok_close(c);
        else axera_http_next(&c->in);
    }
}
