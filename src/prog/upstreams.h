/* upstreams.h - a model's upstreams on their way from the configuration to the front: checked, with their keys. */
#ifndef CURLEW_PROG_UPSTREAMS_H
#define CURLEW_PROG_UPSTREAMS_H

#include "base/limits.h"
#include "gateway/remote.h"
#include "prog/models.h"

/* Read the keys and pack all that the front has to know, in `a`. Error: which file or URL is wrong. */
NODISCARD int upstreams_pack(const struct model_spec *m, struct arena *a, struct str *ret, struct err *e);

/* What upstreams_pack wrote; texts are views of it. Returns how many, 0: malformed. */
int upstreams_unpack(struct str packed, struct remote_spec ret[LIM_UPSTREAMS]);

/* The certificates for upstreams with https://: of the settings' file, or the system's; empty when no model of the list
 * has such an upstream and no file is named. */
NODISCARD int upstreams_read_ca(const struct settings *s, const struct model_list *l, struct arena *a, struct str *ret,
                                struct err *e);

#endif
