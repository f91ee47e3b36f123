/* cli_vocab.c - the vocabulary and template of a GGUF or of a Hugging Face folder. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "chat/tmpl.h"
#include "model/gguf.h"
#include "os/fd.h"
#include "prog/cli.h"
#include "prog/vocab_hf.h"

static bool exists(const char *path, bool folder)
{
    struct stat st;

    return stat(path, &st) == 0 && (folder ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode));
}

/* The path of `name` in the folder that `path` lies in. NULL: out of memory. */
static const char *beside(const char *path, const char *name, struct arena *a)
{
    const char *slash = strrchr(path, '/');

    return arena_printf(a, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, name).p;
}

static int read_beside(const char *path, const char *name, size_t max, struct arena *a, struct str *ret, struct err *e)
{
    const char *file = beside(path, name, a);

    *ret = STR_NULL;
    if (!file) return err_nomem(e, "opening a vocabulary");
    return exists(file, false) ? fd_read_file(file, max, a, ret, e) : 0;
}

static int open_hf(const char *path, int fd, struct cli_vocab *v, struct err *e)
{
    struct arena    a; // for the files: the vocabulary has its own copy
    struct vocab_hf hf = { .config = STR_NULL };

    arena_init(&a, VOCAB_HF_BYTES + MIB(8));
    int rc = fd_read_all(fd, v->name, VOCAB_HF_BYTES, &a, &hf.tokenizer, e);
    if (rc == 0) rc = read_beside(path, "tokenizer_config.json", VOCAB_HF_CONFIG, &a, &hf.config, e);
    if (rc == 0) rc = read_beside(path, "chat_template.jinja", LIM_TMPL_BYTES, &a, &hf.jinja, e);
    if (rc == 0) rc = vocab_hf_open(&hf, &v->arena, &v->tok, &v->tmpl, e);
    arena_release(&a);
    return rc;
}

static int open_gguf(int fd, uint64_t size, bool any_tok, struct cli_vocab *v, struct err *e)
{
    struct gguf *g;
    struct str   t;
    int          rc = gguf_open(fd, size, v->name, &g, e);

    if (rc < 0) return rc;
    rc = tok_from_gguf(g, &v->tok, e);
    if (any_tok && rc < 0 && rc != -ERR_NO_MEMORY) rc = 0;
    if (rc == 0 && gguf_str(g, "tokenizer.chat_template", &t)) {
        v->tmpl = arena_str(&v->arena, t);
        if (!v->tmpl.p) rc = err_nomem(e, "reading a chat template");
    }
    gguf_close(g);
    return rc;
}

/* What kind of file it is, by its first bytes. */
static int open_any(const char *path, bool any_tok, struct cli_vocab *v, struct err *e)
{
    char        head[64] = { 0 };
    int         fd;
    uint64_t    size;
    const char *slash = strrchr(path, '/');
    int         rc    = fd_open_file(path, &fd, &size, e);

    if (rc < 0) return rc;
    v->name          = slash ? slash + 1 : path;
    ssize_t    n     = pread(fd, head, sizeof head, 0);
    struct str begin = str_trim((struct str){ head, n > 0 ? (size_t)n : 0 });
    if (n >= 4 && !memcmp(head, "GGUF", 4)) rc = open_gguf(fd, size, any_tok, v, e);
    else if (str_starts(begin, STR("{"))) rc = open_hf(path, fd, v, e);
    else rc = err_set(e, ERR_BAD_FILE, "%s: neither a GGUF file nor a tokenizer.json", v->name);
    close(fd);
    return rc;
}

int cli_vocab_open(const char *path, bool any_tok, struct cli_vocab *ret, struct err *e)
{
    struct cli_vocab v = { 0 };
    int              rc;

    arena_init(&v.arena, MIB(4));
    struct str z = exists(path, true) ? arena_printf(&v.arena, "%s/tokenizer.json", path) : arena_str(&v.arena, str_c(path));
    rc = z.p ? open_any(z.p, any_tok, &v, e) : err_nomem(e, "opening a vocabulary");
    if (rc < 0) cli_vocab_close(&v);
    else *ret = v;
    return rc;
}

void cli_vocab_close(struct cli_vocab *v)
{
    tok_free(v->tok);
    arena_release(&v->arena);
}

static bool has_token(const void *tok, const char *token)
{
    return tok && tok_find(tok, str_c(token)) >= 0;
}

int cli_vocab_tmpl(const struct cli_vocab *v, struct tmpl **ret, struct err *e)
{
    if (v->tmpl.p) return tmpl_compile(str_c(v->name), v->tmpl, ret, e);
    const char *name = tmpl_builtin_guess(str_c(v->name), has_token, v->tok);
    return tmpl_compile(str_c(name), tmpl_builtin(str_c(name)), ret, e);
}
