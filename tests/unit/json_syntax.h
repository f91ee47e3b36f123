/* json_syntax.h - is this text one JSON value by the grammar of RFC 8259, and nothing else?
 *
 * The reader in json/ asks for more (unique keys, numbers in range, UTF-8), which is not what the
 * writers under test promise about text that came from a model. */
#ifndef CURLEW_TESTS_JSON_SYNTAX_H
#define CURLEW_TESTS_JSON_SYNTAX_H

#include <string.h>

#include "base/str.h"

static inline void json_syntax_blank(struct str *s)
{
    while (s->n && strchr(" \t\r\n", *s->p) && *s->p) *s = str_from(*s, 1);
}

static inline bool json_syntax_take(struct str *s, const char *z)
{
    if (!str_starts(*s, str_c(z))) return false;
    *s = str_from(*s, strlen(z));
    return true;
}

static inline bool json_syntax_digits(struct str *s)
{
    size_t n = 0;

    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9') n++;
    *s = str_from(*s, n);
    return n > 0;
}

static inline bool json_syntax_string(struct str *s)
{
    if (!json_syntax_take(s, "\"")) return false;
    while (s->n && *s->p != '"') {
        if ((unsigned char)*s->p < 0x20) return false;
        if (*s->p == '\\') {
            if (s->n < 2 || !strchr("\"\\/bfnrtu", s->p[1])) return false;
            if (s->p[1] == 'u') {
                if (s->n < 6) return false;
                for (int i = 2; i < 6; i++)
                    if (!strchr("0123456789abcdefABCDEF", s->p[i]) || !s->p[i]) return false;
            }
            *s = str_from(*s, 1);
        }
        *s = str_from(*s, 1);
    }
    return json_syntax_take(s, "\"");
}

static inline bool json_syntax_number(struct str *s)
{
    (void)json_syntax_take(s, "-");
    if (!json_syntax_take(s, "0") && !json_syntax_digits(s)) return false;
    if (json_syntax_take(s, ".") && !json_syntax_digits(s)) return false;
    if (json_syntax_take(s, "e") || json_syntax_take(s, "E")) {
        if (!json_syntax_take(s, "+")) (void)json_syntax_take(s, "-");
        if (!json_syntax_digits(s)) return false;
    }
    return true;
}

static inline bool json_syntax_value(struct str *s, int depth)
{
    bool obj, first = true;

    json_syntax_blank(s);
    if (!s->n || depth > 1000) return false;
    if (*s->p == '"') return json_syntax_string(s);
    if (json_syntax_take(s, "true") || json_syntax_take(s, "false") || json_syntax_take(s, "null")) return true;
    obj = *s->p == '{';
    if (!obj && *s->p != '[') return json_syntax_number(s);
    *s = str_from(*s, 1);
    for (;; first = false) {
        json_syntax_blank(s);
        if (first && json_syntax_take(s, obj ? "}" : "]")) return true;
        if (obj) {
            if (!json_syntax_string(s)) return false;
            json_syntax_blank(s);
            if (!json_syntax_take(s, ":")) return false;
        }
        if (!json_syntax_value(s, depth + 1)) return false;
        json_syntax_blank(s);
        if (json_syntax_take(s, obj ? "}" : "]")) return true;
        if (!json_syntax_take(s, ",")) return false;
    }
}

static inline bool json_syntax_ok(struct str s)
{
    if (!json_syntax_value(&s, 0)) return false;
    json_syntax_blank(&s);
    return s.n == 0;
}

#endif
