/* tmpl_chat_test.c - conversations through templates: requests, repairs, open final messages, what
 * a template can do, built-in templates, the line protocol. */
#include "unit.h"

#include <dirent.h>

#include "base/limits.h"
#include "chat/chat.h"
#include "chat/tmpl.h"
#include "json/json.h"

static struct tmpl *compile(struct str text)
{
    struct tmpl *t = NULL;
    struct err   e;

    assert_ok(tmpl_compile(STR("test"), text, &t, &e));
    return t;
}

static struct tmpl_caps caps_of(const char *text)
{
    struct tmpl     *t = compile(str_c(text));
    struct tmpl_caps c;

    tmpl_caps(t, &c);
    tmpl_free(t);
    return c;
}

static const struct tmpl_var vars[] = {
    { .name = { "bos_token", 9 }, .kind = TMPL_VAR_STR, .s = { "<s>", 3 } },
    { .name = { "eos_token", 9 }, .kind = TMPL_VAR_STR, .s = { "</s>", 4 } },
};

/* What tmpl_render_chat makes of JSON messages; fails the test when it fails. */
static void assert_chat(struct str text, const char *messages, bool cont, const char *want,
                        unsigned repairs)
{
    struct tmpl     *t = compile(text);
    struct tmpl_caps c;
    struct tmpl_out  out;
    struct json_doc *m = NULL;
    struct err       e;
    struct arena     a;

    arena_init(&a, LIM_TMPL_ARENA);
    tmpl_caps(t, &c);
    assert_ok(json_parse(str_c(messages), NULL, &m, &e));
    struct tmpl_in in = { .messages       = json_root(m),
                          .var            = vars,
                          .n_var          = ARRAY_LEN(vars),
                          .add_prompt     = true,
                          .continue_final = cont };
    assert_ok(tmpl_render_chat(t, &c, &in, &a, &out, &e));
    assert_str(out.text, want);
    assert_int_equal(out.repairs, repairs);
    json_free(m);
    tmpl_free(t);
    arena_release(&a);
}

/* --- repairs --- */

static const char strict[] = // one system message at the head, users and assistants in turn
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{% if not loop.first %}{{ raise_exception('system first') }}{% "
    "endif %}S:{{ m.content }};"
    "{% else %}{% if loop.previtem is defined and loop.previtem.role == m.role %}{{ "
    "raise_exception('alternate') }}{% endif %}"
    "{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('role ' + m.role) }}{% endif %}"
    "{{ m.role[0] }}:{{ m.content + '' }};{% endif %}{% endfor %}";
static const char no_system[] =
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif "
    "%}{{ m.role[0] }}:{{ m.content }};{% endfor %}";

static void repairs(void **state)
{
    (void)state;
    assert_chat(str_c(strict), "[{\"role\":\"user\",\"content\":\"a\"}]", false, "u:a;", 0);
    assert_chat(
        str_c(strict),
        "[{\"role\":\"developer\",\"content\":\"d\"},{\"role\":\"user\",\"content\":\"a\"}]", false,
        "S:d;u:a;", TMPL_REPAIR_DEVELOPER);
    assert_chat(str_c(strict),
                "[{\"role\":\"system\",\"content\":\"d\"},{\"role\":\"user\",\"content\":\"a\"},{"
                "\"role\":\"system\",\"content\":\"e\"}]",
                false, "S:d\n\ne;u:a;", TMPL_REPAIR_SYSTEM);
    assert_chat(str_c(strict),
                "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":[{\"type\":"
                "\"text\",\"text\":\"b\"}]}]",
                false, "u:a\n\nb;", TMPL_REPAIR_MERGE | TMPL_REPAIR_CONTENT);
    assert_chat(str_c(strict),
                "[{\"role\":\"system\",\"content\":\"d\"},{\"role\":\"system\",\"content\":\"e\"},{"
                "\"role\":\"user\",\"content\":\"a\"}]",
                false, "S:d\n\ne;u:a;", TMPL_REPAIR_SYSTEM);
    assert_chat(str_c(no_system),
                "[{\"role\":\"system\",\"content\":\"d\"},{\"role\":\"user\",\"content\":\"a\"}]",
                false, "u:d\n\na;", TMPL_REPAIR_FOLD);
    assert_chat(str_c(no_system), "[{\"role\":\"system\",\"content\":\"d\"}]", false, "u:d;",
                TMPL_REPAIR_FOLD);
    assert_chat(str_c(strict),
                "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null}]",
                false, "u:a;a:;", TMPL_REPAIR_CONTENT);
    /* a template that knows no tools: nothing is lost */
    assert_chat(str_c(strict),
                "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"hm\","
                "\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\","
                "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"k\\\":1}\"}}]},{\"role\":"
                "\"tool\",\"tool_call_id\":\"x\",\"content\":\"42\"}]",
                false, "u:a;a:hm\n{\"name\": \"f\", \"arguments\": {\"k\": 1}};u:42;",
                TMPL_REPAIR_CALLS);
}

#define CALLS                                                                                      \
    "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null,\"tool_"      \
    "calls\":["                                                                                    \
    "{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{"      \
    "\\\"k\\\":1}\"}},"                                                                            \
    "{\"id\":\"call_2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]}" \
    ","                                                                                            \
    "{\"role\":\"tool\",\"tool_call_id\":\"call_2\",\"content\":\"two\"},{\"role\":\"tool\","      \
    "\"tool_call_id\":\"call_1\",\"content\":\"one\"}]"

static void tool_repairs(void **state)
{
    (void)state;
    /* one call a message, arguments as an object, nine characters of id */
    static const char one[] = "{% for m in messages %}{% if m.tool_calls %}{% if "
                              "m.tool_calls|length != 1 %}{{ raise_exception('one') }}{% endif %}"
                              "{% for c in m.tool_calls %}{{ c.function.name }}({{ "
                              "c.function.arguments|items|list }}){% endfor %};"
                              "{% else %}{{ m.role }}={{ m.content }};{% endif %}{% endfor %}";
    static const char ids[] =
        "{% for m in messages %}{% for c in m.tool_calls or [] %}{% if c.id|length != 9 %}{{ "
        "raise_exception('nine') }}{% endif %}"
        "{{ c.id }}:{{ c.function.name }} {{ c.function.arguments }};{% endfor %}"
        "{% if m.role == 'tool' %}{{ m.tool_call_id }}={% endif %}{{ m.content }};{% endfor %}";

    assert_chat(str_c(one), CALLS, false, "user=a;f([('k', 1)]);tool=one;g([]);tool=two;",
                TMPL_REPAIR_CONTENT | TMPL_REPAIR_ARGS | TMPL_REPAIR_SPLIT);
    assert_chat(str_c(ids), CALLS, false,
                "a;call00000:f {\"k\":1};call00001:g ;;call00001=two;call00000=one;",
                TMPL_REPAIR_CONTENT | TMPL_REPAIR_IDS);
}

/* Nothing helps: the first error, in the template's words. */
static void beyond_repair(void **state)
{
    (void)state;
    struct tmpl     *t = compile(STR("{{ raise_exception('not on ' ~ messages|length) }}"));
    struct tmpl_caps c;
    struct tmpl_out  out;
    struct json_doc *m = NULL;
    struct err       e;
    struct arena     a;

    arena_init(&a, LIM_TMPL_ARENA);
    tmpl_caps(t, &c);
    assert_false(c.usable);
    assert_ok(json_parse(
        STR("[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"s\"}]"),
        NULL, &m, &e));
    struct tmpl_in in = { .messages = json_root(m) };
    c                 = (struct tmpl_caps){ .system         = true,
                                            .late_system    = true,
                                            .developer      = true,
                                            .tool_calls     = true,
                                            .tool_role      = true,
                                            .parallel_calls = true };
    assert_err(tmpl_render_chat(t, &c, &in, &a, &out, &e), ERR_BAD_REQUEST, "not on 2");
    json_free(m);
    tmpl_free(t);
    arena_release(&a);
}

static void every_allocation(void **state)
{
    (void)state;
    static const char text[] = "{% for m in messages %}{% if m.tool_calls %}{% if "
                               "m.tool_calls|length != 1 %}{{ raise_exception('one') }}{% endif %}"
                               "{% for c in m.tool_calls %}{{ c.function.arguments|items|list }}{% "
                               "endfor %}{% endif %}{{ m.content }}{% endfor %}";
    struct tmpl     *t = compile(str_c(text));
    struct tmpl_caps c;
    struct json_doc *m = NULL;
    struct err       e;

    tmpl_caps(t, &c);
    assert_ok(json_parse(STR(CALLS), NULL, &m, &e));
    for (uint64_t at = 1;; at++) {
        struct tmpl_in  in  = { .messages = json_root(m), .continue_final = true };
        struct tmpl_out out = { 0 };
        struct arena    a;
        arena_init(&a, LIM_TMPL_ARENA);
        mem_fail_at(at);
        int rc = tmpl_render_chat(t, &c, &in, &a, &out, &e);
        mem_fail_at(0);
        arena_release(&a);
        if (rc == 0) break;
        assert_int_equal(e.code, ERR_NO_MEMORY);
        assert_true(at < 1000);
    }
    json_free(m);
    tmpl_free(t);
}

/* --- a request --- */

static void request(void **state)
{
    (void)state;
    static const char text[] =
        "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ "
        "m.reasoning_content }}{{ m.name }}{{ m.tool_call_id }}"
        "{% for c in m.tool_calls %}{{ c.id ~ c.type ~ c.function.name ~ c.function.arguments }}{% "
        "endfor %}{% endfor %}"
        "{{ tools|tojson }}{{ x }}{{ reasoning_effort }}{{ add_generation_prompt }}";
    const struct str       part[] = { STR("p1"), STR("p2") };
    const struct chat_call call   = { .id = STR("i"), .name = STR("n"), .args = STR("{\"a\":1}") };
    const struct chat_msg  msg[]  = {
          { .role = CHAT_SYSTEM, .has_content = true, .content = STR("s") },
          { .role        = CHAT_USER,
            .has_content = true,
            .content     = STR("p1p2"),
            .part        = part,
            .n_part      = 2 },
          { .role = CHAT_ASSISTANT, .reasoning = STR("r"), .call = &call, .n_call = 1 },
          { .role        = CHAT_TOOL,
            .has_content = true,
            .content     = STR("t"),
            .call_id     = STR("i"),
            .name        = STR("m") },
    };
    const struct chat_tool tool = { .json = STR(
                                        "{\"type\":\"function\",\"function\":{\"name\":\"n\"}}") };
    struct chat_req        q    = { .msg             = msg,
                                    .n_msg           = 4,
                                    .tool            = &tool,
                                    .n_tool          = 1,
                                    .template_kwargs = STR("{\"x\":\"kw\"}"),
                                    .effort          = STR("low") };
    struct tmpl           *t    = compile(str_c(text));
    struct tmpl_in in = { .req = &q, .var = vars, .n_var = ARRAY_LEN(vars), .add_prompt = true };
    struct tmpl_out        out;
    struct arena           a;
    struct err             e;

    arena_init(&a, LIM_TMPL_ARENA);
    assert_ok(tmpl_render(t, &in, &a, &out, &e));
    assert_str(out.text, "<s><|system|>s<|user|>[{'type': 'text', 'text': 'p1'}, {'type': 'text', "
                         "'text': 'p2'}]<|assistant|>Noner"
                         "ifunctionn{\"a\":1}<|tool|>tmi[{\"type\": \"function\", \"function\": "
                         "{\"name\": \"n\"}}]kwlowTrue");
    for (size_t i = 0; i < out.n_piece; i++)
        if (str_find(out.piece[i].text, STR("|>")) != SIZE_MAX) assert_true(out.piece[i].trusted);

    q.choice = CHAT_CHOICE_NONE; // tools are then not offered
    assert_ok(tmpl_render(t, &in, &a, &out, &e));
    assert_true(str_find(out.text, STR("null")) != SIZE_MAX);
    q.template_kwargs = STR("{\"bos_token\":\"x\"}");
    assert_err(tmpl_render(t, &in, &a, &out, &e), ERR_INVALID_VALUE, "'bos_token' cannot be set");
    q.template_kwargs = STR("[1]");
    assert_err(tmpl_render(t, &in, &a, &out, &e), ERR_INVALID_TYPE, "must be an object, not");
    q.template_kwargs = STR("{");
    assert_err(tmpl_render(t, &in, &a, &out, &e), ERR_INVALID_JSON, "chat_template_kwargs");
    tmpl_free(t);
    arena_release(&a);
}

static void open_final(void **state)
{
    (void)state;
    static const char trims[] = "{% for m in messages %}<{{ m.role }}>{{ m.content|trim }}</>{% "
                                "endfor %}{% if add_generation_prompt %}<a>{% endif %}";
    static const char keeps[] =
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}";
#define CONT(text)                                                                                 \
    "[{\"role\":\"user\",\"content\":\"say xx\"},{\"role\":\"assistant\",\"content\":\"" text "\"" \
                                                                                              "}]"

    assert_chat(str_c(trims), CONT("xx"), true, "<user>say xx</><assistant>xx", 0);
    assert_chat(str_c(trims), CONT(" xx "), true, "<user>say xx</><assistant>xx", 0);
    assert_chat(str_c(keeps), CONT("xx "), true, "<user>say xx</><assistant>xx ", 0);
    assert_chat(str_c(keeps), CONT(""), true, "<user>say xx</><assistant>", 0);

    struct tmpl    *t = compile(STR("{{ messages[0].content }}"));
    struct json_doc *m = NULL;
    struct tmpl_out out;
    struct arena    a;
    struct err      e;
    arena_init(&a, LIM_TMPL_ARENA);
    assert_ok(json_parse(STR(CONT("yy")), NULL, &m, &e));
    struct tmpl_in in = { .messages = json_root(m), .continue_final = true };
    assert_err(tmpl_render(t, &in, &a, &out, &e), ERR_BAD_REQUEST,
               "does not show the final message");
    json_free(m);
    tmpl_free(t);
    arena_release(&a);
}

/* --- capabilities --- */

static void capabilities(void **state)
{
    (void)state;
    struct tmpl_caps c = caps_of("{% for m in messages %}{{ m.content }}{% endfor %}");
    assert_true(c.usable && c.system && c.late_system && c.tool_role);
    assert_false(c.tools || c.tool_calls || c.developer || c.alternate || c.thinking ||
                 c.reasoning || c.opens_think);

    c = caps_of("{% for t in tools %}{{ t.function.name }}{% endfor %}{% for m in messages %}"
                "{{ m.content }}{% for c in m.tool_calls %}{{ c.function|tojson }}{% endfor %}{{ "
                "m.thinking }}{% endfor %}"
                "{% if enable_thinking is not defined or enable_thinking %}<think>\n{% endif %}");
    assert_true(c.usable && c.empty_tools && c.tools && c.tool_calls && c.args_object &&
                c.parallel_calls);
    assert_true(c.thinking && c.opens_think && c.reasoning && c.thinking_key);
    assert_false(c.null_content || c.effort);

    c = caps_of("{% for m in messages %}{% if m.content is none %}{% for c in m.tool_calls %}{{ "
                "c.function.name + c.function.arguments }}{% endfor %}"
                "{% else %}{{ m.content }}{% endif %}{% endfor %}{{ reasoning_effort }}");
    assert_true(c.tool_calls && c.null_content && !c.args_object && c.parallel_calls && c.effort);

    c = caps_of(
        "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}");
    assert_true(c.usable && c.typed_content);
    c = caps_of("{% for m in messages %}{% if m.role == 'developer' or m.role == 'user' %}{{ "
                "m.content }}{% endif %}{% endfor %}");
    assert_true(c.developer && !c.system);
    c = caps_of(strict);
    assert_true(c.alternate && c.system && !c.late_system && !c.tool_role);
}

/* Real templates: every conversation that Python renders must also come through the repairs,
 * unchanged where none was needed; and most that it refuses must come through at all. */
static void shared_templates(void **state)
{
    (void)state;
    char        path[8192], dir[4096];
    const char *readme = unit_shared("chat-templates/README.md");
    int         same = 0, mended = 0, refused = 0, n_error = 0;

    if (!readme) {
        print_message("skipped: no shared templates\n");
        return;
    }
    str_copy_z(dir, sizeof dir, str_sub(str_c(readme), 0, strlen(readme) - strlen("README.md")));
    snprintf(path, sizeof path, "%scases", dir);
    DIR *d = opendir(path);
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.') continue;
        struct json_doc *doc = NULL;
        struct tmpl_caps c;
        struct err       e;
        size_t           len = 0;
        snprintf(path, sizeof path, "%scases/%s", dir, f->d_name);
        char *text = unit_read(path, &len);
        assert_ok(json_parse((struct str){ text, len }, NULL, &doc, &e));
        free(text);
        const struct json *j = json_root(doc), *cases = json_get(j, "cases");
        snprintf(path, sizeof path, "%s%.*s", dir, STR_ARG(json_str(json_get(j, "template"))));
        text           = unit_read(path, &len);
        struct tmpl *t = compile((struct str){ text, len });
        tmpl_caps(t, &c);
        for (size_t i = 0; i < json_len(cases); i++) {
            const struct json *k  = json_at(cases, i);
            struct tmpl_in     in = { .messages     = json_get(k, "messages"),
                                      .tools        = json_get(k, "tools"),
                                      .kwargs       = json_get(k, "kwargs"),
                                      .trust_kwargs = true,
                                      .now_s        = 1768472430 };
            struct tmpl_out    out;
            struct arena       a;
            arena_init(&a, LIM_TMPL_ARENA);
            bool both = str_eq(json_str(json_get(k, "check")), STR("both"));
            bool bad  = str_eq(json_str(json_get(k, "check")), STR("both-error"));
            int  rc   = tmpl_render_chat(t, &c, &in, &a, &out, &e);
            if (both && rc < 0)
                fail_msg("%s, %.*s: %s", f->d_name, STR_ARG(json_str(json_get(k, "name"))), e.msg);
            if (both && out.repairs == 0) {
                if (!str_eq(out.text, json_str(json_get(k, "expected"))))
                    fail_msg("%s: changed without a repair", f->d_name);
                same++;
            }
            n_error += bad;
            mended += bad && rc == 0;
            refused += bad && rc < 0;
            arena_release(&a);
        }
        tmpl_free(t);
        free(text);
        json_free(doc);
    }
    closedir(d);
    print_message("%d unchanged; of %d that Python refuses %d were mended\n", same, n_error,
                  mended);
    assert_true(same > 400 && refused < n_error / 4);
}

/* --- built-in templates --- */

static bool no_token(const void *ctx, const char *token)
{
    (void)ctx;
    (void)token;
    return false;
}

static bool in_list(const void *ctx, const char *token)
{
    for (const char *const *p = ctx; *p; p++)
        if (strcmp(*p, token) == 0) return true;
    return false;
}

#define TALK                                                                                   \
    "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"U\"},"          \
    "{\"role\":\"assistant\",\"content\":\"A\"},{\"role\":\"user\",\"content\":\"V\"}]"

/* Against the prompt formats as their authors publish them. */
static void builtins(void **state)
{
    (void)state;
    static const struct {
        const char *name, *want;
    } rows[] = {
        { "chatml", "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>"
                    "assistant\nA<|im_end|>\n"
                    "<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n" },
        { "LLAMA3", "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|"
                    ">user<|end_header_id|>\n\nU<|eot_id|>"
                    "<|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|start_header_id|"
                    ">user<|end_header_id|>\n\nV<|eot_id|>"
                    "<|start_header_id|>assistant<|end_header_id|>\n\n" },
        { "llama2", "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A </s><s>[INST] V [/INST]" },
        { "mistral", "<s>[INST] U[/INST] A</s>[INST] S\n\nV[/INST]" },
        { "gemma", "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_"
                   "turn>\n<start_of_turn>user\nV<end_of_turn>\n"
                   "<start_of_turn>model\n" },
        { "phi3", "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n<|user|>\nV<|"
                  "end|>\n<|assistant|>\n" },
        { "phi4", "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|>U<|im_end|><|"
                  "im_start|>assistant<|im_sep|>A<|im_end|>"
                  "<|im_start|>user<|im_sep|>V<|im_end|><|im_start|>assistant<|im_sep|>" },
        { "zephyr", "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|user|>\nV</"
                    "s>\n<|assistant|>\n" },
        { "vicuna", "<s>S\n\nUSER: U\nASSISTANT: A</s>\nUSER: V\nASSISTANT:" },
        { "alpaca", "<s>S\n\n### Instruction:\nU\n\n### Response:\nA</s>\n\n### "
                    "Instruction:\nV\n\n### Response:\n" },
        { "deepseek", "<s>S<\xEF\xBD\x9CUser\xEF\xBD\x9C>U<\xEF\xBD\x9C"
                      "Assistant\xEF\xBD\x9C>A<\xEF\xBD\x9C"
                      "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"
                      "<\xEF\xBD\x9CUser\xEF\xBD\x9C>V<\xEF\xBD\x9C"
                      "Assistant\xEF\xBD\x9C>" },
        { "command-r", "<s><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>S<|END_OF_TURN_TOKEN|><|START_OF_"
                       "TURN_TOKEN|><|USER_TOKEN|>U<|END_OF_TURN_TOKEN|>"
                       "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>A<|END_OF_TURN_TOKEN|><|START_OF_"
                       "TURN_TOKEN|><|USER_TOKEN|>V<|END_OF_TURN_TOKEN|>"
                       "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>" },
        { "granite", "<|start_of_role|>system<|end_of_role|>S<|end_of_text|>\n<|start_of_role|>"
                     "user<|end_of_role|>U<|end_of_text|>\n"
                     "<|start_of_role|>assistant<|end_of_role|>A<|end_of_text|>\n<|start_of_role|>"
                     "user<|end_of_role|>V<|end_of_text|>\n"
                     "<|start_of_role|>assistant<|end_of_role|>" },
        { "exaone", "[|system|]S[|endofturn|]\n[|user|]U\n[|assistant|]A[|endofturn|]\n[|user|]V\n["
                    "|assistant|]" },
        { "openchat", "<s>S<|end_of_turn|>GPT4 Correct User: U<|end_of_turn|>GPT4 Correct "
                      "Assistant: A<|end_of_turn|>"
                      "GPT4 Correct User: V<|end_of_turn|>GPT4 Correct Assistant:" },
        { "deepseek-coder", "<s>S### Instruction:\nU\n### Response:\nA\n<|EOT|>\n### "
                            "Instruction:\nV\n### Response:" },
        { "falcon", "System: S\nUser: U\nAssistant: A\nUser: V\nAssistant:" },
        { "llama4", "<s><|header_start|>system<|header_end|>\n\nS<|eot|><|header_start|>user<|"
                    "header_end|>\n\nU<|eot|>"
                    "<|header_start|>assistant<|header_end|>\n\nA<|eot|><|header_start|>user<|"
                    "header_end|>\n\nV<|eot|>"
                    "<|header_start|>assistant<|header_end|>\n\n" },
        { "plain", "<s>System: S\nUser: U\nAssistant: A\nUser: V\nAssistant:" },
    };
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_chat(tmpl_builtin(str_c(rows[i].name)), TALK, false, rows[i].want, 0);
    while (tmpl_builtin_name(n)) {
        struct tmpl     *t = compile(tmpl_builtin(str_c(tmpl_builtin_name(n))));
        struct tmpl_caps c;
        tmpl_caps(t, &c);
        if (!c.usable || !c.system) fail_msg("%s", tmpl_builtin_name(n));
        tmpl_free(t);
        n++;
    }
    assert_int_equal(n, ARRAY_LEN(rows));
    assert_null(tmpl_builtin(STR("nope")).p);
}

static void builtin_guess(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        const char *tokens[6];
        const char *want;
    } rows[] = {
        { "", { NULL }, "plain" },
        { "Qwen2-0.5B", { NULL }, "chatml" },
        { "", { "<|im_start|>", "<|im_end|>" }, "chatml" },
        { "something", { "<|im_start|>", "<|im_sep|>", "<|im_end|>" }, "phi4" },
        { "Meta-Llama-3-8B", { "<|start_header_id|>", "<|eot_id|>" }, "llama3" },
        { "llama-2-7b-chat", { NULL }, "llama2" },
        { "gemma-2b", { "<start_of_turn>", "<end_of_turn>" }, "gemma" },
        { "Phi-3-mini", { "<|user|>", "<|assistant|>", "<|end|>" }, "phi3" },
        { "TinyLlama", { NULL }, "zephyr" },
        { "deepseek-coder-1.3b", { "<|EOT|>" }, "deepseek-coder" },
        { "x", { "<|start_of_role|>", "<|end_of_role|>" }, "granite" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *got = tmpl_builtin_guess(str_c(rows[i].model), in_list, rows[i].tokens);
        if (strcmp(got, rows[i].want) != 0) fail_msg("row %zu: %s", i, got);
    }
    assert_string_equal(tmpl_builtin_guess(STR_NULL, no_token, NULL), "plain");
    assert_string_equal(tmpl_builtin_guess(STR("Vicuna-7B"), NULL, NULL), "vicuna");
}

/* --- the line protocol --- */

static void lines(void **state)
{
    (void)state;
    static const struct {
        const char *line, *want;
    } rows[] = {
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"h\xC3\xA9\\n\"}],\"kwargs\":{\"x\":1}}",
          "{\"text\": \"h\xC3\xA9\\n1\"}\n" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}],\"now\":\"2026-01-15T10:20:30\"}",
          "{\"text\": \"15 Jan 2026 10\"}\n" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}],\"now\":951782400}",
          "{\"text\": \"29 Feb 2000 00\"}\n" },
        { "{\"messages\":[]}", "{\"error\": \"chat template 'test', line 1: 'list object' has no "
                               "attribute '(index)'\"}\n" },
        { "[", NULL },
        { "{\"now\":\"yesterday\"}", NULL },
        { "nonsense", NULL },
    };
    struct tmpl *t = compile(STR("{{ messages[0].content }}{{ x }}{{ strftime_now('%d %b %Y %H') "
                                 "if not messages[0].content }}"));
    struct buf   b;

    buf_init(&b, 4096);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_clear(&b);
        assert_int_equal(tmpl_cli_line(t, str_c(rows[i].line), i == 0, &b), 0);
        if (rows[i].want) assert_str(buf_text(&b), rows[i].want);
        else assert_true(str_starts(buf_text(&b), STR("{\"error\": \"")));
    }
    buf_release(&b);
    buf_init(&b, 8);
    assert_int_equal(tmpl_cli_line(t, str_c(rows[0].line), false, &b), -ERR_NO_MEMORY);
    buf_release(&b);
    tmpl_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repairs),       cmocka_unit_test(tool_repairs),
        cmocka_unit_test(beyond_repair), cmocka_unit_test(every_allocation),
        cmocka_unit_test(request),       cmocka_unit_test(open_final),
        cmocka_unit_test(capabilities),  cmocka_unit_test(shared_templates),
        cmocka_unit_test(builtins),      cmocka_unit_test(builtin_guess),
        cmocka_unit_test(lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
