/* gram_call_int.h - tool calls as a grammar. */
#ifndef CURLEW_CONSTRAIN_GRAM_CALL_INT_H
#define CURLEW_CONSTRAIN_GRAM_CALL_INT_H

#include "constrain/constrain.h"
#include "constrain/gram_int.h"

/* conf->kind is CONSTRAIN_CALL or CONSTRAIN_CALLS. */
struct gram_node *gram_call_tree(struct gram *g, const struct constrain_conf *conf);

#endif
