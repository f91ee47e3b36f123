/* watch.c - libevent's events for a channel's descriptor. */
#include "os/watch.h"

#include <event2/event.h>

#include "base/mem.h"

struct watch {
    struct chan   *chan; // borrowed
    struct event  *rd, *wr;
    chan_fn       *fn;
    watch_gone_fn *gone;
    void          *ctx;
    struct err     why;
    bool           dead;
};

static void dead(struct watch *w, const struct err *why)
{
    w->dead = true;
    w->why  = *why;
    event_del(w->wr);
    event_active(w->rd, EV_READ, 0); // tell the owner from the loop, not from inside its own call
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    struct err    e;
    (void)fd;
    (void)what;

    if (!w->dead) {
        if (chan_recv(w->chan, w->fn, w->ctx, &e) == 0) return;
        w->dead = true;
        w->why  = e;
    }
    event_del(w->rd);
    event_del(w->wr);
    w->gone(w->ctx, &w->why); // frees w
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    watch_flush(arg);
}

void watch_flush(struct watch *w)
{
    struct err e;

    if (w->dead) return;
    if (chan_flush(w->chan, &e) < 0) dead(w, &e);
    else if (chan_want_write(w->chan)) event_add(w->wr, NULL);
}

int watch_new(struct event_base *base, struct chan *c, chan_fn *fn, watch_gone_fn *gone, void *ctx,
              struct watch **ret, struct err *e)
{
    struct watch *w = mem_zalloc(sizeof *w);

    if (!w) return err_nomem(e, "watching a channel");
    *w    = (struct watch){ .chan = c, .fn = fn, .gone = gone, .ctx = ctx };
    w->rd = event_new(base, chan_fd(c), EV_READ | EV_PERSIST, on_read, w);
    w->wr = event_new(base, chan_fd(c), EV_WRITE, on_write, w);
    if (!w->rd || !w->wr || event_add(w->rd, NULL) < 0) {
        watch_free(w);
        return err_nomem(e, "watching a channel");
    }
    *ret = w;
    return 0;
}

void watch_free(struct watch *w)
{
    if (!w) return;
    if (w->rd) event_free(w->rd);
    if (w->wr) event_free(w->wr);
    mem_free(w);
}
