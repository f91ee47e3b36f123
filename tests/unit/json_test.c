/* json_test.c - strictness, limits, order and text of JSON. */
#include "unit.h"

#include <dirent.h>

#include "json/json.h"

static void refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", " ", "1", "\"a\"", "nul", "{", "[1,]", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "[01]", "[1e999]",
        "[\"\\ud800\"]", "[\"\xff\"]", "[\"\x01\"]", "[NaN]", "[1] x", "[18446744073709551616]", "{'a':1}",
    };
    struct json_doc *d;
    struct err       e;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_err(json_parse(str_c(bad[i]), NULL, &d, &e), ERR_INVALID_JSON, "JSON");
}

static void limits(void **state)
{
    (void)state;
    struct json_limits lim = { .depth = 3, .values = 10, .keys = 2 };
    struct json_doc   *d;
    struct err         e;

    assert_ok(json_parse(STR("[[[1]]]"), &lim, &d, &e));
    json_free(d);
    assert_err(json_parse(STR("[[[[1]]]]"), &lim, &d, &e), ERR_INVALID_JSON, "deeper than 3");
    assert_err(json_parse(STR("{\"a\":1,\"b\":2,\"c\":3}"), &lim, &d, &e), ERR_INVALID_JSON, "more than 2 members");
    assert_err(json_parse(STR("[1,2,3,4,5,6,7,8,9,10,11]"), &lim, &d, &e), ERR_INVALID_JSON, "more than 10 values");
    /* brackets and commas inside strings do not count */
    assert_ok(json_parse(STR("[\"[[[[,,,,,,,,,,,,\\\"[\"]"), &lim, &d, &e));
    json_free(d);
}

static void reads(void **state)
{
    (void)state;
    struct json_doc *d;
    struct err       e;
    int64_t          i;

    assert_ok(json_parse(STR("{\"z\":[1,2.0,2.5,\"a\\u0000b\"],\"a\":{\"k\":null},\"t\":true}"), NULL, &d, &e));
    const struct json *r = json_root(d);
    const struct json *z = json_get(r, "z");
    assert_true(json_whole(json_at(z, 1), &i) && i == 2);
    assert_false(json_whole(json_at(z, 2), &i));
    assert_int_equal(json_str(json_at(z, 3)).n, 3);
    assert_null(json_at(z, 4));
    assert_true(json_bool(json_get(r, "t")));
    assert_int_equal(json_kind(json_get(json_get(r, "a"), "k")), JSON_T_NULL);
    assert_null(json_get(NULL, "x"));

    struct json_it it = json_it(r);
    assert_true(json_next(&it));
    assert_str(it.key, "z"); // order of the text
    struct buf b;
    buf_init(&b, 1000);
    json_write(&b, r, JSON_SPACED);
    assert_str(buf_text(&b), "{\"z\": [1, 2.0, 2.5, \"a\\u0000b\"], \"a\": {\"k\": null}, \"t\": true}");
    buf_release(&b);
    json_free(d);
}

static void writes(void **state)
{
    (void)state;
    struct buf b;

    buf_init(&b, 1000);
    json_put_str(&b, STR("a\"\\\n\x01 \xC3\xA9 \xff\xE2\x82"));
    assert_str(buf_text(&b), "\"a\\\"\\\\\\n\\u0001 \xC3\xA9 \xEF\xBF\xBD\xEF\xBF\xBD\"");
    buf_clear(&b);
    json_put_f64(&b, 0.1);
    buf_byte(&b, ' ');
    json_put_f64(&b, 1e300);
    buf_byte(&b, ' ');
    json_put_f64(&b, -2);
    buf_byte(&b, ' ');
    json_put_f64(&b, 0.0 / 0.0);
    assert_str(buf_text(&b), "0.1 1e+300 -2.0 -9999.0");
    buf_release(&b);
}

/* y_ parses, n_ is refused, i_ either; with our own choices: scalars, duplicate keys and NUL in keys
 * are refused at the top of a request. */
static void suite(void **state)
{
    (void)state;
    static const char *const ours[] = { // valid JSON that a request body may not be
        "y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json",
        "y_object_escaped_null_in_key.json",
    };
    const char *dir = unit_shared("broken/json/LICENSE");
    if (!dir) {
        print_message("skipped: the shared JSON set is not here\n");
        skip();
    }
    char root[4096];
    snprintf(root, sizeof root, "%s", unit_shared("broken/json/LICENSE"));
    *strrchr(root, '/') = 0;
    snprintf(root + strlen(root), sizeof root - strlen(root), "/test_parsing");
    DIR           *dp = opendir(root);
    struct dirent *de;
    int            n = 0;

    assert_non_null(dp);
    while ((de = readdir(dp))) {
        char             path[8192];
        size_t           size;
        struct json_doc *d;
        struct err       e = { .code = ERR_NONE };
        if (de->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", root, de->d_name);
        char *text = unit_read(path, &size);
        int   rc   = json_parse_any((struct str){ text, size }, NULL, &d, &e);
        bool  mine = false;
        for (size_t i = 0; i < ARRAY_LEN(ours); i++) mine |= !strcmp(de->d_name, ours[i]);
        if (de->d_name[0] == 'y' && rc != 0 && !mine) fail_msg("%s refused: %s", de->d_name, e.msg);
        if (de->d_name[0] == 'n' && rc == 0 && strcmp(de->d_name, "n_multidigit_number_then_00.json"))
            fail_msg("%s accepted", de->d_name);
        if (rc == 0) json_free(d);
        int rc2 = json_parse((struct str){ text, size }, NULL, &d, &e);
        if (de->d_name[0] == 'n' && rc2 == 0) fail_msg("%s accepted as a body", de->d_name);
        if (rc2 == 0) json_free(d);
        free(text);
        n++;
    }
    closedir(dp);
    print_message("%d files\n", n);
    assert_true(n > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses), cmocka_unit_test(limits), cmocka_unit_test(reads),
        cmocka_unit_test(writes),  cmocka_unit_test(suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
