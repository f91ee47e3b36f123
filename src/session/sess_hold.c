/* sess_hold.c - answers held to a form: JSON, a grammar, calls of the tools on offer.
 *
 *   response_format and the like    the whole answer, from its first token or from the end of reasoning
 *   tool_choice required, named     likewise: its calls
 *   tool_choice auto                free text; from a call's opening mark to its end, the call
 *
 * While an answer is free there is no mask, and its tokens are what they would be without tools. The
 * splitter knows where reasoning ends and where a call begins, so it is asked after every token.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "session/session_int.h"

/* --- what a request asks for --- */

static bool calls_wanted(const struct chat_req *r)
{
    return r->kind == CHAT_KIND_CHAT && r->n_tool > 0 && r->choice != CHAT_CHOICE_NONE;
}

static bool any_barred(const struct chat_req *r)
{
    for (int i = 0; i < r->n_tool; i++)
        if (r->tool[i].barred) return true;
    return false;
}

static bool any_strict(const struct chat_req *r)
{
    for (int i = 0; i < r->n_tool; i++)
        if (r->tool[i].strict) return true;
    return false;
}

/* False: nothing is held. */
static bool conf_of(const struct session *s, const struct chat_req *r, struct constrain_conf *c)
{
    static const enum constrain_kind kinds[] = {
        [CHAT_FORMAT_TEXT] = CONSTRAIN_OBJECT,   [CHAT_FORMAT_JSON] = CONSTRAIN_OBJECT,
        [CHAT_FORMAT_SCHEMA] = CONSTRAIN_SCHEMA, [CHAT_FORMAT_GRAMMAR] = CONSTRAIN_GBNF,
        [CHAT_FORMAT_REGEX] = CONSTRAIN_REGEX,
    };
    bool calls = calls_wanted(r), forced = calls && r->choice != CHAT_CHOICE_AUTO;

    *c = (struct constrain_conf){ .kind = kinds[r->format], .text = r->schema, .parallel = r->parallel_calls };
    if (calls) {
        c->form   = split_form_name(&s->c.form);
        c->tool   = r->tool;
        c->n_tool = r->n_tool;
    }
    if (forced) {
        c->kind  = CONSTRAIN_CALLS;
        c->text  = STR_NULL;
        c->param = "tool_choice";
        if (r->choice == CHAT_CHOICE_NAMED) {
            c->only     = r->choice_name;
            c->parallel = false;
        }
        return true;
    }
    if (r->format != CHAT_FORMAT_TEXT) {
        c->param = r->format_field.p ? r->format_field.p : "response_format";
        return true;
    }
    c->kind  = CONSTRAIN_CALL;
    c->param = "tools";
    return calls && (any_barred(r) || constrain_knows_form(c->form));
}

/* The vocabulary made ready, once. */
static int ready(struct session *s, struct err *e)
{
    if (s->vocab) return 0;
    s->extra = mem_array((size_t)(s->info.n_vocab + 63) / 64, sizeof *s->extra);
    if (!s->extra) return err_nomem(e, "reading a vocabulary");
    s->line_end[0] = s->line_end[1] = -1;
    for (int32_t tok = 0; tok < s->info.n_vocab && tok < tok_n(s->c.tok); tok++) {
        struct str b = tok_bytes(s->c.tok, tok, false);
        if (str_eq(b, STR("\n"))) s->line_end[0] = tok;
        if (str_eq(b, STR("\n\n"))) s->line_end[1] = tok;
    }
    int rc = constrain_vocab_new(s->c.tok, s->info.n_vocab, &s->vocab, e);
    if (rc == 0) return 0;
    mem_free(s->extra);
    s->extra = NULL;
    return rc;
}

int hold_request(struct sess_req *rq, struct err *e)
{
    struct session       *s = rq->s;
    struct constrain_conf c;

    if (!conf_of(s, &rq->r, &c)) return 0;
    if (rq->r.ignore_eos && c.kind != CONSTRAIN_CALL)
        return err_param(e, ERR_INVALID_VALUE, "ignore_eos",
                         "ignore_eos does not go together with %s: where the form is complete, "
                         "the answer ends",
                         c.param);
    int rc = ready(s, e);
    if (rc == 0) rc = constrain_cache_get(&s->forms, s->vocab, &c, &rq->form, e);
    rq->form_call = rc == 0 && c.kind == CONSTRAIN_CALL;
    /* Nobody asked for calls to be held: where a schema is beyond us they are free, as with other formats. */
    if (rc < 0 && rc != -ERR_NO_MEMORY && c.kind == CONSTRAIN_CALL && !any_strict(&rq->r) && !any_barred(&rq->r)) {
        log_info("calls_free", "id=%u tools=%d", rq->id, rq->r.n_tool);
        return 0;
    }
    return rc;
}

void hold_free(struct session *s)
{
    constrain_cache_clear(&s->forms);
    constrain_vocab_free(s->vocab);
    mem_free(s->extra);
}

/* --- one answer --- */

int hold_begin(struct choice *ch, struct err *e)
{
    const struct sess_req  *rq   = ch->rq;
    const struct tmpl_caps *caps = &rq->s->c.caps;

    if (!rq->form) return 0;
    if (rq->form_call) {
        ch->hold_state = HOLD_WAIT;
        return 0;
    }
    ch->hold_state = HOLD_ON;
    if (ch->split && (caps->thinking || caps->reasoning)) ch->hold_state = HOLD_FIRST;
    if (ch->split && !split_in_answer(ch->split)) ch->hold_state = HOLD_THINK;
    return constrain_start(&ch->hold, rq->form, e);
}

void hold_end(struct choice *ch)
{
    constrain_stop(&ch->hold);
    ch->hold_state = HOLD_FREE;
}

static bool opens_reasoning(const struct session *s, int32_t tok)
{
    struct str mark;

    for (size_t i = 0; (mark = split_form_think(&s->c.form, i)).p; i++)
        if (tok_find(s->c.tok, mark) == tok) return true;
    return false;
}

static bool line_end(const struct session *s, int32_t tok)
{
    return tok == s->line_end[0] || tok == s->line_end[1];
}

static void allow(uint64_t *mask, int32_t tok)
{
    if (tok >= 0) mask[tok / 64] |= (uint64_t)1 << (tok % 64);
}

/* The form's tokens and those that may come before it. */
static const uint64_t *with_extra(struct choice *ch, const uint64_t *mask)
{
    const struct session *s = ch->rq->s;
    struct str            mark;

    memcpy(s->extra, mask, (size_t)(s->info.n_vocab + 63) / 64 * sizeof *mask);
    if (ch->hold_state == HOLD_FIRST) {
        for (size_t i = 0; (mark = split_form_think(&s->c.form, i)).p; i++)
            allow(s->extra, tok_find(s->c.tok, mark));
        return s->extra;
    }
    for (int i = 0; i < 2; i++) allow(s->extra, s->line_end[i]);
    return s->extra;
}

int hold_mask(struct choice *ch, const uint64_t **ret, struct err *e)
{
    *ret = NULL;
    switch (ch->hold_state) {
    case HOLD_FREE:
    case HOLD_THINK:
    case HOLD_WAIT:
    case HOLD_OUT: return 0;
    case HOLD_FIRST:
    case HOLD_GAP:
    case HOLD_ON: break;
    }
    int rc = constrain_mask(&ch->hold, ret, e);
    if (rc == 0 && ch->hold_state != HOLD_ON) *ret = with_extra(ch, *ret);
    return rc;
}

/* Has a call begun that the form can take over? What the splitter or the stop matcher holds of it comes
 * first; a call that began otherwise than the form wants stays free. */
static int call_begins(struct choice *ch, struct err *e)
{
    struct str open, rest;
    bool       fits = false;

    if (!split_call_begun(ch->split, &open, &rest)) {
        ch->hold_state = HOLD_WAIT;
        return 0;
    }
    if (ch->hold_state == HOLD_OUT) return 0;
    ch->hold_state = HOLD_OUT;
    if (!str_eq(open, str_c(constrain_form_open(split_form_name(&ch->rq->s->c.form))))) return 0;
    int rc = constrain_start(&ch->hold, ch->rq->form, e);
    if (rc < 0) return rc;
    rc = constrain_bytes(&ch->hold, rest, &fits, e);
    if (rc == 0 && fits)
        rc = constrain_bytes(&ch->hold, (struct str){ ch->stop.held, ch->stop.n_held }, &fits, e);
    if (rc == 0 && fits)
        rc = constrain_bytes(&ch->hold, (struct str){ ch->stream.held, (size_t)ch->stream.n_held }, &fits, e);
    if (rc == 0 && fits) ch->hold_state = HOLD_ON;
    else constrain_stop(&ch->hold);
    return rc;
}

static int held_token(struct choice *ch, int32_t tok, bool *over, struct err *e)
{
    bool fits;
    int  rc = constrain_token(&ch->hold, tok, &fits, e);

    if (rc < 0) return rc;
    if (!fits) return err_set(e, ERR_INTERNAL, "a token was chosen that the answer's form does not allow");
    ch->hold_state = HOLD_ON;
    if (!constrain_must_end(&ch->hold)) return 0;
    if (!ch->rq->form_call) {
        *over = true;
        return 0;
    }
    constrain_stop(&ch->hold); // the call is whole; free again until the next one
    ch->hold_state = HOLD_OUT;
    return 0;
}

int hold_token(struct choice *ch, int32_t tok, bool *over, struct err *e)
{
    switch (ch->hold_state) {
    case HOLD_FREE: return 0;
    case HOLD_FIRST:
        if (opens_reasoning(ch->rq->s, tok)) {
            ch->hold_state = HOLD_THINK;
            return 0;
        }
        return held_token(ch, tok, over, e);
    case HOLD_THINK:
        if (split_in_answer(ch->split)) ch->hold_state = HOLD_GAP;
        return 0;
    case HOLD_GAP:
        if (!line_end(ch->rq->s, tok)) return held_token(ch, tok, over, e);
        ch->hold_state = HOLD_ON;
        return 0;
    case HOLD_ON: return held_token(ch, tok, over, e);
    case HOLD_WAIT:
    case HOLD_OUT: return call_begins(ch, e);
    }
    return 0;
}
