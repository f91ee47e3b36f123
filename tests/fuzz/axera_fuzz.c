/* axera_fuzz.c - any bytes as a run script, as a child's lines and as its HTTP: bounded, and the same whatever the
 * pieces. The first byte chooses the reader. */
#include "fuzz.h"

#include <string.h>

#include "base/limits.h"
#include "engines/axera/axera_http.h"
#include "engines/axera/axera_log.h"
#include "engines/axera/axera_script.h"

static void script(struct str in)
{
    struct axera_script s;
    struct arena        a;
    struct err          e;

    arena_init(&a, MIB(16));
    if (axera_script_parse(in, "run.sh", &a, &s, &e) == 0) {
        FUZZ_CHECK(s.n_word >= 1 && s.n_word <= AXERA_WORDS && s.n_env <= AXERA_VARS);
        for (int i = 0; i < s.n_word; i++) FUZZ_CHECK(strlen(s.word[i]) <= AXERA_WORD_BYTES);
    }
    arena_release(&a);
}

static void put(void *ctx, struct str line)
{
    buf_str(ctx, line);
    buf_byte(ctx, '\n');
}

static void lines(struct str in, size_t piece, struct buf *out)
{
    struct axera_log l;

    axera_log_init(&l);
    for (size_t at = 0; at < in.n; at += piece) axera_log_put(&l, str_sub(in, at, piece), put, out);
    buf_str(out, buf_text(&l.line));
    axera_log_release(&l);
}

static void http(struct str in, bool request, size_t piece, struct buf *out)
{
    struct axera_http h;
    struct err        e;
    size_t            used;

    axera_http_init(&h, request);
    for (size_t at = 0; at < in.n; at += used) {
        if (axera_http_feed(&h, str_sub(in, at, piece), &used, &e) < 0) {
            buf_str(out, STR("refused"));
            break;
        }
        FUZZ_CHECK(used > 0 && h.body.n <= AXERA_HTTP_BODY && h.head.n <= AXERA_HTTP_HEAD);
        if (h.state != AXERA_HTTP_DONE) continue;
        buf_printf(out, "%d %zu ", h.status, h.body.n);
        axera_http_next(&h);
    }
    axera_http_release(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf one, many;

    if (size == 0) return 0;
    struct str in = { (const char *)data + 1, size - 1 };
    if (data[0] % 4 == 0) {
        script(in);
        return 0;
    }
    buf_init(&one, MIB(64));
    buf_init(&many, MIB(64));
    if (data[0] % 4 == 1) {
        lines(in, SIZE_MAX / 2, &one);
        lines(in, 1, &many);
    } else {
        http(in, data[0] % 4 == 2, SIZE_MAX / 2, &one);
        http(in, data[0] % 4 == 2, 1, &many);
    }
    FUZZ_CHECK(str_eq(buf_text(&one), buf_text(&many)));
    buf_release(&one);
    buf_release(&many);
    return 0;
}
