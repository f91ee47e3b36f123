/* prog.h - the programs in the one executable: each is wiring and nothing else. */
#ifndef CURLEW_PROG_PROG_H
#define CURLEW_PROG_PROG_H

#include "conf/options.h"

/* Exit statuses. */
enum { PROG_OK = 0, PROG_FAILED = 1, PROG_USAGE = 2 };

/* The supervisor: opens models and sockets, starts front and workers, keeps them alive. Returns the
 * exit status when told to stop. */
int supervisor_main(const struct settings *s);

/* The children, started by the supervisor with their channel as descriptor 3. */
int front_main(void);
int worker_main(const char *label);
/* Started by a worker before it gives up its rights; descriptor 3 is the socket to it. */
int keep_main(const char *label);

#endif
