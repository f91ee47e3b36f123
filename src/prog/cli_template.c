/* cli_template.c - `curlew template`: conversations through a chat template. */
#include "base/limits.h"
#include "chat/tmpl.h"
#include "json/json.h"
#include "os/fd.h"
#include "prog/cli.h"

#define COMMAND "template"

struct job {
    struct tmpl *tmpl;
    struct tok  *tok; // of the model, or NULL
    bool         repair;
};

static int render(const struct job *j, struct str line, struct buf *out, struct err *e)
{
    if (tmpl_cli_line(j->tmpl, line, j->repair, out) < 0) return err_nomem(e, "writing the output");
    if (out->n && out->p[out->n - 1] == '\n') out->n--; // cli_lines adds it
    return 0;
}

static void put_var(struct buf *b, const char *name, const struct tok *t, int32_t id, const struct json *kwargs)
{
    if (json_get(kwargs, name)) return;
    json_put_str(b, str_c(name));
    buf_byte(b, ':');
    json_put_str(b, id >= 0 ? tok_name(t, id) : STR(""));
    buf_byte(b, ',');
}

/* The line with bos_token and eos_token of the model among its kwargs, where the line does not name them. */
static void add_vars(struct buf *b, const struct tok *t, const struct json *line)
{
    const struct json *kwargs = json_get(line, "kwargs");

    buf_str(b, STR("{\"kwargs\":{"));
    put_var(b, "bos_token", t, tok_bos(t), kwargs);
    put_var(b, "eos_token", t, tok_eos(t), kwargs);
    for (struct json_it it = json_it(kwargs); json_next(&it);) {
        json_put_str(b, it.key);
        buf_byte(b, ':');
        json_write(b, it.val, JSON_TIGHT);
        buf_byte(b, ',');
    }
    if (b->n && b->p[b->n - 1] == ',') b->n--;
    buf_byte(b, '}');
    for (struct json_it it = json_it(line); json_next(&it);) {
        if (str_eq(it.key, STR("kwargs"))) continue;
        buf_byte(b, ',');
        json_put_str(b, it.key);
        buf_byte(b, ':');
        json_write(b, it.val, JSON_TIGHT);
    }
    buf_byte(b, '}');
}

static int template_line(void *ctx, struct str line, struct buf *out, struct err *e)
{
    const struct job *j = ctx;
    struct json_doc  *doc;
    struct buf        full;
    int               rc = json_parse(line, NULL, &doc, e);

    if (rc < 0) return rc;
    const struct json *root = json_root(doc), *kwargs = json_get(root, "kwargs");
    if (json_kind(kwargs) != JSON_T_OBJ && json_kind(kwargs) != JSON_T_NULL) {
        rc = err_set(e, ERR_INVALID_TYPE, "kwargs is %s, an object is wanted", json_kind_name(json_kind(kwargs)));
    } else if (!j->tok || json_kind(root) != JSON_T_OBJ) {
        rc = render(j, line, out, e);
    } else {
        buf_init(&full, line.n * 2 + KIB(64));
        add_vars(&full, j->tok, root);
        rc = full.failed ? err_nomem(e, "reading a line") : render(j, buf_text(&full), out, e);
        buf_release(&full);
    }
    json_free(doc);
    return rc;
}

static int from_file(const char *path, struct tmpl **ret, struct err *e)
{
    struct arena a;
    struct str   text;

    arena_init(&a, LIM_TMPL_BYTES + KIB(64));
    int rc = fd_read_file(path, LIM_TMPL_BYTES, &a, &text, e);
    if (rc == 0) rc = tmpl_compile(str_c(path), text, ret, e);
    arena_release(&a);
    return rc;
}

int cli_template(const struct settings *s)
{
    struct cli_vocab v = { 0 };
    struct job       j = { .repair = s->repair };
    struct err       e;
    int              rc;

    if (s->file) { // a CURLEW_MODEL of the environment does not matter then
        rc = from_file(s->file, &j.tmpl, &e);
    } else if (s->model.n == 0) {
        return cli_usage(COMMAND, "no template: name one with --file FILE.jinja, or a model with --model FILE");
    } else {
        const char *path = cli_model(COMMAND, s);
        if (!path) return PROG_USAGE;
        rc = cli_vocab_open(path, true, &v, &e);
        if (rc == 0) rc = cli_vocab_tmpl(&v, &j.tmpl, &e);
        j.tok = v.tok;
    }
    int status = rc < 0 ? cli_failed(COMMAND, &e) : cli_lines(COMMAND, template_line, &j);
    tmpl_free(j.tmpl);
    cli_vocab_close(&v);
    return status;
}
