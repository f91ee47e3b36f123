/* constrain_test.c - forms against texts that they must take and texts that they must not.
 *
 * Every text is tried byte by byte and by random tokens; each byte that goes on must be in the mask and
 * each that does not must not, so masks and steps say the same. Expected values: RFC 8259, the JSON Schema
 * drafts, ECMA-262, and by hand.
 */
#include "unit.h"

#include "base/limits.h"
#include "base/rng.h"
#include "constrain/constrain.h"
#include "json/json.h"

static struct tok             *tok;
static struct constrain_vocab *vocab;

static int compile(enum constrain_kind kind, const char *text, struct constrain **ret, struct err *e)
{
    struct constrain_conf conf = { .kind = kind, .text = str_c(text), .param = "response_format" };
    return constrain_new(vocab, &conf, ret, e);
}

static bool allowed(const uint64_t *mask, int tok_id)
{
    return mask[tok_id / 64] >> (tok_id % 64) & 1;
}

/* Does the form take all of the text? -1 when it fits but may not end there. */
static int takes(struct constrain *c, struct str text)
{
    struct constrain_run r, twin;
    struct err           e;
    const uint64_t      *mask;
    bool                 fits = true;

    assert_ok(constrain_start(&r, c, &e));
    for (size_t i = 0; i < text.n && fits; i++) {
        if (constrain_must_end(&r)) {
            constrain_stop(&r);
            return 0;
        }
        assert_ok(constrain_mask(&r, &mask, &e));
        bool in = allowed(mask, (unsigned char)text.p[i]);
        assert_int_equal(allowed(mask, 256), constrain_may_end(&r));
        assert_ok(constrain_clone(&twin, &r, &e));
        assert_ok(constrain_token(&r, (unsigned char)text.p[i], &fits, &e));
        assert_int_equal(in, fits);
        constrain_stop(&twin);
    }
    int ret = !fits ? 0 : constrain_may_end(&r) ? 1 : -1;
    constrain_stop(&r);
    return ret;
}

struct row {
    const char *form;
    const char *yes[8], *no[8];
};

static void run_rows(enum constrain_kind kind, const struct row *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct constrain *c;
        struct err        e;
        if (compile(kind, row[i].form, &c, &e) < 0) fail_msg("%s: %s", row[i].form, e.msg);
        for (int k = 0; k < 8 && row[i].yes[k]; k++)
            if (takes(c, str_c(row[i].yes[k])) != 1) fail_msg("%s does not take %s", row[i].form, row[i].yes[k]);
        for (int k = 0; k < 8 && row[i].no[k]; k++)
            if (takes(c, str_c(row[i].no[k])) == 1) fail_msg("%s takes %s", row[i].form, row[i].no[k]);
        constrain_unref(c);
    }
}

static void regex_texts(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "abc", { "abc" }, { "", "ab", "abcd", "xabc" } },
        { "a|bc|", { "a", "bc", "" }, { "b", "abc" } },
        { "(?:ab)+c?", { "ab", "abab", "ababc" }, { "", "aba", "c" } },
        { "[a-c]{2,3}", { "ab", "abc" }, { "a", "abca", "ad" } },
        { "a{0}b", { "b" }, { "ab" } },
        { "[^a]", { "b", "\xC3\xA9", "\xF0\x9F\x98\x80" }, { "a", "\xC3", "bb" } },
        { "\\d+\\.\\d{2}", { "1.00", "123.45" }, { "1.0", ".00" } },
        { "^x$", { "x" }, { "xx" } },
        { "\\u00e9|\\x41", { "\xC3\xA9", "A" }, { "e" } },
        { "[\\w-]+@[\\w.]+", { "a-b@c.d" }, { "@c" } },
        { "(a*)*b", { "b", "aab" }, { "a" } },
        { "(a|a)*", { "", "aaa" }, { "b" } },
        { ".", { "x", "\xE2\x82\xAC" }, { "\n", "" } },
        { "[\xC3\xA0-\xC3\xBF]", { "\xC3\xA9" }, { "\xC4\x80", "e" } },
    };
    run_rows(CONSTRAIN_REGEX, rows, ARRAY_LEN(rows));
}

static void gbnf_texts(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "root ::= \"a\" | \"b\" tail*\ntail ::= [0-9] # digits\n", { "a", "b", "b12" }, { "", "a1", "c" } },
        { "root ::= (\"x\" |\n \"y\")? \"z\"", { "z", "xz", "yz" }, { "x", "xyz" } },
        { "root ::= a b\na ::= | \"-\"\nb ::= \"1\"{2,}", { "11", "-111" }, { "1", "-1" } },
        { "root ::= \"(\" root \")\" | \"\"", { "", "()", "((()))" }, { "(", "(()" } },
        { "root ::= [^\\n\"]+ \"\\n\" \"\\x41\" \"\\u00e9\"", { "x\nA\xC3\xA9" }, { "\nA\xC3\xA9", "x\nA" } },
        { "root ::= . [\\]]", { "]]", "a]" }, { "a" } },
    };
    run_rows(CONSTRAIN_GBNF, rows, ARRAY_LEN(rows));
}

static void schema_texts(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "true", { "1", "\"a\"", "[]", "{\"a\":[null, {}]}", "-1.5e+10", "false" }, { "", "01", "{a:1}", "[1,]", "nul" } },
        { "{\"type\":\"string\"}", { "\"\"", "\"a\\n\\u00e9\\\"\"", "\"\xE2\x82\xAC\"", "\"\\ud83d\\ude00\"" },
          { "\"", "a", "\"\n\"", "\"\\x\"", "\"\\ud83d\"", "\"\xFF\"", "\"\xC3\"" } },
        { "{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", { "\"ab\"", "\"\xE2\x82\xAC\\n\\u0041\"", "\"\\ud83d\\ude00x\"" },
          { "\"a\"", "\"abcd\"", "\"\\ud83d\\ude00\"" } },
        { "{\"type\":\"string\",\"pattern\":\"^a\\\"[b\\\\\\\\]$\"}", { "\"a\\\"b\"", "\"a\\\"\\\\\"" }, { "\"a\\\"c\"", "\"ab\"" } },
        { "{\"type\":\"string\",\"pattern\":\"b\"}", { "\"b\"", "\"abc\"", "\"\\nb\"" }, { "\"\"", "\"a\"" } },
        { "{\"type\":\"string\",\"pattern\":\"^[a-z]+$\",\"maxLength\":3}", { "\"abc\"" }, { "\"\"", "\"abcd\"" } },
        { "{\"type\":\"string\",\"format\":\"date\"}", { "\"2024-12-31\"" }, { "\"2024-13-01\"", "\"2024-02-30\"", "\"x\"" } },
        { "{\"type\":\"string\",\"format\":\"ipv4\"}", { "\"127.0.0.1\"" }, { "\"256.0.0.1\"", "\"1.2.3\"" } },
        { "{\"type\":\"string\",\"format\":\"date-time\"}", { "\"2024-01-02T03:04:05Z\"", "\"2024-01-02T03:04:05.6+01:00\"" },
          { "\"2024-01-02\"", "\"2024-01-02T24:00:00Z\"" } },
        { "{\"type\":\"integer\"}", { "0", "-7", "123456" }, { "1.0", "00", "-", "1e3" } },
        { "{\"type\":\"integer\",\"minimum\":-12,\"maximum\":105}", { "-12", "0", "9", "10", "99", "100", "105", "-1" },
          { "-13", "106", "-20", "110", "200", "1000", "-100" } },
        { "{\"type\":\"integer\",\"exclusiveMinimum\":3}", { "4", "10", "123" }, { "3", "2", "-4", "04" } },
        { "{\"type\":\"integer\",\"maximum\":-5}", { "-5", "-6", "-10" }, { "-4", "0", "5" } },
        { "{\"type\":\"number\",\"minimum\":0,\"maximum\":1}", { "0", "1", "0.5", "0.999", "1.0", "0.0" },
          { "1.01", "2", "-0.1", "1.00001", "0." } },
        { "{\"type\":\"number\",\"minimum\":-1.5,\"exclusiveMaximum\":2.25}", { "-1.5", "-1.49", "2.2499", "0", "2", "-0.7", "2.2", "1.99" },
          { "-1.51", "2.25", "2.250", "-2", "3", "2.3" } },
        { "{\"type\":\"number\",\"multipleOf\":0.01}", { "1", "1.5", "1.55", "-3.14" }, { "1.555" } },
        { "{\"enum\":[\"a\",1,null,[1,{\"b\":2}]]}", { "\"a\"", "1", "null", "[1, {\"b\": 2}]" }, { "\"b\"", "2", "11", "[1]" } },
        { "{\"enum\":[\"a\",\"bb\",3],\"type\":\"string\",\"minLength\":2}", { "\"bb\"" }, { "\"a\"", "3" } },
        { "{\"type\":[\"integer\",\"null\"]}", { "1", "null" }, { "\"\"", "1.5", "true" } },
        { "{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":1,\"maxItems\":2}", { "[true]", "[true, false]", "[true,false]", "[ true ]" },
          { "[]", "[true,true,true]", "[1]" } },
        { "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"items\":false}", { "[]", "[1]", "[1,\"a\"]" },
          { "[\"a\"]", "[1,\"a\",2]" } },
        { "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"null\"},\"minItems\":2}", { "[1,null]", "[1,null,null]" },
          { "[1]", "[null,null]" } },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":[\"b\"],\"additionalProperties\":false}",
          { "{\"b\":\"\"}", "{\"a\": 1, \"b\": \"x\"}", "{ \"a\":1,\"b\":\"x\" }" }, { "{}", "{\"a\":1}", "{\"b\":\"\",\"a\":1}", "{\"b\":\"\",\"c\":1}", "{\"a\":1,}" } },
        { "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{}}}", { "{}", "{\"a\":1}", "{\"c\":1}", "{\"a\":1,\"c\":2}", "{\"b\":1,\"c\":2}" },
          { "{\"c\":1,\"a\":1}", "{\"d\":1}", "{\"a\":1\"c\":2}", "{,}" } },
        { "{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"integer\"},\"ac\":{\"type\":\"integer\"}},\"additionalProperties\":{\"type\":\"string\"}}",
          { "{\"ab\":1,\"x\":\"\"}", "{\"a\":\"\"}", "{\"abc\":\"\"}", "{\"\":\"\"}", "{\"a\\n\":\"\"}", "{\"\xC3\xA9\":\"\",\"y\":\"\"}" },
          { "{\"ab\":\"\"}", "{\"x\":1}", "{\"\\u0061b\":\"\"}", "{\"ac\":\"\"}" } },
        { "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"},\"minProperties\":1,\"maxProperties\":2}", { "{\"a\":1}", "{\"a\":1,\"b\":2}" },
          { "{}", "{\"a\":1,\"b\":2,\"c\":3}" } },
        { "{\"type\":\"object\",\"patternProperties\":{\"^x-\":{\"type\":\"integer\"}},\"additionalProperties\":false}", { "{}", "{\"x-a\":1}" }, { "{\"y\":1}", "{\"x-a\":\"\"}" } },
        { "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1}]}", { "1", "\"a\"" }, { "\"ab\"", "null" } },
        { "{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},{\"properties\":{\"b\":{\"type\":\"null\"}}}]}",
          { "{\"a\":1}", "{\"a\":1,\"b\":null}" }, { "{}", "{\"b\":null}", "{\"a\":1,\"c\":1}" } },
        { "{\"allOf\":[{\"minimum\":3,\"type\":\"number\"},{\"type\":\"integer\",\"maximum\":5}]}", { "3", "5" }, { "2", "6", "3.5" } },
        { "{\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},\"k\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n\"}}},"
          "\"required\":[\"v\",\"k\"]}},\"$ref\":\"#/$defs/n\"}", { "{\"v\":1,\"k\":[]}", "{\"v\":1,\"k\":[{\"v\":2,\"k\":[]}]}" }, { "{\"v\":1}", "{\"v\":1,\"k\":[1]}" } },
        { "{\"$ref\":\"#/properties/a\",\"properties\":{\"a\":{\"type\":\"object\"}}}", { "{\"a\":{}}" }, { "{\"b\":1}" } },
        { "{\"type\":\"object\",\"properties\":{\"a\":false,\"b\":true}}", { "{}", "{\"b\":[1]}" }, { "{\"a\":1}" } },
    };
    run_rows(CONSTRAIN_SCHEMA, rows, ARRAY_LEN(rows));
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        enum constrain_kind kind;
        const char         *text, *says;
    } rows[] = {
        { CONSTRAIN_SCHEMA, "{\"properties\":{\"a\":{\"not\":{\"type\":\"string\"}}}}", "#/properties/a: the keyword \"not\"" },
        { CONSTRAIN_SCHEMA, "{\"items\":{\"if\":{},\"then\":{}}}", "#/items: the keyword \"if\"" },
        { CONSTRAIN_SCHEMA, "{\"type\":\"array\",\"uniqueItems\":true}", "uniqueItems" },
        { CONSTRAIN_SCHEMA, "{\"$ref\":\"http://x/y\"}", "leads nowhere" },
        { CONSTRAIN_SCHEMA, "{\"$ref\":\"#/nothing\"}", "leads nowhere" },
        { CONSTRAIN_SCHEMA, "{\"type\":\"thing\"}", "\"type\" is \"thing\"" },
        { CONSTRAIN_SCHEMA, "{\"type\":\"integer\",\"multipleOf\":7}", "multipleOf" },
        { CONSTRAIN_SCHEMA, "{\"pattern\":\"(?=a)\"}", "lookaround" },
        { CONSTRAIN_SCHEMA, "{\"pattern\":\"(a)\\\\1\"}", "back reference" },
        { CONSTRAIN_SCHEMA, "{\"pattern\":\"a|bc\",\"maxLength\":1}", "minLength or maxLength" },
        { CONSTRAIN_SCHEMA, "{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "no text at all" },
        { CONSTRAIN_SCHEMA, "{\"$ref\":\"#\"}", "" },
        { CONSTRAIN_SCHEMA, "{\"minLength\":2,\"maxLength\":1}", "no text at all" },
        { CONSTRAIN_SCHEMA, "{\"properties\":1}", "must be an object" },
        { CONSTRAIN_SCHEMA, "[]", "a schema is an object" },
        { CONSTRAIN_SCHEMA, "false", "no text at all" },
        { CONSTRAIN_GBNF, "", "no rule \"root\"" },
        { CONSTRAIN_GBNF, "root ::= foo", "uses the rule \"foo\"" },
        { CONSTRAIN_GBNF, "root ::= root \"a\" | \"b\"", "left recursion" },
        { CONSTRAIN_GBNF, "root ::= a \"x\" | \"y\"\na ::= b? root \"c\"\nb ::= \"d\"", "left recursion" },
        { CONSTRAIN_GBNF, "root ::= root", "no text at all" },
        { CONSTRAIN_GBNF, "root ::= \"a\"**", "repetition of a repetition" },
        { CONSTRAIN_GBNF, "root ::= \"a\"{2,1}", "below its beginning" },
        { CONSTRAIN_GBNF, "root ::= [a-", "" },
        { CONSTRAIN_GBNF, "root ::= \"\\x1\"", "digit" },
        { CONSTRAIN_GBNF, "root = \"a\"", "::=" },
        { CONSTRAIN_GBNF, "root ::= \"a\"{,10}", "no least" },
        { CONSTRAIN_GBNF, "root ::= \"a\"\nroot ::= \"b\"", "twice" },
        { CONSTRAIN_REGEX, "(", "not closed" },
        { CONSTRAIN_REGEX, "a)", "too many" },
        { CONSTRAIN_REGEX, "*a", "nothing to repeat" },
        { CONSTRAIN_REGEX, "a{9999999}", "above the limit" },
        { CONSTRAIN_REGEX, "a\\b", "word border" },
        { CONSTRAIN_REGEX, "[b-a]", "ends before" },
        { CONSTRAIN_REGEX, "[]", "no text at all" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct constrain *c;
        struct err        e = { 0 };
        int               rc = compile(rows[i].kind, rows[i].text, &c, &e);
        if (rows[i].says[0] == 0 && rc == 0) { // only that it ends
            constrain_unref(c);
            continue;
        }
        if (rc == 0) fail_msg("%s was accepted", rows[i].text);
        if (!strstr(e.msg, rows[i].says)) fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].text, e.msg, rows[i].says);
        assert_string_equal(e.param, "response_format");
        assert_int_equal(e.code, rows[i].kind == CONSTRAIN_SCHEMA ? ERR_INVALID_SCHEMA : ERR_INVALID_VALUE);
    }
}

static int set_up(void **state)
{
    struct err e;
    (void)state;
    return tok_from_bytes(&tok, &e) < 0 || constrain_vocab_new(tok, 257, &vocab, &e) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    constrain_vocab_free(vocab);
    tok_free(tok);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regex_texts),
        cmocka_unit_test(gbnf_texts),
        cmocka_unit_test(schema_texts),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
