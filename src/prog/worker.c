/* worker.c - the process that runs one model: channels on one side, a session on the other.
 *
 * It gets open files, gives up its rights, then loads. Its loop reads what came, takes one step for
 * all who run, writes the events of the step at once, and begins again; it sleeps only when nobody
 * waits for anything. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "engines/axera/axera_plan.h"
#include "engines/axera/engine_axera.h"
#include "os/capture.h"
#include "os/chan.h"
#include "os/keeper.h"
#include "os/cpu.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/sandbox.h"
#include "prog/npu.h"
#include "prog/prog.h"
#include "prog/serve_model.h"

#define START_MS   30000
#define FILES_MAX  8
#define LAST_WORDS_MS 2000
#define OUT_MARK   MIB(4) // unsent events at which the engine waits for the front

struct worker {
    struct arena       arena;
    struct settings    s;
    struct chan       *sup, *front; // front: NULL while there is none
    struct engine_file file[FILES_MAX];
    int                n_file;
    struct engine_cache cache; // fd -1: none
    int                template_fd; // of a chat template in a file, or -1
    struct str         id;
    bool               load, stop;
    bool               npu; // its engine is a vendor's library
    int                front_fd; // of a FRONT_LINK not yet taken up, or -1
    bool               front_failed; // noticed inside a step
    struct serve_model m;
};

/* --- the supervisor --- */

static int on_file(struct worker *w, const struct chan_msg *m, struct err *e)
{
    struct unpack u    = unpack_init(m->body);
    struct str    name = arena_str(&w->arena, unpack_str(&u));
    uint64_t      size = unpack_u64(&u);

    if (!unpack_done(&u) || w->n_file == FILES_MAX) return err_set(e, ERR_PROTOCOL, "malformed file");
    if (!name.p) return err_nomem(e, "starting a worker");
    w->file[w->n_file++] = (struct engine_file){ .name = name.p, .fd = m->fd, .size = size };
    return 0;
}

static int on_cache(struct worker *w, const struct chan_msg *m, struct err *e)
{
    struct unpack u = unpack_init(m->body);
    uint64_t      size = unpack_u64(&u);
    uint32_t      state = unpack_u32(&u);

    if (!unpack_done(&u) || w->cache.fd >= 0 || (state != ENGINE_CACHE_THERE && state != ENGINE_CACHE_WANTED))
        return err_set(e, ERR_PROTOCOL, "malformed cache");
    w->cache = (struct engine_cache){ .fd = m->fd, .size = size, .state = (enum engine_cache_state)state };
    return 0;
}

static int on_load(struct worker *w, struct str body, struct err *e)
{
    struct unpack u    = unpack_init(body);
    struct str    id   = unpack_str(&u);
    struct str    conf = unpack_str(&u);

    if (!unpack_done(&u) || w->n_file == 0) return err_set(e, ERR_PROTOCOL, "malformed load");
    w->id   = arena_str(&w->arena, id);
    w->load = true;
    if (!w->id.p) return err_nomem(e, "starting a worker");
    return opt_unpack(conf, &w->s, OPT_WORKER, &w->arena, e);
}

static int on_sup(void *ctx, struct chan *c, const struct chan_msg *m, struct err *e)
{
    struct worker *w = ctx;
    (void)c;

    if (m->type == MSG_FILE) return on_file(w, m, e);
    if (m->type == MSG_CACHE) return on_cache(w, m, e);
    if (m->type == MSG_LOAD) return on_load(w, m->body, e);
    if (m->type == MSG_TEMPLATE) {
        if (w->template_fd >= 0) close(w->template_fd);
        w->template_fd = m->fd;
        return 0;
    }
    if (m->type == MSG_FRONT_LINK) {
        if (w->front_fd >= 0) close(w->front_fd);
        w->front_fd = m->fd;
        return 0;
    }
    w->stop = true; // STOP
    return 0;
}

/* --- the front --- */

static void drop_front(struct worker *w)
{
    session_cancel_all(w->m.session); // nobody is left who wants the answers
    session_sent(w->m.session);
    chan_close(w->front);
    w->front = NULL;
}

static int take_front(struct worker *w, struct err *e)
{
    struct buf b;

    if (w->front) drop_front(w);
    int rc      = chan_open(w->front_fd, CHAN_WORKER, CHAN_FRONT, &w->front, e);
    if (rc < 0) return rc;
    w->front_fd = -1;
    buf_init(&b, KIB(64));
    chat_info_pack(&b, &w->m.info);
    rc = b.failed ? err_nomem(e, "greeting the front") : chan_send(w->front, MSG_HELLO, 0, buf_text(&b), -1, e);
    buf_release(&b);
    return rc;
}

static int on_front(void *ctx, struct chan *c, const struct chan_msg *m, struct err *e)
{
    struct worker *w = ctx;

    if (m->type == MSG_QUERY) {
        struct buf b;
        buf_init(&b, LIM_FRAME_BYTES);
        session_query(w->m.session, m->body, &b);
        int rc = b.failed ? err_nomem(e, "answering a question") : chan_send(c, MSG_ANSWER, m->id, buf_text(&b), -1, e);
        buf_release(&b);
        return rc;
    }
    if (m->type == MSG_SUBMIT) session_submit(w->m.session, m->id, m->body);
    else session_cancel(w->m.session, m->id); // CANCEL
    return 0;
}

static int send_events(struct worker *w, struct err *e)
{
    const struct buf *out = session_out(w->m.session);

    if (out->failed) return err_nomem(e, "sending events");
    if (out->n == 0) return chan_flush(w->front, e);
    int rc = chan_send(w->front, MSG_EVENTS, 0, buf_text(out), -1, e);
    session_sent(w->m.session);
    return rc < 0 ? rc : chan_flush(w->front, e);
}

/* Inside a step: what went wrong here is dealt with after it. */
static void on_begin(void *ctx)
{
    struct worker *w = ctx;
    struct err     e;

    if (w->front && send_events(w, &e) < 0) w->front_failed = true;
}

/* --- the loop --- */

static int wait_ms(struct worker *w, bool busy)
{
    return busy ? 0 : session_wait_ms(w->m.session);
}

/* Wait for something to read, at most so long. */
static void wait_all(struct worker *w, int ms, bool *sup, bool *front)
{
    struct pollfd p[3];
    int           n = 0, at_front = -1, wake = session_wake_fd(w->m.session);

    p[n++] = (struct pollfd){ .fd = chan_fd(w->sup), .events = POLLIN };
    if (w->front) {
        at_front = n;
        p[n++]   = (struct pollfd){ .fd = chan_fd(w->front),
                                    .events = (short)(POLLIN | (chan_want_write(w->front) ? POLLOUT : 0)) };
    }
    if (wake >= 0) p[n++] = (struct pollfd){ .fd = wake, .events = POLLIN };
    if (poll(p, (nfds_t)n, ms) <= 0) {
        *sup = *front = false;
        return;
    }
    *sup   = p[0].revents;
    *front = at_front >= 0 && p[at_front].revents;
}

static int run(struct worker *w, struct err *e)
{
    bool busy = false, sup, front;

    if (w->stop) return 0; // not loaded: there is no session
    session_on_begin(w->m.session, on_begin, w);
    while (!w->stop) {
        bool clogged = w->front && chan_pending(w->front) > OUT_MARK;
        wait_all(w, clogged ? -1 : wait_ms(w, busy), &sup, &front);
        if (sup) {
            int rc = chan_recv(w->sup, on_sup, w, e);
            if (rc < 0) return rc;
        }
        struct err fe;
        if (front && chan_recv(w->front, on_front, w, &fe) < 0) {
            log_warn("front_gone", "why=\"%s\"", fe.msg);
            drop_front(w);
        }
        if (w->front_fd >= 0) {
            int rc = take_front(w, e);
            if (rc < 0) return rc;
        }
        clogged = w->front && chan_pending(w->front) > OUT_MARK;
        busy    = !clogged && session_step(w->m.session);
        if (w->front_failed) err_set(&fe, ERR_IO, "its channel broke inside a step");
        if (w->front && (w->front_failed || send_events(w, &fe) < 0)) {
            log_warn("front_gone", "why=\"%s\"", fe.msg);
            drop_front(w);
        }
        w->front_failed = false;
        if (session_broken(w->m.session)) {
            if (w->front && chan_flush_wait(w->front, LAST_WORDS_MS, &fe) < 0)
                log_warn("front_gone", "why=\"%s\"", fe.msg);
            return err_set(e, ERR_ENGINE_GONE, "the engine does not answer any more");
        }
    }
    return 0;
}

/* The context that a library said the model has, if it refused more. */
static int retry_ctx(const struct worker *w)
{
    return w->npu ? rkllm_retry_ctx(rkllm_ctx_wanted(w->file[0].name, (int)w->s.ctx)) : 0;
}

static int report(struct worker *w, int load_rc, const struct err *why, struct err *e)
{
    struct buf b;
    int        rc = 0;

    buf_init(&b, KIB(2));
    if (w->cache.fd >= 0) {
        fd_close(&w->cache.fd);
        pack_u32(&b, (uint32_t)w->cache.state);
        rc = b.failed ? -ERR_NO_MEMORY : chan_send(w->sup, MSG_CACHED, 0, buf_text(&b), -1, e);
        buf_clear(&b);
    }
    if (rc < 0) {
        buf_release(&b);
        return rc;
    }
    if (load_rc == 0) {
        rc = chan_send(w->sup, MSG_LOADED, 0, STR(""), -1, e);
    } else {
        pack_u32(&b, (uint32_t)why->code);
        pack_str(&b, str_c(why->msg));
        pack_u32(&b, (uint32_t)retry_ctx(w));
        rc = b.failed ? -ERR_NO_MEMORY : chan_send(w->sup, MSG_LOAD_FAILED, 0, buf_text(&b), -1, e);
    }
    buf_release(&b);
    return rc < 0 ? rc : chan_flush_wait(w->sup, START_MS, e);
}

static int give_up_rights(struct worker *w, bool *landlock, struct err *e)
{
    struct rkllm_conf c;

    if (!w->npu) return sandbox_enter(SANDBOX_WORKER_LOAD, landlock, e);
    int rc = npu_conf(&w->s, &c, e);
    return rc < 0 ? rc : rkllm_prepare(&c, w->file, w->n_file, landlock, e);
}

/* For a model that another program runs: the process that may start it, as one more file of the model. */
static int start_keeper(struct worker *w, struct err *e)
{
    int   pair[2];
    pid_t pid;

    if (w->n_file == FILES_MAX) return err_set(e, ERR_PROTOCOL, "too many files");
    int rc = keeper_pair(pair, e);
    if (rc < 0) return rc;
    rc = proc_spawn("keeper", w->id.p, pair[1], &pid, e);
    close(pair[1]);
    w->file[w->n_file++] = (struct engine_file){ .name = AXERA_KEEPER, .fd = pair[0] };
    return rc;
}

static int start(struct worker *w, struct err *e)
{
    struct err why;
    bool       landlock;
    int        rc = chan_open(PROC_CHAN_FD, CHAN_WORKER, CHAN_SUPERVISOR, &w->sup, e);

    while (rc == 0 && !w->load) rc = chan_recv_wait(w->sup, START_MS, on_sup, w, e);
    if (rc < 0) return rc;
    log_init((enum log_level)w->s.log_level, arena_printf(&w->arena, "worker[" STR_FMT "]", STR_ARG(w->id)).p);

    bool nw1;
    if (axera_call_path(w->s.engine, &nw1)) rc = start_keeper(w, e);
    if (rc < 0) return rc;
    w->npu = npu_is_rkllm(&w->s, w->file[0].name);
    if (!w->npu && cpu_confine((int)w->s.threads)) log_info("strong_cores", "threads=%d", (int)w->s.threads); // reads /sys
    rc = give_up_rights(w, &landlock, e); // before the first byte is read
    if (rc < 0) return rc;
    log_debug("sandbox", "landlock=%s", landlock ? "yes" : "no");
    const struct serve_files files = { .file = w->file, .n_file = w->n_file, .template_fd = w->template_fd,
                                       .cache = w->cache.fd >= 0 ? &w->cache : NULL };
    int load_rc = serve_model_open(&w->s, w->id.p, &files, &w->m, &why);
    if (load_rc == 0 && !w->npu) load_rc = sandbox_enter(SANDBOX_WORKER_RUN, NULL, &why);
    rc = report(w, load_rc, &why, e);
    if (rc == 0 && load_rc < 0) w->stop = true;
    return rc;
}

int worker_main(const char *label)
{
    struct worker w = { .front_fd = -1, .template_fd = -1, .cache.fd = -1 };
    struct err    e;
    int           rc;

    log_init(LOG_LVL_INFO, label);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); // Ctrl-C reaches the whole group; the supervisor tells us what to do
    arena_init(&w.arena, MIB(4));
    rc = start(&w, &e);
    if (rc == 0) rc = run(&w, &e);
    if (rc < 0) log_error("worker_failed", "error=\"%s\"", e.msg);
    if (w.npu) { // a vendor's threads may be anywhere: no clean-up of theirs is waited for, exit gives all back
        capture_flush(LAST_WORDS_MS);
        _exit(rc < 0 ? PROG_FAILED : PROG_OK);
    }
    if (w.m.session) serve_model_close(&w.m);
    chan_close(w.front);
    chan_close(w.sup);
    if (w.front_fd >= 0) close(w.front_fd);
    fd_close(&w.cache.fd);
    for (int i = 0; i < w.n_file; i++) close(w.file[i].fd);
    if (w.template_fd >= 0) close(w.template_fd);
    arena_release(&w.arena);
    return rc < 0 ? PROG_FAILED : PROG_OK;
}
