/* field.c - the table of request fields, and readers for those that are more than a number.
 *
 * Names, types and ranges: OpenAI's API reference; the extensions are those that local servers' clients
 * send (top_k, min_p, repetition_penalty ...). */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "api/field_int.h"
#include "base/limits.h"

void field_path(char dst[ERR_PARAM_MAX], const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(dst, ERR_PARAM_MAX, fmt, ap);
    va_end(ap);
}

int field_type_err(const char *name, const struct json *v, const char *want, struct err *e)
{
    return err_param(e, ERR_INVALID_TYPE, name, "%s is %s, it must be %s", name,
                     json_kind_name(json_kind(v)), want);
}

static int copy_str(struct parse *p, struct str s, struct str *ret, struct err *e)
{
    *ret = arena_str(p->a, s);
    return ret->p ? 0 : err_nomem(e, "reading a request");
}

static int copy_json(struct parse *p, const struct json *v, struct str *ret, struct err *e)
{
    struct buf b;

    buf_init(&b, LIM_BODY_BYTES * 2);
    json_write(&b, v, JSON_TIGHT);
    int rc = b.failed ? err_nomem(e, "reading a request") : copy_str(p, buf_text(&b), ret, e);
    buf_release(&b);
    return rc;
}

/* --- length --- */

static int read_limit(const char *name, const struct json *v, int min, int *ret, struct err *e)
{
    int64_t n;

    if (!json_whole(v, &n)) return field_type_err(name, v, "an integer", e);
    if (n < min)
        return err_param(e, ERR_BELOW_MIN, name, "%s is %lld, it must be at least %d", name,
                         (long long)n, min);
    *ret = n > LIM_CTX ? LIM_CTX : (int)n; // more than any context holds means "to its end"
    return 0;
}

static int field_max_tokens(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    return read_limit(name, v, p->kind == API_CHAT ? 1 : 0, &p->q->r.n_max, e);
}

static int field_max_new(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    return read_limit(name, v, 1, &p->n_max_new, e);
}

/* llama.cpp's name for it; -1 is "to the end of the context" there. */
static int field_n_predict(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    return read_limit(name, v, -1, &p->q->r.n_max, e);
}

static int field_min_tokens(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    return read_limit(name, v, 0, &p->q->r.n_min, e);
}

/* --- stop --- */

static int one_stop(struct parse *p, const char *name, const struct json *v, struct str *ret,
                    struct err *e)
{
    if (json_kind(v) != JSON_T_STR) return field_type_err(name, v, "a string", e);
    struct str s = json_str(v);
    if (s.n == 0)
        return err_param(e, ERR_INVALID_VALUE, name, "%s is empty: an empty stop sequence would end "
                         "every answer", name);
    if (s.n > LIM_STOP_BYTES)
        return err_param(e, ERR_STRING_TOO_LONG, name, "%s has %zu bytes, the limit is %d", name, s.n,
                         LIM_STOP_BYTES);
    return copy_str(p, s, ret, e);
}

static int field_stop(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    struct str *stop;
    char        path[ERR_PARAM_MAX];
    size_t      n = json_kind(v) == JSON_T_ARR ? json_len(v) : 1;

    if (json_kind(v) != JSON_T_STR && json_kind(v) != JSON_T_ARR)
        return field_type_err(name, v, "a string or an array of strings", e);
    if (n > LIM_STOPS)
        return err_param(e, ERR_ARRAY_TOO_LONG, name, "%s has %zu sequences, the limit is %d", name, n,
                         LIM_STOPS);
    if (n == 0) return 0;
    stop = arena_array(p->a, n, sizeof *stop);
    if (!stop) return err_nomem(e, "reading a request");
    for (size_t i = 0; i < n; i++) {
        bool list = json_kind(v) == JSON_T_ARR;
        if (list) field_path(path, "%s[%zu]", name, i);
        else field_path(path, "%s", name);
        int rc = one_stop(p, path, list ? json_at(v, i) : v, &stop[i], e);
        if (rc < 0) return rc;
    }
    p->q->r.stop   = stop;
    p->q->r.n_stop = (int)n;
    return 0;
}

/* --- sampling --- */

static int field_seed(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    int64_t n;

    if (!json_whole(v, &n)) return field_type_err(name, v, "an integer", e);
    p->q->r.params.seed     = (uint64_t)n;
    p->q->r.params.has_seed = true;
    return 0;
}

static int field_top_k(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    int64_t n;

    if (!json_whole(v, &n)) return field_type_err(name, v, "an integer", e);
    if (n < -1) return err_param(e, ERR_BELOW_MIN, name, "%s is %lld, it must be at least -1", name, (long long)n);
    p->q->r.params.top_k = n <= 0 ? 0 : n > LIM_VOCAB ? (int)LIM_VOCAB : (int)n;
    return 0;
}

/* --- the cache and the context --- */

static int field_cache_name(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    bool salt = str_eq(str_c(name), STR("cache_salt"));

    if (json_kind(v) != JSON_T_STR) return field_type_err(name, v, "a string", e);
    struct str s = json_str(v);
    if (s.n > LIM_SALT_BYTES)
        return err_param(e, ERR_STRING_TOO_LONG, name, "%s has %zu bytes, the limit is %d", name, s.n, LIM_SALT_BYTES);
    if (s.n == 0) return 0; // the same as absent
    return copy_str(p, s, salt ? &p->q->r.cache_salt : &p->q->r.cache_key, e);
}

static int field_shift(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    if (json_kind(v) != JSON_T_BOOL) return field_type_err(name, v, "a boolean", e);
    p->q->r.context_shift = json_bool(v) ? CHAT_SHIFT_ON : CHAT_SHIFT_OFF;
    return 0;
}

/* --- what else comes back --- */

static int field_logprobs(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    struct chat_req *r = &p->q->r;
    int64_t          n;

    if (p->kind == API_CHAT) {
        if (json_kind(v) != JSON_T_BOOL) return field_type_err(name, v, "a boolean", e);
        r->logprobs = json_bool(v);
        return 0;
    }
    if (json_kind(v) == JSON_T_BOOL && !json_bool(v)) return 0; // some clients send false here
    if (!json_whole(v, &n)) return field_type_err(name, v, "an integer", e);
    if (n < 0 || n > LIM_TOP_LOGPROBS)
        return err_param(e, n < 0 ? ERR_BELOW_MIN : ERR_ABOVE_MAX, name, "%s is %lld, 0 to %d is allowed",
                         name, (long long)n, LIM_TOP_LOGPROBS);
    r->logprobs = true;
    r->n_top    = (int)n;
    return 0;
}

static int field_top_logprobs(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    int64_t n;

    if (!json_whole(v, &n)) return field_type_err(name, v, "an integer", e);
    if (n < 0 || n > LIM_TOP_LOGPROBS)
        return err_param(e, n < 0 ? ERR_BELOW_MIN : ERR_ABOVE_MAX, name, "%s is %lld, 0 to %d is allowed",
                         name, (long long)n, LIM_TOP_LOGPROBS);
    p->q->r.n_top         = (int)n;
    p->top_logprobs_given = true;
    return 0;
}

static int field_stream_options(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    if (json_kind(v) != JSON_T_OBJ) return field_type_err(name, v, "an object", e);
    const struct json *u = json_get(v, "include_usage"), *o = json_get(v, "include_obfuscation");
    if (u && json_kind(u) != JSON_T_BOOL && json_kind(u) != JSON_T_NULL)
        return field_type_err("stream_options.include_usage", u, "a boolean", e);
    if (o && json_kind(o) != JSON_T_BOOL && json_kind(o) != JSON_T_NULL)
        return field_type_err("stream_options.include_obfuscation", o, "a boolean", e);
    p->q->include_usage     = json_bool(u);
    p->q->obfuscate         = json_bool(o);
    for (struct json_it it = json_it(v); json_next(&it);)
        if (!str_eq(it.key, STR("include_usage")) && !str_eq(it.key, STR("include_obfuscation")))
            api_req_ignore(p->q, it.key);
    p->stream_options_given = true;
    return 0;
}

/* --- the template's --- */

static int field_kwargs(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    if (json_kind(v) != JSON_T_OBJ) return field_type_err(name, v, "an object", e);
    return copy_json(p, v, &p->kwargs, e);
}

static int field_think(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    if (json_kind(v) != JSON_T_BOOL) return field_type_err(name, v, "a boolean", e);
    p->think = json_bool(v);
    return 0;
}

static int field_effort(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    static const char *const words[] = { "none", "minimal", "low", "medium", "high", "xhigh", "max" };
    char                     q[LIM_QUOTE_BYTES];

    if (json_kind(v) != JSON_T_STR) return field_type_err(name, v, "a string", e);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(json_str(v), str_c(words[i]))) return copy_str(p, json_str(v), &p->q->r.effort, e);
    return err_param(e, ERR_INVALID_VALUE, name, "%s is \"%s\", it must be one of none, minimal, low, "
                     "medium, high, xhigh, max", name, str_quote(q, sizeof q, json_str(v)));
}

static int field_add_prompt(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    if (json_kind(v) != JSON_T_BOOL) return field_type_err(name, v, "a boolean", e);
    p->q->r.add_prompt  = json_bool(v);
    p->add_prompt_given = true;
    return 0;
}

static int field_template_documents(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    char path[ERR_PARAM_MAX];

    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array of objects", e);
    for (size_t i = 0; i < json_len(v); i++) {
        field_path(path, "%s[%zu]", name, i);
        if (json_kind(json_at(v, i)) != JSON_T_OBJ) return field_type_err(path, json_at(v, i), "an object", e);
    }
    return copy_json(p, v, &p->q->r.documents, e);
}

/* --- completions: prompt --- */

int field_token_ids(struct parse *p, const char *name, const struct json *v, const int32_t **ret, int *ret_n,
                    struct err *e)
{
    size_t   n  = json_len(v);
    int32_t *id = arena_array(p->a, n ? n : 1, sizeof *id);

    if (!id) return err_nomem(e, "reading a request");
    for (size_t i = 0; i < n; i++) {
        int64_t t;
        if (!json_whole(json_at(v, i), &t) || t < 0 || t >= LIM_VOCAB)
            return err_param(e, ERR_INVALID_VALUE, name, "%s: element %zu is not a token id", name, i);
        id[i] = (int32_t)t;
    }
    *ret   = id;
    *ret_n = (int)n;
    return 0;
}

static int field_tokens(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array of token ids", e);
    return field_token_ids(p, name, v, &p->q->tok, &p->q->n_tok, e);
}

static bool is_number(const struct json *v)
{
    return json_kind(v) == JSON_T_INT || json_kind(v) == JSON_T_REAL;
}

/* A string, a list of ids, a list of strings, or a list of lists of ids. */
static int field_prompt(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    bool   one = json_kind(v) == JSON_T_STR || is_number(json_at(v, 0));
    size_t n   = one ? 1 : json_len(v);
    char   path[ERR_PARAM_MAX];

    if (json_kind(v) != JSON_T_STR && json_kind(v) != JSON_T_ARR)
        return field_type_err(name, v, "a string or an array", e);
    if (n == 0) return err_param(e, ERR_EMPTY_ARRAY, name, "%s is an empty array", name);
    if (n > LIM_PROMPTS)
        return err_param(e, ERR_ARRAY_TOO_LONG, name, "%s has %zu prompts, the limit is %d", name, n,
                         LIM_PROMPTS);
    p->q->prompt = arena_array(p->a, n, sizeof *p->q->prompt);
    if (!p->q->prompt) return err_nomem(e, "reading a request");
    for (size_t i = 0; i < n; i++) {
        const struct json *x = one ? v : json_at(v, i);
        int                rc;
        if (one) field_path(path, "%s", name);
        else field_path(path, "%s[%zu]", name, i);
        if (json_kind(x) == JSON_T_STR) rc = copy_str(p, json_str(x), &p->q->prompt[i].text, e);
        else if (json_kind(x) == JSON_T_ARR) rc = field_token_ids(p, path, x, &p->q->prompt[i].tok, &p->q->prompt[i].n_tok, e);
        else rc = field_type_err(path, x, "a string or an array of token ids", e);
        if (rc < 0) return rc;
    }
    p->q->n_prompt = (int)n;
    return 0;
}

/* --- accepted only with a harmless value --- */

/* The old form of tool_choice; there are no functions to choose from. */
static int field_function_call(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    (void)p;
    if (str_eq(json_str(v), STR("none")) || str_eq(json_str(v), STR("auto"))) return 0;
    return err_param(e, ERR_UNSUPP_PARAM, name, "%s is not supported by this server; use tools and tool_choice", name);
}

static int field_modalities(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    (void)p;
    for (size_t i = 0; i < json_len(v); i++)
        if (!str_eq(json_str(json_at(v, i)), STR("text")))
            return err_param(e, ERR_UNSUPP_VALUE, name, "%s: only \"text\" is supported by this server", name);
    return json_kind(v) == JSON_T_ARR ? 0 : field_type_err(name, v, "an array", e);
}

/* Of completions: empty is the same as absent. */
static int field_suffix(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    if (json_kind(v) != JSON_T_STR) return field_type_err(name, v, "a string", e);
    p->q->r.fill = json_str(v).n > 0;
    return copy_str(p, json_str(v), &p->q->r.suffix, e);
}

/* [{"filename": "a.c", "text": "..."}] */
static int field_extra(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    size_t n = json_len(v);
    char   path[ERR_PARAM_MAX];

    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array", e);
    if (n > LIM_FILES)
        return err_param(e, ERR_ARRAY_TOO_LONG, name, "%s has %zu files, the limit is %d", name, n, LIM_FILES);
    struct chat_file *f = arena_array(p->a, n ? n : 1, sizeof *f);
    if (!f) return err_nomem(e, "reading a request");
    for (size_t i = 0; i < n; i++) {
        const struct json *file = json_get(json_at(v, i), "filename"), *text = json_get(json_at(v, i), "text");
        field_path(path, "%s[%zu].text", name, i);
        if (json_kind(text) != JSON_T_STR) return field_type_err(path, text, "a string", e);
        int rc = copy_str(p, json_kind(file) == JSON_T_STR ? json_str(file) : STR("tmp"), &f[i].name, e);
        if (rc == 0) rc = copy_str(p, json_str(text), &f[i].text, e);
        if (rc < 0) return rc;
    }
    p->q->r.extra   = f;
    p->q->r.n_extra = (int)n;
    return 0;
}

/* --- the table --- */

#define AT(f)    offsetof(struct api_req, f)
#define PAR(f)   offsetof(struct api_req, r.params.f)
#define BOTH     (API_CHAT | API_COMPLETION | API_INFILL | API_NATIVE)
#define CHAT     API_CHAT
#define COMPL    API_COMPLETION
#define TEXT     API_TEXT
#define EMBED    API_EMBED
#define RERANK   API_RERANK
#define FILL     API_INFILL

const struct field field_table[] = {
    { "model", FIELD_STR, BOTH | TEXT | EMBED | RERANK, 0, 0, AT(model), NULL, "Id of the model." },
    { "messages", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_messages, "The conversation." },
    { "prompt", FIELD_PARSE, COMPL | API_NATIVE, 0, 0, 0, field_prompt, "Text, token ids, or a list of either." },
    { "stream", FIELD_BOOL, BOTH, 0, 0, AT(stream), NULL, "Answer as server-sent events." },
    { "stream_options", FIELD_PARSE, BOTH, 0, 0, 0, field_stream_options, "include_usage: a last chunk with usage. include_obfuscation: padding in chunks with text." },
    { "max_tokens", FIELD_PARSE, BOTH, 0, 0, 0, field_max_tokens, "Most tokens to generate." },
    { "max_completion_tokens", FIELD_PARSE, BOTH, 0, 0, 0, field_max_new, "The same; wins over max_tokens." },
    { "n", FIELD_INT, BOTH, 1, LIM_CHOICES, AT(r.n_choice), NULL, "Answers to give to each prompt." },
    { "stop", FIELD_PARSE, BOTH, 0, 0, 0, field_stop, "Sequences that end the answer." },
    { "temperature", FIELD_NUM, BOTH, 0, 2, PAR(temperature), NULL, "0 is greedy." },
    { "top_p", FIELD_NUM, BOTH, 0, 1, PAR(top_p), NULL, "Nucleus sampling." },
    { "top_k", FIELD_PARSE, BOTH, 0, 0, 0, field_top_k, "Only the k most probable tokens; 0: all." },
    { "min_p", FIELD_NUM, BOTH, 0, 1, PAR(min_p), NULL, "Least probability, relative to the best token's." },
    { "typical_p", FIELD_NUM, BOTH, 0, 1, PAR(typical_p), NULL, "Locally typical sampling." },
    { "seed", FIELD_PARSE, BOTH, 0, 0, 0, field_seed, "The same seed and request give the same answer." },
    { "presence_penalty", FIELD_NUM, BOTH, -2, 2, PAR(presence_penalty), NULL, "Once for each token that is in the answer." },
    { "frequency_penalty", FIELD_NUM, BOTH, -2, 2, PAR(frequency_penalty), NULL, "For each time that a token is in the answer." },
    { "repetition_penalty", FIELD_NUM, BOTH, 0.01, 10, PAR(repeat_penalty), NULL, "Factor on tokens of prompt and answer." },
    { "repeat_penalty", FIELD_NUM, BOTH, 0.01, 10, PAR(repeat_penalty), NULL, "The same over the last 64 tokens, unless repeat_last_n says otherwise." },
    { "repeat_last_n", FIELD_INT, BOTH, -1, LIM_CTX, PAR(penalty_last_n), NULL, "Tokens that the penalties look back at; -1: all." },
    { "logit_bias", FIELD_PARSE, BOTH, 0, 0, 0, field_logit_bias, "Token id to -100..100." },
    { "logprobs", FIELD_PARSE, BOTH, 0, 0, 0, field_logprobs, "Log-probabilities of the tokens." },
    { "top_logprobs", FIELD_PARSE, CHAT, 0, 0, 0, field_top_logprobs, "Alternatives for each token." },
    { "echo", FIELD_BOOL, COMPL, 0, 0, AT(r.echo), NULL, "Give the prompt back in front of the answer." },
    { "n_predict", FIELD_PARSE, BOTH, 0, 0, 0, field_n_predict, "max_tokens by another name; -1: to the end of the context." },
    { "min_tokens", FIELD_PARSE, BOTH, 0, 0, 0, field_min_tokens, "Tokens before which neither end-of-text nor stop_token_ids can come." },
    { "stop_token_ids", FIELD_PARSE, BOTH, 0, 0, 0, field_stop_tokens, "Tokens that end the answer and are not shown." },
    { "include_stop_str_in_output", FIELD_BOOL, BOTH, 0, 0, AT(r.keep_stop), NULL, "The stop sequence or token stays in the text." },
    { "ignore_eos", FIELD_BOOL, BOTH, 0, 0, AT(r.ignore_eos), NULL, "End-of-text is never chosen." },
    { "top_n_sigma", FIELD_NUM, BOTH, -1, 100, PAR(top_n_sigma), NULL, "Only logits within so many standard deviations of the largest; 0 and below: off." },
    { "n_sigma", FIELD_NUM, BOTH, -1, 100, PAR(top_n_sigma), NULL, "The same." },
    { "dynatemp_range", FIELD_NUM, BOTH, 0, 10, PAR(dyn_temp_range), NULL, "Temperature moves within temperature +- this, by entropy." },
    { "dynatemp_exponent", FIELD_NUM, BOTH, 0, 10, PAR(dyn_temp_exponent), NULL, "How entropy maps to it." },
    { "xtc_probability", FIELD_NUM, BOTH, 0, 1, PAR(xtc_probability), NULL, "Chance that a token is chosen without the most probable ones." },
    { "xtc_threshold", FIELD_NUM, BOTH, 0, 1, PAR(xtc_threshold), NULL, "Least probability of those; above 0.5 it is off." },
    { "dry_multiplier", FIELD_NUM, BOTH, 0, 100, PAR(dry_multiplier), NULL, "Strength of the penalty on repeated sequences (DRY); 0: off." },
    { "dry_base", FIELD_NUM, BOTH, 1, 100, PAR(dry_base), NULL, "Its growth for each token of the repetition." },
    { "dry_allowed_length", FIELD_INT, BOTH, 0, LIM_CTX, PAR(dry_allowed_length), NULL, "Longest repetition without penalty." },
    { "dry_penalty_last_n", FIELD_INT, BOTH, -1, LIM_CTX, PAR(dry_last_n), NULL, "Tokens that DRY looks back at; -1: all." },
    { "dry_sequence_breakers", FIELD_PARSE, BOTH, 0, 0, 0, field_breakers, "Texts that DRY does not look across." },
    { "mirostat", FIELD_INT, BOTH, 0, 2, PAR(mirostat), NULL, "Mirostat 1 or 2 in place of the truncating samplers; 0: off." },
    { "mirostat_tau", FIELD_NUM, BOTH, 0, 100, PAR(mirostat_tau), NULL, "Its target surprise, in bits." },
    { "mirostat_eta", FIELD_NUM, BOTH, 0, 1, PAR(mirostat_eta), NULL, "Its learning rate." },
    { "samplers", FIELD_PARSE, BOTH, 0, 0, 0, field_samplers, "The samplers that run, in this order." },
    { "prompt_cache_key", FIELD_PARSE, BOTH, 0, 0, 0, field_cache_name, "Share computed prompts with requests of this key only." },
    { "cache_salt", FIELD_PARSE, BOTH, 0, 0, 0, field_cache_name, "... and of this salt only." },
    { "context_shift", FIELD_PARSE, BOTH, 0, 0, 0, field_shift, "At the context's end drop old text and go on, up to max_tokens." },
    { "n_keep", FIELD_INT, BOTH, -1, LIM_CTX, AT(r.n_keep), NULL, "Tokens at the head that a context shift keeps; -1: the prompt." },
    { "tools", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_tools, "Functions that the model may call." },
    { "tool_choice", FIELD_PARSE, CHAT, 0, 0, 0, field_tool_choice, "none, auto, required, a function, or allowed_tools." },
    { "parallel_tool_calls", FIELD_BOOL, CHAT, 0, 0, AT(r.parallel_calls), NULL, "false: at most one call." },
    { "response_format", FIELD_PARSE, CHAT, 0, 0, 0, field_response_format, "text, json_object, or json_schema." },
    { "json_schema", FIELD_PARSE, BOTH, 0, 0, 0, field_form_schema, "The answer is JSON by this schema." },
    { "grammar", FIELD_PARSE, BOTH, 0, 0, 0, field_form_grammar, "The answer follows this grammar, in GBNF." },
    { "guided_json", FIELD_PARSE, BOTH, 0, 0, 0, field_form_schema, "As json_schema; a string is its text." },
    { "guided_regex", FIELD_PARSE, BOTH, 0, 0, 0, field_form_regex, "The answer matches this regular expression." },
    { "guided_choice", FIELD_PARSE, BOTH, 0, 0, 0, field_form_choice, "The answer is one of these strings." },
    { "guided_grammar", FIELD_PARSE, BOTH, 0, 0, 0, field_form_grammar, "As grammar." },
    { "structured_outputs", FIELD_PARSE, BOTH, 0, 0, 0, field_structured, "One of json, regex, choice, grammar." },
    { "reasoning_effort", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_effort, "For templates that know it." },
    { "chat_template_kwargs", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_kwargs, "Variables of the chat template." },
    { "enable_thinking", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_think, "Thinking on or off, where the template can." },
    { "documents", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_template_documents, "Texts for templates that show them." },
    { "add_generation_prompt", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_add_prompt, "false: the template does not open the model's turn." },
    { "continue_final_message", FIELD_BOOL, CHAT | TEXT, 0, 0, AT(r.continue_final), NULL, "The last message is gone on with instead of answered." },
    { "modalities", FIELD_PARSE, CHAT, 0, 0, 0, field_modalities, "Only text." },
    { "best_of", FIELD_INT, COMPL, 1, LIM_CHOICES, AT(best_of), NULL, "Answers to generate, of which the n most probable by token come back; at least n, not with stream." },
    { "suffix", FIELD_PARSE, COMPL, 0, 0, 0, field_suffix, "Text behind the answer, for models that can fill in the middle." },
    { "input_prefix", FIELD_STR, FILL, 0, 0, AT(prefix), NULL, "Text before the gap." },
    { "input_suffix", FIELD_STR, FILL, 0, 0, AT(r.suffix), NULL, "Text behind the gap." },
    { "input_extra", FIELD_PARSE, FILL, 0, 0, 0, field_extra, "Other files: objects with filename and text." },
    { "prompt", FIELD_STR, FILL, 0, 0, AT(text), NULL, "More text before the gap, behind input_prefix." },
    { "functions", FIELD_PARSE, CHAT, 0, 0, 0, field_functions, "Old form of tools: empty only." },
    { "function_call", FIELD_PARSE, CHAT, 0, 0, 0, field_function_call, "Old form of tool_choice: none or auto, without effect." },

    { "content", FIELD_STR, TEXT, 0, 0, AT(text), NULL, "The text." },
    { "text", FIELD_STR, TEXT, 0, 0, AT(text), NULL, "The same." },
    { "prompt", FIELD_STR, TEXT, 0, 0, AT(text), NULL, "The same." },
    { "tokens", FIELD_PARSE, TEXT, 0, 0, 0, field_tokens, "Token ids." },
    { "add_special", FIELD_BOOL, TEXT, 0, 0, AT(add_special), NULL, "Begin-of-text and the like, as the model wants them." },
    { "add_special_tokens", FIELD_BOOL, TEXT, 0, 0, AT(add_special), NULL, "The same." },
    { "parse_special", FIELD_BOOL, TEXT, 0, 0, AT(parse_special), NULL, "Names of special tokens in the text are those tokens." },
    { "with_pieces", FIELD_BOOL, TEXT, 0, 0, AT(pieces), NULL, "Each token's text comes with it." },
    { "return_token_strs", FIELD_BOOL, TEXT, 0, 0, AT(pieces), NULL, "The same." },
    { "with_offsets", FIELD_BOOL, TEXT, 0, 0, AT(offsets), NULL, "Each token's first character in the text and the one past its last." },
    { "return_offsets_mapping", FIELD_BOOL, TEXT, 0, 0, AT(offsets), NULL, "The same." },

    { "input", FIELD_PARSE, EMBED, 0, 0, 0, field_input, "Text, token ids, or a list of either." },
    { "encoding_format", FIELD_PARSE, EMBED, 0, 0, 0, field_encoding, "float or base64 (little-endian f32)." },
    { "dimensions", FIELD_INT, EMBED, 1, LIM_EMBD, AT(r.n_dim), NULL, "Only so many values, scaled to length 1 again." },
    { "query", FIELD_PARSE, RERANK, 0, 0, 0, field_query, "What the documents are compared with." },
    { "documents", FIELD_PARSE, RERANK, 0, 0, 0, field_rank_documents, "Texts, or objects with a text." },
    { "top_n", FIELD_INT, RERANK, 1, LIM_CTX, AT(top_n), NULL, "Only the best so many." },
    { "return_documents", FIELD_BOOL, RERANK, 0, 0, AT(with_documents), NULL, "The reply repeats the documents." },

    { "user", FIELD_IDLE, BOTH | EMBED, 0, 0, 0, NULL, "Who asks." },
    { "safety_identifier", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Who asks." },
    { "metadata", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Labels; nothing is stored here." },
    { "store", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Nothing is stored here." },
    { "service_tier", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "There is one tier." },
    { "verbosity", FIELD_IDLE, CHAT, 0, 0, 0, NULL, "Models here are not trained for it." },
    { "prediction", FIELD_IDLE, CHAT, 0, 0, 0, NULL, "A guess of the answer." },
    { "moderation", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Nothing is moderated here." },
    { "prompt_cache_options", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Equal prefixes are shared always." },
    { "prompt_cache_retention", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Prefixes stay as long as there is room." },
    { "cache_prompt", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Equal prefixes are shared always." },
    { "keep_alive", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Models stay loaded." },
    { "options", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "The context length is the server's choice (--ctx)." },
    { "id_slot", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "The scheduler chooses." },
    { "priority", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "All requests are equal." },
    { "thinking_budget", FIELD_IDLE, CHAT, 0, 0, 0, NULL, "max_completion_tokens bounds thinking and answer together." },
    { "length_penalty", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Of beam search, which there is not." },
    { "skip_special_tokens", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Special tokens are never shown." },
    { "spaces_between_special_tokens", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Special tokens are never shown." },
    { "min_keep", FIELD_IDLE, BOTH, 0, 0, 0, NULL, "Each sampler keeps one token at least." },

    { "use_beam_search", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "Beam search." },
    { "bad_words", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "Texts that must not come; logit_bias forbids tokens." },
    { "allowed_token_ids", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "The only tokens that may come." },
    { "prompt_logprobs", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "Completions have them with echo and logprobs." },
    { "truncate_prompt_tokens", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "Prompts are never cut." },
    { "audio", FIELD_REFUSE, CHAT, 0, 0, 0, NULL, "Answers are text." },
    { "web_search_options", FIELD_REFUSE, CHAT, 0, 0, 0, NULL, "The server does not search." },
};
const size_t field_count = ARRAY_LEN(field_table);
