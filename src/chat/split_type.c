/* split_type.c - which JSON type an argument should have, by the tool's JSON Schema.
 *
 * Formats that write arguments as plain text do not say whether 3 is a number or a string; the schema
 * does. Only what bears on that is looked at: type, enum, const, anyOf / oneOf / allOf, $ref inside
 * the same schema. A schema that cannot be read says nothing, and then the text decides.
 */
#include "chat/split_int.h"

#include <string.h>

#define DEPTH_MAX 16  // $ref and anyOf below one another: a schema may refer to itself ...
#define VISIT_MAX 500 // ... many times over

void split_type_forget(struct split *s)
{
    json_free(s->schema);
    s->schema = NULL;
    s->schema_read = false;
}

static const struct json *schema(struct split *s)
{
    const struct chat_tool *t = split_tool(s);
    int                     rc = 0;

    if (!s->schema_read && t && t->parameters.n) rc = json_parse(t->parameters, NULL, &s->schema, NULL);
    if (rc != 0) s->schema = NULL;
    s->nomem |= rc == -ERR_NO_MEMORY;
    s->schema_read = true;
    return s->schema ? json_root(s->schema) : NULL;
}

static unsigned of_name(struct str name)
{
    static const struct {
        const char *name;
        unsigned    types;
    } rows[] = {
        { "string", 1u << JSON_T_STR },   { "integer", 1u << JSON_T_INT },
        { "number", 1u << JSON_T_INT | 1u << JSON_T_REAL },
        { "boolean", 1u << JSON_T_BOOL }, { "null", 1u << JSON_T_NULL },
        { "object", 1u << JSON_T_OBJ },   { "array", 1u << JSON_T_ARR },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(str_c(rows[i].name), name)) return rows[i].types;
    return 0;
}

/* "#/$defs/Name" from the root. */
static const struct json *follow(const struct json *root, struct str ref)
{
    struct str part;

    if (!str_starts(ref, STR("#/"))) return NULL;
    ref = str_from(ref, 2);
    while (root && str_cut(&ref, '/', &part)) root = json_get_str(root, part);
    return root;
}

static unsigned types_of(const struct json *root, const struct json *v, int depth, int *left)
{
    static const char *const any[] = { "anyOf", "oneOf", "allOf" };
    const struct json       *t = json_get(v, "type");
    unsigned                 types = 0;

    if (depth > DEPTH_MAX || --*left < 0 || json_kind(v) != JSON_T_OBJ) return 0;
    types |= of_name(json_str(t));
    for (size_t i = 0; json_kind(t) == JSON_T_ARR && i < json_len(t); i++)
        types |= of_name(json_str(json_at(t, i)));
    if (types) return types;

    const struct json *one = json_get(v, "enum");
    for (size_t i = 0; json_kind(one) == JSON_T_ARR && i < json_len(one); i++)
        types |= 1u << json_kind(json_at(one, i));
    if (json_get(v, "const")) types |= 1u << json_kind(json_get(v, "const"));
    for (size_t k = 0; k < ARRAY_LEN(any); k++) {
        const struct json *list = json_get(v, any[k]);
        for (size_t i = 0; json_kind(list) == JSON_T_ARR && i < json_len(list); i++)
            types |= types_of(root, json_at(list, i), depth + 1, left);
    }
    if (json_kind(json_get(v, "$ref")) == JSON_T_STR)
        types |= types_of(root, follow(root, json_str(json_get(v, "$ref"))), depth + 1, left);
    return types;
}

unsigned split_type_of(struct split *s, struct str key)
{
    const struct json *root = schema(s);
    int                left = VISIT_MAX;

    return types_of(root, json_get_str(json_get(root, "properties"), key), 0, &left);
}

bool split_type_nth(struct split *s, int n, struct str *key)
{
    const struct json *props = json_get(schema(s), "properties");

    for (struct json_it it = json_it(props); json_next(&it);) {
        if (n-- > 0) continue;
        *key = it.key;
        return true;
    }
    return false;
}
