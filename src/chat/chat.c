/* chat.c - requests and events: defaults, names, and their form on the channel.
 *
 * The reader of a frame trusts nothing: every count is checked against its limit and against the
 * bytes that are there, every enum against its last value, every number against its range.
 */
#include "chat/chat.h"

#include <string.h>

#include "base/limits.h"

static const char *const role_names[CHAT_ROLES] = {
    [CHAT_SYSTEM] = "system",       [CHAT_DEVELOPER] = "developer", [CHAT_USER] = "user",
    [CHAT_ASSISTANT] = "assistant", [CHAT_TOOL] = "tool",
};

const char *chat_role_name(enum chat_role r)
{
    return role_names[r];
}

bool chat_role_parse(struct str s, enum chat_role *ret)
{
    if (str_eq(s, STR("function"))) {
        *ret = CHAT_TOOL;
        return true;
    }
    for (int r = 0; r < CHAT_ROLES; r++) {
        if (!str_eq(s, str_c(role_names[r]))) continue;
        *ret = (enum chat_role)r;
        return true;
    }
    return false;
}

const char *chat_finish_name(enum chat_finish f)
{
    static const char *const names[] = {
        [CHAT_FINISH_STOP] = "stop", [CHAT_FINISH_LENGTH] = "length", [CHAT_FINISH_CALLS] = "tool_calls",
    };
    return names[f];
}

void chat_req_init(struct chat_req *r)
{
    *r = (struct chat_req){ .n_choice = 1, .n_max = -1, .parallel_calls = true, .add_prompt = true };
    chat_params_init(&r->params);
}

/* --- packing --- */

static void pack_opt_str(struct buf *b, struct str s)
{
    pack_u8(b, s.p != NULL);
    if (s.p) pack_str(b, s);
}

static void pack_msg(struct buf *b, const struct chat_msg *m)
{
    pack_u8(b, (uint8_t)m->role);
    pack_u8(b, m->has_content);
    pack_str(b, m->content);
    pack_u32(b, (uint32_t)m->n_part);
    for (int i = 0; i < m->n_part; i++) pack_str(b, m->part[i]);
    pack_opt_str(b, m->name);
    pack_opt_str(b, m->reasoning);
    pack_opt_str(b, m->call_id);
    pack_u32(b, (uint32_t)m->n_call);
    for (int i = 0; i < m->n_call; i++) {
        pack_str(b, m->call[i].id);
        pack_str(b, m->call[i].name);
        pack_str(b, m->call[i].args);
    }
}

static void pack_params(struct buf *b, const struct chat_params *p)
{
    const float f[] = { p->temperature, p->dyn_temp_range, p->dyn_temp_exponent, p->top_p, p->min_p,
                        p->typical_p, p->top_n_sigma, p->xtc_probability, p->xtc_threshold,
                        p->repeat_penalty, p->frequency_penalty, p->presence_penalty,
                        p->dry_multiplier, p->dry_base, p->mirostat_tau, p->mirostat_eta };
    const int   n[] = { p->top_k, p->penalty_last_n, p->dry_allowed_length, p->dry_last_n, p->mirostat };

    for (size_t i = 0; i < ARRAY_LEN(f); i++) pack_f32(b, f[i]);
    for (size_t i = 0; i < ARRAY_LEN(n); i++) pack_i32(b, n[i]);
    pack_u8(b, p->has_seed);
    pack_u64(b, p->seed);
    pack_u32(b, (uint32_t)p->n_bias);
    for (int i = 0; i < p->n_bias; i++) {
        pack_i32(b, p->bias[i].tok);
        pack_f32(b, p->bias[i].bias);
    }
    pack_u32(b, (uint32_t)p->n_order);
    for (int i = 0; i < p->n_order; i++) pack_u8(b, (uint8_t)p->order[i]);
}

static void pack_inputs(struct buf *b, const struct chat_req *r)
{
    pack_u32(b, (uint32_t)r->n_input);
    for (int i = 0; i < r->n_input; i++) {
        pack_str(b, r->input[i].text);
        pack_u32(b, (uint32_t)r->input[i].n_tok);
        for (int k = 0; k < r->input[i].n_tok; k++) pack_i32(b, r->input[i].tok[k]);
    }
    pack_i32(b, r->n_dim);
}

static void pack_fill(struct buf *b, const struct chat_req *r)
{
    pack_u8(b, r->fill);
    pack_opt_str(b, r->suffix);
    pack_u32(b, (uint32_t)r->n_extra);
    for (int i = 0; i < r->n_extra; i++) {
        pack_str(b, r->extra[i].name);
        pack_str(b, r->extra[i].text);
    }
}

/* What ends an answer besides stop sequences, and where DRY's repetitions end. */
static void pack_ends(struct buf *b, const struct chat_req *r)
{
    pack_u8(b, r->keep_stop);
    pack_i32(b, r->n_min);
    pack_u32(b, (uint32_t)r->n_stop_tok);
    for (int i = 0; i < r->n_stop_tok; i++) pack_i32(b, r->stop_tok[i]);
    pack_u8(b, r->own_breakers);
    pack_u32(b, (uint32_t)r->n_breaker);
    for (int i = 0; i < r->n_breaker; i++) pack_str(b, r->breaker[i]);
}

void chat_req_pack(struct buf *b, const struct chat_req *r)
{
    pack_u8(b, (uint8_t)r->kind);
    pack_u32(b, (uint32_t)r->n_msg);
    for (int i = 0; i < r->n_msg; i++) pack_msg(b, &r->msg[i]);
    pack_u32(b, (uint32_t)r->n_tool);
    for (int i = 0; i < r->n_tool; i++) {
        pack_str(b, r->tool[i].json);
        pack_str(b, r->tool[i].name);
        pack_opt_str(b, r->tool[i].parameters);
        pack_u8(b, r->tool[i].strict);
        pack_u8(b, r->tool[i].barred);
    }
    pack_u8(b, (uint8_t)r->choice);
    pack_opt_str(b, r->choice_name);
    pack_u8(b, r->parallel_calls);
    pack_opt_str(b, r->template_kwargs);
    pack_opt_str(b, r->effort);
    pack_opt_str(b, r->documents);
    pack_u8(b, r->add_prompt);
    pack_u8(b, r->continue_final);

    pack_opt_str(b, r->prompt);
    pack_u32(b, (uint32_t)r->n_prompt_tok);
    for (int i = 0; i < r->n_prompt_tok; i++) pack_i32(b, r->prompt_tok[i]);
    pack_u8(b, r->echo);
    pack_u8(b, r->raw);
    pack_fill(b, r);

    pack_params(b, &r->params);
    pack_i32(b, r->n_choice);
    pack_i32(b, r->n_max);
    pack_u32(b, (uint32_t)r->n_stop);
    for (int i = 0; i < r->n_stop; i++) pack_str(b, r->stop[i]);
    pack_ends(b, r);
    pack_u8(b, r->ignore_eos);
    pack_u8(b, r->logprobs);
    pack_i32(b, r->n_top);
    pack_u8(b, (uint8_t)r->format);
    pack_opt_str(b, r->schema);
    pack_inputs(b, r);
    pack_opt_str(b, r->format_field);
    pack_opt_str(b, r->cache_key);
    pack_opt_str(b, r->cache_salt);
    pack_u64(b, r->client);
    pack_u8(b, (uint8_t)r->context_shift);
    pack_i32(b, r->n_keep);
}

/* --- unpacking --- */

/* A reader that allocates; either failing is sticky. */
struct rd {
    struct unpack u;
    struct arena *a;
    bool          no_mem;
};

static struct str get_str(struct rd *r)
{
    struct str s = unpack_str(&r->u), copy;

    if (r->u.failed) return STR_NULL;
    copy = arena_str(r->a, s);
    if (!copy.p) r->no_mem = r->u.failed = true;
    return copy;
}

static struct str get_opt_str(struct rd *r)
{
    return unpack_bool(&r->u) ? get_str(r) : STR_NULL;
}

static int get_enum(struct rd *r, int count)
{
    int v = unpack_u8(&r->u);

    if (v >= count) {
        r->u.failed = true;
        return 0;
    }
    return v;
}

/* A count and its zeroed array; NULL when the count is 0 or something failed. */
static void *get_array(struct rd *r, int *n, uint32_t max, size_t least, size_t size)
{
    uint32_t count = unpack_count(&r->u, max, least);
    void    *p     = NULL;

    if (count && !r->u.failed) {
        p = arena_array(r->a, count, size);
        if (!p) r->no_mem = r->u.failed = true;
    }
    *n = p ? (int)count : 0;
    return p;
}

static int get_int(struct rd *r, int min, int max)
{
    int v = unpack_i32(&r->u);

    if (v < min || v > max) {
        r->u.failed = true;
        return min;
    }
    return v;
}

static float get_f32(struct rd *r, float min, float max)
{
    float v = unpack_f32(&r->u);

    if (!(v >= min && v <= max)) r->u.failed = true; // NaN too
    return v;
}

static void get_msg(struct rd *r, struct chat_msg *m)
{
    m->role        = (enum chat_role)get_enum(r, CHAT_ROLES);
    m->has_content = unpack_bool(&r->u);
    m->content     = get_str(r);
    struct str *part = get_array(r, &m->n_part, LIM_PARTS, 4, sizeof *part);
    for (int i = 0; i < m->n_part; i++) part[i] = get_str(r);
    m->part      = part;
    m->name      = get_opt_str(r);
    m->reasoning = get_opt_str(r);
    m->call_id   = get_opt_str(r);
    struct chat_call *call = get_array(r, &m->n_call, LIM_TOOLS, 12, sizeof *call);
    for (int i = 0; i < m->n_call; i++) {
        call[i].id   = get_str(r);
        call[i].name = get_str(r);
        call[i].args = get_str(r);
    }
    m->call = call;
}

static void get_params(struct rd *r, struct chat_params *p)
{
    const struct {
        float *at, min, max;
    } f[] = { { &p->temperature, 0, 2 }, { &p->dyn_temp_range, 0, 10 }, { &p->dyn_temp_exponent, 0, 10 },
              { &p->top_p, 0, 1 }, { &p->min_p, 0, 1 }, { &p->typical_p, 0, 1 }, { &p->top_n_sigma, -1, 100 },
              { &p->xtc_probability, 0, 1 }, { &p->xtc_threshold, 0, 1 }, { &p->repeat_penalty, 0.01f, 10 },
              { &p->frequency_penalty, -2, 2 }, { &p->presence_penalty, -2, 2 }, { &p->dry_multiplier, 0, 100 },
              { &p->dry_base, 1, 100 }, { &p->mirostat_tau, 0, 100 }, { &p->mirostat_eta, 0, 1 } };

    for (size_t i = 0; i < ARRAY_LEN(f); i++) *f[i].at = get_f32(r, f[i].min, f[i].max);
    p->top_k              = get_int(r, 0, LIM_VOCAB);
    p->penalty_last_n     = get_int(r, -1, LIM_CTX);
    p->dry_allowed_length = get_int(r, 0, LIM_CTX);
    p->dry_last_n         = get_int(r, -1, LIM_CTX);
    p->mirostat           = get_int(r, 0, 2);
    p->has_seed           = unpack_bool(&r->u);
    p->seed               = unpack_u64(&r->u);
    struct chat_bias *bias = get_array(r, &p->n_bias, LIM_LOGIT_BIAS, 8, sizeof *bias);
    for (int i = 0; i < p->n_bias; i++) {
        bias[i].tok  = get_int(r, 0, LIM_VOCAB);
        bias[i].bias = get_f32(r, -100, 100);
    }
    p->bias    = bias;
    p->n_order = (int)unpack_count(&r->u, CHAT_SAMPLERS, 1);
    for (int i = 0; i < p->n_order; i++) p->order[i] = (enum chat_sampler)get_enum(r, CHAT_SAMPLERS);
}

static void get_inputs(struct rd *r, struct chat_req *q)
{
    bool               wants = q->kind == CHAT_KIND_EMBED || q->kind == CHAT_KIND_RANK;
    struct chat_input *in    = get_array(r, &q->n_input, LIM_INPUTS, 8, sizeof *in);

    for (int i = 0; i < q->n_input; i++) {
        in[i].text   = get_str(r);
        int32_t *tok = get_array(r, &in[i].n_tok, LIM_CTX, 4, sizeof *tok);
        for (int k = 0; k < in[i].n_tok; k++) tok[k] = get_int(r, 0, LIM_VOCAB);
        in[i].tok = tok;
    }
    q->input = in;
    q->n_dim = get_int(r, 0, LIM_EMBD);
    if (wants != (q->n_input > 0)) r->u.failed = true;
}

static void get_fill(struct rd *r, struct chat_req *q)
{
    q->fill   = unpack_bool(&r->u);
    q->suffix = get_opt_str(r);
    struct chat_file *extra = get_array(r, &q->n_extra, LIM_FILES, 8, sizeof *extra);
    for (int i = 0; i < q->n_extra; i++) {
        extra[i].name = get_str(r);
        extra[i].text = get_str(r);
    }
    q->extra = extra;
}

static void get_ends(struct rd *r, struct chat_req *q)
{
    q->keep_stop = unpack_bool(&r->u);
    q->n_min     = get_int(r, 0, LIM_CTX);
    int32_t *tok = get_array(r, &q->n_stop_tok, LIM_STOP_TOKENS, 4, sizeof *tok);
    for (int i = 0; i < q->n_stop_tok; i++) tok[i] = get_int(r, 0, LIM_VOCAB);
    q->stop_tok     = tok;
    q->own_breakers = unpack_bool(&r->u);
    struct str *breaker = get_array(r, &q->n_breaker, LIM_STOPS, 5, sizeof *breaker);
    for (int i = 0; i < q->n_breaker; i++) {
        breaker[i] = get_str(r);
        if (breaker[i].n == 0 || breaker[i].n > LIM_BREAKER_BYTES) r->u.failed = true;
    }
    q->breaker = breaker;
}

int chat_req_unpack(struct str bytes, struct arena *a, struct chat_req *ret, struct err *e)
{
    struct rd       r = { .u = unpack_init(bytes), .a = a };
    struct chat_req q;

    chat_req_init(&q);
    q.kind = (enum chat_kind)get_enum(&r, CHAT_KIND_RANK + 1);
    struct chat_msg *msg = get_array(&r, &q.n_msg, LIM_MESSAGES, 17, sizeof *msg);
    for (int i = 0; i < q.n_msg; i++) get_msg(&r, &msg[i]);
    q.msg = msg;
    struct chat_tool *tool = get_array(&r, &q.n_tool, LIM_TOOLS, 11, sizeof *tool);
    for (int i = 0; i < q.n_tool; i++) {
        tool[i].json       = get_str(&r);
        tool[i].name       = get_str(&r);
        tool[i].parameters = get_opt_str(&r);
        tool[i].strict     = unpack_bool(&r.u);
        tool[i].barred     = unpack_bool(&r.u);
    }
    q.tool            = tool;
    q.choice          = (enum chat_choice)get_enum(&r, CHAT_CHOICE_NAMED + 1);
    q.choice_name     = get_opt_str(&r);
    q.parallel_calls  = unpack_bool(&r.u);
    q.template_kwargs = get_opt_str(&r);
    q.effort          = get_opt_str(&r);
    q.documents       = get_opt_str(&r);
    q.add_prompt      = unpack_bool(&r.u);
    q.continue_final  = unpack_bool(&r.u);

    q.prompt = get_opt_str(&r);
    int32_t *tok = get_array(&r, &q.n_prompt_tok, LIM_CTX, 4, sizeof *tok);
    for (int i = 0; i < q.n_prompt_tok; i++) tok[i] = get_int(&r, 0, LIM_VOCAB);
    q.prompt_tok = tok;
    q.echo       = unpack_bool(&r.u);
    q.raw        = unpack_bool(&r.u);
    get_fill(&r, &q);

    get_params(&r, &q.params);
    q.n_choice = get_int(&r, 1, LIM_CHOICES);
    q.n_max    = get_int(&r, -1, LIM_CTX);
    struct str *stop = get_array(&r, &q.n_stop, LIM_STOPS, 5, sizeof *stop);
    for (int i = 0; i < q.n_stop; i++) {
        stop[i] = get_str(&r);
        if (stop[i].n == 0 || stop[i].n > LIM_STOP_BYTES) r.u.failed = true;
    }
    q.stop = stop;
    get_ends(&r, &q);
    q.ignore_eos = unpack_bool(&r.u);
    q.logprobs   = unpack_bool(&r.u);
    q.n_top      = get_int(&r, 0, LIM_TOP_LOGPROBS);
    q.format     = (enum chat_format)get_enum(&r, CHAT_FORMAT_REGEX + 1);
    q.schema     = get_opt_str(&r);
    get_inputs(&r, &q);
    q.format_field = get_opt_str(&r);
    q.cache_key  = get_opt_str(&r);
    q.cache_salt = get_opt_str(&r);
    if (q.cache_key.n > LIM_SALT_BYTES || q.cache_salt.n > LIM_SALT_BYTES) r.u.failed = true;
    q.client        = unpack_u64(&r.u);
    q.context_shift = (enum chat_shift)get_enum(&r, CHAT_SHIFT_ON + 1);
    q.n_keep        = get_int(&r, -1, LIM_CTX);

    if (r.no_mem) return err_nomem(e, "reading a request");
    if (!unpack_done(&r.u))
        return err_set(e, ERR_PROTOCOL, "request frame is malformed after %zu of %zu bytes",
                       bytes.n - r.u.n, bytes.n);
    *ret = q;
    return 0;
}

/* --- events --- */

static void pack_lp(struct buf *b, const struct chat_logprob *lp)
{
    pack_i32(b, lp->tok);
    pack_f32(b, lp->logprob);
    pack_str(b, lp->text);
}

static void pack_usage(struct buf *b, const struct chat_usage *u)
{
    pack_i32(b, u->n_prompt);
    pack_i32(b, u->n_cached);
    pack_i32(b, u->n_gen);
    pack_i32(b, u->n_reasoning);
}

void chat_event_pack(struct buf *b, const struct chat_event *ev)
{
    pack_u8(b, (uint8_t)ev->kind);
    pack_u8(b, (uint8_t)ev->choice);
    switch (ev->kind) {
    case CHAT_EV_START:
    case CHAT_EV_END: pack_usage(b, &ev->usage); break;
    case CHAT_EV_TEXT:
    case CHAT_EV_REASONING: pack_str(b, ev->text); break;
    case CHAT_EV_CALL:
        pack_i32(b, ev->index);
        pack_str(b, ev->id);
        pack_str(b, ev->text);
        break;
    case CHAT_EV_ARGS:
        pack_i32(b, ev->index);
        pack_str(b, ev->text);
        break;
    case CHAT_EV_VECTOR:
        pack_i32(b, ev->index);
        pack_str(b, ev->text);
        break;
    case CHAT_EV_LOGPROB:
        pack_u8(b, ev->prompt_lp);
        pack_lp(b, &ev->lp);
        pack_u32(b, (uint32_t)ev->n_top);
        for (int i = 0; i < ev->n_top; i++) pack_lp(b, &ev->top[i]);
        break;
    case CHAT_EV_FINISH:
        pack_u8(b, (uint8_t)ev->finish);
        pack_opt_str(b, ev->stop);
        break;
    case CHAT_EV_ERROR:
        pack_u32(b, (uint32_t)ev->err.code);
        pack_str(b, str_c(ev->err.param));
        pack_str(b, str_c(ev->err.msg));
        break;
    }
}

static void get_lp(struct unpack *u, struct chat_logprob *lp)
{
    lp->tok     = unpack_i32(u);
    lp->logprob = unpack_f32(u);
    lp->text    = unpack_str(u);
}

static int get_natural(struct unpack *u)
{
    int v = unpack_i32(u);

    if (v < 0) u->failed = true;
    return v;
}

static void get_usage(struct unpack *u, struct chat_usage *ret)
{
    ret->n_prompt    = get_natural(u);
    ret->n_cached    = get_natural(u);
    ret->n_gen       = get_natural(u);
    ret->n_reasoning = get_natural(u);
}

bool chat_event_unpack(struct unpack *u, struct chat_event *ret, struct chat_logprob *top_buf,
                       int top_cap)
{
    struct chat_event ev = { .kind = (enum chat_event_kind)unpack_u8(u) };

    ev.choice = unpack_u8(u);
    if (ev.choice >= LIM_CHOICES) u->failed = true;
    switch (ev.kind) {
    case CHAT_EV_START:
    case CHAT_EV_END: get_usage(u, &ev.usage); break;
    case CHAT_EV_TEXT:
    case CHAT_EV_REASONING: ev.text = unpack_str(u); break;
    case CHAT_EV_CALL:
        ev.index = get_natural(u);
        ev.id    = unpack_str(u);
        ev.text  = unpack_str(u);
        break;
    case CHAT_EV_ARGS:
        ev.index = get_natural(u);
        ev.text  = unpack_str(u);
        break;
    case CHAT_EV_VECTOR:
        ev.index = get_natural(u);
        ev.text  = unpack_str(u);
        if (ev.text.n == 0 || ev.text.n % 4) u->failed = true;
        break;
    case CHAT_EV_LOGPROB:
        ev.prompt_lp = unpack_bool(u);
        get_lp(u, &ev.lp);
        ev.n_top = (int)unpack_count(u, (uint32_t)top_cap, 12);
        for (int i = 0; i < ev.n_top; i++) get_lp(u, &top_buf[i]);
        ev.top = top_buf;
        break;
    case CHAT_EV_FINISH: {
        uint8_t f = unpack_u8(u);
        if (f > CHAT_FINISH_CALLS) u->failed = true;
        ev.finish = (enum chat_finish)f;
        ev.stop   = unpack_bool(u) ? unpack_str(u) : STR_NULL;
        break;
    }
    case CHAT_EV_ERROR: {
        uint32_t code = unpack_u32(u);
        if (code == ERR_NONE || code >= ERR_CODES) u->failed = true;
        ev.err.code      = u->failed ? ERR_INTERNAL : (enum err_code)code;
        struct str param = unpack_str(u), msg = unpack_str(u);
        str_copy_z(ev.err.param, sizeof ev.err.param, param);
        str_copy_z(ev.err.msg, sizeof ev.err.msg, msg);
        break;
    }
    default: u->failed = true;
    }
    if (u->failed) return false;
    *ret = ev;
    return true;
}
