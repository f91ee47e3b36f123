/* rkllm_name.c - names of files and of chips. */
#include "engines/rkllm/rkllm_name.h"

#define N_CTX_MAX 65536 // the toolkit makes at most 16384; more than this is no context length

static const struct rkllm_platform platforms[] = {
    { "rk3588", 3, 0xf0 }, { "rk3576", 2, 0xf0 }, { "rk3562", 1, 0x0f }, { "rv1126b", 1, 0x0f },
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool starts_nocase(struct str s, struct str head)
{
    return s.n >= head.n && str_eq_nocase(str_sub(s, 0, head.n), head);
}

const struct rkllm_platform *rkllm_platform_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(platforms); i++) {
        struct str p = str_c(platforms[i].name);
        if (starts_nocase(name, p) && (name.n == p.n || (name.n == p.n + 1 && !is_digit(name.p[p.n]))))
            return &platforms[i];
    }
    return NULL;
}

const struct rkllm_platform *rkllm_platform_of_tree(struct str compatible)
{
    struct str one;

    while (str_cut(&compatible, 0, &one)) {
        if (!str_starts(one, STR("rockchip,"))) continue;
        const struct rkllm_platform *p = rkllm_platform_find(str_from(one, 9));
        if (p) return p;
    }
    return NULL;
}

/* The next word of *rest: up to '-' or '_'. */
static bool next_word(struct str *rest, struct str *ret)
{
    size_t n = 0;

    if (rest->n == 0) return false;
    while (n < rest->n && rest->p[n] != '-' && rest->p[n] != '_') n++;
    *ret  = str_sub(*rest, 0, n);
    *rest = str_from(*rest, n + 1);
    return true;
}

/* `head` and a whole number: "npu3", "ctx16k". -1: it is not. */
static int numbered(struct str word, struct str head)
{
    int64_t v;
    int64_t times = 1;

    if (!starts_nocase(word, head) || word.n == head.n || !is_digit(word.p[head.n])) return -1;
    struct str num = str_from(word, head.n);
    if (num.p[num.n - 1] == 'k' || num.p[num.n - 1] == 'K') {
        num.n--;
        times = 1024;
    }
    return str_to_i64(num, &v) && v >= 0 && v <= N_CTX_MAX / times ? (int)(v * times) : -1;
}

/* "w8a8", "W4A16": digits after each of the two letters. */
static bool is_quant(struct str w)
{
    size_t i = 1;

    if (w.n < 4 || (w.p[0] != 'w' && w.p[0] != 'W')) return false;
    while (i < w.n && is_digit(w.p[i])) i++;
    if (i == 1 || i + 1 >= w.n || (w.p[i] != 'a' && w.p[i] != 'A')) return false;
    for (i++; i < w.n; i++)
        if (!is_digit(w.p[i])) return false;
    return true;
}

/* One word after the model's own name; false when it says nothing that is known. */
static bool take_word(struct str w, struct str rest, struct rkllm_name *n)
{
    const struct rkllm_platform *p = rkllm_platform_find(w);
    int                          v;

    if (is_quant(w)) {
        struct str group;
        n->quant = w;
        if (next_word(&rest, &group) && numbered(group, STR("g")) > 0) // the group's size belongs to it
            n->quant.n = (size_t)(group.p + group.n - w.p);
    } else if (p) {
        n->platform = p->name;
    } else if ((v = numbered(w, STR("npu"))) >= 0) {
        n->n_core = v <= 3 ? v : 0;
    } else if ((v = numbered(w, STR("ctx"))) >= 0) {
        n->n_ctx = v;
    } else if ((v = numbered(w, STR("opt"))) >= 0) {
        n->opt = v;
    } else if (str_eq_nocase(w, STR("opt"))) { // opt-1
        struct str level;
        v = next_word(&rest, &level) ? numbered(level, STR("")) : -1;
        if (v >= 0) n->opt = v;
    } else {
        return starts_nocase(w, STR("hybrid"));
    }
    return true;
}

struct rkllm_name rkllm_name_parse(struct str name)
{
    struct rkllm_name n     = { .quant = STR(""), .opt = -1 };
    struct str        rest  = name, w;
    bool              begun = false;

    if (str_ends(rest, STR(".rkllm"))) rest.n -= 6;
    n.model = rest;
    while (next_word(&rest, &w)) {
        if (!take_word(w, rest, &n) || begun) continue;
        begun     = true; // the model's own name ends before the first word that is not part of it
        n.model.n = (size_t)(w.p - n.model.p);
        if (n.model.n) n.model.n--;
    }
    size_t who = str_find_byte(n.model, '_'); // google_gemma-3-270m
    if (who != SIZE_MAX && who + 1 < n.model.n && str_find_byte(str_sub(n.model, 0, who), '-') == SIZE_MAX)
        n.model = str_from(n.model, who + 1);
    return n;
}
