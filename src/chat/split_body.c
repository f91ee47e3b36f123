/* split_body.c - what is inside a call: find out which grammar it has; calls as JSON.
 *
 * A body is looked at, not looked up: "[" opens a list of calls, "{" a call as an object. The marks
 * around it (split_fmt.c) only say that there is one.
 */
#include "chat/split_int.h"

#include <string.h>

bool split_body_can_begin(const struct split *s, char c)
{
    if (s->any && !s->rule->close) return c == '{' && (s->rule->flags & RULE_KNOWN);
    return c == '{' || c == '[' || c == '<' || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

void split_body_begin(struct split *s)
{
    s->body = BODY_ITEM;
    s->list = false;
}

/* Between the calls of a list, or before the only one. */
static enum body_step item_byte(struct split *s, char c)
{
    if (split_blank(c) || (s->list && c == ',')) return STEP_MORE;
    if (c == '[' && !s->list) {
        s->list = true;
        s->list_any = false;
        return STEP_MORE;
    }
    if (c == ']' && s->list) return s->list_any ? STEP_END : STEP_BAD;
    split_call_begin(s);
    if (c == '{') {
        s->body = BODY_JSON;
        split_json_begin(s);
        return STEP_MORE;
    }
    if (c == '<') {
        s->body = BODY_XML;
        split_xml_begin(s);
        return split_xml_byte(s, c);
    }
    s->body = BODY_WORD;
    split_word_begin(s);
    return split_word_byte(s, c);
}

enum body_step split_body_byte(struct split *s, char c)
{
    enum body_step step = STEP_BAD;

    switch (s->body) {
    case BODY_ITEM:
        return item_byte(s, c);
    case BODY_JSON:
        step = split_json_byte(s, c);
        break;
    case BODY_XML:
        step = split_xml_byte(s, c);
        break;
    case BODY_WORD:
        step = split_word_byte(s, c);
        break;
    case BODY_PY:
        step = split_py_byte(s, c);
        break;
    }
    if (step != STEP_END || !s->list) return step;
    s->body = BODY_ITEM;
    s->list_any = true;
    split_clear(s, &s->hold);
    return STEP_MORE;
}

void split_body_finish(struct split *s, bool whole)
{
    switch (s->body) {
    case BODY_ITEM:
        break;
    case BODY_JSON:
        split_json_finish(s, whole);
        break;
    case BODY_XML:
        split_xml_finish(s, whole);
        break;
    case BODY_WORD:
        split_word_finish(s, whole);
        break;
    case BODY_PY:
        split_py_finish(s, whole);
        break;
    }
}

bool split_body_idle(const struct split *s)
{
    if (!s->any || s->live) return false;
    if (s->body == BODY_JSON) return s->n_nest == 0 || s->nest_call[0];
    for (size_t i = 0; i < s->hold.n; i++)
        if (!split_blank(s->hold.p[i]) && s->hold.p[i] != ',') return false;
    return s->body == BODY_ITEM;
}

/* --- a call as an object --- */

enum key { KEY_OTHER, KEY_NAME, KEY_ARGS, KEY_FUNCTION, KEY_CALLS };

static const struct {
    const char *name;
    enum key    key;
} keys[] = {
    { "name", KEY_NAME },          { "tool_name", KEY_NAME },    { "tool", KEY_NAME },
    { "function_name", KEY_NAME }, { "arguments", KEY_ARGS },    { "parameters", KEY_ARGS },
    { "args", KEY_ARGS },          { "tool_input", KEY_ARGS },   { "input", KEY_ARGS },
    { "kwargs", KEY_ARGS },        { "params", KEY_ARGS },       { "function", KEY_FUNCTION },
    { "tool_calls", KEY_CALLS },   { "tool_call", KEY_CALLS },   { "function_call", KEY_CALLS },
    { "id", KEY_OTHER },           { "type", KEY_OTHER },        { "tool_call_id", KEY_OTHER },
    { "call_id", KEY_OTHER },      { "index", KEY_OTHER },
};

/* What the key in s->word (a JSON string, quotes and all) is for; *known: we have heard of it. */
static enum key key_find(const struct split *s, bool *known)
{
    struct str w = str_sub(buf_text(&s->word), 1, s->word.n < 2 ? 0 : s->word.n - 2);

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        *known = str_eq(w, str_c(keys[i].name));
        if (*known) return keys[i].key;
    }
    return KEY_OTHER;
}

void split_json_begin(struct split *s)
{
    s->n_nest = 1;
    s->nest[0] = '{';
    s->nest_call[0] = false;
    s->cj = CJ_KEY;
    split_val_init(&s->val);
}

void split_json_finish(struct split *s, bool whole)
{
    struct val *v = s->cj == CJ_ARGS ? &s->val : s->cj == CJ_STR ? &s->inner : NULL;

    if (v && whole) split_val_close(v, split_args(s));
    if (v && !whole) split_val_cut(v, split_args(s));
    split_call_end(s);
}

static bool json_nest(struct split *s, char c)
{
    if (s->n_nest == SPLIT_NEST) return false;
    s->nest_call[s->n_nest] = false;
    s->nest[s->n_nest++] = c;
    s->cj = c == '{' ? CJ_KEY : CJ_ITEM;
    split_val_init(&s->val);
    return true;
}

static void json_call_end(struct split *s)
{
    split_call_end(s);
    split_call_begin(s);
    for (int i = 0; i < s->n_nest; i++) s->nest_call[i] = true;
}

/* A bracket closes. An object with a name is a call, one that had a call inside is fine. */
static enum body_step json_pop(struct split *s, char c)
{
    char open = s->nest[--s->n_nest];

    if ((open == '{') != (c == '}')) return STEP_BAD;
    if (open == '{' && s->name.n > 0 && (s->has_args || !(s->rule->flags & RULE_KNOWN))) {
        if (!s->has_args) buf_str(&s->args, STR("{}"));
        json_call_end(s);
    } else if (open == '{' && !s->nest_call[s->n_nest]) {
        return STEP_BAD;
    }
    s->cj = CJ_NEXT;
    return s->n_nest ? STEP_MORE : STEP_END;
}

/* The arguments begin. If the name is known, the call is certain. */
static enum body_step args_begin(struct split *s, char c)
{
    if (s->has_args) { // a second time: not wanted
        s->cj = CJ_SKIP;
        return split_val_byte(&s->val, c, NULL) == VAL_BAD ? STEP_BAD : STEP_MORE;
    }
    if (c != '{' && c != '"' && c != 'n' && c != 'N') return STEP_BAD;
    s->has_args = true;
    if (c == '{') {
        s->cj = CJ_ARGS;
        if (s->name.n) split_call_live(s);
        (void)split_val_byte(&s->val, c, split_args(s)); // a bracket at depth 0 cannot fail
        return STEP_MORE;
    }
    if (c == '"') { // JSON inside a string
        s->cj = CJ_STR;
        s->val.raw = true;
        split_val_init(&s->inner);
    } else { // null: none
        s->cj = CJ_SKIP;
        buf_str(&s->args, STR("{}"));
    }
    return split_val_byte(&s->val, c, NULL) == VAL_BAD ? STEP_BAD : STEP_MORE;
}

/* A byte of arguments that are JSON inside a string: unwrapped by `val`, read by `inner`. */
static enum val_step args_str_byte(struct split *s, char c)
{
    enum val_step outer = split_val_byte(&s->val, c, &s->word), in = VAL_MORE;

    for (size_t i = 0; i < s->word.n && in != VAL_BAD; i++) {
        char b = s->word.p[i];
        if (s->inner.state == VAL_END ? !split_blank(b) : s->inner.depth == 0 && b != '{' && !split_blank(b))
            return VAL_BAD;
        if (s->inner.state == VAL_END) continue;
        if (b == '{' && !s->live && s->name.n) split_call_live(s);
        in = split_val_byte(&s->inner, b, split_args(s));
    }
    buf_clear(&s->word);
    if (in == VAL_BAD) return VAL_BAD;
    if (outer == VAL_DONE || outer == VAL_BACK) {
        if (s->inner.state == VAL_VALUE && s->inner.depth == 0) // an empty string
            buf_str(&s->args, STR("{}"));
        else if (s->inner.state != VAL_END)
            return VAL_BAD;
    }
    return outer;
}

/* The first byte of a member's value. */
static enum body_step json_value(struct split *s, char c)
{
    bool     known;
    enum key key = key_find(s, &known);

    if (split_blank(c)) return STEP_MORE;
    split_val_init(&s->val);
    if ((s->rule->flags & RULE_KEYED) && !s->has_args) {
        buf_clear(&s->name);
        buf_str(&s->name, str_sub(buf_text(&s->word), 1, s->word.n - 2));
        if (!split_name_ok(s)) return STEP_BAD;
        key = KEY_ARGS;
    } else if (key == KEY_FUNCTION) {
        key = c == '{' ? KEY_CALLS : KEY_NAME;
    }
    buf_clear(&s->word);
    switch (key) {
    case KEY_ARGS:
        return args_begin(s, c);
    case KEY_CALLS:
        if (c == '{' || c == '[') return json_nest(s, c) ? STEP_MORE : STEP_BAD;
        break;
    case KEY_NAME:
        if (s->name.n || (c != '"' && c != '\'')) break;
        s->cj = CJ_NAME;
        return split_val_byte(&s->val, c, &s->word) == VAL_BAD ? STEP_BAD : STEP_MORE;
    case KEY_OTHER:
    case KEY_FUNCTION:
        if (!known && (s->rule->flags & RULE_KNOWN) && !s->name.n) return STEP_BAD;
        break;
    }
    s->cj = CJ_SKIP;
    switch (split_val_byte(&s->val, c, NULL)) {
    case VAL_BAD: return STEP_BAD;
    case VAL_MORE:
    case VAL_DONE:
    case VAL_BACK: break;
    }
    return STEP_MORE;
}

/* A name, or arguments that were a string, is complete in s->word. */
static bool json_name_end(struct split *s)
{
    buf_str(&s->name, str_sub(buf_text(&s->word), 1, s->word.n - 2));
    buf_clear(&s->word);
    if (!split_name_ok(s)) return false;
    if (s->has_args) split_call_live(s);
    return true;
}

static enum body_step json_after(struct split *s, char c, enum val_step step)
{
    s->cj = CJ_NEXT;
    return step == VAL_BACK ? split_json_byte(s, c) : STEP_MORE;
}

enum body_step split_json_byte(struct split *s, char c)
{
    enum val_step step;

    switch (s->cj) {
    case CJ_KEY:
        if (s->val.state == VAL_VALUE) {
            if (split_blank(c) || c == ',') return STEP_MORE;
            if (c == '}') return json_pop(s, c);
            if (c != '"' && c != '\'') return STEP_BAD;
            buf_clear(&s->word);
        }
        step = split_val_byte(&s->val, c, &s->word);
        if (step == VAL_BAD || s->word.failed) return STEP_BAD;
        if (step == VAL_MORE) return STEP_MORE;
        s->cj = CJ_COLON;
        return step == VAL_BACK ? split_json_byte(s, c) : STEP_MORE;
    case CJ_COLON:
        if (split_blank(c)) return STEP_MORE;
        if (c != ':') return STEP_BAD;
        s->cj = CJ_VALUE;
        return STEP_MORE;
    case CJ_VALUE:
        return json_value(s, c);
    case CJ_ITEM:
        if (split_blank(c) || c == ',') return STEP_MORE;
        if (c == ']') return json_pop(s, c);
        return c == '{' && json_nest(s, c) ? STEP_MORE : STEP_BAD;
    case CJ_NAME:
        step = split_val_byte(&s->val, c, &s->word);
        if (step == VAL_BAD || s->word.failed) return STEP_BAD;
        if (step == VAL_MORE) return STEP_MORE;
        if (!json_name_end(s)) return STEP_BAD;
        return json_after(s, c, step);
    case CJ_ARGS:
        step = split_val_byte(&s->val, c, split_args(s));
        if (step == VAL_BAD) return STEP_BAD;
        return step == VAL_MORE ? STEP_MORE : json_after(s, c, step);
    case CJ_STR:
        step = args_str_byte(s, c);
        if (step == VAL_BAD) return STEP_BAD;
        return step == VAL_MORE ? STEP_MORE : json_after(s, c, step);
    case CJ_SKIP:
        step = split_val_byte(&s->val, c, NULL);
        if (step == VAL_BAD) return STEP_BAD;
        return step == VAL_MORE ? STEP_MORE : json_after(s, c, step);
    case CJ_NEXT:
        if (split_blank(c)) return STEP_MORE;
        if (c == '}' || c == ']') return json_pop(s, c);
        if (c != ',') return STEP_BAD;
        s->cj = s->nest[s->n_nest - 1] == '{' ? CJ_KEY : CJ_ITEM;
        split_val_init(&s->val);
        return STEP_MORE;
    }
    return STEP_BAD;
}
