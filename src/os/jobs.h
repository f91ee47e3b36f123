/* jobs.h - work that would hold up an event loop, on a thread beside it.
 *
 * One thread, first come first served. `work` runs there, `done` on the loop's thread afterwards; the
 * two share nothing but ctx. */
#ifndef CURLEW_OS_JOBS_H
#define CURLEW_OS_JOBS_H

#include "base/err.h"

struct event_base;
struct jobs;

typedef void job_fn(void *ctx);

NODISCARD int jobs_new(struct event_base *base, struct jobs **ret, struct err *e);
/* Waits for the job that runs; `done` of every job is called from here before it returns. */
void          jobs_free(struct jobs *j); // NULL is fine
NODISCARD int jobs_run(struct jobs *j, job_fn *work, job_fn *done, void *ctx, struct err *e);

#endif
