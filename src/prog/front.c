/* front.c - the process that talks to clients: wire HTTP server, API and gateway to one loop.
 *
 * It holds listening sockets and channels, no weights, and cannot open a file once it listens; it connects to other
 * servers only where the settings name some. */
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "base/limits.h"
#include "base/log.h"
#include "conf/place.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/sandbox.h"
#include "os/watch.h"
#include "prog/admin_key.h"
#include "prog/prog.h"
#include "prog/upstreams.h"

#define START_MS    30000
#define LISTENS_MAX 16

struct front {
    struct arena       arena; // of what settings there are now
    struct settings    s;
    bool               started;
    char               admin_key[ADMIN_KEY_MAX + 1]; // or empty
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
    bool               client; // it talks to other servers
    int                status;
};

static int on_model(struct front *f, struct str body, struct err *e)
{
    struct unpack       u = unpack_init(body);
    struct str          alias[LIM_ALIASES];
    struct gateway_spec m = { .index = unpack_u32(&u), .alias = alias };

    m.place           = unpack_u32(&u);
    m.id              = unpack_str(&u);
    m.created         = (int64_t)unpack_u64(&u);
    m.file_bytes      = unpack_u64(&u);
    m.reasoning_field = unpack_u8(&u);
    m.replaces        = unpack_u32(&u);
    uint32_t n        = unpack_count(&u, LIM_ALIASES, 4);
    for (uint32_t i = 0; i < n; i++) alias[i] = unpack_str(&u);
    m.n_alias = (int)n;
    if (!unpack_done(&u)) return err_set(e, ERR_PROTOCOL, "malformed model");
    return gateway_add(f->gw, &m, e);
}

static int on_client(struct front *f, struct str body, struct err *e)
{
    struct unpack u  = unpack_init(body);
    struct str    ca = unpack_str(&u);

    if (!unpack_done(&u) || f->started) return err_set(e, ERR_PROTOCOL, "malformed client");
    f->client = true;
    return gateway_client(f->gw, ca, e);
}

static int on_upstreams(struct front *f, struct str body, struct err *e)
{
    struct remote_spec v[LIM_UPSTREAMS];
    struct unpack      u      = unpack_init(body);
    uint32_t           index  = unpack_u32(&u);
    struct str         packed = unpack_str(&u);
    int                n      = unpack_done(&u) ? upstreams_unpack(packed, v) : 0;

    return n ? gateway_remote(f->gw, index, v, n, e) : err_set(e, ERR_PROTOCOL, "malformed upstreams");
}

static int on_address(struct front *f, struct str body, struct err *e)
{
    struct unpack u    = unpack_init(body);
    struct str    host = unpack_str(&u);
    struct str    addr = unpack_str(&u);

    if (!unpack_done(&u)) return err_set(e, ERR_PROTOCOL, "malformed address");
    gateway_address(f->gw, host, addr);
    return 0;
}

static int on_drop(struct front *f, struct str body, struct err *e)
{
    struct unpack u     = unpack_init(body);
    uint32_t      index = unpack_u32(&u);

    if (!unpack_done(&u)) return err_set(e, ERR_PROTOCOL, "malformed drop");
    return gateway_drop(f->gw, index, e);
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

static void tell_index(struct front *f, enum msg_type type, uint32_t index)
{
    struct buf b;
    struct err e;

    buf_init(&b, 4);
    pack_u32(&b, index);
    if (b.failed || chan_send(f->chan, type, 0, buf_text(&b), -1, &e) < 0)
        log_warn("not_sent", "message=%s model=%u", msg_name(type), index);
    buf_release(&b);
    if (f->watch) watch_flush(f->watch);
}

static void on_ready(void *ctx, uint32_t index)
{
    tell_index(ctx, MSG_LINKED, index);
}

static void on_dropped(void *ctx, uint32_t index)
{
    tell_index(ctx, MSG_DROPPED, index);
}

static void on_lookup(void *ctx)
{
    struct front *f = ctx;
    struct err    e;

    if (chan_send(f->chan, MSG_LOOKUP, 0, STR(""), -1, &e) < 0) log_warn("not_sent", "message=LOOKUP");
    if (f->watch) watch_flush(f->watch);
}

static int on_conf(struct front *f, struct str body, struct err *e);
static int on_admin_key(struct front *f, struct str body, struct err *e);
static int on_told(struct front *f, const struct chan_msg *m, struct err *e);

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

    if (m->type == MSG_FRONT_CONF) return on_conf(f, m->body, e);
    if (m->type == MSG_ADMIN_KEY) return on_admin_key(f, m->body, e);
    if (m->type == MSG_TOLD) return on_told(f, m, e);
    if (m->type == MSG_MODEL) return on_model(f, m->body, e);
    if (m->type == MSG_CLIENT) return on_client(f, m->body, e);
    if (m->type == MSG_UPSTREAMS) return on_upstreams(f, m->body, e);
    if (m->type == MSG_ADDRESS) return on_address(f, m->body, e);
    if (m->type == MSG_DROP) return on_drop(f, m->body, e);
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

/* Host names that requests may carry: the user's, and the names listened on. */
static int make_guard(const struct settings *s, struct arena *a, struct http_guard *ret, struct err *e)
{
    struct str       *host = arena_array(a, (size_t)(s->allow_host.n + s->listen.n), sizeof *host);
    struct http_guard g    = { .origin = as_strs(&s->allow_origin, a), .n_origin = (size_t)s->allow_origin.n };

    if (!host || !g.origin) return err_nomem(e, "starting the front");
    for (int i = 0; i < s->allow_host.n; i++) host[g.n_host++] = str_c(s->allow_host.v[i]);
    for (int i = 0; i < s->listen.n; i++) {
        struct place p;
        int          rc = place_parse(str_c(s->listen.v[i]), (int)s->port, a, &p, e);
        if (rc < 0) return rc;
        host[g.n_host++] = str_c(p.host);
        g.any_ip |= !fd_host_is_loopback(p.host);
    }
    g.host = host;
    *ret   = g;
    return 0;
}

static struct http_conf http_conf_of(const struct front *f)
{
    struct http_conf c = http_conf_default;

    c.conns        = (int)f->s.conns;
    c.head_ms      = (unsigned)f->s.head_ms;
    c.body_ms      = (unsigned)f->s.body_ms;
    c.keepalive_ms = (unsigned)f->s.keepalive_ms;
    c.sse_ping_ms  = (unsigned)f->s.ping_ms;
    c.guard        = &f->guard;
    c.time_field   = "openai-processing-ms";
    return c;
}

static int ask(void *ctx, uint32_t id, enum admin_ask what, struct err *e)
{
    struct front *f    = ctx;
    const char    byte = (char)what;
    int           rc   = chan_send(f->chan, MSG_ASK, id, (struct str){ &byte, 1 }, -1, e);

    if (rc == 0) watch_flush(f->watch);
    return rc;
}

static struct api_conf api_conf_of(struct front *f)
{
    return (struct api_conf){ .body_bytes = (size_t)f->s.body_bytes, .strict = f->s.strict,
                              .busy_reject = f->s.busy == BUSY_REJECT, .compat = f->s.compat,
                              .admin_key = str_c(f->admin_key), .ask = ask, .ask_ctx = f };
}

/* It comes after the settings. */
static int on_admin_key(struct front *f, struct str body, struct err *e)
{
    struct unpack u   = unpack_init(body);
    struct str    key = unpack_str(&u);

    if (!unpack_done(&u) || key.n >= sizeof f->admin_key) return err_set(e, ERR_PROTOCOL, "malformed admin key");
    str_copy_z(f->admin_key, sizeof f->admin_key, key);
    struct api_conf ac = api_conf_of(f);
    if (f->started) api_set_conf(f->api, &ac);
    return 0;
}

static int on_told(struct front *f, const struct chan_msg *m, struct err *e)
{
    struct unpack u    = unpack_init(m->body);
    bool          done = unpack_bool(&u);
    struct str    text = unpack_str(&u);

    if (!unpack_done(&u)) return err_set(e, ERR_PROTOCOL, "malformed answer");
    if (f->api) admin_told(f->api, m->id, done, text);
    return 0;
}

/* Settings, the first ones or new ones: those that hold for what happens from now on. */
static int on_conf(struct front *f, struct str body, struct err *e)
{
    struct settings   s;
    struct http_guard guard;
    struct arena      fresh;

    arena_init(&fresh, MIB(4));
    int rc = opt_unpack(body, &s, OPT_FRONT, &fresh, e);
    if (rc == 0) rc = make_guard(&s, &fresh, &guard, e);
    if (rc < 0) {
        arena_release(&fresh);
        return rc;
    }
    struct arena old = f->arena;
    f->s     = s;
    f->guard = guard;
    f->arena = fresh;
    gateway_remote_conf(f->gw, &(struct remote_conf){ .connect_ms = (unsigned)s.upstream_connect_ms,
                                                      .idle_ms = (unsigned)s.upstream_idle_ms,
                                                      .health_ms = (unsigned)s.upstream_health_ms });
    if (f->started) {
        struct http_conf c  = http_conf_of(f);
        struct api_conf  ac = api_conf_of(f);
        http_serv_set_conf(f->serv, &c);
        api_set_conf(f->api, &ac);
        log_init((enum log_level)s.log_level, "front");
    }
    arena_release(&old);
    return 0;
}

static int start_http(struct front *f, struct err *e)
{
    struct http_conf c  = http_conf_of(f);
    struct api_conf  ac = api_conf_of(f);
    int              rc = api_new(f->base, f->gw, &ac, &f->api, e);
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
    static const struct gateway_calls calls = { .ready = on_ready, .dropped = on_dropped, .lookup = on_lookup };
    rc = gateway_new(f->base, &calls, f, &f->gw, e);
    while (rc == 0 && !f->go) rc = chan_recv_wait(f->chan, START_MS, on_msg, f, e);
    if (rc < 0) return rc;
    log_init((enum log_level)f->s.log_level, "front");
    rc = start_http(f, e);
    if (rc == 0) rc = watch_new(f->base, f->chan, on_msg, on_supervisor_gone, f, &f->watch, e);
    if (rc == 0) rc = sandbox_enter(f->client ? SANDBOX_FRONT_CLIENT : SANDBOX_FRONT, &landlock, e);
    if (rc == 0) rc = chan_send(f->chan, MSG_READY, 0, STR(""), -1, e);
    if (rc < 0) return rc;
    watch_flush(f->watch);
    f->started = true;
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
