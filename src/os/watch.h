/* watch.h - a channel on an event loop. */
#ifndef CURLEW_OS_WATCH_H
#define CURLEW_OS_WATCH_H

#include "os/chan.h"

struct event_base;
struct watch;

/* Called once, from the loop, when the channel is dead; `why` says how it died. The callee frees the
 * watch and the channel. */
typedef void watch_gone_fn(void *ctx, const struct err *why);

/* Watch c (borrowed) and hand its frames to fn. The caller frees the watch before it closes c. */
NODISCARD int watch_new(struct event_base *base, struct chan *c, chan_fn *fn, watch_gone_fn *gone,
                        void *ctx, struct watch **ret, struct err *e);
void          watch_free(struct watch *w); // NULL is fine; also from inside gone

/* Send what chan_send appended, now as far as it goes and the rest when the socket has room. A dead
 * channel is noticed by the next turn of the loop. */
void watch_flush(struct watch *w);

#endif
