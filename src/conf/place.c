/* place.c - "127.0.0.1:8080", "[::1]:8080", "unix:/run/curlew.sock". */
#include "conf/place.h"

#include "base/limits.h"

static int wrong(struct str text, struct err *e)
{
    char q[LIM_QUOTE_BYTES];

    return err_set(e, ERR_BAD_CONFIG, "\"%s\" is no place to listen: HOST:PORT, [IPV6]:PORT, PORT or unix:/PATH",
                   str_quote(q, sizeof q, text));
}

int place_parse(struct str text, int port, struct arena *a, struct place *ret, struct err *e)
{
    struct str host = text, digits = STR_NULL;
    int64_t    n = port;
    size_t     colon;

    if (str_find_byte(text, 0) != SIZE_MAX) return wrong(text, e);
    if (str_starts(host, STR("unix:"))) {
        host = str_from(host, 5);
        if (!str_starts(host, STR("/"))) return wrong(text, e);
    }
    if (str_starts(host, STR("/"))) {
        *ret = (struct place){ arena_str(a, host).p, -1 };
        return ret->host ? 0 : err_nomem(e, "reading options");
    }
    if (str_starts(host, STR("["))) {
        size_t end = str_find_byte(host, ']');
        if (end == SIZE_MAX) return wrong(text, e);
        struct str rest = str_from(host, end + 1);
        host            = str_sub(host, 1, end - 1);
        if (rest.n && rest.p[0] != ':') return wrong(text, e);
        if (rest.n) digits = str_from(rest, 1);
    } else if (str_to_i64(host, &n)) {
        digits = host;
        host   = STR("127.0.0.1");
    } else if ((colon = str_find_byte(host, ':')) != SIZE_MAX &&
               str_find_byte(str_from(host, colon + 1), ':') == SIZE_MAX) { // more than one: an IPv6 address
        digits = str_from(host, colon + 1);
        host   = str_sub(host, 0, colon);
    }
    if (host.n == 0 || host.n > 255 || (digits.p && (!str_to_i64(digits, &n) || digits.p[0] == '+')) || n < 0 ||
        n > 65535 || str_find_byte(host, '/') != SIZE_MAX || str_find_byte(host, ' ') != SIZE_MAX)
        return wrong(text, e);
    *ret = (struct place){ arena_str(a, host).p, (int)n };
    return ret->host ? 0 : err_nomem(e, "reading options");
}
