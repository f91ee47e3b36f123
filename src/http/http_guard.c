/* http_guard.c - Host and Origin against lists; CORS fields.
 *
 * Origins: RFC 6454; CORS: the Fetch standard, sec. 3.2. The fields allowed are those the clients
 * of the APIs send.
 */
#include "http/http_guard.h"

#include <arpa/inet.h>

/* "localhost", anything under it (RFC 6761 sec. 6.3), 127.0.0.0/8 and [::1]. */
static bool is_loopback(struct str name)
{
    char           z[64];
    struct in_addr v4;

    if (str_eq_nocase(name, STR("localhost")) || str_eq(name, STR("[::1]"))) return true;
    if (name.n > 10 && str_eq_nocase(str_from(name, name.n - 10), STR(".localhost"))) return true;
    if (name.n >= sizeof z) return false;
    return inet_pton(AF_INET, str_copy_z(z, sizeof z, name), &v4) == 1 &&
           ntohl(v4.s_addr) >> 24 == 127;
}

static bool is_address(struct str name)
{
    char            z[64];
    struct in6_addr a;

    if (name.n >= sizeof z) return false;
    if (name.n > 2 && name.p[0] == '[')
        return inet_pton(AF_INET6, str_copy_z(z, sizeof z, str_sub(name, 1, name.n - 2)), &a) == 1;
    return inet_pton(AF_INET, str_copy_z(z, sizeof z, name), &a) == 1;
}

bool http_guard_host(const struct http_guard *g, struct str host)
{
    struct str name;
    int        port;

    if (!http_host_split(host, &name, &port)) return false;
    if (is_loopback(name) || (g->any_ip && is_address(name))) return true;
    for (size_t i = 0; i < g->n_host; i++)
        if (str_eq(g->host[i], STR("*")) || str_eq_nocase(g->host[i], name)) return true;
    return false;
}

static bool matches(struct str rule, struct str s)
{
    if (rule.n && rule.p[rule.n - 1] == '*')
        return s.n >= rule.n - 1 && str_eq_nocase(str_sub(s, 0, rule.n - 1), str_sub(rule, 0, rule.n - 1));
    return str_eq_nocase(rule, s);
}

bool http_guard_origin(const struct http_guard *g, struct str origin, struct str host)
{
    struct str name, site = STR_NULL;
    int        port;

    if (str_starts(origin, STR("http://"))) site = str_from(origin, 7);
    if (str_starts(origin, STR("https://"))) site = str_from(origin, 8);
    if (site.n && http_host_split(site, &name, &port) &&
        (is_loopback(name) || str_eq_nocase(site, host)))
        return true;
    for (size_t i = 0; i < g->n_origin; i++)
        if (matches(g->origin[i], origin)) return true;
    return false;
}

int http_guard_check(const struct http_guard *g, const struct http_head *h, struct err *e)
{
    char       quoted[80];
    struct str origin = http_head_field(h, "origin");

    if (h->host.p && !http_guard_host(g, h->host))
        return err_set(e, ERR_FORBIDDEN, "host \"%s\" is not a name of this server",
                       str_quote(quoted, sizeof quoted, h->host));
    if (origin.p && !http_guard_origin(g, origin, h->host))
        return err_set(e, ERR_FORBIDDEN, "pages of origin \"%s\" may not call this server",
                       str_quote(quoted, sizeof quoted, origin));
    return 0;
}

bool http_cors_preflight(const struct http_head *h)
{
    return h->method == HTTP_OPTIONS && http_head_field(h, "origin").p &&
           http_head_field(h, "access-control-request-method").p;
}

static bool field_allowed(struct str name)
{
    static const char *const ok[] = {
        "accept", "accept-language", "authorization", "content-type", "x-api-key", "api-key",
        "idempotency-key", "x-request-id", "x-stainless-*", "openai-*", "anthropic-*", "user-agent",
        "http-referer", "x-title",
    };
    for (size_t i = 0; i < ARRAY_LEN(ok); i++)
        if (matches(str_c(ok[i]), name)) return http_is_token(name);
    return false;
}

void http_cors_fields(struct buf *b, const struct http_head *h)
{
    struct str origin = http_head_field(h, "origin"), item;

    if (!origin.p) return;
    buf_str(b, STR("Access-Control-Allow-Origin: "));
    buf_str(b, origin);
    buf_str(b, STR("\r\nVary: Origin\r\n"));
    if (!http_cors_preflight(h)) {
        buf_str(b, STR("Access-Control-Expose-Headers: *\r\n")); // no cookies here: '*' is meant
        return;
    }
    buf_str(b, STR("Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
                   "Access-Control-Max-Age: 600\r\n"));
    struct str list = http_head_field(h, "access-control-request-headers");
    int        n    = 0;
    while (str_cut(&list, ',', &item)) {
        item = str_trim(item);
        if (!field_allowed(item)) continue;
        buf_str(b, n++ ? STR(", ") : STR("Access-Control-Allow-Headers: "));
        buf_str(b, item);
    }
    if (n) buf_str(b, STR("\r\n"));
}
