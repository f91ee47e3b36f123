/* http_reply.c - replies: heads, whole bodies, pieces, errors.
 *
 * Everything is written to the connection's output buffer and leaves at the end of the turn of the
 * loop. Pieces of a stream grow one open chunk there, whose size is filled in when it is sent:
 *
 *     ... 0000 CRLF data: {"a"}\n\ndata: {"b"}\n\n          open, at chunk_at
 *     ... 001c CRLF data: {"a"}\n\ndata: {"b"}\n\n CRLF     closed by reply_close_chunk
 *
 * so that a hundred tokens of one step cost one chunk and one write.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "http/http_int.h"
#include "json/json.h"

#define CHUNK_HEAD 6      // "0000\r\n"
#define CHUNK_MAX  0xffff

static const struct {
    int         status;
    const char *reason;
} reasons[] = {
    { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" },
    { 301, "Moved Permanently" }, { 302, "Found" }, { 304, "Not Modified" },
    { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
    { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
    { 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 409, "Conflict" },
    { 413, "Content Too Large" }, { 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
    { 417, "Expectation Failed" }, { 422, "Unprocessable Content" }, { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" },
    { 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" },
};

static const char *reason(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return ""; // may be empty (RFC 9112 sec. 4)
}

/* The connection's output, about to be written to. */
static struct buf *out(struct http_conn *c)
{
    if (!conn_pending(c)) c->out_us = clock_mono_us();
    conn_touch(c);
    return &c->out;
}

static bool closed(const struct http_req *r)
{
    return r->ended || r->conn->broken || r->conn->state == CONN_DEAD;
}

void reply_continue(struct http_req *r)
{
    buf_str(out(r->conn), STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

/* --- heads --- */

bool http_reply_field(struct http_req *r, const char *name, struct str value)
{
    if (r->started || closed(r) || !http_is_token(str_c(name)) || !http_is_value(value)) return false;
    size_t n = r->fields.n;
    buf_str(&r->fields, str_c(name));
    buf_str(&r->fields, STR(": "));
    buf_str(&r->fields, value);
    buf_str(&r->fields, STR("\r\n"));
    if (!r->fields.failed) return true;
    r->fields.n      = n; // half a line must not go out
    r->fields.failed = false;
    return false;
}

static bool has_field(const struct http_req *r, const char *name)
{
    struct str rest = buf_text(&r->fields), line;

    while (rest.n && str_cut(&rest, '\n', &line))
        if (str_eq_nocase(str_sub(line, 0, str_find_byte(line, ':')), str_c(name))) return true;
    return false;
}

/* Can the connection live on after this reply? */
static void decide_close(struct http_req *r)
{
    const struct http_serv *s = r->conn->serv;

    if (s->draining) r->close = true;
    if (r->body_in) return;
    if (r->head.chunked || r->left > (int64_t)s->conf.drain_bytes) r->close = true;
    if (r->head.expect && !r->continued) r->close = true; // will the body come or not? Nobody knows
}

/* length: of the body, or -1 for a stream */
static void put_head(struct http_req *r, int status, struct str type, int64_t length)
{
    struct http_conn *c = r->conn;
    struct buf       *b = out(c);

    decide_close(r);
    r->started     = true;
    r->status      = status;
    r->bodiless    = r->head.method == HTTP_HEAD || status == 204 || status == 304;
    r->chunked_out = length < 0 && r->head.minor == 1 && status != 204 && status != 304;
    if (length < 0 && r->head.minor == 0) r->close = true;
    if (status >= 100 && status < 600) c->serv->stats.replies[status / 100]++;

    buf_str(b, STR("HTTP/1.1 "));
    buf_i64(b, status);
    buf_byte(b, ' ');
    buf_str(b, str_c(reason(status)));
    buf_str(b, STR("\r\nDate: "));
    buf_str(b, str_c(serv_date(c->serv)));
    if (r->id.n) {
        buf_str(b, STR("\r\nx-request-id: "));
        buf_str(b, r->id);
    }
    if (type.n) {
        buf_str(b, STR("\r\nContent-Type: "));
        buf_str(b, type);
    }
    if (r->chunked_out) {
        buf_str(b, STR("\r\nTransfer-Encoding: chunked"));
    } else if (length >= 0 && status != 204 && status != 304) {
        buf_str(b, STR("\r\nContent-Length: "));
        buf_i64(b, length);
    }
    if (c->serv->conf.time_field && r->start_us) {
        buf_str(b, STR("\r\n"));
        buf_str(b, str_c(c->serv->conf.time_field));
        buf_str(b, STR(": "));
        buf_u64(b, (clock_mono_us() - r->start_us) / 1000);
    }
    if (r->close) buf_str(b, STR("\r\nConnection: close"));
    else if (r->head.minor == 0) buf_str(b, STR("\r\nConnection: keep-alive"));
    buf_str(b, STR("\r\n"));
    if (r->cors) http_cors_fields(b, &r->head);
    buf_str(b, buf_text(&r->fields));
    buf_str(b, STR("\r\n"));
    if (r->bodiless) r->chunked_out = false;
}

/* --- whole replies --- */

void http_reply(struct http_req *r, int status, struct str type, struct str body)
{
    size_t     max = r->conn->out.max - LIM_FIELDS_BYTES - KIB(4); // room for the head
    struct err e   = { 0 };

    if (r->started || closed(r)) return;
    if (body.n > max) {
        err_set(&e, ERR_INTERNAL, "reply is %zu bytes, the limit is %zu", body.n, max);
        http_reply_err(r, &e);
        return;
    }
    put_head(r, status, type, (int64_t)body.n);
    if (!r->bodiless) buf_str(&r->conn->out, body);
    r->ended = true;
}

void http_err_body(struct buf *b, const struct err *err)
{
    const struct err_row *row = err_row(err->code);

    buf_str(b, STR("{\"error\":{\"message\":"));
    json_put_str(b, str_c(err->msg));
    buf_str(b, STR(",\"type\":"));
    json_put_str(b, str_c(row->type));
    buf_str(b, STR(",\"param\":"));
    if (err->param[0]) json_put_str(b, str_c(err->param));
    else buf_str(b, STR("null"));
    buf_str(b, STR(",\"code\":"));
    if (row->code) json_put_str(b, str_c(row->code));
    else buf_str(b, STR("null"));
    buf_str(b, STR("}}"));
}

void http_reply_err(struct http_req *r, const struct err *err)
{
    const struct err_row *row    = err_row(err->code);
    int                   status = row->status;
    struct buf            b;

    if (r->started || closed(r)) return;
    if (row->retry && !has_field(r, "retry-after")) http_reply_field(r, "Retry-After", STR("1"));
    if (!row->retry && (status == 408 || status == 409 || status == 429 || status >= 500) &&
        !has_field(r, "x-should-retry"))
        http_reply_field(r, "x-should-retry", STR("false"));
    if (status == 401 && !has_field(r, "www-authenticate"))
        http_reply_field(r, "WWW-Authenticate", STR("Bearer"));
    buf_init(&b, 8 * sizeof err->msg);
    http_err_body(&b, err);
    http_reply(r, status, STR("application/json"),
               b.failed ? STR("{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\","
                              "\"param\":null,\"code\":\"out_of_memory\"}}")
                        : buf_text(&b));
    buf_release(&b);
}

void reply_refuse(struct http_req *r, const struct err *e)
{
    r->close = true;
    http_reply_err(r, e);
}

/* --- streams --- */

void http_stream_start(struct http_req *r, int status, struct str type)
{
    if (!r->started && !closed(r)) put_head(r, status, type, -1);
}

void reply_close_chunk(struct http_conn *c)
{
    static const char hex[] = "0123456789abcdef";
    struct http_req  *r     = &c->req;

    if (r->chunk_at == NO_CHUNK || c->out.failed) return;
    size_t n = c->out.n - r->chunk_at - CHUNK_HEAD;
    char  *p = c->out.p + r->chunk_at;
    assert(n <= CHUNK_MAX);
    for (int i = 0; i < 4; i++) p[i] = hex[n >> (12 - 4 * i) & 15];
    buf_str(&c->out, STR("\r\n"));
    r->chunk_at = NO_CHUNK;
}

static void put(struct http_req *r, struct str s)
{
    struct buf *b = &r->conn->out;

    if (!r->chunked_out) {
        buf_str(b, s);
        return;
    }
    while (s.n) {
        if (r->chunk_at == NO_CHUNK) {
            r->chunk_at = b->n;
            buf_str(b, STR("0000\r\n"));
        }
        if (b->failed) return;
        struct str part = str_sub(s, 0, CHUNK_MAX - (b->n - r->chunk_at - CHUNK_HEAD));
        buf_str(b, part);
        s = str_from(s, part.n);
        if (s.n) reply_close_chunk(r->conn);
    }
}

static bool can_put(struct http_req *r)
{
    if (!r->started || closed(r) || r->bodiless) return false;
    out(r->conn);
    return true;
}

/* After a write: a reader that lags too far is as good as gone. */
static void check_pending(struct http_req *r)
{
    struct http_conn       *c    = r->conn;
    const struct http_conf *conf = &c->serv->conf;

    if (conn_pending(c) > conf->out_mark) conn_flush(c);
    if (conn_pending(c) > conf->out_mark) r->piled = true;
    if (conn_pending(c) > conf->out_bytes) c->broken = true;
}

void http_stream_put(struct http_req *r, struct str piece)
{
    if (!can_put(r)) return;
    put(r, piece);
    check_pending(r);
}

void http_stream_end(struct http_req *r)
{
    if (!r->started || closed(r)) return;
    out(r->conn);
    if (r->chunked_out) {
        reply_close_chunk(r->conn);
        buf_str(&r->conn->out, STR("0\r\n\r\n"));
    }
    r->ended = true;
}

void http_stream_abort(struct http_req *r)
{
    if (closed(r)) return;
    conn_touch(r->conn);
    r->ended = r->aborted = r->close = true;
}

bool http_req_started(const struct http_req *r)
{
    return r->started;
}

bool http_req_ended(const struct http_req *r)
{
    return closed(r);
}

size_t http_req_pending(const struct http_req *r)
{
    return conn_pending(r->conn);
}

void http_req_flush(struct http_req *r)
{
    if (r->conn->state == CONN_DEAD) return;
    conn_flush(r->conn);
    conn_touch(r->conn);
}

/* --- server-sent events (WHATWG HTML sec. 9.2) --- */

void http_sse_start(struct http_req *r)
{
    http_reply_field(r, "Cache-Control", STR("no-cache"));
    http_reply_field(r, "X-Accel-Buffering", STR("no"));
    http_stream_start(r, 200, STR("text/event-stream"));
    r->sse = true;
}

void http_sse_expect(struct http_req *r)
{
    r->sse_expected = true;
}

/* A line break inside would end the event: such text takes a field a line. */
static void put_data(struct http_req *r, struct str text)
{
    struct str line;

    do {
        size_t n = 0;
        while (n < text.n && text.p[n] != '\n' && text.p[n] != '\r') n++;
        line = str_sub(text, 0, n);
        put(r, STR("data: "));
        put(r, line);
        put(r, STR("\n"));
        bool crlf = n + 1 < text.n && text.p[n] == '\r' && text.p[n + 1] == '\n';
        text      = n < text.n ? str_from(text, n + (crlf ? 2 : 1)) : STR_NULL;
    } while (text.p);
    put(r, STR("\n"));
}

void http_sse_data(struct http_req *r, struct str json)
{
    if (!can_put(r)) return;
    put_data(r, json);
    check_pending(r);
}

void http_sse_event(struct http_req *r, const char *name, struct str json)
{
    if (!can_put(r)) return;
    put(r, STR("event: "));
    put(r, str_c(name));
    put(r, STR("\n"));
    put_data(r, json);
    check_pending(r);
}

void http_sse_comment(struct http_req *r)
{
    http_stream_put(r, STR(": keep-alive\n\n"));
}

void reply_ping(struct http_req *r)
{
    http_sse_comment(r);
}

void http_sse_done(struct http_req *r)
{
    http_sse_data(r, STR("[DONE]"));
}
