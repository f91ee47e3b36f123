/* tok_pre.c - the families of pre-tokenizers, and the walk through their stages.
 *
 * The patterns are facts of the models: each stands in its tokenizer.json (or in the tiktoken
 * plug-in it was trained with); the names are those of GGUF's key tokenizer.ggml.pre, the stages of
 * the older families as ggml-org/llama.cpp applies them.
 */
#include "token/tok_pre.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

#define RE_S     "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define RE_APOS  "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define RE_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define RE_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define RE_OWORD(suffix)                                                 \
    "[^\\r\\n\\p{L}\\p{N}]?" RE_UPPER "*" RE_LOWER "+" suffix            \
    "|[^\\r\\n\\p{L}\\p{N}]?" RE_UPPER "+" RE_LOWER "*" suffix "|"
#define RE_DSV3_WORDS                                                                     \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
#define RE_DS_LETTERS \
    "\\x{0041}-\\x{005A}\\x{0061}-\\x{007A}\\x{00B5}\\x{00C0}-\\x{00D6}\\x{00D8}-\\x{00F6}" \
    "\\x{00F8}-\\x{01BA}\\x{01BC}-\\x{01BF}\\x{01C4}-\\x{0293}\\x{0295}-\\x{02AF}" \
    "\\x{0370}-\\x{0373}\\x{0376}\\x{0377}\\x{037B}-\\x{037D}\\x{037F}\\x{0386}" \
    "\\x{0388}-\\x{038A}\\x{038C}\\x{038E}-\\x{03A1}\\x{03A3}-\\x{03F5}\\x{03F7}-\\x{0481}" \
    "\\x{048A}-\\x{052F}\\x{0531}-\\x{0556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}" \
    "\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}" \
    "\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}" \
    "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}" \
    "\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}" \
    "\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}" \
    "\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}" \
    "\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}" \
    "\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}" \
    "\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}" \
    "\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}" \
    "\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}" \
    "\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}" \
    "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}" \
    "\\x{1E900}-\\x{1E943}"

static const struct scan_range ds_letters[] = {
    { 0x0041, 0x005A }, { 0x0061, 0x007A }, { 0x00B5, 0x00B5 }, { 0x00C0, 0x00D6 },
    { 0x00D8, 0x00F6 }, { 0x00F8, 0x01BA }, { 0x01BC, 0x01BF }, { 0x01C4, 0x0293 },
    { 0x0295, 0x02AF }, { 0x0370, 0x0373 }, { 0x0376, 0x0376 }, { 0x0377, 0x0377 },
    { 0x037B, 0x037D }, { 0x037F, 0x037F }, { 0x0386, 0x0386 }, { 0x0388, 0x038A },
    { 0x038C, 0x038C }, { 0x038E, 0x03A1 }, { 0x03A3, 0x03F5 }, { 0x03F7, 0x0481 },
    { 0x048A, 0x052F }, { 0x0531, 0x0556 }, { 0x10A0, 0x10C5 }, { 0x13A0, 0x13F5 },
    { 0x13F8, 0x13FD }, { 0x1C90, 0x1CBA }, { 0x1CBD, 0x1CBF }, { 0x1D00, 0x1D2B },
    { 0x1D6B, 0x1D77 }, { 0x1D79, 0x1D9A }, { 0x1E00, 0x1F15 }, { 0x1F18, 0x1F1D },
    { 0x1F20, 0x1F45 }, { 0x1F48, 0x1F4D }, { 0x1F50, 0x1F57 }, { 0x1F59, 0x1F59 },
    { 0x1F5B, 0x1F5B }, { 0x1F5D, 0x1F5D }, { 0x1F5F, 0x1F7D }, { 0x1F80, 0x1FB4 },
    { 0x1FB6, 0x1FBC }, { 0x1FBE, 0x1FBE }, { 0x1FC2, 0x1FC4 }, { 0x1FC6, 0x1FCC },
    { 0x1FD0, 0x1FD3 }, { 0x1FD6, 0x1FDB }, { 0x1FE0, 0x1FEC }, { 0x1FF2, 0x1FF4 },
    { 0x1FF6, 0x1FFC }, { 0x2102, 0x2102 }, { 0x2107, 0x2107 }, { 0x210A, 0x2113 },
    { 0x2115, 0x2115 }, { 0x2119, 0x211D }, { 0x2124, 0x2124 }, { 0x2126, 0x2126 },
    { 0x2128, 0x2128 }, { 0x212A, 0x212D }, { 0x212F, 0x2134 }, { 0x2139, 0x2139 },
    { 0x213C, 0x213F }, { 0x2145, 0x2149 }, { 0x214E, 0x214E }, { 0x2183, 0x2183 },
    { 0x2184, 0x2184 }, { 0x2C00, 0x2C7B }, { 0x2C7E, 0x2CE4 }, { 0x2CEB, 0x2CEE },
    { 0x2CF2, 0x2CF2 }, { 0x2CF3, 0x2CF3 }, { 0xA640, 0xA66D }, { 0xA680, 0xA69B },
    { 0xA722, 0xA76F }, { 0xA771, 0xA787 }, { 0xA78B, 0xA78E }, { 0xAB70, 0xABBF },
    { 0xFB00, 0xFB06 }, { 0xFB13, 0xFB17 }, { 0xFF21, 0xFF3A }, { 0xFF41, 0xFF5A },
    { 0x10400, 0x1044F }, { 0x104B0, 0x104D3 }, { 0x104D8, 0x104FB }, { 0x10C80, 0x10CB2 },
    { 0x10CC0, 0x10CF2 }, { 0x118A0, 0x118DF }, { 0x1E900, 0x1E943 },
};

#define GPT2                                                                                    \
    { .kind = SCAN_GPT2,                                                                        \
      .re   = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+" }
#define NUMBERS(most, pattern) \
    { .kind = SCAN_RUN, .re = pattern, .set = UNI_NUM, .max = most }
#define ASCII_DIGITS3 \
    { .kind = SCAN_RUN, .re = "[0-9]{3}", .range = ascii_digits, .n_range = 1, .max = 3, .exact = true }
#define CL100K(n, pattern, bits) \
    { .kind = SCAN_CL100K, .re = pattern, .digits = n, .flags = bits }
#define RANGES(pattern, r) \
    { .kind = SCAN_RUN, .re = pattern, .range = r, .n_range = (int)ARRAY_LEN(r) }

const struct scan_stage pre_gpt2 = GPT2;

static const struct scan_range ascii_digits[] = { { '0', '9' } };
static const struct scan_range line_breaks[]  = { { '\n', '\n' }, { '\r', '\r' } };
static const struct scan_range newline[]      = { { '\n', '\n' } };
/* $ + < = > ^ ~ | and, for falcon, ` */
static const struct scan_range math_signs[]   = { { '$', '$' }, { '+', '+' }, { '<', '>' }, { '^', '^' },
                                                  { '|', '|' }, { '~', '~' } };
static const struct scan_range falcon_signs[] = { { '$', '$' }, { '+', '+' }, { '<', '>' }, { '^', '^' },
                                                  { '`', '`' }, { '|', '|' }, { '~', '~' } };
static const struct scan_range ds_cjk[]    = { { 0x0800, 0x9FA5 }, { 0xAC00, 0xD7FF } };
static const struct scan_range ds_punct[]  = { { '!', '/' }, { ':', '~' }, { 0x2018, 0x201F },
                                               { 0x3000, 0x3002 }, { 0xFF01, 0xFF0F },
                                               { 0xFF1A, 0xFF5E } };
static const struct scan_range han_kana[]  = { { 0x3040, 0x30FF }, { 0x4E00, 0x9FA5 } };
static const struct scan_range bloom_stop[] = { { '!', '!' }, { '(', ')' }, { ',', ',' }, { '.', '.' },
                                                { '?', '?' }, { '|', '|' }, { 0x060C, 0x060C },
                                                { 0x06D4, 0x06D4 }, { 0x0964, 0x0964 },
                                                { 0x2026, 0x2026 }, { 0x3001, 0x3002 },
                                                { 0xFF0C, 0xFF0C } };
static const struct scan_range youtu_hangul[] = { { 0x3131, 0x318E }, { 0xAC00, 0xD7A3 } };
static const struct scan_range afmoe_asian[] = {
    { 0x0E40, 0x0E7F }, { 0x0E80, 0x0EFF }, { 0x1000, 0x109F }, { 0x1100, 0x11FF }, { 0x1780, 0x17FF },
    { 0x2F00, 0x2FDF }, { 0x3040, 0x30FF }, { 0x3400, 0x4DBF }, { 0x4E00, 0x9FFF }, { 0xA9E0, 0xA9FF },
    { 0xAA60, 0xAA7F }, { 0xAC00, 0xD7AF }, { 0xF900, 0xFAFF }, { 0xFF65, 0xFF9F },
};

static const struct scan_stage st_gpt2[]     = { GPT2 };
static const struct scan_stage st_starcoder[] = { NUMBERS(1, "\\p{N}"), GPT2 };
static const struct scan_stage st_default[]  = {
    { .kind = SCAN_RUN, .re = "[\\p{P}$+<=>^~|]+", .set = UNI_PUNCT, .range = math_signs,
      .n_range = ARRAY_LEN(math_signs) },
    GPT2, NUMBERS(0, "\\p{N}+"), ASCII_DIGITS3,
};
static const struct scan_stage st_falcon[] = {
    { .kind = SCAN_RUN, .re = "[\\p{P}$+<=>^~|`]+", .set = UNI_PUNCT, .range = falcon_signs,
      .n_range = ARRAY_LEN(falcon_signs) },
    GPT2, ASCII_DIGITS3,
};
static const struct scan_stage st_llama3[] = {
    CL100K(3, RE_APOS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" RE_S, 0),
};
static const struct scan_stage st_qwen2[] = {
    CL100K(1, RE_APOS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" RE_S, 0),
};
static const struct scan_stage st_qwen35[] = {
    CL100K(1, RE_APOS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" RE_S,
           SCAN_MARKS),
};
static const struct scan_stage st_seed[] = {
    CL100K(1, RE_APOS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" RE_S, SCAN_NO_TAIL),
};
static const struct scan_stage st_bailing[] = {
    CL100K(1, "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*"
              "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", 0),
};
static const struct scan_stage st_minicpm5[] = {
    NUMBERS(3, "\\p{N}{1,3}"),
    CL100K(0, RE_APOS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" RE_S, 0),
};
static const struct scan_stage st_jais2[] = {
    CL100K(3, RE_APOS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
              "|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)"
              "|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}", SCAN_CASCADE),
};
static const struct scan_stage st_laguna[] = {
    { .kind = SCAN_RUN, .re = "[^\\n]+", .range = newline, .n_range = 1, .negate = true },
    CL100K(1, RE_APOS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" RE_S, 0),
};
static const struct scan_stage st_exaone_moe[] = {
    CL100K(1, RE_APOS "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}"
              "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", SCAN_JOIN | SCAN_TAIL_ONE),
};
static const struct scan_stage st_gpt4o[] = {
    { .kind = SCAN_O200K, .digits = 3, .flags = SCAN_SLASH,
      .re = RE_OWORD(RE_APOS "?") "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" RE_S },
};
static const struct scan_stage st_tekken[] = {
    { .kind = SCAN_O200K, .digits = 1, .flags = SCAN_SLASH | SCAN_NO_SUFFIX,
      .re = RE_OWORD("") "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" RE_S },
};
static const struct scan_stage st_kimi[] = {
    { .kind = SCAN_O200K, .digits = 3, .flags = SCAN_HAN,
      .re = "[\\p{Han}]+"
            "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*"
            "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+" RE_APOS "?"
            "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+"
            "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*" RE_APOS "?"
            "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" RE_S },
};
static const struct scan_stage st_tiny_aya[] = {
    { .kind = SCAN_DIGITS3, .re = "\\d{1,3}(?=(?:\\d{3})*\\b)", .flags = SCAN_DECIMAL | SCAN_EDGE },
    { .kind = SCAN_O200K, .digits = 3, .flags = 0,
      .re = RE_OWORD(RE_APOS "?") "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" RE_S },
};
static const struct scan_stage st_youtu[] = {
    RANGES("[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+", youtu_hangul),
    { .kind = SCAN_REGEX,
      .re = "[\\x{FF01}\\x{2026}\\x{201C}\\x{201D}\\x{2018}\\x{2019}\\x{2014}\\x{FF1A}\\x{FF1B}\\x{FF0C}"
            "\\x{3001}-\\x{303F}\\x{FE30}-\\x{FE4F}]+|[\\x{3105}-\\x{312F}]+"
            "|[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+" },
    { .kind = SCAN_O200K, .digits = 1, .flags = SCAN_SLASH,
      .re = RE_OWORD(RE_APOS "?") "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" RE_S },
};
static const struct scan_stage st_ds_llm[] = {
    { .kind = SCAN_RUN, .re = "[\\r\\n]", .range = line_breaks, .n_range = 2, .max = 1 },
    { .kind = SCAN_RUN, .re = "\\s?[" RE_DS_LETTERS "]+", .range = ds_letters,
      .n_range = ARRAY_LEN(ds_letters), .before = 's' },
    { .kind = SCAN_RUN, .before = 's', .range = ds_punct, .n_range = ARRAY_LEN(ds_punct),
      .re = "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+" },
    { .kind = SCAN_TRAIL, .re = "\\s+$" },
    RANGES("[\\x{0800}-\\x{9FA5}\\x{AC00}-\\x{D7FF}]+", ds_cjk),
    NUMBERS(0, "\\p{N}+"),
};
static const struct scan_stage st_ds_coder[] = {
    { .kind = SCAN_RUN, .re = "[\\r\\n]", .range = line_breaks, .n_range = 2, .max = 1 },
    { .kind = SCAN_RUN, .re = "\\s?\\p{L}+", .set = UNI_LETTER, .before = 's' },
    { .kind = SCAN_RUN, .re = "\\s?\\p{P}+", .set = UNI_PUNCT, .before = 's' },
    RANGES("[\\x{0800}-\\x{9FA5}\\x{AC00}-\\x{D7FF}]+", ds_cjk),
    NUMBERS(1, "\\p{N}"),
};
static const struct scan_stage st_ds_v3[] = {
    NUMBERS(3, "\\p{N}{1,3}"),
    RANGES("[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+", han_kana),
    { .kind = SCAN_DSV3, .re = RE_DSV3_WORDS " ?[\\p{P}\\p{S}]+[\\r\\n]*|" RE_S },
};
static const struct scan_stage st_spark[] = {
    NUMBERS(3, "\\p{N}{1,3}"),
    RANGES("[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+", han_kana),
    { .kind = SCAN_DSV3, .re = RE_DSV3_WORDS " ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+",
      .flags = SCAN_NO_TAIL | SCAN_NL_CHAR },
    NUMBERS(1, "\\p{N}"),
};
static const struct scan_stage st_afmoe[] = {
    { .kind = SCAN_DIGITS3, .re = "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))" },
    RANGES("[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{F900}-\\x{FAFF}\\x{3040}-\\x{30FF}\\x{FF65}-\\x{FF9F}"
           "\\x{2F00}-\\x{2FDF}\\x{0E40}-\\x{0E7F}\\x{0E80}-\\x{0EFF}\\x{1780}-\\x{17FF}\\x{1000}-\\x{109F}"
           "\\x{AA60}-\\x{AA7F}\\x{A9E0}-\\x{A9FF}\\x{AC00}-\\x{D7AF}\\x{1100}-\\x{11FF}]+", afmoe_asian),
    { .kind = SCAN_DSV3, .re = RE_DSV3_WORDS " ?[\\p{P}\\p{S}]+[\\r\\n]*|" RE_S },
};
static const struct scan_stage st_bloom[] = {
    { .kind = SCAN_RUN, .before = ' ', .set = UNI_SPACE, .range = bloom_stop,
      .n_range = ARRAY_LEN(bloom_stop), .negate = true,
      .re = " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{0964}\\x{06D4}\\x{060C})]+" },
};
static const struct scan_stage st_viking[] = {
    { .kind = SCAN_RUN, .before = ' ', .set = UNI_SPACE, .range = bloom_stop,
      .n_range = ARRAY_LEN(bloom_stop), .negate = true,
      .re = " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{0964}\\x{06D4}\\x{060C})]+" },
    NUMBERS(1, "\\p{N}"),
};
static const struct scan_stage st_superbpe[] = {
    NUMBERS(0, "\\p{N}+"),
    { .kind = SCAN_DIGITS3, .re = "(?=(\\d{3})+(?!\\d))", .flags = SCAN_DECIMAL | SCAN_POINTS },
};
static const struct scan_stage st_lines[] = {
    { .kind = SCAN_RUN, .re = "[^\\n]+", .range = newline, .n_range = 1, .negate = true },
};
static const struct scan_stage st_chameleon[] = {
    { .kind = SCAN_REGEX, .re = "<sentinel:[0-9]+>" },
    { .kind = SCAN_REGEX, .re = "IMGIMG[A-I]{1,4}Z" },
    { .kind = SCAN_REGEX, .re = "[\\t\\n]|    |  " },
    NUMBERS(1, "\\p{N}"),
    { .kind = SCAN_REGEX, .re = "[\\p{P}!-/:-@\\[-`{-~]" },
    GPT2,
};

#define ROW(list, st) .names = list, .stage = st, .n_stage = (int)ARRAY_LEN(st)

static const struct pre_row rows[] = {
    { ROW("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", st_llama3),
      .ignore_merges = true, .add_bos = true },
    { ROW("qwen2 qwen3", st_qwen2), .nfc = true },
    { ROW("deepseek-r1-qwen kormo f2llmv2 megrez hunyuan solar-open grok-2", st_qwen2) },
    { ROW("qwen35", st_qwen35), .nfc = true },
    { ROW("stablelm2", st_qwen2), .nfc = true },
    { ROW("gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert "
          "exaone4 jais trillion granite-docling", st_gpt2) },
    { ROW("mpt olmo", st_gpt2), .nfc = true },
    { ROW("jina-v1-en jina-v2-code roberta-bpe", st_gpt2), .add_sep = true },
    { ROW("default", st_default) },
    { ROW("falcon", st_falcon) },
    { ROW("starcoder refact command-r smollm codeshell exaone minerva-7b mellum2", st_starcoder) },
    { ROW("dbrx smaug-bpe glm4 chatglm-bpe", st_llama3) },
    { ROW("gpt-4o llama4 kanana2 minimax-m2", st_gpt4o) },
    { ROW("tekken", st_tekken), .ignore_merges = true, .add_bos = true },
    { ROW("kimi-k2", st_kimi) },
    { ROW("tiny_aya cohere2moe", st_tiny_aya) },
    { ROW("youtu", st_youtu), .ignore_merges = true },
    { ROW("deepseek-llm", st_ds_llm) },
    { ROW("deepseek-coder", st_ds_coder) },
    { ROW("deepseek-v3 step35 hunyuan-dense joyai-llm", st_ds_v3) },
    { ROW("spark2_5", st_spark) },
    { ROW("afmoe", st_afmoe) },
    { ROW("poro-chat bloom gpt3-finnish", st_bloom) },
    { ROW("viking", st_viking) },
    { ROW("superbpe", st_superbpe) },
    { ROW("seed-coder", st_seed) },
    { ROW("bailingmoe bailingmoe2 llada-moe", st_bailing) },
    { ROW("minicpm5", st_minicpm5) },
    { ROW("jais-2", st_jais2) },
    { ROW("laguna", st_laguna) },
    { ROW("exaone-moe", st_exaone_moe) },
    { ROW("chameleon", st_chameleon), .add_bos = true },
    { ROW("gemma4", st_lines), .spaces = true, .add_bos = true },
    { ROW("sarvam-moe", st_lines), .spaces = true },
};

const struct pre_row *pre_row_at(size_t i)
{
    return i < ARRAY_LEN(rows) ? &rows[i] : NULL;
}

const struct pre_row *pre_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (struct str rest = str_c(rows[i].names), item; str_cut(&rest, ' ', &item);)
            if (item.n && str_eq(item, name)) return &rows[i];
    return NULL;
}

int pre_add_scan(struct pre *p, const struct scan_stage *stage, enum pre_action action, bool invert,
                 struct err *e)
{
    if (p->n_stage == PRE_STAGES)
        return err_set(e, ERR_UNSUPP_MODEL, "a pre-tokenizer of more than %d stages", PRE_STAGES);
    if (!p->uni) {
        p->uni = mem_alloc(sizeof *p->uni);
        if (!p->uni) return err_nomem(e, "building a pre-tokenizer");
        uni_init(p->uni);
    }
    struct pre_stage st = { .scan = *stage, .action = action, .invert = invert };
    if (stage->kind == SCAN_REGEX) {
        int rc = tok_re_new(str_c(stage->re), &st.re, e);
        if (rc < 0) return rc;
        p->has_re = true;
    }
    scan_init(&st.scan);
    p->stage[p->n_stage++] = st;
    return 0;
}

int pre_init(struct pre *p, const struct scan_stage *stage, int n, struct err *e)
{
    for (int i = 0; i < n; i++) {
        int rc = pre_add_scan(p, &stage[i], PRE_ISOLATE, false, e);
        if (rc < 0) return rc;
    }
    return 0;
}

/* A stage whose pattern is the caller's: the copy is the stage's. */
static int add_copy(struct pre *p, struct scan_stage *stage, struct str s, enum pre_action action,
                    bool invert, struct err *e)
{
    char *copy = mem_alloc(s.n + 1);

    if (!copy) return err_nomem(e, "building a pre-tokenizer");
    str_copy_z(copy, s.n + 1, s);
    stage->re = copy;
    int rc    = pre_add_scan(p, stage, action, invert, e);
    if (rc < 0) mem_free(copy);
    else p->stage[p->n_stage - 1].text = copy;
    return rc;
}

int pre_add_regex(struct pre *p, struct str pattern, enum pre_action action, bool invert, struct err *e)
{
    if (memchr(pattern.p, 0, pattern.n))
        return err_set(e, ERR_UNSUPP_MODEL, "a pre-tokenizer pattern with a NUL in it");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int k = 0; k < rows[i].n_stage; k++)
            if (rows[i].stage[k].kind != SCAN_REGEX && str_eq(pattern, str_c(rows[i].stage[k].re)))
                return pre_add_scan(p, &rows[i].stage[k], action, invert, e);
    struct scan_stage stage = { .kind = SCAN_REGEX };
    return add_copy(p, &stage, pattern, action, invert, e);
}

int pre_add_literal(struct pre *p, struct str lit, enum pre_action action, bool invert, struct err *e)
{
    if (!lit.n || memchr(lit.p, 0, lit.n))
        return err_set(e, ERR_UNSUPP_MODEL, "a pre-tokenizer that splits at an empty string or a NUL");
    struct scan_stage stage = { .kind = SCAN_LITERAL };
    return add_copy(p, &stage, lit, action, invert, e);
}

void pre_release(struct pre *p)
{
    for (int i = 0; i < p->n_stage; i++) {
        tok_re_free(p->stage[i].re);
        mem_free(p->stage[i].text);
    }
    mem_free(p->uni);
    *p = (struct pre){ .n_stage = 0 };
}

/* --- the walk --- */

struct walk {
    const struct pre *pre;
    struct scan       scan[PRE_STAGES];
    struct tok_re_run run[PRE_STAGES];
    pre_fn           *fn;
    void             *ctx;
    struct err       *e;
};

static int cut(struct walk *w, int k, size_t at, size_t end);

/* A stage that does something else than isolate: segments come in order, each a match or not. */
struct joiner {
    bool   open;       // [from, to) waits for what follows
    bool   open_match;
    size_t from, to;
};

static int join(struct walk *w, int k, struct joiner *j, size_t from, size_t to, bool match)
{
    const struct pre_stage *st = &w->pre->stage[k];
    bool                    glue = false;

    if (from == to) return 0;
    if (st->invert) match = !match;
    switch (st->action) {
    case PRE_ISOLATE:
        break;
    case PRE_REMOVE:
        return match ? 0 : cut(w, k + 1, from, to);
    case PRE_CONTIG:
        glue = j->open && j->open_match == match;
        break;
    case PRE_PREVIOUS:
        glue = j->open && match && !j->open_match;
        break;
    case PRE_NEXT:
        glue = j->open && !match && j->open_match;
        break;
    }
    if (glue) {
        j->to         = to;
        j->open_match = match;
        return 0;
    }
    struct joiner was = *j;
    *j = (struct joiner){ .open = true, .open_match = match, .from = from, .to = to };
    return was.open ? cut(w, k + 1, was.from, was.to) : 0;
}

static int find(struct walk *w, int k, size_t at, size_t end, size_t *from, size_t *to)
{
    const struct pre_stage *st = &w->pre->stage[k];

    if (st->re) return tok_re_next(st->re, &w->run[k], w->scan[k].text, at, end, from, to, w->e);
    return scan_next(&w->scan[k], &st->scan, at, end, from, to);
}

static int cut(struct walk *w, int k, size_t at, size_t end)
{
    if (k == w->pre->n_stage) return at < end ? w->fn(w->ctx, at, end, w->e) : 0;

    const struct pre_stage *st    = &w->pre->stage[k];
    bool                    plain = st->action == PRE_ISOLATE;
    struct joiner           j     = { .open = false };
    while (at < end) {
        size_t from = end, to = end;
        int    rc   = find(w, k, at, end, &from, &to);
        if (rc < 0) return rc;
        if (!rc) from = to = end;
        if (plain) {
            if (from > at && (rc = cut(w, k + 1, at, from))) return rc;
            if (to > from && (rc = cut(w, k + 1, from, to))) return rc;
        } else if ((rc = join(w, k, &j, at, from, false)) || (rc = join(w, k, &j, from, to, true))) {
            return rc;
        }
        at = to;
    }
    return j.open ? cut(w, k + 1, j.from, j.to) : 0;
}

int pre_walk(const struct pre *p, const char *shadow, size_t n, pre_fn *fn, void *ctx, uint64_t *looked,
             struct err *e)
{
    struct walk w  = { .pre = p, .fn = fn, .ctx = ctx, .e = e };
    int         rc = 0;

    for (int i = 0; i < p->n_stage && !rc; i++) {
        w.scan[i] = (struct scan){ .uni = p->uni, .text = shadow };
        if (p->stage[i].re) rc = tok_re_start(p->stage[i].re, n, &w.run[i], e);
    }
    if (!rc) rc = cut(&w, 0, 0, n);
    for (int i = 0; i < p->n_stage; i++) {
        if (p->stage[i].re) tok_re_stop(&w.run[i]);
        if (looked) *looked += w.scan[i].looked;
    }
    return rc;
}
