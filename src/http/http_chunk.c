/* http_chunk.c - the chunked body decoder (RFC 9112 sec. 7.1), one byte at a time but for the data.
 *
 *     5;name=value CRLF  hello CRLF  0 CRLF  Trailer: x CRLF  CRLF
 *
 * Sizes are hex digits and nothing else: "0x5", "+5", " 5" and "5 " are read differently by
 * different parsers, so they are refused. Extensions must be well formed and are ignored.
 */
#include <string.h>

#include "http/http_parse.h"

enum state {
    S_SIZE,     // digits of the size
    S_EXT,      // after ';': the first byte of a name
    S_NAME,     // in the name of an extension
    S_VALUE,    // after '=': the first byte of a value
    S_TOKEN,    // in a bare value
    S_QUOTE,    // in a quoted value
    S_ESCAPE,   // after '\' in it
    S_QUOTED,   // after its closing quote
    S_SIZE_LF,  // after the CR of the size line
    S_DATA,     // in the data
    S_DATA_CR,  // after it
    S_DATA_LF,
    S_LINE,     // at the start of a trailer line
    S_FIELD,    // in its name
    S_TEXT,     // in its value
    S_TEXT_LF,
    S_LAST_LF,  // after the CR of the empty line
    S_END,
};

static int bad(struct err *e, const char *what)
{
    return err_set(e, ERR_BAD_REQUEST, "chunked body: %s", what);
}

static bool is_tchar(char c)
{
    return http_is_token((struct str){ &c, 1 });
}

static bool is_text(char c)
{
    return http_is_value((struct str){ &c, 1 });
}

static int on_size(struct http_chunks *d, char c, struct err *e)
{
    char low = (char)(c | 0x20);
    int  v   = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;

    if (v >= 0) {
        if (++d->digits > 16) return err_set(e, ERR_TOO_LARGE, "chunked body: size is out of range");
        d->left = d->left << 4 | (unsigned)v;
        return 0;
    }
    if (!d->digits) return bad(e, "size is not a hex number");
    if (c == ';') return d->state = S_EXT, 0;
    if (c == '\r') return d->state = S_SIZE_LF, 0;
    return bad(e, "size is not a hex number");
}

/* After a complete extension, or inside a bare one. */
static bool ext_ends(struct http_chunks *d, char c)
{
    if (c != ';' && c != '\r') return false;
    d->state = c == ';' ? S_EXT : S_SIZE_LF;
    return true;
}

static int on_ext(struct http_chunks *d, const struct http_limits *lim, char c, struct err *e)
{
    bool ok = false;

    if (c != '\r' && ++d->ext > lim->ext_bytes)
        return err_set(e, ERR_BAD_REQUEST, "chunked body: extension is longer than %zu bytes",
                       lim->ext_bytes);
    switch ((enum state)d->state) {
    case S_EXT: ok = is_tchar(c), d->state = S_NAME; break;
    case S_NAME:
        if (c == '=') return d->state = S_VALUE, 0;
        ok = is_tchar(c) || ext_ends(d, c);
        break;
    case S_VALUE: ok = is_tchar(c) || c == '"', d->state = c == '"' ? S_QUOTE : S_TOKEN; break;
    case S_TOKEN: ok = is_tchar(c) || ext_ends(d, c); break;
    case S_QUOTE:
        ok = is_text(c);
        if (c == '"') d->state = S_QUOTED;
        if (c == '\\') d->state = S_ESCAPE;
        break;
    case S_ESCAPE: ok = is_text(c), d->state = S_QUOTE; break;
    case S_QUOTED: ok = ext_ends(d, c); break;
    case S_SIZE: case S_SIZE_LF: case S_DATA: case S_DATA_CR: case S_DATA_LF: case S_LINE:
    case S_FIELD: case S_TEXT: case S_TEXT_LF: case S_LAST_LF: case S_END: break;
    }
    return ok ? 0 : bad(e, "extension is malformed");
}

static int on_trailer(struct http_chunks *d, const struct http_limits *lim, char c, struct err *e)
{
    bool ok = false;

    if (++d->bytes > lim->fields_bytes || ++d->line > lim->field_bytes + 2 || d->lines > lim->fields)
        return err_set(e, ERR_HEADERS, "chunked body: trailers are too large");
    switch ((enum state)d->state) {
    case S_LINE:
        if (c == '\r') return d->state = S_LAST_LF, 0;
        ok = is_tchar(c), d->state = S_FIELD, d->lines++;
        break;
    case S_FIELD:
        ok = is_tchar(c) || c == ':';
        if (c == ':') d->state = S_TEXT;
        break;
    case S_TEXT:
        ok = is_text(c) || c == '\r';
        if (c == '\r') d->state = S_TEXT_LF;
        break;
    case S_TEXT_LF: ok = c == '\n', d->state = S_LINE, d->line = 0; break;
    case S_LAST_LF: ok = c == '\n', d->state = S_END; break;
    case S_SIZE: case S_EXT: case S_NAME: case S_VALUE: case S_TOKEN: case S_QUOTE: case S_ESCAPE:
    case S_QUOTED: case S_SIZE_LF: case S_DATA: case S_DATA_CR: case S_DATA_LF: case S_END: break;
    }
    return ok ? 0 : bad(e, "trailer is malformed");
}

static int on_byte(struct http_chunks *d, const struct http_limits *lim, char c, struct err *e)
{
    switch ((enum state)d->state) {
    case S_SIZE: return on_size(d, c, e);
    case S_SIZE_LF:
        if (c != '\n') return bad(e, "size line does not end in CRLF");
        d->state  = d->left ? S_DATA : S_LINE;
        d->digits = 0;
        d->ext    = 0;
        return 0;
    case S_DATA_CR: return d->state = S_DATA_LF, c == '\r' ? 0 : bad(e, "data does not end in CRLF");
    case S_DATA_LF: return d->state = S_SIZE, c == '\n' ? 0 : bad(e, "data does not end in CRLF");
    case S_EXT: case S_NAME: case S_VALUE: case S_TOKEN: case S_QUOTE: case S_ESCAPE: case S_QUOTED:
        return on_ext(d, lim, c, e);
    case S_LINE: case S_FIELD: case S_TEXT: case S_TEXT_LF: case S_LAST_LF:
        return on_trailer(d, lim, c, e);
    case S_DATA: case S_END: break;
    }
    return 0;
}

int http_chunks_feed(struct http_chunks *d, const struct http_limits *lim, struct str in,
                     size_t *used, struct str *data, struct err *e)
{
    size_t at = 0;

    *data = STR("");
    while (at < in.n && d->state != S_END && d->state != S_DATA) {
        int rc = on_byte(d, lim, in.p[at], e);
        if (rc) return rc;
        at++;
    }
    if (d->state == S_DATA && at < in.n) {
        *data = str_sub(in, at, d->left < in.n ? (size_t)d->left : in.n);
        at += data->n;
        d->left -= data->n;
        if (!d->left) d->state = S_DATA_CR;
    }
    *used = at;
    return d->state == S_END;
}
