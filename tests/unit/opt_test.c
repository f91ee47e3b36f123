/* opt_test.c - flags, environment, ranges, and settings on their way to a child. */
#include "unit.h"

#include "conf/options.h"

#define PARSE(...) parse(&s, (const char *const[]){ __VA_ARGS__, NULL }, &e)

static struct arena a;

static int parse(struct settings *s, const char *const *arg, struct err *e)
{
    char *argv[16];
    int   argc = 0, n_rest = 0;

    for (; arg[argc]; argc++) argv[argc] = (char *)(uintptr_t)arg[argc];
    return opt_parse(s, OPT_SERVE, argc, argv, &a, NULL, &n_rest, e);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&a, 1 << 20);
    unsetenv("CURLEW_PORT");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&a);
    unsetenv("CURLEW_PORT");
    return 0;
}

static void flags(void **state)
{
    (void)state;
    struct settings s;
    struct err      e;

    assert_ok(PARSE("-m", "a.gguf", "--model=b.gguf", "--ctx", "1024", "--body-bytes", "2m", "--log-level=warn"));
    assert_int_equal(s.model.n, 2);
    assert_string_equal(s.model.v[0], "a.gguf");
    assert_string_equal(s.model.v[1], "b.gguf");
    assert_int_equal(s.ctx, 1024);
    assert_int_equal(s.body_bytes, 2 << 20);
    assert_int_equal(s.log_level, LOG_WORD_WARN);
    assert_int_equal(s.port, 8080);
    assert_string_equal(s.host, "127.0.0.1");
}

static void refusals(void **state)
{
    (void)state;
    struct settings s;
    struct err      e;

    assert_err(PARSE("--prot", "1"), ERR_BAD_CONFIG, "did you mean --port?");
    assert_err(PARSE("--nothing-like-it"), ERR_BAD_CONFIG, "unknown flag --nothing-like-it");
    assert_err(PARSE("--port"), ERR_BAD_CONFIG, "--port needs a value");
    assert_err(PARSE("--port", "70000"), ERR_BAD_CONFIG, "70000 is out of range, 0 to 65535");
    assert_err(PARSE("--port", "80x"), ERR_BAD_CONFIG, "\"80x\" is not an integer");
    assert_err(PARSE("--body-bytes", "9999999999G"), ERR_BAD_CONFIG, "is not a size");
    assert_err(PARSE("--log-level", "loud"), ERR_BAD_CONFIG, "error|warn|info|debug");
    assert_err(PARSE("stray"), ERR_BAD_CONFIG, "unexpected argument \"stray\"");
    assert_err(PARSE("--", "-p"), ERR_BAD_CONFIG, "unexpected argument \"-p\""); // no flag any more
    assert_err(PARSE("-z"), ERR_BAD_CONFIG, "unknown flag -z");
    assert_err(PARSE("--generate", "5"), ERR_BAD_CONFIG, "unknown flag"); // another command's
}

static void environment(void **state)
{
    (void)state;
    struct settings s;
    struct err      e;

    setenv("CURLEW_PORT", "9000", 1);
    assert_ok(PARSE("-m", "x"));
    assert_int_equal(s.port, 9000);
    assert_ok(PARSE("-p", "9001")); // a flag wins
    assert_int_equal(s.port, 9001);
    setenv("CURLEW_MODEL", "e", 1);
    assert_ok(PARSE("-p", "1"));
    assert_string_equal(s.model.v[0], "e");
    assert_ok(PARSE("-m", "a", "-m", "b")); // a list of flags replaces the environment's
    assert_int_equal(s.model.n, 2);
    unsetenv("CURLEW_MODEL");
    setenv("CURLEW_PORT", "high", 1);
    assert_err(PARSE("-m", "x"), ERR_BAD_CONFIG, "CURLEW_PORT: \"high\"");
}

static void to_a_child(void **state)
{
    (void)state;
    struct settings s, t;
    struct err      e;
    struct buf      b;

    buf_init(&b, 1 << 16);
    assert_ok(PARSE("--allow-host", "one", "--allow-host", "two", "--log-level", "debug", "--connections", "7",
                    "--ping-ms=50"));
    opt_pack(&b, &s, OPT_FRONT);
    assert_false(b.failed);
    assert_ok(opt_unpack(buf_text(&b), &t, OPT_FRONT, &a, &e));
    assert_int_equal(t.allow_host.n, 2);
    assert_string_equal(t.allow_host.v[1], "two");
    assert_int_equal(t.log_level, LOG_WORD_DEBUG);
    assert_int_equal(t.conns, 7);
    assert_int_equal(t.ping_ms, 50);
    for (size_t n = 1; n < b.n; n++) { // cut anywhere: refused or whole values only
        if (b.p[n - 1] == 0) continue;
        assert_err(opt_unpack((struct str){ b.p, n }, &t, OPT_FRONT, &a, &e), ERR_PROTOCOL, "settings");
    }
    buf_release(&b);
}

static void pages(void **state)
{
    (void)state;
    struct buf b;

    buf_init(&b, 1 << 20);
    opt_help(&b, OPT_SERVE);
    assert_true(str_find(buf_text(&b), STR("-p, --port PORT")) != SIZE_MAX);
    assert_true(str_find(buf_text(&b), STR("--generate")) == SIZE_MAX);
    buf_clear(&b);
    opt_markdown(&b);

    /* docs/options.md is what the table says: `curlew help --markdown > docs/options.md` */
    size_t n;
    char   path[4096];
    snprintf(path, sizeof path, "%s/../../docs/options.md", getenv("CURLEW_DATA"));
    char *doc = unit_read(path, &n);
    assert_non_null(doc);
    assert_true(str_eq(buf_text(&b), (struct str){ doc, n }));
    free(doc);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(flags, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(environment, setup, teardown),
        cmocka_unit_test_setup_teardown(to_a_child, setup, teardown),
        cmocka_unit_test_setup_teardown(pages, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
