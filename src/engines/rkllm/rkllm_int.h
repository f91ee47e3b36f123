/* rkllm_int.h - the engine's state, shared inside the room's folder.
 *
 * Two threads. The library's own thread makes every call of the library that may last: init, run, destroy.
 * The caller's thread waits for it, asks it to stop, and gives it up when it says nothing any more; only
 * rkllm_abort is called from there.
 */
#ifndef CURLEW_ENGINES_RKLLM_RKLLM_INT_H
#define CURLEW_ENGINES_RKLLM_RKLLM_INT_H

#include <pthread.h>

#include "engines/rkllm/engine_rkllm.h"
#include "engines/rkllm/rkllm_lib.h"
#include "engines/rkllm/rkllm_name.h"

#define RKLLM_PATH_BYTES 4096
#define RKLLM_TAGS       8

/* --- rkllm_log.c: what the library prints --- */

/* Facts from its lines. */
struct rkllm_facts {
    int  ctx_limit;  // "max_context_limit: 4096", 0: not seen
    int  n_core;     // "npu_core_num: 3"
    char runtime[32], driver[32], platform[32], dtype[32], toolkit[32];
    char error[256]; // the last line that looks like one, or ""
};
NODISCARD int rkllm_log_start(struct err *e); // first of all: forks
void rkllm_log_facts(struct rkllm_facts *ret);   // after all lines so far; any thread
void rkllm_log_clear_error(void);

/* --- rkllm_work.c: the library's thread --- */

typedef void rkllm_job(void *ctx);

struct rkllm_work {
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    bool            started, quit;
    bool            lost; // it is inside the library and will not come back
    rkllm_job      *job;  // NULL: none is under way
    void           *ctx;
};
NODISCARD int rkllm_work_start(struct rkllm_work *w, struct err *e);
void          rkllm_work_stop(struct rkllm_work *w); // leaves a lost thread behind
void          rkllm_work_begin(struct rkllm_work *w, rkllm_job *job, void *ctx); // under lock, none under way
void          rkllm_work_wait(struct rkllm_work *w, int ms); // under lock: until something happened, or so long
/* Begin a job and wait for its end. False: it did not come within ms; the thread is lost. */
NODISCARD bool rkllm_work_do(struct rkllm_work *w, rkllm_job *job, void *ctx, int64_t ms);

/* --- the engine --- */

struct rkllm_run; // rkllm_run.c

/* What the library's KV cache holds, while it keeps it between runs. */
struct rkllm_kv {
    int32_t *tok; // [n] owned
    size_t   n, cap;
    bool     known;  // tok is what is there
    bool     dirty;  // something may be there
    bool     failed; // a token could not be kept
};

struct rkllm_tag {
    struct engine *en;
    uint64_t       serial; // of the run that it belongs to
};

struct engine {
    struct rkllm_conf conf;
    struct rkllm_name name;
    struct rkllm_lib  lib;
    struct rkllm_work work;
    void             *handle;
    int               n_ctx;
    char              quant[32], arch[64];
    uint64_t          weight_bytes;
    uint32_t          caps;
    struct rkllm_sampling sampling; // values at init
    char              lora_name[8]; // "curlew", or ""
    struct rkllm_kv   kv;           // rkllm_reuse.c

    /* under work.lock */
    uint64_t          serial; // of the run under way, or of the last
    struct rkllm_run *run;    // NULL: none; callbacks are ignored then
    bool              aborted;
    struct rkllm_tag  tag[RKLLM_TAGS]; // userdata of the last runs: a late callback is known by it
};

/* rkllm_load.c: what the file and the options say becomes a handle. Error: what the library said. */
NODISCARD int rkllm_load(struct engine *en, const struct engine_conf *conf, struct err *e);
/* rkllm_reuse.c. On the library's thread: how many tokens of a prompt are in the cache; they are not sent. */
bool   rkllm_reuse_can(const struct engine *en);
size_t rkllm_reuse_begin(struct engine *en, const int32_t *tok, size_t n);
void   rkllm_reuse_put(struct engine *en, const int32_t *tok, size_t n); // sent, or generated
void   rkllm_reuse_end(struct engine *en, bool whole);                   // whole: neither aborted nor failed
void   rkllm_reuse_free(struct engine *en);

/* rkllm_run.c: the library's callback, engine_ops' generate and abort. */
int  rkllm_on_result(void *result, void *userdata, int state);
int  rkllm_generate(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn, void *ctx,
                    struct engine_gen_result *ret, struct err *e);
void rkllm_abort(struct engine *en);

#endif
