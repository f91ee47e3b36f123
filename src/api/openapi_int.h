/* openapi_int.h - what the writers of the API's description share. */
#ifndef CURLEW_API_OPENAPI_INT_H
#define CURLEW_API_OPENAPI_INT_H

#include "api/api_int.h"
#include "api/field_int.h"
#include "api/openapi.h"

struct openapi {
    struct json_doc   *doc;  // openapi.json
    const struct json *root;
};

NODISCARD int openapi_open(struct openapi *o, struct err *e);
void          openapi_close(struct openapi *o);

/* The entry of a kind of request, or NULL, and the name of its schema ("ChatRequest"). */
const struct json *openapi_kind(const struct openapi *o, unsigned kind, char name[32]);
/* The entry of a field that is read by a function, or NULL: {schema, default, default_text}. */
const struct json *openapi_field(const struct openapi *o, const struct field *f, unsigned kind);
/* "obeyed", "ignored" or "refused"; openapi.json says so for a field whose reader decides. */
struct str openapi_policy(const struct openapi *o, const struct field *f, unsigned kind);
/* A number's default in requests of this kind, as JSON; false: it has none. */
bool openapi_default(struct buf *b, const struct field *f, unsigned kind);

/* The kinds that POST routes have, each once: the i-th, or 0. */
unsigned openapi_kind_at(size_t i);

#endif
