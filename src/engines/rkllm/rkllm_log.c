/* rkllm_log.c - what the library prints: into our log, and the facts that it tells nowhere else.
 *
 *     I rkllm: rkllm-runtime version: 1.2.3, rknpu driver version: 0.9.8, platform: RK3588
 *     I rkllm: rkllm-toolkit version: 1.2.3, max_context_limit: 4096, npu_core_num: 3, target_platform: RK3588, ...
 *
 * The facts are the worker's: it has one library.
 */
#include <ctype.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "engines/rkllm/rkllm_int.h"
#include "os/capture.h"

static struct shared {
    pthread_mutex_t    lock;
    struct rkllm_facts facts;
} *shared; // lines are read in another process: os/capture.h

/* The word after `key` up to a comma or blank; empty when the line has no such key. */
static struct str value(struct str line, struct str key)
{
    size_t at = str_find(line, key);
    size_t n  = 0;

    if (at == SIZE_MAX) return STR("");
    struct str v = str_trim(str_from(line, at + key.n));
    while (n < v.n && v.p[n] != ',' && v.p[n] != ' ' && v.p[n] != ']') n++;
    return str_sub(v, 0, n);
}

static void keep(char *dst, size_t size, struct str line, struct str key)
{
    struct str v = value(line, key);

    if (v.n) str_copy_z(dst, size, v);
}

static void keep_int(int *dst, struct str line, struct str key)
{
    int64_t v;

    if (str_to_i64(value(line, key), &v) && v > 0 && v <= INT32_MAX) *dst = (int)v;
}

/* "E rkllm: ..." or a line with one of the words that failures have; its other lines are information. */
static bool is_error(struct str line)
{
    static const char *const words[] = { "error", "failed", "invalid", "must be", "does not match", "lower than",
                                         "greater than", "not found", "aborted at" };
    char low[CAPTURE_LINE_BYTES];

    if (str_starts(line, STR("E "))) return true;
    if (line.n >= sizeof low) return false;
    for (size_t i = 0; i < line.n; i++) low[i] = (char)tolower((unsigned char)line.p[i]);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_find((struct str){ low, line.n }, str_c(words[i])) != SIZE_MAX) return true;
    return false;
}

/* Names of files without their folders: clients may see it. */
static void keep_error(char *dst, size_t size, struct str line)
{
    char   out[CAPTURE_LINE_BYTES];
    size_t n = 0, word = 0; // where the word began in out

    for (size_t i = 0; i < line.n && n < sizeof out; i++) {
        char c = line.p[i];
        if (c == '/' && (n == word || out[word] == '/')) n = word; // a path from the root: only its last part stays
        out[n++] = c;
        if (c == ' ' || c == '\'' || c == '"' || c == '(' || c == ':' || c == '=') word = n;
    }
    str_copy_z(dst, size, (struct str){ out, n });
}

static void rkllm_log_line(void *ctx, struct str line)
{
    bool error = is_error(line);
    (void)ctx;

    pthread_mutex_lock(&shared->lock);
    keep_int(&shared->facts.ctx_limit, line, STR("max_context_limit: "));
    keep_int(&shared->facts.ctx_limit, line, STR("max_context_limit["));
    keep_int(&shared->facts.n_core, line, STR("npu_core_num: "));
    keep(shared->facts.runtime, sizeof shared->facts.runtime, line, STR("rkllm-runtime version: "));
    keep(shared->facts.driver, sizeof shared->facts.driver, line, STR("rknpu driver version: "));
    keep(shared->facts.platform, sizeof shared->facts.platform, line, STR(" platform: "));
    keep(shared->facts.platform, sizeof shared->facts.platform, line, STR("target_platform: "));
    keep(shared->facts.dtype, sizeof shared->facts.dtype, line, STR("model_dtype: "));
    keep(shared->facts.toolkit, sizeof shared->facts.toolkit, line, STR("rkllm-toolkit version: "));
    if (error) keep_error(shared->facts.error, sizeof shared->facts.error, line);
    pthread_mutex_unlock(&shared->lock);
    log_write(error ? LOG_LVL_WARN : LOG_LVL_INFO, "library", "says=\"" STR_FMT "\"", STR_ARG(line));
}

void rkllm_log_facts(struct rkllm_facts *ret)
{
    *ret = (struct rkllm_facts){ 0 };
    if (!shared) return; // nobody listens
    capture_flush(1000);
    pthread_mutex_lock(&shared->lock);
    *ret = shared->facts;
    pthread_mutex_unlock(&shared->lock);
}

void rkllm_log_clear_error(void)
{
    if (!shared) return;
    pthread_mutex_lock(&shared->lock);
    shared->facts.error[0] = 0;
    pthread_mutex_unlock(&shared->lock);
}

int rkllm_log_start(struct err *e)
{
    pthread_mutexattr_t attr;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return err_nomem(e, "starting a worker");
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&shared->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    return capture_start(rkllm_log_line, NULL, e);
}
