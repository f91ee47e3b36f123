/* remote.h - the servers that answer for one model: how they fare, and a call to one of them.
 *
 * Each is asked for its health from time to time: GET /health, and GET /v1/models where there is no such path. Which
 * of them gets a request: balance.h. Single-threaded: the loop's thread. */
#ifndef CURLEW_GATEWAY_REMOTE_H
#define CURLEW_GATEWAY_REMOTE_H

#include "gateway/balance.h"
#include "http/http_client.h"

struct event_base;
struct remote;

struct remote_conf {
    unsigned connect_ms, idle_ms, health_ms;
};

/* One server; texts are copied. */
struct remote_spec {
    struct str name;      // for the log
    struct str base;      // "http://host:8000", what /v1/... is put behind
    struct str unix_path; // or ""
    struct str model;     // its name there
    struct str key;       // or ""
    struct str host;      // that has to be looked up, or ""
    int        weight;
};

struct remote_calls {
    void (*state)(void *ctx, bool any, struct str why); // after a change: does any of them answer
};

/* conf is borrowed and may change. */
NODISCARD int remote_new(struct event_base *base, struct http_client *c, const struct remote_conf *conf,
                         const struct remote_spec *v, int n, const struct remote_calls *calls, void *ctx,
                         struct remote **ret, struct err *e);
void          remote_free(struct remote *r); // no call is under way; NULL is fine

/* The addresses of a host, "192.0.2.1,2001:db8::1"; "": it has none. */
void remote_address(struct remote *r, struct str host, struct str addr);

int        remote_count(const struct remote *r);
int        remote_pick(const struct remote *r, uint64_t tried, uint64_t prefix); // as balance_pick
struct str remote_model(const struct remote *r, int i); // the model's name there
struct str remote_name(const struct remote *r, int i);

/* POST body to /v1PATH of server i. Ends with remote_end, exactly once, whatever came of it. Errors: UPSTREAM (it
 * has no address), NO_MEMORY: remote_end is wanted then, too. */
NODISCARD int remote_begin(struct remote *r, int i, struct str path, struct str body, bool stream,
                           const struct http_call_fns *fns, void *ctx, struct http_call **ret, struct err *e);
enum remote_verdict { REMOTE_GOOD, REMOTE_BAD, REMOTE_UNREACHABLE, REMOTE_UNKNOWN };
void remote_end(struct remote *r, int i, enum remote_verdict v);

#endif
