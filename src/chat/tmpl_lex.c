/* tmpl_lex.c - template text to tokens.
 *
 * Three modes, as in Jinja: text up to the next tag; inside a block {% %}; inside a variable {{ }}.
 * Comments and raw blocks are settled here. Blanks around tags follow trim_blocks (a newline right
 * after a block or comment goes), lstrip_blocks (blanks between a line's start and a block or
 * comment go), and the marks "-" (all blanks on that side go) and "+" (none do).
 *
 *     text   {%-   if x   %}\n   text        the dash eats "   " before, trim_blocks the "\n"
 * behind
 */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "chat/tmpl_int.h"

struct lexer {
    struct str     s;
    size_t         at;
    int            line;
    bool           line_start; // what was consumed last ended a line
    struct arena  *a;
    struct tokens *out;
    struct err    *e;
    char           open[LIM_TMPL_DEPTH]; // brackets still open in this tag
    int            n_open;
};

static int fail(struct lexer *x, const char *what)
{
    return err_set(x->e, ERR_BAD_FILE, "line %d: %s", x->line, what);
}

static int put(struct lexer *x, struct token t)
{
    struct tokens *o = x->out;

    if (mem_grow(&o->t, &o->cap, o->n + 1, sizeof *o->t, LIM_TMPL_BYTES + 16) < 0)
        return err_nomem(x->e, "reading a template");
    o->t[o->n++] = t;
    return 0;
}

static bool looking_at(const struct lexer *x, size_t at, const char *z)
{
    return str_starts(str_from(x->s, at), str_c(z));
}

/* Bytes of the blank at `at`, 0 when there is none. */
static size_t blank_at(struct str s, size_t at)
{
    uint32_t cp = 0;
    int      n  = utf8_decode(str_from(s, at), &cp);

    return n > 0 && tmpl_cp_space(cp) ? (size_t)n : 0;
}

static size_t skip_blanks(struct str s, size_t at)
{
    for (size_t n; (n = blank_at(s, at)) > 0;) at += n;
    return at;
}

/* s without blanks at its end. */
static struct str trim_end(struct str s)
{
    size_t keep = 0;

    for (size_t at = 0; at < s.n;) {
        size_t n = blank_at(s, at);
        if (n == 0) n = tmpl_char_len(str_from(s, at)), keep = at + n;
        at += n;
    }
    return str_sub(s, 0, keep);
}

static void advance(struct lexer *x, size_t to)
{
    for (size_t i = x->at; i < to; i++)
        if (x->s.p[i] == '\n') x->line++;
    if (to > x->at) x->line_start = x->s.p[to - 1] == '\n';
    x->at = to;
}

/* Emit the text from x->at to `end`, where a tag with this sign ('-', '+' or 0) begins. */
static int put_text(struct lexer *x, size_t end, char sign, bool lstrip)
{
    struct str text = str_sub(x->s, x->at, end - x->at);

    if (sign == '-') {
        text = trim_end(text);
    } else if (sign != '+' && lstrip) {
        size_t from = text.n;
        while (from > 0 && text.p[from - 1] != '\n') from--;
        if ((from > 0 || x->line_start) && skip_blanks(text, from) == text.n) text.n = from;
    }
    if (text.n == 0) return 0;
    return put(x, (struct token){ .kind = T_DATA, .line = x->line, .text = text });
}

static char sign_at(const struct lexer *x, size_t at)
{
    return at < x->s.n && (x->s.p[at] == '-' || x->s.p[at] == '+') ? x->s.p[at] : 0;
}

/* Where a block or comment that ends with `close` ("%}", "#}") at `at` ends, blanks it eats
 * included; 0 when it does not end here. */
static size_t tag_end(const struct lexer *x, size_t at, const char *close)
{
    if (looking_at(x, at, "+") && looking_at(x, at + 1, close)) return at + 3;
    if (looking_at(x, at, "-") && looking_at(x, at + 1, close)) return skip_blanks(x->s, at + 3);
    if (!looking_at(x, at, close)) return 0;
    at += 2;
    return at < x->s.n && x->s.p[at] == '\n' ? at + 1 : at;
}

static int lex_comment(struct lexer *x)
{
    for (size_t at = x->at; at < x->s.n; at++) {
        size_t end = tag_end(x, at, "#}");
        if (end) {
            advance(x, end);
            return 0;
        }
    }
    return fail(x, "missing end of comment tag");
}

/* If a tag {% NAME %} begins at `at`: where it ends, else 0. The sign at its head goes to *sign. */
static size_t word_tag(const struct lexer *x, size_t at, const char *name, bool trims, char *sign)
{
    if (!looking_at(x, at, "{%")) return 0;
    at += 2;
    *sign = sign_at(x, at);
    if (*sign) at++;
    at = skip_blanks(x->s, at);
    if (!looking_at(x, at, name)) return 0;
    at = skip_blanks(x->s, at + strlen(name));
    if (trims) return tag_end(x, at, "%}");
    if (looking_at(x, at, "-%}")) return skip_blanks(x->s, at + 3);
    return looking_at(x, at, "%}") ? at + 2 : 0;
}

static int lex_raw(struct lexer *x)
{
    char sign = 0;

    for (size_t at = x->at; at < x->s.n; at++) {
        size_t end = word_tag(x, at, "endraw", true, &sign);
        if (!end) continue;
        int rc = put_text(x, at, sign, true);
        advance(x, end);
        return rc;
    }
    return fail(x, "missing end of raw directive");
}

/* --- inside tags --- */

static int hex_digits(struct str s, size_t at, int n, uint32_t *ret)
{
    *ret = 0;
    for (int i = 0; i < n; i++) {
        if (at + (size_t)i >= s.n) return -1;
        char c = s.p[at + (size_t)i];
        int  d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0) return -1;
        *ret = *ret * 16 + (uint32_t)d;
    }
    return 0;
}

/* The character of the escape at s[*at] (behind the backslash). Returns 1 for a code point, 0 for
 * nothing (a joined line), -1 for an unknown escape, which stays as it is, -2 for a broken one. */
static int escape_at(struct str s, size_t *at, uint32_t *cp)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char              c      = s.p[*at];
    const char       *known  = strchr(from, c);

    if (c == '\n') return (*at)++, 0;
    if (c && known) {
        *cp = (uint32_t)(unsigned char)to[known - from];
        return (*at)++, 1;
    }
    if (c >= '0' && c <= '7') {
        *cp = 0;
        for (int i = 0; i < 3 && *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '7'; i++)
            *cp = *cp * 8 + (uint32_t)(s.p[(*at)++] - '0');
        return 1;
    }
    int n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n == 0) return c == 'N' ? -2 : -1;
    if (hex_digits(s, *at + 1, n, cp) < 0) return -2;
    *at += (size_t)n + 1;
    return *cp > 0x10FFFF ? -2 : 1;
}

/* The text of a string literal, s being what is between its quotes. */
static int unescape(struct lexer *x, struct str s, struct str *ret)
{
    char *p =
        arena_alloc(x->a, s.n * 2 + UTF8_MAX); // the longest growth: \1 is two bytes, U+FFFD three
    size_t n = 0;

    if (!p) return err_nomem(x->e, "reading a template");
    for (size_t at = 0; at < s.n;) {
        uint32_t cp = 0;
        if (s.p[at] != '\\') {
            p[n++] = s.p[at++];
            continue;
        }
        at++;
        int known = at < s.n ? escape_at(s, &at, &cp) : -2;
        if (known == -2) return fail(x, "broken escape in a string");
        if (known == -1) p[n++] = '\\';
        if (known <= 0) continue;
        uint32_t low;
        if (cp >= 0xD800 && cp < 0xDC00 && at + 1 < s.n && s.p[at] == '\\' && s.p[at + 1] == 'u' &&
            hex_digits(s, at + 2, 4, &low) == 0 && low >= 0xDC00 && low < 0xE000) {
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
            at += 6;
        }
        if (cp >= 0xD800 && cp < 0xE000) return fail(x, "lone surrogate in a string");
        n += (size_t)utf8_encode(cp, p + n);
    }
    *ret = (struct str){ p, n };
    return 0;
}

static int lex_string(struct lexer *x)
{
    char   quote = x->s.p[x->at];
    size_t end   = x->at + 1;

    while (end < x->s.n && x->s.p[end] != quote) end += x->s.p[end] == '\\' ? 2 : 1;
    if (end >= x->s.n) return fail(x, "string without an end");

    struct token t = { .kind = T_STRING, .line = x->line };
    if (unescape(x, str_sub(x->s, x->at + 1, end - x->at - 1), &t.text) < 0)
        return -(int)x->e->code;
    advance(x, end + 1);
    return put(x, t);
}

static bool is_digit(const struct lexer *x, size_t at)
{
    return at < x->s.n && x->s.p[at] >= '0' && x->s.p[at] <= '9';
}

/* Behind the digits at `at`, which single underscores may separate. */
static size_t skip_digits(const struct lexer *x, size_t at)
{
    while (is_digit(x, at) || (at < x->s.n && x->s.p[at] == '_' && is_digit(x, at + 1))) at++;
    return at;
}

/* Behind the float at x->at, or 0 when it is none: digits with a fraction, an exponent, or both. */
static size_t float_end(const struct lexer *x)
{
    size_t at = skip_digits(x, x->at), end = 0;

    if (x->at > 0 && x->s.p[x->at - 1] == '.') return 0;
    if (looking_at(x, at, ".") && is_digit(x, at + 1)) at = end = skip_digits(x, at + 1);
    if (looking_at(x, at, "e") || looking_at(x, at, "E")) {
        at++;
        if (looking_at(x, at, "+") || looking_at(x, at, "-")) at++;
        if (is_digit(x, at)) end = skip_digits(x, at);
    }
    return end;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

static int lex_number(struct lexer *x)
{
    struct token t   = { .line = x->line };
    size_t       end = float_end(x);
    char         digits[512];
    size_t       n = 0;

    if (end) {
        for (size_t i = x->at; i < end; i++) {
            if (x->s.p[i] != '_' && n < sizeof digits) digits[n++] = x->s.p[i];
        }
        t.kind = T_FLOAT;
        if (n == sizeof digits || !str_to_f64((struct str){ digits, n }, &t.f))
            return fail(x, "number out of range");
        advance(x, end);
        return put(x, t);
    }

    int  base = 10;
    char mark = x->at + 1 < x->s.n ? (char)(x->s.p[x->at + 1] | 0x20) : 0;
    end       = x->at;
    if (x->s.p[end] == '0' && (mark == 'x' || mark == 'o' || mark == 'b')) {
        int b = mark == 'x' ? 16 : mark == 'o' ? 8 : 2;
        size_t first = end + 2 < x->s.n && x->s.p[end + 2] == '_' ? end + 3 : end + 2;
        if (first < x->s.n && digit_value(x->s.p[first]) < b) {
            base = b;
            end += 2;
        }
    }
    t.kind = T_INT;
    bool zeros =
        base == 10 && x->s.p[end] == '0'; // "007" is the number 00 and then 7: Jinja's rule
    while (end < x->s.n) {
        size_t next = end + (x->s.p[end] == '_' ? 1 : 0);
        if (next >= x->s.n || digit_value(x->s.p[next]) >= (zeros ? 1 : base)) break;
        if (__builtin_mul_overflow(t.i, base, &t.i) ||
            __builtin_add_overflow(t.i, digit_value(x->s.p[next]), &t.i))
            return fail(x, "integer beyond 64 bits");
        end = next + 1;
    }
    advance(x, end);
    return put(x, t);
}

static const struct {
    const char      *text;
    enum token_kind  kind;
} operators[] = { // the longest first
    { "//", T_FLOORDIV }, { "**", T_POW },      { "==", T_EQ },       { "!=", T_NE },
    { ">=", T_GE },       { "<=", T_LE },       { "+", T_ADD },       { "-", T_SUB },
    { "*", T_MUL },       { "/", T_DIV },       { "%", T_MOD },       { "~", T_TILDE },
    { "[", T_LBRACKET },  { "]", T_RBRACKET },  { "(", T_LPAREN },    { ")", T_RPAREN },
    { "{", T_LBRACE },    { "}", T_RBRACE },    { ">", T_GT },        { "<", T_LT },
    { "=", T_ASSIGN },    { ".", T_DOT },       { ":", T_COLON },     { "|", T_PIPE },
    { ",", T_COMMA },     { ";", T_SEMICOLON },
};

static int lex_operator(struct lexer *x)
{
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        if (!looking_at(x, x->at, operators[i].text)) continue;

        char c = operators[i].text[0];
        if (c == '(' || c == '[' || c == '{') {
            if (x->n_open == LIM_TMPL_DEPTH) return fail(x, "brackets are nested too deeply");
            x->open[x->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
        } else if (c == ')' || c == ']' || c == '}') {
            if (x->n_open == 0 || x->open[--x->n_open] != c)
                return fail(x, "unexpected closing bracket");
        }
        int rc = put(x, (struct token){ .kind = operators[i].kind, .line = x->line,
                                        .text = str_c(operators[i].text) });
        advance(x, x->at + strlen(operators[i].text));
        return rc;
    }
    char quoted[16];
    str_quote(quoted, sizeof quoted, str_sub(x->s, x->at, tmpl_char_len(str_from(x->s, x->at))));
    return err_set(x->e, ERR_BAD_FILE, "line %d: unexpected character '%s'", x->line, quoted);
}

/* Behind the name at `at`; `at` itself when none begins there. */
static size_t name_end(struct str s, size_t at)
{
    for (bool first = true;; first = false) {
        uint32_t cp = 0;
        int      n  = utf8_decode(str_from(s, at), &cp);
        if (n <= 0 || !tmpl_cp_ident(cp, first)) return at;
        at += (size_t)n;
    }
}

/* The tag whose opening was just consumed, up to its end. */
static int lex_tag(struct lexer *x, bool block)
{
    x->n_open = 0;
    while (x->at < x->s.n) {
        size_t end = 0;
        int    rc  = 0;
        if (x->n_open == 0 && block) {
            end = tag_end(x, x->at, "%}");
        } else if (x->n_open == 0) {
            if (looking_at(x, x->at, "-}}")) end = skip_blanks(x->s, x->at + 3);
            if (looking_at(x, x->at, "}}")) end = x->at + 2;
        }
        if (end) {
            rc = put(x, (struct token){ .kind = block ? T_BLOCK_END : T_VAR_END, .line = x->line });
            advance(x, end);
            return rc;
        }

        end = name_end(x->s, x->at);
        if (blank_at(x->s, x->at)) {
            advance(x, skip_blanks(x->s, x->at));
        } else if (is_digit(x, x->at)) {
            rc = lex_number(x);
        } else if (end > x->at) {
            rc = put(x, (struct token){ .kind = T_NAME, .line = x->line,
                                        .text = str_sub(x->s, x->at, end - x->at) });
            advance(x, end);
        } else if (x->s.p[x->at] == '\'' || x->s.p[x->at] == '"') {
            rc = lex_string(x);
        } else {
            rc = lex_operator(x);
        }
        if (rc < 0) return rc;
    }
    return fail(x, "tag without an end");
}

/* The text from here to the next tag, and that tag. */
static int lex_text(struct lexer *x)
{
    size_t at = x->at;

    while (at + 1 < x->s.n &&
           !(x->s.p[at] == '{' && strchr("%{#", x->s.p[at + 1]) && x->s.p[at + 1]))
        at++;
    if (at + 1 >= x->s.n) {
        int rc = put_text(x, x->s.n, '+', false);
        advance(x, x->s.n);
        return rc;
    }

    char   what = x->s.p[at + 1], sign = sign_at(x, at + 2);
    size_t raw = word_tag(x, at, "raw", false, &sign);
    if (!raw) sign = sign_at(x, at + 2);
    if (put_text(x, at, sign, what != '{') < 0) return -(int)x->e->code;
    if (raw) {
        advance(x, raw);
        return lex_raw(x);
    }
    advance(x, at + 2 + (sign ? 1 : 0));
    if (what == '#') return lex_comment(x);

    bool block = what == '%';
    int rc = put(x, (struct token){ .kind = block ? T_BLOCK_BEGIN : T_VAR_BEGIN, .line = x->line });
    return rc < 0 ? rc : lex_tag(x, block);
}

int tmpl_lex(struct str text, struct arena *a, struct tokens *ret, struct err *e)
{
    struct lexer x = { .s = text, .line = 1, .line_start = true, .a = a, .out = ret, .e = e };

    while (x.at < text.n) {
        int rc = lex_text(&x);
        if (rc < 0) return rc;
    }
    return put(&x, (struct token){ .kind = T_EOF, .line = x.line });
}

const char *tmpl_token_name(enum token_kind k)
{
    switch (k) {
    case T_EOF: return "end of template";
    case T_DATA: return "text";
    case T_BLOCK_BEGIN: return "{%";
    case T_BLOCK_END: return "%}";
    case T_VAR_BEGIN: return "{{";
    case T_VAR_END: return "}}";
    case T_NAME: return "a name";
    case T_STRING: return "a string";
    case T_INT:
    case T_FLOAT: return "a number";
    case T_ADD: case T_SUB: case T_MUL: case T_DIV: case T_FLOORDIV: case T_MOD: case T_POW:
    case T_TILDE:
    case T_LBRACKET: case T_RBRACKET: case T_LPAREN: case T_RPAREN: case T_LBRACE: case T_RBRACE:
    case T_EQ: case T_NE: case T_GT: case T_GE: case T_LT: case T_LE: case T_ASSIGN: case T_DOT:
    case T_COLON: case T_PIPE: case T_COMMA: case T_SEMICOLON: break;
    }
    for (size_t i = 0; i < ARRAY_LEN(operators); i++)
        if (operators[i].kind == k) return operators[i].text;
    return "?";
}
