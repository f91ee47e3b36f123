/* params.c - the parameters of a request that asked for nothing. */
#include "chat/params.h"

/* Neutral in every sampler; the numbers that are not neutral (thresholds, windows, bases) only
 * matter once their sampler is switched on, and are the values its authors recommend. */
void chat_params_init(struct chat_params *p)
{
    *p = (struct chat_params){
        .temperature        = 1.0f,
        .dyn_temp_exponent  = 1.0f,
        .top_p              = 1.0f,
        .typical_p          = 1.0f,
        .top_n_sigma        = -1.0f,
        .xtc_threshold      = 0.1f,
        .repeat_penalty     = 1.0f,
        .penalty_last_n     = -1,
        .dry_base           = 1.75f,
        .dry_allowed_length = 2,
        .dry_last_n         = -1,
        .mirostat_tau       = 5.0f,
        .mirostat_eta       = 0.1f,
    };
}
