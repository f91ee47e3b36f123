/* proc.h - child processes of the supervisor: this same executable in another role. */
#ifndef CURLEW_OS_PROC_H
#define CURLEW_OS_PROC_H

#include <sys/types.h>

#include "base/err.h"

#define PROC_CHAN_FD 3 // where a child finds its channel to the supervisor

/* Start this executable again as `curlew --role NAME` (`label` shows in ps), with chan_fd as
 * descriptor 3 and nothing else open but stdin (null), stdout and stderr. The child dies with its
 * parent. */
NODISCARD int proc_spawn(const char *role, const char *label, int chan_fd, pid_t *ret, struct err *e);

/* A descriptor that becomes readable when one of the signals comes (they are blocked from now on),
 * and the next signal from it: its number, or 0 when none waits. */
NODISCARD int proc_signals(const int *sig, int n_sig, int *ret_fd, struct err *e);
int           proc_next_signal(int fd);

/* The next child that ended: its pid and wait status, or 0 when none did. Never blocks. */
pid_t proc_reap(int *status);
/* "signal 9 (Killed)", "status 1" into buf. */
const char *proc_status_text(int status, char *buf, size_t size);

#endif
