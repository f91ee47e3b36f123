/* sse_read.h - server-sent events from another server, taken apart as they come.
 *
 * The format is WHATWG's (HTML standard, 9.2 Server-sent events): lines that end in CR, LF or both, fields
 * `data`, `event` and others, an empty line after each event, comments. Only `event` and `data` are kept; an
 * event is bounded. */
#ifndef CURLEW_GATEWAY_SSE_READ_H
#define CURLEW_GATEWAY_SSE_READ_H

#include "base/buf.h"
#include "base/err.h"

struct sse_read {
    struct buf line, data, name;
    bool       has_data, after_cr, began;
};

void sse_read_init(struct sse_read *s, size_t event_max); // most bytes of one line, and of one event's data
void sse_read_release(struct sse_read *s);

/* One event: its name ("" when it has none) and its data lines, joined by line feeds. False ends the reading. */
typedef bool sse_read_fn(void *ctx, struct str name, struct str data);

/* The next bytes, cut anywhere. Error: TOO_LARGE (a line or an event), NO_MEMORY. */
NODISCARD int sse_read_put(struct sse_read *s, struct str bytes, sse_read_fn *fn, void *ctx, struct err *e);

#endif
