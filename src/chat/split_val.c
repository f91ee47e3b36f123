/* split_val.c - read one value as models write them, write it as JSON.
 *
 * Understood beside JSON: Python's literals (True, None, 'text', """text""", tuples, 1_000, .5),
 * bare keys, trailing commas, raw line ends in strings, unknown escapes (the backslash stays), and
 * quote marks of several bytes as the Gemma family has them. Blanks outside strings are dropped.
 * The output is JSON whatever the input, as long as no step returns VAL_BAD.
 */
#include "chat/split_int.h"

#include <string.h>

#include "base/utf8.h"

static void put(struct buf *out, char c)
{
    if (out) buf_byte(out, c);
}

static void puts_(struct buf *out, const char *z)
{
    if (out) buf_str(out, str_c(z));
}

void split_val_init(struct val *v)
{
    memset(v, 0, sizeof *v);
    v->state = VAL_VALUE;
}

/* One byte of a string's text, escaped as JSON wants it. */
void split_val_put_esc(struct buf *out, char c)
{
    static const char hex[] = "0123456789abcdef";

    if (!out) return;
    switch (c) {
    case '"': puts_(out, "\\\""); return;
    case '\\': puts_(out, "\\\\"); return;
    case '\n': puts_(out, "\\n"); return;
    case '\r': puts_(out, "\\r"); return;
    case '\t': puts_(out, "\\t"); return;
    case '\b': puts_(out, "\\b"); return;
    case '\f': puts_(out, "\\f"); return;
    default: break;
    }
    if ((unsigned char)c < 0x20) {
        puts_(out, "\\u00");
        put(out, hex[(c >> 4) & 15]);
        put(out, hex[c & 15]);
    } else {
        put(out, c);
    }
}

static void put_char(const struct val *v, struct buf *out, char c)
{
    if (v->raw)
        put(out, c);
    else
        split_val_put_esc(out, c);
}

static void put_cp(const struct val *v, struct buf *out, uint32_t cp)
{
    char b[UTF8_MAX];

    if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000)) cp = 0xFFFD;
    int n = utf8_encode(cp, b);
    for (int i = 0; i < n; i++) put_char(v, out, b[i]);
}

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+'
           || c == '-' || c == '.' || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* word as a JSON number: Python's freedoms taken out. False if it is none. */
static bool put_number(struct str w, struct buf *out)
{
    char   t[VAL_WORD_MAX + 4];
    size_t n = 0, i = 0;

    if (i < w.n && (w.p[i] == '-' || w.p[i] == '+')) {
        if (w.p[i] == '-') t[n++] = '-';
        i++;
    }
    size_t whole = n;
    while (i < w.n && (digit(w.p[i]) || (w.p[i] == '_' && n > whole))) {
        if (w.p[i] != '_') t[n++] = w.p[i];
        i++;
    }
    size_t n_whole = n - whole, n_frac = 0;
    if (n_whole > 1 && t[whole] == '0') return false; // 007 is no number of anyone
    if (i < w.n && w.p[i] == '.') {
        i++;
        if (!n_whole) t[n++] = '0';
        t[n++] = '.';
        for (; i < w.n && digit(w.p[i]); i++, n_frac++) t[n++] = w.p[i];
        if (!n_frac) t[n++] = '0';
    }
    if (!n_whole && !n_frac) return false;
    if (i < w.n && (w.p[i] == 'e' || w.p[i] == 'E')) {
        t[n++] = 'e';
        i++;
        if (i < w.n && (w.p[i] == '-' || w.p[i] == '+')) t[n++] = w.p[i++];
        size_t from = i;
        for (; i < w.n && digit(w.p[i]); i++) t[n++] = w.p[i];
        if (i == from) return false;
    }
    if (i != w.n) return false;
    if (out) buf_put(out, t, n);
    return true;
}

static const struct {
    const char    *word, *json;
    enum json_kind kind;
} literals[] = {
    { "true", "true", JSON_T_BOOL },   { "True", "true", JSON_T_BOOL },
    { "false", "false", JSON_T_BOOL }, { "False", "false", JSON_T_BOOL },
    { "null", "null", JSON_T_NULL },   { "None", "null", JSON_T_NULL },
    { "NaN", "null", JSON_T_NULL },    { "undefined", "null", JSON_T_NULL },
};

/* The word is complete: write it as a key or a value. */
static bool put_word(struct val *v, struct buf *out)
{
    struct str w = { v->word, v->n_word };

    if (v->bare)
        while (w.n && split_blank(w.p[w.n - 1])) w.n--;
    if (!v->key) {
        enum json_kind kind = JSON_T_INT;
        for (size_t i = 0; i < ARRAY_LEN(literals); i++) {
            if (!str_eq(w, str_c(literals[i].word))) continue;
            puts_(out, literals[i].json);
            if (!v->depth) v->kind = literals[i].kind;
            return true;
        }
        for (size_t i = 0; i < w.n; i++)
            if (w.p[i] == '.' || w.p[i] == 'e' || w.p[i] == 'E') kind = JSON_T_REAL;
        if (put_number(w, out)) {
            if (!v->depth) v->kind = kind;
            return true;
        }
        if (!v->bare) return false;
        if (!v->depth) v->kind = JSON_T_STR;
    }
    put(out, '"');
    for (size_t i = 0; i < w.n; i++) put_char(v, out, w.p[i]);
    put(out, '"');
    return true;
}

/* A key or value is complete. */
static enum val_step ended(struct val *v)
{
    if (v->key) {
        v->key = false;
        v->state = VAL_COLON;
        return VAL_MORE;
    }
    v->state = v->depth ? VAL_NEXT : VAL_END;
    return v->depth ? VAL_MORE : VAL_DONE;
}

static enum val_step pop(struct val *v, char c, struct buf *out)
{
    char open = v->open[v->depth - 1];

    if ((open == '{' && c != '}') || (open == '[' && c != ']') || (open == '(' && c != ')'))
        return VAL_BAD;
    v->depth--;
    put(out, open == '{' ? '}' : ']');
    return ended(v);
}

static bool quote_begins(const struct val *v, char c)
{
    return v->qmark.n && c == v->qmark.p[0];
}

static enum val_step begin(struct val *v, char c, struct buf *out);

static bool bracket(char c)
{
    return c == '{' || c == '[' || c == '(';
}

/* The first byte of a member: the comma that it needs, if it can be one at all. */
static enum val_step member(struct val *v, char c, struct buf *out)
{
    bool *some = &v->some[v->depth - 1];

    if (v->key ? bracket(c) : bracket(c) && v->depth == LIM_SPLIT_DEPTH) return VAL_BAD;
    if (!bracket(c) && c != '"' && c != '\'' && !quote_begins(v, c) && !word_char(c) && !v->bare) return VAL_BAD;
    if (*some) put(out, ',');
    *some = true;
    return begin(v, c, out);
}

static enum val_step begin(struct val *v, char c, struct buf *out)
{
    if (!v->key && bracket(c)) {
        if (v->depth == LIM_SPLIT_DEPTH) return VAL_BAD;
        if (!v->depth) v->kind = c == '{' ? JSON_T_OBJ : JSON_T_ARR;
        put(out, c == '{' ? '{' : '[');
        v->open[v->depth] = c;
        v->some[v->depth++] = false;
        v->state = c == '{' ? VAL_KEY : VAL_ITEM;
        return VAL_MORE;
    }
    if (c == '"' || c == '\'') {
        v->quote = c;
        v->triple = false;
        v->state = VAL_OPEN1;
    } else if (quote_begins(v, c)) {
        v->quote = 0;
        v->n_quote = 1;
        v->state = v->qmark.n == 1 ? VAL_STR : VAL_QUOTE;
    } else if (word_char(c) || v->bare) {
        v->word[0] = c;
        v->n_word = 1;
        v->state = VAL_WORD;
        return VAL_MORE;
    } else {
        return VAL_BAD;
    }
    if (!v->depth && !v->key) v->kind = JSON_T_STR;
    if (!v->raw) put(out, '"');
    return VAL_MORE;
}

static void flush_hi(struct val *v, struct buf *out)
{
    if (v->hi) put_cp(v, out, 0xFFFD);
    v->hi = 0;
}

static enum val_step str_end(struct val *v, struct buf *out)
{
    flush_hi(v, out);
    if (!v->raw) put(out, '"');
    v->n_quote = 0;
    return ended(v);
}

static enum val_step str_byte(struct val *v, char c, struct buf *out)
{
    if (v->quote) {
        if (c == v->quote) {
            if (!v->triple || ++v->n_quote == 3) return str_end(v, out);
            return VAL_MORE;
        }
        for (; v->n_quote > 0; v->n_quote--) {
            flush_hi(v, out);
            put_char(v, out, v->quote);
        }
        if (c == '\\') {
            v->state = VAL_ESC;
            return VAL_MORE;
        }
    } else {
        /* No byte of a quote mark but the first begins it again, so this is the whole search. */
        if (c == v->qmark.p[v->n_quote]) {
            if ((size_t)++v->n_quote == v->qmark.n) return str_end(v, out);
            return VAL_MORE;
        }
        for (int i = 0; i < v->n_quote; i++) put_char(v, out, v->qmark.p[i]);
        v->n_quote = c == v->qmark.p[0];
        if (v->n_quote) return VAL_MORE;
    }
    flush_hi(v, out);
    put_char(v, out, c);
    return VAL_MORE;
}

static enum val_step esc_byte(struct val *v, char c, struct buf *out)
{
    static const char from[] = "nrtbfav0\"'\\/", to[] = "\n\r\t\b\f\a\v\0\"'\\/";

    v->state = VAL_STR;
    if (c == 'u' || c == 'x' || c == 'U') {
        if (c != 'u') flush_hi(v, out);
        v->cp = 0;
        v->n_hex = 0;
        v->hex_left = c == 'u' ? 4 : c == 'x' ? 2 : 8;
        v->word[0] = c;
        v->state = VAL_HEX;
        return VAL_MORE;
    }
    flush_hi(v, out);
    if (c == '\n') return VAL_MORE; // a line that goes on
    const char *at = memchr(from, c, sizeof from - 1);
    if (at) {
        put_char(v, out, to[at - from]);
    } else {
        put_char(v, out, '\\');
        put_char(v, out, c);
    }
    return VAL_MORE;
}

static enum val_step hex_byte(struct val *v, char c, struct buf *out)
{
    int d = digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
            : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

    if (d < 0) { // no such escape: its bytes are text
        flush_hi(v, out);
        put_char(v, out, '\\');
        for (int i = 0; i <= v->n_hex; i++) put_char(v, out, v->word[i]);
        v->state = VAL_STR;
        return str_byte(v, c, out);
    }
    v->word[++v->n_hex] = c;
    v->cp = v->cp << 4 | (uint32_t)d;
    if (--v->hex_left) return VAL_MORE;
    v->state = VAL_STR;
    if (v->hi && v->cp >= 0xDC00 && v->cp < 0xE000) {
        put_cp(v, out, 0x10000 + ((v->hi - 0xD800) << 10) + (v->cp - 0xDC00));
        v->hi = 0;
        return VAL_MORE;
    }
    flush_hi(v, out);
    if (v->cp >= 0xD800 && v->cp < 0xDC00)
        v->hi = v->cp;
    else
        put_cp(v, out, v->cp);
    return VAL_MORE;
}

static enum val_step more_word(struct val *v, char c, struct buf *out)
{
    bool more = word_char(c);

    if (v->bare) more = v->key ? c != ':' : c != ',' && c != '}' && c != ']' && c != '\n';
    if (more) {
        if (v->n_word == VAL_WORD_MAX) return VAL_BAD;
        v->word[v->n_word++] = c;
        return VAL_MORE;
    }
    if (!put_word(v, out)) return VAL_BAD;
    if (ended(v) == VAL_DONE) return VAL_BACK;
    return split_val_byte(v, c, out); // one level deep: the state is NEXT or COLON now
}

enum val_step split_val_byte(struct val *v, char c, struct buf *out)
{
    switch (v->state) {
    case VAL_VALUE:
        if (split_blank(c)) return VAL_MORE;
        return begin(v, c, out);
    case VAL_ITEM:
        if (split_blank(c)) return VAL_MORE;
        if (c == ']' || c == ')') return pop(v, c, out);
        return member(v, c, out);
    case VAL_KEY:
        if (split_blank(c)) return VAL_MORE;
        if (c == '}') return pop(v, c, out);
        v->key = true;
        return member(v, c, out);
    case VAL_COLON:
        if (split_blank(c)) return VAL_MORE;
        if (c != ':') return VAL_BAD;
        put(out, ':');
        v->state = VAL_VALUE;
        return VAL_MORE;
    case VAL_NEXT:
        if (split_blank(c)) return VAL_MORE;
        if (c != ',') return pop(v, c, out);
        v->state = v->open[v->depth - 1] == '{' ? VAL_KEY : VAL_ITEM;
        return VAL_MORE;
    case VAL_OPEN1:
        v->n_quote = 0;
        if (c == v->quote) {
            v->state = VAL_OPEN2;
            return VAL_MORE;
        }
        v->state = VAL_STR;
        return str_byte(v, c, out);
    case VAL_OPEN2:
        if (c == v->quote) {
            v->triple = true;
            v->state = VAL_STR;
            return VAL_MORE;
        }
        if (str_end(v, out) == VAL_DONE) return VAL_BACK;
        return split_val_byte(v, c, out);
    case VAL_STR:
        return str_byte(v, c, out);
    case VAL_ESC:
        return esc_byte(v, c, out);
    case VAL_HEX:
        return hex_byte(v, c, out);
    case VAL_QUOTE:
        if (c != v->qmark.p[v->n_quote]) return VAL_BAD;
        if ((size_t)++v->n_quote == v->qmark.n) {
            v->n_quote = 0;
            v->state = VAL_STR;
        }
        return VAL_MORE;
    case VAL_WORD:
        return more_word(v, c, out);
    case VAL_END:
        return VAL_BAD;
    }
    return VAL_BAD;
}

void split_val_close(struct val *v, struct buf *out)
{
    switch (v->state) {
    case VAL_VALUE: puts_(out, "null"); break;
    case VAL_OPEN1:
    case VAL_OPEN2:
    case VAL_STR:
    case VAL_ESC:
    case VAL_HEX:
    case VAL_QUOTE:
        flush_hi(v, out);
        put(out, '"');
        if (v->key) puts_(out, ":null");
        break;
    case VAL_WORD:
        if (!put_word(v, out)) puts_(out, "null");
        if (v->key) puts_(out, ":null");
        break;
    case VAL_COLON: puts_(out, ":null"); break;
    case VAL_ITEM:
    case VAL_KEY:
    case VAL_NEXT:
    case VAL_END: break;
    }
    while (v->depth > 0) put(out, v->open[--v->depth] == '{' ? '}' : ']');
    v->state = VAL_END;
}

void split_val_cut(struct val *v, struct buf *out)
{
    if (v->state == VAL_WORD && out) {
        if (v->key || v->bare) put(out, '"');
        for (size_t i = 0; i < v->n_word; i++) put_char(v, out, v->word[i]);
    }
    v->state = VAL_END;
}

bool split_val_convert(struct str text, struct buf *out, enum json_kind *kind)
{
    size_t        before = out->n;
    struct val    v;
    enum val_step step = VAL_MORE;

    split_val_init(&v);
    text = str_trim(text);
    for (size_t i = 0; i < text.n; i++) {
        step = split_val_byte(&v, text.p[i], out);
        if (step == VAL_BAD || step == VAL_BACK || (step == VAL_DONE && i + 1 < text.n)) goto bad;
    }
    if (step == VAL_MORE) { // a word ends with the text, and so does an empty string
        if (text.n == 0 || (v.state != VAL_WORD && v.state != VAL_OPEN2) || v.depth) goto bad;
        step = split_val_byte(&v, '\n', out);
        if (step != VAL_BACK) goto bad;
    }
    *kind = v.kind;
    return true;
bad:
    if (out->n > before) out->n = before;
    return false;
}
