/* caps.c - which fields need what of an engine. */
#include "api/caps.h"

#include <string.h>

#include "api/api_int.h"

/* What engine_sampling (include/engine.h) has goes to every engine that says it obeys it; the rest is done by our
 * own sampler, on logits; so is min_p, which no vendor's loop has. */
static const struct {
    const char *name;
    unsigned    needs; // enum chat_can
} fields[] = {
    { "temperature", CHAT_CAN_SAMPLING },
    { "top_p", CHAT_CAN_SAMPLING },
    { "top_k", CHAT_CAN_SAMPLING },
    { "min_p", CHAT_CAN_BIAS },
    { "presence_penalty", CHAT_CAN_SAMPLING },
    { "frequency_penalty", CHAT_CAN_SAMPLING },
    { "repetition_penalty", CHAT_CAN_SAMPLING },
    { "repeat_penalty", CHAT_CAN_SAMPLING },
    { "seed", CHAT_CAN_SEED },
    { "repeat_last_n", CHAT_CAN_BIAS },
    { "typical_p", CHAT_CAN_BIAS },
    { "top_n_sigma", CHAT_CAN_BIAS },
    { "xtc_probability", CHAT_CAN_BIAS },
    { "xtc_threshold", CHAT_CAN_BIAS },
    { "dry_multiplier", CHAT_CAN_BIAS },
    { "dry_base", CHAT_CAN_BIAS },
    { "dry_allowed_length", CHAT_CAN_BIAS },
    { "dry_penalty_last_n", CHAT_CAN_BIAS },
    { "dynatemp_range", CHAT_CAN_BIAS },
    { "dynatemp_exponent", CHAT_CAN_BIAS },
    { "mirostat", CHAT_CAN_BIAS },
    { "mirostat_tau", CHAT_CAN_BIAS },
    { "mirostat_eta", CHAT_CAN_BIAS },
    { "samplers", CHAT_CAN_BIAS },
};
_Static_assert(ARRAY_LEN(fields) <= 64, "api_req.given has a bit for each");

uint64_t caps_bit(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (str_eq(name, str_c(fields[i].name))) return (uint64_t)1 << i;
    return 0;
}

static int strict(const struct api_req *q, struct err *e)
{
    struct str rest = str_c(q->ignored), first = STR("");
    char       name[ERR_PARAM_MAX];

    if (q->n_ignored == 0) return 0;
    if (rest.n) str_cut(&rest, ',', &first);
    return err_param(e, ERR_UNSUPP_PARAM, str_copy_z(name, sizeof name, first),
                     "%d field%s would have no effect, and this server is strict: %.400s", q->n_ignored,
                     q->n_ignored == 1 ? "" : "s",
                     q->ignored[0] ? q->ignored : "their names are no plain words");
}

int caps_check(struct api *a, struct http_req *h, struct api_req *q, const struct gateway_model *m, struct err *e)
{
    for (size_t i = 0; m && m->has_info && i < ARRAY_LEN(fields); i++)
        if (q->given >> i & 1 && !(m->info.can & fields[i].needs)) api_req_ignore(q, str_c(fields[i].name));
    if (q->ignored[0]) http_reply_field(h, "x-curlew-ignored", str_c(q->ignored));
    if (m && a->conf.busy_reject && m->n_running)
        return err_set(e, ERR_OVERLOADED, "the model " STR_FMT " is answering another request; retry", STR_ARG(m->id));
    return a->conf.strict ? strict(q, e) : 0;
}
