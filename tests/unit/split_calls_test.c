/* split_calls_test.c - calls there and back: written as each family writes them, split again.
 *
 * The calls are those that the function-calling cases of the shared data expect, and a few of our
 * own with what is hard: quotes, line ends, marks, nesting, numbers. The writers below are the
 * formats' definition a second time, from the templates, and share nothing with the splitter.
 */
#include "unit.h"

#include <glob.h>

#include "chat/split.h"
#include "json_same.h"
#include "json/json.h"

struct call {
    struct str         name;
    const struct json *args;
    const struct json *props; // the schema's properties, or NULL
};

static void json_text(struct buf *b, const struct json *v)
{
    json_write(b, v, JSON_SPACED);
}

/* Python's way: its words for true, false, null; its quotes. */
static void py_text(struct buf *b, const struct json *v)
{
    bool first = true;

    switch (json_kind(v)) {
    case JSON_T_NULL: buf_str(b, STR("None")); return;
    case JSON_T_BOOL: buf_str(b, json_bool(v) ? STR("True") : STR("False")); return;
    case JSON_T_STR:
        buf_byte(b, '\'');
        for (size_t i = 0; i < json_str(v).n; i++) {
            char c = json_str(v).p[i];
            if (c == '\'' || c == '\\') buf_byte(b, '\\');
            if (c == '\n')
                buf_str(b, STR("\\n"));
            else
                buf_byte(b, c);
        }
        buf_byte(b, '\'');
        return;
    case JSON_T_ARR:
        buf_byte(b, '[');
        for (size_t i = 0; i < json_len(v); i++) {
            if (i) buf_str(b, STR(", "));
            py_text(b, json_at(v, i));
        }
        buf_byte(b, ']');
        return;
    case JSON_T_OBJ:
        buf_byte(b, '{');
        for (struct json_it it = json_it(v); json_next(&it); first = false) {
            if (!first) buf_str(b, STR(", "));
            buf_byte(b, '\'');
            buf_str(b, it.key);
            buf_str(b, STR("': "));
            py_text(b, it.val);
        }
        buf_byte(b, '}');
        return;
    case JSON_T_INT:
    case JSON_T_REAL: json_text(b, v); return;
    }
}

/* Gemma's: bare keys, strings between marks. */
static void gemma_text(struct buf *b, const struct json *v)
{
    bool first = true;

    switch (json_kind(v)) {
    case JSON_T_STR:
        buf_printf(b, "<|\"|>" STR_FMT "<|\"|>", STR_ARG(json_str(v)));
        return;
    case JSON_T_ARR:
        buf_byte(b, '[');
        for (size_t i = 0; i < json_len(v); i++) {
            if (i) buf_byte(b, ',');
            gemma_text(b, json_at(v, i));
        }
        buf_byte(b, ']');
        return;
    case JSON_T_OBJ:
        buf_byte(b, '{');
        for (struct json_it it = json_it(v); json_next(&it); first = false) {
            if (!first) buf_byte(b, ',');
            buf_str(b, it.key);
            buf_byte(b, ':');
            gemma_text(b, it.val);
        }
        buf_byte(b, '}');
        return;
    case JSON_T_NULL:
    case JSON_T_BOOL:
    case JSON_T_INT:
    case JSON_T_REAL: json_text(b, v); return;
    }
}

/* A value between tags: a string as it is, everything else as JSON. */
static void plain_text(struct buf *b, const struct json *v)
{
    if (json_kind(v) == JSON_T_STR)
        buf_str(b, json_str(v));
    else
        json_text(b, v);
}

static void calls_json(struct buf *b, const struct call *c, int n, const char *open, const char *name,
                       const char *args, const char *close)
{
    for (int i = 0; i < n; i++) {
        buf_printf(b, "%s{\"%s\": ", open, name);
        json_put_str(b, c[i].name);
        buf_printf(b, ", \"%s\": ", args);
        json_text(b, c[i].args);
        buf_printf(b, "}%s", close);
    }
}

static void list_json(struct buf *b, const struct call *c, int n, const char *open, const char *name,
                      const char *args, const char *close)
{
    buf_printf(b, "%s[", open);
    for (int i = 0; i < n; i++) calls_json(b, c + i, 1, i ? ", " : "", name, args, "");
    buf_printf(b, "]%s", close);
}

static void named(struct buf *b, const struct call *c, int n, const char *open, const char *before,
                  const char *after, const char *end, const char *close)
{
    buf_str(b, str_c(open));
    for (int i = 0; i < n; i++) {
        buf_printf(b, "%s" STR_FMT "%s", before, STR_ARG(c[i].name), after);
        json_text(b, c[i].args);
        buf_str(b, str_c(end));
    }
    buf_str(b, str_c(close));
}

static void tagged(struct buf *b, const struct call *c, int n, const char *call, const char *arg,
                   const char *eol, const char *arg_end, const char *call_end)
{
    for (int i = 0; i < n; i++) {
        buf_printf(b, "%s" STR_FMT "%s\n", call, STR_ARG(c[i].name), *eol ? ">" : "\">");
        for (struct json_it it = json_it(c[i].args); json_next(&it);) {
            buf_printf(b, "%s" STR_FMT "%s%s", arg, STR_ARG(it.key), *eol ? ">" : "\">", eol);
            plain_text(b, it.val);
            buf_printf(b, "%s%s\n", eol, arg_end);
        }
        buf_str(b, str_c(call_end));
    }
}

static void write_hermes(struct buf *b, const struct call *c, int n)
{
    calls_json(b, c, n, "<tool_call>\n", "name", "arguments", "\n</tool_call>\n");
}

static void write_llama3(struct buf *b, const struct call *c, int n)
{
    calls_json(b, c, n, "", "name", "parameters", "; ");
}

static void write_mistral(struct buf *b, const struct call *c, int n)
{
    list_json(b, c, n, "[TOOL_CALLS]", "name", "arguments", "");
}

static void write_mistral_args(struct buf *b, const struct call *c, int n)
{
    named(b, c, n, "", "[TOOL_CALLS]", "[ARGS]", "", "");
}

static void write_command(struct buf *b, const struct call *c, int n)
{
    list_json(b, c, n, "<|START_ACTION|>", "tool_name", "parameters", "<|END_ACTION|>");
}

static void write_phi4(struct buf *b, const struct call *c, int n)
{
    list_json(b, c, n, "<|tool_call|>", "name", "arguments", "<|/tool_call|>");
}

static void write_deepseek(struct buf *b, const struct call *c, int n)
{
    named(b, c, n, "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n",
          "\n```<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>");
}

static void write_kimi(struct buf *b, const struct call *c, int n)
{
    named(b, c, n, "<|tool_calls_section_begin|>", "<|tool_call_begin|>functions.",
          ":0<|tool_call_argument_begin|>", "<|tool_call_end|>", "<|tool_calls_section_end|>");
}

static void write_functionary(struct buf *b, const struct call *c, int n)
{
    named(b, c, n, "", "<function=", ">", "</function>", "");
}

static void write_recipients(struct buf *b, const struct call *c, int n)
{
    named(b, c, n, "all\nSure.", ">>>", "\n", "", "");
}

static void write_harmony(struct buf *b, const struct call *c, int n)
{
    named(b, c, n, "", "<|start|>assistant<|channel|>commentary to=functions.", " <|constrain|>json<|message|>",
          "<|call|>", "");
}

static void write_apertus(struct buf *b, const struct call *c, int n)
{
    buf_str(b, STR("<|tools_prefix|>["));
    for (int i = 0; i < n; i++) {
        buf_str(b, i ? STR(", {") : STR("{"));
        json_put_str(b, c[i].name);
        buf_str(b, STR(": "));
        json_text(b, c[i].args);
        buf_byte(b, '}');
    }
    buf_str(b, STR("]<|tools_suffix|>"));
}

static void write_coder(struct buf *b, const struct call *c, int n)
{
    tagged(b, c, n, "<tool_call>\n<function=", "<parameter=", "\n", "</parameter>", "</function>\n</tool_call>\n");
}

static void write_minimax(struct buf *b, const struct call *c, int n)
{
    buf_str(b, STR("<minimax:tool_call>\n"));
    tagged(b, c, n, "<invoke name=\"", "<parameter name=\"", "", "</parameter>", "</invoke>\n");
    buf_str(b, STR("</minimax:tool_call>"));
}

static void write_glm(struct buf *b, const struct call *c, int n)
{
    for (int i = 0; i < n; i++) {
        buf_printf(b, "<tool_call>" STR_FMT "\n", STR_ARG(c[i].name));
        for (struct json_it it = json_it(c[i].args); json_next(&it);) {
            buf_printf(b, "<arg_key>" STR_FMT "</arg_key>\n<arg_value>", STR_ARG(it.key));
            plain_text(b, it.val);
            buf_str(b, STR("</arg_value>\n"));
        }
        buf_str(b, STR("</tool_call>\n"));
    }
}

static void write_python(struct buf *b, const struct call *c, int n)
{
    buf_byte(b, '[');
    for (int i = 0; i < n; i++) {
        bool first = true;
        buf_printf(b, "%s" STR_FMT "(", i ? ", " : "", STR_ARG(c[i].name));
        for (struct json_it it = json_it(c[i].args); json_next(&it); first = false) {
            buf_printf(b, "%s" STR_FMT "=", first ? "" : ", ", STR_ARG(it.key));
            py_text(b, it.val);
        }
        buf_byte(b, ')');
    }
    buf_byte(b, ']');
}

static void write_gemma(struct buf *b, const struct call *c, int n)
{
    for (int i = 0; i < n; i++) {
        buf_printf(b, "<|tool_call>call:" STR_FMT, STR_ARG(c[i].name));
        gemma_text(b, c[i].args);
        buf_str(b, STR("<tool_call|>"));
    }
}

static const struct {
    const char *form, *text; // text: the answer beside the calls
    void (*write)(struct buf *b, const struct call *c, int n);
    bool typed;              // values are text: their type is the schema's
} forms[] = {
    { "hermes", "", write_hermes, false },        { "llama3-json", "", write_llama3, false },
    { "mistral", "", write_mistral, false },      { "mistral", "", write_mistral_args, false },
    { "command", "", write_command, false },      { "phi4", "", write_phi4, false },
    { "deepseek", "", write_deepseek, false },    { "kimi", "", write_kimi, false },
    { "apertus", "", write_apertus, false },      { "functionary-v3.1", "", write_functionary, false },
    { "functionary-v3.2", "Sure.", write_recipients, false },
    { "harmony", "", write_harmony, false },      { "qwen3-coder", "", write_coder, true },
    { "minimax", "", write_minimax, true },       { "glm", "", write_glm, true },
    { "llama4-pythonic", "", write_python, false }, { "gemma4", "", write_gemma, false },
    { "generic", "", write_hermes, false },       { "generic", "", write_mistral_args, false },
    { "generic", "", write_coder, true },         { "generic", "", write_python, false },
};

/* The value is of the type that the schema's property has, so that text can come back as it. */
static bool fits(const struct call *c)
{
    static const char *const names[] = { "null", "boolean", "integer", "number", "string", "array", "object" };

    for (struct json_it it = json_it(c->args); json_next(&it);) {
        struct str type = json_str(json_get(json_get_str(c->props, it.key), "type"));
        bool       ok = str_eq(type, str_c(names[json_kind(it.val)]));
        ok = ok || (str_eq(type, STR("number")) && json_kind(it.val) == JSON_T_INT);
        if (!ok) return false;
    }
    return true;
}

/* Write, split in pieces, compare. */
static void there_and_back(size_t f, const struct call *c, int n, const struct json *tools, int *done)
{
    struct split_form form;
    struct buf        text, line, out;
    struct json_doc  *got, *args;
    struct err        e = { 0 };

    for (int i = 0; i < n && forms[f].typed; i++)
        if (!fits(&c[i])) return;
    assert_true(split_form_by_name(str_c(forms[f].form), &form));
    buf_init(&text, 1 << 20);
    buf_init(&line, 1 << 20);
    buf_init(&out, 1 << 20);
    forms[f].write(&text, c, n);
    buf_str(&line, STR("{\"output\": "));
    json_put_str(&line, buf_text(&text));
    buf_str(&line, STR(", \"tools\": "));
    json_write(&line, tools, JSON_TIGHT);
    buf_byte(&line, '}');
    for (size_t piece = 0; piece < 9; piece += 1 + piece / 3) {
        buf_clear(&out);
        assert_ok(split_cli_line(&form, buf_text(&line), piece, &out, &e));
        assert_ok(json_parse(buf_text(&out), NULL, &got, &e));
        const struct json *calls = json_get(json_root(got), "tool_calls");
        bool ok = json_len(calls) == (size_t)n
                  && str_eq(str_trim(json_str(json_get(json_root(got), "content"))), str_c(forms[f].text));
        for (int i = 0; i < n && ok; i++) {
            const struct json *fn = json_get(json_at(calls, (size_t)i), "function");
            ok = str_eq(json_str(json_get(fn, "name")), c[i].name);
            if (json_parse_any(json_str(json_get(fn, "arguments")), NULL, &args, &e) != 0) {
                ok = false;
                break;
            }
            ok = ok && json_same(json_root(args), c[i].args);
            json_free(args);
        }
        if (!ok) fail_msg("%s:\n" STR_FMT "\n" STR_FMT, forms[f].form, STR_ARG(buf_text(&text)), STR_ARG(buf_text(&out)));
        json_free(got);
    }
    *done += 1;
    buf_release(&text);
    buf_release(&line);
    buf_release(&out);
}

static const struct json *props_of(const struct json *tools, struct str name)
{
    for (size_t i = 0; i < json_len(tools); i++) {
        const struct json *fn = json_get(json_at(tools, i), "function");
        if (str_eq(json_str(json_get(fn, "name")), name)) return json_get(json_get(fn, "parameters"), "properties");
    }
    return NULL;
}

static void calls_hard(void **state)
{
    (void)state;
    static const char text[] =
        "{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"put\", \"parameters\": {\"properties\": {"
        "\"s\": {\"type\": \"string\"}, \"i\": {\"type\": \"integer\"}, \"x\": {\"type\": \"number\"}, \"b\": {\"type\": "
        "\"boolean\"}, \"n\": {\"type\": \"null\"}, \"l\": {\"type\": \"array\"}, \"o\": {\"type\": \"object\"}}}}}],"
        "\"args\": [{}, {\"s\": \"\"}, {\"s\": \"12\"}, {\"s\": \"true\"}, {\"s\": \"it's \\\"so\\\" \\\\n\"},"
        "{\"s\": \"two\\nlines\\n\"}, {\"s\": \"\\n \\n\"}, {\"s\": \"{\\\"a\\\": [1]}\"}, {\"s\": \"h\\u00e9 \\ud83d\\ude00 \\u4e2d\"},"
        "{\"s\": \"</tool_call> <tool_call> [TOOL_CALLS] ``` <|call|> }}]] ') \"},"
        "{\"i\": -9007199254740993, \"x\": 1.5e-7, \"b\": false, \"n\": null}, {\"l\": [], \"o\": {}},"
        "{\"l\": [1, [2, [\"three\", {\"k\": [null, true]}]]], \"o\": {\"a\": {\"b\": {\"c\": \"d\"}}, \"e\": [{}]}}]}";
    struct json_doc *doc;
    struct err       e = { 0 };
    int              done = 0;

    assert_ok(json_parse(str_c(text), NULL, &doc, &e));
    const struct json *tools = json_get(json_root(doc), "tools"), *list = json_get(json_root(doc), "args");
    for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
        for (size_t i = 0; i < json_len(list); i++) {
            struct call c[2] = { { STR("put"), json_at(list, i), props_of(tools, STR("put")) } };
            c[1] = c[0];
            there_and_back(f, c, 1, tools, &done);
            there_and_back(f, c, 2, tools, &done);
        }
    }
    assert_int_equal(done, ARRAY_LEN(forms) * json_len(list) * 2);
    print_message("  %d texts\n", done);
    json_free(doc);
}

/* The first accepted value of every argument that has one. */
static void args_text(struct buf *b, const struct json *want)
{
    bool first = true;

    buf_byte(b, '{');
    for (struct json_it it = json_it(want); json_next(&it);) {
        const struct json *v = json_at(it.val, 0);
        if (!v || (json_kind(v) == JSON_T_STR && !json_str(v).n)) continue;
        if (!first) buf_byte(b, ',');
        first = false;
        json_put_str(b, it.key);
        buf_byte(b, ':');
        json_write(b, v, JSON_TIGHT);
    }
    buf_byte(b, '}');
}

static void calls_file(const char *path, int done[])
{
    size_t           n;
    char            *text = unit_read(path, &n);
    struct json_doc *doc;
    struct err       e = { 0 };

    assert_non_null(text);
    assert_ok(json_parse((struct str){ text, n }, NULL, &doc, &e));
    for (size_t i = 0; i < json_len(json_root(doc)); i++) {
        const struct json *row = json_at(json_root(doc), i), *want = json_get(row, "expected_calls");
        struct call        c[64];
        struct json_doc   *args[64];
        int                n_call = 0;
        for (size_t k = 0; k < json_len(want) && k < 64; k++) {
            struct json_it it = json_it(json_at(want, k));
            struct buf     b;
            assert_true(json_next(&it));
            buf_init(&b, 1 << 20);
            args_text(&b, it.val);
            assert_ok(json_parse(buf_text(&b), NULL, &args[n_call], &e));
            buf_release(&b);
            c[n_call] = (struct call){ it.key, json_root(args[n_call]), props_of(json_get(row, "tools"), it.key) };
            n_call++;
        }
        for (size_t f = 0; f < ARRAY_LEN(forms) && n_call; f++)
            there_and_back(f, c, n_call, json_get(row, "tools"), &done[f]);
        while (n_call > 0) json_free(args[--n_call]);
    }
    json_free(doc);
    free(text);
}

static void calls_shared(void **state)
{
    (void)state;
    const char *one = unit_shared("tool-calls/simple_python.json");
    char        pattern[4096];
    int         done[ARRAY_LEN(forms)] = { 0 };
    glob_t      g;

    if (!one) {
        print_message("shared tool-calls are absent: skipped\n");
        skip();
    }
    snprintf(pattern, sizeof pattern, "%.*s/*.json", (int)(strrchr(one, '/') - one), one);
    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) calls_file(g.gl_pathv[i], done);
    globfree(&g);
    for (size_t f = 0; f < ARRAY_LEN(forms); f++) print_message("  %-18s %d\n", forms[f].form, done[f]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_hard),
        cmocka_unit_test(calls_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
