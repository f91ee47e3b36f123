/* tmpl_fmt.c - "%s and %d" % values, and "{} and {name}".format(...).
 *
 * Literal text keeps its author, and so do strings that are put in unchanged; whatever is padded or
 * cut keeps it, too. Widths are bounded by the length a string may have.
 */
#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "chat/tmpl_int.h"

/* How one value is to be written: what both languages have in common. */
struct spec {
    struct str fill;   // one character
    bool       client; // who chose it
    char       align; // '<', '>', '^', '=' or 0
    char       sign;  // '+', ' ' or 0
    bool       alt;   // '#'
    char       group; // ',' or '_' or 0
    int64_t    width;
    int64_t    prec; // -1: not given
    char       type; // 0: not given
};

/* A number's text: sign, prefix, digits. Long enough for %f of the largest double with 17 more
 * digits. */
#define DIGITS_MAX 512
#define PREC_MAX   128

static void put_padded(struct sb *b, const struct spec *sp, const struct vstr *body, char def_align,
                       size_t n_sign)
{
    struct vstr copy  = *body;
    int64_t     n     = (int64_t)tmpl_n_char(&copy), pad = sp->width > n ? sp->width - n : 0;
    char        align = sp->align ? sp->align : def_align;
    int64_t     left  = align == '>' ? pad : align == '^' ? pad / 2 : 0;

    if (align == '=') {
        tmpl_sb_sub(b, body, 0, n_sign);
        tmpl_sb_fill(b, sp->fill, (size_t)pad, !sp->client);
        tmpl_sb_sub(b, body, n_sign, body->text.n);
        return;
    }
    tmpl_sb_fill(b, sp->fill, (size_t)left, !sp->client);
    tmpl_sb_str(b, body);
    tmpl_sb_fill(b, sp->fill, (size_t)(pad - left), !sp->client);
}

static void put_text(struct sb *b, const struct spec *sp, struct vstr *s, char def_align)
{
    struct run *r = b->r;
    struct val  v = { .kind = V_STR, .u.s = s };

    if (sp->prec >= 0 && (uint64_t)sp->prec < tmpl_n_char(s))
        v = tmpl_str_sub(r, s, 0, tmpl_char_at(s, (size_t)sp->prec));
    if (!r->failed) put_padded(b, sp, v.u.s, def_align, 0);
}

/* Put `sep` between groups of digits: of the part of text[from..] that ends at the first non-digit.
 */
static size_t group_digits(char *text, size_t n, size_t from, char sep, size_t every)
{
    size_t end = from, at = 0;
    char   out[DIGITS_MAX * 2];

    while (end < n && ((text[end] >= '0' && text[end] <= '9') ||
                       (text[end] >= 'a' && text[end] <= 'f' && every == 4)))
        end++;
    for (size_t i = from; i < end; i++) {
        if (i > from && (end - i) % every == 0) out[at++] = sep;
        out[at++] = text[i];
    }
    memcpy(out + at, text + end, n - end);
    at += n - end;
    memcpy(text + from, out, at);
    return from + at;
}

static void put_number(struct sb *b, const struct spec *sp, const char *digits, size_t n,
                       bool negative, const char *prefix, size_t every)
{
    char   text[DIGITS_MAX * 2 + 8];
    size_t at = 0;

    if (negative) text[at++] = '-';
    else if (sp->sign) text[at++] = sp->sign;
    for (const char *p = prefix; *p; p++) text[at++] = *p;
    size_t n_sign = at;
    memcpy(text + at, digits, n);
    at += n;
    if (sp->group) at = group_digits(text, at, n_sign, sp->group, every);
    struct vstr s = { .text = { text, at }, .trust = TRUST_ALL, .n_char = at };
    put_padded(b, sp, &s, '>', n_sign);
}

static void put_int(struct sb *b, const struct spec *sp, int64_t i, char type, bool old_style)
{
    char        digits[80];
    size_t      n     = sizeof digits;
    uint64_t    u     = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    unsigned    base  = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    const char *alpha = type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    const char *prefix = !sp->alt || base == 10 ? ""
                         : type == 'x'          ? "0x"
                         : type == 'X'          ? "0X"
                         : type == 'o'          ? "0o"
                                                : "0b";

    if (old_style && sp->prec >= (int64_t)sizeof digits) {
        tmpl_fail(b->r, "precision above %zu", sizeof digits - 1);
        return;
    }
    do digits[--n] = alpha[u % base]; while ((u /= base) > 0);
    if (old_style) // %.5d: at least five digits
        while ((int64_t)(sizeof digits - n) < sp->prec && n > 0) digits[--n] = '0';
    put_number(b, sp, digits + n, sizeof digits - n, i < 0, prefix, base == 10 ? 3 : 4);
}

static void put_float(struct sb *b, const struct spec *sp, double f, char type)
{
    char    digits[DIGITS_MAX];
    int     prec = sp->prec < 0 ? 6 : sp->prec > PREC_MAX ? PREC_MAX : (int)sp->prec;
    double  a    = fabs(f);
    size_t  n;

    if (sp->prec > PREC_MAX) {
        tmpl_fail(b->r, "precision above %d", PREC_MAX);
        return;
    }
    if (isnan(f) || isinf(f)) {
        bool upper = type == 'F' || type == 'E' || type == 'G';
        put_number(b, sp,
                   isnan(f) ? (upper ? "NAN" : "nan")
                   : upper  ? "INF"
                            : "inf",
                   3, f < 0, "", 3);
        return;
    }
    if (type == '%') a *= 100;
    switch (type) {
    case 'e':
        n = (size_t)snprintf(digits, sizeof digits, sp->alt ? "%#.*e" : "%.*e", prec, a);
        break;
    case 'E':
        n = (size_t)snprintf(digits, sizeof digits, sp->alt ? "%#.*E" : "%.*E", prec, a);
        break;
    case 'g':
    case 'n':
        n = (size_t)snprintf(digits, sizeof digits, sp->alt ? "%#.*g" : "%.*g", prec, a);
        break;
    case 'G':
        n = (size_t)snprintf(digits, sizeof digits, sp->alt ? "%#.*G" : "%.*G", prec, a);
        break;
    case 0: // format() without a type: repr, or %g that always shows it is a float
        if (sp->prec < 0) {
            n = tmpl_float_text(a, digits);
        } else {
            n = (size_t)snprintf(digits, sizeof digits, "%.*g", prec ? prec : 1, a);
            if (!memchr(digits, '.', n) && !memchr(digits, 'e', n))
                n += (size_t)snprintf(digits + n, 3, ".0");
        }
        break;
    default:
        n = (size_t)snprintf(digits, sizeof digits, sp->alt ? "%#.*f" : "%.*f", prec, a);
        break;
    }
    if (type == '%') digits[n++] = '%';
    put_number(b, sp, digits, n, signbit(f) != 0, "", 3);
}

/* --- % --- */

struct percent {
    struct run        *r;
    const struct vstr *fmt;
    size_t             at;
    struct val         arg;
    const struct vlist *tuple; // NULL: arg is the only one
    size_t             next;
    struct sb          b;
};

static bool digit(struct str s, size_t at)
{
    return at < s.n && s.p[at] >= '0' && s.p[at] <= '9';
}

static int64_t number(struct run *r, struct str s, size_t *at)
{
    int64_t v = 0;

    for (; digit(s, *at); (*at)++) {
        v = v * 10 + (s.p[*at] - '0');
        if (v > (int64_t)LIM_TMPL_STR_BYTES) {
            tmpl_fail_code(r, ERR_TOO_LARGE, "a width or precision exceeds %zu",
                           LIM_TMPL_STR_BYTES);
            return 0;
        }
    }
    return v;
}

static struct val next_arg(struct percent *p)
{
    if (!p->tuple && p->next++ == 0) return p->arg;
    if (p->tuple && p->next < p->tuple->n) return p->tuple->v[p->next++];
    return tmpl_fail(p->r, "not enough arguments for format string");
}

static int64_t star_or_number(struct percent *p)
{
    if (p->at < p->fmt->text.n && p->fmt->text.p[p->at] == '*') {
        p->at++;
        struct val v = next_arg(p);
        if (!p->r->failed && (!tmpl_is_int(v) || tmpl_as_int(v) > (int64_t)LIM_TMPL_STR_BYTES ||
                              tmpl_as_int(v) < -(int64_t)LIM_TMPL_STR_BYTES))
            tmpl_fail(p->r, "* wants an int");
        return p->r->failed ? 0 : tmpl_as_int(v);
    }
    return number(p->r, p->fmt->text, &p->at);
}

static void percent_value(struct percent *p, struct spec *sp, struct val v)
{
    struct run *r = p->r;
    char        quoted[8];

    switch (sp->type) {
    case 's':
    case 'r':
    case 'a': {
        struct val s = sp->type == 's' ? tmpl_str(r, v) : tmpl_repr(r, v);
        sp->fill = STR(" ");
        if (sp->align == '=') sp->align = '>';
        if (r->failed) return;
        put_text(&p->b, sp, s.u.s, '>');
        return;
    }
    case 'c':
        if (v.kind == V_STR && tmpl_n_char(v.u.s) == 1) {
            put_text(&p->b, sp, v.u.s, '>');
            return;
        }
        if (tmpl_is_int(v)) {
            struct args a = { .pos = &v, .n_pos = 1 };
            struct vstr one = { .text = STR("{:c}"), .trust = TRUST_ALL, .n_char = 4 };
            struct val c = tmpl_format(r, &one, &a);
            if (!r->failed) put_text(&p->b, sp, c.u.s, '>');
            return;
        }
        tmpl_fail(r, "%%c requires int or char");
        return;
    case 'd': case 'i': case 'u': case 'x': case 'X': case 'o':
        if (v.kind == V_FLOAT && (sp->type == 'd' || sp->type == 'i' || sp->type == 'u') &&
            fabs(v.u.f) < 9.2e18)
            v = tmpl_int((int64_t)v.u.f);
        if (v.kind == V_UNDEF) tmpl_fail_undef(r, v);
        else if (!tmpl_is_int(v))
            tmpl_fail(r, "%%%c format: a real number is required, not %s", sp->type, tmpl_type(v));
        else put_int(&p->b, sp, tmpl_as_int(v), sp->type, true);
        return;
    case 'e': case 'E': case 'f': case 'F': case 'g': case 'G':
        if (v.kind == V_UNDEF) tmpl_fail_undef(r, v);
        else if (!tmpl_is_num(v)) tmpl_fail(r, "must be real number, not %s", tmpl_type(v));
        else put_float(&p->b, sp, tmpl_as_float(v), sp->type);
        return;
    default:
        str_quote(quoted, sizeof quoted, (struct str){ &sp->type, 1 });
        tmpl_fail(r, "unsupported format character '%s'", quoted);
    }
}

/* One conversion, p->at being behind its %. */
static void percent_one(struct percent *p)
{
    struct str  f    = p->fmt->text;
    struct spec sp   = { .fill = STR(" "), .prec = -1 };
    struct val  v    = VAL_MISSING;
    bool        left = false, zero = false;

    if (p->at < f.n && f.p[p->at] == '(') {
        size_t end = str_find_byte(str_from(f, p->at), ')');
        if (end == SIZE_MAX) {
            tmpl_fail(p->r, "incomplete format key");
            return;
        }
        struct val key = tmpl_str_new(p->r, str_sub(f, p->at + 1, end - 1), true);
        if (p->arg.kind != V_DICT) tmpl_fail(p->r, "format requires a mapping");
        else v = tmpl_dict_get(p->r, p->arg, key);
        if (v.kind == V_MISSING) tmpl_fail(p->r, "format key is not in the mapping");
        p->at += end + 1;
    }
    for (; p->at < f.n && strchr("-+ #0", f.p[p->at]) && f.p[p->at]; p->at++) {
        char c = f.p[p->at];
        left |= c == '-';
        zero |= c == '0';
        sp.alt |= c == '#';
        if (c == '+' || (c == ' ' && !sp.sign)) sp.sign = c;
    }
    sp.width = star_or_number(p);
    if (sp.width < 0) left = true, sp.width = -sp.width;
    if (p->at < f.n && f.p[p->at] == '.') {
        p->at++;
        sp.prec = star_or_number(p);
        if (sp.prec < 0) sp.prec = 0;
    }
    while (p->at < f.n && (f.p[p->at] == 'h' || f.p[p->at] == 'l' || f.p[p->at] == 'L')) p->at++;
    if (p->at >= f.n) tmpl_fail(p->r, "incomplete format");
    if (p->r->failed) return;
    sp.type  = f.p[p->at++];
    sp.align = left ? '<' : zero ? '=' : '>';
    if (zero && !left) sp.fill = STR("0");
    if (sp.type == '%') {
        tmpl_sb_put(&p->b, STR("%"), true);
        return;
    }
    if (v.kind == V_MISSING) v = next_arg(p);
    if (!p->r->failed) percent_value(p, &sp, v);
}

struct val tmpl_percent(struct run *r, const struct vstr *fmt, struct val arg)
{
    struct percent p = {
        .r = r, .fmt = fmt, .arg = arg, .tuple = arg.kind == V_TUPLE ? arg.u.l : NULL
    };

    tmpl_sb_init(&p.b, r, LIM_TMPL_STR_BYTES);
    while (p.at < fmt->text.n && tmpl_step(r, 1)) {
        size_t mark = str_find_byte(str_from(fmt->text, p.at), '%');
        size_t end  = mark == SIZE_MAX ? fmt->text.n : p.at + mark;
        tmpl_sb_sub(&p.b, fmt, p.at, end);
        p.at = end;
        if (mark == SIZE_MAX) break;
        p.at++;
        percent_one(&p);
    }
    /* what can be indexed may be there for %(name)s only; Python then does not count */
    bool indexable =
        arg.kind == V_DICT || arg.kind == V_LIST || arg.kind == V_RANGE || arg.kind == V_UNDEF;
    if (!r->failed && !indexable && p.next < (p.tuple ? p.tuple->n : 1))
        return tmpl_fail(r, "not all arguments converted during string formatting");
    return tmpl_str_markup(r, tmpl_sb_end(&p.b), fmt->markup);
}

/* --- format --- */

struct formatter {
    struct run        *r;
    const struct vstr *fmt;
    struct args       *a;
    struct sb          b;
    int64_t           *autonum; // next {}, -1 when they are numbered by hand
};

static struct val format_text(struct run *r, const struct vstr *fmt, struct args *a,
                              int64_t *autonum);

static bool parse_spec(struct run *r, struct str s, struct spec *sp)
{
    size_t at = 0, n = s.n ? tmpl_char_len(s) : 0;

    *sp = (struct spec){ .fill = STR(" "), .prec = -1 };
    if (n > 0 && n < s.n && strchr("<>=^", s.p[n])) {
        sp->fill  = str_sub(s, 0, n);
        sp->align = s.p[n];
        at        = n + 1;
    } else if (n > 0 && strchr("<>=^", s.p[0]) && s.p[0]) {
        sp->align = s.p[0];
        at        = 1;
    }
    if (at < s.n && (s.p[at] == '+' || s.p[at] == '-' || s.p[at] == ' '))
        sp->sign = s.p[at] == '-' ? 0 : s.p[at], at++;
    if (at < s.n && s.p[at] == '#') sp->alt = true, at++;
    if (at < s.n && s.p[at] == '0') {
        if (!sp->align) sp->align = '=', sp->fill = STR("0");
        at++;
    }
    sp->width = number(r, s, &at);
    if (at < s.n && (s.p[at] == ',' || s.p[at] == '_')) sp->group = s.p[at++];
    if (at < s.n && s.p[at] == '.') {
        at++;
        if (!digit(s, at)) return false;
        sp->prec = number(r, s, &at);
    }
    if (at < s.n) sp->type = s.p[at++];
    return at == s.n && !r->failed;
}

static void format_value(struct formatter *f, struct val v, struct str text, bool client)
{
    struct run *r = f->r;
    struct spec sp;

    if (text.n == 0) {
        tmpl_put_str(&f->b, v);
        return;
    }
    if (!parse_spec(r, text, &sp)) {
        tmpl_fail(r, "invalid format specifier");
        return;
    }
    sp.client = client;
    char t = sp.type;
    if (v.kind == V_STR && (sp.sign || sp.alt || sp.group)) {
        tmpl_fail(r, "sign, # and , are not for strings");
        return;
    }
    if (tmpl_is_int(v) && sp.prec >= 0 && (t == 0 || strchr("cdxXobn", t))) {
        tmpl_fail(r, "Precision not allowed in integer format specifier");
        return;
    }
    if (v.kind == V_STR && (t == 0 || t == 's') && sp.align != '=') {
        put_text(&f->b, &sp, v.u.s, '<');
    } else if (tmpl_is_int(v) && (v.kind == V_INT || t) && t == 'c') {
        char     utf8[4];
        int64_t  i = tmpl_as_int(v);
        uint32_t cp = i >= 0 && i <= 0x10FFFF && (i < 0xD800 || i > 0xDFFF) ? (uint32_t)i : 0xFFFD;
        struct vstr s  = { .text   = { utf8, (size_t)utf8_encode(cp, utf8) },
                           .trust  = TRUST_NONE,
                           .n_char = 1 };
        put_padded(&f->b, &sp, &s, '<', 0);
    } else if (tmpl_is_int(v) && (t == 0 || t == 'n' || strchr("dxXob", t))) {
        put_int(&f->b, &sp, tmpl_as_int(v), t, false);
    } else if (tmpl_is_num(v) && (t == 0 || strchr("eEfFgGn%", t))) {
        put_float(&f->b, &sp, tmpl_as_float(v), t);
    } else if (v.kind == V_STR || tmpl_is_num(v)) {
        tmpl_fail(r, "unknown format code '%c' for object of type '%s'", t ? t : sp.align,
                  tmpl_type(v));
    } else {
        tmpl_fail(r, "unsupported format string passed to %s.__format__", tmpl_type(v));
    }
}

/* "name.attr[key]" or "0[1]" to its value. */
static struct val field_value(struct formatter *f, struct str name)
{
    struct run *r   = f->r;
    size_t      end = 0;
    struct val  v   = VAL_MISSING;
    int64_t     i   = -1;

    while (end < name.n && name.p[end] != '.' && name.p[end] != '[') end++;
    struct str first = str_sub(name, 0, end);
    if (first.n == 0) {
        if (*f->autonum < 0)
            return tmpl_fail(
                r, "cannot switch from manual field specification to automatic field numbering");
        i = (*f->autonum)++;
    } else if (str_to_i64(first, &i) && i >= 0) {
        if (*f->autonum > 0)
            return tmpl_fail(
                r, "cannot switch from automatic field numbering to manual field specification");
        *f->autonum = -1;
    } else {
        i = -1;
        for (int k = 0; k < f->a->n_kw; k++)
            if (str_eq(f->a->kw[k].name, first)) v = f->a->kw[k].v;
        if (v.kind == V_MISSING) return tmpl_fail(r, "format: no argument of that name");
    }
    if (i >= f->a->n_pos)
        return tmpl_fail(r, "Replacement index %lld out of range for positional args tuple",
                         (long long)i);
    if (i >= 0) v = f->a->pos[i];

    while (end < name.n && !r->failed && tmpl_step(r, 1)) {
        size_t from = end + 1;
        if (name.p[end] == '.') {
            for (end = from; end < name.n && name.p[end] != '.' && name.p[end] != '[';) end++;
            v = tmpl_attr(r, v, str_sub(name, from, end - from));
            continue;
        }
        size_t close = str_find_byte(str_from(name, from), ']');
        if (close == SIZE_MAX) return tmpl_fail(r, "expected ']' before end of string");
        struct str key = str_sub(name, from, close);
        int64_t    n;
        v   = tmpl_item(r, v, str_to_i64(key, &n) ? tmpl_int(n) : tmpl_str_new(r, key, true));
        end = from + close + 1;
        if (end < name.n && name.p[end] != '.' && name.p[end] != '[')
            return tmpl_fail(r, "Only '.' or '[' may follow ']' in format field specifier");
    }
    return v;
}

/* One {field}, `at` being behind its brace; returns behind the closing one. A spec may hold fields.
 */
static size_t format_field(struct formatter *f, size_t at)
{
    struct run *r = f->r;
    struct str  t = f->fmt->text;
    size_t      end = at, name_end;
    char        conv = 0;
    int         depth = 1;

    for (; end < t.n; end++) {
        if (t.p[end] == '{') depth++;
        if (t.p[end] == '}' && --depth == 0) break;
    }
    if (end >= t.n) {
        tmpl_fail(r, "expected '}' before end of string");
        return t.n;
    }
    if (!tmpl_step(r, TMPL_BYTES(end - at))) return t.n;
    struct str field = str_sub(t, at, end - at);
    name_end         = 0;
    for (bool in = false; name_end < field.n; name_end++) {
        char c = field.p[name_end];
        if (c == '[') in = true;
        if (c == ']') in = false;
        if (!in && (c == ':' || c == '!')) break;
    }
    struct val v = field_value(f, str_sub(field, 0, name_end));
    if (name_end < field.n && field.p[name_end] == '!') {
        conv = name_end + 1 < field.n ? field.p[name_end + 1] : 0;
        name_end += 2;
        if ((conv != 'r' && conv != 's' && conv != 'a') ||
            (name_end < field.n && field.p[name_end] != ':'))
            tmpl_fail(r, "unknown conversion specifier");
    }
    if (r->failed) return t.n;
    if (conv) v = conv == 's' ? tmpl_str(r, v) : tmpl_repr(r, v);

    struct str spec   = str_from(field, name_end + 1);
    bool       client = !tmpl_trusted(f->fmt);
    if (str_find_byte(spec, '{') != SIZE_MAX) { // {:{width}}: once, as Python allows two levels
        struct vstr s = { .text = spec, .trust = client ? TRUST_NONE : TRUST_ALL,
                          .n_char = SIZE_MAX };
        if (!tmpl_step(r, 16) || ++r->depth > LIM_TMPL_EVAL)
            tmpl_fail(r, "Max string recursion exceeded");
        struct val done = format_text(r, &s, f->a, f->autonum);
        r->depth--;
        if (r->failed) return t.n;
        spec   = done.u.s->text;
        client = !tmpl_trusted(done.u.s);
    }
    if (!r->failed) format_value(f, v, spec, client);
    return end + 1;
}

static struct val format_text(struct run *r, const struct vstr *fmt, struct args *a,
                              int64_t *autonum)
{
    struct formatter f = { .r = r, .fmt = fmt, .a = a, .autonum = autonum };
    struct str       t = fmt->text;
    size_t           from = 0;

    tmpl_sb_init(&f.b, r, LIM_TMPL_STR_BYTES);
    for (size_t at = 0; at < t.n && tmpl_step(r, 1);) {
        if (t.p[at] != '{' && t.p[at] != '}') {
            at++;
            continue;
        }
        tmpl_sb_sub(&f.b, fmt, from, at);
        if (at + 1 < t.n && t.p[at + 1] == t.p[at]) { // doubled: itself
            tmpl_sb_sub(&f.b, fmt, at, at + 1);
            at += 2;
        } else if (t.p[at] == '}') {
            return tmpl_fail(r, "Single '}' encountered in format string");
        } else {
            at = format_field(&f, at + 1);
        }
        from = at;
    }
    tmpl_sb_sub(&f.b, fmt, from, t.n);
    return tmpl_str_markup(r, tmpl_sb_end(&f.b), fmt->markup);
}

struct val tmpl_format(struct run *r, const struct vstr *fmt, struct args *a)
{
    int64_t autonum = 0;

    return format_text(r, fmt, a, &autonum);
}
