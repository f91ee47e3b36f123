/* front.c - the process that talks to clients: wire HTTP server, API and gateway to one loop.
 *
 * It holds listening sockets and channels, no weights, and cannot open a file once it listens. */
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "base/limits.h"
#include "base/log.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/sandbox.h"
#include "os/watch.h"
#include "prog/prog.h"

#define START_MS    30000
#define LISTENS_MAX 16

struct front {
    struct arena       arena;
    struct settings    s;
    struct event_base *base;
    struct chan       *chan;
    struct watch      *watch;
    struct gateway    *gw;
    struct api        *api;
    struct http_serv  *serv;
    struct http_guard  guard;
    int                listen_fd[LISTENS_MAX];
    int                n_listen;
    bool               go;
    int                status;
};

static int on_model(struct front *f, struct str body, struct err *e)
{
    struct unpack u       = unpack_init(body);
    uint32_t      index   = unpack_u32(&u);
    struct str    id      = unpack_str(&u);
    uint64_t      created = unpack_u64(&u);
    uint64_t      bytes   = unpack_u64(&u);

    if (!unpack_done(&u)) return err_set(e, ERR_PROTOCOL, "malformed model");
    return gateway_add(f->gw, index, id, (int64_t)created, bytes, e);
}

static int on_state(struct front *f, struct str body, struct err *e)
{
    struct unpack u     = unpack_init(body);
    uint32_t      index = unpack_u32(&u);
    uint8_t       state = unpack_u8(&u);
    struct str    why   = unpack_str(&u);

    if (!unpack_done(&u)) return err_set(e, ERR_PROTOCOL, "malformed state");
    return gateway_state(f->gw, index, (enum model_state)state, why, e);
}

static int on_link(struct front *f, const struct chan_msg *m, struct err *e)
{
    struct unpack u     = unpack_init(m->body);
    uint32_t      index = unpack_u32(&u);

    if (!unpack_done(&u)) return err_set(e, ERR_PROTOCOL, "malformed link");
    return gateway_link(f->gw, index, m->fd, e);
}

static void on_ready(void *ctx, uint32_t index)
{
    struct front *f = ctx;
    struct buf    b;
    struct err    e;

    buf_init(&b, 4);
    pack_u32(&b, index);
    if (b.failed || chan_send(f->chan, MSG_LINKED, 0, buf_text(&b), -1, &e) < 0)
        log_warn("linked_not_sent", "model=%u", index);
    buf_release(&b);
    watch_flush(f->watch);
}

static void on_drained(void *ctx)
{
    struct front *f = ctx;

    log_info("drained", "all replies are out");
    event_base_loopbreak(f->base);
}

static int on_msg(void *ctx, struct chan *c, const struct chan_msg *m, struct err *e)
{
    struct front *f = ctx;
    (void)c;

    if (m->type == MSG_FRONT_CONF) return opt_unpack(m->body, &f->s, OPT_FRONT, &f->arena, e);
    if (m->type == MSG_MODEL) return on_model(f, m->body, e);
    if (m->type == MSG_STATE) return on_state(f, m->body, e);
    if (m->type == MSG_LINK) return on_link(f, m, e);
    if (m->type == MSG_LISTEN) {
        if (f->n_listen == LISTENS_MAX) return err_set(e, ERR_PROTOCOL, "too many listeners");
        f->listen_fd[f->n_listen++] = m->fd;
        return 0;
    }
    if (m->type == MSG_GO) {
        f->go = true;
        return 0;
    }
    gateway_drain(f->gw); // STOP
    http_serv_drain(f->serv, on_drained, f);
    return 0;
}

static void on_supervisor_gone(void *ctx, const struct err *why)
{
    struct front *f = ctx;

    log_error("supervisor_gone", "why=\"%s\"", why->msg);
    f->status = PROG_FAILED;
    watch_free(f->watch);
    f->watch = NULL;
    event_base_loopbreak(f->base);
}

static const struct str *as_strs(const struct opt_list *l, struct arena *a)
{
    struct str *s = arena_array(a, (size_t)l->n + 1, sizeof *s);

    for (int i = 0; s && i < l->n; i++) s[i] = str_c(l->v[i]);
    return s;
}

/* Host names that requests may carry: the user's, and the name listened on. */
static int make_guard(struct front *f, struct err *e)
{
    struct settings *s    = &f->s;
    struct str      *host = arena_array(&f->arena, (size_t)s->allow_host.n + 1, sizeof *host);

    f->guard.origin = as_strs(&s->allow_origin, &f->arena);
    if (!host || !f->guard.origin) return err_nomem(e, "starting the front");
    for (int i = 0; i < s->allow_host.n; i++) host[i] = str_c(s->allow_host.v[i]);
    host[s->allow_host.n] = str_c(s->host);
    f->guard.host     = host;
    f->guard.n_host   = (size_t)s->allow_host.n + 1;
    f->guard.n_origin = (size_t)s->allow_origin.n;
    f->guard.any_ip   = !fd_host_is_loopback(s->host);
    return 0;
}

static int start_http(struct front *f, struct err *e)
{
    struct http_conf c  = http_conf_default;
    struct api_conf  ac = { .body_bytes = (size_t)f->s.body_bytes, .reasoning = (enum api_reasoning)f->s.reasoning_field };
    int              rc = make_guard(f, e);

    if (rc < 0) return rc;
    c.conns        = (int)f->s.conns;
    c.head_ms      = (unsigned)f->s.head_ms;
    c.body_ms      = (unsigned)f->s.body_ms;
    c.keepalive_ms = (unsigned)f->s.keepalive_ms;
    c.sse_ping_ms  = (unsigned)f->s.ping_ms;
    c.guard        = &f->guard;
    rc             = api_new(f->base, f->gw, &ac, &f->api, e);
    if (rc == 0) rc = http_serv_new(f->base, &c, &api_http_calls, f->api, &f->serv, e);
    for (int i = 0; rc == 0 && i < f->n_listen; i++) rc = http_serv_listen(f->serv, f->listen_fd[i], NULL, e);
    return rc;
}

/* Everything up to the first request; rights are gone when it returns. */
static int start(struct front *f, struct err *e)
{
    bool landlock;
    int  rc = chan_open(PROC_CHAN_FD, CHAN_FRONT, CHAN_SUPERVISOR, &f->chan, e);

    if (rc < 0) return rc;
    f->base = event_base_new();
    if (!f->base) return err_nomem(e, "starting the front");
    rc = gateway_new(f->base, on_ready, f, &f->gw, e);
    while (rc == 0 && !f->go) rc = chan_recv_wait(f->chan, START_MS, on_msg, f, e);
    if (rc < 0) return rc;
    log_init((enum log_level)f->s.log_level, "front");
    rc = start_http(f, e);
    if (rc == 0) rc = watch_new(f->base, f->chan, on_msg, on_supervisor_gone, f, &f->watch, e);
    if (rc == 0) rc = sandbox_enter(SANDBOX_FRONT, &landlock, e);
    if (rc == 0) rc = chan_send(f->chan, MSG_READY, 0, STR(""), -1, e);
    if (rc < 0) return rc;
    watch_flush(f->watch);
    log_info("front_ready", "listeners=%d landlock=%s", f->n_listen, landlock ? "yes" : "no");
    return 0;
}

int front_main(void)
{
    struct front f = { 0 };
    struct err   e;

    log_init(LOG_LVL_INFO, "front");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); // Ctrl-C reaches the whole group; the supervisor tells us what to do
    arena_init(&f.arena, MIB(4));
    if (start(&f, &e) < 0) {
        log_error("front_failed", "error=\"%s\"", e.msg);
        f.status = PROG_FAILED;
    } else {
        event_base_dispatch(f.base);
    }
    http_serv_free(f.serv);
    api_free(f.api);
    gateway_free(f.gw);
    watch_free(f.watch);
    chan_close(f.chan);
    if (f.base) event_base_free(f.base);
    arena_release(&f.arena);
    return f.status;
}
