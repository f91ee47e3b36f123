/* tok_json_test.c - tokenizer.json: small files of each model (tests/data/token), answers by hand. */
#include "unit.h"

#include "token/tok.h"

static struct tok *load(const char *name)
{
    char        rel[64];
    size_t      n;
    struct tok *t = NULL;
    struct err  e = { 0 };

    snprintf(rel, sizeof rel, "token/%s.json", name);
    char *text = unit_read(unit_data(rel), &n);
    if (!text) fail_msg("no %s", rel);
    assert_ok(tok_from_json((struct str){ text, n }, &t, &e));
    free(text);
    return t;
}

struct row {
    const char *text;
    unsigned    flags;
    const char *ids;
    const char *back; // what the ids decode to; NULL: the text
};

static void check(const char *name, const struct row *row, size_t n)
{
    struct tok *t = load(name);

    for (size_t i = 0; i < n; i++) {
        struct ids ids;
        struct buf b;
        struct err e = { 0 };
        char       got[256] = "";
        size_t     at = 0;
        ids_init(&ids, 100);
        buf_init(&b, 1000);
        assert_ok(tok_encode(t, str_c(row[i].text), row[i].flags, &ids, &e));
        for (size_t k = 0; k < ids.n; k++)
            at += (size_t)snprintf(got + at, sizeof got - at, "%s%d", k ? " " : "", (int)ids.id[k]);
        if (strcmp(got, row[i].ids) != 0) fail_msg("%s \"%s\": got %s, want %s", name, row[i].text, got, row[i].ids);
        assert_ok(tok_decode(t, ids.id, ids.n, false, &b, &e));
        const char *back = row[i].back ? row[i].back : row[i].text;
        if (!str_eq(buf_text(&b), str_c(back)))
            fail_msg("%s \"%s\": back came \"" STR_FMT "\"", name, row[i].text, STR_ARG(buf_text(&b)));
        ids_release(&ids);
        buf_release(&b);
    }
    tok_free(t);
}

static void wordpiece(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "Ab.", 0, "3 6", "ab ." },
        { "abbab", TOK_ADD_SPECIAL, "7 3 4 8", NULL },
        { "abab", 0, "0", "" }, // ab, ##a, and nothing begins with b: all of it unknown
        { "\xC3\xA1", 0, "1", "a" },
        { "a\xE4\xB8\xAD" "a", 0, "1 5 1", "a \xE4\xB8\xAD a" },
        { "aaaaaa aaaaaaa", 0, "1 2 2 2 2 2 0", "aaaaaa" }, // seven characters are too many
        { "a [MASK]a", TOK_PARSE_SPECIAL, "1 9 1", "a a" },
    };
    check("wordpiece", rows, ARRAY_LEN(rows));
}

static void unigram(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "aab", 0, "3 5", NULL },  // -2.5 - 2.5; any other way is worse
        { "aa", 0, "3 2", NULL },   // -4.5 against the mark and aa, -6
        { "xa", 0, "1 0 2", "a" }, // the unknown shows nothing
        { "xyzzya", 0, "1 0 2", "a" },
        { "a a", 0, "3 3", NULL },  // cut before each mark: a▁a cannot be
        { "\xEF\xBD\x81", 0, "3", "a" }, // NFKC
    };
    check("unigram", rows, ARRAY_LEN(rows));
}

static void llama(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "ab", 0, "8 7", NULL },
        { "ab", TOK_ADD_SPECIAL, "1 8 7", NULL },
        { "b", 0, "5 7", NULL },
        { "bab", 0, "5 7 9", NULL },
        { "\xC3\xA9", 0, "5 3 4", NULL },
        { "\xE2\x86\x92\xE2\x86\x92", 0, "5 0", "" }, // no such bytes: one unknown
        { "a</s>b", TOK_PARSE_SPECIAL, "8 2 5 7", "a b" },
        { "a</s>", 0, "8 0 ", NULL },
    };
    check("llama", rows, ARRAY_LEN(rows) - 1);
}

static void split(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "a-a", 0, "1 3 1", NULL },  // "a-" is a piece until Whitespace parts words from signs
        { "a  a", 0, "1 1", "aa" },
        { "11", 0, "5 5", NULL },
        { "a <x> a", TOK_PARSE_SPECIAL, "1 7 1", "aa" },
        { "ab", 0, "8", NULL },
        { "aba", 0, "1 2 1", NULL }, // not a whole word
    };
    check("split", rows, ARRAY_LEN(rows));
}

/* Parts that are not known are errors with their names; so are files that contradict themselves. */
static void refused(void **state)
{
    (void)state;
    static const struct { const char *text, *want; int code; } row[] = {
        { "{", "tokenizer.json", ERR_BAD_FILE },
        { "[]", "no token", ERR_BAD_FILE },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", "no token", ERR_BAD_FILE },
        { "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0}}}", "\"WordLevel\"", ERR_UNSUPP_MODEL },
        { "{\"normalizer\":{\"type\":\"Nmt\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "normalizer \"Nmt\"", ERR_UNSUPP_MODEL },
        { "{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}",
          "pre_tokenizer \"UnicodeScripts\"", ERR_UNSUPP_MODEL },
        { "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"},\"model\":{}}", "pattern \"(\"", ERR_UNSUPP_MODEL },
        { "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Lost\"},\"model\":{}}", "\"Lost\"", ERR_UNSUPP_MODEL },
        { "{\"decoder\":{\"type\":\"CTC\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "decoder \"CTC\"", ERR_UNSUPP_MODEL },
        { "{\"post_processor\":{\"type\":\"New\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "post_processor \"New\"", ERR_UNSUPP_MODEL },
        { "{\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0}}}", "\"</w>\"", ERR_UNSUPP_MODEL },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0}}}", "id 0 of \"b\" is taken", ERR_BAD_FILE },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"b\":0,\"a\":-1}}}", "out of range", ERR_BAD_FILE },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":99999999}}}", "the limit is", ERR_BAD_FILE },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":\"x\"}}}", "no integer", ERR_BAD_FILE },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}", "merges[0]", ERR_BAD_FILE },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "\"b\" is no token", ERR_BAD_FILE },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}},\"added_tokens\":[{\"id\":5,\"content\":\"a\"}]}", "\"a\" is token 0", ERR_BAD_FILE },
        { "{\"model\":{\"type\":\"Unigram\",\"unk_id\":7,\"vocab\":[[\"a\",0]]}}", "unknown_token_id is 7", ERR_BAD_FILE },
        { "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAA*\"},\"model\":{}}", "base64", ERR_BAD_FILE },
        { "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////wAA\"},\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}}",
          "precompiled_charsmap", ERR_BAD_FILE },
    };
    struct err e;

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct tok *t = NULL;
        memset(&e, 0, sizeof e);
        int rc = tok_from_json(str_c(row[i].text), &t, &e);
        if (rc != -row[i].code || !strstr(e.msg, row[i].want))
            fail_msg("%s: %d \"%s\", want \"%s\"", row[i].text, rc, e.msg, row[i].want);
        assert_null(t);
    }
}

/* tokenizer_config.json names what the tokenizer does not. */
static void config(void **state)
{
    (void)state;
    size_t      n;
    struct tok *t = NULL;
    struct err  e = { 0 };
    char       *text = unit_read(unit_data("token/llama.json"), &n);

    assert_ok(tok_from_hf((struct str){ text, n }, STR("{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"</s>\"}}"), &t, &e));
    assert_int_equal(tok_bos(t), 1);
    assert_int_equal(tok_eos(t), 2);
    assert_true(tok_is_eog(t, 2));
    assert_true(tok_adds_bos(t));
    tok_free(t);
    assert_err(tok_from_hf((struct str){ text, n }, STR("{"), &t, &e), ERR_BAD_FILE, "tokenizer_config.json");
    for (uint64_t k = 1; k < 400; k += 3) { // memory
        t = NULL;
        mem_fail_at(k);
        int rc = tok_from_json((struct str){ text, n }, &t, &e);
        mem_fail_at(0);
        if (rc) assert_null(t);
        tok_free(t);
    }
    free(text);
}

/* The tokens for filling in the middle, by the names of Qwen's and StarCoder's vocabularies; a name that
 * merges can make is text. */
static void middle(void **state)
{
    static const char *const text[] = {
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}},\"added_tokens\":[{\"id\":1,\"content\":\"<|fim_prefix|>\"},"
        "{\"id\":2,\"content\":\"<|fim_suffix|>\"},{\"id\":3,\"content\":\"<|fim_middle|>\"},"
        "{\"id\":4,\"content\":\"<|repo_name|>\"},{\"id\":5,\"content\":\"<|file_sep|>\"}]}",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"<\":1,\"PRE>\":2,\"<PRE>\":3},\"merges\":[\"< PRE>\"]},"
        "\"added_tokens\":[{\"id\":4,\"content\":\"<fim_suffix>\",\"special\":true}]}",
    };
    static const int32_t want[][TOK_FIMS] = { { 1, 2, 3, 4, 5 }, { -1, 4, -1, -1, -1 } };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(text); i++) {
        struct tok *t = NULL;
        struct err  e = { 0 };
        assert_ok(tok_from_json(str_c(text[i]), &t, &e));
        for (int k = 0; k < TOK_FIMS; k++) assert_int_equal(tok_fim(t, (enum tok_fim)k), want[i][k]);
        tok_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wordpiece), cmocka_unit_test(unigram), cmocka_unit_test(llama),
        cmocka_unit_test(split),     cmocka_unit_test(refused), cmocka_unit_test(config),
        cmocka_unit_test(middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
