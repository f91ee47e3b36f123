/* reframe_fuzz.c - any bytes as another server's stream, cut anywhere, and as its whole reply. What gets through is
 * JSON in our frame, one line each. */
#include "fuzz.h"

#include <string.h>

#include "gateway/reframe.h"
#include "gateway/sse_read.h"
#include "json/json.h"

struct run {
    struct reframe r;
    struct buf     out;
};

static void check(const struct buf *out)
{
    struct json_limits lim = json_limits_default;
    struct json_doc   *d;
    struct err         e;

    lim.values = LIM_UPSTREAM_VALUES + 8;
    FUZZ_CHECK(!memchr(out->p, '\n', out->n) && !memchr(out->p, '\r', out->n));
    FUZZ_CHECK(json_parse(buf_text(out), &lim, &d, &e) == 0);
    FUZZ_CHECK(str_eq(json_str(json_get(json_root(d), "model")), STR("m")));
    json_free(d);
}

static bool on_event(void *ctx, struct str name, struct str data)
{
    struct run *run = ctx;
    struct err  e   = { .code = ERR_NONE };
    (void)name;

    if (reframe_event(&run->r, data, &run->out, &e) < 0) {
        FUZZ_CHECK(e.code == ERR_UPSTREAM && e.msg[0]);
        return false;
    }
    FUZZ_CHECK(run->r.n_open >= 0 && run->r.n_open <= run->r.n_seen && run->r.n_seen <= LIM_UPSTREAM_CHOICES);
    if (run->out.n) check(&run->out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reframe_fault f;
    struct sse_read      s;
    struct run           run = { .r = { .id = STR("i"), .model = STR("m"), .created = 1 } };
    struct err           e   = { .code = ERR_NONE };

    if (size < 2) return 0;
    size_t     step = data[0] + 1u;
    struct str text = { (const char *)data + 2, size - 2 };
    run.r.kind  = (enum reframe_kind)(data[1] & 3);
    run.r.usage = data[1] & 4;
    buf_init(&run.out, MIB(8));
    sse_read_init(&s, 4096);
    for (size_t at = 0; at < text.n; at += step)
        if (sse_read_put(&s, str_sub(text, at, step), on_event, &run, &e) < 0) break;
    sse_read_release(&s);
    if (reframe_end(&run.r, &e) < 0) FUZZ_CHECK(e.code == ERR_UPSTREAM);
    if (reframe_whole(&run.r, text, &run.out, &e) == 0) check(&run.out);
    else FUZZ_CHECK(e.code == ERR_UPSTREAM);
    reframe_fault(text, &f);
    FUZZ_CHECK(strlen(f.msg) < sizeof f.msg && !strpbrk(f.msg, "\r\n\x1b"));
    buf_release(&run.out);
    return 0;
}
