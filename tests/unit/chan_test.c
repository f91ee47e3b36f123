/* chan_test.c - frames arrive whole and in order, descriptors with their frame, and what breaks the
 * table of messages ends the channel. */
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/pack.h"
#include "os/chan.h"

struct got {
    enum msg_type type[64];
    uint32_t      id[64];
    size_t        bytes[64];
    int           fd[64];
    int           n;
    char          first[64]; // first byte of each body
};

static int keep(void *ctx, struct chan *c, const struct chan_msg *m, struct err *e)
{
    struct got *g = ctx;
    (void)c;
    (void)e;

    g->type[g->n]  = m->type;
    g->id[g->n]    = m->id;
    g->bytes[g->n] = m->body.n;
    g->fd[g->n]    = m->fd;
    g->first[g->n] = m->body.n ? m->body.p[0] : 0;
    g->n++;
    return 0;
}

struct ends {
    struct chan *a, *b;
};

static struct ends open_pair(enum chan_role a, enum chan_role b)
{
    struct ends ends;
    struct err  e;
    int         fd[2];

    assert_ok(chan_pair(fd, &e));
    assert_ok(chan_open(fd[0], a, b, &ends.a, &e));
    assert_ok(chan_open(fd[1], b, a, &ends.b, &e));
    return ends;
}

static void close_pair(struct ends *p)
{
    chan_close(p->a);
    chan_close(p->b);
}

static void frames_and_descriptors(void **state)
{
    (void)state;
    struct ends p = open_pair(CHAN_SUPERVISOR, CHAN_FRONT);
    struct got  g = { .n = 0 };
    struct err  e;
    int         pipe_fd[2];
    char        x = 0;

    assert_int_equal(pipe(pipe_fd), 0);
    assert_ok(chan_send(p.a, MSG_FRONT_CONF, 0, STR("conf"), -1, &e));
    assert_ok(chan_send(p.a, MSG_LISTEN, 0, STR("x"), pipe_fd[0], &e));
    assert_ok(chan_send(p.a, MSG_LISTEN, 0, STR("y"), pipe_fd[1], &e));
    assert_ok(chan_send(p.a, MSG_GO, 7, STR(""), -1, &e));
    assert_ok(chan_flush(p.a, &e));
    assert_false(chan_want_write(p.a));
    assert_ok(chan_recv(p.b, keep, &g, &e));
    assert_int_equal(g.n, 4);
    assert_int_equal(g.type[1], MSG_LISTEN);
    assert_int_equal(g.id[3], 7);
    assert_int_equal(g.fd[0], -1);
    assert_true(g.fd[1] >= 0 && g.fd[2] >= 0);
    assert_true(fcntl(g.fd[1], F_GETFD) & FD_CLOEXEC);
    /* they are the two ends of that pipe, in order */
    assert_int_equal(write(g.fd[2], "z", 1), 1);
    assert_int_equal(read(g.fd[1], &x, 1), 1);
    assert_int_equal(x, 'z');
    for (int i = 1; i <= 2; i++) close(g.fd[i]);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    close_pair(&p);
}

/* A body larger than the socket takes at once arrives in pieces, once. */
static void large_frames(void **state)
{
    (void)state;
    struct ends p = open_pair(CHAN_FRONT, CHAN_WORKER);
    struct got  g = { .n = 0 };
    struct err  e;
    size_t      n = MIB(3);
    char       *body = calloc(1, n);

    assert_ok(chan_send(p.b, MSG_HELLO, 0, STR("info"), -1, &e));
    assert_ok(chan_flush(p.b, &e));
    assert_ok(chan_recv(p.a, keep, &g, &e));
    assert_int_equal(chan_state(p.a), CHAN_UP);
    body[0] = 'L';
    assert_ok(chan_send(p.a, MSG_SUBMIT, 9, (struct str){ body, n }, -1, &e));
    assert_ok(chan_send(p.a, MSG_CANCEL, 9, STR(""), -1, &e));
    for (int i = 0; i < 1000 && g.n < 3; i++) {
        assert_ok(chan_flush(p.a, &e));
        assert_ok(chan_recv(p.b, keep, &g, &e));
    }
    assert_int_equal(g.n, 3);
    assert_int_equal(g.bytes[1], n);
    assert_int_equal(g.first[1], 'L');
    assert_int_equal(g.type[2], MSG_CANCEL);
    free(body);
    close_pair(&p);
}

/* Raw bytes into the receiving end: what it says of them. */
static void forged(enum chan_role me, enum chan_role peer, const void *bytes, size_t n,
                   enum err_code code, const char *text)
{
    struct chan *c;
    struct got   g = { .n = 0 };
    struct err   e;
    int          fd[2];

    assert_ok(chan_pair(fd, &e));
    assert_ok(chan_open(fd[0], me, peer, &c, &e));
    assert_int_equal(write(fd[1], bytes, n), n);
    assert_err(chan_recv(c, keep, &g, &e), code, text);
    assert_int_equal(g.n, 0);
    chan_close(c);
    close(fd[1]);
}

static void forge(struct buf *b, uint32_t bytes, uint32_t kind, uint32_t seq)
{
    buf_clear(b);
    pack_u32(b, bytes);
    pack_u32(b, kind);
    pack_u32(b, 0);
    pack_u32(b, seq);
}

static void breaches(void **state)
{
    (void)state;
    struct buf b;

    buf_init(&b, 100);
    forge(&b, 0, 999, 0);
    forged(CHAN_FRONT, CHAN_WORKER, b.p, b.n, ERR_PROTOCOL, "not known");
    forge(&b, 0, MSG_SUBMIT, 0); // a worker may not submit
    forged(CHAN_FRONT, CHAN_WORKER, b.p, b.n, ERR_PROTOCOL, "SUBMIT may not come from there");
    forge(&b, 0, MSG_EVENTS, 0); // before HELLO
    forged(CHAN_FRONT, CHAN_WORKER, b.p, b.n, ERR_PROTOCOL, "EVENTS came out of turn");
    forge(&b, 1u << 31, MSG_HELLO, 0); // refused on its head: no memory is taken for the length
    forged(CHAN_FRONT, CHAN_WORKER, b.p, b.n, ERR_PROTOCOL, "HELLO has 2147483648 bytes");
    forge(&b, 0, MSG_HELLO | 1u << 16, 0);
    forged(CHAN_FRONT, CHAN_WORKER, b.p, b.n, ERR_PROTOCOL, "HELLO comes with 1 descriptors");
    forge(&b, 0, MSG_HELLO, 5);
    forged(CHAN_FRONT, CHAN_WORKER, b.p, b.n, ERR_PROTOCOL, "sequence number 5, not 0");
    forge(&b, 4, MSG_LINK | 1u << 16, 0); // says it has a descriptor, has none
    pack_u32(&b, 0);
    forged(CHAN_FRONT, CHAN_SUPERVISOR, b.p, b.n, ERR_PROTOCOL, "LINK lacks its descriptor");
    buf_release(&b);
}

static void peer_closes(void **state)
{
    (void)state;
    struct ends p = open_pair(CHAN_FRONT, CHAN_WORKER);
    struct got  g = { .n = 0 };
    struct err  e;

    assert_ok(chan_send(p.b, MSG_HELLO, 0, STR("x"), -1, &e));
    assert_ok(chan_flush(p.b, &e));
    chan_close(p.b);
    p.b = NULL;
    assert_err(chan_recv(p.a, keep, &g, &e), ERR_ENGINE_GONE, "closed");
    assert_int_equal(g.n, 1); // what it said before counts
    close_pair(&p);
}

static void stuck_peer(void **state)
{
    (void)state;
    struct ends p = open_pair(CHAN_WORKER, CHAN_FRONT);
    struct err  e;
    size_t      n    = MIB(16);
    char       *body = calloc(1, n);
    int         rc   = 0;

    assert_ok(chan_send(p.a, MSG_HELLO, 0, STR("x"), -1, &e));
    for (int i = 0; i < 10 && rc == 0; i++) rc = chan_send(p.a, MSG_EVENTS, 0, (struct str){ body, n }, -1, &e);
    assert_int_equal(rc, -ERR_OVERLOADED);
    assert_true(chan_pending(p.a) <= LIM_CHAN_OUT);
    free(body);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_and_descriptors), cmocka_unit_test(large_frames),
        cmocka_unit_test(breaches),               cmocka_unit_test(peer_closes),
        cmocka_unit_test(stuck_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
