/* remote.c - see remote.h. */
#include "gateway/remote.h"

#include <event2/event.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#define PROBE_MS         5000 // a server that takes longer to say how it is, is not well
#define PROBE_BODY_BYTES MIB(1)
#define ADDR_BYTES       512

struct up {
    struct remote    *r;
    struct balance    b;
    struct str        name, base, unix_path, model, key, host, auth; // in r->arena
    char              addr[ADDR_BYTES]; // of host, or ""
    struct http_call *probe;            // under way, or NULL
    bool              models;           // it has no /health
    int               status;           // of the probe
};

struct remote {
    struct arena              arena;
    struct event             *timer;
    struct http_client       *client;
    const struct remote_conf *conf;
    struct remote_calls       calls;
    void                     *ctx;
    struct balance           *balance[LIM_UPSTREAMS];
    int                       n, n_asked;
    struct up                 up[];
};

/* --- state --- */

static void tell(struct remote *r)
{
    uint64_t now = clock_mono_us();
    bool     any = false, all_asked = true;

    for (int i = 0; i < r->n; i++) {
        const struct balance *b = &r->up[i].b;
        any |= b->asked && !b->sick && now >= b->until_us;
        all_asked &= b->asked;
    }
    if (any || all_asked) r->calls.state(r->ctx, any, any ? STR("") : STR("no server answers for this model"));
}

/* --- probes --- */

static void probe(struct up *u);

static void probed(struct up *u, bool well, const char *why)
{
    if (u->b.asked && u->b.sick == !well && !(well && u->b.until_us)) return;
    if (well) log_info("upstream_well", "upstream=" STR_FMT, STR_ARG(u->name));
    else log_warn("upstream_sick", "upstream=" STR_FMT " why=\"%s\"", STR_ARG(u->name), why);
    balance_probe(&u->b, well);
    tell(u->r);
}

static void on_probe_head(void *ctx, const struct http_answer *a)
{
    struct up *u = ctx;

    u->status = a->status;
}

static void on_probe_data(void *ctx, struct str bytes)
{
    (void)ctx;
    (void)bytes;
}

static void on_probe_done(void *ctx, const struct err *e)
{
    struct up *u = ctx;
    char       why[64];

    u->probe = NULL;
    if (e) {
        probed(u, false, e->msg);
        return;
    }
    if (!u->models && (u->status == 404 || u->status == 405 || u->status == 501)) {
        u->models = true;
        probe(u);
        return;
    }
    snprintf(why, sizeof why, "status %d of %s", u->status, u->models ? "/v1/models" : "/health");
    probed(u, u->status >= 200 && u->status < 300, why);
}

static struct str or_null(struct str s)
{
    return s.n ? s : STR_NULL;
}

static const struct http_call_fns probe_fns = { on_probe_head, on_probe_data, on_probe_done };

/* What both kinds of questions have in common; false: nobody knows where it is. */
static bool aim(const struct up *u, struct http_ask *ask, struct http_field field[3])
{
    if (u->host.n && !u->addr[0] && !u->unix_path.n) return false;
    if (u->auth.n) field[ask->n_field++] = (struct http_field){ STR("Authorization"), u->auth };
    ask->field      = field;
    ask->unix_path  = or_null(u->unix_path);
    ask->addr       = u->host.n && !u->unix_path.n ? str_c(u->addr) : STR_NULL;
    ask->connect_ms = u->r->conf->connect_ms;
    return true;
}

static void probe(struct up *u)
{
    struct http_field field[3];
    char              url[2048];
    struct http_ask   ask = { .idle_ms = PROBE_MS, .total_ms = PROBE_MS, .body_max = PROBE_BODY_BYTES };
    struct err        e;

    if (u->probe || !aim(u, &ask, field)) return;
    snprintf(url, sizeof url, STR_FMT "%s", STR_ARG(u->base), u->models ? "/v1/models" : "/health");
    ask.url   = str_c(url);
    u->status = 0;
    if (http_call_start(u->r->client, &ask, &probe_fns, u, &u->probe, &e) < 0) {
        u->probe = NULL;
        probed(u, false, e.msg);
    }
}

static void plan(struct remote *r)
{
    struct timeval tv = { r->conf->health_ms / 1000, (long)(r->conf->health_ms % 1000) * 1000 };

    evtimer_add(r->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct remote *r = ctx;
    (void)fd;
    (void)what;

    for (int i = 0; i < r->n; i++) probe(&r->up[i]);
    tell(r); // a pause may have ended
    plan(r);
}

/* --- the list --- */

static bool copy(struct up *u, const struct remote_spec *s, struct arena *a)
{
    static const uint64_t key[2] = { 0x6375726c6577, 0x7570 }; // the same in every process: prompts keep their server

    u->name      = arena_str(a, s->name);
    u->base      = arena_str(a, s->base);
    u->unix_path = arena_str(a, s->unix_path);
    u->model     = arena_str(a, s->model);
    u->key       = arena_str(a, s->key);
    u->host      = arena_str(a, s->host);
    u->auth      = s->key.n ? arena_printf(a, "Bearer " STR_FMT, STR_ARG(s->key)) : STR("");
    u->b.weight  = s->weight < 1 ? 1 : s->weight;
    u->b.hash    = map_hash(key, s->unix_path.n ? s->unix_path : s->base);
    return u->name.p && u->base.p && u->unix_path.p && u->model.p && u->key.p && u->host.p && u->auth.p;
}

int remote_new(struct event_base *base, struct http_client *c, const struct remote_conf *conf,
               const struct remote_spec *v, int n, const struct remote_calls *calls, void *ctx, struct remote **ret,
               struct err *e)
{
    struct timeval now = { 0, 0 };
    struct remote *r   = mem_zalloc(sizeof *r + (size_t)n * sizeof r->up[0]);

    if (!r) return err_nomem(e, "adding upstreams");
    arena_init(&r->arena, MIB(1));
    r->client = c;
    r->conf   = conf;
    r->calls  = *calls;
    r->ctx    = ctx;
    r->n      = n;
    r->timer  = evtimer_new(base, on_timer, r);
    bool ok   = r->timer != NULL;
    for (int i = 0; ok && i < n; i++) {
        r->balance[i] = &r->up[i].b;
        r->up[i].r    = r;
        ok            = copy(&r->up[i], &v[i], &r->arena);
    }
    if (!ok) {
        remote_free(r);
        return err_nomem(e, "adding upstreams");
    }
    evtimer_add(r->timer, &now);
    *ret = r;
    return 0;
}

void remote_free(struct remote *r)
{
    if (!r) return;
    for (int i = 0; i < r->n; i++)
        if (r->up[i].probe) http_call_cancel(r->up[i].probe);
    if (r->timer) event_free(r->timer);
    arena_release(&r->arena);
    mem_free(r);
}

void remote_address(struct remote *r, struct str host, struct str addr)
{
    for (int i = 0; i < r->n; i++) {
        struct up *u = &r->up[i];
        if (!u->host.n || !str_eq(u->host, host)) continue;
        if (addr.n >= sizeof u->addr) continue; // the supervisor cuts between addresses
        if (addr.n == 0 && !u->addr[0]) probed(u, false, "its host has no address");
        if (addr.n == 0) continue; // the last ones known are better than none
        bool first = !u->addr[0];
        str_copy_z(u->addr, sizeof u->addr, addr);
        if (first) probe(u);
    }
}

/* --- calls --- */

int remote_count(const struct remote *r)
{
    return r->n;
}

int remote_pick(const struct remote *r, uint64_t tried, uint64_t prefix)
{
    return balance_pick(r->balance, r->n, tried, prefix, clock_mono_us());
}

struct str remote_model(const struct remote *r, int i)
{
    return r->up[i].model;
}

struct str remote_name(const struct remote *r, int i)
{
    return r->up[i].name;
}

int remote_begin(struct remote *r, int i, struct str path, struct str body, bool stream,
                 const struct http_call_fns *fns, void *ctx, struct http_call **ret, struct err *e)
{
    struct up        *u = &r->up[i];
    struct http_field field[3];
    char              url[2048];
    struct http_ask   ask = { .post = true, .body = body, .idle_ms = r->conf->idle_ms, .n_field = 2,
                              .body_max = stream ? 0 : LIM_UPSTREAM_REPLY_BYTES };

    balance_begin(&u->b, clock_mono_us());
    field[0] = (struct http_field){ STR("Content-Type"), STR("application/json") };
    field[1] = (struct http_field){ STR("Accept"), stream ? STR("text/event-stream") : STR("application/json") };
    if (!aim(u, &ask, field))
        return err_set(e, ERR_UPSTREAM, "its host has no address yet");
    snprintf(url, sizeof url, STR_FMT "/v1" STR_FMT, STR_ARG(u->base), STR_ARG(path));
    ask.url = str_c(url);
    return http_call_start(r->client, &ask, fns, ctx, ret, e);
}

void remote_end(struct remote *r, int i, enum remote_verdict v)
{
    struct balance *b   = &r->up[i].b;
    uint64_t        now = clock_mono_us(), until = b->until_us;
    bool            was = b->pause_ms || b->sick || !b->asked;

    switch (v) {
    case REMOTE_GOOD: balance_good(b); break;
    case REMOTE_BAD: balance_fail(b, BALANCE_BAD, now); break;
    case REMOTE_UNREACHABLE: balance_fail(b, BALANCE_UNREACHABLE, now); break;
    case REMOTE_UNKNOWN: break;
    }
    balance_end(b);
    if (b->until_us > until) {
        log_warn("upstream_left_alone", "upstream=" STR_FMT " ms=%u", STR_ARG(r->up[i].name), b->pause_ms);
        tell(r);
    } else if (v == REMOTE_GOOD && was) {
        tell(r);
    }
}
