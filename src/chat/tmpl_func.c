/* tmpl_func.c - the functions every template can call: Jinja's range, dict, namespace, cycler and
 * joiner, and transformers' raise_exception and strftime_now. */
#include <string.h>
#include <time.h>

#include "chat/tmpl_int.h"

static struct val g_range(struct run *r, struct val self, struct args *a)
{
    int64_t part[3] = { 0, 0, 1 };

    (void)self;
    if (a->n_kw > 0 || a->n_pos < 1 || a->n_pos > 3)
        return tmpl_fail(r, "range takes one to three arguments");
    for (int i = 0; i < a->n_pos; i++) {
        if (a->pos[i].kind == V_UNDEF) return tmpl_fail_undef(r, a->pos[i]);
        if (!tmpl_is_int(a->pos[i]))
            return tmpl_fail(r, "'%s' object cannot be interpreted as an integer",
                             tmpl_type(a->pos[i]));
        part[a->n_pos == 1 ? 1 : i] = tmpl_as_int(a->pos[i]);
    }
    if (part[2] == 0) return tmpl_fail(r, "range() arg 3 must not be zero");

    uint64_t n = 0;
    if (part[2] > 0 && part[0] < part[1])
        n = ((uint64_t)part[1] - (uint64_t)part[0] - 1) / (uint64_t)part[2] + 1;
    if (part[2] < 0 && part[0] > part[1])
        n = ((uint64_t)part[0] - (uint64_t)part[1] - 1) / (0 - (uint64_t)part[2]) + 1;
    if (n > LIM_TMPL_RANGE)
        return tmpl_fail_code(r, ERR_TOO_LARGE, "range of more than %d elements", LIM_TMPL_RANGE);
    struct vrange *g = tmpl_alloc(r, 1, sizeof *g);
    if (!g) return VAL_NONE;
    *g = (struct vrange){ .start = part[0], .stop = part[1], .step = part[2], .n = (size_t)n };
    return (struct val){ .kind = V_RANGE, .u.range = g };
}

static void put_pair(struct run *r, struct val d, struct val pair)
{
    const struct vlist *l = tmpl_elems(r, pair);

    if (r->failed) return;
    if (l->n == 2) tmpl_dict_put(r, d, l->v[0], l->v[1]);
    else tmpl_fail(r, "dict: pairs are wanted");
}

/* dict(mapping or pairs, **names) and namespace() of the same. */
static struct val make_dict(struct run *r, struct args *a, enum val_kind kind)
{
    struct val d = tmpl_dict_new(r, kind);

    if (r->failed) return VAL_NONE;
    if (a->n_pos > 1) return tmpl_fail(r, "dict takes at most one positional argument");
    if (a->n_pos == 1 && a->pos[0].kind == V_DICT) {
        const struct vdict *from = a->pos[0].u.d;
        for (size_t i = 0; i < from->n && !r->failed; i++)
            tmpl_dict_put(r, d, from->e[i].key, from->e[i].v);
    } else if (a->n_pos == 1) {
        const struct vlist *l = tmpl_elems(r, a->pos[0]);
        for (size_t i = 0; i < l->n && !r->failed; i++) put_pair(r, d, l->v[i]);
    }
    for (int i = 0; i < a->n_kw && !r->failed; i++)
        tmpl_dict_put(r, d, tmpl_str_new(r, a->kw[i].name, !a->kw[i].client), a->kw[i].v);
    return d;
}

static struct val g_dict(struct run *r, struct val self, struct args *a)
{
    (void)self;
    return make_dict(r, a, V_DICT);
}

static struct val g_namespace(struct run *r, struct val self, struct args *a)
{
    (void)self;
    return make_dict(r, a, V_NS);
}

static struct val g_cycler(struct run *r, struct val self, struct args *a)
{
    struct val c = tmpl_list_new(r, V_CYCLER, 0);

    (void)self;
    if (a->n_pos == 0 || a->n_kw > 0) return tmpl_fail(r, "at least one item has to be provided");
    for (int i = 0; i < a->n_pos && !r->failed; i++) tmpl_list_put(r, c, a->pos[i]);
    return c;
}

static struct val g_joiner(struct run *r, struct val self, struct args *a)
{
    struct vjoiner *j = tmpl_alloc(r, 1, sizeof *j);

    (void)self;
    if (!j) return VAL_NONE;
    j->sep = a->pos[0].kind == V_MISSING ? tmpl_str_c(r, ", ") : a->pos[0];
    return (struct val){ .kind = V_JOINER, .u.joiner = j };
}

/* The client's fault, in the template's own words. */
static struct val g_raise(struct run *r, struct val self, struct args *a)
{
    (void)self;
    struct val s = tmpl_str(r, a->pos[0]);
    if (r->failed) return VAL_NONE;
    r->failed = true;
    r->raised = true;
    char text[ERR_MSG_MAX];
    err_set(r->e, ERR_BAD_REQUEST, "%s", str_copy_z(text, sizeof text, s.u.s->text));
    return VAL_NONE;
}

/* ISO 8601 week of the year, and the year it belongs to. */
static int iso_week(const struct tm *t, int *year)
{
    int wday = (t->tm_wday + 6) % 7; // Monday is 0
    int week = (t->tm_yday - wday + 10) / 7;
    int y    = t->tm_year + 1900;

    if (week < 1) {
        int before = y - 1,
            days   = (before % 4 == 0 && before % 100 != 0) || before % 400 == 0 ? 366 : 365;
        *year      = before;
        return (t->tm_yday + days - wday + 10) / 7;
    }
    int days = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 366 : 365;
    bool next = week == 53 && t->tm_yday - wday + 3 >= days; // its Thursday is in January
    *year     = next ? y + 1 : y;
    return next ? 1 : week;
}

static const char *const weekdays[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday" };
static const char *const months[]   = { "January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December" };

/* What several directives stand for, in the C locale. */
static const char *expansion(char c)
{
    switch (c) {
    case 'c': return "%a %b %e %H:%M:%S %Y";
    case 'D':
    case 'x': return "%m/%d/%y";
    case 'F': return "%Y-%m-%d";
    case 'r': return "%I:%M:%S %p";
    case 'R': return "%H:%M";
    case 'T':
    case 'X': return "%H:%M:%S";
    default: return NULL;
    }
}

/* The number a directive shows, its width and how it is padded; false when it shows none. */
static bool time_number(const struct tm *t, char c, int *v, int *width, char *pad)
{
    int year = t->tm_year + 1900, iso_year, week = iso_week(t, &iso_year);

    *width = 2;
    *pad   = '0';
    switch (c) {
    case 'C': *v = year / 100; return true;
    case 'd': *v = t->tm_mday; return true;
    case 'e': *v = t->tm_mday, *pad = ' '; return true;
    case 'g': *v = iso_year % 100; return true;
    case 'G': *v = iso_year, *width = 1; return true;
    case 'H': *v = t->tm_hour; return true;
    case 'I': *v = (t->tm_hour + 11) % 12 + 1; return true;
    case 'j': *v = t->tm_yday + 1, *width = 3; return true;
    case 'k': *v = t->tm_hour, *pad = ' '; return true;
    case 'l': *v = (t->tm_hour + 11) % 12 + 1, *pad = ' '; return true;
    case 'm': *v = t->tm_mon + 1; return true;
    case 'M': *v = t->tm_min; return true;
    case 'S': *v = t->tm_sec; return true;
    case 'u': *v = (t->tm_wday + 6) % 7 + 1, *width = 1; return true;
    case 'U': *v = (t->tm_yday + 7 - t->tm_wday) / 7; return true;
    case 'V': *v = week; return true;
    case 'w': *v = t->tm_wday, *width = 1; return true;
    case 'W': *v = (t->tm_yday + 7 - (t->tm_wday + 6) % 7) / 7; return true;
    case 'y': *v = year % 100; return true;
    case 'Y': *v = year, *width = 1; return true;
    default: return false;
    }
}

static const char *time_word(const struct tm *t, char c)
{
    switch (c) {
    case 'a': case 'A': return weekdays[t->tm_wday];
    case 'b': case 'B': case 'h': return months[t->tm_mon];
    case 'p': return t->tm_hour < 12 ? "AM" : "PM";
    case 'P': return t->tm_hour < 12 ? "am" : "pm";
    case 'n': return "\n";
    case 't': return "\t";
    case '%': return "%";
    case 'f': return "000000"; // the clock counts seconds
    case 'z': case 'Z': return ""; // a time without a zone has none to show
    default: return NULL;
    }
}

/* Append one directive, %X with an optional flag ('-' no padding, '_' blanks, '0' zeros, '^'
 * capitals). */
static bool put_time(struct sb *b, const struct tm *t, char flag, char c)
{
    char        text[32], pad;
    int         v, width;
    const char *more = expansion(c), *word = time_word(t, c);

    for (; more && *more; more++) {
        if (*more == '%') put_time(b, t, 0, *++more);
        else tmpl_sb_put(b, (struct str){ more, 1 }, true);
    }
    if (expansion(c)) return true;
    if (word) {
        struct str s = str_c(word);
        if (c == 'a' || c == 'b' || c == 'h') s.n = 3;
        for (size_t i = 0; i < s.n; i++) {
            char ch = s.p[i];
            if (flag == '^' && ch >= 'a' && ch <= 'z') ch = (char)(ch - 32);
            tmpl_sb_put(b, (struct str){ &ch, 1 }, true);
        }
        return true;
    }
    if (!time_number(t, c, &v, &width, &pad)) return false;
    if (flag == '_') pad = ' ';
    if (flag == '0') pad = '0';
    if (flag == '-') width = 1;
    snprintf(text, sizeof text, pad == '0' ? "%0*d" : "%*d", width, v);
    tmpl_sb_put(b, str_c(text), true);
    return true;
}

static struct val g_strftime_now(struct run *r, struct val self, struct args *a)
{
    struct sb b;
    struct tm t;
    time_t    now = (time_t)r->now_s;

    (void)self;
    if (a->pos[0].kind != V_STR) return tmpl_fail(r, "strftime_now: a format is wanted");
    if (!gmtime_r(&now, &t)) return tmpl_fail(r, "strftime_now: the clock is out of range");
    const struct vstr *f = a->pos[0].u.s;
    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    for (size_t at = 0; at < f->text.n && tmpl_step(r, 1);) {
        if (f->text.p[at] != '%') {
            tmpl_sb_sub(&b, f, at, at + 1);
            at++;
            continue;
        }
        size_t end  = at + 1;
        char   flag = end < f->text.n && f->text.p[end] && strchr("-_0^", f->text.p[end])
                          ? f->text.p[end++]
                          : 0;
        char   c    = end < f->text.n ? f->text.p[end] : 0;
        if (!put_time(&b, &t, flag, c))
            return tmpl_fail(r, "strftime_now: '%%%c' is not supported", c >= ' ' ? c : '?');
        at = end + 1;
    }
    return tmpl_sb_end(&b);
}

static const struct fn funcs[] = {
    { "range", g_range, NULL, 0 },
    { "dict", g_dict, NULL, 0 },
    { "namespace", g_namespace, NULL, 0 },
    { "cycler", g_cycler, NULL, 0 },
    { "joiner", g_joiner, "sep", 0 },
    { "raise_exception", g_raise, "message", 1 },
    { "strftime_now", g_strftime_now, "format", 1 },
};

const struct fn *tmpl_funcs(size_t *n)
{
    *n = ARRAY_LEN(funcs);
    return funcs;
}
