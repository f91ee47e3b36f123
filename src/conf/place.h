/* place.h - where to listen, as people write it. */
#ifndef CURLEW_CONF_PLACE_H
#define CURLEW_CONF_PLACE_H

#include "base/arena.h"
#include "base/err.h"

struct place {
    const char *host; // name or address; a path when it begins with '/'
    int         port; // -1: of a path
};

/* "HOST:PORT", "[IPV6]:PORT", "PORT" (of 127.0.0.1), "HOST", "unix:PATH" or "/PATH". A port that is not said is
 * `port`. Texts are in `a`. Errors: BAD_CONFIG that says what is allowed, NO_MEMORY. */
NODISCARD int place_parse(struct str text, int port, struct arena *a, struct place *ret, struct err *e);

#endif
