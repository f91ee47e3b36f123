/* tmpl_cli.c - one line of `curlew template`: JSON in, JSON out. For people who try a template, and
 * for the tests that compare with other renderers. */
#include "chat/tmpl_int.h"

/* Days from 1970-01-01 to a date of the Gregorian calendar. Source: Hinnant, "chrono-Compatible
 * Low-Level Date Algorithms", 2013: years begin in March, so that the odd day is the last. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    if (m <= 2) y--;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool digits(struct str s, size_t at, size_t n, int64_t *ret)
{
    uint64_t v = 0;

    if (at + n > s.n || !str_to_u64(str_sub(s, at, n), &v)) return false;
    *ret = (int64_t)v;
    return true;
}

/* "2026-01-15T10:20:30" (or with a blank, or only the date) as civil seconds. */
static bool parse_now(struct str s, int64_t *ret)
{
    int64_t y, mon, d, h = 0, min = 0, sec = 0;

    if (!digits(s, 0, 4, &y) || !digits(s, 5, 2, &mon) || !digits(s, 8, 2, &d)) return false;
    if (s.n > 10 && (!digits(s, 11, 2, &h) || !digits(s, 14, 2, &min))) return false;
    if (s.n > 16 && !digits(s, 17, 2, &sec)) return false;
    if (mon < 1 || mon > 12 || d < 1 || d > 31 || h > 23 || min > 59 || sec > 60) return false;
    *ret = days_of(y, mon, d) * 86400 + h * 3600 + min * 60 + sec;
    return true;
}

static int render_line(const struct tmpl *t, const struct json *j, bool repair, struct arena *a,
                       struct tmpl_out *out, struct err *e)
{
    const struct json *now = json_get(j, "now");
    struct tmpl_in     in  = { .messages       = json_get(j, "messages"),
                               .tools          = json_get(j, "tools"),
                               .documents      = json_get(j, "documents"),
                               .kwargs         = json_get(j, "kwargs"),
                               .trust_kwargs   = true,
                               .continue_final = json_bool(json_get(j, "continue_final_message")),
                               .add_prompt     = json_bool(json_get(j, "add_generation_prompt")) };

    if (json_kind(j) != JSON_T_OBJ) return err_set(e, ERR_BAD_REQUEST, "a line must be an object");
    if (json_kind(now) == JSON_T_INT) in.now_s = json_int(now);
    else if (json_kind(now) == JSON_T_STR && !parse_now(json_str(now), &in.now_s))
        return err_set(e, ERR_BAD_REQUEST, "now must look like 2026-01-15T10:20:30");
    if (!repair) return tmpl_render(t, &in, a, out, e);
    struct tmpl_caps caps;
    tmpl_caps(t, &caps);
    return tmpl_render_chat(t, &caps, &in, a, out, e);
}

int tmpl_cli_line(const struct tmpl *t, struct str line, bool repair, struct buf *out)
{
    struct arena     a;
    struct err       e   = { 0 };
    struct json_doc *doc = NULL;
    struct tmpl_out  text = { 0 };

    arena_init(&a, LIM_TMPL_ARENA);
    int rc = json_parse(line, NULL, &doc, &e);
    if (rc == 0) rc = render_line(t, json_root(doc), repair, &a, &text, &e);
    buf_str(out, rc == 0 ? STR("{\"text\": ") : STR("{\"error\": "));
    json_put_str(out, rc == 0 ? text.text : str_c(e.msg));
    buf_str(out, STR("}\n"));
    json_free(doc);
    arena_release(&a);
    return out->failed ? -ERR_NO_MEMORY : 0;
}
