/* bench.h - `curlew bench`: how fast a model runs here, and how near that is to what the machine can do. */
#ifndef CURLEW_PROG_BENCH_H
#define CURLEW_PROG_BENCH_H

#include <stdbool.h>

struct bench_conf {
    const char *model;    // path of a GGUF file
    int         n_thread; // 0: one for each core this process may use
    int         prompt;   // tokens of the prompt, >= 1
    int         generate; // tokens to generate, >= 1
    int         n_seq;    // sequences that generate together, >= 1; 0: 1
    int         repeat;   // runs, of which the median counts; 0: 3
    int         kv_type;  // enum engine_kv
    bool        json;     // else text for a person
};

/* Runs it, prints to stdout; errors to stderr. Returns the exit status. */
int bench_main(const struct bench_conf *conf);

#endif
