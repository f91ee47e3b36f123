/* axera_call.c - ask the keeper for a connection, write a request, read its reply. */
#include "engines/axera/axera_call.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "os/fd.h"

#define CONNECT_US 5000000
#define WRITE_MS   10000

static int connect_locked(struct engine *en, int *ret, struct err *e)
{
    uint64_t until = clock_mono_us() + CONNECT_US;

    pthread_mutex_lock(&en->lock);
    en->linked = false;
    int rc     = en->dead ? -1 : keeper_send(en->keeper, KEEPER_CONNECT, STR(""), NULL, 0, e);
    while (rc == 0 && !en->dead && !en->linked && axera_wait(en, until)) continue;
    if (en->dead) {
        *e = en->why;
        rc = -(int)e->code;
    } else if (rc == 0 && !en->linked) {
        rc = err_set(e, ERR_UPSTREAM_TIMEOUT, "the keeper made no connection to the child");
    } else if (rc == 0 && en->link < 0) {
        rc = err_set(e, ERR_ENGINE_GONE, "the child takes no connections: %s", en->link_why);
    } else if (rc == 0) {
        *ret     = en->link;
        en->link = -1;
    }
    pthread_mutex_unlock(&en->lock);
    return rc;
}

static int connect_child(struct engine *en, int *ret, struct err *e)
{
    pthread_mutex_lock(&en->call_lock);
    int rc = connect_locked(en, ret, e);
    pthread_mutex_unlock(&en->call_lock);
    return rc;
}

static int write_all(int fd, struct str s, struct err *e)
{
    while (s.n) {
        ssize_t       n = write(fd, s.p, s.n);
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        if (n >= 0) s = str_from(s, (size_t)n);
        else if (errno == EAGAIN && poll(&p, 1, WRITE_MS) > 0) continue;
        else if (errno != EINTR) return err_set(e, ERR_ENGINE_GONE, "writing to the child: %s", err_errno(errno));
    }
    return 0;
}

int axera_call_start(struct axera_call *c, struct engine *en, const char *method, const char *path, struct str body,
                     struct err *e)
{
    struct buf b;

    *c = (struct axera_call){ .en = en, .fd = -1 };
    axera_http_init(&c->in, false);
    int rc = connect_child(en, &c->fd, e);
    if (rc == 0 && fd_nonblock(c->fd) < 0) rc = err_set(e, ERR_IO, "fcntl: %s", err_errno(errno));
    if (rc < 0) {
        axera_call_end(c);
        return rc;
    }
    buf_init(&b, LIM_PROMPT_BYTES + KIB(64));
    buf_printf(&b, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nConnection: close\r\n", method, path);
    if (body.p)
        buf_printf(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.n);
    buf_str(&b, STR("\r\n"));
    if (body.p) buf_str(&b, body);
    rc = b.failed ? err_nomem(e, "asking a child") : write_all(c->fd, buf_text(&b), e);
    buf_release(&b);
    if (rc < 0) axera_call_end(c);
    return rc;
}

int axera_call_more(struct axera_call *c, int ms, struct err *e)
{
    char          bytes[16384];
    struct pollfd p[2] = { { .fd = c->fd, .events = POLLIN },
                           { .fd = c->abortable ? c->en->abort_fd : -1, .events = POLLIN } };
    size_t        used;

    if (c->in.state == AXERA_HTTP_DONE) return 0;
    int n = poll(p, 2, ms);
    if (n < 0 && errno == EINTR) return 1;
    if (n == 0) return err_set(e, ERR_UPSTREAM_TIMEOUT, "the child was silent for %d s", ms / 1000);
    if (p[1].revents) return err_set(e, ERR_CANCELLED, "cancelled");
    ssize_t got = read(c->fd, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
    if (got <= 0) return axera_http_eof(&c->in, e);
    int rc = axera_http_feed(&c->in, (struct str){ bytes, (size_t)got }, &used, e);
    return rc < 0 ? rc : c->in.state != AXERA_HTTP_DONE;
}

int axera_call_whole(struct axera_call *c, struct engine *en, const char *method, const char *path, struct str body,
                     int ms, struct err *e)
{
    int rc = axera_call_start(c, en, method, path, body, e);

    if (rc < 0) return rc;
    do rc = axera_call_more(c, ms, e);
    while (rc > 0);
    if (rc < 0) axera_call_end(c);
    return rc;
}

void axera_call_end(struct axera_call *c)
{
    fd_close(&c->fd);
    axera_http_release(&c->in);
}
