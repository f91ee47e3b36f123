/* serve_model.h - a model made ready to serve: engine, vocabulary, template, session. */
#ifndef CURLEW_PROG_SERVE_MODEL_H
#define CURLEW_PROG_SERVE_MODEL_H

#include "chat/info.h"
#include "conf/options.h"
#include "session/session.h"

struct serve_model {
    const struct engine_ops *ops;
    struct engine           *engine;
    const struct tok        *tok; // the engine's, or own_tok
    struct tok              *own_tok;
    struct tmpl             *tmpl;
    struct session          *session;
    struct chat_info         info; // strings in arena, or static
    struct arena             arena;
};

/* The files of a model; all borrowed. */
struct serve_files {
    const struct engine_file *file;        // [n_file], the model itself first
    int                       n_file;
    int                       template_fd; // the file that the setting chat_template names, or -1
    struct engine_cache      *cache;       // for packed weights, or NULL
};

/* Load f->file[0] with what the settings say. Errors: the file's or the engine's. On failure everything is
 * released. */
NODISCARD int serve_model_open(const struct settings *s, const char *id, const struct serve_files *f,
                               struct serve_model *ret, struct err *e);
void          serve_model_close(struct serve_model *m);

#endif
