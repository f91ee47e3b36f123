/* tmpl_int.h - what the files of the template interpreter share.
 *
 *   tmpl_lex.c     template text -> tokens          tmpl_val.c   values: truth, order, access
 *   tmpl_parse.c   tokens -> statements             tmpl_dict.c  dicts
 *   tmpl_expr.c    tokens -> expressions            tmpl_str.c   strings that know who wrote them
 *   tmpl_eval.c    expressions -> values            tmpl_text.c  values as text: str, repr, JSON
 *   tmpl_exec.c    statements, loops, macros        tmpl_case.c  Unicode case and classes
 *   tmpl.c         compile, render                  tmpl_fmt.c   % and str.format
 *   tmpl_chat.c    requests and conversations       tmpl_meth.c  methods of strings, lists, dicts
 *   tmpl_fix.c     repairs of conversations         tmpl_func.c  range, namespace, raise_exception
 *   tmpl_caps.c    what a template can do           tmpl_filter.c filters on text and numbers
 *   tmpl_builtin.c templates for models without     tmpl_seq.c   filters on sequences
 *   tmpl_cli.c     one line of `curlew template`    tmpl_is.c    tests ("is defined")
 *
 * Failure while rendering is sticky, as in base/buf.h: the first tmpl_fail explains itself in the
 * caller's struct err, everything after it is skipped or yields None, and loops stop because
 * tmpl_step says no. So values flow as plain results and the code reads like the rules it
 * implements.
 */
#ifndef CURLEW_CHAT_TMPL_INT_H
#define CURLEW_CHAT_TMPL_INT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/map.h"
#include "chat/tmpl.h"
#include "json/json.h"

/* --- values --- */

enum val_kind {
    V_MISSING, // no value at all: an argument not given, a name not bound
    V_UNDEF,
    V_NONE,
    V_BOOL,
    V_INT,
    V_FLOAT,
    V_STR,
    V_LIST,
    V_TUPLE,
    V_DICT,
    V_RANGE,
    V_ITER,   // what a generator yields: can be walked once
    V_VIEW,   // dict.keys(), .values(), .items()
    V_NS,     // namespace()
    V_LOOP,
    V_MACRO,
    V_FUNC,   // range, raise_exception ...
    V_METHOD, // "x".upper, not yet called
    V_CYCLER,
    V_JOINER,
};

struct val {
    enum val_kind kind;
    union {
        bool             b;
        int64_t          i;
        double           f;
        struct vstr     *s;
        struct vlist    *l; // LIST, TUPLE, ITER, CYCLER
        struct vdict    *d; // DICT, NS
        struct vrange   *range;
        struct vview    *view;
        struct vmethod  *method;
        struct undef    *undef;
        struct loop     *loop;
        struct macro    *macro;
        struct vjoiner  *joiner;
        const struct fn *fn;
    } u;
};

/* Whose text: TRUST_ALL is the template's (and the server's), TRUST_NONE the client's. */
enum trust { TRUST_NONE, TRUST_ALL, TRUST_MIXED };

/* A run of one author's text, up to `end`. */
struct span {
    size_t end;
    bool   trusted;
};

/* Immutable text. Slices share text and spans: the spans count from `off` bytes before text.p, and
 * the last one may end behind the text. */
struct vstr {
    struct str         text;
    enum trust         trust;
    bool markup; // came from |safe or |escape: |escape leaves it alone, + escapes the rest
    size_t             n_char; // code points; SIZE_MAX until counted
    size_t             off;
    const struct span *span;   // [n_span], only for TRUST_MIXED
    size_t             n_span;
    struct sb         *grow;   // the builder whose head this text is, or NULL
};

struct vlist {
    struct val *v; // [n]
    size_t      n;
    size_t      cap;
    size_t      at;    // ITER: next to yield; CYCLER: current
    const char *late;  // ITER: what to complain about once somebody walks it, or NULL
    bool        group; // TUPLE of the groupby filter: has the names grouper and list
};

struct entry {
    struct val key;
    struct val v;
};

/* Insertion order; an index once it has more than a few entries. */
struct vdict {
    struct entry *e; // [n]
    size_t        n;
    size_t        cap;
    uint32_t     *index; // [n_index] entry + 1, 0 for none; open addressing
    size_t        n_index;
};

struct vrange {
    int64_t start, stop, step;
    size_t  n;
};

enum view { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS };

struct vview {
    struct vdict *d;
    enum view     what;
};

struct undef {
    struct str  name;
    const char *of;   // type of the object that lacks it, or NULL for a plain name
    const char *hint; // the whole message, or NULL
    bool        unsafe;
};

struct vmethod {
    struct val           self;
    const struct method *m;
};

struct vjoiner {
    struct val sep;
    bool       used;
};

/* --- syntax --- */

enum node_kind {
    /* expressions */
    N_CONST,   // val
    N_NAME,    // id, name
    N_LIST,    // item
    N_TUPLE,   // item
    N_DICT,    // item: key, value, key, value ...
    N_ATTR,    // a . name
    N_ITEM,    // a [ b ]
    N_SLICE,   // a [ item0 : item1 : item2 ], each may be NULL
    N_CALL,    // a ( args )
    N_FILTER,  // a | name ( args ); a is NULL for the body of a filter block
    N_TEST,    // a is name ( args )
    N_NOT,     // a
    N_NEG,     // a
    N_POS,     // a
    N_BIN,     // a op b
    N_AND,     // a, b
    N_OR,      // a, b
    N_COMPARE, // a, then item with op in each item's `op`
    N_CONCAT,  // item
    N_COND,    // a if b else c; c may be NULL
    /* statements */
    N_OUTPUT, // item
    N_IF,     // item: condition, N_BODY, condition, N_BODY ...; c the else N_BODY or NULL
    N_FOR, // a target, b sequence, item0 condition or NULL, item1 N_BODY, item2 else or NULL; flag
           // recursive
    N_SET, // a target, b value
    N_SETBLOCK,    // a target, b filter chain or NULL, c N_BODY
    N_MACRO,       // id, name, args: parameters with defaults, c N_BODY
    N_CALLBLOCK,   // a the call, b an N_MACRO without name
    N_FILTERBLOCK, // b filter chain, c N_BODY
    N_WITH,        // item: target, value, target, value ...; c N_BODY
    N_SCOPE,       // c N_BODY in a scope of its own
    N_BREAK,
    N_CONTINUE,
    N_REFUSE, // name: a statement that needs other templates
    N_BODY,   // item
    /* targets */
    N_NSREF, // id . name
};

enum op {
    OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_FLOORDIV, OP_MOD, OP_POW,
    OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_IN, OP_NOTIN,
};

/* One argument of a call, or one parameter of a macro. */
struct arg {
    enum { ARG_POS, ARG_NAMED, ARG_STAR, ARG_STARSTAR } kind;
    struct str         name;
    int                id;
    const struct node *v; // a parameter's default, NULL when it has none
};

struct node {
    enum node_kind      kind;
    enum op             op;
    int                 line;
    int                 height;
    int                 id;   // of the name
    bool                flag; // FOR: recursive
    bool                uses_caller, uses_varargs, uses_kwargs; // MACRO
    struct str          name;
    const struct node  *a, *b, *c;
    const struct node **item; // [n_item]
    int                 n_item;
    const struct arg   *arg; // [n_arg]
    int                 n_arg;
    struct val          val;
    const void         *fn; // FILTER, TEST: its row, NULL when there is none of that name
};

struct tmpl {
    struct arena       arena; // owns all below
    struct str         name;
    const struct node *body;
    struct map         ids;    // name -> (void *)(id + 1)
    int                n_name; // names of the template: ids 0 .. n_name-1
};

/* Names every template has, so that their ids are known here. */
enum { ID_LOOP, ID_CALLER, ID_VARARGS, ID_KWARGS, IDS_KNOWN };

/* --- tokens --- */

enum token_kind {
    T_EOF,
    T_DATA,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_VAR_BEGIN,
    T_VAR_END,
    T_NAME,
    T_STRING,
    T_INT,
    T_FLOAT,
    T_ADD,
    T_SUB,
    T_MUL,
    T_DIV,
    T_FLOORDIV,
    T_MOD,
    T_POW,
    T_TILDE,
    T_LBRACKET,
    T_RBRACKET,
    T_LPAREN,
    T_RPAREN,
    T_LBRACE,
    T_RBRACE,
    T_EQ,
    T_NE,
    T_GT,
    T_GE,
    T_LT,
    T_LE,
    T_ASSIGN,
    T_DOT,
    T_COLON,
    T_PIPE,
    T_COMMA,
    T_SEMICOLON,
};

struct token {
    enum token_kind kind;
    int           line;
    struct str    text; // DATA, NAME; STRING: without quotes, escapes resolved
    int64_t       i;
    double        f;
};

struct tokens {
    struct token *t; // [n], owned; the last is T_EOF
    size_t        n;
    size_t        cap;
};

/* Cut a template's text, newlines already normalised, into tokens. Texts are slices of it or in
 * `a`. */
NODISCARD int tmpl_lex(struct str text, struct arena *a, struct tokens *ret, struct err *e);
const char   *tmpl_token_name(enum token_kind k);

/* The parser's state, shared by statements and expressions. Failure is sticky here, too. */
struct parser {
    struct tmpl        *t;
    const struct token *tok; // current
    struct err         *e;
    bool                failed;
    int                 depth;
    int                 loops; // enclosing loops of this macro
    bool                saw_caller, saw_varargs, saw_kwargs;
    struct node         spare; // what could not be allocated; written, never read
};

void         tmpl_parse_fail(struct parser *p, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
void         tmpl_parse_nomem(struct parser *p);
bool         tmpl_parse_deeper(struct parser *p); // false: too deep; pair with p->depth--
struct node *tmpl_node(struct parser *p, enum node_kind kind, int line);
/* An id for a name; the same name has the same id. */
int          tmpl_name_id(struct parser *p, struct str name);
void         tmpl_next(struct parser *p); // to the next token; stays at the end
bool         tmpl_is(const struct parser *p, const char *name); // the current token is this name
bool         tmpl_skip(struct parser *p, const char *name);     // and step over it
bool         tmpl_accept(struct parser *p, enum token_kind k);
bool         tmpl_expect(struct parser *p, enum token_kind k);
void         tmpl_set_height(struct parser *p, struct node *n); // checks LIM_TMPL_TREE

/* A growing list of nodes on the heap, moved into the template's arena at its end. */
struct nodes {
    const struct node **v;
    size_t              n, cap;
};
void tmpl_nodes_put(struct parser *p, struct nodes *l, const struct node *n);
void tmpl_nodes_end(struct parser *p, struct nodes *l, struct node *into); // frees l

enum { EXPR_NO_COND = 1, EXPR_PARENS = 2 };
const struct node *tmpl_parse_expr(struct parser *p);
/* One or more expressions with commas; `end` is a name that also ends them, or NULL. */
const struct node *tmpl_parse_tuple(struct parser *p, unsigned flags, const char *end);
const struct node *tmpl_parse_primary(struct parser *p, bool with_ns);
const struct node *tmpl_parse_filters(struct parser *p, const struct node *on, bool inline_first);

/* All of it. The tokens' texts must live as long as t. */
NODISCARD int tmpl_parse(struct tmpl *t, const struct token *tok, struct err *e);

/* --- running --- */

struct bind {
    int        id;
    struct val v;
};

struct scope {
    struct scope *up; // NULL for the root, whose names are in run.root
    struct bind  *b;  // [n]
    int           n, cap;
    bool          held; // a macro refers to it: not to be used again
};

struct macro {
    const struct node *node;
    struct scope      *scope; // where it was defined
};

/* A string being written. */
struct sb {
    struct run  *r;
    char        *p;
    size_t       n, cap;
    size_t       max;
    enum trust   trust;
    struct span *span;
    size_t       n_span, cap_span;
};

struct run {
    const struct tmpl *t;
    struct arena      *a;
    struct err        *e;
    bool               failed;
    bool               raised; // by raise_exception
    int                line;
    int                depth;  // evaluations inside evaluations
    int                calls;  // macros inside macros
    int64_t            fuel;   // sixteenths of a step left
    int64_t            now_s;
    uint64_t           hash_key[2];
    struct sb         *out;
    struct scope      *scope;
    struct val        *root; // [t->n_name]
};

/* Explain the first failure; later ones are ignored. Returns None, so that `return tmpl_fail(...)`
 * is the whole error path. The template's name and line are put in front. */
struct val tmpl_fail(struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct val tmpl_fail_code(struct run *r, enum err_code code, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
struct val tmpl_fail_undef(struct run *r, struct val v);
/* Work of this size is about to be done; false when it must not be: failed, or out of fuel. */
bool       tmpl_step(struct run *r, size_t sixteenths);
#define TMPL_BYTES(n) (1 + (n) / 64) // fuel for touching n bytes
/* The arena gave no `size` bytes: its ceiling (TOO_LARGE), or the system (NO_MEMORY). */
struct val tmpl_no_room(struct run *r, size_t size);
void *tmpl_alloc(struct run *r, size_t n, size_t size); // zeroed; NULL is a failure already told

/* Arguments of a call, evaluated. */
struct kwarg {
    struct str name;
    struct val v;
    bool       client; // the name came from the client, through **
};
struct args {
    struct val   *pos; // [n_pos]
    int           n_pos;
    struct kwarg *kw; // [n_kw]
    int           n_kw;
};

typedef struct val (*fn_call)(struct run *r, struct val self, struct args *a);

/* A row of a table of filters, tests, functions. With `params` ("width,first,blank") arguments are
 * bound by position and name, pos[] has one for each parameter, MISSING where none was given; the
 * first n_min must be there. Without, the function looks at the raw arguments. */
struct fn {
    const char *name;
    fn_call     call;
    const char *params;
    int         n_min;
};

struct method {
    struct fn fn;
    bool      refused; // would change the object
};

/* Bind arguments as the row says (false: failed), then call. */
bool       tmpl_bind(struct run *r, const struct fn *f, struct args *a);
struct val tmpl_fn_call(struct run *r, const struct fn *f, struct val self, struct args *a);

const struct fn     *tmpl_filter_find(struct str name);
const struct fn     *tmpl_test_find(struct str name);
const struct fn     *tmpl_seq_filters(size_t *n);
const struct fn     *tmpl_text_filters(size_t *n);
const struct method *tmpl_method_find(struct val self, struct str name);
const struct fn     *tmpl_funcs(size_t *n);

/* tmpl_val.c */
#define VAL_MISSING ((struct val){ .kind = V_MISSING })
#define VAL_NONE    ((struct val){ .kind = V_NONE })
struct val  tmpl_bool(bool b);
struct val  tmpl_int(int64_t i);
struct val  tmpl_float(double f);
struct val  tmpl_undef(struct run *r, struct str name, const char *of);
struct val  tmpl_undef_hint(struct run *r, const char *hint);
struct val  tmpl_list_new(struct run *r, enum val_kind kind, size_t n_hint);
void        tmpl_list_put(struct run *r, struct val list, struct val v);
struct val  tmpl_tuple2(struct run *r, struct val a, struct val b);
struct val  tmpl_dict_new(struct run *r, enum val_kind kind);
void        tmpl_dict_put(struct run *r, struct val dict, struct val key, struct val v);
/* MISSING when there is no such key. */
struct val  tmpl_dict_get(struct run *r, struct val dict, struct val key);
bool        tmpl_hashable(struct val v);
struct val  tmpl_dict_get_c(struct run *r, struct val dict, const char *key);
bool        tmpl_truth(struct run *r, struct val v);
bool        tmpl_eq(struct run *r, struct val a, struct val b);
bool        tmpl_same(struct val a, struct val b); // Python's `is`
/* <0, 0, >0; fails when the two have no order. `op` is for the message. */
int         tmpl_cmp(struct run *r, struct val a, struct val b, const char *op);
bool        tmpl_contains(struct run *r, struct val seq, struct val v);
const char *tmpl_type(struct val v); // Python's name of the type
bool        tmpl_is_num(struct val v); // int, float or bool
bool        tmpl_is_int(struct val v); // int or bool
int64_t     tmpl_as_int(struct val v); // of an int or bool
double      tmpl_as_float(struct val v);
bool        tmpl_iterable(struct val v);
/* len(); false when the value has none (nothing is reported). */
bool        tmpl_len(struct run *r, struct val v, size_t *ret);
/* All elements as a list that must not be changed (it may be the value's own). Fails when not
 * iterable. A generator is used up. */
struct vlist *tmpl_elems(struct run *r, struct val v);
struct val  tmpl_attr(struct run *r, struct val obj, struct str name);  // obj.name
struct val  tmpl_item(struct run *r, struct val obj, struct val key);   // obj[key]
struct val    tmpl_slice(struct run *r, struct val obj, struct val from, struct val to,
                         struct val step);
struct val    tmpl_from_json(struct run *r, const struct json *j,
                             bool trusted); // strings are borrowed
/* Resolve Python's slice bounds for a sequence of n; false: failed. *count elements from *at by
 * *by; the bound itself goes to *end (may be NULL). */
bool tmpl_slice_bounds(struct run *r, size_t n, struct val from, struct val to, struct val step,
                       int64_t *at, int64_t *by, size_t *count, int64_t *end);

/* tmpl_str.c */
void       tmpl_sb_init(struct sb *b, struct run *r, size_t max);
void       tmpl_sb_put(struct sb *b, struct str s, bool trusted);
void       tmpl_sb_str(struct sb *b, const struct vstr *s);
void       tmpl_sb_sub(struct sb *b, const struct vstr *s, size_t from, size_t to); // bytes
void       tmpl_sb_fill(struct sb *b, struct str s, size_t times, bool trusted);
struct val tmpl_sb_end(struct sb *b); // the builder is done with
struct val tmpl_str_new(struct run *r, struct str text, bool trusted); // text borrowed
struct val tmpl_str_c(struct run *r, const char *z);                   // a literal of ours: trusted
struct val tmpl_str_sub(struct run *r, const struct vstr *s, size_t from,
                        size_t to);                                // bytes, shared
struct val tmpl_concat(struct run *r, struct val a, struct val b); // two strings
struct val tmpl_str_markup(struct run *r, struct val s, bool markup);
bool       tmpl_trusted(const struct vstr *s);
/* Trust of the run at byte `at`, and where it ends. */
bool       tmpl_span_at(const struct vstr *s, size_t at, size_t *end);
size_t     tmpl_n_char(struct vstr *s);
/* Byte offset of the code point number `i` (clamped to the end). */
size_t     tmpl_char_at(struct vstr *s, size_t i);
size_t     tmpl_char_len(struct str s); // bytes of the first character, >= 1 for non-empty s
size_t     tmpl_find(struct str s, struct str needle, size_t from); // SIZE_MAX: not there
size_t     tmpl_find_last(struct run *r, struct str s, struct str needle, size_t before);
struct val tmpl_replace(struct run *r, const struct vstr *s, const struct vstr *old,
                        const struct vstr *by, int64_t count);
struct val tmpl_split(struct run *r, const struct vstr *s, const struct vstr *sep, int64_t max,
                      bool right);
struct val tmpl_lines(struct run *r, const struct vstr *s, bool keep_ends);
struct val tmpl_strip(struct run *r, const struct vstr *s, const struct vstr *chars, bool left,
                      bool right);
struct val tmpl_join(struct run *r, const struct vstr *sep, const struct vlist *l, bool convert);
struct val tmpl_repeat(struct run *r, struct val s, int64_t times);
struct val tmpl_escape(struct run *r, struct val v); // &, <, >, ', " as HTML entities

/* tmpl_text.c */
struct val tmpl_str(struct run *r, struct val v); // str(v): always a V_STR
void       tmpl_put_str(struct sb *b, struct val v);
void       tmpl_put_repr(struct sb *b, struct val v);
struct val tmpl_repr(struct run *r, struct val v);
struct json_opts {
    struct str indent;     // of one level
    bool       pretty;     // break lines
    bool       ascii;      // \u escapes for what is not ASCII
    bool       sort_keys;
    struct str item_sep, key_sep;
    bool       client; // one of these texts came from the client
};
struct val tmpl_json(struct run *r, struct val v, const struct json_opts *o);
#define TMPL_NUM_MAX 40
size_t     tmpl_float_text(double f, char out[TMPL_NUM_MAX]); // Python's repr
bool       tmpl_text_trusted(struct run *r, struct val v);    // all strings in it are

/* tmpl_fmt.c */
struct val tmpl_percent(struct run *r, const struct vstr *fmt, struct val arg);
struct val tmpl_format(struct run *r, const struct vstr *fmt, struct args *a);

/* tmpl_case.c */
enum casing { CASE_LOWER, CASE_UPPER, CASE_TITLE, CASE_CAPITAL, CASE_SWAP, CASE_FOLD };
struct val tmpl_case(struct run *r, const struct vstr *s, enum casing c);
bool       tmpl_cp_space(uint32_t cp);
bool       tmpl_cp_alpha(uint32_t cp);
bool       tmpl_cp_word(uint32_t cp);  // \w
bool       tmpl_cp_print(uint32_t cp); // str.isprintable
bool       tmpl_cp_ident(uint32_t cp, bool first);
enum { IS_ALPHA, IS_DIGIT, IS_ALNUM, IS_SPACE, IS_UPPER, IS_LOWER, IS_TITLE, IS_ASCII, IS_NUMERIC,
       IS_DECIMAL, IS_IDENT, IS_PRINT };
bool       tmpl_str_is(struct str s, int what);

/* tmpl_eval.c */
struct val tmpl_eval(struct run *r, const struct node *n);
struct val tmpl_binary(struct run *r, enum op op, struct val a, struct val b);
struct val tmpl_call(struct run *r, struct val f, struct args *a);
struct val tmpl_apply_filter(struct run *r, const struct node *chain, struct val on);
struct val tmpl_call_filter(struct run *r, struct str name, struct val v, struct args *a);
struct val tmpl_call_test(struct run *r, struct str name, struct val v, struct args *a);
bool       tmpl_eval_args(struct run *r, const struct node *n, struct args *ret);

/* tmpl_exec.c */
void       tmpl_exec_body(struct run *r, const struct node *body);
struct val tmpl_call_macro(struct run *r, struct macro *m, struct args *a);
struct val tmpl_loop_attr(struct run *r, struct loop *l, struct str name);
struct val tmpl_loop_recurse(struct run *r, struct loop *l, struct args *a);

/* tmpl.c and tmpl_chat.c: what to render, as values. */
struct input {
    struct val         messages, tools, documents;
    const struct json *kwargs;
    struct str         effort; // or p NULL
    struct doc_link   *docs;   // parsed from the request's JSON texts; freed by tmpl_input_free
};
void          tmpl_set(struct run *r, struct str name, struct val v); // a global variable
void tmpl_run_init(struct run *r, const struct tmpl *t, const struct tmpl_in *in, struct arena *a,
                   struct err *e);
NODISCARD int tmpl_input_load(struct run *r, const struct tmpl_in *in, struct input *ret);
void          tmpl_input_free(struct input *x);
/* JSON text as a value that lives as long as the input; NULL when it is none, or (r->failed) out of
 * memory. */
const struct json *tmpl_input_parse(struct run *r, struct input *x, struct str text);
/* The messages of a request as the template sees them, with the shape the API gave them. */
struct val    tmpl_messages_from_req(struct run *r, const struct chat_req *req);
/* Run the whole template anew. May be called again after a failure. */
NODISCARD int tmpl_exec_with(struct run *r, const struct tmpl_in *in, const struct input *x,
                             struct val messages, struct val *ret);
NODISCARD int tmpl_pieces(struct run *r, const struct vstr *s, struct tmpl_out *ret);
/* Cut a rendering behind the content of the final message. */
NODISCARD int tmpl_cut_final(struct run *r, const struct tmpl_in *in, const struct input *x,
                             struct val messages, struct val *v);

/* tmpl_fix.c: repairs make new lists, and say in `changed` whether there was something to do. */
struct fix {
    struct run             *r;
    struct input           *x;
    const struct tmpl_caps *caps;
    bool                    changed;
};
struct repair {
    enum tmpl_repair what;
    struct val (*fix)(struct fix *f, const struct vlist *messages);
};
#define TMPL_N_REPAIRS 8
extern const struct repair tmpl_repairs[TMPL_N_REPAIRS]; // in the order they are tried
/* Contents, arguments and reasoning of all messages as caps want them. */
struct val tmpl_fix_shape(struct fix *f, const struct vlist *messages, unsigned *done);
/* A copy of a dict with one more or another value, or (MISSING) one less. */
struct val tmpl_with(struct run *r, struct val dict, const char *key, struct val v);

#endif
