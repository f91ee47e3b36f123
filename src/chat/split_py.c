/* split_py.c - calls as Python writes them: NAME(key=value, ...), the values literals.
 *
 * Values without a key are taken in the order of the schema's properties, if the tool is known.
 */
#include "chat/split_int.h"

#include <string.h>

void split_py_begin(struct split *s)
{
    s->py = PY_ARG;
    s->n_arg = 0;
    buf_clear(&s->word);
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
           || (unsigned char)c >= 0x80;
}

static void value_begin(struct split *s, struct str key)
{
    if (!s->live) split_args_open(s);
    split_args_key(s, key);
    split_val_init(&s->val);
    s->py = PY_VALUE;
}

static enum body_step py_end(struct split *s)
{
    if (!s->live) split_args_open(s);
    split_args_close(s);
    return STEP_END;
}

static enum body_step py_value(struct split *s, char c)
{
    switch (split_val_byte(&s->val, c, split_args(s))) {
    case VAL_BAD: return STEP_BAD;
    case VAL_MORE: return STEP_MORE;
    case VAL_DONE: s->py = PY_NEXT; return STEP_MORE;
    case VAL_BACK: s->py = PY_NEXT; return split_py_byte(s, c);
    }
    return STEP_BAD;
}

/* A value without a key: what was read of it as a word, then c. */
static enum body_step nth_value(struct split *s, char c)
{
    char       word[VAL_WORD_MAX];
    size_t     n = s->word.n;
    struct str key;

    if (!n && !strchr("\"'[{(+-.0123456789", c)) return STEP_BAD;
    if (!split_type_nth(s, s->n_arg, &key) || n >= sizeof word || (n && (c == '(' || c == '.'))) return STEP_BAD;
    memcpy(word, s->word.p, n);
    value_begin(s, key);
    for (size_t i = 0; i < n; i++)
        if (py_value(s, word[i]) != STEP_MORE) return STEP_BAD;
    return py_value(s, c);
}

enum body_step split_py_byte(struct split *s, char c)
{
    switch (s->py) {
    case PY_ARG:
        if (s->word.n == 0) {
            if (split_blank(c)) return STEP_MORE;
            if (c == ')') return py_end(s);
            if (!name_char(c) || (c >= '0' && c <= '9')) return nth_value(s, c);
        }
        if (c == '=') {
            s->py = PY_KEYED;
            return STEP_MORE;
        }
        if (split_blank(c)) {
            s->py = PY_BLANK;
            return STEP_MORE;
        }
        if (!name_char(c)) return nth_value(s, c);
        buf_byte(&s->word, c);
        return s->word.n > LIM_SPLIT_NAME_BYTES ? STEP_BAD : STEP_MORE;
    case PY_BLANK: // between a key and its =
        if (split_blank(c)) return STEP_MORE;
        if (c != '=') return nth_value(s, c);
        s->py = PY_KEYED;
        return STEP_MORE;
    case PY_KEYED:
        if (split_blank(c)) return STEP_MORE;
        if (c == '=') return STEP_BAD; // ==
        {
            char       key[LIM_SPLIT_NAME_BYTES + 1];
            struct str k = { key, s->word.n };
            memcpy(key, s->word.p, s->word.n);
            value_begin(s, k);
        }
        return py_value(s, c);
    case PY_VALUE:
        return py_value(s, c);
    case PY_NEXT:
        if (split_blank(c)) return STEP_MORE;
        if (c == ')') return py_end(s);
        if (c != ',') return STEP_BAD;
        buf_clear(&s->word);
        s->py = PY_ARG;
        return STEP_MORE;
    }
    return STEP_BAD;
}

void split_py_finish(struct split *s, bool whole)
{
    if (s->py == PY_VALUE) {
        if (whole)
            split_val_close(&s->val, split_args(s));
        else
            split_val_cut(&s->val, split_args(s));
    }
    if (whole)
        split_args_close(s);
    else
        split_call_end(s);
}
