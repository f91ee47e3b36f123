/* openapi.h - what the API is, from the tables that serve it: as OpenAPI 3.1, Markdown and HTML.
 *
 * Routes, fields, ranges and defaults are those of route.c and field.c; openapi.json beside them holds what
 * a parser's table cannot say: schemas of values and replies. Any thread. */
#ifndef CURLEW_API_OPENAPI_H
#define CURLEW_API_OPENAPI_H

#include "base/buf.h"
#include "base/err.h"

/* The OpenAPI document, appended to b. Error: NO_MEMORY. */
NODISCARD int openapi_write(struct buf *b, struct err *e);

/* Every route and what becomes of every field: docs/api.md, and the page for browsers where there is no
 * better one. */
NODISCARD int openapi_markdown(struct buf *b, struct err *e);
NODISCARD int openapi_html(struct buf *b, struct err *e);

#endif
