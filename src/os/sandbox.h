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

/* For a worker that runs a vendor's library: such a library opens its model, its devices and its own
 * libraries by path and maps code whenever it likes. So paths stay possible, but only those that are
 * named here and what every program reads (/usr, /lib, /etc, /proc, /sys); sockets, new processes and
 * other programs do not. Instead of the WORKER roles; there is no second step. */
#define SANDBOX_PATHS 48 // most of sandbox_enter_device

struct sandbox_path {
    const char *path;  // a file, device or folder with all below it; one that does not exist is left out
    bool        write; // may be written, and in a folder files made, too
};
NODISCARD int sandbox_enter_device(const struct sandbox_path *path, int n, bool *landlock, struct err *e);

#endif
