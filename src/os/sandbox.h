/* sandbox.h - give up rights, for good.
 *
 * Each process calls sandbox_enter once it holds all it needs, before it reads a byte from outside:
 * no_new_privs, no core dumps, Landlock without a single rule where the kernel has it (no file can
 * be opened by path any more), and a seccomp filter that allows what the role does and answers EPERM
 * to everything else.
 */
#ifndef CURLEW_OS_SANDBOX_H
#define CURLEW_OS_SANDBOX_H

#include "base/err.h"

enum sandbox_role {
    SANDBOX_FRONT,       // sockets it was given, accept; no open, no exec, no new sockets
    SANDBOX_WORKER_LOAD, // descriptors it was given, memory, threads; may still map code (JIT, dlopen)
    SANDBOX_WORKER_RUN,  // on top of LOAD once the model is there: no new executable memory
    SANDBOX_FRONT_CLIENT, // as FRONT, and it may connect to other servers: inet and Unix sockets
};

/* Irreversible. Error: what could not be dropped; the process must not go on then. A missing Landlock
 * is no error: *landlock (may be NULL) says whether it is in force. */
NODISCARD int sandbox_enter(enum sandbox_role role, bool *landlock, struct err *e);

#endif
