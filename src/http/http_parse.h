/* http_parse.h - HTTP/1.1 request heads and chunked bodies out of bytes: no sockets, no clock.
 *
 * Strict where RFC 9112 leaves a choice, because two parsers that disagree about one byte are how a
 * request is smuggled past a proxy: whatever is doubtful is refused, never repaired. The result
 * depends on the bytes only, not on how they were cut into pieces on their way here.
 *
 * Any thread; nothing is kept between calls but the structs the caller holds.
 * Source: RFC 9110 (semantics), RFC 9112 (message syntax), RFC 3986 (targets).
 */
#ifndef CURLEW_HTTP_PARSE_H
#define CURLEW_HTTP_PARSE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_METHODS
};
const char *http_method_name(enum http_method m);

struct http_field {
    struct str name;  // as sent; compares without case
    struct str value; // without blanks around it; may be empty
};

struct http_head {
    enum http_method         method;
    struct str               target;  // as sent
    struct str               path;    // starts with '/', still percent-encoded; "*" for OPTIONS *
    struct str               query;   // after the '?', still encoded; STR_NULL when there is none
    struct str               host;    // name and port as sent; from the target if that is absolute;
                                      // STR_NULL from an HTTP/1.0 client without Host
    int                      minor;   // HTTP/1.<minor>: 0 or 1
    const struct http_field *field;   // all of them in the order sent, Host and the like included
    size_t                   n_field;
    int64_t                  length;  // Content-Length, or -1
    bool                     chunked; // Transfer-Encoding: chunked
    bool                     keep_alive; // the client wants the connection to stay
    bool                     expect;     // Expect: 100-continue
};

struct http_limits {
    size_t line_bytes;   // request line without CRLF
    size_t field_bytes;  // one field line without CRLF
    size_t fields_bytes; // all field lines with their CRLFs
    size_t fields;
    size_t ext_bytes;    // extensions of one chunk
};
extern const struct http_limits http_limits_default; // of base/limits.h

/* --- heads --- */

/* Where the end of a head was looked for so far. Zeroed before the first byte of a head. */
struct http_scan {
    size_t start;  // 2 after the one empty line that may precede a request line, else 0
    size_t line;   // start of the current line
    size_t at;     // no LF before this
    size_t lines;  // complete lines, the request line included
    size_t fields; // offset of the first field line
};

/* Look for the end of a head in `in`: all bytes since its first, the earlier ones unchanged. Each
 * byte is looked at once over all calls. Checks the request line as soon as it is complete, line
 * ends, sizes and counts. Returns 1 when the head is complete: it is in[start .. at). 0 when more
 * bytes are needed. Errors: BAD_REQUEST, HTTP_VERSION, BAD_METHOD, URI_TOO_LONG, HEADERS. */
NODISCARD int http_scan(struct http_scan *sc, const struct http_limits *lim, struct str in,
                        struct err *e);

/* Take apart a complete head as http_scan found it (`lines` of it), its CRLFs included. ret->field
 * is in the arena, all slices point into `head`. Errors: BAD_REQUEST, TOO_LARGE (a length no int64
 * holds), EXPECTATION, NO_MEMORY and those of the request line. */
NODISCARD int http_head_parse(struct str head, size_t lines, struct arena *a, struct http_head *ret,
                              struct err *e);

/* The value of the first field of this name, or STR_NULL. Host, Content-Length, Transfer-Encoding,
 * Content-Type, Authorization, Origin and Expect cannot come twice: such heads are refused. */
struct str http_head_field(const struct http_head *h, const char *name);

/* A token of RFC 9110 sec. 5.6.2, not empty. */
bool http_is_token(struct str s);
/* Bytes that may stand in a field value: visible ASCII, 0x80..0xff, blank and tab. */
bool http_is_value(struct str s);

/* `host` or `host:port` as a Host field or an authority has it: a name, an IPv4 address or an
 * address in brackets; *name without the port, brackets kept; *port -1 when there is none. */
bool http_host_split(struct str host, struct str *name, int *port);

/* --- chunked bodies --- */

/* State of one body. Zeroed before its first byte. */
struct http_chunks {
    uint64_t left;   // bytes of the current chunk still to come
    uint32_t ext;    // extension bytes of this chunk
    uint32_t line;   // bytes of this trailer line
    uint32_t lines;  // trailer lines
    uint32_t bytes;  // trailer bytes
    uint8_t  digits; // of the size
    uint8_t  state;
};

/* Decode from the head of `in`: *used bytes of it are taken, *data is the run of body bytes found
 * (inside `in`, may be empty). Returns 1 at the end of the body, trailers (checked, discarded)
 * included; 0 when there is more: call again with what is left until nothing is. After each call
 * d->left says how much the client has announced: the caller compares it with its limit before it
 * reads on. Errors: BAD_REQUEST, TOO_LARGE (a size of more than 16 digits), HEADERS. */
NODISCARD int http_chunks_feed(struct http_chunks *d, const struct http_limits *lim, struct str in,
                               size_t *used, struct str *data, struct err *e);

/* --- targets --- */

/* s with its %XX escapes decoded, in the arena. A broken escape, %00 and bytes that are not UTF-8
 * are BAD_REQUEST: refused, not passed through. For one path segment, after routing. */
NODISCARD int http_pct_decode(struct str s, struct arena *a, struct str *ret, struct err *e);

/* The value of the first `name=value` in a query, decoded ('+' is a blank). Returns 1, 0 when there
 * is none, or an error as http_pct_decode. Only names in plain ASCII are found. */
NODISCARD int http_query_get(struct str query, const char *name, struct arena *a, struct str *ret,
                             struct err *e);

#endif
