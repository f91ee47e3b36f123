/* reframe_test.c - replies of other servers, good and hostile, in our own frame. */
#include "unit.h"

#include "gateway/reframe.h"

static struct buf out;

static struct reframe frame(enum reframe_kind k)
{
    return (struct reframe){ .kind = k, .id = STR("ours"), .model = STR("m\"1"), .created = 7 };
}

#define HEAD "{\"id\":\"ours\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\\\"1\","

static void chunks(void **state)
{
    struct reframe r = frame(REFRAME_CHAT);
    struct err     e;
    (void)state;

    assert_ok(reframe_event(&r, STR("{\"id\":\"x\",\"object\":\"y\",\"created\":1,\"model\":\"z\",\"choices\":[{\"index\":0,"
                                    "\"delta\":{\"content\":\"\\u00e4\"},\"finish_reason\":null}],\"usage\":{},\"t\":1}"),
                            &out, &e));
    assert_str(buf_text(&out), HEAD "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xc3\xa4\"},\"finish_reason\":null}],\"t\":1}");
    assert_err(reframe_end(&r, &e), ERR_UPSTREAM, "1 choices have no finish_reason");
    assert_ok(reframe_event(&r, STR("{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}"), &out, &e));
    assert_str(buf_text(&out), HEAD "\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}");
    assert_ok(reframe_end(&r, &e));
    assert_ok(reframe_event(&r, STR("{\"choices\":[],\"usage\":{\"total_tokens\":3}}"), &out, &e));
    assert_int_equal(out.n, 0); // nobody asked
    r.usage = true;
    assert_ok(reframe_event(&r, STR("{\"choices\":[],\"usage\":{\"total_tokens\":3}}"), &out, &e));
    assert_str(buf_text(&out), HEAD "\"choices\":[],\"usage\":{\"total_tokens\":3}}");
    assert_ok(reframe_event(&r, STR("{\"choices\":[{\"index\":255,\"delta\":{}}]}"), &out, &e));
    assert_err(reframe_end(&r, &e), ERR_UPSTREAM, "finish_reason");
    buf_release(&out);
}

static void bad_chunks(void **state)
{
    static const struct {
        enum reframe_kind kind;
        const char       *data, *say;
    } rows[] = {
        { REFRAME_CHAT, "", "no JSON" },
        { REFRAME_CHAT, "{\"choices\":[}", "no JSON" },
        { REFRAME_CHAT, "[]", "no object" },
        { REFRAME_CHAT, "{}", "no choices" },
        { REFRAME_CHAT, "{\"choices\":{}}", "no choices" },
        { REFRAME_CHAT, "{\"choices\":[1]}", "no object" },
        { REFRAME_CHAT, "{\"choices\":[{}]}", "no delta" },
        { REFRAME_CHAT, "{\"choices\":[{\"delta\":\"x\"}]}", "no delta" },
        { REFRAME_TEXT, "{\"choices\":[{\"delta\":{}}]}", "no text" },
        { REFRAME_CHAT, "{\"choices\":[{\"index\":256,\"delta\":{}}]}", "index" },
        { REFRAME_CHAT, "{\"choices\":[{\"index\":-1,\"delta\":{}}]}", "index" },
        { REFRAME_CHAT, "{\"choices\":[{\"index\":\"0\",\"delta\":{}}]}", "index" },
        { REFRAME_CHAT, "{\"choices\":[{\"delta\":{},\"finish_reason\":1}]}", "finish_reason" },
        { REFRAME_CHAT, "{\"error\":{\"message\":\"oom\"},\"choices\":[]}", "it reports an error: oom" },
        { REFRAME_CHAT, "{\"object\":\"error\",\"message\":\"oom\"}", "it reports an error: oom" },
    };
    struct err e;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct reframe r = frame(rows[i].kind);
        assert_err(reframe_event(&r, str_c(rows[i].data), &out, &e), ERR_UPSTREAM, rows[i].say);
    }
    struct reframe r = frame(REFRAME_CHAT);
    assert_err(reframe_end(&r, &e), ERR_UPSTREAM, "without an answer");
    buf_release(&out);
}

static void wholes(void **state)
{
    static const struct {
        enum reframe_kind kind;
        const char       *body, *want; // NULL: refused, see say
        const char       *say;
    } rows[] = {
        { REFRAME_CHAT, "{\"id\":1,\"choices\":[{\"message\":{},\"finish_reason\":\"stop\"}],\"usage\":{}}",
          "{\"id\":\"ours\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"m\\\"1\","
          "\"choices\":[{\"message\":{},\"finish_reason\":\"stop\"}],\"usage\":{}}", NULL },
        { REFRAME_TEXT, "{\"choices\":[{\"text\":\"a\",\"finish_reason\":\"length\"}]}",
          "{\"id\":\"ours\",\"object\":\"text_completion\",\"created\":7,\"model\":\"m\\\"1\","
          "\"choices\":[{\"text\":\"a\",\"finish_reason\":\"length\"}]}", NULL },
        { REFRAME_EMBED, "{\"object\":\"list\",\"data\":[{\"embedding\":[0.5,-1]}],\"model\":\"x\"}",
          "{\"model\":\"m\\\"1\",\"object\":\"list\",\"data\":[{\"embedding\":[0.5,-1]}]}", NULL },
        { REFRAME_RANK, "{\"results\":[]}", "{\"id\":\"ours\",\"model\":\"m\\\"1\",\"results\":[]}", NULL },
        { REFRAME_CHAT, "{\"choices\":[]}", NULL, "no choices" },
        { REFRAME_CHAT, "{\"choices\":[{\"message\":{}}]}", NULL, "finish_reason" },
        { REFRAME_CHAT, "{\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}", NULL, "no message" },
        { REFRAME_EMBED, "{\"data\":{}}", NULL, "no data" },
        { REFRAME_RANK, "{}", NULL, "no results" },
        { REFRAME_EMBED, "{\"data\":[],\"error\":\"x\"}", NULL, "it reports an error: x" },
        { REFRAME_EMBED, "<html>", NULL, "no JSON" },
    };
    struct err e;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct reframe r = frame(rows[i].kind);
        if (rows[i].want) {
            assert_ok(reframe_whole(&r, str_c(rows[i].body), &out, &e));
            assert_str(buf_text(&out), rows[i].want);
        } else {
            assert_err(reframe_whole(&r, str_c(rows[i].body), &out, &e), ERR_UPSTREAM, rows[i].say);
        }
    }
    buf_release(&out);
}

static void faults(void **state)
{
    struct reframe_fault f;
    char                 body[2000];
    (void)state;

    assert_true(reframe_fault(STR("{\"error\":{\"message\":\"a\\u0000b\\nc\",\"type\":\"T\",\"param\":\"a[0].b\",\"code\":\"x y\"}}"), &f));
    assert_string_equal(f.msg, "a"); // what a NUL hides stays hidden
    assert_string_equal(f.type, "T");
    assert_string_equal(f.param, "a[0].b");
    assert_string_equal(f.code, ""); // no plain word
    assert_true(reframe_fault(STR("{\"error\":\"no\\r\\n\\u001b[31m\"}"), &f));
    assert_string_equal(f.msg, "no   [31m");
    assert_true(reframe_fault(STR("{\"detail\":\"d\"}"), &f));
    assert_string_equal(f.msg, "d");
    assert_true(reframe_fault(STR("{\"object\":\"error\",\"message\":\"m\"}"), &f));
    assert_string_equal(f.msg, "m");
    assert_false(reframe_fault(STR("{}"), &f));
    assert_false(reframe_fault(STR("[]"), &f));
    assert_false(reframe_fault(STR("oops"), &f));
    memset(body, 'x', sizeof body);
    memcpy(body, "{\"error\":\"", 10);
    memcpy(body + sizeof body - 2, "\"}", 2);
    assert_true(reframe_fault((struct str){ body, sizeof body }, &f));
    assert_int_equal(strlen(f.msg), sizeof f.msg - 1);
}

static int setup(void **state)
{
    (void)state;
    buf_init(&out, MIB(1));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(chunks, setup),
        cmocka_unit_test_setup(bad_chunks, setup),
        cmocka_unit_test_setup(wholes, setup),
        cmocka_unit_test(faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
