/* http_int.h - what the files of the server share. */
#ifndef CURLEW_HTTP_HTTP_INT_H
#define CURLEW_HTTP_HTTP_INT_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "base/limits.h"
#include "base/rng.h"
#include "http/http.h"

#define READ_BYTES KIB(64) // most that one read takes
#define NO_CHUNK   SIZE_MAX

/* What a connection waits for. */
enum conn_state {
    CONN_HEAD,   // a request head, or its next byte
    CONN_BODY,   // the rest of a body (to be dropped when req.drop)
    CONN_REPLY,  // the handler, or the client to take the reply
    CONN_LINGER, // the client to close: our side is shut
    CONN_DEAD,   // to be freed by whoever runs it
};

/* One per connection, used again for each request on it. */
struct http_req {
    struct http_conn *conn;
    struct http_head  head;   // slices in arena
    struct arena      arena;
    struct buf        fields; // lines http_reply_field added
    struct buf        body;
    struct str        id;     // in arena, or "" when that failed
    struct str        peer;   // in arena, once asked for
    void             *user;
    struct http_chunks chunks;
    int64_t  left;        // of a body with a length
    size_t   body_max;
    size_t   chunk_at;    // offset in conn.out of the open chunk's size, or NO_CHUNK
    uint64_t start_us;
    uint64_t sent;
    int      status;
    bool ours;            // not the handler's (yet, or any more): no callbacks
    bool has_body;        // announced
    bool reading;         // the handler wants the body
    bool body_in;         // all of it has come
    bool body_told;       // `body` has been called
    bool drop;            // reply sent, body unwanted
    bool continued;       // 100 sent, or not needed any more
    bool started, ended;  // the reply's head, its end
    bool aborted, gone;
    bool cors;            // its origin was let in: say so in the reply
    bool bodiless;        // HEAD, 204, 304: nothing after the reply's head
    bool chunked_out;
    bool sse;
    bool sse_expected;    // it will be one
    bool close;           // after this reply
    bool piled;           // output went over out_mark: `room` is owed
};

struct http_conn {
    struct http_serv *serv;
    LIST_ENTRY(http_conn) all;
    TAILQ_ENTRY(http_conn) dirty;
    struct event    ev_read, ev_write;
    int             fd;
    enum conn_state state;
    bool     running, is_dirty, reading, writing; // the last two: which event is added
    bool     eof;         // the client has closed its side after our reply had ended
    bool     broken;      // nothing can be sent any more: drop it at the next chance
    bool     local;       // peer is loopback or Unix
    bool     handshake;   // TLS, not finished
    bool     tls_wants_out, tls_failed;
    uint8_t  addr[16];    // v4-mapped for IPv4; zero for Unix
    uint16_t port;
    uint8_t  family;      // AF_*
    void    *ssl;         // SSL of OpenSSL; NULL for plain text
    struct buf in;        // bytes not used yet
    struct buf out;       // bytes from out_at on are not sent yet
    size_t   out_at;
    struct http_scan scan;
    uint64_t since_us;    // start of what it waits for: idle, head, body, linger
    uint64_t in_us;       // last bytes in
    uint64_t out_us;      // last bytes out, or when output began to wait
    struct http_req req;
};

struct http_listener {
    LIST_ENTRY(http_listener) all;
    struct http_serv *serv;
    struct http_tls  *tls;
    struct event      ev;
    int               fd;
};

struct http_serv {
    struct event_base *base;
    struct http_conf   conf;
    struct http_calls  calls;
    void              *ctx;
    struct http_stats  stats;
    LIST_HEAD(, http_conn) conns;
    LIST_HEAD(, http_listener) listeners;
    TAILQ_HEAD(http_dirty, http_conn) dirty;
    struct event ev_dirty, ev_tick;
    bool         ticking, paused, draining;
    uint64_t     paused_us, warned_us;
    void       (*drained)(void *ctx);
    void        *drained_ctx;
    struct rng   rng;       // request ids
    int64_t      date_s;
    char         date[32];  // "Sun, 06 Nov 1994 08:49:37 GMT"
    char         scratch[READ_BYTES];
};

/* http_conn.c */
int  conn_new(struct http_serv *s, int fd, struct http_tls *tls, struct err *e); // owns fd, on failure too
void conn_free(struct http_conn *c);
void conn_run(struct http_conn *c);                // go on as far as it gets; may free c
void conn_lost(struct http_conn *c, const char *why); // tell the handler, state becomes CONN_DEAD
void conn_tick(struct http_conn *c, uint64_t now); // look at its deadlines; may free c
void conn_touch(struct http_conn *c);              // run it at the end of this turn of the loop
void conn_flush(struct http_conn *c);              // send what can be sent; sets broken on failure
size_t conn_pending(const struct http_conn *c);

/* http_reply.c */
void reply_close_chunk(struct http_conn *c);
void reply_refuse(struct http_req *r, const struct err *e); // the server's own answer; then close
void reply_continue(struct http_req *r); // 100
void reply_ping(struct http_req *r);

/* http_serv.c */
void serv_conn_gone(struct http_serv *s); // one connection less
void serv_conn_idle(struct http_serv *s); // one of them could be spared now
const char *serv_date(struct http_serv *s);

/* http_io.c: the only calls on client sockets; plain or TLS. */
#define IO_AGAIN (-1)
#define IO_ERROR (-2)
int     io_start(struct http_conn *c, struct http_tls *tls, struct err *e);
ssize_t io_read(struct http_conn *c, void *dst, size_t n);        // 0 at the end, IO_*
ssize_t io_write(struct http_conn *c, const void *src, size_t n); // IO_*
bool    io_buffered(const struct http_conn *c);    // bytes the loop cannot see
bool    io_wants_write(const struct http_conn *c); // before it can read on (TLS)
void    io_shut(struct http_conn *c);  // no more output
void    io_close(struct http_conn *c);

#endif
