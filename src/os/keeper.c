/* keeper.c - run one program for a worker without rights. */
#include "os/keeper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "os/fd.h"
#include "os/proc.h"

#define ACCEPT_MAX 64 // connections passed on in one turn

/* --- messages --- */

int keeper_pair(int ret[2], struct err *e)
{
    int size = 4 * (int)KEEPER_BODY_MAX;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) < 0)
        return err_set(e, ERR_IO, "socketpair: %s", err_errno(errno));
    for (int i = 0; i < 2; i++) setsockopt(ret[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return 0;
}

int keeper_send(int sock, enum keeper_type type, struct str body, const int *fd, int n_fd, struct err *e)
{
    char         head = (char)type;
    struct iovec io[2] = { { &head, 1 }, { (void *)(uintptr_t)body.p, body.n } };
    union {
        struct cmsghdr align;
        char           room[CMSG_SPACE(sizeof(int) * KEEPER_FDS)];
    } u = { 0 };
    struct msghdr m = { .msg_iov = io, .msg_iovlen = body.n ? 2 : 1 };
    ssize_t       n;

    if (body.n > KEEPER_BODY_MAX || n_fd > KEEPER_FDS)
        return err_set(e, ERR_TOO_LARGE, "a message to or from the keeper is too large: %zu bytes, the limit is %zu",
                       body.n, (size_t)KEEPER_BODY_MAX);
    if (n_fd > 0) {
        m.msg_control    = u.room;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fd);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level     = SOL_SOCKET;
        c->cmsg_type      = SCM_RIGHTS;
        c->cmsg_len       = CMSG_LEN(sizeof(int) * (size_t)n_fd);
        memcpy(CMSG_DATA(c), fd, sizeof(int) * (size_t)n_fd);
    }
    do n = sendmsg(sock, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? err_set(e, ERR_ENGINE_GONE, "keeper: %s", err_errno(errno)) : 0;
}

int keeper_recv(int sock, int ms, char *buf, size_t size, struct keeper_msg *ret, struct err *e)
{
    struct pollfd p = { .fd = sock, .events = POLLIN };
    char          head;
    struct iovec  io[2] = { { &head, 1 }, { buf, size } };
    union {
        struct cmsghdr align;
        char           room[CMSG_SPACE(sizeof(int) * KEEPER_FDS)];
    } u;
    struct msghdr     m = { .msg_iov = io, .msg_iovlen = 2, .msg_control = u.room, .msg_controllen = sizeof u.room };
    struct keeper_msg r = { 0 };
    ssize_t           n;
    int               ready;

    do ready = poll(&p, 1, ms);
    while (ready < 0 && errno == EINTR);
    if (ready == 0) return err_set(e, ERR_TIMEOUT, "nothing came within %d ms", ms);
    do n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0) return err_set(e, ERR_ENGINE_GONE, "the other side of the keeper's socket has gone");
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        r.n_fd = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(r.fd, CMSG_DATA(c), sizeof(int) * (size_t)r.n_fd);
    }
    if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (int i = 0; i < r.n_fd; i++) close(r.fd[i]);
        return err_set(e, ERR_PROTOCOL, "a message of the keeper is too large");
    }
    r.type = (enum keeper_type)head;
    r.body = (struct str){ buf, (size_t)n - 1 };
    *ret   = r;
    return 0;
}

/* --- the program --- */

struct keeper {
    const struct keeper_spec *spec;
    int                       sock, signal_fd;
    pid_t                     pid; // 0: not running; its group has the same number
    bool                      started;
};

/* In the child, between fork and exec. io: what becomes stdin, stdout and stderr; extra: descriptor 3, or -1. */
static NORETURN void become(const struct keeper_spec *s, const int io[3], int extra, pid_t parent)
{
    sigset_t none;

    setsid(); // a group and a session of its own; the terminal becomes its own below
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (getppid() != parent) _exit(126);
    if (s->io == KEEPER_PTY) ioctl(io[0], TIOCSCTTY, 0);
    for (int i = 0; i < 3; i++)
        if (dup2(io[i], i) < 0) _exit(126);
    if (extra >= 0 && dup2(extra, 3) < 0) _exit(126);
    close_range(extra >= 0 ? 4 : 3, ~0u, 0);
    for (int i = 1; i < 32; i++) signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (chdir(s->dir) < 0) _exit(125);
    execve(s->argv[0], (char *const *)(uintptr_t)s->argv, (char *const *)(uintptr_t)s->env);
    dprintf(2, "cannot start %s: %s\n", s->argv[0], strerror(errno));
    _exit(127);
}

/* A terminal that changes nothing on the way, in both directions. */
static int open_pty(int *master, int *slave)
{
    struct termios t;
    char           name[64];

    *master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*master < 0 || grantpt(*master) < 0 || unlockpt(*master) < 0 || ptsname_r(*master, name, sizeof name) != 0)
        return -1;
    *slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*slave < 0 || tcgetattr(*slave, &t) < 0) return -1;
    cfmakeraw(&t);
    return tcsetattr(*slave, TCSANOW, &t);
}

/* What the program gets as io[] and extra, and what the worker gets of it, in fd[]. -1: errno says why. */
static int open_io(enum keeper_io kind, int io[3], int *extra, int fd[2])
{
    int pipe_fd[2], pair[2];

    if (kind == KEEPER_PTY) {
        int slave = -1;
        if (open_pty(&fd[0], &slave) < 0) {
            fd_close(&slave);
            return -1;
        }
        io[0] = io[1] = io[2] = slave;
        return 0;
    }
    io[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (io[0] < 0 || pipe2(pipe_fd, O_CLOEXEC) < 0) return -1;
    fd[0] = pipe_fd[0];
    io[1] = io[2] = pipe_fd[1];
    if (kind == KEEPER_PIPE) return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -1;
    fd[1]  = pair[0];
    *extra = pair[1];
    return 0;
}

/* A program that runs already: the same user's, or root's. */
static int attach(struct keeper *k, struct err *e)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    struct ucred       who;
    socklen_t          n = sizeof who;
    const char        *path = k->spec->address;
    int                fd[2] = { open("/dev/null", O_RDONLY | O_CLOEXEC), socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    int                rc = 0;

    str_copy_z(to.sun_path, sizeof to.sun_path, str_c(path));
    if (fd[0] < 0 || fd[1] < 0 || connect(fd[1], (struct sockaddr *)&to, sizeof to) < 0)
        rc = err_set(e, ERR_ENGINE_GONE, "%.100s: %s", path, err_errno(errno));
    else if (getsockopt(fd[1], SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 || (who.uid != getuid() && who.uid != 0))
        rc = err_set(e, ERR_BAD_CONFIG, "%.100s belongs to another user's program", path);
    if (rc == 0) rc = keeper_send(k->sock, KEEPER_UP, STR(""), fd, 2, e);
    fd_close(&fd[0]);
    fd_close(&fd[1]);
    return rc;
}

static int start(struct keeper *k, struct err *e)
{
    const struct keeper_spec *s = k->spec;
    int   io[3] = { -1, -1, -1 }, fd[2] = { -1, -1 }, extra = -1;
    pid_t me = getpid(), pid = -1;
    int   rc = 0;

    if (k->started) return err_set(e, ERR_PROTOCOL, "a keeper starts its program once");
    k->started = true;
    if (s->io == KEEPER_ADDRESS) return attach(k, e);
    if (open_io(s->io, io, &extra, fd) == 0) pid = fork();
    if (pid == 0) become(s, io, extra, me);
    if (pid < 0) rc = err_set(e, ERR_IO, "cannot start %s: %s", s->argv[0], err_errno(errno));
    k->pid = pid > 0 ? pid : 0;
    if (rc == 0) rc = keeper_send(k->sock, KEEPER_UP, STR(""), fd, fd[1] >= 0 ? 2 : 1, e);
    if (io[1] != io[0]) fd_close(&io[0]);
    fd_close(&io[1]);
    fd_close(&extra);
    fd_close(&fd[0]);
    fd_close(&fd[1]);
    return rc;
}

/* --- orders --- */

static int connect_to(struct keeper *k, struct err *e)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)k->spec->port),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = k->spec->port ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        int why = errno;
        fd_close(&fd);
        return keeper_send(k->sock, KEEPER_LINK, str_c(err_errno(why)), NULL, 0, e);
    }
    int rc = keeper_send(k->sock, KEEPER_LINK, STR(""), &fd, 1, e);
    close(fd);
    return rc;
}

static int obey(struct keeper *k, const struct keeper_msg *m, struct err *e)
{
    int sig = m->body.n == 1 ? m->body.p[0] : 0;

    if (m->type == KEEPER_START) return start(k, e);
    if (m->type == KEEPER_CONNECT) return connect_to(k, e);
    if (m->type == KEEPER_SIGNAL && (sig == SIGINT || sig == SIGTERM || sig == SIGKILL)) {
        if (k->pid) kill(-k->pid, sig);
        return 0;
    }
    return err_set(e, ERR_PROTOCOL, "the keeper knows no order %d", m->type);
}

static void pass_callers(struct keeper *k)
{
    struct err e;

    for (int i = 0; i < ACCEPT_MAX; i++) {
        int fd = accept4(k->spec->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) return;
        if (keeper_send(k->sock, KEEPER_CALLER, STR(""), &fd, 1, &e) < 0) log_debug("caller", "error=\"%s\"", e.msg);
        close(fd);
    }
}

/* All that has ended: the program, and those it left behind (we are their parent then). */
static void reap(struct keeper *k)
{
    char       text[64];
    struct err e;
    int        status;
    pid_t      pid;

    while (proc_next_signal(k->signal_fd)) continue;
    while ((pid = proc_reap(&status)) > 0) {
        if (pid != k->pid) continue;
        kill(-pid, SIGKILL); // who is left of its group has nobody to serve
        k->pid = 0;
        proc_status_text(status, text, sizeof text);
        if (keeper_send(k->sock, KEEPER_ENDED, str_c(text), NULL, 0, &e) < 0) log_debug("ended", "by=\"%s\"", text);
    }
}

/* End the program and all of its group; returns when it has ended. */
static void end(struct keeper *k)
{
    uint64_t until = clock_mono_us() + KEEPER_TERM_MS * 1000;
    bool     killed = false;

    if (k->pid) kill(-k->pid, SIGTERM);
    while (k->pid) {
        uint64_t      now = clock_mono_us();
        struct pollfd p   = { .fd = k->signal_fd, .events = POLLIN };
        if (now >= until && !killed) {
            killed = true;
            kill(-k->pid, SIGKILL);
        }
        poll(&p, 1, killed ? 100 : (int)((until - now) / 1000) + 1);
        reap(k);
    }
}

int keeper_serve(int sock, const struct keeper_spec *spec, struct err *e)
{
    static const int sig[] = { SIGCHLD };
    struct keeper    k     = { .spec = spec, .sock = sock, .signal_fd = -1 };
    char             body[64];

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int rc = proc_signals(sig, ARRAY_LEN(sig), &k.signal_fd, e);
    while (rc == 0) {
        struct pollfd p[3] = { { .fd = sock, .events = POLLIN }, { .fd = k.signal_fd, .events = POLLIN },
                               { .fd = spec->listen_fd, .events = POLLIN } };
        if (poll(p, 3, -1) < 0 && errno != EINTR) break;
        if (p[1].revents) reap(&k);
        if (p[2].revents) pass_callers(&k);
        if (!p[0].revents) continue;
        struct keeper_msg m;
        rc = keeper_recv(sock, 0, body, sizeof body, &m, e);
        if (rc == -ERR_ENGINE_GONE) {
            rc = 0; // the worker has gone: so do we
            break;
        }
        if (rc < 0) break;
        for (int i = 0; i < m.n_fd; i++) close(m.fd[i]);
        rc = obey(&k, &m, e);
    }
    end(&k);
    fd_close(&k.signal_fd);
    return rc;
}
