/* axera_plan.c - what to start, from a run script or a folder. */
#include "engines/axera/axera_plan.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/pack.h"
#include "engines/axera/axera_script.h"
#include "json/json.h"
#include "os/fd.h"

#define ENTRIES_MAX 4096 // of a folder that are looked at
#define ARGS_MAX    (AXERA_WORDS + 24)
#define START_S     180 // seconds that any child gets
#define START_GIB_S 45  // and for each GiB of its model

struct planner {
    const struct axera_opts *o;
    struct arena            *a;
    struct axera_plan       *p;
    const char              *dir;
    struct axera_script      script;
    const char              *arg[ARGS_MAX];
    int                      n_arg;
    const char              *tokenizer; // a path, or NULL
    bool                     failed;    // no memory
};

static const char *text(struct planner *pl, struct str s)
{
    const char *z = s.p;

    pl->failed |= !z;
    return z ? z : "";
}

static void arg(struct planner *pl, const char *word)
{
    if (pl->n_arg < ARGS_MAX - 1) pl->arg[pl->n_arg++] = word;
}

static void arg2(struct planner *pl, const char *word, const char *value)
{
    arg(pl, word);
    arg(pl, value);
}

/* --- files --- */

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static const char *join(struct planner *pl, const char *dir, const char *name)
{
    return name[0] == '/' ? name : text(pl, arena_printf(pl->a, "%s/%s", dir, name));
}

/* The program: as a path from the script's folder, else by PATH. */
static int find_program(struct planner *pl, const char *name, const char **ret, struct err *e)
{
    const char *path = join(pl, pl->dir, name);
    struct str  rest = str_c(getenv("PATH")), item;

    if (!strchr(name, '/') && !is_file(path)) {
        while (str_cut(&rest, ':', &item)) {
            path = text(pl, arena_printf(pl->a, STR_FMT "/%s", STR_ARG(item), name));
            if (item.n && access(path, X_OK) == 0 && is_file(path)) break;
        }
    }
    if (pl->failed) return err_nomem(e, "planning a child");
    if (!is_file(path))
        return err_set(e, ERR_BAD_CONFIG, "the program %.200s is not there; name it with --child program=PATH", name);
    if (access(path, X_OK) < 0)
        return err_set(e, ERR_BAD_CONFIG, "%.300s may not be executed by this user: chmod +x", path);
    *ret = path;
    return 0;
}

/* The first folder, by name, in dir that holds a tokenizer.json; dir itself comes first. NULL: none. */
static const char *find_tokenizer(struct planner *pl, const char *dir)
{
    const char    *best = NULL, *own = join(pl, dir, "tokenizer.json");
    DIR           *d;
    struct dirent *en;

    if (is_file(own)) return own;
    d = opendir(dir);
    for (int i = 0; d && i < ENTRIES_MAX && (en = readdir(d)); i++) {
        if (en->d_name[0] == '.') continue;
        const char *path = text(pl, arena_printf(pl->a, "%s/%s/tokenizer.json", dir, en->d_name));
        if (is_file(path) && (!best || strcmp(path, best) < 0)) best = path;
    }
    if (d) closedir(d);
    return best;
}

/* Bytes of what lies in a folder and the folders in it. */
static uint64_t size_of(struct planner *pl, const char *dir, int depth)
{
    uint64_t       sum = 0;
    DIR           *d   = opendir(dir);
    struct dirent *en;
    struct stat    st;

    for (int i = 0; d && i < ENTRIES_MAX && (en = readdir(d)); i++) {
        if (en->d_name[0] == '.' || fstatat(dirfd(d), en->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) continue;
        if (S_ISREG(st.st_mode)) sum += (uint64_t)st.st_size;
        else if (S_ISDIR(st.st_mode) && depth < 2) sum += size_of(pl, join(pl, dir, en->d_name), depth + 1);
    }
    if (d) closedir(d);
    return sum;
}

static int open_tokenizer(struct planner *pl, struct err *e)
{
    static const char *const names[] = { "tokenizer.json", "tokenizer_config.json", "chat_template.jinja" };
    struct axera_plan *p = pl->p;
    const char        *path = pl->tokenizer, *slash;
    uint64_t           size;

    if (pl->o->tokenizer) path = is_dir(pl->o->tokenizer) ? join(pl, pl->o->tokenizer, names[0]) : pl->o->tokenizer;
    if (!path) path = find_tokenizer(pl, pl->dir);
    if (pl->failed) return err_nomem(e, "planning a child");
    if (!path && p->kind == AXERA_AXLLM) return 0; // it has its own; we count no tokens then
    if (!path)
        return err_set(e, ERR_BAD_CONFIG, "no tokenizer.json in %.200s or the folders in it: curlew tokenises for "
                       "this child; name it with --child tokenizer=PATH", pl->dir);
    slash = strrchr(path, '/');
    for (int i = 0; i < 3; i++) {
        const char *f = path;
        if (i) {
            struct str dir = slash ? (struct str){ path, (size_t)(slash - path) } : STR(".");
            f = text(pl, arena_printf(pl->a, STR_FMT "/%s", STR_ARG(dir), names[i]));
            if (pl->failed) return err_nomem(e, "planning a child");
            if (!is_file(f)) continue;
        }
        int rc = fd_open_file(f, &p->file[p->n_file], &size, e);
        if (rc < 0) return rc;
        p->name[p->n_file++] = names[i];
    }
    return 0;
}

/* One child of a model at a time on this machine: the NPU's memory is free only when the last one has ended. */
static int lock(struct planner *pl, const char *path, struct err *e)
{
    pl->p->lock_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (pl->p->lock_fd < 0) return err_set(e, ERR_BAD_FILE, "%.300s: %s", path, err_errno(errno));
    for (int i = 0; flock(pl->p->lock_fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if (errno != EWOULDBLOCK) return err_set(e, ERR_IO, "%.300s: %s", path, err_errno(errno));
        if (i == 0) log_info("child_waits", "for=\"the last child of this script to end\"");
        if (i == 300)
            return err_set(e, ERR_ENGINE_GONE, "another curlew runs %.200s; one child of a model at a time", path);
        usleep(100000);
    }
    return 0;
}

/* --- ports --- */

static int free_port(struct err *e)
{
    int fd, port;
    int rc = fd_listen("127.0.0.1", 0, &fd, &port, e);

    if (rc < 0) return rc;
    close(fd);
    return port;
}

static int open_listener(struct planner *pl, const char **url, struct err *e)
{
    int port = 0;
    int rc   = fd_listen("127.0.0.1", (int)pl->o->port, &pl->p->spec.listen_fd, &port, e);

    if (rc < 0) return rc;
    *url = text(pl, arena_printf(pl->a, "http://127.0.0.1:%d", port));
    return 0;
}

/* --- arguments --- */

static bool in(const char *w, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(w, *list)) return true;
    return false;
}

/* The script's words but those that are ours to say; each of them has a value after it. "--x=y" is one word. */
static void copy_args(struct planner *pl, const char *const *ours, bool *two)
{
    for (int i = 1; i < pl->script.n_word; i++) {
        const char *w  = pl->script.word[i];
        const char *eq = strchr(w, '=');
        char        head[64];
        str_copy_z(head, sizeof head, eq ? (struct str){ w, (size_t)(eq - w) } : str_c(w));
        if (!strcmp(head, "--url_tokenizer_model")) *two = true;
        if (!in(head, ours)) arg(pl, w);
        else i += !eq;
    }
}

/* Generations 1 to 3: the program of the script, its tokens from us. */
static int plan_runner(struct planner *pl, struct err *e)
{
    static const char *const ours[] = { "--prompt", "-p", "--live_print", "--continue", "--tokenizer_type",
                                        "--filename_tokenizer_model", "--url_tokenizer_model", "--bos", "--eos",
                                        "--system_prompt", "--kvcache_path", NULL };
    static const char *const ours_api[] = { "--filename_tokenizer_model", "--url_tokenizer_model",
                                            "--system_prompt", "--kvcache_path", NULL };
    struct axera_plan *p = pl->p;
    const char        *url;
    bool               two = false;
    int                rc  = open_listener(pl, &url, e);

    if (rc < 0) return rc;
    copy_args(pl, p->kind == AXERA_API ? ours_api : ours, &two);
    arg2(pl, two ? "--url_tokenizer_model" : "--filename_tokenizer_model", url);
    if (p->kind == AXERA_API) {
        p->spec.port = pl->o->http_port ? (int)pl->o->http_port : 8000;
        p->spec.io   = KEEPER_PIPE;
        return 0;
    }
    if (p->kind == AXERA_MAIN) {
        arg2(pl, "--tokenizer_type", "2");
        arg2(pl, "--bos", "0");
        arg2(pl, "--eos", "0");
    }
    arg2(pl, "--live_print", "1");
    arg2(pl, "--continue", "1");
    arg2(pl, "--prompt", "");
    p->spec.io = KEEPER_PTY;
    return 0;
}

static int plan_axllm(struct planner *pl, const char *folder, struct err *e)
{
    int port = pl->o->http_port ? (int)pl->o->http_port : free_port(e);

    if (port < 0) return port;
    arg(pl, "serve");
    arg(pl, folder);
    arg2(pl, "--port", text(pl, arena_printf(pl->a, "%d", port)));
    pl->p->spec.port = port;
    pl->p->spec.io   = KEEPER_PIPE;
    return 0;
}

static int guess_kind(const struct planner *pl)
{
    static const char *const second[] = { "--url_tokenizer_model", "--system_prompt", "--kvcache_path", "--devices", NULL };
    const char *slash = strrchr(pl->script.word[0], '/');
    struct str  name  = str_c(slash ? slash + 1 : pl->script.word[0]);

    if (str_starts(name, STR("axllm"))) return AXERA_AXLLM;
    if (str_starts(name, STR("main_api"))) return AXERA_API;
    for (int i = 1; i < pl->script.n_word; i++)
        if (in(pl->script.word[i], second)) return AXERA_CTX;
    return AXERA_MAIN;
}

/* The folder of a script's "axllm serve DIR" (or run), else the script's own. */
static const char *axllm_folder(struct planner *pl)
{
    for (int i = 2; i < pl->script.n_word; i++)
        if (pl->script.word[i][0] != '-' && strcmp(pl->script.word[i - 1], "--port") != 0)
            return join(pl, pl->dir, pl->script.word[i]);
    return pl->dir;
}

/* --- the whole --- */

static int make_env(struct planner *pl, struct err *e)
{
    static const char *const kept[] = { "PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "AXLLM_DEVICES" };
    const char **env = arena_array(pl->a, ARRAY_LEN(kept) + AXERA_VARS + AXERA_ENV_MAX + 1, sizeof *env);
    int          n   = 0;

    if (!env) return err_nomem(e, "planning a child");
    for (int i = 0; i < pl->o->n_env; i++) env[n++] = pl->o->env[i]; // the first of a name counts
    for (int i = 0; i < pl->script.n_env; i++) env[n++] = pl->script.env[i];
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (getenv(kept[i])) env[n++] = text(pl, arena_printf(pl->a, "%s=%s", kept[i], getenv(kept[i])));
    pl->p->spec.env = env;
    return 0;
}

static int read_script(struct planner *pl, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    struct str  script;
    int         rc = fd_read_file(path, AXERA_SCRIPT_BYTES, pl->a, &script, e);

    if (rc == 0) rc = axera_script_parse(script, slash ? slash + 1 : path, pl->a, &pl->script, e);
    return rc;
}

/* Where axllm's config.json says its tokenizer is, if that is one we read. */
static int read_config(struct planner *pl, const char *folder, struct err *e)
{
    struct json_doc *doc = NULL;
    const char      *path = join(pl, folder, "config.json");
    struct str       config, url;

    if (!is_file(path))
        return err_set(e, ERR_BAD_CONFIG, "%.200s holds no config.json, which axllm needs; for an older model name "
                       "its run script: --engine axera:FOLDER/run_....sh", folder);
    int rc = fd_read_file(path, MIB(1), pl->a, &config, e);
    if (rc == 0) rc = json_parse(config, NULL, &doc, e);
    if (rc < 0) return err_wrap(e, "%.200s", path);
    url = json_str(json_get(json_root(doc), "url_tokenizer_model"));
    if (url.n && str_ends(url, STR("tokenizer.json"))) {
        const char *z = text(pl, arena_str(pl->a, url));
        pl->tokenizer = is_file(join(pl, folder, z)) ? join(pl, folder, z) : NULL;
    }
    json_free(doc);
    return 0;
}

static int make(struct planner *pl, const char *named, struct err *e)
{
    struct axera_plan *p = pl->p;
    const char        *program = "axllm", *home, *slash;
    char              *real = realpath(named, NULL); // the child runs in another folder than we
    const char        *path = text(pl, arena_str(pl->a, str_c(real ? real : named)));
    bool               folder = is_dir(path);
    int                rc     = 0;

    free(real);
    slash   = strrchr(path, '/');
    pl->dir = folder ? path : slash ? text(pl, arena_str(pl->a, (struct str){ path, (size_t)(slash - path) })) : ".";
    if (!pl->dir[0]) pl->dir = "/";
    home    = pl->dir;
    p->kind = pl->o->kind ? pl->o->kind : AXERA_AXLLM;
    if (!folder) {
        rc = read_script(pl, path, e);
        if (rc < 0) return rc;
        program = pl->script.word[0];
        if (!pl->o->kind) p->kind = guess_kind(pl);
        if (p->kind == AXERA_AXLLM) home = axllm_folder(pl);
    } else if (p->kind != AXERA_AXLLM) {
        return err_set(e, ERR_BAD_CONFIG, "%.200s is a folder; a child of kind %s needs its run script", path,
                       axera_kind_name(p->kind));
    }
    rc = find_program(pl, pl->o->program ? pl->o->program : program, &pl->arg[0], e);
    pl->n_arg = 1;
    if (rc == 0 && p->kind == AXERA_AXLLM) rc = read_config(pl, home, e);
    if (rc == 0) rc = open_tokenizer(pl, e);
    if (rc == 0) rc = p->kind == AXERA_AXLLM ? plan_axllm(pl, home, e) : plan_runner(pl, e);
    if (rc == 0) rc = make_env(pl, e);
    if (rc < 0) return rc;
    if (pl->n_arg >= ARGS_MAX - 1) return err_set(e, ERR_BAD_CONFIG, "%.300s: too many arguments", path);

    const char **argv = arena_array(pl->a, (size_t)pl->n_arg + 1, sizeof *argv);
    if (!argv || pl->failed) return err_nomem(e, "planning a child");
    memcpy(argv, pl->arg, sizeof *argv * (size_t)pl->n_arg);
    p->spec.argv = argv;
    p->spec.dir  = pl->dir;
    p->start_s   = pl->o->start_s ? (int)pl->o->start_s
                                  : START_S + (int)((size_of(pl, pl->dir, 0) >> 30) * START_GIB_S);
    return lock(pl, folder ? join(pl, home, "config.json") : path, e);
}

/* A program of the user's, or the address of one that runs. */
static int make_nw1(struct planner *pl, const char *named, struct err *e)
{
    struct axera_plan *p    = pl->p;
    char              *real = realpath(named, NULL);
    const char        *path = text(pl, arena_str(pl->a, str_c(real ? real : named))), *slash = strrchr(path, '/');
    struct stat        st;
    int                rc = 0;

    free(real);
    pl->dir    = slash > path ? text(pl, arena_str(pl->a, (struct str){ path, (size_t)(slash - path) })) : "/";
    p->kind    = AXERA_NW1;
    p->start_s = pl->o->start_s ? (int)pl->o->start_s : START_S;
    if (pl->o->tokenizer) rc = open_tokenizer(pl, e);
    if (rc < 0) return rc;
    if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        if (stat(pl->dir, &st) == 0 && st.st_mode & S_IWOTH)
            log_warn("open_socket", "path=%s why=\"others may write in its folder, and so put another socket there\"",
                     path);
        p->spec.io      = KEEPER_ADDRESS;
        p->spec.address = path;
        return pl->failed ? err_nomem(e, "planning a child") : 0;
    }
    rc        = find_program(pl, path, &pl->arg[0], e);
    pl->n_arg = 1;
    for (int i = 0; i < pl->o->n_arg; i++) arg(pl, pl->o->arg[i]);
    if (rc == 0) rc = make_env(pl, e);
    if (rc < 0) return rc;
    const char **argv = arena_array(pl->a, (size_t)pl->n_arg + 1, sizeof *argv);
    if (!argv || pl->failed) return err_nomem(e, "planning a child");
    memcpy(argv, pl->arg, sizeof *argv * (size_t)pl->n_arg);
    p->spec.argv = argv;
    p->spec.dir  = pl->dir;
    p->spec.io   = KEEPER_SOCKET;
    return lock(pl, path, e);
}

int axera_plan_make(const char *path, bool nw1, const struct axera_opts *o, struct arena *a, struct axera_plan *ret,
                    struct err *e)
{
    struct axera_plan p  = { .spec.listen_fd = -1, .lock_fd = -1, .file = { -1, -1, -1 } };
    struct planner    pl = { .o = o, .a = a, .p = &p };
    int               rc = nw1 ? make_nw1(&pl, path, e) : make(&pl, path, e);

    if (rc < 0) axera_plan_close(&p);
    else *ret = p;
    return rc;
}

const char *axera_call_path(const char *engine, bool *nw1)
{
    *nw1 = str_starts(str_c(engine), STR(AXERA_NW1_CALL));
    if (*nw1) return engine + strlen(AXERA_NW1_CALL);
    return str_starts(str_c(engine), STR(AXERA_CALL)) ? engine + strlen(AXERA_CALL) : NULL;
}

void axera_plan_close(struct axera_plan *p)
{
    for (int i = 0; i < 3; i++) fd_close(&p->file[i]);
    fd_close(&p->spec.listen_fd);
    fd_close(&p->lock_fd);
}

void axera_plan_pack(struct buf *b, const struct axera_plan *p)
{
    pack_u8(b, (uint8_t)p->kind);
    pack_u32(b, (uint32_t)p->start_s);
    pack_u32(b, (uint32_t)p->n_file);
    for (int i = 0; i < p->n_file; i++) pack_str(b, str_c(p->name[i]));
}
