/* field_chat.c - messages and tools. */
#include <string.h>

#include "api/field_int.h"
#include "base/limits.h"

static int copy(struct parse *p, struct str s, struct str *ret, struct err *e)
{
    *ret = arena_str(p->a, s);
    return ret->p ? 0 : err_nomem(e, "reading a request");
}

/* A member that must be a string if it is there; *ret stays STR_NULL otherwise. */
static int opt_str(struct parse *p, const struct json *obj, const char *path, const char *key,
                   struct str *ret, struct err *e)
{
    const struct json *v = json_get(obj, key);
    char               full[ERR_PARAM_MAX];

    if (json_kind(v) == JSON_T_NULL) return 0;
    field_path(full, "%s.%s", path, key);
    if (json_kind(v) != JSON_T_STR) return field_type_err(full, v, "a string", e);
    return copy(p, json_str(v), ret, e);
}

static int need_str(struct parse *p, const struct json *obj, const char *path, const char *key,
                    struct str *ret, struct err *e)
{
    char full[ERR_PARAM_MAX];

    if (json_kind(json_get(obj, key)) == JSON_T_NULL) {
        field_path(full, "%s.%s", path, key);
        return err_param(e, ERR_MISSING_PARAM, full, "%s is missing", full);
    }
    return opt_str(p, obj, path, key, ret, e);
}

/* --- content --- */

/* The text of one content part. Only text can be understood by the models here. */
static int part_text(struct parse *p, const struct json *v, const char *path, enum chat_role role,
                     struct str *ret, struct err *e)
{
    struct str type = STR_NULL;
    char       q[LIM_QUOTE_BYTES], full[ERR_PARAM_MAX];

    if (json_kind(v) != JSON_T_OBJ) return field_type_err(path, v, "an object", e);
    int rc = need_str(p, v, path, "type", &type, e);
    if (rc < 0) return rc;
    if (str_eq(type, STR("text"))) return need_str(p, v, path, "text", ret, e);
    if (str_eq(type, STR("refusal")) && role == CHAT_ASSISTANT) return need_str(p, v, path, "refusal", ret, e);
    field_path(full, "%s.type", path);
    return err_param(e, ERR_UNSUPP_VALUE, full, "%s is \"%s\": this model takes text only", full,
                     str_quote(q, sizeof q, type));
}

static int parts(struct parse *p, const struct json *v, const char *path, struct chat_msg *m, struct err *e)
{
    size_t      n = json_len(v), total = 0;
    struct str *part = arena_array(p->a, n ? n : 1, sizeof *part);
    char        full[ERR_PARAM_MAX];

    if (!part) return err_nomem(e, "reading a request");
    if (n > LIM_PARTS)
        return err_param(e, ERR_ARRAY_TOO_LONG, path, "%s has %zu parts, the limit is %d", path, n, LIM_PARTS);
    for (size_t i = 0; i < n; i++) {
        field_path(full, "%s[%zu]", path, i);
        int rc = part_text(p, json_at(v, i), full, m->role, &part[i], e);
        if (rc < 0) return rc;
        total += part[i].n;
    }
    char *joined = arena_alloc(p->a, total + 1);
    if (!joined) return err_nomem(e, "reading a request");
    m->content = (struct str){ joined, total };
    for (size_t i = 0; i < n; i++) {
        memcpy(joined, part[i].p, part[i].n);
        joined += part[i].n;
    }
    m->part   = part;
    m->n_part = (int)n;
    return 0;
}

static int content(struct parse *p, const struct json *obj, const char *path, struct chat_msg *m,
                   struct err *e)
{
    const struct json *v = json_get(obj, "content");
    char               full[ERR_PARAM_MAX];

    field_path(full, "%s.content", path);
    m->content     = STR("");
    m->has_content = json_kind(v) != JSON_T_NULL;
    switch (json_kind(v)) {
    case JSON_T_STR: return copy(p, json_str(v), &m->content, e);
    case JSON_T_ARR: return parts(p, v, full, m, e);
    case JSON_T_NULL:
        if (m->role == CHAT_ASSISTANT) return 0; // the API lets a message with calls have none
        if (v) return err_param(e, ERR_INVALID_TYPE, full, "%s is null; only an assistant's may be", full);
        return err_param(e, ERR_MISSING_PARAM, full, "%s is missing", full);
    case JSON_T_BOOL:
    case JSON_T_INT:
    case JSON_T_REAL:
    case JSON_T_OBJ: break;
    }
    return field_type_err(full, v, "a string or an array of parts", e);
}

/* --- tool calls of the history --- */

static int call(struct parse *p, const struct json *v, const char *path, struct chat_call *c, struct err *e)
{
    char full[ERR_PARAM_MAX];

    if (json_kind(v) != JSON_T_OBJ) return field_type_err(path, v, "an object", e);
    c->id  = STR("");
    int rc = opt_str(p, v, path, "id", &c->id, e);
    if (rc < 0) return rc;
    field_path(full, "%s.function", path);
    const struct json *f = json_get(v, "function");
    if (!f) return err_param(e, ERR_MISSING_PARAM, full, "%s is missing", full);
    if (json_kind(f) != JSON_T_OBJ) return field_type_err(full, f, "an object", e);
    rc = need_str(p, f, full, "name", &c->name, e);
    if (rc == 0) rc = opt_str(p, f, full, "arguments", &c->args, e);
    if (rc == 0 && c->args.n == 0) c->args = STR("{}");
    return rc;
}

static int calls(struct parse *p, const struct json *obj, const char *path, struct chat_msg *m, struct err *e)
{
    const struct json *v = json_get(obj, "tool_calls");
    char               full[ERR_PARAM_MAX];

    if (json_kind(v) == JSON_T_NULL) return 0;
    field_path(full, "%s.tool_calls", path);
    if (json_kind(v) != JSON_T_ARR) return field_type_err(full, v, "an array", e);
    size_t            n = json_len(v);
    struct chat_call *c = arena_array(p->a, n ? n : 1, sizeof *c);
    if (!c) return err_nomem(e, "reading a request");
    if (n > LIM_TOOLS)
        return err_param(e, ERR_ARRAY_TOO_LONG, full, "%s has %zu calls, the limit is %d", full, n, LIM_TOOLS);
    for (size_t i = 0; i < n; i++) {
        field_path(full, "%s.tool_calls[%zu]", path, i);
        int rc = call(p, json_at(v, i), full, &c[i], e);
        if (rc < 0) return rc;
    }
    m->call   = c;
    m->n_call = (int)n;
    return 0;
}

/* What else an assistant's message may have: a refusal in place of content, one call in the old form, and the
 * name of spoken audio that is not here. */
static int old_forms(struct parse *p, const struct json *v, const char *path, struct chat_msg *m, struct err *e)
{
    const struct json *f = json_get(v, "function_call");
    char               full[ERR_PARAM_MAX];
    struct str         refusal = STR_NULL;

    field_path(full, "%s.audio", path);
    if (json_kind(json_get(v, "audio")) != JSON_T_NULL)
        return err_param(e, ERR_UNSUPP_PARAM, full, "%s is not supported by this server: it keeps no audio", full);
    int rc = opt_str(p, v, path, "refusal", &refusal, e);
    if (rc == 0 && refusal.p && !m->has_content) {
        m->content     = refusal;
        m->has_content = true;
    }
    if (rc < 0 || json_kind(f) == JSON_T_NULL || m->n_call) return rc;
    field_path(full, "%s.function_call", path);
    if (json_kind(f) != JSON_T_OBJ) return field_type_err(full, f, "an object", e);
    struct chat_call *c = arena_array(p->a, 1, sizeof *c);
    if (!c) return err_nomem(e, "reading a request");
    c->id = STR("");
    rc    = need_str(p, f, full, "name", &c->name, e);
    if (rc == 0) rc = opt_str(p, f, full, "arguments", &c->args, e);
    if (rc == 0 && c->args.n == 0) c->args = STR("{}");
    m->call   = c;
    m->n_call = 1;
    return rc;
}

/* --- messages --- */

static int message(struct parse *p, const struct json *v, const char *path, struct chat_msg *m, struct err *e)
{
    struct str role = STR_NULL;
    char       full[ERR_PARAM_MAX], q[LIM_QUOTE_BYTES];

    if (json_kind(v) != JSON_T_OBJ) return field_type_err(path, v, "an object", e);
    int rc = need_str(p, v, path, "role", &role, e);
    if (rc < 0) return rc;
    if (!chat_role_parse(role, &m->role)) {
        field_path(full, "%s.role", path);
        return err_param(e, ERR_INVALID_VALUE, full, "%s is \"%s\", it must be one of system, developer, "
                         "user, assistant, tool", full, str_quote(q, sizeof q, role));
    }
    rc = content(p, v, path, m, e);
    if (rc == 0) rc = opt_str(p, v, path, "name", &m->name, e);
    if (rc == 0) rc = opt_str(p, v, path, "reasoning_content", &m->reasoning, e);
    if (rc == 0 && !m->reasoning.p) rc = opt_str(p, v, path, "reasoning", &m->reasoning, e);
    if (rc == 0 && m->role == CHAT_ASSISTANT) rc = calls(p, v, path, m, e);
    if (rc == 0 && m->role == CHAT_ASSISTANT) rc = old_forms(p, v, path, m, e);
    if (rc == 0 && m->role == CHAT_TOOL) {
        if (str_eq(role, STR("tool"))) rc = need_str(p, v, path, "tool_call_id", &m->call_id, e);
        else rc = opt_str(p, v, path, "tool_call_id", &m->call_id, e);
    }
    return rc;
}

int field_messages(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    size_t n = json_len(v);
    char   path[ERR_PARAM_MAX];

    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array", e);
    if (n == 0) return err_param(e, ERR_EMPTY_ARRAY, name, "%s is an empty array, one message is the least", name);
    if (n > LIM_MESSAGES)
        return err_param(e, ERR_ARRAY_TOO_LONG, name, "%s has %zu elements, the limit is %d", name, n,
                         LIM_MESSAGES);
    struct chat_msg *m = arena_array(p->a, n, sizeof *m);
    if (!m) return err_nomem(e, "reading a request");
    for (size_t i = 0; i < n; i++) {
        field_path(path, "%s[%zu]", name, i);
        int rc = message(p, json_at(v, i), path, &m[i], e);
        if (rc < 0) return rc;
    }
    p->q->r.msg   = m;
    p->q->r.n_msg = (int)n;
    return 0;
}

/* --- tools --- */

static bool name_ok(struct str s)
{
    if (s.n == 0 || s.n > 64) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static int json_text(struct parse *p, const struct json *v, struct str *ret, struct err *e)
{
    struct buf b;

    buf_init(&b, LIM_BODY_BYTES * 2);
    json_write(&b, v, JSON_TIGHT);
    int rc = b.failed ? err_nomem(e, "reading a request") : copy(p, buf_text(&b), ret, e);
    buf_release(&b);
    return rc;
}

/* {"type": "function", "function": {"name": "f", ...}}: the inner object, and its name. */
static int function_of(struct parse *p, const struct json *v, const char *path, const struct json **ret,
                       struct str *name, struct err *e)
{
    struct str type = STR_NULL;
    char       full[ERR_PARAM_MAX], q[LIM_QUOTE_BYTES];

    if (json_kind(v) != JSON_T_OBJ) return field_type_err(path, v, "an object", e);
    int rc = need_str(p, v, path, "type", &type, e);
    if (rc < 0) return rc;
    if (!str_eq(type, STR("function"))) {
        field_path(full, "%s.type", path);
        return err_param(e, ERR_UNSUPP_VALUE, full, "%s is \"%s\", only \"function\" is supported", full,
                         str_quote(q, sizeof q, type));
    }
    field_path(full, "%s.function", path);
    const struct json *f = *ret = json_get(v, "function");
    if (!f) return err_param(e, ERR_MISSING_PARAM, full, "%s is missing", full);
    if (json_kind(f) != JSON_T_OBJ) return field_type_err(full, f, "an object", e);
    return need_str(p, f, full, "name", name, e);
}

static int tool(struct parse *p, const struct json *v, const char *path, struct chat_tool *t, struct err *e)
{
    const struct json *f;
    char               full[ERR_PARAM_MAX], q[LIM_QUOTE_BYTES];
    int                rc = function_of(p, v, path, &f, &t->name, e);

    if (rc < 0) return rc;
    if (!name_ok(t->name)) {
        field_path(full, "%s.function.name", path);
        return err_param(e, ERR_INVALID_VALUE, full, "%s is \"%s\"; 1 to 64 letters, digits, _ and - are "
                         "allowed", full, str_quote(q, sizeof q, t->name));
    }
    const struct json *params = json_get(f, "parameters");
    if (json_kind(params) != JSON_T_NULL) {
        field_path(full, "%s.function.parameters", path);
        if (json_kind(params) != JSON_T_OBJ) return field_type_err(full, params, "an object", e);
        rc = json_text(p, params, &t->parameters, e);
        if (rc < 0) return rc;
    }
    t->strict = json_bool(json_get(f, "strict"));
    return json_text(p, v, &t->json, e);
}

int field_tools(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    size_t n = json_len(v);
    char   path[ERR_PARAM_MAX];

    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array", e);
    if (n > LIM_TOOLS)
        return err_param(e, ERR_ARRAY_TOO_LONG, name, "%s has %zu elements, the limit is %d", name, n, LIM_TOOLS);
    if (n == 0) return 0; // many clients send it: the same as absent
    struct chat_tool *t = arena_array(p->a, n, sizeof *t);
    if (!t) return err_nomem(e, "reading a request");
    for (size_t i = 0; i < n; i++) {
        field_path(path, "%s[%zu]", name, i);
        int rc = tool(p, json_at(v, i), path, &t[i], e);
        if (rc < 0) return rc;
    }
    p->q->r.tool   = t;
    p->q->r.n_tool = (int)n;
    return 0;
}

int field_functions(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    (void)p;
    if (json_kind(v) != JSON_T_ARR) return field_type_err(name, v, "an array", e);
    if (json_len(v) == 0) return 0;
    return err_param(e, ERR_UNSUPP_PARAM, name, "%s is not supported by this server; use tools", name);
}

static int choice_word(struct parse *p, const char *path, struct str s, struct err *e)
{
    char q[LIM_QUOTE_BYTES];

    if (str_eq(s, STR("auto"))) p->q->r.choice = CHAT_CHOICE_AUTO;
    else if (str_eq(s, STR("none"))) p->q->r.choice = CHAT_CHOICE_NONE;
    else if (str_eq(s, STR("required"))) p->q->r.choice = CHAT_CHOICE_REQUIRED;
    else
        return err_param(e, ERR_INVALID_VALUE, path, "%s is \"%s\", it must be none, auto or required", path,
                         str_quote(q, sizeof q, s));
    return 0;
}

/* {"type": "allowed_tools", "allowed_tools": {"mode": "auto" or "required", "tools": [...]}} */
static int allowed_tools(struct parse *p, const struct json *v, const char *name, struct err *e)
{
    char               path[ERR_PARAM_MAX], full[ERR_PARAM_MAX];
    struct str         mode = STR_NULL;
    const struct json *a    = json_get(v, "allowed_tools"), *f;

    field_path(path, "%s.allowed_tools", name);
    if (!a) return err_param(e, ERR_MISSING_PARAM, path, "%s is missing", path);
    if (json_kind(a) != JSON_T_OBJ) return field_type_err(path, a, "an object", e);
    int rc = need_str(p, a, path, "mode", &mode, e);
    field_path(full, "%s.mode", path);
    if (rc == 0) rc = choice_word(p, full, mode, e);
    if (rc < 0) return rc;
    const struct json *list = json_get(a, "tools");
    size_t             n    = json_len(list);
    field_path(full, "%s.tools", path);
    if (json_kind(list) != JSON_T_ARR) return field_type_err(full, list, "an array", e);
    if (n == 0) return err_param(e, ERR_EMPTY_ARRAY, full, "%s is an empty array; tool_choice \"none\" allows no tool", full);
    if (n > LIM_TOOLS)
        return err_param(e, ERR_ARRAY_TOO_LONG, full, "%s has %zu elements, the limit is %d", full, n, LIM_TOOLS);
    p->allowed = arena_array(p->a, n, sizeof *p->allowed);
    if (!p->allowed) return err_nomem(e, "reading a request");
    for (size_t i = 0; i < n; i++) {
        field_path(full, "%s.tools[%zu]", path, i);
        rc = function_of(p, json_at(list, i), full, &f, &p->allowed[i], e);
        if (rc < 0) return rc;
    }
    p->n_allowed   = (int)n;
    p->choice_only = true;
    return 0;
}

int field_tool_choice(struct parse *p, const char *name, const struct json *v, struct err *e)
{
    const struct json *f;

    if (json_kind(v) == JSON_T_STR) return choice_word(p, name, json_str(v), e);
    if (json_kind(v) != JSON_T_OBJ) return field_type_err(name, v, "a string or an object", e);
    if (str_eq(json_str(json_get(v, "type")), STR("allowed_tools"))) return allowed_tools(p, v, name, e);
    p->q->r.choice = CHAT_CHOICE_NAMED;
    return function_of(p, v, name, &f, &p->q->r.choice_name, e);
}

static bool among(const struct str *list, int n, struct str name)
{
    for (int i = 0; i < n; i++)
        if (str_eq(list[i], name)) return true;
    return false;
}

static int offered(const struct chat_req *r, struct str name, struct err *e)
{
    char q[LIM_QUOTE_BYTES];

    for (int i = 0; i < r->n_tool; i++)
        if (str_eq(r->tool[i].name, name)) return 0;
    return err_param(e, ERR_INVALID_VALUE, "tool_choice", "tool_choice names \"%s\", which is not among the tools",
                     str_quote(q, sizeof q, name));
}

int field_choice_check(struct parse *p, struct err *e)
{
    struct chat_req  *r    = &p->q->r;
    struct chat_tool *tool = (struct chat_tool *)r->tool; // ours, made by field_tools
    int               rc   = 0;

    if (r->n_tool == 0 && (r->choice == CHAT_CHOICE_REQUIRED || r->choice == CHAT_CHOICE_NAMED || p->choice_only))
        return err_param(e, ERR_INVALID_VALUE, "tool_choice", "tool_choice wants a call, but there are no tools");
    if (r->choice == CHAT_CHOICE_NAMED) return offered(r, r->choice_name, e);
    if (!p->choice_only) return 0;
    for (int i = 0; rc == 0 && i < p->n_allowed; i++) rc = offered(r, p->allowed[i], e);
    for (int i = 0; i < r->n_tool; i++) tool[i].barred = !among(p->allowed, p->n_allowed, tool[i].name);
    return rc;
}
