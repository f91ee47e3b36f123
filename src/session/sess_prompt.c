/* sess_prompt.c - from messages or a prompt to tokens. */
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "session/session_int.h"

/* Variables that templates expect from the vocabulary. */
static int template_vars(const struct session *s, struct tmpl_var *var)
{
    const struct tok *t = s->c.tok;
    int               n = 0;

    var[n++] = (struct tmpl_var){ .name = STR("bos_token"), .kind = TMPL_VAR_STR,
                                  .s = t && tok_bos(t) >= 0 ? tok_name(t, tok_bos(t)) : STR("") };
    var[n++] = (struct tmpl_var){ .name = STR("eos_token"), .kind = TMPL_VAR_STR,
                                  .s = t && tok_eos(t) >= 0 ? tok_name(t, tok_eos(t)) : STR("") };
    return n;
}

int sess_render(struct session *s, const struct chat_req *r, struct arena *a, struct ids *ids,
                struct str *text, struct err *e)
{
    const struct tok *t = s->c.tok;
    struct tmpl_var   var[2];
    struct tmpl_out   out;
    struct tmpl_in    in = { .req = r, .var = var, .n_var = template_vars(s, var), .add_prompt = r->add_prompt,
                             .continue_final = r->continue_final, .now_s = clock_wall_s() };
    struct ids        body;
    int               rc = tmpl_render_chat(s->c.tmpl, &s->c.caps, &in, a, &out, e);

    if (rc < 0) return rc;
    *text = out.text;
    if (!t || !ids) return 0;
    ids_init(&body, LIM_CTX);
    rc = tok_encode_pieces(t, out.piece, out.n_piece, 0, &body, e);
    /* templates differ in whether they write BOS themselves; it stands there once */
    if (rc == 0 && tok_adds_bos(t) && tok_bos(t) >= 0 && !(body.n && body.id[0] == tok_bos(t)))
        ids_put(ids, tok_bos(t));
    for (size_t i = 0; rc == 0 && i < body.n; i++) ids_put(ids, body.id[i]);
    if (rc == 0 && ids->failed) rc = err_nomem(e, "tokenising a request");
    ids_release(&body);
    return rc;
}

/* --- filling in the middle --- */

static int put_text(struct sess_req *rq, struct str text, struct err *e)
{
    return text.n ? tok_encode(rq->s->c.tok, text, 0, &rq->prompt, e) : 0;
}

/* Other files of the project, each behind its name; where the vocabulary has no tokens for that, lines of
 * text part them. */
static int put_extra(struct sess_req *rq, struct err *e)
{
    const struct tok *t    = rq->s->c.tok;
    int32_t           repo = tok_fim(t, TOK_FIM_REPO), file = tok_fim(t, TOK_FIM_FILE);
    int               rc   = 0;

    if (rq->r.n_extra == 0) return 0;
    if (repo >= 0 && file >= 0) {
        ids_put(&rq->prompt, repo);
        rc = put_text(rq, STR("project\n"), e);
    }
    for (int i = 0; rc == 0 && i < rq->r.n_extra; i++) {
        const struct chat_file *x = &rq->r.extra[i];
        if (file >= 0) ids_put(&rq->prompt, file);
        rc = put_text(rq, x->name, e);
        if (rc == 0) rc = put_text(rq, STR("\n"), e);
        if (rc == 0) rc = put_text(rq, x->text, e);
        if (rc == 0) rc = put_text(rq, STR("\n\n"), e);
    }
    if (rc == 0 && file >= 0) {
        ids_put(&rq->prompt, file);
        rc = put_text(rq, STR("file\n"), e);
    }
    return rc;
}

/* Prefix, suffix, middle: Bavarian et al., Efficient Training of Language Models to Fill in the Middle,
 * arXiv:2207.14255, the order called PSM. */
static int encode_fill(struct sess_req *rq, struct err *e)
{
    const struct tok      *t = rq->s->c.tok;
    const struct chat_req *r = &rq->r;
    int                    rc;

    if (!t || tok_fim(t, TOK_FIM_PREFIX) < 0 || tok_fim(t, TOK_FIM_SUFFIX) < 0 || tok_fim(t, TOK_FIM_MIDDLE) < 0)
        return err_param(e, ERR_UNSUPP_PARAM, "suffix", "this model cannot fill in the middle: its vocabulary has "
                         "no tokens for prefix, suffix and middle");
    if (tok_adds_bos(t) && tok_bos(t) >= 0) ids_put(&rq->prompt, tok_bos(t));
    rc = put_extra(rq, e);
    if (rc == 0) ids_put(&rq->prompt, tok_fim(t, TOK_FIM_PREFIX));
    if (rc == 0) rc = put_text(rq, rq->text, e);
    if (rc == 0) ids_put(&rq->prompt, tok_fim(t, TOK_FIM_SUFFIX));
    if (rc == 0) rc = put_text(rq, r->suffix, e);
    if (rc == 0) ids_put(&rq->prompt, tok_fim(t, TOK_FIM_MIDDLE));
    return rc == 0 && rq->prompt.failed ? err_nomem(e, "tokenising a request") : rc;
}

/* --- a prompt as it is --- */

static int encode_text(struct sess_req *rq, struct err *e)
{
    const struct tok *t = rq->s->c.tok;
    const struct chat_req *r = &rq->r;

    rq->text = r->prompt.p ? r->prompt : STR("");
    if (r->fill) return encode_fill(rq, e);
    if (!t) return 0;
    if (!r->n_prompt_tok) {
        int rc = tok_encode(t, rq->text, r->raw ? 0 : TOK_ADD_SPECIAL, &rq->prompt, e);
        rq->n_bos = rc == 0 && rq->prompt.n && tok_adds_bos(t) && rq->prompt.id[0] == tok_bos(t);
        return rc;
    }
    for (int i = 0; i < r->n_prompt_tok; i++) {
        if (r->prompt_tok[i] >= tok_n(t))
            return err_param(e, ERR_INVALID_VALUE, "prompt", "prompt: token id %d is out of range, the "
                             "vocabulary has %d", r->prompt_tok[i], tok_n(t));
        ids_put(&rq->prompt, r->prompt_tok[i]);
    }
    return rq->prompt.failed ? err_nomem(e, "tokenising a request") : 0;
}

/* An empty prompt starts from the vocabulary's own beginning of text. */
static int not_empty(struct sess_req *rq, struct err *e)
{
    const struct tok *t = rq->s->c.tok;

    if (!t || rq->prompt.n) return 0;
    int32_t first = tok_bos(t) >= 0 ? tok_bos(t) : tok_eos(t);
    if (first < 0)
        return err_param(e, ERR_INVALID_VALUE, "prompt", "prompt is empty and this model has no token to begin "
                         "a text with");
    ids_put(&rq->prompt, first);
    rq->n_bos = 1;
    return rq->prompt.failed ? err_nomem(e, "tokenising a request") : 0;
}

int sess_prompt(struct sess_req *rq, struct err *e)
{
    const struct chat_req *r  = &rq->r;
    int                    rc = r->kind == CHAT_KIND_CHAT
                                        ? sess_render(rq->s, r, &rq->arena, &rq->prompt, &rq->text, e)
                                        : encode_text(rq, e);

    if (rc == 0) rc = not_empty(rq, e);
    if (rc < 0) return rc;
    rq->n_prompt = (int)rq->prompt.n;

    int n_ctx = rq->s->info.n_ctx, most = rq->s->info.n_prompt;
    if (most && rq->n_prompt > most) {
        const char *part = r->kind == CHAT_KIND_CHAT ? "messages" : "prompt";
        return err_param(e, ERR_CONTEXT_LENGTH, part, "This model's maximum context length is %d tokens for the prompt. "
                         "However, your %s resulted in %d tokens. Please reduce the length of the %s.", most, part,
                         rq->n_prompt, part);
    }
    if (rq->n_prompt < n_ctx) return 0;
    const char *what = r->kind == CHAT_KIND_CHAT ? "messages" : "prompt";
    /* OpenAI's wording: agents look for it and shorten the conversation */
    if (r->n_max > 0)
        return err_param(e, ERR_CONTEXT_LENGTH, what, "This model's maximum context length is %d tokens. "
                         "However, you requested %lld tokens (%d in the %s, %d in the completion). Please "
                         "reduce the length of the %s or completion.", n_ctx,
                         (long long)rq->n_prompt + r->n_max, rq->n_prompt, what, r->n_max, what);
    return err_param(e, ERR_CONTEXT_LENGTH, what, "This model's maximum context length is %d tokens. However, "
                     "your %s resulted in %d tokens. Please reduce the length of the %s.", n_ctx, what,
                     rq->n_prompt, what);
}
