/* admin_key.h - the key that administration asks for over TCP. */
#ifndef CURLEW_PROG_ADMIN_KEY_H
#define CURLEW_PROG_ADMIN_KEY_H

#include "conf/options.h"

#define ADMIN_KEY_MIN 16  // bytes; fewer can be guessed
#define ADMIN_KEY_MAX 512

/* Read the file that the settings name, without blanks and line end; empty when they name none. */
NODISCARD int admin_key_read(const struct settings *s, char dst[ADMIN_KEY_MAX + 1], struct err *e);

#endif
