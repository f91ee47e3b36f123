/* rkllm_work.c - one thread that makes the library's long calls, and somebody who does not wait for ever. */
#include <time.h>

#include "base/clock.h"
#include "engines/rkllm/rkllm_int.h"

static void *work_thread(void *arg)
{
    struct rkllm_work *w = arg;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->job && !w->quit) pthread_cond_wait(&w->wake, &w->lock);
        if (w->quit) break;
        rkllm_job *job = w->job;
        pthread_mutex_unlock(&w->lock);
        job(w->ctx);
        pthread_mutex_lock(&w->lock);
        w->job = NULL;
        pthread_cond_broadcast(&w->wake);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int rkllm_work_start(struct rkllm_work *w, struct err *e)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);
    w->started = pthread_create(&w->thread, NULL, work_thread, w) == 0;
    return w->started ? 0 : err_set(e, ERR_IO, "cannot start the library's thread");
}

void rkllm_work_stop(struct rkllm_work *w)
{
    if (w->lost) return; // it holds the lock's memory for ever; the process ends soon
    if (w->started) {
        pthread_mutex_lock(&w->lock);
        w->quit = true;
        pthread_cond_broadcast(&w->wake);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
}

void rkllm_work_begin(struct rkllm_work *w, rkllm_job *job, void *ctx)
{
    w->job = job;
    w->ctx = ctx;
    pthread_cond_broadcast(&w->wake);
}

void rkllm_work_wait(struct rkllm_work *w, int ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

bool rkllm_work_do(struct rkllm_work *w, rkllm_job *job, void *ctx, int64_t ms)
{
    uint64_t end = clock_mono_us() + (uint64_t)ms * 1000, now = 0;

    pthread_mutex_lock(&w->lock);
    rkllm_work_begin(w, job, ctx);
    while (w->job && (now = clock_mono_us()) < end) {
        uint64_t left = (end - now) / 1000 + 1;
        rkllm_work_wait(w, left < 1000 ? (int)left : 1000);
    }
    bool done = !w->job;
    if (!done) w->lost = true;
    pthread_mutex_unlock(&w->lock);
    return done;
}
