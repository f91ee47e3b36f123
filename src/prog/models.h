/* models.h - the models that a supervisor serves: which file, which engine, which name. */
#ifndef CURLEW_PROG_MODELS_H
#define CURLEW_PROG_MODELS_H

#include "base/arena.h"
#include "conf/options.h"

#define MODEL_BESIDE 3 // most files of one model besides itself

struct model_file {
    const char *base; // what the worker calls it
    int         fd;   // open for reading; owned
    uint64_t    size;
};

struct model_spec {
    struct str  id;   // its name in the API
    const char *path; // in the settings
    const char *base; // path's last part, what the worker calls the file
    int         fd;   // open for reading; owned
    uint64_t    size;

    struct model_file beside[MODEL_BESIDE]; // [n_beside]
    int               n_beside;
    bool              npu;        // runs in a vendor's library: prog/npu.h
    int64_t           npu_domain;
};

/* Open every model of the settings. Error: the file and what is wrong with it; all are closed then. */
NODISCARD int  models_open(const struct settings *s, struct arena *a, struct model_spec **ret,
                           int *n_ret, struct err *e);
void models_close(struct model_spec *m, int n);

#endif
