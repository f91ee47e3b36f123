/* supervisor.c - start the front and a worker for each model, and keep them alive.
 *
 * It opens what needs rights (model files, listening sockets) and hands descriptors to its children;
 * it parses nothing that comes from a client, a model or an engine. A child that ends is started
 * again, later each time it fails in a row. A new front gets new channels to the workers that run; a
 * new worker gets one to the front: neither takes the other down.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "api/admin.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/cpu.h"
#include "os/fd.h"
#include "os/proc.h"
#include "prog/prog.h"
#include "prog/repack.h"
#include "prog/npu.h"
#include "prog/supervisor_int.h"
#include "prog/upstreams.h"

#define FRONT_STOP_MS  10000 // running replies may take this long after SIGTERM
#define WORKER_STOP_MS 2000
#define NPU_PAUSE_MS   1000  // an NPU gets back the memory of a dead worker not at once
#define START_SEND_MS  5000  // a child takes its first frames within this

/* --- sending --- */

static int send_now(struct child *c, enum msg_type t, struct str body, int fd, struct err *e)
{
    int rc = chan_send(c->chan, t, 0, body, fd, e);

    return rc < 0 ? rc : chan_flush(c->chan, e);
}

int supervisor_send(struct child *c, enum msg_type t, uint32_t id, struct str body, struct err *e)
{
    int rc = c->chan ? chan_send(c->chan, t, id, body, -1, e) : 0;

    return rc < 0 || !c->chan ? rc : chan_flush(c->chan, e);
}

static void tell_state(struct supervisor *sv, int i, enum model_state st, const char *why)
{
    struct err e;
    struct buf b;

    if (!sv->front.chan || sv->served[i].leaving || sv->served[i].replaces) return;
    buf_init(&b, KIB(2));
    pack_u32(&b, (uint32_t)i);
    pack_u8(&b, (uint8_t)st);
    pack_str(&b, str_sub(str_c(why), 0, 1024));
    if (b.failed || send_now(&sv->front, MSG_STATE, buf_text(&b), -1, &e) < 0)
        log_warn("state_not_sent", "model=" STR_FMT, STR_ARG(sv->model[i].id));
    buf_release(&b);
}

/* A fresh channel between front and worker i. Both ends may be gone by the time they get it: then it
 * closes, and they are told again after their restart. */
static void link_up(struct supervisor *sv, int i)
{
    struct err e;
    struct buf b;
    int        pair[2];
    int        rc;

    if (!sv->front.chan || !sv->worker[i].chan || !sv->worker[i].up || sv->served[i].leaving) return;
    if (chan_pair(pair, &e) < 0) {
        log_error("link", "error=\"%s\"", e.msg);
        return;
    }
    buf_init(&b, 16);
    pack_u32(&b, (uint32_t)i);
    rc = b.failed ? -ERR_NO_MEMORY : send_now(&sv->worker[i], MSG_FRONT_LINK, STR(""), pair[0], &e);
    if (rc == 0) rc = send_now(&sv->front, MSG_LINK, buf_text(&b), pair[1], &e);
    if (rc < 0) log_error("link", "model=" STR_FMT " error=\"%s\"", STR_ARG(sv->model[i].id), e.msg);
    buf_release(&b);
    fd_close(&pair[0]);
    fd_close(&pair[1]);
}

/* --- starting --- */

static int start_child(struct child *c, const char *role, const char *label, enum chan_role peer,
                       struct err *e)
{
    int pair[2];
    int rc = chan_pair(pair, e);

    if (rc < 0) return rc;
    rc = chan_open(pair[0], CHAN_SUPERVISOR, peer, &c->chan, e);
    if (rc < 0) {
        fd_close(&pair[0]);
        fd_close(&pair[1]);
        return rc;
    }
    rc = proc_spawn(role, label, pair[1], &c->pid, e);
    fd_close(&pair[1]);
    if (rc < 0) {
        chan_close(c->chan);
        c->chan = NULL;
        return rc;
    }
    c->up         = false;
    c->linked     = false;
    c->started_us = clock_mono_us();
    c->again_us   = 0;
    return 0;
}

/* The place for packed weights, if the settings want one. */
static int send_cache(struct supervisor *sv, int i, struct err *e)
{
    struct repack *r = &sv->repack[i];
    struct buf     b;

    repack_close(r);
    repack_open(r, sv->s.repack_cache, &sv->model[i]);
    if (r->cache.fd < 0) return 0;
    buf_init(&b, 16);
    pack_u64(&b, r->cache.size);
    pack_u32(&b, (uint32_t)r->cache.state);
    int rc = b.failed ? err_nomem(e, "starting a worker")
                      : chan_send(sv->worker[i].chan, MSG_CACHE, 0, buf_text(&b), r->cache.fd, e);
    buf_release(&b);
    return rc;
}

static int send_file(struct chan *c, const char *name, uint64_t size, int fd, struct err *e)
{
    struct buf b;

    buf_init(&b, KIB(4));
    pack_str(&b, str_c(name));
    pack_u64(&b, size);
    int rc = b.failed ? err_nomem(e, "starting a worker") : chan_send(c, MSG_FILE, 0, buf_text(&b), fd, e);
    buf_release(&b);
    return rc;
}

/* The settings of one worker: what is said last counts. */
static void pack_settings(const struct supervisor *sv, int i, struct buf *b)
{
    char num[32];

    buf_str(b, sv->served[i].conf);
    snprintf(num, sizeof num, "%lld", (long long)sv->served[i].npu_domain);
    if (sv->model[i].npu) opt_pack_text(b, "npu-domain", str_c(num));
    snprintf(num, sizeof num, "%d", sv->worker[i].ctx);
    if (sv->worker[i].ctx) opt_pack_text(b, "ctx", str_c(num));
}

int supervisor_start_worker(struct supervisor *sv, int i, struct err *e)
{
    struct child            *c = &sv->worker[i];
    const struct model_spec *m = &sv->model[i];
    struct buf               b, conf;

    c->linked = m->n_upstream > 0;
    if (m->n_upstream) return 0; // others work for it
    int rc = start_child(c, "worker", m->id.p, CHAN_WORKER, e);
    if (rc < 0) return rc;
    buf_init(&b, KIB(64));
    buf_init(&conf, KIB(60));
    rc = send_file(c->chan, m->base, m->size, m->fd, e);
    for (int k = 0; rc == 0 && k < m->n_beside; k++)
        rc = send_file(c->chan, m->beside[k].name, m->beside[k].size, m->beside[k].fd, e);
    int lock = m->npu && rc == 0 ? npu_lock_open(&sv->s) : -1; // its own: a lock is the open file's
    if (lock >= 0) rc = send_file(c->chan, RKLLM_LOCK_NAME, 0, lock, e);
    fd_close(&lock);
    if (rc == 0 && m->template_fd >= 0) rc = chan_send(c->chan, MSG_TEMPLATE, 0, STR(""), m->template_fd, e);
    if (rc == 0 && !m->npu) rc = send_cache(sv, i, e);
    pack_settings(sv, i, &conf);
    pack_str(&b, m->id);
    pack_str(&b, buf_text(&conf));
    if (rc == 0)
        rc = b.failed || conf.failed ? err_nomem(e, "starting a worker") : chan_send(c->chan, MSG_LOAD, 0, buf_text(&b), -1, e);
    if (rc == 0) rc = chan_flush_wait(c->chan, START_SEND_MS, e);
    buf_release(&b);
    buf_release(&conf);
    log_info("worker_start", "model=" STR_FMT " pid=%d", STR_ARG(m->id), (int)c->pid);
    return rc;
}

/* What is said again after a reload: settings and the admin's key. */
int supervisor_tell_conf(struct supervisor *sv, struct err *e)
{
    struct buf b;

    buf_init(&b, KIB(64));
    opt_pack(&b, &sv->child_settings, OPT_FRONT);
    int rc = b.failed ? err_nomem(e, "telling the front")
                      : chan_send(sv->front.chan, MSG_FRONT_CONF, 0, buf_text(&b), -1, e);
    buf_clear(&b);
    pack_str(&b, str_c(sv->admin_key));
    if (rc == 0)
        rc = b.failed ? err_nomem(e, "telling the front")
                      : chan_send(sv->front.chan, MSG_ADMIN_KEY, 0, buf_text(&b), -1, e);
    buf_release(&b);
    return rc;
}

/* Where a model's upstreams are; names among them are looked up, and their addresses follow. */
static int tell_upstreams(struct supervisor *sv, int i, struct err *e)
{
    struct remote_spec v[LIM_UPSTREAMS];
    struct buf         b;
    int                n = upstreams_unpack(sv->served[i].conf, v);

    buf_init(&b, KIB(256));
    pack_u32(&b, (uint32_t)i);
    pack_str(&b, sv->served[i].conf);
    int rc = b.failed ? err_nomem(e, "telling the front")
                      : chan_send(sv->front.chan, MSG_UPSTREAMS, 0, buf_text(&b), -1, e);
    buf_release(&b);
    for (int k = 0; rc == 0 && k < n; k++)
        if (v[k].host.n) rc = lookup_add(sv->lookup, v[k].host, e);
    return rc;
}

static void tell_addresses(struct supervisor *sv)
{
    char       host[LOOKUP_HOST_BYTES], addr[LOOKUP_ADDR_BYTES];
    struct buf b;
    struct err e;

    buf_init(&b, KIB(1));
    while (lookup_take(sv->lookup, host, addr)) {
        buf_clear(&b);
        pack_str(&b, str_c(host));
        pack_str(&b, str_c(addr));
        if (b.failed || supervisor_send(&sv->front, MSG_ADDRESS, 0, buf_text(&b), &e) < 0)
            log_warn("address_not_sent", "host=%s", host);
    }
    buf_release(&b);
}

int supervisor_tell_model(struct supervisor *sv, int i, struct err *e)
{
    const struct model_spec *m = &sv->model[i];
    struct served           *v = &sv->served[i];
    struct buf               b;

    v->told = true;
    buf_init(&b, KIB(32));
    pack_u32(&b, (uint32_t)i);
    pack_u32(&b, v->place);
    pack_str(&b, m->id);
    pack_u64(&b, (uint64_t)v->created);
    pack_u64(&b, m->size);
    pack_u8(&b, (uint8_t)v->reasoning_field);
    pack_u32(&b, (uint32_t)v->replaces);
    pack_u32(&b, (uint32_t)m->alias.n);
    for (int k = 0; k < m->alias.n; k++) pack_str(&b, str_c(m->alias.v[k]));
    int rc = b.failed ? err_nomem(e, "telling the front")
                      : chan_send(sv->front.chan, MSG_MODEL, 0, buf_text(&b), -1, e);
    buf_release(&b);
    return rc < 0 || !m->n_upstream ? rc : tell_upstreams(sv, i, e);
}

static int send_front_start(struct supervisor *sv, struct err *e)
{
    struct chan *c  = sv->front.chan;
    int          rc = supervisor_tell_conf(sv, e);
    struct buf   b;

    buf_init(&b, KIB(1));
    for (int i = 0; rc == 0 && i < sv->n_listen; i++) {
        buf_clear(&b);
        pack_str(&b, str_c(sv->place[i].host));
        rc = b.failed ? err_nomem(e, "starting the front")
                      : chan_send(c, MSG_LISTEN, 0, buf_text(&b), sv->listen_fd[i], e);
    }
    buf_release(&b);
    if (rc == 0 && sv->client) {
        buf_init(&b, LIM_UPSTREAM_CA_BYTES + 16);
        pack_str(&b, sv->ca);
        rc = b.failed ? err_nomem(e, "starting the front") : chan_send(c, MSG_CLIENT, 0, buf_text(&b), -1, e);
        buf_release(&b);
    }
    for (int i = 0; rc == 0 && i < sv->n_model; i++) {
        sv->served[i].told = false; // this front knows none
        bool wait = sv->served[i].replaces && !sv->worker[i].up;
        if (sv->model[i].id.p && !sv->served[i].leaving && !wait) rc = supervisor_tell_model(sv, i, e);
    }
    if (rc == 0) rc = chan_send(c, MSG_GO, 0, STR(""), -1, e);
    if (rc == 0) rc = chan_flush_wait(c, START_SEND_MS, e);
    return rc;
}

static int start_front(struct supervisor *sv, struct err *e)
{
    int rc = start_child(&sv->front, "front", "front", CHAN_FRONT, e);

    if (rc == 0) rc = send_front_start(sv, e);
    if (rc < 0) return rc;
    log_info("front_start", "pid=%d", (int)sv->front.pid);
    for (int i = 0; i < sv->n_model; i++) {
        if (sv->served[i].leaving) supervisor_end_worker(sv, i); // its last requests ended with the old front
        if (sv->worker[i].load_failed) tell_state(sv, i, MODEL_FAILED, sv->worker[i].load_error);
        link_up(sv, i);
    }
    return 0;
}

/* --- ending and starting again --- */

/* 0, 0.1, 0.5, 2, 8, 30, 30 ... seconds after the 1st, 2nd ... end in a row. */
static uint64_t backoff_us(int fails)
{
    static const uint64_t ms[] = { 0, 100, 500, 2000, 8000, 30000 };
    size_t                i    = fails < 1 ? 0 : (size_t)fails - 1;

    return ms[i < ARRAY_LEN(ms) ? i : ARRAY_LEN(ms) - 1] * 1000;
}

static void ended(struct supervisor *sv, struct child *c)
{
    uint64_t now = clock_mono_us();

    chan_close(c->chan);
    c->chan = NULL;
    c->pid  = 0;
    c->up   = false;
    if (now - c->started_us > (uint64_t)LIM_RESTART_WINDOW_MS * 1000) c->fails = 0;
    c->fails++;
    c->restarts++;
    if (!sv->stopping) c->again_us = now + backoff_us(c->fails);
    if (c->again_us == 0) c->again_us = 1;
}

static void free_model(struct supervisor *sv, int i)
{
    model_close(&sv->model[i]);
    repack_close(&sv->repack[i]);
    arena_release(&sv->served[i].arena);
    sv->model[i]  = (struct model_spec){ .fd = -1, .template_fd = -1 };
    sv->served[i] = (struct served){ .place = 0 };
    sv->worker[i] = (struct child){ .pid = 0 };
}

void supervisor_end_worker(struct supervisor *sv, int i)
{
    struct child *c = &sv->worker[i];
    struct err    e;

    if (!c->pid) {
        free_model(sv, i);
        return;
    }
    if (c->kill_us) return; // it knows
    c->kill_us = clock_mono_us() + (uint64_t)WORKER_STOP_MS * 1000;
    /* one that still loads reads nothing until it is done */
    if (!c->up || send_now(c, MSG_STOP, STR(""), -1, &e) < 0) kill(c->pid, SIGKILL);
}

/* A worker that was told to end and is gone, or will not go by itself. */
static void end_left(struct supervisor *sv, uint64_t now)
{
    for (int i = 0; i < sv->n_model; i++) {
        struct child *c = &sv->worker[i];
        if (c->pid && c->kill_us && c->kill_us <= now) kill(c->pid, SIGKILL);
    }
}

static void reap(struct supervisor *sv)
{
    char  text[64];
    int   status;
    pid_t pid;

    while ((pid = proc_reap(&status)) > 0) {
        proc_status_text(status, text, sizeof text);
        if (pid == sv->front.pid) {
            if (!sv->stopping) log_error("front_ended", "pid=%d by=\"%s\"", (int)pid, text);
            ended(sv, &sv->front);
            continue;
        }
        for (int i = 0; i < sv->n_model; i++) {
            struct child *c = &sv->worker[i];
            if (c->pid != pid) continue;
            bool told = c->kill_us != 0;
            ended(sv, c);
            /* gone before it said what it thinks of the cache: perhaps because of it (a disk that cannot be read) */
            repack_settle(&sv->repack[i], sv->stopping || told ? ENGINE_CACHE_NONE : ENGINE_CACHE_STALE);
            uint64_t soonest = clock_mono_us() + NPU_PAUSE_MS * 1000;
            if (sv->model[i].npu && !sv->stopping && c->again_us < soonest) c->again_us = soonest;
            if (sv->served[i].leaving) {
                c->again_us = 0; // nobody else comes in its place
                if (told) free_model(sv, i);
            } else if (c->load_failed) {
                c->again_us = 0; // the file will not be better the second time
            } else if (!sv->stopping) {
                log_error("worker_ended", "model=" STR_FMT " pid=%d by=\"%s\" again_ms=%u",
                          STR_ARG(sv->model[i].id), (int)pid, text,
                          (unsigned)(backoff_us(c->fails) / 1000));
                tell_state(sv, i, MODEL_RESTARTING, c->load_error[0] ? c->load_error : text);
            }
        }
    }
}

static void restart_due(struct supervisor *sv)
{
    uint64_t   now = clock_mono_us();
    struct err e;

    if (sv->stopping) return;
    end_left(sv, now);
    if (!sv->front.pid && sv->front.again_us && sv->front.again_us <= now && start_front(sv, &e) < 0) {
        log_error("front_start", "error=\"%s\"", e.msg);
        sv->front.again_us = now + 1000000;
    }
    for (int i = 0; i < sv->n_model; i++) {
        struct child *c = &sv->worker[i];
        if (c->pid || !c->again_us || c->again_us > now) continue;
        if (supervisor_start_worker(sv, i, &e) < 0) {
            log_error("worker_start", "model=" STR_FMT " error=\"%s\"", STR_ARG(sv->model[i].id), e.msg);
            if (!c->pid) c->again_us = now + 1000000;
            else kill(c->pid, SIGKILL);
        }
    }
}

/* --- what children say --- */

/* Once: what a person who started the server wants to know. */
static void announce(struct supervisor *sv)
{
    int n = 0, first = -1;

    for (int i = sv->n_model - 1; i >= 0; i--) {
        if (!sv->model[i].id.p) continue;
        if (!sv->worker[i].linked && !sv->worker[i].load_failed) return; // still loading
        if (sv->worker[i].linked) {
            n++;
            first = i;
        }
    }
    if (sv->announced || !sv->front.up || n == 0) return;
    sv->announced = true;
    listen_banner(sv, &sv->model[first]);
}

static void replacement_ready(struct supervisor *sv, int i)
{
    struct err e;

    if (supervisor_tell_model(sv, i, &e) < 0)
        log_error("model_not_told", "model=" STR_FMT " error=\"%s\"", STR_ARG(sv->model[i].id), e.msg);
}

static void load_failed(struct supervisor *sv, int i, struct str body)
{
    struct unpack u = unpack_init(body);
    uint32_t      code = unpack_u32(&u);
    struct str    why  = unpack_str(&u);
    uint32_t      ctx  = unpack_u32(&u);
    char         *text = sv->worker[i].load_error;

    if (!u.failed && ctx > 0 && ctx <= LIM_CTX && !sv->worker[i].ctx) { // what the model has: once more, with that
        sv->worker[i].ctx = (int)ctx;
        log_info("load_again", "model=" STR_FMT " ctx=%u error=\"" STR_FMT "\"", STR_ARG(sv->model[i].id), ctx,
                 STR_ARG(why));
        return;
    }

    if (u.failed) why = STR("unknown reason");
    str_copy_z(text, sizeof sv->worker[i].load_error, why);
    if (code == ERR_ENGINE_GONE && sv->worker[i].fails < LIM_START_TRIES - 1) { // a child program ended: it may do better
        log_error("start_failed", "model=" STR_FMT " try=%d error=\"%s\"", STR_ARG(sv->model[i].id),
                  sv->worker[i].fails + 1, text);
        tell_state(sv, i, MODEL_RESTARTING, text);
        return;
    }
    sv->worker[i].load_failed = true;
    log_error("load_failed", "model=" STR_FMT " code=%s error=\"%s\"", STR_ARG(sv->model[i].id),
              err_row((enum err_code)code)->name, text);
    if (sv->served[i].replaces) { // what it should replace goes on
        sv->served[i].replaces = 0;
        sv->served[i].leaving  = true;
        supervisor_end_worker(sv, i);
        return;
    }
    tell_state(sv, i, MODEL_FAILED, text);

    for (int k = 0; k < sv->n_model; k++)
        if (sv->model[k].id.p && !sv->worker[k].load_failed) return;
    if (sv->reloaded) return; // the next reload may bring better ones
    sv->status   = PROG_FAILED; // nothing left to serve
    sv->stopping = true;
    fprintf(stderr, "curlew: %s\n", text);
}

static void dropped(struct supervisor *sv, struct str body)
{
    struct unpack u = unpack_init(body);
    uint32_t      i = unpack_u32(&u);

    if (!unpack_done(&u) || i >= (uint32_t)sv->n_model || !sv->model[i].id.p) return;
    sv->served[i].leaving = true; // it was, or another one has taken over
    supervisor_end_worker(sv, (int)i);
}

static void stop(struct supervisor *sv);

/* Whatever comes of it, the front gets its answer. */
static void asked(struct supervisor *sv, const struct chan_msg *m)
{
    struct unpack u    = unpack_init(m->body);
    uint8_t       what = unpack_u8(&u);
    struct buf    json, b;
    struct err    e;
    int           rc = 0;

    buf_init(&json, KIB(60));
    buf_init(&b, KIB(64));
    if (what == ADMIN_RELOAD) rc = reload_run(sv, &json, &e);
    else buf_str(&json, STR("{\"status\":\"shutting down\"}"));
    if (rc == 0 && json.failed) rc = err_nomem(&e, "reloading");
    pack_u8(&b, rc == 0);
    pack_str(&b, rc == 0 ? buf_text(&json) : str_c(e.msg));
    if (b.failed || supervisor_send(&sv->front, MSG_TOLD, m->id, buf_text(&b), &e) < 0)
        log_warn("admin_not_told", "asked=%d", what);
    buf_release(&b);
    buf_release(&json);
    if (what == ADMIN_SHUTDOWN && !sv->stopping) {
        log_info("stop", "by=admin");
        stop(sv);
    }
}

struct from {
    struct supervisor *sv;
    int                i; // worker, -1: front
};

static void linked(struct supervisor *sv, struct str body)
{
    struct unpack u = unpack_init(body);
    uint32_t      i = unpack_u32(&u);

    if (!unpack_done(&u) || i >= (uint32_t)sv->n_model) return;
    sv->worker[i].linked = true;
    for (int next = sv->served[i].replaces; next;) { // the front has dropped those that it replaces
        struct served *old = &sv->served[next - 1];
        next          = old->replaces;
        old->replaces = 0;
        old->leaving  = true;
    }
    sv->served[i].replaces = 0;
}

static void cached(struct supervisor *sv, int i, struct str body)
{
    struct unpack u = unpack_init(body);
    uint32_t      state = unpack_u32(&u);

    if (unpack_done(&u)) repack_settle(&sv->repack[i], (enum engine_cache_state)state);
}

static int on_msg(void *ctx, struct chan *c, const struct chan_msg *m, struct err *e)
{
    struct from       *f  = ctx;
    struct supervisor *sv = f->sv;
    (void)c;
    (void)e;

    if (m->type == MSG_READY) {
        sv->front.up = true;
    } else if (m->type == MSG_LOADED) {
        sv->worker[f->i].up = true;
        sv->worker[f->i].load_error[0] = '\0';
        log_info("model_ready", "model=" STR_FMT " ms=%u", STR_ARG(sv->model[f->i].id),
                 (unsigned)((clock_mono_us() - sv->worker[f->i].started_us) / 1000));
        if (sv->served[f->i].replaces && !sv->served[f->i].told && sv->front.chan) replacement_ready(sv, f->i);
        link_up(sv, f->i);
    } else if (m->type == MSG_CACHED) {
        cached(sv, f->i, m->body);
    } else if (m->type == MSG_LINKED) {
        linked(sv, m->body);
    } else if (m->type == MSG_DROPPED) {
        dropped(sv, m->body);
    } else if (m->type == MSG_LOOKUP) {
        if (sv->lookup) lookup_again(sv->lookup);
    } else if (m->type == MSG_ASK) {
        asked(sv, m);
    } else if (m->type == MSG_LOAD_FAILED) {
        load_failed(sv, f->i, m->body);
    }
    announce(sv);
    return 0;
}

/* A child whose channel is dead but which still lives is broken: end it, the reaper does the rest. */
static void serve_chan(struct supervisor *sv, struct child *c, int i)
{
    struct from f = { sv, i };
    struct err  e;
    int         rc = chan_recv(c->chan, on_msg, &f, &e);

    if (rc == 0) rc = chan_flush(c->chan, &e);
    if (rc == 0) return;
    if (e.code == ERR_PROTOCOL) log_error("channel", "pid=%d error=\"%s\"", (int)c->pid, e.msg);
    if (c->pid) kill(c->pid, SIGKILL);
}

/* --- the loop --- */

static void begin_stop(struct supervisor *sv)
{
    struct err e;

    if (sv->front.chan && sv->front.up && chan_state(sv->front.chan) == CHAN_UP) {
        if (send_now(&sv->front, MSG_STOP, STR(""), -1, &e) < 0) kill(sv->front.pid, SIGKILL);
    } else if (sv->front.pid) {
        kill(sv->front.pid, SIGKILL);
    }
    sv->kill_us = clock_mono_us() + (uint64_t)FRONT_STOP_MS * 1000;
}

static void stop(struct supervisor *sv)
{
    sv->stopping = true;
    begin_stop(sv);
}

static void on_hangup(struct supervisor *sv)
{
    struct buf json;
    struct err e;

    if (sv->stopping) return;
    buf_init(&json, KIB(60));
    if (reload_run(sv, &json, &e) < 0) log_error("reload_refused", "error=\"%s\" nothing has changed", e.msg);
    buf_release(&json);
}

static void on_signal(struct supervisor *sv)
{
    int sig;

    while ((sig = proc_next_signal(sv->signal_fd)) != 0) {
        if (sig == SIGCHLD) continue; // reaped each turn
        if (sig == SIGHUP) {
            on_hangup(sv);
        } else if (sv->stopping) {
            sv->kill_us = clock_mono_us(); // asked twice: now
        } else {
            log_info("stop", "signal=%d", sig);
            stop(sv);
        }
    }
}

/* While stopping: workers go once the front is gone. True when all are gone. */
static bool stopped(struct supervisor *sv)
{
    bool     late = clock_mono_us() >= sv->kill_us;
    bool     all  = !sv->front.pid;

    if (sv->kill_us == 0) begin_stop(sv);
    if (sv->front.pid && late) kill(sv->front.pid, SIGKILL);
    for (int i = 0; i < sv->n_model; i++) {
        struct child *c = &sv->worker[i];
        if (!c->pid) continue;
        all = false;
        if (!sv->front.pid || late) kill(c->pid, SIGKILL); // it holds nothing that wants saving
    }
    return all;
}

static int next_timeout_ms(const struct supervisor *sv)
{
    uint64_t now = clock_mono_us(), at = UINT64_MAX;

    if (sv->stopping) return 50;
    if (!sv->front.pid && sv->front.again_us) at = sv->front.again_us;
    for (int i = 0; i < sv->n_model; i++) {
        const struct child *c = &sv->worker[i];
        if (!c->pid && c->again_us && c->again_us < at) at = c->again_us;
        if (c->pid && c->kill_us && c->kill_us < at) at = c->kill_us;
    }
    if (at == UINT64_MAX) return -1;
    return at <= now ? 0 : (int)((at - now) / 1000) + 1;
}

static void loop(struct supervisor *sv, struct pollfd *p)
{
    while (!(sv->stopping && stopped(sv))) {
        struct child *who[LIM_MODELS + 3];
        int           n = 0;
        p[n++] = (struct pollfd){ .fd = sv->signal_fd, .events = POLLIN };
        who[n] = NULL;
        p[n++] = (struct pollfd){ .fd = sv->lookup ? lookup_fd(sv->lookup) : -1, .events = POLLIN };
        for (int i = -1; i < sv->n_model; i++) {
            struct child *c = i < 0 ? &sv->front : &sv->worker[i];
            if (!c->chan) continue;
            who[n] = c;
            p[n++] = (struct pollfd){ .fd = chan_fd(c->chan),
                                      .events = (short)(POLLIN | (chan_want_write(c->chan) ? POLLOUT : 0)) };
        }
        if (poll(p, (nfds_t)n, next_timeout_ms(sv)) < 0 && errno != EINTR) break;
        if (p[1].revents) tell_addresses(sv);
        for (int k = 2; k < n; k++)
            if (p[k].revents && who[k]->chan)
                serve_chan(sv, who[k], who[k] == &sv->front ? -1 : (int)(who[k] - sv->worker));
        on_signal(sv);
        reap(sv);
        restart_due(sv);
    }
}

void supervisor_work_out(struct supervisor *sv)
{
    const struct settings *s = &sv->s;
    struct rlimit          files;
    struct sysinfo         si;

    sv->child_settings = *s;
    if (s->threads == 0) sv->child_settings.threads = cpu_count().n_core;
    if (s->kv_bytes == 0 && sysinfo(&si) == 0)
        sv->child_settings.kv_bytes = (int64_t)((uint64_t)si.totalram * si.mem_unit / 4);
    /* every connection is a descriptor in the front: raise the soft limit to what that needs */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < (rlim_t)s->conns + 64) {
        rlim_t want    = (rlim_t)s->conns + 64;
        files.rlim_cur = want < files.rlim_max ? want : files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        if (files.rlim_cur < want) {
            sv->child_settings.conns = (int64_t)files.rlim_cur - 64;
            log_warn("few_descriptors", "connections=%lld instead of %lld",
                     (long long)sv->child_settings.conns, (long long)s->conns);
        }
    }
}

static int open_all(struct supervisor *sv, struct err *e)
{
    static const int  sig[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP };
    struct model_list list;
    int               rc = models_list(&sv->s, &sv->arena, &list, e);

    if (rc == 0) rc = models_open(&list, e);
    if (rc < 0) return rc;
    supervisor_work_out(sv);
    reload_notes(&sv->s, &list);
    rc = admin_key_read(&sv->s, sv->admin_key, e);
    if (rc == 0 && strcmp(sv->s.repack_cache, "off")) rc = repack_prepare(sv->s.repack_cache, e);
    for (int i = 0; i < list.n; i++) sv->client |= list.v[i].n_upstream > 0;
    if (rc == 0 && sv->client) rc = upstreams_read_ca(&sv->s, &list, &sv->arena, &sv->ca, e);
    if (rc == 0 && sv->client) rc = lookup_new(&sv->lookup, e);
    if (rc == 0) rc = reload_take_all(sv, &list, e);
    models_close(&list); // those not taken
    if (rc == 0) rc = listen_open(sv, e);
    return rc < 0 ? rc : proc_signals(sig, ARRAY_LEN(sig), &sv->signal_fd, e);
}

int supervisor_main(const struct settings *s)
{
    struct supervisor *sv = mem_zalloc(sizeof *sv);
    struct pollfd     *p  = mem_array(LIM_MODELS + 3, sizeof *p);
    struct err         e;
    int                status = PROG_FAILED;

    log_init((enum log_level)s->log_level, "supervisor");
    signal(SIGPIPE, SIG_IGN);
    if (!sv || !p) {
        mem_free(sv);
        mem_free(p);
        return PROG_FAILED;
    }
    sv->first     = s;
    sv->s         = *s;
    sv->signal_fd = -1;
    for (int i = 0; i < LIM_MODELS; i++) sv->model[i].fd = sv->model[i].template_fd = sv->repack[i].cache.fd = -1;
    arena_init(&sv->arena, MIB(64));
    int rc = open_all(sv, &e);
    if (rc == 0) rc = start_front(sv, &e);
    for (int i = 0; rc == 0 && i < sv->n_model; i++) rc = supervisor_start_worker(sv, i, &e);
    if (rc < 0) {
        fprintf(stderr, "curlew: %s\n", e.msg);
        sv->status   = PROG_FAILED;
        sv->stopping = true;
    }
    if (sv->signal_fd >= 0) loop(sv, p);

    listen_close(sv);
    lookup_free(sv->lookup);
    for (int i = 0; i < sv->n_model; i++) free_model(sv, i);
    fd_close(&sv->signal_fd);
    status = sv->status;
    arena_release(&sv->arena);
    arena_release(&sv->conf_arena);
    mem_free(sv);
    mem_free(p);
    return status;
}
