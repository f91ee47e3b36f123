/* cli_split.c - `curlew split`: recorded answers into content, reasoning and tool calls. */
#include "base/limits.h"
#include "chat/split.h"
#include "os/fd.h"
#include "prog/cli.h"

#define COMMAND "split"

struct job {
    struct split_form form;
    size_t            piece;
};

static int split_line(void *ctx, struct str line, struct buf *out, struct err *e)
{
    const struct job *j = ctx;

    return split_cli_line(&j->form, line, j->piece, out, e);
}

static int print_formats(void)
{
    struct buf b;
    struct err e;

    buf_init(&b, KIB(64));
    for (size_t i = 0; split_form_list(i); i++) buf_printf(&b, "%s\n", split_form_list(i));
    int rc = b.failed ? err_nomem(&e, "listing the formats") : cli_write(buf_text(&b), &e);
    buf_release(&b);
    return rc < 0 ? cli_failed(COMMAND, &e) : PROG_OK;
}

static int from_template(const char *path, struct split_form *ret, struct err *e)
{
    struct arena a;
    struct str   text;

    arena_init(&a, LIM_TMPL_BYTES + KIB(64));
    int rc = fd_read_file(path, LIM_TMPL_BYTES, &a, &text, e);
    if (rc == 0) *ret = split_detect(text);
    arena_release(&a);
    return rc;
}

int cli_split(const struct settings *s)
{
    struct job j = { .piece = (size_t)s->pieces };
    struct err e;

    if (!s->format && !s->tmpl)
        return cli_usage(COMMAND, "no format: name one with --format NAME (--format list prints them), or a "
                         "template with --template FILE.jinja");
    if (s->format && s->tmpl) return cli_usage(COMMAND, "--format and --template: one of them is wanted");
    if (s->tmpl) {
        if (from_template(s->tmpl, &j.form, &e) < 0) return cli_failed(COMMAND, &e);
    } else if (str_eq(str_c(s->format), STR("list"))) {
        return print_formats();
    } else if (!split_form_by_name(str_c(s->format), &j.form)) {
        return cli_usage(COMMAND, "--format: \"%.60s\" is not known; --format list prints the names", s->format);
    }
    return cli_lines(COMMAND, split_line, &j);
}
