/* constrain_test.c - forms against texts that they must take and texts that they must not.
 *
 * Every text is tried byte by byte and by random tokens; each byte that goes on must be in the mask and
 * each that does not must not, so masks and steps say the same. Expected values: RFC 8259, the JSON Schema
 * drafts, ECMA-262, and by hand.
 */
#include "unit.h"

#include "base/limits.h"
#include "base/rng.h"
#include "chat/split.h"
#include "constrain/constrain.h"
#include "json/json.h"
#include "tok_make.h"

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
          { "\"", "a", "\"\n\"", "\"\\x\"", "\"\\ud83d\"", "\"\\u{\"", "\"\xFF\"", "\"\xC3\"" } },
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
        { "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}", { "{\"a\":1}", "{\"b\":1}" },
          { "{}", "{\"a\":1,\"b\":1}" } },
        { "{\"oneOf\":[{\"properties\":{\"k\":{\"const\":1},\"x\":{}},\"required\":[\"k\",\"x\"]},{\"properties\":{\"k\":{\"const\":2},\"x\":{},\"y\":{}},\"required\":[\"k\",\"y\"]}]}",
          { "{\"k\":1,\"x\":1}", "{\"k\":2,\"x\":1,\"y\":1}" }, { "{\"k\":1}", "{\"k\":2,\"x\":1}" } },
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

/* --- a real vocabulary --- */

static const char *const walked[] = {
    ("{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":20},\"n\":{\"type\":\"number\",\"minimum\":0},\"t\":{\"type\":\"array\","
    "\"items\":{\"enum\":[\"one\",\"two\",\"three\"]},\"maxItems\":3}},\"required\":[\"name\",\"n\"]}"),
    "{\"anyOf\":[{\"type\":\"string\",\"maxLength\":4},{\"const\":\"a long constant\"},{\"type\":\"string\",\"pattern\":\"^[a-f]{2,9}$\"}]}",
    "{\"type\":\"object\",\"properties\":{\"the\":{\"type\":\"integer\"},\"there\":{\"type\":\"null\"}},\"additionalProperties\":{\"type\":\"boolean\"}}",
    "{\"type\":\"string\",\"minLength\":70,\"maxLength\":120}",
    "{\"type\":\"string\",\"maxLength\":60}",
    "{\"type\":\"string\"}",
    "true",
};

static struct tok *tiny_tok(void)
{
    char         path[4096];
    size_t       n;
    struct gguf *g;
    struct tok  *t;
    struct err   e;

    snprintf(path, sizeof path, "%s", unit_data("../../models/curlew-tiny/curlew-tiny.gguf"));
    char *file = unit_read(path, &n);
    assert_non_null(file);
    assert_ok(gguf_open_mem((struct str){ file, n }, "curlew-tiny", &g, &e));
    assert_ok(tok_from_gguf(g, &t, &e));
    gguf_close(g);
    free(file);
    return t;
}

/* At every place of random texts: the mask has exactly the tokens that may be taken one by one; a text
 * that ends is JSON. */
static void walk(struct constrain *c, const struct tok *t, struct rng *r)
{
    struct constrain_run run, twin;
    struct buf           text;
    struct err           e;
    const uint64_t      *mask;
    bool                 fits;
    int                  n = tok_n(t);

    buf_init(&text, MIB(1));
    assert_ok(constrain_start(&run, c, &e));
    for (int step = 0; step < 60; step++) {
        uint64_t copy[1024];
        assert_ok(constrain_mask(&run, &mask, &e));
        assert_true(n <= 1024 * 64);
        memcpy(copy, mask, (size_t)(n + 63) / 64 * 8);
        int32_t some = -1, seen = 0;
        for (int32_t id = 0; id < n; id++) {
            assert_ok(constrain_clone(&twin, &run, &e));
            assert_ok(constrain_token(&twin, id, &fits, &e));
            constrain_stop(&twin);
            if (fits != allowed(copy, id)) fail_msg("\"" STR_FMT "\": token %d", STR_ARG(buf_text(&text)), (int)id);
            if (fits && rng_below(r, (uint64_t)++seen) == 0) some = id;
        }
        assert_true(some >= 0);
        assert_ok(constrain_token(&run, some, &fits, &e));
        if (tok_is_eog(t, some)) {
            struct json_doc *doc;
            assert_ok(json_parse_any(buf_text(&text), NULL, &doc, &e));
            json_free(doc);
            break;
        }
        buf_str(&text, tok_bytes(t, some, false));
    }
    constrain_stop(&run);
    buf_release(&text);
}

static void masks_are_exact(void **state)
{
    struct tok             *t = tiny_tok();
    struct constrain_vocab *v;
    struct err              e;
    struct rng              r;
    (void)state;

    rng_seed(&r, 4);
    assert_ok(constrain_vocab_new(t, tok_n(t), &v, &e));
    for (size_t i = 0; i < ARRAY_LEN(walked); i++) {
        struct constrain     *c;
        struct constrain_conf conf = { .kind = CONSTRAIN_SCHEMA, .text = str_c(walked[i]) };
        assert_ok(constrain_new(v, &conf, &c, &e));
        for (int k = 0; k < 4; k++) walk(c, t, &r);
        constrain_unref(c);
    }
    constrain_vocab_free(v);
    tok_free(t);
}

/* --- calls --- */

static void on_call(void *ctx, const struct chat_event *ev)
{
    struct buf *b = ctx;

    if (ev->kind == CHAT_EV_TEXT) fail_msg("\"" STR_FMT "\" is no call", STR_ARG(ev->text));
    if (ev->kind == CHAT_EV_ARGS) buf_str(b, ev->text);
}

/* What the form takes, the splitter reads as calls and nothing else. */
static void reads_as_calls(const char *form, struct str text)
{
    struct split_conf c;
    struct split     *s;
    struct buf        args;
    struct err        e;

    split_conf_init(&c);
    assert_true(split_form_by_name(str_c(form), &c.form));
    buf_init(&args, MIB(1));
    assert_ok(split_new(&c, &s, &e));
    assert_ok(split_put(s, text, on_call, &args, &e));
    assert_ok(split_end(s, false, on_call, &args, &e));
    if (split_calls(s) < 1 || args.n < 2 || args.p[0] != '{') fail_msg("%s: " STR_FMT, form, STR_ARG(text));
    split_free(s);
    buf_release(&args);
}

static void calls(void **state)
{
    static const struct chat_tool tools[] = {
        { .name = { "f", 1 }, .parameters = STR("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}") },
        { .name = { "now", 3 } },
    };
    static const struct {
        const char *form;
        bool        all, parallel;
        const char *only, *text;
        int         want;
    } rows[] = {
        { "hermes", false, true, NULL, "\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>", 1 },
        { "hermes", false, true, NULL, "{\"name\":\"now\",\"arguments\":{}}</tool_call>", 1 },
        { "hermes", false, true, NULL, "{\"name\":\"g\",\"arguments\":{}}</tool_call>", 0 },
        { "hermes", false, true, NULL, "{\"name\":\"f\",\"arguments\":{\"b\":1}}</tool_call>", 0 },
        { "hermes", false, true, NULL, "{\"name\":\"now\",\"arguments\":{\"a\":1}}</tool_call>", 0 },
        { "hermes", true, true, NULL, "<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>", 1 },
        { "hermes", true, false, NULL, "<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>", 0 },
        { "hermes", true, true, "f", "<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>", 0 },
        { "llama3-json", true, true, NULL, "{\"name\": \"f\", \"parameters\": {\"a\": -3}}", 1 },
        { "mistral", true, true, NULL, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"now\", \"arguments\": {}}]", 1 },
        { "mistral", true, false, NULL, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"now\", \"arguments\": {}}]", 0 },
        { "mistral", true, true, NULL, "[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]now[ARGS]{}", 1 },
        { "mistral", true, true, NULL, "[TOOL_CALLS]g[ARGS]{}", 0 },
        { "phi4", true, true, NULL, "<|tool_call|>[{\"name\": \"now\", \"arguments\": {}}]<|/tool_call|>", 1 },
        { "internlm", true, true, NULL, "<|action_start|><|plugin|>{\"name\": \"now\", \"parameters\": {}}<|action_end|>", 1 },
        { "kimi", true, true, NULL, "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"a\": 1}<|tool_call_end|>"
          "<|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>", 1 },
        { "kimi", true, true, NULL, "<|tool_calls_section_begin|><|tool_call_begin|>functions.g:0<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>", 0 },
        { "deepseek", true, true, NULL, "<\xEF\xBD\x9Ctool\xE2\x96\x81" "calls\xE2\x96\x81" "begin\xEF\xBD\x9C><\xEF\xBD\x9Ctool\xE2\x96\x81" "call\xE2\x96\x81" "begin\xEF\xBD\x9C>f<\xEF\xBD\x9Ctool\xE2\x96\x81" "sep\xEF\xBD\x9C>{\"a\": 1}<\xEF\xBD\x9Ctool\xE2\x96\x81" "call\xE2\x96\x81" "end\xEF\xBD\x9C><\xEF\xBD\x9Ctool\xE2\x96\x81" "call\xE2\x96\x81" "begin\xEF\xBD\x9C>now<\xEF\xBD\x9Ctool\xE2\x96\x81" "sep\xEF\xBD\x9C>{}<\xEF\xBD\x9Ctool\xE2\x96\x81" "call\xE2\x96\x81" "end\xEF\xBD\x9C><\xEF\xBD\x9Ctool\xE2\x96\x81" "calls\xE2\x96\x81" "end\xEF\xBD\x9C>", 1 },
        { "deepseek", true, false, NULL, "<\xEF\xBD\x9Ctool\xE2\x96\x81" "calls\xE2\x96\x81" "begin\xEF\xBD\x9C><\xEF\xBD\x9Ctool\xE2\x96\x81" "call\xE2\x96\x81" "begin\xEF\xBD\x9C>f<\xEF\xBD\x9Ctool\xE2\x96\x81" "sep\xEF\xBD\x9C>{\"a\": 1}<\xEF\xBD\x9Ctool\xE2\x96\x81" "call\xE2\x96\x81" "end\xEF\xBD\x9C><\xEF\xBD\x9Ctool\xE2\x96\x81" "call\xE2\x96\x81" "begin\xEF\xBD\x9C>now<\xEF\xBD\x9Ctool\xE2\x96\x81" "sep\xEF\xBD\x9C>{}<\xEF\xBD\x9Ctool\xE2\x96\x81" "call\xE2\x96\x81" "end\xEF\xBD\x9C><\xEF\xBD\x9Ctool\xE2\x96\x81" "calls\xE2\x96\x81" "end\xEF\xBD\x9C>", 0 },
        { "deepseek", true, true, NULL, "<\xEF\xBD\x9Ctool\xE2\x96\x81" "calls\xE2\x96\x81" "begin\xEF\xBD\x9C><\xEF\xBD\x9Ctool\xE2\x96\x81" "call\xE2\x96\x81" "begin\xEF\xBD\x9C>function<\xEF\xBD\x9Ctool\xE2\x96\x81" "sep\xEF\xBD\x9C>f\n```json\n{\"a\": 1}\n```<\xEF\xBD\x9Ctool\xE2\x96\x81" "call\xE2\x96\x81" "end\xEF\xBD\x9C><\xEF\xBD\x9Ctool\xE2\x96\x81" "calls\xE2\x96\x81" "end\xEF\xBD\x9C>", 1 },
        { "nemotron", true, true, NULL, "<TOOLCALL>[{\"name\": \"now\", \"arguments\": {}}]</TOOLCALL>", 1 },
    };
    struct err        e;
    struct constrain *c;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct constrain_conf conf = { .kind = rows[i].all ? CONSTRAIN_CALLS : CONSTRAIN_CALL, .form = rows[i].form, .tool = tools, .n_tool = 2,
                                       .only = str_c(rows[i].only), .parallel = rows[i].parallel, .param = "tools" };
        assert_ok(constrain_new(vocab, &conf, &c, &e));
        if (takes(c, str_c(rows[i].text)) != rows[i].want) fail_msg("%s: %s", rows[i].form, rows[i].text);
        if (rows[i].want && rows[i].all) reads_as_calls(rows[i].form, str_c(rows[i].text));
        constrain_unref(c);
    }
    struct constrain_conf odd = { .kind = CONSTRAIN_CALLS, .form = "harmony", .tool = tools, .n_tool = 2, .param = "tool_choice" };
    assert_err(constrain_new(vocab, &odd, &c, &e), ERR_UNSUPP_VALUE, "harmony");
    assert_string_equal(e.param, "tool_choice");
}

/* Bytes are ids 0..255; then special tokens, and one that is cut inside a character. */
static struct tok *special_tok(void)
{
    static struct mk_list l;
    struct maker          m;
    struct tok           *t = NULL;
    struct err            e;
    const struct str      merges[] = { STR("a \xC3\x83") }; // "a" and the byte C3

    l.n = l.n_text = 0;
    mk_bytes(&l, true);
    mk_add(&l, STR("</s>"), TOK_T_CONTROL, 0);         // 256
    mk_add(&l, STR("[TOOL_CALLS]"), TOK_T_CONTROL, 0); // 257
    mk_add(&l, STR("[ARGS]"), TOK_T_CONTROL, 0);       // 258
    mk_add(&l, STR("a\xC3\x83"), TOK_T_NORMAL, 0);     // 259
    mk_init(&m);
    mk_str(&m, "model", "gpt2");
    mk_str(&m, "pre", "gpt-2");
    mk_strs(&m, "tokens", l.s, l.n);
    mk_i32s(&m, "token_type", l.type, l.n);
    mk_strs(&m, "merges", merges, 1);
    mk_u32(&m, "eos_token_id", 256);
    assert_ok(mk_tok(&m, &t, &e));
    return t;
}

static int count_allowed(struct constrain_run *r, const uint64_t **mask)
{
    struct err e;
    int        n = 0;

    assert_ok(constrain_mask(r, mask, &e));
    for (int id = 0; id < 260; id++) n += allowed(*mask, id);
    return n;
}

/* Special tokens where a form names them and nowhere else; tokens that end in half a character. */
static void special_tokens(void **state)
{
    static const struct chat_tool tool = { .name = { "f", 1 } };
    struct tok             *t = special_tok();
    struct constrain_vocab *v;
    struct constrain       *c;
    struct constrain_run    r;
    struct constrain_conf   conf = { .kind = CONSTRAIN_CALLS, .form = "mistral", .tool = &tool, .n_tool = 1 };
    const uint64_t         *mask;
    struct err              e;
    bool                    fits;
    (void)state;

    assert_ok(constrain_vocab_new(t, 260, &v, &e));
    assert_ok(constrain_new(v, &conf, &c, &e));
    assert_ok(constrain_start(&r, c, &e));
    assert_int_equal(count_allowed(&r, &mask), 2); // the token, or its name's first character
    assert_true(allowed(mask, 257) && allowed(mask, '['));
    assert_ok(constrain_token(&r, 257, &fits, &e));
    assert_true(fits);
    assert_ok(constrain_token(&r, 'f', &fits, &e));
    assert_true(fits);
    assert_int_equal(count_allowed(&r, &mask), 2);
    assert_true(allowed(mask, 258) && allowed(mask, '['));
    assert_ok(constrain_token(&r, 258, &fits, &e));
    assert_ok(constrain_bytes(&r, STR("{}"), &fits, &e));
    assert_true(fits && constrain_may_end(&r));
    constrain_stop(&r);
    constrain_unref(c);

    conf = (struct constrain_conf){ .kind = CONSTRAIN_SCHEMA, .text = STR("{\"type\":\"string\"}") };
    assert_ok(constrain_new(v, &conf, &c, &e));
    assert_ok(constrain_start(&r, c, &e));
    assert_ok(constrain_token(&r, '"', &fits, &e));
    count_allowed(&r, &mask);
    assert_false(allowed(mask, 256) || allowed(mask, 257) || allowed(mask, 0xFF) || allowed(mask, 0xC1) || allowed(mask, 0x80));
    assert_true(allowed(mask, 259) && allowed(mask, 0xC3) && allowed(mask, 0xF4));
    assert_ok(constrain_token(&r, 259, &fits, &e));
    assert_true(fits);
    assert_int_equal(count_allowed(&r, &mask), 64); // the second half
    assert_true(allowed(mask, 0x80) && allowed(mask, 0xBF));
    assert_ok(constrain_token(&r, 0xFF, &fits, &e));
    assert_false(fits);
    assert_ok(constrain_token(&r, 0xA9, &fits, &e));
    assert_true(fits);
    assert_ok(constrain_token(&r, '"', &fits, &e));
    assert_int_equal(count_allowed(&r, &mask), 1); // nothing but the end
    assert_true(allowed(mask, 256) && constrain_must_end(&r));
    constrain_stop(&r);
    constrain_unref(c);
    constrain_vocab_free(v);
    tok_free(t);
}

/* --- limits --- */

/* More places than are remembered: what two sequences hold comes through. */
static void forgetting(void **state)
{
    struct constrain    *c;
    struct constrain_run a, b;
    struct err           e;
    bool                 fits;
    char                 piece[100];
    (void)state;

    assert_ok(compile(CONSTRAIN_SCHEMA, "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":400000}}", &c, &e));
    assert_ok(constrain_start(&a, c, &e));
    assert_ok(constrain_bytes(&a, STR("[ \"x"), &fits, &e));
    assert_ok(constrain_clone(&b, &a, &e));
    assert_ok(constrain_bytes(&b, STR("y\", \""), &fits, &e));
    memset(piece, 'a', sizeof piece);
    for (int i = 0; i < 3999; i++) {
        assert_ok(constrain_bytes(&a, (struct str){ piece, sizeof piece }, &fits, &e));
        if (!fits) fail_msg("piece %d", i);
    }
    assert_ok(constrain_bytes(&a, (struct str){ piece, 99 }, &fits, &e)); // 400,000 with the x
    assert_true(fits);
    assert_ok(constrain_bytes(&a, STR("a"), &fits, &e));
    assert_false(fits);
    assert_ok(constrain_bytes(&a, STR("\"]"), &fits, &e));
    assert_true(fits && constrain_must_end(&a));
    assert_ok(constrain_bytes(&b, STR("\" ]"), &fits, &e));
    assert_true(fits && constrain_must_end(&b));
    constrain_stop(&a);
    constrain_stop(&b);
    constrain_unref(c);
}

/* Grammars that would blow up end in an error, soon. */
static void explosions(void **state)
{
    static const char *const texts[] = {
        "root ::= (\"a\" | \"a\" root)* (\"a\" | x)*\nx ::= (\"a\" x \"a\")* | \"a\" x x",
        "root ::= ((((\"a\"?){100}){100}){100}){100}",
        "root ::= a{1000} \"b\"\na ::= (\"a\"? \"a\"?){1000}",
        "root ::= [^x]{100000} | \"x\"{1,999999}",
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct constrain    *c;
        struct constrain_run r;
        const uint64_t      *mask;
        struct err           e;
        bool                 fits = true;
        if (compile(CONSTRAIN_GBNF, texts[i], &c, &e) < 0) continue;
        int rc = constrain_start(&r, c, &e);
        for (int k = 0; k < 300 && rc == 0 && fits; k++) {
            rc = constrain_mask(&r, &mask, &e);
            if (rc == 0) rc = constrain_token(&r, 'a', &fits, &e);
        }
        if (rc < 0) assert_true(e.msg[0]);
        constrain_stop(&r);
        constrain_unref(c);
    }
}

/* Every allocation fails once: an error, nothing lost, nothing broken. */
static void no_memory(void **state)
{
    static const char text[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"},\"b\":{\"type\":\"integer\",\"minimum\":-5}},"
                               "\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}],\"additionalProperties\":{\"enum\":[1,\"x\"]}}";
    (void)state;

    for (uint64_t at = 1;; at++) {
        struct constrain_cache k = { 0 };
        struct constrain_conf  conf = { .kind = CONSTRAIN_SCHEMA, .text = str_c(text) };
        struct constrain      *c    = NULL;
        struct constrain_run   r    = { 0 };
        const uint64_t        *mask;
        struct err             e;
        bool                   fits = false;
        uint64_t               before = mem_count();
        mem_fail_at(at);
        int rc = constrain_cache_get(&k, vocab, &conf, &c, &e);
        if (rc == 0) rc = constrain_start(&r, c, &e);
        if (rc == 0) rc = constrain_mask(&r, &mask, &e);
        if (rc == 0) rc = constrain_bytes(&r, STR("{\"a\": \"x\", \"cc\": 1}"), &fits, &e);
        mem_fail_at(0);
        bool reached = mem_count() - before >= at;
        constrain_stop(&r);
        constrain_unref(c);
        constrain_cache_clear(&k);
        if (rc == 0) assert_true(fits);
        if (!reached) break;
    }
}

/* A decode step allocates nothing once its masks were made. */
static void steps_allocate_nothing(void **state)
{
    struct constrain    *c;
    struct constrain_run r;
    const uint64_t      *mask;
    struct err           e;
    bool                 fits;
    uint64_t             n = 0;
    (void)state;

    assert_ok(compile(CONSTRAIN_SCHEMA, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}", &c, &e));
    for (int round = 0; round < 2; round++) {
        if (round) n = mem_count();
        assert_ok(constrain_start(&r, c, &e));
        for (const char *p = "{\"a\": \"some text\"}"; *p; p++) {
            assert_ok(constrain_mask(&r, &mask, &e));
            assert_ok(constrain_token(&r, *p, &fits, &e));
            assert_true(fits);
        }
        constrain_stop(&r);
    }
    assert_int_equal(mem_count(), n);
    constrain_unref(c);
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
        cmocka_unit_test(masks_are_exact),
        cmocka_unit_test(calls),
        cmocka_unit_test(special_tokens),
        cmocka_unit_test(forgetting),
        cmocka_unit_test(explosions),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(steps_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
