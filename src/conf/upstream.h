/* upstream.h - other servers with OpenAI's API, as people name them. */
#ifndef CURLEW_CONF_UPSTREAM_H
#define CURLEW_CONF_UPSTREAM_H

#include "base/arena.h"
#include "base/err.h"

/* One server that a model's requests are relayed to, an entry of its `upstreams`. */
struct conf_upstream {
    const char *where;    // "FILE:LINE:COLUMN" or "--upstream", for messages
    const char *url;
    const char *model;    // its name there, or NULL: the one it has here
    const char *key_file; // or NULL
    const char *unix_path; // of the socket to connect to instead of the URL's host, or NULL
    int         weight;   // 1..100
};

#define UPSTREAM_WEIGHT_MAX 100

struct upstream_url {
    struct str base; // "http://host:8000" or "https://host:443/some/path": without /v1, without a slash at its end
    struct str host; // name or address, without brackets
    int        port;
    bool       tls;
    bool       address; // the host is an address: nobody has to look it up
};

/* "http://HOST[:PORT][/PATH]", or https; a /v1 at the path's end is what all have and is left out. Texts are in `a`.
 * Errors: BAD_CONFIG that says what is wrong with it; NO_MEMORY. Who asks for a name and a password in the URL, a
 * query or a fragment is told so: they would be in logs. */
NODISCARD int upstream_url_parse(struct str url, struct arena *a, struct upstream_url *ret, struct err *e);

#endif
