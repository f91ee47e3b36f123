/* keeper.h - a process that keeps the rights to run one program, for a worker that gave up its own.
 *
 * Some engines are programs of their own. Their worker parses what such a program says, so it has no rights;
 * starting the program, sending it signals and connecting to its port need some. The keeper has them and parses
 * nothing that the program says: it knows beforehand what to start, and takes orders of one byte.
 *
 *     worker (no rights)  <- SOCK_SEQPACKET ->  keeper  -- fork, exec -->  the program, a group of its own
 *
 * The keeper starts the program once. It ends it, all its group, when the worker closes its end: SIGTERM, after
 * KEEPER_TERM_MS SIGKILL. A message is one datagram: a type, a body, descriptors. */
#ifndef CURLEW_OS_KEEPER_H
#define CURLEW_OS_KEEPER_H

#include "base/arena.h"
#include "base/err.h"

#define KEEPER_TERM_MS  3000
#define KEEPER_BODY_MAX KIB(60)
#define KEEPER_FDS      4

enum keeper_type {
    /* worker to keeper */
    KEEPER_CONF    = 'c', // once, first: what to run, as the program that wired both says
    KEEPER_START   = 's', // start it; answered by UP
    KEEPER_SIGNAL  = 'k', // u8 signal: SIGINT, SIGTERM or SIGKILL, to its group
    KEEPER_CONNECT = 'n', // connect to its port; answered by LINK
    /* keeper to worker */
    KEEPER_PLAN   = 'p', // the answer to CONF: what will be run, with descriptors
    KEEPER_FAILED = 'f', // it cannot: u32 error code, str message; the keeper ends
    KEEPER_UP     = 'u', // it runs: its terminal or output, and its socket with KEEPER_SOCKET
    KEEPER_CALLER = 'a', // somebody connected to the listening socket: the connection
    KEEPER_LINK   = 'l', // a connection to its port, or none and why
    KEEPER_ENDED  = 'e', // how it ended: text
};

struct keeper_msg {
    enum keeper_type type;
    struct str       body; // in the caller's buffer
    int              fd[KEEPER_FDS]; // owned by the receiver; close-on-exec
    int              n_fd;
};

/* A connected pair, close-on-exec. */
NODISCARD int keeper_pair(int ret[2], struct err *e);
NODISCARD int keeper_send(int sock, enum keeper_type type, struct str body, const int *fd, int n_fd, struct err *e);
/* The next message within ms (-1: for ever); buf holds its body. Errors: TIMEOUT; ENGINE_GONE when the other
 * side has gone; PROTOCOL. */
NODISCARD int keeper_recv(int sock, int ms, char *buf, size_t size, struct keeper_msg *ret, struct err *e);

enum keeper_io {
    KEEPER_PTY,    // stdin, stdout and stderr are a terminal without echo or line discipline
    KEEPER_PIPE,   // stdout and stderr are a pipe, stdin is /dev/null
    KEEPER_SOCKET, // as PIPE, and descriptor 3 is a stream socket to the worker
    KEEPER_ADDRESS, // nothing is started: somebody listens at a Unix socket already
};

struct keeper_spec {
    const char *const *argv; // NULL-terminated; argv[0] is a path
    const char *const *env;  // NULL-terminated, all of it
    const char        *dir;  // where it runs
    enum keeper_io     io;
    const char        *address;   // KEEPER_ADDRESS: a path
    int                listen_fd; // -1: none
    int                port;      // of 127.0.0.1, for CONNECT; 0: none
};

/* The keeper's life after PLAN: take orders from sock until the worker has gone, then end the program. Returns
 * 0 then. */
NODISCARD int keeper_serve(int sock, const struct keeper_spec *spec, struct err *e);

#endif
