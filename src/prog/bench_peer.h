/* bench_peer.h - another program's speed with the same model, asked for in the way of llama-bench. */
#ifndef CURLEW_PROG_BENCH_PEER_H
#define CURLEW_PROG_BENCH_PEER_H

#include "base/cc.h"
#include "base/err.h"
#include "prog/bench.h"

/* Run `PROGRAM -m MODEL -p PROMPT -n GENERATE -t THREADS -r 1 -o json` and wait for its end; its stderr is ours.
 * Out: tokens a second of its prompt run and of its generating run (which begins with an empty cache, ours behind the
 * prompt). Errors: IO when it cannot be run or fails, BAD_FILE when its report is not understood. */
NODISCARD int bench_peer(const char *program, const struct bench_conf *conf, int n_thread, double *prefill_tok_s,
                         double *decode_tok_s, struct err *e);

#endif
