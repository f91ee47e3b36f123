/* npu.c - the supervisor's and the worker's part in serving NPU models. */
#include "prog/npu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "engines/rkllm/rkllm_name.h"
#include "os/fd.h"

#define TREE_FILE  "/proc/device-tree/compatible"
#define DOMAIN_MAX 15

bool npu_is_rkllm(const struct settings *s, const char *base)
{
    struct str engine = str_c(s->engine);

    return str_eq(engine, STR("rkllm")) || (str_eq(engine, STR("auto")) && str_ends(str_c(base), STR(".rkllm")));
}

int npu_platform(const struct settings *s, const char **ret, struct err *e)
{
    char                         tree[512];
    const struct rkllm_platform *p = NULL;

    *ret = NULL;
    if (strcmp(s->npu_platform, "auto") != 0) {
        p = rkllm_platform_find(str_c(s->npu_platform));
        if (!p)
            return err_set(e, ERR_BAD_CONFIG, "--npu-platform: \"%.40s\" is not known; auto, rk3588, rk3576, rk3562 "
                           "and rv1126b are", s->npu_platform);
    } else {
        int     fd = open(TREE_FILE, O_RDONLY | O_CLOEXEC);
        ssize_t n  = fd >= 0 ? read(fd, tree, sizeof tree) : 0;
        if (fd >= 0) close(fd);
        if (n > 0) p = rkllm_platform_of_tree((struct str){ tree, (size_t)n });
    }
    if (p) *ret = p->name;
    return 0;
}

/* The n-th number of "0,1,2", one number alone for all; without a list n itself. */
int npu_domain(const struct settings *s, int index, int64_t *ret, struct err *e)
{
    struct str rest = str_c(s->npu_domain), item;

    *ret = index <= DOMAIN_MAX ? index : DOMAIN_MAX;
    for (int i = 0; str_cut(&rest, ',', &item); i++) {
        int64_t v;
        if (!str_to_i64(str_trim(item), &v) || v < 0 || v > DOMAIN_MAX)
            return err_set(e, ERR_BAD_CONFIG, "--npu-domain: \"%.60s\" is not a list of numbers from 0 to %d",
                           s->npu_domain, DOMAIN_MAX);
        if (i == index || i == 0) *ret = v;
        if (i == 0 && index > 0 && rest.p) *ret = index <= DOMAIN_MAX ? index : DOMAIN_MAX;
    }
    return 0;
}

/* MODEL.NAME or NAME in the model's folder, if it is there. */
static int open_one(struct model_spec *m, const char *name, const char *as, struct err *e)
{
    struct str  stem  = str_c(m->path);
    const char *slash = strrchr(m->path, '/');
    struct stat st;
    char        path[4096];

    if (str_ends(stem, STR(".rkllm"))) stem.n -= 6;
    for (int i = 0; i < 2; i++) {
        int n = i == 0 ? snprintf(path, sizeof path, STR_FMT ".%s", STR_ARG(stem), name)
                       : snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash - m->path + 1) : 0, m->path, name);
        if (n < 0 || n >= (int)sizeof path || (stat(path, &st) < 0 && errno == ENOENT)) continue;
        struct engine_file *f = &m->beside[m->n_beside];
        int                 rc = fd_open_file(path, &f->fd, &f->size, e);
        if (rc < 0) return rc;
        f->name = as;
        m->n_beside++;
        return 0;
    }
    return 0;
}

int npu_open_beside(struct model_spec *m, struct err *e)
{
    const struct settings   *s = m->own;
    static const struct {
        const char *name, *as;
    } files[] = { { "tokenizer.json", "tokenizer.json" }, { "tokenizer_config.json", "tokenizer_config.json" },
                  { "chat_template.jinja", NPU_TEMPLATE } };
    struct rkllm_name        n = rkllm_name_parse(str_c(m->base));
    const char              *here;
    struct rkllm_conf        c;
    int                      rc = npu_platform(s, &here, e);

    if (rc == 0) rc = npu_conf(s, &c, e); // what is wrong in the settings is said before anything starts
    if (rc < 0) return rc;
    if (here && n.platform && strcmp(here, n.platform) != 0)
        return err_set(e, ERR_BAD_CONFIG, "%s was made for %s, this machine is %s: a model runs only on the chip it was "
                       "converted for (--npu-platform overrides what the machine says)", m->path, n.platform, here);
    m->npu = true;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(files); i++) rc = open_one(m, files[i].name, files[i].as, e);
    return rc;
}

int npu_lock_open(const struct settings *s)
{
    const char *path = s->npu_lock;

    if (!path || !*path) return -1;
    int fd = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0) fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC); // somebody else's: it can be locked all the same
    if (fd < 0) log_warn("npu_lock", "path=%s error=\"%s\" loads of other programs are not waited for", path, err_errno(errno));
    return fd;
}

static int read_mask(const char *text, unsigned *ret, struct err *e)
{
    char         *end;
    unsigned long v;

    *ret = 0;
    if (!strcmp(text, "auto")) return 0;
    errno = 0;
    v     = strtoul(text, &end, 0);
    if (errno || *end || end == text || v == 0 || v > 0xff)
        return err_set(e, ERR_BAD_CONFIG, "--npu-cpus: \"%.40s\" is not a mask of CPUs 0 to 7, e.g. 0xf0", text);
    *ret = (unsigned)v;
    return 0;
}

int npu_conf(const struct settings *s, struct rkllm_conf *ret, struct err *e)
{
    struct rkllm_conf c = {
        .library = s->rkllm_library, .layout = s->rkllm_layout, .lora = s->rkllm_lora,
        .prompt_cache = s->rkllm_prompt_cache, .sampling = s->rkllm_sampling, .allow = s->npu_allow.v,
        .n_allow = s->npu_allow.n, .n_core = (int)s->npu_cores, .stall_ms = (int)s->npu_stall_ms,
        .text_in = s->rkllm_input == RKLLM_WORD_TEXT || s->rkllm_template == RKLLM_WORD_LIBRARY,
        .text_out = s->rkllm_output == RKLLM_WORD_TEXT, .own_template = s->rkllm_template == RKLLM_WORD_OWN,
        .reuse = s->rkllm_reuse, .fd_path = s->rkllm_path == RKLLM_WORD_FD,
    };
    int64_t domain;
    int     rc = read_mask(s->npu_cpus, &c.cpu_mask, e);

    if (rc == 0) rc = npu_platform(s, &c.platform, e);
    if (rc == 0) rc = npu_domain(s, 0, &domain, e); // the supervisor put this model's own there
    if (rc < 0) return rc;
    c.domain = (int)domain;
    *ret     = c;
    return 0;
}
