/* axera_plan.h - from a run script or a model's folder to what is to be started, and how it is spoken to.
 *
 * Runs in the keeper, which has the rights that the worker lacks: it reads the script and the folder's
 * config.json, finds the tokenizer's files, opens the port that the child will ask for tokens, and tells the
 * worker. Nothing here comes from a client. */
#ifndef CURLEW_ENGINES_AXERA_AXERA_PLAN_H
#define CURLEW_ENGINES_AXERA_AXERA_PLAN_H

#include "base/buf.h"
#include "engines/axera/axera_opt.h"
#include "os/keeper.h"

#define AXERA_CALL "axera:" // --engine axera:PATH
#define AXERA_NW1_CALL "child:" // --engine child:PROGRAM, or a socket

struct axera_plan {
    int                kind; // never AUTO
    struct keeper_spec spec; // strings in the arena
    int                lock_fd;    // owned
    int                file[3];    // [n_file] owned: tokenizer.json and what lies beside it
    const char        *name[3];
    int                n_file;
    int                start_s;
};

/* Look at path (a run script, or a folder with a config.json for axllm; nw1: a program, or a socket). On failure all is closed. Errors:
 * BAD_CONFIG and BAD_FILE say what is missing and what to do. */
NODISCARD int axera_plan_make(const char *path, bool nw1, const struct axera_opts *o, struct arena *a, struct axera_plan *ret,
                              struct err *e);
void          axera_plan_close(struct axera_plan *p);

/* The PLAN message: u8 kind, u32 start_s, u32 n, n names of the descriptors that come along. */
void axera_plan_pack(struct buf *b, const struct axera_plan *p);

/* The path of "axera:PATH" or "child:PATH", NULL: the engine is another one. *nw1: which of the two. */
const char *axera_call_path(const char *engine, bool *nw1);

#endif
