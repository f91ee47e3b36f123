/* axera_script.h - read a vendor's run script for the one command in it, without running a shell.
 *
 * The scripts of model folders set a few variables and start one program with a long list of options. We read that
 * list: words, quotes, continued lines, variables that the script itself sets, parameters ($1, $@: empty). What a
 * shell would have to run for a word of the command - $(...), `...`, arithmetic - is an error with its line, never
 * a guess. Loops and conditions are not followed: the first command that starts a runner counts. */
#ifndef CURLEW_ENGINES_AXERA_AXERA_SCRIPT_H
#define CURLEW_ENGINES_AXERA_AXERA_SCRIPT_H

#include "base/arena.h"
#include "base/err.h"

#define AXERA_SCRIPT_BYTES KIB(64) // real ones have under 2 KiB
#define AXERA_WORDS        256     // of the command
#define AXERA_VARS         64      // set by the script
#define AXERA_WORD_BYTES   KIB(4)

struct axera_script {
    const char **word; // [n_word] the command, its program first
    int          n_word;
    const char **env; // [n_env] "NAME=VALUE": exported, or set before the command
    int          n_env;
    int          line; // of the command
};

/* Is this the name (without folders) of a program that runs models? */
bool axera_is_runner(struct str name);

/* All of *ret is in a. Errors: BAD_FILE with name and line. */
NODISCARD int axera_script_parse(struct str text, const char *name, struct arena *a, struct axera_script *ret,
                                 struct err *e);

#endif
