/* fd.h - file descriptors: opening what needs rights, before they are dropped. */
#ifndef CURLEW_OS_FD_H
#define CURLEW_OS_FD_H

#include "base/arena.h"
#include "base/err.h"

/* Open a regular file for reading. Errors say which file and what to do: missing, a directory, not
 * readable by this user, empty. The descriptor is close-on-exec. */
NODISCARD int fd_open_file(const char *path, int *ret_fd, uint64_t *ret_size, struct err *e);

/* The whole file, NUL-terminated (the NUL is not counted). TOO_LARGE above max bytes. */
NODISCARD int fd_read_file(const char *path, size_t max, struct arena *a, struct str *ret, struct err *e);
/* The same from an open descriptor, from its beginning; the descriptor stays open. */
NODISCARD int fd_read_all(int fd, const char *name, size_t max, struct arena *a, struct str *ret,
                          struct err *e);

/* A listening TCP socket (host: numeric address or name; port 0: any free one) or, when host starts
 * with '/', a Unix socket at that path (mode 0600, a dead one is replaced). Non-blocking. *ret_port
 * is the bound port. Errors say who may hold the port and what to do. */
NODISCARD int fd_listen(const char *host, int port, int *ret_fd, int *ret_port, struct err *e);

/* True when host names this machine only (127/8, ::1, localhost, a Unix socket). */
bool fd_host_is_loopback(const char *host);

/* Open /dev/null as each of stdin, stdout and stderr that is closed, so that what is opened later is not
 * taken for one of them. Errors: none; without /dev/null they stay closed. */
void fd_fill_std(void);

int  fd_nonblock(int fd);  // 0 or -errno
void fd_close(int *fd);    // closes if >= 0, sets -1

#endif
