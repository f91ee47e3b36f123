/* field_form.c - the forms that an answer may be held to: response_format, and what other servers' clients
 * send for the same.
 *
 * Names: OpenAI's API reference; llama.cpp's server (grammar, json_schema); vLLM (guided_*,
 * structured_outputs). The worker reads the form itself; here it is only taken over. */
#include <string.h>

#include "api/field_int.h"
#include "base/limits.h"

/* One form for an answer, from one field. */
static int set_form(struct parse *p, const char *name, enum chat_format format, struct str text, struct err *e)
{
    struct chat_req *r = &p->q->r;

    if (r->format != CHAT_FORMAT_TEXT)
        return err_param(e, ERR_INVALID_VALUE, name,
                         "%s: " STR_FMT " asks for a form already, one is possible", name,
                         STR_ARG(r->format_field));
    if (text.n > LIM_CONSTRAIN_TEXT)
        return err_param(e, ERR_STRING_TOO_LONG, name, "%s has %zu bytes, the limit is %zu", name, text.n,
                         LIM_CONSTRAIN_TEXT);
    r->format       = format;
    r->schema       = text.p ? arena_str(p->a, text) : STR_NULL;
    r->format_field = arena_str(p->a, str_c(name));
    return (text.p && !r->schema.p) || !r->format_field.p ? err_nomem(e, "reading a request") : 0;
}

static int set_schema(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    struct buf b;

    buf_init(&b, LIM_BODY_BYTES * 2);
    json_write(&b, v, JSON_TIGHT);
    int rc =
        b.failed ? err_nomem(e, "reading a request") : set_form(p, name, CHAT_FORMAT_SCHEMA, buf_text(&b), e);
    buf_release(&b);
    return rc;
}

static bool name_ok(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '-'))
            return false;
    }
    return s.n > 0 && s.n <= 64;
}

/* {"name": "n", "schema": {...}, "strict": true} */
static int named_schema(struct parse *p, const struct json *v, struct err *e)
{
    static const char  path[] = "response_format.json_schema";
    const struct json *name = json_get(v, "name"), *schema = json_get(v, "schema"),
                      *strict = json_get(v, "strict");
    char               q[LIM_QUOTE_BYTES];

    if (!v) return err_param(e, ERR_MISSING_PARAM, path, "%s is missing", path);
    if (json_kind(v) != JSON_T_OBJ) return field_type_err(path, v, "an object", e);
    if (name && json_kind(name) != JSON_T_STR)
        return field_type_err("response_format.json_schema.name", name, "a string", e);
    if (name && !name_ok(json_str(name)))
        return err_param(e, ERR_INVALID_VALUE, "response_format.json_schema.name",
                         "response_format.json_schema.name is \"%s\"; "
                         "1 to 64 letters, digits, _ and - are allowed",
                         str_quote(q, sizeof q, json_str(name)));
    if (strict && json_kind(strict) != JSON_T_BOOL && json_kind(strict) != JSON_T_NULL)
        return field_type_err("response_format.json_schema.strict", strict, "a boolean", e);
    if (!schema)
        return err_param(e, ERR_MISSING_PARAM, "response_format.json_schema.schema",
                         "response_format.json_schema.schema is missing");
    if (json_kind(schema) != JSON_T_OBJ && json_kind(schema) != JSON_T_BOOL)
        return field_type_err("response_format.json_schema.schema", schema, "an object", e);
    return set_schema(p, "response_format", schema, e);
}

int field_response_format(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    char q[LIM_QUOTE_BYTES];

    if (json_kind(v) != JSON_T_OBJ) return field_type_err(name, v, "an object", e);
    const struct json *type = json_get(v, "type");
    if (!type)
        return err_param(e, ERR_MISSING_PARAM, "response_format.type", "response_format.type is missing");
    if (json_kind(type) != JSON_T_STR) return field_type_err("response_format.type", type, "a string", e);
    if (str_eq(json_str(type), STR("text"))) return 0;
    if (str_eq(json_str(type), STR("json_object"))) {
        if (json_get(v, "schema")) return set_schema(p, name, json_get(v, "schema"), e); // llama.cpp's way
        return set_form(p, name, CHAT_FORMAT_JSON, STR_NULL, e);
    }
    if (str_eq(json_str(type), STR("json_schema"))) return named_schema(p, json_get(v, "json_schema"), e);
    return err_param(e, ERR_INVALID_VALUE, "response_format.type",
                     "response_format.type is \"%s\", it must be text, json_object "
                     "or json_schema",
                     str_quote(q, sizeof q, json_str(type)));
}

int field_form_schema(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    if (json_kind(v) == JSON_T_STR) return set_form(p, name, CHAT_FORMAT_SCHEMA, json_str(v), e);
    if (json_kind(v) != JSON_T_OBJ && json_kind(v) != JSON_T_BOOL)
        return field_type_err(name, v, "an object or its text", e);
    return set_schema(p, name, v, e);
}

static int set_text(struct parse *p, const char *name, enum chat_format format, const struct json *v,
                    struct err *e)
{
    if (json_kind(v) != JSON_T_STR) return field_type_err(name, v, "a string", e);
    return json_str(v).n ? set_form(p, name, format, json_str(v), e) : 0; // many clients send "" for none
}

int field_form_grammar(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    return set_text(p, name, CHAT_FORMAT_GRAMMAR, v, e);
}

int field_form_regex(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    return set_text(p, name, CHAT_FORMAT_REGEX, v, e);
}

/* As a grammar: root ::= "a" | "b" */
int field_form_choice(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    struct buf b;
    int        rc = 0;

    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array of strings", e);
    if (json_len(v) == 0) return err_param(e, ERR_EMPTY_ARRAY, name, "%s is an empty array", name);
    buf_init(&b, LIM_BODY_BYTES * 4);
    buf_str(&b, STR("root ::= "));
    for (size_t i = 0; rc == 0 && i < json_len(v); i++) {
        struct str s = json_str(json_at(v, i));
        if (json_kind(json_at(v, i)) != JSON_T_STR)
            rc = field_type_err(name, json_at(v, i), "an array of strings", e);
        buf_str(&b, i ? STR(" | \"") : STR("\""));
        for (size_t k = 0; k < s.n; k++) {
            unsigned char c = (unsigned char)s.p[k];
            if (c < 0x20 || c == '"' || c == '\\') buf_printf(&b, "\\x%02x", c);
            else buf_byte(&b, (char)c);
        }
        buf_byte(&b, '"');
    }
    if (rc == 0)
        rc = b.failed ? err_nomem(e, "reading a request")
                      : set_form(p, name, CHAT_FORMAT_GRAMMAR, buf_text(&b), e);
    buf_release(&b);
    return rc;
}

int field_structured(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    static const struct {
        const char *key, *name;
        field_fn   *fn;
    } rows[] = {
        { "json", "structured_outputs.json", field_form_schema },
        { "regex", "structured_outputs.regex", field_form_regex },
        { "choice", "structured_outputs.choice", field_form_choice },
        { "grammar", "structured_outputs.grammar", field_form_grammar },
    };
    int rc = 0;

    if (json_kind(v) != JSON_T_OBJ) return field_type_err(name, v, "an object", e);
    for (struct json_it it = json_it(v); rc == 0 && json_next(&it);) {
        size_t i = 0;
        char   q[LIM_QUOTE_BYTES];
        if (json_kind(it.val) == JSON_T_NULL) continue;
        while (i < ARRAY_LEN(rows) && !str_eq(it.key, str_c(rows[i].key))) i++;
        if (i == ARRAY_LEN(rows))
            return err_param(e, ERR_UNSUPP_VALUE, name,
                             "%s has \"%s\"; json, regex, choice and grammar are supported", name,
                             str_quote(q, sizeof q, it.key));
        rc = rows[i].fn(p, rows[i].name, it.val, e);
    }
    return rc;
}
