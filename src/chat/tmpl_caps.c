/* tmpl_caps.c - what a template can do, found by asking it.
 *
 * Reading a template for words ("tools", "system") tells little: it may mention what it only
 * refuses. So small conversations with odd words in them are rendered, and what counts is which
 * words come out.
 */
#include <string.h>

#include "chat/tmpl_int.h"

#define USER  "{\"role\":\"user\",\"content\":\"uq1\"}"
#define USER2 "{\"role\":\"user\",\"content\":\"uq2\"}"
#define ASSIST "{\"role\":\"assistant\",\"content\":\"aq1\"}"
#define TOOL(name)                                                                                \
    "{\"type\":\"function\",\"function\":{\"name\":\"" name                                       \
    "\",\"description\":\"d\",\"parameters\":"                                                    \
    "{\"type\":\"object\",\"properties\":{\"argq\":{\"type\":\"string\",\"description\":\"d\"}}," \
    "\"required\":[\"argq\"]}}}"
#define TOOLS "[" TOOL("toolq_a") "," TOOL("toolq_b") "]"
#define CALL(id, name, args)                                                  \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name \
    "\",\"arguments\":" args "}}"
#define OBJ "{\"argq\":\"valq\"}"
#define TXT "\"{\\\"argq\\\": \\\"valq\\\"}\""
#define CALLER(content, extra, calls) \
    "{\"role\":\"assistant\",\"content\":" content extra ",\"tool_calls\":[" calls "]}"
#define RESULT \
    "{\"role\":\"tool\",\"tool_call_id\":\"callq0001\",\"name\":\"toolq_a\",\"content\":\"resq\"}"
#define ID "callq0001" // nine letters and digits: some templates insist

struct probe {
    const struct tmpl *t;
    struct arena       a;
    struct str         text; // of the last probe, in a
    bool               empty_tools;
};

static struct json_doc *parse(const char *z)
{
    struct json_doc *doc = NULL;
    struct err       e;

    return z && json_parse(str_c(z), NULL, &doc, &e) == 0 ? doc : NULL;
}

/* Render; false when the template refuses. */
static bool ask(struct probe *p, const char *messages, const char *tools, const char *kwargs)
{
    static const struct tmpl_var vars[] = {
        { .name = { "bos_token", 9 }, .kind = TMPL_VAR_STR, .s = { "<s>", 3 } },
        { .name = { "eos_token", 9 }, .kind = TMPL_VAR_STR, .s = { "</s>", 4 } },
        { .name = { "unk_token", 9 }, .kind = TMPL_VAR_STR, .s = { "<unk>", 5 } },
        { .name = { "pad_token", 9 }, .kind = TMPL_VAR_STR, .s = { "<pad>", 5 } },
    };
    struct json_doc *m = parse(messages), *t = parse(!tools && p->empty_tools ? "[]" : tools),
                    *k   = parse(kwargs);
    struct tmpl_in   in = { .messages = m ? json_root(m) : NULL, .tools = t ? json_root(t) : NULL,
                            .kwargs = k ? json_root(k) : NULL, .var = vars,
                            .n_var = ARRAY_LEN(vars), .add_prompt = true };
    struct tmpl_out  out = { 0 };
    struct err       e;

    arena_clear(&p->a);
    p->text = STR_NULL;
    bool ok = m && tmpl_render(p->t, &in, &p->a, &out, &e) == 0;
    if (ok) p->text = out.text;
    json_free(m);
    json_free(t);
    json_free(k);
    return ok;
}

static bool saw(const struct probe *p, const char *word)
{
    return str_find(p->text, str_c(word)) != SIZE_MAX;
}

static bool shows(struct probe *p, const char *messages, const char *tools, const char *word)
{
    return ask(p, messages, tools, NULL) && saw(p, word);
}

/* Two settings of a switch give two texts. */
static bool differs(struct probe *p, const char *one, const char *two)
{
    struct arena keep;

    if (!ask(p, "[" USER "]", NULL, one)) return false;
    arena_init(&keep, LIM_TMPL_ARENA);
    struct str first = arena_str(&keep, p->text);
    bool       d     = first.p && ask(p, "[" USER "]", NULL, two) && !str_eq(first, p->text);
    arena_release(&keep);
    return d;
}

static void ask_calls(struct probe *p, struct tmpl_caps *c)
{
    static const char *const with[2][2] = { // [content null][arguments as an object]
        { "[" USER "," CALLER("\"\"", "", CALL(ID, "toolq_a", TXT)) "," RESULT "]",
          "[" USER "," CALLER("\"\"", "", CALL(ID, "toolq_a", OBJ)) "," RESULT "]" },
        { "[" USER "," CALLER("null", "", CALL(ID, "toolq_a", TXT)) "," RESULT "]",
          "[" USER "," CALLER("null", "", CALL(ID, "toolq_a", OBJ)) "," RESULT "]" },
    };

    for (int null = 0; null < 2 && !c->tool_calls; null++) {
        /* right as an object: its value shows, and not as Python prints a dict */
        bool object =
            shows(p, with[null][1], NULL, "valq") && saw(p, "toolq_a") && !saw(p, "{'argq'");
        bool text =
            shows(p, with[null][0], NULL, "valq") && saw(p, "toolq_a") && !saw(p, "\\\"argq");
        if (!object && !text) continue;
        c->tool_calls   = true;
        c->args_object  = object;
        c->null_content = null;
    }
    const char *args = c->args_object ? with[c->null_content][1] : with[c->null_content][0];
    c->tool_role     = shows(p, args, TOOLS, "resq");
    c->parallel_calls =
        shows(p,
              c->args_object
                  ? "[" USER
                    "," CALLER("\"\"", "",
                               CALL(ID, "toolq_a", OBJ) "," CALL("callq0002", "toolq_b", OBJ)) "]"
                  : "[" USER
                    "," CALLER("\"\"", "",
                               CALL(ID, "toolq_a", TXT) "," CALL("callq0002", "toolq_b", TXT)) "]",
              NULL, "toolq_b") &&
        saw(p, "toolq_a");
    if (!c->parallel_calls && c->null_content)
        c->parallel_calls =
            shows(p,
                  "[" USER
                  "," CALLER("null", "",
                             CALL(ID, "toolq_a", TXT) "," CALL("callq0002", "toolq_b", TXT)) "]",
                  NULL, "toolq_b") &&
            saw(p, "toolq_a");
}

static bool ends_open(struct str text)
{
    static const char *const open[] = { "<think>", "<thinking>", "[THINK]", "<|START_THINKING|>",
                                        "<|inner_prefix|>" };

    text = str_trim(text);
    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        if (str_ends(text, str_c(open[i]))) return true;
    return false;
}

void tmpl_caps(const struct tmpl *t, struct tmpl_caps *ret)
{
    static const char *const thinks[2][2] = {
        // the last turn, or one whose tools have answered
        { "[" USER ",{\"role\":\"assistant\",\"reasoning_content\":\"thq\",\"content\":\"aq1\"}]",
          "[" USER "," CALLER("\"\"", ",\"reasoning_content\":\"thq\"",
                              CALL(ID, "toolq_a", OBJ)) "," RESULT "]" },
        { "[" USER ",{\"role\":\"assistant\",\"thinking\":\"thq\",\"content\":\"aq1\"}]",
          "[" USER "," CALLER("\"\"", ",\"thinking\":\"thq\"", CALL(ID, "toolq_a", OBJ)) "," RESULT
                                                                                         "]" },
    };
    struct probe     p = { .t = t };
    struct tmpl_caps c = { 0 };

    arena_init(&p.a, LIM_TMPL_ARENA);
    c.usable = shows(&p, "[" USER "]", NULL, "uq1");
    if (!c.usable) {
        p.empty_tools = true;
        c.usable = c.empty_tools = p.empty_tools = shows(&p, "[" USER "]", NULL, "uq1");
    }
    c.opens_think = c.usable && ends_open(p.text);
    if (!c.usable || saw(&p, "'uq1'")) { // nothing, or the list as Python prints it
        c.typed_content =
            shows(&p, "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"uq1\"}]}]",
                  NULL, "uq1");
        c.usable |= c.typed_content;
    }
    c.system = shows(&p, "[{\"role\":\"system\",\"content\":\"sysq\"}," USER "]", NULL, "sysq");
    c.late_system =
        shows(&p, "[" USER "," ASSIST ",{\"role\":\"system\",\"content\":\"sysq\"}," USER2 "]",
              NULL, "sysq") &&
        shows(&p,
              "[{\"role\":\"system\",\"content\":\"sysq\"},{\"role\":\"system\",\"content\":"
              "\"sysr\"}," USER "]",
              NULL, "sysr") &&
        saw(&p, "sysq");
    /* a template that prints any role does not know this one */
    c.developer =
        shows(&p, "[{\"role\":\"developer\",\"content\":\"devq\"}," USER "]", NULL, "devq") &&
        !shows(&p, "[{\"role\":\"zebra\",\"content\":\"zebq\"}," USER "]", NULL, "zebq");
    c.tools     = shows(&p, "[" USER "]", TOOLS, "toolq_b");
    ask_calls(&p, &c);
    c.alternate = c.usable && !(ask(&p, "[" USER "," USER2 "]", NULL, NULL) && saw(&p, "uq1") &&
                                saw(&p, "uq2"));
    for (int key = 0; key < 2 && !c.reasoning; key++) {
        c.reasoning =
            shows(&p, thinks[key][0], NULL, "thq") || shows(&p, thinks[key][1], NULL, "thq");
        c.thinking_key = c.reasoning && key == 1;
    }
    c.thinking = differs(&p, "{\"enable_thinking\":true}", "{\"enable_thinking\":false}");
    c.effort   = differs(&p, "{\"reasoning_effort\":\"low\"}", "{\"reasoning_effort\":\"high\"}");
    arena_release(&p.a);
    *ret = c;
}
