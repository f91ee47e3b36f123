/* opt.c - parse, print and pass on the options of the table. */
#include "conf/opt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "conf/opt_int.h"
#include "conf/options.h"

#define LIST_MAX LIM_MODELS // values of one list option

static void *field(struct settings *s, const struct opt *o)
{
    return (char *)s + o->offset;
}

static const void *field_const(const struct settings *s, const struct opt *o)
{
    return (const char *)s + o->offset;
}

/* --- values --- */

static bool parse_size(struct str v, int64_t *ret)
{
    static const char unit[] = "KMG";
    int               shift  = 0;
    int64_t           n;

    if (v.n > 1 && v.p[v.n - 1] != 0) {
        const char *u = strchr(unit, v.p[v.n - 1] & ~0x20); // either case
        if (u) {
            shift = 10 * (int)(u - unit + 1);
            v.n--;
        }
    }
    if (!str_to_i64(v, &n) || n < 0 || n > INT64_MAX >> shift) return false;
    *ret = n << shift;
    return true;
}

static int set_number(void *dst, const struct opt *o, struct str v, const char *where, struct err *e)
{
    char    q[LIM_QUOTE_BYTES];
    int64_t n;
    bool    ok = o->type == OPT_SIZE ? parse_size(v, &n) : str_to_i64(v, &n);

    if (!ok)
        return err_set(e, ERR_BAD_CONFIG, "%s: \"%s\" is not %s", where, str_quote(q, sizeof q, v),
                       o->type == OPT_SIZE ? "a size (a number; K, M or G may follow)" : "an integer");
    if (n < o->min || n > o->max)
        return err_set(e, ERR_BAD_CONFIG, "%s: %lld is out of range, %lld to %lld are allowed", where,
                       (long long)n, (long long)o->min, (long long)o->max);
    memcpy(dst, &n, sizeof n);
    return 0;
}

static int set_word(void *dst, const struct opt *o, struct str v, const char *where, struct err *e)
{
    struct str rest = str_c(o->words), word;
    char       q[LIM_QUOTE_BYTES];

    for (int i = 0; str_cut(&rest, '|', &word); i++) {
        if (!str_eq(word, v)) continue;
        memcpy(dst, &i, sizeof i);
        return 0;
    }
    return err_set(e, ERR_BAD_CONFIG, "%s: \"%s\" is not one of %s", where, str_quote(q, sizeof q, v),
                   o->words);
}

static int set_flag(void *dst, struct str v, const char *where, struct err *e)
{
    bool on = str_eq(v, STR("1")) || str_eq(v, STR("true")) || str_eq(v, STR("yes"));
    char q[LIM_QUOTE_BYTES];

    if (!on && !str_eq(v, STR("0")) && !str_eq(v, STR("false")) && !str_eq(v, STR("no")))
        return err_set(e, ERR_BAD_CONFIG, "%s: \"%s\" is not true or false", where,
                       str_quote(q, sizeof q, v));
    memcpy(dst, &on, sizeof on);
    return 0;
}

static int add_item(struct opt_list *l, const char *v, const char *where, struct arena *a, struct err *e)
{
    if (l->n == LIST_MAX)
        return err_set(e, ERR_BAD_CONFIG, "%s: given more than %d times", where, LIST_MAX);
    if ((l->n & (l->n - 1)) == 0) { // full at powers of two
        const char **more = arena_alloc(a, sizeof *more * (size_t)(l->n ? l->n * 2 : 1));
        if (!more) return err_nomem(e, "reading options");
        if (l->n) memcpy(more, l->v, sizeof *more * (size_t)l->n);
        l->v = more;
    }
    l->v[l->n++] = v;
    return 0;
}

/* `where` names the source for messages: "--ctx", "CURLEW_CTX". */
static int set(struct settings *s, const struct opt *o, struct str v, const char *where,
               struct arena *a, struct err *e)
{
    void      *dst = field(s, o);
    struct str copy;

    switch (o->type) {
    case OPT_FLAG: return set_flag(dst, v, where, e);
    case OPT_INT:
    case OPT_SIZE: return set_number(dst, o, v, where, e);
    case OPT_ENUM: return set_word(dst, o, v, where, e);
    case OPT_STR:
    case OPT_LIST: break;
    }
    copy = arena_str(a, v);
    if (!copy.p) return err_nomem(e, "reading options");
    if (o->type == OPT_LIST) return add_item(dst, copy.p, where, a, e);
    memcpy(dst, &copy.p, sizeof copy.p);
    return 0;
}

static int set_defaults(struct settings *s, struct arena *a, struct err *e)
{
    *s = (struct settings){ 0 };
    for (size_t i = 0; i < opt_count; i++) {
        const struct opt *o = &opt_table[i];
        if (!o->def) continue;
        int rc = set(s, o, str_c(o->def), o->name, a, e);
        if (rc < 0) return rc;
    }
    return 0;
}

static void env_name(const struct opt *o, char *dst, size_t size)
{
    size_t n = (size_t)snprintf(dst, size, "CURLEW_%s", o->name);

    for (size_t i = 0; i < n && i < size; i++) {
        if (dst[i] >= 'a' && dst[i] <= 'z') dst[i] = (char)(dst[i] - 'a' + 'A');
        if (dst[i] == '-') dst[i] = '_';
    }
}

/* --- who said it --- */

int opt_begin(struct opt_in *in, struct settings *s, unsigned roles, struct arena *a, struct err *e)
{
    assert(opt_count <= OPTS_MAX);
    *in = (struct opt_in){ .s = s, .roles = roles, .arena = a };
    return set_defaults(s, a, e);
}

enum opt_level opt_level(const struct opt_in *in, const struct opt *o)
{
    return (enum opt_level)in->level[o - opt_table];
}

int opt_put(struct opt_in *in, const struct opt *o, struct str v, enum opt_level level, const char *where,
            struct err *e)
{
    unsigned char *had = &in->level[o - opt_table];

    if (level < *had) { // said by something stronger; a wrong value is told of all the same
        struct settings *scratch = arena_alloc(in->arena, sizeof *scratch);
        if (!scratch) return err_nomem(e, "reading options");
        *scratch = *in->s;
        if (o->type == OPT_LIST) memset(field(scratch, o), 0, sizeof(struct opt_list));
        return set(scratch, o, v, where, in->arena, e);
    }
    if (o->type == OPT_LIST && level > *had) memset(field(in->s, o), 0, sizeof(struct opt_list));
    int rc = set(in->s, o, v, where, in->arena, e);
    if (rc == 0) *had = (unsigned char)level;
    return rc;
}

int opt_env(struct opt_in *in, struct err *e)
{
    for (size_t i = 0; i < opt_count; i++) {
        const struct opt *o = &opt_table[i];
        char              name[64];
        if (!(o->roles & in->roles) || in->level[i] > OPT_ENV) continue;
        env_name(o, name, sizeof name);
        const char *v = getenv(name);
        if (!v || !*v) continue;
        int rc = opt_put(in, o, str_c(v), OPT_ENV, name, e);
        if (rc < 0) return rc;
    }
    return 0;
}

/* --- the command line --- */

/* Edit distance, for "did you mean"; names are short. */
static int distance(struct str a, struct str b)
{
    int row[64];

    if (b.n >= ARRAY_LEN(row)) return 99;
    for (size_t j = 0; j <= b.n; j++) row[j] = (int)j;
    for (size_t i = 1; i <= a.n; i++) {
        int diag = row[0];
        row[0]   = (int)i;
        for (size_t j = 1; j <= b.n; j++) {
            int best = diag + (a.p[i - 1] != b.p[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diag   = row[j];
            row[j] = best;
        }
    }
    return row[b.n];
}

void opt_near_try(struct opt_near *n, struct str name, const char *known)
{
    int d = distance(name, str_c(known));

    if (n->best && d >= n->least) return;
    if (d >= 4 || (size_t)d >= name.n) return; // nothing like it
    n->least = d;
    n->best  = known;
}

void opt_near_rows(struct opt_near *n, struct str name, unsigned roles)
{
    for (size_t i = 0; i < opt_count; i++) {
        if (!(opt_table[i].roles & roles)) continue;
        opt_near_try(n, name, opt_table[i].name);
        if (opt_table[i].also) opt_near_try(n, name, opt_table[i].also);
    }
}

static int unknown(struct str name, unsigned roles, struct err *e)
{
    struct opt_near n = { 0 };
    char            q[LIM_QUOTE_BYTES];

    opt_near_rows(&n, name, roles);
    str_quote(q, sizeof q, name);
    if (n.best)
        return err_set(e, ERR_BAD_CONFIG, "unknown flag --%s; did you mean --%s?", q, n.best);
    return err_set(e, ERR_BAD_CONFIG, "unknown flag --%s; --help lists them", q);
}

const struct opt *opt_by_name(struct str name, unsigned roles)
{
    for (size_t i = 0; i < opt_count; i++) {
        const struct opt *o = &opt_table[i];
        if (!(o->roles & roles)) continue;
        if (str_eq(name, str_c(o->name)) || (o->also && str_eq(name, str_c(o->also)))) return o;
    }
    return NULL;
}

static const struct opt *by_letter(char c, unsigned roles)
{
    for (size_t i = 0; i < opt_count; i++)
        if (opt_table[i].roles & roles && opt_table[i].letter == c) return &opt_table[i];
    return NULL;
}

static bool has_word(const char *words, struct str v)
{
    struct str rest = str_c(words), word;

    while (str_cut(&rest, '|', &word))
        if (str_eq(word, v)) return true;
    return false;
}

int opt_no_effect(struct opt_in *in, const struct compat_row *r, struct str v, struct err *e)
{
    char q[LIM_QUOTE_BYTES];

    if (r->words && !has_word(r->words, v))
        return err_set(e, ERR_BAD_CONFIG, "%s: \"%s\" is not one of %s: %s", r->old, str_quote(q, sizeof q, v), r->words,
                       r->why);
    if (r->refused) return err_set(e, ERR_BAD_CONFIG, "%s: %s", r->old, r->why);
    struct str note = arena_printf(in->arena, "%s has no effect: %s", r->old, r->why);
    return note.p ? add_item(&in->s->note, note.p, r->old, in->arena, e) : err_nomem(e, "reading options");
}

/* One flag at argv[*i]; steps over its value. */
static int parse_flag(struct opt_in *in, int argc, char **argv, int *i, struct err *e)
{
    struct str               arg = str_c(argv[*i]), name = str_from(arg, 2), value = STR_NULL;
    const struct opt        *o;
    const struct compat_row *old = NULL;
    char                     where[80];

    if (arg.p[1] != '-') {
        o = arg.n == 2 ? by_letter(arg.p[1], in->roles) : NULL;
        if (!o) return err_set(e, ERR_BAD_CONFIG, "unknown flag %.40s; --help lists them", arg.p);
    } else {
        size_t eq = str_find_byte(name, '=');
        if (eq != SIZE_MAX) {
            value = str_from(name, eq + 1);
            name  = str_sub(name, 0, eq);
        }
        o = opt_by_name(name, in->roles);
        if (!o) old = compat_flag(in->compat, name);
        if (old && old->opt) o = opt_by_name(str_c(old->opt), in->roles);
        if (!o && !old) return unknown(name, in->roles, e);
    }
    if (!o) {
        if (!value.p && *i + 1 < argc) value = str_c(argv[++*i]);
        return opt_no_effect(in, old, value, e);
    }
    snprintf(where, sizeof where, "--%s", o->name);
    if (o->type == OPT_FLAG && !value.p) return opt_put(in, o, STR("true"), OPT_CLI, where, e);
    if (!value.p) {
        if (*i + 1 >= argc)
            return err_set(e, ERR_BAD_CONFIG, "%s needs a value: %s %s", where, where, o->arg);
        value = str_c(argv[++*i]);
    }
    return opt_put(in, o, value, OPT_CLI, where, e);
}

int opt_flags(struct opt_in *in, int argc, char **argv, const char **rest, int *n_rest, struct err *e)
{
    bool flags = true; // until "--"
    int  max = *n_rest, rc = 0;

    *n_rest = 0;
    for (int i = 0; rc == 0 && i < argc; i++) {
        if (flags && !strcmp(argv[i], "--")) {
            flags = false;
        } else if (flags && argv[i][0] == '-' && argv[i][1]) {
            rc = parse_flag(in, argc, argv, &i, e);
        } else if (*n_rest < max) {
            rest[(*n_rest)++] = argv[i];
        } else {
            char q[LIM_QUOTE_BYTES];
            rc = err_set(e, ERR_BAD_CONFIG, "unexpected argument \"%s\"",
                         str_quote(q, sizeof q, str_c(argv[i])));
        }
    }
    return rc;
}

int opt_parse(struct settings *s, unsigned roles, int argc, char **argv, struct arena *a,
              const char **rest, int *n_rest, struct err *e)
{
    struct opt_in in;
    int           rc = opt_begin(&in, s, roles, a, e);

    if (rc == 0) rc = opt_flags(&in, argc, argv, rest, n_rest, e);
    return rc < 0 ? rc : opt_env(&in, e);
}

/* --- to a child and back: name NUL value NUL ... --- */

void opt_pack_text(struct buf *b, const char *name, struct str value)
{
    buf_put(b, name, strlen(name) + 1);
    buf_str(b, value);
    buf_byte(b, 0);
}

static void pack_one(struct buf *b, const struct opt *o, struct str value)
{
    opt_pack_text(b, o->name, value);
}

void opt_pack_row(struct buf *b, const struct settings *s, const struct opt *o)
{
    const void *src = field_const(s, o);
    char        text[32];

    switch (o->type) {
    case OPT_FLAG: pack_one(b, o, *(const bool *)src ? STR("true") : STR("false")); break;
    case OPT_INT:
    case OPT_SIZE:
        snprintf(text, sizeof text, "%lld", (long long)*(const int64_t *)src);
        pack_one(b, o, str_c(text));
        break;
    case OPT_ENUM: {
        struct str rest = str_c(o->words), word = STR_NULL;
        for (int n = *(const int *)src; n >= 0; n--) str_cut(&rest, '|', &word);
        pack_one(b, o, word);
        break;
    }
    case OPT_STR: {
        const char *v = *(const char *const *)src;
        if (v) pack_one(b, o, str_c(v));
        break;
    }
    case OPT_LIST: {
        const struct opt_list *l = src;
        for (int k = 0; k < l->n; k++) pack_one(b, o, str_c(l->v[k]));
        break;
    }
    }
}

void opt_pack(struct buf *b, const struct settings *s, unsigned role)
{
    for (size_t i = 0; i < opt_count; i++)
        if (opt_table[i].roles & role) opt_pack_row(b, s, &opt_table[i]);
}

int opt_unpack(struct str text, struct settings *s, unsigned role, struct arena *a, struct err *e)
{
    struct str name, value;
    int        rc = set_defaults(s, a, e);

    if (text.n && text.p[text.n - 1] == 0) text.n--; // the last NUL ends, the others part
    else if (text.n) return err_set(e, ERR_PROTOCOL, "settings do not end in NUL");
    if (text.n == 0) return rc;
    while (rc == 0 && str_cut(&text, 0, &name)) {
        const struct opt *o = opt_by_name(name, role);
        if (!o || !str_cut(&text, 0, &value)) return err_set(e, ERR_PROTOCOL, "settings are malformed");
        rc = set(s, o, value, o->name, a, e);
    }
    return rc;
}

/* --- for people --- */

static void wrap(struct buf *b, const char *text, int indent, int width)
{
    struct str rest = str_c(text), word;
    int        col  = 0;

    while (str_cut(&rest, ' ', &word)) {
        if (col + (int)word.n > width) {
            buf_printf(b, "\n%*s", indent, "");
            col = 0;
        } else if (col) {
            buf_byte(b, ' ');
        }
        buf_str(b, word);
        col += (int)word.n + 1;
    }
    buf_byte(b, '\n');
}

void opt_help(struct buf *b, unsigned roles)
{
    for (size_t i = 0; i < opt_count; i++) {
        const struct opt *o = &opt_table[i];
        char              left[64];
        char              letter[5] = "    ";
        if (!(o->roles & roles)) continue;
        if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s %s", letter, o->name, o->arg ? o->arg : "");
        buf_printf(b, "  %-28s ", left);
        wrap(b, o->help, 31, 66);
        if (o->words) buf_printf(b, "%31sOne of %s.\n", "", o->words);
        if (o->def && strcmp(o->def, "0") != 0) buf_printf(b, "%31sDefault: %s.\n", "", o->def);
    }
}

/* The commands that have an option, in the order of `curlew help`. */
static void put_commands(struct buf *b, unsigned roles)
{
    static const struct {
        unsigned    role;
        const char *name;
    } command[] = {
        { OPT_SERVE, "serve" }, { OPT_RUN, "run" }, { OPT_SHOW, "show" }, { OPT_BENCH, "bench" },
        { OPT_TOKENIZE, "tokenize" }, { OPT_TEMPLATE, "template" }, { OPT_SPLIT, "split" },
        { OPT_TOK_SERVER, "tokenizer-server" }, { OPT_DOCTOR, "doctor" },
    };

    for (size_t i = 0; i < ARRAY_LEN(command); i++)
        if (roles & command[i].role) buf_printf(b, "%s ", command[i].name);
}

void opt_markdown(struct buf *b)
{
    buf_str(b, STR("# Options\n\n"
                   "Made by `curlew help --markdown` from the table in src/conf/options.c; a test fails when this\n"
                   "page is stale. A flag wins over the environment, the environment over the configuration file (config.md),\n"
                   "that over the default.\n\n"
                   "| flag | environment | default | commands | meaning |\n|---|---|---|---|---|\n"));
    for (size_t i = 0; i < opt_count; i++) {
        const struct opt *o = &opt_table[i];
        char              env[64];
        env_name(o, env, sizeof env);
        buf_printf(b, "| `--%s%s%s` | `%s` | %s | ", o->name, o->arg ? " " : "", o->arg ? o->arg : "", env,
                   o->def ? o->def : "");
        put_commands(b, o->roles);
        buf_printf(b, "| %s%s%s |\n", o->help, o->words ? " One of: " : "", o->words ? o->words : "");
    }
}
