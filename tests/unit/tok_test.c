/* tok_test.c - encoding and decoding with small vocabularies whose answers follow by hand. */
#include "unit.h"

#include "base/rng.h"
#include "tok_make.h"

/* ids of text, as "1 2 3" */
static const char *enc(const struct tok *t, struct str text, unsigned flags)
{
    static char out[4096];
    struct ids  ids;
    struct err  e = { 0 };
    size_t      n = 0;

    ids_init(&ids, 1000);
    assert_ok(tok_encode(t, text, flags, &ids, &e));
    out[0] = 0;
    for (size_t i = 0; i < ids.n; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%d", i ? " " : "", (int)ids.id[i]);
    ids_release(&ids);
    return out;
}

#define assert_ids(t, text, flags, want) assert_string_equal(enc(t, STR(text), flags), want)

/* Bytes are ids 0..255; 256 "bc", 257 "ab", 258 "abc", 259 "aa", 260 "Ġa" and specials from 261. */
static struct tok *small_bpe(const char *pre, bool add_bos)
{
    static struct mk_list l;
    struct maker          m;
    struct tok           *t = NULL;
    struct err            e = { 0 };
    const struct str merges[] = { STR("b c"), STR("a b"), STR("a a"), STR("\xC4\xA0 a"), STR("ab c") };

    l.n = l.n_text = 0;
    mk_bytes(&l, true);
    mk_add(&l, STR("bc"), TOK_T_NORMAL, 0);
    mk_add(&l, STR("ab"), TOK_T_NORMAL, 0);
    mk_add(&l, STR("abc"), TOK_T_NORMAL, 0);
    mk_add(&l, STR("aa"), TOK_T_NORMAL, 0);
    mk_add(&l, STR("\xC4\xA0" "a"), TOK_T_NORMAL, 0);
    mk_add(&l, STR("<|bos|>"), TOK_T_CONTROL, 0);    // 261
    mk_add(&l, STR("<|im_end|>"), TOK_T_CONTROL, 0); // 262
    mk_add(&l, STR("<|im_end|><|x|>"), TOK_T_CONTROL, 0); // 263
    mk_add(&l, STR("<tool>"), TOK_T_USER, 0);        // 264
    mk_init(&m);
    mk_str(&m, "model", "gpt2");
    mk_str(&m, "pre", pre);
    mk_strs(&m, "tokens", l.s, l.n);
    mk_i32s(&m, "token_type", l.type, l.n);
    mk_strs(&m, "merges", merges, ARRAY_LEN(merges));
    mk_u32(&m, "bos_token_id", 261);
    mk_u32(&m, "eos_token_id", 262);
    mk_bool(&m, "add_bos_token", add_bos);
    assert_ok(mk_tok(&m, &t, &e));
    return t;
}

static void bpe_order(void **state)
{
    (void)state;
    struct tok *t = small_bpe("gpt-2", false);

    assert_ids(t, "abc", 0, "97 256");       // b c goes first, and then a|bc is no merge
    assert_ids(t, "ab", 0, "257");
    assert_ids(t, "aaa", 0, "259 97");       // the leftmost of equals
    assert_ids(t, "aaaaa", 0, "259 259 97");
    assert_ids(t, "a a", 0, "97 260");       // the space belongs to the word behind it
    assert_ids(t, " \xFF", 0, "32 255");     // any byte
    assert_ids(t, "", 0, "");
    assert_ids(t, "a", TOK_ADD_SPECIAL, "97");
    tok_free(t);
    t = small_bpe("llama3", true); // takes a piece that is a token as it is
    assert_ids(t, "abc", 0, "258");
    assert_ids(t, "abcb", 0, "97 256 98");
    assert_ids(t, "a", TOK_ADD_SPECIAL, "261 97");
    assert_ids(t, "", TOK_ADD_SPECIAL, "261");
    assert_string_equal(tok_kind(t), "bpe/llama3");
    assert_true(tok_adds_bos(t));
    tok_free(t);
}

static void specials(void **state)
{
    (void)state;
    struct tok *t = small_bpe("gpt-2", false);

    assert_int_equal(tok_find(t, STR("<|im_end|>")), 262);
    assert_int_equal(tok_find(t, STR("<|im_end")), -1);
    assert_int_equal(tok_eos(t), 262);
    assert_int_equal(tok_bos(t), 261);
    assert_true(tok_is_eog(t, 262));
    assert_false(tok_is_eog(t, 261));
    assert_true(tok_is_special(t, 261));
    assert_false(tok_is_special(t, 264)); // shown like text
    assert_str(tok_name(t, 260), "\xC4\xA0" "a");
    assert_null(tok_name(t, 265).p);
    assert_null(tok_name(t, -1).p);

    assert_ids(t, "a<|im_end|>a", TOK_PARSE_SPECIAL, "97 262 97");
    assert_ids(t, "<|im_end|><|x|>", TOK_PARSE_SPECIAL, "263"); // the longest
    assert_ids(t, "<|im_end|><|x", TOK_PARSE_SPECIAL, "262 60 124 120");
    assert_string_equal(enc(t, STR("<|bos|>"), 0), "60 124 98 111 115 124 62");
    assert_ids(t, "a<tool>a", 0, "97 264 97"); // a user's token needs no trust
    assert_str(tok_bytes(t, 262, false), "");
    assert_str(tok_bytes(t, 262, true), "<|im_end|>");
    assert_str(tok_bytes(t, 264, false), "<tool>");
    assert_str(tok_bytes(t, 260, false), " a");
    tok_free(t);
}

static void trusted_pieces(void **state)
{
    (void)state;
    struct tok *t = small_bpe("gpt-2", false);
    struct err  e = { 0 };
    const struct {
        struct tok_piece piece[4];
        size_t           n;
        const int32_t    want[24];
        size_t           n_want;
    } row[] = {
        /* the same words, trusted and not */
        { { { STR("<|im_end|>"), true }, { STR("<|im_end|>"), false } }, 2,
          { 262, 60, 124, 105, 109, 95, 101, 110, 100, 124, 62 }, 11 },
        /* a client cannot finish what the template began, nor begin what it finishes */
        { { { STR("<|im_"), true }, { STR("end|>"), false } }, 2, { 60, 124, 105, 109, 95, 101, 110, 100, 124, 62 }, 10 },
        { { { STR("<|im_"), false }, { STR("end|>"), true } }, 2, { 60, 124, 105, 109, 95, 101, 110, 100, 124, 62 }, 10 },
        /* two trusted ones are one text */
        { { { STR("<|im_"), true }, { STR("end|>"), true } }, 2, { 262 }, 1 },
        { { { STR("<|im_"), true }, { STR(""), false }, { STR("end|>"), true } }, 3, { 262 }, 1 },
        /* the longest may reach into the client's part: the one that does not is taken */
        { { { STR("<|im_end|>"), true }, { STR("<|x|>"), false } }, 2, { 262, 60, 124, 120, 124, 62 }, 6 },
        /* merges do not see the borders */
        { { { STR("a"), true }, { STR("b"), false } }, 2, { 257 }, 1 },
        { { { STR_NULL, true } }, 1, { 0 }, 0 },
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct ids ids;
        ids_init(&ids, 100);
        assert_ok(tok_encode_pieces(t, row[i].piece, row[i].n, 0, &ids, &e));
        if (ids.n != row[i].n_want || (ids.n && memcmp(ids.id, row[i].want, ids.n * 4) != 0)) fail_msg("row %zu", i);
        ids_release(&ids);
    }
    tok_free(t);
}

/* Two texts for a model that reads pairs: what the papers put around them; the list may have ids already. */
static void pairs(void **state)
{
    (void)state;
    static const struct str words[] = { STR("[PAD]"), STR("[UNK]"), STR("[CLS]"), STR("[SEP]"), STR("\xe2\x96\x81" "a"),
                                        STR("\xe2\x96\x81" "b") };
    static const float    scores[] = { 0, 0, 0, 0, -1, -1 };
    static const int32_t  types[] = { 3, 2, 3, 3, 1, 1 };
    const struct {
        const char *model;
        bool        ends;
        int32_t     want[9];
        int         n, n_first;
    } row[] = {
        { "bert", true, { 9, 2, 4, 5, 3, 5, 3 }, 7, 4 },       // [CLS] a b [SEP] b [SEP]
        { "t5", true, { 9, 2, 4, 5, 3, 3, 5, 3 }, 8, 4 },      // <s> a b </s> </s> b </s>
        { "t5", false, { 9, 4, 5, 3, 5 }, 5, 3 },              // no ends of its own: one separator
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct err   e = { 0 };
        struct maker m;
        struct tok  *t;
        struct ids   ids;
        int          n_first;
        mk_init(&m);
        mk_str(&m, "model", row[i].model);
        mk_strs(&m, "tokens", words, 6);
        mk_f32s(&m, "scores", scores, 6);
        mk_i32s(&m, "token_type", types, 6);
        mk_u32(&m, "bos_token_id", 2);
        mk_u32(&m, "eos_token_id", 3);
        mk_u32(&m, "cls_token_id", 2);
        mk_u32(&m, "seperator_token_id", 3);
        mk_u32(&m, "unknown_token_id", 1);
        mk_bool(&m, "add_bos_token", row[i].ends);
        mk_bool(&m, "add_eos_token", row[i].ends);
        assert_ok(mk_tok(&m, &t, &e));
        ids_init(&ids, 100);
        ids_put(&ids, 9);
        assert_ok(tok_encode_pair(t, STR("a b"), STR("b"), &ids, &n_first, &e));
        if (ids.n != (size_t)row[i].n || memcmp(ids.id, row[i].want, ids.n * 4) || n_first != row[i].n_first)
            fail_msg("row %zu: %zu ids, %d of the first", i, ids.n, n_first);
        ids_release(&ids);
        tok_free(t);
    }
}

/* No text without trust makes a special token, whatever merges the file has. */
static void no_forgery(void **state)
{
    (void)state;
    static struct mk_list l;
    static const char *const parts[] = { "<", "s", ">", "</", "<s", "<s>", "</s>", "|", "<0x0A>", "\xE2\x96\x81", "[EMPTY_3]", "x" };
    struct maker          m;
    struct tok           *t[2] = { NULL };
    struct err            e = { 0 };
    struct rng            r;
    const struct str merges[] = { STR("< s"), STR("<s >") };

    l.n = l.n_text = 0;
    mk_bytes(&l, true);
    mk_add(&l, STR("<s"), TOK_T_NORMAL, 0);
    mk_add(&l, STR("<s>"), TOK_T_CONTROL, 0);
    mk_init(&m);
    mk_str(&m, "model", "gpt2");
    mk_str(&m, "pre", "superbpe"); // all but numbers is one piece, so that merges reach
    mk_bool(&m, "add_bos_token", false);
    mk_strs(&m, "tokens", l.s, l.n);
    mk_i32s(&m, "token_type", l.type, l.n);
    mk_strs(&m, "merges", merges, 2);
    assert_ok(mk_tok(&m, &t[0], &e));

    l.n = l.n_text = 0;
    mk_add(&l, STR("<unk>"), TOK_T_UNKNOWN, 0);
    mk_add(&l, STR("<s>"), TOK_T_CONTROL, 9);
    mk_add(&l, STR("</s>"), TOK_T_CONTROL, 9);
    mk_add(&l, STR(""), TOK_T_NORMAL, 9);
    mk_bytes(&l, false);
    mk_add(&l, STR("<s"), TOK_T_NORMAL, 1);
    mk_add(&l, STR("</"), TOK_T_NORMAL, 1);
    mk_add(&l, STR("s>"), TOK_T_NORMAL, 1);
    mk_init(&m);
    mk_str(&m, "model", "llama");
    mk_strs(&m, "tokens", l.s, l.n);
    mk_f32s(&m, "scores", l.score, l.n);
    mk_i32s(&m, "token_type", l.type, l.n);
    assert_ok(mk_tok(&m, &t[1], &e));

    rng_seed(&r, 3);
    for (int i = 0; i < 4000; i++) {
        char   text[256];
        size_t n = 0;
        for (uint64_t k = 1 + rng_below(&r, 12); k--;) {
            const char *p = parts[rng_below(&r, ARRAY_LEN(parts))];
            memcpy(text + n, p, strlen(p));
            n += strlen(p);
        }
        for (int v = 0; v < 2; v++) {
            struct ids ids;
            ids_init(&ids, 1000);
            assert_ok(tok_encode(t[v], (struct str){ text, n }, 0, &ids, &e));
            for (size_t k = 0; k < ids.n; k++) assert_false(tok_is_special(t[v], ids.id[k]));
            ids_release(&ids);
        }
    }
    /* a byte token's name is no text either: the mark's three bytes, then six */
    assert_string_equal(enc(t[1], STR("<0x0A>"), 0), "230 154 133 64 52 124 52 69 66");
    tok_free(t[0]);
    tok_free(t[1]);
}

static struct tok *small_spm(bool prefix)
{
    static struct mk_list l;
    struct maker          m;
    struct tok           *t = NULL;
    struct err            e = { 0 };

    l.n = l.n_text = 0;
    mk_add(&l, STR("<unk>"), TOK_T_UNKNOWN, 0);
    mk_add(&l, STR("<s>"), TOK_T_CONTROL, 0);
    mk_add(&l, STR("</s>"), TOK_T_CONTROL, 0);
    mk_bytes(&l, false); // 3..258
    mk_add(&l, STR("\xE2\x96\x81"), TOK_T_NORMAL, -5);      // 259
    mk_add(&l, STR("a"), TOK_T_NORMAL, -6);                 // 260
    mk_add(&l, STR("b"), TOK_T_NORMAL, -7);                 // 261
    mk_add(&l, STR("\xE2\x96\x81" "a"), TOK_T_NORMAL, -1);  // 262
    mk_add(&l, STR("ab"), TOK_T_NORMAL, -0.5F);             // 263
    mk_add(&l, STR("\xE2\x96\x81\xE2\x96\x81"), TOK_T_NORMAL, -0.25F); // 264
    mk_add(&l, STR("\xC3\xA9"), TOK_T_NORMAL, -8);          // 265
    mk_init(&m);
    mk_str(&m, "model", "llama");
    mk_strs(&m, "tokens", l.s, l.n);
    mk_f32s(&m, "scores", l.score, l.n);
    mk_i32s(&m, "token_type", l.type, l.n);
    mk_bool(&m, "add_space_prefix", prefix);
    assert_ok(mk_tok(&m, &t, &e));
    return t;
}

static void spm(void **state)
{
    (void)state;
    struct tok       *t = small_spm(true);
    struct buf        b;
    struct err        e  = { 0 };
    const int32_t     id[] = { 1, 262, 259, 263, 3 + 0xC3, 3 + 0xA9, 265, 2 };

    assert_ids(t, "a", TOK_ADD_SPECIAL, "1 262");
    assert_ids(t, "ab", 0, "259 263");     // the better score first: ab, not the mark with a
    assert_ids(t, " a", 0, "264 260");     // two marks: its own and the text's
    assert_ids(t, "a b", 0, "262 259 261");
    assert_ids(t, "\xC3\xA9", 0, "259 265");
    assert_ids(t, "\xC3\xAA", 0, "259 198 173"); // no such token: its bytes
    assert_ids(t, "\xC3", 0, "259 198");
    assert_ids(t, "a</s>a", TOK_PARSE_SPECIAL, "262 2 262"); // a mark after each special token
    assert_ids(t, "", TOK_ADD_SPECIAL, "1");

    buf_init(&b, 100);
    assert_ok(tok_decode(t, id, ARRAY_LEN(id), false, &b, &e)); // the first mark was the encoder's
    assert_str(buf_text(&b), "a ab\xC3\xA9\xC3\xA9");
    buf_clear(&b);
    assert_ok(tok_decode(t, id, ARRAY_LEN(id), true, &b, &e));
    assert_str(buf_text(&b), "<s> a ab\xC3\xA9\xC3\xA9</s>");
    assert_err(tok_decode(t, (int32_t[]){ 266 }, 1, true, &b, &e), ERR_INVALID_VALUE, "266");
    buf_release(&b);
    tok_free(t);

    t = small_spm(false);
    assert_ids(t, "a", 0, "260");
    assert_ids(t, " a", 0, "262");
    tok_free(t);
}

/* --- against the definition --- */

struct naive {
    size_t  at, len;
    int32_t id;
};

/* Always the best pair of all, the leftmost of equals: by rank, or by score. */
static size_t naive_merge(const struct tok *t, struct naive *s, size_t n, const char *text)
{
    for (;;) {
        size_t  best = SIZE_MAX;
        int32_t to   = -1;
        double  least = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            double  rank;
            int32_t id;
            if (t->model == TOK_SPM) {
                id = tok_find(t, (struct str){ text + s[i].at, s[i].len + s[i + 1].len });
                if (id < 0 || !(t->bits[id] & TOK_B_TEXT)) continue;
                rank = -(double)t->score[id];
            } else {
                const struct merge_slot *m = merge_find(t, (uint32_t)s[i].id, (uint32_t)s[i + 1].id);
                if (!m) continue;
                rank = m->rank;
                id   = (int32_t)m->id;
            }
            if (best == SIZE_MAX || rank < least) {
                best  = i;
                least = rank;
                to    = id;
            }
        }
        if (best == SIZE_MAX) return n;
        s[best].len += s[best + 1].len;
        s[best].id = to;
        memmove(s + best + 1, s + best + 2, (n - best - 2) * sizeof *s);
        n--;
    }
}

/* Random vocabularies over three letters, merges in random order (so ranks rise and fall along a
 * text, which trained ones seldom do), and texts up to many windows long. */
static void against_definition(void **state)
{
    (void)state;
    static struct mk_list l;
    static struct naive   s[6000];
    static char           text[6000];
    struct rng            r;
    struct err            e = { 0 };

    rng_seed(&r, 8);
    for (int round = 0; round < 60; round++) {
        bool         score = round & 1;
        struct maker m;
        struct tok  *t = NULL;
        struct str   merges[400];
        char         mtext[400][80];
        size_t       n_merge = 0, want = 3 + rng_below(&r, 60), alphabet = 1 + rng_below(&r, 3);
        l.n = l.n_text = 0;
        mk_bytes(&l, !score);
        size_t first = score ? 256 : 'a';
        for (size_t i = 0; score && i < 3; i++) mk_add(&l, (struct str){ &"abc"[i], 1 }, TOK_T_NORMAL, -100);
        for (size_t tries = 0; l.n < first + want + (score ? 3 : 160) && tries < 400; tries++) {
            size_t span = score ? l.n - 256 : l.n - 256 + alphabet;
            size_t x = rng_below(&r, span), y = rng_below(&r, span);
            struct str a = score ? l.s[256 + x] : x < alphabet ? l.s['a' + x] : l.s[256 + x - alphabet];
            struct str b = score ? l.s[256 + y] : y < alphabet ? l.s['a' + y] : l.s[256 + y - alphabet];
            char       both[64];
            if (a.n + b.n > 30) continue;
            memcpy(both, a.p, a.n);
            memcpy(both + a.n, b.p, b.n);
            bool known = false;
            for (size_t i = 0; i < l.n; i++) known |= str_eq(l.s[i], (struct str){ both, a.n + b.n });
            if (!known) mk_add(&l, (struct str){ both, a.n + b.n }, TOK_T_NORMAL, -(float)rng_below(&r, 20));
            if (n_merge < 400) {
                int k = snprintf(mtext[n_merge], 80, STR_FMT " " STR_FMT, STR_ARG(a), STR_ARG(b));
                merges[n_merge] = (struct str){ mtext[n_merge], (size_t)k };
                n_merge++;
            }
        }
        for (size_t i = n_merge; i > 1; i--) { // shuffled: rank says nothing about length
            size_t     j = rng_below(&r, i);
            struct str x = merges[i - 1];
            merges[i - 1] = merges[j];
            merges[j]     = x;
        }
        mk_init(&m);
        mk_str(&m, "model", score ? "llama" : "gpt2");
        mk_str(&m, "pre", "superbpe"); // letters are one piece
        mk_strs(&m, "tokens", l.s, l.n);
        mk_i32s(&m, "token_type", l.type, l.n);
        if (score) mk_f32s(&m, "scores", l.score, l.n);
        else mk_strs(&m, "merges", merges, n_merge);
        mk_bool(&m, "add_bos_token", false);
        mk_bool(&m, "add_space_prefix", false);
        assert_ok(mk_tok(&m, &t, &e));
        for (int k = 0; k < 12; k++) {
            static const size_t lens[] = { 1, 5, 20, 24, 25, 60, 300, 700, 1500, 3000, 5000, 5999 };
            struct ids          ids;
            size_t              n = lens[k];
            uint64_t            run = 1 + rng_below(&r, 40);
            for (size_t i = 0; i < n; i++)
                text[i] = i && rng_below(&r, run) ? text[i - 1] : (char)('a' + rng_below(&r, alphabet));
            for (size_t i = 0; i < n; i++)
                s[i] = (struct naive){ i, 1, tok_find(t, (struct str){ text + i, 1 }) };
            size_t want_n = naive_merge(t, s, n, text);
            ids_init(&ids, 10000);
            assert_ok(tok_encode(t, (struct str){ text, n }, 0, &ids, &e));
            if (ids.n != want_n) fail_msg("round %d length %zu: %zu ids, want %zu", round, n, ids.n, want_n);
            for (size_t i = 0; i < want_n; i++)
                if (ids.id[i] != s[i].id) fail_msg("round %d length %zu: id %zu", round, n, i);
            ids_release(&ids);
        }
        tok_free(t);
    }
}

/* Dominoes: 128 bytes in a row, each pair of lower rank than the one before it, so that the last pair
 * merges first and decides, over the whole row, which are pairs. A window that ends inside the row
 * sees it the other way round, further back than it drops; what must show is that it does not join. */
static void dominoes(void **state)
{
    (void)state;
    static struct mk_list l;
    static struct naive   s[4000];
    static char           text[4000];
    static char           mtext[127][8];
    struct rng            r;
    struct str            merges[127];
    struct maker          m;
    struct tok           *t = NULL;
    struct err            e = { 0 };

    l.n = l.n_text = 0;
    mk_bytes(&l, true);
    for (int i = 0; i < 127; i++) {
        int        left = 254 - i;
        char       both[8];
        struct str a = l.s[left], b = l.s[left + 1];
        memcpy(both, a.p, a.n);
        memcpy(both + a.n, b.p, b.n);
        mk_add(&l, (struct str){ both, a.n + b.n }, TOK_T_NORMAL, 0);
        merges[i] = (struct str){ mtext[i], (size_t)snprintf(mtext[i], 8, STR_FMT " " STR_FMT, STR_ARG(a), STR_ARG(b)) };
    }
    mk_init(&m);
    mk_str(&m, "model", "gpt2");
    mk_str(&m, "pre", "superbpe");
    mk_strs(&m, "tokens", l.s, l.n);
    mk_strs(&m, "merges", merges, ARRAY_LEN(merges));
    assert_ok(mk_tok(&m, &t, &e));
    rng_seed(&r, 5);
    for (int round = 0; round < 20; round++) {
        struct ids ids;
        size_t     n = 4000;
        unsigned   c = 255; // rows of many lengths, odd and even
        for (size_t i = 0; i < n; i++) {
            c       = c == 255 ? 128 + (unsigned)rng_below(&r, 60) : c + 1;
            text[i] = (char)c;
            s[i]    = (struct naive){ i, 1, (uint8_t)text[i] };
        }
        size_t want = naive_merge(t, s, n, text);
        ids_init(&ids, 10000);
        assert_ok(tok_encode(t, (struct str){ text, n }, 0, &ids, &e));
        assert_int_equal(ids.n, want);
        for (size_t i = 0; i < want; i++)
            if (ids.id[i] != s[i].id) fail_msg("round %d: id %zu", round, i);
        ids_release(&ids);
    }
    tok_free(t);
}

/* --- decoding --- */

static void streaming(void **state)
{
    (void)state;
    struct tok       *t = NULL;
    struct tok_stream s;
    struct buf        b;
    struct err        e = { 0 };
    static const struct { const char *in, *out; } row[] = {
        { "abc", "abc" },
        { "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80" },
        { "\xE4\xB8\xAD\xC3\xA9", "\xE4\xB8\xAD\xC3\xA9" },
        { "a\xFFz", "a\xEF\xBF\xBDz" },
        { "\xF0\x9F\x98z", "\xEF\xBF\xBDz" },           // one for the maximal part
        { "\xE4\xB8\xE4\xB8\xAD", "\xEF\xBF\xBD\xE4\xB8\xAD" },
        { "\xF0\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" }, // F0 80 begins nothing
        { "\xC3", "\xEF\xBF\xBD" },
        { "\xF0\x9F\x98", "\xEF\xBF\xBD" },
        { "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" }, // a surrogate
    };

    assert_ok(tok_from_bytes(&t, &e));
    assert_int_equal(tok_n(t), 257);
    assert_int_equal(tok_eos(t), 256);
    assert_true(tok_is_eog(t, 256));
    buf_init(&b, 1000);
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        tok_stream_init(&s, t, false);
        buf_clear(&b);
        for (const char *p = row[i].in; *p; p++) {
            tok_stream_put(&s, (unsigned char)*p, &b);
            assert_true(utf8_valid(buf_text(&b))); // never half a character
            assert_true(s.n_held <= 3);
        }
        tok_stream_put(&s, 256, &b); // shows nothing
        tok_stream_put(&s, 257, &b);
        tok_stream_end(&s, &b);
        assert_str(buf_text(&b), row[i].out);
    }
    buf_release(&b);
    assert_ids(t, "a\xFF", TOK_ADD_SPECIAL, "97 255");
    assert_ids(t, "a<|endoftext|>", 0, "97 60 124 101 110 100 111 102 116 101 120 116 124 62");
    assert_ids(t, "a<|endoftext|>", TOK_PARSE_SPECIAL, "97 256");
    tok_free(t);
}

static void spans(void **state)
{
    (void)state;
    struct tok *t[] = { small_bpe("gpt-2", false), small_spm(true) };
    static const struct {
        int             v;
        const char     *text;
        unsigned        flags;
        size_t          n;
        struct tok_span want[8];
    } row[] = {
        { 0, "a abc\xC3\xA9", 0, 5, { { 0, 1 }, { 1, 2 }, { 3, 2 }, { 5, 1 }, { 6, 1 } } },
        { 0, "a<|im_end|>a", TOK_PARSE_SPECIAL, 3, { { 0, 1 }, { 1, 10 }, { 11, 1 } } },
        { 1, "a a", TOK_ADD_SPECIAL, 3, { { 0, 0 }, { 0, 1 }, { 1, 2 } } },          // BOS, and the mark
        { 1, "ab", TOK_ADD_SPECIAL, 3, { { 0, 0 }, { 0, 0 }, { 0, 2 } } },
        { 1, "a</s>a", TOK_PARSE_SPECIAL, 3, { { 0, 1 }, { 1, 4 }, { 5, 1 } } },
    };

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct ids      ids;
        struct tok_span got[8];
        struct err      e = { 0 };
        ids_init(&ids, 8);
        assert_ok(tok_encode(t[row[i].v], str_c(row[i].text), row[i].flags, &ids, &e));
        if (ids.n != row[i].n) fail_msg("row %zu: %zu ids", i, ids.n);
        tok_spans(t[row[i].v], str_c(row[i].text), ids.id, ids.n, got);
        for (size_t k = 0; k < ids.n; k++)
            if (got[k].at != row[i].want[k].at || got[k].n != row[i].want[k].n)
                fail_msg("row %zu token %zu: %zu+%zu", i, k, got[k].at, got[k].n);
        ids_release(&ids);
    }
    tok_free(t[0]);
    tok_free(t[1]);
}

/* --- hostile files --- */

struct spoil {
    const char *what;  // which key is spoilt
    const char *want;  // in the message
    int         code;
};

static int spoilt(const char *what, struct tok **t, struct err *e)
{
    static struct mk_list l;
    struct maker          m;
    struct str            merges[2] = { STR("a b"), STR("b c") };
    bool                  bpe = strncmp(what, "spm", 3) != 0;

    l.n = l.n_text = 0;
    mk_bytes(&l, bpe);
    mk_add(&l, STR("ab"), TOK_T_NORMAL, 0);
    mk_add(&l, STR("bc"), TOK_T_NORMAL, 0);
    if (!strcmp(what, "twice")) mk_add(&l, STR("ab"), TOK_T_NORMAL, 0);
    if (!strcmp(what, "type")) l.type[7] = 9;
    if (!strcmp(what, "negative")) l.type[7] = -1;
    if (!strcmp(what, "spm byte")) l.s[9] = STR("<0xG0>");
    if (!strcmp(what, "spm nan")) l.score[3] = __builtin_nanf("");
    if (!strcmp(what, "merge left")) merges[1] = STR("zz c");
    if (!strcmp(what, "merge right")) merges[1] = STR("b zz");
    if (!strcmp(what, "merge both")) merges[1] = STR("c b");
    if (!strcmp(what, "merge form")) merges[1] = STR("bc");
    if (!strcmp(what, "merge tail")) merges[1] = STR("b ");
    if (!strcmp(what, "merge empty")) merges[1] = STR("");
    mk_init(&m);
    if (strcmp(what, "model") != 0) mk_str(&m, "model", !strcmp(what, "model name") ? "novel" : bpe ? "gpt2" : "llama");
    mk_str(&m, "pre", !strcmp(what, "pre") ? "nobody\n" : "gpt-2");
    if (strcmp(what, "tokens") != 0) mk_strs(&m, "tokens", l.s, !strcmp(what, "none") ? 0 : l.n);
    mk_i32s(&m, "token_type", l.type, !strcmp(what, "types") ? 5 : l.n);
    if (!bpe) mk_f32s(&m, "scores", l.score, !strcmp(what, "spm scores") ? 5 : l.n);
    if (bpe && strcmp(what, "merges") != 0) mk_strs(&m, "merges", merges, 2);
    if (!strcmp(what, "bos")) mk_u32(&m, "bos_token_id", 5000);
    if (!strcmp(what, "eos")) mk_u32(&m, "eos_token_id", 5000);
    if (!strcmp(what, "no bos")) mk_bool(&m, "add_bos_token", true);
    if (!strcmp(what, "none set")) mk_u32(&m, "eos_token_id", UINT32_MAX);
    if (!strcmp(what, "long scores")) {
        static float f[1000];
        mk_f32s(&m, "scores", f, 1000);
    }
    return mk_tok(&m, t, e);
}

static void hostile(void **state)
{
    (void)state;
    static const struct spoil row[] = {
        { "twice", "tokens[258]: \"ab\" is token 256", ERR_BAD_FILE },
        { "type", "token_type[7] is 9", ERR_BAD_FILE },
        { "negative", "token_type[7] is -1", ERR_BAD_FILE },
        { "types", "token_type: 5 values for 258", ERR_BAD_FILE },
        { "spm scores", "scores: 5 values for 258", ERR_BAD_FILE },
        { "spm nan", "scores[3] is not a number", ERR_BAD_FILE },
        { "spm byte", "tokens[9]: \"<0xG0>\"", ERR_BAD_FILE },
        { "merge left", "merges[1]: \"zz\"", ERR_BAD_FILE },
        { "merge right", "merges[1]: \"zz\"", ERR_BAD_FILE },
        { "merge both", "merges[1]: \"cb\"", ERR_BAD_FILE },
        { "merge form", "merges[1]: \"bc\"", ERR_BAD_FILE },
        { "merge tail", "merges[1]", ERR_BAD_FILE },
        { "merge empty", "merges[1]", ERR_BAD_FILE },
        { "merges", "merges", ERR_BAD_FILE },
        { "model", "tokenizer.ggml.model is missing", ERR_BAD_FILE },
        { "model name", "\"novel\"", ERR_UNSUPP_MODEL },
        { "pre", "\"nobody\\n\"", ERR_UNSUPP_MODEL },
        { "tokens", "tokenizer.ggml.tokens", ERR_BAD_FILE },
        { "none", "no token", ERR_BAD_FILE },
        { "bos", "bos_token_id is 5000", ERR_BAD_FILE },
        { "eos", "eos_token_id is 5000", ERR_BAD_FILE },
        { "no bos", "bos_token_id is missing", ERR_BAD_FILE },
    };
    struct tok *t = NULL;
    struct err  e = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        memset(&e, 0, sizeof e);
        int rc = spoilt(row[i].what, &t, &e);
        if (rc != -row[i].code || !strstr(e.msg, row[i].want) || !strstr(e.msg, "made.gguf"))
            fail_msg("%s: %d \"%s\", want \"%s\"", row[i].what, rc, e.msg, row[i].want);
        assert_null(t);
    }
    assert_ok(spoilt("nothing", &t, &e));
    assert_int_equal(tok_eos(t), -1);
    tok_free(t);
    assert_ok(spoilt("none set", &t, &e)); // what some writers put for "none"
    assert_int_equal(tok_eos(t), -1);
    tok_free(t);
    assert_ok(spoilt("long scores", &t, &e)); // more than tokens: the rest is nobody's
    tok_free(t);
}

static void failing_memory(void **state)
{
    (void)state;
    struct err e = { 0 };
    int        loads = 0, calls = 0;

    for (uint64_t k = 1;; k++, loads++) {
        struct tok *t = NULL;
        mem_fail_at(k);
        int rc = spoilt("nothing", &t, &e);
        mem_fail_at(0);
        if (!rc) {
            tok_free(t);
            break;
        }
        assert_null(t);
    }
    struct tok  *t[] = { small_bpe("default", false), small_spm(true) };
    static char  text[3000];
    memset(text, 'a', sizeof text);
    memset(text + 1500, ' ', 700);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        for (uint64_t k = 1;; k++, calls++) {
            struct ids ids;
            ids_init(&ids, 10000);
            mem_fail_at(k);
            int rc = tok_encode(t[i], (struct str){ text, sizeof text }, 0, &ids, &e);
            mem_fail_at(0);
            if (rc) assert_true(rc == -ERR_NO_MEMORY && ids.n == 0 && !ids.failed);
            ids_release(&ids);
            if (!rc) break;
        }
        tok_free(t[i]);
    }
    print_message("%d loads and %d calls failed in turn\n", loads, calls);
    assert_true(loads > 10 && calls > 10);
}

/* Work, counted in steps (bytes looked at, merges, places tried), is linear whatever the text: as much
 * for a byte of 128 KiB as for a byte of 16 KiB, and never over a small constant. */
static void linear(void **state)
{
    (void)state;
    static const char *const unit[] = {
        " ", "\n", "\t", "a", "A", "1", ".", "'", "<", "\xFF", "\xC2\xA0", "\xC3\xA9", "\xE4\xB8\xAD", "\xCC\x81", "ab", "aA",
        " \n", "\n ", "a ", "a1", "1 ", "'s", "\u3042A", "<|im_end|", "\xE2\x96\x81", "    \xC2\xA0", "12\xC2\xBD", "\xF0\x9F\x98\x80",
    };
    static const char tail[] = "xA1.\n\x01";
    size_t            small = 16 << 10, large = 128 << 10;
    char             *text = malloc(large + 8);
    double            most = 0;

    for (size_t v = 0;; v++) {
        struct tok *t = NULL;
        char        first[32];
        const struct pre_row *row = v ? pre_row_at(v - 1) : NULL;
        if (v && !row) break;
        struct str name, rest = row ? str_c(row->names) : STR_NULL;
        if (row && str_cut(&rest, ' ', &name)) {
            if (row->spaces) continue; // its tokens are spelt otherwise
            t = small_bpe(str_copy_z(first, sizeof first, name), false);
        } else {
            t = small_spm(true);
        }
        for (size_t i = 0; i < ARRAY_LEN(unit); i++) {
            size_t   k = strlen(unit[i]);
            uint64_t work[2] = { 0 };
            size_t   size[2] = { small, large };
            for (int w = 0; w < 2; w++) {
                struct ids ids;
                struct err e = { 0 };
                for (size_t j = 0; j < size[w]; j++) text[j] = unit[i][j % k];
                text[size[w] - 1] = tail[(i + v) % sizeof tail]; // a last byte that no run goes on with
                ids_init(&ids, large * 4);
                assert_ok(tok_encode_counted(t, (struct str){ text, size[w] }, 0, &ids, &work[w], &e));
                ids_release(&ids);
            }
            double a = (double)work[0] / (double)small, b = (double)work[1] / (double)large;
            if (b > a * 1.2 + 1 || b > 24)
                fail_msg("%s: \"%s\": %.1f steps a byte of 16 KiB, %.1f of 128 KiB",
                         tok_kind(t), unit[i], a, b);
            if (b > most) most = b;
        }
        tok_free(t);
    }
    print_message("at most %.1f steps a byte\n", most);
    free(text);
}

static void ceilings(void **state)
{
    (void)state;
    struct tok *t = small_bpe("gpt-2", false);
    struct ids  ids;
    struct err  e = { 0 };
    char       *big = calloc(1, LIM_PROMPT_BYTES + 1);

    ids_init(&ids, 3);
    ids_put(&ids, 7);
    assert_err(tok_encode(t, STR("xyzw"), 0, &ids, &e), ERR_TOO_LARGE, "3 tokens");
    assert_int_equal(ids.n, 1); // as it was
    assert_false(ids.failed);
    assert_ok(tok_encode(t, STR("xy"), 0, &ids, &e));
    assert_int_equal(ids.n, 3);
    assert_err(tok_encode(t, (struct str){ big, LIM_PROMPT_BYTES + 1 }, 0, &ids, &e), ERR_TOO_LARGE, "limit");
    struct tok_piece p[2] = { { { big, LIM_PROMPT_BYTES }, true }, { STR("x"), false } };
    assert_err(tok_encode_pieces(t, p, 2, 0, &ids, &e), ERR_TOO_LARGE, "limit");
    free(big);
    ids_release(&ids);
    tok_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_order),  cmocka_unit_test(specials),
        cmocka_unit_test(trusted_pieces), cmocka_unit_test(no_forgery),
        cmocka_unit_test(spm),        cmocka_unit_test(against_definition),
        cmocka_unit_test(dominoes),   cmocka_unit_test(pairs),
        cmocka_unit_test(streaming),  cmocka_unit_test(spans),
        cmocka_unit_test(hostile),
        cmocka_unit_test(failing_memory), cmocka_unit_test(linear),
        cmocka_unit_test(ceilings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
