/* split_test.c - answers taken apart: whole, in pieces, cut at every byte. */
#include "unit.h"

#include <glob.h>

#include "base/limits.h"
#include "base/rng.h"
#include "chat/split.h"
#include "json/json.h"
#include "json_same.h"
#include "json_syntax.h"

/* What came out, in the order it came, one line a run of events of a kind. */
struct got {
    struct buf text, think, calls; // calls: "0:name{...}1:name{...}"
    struct buf last;               // arguments of the last call
    int        at;
};

static void got_init(struct got *g)
{
    buf_init(&g->text, 1 << 24);
    buf_init(&g->think, 1 << 24);
    buf_init(&g->calls, 1 << 24);
    buf_init(&g->last, 1 << 24);
    g->at = -1;
}

static void got_clear(struct got *g)
{
    buf_clear(&g->text);
    buf_clear(&g->think);
    buf_clear(&g->calls);
    buf_clear(&g->last);
    g->at = -1;
}

static void got_release(struct got *g)
{
    buf_release(&g->text);
    buf_release(&g->think);
    buf_release(&g->calls);
    buf_release(&g->last);
}

static void take(void *ctx, const struct chat_event *ev)
{
    struct got *g = ctx;

    assert_int_equal(ev->choice, 3);
    assert_true(ev->text.n > 0);
    if (ev->kind == CHAT_EV_TEXT) {
        buf_str(&g->text, ev->text);
    } else if (ev->kind == CHAT_EV_REASONING) {
        buf_str(&g->think, ev->text);
    } else if (ev->kind == CHAT_EV_CALL) {
        assert_int_equal(ev->index, ++g->at);
        buf_clear(&g->last);
        buf_printf(&g->calls, "%d:" STR_FMT, ev->index, STR_ARG(ev->text));
    } else if (ev->kind == CHAT_EV_ARGS) {
        assert_int_equal(ev->index, g->at);
        buf_str(&g->calls, ev->text);
        buf_str(&g->last, ev->text);
    } else {
        fail_msg("event %d", (int)ev->kind);
    }
}

static void run(const struct split_conf *c, struct str text, size_t piece, bool cut, struct got *g)
{
    struct split *s;
    struct err    e = { 0 };

    got_clear(g);
    assert_ok(split_new(c, &s, &e));
    for (size_t at = 0; at < text.n; at += piece)
        assert_ok(split_put(s, str_sub(text, at, piece), take, g, &e));
    assert_ok(split_end(s, cut, take, g, &e));
    assert_int_equal(split_calls(s), g->at + 1);
    split_free(s);
}

struct row {
    const char *form, *raw, *text, *think, *calls;
};

static void check_rows(const struct row *rows, size_t n)
{
    struct got g;

    got_init(&g);
    for (size_t i = 0; i < n; i++) {
        struct split_conf c;
        split_conf_init(&c);
        c.choice = 3;
        c.turn_marks = true;
        assert_true(split_form_by_name(str_c(rows[i].form), &c.form));
        struct str raw = str_c(rows[i].raw);
        for (size_t piece = 1; piece <= raw.n + 1; piece++) {
            run(&c, raw, piece, false, &g);
            if (!str_eq(buf_text(&g.text), str_c(rows[i].text))
                || !str_eq(buf_text(&g.think), str_c(rows[i].think))
                || !str_eq(buf_text(&g.calls), str_c(rows[i].calls)))
                fail_msg("row %zu (%s), pieces of %zu: %s\n text  \"" STR_FMT "\"\n think \"" STR_FMT
                         "\"\n calls \"" STR_FMT "\"", i, rows[i].form, piece, rows[i].raw,
                         STR_ARG(buf_text(&g.text)), STR_ARG(buf_text(&g.think)),
                         STR_ARG(buf_text(&g.calls)));
        }
    }
    got_release(&g);
}

static void split_answers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "hermes", "Hello, I am here.", "Hello, I am here.", "", "" },
        { "hermes", " two  blanks\n", " two  blanks\n", "", "" },
        { "hermes", "Done.<|im_end|>\n", "Done.", "", "" },
        { "hermes", "a < b <thin <tool", "a < b <thin <tool", "", "" },
        { "hermes", "<think>\n\n</think>\n\nHi", "Hi", "", "" },
        { "hermes", "<think>\nHm.\n\nSo.\n</think>\n\n4\n\n5", "4\n\n5", "Hm.\n\nSo.", "" },
        { "hermes", "Use <think> and </think>.", "Use <think> and </think>.", "", "" },
        { "hermes", "<think>Never closed", "", "Never closed", "" },
        { "hermes", "", "", "", "" },
        { "none", "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
          "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>", "", "" },
    };

    check_rows(rows, ARRAY_LEN(rows));
}

static void split_hermes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "hermes", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": [true, null]}}\n</tool_call>",
          "", "", "0:f{\"a\":1,\"b\":[true,null]}" },
        { "hermes", "I look.\n<tool_call>\n{\"arguments\": {\"a\": \"\\u00e9 \\\"\"}, \"name\": \"f\"}\n</tool_call>\n",
          "I look.", "", "0:f{\"a\":\"\xC3\xA9 \\\"\"}" },
        { "hermes", "<think>x</think><tool_call>{\"name\": \"f\"}</tool_call>\n<tool_call>{\"name\": \"g\", "
                    "\"arguments\": {}}</tool_call>", "", "x", "0:f{}1:g{}" },
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": \\\"x\\\\ny\\\"}\"}</tool_call>",
          "", "", "0:f{\"a\":\"x\\ny\"}" },
        { "hermes", "<tool_call>{'name': 'f', 'arguments': {'a': True, 'b': None, 'c': \"it's\"}}</tool_call>",
          "", "", "0:f{\"a\":true,\"b\":null,\"c\":\"it's\"}" },
        { "hermes", "<tool_call>{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{}},\"id\":\"1\"}</tool_call>",
          "", "", "0:f{}" },
        { "hermes", "A\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\nB", "A\n\nB", "", "0:f{}" },
        /* slips around complete arguments */
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}</tool_call>", "", "", "0:f{\"a\":1}" },
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}}</tool_call>", "", "", "0:f{\"a\":1}" },
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1</tool_call>", "", "", "0:f{\"a\":1}" },
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1,],}}", "", "", "0:f{\"a\":[1]}" },
        /* no calls after all */
        { "hermes", "<tool_call>now</tool_call>", "<tool_call>now</tool_call>", "", "" },
        { "hermes", "<tool_call>{\"a\": 1}</tool_call>", "<tool_call>{\"a\": 1}</tool_call>", "", "" },
        { "hermes", "<tool_call>{\"name\": 5, \"arguments\": {}}", "<tool_call>{\"name\": 5, \"arguments\": {}}", "", "" },
        { "hermes", "<tool_call>{\"name\": \"a b\"}", "<tool_call>{\"name\": \"a b\"}", "", "" },
        { "hermes", "<tool_call> <tool_call>{\"name\": \"f\"}</tool_call>", "<tool_call>", "", "0:f{}" },
        { "llama3-json", "{\"name\": \"f\", \"parameters\": {\"a\": 1}}<|eot_id|>", "", "", "0:f{\"a\":1}" },
        { "llama3-json", "{\"answer\": 5}", "{\"answer\": 5}", "", "" },
        { "llama3-json", "{", "{", "", "" },
        { "llama3-json", "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}", "", "", "0:f{}1:g{}" },
    };

    check_rows(rows, ARRAY_LEN(rows));
}

/* --- properties --- */

static const char *const pieces[] = {
    "<tool_call>", "</tool_call>", "<function=", "<parameter=", "</parameter>", "</function>", "{", "}", "[", "]",
    "\"name\"", "\"arguments\"", "\"f\"", ":", ",", "\"", "'", "\\", "(", ")", "a", "=", "1", " ", "\n", "```",
    "<|python_tag|>", "[TOOL_CALLS]", "[ARGS]", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "<",
    "True", "f", "<|tool_call>call:", "<|\"|>", "functools[", "<tool_calls>", "<|tool_calls_section_begin|>",
    "{\"name\": \"f\", \"arguments\": {", "<function=f><parameter=a>", "f(a=", "f<arg_key>", "\"a\": 1", "}}",
    "<tool_call>{\"name\": \"f\"", "[TOOL_CALLS]f{", "<invoke name=\"f\">", "</invoke>", "<|START_ACTION|>", ">>>", "all\n", "\xE2\x96\x81", "name>", "text",
};

/* Text of marks and pieces of calls, in a random order: when no call comes of it, all of it comes
 * back; when one does, what is left comes back in order. And however it is cut, the same. */
static void split_garbage(void **state)
{
    (void)state;
    struct rng r;
    struct buf text;
    struct got whole, cut;
    int        n_calls = 0, n_plain = 0;

    rng_seed(&r, 11);
    buf_init(&text, 10000);
    got_init(&whole);
    got_init(&cut);
    for (int round = 0; round < 30000; round++) {
        struct split_conf c;
        size_t            n_form = 0;
        split_conf_init(&c);
        c.choice = 3;
        while (split_form_list(n_form)) n_form++;
        (void)split_form_by_name(str_c(split_form_list(rng_below(&r, n_form))), &c.form);
        buf_clear(&text);
        for (size_t n = rng_below(&r, 25); n > 0; n--)
            buf_str(&text, str_c(pieces[rng_below(&r, ARRAY_LEN(pieces))]));
        run(&c, buf_text(&text), text.n + 1, false, &whole);
        run(&c, buf_text(&text), 1 + rng_below(&r, 5), false, &cut);
        assert_true(str_eq(buf_text(&whole.text), buf_text(&cut.text)));
        assert_true(str_eq(buf_text(&whole.calls), buf_text(&cut.calls)));
        assert_int_equal(whole.think.n, 0);
        bool header = str_starts(str_c(split_form_name(&c.form)), STR("functionary-v3.2"));
        if (whole.at < 0) n_plain++;
        if (whole.at < 0 && !header && !str_eq(buf_text(&whole.text), buf_text(&text)))
            fail_msg("round %d (%s): \"" STR_FMT "\" became \"" STR_FMT "\"", round, split_form_name(&c.form),
                     STR_ARG(buf_text(&text)), STR_ARG(buf_text(&whole.text)));
        size_t k = 0;
        for (size_t i = 0; i < text.n && k < whole.text.n; i++) k += text.p[i] == whole.text.p[k];
        assert_int_equal(k, whole.text.n);
        n_calls += whole.at + 1;
    }
    print_message("  %d texts without a call, %d calls\n", n_plain, n_calls);
    assert_true(n_plain > 10000 && n_calls > 100);
    buf_release(&text);
    got_release(&whole);
    got_release(&cut);
}

/* Every vector of ours, broken off after every byte, by a limit and by the model. */
static void split_truncated(void **state)
{
    (void)state;
    size_t     n;
    char      *text = unit_read(unit_data("split/vectors.jsonl"), &n);
    struct str rest = { text, n }, line;
    struct got g, h;

    assert_non_null(text);
    got_init(&g);
    got_init(&h);
    while (str_cut(&rest, '\n', &line)) {
        struct json_doc  *doc;
        struct split_conf c;
        struct err        e = { 0 };
        if (!line.n) continue;
        assert_ok(json_parse(line, NULL, &doc, &e));
        const struct json *row = json_root(doc);
        split_conf_init(&c);
        c.choice = 3;
        if (!split_form_by_name(json_str(json_get(row, "form")), &c.form))
            c.form = split_detect(json_str(json_get(row, "template")));
        c.prompt = json_str(json_get(row, "prompt_tail"));
        struct str out = json_str(json_get(row, "output"));
        for (size_t k = 0; k <= out.n; k++) {
            for (int cut = 0; cut < 2; cut++) {
                run(&c, str_sub(out, 0, k), k + 1, cut, &g);
                run(&c, str_sub(out, 0, k), 1, cut, &h);
                assert_true(str_eq(buf_text(&g.text), buf_text(&h.text)));
                assert_true(str_eq(buf_text(&g.think), buf_text(&h.think)));
                assert_true(str_eq(buf_text(&g.calls), buf_text(&h.calls)));
                struct str args = buf_text(&g.last);
                if (g.at >= 0 && !cut && !json_syntax_ok(args))
                    fail_msg("after %zu of " STR_FMT ": " STR_FMT, k, STR_ARG(line), STR_ARG(args));
            }
        }
        json_free(doc);
    }
    got_release(&g);
    got_release(&h);
    free(text);
}

/* Every allocation fails once, in turn: an error, nothing lost on the way to split_free. */
static void split_no_memory(void **state)
{
    (void)state;
    static const char *const forms[] = { "hermes", "qwen3-coder" };
    static const struct chat_tool tool = { .name = { "f", 1 }, .parameters = { "{\"properties\":{}}", 17 } };
    struct got g, want;

    got_init(&g);
    got_init(&want);
    for (size_t k = 0; k < ARRAY_LEN(forms); k++) {
        struct split_conf c;
        struct buf        text;
        split_conf_init(&c);
        c.choice = 3;
        c.tool = &tool;
        c.n_tool = 1;
        assert_true(split_form_by_name(str_c(forms[k]), &c.form));
        buf_init(&text, 1 << 20);
        buf_str(&text, k ? STR("<tool_call><function=f><parameter=a>[\"") : STR("<tool_call>{\"arguments\": {\"a\": \""));
        for (int i = 0; i < 20000; i++) buf_byte(&text, (char)('a' + i % 26));
        buf_str(&text, k ? STR("\"]</parameter></function></tool_call>") : STR("\"}, \"name\": \"f\"}</tool_call>"));
        run(&c, buf_text(&text), 1000, false, &want);
        run(&c, buf_text(&text), 1000, false, &g); // its buffers are large enough from now on
        assert_int_equal(want.at, 0);
        int failed = 0;
        for (uint64_t at = 1;; at++) {
            struct split *s = NULL;
            struct err    e = { 0 };
            got_clear(&g);
            mem_fail_at(at);
            int rc = split_new(&c, &s, &e);
            for (size_t i = 0; i < text.n && rc == 0; i += 1000)
                rc = split_put(s, str_sub(buf_text(&text), i, 1000), take, &g, &e);
            if (rc == 0) rc = split_end(s, false, take, &g, &e);
            mem_fail_at(0);
            split_free(s);
            if (rc != 0) {
                assert_int_equal(rc, -ERR_NO_MEMORY);
                failed++;
                continue;
            }
            assert_true(str_eq(buf_text(&g.calls), buf_text(&want.calls)));
            if (at > 100) break;
        }
        assert_true(failed >= 9);
        buf_release(&text);
    }
    got_release(&g);
    got_release(&want);
}

/* Endless things: bounded holding, and what goes over a bound comes out as text or as a string. */
static void split_limits(void **state)
{
    (void)state;
    struct split_conf c;
    struct got        g;
    struct buf        text;

    got_init(&g);
    split_conf_init(&c);
    c.choice = 3;
    buf_init(&text, 1 << 22);

    /* white space without end before a call */
    assert_true(split_form_by_name(STR("hermes"), &c.form));
    buf_str(&text, STR("x"));
    for (int i = 0; i < 5000; i++) buf_byte(&text, ' ');
    buf_str(&text, STR("<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>"));
    run(&c, buf_text(&text), 7, false, &g);
    assert_int_equal(g.at, 0);
    assert_true(g.text.n > 3900);

    /* a call that never becomes certain */
    buf_clear(&text);
    buf_str(&text, STR("<tool_call>{\"arguments\": {\"a\": \""));
    for (size_t i = 0; i < LIM_SPLIT_HEAD_BYTES + 5000; i++) buf_byte(&text, 'a');
    run(&c, buf_text(&text), 1000, false, &g);
    assert_int_equal(g.at, -1);
    assert_true(str_eq(buf_text(&g.text), buf_text(&text)));

    /* deep nesting, and a number that is too long */
    for (int deep = LIM_SPLIT_DEPTH - 1; deep <= LIM_SPLIT_DEPTH; deep++) {
        buf_clear(&text);
        buf_str(&text, STR("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": "));
        for (int i = 0; i < deep; i++) buf_byte(&text, '[');
        for (int i = 0; i < deep; i++) buf_byte(&text, ']');
        buf_str(&text, STR("}}</tool_call>"));
        run(&c, buf_text(&text), 3, false, &g);
        assert_int_equal(g.at, 0);
        assert_true((g.text.n == 0) == (deep < LIM_SPLIT_DEPTH));
        assert_true(json_syntax_ok(buf_text(&g.last)));
    }

    /* an argument of unknown type over the bound becomes a string and streams */
    assert_true(split_form_by_name(STR("qwen3-coder"), &c.form));
    buf_clear(&text);
    buf_str(&text, STR("<tool_call><function=f><parameter=a>["));
    for (size_t i = 0; i < LIM_SPLIT_VALUE_BYTES; i++) buf_str(&text, STR("1,"));
    buf_str(&text, STR("1]</parameter></function></tool_call>"));
    run(&c, buf_text(&text), 999, false, &g);
    assert_int_equal(g.at, 0);
    assert_true(str_starts(buf_text(&g.last), STR("{\"a\":\"[1,1,")));
    assert_int_equal(g.last.n, strlen("{\"a\":\"[") + 2 * LIM_SPLIT_VALUE_BYTES + strlen("1]\"}"));

    /* more calls than there may be */
    assert_true(split_form_by_name(STR("hermes"), &c.form));
    buf_clear(&text);
    for (int i = 0; i <= LIM_SPLIT_CALLS; i++) buf_str(&text, STR("<tool_call>{\"name\": \"f\"}</tool_call>\n"));
    run(&c, buf_text(&text), 100, false, &g);
    assert_int_equal(g.at, LIM_SPLIT_CALLS - 1);
    assert_true(str_starts(buf_text(&g.text), STR("<tool_call>{")));

    /* failing calls inside failing calls: reading again is bounded */
    buf_clear(&text);
    for (int i = 0; i < 20000; i++)
        buf_str(&text, i % 2 ? STR("<tool_call>{\"arguments\":'") : STR("<tool_call>{\"arguments\":\""));
    run(&c, buf_text(&text), 4096, false, &g);
    assert_int_equal(g.at, -1);
    assert_true(str_eq(buf_text(&g.text), buf_text(&text)));

    /* ... and when the bound is reached, a call inside a failed one is text too */
    buf_clear(&text);
    for (int i = 0; i < 6; i++) {
        buf_str(&text, STR("<tool_call>{\"arguments\": {\"x\": \""));
        for (int k = 0; k < 200000; k++) buf_byte(&text, 'a');
        if (i == 5) buf_str(&text, STR("<tool_call>{'name': 'f'}</tool_call>"));
        buf_str(&text, STR("\" ? "));
    }
    run(&c, buf_text(&text), 4096, false, &g);
    assert_int_equal(g.at, -1);
    assert_true(str_eq(buf_text(&g.text), buf_text(&text)));

    buf_release(&text);
    got_release(&g);
}

static void split_forms(void **state)
{
    (void)state;
    static const struct {
        const char *source, *name;
    } rows[] = {
        { "{{ '<tool_call>' }}", "hermes" },
        { "<tool_call>\n<function=example>", "qwen3-coder" },
        { "<tool_call>{name}\n<arg_key>", "glm" },
        { "{%- set dsml_token = '\xEF\xBD\x9C" "DSML\xEF\xBD\x9C' %}", "deepseek-dsml" },
        { "<\xEF\xBD\x9C" "tool\xE2\x96\x81" "calls\xE2\x96\x81" "begin\xEF\xBD\x9C>", "deepseek" },
        { "'<|tool_call_begin|>'", "kimi" },
        { "[AVAILABLE_TOOLS] [TOOL_CALLS]", "mistral" },
        { "<|START_ACTION|>", "command" },
        { "<|start|>assistant<|channel|>analysis<|message|>", "harmony" },
        { "'<function=' + name + '>' <|python_tag|>", "functionary-v3.1" },
        { "Environment: ipython <|python_tag|>", "llama3-json" },
        { "plain {{ messages }}", "generic" },
        { "", "generic" },
    };
    struct split_form f;
    struct buf        seen;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        f = split_detect(str_c(rows[i].source));
        assert_string_equal(split_form_name(&f), rows[i].name);
    }
    assert_false(split_form_by_name(STR("auto"), &f));
    assert_false(split_form_by_name(STR("herme"), &f));
    buf_init(&seen, 10000);
    buf_byte(&seen, ' ');
    for (size_t i = 0; split_form_list(i); i++) { // each once, and each leads back to itself
        char name[64];
        snprintf(name, sizeof name, " %s ", split_form_list(i));
        assert_true(str_find(buf_text(&seen), str_c(name)) == SIZE_MAX);
        buf_str(&seen, str_c(name));
        assert_true(split_form_by_name(str_c(split_form_list(i)), &f));
        assert_string_equal(split_form_name(&f), split_form_list(i));
    }
    buf_release(&seen);
}

static void id_take(void *ctx, const struct chat_event *ev)
{
    if (ev->kind == CHAT_EV_CALL) buf_str(ctx, ev->id);
}

/* Ids: the family's shape; the same again for the same prompt, another for another. */
static void split_ids(void **state)
{
    (void)state;
    static const char *const prompts[] = { "one", "one", "two" };
    struct buf id[3];

    for (int mistral = 0; mistral < 2; mistral++) {
        for (int i = 0; i < 3; i++) {
            struct split_conf c;
            struct split     *s;
            struct err        e = { 0 };
            split_conf_init(&c);
            assert_true(split_form_by_name(mistral ? STR("mistral") : STR("hermes"), &c.form));
            c.prompt = str_c(prompts[i]);
            c.parallel = false;
            buf_init(&id[i], 1000);
            assert_ok(split_new(&c, &s, &e));
            assert_ok(split_put(s, mistral ? STR("[TOOL_CALLS]f{}") : STR("<tool_call>{\"name\": \"f\"}"), id_take, &id[i], &e));
            assert_true(split_done(s)); // the one call allowed is there
            assert_ok(split_end(s, false, id_take, &id[i], &e));
            split_free(s);
        }
        assert_int_equal(id[0].n, mistral ? 9 : 5 + 24);
        for (size_t k = mistral ? 0 : 5; k < id[0].n; k++)
            assert_true(strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", id[0].p[k]));
        assert_true(str_eq(buf_text(&id[0]), buf_text(&id[1])));
        assert_false(str_eq(buf_text(&id[0]), buf_text(&id[2])));
        for (int i = 0; i < 3; i++) buf_release(&id[i]);
    }
}

/* Thinking that is not wanted apart stays where it was. */
static void split_no_reasoning(void **state)
{
    (void)state;
    static const char raw[] = "<think>a</think>\n\nb<tool_call>{\"name\": \"f\"}</tool_call>";
    struct split_conf c;
    struct got        g;

    got_init(&g);
    split_conf_init(&c);
    c.choice = 3;
    c.reasoning = false;
    c.prompt = STR("<think>");
    run(&c, str_c(raw), 4, false, &g);
    assert_str(buf_text(&g.text), "<think>a</think>\n\nb");
    assert_str(buf_text(&g.calls), "0:f{}");
    got_release(&g);
}

/* Cut by a limit: the arguments so far, and not a byte more. */
static void split_cut(void **state)
{
    (void)state;
    static const struct {
        const char *form, *raw, *calls;
    } rows[] = {
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1, \"b", "0:f{\"a\":[1,\"b" },
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 12", "0:f{\"a\":12" },
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}", "0:f{\"a\":1}" },
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\"", "" },
        { "qwen3-coder", "<tool_call><function=f><parameter=a>x y", "0:f{\"a\":\"x y" },
        { "lfm2", "<|tool_call_start|>[f(a='x", "0:f{\"a\":\"x" },
        { "glm", "<tool_call>f<arg_key>a</arg_key><arg_value>x", "0:f{\"a\":\"x" },
        { "mistral", "[TOOL_CALLS]f[ARGS]{\"a\": {", "0:f{\"a\":{" },
    };
    struct got g;

    got_init(&g);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct split_conf c;
        split_conf_init(&c);
        c.choice = 3;
        assert_true(split_form_by_name(str_c(rows[i].form), &c.form));
        run(&c, str_c(rows[i].raw), 3, true, &g);
        assert_str(buf_text(&g.calls), rows[i].calls);
        assert_str(buf_text(&g.text), *rows[i].calls ? "" : rows[i].raw);
    }
    got_release(&g);
}

static void split_cli_errors(void **state)
{
    (void)state;
    struct split_form f = split_detect(STR_NULL);
    struct buf        out;
    struct err        e = { 0 };

    buf_init(&out, 1000);
    assert_err(split_cli_line(&f, STR("{"), 0, &out, &e), ERR_INVALID_JSON, "");
    assert_err(split_cli_line(&f, STR("{}"), 0, &out, &e), ERR_MISSING_PARAM, "output");
    assert_err(split_cli_line(&f, STR("{\"output\": 5}"), 0, &out, &e), ERR_INVALID_TYPE, "output");
    assert_err(split_cli_line(&f, STR("{\"output\": \"\", \"tools\": [5]}"), 0, &out, &e), ERR_INVALID_TYPE, "tools[0]");
    assert_int_equal(out.n, 0);
    assert_ok(split_cli_line(&f, STR("{\"output\": \"\"}"), 0, &out, &e));
    assert_str(buf_text(&out), "{\"content\": \"\"}");

    static const char line[] =
        "{\"output\": \"a<tool_call><function=f><parameter=n>1</parameter></function></tool_call>\","
        "\"tools\": [{\"name\": \"f\", \"parameters\": {\"properties\": {\"n\": {\"type\": \"string\"}}}}]}";
    int rc = -1, failed = 0;
    for (uint64_t at = 1; rc != 0; at++) {
        buf_clear(&out);
        mem_fail_at(at);
        rc = split_cli_line(&f, str_c(line), 3, &out, &e);
        mem_fail_at(0);
        failed += rc != 0;
        if (rc != 0) assert_int_equal(rc, -ERR_NO_MEMORY);
    }
    assert_true(failed > 15);
    assert_true(str_find(buf_text(&out), STR("{\\\"n\\\":\\\"1\\\"}")) != SIZE_MAX);
    buf_release(&out);
}

/* The promise of streaming: arguments come as they are written, not at the end. */
static void split_streams(void **state)
{
    (void)state;
    static const char raw[] = "Hi there <tool_call>\n{\"name\": \"f\", \"arguments\": {\"text\": \"abcdef";
    struct split_conf c;
    struct split     *s;
    struct err        e = { 0 };
    struct got        g;

    got_init(&g);
    split_conf_init(&c);
    c.choice = 3;
    assert_ok(split_new(&c, &s, &e));
    for (size_t i = 0; i + 1 < sizeof raw; i++) {
        assert_ok(split_put(s, (struct str){ raw + i, 1 }, take, &g, &e));
        if (i == 7) assert_str(buf_text(&g.text), "Hi there");
        size_t at = sizeof raw - 1 - 6; // of the a
        if (i < at) continue;
        assert_true(str_starts(STR("0:f{\"text\":\"abcdef"), buf_text(&g.calls)));
        assert_int_equal(g.calls.n, 12 + i - at + 1);
    }
    assert_str(buf_text(&g.calls), "0:f{\"text\":\"abcdef");
    assert_str(buf_text(&g.text), "Hi there");
    uint64_t before = mem_count(); // and plain text takes no memory
    split_free(s);
    assert_true(split_form_by_name(STR("hermes"), &c.form));
    assert_ok(split_new(&c, &s, &e));
    before = mem_count();
    for (int i = 0; i < 1000; i++) assert_ok(split_put(s, STR("more <b>text</b>\n"), take, &g, &e));
    assert_true(mem_count() - before < 20); // the test's own buffer grows
    assert_false(split_done(s));
    split_free(s);

    /* an answer that is JSON goes out once it cannot be a call any more */
    got_clear(&g);
    c.form = split_detect(STR_NULL);
    assert_ok(split_new(&c, &s, &e));
    assert_ok(split_put(s, STR("{\"na"), take, &g, &e));
    assert_int_equal(g.text.n, 0);
    assert_ok(split_put(s, STR("tion\": \"x"), take, &g, &e));
    assert_str(buf_text(&g.text), "{\"nation\": \"x");
    split_free(s);
    got_release(&g);
}

/* --- recorded outputs: what templates make of known messages --- */

static bool text_is(const struct json *got, const struct json *want)
{
    return str_eq(json_kind(got) == JSON_T_STR ? json_str(got) : STR(""),
                  json_kind(want) == JSON_T_STR ? json_str(want) : STR(""));
}

/* got: the line split_cli_line wrote; want: the row's meaning. */
static bool means(struct str got, const struct json *want)
{
    struct json_doc *doc, *args;
    struct err       e = { 0 };
    bool             ok;

    assert_ok(json_parse(got, NULL, &doc, &e));
    const struct json *g = json_root(doc), *calls = json_get(g, "tool_calls"), *w = json_get(want, "tool_calls");
    ok = text_is(json_get(g, "content"), json_get(want, "content"))
         && text_is(json_get(g, "reasoning_content"), json_get(want, "reasoning_content"))
         && json_len(calls) == json_len(w);
    if (json_len(w) && !json_str(json_get(want, "content")).n)
        ok = ok && json_kind(json_get(g, "content")) == JSON_T_NULL;
    for (size_t i = 0; ok && i < json_len(w); i++) { // a call: as the API has it, or [name, arguments]
        const struct json *a = json_get(json_at(calls, i), "function"), *b = json_at(w, i);
        const struct json *fn = json_get(b, "function");
        const struct json *name = fn ? json_get(fn, "name") : json_at(b, 0);
        b = fn ? json_get(fn, "arguments") : json_at(b, 1);
        ok = str_eq(json_str(json_get(a, "name")), json_str(name));
        if (json_parse_any(json_str(json_get(a, "arguments")), NULL, &args, &e) != 0) {
            ok = false;
            continue;
        }
        ok = ok && json_same(json_root(args), b);
        json_free(args);
    }
    json_free(doc);
    return ok;
}

/* Where the rendering with an answer does not begin with the prompt (a template that opens thinking
 * for the model but not in the history), `raw` starts in the middle of a mark: put back what both
 * renderings share, and let the prompt end before it. */
static size_t shared_head(struct str tail, struct str raw)
{
    static const struct {
        const char *raw, *missing;
    } rows[] = {
        { "ool_call>", "<t" }, { "\xEF\xBD\x9Ctool", "<" }, { "EXT|>", "<|START_T" }, { "ACTION|>", "<|START_" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t at = str_find(tail, str_c(rows[i].missing)), next;
        if (!str_starts(raw, str_c(rows[i].raw)) || at == SIZE_MAX) continue;
        while ((next = str_find(str_from(tail, at + 1), str_c(rows[i].missing))) != SIZE_MAX) at += next + 1;
        return tail.n - at - strlen(rows[i].missing);
    }
    return 0;
}

/* One file of rows: right rows are counted, the wrong ones shown. */
static void outputs_file(const char *path, const char *templates, int *right, int *total)
{
    size_t           n, n_tmpl;
    char            *text = unit_read(path, &n), tmpl_path[4200];
    struct json_doc *doc;
    struct err       e = { 0 };
    struct buf       line, whole, out;
    int              file_right = 0, file_total = 0;

    assert_non_null(text);
    assert_ok(json_parse((struct str){ text, n }, NULL, &doc, &e));
    const struct json *root = json_root(doc), *list = json_get(root, "rows");
    snprintf(tmpl_path, sizeof tmpl_path, "%s/" STR_FMT, templates, STR_ARG(json_str(json_get(root, "template"))));
    char *tmpl = unit_read(tmpl_path, &n_tmpl);
    assert_non_null(tmpl);
    struct split_form f = split_detect((struct str){ tmpl, n_tmpl });
    buf_init(&line, 1 << 20);
    buf_init(&whole, 1 << 20);
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *row = json_at(list, i);
        struct str         raw = json_str(json_get(row, "raw")), tail = json_str(json_get(row, "prompt_tail"));
        bool               apart = !json_bool(json_get(row, "starts_with_prompt"));
        size_t             share = apart ? shared_head(tail, raw) : 0;
        buf_clear(&line);
        buf_str(&line, STR("{\"output\": \""));
        if (share) {
            size_t at = tail.n - share;
            while (at > 0 && tail.p[at] != '<') at--;
            json_put_esc(&line, str_sub(tail, at, tail.n - share - at));
        }
        json_put_esc(&line, raw);
        buf_str(&line, STR("\", \"prompt_tail\": "));
        json_put_str(&line, apart ? STR("") : tail);
        buf_byte(&line, '}');
        buf_clear(&whole);
        assert_ok(split_cli_line(&f, buf_text(&line), 0, &whole, &e));
        bool ok = means(buf_text(&whole), json_get(row, "meaning"));
        for (size_t piece = 1; piece < raw.n + 12; piece++) {
            buf_clear(&out);
            assert_ok(split_cli_line(&f, buf_text(&line), piece, &out, &e));
            if (!str_eq(buf_text(&out), buf_text(&whole))) fail_msg("%s row %zu in pieces of %zu", path, i, piece);
        }
        file_total++;
        file_right += ok;
        if (!ok)
            print_message("  %s %s\n    " STR_FMT "\n    " STR_FMT "\n", strrchr(path, '/') + 1,
                          json_str(json_get(row, "case")).p, STR_ARG(buf_text(&line)), STR_ARG(buf_text(&whole)));
    }
    print_message("  %-60s %-16s %d / %d\n", strrchr(path, '/') + 1, split_form_name(&f), file_right, file_total);
    *right += file_right;
    *total += file_total;
    buf_release(&line);
    buf_release(&whole);
    buf_release(&out);
    json_free(doc);
    free(text);
    free(tmpl);
}

/* Our own vectors: a line each, see tests/data/split/README. */
static void split_vectors(void **state)
{
    (void)state;
    size_t     n;
    char      *text = unit_read(unit_data("split/vectors.jsonl"), &n);
    struct buf whole, out;
    struct str rest = { text, n }, line;
    int        wrong = 0, total = 0;

    assert_non_null(text);
    buf_init(&whole, 1 << 20);
    buf_init(&out, 1 << 20);
    while (str_cut(&rest, '\n', &line)) {
        struct json_doc  *doc;
        struct split_form f;
        struct err        e = { 0 };
        if (!line.n) continue;
        assert_ok(json_parse(line, NULL, &doc, &e));
        const struct json *row = json_root(doc);
        if (json_get(row, "template"))
            f = split_detect(json_str(json_get(row, "template")));
        else if (!split_form_by_name(json_str(json_get(row, "form")), &f))
            fail_msg("no form: " STR_FMT, STR_ARG(line));
        buf_clear(&whole);
        assert_ok(split_cli_line(&f, line, 0, &whole, &e));
        const struct json *id = json_get(row, "id");
        if (!means(buf_text(&whole), json_get(row, "want"))
            || (id && str_find(buf_text(&whole), json_str(id)) == SIZE_MAX)) {
            print_message("  " STR_FMT "\n    " STR_FMT "\n", STR_ARG(line), STR_ARG(buf_text(&whole)));
            wrong++;
        }
        size_t n_out = json_str(json_get(row, "output")).n;
        for (size_t piece = 1; piece <= n_out; piece++) {
            buf_clear(&out);
            assert_ok(split_cli_line(&f, line, piece, &out, &e));
            if (!str_eq(buf_text(&out), buf_text(&whole)))
                fail_msg("in pieces of %zu: " STR_FMT "\n    " STR_FMT, piece, STR_ARG(line), STR_ARG(buf_text(&out)));
        }
        total++;
        json_free(doc);
    }
    assert_true(total > 60);
    assert_int_equal(wrong, 0);
    buf_release(&whole);
    buf_release(&out);
    free(text);
}

static void split_shared_outputs(void **state)
{
    (void)state;
    const char *readme = unit_shared("chat-templates/README.md");
    char        root[4096], pattern[4200];
    glob_t      g;
    int         right = 0, total = 0;

    if (!readme) {
        print_message("shared chat-templates are absent: skipped\n");
        skip();
    }
    snprintf(root, sizeof root, "%.*s", (int)(strlen(readme) - strlen("/README.md")), readme);
    snprintf(pattern, sizeof pattern, "%s/outputs/*.json", root);
    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) outputs_file(g.gl_pathv[i], root, &right, &total);
    globfree(&g);
    print_message("  right: %d / %d\n", right, total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_answers),
        cmocka_unit_test(split_hermes),
        cmocka_unit_test(split_vectors),
        cmocka_unit_test(split_garbage),
        cmocka_unit_test(split_truncated),
        cmocka_unit_test(split_no_memory),
        cmocka_unit_test(split_limits),
        cmocka_unit_test(split_streams),
        cmocka_unit_test(split_forms),
        cmocka_unit_test(split_ids),
        cmocka_unit_test(split_no_reasoning),
        cmocka_unit_test(split_cut),
        cmocka_unit_test(split_cli_errors),
        cmocka_unit_test(split_shared_outputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
