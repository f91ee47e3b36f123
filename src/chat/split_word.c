/* split_word.c - calls that begin with a word.
 *
 *     NAME[ARGS]{...}    NAME[CALL_ID]ID[ARGS]{...}    NAME{...}               Mistral
 *     functions.NAME:0<|tool_call_argument_begin|>{...}                        Kimi
 *     function<|sep|>NAME\n```json\n{...}\n```         NAME<|sep|>{...}        DeepSeek V3, V3.1
 *     NAME\n<arg_key>KEY</arg_key>\n<arg_value>value</arg_value>               GLM
 *     NAME{key:<quote>text<quote>}                                             Gemma 4
 *     NAME(key=value, ...)                                                     Python: Llama 4, LFM2, Olmo
 *
 * All of them are a word, something between, and arguments that say by themselves what they are.
 */
#include "chat/split_int.h"

#include <string.h>

enum sep { SEP_ARGS, SEP_ID, SEP_NAME, SEP_FENCE, SEP_KEY };

#define BAR "\xEF\xBD\x9C"
#define LOW "\xE2\x96\x81"

static const struct {
    const char *text;
    enum sep    sep;
} seps[] = {
    { "[ARGS]", SEP_ARGS },
    { "[CALL_ID]", SEP_ID },
    { "<|tool_call_argument_begin|>", SEP_ARGS },
    { "<" BAR "tool" LOW "sep" BAR ">", SEP_NAME },
    { "<" BAR "tool_sep" BAR ">", SEP_NAME },
    { "<tool_sep>", SEP_NAME },
    { "<|constrain|>json", SEP_ARGS },
    { "<|message|>", SEP_ARGS },
    { "```", SEP_FENCE },
    { "<arg_key>", SEP_KEY },
};

void split_word_begin(struct split *s)
{
    s->wd = WORD_NAME;
    s->sep_args = s->sep_name = false;
    s->n_part = 0;
    buf_clear(&s->word);
}

/* The word is the name of the call, or its id with the name in it. */
static bool word_name(struct split *s)
{
    struct str w = buf_text(&s->word);

    if (s->word.failed) return false;
    if (s->rule->flags & RULE_KIMI) {
        buf_clear(&s->id);
        buf_str(&s->id, w);
        size_t colon = w.n;
        while (colon > 0 && w.p[colon - 1] >= '0' && w.p[colon - 1] <= '9') colon--;
        if (colon > 0 && colon < w.n && w.p[colon - 1] == ':') w.n = colon - 1;
    }
    for (int i = 0; i < 3; i++) { // as it is, or without what some put around it
        struct str t = w;
        if (i == 1 && str_starts(w, STR("functions."))) t = str_from(w, 10);
        if (i == 2 && str_ends(w, STR(".call"))) t.n -= 5; // Llama 3's own tools
        if (i > 0 && t.n == w.n) continue;
        buf_clear(&s->name);
        buf_str(&s->name, t);
        if (split_tool(s)) break;
        if (i > 0 && s->conf.n_tool == 0) break;
        if (i > 0) w = t;
    }
    return split_name_ok(s);
}

static enum body_step args_json(struct split *s, char c)
{
    if (!word_name(s)) return STEP_BAD;
    split_call_live(s);
    s->wd = WORD_JSON;
    split_val_init(&s->val);
    if (s->rule->quote) {
        s->val.qmark = str_c(s->rule->quote);
        s->val.bare = true;
    }
    (void)split_val_byte(&s->val, c, split_args(s));
    return STEP_MORE;
}

static enum body_step sep_hit(struct split *s, enum sep sep)
{
    s->n_part = 0;
    switch (sep) {
    case SEP_ARGS:
        s->sep_args = true;
        s->wd = WORD_GAP;
        return s->word.n ? STEP_MORE : STEP_BAD;
    case SEP_ID:
        if (!word_name(s)) return STEP_BAD;
        s->wd = WORD_ID;
        return STEP_MORE;
    case SEP_NAME:
        s->sep_name = true;
        s->wd = WORD_GAP;
        return s->word.n ? STEP_MORE : STEP_BAD;
    case SEP_FENCE:
        s->wd = WORD_FENCE;
        return s->word.n ? STEP_MORE : STEP_BAD;
    case SEP_KEY:
        if (!s->live) {
            if (!word_name(s)) return STEP_BAD;
            split_args_open(s);
        }
        buf_clear(&s->word);
        s->wd = WORD_KEY;
        return STEP_MORE;
    }
    return STEP_BAD;
}

/* The call ends where its end mark stands, which the section will read again. */
static enum body_step word_end(struct split *s)
{
    struct str part = { s->part, s->n_part };

    if (!s->live) split_args_open(s);
    split_args_close(s);
    split_unread(s, part);
    s->n_part = 0;
    return STEP_END;
}

/* May a call without arguments be meant? */
static bool no_args(struct split *s)
{
    if (!s->word.n || !word_name(s)) return false;
    return s->sep_args || (s->rule->flags & RULE_WORD) || split_tool(s);
}

static enum body_step word_mark(struct split *s, char c)
{
    const char *const ends[] = { s->rule->close, s->rule->inner_end };
    bool              head = false;

    s->part[s->n_part++] = c;
    struct str part = { s->part, s->n_part };
    for (size_t i = 0; i < ARRAY_LEN(seps); i++) {
        struct str text = str_c(seps[i].text);
        if (!str_starts(text, part) || (s->live && seps[i].sep != SEP_KEY)) continue;
        if (text.n == part.n) return sep_hit(s, seps[i].sep);
        head = true;
    }
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (!ends[i] || !str_starts(str_c(ends[i]), part)) continue;
        if (strlen(ends[i]) == part.n) return s->live || no_args(s) ? word_end(s) : STEP_BAD;
        head = true;
    }
    if (head) return STEP_MORE;
    if (s->sep_name && !s->live) { // Step: the call is a tag behind the separator
        s->body = BODY_XML;
        split_xml_begin(s);
        for (size_t i = 0; i < part.n; i++)
            if (split_xml_byte(s, part.p[i]) != STEP_MORE) return STEP_BAD;
        return STEP_MORE;
    }
    return s->live ? word_end(s) : STEP_BAD;
}

/* After the name, before the arguments. */
static enum body_step word_gap(struct split *s, char c)
{
    if (split_blank(c)) return STEP_MORE;
    if (c == '{') return args_json(s, c);
    if (c == '<' || c == '[' || c == '`') {
        s->wd = WORD_MARK;
        s->n_part = 0;
        return word_mark(s, c);
    }
    if (!s->sep_name) return STEP_BAD;
    s->sep_name = false; // "function" was only the kind of call: this is the name
    buf_clear(&s->word);
    buf_byte(&s->word, c);
    s->wd = WORD_NAME;
    return STEP_MORE;
}

static enum body_step word_name_byte(struct split *s, char c)
{
    if (split_blank(c)) {
        s->wd = WORD_GAP;
        return STEP_MORE;
    }
    if (c == '{' || c == '<' || c == '[' || c == '`') return word_gap(s, c);
    if (c == '(') {
        if (!word_name(s)) return STEP_BAD;
        s->body = BODY_PY;
        split_py_begin(s);
        return STEP_MORE;
    }
    buf_byte(&s->word, c);
    return s->word.n > LIM_SPLIT_NAME_BYTES || strchr("\"'\\>}]),;=|", c) ? STEP_BAD : STEP_MORE;
}

enum body_step split_word_byte(struct split *s, char c)
{
    static const char json[] = "json";
    enum val_step     step;

    switch (s->wd) {
    case WORD_NAME:
        return word_name_byte(s, c);
    case WORD_GAP:
        return word_gap(s, c);
    case WORD_MARK:
        return word_mark(s, c);
    case WORD_ID: // [CALL_ID] up to [ARGS]
        if (c == '[') {
            buf_clear(&s->word);
            buf_str(&s->word, buf_text(&s->name));
            return word_gap(s, c);
        }
        return split_blank(c) || c == '{' || s->hold.n > LIM_SPLIT_TAG_BYTES ? STEP_BAD : STEP_MORE;
    case WORD_FENCE:
        if (c == '{') return args_json(s, c);
        return split_blank(c) || strchr(json, c) ? STEP_MORE : STEP_BAD;
    case WORD_JSON:
        step = split_val_byte(&s->val, c, split_args(s));
        if (step == VAL_BAD) return STEP_BAD;
        if (step == VAL_MORE) return STEP_MORE;
        split_call_end(s);
        return STEP_END;
    case WORD_KEY:
        if (!split_arg_key_byte(s, c, STR("</arg_key>"))) return s->word.failed ? STEP_BAD : STEP_MORE;
        s->wd = WORD_VALUE_GAP;
        s->n_part = 0;
        return STEP_MORE;
    case WORD_VALUE_GAP:
        if (split_blank(c) && s->n_part == 0) return STEP_MORE;
        if (c != "<arg_value>"[s->n_part++]) return STEP_BAD;
        if (s->n_part < 11) return STEP_MORE;
        split_arg_begin(s, buf_text(&s->word), split_type_of(s, buf_text(&s->word)), false);
        s->wd = WORD_VALUE;
        return STEP_MORE;
    case WORD_VALUE:
        if (!split_arg_byte(s, c, STR("</arg_value>"))) return STEP_MORE;
        s->wd = WORD_NEXT;
        return STEP_MORE;
    case WORD_NEXT:
        if (split_blank(c)) return STEP_MORE;
        s->wd = WORD_MARK;
        return word_mark(s, c);
    }
    return STEP_BAD;
}

void split_word_finish(struct split *s, bool whole)
{
    switch (s->wd) {
    case WORD_JSON:
        if (whole)
            split_val_close(&s->val, split_args(s));
        else
            split_val_cut(&s->val, split_args(s));
        break;
    case WORD_VALUE:
        split_arg_finish(s, whole);
        if (whole) split_args_close(s);
        break;
    case WORD_KEY:
    case WORD_VALUE_GAP:
    case WORD_NEXT:
    case WORD_MARK:
        if (whole) split_args_close(s);
        break;
    case WORD_NAME:
    case WORD_GAP:
    case WORD_ID:
    case WORD_FENCE:
        break;
    }
    if (s->live) split_call_end(s);
}
