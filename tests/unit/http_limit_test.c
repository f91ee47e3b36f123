/* http_limit_test.c - clients that leave, stall, flood, drip or come in crowds; memory that fails. */
#include "http_rig.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <sys/resource.h>

/* --- disconnects --- */

static void reset(struct client *c)
{
    struct linger now = { .l_onoff = 1 };

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    hang_up(c);
}

static void test_gone(void **state)
{
    static const char *const paths[] = { "/hold", "/stream" };

    (void)state;
    for (int how = 0; how < 3; how++) {
        for (size_t i = 0; i < 2; i++) {
            struct client *c = dial();
            char           text[100];
            snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
            say(c, text);
            until(seen.n_held == 1);
            turns(2);
            int gones = seen.gones;
            assert_int_equal(seen.dones, gones);
            if (how == 0) hang_up(c);
            if (how == 1) reset(c);
            if (how == 2) shutdown(c->fd, SHUT_WR); // half-close counts as gone
            until(seen.gones == gones + 1); // seen at once: no clock moves here
            assert_int_equal(seen.dones, seen.gones);
            assert_int_equal(seen.n_held, 0);
            if (how == 2) hang_up(c);
        }
    }
    assert_int_equal(seen.complete, 0);
    struct client *c = dial(); // in the middle of a body
    say(c, POST_ "Content-Length: 5\r\n\r\nhe");
    until(seen.heads == 7);
    hang_up(c);
    until(seen.gones == 7);
    c = dial(); // in the middle of a head: nobody's request
    say(c, GET_);
    turns(2);
    hang_up(c);
    until(http_serv_stats(serv)->conns_open == 0);
    assert_int_equal(seen.heads, 7);
    /* A small answer still goes to a client that half-closes with its request (nc -N). */
    c = dial();
    say(c, GET_ "\r\n");
    shutdown(c->fd, SHUT_WR);
    until_hear(c, "\r\n\r\nok");
    hang_up(c);
    /* And one whose reply is already written gets all of it. */
    char *big = calloc(1, MIB(8));
    c         = dial();
    say(c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    until(seen.n_held == 1);
    http_reply(seen.held[0], 200, STR_NULL, (struct str){ big, MIB(8) });
    turns(2);
    shutdown(c->fd, SHUT_WR);
    turns(2);
    size_t total = 0;
    until((unhear(c), hear(c), total += c->n, c->eof));
    assert_true(total > MIB(8));
    assert_int_equal(seen.gones, 7);
    hang_up(c);
    free(big);
}

static void test_silent_prefill(void **state)
{
    (void)state;
    struct client *a = dial(), *b = open_stream("1.1", "GET", "");
    say(a, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    until(seen.n_held == 2);
    later(3600 * 1000); // longer than every deadline
    turns(5);
    assert_int_equal(seen.gones, 0);
    hang_up(a);
    until(seen.gones == 1);
    hang_up(b);
    until(seen.gones == 2);
}

/* --- floods and readers that stall --- */

static size_t rss(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long  size = 0, pages = 0;

    if (f) {
        if (fscanf(f, "%ld %ld", &size, &pages) != 2) pages = 0;
        fclose(f);
    }
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void test_flood(void **state)
{
    (void)state;
    struct client *c = open_stream("1.1", "GET", "");
    char          *block = calloc(1, MIB(1));
    size_t         sent = 0, before = rss();

    for (int i = 0; i < 400; i++) {
        ssize_t n = send(c->fd, block, MIB(1), MSG_NOSIGNAL);
        if (n > 0) sent += (size_t)n;
        turn();
    }
    assert_true(sent < MIB(16)); // what the kernel's buffers hold, and no more
    assert_true(http_serv_stats(serv)->bytes_in <= LIM_IN_BYTES + KIB(64) + 100);
    assert_true(rss() < before + MIB(4));
    http_sse_data(seen.held[0], STR("{}"));
    until_hear(c, "data: {}");
    /* Its end is stuck behind its own input and no kernel could tell, but our next words do. */
    hang_up(c);
    turns(2);
    assert_int_equal(seen.gones, 0);
    http_sse_data(seen.held[0], STR("{}"));
    until(seen.gones == 1);

    c = open_stream("1.1", "GET", ""); // little enough that the end gets through: a tick asks for it
    say_n(c, block, LIM_IN_BYTES + 1);
    turns(3);
    hang_up(c);
    until(seen.gones == 2);
    free(block);
}

static void test_stalled_readers(void **state)
{
    struct client *c[20];
    char          *piece = malloc(KIB(16));

    (void)state;
    memset(piece, 'x', KIB(16));
    for (int i = 0; i < 20; i++) {
        c[i] = dial();
        setsockopt(c[i]->fd, SOL_SOCKET, SO_RCVBUF, &(int){ 4096 }, sizeof(int));
        say(c[i], "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
        until(seen.n_held == i + 1);
    }
    /* Ten are written to without end: their output is bounded and they are dropped. */
    for (int i = 0; i < 10; i++) {
        struct http_req *r = seen.held[0];
        for (int k = 0; k < 2000 && !http_req_ended(r) && seen.gones == i; k++) {
            http_stream_put(r, (struct str){ piece, KIB(16) });
            assert_true(http_req_pending(r) < LIM_OUT_BYTES + KIB(32));
            if (k % 8 == 0) turn();
        }
        until(seen.gones == i + 1);
    }
    /* Ten have some output waiting and never read: the stall deadline ends them. */
    for (int i = 0; i < 10; i++) {
        struct http_req *r = seen.held[i];
        for (int k = 0; k < 2000 && http_req_pending(r) < KIB(128); k++) {
            http_stream_put(r, (struct str){ piece, KIB(16) });
            http_req_flush(r);
        }
        assert_true(http_req_pending(r) >= KIB(128));
    }
    turns(3);
    assert_int_equal(seen.gones, 10);
    later(LIM_WRITE_STALL_MS + 1);
    until(seen.gones == 20);
    assert_int_equal(http_serv_stats(serv)->timeouts, 10);
    for (int i = 0; i < 20; i++) hang_up(c[i]);
    free(piece);
}

static void test_room(void **state)
{
    (void)state;
    struct client *c = open_stream("1.1", "GET", "");
    char          *piece = calloc(1, KIB(16));
    struct http_req *r = seen.held[0];

    for (int k = 0; k < 2000 && http_req_pending(r) < KIB(128); k++)
        http_stream_put(r, (struct str){ piece, KIB(16) });
    turns(2);
    assert_int_equal(seen.rooms, 0);
    until((unhear(c), hear(c), seen.rooms == 1)); // the client reads
    assert_int_equal(http_req_pending(r), 0);
    assert_int_equal(seen.gones, 0);
    hang_up(c);
    until(seen.gones == 1);
    free(piece);
}

/* --- deadlines --- */

static void test_slow_head(void **state)
{
    (void)state;
    struct client *c = dial();
    say(c, "GET /he");
    turns(2);
    for (int i = 0; i < 9; i++) { // a byte now and then does not help
        later(LIM_HEAD_MS / 10);
        say(c, "a");
        turns(2);
    }
    assert_false((hear(c), c->eof));
    later(LIM_HEAD_MS / 10 + 1);
    until_eof(c);
    assert_int_equal(status_of(c), 408);
    assert_non_null(strstr(c->in, "request_timeout"));
    hang_up(c);
    c = dial(); // says nothing at all: closed without a word, later
    turns(2);
    later(LIM_HEAD_MS + 1);
    turns(5);
    assert_false((hear(c), c->eof));
    later(LIM_KEEPALIVE_MS);
    until_eof(c);
    assert_int_equal(c->n, 0);
    hang_up(c);
    assert_int_equal(http_serv_stats(serv)->refused[ERR_TIMEOUT], 1);
    assert_int_equal(http_serv_stats(serv)->timeouts, 1);
}

static void test_slow_body(void **state)
{
    (void)state;
    struct client *c = dial();
    say(c, POST_ "Content-Length: 100\r\n\r\n");
    until(seen.heads == 1);
    for (int i = 0; i < 6; i++) { // pieces keep it alive ...
        later(LIM_BODY_MS / 7);
        say(c, "a");
        turns(2);
    }
    assert_false((hear(c), c->eof));
    later(LIM_BODY_MS / 7 + 7); // ... up to a point
    until_eof(c);
    assert_int_equal(status_of(c), 408);
    assert_int_equal(seen.gones, 1);
    hang_up(c);
    c = dial();
    say(c, CHNK_ "5\r\nhe");
    until(seen.heads == 2);
    turns(2);
    later(LIM_BODY_IDLE_MS + 1);
    until_eof(c);
    assert_int_equal(status_of(c), 408);
    assert_int_equal(seen.gones, 2);
    hang_up(c);
    assert_int_equal(http_serv_stats(serv)->body_bytes, 0);
}

static void test_keepalive_idle(void **state)
{
    (void)state;
    struct client *c = dial();
    say(c, GET_ "\r\n\r\n"); // and the empty line that old clients add
    until_hear(c, "\r\n\r\nok");
    later(LIM_HEAD_MS + 1);
    turns(5);
    assert_false((hear(c), c->eof));
    unhear(c);
    say(c, GET_ "\r\n");
    until_hear(c, "\r\n\r\nok");
    unhear(c);
    later(LIM_KEEPALIVE_MS - 1);
    say(c, "GET /he"); // a head has its own time, from its first byte
    turns(3);
    later(LIM_HEAD_MS - 1);
    turns(5);
    say(c, "alth HTTP/1.1\r\nHost: a\r\n\r\n");
    until_hear(c, "\r\n\r\nok");
    unhear(c);
    later(LIM_KEEPALIVE_MS + 1);
    until_eof(c);
    assert_int_equal(c->n, 0);
    hang_up(c);
}

/* --- budgets --- */

static void test_parked_bodies(void **state)
{
    enum { CLIENTS = 12, BODY = 100000 };
    struct client *c[CLIENTS];
    char          *body = calloc(1, BODY);
    int            refused = 0;

    (void)state;
    conf.body_all_bytes = 8 * BODY + 10;
    reconf();
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = dial();
        say(c[i], "POST /park HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n");
        say_n(c[i], body, BODY); // one byte is missing
        turns(2);
        assert_true(http_serv_stats(serv)->body_bytes <= conf.body_all_bytes);
    }
    for (int i = 0; i < CLIENTS; i++) refused += status_of(c[i]) == 503;
    assert_int_equal(refused, 4);
    assert_int_equal(ask_z(GET_ "\r\n", NULL), 200); // the server is fine
    for (int i = 0; i < 8; i++) say(c[i], "x");
    until(seen.n_held == 8);
    assert_int_equal(ask_z(POST_ "Content-Length: 5\r\n\r\nhello", NULL), 503); // held until done
    http_req_free_body(seen.held[0]);
    assert_int_equal(ask_z(POST_ "Content-Length: 5\r\n\r\nhello", NULL), 200);
    while (seen.n_held) {
        http_reply(seen.held[0], 200, STR_NULL, STR(""));
        int n = seen.n_held;
        until(seen.n_held < n);
    }
    assert_int_equal(http_serv_stats(serv)->body_bytes, 0);
    for (int i = 0; i < CLIENTS; i++) hang_up(c[i]);
    free(body);
}

static void test_connection_cap(void **state)
{
    struct client *c[6];

    (void)state;
    conf.conns = 4;
    reconf();
    for (int i = 0; i < 6; i++) {
        c[i] = dial(); // the kernel accepts; we do not
        say(c[i], "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    until(seen.n_held == 4);
    turns(20);
    assert_int_equal(seen.heads, 4);
    assert_int_equal(http_serv_stats(serv)->accept_pauses, 1); // paused, not tried again and again
    http_reply(seen.held[0], 200, STR_NULL, STR(""));
    until(seen.heads == 5); // an idle connection made room
    assert_int_equal(http_serv_stats(serv)->conns_open, 4);
    for (int i = 0; i < 6; i++) hang_up(c[i]);
    until(seen.gones == 4 || seen.dones == 6);
    until(http_serv_stats(serv)->conns_open == 0);
    assert_int_equal(ask_z(GET_ "\r\n", NULL), 200);
}

/* Of one address, loopback excepted: needs an address of this machine that is not loopback. */
static void test_address_cap(void **state)
{
    struct ifaddrs    *list = NULL, *it;
    struct sockaddr_in a    = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY) }, own = { 0 };
    socklen_t          n    = sizeof a;
    struct err         e    = { 0 };
    int                fd[3];

    (void)state;
    if (getifaddrs(&list) == 0)
        for (it = list; it; it = it->ifa_next)
            if (it->ifa_addr && it->ifa_addr->sa_family == AF_INET && !(it->ifa_flags & IFF_LOOPBACK))
                memcpy(&own, it->ifa_addr, sizeof own);
    freeifaddrs(list);
    if (!own.sin_family) {
        print_message("no address but loopback here: skipped\n");
        skip();
    }
    int lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(lfd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(lfd, 8), 0);
    getsockname(lfd, (struct sockaddr *)&a, &n);
    assert_ok(http_serv_listen(serv, lfd, NULL, &e));
    own.sin_port    = a.sin_port;
    conf.conns_addr = 2;
    reconf();
    for (int i = 0; i < 3; i++) {
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd[i], (struct sockaddr *)&own, sizeof own), 0);
    }
    until(http_serv_stats(serv)->conns_refused == 1);
    assert_int_equal(http_serv_stats(serv)->conns_open, 2);
    char    text[400];
    ssize_t got = recv(fd[2], text, sizeof text - 1, 0);
    assert_true(got > 0);
    text[got] = 0;
    assert_non_null(strstr(text, "HTTP/1.1 503 "));
    assert_non_null(strstr(text, "{\"error\":{\"message\":\"too many connections"));
    for (int i = 0; i < 3; i++) close(fd[i]);
    struct client *c[3]; // loopback is not counted
    for (int i = 0; i < 3; i++) c[i] = dial(), say(c[i], GET_ "\r\n");
    for (int i = 0; i < 3; i++) until_hear(c[i], "\r\n\r\nok");
    for (int i = 0; i < 3; i++) hang_up(c[i]);
}

static void test_no_descriptors(void **state)
{
    struct rlimit old, low;
    struct client *c[3];

    (void)state;
    c[0] = dial();
    say(c[0], "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    until(seen.n_held == 1);
    for (int i = 1; i < 3; i++) {
        c[i] = dial();
        say(c[i], GET_ "\r\n");
    }
    getrlimit(RLIMIT_NOFILE, &old);
    low          = old;
    low.rlim_cur = 3; // every number below is taken
    setrlimit(RLIMIT_NOFILE, &low);
    turns(50);
    assert_int_equal(http_serv_stats(serv)->accept_pauses, 1); // no spinning over EMFILE
    assert_int_equal(seen.heads, 1);
    setrlimit(RLIMIT_NOFILE, &old);
    later(200); // asks again a little later, by itself
    until_hear(c[1], "\r\n\r\nok");
    until_hear(c[2], "\r\n\r\nok");
    for (int i = 0; i < 3; i++) hang_up(c[i]);
}

/* Every allocation of a request fails once, in turn: an answer or a closed connection, never a
 * crash or a leak; and the server serves the next one. */
static void test_no_memory(void **state)
{
    static const char wire[] = POST_ "X-Request-Id: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5\r\nhello\r\n0\r\n\r\n" "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
                               "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";
    int n_failed = 0;

    (void)state;
    for (uint64_t n = 1;; n++) {
        struct client *c     = dial();
        uint64_t       start_n = mem_count();
        mem_fail_at(n);
        say(c, wire);
        turns(1);
        for (int i = 0; i < 3; i++) {
            hear(c);
            if (!seen.n_held) continue;
            http_sse_data(seen.held[0], STR("{}"));
            http_sse_done(seen.held[0]);
            http_stream_end(seen.held[0]);
        }
        bool failed = mem_count() - start_n >= n;
        mem_fail_at(0);
        turns(2);
        hear(c);
        if (c->n && !strstr(c->in, "HTTP/1.1 200 OK\r\n") && !strstr(c->in, "\"code\":\"out_of_memory\""))
            fail_msg("allocation %d: %s", (int)n, c->in);
        assert_null(strstr(c->in, "\"type\":\"\""));
        hang_up(c);
        later(200); // accepting may have paused
        assert_int_equal(ask_z(GET_ "\r\n", NULL), 200);
        until(http_serv_stats(serv)->conns_open == 0);
        assert_int_equal(seen.heads, seen.dones);
        assert_int_equal(http_serv_stats(serv)->body_bytes, 0);
        if (!failed) break;
        n_failed++;
    }
    print_message("%d allocations failed in turn\n", n_failed);
    assert_true(n_failed >= 6); // connection, input, head, fields, body, output
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        T(test_gone), T(test_silent_prefill), T(test_flood), T(test_stalled_readers),
        T(test_room), T(test_slow_head), T(test_slow_body), T(test_keepalive_idle),
        T(test_parked_bodies), T(test_connection_cap), T(test_address_cap),
        T(test_no_descriptors), T(test_no_memory),
    };
    event_set_mem_functions(mem_alloc, mem_realloc, mem_free); // its allocations fail too
    log_init(LOG_LVL_ERROR, "test");
    trace_init(getenv("TRACE"), &(const char *){ NULL });
    return cmocka_run_group_tests(tests, NULL, NULL);
}
