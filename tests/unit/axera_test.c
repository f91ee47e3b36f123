/* axera_test.c - what is read of a child: its run script, its lines, its HTTP; its options. */
#include "unit.h"

#include "base/limits.h"
#include "engines/axera/axera_http.h"
#include "engines/axera/axera_log.h"
#include "engines/axera/axera_opt.h"
#include "engines/axera/axera_script.h"

static struct arena arena;

static int parse(const char *text, struct axera_script *s, struct err *e)
{
    arena_clear(&arena);
    return axera_script_parse(str_c(text), "run.sh", &arena, s, e);
}

/* Words by the rules of POSIX sh, sections 2.2 and 2.6. */
static void script_words(void **state)
{
    struct axera_script s;
    struct err          e = { 0 };
    (void)state;

    assert_ok(parse("#!/bin/bash\n"
                    "# main --not this\n"
                    "MODEL=\"a b\"; DIR='$MODEL'\n"
                    "export LD_LIBRARY_PATH=/usr/lib/axcl\n"
                    "cd x; echo main\n"
                    "A=1 ./main_prefill -a \"$MODEL/l%d\" --b='it''s' \"${DIR}\" \\\n"
                    "   --c \"q\\\"\\$x\\z\" -d \\$y '#' a#b \"\" --prompt \"$1\" $@ > log.txt 2>&1 &\n"
                    "./main --second\n", &s, &e));
    static const char *const want[] = { "./main_prefill", "-a", "a b/l%d", "--b=its", "$MODEL", "--c", "q\"$x\\z", "-d",
                                        "$y", "#", "a#b", "", "--prompt", "", "" };
    /* an unquoted $@ without parameters is no word in sh; an empty one here does no harm to option lists */
    assert_int_equal(s.n_word, 14 + (s.n_word == 15));
    for (int i = 0; i < 14; i++)
        if (strcmp(s.word[i], want[i])) fail_msg("word %d is <%s>, want <%s>", i, s.word[i], want[i]);
    assert_int_equal(s.line, 6);
    assert_int_equal(s.n_env, 2);
    assert_string_equal(s.env[0], "LD_LIBRARY_PATH=/usr/lib/axcl");
    assert_string_equal(s.env[1], "A=1");
}

static void script_refused(void **state)
{
    struct axera_script s;
    struct err          e;
    (void)state;

    assert_err(parse("", &s, &e), ERR_BAD_FILE, "no command here");
    assert_err(parse("echo hi\npython3 x.py\n", &s, &e), ERR_BAD_FILE, "run.sh:3: no command");
    assert_err(parse("\n./main \"a", &s, &e), ERR_BAD_FILE, "run.sh:2: a quote has no end");
    assert_err(parse("./main $(nproc)\n", &s, &e), ERR_BAD_FILE, "only a shell");
    assert_err(parse("./main `nproc`\n", &s, &e), ERR_BAD_FILE, "only a shell");
    assert_err(parse("./main ${A:-b}\n", &s, &e), ERR_BAD_FILE, "only a shell");
    assert_err(axera_script_parse(STR("./main \0 a"), "run.sh", &arena, &s, &e), ERR_BAD_FILE, "NUL");
    assert_ok(parse("N=$(nproc)\n./main_axcl_x86 a\n", &s, &e)); // a command that does not matter

    struct buf b;
    buf_init(&b, MIB(1));
    buf_str(&b, STR("./main"));
    for (int i = 0; i < AXERA_WORDS; i++) buf_str(&b, STR(" x"));
    buf_byte(&b, '\0');
    assert_err(parse(b.p, &s, &e), ERR_BAD_FILE, "more than 256 words");
    buf_clear(&b);
    buf_str(&b, STR("./main "));
    for (size_t i = 0; i <= AXERA_WORD_BYTES; i++) buf_byte(&b, 'x');
    buf_byte(&b, '\0');
    assert_err(parse(b.p, &s, &e), ERR_BAD_FILE, "4096 bytes");
    buf_clear(&b);
    for (int i = 0; i <= AXERA_VARS; i++) buf_printf(&b, "V%d=1\n", i);
    buf_byte(&b, '\0');
    assert_err(parse(b.p, &s, &e), ERR_BAD_FILE, "more than 64 variables");
    buf_release(&b);
}

static void keep_line(void *ctx, struct str line)
{
    buf_str(ctx, line);
    buf_byte(ctx, '|');
}

static void log_lines(void **state)
{
    static const char text[] = "\x1b[1;30;32m[I][Init][ 130]: max_token_len : 1023\x1b[0m\n10 %\r20 %\r\n\n"
                               "\x1b[3\nwhole\nprefill_token_num:128\nprompt >> ";
    (void)state;

    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct axera_log l;
        struct buf       out;
        axera_log_init(&l);
        buf_init(&out, KIB(4));
        for (size_t at = 0; at < sizeof text - 1; at += piece)
            axera_log_put(&l, str_sub((struct str){ text, sizeof text - 1 }, at, piece), keep_line, &out);
        assert_str(buf_text(&out), "[I][Init][ 130]: max_token_len : 1023|10 %|20 %|whole|prefill_token_num:128|");
        assert_str(buf_text(&l.line), "prompt >> ");
        buf_release(&out);
        axera_log_release(&l);
    }
    int n = 0;
    assert_true(axera_log_number(STR("x: max_token_len : 1023"), "max_token_len", &n) && n == 1023);
    assert_true(axera_log_number(STR("precompute_len:71, remaining:4"), "precompute_len", &n) && n == 71);
    assert_false(axera_log_number(STR("max_token_len : many"), "max_token_len", &n));
    assert_false(axera_log_number(STR("max_token_len"), "max_token_len", &n));
}

static int feed(struct axera_http *h, const char *text, size_t piece, struct err *e)
{
    size_t used;

    for (size_t at = 0, n = strlen(text); at < n; at += used) {
        int rc = axera_http_feed(h, str_sub((struct str){ text, n }, at, piece), &used, e);
        if (rc < 0) return rc;
        if (h->state == AXERA_HTTP_DONE) break;
    }
    return 0;
}

static void http_messages(void **state)
{
    static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n"
                                  "0\r\nT: v\r\n\r\n";
    static const char sized[]   = "POST /encode?uid=7 HTTP/1.1\nHost: x\nContent-Length: 4\n\nbody";
    struct axera_http h;
    struct err        e = { 0 };
    struct str        query;
    (void)state;

    for (size_t piece = 1; piece < sizeof chunked; piece++) {
        axera_http_init(&h, false);
        assert_ok(feed(&h, chunked, piece, &e));
        assert_int_equal(h.state, AXERA_HTTP_DONE);
        assert_int_equal(h.status, 200);
        assert_str(buf_text(&h.body), "abc0123456789");
        axera_http_release(&h);
        axera_http_init(&h, true);
        assert_ok(feed(&h, sized, piece, &e));
        assert_int_equal(h.state, AXERA_HTTP_DONE);
        assert_str(buf_text(&h.body), "body");
        assert_str(axera_http_method(&h), "POST");
        assert_str(axera_http_path(&h, &query), "/encode");
        assert_str(query, "uid=7");
        axera_http_release(&h);
    }
    axera_http_init(&h, false);
    assert_ok(feed(&h, "HTTP/1.0 200 OK\r\n\r\nto the end", 100, &e));
    assert_ok(axera_http_eof(&h, &e));
    assert_str(buf_text(&h.body), "to the end");
    axera_http_next(&h);
    assert_ok(feed(&h, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", 100, &e));
    assert_err(axera_http_eof(&h, &e), ERR_ENGINE_GONE, "too early");
    axera_http_release(&h);

    static const char *const bad[] = { "SMTP hello\r\n\r\n", "HTTP/1.1 9999 x\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
                                       "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        axera_http_init(&h, false);
        assert_err(feed(&h, bad[i], 100, &e), ERR_PROTOCOL, "child");
        axera_http_release(&h);
    }
}

static void options(void **state)
{
    static const char *const good[] = { "kind=ctx", "env=A=b=c", "stall-s=5", "history=extend", "uid-error=200", "program=/x=y" };
    struct axera_opts o;
    struct err        e = { 0 };
    (void)state;

    assert_ok(axera_opts_parse(good, ARRAY_LEN(good), &o, &e));
    assert_int_equal(o.kind, AXERA_CTX);
    assert_string_equal(o.env[0], "A=b=c");
    assert_int_equal(o.stall_s, 5);
    assert_int_equal(o.cancel_s, 5);
    assert_int_equal(o.history, AXERA_EXTEND);
    assert_true(o.old_uid_error);
    assert_string_equal(o.program, "/x=y");
    static const char *const bad[] = { "kind", "kind=", "kin=main", "=x", "stall-s=0", "stall-s=many", "env=A", "env==x",
                                       "port=70000", "uid-error=199" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_err(axera_opts_parse(&bad[i], 1, &o, &e), ERR_BAD_CONFIG, "--child");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(script_words), cmocka_unit_test(script_refused), cmocka_unit_test(log_lines),
        cmocka_unit_test(http_messages), cmocka_unit_test(options),
    };
    arena_init(&arena, MIB(4));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
