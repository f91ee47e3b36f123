/* admin.h - what an administrator can ask of a running server: POST /admin/reload and /admin/shutdown.
 *
 * They are answered over a Unix socket, whose file's rights say who may connect, or with the admin key. The front
 * passes the question on to the supervisor and the answer back. */
#ifndef CURLEW_API_ADMIN_H
#define CURLEW_API_ADMIN_H

#include "base/str.h"

enum admin_ask { ADMIN_RELOAD, ADMIN_SHUTDOWN, ADMIN_ASKS };

struct api;

/* The supervisor's answer to question `id`: JSON when done, else why not. Unknown ids are of clients that did not
 * wait. */
void admin_told(struct api *a, uint32_t id, bool done, struct str text);

#endif
