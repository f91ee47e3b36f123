/* http.h - the HTTP/1.1 server: connections, requests, replies, event streams. Knows no models.
 *
 * A strict RFC 9112 server on libevent's loop. A request is decided on its head alone, before a byte
 * of its body is read; every ceiling binds before the memory it bounds is taken; every protocol
 * fault is answered in JSON and costs the client its connection.
 *
 * The life of a request, as callbacks of struct http_calls:
 *
 *     head ──http_req_read──> body ──reply──> done        the usual way
 *     head ──reply──> done                                refused, or nothing to read
 *     head ... gone, done                                 the client went away, at any point
 *
 * `done` comes last and exactly once for each `head`; the request and its arena die with it. `gone`
 * comes at most once, only while the reply is unfinished: stop the work, write no more. No callback
 * is ever called from inside a function of this header (http_serv_free is the exception), so a
 * handler may reply at any time, also from inside callbacks and of other requests.
 *
 * A client that closes its sending side (half-close) counts as gone: that is how clients cancel.
 *
 * One server belongs to one event loop and is used from its thread only. Times are of base/clock.h.
 */
#ifndef CURLEW_HTTP_HTTP_H
#define CURLEW_HTTP_HTTP_H

#include "http/http_guard.h"
#include "http/http_parse.h"
#include "http/http_tls.h"

struct event_base;
struct http_serv;
struct http_req;

struct http_calls {
    /* A head has come. Reply, or call http_req_read, now or later; until then no body is read. */
    void (*head)(void *ctx, struct http_req *r);
    /* The body is complete (also when there was none). Reply now or later. */
    void (*body)(void *ctx, struct http_req *r);
    /* The client is gone, or was refused for its body: this request needs no reply any more. */
    void (*gone)(void *ctx, struct http_req *r);
    /* The request is over. Last call. */
    void (*done)(void *ctx, struct http_req *r);
    /* Output that had piled up beyond conf.out_mark has all been sent: more may be produced.
     * May be NULL. */
    void (*room)(void *ctx, struct http_req *r);
};

struct http_conf { // defaults: base/limits.h
    struct http_limits lim;
    size_t   body_all_bytes; // bodies held, all requests together; over it 503
    size_t   in_bytes;       // input held behind a running reply; then reading pauses
    size_t   drain_bytes;    // body dropped for the sake of the connection after an early reply
    size_t   reply_bytes;    // a whole reply
    size_t   out_bytes;      // unsent stream output; over it the client counts as gone
    size_t   out_mark;       // see `room`
    int      conns;          // then accepting pauses; an idle connection is closed to make room
    int      conns_addr;     // of one address, loopback and Unix excepted; 0 for no limit
    unsigned head_ms, body_idle_ms, body_ms, keepalive_ms, write_stall_ms, linger_ms, sse_ping_ms;
    const char *time_field;  // reply field with the milliseconds from the request's head to the reply's, or NULL
    unsigned tick_ms;        // how often deadlines are looked at: what they are late by at most
    const struct http_guard *guard; // Host and Origin checks and CORS; borrowed; NULL for none
};
extern const struct http_conf http_conf_default;

struct http_stats {
    uint64_t conns, conns_refused, accept_pauses; // accepted; over conns_addr; cap or no descriptors
    uint64_t reqs, gone, reqs_done; // heads read; `gone` told; `done` told
    uint64_t bytes_in, bytes_out;
    uint64_t replies[6];         // by hundred of the status
    uint64_t refused[ERR_CODES]; // what the server itself answered, by reason
    uint64_t timeouts;           // connections dropped for silence without an answer
    size_t   conns_open, reqs_open, body_bytes; // now
};

/* --- server --- */

/* conf and calls are copied, *ctx and the guard borrowed. */
NODISCARD int http_serv_new(struct event_base *base, const struct http_conf *conf,
                            const struct http_calls *calls, void *ctx, struct http_serv **ret,
                            struct err *e);
/* Accept from fd: an open socket that listens already (TCP of either family, or Unix). The server
 * owns it from now on, on failure too. tls (borrowed) or NULL. */
NODISCARD int http_serv_listen(struct http_serv *s, int fd, struct http_tls *tls, struct err *e);
/* Serve one connected stream socket, owned from now on. Over the cap it is closed. */
NODISCARD int http_serv_adopt(struct http_serv *s, int fd, struct http_tls *tls, struct err *e);
/* Accept no more, close idle connections, let running requests end, then call back once, from the
 * loop. There is no deadline here: who cannot wait frees the server. */
void http_serv_drain(struct http_serv *s, void (*drained)(void *ctx), void *ctx);
/* Close all. Requests still running are told gone and done from inside. Not from a callback of this
 * server but `drained`. NULL is fine. */
void http_serv_free(struct http_serv *s);
/* New limits and guard for what happens from now on (reload). */
void http_serv_set_conf(struct http_serv *s, const struct http_conf *conf);
const struct http_stats *http_serv_stats(const struct http_serv *s);

/* --- a request: valid from `head` until `done` returns --- */

const struct http_head *http_req_head(const struct http_req *r);
struct str http_req_field(const struct http_req *r, const char *name); // first of the name, or STR_NULL
struct str http_req_id(const struct http_req *r);    // x-request-id of the reply: the client's if sane
struct str http_req_peer(struct http_req *r);        // "192.0.2.1:4711", "[::1]:80" or "unix"
bool       http_req_local(const struct http_req *r); // peer is loopback or a Unix socket
bool       http_req_has_body(const struct http_req *r);
struct arena *http_req_arena(struct http_req *r);    // LIM_REQ_ARENA, released after `done`
void  http_req_set_user(struct http_req *r, void *user);
void *http_req_user(const struct http_req *r);

/* Read the body, up to bytes_max, then call `body`. A body announced larger is answered with 413
 * here and only `done` follows; one that turns out larger brings gone and done. */
void http_req_read(struct http_req *r, size_t bytes_max);
struct str http_req_body(const struct http_req *r); // contiguous; from `body` on until freed
void http_req_free_body(struct http_req *r);        // earlier than `done`: gives back its budget

int      http_req_status(const struct http_req *r);  // of the reply, 0 before
uint64_t http_req_sent(const struct http_req *r);    // bytes of the reply given to the kernel
bool     http_req_complete(const struct http_req *r);// in `done`: the whole reply was
uint64_t http_req_start_us(const struct http_req *r);// clock_mono_us when its head was complete

/* --- replies: all of them fine after `gone`, when they do nothing --- */

/* One more field for the reply's head, before it starts. False, and nothing added, when a byte may
 * not stand in a field. Content-Length, Connection, Date, x-request-id and CORS fields are ours. */
bool http_reply_field(struct http_req *r, const char *name, struct str value);

/* The whole reply. type may be STR_NULL when there is no body. Copies body. */
void http_reply(struct http_req *r, int status, struct str type, struct str body);
/* The error as OpenAI's object, with the status of its row; retry-after or x-should-retry, and
 * www-authenticate for 401, unless the handler set them. */
void http_reply_err(struct http_req *r, const struct err *err);
/* The JSON body of http_reply_err alone. */
void http_err_body(struct buf *b, const struct err *err);

/* A reply in pieces: chunked for HTTP/1.1, up to the close for 1.0. Pieces written in one turn of
 * the loop leave as one chunk in one write at its end. */
void   http_stream_start(struct http_req *r, int status, struct str type);
void   http_stream_put(struct http_req *r, struct str piece);
void   http_stream_end(struct http_req *r);
void   http_stream_abort(struct http_req *r); // close in the middle: the client sees it was cut
bool   http_req_started(const struct http_req *r); // the reply's head is written
bool   http_req_ended(const struct http_req *r);   // the reply is written, or the client is gone
size_t http_req_pending(const struct http_req *r); // bytes not yet taken by the kernel
void   http_req_flush(struct http_req *r);         // do not wait for the end of the turn

/* Server-sent events. json is one line. A comment is sent by itself after sse_ping_ms of silence. */
void http_sse_start(struct http_req *r);
/* The reply will be a stream of events, unless it fails before: when http_sse_start has not come after
 * sse_ping_ms, its head and a comment leave by themselves, so that nobody on the way gives up. */
void http_sse_expect(struct http_req *r);
void http_sse_data(struct http_req *r, struct str json);                    // data: ...
void http_sse_event(struct http_req *r, const char *name, struct str json); // event: name, data: ...
void http_sse_comment(struct http_req *r);                                  // : keep-alive
void http_sse_done(struct http_req *r);                                     // data: [DONE]
/* Then http_stream_end. */

#endif
