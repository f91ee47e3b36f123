/* tmpl_driver.c - render templates given line by line, for tmpl_diff.py.
 *
 * In: {"template": "...", and what tmpl_cli_line takes}; out: what tmpl_cli_line gives. One line
 * each.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "chat/tmpl.h"
#include "json/json.h"

static void one(struct str line, struct buf *out)
{
    struct json_doc *doc = NULL;
    struct tmpl     *t   = NULL;
    struct err       e   = { 0 };

    buf_clear(out);
    int rc = json_parse(line, NULL, &doc, &e);
    if (rc == 0)
        rc = tmpl_compile(STR("test"), json_str(json_get(json_root(doc), "template")), &t, &e);
    if (rc == 0) {
        rc = tmpl_cli_line(t, line, false, out);
    } else {
        buf_str(out, STR("{\"error\": "));
        json_put_str(out, str_c(e.msg));
        buf_str(out, STR("}\n"));
    }
    tmpl_free(t);
    json_free(doc);
}

int main(void)
{
    struct buf out;
    char      *line = NULL;
    size_t     cap  = 0;

    buf_init(&out, GIB(1));
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        one((struct str){ line, (size_t)n }, &out);
        fwrite(out.p, 1, out.n, stdout);
        fflush(stdout);
    }
    free(line);
    buf_release(&out);
    return 0;
}
