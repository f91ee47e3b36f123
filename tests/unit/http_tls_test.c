/* http_tls_test.c - the server behind TLS, from a client in the same thread. */
#include "unit.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "http/http.h"
#include "http/http_ssl.h"

static struct event_base *base;
static struct http_serv  *serv;
static struct http_tls   *tls;
static struct http_req   *held;
static int                gones, dones;

static void on_head(void *ctx, struct http_req *r)
{
    (void)ctx;
    if (http_req_head(r)->method == HTTP_POST) {
        http_req_read(r, MIB(8));
        return;
    }
    held = r;
    http_sse_start(r);
}

static void on_body(void *ctx, struct http_req *r)
{
    (void)ctx;
    http_reply(r, 200, STR("text/plain"), http_req_body(r));
}

static void on_gone(void *ctx, struct http_req *r)
{
    (void)ctx, (void)r;
    gones++;
}

static void on_done(void *ctx, struct http_req *r)
{
    (void)ctx, (void)r;
    dones++;
}

static struct http_tls *load(const char *cert, const char *key, struct err *e)
{
    size_t           n_cert = 0, n_key = 0;
    char            *c = unit_read(unit_data(cert), &n_cert), *k = unit_read(unit_data(key), &n_key);
    struct http_tls *t = NULL;

    if (http_tls_new((struct str){ c, n_cert }, (struct str){ k, n_key }, &t, e) < 0) assert_null(t);
    free(c), free(k);
    return t;
}

static int start(void **state)
{
    static const struct http_calls calls = { .head = on_head, .body = on_body, .gone = on_gone, .done = on_done };
    struct http_conf conf = http_conf_default;
    struct err       e    = { 0 };

    (void)state;
    gones = dones = 0;
    held         = NULL;
    conf.tick_ms = 1;
    clock_fake(1000000, 784111777);
    base = event_base_new();
    tls  = load("http/test-cert.pem", "http/test-key.pem", &e);
    if (!tls) fail_msg("%s", e.msg);
    assert_ok(http_serv_new(base, &conf, &calls, NULL, &serv, &e));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_serv_free(serv);
    http_tls_free(tls);
    event_base_free(base);
    clock_fake(0, 0);
    return 0;
}

/* --- the client --- */

struct client {
    SSL_CTX *ctx;
    SSL     *ssl;
    int      fd;
    char    *in;
    size_t   n, cap;
    bool     eof;
};

static int connect_raw(void)
{
    struct err e = { 0 };
    int        pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_ok(http_serv_adopt(serv, pair[0], tls, &e));
    return pair[1];
}

static void dial(struct client *c)
{
    static const unsigned char alpn[] = "\x02h2\x08http/1.1";

    *c     = (struct client){ .fd = connect_raw(), .cap = MIB(4) };
    c->in  = calloc(1, c->cap + 1);
    c->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    c->ssl = SSL_new(c->ctx);
    SSL_set_alpn_protos(c->ssl, alpn, sizeof alpn - 1);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
}

static void hang_up(struct client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    close(c->fd);
    free(c->in);
}

static void hear(struct client *c)
{
    int n;

    event_base_loop(base, EVLOOP_NONBLOCK);
    while (c->n < c->cap && (n = SSL_read(c->ssl, c->in + c->n, (int)(c->cap - c->n))) > 0) c->n += (size_t)n;
    int why = SSL_get_error(c->ssl, 0);
    c->eof  = why == SSL_ERROR_ZERO_RETURN;
    c->in[c->n] = 0;
}

static void say(struct client *c, const char *p, size_t n)
{
    for (int tries = 0; n;) {
        int done = SSL_write(c->ssl, p, (int)n);
        if (done > 0) p += done, n -= (size_t)done, tries = 0;
        else event_base_loop(base, EVLOOP_NONBLOCK);
        assert_true(++tries < 5000);
        hear(c);
    }
}

#define until(c, expr)                                          \
    do {                                                        \
        for (int tries_ = 0; !(expr); tries_++) {               \
            if (tries_ > 5000) fail_msg("never: %s", #expr);    \
            hear(c);                                            \
            if (tries_ > 100) usleep(1000);                     \
        }                                                       \
    } while (0)

/* --- tests --- */

static void test_request(void **state)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n";
    struct client     c;
    char             *body = malloc(3000000);
    const unsigned char *alpn;
    unsigned          n_alpn;

    (void)state;
    dial(&c);
    for (size_t i = 0; i < 3000000; i++) body[i] = (char)('a' + i % 23);
    say(&c, head, sizeof head - 1);
    say(&c, body, 3000000);
    until(&c, c.n >= 3000000 && strstr(c.in, "\r\n\r\n") && c.n == (size_t)(strstr(c.in, "\r\n\r\n") + 4 - c.in) + 3000000);
    assert_memory_equal(strstr(c.in, "\r\n\r\n") + 4, body, 3000000);
    SSL_get0_alpn_selected(c.ssl, &alpn, &n_alpn);
    assert_int_equal(n_alpn, 8);
    assert_memory_equal(alpn, "http/1.1", 8);
    c.n = 0; // again on the same connection, and then it ends in good order
    static const char again[] = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    say(&c, again, sizeof again - 1);
    until(&c, c.eof);
    assert_non_null(strstr(c.in, "\r\n\r\nhi"));
    hang_up(&c);
    free(body);
    assert_int_equal(dones, 2);
    assert_int_equal(gones, 0);
}

static void test_stream(void **state)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct client     c;

    (void)state;
    dial(&c);
    say(&c, get, sizeof get - 1);
    until(&c, held);
    for (int i = 0; i < 5; i++) {
        c.n = 0;
        http_sse_data(held, STR("{\"a\":1}"));
        until(&c, strstr(c.in, "data: {\"a\":1}\n\n\r\n"));
    }
    hang_up(&c);
    for (int i = 0; i < 1000 && !gones; i++) event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(gones, 1);
    assert_int_equal(dones, 1);
}

/* Who does not speak TLS, or not to the end, is dropped. */
static void test_no_handshake(void **state)
{
    static const char plain[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    int               talks = connect_raw(), silent = connect_raw();

    (void)state;
    assert_int_equal(write(talks, plain, sizeof plain - 1), sizeof plain - 1);
    for (int i = 0; i < 1000 && http_serv_stats(serv)->conns_open == 2; i++) event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(http_serv_stats(serv)->conns_open, 1);
    clock_fake(1000000 + (LIM_HEAD_MS + 1) * 1000ull, 784111777);
    for (int i = 0; i < 1000 && http_serv_stats(serv)->conns_open; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    assert_int_equal(http_serv_stats(serv)->conns_open, 0);
    assert_int_equal(dones, 0);
    close(talks), close(silent);
}

static void test_bad_files(void **state)
{
    struct err e = { 0 };

    (void)state;
    assert_null(load("http/test-key.pem", "http/test-key.pem", &e));
    assert_int_equal(e.code, ERR_BAD_CONFIG);
    assert_non_null(strstr(e.msg, "certificate is not PEM"));
    assert_null(load("http/test-cert.pem", "http/test-cert.pem", &e));
    assert_non_null(strstr(e.msg, "private key is not PEM"));
    assert_null(load("http/test-cert.pem", "http/none", &e));
    assert_non_null(strstr(e.msg, "empty"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        T(test_request), T(test_stream), T(test_no_handshake), T(test_bad_files),
    };
    log_init(LOG_LVL_ERROR, "test");
    trace_init(getenv("TRACE"), &(const char *){ NULL });
    return cmocka_run_group_tests(tests, NULL, NULL);
}
