/* models.h - the models that a supervisor serves: which file, which engine, which name. */
#ifndef CURLEW_PROG_MODELS_H
#define CURLEW_PROG_MODELS_H

#include "base/arena.h"
#include "conf/options.h"

struct model_spec {
    struct str  id;   // its name in the API
    const char *path; // in the settings
    const char *base; // path's last part, what the worker calls the file
    int         fd;   // open for reading; owned
    uint64_t    size;
};

/* Open every model of the settings. Error: the file and what is wrong with it; all are closed then. */
NODISCARD int  models_open(const struct settings *s, struct arena *a, struct model_spec **ret,
                           int *n_ret, struct err *e);
void models_close(struct model_spec *m, int n);

#endif
