/* axera_http.h - the little HTTP/1.1 that is spoken with a child on this machine, in both directions.
 *
 * Our HTTP server (room http) faces the outside and knows sockets; this one reads one message at a time from
 * bytes that a child sent, with limits, and knows none. */
#ifndef CURLEW_ENGINES_AXERA_AXERA_HTTP_H
#define CURLEW_ENGINES_AXERA_AXERA_HTTP_H

#include "base/buf.h"
#include "base/err.h"

#define AXERA_HTTP_HEAD KIB(16)
#define AXERA_HTTP_BODY MIB(4)

enum axera_http_state { AXERA_HTTP_IN_HEAD, AXERA_HTTP_IN_SIZED, AXERA_HTTP_IN_CHUNK_SIZE, AXERA_HTTP_IN_CHUNK,
                        AXERA_HTTP_IN_CHUNK_END, AXERA_HTTP_IN_TRAILER, AXERA_HTTP_IN_REST, AXERA_HTTP_DONE };

struct axera_http {
    enum axera_http_state state;
    bool       request;    // else a reply
    struct buf head, body; // of this message; the body may be taken away as it grows (buf_clear)
    struct buf line;       // of a chunk's size
    uint64_t   left;       // of the body or chunk
    uint64_t   all;        // body bytes so far
    int        status;     // of a reply
    bool       close;      // the connection ends with this message
};

void axera_http_init(struct axera_http *h, bool request);
void axera_http_release(struct axera_http *h);
void axera_http_next(struct axera_http *h); // ready for the next message

/* Take bytes; *used says how many belonged to this message (all until DONE). Error: PROTOCOL. */
NODISCARD int axera_http_feed(struct axera_http *h, struct str bytes, size_t *used, struct err *e);
/* The connection has ended: fine only for a body without a length. */
NODISCARD int axera_http_eof(struct axera_http *h, struct err *e);

/* Of a request whose head is there. The path is without its query; both borrowed from head. */
struct str axera_http_method(const struct axera_http *h);
struct str axera_http_path(const struct axera_http *h, struct str *query);

#endif
