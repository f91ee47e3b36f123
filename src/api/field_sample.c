/* field_sample.c - fields of sampling and of an answer's end that are more than a number. */
#include <string.h>

#include "api/field_int.h"
#include "base/limits.h"

/* --- the order of samplers: names or, in a string, letters, as llama.cpp's server has them --- */

static const struct {
    const char       *name;
    char              letter;
    enum chat_sampler is;
} sampler_names[] = {
    { "penalties", 'e', CHAT_SAMPLER_PENALTIES }, { "dry", 'd', CHAT_SAMPLER_DRY },
    { "top_n_sigma", 's', CHAT_SAMPLER_TOP_N_SIGMA }, { "top_k", 'k', CHAT_SAMPLER_TOP_K },
    { "typ_p", 'y', CHAT_SAMPLER_TYPICAL }, { "top_p", 'p', CHAT_SAMPLER_TOP_P },
    { "min_p", 'm', CHAT_SAMPLER_MIN_P }, { "xtc", 'x', CHAT_SAMPLER_XTC },
    { "temperature", 't', CHAT_SAMPLER_TEMPERATURE },
    { "typical_p", 0, CHAT_SAMPLER_TYPICAL }, { "temp", 0, CHAT_SAMPLER_TEMPERATURE },
};

static int add_sampler(struct parse *p, const char *name, struct str word, struct err *e)
{
    struct chat_params *par = &p->q->r.params;
    char                q[LIM_QUOTE_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(sampler_names); i++) {
        enum chat_sampler is   = sampler_names[i].is;
        bool              same = word.n == 1 ? word.p[0] == sampler_names[i].letter
                                             : str_eq(word, str_c(sampler_names[i].name));
        if (!same) continue;
        for (int k = 0; k < par->n_order; k++)
            if (par->order[k] == is)
                return err_param(e, ERR_INVALID_VALUE, name, "%s names %s twice", name, sampler_names[i].name);
        par->order[par->n_order++] = is;
        return 0;
    }
    return err_param(e, ERR_INVALID_VALUE, name, "%s: \"%s\" is no sampler; there are penalties (e), dry (d), "
                     "top_n_sigma (s), top_k (k), typ_p (y), top_p (p), min_p (m), xtc (x), temperature (t)",
                     name, str_quote(q, sizeof q, word));
}

int field_samplers(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    struct str letters = json_str(v);
    int        rc      = 0;

    p->q->r.params.n_order = 0;
    for (size_t i = 0; rc == 0 && i < letters.n; i++) rc = add_sampler(p, name, str_sub(letters, i, 1), e);
    if (json_kind(v) == JSON_T_STR) return rc;
    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array of names or a string of letters", e);
    for (size_t i = 0; rc == 0 && i < json_len(v); i++) {
        if (json_kind(json_at(v, i)) != JSON_T_STR) return field_type_err(name, json_at(v, i), "an array of names", e);
        rc = add_sampler(p, name, json_str(json_at(v, i)), e);
    }
    return rc;
}

/* --- DRY --- */

int field_breakers(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    size_t n = json_len(v);
    char   path[ERR_PARAM_MAX];

    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array of strings", e);
    if (n > LIM_STOPS)
        return err_param(e, ERR_ARRAY_TOO_LONG, name, "%s has %zu texts, the limit is %d", name, n, LIM_STOPS);
    struct str *text = arena_array(p->a, n ? n : 1, sizeof *text);
    if (!text) return err_nomem(e, "reading a request");
    for (size_t i = 0; i < n; i++) {
        const struct json *x = json_at(v, i);
        field_path(path, "%s[%zu]", name, i);
        if (json_kind(x) != JSON_T_STR) return field_type_err(path, x, "a string", e);
        if (json_str(x).n == 0 || json_str(x).n > LIM_BREAKER_BYTES)
            return err_param(e, ERR_INVALID_VALUE, path, "%s has %zu bytes, 1 to %d are allowed", path,
                             json_str(x).n, LIM_BREAKER_BYTES);
        text[i] = arena_str(p->a, json_str(x));
        if (!text[i].p) return err_nomem(e, "reading a request");
    }
    p->q->r.breaker      = text;
    p->q->r.n_breaker    = (int)n;
    p->q->r.own_breakers = true;
    return 0;
}

/* --- what ends an answer --- */

int field_stop_tokens(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    size_t n = json_len(v);

    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array of token ids", e);
    if (n > LIM_STOP_TOKENS)
        return err_param(e, ERR_ARRAY_TOO_LONG, name, "%s has %zu tokens, the limit is %d", name, n,
                         LIM_STOP_TOKENS);
    int32_t *tok = arena_array(p->a, n ? n : 1, sizeof *tok);
    if (!tok) return err_nomem(e, "reading a request");
    for (size_t i = 0; i < n; i++) {
        int64_t id;
        if (!json_whole(json_at(v, i), &id) || id < 0 || id >= LIM_VOCAB)
            return err_param(e, ERR_INVALID_VALUE, name, "%s: element %zu is not a token id", name, i);
        tok[i] = (int32_t)id;
    }
    p->q->r.stop_tok   = tok;
    p->q->r.n_stop_tok = (int)n;
    return 0;
}

/* --- logit_bias: {"id": bias}, or [[id, bias], ...] where false means never --- */

static int one_bias(const char *name, bool is_id, int64_t id, const struct json *v, struct chat_bias *ret,
                    struct err *e)
{
    enum json_kind k   = json_kind(v);
    double         val = json_num(v);

    if (!is_id || id < 0 || id >= LIM_VOCAB)
        return err_param(e, ERR_INVALID_VALUE, name, "%s: a token id is missing or out of range", name);
    if (k == JSON_T_BOOL && !json_bool(v)) val = -100;
    else if ((k != JSON_T_INT && k != JSON_T_REAL) || val < -100 || val > 100)
        return err_param(e, ERR_INVALID_VALUE, name, "%s: the bias of token %lld must be a number "
                         "from -100 to 100", name, (long long)id);
    *ret = (struct chat_bias){ (int32_t)id, (float)val };
    return 0;
}

int field_logit_bias(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    size_t n = json_len(v), i = 0;
    char   q[LIM_QUOTE_BYTES];
    int    rc = 0;

    if (json_kind(v) != JSON_T_OBJ && json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an object", e);
    if (n > LIM_LOGIT_BIAS)
        return err_param(e, ERR_ARRAY_TOO_LONG, name, "%s has %zu members, the limit is %d", name, n,
                         LIM_LOGIT_BIAS);
    if (n == 0) return 0;
    struct chat_bias *bias = arena_array(p->a, n, sizeof *bias);
    if (!bias) return err_nomem(e, "reading a request");
    for (struct json_it it = json_it(v); rc == 0 && json_kind(v) == JSON_T_OBJ && json_next(&it); i++) {
        int64_t id;
        if (!str_to_i64(it.key, &id) || id < 0 || id >= LIM_VOCAB)
            return err_param(e, ERR_INVALID_VALUE, name, "%s: \"%s\" is not a token id", name,
                             str_quote(q, sizeof q, it.key));
        rc = one_bias(name, true, id, it.val, &bias[i], e);
    }
    for (; rc == 0 && i < n; i++) {
        int64_t id   = -1;
        bool    is_id = json_whole(json_at(json_at(v, i), 0), &id);
        rc            = one_bias(name, is_id, id, json_at(json_at(v, i), 1), &bias[i], e);
    }
    p->q->r.params.bias   = bias;
    p->q->r.params.n_bias = (int)n;
    return rc;
}
