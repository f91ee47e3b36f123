/* http_test.c - request heads, chunked bodies, targets, Host and Origin rules: the pure part. */
#include "unit.h"

#include "base/utf8.h"
#include "http/http_guard.h"
#include "http_walk.h"
#include "json/json.h"

/* --- streams of bytes --- */

/* Feed in pieces of `step` bytes; the notes go to ret. */
static void walk(struct str wire, size_t step, struct buf *ret)
{
    struct http_walk w;

    http_walk_init(&w);
    for (size_t at = 0; at < wire.n; at += step) http_walk_feed(&w, str_sub(wire, at, step));
    buf_clear(ret);
    buf_str(ret, http_walk_end(&w));
    http_walk_release(&w);
}

/* The notes for a wire; the same for every way to cut it, or the test fails. */
static void understand(const char *name, struct str wire, struct buf *ret)
{
    static const size_t steps[] = { 1, 2, 3, 7, 64, 4096 };
    struct buf          other;

    buf_init(&other, MIB(16));
    walk(wire, wire.n ? wire.n : 1, ret);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        walk(wire, steps[i], &other);
        if (!str_eq(buf_text(&other), buf_text(ret)))
            fail_msg("%s: whole gives \"" STR_FMT "\", pieces of %zu give \"" STR_FMT "\"", name,
                     STR_ARG(buf_text(ret)), steps[i], STR_ARG(buf_text(&other)));
    }
    buf_release(&other);
}

/* Characters stand for bytes. */
static void put_bytes(struct buf *b, struct str s)
{
    uint32_t cp;

    while (s.n) {
        int n = utf8_decode(s, &cp);
        assert_true(n > 0 && cp < 256);
        buf_byte(b, (char)cp);
        s = str_from(s, (size_t)n);
    }
}

static void put_wire(struct buf *b, const struct json *v)
{
    if (json_kind(v) == JSON_T_STR) put_bytes(b, json_str(v));
    for (size_t i = 0; json_kind(v) == JSON_T_ARR && i < json_len(v); i++) {
        const struct json *part = json_at(v, i);
        if (json_kind(part) == JSON_T_STR) put_bytes(b, json_str(part));
        else
            for (int64_t k = json_int(json_at(part, 1)); k > 0; k--) put_bytes(b, json_str(json_at(part, 0)));
    }
}

static struct json_doc *load(const char *path)
{
    size_t           n;
    char            *text = unit_read(path, &n);
    struct json_doc *doc;
    struct err       e = { 0 };

    if (!text) return NULL;
    assert_ok(json_parse((struct str){ text, n }, NULL, &doc, &e));
    free(text);
    return doc;
}

static void test_requests(void **state)
{
    struct json_doc *doc = load(unit_data("http/requests.json"));
    struct buf       wire, want, got;
    int              bad = 0;

    (void)state;
    assert_non_null(doc);
    buf_init(&wire, MIB(1)), buf_init(&want, MIB(1)), buf_init(&got, MIB(1));
    size_t n = json_len(json_root(doc));
    assert_true(n > 200);
    for (size_t i = 0; i < n; i++) {
        const struct json *v    = json_at(json_root(doc), i);
        struct str         name = json_str(json_get(v, "name"));
        buf_clear(&wire), buf_clear(&want);
        put_wire(&wire, json_get(v, "wire"));
        put_wire(&want, json_get(v, "want"));
        understand(name.p, buf_text(&wire), &got);
        if (str_eq(buf_text(&want), buf_text(&got))) continue;
        print_error(STR_FMT ": want \"" STR_FMT "\", got \"" STR_FMT "\"\n", STR_ARG(name),
                    STR_ARG(buf_text(&want)), STR_ARG(buf_text(&got)));
        bad++;
    }
    buf_release(&wire), buf_release(&want), buf_release(&got);
    json_free(doc);
    assert_int_equal(bad, 0);
}

/* --- the vectors of llhttp --- */

/* Where we differ from llhttp's mode "request" on purpose. All but the last are stricter. */
static const struct {
    const char *name, *want, *why;
} deviations[] = {
    { "M-SEARCH request", "METHOD_UNKNOWN", "not a method of these APIs" },
    { "PURGE request", "METHOD_UNKNOWN", "not a method of these APIs" },
    { "LINK request", "METHOD_UNKNOWN", "not a method of these APIs" },
    { "SOURCE request", "METHOD_UNKNOWN", "not a method of these APIs" },
    { "OPTIONS request with RTSP", "BAD_REQUEST", "another protocol" },
    { "ANNOUNCE request with RTSP", "BAD_REQUEST", "another protocol" },
    { "Quotes in URI", "BAD_REQUEST", "RFC 3986: must be escaped" },
    { "POST with `chunked` as last transfer-encoding (multiple headers)", "BAD_REQUEST",
      "Transfer-Encoding twice; and no coding but chunked is spoken" },
    { "Setting a flag and pausing", "PUT /url", "Upgrade is ignored (RFC 9110 sec. 7.8), not obeyed" },
};

static void unhex(struct buf *b, struct str hex)
{
    for (size_t i = 0; i + 1 < hex.n; i += 2)
        buf_byte(b, (char)strtol((char[3]){ hex.p[i], hex.p[i + 1], 0 }, NULL, 16));
}

/* These vectors mostly lack the Host that HTTP/1.1 demands: give each head one. */
static void add_hosts(struct buf *out, struct str in)
{
    struct str line = STR("HTTP/1.1\r\n");
    bool has = str_find(in, STR("\r\nHost:")) != SIZE_MAX || str_find(in, STR("\r\nHOST:")) != SIZE_MAX;

    for (size_t at; !has && (at = str_find(in, line)) != SIZE_MAX; in = str_from(in, at + line.n)) {
        buf_str(out, str_sub(in, 0, at + line.n));
        buf_str(out, STR("Host: a\r\n"));
    }
    buf_str(out, in);
}

static bool refused(struct str notes)
{
    for (int code = 1; code < ERR_CODES; code++)
        if (str_ends(notes, str_c(err_row((enum err_code)code)->name))) return true;
    return false;
}

static const char *deviation(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(deviations); i++)
        if (str_eq(name, str_c(deviations[i].name))) return deviations[i].want;
    return NULL;
}

static void test_llhttp(void **state)
{
    struct json_doc *doc = load(unit_shared("broken/http/llhttp-requests.json"));
    struct buf       raw, wire, got;
    int              bad = 0, checked = 0;

    (void)state;
    if (!doc) {
        print_message("llhttp vectors are not here: skipped\n");
        skip();
    }
    buf_init(&raw, MIB(1)), buf_init(&wire, MIB(1)), buf_init(&got, MIB(1));
    for (size_t i = 0; i < json_len(json_root(doc)); i++) {
        const struct json *v    = json_at(json_root(doc), i);
        struct str         name = json_str(json_get(v, "name"));
        const struct json *error = json_get(v, "error");
        if (!str_eq(json_str(json_get(v, "mode")), STR("request"))) continue;
        buf_clear(&raw), buf_clear(&wire);
        unhex(&raw, json_str(json_get(v, "wire_hex")));
        add_hosts(&wire, buf_text(&raw));
        bool whole = str_find(buf_text(&wire), STR("\r\n\r\n")) != SIZE_MAX; // most end early
        if (json_kind(error) == JSON_T_OBJ) buf_str(&wire, STR("\r\n\r\n"));
        else if (!whole) buf_str(&wire, STR("\r\n"));
        understand(name.p, buf_text(&wire), &got);
        checked++;

        const char *other = deviation(name);
        bool ok = other ? str_starts(buf_text(&got), str_c(other))
                        : refused(buf_text(&got)) == (json_kind(error) == JSON_T_OBJ);
        if (ok) continue;
        print_error(STR_FMT ": %s, got \"" STR_FMT "\"\n", STR_ARG(name),
                    other ? other : json_kind(error) == JSON_T_OBJ ? "must be refused" : "must be read",
                    STR_ARG(buf_text(&got)));
        bad++;
    }
    buf_release(&raw), buf_release(&wire), buf_release(&got);
    json_free(doc);
    assert_int_equal(checked, 55);
    assert_int_equal(bad, 0);
}

/* --- payloads that parsers read differently --- */

/* All of them are refused before any request is understood, but for these (with a Host added). */
static const struct {
    const char *head, *want;
} read_as[] = {
    { "Chunk-sizes are parsed using `strtoll", "more" }, // the quoted payload ends before the size
    { "Chunked message bodies are terminated on", "GET /" }, // "X:POST / HTTP/1.1" is a trailer
    { "`\\xa0` and `\\x85` are stripped", "GET /login" }, // bytes of a value like others, kept
    { "Connections are closed prematurely", "GET / close" }, // it is the client who asks to close
    { "Sending an extra byte after a request", "GET /; BAD_REQUEST" },
};

static const char *known_reading(struct str class)
{
    for (size_t i = 0; i < ARRAY_LEN(read_as); i++)
        if (str_starts(class, str_c(read_as[i].head))) return read_as[i].want;
    return NULL;
}

static void test_differential(void **state)
{
    struct json_doc *doc = load(unit_shared("broken/http/parser-differential-payloads.json"));
    struct buf       raw, wire, got;
    int              bad = 0, known = 0;

    (void)state;
    if (!doc) {
        print_message("parser-differential payloads are not here: skipped\n");
        skip();
    }
    buf_init(&raw, MIB(1)), buf_init(&wire, MIB(1)), buf_init(&got, MIB(1));
    for (size_t i = 0; i < json_len(json_root(doc)); i++) {
        const struct json *v     = json_at(json_root(doc), i);
        struct str         class = json_str(json_get(v, "class_"));
        buf_clear(&raw), buf_clear(&wire);
        unhex(&raw, json_str(json_get(v, "wire_hex")));
        add_hosts(&wire, buf_text(&raw)); // or all of them would fall over the missing Host
        understand(class.p, buf_text(&wire), &got);
        const char *want = known_reading(class);
        known += want != NULL;
        bool ok = want ? str_eq(buf_text(&got), str_c(want))
                       : refused(buf_text(&got)) && str_find_byte(buf_text(&got), ';') == SIZE_MAX;
        if (!ok) print_error("%s: got \"" STR_FMT "\"\n", class.p, STR_ARG(buf_text(&got)));
        bad += !ok;
    }
    buf_release(&raw), buf_release(&wire), buf_release(&got);
    json_free(doc);
    assert_int_equal(known, ARRAY_LEN(read_as));
    assert_int_equal(bad, 0);
}

/* --- heads --- */

static void parse(const char *wire, struct arena *a, struct http_head *h)
{
    struct http_scan sc = { 0 };
    struct err       e  = { 0 };

    assert_int_equal(http_scan(&sc, &http_limits_default, str_c(wire), &e), 1);
    assert_int_equal(sc.at, strlen(wire));
    assert_ok(http_head_parse(str_c(wire), sc.lines, a, h, &e));
}

static void test_head(void **state)
{
    struct arena     a;
    struct http_head h;

    (void)state;
    arena_init(&a, KIB(64));
    parse("POST http://b:81/v1/x?stream=1 HTTP/1.1\r\nHost: a\r\nAccept:  t \r\nContent-Length: 12\r\n"
          "Expect: 100-Continue\r\n\r\n", &a, &h);
    assert_int_equal(h.method, HTTP_POST);
    assert_str(h.path, "/v1/x");
    assert_str(h.query, "stream=1");
    assert_str(h.host, "b:81"); // RFC 9112 sec. 3.2.2: the target's host, not the field's
    assert_int_equal(h.length, 12);
    assert_int_equal(h.n_field, 4);
    assert_true(h.expect && h.keep_alive && !h.chunked);
    assert_str(http_head_field(&h, "accept"), "t");
    assert_null(http_head_field(&h, "accep").p);
    parse("GET / HTTP/1.0\r\n\r\n", &a, &h);
    assert_null(h.query.p);
    assert_null(h.host.p);
    assert_int_equal(h.length, -1);
    arena_release(&a);
}

static void test_targets(void **state)
{
    static const struct {
        const char *in, *want; // NULL: refused
    } rows[] = {
        { "a%2Fb:c", "a/b:c" }, { "a+b", "a+b" }, { "%C3%A9", "\xc3\xa9" }, { "", "" },
        { "%", NULL }, { "%4", NULL }, { "%4g", NULL }, { "%00", NULL }, { "%ff", NULL }, { "%C3", NULL },
    };
    struct arena a;
    struct str   got;
    struct err   e = { 0 };

    (void)state;
    arena_init(&a, KIB(64));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!rows[i].want) {
            assert_err(http_pct_decode(str_c(rows[i].in), &a, &got, &e), ERR_BAD_REQUEST, "target");
            continue;
        }
        assert_ok(http_pct_decode(str_c(rows[i].in), &a, &got, &e));
        assert_str(got, rows[i].want);
    }
    struct str q = STR("a=1&limit=2%30&&b&limit=3&name=x+y%2B");
    assert_int_equal(http_query_get(q, "limit", &a, &got, &e), 1);
    assert_str(got, "20");
    assert_int_equal(http_query_get(q, "name", &a, &got, &e), 1);
    assert_str(got, "x y+");
    assert_int_equal(http_query_get(q, "b", &a, &got, &e), 1);
    assert_str(got, "");
    assert_int_equal(http_query_get(q, "limi", &a, &got, &e), 0);
    assert_int_equal(http_query_get(STR_NULL, "a", &a, &got, &e), 0);
    assert_err(http_query_get(STR("a=%"), "a", &a, &got, &e), ERR_BAD_REQUEST, "escape");
    arena_release(&a);
}

/* --- who may call --- */

static void test_guard(void **state)
{
    static const struct str hosts[]   = { { "api.example", 11 }, { "192.0.2.7", 9 } };
    static const struct str origins[] = { { "https://chat.example", 20 }, { "vscode-webview://*", 18 } };
    const struct http_guard local = { 0 }, any_ip = { .any_ip = true },
        named = { .host = hosts, .n_host = 2, .origin = origins, .n_origin = 2 },
        open  = { .host = &STR("*"), .n_host = 1, .origin = &STR("*"), .n_origin = 1 };
    static const struct {
        const char *host;
        bool        local, any_ip, named;
    } names[] = {
        { "localhost", 1, 1, 1 }, { "LOCALHOST:80", 1, 1, 1 }, { "app.localhost", 1, 1, 1 },
        { "127.0.0.1:8080", 1, 1, 1 }, { "127.255.0.9", 1, 1, 1 }, { "[::1]:8080", 1, 1, 1 },
        { "192.0.2.7:8080", 0, 1, 1 }, { "192.0.2.8", 0, 1, 0 }, { "[2001:db8::1]", 0, 1, 0 },
        { "0.0.0.0", 0, 1, 0 }, { "API.example:443", 0, 0, 1 }, { "evil.example", 0, 0, 0 },
        { "localhost.evil.example", 0, 0, 0 }, { "127.0.0.1.evil.example", 0, 0, 0 },
        { "xlocalhost", 0, 0, 0 }, { ".localhost", 0, 0, 0 }, { "127.1", 0, 0, 0 }, { "0x7f.0.0.1", 0, 0, 0 },
    };
    static const struct {
        const char *origin, *host;
        bool        local, named;
    } pages[] = {
        { "http://localhost:3000", "localhost:8080", 1, 1 }, { "https://127.0.0.1", "localhost", 1, 1 },
        { "http://[::1]:1", "localhost", 1, 1 }, { "http://192.0.2.7:8080", "192.0.2.7:8080", 1, 1 },
        { "http://192.0.2.7:81", "192.0.2.7:8080", 0, 0 }, { "https://chat.example", "localhost", 0, 1 },
        { "https://chat.example.evil", "localhost", 0, 0 }, { "http://chat.example", "localhost", 0, 0 },
        { "https://evil.example", "localhost", 0, 0 }, { "null", "localhost", 0, 0 },
        { "http://localhost.evil.example", "localhost", 0, 0 }, { "http://localhost@evil", "localhost", 0, 0 },
        { "http://", "localhost", 0, 0 }, { "", "localhost", 0, 0 }, { "vscode-webview://abc", "localhost", 0, 1 },
        { "file://localhost", "localhost", 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct str h = str_c(names[i].host);
        if (http_guard_host(&local, h) != names[i].local || http_guard_host(&any_ip, h) != names[i].any_ip ||
            http_guard_host(&named, h) != names[i].named || !http_guard_host(&open, h))
            fail_msg("host %s", names[i].host);
    }
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        struct str o = str_c(pages[i].origin), h = str_c(pages[i].host);
        if (http_guard_origin(&local, o, h) != pages[i].local ||
            http_guard_origin(&named, o, h) != pages[i].named || !http_guard_origin(&open, o, h))
            fail_msg("origin %s", pages[i].origin);
    }
}

static void test_guard_head(void **state)
{
    const struct http_guard g = { 0 };
    struct http_head        h;
    struct arena            a;
    struct buf              b;
    struct err              e = { 0 };

    (void)state;
    arena_init(&a, KIB(64));
    buf_init(&b, KIB(4));
    parse("GET / HTTP/1.1\r\nHost: evil.example:8080\r\n\r\n", &a, &h);
    assert_err(http_guard_check(&g, &h, &e), ERR_FORBIDDEN, "evil.example:8080");
    parse("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n", &a, &h);
    assert_err(http_guard_check(&g, &h, &e), ERR_FORBIDDEN, "https://evil.example");
    parse("GET / HTTP/1.0\r\n\r\n", &a, &h);
    assert_ok(http_guard_check(&g, &h, &e));
    http_cors_fields(&b, &h);
    assert_int_equal(b.n, 0);
    parse("OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\n"
          "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, "
          "X-Stainless-Lang,x-evil, openai-beta, anthropic-version ,idempotency-key,,a b\r\n\r\n", &a, &h);
    assert_ok(http_guard_check(&g, &h, &e));
    assert_true(http_cors_preflight(&h));
    http_cors_fields(&b, &h);
    assert_str(buf_text(&b),
               "Access-Control-Allow-Origin: http://localhost:3000\r\nVary: Origin\r\n"
               "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
               "Access-Control-Max-Age: 600\r\nAccess-Control-Allow-Headers: authorization, "
               "X-Stainless-Lang, openai-beta, anthropic-version, idempotency-key\r\n");
    buf_release(&b);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests), cmocka_unit_test(test_llhttp),
        cmocka_unit_test(test_differential), cmocka_unit_test(test_head),
        cmocka_unit_test(test_targets), cmocka_unit_test(test_guard),
        cmocka_unit_test(test_guard_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
