/* http_fuzz.c - any bytes as a connection's input: the same requests are understood whether the
 * bytes come whole, one by one, or cut where the bytes themselves say; and what is understood keeps
 * the promises of http_parse.h. */
#include "fuzz.h"

#include "../unit/http_walk.h"
#include "base/utf8.h"
#include "http/http_guard.h"

static void check_head(const struct http_head *h)
{
    struct http_guard g = { 0 };
    struct arena      a;
    struct buf        b;
    struct str        s, name;
    int               port;

    FUZZ_CHECK(!(h->chunked && h->length >= 0));
    FUZZ_CHECK(h->length >= -1 && h->n_field <= http_limits_default.fields);
    FUZZ_CHECK(h->minor == 0 || (h->host.p && http_host_split(h->host, &name, &port)));
    FUZZ_CHECK(h->path.n && (h->path.p[0] == '/' || h->method == HTTP_OPTIONS));
    for (size_t i = 0; i < h->n_field; i++)
        FUZZ_CHECK(http_is_token(h->field[i].name) && http_is_value(h->field[i].value));

    arena_init(&a, MIB(1));
    buf_init(&b, MIB(1));
    if (http_pct_decode(h->path, &a, &s, NULL) == 0) FUZZ_CHECK(s.n <= h->path.n && utf8_valid(s));
    (void)!http_query_get(h->query, "a", &a, &s, NULL);
    (void)!http_guard_check(&g, h, NULL);
    http_cors_fields(&b, h);
    for (size_t i = 0; i + 1 < b.n; i++) // no line break but our own
        FUZZ_CHECK((b.p[i] == '\r') == (b.p[i + 1] == '\n'));
    arena_release(&a);
    buf_release(&b);
}

static void check_first(struct str in)
{
    struct http_scan sc = { 0 };
    struct http_head h;
    struct arena     a;

    if (http_scan(&sc, &http_limits_default, in, NULL) != 1) return;
    arena_init(&a, MIB(1));
    if (http_head_parse(str_sub(in, sc.start, sc.at - sc.start), sc.lines, &a, &h, NULL) == 0) check_head(&h);
    arena_release(&a);
}

/* Pieces of 1 to 64 bytes, their sizes taken from the bytes themselves; step 0 for that. */
static void walk(struct http_walk *w, struct str in, size_t step)
{
    http_walk_init(w);
    for (size_t at = 0, n; at < in.n; at += n) {
        n = step ? step : (size_t)1 + ((unsigned char)in.p[at] & 63);
        http_walk_feed(w, str_sub(in, at, n));
    }
    http_walk_end(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str       in = { (const char *)data, size };
    struct http_walk whole, other;

    if (size > KIB(256)) return 0;
    check_first(in);
    walk(&whole, in, size + 1);
    for (size_t step = 0; step < 2; step++) {
        walk(&other, in, step);
        FUZZ_CHECK(str_eq(buf_text(&whole.notes), buf_text(&other.notes)));
        http_walk_release(&other);
    }
    http_walk_release(&whole);
    return 0;
}
