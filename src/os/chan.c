/* chan.c - frames over a socketpair: sent, received, traced and policed here and nowhere else. */
#include "os/chan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pack.h"
#include "os/fd.h"

#define HEAD_BYTES 16u
#define READ_BYTES KIB(64) // one recvmsg
#define FDS_MAX    16      // descriptors received but not yet claimed by their frame, or waiting to go

struct msg_row {
    const char *name;
    unsigned    from, to, when;
    size_t      bytes;
    int         fds;
};

#define SUPERVISOR CHAN_SUPERVISOR
#define FRONT      CHAN_FRONT
#define WORKER     CHAN_WORKER
#define START      CHAN_START
#define UP         CHAN_UP
#define DRAIN      CHAN_DRAIN
static const struct msg_row rows[MSG_TYPES] = {
    [MSG_NONE] = { "NONE", 0, 0, 0, 0, 0 },
#define MSG_ROW(name, from, to, when, bytes, fds) [MSG_##name] = { #name, from, to, when, bytes, fds },
#include "os/msg.def"
#undef MSG_ROW
};

/* A descriptor leaves with the byte of the stream that its frame begins at. */
struct out_fd {
    uint64_t at; // offset in the stream of all bytes ever sent
    int      fd;
};

struct chan {
    int             fd;
    enum chan_role  me, peer;
    enum chan_state state;
    struct buf      in, out;
    size_t          in_at;          // bytes of `in` already handled
    uint64_t        out_at;         // stream offset of out.p[0]
    uint32_t        seq_in, seq_out; // of the next frame
    struct out_fd   out_fd[FDS_MAX];
    int             n_out_fd;
    int             in_fd[FDS_MAX]; // in order of arrival
    int             n_in_fd;
};

const char *msg_name(enum msg_type t)
{
    return (unsigned)t < MSG_TYPES ? rows[t].name : "?";
}

int chan_pair(int ret_fd[2], struct err *e)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fd) < 0)
        return err_set(e, ERR_IO, "socketpair: %s", err_errno(errno));
    return 0;
}

int chan_open(int fd, enum chan_role me, enum chan_role peer, struct chan **ret, struct err *e)
{
    struct chan *c = mem_zalloc(sizeof *c);

    if (!c) return err_nomem(e, "opening a channel");
    c->fd    = fd;
    c->me    = me;
    c->peer  = peer;
    c->state = CHAN_START;
    buf_init(&c->in, LIM_FRAME_BYTES + HEAD_BYTES + READ_BYTES);
    buf_init(&c->out, LIM_CHAN_OUT + LIM_FRAME_BYTES + HEAD_BYTES);
    *ret = c;
    return 0;
}

void chan_close(struct chan *c)
{
    if (!c) return;
    for (int i = 0; i < c->n_out_fd; i++) close(c->out_fd[i].fd);
    for (int i = 0; i < c->n_in_fd; i++) close(c->in_fd[i]);
    buf_release(&c->in);
    buf_release(&c->out);
    fd_close(&c->fd);
    mem_free(c);
}

int chan_fd(const struct chan *c)
{
    return c->fd;
}

enum chan_state chan_state(const struct chan *c)
{
    return c->state;
}

bool chan_want_write(const struct chan *c)
{
    return c->out.n > 0;
}

size_t chan_pending(const struct chan *c)
{
    return c->out.n;
}

/* The state after a message went over the channel, seen alike from both ends. */
static void advance(struct chan *c, enum msg_type t)
{
    if (t == MSG_READY || t == MSG_LOADED || t == MSG_HELLO) c->state = CHAN_UP;
    if (t == MSG_STOP) c->state = CHAN_DRAIN;
}

/* --- sending --- */

int chan_send(struct chan *c, enum msg_type type, uint32_t id, struct str body, int fd, struct err *e)
{
    const struct msg_row *row = &rows[type];

    assert(row->from & c->me && row->to & c->peer);
    assert(row->when & c->state);
    assert(body.n <= row->bytes && (fd >= 0) == (row->fds == 1));

    if (c->out.n + body.n + HEAD_BYTES > LIM_CHAN_OUT || c->n_out_fd == FDS_MAX)
        return err_set(e, ERR_OVERLOADED, "%s: %zu bytes wait on the channel already", row->name,
                       c->out.n);
    if (fd >= 0) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0) return err_set(e, ERR_IO, "dup: %s", err_errno(errno));
        c->out_fd[c->n_out_fd++] = (struct out_fd){ c->out_at + c->out.n, copy };
    }
    size_t n = c->out.n;
    pack_u32(&c->out, (uint32_t)body.n);
    pack_u32(&c->out, (uint32_t)type | (uint32_t)(fd >= 0) << 16);
    pack_u32(&c->out, id);
    pack_u32(&c->out, c->seq_out);
    buf_str(&c->out, body);
    if (c->out.failed) {
        c->out.n      = n;
        c->out.failed = false;
        if (fd >= 0) close(c->out_fd[--c->n_out_fd].fd);
        return err_nomem(e, "sending on a channel");
    }
    c->seq_out++;
    TRACE(TRACE_CHAN, "send %s id=%u bytes=%zu fd=%d", row->name, id, body.n, fd >= 0);
    advance(c, type);
    return 0;
}

/* One sendmsg: with a descriptor when the next byte is the head of its frame, and never past the
 * head of the next frame that has one. */
static ssize_t send_some(struct chan *c)
{
    union {
        struct cmsghdr align;
        char           room[CMSG_SPACE(sizeof(int))];
    } ctl;
    struct iovec  iov  = { c->out.p, c->out.n };
    struct msghdr mh   = { .msg_iov = &iov, .msg_iovlen = 1 };
    int           next = 0; // index of the first descriptor that does not go now

    if (c->n_out_fd && c->out_fd[0].at == c->out_at) {
        mh.msg_control    = ctl.room;
        mh.msg_controllen = sizeof ctl.room;
        memset(&ctl, 0, sizeof ctl);
        struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type  = SCM_RIGHTS;
        cm->cmsg_len   = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cm), &c->out_fd[0].fd, sizeof(int));
        next = 1;
    }
    if (c->n_out_fd > next) iov.iov_len = (size_t)(c->out_fd[next].at - c->out_at);

    ssize_t n = sendmsg(c->fd, &mh, MSG_NOSIGNAL);
    if (n > 0 && next) {
        close(c->out_fd[0].fd);
        memmove(c->out_fd, c->out_fd + 1, (size_t)--c->n_out_fd * sizeof c->out_fd[0]);
    }
    return n;
}

int chan_flush(struct chan *c, struct err *e)
{
    while (c->out.n) {
        ssize_t n = send_some(c);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
        if (n < 0) return err_set(e, ERR_ENGINE_GONE, "channel: %s", err_errno(errno));
        buf_drop(&c->out, (size_t)n);
        c->out_at += (uint64_t)n;
    }
    return 0;
}

/* --- receiving --- */

/* Keep the descriptors of one recvmsg; what is not ours to keep is closed at once. */
static int take_fds(struct chan *c, struct msghdr *mh, struct err *e)
{
    bool lost = mh->msg_flags & MSG_CTRUNC;

    for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS) continue;
        size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cm) + i * sizeof fd, sizeof fd);
            if (c->n_in_fd < FDS_MAX) {
                c->in_fd[c->n_in_fd++] = fd;
            } else {
                close(fd);
                lost = true;
            }
        }
    }
    return lost ? err_set(e, ERR_PROTOCOL, "channel: too many descriptors") : 0;
}

/* Read once. 1: something came, 0: nothing there now, negative: dead. */
static int read_some(struct chan *c, struct err *e)
{
    union {
        struct cmsghdr align;
        char           room[CMSG_SPACE(4 * sizeof(int))];
    } ctl;
    char *dst = buf_room(&c->in, READ_BYTES);
    if (!dst) {
        c->in.failed = false;
        return err_nomem(e, "reading a channel");
    }
    struct iovec  iov = { dst, READ_BYTES };
    struct msghdr mh  = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.room,
                          .msg_controllen = sizeof ctl.room };
    ssize_t       n;

    do n = recvmsg(c->fd, &mh, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    int err = errno;
    c->in.n -= READ_BYTES - (n > 0 ? (size_t)n : 0);
    if (n < 0 && (err == EAGAIN || err == EWOULDBLOCK)) return 0;
    if (n < 0) return err_set(e, ERR_ENGINE_GONE, "channel: %s", err_errno(err));
    if (n == 0) return err_set(e, ERR_ENGINE_GONE, "the other process closed the channel");
    int rc = take_fds(c, &mh, e);
    return rc < 0 ? rc : 1;
}

static int police(const struct chan *c, uint32_t type, uint32_t fds, uint32_t bytes, uint32_t seq,
                  struct err *e)
{
    if (type == MSG_NONE || type >= MSG_TYPES)
        return err_set(e, ERR_PROTOCOL, "channel: message type %u is not known", type);

    const struct msg_row *row = &rows[type];
    if (!(row->from & c->peer) || !(row->to & c->me))
        return err_set(e, ERR_PROTOCOL, "channel: %s may not come from there", row->name);
    if (!(row->when & c->state))
        return err_set(e, ERR_PROTOCOL, "channel: %s came out of turn (state %d)", row->name,
                       (int)c->state);
    if (bytes > row->bytes)
        return err_set(e, ERR_PROTOCOL, "channel: %s has %u bytes, the limit is %zu", row->name,
                       bytes, row->bytes);
    if (fds != (uint32_t)row->fds)
        return err_set(e, ERR_PROTOCOL, "channel: %s comes with %u descriptors, not %d", row->name,
                       fds, row->fds);
    if (seq != c->seq_in)
        return err_set(e, ERR_PROTOCOL, "channel: %s has sequence number %u, not %u", row->name, seq,
                       c->seq_in);
    return 0;
}

/* Handle the whole frames in `in`. The head is policed as soon as it is there, so a forged length
 * never makes us wait for, or hold, its bytes. */
static int handle(struct chan *c, chan_fn *fn, void *ctx, struct err *e)
{
    while (c->in.n - c->in_at >= HEAD_BYTES) {
        struct unpack u     = unpack_init((struct str){ c->in.p + c->in_at, HEAD_BYTES });
        uint32_t      bytes = unpack_u32(&u);
        uint32_t      kind  = unpack_u32(&u);
        uint32_t      id    = unpack_u32(&u);
        uint32_t      seq   = unpack_u32(&u);
        int           rc    = police(c, kind & 0xffff, kind >> 16, bytes, seq, e);

        if (rc < 0) return rc;
        if (c->in.n - c->in_at - HEAD_BYTES < bytes) break;

        struct chan_msg m = { .type = (enum msg_type)(kind & 0xffff), .id = id, .fd = -1,
                              .body = { c->in.p + c->in_at + HEAD_BYTES, bytes } };
        if (kind >> 16) {
            if (c->n_in_fd == 0)
                return err_set(e, ERR_PROTOCOL, "channel: %s lacks its descriptor", msg_name(m.type));
            m.fd = c->in_fd[0];
            memmove(c->in_fd, c->in_fd + 1, (size_t)--c->n_in_fd * sizeof c->in_fd[0]);
        }
        c->seq_in++;
        c->in_at += HEAD_BYTES + bytes;
        advance(c, m.type);
        TRACE(TRACE_CHAN, "recv %s id=%u bytes=%u fd=%d", msg_name(m.type), id, bytes, m.fd >= 0);
        rc = fn(ctx, c, &m, e);
        if (rc < 0) return rc;
    }
    buf_drop(&c->in, c->in_at);
    c->in_at = 0;
    return 0;
}

int chan_recv(struct chan *c, chan_fn *fn, void *ctx, struct err *e)
{
    for (;;) {
        int got = read_some(c, e);
        if (got < 0) return got;
        int rc = handle(c, fn, ctx, e);
        if (rc < 0 || got == 0) return rc;
    }
}

/* --- blocking, for start-up --- */

static int wait_for(struct chan *c, short events, uint64_t until_us, struct err *e)
{
    for (;;) {
        uint64_t      now = clock_mono_us();
        struct pollfd p   = { .fd = c->fd, .events = events };
        if (now >= until_us) return err_set(e, ERR_TIMEOUT, "channel: no answer in time");
        int n = poll(&p, 1, (int)((until_us - now) / 1000) + 1);
        if (n > 0) return 0;
        if (n < 0 && errno != EINTR) return err_set(e, ERR_IO, "poll: %s", err_errno(errno));
    }
}

int chan_recv_wait(struct chan *c, int timeout_ms, chan_fn *fn, void *ctx, struct err *e)
{
    int rc = wait_for(c, POLLIN, clock_mono_us() + (uint64_t)timeout_ms * 1000, e);

    return rc < 0 ? rc : chan_recv(c, fn, ctx, e);
}

int chan_flush_wait(struct chan *c, int timeout_ms, struct err *e)
{
    uint64_t until = clock_mono_us() + (uint64_t)timeout_ms * 1000;

    for (;;) {
        int rc = chan_flush(c, e);
        if (rc < 0 || !c->out.n) return rc;
        rc = wait_for(c, POLLOUT, until, e);
        if (rc < 0) return rc;
    }
}
