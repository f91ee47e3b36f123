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

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pack.h"
#include "gateway/state.h"
#include "os/chan.h"
#include "os/cpu.h"
#include "os/fd.h"
#include "os/proc.h"
#include "prog/models.h"
#include "prog/prog.h"

#define FRONT_STOP_MS  10000 // running replies may take this long after SIGTERM
#define WORKER_STOP_MS 2000
#define START_SEND_MS  5000  // a child takes its first frames within this

struct child {
    pid_t        pid;      // 0: not running
    struct chan *chan;     // NULL: not running
    bool         up;       // said READY or LOADED
    bool         linked;   // worker: the front answers for it
    bool         load_failed;
    uint64_t     started_us;
    uint64_t     again_us; // when to start it again; 0: not waiting
    int          fails;    // ends in a row, each soon after its start
    int          restarts; // in all, for reports
    char         load_error[ERR_MSG_MAX]; // why load_failed, for a front that starts later
};

struct supervisor {
    const struct settings *s;
    struct settings        child_settings; // as `s`, numbers worked out
    struct arena           arena;
    struct model_spec     *model; // [n_model]
    int                    n_model;
    struct child          *worker; // [n_model]
    struct child           front;
    int                    listen_fd;
    int                    port;
    int                    signal_fd;
    bool                   stopping;
    bool                   announced;
    uint64_t               kill_us; // when patience with stopping children ends
    int                    status;
};

/* --- sending --- */

static int send_now(struct child *c, enum msg_type t, struct str body, int fd, struct err *e)
{
    int rc = chan_send(c->chan, t, 0, body, fd, e);

    return rc < 0 ? rc : chan_flush(c->chan, e);
}

static void tell_state(struct supervisor *sv, int i, enum model_state st, const char *why)
{
    struct err e;
    struct buf b;

    if (!sv->front.chan) return;
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

    if (!sv->front.chan || !sv->worker[i].chan || !sv->worker[i].up) return;
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

static int start_worker(struct supervisor *sv, int i, struct err *e)
{
    struct child            *c = &sv->worker[i];
    const struct model_spec *m = &sv->model[i];
    struct buf               b, conf;
    int                      rc = start_child(c, "worker", m->id.p, CHAN_WORKER, e);

    if (rc < 0) return rc;
    buf_init(&b, KIB(64));
    buf_init(&conf, KIB(60));
    rc = send_file(c->chan, m->base, m->size, m->fd, e);
    for (int k = 0; rc == 0 && k < m->n_beside; k++)
        rc = send_file(c->chan, m->beside[k].name, m->beside[k].size, m->beside[k].fd, e);
    struct settings mine = models_settings(&sv->child_settings, m);
    opt_pack(&conf, &mine, OPT_WORKER);
    pack_str(&b, m->id);
    pack_str(&b, buf_text(&conf));
    if (rc == 0)
        rc = b.failed || conf.failed ? err_nomem(e, "starting a worker")
                                     : chan_send(c->chan, MSG_LOAD, 0, buf_text(&b), -1, e);
    if (rc == 0) rc = chan_flush_wait(c->chan, START_SEND_MS, e);
    buf_release(&b);
    buf_release(&conf);
    log_info("worker_start", "model=" STR_FMT " pid=%d", STR_ARG(m->id), (int)c->pid);
    return rc;
}

static int send_front_start(struct supervisor *sv, struct err *e)
{
    struct chan *c = sv->front.chan;
    struct buf   b;
    char         where[320];

    buf_init(&b, KIB(64));
    opt_pack(&b, &sv->child_settings, OPT_FRONT);
    int rc = b.failed ? err_nomem(e, "starting the front") : chan_send(c, MSG_FRONT_CONF, 0, buf_text(&b), -1, e);

    buf_clear(&b);
    snprintf(where, sizeof where, sv->s->host[0] == '/' ? "%s" : "%s:%d", sv->s->host, sv->port);
    pack_str(&b, str_c(where));
    if (rc == 0) rc = chan_send(c, MSG_LISTEN, 0, buf_text(&b), sv->listen_fd, e);
    for (int i = 0; rc == 0 && i < sv->n_model; i++) {
        buf_clear(&b);
        pack_u32(&b, (uint32_t)i);
        pack_str(&b, sv->model[i].id);
        pack_u64(&b, (uint64_t)clock_wall_s());
        pack_u64(&b, sv->model[i].size);
        rc = chan_send(c, MSG_MODEL, 0, buf_text(&b), -1, e);
    }
    if (rc == 0) rc = chan_send(c, MSG_GO, 0, STR(""), -1, e);
    if (rc == 0) rc = chan_flush_wait(c, START_SEND_MS, e);
    buf_release(&b);
    return rc;
}

static int start_front(struct supervisor *sv, struct err *e)
{
    int rc = start_child(&sv->front, "front", "front", CHAN_FRONT, e);

    if (rc == 0) rc = send_front_start(sv, e);
    if (rc < 0) return rc;
    log_info("front_start", "pid=%d", (int)sv->front.pid);
    for (int i = 0; i < sv->n_model; i++) {
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
            ended(sv, c);
            if (c->load_failed) {
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
    if (!sv->front.pid && sv->front.again_us && sv->front.again_us <= now && start_front(sv, &e) < 0) {
        log_error("front_start", "error=\"%s\"", e.msg);
        sv->front.again_us = now + 1000000;
    }
    for (int i = 0; i < sv->n_model; i++) {
        struct child *c = &sv->worker[i];
        if (c->pid || !c->again_us || c->again_us > now) continue;
        if (start_worker(sv, i, &e) < 0) {
            log_error("worker_start", "model=" STR_FMT " error=\"%s\"", STR_ARG(sv->model[i].id), e.msg);
            if (!c->pid) c->again_us = now + 1000000;
            else kill(c->pid, SIGKILL);
        }
    }
}

/* --- what children say --- */

/* A word of a command as a shell takes it. */
static void print_word(const char *s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%,=";

    if (s[strspn(s, plain)] == 0) {
        fputs(s, stdout);
        return;
    }
    putchar('\'');
    for (; *s; s++) *s == '\'' ? fputs("'\\''", stdout) : putchar(*s);
    putchar('\'');
}

/* Once: what a person who started the server wants to know. */
static void announce(struct supervisor *sv)
{
    const struct settings *s = sv->s;
    int                    n = 0, first = -1;

    for (int i = sv->n_model - 1; i >= 0; i--) {
        if (!sv->worker[i].linked && !sv->worker[i].load_failed) return; // still loading
        if (sv->worker[i].linked) {
            n++;
            first = i;
        }
    }
    if (sv->announced || !sv->front.up || n == 0) return;
    sv->announced = true;

    struct str id = sv->model[first].id;
    if (s->host[0] == '/') {
        printf("curlew " CURLEW_VERSION " serves " STR_FMT " on %s\n\nTry:\n"
               "  curl --unix-socket %s http://localhost/v1/chat/completions", STR_ARG(id), s->host, s->host);
    } else {
        bool        any  = !strcmp(s->host, "0.0.0.0") || !strcmp(s->host, "::");
        const char *host = any ? "127.0.0.1" : s->host;
        bool        v6   = strchr(host, ':') != NULL;
        printf("curlew " CURLEW_VERSION " serves " STR_FMT " on http://%s%s%s:%d\n\nTry:\n"
               "  curl http://%s%s%s:%d/v1/chat/completions", STR_ARG(id), v6 ? "[" : "", host,
               v6 ? "]" : "", sv->port, v6 ? "[" : "", host, v6 ? "]" : "", sv->port);
    }
    printf(" -H 'Content-Type: application/json' \\\n    -d '{\"model\": \"" STR_FMT "\", \"messages\": "
           "[{\"role\": \"user\", \"content\": \"Hello!\"}], \"max_tokens\": 64}'\n", STR_ARG(id));
    if (str_ends(str_c(sv->model[first].base), STR(".gguf"))) {
        printf("or chat in another terminal:\n  ");
        print_word(program_invocation_name);
        printf(" run --model ");
        print_word(sv->model[first].path);
        putchar('\n');
    }
    putchar('\n');
    fflush(stdout);
}

static void load_failed(struct supervisor *sv, int i, struct str body)
{
    struct unpack u = unpack_init(body);
    uint32_t      code = unpack_u32(&u);
    struct str    why  = unpack_str(&u);
    char         *text = sv->worker[i].load_error;

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
    tell_state(sv, i, MODEL_FAILED, text);

    for (int k = 0; k < sv->n_model; k++)
        if (!sv->worker[k].load_failed) return;
    sv->status   = PROG_FAILED; // nothing left to serve
    sv->stopping = true;
    fprintf(stderr, "curlew: %s\n", text);
}

struct from {
    struct supervisor *sv;
    int                i; // worker, -1: front
};

static void linked(struct supervisor *sv, struct str body)
{
    struct unpack u = unpack_init(body);
    uint32_t      i = unpack_u32(&u);

    if (unpack_done(&u) && i < (uint32_t)sv->n_model) sv->worker[i].linked = true;
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
        link_up(sv, f->i);
    } else if (m->type == MSG_LINKED) {
        linked(sv, m->body);
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

static void on_signal(struct supervisor *sv)
{
    int sig;

    while ((sig = proc_next_signal(sv->signal_fd)) != 0) {
        if (sig == SIGCHLD) continue; // reaped each turn
        if (sv->stopping) {
            sv->kill_us = clock_mono_us(); // asked twice: now
        } else {
            log_info("stop", "signal=%d", sig);
            sv->stopping = true;
            begin_stop(sv);
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
    for (int i = 0; i < sv->n_model; i++)
        if (!sv->worker[i].pid && sv->worker[i].again_us && sv->worker[i].again_us < at)
            at = sv->worker[i].again_us;
    if (at == UINT64_MAX) return -1;
    return at <= now ? 0 : (int)((at - now) / 1000) + 1;
}

static void loop(struct supervisor *sv, struct pollfd *p)
{
    while (!(sv->stopping && stopped(sv))) {
        struct child *who[LIM_MODELS + 2];
        int           n = 0;
        p[n++] = (struct pollfd){ .fd = sv->signal_fd, .events = POLLIN };
        for (int i = -1; i < sv->n_model; i++) {
            struct child *c = i < 0 ? &sv->front : &sv->worker[i];
            if (!c->chan) continue;
            who[n] = c;
            p[n++] = (struct pollfd){ .fd = chan_fd(c->chan),
                                      .events = (short)(POLLIN | (chan_want_write(c->chan) ? POLLOUT : 0)) };
        }
        if (poll(p, (nfds_t)n, next_timeout_ms(sv)) < 0 && errno != EINTR) break;
        for (int k = 1; k < n; k++)
            if (p[k].revents && who[k]->chan)
                serve_chan(sv, who[k], who[k] == &sv->front ? -1 : (int)(who[k] - sv->worker));
        on_signal(sv);
        reap(sv);
        restart_due(sv);
    }
}

static int open_all(struct supervisor *sv, struct err *e)
{
    static const int sig[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP };
    const struct settings *s = sv->s;
    struct rlimit          files;

    int rc = models_open(s, &sv->arena, &sv->model, &sv->n_model, e);
    if (rc < 0) return rc;
    if (sv->n_model > LIM_MODELS)
        return err_set(e, ERR_BAD_CONFIG, "%d models, the limit is %d", sv->n_model, LIM_MODELS);
    sv->worker = arena_array(&sv->arena, (size_t)sv->n_model, sizeof *sv->worker);
    if (!sv->worker) return err_nomem(e, "starting");
    rc = fd_listen(s->host, (int)s->port, &sv->listen_fd, &sv->port, e);
    if (rc < 0) return rc;
    if (!fd_host_is_loopback(s->host))
        log_warn("open_to_others", "host=%s anyone who reaches this address can use the models: there are no keys",
                 s->host);

    sv->child_settings = *s;
    if (s->threads == 0) sv->child_settings.threads = cpu_count().n_core;
    struct sysinfo si;
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
    return proc_signals(sig, ARRAY_LEN(sig), &sv->signal_fd, e);
}

int supervisor_main(const struct settings *s)
{
    struct supervisor sv = { .s = s, .listen_fd = -1, .signal_fd = -1 };
    struct err        e;

    log_init((enum log_level)s->log_level, "supervisor");
    signal(SIGPIPE, SIG_IGN);
    arena_init(&sv.arena, MIB(64));
    struct pollfd *p  = mem_array(LIM_MODELS + 2, sizeof *p);
    int            rc = p ? open_all(&sv, &e) : err_nomem(&e, "starting");

    if (rc == 0) rc = start_front(&sv, &e);
    for (int i = 0; rc == 0 && i < sv.n_model; i++) rc = start_worker(&sv, i, &e);
    if (rc < 0) {
        fprintf(stderr, "curlew: %s\n", e.msg);
        sv.status   = PROG_FAILED;
        sv.stopping = true;
    }
    if (p && sv.signal_fd >= 0) loop(&sv, p);

    if (s->host[0] == '/' && sv.listen_fd >= 0) unlink(s->host);
    models_close(sv.model, sv.n_model);
    fd_close(&sv.listen_fd);
    fd_close(&sv.signal_fd);
    mem_free(p);
    arena_release(&sv.arena);
    return sv.status;
}
