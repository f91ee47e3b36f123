/* tmpl.h - chat templates: the Jinja that models carry, rendered into text with known authors.
 *
 * The language is Jinja2 3.1 as Hugging Face's transformers sets it up: immutable sandbox,
 * trim_blocks, lstrip_blocks, break and continue, tojson without HTML escapes, raise_exception,
 * strftime_now, the `generation` tag. Behaviour is Python's to the byte, also where it prints None,
 * True or a list. Not there, and an error when reached: other templates (include, import, extends),
 * autoescape, integers beyond 64 bits.
 *
 * A rendering is a list of pieces: text that the template or the server wrote is trusted, text that
 * came from the client is not, through every filter and concatenation. Only trusted text may become
 * special tokens (token/tok.h), so nobody can forge a turn by writing its markers into a message.
 *
 * Nothing a template does can hang or crash: output, strings, steps, nesting and memory are bounded
 * (base/limits.h), and the error says which limit it was.
 */
#ifndef CURLEW_CHAT_TMPL_H
#define CURLEW_CHAT_TMPL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "token/tok.h"

struct tmpl; // compiled; immutable, any thread
struct json;
struct chat_req;

/* Compile a template. `name` is for messages ("qwen3", a file name). Both texts are copied.
 * Errors: BAD_FILE with name and line; TOO_LARGE; NO_MEMORY. */
NODISCARD int tmpl_compile(struct str name, struct str text, struct tmpl **ret, struct err *e);
void          tmpl_free(struct tmpl *t); // NULL is fine

/* A variable that the server sets: trusted. */
enum tmpl_var_kind { TMPL_VAR_NONE, TMPL_VAR_BOOL, TMPL_VAR_INT, TMPL_VAR_STR };
struct tmpl_var {
    struct str         name;
    enum tmpl_var_kind kind;
    bool               b;
    int64_t            i;
    struct str         s;
};

/* What to render; all borrowed for the call. Absent JSON values are None in the template, except
 * that absent `kwargs` are no variables at all. */
struct tmpl_in {
    const struct json     *messages;  // array of message objects, as the API has them
    const struct json     *tools;     // array of {"type":"function",...}
    const struct json     *documents;
    const struct json     *kwargs;    // the client's chat_template_kwargs, an object: untrusted
    const struct chat_req *req; // or all of these from a request: messages, tools, documents, kwargs, effort
    const struct tmpl_var *var; // [n_var] bos_token, eos_token ...; a kwarg may not replace one
    int                    n_var;
    bool                   add_prompt;     // add_generation_prompt: open the assistant's turn
    bool continue_final; // leave the final assistant message open; add_prompt is off
    bool                   trust_kwargs;   // kwargs are the server's own (tests, command line)
    int64_t                now_s;          // civil time for strftime_now, seconds since 1970
};

/* The rendering, in the caller's arena. Neighbours differ in trust; no piece is empty. */
struct tmpl_out {
    const struct tok_piece *piece; // [n_piece]
    size_t                  n_piece;
    struct str              text; // all pieces in one
    unsigned                repairs; // TMPL_REPAIR_*, see tmpl_render_chat
};

/* Render as it is. `a` also holds all scratch: LIM_TMPL_ARENA is a good ceiling. Messages must have
 * the shape the template wants. Any thread, one arena each.
 * Errors: BAD_REQUEST with the template's
 * own message (raise_exception); UNSUPP_VALUE when the template breaks on this input (name, line,
 * what); TOO_LARGE; NO_MEMORY; a kwarg with a reserved name is INVALID_VALUE; template_kwargs that
 * are no JSON object INVALID_JSON or INVALID_TYPE. */
NODISCARD int tmpl_render(const struct tmpl *t, const struct tmpl_in *in, struct arena *a,
                          struct tmpl_out *ret, struct err *e);

/* What a template can do, found by rendering probes (milliseconds; do it once at load). */
struct tmpl_caps {
    bool usable;         // renders a single user message
    bool system;         // shows a system message
    bool late_system;    // shows one in the middle, too
    bool developer;      // knows the role `developer`
    bool tools;          // lists the tools on offer
    bool tool_calls;     // shows an assistant's tool calls
    bool tool_role;      // shows the result of a tool
    bool parallel_calls; // shows two calls of one message
    bool args_object;    // wants a call's arguments as an object, not as JSON text
    bool null_content;   // shows tool calls only beside content null, not beside ""
    bool empty_tools;    // wants an empty list where there are no tools
    bool typed_content;  // wants content as a list of parts
    bool alternate;      // refuses two user messages in a row
    bool reasoning;      // shows the reasoning of the last assistant turn ...
    bool thinking_key;   // ... which it calls `thinking`, not `reasoning_content`
    bool thinking;       // enable_thinking makes a difference
    bool opens_think;    // the prompt ends inside an open <think>
    bool effort;         // reasoning_effort makes a difference
};
void tmpl_caps(const struct tmpl *t, struct tmpl_caps *ret);

/* What tmpl_render_chat may do to a conversation. Texts joined get "\n\n" between them. */
enum tmpl_repair {
    TMPL_REPAIR_DEVELOPER = 1 << 0, // role developer became system
    TMPL_REPAIR_SYSTEM    = 1 << 1, // system messages were merged into one at the head
    TMPL_REPAIR_MERGE     = 1 << 2, // neighbours of the same role were merged
    TMPL_REPAIR_FOLD      = 1 << 3, // the system text was put in front of the first user message
    TMPL_REPAIR_ARGS      = 1 << 4, // arguments of tool calls: JSON text became an object, or back
    TMPL_REPAIR_CONTENT   = 1 << 5, // null content became "", or back; text parts one text, or back
    TMPL_REPAIR_SPLIT     = 1 << 6, // several calls of a message became messages of their own
    TMPL_REPAIR_CALLS     = 1 << 7, // calls became JSON lines in the content, results user messages
    TMPL_REPAIR_IDS       = 1 << 8, // ids of calls became nine letters and digits
    TMPL_REPAIR_TOOLS     = 1 << 9, // no tools became an empty list
};

/* Render a conversation that need not have the shape the template wants: what `caps` knows is put
 * right first (what the template would silently drop, above all); if the template then refuses
 * (raise_exception or a mistake of its own), repairs are added one by one until it accepts.
 * ret->repairs says what was done; when nothing helps, the error is the first one. No text of a
 * message is ever dropped. */
NODISCARD int tmpl_render_chat(const struct tmpl *t, const struct tmpl_caps *caps,
                               const struct tmpl_in *in, struct arena *a, struct tmpl_out *ret,
                               struct err *e);

/* One line of `curlew template`: {"messages":[...],"tools":[...],"documents":[...],"kwargs":{...},
 * "now":"2026-01-15T10:20:30" or seconds, "continue_final_message":true}. Appends {"text":"..."} or
 * {"error":"..."} and a newline to out. `repair` uses tmpl_render_chat. Returns 0, or -NO_MEMORY
 * when out could not take it. */
NODISCARD int tmpl_cli_line(const struct tmpl *t, struct str line, bool repair, struct buf *out);

/* --- templates for models that carry none --- */

/* Does the vocabulary have this token? */
typedef bool (*tmpl_has)(const void *ctx, const char *token);

/* The text of a built-in template by its name ("chatml", "llama3" ...; case does not count), or
 * STR_NULL. */
struct str  tmpl_builtin(struct str name);
/* Its name, by number from 0; NULL at the end. */
const char *tmpl_builtin_name(size_t i);
/* The best one for a model: by the tokens of its vocabulary, then by the model's name (either may
 * be absent). Never NULL: "plain" when nothing is known. */
const char *tmpl_builtin_guess(struct str model_name, tmpl_has has, const void *ctx);

#endif
