/* tmpl_fuzz.c - any bytes as a template, rendered over a fixed conversation; up to the first NUL
 * the template, behind it (if it parses) the conversation. */
#include "fuzz.h"

#include "base/limits.h"
#include "chat/tmpl.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char fixed[] = "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
                                "\"content\":[{\"type\":\"text\",\"text\":\"a b\"}]},"
                                "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":"
                                "\"i\",\"type\":\"function\",\"function\":"
                                "{\"name\":\"n\",\"arguments\":{\"x\":1.5,\"y\":\"\xC3\xA9\"}}}]},{"
                                "\"role\":\"tool\",\"content\":\"42\"}]";
    struct str       all = { (const char *)data, size }, text = all, rest = STR_NULL;
    struct json_doc *doc = NULL;
    struct tmpl     *t   = NULL;
    struct tmpl_out  out;
    struct arena     a;
    struct err       e;

    size_t nul = str_find_byte(all, 0);
    if (nul != SIZE_MAX) {
        text = str_sub(all, 0, nul);
        rest = str_from(all, nul + 1);
    }
    if (tmpl_compile(STR("fuzz"), text, &t, &e) < 0) return 0;
    if (rest.n == 0 || json_parse(rest, NULL, &doc, &e) < 0)
        if (json_parse((struct str){ fixed, sizeof fixed - 1 }, NULL, &doc, &e) < 0) doc = NULL;
    if (doc) {
        struct tmpl_in in = { .messages = json_root(doc), .add_prompt = true };
        arena_init(&a, LIM_TMPL_ARENA);
        if (tmpl_render(t, &in, &a, &out, &e) == 0) {
            size_t n = 0;
            for (size_t i = 0; i < out.n_piece; i++) n += out.piece[i].text.n;
            FUZZ_CHECK(n == out.text.n);
        }
        arena_release(&a);
        json_free(doc);
    }
    tmpl_free(t);
    return 0;
}
