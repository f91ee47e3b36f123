/* vocab_hf.c - tokenizer.json and what lies beside it. */
#include "prog/vocab_hf.h"

#include "json/json.h"

/* "chat_template" of a tokenizer_config.json: a text, or a list of texts with names. */
static struct str config_template(const struct json *config)
{
    const struct json *t = json_get(config, "chat_template"), *first = NULL;

    if (json_kind(t) != JSON_T_ARR) return json_str(t);
    for (size_t i = 0; i < json_len(t); i++) {
        const struct json *one = json_at(t, i);
        if (!first || str_eq(json_str(json_get(one, "name")), STR("default"))) first = one;
    }
    return json_str(json_get(first, "template"));
}

int vocab_hf_open(const struct vocab_hf *v, struct arena *a, struct tok **ret, struct str *tmpl, struct err *e)
{
    struct json_doc *doc = NULL;
    struct str       own = v->jinja;
    struct tok      *tok = NULL;
    int              rc  = 0;

    if (v->config.p) {
        rc = json_parse(v->config, NULL, &doc, e);
        if (rc < 0) return err_wrap(e, "tokenizer_config.json");
    }
    if (v->tokenizer.p) rc = tok_from_hf(v->tokenizer, v->config, &tok, e);
    if (rc == 0 && !own.p && doc) own = config_template(json_root(doc));
    if (rc == 0 && own.p) {
        own = arena_str(a, own);
        if (!own.p) rc = err_nomem(e, "reading a chat template");
    }
    json_free(doc);
    if (rc < 0) {
        tok_free(tok);
        return rc;
    }
    *ret  = tok;
    *tmpl = own;
    return 0;
}
