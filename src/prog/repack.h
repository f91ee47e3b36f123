/* repack.h - the file of a model's packed weights: found or made by the supervisor, which may, and given as an open
 * descriptor to the worker, which may not. */
#ifndef CURLEW_PROG_REPACK_H
#define CURLEW_PROG_REPACK_H

#include "engine.h"
#include "prog/models.h"

/* One worker's. The name says which file of the model it was made from (device, inode, size, time of change): caches of
 * the same path with another are removed. A new one is written under a name of its own and renamed when the worker says
 * that it is whole. */
struct repack {
    struct engine_cache cache; // fd owned, -1: none
    char                path[4096], tmp[4128]; // tmp: "" when there is nothing to rename
};

/* Make the directory (its last part) when it is not there. Error: what is wrong with it. */
NODISCARD int repack_prepare(const char *dir, struct err *e);

/* The cache to give to a worker of this model: one to read, or one to write. What does not work is logged and
 * leaves fd -1: a server runs without. */
void repack_open(struct repack *r, const char *dir, const struct model_spec *m);
/* What the worker made of it. */
void repack_settle(struct repack *r, enum engine_cache_state state);
void repack_close(struct repack *r); // removes what was not finished

#endif
