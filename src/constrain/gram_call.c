/* gram_call.c - tool calls as a grammar, for the formats whose arguments are JSON.
 *
 *     open  {"name": "f", "arguments": {...}}  close     one object, a list of them, or NAME mark {...}
 *
 * The marks are those of chat/split_fmt.c, from the chat templates of the model families. Names are the
 * offered tools', arguments their parameter schemas; a tool that is not `strict` has what its schema asks
 * for and we cannot hold left free.
 */
#include <string.h>

#include "constrain/gram_call_int.h"
#include "constrain/vocab_int.h"

enum shape {
    SHAPE_ONE,    // {"name": ..., KEY: {...}}
    SHAPE_LIST,   // [{...}, {...}]
    SHAPE_NAME,   // NAME mark {...}
    SHAPE_MARKED, // each call: inner NAME mark {...} inner_end
};

struct form {
    const char *name;
    enum shape  shape;
    const char *open, *close; // close NULL: the call's own end is enough
    const char *name_key, *args_key;
    const char *mark;         // SHAPE_NAME, SHAPE_MARKED: between name and arguments
    const char *between;      // before the next opener, when there may be another; NULL: one call only
    const char *inner, *inner_end; // SHAPE_MARKED
    bool        index;             // the name is followed by ":" and a number
};

#define DS(x) "<\xEF\xBD\x9Ctool\xE2\x96\x81" x "\xEF\xBD\x9C>"
#define LOW   "\xE2\x96\x81"

/* Rows of the same name are alternatives. */
static const struct form forms[] = {
    { "hermes", SHAPE_ONE, "<tool_call>", "</tool_call>", "name", "arguments", .between = "\n" },
    { "generic", SHAPE_ONE, "<tool_call>", "</tool_call>", "name", "arguments", .between = "\n" },
    { "llama3-json", SHAPE_ONE, "", NULL, "name", "parameters" },
    { "mistral", SHAPE_LIST, "[TOOL_CALLS]", NULL, "name", "arguments" },
    { "mistral", SHAPE_NAME, "[TOOL_CALLS]", NULL, .mark = "[ARGS]", .between = "" },
    { "phi4", SHAPE_LIST, "<|tool_call|>", "<|/tool_call|>", "name", "arguments" },
    { "granite", SHAPE_LIST, "<|tool_call|>", NULL, "name", "arguments" },
    { "nemotron", SHAPE_LIST, "<TOOLCALL>", "</TOOLCALL>", "name", "arguments" },
    { "internlm", SHAPE_ONE, "<|action_start|><|plugin|>", "<|action_end|>", "name", "parameters" },
    { "command", SHAPE_LIST, "<|START_ACTION|>", "<|END_ACTION|>", "tool_name", "parameters" },
    { "kimi", SHAPE_MARKED, "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>",
      .inner = "<|tool_call_begin|>functions.", .index = true, .mark = "<|tool_call_argument_begin|>",
      .inner_end = "<|tool_call_end|>" },
    { "deepseek", SHAPE_MARKED, DS("calls" LOW "begin"), DS("calls" LOW "end"),
      .inner = DS("call" LOW "begin"), // V3.1
      .mark = DS("sep"), .inner_end = DS("call" LOW "end") },
    { "deepseek", SHAPE_MARKED, DS("calls" LOW "begin"), DS("calls" LOW "end"),
      .inner = DS("call" LOW "begin") "function" DS("sep"), // V3, R1
      .mark = "\n```json\n", .inner_end = "\n```" DS("call" LOW "end") },
};

bool constrain_knows_form(const char *form)
{
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (!strcmp(forms[i].name, form)) return true;
    return false;
}

const char *constrain_form_open(const char *form)
{
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (!strcmp(forms[i].name, form)) return forms[i].open;
    return NULL;
}

/* A mark, <...> by <...> and [...] by [...]: each as its text or as the special token of that name. */
static struct gram_node *mark(struct gram *g, const char *z)
{
    struct str       s = str_c(z);
    struct gram_list l = { 0 };
    char             b[LIM_SPLIT_MARK_BYTES + 2];

    while (s.n) {
        size_t n = 1;
        char   end = s.p[0] == '<' ? '>' : s.p[0] == '[' ? ']' : 0;
        if (end) n = str_find_byte(s, end) < s.n ? str_find_byte(s, end) + 1 : s.n;
        else while (n < s.n && s.p[n] != '<' && s.p[n] != '[') n++;
        struct gram_node *x = gram_lit(g, str_sub(s, 0, n));
        if (end && n <= LIM_SPLIT_MARK_BYTES) {
            b[0] = VOCAB_SPECIAL;
            memcpy(b + 1, s.p, n);
            b[n + 1] = VOCAB_SPECIAL;
            x = GRAM_ALT(g, x, gram_lit(g, (struct str){ b, n + 2 }));
        }
        gram_push(g, &l, x);
        s = str_from(s, n);
    }
    return gram_seq(g, l.v, l.n);
}

static struct gram_node *blank(struct gram *g)
{
    struct gram_range r[] = { { ' ', ' ' }, { '\n', '\n' } };
    return gram_rep(g, gram_class(g, r, 2, false), 0, 2);
}

static struct gram_node *arguments(struct gram *g, const struct constrain_conf *conf, const struct chat_tool *t)
{
    struct gram_schema_opt o = { .loose = !t->strict, .open = conf->open, .where = "the parameters' schema" };
    struct gram_node      *x;

    if (!t->parameters.p) { // the API: none given are none taken
        return GRAM_SEQ(g, gram_z(g, "{"), gram_sp(g), gram_z(g, "}"));
    }
    x = gram_schema(g, t->parameters, &o);
    if (g->rc < 0 && g->rc != -ERR_NO_MEMORY && g->e && strncmp(g->e->msg, "tool ", 5) != 0)
        err_wrap(g->e, "tool \"" STR_FMT "\"", STR_ARG(t->name));
    return x;
}

/* One call of this tool. */
static struct gram_node *one_call(struct gram *g, const struct form *f, const struct chat_tool *t,
                                  struct gram_node *args)
{
    static const struct gram_range digit = { '0', '9' };

    if (f->shape == SHAPE_NAME) return GRAM_SEQ(g, gram_lit(g, t->name), mark(g, f->mark), args);
    if (f->shape == SHAPE_MARKED) {
        struct gram_node *index =
            f->index ? GRAM_SEQ(g, gram_z(g, ":"), gram_rep(g, gram_class(g, &digit, 1, false), 1, 3))
                     : gram_empty(g);
        return GRAM_SEQ(g, mark(g, f->inner), gram_lit(g, t->name), index, mark(g, f->mark), args,
                        mark(g, f->inner_end));
    }
    return GRAM_SEQ(g, gram_z(g, "{"), gram_sp(g), gram_json_text(g, str_c(f->name_key)), gram_z(g, ":"),
                    gram_sp(g), gram_json_text(g, t->name), gram_z(g, ","), gram_sp(g),
                    gram_json_text(g, str_c(f->args_key)), gram_z(g, ":"), gram_sp(g), args, gram_sp(g),
                    gram_z(g, "}"));
}

/* From behind the opener to the close. */
static struct gram_node *body(struct gram *g, const struct constrain_conf *conf, const struct form *f,
                              struct gram_node *const *args)
{
    struct gram_list  tools = { 0 };
    struct gram_node *x;

    for (int i = 0; i < conf->n_tool; i++)
        if (args[i]) gram_push(g, &tools, one_call(g, f, &conf->tool[i], args[i]));
    x = gram_alt(g, tools.v, tools.n);
    if (f->shape == SHAPE_LIST) x = gram_json_list(g, NULL, 0, 0, x, 1, conf->parallel ? GRAM_INF : 1);
    if (f->shape == SHAPE_MARKED) {
        int rule = gram_rule_new(g); // it is used twice
        gram_rule_set(g, rule, x);
        x = gram_rule(g, rule);
        if (conf->parallel)
            x = GRAM_SEQ(g, x, gram_rep(g, GRAM_SEQ(g, GRAM_OPT(g, gram_z(g, "\n")), x), 0, GRAM_INF));
    }
    if (f->shape != SHAPE_NAME) x = GRAM_SEQ(g, blank(g), x);
    return f->close ? GRAM_SEQ(g, x, blank(g), mark(g, f->close)) : x;
}

struct gram_node *gram_call_tree(struct gram *g, const struct constrain_conf *conf)
{
    struct gram_node **args = arena_array(g->a, (size_t)conf->n_tool + 1, sizeof *args);
    struct gram_list   all  = { 0 };
    int                n    = 0;

    if (!args) return gram_fail(g, ERR_NO_MEMORY, "out of memory while building a grammar");
    if (!constrain_knows_form(conf->form))
        return gram_fail(g, ERR_UNSUPP_VALUE,
                         "this model writes its tool calls in a format that this server cannot hold it to "
                         "(\"%s\"); tool_choice none and auto work",
                         conf->form);
    for (int i = 0; i < conf->n_tool && g->rc == 0; i++) {
        const struct chat_tool *t = &conf->tool[i];
        if (t->barred || (conf->only.p && !str_eq(conf->only, t->name))) continue;
        struct gram_node *x    = arguments(g, conf, t);
        int               rule = gram_rule_new(g);
        gram_rule_set(g, rule, x);
        args[i] = gram_rule(g, rule);
        n++;
    }
    if (g->rc == 0 && n == 0) return gram_fail(g, ERR_INVALID_VALUE, "no tool is left that could be called");
    for (size_t i = 0; i < ARRAY_LEN(forms) && g->rc == 0; i++) {
        const struct form *f = &forms[i];
        if (strcmp(f->name, conf->form) != 0) continue;
        struct gram_node *x = body(g, conf, f, args);
        if (conf->kind != CONSTRAIN_CALL) {
            x = GRAM_SEQ(g, mark(g, f->open), x);
            if (f->between && conf->parallel) {
                int rule = gram_rule_new(g); // it is used twice
                gram_rule_set(g, rule, x);
                x = gram_rule(g, rule);
                x = GRAM_SEQ(
                    g, x, gram_rep(g, GRAM_SEQ(g, gram_rep(g, gram_z(g, f->between), 0, 1), x), 0, GRAM_INF));
            }
        }
        gram_push(g, &all, x);
    }
    return gram_alt(g, all.v, all.n);
}
