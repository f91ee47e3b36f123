/* effect.c - request fields that some engines cannot obey.
 *
 * An engine that runs its own loop samples as it likes, or by a few numbers. What it does not look at is
 * no error, since many clients always send a temperature; the reply says so.
 */
#include "api/request.h"

#include "chat/info.h"

/* Bits of api_req.tuned are indexes here; at most 32. */
static const struct {
    const char *name;
    unsigned    needs; // enum chat_can
} rows[] = {
    { "temperature", CHAT_CAN_SAMPLING },      { "top_p", CHAT_CAN_SAMPLING },
    { "top_k", CHAT_CAN_SAMPLING },            { "presence_penalty", CHAT_CAN_SAMPLING },
    { "frequency_penalty", CHAT_CAN_SAMPLING }, { "repetition_penalty", CHAT_CAN_SAMPLING },
    { "repeat_penalty", CHAT_CAN_SAMPLING },   { "seed", CHAT_CAN_SEED },
    { "min_p", CHAT_CAN_BIAS },                { "typical_p", CHAT_CAN_BIAS }, // our own sampler's
    { "repeat_last_n", CHAT_CAN_BIAS },
};
_Static_assert(ARRAY_LEN(rows) <= 32, "api_req.tuned has a bit for each");

uint32_t api_effect_bit(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(name, str_c(rows[i].name))) return 1u << i;
    return 0;
}

void api_effect_note(struct api_req *q, unsigned can)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (q->tuned & 1u << i && !(can & rows[i].needs)) api_req_ignore(q, str_c(rows[i].name));
}
