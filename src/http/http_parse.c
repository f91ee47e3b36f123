/* http_parse.c - request heads out of bytes.
 *
 * Two passes. http_scan finds the lines as bytes come in, so that limits bind at once and a client
 * that sends one byte at a time costs one look at each; http_head_parse then takes the whole head
 * apart. Nothing here repairs what a client sent: one doubtful byte refuses the request, because
 * somebody in front of us may have read it the other way.
 */
#include "http/http_parse.h"

#include <string.h>

#include "base/limits.h"
#include "base/utf8.h"

const struct http_limits http_limits_default = {
    .line_bytes   = LIM_REQ_LINE_BYTES,
    .field_bytes  = LIM_FIELD_LINE_BYTES,
    .fields_bytes = LIM_FIELDS_BYTES,
    .fields       = LIM_FIELDS,
    .ext_bytes    = LIM_CHUNK_EXT_BYTES,
};

static const char *const method_names[HTTP_METHODS] = {
    [HTTP_GET] = "GET",     [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",       [HTTP_PUT] = "PUT",
    [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
};

const char *http_method_name(enum http_method m)
{
    return m < HTTP_METHODS ? method_names[m] : "?";
}

/* What a byte may be part of. */
#define B_TOKEN 1 // RFC 9110 tchar
#define B_PATH  2 // RFC 3986 pchar and '/', '%' included
#define B_QUERY 4 // as path, '?', and what browsers leave bare in queries (WHATWG URL sec. 1.3)
#define B_HOST  8 // RFC 3986 reg-name without escapes

#define B_ALL   (B_TOKEN | B_PATH | B_QUERY | B_HOST)
#define B_URI   (B_PATH | B_QUERY)

static const uint8_t bytes[256] = {
    ['0'] = B_ALL, ['1'] = B_ALL, ['2'] = B_ALL, ['3'] = B_ALL, ['4'] = B_ALL, ['5'] = B_ALL,
    ['6'] = B_ALL, ['7'] = B_ALL, ['8'] = B_ALL, ['9'] = B_ALL, ['A'] = B_ALL, ['B'] = B_ALL,
    ['C'] = B_ALL, ['D'] = B_ALL, ['E'] = B_ALL, ['F'] = B_ALL, ['G'] = B_ALL, ['H'] = B_ALL,
    ['I'] = B_ALL, ['J'] = B_ALL, ['K'] = B_ALL, ['L'] = B_ALL, ['M'] = B_ALL, ['N'] = B_ALL,
    ['O'] = B_ALL, ['P'] = B_ALL, ['Q'] = B_ALL, ['R'] = B_ALL, ['S'] = B_ALL, ['T'] = B_ALL,
    ['U'] = B_ALL, ['V'] = B_ALL, ['W'] = B_ALL, ['X'] = B_ALL, ['Y'] = B_ALL, ['Z'] = B_ALL,
    ['a'] = B_ALL, ['b'] = B_ALL, ['c'] = B_ALL, ['d'] = B_ALL, ['e'] = B_ALL, ['f'] = B_ALL,
    ['g'] = B_ALL, ['h'] = B_ALL, ['i'] = B_ALL, ['j'] = B_ALL, ['k'] = B_ALL, ['l'] = B_ALL,
    ['m'] = B_ALL, ['n'] = B_ALL, ['o'] = B_ALL, ['p'] = B_ALL, ['q'] = B_ALL, ['r'] = B_ALL,
    ['s'] = B_ALL, ['t'] = B_ALL, ['u'] = B_ALL, ['v'] = B_ALL, ['w'] = B_ALL, ['x'] = B_ALL,
    ['y'] = B_ALL, ['z'] = B_ALL,
    ['-'] = B_ALL, ['.'] = B_ALL, ['_'] = B_ALL, ['~'] = B_ALL, ['!'] = B_ALL, ['$'] = B_ALL,
    ['&'] = B_ALL, ['\''] = B_ALL, ['*'] = B_ALL, ['+'] = B_ALL,
    ['('] = B_URI | B_HOST, [')'] = B_URI | B_HOST, [','] = B_URI | B_HOST,
    [';'] = B_URI | B_HOST, ['='] = B_URI | B_HOST,
    [':'] = B_URI, ['@'] = B_URI, ['/'] = B_URI, ['%'] = B_URI | B_TOKEN,
    ['?'] = B_QUERY, ['['] = B_QUERY, [']'] = B_QUERY, ['{'] = B_QUERY, ['}'] = B_QUERY,
    ['\\'] = B_QUERY, ['^'] = B_QUERY | B_TOKEN, ['`'] = B_QUERY | B_TOKEN,
    ['|'] = B_QUERY | B_TOKEN, ['#'] = B_TOKEN,
};

static bool all_are(struct str s, unsigned kind)
{
    for (size_t i = 0; i < s.n; i++)
        if (!(bytes[(unsigned char)s.p[i]] & kind)) return false;
    return true;
}

bool http_is_token(struct str s)
{
    return s.n && all_are(s, B_TOKEN);
}

bool http_is_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Only blanks and tabs are white space in a field (RFC 9110 sec. 5.6.3). */
static struct str trim_ows(struct str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) s.p++, s.n--;
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
    return s;
}

static int bad(struct err *e, const char *what)
{
    return err_set(e, ERR_BAD_REQUEST, "%s", what);
}

/* --- the request line --- */

bool http_host_split(struct str host, struct str *name, int *port)
{
    struct str rest;

    if (host.n && host.p[0] == '[') { // an address in brackets: hex digits, ':' and '.', no zone
        size_t end = str_find_byte(host, ']');
        if (end == SIZE_MAX || end < 3) return false;
        for (size_t i = 1; i < end; i++)
            if (hex_digit(host.p[i]) < 0 && host.p[i] != ':' && host.p[i] != '.') return false;
        *name = str_sub(host, 0, end + 1);
        rest  = str_from(host, end + 1);
    } else {
        size_t colon = str_find_byte(host, ':');
        *name        = str_sub(host, 0, colon);
        rest         = colon == SIZE_MAX ? STR_NULL : str_from(host, colon);
        if (!name->n || !all_are(*name, B_HOST)) return false;
    }
    *port = -1;
    if (!rest.n) return true;
    int v = 0;
    if (rest.p[0] != ':' || rest.n < 2 || rest.n > 6) return false;
    for (size_t i = 1; i < rest.n; i++) {
        if (rest.p[i] < '0' || rest.p[i] > '9') return false;
        v = v * 10 + (rest.p[i] - '0');
    }
    *port = v;
    return v <= 65535;
}

static bool escapes_ok(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') continue;
        if (s.n - i < 3 || hex_digit(s.p[i + 1]) < 0 || hex_digit(s.p[i + 2]) < 0) return false;
        i += 2;
    }
    return true;
}

/* "/path?query", "http://host/path?query" or "*" (RFC 9112 sec. 3.2). */
static int parse_target(struct http_head *h, struct err *e)
{
    struct str t = h->target, name;
    int        port;

    if (str_eq(t, STR("*"))) {
        h->path = t;
        return h->method == HTTP_OPTIONS ? 0 : bad(e, "target \"*\" is for OPTIONS only");
    }
    if (!t.n || t.p[0] != '/') {
        size_t scheme = str_eq_nocase(str_sub(t, 0, 7), STR("http://"))    ? 7
                        : str_eq_nocase(str_sub(t, 0, 8), STR("https://")) ? 8
                                                                           : 0;
        if (!scheme) return bad(e, "request target starts neither with \"/\" nor with \"http://\"");
        t         = str_from(t, scheme);
        size_t at = 0;
        while (at < t.n && t.p[at] != '/' && t.p[at] != '?') at++;
        h->host = str_sub(t, 0, at);
        t       = str_from(t, at);
        if (!http_host_split(h->host, &name, &port))
            return bad(e, "host in the request target is malformed");
    }
    size_t q = str_find_byte(t, '?');
    h->path  = str_sub(t, 0, q);
    h->query = q == SIZE_MAX ? STR_NULL : str_from(t, q + 1);
    if (!h->path.n) h->path = STR("/");
    if (!all_are(h->path, B_PATH) || !escapes_ok(h->path))
        return bad(e, "path of the request target has a byte or escape that may not stand in one");
    if (!all_are(h->query, B_QUERY))
        return bad(e, "query of the request target has a byte that may not stand in one");
    return 0;
}

/* method SP target SP "HTTP/1." digit, one blank each */
static int parse_line(struct str line, struct http_head *h, struct err *e)
{
    size_t a = str_find_byte(line, ' ');
    size_t b = a == SIZE_MAX ? a : str_find_byte(str_from(line, a + 1), ' ');

    if (b == SIZE_MAX) return bad(e, "request line is not \"METHOD target HTTP/1.1\"");
    struct str method = str_sub(line, 0, a), version = str_from(line, a + b + 2);
    h->target = str_sub(line, a + 1, b);
    if (!http_is_token(method)) return bad(e, "method is not a token");
    if (version.n != 8 || !str_starts(version, STR("HTTP/")) || version.p[6] != '.' ||
        version.p[5] < '0' || version.p[5] > '9' || version.p[7] < '0' || version.p[7] > '9')
        return bad(e, "request line does not end in an HTTP version");
    if (version.p[5] != '1' || version.p[7] > '1')
        return err_set(e, ERR_HTTP_VERSION, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    h->minor = version.p[7] - '0';

    size_t m = 0;
    while (m < HTTP_METHODS && !str_eq(method, str_c(method_names[m]))) m++;
    if (m == HTTP_METHODS) return err_set(e, ERR_METHOD_UNKNOWN, "unknown method");
    h->method = (enum http_method)m;
    return parse_target(h, e);
}

/* --- finding the end --- */

/* One complete line of `raw` bytes before its LF. */
static int scan_line(struct http_scan *sc, const struct http_limits *lim, struct str line,
                     struct err *e)
{
    struct http_head h = { 0 };

    if (!line.n || line.p[line.n - 1] != '\r') return bad(e, "line ends in a bare LF");
    line.n--;
    if (str_find_byte(line, '\r') != SIZE_MAX) return bad(e, "line has a bare CR");
    sc->lines++;
    if (sc->lines == 1) {
        sc->fields = sc->at;
        return parse_line(line, &h, e);
    }
    if (!line.n) return 1;
    if (sc->lines - 1 > lim->fields)
        return err_set(e, ERR_HEADERS, "more than %zu header fields", lim->fields);
    if (sc->at - sc->fields > lim->fields_bytes)
        return err_set(e, ERR_HEADERS, "header fields are larger than %zu bytes",
                       lim->fields_bytes);
    return 0;
}

int http_scan(struct http_scan *sc, const struct http_limits *lim, struct str in, struct err *e)
{
    if (!sc->lines && !sc->start && in.n && in.p[0] == '\r') {
        if (in.n == 1) return 0;
        if (in.p[1] != '\n') return bad(e, "request does not start with a method");
        sc->start = sc->line = sc->at = 2; // RFC 9112 sec. 2.2: one empty line may come before
    }
    /* Tell other protocols (TLS, say) by their first byte: they may never send an LF. */
    if (!sc->lines && in.n > sc->start && !(bytes[(unsigned char)in.p[sc->start]] & B_TOKEN))
        return bad(e, "request does not start with a method");
    for (;;) {
        size_t      max = (sc->lines ? lim->field_bytes : lim->line_bytes) + 1; // and its CR
        const char *lf = sc->at < in.n ? memchr(in.p + sc->at, '\n', in.n - sc->at) : NULL;
        size_t      end = lf ? (size_t)(lf - in.p) : in.n;

        if (end - sc->line > max)
            return sc->lines ? err_set(e, ERR_HEADERS, "header field is longer than %zu bytes", max - 1)
                             : err_set(e, ERR_URI_TOO_LONG,
                                       "request line is longer than %zu bytes", max - 1);
        sc->at = end;
        if (!lf) return 0;
        sc->at++;
        int rc = scan_line(sc, lim, str_sub(in, sc->line, end - sc->line), e);
        if (rc) return rc;
        sc->line = sc->at;
    }
}

/* --- the fields --- */

/* Fields that mean nothing, or an attack, when there are two of them. */
enum { F_HOST, F_LENGTH, F_CODING, F_TYPE, F_AUTH, F_ORIGIN, F_EXPECT, F_CONNECTION, F_OTHER };
static const struct {
    struct str name;
    bool       once;
} known[F_OTHER] = {
    [F_HOST]       = { { "host", 4 }, true },
    [F_LENGTH]     = { { "content-length", 14 }, true },
    [F_CODING]     = { { "transfer-encoding", 17 }, true },
    [F_TYPE]       = { { "content-type", 12 }, true },
    [F_AUTH]       = { { "authorization", 13 }, true },
    [F_ORIGIN]     = { { "origin", 6 }, true },
    [F_EXPECT]     = { { "expect", 6 }, true },
    [F_CONNECTION] = { { "connection", 10 }, false },
};

static int parse_length(struct str v, struct http_head *h, struct err *e)
{
    int64_t n = 0;

    if (!v.n) return bad(e, "Content-Length is empty");
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < '0' || v.p[i] > '9') return bad(e, "Content-Length is not a number");
    for (size_t i = 0; i < v.n; i++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, v.p[i] - '0', &n))
            return err_set(e, ERR_TOO_LARGE, "Content-Length is out of range");
    h->length = n;
    return 0;
}

static int parse_connection(struct str list, struct http_head *h, bool *keep, struct err *e)
{
    for (struct str item; str_cut(&list, ',', &item);) {
        item = trim_ows(item);
        if (!item.n) continue; // RFC 9110 sec. 5.6.1.2: empty elements of a list are skipped
        if (!http_is_token(item)) return bad(e, "Connection is not a list of tokens");
        if (str_eq_nocase(item, STR("close"))) h->keep_alive = false;
        if (str_eq_nocase(item, STR("keep-alive"))) *keep = true;
    }
    return 0;
}

static int parse_known(int which, struct str value, struct http_head *h, bool *keep, struct err *e)
{
    struct str name;
    int        port;

    switch (which) {
    case F_HOST:
        if (!http_host_split(value, &name, &port)) return bad(e, "Host is malformed");
        if (!h->host.p) h->host = value; // else the absolute target has said it (RFC 9112 sec. 3.2.2)
        return 0;
    case F_LENGTH: return parse_length(value, h, e);
    case F_CODING:
        if (!str_eq_nocase(value, STR("chunked")))
            return bad(e, "Transfer-Encoding is not exactly \"chunked\"");
        h->chunked = true;
        return 0;
    case F_EXPECT:
        if (h->minor == 0) return 0; // RFC 9110 sec. 10.1.1: ignored from HTTP/1.0
        if (!str_eq_nocase(value, STR("100-continue")))
            return err_set(e, ERR_EXPECTATION, "only \"100-continue\" can be expected");
        h->expect = true;
        return 0;
    case F_CONNECTION: return parse_connection(value, h, keep, e);
    default: return 0;
    }
}

static int parse_field(struct str line, struct http_field *f, struct err *e)
{
    size_t colon = str_find_byte(line, ':');

    if (line.p[0] == ' ' || line.p[0] == '\t') return bad(e, "header field is folded");
    if (colon == SIZE_MAX) return bad(e, "header field has no colon");
    f->name  = str_sub(line, 0, colon);
    f->value = trim_ows(str_from(line, colon + 1));
    if (!http_is_token(f->name)) return bad(e, "name of a header field is not a token");
    if (!http_is_value(f->value)) return bad(e, "header field has a control character in its value");
    return 0;
}

static int check_whole(struct http_head *h, unsigned seen, bool keep, struct err *e)
{
    bool has_length = seen >> F_LENGTH & 1;

    if (h->minor == 1 && !(seen >> F_HOST & 1)) return bad(e, "HTTP/1.1 request without Host");
    if (h->chunked && has_length)
        return bad(e, "both Content-Length and Transfer-Encoding are given");
    if (h->chunked && h->minor == 0) return bad(e, "Transfer-Encoding in an HTTP/1.0 request");
    if (h->minor == 0 && !keep) h->keep_alive = false;
    return 0;
}

int http_head_parse(struct str head, size_t lines, struct arena *a, struct http_head *ret,
                    struct err *e)
{
    struct http_head   h = { .length = -1, .keep_alive = true };
    struct http_field *f = arena_array(a, lines, sizeof *f);
    unsigned           seen = 0;
    bool               keep = false;

    if (!f) return err_nomem(e, "reading a request head");
    for (size_t i = 0; i < lines; i++) {
        size_t lf = str_find_byte(head, '\n');
        if (lf == SIZE_MAX || lf < 1 || head.p[lf - 1] != '\r') return bad(e, "line ends in a bare LF");
        struct str line = str_sub(head, 0, lf - 1);
        head            = str_from(head, lf + 1);
        if (i == 0) {
            int rc = parse_line(line, &h, e);
            if (rc) return rc;
            continue;
        }
        if (!line.n) break;
        struct http_field *at = &f[h.n_field++];
        int                rc = parse_field(line, at, e), which = 0;
        if (rc) return rc;
        while (which < F_OTHER && !str_eq_nocase(at->name, known[which].name)) which++;
        if (which == F_OTHER) continue;
        if (known[which].once && (seen >> which & 1))
            return err_set(e, ERR_BAD_REQUEST, "header field " STR_FMT " is given twice",
                           STR_ARG(known[which].name));
        seen |= 1u << which;
        rc = parse_known(which, at->value, &h, &keep, e);
        if (rc) return rc;
    }
    int rc = check_whole(&h, seen, keep, e);
    if (rc) return rc;
    h.field = f;
    *ret    = h;
    return 0;
}

struct str http_head_field(const struct http_head *h, const char *name)
{
    struct str want = str_c(name);

    for (size_t i = 0; i < h->n_field; i++)
        if (str_eq_nocase(h->field[i].name, want)) return h->field[i].value;
    return STR_NULL;
}

/* --- targets --- */

static int decode(struct str s, bool plus, struct arena *a, struct str *ret, struct err *e)
{
    char  *p = arena_alloc(a, s.n + 1);
    size_t n = 0;

    if (!p) return err_nomem(e, "decoding a target");
    if (!escapes_ok(s)) return bad(e, "target has a broken percent escape");
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            c = (char)(hex_digit(s.p[i + 1]) << 4 | hex_digit(s.p[i + 2]));
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (!c) return bad(e, "target has an escaped NUL");
        p[n++] = c;
    }
    p[n] = 0;
    if (!utf8_valid((struct str){ p, n })) return bad(e, "target is not UTF-8");
    *ret = (struct str){ p, n };
    return 0;
}

int http_pct_decode(struct str s, struct arena *a, struct str *ret, struct err *e)
{
    return decode(s, false, a, ret, e);
}

int http_query_get(struct str query, const char *name, struct arena *a, struct str *ret,
                   struct err *e)
{
    struct str want = str_c(name);

    for (struct str item; str_cut(&query, '&', &item);) {
        size_t eq = str_find_byte(item, '=');
        if (!str_eq(str_sub(item, 0, eq), want)) continue;
        int rc = decode(eq == SIZE_MAX ? STR("") : str_from(item, eq + 1), true, a, ret, e);
        return rc ? rc : 1;
    }
    return 0;
}
