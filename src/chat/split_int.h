/* split_int.h - what the files of the splitter share.
 *
 *     split.c       bytes in, events out; answer and reasoning; marks; sections of calls
 *     split_body.c  which grammar a call has; calls as JSON
 *     split_xml.c   calls as tags          split_word.c  calls that begin with a word
 *     split_py.c    calls as in Python     split_head.c  families with headers (harmony, functionary)
 *     split_arg.c   arguments one by one   split_type.c  their types by the tool's schema
 *     split_val.c   one value, read leniently, written as JSON
 *     split_fmt.c   the tables: formats, reasoning marks, turn marks; which one a template means
 *
 * Everything goes through split_feed one byte at a time, so that cuts between pieces cannot matter.
 * While a call is uncertain its bytes are in `hold`; if it fails, they are read again (`redo`) as
 * answer text.
 */
#ifndef CURLEW_CHAT_SPLIT_INT_H
#define CURLEW_CHAT_SPLIT_INT_H

#include "base/buf.h"
#include "base/limits.h"
#include "base/rng.h"
#include "chat/split.h"
#include "json/json.h"

/* --- a value --- */

enum val_state {
    VAL_VALUE,  // a value must come
    VAL_ITEM,   // a value or the end of the array
    VAL_KEY,    // a key or the end of the object
    VAL_COLON,
    VAL_NEXT,   // a comma or the end of the container
    VAL_OPEN1,  // after one quote: the text, or a second quote
    VAL_OPEN2,  // after two: the string was empty, or a third quote
    VAL_STR,
    VAL_ESC,    // after a backslash
    VAL_HEX,    // digits of \x, \u, \U
    VAL_QUOTE,  // inside a quote mark of more than one byte, at its beginning
    VAL_WORD,   // number, literal, bare key
    VAL_END,
};

enum val_step { VAL_MORE, VAL_DONE, VAL_BACK, VAL_BAD }; // BACK: done before this byte

#define VAL_WORD_MAX 128

struct val {
    enum val_state state;
    int            depth;
    char           open[LIM_SPLIT_DEPTH]; // { [ or ( of each level
    bool           some[LIM_SPLIT_DEPTH]; // the level has a member
    bool           key;                   // the string or word being read is a key
    bool           raw;                   // one string: written without quotes and escapes
    bool           bare;                  // words that are no literal are strings
    char           quote;                 // ' or ", or 0: the quote mark
    bool           triple;
    int            n_quote;               // closing quotes seen of three, or bytes of the mark
    struct str     qmark;                 // a quote mark of several bytes, or STR_NULL
    uint32_t       cp, hi;                // \u being read; a high surrogate that waits
    int            n_hex, hex_left;
    char           word[VAL_WORD_MAX];
    size_t         n_word;
    enum json_kind kind;                  // of the outermost value, once begun
};

void split_val_init(struct val *v);
/* The next byte; JSON goes to out (NULL: nowhere). After DONE, BACK or BAD the value is over. */
enum val_step split_val_byte(struct val *v, char c, struct buf *out);
/* Write what makes the value whole, wherever it is. */
void split_val_close(struct val *v, struct buf *out);
/* Write what is held of a number or literal, as it is: the value was cut off. */
void split_val_cut(struct val *v, struct buf *out);
void split_val_put_esc(struct buf *out, char c); // a byte of a string's text
/* All of text (blanks around it apart) is one value: written to out. Else false, out as before. */
bool split_val_convert(struct str text, struct buf *out, enum json_kind *kind);

static inline bool split_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* --- tables --- */

enum {
    RULE_TOKEN = 1, // the opener is a token of its own: it also ends reasoning, if that is open
    RULE_START = 2, // only where the answer has no text yet
    RULE_KEYED = 4, // {"name": {arguments}}
    RULE_KNOWN = 8, // only tools on offer (if they are known), only recognised keys: no mark says so
    RULE_KIMI  = 16, // the word before the arguments is an id, "functions.NAME:INDEX"
    RULE_WORD  = 32, // a word alone is a call without arguments
    RULE_EXACT = 64, // line ends around a value belong to it
    RULE_LOOSE = 128, // calls may come without the inner marks
};

/* One way to write calls:  open  [inner call inner_end]...  close.  Where `inner` is there, each call
 * has its own marks; ends are matched if they come and not missed if they don't. */
struct split_rule {
    const char *open, *close, *inner, *inner_end;
    unsigned    flags;
    int         keep;  // last bytes of the opener that belong to the call already
    const char *quote; // quote mark of strings
};

enum split_id { SPLIT_ID_CALL24, SPLIT_ID_NINE, SPLIT_ID_MODEL };

#define SPLIT_RULES 16
struct split_row {
    const char       *name;
    const char       *detect[3]; // all of these are in the template
    struct split_rule rule[SPLIT_RULES];
    bool              bare_json, bare_py; // an answer that begins with { or [ may be calls
    bool              channels;           // harmony
    bool              all;                // the rules of all other rows too
    bool              recipients;         // functionary: "all\n...>>>name\n{...}"
    enum split_id     id;
};

struct split_pair {
    const char *open, *close;
    unsigned    flags;    // RULE_TOKEN, RULE_START
    bool        asked;    // only if the template speaks of it
};
extern const struct split_row  split_row_tab[];
extern const size_t            split_row_n;
extern const struct split_pair split_think_tab[];
extern const size_t            split_think_n;
extern const struct split_pair split_wrap_tab[]; // around the answer
extern const size_t            split_wrap_n;
extern const char *const       split_turn_tab[];
extern const size_t            split_turn_n;

/* Which pair of split_think_tab the end of the prompt has opened, or -1. */
int split_prompt_think(const struct split_form *f, struct str prompt);

/* --- the splitter --- */

enum split_state {
    SPLIT_TEXT,
    SPLIT_THINK,
    SPLIT_SECT, // among calls: a call, the section's end
    SPLIT_BODY, // in a call
    SPLIT_HEAD, // in a header
};

enum body_state {
    BODY_ITEM, // a call may begin
    BODY_JSON,
    BODY_XML,
    BODY_WORD,
    BODY_PY,
};

enum xml_state { XML_GAP, XML_TAG, XML_VALUE, XML_JSON };
enum py_state { PY_ARG, PY_BLANK, PY_KEYED, PY_VALUE, PY_NEXT };
enum word_state {
    WORD_NAME, WORD_GAP, WORD_MARK, WORD_ID, WORD_FENCE, WORD_JSON, // then GLM's arguments:
    WORD_KEY, WORD_VALUE_GAP, WORD_VALUE, WORD_NEXT,
};

enum json_state {
    CJ_KEY,    // a key or the end of the object
    CJ_COLON,
    CJ_VALUE,  // what it is depends on the key
    CJ_ITEM,   // in a list: an object or its end
    CJ_NAME,   // reading the name
    CJ_ARGS,   // reading the arguments
    CJ_STR,    // arguments as a string of JSON
    CJ_SKIP,   // a value nobody wants
    CJ_NEXT,   // a comma or the end
};

enum body_step { STEP_MORE, STEP_END, STEP_BACK, STEP_BAD }; // BACK: ended before this byte

enum mark_kind { MARK_THINK, MARK_UNTHINK, MARK_WRAP, MARK_UNWRAP, MARK_TURN, MARK_CALL, MARK_HEAD };

struct mark {
    struct str     text;
    enum mark_kind kind;
    int            index; // in its table
    unsigned       flags;
    const struct split_rule *rule; // MARK_CALL
};

#define SPLIT_MARKS  256
#define SPLIT_NEST   8

struct split {
    struct split_conf  conf;
    split_emit        *emit;
    void              *ctx;
    bool               nomem;
    struct rng         rng;

    enum split_state state;
    struct mark      mark[SPLIT_MARKS]; // those of answer text, then those of reasoning
    int              n_mark[2];
    bool             first[2][256];     // a mark begins with this byte
    char             part[LIM_SPLIT_MARK_BYTES + 1]; // what may be the head of a mark
    size_t           n_part;

    struct buf redo; // bytes to read again before new ones
    size_t     redo_at, redo_all;

    /* answer and reasoning */
    struct buf out; // events that wait to be one
    enum chat_event_kind out_kind;
    struct buf blank[2];   // white space that may stand before a mark: answer, reasoning
    bool       text_any;   // some answer text was sent
    bool       think_any;  // the open block has text
    int        lead;       // white space before the next text goes: 1 line ends, 2 all
    bool       turn_seen;
    int        think;      // which pair is open
    uint32_t   wrapped;    // which marks around the answer are open

    /* calls */
    const struct split_rule *rule;
    struct buf       hold;    // bytes that become text should the call fail
    size_t           open_n;  // of them the opener
    enum split_state from;    // where the opener stood
    bool             live;    // CALL was sent for the call being read, it cannot fail any more
    bool             any;     // the section has had a call
    int              n_call;
    enum body_state  body;
    bool             list, list_any; // inside [ ]; it has had a call
    struct buf       name, id, word; // word: key or tag being read
    struct buf       args;    // arguments that came before their name
    bool             has_args;
    struct val       val;
    struct val       inner;   // JSON inside a string
    /* JSON */
    enum json_state  cj;
    char             nest[SPLIT_NEST];
    bool             nest_call[SPLIT_NEST]; // a call was inside
    int              n_nest;
    /* tags */
    enum xml_state xml;
    bool           xml_in;   // inside the tag of a call
    bool           xml_args; // its arguments are a JSON object
    char           quote;    // open in a tag, or 0
    char           close[LIM_SPLIT_MARK_BYTES]; // the mark that ends a value
    /* words, Python */
    enum word_state wd;
    bool            sep_args, sep_name; // which separators were seen
    enum py_state   py;
    /* arguments one by one */
    int        n_arg;
    unsigned   arg_types;        // bits of json_kind, 0: unknown
    bool       arg_held;         // in value until its end
    bool       arg_lines;        // it may stand on lines of its own
    bool       arg_seen, arg_led; // its first byte; which was a line end
    int        arg_eol;          // a line end waits
    struct buf value;
    struct json_doc *schema;     // owned, of the call's tool
    bool             schema_read;
};

void split_feed(struct split *s, char c);
/* Empty a buffer that grows, remembering if it could not. */
void split_clear(struct split *s, struct buf *b);
/* Read these bytes before any other; they are also taken off the end of hold. */
void split_unread(struct split *s, struct str bytes);

/* What is held is no call: its opener is text, the rest is read again. */
void split_fail(struct split *s);
void split_think_open(struct split *s, int which); // -1: no pair of marks

/* Calls, for the bodies. The name is in s->name. */
bool        split_name_ok(const struct split *s);     // it may be a tool's
void        split_call_begin(struct split *s);        // forget the last one
void        split_call_live(struct split *s);         // certain: CALL goes out
void        split_call_end(struct split *s);          // complete
struct buf *split_args(struct split *s);              // where arguments go now
const struct chat_tool *split_tool(const struct split *s); // the call's tool, or NULL

bool           split_body_can_begin(const struct split *s, char c);
void           split_body_begin(struct split *s);
enum body_step split_body_byte(struct split *s, char c);
/* The text ended, or `close`: the call's end mark came too early; whole: make arguments whole. */
void           split_body_finish(struct split *s, bool whole);

/* All calls begun are complete, what is held are remains of them: nothing is lost if it is dropped. */
bool           split_body_idle(const struct split *s);


void           split_json_begin(struct split *s);
enum body_step split_json_byte(struct split *s, char c);
void           split_json_finish(struct split *s, bool whole);

void           split_xml_begin(struct split *s);
enum body_step split_xml_byte(struct split *s, char c);
void           split_xml_finish(struct split *s, bool whole);

void           split_word_begin(struct split *s);
enum body_step split_word_byte(struct split *s, char c);
void           split_word_finish(struct split *s, bool whole);

void           split_py_begin(struct split *s); // after NAME(
enum body_step split_py_byte(struct split *s, char c);
void           split_py_finish(struct split *s, bool whole);

/* Arguments one by one: open, then for each of them key and value, then close, which ends the call. */
void split_args_open(struct split *s);
void split_args_key(struct split *s, struct str key); // the caller writes the value
void split_args_close(struct split *s);
/* The value as text up to a mark; types as from split_type_of. */
void split_arg_begin(struct split *s, struct str key, unsigned types, bool lines);
bool split_arg_byte(struct split *s, char c, struct str close); // true: the mark is complete
void split_arg_finish(struct split *s, bool whole);
/* A key up to a mark, into s->word. */
bool split_arg_key_byte(struct split *s, char c, struct str close);

unsigned split_type_of(struct split *s, struct str key);               // bits of json_kind, 0: unknown
bool     split_type_nth(struct split *s, int n, struct str *key);      // the n-th property
void     split_type_forget(struct split *s);                           // another call

void             split_head_begin(struct split *s, struct str mark); // mark: the bytes of it read already
void             split_head_byte(struct split *s, char c);
void             split_head_end(struct split *s);
enum split_state split_head_prompt(struct split *s, struct str prompt); // where the answer starts

#endif
