/* openapi_doc.c - the same as Markdown and as plain HTML: routes, and a table of fields for each kind of request. */
#include <string.h>

#include "api/openapi_int.h"
#include "base/limits.h"

#define TYPE_DEPTH 6 // of what a type's description looks into

struct page {
    struct buf    *b;
    bool           html;
    struct openapi o;
};

static void put_esc(struct page *p, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (p->html && c == '<') buf_str(p->b, STR("&lt;"));
        else if (p->html && c == '&') buf_str(p->b, STR("&amp;"));
        else if (!p->html && c == '|') buf_str(p->b, STR("\\|"));
        else buf_byte(p->b, c);
    }
}

static void cell(struct page *p, struct str s, bool code)
{
    if (p->html) buf_str(p->b, code ? STR("<td><code>") : STR("<td>"));
    else buf_str(p->b, code && s.n ? STR(" `") : STR(" "));
    put_esc(p, s);
    if (p->html) buf_str(p->b, code ? STR("</code></td>") : STR("</td>"));
    else buf_str(p->b, code && s.n ? STR("` |") : STR(" |"));
}

static void row_begin(struct page *p)
{
    buf_str(p->b, p->html ? STR("<tr>") : STR("|"));
}

static void row_end(struct page *p)
{
    buf_str(p->b, p->html ? STR("</tr>\n") : STR("\n"));
}

static void heading(struct page *p, struct str s)
{
    buf_str(p->b, p->html ? STR("<h2>") : STR("\n## "));
    put_esc(p, s);
    buf_str(p->b, p->html ? STR("</h2>\n") : STR("\n\n"));
}

static void table_begin(struct page *p, const char *const *name, size_t n)
{
    if (p->html) buf_str(p->b, STR("<table>\n"));
    row_begin(p);
    for (size_t i = 0; i < n; i++) {
        if (p->html) buf_printf(p->b, "<th>%s</th>", name[i]);
        else buf_printf(p->b, " %s |", name[i]);
    }
    row_end(p);
    if (p->html) return;
    buf_byte(p->b, '|');
    for (size_t i = 0; i < n; i++) buf_str(p->b, STR("---|"));
    buf_byte(p->b, '\n');
}

static void table_end(struct page *p)
{
    if (p->html) buf_str(p->b, STR("</table>\n"));
}

/* --- a schema in words --- */

static void put_range(struct buf *b, const struct json *schema)
{
    const struct json *min = json_get(schema, "minimum"), *max = json_get(schema, "maximum");

    if (min && max) buf_printf(b, " %g..%g", json_num(min), json_num(max));
    else if (min) buf_printf(b, " from %g", json_num(min));
}

static void put_type(struct buf *b, const struct json *schema, int depth)
{
    const struct json *any = json_get(schema, "anyOf"), *words = json_get(schema, "enum");
    struct str         ref = json_str(json_get(schema, "$ref")), type = json_str(json_get(schema, "type"));

    if (depth == 0) return;
    if (ref.n) {
        size_t at = ref.n;
        while (at > 0 && ref.p[at - 1] != '/') at--;
        buf_str(b, str_from(ref, at));
    } else if (any) {
        for (size_t i = 0; i < json_len(any); i++) {
            if (i) buf_str(b, STR(" or "));
            put_type(b, json_at(any, i), depth - 1);
        }
    } else if (words) {
        for (size_t i = 0; i < json_len(words); i++) {
            if (i) buf_str(b, STR(", "));
            buf_str(b, json_str(json_at(words, i)));
        }
    } else if (str_eq(type, STR("array"))) {
        buf_str(b, STR("array"));
        if (json_get(schema, "items")) buf_str(b, STR(" of "));
        put_type(b, json_get(schema, "items"), depth - 1);
    } else {
        buf_str(b, type);
        put_range(b, schema);
    }
}

static void put_field_type(const struct page *p, struct buf *b, const struct field *f, unsigned kind)
{
    switch (f->kind) {
    case FIELD_INT: buf_printf(b, "integer %.0f..%.0f", f->min, f->max); break;
    case FIELD_NUM: buf_printf(b, "number %g..%g", f->min, f->max); break;
    case FIELD_BOOL: buf_str(b, STR("boolean")); break;
    case FIELD_STR: buf_str(b, STR("string")); break;
    case FIELD_PARSE: put_type(b, json_get(openapi_field(&p->o, f, kind), "schema"), TYPE_DEPTH); break;
    case FIELD_IDLE:
    case FIELD_REFUSE: buf_str(b, STR("any")); break;
    }
}

static void put_field_default(const struct page *p, struct buf *b, const struct field *f, unsigned kind)
{
    const struct json *entry = f->kind == FIELD_PARSE ? openapi_field(&p->o, f, kind) : NULL;
    const struct json *text  = json_get(entry, "default_text"), *def = json_get(entry, "default");

    if (text) buf_str(b, json_str(text));
    else if (def) json_write(b, def, JSON_SPACED);
    else openapi_default(b, f, kind);
}

/* --- tables --- */

static void put_fields(struct page *p, unsigned kind)
{
    static const char *const head[] = { "field", "policy", "type", "default", "meaning" };
    struct buf               text;

    buf_init(&text, KIB(16));
    table_begin(p, head, ARRAY_LEN(head));
    for (size_t i = 0; i < field_count; i++) {
        const struct field *f = &field_table[i];
        if (!(f->apis & kind)) continue;
        row_begin(p);
        cell(p, str_c(f->name), true);
        cell(p, openapi_policy(&p->o, f, kind), false);
        buf_clear(&text);
        put_field_type(p, &text, f, kind);
        cell(p, buf_text(&text), false);
        buf_clear(&text);
        put_field_default(p, &text, f, kind);
        cell(p, buf_text(&text), true);
        cell(p, str_c(f->help), false);
        row_end(p);
    }
    table_end(p);
    p->b->failed |= text.failed;
    buf_release(&text);
}

static void put_routes(struct page *p)
{
    static const char *const head[] = { "method", "path", "request", "meaning" };
    const struct json       *paths  = json_get(p->o.root, "paths");
    char                     name[32];

    table_begin(p, head, ARRAY_LEN(head));
    for (size_t i = 0; route_at(i); i++) {
        const struct route *r = route_at(i);
        row_begin(p);
        cell(p, str_c(http_method_name(r->method)), false);
        cell(p, str_c(r->path), true);
        name[0] = 0;
        if (r->kind) openapi_kind(&p->o, (unsigned)r->kind, name);
        cell(p, str_c(name), false);
        cell(p, json_str(json_get(json_get(paths, r->path), "summary")), false);
        row_end(p);
    }
    table_end(p);
}

static void put_kinds(struct page *p)
{
    char       name[32];
    struct buf title;

    for (size_t i = 0; openapi_kind_at(i); i++) {
        const struct json *entry = openapi_kind(&p->o, openapi_kind_at(i), name);
        buf_init(&title, KIB(1));
        buf_str(&title, entry ? json_str(json_get(entry, "title")) : STR("Requests"));
        buf_printf(&title, ": %s", name);
        heading(p, buf_text(&title));
        buf_release(&title);
        put_fields(p, openapi_kind_at(i));
    }
}

static void put_notes(struct page *p)
{
    const struct json *notes = json_get(json_get(p->o.root, "info"), "notes");

    buf_str(p->b, p->html ? STR("<ul>\n") : STR("\n"));
    for (size_t i = 0; i < json_len(notes); i++) {
        buf_str(p->b, p->html ? STR("<li>") : STR("- "));
        put_esc(p, json_str(json_at(notes, i)));
        buf_str(p->b, p->html ? STR("</li>\n") : STR("\n"));
    }
    if (p->html) buf_str(p->b, STR("</ul>\n"));
}

static int put_page(struct page *p, struct err *e)
{
    int rc = openapi_open(&p->o, e);

    if (rc < 0) return rc;
    if (p->html) buf_str(p->b, STR("<p>"));
    put_esc(p, json_str(json_get(json_get(p->o.root, "info"), "description")));
    buf_str(p->b, p->html ? STR("</p>\n") : STR("\n"));
    put_notes(p);
    heading(p, STR("Routes"));
    put_routes(p);
    put_kinds(p);
    openapi_close(&p->o);
    return p->b->failed ? err_nomem(e, "describing the API") : 0;
}

int openapi_markdown(struct buf *b, struct err *e)
{
    struct page p = { .b = b };

    buf_str(b, STR("# The API\n\nMade by `curlew help --api` from the tables in src/api; a test fails when this page is "
                   "stale. A running server\nhas the same as `/openapi.json` and, to read in a browser, `/docs`.\n\n"));
    return put_page(&p, e);
}

int openapi_html(struct buf *b, struct err *e)
{
    struct page p = { .b = b, .html = true };

    buf_str(b, STR("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>curlew API</title>\n<style>"
                   "body{font:15px/1.4 sans-serif;max-width:75em;margin:2em auto;padding:0 1em}"
                   "table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.2em .5em;text-align:left;"
                   "vertical-align:top}</style></head><body>\n<h1>curlew API</h1>\n<p><a href=\"/openapi.json\">"
                   "openapi.json</a></p>\n"));
    int rc = put_page(&p, e);
    buf_str(b, STR("</body></html>\n"));
    return rc;
}
