/* models.h - the models that a supervisor serves: which file, which engine, which name. */
#ifndef CURLEW_PROG_MODELS_H
#define CURLEW_PROG_MODELS_H

#include "base/arena.h"
#include "conf/options.h"
#include "engine.h"

#define MODELS_BESIDE   6
#define MODELS_TEMPLATE "chat_template.jinja" // what the worker calls the file of --chat-template

struct model_spec {
    struct str  id;   // its name in the API
    const char *path; // in the settings
    const char *base; // path's last part, what the worker calls the file
    int         fd;   // open for reading; owned
    uint64_t    size;

    struct engine_file beside[MODELS_BESIDE]; // [n_beside] what goes with it, its chat template; fds owned
    int                n_beside;
    const char        *tmpl;   // name of the built-in template that was asked for, or NULL
    const char        *format; // name of the format of answers that was asked for, or NULL
    bool               npu;    // runs in a vendor's library: prog/npu.h
    int64_t            npu_domain;
};

/* The settings for its worker: those of the server, and its own. Borrows from both. */
struct settings models_settings(const struct settings *s, const struct model_spec *m);

/* Open every model of the settings. Error: the file and what is wrong with it; all are closed then. */
NODISCARD int  models_open(const struct settings *s, struct arena *a, struct model_spec **ret,
                           int *n_ret, struct err *e);
void models_close(struct model_spec *m, int n);

#endif
