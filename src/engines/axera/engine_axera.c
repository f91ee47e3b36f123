/* engine_axera.c - open, close, and the thread that listens to the child. */
#include "engines/axera/engine_axera.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pack.h"
#include "engines/axera/axera_int.h"
#include "json/json.h"
#include "os/fd.h"

#define PLAN_MS    60000  // the keeper may wait for the last child's end
#define REPORT_US  300000 // a failed run is told before the process ends
#define CTX_UNTOLD 1023   // max_token_len of the oldest models; when a child says nothing

/* --- small things --- */

static bool console(const struct engine *en)
{
    return en->kind == AXERA_MAIN || en->kind == AXERA_CTX;
}

void axera_wake(struct engine *en)
{
    uint64_t one  = 1;
    ssize_t  done = write(en->wake, &one, sizeof one);
    (void)done; // full means it is readable already
}

bool axera_wait(struct engine *en, uint64_t until_us)
{
    struct timespec t = { (time_t)(until_us / 1000000), (long)(until_us % 1000000) * 1000 };

    return pthread_cond_timedwait(&en->cond, &en->lock, &t) != ETIMEDOUT;
}

void axera_die(struct engine *en, enum err_code code, const char *fmt, ...)
{
    va_list ap;

    if (en->dead) return;
    va_start(ap, fmt);
    err_setv(&en->why, code, fmt, ap);
    va_end(ap);
    if (en->log.error[0]) {
        char   *end = en->why.msg + strlen(en->why.msg);
        snprintf(end, (size_t)(en->why.msg + sizeof en->why.msg - end), "; it said: %.200s", en->log.error);
    }
    en->dead = true;
    log_error("child", "error=\"%s\"", en->why.msg);
    pthread_cond_broadcast(&en->cond);
    axera_wake(en);
}

void axera_signal(struct engine *en, int sig)
{
    char       c = (char)sig;
    struct err e;

    if (keeper_send(en->keeper, KEEPER_SIGNAL, (struct str){ &c, 1 }, NULL, 0, &e) < 0)
        axera_die(en, ERR_ENGINE_GONE, "%s", e.msg);
}

/* --- the I/O thread; the lock is held but for waiting --- */

static void on_keeper(struct engine *en)
{
    char              body[1024];
    struct keeper_msg m;
    struct err        e;

    if (keeper_recv(en->keeper, 0, body, sizeof body, &m, &e) < 0) {
        if (e.code != ERR_TIMEOUT) axera_die(en, ERR_ENGINE_GONE, "%s", e.msg);
        return;
    }
    if (m.type == KEEPER_UP && m.n_fd >= 1) {
        en->out = m.fd[0];
        fd_nonblock(en->out);
        if (m.n_fd == 2) axera_nw1_up(en, m.fd[1]);
        m.n_fd = 0;
    } else if (m.type == KEEPER_CALLER && m.n_fd == 1 && en->tok) {
        axera_tok_caller(en, m.fd[0]);
        m.n_fd = 0;
    } else if (m.type == KEEPER_LINK) {
        en->linked = true;
        en->link   = m.n_fd == 1 ? m.fd[0] : -1;
        str_copy_z(en->link_why, sizeof en->link_why, m.body);
        m.n_fd = 0;
        pthread_cond_broadcast(&en->cond);
    } else if (m.type == KEEPER_ENDED) {
        axera_die(en, ERR_ENGINE_GONE, "the child ended: " STR_FMT, STR_ARG(m.body));
    } else if (m.type == KEEPER_FAILED) {
        struct unpack u    = unpack_init(m.body);
        enum err_code code = (enum err_code)unpack_u32(&u);
        struct str    why  = unpack_str(&u);
        axera_die(en, code, STR_FMT, STR_ARG(why));
    }
    for (int i = 0; i < m.n_fd; i++) close(m.fd[i]);
}

static void on_line(void *ctx, struct str line)
{
    struct engine *en = ctx;
    int            n;

    TRACE(TRACE_ENGINE, "child: " STR_FMT, STR_ARG(line));
    en->con.sign_us = clock_mono_us();
    if (en->opened) axera_con_line(en, line);
    if (en->opened) return;
    if (axera_log_number(line, "max_token_len", &n) && n > 0) en->n_ctx = n;
    if (axera_log_number(line, "prefill_token_num", &n) && n > 0) en->n_prompt_max = n;
    if (axera_log_number(line, "prefill_max_token_num", &n) && n > 0) en->n_prompt_max = n;
}

static void on_output(struct engine *en)
{
    char    bytes[16384];
    ssize_t n = read(en->out, bytes, sizeof bytes);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { // its end comes from the keeper
        fd_close(&en->out);
        return;
    }
    axera_log_put(&en->log, (struct str){ bytes, (size_t)n }, on_line, en);
    if (console(en)) axera_con_output(en);
}

/* What is left of a cancelled answer is read and dropped. */
static void on_drain(struct engine *en)
{
    char    bytes[16384];
    ssize_t n = read(en->drain, bytes, sizeof bytes);

    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return;
    fd_close(&en->drain);
    pthread_cond_broadcast(&en->cond);
}

static int tick(struct engine *en)
{
    return console(en) ? axera_con_tick(en) : en->kind == AXERA_NW1 ? axera_nw1_tick(en) : -1;
}

static void turn(struct engine *en, int ms)
{
    struct pollfd p[5 + AXERA_CONNS] = { { .fd = en->wake, .events = POLLIN }, { .fd = en->keeper, .events = POLLIN },
                                         { .fd = en->out, .events = POLLIN }, { .fd = en->drain, .events = POLLIN },
                                         { .fd = en->nw1.fd } };
    uint64_t      n;

    for (int i = 0; i < AXERA_CONNS; i++) p[5 + i] = (struct pollfd){ .fd = en->conn[i].fd, .events = POLLIN };
    if (axera_nw1_may_read(en)) p[4].events |= POLLIN;
    if (en->nw1.out.n) p[4].events |= POLLOUT;
    if (!p[4].events) p[4].fd = -1;
    pthread_mutex_unlock(&en->lock);
    poll(p, ARRAY_LEN(p), ms);
    pthread_mutex_lock(&en->lock);
    if (p[0].revents) {
        ssize_t got = read(en->wake, &n, sizeof n);
        (void)got;
    }
    for (int i = 0; i < AXERA_CONNS; i++) // before the terminal: the ids of a run come before its marker
        if (p[5 + i].revents && en->conn[i].fd >= 0) axera_tok_read(en, &en->conn[i]);
    if (p[1].revents) on_keeper(en);
    if (p[2].revents && en->out >= 0) on_output(en);
    if (p[3].revents && en->drain >= 0) on_drain(en);
    if (p[4].revents && en->nw1.fd >= 0) {
        axera_nw1_write(en);
        if (p[4].revents & (POLLIN | POLLHUP | POLLERR)) axera_nw1_read(en);
    }
}

static void *io_thread(void *arg)
{
    struct engine *en = arg;
    uint64_t       died_us = 0;

    pthread_mutex_lock(&en->lock);
    while (!en->quit) {
        if (en->dead && en->opened) {
            if (died_us == 0) died_us = clock_mono_us();
            /* The process is the unit of repair: the supervisor starts it and the child again. What runs is
             * told why first. */
            if (clock_mono_us() - died_us > REPORT_US) _exit(EXIT_FAILURE);
        }
        int ms = en->dead ? 20 : tick(en);
        if (en->dead && !en->opened) ms = 100;
        turn(en, ms);
    }
    pthread_mutex_unlock(&en->lock);
    return NULL;
}

/* --- opening --- */

static int send_conf(struct engine *en, const struct axera_own *own, struct err *e)
{
    struct buf b;

    buf_init(&b, KEEPER_BODY_MAX);
    pack_u8(&b, own->nw1);
    pack_str(&b, str_c(own->path));
    pack_u32(&b, (uint32_t)own->n_option);
    for (int i = 0; i < own->n_option; i++) pack_str(&b, str_c(own->option[i]));
    int rc = b.failed ? err_set(e, ERR_BAD_CONFIG, "--child: the options are too long together")
                      : keeper_send(en->keeper, KEEPER_CONF, buf_text(&b), NULL, 0, e);
    buf_release(&b);
    return rc;
}

/* The tokenizer's files, by the names that came with them. */
static int read_files(struct engine *en, const int *fd, const struct str *name, int n, struct err *e)
{
    struct str json = STR_NULL, config = STR_NULL;
    int        rc   = 0;

    for (int i = 0; rc == 0 && i < n; i++) {
        struct str *to = str_eq(name[i], STR("tokenizer.json")) ? &json
                       : str_eq(name[i], STR("tokenizer_config.json")) ? &config : &en->tmpl;
        rc = fd_read_all(fd[i], "the child's tokenizer", MIB(64), &en->arena, to, e);
    }
    if (rc < 0 || !json.p) return rc;
    rc = tok_from_hf(json, config, &en->tok, e);
    if (rc < 0) return err_wrap(e, "the child's tokenizer.json");
    if (!en->tmpl.p && config.p) {
        struct json_doc *doc = NULL;
        struct err       why;
        if (json_parse(config, NULL, &doc, &why) == 0) {
            struct str t = json_str(json_get(json_root(doc), "chat_template"));
            if (t.n) en->tmpl = arena_str(&en->arena, t);
        }
        json_free(doc);
    }
    return 0;
}

static int take_plan(struct engine *en, struct err *e)
{
    char              body[4096];
    struct keeper_msg m;
    struct str        name[KEEPER_FDS];
    int               rc = keeper_recv(en->keeper, PLAN_MS, body, sizeof body, &m, e);

    if (rc < 0) return rc;
    struct unpack u = unpack_init(m.body);
    if (m.type == KEEPER_FAILED) {
        enum err_code code = (enum err_code)unpack_u32(&u);
        struct str    why  = unpack_str(&u);
        return err_set(e, code, STR_FMT, STR_ARG(why));
    }
    en->kind    = unpack_u8(&u);
    en->start_s = (int)unpack_u32(&u);
    uint32_t n  = unpack_u32(&u);
    for (uint32_t i = 0; i < n && i < KEEPER_FDS; i++) name[i] = unpack_str(&u);
    if (m.type != KEEPER_PLAN || !unpack_done(&u) || n != (uint32_t)m.n_fd)
        rc = err_set(e, ERR_PROTOCOL, "the keeper's plan is malformed");
    if (rc == 0) rc = read_files(en, m.fd, name, m.n_fd, e);
    for (int i = 0; i < m.n_fd; i++) close(m.fd[i]);
    return rc;
}

static int wait_ready(struct engine *en, struct err *e)
{
    uint64_t until = clock_mono_us() + (uint64_t)en->start_s * 1000000;
    int      rc    = 0;

    if (!console(en) && en->kind != AXERA_NW1) return axera_api_open(en, e);
    pthread_mutex_lock(&en->lock);
    while (!en->dead && en->con.state == AXERA_CON_BOOT)
        if (!axera_wait(en, until)) axera_die(en, ERR_ENGINE_GONE, "the child was not ready within %d s", en->start_s);
    if (en->dead) {
        *e = en->why;
        rc = -(int)e->code;
    }
    pthread_mutex_unlock(&en->lock);
    return rc;
}

static int start(struct engine *en, const struct axera_own *own, struct err *e)
{
    int rc = axera_opts_parse(own->option, own->n_option, &en->o, e);

    if (rc == 0) rc = send_conf(en, own, e);
    if (rc == 0) rc = take_plan(en, e);
    if (rc == 0) rc = keeper_send(en->keeper, KEEPER_START, STR(""), NULL, 0, e);
    if (rc < 0) return rc;
    if (pthread_create(&en->thread, NULL, io_thread, en) != 0) return err_set(e, ERR_IO, "cannot start a thread");
    en->has_thread = true;
    rc             = wait_ready(en, e);
    if (rc < 0) return rc;

    pthread_mutex_lock(&en->lock);
    en->opened = true;
    if (en->o.ctx) en->n_ctx = (int)en->o.ctx;
    if (en->o.prompt) en->n_prompt_max = (int)en->o.prompt;
    if (!en->n_ctx) {
        en->n_ctx = CTX_UNTOLD;
        log_warn("child_context", "tokens=%d why=\"the child does not tell; --child ctx=TOKENS does\"", CTX_UNTOLD);
    }
    pthread_mutex_unlock(&en->lock);
    return console(en) || en->kind == AXERA_NW1 ? 0 : axera_api_watch(en, e);
}

static void ax_close(struct engine *en)
{
    if (!en) return;
    if (en->has_thread) {
        pthread_mutex_lock(&en->lock);
        en->quit = true;
        axera_wake(en);
        pthread_cond_broadcast(&en->cond);
        pthread_mutex_unlock(&en->lock);
        if (en->has_health) pthread_join(en->health, NULL);
        pthread_join(en->thread, NULL);
    }
    for (int i = 0; i < AXERA_CONNS; i++) axera_tok_close(&en->conn[i]);
    fd_close(&en->out);
    fd_close(&en->link);
    fd_close(&en->drain);
    fd_close(&en->wake);
    fd_close(&en->abort_fd);
    axera_log_release(&en->log);
    axera_nw1_release(&en->nw1);
    ids_release(&en->con.out);
    ids_release(&en->con.total);
    ids_release(&en->con.kv);
    tok_free(en->tok);
    pthread_cond_destroy(&en->cond);
    pthread_mutex_destroy(&en->lock);
    pthread_mutex_destroy(&en->call_lock);
    arena_release(&en->arena);
    mem_free(en);
}

static int ax_open(const struct engine_conf *conf, struct engine **ret, struct err *e)
{
    const struct axera_own *own    = conf->own;
    int                     keeper = -1;

    for (int i = 0; i < conf->n_file; i++)
        if (!strcmp(conf->file[i].name, AXERA_KEEPER)) keeper = conf->file[i].fd;
    if (keeper < 0 || !own)
        return err_set(e, ERR_BAD_CONFIG, "a model that a child program runs needs the server: curlew serve");

    struct engine *en = mem_zalloc(sizeof *en);
    if (!en) return err_nomem(e, "opening a child's model");
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&en->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&en->lock, NULL);
    pthread_mutex_init(&en->call_lock, NULL);
    arena_init(&en->arena, MIB(192));
    axera_log_init(&en->log);
    axera_nw1_init(&en->nw1);
    ids_init(&en->con.out, LIM_CTX);
    ids_init(&en->con.total, LIM_CTX);
    ids_init(&en->con.kv, LIM_CTX);
    for (int i = 0; i < AXERA_CONNS; i++) en->conn[i].fd = -1;
    en->keeper = keeper;
    en->out = en->link = en->drain = -1;
    en->wake     = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    en->abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    int rc = en->wake < 0 || en->abort_fd < 0 ? err_set(e, ERR_IO, "eventfd: %s", err_errno(errno)) : start(en, own, e);
    if (rc < 0) ax_close(en);
    else *ret = en;
    return rc;
}

/* What a run takes: ids where we have the vocabulary, else what the runtime can read. */
static uint32_t input_caps(const struct engine *en)
{
    if (console(en)) return ENGINE_TOK_IN | ENGINE_TOK_OUT;
    if (en->kind == AXERA_API) return ENGINE_TOK_IN;
    if (en->kind == AXERA_AXLLM) return ENGINE_CHAT_IN;
    if (en->nw1.tokens_in && en->tok) return ENGINE_TOK_IN;
    return en->nw1.messages_in ? ENGINE_CHAT_IN : ENGINE_TEXT_IN;
}

static void ax_info(const struct engine *en, struct engine_info *ret)
{
    *ret = (struct engine_info){
        .caps = ENGINE_GENERATE | ENGINE_ABORT | (en->o.sampling == AXERA_REFUSE ? ENGINE_KNOBS : 0) |
                input_caps(en),
        .knobs = en->knobs,
        .arch = axera_kind_name(en->kind), .quant = "vendor", .n_ctx = en->n_ctx, .n_seq = 1,
        .n_vocab = en->tok ? tok_n(en->tok) : 0, .n_prompt = en->n_prompt_max, .tok = en->tok,
        .chat_template = en->tmpl.p,
    };
}

static int ax_generate(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn, void *ctx,
                       struct engine_gen_result *ret, struct err *e)
{
    uint64_t n;

    pthread_mutex_lock(&en->lock);
    en->running = true;
    ssize_t got = read(en->abort_fd, &n, sizeof n); // of the run before
    (void)got;
    pthread_mutex_unlock(&en->lock);
    int rc = console(en) ? axera_con_generate(en, gen, fn, ctx, ret, e)
           : en->kind == AXERA_NW1 ? axera_nw1_generate(en, gen, fn, ctx, ret, e) : axera_api_generate(en, gen, fn, ctx, ret, e);
    pthread_mutex_lock(&en->lock);
    en->running  = false;
    en->con.stop = false;
    pthread_mutex_unlock(&en->lock);
    return rc;
}

static void ax_abort(struct engine *en)
{
    uint64_t one = 1;

    pthread_mutex_lock(&en->lock);
    if (en->running) {
        en->con.stop = true;
        ssize_t done = write(en->abort_fd, &one, sizeof one);
        (void)done;
        pthread_cond_broadcast(&en->cond);
        axera_wake(en);
    }
    pthread_mutex_unlock(&en->lock);
}

const struct engine_ops engine_axera = {
    .api = ENGINE_API, .name = "axera", .open = ax_open, .close = ax_close, .info = ax_info,
    .generate = ax_generate, .abort = ax_abort,
};

const struct engine_ops engine_child = {
    .api = ENGINE_API, .name = "child", .open = ax_open, .close = ax_close, .info = ax_info,
    .generate = ax_generate, .abort = ax_abort,
};
