/* cpu_rig.h - open small models with the native engine, and drive them with the real scheduler. */
#ifndef CURLEW_TESTS_CPU_RIG_H
#define CURLEW_TESTS_CPU_RIG_H

#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engines/cpu/engine_cpu.h"
#include "sched/sched.h"

struct rig {
    struct engine     *en;
    struct engine_info info;
};

/* level: of CPU, NULL for the best. The descriptor may be closed afterwards. */
static inline struct rig rig_open_fd(int fd, const char *level, const struct engine_conf *like)
{
    struct err  e = { 0 };
    struct rig  m;
    struct stat st;

    if (level) setenv("CPU", level, 1);
    else unsetenv("CPU");
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    const struct engine_file file = { "model.gguf", fd, (uint64_t)st.st_size };
    struct engine_conf conf = *like;
    conf.file = &file;
    conf.n_file = 1;
    assert_ok(engine_cpu.open(&conf, &m.en, &e));
    engine_cpu.info(m.en, &m.info);
    return m;
}

/* A model of tests/data/model; keys and values in 8 bits where its name says so. */
static inline struct rig rig_open(const char *name, const char *level, struct engine_conf conf)
{
    char rel[64];

    snprintf(rel, sizeof rel, "model/%s.gguf", name);
    int fd = open(unit_data(rel), O_RDONLY | O_CLOEXEC);
    conf.kv_type = strstr(name, "kvq8") ? ENGINE_KV_Q8_0 : ENGINE_KV_F16;
    struct rig m = rig_open_fd(fd, level, &conf);
    close(fd);
    return m;
}

static inline void rig_close(struct rig *m)
{
    engine_cpu.close(m->en);
}

/* A scheduler for it: page_tok, windows and context are the engine's. */
static inline struct sched *rig_sched(const struct rig *m, struct sched_conf c)
{
    struct sched *s;
    struct err    e = { 0 };

    c.n_ctx = c.n_ctx ? c.n_ctx : m->info.n_ctx;
    c.n_page = c.n_page ? c.n_page : m->info.n_kv_page;
    c.n_win = c.n_win ? c.n_win : m->info.n_win_page;
    c.page_tok = m->info.kv_page_tok;
    c.n_swa = m->info.n_swa;
    assert_ok(sched_new(&c, &s, &e));
    return s;
}

#endif
