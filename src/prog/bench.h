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
    const char *peer;     // a program like llama-bench to compare with, run in turn with ours; NULL: none
};

/* Load for a server over HTTP. */
struct bench_serve_conf {
    const char *url;     // http://127.0.0.1:8080
    const char *model;   // its name there; NULL: the first of the server's
    const char *clients; // requests in flight: "1,8"
    const char *words;   // of the prompts: "128"
    int         rounds;  // requests of each client
    int         generate; // tokens of an answer
    int         pid;     // whose processor time is counted, with what it started; 0: nobody's
    bool        json;
};

/* Runs it, prints to stdout; errors to stderr. Returns the exit status. */
int bench_main(const struct bench_conf *conf);
int bench_serve(const struct bench_serve_conf *conf); // 1 also when a request failed

#endif
