/* http_req.c - what a handler asks a request. */
#include <arpa/inet.h>

#include "http/http_int.h"

const struct http_head *http_req_head(const struct http_req *r)
{
    return &r->head;
}

struct str http_req_field(const struct http_req *r, const char *name)
{
    return http_head_field(&r->head, name);
}

struct str http_req_id(const struct http_req *r)
{
    return r->id;
}

struct str http_req_peer(struct http_req *r)
{
    const struct http_conn *c = r->conn;
    char                    text[INET6_ADDRSTRLEN];

    if (r->peer.p) return r->peer;
    if (c->family == AF_INET && inet_ntop(AF_INET, c->addr + 12, text, sizeof text))
        r->peer = arena_printf(&r->arena, "%s:%u", text, c->port);
    else if (c->family == AF_INET6 && inet_ntop(AF_INET6, c->addr, text, sizeof text))
        r->peer = arena_printf(&r->arena, "[%s]:%u", text, c->port);
    return r->peer.p ? r->peer : STR("unix");
}

bool http_req_local(const struct http_req *r)
{
    return r->conn->local;
}

bool http_req_has_body(const struct http_req *r)
{
    return r->has_body;
}

struct arena *http_req_arena(struct http_req *r)
{
    return &r->arena;
}

void http_req_set_user(struct http_req *r, void *user)
{
    r->user = user;
}

void *http_req_user(const struct http_req *r)
{
    return r->user;
}

void http_req_read(struct http_req *r, size_t bytes_max)
{
    struct http_conn *c = r->conn;
    struct err        e = { 0 };

    if (r->ended || r->reading || c->state == CONN_DEAD) return;
    if (r->head.length > 0 && (uint64_t)r->head.length > bytes_max) {
        err_set(&e, ERR_TOO_LARGE, "request body is %lld bytes, the limit is %zu",
                (long long)r->head.length, bytes_max);
        c->serv->stats.refused[e.code]++;
        http_reply_err(r, &e);
        return;
    }
    r->reading  = true;
    r->body_max = bytes_max;
    buf_init(&r->body, bytes_max);
    if (r->has_body && r->head.expect && !c->in.n) reply_continue(r);
    r->continued = true;
    conn_touch(c);
}

struct str http_req_body(const struct http_req *r)
{
    return buf_text(&r->body);
}

void http_req_free_body(struct http_req *r)
{
    r->conn->serv->stats.body_bytes -= r->body.n;
    buf_release(&r->body);
}

int http_req_status(const struct http_req *r)
{
    return r->status;
}

uint64_t http_req_sent(const struct http_req *r)
{
    return r->sent;
}

bool http_req_complete(const struct http_req *r)
{
    return r->ended && !r->gone && !r->aborted && r->conn->state != CONN_DEAD && !conn_pending(r->conn);
}

uint64_t http_req_start_us(const struct http_req *r)
{
    return r->start_us;
}
