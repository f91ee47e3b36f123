/* api.h - what clients see: routes, requests, replies.
 *
 * Sits on the HTTP server's callbacks and on the gateway. One thread, the loop's; large bodies are
 * parsed on another one. */
#ifndef CURLEW_API_API_H
#define CURLEW_API_API_H

#include "api/admin.h"
#include "gateway/gateway.h"
#include "http/http.h"

struct event_base;
struct api;

struct api_conf {
    size_t     body_bytes; // largest request body
    bool       strict;      // a field without effect is an error
    bool       busy_reject; // a model answers one request at a time, others get 503
    int        compat;      // enum compat_who: whose /health
    struct str admin_key;  // borrowed; empty: none
    /* Pass a question on to the supervisor; admin_told brings the answer. */
    int (*ask)(void *ctx, uint32_t id, enum admin_ask what, struct err *e);
    void *ask_ctx;
};

NODISCARD int api_new(struct event_base *base, struct gateway *g, const struct api_conf *c,
                      struct api **ret, struct err *e);
void          api_set_conf(struct api *a, const struct api_conf *c); // for requests from now on
void          api_free(struct api *a); // after the server is freed; NULL is fine

/* The callbacks to start the HTTP server with; its ctx is the struct api. */
extern const struct http_calls api_http_calls;

#endif
