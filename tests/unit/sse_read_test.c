/* sse_read_test.c - events of the standard's examples and of hostile servers, cut anywhere. */
#include "unit.h"

#include "gateway/sse_read.h"

static struct buf out; // "name|data;" of each event

static bool note(void *ctx, struct str name, struct str data)
{
    int *left = ctx;

    buf_printf(&out, STR_FMT "|" STR_FMT ";", STR_ARG(name), STR_ARG(data));
    return !left || --*left > 0;
}

/* The events of text given in pieces of n bytes (0: whole). */
static const char *read_in(const char *text, size_t size, size_t n)
{
    struct sse_read s;
    struct err      e;

    sse_read_init(&s, 1024);
    buf_clear(&out);
    for (size_t at = 0; at < size; at += n ? n : size) {
        size_t k = n && n < size - at ? n : size - at;
        assert_ok(sse_read_put(&s, (struct str){ text + at, k }, note, NULL, &e));
    }
    sse_read_release(&s);
    buf_byte(&out, 0);
    return out.p;
}

static void events(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "data: {\"a\":1}\n\ndata: [DONE]\n\n", "|{\"a\":1};|[DONE];" },
        { "data: YHOO\ndata: +2\ndata: 10\n\n", "|YHOO\n+2\n10;" },         // the standard's first example
        { ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
          "|first event;|second event;| third event;" },                      // its second
        { "data\n\ndata\ndata\n\ndata:", "|;|\n;" },                          // its third: the last one never ends
        { "event: delta\r\ndata: x\r\n\r\n", "delta|x;" },
        { "event: a\n\ndata: x\n\n", "|x;" },                                 // a name alone is no event
        { "data: x\r\rdata: y\r\r", "|x;|y;" },
        { "\xEF\xBB\xBF" "data: x\n\n", "|x;" },
        { "retry: 10\nfoo: bar\ndata: x\n\n", "|x;" },
        { "data: \xE2\x82\xAC\n\n", "|\xE2\x82\xAC;" },
        { "", "" },
        { "\n\n\n", "" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t n = 0; n < 20; n++) assert_string_equal(read_in(rows[i].text, strlen(rows[i].text), n), rows[i].want);
}

static void limits(void **state)
{
    (void)state;
    struct sse_read s;
    struct err      e;
    char            line[80];
    int             rc = 0;

    memset(line, 'x', sizeof line);
    sse_read_init(&s, 64);
    assert_err(sse_read_put(&s, (struct str){ line, sizeof line }, note, NULL, &e), ERR_TOO_LARGE, "64 bytes");
    sse_read_release(&s);
    sse_read_init(&s, 64); // many short lines of one event
    for (int i = 0; i < 20 && rc == 0; i++) rc = sse_read_put(&s, STR("data: 1234567\n"), note, NULL, &e);
    assert_int_equal(rc, -ERR_TOO_LARGE);
    sse_read_release(&s);
}

static void stops(void **state)
{
    (void)state;
    struct sse_read s;
    struct err      e;
    int             left = 2;

    sse_read_init(&s, 64);
    buf_clear(&out);
    assert_ok(sse_read_put(&s, STR("data: 1\n\ndata: 2\n\ndata: 3\n\n"), note, &left, &e));
    assert_str(buf_text(&out), "|1;|2;");
    sse_read_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(events), cmocka_unit_test(limits), cmocka_unit_test(stops) };

    buf_init(&out, 4096);
    int rc = cmocka_run_group_tests_name("sse_read", tests, NULL, NULL);
    buf_release(&out);
    return rc;
}
