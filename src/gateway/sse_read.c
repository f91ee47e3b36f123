/* sse_read.c - lines, then fields, then events. */
#include "gateway/sse_read.h"

void sse_read_init(struct sse_read *s, size_t event_max)
{
    *s = (struct sse_read){ .began = false };
    buf_init(&s->line, event_max);
    buf_init(&s->data, event_max);
    buf_init(&s->name, event_max);
}

void sse_read_release(struct sse_read *s)
{
    buf_release(&s->line);
    buf_release(&s->data);
    buf_release(&s->name);
}

static bool event(struct sse_read *s, sse_read_fn *fn, void *ctx)
{
    bool more = true;

    if (s->has_data) more = fn(ctx, buf_text(&s->name), buf_text(&s->data)); // without data there is no event
    s->has_data = false;
    buf_clear(&s->data);
    buf_clear(&s->name);
    return more;
}

static void field(struct sse_read *s, struct str line)
{
    struct str value = line, name;

    str_cut(&value, ':', &name);
    if (!value.p) value = STR("");
    if (value.n && value.p[0] == ' ') value = str_from(value, 1);
    if (str_eq(name, STR("data"))) {
        if (s->has_data) buf_byte(&s->data, '\n');
        s->has_data = true;
        buf_str(&s->data, value);
    } else if (str_eq(name, STR("event"))) {
        buf_clear(&s->name);
        buf_str(&s->name, value);
    }
}

static int too_large(const struct sse_read *s, struct err *e)
{
    return err_set(e, ERR_TOO_LARGE, "an event has more than %zu bytes", s->line.max);
}

int sse_read_put(struct sse_read *s, struct str bytes, sse_read_fn *fn, void *ctx, struct err *e)
{
    for (size_t at = 0; at < bytes.n;) {
        bool second = s->after_cr && bytes.p[at] == '\n'; // of a line's end that began with CR
        s->after_cr = false;
        at += second;
        size_t begin = at;
        while (at < bytes.n && bytes.p[at] != '\n' && bytes.p[at] != '\r') at++;
        buf_put(&s->line, bytes.p + begin, at - begin);
        if (s->line.failed) return too_large(s, e);
        if (at == bytes.n) break; // its end comes later
        s->after_cr     = bytes.p[at++] == '\r';
        struct str line = buf_text(&s->line);
        if (!s->began && str_starts(line, STR("\xEF\xBB\xBF"))) line = str_from(line, 3);
        s->began  = true;
        bool more = line.n || event(s, fn, ctx);
        if (line.n) field(s, line);
        buf_clear(&s->line);
        if (s->data.failed || s->name.failed) return too_large(s, e);
        if (!more) return 0;
    }
    return 0;
}
