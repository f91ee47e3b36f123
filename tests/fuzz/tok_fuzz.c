/* tok_fuzz.c - any bytes as a text for several vocabularies, as a tokenizer.json, as a GGUF's.
 *
 * The first byte says which; for texts the second has the flags, and the places of byte 0xFE part
 * trusted from untrusted pieces.
 */
#include "fuzz.h"

#include <stdlib.h>

#include "../unit/tok_make.h"
#include "base/limits.h"

enum { N_VOCAB = 8 };
static struct tok *vocab[N_VOCAB];

static const char json_bpe[] =
    "{\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":"
    "{\"Regex\":\"\\\\w+|[^\\\\w\\\\s]++|\\\\s+(?!\\\\S)\"},\"behavior\":\"%s\",\"invert\":%s},"
    "{\"type\":\"Digits\",\"individual_digits\":true}]},\"decoder\":{\"type\":\"Fuse\"},"
    "\"added_tokens\":[{\"id\":9,\"content\":\"<x>\",\"special\":true,\"lstrip\":true,\"rstrip\":true},"
    "{\"id\":10,\"content\":\"ab\",\"single_word\":true}],"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"fuse_unk\":true,\"vocab\":{\"?\":0,\"a\":1,\"b\":2,\"aa\":3,\"aab\":4,"
    "\" \":5,\"\\u00e9\":6,\"1\":7,\"  \":8},\"merges\":[\"a a\",\"aa b\",[\" \",\" \"]]}}";
static const char json_unigram[] =
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},"
    "\"content\":\" \"},{\"type\":\"Strip\"},{\"type\":\"Lowercase\"}]},\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\","
    "\"prepend_scheme\":\"first\"},\"decoder\":{\"type\":\"Metaspace\"},\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":"
    "[[\"<unk>\",0],[\"\\u2581\",-3],[\"a\",-2],[\"\\u2581a\",-2.5],[\"aa\",-3],[\"abab\",-4],[\"b\",-5]]}}";
static const char json_wordpiece[] =
    "{\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"decoder\":{\"type\":\"WordPiece\"},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"max_input_chars_per_word\":20,\"vocab\":{\"[UNK]\":0,\"a\":1,\"##a\":2,"
    "\"ab\":3,\"##bab\":4,\"##\\u00e9\":5,\".\":6}}}";

static struct tok *from_json(const char *text)
{
    struct tok *t = NULL;
    struct err  e = { 0 };

    if (tok_from_json(str_c(text), &t, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        abort();
    }
    return t;
}

static struct tok *from_gguf(const char *model, const char *pre, bool alphabet)
{
    static struct mk_list l;
    struct maker          m;
    struct tok           *t = NULL;
    struct err            e = { 0 };
    const struct str      merges[] = { STR("a a"), STR("aa aa"), STR("a b"), STR("1 1"), STR("\xC4\xA0 \xC4\xA0") };

    l.n = l.n_text = 0;
    mk_bytes(&l, alphabet);
    mk_add(&l, STR("aa"), TOK_T_NORMAL, -2);
    mk_add(&l, STR("aaaa"), TOK_T_NORMAL, -1);
    mk_add(&l, STR("ab"), TOK_T_NORMAL, -3);
    mk_add(&l, STR("11"), TOK_T_NORMAL, -4);
    mk_add(&l, STR("\xC4\xA0\xC4\xA0"), TOK_T_NORMAL, -4);
    if (!alphabet) mk_add(&l, STR("a"), TOK_T_NORMAL, -9);
    if (!alphabet) mk_add(&l, STR("\xE2\x96\x81" "a"), TOK_T_NORMAL, -5);
    mk_add(&l, STR("<s>"), TOK_T_CONTROL, 0);
    mk_add(&l, STR("    "), TOK_T_USER, 0);
    mk_init(&m);
    mk_str(&m, "model", model);
    mk_str(&m, "pre", pre);
    mk_strs(&m, "tokens", l.s, l.n);
    mk_f32s(&m, "scores", l.score, l.n);
    mk_i32s(&m, "token_type", l.type, l.n);
    if (alphabet) mk_strs(&m, "merges", merges, ARRAY_LEN(merges));
    mk_bool(&m, "add_bos_token", false);
    if (mk_tok(&m, &t, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        abort();
    }
    return t;
}

static void open_vocabs(void)
{
    char text[2048];
    struct err e;

    if (vocab[0]) return;
    vocab[0] = from_gguf("gpt2", "llama3", true);
    vocab[1] = from_gguf("gpt2", "deepseek-llm", true);
    vocab[2] = from_gguf("gpt2", "gpt-4o", true);
    vocab[3] = from_gguf("llama", "default", false);
    snprintf(text, sizeof text, json_bpe, "MergedWithNext", "true");
    vocab[4] = from_json(text);
    vocab[5] = from_json(json_unigram);
    vocab[6] = from_json(json_wordpiece);
    if (tok_from_bytes(&vocab[7], &e) < 0) abort();
}

static void use_ids(const struct tok *t, const struct ids *ids, struct str text, bool exact)
{
    struct buf        all, out;
    struct tok_stream s;
    struct err        e;

    buf_init(&all, MIB(64));
    buf_init(&out, MIB(64));
    FUZZ_CHECK(!tok_decode(t, ids->id, ids->n, true, &all, &e));
    if (exact) FUZZ_CHECK(str_eq(buf_text(&all), text));
    tok_stream_init(&s, t, true);
    for (size_t i = 0; i < ids->n; i++) tok_stream_put(&s, ids->id[i], &out);
    FUZZ_CHECK(utf8_valid(buf_text(&out)) && s.n_held <= 3);
    tok_stream_end(&s, &out);
    if (utf8_valid(buf_text(&all))) FUZZ_CHECK(str_eq(buf_text(&all), buf_text(&out)));
    buf_release(&all);
    buf_release(&out);
}

static void as_text(const struct tok *t, unsigned flags, struct str text, bool exact)
{
    struct ids       ids, cut;
    struct err       e;
    struct tok_piece piece[16];
    size_t           n = 0;
    struct str       part;

    ids_init(&ids, MIB(4));
    ids_init(&cut, MIB(4));
    int rc = tok_encode(t, text, flags & TOK_PARSE_SPECIAL, &ids, &e);
    if (!rc) {
        use_ids(t, &ids, text, exact);
        for (size_t i = 0; !(flags & TOK_PARSE_SPECIAL) && i < ids.n; i++)
            FUZZ_CHECK(!tok_is_special(t, ids.id[i]) || ids.id[i] == t->unk);
        /* in pieces nobody trusts: the same ids */
        struct str rest = text;
        for (; n < 15 && str_cut(&rest, '\xFE', &part); n++) {
            size_t with = part.n + (rest.p ? 1 : 0);
            piece[n]    = (struct tok_piece){ { part.p, with }, false };
        }
        piece[n++] = (struct tok_piece){ rest, false };
        FUZZ_CHECK(!tok_encode_pieces(t, piece, n, flags & TOK_ADD_SPECIAL, &cut, &e));
        if (!flags) FUZZ_CHECK(cut.n == ids.n && (!cut.n || !memcmp(cut.id, ids.id, cut.n * 4)));
        for (size_t i = 0; i < n; i += 2) piece[i].trusted = true;
        cut.n = 0;
        FUZZ_CHECK(!tok_encode_pieces(t, piece, n, flags & TOK_ADD_SPECIAL, &cut, &e));
    }
    ids_release(&ids);
    ids_release(&cut);
}

static void as_vocab(struct str bytes, bool json)
{
    struct tok  *t = NULL;
    struct gguf *g = NULL;
    struct err   e = { 0 };

    if (json) {
        (void)!tok_from_json(bytes, &t, &e);
    } else if (!gguf_open_mem(bytes, "fuzz", &g, &e)) {
        (void)!tok_from_gguf(g, &t, &e);
    }
    gguf_close(g);
    if (!t) {
        FUZZ_CHECK(e.code != ERR_NONE && e.msg[0]);
        return;
    }
    as_text(t, TOK_PARSE_SPECIAL | TOK_ADD_SPECIAL, STR("Hello aab <s> \xC3\xA9\xFF  12345\n\n\t'll ab aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), false);
    tok_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = { (const char *)data, size };

    open_vocabs();
    if (size < 2) return 0;
    if (data[0] == '{') {
        as_vocab(s, true);
    } else if (data[0] == 'G') {
        as_vocab(s, false);
    } else {
        int v = data[0] % N_VOCAB;
        as_text(vocab[v], data[1] & 3, str_from(s, 2), v < 3 || v == 7);
    }
    return 0;
}
