/* split_xml.c - calls as tags.
 *
 *     <function=NAME> <parameter=KEY>value</parameter> ... </function>       Qwen3-Coder, Seed-OSS
 *     <invoke name="NAME"> <parameter name="KEY">value</parameter> </invoke>  MiniMax, Step (steptml:)
 *     <|DSML|invoke name="NAME"> <|DSML|parameter name="KEY" string="true">...  DeepSeek V3.2
 *     <function=NAME>{"key": value}</function>                                Functionary, Llama
 *
 * One reader for all: the last word of a tag's name says what it is, its value or name attribute
 * says which.
 */
#include "chat/split_int.h"

#include <stdio.h>
#include <string.h>

struct tag {
    struct str name;   // all of it, without "/"
    struct str what;   // behind the last ":" or bar
    struct str value;  // <x=VALUE> or <x name="VALUE">
    struct str string; // the attribute of that name
    bool       close;
};

static struct str unquote(struct str v)
{
    if (v.n >= 2 && (v.p[0] == '"' || v.p[0] == '\'') && v.p[v.n - 1] == v.p[0]) return str_sub(v, 1, v.n - 2);
    return v;
}

/* The value of attribute `name` in `rest`, or STR_NULL. */
static struct str attr(struct str rest, const char *name)
{
    while (rest.n) {
        size_t eq = str_find_byte(rest, '=');
        if (eq == SIZE_MAX) break;
        struct str key = str_trim(str_sub(rest, 0, eq)), v = str_trim(str_from(rest, eq + 1));
        size_t     end = 0;
        if (v.n && (v.p[0] == '"' || v.p[0] == '\'')) {
            size_t q = str_find_byte(str_from(v, 1), v.p[0]);
            if (q == SIZE_MAX) break;
            end = q + 2;
        } else {
            while (end < v.n && !split_blank(v.p[end])) end++;
        }
        if (str_eq(key, str_c(name))) return unquote(str_sub(v, 0, end));
        rest = str_from(v, end);
    }
    return STR_NULL;
}

static struct tag tag_read(struct str text)
{
    static const char bar[] = "\xEF\xBD\x9C"; // DeepSeek's full-width |
    struct tag        t = { .close = str_starts(text, STR("/")) };

    if (t.close) text = str_from(text, 1);
    size_t n = 0;
    while (n < text.n && text.p[n] != '=' && !split_blank(text.p[n])) n++;
    t.name = str_sub(text, 0, n);
    t.what = t.name;
    for (size_t at; (at = str_find_byte(t.what, ':')) != SIZE_MAX;) t.what = str_from(t.what, at + 1);
    for (size_t at; (at = str_find(t.what, str_c(bar))) != SIZE_MAX;) t.what = str_from(t.what, at + 3);
    if (n < text.n && text.p[n] == '=') {
        t.value = unquote(str_trim(str_from(text, n + 1)));
    } else {
        t.value = attr(str_from(text, n), "name");
        t.string = attr(str_from(text, n), "string");
    }
    return t;
}

static bool one_of(struct str s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(s, str_c(list[i]))) return true;
    return false;
}

static bool is_call(struct str what)
{
    static const char *const words[] = { "function", "invoke", "tool" };
    return one_of(what, words, ARRAY_LEN(words));
}

static bool is_arg(struct str what)
{
    static const char *const words[] = { "parameter", "param", "argument", "arg" };
    return one_of(what, words, ARRAY_LEN(words));
}

void split_xml_begin(struct split *s)
{
    s->xml = XML_GAP;
    s->xml_in = s->xml_args = false;
    s->quote = 0;
}

static enum body_step xml_end(struct split *s)
{
    if (s->xml_args) {
        split_call_end(s);
    } else {
        if (!s->live) split_args_open(s);
        split_args_close(s);
    }
    return STEP_END;
}

/* A tag that has no place here ends the call, and is read again by whoever knows it. */
static enum body_step stray(struct split *s)
{
    if (!s->live) return STEP_BAD;
    (void)xml_end(s);
    split_unread(s, STR(">"));
    split_unread(s, buf_text(&s->word));
    split_unread(s, STR("<"));
    return STEP_END;
}

static enum body_step xml_tag(struct split *s)
{
    struct tag t = tag_read(buf_text(&s->word));

    s->xml = XML_GAP;
    if (!s->xml_in) {
        if (t.close || !is_call(t.what)) return STEP_BAD;
        buf_clear(&s->name);
        buf_str(&s->name, t.value);
        s->xml_in = true;
        return split_name_ok(s) ? STEP_MORE : STEP_BAD;
    }
    if (t.close && is_call(t.what)) return xml_end(s);
    if (t.close || !is_arg(t.what) || !t.value.n || t.value.n > LIM_SPLIT_NAME_BYTES || s->xml_args)
        return stray(s);

    size_t n = (size_t)snprintf(s->close, sizeof s->close, "</" STR_FMT ">", STR_ARG(t.name));
    if (n >= sizeof s->close) return stray(s);

    if (!s->live) split_args_open(s);
    unsigned types = split_type_of(s, t.value);
    if (str_eq(t.string, STR("true"))) types = 1u << JSON_T_STR;
    if (str_eq(t.string, STR("false")) && (types & 1u << JSON_T_STR)) types = 0;
    split_arg_begin(s, t.value, types, !(s->rule->flags & RULE_EXACT));
    s->xml = XML_VALUE;
    return STEP_MORE;
}

enum body_step split_xml_byte(struct split *s, char c)
{
    enum val_step step;

    switch (s->xml) {
    case XML_GAP:
        if (split_blank(c)) return STEP_MORE;
        if (c == '<') {
            buf_clear(&s->word);
            s->quote = 0;
            s->xml = XML_TAG;
            return STEP_MORE;
        }
        if (c != '{' || !s->xml_in || s->live) return STEP_BAD;
        split_call_live(s);
        s->xml_args = true;
        s->xml = XML_JSON;
        split_val_init(&s->val);
        (void)split_val_byte(&s->val, c, split_args(s));
        return STEP_MORE;
    case XML_TAG:
        if (c == '>' && !s->quote) return xml_tag(s);
        if (s->quote ? c == s->quote : c == '"' || c == '\'') s->quote = s->quote ? 0 : c;
        buf_byte(&s->word, c);
        return s->word.failed || c == '<' || c == '\n' ? STEP_BAD : STEP_MORE;
    case XML_VALUE:
        if (split_arg_byte(s, c, str_c(s->close))) s->xml = XML_GAP;
        return STEP_MORE;
    case XML_JSON:
        step = split_val_byte(&s->val, c, split_args(s));
        if (step == VAL_BAD) return STEP_BAD;
        if (step != VAL_MORE) s->xml = XML_GAP;
        return STEP_MORE;
    }
    return STEP_BAD;
}

void split_xml_finish(struct split *s, bool whole)
{
    if (s->xml == XML_VALUE) split_arg_finish(s, whole);
    if (s->xml == XML_JSON) {
        if (whole)
            split_val_close(&s->val, split_args(s));
        else
            split_val_cut(&s->val, split_args(s));
    }
    if (whole && !s->xml_args && split_args(s)) buf_byte(split_args(s), '}');
    split_call_end(s);
}
