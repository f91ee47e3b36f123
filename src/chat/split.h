/* split.h - take a model's text apart: answer, reasoning, tool calls.
 *
 * A model writes one stream of text. Some of it is thinking between marks, some of it are tool calls
 * in the format its family was trained on. The splitter turns the stream into events as it comes:
 *
 *     <think>\nHm.\n</think>\n\nI look.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>
 *             ---               -------                         -           --------
 *             REASONING         TEXT                            CALL        ARGS
 *
 * Promises:
 *   - However the text is cut into pieces, the events, joined, are the same.
 *   - Text is held back only while it may be the head of a mark, white space that may stand before a
 *     mark, or the head of a call that is not certain yet; all of it bounded (LIM_SPLIT_*).
 *   - A CALL is sent once its name is complete and its arguments have begun; what looks like a call
 *     before that point and turns out not to be one is answer text, byte for byte.
 *   - ARGS pieces, joined, are the arguments as JSON text without blanks outside strings. Where the
 *     family writes no JSON (XML parameters, Python calls) they are converted, and typed by the tool's
 *     JSON Schema if it is known. Frequent slips are repaired on the way: raw line ends inside strings,
 *     single quotes, True/None, a comma or bracket too many or too few. Arguments that break off:
 *       - the model ended its turn or the call's mark: closed so that they are JSON;
 *       - output was cut (length, stop sequence): left as they are;
 *       - a byte that cannot be right: closed, and from that byte on everything is answer text.
 *   - Marks, and white space between answer and marks, vanish; nothing else is lost or doubled.
 *
 * Input is whole UTF-8 characters for whole characters out; other bytes pass through unharmed. Marks
 * are read as text: those that are special tokens have to be spelled out by the token stream, all but
 * the one that ended generation.
 * The formats are rows of a table (split_fmt.c): marks around a body, and the body's grammar is
 * found by looking at it. Sources: the chat templates of the model families.
 */
#ifndef CURLEW_CHAT_SPLIT_H
#define CURLEW_CHAT_SPLIT_H

#include "chat/chat.h"

struct split;     // one choice's splitter
struct split_row; // a row of the table of formats

/* How a model marks what it writes: a value, copied freely. */
struct split_form {
    const struct split_row *row;
    uint32_t                think; // which reasoning marks (split_fmt.c), bit by bit
    uint32_t                wrap;  // which marks around the answer
};

/* From the text of a chat template (Jinja source). Any text is fine, STR_NULL too: what says
 * nothing gives the form "generic". */
struct split_form split_detect(struct str template_source);
/* From a name ("hermes", "llama3-json", ...); false if there is none such. "auto" is no name. */
bool              split_form_by_name(struct str name, struct split_form *ret);
const char       *split_form_name(const struct split_form *f);
/* The i-th name, NULL past the last; for --help and messages. */
const char       *split_form_list(size_t i);

struct split_conf {
    struct split_form       form;
    const struct chat_tool *tool;         // [n_tool] borrowed, outlives the splitter; may be none even
    int                     n_tool;       // where calls is set: then nothing is known about tools
    bool                    calls;        // tools are on offer; false: their markup is answer text
    bool                    parallel;     // false: the first call only, later ones vanish
    bool                    reasoning;    // false: thinking stays in the answer, with its marks
    bool                    turn_marks;   // drop texts of end-of-turn tokens ("<|im_end|>"): for engines
                                          // that let them through, and for recorded outputs
    struct str              prompt;       // the prompt or its end, borrowed for split_new: a template may
                                          // have opened the reasoning ("<think>\n") or a header already
    int                     choice;       // goes into every event
    uint64_t                seed;         // of the ids of calls, together with the prompt: the same twice
                                          // in a conversation would be one call to its client
};

void split_conf_init(struct split_conf *c); // generic, calls and reasoning on, parallel

/* *ret is freed with split_free. Error: NO_MEMORY. */
NODISCARD int split_new(const struct split_conf *c, struct split **ret, struct err *e);
void          split_free(struct split *s); // NULL is fine

/* Receives TEXT, REASONING, CALL and ARGS events, borrowed for the call. */
typedef void split_emit(void *ctx, const struct chat_event *ev);

/* The next piece of generated text; any length, cut anywhere. Error: NO_MEMORY, after which the
 * splitter is only good for split_free. */
NODISCARD int split_put(struct split *s, struct str piece, split_emit *emit, void *ctx, struct err *e);

/* The text is complete. `cut`: it was ended by a limit or a stop sequence, not by the model. Once. */
NODISCARD int split_end(struct split *s, bool cut, split_emit *emit, void *ctx, struct err *e);

int  split_calls(const struct split *s); // calls sent so far: finish_reason is tool_calls when > 0
/* Nothing more is wanted (the one call allowed is complete): the caller may stop generating. */
bool split_done(const struct split *s);
/* What comes next is reasoning, as far as can be known (for counting reasoning tokens). */
bool split_in_reasoning(const struct split *s);
/* What comes next is answer text: no reasoning, no header, no call. */
bool split_in_answer(const struct split *s);

/* A call has just been opened and is not certain yet: the mark that opened it ("" where a bracket alone
 * did) and what came behind it. For those who hold calls to a form (session). Borrowed until split_put. */
bool split_call_begun(const struct split *s, struct str *open, struct str *rest);
/* The i-th mark that opens reasoning in this form, STR_NULL past the last. */
struct str split_form_think(const struct split_form *f, size_t i);

/* For the command line and tests: one recorded output as JSON text,
 *     {"output": "...", "prompt_tail": "...", "tools": [...], "parallel_tool_calls": true}
 * (all but output optional; without "tools" calls are looked for all the same, with "tools": [] they
 * are not; "raw" is accepted for output, "cut": true says that a limit ended it) split in pieces of
 * `piece` bytes (0: whole) into one line of JSON appended to out, without a line end:
 *     {"content": "..."|null, "reasoning_content": "...", "tool_calls": [...]}
 * as a message of the API: content null when there are only calls, other members absent when empty.
 * Error: INVALID_JSON, INVALID_TYPE, MISSING_PARAM, NO_MEMORY. */
NODISCARD int split_cli_line(const struct split_form *f, struct str line, size_t piece,
                             struct buf *out, struct err *e);

#endif
