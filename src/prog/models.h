/* models.h - the models that a supervisor serves: which file, which engine, which names. */
#ifndef CURLEW_PROG_MODELS_H
#define CURLEW_PROG_MODELS_H

#include <sys/stat.h>

#include "base/arena.h"
#include "base/buf.h"
#include "conf/options.h"
#include "engine.h"

#define MODELS_BESIDE 4

struct model_spec {
    struct str             id;    // its name in the API
    const char            *path;  // of an upstream model: its first server's URL
    const struct conf_upstream *upstream; // [n_upstream] servers that answer for it; 0: it is a file
    int                    n_upstream;
    const char            *base;  // path's last part, what the worker calls the file
    struct opt_list        alias; // other names in the API
    const struct settings *own;   // what everybody has, and what is different for it
    const char            *where; // of the configuration file, or NULL
    const char            *why;   // why it cannot be served; NULL: it can
    int                    fd;    // open for reading, or -1; owned
    uint64_t               size;
    int                    template_fd; // of a chat template in a file, or -1; owned
    struct stat            file, tmpl; // which files they were when opened
    struct engine_file     beside[MODELS_BESIDE]; // [n_beside] what lies beside it and belongs to it; fds owned
    int                    n_beside;
    bool                   npu; // runs in a vendor's library: prog/npu.h
};

struct model_list {
    struct model_spec *v; // [n] in the order of the settings, those of a folder by name
    int                n;
    int                n_served; // of them with why == NULL
};

/* What the settings say is to be served, without opening it: single models, the configuration's list, then a
 * folder's files that were not named yet. A folder's file that cannot be served is in the list with its reason.
 * Texts are in `a` or in the settings. Errors: names that are empty, too long or there twice; an engine that is
 * not known; a folder that cannot be read; nothing to serve. */
NODISCARD int models_list(const struct settings *s, struct arena *a, struct model_list *ret, struct err *e);

/* Open the files of one model. Error: the file and what is wrong with it; nothing is open then. */
NODISCARD int model_open(struct model_spec *m, struct err *e);
void          model_close(struct model_spec *m);

/* Open all that can be served. On error all are closed. */
NODISCARD int models_open(struct model_list *l, struct err *e);
void          models_close(struct model_list *l);

/* The same files as they were, as far as a file system can tell. Both are open. */
bool model_same_files(const struct model_spec *x, const struct model_spec *y);

#endif
