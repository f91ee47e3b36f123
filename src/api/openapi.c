/* openapi.c - the OpenAPI document (version 3.1.1, JSON Schema 2020-12). */
#include "api/openapi.h"

#include <string.h>

#include "api/openapi_int.h"
#include "base/limits.h"

extern const char   embed_openapi_json[];
extern const size_t embed_openapi_json_n;

int openapi_open(struct openapi *o, struct err *e)
{
    int rc = json_parse((struct str){ embed_openapi_json, embed_openapi_json_n }, NULL, &o->doc, e);

    if (rc < 0) return rc;
    o->root = json_root(o->doc);
    return 0;
}

void openapi_close(struct openapi *o)
{
    json_free(o->doc);
}

const struct json *openapi_kind(const struct openapi *o, unsigned kind, char name[32])
{
    char number[16];

    snprintf(number, sizeof number, "%u", kind);
    const struct json *k = json_get(json_get(o->root, "kinds"), number);
    if (k) str_copy_z(name, 32, json_str(json_get(k, "name")));
    else snprintf(name, 32, "Request%u", kind);
    return k;
}

const struct json *openapi_field(const struct openapi *o, const struct field *f, unsigned kind)
{
    const struct json *fields = json_get(o->root, "fields"), *own;
    char               name[32], key[ERR_PARAM_MAX + 32];

    openapi_kind(o, kind, name);
    snprintf(key, sizeof key, "%s.%s", name, f->name);
    own = json_get(fields, key);
    return own ? own : json_get(fields, f->name);
}

struct str openapi_policy(const struct openapi *o, const struct field *f, unsigned kind)
{
    struct str told = json_str(json_get(openapi_field(o, f, kind), "policy"));

    if (f->kind == FIELD_IDLE) return STR("ignored");
    if (f->kind == FIELD_REFUSE) return STR("refused");
    return told.n ? told : STR("obeyed");
}

bool openapi_default(struct buf *b, const struct field *f, unsigned kind)
{
    struct api_req q;
    const char    *at = (const char *)&q + f->offset;
    float          x;
    int            n;
    bool           on;

    api_req_init((enum api_kind)kind, &q);
    if (f->kind == FIELD_NUM) {
        memcpy(&x, at, sizeof x);
        buf_printf(b, "%g", (double)x);
    } else if (f->kind == FIELD_INT) {
        memcpy(&n, at, sizeof n);
        if (n < f->min) return false; // stands for absent
        buf_printf(b, "%d", n);
    } else if (f->kind == FIELD_BOOL) {
        memcpy(&on, at, sizeof on);
        buf_str(b, on ? STR("true") : STR("false"));
    } else {
        return false;
    }
    return true;
}

static bool earlier(size_t at, unsigned kind)
{
    for (size_t i = 0; i < at; i++)
        if (route_at(i)->method == HTTP_POST && (unsigned)route_at(i)->kind == kind) return true;
    return false;
}

unsigned openapi_kind_at(size_t i)
{
    for (size_t k = 0; route_at(k); k++) {
        unsigned kind = (unsigned)route_at(k)->kind;
        if (route_at(k)->method != HTTP_POST || !kind || earlier(k, kind)) continue;
        if (i-- == 0) return kind;
    }
    return 0;
}

/* --- fields --- */

static void put_member(struct buf *b, const char *name, struct str text)
{
    buf_printf(b, "\"%s\":", name);
    json_put_str(b, text);
}

static void put_parsed(struct buf *b, const struct json *entry)
{
    const struct json *schema = json_get(entry, "schema"), *def = json_get(entry, "default");

    if (!schema) return;
    buf_str(b, STR(",\"anyOf\":["));
    json_write(b, schema, JSON_TIGHT);
    buf_str(b, STR(",{\"type\":\"null\"}]"));
    if (!def) return;
    buf_str(b, STR(",\"default\":"));
    json_write(b, def, JSON_TIGHT);
}

static void put_field(const struct openapi *o, struct buf *b, const struct field *f, unsigned kind)
{
    buf_str(b, STR("{"));
    put_member(b, "description", str_c(f->help));
    buf_byte(b, ',');
    put_member(b, "x-curlew-policy", openapi_policy(o, f, kind));
    switch (f->kind) {
    case FIELD_INT:
        buf_printf(b, ",\"type\":[\"integer\",\"null\"],\"minimum\":%.0f,\"maximum\":%.0f", f->min, f->max);
        break;
    case FIELD_NUM: buf_printf(b, ",\"type\":[\"number\",\"null\"],\"minimum\":%g,\"maximum\":%g", f->min, f->max); break;
    case FIELD_BOOL: buf_str(b, STR(",\"type\":[\"boolean\",\"null\"]")); break;
    case FIELD_STR: buf_str(b, STR(",\"type\":[\"string\",\"null\"]")); break;
    case FIELD_PARSE: put_parsed(b, openapi_field(o, f, kind)); break;
    case FIELD_IDLE:
    case FIELD_REFUSE: break;
    }
    size_t at = b->n;
    buf_str(b, STR(",\"default\":"));
    if (!openapi_default(b, f, kind) && b->n > at) b->n = at;
    buf_byte(b, '}');
}

static void put_request(const struct openapi *o, struct buf *b, unsigned kind)
{
    char               name[32];
    const struct json *entry = openapi_kind(o, kind, name);
    bool               first = true;

    buf_printf(b, "\"%s\":{\"type\":\"object\",\"required\":", name);
    if (entry) json_write(b, json_get(entry, "required"), JSON_TIGHT);
    else buf_str(b, STR("[]"));
    buf_str(b, STR(",\"properties\":{"));
    for (size_t i = 0; i < field_count; i++) {
        const struct field *f = &field_table[i];
        if (!(f->apis & kind)) continue;
        if (!first) buf_byte(b, ',');
        first = false;
        buf_printf(b, "\"%s\":", f->name);
        put_field(o, b, f, kind);
    }
    buf_str(b, STR("}}"));
}

/* --- routes --- */

static void put_schema_ref(struct buf *b, const char *type, struct str name)
{
    buf_printf(b, "\"%s\":{\"schema\":{\"$ref\":\"#/components/schemas/" STR_FMT "\"}}", type, STR_ARG(name));
}

static void put_replies(struct buf *b, const struct json *entry)
{
    struct str reply = json_str(json_get(entry, "reply")), event = json_str(json_get(entry, "event"));
    struct str type = json_str(json_get(entry, "type"));

    buf_str(b, STR("\"responses\":{\"200\":{\"description\":\"Done.\",\"content\":{"));
    if (reply.n) put_schema_ref(b, "application/json", reply);
    else buf_printf(b, "\"" STR_FMT "\":{}", STR_ARG(type.n ? type : STR("application/json")));
    if (event.n) buf_byte(b, ',');
    if (event.n) put_schema_ref(b, "text/event-stream", event);
    buf_str(b, STR("}},\"default\":{\"description\":\"An error.\",\"content\":{"));
    put_schema_ref(b, "application/json", STR("Error"));
    buf_str(b, STR("}}}"));
}

/* "/v1/models/{name}" of a pattern that ends in a star; as an operation's id: what is no letter becomes '_'. */
static void put_path(struct buf *b, const char *path, bool id)
{
    for (const char *p = path; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (*p == '*' && p[1] == '*') continue; // of segments there may be several
        if (*p == '*') buf_str(b, id ? STR("name") : STR("{name}"));
        else buf_byte(b, id && !letter ? '_' : *p);
    }
}

static void put_operation(const struct openapi *o, struct buf *b, const struct route *r)
{
    const struct json *entry = json_get(json_get(o->root, "paths"), r->path);
    struct str         method = str_c(http_method_name(r->method));
    char               name[32];

    buf_byte(b, '"');
    for (size_t i = 0; i < method.n; i++) buf_byte(b, (char)(method.p[i] | 0x20));
    buf_str(b, STR("\":{\"operationId\":\""));
    buf_str(b, method);
    put_path(b, r->path, true);
    buf_str(b, STR("\","));
    put_member(b, "summary", entry ? json_str(json_get(entry, "summary")) : STR(""));
    if (r->path[strlen(r->path) - 1] == '*')
        buf_str(b, STR(",\"parameters\":[{\"name\":\"name\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\"}}]"));
    struct str own = json_str(json_get(entry, "request")); // of a dialect that translates
    if (r->kind || own.n) {
        if (own.n) str_copy_z(name, sizeof name, own);
        else openapi_kind(o, (unsigned)r->kind, name);
        buf_str(b, STR(",\"requestBody\":{\"required\":true,\"content\":{"));
        put_schema_ref(b, "application/json", str_c(name));
        buf_str(b, STR("}}"));
    }
    buf_byte(b, ',');
    put_replies(b, entry);
    buf_byte(b, '}');
}

static bool path_seen(size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (!strcmp(route_at(i)->path, route_at(at)->path)) return true;
    return false;
}

static void put_paths(const struct openapi *o, struct buf *b)
{
    bool first = true;

    for (size_t i = 0; route_at(i); i++) {
        if (path_seen(i)) continue;
        buf_str(b, first ? STR("\"") : STR(",\""));
        first = false;
        put_path(b, route_at(i)->path, false);
        buf_str(b, STR("\":{"));
        for (size_t k = i, n = 0; route_at(k); k++) {
            if (strcmp(route_at(k)->path, route_at(i)->path) != 0) continue;
            if (n++) buf_byte(b, ',');
            put_operation(o, b, route_at(k));
        }
        buf_byte(b, '}');
    }
}

/* The text and its notes as a list, in Markdown. */
static void put_description(struct buf *b, const struct json *info)
{
    const struct json *notes = json_get(info, "notes");

    buf_str(b, STR("\"description\":\""));
    json_put_esc(b, json_str(json_get(info, "description")));
    for (size_t i = 0; i < json_len(notes); i++) {
        buf_str(b, i ? STR("\\n- ") : STR("\\n\\n- "));
        json_put_esc(b, json_str(json_at(notes, i)));
    }
    buf_byte(b, '"');
}

int openapi_write(struct buf *b, struct err *e)
{
    struct openapi     o;
    int                rc = openapi_open(&o, e);
    const struct json *info;

    if (rc < 0) return rc;
    info = json_get(o.root, "info");
    buf_str(b, STR("{\"openapi\":\"3.1.1\",\"info\":{"));
    put_member(b, "title", json_str(json_get(info, "title")));
    buf_byte(b, ',');
    put_description(b, info);
    buf_str(b, STR(",\"version\":\"" CURLEW_VERSION "\"},\"servers\":[{\"url\":\"/\"}],\"paths\":{"));
    put_paths(&o, b);
    buf_str(b, STR("},\"components\":{\"schemas\":{"));
    for (size_t i = 0; openapi_kind_at(i); i++) {
        put_request(&o, b, openapi_kind_at(i));
        buf_byte(b, ',');
    }
    for (struct json_it it = json_it(json_get(o.root, "schemas")); json_next(&it);) {
        if (it.key.p && b->n && b->p[b->n - 1] == '}') buf_byte(b, ',');
        json_put_str(b, it.key);
        buf_byte(b, ':');
        json_write(b, it.val, JSON_TIGHT);
    }
    buf_str(b, STR("}}}"));
    openapi_close(&o);
    return b->failed ? err_nomem(e, "describing the API") : 0;
}
