/* axera_api.c - children that speak HTTP. */
#include "engines/axera/axera_int.h"

int axera_api_open(struct engine *en, struct err *e)
{
    (void)en;
    return err_set(e, ERR_BAD_CONFIG, "not yet");
}

int axera_api_generate(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn, void *ctx,
                       struct engine_gen_result *ret, struct err *e)
{
    (void)en, (void)gen, (void)fn, (void)ctx, (void)ret;
    return err_set(e, ERR_BAD_CONFIG, "not yet");
}
