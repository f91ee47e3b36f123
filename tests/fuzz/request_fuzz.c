/* request_fuzz.c - any bytes as a request's body: JSON, then the table of fields. What is accepted is
 * within its limits and survives the way to a worker. */
#include "fuzz.h"

#include <math.h>
#include <string.h>

#include "api/request.h"
#include "base/limits.h"

static void parse(struct str body, enum api_kind kind)
{
    struct arena    a;
    struct api_req  q;
    struct chat_req r;
    struct buf      b;
    struct err      e = { .code = ERR_NONE };

    arena_init(&a, MIB(64));
    buf_init(&b, MIB(64));
    if (api_req_parse(body, kind, &a, &q, &e) == 0) {
        FUZZ_CHECK(q.r.n_choice >= 1 && q.r.n_choice <= LIM_CHOICES && q.r.n_stop <= LIM_STOPS);
        FUZZ_CHECK(isfinite(q.r.params.temperature) && q.r.params.temperature >= 0 && q.r.params.temperature <= 2);
        FUZZ_CHECK(strlen(q.ignored) < sizeof q.ignored && !strpbrk(q.ignored, "\r\n"));
        chat_req_pack(&b, &q.r);
        FUZZ_CHECK(!b.failed && chat_req_unpack(buf_text(&b), &a, &r, &e) == 0);
    } else {
        FUZZ_CHECK(e.code != ERR_NONE && e.msg[0]);
    }
    arena_release(&a);
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = { (const char *)data, size };

    parse(body, API_CHAT);
    parse(body, API_COMPLETION);
    parse(body, API_TEXT);
    parse(body, API_INFILL);
    parse(body, API_NATIVE);
    return 0;
}
