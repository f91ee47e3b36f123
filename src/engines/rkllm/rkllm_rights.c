/* rkllm_rights.c - what must be done before the rights go, and which of them stay. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "engines/rkllm/rkllm_int.h"
#include "os/sandbox.h"

#define NOFILE_WANT 102400 // a weight tensor is a descriptor; at 1024 loading ends with errno 24
#define NOFILE_FEW  65536

/* Where NPUs, their memory and their picture units are reached; which of them there are depends on the kernel. */
static const char *const devices[] = { "/dev/dri", "/dev/rknpu", "/dev/dma_heap", "/dev/mali0", "/dev/rga",
                                       "/dev/mpp_service", "/dev/shm" };

struct rights {
    struct sandbox_path path[SANDBOX_PATHS];
    char                text[SANDBOX_PATHS][PATH_MAX];
    int                 n;
};

/* The real path of `path`, or of the folder that it lies in. What does not exist gives no right. */
static int allow(struct rights *r, const char *path, bool folder, bool write, struct err *e)
{
    if (!path) return 0;
    if (r->n == SANDBOX_PATHS)
        return err_set(e, ERR_BAD_CONFIG, "--npu-allow: too many paths, the limit is %d", SANDBOX_PATHS / 2);
    char *text = r->text[r->n];
    if (!realpath(path, text)) return 0;
    char *slash = strrchr(text, '/');
    if (folder && slash) slash[slash == text] = 0;
    r->path[r->n++] = (struct sandbox_path){ text, write };
    return 0;
}

static void raise_nofile(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0) return;
    if (r.rlim_max < NOFILE_FEW)
        log_warn("few_descriptors", "hard_limit=%llu the library needs one for each tensor; raise LimitNOFILE or "
                 "ulimit -Hn to %d", (unsigned long long)r.rlim_max, NOFILE_WANT);
    r.rlim_cur = r.rlim_max < NOFILE_WANT ? r.rlim_max : NOFILE_WANT;
    setrlimit(RLIMIT_NOFILE, &r);
}

int rkllm_prepare(const struct rkllm_conf *c, const struct engine_file *file, int n_file, bool *landlock,
                  struct err *e)
{
    char           link[64];
    struct rights *r  = mem_zalloc(sizeof *r); // once, and of no model's lifetime
    int            rc = r ? 0 : err_nomem(e, "starting a worker");

    if (rc < 0) return rc;
    raise_nofile();
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(devices); i++) rc = allow(r, devices[i], false, true, e);
    const char *lib = c->library ? c->library : getenv("RKLLM_LIB_PATH");
    rc = rc < 0 ? rc : allow(r, lib, true, false, e);
    rc = rc < 0 ? rc : allow(r, c->lora, false, false, e);
    rc = rc < 0 ? rc : allow(r, c->prompt_cache, false, false, e);
    for (int i = 0; rc == 0 && i < n_file && i < 1; i++) { // the model: its folder, what lies beside it is its own
        snprintf(link, sizeof link, "/proc/self/fd/%d", file[i].fd);
        rc = allow(r, link, true, false, e);
    }
    for (int i = 0; rc == 0 && i < c->n_allow; i++) rc = allow(r, c->allow[i], false, true, e);
    if (rc == 0) rc = rkllm_log_start(e);
    if (rc == 0) rc = sandbox_enter_device(r->path, r->n, landlock, e);
    mem_free(r);
    return rc;
}
