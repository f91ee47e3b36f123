/* tmpl_is.c - tests: what may stand behind `is`. */
#include "chat/tmpl_int.h"

#define TEST(name, expr)                                                       \
    static struct val t_##name(struct run *r, struct val v, struct args *a)    \
    {                                                                          \
        (void)r;                                                               \
        (void)a;                                                               \
        return tmpl_bool(expr);                                                \
    }

/* Python looks names up in a dict, where not everything may be a key. */
static bool looked_up(struct run *r, struct val v)
{
    if (!tmpl_hashable(v)) tmpl_fail(r, "unhashable type: '%s'", tmpl_type(v));
    return !r->failed;
}

TEST(defined, v.kind != V_UNDEF)
TEST(undefined, v.kind == V_UNDEF)
TEST(none, v.kind == V_NONE)
TEST(boolean, v.kind == V_BOOL)
TEST(true, v.kind == V_BOOL && v.u.b)
TEST(false, v.kind == V_BOOL && !v.u.b)
TEST(integer, v.kind == V_INT)
TEST(float, v.kind == V_FLOAT)
TEST(number, tmpl_is_num(v))
TEST(string, v.kind == V_STR)
TEST(mapping, v.kind == V_DICT)
TEST(iterable, tmpl_iterable(v))
TEST(sequence, v.kind == V_STR || v.kind == V_LIST || v.kind == V_TUPLE || v.kind == V_DICT ||
                   v.kind == V_RANGE || v.kind == V_UNDEF)
TEST(callable, v.kind == V_MACRO || v.kind == V_FUNC || v.kind == V_METHOD || v.kind == V_JOINER ||
                   v.kind == V_LOOP || v.kind == V_UNDEF)
TEST(escaped, v.kind == V_STR && v.u.s->markup)
TEST(filter, looked_up(r, v) && v.kind == V_STR && tmpl_filter_find(v.u.s->text) != NULL)
TEST(test, looked_up(r, v) && v.kind == V_STR && tmpl_test_find(v.u.s->text) != NULL)
TEST(sameas, tmpl_same(v, a->pos[0]))
TEST(in, tmpl_contains(r, a->pos[0], v))
TEST(eq, tmpl_eq(r, v, a->pos[0]))
TEST(ne, !tmpl_eq(r, v, a->pos[0]))
TEST(lt, tmpl_truth(r, tmpl_binary(r, OP_LT, v, a->pos[0])))
TEST(le, tmpl_truth(r, tmpl_binary(r, OP_LE, v, a->pos[0])))
TEST(gt, tmpl_truth(r, tmpl_binary(r, OP_GT, v, a->pos[0])))
TEST(ge, tmpl_truth(r, tmpl_binary(r, OP_GE, v, a->pos[0])))
TEST(divisibleby, tmpl_eq(r, tmpl_binary(r, OP_MOD, v, a->pos[0]), tmpl_int(0)))
TEST(odd, tmpl_eq(r, tmpl_binary(r, OP_MOD, v, tmpl_int(2)), tmpl_int(1)))
TEST(even, tmpl_eq(r, tmpl_binary(r, OP_MOD, v, tmpl_int(2)), tmpl_int(0)))

static struct val case_test(struct run *r, struct val v, int what)
{
    struct val s = tmpl_str(r, v);

    return tmpl_bool(!r->failed && tmpl_step(r, s.u.s->text.n) && tmpl_str_is(s.u.s->text, what));
}

static struct val t_lower(struct run *r, struct val v, struct args *a)
{
    (void)a;
    return case_test(r, v, IS_LOWER);
}

static struct val t_upper(struct run *r, struct val v, struct args *a)
{
    (void)a;
    return case_test(r, v, IS_UPPER);
}

static const struct fn tests[] = {
    { "boolean", t_boolean, "", 0 },
    { "callable", t_callable, "", 0 },
    { "defined", t_defined, "", 0 },
    { "divisibleby", t_divisibleby, "num", 1 },
    { "eq", t_eq, "other", 1 },
    { "equalto", t_eq, "other", 1 },
    { "escaped", t_escaped, "", 0 },
    { "even", t_even, "", 0 },
    { "false", t_false, "", 0 },
    { "filter", t_filter, "", 0 },
    { "float", t_float, "", 0 },
    { "ge", t_ge, "other", 1 },
    { "greaterthan", t_gt, "other", 1 },
    { "gt", t_gt, "other", 1 },
    { "in", t_in, "seq", 1 },
    { "integer", t_integer, "", 0 },
    { "iterable", t_iterable, "", 0 },
    { "le", t_le, "other", 1 },
    { "lessthan", t_lt, "other", 1 },
    { "lower", t_lower, "", 0 },
    { "lt", t_lt, "other", 1 },
    { "mapping", t_mapping, "", 0 },
    { "ne", t_ne, "other", 1 },
    { "none", t_none, "", 0 },
    { "number", t_number, "", 0 },
    { "odd", t_odd, "", 0 },
    { "sameas", t_sameas, "other", 1 },
    { "sequence", t_sequence, "", 0 },
    { "string", t_string, "", 0 },
    { "test", t_test, "", 0 },
    { "true", t_true, "", 0 },
    { "undefined", t_undefined, "", 0 },
    { "upper", t_upper, "", 0 },
    { "==", t_eq, "other", 1 },
    { "!=", t_ne, "other", 1 },
    { "<", t_lt, "other", 1 },
    { "<=", t_le, "other", 1 },
    { ">", t_gt, "other", 1 },
    { ">=", t_ge, "other", 1 },
};

const struct fn *tmpl_test_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        if (str_eq(name, str_c(tests[i].name))) return &tests[i];
    return NULL;
}
