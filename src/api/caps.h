/* caps.h - fields that have no effect: because we do nothing with them, or because a model's engine cannot.
 *
 * A reply says which they were (x-curlew-ignored); a strict server refuses the request instead. */
#ifndef CURLEW_API_CAPS_H
#define CURLEW_API_CAPS_H

#include "api/request.h"

struct api;
struct http_req;
struct gateway_model;

/* Bit of a field that only some engines obey, for api_req.given; 0 for others. */
uint64_t caps_bit(struct str name);

/* Once the model of a parsed request is known (NULL: none is needed): put what its engine cannot obey on the list
 * of ignored fields, and the list into the reply's head. Errors: UNSUPP_PARAM naming them when the server is
 * strict; OVERLOADED when the model is busy and the server rejects then. */
NODISCARD int caps_check(struct api *a, struct http_req *h, struct api_req *q, const struct gateway_model *m,
                         struct err *e);

#endif
