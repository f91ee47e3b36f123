/* request.c - run a request's members through the table of fields. */
#include "api/request.h"

#include <math.h>
#include <string.h>

#include "api/caps.h"
#include "api/field_int.h"
#include "base/limits.h"

static int set_num(struct parse *p, const struct field *f, const struct json *v, struct err *e)
{
    enum json_kind k = json_kind(v);
    double         x = json_num(v);
    float          value = (float)x;

    if (k != JSON_T_INT && k != JSON_T_REAL) return field_type_err(f->name, v, "a number", e);
    if (x < f->min || x > f->max)
        return err_param(e, ERR_INVALID_VALUE, f->name, "%s is %g, %g to %g is allowed", f->name, x, f->min,
                         f->max);
    memcpy((char *)p->q + f->offset, &value, sizeof value);
    return 0;
}

static int set_int(struct parse *p, const struct field *f, const struct json *v, struct err *e)
{
    int64_t n;

    if (!json_whole(v, &n)) return field_type_err(f->name, v, "an integer", e);
    if ((double)n < f->min || (double)n > f->max)
        return err_param(e, (double)n < f->min ? ERR_BELOW_MIN : ERR_ABOVE_MAX, f->name,
                         "%s is %lld, %.0f to %.0f is allowed", f->name, (long long)n, f->min, f->max);
    int value = (int)n;
    memcpy((char *)p->q + f->offset, &value, sizeof value);
    return 0;
}

void api_req_ignore(struct api_req *q, struct str name)
{
    size_t     at   = strlen(q->ignored);
    struct str rest = str_c(q->ignored), had;

    while (rest.n && str_cut(&rest, ',', &had))
        if (str_eq(str_trim(had), name)) return;
    q->n_ignored++;
    for (size_t i = 0; i < name.n; i++) { // it goes into a header: plain names only
        char c = name.p[i];
        if (c <= 0x20 || c >= 0x7f || c == ',') return;
    }
    if (name.n > 64 || at + name.n + 3 > sizeof q->ignored) return;
    snprintf(q->ignored + at, sizeof q->ignored - at, "%s" STR_FMT, at ? ", " : "", STR_ARG(name));
}

/* The value that clients send for "I do not want this": false, an empty list, an empty string. */
static bool asks_nothing(const struct json *v)
{
    switch (json_kind(v)) {
    case JSON_T_BOOL: return !json_bool(v);
    case JSON_T_ARR: return json_len(v) == 0;
    case JSON_T_STR: return json_str(v).n == 0;
    case JSON_T_NULL: return true;
    case JSON_T_INT:
    case JSON_T_REAL:
    case JSON_T_OBJ: break; // {} is a wish: web_search_options
    }
    return false;
}

static int one_field(struct parse *p, const struct field *f, const struct json *v, struct err *e)
{
    switch (f->kind) {
    case FIELD_INT: return set_int(p, f, v, e);
    case FIELD_NUM: return set_num(p, f, v, e);
    case FIELD_BOOL: {
        bool on = json_bool(v);
        if (json_kind(v) != JSON_T_BOOL) return field_type_err(f->name, v, "a boolean", e);
        memcpy((char *)p->q + f->offset, &on, sizeof on);
        return 0;
    }
    case FIELD_STR: {
        if (json_kind(v) != JSON_T_STR) return field_type_err(f->name, v, "a string", e);
        struct str s = arena_str(p->a, json_str(v));
        if (!s.p) return err_nomem(e, "reading a request");
        memcpy((char *)p->q + f->offset, &s, sizeof s);
        return 0;
    }
    case FIELD_PARSE: return f->parse(p, f->name, v, e);
    case FIELD_IDLE: api_req_ignore(p->q, str_c(f->name)); return 0;
    case FIELD_REFUSE:
        if (asks_nothing(v)) return 0;
        break;
    }
    return err_param(e, ERR_UNSUPP_PARAM, f->name, "%s is not supported by this server", f->name);
}

static const struct field *find(struct str name, enum api_kind kind)
{
    for (size_t i = 0; i < field_count; i++)
        if (field_table[i].apis & kind && str_eq(name, str_c(field_table[i].name))) return &field_table[i];
    return NULL;
}

/* chat_template_kwargs with enable_thinking put into it. */
static int join_kwargs(struct parse *p, struct err *e)
{
    struct str kw = p->kwargs;

    if (p->think < 0) {
        p->q->r.template_kwargs = kw;
        return 0;
    }
    if (kw.n > 2 && str_find(kw, STR("\"enable_thinking\"")) != SIZE_MAX) { // said there already: it wins
        p->q->r.template_kwargs = kw;
        return 0;
    }
    const char *val = p->think ? "true" : "false";
    p->q->r.template_kwargs =
        kw.n > 2 ? arena_printf(p->a, "{\"enable_thinking\":%s," STR_FMT, val, STR_ARG(str_from(kw, 1)))
                 : arena_printf(p->a, "{\"enable_thinking\":%s}", val);
    return p->q->r.template_kwargs.p ? 0 : err_nomem(e, "reading a request");
}

static bool given(const struct parse *p, const char *name)
{
    return json_kind(json_get(p->root, name)) != JSON_T_NULL;
}

/* Lengths and windows that more than one field decides. */
static int join_lengths(struct parse *p, struct err *e)
{
    struct chat_req *r = &p->q->r;

    if (p->n_max_new >= 0) r->n_max = p->n_max_new;
    if (r->n_max >= 0 && r->n_min > r->n_max)
        return err_param(e, ERR_INVALID_VALUE, "min_tokens", "min_tokens is %d, more than the %d tokens that may "
                         "be generated", r->n_min, r->n_max);
    /* each name brings the window that it has where it comes from: llama.cpp's, vLLM's */
    if (given(p, "repeat_penalty") && !given(p, "repeat_last_n")) r->params.penalty_last_n = 64;
    return 0;
}

/* More answers than come back: their log-probabilities decide, so all must be there. */
static int join_counts(struct parse *p, struct err *e)
{
    struct api_req *q = p->q;

    q->n_shown  = q->r.n_choice;
    q->show_lps = q->r.logprobs;
    if (!given(p, "best_of")) return 0;
    if (q->best_of < q->n_shown)
        return err_param(e, ERR_INVALID_VALUE, "best_of", "best_of is %d, less than n, which is %d", q->best_of, q->n_shown);
    if (q->best_of > q->n_shown && (q->stream || q->r.echo))
        return err_param(e, ERR_UNSUPP_VALUE, "best_of", "best_of %d with n %d does not go together with %s", q->best_of,
                         q->n_shown, q->stream ? "stream" : "echo");
    q->r.n_choice = q->best_of;
    q->r.logprobs |= q->best_of > q->n_shown;
    return 0;
}

/* The prompt of /infill: both parts before the gap. */
static int join_prefix(struct parse *p, struct err *e)
{
    struct api_req *q = p->q;

    q->prompt = arena_array(p->a, 1, sizeof *q->prompt);
    if (!q->prompt) return err_nomem(e, "reading a request");
    char *text = arena_alloc(p->a, q->prefix.n + q->text.n + 1);
    if (!text) return err_nomem(e, "reading a request");
    if (q->prefix.n) memcpy(text, q->prefix.p, q->prefix.n);
    if (q->text.n) memcpy(text + q->prefix.n, q->text.p, q->text.n);
    q->prompt->text = (struct str){ text, q->prefix.n + q->text.n };
    q->n_prompt = 1;
    q->r.fill   = true;
    return 0;
}

/* llama.cpp's routes: one prompt, one answer; the model may be left out. */
static int finish_llama(struct parse *p, struct err *e)
{
    struct api_req *q    = p->q;
    const char     *path = p->kind == API_INFILL ? "/infill" : "/completion";

    if (q->r.n_choice != 1) return err_param(e, ERR_UNSUPP_VALUE, "n", "n is %d, %s gives one answer", q->r.n_choice, path);
    if (q->r.logprobs) return err_param(e, ERR_UNSUPP_PARAM, "logprobs", "logprobs is not available from %s", path);
    if (p->kind == API_NATIVE && q->n_prompt == 0)
        return err_param(e, ERR_MISSING_PARAM, "prompt", "prompt is missing");
    if (q->n_prompt > 1)
        return err_param(e, ERR_UNSUPP_VALUE, "prompt", "prompt has %d texts, %s takes one", q->n_prompt, path);
    int rc = p->kind == API_INFILL ? join_prefix(p, e) : 0;
    return rc < 0 ? rc : join_lengths(p, e);
}

/* What no field can check alone. */
static int finish(struct parse *p, struct err *e)
{
    struct api_req *q = p->q;

    if (q->r.continue_final && p->add_prompt_given && q->r.add_prompt)
        return err_param(e, ERR_INVALID_VALUE, "continue_final_message", "continue_final_message and "
                         "add_generation_prompt cannot both be true");
    if (q->r.continue_final) q->r.add_prompt = false;
    if (p->kind == API_TEXT) return join_kwargs(p, e); // what is needed depends on the route
    if (p->kind == API_INFILL || p->kind == API_NATIVE) return finish_llama(p, e);
    if (!q->model.p) return err_param(e, ERR_MISSING_PARAM, "model", "model is missing");
    if (p->kind == API_EMBED && q->r.n_input == 0)
        return err_param(e, ERR_MISSING_PARAM, "input", "input is missing");
    if (p->kind == API_RERANK && !q->r.prompt.p)
        return err_param(e, ERR_MISSING_PARAM, "query", "query is missing");
    if (p->kind == API_RERANK && q->r.n_input == 0)
        return err_param(e, ERR_MISSING_PARAM, "documents", "documents is missing");
    if (q->r.fill && q->r.echo)
        return err_param(e, ERR_UNSUPP_PARAM, "echo", "echo does not go together with suffix");
    if (p->kind == API_CHAT && q->r.n_msg == 0)
        return err_param(e, ERR_MISSING_PARAM, "messages", "messages is missing");
    if (p->kind == API_COMPLETION && q->n_prompt == 0) { // the API's default: the beginning of a text
        q->prompt = arena_array(p->a, 1, sizeof *q->prompt);
        if (!q->prompt) return err_nomem(e, "reading a request");
        *q->prompt  = (struct api_prompt){ .text = STR("") };
        q->n_prompt = 1;
    }
    if (p->top_logprobs_given && !q->r.logprobs && q->r.n_top > 0)
        return err_param(e, ERR_INVALID_VALUE, "top_logprobs", "top_logprobs needs logprobs to be true");
    int rc = join_lengths(p, e);
    if (rc == 0) rc = join_counts(p, e);
    if (rc == 0) rc = field_choice_check(p, e);
    if (rc < 0) return rc;
    if (p->stream_options_given && !q->stream) {
        api_req_ignore(q, STR("stream_options"));
        q->include_usage = false;
    }
    return join_kwargs(p, e);
}

void api_req_init(enum api_kind kind, struct api_req *ret)
{
    *ret = (struct api_req){ 0 };
    chat_req_init(&ret->r);
    ret->r.kind = kind == API_CHAT || kind == API_TEXT ? CHAT_KIND_CHAT : CHAT_KIND_TEXT;
    if (kind == API_EMBED) ret->r.kind = CHAT_KIND_EMBED;
    if (kind == API_RERANK) ret->r.kind = CHAT_KIND_RANK;
    if (kind == API_COMPLETION) ret->r.n_max = 16; // the API's default there
    ret->n_shown = ret->best_of = 1;
}

int api_req_parse(struct str body, enum api_kind kind, struct arena *a, struct api_req *ret, struct err *e)
{
    struct json_doc *doc;
    struct parse     p = { .q = ret, .a = a, .kind = kind, .n_max_new = -2, .think = -1 };
    int              rc = json_parse(body, NULL, &doc, e);

    if (rc < 0) return rc;
    api_req_init(kind, ret);
    if (json_kind(json_root(doc)) != JSON_T_OBJ)
        rc = err_set(e, ERR_INVALID_TYPE, "the body is %s, it must be an object",
                     json_kind_name(json_kind(json_root(doc))));
    for (struct json_it it = json_it(json_root(doc)); rc == 0 && json_next(&it);) {
        const struct field *f = find(it.key, kind);
        if (json_kind(it.val) == JSON_T_NULL) continue; // the same as absent
        ret->given |= caps_bit(it.key);
        if (f) rc = one_field(&p, f, it.val, e);
        else api_req_ignore(ret, it.key);
    }
    p.root = json_root(doc);
    if (rc == 0) rc = finish(&p, e);
    json_free(doc);
    return rc;
}
