/* conf.c - flags, environment and file onto the table of options, the stronger over the weaker. */
#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "conf/compat.h"
#include "conf/conf_yaml.h"
#include "conf/opt_int.h"
#include "conf/place.h"
#include "os/fd.h"

#define WHERE_MAX 400 // "FILE:LINE:COLUMN: KEY"

struct load {
    struct opt_in     in;
    const char       *file;   // that was read, or NULL
    struct str        folder; // of the file, with its '/' at the end; empty: the current one
    struct conf_yaml *root;   // or NULL
    enum compat_who   compat;
    struct buf       *errors; // or NULL
    struct err        first;  // of those in `errors`
};

/* --- before all else: which file, and in whose place --- */

/* The value that a flag has on the command line or in the environment; NULL when it has none. */
static const char *peek(const struct conf_source *src, const char *flag, const char *letter, const char *env)
{
    size_t n = strlen(flag);

    for (int i = src->argc - 1; i >= 0; i--) { // the last one counts
        const char *v = src->argv[i];
        if (!strncmp(v, flag, n) && v[n] == '=') return v + n + 1;
        if (i + 1 < src->argc && (!strcmp(v, flag) || (letter && !strcmp(v, letter)))) return src->argv[i + 1];
    }
    const char *v = getenv(env);
    return v && *v ? v : NULL;
}

static const struct conf_yaml *member(const struct conf_yaml *map, const char *key)
{
    for (const struct conf_yaml *m = map ? map->child : NULL; m; m = m->next)
        if (str_eq(m->key, str_c(key))) return m;
    return NULL;
}

static int read_file(struct load *l, const char *path, struct err *e)
{
    struct str   text;
    const char  *slash = strrchr(path, '/');
    struct arena tmp;

    arena_init(&tmp, LIM_CONF_BYTES + KIB(64));
    int rc    = fd_read_file(path, LIM_CONF_BYTES, &tmp, &text, e);
    l->file   = arena_printf(l->in.arena, "%.300s", path).p;
    l->folder = slash ? (struct str){ path, (size_t)(slash - path) + 1 } : STR("");
    if (rc == 0 && !l->file) rc = err_nomem(e, "reading a configuration");
    if (rc == 0) rc = conf_yaml_parse(text, l->file, l->in.arena, &l->root, e);
    arena_release(&tmp);
    return rc;
}

static enum compat_who compat_named(const char *name)
{
    for (int w = COMPAT_NONE; name && w <= COMPAT_SIMPLE_RKLLM; w++)
        if (!strcmp(name, compat_name((enum compat_who)w))) return (enum compat_who)w;
    return COMPAT_NONE; // a wrong name is told of where it is read
}

static enum compat_who compat_of(const struct conf_source *src, const struct conf_yaml *root)
{
    const struct conf_yaml *m    = member(root, "compat");
    const char             *name = peek(src, "--compat", NULL, "CURLEW_COMPAT");

    if (!name && m && m->kind == CONF_YAML_TEXT) name = m->text.p;
    return compat_named(name);
}

/* --- what the server that we stand in for would do --- */

static int compat_defaults(struct load *l, struct err *e)
{
    for (size_t i = 0; i < compat_count; i++) {
        const struct compat_row *r = &compat_table[i];
        if (r->who != l->compat || r->kind != COMPAT_DEFAULT) continue;
        const struct opt *o  = opt_by_name(str_c(r->old), l->in.roles);
        int               rc = o ? opt_put(&l->in, o, str_c(r->value), OPT_COMPAT, "--compat", e) : 0;
        if (rc < 0) return rc;
    }
    return 0;
}

static int compat_env(struct load *l, struct err *e)
{
    for (size_t i = 0; i < compat_count; i++) {
        const struct compat_row *r = &compat_table[i];
        const char              *v = r->who == l->compat && r->kind == COMPAT_ENV ? getenv(r->old) : NULL;
        int                      rc = 0;
        if (!v || !*v) continue;
        if (!r->opt) {
            rc = opt_no_effect(&l->in, r, str_c(v), e);
        } else {
            const struct opt *o = opt_by_name(str_c(r->opt), l->in.roles);
            if (o && opt_level(&l->in, o) < OPT_ENV) rc = opt_put(&l->in, o, str_c(v), OPT_ENV, r->old, e);
        }
        if (rc < 0) return rc;
    }
    return 0;
}

/* --- the file --- */

/* Keys may be written with _ for -. */
static struct str key_name(struct str key, char *dst, size_t size)
{
    str_copy_z(dst, size, key);
    for (char *p = dst; *p; p++)
        if (*p == '_') *p = '-';
    return str_c(dst);
}

static int unknown_key(const struct load *l, const struct conf_yaml *m, struct opt_near *near, const char *of,
                       struct err *e)
{
    char q[LIM_QUOTE_BYTES], best[64];

    str_quote(q, sizeof q, m->key);
    if (near->best) {
        snprintf(best, sizeof best, "%s", near->best);
        for (char *p = best; *p; p++)
            if (*p == '-') *p = '_';
        return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: \"%s\" is not a key of %s; did you mean %s?", l->file,
                       m->key_line, m->key_col, q, of, best);
    }
    return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: \"%s\" is not a key of %s; docs/config.md lists them", l->file,
                   m->key_line, m->key_col, q, of);
}

/* A path in the file is seen from the file's folder. */
static int beside_file(const struct load *l, struct str path, struct str *ret, struct err *e)
{
    *ret = path.n && path.p[0] == '/' ? path
                                      : arena_printf(l->in.arena, STR_FMT STR_FMT, STR_ARG(l->folder), STR_ARG(path));
    return ret->p ? 0 : err_nomem(e, "reading a configuration");
}

static bool is_path(const struct opt *o, struct str v)
{
    if (!o->arg || v.n == 0) return false;
    if (!strcmp(o->name, "chat-template")) return str_find_byte(v, '/') != SIZE_MAX || str_ends(v, STR(".jinja"));
    return !strcmp(o->arg, "FILE") || !strcmp(o->arg, "DIR");
}

static int put_text(struct load *l, struct opt_in *in, const struct opt *o, const struct conf_yaml *m,
                    const struct conf_yaml *v, struct err *e)
{
    struct str text = v->text;
    char       where[WHERE_MAX];

    if (is_path(o, text)) {
        int rc = beside_file(l, text, &text, e);
        if (rc < 0) return rc;
    }
    snprintf(where, sizeof where, "%s:%d:%d: " STR_FMT, l->file, v->line, v->col, STR_ARG(m->key));
    return opt_put(in, o, text, OPT_FILE, where, e);
}

static int put_option(struct load *l, struct opt_in *in, const struct opt *o, const struct conf_yaml *m, struct err *e)
{
    if (m->kind == CONF_YAML_NULL) return 0; // as if it were not there
    if (m->kind == CONF_YAML_TEXT) return put_text(l, in, o, m, m, e);
    if (m->kind != CONF_YAML_LIST || o->type != OPT_LIST)
        return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: " STR_FMT " is %s, it must be %s", l->file, m->line, m->col,
                       STR_ARG(m->key), conf_yaml_kind_name(m->kind),
                       o->type == OPT_LIST ? "a value or a list of values" : "a single value");
    for (const struct conf_yaml *v = m->child; v; v = v->next) {
        if (v->kind != CONF_YAML_TEXT)
            return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: an element of " STR_FMT " is %s, it must be a single value",
                           l->file, v->line, v->col, STR_ARG(m->key), conf_yaml_kind_name(v->kind));
        int rc = put_text(l, in, o, m, v, e);
        if (rc < 0) return rc;
    }
    return 0;
}

/* A mistake that need not be the last one: 0 when the caller may go on and look for more. */
static int mistake(struct load *l, int rc, const struct err *e)
{
    if (rc == 0 || !l->errors || rc == -ERR_NO_MEMORY) return rc;
    if (!l->first.code) l->first = *e;
    buf_printf(l->errors, "%s\n", e->msg);
    return 0;
}

static int top_key(struct load *l, const struct conf_yaml *m, struct err *e)
{
    char              name[64];
    struct str        key = key_name(m->key, name, sizeof name);
    const struct opt *o   = m->key.n < sizeof name ? opt_by_name(key, l->in.roles) : NULL;

    if (str_eq(key, STR("models"))) return 0; // later: they build on all others
    if (!o) {
        struct opt_near near = { 0 };
        opt_near_try(&near, key, "models");
        opt_near_rows(&near, key, l->in.roles);
        return unknown_key(l, m, &near, "the configuration", e);
    }
    if (!strcmp(o->name, "config"))
        return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: a configuration cannot name another one", l->file,
                       m->key_line, m->key_col);
    return put_option(l, &l->in, o, m, e);
}

static int top_level(struct load *l, struct err *e)
{
    int rc = 0;

    for (const struct conf_yaml *m = l->root->child; rc == 0 && m; m = m->next) rc = mistake(l, top_key(l, m, e), e);
    return rc;
}

/* --- the file's models --- */

static const char *const model_keys[] = { "id", "path", "aliases" };

static int model_text(const struct load *l, const struct conf_yaml *m, const char **ret, struct err *e)
{
    if (m->kind != CONF_YAML_TEXT || m->text.n == 0)
        return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: " STR_FMT " is %s, it must be a text", l->file, m->line, m->col,
                       STR_ARG(m->key), m->kind == CONF_YAML_TEXT ? "empty" : conf_yaml_kind_name(m->kind));
    *ret = m->text.p;
    return 0;
}

static int model_aliases(const struct load *l, const struct conf_yaml *m, struct opt_list *ret, struct err *e)
{
    const char **v;
    int          n = m->kind == CONF_YAML_LIST ? m->n_child : 1;

    if (m->kind == CONF_YAML_NULL || n == 0) return 0;
    if (n > LIM_ALIASES)
        return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: %d aliases, the limit is %d", l->file, m->line, m->col, n,
                       LIM_ALIASES);
    v = arena_array(l->in.arena, (size_t)n, sizeof *v);
    if (!v) return err_nomem(e, "reading a configuration");
    n = 0;
    for (const struct conf_yaml *x = m->kind == CONF_YAML_LIST ? m->child : m; x; x = x->next) {
        struct conf_yaml one = *x; // messages name the list
        one.key = m->key;
        int rc  = model_text(l, &one, &v[n++], e);
        if (rc < 0) return rc;
        if (m->kind != CONF_YAML_LIST) break;
    }
    *ret = (struct opt_list){ v, n };
    return 0;
}

static int model_key(struct load *l, struct opt_in *own, const struct conf_yaml *m, struct conf_model *ret,
                     struct err *e)
{
    char              name[64];
    struct str        key = key_name(m->key, name, sizeof name);
    const struct opt *o   = m->key.n < sizeof name ? opt_by_name(key, OPT_WORKER | OPT_MODEL) : NULL;

    if (str_eq(key, STR("id"))) return model_text(l, m, &ret->id, e);
    if (str_eq(key, STR("path"))) return model_text(l, m, &ret->path, e);
    if (str_eq(key, STR("aliases"))) return model_aliases(l, m, &ret->alias, e);
    if (o && o->roles & OPT_SERVE) return put_option(l, own, o, m, e);
    if (opt_by_name(key, OPT_SERVE))
        return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: " STR_FMT " is for all models together; put it outside the list",
                       l->file, m->key_line, m->key_col, STR_ARG(m->key));
    struct opt_near near = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(model_keys); i++) opt_near_try(&near, key, model_keys[i]);
    opt_near_rows(&near, key, OPT_WORKER | OPT_MODEL);
    return unknown_key(l, m, &near, "a model", e);
}

static int one_model(struct load *l, const struct conf_yaml *n, struct conf_model *ret, struct err *e)
{
    struct settings *s   = arena_alloc(l->in.arena, sizeof *s);
    struct opt_in   *own = arena_alloc(l->in.arena, sizeof *own);
    int              rc  = 0;

    ret->where = arena_printf(l->in.arena, "%s:%d:%d", l->file, n->line, n->col).p;
    if (!s || !own || !ret->where) return err_nomem(e, "reading a configuration");
    *s       = *l->in.s;
    *own     = l->in;
    own->s   = s;
    ret->own = s;
    if (n->kind == CONF_YAML_TEXT) { // the path alone
        ret->path = n->text.p;
        return 0;
    }
    if (n->kind != CONF_YAML_MAP)
        return err_set(e, ERR_BAD_CONFIG, "%s: a model is %s, it must be a path or a group of keys", ret->where,
                       conf_yaml_kind_name(n->kind));
    for (const struct conf_yaml *m = n->child; rc == 0 && m; m = m->next)
        rc = mistake(l, model_key(l, own, m, ret, e), e);
    if (rc == 0 && !ret->path && !member(n, "path"))
        rc = err_set(e, ERR_BAD_CONFIG, "%s: this model has no path", ret->where);
    return rc;
}

/* A model's path is seen from models_dir, if there is one. */
static int model_path(struct load *l, struct conf_model *m, struct err *e)
{
    const char *dir  = l->in.s->models_dir;
    struct str  path = str_c(m->path);

    if (path.p[0] == '/') return 0;
    if (dir) {
        m->path = arena_printf(l->in.arena, "%s%s%s", dir, str_ends(str_c(dir), STR("/")) ? "" : "/", path.p).p;
        return m->path ? 0 : err_nomem(e, "reading a configuration");
    }
    int rc  = beside_file(l, path, &path, e);
    m->path = path.p;
    return rc;
}

static int models(struct load *l, struct err *e)
{
    const struct conf_yaml *list = member(l->root, "models");
    struct conf_model      *m;
    int                     i = 0;

    if (!list || list->kind == CONF_YAML_NULL) return 0;
    if (list->kind != CONF_YAML_LIST)
        return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: models is %s, it must be a list (each begins with \"- \")",
                       l->file, list->line, list->col, conf_yaml_kind_name(list->kind));
    if (list->n_child > LIM_MODELS)
        return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: %d models, the limit is %d", l->file, list->line, list->col,
                       list->n_child, LIM_MODELS);
    m = arena_array(l->in.arena, (size_t)list->n_child + 1, sizeof *m);
    if (!m) return err_nomem(e, "reading a configuration");
    for (const struct conf_yaml *n = list->child; n; n = n->next, i++) {
        int rc = mistake(l, one_model(l, n, &m[i], e), e);
        if (rc == 0 && m[i].path) rc = model_path(l, &m[i], e);
        if (rc < 0) return rc;
    }
    l->in.s->models   = m;
    l->in.s->n_models = i;
    return 0;
}

/* --- what follows from all of it --- */

static enum opt_level level_of(const struct load *l, const char *name)
{
    const struct opt *o = opt_by_name(str_c(name), l->in.roles);

    return o ? opt_level(&l->in, o) : OPT_DEFAULT;
}

/* Of --model, --models-dir and the file's list, those count that the strongest said. */
static void choose_models(struct load *l)
{
    struct settings *s     = l->in.s;
    enum opt_level   model = level_of(l, "model"), dir = level_of(l, "models-dir");
    enum opt_level   list  = s->n_models ? OPT_FILE : OPT_DEFAULT, top = model > dir ? model : dir;

    if (list > top) top = list;
    if (model < top) s->model = (struct opt_list){ 0 };
    if (dir < top) s->models_dir = NULL;
    if (list < top) s->n_models = 0;
    if (level_of(l, "alias") < top && model < top) s->alias = (struct opt_list){ 0 };
}

static int choose_places(struct load *l, struct err *e)
{
    struct settings *s      = l->in.s;
    enum opt_level   listen = level_of(l, "listen"), host = level_of(l, "host"), port = level_of(l, "port");
    enum opt_level   single = host > port ? host : port;
    struct place     p;

    if (listen > OPT_DEFAULT && listen == single)
        return err_set(e, ERR_BAD_CONFIG, "listen and host or port are both given; say it with one of them");
    if (listen > single) {
        for (int i = 0; i < s->listen.n; i++) {
            int rc = place_parse(str_c(s->listen.v[i]), (int)s->port, l->in.arena, &p, e);
            if (rc < 0) return err_wrap(e, "listen");
        }
        return 0;
    }
    const char **v = arena_alloc(l->in.arena, sizeof *v);
    if (!v) return err_nomem(e, "reading options");
    if (s->host[0] == '/') v[0] = arena_printf(l->in.arena, "unix:%s", s->host).p;
    else v[0] = arena_printf(l->in.arena, strchr(s->host, ':') ? "[%s]:%d" : "%s:%d", s->host, (int)s->port).p;
    s->listen = (struct opt_list){ v, 1 };
    return v[0] ? 0 : err_nomem(e, "reading options");
}

int conf_load(const struct conf_source *src, struct settings *s, struct arena *a, const char **rest, int *n_rest,
              struct err *e)
{
    struct load l    = { .errors = src->errors };
    bool        has  = opt_by_name(STR("config"), src->roles) != NULL;
    int         rc   = opt_begin(&l.in, s, src->roles, a, e);

    if (rc < 0) return rc;
    const char *path = has ? peek(src, "--config", "-f", "CURLEW_CONFIG") : NULL;
    if (has) l.in.compat = compat_named(peek(src, "--compat", NULL, "CURLEW_COMPAT"));
    rc = opt_flags(&l.in, src->argc, src->argv, rest, n_rest, e);
    if (rc == 0) rc = opt_env(&l.in, e);
    if (rc == 0 && has && src->rest && *n_rest) path = rest[0];
    if (rc == 0 && path) rc = read_file(&l, path, e);
    if (rc == 0 && src->text.p) {
        l.file = "text";
        rc     = conf_yaml_parse(src->text, l.file, a, &l.root, e);
    }
    if (rc == 0 && has) l.compat = compat_of(src, l.root);
    if (rc == 0) rc = compat_defaults(&l, e);
    if (rc == 0) rc = compat_env(&l, e);
    if (rc == 0 && l.root) rc = top_level(&l, e);
    if (rc == 0 && l.root) rc = models(&l, e);
    if (rc < 0 || !has) return rc;
    s->config = path;
    choose_models(&l);
    rc = mistake(&l, choose_places(&l, e), e);
    if (rc == 0 && l.first.code) {
        *e = l.first;
        rc = -(int)e->code;
    }
    return rc;
}

void conf_differ(struct buf *b, const struct settings *x, const struct settings *y, unsigned role)
{
    struct buf vx, vy;

    buf_init(&vx, KIB(64));
    buf_init(&vy, KIB(64));
    for (size_t i = 0; i < opt_count; i++) {
        if (!(opt_table[i].roles & role)) continue;
        buf_clear(&vx);
        buf_clear(&vy);
        opt_pack_row(&vx, x, &opt_table[i]);
        opt_pack_row(&vy, y, &opt_table[i]);
        if (str_eq(buf_text(&vx), buf_text(&vy))) continue;
        if (b->n) buf_str(b, STR(", "));
        buf_str(b, str_c(opt_table[i].name));
    }
    buf_release(&vx);
    buf_release(&vy);
}

void conf_keep(struct settings *to, const struct settings *from, unsigned role)
{
    for (size_t i = 0; i < opt_count; i++) {
        const struct opt *o    = &opt_table[i];
        size_t            size = 0;
        if (!(o->roles & role)) continue;
        switch (o->type) {
        case OPT_FLAG: size = sizeof(bool); break;
        case OPT_INT:
        case OPT_SIZE: size = sizeof(int64_t); break;
        case OPT_ENUM: size = sizeof(int); break;
        case OPT_STR: size = sizeof(const char *); break;
        case OPT_LIST: size = sizeof(struct opt_list); break;
        }
        memcpy((char *)to + o->offset, (const char *)from + o->offset, size);
    }
}
