/* tok_uni.c - character classes from utf8proc's tables. */
#include "token/tok_uni.h"

#include <utf8proc.h>

#include "base/utf8.h"

static bool is_white_space(uint32_t cp)
{
    /* PropList.txt, White_Space. */
    switch (cp) {
    case 0x09: case 0x0A: case 0x0B: case 0x0C: case 0x0D: case 0x20: case 0x85: case 0xA0:
    case 0x1680: case 0x2028: case 0x2029: case 0x202F: case 0x205F: case 0x3000:
        return true;
    default:
        return cp >= 0x2000 && cp <= 0x200A;
    }
}

uint8_t uni_class_of(uint32_t cp)
{
    if (cp > 0x10FFFF) return 0;
    if (is_white_space(cp)) return UNI_SPACE;

    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LT:
        return UNI_UPPER;
    case UTF8PROC_CATEGORY_LL:
        return UNI_LOWER;
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO:
        return UNI_OTHER;
    case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME:
        return UNI_MARK;
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO:
        return UNI_NUM;
    case UTF8PROC_CATEGORY_PC: case UTF8PROC_CATEGORY_PD: case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE: case UTF8PROC_CATEGORY_PI: case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return UNI_PUNCT;
    case UTF8PROC_CATEGORY_SM: case UTF8PROC_CATEGORY_SC: case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
        return UNI_SYM;
    case UTF8PROC_CATEGORY_CN: case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS: case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP: // taken above
        break;
    }
    return 0;
}

void uni_init(struct uni *u)
{
    for (uint32_t cp = 0; cp < 0x10000; cp++) u->cls[cp] = uni_class_of(cp);
}

int uni_next_slow(const char *text, size_t at, size_t n, uint32_t *cp)
{
    int len = utf8_decode((struct str){ text + at, n - at }, cp);

    if (len > 0) return len;
    *cp = UNI_BAD;
    return 1;
}

struct range {
    uint32_t first, last;
};

static bool in_ranges(const struct range *r, size_t n, uint32_t cp)
{
    for (size_t i = 0; i < n; i++)
        if (cp >= r[i].first && cp <= r[i].last) return true;
    return false;
}

bool uni_is_han(uint32_t cp)
{
    /* Scripts.txt of Unicode 15, Han. */
    static const struct range han[] = {
        { 0x4E00, 0x9FFF },   { 0x3400, 0x4DBF },   { 0x2E80, 0x2E99 },   { 0x2E9B, 0x2EF3 },
        { 0x2F00, 0x2FD5 },   { 0x3005, 0x3005 },   { 0x3007, 0x3007 },   { 0x3021, 0x3029 },
        { 0x3038, 0x303B },   { 0xF900, 0xFA6D },   { 0xFA70, 0xFAD9 },   { 0x16FE2, 0x16FE3 },
        { 0x16FF0, 0x16FF1 }, { 0x20000, 0x2A6DF }, { 0x2A700, 0x2B739 }, { 0x2B740, 0x2B81D },
        { 0x2B820, 0x2CEA1 }, { 0x2CEB0, 0x2EBE0 }, { 0x2F800, 0x2FA1D }, { 0x30000, 0x3134A },
        { 0x31350, 0x323AF },
    };
    return cp >= 0x2E80 && in_ranges(han, ARRAY_LEN(han), cp);
}

bool uni_is_cjk(uint32_t cp)
{
    /* The blocks in google-research/bert's tokenization.py; one of them reaches further in the
     * fast tokenizer's port (2B920 for 2B820), which the vectors were made with. */
    static const struct range cjk[] = {
        { 0x4E00, 0x9FFF },   { 0x3400, 0x4DBF },   { 0x20000, 0x2A6DF }, { 0x2A700, 0x2B73F },
        { 0x2B740, 0x2B81F }, { 0x2B920, 0x2CEAF }, { 0xF900, 0xFAFF },   { 0x2F800, 0x2FA1F },
    };
    return cp >= 0x3400 && in_ranges(cjk, ARRAY_LEN(cjk), cp);
}

/* UAX #15's quick check, stricter than its tables: a character above U+02FF passes when it neither
 * decomposes canonically nor may combine with one before it (all that may are marks or Hangul parts).
 * Precomposed letters above U+02FF (Vietnamese, polytonic Greek) so take the slow way to the same
 * text. */
bool uni_surely_nfc(struct str text)
{
    for (size_t at = 0; at < text.n;) {
        unsigned char c = (unsigned char)text.p[at];
        if (c < 0xCC) { // U+0000..U+02FF, or a byte that is no head
            at++;
            continue;
        }
        uint32_t cp;
        int      len = uni_next_slow(text.p, at, text.n, &cp);
        at += (size_t)len;
        if (cp == UNI_BAD) continue;
        if (cp >= 0xAC00 && cp <= 0xD7A3) continue; // Hangul syllables are composed
        if (cp >= 0x1100 && cp <= 0x11FF) return false; // their parts
        const utf8proc_property_t *prop = utf8proc_get_property((utf8proc_int32_t)cp);
        if (prop->combining_class || uni_class_of(cp) == UNI_MARK) return false;
        if (prop->decomp_seqindex != UINT16_MAX && !prop->decomp_type) return false;
    }
    return true;
}
