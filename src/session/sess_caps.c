/* sess_caps.c - what an engine cannot do. */
#include <string.h>

#include "session/session_int.h"

static int refuse(const char *param, struct err *e)
{
    return err_param(e, ERR_UNSUPP_PARAM, param, "%s is not available with this model's engine", param);
}

/* Sampling that the runtime does not obey. Temperature 0 is what a runtime without sampling does anyway. */
static int check_knobs(const struct session *s, const struct chat_params *p, struct err *e)
{
    uint32_t           k = s->info.knobs;
    struct chat_params d;

    chat_params_init(&d);
    if (!(k & ENGINE_KNOB_TEMPERATURE) && p->temperature != d.temperature && p->temperature != 0)
        return err_param(e, ERR_UNSUPP_VALUE, "temperature", "temperature: this model's engine always takes the "
                         "likeliest token; leave it out or send 0");
    if (!(k & ENGINE_KNOB_TOP_P) && p->top_p != d.top_p) return refuse("top_p", e);
    if (!(k & ENGINE_KNOB_TOP_K) && p->top_k != d.top_k) return refuse("top_k", e);
    if (!(k & ENGINE_KNOB_MIN_P) && p->min_p != d.min_p) return refuse("min_p", e);
    if (!(k & ENGINE_KNOB_REPEAT) && p->repeat_penalty != d.repeat_penalty) return refuse("repetition_penalty", e);
    if (!(k & ENGINE_KNOB_FREQUENCY) && p->frequency_penalty != d.frequency_penalty)
        return refuse("frequency_penalty", e);
    if (!(k & ENGINE_KNOB_PRESENCE) && p->presence_penalty != d.presence_penalty) return refuse("presence_penalty", e);
    if (!(k & ENGINE_KNOB_SEED) && p->has_seed) return refuse("seed", e);
    if (p->typical_p != d.typical_p) return refuse("typical_p", e);
    if (p->top_n_sigma > 0) return refuse("top_n_sigma", e);
    if (p->xtc_probability != d.xtc_probability) return refuse("xtc_probability", e);
    if (p->dry_multiplier != d.dry_multiplier) return refuse("dry_multiplier", e);
    if (p->mirostat) return refuse("mirostat", e);
    return 0;
}

/* A runtime with a template of its own takes roles and texts. */
static int check_chat(struct sess_req *rq, struct err *e)
{
    struct chat_req *r = &rq->r;

    if (r->kind != CHAT_KIND_CHAT)
        return err_param(e, ERR_UNSUPP_PARAM, "prompt", "this model's engine takes conversations only: use "
                         "/v1/chat/completions");
    if (r->n_tool && r->choice != CHAT_CHOICE_NONE) return refuse("tools", e);
    if (r->documents.p) return refuse("documents", e);
    if (r->continue_final) return refuse("continue_final_message", e);
    rq->msg = arena_array(&rq->arena, (size_t)r->n_msg + 1, sizeof *rq->msg);
    if (!rq->msg) return err_nomem(e, "taking a request");
    for (int i = 0; i < r->n_msg; i++) {
        const struct chat_msg *m = &r->msg[i];
        if (m->role == CHAT_TOOL || m->n_call)
            return err_param(e, ERR_UNSUPP_VALUE, "messages", "messages[%d]: tool calls are not available with this "
                             "model's engine", i);
        const char *role = m->role == CHAT_DEVELOPER ? "system" : chat_role_name(m->role);
        rq->msg[i]       = (struct engine_msg){ role, m->content.p ? m->content.p : "", m->content.n };
    }
    return 0;
}

/* A field about tokens that only curlew's own loop can obey, or NULL. */
static const char *needs_logits(const struct chat_req *r)
{
    if (r->ignore_eos) return "ignore_eos";
    if (r->n_min) return "min_tokens";
    if (r->n_stop_tok) return "stop_token_ids";
    if (r->fill) return "suffix";
    return NULL;
}

int sess_check_caps(struct sess_req *rq, struct err *e)
{
    const struct session  *s = rq->s;
    const struct chat_req *r = &rq->r;

    if (s->info.caps & ENGINE_WHOLE)
        return err_param(e, ERR_UNSUPP_VALUE, "model", "this model generates no text, it makes %s",
                         s->info.caps & ENGINE_RANK ? "scores: use /v1/rerank" : "embeddings: use /v1/embeddings");
    if (s->info.caps & ENGINE_FORWARD) return 0;
    if (r->logprobs)
        return err_param(e, ERR_UNSUPP_PARAM, "logprobs", "logprobs are not available from this model's engine");
    if (r->params.n_bias) return refuse("logit_bias", e);
    if (r->n_prompt_tok && !(s->info.caps & ENGINE_TOK_IN))
        return err_param(e, ERR_UNSUPP_PARAM, "prompt", "this model's engine takes text, not token ids");
    const char *name = needs_logits(r);
    if (name) return refuse(name, e);
    if (r->format != CHAT_FORMAT_TEXT)
        return err_param(e, ERR_UNSUPP_PARAM, r->format_field.p ? r->format_field.p : "response_format",
                         "this model's engine runs its own loop and cannot be held to a format; leave the field out");
    if (r->n_tool && (r->choice == CHAT_CHOICE_REQUIRED || r->choice == CHAT_CHOICE_NAMED))
        return err_param(e, ERR_UNSUPP_VALUE, "tool_choice",
                         "this model's engine runs its own loop and cannot be made to call a tool; none and auto work");
    if (r->context_shift == CHAT_SHIFT_ON) return refuse("context_shift", e);
    int rc = s->info.caps & ENGINE_KNOBS ? check_knobs(s, &r->params, e) : 0;
    if (rc == 0 && s->info.caps & ENGINE_CHAT_IN) rc = check_chat(rq, e);
    return rc;
}
