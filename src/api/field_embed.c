/* field_embed.c - texts to embed, a query and its documents.
 *
 * Names and forms: OpenAI's API reference for embeddings; Jina's and Cohere's for rerank. */
#include <string.h>

#include "api/field_int.h"
#include "base/limits.h"

static int copy_text(struct parse *p, const char *name, const struct json *v, bool may_be_empty, struct str *ret,
                     struct err *e)
{
    struct str s = json_str(v);

    if (s.n == 0 && !may_be_empty) return err_param(e, ERR_INVALID_VALUE, name, "%s is an empty string", name);
    if (s.n > LIM_PROMPT_BYTES)
        return err_param(e, ERR_STRING_TOO_LONG, name, "%s has %zu bytes, the limit is %zu", name, s.n,
                         LIM_PROMPT_BYTES);
    *ret = arena_str(p->a, s);
    return ret->p ? 0 : err_nomem(e, "reading a request");
}

/* Room for the texts of a list; errors about their number. */
static int make_inputs(struct parse *p, const char *name, size_t n, struct chat_input **ret, struct err *e)
{
    if (n == 0) return err_param(e, ERR_EMPTY_ARRAY, name, "%s is an empty array", name);
    if (n > LIM_INPUTS)
        return err_param(e, ERR_ARRAY_TOO_LONG, name, "%s has %zu elements, the limit is %d", name, n, LIM_INPUTS);
    *ret = arena_array(p->a, n, sizeof **ret);
    if (!*ret) return err_nomem(e, "reading a request");
    p->q->r.input   = *ret;
    p->q->r.n_input = (int)n;
    return 0;
}

static int one_input(struct parse *p, const char *path, const struct json *v, struct chat_input *ret, struct err *e)
{
    ret->text = STR("");
    if (json_kind(v) == JSON_T_STR) return copy_text(p, path, v, false, &ret->text, e);
    if (json_kind(v) != JSON_T_ARR) return field_type_err(path, v, "a string or an array of token ids", e);
    if (json_len(v) == 0) return err_param(e, ERR_EMPTY_ARRAY, path, "%s is an empty array", path);
    return field_token_ids(p, path, v, &ret->tok, &ret->n_tok, e);
}

/* A string, a list of ids, a list of strings, or a list of lists of ids. */
int field_input(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    enum json_kind     head = json_kind(json_at(v, 0));
    bool               one  = json_kind(v) == JSON_T_STR || head == JSON_T_INT || head == JSON_T_REAL;
    size_t             n    = one ? 1 : json_len(v);
    struct chat_input *in;
    char               path[ERR_PARAM_MAX];

    if (json_kind(v) != JSON_T_STR && json_kind(v) != JSON_T_ARR)
        return field_type_err(name, v, "a string or an array", e);
    int rc = make_inputs(p, name, n, &in, e);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (one) field_path(path, "%s", name);
        else field_path(path, "%s[%zu]", name, i);
        rc = one_input(p, path, one ? v : json_at(v, i), &in[i], e);
    }
    return rc;
}

int field_encoding(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    char q[LIM_QUOTE_BYTES];

    if (json_kind(v) != JSON_T_STR) return field_type_err(name, v, "a string", e);
    p->q->base64 = str_eq(json_str(v), STR("base64"));
    if (p->q->base64 || str_eq(json_str(v), STR("float"))) return 0;
    return err_param(e, ERR_INVALID_VALUE, name, "%s is \"%s\", it must be float or base64", name,
                     str_quote(q, sizeof q, json_str(v)));
}

int field_query(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    if (json_kind(v) != JSON_T_STR) return field_type_err(name, v, "a string", e);
    return copy_text(p, name, v, false, &p->q->r.prompt, e);
}

int field_rank_documents(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    struct chat_input *in;
    char               path[ERR_PARAM_MAX];

    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array", e);
    int rc = make_inputs(p, name, json_len(v), &in, e);
    for (int i = 0; rc == 0 && i < p->q->r.n_input; i++) {
        const struct json *x = json_at(v, (size_t)i);
        field_path(path, "%s[%d]", name, i);
        if (json_kind(x) == JSON_T_OBJ) {
            x = json_get(x, "text");
            field_path(path, "%s[%d].text", name, i);
        }
        if (json_kind(x) != JSON_T_STR)
            return field_type_err(path, x, "a string, or an object with one as its text", e);
        rc = copy_text(p, path, x, true, &in[i].text, e);
    }
    return rc;
}
