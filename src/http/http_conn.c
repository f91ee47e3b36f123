/* http_conn.c - one connection: bytes in, requests to the handler, bytes out.
 *
 * A state machine that conn_run turns until it has to wait:
 *
 *     HEAD --head--> REPLY --http_req_read--> BODY --body--> REPLY --all sent--> HEAD (keep-alive)
 *                                                                            \-> BODY (rest dropped)
 *                                                                            \-> LINGER -> DEAD
 * The next request is not looked at before the reply is out, so a pipelining client gets its answers
 * in order and holds at most in_bytes here. Callbacks run only from conn_run and conn_lost; what a
 * handler calls only writes to `out` and touches the connection, which runs at the end of the turn.
 */
#include <assert.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/http_int.h"

size_t conn_pending(const struct http_conn *c)
{
    return c->out.n - c->out_at;
}

void conn_touch(struct http_conn *c)
{
    struct http_serv *s = c->serv;

    if (c->running || c->is_dirty) return;
    c->is_dirty = true;
    TAILQ_INSERT_TAIL(&s->dirty, c, dirty);
    event_active(&s->ev_dirty, EV_TIMEOUT, 0);
}

/* --- output --- */

void conn_flush(struct http_conn *c)
{
    struct http_serv *s = c->serv;

    reply_close_chunk(c);
    if (c->out.failed) c->broken = true;
    while (!c->broken && conn_pending(c)) {
        ssize_t n = io_write(c, c->out.p + c->out_at, conn_pending(c));
        if (n == IO_AGAIN) break;
        if (n < 0) {
            c->broken = true;
            break;
        }
        c->out_at += (size_t)n;
        c->out_us = clock_mono_us();
        c->req.sent += (uint64_t)n;
        s->stats.bytes_out += (uint64_t)n;
    }
    if (!conn_pending(c)) {
        c->out_at = 0;
        buf_clear(&c->out);
    } else if (c->out_at > c->out.n / 2) {
        buf_drop(&c->out, c->out_at);
        c->out_at = 0;
    }
}

/* --- the handler's side of a request --- */

/* The request is over for the handler, its reply finished or not. */
static void tell_done(struct http_conn *c)
{
    struct http_serv *s = c->serv;
    struct http_req  *r = &c->req;

    if (r->ours) return;
    if (!r->ended) {
        r->ended = r->gone = true; // what the handler still writes goes nowhere
        s->stats.gone++;
        s->calls.gone(s->ctx, r);
    }
    r->ours = true;
    s->stats.reqs_done++;
    s->stats.reqs_open--;
    s->calls.done(s->ctx, r);
    r->user = NULL;
}

void conn_lost(struct http_conn *c, const char *why)
{
    if (c->state == CONN_DEAD) return;
    TRACE(TRACE_HTTP, "fd=%d closed: %s", c->fd, why);
    c->state = CONN_DEAD;
    tell_done(c);
}

static void req_clear(struct http_conn *c)
{
    struct http_req *r = &c->req;

    http_req_free_body(r);
    if (r->arena.used > KIB(4)) arena_release(&r->arena);
    arena_clear(&r->arena);
    struct arena arena = r->arena;
    buf_release(&r->fields);
    *r = (struct http_req){ .conn = c, .arena = arena, .left = -1, .chunk_at = NO_CHUNK, .ours = true };
    buf_init(&r->fields, LIM_FIELDS_BYTES);
}

/* A client's request id, if it is one that can go into logs, or our own. */
static void choose_id(struct http_req *r)
{
    struct rng *g    = &r->conn->serv->rng;
    struct str  sent = http_head_field(&r->head, "x-request-id");
    bool        sane = sent.n >= 1 && sent.n <= 128;

    for (size_t i = 0; i < sent.n && sane; i++) {
        char c = sent.p[i], low = (char)(c | 0x20);
        sane   = (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    }
    r->id = sane ? sent
                 : arena_printf(&r->arena, "req_%016llx%016llx", (unsigned long long)rng_u64(g),
                                (unsigned long long)rng_u64(g));
}

/* The server itself answers, whatever the handler was about to do. */
static void refuse(struct http_conn *c, const struct err *e)
{
    struct http_req *r = &c->req;

    c->serv->stats.refused[e->code]++;
    if (r->drop || r->started) { // too late for an answer
        conn_lost(c, e->msg);
        return;
    }
    tell_done(c);
    TRACE(TRACE_HTTP, "fd=%d refused: %s", c->fd, e->msg);
    r->ended = r->gone = false;
    http_req_free_body(r);
    buf_clear(&r->fields);
    if (!r->id.n) choose_id(r);
    reply_refuse(r, e);
    c->state = CONN_REPLY;
}

/* --- heads --- */

/* What must hold before a handler sees a request. True when it shall. */
static bool admit(struct http_conn *c)
{
    struct http_serv *s = c->serv;
    struct err        e = { 0 };

    if (!s->conf.guard) return true;
    if (http_guard_check(s->conf.guard, &c->req.head, &e) < 0) {
        s->stats.refused[e.code]++;
        http_reply_err(&c->req, &e);
        return false;
    }
    c->req.cors = true;
    if (!http_cors_preflight(&c->req.head)) return true;
    http_reply(&c->req, 204, STR_NULL, STR_NULL);
    return false;
}

/* A whole head lies in c->in: make it a request. */
static void take_head(struct http_conn *c)
{
    struct http_serv *s = c->serv;
    struct http_req  *r = &c->req;
    struct err        e = { 0 };
    size_t            n = c->scan.at;

    struct str head = arena_str(&r->arena, str_sub(buf_text(&c->in), c->scan.start, n - c->scan.start));
    if (!head.p) err_nomem(&e, "reading a request head");
    if (!head.p || http_head_parse(head, c->scan.lines, &r->arena, &r->head, &e) < 0) {
        r->head = (struct http_head){ .minor = 1, .length = -1 };
        refuse(c, &e);
        return;
    }
    buf_drop(&c->in, n);
    c->scan     = (struct http_scan){ 0 };
    r->start_us = clock_mono_us();
    r->left     = r->head.length;
    r->has_body = r->head.chunked || r->head.length > 0;
    r->body_in  = !r->has_body;
    r->close    = !r->head.keep_alive || s->draining;
    c->state    = CONN_REPLY;
    choose_id(r);
    s->stats.reqs++;
    TRACE(TRACE_HTTP, "fd=%d %s " STR_FMT " id=" STR_FMT, c->fd, http_method_name(r->head.method),
          STR_ARG(r->head.path), STR_ARG(r->id));
    if (!admit(c)) return;
    r->ours = false;
    s->stats.reqs_open++;
    s->calls.head(s->ctx, r);
}

/* True when there is more to do at once. */
static bool run_head(struct http_conn *c)
{
    struct err e = { 0 };

    if (c->serv->draining && c->in.n <= c->scan.start) {
        conn_lost(c, "idle while the server stops");
        return false;
    }
    int rc = http_scan(&c->scan, &c->serv->conf.lim, buf_text(&c->in), &e);
    if (rc < 0) refuse(c, &e);
    if (rc > 0) take_head(c);
    return rc != 0;
}

/* --- bodies --- */

static int body_put(struct http_conn *c, struct str data, struct err *e)
{
    struct http_serv *s = c->serv;
    struct http_req  *r = &c->req;

    if (r->drop) return 0; // its length was known to be small
    if (data.n > r->body_max - r->body.n || r->chunks.left > r->body_max - r->body.n - data.n)
        return err_set(e, ERR_TOO_LARGE, "request body is larger than %zu bytes", r->body_max);
    if (s->stats.body_bytes + data.n > s->conf.body_all_bytes)
        return err_set(e, ERR_OVERLOADED, "too many request bodies at once, try again");
    buf_put(&r->body, data.p, data.n);
    if (r->body.failed) return err_nomem(e, "reading a request body");
    s->stats.body_bytes += data.n;
    return 0;
}

/* Take body bytes from c->in. 1 when the body is complete. */
static int body_feed(struct http_conn *c, struct err *e)
{
    struct http_req *r    = &c->req;
    size_t           used = 0;
    int              end  = 0;

    while (!end) {
        struct str in = str_from(buf_text(&c->in), used), data = in;
        size_t     n  = in.n;
        if (r->head.chunked) {
            end = http_chunks_feed(&r->chunks, &c->serv->conf.lim, in, &n, &data, e);
            if (end < 0) return end;
        } else {
            data.n = n = (uint64_t)r->left < in.n ? (size_t)r->left : in.n;
            r->left -= (int64_t)n;
            end = r->left == 0;
        }
        int rc = body_put(c, data, e);
        if (rc < 0) return rc;
        used += n;
        if (used == c->in.n) break;
    }
    buf_drop(&c->in, used);
    return end;
}

static bool run_body(struct http_conn *c)
{
    struct http_serv *s = c->serv;
    struct http_req  *r = &c->req;
    struct err        e = { 0 };

    if (r->ended && !r->drop) { // answered before its body was complete
        c->state = CONN_REPLY;
        return true;
    }
    int rc = r->body_in ? 1 : body_feed(c, &e);
    if (rc < 0) refuse(c, &e);
    if (rc <= 0) return rc < 0;
    r->body_in = true;
    if (r->drop) {
        req_clear(c);
        c->state = CONN_HEAD;
        return true;
    }
    c->state     = CONN_REPLY;
    r->body_told = true;
    s->calls.body(s->ctx, r);
    return true;
}

/* --- replies --- */

/* The reply is out. What next? */
static void finish(struct http_conn *c)
{
    struct http_req *r = &c->req;

    TRACE(TRACE_HTTP, "fd=%d status=%d sent=%llu%s", c->fd, r->status, (unsigned long long)r->sent,
          r->close ? " close" : "");
    tell_done(c);
    c->since_us = c->in_us = clock_mono_us();
    if (r->aborted) {
        c->state = CONN_DEAD;
    } else if (r->close || c->eof || c->serv->draining) {
        io_shut(c);
        c->state = c->eof ? CONN_DEAD : CONN_LINGER;
        buf_release(&c->in);
        req_clear(c); // nothing of the request stays while we wait
    } else if (!r->body_in) { // small enough, or the reply would have said close
        http_req_free_body(r);
        r->drop  = true;
        c->state = CONN_BODY;
    } else {
        req_clear(c);
        c->state = CONN_HEAD;
        serv_conn_idle(c->serv);
    }
}

static bool run_reply(struct http_conn *c)
{
    struct http_serv *s = c->serv;
    struct http_req  *r = &c->req;

    if (r->piled && !conn_pending(c) && !r->ours && !r->ended) {
        r->piled = false;
        if (s->calls.room) s->calls.room(s->ctx, r);
        return true;
    }
    if (r->ended) {
        if (conn_pending(c) && !r->aborted) return false;
        finish(c);
        return true;
    }
    if (r->reading && !r->body_told) {
        c->state    = CONN_BODY;
        c->since_us = c->in_us = clock_mono_us();
        return true;
    }
    return false;
}

/* --- events --- */

static bool wants_read(const struct http_conn *c)
{
    if (c->eof || c->in.n == c->in.max) return false;
    return c->state != CONN_REPLY || c->in.n < c->serv->conf.in_bytes;
}

static void want(struct event *ev, bool *on, bool wanted, struct http_conn *c)
{
    if (*on == wanted) return;
    if ((wanted ? event_add(ev, NULL) : event_del(ev)) < 0) c->broken = true;
    else *on = wanted;
}

void conn_run(struct http_conn *c)
{
    if (c->running) return;
    c->running = true;
    for (bool more = true; more && c->state != CONN_DEAD;) {
        if (conn_pending(c)) conn_flush(c);
        if (c->broken || c->out.failed) {
            conn_lost(c, "cannot send, or reader too slow");
            break;
        }
        switch (c->state) {
        case CONN_HEAD: more = run_head(c); break;
        case CONN_BODY: more = run_body(c); break;
        case CONN_REPLY: more = run_reply(c); break;
        case CONN_LINGER: buf_clear(&c->in); more = false; break;
        case CONN_DEAD: more = false; break;
        }
    }
    if (c->state != CONN_DEAD) {
        if (!c->in.n && c->in.cap) buf_release(&c->in);
        if (!c->out.n && c->out.cap > KIB(1) && (c->state != CONN_REPLY || c->out.cap > KIB(64)))
            buf_release(&c->out);
        want(&c->ev_read, &c->reading, wants_read(c), c);
        want(&c->ev_write, &c->writing, conn_pending(c) || io_wants_write(c), c);
        /* TLS may have bytes decoded that the loop cannot see. */
        if (c->reading && io_buffered(c)) event_active(&c->ev_read, EV_READ, 0);
        if (c->broken) conn_lost(c, "event loop refuses its descriptor");
    }
    c->running = false;
    if (c->state == CONN_DEAD) conn_free(c);
}

static void at_eof(struct http_conn *c)
{
    if (c->state == CONN_REPLY && c->req.ended) {
        c->eof = true; // it may still take the rest
        return;
    }
    conn_lost(c, "closed by the client");
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
    struct http_conn *c    = arg;
    struct http_serv *s    = c->serv;
    size_t            room = c->in.max - c->in.n;
    ssize_t           n    = io_read(c, s->scratch, room < READ_BYTES ? room : READ_BYTES);

    (void)fd, (void)what;
    if (n > 0) {
        c->in_us = clock_mono_us();
        s->stats.bytes_in += (uint64_t)n;
        if (c->state == CONN_HEAD && c->in.n <= c->scan.start) c->since_us = c->in_us;
        if (c->state != CONN_LINGER) buf_put(&c->in, s->scratch, (size_t)n);
        if (c->in.failed) conn_lost(c, "out of memory");
    } else if (n == 0) {
        at_eof(c);
    } else if (n == IO_ERROR) {
        conn_lost(c, "reset by the client");
    }
    conn_run(c);
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
    if (io_wants_write(arg)) {
        on_read(fd, what, arg);
        return;
    }
    conn_flush(arg);
    conn_run(arg);
}

/* --- deadlines --- */

static bool passed(uint64_t now, uint64_t since, unsigned ms)
{
    return now > since && now - since > (uint64_t)ms * 1000;
}

static void late(struct http_conn *c, const char *what, unsigned ms)
{
    struct err e = { 0 };

    err_set(&e, ERR_TIMEOUT, "%s took longer than %u ms", what, ms);
    refuse(c, &e);
}

static void drop(struct http_conn *c, const char *why)
{
    c->serv->stats.timeouts++;
    conn_lost(c, why);
}

/* Reading is paused behind a flood of input: the loop does not see the client leave, so ask. */
static bool has_left(const struct http_conn *c)
{
    struct pollfd p = { .fd = c->fd, .events = POLLRDHUP };

    return !c->reading && !c->eof && poll(&p, 1, 0) == 1;
}

void conn_tick(struct http_conn *c, uint64_t now)
{
    const struct http_conf *conf = &c->serv->conf;

    if (conn_pending(c) && passed(now, c->out_us, conf->write_stall_ms)) {
        drop(c, "reader stalled");
        conn_run(c);
        return;
    }
    switch (c->state) {
    case CONN_HEAD:
        if (c->in.n > c->scan.start || c->handshake) {
            if (!passed(now, c->since_us, conf->head_ms)) return;
            if (c->handshake) drop(c, "no TLS handshake");
            else late(c, "request head", conf->head_ms);
        } else if (passed(now, c->since_us, conf->keepalive_ms)) {
            drop(c, "idle");
        }
        break;
    case CONN_BODY:
        if (c->req.ended && !c->req.drop) break; // answered in this very turn
        if (passed(now, c->in_us, conf->body_idle_ms)) late(c, "next bytes of the body", conf->body_idle_ms);
        else if (passed(now, c->since_us, conf->body_ms)) late(c, "request body", conf->body_ms);
        break;
    case CONN_REPLY:
        if (c->req.sse_expected && !c->req.started && !c->req.ended && passed(now, c->in_us, conf->sse_ping_ms)) {
            http_sse_start(&c->req);
            reply_ping(&c->req);
        }
        if (c->req.sse && !c->req.ended && !conn_pending(c) &&
            passed(now, c->out_us, conf->sse_ping_ms)) reply_ping(&c->req);
        if (has_left(c)) conn_lost(c, "closed by the client behind its own input");
        break;
    case CONN_LINGER:
        if (passed(now, c->since_us, conf->linger_ms)) conn_lost(c, "lingered");
        break;
    case CONN_DEAD: break;
    }
    conn_run(c);
}

/* --- open and close --- */

int conn_new(struct http_serv *s, int fd, struct http_tls *tls, struct err *e)
{
    struct http_conn *c = mem_zalloc(sizeof *c);

    if (!c) {
        evutil_closesocket(fd);
        return err_nomem(e, "accepting a connection");
    }
    c->serv = s;
    c->fd   = fd;
    buf_init(&c->in, s->conf.lim.line_bytes + s->conf.lim.fields_bytes + s->conf.lim.field_bytes +
                         s->conf.in_bytes + READ_BYTES);
    buf_init(&c->out, s->conf.reply_bytes);
    c->req.conn = c;
    arena_init(&c->req.arena, LIM_REQ_ARENA);
    req_clear(c);
    c->since_us = c->in_us = c->out_us = clock_mono_us();
    event_assign(&c->ev_read, s->base, fd, EV_READ | EV_PERSIST, on_read, c);
    event_assign(&c->ev_write, s->base, fd, EV_WRITE | EV_PERSIST, on_write, c);
    LIST_INSERT_HEAD(&s->conns, c, all);
    s->stats.conns++;
    s->stats.conns_open++;
    if (io_start(c, tls, e) < 0) {
        conn_free(c);
        return -(int)e->code;
    }
    conn_touch(c); // adds its events; may find the loop out of memory
    return 0;
}

void conn_free(struct http_conn *c)
{
    struct http_serv *s = c->serv;

    if (c->reading) event_del(&c->ev_read);
    if (c->writing) event_del(&c->ev_write);
    if (c->is_dirty) TAILQ_REMOVE(&s->dirty, c, dirty);
    LIST_REMOVE(c, all);
    io_close(c);
    http_req_free_body(&c->req);
    buf_release(&c->req.fields);
    arena_release(&c->req.arena);
    buf_release(&c->in);
    buf_release(&c->out);
    mem_free(c);
    s->stats.conns_open--;
    serv_conn_gone(s);
}
