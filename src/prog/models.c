/* models.c - find and open the model files while the right to open files is still there. */
#include "prog/models.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "chat/tmpl.h"
#include "engines/axera/axera_plan.h"
#include "os/fd.h"
#include "prog/npu.h"

struct finder {
    const struct settings *s;
    struct arena          *arena;
    struct model_list      l;
    int                    cap;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

/* Endings of files that are models. */
static bool is_model(struct str name)
{
    return str_ends(name, STR(".gguf")) || str_ends(name, STR(".script")) || str_ends(name, STR(".rkllm"));
}

/* Why a file that looks like a model is none that can be served by itself; NULL: it can. */
static const char *why_not(struct str name)
{
    if (str_starts(name, STR("mmproj"))) return "it is the picture part of another model";
    if (str_find(name, STR("-of-0")) != SIZE_MAX && !str_starts(str_from(name, str_find(name, STR("-of-0"))),
                                                                STR("-of-00001.")))
        return "it is one of several parts; join them into one file";
    return NULL;
}

/* The name in the API when nobody chose one: the file's without its ending. */
static struct str file_id(const char *base)
{
    struct str id = str_c(base);

    if (str_ends(id, STR(".gguf"))) id.n -= 5;
    else if (str_ends(id, STR(".rkllm"))) id.n -= 6;
    else if (str_ends(id, STR(".script"))) id.n -= 7;
    else if (str_ends(id, STR(".sh"))) id.n -= 3;
    return id;
}

static bool name_ok(struct str id)
{
    return id.n && id.n <= LIM_MODEL_NAME && utf8_valid(id);
}

/* How messages about a model begin. */
static const char *place(const struct model_spec *m)
{
    return m->where ? m->where : m->path;
}

static int add(struct finder *f, const char *path, const char *id, struct model_spec **ret, struct err *e)
{
    if (f->l.n == f->cap)
        return err_set(e, ERR_BAD_CONFIG, "%s: more than %d models", path, LIM_MODELS);
    struct model_spec *m = &f->l.v[f->l.n];
    *m    = (struct model_spec){ .path = path, .base = base_name(path), .own = f->s, .fd = -1, .template_fd = -1 };
    m->id = arena_str(f->arena, id ? str_c(id) : file_id(m->base));
    if (!m->id.p) return err_nomem(e, "looking for models");
    f->l.n++;
    *ret = m;
    return 0;
}

/* --- those that are named --- */

static int check_name(const struct model_spec *m, struct str name, struct err *e)
{
    if (name_ok(name)) return 0;
    return err_set(e, ERR_BAD_CONFIG, "%s: the model's name is %zu bytes, 1 to %d of UTF-8 are allowed; choose one "
                   "with %s", place(m), name.n, LIM_MODEL_NAME, m->where ? "id" : "--alias");
}

/* NAME=URL, and not a URL alone? */
static bool is_named_upstream(const char *text)
{
    struct str s  = str_c(text);
    size_t     eq = str_find_byte(s, '=');

    return eq != SIZE_MAX && !str_starts(s, STR("http://")) && !str_starts(s, STR("https://"));
}

/* The model that --upstream names: the one of that name among those from `first` on, or a new one. */
static int add_upstream(struct finder *f, int first, const char *text, const char *unnamed, struct err *e)
{
    struct str            rest = str_c(text), name = STR_NULL;
    struct upstream_url   u;
    struct model_spec    *m = NULL;

    if (is_named_upstream(text)) str_cut(&rest, '=', &name);
    if (upstream_url_parse(rest, f->arena, &u, e) < 0) return err_wrap(e, "--upstream");
    const char *id = name.p ? arena_str(f->arena, name).p : unnamed;
    if (!id) return err_nomem(e, "looking for models");
    for (int i = first; i < f->l.n && !m; i++)
        if (str_eq(f->l.v[i].id, str_c(id))) m = &f->l.v[i];
    if (!m) {
        int rc = add(f, rest.p, id, &m, e); // an argument: it ends with a NUL
        if (rc == 0) rc = check_name(m, m->id, e);
        if (rc < 0) return rc;
    }
    if (m->n_upstream == LIM_UPSTREAMS)
        return err_set(e, ERR_BAD_CONFIG, "--upstream: %s has more than %d servers", id, LIM_UPSTREAMS);
    struct conf_upstream *v = arena_array(f->arena, (size_t)m->n_upstream + 1, sizeof *v);
    if (!v) return err_nomem(e, "looking for models");
    for (int i = 0; i < m->n_upstream; i++) v[i] = m->upstream[i];
    v[m->n_upstream++] = (struct conf_upstream){ .where = "--upstream", .url = rest.p, .weight = 1,
                                                 .key_file = f->s->upstream_key_file };
    m->upstream = v;
    return 0;
}

/* What is opened for a model that a child runs, so that a path that is not there is refused at once: its run
 * script, or the config.json of its folder. */
static const char *child_file(const char *path, struct arena *a)
{
    struct stat st;

    if (!path || stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) return path;
    struct str z = arena_printf(a, "%s/config.json", path);
    return z.p ? z.p : path;
}

static int add_single(struct finder *f, struct err *e)
{
    const struct settings *s      = f->s;
    bool                   script = str_starts(str_c(s->engine), STR("script:"));
    bool                   nw1;
    const char            *child  = axera_call_path(s->engine, &nw1);
    const char            *file   = script ? s->engine + 7 : child_file(child, f->arena);
    int                    n      = file ? 1 : s->model.n;

    bool                   unnamed = false; // an upstream that takes its name from --alias

    for (int i = 0; i < s->upstream.n; i++) unnamed |= !is_named_upstream(s->upstream.v[i]);
    if (s->alias.n > n + unnamed)
        return err_set(e, ERR_BAD_CONFIG, "--alias: given %d times for %d models", s->alias.n, n + unnamed);
    for (int i = 0; i < n; i++) {
        struct model_spec *m;
        const char        *id = i < s->alias.n ? s->alias.v[i] : child ? arena_str(f->arena, file_id(base_name(child))).p : NULL;
        int rc = add(f, file ? file : s->model.v[i], id, &m, e);
        if (rc == 0) rc = check_name(m, m->id, e);
        if (rc < 0) return rc;
    }
    for (int i = 0, first = f->l.n; i < s->upstream.n; i++) {
        int rc = add_upstream(f, first, s->upstream.v[i], n < s->alias.n ? s->alias.v[n] : "default", e);
        if (rc < 0) return rc;
    }
    return 0;
}

static int add_listed(struct finder *f, struct err *e)
{
    for (int i = 0; i < f->s->n_models; i++) {
        const struct conf_model *c = &f->s->models[i];
        struct model_spec       *m;
        int                      rc = add(f, c->n_upstream ? c->upstream[0].url : c->path, c->id, &m, e);
        if (rc < 0) return rc;
        m->upstream   = c->upstream;
        m->n_upstream = c->n_upstream;
        m->where = c->where;
        m->alias = c->alias;
        m->own   = c->own;
        rc       = check_name(m, m->id, e);
        for (int k = 0; rc == 0 && k < m->alias.n; k++) rc = check_name(m, str_c(m->alias.v[k]), e);
        if (rc < 0) return rc;
    }
    return 0;
}

/* --- those in a folder --- */

static int by_name(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static bool is_named(const struct finder *f, const char *path)
{
    struct stat x, y;

    if (stat(path, &x) < 0) return false;
    for (int i = 0; i < f->l.n; i++)
        if (stat(f->l.v[i].path, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino) return true;
    return false;
}

static bool taken(const struct finder *f, struct str name)
{
    for (int i = 0; i < f->l.n - 1; i++) {
        const struct model_spec *m = &f->l.v[i];
        if (str_eq(m->id, name)) return true;
        for (int k = 0; k < m->alias.n; k++)
            if (str_eq(str_c(m->alias.v[k]), name)) return true;
    }
    return false;
}

static int add_found(struct finder *f, const char *path, struct err *e)
{
    struct model_spec *m;

    if (is_named(f, path)) return 0;
    int rc = add(f, path, NULL, &m, e);
    if (rc < 0) return rc;
    m->why = why_not(str_c(m->base));
    if (!m->why && !name_ok(m->id)) m->why = "its name is empty, too long or not UTF-8";
    if (!m->why && taken(f, m->id)) m->why = "another model has this name; name this one under models";
    if (m->why) return 0;
    struct err why; // one that cannot be read does not stop the others
    if (model_open(m, &why) < 0) m->why = arena_str(f->arena, str_c(why.msg)).p;
    model_close(m);
    return 0;
}

static int scan(struct finder *f, const char *dir, int depth, struct err *e)
{
    const char   **name = NULL;
    size_t         n = 0;
    struct dirent *d;
    DIR           *h  = opendir(dir);
    int            rc = 0;

    if (!h && depth > 0) return 0; // a folder that we may not read is none of ours
    if (!h) return err_set(e, ERR_IO, "models_dir %s: %s", dir, err_errno(errno));
    name = mem_array(LIM_DIR_ENTRIES, sizeof *name);
    if (!name) rc = err_nomem(e, "looking for models");
    while (rc == 0 && (d = readdir(h)) != NULL) {
        if (d->d_name[0] == '.') continue;
        if (n == LIM_DIR_ENTRIES) {
            rc = err_set(e, ERR_BAD_CONFIG, "models_dir %s: more than %d entries", dir, LIM_DIR_ENTRIES);
            break;
        }
        bool slash = str_ends(str_c(dir), STR("/"));
        name[n]    = arena_printf(f->arena, "%s%s%s", dir, slash ? "" : "/", d->d_name).p;
        if (!name[n++]) rc = err_nomem(e, "looking for models");
    }
    closedir(h);
    if (rc == 0) qsort(name, n, sizeof *name, by_name);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct stat st;
        if (stat(name[i], &st) < 0) continue;
        if (S_ISDIR(st.st_mode) && depth == 0) rc = scan(f, name[i], depth + 1, e);
        else if (S_ISREG(st.st_mode) && is_model(str_c(name[i]))) rc = add_found(f, name[i], e);
    }
    mem_free(name);
    return rc;
}

/* --- all --- */

static int names_twice(const struct model_spec *m, const struct model_spec *o, struct str name, struct err *e)
{
    bool same = str_eq(o->id, name);

    for (int k = 0; !same && k < o->alias.n; k++) same = str_eq(str_c(o->alias.v[k]), name);
    if (!same) return 0;
    return err_set(e, ERR_BAD_CONFIG, "two models are called " STR_FMT " (%s and %s); tell them apart with %s",
                   STR_ARG(name), place(o), place(m), m->where ? "id and aliases" : "--alias");
}

static int check_unique(const struct model_list *l, struct err *e)
{
    int rc = 0;

    for (int i = 0; i < l->n; i++) {
        const struct model_spec *m = &l->v[i];
        if (m->why) continue;
        for (int k = 0; rc == 0 && k < i; k++) {
            if (l->v[k].why) continue;
            rc = names_twice(m, &l->v[k], m->id, e);
            for (int j = 0; rc == 0 && j < m->alias.n; j++) rc = names_twice(m, &l->v[k], str_c(m->alias.v[j]), e);
        }
        if (rc < 0) return rc;
    }
    return 0;
}

static int check_engine(const struct model_spec *m, struct err *e)
{
    struct str engine = str_c(m->own->engine);

    bool       nw1;

    if (str_eq(engine, STR("auto")) || str_eq(engine, STR("cpu")) || str_eq(engine, STR("rkllm")) ||
        str_starts(engine, STR("script:")) || axera_call_path(m->own->engine, &nw1)) return 0;
    return err_set(e, ERR_BAD_CONFIG, "%s%s%s: \"%.60s\" is not known; auto, cpu, rkllm, script:FILE, axera:PATH and "
                   "child:PROGRAM are",
                   m->where ? m->where : "", m->where ? ": " : "", m->where ? "engine" : "--engine", engine.p);
}

int models_list(const struct settings *s, struct arena *a, struct model_list *ret, struct err *e)
{
    struct finder f = { .s = s, .arena = a, .cap = LIM_MODELS };
    int           rc;

    f.l.v = arena_array(a, LIM_MODELS, sizeof *f.l.v);
    if (!f.l.v) return err_nomem(e, "looking for models");
    rc = add_single(&f, e);
    if (rc == 0) rc = add_listed(&f, e);
    if (rc == 0 && s->models_dir) rc = scan(&f, s->models_dir, 0, e);
    for (int i = 0; rc == 0 && i < f.l.n; i++) {
        rc = check_engine(&f.l.v[i], e);
        f.l.n_served += !f.l.v[i].why;
    }
    if (rc == 0) rc = check_unique(&f.l, e);
    if (rc < 0) return rc;
    if (f.l.n_served == 0 && s->models_dir)
        return err_set(e, ERR_BAD_CONFIG, "no model: %s holds no file that can be served%s%s", s->models_dir,
                       f.l.n ? "; the first one: " : "", f.l.n ? f.l.v[0].why : "");
    if (f.l.n_served == 0)
        return err_set(e, ERR_BAD_CONFIG, "no model: name a GGUF file with --model FILE, or a server with --upstream URL");
    *ret = f.l;
    return 0;
}

/* --- open --- */

/* A chat template of its own: a file is opened, a built-in one must be there. */
static int open_template(struct model_spec *m, struct err *e)
{
    const char *t = m->own->chat_template;
    uint64_t    size;

    if (!t) return 0;
    if (!strchr(t, '/') && !str_ends(str_c(t), STR(".jinja"))) {
        if (tmpl_builtin(str_c(t)).p) return 0;
        return err_set(e, ERR_BAD_CONFIG, "%s: chat-template: \"%.60s\" is no built-in template, and no file either (those "
                       "have a / in their name, or end in .jinja)", place(m), t);
    }
    int rc = fd_open_file(t, &m->template_fd, &size, e);
    if (rc == 0 && fstat(m->template_fd, &m->tmpl) < 0) rc = err_set(e, ERR_IO, "%s: %s", t, err_errno(errno));
    return rc;
}

/* A program that runs already has no file: its worker gets an empty one. */
static int open_nothing(int *fd, struct err *e)
{
    *fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? err_set(e, ERR_IO, "/dev/null: %s", err_errno(errno)) : 0;
}

int model_open(struct model_spec *m, struct err *e)
{
    if (m->n_upstream) return 0; // it is not here
    struct stat st;
    bool        nw1, runs = axera_call_path(m->own->engine, &nw1) && stat(m->path, &st) == 0 && S_ISSOCK(st.st_mode);
    int         rc = runs ? open_nothing(&m->fd, e) : fd_open_file(m->path, &m->fd, &m->size, e);

    if (rc == 0 && fstat(m->fd, &m->file) < 0) rc = err_set(e, ERR_IO, "%s: %s", m->path, err_errno(errno));
    if (rc == 0) rc = open_template(m, e);
    if (rc == 0 && npu_is_rkllm(m->own, m->base)) rc = npu_open_beside(m, e);
    if (rc == 0) return 0;
    model_close(m);
    return m->where && rc == -ERR_IO ? err_wrap(e, "%s", m->where) : rc;
}

void model_close(struct model_spec *m)
{
    fd_close(&m->fd);
    fd_close(&m->template_fd);
    for (int i = 0; i < m->n_beside; i++) fd_close(&m->beside[i].fd);
    m->n_beside = 0;
}

int models_open(struct model_list *l, struct err *e)
{
    for (int i = 0; i < l->n; i++) {
        int rc = l->v[i].why ? 0 : model_open(&l->v[i], e);
        if (rc == 0) continue;
        models_close(l);
        return rc;
    }
    return 0;
}

void models_close(struct model_list *l)
{
    for (int i = 0; i < l->n; i++) model_close(&l->v[i]);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool model_same_files(const struct model_spec *x, const struct model_spec *y)
{
    return same_file(&x->file, &y->file) && same_file(&x->tmpl, &y->tmpl);
}
