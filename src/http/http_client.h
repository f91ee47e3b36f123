/* http_client.h - requests to other servers, on the same loop: libcurl's multi interface on libevent.
 *
 * What comes back is as hostile as any client: heads, bodies and times are bounded, redirects and proxies are
 * off, only http and https are spoken, and names are not looked up here (a process without files cannot): the
 * caller gives the addresses of each host.
 *
 *     http_call_start ──> head ──> data ... ──> done          exactly one done, unless it is cancelled
 *
 * Callbacks come from the loop, never from inside a function of this header but http_call_resume (data). All
 * calls from the loop's thread.
 */
#ifndef CURLEW_HTTP_HTTP_CLIENT_H
#define CURLEW_HTTP_HTTP_CLIENT_H

#include "base/err.h"
#include "base/str.h"
#include "http/http_parse.h"

struct event_base;
struct http_client;
struct http_call; // a request on its way

struct http_client_conf {
    int         conns_host; // connections to one server at once, 0: no limit; more requests wait
    struct str  ca;         // certificates (PEM) that servers are checked against; empty: none is trusted
    unsigned    tick_ms;    // how often deadlines are looked at
};

/* What to ask; everything is copied. */
struct http_ask {
    struct str               url;       // http://host:port/path
    struct str               unix_path; // connect to this socket instead of the host, or STR_NULL
    struct str               addr;      // addresses of the host, "192.0.2.1,2001:db8::1"; STR_NULL: host is one
    bool                     post;      // with the body; else GET
    struct str               body;
    const struct http_field *field; // [n_field] besides Host and Content-Length
    int                      n_field;
    unsigned                 connect_ms, idle_ms, total_ms; // idle: between two pieces; 0: no limit
    size_t                   body_max;  // most bytes of the reply's body, 0: no limit
};

/* A reply's head. Texts are borrowed for the call. */
struct http_answer {
    int        status;
    struct str type;        // Content-Type, or ""
    struct str retry_after; // or ""
};

struct http_call_fns {
    void (*head)(void *ctx, const struct http_answer *a); // may be NULL
    void (*data)(void *ctx, struct str bytes);
    /* The reply is complete (NULL), or this went wrong: UPSTREAM, UPSTREAM_TIMEOUT, TOO_LARGE, NO_MEMORY. The
     * message names the server: it is for the log, not for a client. */
    void (*done)(void *ctx, const struct err *e);
};

NODISCARD int http_client_new(struct event_base *base, const struct http_client_conf *c, struct http_client **ret,
                              struct err *e);
void          http_client_free(struct http_client *c); // what still runs ends without a callback; NULL is fine

/* Begin. fns is borrowed and outlives the call. Errors: INVALID_VALUE (the URL), NO_MEMORY. */
NODISCARD int http_call_start(struct http_client *c, const struct http_ask *ask, const struct http_call_fns *fns,
                              void *ctx, struct http_call **ret, struct err *e);
/* Nobody wants it any more: the connection is closed, or its stream reset. No callback follows. Fine inside
 * callbacks of this call, but done. */
void http_call_cancel(struct http_call *k);
/* Take no more data from the server for now; what was read already may still come once. And go on. */
void http_call_pause(struct http_call *k);
void http_call_resume(struct http_call *k);

#endif
