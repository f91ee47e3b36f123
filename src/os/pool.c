/* pool.c - see pool.h.
 *
 * One 64-bit word holds the number of the phase (upper half) and the next item to hand out (lower
 * half). A lane takes an item by counting the word up; if the word's phase is no longer the lane's
 * own, that phase is over. Finished items are reported in one addition per lane and phase; whoever
 * reports the last one moves the word to the next phase.
 *
 * `gate` lets lanes into a job: the job's number (upper half), an open bit, and how many are inside.
 * A lane that wakes too late finds the gate shut and stays out. pool_run returns when all are out, so
 * a job's data may be on the caller's stack.
 */
#include "os/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/mem.h"

/* About 100 us: longer than any phase of decoding should wait, shorter than a person or a power bill
 * would notice. */
#define SPINS 3000

#define GATE_OPEN   (1u << 31)
#define GATE_INSIDE (GATE_OPEN - 1)

struct lane {
    struct pool *pool;
    int          id;
    uint32_t     phase;  // the lane is in this one
    uint32_t     n_done; // its finished items not yet reported
    pthread_t    thread;
} ALIGNED(64);

struct pool {
    _Atomic uint64_t work ALIGNED(64); // phase << 32 | next item
    _Atomic uint32_t done ALIGNED(64); // items of the phase reported
    _Atomic uint64_t gate ALIGNED(64); // job << 32 | open bit | lanes inside
    _Atomic uint32_t n_asleep;
    _Atomic bool     stop;
    pool_fn         *fn;
    void            *ctx;
    int              n_lane;
    int              n_started; // threads, without lane 0
    pthread_mutex_t  lock;      // guards only falling asleep and waking
    pthread_cond_t   wake;
    struct lane     *lane;      // [n_lane]
    void            *block;     // what `lane` lies in
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* What a lane waits for. */
typedef bool ready_fn(const struct lane *l);

static bool phase_over(const struct lane *l)
{
    return (uint32_t)(atomic_load(&l->pool->work) >> 32) != l->phase;
}

static bool all_out(const struct lane *l)
{
    return !(atomic_load(&l->pool->gate) & GATE_INSIDE);
}

static void wait_for(struct lane *l, ready_fn *ready)
{
    struct pool *p = l->pool;

    for (int i = 0; i < SPINS; i++) {
        if (ready(l)) return;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    /* Counted before looking again: whoever makes it ready looks at the count after doing so. */
    atomic_fetch_add(&p->n_asleep, 1);
    while (!ready(l)) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->n_asleep, 1);
    pthread_mutex_unlock(&p->lock);
}

static void wake_all(struct pool *p)
{
    if (!atomic_load(&p->n_asleep)) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

bool lane_next(struct lane *l, int n_item, int *item)
{
    struct pool *p = l->pool;

    if (n_item <= 0) return false;
    uint64_t w = atomic_load_explicit(&p->work, memory_order_acquire);
    while ((uint32_t)(w >> 32) == l->phase && (uint32_t)w < (uint32_t)n_item) {
        if (!atomic_compare_exchange_weak_explicit(&p->work, &w, w + 1, memory_order_acquire,
                                                   memory_order_acquire))
            continue;
        *item = (int)(uint32_t)w;
        l->n_done++; // it will be when the lane comes back
        return true;
    }
    if (l->n_done) {
        uint32_t mine = l->n_done;
        l->n_done = 0;
        if (atomic_fetch_add(&p->done, mine) + mine == (uint32_t)n_item) {
            atomic_store_explicit(&p->done, 0, memory_order_relaxed);
            atomic_store(&p->work, (uint64_t)(l->phase + 1) << 32);
            wake_all(p);
        }
    }
    wait_for(l, phase_over);
    l->phase++;
    return false;
}

int lane_id(const struct lane *l)
{
    return l->id;
}

/* Into the job, or false when its gate is shut or this lane had that job already. */
static bool enter(struct lane *l, uint32_t last_job)
{
    uint64_t g = atomic_load(&l->pool->gate);

    while ((g & GATE_OPEN) && (uint32_t)(g >> 32) != last_job)
        if (atomic_compare_exchange_weak(&l->pool->gate, &g, g + 1)) return true;
    return false;
}

static void *lane_main(void *arg)
{
    struct lane *l = arg;
    struct pool *p = l->pool;
    uint32_t     job = 0;

    for (;;) {
        bool in = false;
        for (int i = 0; i < SPINS && !(in = enter(l, job)) && !atomic_load(&p->stop); i++) relax();
        if (!in) {
            pthread_mutex_lock(&p->lock);
            atomic_fetch_add(&p->n_asleep, 1);
            while (!(in = enter(l, job)) && !atomic_load(&p->stop))
                pthread_cond_wait(&p->wake, &p->lock);
            atomic_fetch_sub(&p->n_asleep, 1);
            pthread_mutex_unlock(&p->lock);
        }
        if (!in) return NULL;
        job = (uint32_t)(atomic_load(&p->gate) >> 32);
        p->fn(p->ctx, l);
        if ((atomic_fetch_sub(&p->gate, 1) & (GATE_OPEN | GATE_INSIDE)) == 1) wake_all(p);
    }
}

void pool_run(struct pool *p, pool_fn *fn, void *ctx)
{
    struct lane *l = &p->lane[0];
    uint32_t     phase = (uint32_t)(atomic_load(&p->work) >> 32);

    p->fn = fn;
    p->ctx = ctx;
    for (int i = 0; i < p->n_lane; i++) p->lane[i].phase = phase; // nobody is inside
    uint64_t job = (atomic_load(&p->gate) >> 32) + 1;
    if ((uint32_t)job == 0) job = 1; // 0 is "none yet"
    atomic_store(&p->gate, job << 32 | GATE_OPEN);
    wake_all(p);
    fn(ctx, l);
    atomic_fetch_and(&p->gate, ~(uint64_t)GATE_OPEN);
    wait_for(l, all_out);
}

int pool_open(int n_lane, struct pool **ret, struct err *e)
{
    assert(n_lane >= 1 && n_lane <= POOL_LANES_MAX);
    /* one block; both structs want to begin on a cache line */
    char *block = mem_zalloc(sizeof(struct pool) + (size_t)n_lane * sizeof(struct lane) + 64);
    if (!block) return err_nomem(e, "starting the compute threads");
    struct pool *p = (struct pool *)(((uintptr_t)block + 63) & ~(uintptr_t)63);

    p->block = block;
    p->lane = (struct lane *)(p + 1);
    p->n_lane = n_lane;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (int i = 0; i < n_lane; i++) {
        p->lane[i].pool = p;
        p->lane[i].id = i;
    }
    for (int i = 1; i < n_lane; i++) {
        int rc = pthread_create(&p->lane[i].thread, NULL, lane_main, &p->lane[i]);
        if (rc) {
            pool_close(p);
            return err_set(e, ERR_INTERNAL, "compute thread %d of %d does not start: %s", i, n_lane,
                           err_errno(rc));
        }
        p->n_started++;
    }
    *ret = p;
    return 0;
}

void pool_close(struct pool *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i <= p->n_started; i++) pthread_join(p->lane[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    mem_free(p->block);
}

int pool_lanes(const struct pool *p)
{
    return p->n_lane;
}
