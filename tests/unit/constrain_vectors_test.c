/* constrain_vectors_test.c - forms against shared vectors: the official cases of JSON Schema, schemas from
 * the world, grammars with the masks of another implementation (skipped when they are not there).
 *
 * No text that a schema forbids may be accepted. What it allows and we do not (members in another order,
 * numbers with an exponent, formats that are annotations ...) is counted, and so are schemas that we
 * refuse; the counts may only become better.
 */
#include "unit.h"

#include <dirent.h>

#include "base/limits.h"
#include "constrain/constrain.h"
#include "json/json.h"
#include "model/gguf.h"

static struct tok             *bytes_tok;
static struct constrain_vocab *bytes_vocab;

struct tally {
    int schemas, refused;      // compiled or not
    int valid, missed;         // texts that are allowed; of them not accepted
    int invalid, wrong;        // texts that are forbidden; of them accepted
};

static int takes(struct constrain *c, struct str text)
{
    struct constrain_run r;
    struct err           e;
    bool                 fits;

    assert_ok(constrain_start(&r, c, &e));
    assert_ok(constrain_bytes(&r, text, &fits, &e));
    int ret = fits && constrain_may_end(&r);
    constrain_stop(&r);
    return ret;
}

/* Members in the order of the schema's properties, as far as they lie open; the rest after them. */
static void put_ordered(struct buf *b, const struct json *v, const struct json *schema)
{
    const struct json *props = json_get(schema, "properties"), *items = json_get(schema, "items");
    bool               first = true;

    if (json_kind(v) == JSON_T_ARR) {
        buf_byte(b, '[');
        for (size_t i = 0; i < json_len(v); i++) {
            if (i) buf_str(b, STR(", "));
            put_ordered(b, json_at(v, i), items);
        }
        buf_byte(b, ']');
        return;
    }
    if (json_kind(v) != JSON_T_OBJ) {
        json_write(b, v, JSON_SPACED);
        return;
    }
    buf_byte(b, '{');
    for (int round = 0; round < 2; round++)
        for (struct json_it it = json_it(round ? v : props); json_next(&it);) {
            const struct json *x = json_get_str(v, it.key);
            if (!x || (round && json_get_str(props, it.key))) continue;
            if (!first) buf_str(b, STR(", "));
            first = false;
            json_put_str(b, it.key);
            buf_str(b, STR(": "));
            put_ordered(b, x, json_get_str(props, it.key));
        }
    buf_byte(b, '}');
}

static void run_schema(const char *where, const struct json *schema, const struct json *tests, bool open, struct tally *t)
{
    struct buf       text, data;
    struct constrain *c;
    struct err        e;
    bool              show = getenv("SHOW");

    buf_init(&text, MIB(4));
    buf_init(&data, MIB(4));
    json_write(&text, schema, JSON_TIGHT);
    struct constrain_conf conf = { .kind = CONSTRAIN_SCHEMA, .text = buf_text(&text), .open = open };
    t->schemas++;
    if (constrain_new(bytes_vocab, &conf, &c, &e) < 0) {
        /* a schema that nothing fits is right to be refused if all its texts are forbidden */
        bool none = strstr(e.msg, "no text at all");
        for (size_t i = 0; i < json_len(tests); i++) none &= !json_bool(json_get(json_at(tests, i), "valid"));
        t->refused += !none;
        if (show && !none) printf("refused %s: %s\n", where, e.msg);
        goto out;
    }
    for (size_t i = 0; i < json_len(tests); i++) {
        const struct json *x = json_at(tests, i), *gate = json_get(x, "gate");
        bool               valid = json_bool(json_get(x, "valid"));
        if (gate && !json_bool(gate)) continue;
        buf_clear(&data);
        put_ordered(&data, json_get(x, "data"), schema);
        bool took = takes(c, buf_text(&data));
        valid ? t->valid++ : t->invalid++;
        t->missed += valid && !took;
        t->wrong += !valid && took;
        if (show && valid != took)
            printf("%s %s: %.300s\n   %.200s\n", took ? "WRONG" : "missed", where, text.p, data.p);
    }
    constrain_unref(c);
out:
    buf_release(&text);
    buf_release(&data);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool run_dir(const char *rel, bool world, struct tally *t)
{
    char            path[4096], root[2048];
    const char     *shared = getenv("CURLEW_SHARED");
    struct dirent **list;

    snprintf(root, sizeof root, "%s/%s", shared ? shared : "nowhere", rel);
    int n = scandir(root, &list, NULL, by_name);
    if (n < 0) return false;
    for (int i = 0; i < n; i++) {
        size_t           size;
        struct json_doc *doc;
        snprintf(path, sizeof path, "%s/%s", root, list[i]->d_name);
        char *text = strstr(list[i]->d_name, ".json") ? unit_read(path, &size) : NULL;
        if (text && json_parse((struct str){ text, size }, NULL, &doc, NULL) == 0) {
            const struct json *v = json_root(doc);
            if (world) run_schema(list[i]->d_name, json_get(v, "schema"), json_get(v, "tests"), true, t);
            for (size_t k = 0; !world && k < json_len(v); k++)
                run_schema(list[i]->d_name, json_get(json_at(v, k), "schema"), json_get(json_at(v, k), "tests"), true, t);
            json_free(doc);
        }
        free(text);
        free(list[i]);
    }
    free(list);
    return true;
}

static void show(const char *what, const struct tally *t)
{
    printf("%s: %d schemas, %d refused; %d allowed texts, %d not taken; %d forbidden texts, %d taken\n", what, t->schemas,
           t->refused, t->valid, t->missed, t->invalid, t->wrong);
}

static void schema_cases(void **state)
{
    static const char *const dirs[] = { "json-schema/official/draft2020-12", "json-schema/official/draft2020-12/optional",
                                        "json-schema/official/draft7", "json-schema/official/draft7/optional" };
    struct tally             t = { 0 }, world = { 0 };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (!run_dir(dirs[i], false, &t)) {
            fprintf(stderr, "skipped: the cases of JSON Schema are not there\n");
            skip();
        }
    assert_true(run_dir("json-schema/real-world", true, &world));
    show("official", &t);
    show("from the world", &world);
    assert_int_equal(t.wrong, 0);
    assert_int_equal(world.wrong, 0);
    assert_true(t.refused <= 89 && t.missed <= 51 && world.refused <= 6 && world.missed <= 2);
}

/* --- grammars --- */

static struct json_doc *read_doc(const char *rel)
{
    size_t           n;
    struct err       e;
    struct json_doc *doc  = NULL;
    char            *text = unit_read(unit_shared(rel), &n);

    if (text && json_parse((struct str){ text, n }, NULL, &doc, &e) < 0) fail_msg("%s: %s", rel, e.msg);
    free(text);
    return doc;
}

static void strings(struct constrain *c, const struct json *list, const char *where)
{
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *x = json_at(list, i), *gate = json_get(x, "gate");
        if (gate && !json_bool(gate)) continue; // a habit of that implementation
        bool want = json_bool(json_get(x, "accept"));
        if (takes(c, json_str(json_get(x, "text"))) != want)
            fail_msg("%s: \"" STR_FMT "\" must%s be taken", where, STR_ARG(json_str(json_get(x, "text"))), want ? "" : " not");
    }
}

static void grammar_cases(void **state)
{
    struct json_doc  *doc = read_doc("grammars/accept-reject.json");
    struct constrain *c;
    struct err        e;
    struct buf        text;
    (void)state;

    if (!doc) {
        fprintf(stderr, "skipped: the cases of grammars are not there\n");
        skip();
    }
    buf_init(&text, MIB(1));
    const struct json *list = json_get(json_root(doc), "grammar");
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json    *x    = json_at(list, i);
        struct constrain_conf conf = { .kind = CONSTRAIN_GBNF, .text = json_str(json_get(x, "grammar")) };
        assert_ok(constrain_new(bytes_vocab, &conf, &c, &e));
        strings(c, json_get(x, "strings"), conf.text.p);
        constrain_unref(c);
    }
    list = json_get(json_root(doc), "schema");
    for (size_t i = 0; i < json_len(list); i++) {
        buf_clear(&text);
        json_write(&text, json_get(json_at(list, i), "schema"), JSON_TIGHT);
        /* loose: one of them has uniqueItems, which is not looked at there */
        struct constrain_conf conf = { .kind = CONSTRAIN_SCHEMA, .text = buf_text(&text), .loose = true };
        assert_ok(constrain_new(bytes_vocab, &conf, &c, &e));
        strings(c, json_get(json_at(list, i), "strings"), text.p);
        constrain_unref(c);
    }
    list = json_get(json_root(doc), "bad_grammar");
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json    *x    = json_at(list, i);
        struct constrain_conf conf = { .kind = CONSTRAIN_GBNF, .text = json_str(json_kind(x) == JSON_T_STR ? x : json_get(x, "grammar")) };
        if (constrain_new(bytes_vocab, &conf, &c, &e) == 0) fail_msg("\"" STR_FMT "\" was accepted", STR_ARG(conf.text));
    }
    buf_release(&text);
    json_free(doc);
}

/* FNV-1a over the ids of a mask, each as four bytes, and how many there are. The vectors begin with a basis
 * that lacks its last digit. `odd`: the bytes F5 to FF count too: no character begins with one, but that
 * implementation takes them for heads of long ones. */
static uint64_t mask_hash(const uint64_t *mask, const struct tok *t, bool odd, int *n)
{
    uint64_t h = 1469598103934665603u;

    *n = 0;
    for (int id = 0; id < tok_n(t); id++) {
        struct str b = tok_bytes(t, id, false);
        bool       in = mask[id / 64] >> (id % 64) & 1;
        if (!in && !(odd && b.n == 1 && (unsigned char)b.p[0] >= 0xF5)) continue;
        for (int k = 0; k < 4; k++) h = (h ^ ((uint32_t)id >> (8 * k) & 255)) * 0x100000001b3u;
        ++*n;
    }
    return h;
}

static int run_row(struct constrain *c, const struct json *row, const struct tok *t, const char *where)
{
    const struct json   *toks = json_get(row, "tokens"), *masks = json_get(row, "masks");
    struct constrain_run r;
    const uint64_t      *mask;
    struct err           e;
    int                  n, n_same = 0;
    bool                 fits = true;

    assert_ok(constrain_start(&r, c, &e));
    for (size_t i = 0; i < json_len(masks) && fits; i++) {
        char want[24], got[24];
        assert_ok(constrain_mask(&r, &mask, &e));
        /* Of sets without U+0085, U+2028 and U+2029 that implementation also refuses heads that other
         * characters share with them: there only the short masks can be compared. */
        if (!strcmp(where, "list") && !json_get(json_at(masks, i), "ids")) goto next;
        str_copy_z(want, sizeof want, json_str(json_get(json_at(masks, i), "fnv")));
        for (int odd = 0; odd < 2; odd++) {
            snprintf(got, sizeof got, "%016llx", (unsigned long long)mask_hash(mask, t, odd, &n));
            if (!strcmp(got, want)) break;
        }
        if (n != json_int(json_get(json_at(masks, i), "n")) || strcmp(got, want) != 0)
            fail_msg("%s, \"" STR_FMT "\", step %zu: %d tokens, hash %s; want %lld, %s", where, STR_ARG(json_str(json_get(row, "text"))),
                     i, n, got, (long long)json_int(json_get(json_at(masks, i), "n")), want);
        n_same++;
next:
        if (i < json_len(toks)) assert_ok(constrain_token(&r, (int32_t)json_int(json_at(toks, i)), &fits, &e));
    }
    constrain_stop(&r);
    return n_same;
}

static void grammar_masks(void **state)
{
    static const char *const names[] = { "arithmetic", "chess", "english", "json", "list" };
    const char              *path    = unit_shared("tokenizers/vocab/ggml-vocab-gpt-2.gguf");
    struct gguf             *g;
    struct tok              *tok;
    struct constrain_vocab  *vocab;
    struct err               e;
    int                      n = 0;
    (void)state;

    if (!path) {
        fprintf(stderr, "skipped: the vocabulary is not there\n");
        skip();
    }
    size_t n_file;
    char  *file = unit_read(path, &n_file);
    assert_non_null(file);
    assert_ok(gguf_open_mem((struct str){ file, n_file }, "gpt-2", &g, &e));
    assert_ok(tok_from_gguf(g, &tok, &e));
    assert_ok(constrain_vocab_new(tok, tok_n(tok), &vocab, &e));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char              rel[128];
        size_t            size = 0;
        struct constrain *c;
        snprintf(rel, sizeof rel, "grammars/gbnf/%s.gbnf", names[i]);
        char *text = unit_read(unit_shared(rel), &size);
        snprintf(rel, sizeof rel, "grammars/gbnf/%s.json", names[i]);
        struct json_doc *doc = read_doc(rel);
        if (!text || !doc) fail_msg("%s is not there", rel);
        struct constrain_conf conf = { .kind = CONSTRAIN_GBNF, .text = { text, size } };
        assert_ok(constrain_new(vocab, &conf, &c, &e));
        const struct json *rows = json_get(json_root(doc), "rows");
        for (size_t k = 0; k < json_len(rows); k++) n += run_row(c, json_at(rows, k), tok, names[i]);
        constrain_unref(c);
        json_free(doc);
        free(text);
    }
    printf("%d masks over %d tokens are the same\n", n, tok_n(tok));
    constrain_vocab_free(vocab);
    tok_free(tok);
    gguf_close(g);
    free(file);
}

static int set_up(void **state)
{
    struct err e;
    (void)state;
    return tok_from_bytes(&bytes_tok, &e) < 0 || constrain_vocab_new(bytes_tok, 257, &bytes_vocab, &e) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    constrain_vocab_free(bytes_vocab);
    tok_free(bytes_tok);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_cases),
        cmocka_unit_test(grammar_cases),
        cmocka_unit_test(grammar_masks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
