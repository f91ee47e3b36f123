/* keep.c - the process that may start a program, for a worker that may not.
 *
 * It is the one child of ours that keeps its rights, so it reads only what the owner of this server named: a run
 * script, a model's folder, options. After that it takes orders of one byte (os/keeper.h). */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/pack.h"
#include "engines/axera/axera_plan.h"
#include "os/keeper.h"
#include "os/proc.h"
#include "prog/prog.h"

#define CONF_MS     30000
#define OPTIONS_MAX 128
#define PAUSE_US    1000000 // between a child's end and the next start: drivers need it

struct conf {
    const char *path;
    bool        nw1;
    const char *option[OPTIONS_MAX];
    int         n_option;
};

static int take_conf(struct conf *c, struct arena *a, struct err *e)
{
    static char       body[KEEPER_BODY_MAX];
    struct keeper_msg m;
    int               rc = keeper_recv(PROC_CHAN_FD, CONF_MS, body, sizeof body, &m, e);

    if (rc < 0) return rc;
    struct unpack u = unpack_init(m.body);
    c->nw1          = unpack_bool(&u);
    c->path         = arena_str(a, unpack_str(&u)).p;
    uint32_t n      = unpack_count(&u, OPTIONS_MAX, 4);
    bool     failed = !c->path;
    for (uint32_t i = 0; i < n; i++) {
        c->option[i] = arena_str(a, unpack_str(&u)).p;
        failed |= !c->option[i];
    }
    c->n_option = (int)n;
    for (int i = 0; i < m.n_fd; i++) close(m.fd[i]);
    if (m.type != KEEPER_CONF || !unpack_done(&u)) return err_set(e, ERR_PROTOCOL, "malformed configuration");
    return failed ? err_nomem(e, "starting a keeper") : 0;
}

static int send_plan(const struct axera_plan *p, struct err *e)
{
    struct buf b;

    buf_init(&b, KIB(4));
    axera_plan_pack(&b, p);
    int rc = b.failed ? err_nomem(e, "planning a child")
                      : keeper_send(PROC_CHAN_FD, KEEPER_PLAN, buf_text(&b), p->file, p->n_file, e);
    buf_release(&b);
    return rc;
}

static void send_failed(const struct err *why)
{
    struct buf b;
    struct err e;

    buf_init(&b, KIB(2));
    pack_u32(&b, (uint32_t)why->code);
    pack_str(&b, str_c(why->msg));
    if (keeper_send(PROC_CHAN_FD, KEEPER_FAILED, buf_text(&b), NULL, 0, &e) < 0)
        log_error("keeper", "error=\"%s\"", why->msg);
    buf_release(&b);
}

int keep_main(const char *label)
{
    struct conf       c = { 0 };
    struct arena      a;
    struct axera_opts o;
    struct axera_plan p;
    struct err        e;

    prctl(PR_SET_PDEATHSIG, 0); // it outlives its worker by the time that the program needs to end
    log_init(LOG_LVL_INFO, label);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); // the worker's end tells us
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    arena_init(&a, MIB(8));
    int rc = take_conf(&c, &a, &e);
    if (rc == 0) rc = axera_opts_parse(c.option, c.n_option, &o, &e);
    if (rc == 0) rc = axera_plan_make(c.path, c.nw1, &o, &a, &p, &e);
    if (rc < 0) {
        send_failed(&e);
        arena_release(&a);
        return PROG_FAILED;
    }
    rc = send_plan(&p, &e);
    for (int i = 0; i < p.n_file; i++) close(p.file[i]);
    p.n_file = 0;
    if (rc == 0) rc = keeper_serve(PROC_CHAN_FD, &p.spec, &e);
    if (rc < 0) send_failed(&e);
    usleep(PAUSE_US); // with the lock held
    arena_release(&a);
    return rc < 0 ? PROG_FAILED : PROG_OK;
}
