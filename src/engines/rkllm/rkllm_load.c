/* rkllm_load.c - from a file and options to a handle that runs.
 *
 * The library decides everything at init: context, sampling (before 1.3), CPUs, address space. What it wants
 * is checked there, with messages that it prints; a refusal here quotes the last of them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "engines/rkllm/rkllm_int.h"

#define LOAD_GIB_MS   45000  // storage of small boards reads this slowly
#define TURN_MS       600000 // other models' loads that we wait for
#define CTX_UNKNOWN   4096   // neither the option nor the name says it; the library's word corrects it
#define CTX_MULTIPLE  32

struct load {
    struct engine *en;
    const char    *path; // of the model
    int            lock_fd;
    int            rc;
    struct err     err;
};

/* --- one model at a time on the whole machine --- */

/* The library's loads disturb each other, also across processes: a lock on a file that all of them use. */
static int take_turn(int fd, struct err *e)
{
    const struct timespec pause = { 0, 50000000 };
    uint64_t              end   = clock_mono_us() + (uint64_t)TURN_MS * 1000;

    if (fd < 0) return 0;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return err_set(e, ERR_IO, "the NPU's lock: %s", err_errno(errno));
        if (clock_mono_us() > end)
            return err_set(e, ERR_IO, "another process has been loading an NPU model for %d s", TURN_MS / 1000);
        nanosleep(&pause, NULL);
    }
    return 0;
}

/* --- parameters --- */

static const struct {
    const char       *name;
    enum rkllm_field  field;
    bool              whole;
    size_t            at;
} sampling_names[] = {
#define NAME(n, whole) { #n, RKLLM_param_##n, whole, offsetof(struct rkllm_sampling, n) }
    NAME(top_k, true), NAME(top_p, false), NAME(temperature, false), NAME(repeat_penalty, false),
    NAME(frequency_penalty, false), NAME(presence_penalty, false), NAME(mirostat, true),
    NAME(mirostat_tau, false), NAME(mirostat_eta, false),
#undef NAME
};

/* "top_k=20,temperature=0.6" over the library's own values. */
static int read_sampling(const char *text, struct rkllm_sampling *ret, struct err *e)
{
    struct str rest = str_c(text), item;

    while (str_cut(&rest, ',', &item)) {
        size_t     eq   = str_find_byte(item, '=');
        struct str name = eq == SIZE_MAX ? item : str_trim(str_sub(item, 0, eq));
        double     v;
        size_t     i = 0;
        while (i < ARRAY_LEN(sampling_names) && !str_eq(name, str_c(sampling_names[i].name))) i++;
        if (i == ARRAY_LEN(sampling_names) || eq == SIZE_MAX || !str_to_f64(str_trim(str_from(item, eq + 1)), &v) ||
            v < -1000 || v > 1e6)
            return err_set(e, ERR_BAD_CONFIG, "--rkllm-sampling: \"%.60s\" is not NAME=NUMBER,... with top_k, top_p, "
                           "temperature, repeat_penalty, frequency_penalty, presence_penalty, mirostat, mirostat_tau "
                           "or mirostat_eta", text);
        char *at = (char *)ret + sampling_names[i].at;
        if (sampling_names[i].whole) {
            int32_t n = (int32_t)v;
            memcpy(at, &n, sizeof n);
        } else {
            float f = (float)v;
            memcpy(at, &f, sizeof f);
        }
    }
    return 0;
}

static void default_sampling(const struct rkllm_lib *lib, struct rkllm_sampling *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(sampling_names); i++) {
        int32_t word = rkllm_get_i32(lib->layout, lib->defaults, sampling_names[i].field); // its bits, float or not
        memcpy((char *)ret + sampling_names[i].at, &word, sizeof word);
    }
}

static unsigned cpu_mask(const struct engine *en, int *n)
{
    const struct rkllm_platform *p    = rkllm_platform_find(str_c(en->conf.platform ? en->conf.platform : "rk3588"));
    long                         cpus = sysconf(_SC_NPROCESSORS_CONF);
    unsigned                     mask = en->conf.cpu_mask;

    if (!mask) mask = en->conf.platform && p ? p->cpu_mask : cpus >= 8 ? 0xf0 : 0x0f;
    *n = __builtin_popcount(mask);
    return mask;
}

/* Our own zeroed struct with the fields that we know: the library leaves some of its defaults unwritten. */
static void fill_param(struct load *l, unsigned char *param)
{
    static const char            nothing[] = "";
    struct engine               *en        = l->en;
    const struct rkllm_layout   *y         = en->lib.layout;
    int                          n_cpu;
    unsigned                     mask = cpu_mask(en, &n_cpu);

    rkllm_put_ptr(y, param, RKLLM_param_model_path, l->path);
    rkllm_put_i32(y, param, RKLLM_param_max_context_len, en->n_ctx);
    rkllm_put_i32(y, param, RKLLM_param_max_new_tokens, -1); // counted by us
    rkllm_put_i32(y, param, RKLLM_param_n_keep, -1);         // the context never shifts: answers end before
    for (size_t i = 0; i < ARRAY_LEN(sampling_names); i++) {
        int32_t word;
        memcpy(&word, (const char *)&en->sampling + sampling_names[i].at, sizeof word);
        rkllm_put_i32(y, param, sampling_names[i].field, word);
    }
    rkllm_put_i8(y, param, RKLLM_param_skip_special_token, !(en->caps & ENGINE_TOK_OUT));
    rkllm_put_ptr(y, param, RKLLM_param_img_start, nothing);
    rkllm_put_ptr(y, param, RKLLM_param_img_end, nothing);
    rkllm_put_ptr(y, param, RKLLM_param_img_content, nothing);
    rkllm_put_i32(y, param, RKLLM_param_base_domain_id, en->conf.domain);
    rkllm_put_i8(y, param, RKLLM_param_embed_flash, 1);
    rkllm_put_i8(y, param, RKLLM_param_enabled_cpus_num, n_cpu);
    rkllm_put_i32(y, param, RKLLM_param_enabled_cpus_mask, (int32_t)mask);
    rkllm_put_i8(y, param, RKLLM_param_n_batch, 1); // 0 fails
}

/* --- init --- */

static int failed(struct load *l, const char *what)
{
    struct rkllm_facts f;

    rkllm_log_facts(&f);
    return l->rc = err_set(&l->err, ERR_BAD_FILE, "%s%s%s", what, f.error[0] ? "; the library's last word: " : "",
                           f.error);
}

static int load_extras(struct load *l)
{
    struct engine             *en = l->en;
    const struct rkllm_layout *y  = en->lib.layout;

    if (en->conf.own_template && en->lib.set_chat_template &&
        en->lib.set_chat_template(en->handle, "", "", "") != 0)
        return failed(l, "the library's own chat template cannot be switched off");
    if (en->conf.lora) {
        unsigned char adapter[RKLLM_STRUCT_BYTES] = { 0 };
        if (!en->lib.load_lora) return failed(l, "--rkllm-lora: this library cannot load adapters");
        snprintf(en->lora_name, sizeof en->lora_name, "curlew");
        rkllm_put_ptr(y, adapter, RKLLM_adapter_path, en->conf.lora);
        rkllm_put_ptr(y, adapter, RKLLM_adapter_name, en->lora_name);
        rkllm_put_f32(y, adapter, RKLLM_adapter_scale, 1);
        if (en->lib.load_lora(en->handle, adapter) != 0) return failed(l, "--rkllm-lora: the adapter does not load");
    }
    if (en->conf.prompt_cache) {
        if (!en->lib.load_prompt_cache) return failed(l, "--rkllm-prompt-cache: this library has no prompt cache");
        if (en->lib.load_prompt_cache(en->handle, en->conf.prompt_cache) != 0)
            return failed(l, "--rkllm-prompt-cache: the file does not load");
    }
    return 0;
}

/* On the library's thread: loading it runs the vendor's code, too. */
static void load_job(void *ctx)
{
    struct load   *l  = ctx;
    struct engine *en = l->en;
    const char    *lib   = en->conf.library ? en->conf.library : getenv("RKLLM_LIB_PATH");
    unsigned char  param[RKLLM_STRUCT_BYTES] = { 0 };
    void          *callbacks[8] = { 0 }; // 1.3: result callback and its userdata, then others that we have not
    void          *function;
    rkllm_callback *fn = rkllm_on_result;

    l->rc = rkllm_lib_open(lib ? lib : RKLLM_LIB_NAME, &en->lib, &l->err);
    if (l->rc == 0) l->rc = rkllm_lib_choose(&en->lib, en->conf.layout, &l->err);
    if (l->rc < 0) return;
    default_sampling(&en->lib, &en->sampling);
    if (en->conf.sampling) l->rc = read_sampling(en->conf.sampling, &en->sampling, &l->err);
    if (l->rc < 0) return;

    memcpy(&function, &fn, sizeof function);
    callbacks[0] = function;
    fill_param(l, param);
    rkllm_log_clear_error();
    int rc = en->lib.init(&en->handle, param, en->lib.layout->callback_set ? (void *)callbacks : function);
    struct rkllm_facts f;
    rkllm_log_facts(&f);
    if (rc != 0) failed(l, "rkllm_init failed");
    else if (!en->handle) failed(l, "rkllm_init said it was well, but gave no handle");
    else if (str_find(str_c(f.error), STR("rkllm_init failed")) != SIZE_MAX) failed(l, "rkllm_init failed");
    else load_extras(l);
}

int rkllm_retry_ctx(int wanted)
{
    struct rkllm_facts f;

    rkllm_log_facts(&f);
    bool about_ctx = str_find(str_c(f.error), STR("max_context")) != SIZE_MAX;
    return about_ctx && f.ctx_limit >= CTX_MULTIPLE && f.ctx_limit < wanted ? f.ctx_limit : 0;
}

int rkllm_ctx_wanted(const char *name, int asked)
{
    int named = rkllm_name_parse(str_c(name)).n_ctx;
    int n     = asked ? asked : named ? named : CTX_UNKNOWN;

    return n < CTX_MULTIPLE ? CTX_MULTIPLE : n / CTX_MULTIPLE * CTX_MULTIPLE;
}

int rkllm_load(struct engine *en, const struct engine_conf *conf, struct err *e)
{
    static struct load l; // a library that hangs goes on using it, as it does the engine
    static char        link[64], path[RKLLM_PATH_BYTES];
    int64_t            ms = en->conf.stall_ms + (int64_t)((double)conf->file[0].size / (double)GIB(1) * LOAD_GIB_MS);

    int n_cpu, n_core = en->conf.n_core ? en->conf.n_core : en->name.n_core;
    cpu_mask(en, &n_cpu);
    if (n_cpu < n_core)
        return err_set(e, ERR_BAD_CONFIG, "%s was made for %d NPU cores and needs as many CPUs, --npu-cpus gives %d",
                       conf->file[0].name, n_core, n_cpu);
    l = (struct load){ .en = en, .lock_fd = -1 };
    for (int i = 0; i < conf->n_file; i++)
        if (!strcmp(conf->file[i].name, RKLLM_LOCK_NAME)) l.lock_fd = conf->file[i].fd;
    snprintf(link, sizeof link, "/proc/self/fd/%d", conf->file[0].fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n > 0) path[n] = 0;
    l.path = n > 0 && !en->conf.fd_path ? path : link; // the vendor's programs give a path: so do we
    int rc = take_turn(l.lock_fd, e);
    if (rc < 0) return rc;
    bool done = rkllm_work_do(&en->work, load_job, &l, ms);
    if (l.lock_fd >= 0) flock(l.lock_fd, LOCK_UN);
    if (!done)
        return err_set(e, ERR_BAD_FILE, "the library did not finish loading within %lld s: another program may hold "
                       "the NPU", (long long)(ms / 1000));
    if (l.rc < 0) *e = l.err;
    return l.rc;
}
