/* axera_call.h - one HTTP request to a child, on a connection of its own. */
#ifndef CURLEW_ENGINES_AXERA_AXERA_CALL_H
#define CURLEW_ENGINES_AXERA_AXERA_CALL_H

#include "engines/axera/axera_int.h"

struct axera_call {
    struct engine    *en;
    int               fd;
    bool              abortable; // ends early when the run is to end
    struct axera_http in;
};

/* Connect and send; body STR_NULL: none. Errors: ENGINE_GONE when nobody listens; UPSTREAM_TIMEOUT. */
NODISCARD int axera_call_start(struct axera_call *c, struct engine *en, const char *method, const char *path,
                               struct str body, struct err *e);
/* Wait for more of the reply, at most ms. 1: there may be more; 0: it is whole; -ERR_CANCELLED: the run is to end;
 * else an error. What came is in c->in. */
NODISCARD int axera_call_more(struct axera_call *c, int ms, struct err *e);
/* start, and more until it is whole. */
NODISCARD int axera_call_whole(struct axera_call *c, struct engine *en, const char *method, const char *path,
                               struct str body, int ms, struct err *e);
void          axera_call_end(struct axera_call *c);

#endif
