/* chat.h - the waist of the house: a request and the events that answer it.
 *
 * Every API dialect turns its JSON into a chat_req and chat_events into its JSON; every engine is
 * driven from a chat_req and answers in chat_events. Neither side knows the other.
 *
 * All pointers of a request are into one arena (its owner's), all pointers of an event are borrowed
 * for the call that hands it over.
 */
#ifndef CURLEW_CHAT_CHAT_H
#define CURLEW_CHAT_CHAT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/pack.h"
#include "chat/params.h"

enum chat_role { CHAT_SYSTEM, CHAT_DEVELOPER, CHAT_USER, CHAT_ASSISTANT, CHAT_TOOL, CHAT_ROLES };

const char *chat_role_name(enum chat_role r); // "system" ...
bool        chat_role_parse(struct str s, enum chat_role *ret); // "function" is tool's old name

/* A tool call in a message of the history. */
struct chat_call {
    struct str id;
    struct str name;
    struct str args; // JSON text, as the client sent it
};

struct chat_msg {
    enum chat_role          role;
    bool                    has_content; // content was a string or parts, not null or absent
    struct str              content;     // text; parts of a list joined by nothing
    const struct str       *part;        // [n_part] the text parts one by one, when it was a list
    int                     n_part;      // 0: content was a string
    struct str              name;        // or STR_NULL
    struct str              reasoning;   // reasoning_content sent back, or STR_NULL
    struct str              call_id;     // tool messages: tool_call_id
    const struct chat_call *call;        // [n_call]
    int                     n_call;
};

/* A tool on offer. `json` is the whole {"type":"function","function":{...}} object as JSON text, for
 * templates; the rest is picked from it. */
struct chat_tool {
    struct str json;
    struct str name;
    struct str parameters; // JSON Schema text, or STR_NULL
    bool       strict;
    bool       barred; // shown to the model, but tool_choice's allowed_tools does not list it
};

enum chat_choice { CHAT_CHOICE_AUTO, CHAT_CHOICE_NONE, CHAT_CHOICE_REQUIRED, CHAT_CHOICE_NAMED };

enum chat_kind {
    CHAT_KIND_CHAT, // messages, through the model's template
    CHAT_KIND_TEXT, // a prompt as it is
    CHAT_KIND_EMBED, // texts to be made vectors: one VECTOR for each, in any order, then END
    CHAT_KIND_RANK,  // documents to be compared with a query: likewise, vectors of one value
};

/* At the context's end: the answer ends, or the oldest half of the text is dropped. */
enum chat_shift { CHAT_SHIFT_DEFAULT, CHAT_SHIFT_OFF, CHAT_SHIFT_ON };

/* A text to embed or a document: tokens when n_tok > 0, else text. */
struct chat_input {
    struct str     text;
    const int32_t *tok;
    int            n_tok;
};

/* A file that a completion in the middle of another one may look at. */
struct chat_file {
    struct str name, text;
};

enum chat_format {
    CHAT_FORMAT_TEXT,
    CHAT_FORMAT_JSON,    // any object
    CHAT_FORMAT_SCHEMA,  // by a JSON Schema
    CHAT_FORMAT_GRAMMAR, // by a GBNF grammar
    CHAT_FORMAT_REGEX,   // the whole answer matches
};

struct chat_req {
    enum chat_kind kind;

    /* CHAT_KIND_CHAT */
    const struct chat_msg  *msg; // [n_msg]
    int                     n_msg;
    const struct chat_tool *tool; // [n_tool]
    int                     n_tool;
    enum chat_choice        choice;
    struct str              choice_name; // CHAT_CHOICE_NAMED
    bool                    parallel_calls;
    struct str              template_kwargs; // JSON object text, or STR_NULL
    struct str              effort;          // reasoning_effort, or STR_NULL
    struct str              documents;       // JSON array text for the template, or STR_NULL
    bool                    add_prompt;      // the rendering ends by opening the assistant's turn
    bool                    continue_final;  // the last message stays open, to be gone on with: not with add_prompt

    /* CHAT_KIND_TEXT: tokens when n_prompt_tok > 0, else text */
    struct str     prompt;
    const int32_t *prompt_tok;
    int            n_prompt_tok;
    bool           echo;   // the prompt comes back as text
    bool           raw;    // add no BOS even where the vocabulary asks for it
    bool           fill;   // fill in the middle: the answer stands between prompt and suffix
    struct str     suffix; // fill
    const struct chat_file *extra; // [n_extra] fill: other files of the same project
    int            n_extra;

    /* CHAT_KIND_EMBED and RANK; a query is `prompt` */
    const struct chat_input *input; // [n_input]
    int                      n_input;
    int                      n_dim; // values wanted of a vector, the first ones; 0: all

    /* both */
    struct chat_params params;
    int                n_choice;   // n >= 1
    int                n_max;      // most tokens to generate, reasoning included; -1: to the context's end
    const struct str  *stop;       // [n_stop] stop sequences, none empty
    int                n_stop;
    bool               keep_stop;  // the stop sequence that matched stays in the text
    int                n_min;      // tokens before which nothing of the model's own ends the answer
    const int32_t     *stop_tok;   // [n_stop_tok] tokens that end the answer as end-of-text does
    int                n_stop_tok;
    const struct str  *breaker;    // [n_breaker] texts that DRY does not look across
    int                n_breaker;
    bool               own_breakers; // breaker counts, also when empty; else the usual ones
    bool               ignore_eos; // end-of-text is never chosen
    bool               logprobs;
    int                n_top;      // alternatives per token, 0..LIM_TOP_LOGPROBS
    enum chat_format   format;
    struct str         schema;     // SCHEMA: JSON Schema text; GRAMMAR, REGEX: theirs
    struct str         format_field; // which field of the request asked for the format, for messages

    /* Computed text is shared only between requests with the same three, so that nobody can learn from the time of an
     * answer what another asked. */
    struct str cache_key;  // prompt_cache_key, or STR_NULL
    struct str cache_salt; // or STR_NULL
    uint64_t   client;     // whose API key it came with, also for fairness; 0: nobody's

    enum chat_shift context_shift;
    int             n_keep; // tokens that a shift keeps at the head; -1: the prompt's
};

void chat_req_init(struct chat_req *r); // defaults of everything

/* To and from a frame. Decoding checks every length, count and enum, allocates from `a`, and copies
 * what it keeps. Error: PROTOCOL, saying which field. */
void          chat_req_pack(struct buf *b, const struct chat_req *r);
NODISCARD int chat_req_unpack(struct str bytes, struct arena *a, struct chat_req *ret, struct err *e);

/* --- the answer --- */

enum chat_finish { CHAT_FINISH_STOP, CHAT_FINISH_LENGTH, CHAT_FINISH_CALLS };

const char *chat_finish_name(enum chat_finish f); // "stop", "length", "tool_calls"

struct chat_usage {
    int n_prompt;    // tokens of the prompt
    int n_cached;    // of them found in the prefix cache
    int n_gen;       // tokens generated, all choices together, reasoning included
    int n_reasoning; // of them reasoning
};

struct chat_logprob {
    int32_t    tok;
    float      logprob; // natural logarithm; -9999 for impossible
    struct str text;    // the token's bytes, may be half a character
};

enum chat_event_kind {
    CHAT_EV_START,     // once a request, before all others: the prompt was accepted
    CHAT_EV_TEXT,      // piece of the answer, whole UTF-8 characters
    CHAT_EV_REASONING, // piece of the thinking, likewise
    CHAT_EV_CALL,      // a tool call begins: index, id, name
    CHAT_EV_ARGS,      // piece of its arguments
    CHAT_EV_LOGPROB,   // one generated token's logprob, before the text event that shows it
    CHAT_EV_FINISH,    // once a choice: why it ended
    CHAT_EV_VECTOR,    // of an input: index, and text is its values as little-endian f32
    CHAT_EV_END,       // once a request, the last event: usage
    CHAT_EV_ERROR,     // instead of END: nothing follows
};

struct chat_event {
    enum chat_event_kind kind;
    int                  choice; // 0 .. n_choice-1; 0 for START, END, ERROR

    struct str                 text;  // TEXT, REASONING, ARGS, VECTOR; CALL: the name
    struct str                 id;    // CALL
    int                        index; // CALL, ARGS: which call of this choice, from 0; VECTOR: which input
    struct chat_logprob        lp;    // LOGPROB: the chosen token
    const struct chat_logprob *top;   // [n_top] its alternatives, most probable first
    int                        n_top;
    bool                       prompt_lp; // LOGPROB of a prompt token (echo); lp of the first has NaN
    enum chat_finish           finish;
    struct str                 stop;  // FINISH: the stop sequence that matched, or STR_NULL
    struct chat_usage          usage; // START: n_prompt and n_cached; END: all
    struct err                 err;   // ERROR
};

void chat_event_pack(struct buf *b, const struct chat_event *ev);
/* Reads one event at the head of *u. *top_buf [top_cap] receives alternatives. Texts are borrowed
 * from the frame. False (u failed) when it is not an event. */
NODISCARD bool chat_event_unpack(struct unpack *u, struct chat_event *ret,
                                 struct chat_logprob *top_buf, int top_cap);

#endif
