/* models.c - open the model files while the right to open files is still there. */
#include "prog/models.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/utf8.h"
#include "chat/split.h"
#include "chat/tmpl.h"
#include "engines/axera/axera_plan.h"
#include "os/fd.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

/* The name in the API: what the user said, else the file's name without its ending. */
static int choose_id(const struct settings *s, int i, struct model_spec *m, struct arena *a,
                     struct err *e)
{
    struct str id = str_c(m->base);

    if (i < s->alias.n) id = str_c(s->alias.v[i]);
    else if (str_ends(id, STR(".gguf"))) id.n -= 5;
    else if (str_ends(id, STR(".script"))) id.n -= 7;
    else if (str_ends(id, STR(".sh"))) id.n -= 3;
    if (id.n == 0 || id.n > LIM_MODEL_NAME || !utf8_valid(id))
        return err_set(e, ERR_BAD_CONFIG, "%s: the model's name is %zu bytes, 1 to %d of UTF-8 are "
                       "allowed; choose one with --alias", m->path, id.n, LIM_MODEL_NAME);
    m->id = arena_str(a, id);
    return m->id.p ? 0 : err_nomem(e, "opening models");
}

/* A chat template of its own: a file, or a built-in one's name. */
static int open_template(const struct settings *s, int i, struct model_spec *m, struct err *e)
{
    const char         *want = i < s->chat_template.n ? s->chat_template.v[i] : "";
    struct engine_file *f    = &m->beside[m->n_beside];

    if (!want[0]) return 0;
    if (tmpl_builtin(str_c(want)).p && access(want, F_OK) < 0) {
        m->tmpl = want;
        return 0;
    }
    *f     = (struct engine_file){ .name = MODELS_TEMPLATE, .fd = -1 };
    int rc = fd_open_file(want, &f->fd, &f->size, e);
    if (rc < 0) return err_wrap(e, "--chat-template");
    m->n_beside++;
    return 0;
}

static int choose_format(const struct settings *s, int i, struct model_spec *m, struct err *e)
{
    const char       *want = i < s->answer_format.n ? s->answer_format.v[i] : "auto";
    struct split_form form;

    if (str_eq(str_c(want), STR("auto"))) return 0;
    if (!split_form_by_name(str_c(want), &form))
        return err_set(e, ERR_BAD_CONFIG, "--answer-format: \"%.60s\" is not known; curlew split --format list "
                       "prints the names", want);
    m->format = want;
    return 0;
}

struct settings models_settings(const struct settings *s, const struct model_spec *m)
{
    struct settings mine = *s;

    mine.chat_template = (struct opt_list){ (const char **)&m->tmpl, m->tmpl != NULL };
    mine.answer_format = (struct opt_list){ (const char **)&m->format, m->format != NULL };
    return mine;
}

static int check_unique(const struct model_spec *m, int n, struct err *e)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            if (str_eq(m[i].id, m[k].id))
                return err_set(e, ERR_BAD_CONFIG, "two models are called " STR_FMT " (%s and %s); tell "
                               "them apart with --alias", STR_ARG(m[i].id), m[k].path, m[i].path);
    return 0;
}

/* A program that runs already has no file: its worker gets an empty one. */
static bool is_socket(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int open_nothing(int *fd, struct err *e)
{
    *fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? err_set(e, ERR_IO, "/dev/null: %s", err_errno(errno)) : 0;
}

/* What is opened for a model that a child runs, so that a path that is not there is refused at once: its run
 * script, or the config.json of its folder. */
static const char *axera_file(const char *path, struct arena *a)
{
    struct stat st;

    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) return path;
    struct str z = arena_printf(a, "%s/config.json", path);
    return z.p ? z.p : path;
}

int models_open(const struct settings *s, struct arena *a, struct model_spec **ret, int *n_ret,
                struct err *e)
{
    struct str  engine = str_c(s->engine);
    bool        script = str_starts(engine, STR("script:"));
    bool        nw1;
    const char *axera  = axera_call_path(s->engine, &nw1);
    const char *file   = script ? s->engine + 7 : axera ? axera_file(axera, a) : NULL;
    int         n      = file ? 1 : s->model.n;

    if (!file && !str_eq(engine, STR("auto")) && !str_eq(engine, STR("cpu")))
        return err_set(e, ERR_BAD_CONFIG, "--engine: \"%.60s\" is not known; auto, cpu, script:FILE, axera:PATH and child:PROGRAM are",
                       s->engine);
    if (n == 0)
        return err_set(e, ERR_BAD_CONFIG, "no model: name a GGUF file with --model FILE");
    if (s->chat_template.n > n)
        return err_set(e, ERR_BAD_CONFIG, "--chat-template: given %d times for %d models", s->chat_template.n, n);
    if (s->answer_format.n > n)
        return err_set(e, ERR_BAD_CONFIG, "--answer-format: given %d times for %d models", s->answer_format.n, n);
    if (s->alias.n > n)
        return err_set(e, ERR_BAD_CONFIG, "--alias: given %d times for %d models", s->alias.n, n);

    struct model_spec *m = arena_array(a, (size_t)n, sizeof *m);
    if (!m) return err_nomem(e, "opening models");
    for (int i = 0; i < n; i++) m[i].fd = -1;
    for (int i = 0; i < n; i++) {
        m[i].path = file ? file : s->model.v[i];
        m[i].base = base_name(m[i].path);
        if (axera && str_eq(str_c(m[i].base), STR("config.json"))) m[i].base = base_name(axera);
        int rc = axera && is_socket(axera) ? open_nothing(&m[i].fd, e) : fd_open_file(m[i].path, &m[i].fd, &m[i].size, e);
        if (rc == 0) rc = choose_id(s, i, &m[i], a, e);
        if (rc == 0) rc = open_template(s, i, &m[i], e);
        if (rc == 0) rc = choose_format(s, i, &m[i], e);
        if (rc < 0) {
            models_close(m, n);
            return rc;
        }
    }
    int rc = check_unique(m, n, e);
    if (rc < 0) {
        models_close(m, n);
        return rc;
    }
    *ret   = m;
    *n_ret = n;
    return 0;
}

void models_close(struct model_spec *m, int n)
{
    for (int i = 0; i < n; i++) {
        fd_close(&m[i].fd);
        for (int k = 0; k < m[i].n_beside; k++) fd_close(&m[i].beside[k].fd);
    }
}
