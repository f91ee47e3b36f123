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

static int field_logit_bias(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    if (json_kind(v) != JSON_T_OBJ) return field_type_err(name, v, "an object", e);
    size_t n = json_len(v), i = 0;
    if (n > LIM_LOGIT_BIAS)
        return err_param(e, ERR_ARRAY_TOO_LONG, name, "%s has %zu members, the limit is %d", name, n,
                         LIM_LOGIT_BIAS);
    if (n == 0) return 0;
    struct chat_bias *bias = arena_array(p->a, n, sizeof *bias);
    if (!bias) return err_nomem(e, "reading a request");
    for (struct json_it it = json_it(v); json_next(&it); i++) {
        enum json_kind k = json_kind(it.val);
        int64_t        id;
        double         val = json_num(it.val);
        char           q[LIM_QUOTE_BYTES];
        if (!str_to_i64(it.key, &id) || id < 0 || id >= LIM_VOCAB)
            return err_param(e, ERR_INVALID_VALUE, name, "%s: \"%s\" is not a token id", name,
                             str_quote(q, sizeof q, it.key));
        if ((k != JSON_T_INT && k != JSON_T_REAL) || val < -100 || val > 100)
            return err_param(e, ERR_INVALID_VALUE, name, "%s: the bias of token %lld must be a number "
                             "from -100 to 100", name, (long long)id);
        bias[i] = (struct chat_bias){ (int32_t)id, (float)val };
    }
    p->q->r.params.bias   = bias;
    p->q->r.params.n_bias = (int)n;
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
    const struct json *u = json_get(v, "include_usage");
    if (u && json_kind(u) != JSON_T_BOOL && json_kind(u) != JSON_T_NULL)
        return field_type_err("stream_options.include_usage", u, "a boolean", e);
    p->q->include_usage     = json_bool(u);
    p->stream_options_given = true;
    return 0;
}

/* The type alone tells what can be done today. */
static int field_response_format(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    char q[LIM_QUOTE_BYTES];
    (void)p;

    if (json_kind(v) != JSON_T_OBJ) return field_type_err(name, v, "an object", e);
    const struct json *type = json_get(v, "type");
    if (!type) return err_param(e, ERR_MISSING_PARAM, "response_format.type", "response_format.type is missing");
    if (json_kind(type) != JSON_T_STR) return field_type_err("response_format.type", type, "a string", e);
    if (str_eq(json_str(type), STR("text"))) return 0;
    return err_param(e, ERR_UNSUPP_VALUE, "response_format.type", "response_format.type \"%s\" is not "
                     "supported by this server, \"text\" is", str_quote(q, sizeof q, json_str(type)));
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

static int field_documents(struct parse *p, const char *name, const struct json *v, struct err *e)
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

static int tokens(struct parse *p, const char *name, const struct json *v, struct api_prompt *ret,
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
    *ret = (struct api_prompt){ .tok = id, .n_tok = (int)n };
    return 0;
}

static int field_tokens(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    struct api_prompt ids = { .n_tok = 0 };

    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array of token ids", e);
    int rc = tokens(p, name, v, &ids, e);
    p->q->tok   = ids.tok;
    p->q->n_tok = ids.n_tok;
    return rc;
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
        else if (json_kind(x) == JSON_T_ARR) rc = tokens(p, path, x, &p->q->prompt[i], e);
        else rc = field_type_err(path, x, "a string or an array of token ids", e);
        if (rc < 0) return rc;
    }
    p->q->n_prompt = (int)n;
    return 0;
}

/* --- accepted only with a harmless value --- */

static int refuse(const char *name, struct err *e)
{
    return err_param(e, ERR_UNSUPP_PARAM, name, "%s is not supported by this server", name);
}

static int field_modalities(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    (void)p;
    for (size_t i = 0; i < json_len(v); i++)
        if (!str_eq(json_str(json_at(v, i)), STR("text")))
            return err_param(e, ERR_UNSUPP_VALUE, name, "%s: only \"text\" is supported by this server", name);
    return json_kind(v) == JSON_T_ARR ? 0 : field_type_err(name, v, "an array", e);
}

static int field_best_of(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    int64_t n;
    (void)p;

    if (!json_whole(v, &n)) return field_type_err(name, v, "an integer", e);
    return n == 1 ? 0 : refuse(name, e);
}

static int field_suffix(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    (void)p;
    if (json_kind(v) != JSON_T_STR) return field_type_err(name, v, "a string", e);
    return json_str(v).n == 0 ? 0 : refuse(name, e);
}

/* --- the table --- */

#define AT(f)    offsetof(struct api_req, f)
#define PAR(f)   offsetof(struct api_req, r.params.f)
#define BOTH     (API_CHAT | API_COMPLETION)
#define CHAT     API_CHAT
#define COMPL    API_COMPLETION
#define TEXT     API_TEXT

const struct field field_table[] = {
    { "model", FIELD_STR, BOTH | TEXT, 0, 0, AT(model), NULL, "Id of the model." },
    { "messages", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_messages, "The conversation." },
    { "prompt", FIELD_PARSE, COMPL, 0, 0, 0, field_prompt, "Text, token ids, or a list of either." },
    { "stream", FIELD_BOOL, BOTH, 0, 0, AT(stream), NULL, "Answer as server-sent events." },
    { "stream_options", FIELD_PARSE, BOTH, 0, 0, 0, field_stream_options, "include_usage: a last chunk with usage." },
    { "max_tokens", FIELD_PARSE, BOTH, 0, 0, 0, field_max_tokens, "Most tokens to generate." },
    { "max_completion_tokens", FIELD_PARSE, CHAT, 0, 0, 0, field_max_new, "The same; wins over max_tokens." },
    { "n", FIELD_INT, BOTH, 1, LIM_CHOICES, AT(r.n_choice), NULL, "Answers to give." },
    { "stop", FIELD_PARSE, BOTH, 0, 0, 0, field_stop, "Sequences that end the answer." },
    { "temperature", FIELD_NUM, BOTH, 0, 2, PAR(temperature), NULL, "0 is greedy." },
    { "top_p", FIELD_NUM, BOTH, 0, 1, PAR(top_p), NULL, "Nucleus sampling." },
    { "top_k", FIELD_PARSE, BOTH, 0, 0, 0, field_top_k, "Only the k most probable tokens; 0: all." },
    { "min_p", FIELD_NUM, BOTH, 0, 1, PAR(min_p), NULL, "Least probability, relative to the best token's." },
    { "typical_p", FIELD_NUM, BOTH, 0, 1, PAR(typical_p), NULL, "Locally typical sampling." },
    { "seed", FIELD_PARSE, BOTH, 0, 0, 0, field_seed, "The same seed and request give the same answer." },
    { "presence_penalty", FIELD_NUM, BOTH, -2, 2, PAR(presence_penalty), NULL, "Once for each token that occurred." },
    { "frequency_penalty", FIELD_NUM, BOTH, -2, 2, PAR(frequency_penalty), NULL, "For each time that a token occurred." },
    { "repetition_penalty", FIELD_NUM, BOTH, 0.01, 10, PAR(repeat_penalty), NULL, "Factor on tokens that occurred." },
    { "repeat_penalty", FIELD_NUM, BOTH, 0.01, 10, PAR(repeat_penalty), NULL, "The same." },
    { "repeat_last_n", FIELD_INT, BOTH, -1, LIM_CTX, PAR(penalty_last_n), NULL, "Tokens that penalties look back at." },
    { "logit_bias", FIELD_PARSE, BOTH, 0, 0, 0, field_logit_bias, "Token id to -100..100." },
    { "logprobs", FIELD_PARSE, BOTH, 0, 0, 0, field_logprobs, "Log-probabilities of the tokens." },
    { "top_logprobs", FIELD_PARSE, CHAT, 0, 0, 0, field_top_logprobs, "Alternatives for each token." },
    { "echo", FIELD_BOOL, COMPL, 0, 0, AT(r.echo), NULL, "Give the prompt back in front of the answer." },
    { "ignore_eos", FIELD_BOOL, BOTH, 0, 0, AT(r.ignore_eos), NULL, "Go on after the end-of-text token." },
    { "tools", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_tools, "Functions that the model may call." },
    { "tool_choice", FIELD_PARSE, CHAT, 0, 0, 0, field_tool_choice, "none or auto." },
    { "parallel_tool_calls", FIELD_BOOL, CHAT, 0, 0, AT(r.parallel_calls), NULL, "false: at most one call." },
    { "response_format", FIELD_PARSE, CHAT, 0, 0, 0, field_response_format, "text." },
    { "reasoning_effort", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_effort, "For templates that know it." },
    { "chat_template_kwargs", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_kwargs, "Variables of the chat template." },
    { "enable_thinking", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_think, "Thinking on or off, where the template can." },
    { "documents", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_documents, "Texts for templates that show them." },
    { "add_generation_prompt", FIELD_PARSE, CHAT | TEXT, 0, 0, 0, field_add_prompt, "false: the template does not open the model's turn." },
    { "continue_final_message", FIELD_BOOL, CHAT | TEXT, 0, 0, AT(r.continue_final), NULL, "The last message is gone on with instead of answered." },
    { "modalities", FIELD_PARSE, CHAT, 0, 0, 0, field_modalities, "[\"text\"]." },
    { "best_of", FIELD_PARSE, COMPL, 0, 0, 0, field_best_of, "1." },
    { "suffix", FIELD_PARSE, COMPL, 0, 0, 0, field_suffix, "Empty." },
    { "functions", FIELD_PARSE, CHAT, 0, 0, 0, field_functions, "Old form of tools." },

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

    { "audio", FIELD_REFUSE, CHAT, 0, 0, 0, NULL, "" },
    { "web_search_options", FIELD_REFUSE, CHAT, 0, 0, 0, NULL, "" },
    { "grammar", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "" },
    { "guided_json", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "" },
    { "guided_regex", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "" },
    { "guided_choice", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "" },
    { "guided_grammar", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "" },
    { "structured_outputs", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "" },
    { "json_schema", FIELD_REFUSE, BOTH, 0, 0, 0, NULL, "" },
};
const size_t field_count = ARRAY_LEN(field_table);
