/* name.c - what the parts of a model's name mean. */
#include "gateway/name.h"

#include "base/cc.h"

enum part { PART_NAME, PART_QUANT, PART_PLATFORM, PART_BUILD, PART_FILE };

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* `s` is of the form of the pattern: letters as they are in either case, '#' one digit or more, '?' what
 * follows it may be missing. */
static bool like(struct str s, const char *p)
{
    size_t i = 0;

    for (; *p; p++) {
        if (*p == '?') {
            if (i == s.n) return true;
        } else if (*p == '#') {
            size_t from = i;
            while (i < s.n && digit(s.p[i])) i++;
            if (i == from) return false;
        } else if (i < s.n && lower(s.p[i]) == *p) {
            i++;
        } else {
            return false;
        }
    }
    return i == s.n;
}

static const struct {
    const char *like;
    enum part   is;
} parts[] = {
    /* GGUF's types; RKLLM's and other vendors' words */
    { "q#_k?_s", PART_QUANT }, { "q#_k_m", PART_QUANT }, { "q#_k_l", PART_QUANT }, { "q#_k_xl", PART_QUANT },
    { "q#_#", PART_QUANT }, { "q#", PART_QUANT }, { "q#f#", PART_QUANT }, { "iq#_xxs", PART_QUANT },
    { "iq#_xs", PART_QUANT }, { "iq#_s", PART_QUANT }, { "iq#_m", PART_QUANT }, { "iq#_nl", PART_QUANT },
    { "tq#_#", PART_QUANT }, { "f#", PART_QUANT }, { "bf#", PART_QUANT }, { "fp#", PART_QUANT },
    { "mxfp#", PART_QUANT }, { "nvfp#", PART_QUANT }, { "int#", PART_QUANT }, { "w#a#", PART_QUANT },
    { "w#a#_g#", PART_QUANT }, { "gptq", PART_QUANT }, { "awq", PART_QUANT }, { "qat", PART_QUANT },
    { "rk#", PART_PLATFORM }, { "rv#b", PART_PLATFORM }, { "ax#", PART_PLATFORM }, { "axcl", PART_PLATFORM },
    { "aarch#", PART_PLATFORM },
    { "opt#", PART_BUILD }, { "hybrid#", PART_BUILD }, { "hybrid#.#", PART_BUILD }, { "npu#", PART_BUILD },
    { "ctx#", PART_BUILD }, { "g#", PART_BUILD },
    { "gguf", PART_FILE }, { "rkllm", PART_FILE }, { "imat", PART_FILE }, { "ud", PART_FILE },
};

static enum part part_of(struct str s)
{
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (like(s, parts[i].like)) return parts[i].is;
    return PART_NAME;
}

static bool border(char c)
{
    return c == '-' || c == '_' || c == '.' || c == ' ' || c == ':' || c == '@';
}

/* Take the last part of *s that says how or what for; false when its end is the model's own name. The longest
 * one counts: Q8_0 before 0. */
static bool take_last(struct str *s, struct str *ret, enum part *is)
{
    for (size_t i = 1; i + 1 < s->n; i++) {
        if (!border(s->p[i])) continue;
        struct str tail = str_from(*s, i + 1);
        enum part  what = part_of(tail);
        if (what == PART_NAME) continue;
        *ret = tail;
        *is  = what;
        s->n = i;
        return true;
    }
    return false;
}

/* Without folders, ":latest", the publisher in front. */
static struct str bare(struct str s)
{
    for (size_t i = s.n; i-- > 0;) {
        if (s.p[i] != '/') continue;
        s = str_from(s, i + 1);
        break;
    }
    if (str_ends(s, STR(":latest"))) s.n -= 7;
    /* "google_gemma-3": letters, then _, then a letter, before any other border */
    size_t n = 0;
    while (n < s.n && ((lower(s.p[n]) >= 'a' && lower(s.p[n]) <= 'z') || digit(s.p[n]))) n++;
    if (n > 1 && n + 1 < s.n && s.p[n] == '_' && lower(s.p[n + 1]) >= 'a' && lower(s.p[n + 1]) <= 'z' &&
        part_of(str_from(s, n + 1)) == PART_NAME)
        s = str_from(s, n + 1);
    return s;
}

struct str name_short(struct str name, char dst[NAME_SHORT_MAX])
{
    struct str s = bare(name), part;
    enum part  is;
    size_t     n = 0;

    while (take_last(&s, &part, &is)) {}
    for (; n < s.n && n < NAME_SHORT_MAX; n++) dst[n] = s.p[n] == '_' || s.p[n] == ' ' ? '-' : lower(s.p[n]);
    return (struct str){ dst, n };
}

static bool head_nocase(struct str s, struct str head)
{
    return head.n <= s.n && str_eq_nocase(str_sub(s, 0, head.n), head);
}

/* What the asked name says of how and what for, the other one says too: a client that wants Q4_0 is not given
 * Q8_0. */
static bool says_no_more(struct str asked, struct str have)
{
    struct str s = bare(asked), want, part;
    enum part  is;

    while (take_last(&s, &want, &is)) {
        struct str h     = bare(have);
        bool       found = is == PART_FILE;
        while (!found && take_last(&h, &part, &is)) found = str_eq_nocase(part, want);
        if (!found) return false;
    }
    return true;
}

enum name_fit name_fits(struct str asked, struct str have, bool alias)
{
    char x[NAME_SHORT_MAX], y[NAME_SHORT_MAX];

    if (asked.n == 0 || have.n == 0 || asked.n > NAME_SHORT_MAX) return NAME_OTHER; // no model has a longer name
    if (str_eq(asked, have)) return alias ? NAME_ALIAS : NAME_ID;
    if (str_eq_nocase(asked, have)) return NAME_NOCASE;
    struct str a = name_short(asked, x), h = name_short(have, y);
    bool       more = a.n == 0 || !says_no_more(asked, have);
    if (!more && str_eq(a, h)) return NAME_SHORT;
    if (head_nocase(have, asked)) return NAME_HEAD;
    return !more && str_starts(h, a) && border(h.p[a.n]) ? NAME_HEAD : NAME_OTHER;
}

/* "0.6B", "270m": a number of thousands, millions or billions, as a part of its own. */
static bool is_params(struct str s)
{
    size_t i = 0;

    while (i < s.n && (digit(s.p[i]) || (s.p[i] == '.' && i))) i++;
    return i && i + 1 == s.n && (lower(s.p[i]) == 'b' || lower(s.p[i]) == 'm');
}

static int number(struct str s, size_t from)
{
    int64_t n;

    return str_to_i64(str_from(s, from), &n) && n > 0 && n < 1 << 24 ? (int)n : 0;
}

void name_read(struct str name, struct name_facts *ret)
{
    struct str s = bare(name), part;
    enum part  is;

    *ret = (struct name_facts){ .n_ctx = 0 };
    while (take_last(&s, &part, &is)) {
        if (is == PART_QUANT) ret->quant = part; // the first one in the name stays
        else if (is == PART_PLATFORM && !ret->platform.p) ret->platform = part;
        else if (like(part, "ctx#")) ret->n_ctx = number(part, 3);
        else if (like(part, "npu#")) ret->n_npu = number(part, 3);
    }
    for (size_t i = 0, n; i < s.n; i = n + 1) {
        for (n = i; n < s.n && (s.p[n] == '.' || !border(s.p[n]));) n++;
        if (is_params(str_sub(s, i, n - i))) ret->params = str_sub(s, i, n - i);
    }
}
