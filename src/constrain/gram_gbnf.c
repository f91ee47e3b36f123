/* gram_gbnf.c - grammars as llama.cpp's users write them.
 *
 *     root ::= "- " item+            # rules; the text begins with `root`
 *     item ::= [a-z ]{1,20} "\n" | . "x"?
 *
 * A rule ends with its line, unless a group is open or the line ended in ::= or |. Names are letters,
 * digits, - and _. Escapes: \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH. Source: the format's description in
 * llama.cpp's documentation, and what its users' grammars hold.
 */
#include "constrain/gram_int.h"

#include <string.h>

#include "base/utf8.h"

struct gb {
    struct gram *g;
    struct str   text;
    size_t       at;
    int          depth;
    struct gb_name {
        struct str name;
        size_t     used_at; // where it was first used, for a message
    }  *name; // [g->n_rule]
    int cap_name;
};

static struct gram_node *bad(struct gb *b, const char *what)
{
    int  line = 1;
    char q[LIM_QUOTE_BYTES];

    for (size_t i = 0; i < b->at && i < b->text.n; i++) line += b->text.p[i] == '\n';
    return gram_fail(b->g, ERR_INVALID_VALUE, "line %d of the grammar: %s, at \"%s\"", line, what,
                     str_quote(q, 32, str_sub(b->text, b->at, 24)));
}

static int peek(const struct gb *b)
{
    return b->at < b->text.n ? (unsigned char)b->text.p[b->at] : -1;
}

static void skip(struct gb *b, bool lines)
{
    for (;; b->at++) {
        int c = peek(b);
        if (c == '#')
            while (peek(b) >= 0 && peek(b) != '\n' && peek(b) != '\r') b->at++;
        c = peek(b);
        if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r'))) return;
    }
}

static bool name_char(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static struct str word(struct gb *b)
{
    size_t from = b->at;

    while (name_char(peek(b))) b->at++;
    return str_sub(b->text, from, b->at - from);
}

/* The rule of a name, made at its first use. */
static int rule_of(struct gb *b, struct str name)
{
    for (int i = 0; i < b->g->n_rule; i++)
        if (str_eq(b->name[i].name, name)) return i;
    if (b->g->n_rule >= LIM_CONSTRAIN_RULES) {
        gram_fail(b->g, ERR_INVALID_VALUE, "the grammar has more than %d rules", LIM_CONSTRAIN_RULES);
        return -1;
    }
    if (b->g->n_rule == b->cap_name) {
        int             cap  = b->cap_name ? b->cap_name * 2 : 32;
        struct gb_name *more = arena_array(b->g->a, (size_t)cap, sizeof *more);
        if (!more) {
            gram_fail(b->g, ERR_NO_MEMORY, "out of memory while building a grammar");
            return -1;
        }
        if (b->cap_name) memcpy(more, b->name, (size_t)b->cap_name * sizeof *more);
        b->name     = more;
        b->cap_name = cap;
    }
    int rule = gram_rule_new(b->g);
    if (rule >= 0) b->name[rule] = (struct gb_name){ name, b->at };
    return rule;
}

static int hex_digit(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* One character of a literal or class, escaped or not. False after a failure. */
static bool character(struct gb *b, uint32_t *ret)
{
    int c = peek(b), n_hex;

    if (c == '\\') {
        b->at++;
        c = peek(b);
        b->at++;
        switch (c) {
        case 'n': *ret = '\n'; return true;
        case 'r': *ret = '\r'; return true;
        case 't': *ret = '\t'; return true;
        case '\\':
        case '"':
        case '[':
        case ']':
        case '^':
        case '-':
        case '\'': *ret = (uint32_t)c; return true;
        case 'x': n_hex = 2; break;
        case 'u': n_hex = 4; break;
        case 'U': n_hex = 8; break;
        default: b->at -= c >= 0; return bad(b, "no such escape") != NULL;
        }
        *ret = 0;
        for (int i = 0; i < n_hex; i++, b->at++) {
            if (hex_digit(peek(b)) < 0) return bad(b, "a digit of the escape is missing") != NULL;
            *ret = *ret << 4 | (uint32_t)hex_digit(peek(b));
        }
        return *ret <= 0x10FFFF || bad(b, "there is no such character") != NULL;
    }
    int n = utf8_decode(str_from(b->text, b->at), ret);
    if (n <= 0) return bad(b, n ? "a byte that is not UTF-8" : "the grammar ends too early") != NULL;
    b->at += (size_t)n;
    return true;
}

static struct gram_node *literal(struct gb *b)
{
    struct buf out;

    buf_init(&out, LIM_CONSTRAIN_TEXT);
    b->at++;
    while (peek(b) != '"' && b->g->rc == 0) {
        uint32_t cp;
        char     u[UTF8_MAX];
        if (peek(b) == '\n') bad(b, "a literal has no end");
        else if (character(b, &cp))
            buf_put(&out, u, (size_t)utf8_encode(cp >= 0xD800 && cp < 0xE000 ? 0xFFFD : cp, u));
    }
    b->at++;
    return gram_buf(b->g, &out);
}

static struct gram_node *set(struct gb *b)
{
    struct gram_range r[LIM_CONSTRAIN_RANGES];
    int               n = 0;
    bool              negate;

    b->at++;
    negate = peek(b) == '^';
    b->at += negate;
    while (peek(b) != ']') {
        if (n == LIM_CONSTRAIN_RANGES) return bad(b, "a set has too many parts");
        if (!character(b, &r[n].lo)) return NULL;
        r[n].hi = r[n].lo;
        if (peek(b) == '-' && b->at + 1 < b->text.n && b->text.p[b->at + 1] != ']') {
            b->at++;
            if (!character(b, &r[n].hi)) return NULL;
            if (r[n].hi < r[n].lo) return bad(b, "a range ends before it begins");
        }
        n++;
    }
    b->at++;
    return gram_class(b->g, r, n, negate);
}

static bool number(struct gb *b, int *ret)
{
    int64_t n = -1;

    for (; peek(b) >= '0' && peek(b) <= '9'; b->at++) {
        n = (n < 0 ? 0 : n) * 10 + (peek(b) - '0');
        if (n > LIM_CONSTRAIN_REPEAT)
            return bad(b, "a repetition is above the limit") != NULL;
    }
    *ret = (int)n;
    return n >= 0;
}

/* What stands behind an item: * + ? {m} {m,} {m,n} */
static struct gram_node *repeated(struct gb *b, struct gram_node *x)
{
    int min = 0, max = 0;

    switch (peek(b)) {
    case '*': min = 0, max = GRAM_INF; break;
    case '+': min = 1, max = GRAM_INF; break;
    case '?': min = 0, max = 1; break;
    case '{':
        b->at++;
        skip(b, false);
        if (!number(b, &min)) return bad(b, "a repetition has no least number");
        max = min;
        skip(b, false);
        if (peek(b) == ',') {
            b->at++;
            skip(b, false);
            if (peek(b) == '}') max = GRAM_INF;
            else if (!number(b, &max)) return bad(b, "a repetition has no number behind its comma");
        }
        skip(b, false);
        if (peek(b) != '}') return bad(b, "a repetition is not closed");
        if (max != GRAM_INF && max < min) return bad(b, "a repetition ends below its beginning");
        break;
    default: return x;
    }
    b->at++;
    skip(b, b->depth > 0);
    int c = peek(b);
    if (c == '*' || c == '+' || c == '?' || c == '{')
        return bad(b, "a repetition of a repetition; put ( ) around it");
    return gram_rep(b->g, x, min, max);
}

static struct gram_node *alternatives(struct gb *b);

static struct gram_node *item(struct gb *b)
{
    int               c = peek(b);
    struct gram_node *x;

    if (c == '"') {
        x = literal(b);
    } else if (c == '[') {
        x = set(b);
    } else if (c == '.') {
        b->at++;
        x = gram_class(b->g, NULL, 0, true);
    } else if (c == '(') {
        if (++b->depth > LIM_CONSTRAIN_DEPTH) return bad(b, "groups are nested too deep");
        b->at++;
        skip(b, true);
        x = alternatives(b);
        b->depth--;
        if (b->g->rc == 0 && peek(b) != ')') return bad(b, "a group is not closed");
        b->at++;
    } else {
        x = gram_rule(b->g, rule_of(b, word(b)));
    }
    if (b->g->rc < 0) return NULL;
    skip(b, b->depth > 0);
    return repeated(b, x);
}

static struct gram_node *alternatives(struct gb *b)
{
    struct gram_list all = { 0 };

    for (;;) {
        struct gram_list seq = { 0 };
        while (b->g->rc == 0) {
            int c = peek(b);
            if (c != '"' && c != '[' && c != '(' && c != '.' && !name_char(c)) break;
            gram_push(b->g, &seq, item(b));
        }
        if (b->g->rc < 0) return NULL;
        gram_push(b->g, &all, seq.n ? gram_seq(b->g, seq.v, seq.n) : gram_empty(b->g));
        bool empty = seq.n == 0;
        if (peek(b) != '|') {
            if (empty && all.n == 1) return bad(b, "nothing stands here");
            return gram_alt(b->g, all.v, all.n);
        }
        b->at++;
        skip(b, true);
    }
}

static void rule(struct gb *b)
{
    struct str name = word(b);

    if (name.n == 0) {
        bad(b, "a rule's name is expected");
        return;
    }
    skip(b, false);
    if (!str_starts(str_from(b->text, b->at), STR("::="))) {
        bad(b, "::= is expected");
        return;
    }
    b->at += 3;
    skip(b, true);
    int i = rule_of(b, name);
    if (i >= 0 && b->g->rule[i]) {
        bad(b, "this rule is there twice");
        return;
    }
    gram_rule_set(b->g, i, alternatives(b));
    if (b->g->rc == 0 && peek(b) >= 0 && peek(b) != '\n' && peek(b) != '\r') bad(b, "this is not understood");
}

struct gram_node *gram_gbnf(struct gram *g, struct str text)
{
    struct gb b = { .g = g, .text = text };
    char      q[LIM_QUOTE_BYTES];
    int       root = -1;

    for (skip(&b, true); b.at < text.n && g->rc == 0; skip(&b, true)) rule(&b);
    for (int i = 0; i < g->n_rule && g->rc == 0; i++) {
        if (str_eq(b.name[i].name, STR("root"))) root = i;
        b.at = b.name[i].used_at;
        if (!g->rule[i])
            gram_fail(g, ERR_INVALID_VALUE, "the grammar uses the rule \"%s\" but does not have it",
                      str_quote(q, sizeof q, b.name[i].name));
    }
    if (g->rc == 0 && root < 0) gram_fail(g, ERR_INVALID_VALUE, "the grammar has no rule \"root\"");
    return gram_rule(g, root);
}
