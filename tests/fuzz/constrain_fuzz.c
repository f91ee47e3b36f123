/* constrain_fuzz.c - any text as a schema, grammar or regular expression, and any text held to it.
 *
 * The first line names the form and its settings, up to the first NUL is the form, the rest the text. Masks
 * agree with steps; what a schema's grammar takes whole is JSON; what a mask allows at random can go on.
 */
#include "fuzz.h"

#include <string.h>

#include "base/limits.h"
#include "base/rng.h"
#include "constrain/constrain.h"
#include "json/json.h"

#define TEXT_MAX KIB(16)
#define STEPS    64

static struct tok             *tok;
static struct constrain_vocab *vocab;

static bool allowed(const uint64_t *mask, int id)
{
    return mask[id / 64] >> (id % 64) & 1;
}

/* The text as far as it fits; false after an error (a limit of the form's). */
static bool follow(struct constrain_run *r, struct str text, bool *all)
{
    struct err      e;
    const uint64_t *mask;

    *all = true;
    for (size_t i = 0; i < text.n && *all; i++) {
        int  byte = (unsigned char)text.p[i];
        bool in = false, must = constrain_must_end(r);
        if (i < STEPS && !must) {
            if (constrain_mask(r, &mask, &e) < 0) return false;
            FUZZ_CHECK(allowed(mask, 256) == constrain_may_end(r));
            in = allowed(mask, byte);
        }
        if (constrain_token(r, byte, all, &e) < 0) return false;
        FUZZ_CHECK(must ? !*all : i >= STEPS || in == *all);
    }
    return true;
}

static void wander(struct constrain *c, uint64_t seed)
{
    struct constrain_run r;
    struct rng           rng;
    struct err           e;
    const uint64_t      *mask;
    bool                 fits;

    rng_seed(&rng, seed);
    if (constrain_start(&r, c, &e) < 0) return;
    for (int i = 0; i < STEPS; i++) {
        int some = -1, seen = 0;
        if (constrain_mask(&r, &mask, &e) < 0) {
            FUZZ_CHECK(!strstr(e.msg, "no token of this model")); // a dead end
            break;
        }
        for (int id = 0; id < 256; id++)
            if (allowed(mask, id) && rng_below(&rng, (uint64_t)++seen) == 0) some = id;
        if (some < 0) {
            FUZZ_CHECK(constrain_must_end(&r));
            break;
        }
        if (constrain_token(&r, some, &fits, &e) < 0) break;
        FUZZ_CHECK(fits);
    }
    constrain_stop(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct chat_tool other = { .name = { "other", 5 } };
    struct str                    in    = { (const char *)data, size }, head, form;
    struct constrain             *c;
    struct constrain_run          r;
    struct err                    e;
    bool                          all;

    if (!tok) FUZZ_CHECK(tok_from_bytes(&tok, &e) == 0 && constrain_vocab_new(tok, 257, &vocab, &e) == 0);
    if (size > TEXT_MAX || !str_cut(&in, '\n', &head)) return 0;
    if (!str_cut(&in, 0, &form)) return 0;
    unsigned              pick = head.n ? (unsigned char)head.p[0] : 0;
    struct chat_tool      tool[2] = { { .name = { "f", 1 }, .parameters = form, .strict = pick & 8 }, other };
    struct constrain_conf conf    = { .kind = pick % 5 + CONSTRAIN_SCHEMA, .text = form, .param = "f", .loose = pick & 16, .open = pick & 32 };
    if (head.n && head.p[0] >= '0' && head.p[0] <= '4') conf.kind = (enum constrain_kind)(head.p[0] - '0') + CONSTRAIN_SCHEMA;
    if (conf.kind >= CONSTRAIN_CALLS) {
        conf.form   = head.n > 1 && head.p[1] == 'm' ? "mistral" : "hermes";
        conf.text   = STR_NULL;
        conf.tool   = tool;
        conf.n_tool = 2;
    }
    if (conf.kind > CONSTRAIN_CALL) return 0;
    memset(&e, 0, sizeof e);
    if (constrain_new(vocab, &conf, &c, &e) < 0) {
        FUZZ_CHECK(e.code != ERR_NONE && e.msg[0]);
        return 0;
    }
    if (constrain_start(&r, c, &e) == 0) {
        if (follow(&r, in, &all) && all && constrain_may_end(&r) && conf.kind == CONSTRAIN_SCHEMA) {
            struct json_doc *doc;
            int              rc = json_parse_any(in, NULL, &doc, &e);
            /* keys may come twice where members are not declared, and nesting has a limit of its own */
            FUZZ_CHECK(rc == 0 || strstr(e.msg, "uplicate") || strstr(e.msg, "deep") || strstr(e.msg, "nest"));
            if (rc == 0) json_free(doc);
        }
        constrain_stop(&r);
    }
    wander(c, size);
    constrain_unref(c);
    return 0;
}
