/* tok_vectors_test.c - vocabularies of real models against ids their own tokenizers gave. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"
#include "json/json.h"
#include "model/gguf.h"
#include "token/tok_int.h"

static const char *const vocabs[] = { "llama-spm", "phi-3", "gpt-2", "llama-bpe", "qwen2", "deepseek-llm",
                                      "bert-bge" };

static struct tok *load_path(const char *path)
{
    struct gguf *g = NULL;
    struct tok  *t = NULL;
    struct err   e = { 0 };
    struct stat  st;
    int          fd = open(path, O_RDONLY);

    if (fd < 0 || fstat(fd, &st) < 0) fail_msg("cannot open %s", path);
    if (gguf_open(fd, (uint64_t)st.st_size, path, &g, &e) < 0) fail_msg("%s", e.msg);
    close(fd);
    if (tok_from_gguf(g, &t, &e) < 0) fail_msg("%s", e.msg);
    gguf_close(g);
    return t;
}

static struct tok *load_vocab(const char *name)
{
    char        rel[256];
    const char *path;

    snprintf(rel, sizeof rel, "tokenizers/vocab/ggml-vocab-%s.gguf", name);
    path = unit_shared(rel);
    return path ? load_path(path) : NULL;
}

static bool same(const struct ids *got, const struct json *want)
{
    if (got->n != json_len(want)) return false;
    for (size_t i = 0; i < got->n; i++)
        if (got->id[i] != json_int(json_at(want, i))) return false;
    return true;
}

static void show(const char *vocab, struct str text, const char *what, const struct ids *got,
                 const struct json *want)
{
    char q[200];

    print_message("%s %s \"%s\"\n  got ", vocab, what, str_quote(q, 180, text));
    for (size_t i = 0; i < got->n && i < 40; i++) print_message(" %d", (int)got->id[i]);
    print_message("\n  want");
    for (size_t i = 0; i < json_len(want) && i < 40; i++)
        print_message(" %d", (int)json_int(json_at(want, i)));
    print_message("\n");
}

/* One field of a vector: 1 right, 0 wrong. */
static int check(const struct tok *t, const char *vocab, const struct json *v, unsigned flags,
                 const struct json *want, const char *what, bool gate)
{
    struct ids ids;
    struct err e = { 0 };
    struct str s = json_str(json_get(v, "text"));

    ids_init(&ids, 100000);
    if (tok_encode(t, s, flags, &ids, &e) < 0) fail_msg("%s: %s", vocab, e.msg);
    int ok = same(&ids, want);
    if (!ok && gate) show(vocab, s, what, &ids, want);
    ids_release(&ids);
    return ok;
}

static void gated(void **state)
{
    (void)state;
    int right = 0, total = 0, info_right = 0, info = 0;

    for (size_t i = 0; i < ARRAY_LEN(vocabs); i++) {
        char             rel[256];
        struct json_doc *doc = NULL;
        struct err       e   = { 0 };
        size_t           n;
        struct tok      *t = load_vocab(vocabs[i]);
        snprintf(rel, sizeof rel, "tokenizers/extra/%s.json", vocabs[i]);
        char *text = unit_read(unit_shared(rel), &n);
        if (!t || !text) {
            print_message("skipped %s: no shared material\n", vocabs[i]);
            free(text);
            tok_free(t);
            continue;
        }
        assert_ok(json_parse((struct str){ text, n }, NULL, &doc, &e));
        const struct json *list = json_get(json_root(doc), "vectors");
        int                r0 = right, t0 = total;
        for (size_t k = 0; k < json_len(list); k++) {
            const struct json *v     = json_at(list, k);
            const struct json *plain = json_get(v, "ids");
            const struct json *parse = json_get(v, "ids_parse_special");
            const struct json *added = json_get(v, "ids_add_special");
            if (!parse) parse = plain;
            if (!added) added = parse;
            bool gate = json_bool(json_get(v, "gate"));
            int  ok   = check(t, vocabs[i], v, 0, plain, "ids", gate);
            ok += check(t, vocabs[i], v, TOK_PARSE_SPECIAL, parse, "parse", gate);
            ok += check(t, vocabs[i], v, TOK_PARSE_SPECIAL | TOK_ADD_SPECIAL, added, "add", gate);
            *(gate ? &right : &info_right) += ok;
            *(gate ? &total : &info) += 3;
        }
        print_message("%-13s %-22s gated right %d / %d\n", vocabs[i], tok_kind(t), right - r0, total - t0);
        json_free(doc);
        free(text);
        tok_free(t);
    }
    print_message("gated right %d / %d, of no gate %d / %d\n", right, total, info_right, info);
    assert_int_equal(right, total);
}

/* Line n of X.out has the ids of the n-th string of X.inp. */
static void inp_out(void **state)
{
    (void)state;
    static const struct str sep = { "\n__ggml_vocab_test__\n", 21 };
    int right = 0, total = 0;

    for (size_t i = 0; i < ARRAY_LEN(vocabs); i++) {
        char        rel[256];
        size_t      n_in, n_out;
        struct tok *t = load_vocab(vocabs[i]);
        snprintf(rel, sizeof rel, "tokenizers/vocab/ggml-vocab-%s.gguf.inp", vocabs[i]);
        char *in = unit_read(unit_shared(rel), &n_in);
        snprintf(rel, sizeof rel, "tokenizers/vocab/ggml-vocab-%s.gguf.out", vocabs[i]);
        char *out = unit_read(unit_shared(rel), &n_out);
        if (t && in && out) {
            struct str text = { in, n_in }, lines = { out, n_out }, line;
            while (str_cut(&lines, '\n', &line)) {
                size_t     at = str_find(text, sep);
                struct str s  = str_sub(text, 0, at);
                struct ids ids;
                struct err e = { 0 };
                size_t     k = 0;
                bool       ok = true;
                if (!line.n && !lines.n && at == SIZE_MAX) break;
                text = at == SIZE_MAX ? STR_NULL : str_from(text, at + sep.n);
                ids_init(&ids, 10000);
                assert_ok(tok_encode(t, s, 0, &ids, &e));
                for (struct str word; str_cut(&line, ' ', &word);) {
                    int64_t want;
                    if (!word.n) continue;
                    assert_true(str_to_i64(word, &want));
                    ok &= k < ids.n && ids.id[k] == want;
                    k++;
                }
                ok &= k == ids.n;
                char q[100];
                if (!ok) print_message("%s: \"%s\"\n", vocabs[i], str_quote(q, 90, s));
                right += ok;
                total++;
                ids_release(&ids);
            }
        }
        tok_free(t);
        free(in);
        free(out);
    }
    print_message("llama.cpp's strings right %d / %d\n", right, total);
    assert_int_equal(right, total);
}

/* Prompts and answers of llama2.c: a space and BOS go in front, ids and text agree. */
static void stories(void **state)
{
    (void)state;
    const char      *path = unit_shared("weights/stories260K-f32.gguf");
    struct json_doc *doc  = NULL;
    struct err       e    = { 0 };
    size_t           n;
    int              right = 0, total = 0;

    if (!path) {
        print_message("skipped: no shared material\n");
        return;
    }
    struct tok *t    = load_path(path);
    char       *text = unit_read(unit_shared("weights/stories260K-greedy.json"), &n);
    assert_ok(json_parse((struct str){ text, n }, NULL, &doc, &e));
    const struct json *rows = json_get(json_root(doc), "rows");
    for (size_t i = 0; i < json_len(rows); i++) {
        const struct json *row  = json_at(rows, i);
        const struct json *want = json_get(row, "tokens");
        struct str         prompt = json_str(json_get(row, "prompt"));
        struct ids         ids;
        struct buf         out;
        struct tok_stream  st;
        ids_init(&ids, 10000);
        buf_init(&out, 100000);
        assert_ok(tok_encode(t, prompt, TOK_ADD_SPECIAL, &ids, &e));
        bool ok = ids.n <= json_len(want);
        for (size_t k = 0; k < ids.n && ok; k++) ok = ids.id[k] == json_int(json_at(want, k));
        if (!ok) show("stories260K", prompt, "prompt", &ids, want);
        tok_stream_init(&st, t, false);
        for (size_t k = 0; k < json_len(want); k++)
            tok_stream_put(&st, (int32_t)json_int(json_at(want, k)), &out);
        tok_stream_end(&st, &out);
        if (!str_eq(buf_text(&out), json_str(json_get(row, "text")))) {
            print_message("got  " STR_FMT "\nwant " STR_FMT "\n", STR_ARG(buf_text(&out)),
                          STR_ARG(json_str(json_get(row, "text"))));
            ok = false;
        }
        right += ok;
        total++;
        ids_release(&ids);
        buf_release(&out);
    }
    print_message("stories260K prompts right %d / %d\n", right, total);
    assert_int_equal(right, total);
    json_free(doc);
    free(text);
    tok_free(t);
}

/* --- there and back --- */

static struct str decoded(const struct tok *t, const struct ids *ids, struct buf *b)
{
    struct err e = { 0 };

    buf_clear(b);
    assert_ok(tok_decode(t, ids->id, ids->n, false, b, &e));
    return buf_text(b);
}

/* encode, then decode whole and as a stream: the text again, for every vocabulary that keeps text. */
static void round_trip(const struct tok *t, struct str s, bool nfc, int *n)
{
    struct ids        ids;
    struct buf        b, out;
    struct tok_stream st;
    struct err        e = { 0 };
    char              q[200];

    ids_init(&ids, 1 << 20);
    buf_init(&b, 1 << 24);
    buf_init(&out, 1 << 24);
    int rc = tok_encode(t, s, 0, &ids, &e);
    if (rc == -ERR_INVALID_VALUE && t->byte_id[0xFF] < 0 && !utf8_valid(s)) { // has no token for such bytes
        ids_release(&ids);
        return;
    }
    if (rc < 0) fail_msg("%s: \"%s\": %s", tok_kind(t), str_quote(q, 190, s), e.msg);
    if (!nfc || uni_surely_nfc(s)) {
        struct str got = decoded(t, &ids, &b);
        if (!str_eq(got, s)) fail_msg("%s: \"%s\" came back changed", tok_kind(t), str_quote(q, 190, s));
        ++*n;
    } else {
        (void)decoded(t, &ids, &b);
    }
    tok_stream_init(&st, t, false);
    for (size_t i = 0; i < ids.n; i++) {
        tok_stream_put(&st, ids.id[i], &out);
        assert_true(utf8_valid(buf_text(&out)));
    }
    tok_stream_end(&st, &out);
    if (utf8_valid(buf_text(&b))) assert_true(str_eq(buf_text(&out), buf_text(&b)));
    ids_release(&ids);
    buf_release(&b);
    buf_release(&out);
}

static void there_and_back(void **state)
{
    (void)state;
    size_t           n_naughty = 0, n_utf8 = 0;
    char            *naughty = unit_read(unit_shared("broken/naughty-strings.json"), &n_naughty);
    char            *bytes   = unit_read(unit_shared("broken/utf8/UTF-8-test.txt"), &n_utf8);
    struct json_doc *doc     = NULL;
    struct err       e       = { 0 };
    int              n       = 0;

    if (!naughty || !bytes) {
        print_message("skipped: no shared material\n");
        free(naughty);
        free(bytes);
        return;
    }
    assert_ok(json_parse((struct str){ naughty, n_naughty }, NULL, &doc, &e));
    for (size_t i = 0; i < ARRAY_LEN(vocabs); i++) {
        struct tok *t   = load_vocab(vocabs[i]);
        bool        nfc = !strcmp(vocabs[i], "qwen2");
        if (!t) continue;
        if (!strcmp(vocabs[i], "bert-bge")) { // drops case, accents and spaces: only that it ends
            struct ids ids;
            for (size_t k = 0; k < json_len(json_root(doc)); k++) {
                ids_init(&ids, 1 << 20);
                assert_ok(tok_encode(t, json_str(json_at(json_root(doc), k)), 0, &ids, &e));
                ids_release(&ids);
            }
            tok_free(t);
            continue;
        }
        for (size_t k = 0; k < json_len(json_root(doc)); k++)
            round_trip(t, json_str(json_at(json_root(doc), k)), nfc, &n);
        for (struct str rest = { bytes, n_utf8 }, line; str_cut(&rest, '\n', &line);) round_trip(t, line, nfc, &n);
        round_trip(t, (struct str){ bytes, n_utf8 }, nfc, &n);
        char all[256 * 3];
        for (int k = 0; k < 256 * 3; k++) all[k] = (char)(k * 7);
        round_trip(t, (struct str){ all, sizeof all }, nfc, &n);
        tok_free(t);
    }
    print_message("%d round trips\n", n);
    json_free(doc);
    free(naughty);
    free(bytes);
}

/* --- the same vocabularies as a tokenizer.json --- */

static void put_vocab(struct buf *b, const struct tok *t, bool special)
{
    bool first = true;

    for (int32_t i = 0; i < tok_n(t); i++) {
        bool added = t->bits[i] & TOK_B_MATCH;
        if (added != special) continue;
        if (!first) buf_byte(b, ',');
        first = false;
        if (special) {
            buf_printf(b, "{\"id\":%d,\"special\":%s,\"content\":", (int)i, tok_is_special(t, i) ? "true" : "false");
            json_put_str(b, tok_name(t, i));
            buf_printf(b, ",\"rstrip\":%s}", t->bits[i] & TOK_B_RSTRIP ? "true" : "false");
        } else {
            struct str s = tok_name(t, i);
            if (t->model == TOK_WPM) { // upstream's spelling
                bool head = str_starts(s, STR("\xE2\x96\x81"));
                buf_byte(b, '"');
                if (!head) buf_str(b, STR("##"));
                json_put_esc(b, head ? str_from(s, 3) : s);
                buf_byte(b, '"');
            } else {
                json_put_str(b, s);
            }
            buf_printf(b, ":%d", (int)i);
        }
    }
}

/* Written from the GGUF by other rules than they are read by: the two loaders must agree. */
static void as_json(void **state)
{
    (void)state;
    static const struct { const char *vocab, *head, *model; } row[] = {
        { "gpt-2", "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":\"ByteLevel\"}",
          "\"type\":\"BPE\"" },
        { "llama-bpe", "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
          "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*"
          "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false},"
          "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},\"decoder\":{\"type\":\"ByteLevel\"},"
          "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":\"TemplateProcessing\",\"single\":"
          "[{\"SpecialToken\":{\"id\":\"B\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],"
          "\"special_tokens\":{\"B\":{\"id\":\"B\",\"ids\":[128000],\"tokens\":[\"B\"]}}}]}",
          "\"type\":\"BPE\",\"ignore_merges\":true" },
        /* the possessive form is no pattern we know: PCRE2 does it */
        { "qwen2", "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
          "\"pattern\":{\"Regex\":"
          "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?+\\\\p{L}++|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]++[\\\\r\\\\n]*+"
          "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false},"
          "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}", "\"type\":\"BPE\"" },
        { "bert-bge", "\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true,\"strip_accents\":null},"
          "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"decoder\":{\"type\":\"WordPiece\"},"
          "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",102],\"cls\":[\"[CLS]\",101]}",
          "\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\"" },
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct tok      *t = load_vocab(row[i].vocab), *j = NULL;
        struct buf       b;
        struct err       e = { 0 };
        struct json_doc *doc = NULL;
        size_t           n;
        char             rel[256];
        int              same_ids = 0;
        if (!t) {
            print_message("skipped: no shared material\n");
            return;
        }
        buf_init(&b, 1 << 26);
        buf_printf(&b, "{%s,\"added_tokens\":[", row[i].head);
        put_vocab(&b, t, true);
        buf_printf(&b, "],\"model\":{%s,\"vocab\":{", row[i].model);
        put_vocab(&b, t, false);
        buf_str(&b, STR("},\"merges\":["));
        /* merges in the order of their ranks */
        uint32_t             n_merge = t->merge ? 1u << 20 : 0;
        const struct merge_slot **by = calloc(n_merge + 1, sizeof *by);
        for (uint32_t k = 0; t->merge && k <= t->merge_mask; k++)
            if (t->merge[k].left < (uint32_t)tok_n(t) && t->merge[k].rank < n_merge) by[t->merge[k].rank] = &t->merge[k];
        bool first = true;
        for (uint32_t k = 0; k < n_merge; k++) {
            if (!by[k]) continue;
            if (!first) buf_byte(&b, ',');
            first = false;
            buf_byte(&b, '[');
            json_put_str(&b, tok_name(t, (int32_t)by[k]->left));
            buf_byte(&b, ',');
            json_put_str(&b, tok_name(t, (int32_t)by[k]->right));
            buf_byte(&b, ']');
        }
        free(by);
        buf_str(&b, STR("]}}"));
        assert_false(b.failed);
        assert_ok(tok_from_json(buf_text(&b), &j, &e));
        buf_release(&b);
        assert_int_equal(tok_n(j), tok_n(t));

        snprintf(rel, sizeof rel, "tokenizers/extra/%s.json", row[i].vocab);
        char *text = unit_read(unit_shared(rel), &n);
        assert_ok(json_parse((struct str){ text, n }, NULL, &doc, &e));
        const struct json *list = json_get(json_root(doc), "vectors");
        for (size_t k = 0; k < json_len(list); k++) {
            struct str s = json_str(json_get(json_at(list, k), "text"));
            for (unsigned f = 0; f < 4; f++) {
                struct ids x, y;
                char       q[200];
                ids_init(&x, 100000);
                ids_init(&y, 100000);
                assert_ok(tok_encode(t, s, f, &x, &e));
                assert_ok(tok_encode(j, s, f, &y, &e));
                if (x.n != y.n || (x.n && memcmp(x.id, y.id, x.n * 4) != 0))
                    fail_msg("%s: \"%s\" differs as JSON", row[i].vocab, str_quote(q, 190, s));
                struct buf bx, by2;
                buf_init(&bx, 1 << 20);
                buf_init(&by2, 1 << 20);
                struct str dx = decoded(t, &x, &bx), dy = decoded(j, &y, &by2);
                if (!str_eq(dx, dy)) fail_msg("%s: \"%s\" decodes differently", row[i].vocab, str_quote(q, 190, s));
                buf_release(&bx);
                buf_release(&by2);
                ids_release(&x);
                ids_release(&y);
                same_ids++;
            }
        }
        print_message("%s as tokenizer.json: %d the same\n", row[i].vocab, same_ids);
        json_free(doc);
        free(text);
        tok_free(t);
        tok_free(j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gated),
        cmocka_unit_test(inp_out),
        cmocka_unit_test(stories),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
