/* axera_log.h - what a child prints, as lines without colours. */
#ifndef CURLEW_ENGINES_AXERA_AXERA_LOG_H
#define CURLEW_ENGINES_AXERA_AXERA_LOG_H

#include "base/buf.h"

#define AXERA_LINE_BYTES KIB(8) // one line; the rest of a longer one is dropped

/* Called for each line, without its end. Lines end at \n and at \r (progress bars); empty ones are left out. */
typedef void axera_line_fn(void *ctx, struct str line);

struct axera_log {
    struct buf line;   // the one not ended yet
    int        escape; // inside an escape sequence: 1 after ESC, 2 inside ESC [
    char       error[256]; // the last line that spoke of an error, for messages; "" if none did
};

void axera_log_init(struct axera_log *l);
void axera_log_release(struct axera_log *l);
void axera_log_put(struct axera_log *l, struct str bytes, axera_line_fn *fn, void *ctx);
/* The number after the first digits that follow `key` in line: "key : 12" and "key:12". False: none there. */
bool axera_log_number(struct str line, const char *key, int *ret);

#endif
