/* api.h - what clients see: routes, requests, replies.
 *
 * Sits on the HTTP server's callbacks and on the gateway. One thread, the loop's; large bodies are
 * parsed on another one. */
#ifndef CURLEW_API_API_H
#define CURLEW_API_API_H

#include "gateway/gateway.h"
#include "http/http.h"

struct event_base;
struct api;

/* Which member of a message carries the model's thinking. Clients read the one or the other; some refuse
 * a member that they do not know. NONE: it is not sent, usage counts it. */
enum api_reasoning { API_REASONING_CONTENT, API_REASONING_SHORT, API_REASONING_BOTH, API_REASONING_NONE };

struct api_conf {
    size_t             body_bytes; // largest request body
    enum api_reasoning reasoning;
};

NODISCARD int api_new(struct event_base *base, struct gateway *g, const struct api_conf *c,
                      struct api **ret, struct err *e);
void          api_free(struct api *a); // after the server is freed; NULL is fine

/* The callbacks to start the HTTP server with; its ctx is the struct api. */
extern const struct http_calls api_http_calls;

#endif
