/* load.h - a client that keeps some streaming requests in flight at an OpenAI-compatible server and takes the times.
 *
 * One thread, plain HTTP; a connection for each request. The processor time it takes itself is the server's loss when
 * both are on one machine. */
#ifndef CURLEW_PROG_LOAD_H
#define CURLEW_PROG_LOAD_H

#include <stdint.h>

#include "base/cc.h"
#include "base/err.h"

struct load_url {
    char host[256], port[8], path[512]; // path: "/v1", without a slash at its end
};

struct load_conf {
    struct load_url url;
    char            model[256];
    int             n_client; // requests in flight, >= 1
    int             n_req;    // in all
    int             n_word;   // of each prompt, every prompt another
    int             n_tok;    // to generate
    int             pid;      // whose processor time counts, its descendants' too; 0: nobody's
    uint64_t        first;    // number of the first request: prompts of another number are others
};

struct load_result {
    int      n_ok, n_failed;
    char     why[ERR_MSG_MAX]; // of the first that failed
    uint64_t n_tok;     // as the server counts them, or else content events
    uint64_t n_event;   // with content
    double   seconds;
    double   first_ms[2];   // from connecting to the first content: p50, p99
    double   between_ms[3]; // between two events with content: p50, p90, p99
    double   cpu_s;     // of `pid`
    double   own_cpu_s; // of this client
};

/* "http://host[:port][/path]"; without a path: /v1. Error: BAD_CONFIG. */
NODISCARD int load_url_parse(const char *url, struct load_url *ret, struct err *e);
/* The first of the server's models. */
NODISCARD int load_first_model(const struct load_url *u, char *ret, size_t size, struct err *e);
/* Errors: the server cannot be reached, no memory. Requests that fail are counted. */
NODISCARD int load_run(const struct load_conf *c, struct load_result *ret, struct err *e);

#endif
