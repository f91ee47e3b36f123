/* cli.h - what the commands share: lines of JSON, vocabularies, conversations, complaints.
 *
 * A command is a function from settings to an exit status; it speaks to a person on stderr as
 * "curlew COMMAND: what is wrong". */
#ifndef CURLEW_PROG_CLI_H
#define CURLEW_PROG_CLI_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "chat/chat.h"
#include "prog/prog.h"
#include "token/tok.h"

/* The commands. */
int cli_run(const struct settings *s);
int cli_check_config(const struct settings *s);
int cli_show(const struct settings *s);
int cli_tokenize(const struct settings *s);
int cli_template(const struct settings *s);
int cli_split(const struct settings *s);
int cli_tok_server(const struct settings *s);
int cli_doctor(const struct settings *s);

/* --- complaints --- */

int cli_failed(const char *command, const struct err *e);             // PROG_FAILED
int cli_usage(const char *command, const char *fmt, ...) PRINTF_LIKE(2, 3); // PROG_USAGE
/* The one --model, or NULL when there is none or several, which it has said then. */
const char *cli_model(const char *command, const struct settings *s);

/* --- lines --- */

/* One line, without its end: append its answer to out, or fail. Memory of the call is its own. */
typedef int cli_line_fn(void *ctx, struct str line, struct buf *out, struct err *e);
/* Answer each line of stdin with one on stdout, {"error": "..."} where fn fails. What came together is
 * written together, and nothing waits for input that has not come. Returns the exit status: refused lines
 * are answers, not failures. */
int cli_lines(const char *command, cli_line_fn *fn, void *ctx);
/* All of b to stdout. Error: IO. */
NODISCARD int cli_write(struct str s, struct err *e);

/* Append s for a terminal: control characters but line end and tab, and what is no UTF-8, become U+FFFD, so
 * that neither a model nor a file can move the cursor or rewrite the screen. */
void cli_put_clean(struct buf *b, struct str s);

/* --- vocabularies --- */

struct cli_vocab {
    struct arena arena;
    struct tok  *tok;      // owned
    struct str   tmpl;     // its chat template, or STR_NULL; in arena
    const char  *name;     // the file's, without folders
};
/* A GGUF (its tensors are not looked for), a tokenizer.json or its folder: told apart by content. What lies
 * beside a tokenizer.json (tokenizer_config.json, chat_template.jinja) is read too. `any_tok`: a GGUF without
 * a vocabulary is fine, tok is NULL then. On failure all is released. */
NODISCARD int cli_vocab_open(const char *path, bool any_tok, struct cli_vocab *ret, struct err *e);
void          cli_vocab_close(struct cli_vocab *v);
/* The template of its own, else the built-in one that suits it; compiled. */
struct tmpl;
NODISCARD int cli_vocab_tmpl(const struct cli_vocab *v, struct tmpl **ret, struct err *e);

/* --- conversations --- */

struct cli_talk {
    struct arena     arena; // of the texts
    struct chat_msg *msg;   // [n] owned
    size_t           n, cap;
};
void          cli_talk_init(struct cli_talk *t);
void          cli_talk_release(struct cli_talk *t);
void          cli_talk_clear(struct cli_talk *t);
/* A message more; the text is copied. */
NODISCARD int cli_talk_add(struct cli_talk *t, enum chat_role role, struct str text, struct err *e);
/* Make this the system message at its head; empty takes it away. */
NODISCARD int cli_talk_system(struct cli_talk *t, struct str text, struct err *e);

#endif
