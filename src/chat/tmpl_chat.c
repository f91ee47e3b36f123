/* tmpl_chat.c - conversations for templates: from requests, repaired where a template is picky, cut
 * open where the last message is to be continued; and the line protocol of `curlew template`.
 */
#include <string.h>

#include "base/mem.h"
#include "chat/chat.h"
#include "chat/tmpl_int.h"

/* --- a request as values --- */

struct doc_link {
    struct doc_link *next;
    struct json_doc *doc;
};

/* Parse JSON text that lives as long as the input. NULL: failed, or (when `loose`) no JSON. */
static const struct json *parse(struct run *r, struct input *x, struct str text, bool loose,
                                const char *what)
{
    struct doc_link *link = tmpl_alloc(r, 1, sizeof *link);
    struct err       e    = { 0 };

    if (!link) return NULL;
    int rc = json_parse_any(text, NULL, &link->doc, loose ? &e : r->e);
    if (rc < 0) {
        if (loose && e.code != ERR_NO_MEMORY) return NULL;
        if (loose) *r->e = e;
        else err_wrap(r->e, "%s", what);
        r->failed = true;
        return NULL;
    }
    link->next = x->docs;
    x->docs    = link;
    return json_root(link->doc);
}

const struct json *tmpl_input_parse(struct run *r, struct input *x, struct str text)
{
    return parse(r, x, text, true, "");
}

static void put(struct run *r, struct val d, const char *key, struct val v)
{
    tmpl_dict_put(r, d, tmpl_str_c(r, key), v);
}

static void put_text(struct run *r, struct val d, const char *key, struct str s)
{
    if (s.p) put(r, d, key, tmpl_str_new(r, s, false));
}

static struct val parts_value(struct run *r, const struct str *part, int n)
{
    struct val list = tmpl_list_new(r, V_LIST, (size_t)n);

    for (int i = 0; i < n && !r->failed; i++) {
        struct val p = tmpl_dict_new(r, V_DICT);
        put(r, p, "type", tmpl_str_c(r, "text"));
        put_text(r, p, "text", part[i].p ? part[i] : STR(""));
        tmpl_list_put(r, list, p);
    }
    return list;
}

static struct val calls_value(struct run *r, const struct chat_call *call, int n)
{
    struct val list = tmpl_list_new(r, V_LIST, (size_t)n);

    for (int i = 0; i < n && !r->failed; i++) {
        struct val c = tmpl_dict_new(r, V_DICT), f = tmpl_dict_new(r, V_DICT);
        put_text(r, c, "id", call[i].id);
        put(r, c, "type", tmpl_str_c(r, "function"));
        put_text(r, f, "name", call[i].name.p ? call[i].name : STR(""));
        put_text(r, f, "arguments", call[i].args.p ? call[i].args : STR(""));
        put(r, c, "function", f);
        tmpl_list_put(r, list, c);
    }
    return list;
}

struct val tmpl_messages_from_req(struct run *r, const struct chat_req *req)
{
    static const char *const roles[CHAT_ROLES] = { "system", "developer", "user", "assistant",
                                                   "tool" };
    struct val               list              = tmpl_list_new(r, V_LIST, (size_t)req->n_msg);

    for (int i = 0; i < req->n_msg && !r->failed; i++) {
        const struct chat_msg *m = &req->msg[i];
        struct val             d = tmpl_dict_new(r, V_DICT), content = VAL_NONE;
        if (m->n_part > 0) content = parts_value(r, m->part, m->n_part);
        else if (m->has_content) content = tmpl_str_new(r, m->content, false);
        put(r, d, "role", tmpl_str_c(r, roles[m->role]));
        put(r, d, "content", content);
        put_text(r, d, "name", m->name);
        put_text(r, d, "reasoning_content", m->reasoning);
        put_text(r, d, "tool_call_id", m->call_id);
        if (m->n_call > 0) put(r, d, "tool_calls", calls_value(r, m->call, m->n_call));
        tmpl_list_put(r, list, d);
    }
    return list;
}

/* The role of a message from JSON is ours when it is one we know: templates build turn markers from
 * it
 * ('<|' + message.role + '|>'), and those must stay special tokens. */
static void trust_roles(struct run *r, struct val messages)
{
    static const char *const roles[] = { "system", "developer", "user", "assistant", "tool" };

    for (size_t i = 0; messages.kind == V_LIST && i < messages.u.l->n && !r->failed; i++) {
        struct val m = messages.u.l->v[i];
        struct val v = m.kind == V_DICT ? tmpl_dict_get_c(r, m, "role") : VAL_MISSING;
        for (size_t k = 0; v.kind == V_STR && k < ARRAY_LEN(roles); k++)
            if (str_eq(v.u.s->text, str_c(roles[k]))) put(r, m, "role", tmpl_str_c(r, roles[k]));
    }
}

static void load_req(struct run *r, const struct chat_req *req, struct input *x)
{
    x->messages = tmpl_messages_from_req(r, req);
    x->effort   = req->effort;
    if (req->n_tool > 0 && req->choice != CHAT_CHOICE_NONE) {
        x->tools = tmpl_list_new(r, V_LIST, (size_t)req->n_tool);
        for (int i = 0; i < req->n_tool && !r->failed; i++) {
            const struct json *j = parse(r, x, req->tool[i].json, false, "tools");
            tmpl_list_put(r, x->tools, tmpl_from_json(r, j, false));
        }
    }
    if (req->documents.p) x->documents = tmpl_from_json(r, parse(r, x, req->documents, false, "documents"), false);
    if (!req->template_kwargs.p || r->failed) return;
    x->kwargs = parse(r, x, req->template_kwargs, false, "chat_template_kwargs");
    if (r->failed || json_kind(x->kwargs) == JSON_T_OBJ) return;
    r->failed = true;
    err_param(r->e, ERR_INVALID_TYPE, "chat_template_kwargs",
              "chat_template_kwargs must be an object, not %s",
              json_kind_name(json_kind(x->kwargs)));
}

int tmpl_input_load(struct run *r, const struct tmpl_in *in, struct input *ret)
{
    *ret = (struct input){
        .messages = VAL_NONE, .tools = VAL_NONE, .documents = VAL_NONE, .kwargs = in->kwargs
    };
    if (in->req) {
        load_req(r, in->req, ret);
    } else {
        ret->messages = tmpl_from_json(r, in->messages, false);
        trust_roles(r, ret->messages);
        ret->tools     = tmpl_from_json(r, in->tools, false);
        ret->documents = tmpl_from_json(r, in->documents, false);
    }
    return r->failed ? -(int)r->e->code : 0;
}

void tmpl_input_free(struct input *x)
{
    for (; x->docs; x->docs = x->docs->next) json_free(x->docs->doc);
}

/* --- an open final message --- */

static const char mark[] = "\x02" "curlew-final" "\x03"; // stands in for an empty content

/* The text of a message: its content, or its last text part. MISSING when it has none. */
static struct val text_of(struct run *r, struct val m)
{
    struct val c = m.kind == V_DICT ? tmpl_dict_get_c(r, m, "content") : VAL_MISSING;

    if (c.kind != V_LIST) return c.kind == V_STR ? c : VAL_MISSING;
    for (size_t i = c.u.l->n; i-- > 0;) {
        struct val t =
            c.u.l->v[i].kind == V_DICT ? tmpl_dict_get_c(r, c.u.l->v[i], "text") : VAL_MISSING;
        if (t.kind == V_STR) return t;
    }
    return VAL_MISSING;
}

/* The list with its last message's content replaced. */
static struct val with_last(struct run *r, struct val messages, struct val content)
{
    struct val list = tmpl_list_new(r, V_LIST, messages.u.l->n);

    for (size_t i = 0; i < messages.u.l->n && !r->failed; i++) {
        struct val m = messages.u.l->v[i];
        if (i + 1 == messages.u.l->n) m = tmpl_with(r, m, "content", content);
        tmpl_list_put(r, list, m);
    }
    return list;
}

/* As transformers does it: behind the last place where the message's text shows, with the blanks at
 * its end if the template kept them. An empty message shows nowhere, so a mark is rendered in its
 * place. */
int tmpl_cut_final(struct run *r, const struct tmpl_in *in, const struct input *x,
                   struct val messages, struct val *v)
{
    size_t     n    = messages.kind == V_LIST ? messages.u.l->n : 0;
    struct val last = n > 0 ? messages.u.l->v[n - 1] : VAL_MISSING, text = text_of(r, last);

    if (last.kind != V_DICT)
        return err_set(r->e, ERR_BAD_REQUEST, "continue_final_message: there is no final message");
    struct str want = text.kind == V_STR ? text.u.s->text : STR("");
    struct val head = tmpl_strip(r, tmpl_str_new(r, want, false).u.s, NULL, true, true);
    struct val body = tmpl_strip(r, tmpl_str_new(r, want, false).u.s, NULL, true, false);
    if (r->failed) return -(int)r->e->code;
    if (head.u.s->text.n == 0) {
        if (tmpl_exec_with(r, in, x, with_last(r, messages, tmpl_str_c(r, mark)), v) < 0)
            return -(int)r->e->code;
        size_t at = tmpl_find_last(r, v->u.s->text, str_c(mark), v->u.s->text.n);
        if (at != SIZE_MAX) *v = tmpl_str_sub(r, v->u.s, 0, at);
        if (at != SIZE_MAX && !r->failed) return 0;
    } else {
        struct str out = v->u.s->text;
        size_t     at  = tmpl_find_last(r, out, head.u.s->text, out.n);
        if (at != SIZE_MAX) {
            size_t len =
                str_starts(str_from(out, at), body.u.s->text) ? body.u.s->text.n : head.u.s->text.n;
            *v         = tmpl_str_sub(r, v->u.s, 0, at + len);
            if (!r->failed) return 0;
        }
    }
    if (r->failed) return -(int)r->e->code;
    return err_set(r->e, ERR_BAD_REQUEST,
                   "continue_final_message: the chat template does not show the final message");
}

/* --- repairs --- */

/* What is known to be lost or refused without it, whatever the template says on the spot. */
static bool wanted(const struct tmpl_caps *c, enum tmpl_repair what)
{
    switch (what) {
    case TMPL_REPAIR_DEVELOPER: return !c->developer;
    case TMPL_REPAIR_SYSTEM: return !c->late_system;
    case TMPL_REPAIR_FOLD: return !c->system;
    case TMPL_REPAIR_MERGE: return c->alternate;
    case TMPL_REPAIR_SPLIT: return c->tool_calls && !c->parallel_calls;
    case TMPL_REPAIR_CALLS: return !c->tool_calls || !c->tool_role;
    case TMPL_REPAIR_IDS: case TMPL_REPAIR_ARGS: case TMPL_REPAIR_CONTENT: case TMPL_REPAIR_TOOLS:
    break;
    }
    return false;
}

static int attempt(struct run *r, const struct tmpl_in *in, const struct input *x,
                   struct val messages, struct val *v)
{
    int rc = tmpl_exec_with(r, in, x, messages, v);

    return rc == 0 && in->continue_final ? tmpl_cut_final(r, in, x, messages, v) : rc;
}

/* One repair on all messages; false: it failed, or there was nothing to do. */
static bool apply(struct fix *f, const struct repair *how, struct val *messages, unsigned *done)
{
    f->changed       = false;
    struct val fixed = how->fix(f, messages->u.l);
    if (f->r->failed || !f->changed) return false;
    *messages = fixed;
    *done |= how->what;
    return true;
}

/* Put right what caps know, then repair by repair until the template accepts. */
static int render_repaired(struct run *r, const struct tmpl_in *in, struct input *x,
                           const struct tmpl_caps *caps, struct val *v, unsigned *done)
{
    struct fix f        = { .r = r, .x = x, .caps = caps };
    struct val messages = x->messages;

    if (messages.kind != V_LIST) return attempt(r, in, x, messages, v);
    messages = tmpl_fix_shape(&f, messages.u.l, done);
    for (size_t i = 0; i < TMPL_N_REPAIRS && !r->failed; i++)
        if (wanted(caps, tmpl_repairs[i].what)) apply(&f, &tmpl_repairs[i], &messages, done);
    if (caps->empty_tools && x->tools.kind == V_NONE) {
        x->tools = tmpl_list_new(r, V_LIST, 0);
        *done |= TMPL_REPAIR_TOOLS;
    }
    if (r->failed) return -(int)r->e->code;

    int        rc    = attempt(r, in, x, messages, v);
    struct err first = rc < 0 ? *r->e : (struct err){ 0 };
    for (size_t i = 0; i < TMPL_N_REPAIRS && (rc == -ERR_BAD_REQUEST || rc == -ERR_UNSUPP_VALUE);
         i++) {
        r->failed = false;
        r->fuel   = (int64_t)LIM_TMPL_STEPS * 16;
        if (apply(&f, &tmpl_repairs[i], &messages, done)) rc = attempt(r, in, x, messages, v);
        else if (r->failed) rc = -(int)r->e->code;
    }
    if (rc == -ERR_BAD_REQUEST || rc == -ERR_UNSUPP_VALUE) *r->e = first;
    return rc < 0 ? -(int)r->e->code : 0;
}

int tmpl_render_chat(const struct tmpl *t, const struct tmpl_caps *caps, const struct tmpl_in *in,
                     struct arena *a, struct tmpl_out *ret, struct err *e)
{
    struct err      own;
    struct run      r;
    struct input    x;
    struct val      v    = VAL_NONE;
    unsigned        done = 0;
    struct tmpl_out out  = { 0 };

    if (!e) e = &own;
    tmpl_run_init(&r, t, in, a, e);
    int rc = tmpl_input_load(&r, in, &x);
    if (rc == 0) rc = render_repaired(&r, in, &x, caps, &v, &done);
    if (rc == 0) rc = tmpl_pieces(&r, v.u.s, &out);
    tmpl_input_free(&x);
    if (rc < 0) return rc;
    out.repairs = done;
    *ret        = out;
    return 0;
}
