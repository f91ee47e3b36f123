/* http_rig.h - a server and clients in one thread, for the tests over real loopback sockets.
 *
 * The client writes, the loop turns until what is waited for is there, the client reads. Deadlines
 * are tested by moving the clock (base/clock.h), never by waiting.
 */
#ifndef CURLEW_TESTS_HTTP_RIG_H
#define CURLEW_TESTS_HTTP_RIG_H

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "http/http.h"
#include "json/json.h"

/* --- the server under test --- */

#define HELD_MAX 64

static struct event_base *base;
static uint64_t           fake_us; // the time
static struct http_serv  *serv;
static struct http_conf   conf;
static uint16_t           port;

static struct {
    int              heads, bodies, gones, dones, rooms, drained;
    int              complete;      // of the dones
    struct http_req *held[HELD_MAX]; // requests whose reply the test writes
    int              n_held;
    size_t           body_max;
} seen;

static inline bool path_is(struct http_req *r, const char *path)
{
    return str_eq(http_req_head(r)->path, str_c(path));
}

static inline void on_head(void *ctx, struct http_req *r)
{
    struct err e = { 0 };

    (void)ctx;
    seen.heads++;
    http_req_set_user(r, &seen);
    if (path_is(r, "/health")) {
        http_reply(r, 200, STR("text/plain"), STR("ok"));
    } else if (path_is(r, "/deny")) {
        err_set(&e, ERR_UNAUTHORIZED, "no key");
        http_reply_err(r, &e);
    } else if (path_is(r, "/method")) {
        http_reply_field(r, "Allow", STR("POST"));
        err_set(&e, ERR_BAD_METHOD, "POST only");
        http_reply_err(r, &e);
    } else if (path_is(r, "/hold") || path_is(r, "/stream")) {
        assert_true(seen.n_held < HELD_MAX);
        seen.held[seen.n_held++] = r;
        if (path_is(r, "/stream")) http_sse_start(r);
    } else if (path_is(r, "/echo") || path_is(r, "/json") || path_is(r, "/park")) {
        http_req_read(r, seen.body_max);
    } else {
        err_set(&e, ERR_UNKNOWN_URL, "no such path");
        http_reply_err(r, &e);
    }
}

static inline void on_body(void *ctx, struct http_req *r)
{
    struct json_doc *doc;
    struct err       e = { 0 };

    (void)ctx;
    seen.bodies++;
    if (path_is(r, "/json")) {
        if (json_parse(http_req_body(r), NULL, &doc, &e) < 0) {
            http_reply_err(r, &e);
            return;
        }
        json_free(doc);
        http_reply(r, 200, STR("text/plain"), STR("json"));
    } else if (path_is(r, "/park")) {
        seen.held[seen.n_held++] = r;
    } else {
        http_reply(r, 200, STR("application/octet-stream"), http_req_body(r));
    }
}

static inline void forget(struct http_req *r)
{
    for (int i = 0; i < seen.n_held; i++)
        if (seen.held[i] == r) seen.held[i] = seen.held[--seen.n_held];
}

static inline void on_gone(void *ctx, struct http_req *r)
{
    (void)ctx;
    seen.gones++;
    assert_ptr_equal(http_req_user(r), &seen);
    http_sse_data(r, STR("{}")); // a late write does nothing
    http_reply(r, 200, STR_NULL, STR("late"));
}

static inline void on_done(void *ctx, struct http_req *r)
{
    (void)ctx;
    seen.dones++;
    seen.complete += http_req_complete(r);
    assert_ptr_equal(http_req_user(r), &seen);
    forget(r);
}

static inline void on_room(void *ctx, struct http_req *r)
{
    (void)ctx, (void)r;
    seen.rooms++;
}

static const struct http_calls calls = {
    .head = on_head, .body = on_body, .gone = on_gone, .done = on_done, .room = on_room,
};

static inline int listen_tcp(uint16_t *ret_port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t          n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 1024), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static inline int start(void **state)
{
    struct err e = { 0 };

    (void)state;
    memset(&seen, 0, sizeof seen);
    seen.body_max = MIB(1);
    conf          = http_conf_default;
    conf.tick_ms  = 1;
    fake_us       = 1000000;
    clock_fake(fake_us, 784111777);
    base = event_base_new();
    assert_ok(http_serv_new(base, &conf, &calls, NULL, &serv, &e));
    assert_ok(http_serv_listen(serv, listen_tcp(&port), NULL, &e));
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    http_serv_free(serv);
    serv = NULL;
    event_base_free(base);
    clock_fake(0, 0);
    assert_int_equal(seen.heads, seen.dones); // every request ended, and once
    return 0;
}

static inline void reconf(void)
{
    http_serv_set_conf(serv, &conf);
}

static inline void later(unsigned ms)
{
    fake_us += (uint64_t)ms * 1000;
    clock_fake(fake_us, 784111777);
}

static inline void turn(void)
{
    event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Turn until the expression holds; fail when it does not within many turns. */
#define until(expr)                                                     \
    do {                                                                \
        int tries_ = 0;                                                 \
        while (!(expr)) {                                               \
            if (++tries_ > 5000) fail_msg("never: %s", #expr);          \
            turn();                                                     \
            if (tries_ > 100) usleep(1000);                             \
        }                                                               \
    } while (0)

static inline void turns(int n)
{
    for (int i = 0; i < n; i++) {
        turn();
        usleep(300); // a tick of 1 ms has had its time
    }
}

/* --- the client --- */

struct client {
    int    fd;
    bool   eof, reset;
    size_t n;
    char   in[1 << 16];
};

static inline struct client *dial(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(port) };
    struct client *c = calloc(1, sizeof *c);

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(c->fd >= 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&a, sizeof a), 0);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return c;
}

static inline void hang_up(struct client *c)
{
    if (c->fd >= 0) close(c->fd);
    free(c);
}

static inline void say_n(struct client *c, const void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t w = send(c->fd, (const char *)p + at, n - at, MSG_NOSIGNAL);
        if (w > 0) at += (size_t)w;
        else if (errno == EAGAIN) turn();
        else return; // the server closed: the test looks at what it said
    }
}

static inline void say(struct client *c, const char *text)
{
    say_n(c, text, strlen(text));
}

/* What has come so far, as a C string. */
static inline const char *hear(struct client *c)
{
    ssize_t n;

    turn();
    while (!c->eof && c->n < sizeof c->in - 1 &&
           (n = recv(c->fd, c->in + c->n, sizeof c->in - 1 - c->n, 0)) != 0) {
        if (n < 0) {
            if (errno != EAGAIN) c->eof = c->reset = true;
            break;
        }
        c->n += (size_t)n;
        if (c->n == sizeof c->in - 1) break;
    }
    if (!c->eof && c->n < sizeof c->in - 1 && recv(c->fd, &(char){ 0 }, 1, MSG_PEEK) == 0) c->eof = true;
    c->in[c->n] = 0;
    return c->in;
}

static inline void unhear(struct client *c)
{
    c->n = 0;
}

#define until_hear(c, text) until(strstr(hear(c), text))
#define until_eof(c)        until((hear(c), (c)->eof))

static inline int status_of(struct client *c)
{
    hear(c);
    return c->n > 12 ? (int)strtol(c->in + 9, NULL, 10) : 0;
}

/* One request on a connection of its own; the status, and whether the connection stays. */
static inline int ask(const char *req, size_t n, bool *open)
{
    struct client *c = dial();

    say_n(c, req, n);
    until((hear(c), strstr(c->in, "\r\n\r\n") || c->eof));
    turns(2);
    hear(c);
    int status = status_of(c);
    if (open) *open = !c->eof;
    if (status >= 400 && !strstr(c->in, "{\"error\":{\"message\":\""))
        fail_msg("error without a JSON body: %s", c->in);
    hang_up(c);
    turns(1);
    return status;
}

static inline int ask_z(const char *req, bool *open)
{
    return ask(req, strlen(req), open);
}

/* --- what the tests send --- */

#define GET_  "GET /health HTTP/1.1\r\nHost: localhost\r\n"
#define POST_ "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
#define CHNK_ POST_ "Transfer-Encoding: chunked\r\n\r\n"

static inline struct client *open_stream(const char *version, const char *method, const char *field)
{
    struct client *c = dial();
    char           text[200];
    int            held = seen.n_held;

    snprintf(text, sizeof text, "%s /stream HTTP/%s\r\nHost: a\r\n%s\r\n", method, version, field);
    say(c, text);
    until(seen.n_held == held + 1);
    until_hear(c, "\r\n\r\n");
    return c;
}

#endif
