/* http_serv_test.c - the server as a client sees it: requests, replies, streams, the end.
 *
 * With http_limit_test.c it goes through the robustness list that HTTP libraries were measured
 * against before this server was written.
 */
#include "http_rig.h"

#include <sys/un.h>

static void test_simple(void **state)
{
    (void)state;
    struct client *c = dial();
    say(c, "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: abc-1\r\n\r\n");
    until_hear(c, "\r\n\r\nok");
    assert_string_equal(c->in, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                               "x-request-id: abc-1\r\nContent-Type: text/plain\r\n"
                               "Content-Length: 2\r\n\r\nok");
    unhear(c);
    say(c, "HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until_hear(c, "\r\n\r\n");
    assert_non_null(strstr(c->in, "Content-Length: 2\r\n\r\n"));
    assert_non_null(strstr(c->in, "x-request-id: req_"));
    assert_null(strstr(c->in, "ok"));
    unhear(c);
    say(c, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello");
    until_hear(c, "\r\n\r\nhello");
    unhear(c);
    say(c, "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
           "5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nTrailer: x\r\n\r\n");
    until_hear(c, "\r\n\r\nhello!");
    hang_up(c);
    turns(2);
    assert_int_equal(seen.dones, 4);
    assert_int_equal(seen.complete, 4);
    assert_int_equal(seen.gones, 0);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *name, *wire;
        int         status;
        bool        open; // afterwards
    } rows[] = {
        { "chunked", CHNK_ "7\r\nabcdefg\r\n0\r\n\r\n", 200, true },
        { "chunk extension", CHNK_ "7;x=y\r\nabcdefg\r\n0\r\n\r\n", 200, true },
        { "trailer", CHNK_ "0\r\nContent-Length: 5\r\n\r\n", 200, true },
        { "CL and TE", POST_ "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, false },
        { "two CL", POST_ "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400, false },
        { "CL +7", POST_ "Content-Length: +7\r\n\r\nabcdefg", 400, false },
        { "TE gzip, chunked", POST_ "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, false },
        { "TE xchunked", POST_ "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, false },
        { "TE with a control", POST_ "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400, false },
        { "TE twice", POST_ "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, false },
        { "TE with a blank", POST_ "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, false },
        { "obs-fold", GET_ "A: b\r\n c\r\n\r\n", 400, false },
        { "obs-fold in TE", POST_ "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400, false },
        { "bare LF", "GET /health HTTP/1.1\nHost: localhost\n\n", 400, false },
        { "bare CR in a value", GET_ "A: b\rc\r\n\r\n", 400, false },
        { "chunk size 0x7", CHNK_ "0x7\r\nabcdefg\r\n0\r\n\r\n", 400, false },
        { "chunk size +7", CHNK_ "+7\r\nabcdefg\r\n0\r\n\r\n", 400, false },
        { "chunk size with a blank", CHNK_ " 7\r\nabcdefg\r\n0\r\n\r\n", 400, false },
        { "chunk size negative", CHNK_ "-7\r\nabcdefg\r\n0\r\n\r\n", 400, false },
        { "chunk size overflows", CHNK_ "fffffffffffffffff\r\nabcdefg\r\n0\r\n\r\n", 413, false },
        { "chunk size huge", CHNK_ "7fffffffffffffff\r\nabcdefg\r\n0\r\n\r\n", 413, false },
        { "chunk size all ones", CHNK_ "ffffffffffffffff\r\nabcdefg\r\n0\r\n\r\n", 413, false },
        { "chunk size junk", CHNK_ "xyz\r\nabcdefg\r\n0\r\n\r\n", 400, false },
        { "chunk without CRLF", CHNK_ "7\r\nabcdefg0\r\n\r\n", 400, false },
        { "two Hosts", GET_ "Host: localhost\r\n\r\n", 400, false },
        { "no Host", "GET /health HTTP/1.1\r\n\r\n", 400, false },
        { "body over the limit, CL", POST_ "Content-Length: 1048577\r\n\r\n", 413, false },
        { "body over the limit, chunked", CHNK_ "100001\r\n", 413, false },
        { "bad JSON keeps", "POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n{", 400, true },
        { "404 keeps", "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404, true },
        { "404 with a small body keeps", "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 404, true },
        { "405", "GET /method HTTP/1.1\r\nHost: a\r\n\r\n", 405, true },
        { "401", "GET /deny HTTP/1.1\r\nHost: a\r\n\r\n", 401, true },
        { "401 before a body that may not come", "POST /deny HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
          "Content-Length: 3\r\n\r\n", 401, false },
        { "401 before a large body", "POST /deny HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n", 401, false },
        { "404 before chunks", "POST /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 404, false },
        { "h2 prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, false },
        { "h2c upgrade is ignored", GET_ "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
          "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", 200, true },
        { "unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, false },
        { "CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501, false },
        { "expectation", POST_ "Expect: x\r\nContent-Length: 1\r\n\r\nx", 417, false },
        { "HTTP/1.0", "GET /health HTTP/1.0\r\n\r\n", 200, false },
        { "HTTP/1.0 keep-alive", "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, true },
        { "Connection: close", GET_ "Connection: close\r\n\r\n", 200, false },
    };
    int bad = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool open;
        int  status = ask_z(rows[i].wire, &open);
        if (status == rows[i].status && open == rows[i].open) continue;
        print_error("%s: %d %s, want %d %s\n", rows[i].name, status, open ? "open" : "closed",
                    rows[i].status, rows[i].open ? "open" : "closed");
        bad++;
    }
    assert_int_equal(bad, 0);
    bool open; // what a C string cannot hold
    static const char nul[] = GET_ "A: b\0c\r\n\r\n";
    assert_int_equal(ask(nul, sizeof nul - 1, &open), 400);
    assert_false(open);
    assert_int_equal(seen.gones, 10); // accepted, then refused for their chunks
    assert_int_equal(http_serv_stats(serv)->reqs_open, 0);
    assert_int_equal(http_serv_stats(serv)->body_bytes, 0);
}

static void test_large_heads(void **state)
{
    (void)state;
    bool  open;
    char *big = malloc(KIB(64));

    memset(big, 'a', KIB(64));
    memcpy(big, "GET /", 5);
    assert_int_equal(ask(big, KIB(9), &open), 414);
    assert_false(open);
    memcpy(big, GET_ "A: ", strlen(GET_ "A: "));
    assert_int_equal(ask(big, KIB(20), &open), 431);
    assert_false(open);
    size_t n = strlen(GET_);
    for (int i = 0; i < 101; i++, n += 6) memcpy(big + n, "A: b\r\n", 6);
    assert_int_equal(ask(big, n, &open), 431);
    free(big);
    assert_int_equal(seen.heads, 0);
    assert_int_equal(http_serv_stats(serv)->refused[ERR_HEADERS], 2);
}

/* An early answer must reach a client that is still sending: no reset before it has read it. */
static void test_lingering(void **state)
{
    (void)state;
    struct client *c = dial();
    char           block[4096];

    memset(block, 'x', sizeof block);
    say(c, "POST /deny HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n");
    for (int i = 0; i < 256; i++) say_n(c, block, sizeof block);
    until_eof(c);
    assert_false(c->reset);
    assert_int_equal(status_of(c), 401);
    assert_non_null(strstr(c->in, "Connection: close\r\n"));
    assert_non_null(strstr(c->in, "WWW-Authenticate: Bearer\r\n"));
    assert_int_equal(http_serv_stats(serv)->conns_open, 1); // waits for the client to close
    later(LIM_LINGER_MS + 1);
    until(http_serv_stats(serv)->conns_open == 0);
    hang_up(c);
    assert_int_equal(seen.bodies, 0);
}

static void test_continue(void **state)
{
    (void)state;
    struct client *c = dial();
    say(c, POST_ "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    until_hear(c, "\r\n\r\n");
    assert_string_equal(c->in, "HTTP/1.1 100 Continue\r\n\r\n");
    unhear(c);
    say(c, "hello");
    until_hear(c, "\r\n\r\nhello");
    assert_int_equal(status_of(c), 200);
    unhear(c); // announced too large: refused instead of continued
    say(c, POST_ "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
    until_eof(c);
    assert_int_equal(status_of(c), 413);
    hang_up(c);
}

static void test_pipelining(void **state)
{
    (void)state;
    struct client *c = dial();
    say(c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n" POST_ "Content-Length: 2\r\n\r\nab\r\n"
           "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" GET_ "\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    until(seen.n_held == 1);
    turns(3);
    assert_int_equal(seen.heads, 1); // the second is not looked at before the first is answered
    http_reply(seen.held[0], 200, STR("text/plain"), STR("first"));
    until(seen.n_held == 1 && path_is(seen.held[0], "/stream"));
    until_hear(c, "\r\n\r\nab");
    assert_true(strstr(c->in, "first") < strstr(c->in, "\r\n\r\nab"));
    http_sse_data(seen.held[0], STR("{\"a\":1}"));
    until_hear(c, "data: {\"a\":1}\n\n");
    turns(3);
    assert_int_equal(seen.heads, 3);
    http_sse_done(seen.held[0]);
    http_stream_end(seen.held[0]);
    until_hear(c, "\r\n\r\nok");
    until_hear(c, "unknown_url");
    assert_non_null(strstr(c->in, "data: [DONE]\n\n\r\n0\r\n\r\nHTTP/1.1 200 OK"));
    hang_up(c);
    turns(2);
    assert_int_equal(seen.gones, 0);
    assert_int_equal(seen.complete, 5);
}

/* --- streams --- */

static void test_sse(void **state)
{
    (void)state;
    struct client *c = open_stream("1.1", "GET", "");
    assert_non_null(strstr(c->in, "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
                                  "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n\r\n"));
    unhear(c);
    struct http_req *r = seen.held[0];
    http_sse_data(r, STR("{\"a\":1}"));
    http_sse_event(r, "ping", STR("{}"));
    http_sse_data(r, STR("one\r\ntwo\nthree\r"));
    until_hear(c, "three"); // one turn: one chunk
    assert_string_equal(c->in, "004d\r\ndata: {\"a\":1}\n\nevent: ping\ndata: {}\n\n"
                               "data: one\ndata: two\ndata: three\ndata: \n\n\r\n");
    unhear(c);
    later(LIM_SSE_PING_MS + 1);
    until_hear(c, "keep-alive");
    assert_string_equal(c->in, "000e\r\n: keep-alive\n\n\r\n");
    turns(3);
    assert_string_equal(hear(c), "000e\r\n: keep-alive\n\n\r\n"); // once a period
    unhear(c);
    http_sse_done(r);
    http_stream_end(r);
    http_sse_data(r, STR("late")); // ended: nothing
    until_hear(c, "0\r\n\r\n");
    assert_string_equal(c->in, "000e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    until(seen.complete == 1);
    unhear(c);
    say(c, GET_ "\r\n");
    until_hear(c, "ok");
    hang_up(c);
}

static void test_stream_kinds(void **state)
{
    (void)state;
    struct client *c = open_stream("1.0", "GET", ""); // up to the close
    assert_null(strstr(c->in, "chunked"));
    assert_non_null(strstr(c->in, "Connection: close\r\n"));
    unhear(c);
    http_sse_data(seen.held[0], STR("{}"));
    http_stream_end(seen.held[0]);
    until_eof(c);
    assert_string_equal(c->in, "data: {}\n\n");
    hang_up(c);

    c = open_stream("1.0", "GET", "Connection: keep-alive\r\n"); // even then
    http_stream_end(seen.held[0]);
    until_eof(c);
    assert_null(strstr(c->in, "keep-alive"));
    hang_up(c);

    c = open_stream("1.1", "HEAD", ""); // no body at all
    unhear(c);
    http_sse_data(seen.held[0], STR("{}"));
    http_stream_end(seen.held[0]);
    say(c, GET_ "\r\n");
    until_hear(c, "ok");
    assert_int_equal(strncmp(c->in, "HTTP/1.1 200", 12), 0);
    hang_up(c);

    c = open_stream("1.1", "GET", ""); // cut in the middle
    unhear(c);
    http_sse_data(seen.held[0], STR("{}"));
    http_req_flush(seen.held[0]);
    http_stream_abort(seen.held[0]);
    until_eof(c);
    assert_string_equal(c->in, "000a\r\ndata: {}\n\n\r\n");
    hang_up(c);
    assert_int_equal(seen.gones, 0);
    assert_int_equal(seen.complete, 4);
}

/* Pieces larger than one chunk's size field, and many chunks, come out whole. */
static void test_large_pieces(void **state)
{
    (void)state;
    struct client     *c = open_stream("1.1", "GET", "");
    struct http_chunks d = { 0 };
    struct err         e = { 0 };
    char              *piece = malloc(200000);
    size_t             total = 0;

    for (size_t i = 0; i < 200000; i++) piece[i] = (char)('a' + i % 26);
    unhear(c);
    http_stream_put(seen.held[0], (struct str){ piece, 65535 });
    http_stream_put(seen.held[0], (struct str){ piece, 1 });
    http_stream_put(seen.held[0], (struct str){ piece, 200000 });
    http_stream_end(seen.held[0]);
    for (int end = 0, idle = 0; !end;) {
        hear(c);
        assert_true(++idle < 5000);
        struct str in = { c->in, c->n }, data;
        while (in.n && !end) {
            size_t used;
            end = http_chunks_feed(&d, &http_limits_default, in, &used, &data, &e);
            assert_true(end >= 0);
            for (size_t i = 0; i < data.n; i++, total++) {
                size_t at = total < 65535 ? total : total == 65535 ? 0 : total - 65536;
                assert_int_equal(data.p[i], 'a' + at % 26);
            }
            in = str_from(in, used);
        }
        unhear(c);
    }
    assert_int_equal(total, 265536);
    free(piece);
    hang_up(c);
}

/* --- listeners, guard, end --- */

static void test_other_sockets(void **state)
{
    struct sockaddr_un  u = { .sun_family = AF_UNIX };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    socklen_t           n  = sizeof v6;
    struct err          e  = { 0 };
    int                 pair[2];

    (void)state;
    snprintf(u.sun_path + 1, sizeof u.sun_path - 1, "curlew-http-test-%d", (int)getpid()); // abstract
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&u, sizeof u), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_ok(http_serv_listen(serv, fd, NULL, &e));
    struct client *c = calloc(1, sizeof *c);
    c->fd            = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&u, sizeof u), 0);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    say(c, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until(seen.n_held == 1);
    assert_str(http_req_peer(seen.held[0]), "unix");
    assert_true(http_req_local(seen.held[0]));
    hang_up(c);
    until(seen.gones == 1);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_ok(http_serv_adopt(serv, pair[0], NULL, &e));
    c     = calloc(1, sizeof *c);
    c->fd = pair[1];
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    say(c, GET_ "\r\n");
    until_hear(c, "\r\n\r\nok");
    hang_up(c);

    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&v6, sizeof v6) < 0) {
        print_message("no IPv6 loopback here: skipped\n");
        if (fd >= 0) close(fd);
        return;
    }
    assert_int_equal(listen(fd, 8), 0);
    getsockname(fd, (struct sockaddr *)&v6, &n);
    assert_ok(http_serv_listen(serv, fd, NULL, &e));
    c     = calloc(1, sizeof *c);
    c->fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&v6, sizeof v6), 0);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    say(c, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until(seen.n_held == 1);
    assert_true(str_starts(http_req_peer(seen.held[0]), STR("[::1]:")));
    assert_true(http_req_local(seen.held[0]));
    hang_up(c);
}

static void test_guarded(void **state)
{
    static const struct http_guard guard = { 0 };

    (void)state;
    conf.guard = &guard;
    reconf();
    assert_int_equal(ask_z("GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", NULL), 403);
    assert_int_equal(ask_z(GET_ "Origin: https://evil.example\r\n\r\n", NULL), 403);
    assert_int_equal(ask_z("OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n"
                           "Access-Control-Request-Method: POST\r\n\r\n", NULL), 403);
    assert_int_equal(seen.heads, 0); // no handler saw them
    struct client *c = dial();
    say(c, "OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\n"
           "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n");
    until_hear(c, "\r\n\r\n");
    assert_int_equal(status_of(c), 204);
    assert_null(strstr(c->in, "Content-Length"));
    assert_non_null(strstr(c->in, "Access-Control-Allow-Headers: authorization\r\n"));
    unhear(c);
    say(c, GET_ "Origin: http://localhost:3000\r\n\r\n");
    until_hear(c, "\r\n\r\nok");
    assert_non_null(strstr(c->in, "Access-Control-Allow-Origin: http://localhost:3000\r\nVary: Origin\r\n"));
    hang_up(c);
}

static void test_fields(void **state)
{
    (void)state;
    struct client *c = dial();
    struct err     e = { 0 };
    say(c, "GET /hold HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\n\r\n");
    until(seen.n_held == 1);
    struct http_req *r = seen.held[0];
    assert_true(str_starts(http_req_id(r), STR("req_"))); // theirs could not go into a log
    assert_false(http_reply_field(r, "X-Model", STR("a\r\nSet-Cookie: b")));
    assert_false(http_reply_field(r, "X Model", STR("a")));
    assert_false(http_reply_field(r, "", STR("a")));
    assert_true(http_reply_field(r, "Retry-After", STR("7")));
    err_param(&e, ERR_RATE_LIMIT, "model", "slow \"down\"");
    http_reply_err(r, &e);
    until_hear(c, "\r\n\r\n");
    until_hear(c, "}}");
    assert_non_null(strstr(c->in, "HTTP/1.1 429 Too Many Requests\r\n"));
    assert_non_null(strstr(c->in, "Retry-After: 7\r\n"));
    assert_null(strstr(c->in, "Retry-After: 1\r\n"));
    assert_non_null(strstr(c->in, "\r\n\r\n{\"error\":{\"message\":\"slow \\\"down\\\"\",\"type\":"
        "\"rate_limit_error\",\"param\":\"model\",\"code\":\"rate_limit_exceeded\"}}"));
    hang_up(c);
}

/* A reply beyond its limit is a 500 that says so; one in the middle of a body ends it early. */
static void test_odd_replies(void **state)
{
    (void)state;
    struct client *c = dial();
    char          *big = calloc(1, LIM_REPLY_BYTES);
    say(c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    until(seen.n_held == 1);
    http_reply(seen.held[0], 200, STR_NULL, (struct str){ big, LIM_REPLY_BYTES });
    http_reply(seen.held[0], 200, STR_NULL, STR("a second one"));
    until_hear(c, "the limit is");
    assert_int_equal(status_of(c), 500);
    free(big);
    hang_up(c);
    c = dial();
    say(c, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    until(seen.n_held == 1);
    http_req_read(seen.held[0], 100);
    turns(2);
    http_reply(seen.held[0], 200, STR_NULL, STR("enough"));
    until_hear(c, "enough");
    say(c, "llo" GET_ "\r\n"); // the rest is dropped and the connection lives
    until_hear(c, "\r\n\r\nok");
    assert_int_equal(seen.bodies, 0);
    hang_up(c);
}

static void on_drained(void *ctx)
{
    (void)ctx;
    seen.drained++;
}

static void test_drain(void **state)
{
    (void)state;
    struct client *idle = dial(), *hold = dial(), *stream = open_stream("1.1", "GET", "");
    say(idle, GET_ "\r\n\r\n"); // an empty line too many is still idle
    until_hear(idle, "ok");
    say(hold, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    until(seen.n_held == 2);
    http_serv_drain(serv, on_drained, NULL);
    until_eof(idle);
    turns(3);
    assert_int_equal(seen.drained, 0);
    http_stream_end(seen.held[0]);
    http_reply(seen.held[1], 200, STR("text/plain"), STR("bye"));
    until_hear(hold, "\r\n\r\nbye");
    assert_non_null(strstr(hold->in, "Connection: close\r\n"));
    until_hear(stream, "0\r\n\r\n");
    until_eof(stream);
    assert_int_equal(seen.complete, 3);
    hang_up(idle), hang_up(hold), hang_up(stream);
    until(seen.drained == 1);
    turns(3);
    assert_int_equal(seen.drained, 1);
}

static void test_free_while_running(void **state)
{
    (void)state;
    struct client *c = open_stream("1.1", "GET", ""), *d = dial();
    say(d, POST_ "Content-Length: 5\r\n\r\nhe");
    until(seen.heads == 2);
    http_serv_free(serv);
    serv = NULL;
    assert_int_equal(seen.gones, 2);
    assert_int_equal(seen.dones, 2);
    hang_up(c), hang_up(d);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        T(test_simple), T(test_refusals), T(test_large_heads), T(test_lingering),
        T(test_continue), T(test_pipelining), T(test_sse), T(test_stream_kinds),
        T(test_large_pieces), T(test_other_sockets), T(test_guarded), T(test_fields),
        T(test_odd_replies), T(test_drain), T(test_free_while_running),
    };
    log_init(LOG_LVL_ERROR, "test");
    trace_init(getenv("TRACE"), &(const char *){ NULL });
    return cmocka_run_group_tests(tests, NULL, NULL);
}
