/* rkllm_layout.c - the tables, and reading and writing through them. */
#include "engines/rkllm/rkllm_layout.h"

#include <string.h>

#define RKLLM_FIELD(name, v1_1, v1_2_0, v1_2, v1_3) [RKLLM_##name] = v1_1,
static const struct rkllm_layout layout_1_1 = { RKLLM_1_1, "1.1", false, false, {
#include "engines/rkllm/rkllm_layout.def"
} };
#undef RKLLM_FIELD

#define RKLLM_FIELD(name, v1_1, v1_2_0, v1_2, v1_3) [RKLLM_##name] = v1_2_0,
static const struct rkllm_layout layout_1_2_0 = { RKLLM_1_2_0, "1.2.0", false, true, {
#include "engines/rkllm/rkllm_layout.def"
} };
#undef RKLLM_FIELD

#define RKLLM_FIELD(name, v1_1, v1_2_0, v1_2, v1_3) [RKLLM_##name] = v1_2,
static const struct rkllm_layout layout_1_2 = { RKLLM_1_2, "1.2", false, true, {
#include "engines/rkllm/rkllm_layout.def"
} };
#undef RKLLM_FIELD

#define RKLLM_FIELD(name, v1_1, v1_2_0, v1_2, v1_3) [RKLLM_##name] = v1_3,
static const struct rkllm_layout layout_1_3 = { RKLLM_1_3, "1.3", true, true, {
#include "engines/rkllm/rkllm_layout.def"
} };
#undef RKLLM_FIELD

static const struct rkllm_layout *const all[RKLLM_FAMILIES] = {
    [RKLLM_1_1] = &layout_1_1, [RKLLM_1_2_0] = &layout_1_2_0, [RKLLM_1_2] = &layout_1_2, [RKLLM_1_3] = &layout_1_3,
};

const struct rkllm_layout *rkllm_layout(enum rkllm_family f)
{
    return all[f];
}

const struct rkllm_layout *rkllm_layout_find(struct str name)
{
    for (int i = 0; i < RKLLM_FAMILIES; i++)
        if (str_eq(name, str_c(all[i]->name))) return all[i];
    return NULL;
}

bool rkllm_has(const struct rkllm_layout *l, enum rkllm_field f)
{
    return l->at[f] >= 0;
}

static void put(const struct rkllm_layout *l, void *s, enum rkllm_field f, const void *v, size_t n)
{
    if (l->at[f] >= 0) memcpy((char *)s + l->at[f], v, n);
}

static void get(const struct rkllm_layout *l, const void *s, enum rkllm_field f, void *v, size_t n)
{
    if (l->at[f] >= 0) memcpy(v, (const char *)s + l->at[f], n);
}

void rkllm_put_i32(const struct rkllm_layout *l, void *s, enum rkllm_field f, int32_t v)
{
    put(l, s, f, &v, sizeof v);
}

void rkllm_put_i8(const struct rkllm_layout *l, void *s, enum rkllm_field f, int v)
{
    int8_t b = (int8_t)v;

    put(l, s, f, &b, sizeof b);
}

void rkllm_put_f32(const struct rkllm_layout *l, void *s, enum rkllm_field f, float v)
{
    put(l, s, f, &v, sizeof v);
}

void rkllm_put_size(const struct rkllm_layout *l, void *s, enum rkllm_field f, size_t v)
{
    put(l, s, f, &v, sizeof v);
}

void rkllm_put_ptr(const struct rkllm_layout *l, void *s, enum rkllm_field f, const void *v)
{
    put(l, s, f, &v, sizeof v);
}

int32_t rkllm_get_i32(const struct rkllm_layout *l, const void *s, enum rkllm_field f)
{
    int32_t v = 0;

    get(l, s, f, &v, sizeof v);
    return v;
}

int rkllm_get_i8(const struct rkllm_layout *l, const void *s, enum rkllm_field f)
{
    int8_t v = 0;

    get(l, s, f, &v, sizeof v);
    return v;
}

float rkllm_get_f32(const struct rkllm_layout *l, const void *s, enum rkllm_field f)
{
    float v = 0;

    get(l, s, f, &v, sizeof v);
    return v;
}

const void *rkllm_get_ptr(const struct rkllm_layout *l, const void *s, enum rkllm_field f)
{
    const void *v = NULL;

    get(l, s, f, &v, sizeof v);
    return v;
}
