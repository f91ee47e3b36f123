/* split_cli.c - one recorded output in, the message it means out: for the command line and tests. */
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "chat/split.h"
#include "json/json.h"

#define CALLS_MAX LIM_SPLIT_CALLS

struct cli_call {
    struct buf name, id, args;
};

struct cli {
    struct buf       text, think;
    struct cli_call *call; // [n_call] owned
    size_t           n_call, cap;
    bool             nomem;
};

static void cli_event(void *ctx, const struct chat_event *ev)
{
    struct cli *c = ctx;

    switch (ev->kind) {
    case CHAT_EV_TEXT:
        buf_str(&c->text, ev->text);
        return;
    case CHAT_EV_REASONING:
        buf_str(&c->think, ev->text);
        return;
    case CHAT_EV_CALL:
        if (c->nomem || mem_grow(&c->call, &c->cap, c->n_call + 1, sizeof *c->call, CALLS_MAX) != 0) {
            c->nomem = true;
            return;
        }
        struct cli_call *k = &c->call[c->n_call++];
        buf_init(&k->name, LIM_BODY_BYTES);
        buf_init(&k->id, LIM_BODY_BYTES);
        buf_init(&k->args, LIM_BODY_BYTES);
        buf_str(&k->name, ev->text);
        buf_str(&k->id, ev->id);
        return;
    case CHAT_EV_ARGS:
        if ((size_t)ev->index < c->n_call) buf_str(&c->call[ev->index].args, ev->text);
        return;
    case CHAT_EV_START:
    case CHAT_EV_VECTOR:
    case CHAT_EV_LOGPROB:
    case CHAT_EV_FINISH:
    case CHAT_EV_END:
    case CHAT_EV_ERROR:
        return;
    }
}

static bool cli_failed(const struct cli *c)
{
    bool bad = c->nomem || c->text.failed || c->think.failed;

    for (size_t i = 0; i < c->n_call; i++)
        bad |= c->call[i].name.failed || c->call[i].id.failed || c->call[i].args.failed;
    return bad;
}

static void cli_release(struct cli *c)
{
    buf_release(&c->text);
    buf_release(&c->think);
    for (size_t i = 0; i < c->n_call; i++) {
        buf_release(&c->call[i].name);
        buf_release(&c->call[i].id);
        buf_release(&c->call[i].args);
    }
    mem_free(c->call);
}

static void cli_write(const struct cli *c, struct buf *out)
{
    buf_str(out, STR("{\"content\": "));
    if (c->text.n || !c->n_call)
        json_put_str(out, buf_text(&c->text));
    else
        buf_str(out, STR("null"));
    if (c->think.n) {
        buf_str(out, STR(", \"reasoning_content\": "));
        json_put_str(out, buf_text(&c->think));
    }
    for (size_t i = 0; i < c->n_call; i++) {
        buf_str(out, i ? STR(", ") : STR(", \"tool_calls\": ["));
        buf_str(out, STR("{\"id\": "));
        json_put_str(out, buf_text(&c->call[i].id));
        buf_str(out, STR(", \"type\": \"function\", \"function\": {\"name\": "));
        json_put_str(out, buf_text(&c->call[i].name));
        buf_str(out, STR(", \"arguments\": "));
        json_put_str(out, buf_text(&c->call[i].args));
        buf_str(out, STR("}}"));
    }
    if (c->n_call) buf_byte(out, ']');
    buf_byte(out, '}');
}

/* The tools of an array in the API's form; the texts live in `a`. */
static int cli_tools(const struct json *list, struct arena *a, struct split_conf *conf, struct err *e)
{
    size_t n = json_len(list);

    if (n > LIM_TOOLS) return err_set(e, ERR_ARRAY_TOO_LONG, "%zu tools, the limit is %d", n, LIM_TOOLS);
    struct chat_tool *tool = arena_array(a, n + 1, sizeof *tool);
    if (!tool) return err_nomem(e, "tools");
    for (size_t i = 0; i < n; i++) {
        const struct json *fn = json_get(json_at(list, i), "function");
        if (!fn) fn = json_at(list, i);
        if (json_kind(json_get(fn, "name")) != JSON_T_STR)
            return err_set(e, ERR_INVALID_TYPE, "tools[%zu] has no name", i);
        tool[i].name = json_str(json_get(fn, "name"));
        if (!json_get(fn, "parameters")) continue;
        struct buf b;
        buf_init(&b, LIM_BODY_BYTES);
        json_write(&b, json_get(fn, "parameters"), JSON_TIGHT);
        if (!b.failed) tool[i].parameters = arena_str(a, buf_text(&b));
        buf_release(&b);
        if (!tool[i].parameters.p) return err_nomem(e, "tools");
    }
    conf->tool = tool;
    conf->n_tool = (int)n;
    conf->calls = n > 0;
    return 0;
}

static int cli_split(const struct split_conf *conf, struct str text, size_t piece, bool cut,
                     struct cli *c, struct err *e)
{
    struct split *s;
    int           rc = split_new(conf, &s, e);

    if (rc != 0) return rc;
    if (piece == 0 || piece > text.n) piece = text.n ? text.n : 1;
    for (size_t at = 0; at < text.n && rc == 0; at += piece)
        rc = split_put(s, str_sub(text, at, piece), cli_event, c, e);
    if (rc == 0) rc = split_end(s, cut, cli_event, c, e);
    if (rc == 0 && cli_failed(c)) rc = err_nomem(e, "a split message");
    split_free(s);
    return rc;
}

int split_cli_line(const struct split_form *f, struct str line, size_t piece, struct buf *out,
                   struct err *e)
{
    struct json_doc  *doc;
    struct split_conf conf;
    struct arena      a;
    struct cli        c = { 0 };
    int               rc = json_parse(line, NULL, &doc, e);

    if (rc != 0) return rc;
    const struct json *root = json_root(doc), *text = json_get(root, "output");
    arena_init(&a, LIM_REQ_ARENA);
    buf_init(&c.text, LIM_BODY_BYTES);
    buf_init(&c.think, LIM_BODY_BYTES);
    split_conf_init(&conf);
    conf.form = *f;
    conf.turn_marks = true;
    conf.prompt = json_str(json_get(root, "prompt_tail"));
    const struct json *parallel = json_get(root, "parallel_tool_calls");
    conf.parallel = json_kind(parallel) != JSON_T_BOOL || json_bool(parallel);
    if (!text) text = json_get(root, "raw");

    if (json_kind(text) != JSON_T_STR)
        rc = err_set(e, text ? ERR_INVALID_TYPE : ERR_MISSING_PARAM, "a line needs \"output\", a string");
    if (rc == 0 && json_kind(json_get(root, "tools")) == JSON_T_ARR)
        rc = cli_tools(json_get(root, "tools"), &a, &conf, e);
    if (rc == 0)
        rc = cli_split(&conf, json_str(text), piece, json_bool(json_get(root, "cut")), &c, e);
    if (rc == 0) {
        cli_write(&c, out);
        if (out->failed) rc = err_nomem(e, "a split message");
    }
    cli_release(&c);
    arena_release(&a);
    json_free(doc);
    return rc;
}
