/* json_same.h - do two values mean the same? Members in any order, numbers by value. */
#ifndef CURLEW_TESTS_JSON_SAME_H
#define CURLEW_TESTS_JSON_SAME_H

#include "json/json.h"

static inline bool json_same(const struct json *a, const struct json *b)
{
    bool number = json_kind(a) == JSON_T_INT || json_kind(a) == JSON_T_REAL;

    if (json_kind(a) == JSON_T_OBJ && json_kind(b) == JSON_T_OBJ) {
        if (json_len(a) != json_len(b)) return false;
        for (struct json_it it = json_it(a); json_next(&it);)
            if (!json_get_str(b, it.key) || !json_same(it.val, json_get_str(b, it.key))) return false;
        return true;
    }
    if (number && (json_kind(b) == JSON_T_INT || json_kind(b) == JSON_T_REAL)) return json_num(a) == json_num(b);
    if (json_kind(a) != json_kind(b)) return false;
    if (json_kind(a) == JSON_T_ARR) {
        for (size_t i = 0; i < json_len(a) || i < json_len(b); i++)
            if (!json_same(json_at(a, i), json_at(b, i))) return false;
        return true;
    }
    if (json_kind(a) == JSON_T_STR) return str_eq(json_str(a), json_str(b));
    return json_kind(a) == JSON_T_NULL || json_bool(a) == json_bool(b);
}

#endif
