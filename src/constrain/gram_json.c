/* gram_json.c - JSON's own grammar (RFC 8259), written compactly or with single spaces.
 *
 * Numbers are short enough that every reader takes them: 18 digits before the point, 17 behind it, an
 * exponent of two. Strings have no lone surrogates, and \u only where it means a character.
 */
#include "constrain/gram_int.h"

#include <string.h>

#include "base/utf8.h"
#include "json/json.h"

struct gram_node *gram_sp(struct gram *g)
{
    return GRAM_OPT(g, gram_z(g, " "));
}

static struct gram_node *one_of(struct gram *g, const char *z)
{
    struct gram_range r[16];
    int               n = 0;

    for (; *z && n < 16; z++) r[n++] = (struct gram_range){ (unsigned char)*z, (unsigned char)*z };
    return gram_class(g, r, n, false);
}

static struct gram_node *span(struct gram *g, char lo, char hi)
{
    struct gram_range r = { (unsigned char)lo, (unsigned char)hi };
    return gram_class(g, &r, 1, false);
}

static struct gram_node *hex(struct gram *g)
{
    static const struct gram_range r[] = { { '0', '9' }, { 'a', 'f' }, { 'A', 'F' } };
    return gram_class(g, r, 3, false);
}

/* One character of a string, escaped or not. */
static struct gram_node *json_char(struct gram *g)
{
    static const struct gram_range bad[] = { { 0, 0x1F }, { '"', '"' }, { '\\', '\\' } };
    static const struct gram_range no_d[] = {
        { '0', '9' }, { 'a', 'c' }, { 'e', 'f' }, { 'A', 'C' }, { 'E', 'F' }
    };
    struct gram_node *bmp = GRAM_ALT(g, GRAM_SEQ(g, gram_class(g, no_d, 5, false), hex(g)),
                                     GRAM_SEQ(g, one_of(g, "dD"), span(g, '0', '7')));
    struct gram_node *pair =
        GRAM_SEQ(g, one_of(g, "dD"), one_of(g, "89abAB"), gram_rep(g, hex(g), 2, 2), gram_z(g, "\\u"),
                 one_of(g, "dD"), one_of(g, "cdefCDEF"), gram_rep(g, hex(g), 2, 2));
    struct gram_node *code = GRAM_ALT(g, GRAM_SEQ(g, bmp, gram_rep(g, hex(g), 2, 2)), pair);

    return GRAM_ALT(g, gram_class(g, bad, 3, true),
                    GRAM_SEQ(g, gram_z(g, "\\"),
                             GRAM_ALT(g, one_of(g, "\"\\/bfnrt"), GRAM_SEQ(g, gram_z(g, "u"), code))));
}

struct gram_node *gram_json_string(struct gram *g, int n_min, int n_max)
{
    /* 0 to 1 and the like become other operations than the counting one: they are rare */
    struct gram_node *rep = gram_rep(g, gram_json(g, SHARED_CHAR), n_min, n_max);

    if (rep && rep->kind == GRAM_REP) {
        /* the characters stand in the repetition itself: pda_mask looks for them there */
        rep->kid[0] = g->rule[g->shared[SHARED_CHAR]];
        rep->plain  = true;
    }
    return GRAM_SEQ(g, gram_z(g, "\""), rep, gram_z(g, "\""));
}

static struct gram_node *integer(struct gram *g)
{
    return GRAM_SEQ(
        g, GRAM_OPT(g, gram_z(g, "-")),
        GRAM_ALT(g, gram_z(g, "0"), GRAM_SEQ(g, span(g, '1', '9'), gram_rep(g, span(g, '0', '9'), 0, 17))));
}

static struct gram_node *number(struct gram *g)
{
    return GRAM_SEQ(g, integer(g),
                    GRAM_OPT(g, GRAM_SEQ(g, gram_z(g, "."), gram_rep(g, span(g, '0', '9'), 1, 17))),
                    GRAM_OPT(g, GRAM_SEQ(g, one_of(g, "eE"), GRAM_OPT(g, one_of(g, "+-")),
                                         gram_rep(g, span(g, '0', '9'), 1, 2))));
}

/* [ head... rest* ]; the first n_head_min of head must be there, n_min .. n_max in all. */
struct gram_node *gram_json_list(struct gram *g, struct gram_node *const *head, int n_head, int n_head_min,
                                 struct gram_node *rest, int n_min, int n_max)
{
    struct gram_node *comma = GRAM_SEQ(g, gram_z(g, ","), gram_sp(g)), *body;

    if (rest && rest->kind != GRAM_RULE) { // it is used twice: once as a rule, or nests would double each time
        int rule = gram_rule_new(g);
        gram_rule_set(g, rule, rest);
        rest = gram_rule(g, rule);
    }
    if (n_max != GRAM_INF && n_head > n_max) n_head = n_max;
    if (n_min < n_head_min) n_min = n_head_min;
    int more_min = n_min > n_head ? n_min - n_head : 0,
        more_max = n_max == GRAM_INF ? GRAM_INF : n_max - n_head;
    if (!rest && more_min) return gram_never(g);
    if (n_head == 0) {
        if (!rest || more_max == 0) return GRAM_SEQ(g, gram_z(g, "["), gram_sp(g), gram_z(g, "]"));
        int tail_max = more_max == GRAM_INF ? GRAM_INF : more_max - 1;
        body = GRAM_SEQ(g, rest, gram_rep(g, GRAM_SEQ(g, comma, rest), more_min ? more_min - 1 : 0, tail_max));
        if (n_min == 0) body = GRAM_OPT(g, body);
    } else { // from the last one back: head[i] and what follows it
        body =
            rest && more_max != 0 ? gram_rep(g, GRAM_SEQ(g, comma, rest), more_min, more_max) : gram_empty(g);
        for (int i = n_head - 1; i >= 0; i--) {
            body = GRAM_SEQ(g, i ? comma : gram_empty(g), head[i], body);
            if (i >= n_min) body = GRAM_OPT(g, body);
        }
    }
    return GRAM_SEQ(g, gram_z(g, "["), gram_sp(g), body, gram_sp(g), gram_z(g, "]"));
}

static struct gram_node *object(struct gram *g)
{
    struct gram_node *member =
        GRAM_SEQ(g, gram_json(g, SHARED_STRING), gram_z(g, ":"), gram_sp(g), gram_json(g, SHARED_VALUE));
    struct gram_node *more = gram_rep(g, GRAM_SEQ(g, gram_z(g, ","), gram_sp(g), member), 0, GRAM_INF);

    return GRAM_SEQ(g, gram_z(g, "{"), gram_sp(g), GRAM_OPT(g, GRAM_SEQ(g, member, more)), gram_sp(g),
                    gram_z(g, "}"));
}

struct gram_node *gram_json(struct gram *g, enum gram_shared what)
{
    if (g->rc < 0) return NULL;
    if (g->shared[what] < 0) {
        int               rule = gram_rule_new(g);
        struct gram_node *x    = NULL;
        if (rule < 0) return NULL;
        g->shared[what] = rule; // first: values hold values
        switch (what) {
        case SHARED_CHAR: x = json_char(g); break;
        case SHARED_ESC: x = GRAM_SEQ(g, gram_z(g, "\\"), one_of(g, "\"\\/bfnrt")); break;
        case SHARED_STRING: x = gram_json_string(g, 0, GRAM_INF); break;
        case SHARED_NUMBER: x = number(g); break;
        case SHARED_INTEGER: x = integer(g); break;
        case SHARED_OBJECT: x = object(g); break;
        case SHARED_ARRAY: x = gram_json_list(g, NULL, 0, 0, gram_json(g, SHARED_VALUE), 0, GRAM_INF); break;
        case SHARED_VALUE:
            x = GRAM_ALT(g, gram_json(g, SHARED_OBJECT), gram_json(g, SHARED_ARRAY),
                         gram_json(g, SHARED_STRING), gram_json(g, SHARED_NUMBER), gram_z(g, "true"),
                         gram_z(g, "false"), gram_z(g, "null"));
            break;
        }
        gram_rule_set(g, rule, x);
    }
    return gram_rule(g, g->shared[what]);
}

/* --- strings with known text --- */

/* Characters of a set inside a string, each written the one way that is usual. */
struct gram_node *gram_json_class(struct gram *g, const struct gram_range *r, int n, bool negate)
{
    struct gram_node *x = gram_class(g, r, n, negate);
    struct gram_list  l = { 0 };
    int               m = 0;

    if (!x || x->kind == GRAM_NEVER) return x;
    for (int i = 0; i < x->n; i++) {
        uint32_t lo = x->range[i].lo, hi = x->range[i].hi;
        for (uint32_t c = lo; c <= hi && c <= '\\'; c++) {
            if (c >= 0x20 && c != '"' && c != '\\') continue;
            struct buf b;
            buf_init(&b, 16);
            json_put_esc(&b, (struct str){ (const char[]){ (char)c }, 1 });
            gram_push(g, &l, gram_buf(g, &b));
        }
    }
    /* the same set without those */
    struct gram_range *w = arena_array(g->a, (size_t)x->n * 3 + 1, sizeof *w);
    if (!w) return gram_fail(g, ERR_NO_MEMORY, "out of memory while building a grammar");
    for (int i = 0; i < x->n; i++) {
        uint32_t lo = x->range[i].lo < 0x20 ? 0x20 : x->range[i].lo, hi = x->range[i].hi;
        static const uint32_t hole[] = { '"', '\\' };
        for (int k = 0; k < 2; k++) {
            if (hole[k] < lo || hole[k] > hi) continue;
            if (hole[k] > lo) w[m++] = (struct gram_range){ lo, hole[k] - 1 };
            lo = hole[k] + 1;
        }
        if (lo <= hi) w[m++] = (struct gram_range){ lo, hi };
    }
    if (m) gram_push(g, &l, gram_class(g, w, m, false));
    return gram_alt(g, l.v, l.n);
}

struct gram_node *gram_json_text(struct gram *g, struct str s)
{
    struct buf b;

    buf_init(&b, LIM_CONSTRAIN_TEXT * 6); // six bytes for one
    json_put_str(&b, s);
    return gram_buf(g, &b);
}

struct gram_node *gram_json_const(struct gram *g, const struct json *v, int depth)
{
    struct gram_list l = { 0 };
    struct buf       b;

    if (depth > LIM_CONSTRAIN_DEPTH)
        return gram_fail(g, ERR_INVALID_VALUE, "a constant is nested more than %d deep", LIM_CONSTRAIN_DEPTH);
    switch (json_kind(v)) {
    case JSON_T_ARR:
        for (size_t i = 0; i < json_len(v); i++) gram_push(g, &l, gram_json_const(g, json_at(v, i), depth + 1));
        return gram_json_list(g, l.v, l.n, l.n, NULL, l.n, l.n);
    case JSON_T_OBJ:
        gram_push(g, &l, gram_z(g, "{"));
        gram_push(g, &l, gram_sp(g));
        for (struct json_it it = json_it(v); json_next(&it);) {
            if (l.n > 2) gram_push(g, &l, GRAM_SEQ(g, gram_z(g, ","), gram_sp(g)));
            gram_push(g, &l, GRAM_SEQ(g, gram_json_text(g, it.key), gram_z(g, ":"), gram_sp(g),
                                      gram_json_const(g, it.val, depth + 1)));
        }
        gram_push(g, &l, gram_sp(g));
        gram_push(g, &l, gram_z(g, "}"));
        return gram_seq(g, l.v, l.n);
    case JSON_T_STR: return gram_json_text(g, json_str(v));
    case JSON_T_NULL:
    case JSON_T_BOOL:
    case JSON_T_INT:
    case JSON_T_REAL: break;
    }
    buf_init(&b, KIB(1));
    json_write(&b, v, JSON_TIGHT);
    return gram_buf(g, &b);
}

/* --- keys --- */

#define KEY_CHARS 256 // of a name that others must differ from: it is a recursion

/* One character other than these, without \u: that could spell one of these. */
static struct gram_node *other_char(struct gram *g, const struct gram_range *r, int n)
{
    struct gram_range *w = arena_array(g->a, (size_t)n + 3, sizeof *w);
    bool               esc = true;

    if (!w) return gram_fail(g, ERR_NO_MEMORY, "out of memory while building a grammar");
    for (int i = 0; i < n; i++) {
        w[i] = r[i];
        esc &= r[i].lo >= 0x20 && r[i].lo != '"' && r[i].lo != '\\' && r[i].lo != '/';
    }
    w[n]     = (struct gram_range){ 0, 0x1F };
    w[n + 1] = (struct gram_range){ '"', '"' };
    w[n + 2] = (struct gram_range){ '\\', '\\' };
    struct gram_node *plain = gram_class(g, w, n + 3, true);
    return esc ? GRAM_ALT(g, plain, gram_json(g, SHARED_ESC)) : plain;
}

/* Strings other than the names that begin with the same `at` characters. */
static struct gram_node *key_not(struct gram *g, const struct str *name, int n, size_t at, int depth)
{
    struct gram_list  l = { 0 };
    struct gram_range r[LIM_CONSTRAIN_RANGES / 2] = { { 0 } };
    bool              ends = false;
    int               n_next = 0;

    if (depth == KEY_CHARS)
        return gram_fail(g, ERR_INVALID_VALUE, "a property's name is longer than %d characters", KEY_CHARS);
    for (int i = 0; i < n;) { // sorted: those with the same next character are neighbours
        uint32_t cp;
        if (name[i].n == at) {
            ends = true;
            i++;
            continue;
        }
        int k = utf8_decode(str_from(name[i], at), &cp), j = i + 1;
        if (k <= 0) return gram_never(g);
        while (j < n && name[j].n >= at + (size_t)k && !memcmp(name[j].p + at, name[i].p + at, (size_t)k)) j++;
        struct gram_range c = { cp, cp };
        gram_push(g, &l,
                  GRAM_SEQ(g, gram_json_class(g, &c, 1, false),
                           key_not(g, name + i, j - i, at + (size_t)k, depth + 1)));
        if (n_next == LIM_CONSTRAIN_RANGES / 2)
            return gram_fail(g, ERR_INVALID_VALUE, "more than %d names differ in one character",
                             LIM_CONSTRAIN_RANGES / 2);
        r[n_next++] = c;
        i = j;
    }
    struct gram_node *free = gram_rep(g, gram_json(g, SHARED_CHAR), 0, GRAM_INF);
    gram_push(g, &l, GRAM_SEQ(g, other_char(g, r, n_next), free));
    if (!ends) gram_push(g, &l, gram_empty(g));
    return gram_alt(g, l.v, l.n);
}

struct gram_node *gram_json_key_not(struct gram *g, const struct str *name, int n)
{
    if (n == 0) return gram_json(g, SHARED_STRING);
    return GRAM_SEQ(g, gram_z(g, "\""), key_not(g, name, n, 0, 0), gram_z(g, "\""));
}
