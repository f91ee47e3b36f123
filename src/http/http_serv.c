/* http_serv.c - listeners, the turn of the loop, deadlines, drain; and what requests know. */
#include "http/http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/http_int.h"

#define ACCEPTS_A_TURN 64 // then the connections there are have their turn
#define PAUSE_US       100000
#define WARN_US        10000000

const struct http_conf http_conf_default = {
    .lim = { .line_bytes = LIM_REQ_LINE_BYTES, .field_bytes = LIM_FIELD_LINE_BYTES,
             .fields_bytes = LIM_FIELDS_BYTES, .fields = LIM_FIELDS,
             .ext_bytes = LIM_CHUNK_EXT_BYTES },
    .body_all_bytes = LIM_BODY_ALL_BYTES,
    .in_bytes       = LIM_IN_BYTES,
    .drain_bytes    = LIM_DRAIN_BYTES,
    .reply_bytes    = LIM_REPLY_BYTES,
    .out_bytes      = LIM_OUT_BYTES,
    .out_mark       = KIB(64),
    .conns          = LIM_CONNS,
    .conns_addr     = LIM_CONNS_ADDR,
    .head_ms        = LIM_HEAD_MS,
    .body_idle_ms   = LIM_BODY_IDLE_MS,
    .body_ms        = LIM_BODY_MS,
    .keepalive_ms   = LIM_KEEPALIVE_MS,
    .write_stall_ms = LIM_WRITE_STALL_MS,
    .linger_ms      = LIM_LINGER_MS,
    .sse_ping_ms    = LIM_SSE_PING_MS,
    .tick_ms        = 250,
};

/* --- the turn of the loop --- */

/* Runs once after the callbacks of a turn: whoever was written to sends now, in one go. */
static void on_dirty(evutil_socket_t fd, short what, void *arg)
{
    struct http_serv *s = arg;
    struct http_conn *c;

    (void)fd, (void)what;
    while ((c = TAILQ_FIRST(&s->dirty))) {
        TAILQ_REMOVE(&s->dirty, c, dirty);
        c->is_dirty = false;
        conn_run(c);
    }
    if (s->draining && s->drained && LIST_EMPTY(&s->conns)) {
        void (*drained)(void *) = s->drained;
        s->drained              = NULL;
        drained(s->drained_ctx); // may free the server
    }
}

static void tick_later(struct http_serv *s)
{
    struct timeval tv = { s->conf.tick_ms / 1000, (suseconds_t)(s->conf.tick_ms % 1000) * 1000 };

    if (s->ticking || event_add(&s->ev_tick, &tv) < 0) return;
    s->ticking = true;
}

static void listeners_set(struct http_serv *s, bool on)
{
    struct http_listener *l;

    LIST_FOREACH(l, &s->listeners, all) {
        if (on) event_add(&l->ev, NULL);
        else event_del(&l->ev);
    }
}

/* Stop accepting until a connection ends or, for want of descriptors or memory, a little later. */
static void pause_accept(struct http_serv *s, const char *why)
{
    uint64_t now = clock_mono_us();

    if (s->paused) return;
    if (!s->warned_us || now - s->warned_us > WARN_US) {
        log_warn("http_accept_paused", "reason=\"%s\" conns=%zu", why, s->stats.conns_open);
        s->warned_us = now;
    }
    s->paused    = true;
    s->paused_us = now;
    s->stats.accept_pauses++;
    listeners_set(s, false);
    tick_later(s);
}

static void resume_accept(struct http_serv *s)
{
    if (!s->paused || s->draining) return;
    s->paused = false;
    listeners_set(s, true);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct http_serv *s   = arg;
    uint64_t          now = clock_mono_us();
    struct http_conn *c, *next;

    (void)fd, (void)what;
    s->ticking = false;
    for (c = LIST_FIRST(&s->conns); c; c = next) {
        next = LIST_NEXT(c, all);
        conn_tick(c, now);
    }
    if (s->paused && now - s->paused_us > PAUSE_US && s->stats.conns_open < (size_t)s->conf.conns)
        resume_accept(s);
    if (s->paused || !LIST_EMPTY(&s->conns)) tick_later(s);
}

void serv_conn_gone(struct http_serv *s)
{
    resume_accept(s);
    if (s->draining && LIST_EMPTY(&s->conns)) event_active(&s->ev_dirty, EV_TIMEOUT, 0);
}

void serv_conn_idle(struct http_serv *s)
{
    resume_accept(s);
}

/* --- accepting --- */

/* The peer's address as 16 bytes, IPv4 mapped into IPv6 (RFC 4291 sec. 2.5.5.2). */
static void set_peer(struct http_conn *c, const struct sockaddr_storage *ss)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    c->family = (uint8_t)ss->ss_family;
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)ss;
        memcpy(c->addr, mapped, 12);
        memcpy(c->addr + 12, &a->sin_addr, 4);
        c->port = ntohs(a->sin_port);
    } else if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const void *)ss;
        memcpy(c->addr, &a->sin6_addr, 16);
        c->port = ntohs(a->sin6_port);
    }
    static const uint8_t one[16] = { [15] = 1 };
    c->local = (c->family != AF_INET && c->family != AF_INET6) || memcmp(c->addr, one, 16) == 0 ||
               (memcmp(c->addr, mapped, 12) == 0 && c->addr[12] == 127);
}

/* One address may hold conns_addr connections; of IPv6 a client usually owns a whole /64. */
static bool addr_full(const struct http_serv *s, const struct http_conn *me)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    size_t               n          = memcmp(me->addr, mapped, 12) == 0 ? 16 : 8;
    int                  same       = 0;
    const struct http_conn *c;

    if (me->local || s->conf.conns_addr == 0) return false;
    LIST_FOREACH(c, &s->conns, all)
        same += c != me && !c->local && memcmp(c->addr, me->addr, n) == 0;
    return same >= s->conf.conns_addr;
}

/* Close the connection that idles longest, to make room for somebody with a request. */
static bool evict_idle(struct http_serv *s)
{
    struct http_conn *c, *oldest = NULL;

    LIST_FOREACH(c, &s->conns, all) {
        bool idle = c->state == CONN_LINGER || (c->state == CONN_HEAD && !c->in.n && !c->handshake);
        if (idle && !c->is_dirty && (!oldest || c->since_us < oldest->since_us)) oldest = c;
    }
    if (!oldest) return false;
    conn_lost(oldest, "idle, and its place is needed");
    conn_run(oldest);
    return true;
}

static void refuse_conn(struct http_serv *s, int fd)
{
    static const char text[] =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        "Retry-After: 1\r\nConnection: close\r\n\r\n"
        "{\"error\":{\"message\":\"too many connections from this address\","
        "\"type\":\"overloaded_error\",\"param\":null,\"code\":null}}";

    s->stats.conns_refused++;
    ssize_t n = send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n; // a courtesy
}

static int add_conn(struct http_serv *s, int fd, struct http_tls *tls, struct err *e)
{
    struct sockaddr_storage ss  = { 0 };
    socklen_t               len = sizeof ss;
    struct http_conn        probe = { .fd = fd };
    int                     one = 1;

    if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0) ss.ss_family = AF_UNSPEC;
    set_peer(&probe, &ss);
    if (addr_full(s, &probe)) {
        refuse_conn(s, fd);
        close(fd);
        return err_set(e, ERR_OVERLOADED, "too many connections from one address");
    }
    if (probe.family == AF_INET || probe.family == AF_INET6)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int rc = conn_new(s, fd, tls, e);
    if (rc < 0) return rc;
    struct http_conn *c = LIST_FIRST(&s->conns);
    set_peer(c, &ss);
    tick_later(s);
    return 0;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct http_listener *l = arg;
    struct http_serv     *s = l->serv;
    struct err            e = { 0 };

    (void)what;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        if (s->stats.conns_open >= (size_t)s->conf.conns && !evict_idle(s)) {
            pause_accept(s, "connection limit");
            return;
        }
        int cfd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (cfd >= 0) {
            if (add_conn(s, cfd, l->tls, &e) < 0 && e.code == ERR_NO_MEMORY) {
                pause_accept(s, "out of memory");
                return;
            }
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return;
        if (errno == EMFILE && evict_idle(s)) continue;
        pause_accept(s, err_errno(errno)); // EMFILE and relatives: ask again later, do not spin
        return;
    }
}

int http_serv_listen(struct http_serv *s, int fd, struct http_tls *tls, struct err *e)
{
    struct http_listener *l = mem_zalloc(sizeof *l);

    if (!l) {
        close(fd);
        return err_nomem(e, "adding a listener");
    }
    *l = (struct http_listener){ .serv = s, .tls = tls, .fd = fd };
    event_assign(&l->ev, s->base, fd, EV_READ | EV_PERSIST, on_accept, l);
    if (evutil_make_socket_nonblocking(fd) < 0 || (!s->paused && event_add(&l->ev, NULL) < 0)) {
        close(fd);
        mem_free(l);
        return err_set(e, ERR_IO, "cannot listen on descriptor %d", fd);
    }
    LIST_INSERT_HEAD(&s->listeners, l, all);
    return 0;
}

int http_serv_adopt(struct http_serv *s, int fd, struct http_tls *tls, struct err *e)
{
    if ((s->stats.conns_open >= (size_t)s->conf.conns && !evict_idle(s)) ||
        evutil_make_socket_nonblocking(fd) < 0) {
        close(fd);
        return err_set(e, ERR_OVERLOADED, "no room for a connection, the limit is %d", s->conf.conns);
    }
    return add_conn(s, fd, tls, e);
}

/* --- start and stop --- */

int http_serv_new(struct event_base *base, const struct http_conf *conf,
                  const struct http_calls *calls, void *ctx, struct http_serv **ret, struct err *e)
{
    struct http_serv *s = mem_zalloc(sizeof *s);

    if (!s) return err_nomem(e, "starting the HTTP server");
    s->base  = base;
    assert(conf->reply_bytes >= 2 * LIM_FIELDS_BYTES && conf->conns > 0 && conf->tick_ms > 0);
    s->conf  = *conf;
    s->calls = *calls;
    s->ctx   = ctx;
    LIST_INIT(&s->conns);
    LIST_INIT(&s->listeners);
    TAILQ_INIT(&s->dirty);
    rng_seed(&s->rng, rng_system_u64());
    event_assign(&s->ev_dirty, base, -1, 0, on_dirty, s);
    evtimer_assign(&s->ev_tick, base, on_tick, s);
    *ret = s;
    return 0;
}

static void close_listeners(struct http_serv *s)
{
    struct http_listener *l;

    while ((l = LIST_FIRST(&s->listeners))) {
        LIST_REMOVE(l, all);
        event_del(&l->ev);
        close(l->fd);
        mem_free(l);
    }
}

void http_serv_drain(struct http_serv *s, void (*drained)(void *ctx), void *ctx)
{
    struct http_conn *c;

    s->draining    = true;
    s->drained     = drained;
    s->drained_ctx = ctx;
    close_listeners(s);
    LIST_FOREACH(c, &s->conns, all) conn_touch(c); // idle ones close themselves
    event_active(&s->ev_dirty, EV_TIMEOUT, 0);
}

void http_serv_free(struct http_serv *s)
{
    struct http_conn *c;

    if (!s) return;
    s->draining = true;
    s->drained  = NULL;
    close_listeners(s);
    while ((c = LIST_FIRST(&s->conns))) {
        conn_lost(c, "server stops");
        conn_free(c);
    }
    event_del(&s->ev_dirty);
    event_del(&s->ev_tick);
    mem_free(s);
}

void http_serv_set_conf(struct http_serv *s, const struct http_conf *conf)
{
    s->conf = *conf;
    resume_accept(s);
}

const struct http_stats *http_serv_stats(const struct http_serv *s)
{
    return &s->stats;
}

/* As RFC 9110 sec. 5.6.7 wants it, whatever the locale. */
const char *serv_date(struct http_serv *s)
{
    static const char day[7][4]  = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char mon[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t    now = (time_t)clock_wall_s();
    struct tm t;

    if (now != s->date_s || !s->date[0]) {
        gmtime_r(&now, &t);
        snprintf(s->date, sizeof s->date, "%s, %02d %s %d %02d:%02d:%02d GMT", day[t.tm_wday % 7],
                 t.tm_mday, mon[t.tm_mon % 12], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
        s->date_s = now;
    }
    return s->date;
}
