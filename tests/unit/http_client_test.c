/* http_client_test.c - the client against our own server and against a raw socket that says what it likes. */
#include "http_rig.h"

#include <sys/un.h>

#include "base/mem.h"
#include "http/http_client.h"

static struct http_client *client_;

/* What one call heard. */
struct heard {
    struct http_call *call;
    int               heads, dones, status, datas;
    char              type[64], retry[32];
    struct buf        body;
    struct err        e;
    bool              failed;
    bool              cancel_in_data, pause_in_data;
};

static void h_head(void *ctx, const struct http_answer *a)
{
    struct heard *h = ctx;

    h->heads++;
    h->status = a->status;
    str_copy_z(h->type, sizeof h->type, a->type);
    str_copy_z(h->retry, sizeof h->retry, a->retry_after);
}

static void h_data(void *ctx, struct str bytes)
{
    struct heard *h = ctx;

    h->datas++;
    buf_str(&h->body, bytes);
    if (h->cancel_in_data) http_call_cancel(h->call);
    if (h->pause_in_data) http_call_pause(h->call);
}

static void h_done(void *ctx, const struct err *e)
{
    struct heard *h = ctx;

    h->dones++;
    h->failed = e != NULL;
    if (e) h->e = *e;
}

static const struct http_call_fns fns = { h_head, h_data, h_done };

static int begin(void **state)
{
    static const struct http_client_conf c = { .conns_host = 2, .tick_ms = 1 };
    struct err                           e;

    start(state);
    assert_ok(http_client_new(base, &c, &client_, &e));
    return 0;
}

static int end(void **state)
{
    http_client_free(client_);
    return stop(state);
}

static struct http_ask to(char *url, size_t size, const char *path, const char *body)
{
    snprintf(url, size, "http://127.0.0.1:%d%s", port, path);
    return (struct http_ask){ .url = str_c(url), .post = body != NULL, .body = str_c(body ? body : "") };
}

static void go(struct heard *h, const struct http_ask *what)
{
    struct err e;

    buf_init(&h->body, MIB(64));
    assert_ok(http_call_start(client_, what, &fns, h, &h->call, &e));
}

static void forget_heard(struct heard *h)
{
    buf_release(&h->body);
    *h = (struct heard){ 0 };
}

static void get_and_post(void **state)
{
    (void)state;
    struct heard    h = { 0 };
    char            url[128];
    struct http_ask a = to(url, sizeof url, "/health", NULL);

    go(&h, &a);
    until(h.dones);
    assert_true(!h.failed && h.heads == 1 && h.status == 200);
    assert_string_equal(h.type, "text/plain");
    assert_str(buf_text(&h.body), "ok");
    forget_heard(&h);

    a = to(url, sizeof url, "/echo", "a body");
    go(&h, &a);
    until(h.dones);
    assert_str(buf_text(&h.body), "a body");
    forget_heard(&h);

    a = to(url, sizeof url, "/nowhere", NULL); // an error status is an answer
    go(&h, &a);
    until(h.dones);
    assert_true(!h.failed && h.status == 404);
    forget_heard(&h);
}

/* Pieces come as the server writes them, and the server hears at once that nobody wants more. */
static void stream_and_cancel(void **state)
{
    (void)state;
    struct heard    h = { 0 };
    char            url[128];
    struct http_ask a = to(url, sizeof url, "/stream", NULL);

    go(&h, &a);
    until(seen.n_held == 1);
    http_sse_data(seen.held[0], STR("{\"n\":1}"));
    until(h.datas == 1);
    assert_str(buf_text(&h.body), "data: {\"n\":1}\n\n");
    http_sse_data(seen.held[0], STR("{\"n\":2}"));
    until(h.datas == 2);
    http_call_cancel(h.call);
    until(seen.gones == 1);
    assert_int_equal(h.dones, 0);
    forget_heard(&h);

    a = to(url, sizeof url, "/stream", NULL); // from inside its own data
    h.cancel_in_data = true;
    go(&h, &a);
    until(seen.n_held == 1);
    http_sse_data(seen.held[0], STR("{}"));
    until(seen.gones == 2);
    assert_true(h.datas == 1 && h.dones == 0);
    forget_heard(&h);
}

/* A paused call takes nothing more, and everything comes once it goes on. */
static void pause_and_resume(void **state)
{
    (void)state;
    struct heard    h = { .pause_in_data = true };
    char            url[128];
    struct http_ask a = to(url, sizeof url, "/stream", NULL);

    a.idle_ms = 100;
    go(&h, &a);
    until(seen.n_held == 1);
    http_sse_data(seen.held[0], STR("\"one\""));
    until(h.datas == 1);
    for (int i = 0; i < 100; i++) {
        http_sse_data(seen.held[0], STR("\"more\""));
        turn();
    }
    later(1000); // we do not read: that is not the server's silence
    turns(20);
    assert_true(h.datas == 1 && h.dones == 0);
    h.pause_in_data = false;
    http_call_resume(h.call);
    http_stream_end(seen.held[0]);
    until(h.dones);
    assert_false(h.failed);
    assert_int_equal(h.body.n, strlen("data: \"one\"\n\n") + 100 * strlen("data: \"more\"\n\n"));
    forget_heard(&h);
}

static void deadlines(void **state)
{
    (void)state;
    struct heard    h = { 0 };
    char            url[128];
    struct http_ask a = to(url, sizeof url, "/stream", NULL);

    a.idle_ms = 500;
    go(&h, &a);
    until(seen.n_held == 1);
    http_sse_data(seen.held[0], STR("{}"));
    until(h.datas == 1);
    later(400);
    turns(10);
    assert_int_equal(h.dones, 0);
    later(200);
    until(h.dones);
    assert_true(h.failed && h.e.code == ERR_UPSTREAM_TIMEOUT && strstr(h.e.msg, "no answer in time"));
    until(seen.gones == 1);
    forget_heard(&h);

    a          = to(url, sizeof url, "/stream", NULL);
    a.total_ms = 1000;
    go(&h, &a);
    until(seen.n_held == 1);
    for (int i = 0; i < 12 && !h.dones; i++) { // never silent, and still too long
        if (seen.n_held) http_sse_data(seen.held[0], STR("{}"));
        later(100);
        turns(5);
    }
    until(h.dones);
    assert_int_equal(h.e.code, ERR_UPSTREAM_TIMEOUT);
    forget_heard(&h);
}

static void limits(void **state)
{
    (void)state;
    struct heard    h = { 0 };
    char            url[128];
    struct http_ask a = to(url, sizeof url, "/echo", "12345678");

    a.body_max = 8;
    go(&h, &a);
    until(h.dones);
    assert_false(h.failed);
    forget_heard(&h);
    a.body_max = 7;
    go(&h, &a);
    until(h.dones);
    assert_true(h.failed && h.e.code == ERR_TOO_LARGE && h.body.n == 0);
    forget_heard(&h);
}

static void refused_before(void **state)
{
    (void)state;
    static const struct http_field split = { STR("x-a"), STR("b\r\nx-c: d") };
    struct heard                   h     = { 0 };
    struct http_ask                a     = { .url = STR("file:///etc/passwd") };
    struct err                     e;
    char                           url[128];

    assert_err(http_call_start(client_, &a, &fns, &h, &h.call, &e), ERR_INVALID_VALUE, "no http or https URL");
    a.url = STR("");
    assert_err(http_call_start(client_, &a, &fns, &h, &h.call, &e), ERR_INVALID_VALUE, "no http or https URL");
    a.url = (struct str){ "http://a\0b", 10 };
    assert_err(http_call_start(client_, &a, &fns, &h, &h.call, &e), ERR_INVALID_VALUE, "NUL");
    a         = to(url, sizeof url, "/health", NULL);
    a.field   = &split;
    a.n_field = 1;
    assert_err(http_call_start(client_, &a, &fns, &h, &h.call, &e), ERR_INVALID_VALUE, "line end");
    forget_heard(&h);
}

/* --- a server that says what it likes --- */

static int raw_listen = -1, raw_fd = -1;

static void raw_open(void)
{
    raw_listen = listen_tcp(&port);
    fcntl(raw_listen, F_SETFL, O_NONBLOCK);
}

static void raw_accept(void)
{
    char in[4096];

    until((raw_fd = accept(raw_listen, NULL, NULL)) >= 0);
    fcntl(raw_fd, F_SETFL, O_NONBLOCK);
    until(recv(raw_fd, in, sizeof in, 0) > 0);
}

static void raw_say(const char *p, size_t n)
{
    assert_int_equal(send(raw_fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void raw_close(void)
{
    close(raw_fd);
    raw_fd = -1;
}

/* Ask the raw server, let it say `text` and close; what came of it. */
static void raw_reply(struct heard *h, const char *text, size_t n)
{
    char            url[128];
    struct http_ask a = to(url, sizeof url, "/x", NULL);

    go(h, &a);
    raw_accept();
    raw_say(text, n);
    raw_close();
    until(h->dones);
}

static void hostile(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool        ok;
        int         status;
    } rows[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true, 200 },
        { "HTTP/1.1 103 Early Hints\r\nContent-Type: x/y\r\n\r\nHTTP/1.1 204 No\r\n\r\n", true, 204 },
        { "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", true, 302 },
        { "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nshort", false, 0 },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", false, 0 },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false, 0 },
        { "garbage\r\n\r\n", false, 0 },
        { "", false, 0 },
    };

    raw_open();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct heard h = { 0 };
        raw_reply(&h, rows[i].text, strlen(rows[i].text));
        if (h.failed == rows[i].ok) fail_msg("row %zu: %s", i, h.e.msg);
        if (rows[i].ok) assert_int_equal(h.status, rows[i].status);
        else assert_int_equal(h.e.code, ERR_UPSTREAM);
        assert_true(h.type[0] == 0); // an interim head's type is not the reply's
        forget_heard(&h);
    }
    size_t n = 300000; // a head without end
    char  *p = calloc(1, n);
    int    at = snprintf(p, n, "HTTP/1.1 200 OK\r\n");
    while ((size_t)at + 20 < n) at += snprintf(p + at, n - (size_t)at, "x-y: 01234567\r\n");
    struct heard    h = { 0 };
    char            url[128];
    struct http_ask a = to(url, sizeof url, "/x", NULL);
    go(&h, &a);
    raw_accept();
    for (size_t sent = 0; !h.dones;) {
        ssize_t w = sent < (size_t)at ? send(raw_fd, p + sent, (size_t)at - sent, MSG_NOSIGNAL) : 0;
        sent += w > 0 ? (size_t)w : 0;
        turn();
    }
    assert_true(h.failed && h.e.code == ERR_UPSTREAM);
    raw_close();
    free(p);
    forget_heard(&h);
    close(raw_listen);

    a = to(url, sizeof url, "/x", NULL); // nobody listens there now
    go(&h, &a);
    until(h.dones);
    assert_true(h.failed && h.e.code == ERR_UPSTREAM);
    forget_heard(&h);
}

/* Requests beyond conns_host wait for a connection; each is answered. */
static void many_at_once(void **state)
{
    (void)state;
    struct heard    h[8] = { { 0 } };
    char            url[128];
    struct http_ask a = to(url, sizeof url, "/hold", NULL);

    for (int i = 0; i < 8; i++) go(&h[i], &a);
    for (int i = 0; i < 8; i++) {
        until(seen.n_held > 0);
        turns(5);
        assert_true(seen.n_held <= 2);
        http_reply(seen.held[0], 200, STR("text/plain"), STR("x"));
        until(seen.dones == i + 1);
    }
    for (int i = 0; i < 8; i++) {
        until(h[i].dones);
        assert_false(h[i].failed);
        forget_heard(&h[i]);
    }
}

static void by_name_and_socket(void **state)
{
    (void)state;
    struct heard       h = { 0 };
    char               url[128], dir[] = "/tmp/curlew-client-XXXXXX";
    struct sockaddr_un u = { .sun_family = AF_UNIX };
    struct err         e;

    snprintf(url, sizeof url, "http://upstream.invalid:%d/health", port); // no resolver knows it
    struct http_ask a = { .url = str_c(url), .addr = STR("127.0.0.1") };
    go(&h, &a);
    until(h.dones);
    assert_false(h.failed);
    forget_heard(&h);

    assert_non_null(mkdtemp(dir));
    snprintf(u.sun_path, sizeof u.sun_path, "%s/s", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&u, sizeof u), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_ok(http_serv_listen(serv, fd, NULL, &e));
    a = (struct http_ask){ .url = STR("http://localhost/health"), .unix_path = str_c(u.sun_path) };
    go(&h, &a);
    until(h.dones);
    assert_false(h.failed);
    assert_str(buf_text(&h.body), "ok");
    forget_heard(&h);
    unlink(u.sun_path);
    rmdir(dir);
}

static void freed_while_running(void **state)
{
    (void)state;
    struct heard    h = { 0 };
    char            url[128];
    struct http_ask a = to(url, sizeof url, "/stream", NULL);
    struct err      e;

    go(&h, &a);
    until(seen.n_held == 1);
    http_client_free(client_);
    until(seen.gones == 1);
    assert_int_equal(h.dones, 0);
    buf_release(&h.body);
    static const struct http_client_conf c = { .conns_host = 2, .tick_ms = 1 };
    assert_ok(http_client_new(base, &c, &client_, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
        T(get_and_post), T(stream_and_cancel), T(pause_and_resume), T(deadlines), T(limits), T(refused_before),
        T(hostile), T(many_at_once), T(by_name_and_socket), T(freed_while_running),
    };
    return cmocka_run_group_tests_name("http_client", tests, NULL, NULL);
}
