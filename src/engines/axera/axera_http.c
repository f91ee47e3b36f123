/* axera_http.c - one HTTP message from bytes. */
#include "engines/axera/axera_http.h"

#include "base/limits.h"

#define LINE_MAX_BYTES 256 // a chunk's size or a trailer

void axera_http_init(struct axera_http *h, bool request)
{
    *h = (struct axera_http){ .request = request };
    buf_init(&h->head, AXERA_HTTP_HEAD);
    buf_init(&h->body, AXERA_HTTP_BODY);
    buf_init(&h->line, LINE_MAX_BYTES);
}

void axera_http_release(struct axera_http *h)
{
    buf_release(&h->head);
    buf_release(&h->body);
    buf_release(&h->line);
}

void axera_http_next(struct axera_http *h)
{
    h->state  = AXERA_HTTP_IN_HEAD;
    h->left   = 0;
    h->all    = 0;
    h->status = 0;
    h->close  = false;
    buf_clear(&h->head);
    buf_clear(&h->body);
    buf_clear(&h->line);
}

/* --- the head --- */

static int first_line(struct axera_http *h, struct str line, struct err *e)
{
    int64_t status;

    if (h->request) {
        struct str method, path;
        if (str_cut(&line, ' ', &method) && str_cut(&line, ' ', &path) && path.n && path.p[0] == '/' &&
            str_starts(line, STR("HTTP/1."))) {
            h->close = str_eq(line, STR("HTTP/1.0"));
            return 0;
        }
        return err_set(e, ERR_PROTOCOL, "a child's request line is malformed");
    }
    if (!str_starts(line, STR("HTTP/1.")) || !str_to_i64(str_sub(line, 9, 3), &status) || status < 100 || status > 599)
        return err_set(e, ERR_PROTOCOL, "a child's status line is malformed");
    h->status = (int)status;
    return 0;
}

static int field(struct axera_http *h, struct str line, bool *sized, bool *chunked, struct err *e)
{
    struct str name;

    if (!str_cut(&line, ':', &name) || !line.p) return err_set(e, ERR_PROTOCOL, "a child's header field is malformed");
    struct str value = str_trim(line);
    if (str_eq_nocase(name, STR("content-length"))) {
        if (*sized || !str_to_u64(value, &h->left))
            return err_set(e, ERR_PROTOCOL, "a child's content-length is malformed");
        *sized = true;
    } else if (str_eq_nocase(name, STR("transfer-encoding"))) {
        *chunked = str_eq_nocase(value, STR("chunked"));
    } else if (str_eq_nocase(name, STR("connection"))) {
        h->close = str_eq_nocase(value, STR("close"));
    }
    return 0;
}

static int end_head(struct axera_http *h, struct err *e)
{
    struct str rest = buf_text(&h->head), line;
    bool       sized = false, chunked = false, first = true;

    while (str_cut(&rest, '\n', &line)) {
        line   = str_trim(line);
        int rc = first ? first_line(h, line, e) : line.n ? field(h, line, &sized, &chunked, e) : 0;
        if (rc < 0) return rc;
        first = false;
    }
    if (h->status >= 100 && h->status < 200 && !h->request) { // an interim reply
        axera_http_next(h);
        return 0;
    }
    bool none = h->request || h->status == 204 || h->status == 304;
    h->state  = chunked ? AXERA_HTTP_IN_CHUNK_SIZE : sized && h->left ? AXERA_HTTP_IN_SIZED
              : sized || none ? AXERA_HTTP_DONE : AXERA_HTTP_IN_REST;
    if (h->state == AXERA_HTTP_IN_REST) h->close = true;
    return 0;
}

static bool head_is_whole(const struct buf *b)
{
    struct str s = buf_text(b);

    return str_ends(s, STR("\r\n\r\n")) || str_ends(s, STR("\n\n"));
}

/* --- the body --- */

static int body(struct axera_http *h, struct str s, struct err *e)
{
    h->all += s.n;
    buf_str(&h->body, s);
    return h->body.failed ? err_set(e, ERR_PROTOCOL, "a child's message has more than %zu bytes", h->body.max) : 0;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int end_line(struct axera_http *h, struct err *e)
{
    struct str s = str_trim(buf_text(&h->line));
    size_t     n = 0;

    if (h->state == AXERA_HTTP_IN_TRAILER) {
        if (s.n == 0) h->state = AXERA_HTTP_DONE;
    } else if (h->state == AXERA_HTTP_IN_CHUNK_END) {
        if (s.n) return err_set(e, ERR_PROTOCOL, "a child's chunk is longer than it says");
        h->state = AXERA_HTTP_IN_CHUNK_SIZE;
    } else {
        h->left = 0;
        while (n < s.n && n < 8 && hex(s.p[n]) >= 0) h->left = h->left * 16 + (unsigned)hex(s.p[n++]);
        if (n == 0 || (n < s.n && s.p[n] != ';' && s.p[n] != ' '))
            return err_set(e, ERR_PROTOCOL, "the size of a child's chunk is malformed");
        h->state = h->left ? AXERA_HTTP_IN_CHUNK : AXERA_HTTP_IN_TRAILER;
    }
    buf_clear(&h->line);
    return 0;
}

/* One byte of the head or of a chunk's line. */
static int one(struct axera_http *h, char c, struct err *e)
{
    if (h->state == AXERA_HTTP_IN_HEAD) {
        buf_byte(&h->head, c);
        if (h->head.failed) return err_set(e, ERR_PROTOCOL, "a child's head has more than %zu bytes", h->head.max);
        return c == '\n' && head_is_whole(&h->head) ? end_head(h, e) : 0;
    }
    buf_byte(&h->line, c);
    if (h->line.failed) return err_set(e, ERR_PROTOCOL, "a line of a child's chunks is too long");
    return c == '\n' ? end_line(h, e) : 0;
}

int axera_http_feed(struct axera_http *h, struct str bytes, size_t *used, struct err *e)
{
    struct str rest = bytes;
    int        rc   = 0;

    while (rc == 0 && rest.n && h->state != AXERA_HTTP_DONE) {
        bool   counted = h->state == AXERA_HTTP_IN_SIZED || h->state == AXERA_HTTP_IN_CHUNK;
        size_t n       = 1;
        if (counted) {
            n  = h->left < rest.n ? (size_t)h->left : rest.n;
            rc = body(h, str_sub(rest, 0, n), e);
            h->left -= n;
            if (h->left == 0) h->state = h->state == AXERA_HTTP_IN_SIZED ? AXERA_HTTP_DONE : AXERA_HTTP_IN_CHUNK_END;
        } else if (h->state == AXERA_HTTP_IN_REST) {
            n  = rest.n;
            rc = body(h, rest, e);
        } else {
            rc = one(h, rest.p[0], e);
        }
        rest = str_from(rest, n);
    }
    *used = bytes.n - rest.n;
    return rc;
}

int axera_http_eof(struct axera_http *h, struct err *e)
{
    if (h->state == AXERA_HTTP_IN_REST) h->state = AXERA_HTTP_DONE;
    return h->state == AXERA_HTTP_DONE ? 0 : err_set(e, ERR_ENGINE_GONE, "the child ended its connection too early");
}

struct str axera_http_method(const struct axera_http *h)
{
    struct str s = buf_text(&h->head), method = STR("");

    str_cut(&s, ' ', &method);
    return method;
}

struct str axera_http_path(const struct axera_http *h, struct str *query)
{
    struct str s = buf_text(&h->head), path = STR("");

    str_cut(&s, ' ', &path);
    str_cut(&s, ' ', &path);
    *query = path;
    str_cut(query, '?', &path);
    return path;
}
