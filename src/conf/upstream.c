/* upstream.c - the URL of another server, strictly. */
#include "conf/upstream.h"

#include <arpa/inet.h>

static bool host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool path_byte(char c)
{
    return host_byte(c) || c == '/' || c == '~' || c == '+' || c == ':' || c == '%' || c == ',' || c == '=';
}

static bool all(struct str s, bool (*ok)(char))
{
    for (size_t i = 0; i < s.n; i++)
        if (!ok(s.p[i])) return false;
    return true;
}

static int wrong(struct str url, const char *why, struct err *e)
{
    char q[200];

    return err_set(e, ERR_BAD_CONFIG, "\"%s\" is no address of a server: %s", str_quote(q, sizeof q, url), why);
}

/* "host", "host:8000", "[::1]:8000": the host without brackets, the port's text or STR_NULL. */
static bool cut_port(struct str place, struct str *host, struct str *port)
{
    *port = STR_NULL;
    if (place.n && place.p[0] == '[') {
        size_t end = str_find_byte(place, ']');
        if (end == SIZE_MAX) return false;
        *host = str_sub(place, 1, end - 1);
        place = str_from(place, end + 1);
        if (place.n == 0) return true;
        *port = str_from(place, 1);
        return place.p[0] == ':';
    }
    size_t colon = str_find_byte(place, ':');
    *host = str_sub(place, 0, colon);
    if (colon != SIZE_MAX) *port = str_from(place, colon + 1);
    return true;
}

static struct str cut_tail(struct str path)
{
    while (path.n && path.p[path.n - 1] == '/') path.n--;
    if (str_ends(path, STR("/v1"))) path.n -= 3;
    while (path.n && path.p[path.n - 1] == '/') path.n--;
    return path;
}

int upstream_url_parse(struct str url, struct arena *a, struct upstream_url *ret, struct err *e)
{
    struct upstream_url u    = { .tls = str_starts(url, STR("https://")) };
    struct str          rest = url, host, port;
    unsigned char       bin[16];
    char                z[256];
    int64_t             n = u.tls ? 443 : 80;

    if (!u.tls && !str_starts(url, STR("http://"))) return wrong(url, "it must begin with http:// or https://", e);
    rest         = str_from(rest, u.tls ? 8 : 7);
    size_t slash = str_find_byte(rest, '/');
    struct str place = str_sub(rest, 0, slash), path = slash == SIZE_MAX ? STR("") : str_from(rest, slash);
    if (str_find_byte(place, '@') != SIZE_MAX)
        return wrong(STR("(not shown)"), "a name or password does not belong into it; put the key into key_file", e);
    if (str_find_byte(url, '?') != SIZE_MAX || str_find_byte(url, '#') != SIZE_MAX)
        return wrong(url, "it has a query or a fragment", e);
    if (!cut_port(place, &host, &port)) return wrong(url, "its host and port cannot be told apart", e);
    if (host.n == 0 || host.n >= sizeof z) return wrong(url, "its host has to have 1 to 255 bytes", e);
    str_copy_z(z, sizeof z, host);
    bool v6 = inet_pton(AF_INET6, z, bin) == 1;
    if (place.p[0] == '[' ? !v6 : !all(host, host_byte)) return wrong(url, "its host is neither a name nor an address", e);
    if (port.p && (!str_to_i64(port, &n) || n < 1 || n > 65535)) return wrong(url, "its port is not in 1..65535", e);
    if (path.n > 1024 || !all(path, path_byte)) return wrong(url, "its path has bytes that may not stand there", e);
    path      = cut_tail(path);
    u.port    = (int)n;
    u.address = v6 || inet_pton(AF_INET, z, bin) == 1;
    u.host    = arena_str(a, host);
    u.base    = arena_printf(a, v6 ? "%s://[%s]:%d" STR_FMT : "%s://%s:%d" STR_FMT, u.tls ? "https" : "http", z, u.port,
                             STR_ARG(path));
    if (!u.host.p || !u.base.p) return err_nomem(e, "reading an address");
    *ret = u;
    return 0;
}
