/* pool.h - compute threads that walk through phases of work together.
 *
 * A job is a function that every lane (thread) runs at the same time, the caller's own among them. It
 * is made of phases; a phase is a number of items, each worked on by whichever lane comes first:
 *
 *     static void job(void *ctx, struct lane *l)
 *     {
 *         for (int i; lane_next(l, n_first, &i);) first(ctx, i, lane_id(l));
 *         for (int i; lane_next(l, n_second, &i);) second(ctx, i, lane_id(l)); // first() is all done
 *     }
 *
 * All lanes must go through the same phases with the same counts; what they decide from must not be
 * changed by the job. An item may be worked on by any lane, so its result must not depend on which.
 *
 * A lane that comes late (its core was taken away) leaves its share to the others: a phase ends when
 * its items are done, not when every lane was there. Waiting lanes spin for some microseconds and
 * then sleep. With one lane there are no threads.
 *
 * One job at a time, from one thread. Threads are started by pool_open, so a sandbox that comes
 * later needs futex only; for one that comes earlier: clone3/clone (threads), mmap, mprotect,
 * munmap, madvise, futex, rseq, set_robust_list, sched_yield, exit.
 */
#ifndef CURLEW_OS_POOL_H
#define CURLEW_OS_POOL_H

#include <stdbool.h>

#include "base/err.h"

#define POOL_LANES_MAX 512

struct pool;
struct lane;

typedef void pool_fn(void *ctx, struct lane *l);

/* n_lane threads in all, the caller's included; 1 <= n_lane <= POOL_LANES_MAX. */
NODISCARD int pool_open(int n_lane, struct pool **ret, struct err *e);
void          pool_close(struct pool *p); // joins the threads; NULL is fine
int           pool_lanes(const struct pool *p);

/* Run the job to its end. Allocates nothing. */
void pool_run(struct pool *p, pool_fn *fn, void *ctx);

/* Inside a job: the next item of this phase, 0 <= *item < n_item, or false when all n_item are done,
 * by whomever, and everything they wrote can be read. n_item may be 0. */
bool lane_next(struct lane *l, int n_item, int *item);
/* 0 <= id < pool_lanes: for storage of a lane's own. */
int  lane_id(const struct lane *l);

#endif
